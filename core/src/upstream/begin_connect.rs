//! `begin_connect`: everything up to the redirect to the issuer. Only the response to the POST that starts a flow may carry
//! its outcome out; a link never does.
//!
//! ```text
//! Fresh          + start          -> AwaitRecords   [Read]
//! AwaitRecords   + another owner  -> AwaitRecords   [Read]    the ticket says whose connection it is for
//! AwaitRecords   + ticket ended   -> DroppingTicket [Read]
//! AwaitRecords   + allowed        -> Discovering    [Read, Http]
//! Discovering    + discovered     -> Registering    [Read, Http], or BeginningFlow
//! Registering    + client         -> BeginningFlow  [Read]
//! BeginningFlow  + committed      -> done
//! DroppingTicket                  -> failure
//! ```

mod begin_flow;
mod bind;
mod plan;
mod scopes;

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use self::begin_flow::BeginFlow;
use self::plan::{Plan, check, own_good_ticket};
use super::Transaction;
use super::discovery::{Discovered, Discovery, Finding};
use super::note::Note;
use super::open_ticket::Look;
use super::place::Place;
use super::registration::Registering;
use super::ticket::ticket_key;
use crate::engine::Engine;
use crate::error::Code;
use crate::event::What;
use crate::moment::UnixMillis;
use crate::operation::{Answer, Context, Effect, Machine, Operation, Progress, Versioned, machine};
use crate::principal::{Caller, ConnectorId, Principal};
use crate::secret::Secret;
use crate::store::Key;
use crate::store::records::{Client, ConsentHash, Ticket};

/// Begins an authorization attempt. Only in answer to a deliberate act of the caller, such as the POST of a form.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "model", derive(Hash))]
#[serde(deny_unknown_fields)]
pub struct BeginConnect {
    /// Who connects.
    pub caller: Caller,
    /// Which upstream.
    pub connector: ConnectorId,
    /// For whom. Default: the owner that the ticket names, else the caller's own principal.
    #[serde(default)]
    pub owner: Option<Principal>,
    /// The raw `Cookie` header of the request.
    #[serde(default)]
    pub cookies: Option<Secret>,
    /// The reference of a challenge's link, which is used up thereby. Default: none.
    #[serde(default)]
    pub because: Option<String>,
    /// Where the callback will arrive. Default: in the browser that gets the redirect.
    #[serde(default)]
    pub binding: FlowBinding,
    /// Where the host's page is to go afterwards: a path of the host's own site, `/settings?tab=2`. Default: nowhere.
    #[serde(default)]
    pub return_to: Option<String>,
    /// Registers our client anew at the issuer, which may have forgotten it without saying so; at most once an hour.
    #[serde(default)]
    pub new_registration: bool,
}

/// What will prove that the callback came to where the flow began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FlowBinding {
    /// The browser that is sent to the issuer, by a cookie.
    #[default]
    Browser,
    /// The person: the caller who began hands the callback URL in.
    Paste {
        /// A loopback URL, at which nobody needs to listen.
        redirect_uri: String,
    },
    /// The process that listens at a loopback URL, by a secret that never leaves it.
    Process {
        /// That URL: `http://127.0.0.1:{port}/callback`.
        redirect_uri: String,
    },
}

impl BeginConnect {
    /// For the caller's own account, in the browser.
    pub fn new(caller: Caller, connector: ConnectorId) -> Self {
        Self {
            caller,
            connector,
            owner: None,
            cookies: None,
            because: None,
            binding: FlowBinding::default(),
            return_to: None,
            new_registration: false,
        }
    }
}

