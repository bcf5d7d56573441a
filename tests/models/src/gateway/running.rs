//! Requests as real operations.

use grantway_core::downstream::authenticate::{Authenticate, Authenticated, Authenticating, SignedInCaller};
use grantway_core::downstream::handle::{Handle, Handling};
use grantway_core::downstream::request::{Request, SignedIn};
use grantway_core::downstream::response::Response;
use grantway_core::event::{Event, What};
use grantway_core::model::form_token;
use grantway_core::moment::{Moment, UnixMillis};
use grantway_core::operation::{Effect, Machine, Misuse, Operation, Outcome, Reply, Step};
use grantway_core::protocol::scopes::Scopes;
use grantway_core::secret::{Secret, SecretBytes};
use grantway_core::upstream::disconnect::{Disconnect, Disconnecting};
use grantway_core::upstream::resolve::{Resolution, Resolve, Resolving};

use super::ask::{Ask, Client, ENDPOINTS, Seat};
use super::case::{BASE, Case, principal};
use super::known::Known;

/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const WRONG_VERIFIER: &str = "aBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// An operation under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Running {
    Authenticate(Box<Operation<Authenticating>>),
    Disconnect(Box<Operation<Disconnecting>>),
    Handle(Box<Operation<Handling>>),
    Resolve(Box<Operation<Resolving>>),
}

/// What a step of it comes to.
pub(crate) enum Stepped {
    Perform(Effect),
    Done(Answered, Vec<What>),
}

/// How it ended.
pub(crate) enum Answered {
    Admitted(Box<SignedInCaller>),
    Disconnected,
    NotReady,
    /// With the access token.
    Ready(Secret),
    Refused,
    Response(Box<Response>),
}

impl Running {
    /// The operation for a request of somebody who knows all that it needs.
    pub(crate) fn new(case: &Case, known: &Known, ask: Ask) -> Self {
        match ask {
            Ask::Call { tokens, endpoint } => {
                let token = format!("Bearer {}", known.tokens[&tokens].access.expose());
                Self::Authenticate(Box::new(case.engine.authenticate(Authenticate {
                    tenant: case.tenant.clone(),
                    headers: vec![("Authorization".to_owned(), Secret::new(token))],
                    resource: format!("{BASE}{}", ENDPOINTS[endpoint]),
                    scopes: Scopes::default(),
                })))
            }
            Ask::Disconnect { person } => Self::Disconnect(Box::new(case.engine.disconnect(Disconnect {
                caller: case.caller(person),
                connector: case.connector.clone(),
                owner: None,
            }))),
            Ask::Resolve { person } => {
                let resolve = Resolve::new(case.caller(person), case.connector.clone());
                Self::Resolve(Box::new(case.engine.resolve(resolve)))
            }
            _ => {
                let signed_in = ask.seat().map(|seat| SignedIn {
                    caller: case.caller(seat.person),
                    auth_time: Some(UnixMillis(1)),
                    acr: None,
                });
                let (tenant, request) = (case.tenant.clone(), request(case, known, ask));
                Self::Handle(Box::new(case.engine.handle(Handle { tenant, request, signed_in })))
            }
        }
    }

    /// Takes one step.
    pub(crate) fn step(&mut self, moment: &Moment, reply: Reply) -> Result<Stepped, Misuse> {
        match self {
            Self::Authenticate(operation) => step(operation, moment, reply, |answer| match answer {
                Authenticated::Caller(caller) => Answered::Admitted(caller),
                Authenticated::Refused(_) => Answered::Refused,
            }),
            Self::Disconnect(operation) => step(operation, moment, reply, |_| Answered::Disconnected),
            Self::Handle(operation) => {
                step(operation, moment, reply, |response| Answered::Response(Box::new(response)))
            }
            Self::Resolve(operation) => step(operation, moment, reply, |resolution| match resolution {
                Resolution::Ready(ready) => {
                    let bearer = |value: &Secret| value.expose().strip_prefix("Bearer ").map(Secret::new);
                    let token = ready.own_headers().find_map(|(_, value)| bearer(value));
                    Answered::Ready(token.expect("a bearer token"))
                }
                Resolution::Challenge(_) | Resolution::Transient(_) => Answered::NotReady,
            }),
        }
    }

    /// Steps taken so far.
    pub(crate) fn steps(&self) -> u32 {
        match self {
            Self::Authenticate(operation) => operation.steps(),
            Self::Disconnect(operation) => operation.steps(),
            Self::Handle(operation) => operation.steps(),
            Self::Resolve(operation) => operation.steps(),
        }
    }
}

