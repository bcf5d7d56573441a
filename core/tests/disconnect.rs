//! Disconnecting: at once here, then upstream.

mod stage;

use grantway_core::connector::{Connector, StaticRegistration};
use grantway_core::error::Code;
use grantway_core::principal::Principal;
use grantway_core::protocol::client_auth::AuthMethod;
use grantway_core::secret::Secret;
use grantway_core::upstream::connectors::PutConnector;
use grantway_core::upstream::disconnect::{Disconnect, Revocation};
use grantway_core::upstream::resolve::Resolution;
use grantway_testing::{
    AuthMethod as IssuerMethod, CommitFault, Endpoint, Lands, Response, Worker, drive_or_crash, is_commit,
};
use stage::{ISSUER, SERVER, Stage, admin, alice, notes, user};

//= spec/rfc7009.md#2-1
//= type=test
//# To revoke, the engine MUST POST the token with the grant's own client authentication to the advertised
//# endpoint, and SHOULD send the refresh token first and with a `token_type_hint` (REV-01, U).
#[test]
fn both_tokens_are_revoked_the_refresh_token_first() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    let outcome = stage.disconnect(&alice());
    assert_eq!(outcome.revocation, Revocation::Complete);
    assert!(outcome.was_connected && !outcome.doubt);
    let hints: Vec<_> = stage
        .world
        .network
        .seen("POST", "https://as.good/revoke")
        .iter()
        .map(|request| request.form().unwrap().get("token_type_hint").unwrap().to_owned())
        .collect();
    assert_eq!(hints, ["refresh_token", "access_token"]);
    assert!(matches!(stage.resolve(&alice()), Resolution::Challenge(_)));
}

// F107
#[test]
fn disconnecting_twice_or_what_was_never_connected_is_fine_and_an_unknown_connector_is_not() {
    let mut stage = Stage::new();
    assert_eq!(stage.disconnect(&alice()).revocation, Revocation::Nothing);
    stage.connect(&alice());
    stage.disconnect(&alice());
    let again = stage.disconnect(&alice());
    assert!(!again.was_connected && !again.doubt);
    let unknown = Disconnect {
        caller: alice(),
        connector: grantway_core::principal::ConnectorId::new("none").unwrap(),
        owner: None,
    };
    let operation = stage.engine.disconnect(unknown);
    assert_eq!(stage.drive(operation).result.unwrap_err().code(), Code::ConnectorUnknown);
}

//= spec/rfc7009.md#2-2
//= type=test
//# The engine MUST take 200 as gone, even for a token the issuer never knew, and 503 as still valid, to be
//# tried again after `Retry-After` (REV-02, U).
// P19, L4
#[test]
fn a_revocation_that_has_to_wait_leaves_the_token_unusable_here_and_parked() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    stage.issuer.answer_instead(Endpoint::Revoke, 2, Response::new(503).header("Retry-After", "30"));
    assert_eq!(stage.disconnect(&alice()).revocation, Revocation::Pending);
    assert!(matches!(stage.resolve(&alice()), Resolution::Challenge(_)));
    assert_eq!(stage.issuer.live_refresh_tokens().len(), 1);
    stage.world.advance(31_000);
    assert_eq!(stage.disconnect(&alice()).revocation, Revocation::Complete);
    assert_eq!(stage.issuer.live_refresh_tokens().len(), 0);
}

#[test]
fn an_issuer_without_revocation_is_said_so() {
    let mut stage = Stage::new();
    stage.issuer.behave(|b| b.revocation = false);
    stage.connect(&alice());
    assert_eq!(stage.disconnect(&alice()).revocation, Revocation::NotOffered);
}

// P19, atk:TOK-08
#[test]
fn a_crash_after_any_effect_leaves_it_connected_or_disconnected_and_no_token_forgotten() {
    for effect in 1..=8 {
        let mut stage = Stage::new();
        stage.connect(&alice());
        stage.world.crash_after(effect);
        let first = stage.engine.disconnect(Disconnect { caller: alice(), connector: notes(), owner: None });
        if drive_or_crash(&mut stage.world, first).is_ok() {
            assert!(effect > 6);
            continue;
        }
        let connected = matches!(stage.resolve(&alice()), Resolution::Ready(_));
        assert_eq!(connected, effect == 1, "{effect}: only a crash before the commit leaves it connected");
        stage.disconnect(&alice());
        assert_eq!(stage.issuer.live_refresh_tokens().len(), 0, "{effect}");
    }
}

