//! The store contract fails for stores that break it: each fault below is found by a test of the contract.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use grantway::store::{Memory, Store, StoreFuture, check, contract};
use grantway_core::operation::{Action, CommitReply, Precondition, ReadReply, ScanReply, Versioned, Write};
use grantway_core::store::Key;

/// What a store may do wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    AnswersEachKeyOnce,
    CommitsInPieces,
    CutsLongKeys,
    ExpiresAtOnce,
    ExpiresForReadersOnly,
    IgnoresAbsent,
    IgnoresWhichVersion,
    KeepsByWriting,
    KeepsOldExpiry,
    MixesUpperAndLowerCase,
    /// Not a fault: shows that the others are what the tests find.
    None,
    ReadsInPieces,
    RepeatsTheCursor,
    SaysConflictToTheMalformed,
    SaysThereIsNoMore,
    ScansTheWholeTenant,
    TakesItsTime,
    TakesValuesForText,
}

/// The memory store, made worse.
struct Faulty {
    fault: Fault,
    good: Memory,
    expiries: Mutex<BTreeMap<Key, u64>>,
    queue: tokio::sync::Mutex<()>,
}

impl Faulty {
    fn with(fault: Fault) -> Self {
        let (good, expiries, queue) = <(Memory, Mutex<_>, _)>::default();
        Self { fault, good, expiries, queue }
    }

    fn key(&self, key: &Key) -> Key {
        let bytes = key.as_bytes();
        let changed = match self.fault {
            Fault::CutsLongKeys => bytes[..bytes.len().min(767)].to_vec(),
            Fault::MixesUpperAndLowerCase => bytes.to_ascii_lowercase(),
            _ => return key.clone(),
        };
        Key::from_bytes(changed).unwrap()
    }

    async fn get(&self, key: Key) -> Option<Versioned> {
        match self.good.read(&[key]).await {
            ReadReply::Found(mut records) => records.remove(0),
            ReadReply::Unavailable => None,
        }
    }

    /// Whether an expiry that was noted for the key is so long ago that the record may be gone.
    fn is_expired(&self, key: &Key) -> bool {
        self.expiries.lock().unwrap().get(key).is_some_and(|at| at.saturating_add(3_600_000) < now())
    }

    async fn spoil(&self, mut write: Write) -> Write {
        write.key = self.key(&write.key);
        let current = self.get(write.key.clone()).await;
        match (self.fault, write.precondition, current) {
            (Fault::IgnoresAbsent, Precondition::Absent, _) => write.precondition = Precondition::Any,
            (Fault::IgnoresWhichVersion, Precondition::Version(_), Some(record)) => {
                write.precondition = Precondition::Version(record.version);
            }
            (Fault::KeepsByWriting, _, Some(record)) if write.action == Action::Keep => {
                write.action = Action::Put { value: record.value, expires_at: None };
            }
            _ => {}
        }
        if let Action::Put { value, expires_at } = &mut write.action {
            match (self.fault, *expires_at) {
                (Fault::TakesValuesForText, _) => {
                    *value = String::from_utf8_lossy(value).into_owned().into_bytes();
                }
                (Fault::ExpiresAtOnce, Some(at)) if at < now() => {
                    write.action = Action::Delete;
                    write.precondition = Precondition::Any;
                }
                (Fault::ExpiresForReadersOnly | Fault::KeepsOldExpiry, Some(at)) => {
                    self.expiries.lock().unwrap().insert(write.key.clone(), at);
                }
                (Fault::ExpiresForReadersOnly, None) => {
                    self.expiries.lock().unwrap().remove(&write.key);
                }
                _ => {}
            }
        }
        write
    }
}

impl Store for Faulty {
    fn read<'a>(&'a self, keys: &'a [Key]) -> StoreFuture<'a, ReadReply> {
        Box::pin(async move {
            let mut keys: Vec<Key> = keys.iter().map(|key| self.key(key)).collect();
            if self.fault == Fault::AnswersEachKeyOnce {
                keys.sort();
                keys.dedup();
            }
            if self.fault == Fault::ReadsInPieces {
                let mut found = Vec::new();
                for key in keys {
                    found.push(self.get(key).await);
                    tokio::time::sleep(Duration::from_micros(10)).await;
                }
                return ReadReply::Found(found);
            }
            let ReadReply::Found(mut found) = self.good.read(&keys).await else {
                return ReadReply::Unavailable;
            };
            let gone = keys.iter().map(|key| self.is_expired(key));
            found.iter_mut().zip(gone).filter(|(_, gone)| *gone).for_each(|(record, _)| *record = None);
            ReadReply::Found(found)
        })
    }

