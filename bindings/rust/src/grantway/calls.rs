//! Using connections: `resolve` with its cache, `preflight`, `report_rejected`.

use std::sync::Arc;

use grantway_core::challenge::Challenge;
use grantway_core::error::Failure;
use grantway_core::principal::Caller;
use grantway_core::secret::Secret;
use grantway_core::upstream::cache::{CachedResolution, Freshness};
use grantway_core::upstream::preflight::{Preflight, Preflighted};
use grantway_core::upstream::ready::Ready;
use grantway_core::upstream::report_rejected::{self, ReportRejected};
use grantway_core::upstream::resolve::{self, Resolve, Transient};

use super::cache::Begun;
use super::{Grantway, connector_id};

/// What [`Grantway::resolve`] comes to.
#[derive(Debug)]
pub enum Resolution {
    /// A person is needed.
    Challenge(Box<Challenge>),
    /// A credential, perhaps shared with others who were given it from the cache.
    Ready(Arc<Ready>),
    /// Not now; nobody has to do anything.
    Transient(Transient),
}

/// What to do about a refused call.
#[derive(Debug)]
pub enum Rejection {
    /// A person is needed.
    Challenge(Box<Challenge>),
    /// It is not about authorization: hand the response on.
    Nothing,
    /// Make the call once more, with this.
    Retry(Arc<Ready>),
    /// Not now; nobody has to do anything.
    Transient(Transient),
}

impl Grantway {
    /// The credential for a caller's call to an upstream, or a challenge that says what is missing.
    ///
    /// A resolution is used again for `cache_max_age_ms`, then as long as its records are as they were. What this process
    /// withdraws (disconnects, suspends, changes) it honours at once; what others withdraw, within that time.
    ///
    /// # Errors
    /// As of the engine's `resolve`.
    pub async fn resolve(&self, caller: &Caller, connector: &str) -> Result<Resolution, Failure> {
        let arguments = || Ok(Resolve::new(caller.clone(), connector_id(connector)?));
        self.resolve_cached(caller, connector, arguments).await
    }

    /// As [`Grantway::resolve`], waiting at most so long for another worker's refresh. Default: 10 s.
    ///
    /// # Errors
    /// As of the engine's `resolve`.
    pub async fn resolve_within(
        &self,
        caller: &Caller,
        connector: &str,
        wait_ms: u64,
    ) -> Result<Resolution, Failure> {
        let arguments = || Ok(Resolve { wait_ms, ..Resolve::new(caller.clone(), connector_id(connector)?) });
        self.resolve_cached(caller, connector, arguments).await
    }

    async fn resolve_cached(
        &self,
        caller: &Caller,
        connector: &str,
        arguments: impl Fn() -> Result<Resolve, Failure>,
    ) -> Result<Resolution, Failure> {
        let begun = self.cache.begin();
        if let Some(cached) = self.cache.get(caller, connector) {
            // Before the read, so that the time of the read counts as age.
            let now = self.moment().now;
            match cached.freshness(now, &self.engine.config().limits) {
                Freshness::Fresh => return Ok(Resolution::Ready(Arc::clone(cached.ready()))),
                Freshness::Renewable if self.run(self.engine.renew(&cached)).await? => {
                    let ready = Arc::clone(cached.ready());
                    self.cache.keep(caller, connector, begun, cached.renewed(now));
                    return Ok(Resolution::Ready(ready));
                }
                Freshness::Renewable | Freshness::Stale => self.cache.forget(caller, connector),
            }
        }
        let observed = self.cache.observed(caller, connector);
        let arguments = Resolve { observed, ..arguments()? };
        Ok(match self.run(self.engine.resolve(arguments)).await? {
            resolve::Resolution::Challenge(challenge) => Resolution::Challenge(challenge),
            resolve::Resolution::Ready(ready) => {
                Resolution::Ready(self.keep(caller, connector, begun, ready))
            }
            resolve::Resolution::Transient(transient) => {
                self.cache.observe(caller, connector, transient.observed);
                Resolution::Transient(transient)
            }
        })
    }

    fn keep(&self, caller: &Caller, connector: &str, begun: Begun, ready: Box<Ready>) -> Arc<Ready> {
        let cached = CachedResolution::new(ready);
        let ready = Arc::clone(cached.ready());
        self.cache.keep(caller, connector, begun, cached);
        ready
    }

    /// All that is missing for calls to several upstreams, before a run begins that would stop at each of them.
    ///
    /// # Errors
    /// As of the engine's `preflight`; or a name is none that a connector can have.
    pub async fn preflight(&self, caller: &Caller, connectors: &[&str]) -> Result<Preflighted, Failure> {
        let connectors = connectors.iter().map(|name| connector_id(name)).collect::<Result<_, _>>()?;
        self.run(self.engine.preflight(Preflight::new(caller.clone(), connectors))).await
    }

    /// Says what to do about a call that the resource refused.
    ///
    /// `used` is what the call was made with, `None` for a call without a credential; `operation` names the call as the host does
    /// (`tools/call search`); of the headers only `WWW-Authenticate` is looked at.
    ///
    /// # Errors
    /// As of the engine's `report_rejected`.
    pub async fn report_rejected(
        &self,
        caller: &Caller,
        connector: &str,
        used: Option<&Ready>,
        operation: &str,
        status: u16,
        headers: impl IntoIterator<Item = (String, Secret)>,
    ) -> Result<Rejection, Failure> {
        let begun = self.cache.begin();
        let arguments = ReportRejected {
            caller: caller.clone(),
            connector: connector_id(connector)?,
            connection: used.and_then(|used| used.attribution().connection),
            generation: used.map_or(0, Ready::generation),
            operation: operation.to_owned(),
            status,
            headers: headers.into_iter().collect(),
            wait_ms: Resolve::new(caller.clone(), connector_id(connector)?).wait_ms,
        };
        if status == 401
            && let Some(used) = used
        {
            self.cache.forget_rejected(caller, connector, used.attribution());
        }
        Ok(match self.run(self.engine.report_rejected(arguments)).await? {
            report_rejected::Rejection::Challenge(challenge) => Rejection::Challenge(challenge),
            report_rejected::Rejection::Nothing => Rejection::Nothing,
            report_rejected::Rejection::Retry(ready) => {
                Rejection::Retry(self.keep(caller, connector, begun, ready))
            }
            report_rejected::Rejection::Transient(transient) => {
                self.cache.observe(caller, connector, transient.observed);
                Rejection::Transient(transient)
            }
        })
    }
}
