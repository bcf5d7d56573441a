//! Giving a flow up that was claimed by an operation which never came to its end.

use crate::error::Code;
use crate::operation::{Context, OperationId, Precondition, Versioned};
use crate::store::records::{Connection, Flow, FlowHash, FlowStatus};
use crate::store::{Key, delete};
use crate::upstream::{Decide, Decision, Place};

/// Removes the flow and marks its connection: the code may have been redeemed for tokens that nobody has seen.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Abandon {
    pub(super) entry: Key,
    /// The flow's.
    pub(super) key: Key,
    pub(super) place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Abandoned {
    /// The connection says so from now on.
    Doubtful,
    /// Its connection has been told already, by a disconnect or a newer flow.
    Settled,
}

impl Decide for Abandon {
    type Output = Abandoned;

    fn keys(&self) -> Vec<Key> {
        vec![self.key.clone(), self.place.key()]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Abandoned> {
        let [flow, connection] = found else { return Decision::fail(Code::Internal) };
        let entry = delete(self.entry.clone(), Precondition::Any);
        let flow = match cx.open::<Flow>(&self.key, flow.as_ref()) {
            Ok(Some(flow)) => flow,
            Ok(None) => return Decision::Commit(vec![entry], Abandoned::Settled),
            Err(failure) => return Decision::fail(failure),
        };
        let gone = delete(self.key.clone(), flow.unchanged());
        let key = self.place.key();
        let seen = cx.open::<Connection>(&key, connection.as_ref()).ok().flatten();
        // Where it has come to its end after all, or a disconnect has raised the epoch, or a newer claim has taken over, the
        // connection says what there is to say.
        let seen = seen.filter(|seen| {
            let connection = &seen.record;
            matches!(flow.record.status, FlowStatus::Claimed(_))
                && connection.redeeming
                && connection.epoch == flow.record.epoch
                && connection.newest_flow == self.key.flow_hash().map(FlowHash)
        });
        let Some(seen) = seen else { return Decision::Commit(vec![gone, entry], Abandoned::Settled) };
        let precondition = seen.unchanged();
        let mut connection = seen.record;
        connection.redeeming = false;
        connection.doubt = true;
        connection.last_failure = Some(Code::OutcomeUnknown.slug().to_owned());
        let write = cx.put(&key, precondition, &connection, id, None);
        Decision::Commit(vec![write, gone, entry], Abandoned::Doubtful)
    }
}
