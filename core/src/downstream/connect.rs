//! `/connect/{ticket}` and `/connect?connector=…`: where the link of a challenge, or of a status, leads. The page says what is to be
//! connected; only its form begins anything. Opening it consumes and sets nothing (atk:CSR-04).
//!
//! ```text
//! start       -> Recognizing [Read, Identify]
//! Recognizing -> sign-in page               nobody is here
//!             -> Opening   [Read]           GET with a ticket
//!             -> Finding   [Read]           GET with a connector
//!             -> Beginning [Read, Http]     POST: 303 to the issuer
//! ```

use super::consent::{identity, shown_principal};
use super::handle::{Endpoint, frame};
use super::pages::{ConnectPage, DisplayName, OwnerShown, Page, ServiceShown, ServiceState};
use super::person::{Person, sign_in};
use super::response::Response;
use super::visit::{Method, Visit};
use super::who::{Recognizing, Who};
use crate::error::Code;
use crate::operation::{Answer, Context, Machine, Progress};
use crate::principal::{Caller, ConnectorId, Principal};
use crate::protocol::scopes::Scopes;
use crate::upstream::begin_connect::{BeginConnect, Beginning, Redirect};
use crate::upstream::open_ticket::{OpenTicket, OpenedTicket, OpeningTicket, TicketReason};
use crate::upstream::status::{ConnectorStatus, FindingStatus, StatusOf};

/// The endpoint under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Connecting {
    ticket: Option<String>,
    state: State,
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    Beginning(Box<Beginning>),
    Finding(Box<Person>, Option<Principal>, Box<FindingStatus>),
    /// With who else may be in the browser.
    Opening(Box<Person>, Option<Caller>, Box<OpeningTicket>),
    Recognizing(Box<Visit>, Box<Recognizing>),
}

impl Connecting {
    pub(crate) fn begin(
        cx: &mut Context<'_>,
        visit: Visit,
        ticket: Option<&str>,
    ) -> Progress<Self, Response> {
        let step = Recognizing::begin(cx, &visit);
        Self::recognizing(cx, ticket.map(str::to_owned), Box::new(visit), step)
    }

    fn recognizing(
        cx: &mut Context<'_>,
        ticket: Option<String>,
        visit: Box<Visit>,
        step: Progress<Recognizing, Who>,
    ) -> Progress<Self, Response> {
        let who = match step {
            Progress::Perform(recognizing, effect) => {
                let state = State::Recognizing(visit, Box::new(recognizing));
                return Progress::Perform(Self { ticket, state }, effect);
            }
            Progress::Done(Err(failure)) => return Progress::fail(failure),
            Progress::Done(Ok(who)) => who,
        };
        let page = page_name(ticket.as_deref());
        let person = match Person::of(cx, (*visit).clone(), &who, &page) {
            Ok(person) => Box::new(person),
            Err(failure) if failure.code() == Code::SignInNeeded => {
                return Progress::done(sign_in(cx, &visit, failure));
            }
            Err(failure) => return Progress::fail(failure),
        };
        if person.visit.method == Method::Post {
            return Self::connect(cx, ticket, &person);
        }
        match &ticket {
            Some(text) => {
                // The ticket may be that of a session of ours although the host's login knows somebody.
                let other = who.session.map(|(caller, _)| caller).filter(|other| *other != person.caller);
                let arguments = OpenTicket { caller: person.caller.clone(), ticket: text.clone() };
                let step = OpeningTicket::within(arguments).step(cx, Answer::Start);
                Self::opening(cx, ticket, person, other, step)
            }
            None => {
                let Some(connector) = person.connector() else {
                    return Progress::fail(Code::ConnectorUnknown);
                };
                let owner = match person.owner() {
                    Ok(owner) => owner,
                    Err(failure) => return Progress::fail(failure),
                };
                let arguments = StatusOf { caller: person.caller.clone(), connector };
                let step = FindingStatus::within(arguments).step(cx, Answer::Start);
                Self::finding(cx, ticket, person, owner, step)
            }
        }
    }