fn step<M: Machine>(
    operation: &mut Operation<M>,
    moment: &Moment,
    reply: Reply,
    read: impl FnOnce(M::Output) -> Answered,
) -> Result<Stepped, Misuse> {
    Ok(match operation.step(moment, reply)? {
        Step::Perform(effect) => Stepped::Perform(effect),
        Step::Done(Outcome { result, events }) => {
            let answered = result.map_or(Answered::NotReady, read);
            Stepped::Done(answered, events.into_iter().map(|Event { what, .. }| what).collect())
        }
    })
}

fn request(case: &Case, known: &Known, ask: Ask) -> Request {
    let page = |number: usize| &known.pages[&number];
    let path = |consent: usize, action: &str| format!("/consent/{}{action}", known.consents[&consent].id);
    match ask {
        Ask::Approve { seat, page: number } => {
            let seen = page(number);
            let token = own_form(known, seat, seen.consent).unwrap_or_else(|| seen.form_token.clone());
            let fields = [("shown", seen.shown.as_str()), ("form_token", &token)];
            in_browser(known, seat, post(&path(seen.consent, "/approve"), &fields))
        }
        Ask::Forge { seat, page: number } => {
            let seen = page(number);
            let fields = [("shown", seen.shown.as_str())];
            in_browser(known, seat, post(&path(seen.consent, "/approve"), &fields))
        }
        Ask::Authorize { seat, client, to, consent: _ } => {
            let resource = format!("{BASE}{}", ENDPOINTS[0]);
            let query = encoded(&[
                ("response_type", "code"),
                ("client_id", case.client_id(client)),
                ("redirect_uri", to.redirect_uri()),
                ("code_challenge", CHALLENGE),
                ("code_challenge_method", "S256"),
                ("resource", &resource),
            ]);
            in_browser(known, seat, Request::get(format!("/authorize?{query}")))
        }
        Ask::Callback { seat, flow } => {
            in_browser(known, seat, Request::get(known.callbacks[&flow].expose()))
        }
        Ask::Change { seat, consent } => form(known, seat, consent, "/change", &[]),
        Ask::Connect { seat, consent, .. } => {
            form(known, seat, consent, "/connect", &[("connector", case.connector.as_str())])
        }
        Ask::Deny { seat, consent } => form(known, seat, consent, "/deny", &[]),
        Ask::Identify { seat, consent } => form(known, seat, consent, "/identify", &[("mode", "user")]),
        Ask::Show { seat, consent, .. } => in_browser(known, seat, Request::get(path(consent, "/approve"))),
        Ask::Redeem { client, code, proof, .. } => post(
            "/token",
            &[
                ("grant_type", "authorization_code"),
                ("client_id", case.client_id(client)),
                ("code", known.codes[&code].expose()),
                ("code_verifier", if proof { VERIFIER } else { WRONG_VERIFIER }),
            ],
        ),
        Ask::Refresh { client, tokens, .. } => to_client_endpoint(
            case,
            client,
            "/token",
            &[("grant_type", "refresh_token"), ("refresh_token", known.tokens[&tokens].refresh.expose())],
        ),
        Ask::Revoke { client, tokens } => {
            to_client_endpoint(case, client, "/revoke", &[("token", known.tokens[&tokens].refresh.expose())])
        }
        Ask::Call { .. } | Ask::Disconnect { .. } | Ask::Resolve { .. } => {
            unreachable!("no request to the gateway")
        }
    }
}

fn to_client_endpoint(case: &Case, client: Client, path: &str, fields: &[(&str, &str)]) -> Request {
    let mut all = vec![("client_id", case.client_id(client))];
    all.extend(fields);
    post(path, &all)
}

/// The form of a page that this person has open in this browser.
fn form(known: &Known, seat: Seat, consent: usize, action: &str, fields: &[(&str, &str)]) -> Request {
    let token = own_form(known, seat, consent).unwrap_or_default();
    let mut all = vec![("form_token", token.as_str())];
    all.extend(fields);
    let path = format!("/consent/{}{action}", known.consents[&consent].id);
    in_browser(known, seat, post(&path, &all))
}

/// What forms carry in a browser: whoever sits there has a page of the session open, or computes it from the cookie.
fn own_form(known: &Known, seat: Seat, consent: usize) -> Option<String> {
    let cookie = known.page_cookie(seat.browser)?;
    Some(form_token(cookie, &known.consents[&consent].id, &principal(seat.person)))
}

fn in_browser(known: &Known, seat: Seat, mut request: Request) -> Request {
    let cookies = known.cookies(seat.browser).map(|value| ("Cookie".to_owned(), value));
    request.headers.extend(cookies);
    request
}

fn post(path: &str, fields: &[(&str, &str)]) -> Request {
    Request {
        method: "POST".to_owned(),
        headers: vec![("Content-Type".to_owned(), Secret::new("application/x-www-form-urlencoded"))],
        body: SecretBytes::new(encoded(fields).into_bytes()),
        ..Request::get(path)
    }
}

fn encoded(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}
