//! Connections on their way to be shown: what else has to be read for them, and in which order.

use super::{ConnectionStatus, PerUserAuth, Status, View};
use crate::connector::{Connector, CredentialScope};
use crate::error::{Code, Failure};
use crate::operation::{Context, Versioned};
use crate::policy;
use crate::principal::{Caller, ConnectorId, Principal};
use crate::store::records::{Connection, ConnectorRecord, Flow};
use crate::store::{Key, Stored};
use crate::upstream::Place;
use crate::upstream::choose::{Candidate, Choice, choose};

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Rows {
    caller: Caller,
    rows: Vec<Row>,
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Row {
    place: Place,
    scope: Option<CredentialScope>,
    /// `Err`: it does not open.
    connection: Result<Option<Box<Stored<Connection>>>, Failure>,
}

impl Rows {
    pub(super) fn new(caller: Caller) -> Self {
        Self { caller, rows: Vec::new() }
    }

    pub(super) fn push(
        &mut self,
        cx: &Context<'_>,
        place: Place,
        scope: Option<CredentialScope>,
        raw: Option<&Versioned>,
    ) {
        let connection = cx.open::<Connection>(&place.key(), raw).map(|stored| stored.map(Box::new));
        self.rows.push(Row { place, scope, connection });
    }

    /// What else has to be read: connectors, and the newest flows of connections without a grant.
    pub(super) fn keys(&self) -> Vec<Key> {
        let keys = |row: &Row| {
            let connector = Key::connector(&row.place.tenant, &row.place.connector);
            std::iter::once(connector).chain(row.flow())
        };
        self.rows.iter().flat_map(keys).collect()
    }

    /// Whose connection to this upstream decides a call, by the same choice that `resolve` makes; `None`: nobody is connected.
    pub(super) fn decisive(
        &self,
        cx: &Context<'_>,
        policy: &Connector,
        subject: Option<&ConnectorRecord>,
        connector: &ConnectorId,
    ) -> Option<Principal> {
        let mut candidates = Vec::new();
        for Row { place, scope, connection } in &self.rows {
            let Some(scope) = scope.clone().filter(|_| place.connector == *connector) else { continue };
            let owner = place.owner.clone();
            match connection {
                Ok(stored) => {
                    let stored = stored.as_deref().map(|stored| Stored {
                        record: stored.record.clone(),
                        version: stored.version,
                        written_by: stored.written_by,
                    });
                    candidates.push(Candidate { scope, owner, stored });
                }
                // As there: a damaged row fails the call that would use it.
                Err(_) if candidates.is_empty() => return Some(owner),
                Err(_) => {}
            }
        }
        match choose(cx, policy, subject, candidates) {
            Choice::Absent => None,
            Choice::Broken(candidate, _) | Choice::Refresh(candidate) | Choice::Use(candidate) => {
                Some(candidate.owner)
            }
        }
    }

    /// Each as it stands, with what `keys` asked for.
    pub(super) fn shown(self, cx: &Context<'_>, found: &[Option<Versioned>]) -> Vec<ConnectionStatus> {
        let Self { caller, rows } = self;
        let mut found = found.iter().map(Option::as_ref);
        let mut shown = Vec::with_capacity(rows.len());
        for row in rows {
            let connector = found.next().flatten();
            let flow = row.flow().map(|key| (key, found.next().flatten()));
            shown.push(row.shown(cx, &caller, connector, flow));
        }
        shown
    }
}

impl Row {
    fn flow(&self) -> Option<Key> {
        let connection = &self.connection.as_ref().ok()?.as_ref()?.record;
        let hash = connection.newest_flow.filter(|_| connection.grant.is_none())?;
        Some(Key::flow(&self.place.tenant, &hash.0))
    }

    fn shown(
        &self,
        cx: &Context<'_>,
        caller: &Caller,
        connector: Option<&Versioned>,
        flow: Option<(Key, Option<&Versioned>)>,
    ) -> ConnectionStatus {
        let Self { place, scope, connection } = self;
        let key = Key::connector(&place.tenant, &place.connector);
        let connector = cx.open::<ConnectorRecord>(&key, connector);
        let flow = flow.and_then(|(key, raw)| cx.open::<Flow>(&key, raw).ok().flatten());
        let record = connector.as_ref().ok().and_then(Option::as_ref).map(|stored| &stored.record);
        let scope = scope.clone().or_else(|| {
            let owners = policy::owners(caller, &record?.connector);
            owners.into_iter().find(|(_, owner)| *owner == place.owner).map(|(scope, _)| scope)
        });
        let view = View {
            caller,
            place,
            scope: scope.as_ref(),
            connection: connection.as_ref().ok().and_then(Option::as_ref).map(|stored| &stored.record),
            connector: record,
            flow: flow.as_ref().map(|stored| &stored.record),
        };
        let mut shown = view.shown(cx);
        // atk:IMP-12: one damaged row is shown as such and does not hide the others.
        if connection.is_err() || connector.is_err() {
            let state = Status::Error { code: Code::StoreIntegrity.slug().to_owned() };
            let (status, error) = (state.coarse(), state.error());
            shown.per_user_auth = PerUserAuth { status, state, error, ..shown.per_user_auth };
        }
        shown
    }
}
