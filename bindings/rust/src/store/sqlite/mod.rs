//! The SQLite store.

mod lane;
mod schema;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use grantway_core::operation::{Action, CommitReply, ReadReply, ScanReply, Version, Versioned, Write};
use grantway_core::store::Key;
use lane::{Lane, Undone};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior};
pub use schema::OpenError;

use super::check::is_well_formed;
use super::{Store, StoreFuture, holds};

/// Records in one SQLite file, for all processes of one machine. Not for network file systems.
///
/// Commits go through one connection of this process and reads through a few others, each on a thread of its own, so no
/// runtime is needed and no task holds a transaction. A commit is answered after it was synced to the disk. Each commit also
/// deletes a few records whose `expires_at` passed more than an hour ago.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("grantway.db");
/// let store = grantway::store::Sqlite::open(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sqlite {
    path: PathBuf,
    readers: Lane,
    writer: Lane,
}

/// LIMIT: reads take microseconds; more connections than this only wait for the disk.
const READERS: usize = 4;

/// LIMIT: more than any commit leaves behind, so that deletion keeps up, and few enough not to be noticed.
const EXPIRED_PER_COMMIT: i64 = 128;

/// How long after `expires_at` a record stays, since the clocks of hosts differ.
const EXPIRY_DELAY_MS: i64 = 3_600_000;

impl Sqlite {
    /// Opens a database file, or makes a new one that only its owner can read (on Unix). Blocks for some milliseconds.
    ///
    /// # Errors
    /// The file cannot be opened, is not Grantway's, was written by a newer release, or stands where SQLite cannot keep a
    /// write-ahead log.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = schema::make_file(path.as_ref())?;
        let writer = Lane::start("grantway-commit", vec![schema::connect(&path)?])?;
        let connections = (0..READERS).map(|_| schema::connect(&path)).collect::<Result<_, _>>()?;
        let readers = Lane::start("grantway-read", connections)?;
        Ok(Self { path, readers, writer })
    }
}

impl Store for Sqlite {
    fn read<'a>(&'a self, keys: &'a [Key]) -> StoreFuture<'a, ReadReply> {
        let keys = keys.to_vec();
        Box::pin(async move {
            match self.readers.run(move |connection| read(connection, &keys)).await {
                Ok(Ok(records)) => ReadReply::Found(records),
                Ok(Err(error)) => {
                    report("read", &error);
                    ReadReply::Unavailable
                }
                Err(Undone::NotBegun | Undone::Lost) => ReadReply::Unavailable,
            }
        })
    }

    fn scan<'a>(&'a self, prefix: &'a Key, after: Option<&'a Key>, limit: u32) -> StoreFuture<'a, ScanReply> {
        let (first, end) = range(prefix, after);
        Box::pin(async move {
            match self.readers.run(move |connection| scan(connection, &first, &end, limit)).await {
                Ok(Ok((entries, more))) => ScanReply::Page { entries, more },
                Ok(Err(error)) => {
                    report("scan", &error);
                    ScanReply::Unavailable
                }
                Err(Undone::NotBegun | Undone::Lost) => ScanReply::Unavailable,
            }
        })
    }

    fn commit(&self, writes: Vec<Write>) -> StoreFuture<'_, CommitReply> {
        Box::pin(async move {
            if !is_well_formed(&writes) {
                return CommitReply::Unavailable;
            }
            match self.writer.run(move |connection| commit(connection, &writes)).await {
                Ok(reply) => reply,
                Err(Undone::NotBegun) => CommitReply::Unavailable,
                Err(Undone::Lost) => CommitReply::Unknown,
            }
        })
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("path", &self.path).finish_non_exhaustive()
    }
}

fn read(connection: &mut Connection, keys: &[Key]) -> rusqlite::Result<Vec<Option<Versioned>>> {
    // One transaction, so that all records are seen in one state.
    let transaction = connection.transaction()?;
    let mut statement =
        transaction.prepare_cached("SELECT version, value FROM grantway_record WHERE key = ?1")?;
    keys.iter()
        .map(|key| {
            statement
                .query_row([key.as_bytes()], |row| {
                    Ok(Versioned { version: version(row.get(0)?), value: row.get(1)? })
                })
                .optional()
        })
        .collect()
}

fn scan(
    connection: &mut Connection,
    first: &[u8],
    end: &[u8],
    limit: u32,
) -> rusqlite::Result<(Vec<(Key, Versioned)>, bool)> {
    let mut statement = connection.prepare_cached(
        "SELECT key, version, value FROM grantway_record WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3",
    )?;
    let mut rows = statement.query((first, end, i64::from(limit) + 1))?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        if entries.len() == limit as usize {
            return Ok((entries, true));
        }
        let key = Key::from_bytes(row.get::<_, Vec<u8>>(0)?)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        entries.push((key, Versioned { version: version(row.get(1)?), value: row.get(2)? }));
    }
    Ok((entries, false))
}

/// The keys after `after` that begin with `prefix`: from the first bound, below the second.
fn range(prefix: &Key, after: Option<&Key>) -> (Vec<u8>, Vec<u8>) {
    let prefix = prefix.as_bytes();
    let next = after.map(|after| [after.as_bytes(), &[0]].concat());
    let first = next.filter(|next| next.as_slice() > prefix).unwrap_or_else(|| prefix.to_vec());
    let mut end = prefix.to_vec();
    while end.pop_if(|byte| *byte == u8::MAX).is_some() {}
    match end.last_mut() {
        Some(byte) => *byte += 1,
        // Only 0xFF: no key is longer than this, so none is greater.
        None => end = vec![u8::MAX; grantway_core::store::KEY_MAX_BYTES + 1],
    }
    (first, end)
}

