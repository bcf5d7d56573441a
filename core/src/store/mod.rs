//! What the engine keeps: injective keys, sealed strict records, hashes for what is looked up.
//!
//! The store itself is the host's: three verbs ([`Effect::Read`](crate::operation::Effect), `Scan`, `Commit`) over bytes.

mod key;
mod keyring;
mod record;
pub(crate) mod records;
mod sealed_text;
#[cfg(feature = "seam")]
pub mod seam;

pub use key::{InvalidKey, KEY_MAX_BYTES, Key, Kind};
pub use keyring::{Keyring, KeyringError, SealingKey};
pub(crate) use record::{Record, Stored, as_seen, delete, keep, lookup_hash, put_index};
