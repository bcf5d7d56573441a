//! As much of MCP over streamable HTTP as listing and calling tools takes, on both wires: with `initialize` up to
//! 2025-11-25, without a session from 2026-07-28 on.

use std::time::Duration;

use grantway::grantway_core::operation::{self, Header, HttpReply, HttpRequest, NotSent};
use grantway::grantway_core::secret::SecretBytes;
use grantway::transport::Transport;
use grantway::{Caller, Grantway, Secret};
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::report::Problem;
use crate::servers::{Desk, Server};

const STATEFUL: &str = "2025-11-25";
const STATELESS: &str = "2026-07-28";

/// LIMIT: long lists of tools take a few hundred kilobytes; results may hold pictures.
const RESPONSE_MAX_BYTES: u32 = 16 * 1024 * 1024;

/// LIMIT: tools may take long. The stream of an answer has to end within it, for it is read to its end.
const CALL_TIMEOUT: Duration = Duration::from_secs(300);

/// LIMIT: after so long nobody answers any more.
const START_WITHIN: Duration = Duration::from_secs(20);

/// LIMIT: pages of a list of tools, so that a server cannot keep a client turning them.
const PAGES_MAX: usize = 100;

/// A server, spoken to as one person.
pub(crate) struct Mcp<'a> {
    desk: &'a Desk,
    gw: &'a Grantway,
    server: &'a Server,
    wire: Wire,
    sent: u64,
}

/// How it is spoken to.
enum Wire {
    /// With a session, if the server names one.
    Stateful { version: HeaderValue, session: Option<HeaderValue> },
    /// Every request says everything.
    Stateless,
}

impl<'a> Mcp<'a> {
    /// Begins a session, or finds that the server has none.
    pub(crate) async fn open(desk: &'a Desk, gw: &'a Grantway, server: &'a Server) -> Result<Self, Problem> {
        let wire = Wire::Stateful { version: HeaderValue::from_static(STATEFUL), session: None };
        let mut mcp = Self { desk, gw, server, wire, sent: 0 };
        let parameters = json!({
            "protocolVersion": STATEFUL,
            "capabilities": {},
            "clientInfo": { "name": "grantway", "version": env!("CARGO_PKG_VERSION") },
        });
        let (response, id) = mcp.post("initialize", parameters).await?;
        // A server of the later wire knows no `initialize`, and says so in one of these ways.
        let wire =
            if response.status().is_success() { mcp.session(&response, id) } else { refusal(&response)? };
        mcp.wire = wire;
        if matches!(mcp.wire, Wire::Stateful { .. }) {
            mcp.send(
                "notifications/initialized",
                json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
            )
            .await?;
        }
        Ok(mcp)
    }

    fn session(&self, response: &Response<Vec<u8>>, id: u64) -> Wire {
        let Ok(result) = result(response, id) else { return Wire::Stateless };
        let version = result["protocolVersion"].as_str().and_then(|version| version.parse().ok());
        let session = response.headers().get("Mcp-Session-Id").cloned();
        Wire::Stateful { version: version.unwrap_or(HeaderValue::from_static(STATEFUL)), session }
    }

    /// The server's tools, as it describes them.
    pub(crate) async fn tools(&mut self) -> Result<Vec<Value>, Problem> {
        let (mut tools, mut parameters) = (Vec::new(), json!({}));
        for _ in 0..PAGES_MAX {
            let mut page = self.request("tools/list", parameters).await?;
            match page["tools"].take() {
                Value::Array(some) => tools.extend(some),
                _ => return Err(unreadable("its list of tools is not a list")),
            }
            match page["nextCursor"].take() {
                Value::String(cursor) => parameters = json!({ "cursor": cursor }),
                _ => return Ok(tools),
            }
        }
        Err(unreadable("its list of tools does not end"))
    }

    /// What a tool answers.
    pub(crate) async fn call(&mut self, tool: &str, arguments: &Value) -> Result<Value, Problem> {
        self.request("tools/call", json!({ "name": tool, "arguments": arguments })).await
    }

