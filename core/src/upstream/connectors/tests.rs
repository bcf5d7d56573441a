use super::*;
use crate::connector::{CredentialScope, StaticRegistration};
use crate::engine::{EngineConfig, Profile};
use crate::principal::Principal;
use crate::upstream::testing::{Desk, Fault, caller, connector_id};

fn admin() -> Caller {
    caller("root").with_role(Role::Admin)
}

fn manager() -> Caller {
    caller("mia").with_role(Role::Manager)
}

fn put(caller: Caller, connector: Connector) -> PutConnector {
    PutConnector {
        caller,
        id: connector_id("files"),
        connector,
        client_secret: None,
        expected_revision: None,
        unverified: false,
    }
}

fn files() -> Connector {
    Connector::server("https://mcp.example/")
}

fn with_client(client_id: &str) -> Connector {
    let registration =
        StaticRegistration { issuer: None, client_id: client_id.to_owned(), auth_method: None };
    Connector { registration: Some(registration), ..files() }
}

fn stored(desk: &Desk) -> Option<ConnectorRecord> {
    desk.get(&Key::connector(&admin().tenant, &connector_id("files")))
}

#[test]
fn a_change_raises_the_revision_and_an_unchanged_put_writes_nothing() {
    let mut desk = Desk::new();
    let engine = Arc::clone(&desk.engine);
    let run = |desk: &mut Desk, connector| desk.run(engine.put_connector(put(admin(), connector))).unwrap();
    assert_eq!(run(&mut desk, files()), ConnectorPut::Stored { revision: 1 });
    assert_eq!(desk.news(), [What::ConnectorChanged { revision: Some(1) }]);
    let before = desk.rows().clone();
    assert_eq!(run(&mut desk, files()), ConnectorPut::Unchanged { revision: 1 });
    assert_eq!(*desk.rows(), before);
    assert!(desk.news().is_empty());
    let other = Connector::server("https://mcp.example/v2");
    assert_eq!(run(&mut desk, other), ConnectorPut::Stored { revision: 2 });
}

#[test]
fn a_configuration_that_is_not_acceptable_is_refused_and_named() {
    let mut desk = Desk::new();
    let engine = Arc::clone(&desk.engine);
    let mut refuse = |arguments: PutConnector| match desk.run(engine.put_connector(arguments)).unwrap() {
        ConnectorPut::Refused(error) => error.field(),
        other => panic!("{other:?}"),
    };
    assert_eq!(refuse(put(admin(), Connector::server("http://mcp.example/"))), "url");
    let mut orphan = put(admin(), files());
    orphan.client_secret = Some(Secret::new("s3cret"));
    assert_eq!(refuse(orphan), "client_secret");
    let mut broken = put(admin(), with_client("c"));
    broken.client_secret = Some(Secret::new("s3\r\ncret"));
    assert_eq!(refuse(broken), "client_secret");
    let huge = vec![("hint".to_owned(), "x".repeat(CONNECTOR_MAX_BYTES))];
    assert_eq!(refuse(put(admin(), Connector { authorize_params: huge, ..files() })), "connector");
    assert!(desk.rows().is_empty());
}

#[test]
fn the_strict_profile_takes_no_waiver() {
    let mut desk = Desk::with(EngineConfig { profile: Profile::Strict, ..EngineConfig::new("Tests") });
    let mut connector = files();
    connector.waivers.danger_s256_unadvertised = true;
    let outcome = desk.run(desk.engine.put_connector(put(admin(), connector))).unwrap();
    assert!(matches!(outcome, ConnectorPut::Refused(error) if error.field() == "waivers"));
}

#[test]
fn a_member_may_neither_put_nor_list_nor_delete() {
    let mut desk = Desk::new();
    let engine = Arc::clone(&desk.engine);
    let delete = DeleteConnector { caller: manager(), id: connector_id("files"), expected_revision: None };
    let list = ListConnectors { caller: caller("alice"), after: None, limit: 10 };
    let codes = [
        desk.run(engine.put_connector(put(caller("alice"), files()))).unwrap_err().code(),
        desk.run(engine.delete_connector(delete)).unwrap_err().code(),
        desk.run(engine.list_connectors(list)).unwrap_err().code(),
    ];
    assert_eq!(codes, [Code::NotAllowed; 3]);
}

