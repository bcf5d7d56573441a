//! `preflight`: all that is missing for calls to several upstreams, said at once, before a run begins that would stop at each of them.
//!
//! It goes through what `resolve` would go through, refreshes what is due, and hands out no credential.
//!
//! ```text
//! Picking      + picked      -> Picking, AwaitSecrets, Challenging, or done     a connector's own connection, then its accounts
//! AwaitSecrets + secrets     -> Picking, Challenging, or done
//! Challenging  + challenge   -> Challenging, Picking, AwaitSecrets, or done
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Deserialize;

use super::pick::{Ask, Found, Pick, Picked};
use super::resolve::Transient;
use super::ticket::{Issue, Need};
use crate::challenge::{Challenge, ChallengeReason};
use crate::connector::{Connector, SecretOwner, Source};
use crate::engine::Engine;
use crate::error::{Code, Failure, Fault};
use crate::operation::{Answer, Context, Effect, Machine, Operation, Progress, Versioned, machine};
use crate::policy;
use crate::principal::{Caller, ConnectorId};
use crate::protocol::scopes::Scopes;
use crate::store::Key;

/// Asks what is missing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preflight {
    /// Who is about to make the calls.
    pub caller: Caller,
    /// To which upstreams.
    pub connectors: Vec<ConnectorId>,
    /// How long to wait for another worker's refresh, each time one is met, in milliseconds. Default 10 000.
    #[serde(default = "default_wait")]
    pub wait_ms: u64,
}

const fn default_wait() -> u64 {
    10_000
}

impl Preflight {
    /// With the default wait.
    pub fn new(caller: Caller, connectors: Vec<ConnectorId>) -> Self {
        Self { caller, connectors, wait_ms: default_wait() }
    }
}

/// What stands between a caller and its calls.
#[derive(Debug, Default)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct Preflighted {
    /// What a person has to do, each thing once: connections, accounts that connectors draw on, secrets.
    pub missing: Vec<Challenge>,
    /// Upstreams whose credential cannot be had at the moment; nobody has to do anything.
    pub transient: Vec<(ConnectorId, Transient)>,
    /// Upstreams that this caller cannot use, whatever it does.
    pub failed: Vec<(ConnectorId, Failure)>,
}

impl Preflighted {
    /// Whether every call would find its credential now.
    pub fn is_ready(&self) -> bool {
        self.missing.is_empty() && self.transient.is_empty() && self.failed.is_empty()
    }
}

impl Engine {
    /// Says all that is missing for calls to several upstreams.
    ///
    /// Failures: those of the store only; what is wrong with one upstream does not hide what is missing for the others.
    pub fn preflight(self: &Arc<Self>, arguments: Preflight) -> Operation<Preflighting> {
        let actor = Some(arguments.caller.principal.clone());
        Operation::new(Arc::clone(self), actor, Preflighting(State::Fresh(Box::new(arguments))))
    }
}

/// A `preflight` under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct Preflighting(State);

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    AwaitSecrets(Box<Run>, Secrets),
    Challenging(Box<Run>, Box<Issue>),
    Fresh(Box<Preflight>),
    Picking(Box<Run>, Target, Box<Pick>),
}

/// What is still to be looked at, and what was found.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Run {
    caller: Caller,
    wait_ms: u64,
    /// The first last.
    connectors: Vec<ConnectorId>,
    /// Accounts, each with the connector that draws on it.
    accounts: Vec<(Target, Box<Connector>)>,
    secrets: Option<Secrets>,
    needs: VecDeque<Need>,
    done: Preflighted,
}

/// What a pick is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Target {
    /// The connector that was asked about.
    connector: ConnectorId,
    /// The account it draws on; `None`: its own connection.
    account: Option<ConnectorId>,
}

/// The secrets that one connector injects.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Secrets {
    connector: ConnectorId,
    wanted: Vec<(String, SecretOwner)>,
}

