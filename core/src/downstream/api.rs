//! `/api/*`: what the page of accounts shows and does, as JSON, for hosts that build a page of their own.
//!
//! ```text
//! GET  /api/connections                        all of the caller's
//! GET  /api/connections/{connector}            one upstream, over all owners
//! POST /api/connections/{connector}/connect    begins a flow: where to send this browser, with its cookie
//! POST /api/connections/{connector}/disconnect
//! ```
//!
//! A POST is JSON, `{}` at least, from a page of our own origin. `owner` in it names another owner than the caller.

use serde::{Deserialize, Serialize};

use super::browser::check_origin;
use super::handle::Endpoint;
use super::response::Response;
use super::visit::{Method, Visit};
use super::who::{Recognizing, Who};
use crate::error::{Code, Failure};
use crate::moment::UnixMillis;
use crate::operation::{Answer, Context, Machine, Progress};
use crate::principal::{Caller, ConnectorId, Principal};
use crate::protocol::json;
use crate::upstream::begin_connect::{BeginConnect, Beginning, Redirect};
use crate::upstream::disconnect::{Disconnect, Disconnected, Disconnecting};
use crate::upstream::status::{
    ConnectionStatus, ConnectorStatus, FindingStatus, Overviewing, Seen, StatusOf,
};

/// The endpoint under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) enum Serving {
    Beginning(Box<Beginning>),
    Disconnecting(Box<Disconnecting>),
    Finding(Box<FindingStatus>),
    Overviewing(Box<Overviewing>),
    Recognizing(Box<Visit>, Act, Box<Recognizing>),
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub(crate) enum Act {
    Connect(ConnectorId, Option<Principal>),
    Disconnect(ConnectorId, Option<Principal>),
    List,
    Status(ConnectorId),
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    owner: Option<Principal>,
}

impl Act {
    fn of(visit: &Visit, path: &str) -> Result<Self, Failure> {
        let rest = path.strip_prefix("connections").ok_or(Code::PageUnknown)?;
        let segments: Vec<&str> = rest.split('/').skip(1).collect();
        let id = |segment: &str| {
            let decoded = percent_encoding::percent_decode_str(segment).decode_utf8();
            let decoded = decoded.map_err(|_| Code::ConnectorUnknown)?;
            ConnectorId::new(decoded.into_owned()).map_err(|_| Failure::new(Code::ConnectorUnknown))
        };
        match (visit.method, segments.as_slice()) {
            (Method::Get, []) if rest.is_empty() => Ok(Self::List),
            (Method::Get, [connector]) => Ok(Self::Status(id(connector)?)),
            (Method::Post, [connector, "connect"]) => Ok(Self::Connect(id(connector)?, owner(visit)?)),
            (Method::Post, [connector, "disconnect"]) => Ok(Self::Disconnect(id(connector)?, owner(visit)?)),
            _ => Err(Code::PageUnknown.into()),
        }
    }
}

/// The owner that a POST names. It is JSON, which no form of another site can be, and comes from our own origin.
fn owner(visit: &Visit) -> Result<Option<Principal>, Failure> {
    // atk:CON-04
    check_origin(visit)?;
    let is_json = visit.request.header("content-type").is_some_and(json::is_json_content_type);
    let malformed = |why| Failure::new(Code::RequestMalformed).because(why);
    if !is_json {
        return Err(malformed("the body is not JSON"));
    }
    let body: Body = json::from_slice(visit.request.body.expose()).map_err(|invalid| malformed(invalid.0))?;
    Ok(body.owner)
}

impl Serving {
    pub(crate) fn begin(cx: &mut Context<'_>, visit: Visit, path: &str) -> Progress<Self, Response> {
        let act = match Act::of(&visit, path) {
            Ok(act) => act,
            Err(failure) => return Progress::fail(failure),
        };
        let step = Recognizing::begin(cx, &visit);
        Self::recognizing(cx, Box::new(visit), act, step)
    }

