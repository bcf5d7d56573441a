//! Read, decide, commit. When the records have changed meanwhile, or nobody knows whether the commit was applied: read and
//! decide again, by the same function. There is no second path.

use crate::error::{Code, Failure};
use crate::limits::COMMIT_TRIES;
use crate::operation::{Answer, CommitReply, Context, Effect, OperationId, Progress, Versioned, Write};
use crate::store::Key;

/// What is to be done to some records, given what they hold.
pub(crate) trait Decide: Sized {
    /// What the decision comes to.
    type Output;

    /// The records to look at, in the order `decide` gets them.
    fn keys(&self) -> Vec<Key>;

    /// Pure but for the context. `id` names this transaction over all its tries; it stands in what the transaction writes.
    /// Random values that leave the transaction are drawn before it, so that each try would write the same.
    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Self::Output>;

    /// How often a store that is unavailable is asked again, with growing pauses. Default: not at all.
    fn patience(&self) -> u8 {
        0
    }
}

/// What a decision comes to.
pub(crate) enum Decision<T> {
    /// Write this; the value is the result if it is committed. The first write is a `put` of a sealed record: by its
    /// `written_by` the transaction knows its own commit again.
    Commit(Vec<Write>, T),
    /// Nothing to write.
    Done(Result<T, Failure>),
}

impl<T> Decision<T> {
    pub(crate) fn done(value: T) -> Self {
        Self::Done(Ok(value))
    }

    pub(crate) fn fail(failure: impl Into<Failure>) -> Self {
        Self::Done(Err(failure.into()))
    }
}

/// A transaction under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Transaction<D: Decide> {
    decide: D,
    id: OperationId,
    tries: u8,
    state: State<D::Output>,
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State<T> {
    /// With the result of a commit of ours whose fate is unknown, and the key that tells.
    Reading(Option<(Key, T)>),
    Committing {
        witness: Option<Key>,
        value: T,
        uncertain: bool,
    },
    Pausing(Option<(Key, T)>),
}

impl<D: Decide> Transaction<D> {
    /// Begins by reading.
    pub(crate) fn begin(cx: &mut Context<'_>, decide: D) -> Progress<Self, D::Output> {
        let id = OperationId(cx.moment.entropy.id("transaction/id"));
        Self { decide, id, tries: 0, state: State::Reading(None) }.read(None)
    }

    /// What is to be decided.
    pub(crate) fn decision(&self) -> &D {
        &self.decide
    }

    pub(crate) fn step(mut self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, D::Output> {
        let state = std::mem::replace(&mut self.state, State::Reading(None));
        match (state, answer) {
            (State::Reading(unsure), Answer::Read(Some(found))) => self.follow(cx, unsure, &found),
            (State::Reading(unsure), Answer::Read(None)) => self.pause(cx, unsure),
            (State::Pausing(unsure), Answer::Woke { .. }) => self.read(unsure),
            (State::Committing { value, .. }, Answer::Commit(CommitReply::Committed)) => {
                Progress::done(value)
            }
            (State::Committing { witness, value, uncertain }, Answer::Commit(CommitReply::Conflict)) => {
                // After an unknown commit the conflict may be our own, landed late.
                let unsure = witness.filter(|_| uncertain).map(|key| (key, value));
                self.again(unsure)
            }
            (State::Committing { witness, value, .. }, Answer::Commit(CommitReply::Unknown)) => {
                let unsure = witness.map(|key| (key, value));
                self.again(unsure)
            }
            (State::Committing { witness, value, uncertain }, Answer::Commit(CommitReply::Unavailable)) => {
                let unsure = witness.filter(|_| uncertain).map(|key| (key, value));
                self.pause(cx, unsure)
            }
            _ => Progress::fail(Code::Internal),
        }
    }

    fn read(mut self, unsure: Option<(Key, D::Output)>) -> Progress<Self, D::Output> {
        let mut keys = self.decide.keys();
        if let Some((witness, _)) = &unsure {
            keys.push(witness.clone());
        }
        self.state = State::Reading(unsure);
        Progress::Perform(self, Effect::Read { keys })
    }

    fn again(mut self, unsure: Option<(Key, D::Output)>) -> Progress<Self, D::Output> {
        self.tries = self.tries.saturating_add(1);
        if self.tries >= COMMIT_TRIES {
            let code = if unsure.is_some() { Code::StoreUnknown } else { Code::StoreContention };
            return Progress::fail(code);
        }
        self.read(unsure)
    }

    fn pause(mut self, cx: &Context<'_>, unsure: Option<(Key, D::Output)>) -> Progress<Self, D::Output> {
        if self.tries >= self.decide.patience() {
            let code = if unsure.is_some() { Code::StoreUnknown } else { Code::StoreUnavailable };
            return Progress::fail(code);
        }
        let limits = cx.engine.limits();
        let for_ms = limits.poll_ms.saturating_mul(1 << self.tries.min(10)).min(limits.poll_max_ms);
        self.tries = self.tries.saturating_add(1);
        self.state = State::Pausing(unsure);
        Progress::Perform(self, Effect::Sleep { for_ms, watch: None })
    }

    fn follow(
        mut self,
        cx: &mut Context<'_>,
        unsure: Option<(Key, D::Output)>,
        found: &[Option<Versioned>],
    ) -> Progress<Self, D::Output> {
        let (found, uncertain) = match unsure {
            None => (found, false),
            Some((witness, value)) => {
                let Some((last, rest)) = found.split_last() else { return Progress::fail(Code::Internal) };
                if cx.written_by(&witness, last.as_ref()) == Some(self.id) {
                    return Progress::done(value);
                }
                (rest, true)
            }
        };
        match self.decide.decide(cx, self.id, found) {
            Decision::Done(result) => Progress::Done(result),
            Decision::Commit(writes, value) => {
                let witness = writes.first().map(|write| write.key.clone());
                self.state = State::Committing { witness, value, uncertain };
                Progress::Perform(self, Effect::Commit { writes })
            }
        }
    }
}
