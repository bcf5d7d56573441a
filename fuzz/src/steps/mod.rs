//! Sequences of operations, and a host that answers them as the input says: honestly, wrongly, late, or not at all.
//!
//! Zeros are honest, so that an input has to say only what goes wrong, and its end lets everything come to an end.

mod arguments;
mod host;
mod servers;

use std::sync::{Arc, LazyLock};

use grantway_core::engine::Engine;
use grantway_core::message::{self, AnyOperation, AnyStep};
use grantway_core::moment::Moment;
use grantway_core::operation::{CommitReply, Effect, HttpReply, Misuse, ReadReply, Reply, ScanReply};
use grantway_testing::Store;
use serde_json::Value;

use crate::input::Choices;
use crate::records::engine;
use arguments::Scene;
pub(crate) use host::Host;

/// A sequence of operations.
///
/// # Panics
/// A law is broken.
pub fn steps(data: &[u8]) {
    // Pure: the same arguments, the same steps. Misuse changes nothing: with wrong replies in between, the same steps again.
    let plain = Run::of(data, false);
    let misused = Run::of(data, true);
    assert_eq!(plain.said.len(), misused.said.len());
    for (once, again) in plain.said.iter().zip(&misused.said) {
        assert_eq!(String::from_utf8_lossy(once), String::from_utf8_lossy(again));
    }
}

/// How every token, code, key and client secret begins.
pub(crate) const CANARY: &str = "canary-";

/// LIMIT: ten conflicts with a read each, three saves, twenty pages and as many revocations, and sleeps up to ten seconds.
pub(crate) const STEPS_MAX: usize = 300;
/// LIMIT: what follows says nothing new.
const OPERATIONS_MAX: usize = 12;

pub(crate) static ENGINE: LazyLock<Arc<Engine>> = LazyLock::new(engine);

/// What lies in the store in the beginning: two connectors in each of two tenants; and the same with Alice connected.
static STORES: LazyLock<[Store; 2]> = LazyLock::new(|| {
    let mut run = Run::new(Store::default());
    for tenant in ["acme", "evil"] {
        for connector in ["notes", "files"] {
            run.run(&mut Choices::new(&[]), &Scene::put_connector(tenant, connector), false);
        }
    }
    let empty = run.host.store.clone();
    for begin in [Scene::begin, Scene::complete] {
        let request = begin(&mut run.scene, &mut Choices::new(&[]));
        run.run(&mut Choices::new(&[]), &request, false);
    }
    let connected = run.host.store.clone();
    assert!(connected.rows().len() > empty.rows().len(), "Alice is connected");
    [empty, connected]
});

/// A connector as it is in the beginning.
pub(crate) fn put_connector(tenant: &str, name: &str) -> Value {
    Scene::put_connector(tenant, name)
}

struct Run {
    host: Host,
    scene: Scene,
    /// Every effect and outcome, as text.
    said: Vec<Vec<u8>>,
}

impl Run {
    fn new(store: Store) -> Self {
        Self { host: Host::new(store), scene: Scene::default(), said: Vec::new() }
    }

    fn of(data: &[u8], misuse: bool) -> Self {
        let mut choices = Choices::new(data);
        let start = choices.one_of(&[1, 0]);
        let mut run = Self::new(STORES[start].clone());
        for _ in 0..OPERATIONS_MAX {
            if choices.is_empty() {
                break;
            }
            match run.scene.next(&mut choices, &mut run.host) {
                Some(request) => run.run(&mut choices, &request, misuse),
                None => continue,
            }
        }
        for row in run.host.store.rows().values() {
            assert!(!holds(&row.value, CANARY), "a secret is readable in the store");
        }
        run
    }

    /// One operation to its end.
    fn run(&mut self, choices: &mut Choices<'_>, request: &Value, misuse: bool) {
        let text = request.to_string();
        let mut operation = match message::begin(&ENGINE, text.as_bytes()) {
            Ok(operation) => operation,
            Err(error) => {
                // A value may be refused; a request that operations do not know any more would go unnoticed.
                assert!(!["missing", "unknown member"].contains(&error.problem()), "{error}: {text}");
                return;
            }
        };
        let tenant = self.scene.tenant_of(&ENGINE, request);
        let mut reply = Reply::Start;
        for step in 0..STEPS_MAX {
            let moment = self.host.moment(choices);
            if misuse {
                misuse_changes_nothing(&mut operation, &moment, &reply, step);
            }
            match operation.step(&moment, reply).expect("a right reply") {
                AnyStep::Perform(effect) => {
                    self.host.check(&effect, &tenant);
                    self.said.push(message::effect(&effect).expose().to_vec());
                    reply = self.host.perform(effect, choices);
                }
                AnyStep::Done(outcome) => {
                    let outcome = outcome.expose().to_vec();
                    self.scene.ended(request, &outcome);
                    self.said.push(outcome);
                    assert_eq!(operation.step(&moment, Reply::Start).err(), Some(Misuse::Ended));
                    return;
                }
            }
        }
        panic!("the operation does not end: {text}");
    }
}

/// Hands in what does not fit.
pub(crate) fn misuse_changes_nothing(
    operation: &mut AnyOperation,
    moment: &Moment,
    right: &Reply,
    step: usize,
) {
    let nothing = Moment::new(moment.now, [0; 32]);
    assert_eq!(operation.step(&nothing, Reply::Start).err(), Some(Misuse::NoEntropy));
    let wrong = match step % 6 {
        0 => Reply::Woke { after_ms: u64::MAX },
        1 => Reply::Commit(CommitReply::Committed),
        2 => Reply::Http(HttpReply::UnknownOutcome),
        3 => Reply::Read(ReadReply::Unavailable),
        4 => Reply::Scan(ScanReply::Unavailable),
        _ => Reply::Start,
    };
    let wrong = match right {
        // Of the right kind, and yet no answer to what was asked.
        Reply::Read(ReadReply::Found(found)) => Reply::Read(ReadReply::Found(vec![None; found.len() + 1])),
        right if std::mem::discriminant(right) == std::mem::discriminant(&wrong) => return,
        _ => wrong,
    };
    let refused = operation.step(moment, wrong).err();
    assert!(matches!(refused, Some(Misuse::UnexpectedReply { .. })), "{refused:?}");
}

/// Whether bytes hold a text.
fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Where an effect may show itself, a secret must not.
fn shows_no_secret(effect: &Effect) {
    let shown = format!("{effect:?}");
    assert!(!shown.contains(CANARY), "{shown}");
    if let Effect::Http(request) = effect {
        assert!(!request.url.contains(CANARY), "{}", request.url);
    }
}