#[test]
fn an_unknown_commit_disconnects_once() {
    for lands in [Lands::Now, Lands::Never, Lands::After(1), Lands::After(2)] {
        let mut stage = Stage::new();
        stage.connect(&alice());
        stage.world.on_commit(1, CommitFault::Unknown(lands));
        assert_eq!(stage.disconnect(&alice()).revocation, Revocation::Complete, "{lands:?}");
        assert!(matches!(stage.resolve(&alice()), Resolution::Challenge(_)), "{lands:?}");
    }
}

#[test]
fn a_disconnect_that_was_unknown_takes_nothing_away_that_was_connected_since() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    stage.world.on_commit(1, CommitFault::Unknown(Lands::Now));
    let disconnect = Disconnect { caller: alice(), connector: notes(), owner: None };
    let mut worker = Worker::new(stage.engine.disconnect(disconnect));
    assert!(worker.run_until(&mut stage.world, is_commit));
    worker.perform(&mut stage.world);
    stage.connect(&alice());
    let outcome = worker.finish(&mut stage.world).result.unwrap();
    assert!(outcome.was_connected);
    assert_eq!(outcome.revocation, Revocation::Complete);
    assert_eq!(stage.ready(&alice()).generation(), 2);
    assert_eq!(stage.issuer.live_refresh_tokens().len(), 1);
}

/// The operator's own client at the issuer, known there and here by this secret.
fn register_by_hand(stage: &mut Stage, secret: &str) {
    let registration = StaticRegistration {
        issuer: Some(ISSUER.to_owned()),
        client_id: "by-hand".to_owned(),
        auth_method: Some(AuthMethod::ClientSecretPost),
    };
    stage.issuer.register_static("by-hand", Some(secret), IssuerMethod::Post, &["https://gw.good/callback"]);
    let operation = stage.engine.put_connector(PutConnector {
        caller: admin(),
        id: notes(),
        connector: Connector { registration: Some(registration), ..Connector::server(SERVER) },
        client_secret: Some(Secret::new(secret)),
        expected_revision: None,
        unverified: false,
    });
    stage.drive(operation).result.unwrap();
}

#[test]
fn revocation_uses_the_secret_that_the_registration_has_now() {
    let mut stage = Stage::new();
    register_by_hand(&mut stage, "old");
    stage.connect(&alice());
    register_by_hand(&mut stage, "new");
    assert_eq!(stage.disconnect(&alice()).revocation, Revocation::Complete);
    assert!(stage.issuer.live_refresh_tokens().is_empty());
}

// F109, atk:TEN-05
#[test]
fn nobody_disconnects_another_person_but_an_administrator() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    let owner = Some(Principal::user("alice").unwrap());
    let as_mallory = Disconnect { caller: user("mallory"), connector: notes(), owner: owner.clone() };
    let operation = stage.engine.disconnect(as_mallory);
    assert_eq!(stage.drive(operation).result.unwrap_err().code(), Code::NotAllowed);
    stage.ready(&alice());
    let operation = stage.engine.disconnect(Disconnect { caller: admin(), connector: notes(), owner });
    assert!(stage.drive(operation).result.unwrap().was_connected);
}

// atk:TEN-01
#[test]
fn what_alice_connected_serves_nobody_else() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    assert!(matches!(stage.resolve(&user("mallory")), Resolution::Challenge(_)));
    let foreign = grantway_core::principal::Caller::new("globex", Principal::user("alice").unwrap()).unwrap();
    let resolve = grantway_core::upstream::resolve::Resolve::new(foreign, notes());
    let operation = stage.engine.resolve(resolve);
    assert_eq!(stage.drive(operation).result.unwrap_err().code(), Code::ConnectorUnknown);
}
