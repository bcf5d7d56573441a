use std::sync::Arc;

use super::*;
use crate::connector::{Connector, Injection, SecretOwner, Source, Target, Upstream};
use crate::engine::EngineConfig;
use crate::moment::UnixMillis;
use crate::principal::{Assurance, Role, TeamRole};
use crate::protocol::id_token::Account;
use crate::secret::Secret;
use crate::store::records::{
    Awaiting, Backoff, Binding, Condemned, FlowHash, SecretRecord, StepUp, Suspension,
};
use crate::store::{Key, put_index};
use crate::upstream::page::Page;
use crate::upstream::testing::{Desk, NOW, caller, connector_id, grant, place, server};

const HOUR: u64 = 3_600_000;

fn scopes(text: &str) -> Scopes {
    Scopes::parse(text).unwrap()
}

fn connected(tag: &str) -> Connection {
    let mut connection = Connection::new(OperationId([7; 16]));
    connection.generation = 3;
    connection.grant = Some(Box::new(grant(tag)));
    connection.requested = scopes("files:read");
    connection
}

fn put_connector(desk: &mut Desk, id: &str, record: &ConnectorRecord) {
    desk.put(&Key::connector(&caller("alice").tenant, &connector_id(id)), record);
}

/// Alice and the connector `files`; what is stored of her connection is up to the test.
fn desk(connection: Option<&Connection>) -> Desk {
    let mut desk = Desk::new();
    put_connector(&mut desk, "files", &server("https://mcp.example/"));
    if let Some(connection) = connection {
        desk.put(&place("alice", "files").key(), connection);
    }
    desk
}

fn ask(desk: &mut Desk, caller: Caller) -> ConnectorStatus {
    let arguments = StatusOf { caller, connector: connector_id("files") };
    desk.run(desk.engine.status_of(arguments)).unwrap()
}

fn state(desk: &mut Desk) -> Status {
    ask(desk, caller("alice")).per_user_auth.state
}

fn list(desk: &mut Desk, caller: Caller, of: Option<Listed>) -> Page<ConnectionStatus> {
    let arguments = ListConnections { caller, of, after: None, limit: 50 };
    desk.run(desk.engine.list_connections(arguments)).unwrap()
}

