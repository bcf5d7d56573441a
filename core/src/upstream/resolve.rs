//! `resolve`: the credential for a caller's call to an upstream, or what is missing. It never starts an interactive flow.

use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::pick::{Ask, Found, Pick, Picked, Use};
use super::ready::{Attribution, Injected, Ready, Warning};
pub use super::refresh::Observation;
use super::ticket::{Issue, Need};
use crate::challenge::{Challenge, ChallengeReason};
use crate::connector::{Connector, SecretOwner, Source};
use crate::engine::Engine;
use crate::error::{Code, Failure};
use crate::event::What;
use crate::moment::UnixMillis;
use crate::operation::{Answer, Context, Effect, Machine, Operation, Progress, Version, Versioned, machine};
use crate::policy;
use crate::principal::{Caller, ConnectorId};
use crate::protocol::resource;
use crate::protocol::scopes::Scopes;
use crate::protocol::url::{HttpUrl, PlainHttp};
use crate::secret::Secret;
use crate::store::Key;
use crate::store::records::SecretRecord;

/// Asks for a credential.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "model", derive(Hash))]
#[serde(deny_unknown_fields)]
pub struct Resolve {
    /// Who asks.
    pub caller: Caller,
    /// For which upstream.
    pub connector: ConnectorId,
    /// How long to wait for another worker's refresh, each time one is met, in milliseconds. Default 10 000.
    #[serde(default = "default_wait")]
    pub wait_ms: u64,
    /// What the last `transient` outcome for this connection has seen, its time brought up to date. Default: nothing.
    #[serde(default)]
    pub observed: Option<Observation>,
}

const fn default_wait() -> u64 {
    10_000
}

impl Resolve {
    /// With the default wait.
    pub fn new(caller: Caller, connector: ConnectorId) -> Self {
        Self { caller, connector, wait_ms: default_wait(), observed: None }
    }
}

/// What `resolve` comes to.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub enum Resolution {
    /// A person is needed.
    Challenge(Box<Challenge>),
    /// A credential.
    Ready(Box<Ready>),
    /// Not now; nobody has to do anything.
    Transient(Transient),
}

/// A credential is there, but cannot be had at the moment.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct Transient {
    /// From when on to ask again.
    pub retry_at: UnixMillis,
    /// Why not now.
    pub failure: Failure,
    /// What was seen of another worker's lease: add the time that passes until the next `resolve`, by a monotonic clock, to
    /// `for_ms` and hand it in there. Thereby a lease of a worker that died ends although clocks disagree.
    pub observed: Option<Observation>,
}

impl Engine {
    /// The credential for a caller's call to an upstream, or a challenge that says what is missing.
    pub fn resolve(self: &Arc<Self>, arguments: Resolve) -> Operation<Resolving> {
        let actor = Some(arguments.caller.principal.clone());
        Operation::new(Arc::clone(self), actor, Resolving(State::Fresh(Box::new(arguments))))
    }
}

/// A `resolve` under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct Resolving(State);

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    AwaitSecrets(Box<Gathered>),
    Challenging(Box<Issue>),
    Fresh(Box<Resolve>),
    Picking(Box<Resolve>, Box<Pick>),
    PickingAccount(Box<Gathered>, ConnectorId, Box<Pick>),
}

/// A connection to be turned into injections, and what was gathered for them so far.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Gathered {
    caller: Caller,
    connector_id: ConnectorId,
    connector: Connector,
    own: Option<Box<Use>>,
    accounts: Vec<(ConnectorId, Box<Use>)>,
    secrets: Vec<(String, SecretOwner, Secret)>,
    seen: Vec<(Key, Option<Version>)>,
    renewable: bool,
    wait_ms: u64,
    observed: Option<Observation>,
}

impl machine::Sealed for Resolving {}

impl Machine for Resolving {
    type Output = Resolution;

    #[allow(private_interfaces)]
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Resolution> {
        match (self.0, answer) {
            (State::Fresh(arguments), Answer::Start) => Self::begin(cx, *arguments),
            (State::Picking(arguments, pick), answer) => {
                let step = pick.step(cx, answer);
                Self::picking(cx, arguments, step)
            }
            (State::PickingAccount(gathered, account, pick), answer) => {
                let step = pick.step(cx, answer);
                Self::picking_account(cx, gathered, account, step)
            }
            (State::AwaitSecrets(gathered), Answer::Read(Some(found))) => Self::secrets(cx, gathered, &found),
            (State::AwaitSecrets(_), Answer::Read(None)) => Progress::fail(Code::StoreUnavailable),
            (State::Challenging(issue), answer) => Self::challenging(issue.step(cx, answer)),
            _ => Progress::fail(Code::Internal),
        }
    }
}

