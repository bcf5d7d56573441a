//! The world: workers that run real operations over one store and one issuer, and everything that may go wrong.

mod action;
mod enabled;
mod fault;
mod judge;
mod run;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub(crate) use action::{Action, FATES, Fate};
use grantway_core::model::{Inspection, inspect};
use grantway_core::operation::{CommitReply, Effect, HttpReply, NotSent, ReadReply, Reply, Write};
use grantway_core::secret::Secret;
use grantway_core::upstream::Observation;

use crate::case::{Case, Ground};
use crate::issuer::{Post, response};
use crate::journal::Journal;
use crate::order::{Order, Running};
use crate::property::{Broken, Property};
use crate::rows::{Rows, digest};
use crate::scenario::Budget;

/// A state.
#[derive(Clone, Debug)]
pub(crate) struct World<R> {
    pub(crate) case: Arc<Case>,
    pub(crate) ground: Ground<R>,
    /// The connection's record as it was last written.
    pub(crate) connection: Option<Arc<Inspection>>,
    workers: Vec<Worker>,
    late: Vec<Late>,
    left: Budget,
    ghost: Ghost,
    /// Kept in replays only.
    pub(crate) journal: Journal,
}

#[derive(Clone, Debug, Hash)]
struct Worker {
    /// Orders that have ended.
    done: usize,
    busy: Option<Kept<Busy>>,
    /// What the last `transient` outcome saw of a lease, and when.
    observed: Option<(Observation, u64)>,
}

/// A value that is shared and hashed once.
#[derive(Clone, Debug)]
pub(crate) struct Kept<T> {
    pub(crate) value: Arc<T>,
    digest: u64,
}

/// An operation that waits for the answer to an effect.
#[derive(Clone, Debug, Hash)]
struct Busy {
    running: Running,
    effect: Effect,
    /// When it was asked for.
    since: u64,
    paused: bool,
    /// An answer that the worker has not seen yet, with the access token stored when it was given.
    answer: Option<(Reply, Option<Secret>)>,
    /// Whether it has begun to send the refresh token.
    posted: bool,
}

#[derive(Clone, Debug, Hash)]
enum Late {
    Commit(Vec<Write>),
    Post(Post),
}

/// What no record says and the properties need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Ghost {
    /// An answer to a refresh was lost, or came to a process that had died or stood still.
    answer_lost: bool,
    /// A worker that may have held a lease died or stood still, or an answer was lost.
    lease_lost: bool,
    /// A disconnect has ended, and no flow was begun after it.
    disconnected: bool,
    /// Flows whose callback was refused because it came too late, a bit for each.
    expired: u8,
    broken: Broken,
}
impl<R: Rows> World<R> {
    pub(crate) fn new(case: Arc<Case>, ground: Ground<R>) -> Self {
        let worker = Worker { done: 0, busy: None, observed: None };
        let mut world = Self {
            workers: case.scripts.iter().map(|_| worker.clone()).collect(),
            left: case.budget,
            case,
            ground,
            connection: None,
            late: Vec::new(),
            ghost: Ghost::default(),
            journal: Journal::default(),
        };
        world.connection = world.stored_connection();
        // Clocks that differ by more than the allowance are a fault.
        let allowance = world.case.engine.config().limits.clock_skew_ms;
        let apart = world.case.ahead_ms.iter().any(|ahead| *ahead > allowance);
        world.ghost.answer_lost = apart;
        world.ghost.lease_lost = apart;
        world
    }

    /// Whether a property has held so far.
    pub(crate) fn holds(&self, property: Property) -> bool {
        !self.ghost.broken.has(property)
    }

    /// Lets something happen that is enabled.
    pub(crate) fn act(&mut self, action: Action) {
        match action {
            Action::Run { worker } => self.run(worker),
            Action::Tick => {
                self.left.ticks -= 1;
                self.ground.elapsed_ms += self.case.pace.tick_ms();
                self.journal.note(|| format!("{} s pass", self.case.pace.tick_ms() / 1000));
            }
            Action::ClockBack => {
                self.left.spend(|left| &mut left.clock_back);
                self.ground.set_back_ms += 2 * self.case.pace.tick_ms();
                self.excuse_slow_commits();
                self.journal.note(|| "all wall clocks are set back".to_owned());
            }
            Action::Land { late } => self.land(late),
            Action::Pause { worker, carried_out } => self.pause(worker, carried_out),
            Action::Crash { worker, fate } => self.crash(worker, fate),
            Action::Unknown { worker, fate } => {
                self.left.spend(|left| &mut left.unknown);
                self.lose(worker, fate, Reply::Commit(CommitReply::Unknown));
            }
            Action::Lost { worker, fate } => {
                self.left.spend(|left| &mut left.lost);
                self.lose(worker, fate, Reply::Http(HttpReply::UnknownOutcome));
            }
            Action::Busy { worker } => {
                self.left.spend(|left| &mut left.busy);
                let reply = Reply::Http(HttpReply::Response(response(503, String::new())));
                self.refuse(worker, reply);
            }
            Action::NotSent { worker } => {
                self.left.spend(|left| &mut left.not_sent);
                self.refuse(worker, Reply::Http(HttpReply::NotSent(NotSent::Unreachable)));
            }
            Action::Down { worker } => {
                self.left.spend(|left| &mut left.down);
                let reply = match self.busy(worker).effect {
                    Effect::Commit { .. } => Reply::Commit(CommitReply::Unavailable),
                    _ => Reply::Read(ReadReply::Unavailable),
                };
                self.refuse(worker, reply);
            }
        }
        self.judge();
    }

    fn stored_connection(&self) -> Option<Arc<Inspection>> {
        let key = self.ground.connection.as_ref()?;
        let found = self.ground.rows.read(std::slice::from_ref(key)).pop()??;
        let Case { engine, caller, connector, .. } = &*self.case;
        inspect(engine, &caller.tenant, &caller.principal, connector, &found.value).map(Arc::new)
    }

    fn current_token(&self) -> Option<Secret> {
        Some(self.connection.as_ref()?.grant.as_ref()?.access_token.clone())
    }

    fn order(&self, worker: usize) -> Order {
        self.case.scripts[worker][self.workers[worker].done]
    }

    fn busy(&self, worker: usize) -> &Busy {
        &self.workers[worker].busy.as_ref().expect("a busy worker").value
    }
}

pub(crate) fn post_of(effect: &Effect) -> Option<Post> {
    match effect {
        Effect::Http(request) => Post::parse(request),
        _ => None,
    }
}

impl<T: Hash> Kept<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { digest: digest(&value), value: Arc::new(value) }
    }
}

impl<T> Hash for Kept<T> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.digest.hash(hasher);
    }
}

impl<R: Hash> Hash for World<R> {
    /// Without the connection, which is in the rows, and the journal.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.case.number, &self.ground, &self.workers, &self.late, &self.left, &self.ghost).hash(hasher);
    }
}

impl<R: Hash> PartialEq for World<R> {
    fn eq(&self, other: &Self) -> bool {
        digest(self) == digest(other)
    }
}
