//! `complete_connect`: the callback. It is checked before anything is sent or written; the code is redeemed once.
//!
//! ```text
//! Fresh       + start       -> AwaitFlow    [Read]     after parsing: nothing is looked up for a malformed callback
//! AwaitFlow   + code        -> Claiming     [Read]     after binding, principal, path, `iss`, time and status, in this order
//! AwaitFlow   + error, late -> Ending       [Read]
//! Claiming    + claimed     -> AwaitTokens  [Http]
//! AwaitTokens + tokens      -> Installing   [Read]
//! AwaitTokens + any other   -> Ending       [Read]
//! Installing  + installed   -> done, or Draining [Http]
//! Installing  + moved on    -> Draining     [Http]
//! Ending      + ended       -> failure
//! ```

mod claim;
mod end;
mod install;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::claim::{Claim, Claimed};
use self::end::{End, EndFlow};
use self::install::{Install, Installed};
use super::binding::Presented;
use super::drain::{Drain, Drained};
use super::place::Place;
use super::ready::Warning;
use super::resolve::warnings;
use super::{Exchange, Transaction};
use crate::engine::Engine;
use crate::error::{Code, Failure};
use crate::event::What;
use crate::limits::TOKEN_RESPONSE_MAX_BYTES;
use crate::operation::{
    Answer, Context, Effect, HttpFault, HttpResponse, Machine, Operation, OperationId, Progress, Versioned,
    machine,
};
use crate::policy;
use crate::principal::{Caller, ConnectorId, Principal, TenantId};
use crate::protocol::authorization::{
    AuthorizationAnswer, AuthorizationErrorCode, AuthorizationResponse, WrongIssuer,
};
use crate::protocol::redirect_uri::RedirectUri;
use crate::protocol::scopes::Scopes;
use crate::protocol::token::{self, TokenAnswer, TokenErrorCode, TokenResponse, TokenType};
use crate::protocol::url::HttpUrl;
use crate::secret::Secret;
use crate::store::records::{Binding, Connection, Flow, FlowHash, FlowStatus, StagedRecord};
use crate::store::{Key, lookup_hash};

/// Hands in what came to the callback address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "model", derive(Hash))]
#[serde(deny_unknown_fields)]
pub struct CompleteConnect {
    /// Who is signed in where the callback arrived, with teams and role where the flow is for a team or the tenant; `None`: nobody.
    #[serde(default)]
    pub caller: Option<Caller>,
    /// The URL of the callback, raw: whole, or path and query. It holds the code.
    pub callback_url: Secret,
    /// The raw `Cookie` header of the callback request.
    #[serde(default)]
    pub cookies: Option<Secret>,
    /// For flows bound to a process: the secret that `begin_connect` gave it.
    #[serde(default)]
    pub process_secret: Option<Secret>,
}

/// The account is connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "model", derive(Hash))]
pub struct Connected {
    /// The upstream.
    pub connector: ConnectorId,
    /// Whose connection it is.
    pub owner: Principal,
    /// The connection; the same over reconnects.
    pub connection: OperationId,
    /// The generation of the new tokens; 0 while they are staged.
    pub generation: u64,
    /// What was granted.
    pub scopes: Scopes,
    /// What was asked for and not granted.
    pub missing: Scopes,
    /// The account's name at the upstream, if it told one. Untrusted.
    pub account: Option<String>,
    /// The account differs from the one connected before: nothing is replaced until the owner confirms.
    pub awaits_confirmation: bool,
    /// What the profile `standard` accepts and reports.
    pub warnings: Vec<Warning>,
    /// It was obtained in a consent session of the gateway, and is the owner's only once that ends well.
    pub staged: bool,
    /// Where the host's page is to go, as given to `begin_connect`.
    pub return_to: Option<String>,
}

impl Connected {
    fn staged(flow: &Flow, staged: StagedRecord) -> Self {
        let StagedRecord { grant, account, connection, .. } = staged;
        Self {
            connector: flow.connector.clone(),
            owner: flow.owner.clone(),
            connection,
            generation: 0,
            missing: flow.scopes.missing_from(&grant.scopes),
            account: account.and_then(|account| account.label),
            awaits_confirmation: false,
            warnings: warnings(&grant),
            scopes: grant.scopes,
            staged: true,
            return_to: flow.return_to.clone(),
        }
    }
}

