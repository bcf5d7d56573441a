//! Where vectors are made: a gateway with one tenant, one MCP server and its issuer, all operations begun by their JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use grantway_core::engine::Engine;
use grantway_core::message::{self, AnyOperation, AnyStep};
use grantway_core::operation::{Effect, Reply};
use grantway_testing::{Issuer, McpServer, World};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::typed::reply_as_value;
use crate::vector::{MomentOf, StepOf, Vector};

/// The MCP server's URL.
pub(crate) const SERVER: &str = "https://mcp.good/mcp";
/// The issuer.
pub(crate) const ISSUER: &str = "https://as.good";

/// A world, an engine in it, and what is to happen while an operation is recorded.
pub struct Stage {
    /// Store, network, time and faults.
    pub world: World,
    /// The server's issuer.
    pub issuer: Issuer,
    /// The server.
    pub mcp: McpServer,
    name: &'static str,
    config: Value,
    engine: Arc<Engine>,
    draws: u64,
    interludes: BTreeMap<usize, Interlude>,
    misuses: BTreeMap<usize, Value>,
}

type Interlude = Box<dyn FnOnce(&mut Stage)>;

/// An operation that waits before an effect.
#[derive(Debug)]
pub struct Paused {
    operation: AnyOperation,
    effect: Effect,
}

impl Stage {
    /// Everything honest; the connector `notes` is in place with all defaults.
    pub fn new(name: &'static str) -> Self {
        // Seeded by nothing but its number: the environment has no part in vectors.
        let mut world = World::seeded(1);
        let issuer = Issuer::new(ISSUER);
        let mcp = McpServer::new(SERVER, &issuer);
        world.host(ISSUER, issuer.clone());
        world.host("https://mcp.good", mcp.clone());
        let config = json!({
            "client_name": "Grantway vectors",
            "base_url": "https://gw.good",
            "keyring": {
                "current": { "id": 1, "key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8" },
                "routing": "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8",
            },
        });
        let engine = engine(&config);
        let (interludes, misuses) = (BTreeMap::new(), BTreeMap::new());
        let mut stage = Self { world, issuer, mcp, name, config, engine, draws: 0, interludes, misuses };
        stage.connector("notes", json!({ "upstream": { "server": { "url": SERVER } } }));
        stage
    }

    /// Another configuration: these members instead of the usual ones, `null` for none.
    pub fn configure(&mut self, members: &Value) {
        for (name, value) in members.as_object().into_iter().flatten() {
            self.config[name] = value.clone();
        }
        self.engine = engine(&self.config);
    }

    /// Runs an operation to its end and gives its outcome.
    pub fn run(&mut self, operation: &str, arguments: Value) -> Value {
        let mut running = self.begin(&request(operation, &arguments));
        let first = self.step(&mut running, Reply::Start);
        self.run_on(running, first)
    }

    /// Runs an operation that succeeds and gives what it was asked for.
    ///
    /// # Panics
    /// It fails.
    pub fn ok(&mut self, operation: &str, arguments: Value) -> Value {
        let mut outcome = self.run(operation, arguments);
        assert!(outcome.get("ok").is_some(), "{}: `{operation}` failed: {outcome}", self.name);
        outcome["ok"].take()
    }

    /// Runs an operation until such an effect is to be carried out.
    ///
    /// # Panics
    /// It ends before.
    pub fn pause(&mut self, operation: &str, arguments: Value, before: impl Fn(&Effect) -> bool) -> Paused {
        let mut running = self.begin(&request(operation, &arguments));
        let mut reply = Reply::Start;
        loop {
            match self.step(&mut running, reply) {
                AnyStep::Perform(effect) if before(&effect) => return Paused { operation: running, effect },
                AnyStep::Perform(effect) => reply = self.perform(effect),
                AnyStep::Done(_) => panic!("{}: `{operation}` has ended", self.name),
            }
        }
    }

    /// Runs a paused operation to its end and gives its outcome.
    pub fn resume(&mut self, paused: Paused) -> Value {
        self.run_on(paused.operation, AnyStep::Perform(paused.effect))
    }

    /// While the recording runs, before its `nth` effect (from 1) is carried out, this happens.
    pub fn before_effect(&mut self, nth: usize, happens: impl FnOnce(&mut Self) + 'static) {
        self.interludes.insert(nth, Box::new(happens));
    }

    /// While the recording runs, this wrong reply is handed in before the right one to its `nth` effect (from 1; 0: to begin).
    pub fn misuse_at(&mut self, nth: usize, reply: Value) {
        self.misuses.insert(nth, reply);
    }

    /// Puts a connector in place.
    pub fn connector(&mut self, id: &str, connector: Value) {
        self.ok("put_connector", json!({ "caller": admin(), "id": id, "connector": connector }));
    }

    /// The user begins to connect `notes` in a browser: the redirect.
    pub fn begin_connect(&mut self, user: &str) -> Value {
        self.ok("begin_connect", json!({ "caller": caller(user), "connector": "notes" }))
    }

