//! The stand's MCP endpoint: streamable HTTP with JSON answers, in three revisions. A tool that needs an upstream calls it with the
//! caller's own credential; without one it answers with the challenge, in the form that this client understands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use grantway::grantway_core::challenge::Placed;
use grantway::grantway_core::downstream::authenticate::SignedInCaller;
use grantway::{CallError, Caller, Challenge, Form, Grantway};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

/// Of those with `initialize`, newest first.
const STATEFUL: [&str; 2] = ["2025-11-25", "2025-06-18"];
const STATELESS: &str = "2026-07-28";
const VERSION: &str = "mcp-protocol-version";
const SESSION: &str = "mcp-session-id";
const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

pub(crate) struct Tools {
    gw: Arc<Grantway>,
    client: reqwest::Client,
    upstreams: [String; 2],
    /// What clients said of themselves in `initialize`. No credential: each request is authenticated by its token.
    sessions: Mutex<HashMap<String, Peer>>,
    /// What was called, and what came of it.
    calls: Mutex<Vec<Value>>,
}

/// How a client speaks.
#[derive(Clone)]
struct Peer {
    version: String,
    /// Whether a person can be sent to a page through it.
    opens_urls: bool,
}

impl Peer {
    fn form(&self) -> Form {
        match self.version.as_str() {
            STATELESS if self.opens_urls => Form::InputRequired,
            "2025-11-25" if self.opens_urls => Form::UrlElicitation,
            _ => Form::Text,
        }
    }

    fn is_stateless(&self) -> bool {
        self.version == STATELESS
    }
}

impl Tools {
    pub(crate) fn new(gw: Arc<Grantway>, upstreams: [String; 2]) -> reqwest::Result<Self> {
        // No redirects: they would take the credential along.
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { gw, client, upstreams, sessions: Mutex::default(), calls: Mutex::default() })
    }
}

