//! `grantway.toml`: what the host configures once, with the keys by reference and the first connectors.
//!
//! ```toml
#![doc = include_str!("../../grantway.example.toml")]
//! ```
//!
//! The connectors only seed a store: one that an administrator has put stays as it is.
//! Secrets never stand in the file, and no error quotes one.

mod file;
mod reference;

use std::fs;
use std::path::{Path, PathBuf};

use grantway_core::connector::Connector;
use grantway_core::engine::EngineConfig;
use grantway_core::error::ConfigError;
use grantway_core::principal::{ConnectorId, TenantId};
use grantway_core::secret::Secret;
use grantway_core::store::{Keyring, KeyringError};

/// A configuration file, read.
#[derive(Debug)]
pub struct Configuration {
    /// What the engine is made from.
    pub engine: EngineConfig,
    /// The keys.
    pub keyring: Keyring,
    /// The first connectors.
    pub seeds: Vec<Seed>,
}

/// A connector that a configuration file names.
#[derive(Clone, Debug)]
pub struct Seed {
    /// Whose.
    pub tenant: TenantId,
    /// Its name.
    pub id: ConnectorId,
    /// The connector.
    pub connector: Connector,
    /// The secret of its static registration.
    pub client_secret: Option<Secret>,
}

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigFileError {
    /// A field of the engine's or of a connector's is not acceptable.
    #[error(transparent)]
    Field(#[from] ConfigError),
    /// The keys would not protect.
    #[error("`keys`: {0}")]
    Keys(#[from] KeyringError),
    /// A field is not of this file, or not in its form.
    #[error("`{field}`: {problem}")]
    Malformed {
        /// The field, by its full path.
        field: String,
        /// What is wrong; never with a secret.
        problem: String,
    },
    /// The file is not TOML.
    #[error("line {line}: {problem}")]
    Syntax {
        /// Where.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// The file cannot be read.
    #[error("`{}` cannot be read: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

impl Configuration {
    /// Reads a file. What it refers to by a relative path is looked for beside it.
    ///
    /// # Errors
    /// The first thing that is not acceptable, by the name of its field.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ConfigFileError> {
        let path = path.as_ref();
        let text = fs::read_to_string(path)
            .map_err(|error| ConfigFileError::Unreadable { path: path.to_owned(), error })?;
        let directory = path.parent().unwrap_or_else(|| Path::new(""));
        file::parse(&text, &reference::Surroundings { directory, variable: &|name| std::env::var(name).ok() })
    }
}

/// The secret behind a reference, `env:NAME` or `file:PATH`. `field` is what errors call it.
///
/// # Errors
/// It is no reference, or what it refers to is not there or empty.
pub fn read_secret(field: &str, reference: &str) -> Result<Secret, ConfigFileError> {
    let directory = Path::new("");
    reference::Surroundings { directory, variable: &|name| std::env::var(name).ok() }.secret(field, reference)
}

#[cfg(test)]
mod tests;
