//! The memory store.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use grantway_core::operation::{Action, CommitReply, ReadReply, ScanReply, Version, Versioned, Write};
use grantway_core::store::Key;

use super::check::is_well_formed;
use super::{Store, StoreFuture, holds};

/// Records in the memory of this process: for tests, and where losing every connection at a restart is no harm.
///
/// Nothing expires by itself; the engine's own sweep deletes what has ended.
#[derive(Default)]
pub struct Memory {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    records: BTreeMap<Key, Versioned>,
    last_version: u64,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // INVARIANT: nothing panics while the lock is held, and if it did, every commit is applied after all checks.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn read<'a>(&'a self, keys: &'a [Key]) -> StoreFuture<'a, ReadReply> {
        Box::pin(async move {
            let state = self.state();
            ReadReply::Found(keys.iter().map(|key| state.records.get(key).cloned()).collect())
        })
    }

    fn scan<'a>(&'a self, prefix: &'a Key, after: Option<&'a Key>, limit: u32) -> StoreFuture<'a, ScanReply> {
        Box::pin(async move {
            let start = match after {
                Some(after) if after >= prefix => Bound::Excluded(after),
                _ => Bound::Included(prefix),
            };
            let state = self.state();
            let mut found = state
                .records
                .range::<Key, _>((start, Bound::Unbounded))
                .take_while(|(key, _)| key.starts_with(prefix))
                .map(|(key, record)| (key.clone(), record.clone()));
            let entries = found.by_ref().take(limit as usize).collect();
            ScanReply::Page { entries, more: found.next().is_some() }
        })
    }

    fn commit(&self, writes: Vec<Write>) -> StoreFuture<'_, CommitReply> {
        Box::pin(async move {
            if !is_well_formed(&writes) {
                return CommitReply::Unavailable;
            }
            let mut state = self.state();
            let version_of = |key| state.records.get(key).map(|record| record.version);
            if !writes.iter().all(|write| holds(write.precondition, version_of(&write.key))) {
                return CommitReply::Conflict;
            }
            state.last_version += 1;
            let version = Version(state.last_version);
            for Write { key, action, .. } in writes {
                match action {
                    Action::Delete => drop(state.records.remove(&key)),
                    Action::Keep => {}
                    Action::Put { value, .. } => {
                        state.records.insert(key, Versioned { value, version });
                    }
                }
            }
            CommitReply::Committed
        })
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("records", &self.state().records.len()).finish()
    }
}
