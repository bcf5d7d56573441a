//! The one object of a host: engine, store and transport together, with a method for each operation.

mod cache;
mod calls;
mod connecting;
mod gateway;
mod managing;
mod recent;
mod seeds;
mod send;
mod upkeep;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use grantway_core::engine::Engine;
use grantway_core::error::{Code, Failure};
use grantway_core::event::Event;
use grantway_core::moment::Moment;
use grantway_core::operation::{Machine, Operation};
use grantway_core::principal::{ConnectorId, TenantId};
use tokio::sync::OnceCell;

use self::cache::{Cache, Withdrawing};
pub use self::calls::{Rejection, Resolution};
pub(crate) use self::seeds::check_seeds;
pub use self::send::CallError;
use crate::config::{ConfigFileError, Configuration, Seed};
use crate::driver::{Host, drive};
use crate::store::Store;
use crate::transport::{AtOnce, Hyper};

/// Grantway for one host: operations as methods, the caller always first.
///
/// - *Using*: [`resolve`](Self::resolve) gives the credential for a call or says what is missing;
///   [`report_rejected`](Self::report_rejected) says what follows when the call is refused; [`send`](Self::send) does both.
/// - *Connecting*: [`begin_connect`](Self::begin_connect), [`complete_connect`](Self::complete_connect),
///   [`disconnect`](Self::disconnect) and what pages show.
/// - *Letting in*: [`handle`](Self::handle) answers the requests of MCP clients and browsers to the gateway;
///   [`authenticate`](Self::authenticate) says who sends a request to the host's MCP endpoint.
/// - *Managing*: connectors, secrets, suspensions, and [`refresh_due`](Self::refresh_due) and
///   [`sweep`](Self::sweep), to be called now and then.
///
/// One object serves all tenants and tasks; share it in an [`Arc`]. It runs in a Tokio runtime with time and I/O.
/// Operations are tasks of their own: dropping the future of a method stops the waiting, never the operation, so that an HTTP
/// request which its client gives up cannot lose a rotated refresh token. The runtime should be given time to end them.
pub struct Grantway {
    engine: Arc<Engine>,
    host: Arc<Host>,
    cache: Arc<Cache>,
    on_event: Option<Sink>,
    seeds: Vec<Seed>,
    seeded: OnceCell<()>,
}

/// Who is told of events.
type Sink = Arc<dyn Fn(&Event) + Send + Sync>;

impl Grantway {
    /// From a configuration file and a store, with the transport [`Hyper`], the system's clock and its random source.
    ///
    /// The connectors of the file are put into the store before the first operation; one that an administrator has put stays.
    ///
    /// # Errors
    /// The file is not acceptable; the error names the field.
    pub fn open(path: impl AsRef<Path>, store: impl Store) -> Result<Self, ConfigFileError> {
        let Configuration { engine, keyring, seeds } = Configuration::read(path)?;
        let engine = Engine::new(engine, keyring)?;
        check_seeds(&engine, &seeds)?;
        let transport = Arc::new(AtOnce::new(Hyper::new()?));
        let host = Host::new(Arc::new(store), transport);
        Ok(Self { seeds, ..Self::new(engine, host) })
    }

    /// From an engine and a host. The host's transport should be an [`AtOnce`], so that no issuer meets a crowd; its time for store calls
    /// becomes that of the engine's limits, from which leases are computed.
    pub fn new(engine: Arc<Engine>, host: Host) -> Self {
        let store_timeout = Duration::from_millis(engine.config().limits.store_timeout_ms);
        Self {
            engine,
            host: Arc::new(host.with_store_timeout(store_timeout)),
            cache: Arc::new(Cache::new()),
            on_event: None,
            seeds: Vec::new(),
            seeded: OnceCell::new(),
        }
    }

    /// The same, with somebody who is told of every event, in order, when its operation ends. Resolutions that are used again
    /// from the cache are no events.
    #[must_use]
    pub fn on_events(mut self, sink: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.on_event = Some(Arc::new(sink));
        self
    }

    /// The time, and fresh entropy, as [`Ready::headers`](grantway_core::upstream::ready::Ready::headers) wants them.
    pub fn moment(&self) -> Moment {
        self.host.moment()
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Carries an operation to its end.
    async fn run<M>(&self, operation: Operation<M>) -> Result<M::Output, Failure>
    where
        M: Machine + Send + 'static,
        M::Output: Send,
    {
        self.seed().await?;
        self.spawn(operation, None).await
    }

    /// As [`Grantway::run`], for what changes what callers may use: no kept resolution of the tenant outlives it.
    async fn run_changing<M>(&self, tenant: &TenantId, operation: Operation<M>) -> Result<M::Output, Failure>
    where
        M: Machine + Send + 'static,
        M::Output: Send,
    {
        self.seed().await?;
        self.spawn(operation, Some(self.cache.withdraw(tenant))).await
    }

    async fn spawn<M>(
        &self,
        operation: Operation<M>,
        withdrawing: Option<Withdrawing>,
    ) -> Result<M::Output, Failure>
    where
        M: Machine + Send + 'static,
        M::Output: Send,
    {
        let (host, on_event) = (Arc::clone(&self.host), self.on_event.clone());
        let task = tokio::spawn(async move {
            let outcome = drive(operation, &host).await;
            drop(withdrawing);
            if let Some(on_event) = on_event {
                outcome.events.iter().for_each(|event| on_event(event));
            }
            outcome.result
        });
        match task.await {
            Ok(result) => result,
            Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
            Err(_) => Err(Failure::new(Code::Internal).because("the runtime is shutting down")),
        }
    }
}

/// A connector's name. What cannot be one is the name of none.
fn connector_id(name: &str) -> Result<ConnectorId, Failure> {
    ConnectorId::new(name).map_err(|_| Code::ConnectorUnknown.into())
}

impl fmt::Debug for Grantway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grantway").field("engine", &self.engine).finish_non_exhaustive()
    }
}
