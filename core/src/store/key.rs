//! Store keys: tenant, kind, parts. Distinct tuples give distinct keys, and a whole number of parts is a scan prefix.
//!
//! Form: `len tenant kind (len part)*`, each `len` one byte. Parts are at most 255 bytes because ids are; whatever may be
//! longer (issuer, resource, redirect set, client id) enters as its SHA-256. Adapters may read the tenant part.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::moment::UnixMillis;
use crate::principal::{ConnectorId, Principal, PrincipalKind, TenantId};

/// LIMIT: three ids of 255 bytes with their lengths fit; stores must take this much.
pub const KEY_MAX_BYTES: usize = 1024;

/// What a record is; the byte stands in its key. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A tenant's configuration of one upstream.
    Connector = 1,
    /// Owner × connector, with the current grant.
    Connection = 2,
    /// A non-OAuth credential of one owner.
    Secret = 3,
    /// One authorization attempt.
    Flow = 4,
    /// Our client at one issuer.
    Registration = 5,
    /// A resource's or an issuer's document as received.
    Metadata = 6,
    /// What a connect link stands for.
    Ticket = 7,
    /// The live ticket of (principal, connector, purpose, scopes).
    TicketOf = 8,
    /// An issuer's brake.
    Throttle = 9,
    /// A consent session of the gateway.
    Consent = 10,
    /// A grant obtained in a consent session.
    Staged = 11,
    /// A consent remembered.
    Approval = 12,
    /// A browser session of a `key` or `session` principal.
    Session = 13,
    /// An MCP client that signs in at the gateway.
    Client = 14,
    /// An authorization code of the gateway.
    Code = 15,
    /// The tokens of one sign-in.
    Family = 16,
    /// One of a bounded number of places.
    Slot = 17,
    /// How often something was tried in vain.
    Attempts = 18,
    /// Index: refresh due, by minute.
    Due = 64,
    /// Index: owners by connector.
    ByConnector = 65,
    /// Index: what ends, by minute.
    Expiry = 66,
    /// Index: families by client.
    ByClient = 67,
    /// Index: families by principal.
    ByPrincipal = 68,
}

/// The key of one record, or a prefix of keys.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Vec<u8>);

/// The bytes are no key: empty, or over 1 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidKey;

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a key has 1 to {KEY_MAX_BYTES} bytes")
    }
}

impl std::error::Error for InvalidKey {}

impl Key {
    /// A key from bytes that a store gave back, or that a test made up.
    ///
    /// # Errors
    /// Empty, or longer than 1 KiB.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self, InvalidKey> {
        let bytes = bytes.into();
        if bytes.is_empty() || bytes.len() > KEY_MAX_BYTES { Err(InvalidKey) } else { Ok(Self(bytes)) }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this key begins with all of `prefix`.
    pub fn starts_with(&self, prefix: &Self) -> bool {
        self.0.starts_with(&prefix.0)
    }

    /// The tenant part, for adapters that place records by tenant. `None` for bytes the engine did not make.
    pub fn tenant(&self) -> Option<&[u8]> {
        let (len, rest) = self.0.split_first()?;
        rest.get(..usize::from(*len))
    }

    /// All records of a tenant.
    pub(crate) fn of_tenant(tenant: &TenantId) -> Self {
        Self(Vec::with_capacity(64)).part(tenant.as_str().as_bytes())
    }

    /// All records of a kind.
    pub(crate) fn of(tenant: &TenantId, kind: Kind) -> Self {
        let mut key = Self::of_tenant(tenant);
        key.0.push(kind as u8);
        key
    }

    fn part(mut self, bytes: &[u8]) -> Self {
        // INVARIANT: ids are checked to be at most 255 bytes, and all other parts are hashes or numbers.
        let len = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
        self.0.push(len);
        self.0.extend(bytes.iter().take(usize::from(len)));
        self
    }

    fn hashed(self, text: &str) -> Self {
        self.part(&Sha256::digest(text.as_bytes()))
    }

    fn owner(self, owner: &Principal) -> Self {
        self.part(&[owner_kind(owner.kind())]).part(owner.id().as_bytes())
    }

    pub(crate) fn connector(tenant: &TenantId, connector: &ConnectorId) -> Self {
        Self::of(tenant, Kind::Connector).part(connector.as_str().as_bytes())
    }

