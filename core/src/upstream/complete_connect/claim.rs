//! Claiming a flow: the one transition that lets its code be sent. One commit of flow and connection.

use super::super::place::Place;
use super::super::{Decide, Decision};
use crate::error::Code;
use crate::operation::{Context, OperationId, Versioned};
use crate::principal::TenantId;
use crate::store::Key;
use crate::store::records::{Connection, Flow, FlowHash, FlowStatus};

/// Marks the flow as claimed and the connection as redeeming.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Claim {
    pub(super) key: Key,
    pub(super) hash: FlowHash,
    pub(super) tenant: TenantId,
    pub(super) flow: Flow,
}

/// The flow, claimed by this operation.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Claimed {
    pub(super) flow: Flow,
    pub(super) claim: OperationId,
}

impl Claim {
    fn place(&self) -> Place {
        self.flow.place(&self.tenant)
    }
}

impl Decide for Claim {
    type Output = Claimed;

    fn keys(&self) -> Vec<Key> {
        vec![self.key.clone(), self.place().key()]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Claimed> {
        let [flow, connection] = found else { return Decision::fail(Code::Internal) };
        let place_key = self.place().key();
        let stored = match cx.open::<Flow>(&self.key, flow.as_ref()) {
            Ok(Some(stored)) => stored,
            Ok(None) => return Decision::fail(Code::FlowUnknown),
            Err(failure) => return Decision::fail(failure),
        };
        // P7: one claim per flow, over all engines on this store; ours is known again by its id.
        match stored.record.status {
            FlowStatus::Created => {}
            FlowStatus::Claimed(by) if by == id => {
                return Decision::done(Claimed { flow: stored.record, claim: id });
            }
            FlowStatus::Claimed(_) | FlowStatus::Completed | FlowStatus::Failed | FlowStatus::Expired => {
                return Decision::fail(Code::FlowUsed);
            }
        }
        let seen = match cx.open::<Connection>(&place_key, connection.as_ref()) {
            Ok(Some(seen)) => seen,
            Ok(None) => return Decision::fail(Code::FlowSuperseded),
            Err(failure) => return Decision::fail(failure),
        };
        // A disconnect has raised the epoch, or a newer attempt stands in its place.
        if seen.record.epoch != stored.record.epoch || seen.record.newest_flow != Some(self.hash) {
            return Decision::fail(Code::FlowSuperseded);
        }
        let (as_flow, as_connection) = (stored.unchanged(), seen.unchanged());
        let (mut flow, mut connection) = (stored.record, seen.record);
        flow.status = FlowStatus::Claimed(id);
        // Somebody else's code was under way and nobody ever said what became of it.
        connection.doubt |= connection.redeeming;
        connection.redeeming = true;
        let writes = vec![
            // No end: the sweep has to find it if nobody finishes it, and takes it away.
            cx.put(&self.key, as_flow, &flow, id, None),
            cx.put(&place_key, as_connection, &connection, id, None),
        ];
        Decision::Commit(writes, Claimed { flow, claim: id })
    }
}
