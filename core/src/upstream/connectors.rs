//! Connectors: put, delete, list. They are records like all others; a configuration file only seeds them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::page::{Cursor, Page, scan};
use super::secrets::check_client_secret;
use super::single::{Act, News, Single, Told, single};
use super::{Decide, Decision};
use crate::connector::Connector;
use crate::engine::Engine;
use crate::error::{Code, ConfigError, Failure};
use crate::event::What;
use crate::operation::{
    Answer, Context, Machine, Operation, OperationId, Precondition, Progress, Versioned, machine,
};
use crate::policy::has_role;
use crate::principal::{Caller, ConnectorId, Role};
use crate::secret::Secret;
use crate::store::records::ConnectorRecord;
use crate::store::{Key, Stored, as_seen, delete};

/// Adds or changes a connector. For administrators; who has the role `manager` may change sharing and precedence, nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "model", derive(Hash))]
#[serde(deny_unknown_fields)]
pub struct PutConnector {
    /// Who asks.
    pub caller: Caller,
    /// The connector's name.
    pub id: ConnectorId,
    /// The whole configuration: what it does not say has its default, not its former value.
    pub connector: Connector,
    /// The secret of the static registration. `None`: the stored one stays, as long as upstream, issuer and client id do.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// The revision the change was made from; 0: there must be none yet. `None`: whatever is there is replaced.
    #[serde(default)]
    pub expected_revision: Option<u64>,
    /// Seeded from a configuration file, not looked at by an administrator. It never replaces one that was. Default: no.
    #[serde(default)]
    pub unverified: bool,
}

/// What became of a connector that was put.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub enum ConnectorPut {
    /// An unverified connector came upon one that an administrator has looked at; that one stays.
    Kept {
        /// The revision it has.
        revision: u64,
    },
    /// It is not acceptable.
    Refused(ConfigError),
    /// It is in place.
    Stored {
        /// The revision it has now.
        revision: u64,
    },
    /// It is what was there already.
    Unchanged {
        /// The revision it has.
        revision: u64,
    },
}

/// LIMIT: an eighth of what a store takes as one value; the largest sensible scope and injection lists need a tenth of it.
const CONNECTOR_MAX_BYTES: usize = 32 * 1024;

impl Engine {
    /// Adds or changes a connector.
    ///
    /// Failures: `user.not_allowed`, `config.connector_exists` (another revision is there than expected), those of the store.
    pub fn put_connector(self: &Arc<Self>, arguments: PutConnector) -> Operation<PuttingConnector> {
        let actor = Some(arguments.caller.principal.clone());
        Operation::new(Arc::clone(self), actor, PuttingConnector(Single::new(Put(arguments))))
    }

    /// Removes a connector: from then on nobody can resolve or connect it. Its connections stay until they are purged.
    ///
    /// Ends with whether there was one. Failures: `user.not_allowed`, `config.connector_exists`, those of the store.
    pub fn delete_connector(self: &Arc<Self>, arguments: DeleteConnector) -> Operation<DeletingConnector> {
        let actor = Some(arguments.caller.principal.clone());
        let delete = Delete { arguments, found: false };
        Operation::new(Arc::clone(self), actor, DeletingConnector(Single::new(delete)))
    }

    /// Lists the tenant's connectors, in no particular order, for managers and administrators.
    ///
    /// Failures: `user.not_allowed`, those of the store.
    pub fn list_connectors(self: &Arc<Self>, arguments: ListConnectors) -> Operation<ListingConnectors> {
        let actor = Some(arguments.caller.principal.clone());
        Operation::new(Arc::clone(self), actor, ListingConnectors(Listing::Fresh(Box::new(arguments))))
    }
}