#[test]
fn every_state_follows_from_the_record_and_shows_as_one_of_four() {
    type Change = fn(&mut Connection);
    let reauth = |reason| Status::NeedsReauth { reason };
    let error = |code: &str| Status::Error { code: code.to_owned() };
    let cases: [(&str, Change, Status, &str); 12] = [
        ("fresh", |_| {}, Status::Connected, "connected"),
        ("emptied", |c| c.empty(), Status::Disconnected, "disconnected"),
        (
            "a flow failed",
            |c| {
                c.empty();
                c.last_failure = Some("user.access_denied".to_owned());
            },
            error("user.access_denied"),
            "error",
        ),
        (
            "ended, to be refreshed",
            |c| c.grant.as_mut().unwrap().expires_at = Some(NOW),
            Status::Connected,
            "connected",
        ),
        (
            "ended, nothing to refresh with",
            |c| {
                let grant = c.grant.as_mut().unwrap();
                grant.expires_at = Some(NOW);
                grant.refresh_token = None;
            },
            Status::Expired,
            "expired",
        ),
        (
            "ended, the issuer wants to be left alone",
            |c| {
                let grant = c.grant.as_mut().unwrap();
                grant.expires_at = Some(NOW);
                grant.backoff = Some(Backoff { until: NOW.plus(5), failures: 1 });
            },
            error("network.issuer_unavailable"),
            "error",
        ),
        (
            "alive, the issuer wants to be left alone",
            |c| {
                c.grant.as_mut().unwrap().backoff = Some(Backoff { until: NOW.plus(5), failures: 1 });
            },
            Status::Connected,
            "connected",
        ),
        (
            "condemned",
            |c| {
                let grant = c.grant.as_mut().unwrap();
                grant.expires_at = Some(NOW);
                grant.condemned = Some(Condemned::InvalidGrant);
            },
            reauth("invalid_grant"),
            "expired",
        ),
        (
            "condemned, the token still lives",
            |c| c.grant.as_mut().unwrap().condemned = Some(Condemned::InDoubt),
            reauth("in_doubt"),
            "expired",
        ),
        (
            "stepped up",
            |c| {
                c.wanted = scopes("files:read files:write");
                c.step_ups = vec![StepUp { subject: String::new(), since: NOW, count: 1 }];
            },
            Status::NeedsScope { missing: scopes("files:write") },
            "error",
        ),
        (
            "stepped up, and consented without granting",
            |c| {
                c.wanted = scopes("files:read files:write");
                c.requested = scopes("files:read files:write");
                c.step_ups = vec![StepUp { subject: String::new(), since: NOW, count: 1 }];
            },
            Status::Connected,
            "connected",
        ),
        (
            "suspended",
            |c| c.suspended = Some(Suspension { by: caller("root").principal, at: NOW }),
            Status::Suspended,
            "error",
        ),
    ];
    for (name, change, expected, coarse) in cases {
        let mut connection = connected("alice");
        change(&mut connection);
        let mut desk = desk(Some(&connection));
        let status = ask(&mut desk, caller("alice"));
        assert_eq!((status.per_user_auth.state, status.per_user_auth.status), (expected, coarse), "{name}");
        let listed = list(&mut desk, caller("alice"), None);
        let of_list = listed.items.first().map(|item| item.per_user_auth.clone());
        let of_status = status.connections.into_iter().next().map(|item| item.per_user_auth);
        match of_list {
            Some(block) => assert_eq!(Some(block), of_status, "{name}"),
            None => assert_eq!(name, "emptied"),
        }
    }
    assert_eq!(state(&mut desk(None)), Status::Disconnected);
}

#[test]
fn a_step_up_is_missing_for_as_long_as_it_counts() {
    let mut connection = connected("alice");
    connection.wanted = scopes("files:write");
    connection.step_ups = vec![StepUp { subject: String::new(), since: NOW, count: 1 }];
    let grant = connection.grant.as_mut().unwrap();
    grant.expires_at = None;
    let mut desk = desk(Some(&connection));
    desk.pass(HOUR - 1);
    assert!(matches!(state(&mut desk), Status::NeedsScope { .. }));
    desk.pass(1);
    assert_eq!(state(&mut desk), Status::Connected);
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
        scopes: scopes("files:read"),
        verifier: Secret::new("canary-verifier"),
        binding: Binding::Paste,
        consent: None,
        return_to: None,
        challenge: None,
    }
}

// atk:TOK-13
#[test]
fn a_person_is_connecting_only_while_the_flow_lives() {
    let mut connection = Connection::new(OperationId([7; 16]));
    connection.newest_flow = Some(FlowHash([5; 32]));
    let key = Key::flow(&caller("alice").tenant, &[5; 32]);
    let mut desk = desk(Some(&connection));
    assert_eq!(state(&mut desk), Status::Disconnected, "the flow is gone");
    for (status, expected) in [
        (FlowStatus::Created, Status::Connecting),
        (FlowStatus::Claimed(OperationId([1; 16])), Status::Connecting),
        (FlowStatus::Failed, Status::Disconnected),
        (FlowStatus::Expired, Status::Disconnected),
    ] {
        desk.put(&key, &flow(status));
        assert_eq!(state(&mut desk), expected);
    }
    desk.put(&key, &flow(FlowStatus::Created));
    let skew = desk.engine.limits().clock_skew_ms;
    for (now, expected) in [
        (NOW.plus(599_999), Status::Connecting),
        (NOW.plus(600_000), Status::Disconnected),
        (NOW.minus(skew), Status::Connecting),
        (NOW.minus(skew + 1), Status::Disconnected),
        (UnixMillis(0), Status::Disconnected),
    ] {
        desk.now = now;
        assert_eq!(state(&mut desk), expected, "{now:?}");
    }
    desk.now = NOW;
    connection.epoch = 1;
    desk.put(&place("alice", "files").key(), &connection);
    assert_eq!(state(&mut desk), Status::Disconnected, "a disconnect has superseded it");
}

