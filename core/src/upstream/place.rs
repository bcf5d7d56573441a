//! Where a connection stands, and what can be told from its record alone.

use crate::limits::{Limits, OUTBOX_MAX, OUTBOX_MAX_BYTES};
use crate::moment::UnixMillis;
use crate::operation::{Context, OperationId, Write};
use crate::principal::{ConnectorId, Principal, TenantId};
use crate::protocol::scopes::Scopes;
use crate::secret::Secret;
use crate::store::records::{
    Client, Condemned, Connection, ConnectorRecord, Flow, Grant, Parked, RegistrationSource,
};
use crate::store::{Key, put_index};

/// Owner × connector in a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) tenant: TenantId,
    pub(crate) owner: Principal,
    pub(crate) connector: ConnectorId,
}

impl Place {
    pub(crate) fn key(&self) -> Key {
        Key::connection(&self.tenant, &self.owner, &self.connector)
    }

    pub(crate) fn by_connector(&self) -> Key {
        Key::by_connector(&self.tenant, &self.connector, &self.owner)
    }

    pub(crate) fn due(&self, at: UnixMillis) -> Key {
        Key::due(&self.tenant, at, &self.owner, &self.connector)
    }

    /// Brings the connection before a sweep from this time on.
    pub(crate) fn sweep_at(&self, at: UnixMillis) -> Write {
        put_index(Key::expiry(&self.tenant, at, &self.key()), None)
    }

    /// Stands in every commit that parks tokens: should the operation that is about to revoke them not come to its end, a sweep does.
    pub(crate) fn sweep_entry(&self, cx: &Context<'_>, connection: &Connection) -> Option<Write> {
        // Later than the operation's own attempt, which takes an exchange and its commits.
        let at = cx.now().plus(cx.engine.limits().lease_ms);
        (!connection.outbox.is_empty()).then(|| self.sweep_at(at))
    }
}

/// The secret that a connector's static registration has now, for one client at one issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub(crate) struct StaticSecret {
    issuer: String,
    client_id: String,
    secret: Secret,
}

impl StaticSecret {
    /// The secret, if it is this client's at this issuer.
    pub(crate) fn of(self, issuer: &str, client_id: &str) -> Option<Secret> {
        (self.issuer == issuer && self.client_id == client_id).then_some(self.secret)
    }
}

impl ConnectorRecord {
    /// `None` as well where the configuration names no issuer: whose the secret is stands in the grants that were made with it.
    pub(crate) fn static_secret(&self) -> Option<StaticSecret> {
        let registration = self.connector.registration.as_ref()?;
        let issuer = registration.issuer.as_deref().or_else(|| self.connector.demanded_issuer())?;
        Some(StaticSecret {
            issuer: issuer.to_owned(),
            client_id: registration.client_id.clone(),
            secret: self.client_secret.clone()?,
        })
    }
}

impl Connection {
    /// A connection that has never had a grant.
    pub(crate) fn new(id: OperationId) -> Self {
        Self {
            id,
            epoch: 0,
            generation: 0,
            outbox: Vec::new(),
            redeeming: false,
            doubt: false,
            newest_flow: None,
            grant: None,
            awaiting: None,
            account: None,
            connected_by: None,
            connected_at: None,
            suspended: None,
            step_ups: Vec::new(),
            requested: Scopes::default(),
            wanted: Scopes::default(),
            due: None,
            last_failure: None,
            purged_until: None,
        }
    }

    /// Takes the grant away and moves its tokens to the outbox; notes a doubt if an answer may still be under way.
    pub(crate) fn retire_grant(&mut self) {
        for grant in self
            .grant
            .take()
            .map(|grant| *grant)
            .into_iter()
            .chain(self.awaiting.take().map(|held| held.grant))
        {
            self.doubt |= grant.sends > 0;
            self.park(grant.parked());
        }
    }

