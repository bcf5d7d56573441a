//! What each record holds. The keys are in `key.rs`; the form is described in `spec/records.md`.
//!
//! Members have no default, `None` included: a record without one does not open (atk:IMP-13). The exceptions are secrets, whose absence
//! lets less happen, and lists, which are left out when empty.

use serde::{Deserialize, Deserializer, Serialize};

use super::record::Record;
use super::sealed_text;
use crate::address::AddressPolicy;
use crate::connector::{Connector, Dialect, Waivers};
use crate::hex;
use crate::moment::UnixMillis;
use crate::operation::OperationId;
use crate::principal::{ConnectorId, Principal};
use crate::protocol::client_auth::AuthMethod;
use crate::protocol::id_token::Account;
use crate::protocol::scopes::Scopes;
use crate::secret::Secret;

/// An optional member that has to be there: `null` says that there is none.
fn required<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

macro_rules! record {
    ($(#[$doc:meta])* $name:ident v $version:literal { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "model", derive(Hash))]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name { $($(#[$field_doc])* pub(crate) $field: $kind,)+ }

        impl Record for $name {
            const VERSION: u8 = $version;
        }
    };
}

record! {
    /// A tenant's configuration of one upstream.
    ConnectorRecord v 1 {
        connector: Connector,
        /// The secret of a static registration.
        #[serde(with = "sealed_text::option", default, skip_serializing_if = "Option::is_none")]
        client_secret: Option<Secret>,
        /// +1 at every change.
        revision: u64,
        /// Seeded from a file and not yet looked at by an administrator.
        unverified: bool,
    }
}

record! {
    /// The durable relation owner × connector. Disconnect empties it and keeps it as a tombstone.
    Connection v 1 {
        /// Stable over reconnects.
        id: OperationId,
        /// +1 at every disconnect.
        epoch: u64,
        /// +1 at every token write; goes on over disconnect and reconnect.
        generation: u64,
        /// Tokens that must be revoked upstream.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        outbox: Vec<Parked>,
        /// A code may be in flight: set by the claim, cleared by the grant.
        redeeming: bool,
        /// A token nobody here has seen may live upstream.
        doubt: bool,
        /// The flow begun last; older ones are superseded.
        #[serde(deserialize_with = "required")]
        newest_flow: Option<FlowHash>,
        #[serde(deserialize_with = "required")]
        grant: Option<Box<Grant>>,
        /// Obtained by a reconnect that arrived as another account; held until the owner confirms.
        #[serde(deserialize_with = "required")]
        awaiting: Option<Box<Awaiting>>,
        #[serde(deserialize_with = "required")]
        account: Option<Account>,
        #[serde(deserialize_with = "required")]
        connected_by: Option<Principal>,
        #[serde(deserialize_with = "required")]
        connected_at: Option<UnixMillis>,
        #[serde(deserialize_with = "required")]
        suspended: Option<Suspension>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        step_ups: Vec<StepUp>,
        /// Everything requested so far, for the union of a step-up.
        requested: Scopes,
        /// What the step-up counted last asked for.
        wanted: Scopes,
        /// The minute under which `due` names this connection.
        #[serde(deserialize_with = "required")]
        due: Option<UnixMillis>,
        /// The slug of the last failure of a flow or refresh, for the status.
        #[serde(deserialize_with = "required")]
        last_failure: Option<String>,
        /// Set by purge: the tombstone may go after this time.
        #[serde(deserialize_with = "required")]
        purged_until: Option<UnixMillis>,
    }
}

/// The hash of a flow's state, as stored in its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct FlowHash(#[serde(with = "hex")] pub(crate) [u8; 32]);

/// What the issuer gave once, and the state of keeping it alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "model", derive(Hash))]
#[serde(deny_unknown_fields)]
pub(crate) struct Grant {
    #[serde(with = "sealed_text")]
    pub(crate) access_token: Secret,
    #[serde(with = "sealed_text::option", default, skip_serializing_if = "Option::is_none")]
    pub(crate) refresh_token: Option<Secret>,
    pub(crate) obtained_at: UnixMillis,
    /// `None`: the issuer did not say.
    #[serde(deserialize_with = "required")]
    pub(crate) expires_at: Option<UnixMillis>,
    pub(crate) terms: Terms,
    /// Granted scopes; `None`: the issuer did not say and none were requested.
    pub(crate) scopes: Scopes,
    /// The generation at which this consent began: tells a rotation from a reconnect.
    pub(crate) family: u64,
    /// POSTs of this refresh token that may have reached the issuer and have no definite answer: 0, 1 or 2.
    pub(crate) sends: u8,
    #[serde(deserialize_with = "required")]
    pub(crate) lease: Option<Lease>,
    #[serde(deserialize_with = "required")]
    pub(crate) backoff: Option<Backoff>,
    /// About this generation only; a newer one clears it.
    #[serde(deserialize_with = "required")]
    pub(crate) condemned: Option<Condemned>,
    /// When a 401 brought this generation about, if one did.
    #[serde(deserialize_with = "required")]
    pub(crate) rejected_at: Option<UnixMillis>,
}

/// A grant that waits for the owner to say that the other account is right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "model", derive(Hash))]
#[serde(deny_unknown_fields)]
pub(crate) struct Awaiting {
    /// As it will stand in the connection, but for its family.
    pub(crate) grant: Grant,
    #[serde(deserialize_with = "required")]
    pub(crate) account: Option<Account>,
    /// The scopes that its flow requested.
    pub(crate) requested: Scopes,
    /// Who went through the flow.
    pub(crate) by: Principal,
}

/// What a flow agreed on with an issuer; fixed when the flow begins, copied into the grant, never looked up again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "model", derive(Hash))]
#[serde(deny_unknown_fields)]
pub(crate) struct Terms {
    /// Byte for byte as its metadata says, which is as the resource named it unless a waiver tells the two apart.
    pub(crate) issuer: String,
    pub(crate) token_endpoint: String,
    #[serde(deserialize_with = "required")]
    pub(crate) revocation_endpoint: Option<String>,
    pub(crate) client: Client,
    /// Sent as `resource`; `None`: the dialect or the connector omits it.
    #[serde(deserialize_with = "required")]
    pub(crate) resource: Option<String>,
    /// The URL whose origin and path the token is good for.
    pub(crate) audience: String,
    /// The audience is the whole origin because only a root document was found.
    pub(crate) parent: bool,
    /// Whether a mix-up with another issuer is excluded.
    pub(crate) protected: bool,
    pub(crate) dialect: Dialect,
    pub(crate) waivers: Waivers,
    /// For the token endpoint.
    pub(crate) address_policy: AddressPolicy,
    /// For the revocation endpoint, which may stand on another host.
    pub(crate) revocation_policy: AddressPolicy,
    pub(crate) connector_revision: u64,
}

/// Our client at the grant's issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "model", derive(Hash))]
#[serde(deny_unknown_fields)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) method: AuthMethod,
    #[serde(with = "sealed_text::option", default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Secret>,
    pub(crate) source: RegistrationSource,
    /// The redirect set of its registration record.
    pub(crate) redirect_uri: String,
}