    async fn request(&mut self, method: &str, parameters: Value) -> Result<Value, Problem> {
        let (response, id) = self.post(method, parameters).await?;
        result(&response, id)
    }

    async fn post(
        &mut self,
        method: &str,
        mut parameters: Value,
    ) -> Result<(Response<Vec<u8>>, u64), Problem> {
        self.sent += 1;
        if matches!(self.wire, Wire::Stateless) {
            parameters["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": STATELESS,
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        }
        let message = json!({ "jsonrpc": "2.0", "id": self.sent, "method": method, "params": parameters });
        Ok((self.send(method, message).await?, self.sent))
    }

    /// Sends one message with the caller's credential, which Grantway brings up to date.
    async fn send(&self, method: &str, message: Value) -> Result<Response<Vec<u8>>, Problem> {
        let tool = message["params"]["name"].as_str();
        let operation = tool.map_or_else(|| method.to_owned(), |tool| format!("{method} {tool}"));
        let mut request =
            Request::post(&self.server.url).body(message.to_string().into_bytes()).map_err(|error| {
                Problem::usage(format!("`{}`: {error}", self.server.url), "check the server's URL")
            })?;
        self.set_headers(request.headers_mut(), method, tool);
        let caller: &Caller = &self.desk.caller;
        let sent = self.gw.send(caller, &self.server.name, &operation, request, async |request| {
            self.exchange(request).await
        });
        sent.await.map_err(|error| Problem::call(error, &self.server.name, |problem| problem))
    }

    fn set_headers(&self, headers: &mut HeaderMap, method: &str, tool: Option<&str>) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        match &self.wire {
            Wire::Stateful { version, session } => {
                headers.insert("MCP-Protocol-Version", version.clone());
                if let Some(session) = session {
                    headers.insert("Mcp-Session-Id", session.clone());
                }
            }
            Wire::Stateless => {
                headers.insert("MCP-Protocol-Version", HeaderValue::from_static(STATELESS));
                for (name, value) in [("Mcp-Method", Some(method)), ("Mcp-Name", tool)] {
                    if let Some(value) = value.and_then(|value| value.parse().ok()) {
                        headers.insert(name, value);
                    }
                }
            }
        }
    }

    /// By the transport of the engine: no redirects, and only to addresses that the server may have.
    async fn exchange(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, Problem> {
        let (head, body) = request.into_parts();
        let header = |(name, value): (&http::HeaderName, &HeaderValue)| Header {
            name: name.as_str().to_owned(),
            value: Secret::new(String::from_utf8_lossy(value.as_bytes())),
        };
        let request = HttpRequest {
            method: operation::Method::Post,
            url: self.server.url.clone(),
            headers: head.headers.iter().map(header).collect(),
            body: SecretBytes::new(body),
            max_response_bytes: RESPONSE_MAX_BYTES,
            timeout_ms: CALL_TIMEOUT.as_secs() * 1_000,
            start_within_ms: START_WITHIN.as_secs() * 1_000,
            address_policy: self.server.connector.address_policy.clone(),
        };
        match self.desk.home.transport().exchange(request).await {
            HttpReply::Response(response) if response.truncated => Err(unreadable("its answer is too long")),
            HttpReply::Response(response) => {
                let fields = response.headers.iter();
                let answer = fields
                    .fold(Response::builder().status(response.status), |answer, (name, value)| {
                        answer.header(name, value)
                    });
                answer
                    .body(response.body.expose().to_vec())
                    .map_err(|_| unreadable("its answer has headers that cannot be read"))
            }
            HttpReply::NotSent(NotSent::AddressRefused) => Err(Problem::peer(
                "peer_misbehaved.address_refused",
                "the server's name leads to an address that is not allowed for it",
                "check the server's URL",
            )),
            HttpReply::NotSent(_) => Err(Problem::peer(
                "network.server_unavailable",
                format!("`{}` cannot be reached", self.server.url),
                "check the network and try again",
            )),
            HttpReply::UnknownOutcome => Err(Problem::peer(
                "network.outcome_unknown",
                "the server may have received the call, but no whole answer arrived",
                "look whether the call has had its effect before you make it again",
            )),
        }
    }
}

/// What a refused `initialize` says: the later wire, or nothing that helps.
fn refusal(response: &Response<Vec<u8>>) -> Result<Wire, Problem> {
    match response.status() {
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            Ok(Wire::Stateless)
        }
        status => Err(status_problem(status)),
    }
}

