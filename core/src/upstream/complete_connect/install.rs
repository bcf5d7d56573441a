//! Installing a new grant: one commit of flow and connection, with the connector as it is.

use super::super::place::{Place, StaticSecret};
use super::super::refresh::save::{expiry, schedule};
use super::super::{Decide, Decision};
use super::Redeeming;
use crate::error::Code;
use crate::operation::{Context, OperationId, Versioned};
use crate::protocol::id_token::{self, Account};
use crate::protocol::token::TokenResponse;
use crate::store::records::{Awaiting, Connection, ConnectorRecord, Flow, FlowStatus, Grant};
use crate::store::{Key, as_seen, keep};

/// Puts the tokens of a new consent in place.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Install {
    place: Place,
    key: Key,
    flow: Flow,
    claim: OperationId,
    /// As it will stand in the connection, but for its family.
    grant: Grant,
    account: Option<Account>,
}

/// What became of the tokens.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) enum Installed {
    /// They are the connection's, or wait for the owner's confirmation. With the secret to revoke what they replace.
    Connected(Box<Connection>, Option<StaticSecret>),
    /// The connection has moved on, or its connector is gone; they stand in the outbox.
    Parked(Box<Connection>, Code),
}

impl Install {
    pub(super) fn new(cx: &Context<'_>, redeeming: &Redeeming, tokens: TokenResponse) -> Self {
        let Redeeming { place, key, flow, claim } = redeeming;
        let now = cx.now();
        let terms = flow.terms.clone();
        // atk:TEN-08: for the label, and to notice another account; never for a decision about rights.
        let account = tokens
            .id_token
            .as_ref()
            .and_then(|id_token| id_token::read(id_token, &terms.issuer, &terms.client.id).ok());
        let grant = Grant {
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
            obtained_at: now,
            //= spec/oauth21.md#3-2-3
            //# The engine MUST NOT count on `expires_in`, on a refresh token, or on the size or form of a
            //# token (TOK-11, U).
            expires_at: expiry(cx, now, tokens.expires_in),
            terms,
            //= spec/oauth21.md#3-2-3
            //# The `scope` of a response MUST be taken as what was granted, and its absence as a grant of all
            //# that was asked for (TOK-10, U).
            scopes: tokens.scopes.unwrap_or_else(|| flow.scopes.clone()),
            family: 0,
            sends: 0,
            lease: None,
            backoff: None,
            condemned: None,
            rejected_at: None,
        };
        Self { place: place.clone(), key: key.clone(), flow: flow.clone(), claim: *claim, grant, account }
    }

    /// Whether a reconnect has arrived as somebody else.
    fn is_another_account(&self, connection: &Connection) -> bool {
        let (Some(before), Some(now)) = (&connection.account, &self.account) else { return false };
        let same_issuer =
            connection.grant.as_ref().is_none_or(|grant| grant.terms.issuer == self.grant.terms.issuer);
        same_issuer && before.subject != now.subject
    }

    fn install(&self, cx: &Context<'_>, connection: &mut Connection) {
        let mut grant = self.grant.clone();
        if self.is_another_account(connection) {
            if let Some(earlier) = connection.awaiting.take() {
                connection.park(earlier.grant.parked());
            }
            connection.awaiting = Some(Box::new(Awaiting {
                grant,
                account: self.account.clone(),
                requested: self.flow.scopes.clone(),
                by: self.flow.principal.clone(),
            }));
            return;
        }
        connection.retire_grant();
        connection.generation = connection.generation.saturating_add(1);
        grant.family = connection.generation;
        connection.grant = Some(Box::new(grant));
        connection.account = self.account.clone().or_else(|| connection.account.take());
        connection.connected_by = Some(self.flow.principal.clone());
        connection.connected_at = Some(cx.now());
        connection.requested.clone_from(&self.flow.scopes);
        connection.last_failure = None;
        connection.purged_until = None;
    }
}

impl Decide for Install {
    type Output = Installed;

    fn keys(&self) -> Vec<Key> {
        let connector = Key::connector(&self.place.tenant, &self.place.connector);
        vec![self.key.clone(), self.place.key(), connector]
    }

    /// The code is spent and the tokens are in hand.
    fn patience(&self) -> u8 {
        8
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Installed> {
        let [flow, connection, connector] = found else { return Decision::fail(Code::Internal) };
        let place_key = self.place.key();
        let opened = (
            cx.open::<Flow>(&self.key, flow.as_ref()),
            cx.open::<Connection>(&place_key, connection.as_ref()),
            cx.open::<ConnectorRecord>(
                &Key::connector(&self.place.tenant, &self.place.connector),
                connector.as_ref(),
            ),
        );
        let (stored, seen, connector) = match opened {
            (Ok(stored), Ok(seen), Ok(connector)) => (stored, seen, connector),
            (Err(failure), _, _) | (_, Err(failure), _) | (_, _, Err(failure)) => {
                return Decision::fail(failure);
            }
        };
        let as_connection = as_seen(seen.as_ref());
        let lost = seen.is_none();
        let mut connection = Box::new(seen.map_or_else(|| Connection::new(self.claim), |seen| seen.record));
        connection.redeeming = false;
        let claimed = stored.filter(|stored| stored.record.status == FlowStatus::Claimed(self.claim));
        let moved_on = lost || connection.epoch != self.flow.epoch;
        // P19: after a disconnect nobody may use these tokens, and they must not live on unnoticed.
        let refused = match (&claimed, &connector) {
            (Some(_), Some(_)) if !moved_on => None,
            (_, None) => Some(Code::ConnectorUnknown),
            _ => Some(Code::FlowSuperseded),
        };
        if refused.is_none() {
            self.install(cx, &mut connection);
        } else {
            connection.park(self.grant.parked());
        }
        let mut writes = Vec::new();
        // First, for by its first write the transaction knows its own commit again: a connection just installed may be written
        // by others before an unknown commit is looked at, a flow that has ended is not.
        if let Some(stored) = claimed {
            // The claim alone makes this the flow's only end; its precondition is a belt.
            let precondition = stored.unchanged();
            let mut flow = stored.record;
            flow.status = if refused.is_none() { FlowStatus::Completed } else { FlowStatus::Failed };
            writes.push(cx.put(&self.key, precondition, &flow, id, Some(flow.gone_at(cx.engine.limits()))));
        }
        let index = schedule(cx, &self.place, &mut connection);
        writes.push(cx.put(&place_key, as_connection, &*connection, id, None));
        writes.extend(index);
        match (refused, connector) {
            (None, Some(connector)) => {
                let key = Key::connector(&self.place.tenant, &self.place.connector);
                writes.push(keep(key, connector.version));
                Decision::Commit(writes, Installed::Connected(connection, connector.record.static_secret()))
            }
            (refused, _) => {
                let code = refused.unwrap_or(Code::FlowSuperseded);
                Decision::Commit(writes, Installed::Parked(connection, code))
            }
        }
    }
}