/// How a registration came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationSource {
    /// A client id metadata document.
    Cimd,
    /// RFC 7591.
    Dynamic,
    /// Configured in the connector.
    Static,
}

/// The time-bounded right to redeem a grant's refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lease {
    /// New for every POST.
    pub(crate) attempt: OperationId,
    pub(crate) until: UnixMillis,
}

/// After an answer that said "later".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Backoff {
    pub(crate) until: UnixMillis,
    pub(crate) failures: u8,
}

/// Why the grant of this generation cannot be used or refreshed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Condemned {
    /// The issuer says the client is unknown.
    ClientRefused,
    /// A refresh may or may not have been processed, and the retry is spent.
    InDoubt,
    /// The issuer says the grant is dead.
    InvalidGrant,
    /// The resource names another issuer now.
    IssuerChanged,
    /// The resource rejects the token, and there is nothing to refresh it with.
    Rejected,
}

/// A token to be revoked, with all it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "model", derive(Hash))]
#[serde(deny_unknown_fields)]
pub(crate) struct Parked {
    #[serde(with = "sealed_text")]
    pub(crate) token: Secret,
    pub(crate) refresh: bool,
    /// Whose token it is.
    pub(crate) issuer: String,
    pub(crate) endpoint: String,
    pub(crate) client: Client,
    pub(crate) address_policy: AddressPolicy,
    /// Attempts so far; after the fifth it is reported and let go.
    pub(crate) tries: u8,
    /// Not before this time.
    pub(crate) after: UnixMillis,
}

/// Policy withdrew the right to use a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Suspension {
    pub(crate) by: Principal,
    pub(crate) at: UnixMillis,
}

/// How often one operation of a resource has asked for more scopes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepUp {
    /// SHA-256 of (resource, operation), hexadecimal, first 16 characters.
    pub(crate) subject: String,
    pub(crate) since: UnixMillis,
    pub(crate) count: u8,
}

