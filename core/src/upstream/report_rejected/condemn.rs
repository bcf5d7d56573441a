//! Condemning a generation that its resource does not take any more.

use crate::error::Code;
use crate::operation::{Context, OperationId, Versioned};
use crate::store::Key;
use crate::store::records::{Condemned, Connection};
use crate::upstream::place::Place;
use crate::upstream::refresh::save::schedule;
use crate::upstream::{Decide, Decision};

/// Marks one generation; a newer one is left alone.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Condemn {
    pub(super) place: Place,
    pub(super) epoch: u64,
    pub(super) generation: u64,
    pub(super) why: Condemned,
}

impl Decide for Condemn {
    /// Whether it was this operation that did it.
    type Output = bool;

    fn keys(&self) -> Vec<Key> {
        vec![self.place.key()]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<bool> {
        let [connection] = found else { return Decision::fail(Code::Internal) };
        let key = self.place.key();
        let stored = match cx.open::<Connection>(&key, connection.as_ref()) {
            Ok(Some(stored)) => stored,
            Ok(None) => return Decision::done(false),
            Err(failure) => return Decision::fail(failure),
        };
        let precondition = stored.unchanged();
        let mut connection = stored.record;
        let moved = connection.epoch != self.epoch || connection.generation != self.generation;
        match connection.grant.as_mut().filter(|_| !moved) {
            // Also over what a refresh has found out: the resource's word ends the use of the access token as well.
            Some(grant)
                if !matches!(grant.condemned, Some(Condemned::IssuerChanged | Condemned::Rejected)) =>
            {
                grant.condemned = Some(self.why);
            }
            Some(_) | None => return Decision::done(false),
        }
        let index = schedule(cx, &self.place, &mut connection);
        let write = cx.put(&key, precondition, &connection, id, None);
        Decision::Commit(std::iter::once(write).chain(index).collect(), true)
    }
}
