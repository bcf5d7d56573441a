//! Opening a database file: its mode, its pragmas, its tables.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use thiserror::Error;

use super::lane::PATIENCE;

/// Why a database could not be opened. No record was changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// SQLite could not use the file.
    #[error("cannot use the database: {0}")]
    Database(String),
    /// The file or a thread could not be made.
    #[error("cannot open the database file: {0}")]
    File(#[from] io::Error),
    /// The file is a database of another program.
    #[error("the file is the database of another program: choose another path")]
    Foreign,
    /// A newer release of Grantway has written the file.
    #[error("the database has schema `{found}`, this release knows `{known}`: use the release that wrote it")]
    Newer {
        /// The schema in the file.
        found: u32,
        /// The newest schema that this release knows.
        known: u32,
    },
    /// The file system cannot share memory between processes, as network file systems cannot.
    #[error("the database cannot use a write-ahead log: put it on a local file system")]
    NoWriteAheadLog,
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }
}

/// Says in the file's header that it is Grantway's: `GWay`.
const APPLICATION_ID: u32 = 0x4757_6179;

/// The schema below, as `user_version`.
const SCHEMA: u32 = 1;

const TABLES: &str = "
    CREATE TABLE grantway_version (last INTEGER NOT NULL) STRICT;
    INSERT INTO grantway_version VALUES (0);
    CREATE TABLE grantway_record (
        key BLOB NOT NULL PRIMARY KEY,
        version INTEGER NOT NULL,
        value BLOB NOT NULL,
        expires_at INTEGER
    ) STRICT;
    CREATE INDEX grantway_expiry ON grantway_record (expires_at) WHERE expires_at IS NOT NULL;
";

/// Makes the file where there is none, readable by its owner only; SQLite gives its `-wal` and `-shm` files the same mode.
pub(super) fn make_file(path: &Path) -> Result<PathBuf, OpenError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?;
    // An absolute path is never taken for one of SQLite's special names, such as `:memory:`.
    Ok(fs::canonicalize(path)?)
}

/// A connection to a file whose tables are there and current.
pub(super) fn connect(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    let started = Instant::now();
    // Two processes that turn a new file to WAL at once meet a lock that SQLite does not wait for.
    while let Err(error) = prepare(&mut connection) {
        match error {
            PrepareError::Busy if started.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(20)),
            PrepareError::Busy => return Err(OpenError::Database("it is locked".to_owned())),
            PrepareError::Refused(error) => return Err(error),
        }
    }
    Ok(connection)
}

enum PrepareError {
    Busy,
    Refused(OpenError),
}

impl From<OpenError> for PrepareError {
    fn from(error: OpenError) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for PrepareError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy) => Self::Busy,
            _ => Self::Refused(error.into()),
        }
    }
}

fn prepare(connection: &mut Connection) -> Result<(), PrepareError> {
    // Before anything is changed, a file that is not ours is refused.
    let is_new = is_empty(connection)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(OpenError::NoWriteAheadLog.into());
    }
    // INVARIANT: NORMAL may lose the last commits at power loss, and with them a rotated refresh token.
    connection.pragma_update(None, "synchronous", "full")?;
    // COMPAT: on macOS, what was synced reaches the disk only with this.
    connection.pragma_update(None, "fullfsync", true)?;
    if is_new {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have come first.
        if is_empty(&transaction)? {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", SCHEMA)?;
        }
        transaction.commit()?;
    }
    Ok(())
}

/// Whether the tables are still to be made; a file that this release cannot use is an error.
fn is_empty(connection: &Connection) -> Result<bool, PrepareError> {
    // One statement, so that all three are seen in one state.
    let (application, schema, tables): (u32, u32, u32) = connection.query_row(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)
         FROM pragma_application_id, pragma_user_version",
        [],
        |row| row.try_into(),
    )?;
    match (application, schema, tables) {
        (0, 0, 0) => Ok(true),
        (APPLICATION_ID, SCHEMA, _) => Ok(false),
        (APPLICATION_ID, found, _) if found > SCHEMA => Err(OpenError::Newer { found, known: SCHEMA }.into()),
        _ => Err(OpenError::Foreign.into()),
    }
}
