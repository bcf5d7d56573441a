//! One gateway, one issuer, one MCP server, and a person who connects.

use std::sync::Arc;

use grantway_core::connector::Connector;
use grantway_core::engine::{Engine, EngineConfig};
use grantway_core::error::Failure;
use grantway_core::event::What;
use grantway_core::operation::{Machine, Operation, Outcome};
use grantway_core::principal::{Caller, ConnectorId, Principal, Role};
use grantway_core::secret::Secret;
use grantway_core::store::{Keyring, SealingKey};
use grantway_core::upstream::begin_connect::{BeginConnect, FlowBinding, Redirect};
use grantway_core::upstream::complete_connect::{CompleteConnect, Connected};
use grantway_core::upstream::connectors::{ConnectorPut, PutConnector};
use grantway_core::upstream::discover::{Discover, DiscoveryReport};
use grantway_testing::{Issuer, McpServer, Parameters, Request, Server, World, drive};
use serde_json::Value;

pub(crate) const GATEWAY: &str = "https://gw.good";
pub(crate) const ISSUER: &str = "https://as.good";
pub(crate) const SERVER: &str = "https://mcp.good/mcp";
pub(crate) const LOOPBACK: &str = "http://127.0.0.1:49152/callback";

pub(crate) struct Setting {
    pub(crate) world: World,
    pub(crate) engine: Arc<Engine>,
    pub(crate) issuer: Issuer,
    pub(crate) mcp: McpServer,
    pub(crate) alice: Caller,
    pub(crate) events: Vec<What>,
}

impl Setting {
    /// All honest, all defaults; the connector is named `mcp`.
    pub(crate) fn new() -> Self {
        Self::with(|_| {}, |_| {})
    }

    pub(crate) fn with(
        config: impl FnOnce(&mut EngineConfig),
        connector: impl FnOnce(&mut Connector),
    ) -> Self {
        Self::at(ISSUER, SERVER, config, connector)
    }

