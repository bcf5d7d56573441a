//! Picking: from a connector and a caller to one connection that can be used, refreshed if need be, or to what is missing.
//!
//! ```text
//! AwaitRecords + use            -> done
//! AwaitRecords + refresh        -> Refreshing    [Read]
//! AwaitRecords + more owners    -> AwaitRecords  [Read]      the connector's list names owners the caller does not bring
//! Refreshing   + usable         -> done
//! Refreshing   + ended          -> AwaitRecords  [Read]      the list may name another owner
//! ```

use super::choose::{Candidate, Choice, Standing, choose};
use super::place::Place;
use super::refresh::{Observation, Refresh, Refreshed, Wish};
use super::ticket::Need;
use crate::challenge::ChallengeReason;
use crate::connector::{Connector, CredentialScope};
use crate::error::{Code, Failure};
use crate::moment::UnixMillis;
use crate::operation::{Answer, Context, Effect, OperationId, Progress, Version, Versioned};
use crate::policy;
use crate::principal::{Caller, ConnectorId, Principal};
use crate::protocol::scopes::Scopes;
use crate::store::records::{Connection, ConnectorRecord};
use crate::store::{Key, Stored};

/// What is asked of a pick.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub(crate) struct Ask {
    pub(crate) caller: Caller,
    /// The connector whose connection is wanted.
    pub(crate) subject: ConnectorId,
    /// Whose precedence list counts: that of the connector that draws on an account; `None`: the subject's own.
    pub(crate) policy: Option<Box<Connector>>,
    /// What the resource has rejected.
    pub(crate) rejected: Option<Refused>,
    pub(crate) wait_ms: u64,
    pub(crate) observed: Option<Observation>,
}

/// Tokens that a resource did not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Refused {
    /// Whose; `None`: of whichever connection is picked now.
    pub(crate) connection: Option<OperationId>,
    pub(crate) generation: u64,
}

/// What a pick came to.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Picked {
    pub(crate) connector: Stored<ConnectorRecord>,
    pub(crate) found: Found,
    /// Every record the pick rests on; `None` as a version: absent. Empty if one has changed since it was read.
    pub(crate) seen: Vec<(Key, Option<Version>)>,
}

/// What was found.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) enum Found {
    /// A person is needed.
    Need(Need),
    /// The connector injects no token of its own.
    NotNeeded,
    /// The rejected generation is still the newest, and refreshing it has not helped or is not possible.
    Rejected(Box<Use>),
    /// Not now.
    Transient { until: UnixMillis, observed: Option<Observation>, failure: Failure },
    /// This connection.
    Use(Box<Use>),
}

/// A connection with the reason why it is the one.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Use {
    pub(crate) scope: CredentialScope,
    pub(crate) owner: Principal,
    pub(crate) connection: Connection,
}

/// A pick under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Pick {
    ask: Ask,
    rounds: u8,
    state: State,
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    /// With the owners whose connections were asked for.
    AwaitRecords(Vec<Principal>),
    Refreshing(Box<Refreshing>),
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Refreshing {
    connector: Stored<ConnectorRecord>,
    candidate: Candidate,
    refresh: Refresh,
}

/// LIMIT: each round finds one more connection of the list ended; a list has few entries.
const ROUNDS_MAX: u8 = 16;

impl Pick {
    pub(crate) fn begin(ask: Ask) -> Progress<Self, Picked> {
        let owners = match &ask.policy {
            Some(policy) => policy::owners(&ask.caller, policy).into_iter().map(|(_, owner)| owner).collect(),
            None => likely_owners(&ask.caller),
        };
        Self { ask, rounds: 0, state: State::AwaitRecords(Vec::new()) }.read(owners)
    }

    pub(crate) fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Picked> {
        let Self { ask, rounds, state } = self;
        match (state, answer) {
            (State::AwaitRecords(owners), Answer::Read(Some(found))) => {
                Self { ask, rounds, state: State::AwaitRecords(Vec::new()) }.follow(cx, &owners, &found)
            }
            (State::AwaitRecords(_), Answer::Read(None)) => Progress::fail(Code::StoreUnavailable),
            (State::Refreshing(refreshing), answer) => {
                let Refreshing { connector, candidate, refresh } = *refreshing;
                let step = refresh.step(cx, answer);
                Self::refreshing(ask, rounds, connector, candidate, step)
            }
            _ => Progress::fail(Code::Internal),
        }
    }

    fn read(mut self, owners: Vec<Principal>) -> Progress<Self, Picked> {
        let tenant = &self.ask.caller.tenant;
        let connections = owners.iter().map(|owner| Key::connection(tenant, owner, &self.ask.subject));
        let keys = std::iter::once(Key::connector(tenant, &self.ask.subject)).chain(connections).collect();
        self.state = State::AwaitRecords(owners);
        Progress::Perform(self, Effect::Read { keys })
    }

