//! An operation is a value that asks.
//!
//! ```text
//! operation = engine.resolve(…)                              // nothing has happened yet
//! loop {
//!     match operation.step(&moment, reply)? {                // pure: same arguments, same result
//!         Step::Perform(effect) => reply = host.perform(effect),
//!         Step::Done(outcome)   => break outcome,
//!     }
//! }
//! ```
//!
//! The engine issues its own commits and goes on only when they succeeded, so no host can break the rule "commit, then act".
//! Nothing durable lives in an operation: one that is dropped loses itself, never a record.

mod answer;
mod effect;
mod reply;

use std::fmt;
use std::sync::Arc;

pub(crate) use answer::{Answer, HttpFault, Pending};
pub use effect::{Action, Effect, Header, HttpRequest, Method, Precondition, Version, Whom, Write};
pub use reply::{
    CommitReply, HttpReply, HttpResponse, IdentityReply, NotSent, Peer, ReadReply, Reply, ScanReply,
    Versioned,
};
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::error::Failure;
use crate::event::{Event, What};
use crate::hex;
use crate::moment::{Moment, UnixMillis};
use crate::principal::{ConnectorId, Principal, TenantId};
use crate::upstream::Place;

/// One request, from its arguments to its outcome.
pub struct Operation<M: Machine> {
    engine: Arc<Engine>,
    actor: Option<Principal>,
    id: OperationId,
    state: State<M>,
    events: Vec<Event>,
    steps: u32,
}

enum State<M> {
    Fresh(M),
    Waiting(M, Pending),
    Ended,
}

/// What a step comes to.
#[derive(Debug)]
pub enum Step<T> {
    /// Carry this out and call `step` with the reply.
    Perform(Effect),
    /// The operation has ended.
    Done(Outcome<T>),
}

/// How an operation ended: its result, and what happened on the way, for logs and audit.
#[derive(Debug)]
pub struct Outcome<T> {
    /// What was asked for, or a typed failure.
    pub result: Result<T, Failure>,
    /// Every state change on the way, in order; no secrets.
    pub events: Vec<Event>,
}

/// The host called `step` wrongly. Nothing has changed: the pending effect is still pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Misuse {
    /// The operation has ended; there is nothing to step.
    Ended,
    /// The entropy is all zeros: the random source has failed.
    NoEntropy,
    /// The reply does not answer the pending effect, or not in its form.
    UnexpectedReply {
        /// What the pending effect wants.
        expected: &'static str,
    },
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the operation has ended"),
            Self::NoEntropy => f.write_str("the entropy is all zeros"),
            Self::UnexpectedReply { expected } => write!(f, "the pending effect wants {expected}"),
        }
    }
}

impl std::error::Error for Misuse {}

impl<M: Machine> Operation<M> {
    /// An operation on behalf of `actor`; `None` for background work.
    pub(crate) fn new(engine: Arc<Engine>, actor: Option<Principal>, machine: M) -> Self {
        let state = State::Fresh(machine);
        Self { engine, actor, id: OperationId([0; 16]), state, events: Vec::new(), steps: 0 }
    }

    /// Hands in the reply to the pending effect ([`Reply::Start`] at first) and says what comes next.
    ///
    /// Pure: the same operation with the same arguments takes the same step.
    ///
    /// # Errors
    /// [`Misuse`] only; it changes nothing, and a right reply may follow.
    pub fn step(&mut self, moment: &Moment, reply: Reply) -> Result<Step<M::Output>, Misuse> {
        if moment.entropy.is_missing() {
            return Err(Misuse::NoEntropy);
        }
        let answer = match &self.state {
            State::Fresh(_) => Pending::Start.accept(reply)?,
            State::Waiting(_, pending) => pending.accept(reply)?,
            State::Ended => return Err(Misuse::Ended),
        };
        let machine = match std::mem::replace(&mut self.state, State::Ended) {
            State::Fresh(machine) => {
                self.id = OperationId(moment.entropy.id("operation/id"));
                machine
            }
            State::Waiting(machine, _) => machine,
            State::Ended => return Err(Misuse::Ended),
        };
        self.steps = self.steps.saturating_add(1);
        let mut cx = Context {
            engine: &self.engine,
            moment,
            operation: self.id,
            actor: &mut self.actor,
            events: &mut self.events,
        };
        Ok(match machine.step(&mut cx, answer) {
            Progress::Perform(machine, effect) => {
                self.state = State::Waiting(machine, Pending::of(&effect, self.engine.config()));
                Step::Perform(effect)
            }
            Progress::Done(result) => Step::Done(Outcome {
                result: result.map_err(|failure| failure.with_evidence(self.id.to_string())),
                events: self.signed_events(),
            }),
        })
    }

    /// The events so far, each with the principal that acted.
    fn signed_events(&mut self) -> Vec<Event> {
        let mut events = std::mem::take(&mut self.events);
        let unsigned = events.iter_mut().filter(|event| event.actor.is_none());
        unsigned.for_each(|event| event.actor.clone_from(&self.actor));
        events
    }

    /// What has happened so far, for a driver that gives the operation up.
    pub fn abandon(mut self) -> Vec<Event> {
        self.signed_events()
    }

