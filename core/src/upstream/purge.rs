//! `purge`: takes away all that belongs to an owner, a connector or a tenant, one page per call.
//!
//! Tokens are parked, and revoked by the sweep. A purged connection is emptied and stays as a tombstone for an hour, longer than any
//! operation lasts, so that a late answer finds the moved epoch; then the sweep removes it. Flows are not looked for:
//! the moved epoch supersedes them.
//!
//! ```text
//! Fresh        + start      -> AwaitPage     [Scan]
//! AwaitPage    + records    -> AwaitRemoval  [Commit]     those that hold no grant
//! AwaitPage    + places     -> Emptying      [Read]
//! Emptying     + emptied    -> Emptying      [Read], or done
//! ```

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::page::Cursor;
use super::refresh::save::schedule;
use super::ticket::ticket_key;
use super::{Decide, Decision, Place, Transaction};
use crate::engine::Engine;
use crate::error::Code;
use crate::event::What;
use crate::operation::{
    Answer, CommitReply, Context, Effect, Machine, Operation, OperationId, Precondition, Progress, Versioned,
    Write, machine,
};
use crate::policy::has_role;
use crate::principal::{Caller, ConnectorId, Principal, Role, TenantId};
use crate::protocol::scopes::Scopes;
use crate::store::records::{Connection, Flow, FlowStatus, TicketOf};
use crate::store::{Key, Kind, delete};

/// Takes away all that belongs to somebody or something. For administrators.
///
/// Before it, see to it that nothing new is made: disable the user, delete the connector.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purge {
    /// Who asks.
    pub caller: Caller,
    /// Whose records.
    pub what: Purgeable,
    /// `next` of the call before. `None`: from the beginning.
    #[serde(default)]
    pub after: Option<Cursor>,
}

/// Whose records are purged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purgeable {
    /// All connections to this upstream. The connector itself stays, if it is still there.
    Connector(ConnectorId),
    /// The connections, secrets, connect links, approvals and sign-ins of this principal.
    Owner(Principal),
    /// Everything of the caller's tenant, connectors first.
    Tenant,
}

/// What one call of `purge` has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Purged {
    /// Connections emptied.
    pub connections: u32,
    /// Of these, those of which a token may live on upstream that nobody here can revoke.
    pub doubtful: u32,
    /// Other records removed.
    pub records: u32,
    /// Where the next call goes on; `None`: all is done, but for what the sweep has to revoke.
    pub next: Option<Cursor>,
}

/// LIMIT: entries in one call. Each may take two writes of a commit of a hundred, or a transaction of its own.
const ENTRIES_PER_CALL: u32 = 25;

impl Engine {
    /// Takes away one page of what belongs to an owner, a connector or a tenant.
    ///
    /// Failures: `user.not_allowed`, those of the store.
    pub fn purge(self: &Arc<Self>, arguments: Purge) -> Operation<Purging> {
        let actor = Some(arguments.caller.principal.clone());
        Operation::new(Arc::clone(self), actor, Purging(State::Fresh(Box::new(arguments))))
    }
}

/// A `purge` under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct Purging(State);

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    /// With the prefix that is scanned.
    AwaitPage(Box<Run>, Key),
    /// With how many records the commit removes.
    AwaitRemoval(Box<Run>, u32),
    Emptying(Box<Run>, Place, Box<Transaction<Empty>>),
    Fresh(Box<Purge>),
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Run {
    tenant: TenantId,
    what: Purgeable,
    /// Connections of this page that are still to be emptied.
    places: Vec<Place>,
    done: Purged,
}

impl machine::Sealed for Purging {}

impl Machine for Purging {
    type Output = Purged;

