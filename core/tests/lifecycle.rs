//! Living with connections: status over a whole life, held accounts, imports, purge and sweep, against a real issuer's book.

mod stage;

use grantway_core::connector::{Connector, CredentialScope};
use grantway_core::error::Code;
use grantway_core::event::What;
use grantway_core::principal::{Caller, Principal, TeamRole};
use grantway_core::protocol::client_auth::AuthMethod;
use grantway_core::protocol::scopes::Scopes;
use grantway_core::secret::Secret;
use grantway_core::upstream::begin_connect::BeginConnect;
use grantway_core::upstream::confirm_account::{AccountConfirmed, ConfirmAccount};
use grantway_core::upstream::disconnect::Disconnect;
use grantway_core::upstream::import_grant::{GrantImported, ImportGrant};
use grantway_core::upstream::purge::{Purge, Purgeable};
use grantway_core::upstream::refresh_due::RefreshDue;
use grantway_core::upstream::resolve::{Resolution, Resolve};
use grantway_core::upstream::status::{ConnectorStatus, ListConnections, Listed, Status, StatusOf};
use grantway_core::upstream::suspend::{Restore, Suspend, SuspensionSet};
use grantway_core::upstream::sweep::{Sweep, Swept};
use grantway_testing::{Endpoint, Response, contains_secret, drive_or_crash};
use stage::{ISSUER, SERVER, Stage, admin, alice, config, notes, token, user};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

fn status(stage: &mut Stage, caller: &Caller) -> ConnectorStatus {
    let operation = stage.engine.status_of(StatusOf { caller: caller.clone(), connector: notes() });
    stage.drive(operation).result.unwrap()
}

fn state(stage: &mut Stage) -> Status {
    status(stage, &alice()).per_user_auth.state
}

fn sweep(stage: &mut Stage) -> Swept {
    let operation = stage.engine.sweep(Sweep { tenant: alice().tenant, limit: 50, after: None });
    stage.drive(operation).result.unwrap()
}

fn purge_alice(stage: &mut Stage) {
    let mut after = None;
    loop {
        let what = Purgeable::Owner(alice().principal);
        let operation = stage.engine.purge(Purge { caller: admin(), what, after });
        after = stage.drive(operation).result.unwrap().next;
        if after.is_none() {
            return;
        }
    }
}

// F105
#[test]
fn the_status_follows_a_connection_through_its_life() {
    let mut stage = Stage::new();
    stage.issuer.behave(|b| b.refresh_tokens = false);
    assert_eq!(state(&mut stage), Status::Disconnected);
    let redirect = stage.begin(&alice());
    assert_eq!(state(&mut stage), Status::Connecting);
    let url = stage.issuer.approve_as("alice", &redirect.url);
    let arguments = stage.callback(&alice(), &redirect, &url);
    stage.complete(arguments).result.unwrap();
    assert_eq!(state(&mut stage), Status::Connected);
    stage.world.advance(HOUR);
    assert_eq!(state(&mut stage), Status::Expired);
    stage.connect(&alice());
    stage.disconnect(&alice());
    assert_eq!(state(&mut stage), Status::Disconnected);
    let redirect = stage.begin(&alice());
    let denied = stage.issuer.deny(&redirect.url);
    let arguments = stage.callback(&alice(), &redirect, &denied);
    stage.complete(arguments).result.unwrap_err();
    assert_eq!(state(&mut stage), Status::Error { code: "user.access_denied".to_owned() });
}

#[test]
fn a_step_up_shows_as_missing_scopes_until_the_person_has_been_asked() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    stage.rejected_with(&alice(), 1, 403, "Bearer error=\"insufficient_scope\", scope=\"write\"").unwrap();
    assert_eq!(state(&mut stage), Status::NeedsScope { missing: Scopes::parse("write").unwrap() });
}

// F112, F76
#[test]
fn a_suspended_connection_is_not_used_and_not_connected_anew_and_comes_back_as_it_was() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    let before = token(&stage.ready(&alice()));
    let owner = alice().principal;
    let suspend = Suspend { caller: admin(), owner: owner.clone(), connector: notes() };
    let operation = stage.engine.suspend(suspend);
    assert_eq!(stage.drive(operation).result.unwrap(), SuspensionSet::Changed);
    assert_eq!(state(&mut stage), Status::Suspended);
    let Resolution::Challenge(challenge) = stage.resolve(&alice()) else { panic!("not a challenge") };
    assert_eq!((challenge.reason.as_str(), challenge.url), ("suspended", None));
    let operation = stage.engine.restore(Restore { caller: admin(), owner, connector: notes() });
    stage.drive(operation).result.unwrap();
    assert_eq!(token(&stage.ready(&alice())), before);
}