/// Where to send the browser: with 303, `Cache-Control: no-store` and `Referrer-Policy: no-referrer`.
#[derive(PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Clone, Hash))]
pub struct Redirect {
    /// The authorization URL. `https`, or `http` on loopback in development; printable ASCII that no shell reads anything into.
    pub url: String,
    /// The value of a `Set-Cookie` header, if the browser needs one.
    pub cookie: Option<Secret>,
    /// For flows bound to a process: to be kept in it, and handed to `complete_connect`.
    pub process_secret: Option<Secret>,
    /// Names the flow; not secret, and no right.
    pub flow: String,
    /// When the attempt ends.
    pub expires_at: UnixMillis,
    /// The issuer that will be asked.
    pub issuer: String,
    /// Whether a mix-up with another issuer is excluded.
    pub protected: bool,
    /// Whether the grant will be good for the server's whole origin.
    pub parent: bool,
    /// What was tolerated or cannot be defended.
    pub notes: Vec<Note>,
}

impl fmt::Debug for Redirect {
    /// Without the query of the URL, which holds the state.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redirect")
            .field("url", &self.url.split('?').next().unwrap_or_default())
            .field("flow", &self.flow)
            .field("expires_at", &self.expires_at)
            .field("issuer", &self.issuer)
            .field("protected", &self.protected)
            .field("parent", &self.parent)
            .field("notes", &self.notes)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Begins an authorization attempt: discovery and registration as needed, then one commit, then the redirect.
    pub fn begin_connect(self: &Arc<Self>, arguments: BeginConnect) -> Operation<Beginning> {
        let actor = Some(arguments.caller.principal.clone());
        Operation::new(Arc::clone(self), actor, Beginning::within(arguments, None))
    }
}

/// A `begin_connect` under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct Beginning(State);

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    /// For a connection of this owner.
    AwaitRecords(Box<BeginConnect>, Option<ConsentHash>, Principal),
    BeginningFlow(Box<Redirect>, Place, Box<Transaction<BeginFlow>>),
    Discovering(Box<Plan>, Box<Discovery>),
    DroppingTicket(Box<Transaction<Look>>),
    Fresh(Box<BeginConnect>, Option<ConsentHash>),
    Registering(Box<Plan>, Box<Discovered>, Box<Registering>),
}

impl Beginning {
    /// The same as a part of another machine, perhaps within a consent session, where what is obtained is staged.
    pub(crate) fn within(arguments: BeginConnect, consent: Option<ConsentHash>) -> Self {
        Self(State::Fresh(Box::new(arguments), consent))
    }
}

impl machine::Sealed for Beginning {}

impl Machine for Beginning {
    type Output = Redirect;

    #[allow(private_interfaces)]
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Redirect> {
        match (self.0, answer) {
            (State::Fresh(arguments, consent), Answer::Start) => match check(cx.engine, &arguments) {
                Ok(()) => {
                    let owner = arguments.owner.clone().unwrap_or_else(|| arguments.caller.principal.clone());
                    Self::read(arguments, consent, owner)
                }
                Err(failure) => Progress::fail(failure),
            },
            (State::AwaitRecords(arguments, consent, owner), Answer::Read(Some(found))) => {
                Self::look(cx, arguments, consent, owner, &found)
            }
            (State::AwaitRecords(..), Answer::Read(None)) => Progress::fail(Code::StoreUnavailable),
            (State::DroppingTicket(transaction), answer) => Self::dropping(transaction.step(cx, answer)),
            (State::Discovering(plan, discovery), answer) => {
                let step = discovery.step(cx, answer);
                Self::discovering(cx, plan, step)
            }
            (State::Registering(plan, discovered, registering), answer) => {
                let step = registering.step(cx, answer);
                Self::registering(cx, plan, discovered, step)
            }
            (State::BeginningFlow(redirect, place, transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::beginning_flow(cx, redirect, place, step)
            }
            _ => Progress::fail(Code::Internal),
        }
    }
}

impl Beginning {
    fn read(
        arguments: Box<BeginConnect>,
        consent: Option<ConsentHash>,
        owner: Principal,
    ) -> Progress<Self, Redirect> {
        let BeginConnect { caller, connector, because, .. } = &*arguments;
        let mut keys = vec![
            Key::connector(&caller.tenant, connector),
            Key::connection(&caller.tenant, &owner, connector),
        ];
        keys.extend(because.as_ref().map(|ticket| ticket_key(&caller.tenant, ticket)));
        Progress::Perform(Self(State::AwaitRecords(arguments, consent, owner)), Effect::Read { keys })
    }

