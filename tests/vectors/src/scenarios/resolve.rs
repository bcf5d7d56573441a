//! `resolve` without a refresh, `preflight`, and `status_of`, `list_connections`.

use grantway_core::store::Kind;
use grantway_testing::{Endpoint, Issuer, Response};
use serde_json::{Value, json};

use super::{HOUR, MINUTE, Scenario};
use crate::stage::{SERVER, Stage, admin, caller, with};

fn resolve(user: &str) -> (&'static str, Value) {
    ("resolve", json!({ "caller": caller(user), "connector": "notes" }))
}

/// Alice, of the team `red`.
fn of_red(role: &str) -> Value {
    with(caller("alice"), "teams", json!([{ "id": "red", "role": role }]))
}

/// A connector whose precedence names the team first, and the team's connection.
fn shared(stage: &mut Stage) {
    let connector = json!({
        "upstream": { "server": { "url": SERVER } },
        "precedence": ["personal", "team"],
        "sharing": true,
    });
    stage.connector("notes", connector);
    let team = json!({ "kind": "team", "id": "red" });
    let begin = json!({ "caller": of_red("manager"), "connector": "notes", "owner": team });
    let redirect = stage.ok("begin_connect", begin);
    let url = stage.issuer.approve_as("red-bot", redirect["url"].as_str().unwrap_or_default());
    let arguments = stage.callback("alice", &redirect, &url);
    stage.ok("complete_connect", with(arguments, "caller", of_red("manager")));
}

/// A connector that draws on an account, a stored secret and a fixed text.
fn drawing(stage: &mut Stage) {
    let account = json!({ "upstream": { "account": { "issuer": "https://as.cloud" } } });
    let cloud = Issuer::new("https://as.cloud");
    cloud.behave(|b| b.requires_resource = false);
    stage.world.host("https://as.cloud", cloud.clone());
    stage.connector("cloud", account);
    let redirect = stage.ok("begin_connect", json!({ "caller": caller("alice"), "connector": "cloud" }));
    let url = cloud.approve_as("alice", redirect["url"].as_str().unwrap_or_default());
    let arguments = stage.callback("alice", &redirect, &url);
    stage.ok("complete_connect", arguments);
    stage.connector("notes", json!({
        "upstream": { "server": { "url": SERVER } },
        "injections": [
            { "target": { "header": "Authorization" }, "source": { "account": "cloud" }, "prefix": "Bearer " },
            { "target": { "env": "NOTES_KEY" }, "source": { "secret": { "name": "key", "of": "user" } } },
            { "target": { "header": "X-Client" }, "source": { "static": "grantway" } },
        ],
    }));
}