impl Resolving {
    /// Begins with the read of the records. `report_rejected` comes in here too.
    pub(crate) fn begin(cx: &mut Context<'_>, arguments: Resolve) -> Progress<Self, Resolution> {
        let ask = Ask {
            caller: arguments.caller.clone(),
            subject: arguments.connector.clone(),
            policy: None,
            rejected: None,
            wait_ms: arguments.wait_ms,
            observed: arguments.observed,
        };
        Self::picking(cx, Box::new(arguments), Pick::begin(ask))
    }

    fn picking(
        cx: &mut Context<'_>,
        arguments: Box<Resolve>,
        step: Progress<Pick, Picked>,
    ) -> Progress<Self, Resolution> {
        match step {
            Progress::Perform(pick, effect) => {
                Progress::Perform(Self(State::Picking(arguments, Box::new(pick))), effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(picked)) => match Gathered::begin(*arguments, picked) {
                Ok(gathered) => Self::gather(cx, gathered),
                Err(found) => Self::found(cx, *found),
            },
        }
    }

    /// What follows when there is no connection to use.
    fn found(cx: &mut Context<'_>, found: Found) -> Progress<Self, Resolution> {
        match found {
            Found::Need(need) => Self::challenge(cx, need),
            Found::Transient { until, observed, failure } => {
                Progress::done(Resolution::Transient(Transient { retry_at: until, failure, observed }))
            }
            Found::NotNeeded | Found::Rejected(_) | Found::Use(_) => Progress::fail(Code::Internal),
        }
    }

    fn challenge(cx: &mut Context<'_>, need: Need) -> Progress<Self, Resolution> {
        Self::challenging(Issue::begin(cx, need))
    }

    fn challenging(step: Progress<Issue, Challenge>) -> Progress<Self, Resolution> {
        step.embed(
            |issue| Self(State::Challenging(Box::new(issue))),
            |result| Progress::Done(result.map(|challenge| Resolution::Challenge(Box::new(challenge)))),
        )
    }

    /// The next source that is not at hand: an account, then all secrets at once, then done. `report_rejected` comes in here too.
    pub(crate) fn gather(cx: &mut Context<'_>, gathered: Box<Gathered>) -> Progress<Self, Resolution> {
        if let Some(account) = gathered.missing_account() {
            let ask = Ask {
                caller: gathered.caller.clone(),
                subject: account.clone(),
                policy: Some(Box::new(gathered.connector.clone())),
                rejected: None,
                wait_ms: gathered.wait_ms,
                observed: gathered.observed,
            };
            let step = Pick::begin(ask);
            return Self::picking_account(cx, gathered, account, step);
        }
        if gathered.wants_secrets() {
            let keys = gathered.secret_keys().into_iter().map(|(_, _, key)| key).collect();
            return Progress::Perform(Self(State::AwaitSecrets(gathered)), Effect::Read { keys });
        }
        Self::ready(cx, *gathered)
    }

    fn picking_account(
        cx: &mut Context<'_>,
        mut gathered: Box<Gathered>,
        account: ConnectorId,
        step: Progress<Pick, Picked>,
    ) -> Progress<Self, Resolution> {
        match step {
            Progress::Perform(pick, effect) => {
                Progress::Perform(Self(State::PickingAccount(gathered, account, Box::new(pick))), effect)
            }
            Progress::Done(Err(failure)) if failure.code() == Code::ConnectorUnknown => {
                Progress::fail(Failure::new(Code::SourceMissing))
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(picked)) => match picked.found {
                Found::Use(used) => {
                    gathered.note(picked.seen);
                    gathered.accounts.push((account, used));
                    Self::gather(cx, gathered)
                }
                found => Self::found(cx, found),
            },
        }
    }

    fn secrets(
        cx: &mut Context<'_>,
        mut gathered: Box<Gathered>,
        found: &[Option<Versioned>],
    ) -> Progress<Self, Resolution> {
        for ((name, of, key), raw) in gathered.secret_keys().into_iter().zip(found) {
            gathered.note(vec![(key.clone(), raw.as_ref().map(|raw| raw.version))]);
            match cx.open::<SecretRecord>(&key, raw.as_ref()) {
                Ok(Some(stored)) => gathered.secrets.push((name, of, stored.record.value)),
                Ok(None) => {}
                Err(failure) => return Progress::fail(failure),
            }
        }
        match gathered.missing_secret() {
            Some(name) => {
                let need = Need {
                    tenant: gathered.caller.tenant.clone(),
                    principal: gathered.caller.principal.clone(),
                    connector: gathered.connector_id.clone(),
                    owner: gathered.caller.principal.clone(),
                    reason: ChallengeReason::StoreSecret(name),
                    scopes: Scopes::default(),
                    resource_metadata: None,
                };
                Self::challenge(cx, need)
            }
            None => Self::ready(cx, *gathered),
        }
    }

    fn ready(cx: &mut Context<'_>, gathered: Gathered) -> Progress<Self, Resolution> {
        match gathered.into_ready(cx) {
            Ok(ready) => {
                let attribution = ready.attribution();
                let what = What::CredentialUsed {
                    scope: attribution.scope.to_owned(),
                    generation: attribution.generation,
                };
                let (owner, connector) = (attribution.owner.clone(), attribution.connector.clone());
                cx.emit(&ready.tenant, Some(&owner), Some(&connector), what);
                Progress::done(Resolution::Ready(Box::new(ready)))
            }
            Err(failure) => Progress::fail(failure),
        }
    }
}

impl Gathered {
    /// From a pick that found what can be used; else what it found.
    pub(crate) fn begin(arguments: Resolve, picked: Picked) -> Result<Box<Self>, Box<Found>> {
        let own = match picked.found {
            Found::Use(used) => Some(used),
            Found::NotNeeded => None,
            other => return Err(Box::new(other)),
        };
        let renewable = !picked.seen.is_empty();
        let Resolve { caller, connector: connector_id, wait_ms, observed } = arguments;
        Ok(Box::new(Self {
            caller,
            connector_id,
            wait_ms,
            observed,
            connector: picked.connector.record.connector,
            own,
            accounts: Vec::new(),
            secrets: Vec::new(),
            seen: picked.seen,
            renewable,
        }))
    }

