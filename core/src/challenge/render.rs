//! A challenge written out, in the form that whoever made the call understands: the two of MCP, HTTP, an event, plain text.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Challenge, ChallengeReason};
use crate::moment::UnixMillis;
use crate::protocol::scopes::Scopes;

/// The forms a challenge can be written in. Which one a client understands, the host knows from its protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// The JSON body of an HTTP answer with status 409.
    Http409,
    /// MCP 2026-07-28: an `InputRequiredResult`, whose `requestState` the client sends back with the same call.
    InputRequired,
    /// An event of a stream (`text/event-stream`).
    ServerSentEvent,
    /// One paragraph for a person, or for a model that talks to one.
    Text,
    /// MCP 2025-11-25: the error -32042, with URL elicitations.
    UrlElicitation,
}

/// Where a rendered challenge goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Placed {
    /// It is the body of an HTTP answer, or of an event stream.
    Body,
    /// It is the `error` of a JSON-RPC answer.
    Error,
    /// It is the `result` of a JSON-RPC answer.
    Result,
}

/// A challenge written out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rendered {
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
    /// Where it goes.
    pub placed: Placed,
}

impl Rendered {
    fn json(placed: Placed, content: &impl Serialize) -> Self {
        // INVARIANT: plain texts; writing them as JSON cannot fail.
        let body = serde_json::to_string(content).unwrap_or_default();
        Self { content_type: "application/json", body, placed }
    }
}

#[derive(Serialize)]
struct Http409<'a> {
    error: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    connector: &'a str,
    scopes: &'a Scopes,
    #[serde(skip_serializing_if = "Option::is_none")]
    challenge: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<UnixMillis>,
    message: String,
}

#[derive(Serialize)]
struct ElicitationError<'a> {
    code: i32,
    message: String,
    data: ElicitationData<'a>,
}

#[derive(Serialize)]
struct ElicitationData<'a> {
    elicitations: Vec<Elicitation<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Elicitation<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    elicitation_id: Option<&'a str>,
    url: &'a str,
    message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InputRequired<'a> {
    result_type: &'static str,
    input_requests: BTreeMap<&'a str, InputRequest<'a>>,
    request_state: String,
}

#[derive(Serialize)]
struct InputRequest<'a> {
    method: &'static str,
    params: Elicitation<'a>,
}

/// A tool call that has failed in words (MCP, `CallToolResult`).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolError {
    content: [ToolText; 1],
    is_error: bool,
}

#[derive(Serialize)]
struct ToolText {
    r#type: &'static str,
    text: String,
}

impl Challenge {
    /// Writes the challenge out. Nothing in it comes from a server but scope names, whose characters are checked.
    ///
    /// The two forms of MCP lead to a page: a challenge that has none comes as a tool result that says so in words.
    pub fn render(&self, form: Form) -> Rendered {
        render_all(std::slice::from_ref(self), form)
    }

    fn http_409(&self) -> Http409<'_> {
        Http409 {
            error: "authorization_needed",
            reason: self.reason.as_str(),
            detail: match &self.reason {
                ChallengeReason::Reconnect(why) => Some(*why),
                ChallengeReason::StoreSecret(name) => Some(name.as_str()),
                _ => None,
            },
            connector: self.connector.as_str(),
            scopes: &self.scopes,
            challenge: self.id.as_deref(),
            connect_url: self.url.as_deref(),
            expires_at: self.expires_at,
            message: self.text(),
        }
    }

    /// The elicitation that leads to its page, if it has one.
    fn elicitation(&self, with_id: bool) -> Option<Elicitation<'_>> {
        //= spec/mcp-2026-07-28.md#elic-safe-url-handling
        //# The URL of an elicitation MUST hold no personal data and no credential, and MUST NOT be
        //# authenticated beforehand (CON-16, B).
        let url = self.url.as_deref()?;
        let elicitation_id = self.id.as_deref().filter(|_| with_id);
        Some(Elicitation { mode: "url", elicitation_id, url, message: self.prompt() })
    }
}

