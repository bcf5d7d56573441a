//! A case: one initial state of a scenario, with the engine, the callbacks and the scripts that go with it.

use std::sync::Arc;

use grantway_core::connector::{Connector, InDoubt, StaticRegistration, Upstream};
use grantway_core::engine::{Engine, EngineConfig};
use grantway_core::limits::Limits;
use grantway_core::moment::{Moment, UnixMillis};
use grantway_core::operation::{Effect, HttpReply, Machine, Operation, ReadReply, Reply, Step};
use grantway_core::principal::{Caller, ConnectorId, Principal, Role};
use grantway_core::protocol::client_auth::AuthMethod;
use grantway_core::secret::Secret;
use grantway_core::store::{Key, Keyring, SealingKey};
use grantway_core::upstream::begin_connect::BeginConnect;
use grantway_core::upstream::complete_connect::CompleteConnect;
use grantway_core::upstream::connectors::PutConnector;
use grantway_core::upstream::resolve::Resolve;

use crate::coverage::Coverage;
use crate::issuer::{self, ISSUER, Issuer, Kind, Post};
use crate::order::Order;
use crate::rows::{Rows, is_connection};
use crate::scenario::{Budget, Pace, Prelude, Scenario};

const SERVER: &str = "https://mcp.example/";

/// 2100-01-01T00:00:00Z: later than any real clock, so that the SQLite store deletes nothing as expired.
const START_MS: u64 = 4_102_444_800_000;

/// Seconds the first grant lives.
const FIRST_LIFETIME_S: u64 = 60;

/// Everything about a run that does not change.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) number: usize,
    pub(crate) in_doubt: InDoubt,
    pub(crate) engine: Arc<Engine>,
    pub(crate) caller: Caller,
    pub(crate) connector: ConnectorId,
    /// The browser's.
    pub(crate) cookies: Option<Secret>,
    /// The callback URLs of the flows that the setup began.
    pub(crate) callbacks: Vec<Secret>,
    pub(crate) scripts: Vec<Vec<Order>>,
    /// How far each worker's clock is ahead.
    pub(crate) ahead_ms: Vec<u64>,
    pub(crate) pace: Pace,
    /// How long a resolution waits for another worker's refresh.
    pub(crate) wait_ms: u64,
    pub(crate) budget: Budget,
    pub(crate) coverage: Coverage,
}

/// What there is outside of the workers: a store, an issuer and time.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Ground<R> {
    pub(crate) rows: R,
    pub(crate) issuer: Issuer,
    /// By a clock that never jumps.
    pub(crate) elapsed_ms: u64,
    /// How far the wall clocks were set back.
    pub(crate) set_back_ms: u64,
    /// Under which key the connection stands.
    pub(crate) connection: Option<Key>,
}

impl<R: Rows> Ground<R> {
    pub(crate) fn now(&self) -> UnixMillis {
        UnixMillis(START_MS + self.elapsed_ms - self.set_back_ms)
    }

    /// Carries out an effect.
    pub(crate) fn perform(&mut self, effect: &Effect) -> Reply {
        match effect {
            Effect::Commit { writes } => {
                let connection = writes.iter().map(|write| &write.key).find(|key| is_connection(key));
                if self.connection.is_none() {
                    self.connection = connection.cloned();
                }
                Reply::Commit(self.rows.commit(writes))
            }
            Effect::Http(request) => Reply::Http(HttpReply::Response(match Post::parse(request) {
                Some(post) => {
                    self.issuer.begin_post(post);
                    self.issuer.answer(post, self.elapsed_ms)
                }
                None if request.url.contains("/.well-known/") => issuer::metadata(),
                None => issuer::response(404, String::new()),
            })),
            Effect::Identify { .. } => panic!("no operation of this model asks who somebody is"),
            Effect::Read { keys } => Reply::Read(ReadReply::Found(self.rows.read(keys))),
            Effect::Scan { .. } => panic!("no operation of this model scans"),
            Effect::Sleep { for_ms, .. } => Reply::Woke { after_ms: *for_ms },
        }
    }
}

