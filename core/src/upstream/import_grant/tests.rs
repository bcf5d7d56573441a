use super::*;
use crate::connector::{StaticRegistration, Upstream};
use crate::engine::{EngineConfig, Profile};
use crate::principal::Role;
use crate::upstream::disconnect::Disconnect;
use crate::upstream::testing::{Desk, Fault, NOW, caller, connector_id, grant, place, server};

const HOUR: u64 = 3_600_000;

fn import(by: Caller) -> ImportGrant {
    ImportGrant {
        caller: by,
        owner: Some(caller("alice").principal),
        connector: connector_id("files"),
        access_token: Secret::new("canary-access-1"),
        refresh_token: Some(Secret::new("canary-refresh-1")),
        expires_at: Some(NOW.plus(HOUR)),
        scopes: Scopes::parse("files:read").unwrap(),
        issuer: "https://as.example".to_owned(),
        token_endpoint: "https://as.example/token".to_owned(),
        revocation_endpoint: Some("https://as.example/revoke".to_owned()),
        client_id: "client-1".to_owned(),
        auth_method: AuthMethod::None,
        client_secret: None,
        resource: Some("https://mcp.example/mcp".to_owned()),
    }
}

fn desk() -> Desk {
    let mut desk = Desk::new();
    put_connector(&mut desk, &server("https://mcp.example/mcp"));
    desk
}

fn put_connector(desk: &mut Desk, record: &ConnectorRecord) {
    desk.put(&Key::connector(&caller("alice").tenant, &connector_id("files")), record);
}

fn stored(desk: &Desk) -> Connection {
    desk.get(&place("alice", "files").key()).unwrap()
}

fn refusal(desk: &mut Desk, arguments: ImportGrant) -> &'static str {
    match desk.run(desk.engine.import_grant(arguments)).unwrap() {
        GrantImported::Refused(error) => {
            assert!(!error.to_string().contains("canary"), "{error}");
            error.field()
        }
        imported => panic!("{imported:?}"),
    }
}

#[test]
fn imported_tokens_become_an_ordinary_grant() {
    let mut desk = desk();
    let outcome = desk.run(desk.engine.import_grant(import(caller("alice")))).unwrap();
    let connection = stored(&desk);
    let expected = Imported { connection: connection.id, generation: 1 };
    assert_eq!(outcome, GrantImported::Imported(expected));
    let grant = connection.grant.unwrap();
    assert_eq!((grant.family, grant.expires_at), (1, Some(NOW.plus(HOUR))));
    assert_eq!(grant.terms.audience, "https://mcp.example/mcp");
    assert!(grant.terms.protected && !grant.terms.parent);
    assert_eq!(desk.news(), [What::Imported]);
    assert!(desk.has(&place("alice", "files").by_connector()));
    assert!(desk.has(&place("alice", "files").due(connection.due.unwrap())));
    assert!(desk.requests.is_empty());
}

#[test]
fn the_former_grant_is_revoked_and_the_same_tokens_brought_in_again_are_not() {
    let mut desk = desk();
    let engine = Arc::clone(&desk.engine);
    let mut before = Connection::new(OperationId([3; 16]));
    before.epoch = 4;
    before.generation = 7;
    before.grant = Some(Box::new(grant("old")));
    desk.put(&place("alice", "files").key(), &before);
    desk.answers.extend([200, 200]);
    desk.run(engine.import_grant(import(caller("alice")))).unwrap();
    assert_eq!(desk.requests.len(), 2);
    let after = stored(&desk);
    assert_eq!((after.id, after.epoch, after.generation), (before.id, 4, 8));
    assert!(after.outbox.is_empty());

    desk.run(engine.import_grant(import(caller("alice")))).unwrap();
    assert_eq!((desk.requests.len(), stored(&desk).generation), (2, 9));
    assert!(stored(&desk).outbox.is_empty());
}