    #[allow(private_interfaces)]
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Purged> {
        match (self.0, answer) {
            (State::Fresh(arguments), Answer::Start) => Self::begin(*arguments),
            (State::AwaitPage(run, prefix), Answer::Scan(Some((entries, more)))) => {
                Self::page(cx, run, &prefix, &entries, more)
            }
            (State::AwaitPage(..), Answer::Scan(None)) => Progress::fail(Code::StoreUnavailable),
            (State::AwaitRemoval(mut run, removed), Answer::Commit(CommitReply::Committed)) => {
                run.done.records = run.done.records.saturating_add(removed);
                Self::next(cx, run)
            }
            // None of the writes asks for anything, so there is no conflict.
            (State::AwaitRemoval(..), Answer::Commit(CommitReply::Conflict)) => {
                Progress::fail(Code::StoreContention)
            }
            (State::AwaitRemoval(..), Answer::Commit(CommitReply::Unavailable)) => {
                Progress::fail(Code::StoreUnavailable)
            }
            (State::AwaitRemoval(..), Answer::Commit(CommitReply::Unknown)) => {
                Progress::fail(Code::StoreUnknown)
            }
            (State::Emptying(run, place, transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::emptying(cx, run, place, step)
            }
            _ => Progress::fail(Code::Internal),
        }
    }
}

impl Purging {
    fn begin(arguments: Purge) -> Progress<Self, Purged> {
        let Purge { caller, what, after } = arguments;
        if !has_role(&caller, Role::Admin) {
            return Progress::fail(Code::NotAllowed);
        }
        let tenant = caller.tenant;
        let prefixes = what.prefixes(&tenant);
        // A cursor that fits none of the prefixes begins anew: everything here may be done twice.
        let after = after
            .and_then(|cursor| cursor.under(&Key::of_tenant(&tenant)))
            .and_then(|key| Some((prefixes.iter().find(|prefix| key.starts_with(prefix))?.clone(), key)));
        let (prefix, after) = match (after, prefixes.into_iter().next()) {
            (Some((prefix, key)), _) => (prefix, Some(key)),
            (None, Some(first)) => (first, None),
            (None, None) => return Progress::fail(Code::Internal),
        };
        let run = Run { tenant, what, places: Vec::new(), done: Purged::default() };
        let effect = Effect::Scan { prefix: prefix.clone(), after, limit: ENTRIES_PER_CALL };
        Progress::Perform(Self(State::AwaitPage(Box::new(run), prefix)), effect)
    }

    fn page(
        cx: &mut Context<'_>,
        mut run: Box<Run>,
        prefix: &Key,
        entries: &[(Key, Versioned)],
        more: bool,
    ) -> Progress<Self, Purged> {
        let last = if more {
            entries.last().map(|(key, _)| key.clone())
        } else {
            run.what.follows(&run.tenant, prefix)
        };
        run.done.next = last.map(|key| Cursor::after(&Key::of_tenant(&run.tenant), &key));
        let mut writes = Vec::new();
        for (key, raw) in entries {
            match run.place(key) {
                Some(place) => run.places.push(place),
                None => writes.extend(removal(cx, &run.tenant, key, raw)),
            }
        }
        if writes.is_empty() {
            return Self::next(cx, run);
        }
        let removed = u32::try_from(writes.len()).unwrap_or(u32::MAX);
        Progress::Perform(Self(State::AwaitRemoval(run, removed)), Effect::Commit { writes })
    }

    /// The next connection of the page.
    fn next(cx: &mut Context<'_>, mut run: Box<Run>) -> Progress<Self, Purged> {
        let Some(place) = run.places.pop() else { return Self::end(cx, *run) };
        let step = Transaction::begin(cx, Empty { place: place.clone() });
        Self::emptying(cx, run, place, step)
    }

    fn emptying(
        cx: &mut Context<'_>,
        mut run: Box<Run>,
        place: Place,
        step: Progress<Transaction<Empty>, Emptied>,
    ) -> Progress<Self, Purged> {
        match step {
            Progress::Perform(transaction, effect) => {
                let state = State::Emptying(run, place, Box::new(transaction));
                return Progress::Perform(Self(state), effect);
            }
            Progress::Done(Err(failure)) => return Progress::fail(failure),
            Progress::Done(Ok(Emptied::Already)) => {}
            Progress::Done(Ok(Emptied::Now { doubt })) => {
                cx.emit_about(&place, What::Disconnected { doubt });
                run.done.connections = run.done.connections.saturating_add(1);
                run.done.doubtful = run.done.doubtful.saturating_add(doubt.into());
            }
        }
        Self::next(cx, run)
    }

