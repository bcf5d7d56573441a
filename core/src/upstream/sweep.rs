//! `sweep`: removes what has ended and finishes what a crash has left, for a host that calls it now and then. It goes through the
//! `expiry` index, whose entries name a record and the minute from which somebody should look at it.
//!
//! ```text
//! Fresh           + start      -> AwaitPage        [Scan]
//! AwaitPage       + entries    -> AwaitRecords     [Read]       flows and tickets
//! AwaitRecords    + records    -> AwaitRemoval     [Commit]     all that have ended, with their entries
//! AwaitRemoval    + any reply  -> Abandoning       [Read]       claimed flows, one after the other
//! Abandoning      + abandoned  -> Unstaging        [Read]       grants of consent sessions that have ended
//! Unstaging       + unstaged   -> AwaitConnection  [Read]       connections, one after the other
//! AwaitConnection + outbox     -> Draining         [Http]
//! Draining        + drained    -> Tidying          [Read]
//! Tidying         + tidied     -> AwaitConnection  [Read], or done
//! ```

mod abandon;
mod tidy;
mod unstage;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::abandon::{Abandon, Abandoned};
use self::tidy::{Tidied, Tidy};
use self::unstage::Unstage;
use super::drain::{Drain, Drained};
use super::page::{self, Cursor};
use super::{Place, Transaction};
use crate::downstream::family;
use crate::engine::Engine;
use crate::error::Code;
use crate::event::What;
use crate::moment::UnixMillis;
use crate::operation::{
    Answer, CommitReply, Context, Effect, Machine, Operation, Precondition, Progress, Versioned, Write,
    machine,
};
use crate::principal::TenantId;
use crate::store::records::{
    AttemptsRecord, ClientRecord, CodeRecord, Connection, ConnectorRecord, FamilyId, FamilyRecord, Flow,
    FlowStatus, SessionRecord, SlotRecord, StagedRecord, TicketOf,
};
use crate::store::{Key, Kind, Record, delete};

/// Asks for a tenant to be swept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Which tenant.
    pub tenant: TenantId,
    /// At most so many entries in this call. Default 20, at most 50.
    #[serde(default = "default_limit")]
    pub limit: u32,
    /// `next` of the call before. Default: from the beginning.
    #[serde(default)]
    pub after: Option<Cursor>,
}

const fn default_limit() -> u32 {
    20
}

/// LIMIT: most entries take two writes of a commit of a hundred.
const LIMIT_MAX: u32 = 50;
/// LIMIT: of a commit.
const WRITES_MAX: usize = 100;

/// What one call of `sweep` has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Swept {
    /// Records removed: flows, tickets, purged connections.
    pub removed: u32,
    /// Flows whose code was sent by an operation that never came to its end; their connections are marked as doubtful.
    pub abandoned: u32,
    /// Connections whose parked tokens are all revoked now.
    pub drained: u32,
    /// Connections with parked tokens that will be tried again, and those whose record does not open.
    pub postponed: u32,
    /// Where the next call goes on; `None`: all whose time has come has been looked at.
    pub next: Option<Cursor>,
}

impl Engine {
    /// Removes what has ended and finishes revocations. Call it every few minutes, and again at once with `next` while it names one.
    ///
    /// Failures: those of the store.
    pub fn sweep(self: &Arc<Self>, arguments: Sweep) -> Operation<Sweeping> {
        Operation::new(Arc::clone(self), None, Sweeping(State::Fresh(arguments)))
    }
}

/// A `sweep` under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct Sweeping(State);

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    Abandoning(Box<Run>, Place, Box<Transaction<Abandon>>),
    /// With the connection's entry.
    AwaitConnection(Box<Run>, Place, Key),
    AwaitPage(Sweep),
    AwaitRecords(Box<Run>),
    /// With how many records the commit removes.
    AwaitRemoval(Box<Run>, u32),
    Draining(Box<Run>, Place, Key, Box<Drain>),
    Fresh(Sweep),
    Tidying(Box<Run>, Box<Transaction<Tidy>>),
    Unstaging(Box<Run>, Box<Transaction<Unstage>>),
}

