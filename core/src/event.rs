//! Typed events: what changed, for logs, metrics and audit. They come with the outcome and hold no secret.

use serde::{Deserialize, Serialize};

use crate::moment::UnixMillis;
use crate::operation::OperationId;
use crate::principal::{ConnectorId, Principal, TenantId};
use crate::protocol::scopes::Scopes;
use crate::store::records::Revoked as WhySignedOut;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Event {
    /// When, by the host's clock.
    pub at: UnixMillis,
    /// In which operation; the evidence id of failures.
    pub operation: OperationId,
    /// Where.
    pub tenant: TenantId,
    /// Who acted; `None` for background work.
    pub actor: Option<Principal>,
    /// Whose connection it is about.
    pub owner: Option<Principal>,
    /// Which upstream it is about.
    pub connector: Option<ConnectorId>,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum What {
    /// A client was approved, and given a code.
    Approved,
    /// A reconnect arrived as another account and waits for the owner.
    AccountChanged,
    /// The owner has sent another account back that a reconnect had brought.
    AccountRefused,
    /// What belongs to a flow came back to another browser, or to somebody else, than it began with: nothing has changed, and a link may
    /// have been forwarded.
    CallbackMisdirected {
        /// The failure's slug.
        slug: String,
    },
    /// A person is needed.
    ChallengeIssued {
        /// The challenge's reason.
        reason: String,
    },
    /// An MCP client has registered itself at the gateway.
    ClientRegistered {
        /// The id it was given.
        client_id: String,
    },
    /// A connection has a grant of a new consent.
    Connected {
        /// The generation it began with.
        generation: u64,
        /// Whether the whole origin is its audience.
        parent: bool,
        /// Whether a mix-up with another issuer is excluded.
        protected: bool,
        /// The challenge that is answered thereby; a run that waits for it may go on.
        challenge: Option<String>,
    },
    /// A connector was added, changed or removed.
    ConnectorChanged {
        /// Its new revision; `None` when removed.
        revision: Option<u64>,
    },
    /// A credential was handed out.
    CredentialUsed {
        /// Whose class: `personal`, `team`, `org`, `agent`.
        scope: String,
        /// Of which generation.
        generation: u64,
    },
    /// A connection was emptied by its owner or an administrator.
    Disconnected {
        /// Whether a token nobody has seen may live on upstream.
        doubt: bool,
    },
    /// An authorization attempt began.
    FlowBegun {
        /// At which issuer.
        issuer: String,
        /// Whether a mix-up with another issuer is excluded.
        protected: bool,
    },
    /// An authorization attempt ended without a grant.
    FlowFailed {
        /// The failure's slug.
        slug: String,
    },
    /// A client's request began a consent session.
    ConsentBegun,
    /// A consent session was declined.
    ConsentDenied,
    /// A person said who they are in a consent session.
    IdentityChosen {
        /// How: `user`, `key`, `session`.
        mode: String,
    },
    /// A grant was brought in from outside.
    Imported,
    /// What was staged in a consent session is the owner's connection now.
    Promoted,
    /// Records were removed.
    Purged {
        /// How many.
        records: u64,
    },
    /// A grant cannot be used or refreshed any more.
    ReauthNeeded {
        /// Why: the reason of the status.
        reason: String,
    },
    /// The resource rejected a credential.
    Rejected {
        /// The status of its response.
        status: u16,
        /// Of which generation.
        generation: u64,
    },
    /// A grant has new tokens.
    Refreshed {
        /// Their generation.
        generation: u64,
    },
    /// A refresh ended without new tokens; the grant stays.
    RefreshPostponed {
        /// Until when.
        until: UnixMillis,
    },
    /// A key was nobody's.
    KeyRefused,
    /// A code or a refresh token of the gateway was used a second time; its sign-in is ended.
    ReplaySeen {
        /// The client that it was given to.
        client: String,
    },
    /// Our client was registered at an issuer.
    Registered {
        /// At which.
        issuer: String,
    },
    /// An issuer does not know our client any more.
    RegistrationStale {
        /// Which.
        issuer: String,
    },
    /// A suspended connection may be used again.
    Restored,
    /// A token was revoked upstream.
    Revoked,
    /// A token could not be revoked upstream and was let go.
    RevocationGivenUp,
    /// A secret was stored.
    SecretStored {
        /// Its name.
        name: String,
    },
    /// A secret was removed.
    SecretDeleted {
        /// Its name.
        name: String,
    },
    /// An upstream was connected within a consent session; it is the owner's once that ends well.
    Staged,
    /// A client of the gateway has got its first tokens.
    SignedIn {
        /// Which client.
        client: String,
        /// What it was allowed.
        scopes: Scopes,
    },
    /// The tokens of a client of the gateway are dead.
    SignedOut {
        /// Which client.
        client: String,
        /// Why.
        reason: WhySignedOut,
    },
    /// Policy withdrew the right to use a connection.
    Suspended,
    /// A client of the gateway has new tokens.
    TokensRefreshed {
        /// Which client.
        client: String,
    },
}
