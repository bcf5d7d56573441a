//! Letting a staged grant go whose consent session has ended without it: its tokens are revoked like any others that nobody uses.

use crate::downstream::consent::drop::drop_one;
use crate::error::Code;
use crate::operation::{Context, OperationId, Precondition, Versioned};
use crate::store::{Key, delete};
use crate::upstream::{Decide, Decision, Place};

/// Moves its tokens to the outbox of the connection they would have been for.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Unstage {
    pub(super) entry: Key,
    /// The staged grant's.
    pub(super) key: Key,
    pub(super) place: Place,
}

impl Decide for Unstage {
    type Output = ();

    fn keys(&self) -> Vec<Key> {
        vec![self.key.clone(), self.place.key()]
    }

    fn decide(&mut self, cx: &mut Context<'_>, id: OperationId, found: &[Option<Versioned>]) -> Decision<()> {
        let [staged, connection] = found else { return Decision::fail(Code::Internal) };
        let mut writes = Vec::new();
        let dropped =
            drop_one(cx, id, &self.place, &self.key, staged.as_ref(), connection.as_ref(), &mut writes);
        if let Err(failure) = dropped {
            return Decision::fail(failure);
        }
        writes.push(delete(self.entry.clone(), Precondition::Any));
        Decision::Commit(writes, ())
    }
}
