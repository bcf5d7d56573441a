//! `complete_connect`, `confirm_account`.

use grantway_testing::{CallbackIss, CommitFault, Endpoint, HttpFault, Lands, Response, posts_to};
use serde_json::{Value, json};

use super::{MINUTE, Scenario};
use crate::stage::{Stage, caller, with};

fn complete(arguments: Value) -> (&'static str, Value) {
    ("complete_connect", arguments)
}

fn changed(arguments: Value, change: impl Fn(&str) -> String) -> (&'static str, Value) {
    let url = change(arguments["callback_url"].as_str().unwrap_or_default());
    complete(with(arguments, "callback_url", json!(url)))
}

/// Alice reconnects, and the issuer says that she is somebody else now.
fn other_account(stage: &mut Stage) -> Value {
    stage.issuer.behave(|b| b.id_tokens = true);
    stage.connect("alice");
    stage.world.advance(MINUTE);
    let redirect = stage.begin_connect("alice");
    let url = stage.issuer.approve_as("alice-at-work", redirect["url"].as_str().unwrap_or_default());
    stage.callback("alice", &redirect, &url)
}

/// Whether the held account is the right one.
fn confirm(stage: &mut Stage, accept: bool) -> (&'static str, Value) {
    let arguments = other_account(stage);
    stage.ok("complete_connect", arguments);
    let about = json!({ "caller": caller("alice"), "connector": "notes" });
    let held = stage.ok("status_of", about.clone())["connections"][0]["held"]["held_since"].take();
    ("confirm_account", with(with(about, "held_since", held), "accept", json!(accept)))
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "complete_connect_redeems_once",
        about: "Flow found and checked, claimed by one commit, the code redeemed, the grant in place by another; then the outcome.",
        play: |stage| complete(stage.approved("alice")),
    },
    Scenario {
        name: "complete_connect_grants_less",
        about: "The issuer grants fewer scopes than were asked for: connected, and `missing` says what is not there.",
        play: |stage| {
            stage.mcp.behave(|b| b.challenged_scope = Some("files:read files:write".into()));
            stage.issuer.behave(|b| b.grantable_scopes = Some(vec!["files:read".into()]));
            complete(stage.approved("alice"))
        },
    },
    Scenario {
        name: "complete_connect_in_the_process",
        about: "A flow bound to a process: it shows the secret it was given; no cookie.",
        play: |stage| {
            stage.configure(&json!({ "base_url": null }));
            let binding = json!({ "process": { "redirect_uri": "http://127.0.0.1:7777/callback" } });
            let begin = json!({ "caller": caller("alice"), "connector": "notes", "binding": binding });
            let redirect = stage.ok("begin_connect", begin);
            let url = stage.issuer.approve_as("alice", redirect["url"].as_str().unwrap_or_default());
            let arguments = json!({ "caller": caller("alice"), "callback_url": url });
            complete(with(arguments, "process_secret", redirect["process_secret"].clone()))
        },
    },
    Scenario {
        name: "complete_connect_issuer_mismatch",
        about: "The callback names another issuer: nothing is sent, nothing changes, and the genuine callback still works.",
        play: |stage| {
            let arguments = stage.approved("alice");
            changed(arguments, |url| {
                url.replace("iss=https%3A%2F%2Fas.good", "iss=https%3A%2F%2Fevil.example")
            })
        },
    },
    Scenario {
        name: "complete_connect_issuer_missing",
        about: "The issuer promised `iss` and did not send it.",
        play: |stage| {
            stage.issuer.behave(|b| b.callback_iss = CallbackIss::Absent);
            complete(stage.approved("alice"))
        },
    },
    Scenario {
        name: "complete_connect_on_another_path",
        about: "An issuer without `iss` has a callback path of its own, and only there its callbacks are taken.",
        play: |stage| {
            stage.issuer.behave(|b| {
                b.advertises_iss = false;
                b.callback_iss = CallbackIss::Absent;
            });
            let arguments = stage.approved("alice");
            changed(arguments, |url| {
                let query = url.split_once('?').map_or("", |(_, query)| query);
                format!("https://gw.good/callback?{query}")
            })
        },
    },
    Scenario {
        name: "complete_connect_in_another_browser",
        about: "Without the cookie of the browser that began the flow nothing is taken.",
        play: |stage| {
            let arguments = stage.approved("alice");
            complete(with(arguments, "cookies", Value::Null))
        },
    },
    Scenario {
        name: "complete_connect_by_somebody_else",
        about: "Mallory's callback in Alice's session connects nothing.",
        play: |stage| {
            let arguments = stage.approved("mallory");
            complete(with(arguments, "caller", caller("alice")))
        },
    },
    Scenario {
        name: "complete_connect_parameter_twice",
        about: "A callback with a parameter twice is refused before any record is read.",
        play: |stage| {
            let arguments = stage.approved("alice");
            changed(arguments, |url| format!("{url}&code=another"))
        },
    },
    Scenario {
        name: "complete_connect_state_unknown",
        about: "A state that the engine did not make names no tenant, so nothing is read.",
        play: |stage| {
            let arguments = stage.approved("alice");
            changed(arguments, |url| url.replace("state=", "state=A"))
        },
    },
    Scenario {
        name: "complete_connect_too_late",
        about: "The attempt has ended: that is committed before it is said, so that a clock set back does not revive it.",
        play: |stage| {
            let arguments = stage.approved("alice");
            stage.world.advance(11 * MINUTE);
            complete(arguments)
        },
    },
    Scenario {
        name: "complete_connect_a_second_time",
        about: "A code is redeemed once; the callback that comes again is told so.",
        play: |stage| {
            let arguments = stage.approved("alice");
            stage.ok("complete_connect", arguments.clone());
            complete(arguments)
        },
    },
    Scenario {
        name: "complete_connect_declined",
        about: "The person declined at the issuer: the flow is ended by a commit, nothing is sent.",
        play: |stage| {
            let redirect = stage.begin_connect("alice");
            let url = stage.issuer.deny(redirect["url"].as_str().unwrap_or_default());
            complete(stage.callback("alice", &redirect, &url))
        },
    },
    Scenario {
        name: "complete_connect_code_refused",
        about: "The issuer answers `invalid_grant` to the code.",
        play: |stage| {
            let body = json!({ "error": "invalid_grant", "error_description": "the code has ended" });
            stage.issuer.answer_instead(Endpoint::Token, 1, Response::json(400, &body));
            complete(stage.approved("alice"))
        },
    },
    Scenario {
        name: "complete_connect_answer_lost",
        about: "The token request may have arrived: it is never sent again, and the outcome says so.",
        play: |stage| {
            stage.world.on_http("/token", 1, HttpFault::Lost { processed: true });
            complete(stage.approved("alice"))
        },
    },
    Scenario {
        name: "complete_connect_claim_unknown_and_lost",
        about: "The claim's commit was lost without an answer: read again, not found to be ours, claimed again, redeemed once.",
        play: |stage| {
            let arguments = stage.approved("alice");
            stage.world.on_commit(1, CommitFault::Unknown(Lands::Never));
            complete(arguments)
        },
    },
    Scenario {
        name: "complete_connect_save_unknown_and_landed",
        about: "The tokens' commit landed, its answer did not: the engine knows its own write and does not redeem again.",
        play: |stage| {
            let arguments = stage.approved("alice");
            stage.world.on_commit(2, CommitFault::Unknown(Lands::Now));
            complete(arguments)
        },
    },
    Scenario {
        name: "complete_connect_disconnected_meanwhile",
        about: "A disconnect overtakes the token request: the new tokens are parked, revoked, and the flow is superseded.",
        play: |stage| {
            let arguments = stage.approved("alice");
            // Flow; flow and connection; claim; the token request.
            stage.before_effect(4, |stage| {
                stage.ok("disconnect", json!({ "caller": caller("alice"), "connector": "notes" }));
            });
            complete(arguments)
        },
    },
    Scenario {
        name: "complete_connect_as_another_account",
        about: "A reconnect arrives as another account: it is held, and the former one stays until the owner confirms.",
        play: |stage| complete(other_account(stage)),
    },
    Scenario {
        name: "complete_connect_replaces_a_grant",
        about: "A reconnect: the former tokens go to the outbox in the commit that brings the new ones, and are revoked.",
        play: |stage| {
            stage.connect("alice");
            stage.world.advance(MINUTE);
            complete(stage.approved("alice"))
        },
    },
    Scenario {
        name: "confirm_account_accepts",
        about: "The held account is taken, and the former one's tokens are revoked.",
        play: |stage| confirm(stage, true),
    },
    Scenario {
        name: "confirm_account_refuses",
        about: "The held account is sent back: its tokens are revoked, the former one stays.",
        play: |stage| confirm(stage, false),
    },
    Scenario {
        name: "confirm_account_already_decided",
        about: "Named by the time since when it is held: what was decided meanwhile is not decided again.",
        play: |stage| {
            let (operation, arguments) = confirm(stage, true);
            stage.ok(operation, arguments.clone());
            (operation, arguments)
        },
    },
    Scenario {
        name: "complete_connect_unreadable_answer",
        about: "A 200 that cannot be read, here not even text: the reply has its body as base64url, and the code is spent.",
        play: |stage| {
            let answer = Response::new(200).header("Content-Type", "application/json");
            let body = Response { body: vec![0xff, 0xfe, 0x7b], ..answer };
            stage.issuer.answer_after_processing(Endpoint::Token, 1, body);
            let arguments = stage.approved("alice");
            complete(arguments)
        },
    },
    Scenario {
        name: "complete_connect_beside_another",
        about: "Two callbacks of one flow at once: whoever loses the claim is told that the flow was used.",
        play: |stage| {
            let arguments = stage.approved("alice");
            let first = stage.pause("complete_connect", arguments.clone(), posts_to("/token"));
            // Flow; flow and connection: the second reads while the first redeems.
            stage.before_effect(1, |stage| {
                stage.resume(first);
            });
            complete(arguments)
        },
    },
];
