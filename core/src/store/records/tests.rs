use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::error::Code;
use crate::operation::OperationId;
use crate::principal::{Caller, Role};
use crate::store::Key;
use crate::upstream::connectors::ListConnectors;
use crate::upstream::testing::{Desk, NOW, caller, connector_id, grant, server};

/// Members that may be left out: an empty list is, and a secret that is not there lets less happen.
const OPTIONAL: [&str; 9] = [
    "access",
    "client_secret",
    "label",
    "management_token",
    "outbox",
    "parents",
    "refresh_token",
    "secret",
    "step_ups",
];

/// Configuration has defaults, the strict ones; it is written whole all the same.
const CONFIGURATION: [&str; 5] = ["connector", "dialect", "waivers", "address_policy", "scopes"];

fn owner() -> Principal {
    caller("alice").principal
}

fn full_grant() -> Grant {
    Grant {
        lease: Some(Lease { attempt: OperationId([1; 16]), until: NOW }),
        backoff: Some(Backoff { until: NOW, failures: 1 }),
        condemned: Some(Condemned::InDoubt),
        rejected_at: Some(NOW),
        ..grant("a")
    }
}

fn connection() -> Connection {
    let mut connection = Connection::new(OperationId([1; 16]));
    connection.park(grant("old").parked());
    connection.newest_flow = Some(FlowHash([1; 32]));
    connection.grant = Some(Box::new(full_grant()));
    let account = Account { subject: "s".to_owned(), label: None };
    connection.awaiting = Some(Box::new(Awaiting {
        grant: full_grant(),
        account: Some(account.clone()),
        requested: Scopes::default(),
        by: owner(),
    }));
    connection.account = Some(account);
    connection.connected_by = Some(owner());
    connection.suspended = Some(Suspension { by: owner(), at: NOW });
    connection.step_ups = vec![StepUp { subject: "s".to_owned(), since: NOW, count: 1 }];
    connection
}

fn flow() -> Flow {
    Flow {
        status: FlowStatus::Created,
        created_at: NOW,
        expires_at: NOW,
        epoch: 0,
        owner: owner(),
        principal: owner(),
        connector: connector_id("files"),
        terms: grant("a").terms,
        iss_promised: true,
        redirect_uri: "https://gateway.example/callback".to_owned(),
        scopes: Scopes::default(),
        verifier: Secret::new("v"),
        binding: Binding::Paste,
        consent: None,
        return_to: None,
        challenge: None,
    }
}

fn ticket() -> Ticket {
    Ticket {
        principal: owner(),
        connector: connector_id("files"),
        owner: owner(),
        reason: TicketReason::Connect,
        created_at: NOW,
        expires_at: NOW,
        resource_metadata: None,
        scopes: None,
    }
}

fn client() -> ClientRecord {
    ClientRecord {
        client_id: "c".to_owned(),
        source: ClientSource::Dynamic,
        name: None,
        redirect_uris: vec!["http://127.0.0.1/callback".to_owned()],
        method: AuthMethod::None,
        secret: None,
        refreshes: true,
        version: Digest([1; 32]),
        created_at: NOW,
        fresh_until: NOW,
        used: false,
        refused: None,
    }
}

fn code() -> CodeRecord {
    CodeRecord {
        client_id: "c".to_owned(),
        redirect_uri: "http://127.0.0.1/callback".to_owned(),
        code_challenge: "x".to_owned(),
        scopes: Scopes::default(),
        resource: "https://gateway.example/mcp".to_owned(),
        caller: caller("alice").into(),
        identified_at: NOW,
        created_at: NOW,
        expires_at: NOW,
        failures: 0,
        redeemed: Some(FamilyId([1; 16])),
    }
}

