//! `authenticate`: who sends a request to the host's MCP endpoint, or the response to send instead.
//!
//! ```text
//! Fresh       + start   -> AwaitFamily  [Read]         or refused: no credentials, or none that can be read
//! AwaitFamily + found   -> the caller, or refused
//!                       -> Identifying  [Identify]     the host's last answer is old
//! Identifying + stands  -> Noting       [Transaction]
//!             + gone    -> Ending       [Transaction]  the family is dead before it is said
//! Noting      + noted   -> the caller, or refused
//! Ending      + ended   -> refused
//! ```

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::credential::{Presented, TokenKind};
use super::family::{self, End, SignedOut};
use super::handle::{ProtocolError, refuse};
use super::response::Response;
use super::route::Surface;
use super::sign_ins::SignInId;
use super::site::{self, Site};
use crate::engine::Engine;
use crate::error::{Code, Failure};
use crate::event::What;
use crate::moment::UnixMillis;
use crate::operation::{
    Answer, Context, Effect, IdentityReply, Machine, Operation, OperationId, Progress, Versioned, Whom,
    machine,
};
use crate::principal::{Caller, TenantId};
use crate::protocol::bearer_challenge::{self, BearerError};
use crate::protocol::scopes::Scopes;
use crate::secret::Secret;
use crate::store::Key;
use crate::store::records::{FamilyRecord, Revoked};
use crate::upstream::{Decide, Decision, Transaction};

/// Asks who sends a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "model", derive(Hash))]
#[serde(deny_unknown_fields)]
pub struct Authenticate {
    /// Whose gateway it came to, as the host routes: never from a header.
    pub tenant: TenantId,
    /// The request's headers; those that are not `Authorization` are not looked at. Tokens in a query or a body count for nothing.
    pub headers: Vec<(String, Secret)>,
    /// The endpoint that it came to: the base URL and one of the configured paths.
    pub resource: String,
    /// The oauth scopes that the request needs, all of them. Default: none.
    #[serde(default)]
    pub scopes: Scopes,
}

/// Who sends a request, or what to answer it with.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Clone, Hash))]
pub enum Authenticated {
    /// The request may go on, for this caller and nobody else.
    Caller(Box<SignedInCaller>),
    /// The request ends here; send this.
    Refused(Box<Response>),
}

/// Whom a good token stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct SignedInCaller {
    /// Who it is, as the host last answered; at most `identity_max_age_ms` ago.
    pub caller: Caller,
    /// The MCP client that acts for them.
    pub client_id: String,
    /// Which of their sign-ins it is.
    pub sign_in: SignInId,
    /// What the client was allowed.
    pub scopes: Scopes,
    /// When the token ends.
    pub expires_at: UnixMillis,
}

impl Engine {
    /// Who sends a request to an MCP endpoint of the host. Whatever goes wrong comes to a response: 400, 401 and 403 with a
    /// challenge, 503 if the store or the host cannot say; there is no caller without a good token.
    pub fn authenticate(self: &Arc<Self>, arguments: Authenticate) -> Operation<Authenticating> {
        Operation::new(Arc::clone(self), None, Authenticating(State::Fresh(Box::new(arguments))))
    }
}

/// An `authenticate` under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct Authenticating(State);

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    AwaitFamily(Box<Asked>),
    Ending(Box<Asked>, Box<Transaction<End>>),
    Fresh(Box<Authenticate>),
    Identifying(Box<Asked>),
    Noting(Box<Asked>, Box<Transaction<Note>>),
}

/// A token, and what it has to be good for.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Asked {
    door: Door,
    token: Presented,
}

/// The endpoint that a request came to.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Door {
    tenant: TenantId,
    resource: String,
    metadata: String,
    /// What basic use needs.
    basic: Scopes,
    /// What this request needs.
    needed: Scopes,
}

impl machine::Sealed for Authenticating {}

impl Machine for Authenticating {
    type Output = Authenticated;

