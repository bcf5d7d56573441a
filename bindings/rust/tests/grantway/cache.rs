//! What is used again, and what ends that.

use std::sync::Arc;
use std::time::Duration;

use grantway::driver::drive;
use grantway::{Caller, Connector, Grantway, Principal, Rejection, Resolution, Secret};
use grantway_core::connector::CredentialScope;
use grantway_core::principal::{ConnectorId, TeamRole};
use grantway_core::upstream::resolve::Resolve;

use crate::simulated::{CONNECTOR, Simulated, admin, alice, bearer, bob, is_challenged, ready, until};

#[tokio::test]
async fn a_resolution_is_used_again_without_reading() {
    let (world, gw, alice) = Simulated::connected().await;
    let first = ready(&gw, &alice).await;
    world.store.reads();
    let again = ready(&gw, &alice).await;
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(world.store.reads(), 0);
}

#[tokio::test]
async fn after_its_age_one_read_makes_a_resolution_good_again() {
    let (world, gw, alice) = Simulated::connected().await;
    let first = ready(&gw, &alice).await;
    for _ in 0..3 {
        world.advance(5_000);
        world.store.reads();
        assert!(Arc::ptr_eq(&first, &ready(&gw, &alice).await));
        assert_eq!(world.store.reads(), 1);
    }
}

#[tokio::test]
async fn what_another_process_withdraws_ends_within_the_age() {
    let (world, gw, alice) = Simulated::connected().await;
    ready(&gw, &alice).await;
    world.open().disconnect(&alice, CONNECTOR, None).await.unwrap();
    world.advance(4_999);
    ready(&gw, &alice).await;
    world.advance(1);
    assert!(is_challenged(&gw, &alice).await);
}

#[tokio::test]
async fn what_this_process_withdraws_ends_at_once() {
    let (world, gw, alice) = Simulated::connected().await;
    let connect = || async {
        world.connect(&gw, &alice).await;
        ready(&gw, &alice).await;
    };
    ready(&gw, &alice).await;
    gw.disconnect(&alice, CONNECTOR, None).await.unwrap();
    assert!(is_challenged(&gw, &alice).await);

    connect().await;
    gw.suspend(&admin(), CONNECTOR, &alice.principal).await.unwrap();
    assert!(is_challenged(&gw, &alice).await);
    gw.restore(&admin(), CONNECTOR, &alice.principal).await.unwrap();

    ready(&gw, &alice).await;
    gw.put_connector(&admin(), CONNECTOR, Connector::server("https://mcp.good/other"), None).await.unwrap();
    assert!(!matches!(gw.resolve(&alice, CONNECTOR).await, Ok(Resolution::Ready(_))));

    gw.put_connector(&admin(), CONNECTOR, Connector::server(world.mcp.url()), None).await.unwrap();
    ready(&gw, &alice).await;
    gw.delete_connector(&admin(), CONNECTOR).await.unwrap();
    assert_eq!(gw.resolve(&alice, CONNECTOR).await.unwrap_err().slug(), "config.connector_unknown");
}

/// Alice disconnects while a resolution waits for what it has read: it still ends, and nothing of it is used again.
async fn disconnect_during_a_read(world: &Simulated, gw: Grantway, alice: &Caller) {
    let gw = Arc::new(gw);
    let release = world.store.hold_next_read();
    let early = tokio::spawn({
        let (gw, alice) = (Arc::clone(&gw), alice.clone());
        async move { gw.resolve(&alice, CONNECTOR).await }
    });
    until(|| world.store.is_held()).await;
    gw.disconnect(alice, CONNECTOR, None).await.unwrap();
    release.send(()).unwrap();
    assert!(matches!(early.await.unwrap().unwrap(), Resolution::Ready(_)));
    assert!(is_challenged(&gw, alice).await);
}

#[tokio::test]
async fn a_resolution_that_was_read_before_a_withdrawal_is_not_kept_after_it() {
    let (world, gw, alice) = Simulated::connected().await;
    disconnect_during_a_read(&world, gw, &alice).await;
}

#[tokio::test]
async fn a_resolution_that_was_renewed_across_a_withdrawal_is_not_kept_after_it() {
    let (world, gw, alice) = Simulated::connected().await;
    ready(&gw, &alice).await;
    world.advance(5_000);
    disconnect_during_a_read(&world, gw, &alice).await;
}

#[tokio::test]
async fn nothing_is_kept_while_a_withdrawal_is_under_way() {
    let (world, gw, alice) = Simulated::connected().await;
    let gw = Arc::new(gw);
    let release = world.store.hold_next_read();
    let late = tokio::spawn({
        let (gw, alice) = (Arc::clone(&gw), alice.clone());
        async move { gw.disconnect(&alice, CONNECTOR, None).await }
    });
    until(|| world.store.is_held()).await;
    // It has begun and not yet emptied anything.
    ready(&gw, &alice).await;
    release.send(()).unwrap();
    late.await.unwrap().unwrap();
    assert!(is_challenged(&gw, &alice).await);
}

