//! Drain: revokes what stands in a connection's outbox, then forgets it (RFC 7009).
//!
//! Tokens are parked by a commit before they are revoked, so a crash leaves them for the next sweep. Revoking twice does no harm.

use super::place::{Place, StaticSecret};
use super::{Decide, Decision, Exchange, Transaction};
use crate::error::{Code, Failure};
use crate::event::What;
use crate::limits::{PROBE_MAX_BYTES, REVOCATION_TRIES};
use crate::moment::UnixMillis;
use crate::operation::{Answer, Context, Effect, HttpFault, HttpResponse, OperationId, Progress, Versioned};
use crate::protocol::retry_after;
use crate::protocol::revocation::{self, RevocationAnswer, TokenTypeHint};
use crate::protocol::url::HttpUrl;
use crate::secret::Secret;
use crate::store::Key;
use crate::store::records::{Connection, Parked};

/// Revokes one parked token after the other.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Drain {
    place: Place,
    /// Not yet tried in this run.
    waiting: Vec<Parked>,
    /// Whether every token so far is gone.
    all_gone: bool,
    state: State,
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    AwaitRevocation(Parked),
    Noting(Box<Transaction<Note>>),
}

/// What became of the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Drained {
    /// Every token in it was revoked.
    AllGone,
    /// Some stay, or were given up: see the connection's status.
    SomeLeft,
}

impl Drain {
    /// Goes through the tokens given: those of the outbox as last committed, whose time has come. With the secret that the connector's
    /// static registration has now, where it is at hand.
    pub(crate) fn begin(
        cx: &mut Context<'_>,
        place: Place,
        outbox: &[Parked],
        static_secret: Option<&StaticSecret>,
    ) -> Progress<Self, Drained> {
        let now = cx.now();
        let late = now.plus(cx.engine.limits().backoff_max_ms);
        // P26: an `after` further away than any back-off was written by a clock that has jumped.
        let mut waiting: Vec<_> =
            outbox.iter().filter(|parked| parked.after <= now || parked.after > late).cloned().collect();
        for parked in &mut waiting {
            parked.client = parked.client.clone().with_current(&parked.issuer, static_secret);
        }
        waiting.reverse();
        let all_gone = waiting.len() == outbox.len();
        Self::next(cx, place, waiting, all_gone)
    }

    fn next(
        cx: &mut Context<'_>,
        place: Place,
        mut waiting: Vec<Parked>,
        all_gone: bool,
    ) -> Progress<Self, Drained> {
        let Some(parked) = waiting.pop() else {
            return Progress::done(if all_gone { Drained::AllGone } else { Drained::SomeLeft });
        };
        match order(cx, &parked) {
            Ok(effect) => Progress::Perform(
                Self { place, waiting, all_gone, state: State::AwaitRevocation(parked) },
                effect,
            ),
            // The endpoint cannot be asked at all: as a refusal, so that it is counted and ends.
            Err(_) => Self::note(cx, place, waiting, all_gone, parked, Fate::Alive(None)),
        }
    }

