//! The official Rust SDK: `grantway-sdk-client MCP_URL MODE`.

use std::env;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult,
    ElicitationAction, ElicitationCapability, ErrorData, FormElicitationCapability, Implementation,
    ProtocolVersion, UrlElicitationCapability,
};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, RequestContext, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::{AuthClient, AuthorizationRequest, OAuthState};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, RoleClient};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

type Failed = Box<dyn Error>;

/// A client that opens pages for its person, or one that does not.
#[derive(Clone)]
struct Host {
    opens_urls: bool,
    asked: Arc<Mutex<Option<Value>>>,
}

impl ClientHandler for Host {
    fn get_info(&self) -> ClientConfig {
        let mut capabilities = ClientCapabilities::default();
        if self.opens_urls {
            let elicitation = ElicitationCapability::new().with_form(FormElicitationCapability::default());
            capabilities.elicitation = Some(elicitation.with_url(UrlElicitationCapability::default()));
        }
        ClientConfig::new(capabilities, Implementation::new("rust", "1"))
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let ElicitRequestParams::UrlElicitationParams { url, .. } = request else {
            return Ok(ElicitResult::new(ElicitationAction::Decline));
        };
        let challenge = json!({ "form": "input_required", "mode": "url", "url": url });
        *self.asked.lock().expect("no panic") = Some(challenge);
        let opened = open_browser(&url).await.map_err(|error| error.to_string());
        opened.map_err(|error| ErrorData::internal_error(error, None))?;
        Ok(ElicitResult::new(ElicitationAction::Accept))
    }
}

/// Opens the person's browser and waits until they are done there.
async fn open_browser(url: &str) -> Result<(), Failed> {
    let command: Vec<String> = serde_json::from_str(&env::var("GRANTWAY_BROWSER")?)?;
    let (program, rest) = command.split_first().ok_or("no browser")?;
    let done = tokio::process::Command::new(program).args(rest).arg(url).output().await?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    if done.status.success() { Ok(()) } else { Err(said.into()) }
}

/// The target of the request with which the browser comes back.
async fn came_back(listener: &TcpListener) -> Result<String, Failed> {
    let (stream, _) = listener.accept().await?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut rest = String::new();
    while stream.read_line(&mut rest).await? > 2 {
        rest.clear();
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nDone").await?;
    Ok(line.split(' ').nth(1).ok_or("no target")?.to_owned())
}

async fn sign_in(mcp_url: &str) -> Result<OAuthState, Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let mut state = OAuthState::new(mcp_url, None).await?;
    let request = AuthorizationRequest::new(format!("{origin}/callback")).with_client_name("Rust SDK");
    state.start_authorization(request).await?;
    let url = state.get_authorization_url().await?;
    let (opened, target) = tokio::join!(open_browser(&url), came_back(&listener));
    opened?;
    state.handle_callback_url(&format!("{origin}{}", target?)).await?;
    Ok(state)
}

async fn call(client: &RunningService<RoleClient, Host>, tool: &'static str) -> Result<Value, ServiceError> {
    let result =
        client.call_tool(CallToolRequestParams::new(tool).with_arguments(Default::default())).await?;
    let text = result.content.first().and_then(|content| content.as_text()).map(|text| text.text.clone());
    Ok(json!({ "text": text, "isError": result.is_error.unwrap_or(false) }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [mcp_url, mode] = arguments.as_slice() else { return Err("MCP_URL MODE".into()) };
    let manager = sign_in(mcp_url).await?.into_authorization_manager().ok_or("not signed in")?;
    let client = AuthClient::new(reqwest::Client::default(), manager);
    let config = StreamableHttpClientTransportConfig::with_uri(mcp_url.as_str());
    let transport = StreamableHttpClientTransport::with_client(client, config);
    let host = Host { opens_urls: mode != "plain", asked: Arc::default() };
    let lifecycle = match mode.as_str() {
        "2025-11-25" => ClientLifecycleMode::Initialize,
        _ => ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::LATEST] },
    };
    let client = host.clone().serve_with_lifecycle(transport, lifecycle).await?;

    let version = client.peer_info().map(|info| info.protocol_version.to_string());
    let tools: Vec<_> = client.list_all_tools().await?.into_iter().map(|tool| tool.name).collect();
    let whoami = call(&client, "whoami").await?;
    let files = call(&client, "files").await;
    let mut challenge = host.asked.lock().expect("no panic").take();
    let files = match files {
        Err(ServiceError::McpError(error)) if error.code.0 == -32042 => {
            let asked = error.data.unwrap_or_default()["elicitations"][0].clone();
            challenge =
                Some(json!({ "form": "url_elicitation", "mode": asked["mode"], "url": asked["url"] }));
            None
        }
        Ok(told) if told["isError"] == true => {
            let words = told["text"].as_str().unwrap_or_default().split_whitespace();
            let url = words.clone().find(|word| word.starts_with("http:"));
            challenge = Some(json!({ "form": "text", "url": url }));
            None
        }
        other => Some(other?),
    };
    let files = match files {
        Some(files) => files,
        None => {
            let url = challenge.as_ref().and_then(|challenge| challenge["url"].as_str());
            open_browser(url.ok_or("a challenge without a page")?).await?;
            call(&client, "files").await?
        }
    };
    let seconds: f64 = env::var("GRANTWAY_TOKEN_SECONDS")?.parse()?;
    tokio::time::sleep(Duration::from_secs_f64(seconds + 0.5)).await;
    let again = call(&client, "whoami").await?;
    client.cancel().await?;
    let told = json!({
        "version": version, "tools": tools, "whoami": whoami, "challenge": challenge, "files": files, "again": again,
        // There is no way back to a sign-in from here: it happens once, or the call fails.
        "signIns": 1,
    });
    println!("{told}");
    Ok(())
}