    fn scan<'a>(&'a self, prefix: &'a Key, after: Option<&'a Key>, limit: u32) -> StoreFuture<'a, ScanReply> {
        Box::pin(async move {
            let whole = Key::from_bytes(&prefix.as_bytes()[..2]).unwrap();
            let prefix = if self.fault == Fault::ScansTheWholeTenant { &whole } else { prefix };
            let mut reply = self.good.scan(prefix, after, limit).await;
            let ScanReply::Page { entries, more } = &mut reply else { return reply };
            if self.fault == Fault::SaysThereIsNoMore {
                *more = false;
            }
            if let (Fault::RepeatsTheCursor, Some(after)) = (self.fault, after)
                && let Some(record) = self.get(after.clone()).await
                && !entries.is_empty()
            {
                entries.pop();
                entries.insert(0, (after.clone(), record));
            }
            reply
        })
    }

    fn commit(&self, writes: Vec<Write>) -> StoreFuture<'_, CommitReply> {
        Box::pin(async move {
            if self.fault == Fault::SaysConflictToTheMalformed && check(&writes).is_err() {
                return CommitReply::Conflict;
            }
            if self.fault == Fault::TakesItsTime {
                let _turn = self.queue.lock().await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            if self.fault == Fault::CommitsInPieces {
                for write in writes {
                    let reply = self.good.commit(vec![write]).await;
                    if reply != CommitReply::Committed {
                        return reply;
                    }
                    tokio::time::sleep(Duration::from_micros(10)).await;
                }
                return CommitReply::Committed;
            }
            let mut spoiled = Vec::new();
            for write in writes {
                spoiled.push(self.spoil(write).await);
            }
            self.good.commit(spoiled).await
        })
    }
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

mod without_a_fault {
    use super::{Fault, Faulty};

    grantway::store_contract!(async || Faulty::with(Fault::None));
}

macro_rules! found {
    ($($name:ident: $fault:ident, $test:ident;)*) => {
        $(
            #[test]
            #[should_panic]
            fn $name() {
                contract::run(contract::$test(async || Faulty::with(Fault::$fault)));
            }
        )*
    };
}

found! {
    a_commit_in_pieces_is_found_by_a_conflict: CommitsInPieces, a_commit_is_all_or_nothing;
    a_commit_in_pieces_is_found_by_dropping_it: CommitsInPieces, a_dropped_commit_leaves_nothing_half_done;
    a_commit_in_pieces_is_found_by_readers: CommitsInPieces, a_read_sees_one_state;
    a_commit_in_pieces_is_found_by_transfers: CommitsInPieces, a_pair_keeps_its_sum;
    a_conflict_for_the_malformed_is_found: SaysConflictToTheMalformed, a_malformed_commit_writes_nothing;
    a_cursor_that_is_repeated_is_found: RepeatsTheCursor, a_scan_takes_any_cursor;
    a_cursor_that_is_repeated_is_found_during_writes: RepeatsTheCursor, a_scan_finds_what_stays_exactly_once;
    a_keep_that_writes_is_found: KeepsByWriting, version_holds_only_for_the_current_one;
    a_last_page_too_early_is_found: SaysThereIsNoMore, a_scan_goes_by_bytes;
    a_prefix_that_is_ignored_is_found: ScansTheWholeTenant, a_scan_goes_by_bytes;
    a_prefix_that_is_ignored_is_found_by_the_model: ScansTheWholeTenant, random_operations_answer_as_in_memory;
    a_read_in_pieces_is_found: ReadsInPieces, a_read_sees_one_state;
    a_record_that_expires_at_once_is_found: ExpiresAtOnce, expired_records_stay_for_an_hour;
    a_record_that_expires_for_readers_only_is_found: ExpiresForReadersOnly, what_is_gone_is_gone_for_every_verb;
    a_slow_queue_is_found: TakesItsTime, many_writers_of_one_record_end_in_time;
    a_version_that_is_ignored_is_found: IgnoresWhichVersion, version_holds_only_for_the_current_one;
    a_version_that_is_ignored_is_found_after_deletion: IgnoresWhichVersion, a_version_never_comes_back;
    a_version_that_is_ignored_is_found_by_a_counter: IgnoresWhichVersion, a_counter_loses_no_update;
    absent_that_is_ignored_is_found: IgnoresAbsent, absent_holds_only_for_what_is_missing;
    absent_that_is_ignored_is_found_by_a_race: IgnoresAbsent, absent_has_one_winner;
    an_expiry_that_outlives_its_put_is_found: KeepsOldExpiry, a_put_without_expiry_takes_the_earlier_one_away;
    answers_without_repetition_are_found: AnswersEachKeyOnce, a_read_answers_in_the_order_of_the_question;
    keys_cut_short_are_found: CutsLongKeys, values_and_keys_come_back_as_they_were;
    keys_without_case_are_found: MixesUpperAndLowerCase, values_and_keys_come_back_as_they_were;
    tenants_without_case_are_found: MixesUpperAndLowerCase, tenants_are_apart;
    values_taken_for_text_are_found: TakesValuesForText, values_and_keys_come_back_as_they_were;
}
