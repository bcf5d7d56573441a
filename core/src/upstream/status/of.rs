//! `status_of`: where the caller stands with one connector, over all owners whose connection it may use or manages.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rows::Rows;
use super::{ConnectionStatus, PerUserAuth, Status};
use crate::connector::{CredentialScope, SecretOwner, Source};
use crate::engine::Engine;
use crate::error::Code;
use crate::operation::{Answer, Context, Effect, Machine, Operation, Progress, Versioned, machine};
use crate::policy;
use crate::principal::{Caller, ConnectorId, Principal};
use crate::store::Key;
use crate::store::records::ConnectorRecord;
use crate::upstream::Place;

/// Asks where the caller stands with a connector.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusOf {
    /// Who asks.
    pub caller: Caller,
    /// About which upstream.
    pub connector: ConnectorId,
}

/// Where a caller stands with a connector. There is no secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ConnectorStatus {
    /// The upstream.
    pub connector: ConnectorId,
    /// It comes from a configuration file, and no administrator has looked at it yet.
    pub unverified: bool,
    /// What a call of this caller would meet: the connection it would use, or the first thing that is missing.
    pub per_user_auth: PerUserAuth,
    /// The connections to it: those the caller may use, in the order of precedence, then others it manages that exist.
    pub connections: Vec<ConnectionStatus>,
    /// The connections to accounts that it draws on, as far as the caller may use them.
    pub accounts: Vec<ConnectionStatus>,
    /// Secrets it injects that nobody has stored for this caller.
    pub missing_secrets: Vec<String>,
}

impl Engine {
    /// Where the caller stands with a connector.
    ///
    /// Failures: `config.connector_unknown` (also where the caller has no part in it), `config.assurance_too_low`, those of the store.
    pub fn status_of(self: &Arc<Self>, arguments: StatusOf) -> Operation<FindingStatus> {
        let actor = Some(arguments.caller.principal.clone());
        Operation::new(Arc::clone(self), actor, FindingStatus(State::Fresh(arguments)))
    }
}

/// A `status_of` under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct FindingStatus(State);

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    AwaitConnections(Box<Subject>),
    AwaitConnector(StatusOf),
    AwaitRest(Box<Shown>),
    Fresh(StatusOf),
}

/// The connector, and whose connections count.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Subject {
    caller: Caller,
    id: ConnectorId,
    record: ConnectorRecord,
    usable: Vec<(CredentialScope, Principal)>,
    /// Managed only.
    others: Vec<Principal>,
}

/// What is known but for the connectors and flows of its rows.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Shown {
    subject: Subject,
    /// The accounts it draws on, in their order; `None`: not there, or damaged.
    known: Vec<Option<ConnectorRecord>>,
    own: Rows,
    accounts: Rows,
    missing_secrets: Vec<String>,
}

impl FindingStatus {
    /// The same as a part of another machine.
    pub(crate) fn within(arguments: StatusOf) -> Self {
        Self(State::Fresh(arguments))
    }
}

impl machine::Sealed for FindingStatus {}

impl Machine for FindingStatus {
    type Output = ConnectorStatus;

    #[allow(private_interfaces)]
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, ConnectorStatus> {
        match (self.0, answer) {
            (State::Fresh(arguments), Answer::Start) => {
                let keys = vec![Key::connector(&arguments.caller.tenant, &arguments.connector)];
                Progress::Perform(Self(State::AwaitConnector(arguments)), Effect::Read { keys })
            }
            (State::AwaitConnector(arguments), Answer::Read(Some(found))) => {
                Self::connector(cx, arguments, found.first().and_then(Option::as_ref))
            }
            (State::AwaitConnections(subject), Answer::Read(Some(found))) => {
                Self::connections(cx, *subject, &found)
            }
            (State::AwaitRest(shown), Answer::Read(Some(found))) => Progress::done(shown.finish(cx, &found)),
            (
                State::AwaitConnector(_) | State::AwaitConnections(_) | State::AwaitRest(_),
                Answer::Read(None),
            ) => Progress::fail(Code::StoreUnavailable),
            _ => Progress::fail(Code::Internal),
        }
    }
}

