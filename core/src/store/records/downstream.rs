//! The records of the gateway: clients, consent sessions, codes, tokens.

use serde::{Deserialize, Serialize};

use super::{Grant, required, sealed_text};
use crate::hex;
use crate::moment::UnixMillis;
use crate::operation::{Context, OperationId};
use crate::principal::{Assurance, Caller, ConnectorId, Principal, Role, Team, TenantId};
use crate::protocol::client_auth::AuthMethod;
use crate::protocol::id_token::Account;
use crate::protocol::scopes::Scopes;
use crate::secret::Secret;
use crate::store::record::Record;

/// The hash of a consent session's id, as stored in its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ConsentHash(#[serde(with = "hex")] pub(crate) [u8; 32]);

/// SHA-256, for what is compared and never shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Digest(#[serde(with = "hex")] pub(crate) [u8; 32]);

/// Names the tokens of one sign-in; it stands in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct FamilyId(#[serde(with = "hex")] pub(crate) [u8; 16]);

/// A caller, as the host last answered for them; the tenant stands in the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownCaller {
    pub(crate) principal: Principal,
    pub(crate) assurance: Assurance,
    pub(crate) teams: Vec<Team>,
    pub(crate) role: Role,
}

impl KnownCaller {
    pub(crate) fn caller(&self, tenant: &TenantId) -> Caller {
        let Self { principal, assurance, teams, role } = self.clone();
        Caller { tenant: tenant.clone(), principal, assurance, teams, role }
    }
}

impl From<Caller> for KnownCaller {
    fn from(caller: Caller) -> Self {
        let Caller { tenant: _, principal, assurance, teams, role } = caller;
        Self { principal, assurance, teams, role }
    }
}

record! {
    /// An MCP client of the gateway. Everything in it is what the client says of itself.
    ClientRecord v 1 {
        client_id: String,
        source: ClientSource,
        #[serde(deserialize_with = "required")]
        name: Option<String>,
        redirect_uris: Vec<String>,
        method: AuthMethod,
        /// SHA-256 of its secret, by `lookup_hash("client_secret", …)`.
        #[serde(deserialize_with = "required")]
        secret: Option<Digest>,
        /// Whether it registered for refresh tokens.
        refreshes: bool,
        /// What it said about itself, as one number: another one needs another consent.
        version: Digest,
        created_at: UnixMillis,
        /// A document: until when it is used without asking again. A registered client: until when it is kept.
        fresh_until: UnixMillis,
        /// Whether somebody has ever approved it.
        used: bool,
        /// Why the document was refused, if it was: refusals are kept for as long as documents.
        #[serde(deserialize_with = "required")]
        refused: Option<String>,
    }
}

/// How a client came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientSource {
    /// Its id is the URL of its metadata document.
    Document,
    /// It registered itself (RFC 7591).
    Dynamic,
}

record! {
    /// The way of one browser from a client's request to a code.
    ConsentRecord v 1 {
        status: ConsentStatus,
        created_at: UnixMillis,
        expires_at: UnixMillis,
        request: ClientRequest,
        /// SHA-256 over the browser's page secret and the session's id: who holds another cookie sees nothing.
        browser: Digest,
        /// Who the person has chosen to be.
        #[serde(deserialize_with = "required")]
        identity: Option<Identity>,
        /// What the person does not want to connect now.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        skipped: Vec<ConnectorId>,
        /// For which a grant is staged.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        staged: Vec<ConnectorId>,
        /// Which of the client's slots it holds.
        slot: u16,
    }
}

/// Where a consent session stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "model", derive(Hash))]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConsentStatus {
    Open,
    /// It has ended with this redirect, which the same browser is given again until then.
    Ended {
        #[serde(with = "sealed_text")]
        redirect: Secret,
        until: UnixMillis,
    },
}

/// What a client has asked for; fixed when the consent session begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientRequest {
    pub(crate) client_id: String,
    /// As the request named it, byte for byte.
    pub(crate) redirect_uri: String,
    /// Whether the redirect URI is known to be the client's; a document is read only once the person is known.
    pub(crate) checked: bool,
    #[serde(deserialize_with = "required")]
    pub(crate) state: Option<String>,
    pub(crate) code_challenge: String,
    pub(crate) scopes: Scopes,
    pub(crate) resource: String,
}

/// Who a person is in a consent session.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    pub(crate) mode: IdentityMode,
    pub(crate) principal: Principal,
    /// When the person signed in, as the host says.
    #[serde(deserialize_with = "required")]
    pub(crate) auth_time: Option<UnixMillis>,
}

