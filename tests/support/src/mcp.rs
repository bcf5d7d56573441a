//! A scriptable MCP server: a protected resource (RFC 9728, RFC 6750) with JSON-RPC behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grantway_core::moment::UnixMillis;
use serde_json::{Value, json};
use url::Url;

use crate::edits::Edits;
use crate::issuer::{Issuer, LiveToken};
use crate::message::{Request, Response};
use crate::network::Server;

/// A handle on one MCP server; clones are the same server. Its tool `whoami` answers with the token's user.
#[derive(Clone, Debug)]
pub struct McpServer(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// As given, for a parsed URL is not the same text.
    resource: String,
    url: Url,
    behaviour: McpBehaviour,
    scripted: Vec<Response>,
}

/// How an MCP server behaves.
#[derive(Clone, Debug)]
pub struct McpBehaviour {
    /// Whose tokens it takes, and whom its metadata name, in this order.
    pub issuers: Vec<Issuer>,
    /// Where it serves its metadata. Default: the path form.
    pub metadata_at: Vec<MetadataPlace>,
    /// The place that its challenges name; `None`: they name none. Default: the path form.
    pub challenged_metadata: Option<MetadataPlace>,
    /// Changes to its metadata.
    pub metadata_edits: Edits,
    /// `scopes_supported` of its metadata; `None`: not said.
    pub scopes_supported: Option<Vec<String>>,
    /// The `scope` of its 401 challenges; `None`: not said.
    pub challenged_scope: Option<String>,
    /// These `WWW-Authenticate` fields with every 401 instead of its own.
    pub www_authenticate: Option<Vec<String>>,
    /// The audience that tokens must have; `None`: any. Default: its URL.
    pub audience: Option<String>,
    /// Methods that are answered without a token.
    pub open_methods: Vec<String>,
    /// What tools say instead of the name of the token's user, which stands in for `{user}`.
    pub tool_texts: BTreeMap<String, String>,
    /// The scopes that a tool wants; without them the answer is 403 and names these.
    pub tool_scopes: BTreeMap<String, Vec<String>>,
    /// The `scope` of its 403 challenges instead of the tool's.
    pub insufficient_scope: Option<String>,
}

/// Where protected resource metadata are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataPlace {
    /// At this path of the server's origin, or at this absolute URL (which only a challenge can name).
    At(String),
    /// `/.well-known/oauth-protected-resource` before the server's path.
    Path,
    /// `/.well-known/oauth-protected-resource` alone.
    Root,
}

impl McpServer {
    /// A server at this URL that takes the tokens of this issuer.
    ///
    /// # Panics
    /// It is no URL.
    pub fn new(url: &str, issuer: &Issuer) -> Self {
        let behaviour = McpBehaviour {
            issuers: vec![issuer.clone()],
            metadata_at: vec![MetadataPlace::Path],
            challenged_metadata: Some(MetadataPlace::Path),
            metadata_edits: Edits::default(),
            scopes_supported: None,
            challenged_scope: None,
            www_authenticate: None,
            audience: Some(url.to_owned()),
            open_methods: Vec::new(),
            tool_texts: BTreeMap::new(),
            tool_scopes: BTreeMap::new(),
            insufficient_scope: None,
        };
        let resource = url.to_owned();
        let url = Url::parse(url).unwrap_or_else(|error| panic!("`{url}` is no URL: {error}"));
        Self(Arc::new(Mutex::new(State { resource, url, behaviour, scripted: Vec::new() })))
    }

    /// Changes how it behaves from now on.
    pub fn behave(&self, change: impl FnOnce(&mut McpBehaviour)) {
        change(&mut self.state().behaviour);
    }

    /// Its URL, as given.
    pub fn url(&self) -> String {
        self.state().resource.clone()
    }

