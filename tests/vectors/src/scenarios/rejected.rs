//! `report_rejected`.

use serde_json::{Value, json};

use super::{MINUTE, Scenario};
use crate::stage::{Stage, caller};

const INVALID: &str = "Bearer error=\"invalid_token\"";
const INSUFFICIENT: &str = "Bearer error=\"insufficient_scope\", scope=\"files:write\", \
    resource_metadata=\"https://mcp.good/.well-known/oauth-protected-resource/mcp\"";

fn report(generation: u64, status: u16, challenge: &str) -> (&'static str, Value) {
    let arguments = json!({
        "caller": caller("alice"),
        "connector": "notes",
        "generation": generation,
        "operation": "tools/call search",
        "status": status,
        "headers": [["WWW-Authenticate", challenge]],
    });
    ("report_rejected", arguments)
}

fn reported(stage: &mut Stage, request: (&'static str, Value)) {
    stage.ok(request.0, request.1);
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "report_rejected_refreshes_once",
        about: "401: the generation that was used is refreshed, and the call is to be made once more.",
        play: |stage| {
            stage.connect("alice");
            report(1, 401, INVALID)
        },
    },
    Scenario {
        name: "report_rejected_newer_generation",
        about: "401 of a generation that is not the newest any more: use the newest, and send nothing.",
        play: |stage| {
            stage.connect("alice");
            reported(stage, report(1, 401, INVALID));
            report(1, 401, INVALID)
        },
    },
    Scenario {
        name: "report_rejected_again",
        about: "The generation that a 401 brought about is rejected as well: the server is asked who its issuer is, then a person.",
        play: |stage| {
            stage.connect("alice");
            reported(stage, report(1, 401, INVALID));
            report(2, 401, INVALID)
        },
    },
    Scenario {
        name: "report_rejected_issuer_changed",
        about: "The server names another issuer now: nothing of the old one's is ever sent there.",
        play: |stage| {
            stage.issuer.behave(|b| b.refresh_tokens = false);
            stage.connect("alice");
            let other = grantway_testing::Issuer::new("https://as.other");
            stage.world.host("https://as.other", other.clone());
            stage.mcp.behave(|b| b.issuers = vec![other]);
            stage.world.advance(MINUTE);
            report(1, 401, INVALID)
        },
    },
    Scenario {
        name: "report_rejected_without_a_credential",
        about: "The call was made without: a challenge with what the server's own challenge says.",
        play: |_| report(0, 401, "Bearer scope=\"files:read\""),
    },
    Scenario {
        name: "report_rejected_step_up",
        about: "403 `insufficient_scope`: a challenge with the union of what was requested and what is wanted, never a refresh.",
        play: |stage| {
            stage.mcp.behave(|b| b.challenged_scope = Some("files:read".into()));
            stage.connect("alice");
            report(1, 403, INSUFFICIENT)
        },
    },
    Scenario {
        name: "report_rejected_step_ups_spent",
        about: "A server that keeps asking for more: after two step-ups an hour that is the person's matter no more.",
        play: |stage| {
            stage.connect("alice");
            reported(stage, report(1, 403, INSUFFICIENT));
            stage.world.advance(MINUTE);
            reported(stage, report(1, 403, INSUFFICIENT));
            stage.world.advance(MINUTE);
            report(1, 403, INSUFFICIENT)
        },
    },
    Scenario {
        name: "report_rejected_other_403",
        about: "Not about authorization: nothing is read, hand the response on.",
        play: |stage| {
            stage.connect("alice");
            report(1, 403, "Basic realm=\"notes\"")
        },
    },
];