/// How a person says who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityMode {
    /// With an API key, whose holder the host names.
    Key,
    /// Not at all: the engine mints a session that ends by itself.
    Session,
    /// By the host's own login.
    User,
}

impl IdentityMode {
    /// Its name in messages: `key`, `session`, `user`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Session => "session",
            Self::User => "user",
        }
    }
}

record! {
    /// A grant obtained in a consent session. Nothing resolves to it before the session's last commit.
    StagedRecord v 1 {
        owner: Principal,
        by: Principal,
        grant: Grant,
        #[serde(deserialize_with = "required")]
        account: Option<Account>,
        requested: Scopes,
        /// The connection when this was staged: a disconnect since then has another epoch, a reconnect another family.
        epoch: u64,
        #[serde(deserialize_with = "required")]
        family: Option<u64>,
        /// What the connection is called in outcomes.
        connection: OperationId,
    }
}

record! {
    /// What one person has allowed one client.
    ApprovalRecord v 1 {
        client_id: String,
        redirect_uri: String,
        scopes: Scopes,
        resource: String,
        /// What the client said of itself then.
        version: Digest,
        at: UnixMillis,
    }
}

record! {
    /// A browser in which a key was shown, or for which the engine has minted a principal.
    SessionRecord v 1 {
        caller: KnownCaller,
        created_at: UnixMillis,
        expires_at: UnixMillis,
        /// When the host last answered for the caller.
        identified_at: UnixMillis,
    }
}

record! {
    /// An authorization code. It stays after its use, so that a second one is noticed.
    CodeRecord v 1 {
        client_id: String,
        redirect_uri: String,
        code_challenge: String,
        scopes: Scopes,
        resource: String,
        caller: KnownCaller,
        identified_at: UnixMillis,
        created_at: UnixMillis,
        expires_at: UnixMillis,
        /// Verifiers that were wrong.
        failures: u8,
        /// The family it was redeemed for.
        #[serde(deserialize_with = "required")]
        redeemed: Option<FamilyId>,
    }
}

record! {
    /// The tokens of one sign-in. Tokens are known by their hashes.
    FamilyRecord v 1 {
        client_id: String,
        caller: KnownCaller,
        /// When the host last answered for the caller.
        identified_at: UnixMillis,
        scopes: Scopes,
        resource: String,
        created_at: UnixMillis,
        /// Live access tokens, oldest first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        access: Vec<AccessToken>,
        /// The current refresh token; `None`: the client gets none.
        #[serde(deserialize_with = "required")]
        refresh: Option<RefreshToken>,
        /// The refresh tokens before, newest first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parents: Vec<Digest>,
        /// The pair given last, for a client that did not hear it.
        #[serde(deserialize_with = "required")]
        newest: Option<Pair>,
        /// Why it is dead, if it is.
        #[serde(deserialize_with = "required")]
        revoked: Option<Revoked>,
    }
}

/// A live access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessToken {
    pub(crate) hash: Digest,
    pub(crate) created_at: UnixMillis,
    pub(crate) expires_at: UnixMillis,
}

/// The current refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshToken {
    pub(crate) hash: Digest,
    pub(crate) created_at: UnixMillis,
    pub(crate) expires_at: UnixMillis,
}

/// A pair of tokens that may be given again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "model", derive(Hash))]
#[serde(deny_unknown_fields)]
pub(crate) struct Pair {
    #[serde(with = "sealed_text")]
    pub(crate) access: Secret,
    #[serde(with = "sealed_text")]
    pub(crate) refresh: Secret,
    pub(crate) created_at: UnixMillis,
    pub(crate) until: UnixMillis,
}

/// Why the tokens of a family are dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revoked {
    /// The client gave them back.
    ByClient,
    /// Their owner or an administrator took them away.
    ByOwner,
    /// The host says that the principal does not stand any more.
    PrincipalGone,
    /// A code or a refresh token was used a second time.
    Replayed,
}

record! {
    /// One of a bounded number of places, and who holds it.
    SlotRecord v 1 {
        /// The hash of what holds it.
        holder: Digest,
        created_at: UnixMillis,
        expires_at: UnixMillis,
    }
}

record! {
    /// How often something was tried in vain.
    AttemptsRecord v 1 {
        since: UnixMillis,
        count: u8,
    }
}

impl ConsentRecord {
    /// Whether it may still go on.
    pub(crate) fn is_open(&self, cx: &Context<'_>) -> bool {
        // P8
        let skew = cx.engine.limits().clock_skew_ms;
        self.status == ConsentStatus::Open
            && self.created_at.minus(skew) <= cx.now()
            && cx.now() < self.expires_at
    }
}