    /// With another seed than the environment's.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self::build(World::seeded(seed), ISSUER, SERVER, |_| {}, |_| {})
    }

    /// With another issuer and server.
    pub(crate) fn at(
        issuer: &str,
        server: &str,
        config: impl FnOnce(&mut EngineConfig),
        connector: impl FnOnce(&mut Connector),
    ) -> Self {
        Self::build(World::new(), issuer, server, config, connector)
    }

    fn build(
        mut world: World,
        issuer: &str,
        server: &str,
        config: impl FnOnce(&mut EngineConfig),
        connector: impl FnOnce(&mut Connector),
    ) -> Self {
        let mut engine_config =
            EngineConfig { base_url: Some(GATEWAY.to_owned()), ..EngineConfig::new("Gateway") };
        config(&mut engine_config);
        let issuer = Issuer::new(issuer);
        let mcp = McpServer::new(server, &issuer);
        world.host(&origin(&issuer.url()), silent_about_caching(issuer.clone()));
        world.host(&origin(server), silent_about_caching(mcp.clone()));
        let engine = Engine::new(engine_config, keyring()).unwrap();
        let alice = caller("alice");
        let mut setting = Self { world, engine, issuer, mcp, alice, events: Vec::new() };
        setting.put("mcp", server, connector);
        setting
    }

    /// Adds or changes a connector.
    pub(crate) fn put(&mut self, id: &str, server: &str, change: impl FnOnce(&mut Connector)) {
        let mut connector = Connector::server(server);
        change(&mut connector);
        self.put_connector(id, connector, None);
    }

    pub(crate) fn put_connector(&mut self, id: &str, connector: Connector, client_secret: Option<&str>) {
        let put = PutConnector {
            caller: Caller { role: Role::Admin, ..caller("admin") },
            id: name(id),
            connector,
            client_secret: client_secret.map(Secret::new),
            expected_revision: None,
            unverified: false,
        };
        let operation = self.engine.put_connector(put);
        let stored = self.run(operation).unwrap();
        assert!(matches!(stored, ConnectorPut::Stored { .. }), "{stored:?}");
    }

    /// From now on the issuer's metadata have this member.
    pub(crate) fn issuer_says(&self, member: &str, value: impl Into<Value>) {
        self.issuer.behave(|issuer| {
            issuer.metadata_edits.set(member, value);
        });
    }

    /// From now on the issuer's metadata lack this member.
    pub(crate) fn issuer_omits(&self, member: &str) {
        self.issuer.behave(|issuer| {
            issuer.metadata_edits.remove(member);
        });
    }

    /// From now on the issuer's registration responses have this member.
    pub(crate) fn registration_says(&self, member: &str, value: impl Into<Value>) {
        self.issuer.behave(|issuer| {
            issuer.registration_edits.set(member, value);
        });
    }

    /// From now on the server's metadata have this member.
    pub(crate) fn server_says(&self, member: &str, value: impl Into<Value>) {
        self.mcp.behave(|mcp| {
            mcp.metadata_edits.set(member, value);
        });
    }

    /// Drives an operation to its end and keeps its events.
    pub(crate) fn run<M: Machine>(&mut self, operation: Operation<M>) -> Result<M::Output, Failure> {
        let Outcome { result, events } = drive(&mut self.world, operation);
        self.events.extend(events.into_iter().map(|event| event.what));
        result
    }

    /// What Alice asks for if nothing is said.
    pub(crate) fn asked(&self) -> BeginConnect {
        BeginConnect::new(self.alice.clone(), name("mcp"))
    }

    pub(crate) fn begin(&mut self) -> Result<Redirect, Failure> {
        self.begin_with(|_| {})
    }

    pub(crate) fn begin_with(&mut self, change: impl FnOnce(&mut BeginConnect)) -> Result<Redirect, Failure> {
        let mut asked = self.asked();
        change(&mut asked);
        let operation = self.engine.begin_connect(asked);
        self.run(operation)
    }

    /// The slug of the failure that beginning ends in.
    pub(crate) fn begin_fails(&mut self) -> &'static str {
        self.begin().map(|redirect| redirect.url).expect_err("it should fail").slug()
    }

    pub(crate) fn discover(&mut self) -> DiscoveryReport {
        let operation = self.engine.discover(Discover { caller: self.alice.clone(), connector: name("mcp") });
        self.run(operation).unwrap()
    }

    /// Brings the callback in, in the browser or process that the redirect went to.
    pub(crate) fn complete(&mut self, redirect: &Redirect, callback: &str) -> Result<Connected, Failure> {
        let operation = self.engine.complete_connect(CompleteConnect {
            caller: Some(self.alice.clone()),
            callback_url: Secret::new(callback),
            cookies: redirect.cookie.as_ref().map(cookie_pair),
            process_secret: redirect.process_secret.clone(),
        });
        self.run(operation)
    }

    /// From the button to the tokens.
    pub(crate) fn connect(&mut self) -> Connected {
        let redirect = self.begin().unwrap();
        let callback = self.issuer.approve(&redirect.url);
        self.complete(&redirect, &callback).unwrap()
    }

    /// The URLs asked since the last call, without those of tokens.
    pub(crate) fn asked_urls(&mut self) -> Vec<String> {
        let urls =
            self.world.network.exchanges().iter().map(|exchange| exchange.request.url.clone()).collect();
        self.world.network.clear_log();
        urls
    }

    /// How many requests an origin has seen.
    pub(crate) fn seen_by(&self, origin: &str) -> usize {
        self.world.network.seen("GET", origin).len() + self.world.network.seen("POST", origin).len()
    }
}

/// The same server, which says of its metadata what most say of them: not how long they may be used.
pub(crate) fn silent_about_caching(mut server: impl Server + 'static) -> impl Server + 'static {
    move |request: &Request, now| {
        let mut response = server.handle(request, now);
        if request.url.contains("/.well-known/") {
            response.headers.retain(|(name, _)| name != "Cache-Control");
        }
        response
    }
}

pub(crate) fn keyring() -> Keyring {
    let bytes = |seed: u8| std::array::from_fn(|at| (at as u8).wrapping_mul(7).wrapping_add(seed));
    Keyring::new(SealingKey::new(1, bytes(1)), bytes(2)).unwrap()
}

pub(crate) fn caller(user: &str) -> Caller {
    Caller::new("acme", Principal::user(user).unwrap()).unwrap()
}

pub(crate) fn name(id: &str) -> ConnectorId {
    ConnectorId::new(id).unwrap()
}

pub(crate) fn origin(url: &str) -> String {
    url::Url::parse(url).unwrap().origin().ascii_serialization()
}

/// What the browser sends back of a `Set-Cookie` value.
pub(crate) fn cookie_pair(set_cookie: &Secret) -> Secret {
    Secret::new(set_cookie.expose().split(';').next().unwrap())
}

/// The parameters of an authorization URL; it panics at a repeated one.
pub(crate) fn parameters(url: &str) -> Parameters {
    Parameters::parse(url.split_once('?').unwrap().1.as_bytes()).unwrap()
}

pub(crate) fn process() -> FlowBinding {
    FlowBinding::Process { redirect_uri: LOOPBACK.to_owned() }
}