fn family() -> FamilyRecord {
    FamilyRecord {
        client_id: "c".to_owned(),
        caller: caller("alice").into(),
        identified_at: NOW,
        scopes: Scopes::default(),
        resource: "https://gateway.example/mcp".to_owned(),
        created_at: NOW,
        access: vec![AccessToken { hash: Digest([1; 32]), created_at: NOW, expires_at: NOW }],
        refresh: Some(RefreshToken { hash: Digest([2; 32]), created_at: NOW, expires_at: NOW }),
        parents: vec![Digest([3; 32])],
        newest: Some(Pair {
            access: Secret::new("a"),
            refresh: Secret::new("r"),
            created_at: NOW,
            until: NOW,
        }),
        revoked: Some(Revoked::ByClient),
    }
}

/// Every place in a value: the members that lead to it.
fn places(value: &Value, path: &[String], found: &mut Vec<Vec<String>>) {
    let mut enter = |name: String, value: &Value| {
        let path = [path, &[name]].concat();
        places(value, &path, found);
        found.push(path);
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| enter(name.clone(), value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, value)| {
            if value.is_object() {
                enter(at.to_string(), value);
            }
        }),
        _ => {}
    }
}

fn pointer(path: &[String]) -> String {
    path.iter().map(|name| format!("/{name}")).collect()
}

fn refuses_without_any_member<T: Record>(record: &T) {
    let whole = serde_json::to_value(record).unwrap();
    assert!(serde_json::from_value::<T>(whole.clone()).is_ok());
    let mut found = Vec::new();
    places(&whole, &[], &mut found);
    let mut refused = 0;
    for path in found {
        let (name, parent) = path.split_last().unwrap();
        let is_item = name.parse::<usize>().is_ok();
        let is_inside = parent.iter().any(|part| CONFIGURATION.contains(&part.as_str()));
        if is_item || is_inside || OPTIONAL.contains(&name.as_str()) {
            continue;
        }
        let mut cut = whole.clone();
        cut.pointer_mut(&pointer(parent)).unwrap().as_object_mut().unwrap().remove(name);
        assert!(serde_json::from_value::<T>(cut).is_err(), "reads without `{}`", pointer(&path));
        let mut grown = whole.clone();
        grown.pointer_mut(&pointer(parent)).unwrap()["unheard_of"] = json!(1);
        // A variant of an enum with one more member is refused as well.
        assert!(serde_json::from_value::<T>(grown).is_err(), "reads with more in `{}`", pointer(parent));
        refused += 1;
    }
    assert!(refused >= 3);
}

// atk:IMP-13
#[test]
fn a_record_without_one_of_its_members_or_with_a_stranger_does_not_open() {
    refuses_without_any_member(&connection());
    refuses_without_any_member(&flow());
    refuses_without_any_member(&ticket());
    refuses_without_any_member(&client());
    refuses_without_any_member(&code());
    refuses_without_any_member(&family());
    refuses_without_any_member(&server("https://mcp.example/"));
    refuses_without_any_member(&TicketOf { ticket: Secret::new("t"), created_at: NOW, expires_at: NOW });
    refuses_without_any_member(&SecretRecord {
        name: "n".to_owned(),
        value: Secret::new("v"),
        stored_at: NOW,
        stored_by: owner(),
    });
}

// atk:IMP-13
#[test]
fn a_record_of_another_version_does_not_open() {
    for version in [0, 2, 3, u8::MAX] {
        let mut desk = Desk::new();
        let admin: Caller = caller("root").with_role(Role::Admin);
        let key = Key::connector(&admin.tenant, &connector_id("files"));
        desk.put_version(&key, ConnectorRecord::VERSION, &server("https://mcp.example/"));
        let engine = Arc::clone(&desk.engine);
        let list = ListConnectors { caller: admin, after: None, limit: 9 };
        assert_eq!(desk.run(engine.list_connectors(list.clone())).unwrap().items.len(), 1);
        desk.put_version(&key, version, &server("https://mcp.example/"));
        let failure = desk.run(engine.list_connectors(list)).unwrap_err();
        assert_eq!(failure.code(), Code::StoreIntegrity, "version {version}");
    }
}
