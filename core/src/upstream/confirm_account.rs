//! `confirm_account`: a reconnect arrived as another account, and its grant is held; the owner takes it or sends it back.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::refresh::save::schedule;
use super::single::{Act, News, Single, Told, single};
use super::{Decide, Decision, Place};
use crate::engine::Engine;
use crate::error::{Code, Failure};
use crate::event::What;
use crate::moment::UnixMillis;
use crate::operation::{Context, Operation, OperationId, Versioned};
use crate::policy::may_manage;
use crate::principal::{Caller, ConnectorId, Principal};
use crate::store::Key;
use crate::store::records::{Awaiting, Connection};

/// Says whether the other account is the right one. For who manages the owner, never for others: it decides as whom the owner acts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmAccount {
    /// Who asks.
    pub caller: Caller,
    /// Whose connection. Default: the caller's own.
    #[serde(default)]
    pub owner: Option<Principal>,
    /// To which upstream.
    pub connector: ConnectorId,
    /// Which account is meant: `held_since` of the status in which the person has seen it. If another one has arrived since, nothing
    /// happens, so that nobody confirms an account unseen.
    pub held_since: UnixMillis,
    /// Whether it is the right one.
    pub accept: bool,
}

/// What a confirmation came to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountConfirmed {
    /// The held grant is the connection's now; the tokens of the former one are revoked.
    Accepted {
        /// The generation it begins with.
        generation: u64,
        /// What people call the account.
        account: Option<String>,
    },
    /// No such account is held: it was decided on already, or another one has taken its place.
    NothingHeld,
    /// The held grant is gone and its tokens are revoked; the former one stays.
    Refused,
}

impl Engine {
    /// Takes a held account or sends it back.
    ///
    /// Failures: `user.not_allowed`, those of the store.
    pub fn confirm_account(self: &Arc<Self>, arguments: ConfirmAccount) -> Operation<ConfirmingAccount> {
        let actor = Some(arguments.caller.principal.clone());
        Operation::new(Arc::clone(self), actor, ConfirmingAccount::within(arguments))
    }
}

impl ConfirmingAccount {
    /// The same as a part of another machine.
    pub(crate) fn within(arguments: ConfirmAccount) -> Self {
        let ConfirmAccount { caller, owner, connector, held_since, accept } = arguments;
        let owner = owner.unwrap_or_else(|| caller.principal.clone());
        let place = Place { tenant: caller.tenant.clone(), owner, connector };
        Self(Single::new(Confirm { caller, place, held_since, accept }))
    }
}

