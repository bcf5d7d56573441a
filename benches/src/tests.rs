//! The floor does what it is a floor of; nothing here looks at a clock.

use std::collections::BTreeMap;

use crate::allocations;
use crate::floor::{Floor, Peers};
use crate::messages;
use crate::operations::rows;
use crate::ours::{Ours, callback};
use crate::wire;

fn parameters(url: &str) -> BTreeMap<String, String> {
    let (_, query) = url.split_once('?').unwrap();
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

#[test]
fn floor_messages_and_operation_send_the_browser_away_with_the_same_parameters() {
    let peers = Peers {
        challenge: wire::CHALLENGE,
        resource: wire::RESOURCE_DOCUMENT,
        issuer: wire::ISSUER_DOCUMENT,
        registration: wire::REGISTRATION_DOCUMENT,
    };
    let mut floor = parameters(Floor::default().discover(&peers));
    let mut messages = parameters(&messages::discover(&peers).url);
    let mut ours = parameters(&Ours::new().begin("alice").1.url);
    for random in ["state", "code_challenge"] {
        let values = [floor.remove(random), messages.remove(random), ours.remove(random)];
        assert!(values.iter().all(|value| value.as_ref().is_some_and(|value| value.len() >= 43)));
        assert!(values[0] != values[1] && values[1] != values[2]);
    }
    assert_eq!(floor, ours);
    assert_eq!(messages, ours);
}

#[test]
fn floor_and_operation_store_the_same_token() {
    let mut ours = Ours::new();
    let redirect = ours.begin("alice").1;
    ours.complete("alice", &redirect);
    let (_, ready) = ours.resolve("alice");
    let (name, value) = ready.own_headers().next().unwrap();
    let mut floor = Floor::default();
    let url = floor.begin(wire::AUTHORIZE, wire::CLIENT_ID).to_owned();
    floor.complete("alice", &callback(&url), &wire::token_response(1));
    assert_eq!(name, "Authorization");
    assert_eq!(floor.resolve("alice"), Some(value.expose()));
    assert_eq!(floor.resolve("bob"), None);
}

#[test]
fn a_kept_resolution_is_used_without_an_allocation() {
    let rows = rows();
    let cached = rows.iter().find(|row| row.name == "D").unwrap();
    assert_eq!(cached.allocations, 0);
}

#[test]
fn every_allocation_is_counted() {
    let (count, texts) = allocations::count(|| [String::from("a"), String::from("b")]);
    assert_eq!((count, texts.len()), (2, 2));
}