impl machine::Sealed for Preflighting {}

impl Machine for Preflighting {
    type Output = Preflighted;

    #[allow(private_interfaces)]
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Preflighted> {
        match (self.0, answer) {
            (State::Fresh(arguments), Answer::Start) => {
                let Preflight { caller, connectors, wait_ms } = *arguments;
                let mut once: Vec<ConnectorId> = Vec::new();
                for connector in connectors {
                    if !once.contains(&connector) {
                        once.push(connector);
                    }
                }
                once.reverse();
                Self::next(cx, Box::new(Run::new(caller, wait_ms, once)))
            }
            (State::Picking(run, target, pick), answer) => {
                let step = pick.step(cx, answer);
                Self::picking(cx, run, target, step)
            }
            (State::AwaitSecrets(mut run, secrets), Answer::Read(Some(found))) => {
                run.note_secrets(&secrets, &found);
                Self::next(cx, run)
            }
            (State::AwaitSecrets(..), Answer::Read(None)) => Progress::fail(Code::StoreUnavailable),
            (State::Challenging(run, issue), answer) => {
                let step = issue.step(cx, answer);
                Self::challenging(cx, run, step)
            }
            _ => Progress::fail(Code::Internal),
        }
    }
}

impl Preflighting {
    /// The one place that says what is looked at next.
    fn next(cx: &mut Context<'_>, mut run: Box<Run>) -> Progress<Self, Preflighted> {
        if let Some(need) = run.needs.pop_front() {
            let step = Issue::begin(cx, need);
            return Self::challenging(cx, run, step);
        }
        if let Some((target, policy)) = run.accounts.pop() {
            return Self::pick(cx, run, target, Some(policy));
        }
        if let Some(secrets) = run.secrets.take() {
            let keys = run.keys(&secrets);
            if keys.is_empty() {
                run.note_secrets(&secrets, &[]);
                return Self::next(cx, run);
            }
            return Progress::Perform(Self(State::AwaitSecrets(run, secrets)), Effect::Read { keys });
        }
        match run.connectors.pop() {
            Some(connector) => Self::pick(cx, run, Target { connector, account: None }, None),
            None => Progress::done(run.done),
        }
    }

    fn pick(
        cx: &mut Context<'_>,
        run: Box<Run>,
        target: Target,
        policy: Option<Box<Connector>>,
    ) -> Progress<Self, Preflighted> {
        let ask = Ask {
            caller: run.caller.clone(),
            subject: target.account.clone().unwrap_or_else(|| target.connector.clone()),
            policy,
            rejected: None,
            wait_ms: run.wait_ms,
            observed: None,
        };
        Self::picking(cx, run, target, Pick::begin(ask))
    }

    /// What follows a pick.
    fn picking(
        cx: &mut Context<'_>,
        mut run: Box<Run>,
        target: Target,
        step: Progress<Pick, Picked>,
    ) -> Progress<Self, Preflighted> {
        let Picked { connector, found, .. } = match step {
            Progress::Perform(pick, effect) => {
                return Progress::Perform(Self(State::Picking(run, target, Box::new(pick))), effect);
            }
            // A damaged row is one connector's matter; a store that does not answer is everybody's.
            Progress::Done(Err(failure))
                if failure.fault() == Fault::Store && failure.code() != Code::StoreIntegrity =>
            {
                return Progress::fail(failure);
            }
            Progress::Done(Err(failure)) => {
                run.note_failure(target, failure);
                return Self::next(cx, run);
            }
            Progress::Done(Ok(picked)) => picked,
        };
        if target.account.is_none() {
            run.draw_on(&target.connector, connector.record.connector);
        }
        match found {
            Found::NotNeeded | Found::Use(_) => {}
            Found::Need(need) => run.need(need),
            Found::Transient { until, observed, failure } => {
                let transient = Transient { retry_at: until, failure, observed };
                run.done.transient.push((target.connector, transient));
            }
            Found::Rejected(_) => return Progress::fail(Code::Internal),
        }
        Self::next(cx, run)
    }