impl FindingStatus {
    fn connector(
        cx: &Context<'_>,
        arguments: StatusOf,
        found: Option<&Versioned>,
    ) -> Progress<Self, ConnectorStatus> {
        let StatusOf { caller, connector: id } = arguments;
        let record = match cx.open::<ConnectorRecord>(&Key::connector(&caller.tenant, &id), found) {
            Ok(Some(stored)) => stored.record,
            Ok(None) => return Progress::fail(Code::ConnectorUnknown),
            Err(failure) => return Progress::fail(failure),
        };
        if let Err(failure) = policy::check_assurance(&caller, &record.connector) {
            return Progress::fail(failure);
        }
        let usable = policy::owners(&caller, &record.connector);
        let mut others = policy::managed(&caller, &record.connector);
        others.retain(|owner| usable.iter().all(|(_, have)| have != owner));
        // atk:TEN-05: who has no part in it does not learn that it is there.
        if usable.is_empty() && others.is_empty() {
            return Progress::fail(Code::ConnectorUnknown);
        }
        let subject = Box::new(Subject { caller, id, record, usable, others });
        let keys = subject.keys();
        Progress::Perform(Self(State::AwaitConnections(subject)), Effect::Read { keys })
    }

    fn connections(
        cx: &Context<'_>,
        subject: Subject,
        found: &[Option<Versioned>],
    ) -> Progress<Self, ConnectorStatus> {
        let mut found = found.iter().map(Option::as_ref);
        let known = subject.open_accounts(cx, found.by_ref());
        let mut own = Rows::new(subject.caller.clone());
        for (scope, owner) in &subject.usable {
            own.push(cx, subject.place(owner, &subject.id), Some(scope.clone()), found.next().flatten());
        }
        for owner in &subject.others {
            if let Some(raw) = found.next().flatten() {
                own.push(cx, subject.place(owner, &subject.id), None, Some(raw));
            }
        }
        let mut accounts = Rows::new(subject.caller.clone());
        for (account, record) in subject.accounts().into_iter().zip(&known) {
            let usable = subject.usable_of(record.as_ref());
            for (scope, owner) in &subject.usable {
                let raw = found.next().flatten();
                // An owner that the account does not share serves nobody here, and is nobody's to see.
                if usable.iter().any(|(_, usable)| usable == owner) {
                    accounts.push(cx, subject.place(owner, account), Some(scope.clone()), raw);
                }
            }
        }
        let mut missing_secrets = Vec::new();
        for (name, of) in subject.secrets() {
            let owners = policy::secret_owners(&subject.caller, of);
            let stored = owners.iter().filter(|_| found.next().flatten().is_some()).count();
            if stored == 0 {
                missing_secrets.push(name.to_owned());
            }
        }
        let keys = own.keys().into_iter().chain(accounts.keys()).collect();
        let shown = Box::new(Shown { subject, known, own, accounts, missing_secrets });
        Progress::Perform(Self(State::AwaitRest(shown)), Effect::Read { keys })
    }
}

impl Subject {
    fn place(&self, owner: &Principal, connector: &ConnectorId) -> Place {
        Place { tenant: self.caller.tenant.clone(), owner: owner.clone(), connector: connector.clone() }
    }

    /// Accounts it draws on, each once.
    fn accounts(&self) -> Vec<&ConnectorId> {
        let mut accounts = Vec::new();
        for injection in &self.record.connector.injections {
            if let Source::Account(account) = &injection.source
                && !accounts.contains(&account)
            {
                accounts.push(account);
            }
        }
        accounts
    }

    fn secrets(&self) -> impl Iterator<Item = (&str, SecretOwner)> {
        self.record.connector.injections.iter().filter_map(|injection| match &injection.source {
            Source::Secret { name, of } => Some((name.as_str(), *of)),
            _ => None,
        })
    }

