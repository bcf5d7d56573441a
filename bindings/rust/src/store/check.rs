//! What no commit may look like, whatever the store.

use std::collections::BTreeSet;

use grantway_core::operation::{Action, Precondition, Write};
use grantway_core::store::Key;
use thiserror::Error;

/// LIMIT: so many writes are in one commit at most; what a Redis script and one SQL transaction do without being noticed.
pub const COMMIT_MAX_WRITES: usize = 100;

/// LIMIT: a value has at most so many bytes; sixteen times the largest token response the engine reads, sealed and in JSON.
pub const VALUE_MAX_BYTES: usize = 256 * 1024;

/// Why a commit is refused before anything is written. It names no key and no value.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum MalformedCommit {
    /// Deletes a record that must be absent.
    #[error("a commit deletes a record that must be absent")]
    DeleteOfAbsent,
    /// Keeps a record without naming its version.
    #[error("a commit keeps a record without naming its version")]
    KeepWithoutVersion,
    /// Names a key twice.
    #[error("a commit names a key twice")]
    KeyTwice,
    /// Has keys of several tenants.
    #[error("a commit has keys of several tenants")]
    SeveralTenants,
    /// Has more than [`COMMIT_MAX_WRITES`] writes.
    #[error("a commit has `{0}` writes, more than {COMMIT_MAX_WRITES}")]
    TooManyWrites(usize),
    /// Has a value of more than [`VALUE_MAX_BYTES`].
    #[error("a commit has a value of `{0}` bytes, more than {VALUE_MAX_BYTES}")]
    ValueTooLong(usize),
}

/// Looks at the form of a commit; a store calls it before anything else.
///
/// # Errors
/// The first thing that is wrong. The store answers `Unavailable` then, see [`Store::commit`](super::Store::commit).
pub fn check(writes: &[Write]) -> Result<(), MalformedCommit> {
    if writes.len() > COMMIT_MAX_WRITES {
        return Err(MalformedCommit::TooManyWrites(writes.len()));
    }
    let mut keys = BTreeSet::new();
    for write in writes {
        if !keys.insert(&write.key) {
            return Err(MalformedCommit::KeyTwice);
        }
        match (&write.action, write.precondition) {
            (Action::Delete, Precondition::Absent) => return Err(MalformedCommit::DeleteOfAbsent),
            (Action::Keep, Precondition::Absent | Precondition::Any) => {
                return Err(MalformedCommit::KeepWithoutVersion);
            }
            (Action::Put { value, .. }, _) if value.len() > VALUE_MAX_BYTES => {
                return Err(MalformedCommit::ValueTooLong(value.len()));
            }
            _ => {}
        }
    }
    let tenants: BTreeSet<_> = keys.into_iter().map(Key::tenant).collect();
    if tenants.len() > 1 { Err(MalformedCommit::SeveralTenants) } else { Ok(()) }
}

/// [`check`], with the refusal logged: for the stores of this crate.
pub(super) fn is_well_formed(writes: &[Write]) -> bool {
    check(writes).inspect_err(|reason| tracing::error!(%reason, "the store refuses a commit")).is_ok()
}

#[cfg(test)]
mod tests {
    use grantway_core::operation::Version;

    use super::*;

    fn write(key: &[u8], precondition: Precondition, action: Action) -> Write {
        Write { key: Key::from_bytes(key).unwrap(), precondition, action }
    }

    fn put(bytes: usize) -> Action {
        Action::Put { value: vec![0; bytes], expires_at: None }
    }

    #[test]
    fn a_commit_of_the_largest_size_is_well_formed() {
        let writes: Vec<_> = (0..100).map(|n| write(&[1, b't', n], Precondition::Any, put(1))).collect();
        assert_eq!(check(&writes), Ok(()));
        assert_eq!(check(&[write(b"\x01t", Precondition::Absent, put(VALUE_MAX_BYTES))]), Ok(()));
        assert_eq!(check(&[write(b"\x01t", Precondition::Version(Version(1)), Action::Keep)]), Ok(()));
        assert_eq!(check(&[]), Ok(()));
    }

    #[test]
    fn each_malformed_commit_is_refused_by_its_name() {
        let too_many: Vec<_> = (0..101).map(|n| write(&[1, b't', n], Precondition::Any, put(1))).collect();
        assert_eq!(check(&too_many), Err(MalformedCommit::TooManyWrites(101)));
        let twice = [write(b"\x01t", Precondition::Any, put(1)), write(b"\x01t", Precondition::Any, put(2))];
        assert_eq!(check(&twice), Err(MalformedCommit::KeyTwice));
        let two = [write(b"\x01t", Precondition::Any, put(1)), write(b"\x01u", Precondition::Any, put(1))];
        assert_eq!(check(&two), Err(MalformedCommit::SeveralTenants));
        for (precondition, action, why) in [
            (Precondition::Absent, Action::Delete, MalformedCommit::DeleteOfAbsent),
            (Precondition::Absent, Action::Keep, MalformedCommit::KeepWithoutVersion),
            (Precondition::Any, Action::Keep, MalformedCommit::KeepWithoutVersion),
            (Precondition::Any, put(VALUE_MAX_BYTES + 1), MalformedCommit::ValueTooLong(VALUE_MAX_BYTES + 1)),
        ] {
            assert_eq!(check(&[write(b"\x01t", precondition, action)]), Err(why));
        }
    }
}