    /// Whose connections may be used: what the calling connector's list says, as far as the account that it draws on is shared.
    fn owners(&self, subject: &Connector) -> Vec<(CredentialScope, Principal)> {
        match &self.ask.policy {
            Some(policy) => policy::owners_of_account(&self.ask.caller, policy, subject),
            None => policy::owners(&self.ask.caller, subject),
        }
    }

    /// What follows from the records.
    fn follow(
        self,
        cx: &mut Context<'_>,
        owners: &[Principal],
        found: &[Option<Versioned>],
    ) -> Progress<Self, Picked> {
        let tenant = self.ask.caller.tenant.clone();
        let key = Key::connector(&tenant, &self.ask.subject);
        let connector = match cx.open::<ConnectorRecord>(&key, found.first().and_then(Option::as_ref)) {
            Ok(Some(connector)) => connector,
            Ok(None) => return Progress::fail(Code::ConnectorUnknown),
            Err(failure) => return Progress::fail(failure),
        };
        let subject = &connector.record.connector;
        let policy = self.ask.policy.as_deref().unwrap_or(subject);
        if let Err(failure) = policy::check_assurance(&self.ask.caller, policy)
            .and_then(|()| policy::check_assurance(&self.ask.caller, subject))
        {
            return Progress::fail(failure);
        }
        let seen = (key, Some(connector.version));
        if self.ask.policy.is_none() && !subject.uses_connection() {
            return Progress::done(Picked { connector, found: Found::NotNeeded, seen: vec![seen] });
        }
        let wanted = self.owners(subject);
        if wanted.iter().any(|(_, owner)| !owners.contains(owner)) {
            let owners = wanted.into_iter().map(|(_, owner)| owner).collect();
            return self.read(owners);
        }
        let mut seen = vec![seen];
        let mut candidates = Vec::new();
        for (scope, owner) in wanted {
            let at = owners.iter().position(|have| *have == owner);
            let raw = at.and_then(|at| found.get(at.saturating_add(1))).and_then(Option::as_ref);
            let key = Key::connection(&tenant, &owner, &self.ask.subject);
            seen.push((key.clone(), raw.map(|raw| raw.version)));
            // One damaged row fails the call that would use it, not that of an owner who stands before it in the list.
            match cx.open::<Connection>(&key, raw) {
                Ok(stored) => candidates.push(Candidate { scope, owner, stored }),
                Err(failure) if candidates.is_empty() => return Progress::fail(failure),
                Err(_) => {}
            }
        }
        let choice = choose(cx, policy, Some(&connector.record), candidates);
        self.chosen(cx, connector, choice, seen)
    }

    fn chosen(
        self,
        cx: &mut Context<'_>,
        connector: Stored<ConnectorRecord>,
        choice: Choice,
        seen: Vec<(Key, Option<Version>)>,
    ) -> Progress<Self, Picked> {
        let found = match choice {
            Choice::Use(candidate) | Choice::Refresh(candidate) if self.is_rejected(&candidate) => {
                return self.refresh_rejected(cx, connector, candidate);
            }
            Choice::Refresh(candidate) => return self.refresh(cx, connector, candidate, None),
            Choice::Use(Candidate { scope, owner, stored: Some(stored) }) => {
                Found::Use(Box::new(Use { scope, owner, connection: stored.record }))
            }
            Choice::Use(_) => return Progress::fail(Code::Internal),
            Choice::Absent => Found::Need(self.need(&connector.record.connector, None)),
            Choice::Broken(candidate, standing) => {
                Found::Need(self.need(&connector.record.connector, Some((candidate, standing))))
            }
        };
        Progress::done(Picked { connector, found, seen })
    }

    fn is_rejected(&self, candidate: &Candidate) -> bool {
        let (Some(stored), Some(refused)) = (&candidate.stored, self.ask.rejected) else { return false };
        // The list may lead to another connection by now: what was said of one condemns no other.
        refused.connection.is_none_or(|connection| connection == stored.record.id)
            && refused.generation >= stored.record.generation
    }

    /// A token that the resource rejected is refreshed once: not if it has nothing to be refreshed with, and not if it is itself what
    /// a rejection has brought about moments ago.
    fn refresh_rejected(
        self,
        cx: &mut Context<'_>,
        connector: Stored<ConnectorRecord>,
        candidate: Candidate,
    ) -> Progress<Self, Picked> {
        let Some(stored) = &candidate.stored else { return Progress::fail(Code::Internal) };
        let Some(grant) = &stored.record.grant else { return Progress::fail(Code::Internal) };
        let window = cx.engine.limits().rejected_again_ms;
        let again = grant.rejected_at.is_some_and(|at| at <= cx.now() && cx.now() < at.plus(window));
        if again || grant.refresh_token.is_none() || grant.condemned.is_some() {
            return rejected(connector, candidate);
        }
        let generation = stored.record.generation;
        self.refresh(cx, connector, candidate, Some(generation))
    }

