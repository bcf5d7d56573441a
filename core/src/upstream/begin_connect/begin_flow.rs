//! The one commit that begins a flow: the flow, its place as the newest of its connection, and the end of the ticket it was
//! begun with.

use crate::error::Code;
use crate::operation::{Context, OperationId, Precondition, Version, Versioned};
use crate::secret::Secret;
use crate::store::records::{Connection, Flow, FlowHash, Ticket, TicketOf};
use crate::store::{Key, as_seen, delete, keep, put_index};
use crate::upstream::place::Place;
use crate::upstream::{Decide, Decision};

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct BeginFlow {
    pub(super) place: Place,
    /// The configuration that the flow's terms were made from.
    pub(super) connector: Version,
    pub(super) hash: FlowHash,
    pub(super) flow: Flow,
    pub(super) spent: Option<Spent>,
}

/// A ticket that is used up by the flow.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Spent {
    pub(super) key: Key,
    /// Where it is found again as long as it lives.
    pub(super) twin: Key,
    pub(super) ticket: Secret,
}

impl Decide for BeginFlow {
    type Output = ();

    fn keys(&self) -> Vec<Key> {
        let mut keys = vec![Key::connector(&self.place.tenant, &self.place.connector), self.place.key()];
        keys.extend(self.spent.iter().flat_map(|spent| [spent.key.clone(), spent.twin.clone()]));
        keys
    }

    fn decide(&mut self, cx: &mut Context<'_>, id: OperationId, found: &[Option<Versioned>]) -> Decision<()> {
        let at = |index: usize| found.get(index).and_then(Option::as_ref);
        // A flow must not outlive the configuration it was made from by a moment.
        if at(0).map(|connector| connector.version) != Some(self.connector) {
            return Decision::fail(Code::StoreContention);
        }
        let connection_key = self.place.key();
        let stored = match cx.open::<Connection>(&connection_key, at(1)) {
            Ok(stored) => stored,
            Err(failure) => return Decision::fail(failure),
        };
        let precondition = as_seen(stored.as_ref());
        // A purged connection has left the index.
        let is_listed = stored.as_ref().is_some_and(|stored| stored.record.purged_until.is_none());
        let mut connection = stored.map_or_else(|| Connection::new(id), |stored| stored.record);
        connection.newest_flow = Some(self.hash);
        connection.purged_until = None;
        if let Ok(requested) = connection.requested.union(&self.flow.scopes) {
            connection.requested = requested;
        }
        self.flow.epoch = connection.epoch;

        let tenant = &self.place.tenant;
        let flow_key = Key::flow(tenant, &self.hash.0);
        let gone_at = self.flow.gone_at(cx.engine.limits());
        let mut writes = vec![
            cx.put(&flow_key, Precondition::Absent, &self.flow, id, Some(gone_at)),
            cx.put(&connection_key, precondition, &connection, id, None),
            keep(Key::connector(tenant, &self.place.connector), self.connector),
            put_index(Key::expiry(tenant, gone_at, &flow_key), None),
        ];
        if !is_listed {
            writes.push(put_index(self.place.by_connector(), None));
        }
        if let Some(spent) = &self.spent {
            let (ticket, twin) =
                match (cx.open::<Ticket>(&spent.key, at(2)), cx.open::<TicketOf>(&spent.twin, at(3))) {
                    (Ok(ticket), Ok(twin)) => (ticket, twin),
                    (Err(failure), _) | (_, Err(failure)) => return Decision::fail(failure),
                };
            // atk:CSR-04: single use. Another flow was begun with it meanwhile.
            let Some(ticket) = ticket else { return Decision::fail(Code::TicketUnknown) };
            writes.push(delete(spent.key.clone(), ticket.unchanged()));
            if let Some(twin) = twin.filter(|twin| twin.record.ticket == spent.ticket) {
                writes.push(delete(spent.twin.clone(), twin.unchanged()));
            }
        }
        Decision::Commit(writes, ())
    }
}
