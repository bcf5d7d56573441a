//! The operations of the engine, recorded.

use std::sync::Arc;

use grantway_core::connector::Connector;
use grantway_core::engine::{Engine, EngineConfig};
use grantway_core::operation::Operation;
use grantway_core::principal::{Caller, ConnectorId, Principal, Role};
use grantway_core::secret::Secret;
use grantway_core::store::{Keyring, Kind, SealingKey};
use grantway_core::upstream::begin_connect::{BeginConnect, Beginning, Redirect};
use grantway_core::upstream::cache::{CachedResolution, Renewing};
use grantway_core::upstream::complete_connect::{CompleteConnect, Completing};
use grantway_core::upstream::connectors::PutConnector;
use grantway_core::upstream::ready::Ready;
use grantway_core::upstream::resolve::{Resolution, Resolve, Resolving};

use crate::memory::Memory;
use crate::script::Script;
use crate::wire;

/// An engine with one tenant, one connector and one user.
#[derive(Debug)]
pub(crate) struct Ours {
    engine: Arc<Engine>,
    memory: Memory,
}

pub(crate) type Begin = Script<BeginConnect, Beginning>;
pub(crate) type Complete = Script<CompleteConnect, Completing>;
pub(crate) type Refresh = Script<Resolve, Resolving>;
pub(crate) type Renew = Script<Arc<CachedResolution>, Renewing>;

impl Ours {
    /// With a connector and nothing else stored.
    pub(crate) fn new() -> Self {
        let keyring = Keyring::new(
            SealingKey::new(1, std::array::from_fn(|at| at as u8)),
            std::array::from_fn(|at| 255 - at as u8),
        );
        let config = EngineConfig {
            base_url: Some(wire::BASE_URL.to_owned()),
            ..EngineConfig::new(wire::CLIENT_NAME)
        };
        let engine =
            Engine::new(config, keyring.expect("the keys differ")).expect("the configuration is good");
        let mut memory = Memory::default();
        let put = PutConnector {
            caller: caller("root").with_role(Role::Admin),
            id: connector(),
            connector: Connector::server(wire::SERVER),
            client_secret: None,
            expected_revision: None,
            unverified: false,
        };
        Script::record(&engine, &mut memory, put, |engine, put| engine.put_connector(put));
        Self { engine, memory }
    }

    /// The engine.
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// `begin_connect`, with whatever discovery and registration still need.
    pub(crate) fn begin(&mut self, user: &str) -> (Begin, Redirect) {
        let arguments = BeginConnect::new(caller(user), connector());
        let (script, redirect) =
            Script::record(&self.engine, &mut self.memory, arguments, |engine, arguments| {
                engine.begin_connect(arguments)
            });
        // `begin_flow` reads the connector anew to be sure that it is the same, and does not open it.
        (script.with_last_unopened(Kind::Connector), redirect)
    }

    /// `complete_connect`.
    pub(crate) fn complete(&mut self, user: &str, redirect: &Redirect) -> Complete {
        let cookie = redirect.cookie.as_ref().expect("the flow is bound to a browser");
        let cookie = cookie.expose().split(';').next().unwrap_or_default();
        let arguments = CompleteConnect {
            caller: Some(caller(user)),
            callback_url: Secret::new(callback(&redirect.url)),
            cookies: Some(Secret::new(cookie)),
            process_secret: None,
        };
        let begin = |engine: &Arc<Engine>, arguments| engine.complete_connect(arguments);
        Script::record(&self.engine, &mut self.memory, arguments, begin).0
    }

    /// `resolve` of a connected user.
    pub(crate) fn resolve(&mut self, user: &str) -> (Refresh, Box<Ready>) {
        let begin = |engine: &Arc<Engine>, arguments| -> Operation<Resolving> { engine.resolve(arguments) };
        let arguments = Resolve::new(caller(user), connector());
        match Script::record(&self.engine, &mut self.memory, arguments, begin) {
            (script, Resolution::Ready(ready)) => (script, ready),
            (_, other) => panic!("not ready: {other:?}"),
        }
    }

    /// `renew` of a kept resolution.
    pub(crate) fn renew(&mut self, cached: CachedResolution) -> Renew {
        let begin = |engine: &Arc<Engine>, cached: Arc<CachedResolution>| engine.renew(&cached);
        Script::record(&self.engine, &mut self.memory, Arc::new(cached), begin).0
    }

    /// Lets an access token end.
    pub(crate) fn pass_an_hour(&mut self) {
        self.memory.now = self.memory.now.plus(3_600_000);
    }
}

/// What the browser brings back from the issuer after it was sent there with this URL.
pub(crate) fn callback(authorization_url: &str) -> String {
    let (_, query) = authorization_url.split_once('?').expect("the URL has a query");
    let state = query.split('&').find_map(|pair| pair.strip_prefix("state=")).expect("the URL has a state");
    let issuer: String = form_urlencoded::byte_serialize(wire::ISSUER.as_bytes()).collect();
    format!("{}?code={}&state={state}&iss={issuer}", wire::REDIRECT_URI, wire::CODE)
}

fn caller(user: &str) -> Caller {
    let user = Principal::user(user).expect("the id is short");
    Caller::new("acme", user).expect("the tenant is short")
}

fn connector() -> ConnectorId {
    ConnectorId::new("files").expect("the id is short")
}
