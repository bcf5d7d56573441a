//! The decision about a grant's lease: the one place that says whether a refresh token may be sent.

use super::save::schedule;
use super::{AttemptId, Observation, Wish};
use crate::connector::InDoubt;
use crate::error::{Code, Failure};
use crate::limits::SENDS_MAX;
use crate::moment::UnixMillis;
use crate::operation::{Context, OperationId, Versioned};
use crate::store::Key;
use crate::store::records::{Condemned, Connection, Grant, Lease, RegistrationSource, Throttle};
use crate::upstream::place::Place;
use crate::upstream::{Decide, Decision};

/// Takes the lease if the refresh token may and should be sent now.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct TakeLease {
    place: Place,
    rejected: Option<u64>,
    /// Whose throttle is read as well; unknown when waiting for somebody else's refresh, which has looked at it.
    issuer: Option<String>,
    observed: Option<Observation>,
    /// The attempt of our own whose answer was in doubt.
    previous: Option<AttemptId>,
    /// When the lease ends; the same for every try, since any of those whose fate is unknown may be the one that was applied.
    until: Option<UnixMillis>,
}

/// What the decision comes to.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) enum Take {
    /// Just now, by us: the answer is lost for good.
    Condemned,
    Dead,
    Gone,
    Later {
        until: UnixMillis,
        failure: Failure,
    },
    Post(Box<Leased>),
    Usable(Box<Connection>),
    Wait {
        seen: Observation,
        until: UnixMillis,
    },
}

/// The right to send this grant's refresh token once.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Leased {
    pub(super) grant: Grant,
    pub(super) lease: Lease,
    pub(super) epoch: u64,
    pub(super) generation: u64,
}

impl Leased {
    pub(super) fn issuer(&self) -> &str {
        &self.grant.terms.issuer
    }

    pub(super) fn source(&self) -> RegistrationSource {
        self.grant.terms.client.source
    }
}

impl TakeLease {
    pub(super) fn new(
        wish: &Wish,
        issuer: Option<String>,
        observed: Option<Observation>,
        previous: Option<AttemptId>,
    ) -> Self {
        Self { place: wish.place.clone(), rejected: wish.rejected, issuer, observed, previous, until: None }
    }

    /// Whether somebody else's lease may be taken over.
    fn is_free(&self, cx: &Context<'_>, lease: &Lease, seen: Observation) -> bool {
        let limits = cx.engine.limits();
        // By the clock, with an allowance for clocks that differ; or by having seen it unchanged for a whole lease,
        // which needs no clocks to agree and frees a lease written by a clock in the far future.
        let by_clock = cx.now() >= lease.until.plus(limits.clock_skew_ms);
        let by_watching =
            self.observed.is_some_and(|before| before.is_of(seen) && before.for_ms >= limits.lease_ms);
        by_clock || by_watching
    }
}

impl Decide for TakeLease {
    type Output = Take;

    fn keys(&self) -> Vec<Key> {
        let throttle = self.issuer.iter().map(|issuer| Key::throttle(&self.place.tenant, issuer));
        std::iter::once(self.place.key()).chain(throttle).collect()
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Take> {
        let key = self.place.key();
        let stored = match cx.open::<Connection>(&key, found.first().and_then(Option::as_ref)) {
            Ok(Some(stored)) => stored,
            Ok(None) => return Decision::done(Take::Gone),
            Err(failure) => return Decision::fail(failure),
        };
        let (now, limits) = (cx.now(), cx.engine.limits());
        let precondition = stored.unchanged();
        let seen = Observation { connection: stored.record.id, version: stored.version, for_ms: 0 };
        let (epoch, generation) = (stored.record.epoch, stored.record.generation);
        let mut connection = Box::new(stored.record);
        let Some(grant) = &mut connection.grant else { return Decision::done(Take::Gone) };
        // Somebody has refreshed since the token was rejected.
        let rejected = self.rejected.is_some_and(|rejected| rejected >= generation);
        let usable = grant.is_usable(now) && !rejected;
        let due = rejected || grant.is_due(connection.id, now, limits) || !usable;
        if usable && (!due || grant.condemned.is_some()) {
            return Decision::done(Take::Usable(connection));
        }
        if grant.condemned.is_some() || grant.refresh_token.is_none() {
            return Decision::done(if usable { Take::Usable(connection) } else { Take::Dead });
        }
        // Our own lease, its commit unknown until now: nothing was sent under it yet.
        if let Some(lease) = grant.lease.filter(|lease| lease.attempt == id) {
            let leased = Leased { grant: (**grant).clone(), lease, epoch, generation };
            return Decision::done(Take::Post(Box::new(leased)));
        }
        if self.previous.is_none() {
            match self.pause(cx, grant, found.get(1).and_then(Option::as_ref)) {
                None => {}
                Some(_) if usable => return Decision::done(Take::Usable(connection)),
                Some(until) => {
                    let failure = Failure::new(Code::IssuerUnavailable).retry_at(until);
                    return Decision::done(Take::Later { until, failure });
                }
            }
        }
        //= spec/derived.md#ref-06
        //# One lease holder at a time MUST refresh a grant, over tasks and processes, and who loses the lease
        //# reads again before calling the grant dead (REF-06, U, derived).
        if let Some(lease) = grant.lease
            && self.previous != Some(lease.attempt)
            && !self.is_free(cx, &lease, seen)
        {
            return Decision::done(match usable {
                true => Take::Usable(connection),
                false => Take::Wait { seen, until: lease.until },
            });
        }
        // P17: durable before anything is sent, so no sequence of crashes sends a third time.
        let sends_max = match grant.terms.dialect.in_doubt {
            InDoubt::Never => 1,
            InDoubt::RetryOnce => SENDS_MAX,
        };
        //= spec/mcp-2026-07-28.md#idx-step-up-authorization-flow
        //# Every loop SHOULD be bounded: discovery, 401, 403, nonce and refresh (ERR-01, U).
        if grant.sends >= sends_max {
            grant.condemned = Some(Condemned::InDoubt);
            grant.lease = None;
            let index = schedule(cx, &self.place, &mut connection);
            let write = cx.put(&key, precondition, &*connection, id, None);
            let take = if usable { Take::Usable(connection) } else { Take::Condemned };
            return Decision::Commit(std::iter::once(write).chain(index).collect(), take);
        }
        let until = *self.until.get_or_insert(now.plus(limits.lease_ms));
        let lease = Lease { attempt: id, until };
        grant.sends = grant.sends.saturating_add(1);
        grant.lease = Some(lease);
        let leased = Leased { grant: (**grant).clone(), lease, epoch, generation };
        let write = cx.put(&key, precondition, &*connection, id, None);
        Decision::Commit(vec![write], Take::Post(Box::new(leased)))
    }
}

impl TakeLease {
    /// Until when the issuer wants to be left alone; an end further away than any pause was written by a clock that has jumped.
    fn pause(&self, cx: &Context<'_>, grant: &Grant, throttle: Option<&Versioned>) -> Option<UnixMillis> {
        let now = cx.now();
        // A brake that cannot be read is none: it is advice, and must not stand between a user and a good grant.
        let throttled = self.issuer.as_ref().and_then(|issuer| {
            let key = Key::throttle(&self.place.tenant, issuer);
            Some(cx.open::<Throttle>(&key, throttle).ok()??.record.until)
        });
        let until = grant.backoff.map(|backoff| backoff.until).max(throttled);
        until.filter(|until| now < *until && *until <= now.plus(super::settle::PAUSE_MAX_MS))
    }
}
