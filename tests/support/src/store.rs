//! The three verbs over a map in memory, and what an attacker or a test may do to the rows behind the engine's back.

use std::collections::{BTreeMap, BTreeSet};

use grantway_core::moment::UnixMillis;
use grantway_core::operation::{Action, CommitReply, Precondition, Version, Versioned, Write};
use grantway_core::store::{Key, Kind};

use crate::canary::contains_secret;

/// A store in memory. A clone is another store with the same rows: a backup to restore.
#[derive(Clone, Debug, Default)]
pub struct Store {
    rows: BTreeMap<Key, Row>,
    last_version: u64,
}

/// One record as it lies in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The bytes.
    pub value: Vec<u8>,
    /// Their version.
    pub version: Version,
    /// When the store may delete the record.
    pub expires_at: Option<u64>,
}

impl Store {
    /// The records asked for.
    pub fn read(&self, keys: &[Key]) -> Vec<Option<Versioned>> {
        keys.iter().map(|key| self.rows.get(key).map(Row::versioned)).collect()
    }

    /// A page, and whether more follows.
    ///
    /// # Panics
    /// The limit is 0.
    pub fn scan(&self, prefix: &Key, after: Option<&Key>, limit: u32) -> (Vec<(Key, Versioned)>, bool) {
        assert!(limit > 0, "contract: a scan of nothing");
        let mut entries: Vec<_> = self
            .rows
            .range(prefix..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(key, _)| after.is_none_or(|after| *key > after))
            .take(limit as usize + 1)
            .map(|(key, row)| (key.clone(), row.versioned()))
            .collect();
        let more = entries.len() > limit as usize;
        entries.truncate(limit as usize);
        (entries, more)
    }

    /// All of the writes, or none.
    ///
    /// # Panics
    /// The commit breaks the contract of the effect, see [`check_contract`](Self::check_contract).
    pub fn commit(&mut self, writes: Vec<Write>) -> CommitReply {
        Self::check_contract(&writes);
        if !writes.iter().all(|write| self.holds(write)) {
            return CommitReply::Conflict;
        }
        for Write { key, action, .. } in writes {
            match action {
                Action::Delete => {
                    self.rows.remove(&key);
                }
                Action::Keep => {}
                Action::Put { value, expires_at } => {
                    let version = self.next_version();
                    self.rows.insert(key, Row { value, version, expires_at });
                }
            }
        }
        CommitReply::Committed
    }

    /// What a commit must be like, whatever the store holds.
    ///
    /// # Panics
    /// More than 100 writes, several tenants, a key named twice, a value over 256 KiB, `keep` without a version, or the
    /// deletion of what must be absent.
    pub fn check_contract(writes: &[Write]) {
        assert!(writes.len() <= 100, "contract: {} writes in one commit", writes.len());
        let tenants: BTreeSet<_> = writes.iter().map(|write| write.key.tenant()).collect();
        assert!(
            tenants.len() <= 1 && !tenants.contains(&None),
            "contract: tenants {tenants:?} in one commit"
        );
        let keys: BTreeSet<_> = writes.iter().map(|write| &write.key).collect();
        assert!(keys.len() == writes.len(), "contract: a key named twice");
        for write in writes {
            match (&write.precondition, &write.action) {
                (Precondition::Version(_), Action::Keep) => {}
                (_, Action::Keep) => panic!("contract: `keep` without a version of {:?}", write.key),
                (Precondition::Absent, Action::Delete) => {
                    panic!("contract: deletes what is absent, {:?}", write.key)
                }
                (_, Action::Put { value, .. }) => {
                    assert!(value.len() <= 256 * 1024, "contract: a value of {} bytes", value.len());
                }
                (_, Action::Delete) => {}
            }
        }
    }

    /// Every row, ascending by key.
    pub fn rows(&self) -> &BTreeMap<Key, Row> {
        &self.rows
    }

    /// The rows of one kind, all tenants.
    pub fn rows_of(&self, kind: Kind) -> Vec<(&Key, &Row)> {
        self.rows.iter().filter(|(key, _)| kind_of(key) == Some(kind as u8)).collect()
    }

    /// Whether any key or value holds the secret, see [`contains_secret`].
    pub fn leaks(&self, secret: &str) -> bool {
        self.rows
            .iter()
            .any(|(key, row)| contains_secret(key.as_bytes(), secret) || contains_secret(&row.value, secret))
    }

    /// Writes a row as somebody with access to the store would; it gets a new version.
    pub fn overwrite(&mut self, key: &Key, value: Vec<u8>) {
        let version = self.next_version();
        let expires_at = self.rows.get(key).and_then(|row| row.expires_at);
        self.rows.insert(key.clone(), Row { value, version, expires_at });
    }

    /// Exchanges the values of two rows.
    ///
    /// # Panics
    /// One of them is not there.
    pub fn swap(&mut self, a: &Key, b: &Key) {
        let (first, second) = (self.rows[a].value.clone(), self.rows[b].value.clone());
        self.overwrite(a, second);
        self.overwrite(b, first);
    }

    /// Flips one bit of a value.
    ///
    /// # Panics
    /// The row is not there or has no such byte.
    pub fn flip_bit(&mut self, key: &Key, bit: usize) {
        let mut value = self.rows[key].value.clone();
        value[bit / 8] ^= 1 << (bit % 8);
        self.overwrite(key, value);
    }

