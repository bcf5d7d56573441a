//! `handle`: the whole gateway behind one handler. Each route is a machine of its own, in a file of its own; what they have in
//! common is here: reading the request, and what is said when something goes wrong.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::api::Serving;
use super::authorize::Authorizing;
use super::callback::CallingBack;
use super::connect::Connecting;
use super::connections::Managing;
use super::consent::Consenting;
use super::metadata;
use super::pages::{Frame, MessagePage, Page};
use super::register::Register;
use super::request::{Request, SignedIn};
use super::response::Response;
use super::revoke::Revoke;
use super::route::{Route, Surface};
use super::site::Site;
use super::token::Token;
use super::visit::{Method, Visit};
use crate::engine::Engine;
use crate::error::{Code, Failure, Retry};
use crate::operation::{Answer, Context, Machine, Operation, Progress, machine};
use crate::principal::TenantId;

/// A request to the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "model", derive(Hash))]
#[serde(deny_unknown_fields)]
pub struct Handle {
    /// Whose gateway it came to, as the host routes: never from a header.
    pub tenant: TenantId,
    /// The request, raw.
    pub request: Request,
    /// Whom the host's own login knows in that browser. `None`: nobody.
    #[serde(default)]
    pub signed_in: Option<SignedIn>,
}

impl Engine {
    /// Answers a request to the gateway. It always comes to a response; what went wrong stands in it, for logs.
    pub fn handle(self: &Arc<Self>, arguments: Handle) -> Operation<Handling> {
        let actor = arguments.signed_in.as_ref().map(|who| who.caller.principal.clone());
        Operation::new(Arc::clone(self), actor, Handling(State::Fresh(Box::new(arguments))))
    }
}

/// A `handle` under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct Handling(State);

/// An endpoint under way.
pub(crate) trait Endpoint: Sized {
    /// Consumes the state with the answer to its effect.
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Response>;
}

macro_rules! endpoints {
    ($($name:ident($machine:ty),)*) => {
        #[derive(Debug)]
        #[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
        enum State {
            Fresh(Box<Handle>),
            $($name(Ground, Box<$machine>),)*
        }

        impl Handling {
            fn go_on(cx: &mut Context<'_>, state: State, answer: Answer) -> Progress<Self, Response> {
                match state {
                    State::Fresh(_) => Progress::fail(Code::Internal),
                    $(State::$name(ground, machine) => {
                        let step = machine.step(cx, answer);
                        Self::follow(cx, ground, step, |ground, machine| State::$name(ground, Box::new(machine)))
                    })*
                }
            }
        }
    };
}

endpoints! {
    Authorizing(Authorizing),
    Serving(Serving),
    CallingBack(CallingBack),
    Connecting(Connecting),
    Managing(Managing),
    Consenting(Consenting),
    Register(Register),
    Revoke(Revoke),
    Token(Token),
}

/// What is known of a request whatever becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Ground {
    tenant: TenantId,
    surface: Surface,
}

impl machine::Sealed for Handling {}

impl Machine for Handling {
    type Output = Response;

    #[allow(private_interfaces)]
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Response> {
        match (self.0, answer) {
            (State::Fresh(arguments), Answer::Start) => Self::route(cx, *arguments),
            (state, answer) => Self::go_on(cx, state, answer),
        }
    }
}

impl Handling {
    fn route(cx: &mut Context<'_>, arguments: Handle) -> Progress<Self, Response> {
        let Handle { tenant, request, signed_in } = arguments;
        let site = match Site::of(cx.engine, &tenant) {
            Ok(site) => site,
            Err(failure) => return Progress::done(refuse(cx, Surface::Api, failure)),
        };
        let path = request.path_and_query().0.to_owned();
        let Some(route) = Route::of(&site, &path) else {
            return Progress::done(refuse(cx, Surface::Page, Code::PageUnknown.into()));
        };
        let surface = route.surface();
        let ground = Ground { tenant: tenant.clone(), surface };
        match Visit::new(cx, &tenant, request, signed_in) {
            Ok(visit) => Self::enter(cx, ground, route, visit),
            Err(failure) => Progress::done(refuse(cx, surface, failure)),
        }
    }