    fn note(&mut self, seen: Vec<(Key, Option<Version>)>) {
        self.renewable &= !seen.is_empty();
        self.seen.extend(seen);
    }

    fn missing_account(&self) -> Option<ConnectorId> {
        self.connector.injections.iter().find_map(|injection| match &injection.source {
            Source::Account(account) if self.accounts.iter().all(|(have, _)| have != account) => {
                Some(account.clone())
            }
            _ => None,
        })
    }

    fn wanted_secrets(&self) -> impl Iterator<Item = (&str, SecretOwner)> {
        self.connector.injections.iter().filter_map(|injection| match &injection.source {
            Source::Secret { name, of } => Some((name.as_str(), *of)),
            _ => None,
        })
    }

    fn wants_secrets(&self) -> bool {
        self.wanted_secrets().next().is_some()
    }

    /// Where each wanted secret may stand; for a team's, with each team the caller is in.
    fn secret_keys(&self) -> Vec<(String, SecretOwner, Key)> {
        let tenant = &self.caller.tenant;
        let mut keys = Vec::new();
        for (name, of) in self.wanted_secrets() {
            // F55: a self-declared id reaches no secret of the one it names.
            let owners = policy::secret_owners(&self.caller, of);
            keys.extend(owners.iter().map(|owner| (name.to_owned(), of, Key::secret(tenant, owner, name))));
        }
        keys
    }

    fn secret(&self, name: &str, of: SecretOwner) -> Option<&Secret> {
        self.secrets.iter().find(|(have, whose, _)| have == name && *whose == of).map(|(_, _, value)| value)
    }

    fn missing_secret(&self) -> Option<String> {
        self.wanted_secrets()
            .find(|(name, of)| self.secret(name, *of).is_none())
            .map(|(name, _)| name.to_owned())
    }

    /// Every connection whose token goes into the call.
    fn used(&self) -> impl Iterator<Item = &Use> {
        self.own.iter().chain(self.accounts.iter().map(|(_, used)| used)).map(|used| &**used)
    }

    /// The earliest of a time over all tokens: a call is as good as the first of them to end.
    fn first(&self, time: impl Fn(&Use) -> Option<UnixMillis>) -> Option<UnixMillis> {
        self.used().filter_map(time).min()
    }

