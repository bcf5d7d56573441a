//! The gateway's records, as far as the properties of consent and downstream tokens speak of them.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Inspection, inspection};
use crate::downstream::browser::Browser;
use crate::downstream::credential::{Presented, code_hash};
use crate::engine::Engine;
use crate::principal::{ConnectorId, Principal, TenantId};
use crate::secret::Secret;
use crate::store::records::{
    CodeRecord, Connection, ConsentRecord, ConsentStatus, FamilyRecord, StagedRecord,
};
use crate::store::{Key, Kind, lookup_hash};

/// What a stored value holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// An authorization code.
    Code(CodeSight),
    /// A connection.
    Connection(Box<Inspection>),
    /// A consent session.
    Consent(ConsentSight),
    /// The tokens of one sign-in.
    Family(FamilySight),
    /// A staged grant.
    Staged(StagedSight),
}

/// An authorization code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeSight {
    /// For which client.
    pub client: String,
    /// Where it was sent.
    pub redirect_uri: String,
    /// For which endpoint.
    pub resource: String,
    /// For whom.
    pub person: Principal,
    /// What it was redeemed for.
    pub family: Option<Key>,
}

/// A consent session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentSight {
    /// Whether it goes on.
    pub open: bool,
    /// Where it has led, once it has ended.
    pub answer: Option<Secret>,
    /// Who the person has chosen to be.
    pub person: Option<Principal>,
    /// For which a grant is staged.
    pub staged: Vec<ConnectorId>,
    /// Where the client hears of it.
    pub redirect_uri: String,
}

/// The tokens of one sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilySight {
    /// Whose they are.
    pub client: String,
    /// For whom.
    pub person: Principal,
    /// For which endpoint.
    pub resource: String,
    /// Whether all of them are dead.
    pub dead: bool,
    /// Hashes of the access tokens.
    pub access: Vec<[u8; 32]>,
    /// The hash of the refresh token.
    pub refresh: Option<[u8; 32]>,
    /// Hashes of those before, newest first.
    pub parents: Vec<[u8; 32]>,
}

/// A staged grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedSight {
    /// Whose it would be.
    pub owner: Principal,
    /// The access token.
    pub access_token: Secret,
    /// The refresh token, if there is one.
    pub refresh_token: Option<Secret>,
}

/// A token of the gateway, by its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSight {
    /// Where its family stands.
    pub family: Key,
    /// What it is known by there.
    pub hash: [u8; 32],
}

/// What a stored value holds; `None`: it is another record, or does not open.
pub fn look(engine: &Engine, key: &Key, value: &[u8]) -> Option<Sight> {
    let tenant = TenantId::new(str::from_utf8(key.tenant()?).ok()?).ok()?;
    let kind = *key.as_bytes().get(key.tenant()?.len().checked_add(1)?)?;
    match kind {
        kind if kind == Kind::Code as u8 => {
            let record: CodeRecord = open(engine, key, value)?;
            Some(Sight::Code(CodeSight {
                client: record.client_id,
                redirect_uri: record.redirect_uri,
                resource: record.resource,
                person: record.caller.principal,
                family: record.redeemed.map(|family| Key::family(&tenant, &family.0)),
            }))
        }
        kind if kind == Kind::Connection as u8 => {
            let record: Connection = open(engine, key, value)?;
            Some(Sight::Connection(Box::new(inspection(record))))
        }
        kind if kind == Kind::Consent as u8 => {
            let record: ConsentRecord = open(engine, key, value)?;
            Some(Sight::Consent(ConsentSight {
                open: record.status == ConsentStatus::Open,
                answer: match record.status {
                    ConsentStatus::Open => None,
                    ConsentStatus::Ended { redirect, .. } => Some(redirect),
                },
                person: record.identity.map(|identity| identity.principal),
                staged: record.staged,
                redirect_uri: record.request.redirect_uri,
            }))
        }
        kind if kind == Kind::Family as u8 => {
            let record: FamilyRecord = open(engine, key, value)?;
            Some(Sight::Family(FamilySight {
                client: record.client_id,
                person: record.caller.principal,
                resource: record.resource,
                dead: record.revoked.is_some(),
                access: record.access.iter().map(|token| token.hash.0).collect(),
                refresh: record.refresh.map(|token| token.hash.0),
                parents: record.parents.iter().map(|parent| parent.0).collect(),
            }))
        }
        kind if kind == Kind::Staged as u8 => {
            let record: StagedRecord = open(engine, key, value)?;
            Some(Sight::Staged(StagedSight {
                owner: record.owner,
                access_token: record.grant.access_token,
                refresh_token: record.grant.refresh_token,
            }))
        }
        _ => None,
    }
}

fn open<T: DeserializeOwned>(engine: &Engine, key: &Key, value: &[u8]) -> Option<T> {
    #[derive(Deserialize)]
    struct Reading<T> {
        record: T,
    }
    let (_, plaintext) = engine.keyring().open(key, value)?;
    serde_json::from_slice::<Reading<T>>(&plaintext).ok().map(|read| read.record)
}

/// What a token of the gateway names; `None`: it is none.
pub fn token(tenant: &TenantId, token: &str) -> Option<TokenSight> {
    let Presented { family, hash, .. } = Presented::read(token)?;
    Some(TokenSight { family: Key::family(tenant, &family.0), hash: hash.0 })
}

/// Where a code stands; `None`: it is none.
pub fn code_key(tenant: &TenantId, code: &str) -> Option<Key> {
    Some(Key::code(tenant, &code_hash(code)?.0))
}

/// Where a consent session stands.
pub fn consent_key(tenant: &TenantId, id: &str) -> Key {
    Key::consent(tenant, &lookup_hash("consent", id))
}

/// Where a grant staged in a consent session stands.
pub fn staged_key(tenant: &TenantId, consent: &str, connector: &ConnectorId) -> Key {
    Key::staged(tenant, &lookup_hash("consent", consent), connector)
}

/// Where a connection stands.
pub fn connection_key(tenant: &TenantId, owner: &Principal, connector: &ConnectorId) -> Key {
    Key::connection(tenant, owner, connector)
}

/// What the forms of a page carry in the browser with this page cookie: whoever holds the cookie can compute it.
pub fn form_token(page_cookie: &Secret, page: &str, person: &Principal) -> String {
    Browser::with(page_cookie.clone()).form_token(page, Some(person))
}
