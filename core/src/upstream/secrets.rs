//! Secrets: credentials that are not OAuth (API keys, headers, environment values), stored by their owner, injected by name.
//! What is stored never comes out again but in a resolution.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::page::{Cursor, Page, scan};
use super::single::{Act, News, Single, Told, single};
use super::{Decide, Decision};
use crate::engine::Engine;
use crate::error::{Code, ConfigError, Failure};
use crate::event::What;
use crate::limits::CLIENT_SECRET_MAX_BYTES;
use crate::moment::UnixMillis;
use crate::operation::{
    Answer, Context, Machine, Operation, OperationId, Precondition, Progress, Versioned, machine,
};
use crate::policy::{may_manage, may_withdraw};
use crate::principal::{Caller, ID_MAX_BYTES, Principal};
use crate::secret::Secret;
use crate::store::records::SecretRecord;
use crate::store::{Key, delete};

/// LIMIT: as long as the longest token (design §8).
pub(crate) const SECRET_MAX_BYTES: usize = 16 * 1024;

/// Stores a secret, in place of one of the same name. For who manages the owner.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "model", derive(Hash))]
#[serde(deny_unknown_fields)]
pub struct StoreSecret {
    /// Who asks.
    pub caller: Caller,
    /// Whose it is to be. Default: the caller's own.
    #[serde(default)]
    pub owner: Option<Principal>,
    /// Its name, as connectors refer to it: 1 to 255 bytes without control characters.
    pub name: String,
    /// The secret itself: printable ASCII without blanks at its ends, at most 16 KiB.
    pub value: Secret,
}

/// What became of a secret that was to be stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretStored {
    /// Its name or value is not acceptable.
    Refused(ConfigError),
    /// It is in place.
    Stored,
}

impl Engine {
    /// Stores a secret.
    ///
    /// Failures: `user.not_allowed`, those of the store.
    pub fn store_secret(self: &Arc<Self>, arguments: StoreSecret) -> Operation<StoringSecret> {
        let StoreSecret { caller, owner, name, value } = arguments;
        let actor = Some(caller.principal.clone());
        let owner = owner.unwrap_or_else(|| caller.principal.clone());
        let store = Store { caller, owner, name, value };
        Operation::new(Arc::clone(self), actor, StoringSecret(Single::new(store)))
    }

    /// Removes a secret. Ends with whether there was one.
    ///
    /// Failures: `user.not_allowed`, those of the store.
    pub fn delete_secret(self: &Arc<Self>, arguments: DeleteSecret) -> Operation<DeletingSecret> {
        let DeleteSecret { caller, owner, name } = arguments;
        let actor = Some(caller.principal.clone());
        let owner = owner.unwrap_or_else(|| caller.principal.clone());
        let delete = Delete { caller, owner, name, found: false };
        Operation::new(Arc::clone(self), actor, DeletingSecret(Single::new(delete)))
    }

    /// Lists the names of an owner's secrets, in no particular order.
    ///
    /// Failures: `user.not_allowed`, those of the store.
    pub fn list_secrets(self: &Arc<Self>, arguments: ListSecrets) -> Operation<ListingSecrets> {
        let actor = Some(arguments.caller.principal.clone());
        Operation::new(Arc::clone(self), actor, ListingSecrets(Listing::Fresh(Box::new(arguments))))
    }
}