    pub(crate) fn connectors(tenant: &TenantId) -> Self {
        Self::of(tenant, Kind::Connector)
    }

    pub(crate) fn connection(tenant: &TenantId, owner: &Principal, connector: &ConnectorId) -> Self {
        //= spec/mcp-2026-07-28.md#disc-authorization-server-location
        //# Tokens MUST be stored apart by issuer, and within it by registration, resource and owner
        //# (TOK-12, U).
        Self::connections_of(tenant, owner).part(connector.as_str().as_bytes())
    }

    pub(crate) fn connections_of(tenant: &TenantId, owner: &Principal) -> Self {
        Self::of(tenant, Kind::Connection).owner(owner)
    }

    pub(crate) fn secret(tenant: &TenantId, owner: &Principal, name: &str) -> Self {
        Self::secrets_of(tenant, owner).hashed(name)
    }

    pub(crate) fn secrets_of(tenant: &TenantId, owner: &Principal) -> Self {
        Self::of(tenant, Kind::Secret).owner(owner)
    }

    /// `hash` is that of the state.
    pub(crate) fn flow(tenant: &TenantId, hash: &[u8; 32]) -> Self {
        Self::of(tenant, Kind::Flow).part(hash)
    }

    pub(crate) fn registration(tenant: &TenantId, issuer: &str, redirect_set: &str) -> Self {
        Self::of(tenant, Kind::Registration).hashed(issuer).hashed(redirect_set)
    }

    /// The issuer that a connector's static registration was first used at.
    pub(crate) fn static_registration(tenant: &TenantId, connector: &ConnectorId) -> Self {
        Self::of(tenant, Kind::Registration).part(connector.as_str().as_bytes())
    }

    /// What the issuer publishes about itself, asked for under this name.
    pub(crate) fn issuer_metadata(tenant: &TenantId, issuer: &str) -> Self {
        Self::of(tenant, Kind::Metadata).part(b"issuer").hashed(issuer)
    }

    /// What a server publishes about itself; `url` as configured.
    pub(crate) fn resource_metadata(tenant: &TenantId, url: &str) -> Self {
        Self::of(tenant, Kind::Metadata).part(b"resource").hashed(url)
    }

    /// `hash` is that of the ticket.
    pub(crate) fn ticket(tenant: &TenantId, hash: &[u8; 32]) -> Self {
        Self::of(tenant, Kind::Ticket).part(hash)
    }

    pub(crate) fn ticket_of(
        tenant: &TenantId,
        principal: &Principal,
        connector: &ConnectorId,
        purpose: &str,
    ) -> Self {
        Self::tickets_of(tenant, principal).part(connector.as_str().as_bytes()).hashed(purpose)
    }

    pub(crate) fn tickets_of(tenant: &TenantId, principal: &Principal) -> Self {
        Self::of(tenant, Kind::TicketOf).owner(principal)
    }

    pub(crate) fn throttle(tenant: &TenantId, issuer: &str) -> Self {
        Self::of(tenant, Kind::Throttle).hashed(issuer)
    }

    /// `hash` is that of the consent session's id.
    pub(crate) fn consent(tenant: &TenantId, hash: &[u8; 32]) -> Self {
        Self::of(tenant, Kind::Consent).part(hash)
    }

    pub(crate) fn staged(tenant: &TenantId, consent: &[u8; 32], connector: &ConnectorId) -> Self {
        Self::of(tenant, Kind::Staged).part(consent).part(connector.as_str().as_bytes())
    }

    pub(crate) fn approval(tenant: &TenantId, principal: &Principal, client_id: &str) -> Self {
        Self::approvals_of(tenant, principal).hashed(client_id)
    }

    pub(crate) fn approvals_of(tenant: &TenantId, principal: &Principal) -> Self {
        Self::of(tenant, Kind::Approval).owner(principal)
    }

    /// `hash` is that of the session's secret.
    pub(crate) fn session(tenant: &TenantId, hash: &[u8; 32]) -> Self {
        Self::of(tenant, Kind::Session).part(hash)
    }

    pub(crate) fn client(tenant: &TenantId, client_id: &str) -> Self {
        Self::clients(tenant).hashed(client_id)
    }