    fn recognizing(
        cx: &mut Context<'_>,
        visit: Box<Visit>,
        act: Act,
        step: Progress<Recognizing, Who>,
    ) -> Progress<Self, Response> {
        let who = match step {
            Progress::Perform(recognizing, effect) => {
                return Progress::Perform(Self::Recognizing(visit, act, Box::new(recognizing)), effect);
            }
            Progress::Done(Err(failure)) => return Progress::fail(failure),
            Progress::Done(Ok(who)) => who,
        };
        let Some(caller) = who.anybody().cloned() else { return Progress::fail(Code::SignInNeeded) };
        cx.acts(&caller.principal);
        Self::act(cx, &visit, act, caller)
    }

    fn act(cx: &mut Context<'_>, visit: &Visit, act: Act, caller: Caller) -> Progress<Self, Response> {
        match act {
            Act::List => Self::overviewing(Overviewing::begin(caller)),
            Act::Status(connector) => {
                let step = FindingStatus::within(StatusOf { caller, connector }).step(cx, Answer::Start);
                Self::finding(step)
            }
            Act::Connect(connector, owner) => {
                let mut arguments = BeginConnect::new(caller, connector);
                arguments.owner = owner;
                arguments.cookies = visit.cookies();
                Self::beginning(Beginning::within(arguments, None).step(cx, Answer::Start))
            }
            Act::Disconnect(connector, owner) => {
                let arguments = Disconnect { caller, connector, owner };
                Self::disconnecting(Disconnecting::within(arguments).step(cx, Answer::Start))
            }
        }
    }

    fn overviewing(step: Progress<Overviewing, Vec<Seen>>) -> Progress<Self, Response> {
        #[derive(Serialize)]
        struct Connections {
            connections: Vec<ConnectionStatus>,
        }
        step.embed(
            |overviewing| Self::Overviewing(Box::new(overviewing)),
            |result| match result {
                Ok(seen) => {
                    let connections = seen.into_iter().map(|seen| seen.status).collect();
                    Progress::done(answer(&Connections { connections }))
                }
                Err(failure) => Progress::fail(failure),
            },
        )
    }

    fn finding(step: Progress<FindingStatus, ConnectorStatus>) -> Progress<Self, Response> {
        step.embed(
            |finding| Self::Finding(Box::new(finding)),
            |result| match result {
                Ok(status) => Progress::done(answer(&status)),
                Err(failure) => Progress::fail(failure),
            },
        )
    }

    fn beginning(step: Progress<Beginning, Redirect>) -> Progress<Self, Response> {
        #[derive(Serialize)]
        struct Begun<'a> {
            url: &'a str,
            flow: &'a str,
            expires_at: UnixMillis,
        }
        step.embed(
            |beginning| Self::Beginning(Box::new(beginning)),
            |result| match result {
                Ok(Redirect { url, flow, expires_at, cookie, .. }) => {
                    let begun = Begun { url: &url, flow: &flow, expires_at };
                    Progress::done(answer(&begun).with_cookie(cookie))
                }
                Err(failure) => Progress::fail(failure),
            },
        )
    }

    fn disconnecting(step: Progress<Disconnecting, Disconnected>) -> Progress<Self, Response> {
        step.embed(
            |disconnecting| Self::Disconnecting(Box::new(disconnecting)),
            |result| match result {
                Ok(disconnected) => Progress::done(answer(&disconnected)),
                Err(failure) => Progress::fail(failure),
            },
        )
    }
}

impl Endpoint for Serving {
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Response> {
        match self {
            Self::Beginning(beginning) => Self::beginning(beginning.step(cx, answer)),
            Self::Disconnecting(disconnecting) => Self::disconnecting(disconnecting.step(cx, answer)),
            Self::Finding(finding) => Self::finding(finding.step(cx, answer)),
            Self::Overviewing(overviewing) => Self::overviewing(overviewing.step(cx, answer)),
            Self::Recognizing(visit, act, recognizing) => {
                let step = recognizing.step(cx, answer);
                Self::recognizing(cx, visit, act, step)
            }
        }
    }
}

fn answer(document: &impl Serialize) -> Response {
    Response::json(200, document).never_stored()
}
