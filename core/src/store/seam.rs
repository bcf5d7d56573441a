//! A seam through which tests that stand outside reach records: laws, fuzz targets, benches. Behind the feature `seam`.
//!
//! It hands out nothing that a host could not have with its own sealing keys.

use std::fmt;

use super::record::{Stored, open, seal};
use super::records::{
    ApprovalRecord, AttemptsRecord, ClientRecord, CodeRecord, Connection, ConnectorRecord, ConsentRecord,
    FamilyRecord, Flow, Metadata, Registration, SecretRecord, SessionRecord, SlotRecord, StagedRecord,
    Throttle, Ticket, TicketOf,
};
use super::{Key, Kind};
use crate::engine::Engine;
use crate::error::{Code, Failure};
use crate::moment::{Moment, UnixMillis};
use crate::operation::Versioned;
use crate::principal::{ConnectorId, TenantId};

/// A record of whatever kind, with its place.
#[derive(PartialEq, Eq)]
pub struct AnyRecord {
    key: Key,
    content: Content,
}

/// Opens a value as the kind of record that its key names.
///
/// # Errors
/// `store.integrity`: it does not open, its content is not valid, or the key is of no record.
pub fn open_record(engine: &Engine, key: &Key, value: &Versioned) -> Result<AnyRecord, Failure> {
    let kind = key.parts().map(|(kind, _)| kind);
    let (_, read) = KINDS.iter().find(|(name, _)| Some(*name as u8) == kind).ok_or(Code::StoreIntegrity)?;
    Ok(AnyRecord { key: key.clone(), content: read(engine, key, value)? })
}

/// Seals any bytes as if they were a record of this version: what a forger with the sealing key could do.
pub fn seal_bytes(engine: &Engine, moment: &Moment, key: &Key, version: u8, bytes: &[u8]) -> Vec<u8> {
    engine.keyring().seal(&moment.entropy, key, version, |plaintext| plaintext.push(bytes))
}

/// The record version and the bytes under the seal of a value; `None` if it does not open.
pub fn opened_bytes(engine: &Engine, key: &Key, value: &[u8]) -> Option<(u8, Vec<u8>)> {
    engine.keyring().open(key, value).map(|(version, bytes)| (version, bytes.to_vec()))
}

/// The keys written anew from everything that this key names: none for a key of a plain record, else the key itself, once for each
/// reading.
pub fn rewritten(key: &Key) -> Vec<Key> {
    let tenant = key.tenant().and_then(|id| TenantId::new(str::from_utf8(id).ok()?).ok());
    let (Some(tenant), Some((_, parts))) = (tenant, key.parts()) else { return Vec::new() };
    let minute = key.minute().and_then(|minute| minute.checked_mul(60_000)).map(UnixMillis);
    let about = parts.first().and_then(|id| ConnectorId::new(str::from_utf8(id).ok()?).ok());
    [
        key.connector_name().map(|name| Key::connector(&tenant, &name)),
        key.connection_target().map(|(owner, to)| Key::connection(&tenant, &owner, &to)),
        key.flow_hash().map(|hash| Key::flow(&tenant, &hash)),
        minute.zip(key.due_target()).map(|(at, (owner, to))| Key::due(&tenant, at, &owner, &to)),
        about.zip(key.by_connector_owner()).map(|(to, owner)| Key::by_connector(&tenant, &to, &owner)),
        minute.zip(key.expiry_target()).map(|(at, target)| Key::expiry(&tenant, at, &target)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl AnyRecord {
    /// Writes and seals the record anew for the same key.
    pub fn seal(&self, engine: &Engine, moment: &Moment) -> Vec<u8> {
        let (keyring, entropy) = (engine.keyring(), &moment.entropy);
        macro_rules! sealed {
            ($($kind:ident),+) => {
                match &self.content {
                    $(Content::$kind(it) => seal(keyring, entropy, &self.key, &it.record, it.written_by),)+
                }
            };
        }
        sealed!(
            Approval,
            Attempts,
            Client,
            Code,
            Connection,
            Connector,
            Consent,
            Family,
            Flow,
            Metadata,
            Registration,
            Secret,
            Session,
            Slot,
            Staged,
            Throttle,
            Ticket,
            TicketOf
        )
    }
}

impl fmt::Debug for AnyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.content.fmt(f)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Content {
    Approval(Box<Stored<ApprovalRecord>>),
    Attempts(Box<Stored<AttemptsRecord>>),
    Client(Box<Stored<ClientRecord>>),
    Code(Box<Stored<CodeRecord>>),
    Connection(Box<Stored<Connection>>),
    Connector(Box<Stored<ConnectorRecord>>),
    Consent(Box<Stored<ConsentRecord>>),
    Family(Box<Stored<FamilyRecord>>),
    Flow(Box<Stored<Flow>>),
    Metadata(Box<Stored<Metadata>>),
    Registration(Box<Stored<Registration>>),
    Secret(Box<Stored<SecretRecord>>),
    Session(Box<Stored<SessionRecord>>),
    Slot(Box<Stored<SlotRecord>>),
    Staged(Box<Stored<StagedRecord>>),
    Throttle(Box<Stored<Throttle>>),
    Ticket(Box<Stored<Ticket>>),
    TicketOf(Box<Stored<TicketOf>>),
}

type Read = fn(&Engine, &Key, &Versioned) -> Result<Content, Failure>;

macro_rules! kinds {
    ($($kind:ident),+) => {
        [$((Kind::$kind, |engine, key, value| {
            Ok(Content::$kind(Box::new(open(engine.keyring(), key, value)?)))
        }),)+]
    };
}

const KINDS: [(Kind, Read); 18] = kinds!(
    Approval,
    Attempts,
    Client,
    Code,
    Connection,
    Connector,
    Consent,
    Family,
    Flow,
    Metadata,
    Registration,
    Secret,
    Session,
    Slot,
    Staged,
    Throttle,
    Ticket,
    TicketOf
);