// atk:CSR-03
#[test]
fn nobody_brings_in_what_the_calls_of_somebody_else_will_use() {
    let mut desk = desk();
    let engine = Arc::clone(&desk.engine);
    let managers = [Role::Manager, Role::Admin].map(|role| caller("mia").with_role(role));
    for by in [caller("mallory")].into_iter().chain(managers) {
        assert_eq!(desk.run(engine.import_grant(import(by))).unwrap_err().code(), Code::NotAllowed);
    }
    assert!(desk.run(engine.import_grant(import(caller("alice")))).is_ok());
    assert_eq!(stored(&desk).connected_by, Some(caller("alice").principal));
}

// atk:MIX-04
#[test]
fn an_endpoint_on_another_origin_than_the_issuer_is_refused_unless_it_is_pinned() {
    let mut desk = desk();
    let mut arguments = import(caller("alice"));
    arguments.token_endpoint = "https://tokens.example/token".to_owned();
    assert_eq!(refusal(&mut desk, arguments.clone()), "token_endpoint");
    let mut revoking = import(caller("alice"));
    revoking.revocation_endpoint = Some("https://tokens.example/revoke".to_owned());
    assert_eq!(refusal(&mut desk, revoking), "revocation_endpoint");
    let mut record = server("https://mcp.example/mcp");
    record.connector.waivers.danger_endpoint_origins = vec!["https://tokens.example".to_owned()];
    put_connector(&mut desk, &record);
    assert!(matches!(desk.run(desk.engine.import_grant(arguments)).unwrap(), GrantImported::Imported(_)));
}

// atk:AUD-06
#[test]
fn tokens_for_another_resource_are_refused() {
    let mut desk = desk();
    for resource in ["https://mcp.example/other", "https://evil.example/mcp", "https://mcp.example/mcp/below"]
    {
        let mut arguments = import(caller("alice"));
        arguments.resource = Some(resource.to_owned());
        assert_eq!(refusal(&mut desk, arguments), "resource");
    }
}

#[test]
fn without_a_resource_the_tokens_go_to_the_connectors_url_alone() {
    let mut desk = desk();
    let mut arguments = import(caller("alice"));
    arguments.resource = None;
    desk.run(desk.engine.import_grant(arguments)).unwrap();
    let terms = stored(&desk).grant.unwrap().terms;
    assert_eq!((terms.resource, terms.audience.as_str()), (None, "https://mcp.example/mcp"));
}

#[test]
fn a_grant_for_the_whole_origin_is_marked_and_refused_by_the_strict_profile() {
    let mut arguments = import(caller("alice"));
    arguments.resource = Some("https://mcp.example/".to_owned());
    let mut desk = desk();
    desk.run(desk.engine.import_grant(arguments.clone())).unwrap();
    assert!(stored(&desk).grant.unwrap().terms.parent);

    let mut strict = Desk::with(EngineConfig { profile: Profile::Strict, ..EngineConfig::new("Tests") });
    put_connector(&mut strict, &server("https://mcp.example/mcp"));
    let failure = strict.run(strict.engine.import_grant(arguments)).unwrap_err();
    assert_eq!(failure.code(), Code::ParentGrantRefused);
}

#[test]
fn the_issuer_is_the_one_that_configuration_names() {
    let mut desk = Desk::new();
    let mut record = server("https://mcp.example/mcp");
    record.connector.upstream = Upstream::Account { issuer: "https://other.example".to_owned() };
    put_connector(&mut desk, &record);
    assert_eq!(refusal(&mut desk, import(caller("alice"))), "issuer");
    let mut pinned = server("https://mcp.example/mcp");
    pinned.connector.registration = Some(StaticRegistration {
        issuer: Some("https://other.example".to_owned()),
        client_id: "client-1".to_owned(),
        auth_method: None,
    });
    put_connector(&mut desk, &pinned);
    assert_eq!(refusal(&mut desk, import(caller("alice"))), "issuer");
}

