//! Operations that are one transaction: a check of the caller and the arguments, one decision, and what is told of it once
//! the records say so too.

use std::fmt::Debug;
#[cfg(feature = "model")]
use std::hash::Hash;

use super::{Decide, Transaction};
use crate::error::{Code, Failure};
use crate::event::What;
use crate::operation::{Answer, Context, Progress};
use crate::principal::{ConnectorId, Principal, TenantId};

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

impl<T> Told<T> {
    pub(crate) fn nothing_new(answer: T) -> Self {
        Self { answer, news: None }
    }

    pub(crate) fn new(answer: T, news: News) -> Self {
        Self { answer, news: Some(news) }
    }
}

/// The machine of every such operation.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) enum Single<A: Act> {
    Fresh(Box<A>),
    Deciding(Box<Transaction<A>>),
}

impl<A: Act> Single<A> {
    pub(crate) fn new(act: A) -> Self {
        Self::Fresh(Box::new(act))
    }

    pub(crate) fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, A::Answer> {
        let step = match (self, answer) {
            (Self::Fresh(act), Answer::Start) => match act.admit(cx) {
                Ok(None) => Transaction::begin(cx, *act),
                Ok(Some(refusal)) => return Progress::done(refusal),
                Err(failure) => return Progress::fail(failure),
            },
            (Self::Deciding(transaction), answer) => transaction.step(cx, answer),
            _ => return Progress::fail(Code::Internal),
        };
        step.embed(
            |transaction| Self::Deciding(Box::new(transaction)),
            |told| {
                Progress::Done(told.map(|told| {
                    if let Some(News { tenant, owner, connector, what }) = told.news {
                        cx.emit(&tenant, owner.as_ref(), connector.as_ref(), what);
                    }
                    told.answer
                }))
            },
        )
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
