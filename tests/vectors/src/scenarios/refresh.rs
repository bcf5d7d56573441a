//! Refresh, inside `resolve` and by `refresh_due`.

use grantway_core::operation::NotSent;
use grantway_testing::{CommitFault, Endpoint, HttpFault, Lands, Response, Rotation, posts_to};
use serde_json::{Value, json};

use super::{HOUR, Scenario};
use crate::stage::{SERVER, Stage, caller, with};

fn resolve() -> (&'static str, Value) {
    ("resolve", json!({ "caller": caller("alice"), "connector": "notes" }))
}

/// Alice connected an hour ago.
fn expired(stage: &mut Stage) -> (&'static str, Value) {
    stage.connect("alice");
    stage.world.advance(HOUR);
    resolve()
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "refresh_rotates",
        about: "Lease by one commit, the refresh token sent once, the new tokens durable before one is given out.",
        play: expired,
    },
    Scenario {
        name: "refresh_without_rotation",
        about: "An answer without a refresh token leaves the old one in place.",
        play: |stage| {
            stage.issuer.behave(|b| b.rotation = Rotation::Never);
            expired(stage)
        },
    },
    Scenario {
        name: "refresh_invalid_grant",
        about: "The issuer says that the grant is dead: that is written down, and a person is asked once.",
        play: |stage| {
            stage.connect("alice");
            stage.issuer.end_grants_of("alice");
            stage.world.advance(HOUR);
            resolve()
        },
    },
    Scenario {
        name: "refresh_answer_lost_once",
        about: "No answer: the same token is sent once more, at once, under a new attempt; this time it works.",
        play: |stage| {
            stage.world.on_http("/token", 2, HttpFault::Lost { processed: false });
            expired(stage)
        },
    },
    Scenario {
        name: "refresh_in_doubt",
        about: "No answer twice: nobody knows what the token is worth, so it is never sent again and a person is asked.",
        play: |stage| {
            stage.world.on_http("/token", 2, HttpFault::Lost { processed: true });
            stage.world.on_http("/token", 3, HttpFault::Lost { processed: true });
            expired(stage)
        },
    },
    Scenario {
        name: "refresh_never_repeated",
        about: "A dialect may forbid the second attempt: where a replay revokes more than this grant.",
        play: |stage| {
            let connector =
                json!({ "upstream": { "server": { "url": SERVER } }, "dialect": { "in_doubt": "never" } });
            stage.connector("notes", connector);
            stage.world.on_http("/token", 2, HttpFault::Lost { processed: true });
            expired(stage)
        },
    },
    Scenario {
        name: "refresh_not_sent",
        about: "Surely nothing has left: the attempt is given back, and the outcome is `transient`.",
        play: |stage| {
            let fault = HttpFault::NotSent(NotSent::Unreachable);
            stage.world.on_http("/token", 2, fault);
            expired(stage)
        },
    },
    Scenario {
        name: "refresh_later",
        about: "503 with `Retry-After`: the issuer's brake is written down, and the outcome is `transient`.",
        play: |stage| {
            let request = expired(stage);
            let later = Response::new(503).header("Retry-After", "120");
            stage.issuer.answer_instead(Endpoint::Token, 1, later);
            request
        },
    },
    Scenario {
        name: "refresh_braked",
        about: "While the issuer's brake holds, nothing is sent to it.",
        play: |stage| {
            let request = expired(stage);
            let later = Response::new(503).header("Retry-After", "120");
            stage.issuer.answer_instead(Endpoint::Token, 1, later);
            stage.ok(request.0, request.1.clone());
            stage.world.advance(1_000);
            request
        },
    },
    Scenario {
        name: "refresh_adopts_anothers",
        about: "Another worker holds the lease: sleep, read again, and use what it has saved.",
        play: |stage| {
            let (operation, arguments) = expired(stage);
            let other = stage.pause(operation, arguments.clone(), posts_to("/token"));
            // Connector and connections; lease; the sleep.
            stage.before_effect(3, |stage| {
                stage.resume(other);
            });
            (operation, arguments)
        },
    },
    Scenario {
        name: "refresh_waits_no_longer",
        about: "The holder of the lease does not come back: after `wait_ms` the outcome is `transient` and says what was seen.",
        play: |stage| {
            let (operation, arguments) = expired(stage);
            drop(stage.pause(operation, arguments.clone(), posts_to("/token")));
            (operation, with(arguments, "wait_ms", json!(150)))
        },
    },
    Scenario {
        name: "refresh_takes_over",
        about: "What was seen of the lease is handed in again with the time that has passed: longer than a lease, so its holder is gone, whatever the clocks say.",
        play: |stage| {
            let (operation, arguments) = expired(stage);
            drop(stage.pause(operation, arguments.clone(), posts_to("/token")));
            let seen = stage.ok(operation, with(arguments.clone(), "wait_ms", json!(150)));
            let mut observed = seen["transient"]["observed"].clone();
            observed["for_ms"] = json!(60_001);
            (operation, with(arguments, "observed", observed))
        },
    },
    Scenario {
        name: "refresh_save_unknown_and_landed",
        about: "The commit of the new tokens landed, its answer did not: they are known again and never fetched anew.",
        play: |stage| {
            let request = expired(stage);
            stage.world.on_commit(2, CommitFault::Unknown(Lands::Now));
            request
        },
    },
    Scenario {
        name: "refresh_save_conflict",
        about: "The connection has changed meanwhile: the new tokens are kept, and committed with the version just read.",
        play: |stage| {
            let request = expired(stage);
            stage.world.on_commit(2, CommitFault::Conflict);
            request
        },
    },
    Scenario {
        name: "refresh_due_keeps_grants_alive",
        about: "The index names what is due: one grant is refreshed without anybody asking for it.",
        play: |stage| {
            stage.connect("alice");
            stage.connect("bob");
            stage.world.advance(HOUR);
            ("refresh_due", json!({ "tenant": "acme", "limit": 1 }))
        },
    },
    Scenario {
        name: "refresh_due_nothing",
        about: "Nothing is due yet.",
        play: |stage| {
            stage.connect("alice");
            ("refresh_due", json!({ "tenant": "acme" }))
        },
    },
];
