//! Letting staged grants go: their tokens move to the outbox of the connection they would have been for, where revocation finds
//! them, whoever comes to do it.

use super::super::site::Site;
use crate::error::{Code, Failure};
use crate::operation::{Context, OperationId, Versioned, Write};
use crate::principal::{ConnectorId, Principal};
use crate::store::records::{Connection, ConsentHash, StagedRecord};
use crate::store::{Key, as_seen, delete};
use crate::upstream::{Place, schedule};

/// The staged grants of a consent session, and the connections they are for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub(crate) struct Staging {
    pub(crate) site: Site,
    pub(crate) consent: ConsentHash,
    pub(crate) owner: Principal,
    pub(crate) connectors: Vec<ConnectorId>,
}

impl Staging {
    pub(crate) fn staged_key(&self, connector: &ConnectorId) -> Key {
        Key::staged(&self.site.tenant, &self.consent.0, connector)
    }

    pub(crate) fn place(&self, connector: &ConnectorId) -> Place {
        let (tenant, owner) = (self.site.tenant.clone(), self.owner.clone());
        Place { tenant, owner, connector: connector.clone() }
    }

    /// Two for each: the staged grant, the connection.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.connectors.iter().flat_map(|it| [self.staged_key(it), self.place(it).key()]).collect()
    }

    /// The writes that let all of them go.
    ///
    /// # Errors
    /// A record does not open.
    pub(crate) fn drop_all(
        &self,
        cx: &Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Result<Vec<Write>, Failure> {
        let mut writes = Vec::new();
        for (connector, pair) in self.connectors.iter().zip(found.chunks(2)) {
            let [staged, connection] = pair else { return Err(Code::Internal.into()) };
            let place = self.place(connector);
            drop_one(
                cx,
                id,
                &place,
                &self.staged_key(connector),
                staged.as_ref(),
                connection.as_ref(),
                &mut writes,
            )?;
        }
        Ok(writes)
    }
}

/// The writes that let one go; none if it is not there.
///
/// # Errors
/// A record does not open.
pub(crate) fn drop_one(
    cx: &Context<'_>,
    id: OperationId,
    place: &Place,
    staged_key: &Key,
    staged: Option<&Versioned>,
    connection: Option<&Versioned>,
    writes: &mut Vec<Write>,
) -> Result<(), Failure> {
    let Some(staged) = cx.open::<StagedRecord>(staged_key, staged)? else { return Ok(()) };
    let seen = cx.open::<Connection>(&place.key(), connection)?;
    let precondition = as_seen(seen.as_ref());
    let mut connection = seen.map_or_else(|| Connection::new(staged.record.connection), |seen| seen.record);
    connection.park(staged.record.grant.parked());
    let index = schedule(cx, place, &mut connection);
    writes.push(cx.put(&place.key(), precondition, &connection, id, None));
    writes.push(delete(staged_key.clone(), staged.unchanged()));
    writes.extend(index);
    Ok(())
}
