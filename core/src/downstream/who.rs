//! Who a person is in their browser: whom the host's login knows, and whom a session of ours stands for.
//!
//! ```text
//! start         -> AwaitSession  [Read]      where the browser has a session cookie
//! AwaitSession  -> AwaitIdentity [Identify]  where the host was not asked for a while
//! AwaitIdentity -> Noting        [Read]
//! ```

use super::request::SignedIn;
use super::visit::Visit;
use crate::cookie::Cookie;
use crate::error::{Code, Failure};
use crate::moment::UnixMillis;
use crate::operation::{Answer, Context, Effect, IdentityReply, OperationId, Progress, Versioned, Whom};
use crate::principal::{Caller, PrincipalKind, TenantId};
use crate::store::records::{Digest, Identity, IdentityMode, KnownCaller, SessionRecord};
use crate::store::{Key, Stored, lookup_hash};
use crate::upstream::{Decide, Decision, Transaction};

/// Whom a browser is known to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub(crate) struct Who {
    /// By the host's login, once that is complete: half a sign-in is none.
    pub(crate) host: Option<SignedIn>,
    /// The host's login is under way, and something of it is still to come.
    pub(crate) is_halfway: bool,
    /// By a session of ours, with when the host last answered for it.
    pub(crate) session: Option<(Caller, UnixMillis)>,
}

impl Who {
    /// The caller that an identity chosen earlier stands for, if this browser is still theirs.
    pub(crate) fn as_chosen(&self, identity: &Identity) -> Option<&Caller> {
        // atk:CSR-03: whoever is in the browser now must be the one who chose.
        let caller = match identity.mode {
            IdentityMode::User => self.host.as_ref().map(|host| &host.caller),
            IdentityMode::Key | IdentityMode::Session => self.session.as_ref().map(|(caller, _)| caller),
        };
        caller.filter(|caller| caller.principal == identity.principal)
    }

    /// When the host last answered for that caller.
    pub(crate) fn identified_at(&self, mode: IdentityMode, now: UnixMillis) -> UnixMillis {
        match (mode, &self.session) {
            (IdentityMode::Key | IdentityMode::Session, Some((_, at))) => *at,
            _ => now,
        }
    }

    /// Who it is where nobody has chosen: the host's login before a session of ours.
    pub(crate) fn anybody(&self) -> Option<&Caller> {
        self.host
            .as_ref()
            .map(|host| &host.caller)
            .or_else(|| self.session.as_ref().map(|(caller, _)| caller))
    }
}

/// The question under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Recognizing {
    tenant: TenantId,
    host: Option<SignedIn>,
    state: State,
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    AwaitIdentity(Key, Box<SessionRecord>),
    AwaitSession(Key),
    Noting(Box<Transaction<Note>>),
}

impl Recognizing {
    pub(crate) fn begin(cx: &mut Context<'_>, visit: &Visit) -> Progress<Self, Who> {
        // atk:CON-14
        let (host, is_halfway) = match visit.signed_in.clone() {
            Some(host) if host.auth_time.is_some() => (Some(host), false),
            Some(_) => (None, true),
            None => (None, false),
        };
        let Some(secret) = Cookie::Session.value(cx.engine, visit.cookies().as_ref()) else {
            return Progress::done(Who { host, is_halfway, session: None });
        };
        let tenant = visit.site.tenant.clone();
        let key = Key::session(&tenant, &lookup_hash("session", secret.expose()));
        let effect = Effect::Read { keys: vec![key.clone()] };
        Progress::Perform(Self { tenant, host, state: State::AwaitSession(key) }, effect)
    }