/// 32 bytes for one step: a function of who takes it, so that equal states meet.
pub(crate) fn entropy(worker: usize, order: usize, step: u32) -> [u8; 32] {
    let [a, b, c, d] = step.to_be_bytes();
    let name = [worker as u8 + 1, order as u8 + 1, a, b, c, d];
    std::array::from_fn(|at| name[at % name.len()] ^ (at as u8).wrapping_mul(37).wrapping_add(1))
}

/// The worker that sets up.
const NOBODY: usize = 100;

/// Sets a case up on these rows: its ground when the exploration begins, and what its workers work with.
pub(crate) fn set_up<R: Rows>(
    scenario: &Scenario,
    number: usize,
    (kind, in_doubt): (Kind, InDoubt),
    rows: R,
) -> (Case, Ground<R>) {
    let mut setup = Setup {
        ground: Ground { rows, issuer: Issuer::new(kind), elapsed_ms: 0, set_back_ms: 0, connection: None },
        engine: engine(scenario.pace),
        caller: Caller::new("t", Principal::user("u").expect("an id")).expect("an id"),
        connector: ConnectorId::new("c").expect("an id"),
        cookies: None,
        callbacks: Vec::new(),
        operations: 0,
    };
    setup.put_connector(in_doubt);
    scenario.prelude.iter().for_each(|prelude| setup.act(*prelude));
    setup.ground.issuer.lifetime_s = issuer::LIFETIME_S;
    let Setup { ground, engine, caller, connector, cookies, callbacks, .. } = setup;
    let case = Case {
        number,
        in_doubt,
        engine,
        caller,
        connector,
        cookies,
        callbacks,
        scripts: scenario.scripts.iter().map(|script| script.to_vec()).collect(),
        ahead_ms: scenario.ahead_ms.to_vec(),
        pace: scenario.pace,
        wait_ms: scenario.pace.tick_ms(),
        budget: scenario.budget,
        coverage: Coverage::default(),
    };
    (case, ground)
}

/// The shipped numbers made small; the engine itself refuses a lease that is too short for them.
fn engine(pace: Pace) -> Arc<Engine> {
    let limits = Limits {
        http_timeout_ms: 1_000,
        store_timeout_ms: 1_000,
        lease_ms: 9_000,
        clock_skew_ms: 1_000,
        poll_ms: pace.tick_ms(),
        poll_max_ms: pace.tick_ms(),
        backoff_ms: 1_000,
        backoff_max_ms: 10_000,
        ..Limits::default()
    };
    let config = EngineConfig {
        base_url: Some("https://gw.example".to_owned()),
        limits,
        ..EngineConfig::new("model")
    };
    let key = |seed: u8| std::array::from_fn(|at| (at as u8).wrapping_mul(7).wrapping_add(seed));
    let keyring = Keyring::new(SealingKey::new(1, key(1)), key(2)).expect("two keys");
    Engine::new(config, keyring).expect("limits that fit together")
}

struct Setup<R> {
    ground: Ground<R>,
    engine: Arc<Engine>,
    caller: Caller,
    connector: ConnectorId,
    cookies: Option<Secret>,
    callbacks: Vec<Secret>,
    operations: usize,
}

impl<R: Rows> Setup<R> {
    fn act(&mut self, prelude: Prelude) {
        match prelude {
            Prelude::Begin => self.begin(),
            Prelude::Complete => self.complete(None),
            Prelude::CompleteUntilRedeemed => self.complete(Some(4)),
            Prelude::LeaseAndDie { ahead_ms } => self.lease_and_die(ahead_ms),
            Prelude::Pass(ms) => self.ground.elapsed_ms += ms,
        }
    }