    fn look(
        cx: &mut Context<'_>,
        arguments: Box<BeginConnect>,
        consent: Option<ConsentHash>,
        owner: Principal,
        found: &[Option<Versioned>],
    ) -> Progress<Self, Redirect> {
        let ticket = match own_good_ticket(cx, &arguments, found) {
            Ok(Ok(ticket)) => ticket,
            Ok(Err(look)) => return Self::dropping(Transaction::begin(cx, look)),
            Err(failure) => return Progress::fail(failure),
        };
        if let Some(meant) = ticket.as_ref().map(|ticket| &ticket.owner).filter(|meant| **meant != owner) {
            // A ticket for one owner is none for another.
            return if arguments.owner.is_none() {
                let meant = meant.clone();
                Self::read(arguments, consent, meant)
            } else {
                Progress::fail(Code::TicketUnknown)
            };
        }
        let plan = match Plan::new(cx, *arguments, consent, owner, ticket, found) {
            Ok(plan) => Box::new(plan),
            Err(failure) => return Progress::fail(failure),
        };
        let inquiry = plan.inquiry();
        let step = Discovery::begin(cx, inquiry);
        Self::discovering(cx, plan, step)
    }

    fn dropping(step: Progress<Transaction<Look>, Option<Box<Ticket>>>) -> Progress<Self, Redirect> {
        step.embed(
            |transaction| Self(State::DroppingTicket(Box::new(transaction))),
            |result| Progress::fail(result.err().unwrap_or(Code::TicketUnknown.into())),
        )
    }

    fn discovering(
        cx: &mut Context<'_>,
        plan: Box<Plan>,
        step: Progress<Discovery, Finding>,
    ) -> Progress<Self, Redirect> {
        let discovered = match step {
            Progress::Perform(discovery, effect) => {
                return Progress::Perform(Self(State::Discovering(plan, Box::new(discovery))), effect);
            }
            Progress::Done(Ok(Finding { result: Ok(discovered), .. })) => discovered,
            Progress::Done(Ok(Finding { result: Err(failure), .. }) | Err(failure)) => {
                return Progress::fail(failure);
            }
        };
        match plan.wanted(cx.engine, &discovered) {
            Ok(wanted) => {
                let step = Registering::begin(cx, wanted);
                Self::registering(cx, plan, Box::new(discovered), step)
            }
            Err(failure) => Progress::fail(failure),
        }
    }

    fn registering(
        cx: &mut Context<'_>,
        plan: Box<Plan>,
        discovered: Box<Discovered>,
        step: Progress<Registering, Client>,
    ) -> Progress<Self, Redirect> {
        let client = match step {
            Progress::Perform(registering, effect) => {
                let state = State::Registering(plan, discovered, Box::new(registering));
                return Progress::Perform(Self(state), effect);
            }
            Progress::Done(Err(failure)) => return Progress::fail(failure),
            Progress::Done(Ok(client)) => client,
        };
        match plan.into_flow(cx, *discovered, client) {
            Ok((begin, redirect)) => {
                let place = begin.place.clone();
                let step = Transaction::begin(cx, begin);
                Self::beginning_flow(cx, Box::new(redirect), place, step)
            }
            Err(failure) => Progress::fail(failure),
        }
    }

    fn beginning_flow(
        cx: &mut Context<'_>,
        redirect: Box<Redirect>,
        place: Place,
        step: Progress<Transaction<BeginFlow>, ()>,
    ) -> Progress<Self, Redirect> {
        match step {
            Progress::Perform(transaction, effect) => {
                let state = State::BeginningFlow(redirect, place, Box::new(transaction));
                Progress::Perform(Self(state), effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(())) => {
                let (issuer, protected) = (redirect.issuer.clone(), redirect.protected);
                cx.emit_about(&place, What::FlowBegun { issuer, protected });
                Progress::done(*redirect)
            }
        }
    }
}