single! {
    /// An account being confirmed.
    ConfirmingAccount(Confirm) -> AccountConfirmed
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Confirm {
    caller: Caller,
    place: Place,
    held_since: UnixMillis,
    accept: bool,
}

impl Act for Confirm {
    type Answer = AccountConfirmed;

    fn admit(&self, _: &Context<'_>) -> Result<Option<AccountConfirmed>, Failure> {
        // atk:TEN-08: an administrator may end a connection, not choose whom its owner acts as.
        if may_manage(&self.caller, &self.place.owner) { Ok(None) } else { Err(Code::NotAllowed.into()) }
    }
}

impl Decide for Confirm {
    type Output = Told<AccountConfirmed>;

    fn keys(&self) -> Vec<Key> {
        vec![self.place.key()]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Told<AccountConfirmed>> {
        let key = self.place.key();
        let stored = match cx.open::<Connection>(&key, found.first().and_then(Option::as_ref)) {
            Ok(Some(stored)) => stored,
            Ok(None) => return Decision::done(Told::nothing_new(AccountConfirmed::NothingHeld)),
            Err(failure) => return Decision::fail(failure),
        };
        let precondition = stored.unchanged();
        let mut connection = stored.record;
        let held = connection.awaiting.take_if(|held| held.grant.obtained_at == self.held_since);
        let Some(held) = held else {
            return Decision::done(Told::nothing_new(AccountConfirmed::NothingHeld));
        };
        let told = if self.accept {
            let (parent, protected) = (held.grant.terms.parent, held.grant.terms.protected);
            connection.accept(*held);
            let generation = connection.generation;
            let account = connection.account.as_ref().and_then(|account| account.label.clone());
            let what = What::Connected { generation, parent, protected, challenge: None };
            Told::new(AccountConfirmed::Accepted { generation, account }, News::about(&self.place, what))
        } else {
            connection.park(held.grant.parked());
            Told::new(AccountConfirmed::Refused, News::about(&self.place, What::AccountRefused))
        };
        let index = schedule(cx, &self.place, &mut connection);
        let told = told.and_drain(&self.place, &connection.outbox);
        let write = cx.put(&key, precondition, &connection, id, None);
        Decision::Commit(std::iter::once(write).chain(index).collect(), told)
    }
}

impl Connection {
    /// Puts a held grant in the place of the current one.
    fn accept(&mut self, held: Awaiting) {
        let Awaiting { mut grant, account, requested, by } = held;
        self.retire_grant();
        self.generation = self.generation.saturating_add(1);
        grant.family = self.generation;
        self.connected_at = Some(grant.obtained_at);
        self.grant = Some(Box::new(grant));
        self.account = account;
        self.connected_by = Some(by);
        self.requested = requested;
        self.step_ups.clear();
        self.last_failure = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Precondition;
    use crate::principal::{Role, TeamRole};
    use crate::protocol::id_token::Account;
    use crate::protocol::scopes::Scopes;
    use crate::store::put_index;
    use crate::upstream::testing::{Desk, Fault, NOW, caller, connector_id, grant, place};

    fn account(name: &str) -> Account {
        Account { subject: name.to_owned(), label: Some(format!("{name}@example.org")) }
    }

    /// Alice is connected as `alice`; a reconnect has arrived as `bob`.
    fn held(desk: &mut Desk) -> Connection {
        let mut connection = Connection::new(OperationId([1; 16]));
        let alice = caller("alice").principal;
        connection.epoch = 2;
        connection.generation = 4;
        connection.grant = Some(Box::new(grant("alice")));
        connection.account = Some(account("alice"));
        connection.connected_by = Some(alice.clone());
        connection.awaiting = Some(Box::new(Awaiting {
            grant: grant("bob"),
            account: Some(account("bob")),
            requested: Scopes::parse("files:read files:write").unwrap(),
            by: alice,
        }));
        desk.put(&place("alice", "files").key(), &connection);
        connection
    }

    fn confirm(by: Caller, accept: bool) -> ConfirmAccount {
        let owner = Some(caller("alice").principal);
        ConfirmAccount { caller: by, owner, connector: connector_id("files"), held_since: NOW, accept }
    }

    fn stored(desk: &Desk) -> Connection {
        desk.get(&place("alice", "files").key()).unwrap()
    }

    fn sent(desk: &Desk) -> Vec<String> {
        let body = |request: &crate::operation::HttpRequest| {
            String::from_utf8(request.body.expose().to_vec()).unwrap()
        };
        desk.requests.iter().map(body).collect()
    }

    // atk:TEN-08
    #[test]
    fn an_accepted_account_takes_the_place_of_the_former_whose_tokens_are_revoked() {
        let mut desk = Desk::new();
        held(&mut desk);
        desk.answers.extend([200, 200]);
        let outcome = desk.run(desk.engine.confirm_account(confirm(caller("alice"), true))).unwrap();
        let account_now = Some("bob@example.org".to_owned());
        assert_eq!(outcome, AccountConfirmed::Accepted { generation: 5, account: account_now });
        let connection = stored(&desk);
        let now = connection.grant.unwrap();
        assert_eq!((now.family, connection.generation, connection.epoch), (5, 5, 2));
        assert_eq!(now.access_token, grant("bob").access_token);
        assert_eq!(connection.account, Some(account("bob")));
        assert_eq!(connection.requested, Scopes::parse("files:read files:write").unwrap());
        assert!(connection.awaiting.is_none() && connection.outbox.is_empty() && !connection.doubt);
        let sent = sent(&desk);
        assert!(sent[0].contains("canary-refresh-alice") && sent[1].contains("canary-access-alice"));
        assert_eq!(
            desk.news(),
            [
                What::Connected { generation: 5, parent: false, protected: true, challenge: None },
                What::Revoked,
                What::Revoked
            ]
        );
        let due = connection.due.unwrap();
        assert!(desk.has(&place("alice", "files").due(due)));
    }

    // atk:TEN-08
    #[test]
    fn a_refused_account_leaves_the_former_as_it_was() {
        let mut desk = Desk::new();
        let before = held(&mut desk);
        desk.answers.extend([200, 200]);
        let outcome = desk.run(desk.engine.confirm_account(confirm(caller("alice"), false))).unwrap();
        assert_eq!(outcome, AccountConfirmed::Refused);
        let connection = stored(&desk);
        assert_eq!(connection.grant, before.grant);
        assert_eq!((connection.generation, connection.account), (4, before.account));
        assert!(connection.awaiting.is_none() && connection.outbox.is_empty());
        let sent = sent(&desk);
        assert!(sent[0].contains("canary-refresh-bob") && sent[1].contains("canary-access-bob"));
        assert_eq!(desk.news(), [What::AccountRefused, What::Revoked, What::Revoked]);
    }

    #[test]
    fn tokens_that_cannot_be_revoked_now_stay_parked_and_come_before_the_sweep() {
        let mut desk = Desk::new();
        held(&mut desk);
        desk.answers.extend([503, 503]);
        desk.run(desk.engine.confirm_account(confirm(caller("alice"), true))).unwrap();
        assert_eq!(stored(&desk).outbox.len(), 2);
        let at = NOW.plus(desk.engine.limits().lease_ms);
        let entry = put_index(Key::expiry(&caller("alice").tenant, at, &place("alice", "files").key()), None);
        assert_eq!(entry.precondition, Precondition::Any);
        assert!(desk.has(&entry.key));
    }

    // atk:TEN-08
    #[test]
    fn an_account_that_has_arrived_since_is_not_confirmed_unseen() {
        let mut desk = Desk::new();
        let mut before = held(&mut desk);
        let later = before.awaiting.as_mut().unwrap();
        later.grant.obtained_at = NOW.plus(5);
        desk.put(&place("alice", "files").key(), &before);
        let rows = desk.rows().clone();
        let outcome = desk.run(desk.engine.confirm_account(confirm(caller("alice"), true))).unwrap();
        assert_eq!(outcome, AccountConfirmed::NothingHeld);
        assert_eq!(*desk.rows(), rows);
    }

    #[test]
    fn only_who_manages_the_owner_confirms() {
        let mut desk = Desk::new();
        let engine = Arc::clone(&desk.engine);
        held(&mut desk);
        let lead = caller("lia").with_team("red", TeamRole::Manager).unwrap();
        for by in [caller("mallory"), caller("root").with_role(Role::Admin), lead] {
            assert_eq!(
                desk.run(engine.confirm_account(confirm(by, true))).unwrap_err().code(),
                Code::NotAllowed
            );
        }
    }

    #[test]
    fn nothing_is_held_where_nothing_is_connected() {
        let mut desk = Desk::new();
        let outcome = desk.run(desk.engine.confirm_account(confirm(caller("alice"), true))).unwrap();
        assert_eq!(outcome, AccountConfirmed::NothingHeld);
    }

    #[test]
    fn an_unknown_commit_accepts_once() {
        for fault in [Fault::UnknownLost, Fault::UnknownWritten, Fault::Conflict] {
            let mut desk = Desk::new();
            held(&mut desk);
            desk.faults.push_back(fault);
            desk.answers.extend([200, 200]);
            let outcome = desk.run(desk.engine.confirm_account(confirm(caller("alice"), true))).unwrap();
            assert!(matches!(outcome, AccountConfirmed::Accepted { generation: 5, .. }), "{fault:?}");
            assert_eq!((stored(&desk).generation, desk.requests.len()), (5, 2));
        }
    }
}