    /// Every route and the methods it answers to.
    fn enter(
        cx: &mut Context<'_>,
        ground: Ground,
        route: Route<'_>,
        visit: Visit,
    ) -> Progress<Self, Response> {
        let surface = ground.surface;
        match (route, visit.method) {
            (Route::Api(path), Method::Get | Method::Post) => {
                let step = Serving::begin(cx, visit, path);
                Self::follow(cx, ground, step, |ground, it| State::Serving(ground, Box::new(it)))
            }
            (route, Method::Options) if route.is_for_scripts() => Progress::done(preflight()),
            (Route::Authorize, Method::Get) => {
                let step = Authorizing::begin(cx, visit);
                Self::follow(cx, ground, step, |ground, it| State::Authorizing(ground, Box::new(it)))
            }
            // A look at the head of the page would redeem the code.
            (Route::Callback, Method::Get) if visit.request.method != "HEAD" => {
                let step = CallingBack::begin(cx, visit);
                Self::follow(cx, ground, step, |ground, it| State::CallingBack(ground, Box::new(it)))
            }
            (Route::Connect(ticket), Method::Get | Method::Post) => {
                let step = Connecting::begin(cx, visit, ticket);
                Self::follow(cx, ground, step, |ground, it| State::Connecting(ground, Box::new(it)))
            }
            (Route::Connections(action), Method::Get | Method::Post) => {
                let step = Managing::begin(cx, visit, action);
                Self::follow(cx, ground, step, |ground, it| State::Managing(ground, Box::new(it)))
            }
            (Route::Consent { id, action }, Method::Get | Method::Post) => {
                let step = Consenting::begin(cx, visit, id, action);
                Self::follow(cx, ground, step, |ground, it| State::Consenting(ground, Box::new(it)))
            }
            (Route::ClientDocument, Method::Get) => Progress::done(metadata::client(cx, &visit.site)),
            (Route::IssuerMetadata, Method::Get) => Progress::done(metadata::issuer(cx, &visit.site)),
            (Route::Register, Method::Post) => {
                let step = Register::begin(cx, visit);
                Self::follow(cx, ground, step, |ground, machine| State::Register(ground, Box::new(machine)))
            }
            (Route::ResourceMetadata(path), Method::Get) => {
                Progress::done(metadata::resource(cx, &visit.site, path))
            }
            (Route::Revoke, Method::Post) => {
                let step = Revoke::begin(cx, &visit);
                Self::follow(cx, ground, step, |ground, machine| State::Revoke(ground, Box::new(machine)))
            }
            (Route::Token, Method::Post) => {
                let step = Token::begin(cx, &visit);
                Self::follow(cx, ground, step, |ground, machine| State::Token(ground, Box::new(machine)))
            }
            _ => Progress::done(refuse(cx, surface, Code::MethodRefused.into())),
        }
    }

    /// Goes on with an endpoint's machine; whatever fails in it becomes a response.
    fn follow<M>(
        cx: &mut Context<'_>,
        ground: Ground,
        step: Progress<M, Response>,
        wrap: impl FnOnce(Ground, M) -> State,
    ) -> Progress<Self, Response> {
        match step {
            Progress::Perform(machine, effect) => Progress::Perform(Self(wrap(ground, machine)), effect),
            Progress::Done(Ok(response)) => Progress::done(response),
            Progress::Done(Err(failure)) => Progress::done(refuse(cx, ground.surface, failure)),
        }
    }
}

/// The answer to a browser that asks whether a script of another site may ask.
fn preflight() -> Response {
    Response::empty(204)
        .for_any_origin()
        .with("Access-Control-Allow-Methods", "GET, POST")
        .with("Access-Control-Allow-Headers", "Authorization, Content-Type, MCP-Protocol-Version")
        .with("Access-Control-Max-Age", "86400")
}

