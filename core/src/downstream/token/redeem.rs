//! A code for the first tokens of a sign-in.
//!
//! ```text
//! begin              -> Redeeming  [Transaction]  tokens are drawn before it and leave it only when they are good
//! Redeeming + used   -> Ending     [Transaction]  the code was good a second time: what the first has brought is dead
//! Redeeming + rest   -> the response
//! Ending    + ended  -> the response
//! ```

use super::super::credential::code_hash;
use super::super::family::{self, Drawn, End, SignedOut};
use super::super::response::Response;
use super::super::token_client::{Sender, refused};
use super::Issued;
use crate::error::Code;
use crate::event::What;
use crate::limits::{CODE_FAILURES_MAX, Limits};
use crate::moment::UnixMillis;
use crate::operation::{Answer, Context, OperationId, Progress, Versioned};
use crate::principal::{Principal, TenantId};
use crate::protocol::pkce;
use crate::protocol::token_request::{CodeRequest, Refusal, TokenError};
use crate::store::records::{CodeRecord, Digest, FamilyId, FamilyRecord, Revoked};
use crate::store::{Key, delete, put_index};
use crate::upstream::{Decide, Decision, Transaction};

const UNUSABLE: Refusal =
    Refusal::new(TokenError::InvalidGrant, "the code is not good, not any more, or not for this client");

/// A code being redeemed.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Redeeming {
    /// For the refusal, and where.
    place: Place,
    state: State,
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    Ending(Box<Transaction<End>>),
    Redeeming(Box<Transaction<Redeem>>),
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Place {
    tenant: TenantId,
    client_id: String,
    tried_header: bool,
}

impl Redeeming {
    pub(crate) fn begin(
        cx: &mut Context<'_>,
        sender: Sender,
        request: CodeRequest,
    ) -> Progress<Self, Response> {
        // atk:COD-09
        let Some(code) = code_hash(request.code.expose()) else {
            return Progress::done(sender.refused(cx, UNUSABLE));
        };
        let place = Place {
            tenant: sender.tenant.clone(),
            client_id: sender.credentials.client_id.clone(),
            tried_header: sender.tried_header,
        };
        let id = FamilyId(cx.moment.entropy.id("token/family"));
        let pair = Drawn::new(&cx.moment.entropy, id);
        let step = Transaction::begin(cx, Redeem { sender, request, code, family: id, pair });
        Self::redeemed(cx, place, step)
    }

    pub(crate) fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Response> {
        let Self { place, state } = self;
        match state {
            State::Redeeming(transaction) => {
                let step = transaction.step(cx, answer);
                Self::redeemed(cx, place, step)
            }
            State::Ending(transaction) => {
                let step = transaction.step(cx, answer);
                Self::ended(cx, place, step)
            }
        }
    }

