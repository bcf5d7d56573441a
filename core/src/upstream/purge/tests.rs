use super::*;
use crate::connector::Connector;
use crate::principal::TeamRole;
use crate::secret::Secret;
use crate::store::put_index;
use crate::store::records::{
    Binding, ConnectorRecord, SecretRecord, Suspension, Throttle, Ticket, TicketReason,
};
use crate::upstream::page::Page;
use crate::upstream::resolve::{Resolution, Resolve};
use crate::upstream::secrets::ListSecrets;
use crate::upstream::status::{ListConnections, Status, StatusOf};
use crate::upstream::sweep::Sweep;
use crate::upstream::testing::{Desk, Fault, NOW, caller, connector_id, grant, place, server};

fn admin() -> Caller {
    caller("root").with_role(Role::Admin)
}

fn purge(desk: &mut Desk, what: &Purgeable) -> Purged {
    let mut total = Purged::default();
    for _ in 0..100 {
        let arguments = Purge { caller: admin(), what: what.clone(), after: total.next.take() };
        let page = desk.run(desk.engine.purge(arguments)).unwrap();
        total.connections += page.connections;
        total.doubtful += page.doubtful;
        total.records += page.records;
        total.next = page.next;
        if total.next.is_none() {
            return total;
        }
    }
    panic!("the purge does not end");
}

fn connect(desk: &mut Desk, user: &str, connector: &str) {
    let place = place(user, connector);
    let mut connection = Connection::new(OperationId([7; 16]));
    connection.generation = 3;
    connection.grant = Some(Box::new(grant(user)));
    connection.due = Some(NOW.plus(60_000));
    connection.suspended = Some(Suspension { by: admin().principal, at: NOW });
    desk.put(&place.key(), &connection);
    desk.put_raw(&place.by_connector(), Vec::new());
    desk.put_raw(&place.due(NOW.plus(60_000)), Vec::new());
}

fn ticket(desk: &mut Desk, user: &str) -> [Key; 2] {
    let Caller { tenant, principal, .. } = caller(user);
    let twin_key = Key::ticket_of(&tenant, &principal, &connector_id("files"), "connect");
    let key = ticket_key(&tenant, user);
    let expires_at = NOW.plus(900_000);
    let twin = TicketOf { ticket: Secret::new(user), created_at: NOW, expires_at };
    desk.put(&twin_key, &twin);
    let record = Ticket {
        principal: principal.clone(),
        connector: connector_id("files"),
        owner: principal,
        reason: TicketReason::Connect,
        created_at: NOW,
        expires_at,
        resource_metadata: None,
        scopes: None,
    };
    desk.put(&key, &record);
    for target in [&key, &twin_key] {
        desk.put_raw(&put_index(Key::expiry(&tenant, expires_at, target), None).key, Vec::new());
    }
    [twin_key, key]
}

fn secret(desk: &mut Desk, user: &str) -> Key {
    let Caller { tenant, principal, .. } = caller(user);
    let key = Key::secret(&tenant, &principal, "k");
    let value = Secret::new("canary");
    desk.put(&key, &SecretRecord { name: "k".to_owned(), value, stored_at: NOW, stored_by: principal });
    key
}

fn flow(status: FlowStatus) -> Flow {
    let alice = caller("alice").principal;
    Flow {
        status,
        created_at: NOW,
        expires_at: NOW.plus(600_000),
        epoch: 0,
        owner: alice.clone(),
        principal: alice,
        connector: connector_id("files"),
        terms: grant("x").terms,
        iss_promised: true,
        redirect_uri: "https://gateway.example/mcp/callback".to_owned(),
        scopes: Scopes::default(),
        verifier: Secret::new("canary-verifier"),
        binding: Binding::Paste,
        consent: None,
        return_to: None,
        challenge: None,
    }
}

fn files() -> Key {
    Key::connector(&admin().tenant, &connector_id("files"))
}

fn stored(desk: &Desk, user: &str) -> Connection {
    desk.get(&place(user, "files").key()).unwrap()
}

// atk:TEN-10
#[test]
fn a_recycled_principal_finds_nothing() {
    let mut desk = Desk::new();
    desk.put(&files(), &server("https://mcp.example/"));
    connect(&mut desk, "alice", "files");
    connect(&mut desk, "bob", "files");
    let tickets = ticket(&mut desk, "alice");
    let bobs = ticket(&mut desk, "bob");
    let key = secret(&mut desk, "alice");
    let done = purge(&mut desk, &Purgeable::Owner(caller("alice").principal));
    assert_eq!(done, Purged { connections: 1, doubtful: 0, records: 3, next: None });
    assert!(tickets.iter().chain([&key]).all(|key| !desk.has(key)));
    assert!(bobs.iter().all(|key| desk.has(key)));
    assert!(stored(&desk, "bob").grant.is_some());

    // A principal with the same id, an hour before the tombstone is gone.
    let engine = Arc::clone(&desk.engine);
    let alice = caller("alice");
    let asked = StatusOf { caller: alice.clone(), connector: connector_id("files") };
    let status = desk.run(engine.status_of(asked)).unwrap();
    assert_eq!(status.per_user_auth.state, Status::Disconnected);
    assert_eq!((&status.connections[0].account, &status.connections[0].connected_by), (&None, &None));
    let resolution = desk.run(engine.resolve(Resolve::new(alice.clone(), connector_id("files")))).unwrap();
    assert!(matches!(resolution, Resolution::Challenge(_)));
    let secrets = ListSecrets { caller: alice, owner: None, after: None, limit: 9 };
    assert_eq!(desk.run(engine.list_secrets(secrets)).unwrap(), Page { items: Vec::new(), next: None });
}

