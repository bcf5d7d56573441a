//! Writing down an answer that brought no tokens: give the lease back, brake, or condemn this generation.

use super::Wish;
use super::lease::Leased;
use crate::error::Code;
use crate::limits::COMMIT_TRIES;
use crate::moment::UnixMillis;
use crate::operation::{Context, OperationId, Precondition, Versioned, Write};
use crate::store::Key;
use crate::store::records::{Backoff, Client, Condemned, Connection, Throttle};
use crate::upstream::place::Place;
use crate::upstream::stale::{mark_stale, registration_key};
use crate::upstream::{Decide, Decision};

/// LIMIT: the longest pause believed, whoever asked for it.
pub(super) const PAUSE_MAX_MS: u64 = 60 * 60 * 1000;

/// Writes down an answer to the attempt that held the lease.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Settle {
    place: Place,
    rejected: Option<u64>,
    attempt: OperationId,
    generation: u64,
    epoch: u64,
    issuer: String,
    client: Client,
    settlement: Settlement,
    /// What went wrong, for the status.
    slug: &'static str,
}

/// What the answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Settlement {
    /// This generation cannot be refreshed any more.
    Condemn(Condemned),
    /// Nothing was spent: the count goes back. `brake`: the issuer itself is to be left alone by all.
    Release { pause: Pause, brake: bool },
}

/// Until when this grant is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Pause {
    None,
    /// Doubling with each failure, at least so many milliseconds.
    Growing(u64),
    /// As the issuer said, if that is later.
    Until(UnixMillis),
}

impl Settlement {
    pub(super) const fn condemned(why: Condemned) -> Self {
        Self::Condemn(why)
    }

    /// The request did not leave, or was refused without being looked at.
    pub(super) const fn unsent(pause_ms: Option<u64>) -> Self {
        let pause = match pause_ms {
            Some(ms) => Pause::Growing(ms),
            None => Pause::None,
        };
        Self::Release { pause, brake: false }
    }

    /// The issuer said "later".
    pub(super) const fn later(until: Option<UnixMillis>) -> Self {
        let pause = match until {
            Some(until) => Pause::Until(until),
            None => Pause::Growing(0),
        };
        Self::Release { pause, brake: true }
    }
}

/// What the record says afterwards.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) enum Settled {
    Dead(Box<Connection>),
    Gone,
    Later { until: UnixMillis },
    Usable(Box<Connection>),
}

impl Settle {
    pub(super) fn new(wish: &Wish, leased: &Leased, settlement: Settlement, slug: &'static str) -> Self {
        Self {
            place: wish.place.clone(),
            rejected: wish.rejected,
            attempt: leased.lease.attempt,
            generation: leased.generation,
            epoch: leased.epoch,
            issuer: leased.issuer().to_owned(),
            client: leased.grant.terms.client.clone(),
            settlement,
            slug,
        }
    }

    fn until(&self, cx: &Context<'_>, pause: Pause, failures: u8) -> Option<UnixMillis> {
        let limits = cx.engine.limits();
        let growing = limits.backoff_ms.saturating_mul(1 << failures.min(16)).min(limits.backoff_max_ms);
        let jitter = cx.moment.entropy.below("refresh/jitter", (growing / 10).saturating_add(1));
        let own = cx.now().plus(growing).plus(jitter);
        match pause {
            Pause::None => None,
            Pause::Growing(least) => Some(own.max(cx.now().plus(least))),
            Pause::Until(at) => Some(own.max(at).min(cx.now().plus(PAUSE_MAX_MS))),
        }
    }

    /// The outcome, from what is stored.
    fn settled(&self, cx: &Context<'_>, connection: Box<Connection>) -> Settled {
        let Some(grant) = &connection.grant else { return Settled::Gone };
        let rejected = self.rejected.is_some_and(|rejected| rejected >= connection.generation);
        if grant.is_usable(cx.now()) && !rejected {
            return Settled::Usable(connection);
        }
        if grant.condemned.is_some() || grant.refresh_token.is_none() {
            return Settled::Dead(connection);
        }
        Settled::Later { until: grant.backoff.map_or(cx.now(), |backoff| backoff.until) }
    }

    fn brake(
        &self,
        cx: &Context<'_>,
        id: OperationId,
        until: UnixMillis,
        found: Option<&Versioned>,
    ) -> Option<Write> {
        let key = Key::throttle(&self.place.tenant, &self.issuer);
        let failures = match cx.open::<Throttle>(&key, found) {
            Ok(stored) => stored.map_or(0, |stored| stored.record.failures),
            Err(_) => 0,
        };
        let record = Throttle { until, failures: failures.saturating_add(1) };
        // `any`: a brake is advice; whoever writes last is as right as the one before.
        Some(cx.put(&key, Precondition::Any, &record, id, Some(until.plus(PAUSE_MAX_MS))))
    }
}

impl Decide for Settle {
    type Output = Settled;

    fn keys(&self) -> Vec<Key> {
        vec![
            self.place.key(),
            Key::throttle(&self.place.tenant, &self.issuer),
            registration_key(&self.place.tenant, &self.issuer, &self.client),
        ]
    }

    fn patience(&self) -> u8 {
        COMMIT_TRIES / 2
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Settled> {
        let key = self.place.key();
        let at = |index: usize| found.get(index).and_then(Option::as_ref);
        let stored = match cx.open::<Connection>(&key, at(0)) {
            Ok(Some(stored)) => stored,
            Ok(None) => return Decision::done(Settled::Gone),
            Err(failure) => return Decision::fail(failure),
        };
        let precondition = stored.unchanged();
        let mut connection = Box::new(stored.record);
        let moved = connection.epoch != self.epoch || connection.generation != self.generation;
        let Some(grant) = connection.grant.as_mut().filter(|_| !moved) else {
            return Decision::done(self.settled(cx, connection));
        };
        let ours = grant.lease.is_some_and(|lease| lease.attempt == self.attempt);
        let mut others = Vec::new();
        match self.settlement {
            Settlement::Condemn(why) => {
                grant.condemned = Some(why);
                if ours {
                    grant.lease = None;
                }
                if why == Condemned::ClientRefused {
                    let key = registration_key(&self.place.tenant, &self.issuer, &self.client);
                    others.extend(mark_stale(cx, &key, &self.client, id, at(2)));
                }
            }
            // Somebody has taken the lease over: the count and the lease are theirs.
            Settlement::Release { .. } if !ours => return Decision::done(self.settled(cx, connection)),
            Settlement::Release { pause, brake } => {
                grant.lease = None;
                grant.sends = grant.sends.saturating_sub(1);
                let failures = grant.backoff.map_or(0, |backoff| backoff.failures);
                let until = self.until(cx, pause, failures);
                grant.backoff = until.map(|until| Backoff { until, failures: failures.saturating_add(1) });
                // That scopes were refused is remembered for the next flow; a pause is forgotten by itself.
                let is_kept = connection.last_failure.as_deref() == Some(Code::ScopeRefused.slug());
                if until.is_some() && !is_kept {
                    connection.last_failure = Some(self.slug.to_owned());
                }
                if brake && let Some(until) = until {
                    others.extend(self.brake(cx, id, until, at(1)));
                }
            }
        }
        others.extend(super::save::schedule(cx, &self.place, &mut connection));
        let write = cx.put(&key, precondition, &*connection, id, None);
        let writes = std::iter::once(write).chain(others).collect();
        Decision::Commit(writes, self.settled(cx, connection))
    }
}
