//! `report_rejected`: what follows when a resource refuses a call. It says whether to try once more, and with what.
//!
//! ```text
//! 401, newer generation             -> Retry
//! 401, refreshed                    -> Retry            once per generation
//! 401, nothing (more) to refresh    -> Asking [Http]    the resource is asked anew who its issuer is
//!                                   -> Condemning       -> Challenge
//! 401, no credential                -> Challenge        with what the resource's own challenge says
//! 401, an account's token           -> Retry            refreshed once, then -> Challenge without a mark: others use the account too
//! 403 insufficient_scope            -> Counting         -> Challenge, or `user.scope_denied`
//! anything else                     -> Nothing
//! ```

mod condemn;
mod step_up;

use std::sync::Arc;

use serde::Deserialize;

use self::condemn::Condemn;
use self::step_up::{CountStepUp, Counted};
use super::Transaction;
use super::discovery::{Discovery, Finding, Hint, Inquiry};
use super::pick::{Ask, Found, Pick, Picked, Refused, Use};
use super::place::Place;
use super::ready::Ready;
use super::resolve::{Gathered, Resolution, Resolve, Resolving, Transient};
use super::ticket::{Issue, Need};
use crate::challenge::{Challenge, ChallengeReason};
use crate::connector::Connector;
use crate::engine::Engine;
use crate::error::{Code, Failure};
use crate::event::What;
use crate::operation::{Answer, Context, Machine, Operation, OperationId, Progress, machine};
use crate::policy;
use crate::principal::{Caller, ConnectorId};
use crate::protocol::scopes::Scopes;
use crate::protocol::www_authenticate::{self, BearerChallenge};
use crate::secret::Secret;
use crate::store::Stored;
use crate::store::records::{Condemned, ConnectorRecord};

/// Reports a call that the resource refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "model", derive(Hash))]
#[serde(deny_unknown_fields)]
pub struct ReportRejected {
    /// Who made the call.
    pub caller: Caller,
    /// To which upstream. Where it has no connection of its own, the report is about the first account it draws on.
    pub connector: ConnectorId,
    /// The connection whose credential it was made with, from the attribution of its resolution. Default: the one that a call would
    /// use now.
    #[serde(default)]
    pub connection: Option<OperationId>,
    /// The generation of that credential, from the same place; 0: the call was made without one.
    pub generation: u64,
    /// What the call was, as the host names it: `tools/call search`. Step-ups are counted for each apart.
    pub operation: String,
    /// The status of the response.
    pub status: u16,
    /// Its headers; only `WWW-Authenticate` is looked at.
    pub headers: Vec<(String, Secret)>,
    /// How long to wait for another worker's refresh, in milliseconds. Default 10 000.
    #[serde(default = "default_wait")]
    pub wait_ms: u64,
}

const fn default_wait() -> u64 {
    10_000
}

/// What to do about a refused call.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub enum Rejection {
    /// A person is needed.
    Challenge(Box<Challenge>),
    /// It is not about authorization: hand the response on.
    Nothing,
    /// Make the call once more, with this.
    Retry(Box<Ready>),
    /// Not now; nobody has to do anything.
    Transient(Transient),
}

impl Engine {
    /// Says what to do about a call that the resource refused.
    pub fn report_rejected(self: &Arc<Self>, arguments: ReportRejected) -> Operation<Reporting> {
        let actor = Some(arguments.caller.principal.clone());
        Operation::new(Arc::clone(self), actor, Reporting(State::Fresh(Box::new(arguments))))
    }
}

/// A `report_rejected` under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct Reporting(State);

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    Asking(Box<Rejected>, Box<Discovery>),
    Challenging(Box<Issue>),
    Condemning(Box<Rejected>, Condemned, Box<Transaction<Condemn>>),
    Counting(Box<StepUp>, Box<Transaction<CountStepUp>>),
    Fresh(Box<ReportRejected>),
    Gathering(Box<Resolving>),
    Picking(Box<Report>, Box<Pick>),
}

/// The report, read.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Report {
    caller: Caller,
    /// To which upstream the call was.
    connector: ConnectorId,
    /// Whose connection its token is from: the connector itself, or the account that it draws on.
    subject: ConnectorId,
    refused: Refused,
    wait_ms: u64,
    operation: String,
    kind: Kind,
    hint: Hint,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// 401.
    Unauthorized,
    /// 403 with `insufficient_scope`.
    InsufficientScope,
}

/// A generation that the resource does not take any more.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Rejected {
    report: Report,
    used: Use,
}

/// A step-up to be counted.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct StepUp {
    report: Report,
    used: Use,
    scopes: Scopes,
}

impl machine::Sealed for Reporting {}