    fn end(cx: &mut Context<'_>, run: Run) -> Progress<Self, Purged> {
        let Run { tenant, what, done, .. } = run;
        let records = u64::from(done.connections).saturating_add(done.records.into());
        if records > 0 {
            let (owner, connector) = match &what {
                Purgeable::Connector(connector) => (None, Some(connector)),
                Purgeable::Owner(owner) => (Some(owner), None),
                Purgeable::Tenant => (None, None),
            };
            cx.emit(&tenant, owner, connector, What::Purged { records });
        }
        Progress::done(done)
    }
}

impl Purgeable {
    /// What is gone through, in this order. Index entries of what is removed are left to the sweep.
    fn prefixes(&self, tenant: &TenantId) -> Vec<Key> {
        match self {
            Self::Connector(connector) => vec![Key::all_by_connector(tenant, connector)],
            Self::Owner(owner) => vec![
                Key::connections_of(tenant, owner),
                Key::secrets_of(tenant, owner),
                Key::tickets_of(tenant, owner),
                Key::approvals_of(tenant, owner),
                Key::all_by_principal(tenant, owner),
            ],
            Self::Tenant => [
                Kind::Connector,
                Kind::Connection,
                Kind::Secret,
                Kind::TicketOf,
                Kind::Ticket,
                Kind::Flow,
                Kind::Registration,
                Kind::Metadata,
                Kind::Throttle,
                // Not what is staged: its tokens must be revoked, which the sweep does when the consent session has ended.
                Kind::Consent,
                Kind::Approval,
                Kind::Session,
                Kind::Client,
                Kind::Code,
                Kind::Family,
                Kind::Slot,
                Kind::Attempts,
                Kind::Due,
                Kind::ByConnector,
                Kind::ByClient,
                Kind::ByPrincipal,
            ]
            .into_iter()
            .map(|kind| Key::of(tenant, kind))
            .collect(),
        }
    }

    /// The prefix after this one.
    fn follows(&self, tenant: &TenantId, prefix: &Key) -> Option<Key> {
        self.prefixes(tenant).into_iter().skip_while(|have| have != prefix).nth(1)
    }
}

impl Run {
    /// The connection that an entry is, or points to.
    fn place(&self, key: &Key) -> Option<Place> {
        let (owner, connector) = match &self.what {
            Purgeable::Connector(connector) => (key.by_connector_owner()?, connector.clone()),
            Purgeable::Owner(_) | Purgeable::Tenant => key.connection_target()?,
        };
        Some(Place { tenant: self.tenant.clone(), owner, connector })
    }
}

/// The writes that remove a record which holds no grant; one that does not open is removed as well.
fn removal(cx: &Context<'_>, tenant: &TenantId, key: &Key, raw: &Versioned) -> Vec<Write> {
    if key.is(Kind::Flow)
        && let Ok(Some(stored)) = cx.open::<Flow>(key, Some(raw))
        && matches!(stored.record.status, FlowStatus::Claimed(_))
        && cx.now() < stored.record.expires_at.plus(cx.engine.limits().tombstone_ms)
    {
        // Its code may be on the way: what comes back has to find it. The sweep removes it.
        return Vec::new();
    }
    let mut writes = vec![delete(key.clone(), Precondition::Any)];
    if let Some(family) = key.family_target() {
        // Its tokens are dead with it; where its client lists it, it is found to be gone.
        writes.push(delete(Key::family(tenant, &family), Precondition::Any));
    }
    if key.is(Kind::TicketOf)
        && let Ok(Some(twin)) = cx.open::<TicketOf>(key, Some(raw))
    {
        writes.push(delete(ticket_key(tenant, twin.record.ticket.expose()), Precondition::Any));
    }
    writes
}

/// Empties a connection for good.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Empty {
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Emptied {
    /// There was nothing left to take away.
    Already,
    Now {
        doubt: bool,
    },
}

impl Decide for Empty {
    type Output = Emptied;

    fn keys(&self) -> Vec<Key> {
        vec![self.place.key()]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Emptied> {
        let key = self.place.key();
        let unlisted = delete(self.place.by_connector(), Precondition::Any);
        let Some(raw) = found.first().and_then(Option::as_ref) else {
            return Decision::Commit(vec![unlisted], Emptied::Already);
        };
        let Ok(Some(stored)) = cx.open::<Connection>(&key, Some(raw)) else {
            // It does not open, so nobody can revoke what is in it, and nobody can use it either.
            let writes = vec![delete(key, Precondition::Version(raw.version)), unlisted];
            return Decision::Commit(writes, Emptied::Now { doubt: true });
        };
        let precondition = stored.unchanged();
        let mut connection = stored.record;
        if connection.purged_until.is_some() && connection.grant.is_none() {
            return Decision::done(Emptied::Already);
        }
        connection.empty();
        connection.suspended = None;
        connection.wanted = Scopes::default();
        let until = cx.now().plus(cx.engine.limits().tombstone_ms);
        connection.purged_until = Some(until);
        let mut index = schedule(cx, &self.place, &mut connection);
        index.extend([unlisted, self.place.sweep_at(until)]);
        let mut writes = vec![cx.put(&key, precondition, &connection, id, None)];
        for write in index {
            if writes.iter().all(|have| have.key != write.key) {
                writes.push(write);
            }
        }
        Decision::Commit(writes, Emptied::Now { doubt: connection.doubt })
    }
}

#[cfg(test)]
mod tests;
