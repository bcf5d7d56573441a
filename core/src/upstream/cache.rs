//! Whether a resolution that a driver has kept may be used again. The map is the driver's; the decision is here.

use std::sync::Arc;

use super::ready::Ready;
use crate::engine::Engine;
use crate::error::Code;
use crate::limits::Limits;
use crate::moment::UnixMillis;
use crate::operation::{Answer, Context, Effect, Machine, Operation, Progress, Version, machine};
use crate::store::Key;

/// A resolution kept for the same caller (with the same teams, roles and assurance) and the same connector.
/// Cheap to clone: copies share the resolution.
#[derive(Clone, Debug)]
pub struct CachedResolution {
    ready: Arc<Ready>,
    checked_at: UnixMillis,
}

/// What a kept resolution is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// Use it.
    Fresh,
    /// Look at the versions of its records first: [`Engine::renew`].
    Renewable,
    /// Drop it and resolve.
    Stale,
}

impl CachedResolution {
    /// Keeps a resolution, as of the time it was made.
    pub fn new(ready: impl Into<Arc<Ready>>) -> Self {
        let ready = ready.into();
        let checked_at = ready.resolved_at;
        Self { ready, checked_at }
    }

    /// The resolution.
    pub fn ready(&self) -> &Arc<Ready> {
        &self.ready
    }

    /// Whether it may be used at this time: before a refresh is due, and younger than `cache_max_age`. A revocation is thereby
    /// honoured within that time everywhere.
    pub fn freshness(&self, now: UnixMillis, limits: &Limits) -> Freshness {
        // P26: after a clock was set back nobody knows how old it is.
        let ended = self.ready.due_at.is_some_and(|due| due <= now)
            || self.ready.expires_at.is_some_and(|end| end <= now)
            || now < self.checked_at;
        if ended {
            Freshness::Stale
        } else if now < self.checked_at.plus(limits.cache_max_age_ms) {
            Freshness::Fresh
        } else if self.ready.renewable {
            Freshness::Renewable
        } else {
            Freshness::Stale
        }
    }

    /// The same resolution, found unchanged at this time.
    #[must_use]
    pub fn renewed(self, now: UnixMillis) -> Self {
        Self { checked_at: now, ..self }
    }
}

impl Engine {
    /// Looks whether the records of a kept resolution are as they were: one `Read`, and no seal is opened.
    /// The result: whether they are.
    pub fn renew(self: &Arc<Self>, cached: &CachedResolution) -> Operation<Renewing> {
        let actor = Some(cached.ready.attribution().actor.clone());
        Operation::new(Arc::clone(self), actor, Renewing(State::Fresh(cached.ready.seen.clone())))
    }
}

/// A `renew` under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct Renewing(State);

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    AwaitRecords(Vec<(Key, Option<Version>)>),
    Fresh(Vec<(Key, Option<Version>)>),
}

impl machine::Sealed for Renewing {}

impl Machine for Renewing {
    type Output = bool;

    #[allow(private_interfaces)]
    fn step(self, _cx: &mut Context<'_>, answer: Answer) -> Progress<Self, bool> {
        match (self.0, answer) {
            (State::Fresh(seen), Answer::Start) => {
                let keys = seen.iter().map(|(key, _)| key.clone()).collect();
                Progress::Perform(Self(State::AwaitRecords(seen)), Effect::Read { keys })
            }
            (State::AwaitRecords(seen), Answer::Read(Some(found))) => {
                let unchanged = seen
                    .iter()
                    .zip(&found)
                    .all(|((_, before), now)| *before == now.as_ref().map(|now| now.version));
                Progress::done(unchanged)
            }
            (State::AwaitRecords(_), Answer::Read(None)) => Progress::fail(Code::StoreUnavailable),
            _ => Progress::fail(Code::Internal),
        }
    }
}