    /// What is read of each account, in their order.
    fn open_accounts<'a>(
        &self,
        cx: &Context<'_>,
        found: impl Iterator<Item = Option<&'a Versioned>>,
    ) -> Vec<Option<ConnectorRecord>> {
        let open = |(account, raw): (&ConnectorId, _)| {
            let key = Key::connector(&self.caller.tenant, account);
            Some(cx.open::<ConnectorRecord>(&key, raw).ok()??.record)
        };
        self.accounts().into_iter().zip(found).map(open).collect()
    }

    /// Whose connections to an account a call may use.
    fn usable_of(&self, account: Option<&ConnectorRecord>) -> Vec<(CredentialScope, Principal)> {
        match account {
            Some(account) => {
                policy::owners_of_account(&self.caller, &self.record.connector, &account.connector)
            }
            None => self.usable.clone(),
        }
    }

    /// The accounts it draws on, own connections of usable and other owners, then those to the accounts, then secrets.
    fn keys(&self) -> Vec<Key> {
        let tenant = &self.caller.tenant;
        let usable = || self.usable.iter().map(|(_, owner)| owner);
        let own = usable().chain(&self.others).map(|owner| Key::connection(tenant, owner, &self.id));
        let mut keys: Vec<Key> =
            self.accounts().into_iter().map(|account| Key::connector(tenant, account)).chain(own).collect();
        for account in self.accounts() {
            keys.extend(usable().map(|owner| Key::connection(tenant, owner, account)));
        }
        for (name, of) in self.secrets() {
            let owners = policy::secret_owners(&self.caller, of);
            keys.extend(owners.iter().map(|owner| Key::secret(tenant, owner, name)));
        }
        keys
    }
}

impl Shown {
    fn finish(self, cx: &Context<'_>, found: &[Option<Versioned>]) -> ConnectorStatus {
        let Self { subject, known, own, accounts, missing_secrets } = self;
        let (policy, id) = (&subject.record.connector, &subject.id);
        let decisive = own.decisive(cx, policy, Some(&subject.record), id);
        let account_ids: Vec<ConnectorId> = subject.accounts().into_iter().cloned().collect();
        let by_account: Vec<_> = account_ids
            .iter()
            .zip(&known)
            .map(|(account, record)| accounts.decisive(cx, policy, record.as_ref(), account))
            .collect();

        let (for_own, for_accounts) = found.split_at_checked(own.keys().len()).unwrap_or((found, &[]));
        let connections = own.shown(cx, for_own);
        let accounts = accounts.shown(cx, for_accounts);

        let own = policy.uses_connection().then(|| met(&connections, id, decisive.as_ref()));
        let mut met: Vec<PerUserAuth> = own
            .into_iter()
            .chain(
                account_ids
                    .iter()
                    .zip(&by_account)
                    .map(|(account, owner)| met(&accounts, account, owner.as_ref())),
            )
            .collect();
        if !missing_secrets.is_empty() {
            met.push(PerUserAuth::bare(Status::Error { code: Code::SecretMissing.slug().to_owned() }));
        }
        let lacking = met.iter().position(|one| one.state != Status::Connected).unwrap_or(0);
        let per_user_auth = met.into_iter().nth(lacking);
        ConnectorStatus {
            unverified: subject.record.unverified,
            per_user_auth: per_user_auth.unwrap_or_else(|| PerUserAuth::bare(Status::Connected)),
            connections,
            accounts,
            missing_secrets,
            connector: subject.id,
        }
    }
}

/// What a call meets at one upstream: the connection of the decisive owner; where nobody is connected, the first that the
/// caller may connect.
fn met(rows: &[ConnectionStatus], connector: &ConnectorId, decisive: Option<&Principal>) -> PerUserAuth {
    let rows = || rows.iter().filter(|row| row.connector == *connector && row.scope.is_some());
    let decided = decisive.and_then(|owner| rows().find(|row| row.owner == *owner));
    let connectable = || rows().find(|row| row.per_user_auth.connect_url.is_some());
    decided
        .or_else(connectable)
        .or_else(|| rows().next())
        .map_or_else(|| PerUserAuth::bare(Status::Disconnected), |row| row.per_user_auth.clone())
}