#[test]
fn a_manager_changes_sharing_and_precedence_and_nothing_else() {
    let mut desk = Desk::new();
    let engine = Arc::clone(&desk.engine);
    let mut seed = put(admin(), with_client("c"));
    seed.client_secret = Some(Secret::new("s3cret"));
    seed.unverified = true;
    let shared = Connector {
        sharing: true,
        precedence: vec![CredentialScope::Personal, CredentialScope::Org],
        ..with_client("c")
    };
    let by_manager = |desk: &mut Desk, connector| desk.run(engine.put_connector(put(manager(), connector)));
    assert_eq!(by_manager(&mut desk, shared.clone()).unwrap_err().code(), Code::NotAllowed);
    desk.run(engine.put_connector(seed)).unwrap();
    assert_eq!(by_manager(&mut desk, shared.clone()).unwrap(), ConnectorPut::Stored { revision: 2 });
    let record = stored(&desk).unwrap();
    assert_eq!((record.connector, record.client_secret), (shared.clone(), Some(Secret::new("s3cret"))));
    assert!(record.unverified, "only an administrator verifies");

    let widened = Connector { scope_limit: None, broken_personal_falls_back: true, ..shared.clone() };
    assert_eq!(by_manager(&mut desk, widened).unwrap_err().code(), Code::NotAllowed);
    let mut secret = put(manager(), shared);
    secret.client_secret = Some(Secret::new("mine"));
    assert_eq!(desk.run(engine.put_connector(secret)).unwrap_err().code(), Code::NotAllowed);
}

#[test]
fn a_put_from_an_older_revision_is_refused() {
    let mut desk = Desk::new();
    let engine = Arc::clone(&desk.engine);
    let expecting =
        |revision, connector| PutConnector { expected_revision: Some(revision), ..put(admin(), connector) };
    assert_eq!(
        desk.run(engine.put_connector(expecting(1, files()))).unwrap_err().code(),
        Code::ConnectorExists
    );
    desk.run(engine.put_connector(expecting(0, files()))).unwrap();
    assert_eq!(
        desk.run(engine.put_connector(expecting(0, with_client("c")))).unwrap_err().code(),
        Code::ConnectorExists
    );
    desk.run(engine.put_connector(expecting(1, with_client("c")))).unwrap();
    assert_eq!(stored(&desk).unwrap().revision, 2);
}

#[test]
fn a_client_secret_stays_with_its_client_and_goes_with_it() {
    let mut desk = Desk::new();
    let engine = Arc::clone(&desk.engine);
    let mut first = put(admin(), with_client("c"));
    first.client_secret = Some(Secret::new("s3cret"));
    desk.run(engine.put_connector(first)).unwrap();
    let scoped = Connector { own_callback_path: true, ..with_client("c") };
    desk.run(engine.put_connector(put(admin(), scoped))).unwrap();
    assert!(stored(&desk).unwrap().client_secret.is_some());
    // The server names the issuer: at another server the secret could go to another issuer.
    let moved =
        Connector { registration: with_client("c").registration, ..Connector::server("https://b.example/") };
    desk.run(engine.put_connector(put(admin(), moved))).unwrap();
    assert!(stored(&desk).unwrap().client_secret.is_none());
}

#[test]
fn a_configuration_file_seeds_and_never_replaces_what_an_administrator_has_seen() {
    let mut desk = Desk::new();
    let engine = Arc::clone(&desk.engine);
    let seed = |connector| PutConnector { unverified: true, ..put(admin(), connector) };
    desk.run(engine.put_connector(seed(files()))).unwrap();
    assert!(stored(&desk).unwrap().unverified);
    assert_eq!(
        desk.run(engine.put_connector(put(admin(), files()))).unwrap(),
        ConnectorPut::Stored { revision: 2 }
    );
    assert!(!stored(&desk).unwrap().unverified);
    assert_eq!(
        desk.run(engine.put_connector(seed(with_client("c")))).unwrap(),
        ConnectorPut::Kept { revision: 2 }
    );
    assert_eq!(stored(&desk).unwrap().connector, files());
}