    pub(crate) fn clients(tenant: &TenantId) -> Self {
        Self::of(tenant, Kind::Client)
    }

    /// `hash` is that of the code.
    pub(crate) fn code(tenant: &TenantId, hash: &[u8; 32]) -> Self {
        Self::of(tenant, Kind::Code).part(hash)
    }

    pub(crate) fn family(tenant: &TenantId, family: &[u8; 16]) -> Self {
        Self::of(tenant, Kind::Family).part(family)
    }

    /// One of the places of a group, such as the pending consent sessions of a client.
    pub(crate) fn slot(tenant: &TenantId, group: &str, number: u16) -> Self {
        Self::of(tenant, Kind::Slot).hashed(group).part(&number.to_be_bytes())
    }

    pub(crate) fn attempts(tenant: &TenantId, subject: &[u8; 32]) -> Self {
        Self::of(tenant, Kind::Attempts).part(subject)
    }

    pub(crate) fn by_client(tenant: &TenantId, client_id: &str, family: &[u8; 16]) -> Self {
        Self::all_by_client(tenant, client_id).part(family)
    }

    pub(crate) fn all_by_client(tenant: &TenantId, client_id: &str) -> Self {
        Self::of(tenant, Kind::ByClient).hashed(client_id)
    }

    pub(crate) fn by_principal(tenant: &TenantId, principal: &Principal, family: &[u8; 16]) -> Self {
        Self::all_by_principal(tenant, principal).part(family)
    }

    pub(crate) fn all_by_principal(tenant: &TenantId, principal: &Principal) -> Self {
        Self::of(tenant, Kind::ByPrincipal).owner(principal)
    }

    /// The family that an entry of `by_client` or `by_principal` names.
    pub(crate) fn family_target(&self) -> Option<[u8; 16]> {
        let (kind, parts) = self.parts()?;
        let family = match parts.as_slice() {
            [_client, family] if kind == Kind::ByClient as u8 => family,
            [_owner_kind, _owner_id, family] if kind == Kind::ByPrincipal as u8 => family,
            _ => return None,
        };
        <[u8; 16]>::try_from(*family).ok()
    }

    pub(crate) fn due(tenant: &TenantId, at: UnixMillis, owner: &Principal, connector: &ConnectorId) -> Self {
        Self::due_at(tenant, at).owner(owner).part(connector.as_str().as_bytes())
    }

    pub(crate) fn due_at(tenant: &TenantId, at: UnixMillis) -> Self {
        Self::all_due(tenant).part(&at.minute().to_be_bytes())
    }

    pub(crate) fn all_due(tenant: &TenantId) -> Self {
        Self::of(tenant, Kind::Due)
    }

    pub(crate) fn by_connector(tenant: &TenantId, connector: &ConnectorId, owner: &Principal) -> Self {
        Self::all_by_connector(tenant, connector).owner(owner)
    }

    pub(crate) fn all_by_connector(tenant: &TenantId, connector: &ConnectorId) -> Self {
        Self::of(tenant, Kind::ByConnector).part(connector.as_str().as_bytes())
    }

    /// Names `target`, a key of the same tenant, as ending at `at`. The target enters whole, in parts of at most 255 bytes.
    pub(crate) fn expiry(tenant: &TenantId, at: UnixMillis, target: &Self) -> Self {
        let skip = Self::of_tenant(tenant).0.len();
        let rest = target.0.get(skip..).unwrap_or_default();
        rest.chunks(255).fold(Self::expiry_at(tenant, at), Self::part)
    }

    pub(crate) fn expiry_at(tenant: &TenantId, at: UnixMillis) -> Self {
        Self::all_expiry(tenant).part(&at.minute().to_be_bytes())
    }

    pub(crate) fn all_expiry(tenant: &TenantId) -> Self {
        Self::of(tenant, Kind::Expiry)
    }

    /// Takes an engine key apart: kind and parts. `None` for bytes the engine did not make.
    pub(crate) fn parts(&self) -> Option<(u8, Vec<&[u8]>)> {
        let rest = self.0.get(self.tenant()?.len().saturating_add(1)..)?;
        let (kind, mut rest) = rest.split_first()?;
        let mut parts = Vec::new();
        while let Some((len, tail)) = rest.split_first() {
            parts.push(tail.get(..usize::from(*len))?);
            rest = tail.get(usize::from(*len)..)?;
        }
        Some((*kind, parts))
    }

