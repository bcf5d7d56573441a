//! `put_connector`, `delete_connector`, `list_connectors`, `suspend`, `restore`.

use serde_json::{Value, json};

use super::Scenario;
use crate::stage::{SERVER, Stage, admin, caller, with};

fn put(connector: Value) -> (&'static str, Value) {
    ("put_connector", json!({ "caller": admin(), "id": "files", "connector": connector }))
}

fn server(url: &str) -> Value {
    json!({ "upstream": { "server": { "url": url } } })
}

fn about_alice() -> Value {
    json!({ "caller": admin(), "owner": { "kind": "user", "id": "alice" }, "connector": "notes" })
}

fn suspended(stage: &mut Stage) {
    stage.connect("alice");
    stage.ok("suspend", about_alice());
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "put_connector_stores_it",
        about: "Every member but `upstream` has a default, and the defaults are the strict ones.",
        play: |_| put(server("https://files.example/mcp")),
    },
    Scenario {
        name: "put_connector_with_everything",
        about: "All members said, with the secret of a static registration.",
        play: |_| {
            let connector = json!({
                "upstream": { "server": { "url": "https://files.example/mcp", "issuer": "https://as.example" } },
                "precedence": ["personal", "team", "org", { "agent": "bot" }],
                "sharing": true,
                "broken_personal_falls_back": true,
                "minimum_assurance": "possession",
                "registration": {
                    "issuer": "https://as.example",
                    "client_id": "by-hand",
                    "auth_method": "client_secret_post",
                },
                "scopes": ["files:read"],
                "scope_limit": ["files:read", "files:write"],
                "injections": [
                    { "target": { "header": "Authorization" }, "source": "connection", "prefix": "Bearer " },
                    { "target": { "header": "X-Account" }, "source": { "account": "cloud" } },
                    { "target": { "env": "KEY" }, "source": { "secret": { "name": "key", "of": "org" } } },
                    { "target": { "header": "X-Client" }, "source": { "static": "grantway" } },
                ],
                "address_policy": { "allow": ["10.1.0.0/16", "fd00::/8"] },
                "resource": { "explicit": "https://files.example/mcp" },
                "authorize_params": [["prompt", "consent"]],
                "dialect": { "in_doubt": "never" },
                "waivers": {
                    "danger_s256_unadvertised": true,
                    "danger_trusted_issuers": [["https://as.example", "https://as2.example"]],
                    "danger_endpoint_origins": ["https://token.example"],
                    "danger_legacy_discovery": true,
                    "danger_foreign_resource_metadata": true,
                },
                "own_callback_path": true,
            });
            let (operation, arguments) = put(connector);
            let arguments = with(arguments, "client_secret", json!("canary-client-secret"));
            (operation, with(arguments, "expected_revision", json!(0)))
        },
    },
    Scenario {
        name: "put_connector_refused",
        about: "Not acceptable: the result names the field, and nothing is read.",
        play: |_| put(server("http://files.example/mcp")),
    },
    Scenario {
        name: "put_connector_changed_meanwhile",
        about: "Another revision is there than the change was made from.",
        play: |stage| {
            let (operation, arguments) = put(server("https://files.example/mcp"));
            stage.ok(operation, arguments.clone());
            (operation, with(arguments, "expected_revision", json!(7)))
        },
    },
    Scenario {
        name: "put_connector_unchanged",
        about: "It is what was there already: nothing is written.",
        play: |stage| {
            let (operation, arguments) = put(server("https://files.example/mcp"));
            stage.ok(operation, arguments.clone());
            (operation, arguments)
        },
    },
    Scenario {
        name: "put_connector_from_a_file",
        about: "A configuration file only seeds: what an administrator has looked at stays.",
        play: |_| {
            let arguments =
                json!({ "caller": admin(), "id": "notes", "connector": server("https://seed.example/") });
            ("put_connector", with(arguments, "unverified", json!(true)))
        },
    },
    Scenario {
        name: "put_connector_not_allowed",
        about: "A member may not.",
        play: |_| {
            let (operation, arguments) = put(server(SERVER));
            (operation, with(arguments, "caller", caller("alice")))
        },
    },
    Scenario {
        name: "delete_connector_that_is_there",
        about: "From then on nobody can resolve or connect it.",
        play: |_| ("delete_connector", json!({ "caller": admin(), "id": "notes" })),
    },
    Scenario {
        name: "list_connectors_by_pages",
        about: "The second page: after the cursor that the first gave.",
        play: |stage| {
            let (operation, arguments) = put(server("https://files.example/mcp"));
            stage.ok(operation, arguments);
            let page = json!({ "caller": admin(), "limit": 1 });
            let next = stage.ok("list_connectors", page.clone())["next"].take();
            ("list_connectors", with(page, "after", next))
        },
    },
    Scenario {
        name: "suspend_withdraws_the_right",
        about: "The credential stays as it is; the right to use it is gone.",
        play: |stage| {
            stage.connect("alice");
            ("suspend", about_alice())
        },
    },
    Scenario {
        name: "suspend_again",
        about: "It was so already.",
        play: |stage| {
            suspended(stage);
            ("suspend", about_alice())
        },
    },
    Scenario {
        name: "restore_gives_it_back",
        about: "Nobody has to consent again.",
        play: |stage| {
            suspended(stage);
            ("restore", about_alice())
        },
    },
];