record! {
    /// One authorization attempt, from redirect to callback. Immutable but for its status.
    Flow v 1 {
        status: FlowStatus,
        created_at: UnixMillis,
        expires_at: UnixMillis,
        /// The connection's epoch when it began; another epoch supersedes it.
        epoch: u64,
        owner: Principal,
        principal: Principal,
        connector: ConnectorId,
        terms: Terms,
        /// The issuer promised to send `iss` (RFC 9207 §3).
        iss_promised: bool,
        redirect_uri: String,
        scopes: Scopes,
        #[serde(with = "sealed_text")]
        verifier: Secret,
        binding: Binding,
        /// The challenge that it answers.
        #[serde(deserialize_with = "required")]
        challenge: Option<String>,
        /// The consent session that began it: what it obtains is staged there.
        #[serde(deserialize_with = "required")]
        consent: Option<ConsentHash>,
        /// Where the host's page is to go afterwards.
        #[serde(deserialize_with = "required")]
        return_to: Option<String>,
    }
}

/// Where an authorization attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FlowStatus {
    Created,
    /// By the operation that redeems the code.
    Claimed(OperationId),
    Completed,
    Failed,
    Expired,
}

/// What proves that start and callback are the same browser, process or person.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Binding {
    /// SHA-256 over the per-browser secret and the flow.
    Browser(#[serde(with = "hex")] [u8; 32]),
    /// The caller who began hands the callback URL in.
    Paste,
    /// SHA-256 over the secret of the process that listens, and the flow.
    Process(#[serde(with = "hex")] [u8; 32]),
}

record! {
    /// Our client at one issuer for one redirect set.
    Registration v 1 {
        /// It belongs to this issuer and is used at no other.
        issuer: String,
        client: Client,
        redirect_uris: Vec<String>,
        /// `None`: never.
        #[serde(deserialize_with = "required")]
        expires_at: Option<UnixMillis>,
        /// The issuer said it does not know the client.
        stale: bool,
        registered_at: UnixMillis,
        /// When it last took the place of one that the issuer had forgotten: one renewal an hour.
        #[serde(deserialize_with = "required")]
        renewed_at: Option<UnixMillis>,
        /// RFC 7592.
        #[serde(deserialize_with = "required")]
        management_url: Option<String>,
        #[serde(with = "sealed_text::option", default, skip_serializing_if = "Option::is_none")]
        management_token: Option<Secret>,
    }
}

record! {
    /// A document as received; checked anew at each use.
    Metadata v 1 {
        /// Where it came from.
        url: String,
        source: DocumentSource,
        document: String,
        fetched_at: UnixMillis,
        fresh_until: UnixMillis,
    }
}

/// How the URL of a document was found; says whom the document must be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DocumentSource {
    /// A challenge of the server named it.
    Challenge,
    /// A well-known URL of the issuer.
    Issuer,
    /// The well-known URL of the server's own URL.
    PathForm,
    /// The well-known URL of the server's bare origin.
    RootForm,
}

record! {
    /// What a connect link stands for.
    Ticket v 1 {
        principal: Principal,
        connector: ConnectorId,
        owner: Principal,
        reason: TicketReason,
        created_at: UnixMillis,
        expires_at: UnixMillis,
        /// What the challenge of the resource said.
        #[serde(deserialize_with = "required")]
        resource_metadata: Option<String>,
        #[serde(deserialize_with = "required")]
        scopes: Option<Scopes>,
    }
}

/// Why a ticket was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketReason {
    /// There is no connection.
    Connect,
    /// The connection cannot be used any more.
    Reconnect,
    /// The server wants more scopes.
    StepUp,
}

record! {
    /// The live ticket of (principal, connector, purpose, scopes).
    TicketOf v 1 {
        #[serde(with = "sealed_text")]
        ticket: Secret,
        created_at: UnixMillis,
        expires_at: UnixMillis,
    }
}

record! {
    /// An issuer's brake, written only on 429, 5xx and timeouts.
    Throttle v 1 {
        until: UnixMillis,
        failures: u8,
    }
}

record! {
    /// A credential that is not OAuth: an API key, a header, an environment value.
    SecretRecord v 1 {
        name: String,
        #[serde(with = "sealed_text")]
        value: Secret,
        stored_at: UnixMillis,
        stored_by: Principal,
    }
}

mod downstream;

pub(crate) use downstream::*;
pub use downstream::{IdentityMode, Revoked};

#[cfg(test)]
mod tests;