    /// Takes out of the outbox what is in use again: an issuer may give one and the same token at every consent.
    pub(crate) fn spare_current(&mut self) {
        let held = self.awaiting.as_deref().map(|awaiting| &awaiting.grant);
        let current: Vec<&Secret> = self
            .grant
            .as_deref()
            .into_iter()
            .chain(held)
            .flat_map(|grant| std::iter::once(&grant.access_token).chain(&grant.refresh_token))
            .collect();
        self.outbox.retain(|parked| !current.contains(&&parked.token));
    }

    /// Adds tokens that must be revoked upstream; one that is there already is not added twice. Where there are too many the access token
    /// that has waited longest is let go, then the refresh token, and that it may live on is said.
    pub(crate) fn park(&mut self, tokens: Vec<Parked>) {
        for parked in tokens {
            if self.outbox.iter().any(|have| have.token == parked.token) {
                continue;
            }
            self.outbox.push(parked);
            while self.outbox.len() > OUTBOX_MAX
                || self.outbox.iter().map(Parked::bytes).sum::<usize>() > OUTBOX_MAX_BYTES
            {
                let oldest = self.outbox.iter().position(|waiting| !waiting.refresh).unwrap_or(0);
                self.outbox.remove(oldest);
                self.doubt = true;
            }
        }
    }
}

impl Client {
    /// With the secret that its static registration has now, which may have been changed since the consent. A secret that belongs to
    /// another issuer or client goes nowhere.
    pub(crate) fn with_current(mut self, issuer: &str, current: Option<&StaticSecret>) -> Self {
        // atk:MIX-05
        let current = current.filter(|_| self.source == RegistrationSource::Static);
        if let Some(secret) = current.and_then(|current| current.clone().of(issuer, &self.id)) {
            self.secret = Some(secret);
        }
        self
    }
}

impl Parked {
    /// About as many as it takes in the record.
    fn bytes(&self) -> usize {
        let secret = self.client.secret.as_ref().map_or(0, |secret| secret.expose().len());
        self.token.expose().len().saturating_add(secret).saturating_add(self.client.id.len())
    }
}

impl Flow {
    /// When a store may drop it. It outlives the attempt, so that whoever comes late hears why, and any operation that has to look
    /// for its own write here.
    pub(crate) fn gone_at(&self, limits: &Limits) -> UnixMillis {
        self.expires_at.plus(limits.tombstone_ms)
    }
}

impl Grant {
    /// Whether its access token may be tried: it has not ended, and its resource has not rejected it for good.
    pub(crate) fn is_usable(&self, now: UnixMillis) -> bool {
        let rejected = matches!(self.condemned, Some(Condemned::IssuerChanged | Condemned::Rejected));
        !rejected && self.expires_at.is_none_or(|end| now < end)
    }

    /// When a refresh is due: before the end by the margin, at most a quarter of the lifetime, plus up to a tenth of
    /// that, which differs by connection so that grants of one moment do not refresh in one moment.
    pub(crate) fn due_at(&self, id: OperationId, limits: &Limits) -> Option<UnixMillis> {
        let end = self.expires_at?;
        let lifetime = self.obtained_at.until(end);
        let margin = limits.refresh_margin_ms.min(lifetime / 4);
        let spread = id.0.first().copied().unwrap_or(0);
        let jitter = (margin / 10).saturating_mul(u64::from(spread)) / 255;
        Some(end.minus(margin).minus(jitter))
    }

    pub(crate) fn is_due(&self, id: OperationId, now: UnixMillis, limits: &Limits) -> bool {
        // P26: what was obtained in the future was obtained by a clock that has jumped; its end is not to be believed.
        self.due_at(id, limits).is_some_and(|due| due <= now)
            || self.obtained_at > now.plus(limits.clock_skew_ms)
    }

