//! Operations are tasks, and events are told.

use std::sync::{Arc, Mutex};

use grantway::{Connector, Event, Grantway};
use grantway_core::event::What;

use crate::simulated::{CONNECTOR, Simulated, admin, alice, ready, until};

#[tokio::test]
async fn a_refresh_is_saved_although_nobody_waits_for_it_any_more() {
    let (world, _, alice) = Simulated::connected().await;
    world.issuer.behave(|behaviour| behaviour.access_token_ms = 2_000);
    let gw = Arc::new(world.open());
    world.connect(&gw, &alice).await;
    let before = ready(&gw, &alice).await.generation();
    world.advance(5_000);

    let release = world.held_posts.hold_next();
    let impatient = tokio::spawn({
        let (gw, alice) = (Arc::clone(&gw), alice.clone());
        async move { gw.resolve(&alice, CONNECTOR).await }
    });
    until(|| !world.held_posts.is_waiting()).await;
    impatient.abort();
    assert!(impatient.await.unwrap_err().is_cancelled());
    release.send(()).unwrap();

    world.issuer.behave(|behaviour| behaviour.access_token_ms = 3_600_000);
    let after = ready(&gw, &alice).await.generation();
    assert!(after > before);
    assert_eq!(world.issuer.families_revoked(), 0);
    assert!(world.issuer.posts_per_refresh_token().values().all(|posts| *posts == 1));
}

#[tokio::test]
async fn events_are_told_in_order_with_the_one_who_acted() {
    let world = Simulated::new();
    let told: Arc<Mutex<Vec<Event>>> = Arc::default();
    let sink = Arc::clone(&told);
    let gw = Grantway::new(world.engine(), world.host())
        .on_events(move |event| sink.lock().unwrap().push(event.clone()));
    gw.put_connector(&admin(), CONNECTOR, Connector::server(world.mcp.url()), None).await.unwrap();
    world.connect(&gw, &alice()).await;
    ready(&gw, &alice()).await;
    ready(&gw, &alice()).await;
    gw.disconnect(&alice(), CONNECTOR, None).await.unwrap();

    let told = told.lock().unwrap();
    let name = |what: &What| {
        let text = serde_json::to_value(what).unwrap();
        text.as_object()
            .and_then(|one| one.keys().next().cloned())
            .or(text.as_str().map(str::to_owned))
            .unwrap()
    };
    let names: Vec<String> = told.iter().map(|event| name(&event.what)).collect();
    let expected = [
        "connector_changed",
        "registered",
        "flow_begun",
        "connected",
        // Once: the second resolution was the first.
        "credential_used",
        "disconnected",
        "revoked",
        "revoked",
    ];
    assert_eq!(names, expected);
    assert_eq!(told[0].actor, Some(admin().principal));
    assert!(told[1..].iter().all(|event| event.actor == Some(alice().principal)));
}

#[tokio::test]
async fn before_a_run_all_that_is_missing_is_said_at_once() {
    let (_, gw, alice) = Simulated::connected().await;
    gw.put_connector(&admin(), "other", Connector::server("https://mcp.good/other"), None).await.unwrap();
    let found = gw.preflight(&alice, &[CONNECTOR, "other", "nowhere"]).await.unwrap();
    assert_eq!((found.missing.len(), found.failed.len()), (1, 1));
    assert_eq!(found.missing[0].connector.as_str(), "other");
    gw.disconnect(&alice, CONNECTOR, None).await.unwrap();
    assert_eq!(gw.preflight(&alice, &[CONNECTOR, "other"]).await.unwrap().missing.len(), 2);
}
