//! A gateway with one tenant, one MCP server and its issuer, and the short way through the operations.
#![allow(dead_code, reason = "each test file uses a part of the stage")]

use std::sync::Arc;

use grantway_core::connector::Connector;
use grantway_core::engine::{Engine, EngineConfig};
use grantway_core::operation::{Machine, Operation, Outcome};
use grantway_core::principal::{Caller, ConnectorId, Principal, Role};
use grantway_core::secret::Secret;
use grantway_core::store::{Keyring, SealingKey};
use grantway_core::upstream::begin_connect::{BeginConnect, Redirect};
use grantway_core::upstream::complete_connect::{CompleteConnect, Connected};
use grantway_core::upstream::connectors::{ConnectorPut, PutConnector};
use grantway_core::upstream::disconnect::{Disconnect, Disconnected};
use grantway_core::upstream::ready::Ready;
use grantway_core::upstream::report_rejected::{Rejection, ReportRejected};
use grantway_core::upstream::resolve::{Resolution, Resolve};
use grantway_testing::{Issuer, McpServer, World, drive};

pub(crate) const SERVER: &str = "https://mcp.good/mcp";
pub(crate) const ISSUER: &str = "https://as.good";

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) engine: Arc<Engine>,
    pub(crate) issuer: Issuer,
    pub(crate) mcp: McpServer,
}

pub(crate) fn keyring() -> Keyring {
    let key = SealingKey::new(1, std::array::from_fn(|at| at as u8));
    Keyring::new(key, std::array::from_fn(|at| 255 - at as u8)).unwrap()
}

pub(crate) fn config() -> EngineConfig {
    EngineConfig { base_url: Some("https://gw.good".to_owned()), ..EngineConfig::new("Grantway tests") }
}

pub(crate) fn user(id: &str) -> Caller {
    Caller::new("acme", Principal::user(id).unwrap()).unwrap()
}

pub(crate) fn alice() -> Caller {
    user("alice")
}

pub(crate) fn admin() -> Caller {
    user("root").with_role(Role::Admin)
}

pub(crate) fn notes() -> ConnectorId {
    ConnectorId::new("notes").unwrap()
}

impl Stage {
    /// Everything honest, every option at its default.
    pub(crate) fn new() -> Self {
        Self::with(config(), Connector::server(SERVER))
    }

    pub(crate) fn with(config: EngineConfig, connector: Connector) -> Self {
        let mut world = World::new();
        let issuer = Issuer::new(ISSUER);
        let mcp = McpServer::new(SERVER, &issuer);
        world.host(ISSUER, issuer.clone());
        world.host("https://mcp.good", mcp.clone());
        let engine = Engine::new(config, keyring()).unwrap();
        let mut stage = Self { world, engine, issuer, mcp };
        stage.put(notes(), connector);
        stage
    }

    pub(crate) fn put(&mut self, id: ConnectorId, connector: Connector) {
        let put = PutConnector {
            caller: admin(),
            id,
            connector,
            client_secret: None,
            expected_revision: None,
            unverified: false,
        };
        let operation = self.engine.put_connector(put);
        assert!(matches!(self.drive(operation).result.unwrap(), ConnectorPut::Stored { .. }));
    }

    pub(crate) fn drive<M: Machine>(&mut self, operation: Operation<M>) -> Outcome<M::Output> {
        drive(&mut self.world, operation)
    }

    pub(crate) fn begin(&mut self, caller: &Caller) -> Redirect {
        let operation = self.engine.begin_connect(BeginConnect::new(caller.clone(), notes()));
        self.drive(operation).result.unwrap()
    }

    /// What the browser that was sent to the issuer brings back.
    pub(crate) fn callback(&self, caller: &Caller, redirect: &Redirect, url: &str) -> CompleteConnect {
        let cookie =
            redirect.cookie.as_ref().map(|cookie| cookie.expose().split(';').next().unwrap().to_owned());
        CompleteConnect {
            caller: Some(caller.clone()),
            callback_url: Secret::new(url),
            cookies: cookie.map(Secret::new),
            process_secret: None,
        }
    }

    pub(crate) fn complete(&mut self, arguments: CompleteConnect) -> Outcome<Connected> {
        let operation = self.engine.complete_connect(arguments);
        self.drive(operation)
    }

    pub(crate) fn connect(&mut self, caller: &Caller) -> Connected {
        let redirect = self.begin(caller);
        let url = self.issuer.approve_as(caller.principal.id(), &redirect.url);
        let arguments = self.callback(caller, &redirect, &url);
        self.complete(arguments).result.unwrap()
    }

    pub(crate) fn resolve(&mut self, caller: &Caller) -> Resolution {
        let operation = self.engine.resolve(Resolve::new(caller.clone(), notes()));
        self.drive(operation).result.unwrap()
    }

    pub(crate) fn ready(&mut self, caller: &Caller) -> Box<Ready> {
        match self.resolve(caller) {
            Resolution::Ready(ready) => ready,
            other => panic!("not ready: {other:?}"),
        }
    }

    pub(crate) fn disconnect(&mut self, caller: &Caller) -> Disconnected {
        let arguments = Disconnect { caller: caller.clone(), connector: notes(), owner: None };
        let operation = self.engine.disconnect(arguments);
        self.drive(operation).result.unwrap()
    }

    /// What a 401 of the MCP server, with its own challenge, leads to.
    pub(crate) fn rejected(&mut self, caller: &Caller, generation: u64) -> Rejection {
        self.rejected_with(caller, generation, 401, "Bearer error=\"invalid_token\"").unwrap()
    }

    pub(crate) fn rejected_with(
        &mut self,
        caller: &Caller,
        generation: u64,
        status: u16,
        challenge: &str,
    ) -> Result<Rejection, grantway_core::error::Failure> {
        let arguments = ReportRejected {
            caller: caller.clone(),
            connector: notes(),
            connection: None,
            generation,
            operation: "tools/call".to_owned(),
            status,
            headers: vec![("WWW-Authenticate".to_owned(), Secret::new(challenge))],
            wait_ms: 10_000,
        };
        let operation = self.engine.report_rejected(arguments);
        self.drive(operation).result
    }
}

/// The bearer token of a resolution.
pub(crate) fn token(ready: &Ready) -> String {
    let (name, value) = ready.own_headers().next().unwrap();
    assert_eq!(name, "Authorization");
    value.expose().strip_prefix("Bearer ").unwrap().to_owned()
}