#[test]
fn only_grants_that_a_changed_connector_has_no_use_for_are_affected() {
    type Change = fn(&mut Connector);
    let cases: [(Change, Status); 6] = [
        (|_| {}, Status::Connected),
        (|c| c.own_callback_path = true, Status::Connected),
        (
            |c| *c = Connector::server("https://elsewhere.example/"),
            Status::NeedsReauth { reason: "resource_changed" },
        ),
        (|c| *c = Connector::server("https://mcp.example/below"), Status::Connected),
        (
            |c| {
                c.upstream = Upstream::Server {
                    url: "https://mcp.example/".to_owned(),
                    issuer: Some("https://other.example".to_owned()),
                }
            },
            Status::NeedsReauth { reason: "issuer_changed" },
        ),
        (
            |c| c.scopes = Some(scopes("files:read mail:read")),
            Status::NeedsScope { missing: scopes("mail:read") },
        ),
    ];
    for (change, expected) in cases {
        let mut desk = desk(Some(&connected("alice")));
        let mut record = server("https://mcp.example/");
        change(&mut record.connector);
        record.revision = 2;
        put_connector(&mut desk, "files", &record);
        assert_eq!(state(&mut desk), expected);
    }
}

#[test]
fn an_issuer_answered_for_by_a_waiver_of_the_grant_is_the_configured_one() {
    let mut connection = connected("alice");
    let pair = ("https://other.example".to_owned(), "https://as.example".to_owned());
    connection.grant.as_mut().unwrap().terms.waivers.danger_trusted_issuers = vec![pair];
    let mut desk = desk(Some(&connection));
    let mut record = server("https://mcp.example/");
    record.revision = 2;
    record.connector.upstream = Upstream::Server {
        url: "https://mcp.example/".to_owned(),
        issuer: Some("https://other.example".to_owned()),
    };
    put_connector(&mut desk, "files", &record);
    assert_eq!(state(&mut desk), Status::Connected);
}

#[test]
fn the_block_names_pages_that_carry_no_right() {
    let mut desk = desk(Some(&connected("alice")));
    let block = ask(&mut desk, caller("alice")).per_user_auth;
    let base = "https://gateway.example/mcp";
    assert_eq!(block.connect_url, Some(format!("{base}/connect?connector=files")));
    assert_eq!(block.disconnect_url, Some(format!("{base}/connections?connector=files")));
    assert_eq!(
        (block.scopes, block.expires_at, block.error),
        (scopes("files:read"), Some(NOW.plus(HOUR)), None)
    );
    assert!(desk.keys(&Key::of_tenant(&caller("alice").tenant)).len() == 2, "asking has written something");

    let mut suspended = connected("alice");
    suspended.suspended = Some(Suspension { by: caller("root").principal, at: NOW });
    let block = ask(&mut self::desk(Some(&suspended)), caller("alice")).per_user_auth;
    assert_eq!((block.connect_url, block.error.as_deref()), (None, Some("suspended")));

    let mut headless = Desk::with(EngineConfig::new("Tests"));
    put_connector(&mut headless, "files", &server("https://mcp.example/"));
    assert_eq!(ask(&mut headless, caller("alice")).per_user_auth.connect_url, None);
}

