//! A refresh token for the next pair.
//!
//! ```text
//! begin                 -> AwaitFamily  [Read]
//! AwaitFamily + found   -> Identifying  [Identify]     the token is the current one, and the host's last answer is old
//!                       -> Committing   [Transaction]
//! Identifying + answer  -> Committing   [Transaction]  a rejection is committed as the end of the family
//! Committing  + done    -> the response
//! ```

use super::super::client::note_use;
use super::super::credential::{Presented, TokenKind, same, token_hash};
use super::super::family::{self, Drawn, SignedOut};
use super::super::response::Response;
use super::super::token_client::{Sender, refused};
use super::Issued;
use crate::error::{Code, Failure};
use crate::event::What;
use crate::operation::{Answer, Context, Effect, IdentityReply, OperationId, Progress, Versioned, Whom};
use crate::principal::{Caller, Principal, TenantId};
use crate::protocol::token_request::{RefreshRequest, Refusal, TokenError};
use crate::store::records::{ClientRecord, FamilyRecord, Pair, Revoked};
use crate::store::{Key, Stored};
use crate::upstream::{Decide, Decision, Transaction};

const UNUSABLE: Refusal = Refusal::new(
    TokenError::InvalidGrant,
    "the refresh token is not good, not any more, or not for this client; sign in again",
);

/// A refresh under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) enum Rotating {
    AwaitFamily(Box<Rotate>),
    Identifying(Box<Rotate>),
    Committing { tenant: TenantId, tried_header: bool, transaction: Box<Transaction<Rotate>> },
}

impl Rotating {
    pub(crate) fn begin(
        cx: &Context<'_>,
        sender: Sender,
        request: RefreshRequest,
    ) -> Progress<Self, Response> {
        // atk:COD-09
        let Some(token) = Presented::read_as(TokenKind::Refresh, request.token.expose()) else {
            return Progress::done(sender.refused(cx, UNUSABLE));
        };
        let pair = Drawn::new(&cx.moment.entropy, token.family);
        let rotate = Rotate { sender, request, token, pair, host: Host::NotAsked };
        let keys = rotate.keys();
        Progress::Perform(Self::AwaitFamily(Box::new(rotate)), Effect::Read { keys })
    }

    pub(crate) fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Response> {
        match (self, answer) {
            (Self::AwaitFamily(rotate), Answer::Read(Some(found))) => Self::found(cx, rotate, &found),
            (Self::AwaitFamily(_), Answer::Read(None)) => Progress::fail(Code::StoreUnavailable),
            (Self::Identifying(mut rotate), Answer::Identity(reply)) => {
                rotate.host = match reply {
                    IdentityReply::Caller(caller) => Host::Stands(caller),
                    IdentityReply::Rejected => Host::Gone,
                    // Neither a rejection nor its contrary: nothing is changed, and the client asks again.
                    IdentityReply::Unavailable => return Progress::fail(Code::IdentityUnavailable),
                };
                Self::rotate(cx, *rotate)
            }
            (Self::Committing { tenant, tried_header, transaction }, answer) => {
                let step = transaction.step(cx, answer);
                Self::rotated(cx, tenant, tried_header, step)
            }
            _ => Progress::fail(Code::Internal),
        }
    }

    fn found(
        cx: &mut Context<'_>,
        rotate: Box<Rotate>,
        found: &[Option<Versioned>],
    ) -> Progress<Self, Response> {
        match rotate.look(cx, found) {
            Err(failure) => Progress::fail(failure),
            Ok(Standing::Refused(refusal)) => Progress::done(rotate.sender.refused(cx, refusal)),
            //= spec/oauth21.md#4-3-1
            //# A refresh token MUST be good for its own client only, authenticated or named, and while the
            //# authorization stands, of which the host is asked (REF-10, S).
            Ok(Standing::Current(family)) if family.record.must_ask(cx.now(), cx.engine.limits()) => {
                let tenant = rotate.sender.tenant.clone();
                let whom = Whom::Principal(family.record.caller.principal);
                Progress::Perform(Self::Identifying(rotate), Effect::Identify { tenant, whom })
            }
            Ok(_) => Self::rotate(cx, *rotate),
        }
    }

    fn rotate(cx: &mut Context<'_>, rotate: Rotate) -> Progress<Self, Response> {
        let (tenant, tried_header) = (rotate.sender.tenant.clone(), rotate.sender.tried_header);
        let step = Transaction::begin(cx, rotate);
        Self::rotated(cx, tenant, tried_header, step)
    }