    pub(crate) fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Drained> {
        let Self { place, waiting, all_gone, state } = self;
        match (state, answer) {
            (State::AwaitRevocation(parked), Answer::Http(answer)) => {
                let fate = Fate::of(cx, answer);
                Self::note(cx, place, waiting, all_gone, parked, fate)
            }
            (State::Noting(transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::noted(cx, place, waiting, all_gone, step)
            }
            _ => Progress::fail(Code::Internal),
        }
    }

    fn note(
        cx: &mut Context<'_>,
        place: Place,
        waiting: Vec<Parked>,
        all_gone: bool,
        parked: Parked,
        fate: Fate,
    ) -> Progress<Self, Drained> {
        let note = Note { place: place.clone(), token: parked.token, fate };
        let step = Transaction::begin(cx, note);
        Self::noted(cx, place, waiting, all_gone, step)
    }

    /// What follows a note: the next token.
    fn noted(
        cx: &mut Context<'_>,
        place: Place,
        waiting: Vec<Parked>,
        all_gone: bool,
        step: Progress<Transaction<Note>, Noted>,
    ) -> Progress<Self, Drained> {
        match step {
            Progress::Perform(transaction, effect) => {
                let state = State::Noting(Box::new(transaction));
                Progress::Perform(Self { place, waiting, all_gone, state }, effect)
            }
            Progress::Done(Ok(noted)) => {
                match noted {
                    Noted::Revoked => cx.emit_about(&place, What::Revoked),
                    Noted::GivenUp => cx.emit_about(&place, What::RevocationGivenUp),
                    Noted::Kept => {}
                }
                Self::next(cx, place, waiting, all_gone && noted == Noted::Revoked)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
        }
    }
}

/// The revocation request.
fn order(cx: &Context<'_>, parked: &Parked) -> Result<Effect, Failure> {
    let url = HttpUrl::parse(&parked.endpoint, cx.engine.plain_http()).map_err(|_| Code::UrlRefused)?;
    let hint = if parked.refresh { TokenTypeHint::RefreshToken } else { TokenTypeHint::AccessToken };
    let form = revocation::request(&parked.token, hint).map_err(|_| Code::Internal)?;
    //= spec/rfc7009.md#2-1
    //# To revoke, the engine MUST POST the token with the grant's own client authentication to the advertised
    //# endpoint, and SHOULD send the refresh token first and with a `token_type_hint` (REV-01, U).
    Exchange::new(&url, parked.address_policy.clone(), PROBE_MAX_BYTES).post_form(cx, form, &parked.client)
}

/// What a revocation request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fate {
    /// It still lives, as far as we know; with the time from which the issuer wants to be asked again.
    Alive(Option<UnixMillis>),
    Gone,
}

impl Fate {
    fn of(cx: &Context<'_>, answer: Result<HttpResponse, HttpFault>) -> Self {
        let Ok(response) = answer else { return Self::Alive(None) };
        match revocation::read(response.status, response.body.expose()) {
            // What the issuer never revokes needs no second asking: it lives as long as it said.
            RevocationAnswer::Gone | RevocationAnswer::NotOffered => Self::Gone,
            RevocationAnswer::Refused(_) => Self::Alive(None),
            RevocationAnswer::StillValid => Self::Alive(
                response.header("retry-after").and_then(|value| retry_after::read(value, cx.now())),
            ),
        }
    }
}

/// Writes down what became of one token.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Note {
    place: Place,
    token: Secret,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Noted {
    GivenUp,
    Kept,
    Revoked,
}

impl Decide for Note {
    type Output = Noted;

    fn keys(&self) -> Vec<Key> {
        vec![self.place.key()]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Noted> {
        let key = self.place.key();
        let stored = match cx.open::<Connection>(&key, found.first().and_then(Option::as_ref)) {
            Ok(Some(stored)) => stored,
            Ok(None) => return Decision::done(Noted::Revoked),
            Err(failure) => return Decision::fail(failure),
        };
        let precondition = stored.unchanged();
        let mut connection = stored.record;
        let Some(at) = connection.outbox.iter().position(|parked| parked.token == self.token) else {
            return Decision::done(Noted::Revoked);
        };
        let Some(parked) = connection.outbox.get_mut(at) else { return Decision::fail(Code::Internal) };
        parked.tries = parked.tries.saturating_add(1);
        let noted = match self.fate {
            Fate::Gone => Noted::Revoked,
            Fate::Alive(_) if parked.tries >= REVOCATION_TRIES => Noted::GivenUp,
            Fate::Alive(_) => Noted::Kept,
        };
        if noted == Noted::Kept {
            parked.after = again(cx, parked.tries, self.fate);
        } else {
            connection.outbox.remove(at);
            // Given up: a live token may stay upstream, and the status says so.
            connection.doubt |= noted == Noted::GivenUp;
        }
        Decision::Commit(vec![cx.put(&key, precondition, &connection, id, None)], noted)
    }
}

fn again(cx: &Context<'_>, tries: u8, fate: Fate) -> UnixMillis {
    let limits = cx.engine.limits();
    let backoff = limits.backoff_ms.saturating_mul(1 << tries.min(16)).min(limits.backoff_max_ms);
    let own = cx.now().plus(backoff);
    match fate {
        Fate::Alive(Some(at)) => at.max(own).min(cx.now().plus(limits.backoff_max_ms)),
        _ => own,
    }
}
