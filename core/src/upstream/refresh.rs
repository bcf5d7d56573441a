//! Refresh: keeps one grant alive over any number of workers, processes and crashes. The protocol, its reasons and its
//! counterexamples stand in `spec/refresh.md`; the model in `tests/models` explores this file.
//!
//! ```text
//! Leasing     + Post            -> AwaitTokens   [Http]         lease and sends + 1 are durable before anything is sent
//! Leasing     + Wait            -> AwaitHolder   [Sleep]        somebody else has the lease
//! Leasing     + Usable, Dead …  -> done
//! AwaitHolder + woke            -> Leasing       [Read]
//! AwaitTokens + tokens          -> Saving        [Read]         generation + 1 is durable before a token is returned
//! AwaitTokens + doubt           -> Leasing       [Read]         the same token once more, at once, as a new attempt
//! AwaitTokens + any other       -> Settling      [Read]
//! Saving      + saved, adopted  -> done
//! Saving      + parked          -> Draining      [Http]         the connection has moved on: ours must be revoked
//! Settling    + settled         -> done
//! ```

mod lease;
pub(crate) mod save;
mod settle;

use serde::{Deserialize, Serialize};

use self::lease::{Leased, Take, TakeLease};
use self::save::{Save, Saved};
use self::settle::{Settle, Settlement};
use super::drain::Drain;
use super::place::{Place, StaticSecret};
use super::{Exchange, Transaction};
use crate::engine::save_time;
use crate::error::{Code, Failure};
use crate::event::What;
use crate::limits::TOKEN_RESPONSE_MAX_BYTES;
use crate::moment::UnixMillis;
use crate::operation::{Answer, Context, Effect, HttpFault, HttpResponse, OperationId, Progress, Version};
use crate::protocol::retry_after;
use crate::protocol::token::{self, TokenAnswer, TokenErrorCode, TokenResponse, TokenType};
use crate::protocol::url::HttpUrl;
use crate::store::records::{Condemned, Connection, RegistrationSource};

/// What is wanted of a refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub(crate) struct Wish {
    pub(crate) place: Place,
    /// A generation that the resource has rejected: it is not usable, whatever its end says.
    pub(crate) rejected: Option<u64>,
    /// How long to wait for another worker's refresh, in all.
    pub(crate) wait_ms: u64,
    /// What an earlier operation saw of the lease.
    pub(crate) observed: Option<Observation>,
    /// The current secret of a static registration, which may have been changed since the grant was made.
    pub(crate) static_secret: Option<StaticSecret>,
}

/// A lease seen unchanged: whose, at which version of the store, and for how long, by a monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// The connection: versions of different records may be equal.
    pub connection: OperationId,
    /// The version that was seen.
    pub version: Version,
    /// For so many milliseconds.
    pub for_ms: u64,
}

/// How a refresh ended.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) enum Refreshed {
    /// The grant that was to be refreshed is no longer the connection's: its record has to be looked at again.
    Gone,
    /// The grant needs a person.
    Reauth,
    /// Not now.
    Transient { until: UnixMillis, observed: Option<Observation>, failure: Failure },
    /// A token that may be used: fresh, adopted from another worker, or still valid.
    Usable(Box<Connection>),
}

/// A refresh under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Refresh {
    wish: Wish,
    watch: Watch,
    state: State,
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    AwaitHolder(Observation),
    AwaitTokens(Box<Leased>),
    Draining(Box<Drain>),
    Leasing(Box<Transaction<TakeLease>>),
    Saving(Box<Transaction<Save>>),
    Settling(Box<Transaction<Settle>>, Failure),
}

/// What this operation has seen of somebody else's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Watch {
    seen: Option<Observation>,
    slept_ms: u64,
    polls: u8,
}