    /// Removes a row.
    pub fn remove(&mut self, key: &Key) -> Option<Row> {
        self.rows.remove(key)
    }

    /// Removes what the store may remove by now. Not done by itself: expiry is advice.
    pub fn remove_expired(&mut self, now: UnixMillis) {
        self.rows.retain(|_, row| row.expires_at.is_none_or(|at| now.0 < at));
    }

    fn holds(&self, write: &Write) -> bool {
        let have = self.rows.get(&write.key).map(|row| row.version);
        match write.precondition {
            Precondition::Absent => have.is_none(),
            Precondition::Any => true,
            Precondition::Version(version) => have == Some(version),
        }
    }

    /// INVARIANT: one counter for all keys, so no version ever repeats.
    fn next_version(&mut self) -> Version {
        self.last_version += 1;
        Version(self.last_version)
    }
}

impl Row {
    fn versioned(&self) -> Versioned {
        Versioned { value: self.value.clone(), version: self.version }
    }
}

/// The number of a key's [`Kind`]. `None` for bytes the engine did not make.
pub fn kind_of(key: &Key) -> Option<u8> {
    key.as_bytes().get(1 + key.tenant()?.len()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        let kind = Kind::Connection as u8;
        Key::from_bytes([&[1, b't', kind][..], name.as_bytes()].concat()).unwrap()
    }

    fn write(name: &str, precondition: Precondition, action: Action) -> Write {
        Write { key: key(name), precondition, action }
    }

    fn put(name: &str, precondition: Precondition, value: &str) -> Write {
        write(name, precondition, Action::Put { value: value.into(), expires_at: None })
    }

    fn version(store: &Store, name: &str) -> Version {
        store.rows()[&key(name)].version
    }

    #[test]
    fn one_false_precondition_stops_the_whole_commit() {
        let mut store = Store::default();
        assert_eq!(store.commit(vec![put("a", Precondition::Absent, "1")]), CommitReply::Committed);
        let before = store.rows().clone();
        let writes = vec![put("a", Precondition::Any, "2"), put("b", Precondition::Version(Version(9)), "2")];
        assert_eq!(store.commit(writes), CommitReply::Conflict);
        let writes = vec![put("b", Precondition::Any, "2"), put("a", Precondition::Absent, "2")];
        assert_eq!(store.commit(writes), CommitReply::Conflict);
        assert_eq!(*store.rows(), before);
    }

    #[test]
    fn keep_writes_nothing_and_still_conflicts() {
        let mut store = Store::default();
        store.commit(vec![put("a", Precondition::Absent, "1")]);
        let seen = version(&store, "a");
        let keep = || write("a", Precondition::Version(seen), Action::Keep);
        assert_eq!(store.commit(vec![keep()]), CommitReply::Committed);
        assert_eq!(version(&store, "a"), seen);
        store.commit(vec![put("a", Precondition::Any, "1")]);
        assert_eq!(store.commit(vec![keep(), put("b", Precondition::Any, "1")]), CommitReply::Conflict);
        assert_eq!(store.rows().len(), 1);
    }

    #[test]
    fn a_version_never_repeats_after_deletion() {
        let mut store = Store::default();
        store.commit(vec![put("a", Precondition::Absent, "1")]);
        let first = version(&store, "a");
        store.commit(vec![write("a", Precondition::Version(first), Action::Delete)]);
        store.commit(vec![put("a", Precondition::Absent, "1")]);
        assert_eq!(store.commit(vec![put("a", Precondition::Version(first), "2")]), CommitReply::Conflict);
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let mut store = Store::default();
        for name in ["a", "b", "c", "d"] {
            store.commit(vec![put(name, Precondition::Absent, name)]);
        }
        let prefix = Key::from_bytes([1, b't']).unwrap();
        let (first, more) = store.scan(&prefix, None, 3);
        assert!(more && first.len() == 3);
        let (rest, more) = store.scan(&prefix, Some(&first[2].0), 3);
        assert!(!more && rest.len() == 1 && rest[0].0 == key("d"));
        assert!(store.scan(&Key::from_bytes([1, b'u']).unwrap(), None, 3).0.is_empty());
    }

    #[test]
    #[should_panic(expected = "contract: tenants")]
    fn a_commit_over_two_tenants_is_a_broken_contract() {
        let other = Write { key: Key::from_bytes([1, b'u', 2]).unwrap(), ..put("a", Precondition::Any, "") };
        Store::default().commit(vec![put("a", Precondition::Any, ""), other]);
    }

    #[test]
    fn rows_can_be_swapped_flipped_and_expired() {
        let mut store = Store::default();
        let lasting = Action::Put { value: b"1".to_vec(), expires_at: Some(50) };
        store.commit(vec![write("a", Precondition::Absent, lasting), put("b", Precondition::Absent, "2")]);
        store.swap(&key("a"), &key("b"));
        store.flip_bit(&key("a"), 0);
        assert_eq!(store.rows()[&key("a")].value, b"3");
        assert_eq!(store.rows()[&key("b")].value, b"1");
        store.remove_expired(UnixMillis(49));
        assert_eq!(store.rows_of(Kind::Connection).len(), 2);
        store.remove_expired(UnixMillis(50));
        assert_eq!(store.rows().len(), 1);
    }
}