impl Engine {
    /// Finishes an authorization attempt with what came to the callback address.
    ///
    /// A callback that fails state, binding, principal or `iss` changes nothing, so a forged one cannot hurt the real one.
    pub fn complete_connect(self: &Arc<Self>, arguments: CompleteConnect) -> Operation<Completing> {
        let actor = arguments.caller.as_ref().map(|caller| caller.principal.clone());
        Operation::new(Arc::clone(self), actor, Completing(State::Fresh(Box::new(arguments))))
    }

    /// The tenant whose flow a callback belongs to, for hosts whose tenants share one callback address. It proves nothing.
    pub fn tenant_of_callback(&self, callback_url: &str) -> Option<TenantId> {
        let response = AuthorizationResponse::parse(callback_url).ok()?;
        tenant_of(self, response.state())
    }
}

fn tenant_of(engine: &Engine, state: &Secret) -> Option<TenantId> {
    let (locator, _) = state.expose().split_once('.')?;
    TenantId::new(engine.keyring().located("state", locator)?).ok()
}

impl Completing {
    /// The same as a part of another machine.
    pub(crate) fn within(arguments: CompleteConnect) -> Self {
        Self(State::Fresh(Box::new(arguments)))
    }

    /// Where the flow's page is to go, once the callback is known to be the flow's own.
    pub(crate) fn return_to(&self) -> Option<&str> {
        match &self.0 {
            State::AwaitTokens(redeeming) | State::Installing(redeeming, _) => {
                redeeming.flow.return_to.as_deref()
            }
            State::Ending(_, transaction, _) => transaction.decision().flow.return_to.as_deref(),
            State::Claiming(_, transaction) => transaction.decision().flow.return_to.as_deref(),
            State::AwaitFlow(_) | State::Draining(..) | State::Fresh(_) => None,
        }
    }
}

/// A `complete_connect` under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct Completing(State);

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    AwaitFlow(Box<Callback>),
    AwaitTokens(Box<Redeeming>),
    Claiming(Box<Approved>, Box<Transaction<Claim>>),
    Draining(Box<Drain>, Box<Result<Connected, Failure>>),
    Ending(Box<Place>, Box<Transaction<EndFlow>>, Failure),
    Fresh(Box<CompleteConnect>),
    Installing(Box<Redeeming>, Box<Transaction<Install>>),
}

/// A callback and where its flow stands.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Callback {
    arguments: CompleteConnect,
    tenant: TenantId,
    hash: FlowHash,
}

/// A checked callback with a code.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Approved {
    tenant: TenantId,
    key: Key,
    code: Secret,
}

/// A claimed flow.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Redeeming {
    place: Place,
    key: Key,
    flow: Flow,
    claim: OperationId,
}

impl machine::Sealed for Completing {}

impl Machine for Completing {
    type Output = Connected;