    fn challenging(
        cx: &mut Context<'_>,
        mut run: Box<Run>,
        step: Progress<Issue, Challenge>,
    ) -> Progress<Self, Preflighted> {
        match step {
            Progress::Perform(issue, effect) => {
                Progress::Perform(Self(State::Challenging(run, Box::new(issue))), effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(challenge)) => {
                run.done.missing.push(challenge);
                Self::next(cx, run)
            }
        }
    }
}

impl Run {
    fn new(caller: Caller, wait_ms: u64, connectors: Vec<ConnectorId>) -> Self {
        let (accounts, needs, done) = (Vec::new(), VecDeque::new(), Preflighted::default());
        Self { caller, wait_ms, connectors, accounts, secrets: None, needs, done }
    }

    /// Notes what a connector draws on besides its own connection.
    fn draw_on(&mut self, id: &ConnectorId, connector: Connector) {
        let mut wanted = Vec::new();
        for injection in connector.injections.iter().rev() {
            match &injection.source {
                Source::Account(account) => {
                    let target = Target { connector: id.clone(), account: Some(account.clone()) };
                    if self.accounts.iter().all(|(have, _)| *have != target) {
                        self.accounts.push((target, Box::new(connector.clone())));
                    }
                }
                Source::Secret { name, of } => wanted.push((name.clone(), *of)),
                Source::Connection | Source::Static(_) => {}
            }
        }
        wanted.reverse();
        if !wanted.is_empty() {
            self.secrets = Some(Secrets { connector: id.clone(), wanted });
        }
    }

    fn keys(&self, secrets: &Secrets) -> Vec<Key> {
        let tenant = &self.caller.tenant;
        let keys = |(name, of): &(String, SecretOwner)| {
            let owners = policy::secret_owners(&self.caller, *of);
            owners.into_iter().map(|owner| Key::secret(tenant, &owner, name)).collect::<Vec<_>>()
        };
        secrets.wanted.iter().flat_map(keys).collect()
    }

    /// Notes the secrets that nobody has stored; `found` is in the order of `keys`. Nothing is opened.
    fn note_secrets(&mut self, secrets: &Secrets, found: &[Option<Versioned>]) {
        let mut found = found.iter();
        for (name, of) in &secrets.wanted {
            let owners = policy::secret_owners(&self.caller, *of).len();
            let stored = found.by_ref().take(owners).flatten().count();
            if stored > 0 {
                continue;
            }
            self.need(Need {
                tenant: self.caller.tenant.clone(),
                principal: self.caller.principal.clone(),
                connector: secrets.connector.clone(),
                owner: self.caller.principal.clone(),
                reason: ChallengeReason::StoreSecret(name.clone()),
                scopes: Scopes::default(),
                resource_metadata: None,
            });
        }
    }

    /// Two connectors that draw on one account need it once.
    fn need(&mut self, need: Need) {
        let same = |connector: &ConnectorId, reason: &ChallengeReason| {
            *connector == need.connector && *reason == need.reason
        };
        let is_known =
            self.needs.iter().any(|have| have.owner == need.owner && same(&have.connector, &have.reason))
                || self
                    .done
                    .missing
                    .iter()
                    .any(|have| have.owner == need.owner && same(&have.connector, &have.reason));
        if !is_known {
            self.needs.push_back(need);
        }
    }

    fn note_failure(&mut self, target: Target, failure: Failure) {
        let is_lost = target.account.is_some() && failure.code() == Code::ConnectorUnknown;
        let failure = if is_lost { Failure::new(Code::SourceMissing) } else { failure };
        if self.done.failed.iter().all(|(connector, _)| *connector != target.connector) {
            self.done.failed.push((target.connector, failure));
        }
    }
}
