//! Saving new tokens: generation + 1, by the version just read, whatever else has changed meanwhile.
//!
//! Tokens in hand are never dropped for a conflict and never fetched again: they are merged into what is stored now, or,
//! where the connection has moved on, parked in the outbox.

use super::lease::Leased;
use crate::moment::UnixMillis;
use crate::operation::Precondition;
use crate::operation::{Context, OperationId, Versioned, Write};
use crate::protocol::scopes::Scopes;
use crate::protocol::token::TokenResponse;
use crate::secret::Secret;
use crate::store::records::{Connection, Grant};
use crate::store::{Key, delete, put_index};
use crate::upstream::place::Place;
use crate::upstream::{Decide, Decision};

/// Writes the tokens of a refresh.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Save {
    place: Place,
    leased: Leased,
    fresh: Fresh,
    /// When a 401 caused this refresh.
    rejected_at: Option<UnixMillis>,
}

/// What a refresh brought.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Fresh {
    access_token: Secret,
    refresh_token: Option<Secret>,
    obtained_at: UnixMillis,
    expires_in: Option<u64>,
    scopes: Option<Scopes>,
}

/// What became of the tokens.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) enum Saved {
    /// Somebody else has refreshed the same consent; theirs is used, ours is a sibling and must not be revoked.
    Adopted(Box<Connection>),
    /// They are the connection's tokens now.
    Fresh(Box<Connection>),
    /// The connection was disconnected or connected anew; ours stand in its outbox.
    Parked(Box<Connection>),
}

impl Save {
    pub(super) fn new(
        now: UnixMillis,
        place: &Place,
        leased: Leased,
        tokens: TokenResponse,
        rejected: Option<u64>,
    ) -> Self {
        let rejected_at = rejected.filter(|rejected| *rejected >= leased.generation).map(|_| now);
        let fresh = Fresh {
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
            obtained_at: now,
            expires_in: tokens.expires_in,
            scopes: tokens.scopes,
        };
        Self { place: place.clone(), leased, fresh, rejected_at }
    }

    /// The grant with the new tokens.
    fn renewed(&self, cx: &Context<'_>) -> Grant {
        let before = &self.leased.grant;
        let fresh = &self.fresh;
        Grant {
            access_token: fresh.access_token.clone(),
            //= spec/oauth21.md#4-3-2
            //# A refresh token that is returned MUST replace the old one, which otherwise stays (REF-04, U).
            refresh_token: fresh.refresh_token.clone().or_else(|| before.refresh_token.clone()),
            obtained_at: fresh.obtained_at,
            expires_at: expiry(cx, fresh.obtained_at, fresh.expires_in),
            terms: before.terms.clone(),
            scopes: fresh.scopes.clone().unwrap_or_else(|| before.scopes.clone()),
            family: before.family,
            sends: 0,
            lease: None,
            backoff: None,
            condemned: None,
            rejected_at: self.rejected_at,
        }
    }
}

/// When a token ends: what the issuer says, clamped.
pub(crate) fn expiry(cx: &Context<'_>, obtained_at: UnixMillis, seconds: Option<u64>) -> Option<UnixMillis> {
    let max = cx.engine.limits().grant_max_ms;
    seconds.map(|seconds| obtained_at.plus(seconds.saturating_mul(1000).min(max)))
}

/// The index entries of a connection as it is to be: `due` where its grant now wants it, and one that brings it before the
/// sweep while tokens are parked in it.
pub(crate) fn schedule(cx: &Context<'_>, place: &Place, connection: &mut Connection) -> Vec<Write> {
    connection.spare_current();
    let parked = place.sweep_entry(cx, connection);
    let due = connection
        .grant
        .as_ref()
        .filter(|grant| grant.refresh_token.is_some() && grant.condemned.is_none())
        .and_then(|grant| grant.due_at(connection.id, cx.engine.limits()));
    if due.map(UnixMillis::minute) == connection.due.map(UnixMillis::minute) {
        return parked.into_iter().collect();
    }
    let old = connection.due.map(|at| delete(place.due(at), Precondition::Any));
    let new = due.map(|at| put_index(place.due(at), None));
    connection.due = due;
    parked.into_iter().chain(old).chain(new).collect()
}

impl Decide for Save {
    type Output = Saved;

    fn keys(&self) -> Vec<Key> {
        vec![self.place.key()]
    }

    /// Nothing is worth more patience: the token that was sent may be spent.
    fn patience(&self) -> u8 {
        8
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Saved> {
        let key = self.place.key();
        let stored = match cx.open::<Connection>(&key, found.first().and_then(Option::as_ref)) {
            Ok(Some(stored)) => stored,
            // A connection is never deleted while an operation may run; should a store have lost it, the tokens begin it anew
            // as a tombstone that has to revoke them.
            Ok(None) => {
                let mut connection = Connection::new(self.leased.lease.attempt);
                connection.epoch = self.leased.epoch.saturating_add(1);
                connection.generation = self.leased.generation;
                connection.park(self.renewed(cx).parked());
                let write = cx.put(&key, Precondition::Absent, &connection, id, None);
                let entry = self.place.sweep_entry(cx, &connection);
                let writes = std::iter::once(write).chain(entry).collect();
                return Decision::Commit(writes, Saved::Parked(Box::new(connection)));
            }
            Err(failure) => return Decision::fail(failure),
        };
        let precondition = stored.unchanged();
        let mut connection = Box::new(stored.record);
        let same_family = connection.epoch == self.leased.epoch
            && connection.grant.as_ref().is_some_and(|grant| grant.family == self.leased.grant.family);
        if !same_family {
            // P19: nobody will use these; they must not live on unnoticed.
            connection.park(self.renewed(cx).parked());
            let mut writes = schedule(cx, &self.place, &mut connection);
            writes.insert(0, cx.put(&key, precondition, &*connection, id, None));
            return Decision::Commit(writes, Saved::Parked(connection));
        }
        if connection.generation != self.leased.generation {
            return Decision::done(Saved::Adopted(connection));
        }
        // Also over a condemnation of this generation: the tokens in hand prove it wrong.
        connection.grant = Some(Box::new(self.renewed(cx)));
        connection.generation = connection.generation.saturating_add(1);
        connection.last_failure = None;
        let mut writes = schedule(cx, &self.place, &mut connection);
        writes.insert(0, cx.put(&key, precondition, &*connection, id, None));
        Decision::Commit(writes, Saved::Fresh(connection))
    }
}