#[test]
fn what_cannot_be_refreshed_just_now_keeps_nobody_elses_grant_from_its_turn() {
    let mut stage = Stage::new();
    let users = [alice(), user("bob"), user("carol")];
    users.iter().for_each(|user| drop(stage.connect(user)));
    // Whichever of them stands first in the index stays there.
    for suspended in &users[..2] {
        let suspend = Suspend { caller: admin(), owner: suspended.principal.clone(), connector: notes() };
        let operation = stage.engine.suspend(suspend);
        stage.drive(operation).result.unwrap();
    }
    stage.world.advance(3_600_000);
    let (mut usable, mut after) = (0, None);
    loop {
        let operation = stage.engine.refresh_due(RefreshDue { tenant: alice().tenant, limit: 1, after });
        let done = stage.drive(operation).result.unwrap();
        usable += done.usable;
        after = done.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(usable, 1);
    assert_eq!(stage.ready(&user("carol")).generation(), 2);
}

// F64
#[test]
fn who_begins_for_a_team_and_leaves_it_does_not_finish() {
    let list = vec![CredentialScope::Team];
    let mut stage =
        Stage::with(config(), Connector { sharing: true, precedence: list, ..Connector::server(SERVER) });
    let manager = user("mona").with_team("red", TeamRole::Manager).unwrap();
    let owner = Some(Principal::team("red").unwrap());
    let operation = stage.engine.begin_connect(BeginConnect { owner, ..BeginConnect::new(manager, notes()) });
    let redirect = stage.drive(operation).result.unwrap();
    let url = stage.issuer.approve_as("mona", &redirect.url);
    let arguments = stage.callback(&user("mona"), &redirect, &url);
    assert_eq!(stage.complete(arguments).result.unwrap_err().code(), Code::NotAllowed);
    assert!(stage.issuer.live_refresh_tokens().is_empty());
}

// atk:TEN-08
#[test]
fn a_held_account_is_shown_taken_and_the_former_ones_tokens_are_revoked() {
    let mut stage = Stage::new();
    stage.issuer.behave(|b| b.id_tokens = true);
    stage.connect(&alice());
    let former = token(&stage.ready(&alice()));
    let redirect = stage.begin(&alice());
    let url = stage.issuer.approve_as("bob", &redirect.url);
    let arguments = stage.callback(&alice(), &redirect, &url);
    assert!(stage.complete(arguments).result.unwrap().awaits_confirmation);

    let held = status(&mut stage, &alice()).connections.remove(0).held.unwrap();
    let confirm = ConfirmAccount {
        caller: alice(),
        owner: None,
        connector: notes(),
        held_since: held.held_since,
        accept: true,
    };
    let operation = stage.engine.confirm_account(confirm);
    let outcome = stage.drive(operation).result.unwrap();
    assert!(matches!(outcome, AccountConfirmed::Accepted { generation: 2, .. }));
    let now = token(&stage.ready(&alice()));
    let time = stage.world.now();
    assert_eq!(stage.issuer.live_token(&now, time).unwrap().user, "bob");
    assert!(stage.issuer.live_token(&former, time).is_none());
    // It is the account now: the next reconnect as the same one is not held.
    stage.world.advance(MINUTE);
    let redirect = stage.begin(&alice());
    let url = stage.issuer.approve_as("bob", &redirect.url);
    let arguments = stage.callback(&alice(), &redirect, &url);
    assert!(!stage.complete(arguments).result.unwrap().awaits_confirmation);
}

// P19, atk:TOK-05
#[test]
fn a_crash_between_parking_and_revoking_is_finished_by_the_sweep() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    let arguments = Disconnect { caller: alice(), connector: notes(), owner: None };
    // The read and the commit take place; the process dies before it revokes anything.
    stage.world.crash_after(2);
    let operation = stage.engine.disconnect(arguments);
    drive_or_crash(&mut stage.world, operation).unwrap_err();
    assert_eq!(stage.issuer.live_refresh_tokens().len(), 1);
    assert_eq!(status(&mut stage, &alice()).connections[0].unrevoked, 2);
    assert_eq!(sweep(&mut stage), Swept::default(), "not in the way of an operation that is still at it");
    stage.world.advance(10 * MINUTE);
    assert_eq!(sweep(&mut stage).drained, 1);
    assert!(stage.issuer.live_refresh_tokens().is_empty());
    assert_eq!(status(&mut stage, &alice()).connections[0].unrevoked, 0);
}

// L4
#[test]
fn tokens_that_an_issuer_will_not_revoke_are_given_up_in_the_end_and_said() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    stage.issuer.answer_instead(Endpoint::Revoke, 100, Response::new(503));
    stage.disconnect(&alice());
    let mut events = Vec::new();
    for _ in 0..20 {
        stage.world.advance(10 * MINUTE);
        let operation = stage.engine.sweep(Sweep { tenant: alice().tenant, limit: 50, after: None });
        events.extend(stage.drive(operation).events.into_iter().map(|event| event.what));
    }
    assert_eq!(events, [What::RevocationGivenUp, What::RevocationGivenUp]);
    let shown = status(&mut stage, &alice()).connections.remove(0);
    assert!(shown.doubt && shown.unrevoked == 0);
}