/// What is said when something goes wrong, in the form that whoever asked can read.
pub(crate) fn refuse(cx: &Context<'_>, surface: Surface, failure: Failure) -> Response {
    let failure = failure.with_evidence(cx.operation.to_string());
    let status = status(&failure);
    let mut response = match surface {
        Surface::Api => Response::json(status, &ApiError::of(&failure)).never_stored(),
        Surface::Page => {
            let page = message_of(cx, &failure);
            return page_of(cx, failure, page);
        }
        Surface::Protocol => {
            let error = match status {
                429 | 503 => "temporarily_unavailable",
                500 => "server_error",
                _ => "invalid_request",
            };
            Response::json(status, &ProtocolError { error, error_description: failure.code().message() })
                .never_stored()
                .for_any_origin()
        }
    };
    if status == 503 {
        response = response.with("Retry-After", "5");
    }
    response.failure = Some(failure);
    response
}

/// A page about a failure.
pub(crate) fn page_of(cx: &Context<'_>, failure: Failure, page: MessagePage) -> Response {
    let status = status(&failure);
    let mut response = Response::page(cx.engine, status, Page::Message(Box::new(page)));
    if status == 503 {
        response = response.with("Retry-After", "5");
    }
    response.failure = Some(failure);
    response
}

/// An OAuth error (RFC 6749 §5.2).
#[derive(Serialize)]
pub(crate) struct ProtocolError {
    pub(crate) error: &'static str,
    /// Text of ours, of the characters that it may have.
    pub(crate) error_description: &'static str,
}

#[derive(Serialize)]
struct ApiError<'a> {
    error: &'static str,
    message: &'static str,
    reason: Option<&'static str>,
    next: &'static str,
    evidence: Option<&'a str>,
}

impl<'a> ApiError<'a> {
    fn of(failure: &'a Failure) -> Self {
        Self {
            error: failure.slug(),
            message: failure.code().message(),
            reason: failure.reason(),
            next: failure.next_step(),
            evidence: failure.evidence(),
        }
    }
}

/// What a person is told. Nothing of it was said by a peer.
//= spec/derived.md#err-08
//# Error bodies MUST say nothing about other users, upstream tokens or internal URLs (ERR-08, S/R, derived).
pub(crate) fn message_of(cx: &Context<'_>, failure: &Failure) -> MessagePage {
    let code = failure.code();
    let title = match status(failure) {
        404 => "Not found",
        429 | 503 => "Not at the moment",
        500 => "Something went wrong",
        _ => "This cannot go on",
    };
    let message = match failure.reason() {
        Some(reason) => format!("{}: {reason}", code.message()),
        None => code.message().to_owned(),
    };
    MessagePage {
        frame: frame(cx.engine),
        title,
        message,
        next: Some(failure.next_step().to_owned()),
        slug: Some(failure.slug()),
        evidence: failure.evidence().map(str::to_owned),
        link: None,
    }
}

/// Whose gateway it is.
pub(crate) fn frame(engine: &Engine) -> Frame {
    let config = engine.config();
    let name = config.gateway.as_ref().and_then(|gateway| gateway.name.clone());
    Frame { gateway: name.unwrap_or_else(|| config.client_name.clone()) }
}

/// The HTTP status of a failure.
fn status(failure: &Failure) -> u16 {
    match failure.code() {
        Code::PageUnknown | Code::GatewayMissing | Code::ConnectorUnknown | Code::ConsentUnknown => 404,
        Code::MethodRefused => 405,
        // Not 401, which would have to name a scheme that a browser can answer with (RFC 9110 §15.5.2).
        Code::SignInNeeded
        | Code::FormRefused
        | Code::NotAllowed
        | Code::BindingMismatch
        | Code::PrincipalMismatch => 403,
        Code::ClientLimit | Code::KeyPaused => 429,
        Code::StoreIntegrity | Code::Internal => 500,
        code if code.retry() == Retry::Later && code.fault() != crate::error::Fault::Peer => 503,
        _ => 400,
    }
}