/// `/stand/calls`: every `tools/call` so far.
pub(crate) async fn calls(State(tools): State<Arc<Tools>>) -> Json<Vec<Value>> {
    Json(tools.calls.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// `/mcp`, behind the layer that says who calls.
pub(crate) async fn answer(
    State(tools): State<Arc<Tools>>,
    Extension(who): Extension<SignedInCaller>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match method {
        Method::POST => {}
        Method::DELETE => return tools.end(&headers),
        _ => return StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        return wrong(400, &Value::Null, -32700, "this is no JSON", Value::Null);
    };
    let id = &message["id"];
    let Some(method) = message["method"].as_str().filter(|_| !id.is_null()) else {
        return StatusCode::ACCEPTED.into_response();
    };
    let params = &message["params"];
    if method == "initialize" {
        return tools.initialize(id, params);
    }
    let peer = match tools.peer(&headers, id, params) {
        Ok(peer) => peer,
        Err(refused) => return *refused,
    };
    let mut result = match method {
        "server/discover" if peer.is_stateless() => json!({
            "supportedVersions": [STATELESS, STATEFUL[0], STATEFUL[1]],
            "capabilities": { "tools": {} },
            "ttlMs": 0,
            "cacheScope": "private",
        }),
        "ping" if !peer.is_stateless() => json!({}),
        "tools/list" => listed(peer.is_stateless()),
        "tools/call" => match tools.call(&who, &peer, params).await {
            Ok(result) => result,
            Err(error) => return Json(json!({ "jsonrpc": "2.0", "id": id, "error": error })).into_response(),
        },
        _ => {
            let status = if peer.is_stateless() { 404 } else { 200 };
            return wrong(status, id, -32601, "there is no such method", Value::Null);
        }
    };
    if peer.is_stateless() {
        if result["resultType"].is_null() {
            result["resultType"] = json!("complete");
        }
        result["_meta"] = json!({ "io.modelcontextprotocol/serverInfo": server_info() });
    }
    Json(json!({ "jsonrpc": "2.0", "id": id, "result": result })).into_response()
}

impl Tools {
    fn initialize(&self, id: &Value, params: &Value) -> Response {
        let asked = params["protocolVersion"].as_str().unwrap_or_default();
        let version = STATEFUL.into_iter().find(|version| *version == asked).unwrap_or(STATEFUL[0]);
        let opens_urls = params["capabilities"]["elicitation"]["url"].is_object();
        let Some(session) = random() else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
        let peer = Peer { version: version.to_owned(), opens_urls };
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(session.clone(), peer);
        let result = json!({
            "protocolVersion": version,
            "capabilities": { "tools": {} },
            "serverInfo": server_info(),
        });
        let answer = Json(json!({ "jsonrpc": "2.0", "id": id, "result": result }));
        ([(SESSION, session)], answer).into_response()
    }

    fn end(&self, headers: &HeaderMap) -> Response {
        let session = header(headers, SESSION).unwrap_or_default();
        let known = self.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(session);
        if known.is_some() { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }.into_response()
    }

    /// Who sent a request, or why it is not answered.
    fn peer(&self, headers: &HeaderMap, id: &Value, params: &Value) -> Result<Peer, Box<Response>> {
        let refused = |status, code, text, data| Err(Box::new(wrong(status, id, code, text, data)));
        let version = header(headers, VERSION);
        let (meta, stateful) = (&params["_meta"], version.is_none_or(|version| STATEFUL.contains(&version)));
        if let (true, Some(session)) = (stateful, header(headers, SESSION)) {
            let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            let known = sessions.get(session).cloned();
            return known.map_or_else(|| refused(404, -32001, "this session is over", Value::Null), Ok);
        }
        match version {
            Some(STATELESS) if meta[META_VERSION] != STATELESS => {
                refused(400, -32020, "header and body name different versions", Value::Null)
            }
            Some(STATELESS) if !meta[META_CAPABILITIES].is_object() => {
                refused(400, -32602, "the client does not say what it can do", Value::Null)
            }
            Some(STATELESS) => {
                let opens_urls = meta[META_CAPABILITIES]["elicitation"]["url"].is_object();
                Ok(Peer { version: STATELESS.to_owned(), opens_urls })
            }
            _ if stateful => refused(400, -32000, "there is no session", Value::Null),
            asked => {
                let data = json!({ "supported": [STATELESS, STATEFUL[0], STATEFUL[1]], "requested": asked });
                refused(400, -32022, "there is no such version here", data)
            }
        }
    }

    async fn call(&self, who: &SignedInCaller, peer: &Peer, params: &Value) -> Result<Value, Value> {
        let caller = &who.caller;
        let name = params["name"].as_str().unwrap_or_default();
        let called = match name {
            "whoami" => self.upstream(caller, "notes", 0).await,
            "notes" => self.upstream(caller, "notes", 0).await,
            "files" => self.upstream(caller, "files", 1).await,
            _ => return Err(json!({ "code": -32602, "message": "there is no such tool" })),
        };
        let token_ends_at = who.expires_at.0;
        let (came_to, result) = match called {
            Ok(account) if name == "whoami" => {
                let user = caller.principal.id();
                ("answer", Ok(said(&json!({ "principal": user, "upstream": account }).to_string())))
            }
            Ok(account) => ("answer", Ok(said(&format!("{name} of {account}")))),
            Err(CallError::Challenge(challenge)) => match rendered(&challenge, peer.form()) {
                (Placed::Error, error) => ("url_elicitation", Err(error)),
                (_, result) if result["resultType"] == "input_required" => ("input_required", Ok(result)),
                (_, result) => ("text", Ok(result)),
            },
            Err(other) => ("failure", Err(json!({ "code": -32603, "message": format!("{other:?}") }))),
        };
        let call = json!({
            "user": caller.principal.id(),
            "client": who.client_id,
            "token_ends_at": token_ends_at,
            "version": peer.version,
            "tool": name,
            "came_to": came_to,
            "has_request_state": params["requestState"].is_string(),
        });
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        result
    }

    /// Asks an upstream whom it knows the caller as.
    async fn upstream(
        &self,
        caller: &Caller,
        connector: &str,
        at: usize,
    ) -> Result<String, CallError<Box<dyn std::error::Error + Send + Sync>>> {
        let call =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "whoami" } });
        let request = http::Request::post(&self.upstreams[at])
            .header("Content-Type", "application/json")
            .body(call.to_string())
            .map_err(|error| CallError::Send(error.into()))?;
        let client = self.client.clone();
        let send = move |request: http::Request<String>| {
            let client = client.clone();
            async move { Ok(http::Response::from(client.execute(request.try_into()?).await?)) }
        };
        let response = self.gw.send(caller, connector, "tools/call whoami", request, send).await?;
        let body = reqwest::Response::from(response).json::<Value>().await;
        let body = body.map_err(|error| CallError::Send(error.into()))?;
        let account = body["result"]["content"][0]["text"].as_str();
        account.map(str::to_owned).ok_or_else(|| CallError::Send(format!("it answers {body}").into()))
    }
}

/// A challenge in the form for a client, and where that goes. Whoever can open no page is told in words.
fn rendered(challenge: &Challenge, form: Form) -> (Placed, Value) {
    let rendered = challenge.render(form);
    match rendered.placed {
        Placed::Body => {
            let mut result = said(&rendered.body);
            result["isError"] = json!(true);
            (Placed::Result, result)
        }
        placed => (placed, serde_json::from_str(&rendered.body).unwrap_or_default()),
    }
}

fn said(text: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": text }], "isError": false })
}

fn listed(with_ttl: bool) -> Value {
    let tools = [
        ("whoami", "Who the caller is, here and at notes"),
        ("notes", "The caller's notes"),
        ("files", "The caller's files"),
    ];
    let tools = tools.map(|(name, about)| {
        json!({ "name": name, "description": about, "inputSchema": { "type": "object", "properties": {} } })
    });
    let mut result = json!({ "tools": tools });
    if with_ttl {
        result["ttlMs"] = json!(0);
        result["cacheScope"] = json!("private");
    }
    result
}

fn server_info() -> Value {
    json!({ "name": "stand", "version": env!("CARGO_PKG_VERSION") })
}

fn wrong(status: u16, id: &Value, code: i32, message: &str, data: Value) -> Response {
    let mut error = json!({ "code": code, "message": message });
    if !data.is_null() {
        error["data"] = data;
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(json!({ "jsonrpc": "2.0", "id": id, "error": error }))).into_response()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// 128 random bits in hex.
pub(crate) fn random() -> Option<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok()?;
    Some(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
