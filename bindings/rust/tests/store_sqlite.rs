//! What only the SQLite store has: its file, its schema, its clock.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use grantway::store::{OpenError, Sqlite, Store, contract};
use grantway_core::operation::{Action, CommitReply, Precondition, ReadReply, ScanReply, Write};
use grantway_core::store::Key;
use rusqlite::Connection;
use tempfile::TempDir;

fn file() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("grantway.db");
    (directory, path)
}

fn key(tail: &str) -> Key {
    Key::from_bytes([b"\x01t", tail.as_bytes()].concat()).unwrap()
}

fn put(tail: &str, expires_at: Option<u64>) -> Write {
    Write {
        key: key(tail),
        precondition: Precondition::Any,
        action: Action::Put { value: tail.as_bytes().to_vec(), expires_at },
    }
}

async fn is_there(store: &impl Store, tail: &str) -> bool {
    match store.read(&[key(tail)]).await {
        ReadReply::Found(records) => records[0].is_some(),
        ReadReply::Unavailable => panic!("the store is unavailable"),
    }
}

// S20
#[tokio::test]
async fn a_schema_is_created_used_and_refused() {
    let (_directory, path) = file();
    let make_newer = async || {
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 2).unwrap();
    };
    contract::a_schema_is_created_used_and_refused(async || Sqlite::open(&path), make_newer).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_and_its_log_can_be_read_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let (directory, path) = file();
    let store = Sqlite::open(path).unwrap();
    store.commit(vec![put("a", None)]).await;
    let modes: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().permissions().mode() & 0o777)
        .collect();
    assert_eq!(modes, [0o600; 3]);
}

#[tokio::test]
async fn a_path_with_a_special_meaning_is_an_ordinary_file() {
    let directory = tempfile::tempdir().unwrap();
    for name in [":memory:", "file:x?mode=memory"] {
        let path = directory.path().join(name);
        let store = Sqlite::open(&path).unwrap();
        assert_eq!(store.commit(vec![put("a", None)]).await, CommitReply::Committed);
        assert!(is_there(&Sqlite::open(path).unwrap(), "a").await);
    }
}

#[test]
fn a_database_of_a_newer_release_is_refused() {
    let (_directory, path) = file();
    drop(Sqlite::open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 7).unwrap();
    assert!(matches!(Sqlite::open(&path), Err(OpenError::Newer { found: 7, known: 1 })));
}

#[test]
fn a_database_of_another_program_is_refused_and_left_alone() {
    let (_directory, path) = file();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(Sqlite::open(&path), Err(OpenError::Foreign)));
    assert_eq!(fs::read(&path).unwrap(), before);
    fs::write(&path, "not a database, but long enough to be looked at: ".repeat(100)).unwrap();
    assert!(matches!(Sqlite::open(&path), Err(OpenError::Database(_))));
}

#[test]
fn a_new_file_can_be_opened_by_many_at_once() {
    for _ in 0..10 {
        let (_directory, path) = file();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| Sqlite::open(&path).unwrap());
            }
        });
    }
}

#[tokio::test]
async fn an_expired_record_is_deleted_one_hour_later_by_another_commit() {
    const MINUTE: u64 = 60_000;
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let (_directory, path) = file();
    let store = Sqlite::open(path).unwrap();
    let writes = vec![
        put("an hour ago", Some(now - 61 * MINUTE)),
        put("just now", Some(now - 59 * MINUTE)),
        put("never", None),
        put("far away", Some(u64::MAX)),
    ];
    assert_eq!(store.commit(writes).await, CommitReply::Committed);
    assert_eq!(store.commit(vec![put("another", None)]).await, CommitReply::Committed);
    assert!(!is_there(&store, "an hour ago").await);
    for tail in ["just now", "never", "far away"] {
        assert!(is_there(&store, tail).await, "`{tail}` is gone");
    }
    let ScanReply::Page { entries, more: false } = store.scan(&key(""), None, 10).await else {
        panic!("no whole page")
    };
    assert_eq!(entries.len(), 4);
}
