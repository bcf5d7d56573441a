//! `POST /revoke`: a client gives a token back (RFC 7009). Whichever of the tokens it is, the whole sign-in ends with it.

use super::credential::{Presented, TokenKind, code_hash};
use super::family::{self, SignedOut};
use super::handle::Endpoint;
use super::response::Response;
use super::token_client::{Sender, refused};
use super::visit::Visit;
use crate::error::Code;
use crate::operation::{Answer, Context, OperationId, Progress, Versioned};
use crate::principal::TenantId;
use crate::protocol::token_request::{Refusal, TokenError, revoked_token};
use crate::store::Key;
use crate::store::records::{FamilyRecord, Revoked};
use crate::upstream::{Decide, Decision, Transaction};

/// A revocation under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Revoke {
    tenant: TenantId,
    tried_header: bool,
    transaction: Box<Transaction<GiveBack>>,
}

impl Revoke {
    pub(crate) fn begin(cx: &mut Context<'_>, visit: &Visit) -> Progress<Self, Response> {
        let (sender, body) = match Sender::of(cx, visit) {
            Ok(read) => read,
            Err(response) => return Progress::done(*response),
        };
        let token = match revoked_token(&body) {
            Ok(token) => token,
            Err(refusal) => return Progress::done(sender.refused(cx, refusal)),
        };
        //= spec/rfc7009.md#2-2
        //# A token that is unknown or has ended MUST be answered with 200, whatever the hint says, and one of
        //# a type that is not revoked with `unsupported_token_type` (REV-04, S).
        // atk:COD-09: what it is follows from its form, not from the hint.
        if code_hash(token.expose()).is_some() {
            return Progress::done(sender.refused(
                cx,
                Refusal::new(TokenError::UnsupportedTokenType, "a code is not revoked, it ends by itself"),
            ));
        }
        let (tenant, tried_header) = (sender.tenant.clone(), sender.tried_header);
        let give_back = GiveBack { sender, token: Presented::read(token.expose()) };
        let step = Transaction::begin(cx, give_back);
        Self::follow(cx, tenant, tried_header, step)
    }

    fn follow(
        cx: &mut Context<'_>,
        tenant: TenantId,
        tried_header: bool,
        step: Progress<Transaction<GiveBack>, Result<Option<SignedOut>, Refusal>>,
    ) -> Progress<Self, Response> {
        match step {
            Progress::Perform(transaction, effect) => {
                let transaction = Box::new(transaction);
                Progress::Perform(Self { tenant, tried_header, transaction }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(Err(refusal))) => Progress::done(refused(cx, tried_header, refusal)),
            Progress::Done(Ok(Ok(news))) => {
                if let Some(news) = news {
                    news.tell(cx, &tenant);
                }
                Progress::done(Response::empty(200).never_stored().for_any_origin())
            }
        }
    }
}

impl Endpoint for Revoke {
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Response> {
        let Self { tenant, tried_header, transaction } = self;
        let step = transaction.step(cx, answer);
        Self::follow(cx, tenant, tried_header, step)
    }
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct GiveBack {
    sender: Sender,
    /// `None`: it is none of ours.
    token: Option<Presented>,
}

impl Decide for GiveBack {
    /// `None`: the token was not known, or not good any more.
    type Output = Result<Option<SignedOut>, Refusal>;

    fn keys(&self) -> Vec<Key> {
        let family = self.token.iter().map(|token| Key::family(&self.sender.tenant, &token.family.0));
        [self.sender.key()].into_iter().chain(family).collect()
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Self::Output> {
        let Some((client, family)) = found.split_first() else { return Decision::fail(Code::Internal) };
        //= spec/rfc7009.md#2-1
        //# Who revokes MUST be authenticated and be the client that the token was given to (REV-03, S).
        match self.sender.authenticate(cx, client.as_ref()) {
            Ok(Ok(_)) => {}
            Ok(Err(refusal)) => return Decision::done(Err(refusal)),
            Err(failure) => return Decision::fail(failure),
        }
        //= spec/rfc7009.md#2-2
        //# A token that is unknown or has ended MUST be answered with 200, whatever the hint says, and one of
        //# a type that is not revoked with `unsupported_token_type` (REV-04, S).
        let Some(token) = &self.token else { return Decision::done(Ok(None)) };
        let tenant = &self.sender.tenant;
        let family = family.first().and_then(Option::as_ref);
        let stored = match cx.open::<FamilyRecord>(&Key::family(tenant, &token.family.0), family) {
            Ok(Some(stored)) => stored,
            Ok(None) => return Decision::done(Ok(None)),
            Err(failure) => return Decision::fail(failure),
        };
        let is_known = match token.kind {
            TokenKind::Access => {
                stored.record.access_token(cx.now(), cx.engine.limits(), &token.hash).is_some()
            }
            TokenKind::Refresh => stored.record.revoked.is_none() && stored.record.knows_refresh(&token.hash),
        };
        if !is_known {
            return Decision::done(Ok(None));
        }
        //= spec/rfc7009.md#2-1
        //# Who revokes MUST be authenticated and be the client that the token was given to (REV-03, S).
        if stored.record.client_id != self.sender.credentials.client_id {
            return Decision::done(Err(Refusal::new(
                TokenError::InvalidGrant,
                "the token was given to another client",
            )));
        }
        //= spec/rfc7009.md#2-1
        //# The revocation of either token SHOULD end the access tokens and the refresh token of its sign-in,
        //# at once (REV-05, S).
        let writes = family::end(cx, id, tenant, token.family, &stored, Revoked::ByClient);
        Decision::Commit(writes, Ok(Some(SignedOut::of(&stored.record, Revoked::ByClient))))
    }
}
