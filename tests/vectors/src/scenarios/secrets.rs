//! `store_secret`, `list_secrets`, `delete_secret`.

use grantway_testing::CommitFault;
use serde_json::{Value, json};

use super::Scenario;
use crate::stage::{Stage, caller, with};

fn about(name: &str) -> Value {
    json!({ "caller": caller("alice"), "owner": { "kind": "user", "id": "alice" }, "name": name })
}

fn store(name: &str, value: &str) -> (&'static str, Value) {
    ("store_secret", with(about(name), "value", json!(value)))
}

fn stored(stage: &mut Stage, name: &str) {
    let (operation, arguments) = store(name, "canary-api-key");
    stage.ok(operation, arguments);
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "store_secret_seals_it",
        about: "It leaves the engine sealed, and never comes out again but in a resolution.",
        play: |_| store("key", "canary-api-key"),
    },
    Scenario {
        name: "store_secret_refused",
        about: "A value with a line break is no header: refused by the name of the field, without showing it.",
        play: |_| store("key", "canary\r\nX-Evil: 1"),
    },
    Scenario {
        name: "store_secret_for_somebody_else",
        about: "Only who manages the owner may; nothing is read.",
        play: |_| {
            let (operation, arguments) = store("key", "canary-api-key");
            (operation, with(arguments, "caller", caller("bob")))
        },
    },
    Scenario {
        name: "store_secret_store_unavailable",
        about: "Surely nothing was written.",
        play: |stage| {
            stage.world.on_commit(1, CommitFault::Unavailable);
            store("key", "canary-api-key")
        },
    },
    Scenario {
        name: "list_secrets_by_name",
        about: "Names, times and who stored them.",
        play: |stage| {
            stored(stage, "key");
            stored(stage, "other");
            ("list_secrets", json!({ "caller": caller("alice"), "limit": 10 }))
        },
    },
    Scenario {
        name: "delete_secret_that_is_there",
        about: "Says that there was one.",
        play: |stage| {
            stored(stage, "key");
            ("delete_secret", about("key"))
        },
    },
    Scenario {
        name: "delete_secret_that_is_not",
        about: "Says that there was none.",
        play: |_| ("delete_secret", about("key")),
    },
];
