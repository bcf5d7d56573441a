//! Every recorded vector, replayed twice: as text through the JSON form, and in typed values beside it.

mod typed;

use grantway_core::message::{self, AnyStep, OPERATIONS};
use grantway_vectors::{all, stored};

#[test]
fn every_vector_replays_as_text_byte_for_byte() {
    for vector in stored() {
        let engine = message::engine(vector.engine.get().as_bytes()).unwrap();
        let mut operation = message::begin(&engine, vector.begin.get().as_bytes()).unwrap();
        for (at, step) in vector.steps.iter().enumerate() {
            let reply = message::reply(step.reply.get().as_bytes()).unwrap();
            let place = format!("{}, step {at}", vector.name);
            match operation.step(&step.moment.moment(), reply) {
                Ok(AnyStep::Perform(effect)) => {
                    let expected = step.effect.as_ref().unwrap_or_else(|| panic!("{place}: {effect:?}"));
                    assert_eq!(message::effect(&effect).expose(), expected.get().as_bytes(), "{place}");
                }
                Ok(AnyStep::Done(outcome)) => {
                    let expected = step.outcome.as_ref().unwrap_or_else(|| panic!("{place}: it has ended"));
                    assert_eq!(outcome.expose(), expected.get().as_bytes(), "{place}");
                    assert_eq!(at + 1, vector.steps.len(), "{place}");
                }
                Err(misuse) => assert_eq!(Some(misuse.to_string()), step.misuse, "{place}"),
            }
        }
    }
}

#[test]
fn every_vector_replays_in_typed_values() {
    for vector in stored() {
        typed::replay(&vector);
    }
}

#[test]
fn what_is_recorded_covers_every_operation_and_has_no_name_twice() {
    let mut names: Vec<_> = all().map(|scenario| scenario.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    assert_eq!(names, stored().iter().map(|vector| vector.name.as_str()).collect::<Vec<_>>());
    for operation in OPERATIONS {
        let begun = format!("\"operation\":\"{operation}\"");
        assert!(stored().iter().any(|vector| vector.begin.get().contains(&begun)), "{operation}");
    }
}

/// A vector names no user's secret anywhere but in effects to peers, in sealed records and where it is the point.
//= spec/mcp-2026-07-28.md#sec-token-theft
//= type=test
//# Tokens MUST be stored securely, and no token, code, secret or assertion stands in a URL, a log or a
//# referrer (NET-07, all).
#[test]
fn no_failure_and_no_event_holds_a_canary() {
    for vector in stored() {
        let outcome = vector.steps.last().unwrap().outcome.as_ref().unwrap().get();
        let outcome: serde_json::Value = serde_json::from_str(outcome).unwrap();
        for part in [&outcome["failure"], &outcome["events"]] {
            assert!(!part.to_string().contains("canary"), "{}: {part}", vector.name);
        }
        for effect in vector.steps.iter().filter_map(|step| step.effect.as_ref()) {
            let is_commit = effect.get().starts_with("{\"commit\"");
            assert!(!is_commit || !effect.get().contains("canary"), "{}", vector.name);
        }
    }
}