/// The result in a response, or the error in it.
fn result(response: &Response<Vec<u8>>, id: u64) -> Result<Value, Problem> {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_stream = kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream");
    let text = String::from_utf8_lossy(response.body());
    let mut message = if is_stream {
        events(&text).into_iter().find(|message| message["id"] == id)
    } else {
        serde_json::from_str(&text).ok()
    };
    match &mut message {
        Some(message) if message["error"].is_object() => {
            let error = &message["error"];
            let said = error["message"].as_str().unwrap_or("nothing more");
            let text = format!("the server says `{said}` (error {})", error["code"]);
            Err(Problem::peer("mcp.error", text, "check the tool's name and its arguments"))
        }
        _ if !response.status().is_success() => Err(status_problem(response.status())),
        Some(message) if message["id"] == id && message["result"].is_object() => Ok(message["result"].take()),
        _ => Err(unreadable("its answer is not what MCP says")),
    }
}

/// The messages in a stream of events that has ended.
fn events(text: &str) -> Vec<Value> {
    let (mut messages, mut data) = (Vec::new(), String::new());
    for line in text.lines().chain([""]) {
        if let Some(more) = line.strip_prefix("data:") {
            data.push_str(more.strip_prefix(' ').unwrap_or(more));
            data.push('\n');
        } else if line.is_empty() {
            messages.extend(serde_json::from_str::<Value>(&data));
            data.clear();
        }
    }
    messages
}

fn status_problem(status: StatusCode) -> Problem {
    let message = format!("the server answered with status {}", status.as_u16());
    Problem::peer("mcp.status", message, "check the server's URL; if it is right, try again later")
}

fn unreadable(why: &str) -> Problem {
    Problem::peer(
        "mcp.unreadable",
        format!("the server cannot be understood: {why}"),
        "report it to its operator",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(kind: &str, status: u16, body: &str) -> Response<Vec<u8>> {
        Response::builder().status(status).header(CONTENT_TYPE, kind).body(body.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_result_comes_as_json_or_in_a_stream_among_others() {
        let json = response("application/json", 200, r#"{"jsonrpc":"2.0","id":7,"result":{"a":1}}"#);
        assert_eq!(result(&json, 7).unwrap(), json!({ "a": 1 }));
        let stream = "event: message\r\ndata: {\"method\":\"notifications/progress\"}\r\n\r\n: still there\r\n\r\n\
            id: 3\r\ndata: {\"jsonrpc\":\"2.0\",\r\ndata: \"id\":7,\"result\":{\"a\":2}}\r\n";
        let stream = response("text/event-stream; charset=utf-8", 200, stream);
        assert_eq!(result(&stream, 7).unwrap(), json!({ "a": 2 }));
    }

    #[test]
    fn what_is_no_result_is_a_problem() {
        for (kind, status, body) in [
            ("application/json", 200, "{"),
            ("application/json", 200, r#"{"id":8,"result":{}}"#),
            ("application/json", 200, r#"{"id":7}"#),
            ("application/json", 200, r#"{"id":7,"error":{"code":-32602,"message":"no"}}"#),
            ("application/json", 500, r#"{"id":7,"result":{}}"#),
            ("text/event-stream", 200, "data: {\"id\":8,\"result\":{}}\n\n"),
            ("text/html", 200, "<html>"),
        ] {
            assert!(result(&response(kind, status, body), 7).is_err(), "{body}");
        }
    }
}
