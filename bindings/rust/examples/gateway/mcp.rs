//! The host's MCP endpoint: streamable HTTP with JSON answers, in three revisions of the protocol. A tool that needs an upstream calls it
//! with the caller's own credential; without one it answers with the challenge, in the form that this client understands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use grantway::grantway_core::challenge::Placed;
use grantway::grantway_core::downstream::authenticate::SignedInCaller;
use grantway::{CallError, Challenge, Form, Grantway};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

/// Of those with `initialize`, newest first.
const STATEFUL: [&str; 2] = ["2025-11-25", "2025-06-18"];
const STATELESS: &str = "2026-07-28";
const SESSION: &str = "mcp-session-id";

pub(crate) struct Tools {
    gw: Arc<Grantway>,
    client: reqwest::Client,
    upstreams: [String; 2],
    /// What clients said of themselves in `initialize`. It is no credential: each request is authenticated by its token.
    sessions: Mutex<HashMap<String, Form>>,
}

impl Tools {
    pub(crate) fn new(gw: Arc<Grantway>, upstreams: [String; 2]) -> reqwest::Result<Self> {
        // No redirects: they would take the credential along.
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { gw, client, upstreams, sessions: Mutex::default() })
    }
}

/// `POST /mcp`, behind the layer that says who calls.
pub(crate) async fn answer(
    State(tools): State<Arc<Tools>>,
    Extension(who): Extension<SignedInCaller>,
    headers: HeaderMap,
    Json(message): Json<Value>,
) -> Response {
    let (id, params) = (&message["id"], &message["params"]);
    let Some(method) = message["method"].as_str().filter(|_| !id.is_null()) else {
        return StatusCode::ACCEPTED.into_response();
    };
    let form = tools.form(&headers, params);
    let result = match method {
        "initialize" => return tools.initialize(id, params),
        "server/discover" => Ok(json!({
            "resultType": "complete",
            "supportedVersions": [STATELESS, STATEFUL[0], STATEFUL[1]],
            "capabilities": { "tools": {} },
            "serverInfo": server_info(),
            "ttlMs": 0,
            "cacheScope": "private",
            "_meta": { "io.modelcontextprotocol/serverInfo": server_info() },
        })),
        "ping" => Ok(json!({})),
        "tools/list" => Ok(listed(is_stateless(&headers))),
        "tools/call" => match params["name"].as_str().unwrap_or_default() {
            "whoami" => {
                let (caller, client) = (&who.caller, &who.client_id);
                said(&format!("{} of tenant {}, for client {client}", caller.principal.id(), caller.tenant))
            }
            "notes_list" => tools.upstream_list(&who, "notes", 0, form).await,
            "files_list" => tools.upstream_list(&who, "files", 1, form).await,
            _ => Err(json!({ "code": -32602, "message": "there is no such tool" })),
        },
        _ => Err(json!({ "code": -32601, "message": "there is no such method" })),
    };
    Json(match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error }),
    })
    .into_response()
}

impl Tools {
    fn initialize(&self, id: &Value, params: &Value) -> Response {
        let asked = params["protocolVersion"].as_str().unwrap_or_default();
        let version = STATEFUL.into_iter().find(|version| *version == asked).unwrap_or(STATEFUL[0]);
        let has_url = version == STATEFUL[0] && params["capabilities"]["elicitation"]["url"].is_object();
        let mut random = [0; 16];
        if getrandom::fill(&mut random).is_err() {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        let session: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let form = if has_url { Form::UrlElicitation } else { Form::Text };
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(session.clone(), form);
        let result = json!({
            "protocolVersion": version,
            "capabilities": { "tools": {} },
            "serverInfo": server_info(),
        });
        let answer = Json(json!({ "jsonrpc": "2.0", "id": id, "result": result }));
        ([(SESSION, session)], answer).into_response()
    }

    /// How this client can be told that a person is needed.
    fn form(&self, headers: &HeaderMap, params: &Value) -> Form {
        if is_stateless(headers) {
            let declared = &params["_meta"]["io.modelcontextprotocol/clientCapabilities"];
            return if declared["elicitation"]["url"].is_object() { Form::InputRequired } else { Form::Text };
        }
        let session = headers.get(SESSION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.get(session).copied().unwrap_or(Form::Text)
    }

    /// Calls the upstream's tool as the caller; the credential is put in by `send`, and renewed when it has to be.
    async fn upstream_list(
        &self,
        who: &SignedInCaller,
        connector: &str,
        at: usize,
        form: Form,
    ) -> Result<Value, Value> {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "list" } });
        let request = http::Request::post(self.upstreams[at].as_str())
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream")
            .body(call.to_string());
        let request = request.map_err(|error| json!({ "code": -32603, "message": error.to_string() }))?;
        let client = self.client.clone();
        let send = move |request: http::Request<String>| {
            let client = client.clone();
            async move { client.execute(request.try_into()?).await.map(http::Response::from) }
        };
        match self.gw.send(&who.caller, connector, "tools/call list", request, send).await {
            Ok(response) => {
                let answer: Value = reqwest::Response::from(response).json().await.unwrap_or_default();
                answer
                    .get("result")
                    .cloned()
                    .ok_or_else(|| json!({ "code": -32603, "message": "the upstream has failed" }))
            }
            Err(CallError::Challenge(challenge)) => challenged(&challenge, form),
            Err(error) => Err(json!({ "code": -32603, "message": error.to_string() })),
        }
    }
}

/// The challenge where this client looks for it.
fn challenged(challenge: &Challenge, form: Form) -> Result<Value, Value> {
    let rendered = challenge.render(form);
    let json = || serde_json::from_str(&rendered.body).unwrap_or_default();
    match rendered.placed {
        Placed::Error => Err(json()),
        Placed::Result => Ok(json()),
        Placed::Body => {
            Ok(json!({ "content": [{ "type": "text", "text": rendered.body }], "isError": true }))
        }
    }
}

fn is_stateless(headers: &HeaderMap) -> bool {
    headers.get("mcp-protocol-version").is_some_and(|version| version == STATELESS)
}

fn listed(is_stateless: bool) -> Value {
    let tools = [
        ("whoami", "Says who you are here"),
        ("notes_list", "Lists your notes"),
        ("files_list", "Lists your files"),
    ];
    let tools = tools.map(|(name, description)| {
        json!({ "name": name, "description": description, "inputSchema": { "type": "object" } })
    });
    if is_stateless {
        return json!({ "resultType": "complete", "tools": tools, "ttlMs": 0, "cacheScope": "private" });
    }
    json!({ "tools": tools })
}

fn said(text: &str) -> Result<Value, Value> {
    Ok(json!({ "resultType": "complete", "content": [{ "type": "text", "text": text }], "isError": false }))
}

fn server_info() -> Value {
    json!({ "name": "grantway-demo", "version": env!("CARGO_PKG_VERSION") })
}
