//! Installing a new grant: one commit of flow and connection, with the connector as it is.

use super::super::place::{Place, StaticSecret};
use super::super::refresh::save::{expiry, schedule};
use super::super::{Decide, Decision, NewGrant};
use super::Redeeming;
use crate::error::{Code, Failure};
use crate::limits::STAGED_MAX;
use crate::operation::{Context, OperationId, Versioned, Write};
use crate::protocol::id_token::{self, Account};
use crate::protocol::token::TokenResponse;
use crate::store::records::{
    Connection, ConnectorRecord, ConsentHash, ConsentRecord, Flow, FlowStatus, Grant, StagedRecord,
};
use crate::store::{Key, Stored, as_seen, keep, put_index};

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
    /// They are staged in the consent session that the flow belonged to. With the connection, and the secret to revoke what they replace.
    Staged(Box<Connection>, Box<StagedRecord>, Option<StaticSecret>),
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

    /// `None`: the flow belongs to no consent session. `Some(None)`: it does, and that has no use for the grant any more.
    fn stage(
        &self,
        cx: &Context<'_>,
        rest: &[Option<Versioned>],
        connection: &Connection,
    ) -> Result<Option<Option<Stage>>, Failure> {
        let (Some(hash), [consent, earlier]) = (self.flow.consent, rest) else { return Ok(None) };
        let Place { tenant, owner, connector } = &self.place;
        let consent = cx.open::<ConsentRecord>(&Key::consent(tenant, &hash.0), consent.as_ref())?;
        let earlier = cx.open::<StagedRecord>(&Key::staged(tenant, &hash.0, connector), earlier.as_ref())?;
        // F44: whoever the person was when it began.
        let consent = consent.filter(|consent| {
            let known = consent.record.staged.contains(connector);
            consent.record.is_open(cx)
                && consent.record.identity.as_ref().is_some_and(|who| who.principal == *owner)
                && (known || consent.record.staged.len() < STAGED_MAX)
        });
        let staged = StagedRecord {
            owner: owner.clone(),
            by: self.flow.principal.clone(),
            grant: self.grant.clone(),
            account: self.account.clone(),
            requested: self.flow.scopes.clone(),
            epoch: connection.epoch,
            family: connection.grant.as_ref().map(|grant| grant.family),
            connection: connection.id,
        };
        Ok(Some(consent.map(|consent| Stage { hash, consent, earlier, staged })))
    }

    fn new_grant(&self) -> NewGrant {
        NewGrant {
            grant: self.grant.clone(),
            account: self.account.clone(),
            requested: self.flow.scopes.clone(),
            by: self.flow.principal.clone(),
        }
    }
}

/// A grant to be staged, and where.
struct Stage {
    hash: ConsentHash,
    consent: Stored<ConsentRecord>,
    /// Of the same upstream, which gives way.
    earlier: Option<Stored<StagedRecord>>,
    staged: StagedRecord,
}

impl Stage {
    fn write(
        self,
        cx: &Context<'_>,
        place: &Place,
        id: OperationId,
        writes: &mut Vec<Write>,
    ) -> StagedRecord {
        let Self { hash, consent, earlier, staged } = self;
        let as_consent = consent.unchanged();
        let mut consent = consent.record;
        consent.skipped.retain(|skipped| *skipped != place.connector);
        if !consent.staged.contains(&place.connector) {
            consent.staged.push(place.connector.clone());
        }
        let end = consent.expires_at;
        let key = Key::staged(&place.tenant, &hash.0, &place.connector);
        writes.push(cx.put(&Key::consent(&place.tenant, &hash.0), as_consent, &consent, id, Some(end)));
        // No end: the sweep has to find it, for its tokens must be revoked if nobody ever approves.
        writes.push(cx.put(&key, as_seen(earlier.as_ref()), &staged, id, None));
        writes.push(put_index(Key::expiry(&place.tenant, end, &key), None));
        staged
    }
}

impl Decide for Install {
    type Output = Installed;

    fn keys(&self) -> Vec<Key> {
        let Place { tenant, connector, .. } = &self.place;
        let mut keys = vec![self.key.clone(), self.place.key(), Key::connector(tenant, connector)];
        keys.extend(self.flow.consent.iter().flat_map(|consent| {
            [Key::consent(tenant, &consent.0), Key::staged(tenant, &consent.0, connector)]
        }));
        keys
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
        let [flow, connection, connector, rest @ ..] = found else { return Decision::fail(Code::Internal) };
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
        let stage = match self.stage(cx, rest, &connection) {
            Ok(stage) => stage,
            Err(failure) => return Decision::fail(failure),
        };
        // Where the consent session has ended, or is somebody else's by now, nobody has asked for this.
        let refused = refused.or(match stage {
            Some(None) => Some(Code::FlowSuperseded),
            Some(Some(_)) | None => None,
        });
        let stage = stage.flatten().filter(|_| refused.is_none());
        if let Some(stage) = &stage {
            connection.park(stage.earlier.iter().flat_map(|earlier| earlier.record.grant.parked()).collect());
        } else if refused.is_none() {
            connection.adopt(self.new_grant(), cx.now());
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
        let staged = stage.map(|stage| stage.write(cx, &self.place, id, &mut writes));
        match (refused, connector) {
            (None, Some(connector)) => {
                let key = Key::connector(&self.place.tenant, &self.place.connector);
                writes.push(keep(key, connector.version));
                let secret = connector.record.static_secret();
                let installed = match staged {
                    Some(staged) => Installed::Staged(connection, Box::new(staged), secret),
                    None => Installed::Connected(connection, secret),
                };
                Decision::Commit(writes, installed)
            }
            (refused, _) => {
                let code = refused.unwrap_or(Code::FlowSuperseded);
                Decision::Commit(writes, Installed::Parked(connection, code))
            }
        }
    }
}