    fn refresh(
        self,
        cx: &mut Context<'_>,
        connector: Stored<ConnectorRecord>,
        candidate: Candidate,
        rejected: Option<u64>,
    ) -> Progress<Self, Picked> {
        let Self { ask, rounds, .. } = self;
        let grant = candidate.stored.as_ref().and_then(|stored| stored.record.grant.as_ref());
        let Some(issuer) = grant.map(|grant| grant.terms.issuer.clone()) else {
            return Progress::fail(Code::Internal);
        };
        let wish = Wish {
            place: Place {
                tenant: ask.caller.tenant.clone(),
                owner: candidate.owner.clone(),
                connector: ask.subject.clone(),
            },
            rejected,
            wait_ms: ask.wait_ms,
            observed: ask.observed,
            static_secret: connector.record.static_secret(),
        };
        let step = Refresh::begin(cx, wish, &issuer);
        Self::refreshing(ask, rounds, connector, candidate, step)
    }

    /// What follows a refresh.
    fn refreshing(
        ask: Ask,
        rounds: u8,
        connector: Stored<ConnectorRecord>,
        candidate: Candidate,
        step: Progress<Refresh, Refreshed>,
    ) -> Progress<Self, Picked> {
        let refreshed = match step {
            Progress::Perform(refresh, effect) => {
                let state = State::Refreshing(Box::new(Refreshing { connector, candidate, refresh }));
                return Progress::Perform(Self { ask, rounds, state }, effect);
            }
            Progress::Done(Err(failure)) => return Progress::fail(failure),
            Progress::Done(Ok(refreshed)) => refreshed,
        };
        let found = match refreshed {
            Refreshed::Usable(connection) if connection.suspended.is_none() => {
                let Candidate { scope, owner, .. } = candidate;
                Found::Use(Box::new(Use { scope, owner, connection: *connection }))
            }
            Refreshed::Transient { until, observed, failure } => {
                Found::Transient { until, observed, failure }
            }
            Refreshed::Reauth if ask.rejected.is_some() => return rejected(connector, candidate),
            // Its record says so now; the list may name another.
            Refreshed::Usable(_) | Refreshed::Reauth | Refreshed::Gone if rounds < ROUNDS_MAX => {
                let next =
                    Self { ask, rounds: rounds.saturating_add(1), state: State::AwaitRecords(Vec::new()) };
                let owners = next.owners(&connector.record.connector);
                return next.read(owners.into_iter().map(|(_, owner)| owner).collect());
            }
            Refreshed::Usable(_) | Refreshed::Reauth | Refreshed::Gone => {
                return Progress::fail(Code::StoreContention);
            }
        };
        // The refresh has written the connection: what was seen before does not renew a cache entry.
        Progress::done(Picked { connector, found, seen: Vec::new() })
    }

    /// What a person has to do.
    fn need(&self, subject: &Connector, broken: Option<(Candidate, Standing)>) -> Need {
        let caller = &self.ask.caller;
        let (owner, reason, scopes) = match broken {
            Some((candidate, standing)) => {
                let scopes = candidate.stored.map(|stored| stored.record.requested).unwrap_or_default();
                let reason = match standing {
                    Standing::Suspended => ChallengeReason::Suspended,
                    Standing::Ended(why) => ChallengeReason::Reconnect(why),
                    Standing::Absent | Standing::Refreshable | Standing::Usable => ChallengeReason::Connect,
                };
                (Some(candidate.owner), reason, scopes)
            }
            // The first owner in the list whose account the caller may connect.
            None => {
                let own = self
                    .owners(subject)
                    .into_iter()
                    .map(|(_, owner)| owner)
                    .find(|owner| policy::may_manage(caller, owner));
                (own, ChallengeReason::Connect, Scopes::default())
            }
        };
        let may_connect = owner.as_ref().is_some_and(|owner| policy::may_manage(caller, owner));
        let reason = match reason {
            ChallengeReason::Suspended => ChallengeReason::Suspended,
            reason if may_connect => reason,
            _ => ChallengeReason::AskManager,
        };
        Need {
            tenant: caller.tenant.clone(),
            principal: caller.principal.clone(),
            connector: self.ask.subject.clone(),
            owner: owner.unwrap_or_else(|| caller.principal.clone()),
            reason,
            scopes,
            resource_metadata: None,
        }
    }
}

fn rejected(connector: Stored<ConnectorRecord>, candidate: Candidate) -> Progress<Pick, Picked> {
    let Candidate { scope, owner, stored: Some(stored) } = candidate else {
        return Progress::fail(Code::Internal);
    };
    let found = Found::Rejected(Box::new(Use { scope, owner, connection: stored.record }));
    Progress::done(Picked { connector, found, seen: Vec::new() })
}

/// Every owner that most connectors could name for this caller, so that one read mostly suffices.
fn likely_owners(caller: &Caller) -> Vec<Principal> {
    let teams = caller.teams.iter().filter_map(|team| Principal::team(team.id.as_str()).ok());
    let mut owners: Vec<_> = std::iter::once(caller.principal.clone()).chain(teams).collect();
    owners.push(Principal::org(&caller.tenant));
    owners
}