    #[allow(private_interfaces)]
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Connected> {
        match (self.0, answer) {
            (State::Fresh(arguments), Answer::Start) => Self::parse(cx, *arguments),
            (State::AwaitFlow(callback), Answer::Read(Some(found))) => Self::check(cx, &callback, &found),
            (State::AwaitFlow(_), Answer::Read(None)) => Progress::fail(Code::StoreUnavailable),
            (State::Claiming(approved, transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::claiming(cx, approved, step)
            }
            (State::AwaitTokens(redeeming), Answer::Http(answer)) => Self::answered(cx, redeeming, answer),
            (State::Installing(redeeming, transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::installing(cx, redeeming, step)
            }
            (State::Ending(place, transaction, failure), answer) => {
                let step = transaction.step(cx, answer);
                Self::ending(cx, place, failure, step)
            }
            (State::Draining(drain, result), answer) => Self::draining(*result, drain.step(cx, answer)),
            _ => Progress::fail(Code::Internal),
        }
    }
}

impl Completing {
    fn parse(cx: &Context<'_>, arguments: CompleteConnect) -> Progress<Self, Connected> {
        let response = match read(&arguments) {
            Ok(response) => response,
            Err(failure) => return Progress::fail(failure),
        };
        //= spec/mcp-2026-07-28.md#sec-open-redirection
        //# A response whose `state` is not that of a pending flow SHOULD be discarded (AZR-01, U).
        let Some(tenant) = tenant_of(cx.engine, response.state()) else {
            return Progress::fail(Code::FlowUnknown);
        };
        if arguments.caller.as_ref().is_some_and(|caller| caller.tenant != tenant) {
            return Progress::fail(Code::FlowUnknown);
        }
        let hash = FlowHash(lookup_hash("state", response.state().expose()));
        let keys = vec![Key::flow(&tenant, &hash.0)];
        let callback = Callback { arguments, tenant, hash };
        Progress::Perform(Self(State::AwaitFlow(Box::new(callback))), Effect::Read { keys })
    }

    /// Everything that can be said before the code goes anywhere; the order matters, for what a forger may learn and change.
    fn check(
        cx: &mut Context<'_>,
        callback: &Callback,
        found: &[Option<Versioned>],
    ) -> Progress<Self, Connected> {
        let key = Key::flow(&callback.tenant, &callback.hash.0);
        let stored = match cx.open::<Flow>(&key, found.first().and_then(Option::as_ref)) {
            Ok(Some(stored)) => stored,
            Ok(None) => return Progress::fail(Code::FlowUnknown),
            Err(failure) => return Progress::fail(failure),
        };
        //= spec/mcp-2026-07-28.md#idx-authorization-response-validation
        //# The check of `iss` MUST be over before the code is sent anywhere (AZR-07, U).
        let answer = match callback.answer(cx.engine, &stored.record) {
            Ok(answer) => answer,
            Err(failure) => {
                // atk:CON-02: somebody's link may have been forwarded; whoever watches the events hears of it.
                if matches!(failure.code(), Code::BindingMismatch | Code::PrincipalMismatch) {
                    let slug = failure.slug().to_owned();
                    cx.emit_about(&stored.record.place(&callback.tenant), What::CallbackMisdirected { slug });
                }
                return Progress::fail(failure);
            }
        };
        match stored.record.status {
            FlowStatus::Created => {}
            FlowStatus::Expired => return Progress::fail(Code::FlowExpired),
            //= spec/oauth21.md#2-3-4
            //# A pending flow MUST be finished by the user agent that began it, once, and before it expires
            //# (AZR-10, U).
            // atk:CSR-05
            FlowStatus::Claimed(_) | FlowStatus::Completed | FlowStatus::Failed => {
                return Progress::fail(Code::FlowUsed);
            }
        }
        let flow = stored.record;
        // P8, P26: committed before it is said, so that a clock set back cannot revive it.
        let skew = cx.engine.limits().clock_skew_ms;
        if cx.now() >= flow.expires_at || cx.now().plus(skew) < flow.created_at {
            return Self::end(cx, key, &callback.tenant, flow, End::Expired, Failure::new(Code::FlowExpired));
        }
        match answer {
            AuthorizationAnswer::Refused(error) => {
                let code = match error.code {
                    AuthorizationErrorCode::AccessDenied => Code::AccessDenied,
                    AuthorizationErrorCode::InvalidScope => Code::ScopeRefused,
                    AuthorizationErrorCode::InvalidTarget => Code::ResourceRefused,
                    AuthorizationErrorCode::TemporarilyUnavailable | AuthorizationErrorCode::ServerError => {
                        Code::IssuerUnavailable
                    }
                    AuthorizationErrorCode::InvalidRequest
                    | AuthorizationErrorCode::UnauthorizedClient
                    | AuthorizationErrorCode::UnsupportedResponseType
                    | AuthorizationErrorCode::Other => Code::AuthorizationRefused,
                };
                let end = End::Failed { doubt: false, client_refused: false };
                Self::end(cx, key, &callback.tenant, flow, end, Failure::new(code).quoting(error.text))
            }
            AuthorizationAnswer::Code(code) => {
                let (tenant, hash) = (callback.tenant.clone(), callback.hash);
                let approved = Approved { tenant: tenant.clone(), key: key.clone(), code };
                let step = Transaction::begin(cx, Claim { key, hash, tenant, flow });
                Self::claiming(cx, Box::new(approved), step)
            }
        }
    }

    fn end(
        cx: &mut Context<'_>,
        key: Key,
        tenant: &TenantId,
        flow: Flow,
        end: End,
        failure: Failure,
    ) -> Progress<Self, Connected> {
        let place = flow.place(tenant);
        let step =
            Transaction::begin(cx, EndFlow { key, flow, place: place.clone(), end, slug: failure.slug() });
        Self::ending(cx, Box::new(place), failure, step)
    }

    fn claiming(
        cx: &mut Context<'_>,
        approved: Box<Approved>,
        step: Progress<Transaction<Claim>, Claimed>,
    ) -> Progress<Self, Connected> {
        let claimed = match step {
            Progress::Perform(transaction, effect) => {
                return Progress::Perform(Self(State::Claiming(approved, Box::new(transaction))), effect);
            }
            Progress::Done(Err(failure)) => return Progress::fail(failure),
            Progress::Done(Ok(claimed)) => claimed,
        };
        let redeeming = Box::new(Redeeming {
            place: claimed.flow.place(&approved.tenant),
            key: approved.key,
            flow: claimed.flow,
            claim: claimed.claim,
        });
        match request(cx, &redeeming.flow, &approved.code) {
            Ok(effect) => Progress::Perform(Self(State::AwaitTokens(redeeming)), effect),
            Err(failure) => {
                Self::fail(cx, *redeeming, End::Failed { doubt: false, client_refused: false }, failure)
            }
        }
    }

    /// The code was sent, once; whatever the answer, it is never sent again.
    fn answered(
        cx: &mut Context<'_>,
        redeeming: Box<Redeeming>,
        answer: Result<HttpResponse, HttpFault>,
    ) -> Progress<Self, Connected> {
        match judge(answer) {
            Ok(tokens) => {
                let install = Install::new(cx, &redeeming, tokens);
                let step = Transaction::begin(cx, install);
                Self::installing(cx, redeeming, step)
            }
            Err((end, failure)) => Self::fail(cx, *redeeming, end, failure),
        }
    }

    fn fail(
        cx: &mut Context<'_>,
        redeeming: Redeeming,
        end: End,
        failure: Failure,
    ) -> Progress<Self, Connected> {
        Self::end(cx, redeeming.key, &redeeming.place.tenant, redeeming.flow, end, failure)
    }

    fn ending(
        cx: &mut Context<'_>,
        place: Box<Place>,
        failure: Failure,
        step: Progress<Transaction<EndFlow>, Option<String>>,
    ) -> Progress<Self, Connected> {
        match step {
            Progress::Perform(transaction, effect) => {
                Progress::Perform(Self(State::Ending(place, Box::new(transaction), failure)), effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(forgotten)) => {
                if let Some(issuer) = forgotten {
                    cx.emit_about(&place, What::RegistrationStale { issuer });
                }
                cx.emit_about(&place, What::FlowFailed { slug: failure.slug().to_owned() });
                Progress::fail(failure)
            }
        }
    }

    fn installing(
        cx: &mut Context<'_>,
        redeeming: Box<Redeeming>,
        step: Progress<Transaction<Install>, Installed>,
    ) -> Progress<Self, Connected> {
        let installed = match step {
            Progress::Perform(transaction, effect) => {
                return Progress::Perform(Self(State::Installing(redeeming, Box::new(transaction))), effect);
            }
            Progress::Done(Err(failure)) => return Progress::fail(failure),
            Progress::Done(Ok(installed)) => installed,
        };
        let place = redeeming.place.clone();
        let (connection, secret, result) = match installed {
            Installed::Connected(connection, secret) => {
                let result = connected(&redeeming.flow, &connection);
                if let Ok(connected) = &result {
                    let what = if connected.awaits_confirmation {
                        What::AccountChanged
                    } else {
                        let terms = &redeeming.flow.terms;
                        let generation = connection.generation;
                        What::Connected {
                            generation,
                            parent: terms.parent,
                            protected: terms.protected,
                            challenge: redeeming.flow.challenge.clone(),
                        }
                    };
                    cx.emit_about(&place, what);
                }
                (connection, secret, result)
            }
            Installed::Staged(connection, staged, secret) => {
                cx.emit_about(&place, What::Staged);
                let result = Connected::staged(&redeeming.flow, *staged);
                (connection, secret, Ok(result))
            }
            Installed::Parked(connection, code) => {
                cx.emit_about(&place, What::FlowFailed { slug: code.slug().to_owned() });
                (connection, None, Err(Failure::new(code)))
            }
        };
        let step = Drain::begin(cx, place, &connection.outbox, secret.as_ref());
        Self::draining(result, step)
    }

    /// Whatever becomes of the replaced tokens, the outcome stands: what is left in the outbox is the sweep's.
    fn draining(
        result: Result<Connected, Failure>,
        step: Progress<Drain, Drained>,
    ) -> Progress<Self, Connected> {
        match step {
            Progress::Perform(drain, effect) => {
                Progress::Perform(Self(State::Draining(Box::new(drain), Box::new(result))), effect)
            }
            Progress::Done(_) => Progress::Done(result),
        }
    }
}

fn read(arguments: &CompleteConnect) -> Result<AuthorizationResponse, Failure> {
    AuthorizationResponse::parse(arguments.callback_url.expose())
        .map_err(|invalid| Failure::new(Code::CallbackMalformed).because(invalid.0))
}

impl Callback {
    /// What the issuer answered: only for the browser, process or person that began, on the address that belongs to the issuer,
    /// and in the name of the issuer. A callback that fails here changes nothing (P27).
    fn answer(&self, engine: &Engine, flow: &Flow) -> Result<AuthorizationAnswer, Failure> {
        let presented = Presented {
            cookies: self.arguments.cookies.as_ref(),
            process_secret: self.arguments.process_secret.as_ref(),
        };
        //= spec/oauth21.md#2-3-4
        //# A pending flow MUST be finished by the user agent that began it, once, and before it expires
        //# (AZR-10, U).
        //= spec/mcp-best-practices.md#oauth-state-parameter-validation
        //# At the upstream's callback a `state` that is missing or not this browser's MUST be refused, and
        //# each counts once and for about ten minutes (CON-08, B).
        //= spec/derived.md#con-09
        //# The browser at the upstream's callback MUST be the one in which the step was approved, and the
        //# protection of forms be bound to the browser, not to the session alone (CON-09, B, derived).
        // atk:CSR-02
        if !flow.binding.holds(engine, self.hash, &presented) {
            return Err(Code::BindingMismatch.into());
        }
        // atk:CSR-03
        let Some(caller) = &self.arguments.caller else {
            return Err(Failure::new(Code::PrincipalMismatch).because("nobody is signed in"));
        };
        if caller.principal != flow.principal {
            return Err(Code::PrincipalMismatch.into());
        }
        // F64: who began for a team and has since left it, or lost the role, does not finish.
        if !policy::may_manage(caller, &flow.owner) {
            return Err(Code::NotAllowed.into());
        }
        let response = read(&self.arguments)?;
        // atk:MIX-01, atk:MIX-07: each issuer that does not name itself has a path of its own.
        let expected = RedirectUri::new(flow.redirect_uri.as_str()).map_err(|_| Code::StoreIntegrity)?;
        // Without a path there is nothing to compare; only a person who pastes may leave it out.
        let in_place = match response.path() {
            Some(path) => path == expected.path(),
            None => flow.binding == Binding::Paste,
        };
        if !in_place {
            return Err(Code::ContextMismatch.into());
        }
        response.answer_of(&flow.terms.issuer, flow.iss_promised).map_err(|wrong| match wrong {
            WrongIssuer::Mismatch => Code::CallbackIssuerMismatch.into(),
            WrongIssuer::Missing => Code::CallbackIssuerMissing.into(),
        })
    }
}

impl Flow {
    pub(crate) fn place(&self, tenant: &TenantId) -> Place {
        Place { tenant: tenant.clone(), owner: self.owner.clone(), connector: self.connector.clone() }
    }
}

/// The token request: all of it from the flow.
fn request(cx: &Context<'_>, flow: &Flow, code: &Secret) -> Result<Effect, Failure> {
    let terms = &flow.terms;
    //= spec/oauth21.md#7-14
    //# The code MUST go to the token endpoint of the pending flow's issuer and nowhere else (AZR-11, U).
    let url = HttpUrl::parse(&terms.token_endpoint, cx.engine.plain_http()).map_err(|_| Code::UrlRefused)?;
    let redirect_uri = RedirectUri::new(flow.redirect_uri.as_str()).map_err(|_| Code::StoreIntegrity)?;
    let form = token::authorization_code(code, &flow.verifier, &redirect_uri, terms.resource.as_deref())
        .map_err(|invalid| Failure::new(Code::CallbackMalformed).because(invalid.0))?;
    Exchange::new(&url, terms.address_policy.clone(), TOKEN_RESPONSE_MAX_BYTES).post_form(
        cx,
        form,
        &terms.client,
    )
}

/// What the issuer's answer means: tokens, or how the flow ends.
fn judge(answer: Result<HttpResponse, HttpFault>) -> Result<TokenResponse, (End, Failure)> {
    const CERTAIN: End = End::Failed { doubt: false, client_refused: false };
    const DOUBTFUL: End = End::Failed { doubt: true, client_refused: false };
    let response = match answer {
        Ok(response) => response,
        Err(HttpFault::AddressRefused { sent: false }) => return Err((CERTAIN, Code::AddressRefused.into())),
        Err(HttpFault::NotSent) => return Err((CERTAIN, Code::IssuerUnavailable.into())),
        Err(HttpFault::AddressRefused { sent: true }) => return Err((DOUBTFUL, Code::AddressRefused.into())),
        Err(HttpFault::TooLarge) => return Err((DOUBTFUL, Code::ResponseTooLarge.into())),
        Err(HttpFault::Encoded) => {
            let failure = Failure::new(Code::TokenResponseInvalid).because("the answer is compressed");
            return Err((DOUBTFUL, failure));
        }
        Err(HttpFault::Unknown) => return Err((DOUBTFUL, Code::OutcomeUnknown.into())),
    };
    if (300..400).contains(&response.status) {
        return Err((CERTAIN, Code::Redirected.into()));
    }
    match token::read(response.status, response.header("content-type"), response.body.expose()) {
        //= spec/rfc6749.md#7-1
        //# `token_type` MUST be compared without regard to case, and a token of an unknown type is not used
        //# (TOK-09, U).
        TokenAnswer::Tokens(TokenResponse { token_type: TokenType::Other(name), .. }) => {
            Err((DOUBTFUL, Failure::new(Code::TokenTypeUnsupported).quoting(name)))
        }
        TokenAnswer::Tokens(tokens) => Ok(tokens),
        TokenAnswer::InDoubt(invalid) => {
            Err((DOUBTFUL, Failure::new(Code::TokenResponseInvalid).because(invalid.0)))
        }
        // An issuer in trouble may have issued before it fell over; one that says "later" has not.
        TokenAnswer::Unavailable if matches!(response.status, 500..=599) && response.status != 503 => {
            Err((DOUBTFUL, Code::IssuerUnavailable.into()))
        }
        TokenAnswer::Unavailable => Err((CERTAIN, Code::IssuerUnavailable.into())),
        TokenAnswer::Refused(error) => {
            //= spec/derived.md#err-03
            //# Of token errors, `invalid_grant` for a code MUST lead to a new start, `invalid_target` to a
            //# stop, `invalid_scope` to a report without asking for less, and none to another grant type
            //# (ERR-03, U, derived).
            let code = match error.code {
                TokenErrorCode::InvalidGrant => Code::CodeRefused,
                TokenErrorCode::InvalidClient => Code::ClientRefused,
                TokenErrorCode::InvalidScope => Code::ScopeRefused,
                TokenErrorCode::InvalidTarget => Code::ResourceRefused,
                TokenErrorCode::InvalidRequest
                | TokenErrorCode::UnauthorizedClient
                | TokenErrorCode::UnsupportedGrantType
                | TokenErrorCode::Other => Code::TokenRefused,
            };
            let end = End::Failed { doubt: false, client_refused: code == Code::ClientRefused };
            let failure = Failure::new(code);
            Err((
                end,
                match error.text {
                    Some(text) => failure.quoting(text),
                    None => failure,
                },
            ))
        }
    }
}

fn connected(flow: &Flow, connection: &Connection) -> Result<Connected, Failure> {
    let awaiting = connection.awaiting.as_deref();
    let (grant, account) = match awaiting {
        Some(held) => (&held.grant, &held.account),
        None => (connection.grant.as_deref().ok_or(Code::Internal)?, &connection.account),
    };
    Ok(Connected {
        connector: flow.connector.clone(),
        owner: flow.owner.clone(),
        connection: connection.id,
        generation: connection.generation,
        scopes: grant.scopes.clone(),
        missing: flow.scopes.missing_from(&grant.scopes),
        account: account.as_ref().and_then(|account| account.label.clone()),
        awaits_confirmation: awaiting.is_some(),
        warnings: warnings(grant),
        staged: false,
        return_to: flow.return_to.clone(),
    })
}