    fn rotated(
        cx: &mut Context<'_>,
        tenant: TenantId,
        tried_header: bool,
        step: Progress<Transaction<Rotate>, Rotated>,
    ) -> Progress<Self, Response> {
        match step {
            Progress::Perform(transaction, effect) => {
                let transaction = Box::new(transaction);
                Progress::Perform(Self::Committing { tenant, tried_header, transaction }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(rotated)) => {
                let refusal = match rotated {
                    Rotated::Issued { issued, client, principal } => {
                        cx.emit_as(&tenant, &principal, What::TokensRefreshed { client });
                        return Progress::done(issued.response(cx.now()));
                    }
                    Rotated::Again(issued) => return Progress::done(issued.response(cx.now())),
                    Rotated::Ended(news) => {
                        news.tell(cx, &tenant);
                        UNUSABLE
                    }
                    Rotated::Refused(refusal) => refusal,
                };
                Progress::done(refused(cx, tried_header, refusal))
            }
        }
    }
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Rotate {
    sender: Sender,
    request: RefreshRequest,
    token: Presented,
    pair: Drawn,
    host: Host,
}

/// What the host has said of the principal.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum Host {
    Gone,
    NotAsked,
    Stands(Box<Caller>),
}

/// What a refresh came to.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) enum Rotated {
    /// The pair that the same token was given before.
    Again(Box<Issued>),
    Ended(SignedOut),
    Issued {
        issued: Box<Issued>,
        client: String,
        principal: Principal,
    },
    Refused(Refusal),
}

/// How a presented refresh token stands to its family.
enum Standing {
    /// It is the parent of the current one, and the client may not have heard of that.
    Again(Box<Stored<FamilyRecord>>, Box<Pair>),
    Current(Box<Stored<FamilyRecord>>),
    /// It has not been used for too long.
    Expired(Box<Stored<FamilyRecord>>),
    Refused(Refusal),
    /// It was used before, and its time to be given the same again is over.
    Replayed(Box<Stored<FamilyRecord>>),
}

impl Rotate {
    /// Looks at the presented token. It changes nothing and is asked again for each try of the commit.
    fn look(&self, cx: &Context<'_>, found: &[Option<Versioned>]) -> Result<Standing, Failure> {
        let [family, client] = found else { return Err(Code::Internal.into()) };
        let client = match self.sender.authenticate(cx, client.as_ref())? {
            Ok(client) => client,
            Err(refusal) => return Ok(Standing::Refused(refusal)),
        };
        //= spec/oauth21.md#3-2-3
        //# Refresh tokens MUST be given by policy to clients registered for them only, for the scopes and the
        //# resource that the user consented to (TOK-23, S).
        if !client.refreshes {
            return Ok(Standing::Refused(Refusal::new(
                TokenError::UnauthorizedClient,
                "the client is not registered for refresh tokens",
            )));
        }
        let key = Key::family(&self.sender.tenant, &self.token.family.0);
        let Some(stored) = cx.open::<FamilyRecord>(&key, family.as_ref())? else {
            return Ok(Standing::Refused(UNUSABLE));
        };
        let (stored, hash) = (Box::new(stored), &self.token.hash);
        let family = &stored.record;
        //= spec/oauth21.md#4-3-1
        //# A refresh token MUST be good for its own client only, authenticated or named, and while the
        //# authorization stands, of which the host is asked (REF-10, S).
        // atk:TOK-07: another client, or a token that was never given, changes nothing.
        let is_own = family.client_id == self.sender.credentials.client_id && family.revoked.is_none();
        if !is_own || !family.knows_refresh(hash) {
            return Ok(Standing::Refused(UNUSABLE));
        }
        let (now, limits) = (cx.now(), cx.engine.limits());
        if let Some(current) = family.refresh.as_ref().filter(|current| same(&current.hash, hash)) {
            //= spec/oauth21.md#4-3-3
            //# A new refresh token MUST keep the scopes, be impossible to guess, and SHOULD end when nobody
            //# uses it (REF-11, S).
            if current.expires_at <= now {
                return Ok(Standing::Expired(stored));
            }
            return Ok(match self.check(family) {
                Ok(()) => Standing::Current(stored),
                Err(refusal) => Standing::Refused(refusal),
            });
        }
        // atk:TOK-03: the direct parent only, and while the grace lasts by any clock.
        let is_parent = family.parents.first().is_some_and(|parent| same(parent, hash));
        let pair = family.newest.clone().filter(|pair| {
            is_parent && pair.created_at <= now.plus(limits.clock_skew_ms) && now < pair.until
        });
        Ok(match (pair, self.check(family)) {
            (Some(_), Err(refusal)) => Standing::Refused(refusal),
            (Some(pair), Ok(())) => Standing::Again(stored, Box::new(pair)),
            (None, _) => Standing::Replayed(stored),
        })
    }