    /// Names everything that makes this call different from others: SHA-256 over length-prefixed parts.
    fn pool_key(&self) -> String {
        let mut digest = Sha256::new();
        let mut part = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        };
        let owner = self.own.as_ref().map_or(&self.caller.principal, |own| &own.owner);
        part(self.caller.tenant.as_str().as_bytes());
        part(owner.kind().as_str().as_bytes());
        part(owner.id().as_bytes());
        part(self.connector_id.as_str().as_bytes());
        for used in self.used() {
            part(&used.connection.id.0);
            part(&used.connection.generation.to_be_bytes());
        }
        // A secret that was replaced has another version.
        let secrets: Vec<_> = self.secret_keys().into_iter().map(|(_, _, key)| key).collect();
        for (key, version) in self.seen.iter().filter(|(key, _)| secrets.contains(key)) {
            part(key.as_bytes());
            part(&version.map_or(0, |version| version.0).to_be_bytes());
        }
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn into_ready(self, cx: &Context<'_>) -> Result<Ready, Failure> {
        let plain = cx.engine.plain_http();
        let parse = |text: &str| {
            HttpUrl::parse(text, plain).map_err(|invalid| Failure::new(Code::UrlRefused).because(invalid.0))
        };
        let grant = self.own.as_ref().and_then(|own| own.connection.grant.as_deref());
        let mut injected = Vec::new();
        for injection in &self.connector.injections {
            let value = match &injection.source {
                Source::Static(text) => text.as_str(),
                Source::Connection => grant.ok_or(Code::Internal)?.access_token.expose(),
                Source::Account(account) => {
                    let token = self.accounts.iter().find(|(have, _)| have == account);
                    let grant = token.and_then(|(_, used)| used.connection.grant.as_deref());
                    grant.ok_or(Code::SourceMissing)?.access_token.expose()
                }
                Source::Secret { name, of } => self.secret(name, *of).ok_or(Code::SecretMissing)?.expose(),
            };
            let value = Secret::new(format!("{}{value}", injection.prefix));
            injected.push(Injected { target: injection.target.clone(), value });
        }
        let caller = &self.caller;
        let used = self.used().next();
        let owner = used.map_or(&caller.principal, |used| &used.owner);
        let attribution = Attribution {
            actor: caller.principal.clone(),
            owner: owner.clone(),
            scope: used.map_or("personal", |used| used.scope.as_str()),
            shared: *owner != caller.principal,
            connector: self.connector_id.clone(),
            account: self.accounts.first().filter(|_| self.own.is_none()).map(|(account, _)| account.clone()),
            connection: used.map(|used| used.connection.id),
            generation: used.map_or(0, |used| used.connection.generation),
        };
        let warnings = grant.map(warnings).unwrap_or_default();
        let server_url = self.connector.server_url().map(parse).transpose()?;
        let audience = grant.map(|grant| parse(&grant.terms.audience)).transpose()?;
        // The connector's URL may have been changed since the grant was made: its token stays where it belongs.
        if let (Some(server), Some(audience)) = (&server_url, &audience)
            && !resource::covers(audience, server)
        {
            return Err(Failure::new(Code::UrlNotCovered).because("the connector's URL has changed"));
        }
        Ok(Ready {
            tenant: caller.tenant.clone(),
            injected,
            attribution,
            server_url,
            audience,
            loopback_http: plain == PlainHttp::Loopback,
            expires_at: self.first(|used| used.connection.grant.as_ref()?.expires_at),
            due_at: self
                .first(|used| used.connection.grant.as_ref()?.due_at(used.connection.id, cx.engine.limits())),
            pool_key: self.pool_key(),
            scopes: grant.map(|grant| grant.scopes.clone()).unwrap_or_default(),
            warnings,
            resolved_at: cx.now(),
            seen: self.seen,
            renewable: self.renewable,
        })
    }
}

pub(crate) fn warnings(grant: &crate::store::records::Grant) -> Vec<Warning> {
    let terms = &grant.terms;
    [
        (!terms.protected, Warning::MixUpUnprotected),
        (terms.parent, Warning::ParentGrant),
        (!terms.waivers.is_empty(), Warning::Waived),
    ]
    .into_iter()
    .filter_map(|(holds, warning)| holds.then_some(warning))
    .collect()
}
