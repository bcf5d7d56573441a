//! Operations that are one transaction: a check of the caller and the arguments, one decision, and what is told of it once
//! the records say so too.

use std::fmt::Debug;
#[cfg(feature = "model")]
use std::hash::Hash;

use super::drain::{Drain, Drained};
use super::{Decide, Place, Transaction};
use crate::error::{Code, Failure};
use crate::event::What;
use crate::operation::{Answer, Context, Progress};
use crate::principal::{ConnectorId, Principal, TenantId};
use crate::store::records::Parked;

/// A decision that is an operation of its own.
pub(crate) trait Act: Decide<Output = Told<Self::Answer>> {
    /// What the caller is told.
    type Answer: Explorable;

    /// What can be said before any record is read: a refusal of the arguments, if they are not acceptable.
    ///
    /// # Errors
    /// The caller may not.
    fn admit(&self, cx: &Context<'_>) -> Result<Option<Self::Answer>, Failure>;
}

/// What every part of a machine can do; more of it under the feature `model`.
#[cfg(not(feature = "model"))]
pub(crate) trait Explorable: Debug {}
#[cfg(not(feature = "model"))]
impl<T: Debug> Explorable for T {}

/// What every part of a machine can do under the feature `model`.
#[cfg(feature = "model")]
pub(crate) trait Explorable: Clone + Debug + Eq + Hash {}
#[cfg(feature = "model")]
impl<T: Clone + Debug + Eq + Hash> Explorable for T {}

/// An answer, and what happened.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Told<T> {
    answer: T,
    news: Option<News>,
    /// Tokens that were parked by the commit.
    parked: Option<(Place, Vec<Parked>)>,
}

/// An event to be.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct News {
    pub(crate) tenant: TenantId,
    pub(crate) owner: Option<Principal>,
    pub(crate) connector: Option<ConnectorId>,
    pub(crate) what: What,
}

impl News {
    pub(crate) fn about(place: &Place, what: What) -> Self {
        let Place { tenant, owner, connector } = place.clone();
        Self { tenant, owner: Some(owner), connector: Some(connector), what }
    }
}

impl<T> Told<T> {
    pub(crate) fn nothing_new(answer: T) -> Self {
        Self { answer, news: None, parked: None }
    }

    pub(crate) fn new(answer: T, news: News) -> Self {
        Self { answer, news: Some(news), parked: None }
    }

    /// The same, and the outbox of the place is to be gone through once it is committed.
    pub(crate) fn and_drain(mut self, place: &Place, outbox: &[Parked]) -> Self {
        self.parked = Some((place.clone(), outbox.to_vec()));
        self
    }
}

/// The machine of every such operation.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) enum Single<A: Act> {
    Deciding(Box<Transaction<A>>),
    Draining(Box<Drain>, A::Answer),
    Fresh(Box<A>),
}

impl<A: Act> Single<A> {
    pub(crate) fn new(act: A) -> Self {
        Self::Fresh(Box::new(act))
    }

    pub(crate) fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, A::Answer> {
        match (self, answer) {
            (Self::Fresh(act), Answer::Start) => match act.admit(cx) {
                Ok(None) => {
                    let step = Transaction::begin(cx, *act);
                    Self::decided(cx, step)
                }
                Ok(Some(refusal)) => Progress::done(refusal),
                Err(failure) => Progress::fail(failure),
            },
            (Self::Deciding(transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::decided(cx, step)
            }
            (Self::Draining(drain, told), answer) => Self::draining(told, drain.step(cx, answer)),
            _ => Progress::fail(Code::Internal),
        }
    }

    /// What follows the transaction.
    fn decided(
        cx: &mut Context<'_>,
        step: Progress<Transaction<A>, Told<A::Answer>>,
    ) -> Progress<Self, A::Answer> {
        match step {
            Progress::Perform(transaction, effect) => {
                Progress::Perform(Self::Deciding(Box::new(transaction)), effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(Told { answer, news, parked })) => {
                if let Some(News { tenant, owner, connector, what }) = news {
                    cx.emit(&tenant, owner.as_ref(), connector.as_ref(), what);
                }
                match parked {
                    Some((place, outbox)) => {
                        let step = Drain::begin(cx, place, &outbox, None);
                        Self::draining(answer, step)
                    }
                    None => Progress::done(answer),
                }
            }
        }
    }

    /// Whatever becomes of the tokens, the answer stands: what is left in the outbox is the sweep's.
    fn draining(answer: A::Answer, step: Progress<Drain, Drained>) -> Progress<Self, A::Answer> {
        match step {
            Progress::Perform(drain, effect) => {
                Progress::Perform(Self::Draining(Box::new(drain), answer), effect)
            }
            Progress::Done(_) => Progress::done(answer),
        }
    }
}

/// Gives such an operation its public machine.
macro_rules! single {
    ($(#[$doc:meta])* $machine:ident($act:ty) -> $answer:ty) => {
        $(#[$doc])*
        #[derive(Debug)]
        #[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
        pub struct $machine($crate::upstream::single::Single<$act>);

        impl $crate::operation::machine::Sealed for $machine {}

        impl $crate::operation::Machine for $machine {
            type Output = $answer;

            #[allow(private_interfaces)]
            fn step(
                self,
                cx: &mut $crate::operation::Context<'_>,
                answer: $crate::operation::Answer,
            ) -> $crate::operation::Progress<Self, $answer> {
                self.0.step(cx, answer).embed(Self, $crate::operation::Progress::Done)
            }
        }
    };
}

pub(crate) use single;