impl Refresh {
    /// Begins by reading the connection and its issuer's throttle.
    pub(crate) fn begin(cx: &mut Context<'_>, wish: Wish, issuer: &str) -> Progress<Self, Refreshed> {
        let watch = Watch { seen: wish.observed, slept_ms: 0, polls: 0 };
        let take = TakeLease::new(&wish, Some(issuer.to_owned()), watch.seen, None);
        let step = Transaction::begin(cx, take);
        Self::leasing(cx, wish, watch, step)
    }

    pub(crate) fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Refreshed> {
        let Self { wish, watch, state } = self;
        match (state, answer) {
            (State::Leasing(transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::leasing(cx, wish, watch, step)
            }
            (State::AwaitHolder(seen), Answer::Woke { after_ms }) => {
                Self::lease_again(cx, wish, watch.woke(seen, after_ms), None)
            }
            (State::AwaitTokens(leased), Answer::Http(answer)) => {
                Self::answered(cx, wish, watch, *leased, answer)
            }
            (State::Saving(transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::saving(cx, wish, watch, step)
            }
            (State::Settling(transaction, failure), answer) => {
                let step = transaction.step(cx, answer);
                Self::settling(cx, wish, watch, failure, step)
            }
            (State::Draining(drain), answer) => {
                let step = drain.step(cx, answer);
                Self::draining(wish, watch, step)
            }
            _ => Progress::fail(Code::Internal),
        }
    }

    fn lease_again(
        cx: &mut Context<'_>,
        wish: Wish,
        watch: Watch,
        previous: Option<&Leased>,
    ) -> Progress<Self, Refreshed> {
        let issuer = previous.map(|leased| leased.issuer().to_owned());
        let take = TakeLease::new(&wish, issuer, watch.seen, previous.map(|leased| leased.lease.attempt));
        let step = Transaction::begin(cx, take);
        Self::leasing(cx, wish, watch, step)
    }

    /// What follows the decision about the lease.
    fn leasing(
        cx: &mut Context<'_>,
        wish: Wish,
        watch: Watch,
        step: Progress<Transaction<TakeLease>, Take>,
    ) -> Progress<Self, Refreshed> {
        let take = match step {
            Progress::Perform(transaction, effect) => {
                let state = State::Leasing(Box::new(transaction));
                return Progress::Perform(Self { wish, watch, state }, effect);
            }
            Progress::Done(Err(failure)) => return Progress::fail(failure),
            Progress::Done(Ok(take)) => take,
        };
        match take {
            Take::Gone => Progress::done(Refreshed::Gone),
            Take::Condemned => {
                let reason = Condemned::InDoubt.as_str().to_owned();
                cx.emit_about(&wish.place, What::ReauthNeeded { reason });
                Progress::done(Refreshed::Reauth)
            }
            Take::Dead => Progress::done(Refreshed::Reauth),
            Take::Later { until, failure } => {
                Progress::done(Refreshed::Transient { until, observed: None, failure })
            }
            Take::Usable(connection) => Progress::done(Refreshed::Usable(connection)),
            Take::Wait { seen, until } => Self::wait(cx, wish, watch, seen, until),
            Take::Post(leased) => Self::post(cx, wish, watch, *leased),
        }
    }

    fn wait(
        cx: &Context<'_>,
        wish: Wish,
        mut watch: Watch,
        seen: Observation,
        until: UnixMillis,
    ) -> Progress<Self, Refreshed> {
        let limits = cx.engine.limits();
        let left = wish.wait_ms.saturating_sub(watch.slept_ms);
        if left == 0 {
            let observed = Some(watch.seen.filter(|before| before.is_of(seen)).unwrap_or(seen));
            // A lease far in the future was written by a clock that has jumped: ask again after a lease's time.
            let until = until.min(cx.now().plus(limits.lease_ms));
            let failure = Failure::new(Code::LeaseHeld).retry_at(until);
            return Progress::done(Refreshed::Transient { until, observed, failure });
        }
        let for_ms =
            limits.poll_ms.saturating_mul(1 << watch.polls.min(16)).min(limits.poll_max_ms).min(left);
        watch.polls = watch.polls.saturating_add(1);
        let effect = Effect::Sleep { for_ms, watch: Some(wish.place.key()) };
        Progress::Perform(Self { wish, watch, state: State::AwaitHolder(seen) }, effect)
    }

    /// Sends the refresh token, if the lease leaves time for the answer and for saving it.
    fn post(cx: &mut Context<'_>, wish: Wish, watch: Watch, leased: Leased) -> Progress<Self, Refreshed> {
        let limits = cx.engine.limits();
        let needed = limits.http_timeout_ms.saturating_add(save_time(limits));
        // A clock that was set back meanwhile must not make the lease longer than it is.
        let left = cx.now().until(leased.lease.until).min(limits.lease_ms);
        // P17: without this check a slow lease commit ends in two POSTs at once.
        if left < needed {
            let settlement = Settlement::unsent(None);
            let failure = Failure::new(Code::StoreUnavailable).because("taking the lease took too long");
            return Self::settle(cx, wish, watch, &leased, settlement, failure);
        }
        match request(cx, &wish, &leased, left.saturating_sub(needed)) {
            Ok(effect) => {
                let state = State::AwaitTokens(Box::new(leased));
                Progress::Perform(Self { wish, watch, state }, effect)
            }
            Err(failure) => {
                let settlement = Settlement::unsent(Some(limits.backoff_max_ms));
                Self::settle(cx, wish, watch, &leased, settlement, failure)
            }
        }
    }

    fn answered(
        cx: &mut Context<'_>,
        wish: Wish,
        watch: Watch,
        leased: Leased,
        answer: Result<HttpResponse, HttpFault>,
    ) -> Progress<Self, Refreshed> {
        let (settlement, failure) = match Verdict::of(cx, answer) {
            Verdict::Tokens(tokens) => {
                let step =
                    Transaction::begin(cx, Save::new(cx.now(), &wish.place, leased, *tokens, wish.rejected));
                return Self::saving(cx, wish, watch, step);
            }
            // The same token once more, at once, under a new attempt id; or the grant is condemned.
            Verdict::Doubt => return Self::lease_again(cx, wish, watch, Some(&leased)),
            Verdict::Dead => {
                (Settlement::condemned(Condemned::InvalidGrant), Failure::new(Code::TokenRefused))
            }
            Verdict::ClientRefused if leased.source() == RegistrationSource::Dynamic => {
                (Settlement::condemned(Condemned::ClientRefused), Failure::new(Code::ClientRefused))
            }
            Verdict::ClientRefused => {
                let pause = cx.engine.limits().backoff_max_ms;
                (Settlement::unsent(Some(pause)), Failure::new(Code::ClientRefused))
            }
            Verdict::Refused(failure) => {
                (Settlement::unsent(Some(cx.engine.limits().backoff_max_ms)), failure)
            }
            Verdict::NotSent(failure) => (Settlement::unsent(Some(0)), failure),
            Verdict::Later { until } => (Settlement::later(until), Failure::new(Code::IssuerUnavailable)),
        };
        Self::settle(cx, wish, watch, &leased, settlement, failure)
    }

    fn settle(
        cx: &mut Context<'_>,
        wish: Wish,
        watch: Watch,
        leased: &Leased,
        settlement: Settlement,
        failure: Failure,
    ) -> Progress<Self, Refreshed> {
        let step = Transaction::begin(cx, Settle::new(&wish, leased, settlement, failure.slug()));
        Self::settling(cx, wish, watch, failure, step)
    }

    /// What follows a settled answer: whatever the record now says.
    fn settling(
        cx: &mut Context<'_>,
        wish: Wish,
        watch: Watch,
        failure: Failure,
        step: Progress<Transaction<Settle>, settle::Settled>,
    ) -> Progress<Self, Refreshed> {
        match step {
            Progress::Perform(transaction, effect) => {
                let state = State::Settling(Box::new(transaction), failure);
                Progress::Perform(Self { wish, watch, state }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(settle::Settled::Gone)) => Progress::done(Refreshed::Gone),
            Progress::Done(Ok(settle::Settled::Dead(connection))) => {
                tell_if_forgotten(cx, &wish.place, &connection);
                let grant = connection.grant.as_ref();
                let why = grant.and_then(|grant| grant.condemned).map_or("expired", Condemned::as_str);
                cx.emit_about(&wish.place, What::ReauthNeeded { reason: why.to_owned() });
                Progress::done(Refreshed::Reauth)
            }
            Progress::Done(Ok(settle::Settled::Usable(connection))) => {
                tell_if_forgotten(cx, &wish.place, &connection);
                Progress::done(Refreshed::Usable(connection))
            }
            Progress::Done(Ok(settle::Settled::Later { until })) => {
                cx.emit_about(&wish.place, What::RefreshPostponed { until });
                let failure = failure.retry_at(until);
                Progress::done(Refreshed::Transient { until, observed: None, failure })
            }
        }
    }

    /// What follows a save.
    fn saving(
        cx: &mut Context<'_>,
        wish: Wish,
        watch: Watch,
        step: Progress<Transaction<Save>, Saved>,
    ) -> Progress<Self, Refreshed> {
        match step {
            Progress::Perform(transaction, effect) => {
                let state = State::Saving(Box::new(transaction));
                Progress::Perform(Self { wish, watch, state }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(Saved::Fresh(connection))) => {
                let generation = connection.generation;
                cx.emit_about(&wish.place, What::Refreshed { generation });
                Progress::done(Refreshed::Usable(connection))
            }
            Progress::Done(Ok(Saved::Adopted(connection))) => Progress::done(Refreshed::Usable(connection)),
            Progress::Done(Ok(Saved::Parked(connection))) => {
                let step =
                    Drain::begin(cx, wish.place.clone(), &connection.outbox, wish.static_secret.as_ref());
                Self::draining(wish, watch, step)
            }
        }
    }

    fn draining(
        wish: Wish,
        watch: Watch,
        step: Progress<Drain, super::drain::Drained>,
    ) -> Progress<Self, Refreshed> {
        match step {
            Progress::Perform(drain, effect) => {
                let state = State::Draining(Box::new(drain));
                Progress::Perform(Self { wish, watch, state }, effect)
            }
            // The token is parked; a drain that failed is the sweep's to finish. While it ran the connection may have been
            // emptied: a grant seen before must not be handed out (P19).
            Progress::Done(_) => Progress::done(Refreshed::Gone),
        }
    }
}

impl Watch {
    fn woke(mut self, seen: Observation, after_ms: u64) -> Self {
        self.slept_ms = self.slept_ms.saturating_add(after_ms);
        let before = self.seen.filter(|before| before.is_of(seen)).map_or(0, |before| before.for_ms);
        self.seen = Some(Observation { for_ms: before.saturating_add(after_ms), ..seen });
        self
    }
}

impl Observation {
    /// Whether both are of the same state of the same connection.
    fn is_of(self, other: Self) -> bool {
        self.connection == other.connection && self.version == other.version
    }
}

/// Says that the issuer does not know our client any more, if that is what has ended the grant.
fn tell_if_forgotten(cx: &mut Context<'_>, place: &Place, connection: &Connection) {
    let grant = connection.grant.as_ref().filter(|grant| grant.condemned == Some(Condemned::ClientRefused));
    if let Some(grant) = grant {
        cx.emit_about(place, What::RegistrationStale { issuer: grant.terms.issuer.clone() });
    }
}

/// The refresh request: the grant's own issuer, endpoint, registration and resource, nothing looked up anew.
fn request(cx: &Context<'_>, wish: &Wish, leased: &Leased, slack: u64) -> Result<Effect, Failure> {
    let grant = &leased.grant;
    let terms = &grant.terms;
    //= spec/oauth21.md#4-3-1
    //# A refresh MUST go to the grant's own issuer only, as `grant_type=refresh_token` with the grant's own
    //# client authentication (REF-01, U).
    let url = HttpUrl::parse(&terms.token_endpoint, cx.engine.plain_http()).map_err(|_| Code::UrlRefused)?;
    let refresh_token = grant.refresh_token.as_ref().ok_or(Code::Internal)?;
    let client = terms.client.clone().with_current(&terms.issuer, wish.static_secret.as_ref());
    //= spec/rfc8707.md#2-2
    //# A refresh request MUST carry the grant's `resource` too (REF-02, U).
    //= spec/oauth21.md#4-3-1
    //# A refresh request MUST NOT ask for more oauth scopes than were granted (REF-03, U).
    let form = token::refresh(refresh_token, terms.resource.as_deref(), None).map_err(|_| Code::Internal)?;
    Exchange::new(&url, terms.address_policy.clone(), TOKEN_RESPONSE_MAX_BYTES)
        .start_within(slack)
        .post_form(cx, form, &client)
}

/// What the issuer's answer means for the refresh token that was sent.
enum Verdict {
    ClientRefused,
    Dead,
    /// It may be spent.
    Doubt,
    Later {
        until: Option<UnixMillis>,
    },
    NotSent(Failure),
    Refused(Failure),
    Tokens(Box<TokenResponse>),
}

impl Verdict {
    fn of(cx: &Context<'_>, answer: Result<HttpResponse, HttpFault>) -> Self {
        let response = match answer {
            Ok(response) => response,
            Err(HttpFault::AddressRefused { sent: false }) => {
                return Self::NotSent(Failure::new(Code::AddressRefused));
            }
            Err(HttpFault::NotSent) => return Self::NotSent(Failure::new(Code::IssuerUnavailable)),
            Err(
                HttpFault::AddressRefused { sent: true }
                | HttpFault::TooLarge
                | HttpFault::Encoded
                | HttpFault::Unknown,
            ) => return Self::Doubt,
        };
        // A redirect is a refusal; nothing was issued.
        if (300..400).contains(&response.status) {
            return Self::Refused(Failure::new(Code::Redirected));
        }
        match token::read(response.status, response.header("content-type"), response.body.expose()) {
            // Tokens of a type that cannot be used are tokens that cannot be seen.
            TokenAnswer::Tokens(TokenResponse { token_type: TokenType::Other(_), .. }) => Self::Doubt,
            TokenAnswer::Tokens(tokens) => Self::Tokens(Box::new(tokens)),
            TokenAnswer::InDoubt(_) => Self::Doubt,
            TokenAnswer::Unavailable => Self::Later {
                until: response.header("retry-after").and_then(|value| retry_after::read(value, cx.now())),
            },
            TokenAnswer::Refused(error) => match error.code {
                //= spec/derived.md#ref-07
                //# `invalid_grant` MUST end the named generation and ask for authorization again, whereas a
                //# network error or a 5xx keeps the tokens and backs off (REF-07, U, derived).
                TokenErrorCode::InvalidGrant => Self::Dead,
                //= spec/derived.md#err-02
                //# `invalid_client` at the token endpoint MUST make the issuer's registration stale and lead
                //# to one new dynamic registration at most, else to a report (ERR-02, U, derived).
                TokenErrorCode::InvalidClient => Self::ClientRefused,
                TokenErrorCode::InvalidRequest
                | TokenErrorCode::InvalidScope
                | TokenErrorCode::InvalidTarget
                | TokenErrorCode::UnauthorizedClient
                | TokenErrorCode::UnsupportedGrantType
                | TokenErrorCode::Other => {
                    let failure = Failure::new(Code::TokenRefused);
                    Self::Refused(match error.text {
                        Some(text) => failure.quoting(text),
                        None => failure,
                    })
                }
            },
        }
    }
}

impl Condemned {
    /// The reason in status, challenge and event.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ClientRefused => "client_refused",
            Self::InDoubt => "in_doubt",
            Self::InvalidGrant => "invalid_grant",
            Self::IssuerChanged => "issuer_changed",
            Self::Rejected => "rejected",
        }
    }
}

/// Names an attempt: a POST of one refresh token.
type AttemptId = OperationId;
