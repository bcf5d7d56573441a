//! `disconnect`, `import_grant`, `purge`, `sweep`.

use grantway_testing::{CommitFault, Endpoint, Lands, Response};
use serde_json::{Value, json};

use super::{HOUR, MINUTE, Scenario};
use crate::stage::{ISSUER, admin, caller, with};

fn disconnect(by: Value) -> (&'static str, Value) {
    ("disconnect", json!({ "caller": by, "connector": "notes" }))
}

fn import(now: u64) -> Value {
    json!({
        "caller": caller("alice"),
        "connector": "notes",
        "access_token": "canary-imported-access",
        "refresh_token": "canary-imported-refresh",
        "expires_at": now + HOUR,
        "scopes": ["files:read"],
        "issuer": ISSUER,
        "token_endpoint": "https://as.good/token",
        "revocation_endpoint": "https://as.good/revoke",
        "client_id": "elsewhere",
        "auth_method": "none",
        "resource": "https://mcp.good/mcp",
    })
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "disconnect_revokes",
        about: "One commit makes the connection unusable and parks its tokens; then they are revoked, the refresh token first, and forgotten.",
        play: |stage| {
            stage.connect("alice");
            disconnect(caller("alice"))
        },
    },
    Scenario {
        name: "disconnect_revocation_unavailable",
        about: "The issuer cannot be asked: disconnected all the same, and `sweep` tries again.",
        play: |stage| {
            stage.connect("alice");
            stage.issuer.answer_instead(Endpoint::Revoke, 2, Response::new(503));
            disconnect(caller("alice"))
        },
    },
    Scenario {
        name: "disconnect_revocation_not_offered",
        about: "The issuer offers no revocation: the tokens live until they end by themselves, and the outcome says so.",
        play: |stage| {
            stage.issuer.behave(|b| b.revocation = false);
            stage.connect("alice");
            disconnect(caller("alice"))
        },
    },
    Scenario {
        name: "disconnect_nothing",
        about: "There is nothing to disconnect: idempotent.",
        play: |_| disconnect(caller("alice")),
    },
    Scenario {
        name: "disconnect_by_an_administrator",
        about: "An administrator takes away what is somebody else's.",
        play: |stage| {
            stage.connect("alice");
            let (operation, arguments) = disconnect(admin());
            (operation, with(arguments, "owner", json!({ "kind": "user", "id": "alice" })))
        },
    },
    Scenario {
        name: "disconnect_not_allowed",
        about: "Nobody else may; nothing is read.",
        play: |stage| {
            stage.connect("alice");
            let (operation, arguments) = disconnect(caller("bob"));
            (operation, with(arguments, "owner", json!({ "kind": "user", "id": "alice" })))
        },
    },
    Scenario {
        name: "disconnect_commit_unknown_and_lost",
        about: "The commit that empties the connection was lost: nothing is revoked before it is known to be there.",
        play: |stage| {
            stage.connect("alice");
            stage.world.on_commit(1, CommitFault::Unknown(Lands::Never));
            disconnect(caller("alice"))
        },
    },
    Scenario {
        name: "sweep_finishes_a_revocation",
        about: "A disconnect whose issuer could not be asked is finished later: the parked tokens are revoked and forgotten.",
        play: |stage| {
            stage.connect("alice");
            stage.issuer.answer_instead(Endpoint::Revoke, 2, Response::new(503));
            let (operation, arguments) = disconnect(caller("alice"));
            stage.ok(operation, arguments);
            stage.world.advance(HOUR);
            ("sweep", json!({ "tenant": "acme" }))
        },
    },
    Scenario {
        name: "sweep_removes_what_has_ended",
        about: "An attempt that nobody finished, and the link it began with.",
        play: |stage| {
            stage.ok("resolve", json!({ "caller": caller("bob"), "connector": "notes" }));
            stage.begin_connect("alice");
            stage.world.advance(HOUR);
            ("sweep", json!({ "tenant": "acme", "limit": 50 }))
        },
    },
    Scenario {
        name: "purge_an_owner",
        about: "All that a user has: the connection is emptied and its tokens are parked, the rest is removed.",
        play: |stage| {
            stage.connect("alice");
            let secret = json!({ "caller": caller("alice"), "name": "key", "value": "canary-api-key" });
            stage.ok("store_secret", secret);
            ("purge", json!({ "caller": admin(), "what": { "owner": { "kind": "user", "id": "alice" } } }))
        },
    },
    Scenario {
        name: "purge_a_tenant",
        about: "Everything of a tenant, a page at a call: this is the first.",
        play: |stage| {
            stage.connect("alice");
            ("purge", json!({ "caller": admin(), "what": "tenant" }))
        },
    },
    Scenario {
        name: "purge_not_allowed",
        about: "For administrators, and nobody else.",
        play: |_| ("purge", json!({ "caller": caller("alice"), "what": { "connector": "notes" } })),
    },
    Scenario {
        name: "import_grant_takes_it_over",
        about: "Tokens that were obtained elsewhere become an ordinary grant.",
        play: |stage| ("import_grant", import(stage.world.now().0)),
    },
    Scenario {
        name: "import_grant_replaces_and_revokes",
        about: "Tokens of a former grant are revoked.",
        play: |stage| {
            stage.connect("alice");
            stage.world.advance(MINUTE);
            ("import_grant", import(stage.world.now().0))
        },
    },
    Scenario {
        name: "import_grant_for_another_server",
        about: "Tokens for a resource that does not cover the connector's server are not acceptable.",
        play: |stage| {
            let arguments = import(stage.world.now().0);
            ("import_grant", with(arguments, "resource", json!("https://elsewhere.example/mcp")))
        },
    },
];