    fn opening(
        cx: &mut Context<'_>,
        ticket: Option<String>,
        mut person: Box<Person>,
        other: Option<Caller>,
        step: Progress<OpeningTicket, OpenedTicket>,
    ) -> Progress<Self, Response> {
        match step {
            Progress::Perform(opening, effect) => {
                let state = State::Opening(person, other, Box::new(opening));
                Progress::Perform(Self { ticket, state }, effect)
            }
            Progress::Done(Err(failure)) if failure.code() == Code::TicketUnknown && other.is_some() => {
                if let Some(other) = other {
                    person.caller = other;
                }
                let text = ticket.clone().unwrap_or_default();
                let arguments = OpenTicket { caller: person.caller.clone(), ticket: text };
                let step = OpeningTicket::within(arguments).step(cx, Answer::Start);
                Self::opening(cx, ticket, person, None, step)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(opened)) => {
                let OpenedTicket { connector, owner, reason, scopes, .. } = opened;
                let reason = match reason {
                    TicketReason::Connect => "connect",
                    TicketReason::Reconnect => "reconnect",
                    TicketReason::StepUp => "step_up",
                };
                Progress::done(page(
                    cx,
                    &person,
                    ticket.as_deref(),
                    &connector,
                    Some(&owner),
                    reason,
                    &scopes,
                ))
            }
        }
    }

    fn finding(
        cx: &mut Context<'_>,
        ticket: Option<String>,
        person: Box<Person>,
        owner: Option<Principal>,
        step: Progress<FindingStatus, ConnectorStatus>,
    ) -> Progress<Self, Response> {
        match step {
            Progress::Perform(finding, effect) => {
                let state = State::Finding(person, owner, Box::new(finding));
                Progress::Perform(Self { ticket, state }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(status)) => {
                let reason =
                    if status.per_user_auth.status == "disconnected" { "connect" } else { "reconnect" };
                let scopes = Scopes::default();
                Progress::done(page(cx, &person, None, &status.connector, owner.as_ref(), reason, &scopes))
            }
        }
    }

    fn connect(cx: &mut Context<'_>, ticket: Option<String>, person: &Person) -> Progress<Self, Response> {
        let owner = match person.owner() {
            Ok(owner) => owner,
            Err(failure) => return Progress::fail(failure),
        };
        let Some(connector) = person.connector() else { return Progress::fail(Code::ConnectorUnknown) };
        let mut arguments = BeginConnect::new(person.caller.clone(), connector);
        arguments.owner = owner;
        arguments.cookies = person.visit.cookies();
        arguments.because.clone_from(&ticket);
        let step = Beginning::within(arguments, None).step(cx, Answer::Start);
        Self::beginning(ticket, step)
    }

    fn beginning(ticket: Option<String>, step: Progress<Beginning, Redirect>) -> Progress<Self, Response> {
        match step {
            Progress::Perform(beginning, effect) => {
                Progress::Perform(Self { ticket, state: State::Beginning(Box::new(beginning)) }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(redirect)) => {
                Progress::done(Response::see_other(&redirect.url).with_cookie(redirect.cookie))
            }
        }
    }
}

impl Endpoint for Connecting {
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Response> {
        let Self { ticket, state } = self;
        match state {
            State::Beginning(beginning) => {
                let step = beginning.step(cx, answer);
                Self::beginning(ticket, step)
            }
            State::Finding(person, owner, finding) => {
                let step = finding.step(cx, answer);
                Self::finding(cx, ticket, person, owner, step)
            }
            State::Opening(person, other, opening) => {
                let step = opening.step(cx, answer);
                Self::opening(cx, ticket, person, other, step)
            }
            State::Recognizing(visit, recognizing) => {
                let step = recognizing.step(cx, answer);
                Self::recognizing(cx, ticket, visit, step)
            }
        }
    }
}

/// What the form of the page belongs to.
fn page_name(ticket: Option<&str>) -> String {
    format!("connect/{}", ticket.unwrap_or_default())
}

fn page(
    cx: &Context<'_>,
    person: &Person,
    ticket: Option<&str>,
    connector: &ConnectorId,
    owner: Option<&Principal>,
    reason: &'static str,
    scopes: &Scopes,
) -> Response {
    let path = match ticket {
        Some(ticket) => format!("/connect/{ticket}"),
        None => "/connect".to_owned(),
    };
    let other = owner.filter(|owner| **owner != person.caller.principal);
    let page = ConnectPage {
        frame: frame(cx.engine),
        identity: identity(&person.caller),
        form: person.target(&path, &page_name(ticket)),
        service: ServiceShown {
            connector: connector.as_str().to_owned(),
            name: DisplayName::new(connector.as_str()),
            host: String::new(),
            state: if reason == "connect" { ServiceState::Open } else { ServiceState::Ended },
            account: None,
            scopes: scopes.iter().map(str::to_owned).collect(),
        },
        reason,
        owner: other.map(|owner| OwnerShown { shown: shown_principal(owner), id: owner.id().to_owned() }),
    };
    Response::page(cx.engine, 200, Page::Connect(Box::new(page))).with_cookie(person.browser.cookie(cx))
}