// atk:TEN-10
#[test]
fn a_purged_connection_is_a_tombstone_with_a_moved_epoch_and_its_tokens_are_parked() {
    let mut desk = Desk::new();
    connect(&mut desk, "alice", "files");
    purge(&mut desk, &Purgeable::Owner(caller("alice").principal));
    let tombstone = stored(&desk, "alice");
    assert_eq!((tombstone.epoch, tombstone.generation), (1, 3));
    assert!(tombstone.grant.is_none() && tombstone.suspended.is_none());
    assert_eq!(tombstone.outbox.len(), 2);
    let hour = desk.engine.limits().tombstone_ms;
    assert_eq!(tombstone.purged_until, Some(NOW.plus(hour)));
    let place = place("alice", "files");
    assert!(!desk.has(&place.by_connector()) && !desk.has(&place.due(NOW.plus(60_000))));
    for at in [desk.engine.limits().lease_ms, hour] {
        assert!(desk.has(&place.sweep_at(NOW.plus(at)).key));
    }
    assert!(desk.requests.is_empty(), "revoking is the sweep's");
    assert_eq!(desk.news(), [What::Disconnected { doubt: false }, What::Purged { records: 1 }]);
}

#[test]
fn an_answer_under_way_is_counted_as_doubtful() {
    let mut desk = Desk::new();
    connect(&mut desk, "alice", "files");
    let mut redeeming = stored(&desk, "alice");
    redeeming.redeeming = true;
    desk.put(&place("alice", "files").key(), &redeeming);
    connect(&mut desk, "alice", "mail");
    let mut refreshing: Connection = desk.get(&place("alice", "mail").key()).unwrap();
    refreshing.grant.as_mut().unwrap().sends = 1;
    desk.put(&place("alice", "mail").key(), &refreshing);
    let done = purge(&mut desk, &Purgeable::Owner(caller("alice").principal));
    assert_eq!((done.connections, done.doubtful), (2, 2));
}

#[test]
fn purging_again_changes_nothing() {
    let mut desk = Desk::new();
    connect(&mut desk, "alice", "files");
    let what = Purgeable::Owner(caller("alice").principal);
    purge(&mut desk, &what);
    let (rows, _) = (desk.rows().clone(), desk.news());
    assert_eq!(purge(&mut desk, &what), Purged::default());
    assert_eq!(*desk.rows(), rows);
    assert!(desk.news().is_empty());
}

#[test]
fn a_connector_loses_all_its_connections_over_many_calls_and_no_others() {
    let mut desk = Desk::new();
    desk.put(&files(), &server("https://mcp.example/"));
    for user in 0..60 {
        connect(&mut desk, &format!("u{user}"), "files");
    }
    connect(&mut desk, "u1", "mail");
    desk.put_raw(&place("ghost", "files").by_connector(), Vec::new());
    let files_only = Purgeable::Connector(connector_id("files"));
    let first = Purge { caller: admin(), what: files_only.clone(), after: None };
    let page = desk.run(desk.engine.purge(first)).unwrap();
    assert!(page.next.is_some() && page.connections <= ENTRIES_PER_CALL);
    let rest = purge(&mut desk, &files_only);
    assert_eq!(page.connections + rest.connections, 60);
    let prefix = Key::all_by_connector(&admin().tenant, &connector_id("files"));
    assert!(desk.keys(&prefix).is_empty());
    assert!((0..60).all(|user| stored(&desk, &format!("u{user}")).grant.is_none()));
    assert!(desk.get::<Connection>(&place("u1", "mail").key()).unwrap().grant.is_some());
    assert!(desk.get::<ConnectorRecord>(&files()).is_some());
}

