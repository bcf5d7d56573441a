//! What clients find out, how they register, and what they ask for.

use serde_json::json;

use super::browser::{Browser, EDITOR, REDIRECT_URI, authorize, consenting, get, open, post};
use super::handle;
use crate::scenarios::Scenario;
use crate::stage::{Stage, caller};

fn register(stage: &mut Stage, redirect_uri: &str) -> serde_json::Value {
    open(stage);
    let request = json!({
        "client_name": "Terminal",
        "redirect_uris": [redirect_uri],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
    });
    post("/register", "application/json", &request.to_string())
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "handle_metadata_of_the_endpoint",
        about: "What a client finds out first: who issues tokens for the MCP endpoint. No effect is needed.",
        play: |stage| {
            open(stage);
            handle(get("/.well-known/oauth-protected-resource/mcp"))
        },
    },
    Scenario {
        name: "handle_metadata_of_the_issuer",
        about: "What a client finds out next: where to register, to be authorized, to get tokens.",
        play: |stage| {
            open(stage);
            handle(get("/.well-known/oauth-authorization-server"))
        },
    },
    Scenario {
        name: "handle_client_document",
        about: "Our own client id metadata document, for the issuers of upstreams.",
        play: |stage| {
            open(stage);
            stage.configure(&json!({ "client_metadata_url": "https://gw.good/client.json" }));
            handle(get("/client.json"))
        },
    },
    Scenario {
        name: "handle_preflight",
        about: "A browser asks whether a script of another site may use the token endpoint.",
        play: |stage| {
            open(stage);
            let mut arguments = get("/token");
            arguments["request"]["method"] = json!("OPTIONS");
            handle(arguments)
        },
    },
    Scenario {
        name: "handle_no_such_page",
        about: "A path that is none of the gateway's: a page with status 404; what went wrong stands in `failure`.",
        play: |stage| {
            open(stage);
            handle(get("/elsewhere"))
        },
    },
    Scenario {
        name: "handle_no_such_method",
        about: "A method that the endpoint does not answer to.",
        play: |stage| {
            open(stage);
            handle(get("/token"))
        },
    },
    Scenario {
        name: "handle_without_a_gateway",
        about: "The engine has no `gateway` in its configuration.",
        play: |_| handle(get("/authorize")),
    },
    Scenario {
        name: "handle_caller_of_another_tenant",
        about: "Whoever is signed in at another tenant is nobody here.",
        play: |stage| {
            open(stage);
            let mut arguments = get("/connections");
            let mut mallory = caller("mallory");
            mallory["tenant"] = json!("other");
            arguments["signed_in"] = json!({ "caller": mallory, "auth_time": 1_767_225_500_000_u64 });
            handle(arguments)
        },
    },
    Scenario {
        name: "handle_register",
        about: "A client registers itself: free slots are looked for, client, slot and index entries written by one commit.",
        play: |stage| handle(register(stage, "http://127.0.0.1:5000/callback")),
    },
    Scenario {
        name: "handle_register_refused",
        about: "A redirect URI that would run script: refused before anything is read.",
        play: |stage| handle(register(stage, "javascript:alert(1)")),
    },
    Scenario {
        name: "handle_register_store_unavailable",
        about: "The store does not answer: 503, and nothing is registered.",
        play: |stage| {
            let arguments = register(stage, "http://127.0.0.1:5000/callback");
            stage.world.on_read(1);
            handle(arguments)
        },
    },
    Scenario {
        name: "handle_authorize",
        about: "A registered client sends a browser: a consent session, and on to its page, with the cookie that ties it to this browser.",
        play: |stage| {
            let arguments = register(stage, REDIRECT_URI);
            let response = stage.ok("handle", arguments);
            let body: serde_json::Value =
                serde_json::from_str(response["body"].as_str().unwrap_or_default()).unwrap_or_default();
            let client_id = body["client_id"].as_str().unwrap_or_default();
            handle(Browser::of("alice").visit(&authorize(client_id, &[])))
        },
    },
    Scenario {
        name: "handle_authorize_unread_document",
        about: "The client's id is a URL that was never read: nothing is fetched before a person has said who they are.",
        play: |stage| {
            open(stage);
            handle(Browser::default().visit(&authorize(EDITOR, &[])))
        },
    },
    Scenario {
        name: "handle_authorize_wrong_redirect_uri",
        about: "A redirect URI that the client has not registered: a page, and no way from it to there.",
        play: |stage| {
            open(stage);
            let (mut browser, path) = super::browser::identified(stage);
            let page = browser.visit(&path);
            browser.go(stage, page);
            handle(browser.visit(&authorize(EDITOR, &[("redirect_uri", "https://evil.example/callback")])))
        },
    },
    Scenario {
        name: "handle_authorize_without_pkce",
        about: "No challenge, and the document of the client is known and vouched for: the browser goes back with the error.",
        play: |stage| {
            open(stage);
            let (mut browser, path) = super::browser::identified(stage);
            let page = browser.visit(&path);
            browser.go(stage, page);
            handle(browser.visit(&authorize(EDITOR, &[("code_challenge", "")])))
        },
    },
    Scenario {
        name: "handle_authorize_without_pkce_unread",
        about: "The same of a client of whom nothing is known yet: a page that says so, without a link.",
        play: |stage| {
            open(stage);
            handle(Browser::of("alice").visit(&authorize(EDITOR, &[("code_challenge", "")])))
        },
    },
    Scenario {
        name: "handle_authorize_parameter_twice",
        about: "A parameter that is given twice is refused.",
        play: |stage| {
            open(stage);
            let target = format!("{}&state=another", authorize(EDITOR, &[]));
            handle(Browser::of("alice").visit(&target))
        },
    },
    Scenario {
        name: "handle_consent_asks_who",
        about: "The page of a consent session: who are you? The client is known by its host only.",
        play: |stage| {
            open(stage);
            let (browser, path) = consenting(stage, "alice");
            handle(browser.visit(&path))
        },
    },
];