    fn redeemed(
        cx: &mut Context<'_>,
        place: Place,
        step: Progress<Transaction<Redeem>, Redeemed>,
    ) -> Progress<Self, Response> {
        match step {
            Progress::Perform(transaction, effect) => {
                let state = State::Redeeming(Box::new(transaction));
                Progress::Perform(Self { place, state }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(Redeemed::Issued(issued, principal))) => {
                let what = What::SignedIn { client: place.client_id, scopes: issued.scopes.clone() };
                cx.emit_as(&place.tenant, &principal, what);
                Progress::done(issued.response(cx.now()))
            }
            Progress::Done(Ok(Redeemed::Refused(refusal))) => {
                Progress::done(refused(cx, place.tried_header, refusal))
            }
            Progress::Done(Ok(Redeemed::Used(family))) => {
                let end = End { tenant: place.tenant.clone(), family, reason: Revoked::Replayed };
                let step = Transaction::begin(cx, end);
                Self::ended(cx, place, step)
            }
        }
    }

    fn ended(
        cx: &mut Context<'_>,
        place: Place,
        step: Progress<Transaction<End>, Option<SignedOut>>,
    ) -> Progress<Self, Response> {
        match step {
            Progress::Perform(transaction, effect) => {
                let state = State::Ending(Box::new(transaction));
                Progress::Perform(Self { place, state }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(news)) => {
                if let Some(news) = news {
                    news.tell(cx, &place.tenant);
                }
                Progress::done(refused(cx, place.tried_header, UNUSABLE))
            }
        }
    }
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Redeem {
    sender: Sender,
    request: CodeRequest,
    code: Digest,
    /// Of the tokens, should they be given.
    family: FamilyId,
    pair: Drawn,
}

/// What became of a code.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum Redeemed {
    Issued(Box<Issued>, Principal),
    Refused(Refusal),
    /// Everything is right, and it was so once before.
    Used(FamilyId),
}

impl CodeRecord {
    /// For so long a second use is noticed.
    pub(crate) fn kept_until(&self, limits: &Limits) -> UnixMillis {
        match self.redeemed {
            Some(_) => self.expires_at.plus(limits.tombstone_ms),
            None => self.expires_at,
        }
    }
}

impl Redeem {
    /// Checks what a client must have right before anything at all is changed.
    fn check(&self, code: &CodeRecord) -> Result<(), Refusal> {
        //= spec/oauth21.md#4-1-2
        //# A code MUST be bound to its client, challenge, redirect URI and resource, and end within ten
        //# minutes, ours after one (TOK-13, S).
        //= spec/oauth21.md#10-2
        //# A `redirect_uri` in the token request MUST be accepted and be that of the authorization request
        //# (TOK-16, S).
        // atk:COD-04
        if code.client_id != self.sender.credentials.client_id {
            return Err(UNUSABLE);
        }
        // atk:COD-08: byte for byte.
        if self.request.redirect_uri.as_ref().is_some_and(|sent| *sent != code.redirect_uri) {
            return Err(Refusal::new(
                TokenError::InvalidGrant,
                "`redirect_uri` is not the one of the authorization request",
            ));
        }
        //= spec/rfc8707.md#2-2
        //# A `resource` at the token endpoint MUST be the one that was authorized, to which the token is
        //# restricted, or be refused as `invalid_target` (TOK-19, S).
        // atk:AUD-05
        if self.request.resource.as_ref().is_some_and(|sent| *sent != code.resource) {
            return Err(Refusal::new(
                TokenError::InvalidTarget,
                "`resource` is not the one of the authorization request",
            ));
        }
        Ok(())
    }

    /// Whether the verifier is the one that the code's challenge was made from.
    fn proves(&self, code: &CodeRecord) -> bool {
        use subtle::ConstantTimeEq;
        //= spec/oauth21.md#4-1-3
        //# The verifier MUST be there, as every code has a challenge, be of its form, and lead to the
        //# challenge (TOK-15, S).
        let challenge = pkce::challenge(&self.request.verifier);
        challenge.as_bytes().ct_eq(code.code_challenge.as_bytes()).into()
    }
}

impl Decide for Redeem {
    type Output = Redeemed;

    fn keys(&self) -> Vec<Key> {
        vec![Key::code(&self.sender.tenant, &self.code.0), self.sender.key()]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Redeemed> {
        let [code, client] = found else { return Decision::fail(Code::Internal) };
        let refuse = |refusal| Decision::done(Redeemed::Refused(refusal));
        let client = match self.sender.authenticate(cx, client.as_ref()) {
            Ok(Ok(client)) => client,
            Ok(Err(refusal)) => return refuse(refusal),
            Err(failure) => return Decision::fail(failure),
        };
        let tenant = &self.sender.tenant;
        let key = Key::code(tenant, &self.code.0);
        let stored = match cx.open::<CodeRecord>(&key, code.as_ref()) {
            Ok(Some(stored)) => stored,
            Ok(None) => return refuse(UNUSABLE),
            Err(failure) => return Decision::fail(failure),
        };
        let precondition = stored.unchanged();
        let mut code = stored.record;
        if let Err(refusal) = self.check(&code) {
            return refuse(refusal);
        }
        let (now, limits) = (cx.now(), cx.engine.limits());
        //= spec/oauth21.md#4-1-2
        //# A code MUST be bound to its client, challenge, redirect URI and resource, and end within ten
        //# minutes, ours after one (TOK-13, S).
        // atk:COD-13, atk:TOK-13: P26, gone before it is said, so that a clock set back cannot revive it. Gone is gone, whoever did it.
        if !(code.created_at <= now.plus(limits.clock_skew_ms) && now < code.kept_until(limits)) {
            return Decision::Commit(vec![delete(key, precondition)], Redeemed::Refused(UNUSABLE));
        }
        // atk:COD-10
        if code.failures >= CODE_FAILURES_MAX {
            return refuse(UNUSABLE);
        }
        //= spec/oauth21.md#4-1-3
        //# A code MUST be good once: a second valid request is denied and the tokens of the first are
        //# revoked, while an invalid one revokes nothing (TOK-14, S).
        // atk:COD-02: whoever cannot prove that the code is theirs takes nothing away from those who can.
        match (self.proves(&code), code.redeemed) {
            (false, Some(_)) => return refuse(UNUSABLE),
            (false, None) => {
                code.failures = code.failures.saturating_add(1);
                let write = cx.put(&key, precondition, &code, id, Some(code.expires_at));
                return Decision::Commit(vec![write], Redeemed::Refused(UNUSABLE));
            }
            (true, Some(family)) => return Decision::done(Redeemed::Used(family)),
            (true, None) => {}
        }
        let mut family = FamilyRecord {
            client_id: code.client_id.clone(),
            caller: code.caller.clone(),
            identified_at: code.identified_at,
            //= spec/oauth21.md#3-2-3
            //# Refresh tokens MUST be given by policy to clients registered for them only, for the scopes and
            //# the resource that the user consented to (TOK-23, S).
            scopes: code.scopes.clone(),
            resource: code.resource.clone(),
            created_at: now,
            access: Vec::new(),
            refresh: None,
            parents: Vec::new(),
            newest: None,
            revoked: None,
        };
        //= spec/oauth21.md#3-2-3
        //# Refresh tokens MUST be given by policy to clients registered for them only, for the scopes and the
        //# resource that the user consented to (TOK-23, S).
        family.give(now, limits, &self.pair, client.refreshes);
        code.redeemed = Some(self.family);
        let kept_until = code.kept_until(limits);
        // atk:COD-03: the code and its tokens are one commit, so that it buys one family whoever else tries.
        let mut writes = vec![
            cx.put(&key, precondition, &code, id, Some(kept_until)),
            put_index(Key::expiry(tenant, kept_until, &key), None),
        ];
        writes.extend(family::begin(cx, id, tenant, self.family, &family));
        let issued = Issued {
            access: self.pair.access.clone(),
            expires_at: family.access.last().map_or(now, |token| token.expires_at),
            refresh: client.refreshes.then(|| self.pair.refresh.clone()),
            scopes: family.scopes,
        };
        Decision::Commit(writes, Redeemed::Issued(Box::new(issued), family.caller.principal))
    }
}