#[test]
fn a_purged_tenant_is_empty_once_it_is_swept_and_its_neighbour_is_untouched() {
    let mut desk = Desk::new();
    let tenant = admin().tenant;
    let neighbour = TenantId::new("acme2").unwrap();
    desk.put(&Key::connector(&neighbour, &connector_id("files")), &server("https://mcp.example/"));
    let before = desk.rows().clone();
    desk.put(&files(), &server("https://mcp.example/"));
    desk.put(
        &Key::connector(&tenant, &connector_id("google")),
        &ConnectorRecord {
            connector: Connector::account("https://as.example"),
            ..server("https://unused.example/")
        },
    );
    for user in 0..30 {
        connect(&mut desk, &format!("u{user}"), "files");
        ticket(&mut desk, &format!("u{user}"));
        secret(&mut desk, &format!("u{user}"));
    }
    desk.put(&Key::throttle(&tenant, "https://as.example"), &Throttle { until: NOW, failures: 1 });
    let open = Key::flow(&tenant, &[1; 32]);
    desk.put(&open, &flow(FlowStatus::Created));
    purge(&mut desk, &Purgeable::Tenant);
    assert!(!desk.has(&open) && !desk.has(&files()));
    let left = desk.keys(&Key::of_tenant(&tenant));
    assert!(left.iter().all(|key| key.is(Kind::Connection) || key.is(Kind::Expiry)));

    for _ in 0..100 {
        desk.pass(20 * 60_000);
        desk.answers.extend([200; 200]);
        desk.run(desk.engine.sweep(Sweep { tenant: tenant.clone(), limit: 50, after: None })).unwrap();
    }
    assert_eq!(*desk.rows(), before);
    assert_eq!(desk.requests.len(), 60, "each token is revoked once");
}

#[test]
fn a_flow_whose_code_is_on_its_way_is_left_for_what_comes_back() {
    let mut desk = Desk::new();
    let key = Key::flow(&admin().tenant, &[1; 32]);
    desk.put(&key, &flow(FlowStatus::Claimed(OperationId([2; 16]))));
    purge(&mut desk, &Purgeable::Tenant);
    assert!(desk.has(&key));
    desk.pass(600_000 + desk.engine.limits().tombstone_ms);
    purge(&mut desk, &Purgeable::Tenant);
    assert!(!desk.has(&key));
}

#[test]
fn a_connection_that_does_not_open_is_removed_and_counted_as_doubtful() {
    let mut desk = Desk::new();
    let place = place("alice", "files");
    desk.put_raw(&place.key(), b"damaged".to_vec());
    desk.put_raw(&place.by_connector(), Vec::new());
    let done = purge(&mut desk, &Purgeable::Connector(connector_id("files")));
    assert_eq!((done.connections, done.doubtful), (1, 1));
    assert!(desk.rows().is_empty());
}

#[test]
fn nobody_but_an_administrator_purges() {
    let mut desk = Desk::new();
    connect(&mut desk, "alice", "files");
    let manager = caller("alice").with_role(Role::Manager).with_team("red", TeamRole::Manager).unwrap();
    for what in [
        Purgeable::Owner(caller("alice").principal),
        Purgeable::Connector(connector_id("files")),
        Purgeable::Tenant,
    ] {
        let arguments = Purge { caller: manager.clone(), what, after: None };
        assert_eq!(desk.run(desk.engine.purge(arguments)).unwrap_err().code(), Code::NotAllowed);
    }
}

#[test]
fn a_cursor_of_another_purge_begins_anew_within_its_own() {
    let mut desk = Desk::new();
    connect(&mut desk, "alice", "files");
    connect(&mut desk, "bob", "files");
    let tenant = admin().tenant;
    let foreign = Cursor::after(&Key::of_tenant(&tenant), &place("bob", "files").key());
    let what = Purgeable::Owner(caller("alice").principal);
    let arguments = Purge { caller: admin(), what, after: Some(foreign) };
    assert_eq!(desk.run(desk.engine.purge(arguments)).unwrap().connections, 1);
    assert!(stored(&desk, "bob").grant.is_some() && stored(&desk, "alice").grant.is_none());
}

#[test]
fn unknown_commits_and_conflicts_purge_once() {
    for fault in [Fault::UnknownLost, Fault::UnknownWritten, Fault::Conflict] {
        let mut desk = Desk::new();
        connect(&mut desk, "alice", "files");
        desk.faults.push_back(fault);
        let done = purge(&mut desk, &Purgeable::Owner(caller("alice").principal));
        assert_eq!((done.connections, stored(&desk, "alice").epoch), (1, 1), "{fault:?}");
    }
}

#[test]
fn what_is_purged_is_not_listed() {
    let mut desk = Desk::new();
    connect(&mut desk, "alice", "files");
    purge(&mut desk, &Purgeable::Owner(caller("alice").principal));
    desk.answers.extend([200, 200]);
    desk.pass(10 * 60_000);
    desk.run(desk.engine.sweep(Sweep { tenant: admin().tenant, limit: 50, after: None })).unwrap();
    let arguments = ListConnections { caller: caller("alice"), of: None, after: None, limit: 9 };
    assert!(desk.run(desk.engine.list_connections(arguments)).unwrap().items.is_empty());
}
