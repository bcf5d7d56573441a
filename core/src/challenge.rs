//! The challenge: the typed answer "authorization needed": why, for what, and where to go.

mod render;

use serde::Serialize;

pub use self::render::{Form, Placed, Rendered, render_all};
use crate::moment::UnixMillis;
use crate::principal::{ConnectorId, Principal};
use crate::protocol::scopes::Scopes;

/// Authorization is needed before the call can be made. Nothing waits for it: tell the person, and resolve again later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "model", derive(Hash))]
pub struct Challenge {
    /// Names it in events and in elicitations; not secret, and no right. `None` where connecting does not help.
    pub id: Option<String>,
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
