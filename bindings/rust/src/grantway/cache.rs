//! Resolutions that are used again, and what was seen of leases. Whether one may be used is the engine's decision; which are
//! kept, and that a withdrawal in this process ends them at once, is decided here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grantway_core::principal::{Caller, TenantId};
use grantway_core::upstream::cache::CachedResolution;
use grantway_core::upstream::ready::Attribution;
use grantway_core::upstream::resolve::Observation;
use tokio::time::Instant;

use super::recent::Recent;

/// LIMIT: a few kilobytes each; more callers than that are seldom active within `cache_max_age_ms`.
const RESOLUTIONS_MAX: usize = 10_000;

/// LIMIT: leases of other workers that callers of this process wait for.
const OBSERVATIONS_MAX: usize = 10_000;

/// What one process remembers between operations. Nothing in it is needed for correctness.
pub(super) struct Cache(Mutex<State>);

struct State {
    resolutions: Recent<CachedResolution>,
    observations: Recent<(Observation, Instant)>,
    /// Tenants in which something is being withdrawn, one entry for each operation.
    withdrawing: Vec<TenantId>,
    /// How many withdrawals have ended.
    withdrawn: u64,
}

/// When a resolution was begun: the withdrawals that had ended by then.
#[derive(Clone, Copy)]
pub(super) struct Begun(u64);

impl Cache {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            resolutions: Recent::new(RESOLUTIONS_MAX),
            observations: Recent::new(OBSERVATIONS_MAX),
            withdrawing: Vec::new(),
            withdrawn: 0,
        }))
    }

    pub(super) fn get(&self, caller: &Caller, connector: &str) -> Option<CachedResolution> {
        self.lock().resolutions.get(caller, connector).cloned()
    }

    /// To be called before the records are read that a resolution will be made from.
    pub(super) fn begin(&self) -> Begun {
        Begun(self.lock().withdrawn)
    }

    /// Keeps a resolution, unless something was withdrawn in its tenant since it was begun: it may rest on what was there before.
    pub(super) fn keep(&self, caller: &Caller, connector: &str, begun: Begun, resolution: CachedResolution) {
        let mut state = self.lock();
        if state.withdrawn == begun.0 && !state.withdrawing.contains(&caller.tenant) {
            state.resolutions.put(caller, connector, resolution);
        }
    }

    /// Forgets one resolution.
    pub(super) fn forget(&self, caller: &Caller, connector: &str) {
        self.lock().resolutions.remove(caller, connector);
    }

    /// Forgets the resolutions of the connection whose tokens a resource has rejected, whoever uses it.
    pub(super) fn forget_rejected(&self, caller: &Caller, connector: &str, rejected: &Attribution) {
        let mut state = self.lock();
        state.resolutions.remove(caller, connector);
        state.resolutions.retain(|_, _, other| {
            let other = other.ready().attribution();
            let same = rejected.connection.is_some() && other.connection == rejected.connection;
            !same || other.generation > rejected.generation
        });
    }

    /// What was last seen of a lease, with the time that has passed since.
    pub(super) fn observed(&self, caller: &Caller, connector: &str) -> Option<Observation> {
        let (seen, at) = self.lock().observations.remove(caller, connector)?;
        let passed = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
        Some(Observation { for_ms: seen.for_ms.saturating_add(passed), ..seen })
    }

    /// Remembers what was seen of a lease.
    pub(super) fn observe(&self, caller: &Caller, connector: &str, observation: Option<Observation>) {
        if let Some(observation) = observation {
            self.lock().observations.put(caller, connector, (observation, Instant::now()));
        }
    }

    /// Forgets a tenant's resolutions, and keeps none of its resolutions until the result is dropped.
    ///
    /// Of the whole tenant, because a resolution may rest on several connections, secrets and a connector. What is withdrawn is
    /// withdrawn by people, so it is rare; what it costs the others is one read each.
    pub(super) fn withdraw(self: &Arc<Self>, tenant: &TenantId) -> Withdrawing {
        let mut state = self.lock();
        state.resolutions.retain(|caller, _, _| caller.tenant != *tenant);
        state.withdrawing.push(tenant.clone());
        Withdrawing { cache: Arc::clone(self), tenant: tenant.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No panic leaves the maps half-changed in a way that matters: an entry is there or not.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something is being withdrawn.
pub(super) struct Withdrawing {
    cache: Arc<Cache>,
    tenant: TenantId,
}

impl Drop for Withdrawing {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        state.withdrawn += 1;
        if let Some(at) = state.withdrawing.iter().position(|tenant| *tenant == self.tenant) {
            state.withdrawing.swap_remove(at);
        }
    }
}