#[test]
fn an_odd_owner_cannot_break_out_of_the_url() {
    let owner = Principal::team("a&connector=evil#/../é").unwrap();
    let lead = caller("lia").with_team(owner.id(), TeamRole::Manager).unwrap();
    let mut desk = Desk::new();
    let mut record = server("https://mcp.example/");
    record.connector.sharing = true;
    record.connector.precedence = vec![CredentialScope::Team];
    put_connector(&mut desk, "files", &record);
    let url = ask(&mut desk, lead).per_user_auth.connect_url.unwrap();
    assert_eq!(
        url,
        "https://gateway.example/mcp/connect?connector=files&owner_kind=team&owner=a%26connector%3Devil%23%2F..%2F%C3%A9"
    );
}

/// Alice's own connection is broken, that of her team works; sharing is on.
fn shared(falls_back: bool) -> Desk {
    let mut own = connected("alice");
    own.grant.as_mut().unwrap().condemned = Some(Condemned::Rejected);
    let mut desk = desk(Some(&own));
    let mut record = server("https://mcp.example/");
    record.connector.sharing = true;
    record.connector.precedence =
        vec![CredentialScope::Personal, CredentialScope::Team, CredentialScope::Org];
    record.connector.broken_personal_falls_back = falls_back;
    put_connector(&mut desk, "files", &record);
    let team = Place { owner: Principal::team("red").unwrap(), ..place("alice", "files") };
    desk.put(&team.key(), &connected("red"));
    desk
}

#[test]
fn the_block_says_what_a_call_would_meet() {
    let alice = caller("alice").with_team("red", TeamRole::Member).unwrap();
    let status = ask(&mut shared(false), alice.clone());
    assert_eq!(status.per_user_auth.state, Status::NeedsReauth { reason: "rejected" });
    let kinds: Vec<_> = status.connections.iter().map(|one| (one.scope, one.owner.id())).collect();
    assert_eq!(kinds, [(Some("personal"), "alice"), (Some("team"), "red"), (Some("org"), "acme")]);
    // Nobody but its manager is led to a shared connection's pages.
    assert_eq!(status.connections[1].per_user_auth.connect_url, None);
    assert_eq!(status.connections[1].per_user_auth.disconnect_url, None);

    assert_eq!(ask(&mut shared(true), alice).per_user_auth.state, Status::Connected);
}

// atk:TEN-05
#[test]
fn who_has_no_part_in_a_connector_is_told_the_same_as_for_a_random_one() {
    let mut desk = desk(Some(&connected("alice")));
    let mut record = server("https://mcp.example/");
    record.connector.sharing = true;
    record.connector.precedence = vec![CredentialScope::Team];
    put_connector(&mut desk, "teams", &record);
    let engine = Arc::clone(&desk.engine);
    let ghost = caller("mallory").with_assurance(Assurance::Asserted);
    let mut refuse = |caller: Caller, id: &str| {
        desk.run(engine.status_of(StatusOf { caller, connector: connector_id(id) })).unwrap_err()
    };
    let random = refuse(ghost.clone(), "random");
    let existing = refuse(ghost, "teams");
    assert_eq!((existing.code(), existing.to_string()), (random.code(), random.to_string()));
    let foreign = Caller::new("other", Principal::user("alice").unwrap()).unwrap();
    assert_eq!(refuse(foreign, "files").code(), Code::ConnectorUnknown);
}

// atk:TEN-05
#[test]
fn nobody_lists_what_is_neither_his_nor_in_his_charge() {
    let mut desk = desk(Some(&connected("alice")));
    let engine = Arc::clone(&desk.engine);
    let alices = Listed::Owner(caller("alice").principal);
    let files = Listed::Connector(connector_id("files"));
    for (by, of) in [
        (caller("mallory"), alices.clone()),
        (caller("mallory"), Listed::Owner(Principal::user("nobody").unwrap())),
        (caller("alice"), files.clone()),
        (caller("mia").with_role(Role::Manager), alices.clone()),
    ] {
        let arguments = ListConnections { caller: by, of: Some(of), after: None, limit: 9 };
        assert_eq!(desk.run(engine.list_connections(arguments)).unwrap_err().code(), Code::NotAllowed);
    }
    assert!(list(&mut desk, caller("mallory"), None).items.is_empty());
    assert_eq!(list(&mut desk, caller("root").with_role(Role::Admin), Some(alices)).items.len(), 1);
}

