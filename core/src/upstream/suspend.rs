//! Suspend and restore: policy withdraws the right to use a connection, and gives it back. The credential stays as it is, so
//! that nobody has to consent again; connecting anew does not lift a suspension.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::single::{Act, News, Single, Told, single};
use super::{Decide, Decision, Place};
use crate::engine::Engine;
use crate::error::{Code, Failure};
use crate::event::What;
use crate::operation::{Context, Operation, OperationId, Versioned};
use crate::policy::has_role;
use crate::principal::{Caller, ConnectorId, Principal, Role};
use crate::store::Key;
use crate::store::records::{Connection, Suspension};

/// Withdraws the right to use a connection. For administrators.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suspend {
    /// Who asks.
    pub caller: Caller,
    /// Whose connection.
    pub owner: Principal,
    /// To which upstream.
    pub connector: ConnectorId,
}

/// Gives the right to use a connection back. For administrators.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// Who asks.
    pub caller: Caller,
    /// Whose connection.
    pub owner: Principal,
    /// To which upstream.
    pub connector: ConnectorId,
}

/// What a suspension or its end came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SuspensionSet {
    /// It is so from now on. Other processes notice within `cache_max_age_ms`.
    Changed,
    /// The owner has never had a connection to this upstream: there is nothing to suspend.
    NeverConnected,
    /// It was so already.
    Unchanged,
}

impl Engine {
    /// Withdraws the right to use a connection.
    ///
    /// Failures: `user.not_allowed`, `config.connector_unknown`, those of the store.
    pub fn suspend(self: &Arc<Self>, arguments: Suspend) -> Operation<Suspending> {
        let Suspend { caller, owner, connector } = arguments;
        let actor = Some(caller.principal.clone());
        let set = Set { caller, owner, connector, suspended: true };
        Operation::new(Arc::clone(self), actor, Suspending(Single::new(set)))
    }

    /// Gives the right to use a connection back.
    ///
    /// Failures: `user.not_allowed`, `config.connector_unknown`, those of the store.
    pub fn restore(self: &Arc<Self>, arguments: Restore) -> Operation<Suspending> {
        let Restore { caller, owner, connector } = arguments;
        let actor = Some(caller.principal.clone());
        let set = Set { caller, owner, connector, suspended: false };
        Operation::new(Arc::clone(self), actor, Suspending(Single::new(set)))
    }
}

