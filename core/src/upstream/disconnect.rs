//! `disconnect`: makes a connection unusable by one commit, then revokes its tokens upstream, then forgets them.
//!
//! ```text
//! Fresh    + start     -> Emptying  [Read]
//! Emptying + emptied   -> Draining  [Http]     only now, when no resolution can give the token any more
//! Draining + drained   -> done
//! ```

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::drain::{Drain, Drained};
use super::place::{Place, StaticSecret};
use super::refresh::save::schedule;
use super::{Decide, Decision, Transaction};
use crate::engine::Engine;
use crate::error::{Code, Failure};
use crate::event::What;
use crate::operation::{Answer, Context, Machine, Operation, OperationId, Progress, Versioned, machine};
use crate::policy;
use crate::principal::{Caller, ConnectorId, Principal};
use crate::protocol::scopes::Scopes;
use crate::store::Key;
use crate::store::records::{Connection, ConnectorRecord, Parked};

/// Asks for a connection to be emptied.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "model", derive(Hash))]
#[serde(deny_unknown_fields)]
pub struct Disconnect {
    /// Who asks.
    pub caller: Caller,
    /// Of which upstream.
    pub connector: ConnectorId,
    /// Whose connection. Default: the caller's own.
    #[serde(default)]
    pub owner: Option<Principal>,
}

/// The connection is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "model", derive(Hash))]
pub struct Disconnected {
    /// Whether there was a grant.
    pub was_connected: bool,
    /// What became of its tokens upstream.
    pub revocation: Revocation,
    /// A token that nobody here has seen may live on upstream: an answer was under way. Only the person can end it there.
    pub doubt: bool,
}

/// What became of tokens upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Revocation {
    /// All of them are revoked.
    Complete,
    /// The issuer offers no revocation: they live until they end by themselves.
    NotOffered,
    /// There were none.
    Nothing,
    /// The issuer could not be asked or did not agree; `sweep` tries again.
    Pending,
}

impl Engine {
    /// Empties a connection and revokes its tokens. Idempotent. Whoever manages the owner's connections may, and administrators.
    pub fn disconnect(self: &Arc<Self>, arguments: Disconnect) -> Operation<Disconnecting> {
        let actor = Some(arguments.caller.principal.clone());
        Operation::new(Arc::clone(self), actor, Disconnecting(State::Fresh(Box::new(arguments))))
    }
}

/// A `disconnect` under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct Disconnecting(State);

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    Draining(Box<Drain>, Disconnected),
    Emptying(Place, Box<Transaction<Empty>>),
    Fresh(Box<Disconnect>),
}

impl Disconnecting {
    /// The same as a part of another machine.
    pub(crate) fn within(arguments: Disconnect) -> Self {
        Self(State::Fresh(Box::new(arguments)))
    }
}

impl machine::Sealed for Disconnecting {}

impl Machine for Disconnecting {
    type Output = Disconnected;