    /// What the user's browser brings back to the callback address, as arguments of `complete_connect`.
    pub fn callback(&self, user: &str, redirect: &Value, url: &str) -> Value {
        let cookie = redirect["cookie"].as_str().and_then(|cookie| cookie.split(';').next());
        json!({ "caller": caller(user), "callback_url": url, "cookies": cookie })
    }

    /// The arguments of `complete_connect` after the user has approved.
    pub fn approved(&mut self, user: &str) -> Value {
        let redirect = self.begin_connect(user);
        let url = self.issuer.approve_as(user, redirect["url"].as_str().unwrap_or_default());
        self.callback(user, &redirect, &url)
    }

    /// The user connects `notes`.
    pub fn connect(&mut self, user: &str) -> Value {
        let arguments = self.approved(user);
        self.ok("complete_connect", arguments)
    }

    /// Records an operation.
    ///
    /// # Panics
    /// The engine breaks a contract of the effects, or takes a wrong reply.
    pub fn record(mut self, about: &'static str, (operation, arguments): (&'static str, Value)) -> Vector {
        let begin = request(operation, &arguments);
        let mut running = self.begin(&begin);
        let (mut steps, mut reply) = (Vec::new(), json!("start"));
        for nth in 1.. {
            if let Some(wrong) = self.misuses.remove(&(nth - 1)) {
                let (moment, said) = self.try_step(&mut running, &wrong);
                let misuse = said.expect_err("a wrong reply").to_string();
                steps.push(StepOf {
                    moment,
                    reply: raw(&wrong),
                    effect: None,
                    misuse: Some(misuse),
                    outcome: None,
                });
            }
            // The reply goes in as text, as it stands in the vector.
            let (moment, step) = self.try_step(&mut running, &reply);
            let mut recorded =
                StepOf { moment, reply: raw(&reply), effect: None, misuse: None, outcome: None };
            match step.expect("a right reply") {
                AnyStep::Perform(effect) => {
                    recorded.effect = Some(raw_bytes(message::effect(&effect).expose()));
                    steps.push(recorded);
                    if let Some(happens) = self.interludes.remove(&nth) {
                        happens(&mut self);
                    }
                    reply = reply_as_value(&self.perform(effect));
                }
                AnyStep::Done(outcome) => {
                    recorded.outcome = Some(raw_bytes(outcome.expose()));
                    steps.push(recorded);
                    break;
                }
            }
        }
        assert!(self.interludes.is_empty() && self.misuses.is_empty(), "{}: it ended before", self.name);
        let (name, engine) = (self.name.to_owned(), raw(&self.config));
        Vector { name, about: about.to_owned(), engine, begin: raw_bytes(begin.as_bytes()), steps }
    }

    fn begin(&self, request: &str) -> AnyOperation {
        message::begin(&self.engine, request.as_bytes())
            .unwrap_or_else(|error| panic!("{}: {error}: {request}", self.name))
    }

    fn run_on(&mut self, mut operation: AnyOperation, mut step: AnyStep) -> Value {
        loop {
            match step {
                AnyStep::Perform(effect) => {
                    let reply = self.perform(effect);
                    step = self.step(&mut operation, reply);
                }
                AnyStep::Done(outcome) => return serde_json::from_slice(outcome.expose()).expect("JSON"),
            }
        }
    }

    fn step(&mut self, operation: &mut AnyOperation, reply: Reply) -> AnyStep {
        self.try_step(operation, &reply_as_value(&reply)).1.expect("a right reply")
    }

    fn try_step(
        &mut self,
        operation: &mut AnyOperation,
        reply: &Value,
    ) -> (MomentOf, Result<AnyStep, grantway_core::operation::Misuse>) {
        self.draws += 1;
        let entropy = Sha256::new().chain_update(self.name).chain_update(self.draws.to_be_bytes()).finalize();
        let moment = MomentOf::new(self.world.now(), &entropy.into());
        let reply = message::reply(reply.to_string().as_bytes()).expect("a reply");
        let step = operation.step(&moment.moment(), reply);
        (moment, step)
    }

    fn perform(&mut self, effect: Effect) -> Reply {
        self.world.perform(effect, 0).expect("no crash is planned")
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A user of the tenant `acme`.
pub(crate) fn caller(user: &str) -> Value {
    json!({ "tenant": "acme", "principal": { "kind": "user", "id": user } })
}

/// An administrator of that tenant.
pub(crate) fn admin() -> Value {
    with(caller("root"), "role", json!("admin"))
}

/// The same object with one member more.
pub(crate) fn with(mut object: Value, member: &str, value: Value) -> Value {
    object[member] = value;
    object
}

fn engine(config: &Value) -> Arc<Engine> {
    message::engine(config.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn request(operation: &str, arguments: &Value) -> String {
    format!(r#"{{"operation":"{operation}","arguments":{arguments}}}"#)
}

fn raw(value: &Value) -> Box<RawValue> {
    to_raw_value(value).expect("plain data")
}

fn raw_bytes(json: &[u8]) -> Box<RawValue> {
    let text = String::from_utf8(json.to_vec()).expect("JSON is UTF-8");
    RawValue::from_string(text).expect("JSON")
}
