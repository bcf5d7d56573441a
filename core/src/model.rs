//! What a model checker may see of sealed records. Only under the feature `model`.

mod gateway;

use serde::Deserialize;

pub use self::gateway::{
    CodeSight, ConsentSight, FamilySight, Sight, StagedSight, TokenSight, code_key, connection_key,
    consent_key, form_token, look, staged_key, token,
};
use crate::engine::Engine;
use crate::moment::UnixMillis;
use crate::principal::{ConnectorId, Principal, TenantId};
use crate::secret::Secret;
use crate::store::Key;
use crate::store::records::Connection;

/// A connection's record as far as the properties of the refresh, callback and disconnect protocol speak of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inspection {
    /// +1 at every disconnect.
    pub epoch: u64,
    /// +1 at every token write.
    pub generation: u64,
    /// A code may be in flight.
    pub redeeming: bool,
    /// A token nobody here has seen may live upstream.
    pub doubt: bool,
    /// Tokens that are to be revoked.
    pub outbox: Vec<Secret>,
    /// The current grant.
    pub grant: Option<InspectedGrant>,
}

/// The current grant of an inspected connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InspectedGrant {
    /// The access token.
    pub access_token: Secret,
    /// The refresh token, if there is one.
    pub refresh_token: Option<Secret>,
    /// The generation at which this consent began.
    pub family: u64,
    /// POSTs of the refresh token that may have reached the issuer and have no definite answer.
    pub sends: u8,
    /// Until when somebody holds the lease.
    pub leased_until: Option<UnixMillis>,
    /// Why it cannot be refreshed any more: `invalid_grant`, `in_doubt` and so on.
    pub condemned: Option<&'static str>,
}

/// Opens the stored value of one connection. `None`: it does not open.
pub fn inspect(
    engine: &Engine,
    tenant: &TenantId,
    owner: &Principal,
    connector: &ConnectorId,
    value: &[u8],
) -> Option<Inspection> {
    #[derive(Deserialize)]
    struct Reading {
        record: Connection,
    }
    let (_, plaintext) = engine.keyring().open(&Key::connection(tenant, owner, connector), value)?;
    let Reading { record } = serde_json::from_slice(&plaintext).ok()?;
    Some(inspection(record))
}

fn inspection(record: Connection) -> Inspection {
    Inspection {
        epoch: record.epoch,
        generation: record.generation,
        redeeming: record.redeeming,
        doubt: record.doubt,
        outbox: record.outbox.into_iter().map(|parked| parked.token).collect(),
        grant: record.grant.map(|grant| InspectedGrant {
            access_token: grant.access_token,
            refresh_token: grant.refresh_token,
            family: grant.family,
            sends: grant.sends,
            leased_until: grant.lease.map(|lease| lease.until),
            condemned: grant.condemned.map(|why| why.as_str()),
        }),
    }
}