// atk:TEN-04
#[tokio::test]
async fn callers_share_nothing_that_was_kept_for_one_of_them() {
    let (world, gw, alice) = Simulated::connected().await;
    world.connect(&gw, &bob()).await;
    let (of_alice, of_bob) = (ready(&gw, &alice).await, ready(&gw, &bob()).await);
    assert_ne!(bearer(&of_alice), bearer(&of_bob));
    assert!(Arc::ptr_eq(&of_alice, &ready(&gw, &alice).await));
    let elsewhere = Caller::new("other", Principal::user("alice").unwrap()).unwrap();
    assert_eq!(gw.resolve(&elsewhere, CONNECTOR).await.unwrap_err().slug(), "config.connector_unknown");
}

// atk:TEN-02
#[tokio::test]
async fn who_has_left_the_team_is_not_given_what_was_kept_for_its_member() {
    let world = Simulated::new();
    let gw = world.open();
    let mut shared = Connector::server(world.mcp.url());
    shared.sharing = true;
    shared.precedence = vec![CredentialScope::Team];
    gw.put_connector(&admin(), CONNECTOR, shared, None).await.unwrap();
    let manager = alice().with_team("red", TeamRole::Manager).unwrap();
    let mut begin = grantway_core::upstream::begin_connect::BeginConnect::new(
        manager.clone(),
        ConnectorId::new(CONNECTOR).unwrap(),
    );
    begin.owner = Some(Principal::team("red").unwrap());
    let redirect = gw.begin_connect_with(begin).await.unwrap();
    let callback = world.issuer.approve_as("team-red", &redirect.url);
    let cookie = redirect.cookie.unwrap().expose().split(';').next().unwrap().to_owned();
    gw.complete_connect(Some(&manager), &callback, Some(&cookie)).await.unwrap();

    let member = bob().with_team("red", TeamRole::Member).unwrap();
    assert_eq!(ready(&gw, &member).await.attribution().scope, "team");
    assert!(is_challenged(&gw, &bob()).await);
}

#[tokio::test]
async fn a_new_consent_replaces_what_was_kept() {
    let (world, gw, alice) = Simulated::connected().await;
    let before = ready(&gw, &alice).await.generation();
    world.connect(&gw, &alice).await;
    assert!(ready(&gw, &alice).await.generation() > before);
}

#[tokio::test]
async fn a_rejected_token_is_not_used_again() {
    let (world, gw, alice) = Simulated::connected().await;
    let first = ready(&gw, &alice).await;
    world.issuer.end_access_tokens();
    let headers = [("WWW-Authenticate".to_owned(), Secret::new("Bearer error=\"invalid_token\""))];
    let rejection =
        gw.report_rejected(&alice, CONNECTOR, Some(&first), "tools/call whoami", 401, headers).await;
    let Rejection::Retry(second) = rejection.unwrap() else { panic!("no retry") };
    assert_ne!(bearer(&first), bearer(&second));
    assert!(Arc::ptr_eq(&second, &ready(&gw, &alice).await));
}

#[tokio::test]
async fn a_late_report_about_an_old_token_leaves_the_new_one_in_place() {
    let (world, gw, alice) = Simulated::connected().await;
    let first = ready(&gw, &alice).await;
    world.issuer.end_access_tokens();
    let report = || gw.report_rejected(&alice, CONNECTOR, Some(&first), "call", 401, []);
    let Rejection::Retry(second) = report().await.unwrap() else { panic!("no retry") };
    let Rejection::Retry(third) = report().await.unwrap() else { panic!("no retry") };
    assert_eq!(bearer(&second), bearer(&third));
    assert_eq!(world.issuer.posts_per_refresh_token().values().sum::<u32>(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_dead_worker_ends_although_clocks_disagree() {
    let (world, _, alice) = Simulated::connected().await;
    world.issuer.behave(|behaviour| behaviour.access_token_ms = 2_000);
    world.connect(&world.open(), &alice).await;
    world.advance(5_000);

    // A worker whose clock is ten minutes ahead takes the lease, posts, and dies.
    let ahead = Simulated { ahead_ms: 600_000, ..world.clone() };
    let _never = world.held_posts.hold_next();
    let (engine, host) = (ahead.engine(), ahead.host());
    let arguments = Resolve::new(alice.clone(), ConnectorId::new(CONNECTOR).unwrap());
    {
        let dying = drive(engine.resolve(arguments), &host);
        tokio::pin!(dying);
        tokio::select! {
            _ = &mut dying => panic!("it should hang"),
            () = until(|| !world.held_posts.is_waiting()) => {}
        }
    }

    // By the clock of another the lease lasts long.
    let gw = world.open();
    let at_once = || gw.resolve_within(&alice, CONNECTOR, 0);
    let Resolution::Transient(seen) = at_once().await.unwrap() else { panic!("no lease") };
    assert_eq!(seen.observed.unwrap().for_ms, 0);
    tokio::time::advance(Duration::from_secs(30)).await;
    let Resolution::Transient(seen) = at_once().await.unwrap() else { panic!("the lease was broken") };
    assert_eq!(seen.observed.unwrap().for_ms, 30_000);
    tokio::time::advance(Duration::from_secs(31)).await;
    assert!(!matches!(at_once().await.unwrap(), Resolution::Transient(_)));
}