#[test]
fn an_assurance_that_is_too_low_is_said() {
    let mut desk = desk(None);
    let mut record = server("https://mcp.example/");
    record.connector.minimum_assurance = Assurance::Verified;
    put_connector(&mut desk, "files", &record);
    let key = caller("alice").with_assurance(Assurance::Possession);
    let arguments = StatusOf { caller: key, connector: connector_id("files") };
    let failure = desk.run(desk.engine.status_of(arguments)).unwrap_err();
    assert_eq!(failure.code(), Code::AssuranceTooLow);
}

// atk:TEN-09
#[test]
fn no_byte_of_a_secret_is_in_any_answer() {
    let mut connection = connected("alice");
    connection.grant.as_mut().unwrap().terms.waivers.danger_s256_unadvertised = true;
    connection.grant.as_mut().unwrap().terms.protected = false;
    connection.account =
        Some(Account { subject: "canary-sub".to_owned(), label: Some("alice@x".to_owned()) });
    connection.awaiting = Some(Box::new(Awaiting {
        grant: grant("bob"),
        account: Some(Account { subject: "canary-sub".to_owned(), label: Some("bob@x".to_owned()) }),
        requested: scopes("files:read"),
        by: caller("alice").principal,
    }));
    connection.park(grant("old").parked());
    connection.doubt = true;
    let mut desk = desk(Some(&connection));
    let mut record = server("https://mcp.example/");
    record.client_secret = Some(Secret::new("canary-static"));
    put_connector(&mut desk, "files", &record);
    let index = put_index(place("alice", "files").by_connector(), None);
    desk.put_raw(&index.key, Vec::new());

    let status = ask(&mut desk, caller("alice"));
    let own = list(&mut desk, caller("alice"), None);
    let manager = caller("mia").with_role(Role::Manager);
    let all = list(&mut desk, manager, Some(Listed::Connector(connector_id("files"))));
    for text in [
        format!("{status:?} {own:?} {all:?} {:?}", desk.events),
        serde_json::to_string(&(&status, &own, &all)).unwrap(),
    ] {
        assert!(text.contains("bob@x") && !text.contains("canary"), "{text}");
    }
    let shown = &own.items[0];
    assert_eq!(shown.held, Some(HeldAccount { account: Some("bob@x".to_owned()), held_since: NOW }));
    assert_eq!(shown.warnings, [Warning::MixUpUnprotected, Warning::Waived]);
    assert_eq!(shown.waivers, ["danger_s256_unadvertised"]);
    assert_eq!((shown.doubt, shown.unrevoked, shown.scope), (true, 2, Some("personal")));
    assert_eq!(all.items[0].scope, None);
}