// atk:TEN-10, F113
#[test]
fn a_purged_user_leaves_nothing_for_the_next_one_of_that_name() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    stage.connect(&user("bob"));
    // A flow is under way when the purge comes.
    let redirect = stage.begin(&alice());
    let url = stage.issuer.approve_as("alice", &redirect.url);
    purge_alice(&mut stage);
    let arguments = stage.callback(&alice(), &redirect, &url);
    assert_eq!(stage.complete(arguments).result.unwrap_err().code(), Code::FlowSuperseded);
    assert!(matches!(stage.resolve(&alice()), Resolution::Challenge(_)));
    assert_eq!(state(&mut stage), Status::Disconnected);

    stage.world.advance(10 * MINUTE);
    sweep(&mut stage);
    assert_eq!(stage.issuer.live_refresh_tokens().len(), 1, "bob's");
    stage.ready(&user("bob"));

    // The next alice connects within the hour of the tombstone, and keeps what is hers.
    let connected = stage.connect(&alice());
    assert_eq!(connected.generation, 2);
    for _ in 0..5 {
        stage.world.advance(HOUR);
        sweep(&mut stage);
    }
    stage.ready(&alice());
}

#[test]
fn after_its_hour_a_purged_connection_is_gone_and_its_owner_begins_at_the_beginning() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    purge_alice(&mut stage);
    for _ in 0..4 {
        stage.world.advance(HOUR);
        sweep(&mut stage);
    }
    let left = stage.world.store.rows_of(grantway_core::store::Kind::Connection);
    assert!(left.is_empty());
    let index = stage.world.store.rows_of(grantway_core::store::Kind::Expiry);
    assert!(index.is_empty(), "{index:?}");
    assert_eq!(stage.connect(&alice()).generation, 1);
}

// F128
#[test]
fn imported_tokens_are_used_refreshed_and_revoked_like_any_others() {
    let mut stage = Stage::new();
    stage.issuer.behave(|b| b.auth_methods = vec![grantway_testing::AuthMethod::None]);
    // Obtained by somebody else, who lets go of them.
    stage.connect(&alice());
    let access = token(&stage.ready(&alice()));
    let refresh = stage.issuer.live_refresh_tokens().pop().unwrap();
    let client_id = stage.issuer.authorizations().pop().unwrap().get("client_id").unwrap().to_owned();

    let import = ImportGrant {
        caller: user("bob"),
        owner: None,
        connector: notes(),
        access_token: Secret::new(access.as_str()),
        refresh_token: Some(Secret::new(refresh)),
        expires_at: Some(stage.world.now().plus(HOUR)),
        scopes: Scopes::default(),
        issuer: ISSUER.to_owned(),
        token_endpoint: stage.issuer.endpoint(Endpoint::Token),
        revocation_endpoint: Some(stage.issuer.endpoint(Endpoint::Revoke)),
        client_id,
        auth_method: AuthMethod::None,
        client_secret: None,
        resource: Some(SERVER.to_owned()),
    };
    let operation = stage.engine.import_grant(import);
    assert!(matches!(stage.drive(operation).result.unwrap(), GrantImported::Imported(_)));
    assert_eq!(token(&stage.ready(&user("bob"))), access);
    stage.world.advance(HOUR);
    assert_eq!(stage.ready(&user("bob")).generation(), 2);
    stage.disconnect(&user("bob"));
    assert!(stage.issuer.live_refresh_tokens().is_empty());
}

// F116
#[test]
fn a_connector_that_has_moved_needs_its_users_again_and_sends_their_tokens_nowhere() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    stage.put(notes(), Connector::server("https://mcp.good/elsewhere"));
    assert_eq!(state(&mut stage), Status::NeedsReauth { reason: "resource_changed" });
    let operation = stage.engine.resolve(Resolve::new(alice(), notes()));
    let resolved = stage.drive(operation).result;
    assert!(!matches!(resolved, Ok(Resolution::Ready(_))));
}

// atk:TEN-09
#[test]
fn no_answer_about_connections_holds_a_byte_of_what_the_issuer_gave() {
    let mut stage = Stage::new();
    stage.issuer.behave(|b| b.id_tokens = true);
    stage.connect(&alice());
    let redirect = stage.begin(&alice());
    let url = stage.issuer.approve_as("bob", &redirect.url);
    let arguments = stage.callback(&alice(), &redirect, &url);
    stage.complete(arguments).result.unwrap();
    let secrets: Vec<String> = stage
        .issuer
        .live_refresh_tokens()
        .into_iter()
        .chain(stage.issuer.live_access_tokens(stage.world.now()))
        .collect();
    assert_eq!(secrets.len(), 4);

    let mut said = format!("{:?}", status(&mut stage, &alice()));
    said += &serde_json::to_string(&status(&mut stage, &alice())).unwrap();
    for (caller, of) in [(alice(), None), (admin(), Some(Listed::Connector(notes())))] {
        let operation = stage.engine.list_connections(ListConnections { caller, of, after: None, limit: 9 });
        let outcome = stage.drive(operation);
        let page = outcome.result.unwrap();
        assert_eq!(page.items.len(), 1);
        said += &format!("{page:?} {:?} {}", outcome.events, serde_json::to_string(&page).unwrap());
    }
    assert!(secrets.iter().all(|secret| !contains_secret(said.as_bytes(), secret)));
}