#[test]
fn an_unknown_commit_is_looked_up_and_counted_once() {
    for fault in [Fault::UnknownLost, Fault::UnknownWritten, Fault::Conflict] {
        let mut desk = Desk::new();
        desk.faults.push_back(fault);
        let outcome = desk.run(desk.engine.put_connector(put(admin(), files()))).unwrap();
        assert_eq!(outcome, ConnectorPut::Stored { revision: 1 }, "{fault:?}");
        assert_eq!(desk.news().len(), 1);
        desk.faults.push_back(fault);
        let delete =
            DeleteConnector { caller: admin(), id: connector_id("files"), expected_revision: Some(1) };
        assert!(desk.run(desk.engine.delete_connector(delete)).unwrap(), "{fault:?}");
        assert_eq!(desk.news(), [What::ConnectorChanged { revision: None }]);
    }
}

#[test]
fn a_deleted_connector_is_gone_and_deleting_it_again_says_so() {
    let mut desk = Desk::new();
    let engine = Arc::clone(&desk.engine);
    desk.run(engine.put_connector(put(admin(), files()))).unwrap();
    let delete =
        |expected_revision| DeleteConnector { caller: admin(), id: connector_id("files"), expected_revision };
    assert_eq!(desk.run(engine.delete_connector(delete(Some(7)))).unwrap_err().code(), Code::ConnectorExists);
    assert!(desk.run(engine.delete_connector(delete(Some(1)))).unwrap());
    assert!(stored(&desk).is_none());
    assert!(!desk.run(engine.delete_connector(delete(None))).unwrap());
}

#[test]
fn a_connector_that_does_not_open_can_be_deleted() {
    let mut desk = Desk::new();
    desk.put_raw(&Key::connector(&admin().tenant, &connector_id("files")), b"damaged".to_vec());
    let delete = DeleteConnector { caller: admin(), id: connector_id("files"), expected_revision: None };
    assert!(desk.run(desk.engine.delete_connector(delete)).unwrap());
}

#[test]
fn connectors_are_listed_in_pages_without_their_secrets() {
    let mut desk = Desk::new();
    let engine = Arc::clone(&desk.engine);
    for name in ["a", "b", "c"] {
        let mut arguments = put(admin(), with_client("c"));
        arguments.id = connector_id(name);
        arguments.client_secret = Some(Secret::new("canary-secret"));
        desk.run(engine.put_connector(arguments)).unwrap();
    }
    let foreign = Caller::new("other", Principal::user("root").unwrap()).unwrap().with_role(Role::Admin);
    desk.run(engine.put_connector(put(foreign, files()))).unwrap();
    let mut after = None;
    let mut names = Vec::new();
    loop {
        let list = ListConnectors { caller: manager(), after, limit: 2 };
        let page = desk.run(engine.list_connectors(list)).unwrap();
        // atk:TEN-09
        assert!(!format!("{page:?}").contains("canary"));
        assert!(page.items.iter().all(|listed| listed.has_client_secret && listed.revision == 1));
        names.extend(page.items.into_iter().map(|listed| listed.id.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(names, ["a", "b", "c"]);
}

#[test]
fn arguments_read_with_defaults_and_refuse_unknown_members() {
    let text = r#"{"caller":{"tenant":"acme","principal":{"kind":"user","id":"root"},"role":"admin"},
        "id":"files","connector":{"upstream":{"server":{"url":"https://mcp.example/"}}}}"#;
    assert_eq!(serde_json::from_str::<PutConnector>(text).unwrap(), put(admin(), files()));
    let unknown = text.replace("\"id\"", "\"revision\":1,\"id\"");
    assert!(serde_json::from_str::<PutConnector>(&unknown).is_err());
}