    /// Checks that no more is asked for than there is.
    fn check(&self, family: &FamilyRecord) -> Result<(), Refusal> {
        //= spec/rfc8707.md#2-2
        //# A `resource` at the token endpoint MUST be the one that was authorized, to which the token is
        //# restricted, or be refused as `invalid_target` (TOK-19, S).
        // atk:AUD-05, atk:AUD-08
        if self.request.resource.as_ref().is_some_and(|sent| *sent != family.resource) {
            return Err(Refusal::new(TokenError::InvalidTarget, "`resource` is not the one of the sign-in"));
        }
        // atk:AUD-08. A narrower scope is as good as none: the response says which scopes the tokens have.
        if self.request.scopes.as_ref().is_some_and(|asked| !family.scopes.contains_all(asked)) {
            return Err(Refusal::new(
                TokenError::InvalidScope,
                "`scope` goes beyond what the sign-in was for",
            ));
        }
        Ok(())
    }

    fn end(
        &self,
        cx: &Context<'_>,
        id: OperationId,
        stored: &Stored<FamilyRecord>,
        reason: Revoked,
    ) -> Decision<Rotated> {
        let writes = family::end(cx, id, &self.sender.tenant, self.token.family, stored, reason);
        Decision::Commit(writes, Rotated::Ended(SignedOut::of(&stored.record, reason)))
    }

    fn give(
        &self,
        cx: &Context<'_>,
        id: OperationId,
        stored: &Stored<FamilyRecord>,
        client: Option<&Stored<ClientRecord>>,
    ) -> Decision<Rotated> {
        let (now, limits) = (cx.now(), cx.engine.limits());
        let mut family = stored.record.clone();
        if let Host::Stands(caller) = &self.host {
            family.confirm(Caller::clone(caller), now);
        }
        //= spec/mcp-2026-07-28.md#sec-token-theft
        //# The refresh token of a public client MUST be replaced at each use (REF-08, S).
        // atk:TOK-02: one commit, conditional on what was read, so that one token has one successor.
        family.give(now, limits, &self.pair, true);
        let mut writes = family::change(cx, id, &self.sender.tenant, self.token.family, stored, &family);
        // A client that somebody uses is kept, or its registration would end before its sign-ins do.
        writes.extend(client.into_iter().flat_map(|client| note_use(cx, &self.sender.tenant, client, id)));
        let issued = Issued {
            access: self.pair.access.clone(),
            expires_at: family.access.last().map_or(now, |token| token.expires_at),
            refresh: Some(self.pair.refresh.clone()),
            scopes: family.scopes,
        };
        let (client, principal) = (family.client_id, family.caller.principal);
        Decision::Commit(writes, Rotated::Issued { issued: Box::new(issued), client, principal })
    }
}

impl Decide for Rotate {
    type Output = Rotated;

    fn keys(&self) -> Vec<Key> {
        vec![Key::family(&self.sender.tenant, &self.token.family.0), self.sender.key()]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Rotated> {
        match self.look(cx, found) {
            Err(failure) => Decision::fail(failure),
            Ok(Standing::Refused(refusal)) => Decision::done(Rotated::Refused(refusal)),
            //= spec/oauth21.md#4-3-1
            //# A refresh token that was used before MUST end its family with all tokens of it, as far back as
            //# sixteen parents (REF-09, S).
            // atk:TOK-03, atk:TOK-04: the family dies by commit before anything is said.
            Ok(Standing::Replayed(stored)) => self.end(cx, id, &stored, Revoked::Replayed),
            Ok(Standing::Current(stored) | Standing::Again(stored, _)) if matches!(self.host, Host::Gone) => {
                self.end(cx, id, &stored, Revoked::PrincipalGone)
            }
            Ok(Standing::Again(stored, pair)) => {
                let hash = token_hash(TokenKind::Access, pair.access.expose());
                let access = stored.record.access_token(cx.now(), cx.engine.limits(), &hash);
                let issued = Issued {
                    expires_at: access.map_or(cx.now(), |token| token.expires_at),
                    access: pair.access,
                    refresh: Some(pair.refresh),
                    scopes: stored.record.scopes,
                };
                Decision::done(Rotated::Again(Box::new(issued)))
            }
            Ok(Standing::Current(stored)) => {
                let client = found.get(1).and_then(Option::as_ref);
                match cx.open::<ClientRecord>(&self.sender.key(), client) {
                    Ok(client) => self.give(cx, id, &stored, client.as_ref()),
                    Err(failure) => Decision::fail(failure),
                }
            }
            // P26: gone before it is said.
            Ok(Standing::Expired(stored)) => {
                let writes = family::remove(&self.sender.tenant, self.token.family, &stored);
                Decision::Commit(writes, Rotated::Refused(UNUSABLE))
            }
        }
    }
}