/// Several challenges at once, as a preflight brings them. None at all is an empty text.
pub fn render_all(challenges: &[Challenge], form: Form) -> Rendered {
    let text = || challenges.iter().map(Challenge::text).collect::<Vec<_>>().join("\n");
    let in_words = || {
        let content = [ToolText { r#type: "text", text: text() }];
        Rendered::json(Placed::Result, &ToolError { content, is_error: true })
    };
    match form {
        Form::Text => {
            Rendered { content_type: "text/plain; charset=utf-8", body: text(), placed: Placed::Body }
        }
        Form::Http409 => match challenges {
            [only] => Rendered::json(Placed::Body, &only.http_409()),
            several => {
                #[derive(Serialize)]
                struct Missing<'a> {
                    error: &'static str,
                    missing: Vec<Http409<'a>>,
                }
                let missing = several.iter().map(Challenge::http_409).collect();
                Rendered::json(Placed::Body, &Missing { error: "authorization_needed", missing })
            }
        },
        Form::ServerSentEvent => {
            let data = render_all(challenges, Form::Http409).body;
            let body = format!("event: authorization_needed\ndata: {data}\n\n");
            Rendered { content_type: "text/event-stream", body, placed: Placed::Body }
        }
        //= spec/mcp-2026-07-28.md#elic-url-elicitation-required
        //# The form of a challenge MUST follow the client's revision: -32042 with an `elicitationId` for 2025-11-25,
        //# `input_required` with a `requestState` for 2026-07-28 (CON-19, B).
        Form::UrlElicitation => {
            let elicitations: Vec<_> = challenges.iter().filter_map(|it| it.elicitation(true)).collect();
            if elicitations.is_empty() {
                return in_words();
            }
            let data = ElicitationData { elicitations };
            Rendered::json(Placed::Error, &ElicitationError { code: -32042, message: text(), data })
        }
        Form::InputRequired => {
            let asks = challenges.iter().filter_map(|it| Some((it, it.elicitation(false)?)));
            let input_requests: BTreeMap<&str, InputRequest<'_>> = asks
                .map(|(it, params)| {
                    (it.connector.as_str(), InputRequest { method: "elicitation/create", params })
                })
                .collect();
            if input_requests.is_empty() {
                return in_words();
            }
            // It names what was asked for and gives no right: the same call, made again, is looked at as if it were the first
            // (USE-12).
            let ids: Vec<&str> = challenges.iter().filter_map(|it| it.id.as_deref()).collect();
            let result =
                InputRequired { result_type: "input_required", input_requests, request_state: ids.join(".") };
            Rendered::json(Placed::Result, &result)
        }
    }
}

impl Challenge {
    /// Why a person should open the page, where its address stands beside.
    fn prompt(&self) -> String {
        let text = self.text();
        match &self.url {
            Some(url) => text.replace(&format!(" at {url} and try again"), ""),
            None => text,
        }
    }

    /// One paragraph for a person.
    pub fn text(&self) -> String {
        let connector = &self.connector;
        let text = match &self.reason {
            ChallengeReason::AskManager => {
                return format!(
                    "`{connector}` is not connected. Ask a manager to connect the shared account."
                );
            }
            ChallengeReason::StoreSecret(name) => {
                return format!(
                    "`{connector}` needs the secret `{name}`, which is not stored yet. Store it, then try again."
                );
            }
            ChallengeReason::Suspended => {
                return format!("The use of `{connector}` is suspended. Ask an administrator.");
            }
            ChallengeReason::Connect => format!("`{connector}` is not connected yet. Connect your account"),
            ChallengeReason::Reconnect(_) => {
                format!("The connection to `{connector}` has ended. Connect your account again")
            }
            ChallengeReason::StepUp => {
                format!("`{connector}` needs more permissions ({}) for this. Approve them", self.scopes)
            }
        };
        match &self.url {
            Some(url) => format!("{text} at {url} and try again."),
            None => format!("{text} and try again."),
        }
    }
}