    /// Its tokens, as they go to the outbox: the refresh token first. Nothing where the issuer offers no revocation.
    pub(crate) fn parked(&self) -> Vec<Parked> {
        let Some(endpoint) = &self.terms.revocation_endpoint else { return Vec::new() };
        let parked = |token: &Secret, refresh| Parked {
            token: token.clone(),
            refresh,
            issuer: self.terms.issuer.clone(),
            endpoint: endpoint.clone(),
            client: self.terms.client.clone(),
            address_policy: self.terms.revocation_policy.clone(),
            tries: 0,
            after: UnixMillis(0),
        };
        let refresh = self.refresh_token.iter().map(|token| parked(token, true));
        refresh.chain(std::iter::once(parked(&self.access_token, false))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CLIENT_SECRET_MAX_BYTES;
    use crate::protocol::token::TOKEN_MAX_BYTES;
    use crate::store::records::Awaiting;
    use crate::upstream::testing::{Desk, grant, place};

    // L4
    #[test]
    fn the_outbox_lets_go_what_has_waited_longest_refresh_tokens_last_and_says_so() {
        let mut connection = Connection::new(OperationId([1; 16]));
        for tag in 0..OUTBOX_MAX {
            connection.park(grant(&tag.to_string()).parked());
            assert_eq!(connection.doubt, 2 * (tag + 1) > OUTBOX_MAX, "{tag}");
        }
        assert_eq!(connection.outbox.len(), OUTBOX_MAX);
        assert!(connection.outbox.iter().all(|waiting| waiting.refresh));
        connection.park(grant("newest").parked());
        assert_eq!(connection.outbox.first(), grant("1").parked().first());
        assert_eq!(connection.outbox.last(), grant("newest").parked().first());
    }

    // atk:MIX-05, REG-05
    #[test]
    fn a_changed_secret_reaches_the_grants_of_its_own_issuer_and_client_alone() {
        let client = Client { source: RegistrationSource::Static, ..grant("a").terms.client };
        let current = |issuer: &str, client_id: &str| StaticSecret {
            issuer: issuer.to_owned(),
            client_id: client_id.to_owned(),
            secret: Secret::new("new"),
        };
        let sent =
            |current: StaticSecret| client.clone().with_current("https://as.example", Some(&current)).secret;
        assert_eq!(sent(current("https://as.example", &client.id)), Some(Secret::new("new")));
        assert_eq!(sent(current("https://evil.example", &client.id)), client.secret);
        assert_eq!(sent(current("https://as.example", "other")), client.secret);
        let dynamic = Client { source: RegistrationSource::Dynamic, ..client.clone() };
        let current = current("https://as.example", &client.id);
        assert_eq!(dynamic.with_current("https://as.example", Some(&current)).secret, client.secret);
    }

    // Design §8: a record that does not fit would lose tokens that nobody has seen.
    #[test]
    fn the_largest_connection_fits_in_a_record() {
        let text = |bytes: usize| "x".repeat(bytes);
        let scopes = Scopes::parse(&vec![text(200); 1].join(" ")).unwrap();
        let many: Vec<_> = (0..100).map(|n| format!("{n:03}{}", text(197))).collect();
        let scopes = scopes.union(&Scopes::parse(&many[..99].join(" ")).unwrap()).unwrap();
        let largest = |tag: usize| {
            let mut grant = grant("x");
            grant.access_token = Secret::new(format!("{tag:06}a{}", text(TOKEN_MAX_BYTES - 7)));
            grant.refresh_token = Some(Secret::new(format!("{tag:06}r{}", text(TOKEN_MAX_BYTES - 7))));
            grant.terms.client.secret = Some(Secret::new(text(CLIENT_SECRET_MAX_BYTES)));
            grant.terms.client.id = text(4096);
            grant.scopes = scopes.clone();
            grant
        };
        let mut connection = Connection::new(OperationId([1; 16]));
        (0..OUTBOX_MAX).for_each(|tag| connection.park(largest(tag).parked()));
        connection.grant = Some(Box::new(largest(90)));
        connection.requested = scopes.clone();
        connection.wanted = scopes.clone();
        connection.awaiting = Some(Box::new(Awaiting {
            grant: largest(91),
            account: None,
            requested: scopes,
            by: Principal::user("alice").unwrap(),
        }));
        let mut desk = Desk::new();
        let key = place("alice", "files").key();
        desk.put(&key, &connection);
        let stored =
            desk.rows().iter().find(|(have, _)| **have == key).map(|(_, row)| row.value.len()).unwrap();
        assert!(stored <= 256 * 1024, "{stored} bytes");
    }
}