single! {
    /// A connection being suspended or restored.
    Suspending(Set) -> SuspensionSet
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Set {
    caller: Caller,
    owner: Principal,
    connector: ConnectorId,
    suspended: bool,
}

impl Set {
    fn place(&self) -> Place {
        Place {
            tenant: self.caller.tenant.clone(),
            owner: self.owner.clone(),
            connector: self.connector.clone(),
        }
    }
}

impl Act for Set {
    type Answer = SuspensionSet;

    fn admit(&self, _: &Context<'_>) -> Result<Option<SuspensionSet>, Failure> {
        if has_role(&self.caller, Role::Admin) { Ok(None) } else { Err(Code::NotAllowed.into()) }
    }
}

impl Decide for Set {
    type Output = Told<SuspensionSet>;

    fn keys(&self) -> Vec<Key> {
        vec![self.place().key(), Key::connector(&self.caller.tenant, &self.connector)]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Told<SuspensionSet>> {
        let [connection, connector] = found else { return Decision::fail(Code::Internal) };
        let key = self.place().key();
        let stored = match cx.open::<Connection>(&key, connection.as_ref()) {
            Ok(Some(stored)) => stored,
            Ok(None) if connector.is_none() => return Decision::fail(Code::ConnectorUnknown),
            Ok(None) => return Decision::done(Told::nothing_new(SuspensionSet::NeverConnected)),
            Err(failure) => return Decision::fail(failure),
        };
        let precondition = stored.unchanged();
        let mut connection = stored.record;
        if connection.suspended.is_some() == self.suspended {
            return Decision::done(Told::nothing_new(SuspensionSet::Unchanged));
        }
        connection.suspended =
            self.suspended.then(|| Suspension { by: self.caller.principal.clone(), at: cx.now() });
        let what = if self.suspended { What::Suspended } else { What::Restored };
        let news = News::about(&self.place(), what);
        let write = cx.put(&key, precondition, &connection, id, None);
        Decision::Commit(vec![write], Told::new(SuspensionSet::Changed, news))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::testing::{Desk, Fault, caller, connector_id, grant, place, server};

    fn suspend(by: Caller) -> Suspend {
        Suspend { caller: by, owner: caller("alice").principal, connector: connector_id("files") }
    }

    fn restore(by: Caller) -> Restore {
        Restore { caller: by, owner: caller("alice").principal, connector: connector_id("files") }
    }

    fn admin() -> Caller {
        caller("root").with_role(Role::Admin)
    }

    fn connected(desk: &mut Desk) -> Connection {
        let mut connection = Connection::new(OperationId([1; 16]));
        connection.grant = Some(Box::new(grant("alice")));
        desk.put(&place("alice", "files").key(), &connection);
        connection
    }

    #[test]
    fn a_suspension_leaves_the_credential_intact_and_is_lifted_again() {
        let mut desk = Desk::new();
        let engine = Arc::clone(&desk.engine);
        let before = connected(&mut desk);
        let key = place("alice", "files").key();
        assert_eq!(desk.run(engine.suspend(suspend(admin()))).unwrap(), SuspensionSet::Changed);
        let after: Connection = desk.get(&key).unwrap();
        assert_eq!(after.suspended, Some(Suspension { by: admin().principal, at: desk.now }));
        assert_eq!(after.grant, before.grant);
        assert_eq!(desk.run(engine.suspend(suspend(admin()))).unwrap(), SuspensionSet::Unchanged);
        assert_eq!(desk.run(engine.restore(restore(admin()))).unwrap(), SuspensionSet::Changed);
        assert_eq!(desk.get::<Connection>(&key).unwrap(), before);
        assert_eq!(desk.run(engine.restore(restore(admin()))).unwrap(), SuspensionSet::Unchanged);
        assert_eq!(desk.news(), [What::Suspended, What::Restored]);
        assert!(desk.events.is_empty());
    }

    #[test]
    fn nobody_but_an_administrator_suspends_or_restores_not_even_the_owner() {
        let mut desk = Desk::new();
        let engine = Arc::clone(&desk.engine);
        connected(&mut desk);
        for by in [caller("alice"), caller("mia").with_role(Role::Manager)] {
            assert_eq!(desk.run(engine.suspend(suspend(by.clone()))).unwrap_err().code(), Code::NotAllowed);
            assert_eq!(desk.run(engine.restore(restore(by))).unwrap_err().code(), Code::NotAllowed);
        }
    }

    #[test]
    fn an_unknown_connector_is_told_from_one_nobody_has_connected() {
        let mut desk = Desk::new();
        let engine = Arc::clone(&desk.engine);
        assert_eq!(desk.run(engine.suspend(suspend(admin()))).unwrap_err().code(), Code::ConnectorUnknown);
        desk.put(&Key::connector(&admin().tenant, &connector_id("files")), &server("https://mcp.example/"));
        assert_eq!(desk.run(engine.suspend(suspend(admin()))).unwrap(), SuspensionSet::NeverConnected);
    }

    #[test]
    fn an_unknown_commit_suspends_once() {
        for fault in [Fault::UnknownLost, Fault::UnknownWritten, Fault::Conflict] {
            let mut desk = Desk::new();
            connected(&mut desk);
            desk.faults.push_back(fault);
            assert_eq!(
                desk.run(desk.engine.suspend(suspend(admin()))).unwrap(),
                SuspensionSet::Changed,
                "{fault:?}"
            );
            assert_eq!(desk.news(), [What::Suspended]);
        }
    }
}