fn store_key(stage: &mut Stage) {
    let owner = json!({ "kind": "user", "id": "alice" });
    let arguments =
        json!({ "caller": caller("alice"), "owner": owner, "name": "key", "value": "canary-api-key" });
    stage.ok("store_secret", arguments);
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "resolve_gives_a_credential",
        about: "One read, and the credential with whose it is and why.",
        play: |stage| {
            stage.connect("alice");
            resolve("alice")
        },
    },
    Scenario {
        name: "resolve_asks_to_connect",
        about: "No connection: a challenge, with a link to our own page that carries a ticket of this caller's.",
        play: |_| resolve("alice"),
    },
    Scenario {
        name: "resolve_uses_a_live_ticket_again",
        about: "Asked again soon: the same link, and nothing is written.",
        play: |stage| {
            let (operation, arguments) = resolve("alice");
            stage.ok(operation, arguments.clone());
            stage.world.advance(MINUTE);
            (operation, arguments)
        },
    },
    Scenario {
        name: "resolve_without_pages",
        about: "An engine without a base URL: the challenge has a ticket for `begin_connect`, and no link.",
        play: |stage| {
            stage.configure(&json!({ "base_url": null }));
            resolve("alice")
        },
    },
    Scenario {
        name: "resolve_uses_the_teams",
        about: "The connector's precedence decides; the attribution says whose credential it is.",
        play: |stage| {
            shared(stage);
            ("resolve", json!({ "caller": of_red("member"), "connector": "notes" }))
        },
    },
    Scenario {
        name: "resolve_for_an_outsider",
        about: "Bob is in no team: he is asked to connect his own account, and nothing tells him of the team's.",
        play: |stage| {
            shared(stage);
            resolve("bob")
        },
    },
    Scenario {
        name: "resolve_draws_on_account_and_secret",
        about: "Several injections: the token of an account connector, a stored secret, a fixed text.",
        play: |stage| {
            drawing(stage);
            store_key(stage);
            resolve("alice")
        },
    },
    Scenario {
        name: "resolve_secret_missing",
        about: "A secret that nobody has stored is a challenge of its own, by its name.",
        play: |stage| {
            drawing(stage);
            resolve("alice")
        },
    },
    Scenario {
        name: "resolve_suspended",
        about: "Policy has withdrawn the right: connecting again does not help, so there is no link.",
        play: |stage| {
            stage.connect("alice");
            let owner = json!({ "kind": "user", "id": "alice" });
            stage.ok("suspend", json!({ "caller": admin(), "owner": owner, "connector": "notes" }));
            resolve("alice")
        },
    },
    Scenario {
        name: "resolve_ended_for_good",
        about: "The token has ended and the issuer gave nothing to refresh it with.",
        play: |stage| {
            stage.issuer.behave(|b| b.refresh_tokens = false);
            stage.connect("alice");
            stage.world.advance(2 * HOUR);
            resolve("alice")
        },
    },
    Scenario {
        name: "resolve_tampered_record",
        about: "One bit of the stored connection is not as it was sealed.",
        play: |stage| {
            stage.connect("alice");
            let key = stage.world.store.rows_of(Kind::Connection)[0].0.clone();
            stage.world.store.flip_bit(&key, 400);
            resolve("alice")
        },
    },
    Scenario {
        name: "resolve_swapped_records",
        about: "Bob's row in Alice's place does not open: a record is sealed for its key.",
        play: |stage| {
            stage.connect("alice");
            stage.connect("bob");
            let keys: Vec<_> =
                stage.world.store.rows_of(Kind::Connection).iter().map(|(key, _)| (*key).clone()).collect();
            stage.world.store.swap(&keys[0], &keys[1]);
            resolve("alice")
        },
    },
    Scenario {
        name: "resolve_turned_keyring",
        about: "A record sealed under an older key of the ring opens.",
        play: |stage| {
            stage.connect("alice");
            let older = json!({ "id": 1, "key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8" });
            let current = json!({ "id": 2, "key": "QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8" });
            let routing = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8";
            stage.configure(
                &json!({ "keyring": { "current": current, "older": [older], "routing": routing } }),
            );
            resolve("alice")
        },
    },
    Scenario {
        name: "resolve_store_unavailable",
        about: "The store does not answer: nothing is lost, a retry may help.",
        play: |stage| {
            stage.world.on_read(1);
            resolve("alice")
        },
    },
    Scenario {
        name: "resolve_misuse",
        about: "A reply that does not answer the pending effect is refused and changes nothing: the right one may follow.",
        play: |stage| {
            stage.connect("alice");
            stage.misuse_at(0, json!({ "woke": { "after_ms": 1 } }));
            stage.misuse_at(1, json!({ "read": { "found": [] } }));
            resolve("alice")
        },
    },
    Scenario {
        name: "preflight_says_all_at_once",
        about: "Several upstreams: an account and a secret that are missing, a connector that is not there; each thing once.",
        play: |stage| {
            drawing(stage);
            stage.connector(
                "files",
                json!({ "upstream": { "server": { "url": "https://files.example/mcp" } } }),
            );
            ("preflight", json!({ "caller": caller("bob"), "connectors": ["notes", "files", "nothing"] }))
        },
    },
    Scenario {
        name: "preflight_finds_nothing_missing",
        about: "What is due is refreshed on the way, and no credential is handed out.",
        play: |stage| {
            stage.connect("alice");
            stage.world.advance(HOUR);
            ("preflight", json!({ "caller": caller("alice"), "connectors": ["notes"] }))
        },
    },
    Scenario {
        name: "preflight_later",
        about: "The issuer asks for patience: nobody has to do anything.",
        play: |stage| {
            stage.connect("alice");
            stage.world.advance(HOUR);
            let later = Response::new(503).header("Retry-After", "120");
            stage.issuer.answer_instead(Endpoint::Token, 1, later);
            ("preflight", json!({ "caller": caller("alice"), "connectors": ["notes"] }))
        },
    },
    Scenario {
        name: "status_of_a_connection",
        about: "Derived from the records: where it stands, in four words and in full, and what can be done about it.",
        play: |stage| {
            stage.connect("alice");
            ("status_of", json!({ "caller": caller("alice"), "connector": "notes" }))
        },
    },
    Scenario {
        name: "status_of_nothing",
        about: "Never connected.",
        play: |_| ("status_of", json!({ "caller": caller("alice"), "connector": "notes" })),
    },
    Scenario {
        name: "status_of_what_is_missing",
        about: "A connector that draws on an account and on a secret: the account's connection, and the secret's name.",
        play: |stage| {
            drawing(stage);
            ("status_of", json!({ "caller": caller("alice"), "connector": "notes" }))
        },
    },
    Scenario {
        name: "list_connections_of_the_caller",
        about: "A person's own connections.",
        play: |stage| {
            stage.connect("alice");
            ("list_connections", json!({ "caller": caller("alice"), "limit": 20 }))
        },
    },
    Scenario {
        name: "list_connections_of_a_connector",
        about: "Everybody's connections to one upstream, for an administrator, a page at a time.",
        play: |stage| {
            stage.connect("alice");
            stage.connect("bob");
            ("list_connections", json!({ "caller": admin(), "of": { "connector": "notes" }, "limit": 1 }))
        },
    },
];
