//! The directory in which the command keeps its records and their key.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use grantway::driver::Host;
use grantway::grantway_core::store::{Keyring, SealingKey};
use grantway::store::{Sqlite, Store};
use grantway::transport::{AtOnce, Hyper};
use grantway::{Engine, EngineConfig, Grantway};
use zeroize::Zeroizing;

use crate::report::Problem;

/// The opened directory.
pub(crate) struct Home {
    store: Arc<Sqlite>,
    keyring: Keyring,
    transport: Hyper,
}

/// A sealing key and a routing key.
type Keys = Zeroizing<[u8; 64]>;

impl Home {
    /// Opens the directory, or makes a new one that nobody else can read.
    pub(crate) fn open(directory: Option<PathBuf>) -> Result<Self, Problem> {
        let directory = directory.or_else(default_directory).ok_or_else(|| {
            let message = "there is no home directory to keep connections in";
            Problem::machine("command.home_unusable", message, "name a directory with --home")
        })?;
        make_directory(&directory)?;
        let (database, key) = (directory.join("grantway.db"), directory.join("grantway.key"));
        // In this order: who makes both makes the key first.
        let has_database = database.exists();
        let keys = match read_keys(&key)? {
            Some(keys) => keys,
            None if has_database => return Err(key_lost(&key, &database)),
            None => make_keys(&key)?,
        };
        check_mode(&database)?;
        let store = Sqlite::open(&database).map_err(|error| {
            let message = format!("`{}`: {error}", database.display());
            Problem::machine("command.store_unusable", message, "check the file and the disk it is on")
        })?;
        let transport = Hyper::new().map_err(|error| {
            let next = "install the certificates of this system (on Debian: ca-certificates)";
            Problem::machine("command.no_roots", error.to_string(), next)
        })?;
        Ok(Self { store: Arc::new(store), keyring: keyring(&keys, &key)?, transport })
    }

    /// Everything together. `loopback`: plain http on this machine is acceptable.
    pub(crate) fn grantway(&self, loopback: bool) -> Result<Grantway, Problem> {
        let config = EngineConfig { danger_loopback_http: loopback, ..EngineConfig::new("Grantway") };
        let engine = Engine::new(config, self.keyring.clone())?;
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        let host = Host::new(store, Arc::new(AtOnce::new(self.transport.clone())));
        Ok(Grantway::new(engine, host))
    }

    /// The transport, for calls.
    pub(crate) fn transport(&self) -> &Hyper {
        &self.transport
    }
}

/// `grantway` in the user's data directory.
fn default_directory() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = if cfg!(windows) {
        from("LOCALAPPDATA")
    } else {
        // XDG: a relative path is to be ignored.
        let home = || from("HOME").map(|home| home.join(".local").join("share"));
        from("XDG_DATA_HOME").filter(|path| path.is_absolute()).or_else(home)
    };
    data.map(|data| data.join("grantway"))
}

fn make_directory(directory: &Path) -> Result<(), Problem> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).map_err(|error| unusable(directory, &error))?;
    // Who can write here can put another key in the place of ours.
    refuse_mode(directory, 0o022, "written", "go-w")
}

fn check_mode(file: &Path) -> Result<(), Problem> {
    refuse_mode(file, 0o077, "read or written", "600")
}

#[cfg(unix)]
fn refuse_mode(path: &Path, refused: u32, how: &str, mend: &str) -> Result<(), Problem> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode() & 0o777,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unusable(path, &error)),
    };
    if mode & refused == 0 {
        return Ok(());
    }
    let path = path.display();
    let message = format!("`{path}` has mode `{mode:03o}`: it can be {how} by others");
    Err(Problem::machine("command.rights_too_wide", message, format!("run `chmod {mend} '{path}'`")))
}

/// Elsewhere a user's data directory is the user's own.
#[cfg(not(unix))]
fn refuse_mode(_: &Path, _: u32, _: &str, _: &str) -> Result<(), Problem> {
    Ok(())
}

/// The keys in the file, if there is one.
fn read_keys(path: &Path) -> Result<Option<Keys>, Problem> {
    let text = match fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(path, &error)),
    };
    check_mode(path)?;
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text.trim()).map(Zeroizing::new);
    let keys = bytes.ok().and_then(|bytes| <[u8; 64]>::try_from(bytes.as_slice()).ok());
    keys.map(|keys| Some(Zeroizing::new(keys))).ok_or_else(|| key_invalid(path))
}

/// Makes the key file: whole or not at all, and not in the place of one that another process has made meanwhile.
fn make_keys(path: &Path) -> Result<Keys, Problem> {
    let mut keys: Keys = Zeroizing::new([0; 64]);
    getrandom::fill(&mut *keys).map_err(|_| {
        let next = "check this system's random number generator";
        Problem::machine("command.no_randomness", "the system gives no random numbers", next)
    })?;
    let unfinished = path.with_extension(format!("key.{}", std::process::id()));
    let write = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&unfinished)?;
        file.write_all(Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(*keys)).as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        // Fails if there is one.
        fs::hard_link(&unfinished, path)?;
        #[cfg(unix)]
        fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(())
    };
    let written = write();
    let _ = fs::remove_file(&unfinished);
    match written {
        Ok(()) => Ok(keys),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            read_keys(path)?.ok_or_else(|| unusable(path, &error))
        }
        Err(error) => Err(unusable(path, &error)),
    }
}

fn keyring(keys: &Keys, path: &Path) -> Result<Keyring, Problem> {
    let (sealing, routing) = keys.split_at(32);
    let (Ok(sealing), Ok(routing)) = (sealing.try_into(), routing.try_into()) else {
        return Err(key_invalid(path));
    };
    Keyring::new(SealingKey::new(1, sealing), routing).map_err(|_| key_invalid(path))
}

fn key_invalid(path: &Path) -> Problem {
    let message = format!("`{}` does not hold the two keys it should", path.display());
    Problem::machine("command.key_invalid", message, "restore it from a backup")
}

fn key_lost(key: &Path, database: &Path) -> Problem {
    let (key, database) = (key.display(), database.display());
    let message = format!("`{database}` is there and its key `{key}` is not: its records cannot be read");
    let next = format!("restore the key from a backup, or remove `{database}` and connect again");
    Problem::machine("command.key_lost", message, next)
}

fn unusable(path: &Path, error: &io::Error) -> Problem {
    let message = format!("`{}` cannot be used: {error}", path.display());
    Problem::machine(
        "command.home_unusable",
        message,
        "check its owner and rights, or name another with --home",
    )
}
