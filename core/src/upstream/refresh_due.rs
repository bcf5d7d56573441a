//! `refresh_due`: keeps grants alive that nobody uses, for a host that calls it now and then.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::choose::Standing;
use super::page::{self, Cursor};
use super::place::Place;
use super::refresh::{Refresh, Refreshed, Wish};
use crate::engine::Engine;
use crate::error::Code;
use crate::operation::{
    Answer, CommitReply, Context, Effect, Machine, Operation, Precondition, Progress, machine,
};
use crate::principal::TenantId;
use crate::store::records::{Connection, ConnectorRecord};
use crate::store::{Key, delete};

/// Asks for grants to be refreshed whose time has come.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "model", derive(Hash))]
#[serde(deny_unknown_fields)]
pub struct RefreshDue {
    /// In which tenant.
    pub tenant: TenantId,
    /// At most so many are looked at in this call. Default 20, at most 100.
    #[serde(default = "default_limit")]
    pub limit: u32,
    /// `next` of the call before. Default: from the beginning.
    #[serde(default)]
    pub after: Option<Cursor>,
}

const fn default_limit() -> u32 {
    20
}

/// What a call of `refresh_due` has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "model", derive(Hash))]
pub struct DueRefreshed {
    /// Grants that have a usable token now.
    pub usable: u32,
    /// Grants that need a person.
    pub ended: u32,
    /// Grants whose refresh has to wait.
    pub postponed: u32,
    /// Where the next call goes on; `None`: all that was due has been looked at.
    pub next: Option<Cursor>,
}

impl Engine {
    /// Refreshes grants whose time has come, over the `due` index. Call it every minute or so, and again at once with `next` while it
    /// names one: what cannot be refreshed just now stays at the front of the index, and must not keep the rest from its turn.
    pub fn refresh_due(self: &Arc<Self>, arguments: RefreshDue) -> Operation<RefreshingDue> {
        Operation::new(Arc::clone(self), None, RefreshingDue(State::Fresh(arguments)))
    }
}

/// A `refresh_due` under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct RefreshingDue(State);

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    AwaitPage(RefreshDue),
    AwaitRecords(Box<Run>, Key, Place),
    AwaitRemoval(Box<Run>),
    Fresh(RefreshDue),
    Refreshing(Box<Run>, Box<Refresh>),
}

/// The rest of a page, the first last.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Run {
    tenant: TenantId,
    entries: Vec<Key>,
    done: DueRefreshed,
}

impl machine::Sealed for RefreshingDue {}

impl Machine for RefreshingDue {
    type Output = DueRefreshed;

    #[allow(private_interfaces)]
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, DueRefreshed> {
        match (self.0, answer) {
            (State::Fresh(arguments), Answer::Start) => {
                let prefix = Key::all_due(&arguments.tenant);
                let effect = page::scan(&prefix, arguments.after.as_ref(), arguments.limit);
                Progress::Perform(Self(State::AwaitPage(arguments)), effect)
            }
            (State::AwaitPage(arguments), Answer::Scan(Some((page, more)))) => {
                let due = |key: &Key| key.minute().is_none_or(|minute| minute <= cx.now().minute());
                let prefix = Key::all_due(&arguments.tenant);
                let next = page::next(&prefix, &page, more && page.iter().all(|(key, _)| due(key)));
                let mut entries: Vec<_> = page.into_iter().map(|(key, _)| key).filter(due).collect();
                let done = DueRefreshed { next, ..DueRefreshed::default() };
                entries.reverse();
                Self::next(Box::new(Run { tenant: arguments.tenant, entries, done }))
            }
            (State::AwaitPage(_), Answer::Scan(None)) => Progress::fail(Code::StoreUnavailable),
            (State::AwaitRecords(run, entry, place), Answer::Read(Some(found))) => {
                let [connector, connection] = found.as_slice() else { return Progress::fail(Code::Internal) };
                let connector_key = Key::connector(&place.tenant, &place.connector);
                let connector = cx.open::<ConnectorRecord>(&connector_key, connector.as_ref());
                let connection = cx.open::<Connection>(&place.key(), connection.as_ref());
                match (connector, connection) {
                    (Ok(Some(connector)), Ok(Some(stored)))
                        if stored.record.due.map(|at| place.due(at)).as_ref() == Some(&entry) =>
                    {
                        Self::refresh(cx, run, place, &connector.record, &stored.record)
                    }
                    // A damaged row must not keep the others from being refreshed; a connector may come back.
                    (Err(_), _) | (_, Err(_)) | (Ok(None), Ok(Some(_))) => Self::next(run),
                    // Nothing wants it any more: whoever finds a stale index entry deletes it.
                    _ => Self::remove(run, entry),
                }
            }
            (State::AwaitRecords(..), Answer::Read(None)) => Progress::fail(Code::StoreUnavailable),
            (
                State::AwaitRemoval(run),
                Answer::Commit(
                    CommitReply::Committed
                    | CommitReply::Conflict
                    | CommitReply::Unavailable
                    | CommitReply::Unknown,
                ),
            ) => Self::next(run),
            (State::Refreshing(run, refresh), answer) => {
                let step = refresh.step(cx, answer);
                Self::refreshing(run, step)
            }
            _ => Progress::fail(Code::Internal),
        }
    }
}

impl RefreshingDue {
    fn next(mut run: Box<Run>) -> Progress<Self, DueRefreshed> {
        let Some(entry) = run.entries.pop() else { return Progress::done(run.done) };
        let Some((owner, connector)) = entry.due_target() else { return Self::remove(run, entry) };
        let place = Place { tenant: run.tenant.clone(), owner, connector };
        let keys = vec![Key::connector(&place.tenant, &place.connector), place.key()];
        Progress::Perform(Self(State::AwaitRecords(run, entry, place)), Effect::Read { keys })
    }

    fn remove(run: Box<Run>, entry: Key) -> Progress<Self, DueRefreshed> {
        let writes = vec![delete(entry, Precondition::Any)];
        Progress::Perform(Self(State::AwaitRemoval(run)), Effect::Commit { writes })
    }

    fn refresh(
        cx: &mut Context<'_>,
        run: Box<Run>,
        place: Place,
        connector: &ConnectorRecord,
        connection: &Connection,
    ) -> Progress<Self, DueRefreshed> {
        let standing = connection.standing(cx.now(), cx.engine.limits());
        let (Standing::Refreshable, Some(grant)) = (standing, &connection.grant) else {
            return Self::next(run);
        };
        let wish = Wish {
            place,
            rejected: None,
            // Whoever holds the lease does the same work.
            wait_ms: 0,
            observed: None,
            static_secret: connector.static_secret(),
        };
        let issuer = grant.terms.issuer.clone();
        let step = Refresh::begin(cx, wish, &issuer);
        Self::refreshing(run, step)
    }

    fn refreshing(mut run: Box<Run>, step: Progress<Refresh, Refreshed>) -> Progress<Self, DueRefreshed> {
        match step {
            Progress::Perform(refresh, effect) => {
                return Progress::Perform(Self(State::Refreshing(run, Box::new(refresh))), effect);
            }
            Progress::Done(Ok(Refreshed::Usable(_))) => run.done.usable = run.done.usable.saturating_add(1),
            Progress::Done(Ok(Refreshed::Reauth | Refreshed::Gone)) => {
                run.done.ended = run.done.ended.saturating_add(1)
            }
            Progress::Done(Ok(Refreshed::Transient { .. })) => {
                run.done.postponed = run.done.postponed.saturating_add(1)
            }
            Progress::Done(Err(failure)) => return Progress::fail(failure),
        }
        Self::next(run)
    }
}
