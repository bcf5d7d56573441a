//! `open_ticket`: what a connect link stands for, so that a page can say it before anything begins. Nothing is consumed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ticket::ticket_key;
use super::{Decide, Decision, Transaction};
use crate::engine::Engine;
use crate::error::{Code, Failure};
use crate::moment::UnixMillis;
use crate::operation::{Answer, Context, Machine, Operation, OperationId, Progress, Versioned, machine};
use crate::principal::{Caller, ConnectorId, Principal};
use crate::protocol::scopes::Scopes;
use crate::store::records::Ticket;
pub use crate::store::records::TicketReason;
use crate::store::{Key, Stored, delete};

/// Asks what a connect link stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenTicket {
    /// Who is signed in where the link was opened.
    pub caller: Caller,
    /// The reference in the link.
    pub ticket: String,
}

/// What a connect link stands for. Opening it again says the same, until somebody connects with it or it ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct OpenedTicket {
    /// The upstream to be connected.
    pub connector: ConnectorId,
    /// For whom.
    pub owner: Principal,
    /// Why.
    pub reason: TicketReason,
    /// The scopes that will be asked for, as far as they are known.
    pub scopes: Scopes,
    /// When the link ends.
    pub expires_at: UnixMillis,
}

impl Engine {
    /// What a connect link stands for. It consumes and sets nothing: link previews open links too.
    ///
    /// The outcome is `user.ticket_unknown` for a link that is not there, has ended, or is somebody else's.
    pub fn open_ticket(self: &Arc<Self>, arguments: OpenTicket) -> Operation<OpeningTicket> {
        let actor = Some(arguments.caller.principal.clone());
        Operation::new(Arc::clone(self), actor, OpeningTicket(State::Fresh(Box::new(arguments))))
    }
}

/// An `open_ticket` under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct OpeningTicket(State);

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    Fresh(Box<OpenTicket>),
    Looking(Box<Transaction<Look>>),
}

impl OpeningTicket {
    /// The same as a part of another machine.
    pub(crate) fn within(arguments: OpenTicket) -> Self {
        Self(State::Fresh(Box::new(arguments)))
    }
}

impl machine::Sealed for OpeningTicket {}

impl Machine for OpeningTicket {
    type Output = OpenedTicket;

    #[allow(private_interfaces)]
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, OpenedTicket> {
        let step = match (self.0, answer) {
            (State::Fresh(arguments), Answer::Start) => {
                let look = Look { caller: arguments.caller, ticket: arguments.ticket };
                Transaction::begin(cx, look)
            }
            (State::Looking(transaction), answer) => transaction.step(cx, answer),
            _ => return Progress::fail(Code::Internal),
        };
        step.embed(
            |transaction| Self(State::Looking(Box::new(transaction))),
            |result| match result {
                Ok(Some(ticket)) => Progress::done(opened(*ticket)),
                Ok(None) => Progress::fail(Code::TicketUnknown),
                Err(failure) => Progress::fail(failure),
            },
        )
    }
}

fn opened(ticket: Ticket) -> OpenedTicket {
    OpenedTicket {
        connector: ticket.connector,
        owner: ticket.owner,
        reason: ticket.reason,
        scopes: ticket.scopes.unwrap_or_default(),
        expires_at: ticket.expires_at,
    }
}

/// A look at a ticket. One that has ended is removed before that is said, so that a clock set back cannot revive it; then
/// there is nothing to be seen.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Look {
    pub(crate) caller: Caller,
    pub(crate) ticket: String,
}

/// The ticket, if the caller is the one it was made for.
///
/// # Errors
/// `user.ticket_unknown`: there is none, or it is another's, which is not told apart (atk:TEN-05).
pub(crate) fn own_ticket(
    cx: &Context<'_>,
    key: &Key,
    caller: &Caller,
    found: Option<&Versioned>,
) -> Result<Stored<Ticket>, Failure> {
    let stored = cx.open::<Ticket>(key, found)?.ok_or(Code::TicketUnknown)?;
    //= spec/mcp-2026-07-28.md#elic-phishing
    //# Whoever opens the URL of an elicitation MUST be the one who caused it, whatever is done to the URL
    //# (CON-17, B).
    // atk:CSR-04
    if stored.record.principal != caller.principal {
        return Err(Code::TicketUnknown.into());
    }
    Ok(stored)
}

/// Whether a ticket is good at this time.
pub(crate) fn is_good(cx: &Context<'_>, ticket: &Ticket) -> bool {
    let now = cx.now();
    ticket.created_at <= now.plus(cx.engine.limits().clock_skew_ms) && now < ticket.expires_at
}

impl Decide for Look {
    type Output = Option<Box<Ticket>>;

    fn keys(&self) -> Vec<Key> {
        vec![ticket_key(&self.caller.tenant, &self.ticket)]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        _: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Self::Output> {
        let key = ticket_key(&self.caller.tenant, &self.ticket);
        let stored = match own_ticket(cx, &key, &self.caller, found.first().and_then(Option::as_ref)) {
            Ok(stored) => stored,
            Err(failure) => return Decision::fail(failure),
        };
        if is_good(cx, &stored.record) {
            return Decision::done(Some(Box::new(stored.record)));
        }
        // Should nobody know whether the removal was written, the ticket is looked for again: gone is gone.
        Decision::Commit(vec![delete(key, stored.unchanged())], None)
    }
}
