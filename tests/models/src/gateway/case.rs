//! A case: the initial state of a scenario, with the engine and the clients that go with it.

use std::sync::Arc;

use grantway_core::connector::{Connector, InDoubt, StaticRegistration, Upstream};
use grantway_core::downstream::config::{GatewayConfig, ResourceConfig};
use grantway_core::downstream::handle::Handle;
use grantway_core::downstream::request::Request;
use grantway_core::engine::{Engine, EngineConfig};
use grantway_core::limits::Limits;
use grantway_core::moment::Moment;
use grantway_core::operation::{Machine, Operation, Reply, Step};
use grantway_core::principal::{Caller, ConnectorId, Principal, Role, TenantId};
use grantway_core::protocol::client_auth::AuthMethod;
use grantway_core::protocol::scopes::Scopes;
use grantway_core::secret::{Secret, SecretBytes};
use grantway_core::store::{Keyring, SealingKey};
use grantway_core::upstream::connectors::PutConnector;
use serde_json::{Value, json};

use super::ask::{Ask, Client, ENDPOINTS, Person};
use super::happening::Coverage;
use super::scenario::Scenario;
use super::world::World;
use crate::case::{Ground, entropy};
use crate::issuer::{ISSUER, Issuer, Kind};
use crate::rows::Rows;
use crate::scenario::Budget;

pub(crate) const BASE: &str = "https://gw.example";
const SERVER: &str = "https://mcp.example/";

/// Seconds of a tick: longer than the grace of a refresh token, shorter than a code lives.
pub(crate) const TICK_MS: u64 = 20_000;
const GRACE_MS: u64 = 10_000;

/// The worker that sets up.
pub(crate) const NOBODY: usize = 100;

/// Everything about a run that does not change.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) engine: Arc<Engine>,
    pub(crate) tenant: TenantId,
    pub(crate) connector: ConnectorId,
    client_ids: [String; 2],
    pub(crate) scripts: Vec<Vec<Ask>>,
    pub(crate) budget: Budget,
    pub(crate) coverage: Coverage,
}

impl Case {
    pub(crate) fn client_id(&self, client: Client) -> &str {
        &self.client_ids[client as usize]
    }

    pub(crate) fn caller(&self, person: Person) -> Caller {
        Caller::new(self.tenant.as_str(), principal(person)).expect("an id")
    }

    pub(crate) const fn grace_ms() -> u64 {
        GRACE_MS
    }
}

pub(crate) fn principal(person: Person) -> Principal {
    Principal::user(person.name()).expect("an id")
}

/// Sets a scenario up on these rows, and plays its prelude.
pub(crate) fn set_up<R: Rows>(scenario: &Scenario, rows: R) -> World<R> {
    let issuer = Issuer::new(Kind::RevokesOnReuse);
    let ground = Ground { rows, issuer, elapsed_ms: 0, set_back_ms: 0, connection: None };
    let mut setup = Setup { ground, engine: engine(), operations: 0 };
    let tenant = TenantId::new("t").expect("an id");
    let connector = ConnectorId::new("c").expect("an id");
    setup.put_connector(&tenant, &connector);
    let client_ids = Client::ALL.map(|client| setup.register(&tenant, client));
    let Setup { ground, engine, .. } = setup;
    let case = Case {
        engine,
        tenant,
        connector,
        client_ids,
        scripts: scenario.scripts.iter().map(|script| script.to_vec()).collect(),
        budget: scenario.budget,
        coverage: Coverage::default(),
    };
    let mut world = World::new(Arc::new(case), ground);
    for (number, ask) in scenario.prelude.iter().enumerate() {
        world.play(*ask, number);
    }
    world
}

fn engine() -> Arc<Engine> {
    let limits = Limits {
        http_timeout_ms: 1_000,
        store_timeout_ms: 1_000,
        lease_ms: 9_000,
        clock_skew_ms: 1_000,
        refresh_grace_ms: GRACE_MS,
        identity_max_age_ms: GRACE_MS,
        ..Limits::default()
    };
    let resource = |path: &str| ResourceConfig {
        path: path.to_owned(),
        name: None,
        scopes: Scopes::default(),
        more_scopes: Scopes::default(),
    };
    let gateway =
        GatewayConfig { resources: ENDPOINTS.map(resource).to_vec(), ..GatewayConfig::new(ENDPOINTS[0]) };
    let config = EngineConfig {
        base_url: Some(BASE.to_owned()),
        limits,
        gateway: Some(gateway),
        ..EngineConfig::new("model")
    };
    let key = |seed: u8| std::array::from_fn(|at| (at as u8).wrapping_mul(7).wrapping_add(seed));
    let keyring = Keyring::new(SealingKey::new(1, key(1)), key(2)).expect("two keys");
    Engine::new(config, keyring).expect("limits that fit together")
}

struct Setup<R> {
    ground: Ground<R>,
    engine: Arc<Engine>,
    operations: usize,
}

impl<R: Rows> Setup<R> {
    fn put_connector(&mut self, tenant: &TenantId, connector: &ConnectorId) {
        let upstream = Upstream::Server { url: SERVER.to_owned(), issuer: Some(ISSUER.to_owned()) };
        let mut config = Connector { upstream, ..Connector::server(SERVER) };
        config.registration = Some(StaticRegistration {
            issuer: Some(ISSUER.to_owned()),
            client_id: "model".to_owned(),
            auth_method: Some(AuthMethod::None),
        });
        config.dialect.in_doubt = InDoubt::RetryOnce;
        let root = Caller::new(tenant.as_str(), Principal::user("root").expect("an id")).expect("an id");
        let put = PutConnector {
            caller: root.with_role(Role::Admin),
            id: connector.clone(),
            connector: config,
            client_secret: None,
            expected_revision: None,
            unverified: false,
        };
        let operation = self.engine.put_connector(put);
        self.drive(operation);
    }

    /// A client registers itself.
    fn register(&mut self, tenant: &TenantId, client: Client) -> String {
        let body = json!({
            "redirect_uris": [client.redirect_uri()],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
        });
        let request = Request {
            method: "POST".to_owned(),
            headers: vec![("Content-Type".to_owned(), Secret::new("application/json"))],
            body: SecretBytes::new(body.to_string().into_bytes()),
            ..Request::get("/register")
        };
        let operation = self.engine.handle(Handle { tenant: tenant.clone(), request, signed_in: None });
        let response = self.drive(operation);
        let answer: Value = serde_json::from_slice(response.body.expose()).expect("JSON");
        answer["client_id"].as_str().expect("a registration").to_owned()
    }

    fn drive<M: Machine>(&mut self, mut operation: Operation<M>) -> M::Output {
        self.operations += 1;
        let mut reply = Reply::Start;
        loop {
            // Apart from the prelude's, which counts from zero as well.
            let moment =
                Moment::new(self.ground.now(), entropy(NOBODY + 1, self.operations, operation.steps()));
            match operation.step(&moment, reply).expect("a reply that fits") {
                Step::Perform(effect) => reply = self.ground.perform(&effect),
                Step::Done(outcome) => return outcome.result.expect("a setup that succeeds"),
            }
        }
    }
}