    /// How many steps were taken: one more than effects were asked for.
    pub fn steps(&self) -> u32 {
        self.steps
    }
}

impl<M: Machine> fmt::Debug for Operation<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Fresh(_) => "fresh",
            State::Waiting(..) => "waiting",
            State::Ended => "ended",
        };
        f.debug_struct("Operation").field("id", &self.id).field("state", &state).finish_non_exhaustive()
    }
}

#[cfg(feature = "model")]
mod model {
    //! Copies and comparisons for the model checker; the engine, the same for all, is left out of both.

    use std::hash::{Hash, Hasher};

    use super::{Arc, Machine, Operation, State};

    impl<M: Machine + Clone> Clone for Operation<M> {
        fn clone(&self) -> Self {
            let state = match &self.state {
                State::Fresh(machine) => State::Fresh(machine.clone()),
                State::Waiting(machine, pending) => State::Waiting(machine.clone(), pending.clone()),
                State::Ended => State::Ended,
            };
            Self {
                engine: Arc::clone(&self.engine),
                actor: self.actor.clone(),
                id: self.id,
                state,
                events: self.events.clone(),
                steps: self.steps,
            }
        }
    }

    impl<M: Machine + PartialEq> PartialEq for Operation<M> {
        fn eq(&self, other: &Self) -> bool {
            let state = match (&self.state, &other.state) {
                (State::Fresh(a), State::Fresh(b)) => a == b,
                (State::Waiting(a, p), State::Waiting(b, q)) => a == b && p == q,
                (State::Ended, State::Ended) => true,
                _ => false,
            };
            state && self.id == other.id && self.steps == other.steps
        }
    }

    impl<M: Machine + Eq> Eq for Operation<M> {}

    impl<M: Machine + Hash> Hash for Operation<M> {
        fn hash<H: Hasher>(&self, hasher: &mut H) {
            self.id.hash(hasher);
            self.steps.hash(hasher);
            match &self.state {
                State::Fresh(machine) => machine.hash(hasher),
                State::Waiting(machine, pending) => (machine, pending).hash(hasher),
                State::Ended => {}
            }
        }
    }
}

/// Names one operation: in conditional writes, so that it knows its own, and in failures, for the host's logs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub(crate) [u8; 16]);

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::with_text(&self.0, |text| f.write_str(text))
    }
}

impl fmt::Debug for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for OperationId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        hex::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for OperationId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        hex::deserialize(deserializer).map(Self)
    }
}

/// A state machine behind an operation. Implemented by the engine only.
pub trait Machine: Sized + machine::Sealed {
    /// What the operation is asked for.
    type Output;

    /// Consumes the state with the answer to its effect.
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Self::Output>;
}

pub(crate) mod machine {
    /// Keeps [`Machine`](super::Machine) to the engine.
    pub trait Sealed {}
}

/// What a machine's step comes to.
pub(crate) enum Progress<S, T> {
    /// Wait in this state for the answer to this effect.
    Perform(S, Effect),
    /// Ended.
    Done(Result<T, Failure>),
}

impl<S, T> Progress<S, T> {
    pub(crate) fn done(value: T) -> Self {
        Self::Done(Ok(value))
    }

    pub(crate) fn fail(failure: impl Into<Failure>) -> Self {
        Self::Done(Err(failure.into()))
    }

    /// Runs a machine within another: `wrap` makes the parent's state, `then` goes on with the result.
    pub(crate) fn embed<P, U>(
        self,
        wrap: impl FnOnce(S) -> P,
        then: impl FnOnce(Result<T, Failure>) -> Progress<P, U>,
    ) -> Progress<P, U> {
        match self {
            Self::Perform(state, effect) => Progress::Perform(wrap(state), effect),
            Self::Done(result) => then(result),
        }
    }
}

/// What a machine may use in one step, besides the answer.
pub(crate) struct Context<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) moment: &'a Moment,
    pub(crate) operation: OperationId,
    actor: &'a mut Option<Principal>,
    events: &'a mut Vec<Event>,
}

impl Context<'_> {
    pub(crate) fn now(&self) -> UnixMillis {
        self.moment.now
    }

    /// Says who acts, where the operation had to find it out.
    pub(crate) fn acts(&mut self, actor: &Principal) {
        *self.actor = Some(actor.clone());
    }

    /// Notes what happened to the connection at a place.
    pub(crate) fn emit_about(&mut self, place: &Place, what: What) {
        self.emit(&place.tenant, Some(&place.owner), Some(&place.connector), what);
    }

    /// Notes what a principal has done in its own matters, known only now by what its client has shown.
    pub(crate) fn emit_as(&mut self, tenant: &TenantId, principal: &Principal, what: What) {
        self.emit(tenant, Some(principal), None, what);
        if let Some(event) = self.events.last_mut() {
            event.actor = Some(principal.clone());
        }
    }

    /// Notes what happened.
    pub(crate) fn emit(
        &mut self,
        tenant: &TenantId,
        owner: Option<&Principal>,
        connector: Option<&ConnectorId>,
        what: What,
    ) {
        self.events.push(Event {
            at: self.moment.now,
            operation: self.operation,
            tenant: tenant.clone(),
            actor: None,
            owner: owner.cloned(),
            connector: connector.cloned(),
            what,
        });
    }
}