    /// The next `times` requests to its URL are answered with this.
    pub fn answer_instead(&self, times: usize, response: Response) {
        self.state().scripted.extend(std::iter::repeat_n(response, times));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A JSON-RPC request, for [`Request::post_json`].
pub fn rpc(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

impl Server for McpServer {
    fn handle(&mut self, request: &Request, now: UnixMillis) -> Response {
        self.state().handle(request, now)
    }
}

impl State {
    fn handle(&mut self, request: &Request, now: UnixMillis) -> Response {
        let path = request.path();
        if self.behaviour.metadata_at.iter().any(|place| self.metadata_path(place) == path) {
            return Response::json(200, &self.metadata());
        }
        if path != self.url.path() {
            return Response::new(404);
        }
        if !self.scripted.is_empty() {
            return self.scripted.remove(0);
        }
        if request.method != "POST" {
            // As most servers do, it looks for a token before it looks at the method.
            return self.token(request, now).err().unwrap_or(Response::new(405));
        }
        self.rpc(request, now)
    }

    fn metadata(&self) -> Value {
        let mut document = json!({
            "resource": self.resource,
            "authorization_servers": self.behaviour.issuers.iter().map(Issuer::url).collect::<Vec<_>>(),
            "bearer_methods_supported": ["header"],
        });
        if let Some(scopes) = &self.behaviour.scopes_supported {
            document["scopes_supported"] = json!(scopes);
        }
        self.behaviour.metadata_edits.apply(document)
    }

    fn metadata_path(&self, place: &MetadataPlace) -> String {
        const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
        match place {
            MetadataPlace::At(path) => path.clone(),
            MetadataPlace::Path => format!("{WELL_KNOWN}{}", self.url.path().trim_end_matches('/')),
            MetadataPlace::Root => WELL_KNOWN.to_owned(),
        }
    }

    fn rpc(&self, request: &Request, now: UnixMillis) -> Response {
        let message = request.json();
        let Some(method) = message["method"].as_str() else {
            return rpc_error(400, &message, -32600, "not a request");
        };
        let open = self.behaviour.open_methods.iter().any(|open| open == method);
        let token = match self.token(request, now) {
            Ok(token) => Some(token),
            Err(_) if open => None,
            Err(refused) => return refused,
        };
        if method.starts_with("notifications/") {
            return Response::new(202);
        }
        let result = match method {
            "initialize" => json!({
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": { "tools": {} },
                "serverInfo": { "name": "testing", "version": "1" },
            }),
            "server/discover" => json!({
                "supportedVersions": ["2026-07-28"],
                "capabilities": { "tools": {} },
                "serverInfo": { "name": "testing", "version": "1" },
            }),
            "ping" => json!({}),
            "tools/list" => json!({ "tools": self.tools() }),
            "tools/call" => {
                let name = message["params"]["name"].as_str().unwrap_or_default();
                let wanted = self.behaviour.tool_scopes.get(name);
                let text = self.behaviour.tool_texts.get(name);
                if name != WHOAMI && wanted.is_none() && text.is_none() {
                    return rpc_error(200, &message, -32602, "no such tool");
                }
                let (user, scopes) =
                    token.map_or(("nobody".into(), Vec::new()), |token| (token.user, token.scopes));
                if let Some(wanted) =
                    wanted.filter(|wanted| !wanted.iter().all(|scope| scopes.contains(scope)))
                {
                    return self.insufficient(wanted);
                }
                let text = text.map_or_else(|| user.clone(), |text| text.replace("{user}", &user));
                json!({ "content": [{ "type": "text", "text": text }], "isError": false })
            }
            _ => return rpc_error(404, &message, -32601, "no such method"),
        };
        Response::json(200, &json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }))
    }

    fn tools(&self) -> Vec<Value> {
        let names: BTreeSet<_> =
            self.behaviour.tool_scopes.keys().chain(self.behaviour.tool_texts.keys()).collect();
        let others = names.into_iter().map(String::as_str).filter(|name| *name != WHOAMI);
        let schema = json!({ "type": "object" });
        std::iter::once(WHOAMI)
            .chain(others)
            .map(|name| json!({ "name": name, "inputSchema": schema }))
            .collect()
    }

    /// What the request's token is good for, or the 401.
    fn token(&self, request: &Request, now: UnixMillis) -> Result<LiveToken, Response> {
        let Some(header) = request.one("authorization") else { return Err(self.unauthorized(None)) };
        let live = header.strip_prefix("Bearer ").and_then(|token| {
            let live = self.behaviour.issuers.iter().find_map(|issuer| issuer.live_token(token, now))?;
            let audience = self.behaviour.audience.as_ref();
            audience.is_none_or(|audience| live.resource.as_ref() == Some(audience)).then_some(live)
        });
        live.ok_or_else(|| self.unauthorized(Some("invalid_token")))
    }

    fn unauthorized(&self, error: Option<&str>) -> Response {
        if let Some(fields) = &self.behaviour.www_authenticate {
            let add = |response: Response, field: &String| response.header("WWW-Authenticate", field);
            return fields.iter().fold(Response::new(401), add);
        }
        self.challenge(401, error, self.behaviour.challenged_scope.as_deref())
    }

    fn insufficient(&self, wanted: &[String]) -> Response {
        let scope = self.behaviour.insufficient_scope.clone().unwrap_or_else(|| wanted.join(" "));
        self.challenge(403, Some("insufficient_scope"), Some(&scope))
    }

    fn challenge(&self, status: u16, error: Option<&str>, scope: Option<&str>) -> Response {
        let metadata = self.behaviour.challenged_metadata.as_ref().map(|place| {
            let path = self.metadata_path(place);
            if path.starts_with('/') {
                format!("{}{path}", self.url.origin().ascii_serialization())
            } else {
                path
            }
        });
        let parameters = [("error", error), ("scope", scope), ("resource_metadata", metadata.as_deref())];
        let said: Vec<_> = parameters
            .iter()
            .filter_map(|(name, value)| value.map(|value| format!("{name}=\"{value}\"")))
            .collect();
        Response::new(status).header("WWW-Authenticate", format!("Bearer {}", said.join(", ")).trim_end())
    }
}

fn rpc_error(status: u16, message: &Value, code: i32, text: &str) -> Response {
    let error = json!({ "code": code, "message": text });
    Response::json(status, &json!({ "jsonrpc": "2.0", "id": message["id"], "error": error }))
}

const WHOAMI: &str = "whoami";
