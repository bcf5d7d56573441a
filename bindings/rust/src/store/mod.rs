//! Where records are kept: three verbs over bytes, and the stores that come with Grantway.
//!
//! The engine decides what is written; a store only has to be honest about what happened. [`Memory`] serves tests and
//! single processes, [`Sqlite`] one machine. The tests that any store must pass are in the module `contract`, behind the
//! feature of that name.

mod check;
#[cfg(feature = "contract")]
pub mod contract;
mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::pin::Pin;

pub use check::{COMMIT_MAX_WRITES, MalformedCommit, VALUE_MAX_BYTES, check};
use grantway_core::operation::{CommitReply, Precondition, ReadReply, ScanReply, Version, Write};
use grantway_core::store::Key;
pub use memory::Memory;
#[cfg(feature = "sqlite")]
pub use sqlite::{OpenError, Sqlite};

/// What a store's verbs return: nothing happens before it is polled.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A place for records.
///
/// A record is a [`Key`], bytes of up to 256 KiB (sealed by the engine: a store never sees a token), a [`Version`], and
/// perhaps a time from which it may be deleted. Keys are ordered by their bytes: `0x7F` before `0x80`, shorter before longer.
///
/// # Rules
///
/// - **Versions.** Each put gives its record a version that this key never had before, not even before a deletion. Take
///   versions from one counter of the store, not from one per record.
/// - **Durability.** `Committed` means that the writes survive a crash of the process and of the machine. A false
///   `Committed` loses a rotated refresh token.
/// - **Doubt.** An answer that cannot be known, because the connection was lost after the commit was sent, is `Unknown`. It is
///   never `Conflict`, since a false `Conflict` lets the engine redeem a token twice, and the store never repeats the commit:
///   the engine reads again and knows its own write.
/// - **Unavailable** means that surely nothing was written and that trying again later may help.
/// - **Order.** A verb that begins after another has answered sees what that one did.
/// - **Expiry.** `expires_at` is advice. A store may delete a record from then on, and waits another hour, since clocks differ;
///   it need never do so. A put without `expires_at` takes an earlier one away. Once a record is gone it is gone for
///   `read`, `scan` and preconditions alike.
/// - **Time.** A call ends within the engine's `store_timeout_ms`, 5 s unless configured, however many others wait.
/// - **Dropping** a returned future leaves no open transaction. A commit that was begun is carried out whole or not at all.
/// - **Silence.** No value stands in an error or a log.
pub trait Store: Send + Sync + 'static {
    /// The records under `keys`, all seen in one state.
    ///
    /// The answer has one entry for each key, in the order of the question; a key that is asked for twice is answered twice.
    fn read<'a>(&'a self, keys: &'a [Key]) -> StoreFuture<'a, ReadReply>;

    /// The first `limit` records whose key begins with `prefix` and stands after `after`, in ascending order.
    ///
    /// `after` need not be the key of a record, nor begin with `prefix`; `limit` is at least 1. `more` may be true when nothing
    /// follows; it is never false when something does, and never true of an empty page, from which nobody could go on. Pages may see different states, but a record that is there throughout appears exactly once.
    fn scan<'a>(&'a self, prefix: &'a Key, after: Option<&'a Key>, limit: u32) -> StoreFuture<'a, ScanReply>;

    /// All of `writes`, or none of them.
    ///
    /// Every precondition is judged by the state before the commit, so the order of the writes does not matter. The first that
    /// does not hold makes the answer `Conflict`:
    ///
    /// | precondition | holds if |
    /// |--|--|
    /// | `Absent` | there is no such record |
    /// | `Any` | always |
    /// | `Version(n)` | the record is there and has version `n` |
    ///
    /// `Put` gives a new version, `Delete` removes the record (with `Any`, it may be missing already), `Keep` leaves it and its
    /// version as they are. An empty commit succeeds.
    ///
    /// A commit that [`check`] refuses is answered `Unavailable`, and the reason is logged. The engine makes no such commits, so
    /// this is its own error or a host's; `Unavailable` is true (nothing was written) and ends the operation with a failure,
    /// where `Conflict` or `Unknown` would make it read and try the same again.
    fn commit(&self, writes: Vec<Write>) -> StoreFuture<'_, CommitReply>;
}

/// Whether a precondition holds for a record that has the version `current`, or is absent.
fn holds(precondition: Precondition, current: Option<Version>) -> bool {
    match precondition {
        Precondition::Absent => current.is_none(),
        Precondition::Any => true,
        Precondition::Version(version) => current == Some(version),
    }
}