    #[allow(private_interfaces)]
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Disconnected> {
        match (self.0, answer) {
            (State::Fresh(arguments), Answer::Start) => {
                let Disconnect { caller, connector, owner } = *arguments;
                let owner = owner.unwrap_or_else(|| caller.principal.clone());
                if !policy::may_withdraw(&caller, &owner) {
                    return Progress::fail(Code::NotAllowed);
                }
                let place = Place { tenant: caller.tenant, owner, connector };
                let step = Transaction::begin(cx, Empty { place: place.clone(), wanted: None });
                Self::emptying(cx, place, step)
            }
            (State::Emptying(place, transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::emptying(cx, place, step)
            }
            (State::Draining(drain, outcome), answer) => Self::draining(outcome, drain.step(cx, answer)),
            _ => Progress::fail(Code::Internal),
        }
    }
}

impl Disconnecting {
    fn emptying(
        cx: &mut Context<'_>,
        place: Place,
        step: Progress<Transaction<Empty>, Option<Emptied>>,
    ) -> Progress<Self, Disconnected> {
        match step {
            Progress::Perform(transaction, effect) => {
                Progress::Perform(Self(State::Emptying(place, Box::new(transaction))), effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(None)) => Progress::done(Disconnected {
                was_connected: false,
                revocation: Revocation::Nothing,
                doubt: false,
            }),
            Progress::Done(Ok(Some(emptied))) => {
                let Emptied { found, outbox, doubt, static_secret } = emptied;
                let was_connected = found != Before::Empty;
                cx.emit_about(&place, What::Disconnected { doubt });
                let revocation = match (found, outbox.is_empty()) {
                    (_, false) => Revocation::Pending,
                    // Another operation has been through the outbox since.
                    (Before::Revocable, true) => Revocation::Complete,
                    (Before::Connected, true) => Revocation::NotOffered,
                    (Before::Empty, true) => Revocation::Nothing,
                };
                let outcome = Disconnected { was_connected, revocation, doubt };
                let step = Drain::begin(cx, place, &outbox, static_secret.as_ref());
                Self::draining(outcome, step)
            }
        }
    }

    fn draining(mut outcome: Disconnected, step: Progress<Drain, Drained>) -> Progress<Self, Disconnected> {
        match step {
            Progress::Perform(drain, effect) => {
                Progress::Perform(Self(State::Draining(Box::new(drain), outcome)), effect)
            }
            Progress::Done(drained) => {
                if outcome.revocation == Revocation::Pending && matches!(drained, Ok(Drained::AllGone)) {
                    outcome.revocation = Revocation::Complete;
                }
                Progress::done(outcome)
            }
        }
    }
}

/// Raises the epoch, takes the grant away and parks its tokens. The record stays, as a tombstone: without it a late answer
/// could take an absent record for one that was never there (P19).
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Empty {
    place: Place,
    /// The epoch that the first try was to bring about, and what it found. A later try that finds it reached, by a commit
    /// of its own whose fate was unknown or by another's disconnect, must not take away what was connected since.
    wanted: Option<(u64, Before)>,
}

/// What there was to take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Before {
    Connected,
    Empty,
    /// A grant of an issuer that offers revocation.
    Revocable,
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Emptied {
    found: Before,
    outbox: Vec<Parked>,
    doubt: bool,
    static_secret: Option<StaticSecret>,
}

impl Decide for Empty {
    /// `None`: there was never a connection.
    type Output = Option<Emptied>;

    fn keys(&self) -> Vec<Key> {
        vec![self.place.key(), Key::connector(&self.place.tenant, &self.place.connector)]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Option<Emptied>> {
        let [connection, connector] = found else { return Decision::fail(Code::Internal) };
        let key = self.place.key();
        let stored = match cx.open::<Connection>(&key, connection.as_ref()) {
            Ok(Some(stored)) => stored,
            Ok(None) => return Self::never_connected(cx, &self.place, connector.as_ref()),
            Err(failure) => return Decision::fail(failure),
        };
        let precondition = stored.unchanged();
        let mut connection = stored.record;
        let connector_key = Key::connector(&self.place.tenant, &self.place.connector);
        let connector = cx.open::<ConnectorRecord>(&connector_key, connector.as_ref()).ok().flatten();
        let static_secret = connector.and_then(|stored| stored.record.static_secret());
        let emptied = |found, connection: &Connection| Emptied {
            found,
            outbox: connection.outbox.clone(),
            doubt: connection.doubt,
            static_secret,
        };
        let before = match &connection.grant {
            None => Before::Empty,
            Some(grant) if grant.terms.revocation_endpoint.is_none() => Before::Connected,
            Some(_) => Before::Revocable,
        };
        let next = (connection.epoch.saturating_add(1), before);
        let (epoch, found) = *self.wanted.get_or_insert(next);
        if connection.epoch >= epoch {
            return Decision::done(Some(emptied(found, &connection)));
        }
        connection.empty();
        let index = schedule(cx, &self.place, &mut connection);
        let emptied = emptied(found, &connection);
        let write = cx.put(&key, precondition, &connection, id, None);
        Decision::Commit(std::iter::once(write).chain(index).collect(), Some(emptied))
    }
}

impl Empty {
    fn never_connected(
        cx: &Context<'_>,
        place: &Place,
        connector: Option<&Versioned>,
    ) -> Decision<Option<Emptied>> {
        match cx.open::<ConnectorRecord>(&Key::connector(&place.tenant, &place.connector), connector) {
            Ok(Some(_)) => Decision::done(None),
            Ok(None) => Decision::fail(Failure::new(Code::ConnectorUnknown)),
            Err(failure) => Decision::fail(failure),
        }
    }
}

impl Connection {
    /// Takes everything away that a consent has brought, and supersedes every flow under way.
    pub(crate) fn empty(&mut self) {
        self.epoch = self.epoch.saturating_add(1);
        self.retire_grant();
        self.doubt |= self.redeeming;
        self.redeeming = false;
        self.newest_flow = None;
        self.account = None;
        self.connected_by = None;
        self.connected_at = None;
        self.step_ups.clear();
        self.requested = Scopes::default();
        self.last_failure = None;
    }
}
