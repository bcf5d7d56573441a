//! What becomes of a connection's entry in the `expiry` index once its outbox has been gone through.

use crate::operation::{Context, OperationId, Precondition, Versioned};
use crate::store::records::Connection;
use crate::store::{Key, delete};
use crate::upstream::{Decide, Decision, Place};

/// Moves the entry to when it is wanted next, or removes it, and a purged connection with it.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Tidy {
    pub(super) place: Place,
    pub(super) entry: Key,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Tidied {
    /// Nothing is parked any more.
    Empty,
    /// The entry stands at a later time.
    Postponed,
    /// The connection was purged, and is gone now.
    Removed,
}

impl Decide for Tidy {
    type Output = Tidied;

    fn keys(&self) -> Vec<Key> {
        vec![self.place.key()]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        _: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Tidied> {
        let (now, limits) = (cx.now(), cx.engine.limits());
        let entry = || delete(self.entry.clone(), Precondition::Any);
        let later = |at| {
            let next = self.place.sweep_at(at);
            // A clock that was set back meanwhile may want it where it is.
            let moved = if next.key == self.entry { vec![next] } else { vec![next, entry()] };
            Decision::Commit(moved, Tidied::Postponed)
        };
        let key = self.place.key();
        let stored = match cx.open::<Connection>(&key, found.first().and_then(Option::as_ref)) {
            Ok(Some(stored)) => stored,
            Ok(None) => return Decision::Commit(vec![entry()], Tidied::Empty),
            // A keyring that lacks a key may be mended: what is parked in it must still be found then.
            Err(_) => return later(now.plus(limits.tombstone_ms)),
        };
        let connection = &stored.record;
        if let Some(next) = connection.outbox.iter().map(|parked| parked.after).min() {
            // P26: a time further away than any pause was written by a clock that has jumped.
            return later(next.max(now.plus(limits.backoff_ms)).min(now.plus(limits.backoff_max_ms)));
        }
        match connection.purged_until {
            Some(until) if connection.is_over() && until <= now => {
                let gone = delete(key, stored.unchanged());
                Decision::Commit(vec![gone, entry()], Tidied::Removed)
            }
            Some(until) if connection.is_over() => later(until.min(now.plus(limits.tombstone_ms))),
            _ => Decision::Commit(vec![entry()], Tidied::Empty),
        }
    }
}

impl Connection {
    /// Whether nothing has come since a purge that anybody could miss.
    fn is_over(&self) -> bool {
        self.grant.is_none() && self.awaiting.is_none() && !self.redeeming
    }
}
