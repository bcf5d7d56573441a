//! The store behind the world: a map for the exploration, a real SQLite file for the replay.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use grantway_core::operation::{Action, CommitReply, Precondition, Version, Versioned, Write};
use grantway_core::store::{Key, Kind};

/// Two of the three storage verbs; no operation of this model scans.
pub(crate) trait Rows {
    fn read(&self, keys: &[Key]) -> Vec<Option<Versioned>>;
    fn commit(&mut self, writes: &[Write]) -> CommitReply;
}

/// Rows in memory, cheap to copy. One counter of versions, one version a commit, as the SQLite store has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    rows: Arc<BTreeMap<Key, Row>>,
    last_version: u64,
    /// Of all rows but the private ones. The counter is left out: whatever comes next is new.
    digest: u64,
}

#[derive(Clone, Debug)]
struct Row {
    stored: Arc<Versioned>,
    digest: u64,
}

impl Rows for Memory {
    fn read(&self, keys: &[Key]) -> Vec<Option<Versioned>> {
        keys.iter().map(|key| self.rows.get(key).map(|row| Versioned::clone(&row.stored))).collect()
    }

    fn commit(&mut self, writes: &[Write]) -> CommitReply {
        let holds = |write: &Write| match (write.precondition, self.rows.get(&write.key)) {
            (Precondition::Any, _) | (Precondition::Absent, None) => true,
            (Precondition::Version(version), Some(row)) => row.stored.version == version,
            (Precondition::Absent, Some(_)) | (Precondition::Version(_), None) => false,
        };
        if !writes.iter().all(holds) {
            return CommitReply::Conflict;
        }
        self.last_version += 1;
        let version = Version(self.last_version);
        let rows = Arc::make_mut(&mut self.rows);
        for Write { key, action, .. } in writes {
            match action {
                Action::Delete => drop(rows.remove(key)),
                Action::Keep => {}
                Action::Put { value, .. } => {
                    let stored = Arc::new(Versioned { value: value.clone(), version });
                    let digest = digest(&(key, &stored));
                    rows.insert(key.clone(), Row { stored, digest });
                }
            }
        }
        let public = |(key, row): (&Key, &Row)| (!is_index(key) && !is_private(key)).then_some(row.digest);
        self.digest = digest(&self.rows.iter().filter_map(public).collect::<Vec<_>>());
        CommitReply::Committed
    }
}

impl Hash for Memory {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.digest.hash(hasher);
    }
}

/// What a record is; see [`Kind`].
pub(crate) fn kind_of(key: &Key) -> Option<u8> {
    key.as_bytes().get(1 + key.tenant()?.len()).copied()
}

pub(crate) fn is_connection(key: &Key) -> bool {
    kind_of(key) == Some(Kind::Connection as u8)
}

/// Records that no property and no decision about a grant looks at.
pub(crate) fn is_private(key: &Key) -> bool {
    let private = [Kind::Registration, Kind::Metadata, Kind::Ticket, Kind::TicketOf, Kind::Expiry];
    kind_of(key).is_some_and(|kind| private.iter().any(|private| *private as u8 == kind))
}

/// Index records, which operations on one connection only write.
fn is_index(key: &Key) -> bool {
    let indexes = [Kind::ByClient, Kind::ByConnector, Kind::ByPrincipal, Kind::Due];
    kind_of(key).is_some_and(|kind| indexes.iter().any(|index| *index as u8 == kind))
}

/// The name of a record's kind.
pub(crate) fn name_of(key: &Key) -> &'static str {
    const NAMES: [(Kind, &str); 22] = [
        (Kind::Connector, "connector"),
        (Kind::Connection, "connection"),
        (Kind::Secret, "secret"),
        (Kind::Flow, "flow"),
        (Kind::Registration, "registration"),
        (Kind::Metadata, "metadata"),
        (Kind::Ticket, "ticket"),
        (Kind::TicketOf, "ticket of"),
        (Kind::Throttle, "throttle"),
        (Kind::Approval, "approval"),
        (Kind::Client, "client"),
        (Kind::Code, "code"),
        (Kind::Consent, "consent"),
        (Kind::Family, "family"),
        (Kind::Session, "session"),
        (Kind::Slot, "slot"),
        (Kind::Staged, "staged"),
        (Kind::ByClient, "by client"),
        (Kind::ByPrincipal, "by principal"),
        (Kind::Due, "due"),
        (Kind::ByConnector, "by connector"),
        (Kind::Expiry, "expiry"),
    ];
    NAMES.iter().find(|(kind, _)| Some(*kind as u8) == kind_of(key)).map_or("record", |(_, name)| name)
}

/// The same for equal values, in every process.
pub(crate) fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