    #[allow(private_interfaces)]
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Authenticated> {
        match (self.0, answer) {
            (State::Fresh(arguments), Answer::Start) => Self::begin(cx, *arguments),
            (State::AwaitFamily(asked), Answer::Read(Some(found))) => Self::found(cx, asked, &found),
            // atk:HDR-08
            (State::AwaitFamily(_), Answer::Read(None)) => unavailable(cx, Code::StoreUnavailable.into()),
            (State::Identifying(asked), Answer::Identity(reply)) => Self::identified(cx, asked, reply),
            (State::Noting(asked, transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::noted(cx, asked, step)
            }
            (State::Ending(asked, transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::ended(cx, asked, step)
            }
            _ => Progress::fail(Code::Internal),
        }
    }
}

impl Authenticating {
    fn begin(cx: &mut Context<'_>, arguments: Authenticate) -> Progress<Self, Authenticated> {
        let Authenticate { tenant, headers, resource, scopes } = arguments;
        let door = match Door::of(cx, tenant, resource, scopes) {
            Ok(door) => door,
            Err(failure) => return unavailable(cx, failure),
        };
        //= spec/oauth21.md#5-1-1
        //# The resource MUST take a token from the `Authorization` header, its scheme in any case, and look
        //# for none in a query (USE-05, R).
        //= spec/mcp-best-practices.md#state-handle-hijacking
        //# Every inbound request MUST be verified for itself, and a handle of state authenticates nobody
        //# (USE-12, R).
        let token = match bearer(&headers) {
            Ok(Some(token)) => token,
            //= spec/mcp-2026-07-28.md#idx-token-handling
            //# A request without a token, or whose token is not valid or has ended, MUST be answered with 401
            //# (CH-09, R).
            //= spec/oauth21.md#5-3-1
            //# A challenge SHOULD say no `error` where no credentials came, and `invalid_token` where a token
            //# was bad (CH-12, R).
            Ok(None) => return door.refused(cx, None),
            Err(why) => return door.refused(cx, Some((BearerError::InvalidRequest, why))),
        };
        //= spec/mcp-2026-07-28.md#idx-token-handling
        //# No other token than one of the gateway's own MUST be accepted, and none is passed on (USE-08, R).
        // atk:COD-09: no refresh token and no code, whatever they look like.
        let Some(token) = Presented::read_as(TokenKind::Access, token) else {
            return door.invalid_token(cx);
        };
        let keys = vec![Key::family(&door.tenant, &token.family.0)];
        Progress::Perform(Self(State::AwaitFamily(Box::new(Asked { door, token }))), Effect::Read { keys })
    }

    fn found(
        cx: &mut Context<'_>,
        asked: Box<Asked>,
        found: &[Option<Versioned>],
    ) -> Progress<Self, Authenticated> {
        let key = Key::family(&asked.door.tenant, &asked.token.family.0);
        let family = match cx.open::<FamilyRecord>(&key, found.first().and_then(Option::as_ref)) {
            Ok(found) => found.map(|stored| stored.record),
            Err(failure) => return unavailable(cx, failure),
        };
        let (now, limits) = (cx.now(), cx.engine.limits());
        //= spec/mcp-2026-07-28.md#idx-token-handling
        //# End, resource and oauth scopes of a token MUST be checked before anything of the request is
        //# processed (USE-06, R).
        let Some(family) = family.filter(|family| asked.is_good(cx, family)) else {
            return asked.door.invalid_token(cx);
        };
        if family.must_ask(now, limits) {
            let whom = Whom::Principal(family.caller.principal);
            let tenant = asked.door.tenant.clone();
            return Progress::Perform(Self(State::Identifying(asked)), Effect::Identify { tenant, whom });
        }
        asked.admit(cx, &family)
    }

    fn identified(
        cx: &mut Context<'_>,
        asked: Box<Asked>,
        reply: IdentityReply,
    ) -> Progress<Self, Authenticated> {
        let (tenant, family) = (asked.door.tenant.clone(), asked.token.family);
        match reply {
            IdentityReply::Caller(caller) => {
                let step = Transaction::begin(cx, Note { tenant, token: asked.token, caller });
                Self::noted(cx, asked, step)
            }
            IdentityReply::Rejected => {
                let step = Transaction::begin(cx, End { tenant, family, reason: Revoked::PrincipalGone });
                Self::ended(cx, asked, step)
            }
            // atk:HDR-08: neither a rejection nor its contrary.
            IdentityReply::Unavailable => unavailable(cx, Code::IdentityUnavailable.into()),
        }
    }

    fn noted(
        cx: &mut Context<'_>,
        asked: Box<Asked>,
        step: Progress<Transaction<Note>, Option<Box<FamilyRecord>>>,
    ) -> Progress<Self, Authenticated> {
        match step {
            Progress::Perform(transaction, effect) => {
                let state = State::Noting(asked, Box::new(transaction));
                Progress::Perform(Self(state), effect)
            }
            Progress::Done(Ok(Some(family))) => asked.admit(cx, &family),
            Progress::Done(Ok(None)) => asked.door.invalid_token(cx),
            Progress::Done(Err(failure)) => unavailable(cx, failure),
        }
    }

    fn ended(
        cx: &mut Context<'_>,
        asked: Box<Asked>,
        step: Progress<Transaction<End>, Option<SignedOut>>,
    ) -> Progress<Self, Authenticated> {
        match step {
            Progress::Perform(transaction, effect) => {
                Progress::Perform(Self(State::Ending(asked, Box::new(transaction))), effect)
            }
            Progress::Done(Ok(news)) => {
                if let Some(news) = news {
                    news.tell(cx, &asked.door.tenant);
                }
                asked.door.invalid_token(cx)
            }
            Progress::Done(Err(failure)) => unavailable(cx, failure),
        }
    }
}

impl Asked {
    /// Whether the token is good here and now, scopes aside.
    fn is_good(&self, cx: &Context<'_>, family: &FamilyRecord) -> bool {
        //= spec/mcp-2026-07-28.md#idx-token-handling
        //# A token MUST be refused unless it was issued for this very resource (USE-07, R).
        // atk:AUD-04: byte for byte.
        family.resource == self.door.resource
            && family.access_token(cx.now(), cx.engine.limits(), &self.token.hash).is_some()
    }

    /// The caller, if the scopes suffice.
    fn admit<S>(&self, cx: &mut Context<'_>, family: &FamilyRecord) -> Progress<S, Authenticated> {
        let Some(token) = family.access_token(cx.now(), cx.engine.limits(), &self.token.hash) else {
            return self.door.invalid_token(cx);
        };
        if !family.scopes.contains_all(&self.door.needed) {
            //= spec/mcp-best-practices.md#scope-minimization
            //# Grants smaller than what was asked for MAY be tolerated, and growth of oauth scopes SHOULD be
            //# logged with an id that connects the entries (STEP-10, S/R).
            let what = What::ChallengeIssued { reason: BearerError::InsufficientScope.as_str().to_owned() };
            cx.emit_as(&self.door.tenant, &family.caller.principal, what);
            let error = (BearerError::InsufficientScope, "the token is not good for this request");
            return self.door.refused(cx, Some(error));
        }
        Progress::done(Authenticated::Caller(Box::new(SignedInCaller {
            caller: family.caller.caller(&self.door.tenant),
            client_id: family.client_id.clone(),
            sign_in: SignInId(self.token.family),
            scopes: family.scopes.clone(),
            expires_at: token.expires_at,
        })))
    }
}

impl Door {
    fn of(cx: &Context<'_>, tenant: TenantId, resource: String, needed: Scopes) -> Result<Self, Failure> {
        let site = Site::of(cx.engine, &tenant)?;
        let endpoint = site.endpoint(site::config(cx.engine)?, &resource).ok_or(
            Failure::new(Code::GatewayMissing).because("the resource is none of the gateway's endpoints"),
        )?;
        let metadata = site.resource_metadata(endpoint);
        Ok(Self { tenant, resource, metadata, basic: endpoint.scopes.clone(), needed })
    }

    fn invalid_token<S>(&self, cx: &Context<'_>) -> Progress<S, Authenticated> {
        //= spec/mcp-2026-07-28.md#idx-token-handling
        //# A request without a token, or whose token is not valid or has ended, MUST be answered with 401
        //# (CH-09, R).
        // Expired, revoked, of another resource, never given: which of them is nobody's business (atk:TEN-05).
        self.refused(cx, Some((BearerError::InvalidToken, "the token is not good here, or not any more")))
    }

    fn refused<S>(
        &self,
        cx: &Context<'_>,
        error: Option<(BearerError, &'static str)>,
    ) -> Progress<S, Authenticated> {
        let scopes = match error {
            //= spec/mcp-2026-07-28.md#idx-server-scope-management
            //# All oauth scopes of the operation SHOULD stand in one challenge, whether granted or not
            //# (STEP-02, R).
            Some((BearerError::InsufficientScope, _)) => self.needed.clone(),
            //= spec/mcp-2026-07-28.md#idx-scope-selection-strategy
            //# The oauth scopes that are needed SHOULD stand in the challenge of a 401 (CH-11, R).
            _ => self.basic.union(&self.needed).unwrap_or_else(|_| self.basic.clone()),
        };
        //= spec/mcp-2026-07-28.md#idx-runtime-insufficient-scope-errors
        //# A token that lacks oauth scopes SHOULD be answered with 403 and a challenge of
        //# `insufficient_scope`, `scope` and `resource_metadata` (STEP-01, R).
        //= spec/mcp-2026-07-28.md#elic-url-mode-for-oauth
        //# URL elicitation MUST NOT be used to authorize access to the gateway itself (CON-14, B).
        let Ok(challenge) = bearer_challenge::write(&self.metadata, &scopes, error) else {
            return unavailable(cx, Code::Internal.into());
        };
        let status = error.map_or(401, |(error, _)| error.status());
        let mut response = match error {
            Some((error, error_description)) => {
                Response::json(status, &ProtocolError { error: error.as_str(), error_description })
            }
            None => Response::empty(status),
        };
        response = response.with("WWW-Authenticate", challenge).never_stored();
        Progress::done(Authenticated::Refused(Box::new(response)))
    }
}

/// What is said when nobody can say who it is. Never a caller.
fn unavailable<S>(cx: &Context<'_>, failure: Failure) -> Progress<S, Authenticated> {
    Progress::done(Authenticated::Refused(Box::new(refuse(cx, Surface::Api, failure))))
}

/// The token of a request; `None`: it brings no bearer token.
///
/// # Errors
/// There is more than one header, or it is not of the form `Bearer token`: text of ours for the developer.
fn bearer(headers: &[(String, Secret)]) -> Result<Option<&str>, &'static str> {
    let mut values =
        headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("authorization")).map(|(_, value)| value);
    let (first, further) = (values.next(), values.next());
    // atk:HDR-05
    if further.is_some() {
        return Err("there is more than one `Authorization` header");
    }
    let Some(value) = first.map(Secret::expose) else { return Ok(None) };
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Ok(None);
    }
    // RFC 6750 §2.1. No comma and no further blank is among them.
    let body = token.trim_end_matches('=');
    let is_token = !body.is_empty()
        && body.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
        });
    if is_token {
        Ok(Some(token))
    } else {
        Err("the `Authorization` header is not of the form `Bearer token`")
    }
}