// atk:MIX-05, REG-05
#[test]
fn the_operators_secret_is_for_the_operators_own_issuer_and_client_alone() {
    let mut desk = desk();
    let mut arguments = import(caller("alice"));
    arguments.auth_method = AuthMethod::ClientSecretBasic;
    assert_eq!(refusal(&mut desk, arguments.clone()), "client_secret");
    let mut record = server("https://mcp.example/mcp");
    record.client_secret = Some(Secret::new("canary-static"));
    record.connector.registration =
        Some(StaticRegistration { issuer: None, client_id: "other".to_owned(), auth_method: None });
    put_connector(&mut desk, &record);
    assert_eq!(refusal(&mut desk, arguments.clone()), "client_secret");
    // Whoever brings tokens in names the issuer; were that enough, anybody could send the secret anywhere.
    record.connector.registration.as_mut().unwrap().client_id = "client-1".to_owned();
    put_connector(&mut desk, &record);
    assert_eq!(refusal(&mut desk, arguments.clone()), "client_secret");
    record.connector.registration.as_mut().unwrap().issuer = Some("https://as.example".to_owned());
    put_connector(&mut desk, &record);
    desk.run(desk.engine.import_grant(arguments)).unwrap();
    let client = stored(&desk).grant.unwrap().terms.client;
    assert_eq!(client.secret, Some(Secret::new("canary-static")));
}

// atk:MIX-05
#[test]
fn a_secret_that_was_brought_in_is_never_replaced_by_the_operators() {
    let mut desk = desk();
    let mut record = server("https://mcp.example/mcp");
    record.client_secret = Some(Secret::new("canary-static"));
    record.connector.registration =
        Some(StaticRegistration { issuer: None, client_id: "client-1".to_owned(), auth_method: None });
    put_connector(&mut desk, &record);
    let mut arguments = import(caller("alice"));
    arguments.auth_method = AuthMethod::ClientSecretPost;
    arguments.client_secret = Some(Secret::new("their-own"));
    desk.run(desk.engine.import_grant(arguments)).unwrap();
    let disconnect =
        Disconnect { caller: caller("alice"), connector: place("alice", "files").connector, owner: None };
    desk.run(desk.engine.disconnect(disconnect)).unwrap();
    let sent: Vec<_> =
        desk.requests.iter().map(|request| String::from_utf8_lossy(request.body.expose())).collect();
    assert!(
        !sent.is_empty()
            && sent.iter().all(|body| body.contains("their-own") && !body.contains("canary-static"))
    );
}

#[test]
fn unacceptable_values_are_refused_by_name() {
    let mut desk = desk();
    type Spoil = fn(&mut ImportGrant);
    let cases: [(&str, Spoil); 6] = [
        ("access_token", |a| a.access_token = Secret::new("canary\r\nX: y")),
        ("refresh_token", |a| a.refresh_token = Some(Secret::new(""))),
        ("client_id", |a| a.client_id = "caf\u{e9}".to_owned()),
        ("auth_method", |a| a.auth_method = AuthMethod::PrivateKeyJwt),
        ("issuer", |a| a.issuer = "http://as.example".to_owned()),
        ("token_endpoint", |a| a.token_endpoint = "https://as.example/token#x".to_owned()),
    ];
    for (field, spoil) in cases {
        let mut arguments = import(caller("alice"));
        spoil(&mut arguments);
        assert_eq!(refusal(&mut desk, arguments), field);
    }
    assert!(!desk.has(&place("alice", "files").key()));
}

#[test]
fn an_end_far_in_the_future_is_believed_for_thirty_days() {
    let mut desk = desk();
    let mut arguments = import(caller("alice"));
    arguments.expires_at = Some(UnixMillis(u64::MAX));
    desk.run(desk.engine.import_grant(arguments)).unwrap();
    assert_eq!(stored(&desk).grant.unwrap().expires_at, Some(NOW.plus(30 * 24 * HOUR)));
}

#[test]
fn nothing_is_imported_for_an_unknown_connector_and_unknown_commits_count_once() {
    let mut empty = Desk::new();
    let failure = empty.run(empty.engine.import_grant(import(caller("alice")))).unwrap_err();
    assert_eq!(failure.code(), Code::ConnectorUnknown);
    for fault in [Fault::UnknownLost, Fault::UnknownWritten, Fault::Conflict] {
        let mut desk = desk();
        desk.faults.push_back(fault);
        desk.run(desk.engine.import_grant(import(caller("alice")))).unwrap();
        assert_eq!(stored(&desk).generation, 1, "{fault:?}");
    }
}