single! {
    /// A connector being put.
    PuttingConnector(Put) -> ConnectorPut
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Put(PutConnector);

impl Act for Put {
    type Answer = ConnectorPut;

    fn admit(&self, cx: &Context<'_>) -> Result<Option<ConnectorPut>, Failure> {
        if !has_role(&self.0.caller, Role::Manager) {
            return Err(Code::NotAllowed.into());
        }
        Ok(self.check(cx).err().map(ConnectorPut::Refused))
    }
}

impl Put {
    fn check(&self, cx: &Context<'_>) -> Result<(), ConfigError> {
        let connector = &self.0.connector;
        connector.check(cx.engine.plain_http())?;
        if cx.engine.is_strict() && !connector.waivers.is_empty() {
            let names = connector.waivers.names().join(", ");
            return Err(ConfigError::new("waivers", &names, "must be empty under the profile `strict`"));
        }
        // INVARIANT: plain data; writing it as JSON cannot fail.
        let size = serde_json::to_vec(connector).unwrap_or_default().len();
        if size > CONNECTOR_MAX_BYTES {
            return Err(ConfigError::new("connector", &size.to_string(), "must be at most 32 KiB as JSON"));
        }
        match &self.0.client_secret {
            Some(_) if connector.registration.is_none() => {
                Err(ConfigError::new("client_secret", "…", "needs a `registration` to belong to"))
            }
            Some(secret) => check_client_secret(secret),
            None => Ok(()),
        }
    }

    /// The record to be, if the caller may make it of what is there.
    fn record(&self, now: Option<&ConnectorRecord>) -> Result<ConnectorRecord, Failure> {
        let PutConnector { caller, connector, client_secret, unverified, .. } = &self.0;
        let revision = now.map_or(0, |now| now.revision).saturating_add(1);
        let kept = now.filter(|now| same_client(&now.connector, connector));
        let client_secret = client_secret.clone().or_else(|| kept.and_then(|now| now.client_secret.clone()));
        let mut record = ConnectorRecord {
            connector: connector.clone(),
            client_secret,
            revision,
            unverified: *unverified,
        };
        if has_role(caller, Role::Admin) {
            return Ok(record);
        }
        let now = now.ok_or(Code::NotAllowed)?;
        record.unverified = now.unverified;
        let mut theirs = now.clone();
        theirs.connector.sharing = connector.sharing;
        theirs.connector.precedence.clone_from(&connector.precedence);
        theirs.revision = revision;
        if record != theirs {
            return Err(Failure::new(Code::NotAllowed)
                .because("a manager may change `sharing` and `precedence`, and nothing else"));
        }
        Ok(record)
    }
}

/// Whether a secret stored for one may be sent for the other: not where the issuer or the client could be another.
fn same_client(one: &Connector, other: &Connector) -> bool {
    let client = |connector: &Connector| {
        let registration = connector.registration.clone()?;
        Some((registration.issuer, registration.client_id, connector.upstream.clone()))
    };
    client(one).is_some() && client(one) == client(other)
}

impl Decide for Put {
    type Output = Told<ConnectorPut>;

    fn keys(&self) -> Vec<Key> {
        vec![Key::connector(&self.0.caller.tenant, &self.0.id)]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Told<ConnectorPut>> {
        let key = Key::connector(&self.0.caller.tenant, &self.0.id);
        let stored = match read(cx, &key, self.0.expected_revision, found) {
            Ok(stored) => stored,
            Err(failure) => return Decision::fail(failure),
        };
        let now = stored.as_ref().map(|stored| &stored.record);
        let mut record = match self.record(now) {
            Ok(record) => record,
            Err(failure) => return Decision::fail(failure),
        };
        if let Some(now) = now {
            let revision = now.revision;
            if record.unverified && !now.unverified {
                return Decision::done(Told::nothing_new(ConnectorPut::Kept { revision }));
            }
            record.revision = revision;
            if record == *now {
                return Decision::done(Told::nothing_new(ConnectorPut::Unchanged { revision }));
            }
            record.revision = revision.saturating_add(1);
        }
        let revision = record.revision;
        let write = cx.put(&key, as_seen(stored.as_ref()), &record, id, None);
        let news = changed(&self.0.caller, &self.0.id, Some(revision));
        Decision::Commit(vec![write], Told::new(ConnectorPut::Stored { revision }, news))
    }
}

/// Removes a connector. For administrators.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteConnector {
    /// Who asks.
    pub caller: Caller,
    /// The connector's name.
    pub id: ConnectorId,
    /// The revision that is meant. `None`: whichever is there.
    #[serde(default)]
    pub expected_revision: Option<u64>,
}

single! {
    /// A connector being deleted.
    DeletingConnector(Delete) -> bool
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Delete {
    arguments: DeleteConnector,
    /// Seen at an earlier try: if it is gone now, it is deleted, by whomever.
    found: bool,
}

impl Act for Delete {
    type Answer = bool;

    fn admit(&self, _: &Context<'_>) -> Result<Option<bool>, Failure> {
        if has_role(&self.arguments.caller, Role::Admin) { Ok(None) } else { Err(Code::NotAllowed.into()) }
    }
}

impl Decide for Delete {
    type Output = Told<bool>;

    fn keys(&self) -> Vec<Key> {
        vec![Key::connector(&self.arguments.caller.tenant, &self.arguments.id)]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        _: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Told<bool>> {
        let DeleteConnector { caller, id, expected_revision } = &self.arguments;
        let key = Key::connector(&caller.tenant, id);
        // One that does not open can be deleted too, unless a certain revision is meant.
        let seen = match (expected_revision, found.first().and_then(Option::as_ref)) {
            (None | Some(0), None) => None,
            (None, Some(raw)) => Some(Precondition::Version(raw.version)),
            (Some(_), None) if self.found => None,
            (Some(_), _) => match read(cx, &key, *expected_revision, found) {
                Ok(stored) => Some(as_seen(stored.as_ref())),
                Err(failure) => return Decision::fail(failure),
            },
        };
        let news = changed(caller, id, None);
        match seen {
            Some(precondition) => {
                self.found = true;
                // What its name and its server's URL have brought about goes too: a connector that takes its place begins anew.
                let record =
                    cx.open::<ConnectorRecord>(&key, found.first().and_then(Option::as_ref)).ok().flatten();
                let url = record.as_ref().and_then(|stored| stored.record.connector.server_url());
                let of_url = url.map(|url| Key::resource_metadata(&caller.tenant, url));
                let rest = std::iter::once(Key::static_registration(&caller.tenant, id)).chain(of_url);
                let rest = rest.map(|key| delete(key, Precondition::Any));
                let writes = std::iter::once(delete(key, precondition)).chain(rest).collect();
                Decision::Commit(writes, Told::new(true, news))
            }
            None if self.found => Decision::done(Told::new(true, news)),
            None => Decision::done(Told::nothing_new(false)),
        }
    }
}

/// The record, if its revision is the expected one.
fn read(
    cx: &Context<'_>,
    key: &Key,
    expected: Option<u64>,
    found: &[Option<Versioned>],
) -> Result<Option<Stored<ConnectorRecord>>, Failure> {
    let stored = cx.open::<ConnectorRecord>(key, found.first().and_then(Option::as_ref))?;
    let revision = stored.as_ref().map_or(0, |stored| stored.record.revision);
    if expected.is_some_and(|expected| expected != revision) {
        return Err(Code::ConnectorExists.into());
    }
    Ok(stored)
}

fn changed(caller: &Caller, id: &ConnectorId, revision: Option<u64>) -> News {
    News {
        tenant: caller.tenant.clone(),
        owner: None,
        connector: Some(id.clone()),
        what: What::ConnectorChanged { revision },
    }
}

/// Lists connectors.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListConnectors {
    /// Who asks.
    pub caller: Caller,
    /// Where the page before ended. `None`: the first page.
    #[serde(default)]
    pub after: Option<Cursor>,
    /// The length of the page, 1 to 100.
    pub limit: u32,
}

/// A connector as it stands. There is no secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "model", derive(Hash))]
pub struct ListedConnector {
    /// Its name.
    pub id: ConnectorId,
    /// Its configuration.
    pub connector: Connector,
    /// Whether a secret of its static registration is stored.
    pub has_client_secret: bool,
    /// +1 at every change.
    pub revision: u64,
    /// Seeded from a configuration file and not yet looked at by an administrator.
    pub unverified: bool,
}

/// Connectors being listed.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct ListingConnectors(Listing);

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum Listing {
    /// With the prefix that is scanned.
    AwaitPage(Key),
    Fresh(Box<ListConnectors>),
}

impl machine::Sealed for ListingConnectors {}

impl Machine for ListingConnectors {
    type Output = Page<ListedConnector>;

    #[allow(private_interfaces)]
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Page<ListedConnector>> {
        match (self.0, answer) {
            (Listing::Fresh(arguments), Answer::Start) => {
                if !has_role(&arguments.caller, Role::Manager) {
                    return Progress::fail(Code::NotAllowed);
                }
                let prefix = Key::connectors(&arguments.caller.tenant);
                let effect = scan(&prefix, arguments.after.as_ref(), arguments.limit);
                Progress::Perform(Self(Listing::AwaitPage(prefix)), effect)
            }
            (Listing::AwaitPage(prefix), Answer::Scan(Some((entries, more)))) => {
                let read = |key: &Key, raw: &Versioned| {
                    let stored = cx.open::<ConnectorRecord>(key, Some(raw))?;
                    let id = key.connector_name().ok_or(Code::StoreIntegrity)?;
                    Ok(stored.map(|stored| {
                        let ConnectorRecord { connector, client_secret, revision, unverified } =
                            stored.record;
                        let has_client_secret = client_secret.is_some();
                        ListedConnector { id, connector, has_client_secret, revision, unverified }
                    }))
                };
                Page::of(&prefix, &entries, more, read).map_or_else(Progress::fail, Progress::done)
            }
            (Listing::AwaitPage(_), Answer::Scan(None)) => Progress::fail(Code::StoreUnavailable),
            _ => Progress::fail(Code::Internal),
        }
    }
}

#[cfg(test)]
mod tests;
