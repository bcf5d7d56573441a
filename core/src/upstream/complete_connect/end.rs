//! Ending a flow without a grant, so that it stays ended whatever the clock says.

use super::super::place::Place;
use super::super::stale::{mark_stale, registration_key};
use super::super::{Decide, Decision};
use crate::error::Code;
use crate::operation::{Context, OperationId, Versioned};
use crate::store::Key;
use crate::store::records::{Connection, Flow, FlowStatus};

/// How a flow ends without a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum End {
    /// Its time was over.
    Expired,
    /// The issuer refused, or nobody knows what it did.
    Failed {
        /// The code may have been redeemed for tokens that nobody has seen.
        doubt: bool,
        /// The issuer does not know our client any more.
        client_refused: bool,
    },
}

/// Writes the end of a flow.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct EndFlow {
    pub(super) key: Key,
    pub(super) flow: Flow,
    pub(super) place: Place,
    pub(super) end: End,
    pub(super) slug: &'static str,
}

impl Decide for EndFlow {
    /// The issuer, if it has said that it does not know our client any more.
    type Output = Option<String>;

    fn keys(&self) -> Vec<Key> {
        let terms = &self.flow.terms;
        let registration = registration_key(&self.place.tenant, &terms.issuer, &terms.client);
        vec![self.key.clone(), self.place.key(), registration]
    }

    fn patience(&self) -> u8 {
        3
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Option<String>> {
        let [flow, connection, registration] = found else { return Decision::fail(Code::Internal) };
        let stored = match cx.open::<Flow>(&self.key, flow.as_ref()) {
            Ok(Some(stored)) => stored,
            Ok(None) => return Decision::done(None),
            Err(failure) => return Decision::fail(failure),
        };
        // Only the status this operation has seen or set may end; another operation may have got further.
        if stored.record.status != self.flow.status {
            return match self.end {
                End::Expired => Decision::fail(Code::FlowUsed),
                End::Failed { .. } => Decision::done(None),
            };
        }
        let claimed = matches!(self.flow.status, FlowStatus::Claimed(_));
        let as_flow = stored.unchanged();
        let mut flow = stored.record;
        flow.status = match self.end {
            End::Expired => FlowStatus::Expired,
            End::Failed { .. } => FlowStatus::Failed,
        };
        let mut writes = vec![cx.put(&self.key, as_flow, &flow, id, Some(flow.gone_at(cx.engine.limits())))];
        let place_key = self.place.key();
        match cx.open::<Connection>(&place_key, connection.as_ref()) {
            Ok(Some(seen)) => {
                let as_connection = seen.unchanged();
                let mut connection = seen.record;
                connection.last_failure = Some(self.slug.to_owned());
                if claimed {
                    connection.redeeming = false;
                }
                if let End::Failed { doubt, .. } = self.end {
                    connection.doubt |= doubt;
                }
                writes.push(cx.put(&place_key, as_connection, &connection, id, None));
            }
            Ok(None) => {}
            Err(failure) => return Decision::fail(failure),
        }
        let mut forgotten = None;
        if let End::Failed { client_refused: true, .. } = self.end {
            let terms = &self.flow.terms;
            let key = registration_key(&self.place.tenant, &terms.issuer, &terms.client);
            let stale = mark_stale(cx, &key, &terms.client, id, registration.as_ref());
            forgotten = stale.is_some().then(|| terms.issuer.clone());
            writes.extend(stale);
        }
        Decision::Commit(writes, forgotten)
    }
}