/// What is left of a page.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Run {
    tenant: TenantId,
    /// Flows and tickets: the entry, and the record it names.
    one_shots: Vec<(Key, Key)>,
    /// Flows that were claimed and never completed: the entry, the record's key, and where.
    claimed: Vec<(Key, Key, Place)>,
    /// Grants staged in a consent session that has ended: the entry, the record's key, and where.
    staged: Vec<(Key, Key, Place)>,
    /// The entry, and where.
    connections: Vec<(Key, Place)>,
    done: Swept,
}

impl machine::Sealed for Sweeping {}

impl Machine for Sweeping {
    type Output = Swept;

    #[allow(private_interfaces)]
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Swept> {
        match (self.0, answer) {
            (State::Fresh(arguments), Answer::Start) => {
                let prefix = Key::all_expiry(&arguments.tenant);
                let limit = arguments.limit.min(LIMIT_MAX);
                let effect = page::scan(&prefix, arguments.after.as_ref(), limit);
                Progress::Perform(Self(State::AwaitPage(arguments)), effect)
            }
            (State::AwaitPage(arguments), Answer::Scan(Some((entries, more)))) => {
                Self::page(cx, arguments.tenant, entries, more)
            }
            (State::AwaitPage(_), Answer::Scan(None))
            | (State::AwaitRecords(_) | State::AwaitConnection(..), Answer::Read(None)) => {
                Progress::fail(Code::StoreUnavailable)
            }
            (State::AwaitRecords(run), Answer::Read(Some(found))) => Self::records(cx, run, &found),
            (State::AwaitRemoval(mut run, removed), Answer::Commit(reply)) => {
                match reply {
                    CommitReply::Committed => run.done.removed = run.done.removed.saturating_add(removed),
                    // One of the records has changed, or nobody knows: the entries are there for the next sweep, or are gone rightly.
                    CommitReply::Conflict | CommitReply::Unknown => {}
                    CommitReply::Unavailable => return Progress::fail(Code::StoreUnavailable),
                }
                Self::next(cx, run)
            }
            (State::Abandoning(run, place, transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::abandoning(cx, run, place, step)
            }
            (State::AwaitConnection(run, place, entry), Answer::Read(Some(found))) => {
                Self::connection(cx, run, place, entry, &found)
            }
            (State::Draining(run, place, entry, drain), answer) => {
                let step = drain.step(cx, answer);
                Self::draining(cx, run, place, entry, step)
            }
            (State::Unstaging(run, transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::unstaging(cx, run, step)
            }
            (State::Tidying(run, transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::tidying(cx, run, step)
            }
            _ => Progress::fail(Code::Internal),
        }
    }
}

impl Sweeping {
    fn page(
        cx: &mut Context<'_>,
        tenant: TenantId,
        entries: Vec<(Key, Versioned)>,
        more: bool,
    ) -> Progress<Self, Swept> {
        let ripe = entries.iter().take_while(|(entry, _)| is_ripe(cx, entry)).count();
        let next = page::next(&Key::all_expiry(&tenant), &entries, more && ripe == entries.len());
        let done = Swept { next, ..Swept::default() };
        let mut run = Run {
            tenant,
            one_shots: Vec::new(),
            claimed: Vec::new(),
            staged: Vec::new(),
            connections: Vec::new(),
            done,
        };
        for (entry, _) in entries.into_iter().take(ripe) {
            // One that names nothing stands for itself, and goes.
            let target = entry.expiry_target().unwrap_or_else(|| entry.clone());
            match target.connection_target() {
                Some((owner, connector)) => {
                    run.connections.push((entry, Place { tenant: run.tenant.clone(), owner, connector }));
                }
                None => run.one_shots.push((entry, target)),
            }
        }
        if run.one_shots.is_empty() {
            return Self::next(cx, Box::new(run));
        }
        let keys = run.one_shots.iter().map(|(_, target)| target.clone()).collect();
        Progress::Perform(Self(State::AwaitRecords(Box::new(run))), Effect::Read { keys })
    }

    /// Flows and tickets: those that have ended go, with their entries, in one commit.
    fn records(
        cx: &mut Context<'_>,
        mut run: Box<Run>,
        found: &[Option<Versioned>],
    ) -> Progress<Self, Swept> {
        let (mut writes, mut removed) = (Vec::new(), 0u32);
        for ((entry, target), raw) in std::mem::take(&mut run.one_shots).into_iter().zip(found) {
            match Ended::of(cx, &entry, &target, raw.as_ref()) {
                Ended::Claimed(flow) => {
                    let place = flow.place(&run.tenant);
                    run.claimed.push((entry, target, place));
                    continue;
                }
                Ended::Gone if writes.len() >= WRITES_MAX => continue,
                Ended::Gone => {}
                Ended::Staged(place) => {
                    run.staged.push((entry, target, place));
                    continue;
                }
                // The rest is there for the next sweep.
                Ended::Now(ends) if writes.len().saturating_add(ends.len()) >= WRITES_MAX => continue,
                Ended::Now(mut ends) => {
                    ends.retain(|write| write.key != entry);
                    writes.append(&mut ends);
                    removed = removed.saturating_add(1);
                }
                Ended::Unknown => continue,
            }
            writes.push(delete(entry, Precondition::Any));
        }
        if writes.is_empty() {
            return Self::next(cx, run);
        }
        Progress::Perform(Self(State::AwaitRemoval(run, removed)), Effect::Commit { writes })
    }

    /// The next claimed flow; then the next connection; then the end.
    fn next(cx: &mut Context<'_>, mut run: Box<Run>) -> Progress<Self, Swept> {
        if let Some((entry, key, place)) = run.claimed.pop() {
            let step = Transaction::begin(cx, Abandon { entry, key, place: place.clone() });
            return Self::abandoning(cx, run, place, step);
        }
        if let Some((entry, key, place)) = run.staged.pop() {
            let step = Transaction::begin(cx, Unstage { entry, key, place });
            return Self::unstaging(cx, run, step);
        }
        let Some((entry, place)) = run.connections.pop() else { return Progress::done(run.done) };
        let keys = vec![place.key(), Key::connector(&place.tenant, &place.connector)];
        Progress::Perform(Self(State::AwaitConnection(run, place, entry)), Effect::Read { keys })
    }

    fn abandoning(
        cx: &mut Context<'_>,
        mut run: Box<Run>,
        place: Place,
        step: Progress<Transaction<Abandon>, Abandoned>,
    ) -> Progress<Self, Swept> {
        match step {
            Progress::Perform(transaction, effect) => {
                let state = State::Abandoning(run, place, Box::new(transaction));
                return Progress::Perform(Self(state), effect);
            }
            Progress::Done(Err(failure)) => return Progress::fail(failure),
            Progress::Done(Ok(abandoned)) => {
                run.done.removed = run.done.removed.saturating_add(1);
                if abandoned == Abandoned::Doubtful {
                    run.done.abandoned = run.done.abandoned.saturating_add(1);
                    cx.emit_about(&place, What::FlowFailed { slug: Code::OutcomeUnknown.slug().to_owned() });
                }
            }
        }
        Self::next(cx, run)
    }

    fn unstaging(
        cx: &mut Context<'_>,
        mut run: Box<Run>,
        step: Progress<Transaction<Unstage>, ()>,
    ) -> Progress<Self, Swept> {
        match step {
            Progress::Perform(transaction, effect) => {
                Progress::Perform(Self(State::Unstaging(run, Box::new(transaction))), effect)
            }
            // A keyring that lacks a key may be mended; the others need not wait for that.
            Progress::Done(Err(failure)) if failure.code() == Code::StoreIntegrity => {
                run.done.postponed = run.done.postponed.saturating_add(1);
                Self::next(cx, run)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(())) => {
                run.done.removed = run.done.removed.saturating_add(1);
                Self::next(cx, run)
            }
        }
    }

    fn connection(
        cx: &mut Context<'_>,
        run: Box<Run>,
        place: Place,
        entry: Key,
        found: &[Option<Versioned>],
    ) -> Progress<Self, Swept> {
        let [connection, connector] = found else { return Progress::fail(Code::Internal) };
        match cx.open::<Connection>(&place.key(), connection.as_ref()) {
            Ok(Some(stored)) if !stored.record.outbox.is_empty() => {
                let key = Key::connector(&place.tenant, &place.connector);
                let connector = cx.open::<ConnectorRecord>(&key, connector.as_ref()).ok().flatten();
                let secret = connector.and_then(|stored| stored.record.static_secret());
                let step = Drain::begin(cx, place.clone(), &stored.record.outbox, secret.as_ref());
                Self::draining(cx, run, place, entry, step)
            }
            Ok(_) | Err(_) => Self::tidy(cx, run, place, entry),
        }
    }

    /// Whatever became of the tokens, the record says it.
    fn draining(
        cx: &mut Context<'_>,
        run: Box<Run>,
        place: Place,
        entry: Key,
        step: Progress<Drain, Drained>,
    ) -> Progress<Self, Swept> {
        match step {
            Progress::Perform(drain, effect) => {
                Progress::Perform(Self(State::Draining(run, place, entry, Box::new(drain))), effect)
            }
            Progress::Done(Ok(Drained::AllGone | Drained::SomeLeft)) => Self::tidy(cx, run, place, entry),
            Progress::Done(Err(failure)) => Progress::fail(failure),
        }
    }

    fn tidy(cx: &mut Context<'_>, run: Box<Run>, place: Place, entry: Key) -> Progress<Self, Swept> {
        let step = Transaction::begin(cx, Tidy { place, entry });
        Self::tidying(cx, run, step)
    }

    fn tidying(
        cx: &mut Context<'_>,
        mut run: Box<Run>,
        step: Progress<Transaction<Tidy>, Tidied>,
    ) -> Progress<Self, Swept> {
        let count = match step {
            Progress::Perform(transaction, effect) => {
                return Progress::Perform(Self(State::Tidying(run, Box::new(transaction))), effect);
            }
            Progress::Done(Err(failure)) => return Progress::fail(failure),
            Progress::Done(Ok(Tidied::Empty)) => &mut run.done.drained,
            Progress::Done(Ok(Tidied::Postponed)) => &mut run.done.postponed,
            Progress::Done(Ok(Tidied::Removed)) => &mut run.done.removed,
        };
        *count = count.saturating_add(1);
        Self::next(cx, run)
    }
}

/// Whether every moment of the entry's minute has passed, by any clock that differs no more than clocks may.
fn is_ripe(cx: &Context<'_>, entry: &Key) -> bool {
    let end = entry.minute().map(|minute| UnixMillis(minute.saturating_add(1).saturating_mul(60_000)));
    end.is_none_or(|end| end.plus(cx.engine.limits().clock_skew_ms) <= cx.now())
}

/// When a record ends; `None`: it does not open, and is of no use to anybody.
fn end<T: Record>(
    cx: &Context<'_>,
    key: &Key,
    raw: &Versioned,
    at: impl FnOnce(&T) -> UnixMillis,
) -> Option<UnixMillis> {
    cx.open::<T>(key, Some(raw)).ok().flatten().map(|stored| at(&stored.record))
}

/// What has become of a one-shot record.
enum Ended {
    /// A flow whose code was sent, or was about to be.
    Claimed(Box<Flow>),
    /// There is no such record, or it ends later and has another entry.
    Gone,
    Now(Vec<Write>),
    /// A grant that nobody has approved, for this place.
    Staged(Place),
    /// It is of a kind that this release does not sweep.
    Unknown,
}

impl Ended {
    /// The tokens of a sign-in, and where they are listed. `None`: it does not open.
    fn family(cx: &Context<'_>, target: &Key, raw: &Versioned) -> Option<Self> {
        let tenant = TenantId::new(str::from_utf8(target.tenant()?).ok()?).ok()?;
        let id = FamilyId(target.family_id()?);
        let stored = cx.open::<FamilyRecord>(target, Some(raw)).ok()??;
        // A dead one stays for a while, so that whoever comes with its tokens hears so; then its entry is ripe.
        let lives_on = stored.record.revoked.is_none() && cx.now() < stored.record.ends_at();
        Some(if lives_on { Self::Gone } else { Self::Now(family::remove(&tenant, id, &stored)) })
    }

    fn of(cx: &Context<'_>, entry: &Key, target: &Key, raw: Option<&Versioned>) -> Self {
        let Some(raw) = raw.filter(|_| !target.is(Kind::Expiry)) else { return Self::Gone };
        let now = Self::Now(vec![delete(target.clone(), Precondition::Version(raw.version))]);
        if target.is(Kind::Flow) {
            // One that does not open has ended too: nobody can complete it.
            return match cx.open::<Flow>(target, Some(raw)) {
                Ok(Some(stored)) if matches!(stored.record.status, FlowStatus::Claimed(_)) => {
                    Self::Claimed(Box::new(stored.record))
                }
                _ => now,
            };
        }
        if target.is(Kind::TicketOf) {
            // The same key may by now hold a younger ticket.
            return match cx.open::<TicketOf>(target, Some(raw)) {
                Ok(Some(twin)) if Some(twin.record.expires_at.minute()) != entry.minute() => Self::Gone,
                _ => now,
            };
        }
        if target.is(Kind::Staged) {
            let tenant = target.tenant().and_then(|id| TenantId::new(str::from_utf8(id).ok()?).ok());
            let staged = cx.open::<StagedRecord>(target, Some(raw)).ok().flatten();
            // One that does not open is left to whoever mends the keyring: its tokens are to be revoked.
            let place = tenant.zip(staged).and_then(|(tenant, staged)| {
                let connector = target.staged_connector()?;
                Some(Place { tenant, owner: staged.record.owner, connector })
            });
            return place.map_or(Self::Unknown, Self::Staged);
        }
        if target.is(Kind::Ticket) || target.is(Kind::Consent) {
            return now;
        }
        if target.is(Kind::Family) {
            return Self::family(cx, target, raw).unwrap_or(now);
        }
        // The same keys may by now hold what ends later, and has another entry.
        let ends_at = match () {
            () if target.is(Kind::Code) => {
                end::<CodeRecord>(cx, target, raw, |it| it.kept_until(cx.engine.limits()))
            }
            () if target.is(Kind::Slot) => end::<SlotRecord>(cx, target, raw, |it| it.expires_at),
            () if target.is(Kind::Attempts) => {
                let wrong_keys = cx.engine.limits().wrong_keys_ms;
                end::<AttemptsRecord>(cx, target, raw, |it| it.since.plus(wrong_keys))
            }
            () if target.is(Kind::Session) => end::<SessionRecord>(cx, target, raw, |it| it.expires_at),
            () if target.is(Kind::Client) => {
                end::<ClientRecord>(cx, target, raw, |it| it.ends_at(cx.engine.limits()))
            }
            () => return Self::Unknown,
        };
        if ends_at.is_some_and(|at| cx.now() < at) { Self::Gone } else { now }
    }
}

#[cfg(test)]
mod tests;
