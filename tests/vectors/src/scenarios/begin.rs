//! `begin_connect`, `open_ticket`, `discover`.

use grantway_core::moment::UnixMillis;
use grantway_testing::{AuthMethod, CommitFault, Endpoint, Lands, Request, Response, Server, WellKnown};
use serde_json::{Value, json};

use super::{MINUTE, Scenario};
use crate::stage::{ISSUER, SERVER, Stage, admin, caller, with};

fn begin(user: &str) -> (&'static str, Value) {
    ("begin_connect", json!({ "caller": caller(user), "connector": "notes" }))
}

/// What the server says may be used for ten minutes.
fn cacheable(stage: &mut Stage, origin: &str, mut server: impl Server + 'static) {
    stage.world.network.unplug(origin);
    stage.world.host(origin, move |request: &Request, now: UnixMillis| {
        let mut response = server.handle(request, now);
        response.headers.retain(|(name, _)| name != "Cache-Control");
        response.header("Cache-Control", "max-age=600")
    });
}

/// The ticket of the challenge that the user meets.
fn ticket(stage: &mut Stage, user: &str) -> Value {
    stage.ok("resolve", json!({ "caller": caller(user), "connector": "notes" }))["challenge"]["ticket"].take()
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "begin_connect_discovers_and_registers",
        about: "Nothing is known yet: one probe, resource metadata, issuer metadata, dynamic registration; then one commit, and the redirect with its cookie.",
        play: |_| begin("alice"),
    },
    Scenario {
        name: "begin_connect_uses_what_is_known",
        about: "Another user begins a minute later: documents and registration are remembered, so nothing is sent but the probe that asks for the server's challenge.",
        play: |stage| {
            let (issuer, mcp) = (stage.issuer.clone(), stage.mcp.clone());
            cacheable(stage, ISSUER, issuer);
            cacheable(stage, "https://mcp.good", mcp);
            stage.begin_connect("alice");
            stage.world.advance(MINUTE);
            begin("bob")
        },
    },
    Scenario {
        name: "begin_connect_asks_for_uncacheable_documents_again",
        about: "The registration is remembered; documents that came with `no-store` are not used a second time.",
        play: |stage| {
            stage.begin_connect("alice");
            begin("bob")
        },
    },
    Scenario {
        name: "begin_connect_from_a_link",
        about: "With the reference of a challenge's link, which is used up in the commit that begins the flow.",
        play: |stage| {
            let ticket = ticket(stage, "alice");
            let (operation, arguments) = begin("alice");
            (operation, with(arguments, "because", ticket))
        },
    },
    Scenario {
        name: "begin_connect_from_somebody_elses_link",
        about: "A link is its principal's only; for everybody else it is not there.",
        play: |stage| {
            let ticket = ticket(stage, "alice");
            let (operation, arguments) = begin("mallory");
            (operation, with(arguments, "because", ticket))
        },
    },
    Scenario {
        name: "begin_connect_for_a_listening_process",
        about: "A program without pages of its own: loopback redirect, a secret for the process, and no cookie.",
        play: |stage| {
            stage.configure(&json!({ "base_url": null }));
            let binding = json!({ "process": { "redirect_uri": "http://127.0.0.1:7777/callback" } });
            let (operation, arguments) = begin("alice");
            (operation, with(arguments, "binding", binding))
        },
    },
    Scenario {
        name: "begin_connect_with_a_static_registration",
        about: "A client registered by hand: nothing is registered, and its secret is not in the redirect.",
        play: |stage| {
            let redirects = ["https://gw.good/callback"];
            stage.issuer.register_static(
                "by-hand",
                Some("canary-client-secret"),
                AuthMethod::Basic,
                &redirects,
            );
            let connector = json!({
                "upstream": { "server": { "url": SERVER } },
                "registration": { "issuer": ISSUER, "client_id": "by-hand", "auth_method": "client_secret_basic" },
                "scopes": ["files:read"],
                "authorize_params": [["prompt", "consent"]],
            });
            let arguments = json!({ "caller": admin(), "id": "notes", "connector": connector });
            stage.ok("put_connector", with(arguments, "client_secret", json!("canary-client-secret")));
            begin("alice")
        },
    },
    Scenario {
        name: "begin_connect_with_a_client_metadata_document",
        about: "The issuer takes client id metadata documents, so the URL of ours is the client id.",
        play: |stage| {
            stage.configure(&json!({ "client_metadata_url": "https://gw.good/client.json" }));
            stage.issuer.behave(|b| b.client_id_documents = true);
            begin("alice")
        },
    },
    Scenario {
        name: "begin_connect_finds_openid_metadata",
        about: "The well-known forms are asked one after the other: 404 means the next one.",
        play: |stage| {
            stage.issuer.behave(|b| b.metadata_at = vec![WellKnown::OpenIdAppended]);
            begin("alice")
        },
    },
    Scenario {
        name: "begin_connect_issuer_mismatch",
        about: "Metadata that name another issuer than the one they were asked for are not believed.",
        play: |stage| {
            stage.issuer.behave(|b| {
                b.metadata_edits.set("issuer", "https://evil.example");
            });
            begin("alice")
        },
    },
    Scenario {
        name: "begin_connect_without_pkce",
        about: "An issuer that does not advertise S256 is refused.",
        play: |stage| {
            stage.issuer.behave(|b| {
                b.metadata_edits.remove("code_challenge_methods_supported");
            });
            begin("alice")
        },
    },
    Scenario {
        name: "begin_connect_resource_mismatch",
        about: "Resource metadata that describe another resource are not believed.",
        play: |stage| {
            stage.mcp.behave(|b| {
                b.metadata_edits.set("resource", "https://mcp.good/other");
            });
            begin("alice")
        },
    },
    Scenario {
        name: "begin_connect_server_unreachable",
        about: "No connection, no document: `network`, and a retry may help.",
        play: |stage| {
            stage.world.network.unplug("https://mcp.good");
            begin("alice")
        },
    },
    Scenario {
        name: "begin_connect_registration_refused",
        about: "The issuer's own words come with the failure, made fit to show.",
        play: |stage| {
            let body = json!({ "error": "invalid_redirect_uri", "error_description": "not \u{202e}`here`" });
            stage.issuer.answer_instead(Endpoint::Register, 1, Response::json(400, &body));
            begin("alice")
        },
    },
    Scenario {
        name: "begin_connect_connector_unknown",
        about: "One read, and nothing else happens.",
        play: |_| ("begin_connect", json!({ "caller": caller("alice"), "connector": "nothing" })),
    },
    Scenario {
        name: "begin_connect_commit_unknown_and_landed",
        about: "The answer to the commit is lost: the engine reads again, finds its own id in the record, and goes on.",
        play: |stage| {
            // The first two commits keep the documents and the registration.
            stage.world.on_commit(3, CommitFault::Unknown(Lands::Now));
            begin("alice")
        },
    },
    Scenario {
        name: "begin_connect_commit_conflict",
        about: "Somebody else has written first: read, decide and commit again, by the same rules.",
        play: |stage| {
            stage.world.on_commit(3, CommitFault::Conflict);
            begin("alice")
        },
    },
    Scenario {
        name: "open_ticket_says_what_a_link_is_for",
        about: "It consumes nothing and writes nothing: link previews open links too.",
        play: |stage| {
            let ticket = ticket(stage, "alice");
            ("open_ticket", json!({ "caller": caller("alice"), "ticket": ticket }))
        },
    },
    Scenario {
        name: "open_ticket_ended",
        about: "A link that has ended is deleted before that is said, so that a clock set back does not revive it.",
        play: |stage| {
            let ticket = ticket(stage, "alice");
            stage.world.advance(16 * MINUTE);
            ("open_ticket", json!({ "caller": caller("alice"), "ticket": ticket }))
        },
    },
    Scenario {
        name: "discover_reports_each_step",
        about: "What `begin_connect` would be begun with, and how it was found; nothing begins.",
        play: |_| ("discover", json!({ "caller": admin(), "connector": "notes" })),
    },
    Scenario {
        name: "discover_reports_a_failure",
        about: "A discovery that fails is a report too: `failure` stands in the result, the operation succeeds.",
        play: |stage| {
            stage.mcp.behave(|b| b.metadata_at.clear());
            ("discover", json!({ "caller": admin(), "connector": "notes" }))
        },
    },
];