    /// The key that an `expiry` entry names.
    pub(crate) fn expiry_target(&self) -> Option<Self> {
        let (kind, parts) = self.parts()?;
        let (_minute, target) = parts.split_first()?;
        let (last, whole) = target.split_last()?;
        // A target is cut in one way, so that no two entries of a minute name the same.
        if kind != Kind::Expiry as u8 || last.is_empty() || whole.iter().any(|part| part.len() < 255) {
            return None;
        }
        let mut key = vec![u8::try_from(self.tenant()?.len()).ok()?];
        key.extend_from_slice(self.tenant()?);
        target.iter().for_each(|part| key.extend_from_slice(part));
        Self::from_bytes(key).ok()
    }

    /// The minute, as the first part of a `due` or `expiry` entry.
    pub(crate) fn minute(&self) -> Option<u64> {
        let (_, parts) = self.parts()?;
        Some(u64::from_be_bytes(<[u8; 8]>::try_from(*parts.first()?).ok()?))
    }

    /// The owner and connector that a `due` entry names.
    pub(crate) fn due_target(&self) -> Option<(Principal, ConnectorId)> {
        let (kind, parts) = self.parts()?;
        let [_minute, owner_kind, owner_id, connector] = parts.as_slice() else { return None };
        (kind == Kind::Due as u8).then_some(())?;
        Some((parse_owner(owner_kind, owner_id)?, parse_id(connector)?))
    }

    /// The owner that a `by_connector` entry names.
    pub(crate) fn by_connector_owner(&self) -> Option<Principal> {
        let (kind, parts) = self.parts()?;
        let [_connector, owner_kind, owner_id] = parts.as_slice() else { return None };
        (kind == Kind::ByConnector as u8).then_some(())?;
        parse_owner(owner_kind, owner_id)
    }

    /// The name in a `connector` key.
    pub(crate) fn connector_name(&self) -> Option<ConnectorId> {
        let (kind, parts) = self.parts()?;
        let [name] = parts.as_slice() else { return None };
        (kind == Kind::Connector as u8).then_some(())?;
        parse_id(name)
    }

    /// The owner and connector that a `connection` key names.
    pub(crate) fn connection_target(&self) -> Option<(Principal, ConnectorId)> {
        let (kind, parts) = self.parts()?;
        let [owner_kind, owner_id, connector] = parts.as_slice() else { return None };
        (kind == Kind::Connection as u8).then_some(())?;
        Some((parse_owner(owner_kind, owner_id)?, parse_id(connector)?))
    }

    /// The hash in a `flow` key.
    pub(crate) fn flow_hash(&self) -> Option<[u8; 32]> {
        let (kind, parts) = self.parts()?;
        let [hash] = parts.as_slice() else { return None };
        (kind == Kind::Flow as u8).then_some(())?;
        <[u8; 32]>::try_from(*hash).ok()
    }

    /// The id in a `family` key.
    pub(crate) fn family_id(&self) -> Option<[u8; 16]> {
        let (kind, parts) = self.parts()?;
        let [family] = parts.as_slice() else { return None };
        (kind == Kind::Family as u8).then_some(())?;
        <[u8; 16]>::try_from(*family).ok()
    }

    /// The connector in a `staged` key.
    pub(crate) fn staged_connector(&self) -> Option<ConnectorId> {
        let (kind, parts) = self.parts()?;
        let [_consent, connector] = parts.as_slice() else { return None };
        (kind == Kind::Staged as u8).then_some(())?;
        parse_id(connector)
    }

    /// Whether it is a key of this kind.
    pub(crate) fn is(&self, kind: Kind) -> bool {
        self.parts().is_some_and(|(have, _)| have == kind as u8)
    }
}

fn parse_id(part: &[u8]) -> Option<ConnectorId> {
    ConnectorId::new(std::str::from_utf8(part).ok()?).ok()
}

fn parse_owner(kind: &[u8], id: &[u8]) -> Option<Principal> {
    let [code] = kind else { return None };
    let kind = OWNER_KINDS.iter().find(|(_, number)| number == code)?.0;
    Principal::new(kind, std::str::from_utf8(id).ok()?).ok()
}

