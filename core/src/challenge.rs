//! The challenge: the typed answer "authorization needed": why, for what, and where to go.

use serde::Serialize;

use crate::moment::UnixMillis;
use crate::principal::{ConnectorId, Principal};
use crate::protocol::scopes::Scopes;

/// Authorization is needed before the call can be made. Nothing waits for it: tell the person, and resolve again later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "model", derive(Hash))]
pub struct Challenge {
    /// Why.
    pub reason: ChallengeReason,
    /// Which upstream has to be connected: the connector asked for, or an account it draws on.
    pub connector: ConnectorId,
    /// Whose connection is needed.
    pub owner: Principal,
    /// The scopes that will be asked for, as far as they are known.
    pub scopes: Scopes,
    /// The host's own page, for the caller's principal only; `None` where the engine has no base URL, or connecting does not help.
    pub url: Option<String>,
    /// The reference in that URL, for `begin_connect(because)`; `None` where connecting does not help.
    pub ticket: Option<String>,
    /// When the URL ends.
    pub expires_at: Option<UnixMillis>,
}

/// Why authorization is needed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChallengeReason {
    /// There is a shared credential to be connected, and the caller is not one who may.
    AskManager,
    /// There was never a connection, or it was disconnected.
    Connect,
    /// The connection is there and cannot be used any more, for this reason of its status.
    Reconnect(&'static str),
    /// A secret is needed that nobody has stored.
    StoreSecret(String),
    /// The server wants more scopes.
    StepUp,
    /// Policy has withdrawn the right to use the connection; connecting again does not help.
    Suspended,
}

impl ChallengeReason {
    /// Its name in messages.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::AskManager => "ask_manager",
            Self::Connect => "connect",
            Self::Reconnect(_) => "reconnect",
            Self::StoreSecret(_) => "store_secret",
            Self::StepUp => "step_up",
            Self::Suspended => "suspended",
        }
    }
}

/// The forms a challenge can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// The JSON body of an HTTP answer with status 409.
    Http409,
    /// One paragraph for a person, or for a model that talks to one.
    Text,
}

/// A challenge written out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rendered {
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
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
    connect_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<UnixMillis>,
    message: String,
}

impl Challenge {
    /// Writes the challenge out. Nothing in it comes from a server but scope names, whose characters are checked.
    pub fn render(&self, form: Form) -> Rendered {
        match form {
            Form::Text => Rendered { content_type: "text/plain; charset=utf-8", body: self.text() },
            Form::Http409 => {
                let detail = match &self.reason {
                    ChallengeReason::Reconnect(why) => Some(*why),
                    ChallengeReason::StoreSecret(name) => Some(name.as_str()),
                    _ => None,
                };
                let body = Http409 {
                    error: "authorization_needed",
                    reason: self.reason.as_str(),
                    detail,
                    connector: self.connector.as_str(),
                    scopes: &self.scopes,
                    connect_url: self.url.as_deref(),
                    expires_at: self.expires_at,
                    message: self.text(),
                };
                // INVARIANT: plain texts; writing them as JSON cannot fail.
                let body = serde_json::to_string(&body).unwrap_or_default();
                Rendered { content_type: "application/json", body }
            }
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