single! {
    /// A secret being stored.
    StoringSecret(Store) -> SecretStored
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Store {
    caller: Caller,
    owner: Principal,
    name: String,
    value: Secret,
}

impl Store {
    fn key(&self) -> Key {
        Key::secret(&self.caller.tenant, &self.owner, &self.name)
    }
}

impl Act for Store {
    type Answer = SecretStored;

    fn admit(&self, _: &Context<'_>) -> Result<Option<SecretStored>, Failure> {
        // atk:TEN-05: refused before any record is read, so the refusal says nothing about what is stored.
        if !may_manage(&self.caller, &self.owner) {
            return Err(Code::NotAllowed.into());
        }
        let checked = check_name(&self.name).and_then(|()| check_text("value", &self.value));
        Ok(checked.err().map(SecretStored::Refused))
    }
}

impl Decide for Store {
    type Output = Told<SecretStored>;

    fn keys(&self) -> Vec<Key> {
        vec![self.key()]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Told<SecretStored>> {
        // One that does not open is replaced as well: storing it anew is how it is mended.
        let seen = found
            .first()
            .and_then(Option::as_ref)
            .map_or(Precondition::Absent, |raw| Precondition::Version(raw.version));
        let record = SecretRecord {
            name: self.name.clone(),
            value: self.value.clone(),
            stored_at: cx.now(),
            stored_by: self.caller.principal.clone(),
        };
        let news = news(&self.caller, &self.owner, What::SecretStored { name: self.name.clone() });
        let write = cx.put(&self.key(), seen, &record, id, None);
        Decision::Commit(vec![write], Told::new(SecretStored::Stored, news))
    }
}

/// Removes a secret. For who manages the owner, and administrators.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteSecret {
    /// Who asks.
    pub caller: Caller,
    /// Whose it is. Default: the caller's own.
    #[serde(default)]
    pub owner: Option<Principal>,
    /// Its name.
    pub name: String,
}

single! {
    /// A secret being deleted.
    DeletingSecret(Delete) -> bool
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Delete {
    caller: Caller,
    owner: Principal,
    name: String,
    /// Seen at an earlier try: if it is gone now, it is deleted, by whomever.
    found: bool,
}

impl Act for Delete {
    type Answer = bool;

    fn admit(&self, _: &Context<'_>) -> Result<Option<bool>, Failure> {
        // atk:TEN-05
        if may_withdraw(&self.caller, &self.owner) { Ok(None) } else { Err(Code::NotAllowed.into()) }
    }
}

impl Decide for Delete {
    type Output = Told<bool>;

    fn keys(&self) -> Vec<Key> {
        vec![Key::secret(&self.caller.tenant, &self.owner, &self.name)]
    }

    fn decide(
        &mut self,
        _: &mut Context<'_>,
        _: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Told<bool>> {
        let Self { caller, owner, name, .. } = self;
        let news = news(caller, owner, What::SecretDeleted { name: name.clone() });
        match found.first().and_then(Option::as_ref) {
            Some(raw) => {
                self.found = true;
                let key = Key::secret(&caller.tenant, owner, name);
                let write = delete(key, Precondition::Version(raw.version));
                Decision::Commit(vec![write], Told::new(true, news))
            }
            None if self.found => Decision::done(Told::new(true, news)),
            None => Decision::done(Told::nothing_new(false)),
        }
    }
}

fn news(caller: &Caller, owner: &Principal, what: What) -> News {
    News { tenant: caller.tenant.clone(), owner: Some(owner.clone()), connector: None, what }
}

fn check_name(name: &str) -> Result<(), ConfigError> {
    if name.is_empty() || name.len() > ID_MAX_BYTES || name.chars().any(char::is_control) {
        return Err(ConfigError::new("name", name, "must be 1 to 255 bytes without control characters"));
    }
    Ok(())
}

/// Checks a client's secret: as [`check_text`], and short enough to stand beside each token that waits for revocation.
///
/// # Errors
/// Names the field, never the value.
pub(crate) fn check_client_secret(secret: &Secret) -> Result<(), ConfigError> {
    if secret.expose().len() > CLIENT_SECRET_MAX_BYTES {
        return Err(ConfigError::new("client_secret", "…", "must be at most 4096 bytes long"));
    }
    check_text("client_secret", secret)
}

/// Checks a secret that may become a header: printable ASCII, no blanks at the ends, at most 16 KiB.
///
/// # Errors
/// Names the field, never the value.
pub(crate) fn check_text(field: &'static str, secret: &Secret) -> Result<(), ConfigError> {
    let text = secret.expose();
    let refuse = |problem| Err(ConfigError::new(field, "…", problem));
    if text.is_empty() || text.len() > SECRET_MAX_BYTES {
        return refuse("must be 1 to 16384 bytes long");
    }
    // atk:HDR-01
    if !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return refuse("must be printable ASCII: no line break, no control character");
    }
    if text.trim() != text {
        return refuse("must not begin or end with a blank");
    }
    Ok(())
}

/// Lists an owner's secrets. For who manages the owner, and administrators.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListSecrets {
    /// Who asks.
    pub caller: Caller,
    /// Whose they are. Default: the caller's own.
    #[serde(default)]
    pub owner: Option<Principal>,
    /// Where the page before ended. `None`: the first page.
    #[serde(default)]
    pub after: Option<Cursor>,
    /// The length of the page, 1 to 100.
    pub limit: u32,
}

/// A stored secret, without the secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ListedSecret {
    /// Its name.
    pub name: String,
    /// When it was stored.
    pub stored_at: UnixMillis,
    /// By whom.
    pub stored_by: Principal,
}

/// Secrets being listed.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct ListingSecrets(Listing);

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum Listing {
    /// With the prefix that is scanned.
    AwaitPage(Key),
    Fresh(Box<ListSecrets>),
}

impl machine::Sealed for ListingSecrets {}

impl Machine for ListingSecrets {
    type Output = Page<ListedSecret>;

    #[allow(private_interfaces)]
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Page<ListedSecret>> {
        match (self.0, answer) {
            (Listing::Fresh(arguments), Answer::Start) => {
                let ListSecrets { caller, owner, after, limit } = *arguments;
                let owner = owner.unwrap_or_else(|| caller.principal.clone());
                if !may_withdraw(&caller, &owner) {
                    return Progress::fail(Code::NotAllowed);
                }
                let prefix = Key::secrets_of(&caller.tenant, &owner);
                let effect = scan(&prefix, after.as_ref(), limit);
                Progress::Perform(Self(Listing::AwaitPage(prefix)), effect)
            }
            (Listing::AwaitPage(prefix), Answer::Scan(Some((entries, more)))) => {
                // atk:TEN-09: the value stays behind.
                let read = |key: &Key, raw: &Versioned| {
                    let stored = cx.open::<SecretRecord>(key, Some(raw))?;
                    Ok(stored.map(|stored| {
                        let SecretRecord { name, value: _, stored_at, stored_by } = stored.record;
                        ListedSecret { name, stored_at, stored_by }
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
