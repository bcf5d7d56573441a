//! `/callback`: an upstream's issuer has sent the browser back. What came is the flow's to judge; here it is only brought before it,
//! with whoever is in the browser, and the person is led on to a clean address.
//!
//! ```text
//! start       -> the same page again, once     a login of the host's may not have arrived with another site's navigation
//!             -> Recognizing [Read, Identify]
//! Recognizing -> Completing  [Read, Http]      by the host's login, then by a session of ours
//! Completing  -> 303
//! ```

use super::handle::{Endpoint, frame, message_of};
use super::pages::{AgainPage, Link, Page};
use super::response::Response;
use super::site::config;
use super::visit::Visit;
use super::who::{Recognizing, Who};
use crate::error::{Code, Failure};
use crate::operation::{Answer, Context, Machine, Progress};
use crate::principal::Caller;
use crate::store::records::IdentityMode;
use crate::upstream::complete_connect::{CompleteConnect, Completing, Connected};

/// Stands in the address that is asked for the second time.
const AGAIN: &str = "grantway_again";

/// The endpoint under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct CallingBack {
    visit: Box<Visit>,
    state: State,
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    /// With who else may be in the browser, and where the flow's page is.
    Completing(Option<Caller>, Option<String>, Box<Completing>),
    Recognizing(Box<Recognizing>),
}

impl CallingBack {
    pub(crate) fn begin(cx: &mut Context<'_>, visit: Visit) -> Progress<Self, Response> {
        if let Some(again) = again(cx, &visit) {
            return Progress::done(again);
        }
        let step = Recognizing::begin(cx, &visit);
        Self::recognizing(cx, Box::new(visit), step)
    }

    fn recognizing(
        cx: &mut Context<'_>,
        visit: Box<Visit>,
        step: Progress<Recognizing, Who>,
    ) -> Progress<Self, Response> {
        match step {
            Progress::Perform(recognizing, effect) => {
                Progress::Perform(Self { visit, state: State::Recognizing(Box::new(recognizing)) }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(who)) => {
                let host = who.host.map(|host| host.caller);
                let session = who.session.map(|(caller, _)| caller);
                let (first, then) = if host.is_some() { (host, session) } else { (session, None) };
                Self::complete(cx, visit, first, then)
            }
        }
    }

    fn complete(
        cx: &mut Context<'_>,
        visit: Box<Visit>,
        caller: Option<Caller>,
        then: Option<Caller>,
    ) -> Progress<Self, Response> {
        if let Some(caller) = &caller {
            cx.acts(&caller.principal);
        }
        let arguments = CompleteConnect {
            caller,
            callback_url: visit.request.target.clone(),
            cookies: visit.cookies(),
            process_secret: None,
        };
        let step = Completing::within(arguments).step(cx, Answer::Start);
        Self::completing(cx, visit, then, None, step)
    }

    fn completing(
        cx: &mut Context<'_>,
        visit: Box<Visit>,
        then: Option<Caller>,
        return_to: Option<String>,
        step: Progress<Completing, Connected>,
    ) -> Progress<Self, Response> {
        match step {
            Progress::Perform(completing, effect) => {
                let return_to = completing.return_to().map(str::to_owned).or(return_to);
                let state = State::Completing(then, return_to, Box::new(completing));
                Progress::Perform(Self { visit, state }, effect)
            }
            // Nothing has changed by that, and the flow may be the other's who is in this browser.
            Progress::Done(Err(failure)) if failure.code() == Code::PrincipalMismatch && then.is_some() => {
                Self::complete(cx, visit, then, None)
            }
            Progress::Done(Err(failure)) => Progress::done(failed(cx, &visit, failure, return_to)),
            Progress::Done(Ok(connected)) => {
                // atk:CSR-10: on to an address without code and state.
                let path =
                    connected.return_to.unwrap_or_else(|| visit.site.path("/connections?done=connected"));
                Progress::done(Response::see_other(&format!("{}{path}", visit.site.origin())))
            }
        }
    }
}

impl Endpoint for CallingBack {
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Response> {
        let Self { visit, state } = self;
        match state {
            State::Completing(then, return_to, completing) => {
                let step = completing.step(cx, answer);
                Self::completing(cx, visit, then, return_to, step)
            }
            State::Recognizing(recognizing) => {
                let step = recognizing.step(cx, answer);
                Self::recognizing(cx, visit, step)
            }
        }
    }
}

/// The page that asks for itself again, once, from our own origin, so that login cookies arrive that are `SameSite=Strict`.
fn again(cx: &Context<'_>, visit: &Visit) -> Option<Response> {
    let by_login = config(cx.engine).is_ok_and(|gateway| gateway.offers(IdentityMode::User));
    let (path, query) = visit.request.path_and_query();
    let is_first = query.is_none_or(|query| query.split('&').all(|pair| pair != AGAIN));
    if visit.signed_in.is_some() || !by_login || !is_first {
        return None;
    }
    let target = match query {
        Some(query) => format!("{path}?{query}&{AGAIN}"),
        None => format!("{path}?{AGAIN}"),
    };
    let page = AgainPage { frame: frame(cx.engine), target };
    // atk:CSR-10: the address holds code and state; nobody is told it.
    Some(Response::page(cx.engine, 200, Page::Again(page)).instead("Referrer-Policy", "no-referrer"))
}

/// Says why it has not worked, with the way back to where it began.
fn failed(cx: &Context<'_>, visit: &Visit, failure: Failure, return_to: Option<String>) -> Response {
    let failure = match failure.code() {
        // Nobody is signed in, which is another thing than somebody else being.
        Code::PrincipalMismatch if visit.signed_in.is_none() => {
            Failure::new(Code::SignInNeeded).because("sign in, then connect again")
        }
        _ => failure,
    };
    let mut page = message_of(cx, &failure);
    let url = return_to.unwrap_or_else(|| visit.site.path("/connections"));
    page.link = Some(Link { label: "Back".to_owned(), url });
    let mut response = super::handle::page_of(cx, failure, page);
    response = response.instead("Referrer-Policy", "no-referrer");
    response
}