    fn put_connector(&mut self, in_doubt: InDoubt) {
        let upstream = Upstream::Server { url: SERVER.to_owned(), issuer: Some(ISSUER.to_owned()) };
        let mut connector = Connector { upstream, ..Connector::server(SERVER) };
        connector.registration = Some(StaticRegistration {
            issuer: Some(ISSUER.to_owned()),
            client_id: "model".to_owned(),
            auth_method: Some(AuthMethod::None),
        });
        connector.dialect.in_doubt = in_doubt;
        let put = PutConnector {
            caller: self.caller.clone().with_role(Role::Admin),
            id: self.connector.clone(),
            connector,
            client_secret: None,
            expected_revision: None,
            unverified: false,
        };
        let operation = self.engine.put_connector(put);
        self.drive(operation, 0, None).expect("a connector");
    }

    /// Begins a flow, and lets the person agree.
    fn begin(&mut self) {
        let begin = BeginConnect {
            cookies: self.cookies.clone(),
            ..BeginConnect::new(self.caller.clone(), self.connector.clone())
        };
        let operation = self.engine.begin_connect(begin);
        let redirect = self.drive(operation, 0, None).expect("a flow");
        if let Some(cookie) = &redirect.cookie {
            let pair = cookie.expose().split(';').next().unwrap_or_default();
            self.cookies = Some(Secret::new(pair));
        }
        let query = redirect.url.split_once('?').expect("a query").1;
        let parameter = |name: &str| {
            let value = form_urlencoded::parse(query.as_bytes()).find(|(have, _)| have == name);
            value.expect("a parameter of every authorization request").1.into_owned()
        };
        let code = self.ground.issuer.authorize();
        let answer = form_urlencoded::Serializer::new(String::new())
            .append_pair("code", &format!("c{code}"))
            .append_pair("state", &parameter("state"))
            .append_pair("iss", ISSUER)
            .finish();
        self.callbacks.push(Secret::new(format!("{}?{answer}", parameter("redirect_uri"))));
    }

    /// Completes the flow begun last; with a limit only that many effects are carried out, and the process dies.
    fn complete(&mut self, effects: Option<u32>) {
        let lifetime_s = std::mem::replace(&mut self.ground.issuer.lifetime_s, FIRST_LIFETIME_S);
        let operation = self.engine.complete_connect(CompleteConnect {
            caller: Some(self.caller.clone()),
            callback_url: self.callbacks.last().expect("a flow").clone(),
            cookies: self.cookies.clone(),
            process_secret: None,
        });
        assert_eq!(
            self.drive(operation, 0, effects).is_some(),
            effects.is_none(),
            "the setup went another way"
        );
        self.ground.issuer.lifetime_s = lifetime_s;
    }

    /// Begins to refresh, by a clock that is ahead, up to the POST, which never leaves.
    fn lease_and_die(&mut self, ahead_ms: u64) {
        let resolve = Resolve::new(self.caller.clone(), self.connector.clone());
        let operation = self.engine.resolve(resolve);
        assert!(self.drive(operation, ahead_ms, Some(3)).is_none(), "the setup went another way");
    }

    /// Runs an operation by a clock that is ahead. With a limit only that many effects are carried out.
    fn drive<M: Machine>(
        &mut self,
        mut operation: Operation<M>,
        ahead_ms: u64,
        effects: Option<u32>,
    ) -> Option<M::Output> {
        self.operations += 1;
        let mut reply = Reply::Start;
        loop {
            let now = self.ground.now().plus(ahead_ms);
            let moment = Moment::new(now, entropy(NOBODY, self.operations, operation.steps()));
            match operation.step(&moment, reply).expect("a reply that fits") {
                Step::Perform(_) if effects.is_some_and(|effects| operation.steps() > effects) => {
                    return None;
                }
                Step::Perform(effect) => reply = self.ground.perform(&effect),
                Step::Done(outcome) => return Some(outcome.result.expect("a setup that succeeds")),
            }
        }
    }
}
