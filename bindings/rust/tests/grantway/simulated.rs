//! A [`Grantway`] in the simulated world: its servers, its clock, its entropy; a store that counts and can hold an answer back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use grantway::driver::{Environment, Host};
use grantway::store::{Memory, Store, StoreFuture};
use grantway::transport::{BoxFuture, Transport};
use grantway::{Caller, Connector, Engine, EngineConfig, Grantway, Moment, Principal, Ready, Resolution};
use grantway_core::operation::{
    CommitReply, Effect, HttpReply, HttpRequest, ReadReply, Reply, ScanReply, Write,
};
use grantway_core::principal::Role;
use grantway_core::store::{Key, Keyring, SealingKey};
use grantway_testing::{Issuer, McpServer, World};
use tokio::sync::oneshot;

pub(crate) const CONNECTOR: &str = "notion";

/// What is shared by all processes of a test.
#[derive(Clone)]
pub(crate) struct Simulated {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) store: Arc<Watched>,
    pub(crate) issuer: Issuer,
    pub(crate) mcp: McpServer,
    /// How far this process's clock is ahead, in milliseconds.
    pub(crate) ahead_ms: u64,
    pub(crate) held_posts: Held,
}

impl Simulated {
    pub(crate) fn new() -> Self {
        let mut world = World::new();
        let issuer = Issuer::new("https://as.good");
        let mcp = McpServer::new("https://mcp.good/mcp", &issuer);
        world.host("https://as.good", issuer.clone());
        world.host("https://mcp.good", mcp.clone());
        let store = Arc::new(Watched::default());
        let held_posts = Held::default();
        Self { world: Arc::new(Mutex::new(world)), store, issuer, mcp, ahead_ms: 0, held_posts }
    }

    pub(crate) fn engine(&self) -> Arc<Engine> {
        let bytes = |seed: u8| std::array::from_fn(|at| (at as u8).wrapping_mul(7).wrapping_add(seed));
        let keyring = Keyring::new(SealingKey::new(1, bytes(1)), bytes(2)).unwrap();
        let base_url = Some("https://gw.good".to_owned());
        Engine::new(EngineConfig { base_url, ..EngineConfig::new("test") }, keyring).unwrap()
    }

    pub(crate) fn host(&self) -> Host {
        Host::new(Arc::clone(&self.store) as Arc<dyn Store>, Arc::new(self.clone()))
            .with_environment(Arc::new(self.clone()))
    }

    /// One process.
    pub(crate) fn open(&self) -> Grantway {
        Grantway::new(self.engine(), self.host())
    }

    /// One process, the connector, and `alice` connected.
    pub(crate) async fn connected() -> (Self, Grantway, Caller) {
        let world = Self::new();
        let gw = world.open();
        gw.put_connector(&admin(), CONNECTOR, Connector::server(world.mcp.url()), None).await.unwrap();
        world.connect(&gw, &alice()).await;
        (world, gw, alice())
    }

    /// Connects the caller's own account, as the person of its name.
    pub(crate) async fn connect(&self, gw: &Grantway, caller: &Caller) {
        let redirect = gw.begin_connect(caller, CONNECTOR, None).await.unwrap();
        let callback = self.issuer.approve_as(caller.principal.id(), &redirect.url);
        let cookie = redirect.cookie.unwrap().expose().split(';').next().unwrap().to_owned();
        gw.complete_connect(Some(caller), &callback, Some(&cookie)).await.unwrap();
    }

    pub(crate) fn advance(&self, ms: u64) {
        self.world().advance(ms);
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

impl Transport for Simulated {
    fn exchange(&self, request: HttpRequest) -> BoxFuture<'_, HttpReply> {
        Box::pin(async move {
            let held = self.held_posts.take_if(&request.url);
            let reply = match self.world().perform(Effect::Http(request), 0) {
                Ok(Reply::Http(reply)) => reply,
                other => panic!("{other:?}"),
            };
            if let Some(held) = held {
                let _ = held.await;
            }
            reply
        })
    }
}

impl Environment for Simulated {
    fn moment(&self) -> Moment {
        let mut world = self.world();
        let now = world.now().plus(self.ahead_ms);
        world.moment_at(now)
    }
}

/// The next exchange with `/token` is answered when the test says so.
#[derive(Clone, Default)]
pub(crate) struct Held(Arc<Mutex<Option<oneshot::Receiver<()>>>>);

impl Held {
    pub(crate) fn hold_next(&self) -> oneshot::Sender<()> {
        let (release, held) = oneshot::channel();
        *self.0.lock().unwrap() = Some(held);
        release
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.0.lock().unwrap().is_some()
    }

    fn take_if(&self, url: &str) -> Option<oneshot::Receiver<()>> {
        if url.ends_with("/token") { self.0.lock().unwrap().take() } else { None }
    }
}

#[derive(Default)]
pub(crate) struct Watched {
    inner: Memory,
    reads: AtomicUsize,
    held: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Watched {
    /// Reads since the last question.
    pub(crate) fn reads(&self) -> usize {
        self.reads.swap(0, Ordering::SeqCst)
    }

    /// The next read sees what is there now, and is answered when the test says so.
    pub(crate) fn hold_next_read(&self) -> oneshot::Sender<()> {
        let (release, held) = oneshot::channel();
        *self.held.lock().unwrap() = Some(held);
        release
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.lock().unwrap().is_none()
    }
}

impl Store for Watched {
    fn read<'a>(&'a self, keys: &'a [Key]) -> StoreFuture<'a, ReadReply> {
        Box::pin(async move {
            self.reads.fetch_add(1, Ordering::SeqCst);
            let reply = self.inner.read(keys).await;
            let held = self.held.lock().unwrap().take();
            if let Some(held) = held {
                let _ = held.await;
            }
            reply
        })
    }

    fn scan<'a>(&'a self, prefix: &'a Key, after: Option<&'a Key>, limit: u32) -> StoreFuture<'a, ScanReply> {
        self.inner.scan(prefix, after, limit)
    }

    fn commit(&self, writes: Vec<Write>) -> StoreFuture<'_, CommitReply> {
        self.inner.commit(writes)
    }
}

pub(crate) fn alice() -> Caller {
    Caller::new("acme", Principal::user("alice").unwrap()).unwrap()
}

pub(crate) fn bob() -> Caller {
    Caller::new("acme", Principal::user("bob").unwrap()).unwrap()
}

pub(crate) fn admin() -> Caller {
    Caller::new("acme", Principal::user("root").unwrap()).unwrap().with_role(Role::Admin)
}

/// The `Authorization` header of a resolution.
pub(crate) fn bearer(ready: &Ready) -> String {
    let (_, value) = ready.own_headers().next().expect("a header");
    value.expose().to_owned()
}

pub(crate) async fn ready(gw: &Grantway, caller: &Caller) -> Arc<Ready> {
    match gw.resolve(caller, CONNECTOR).await.unwrap() {
        Resolution::Ready(ready) => ready,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn is_challenged(gw: &Grantway, caller: &Caller) -> bool {
    matches!(gw.resolve(caller, CONNECTOR).await.unwrap(), Resolution::Challenge(_))
}

/// Lets other tasks run until this is so.
pub(crate) async fn until(so: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if so() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it did not come about");
}