fn commit(connection: &mut Connection, writes: &[Write]) -> CommitReply {
    let staged = match stage(connection, writes) {
        Ok(Some(transaction)) => transaction,
        Ok(None) => return CommitReply::Conflict,
        Err(error) => {
            // What was not committed is rolled back, here or by the next process that opens the file.
            report("commit", &error);
            return CommitReply::Unavailable;
        }
    };
    match staged.commit() {
        Ok(()) => CommitReply::Committed,
        Err(error) => {
            report("commit", &error);
            match error.sqlite_error_code() {
                // No lock, so nothing was begun; the transaction was rolled back when dropped.
                Some(ErrorCode::DatabaseBusy) => CommitReply::Unavailable,
                // The end of the transaction may stand in the log, and count after a crash.
                _ => CommitReply::Unknown,
            }
        }
    }
}

/// A transaction with all writes in it, or `None` if a precondition does not hold. Dropped, it is rolled back.
fn stage<'a>(connection: &'a mut Connection, writes: &[Write]) -> rusqlite::Result<Option<Transaction<'a>>> {
    // A transaction that begins by reading could not wait for the lock when it comes to write.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for write in writes {
        let current = transaction
            .prepare_cached("SELECT version FROM grantway_record WHERE key = ?1")?
            .query_row([write.key.as_bytes()], |row| Ok(version(row.get(0)?)))
            .optional()?;
        if !holds(write.precondition, current) {
            return Ok(None);
        }
    }
    // One version for the whole commit: no key occurs in it twice.
    let new_version: i64 = transaction
        .prepare_cached("UPDATE grantway_version SET last = last + 1 RETURNING last")?
        .query_row([], |row| row.get(0))?;
    for Write { key, action, .. } in writes {
        match action {
            Action::Delete => {
                transaction
                    .prepare_cached("DELETE FROM grantway_record WHERE key = ?1")?
                    .execute([key.as_bytes()])?;
            }
            Action::Keep => {}
            Action::Put { value, expires_at } => {
                let expires_at = expires_at.map(|at| i64::try_from(at).unwrap_or(i64::MAX));
                transaction
                    .prepare_cached(
                        "INSERT INTO grantway_record (key, version, value, expires_at) VALUES (?1, ?2, ?3, ?4)
                         ON CONFLICT (key) DO UPDATE SET version = excluded.version, value = excluded.value,
                         expires_at = excluded.expires_at",
                    )?
                    .execute((key.as_bytes(), new_version, value, expires_at))?;
            }
        }
    }
    delete_expired(&transaction)?;
    Ok(Some(transaction))
}

fn delete_expired(transaction: &Transaction<'_>) -> rusqlite::Result<usize> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let now = i64::try_from(now).unwrap_or(0);
    transaction
        .prepare_cached(
            "DELETE FROM grantway_record WHERE rowid IN (SELECT rowid FROM grantway_record
             WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)",
        )?
        .execute((now - EXPIRY_DELAY_MS, EXPIRED_PER_COMMIT))
}

fn version(number: i64) -> Version {
    Version(number.cast_unsigned())
}

/// Says what SQLite said, by its code only: messages may quote a statement.
fn report(verb: &str, error: &rusqlite::Error) {
    match error.sqlite_error() {
        Some(error) => {
            tracing::warn!(verb, code = error.extended_code, %error, "the SQLite store is unavailable");
        }
        None => tracing::error!(verb, "the SQLite store holds a row that is no record"),
    }
}

#[cfg(test)]
mod tests {
    use grantway_core::operation::Precondition;

    use super::*;

    fn put(tail: u8, bytes: usize) -> Write {
        let action = Action::Put { value: vec![0; bytes], expires_at: None };
        Write { key: Key::from_bytes([1, b't', tail]).unwrap(), precondition: Precondition::Absent, action }
    }

    // S16
    #[tokio::test]
    async fn a_full_disk_ends_in_unavailable_until_there_is_room_again() {
        let directory = tempfile::tempdir().unwrap();
        let store = Sqlite::open(directory.path().join("grantway.db")).unwrap();
        let room = async |pages: u32| {
            let limit = move |connection: &mut Connection| {
                connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            };
            store.writer.run(limit).await.unwrap().unwrap();
        };
        room(20).await;
        assert_eq!(store.commit(vec![put(1, 10), put(2, 200_000)]).await, CommitReply::Unavailable);
        assert_eq!(store.commit(vec![put(1, 10)]).await, CommitReply::Committed, "nothing was written");
        room(1_000).await;
        assert_eq!(store.commit(vec![put(2, 200_000)]).await, CommitReply::Committed);
    }

    #[test]
    fn a_range_has_every_key_of_its_prefix_and_no_other() {
        let key = |bytes: &[u8]| Key::from_bytes(bytes).unwrap();
        let at = |prefix: &[u8], after: Option<&[u8]>| range(&key(prefix), after.map(key).as_ref());
        assert_eq!(at(b"a", None), (b"a".to_vec(), b"b".to_vec()));
        assert_eq!(at(b"a\xFF\xFF", None), (b"a\xFF\xFF".to_vec(), b"b".to_vec()));
        assert_eq!(at(b"b", Some(b"a")), (b"b".to_vec(), b"c".to_vec()));
        assert_eq!(at(b"b", Some(b"b")), (b"b\0".to_vec(), b"c".to_vec()));
        let (first, end) = at(b"\xFF", None);
        assert_eq!(first, b"\xFF");
        assert!(end.as_slice() > [0xFF; grantway_core::store::KEY_MAX_BYTES].as_slice());
    }
}
