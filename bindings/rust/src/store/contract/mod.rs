//! The store contract: what every store must pass, as tests that any store can run.
//!
//! ```
//! # use grantway::store::Memory as MyStore;
//! // An expression that gives an async closure; each call of that opens an empty store which no other test uses.
//! grantway::store_contract!(async || MyStore::new());
//! ```
//!
//! Beside these a store shows in tests of its own what needs its own means: the processes of S13, the crash of S15, the lost
//! connection of S16, with [`find_readable`] that nothing is readable at rest (S18), and with
//! [`a_schema_is_created_used_and_refused`] that it opens what it should (S20).
//!
//! Each test panics where the store breaks a rule. Tests that use chance print their seed; `GRANTWAY_CONTRACT_SEED` repeats one.

mod expiry;
mod model;
mod races;
mod records;
mod rest;
mod scans;

use std::env;
use std::hash::{BuildHasher, RandomState};

use grantway_core::operation::{
    Action, CommitReply, Precondition, ReadReply, ScanReply, Version, Versioned, Write,
};
use grantway_core::store::Key;

pub use self::expiry::*;
pub use self::model::*;
pub use self::races::*;
pub use self::records::*;
pub use self::rest::*;
pub use self::scans::*;
use super::Store;

/// Makes one `#[test]` of every function of the [store contract](crate::store::contract).
///
/// The argument is an expression, evaluated once for each test, that gives an `AsyncFn() -> impl Store`. What it captures, such
/// as a temporary directory, lives as long as the test.
#[macro_export]
macro_rules! store_contract {
    ($open:expr) => {
        $crate::store_contract! { @tests $open;
            a_commit_is_all_or_nothing
            a_counter_loses_no_update
            a_dropped_commit_leaves_nothing_half_done
            a_malformed_commit_writes_nothing
            a_pair_keeps_its_sum
            a_put_without_expiry_takes_the_earlier_one_away
            a_read_answers_in_the_order_of_the_question
            a_read_sees_one_state
            a_scan_finds_what_stays_exactly_once
            a_scan_goes_by_bytes
            a_scan_takes_any_cursor
            a_version_never_comes_back
            absent_has_one_winner
            absent_holds_only_for_what_is_missing
            any_always_holds
            expired_records_stay_for_an_hour
            many_writers_of_one_record_end_in_time
            random_operations_answer_as_in_memory
            tenants_are_apart
            the_order_of_writes_does_not_matter
            values_and_keys_come_back_as_they_were
            version_holds_only_for_the_current_one
            what_is_gone_is_gone_for_every_verb
        }
    };
    (@tests $open:expr; $($test:ident)*) => {
        $(
            #[test]
            fn $test() {
                $crate::store::contract::run($crate::store::contract::$test($open));
            }
        )*
    };
}

/// Runs a test on eight threads.
///
/// # Panics
/// When the test does, or when there is no runtime to be had.
pub fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .expect("a runtime can be built")
        .block_on(test);
}

const THREADS: usize = 8;

/// A key of the tenant `t`.
fn key(tail: impl AsRef<[u8]>) -> Key {
    key_of("t", tail)
}

fn key_of(tenant: &str, tail: impl AsRef<[u8]>) -> Key {
    let len = u8::try_from(tenant.len()).expect("a tenant id has at most 255 bytes");
    Key::from_bytes([&[len], tenant.as_bytes(), tail.as_ref()].concat()).expect("a key has at most 1 KiB")
}

fn put(key: &Key, precondition: Precondition, value: impl Into<Vec<u8>>) -> Write {
    put_until(key, precondition, value, None)
}

fn put_until(
    key: &Key,
    precondition: Precondition,
    value: impl Into<Vec<u8>>,
    expires_at: Option<u64>,
) -> Write {
    Write { key: key.clone(), precondition, action: Action::Put { value: value.into(), expires_at } }
}

fn delete(key: &Key, precondition: Precondition) -> Write {
    Write { key: key.clone(), precondition, action: Action::Delete }
}

fn keep(key: &Key, version: Version) -> Write {
    Write { key: key.clone(), precondition: Precondition::Version(version), action: Action::Keep }
}

async fn read(store: &impl Store, keys: &[Key]) -> Vec<Option<Versioned>> {
    match store.read(keys).await {
        ReadReply::Found(records) => {
            assert_eq!(records.len(), keys.len(), "one entry for each key");
            records
        }
        ReadReply::Unavailable => panic!("the store is unavailable"),
    }
}

async fn get(store: &impl Store, key: &Key) -> Option<Versioned> {
    read(store, std::slice::from_ref(key)).await.remove(0)
}

async fn value(store: &impl Store, key: &Key) -> Option<Vec<u8>> {
    get(store, key).await.map(|record| record.value)
}

async fn version(store: &impl Store, key: &Key) -> Version {
    get(store, key).await.expect("the record is there").version
}

async fn page(
    store: &impl Store,
    prefix: &Key,
    after: Option<&Key>,
    limit: u32,
) -> (Vec<(Key, Versioned)>, bool) {
    match store.scan(prefix, after, limit).await {
        ScanReply::Page { entries, more } => {
            assert!(entries.len() <= limit as usize, "a page has at most `limit` records");
            let keys = after.into_iter().chain(entries.iter().map(|(key, _)| key));
            assert!(keys.is_sorted_by(|a, b| a < b), "a page ascends from its cursor");
            assert!(entries.iter().all(|(key, _)| key.starts_with(prefix)), "a page keeps to its prefix");
            assert!(!entries.is_empty() || !more, "a page with more to come has a record to go on from");
            (entries, more)
        }
        ScanReply::Unavailable => panic!("the store is unavailable"),
    }
}

/// All records under a prefix, in pages of `limit`.
async fn list_by(store: &impl Store, prefix: &Key, limit: u32) -> Vec<(Key, Versioned)> {
    let mut found: Vec<(Key, Versioned)> = Vec::new();
    loop {
        let (entries, more) = page(store, prefix, found.last().map(|(key, _)| key), limit).await;
        found.extend(entries);
        if !more {
            return found;
        }
    }
}

async fn list(store: &impl Store, prefix: &Key) -> Vec<(Key, Versioned)> {
    list_by(store, prefix, 1_000).await
}

async fn commit(store: &impl Store, writes: Vec<Write>) {
    assert_eq!(store.commit(writes).await, CommitReply::Committed);
}

async fn conflict(store: &impl Store, writes: Vec<Write>) {
    assert_eq!(store.commit(writes).await, CommitReply::Conflict);
}

fn number(record: &Option<Versioned>) -> i64 {
    let record = record.as_ref().expect("the record is there");
    std::str::from_utf8(&record.value).ok().and_then(|text| text.parse().ok()).expect("a number was put")
}

/// Chance that can be repeated (SplitMix64).
struct Random(u64);

impl Random {
    /// Takes the seed from the environment, else a new one, and prints it.
    fn new() -> Self {
        let seed = match env::var("GRANTWAY_CONTRACT_SEED") {
            Ok(seed) => seed.parse().expect("`GRANTWAY_CONTRACT_SEED` is a number"),
            Err(_) => RandomState::new().hash_one("seed"),
        };
        eprintln!("GRANTWAY_CONTRACT_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("less than `end`")
    }

    fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