/// The numbers that stand for owner kinds in keys; never reused.
const OWNER_KINDS: [(PrincipalKind, u8); 6] = [
    (PrincipalKind::User, 1),
    (PrincipalKind::Team, 2),
    (PrincipalKind::Org, 3),
    (PrincipalKind::Agent, 4),
    (PrincipalKind::Key, 5),
    (PrincipalKind::Session, 6),
];

const fn owner_kind(kind: PrincipalKind) -> u8 {
    match kind {
        PrincipalKind::User => 1,
        PrincipalKind::Team => 2,
        PrincipalKind::Org => 3,
        PrincipalKind::Agent => 4,
        PrincipalKind::Key => 5,
        PrincipalKind::Session => 6,
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(id: &str) -> TenantId {
        TenantId::new(id).unwrap()
    }

    fn connector(id: &str) -> ConnectorId {
        ConnectorId::new(id).unwrap()
    }

    // atk:TEN-03
    #[test]
    fn look_alike_tuples_give_distinct_keys() {
        let pairs =
            [("a:b", "c"), ("a", "b:c"), ("ab", "c"), ("a", "bc"), ("A", "bc"), ("a\0", "bc"), ("a", "\0bc")];
        let keys: std::collections::BTreeSet<_> = pairs
            .iter()
            .map(|(owner, to)| {
                Key::connection(&tenant("t"), &Principal::user(*owner).unwrap(), &connector(to))
            })
            .collect();
        assert_eq!(keys.len(), pairs.len());
    }

    #[test]
    fn an_owner_prefix_covers_that_owner_only() {
        let prefix = Key::connections_of(&tenant("t"), &Principal::user("a").unwrap());
        assert!(
            Key::connection(&tenant("t"), &Principal::user("a").unwrap(), &connector("x"))
                .starts_with(&prefix)
        );
        assert!(
            !Key::connection(&tenant("t"), &Principal::user("ab").unwrap(), &connector("x"))
                .starts_with(&prefix)
        );
        assert!(
            !Key::connection(&tenant("t"), &Principal::team("a").unwrap(), &connector("x"))
                .starts_with(&prefix)
        );
        assert!(
            !Key::connection(&tenant("t2"), &Principal::user("a").unwrap(), &connector("x"))
                .starts_with(&prefix)
        );
    }

    #[test]
    fn index_keys_name_what_they_point_to() {
        let (t, owner, to) =
            (tenant("t"), Principal::agent("x".repeat(255)).unwrap(), connector(&"y".repeat(255)));
        let due = Key::due(&t, UnixMillis(120_000), &owner, &to);
        assert_eq!(due.due_target(), Some((owner.clone(), to.clone())));
        assert_eq!(due.minute(), Some(2));
        let connection = Key::connection(&t, &owner, &to);
        assert_eq!(connection.connection_target(), Some((owner.clone(), to.clone())));
        let expiry = Key::expiry(&t, UnixMillis(60_000), &connection);
        assert_eq!(expiry.expiry_target(), Some(connection));
        assert!(expiry.as_bytes().len() <= KEY_MAX_BYTES);
        assert_eq!(Key::by_connector(&t, &to, &owner).by_connector_owner(), Some(owner));
    }

    #[test]
    fn an_entry_that_cuts_its_target_in_another_way_names_nothing() {
        let target = Key::connector(&tenant("t"), &connector("x"));
        let entry = Key::expiry(&tenant("t"), UnixMillis(60_000), &target);
        assert_eq!(entry.expiry_target(), Some(target));
        let at = Key::expiry_at(&tenant("t"), UnixMillis(60_000));
        let cut = at.clone().part(&[Kind::Connector as u8]).part(&[1, b'x']);
        assert_eq!((at.expiry_target(), cut.expiry_target()), (None, None));
        assert_eq!(entry.part(&[]).expiry_target(), None);
    }

    #[test]
    fn minutes_order_index_keys() {
        let at = |minute: u64| Key::due_at(&tenant("t"), UnixMillis(minute * 60_000));
        assert!(at(1) < at(2) && at(2) < at(300) && at(255) < at(256));
    }

    #[test]
    fn the_tenant_part_can_be_read() {
        assert_eq!(Key::connectors(&tenant("acme")).tenant(), Some(b"acme".as_slice()));
    }
}
