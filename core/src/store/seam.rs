//! A seam through which tests that stand outside reach records: laws, fuzz targets, benches. Behind the feature `seam`.
//!
//! It hands out nothing that a host could not have with its own sealing keys.

use std::fmt;

use super::record::{Stored, open, seal};
use super::records::{
    Connection, ConnectorRecord, Flow, Metadata, Registration, SecretRecord, Throttle, Ticket, TicketOf,
};
use super::{Key, Kind};
use crate::engine::Engine;
use crate::error::{Code, Failure};
use crate::moment::Moment;
use crate::operation::Versioned;

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
        sealed!(Connection, Connector, Flow, Metadata, Registration, Secret, Throttle, Ticket, TicketOf)
    }
}

impl fmt::Debug for AnyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.content.fmt(f)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Content {
    Connection(Box<Stored<Connection>>),
    Connector(Box<Stored<ConnectorRecord>>),
    Flow(Box<Stored<Flow>>),
    Metadata(Box<Stored<Metadata>>),
    Registration(Box<Stored<Registration>>),
    Secret(Box<Stored<SecretRecord>>),
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

const KINDS: [(Kind, Read); 9] =
    kinds!(Connection, Connector, Flow, Metadata, Registration, Secret, Throttle, Ticket, TicketOf);
