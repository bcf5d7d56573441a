//! Where a connection stands, and what can be told from its record alone.

use crate::limits::{Limits, OUTBOX_MAX};
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

impl ConnectorRecord {
    /// Client id and current secret of the static registration.
    pub(crate) fn static_secret(&self) -> Option<(String, Secret)> {
        let registration = self.connector.registration.as_ref()?;
        Some((registration.client_id.clone(), self.client_secret.clone()?))
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

    /// Adds tokens that must be revoked upstream; one that is there already is not added twice. Where there are too many the one that
    /// has waited longest is let go, and that it may live on is said.
    pub(crate) fn park(&mut self, tokens: Vec<Parked>) {
        for parked in tokens {
            if self.outbox.iter().any(|have| have.token == parked.token) {
                continue;
            }
            if self.outbox.len() >= OUTBOX_MAX {
                self.outbox.remove(0);
                self.doubt = true;
            }
            self.outbox.push(parked);
        }
    }
}

impl Client {
    /// With the secret that its static registration has now, if it is given and is of this client: it may have been changed since the
    /// consent.
    pub(crate) fn with_current(mut self, current: Option<&(String, Secret)>) -> Self {
        if let Some((_, secret)) =
            current.filter(|(id, _)| self.source == RegistrationSource::Static && self.id == *id)
        {
            self.secret = Some(secret.clone());
        }
        self
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
    use crate::upstream::testing::grant;

    // L4
    #[test]
    fn the_outbox_lets_go_what_has_waited_longest_and_says_so() {
        let mut connection = Connection::new(OperationId([1; 16]));
        let mut waiting = 0;
        for tag in 0..OUTBOX_MAX {
            let parked = grant(&tag.to_string()).parked();
            waiting += parked.len();
            connection.park(parked);
            assert_eq!(connection.doubt, waiting > OUTBOX_MAX, "{tag}");
        }
        assert_eq!(connection.outbox.len(), OUTBOX_MAX);
        let newest = grant(&(OUTBOX_MAX - 1).to_string()).parked();
        assert_eq!(connection.outbox.last(), newest.last());
    }
}