/// Notes what the host has answered, and when.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Note {
    tenant: TenantId,
    token: Presented,
    caller: Box<Caller>,
}

impl Decide for Note {
    /// The family as it is now; `None`: there is none any more.
    type Output = Option<Box<FamilyRecord>>;

    fn keys(&self) -> Vec<Key> {
        vec![Key::family(&self.tenant, &self.token.family.0)]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Self::Output> {
        let [found] = found else { return Decision::fail(Code::Internal) };
        let key = Key::family(&self.tenant, &self.token.family.0);
        let before = match cx.open::<FamilyRecord>(&key, found.as_ref()) {
            Ok(Some(before)) => before,
            Ok(None) => return Decision::done(None),
            Err(failure) => return Decision::fail(failure),
        };
        // It has died meanwhile, or another request has asked and noted: nothing to add.
        let needless = !before.record.must_ask(cx.now(), cx.engine.limits());
        if before.record.revoked.is_some() || needless {
            return Decision::done(Some(Box::new(before.record)));
        }
        let mut after = before.record.clone();
        after.confirm(Caller::clone(&self.caller), cx.now());
        let writes = family::change(cx, id, &self.tenant, self.token.family, &before, &after);
        Decision::Commit(writes, Some(Box::new(after)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Option<String>, &'static str> {
        let mut headers: Vec<(String, Secret)> =
            values.iter().map(|value| ("AUTHORIZATION".to_owned(), Secret::new(*value))).collect();
        headers.push(("Cookie".to_owned(), Secret::new("access_token=x")));
        bearer(&headers).map(|token| token.map(str::to_owned))
    }

    //= spec/oauth21.md#5-1-1
    //= type=test
    //# The resource MUST take a token from the `Authorization` header, its scheme in any case, and look for
    //# none in a query (USE-05, R).
    #[test]
    fn the_scheme_is_read_in_any_case_and_other_schemes_are_no_credentials() {
        for value in ["Bearer abc", "bearer abc", "BEARER abc", "bEaReR a-._~+/9=="] {
            assert_eq!(read(&[value]).unwrap().as_deref(), value.split_once(' ').map(|(_, token)| token));
        }
        for value in ["Basic YTpi", "DPoP abc", "Bearerabc", "", "Digest a=b, c=d"] {
            assert_eq!(read(&[value]), Ok(None), "{value}");
        }
        assert_eq!(read(&[]), Ok(None));
    }

    // atk:HDR-05, atk:HDR-01
    #[test]
    fn whatever_is_not_exactly_one_token_is_refused() {
        for value in [
            "Bearer",
            "Bearer ",
            "Bearer  abc",
            "Bearer abc ",
            "Bearer a b",
            "Bearer a,b",
            "Bearer abc, Bearer def",
            "Bearer abc\r\nX: y",
            "Bearer a\0",
            "Bearer é",
            "Bearer ==",
            "Bearer a=b",
            "Bearer \"abc\"",
            "Bearer\tabc x",
        ] {
            assert!(!matches!(read(&[value]), Ok(Some(_))), "{value:?}");
        }
        assert!(read(&["Bearer abc", "Bearer abc"]).is_err());
        assert!(read(&["Bearer abc", "Basic YTpi"]).is_err());
    }
}
