// The official Go SDK: `client MCP_URL MODE`.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
)

type answer struct {
	Text    string `json:"text"`
	IsError bool   `json:"isError"`
}

type challenge struct {
	Form string `json:"form"`
	Mode string `json:"mode,omitempty"`
	URL  string `json:"url"`
}

type story struct {
	Version   string     `json:"version"`
	Tools     []string   `json:"tools"`
	Whoami    answer     `json:"whoami"`
	Challenge *challenge `json:"challenge"`
	Files     answer     `json:"files"`
	Again     answer     `json:"again"`
	SignIns   int        `json:"signIns"`
}

// openBrowser opens the person's browser and waits until they are done there.
func openBrowser(ctx context.Context, url string) error {
	var command []string
	if err := json.Unmarshal([]byte(os.Getenv("GRANTWAY_BROWSER")), &command); err != nil {
		return err
	}
	browser := exec.CommandContext(ctx, command[0], append(command[1:], url)...)
	browser.Stderr = os.Stderr
	return browser.Run()
}

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, mcpURL, mode string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	came := make(chan *auth.AuthorizationResult, 1)
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		query := request.URL.Query()
		came <- &auth.AuthorizationResult{Code: query.Get("code"), State: query.Get("state"), Iss: query.Get("iss")}
		fmt.Fprint(w, "You can close this window.")
	}))

	told := story{}
	redirect := fmt.Sprintf("http://%s/callback", listener.Addr())
	handler, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
		RedirectURL: redirect,
		DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{
			ClientName:              "Go SDK",
			RedirectURIs:            []string{redirect},
			GrantTypes:              []string{"authorization_code", "refresh_token"},
			TokenEndpointAuthMethod: "none",
		}},
		AuthorizationCodeFetcher: func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			told.SignIns++
			if err := openBrowser(ctx, args.URL); err != nil {
				return nil, err
			}
			return <-came, nil
		},
	})
	if err != nil {
		return err
	}

	options, session := &mcp.ClientOptions{}, &mcp.ClientSessionOptions{}
	if mode != "plain" {
		options.Capabilities = &mcp.ClientCapabilities{Elicitation: &mcp.ElicitationCapabilities{
			Form: &mcp.FormElicitationCapabilities{}, URL: &mcp.URLElicitationCapabilities{},
		}}
		options.ElicitationHandler = func(ctx context.Context, request *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			told.Challenge = &challenge{"input_required", request.Params.Mode, request.Params.URL}
			if err := openBrowser(ctx, request.Params.URL); err != nil {
				return nil, err
			}
			return &mcp.ElicitResult{Action: "accept"}, nil
		}
	}
	if mode == "2025-11-25" {
		session.ProtocolVersion = mode
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "go", Version: "1"}, options)
	connected, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: mcpURL, OAuthHandler: handler}, session)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer connected.Close()
	told.Version = connected.InitializeResult().ProtocolVersion
	tools, err := connected.ListTools(ctx, nil)
	if err != nil {
		return fmt.Errorf("tools/list: %w", err)
	}
	for _, tool := range tools.Tools {
		told.Tools = append(told.Tools, tool.Name)
	}
	call := func(tool string, into *answer) error {
		result, err := connected.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: map[string]any{}})
		if err != nil {
			return err
		}
		text, ok := result.Content[0].(*mcp.TextContent)
		if !ok {
			return fmt.Errorf("%s answers without text", tool)
		}
		*into = answer{text.Text, result.IsError}
		return nil
	}
	if err := call("whoami", &told.Whoami); err != nil {
		return fmt.Errorf("whoami: %w", err)
	}
	err = call("files", &told.Files)
	var refused *jsonrpc.Error
	if errors.As(err, &refused) && refused.Code == mcp.CodeURLElicitationRequired {
		var data struct {
			Elicitations []struct{ Mode, URL string } `json:"elicitations"`
		}
		if err := json.Unmarshal(refused.Data, &data); err != nil {
			return err
		}
		told.Challenge = &challenge{"url_elicitation", data.Elicitations[0].Mode, data.Elicitations[0].URL}
	} else if err != nil {
		return fmt.Errorf("files: %w", err)
	} else if told.Files.IsError {
		told.Challenge = &challenge{Form: "text", URL: regexp.MustCompile(`http:\S+`).FindString(told.Files.Text)}
	}
	if told.Challenge != nil && told.Challenge.Form != "input_required" {
		if err := openBrowser(ctx, told.Challenge.URL); err != nil {
			return err
		}
		if err := call("files", &told.Files); err != nil {
			return fmt.Errorf("files, connected: %w", err)
		}
	}
	seconds, err := strconv.ParseFloat(os.Getenv("GRANTWAY_TOKEN_SECONDS"), 64)
	if err != nil {
		return err
	}
	time.Sleep(time.Duration((seconds + 0.5) * float64(time.Second)))
	if err := call("whoami", &told.Again); err != nil {
		return fmt.Errorf("whoami, later: %w", err)
	}
	return json.NewEncoder(os.Stdout).Encode(told)
}