    pub(crate) fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Who> {
        let Self { tenant, host, state } = self;
        match (state, answer) {
            (State::AwaitSession(key), Answer::Read(Some(found))) => {
                let stored = match cx.open::<SessionRecord>(&key, found.first().and_then(Option::as_ref)) {
                    Ok(stored) => stored,
                    Err(failure) => return Progress::fail(failure),
                };
                let Some(stored) = stored.filter(|stored| stored.record.is_good(cx)) else {
                    return Progress::done(Who { host, is_halfway: false, session: None });
                };
                let session = stored.record;
                if !session.is_stale(cx) {
                    let known = (session.caller.caller(&tenant), session.identified_at);
                    return Progress::done(Who { host, is_halfway: false, session: Some(known) });
                }
                let principal = session.caller.principal.clone();
                let effect = Effect::Identify { tenant: tenant.clone(), whom: Whom::Principal(principal) };
                Progress::Perform(
                    Self { tenant, host, state: State::AwaitIdentity(key, Box::new(session)) },
                    effect,
                )
            }
            (State::AwaitIdentity(key, session), Answer::Identity(reply)) => {
                let answer = match reply {
                    IdentityReply::Caller(caller) => Some(session.caller.as_the_host_says(*caller)),
                    IdentityReply::Rejected => None,
                    IdentityReply::Unavailable => return Progress::fail(Code::IdentityUnavailable),
                };
                let step = Transaction::begin(cx, Note { key, answer, at: cx.now() });
                Self::noting(cx, tenant, host, step)
            }
            (State::Noting(transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::noting(cx, tenant, host, step)
            }
            (State::AwaitSession(_), Answer::Read(None)) => Progress::fail(Code::StoreUnavailable),
            _ => Progress::fail(Code::Internal),
        }
    }

    fn noting(
        cx: &Context<'_>,
        tenant: TenantId,
        host: Option<SignedIn>,
        step: Progress<Transaction<Note>, Option<KnownCaller>>,
    ) -> Progress<Self, Who> {
        match step {
            Progress::Perform(transaction, effect) => {
                let state = State::Noting(Box::new(transaction));
                Progress::Perform(Self { tenant, host, state }, effect)
            }
            Progress::Done(Ok(known)) => {
                let session = known.map(|known| (known.caller(&tenant), cx.now()));
                Progress::done(Who { host, is_halfway: false, session })
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
        }
    }
}

impl SessionRecord {
    fn is_good(&self, cx: &Context<'_>) -> bool {
        let skew = cx.engine.limits().clock_skew_ms;
        self.created_at.minus(skew) <= cx.now() && cx.now() < self.expires_at
    }

    /// Whether the host has to be asked again. A session of the engine's own making stands for nobody the host knows.
    fn is_stale(&self, cx: &Context<'_>) -> bool {
        let age = self.identified_at.until(cx.now());
        self.caller.principal.kind() != PrincipalKind::Session
            && (age >= cx.engine.limits().identity_max_age_ms || self.identified_at > cx.now())
    }
}

impl KnownCaller {
    /// The host's new answer. What was proved by a key stays as little as it was.
    pub(crate) fn as_the_host_says(&self, caller: Caller) -> Self {
        let assurance = caller.assurance.min(self.assurance);
        Self { assurance, ..Self::from(caller) }
    }
}

/// Writes down what the host has answered; a session whose principal is gone goes.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Note {
    key: Key,
    /// `None`: the principal does not stand any more.
    answer: Option<KnownCaller>,
    at: UnixMillis,
}

impl Decide for Note {
    type Output = Option<KnownCaller>;

    fn keys(&self) -> Vec<Key> {
        vec![self.key.clone()]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Self::Output> {
        let stored: Stored<SessionRecord> = match cx.open(&self.key, found.first().and_then(Option::as_ref)) {
            Ok(Some(stored)) => stored,
            Ok(None) => return Decision::done(None),
            Err(failure) => return Decision::fail(failure),
        };
        let precondition = stored.unchanged();
        let mut session = stored.record;
        let expires_at = session.expires_at;
        match &self.answer {
            Some(known) => {
                session.caller = known.clone();
                session.identified_at = self.at;
            }
            // Ended, rather than deleted: a commit is known again by its first record.
            None => session.expires_at = session.created_at,
        }
        let write = cx.put(&self.key, precondition, &session, id, Some(expires_at));
        Decision::Commit(vec![write], self.answer.clone())
    }
}

/// A session to be: its cookie's value and its record.
pub(crate) fn new_session(
    cx: &Context<'_>,
    caller: Caller,
) -> (crate::secret::Secret, Digest, SessionRecord) {
    let secret = cx.moment.entropy.token("session/secret");
    let hash = Digest(lookup_hash("session", secret.expose()));
    let session = SessionRecord {
        caller: KnownCaller::from(caller),
        created_at: cx.now(),
        expires_at: cx.now().plus(cx.engine.limits().session_ms),
        identified_at: cx.now(),
    };
    (secret, hash, session)
}

/// Whom the host's login has brought all the way through.
///
/// # Errors
/// `user.sign_in_needed`: nobody, or not yet.
pub(crate) fn completed(who: &Who) -> Result<&SignedIn, Failure> {
    match &who.host {
        Some(host) => Ok(host),
        None if who.is_halfway => {
            Err(Failure::new(Code::SignInNeeded).because("the sign-in is not complete"))
        }
        None => Err(Code::SignInNeeded.into()),
    }
}