#[test]
fn connections_to_a_connector_are_paged_and_stale_entries_left_out() {
    let mut desk = desk(None);
    let users = ["a", "b", "c", "d", "e"];
    for user in users {
        desk.put_raw(&place(user, "files").by_connector(), Vec::new());
        if user != "c" {
            desk.put(&place(user, "files").key(), &connected(user));
        }
    }
    let mut emptied = connected("d");
    emptied.empty();
    emptied.outbox.clear();
    desk.put(&place("d", "files").key(), &emptied);
    let (mut after, mut seen, mut pages) = (None, Vec::new(), 0);
    loop {
        let arguments = ListConnections {
            caller: caller("mia").with_role(Role::Manager),
            of: Some(Listed::Connector(connector_id("files"))),
            after,
            limit: 2,
        };
        let page = desk.run(desk.engine.list_connections(arguments)).unwrap();
        seen.extend(page.items.into_iter().map(|item| item.owner.id().to_owned()));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((seen.as_slice(), pages), (["a", "b", "e"].map(str::to_owned).as_slice(), 3));
}

// atk:IMP-12, atk:TEN-11
#[test]
fn a_damaged_or_moved_row_is_shown_as_such_and_hides_no_other() {
    let mut desk = desk(Some(&connected("alice")));
    put_connector(&mut desk, "mail", &server("https://mcp.example/"));
    let moved = desk.rows()[&place("alice", "files").key()].value.clone();
    desk.put_raw(&place("alice", "mail").key(), moved);
    let page = list(&mut desk, caller("alice"), None);
    let states: Vec<_> = page.items.iter().map(|item| &item.per_user_auth.state).collect();
    assert_eq!(states, [&Status::Error { code: "store.integrity".to_owned() }, &Status::Connected]);

    desk.put_raw(&place("alice", "files").key(), b"damaged".to_vec());
    assert_eq!(state(&mut desk), Status::Error { code: "store.integrity".to_owned() });
}

fn drawing(injections: Vec<Source>) -> ConnectorRecord {
    let mut record = server("https://mcp.example/");
    record.connector.injections = injections
        .into_iter()
        .map(|source| Injection { target: Target::Header("X-Key".to_owned()), source, prefix: String::new() })
        .collect();
    record
}

#[test]
fn accounts_and_secrets_that_a_connector_draws_on_are_part_of_its_status() {
    let mut desk = desk(None);
    let secret = |of| Source::Secret { name: "key".to_owned(), of };
    let record = drawing(vec![
        Source::Account(connector_id("google")),
        secret(SecretOwner::User),
        secret(SecretOwner::Team),
    ]);
    put_connector(&mut desk, "files", &record);
    let mut google = server("https://unused.example/");
    google.connector = Connector::account("https://as.example");
    put_connector(&mut desk, "google", &google);
    let alice = caller("alice").with_team("red", TeamRole::Member).unwrap();

    let status = ask(&mut desk, alice.clone());
    assert_eq!(status.per_user_auth.state, Status::Disconnected);
    let url = status.per_user_auth.connect_url.unwrap();
    assert!(url.ends_with("/connect?connector=google"), "{url}");
    assert_eq!(status.missing_secrets, ["key", "key"]);

    desk.put(&place("alice", "google").key(), &connected("google"));
    let key = SecretRecord {
        name: "key".to_owned(),
        value: Secret::new("v"),
        stored_at: NOW,
        stored_by: alice.principal.clone(),
    };
    desk.put(&Key::secret(&alice.tenant, &alice.principal, "key"), &key);
    let status = ask(&mut desk, alice.clone());
    assert_eq!(status.per_user_auth.state, Status::Error { code: "config.secret_missing".to_owned() });
    assert_eq!(status.missing_secrets, ["key"]);
    assert_eq!(status.accounts[0].per_user_auth.state, Status::Connected);

    desk.put(&Key::secret(&alice.tenant, &Principal::team("red").unwrap(), "key"), &key);
    let status = ask(&mut desk, alice);
    assert_eq!((status.per_user_auth.state, status.missing_secrets.len()), (Status::Connected, 0));
}

#[test]
fn a_connector_without_any_credential_is_connected() {
    let mut desk = desk(None);
    put_connector(&mut desk, "files", &drawing(vec![Source::Static("x".to_owned())]));
    let status = ask(&mut desk, caller("alice"));
    assert_eq!((status.per_user_auth.status, status.per_user_auth.connect_url), ("connected", None));
}

#[test]
fn a_status_is_written_with_its_state_in_full() {
    let mut connection = connected("alice");
    connection.grant.as_mut().unwrap().condemned = Some(Condemned::IssuerChanged);
    let status = ask(&mut desk(Some(&connection)), caller("alice"));
    let json = serde_json::to_value(&status.per_user_auth).unwrap();
    assert_eq!(json["status"], "expired");
    assert_eq!(json["state"], serde_json::json!({ "needs_reauth": { "reason": "issuer_changed" } }));
    assert_eq!(json["error"], "issuer_changed");
}
