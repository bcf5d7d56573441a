//! What the SQLite store answers when something holds it up or breaks it, and what it then says in its log.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use grantway::store::contract::find_readable;
use grantway::store::{Sqlite, Store};
use grantway_core::operation::{Action, CommitReply, Precondition, ReadReply, ScanReply, Write};
use grantway_core::store::Key;
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::time::timeout;

const STORE_TIMEOUT: Duration = Duration::from_secs(5);

fn open() -> (TempDir, PathBuf, Sqlite) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("grantway.db");
    let store = Sqlite::open(&path).unwrap();
    (directory, path, store)
}

/// Holds the lock of the file, as another process may, until it is dropped.
fn lock(path: &PathBuf) -> Connection {
    let other = Connection::open(path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}

fn key(tail: &str) -> Key {
    Key::from_bytes([b"\x01t", tail.as_bytes()].concat()).unwrap()
}

fn put(tail: &str, value: &str) -> Write {
    let action = Action::Put { value: value.as_bytes().to_vec(), expires_at: None };
    Write { key: key(tail), precondition: Precondition::Absent, action }
}

async fn there(store: &Sqlite, tails: &[&str]) -> Vec<bool> {
    let keys: Vec<Key> = tails.iter().map(|tail| key(tail)).collect();
    match store.read(&keys).await {
        ReadReply::Found(records) => records.iter().map(Option::is_some).collect(),
        ReadReply::Unavailable => panic!("the store is unavailable"),
    }
}

// S16, S17
#[tokio::test]
async fn commits_that_wait_for_a_lock_end_in_time_as_unavailable() {
    let (_directory, path, store) = open();
    let other = lock(&path);
    let started = Instant::now();
    let replies = tokio::join!(
        store.commit(vec![put("a", "")]),
        store.commit(vec![put("b", "")]),
        store.commit(vec![put("c", "")]),
        async { assert_eq!(there(&store, &["a"]).await, [false], "readers do not wait") },
    );
    assert!(started.elapsed() < STORE_TIMEOUT, "{:?}", started.elapsed());
    assert_eq!([replies.0, replies.1, replies.2], [CommitReply::Unavailable; 3]);
    drop(other);
    assert_eq!(there(&store, &["a", "b", "c"]).await, [false; 3]);
    assert_eq!(store.commit(vec![put("a", "")]).await, CommitReply::Committed);
}

// S17
#[tokio::test]
async fn commits_that_wait_for_a_lock_go_on_when_it_is_free() {
    let (_directory, path, store) = open();
    let other = lock(&path);
    let replies = tokio::join!(store.commit(vec![put("a", "")]), store.commit(vec![put("b", "")]), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        drop(other);
    });
    assert_eq!([replies.0, replies.1], [CommitReply::Committed; 2]);
}

// S17
#[tokio::test]
async fn a_commit_dropped_while_it_waits_holds_nobody_up() {
    let (_directory, path, store) = open();
    let other = lock(&path);
    let at_the_lock = store.commit(vec![put("a", ""), put("b", "")]);
    let in_the_queue = store.commit(vec![put("c", "")]);
    let both = async { tokio::join!(at_the_lock, in_the_queue) };
    timeout(Duration::from_millis(100), both).await.expect_err("both wait");
    drop(other);
    assert_eq!(store.commit(vec![put("d", "")]).await, CommitReply::Committed);
    let there = there(&store, &["a", "b", "c", "d"]).await;
    assert_eq!(there[0], there[1], "half a commit");
    assert_eq!(there[2..], [false, true], "what was dropped before its turn is not begun");
}

// S18, atk:IMP-03
#[tokio::test]
async fn no_value_stands_in_a_log() {
    static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    struct Log;
    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            LOG.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    // For all threads, since the store has its own.
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(|| Log)
        .init();

    let (_directory, path, store) = open();
    let secret = "value-that-nobody-may-see-".repeat(200);
    assert_eq!(store.commit(vec![put("a", &secret)]).await, CommitReply::Committed);
    assert_eq!(store.commit(vec![put("a", &secret)]).await, CommitReply::Conflict);
    let twice = vec![put("b", &secret), put("b", &secret)];
    assert_eq!(store.commit(twice).await, CommitReply::Unavailable);
    let other = lock(&path);
    assert_eq!(store.commit(vec![put("b", &secret)]).await, CommitReply::Unavailable);
    drop(other);

    drop(store);
    Connection::open(&path).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let store = Sqlite::open(&path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..].iter_mut().for_each(|byte| *byte ^= 0x55);
    fs::write(&path, bytes).unwrap();
    assert!(matches!(store.read(&[key("a")]).await, ReadReply::Unavailable));
    assert!(matches!(store.scan(&key(""), None, 1).await, ScanReply::Unavailable));
    assert_eq!(store.commit(vec![put("b", &secret)]).await, CommitReply::Unavailable);

    let log = LOG.lock().unwrap();
    let lines = String::from_utf8_lossy(&log);
    for expected in ["names a key twice", "code=5", "code=11"] {
        assert!(lines.contains(expected), "{lines}");
    }
    assert!(find_readable(&log, &["value-that-nobody-may-see"]).is_empty(), "{lines}");
}