impl Machine for Reporting {
    type Output = Rejection;

    #[allow(private_interfaces)]
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Rejection> {
        match (self.0, answer) {
            (State::Fresh(arguments), Answer::Start) => Self::read(cx, *arguments),
            (State::Picking(report, pick), answer) => {
                let step = pick.step(cx, answer);
                Self::picking(cx, report, step)
            }
            (State::Gathering(resolving), answer) => Self::gathering(resolving.step(cx, answer)),
            (State::Asking(rejected, discovery), answer) => {
                let step = discovery.step(cx, answer);
                Self::asking(cx, rejected, step)
            }
            (State::Condemning(rejected, why, transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::condemning(cx, rejected, why, step)
            }
            (State::Counting(step_up, transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::counting(cx, step_up, step)
            }
            (State::Challenging(issue), answer) => Self::challenging(issue.step(cx, answer)),
            _ => Progress::fail(Code::Internal),
        }
    }
}

impl Reporting {
    fn read(cx: &mut Context<'_>, arguments: ReportRejected) -> Progress<Self, Rejection> {
        let ReportRejected { caller, connector, connection, generation, operation, status, headers, wait_ms } =
            arguments;
        let fields = headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"))
            .map(|(_, value)| value.expose());
        let challenge = BearerChallenge::select(&www_authenticate::parse(fields));
        let insufficient = challenge
            .as_ref()
            .is_some_and(|challenge| challenge.error.as_deref() == Some("insufficient_scope"));
        let kind = match status {
            //= spec/mcp-2026-07-28.md#disc-protected-resource-metadata-discovery-requirements
            //# The engine MUST read `WWW-Authenticate` and respond to a 401 on any request, not the first
            //# alone (CH-01, U).
            401 => Kind::Unauthorized,
            403 if insufficient => Kind::InsufficientScope,
            //= spec/derived.md#step-09
            //# A 403 without `insufficient_scope` MUST NOT start a step-up (STEP-09, U, derived).
            //= spec/derived.md#err-06
            //# A 400 with JSON-RPC code `-32020` or `-32022` and a 403 for `Origin` MUST be reported as
            //# protocol errors, not as authorization ones (ERR-06, U, derived).
            // atk:HDR-04
            _ => return Progress::done(Rejection::Nothing),
        };
        cx.emit(&caller.tenant, None, Some(&connector), What::Rejected { status, generation });
        let hint = challenge.map(|challenge| Hint {
            resource_metadata: challenge.resource_metadata,
            scopes: challenge.scope,
        });
        let hint = hint.unwrap_or_default();
        let refused = Refused { connection, generation };
        let subject = connector.clone();
        let report = Report { caller, connector, subject, refused, wait_ms, operation, kind, hint };
        Self::pick(cx, Box::new(report), None)
    }

    fn pick(
        cx: &mut Context<'_>,
        report: Box<Report>,
        policy: Option<Box<Connector>>,
    ) -> Progress<Self, Rejection> {
        let ask = Ask {
            caller: report.caller.clone(),
            subject: report.subject.clone(),
            policy,
            rejected: (report.kind == Kind::Unauthorized).then_some(report.refused),
            wait_ms: report.wait_ms,
            observed: None,
        };
        Self::picking(cx, report, Pick::begin(ask))
    }

    /// What follows from the connection that such a call uses now.
    fn picking(
        cx: &mut Context<'_>,
        mut report: Box<Report>,
        step: Progress<Pick, Picked>,
    ) -> Progress<Self, Rejection> {
        let Picked { connector, found, seen } = match step {
            Progress::Perform(pick, effect) => {
                return Progress::Perform(Self(State::Picking(report, Box::new(pick))), effect);
            }
            Progress::Done(Err(failure)) => return Progress::fail(failure),
            Progress::Done(Ok(picked)) => picked,
        };
        match (report.kind, found) {
            //= spec/mcp-2026-07-28.md#idx-step-up-authorization-flow
            //# Acting for a user, the engine SHOULD attempt a step-up when oauth scopes are insufficient, and
            //# without a user it MAY do so or give up (STEP-03, U).
            (Kind::InsufficientScope, Found::Use(used)) if !report.is_covered(&used) => {
                Self::step_up(cx, *report, &connector, *used)
            }
            (_, Found::Use(used)) if report.is_own() => {
                let picked = Picked { connector, found: Found::Use(used), seen };
                match Gathered::begin(report.resolve(), picked) {
                    Ok(gathered) => Self::gathering(Resolving::gather(cx, gathered)),
                    Err(_) => Progress::fail(Code::Internal),
                }
            }
            // The account has a token for another try; what else the call needs is found as for any call.
            (_, Found::Use(_)) => Self::gathering(Resolving::begin(cx, report.resolve())),
            // Others draw on the account too, and what one server says of its token must not take it from them: it is connected anew
            // if a person finds it broken.
            (_, Found::Rejected(used)) if !report.is_own() => {
                let reason = ChallengeReason::Reconnect(Condemned::Rejected.as_str());
                let need = report.need_for(&used, reason, Scopes::default());
                Self::challenge(cx, report.need(need))
            }
            //= spec/oauth21.md#5-3-2
            //# After a 401 to a request with a token the engine SHOULD read the challenge anew and refresh or
            //# authorize again, a bounded number of times (USE-04, U).
            (_, Found::Rejected(used)) => {
                let inquiry = Inquiry {
                    tenant: report.caller.tenant.clone(),
                    connector: connector.record.connector,
                    hint: report.hint.clone(),
                    fresh: true,
                };
                //= spec/rfc9728.md#5-2
                //# On a new challenge with `resource_metadata` for a resource already known, the engine
                //# SHOULD fetch the document again, check it and use what it says now (CH-07, U).
                // Who is the issuer now?
                let step = Discovery::begin(cx, inquiry);
                Self::asking(cx, Box::new(Rejected { report: *report, used: *used }), step)
            }
            (_, Found::Need(need)) => Self::challenge(cx, report.need(need)),
            (_, Found::Transient { until, observed, failure }) => {
                Progress::done(Rejection::Transient(Transient { retry_at: until, failure, observed }))
            }
            (_, Found::NotNeeded) => match connector.record.connector.drawn_account().cloned() {
                Some(account) if report.is_own() => {
                    report.subject = account;
                    Self::pick(cx, report, Some(Box::new(connector.record.connector)))
                }
                _ => Progress::done(Rejection::Nothing),
            },
        }
    }

    fn gathering(step: Progress<Resolving, Resolution>) -> Progress<Self, Rejection> {
        step.embed(
            |resolving| Self(State::Gathering(Box::new(resolving))),
            |result| {
                Progress::Done(result.map(|resolution| match resolution {
                    Resolution::Challenge(challenge) => Rejection::Challenge(challenge),
                    Resolution::Ready(ready) => Rejection::Retry(ready),
                    Resolution::Transient(transient) => Rejection::Transient(transient),
                }))
            },
        )
    }

    /// What follows from the resource's word on its issuer. If it cannot be had, the issuer is taken for the same.
    fn asking(
        cx: &mut Context<'_>,
        rejected: Box<Rejected>,
        step: Progress<Discovery, Finding>,
    ) -> Progress<Self, Rejection> {
        let finding = match step {
            Progress::Perform(discovery, effect) => {
                return Progress::Perform(Self(State::Asking(rejected, Box::new(discovery))), effect);
            }
            Progress::Done(finding) => finding,
        };
        let now = finding.ok().and_then(|finding| finding.result.ok());
        let before = rejected.used.connection.grant.as_ref().map(|grant| &grant.terms.issuer);
        // F139, atk:MIX-05: nothing of the old issuer's is ever sent to the new one.
        let why = match now {
            // One of several that the server names may be unreachable just now; it is still its issuer.
            Some(now)
                if before
                    .is_some_and(|before| *before != now.issuer.issuer && !now.named.contains(before)) =>
            {
                Condemned::IssuerChanged
            }
            _ => Condemned::Rejected,
        };
        let condemn = Condemn {
            place: rejected.place(),
            generation: rejected.used.connection.generation,
            epoch: rejected.used.connection.epoch,
            why,
        };
        let step = Transaction::begin(cx, condemn);
        Self::condemning(cx, rejected, why, step)
    }

    fn condemning(
        cx: &mut Context<'_>,
        rejected: Box<Rejected>,
        why: Condemned,
        step: Progress<Transaction<Condemn>, bool>,
    ) -> Progress<Self, Rejection> {
        match step {
            Progress::Perform(transaction, effect) => {
                let state = State::Condemning(rejected, why, Box::new(transaction));
                Progress::Perform(Self(state), effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            // The connection has moved on meanwhile: what stands there now decides.
            Progress::Done(Ok(false)) => Self::gathering(Resolving::begin(cx, rejected.report.resolve())),
            Progress::Done(Ok(true)) => {
                cx.emit_about(&rejected.place(), What::ReauthNeeded { reason: why.as_str().to_owned() });
                let Rejected { report, used } = *rejected;
                let need =
                    report.need_for(&used, ChallengeReason::Reconnect(why.as_str()), Scopes::default());
                Self::challenge(cx, report.need(need))
            }
        }
    }

    /// More scopes are wanted than were granted.
    fn step_up(
        cx: &mut Context<'_>,
        report: Report,
        connector: &Stored<ConnectorRecord>,
        used: Use,
    ) -> Progress<Self, Rejection> {
        let challenged = report.hint.scopes.clone().unwrap_or_default();
        //= spec/mcp-2026-07-28.md#idx-step-up-authorization-flow
        //# A step-up SHOULD ask for what was requested before together with what the challenge names
        //# (STEP-04, U).
        // From our own record, case-sensitive, never from what metadata lists.
        let Ok(union) = used.connection.requested.union(&challenged) else {
            return Progress::fail(
                Failure::new(Code::ScopeDenied).because("the server asks for too many scopes"),
            );
        };
        // P20
        let limit = connector.record.connector.scope_limit.as_ref();
        if limit.is_some_and(|limit| !limit.contains_all(&challenged)) {
            return Progress::fail(
                Failure::new(Code::ScopeDenied).because("the connector's scope limit forbids them"),
            );
        }
        let audience = used.connection.grant.as_ref().map(|grant| grant.terms.audience.as_str());
        let count = CountStepUp {
            place: report.place(&used),
            subject: step_up::subject(audience.unwrap_or_default(), &report.operation),
            wanted: challenged,
        };
        let step = Transaction::begin(cx, count);
        Self::counting(cx, Box::new(StepUp { report, used, scopes: union }), step)
    }

    fn counting(
        cx: &mut Context<'_>,
        step_up: Box<StepUp>,
        step: Progress<Transaction<CountStepUp>, Counted>,
    ) -> Progress<Self, Rejection> {
        match step {
            Progress::Perform(transaction, effect) => {
                Progress::Perform(Self(State::Counting(step_up, Box::new(transaction))), effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(Counted::Exhausted { until })) => {
                Progress::fail(Failure::new(Code::ScopeDenied).retry_at(until))
            }
            Progress::Done(Ok(Counted::Allowed)) => {
                let StepUp { report, used, scopes } = *step_up;
                let need = report.need_for(&used, ChallengeReason::StepUp, scopes);
                Self::challenge(cx, need)
            }
        }
    }

    fn challenge(cx: &mut Context<'_>, need: Need) -> Progress<Self, Rejection> {
        Self::challenging(Issue::begin(cx, need))
    }

    fn challenging(step: Progress<Issue, Challenge>) -> Progress<Self, Rejection> {
        step.embed(
            |issue| Self(State::Challenging(Box::new(issue))),
            |result| Progress::Done(result.map(|challenge| Rejection::Challenge(Box::new(challenge)))),
        )
    }
}

impl Report {
    fn place(&self, used: &Use) -> Place {
        Place {
            tenant: self.caller.tenant.clone(),
            owner: used.owner.clone(),
            connector: self.subject.clone(),
        }
    }

    /// The call once more.
    fn resolve(&self) -> Resolve {
        Resolve { wait_ms: self.wait_ms, ..Resolve::new(self.caller.clone(), self.connector.clone()) }
    }

    /// Whether the token was the connector's own, not an account's.
    fn is_own(&self) -> bool {
        self.subject == self.connector
    }

    /// Whether somebody has stepped up since the call was made.
    fn is_covered(&self, used: &Use) -> bool {
        let granted = used.connection.grant.as_ref().map(|grant| &grant.scopes);
        let wanted = self.hint.scopes.as_ref();
        let moved = self.refused.connection.is_some_and(|connection| connection != used.connection.id)
            || used.connection.generation > self.refused.generation;
        moved && granted.zip(wanted).is_some_and(|(granted, wanted)| granted.contains_all(wanted))
    }

    /// The same need, with what the resource's challenge says.
    fn need(&self, mut need: Need) -> Need {
        if self.is_own() && need.connector == self.connector {
            need.resource_metadata.clone_from(&self.hint.resource_metadata);
            // The challenge's scopes are those of the operation, whatever metadata lists.
            if let Some(scopes) = &self.hint.scopes {
                need.scopes = need.scopes.union(scopes).unwrap_or_else(|_| scopes.clone());
            }
        }
        need
    }

    fn need_for(&self, used: &Use, reason: ChallengeReason, scopes: Scopes) -> Need {
        let may_connect = policy::may_manage(&self.caller, &used.owner);
        Need {
            tenant: self.caller.tenant.clone(),
            principal: self.caller.principal.clone(),
            connector: self.subject.clone(),
            owner: used.owner.clone(),
            reason: if may_connect { reason } else { ChallengeReason::AskManager },
            scopes,
            resource_metadata: self.hint.resource_metadata.clone().filter(|_| self.is_own()),
        }
    }
}

impl Rejected {
    fn place(&self) -> Place {
        self.report.place(&self.used)
    }
}
