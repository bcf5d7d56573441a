//! Records: strict, versioned JSON, sealed. A missing or unknown member, a duplicate one, another version: refused.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Key, Keyring};
use crate::error::{Code, Failure};
use crate::moment::{Entropy, UnixMillis};
use crate::operation::{Action, Context, OperationId, Precondition, Version, Versioned, Write};

/// A kind of record with its version. A release reads versions N and N − 1 and writes N.
pub(crate) trait Record: Serialize + DeserializeOwned {
    /// The version this release writes.
    const VERSION: u8;
}

/// A record as read, with what a conditional write needs.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Clone, Hash))]
pub(crate) struct Stored<T> {
    pub(crate) record: T,
    pub(crate) version: Version,
    /// The operation (or attempt) that wrote it: after `unknown` an operation knows its own write by it.
    pub(crate) written_by: OperationId,
}

impl<T> Stored<T> {
    pub(crate) fn unchanged(&self) -> Precondition {
        Precondition::Version(self.version)
    }
}

/// The precondition "as I saw it": this version, or still absent.
pub(crate) fn as_seen<T>(stored: Option<&Stored<T>>) -> Precondition {
    stored.map_or(Precondition::Absent, Stored::unchanged)
}

#[derive(Serialize)]
struct Writing<'a, T> {
    by: OperationId,
    record: &'a T,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reading<T> {
    by: OperationId,
    record: T,
}

impl Context<'_> {
    /// Opens a stored value.
    ///
    /// # Errors
    /// `store.integrity`: it does not open, or its content is not a record of this release.
    pub(crate) fn open<T: Record>(
        &self,
        key: &Key,
        stored: Option<&Versioned>,
    ) -> Result<Option<Stored<T>>, Failure> {
        stored.map(|stored| open(self.engine.keyring(), key, stored)).transpose()
    }

    /// Which transaction wrote a stored value; `None` if there is none or it does not open.
    pub(crate) fn written_by(&self, key: &Key, stored: Option<&Versioned>) -> Option<OperationId> {
        #[derive(Deserialize)]
        struct By {
            by: OperationId,
        }
        let (_, plaintext) = self.engine.keyring().open(key, &stored?.value)?;
        serde_json::from_slice::<By>(&plaintext).ok().map(|read| read.by)
    }

    /// A write that puts a record in place.
    pub(crate) fn put<T: Record>(
        &self,
        key: &Key,
        precondition: Precondition,
        record: &T,
        by: OperationId,
        expires_at: Option<UnixMillis>,
    ) -> Write {
        let value = seal(self.engine.keyring(), &self.moment.entropy, key, record, by);
        let action = Action::Put { value, expires_at: expires_at.map(|at| at.0) };
        Write { key: key.clone(), precondition, action }
    }
}

/// Opens a stored value of one kind; see [`Context::open`].
pub(super) fn open<T: Record>(
    keyring: &Keyring,
    key: &Key,
    stored: &Versioned,
) -> Result<Stored<T>, Failure> {
    let (version, plaintext) = keyring.open(key, &stored.value).ok_or(Code::StoreIntegrity)?;
    // atk:IMP-13: there is no N - 1 yet.
    if version != T::VERSION {
        return Err(Failure::new(Code::StoreIntegrity).because("the record version is not supported"));
    }
    let read: Reading<T> = serde_json::from_slice(&plaintext)
        .map_err(|_| Failure::new(Code::StoreIntegrity).because("the record's content is not valid"))?;
    Ok(Stored { record: read.record, version: stored.version, written_by: read.by })
}

/// Seals a record for its key.
pub(super) fn seal<T: Record>(
    keyring: &Keyring,
    entropy: &Entropy,
    key: &Key,
    record: &T,
    by: OperationId,
) -> Vec<u8> {
    keyring.seal(entropy, key, T::VERSION, |plaintext| {
        // INVARIANT: records are plain structs with text keys; writing them as JSON cannot fail.
        let _ = serde_json::to_writer(plaintext, &Writing { by, record });
    })
}

/// SHA-256 over (kind, value): how states and tickets are found without being stored. Never keyed.
pub(crate) fn lookup_hash(kind: &str, value: &str) -> [u8; 32] {
    Sha256::new()
        .chain_update([u8::try_from(kind.len()).unwrap_or(u8::MAX)])
        .chain_update(kind)
        .chain_update(value)
        .finalize()
        .into()
}

/// A write that puts an index entry in place; it holds nothing but its key.
pub(crate) fn put_index(key: Key, expires_at: Option<UnixMillis>) -> Write {
    let action = Action::Put { value: Vec::new(), expires_at: expires_at.map(|at| at.0) };
    Write { key, precondition: Precondition::Any, action }
}

/// A write that removes a record.
pub(crate) fn delete(key: Key, precondition: Precondition) -> Write {
    Write { key, precondition, action: Action::Delete }
}

/// A write that changes nothing and holds only if the record is as it was seen.
pub(crate) fn keep(key: Key, version: Version) -> Write {
    Write { key, precondition: Precondition::Version(version), action: Action::Keep }
}
