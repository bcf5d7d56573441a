//! What workers are told to do, and the real operations they run for it.

use grantway_core::event::{Event, What};
use grantway_core::moment::Moment;
use grantway_core::operation::{Effect, Machine, Misuse, Operation, Outcome, Reply, Step};
use grantway_core::secret::Secret;
use grantway_core::upstream::Observation;
use grantway_core::upstream::begin_connect::{BeginConnect, Beginning};
use grantway_core::upstream::complete_connect::{CompleteConnect, Completing};
use grantway_core::upstream::disconnect::{Disconnect, Disconnecting};
use grantway_core::upstream::ready::Ready;
use grantway_core::upstream::report_rejected::{Rejection, ReportRejected, Reporting};
use grantway_core::upstream::resolve::{Resolution, Resolve, Resolving, Transient};

use crate::case::Case;

/// One order of a worker's script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Order {
    /// Begins one more flow, which nobody completes.
    Begin,
    /// Hands in the callback of a flow that the setup began, by its number.
    Complete(usize),
    Disconnect,
    /// Reports a 401 to a call with the token of this generation.
    Report(u64),
    Resolve,
}

/// A running operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Running {
    Begin(Box<Operation<Beginning>>),
    Complete(Box<Operation<Completing>>),
    Disconnect(Box<Operation<Disconnecting>>),
    Report(Box<Operation<Reporting>>),
    Resolve(Box<Operation<Resolving>>),
}

/// What a step of it comes to.
pub(crate) enum Stepped {
    Perform(Effect),
    Done(Ending),
}

/// How an operation ended, as far as the model looks at it.
pub(crate) struct Ending {
    pub(crate) result: Ended,
    pub(crate) events: Vec<What>,
}

/// Its result.
pub(crate) enum Ended {
    Begun,
    Challenge,
    Connected,
    Disconnected,
    Failed(&'static str),
    /// 401 handed on.
    Nothing,
    /// With the access token and its generation.
    Ready(Secret, u64),
    Transient(Option<Observation>),
}

impl Order {
    /// A new operation for this order.
    pub(crate) fn start(self, case: &Case, observed: Option<Observation>) -> Running {
        let (engine, caller) = (&case.engine, case.caller.clone());
        let connector = case.connector.clone();
        match self {
            Self::Begin => {
                let begin =
                    BeginConnect { cookies: case.cookies.clone(), ..BeginConnect::new(caller, connector) };
                Running::Begin(Box::new(engine.begin_connect(begin)))
            }
            Self::Complete(flow) => Running::Complete(Box::new(engine.complete_connect(CompleteConnect {
                caller: Some(caller),
                callback_url: case.callbacks[flow].clone(),
                cookies: case.cookies.clone(),
                process_secret: None,
            }))),
            Self::Disconnect => Running::Disconnect(Box::new(engine.disconnect(Disconnect {
                caller,
                connector,
                owner: None,
            }))),
            Self::Report(generation) => Running::Report(Box::new(engine.report_rejected(ReportRejected {
                caller,
                connector,
                connection: None,
                generation,
                operation: "tools/call".to_owned(),
                status: 401,
                headers: Vec::new(),
                wait_ms: case.wait_ms,
            }))),
            Self::Resolve => {
                let resolve = Resolve { wait_ms: case.wait_ms, observed, ..Resolve::new(caller, connector) };
                Running::Resolve(Box::new(engine.resolve(resolve)))
            }
        }
    }

    pub(crate) const KINDS: usize = Self::NAMES.len();
    pub(crate) const NAMES: [&str; 5] =
        ["begin_connect", "complete_connect", "disconnect", "report_rejected", "resolve"];

    /// The number of its kind.
    pub(crate) const fn kind(self) -> usize {
        match self {
            Self::Begin => 0,
            Self::Complete(_) => 1,
            Self::Disconnect => 2,
            Self::Report(_) => 3,
            Self::Resolve => 4,
        }
    }

    /// The name of the operation.
    pub(crate) const fn name(self) -> &'static str {
        Self::NAMES[self.kind()]
    }
}

impl Running {
    /// Takes one step.
    pub(crate) fn step(&mut self, moment: &Moment, reply: Reply) -> Result<Stepped, Misuse> {
        match self {
            Self::Begin(operation) => step(operation, moment, reply, |_| Ended::Begun),
            Self::Complete(operation) => step(operation, moment, reply, |_| Ended::Connected),
            Self::Disconnect(operation) => step(operation, moment, reply, |_| Ended::Disconnected),
            Self::Report(operation) => step(operation, moment, reply, |rejection| match rejection {
                Rejection::Challenge(_) => Ended::Challenge,
                Rejection::Nothing => Ended::Nothing,
                Rejection::Retry(ready) => credential(&ready),
                Rejection::Transient(transient) => later(&transient),
            }),
            Self::Resolve(operation) => step(operation, moment, reply, |resolution| match resolution {
                Resolution::Challenge(_) => Ended::Challenge,
                Resolution::Ready(ready) => credential(&ready),
                Resolution::Transient(transient) => later(&transient),
            }),
        }
    }

    /// Steps taken so far.
    pub(crate) fn steps(&self) -> u32 {
        match self {
            Self::Begin(operation) => operation.steps(),
            Self::Complete(operation) => operation.steps(),
            Self::Disconnect(operation) => operation.steps(),
            Self::Report(operation) => operation.steps(),
            Self::Resolve(operation) => operation.steps(),
        }
    }
}

fn step<M: Machine>(
    operation: &mut Operation<M>,
    moment: &Moment,
    reply: Reply,
    read: impl FnOnce(M::Output) -> Ended,
) -> Result<Stepped, Misuse> {
    Ok(match operation.step(moment, reply)? {
        Step::Perform(effect) => Stepped::Perform(effect),
        Step::Done(Outcome { result, events }) => {
            let result = result.map_or_else(|failure| Ended::Failed(failure.slug()), read);
            Stepped::Done(Ending {
                result,
                events: events.into_iter().map(|Event { what, .. }| what).collect(),
            })
        }
    })
}

fn credential(ready: &Ready) -> Ended {
    let token = ready.own_headers().find_map(|(_, value)| value.expose().strip_prefix("Bearer "));
    Ended::Ready(Secret::new(token.unwrap_or_default()), ready.generation())
}

fn later(transient: &Transient) -> Ended {
    Ended::Transient(transient.observed)
}

impl Ended {
    /// In words.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Begun => "a flow has begun".to_owned(),
            Self::Challenge => "challenge".to_owned(),
            Self::Connected => "connected".to_owned(),
            Self::Disconnected => "disconnected".to_owned(),
            Self::Failed(slug) => format!("failed: {slug}"),
            Self::Nothing => "nothing to do".to_owned(),
            Self::Ready(token, generation) => {
                format!("ready with {} of generation {generation}", token.expose())
            }
            Self::Transient(_) => "not now".to_owned(),
        }
    }
}
