//! Tokens: from codes, by refresh, given back; and what they are good for.

use grantway_core::operation::{IdentityReply, Whom};
use grantway_core::principal::Principal;
use grantway_testing::{CommitFault, Lands};
use serde_json::{Value, json};

use super::browser::{EDITOR, MCP, of_client, open, redeeming, refreshing, signed_in, tokens};
use super::handle;
use crate::scenarios::{HOUR, MINUTE, Scenario};
use crate::stage::{Stage, admin, caller};

fn authenticate(token: &str, scopes: &[&str]) -> (&'static str, Value) {
    let headers = json!([["Authorization", format!("Bearer {token}")]]);
    ("authenticate", json!({ "tenant": "acme", "headers": headers, "resource": MCP, "scopes": scopes }))
}

/// A token request for a code, with other words in it.
fn changed(stage: &mut Stage, from: &str, to: &str) -> Value {
    open(stage);
    let mut arguments = redeeming(stage);
    let body = arguments["request"]["body"].as_str().unwrap_or_default().replace(from, to);
    arguments["request"]["body"] = json!(body);
    arguments
}

/// What the host says of Alice when the answer it gave at sign-in has grown old.
fn asked_again(stage: &mut Stage, reply: Option<IdentityReply>) -> (&'static str, Value) {
    open(stage);
    let (access, _) = signed_in(stage);
    stage.world.advance(6 * MINUTE);
    if let Some(reply) = reply {
        let alice = Principal::user("alice").expect("a principal");
        stage.world.identify_as(Whom::Principal(alice), reply);
    }
    authenticate(&access, &["tools"])
}

/// The id of Alice's only sign-in.
fn sign_in(stage: &mut Stage) -> Value {
    open(stage);
    signed_in(stage);
    let mut page = stage.ok("list_sign_ins", json!({ "caller": caller("alice"), "limit": 10 }));
    page["items"][0]["id"].take()
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "handle_token_for_a_code",
        about: "Code and verifier buy the tokens: the code is marked and the family written by one commit, only then are they given.",
        play: |stage| {
            open(stage);
            handle(redeeming(stage))
        },
    },
    Scenario {
        name: "handle_token_wrong_verifier",
        about: "Another verifier than the challenge's: refused, and counted.",
        play: |stage| handle(changed(stage, "code_verifier=d", "code_verifier=e")),
    },
    Scenario {
        name: "handle_token_foreign_redirect_uri",
        about: "Another redirect URI than the code was sent to.",
        play: |stage| handle(changed(stage, "editor.example%2Fcallback", "editor.example%2Fother")),
    },
    Scenario {
        name: "handle_token_code_used_twice",
        about: "A code that has bought tokens already: refused, and those tokens die.",
        play: |stage| {
            open(stage);
            let arguments = redeeming(stage);
            stage.ok("handle", arguments.clone());
            stage.world.advance(2 * MINUTE);
            handle(arguments)
        },
    },
    Scenario {
        name: "handle_token_code_expired",
        about: "A code lives for a minute.",
        play: |stage| {
            open(stage);
            let arguments = redeeming(stage);
            stage.world.advance(2 * MINUTE);
            handle(arguments)
        },
    },
    Scenario {
        name: "handle_token_commit_conflict",
        about: "Somebody was faster: it is read and decided again.",
        play: |stage| {
            open(stage);
            let arguments = redeeming(stage);
            stage.world.on_commit(1, CommitFault::Conflict);
            handle(arguments)
        },
    },
    Scenario {
        name: "handle_token_refreshes",
        about: "A refresh: the host is asked whether the principal stands, the token is replaced, the old one remembered.",
        play: |stage| {
            open(stage);
            let (_, refresh) = signed_in(stage);
            stage.world.advance(HOUR);
            handle(refreshing(&refresh))
        },
    },
    Scenario {
        name: "handle_token_refreshed_again_in_grace",
        about: "The answer got lost: the same client asks again within the grace and is given the same pair.",
        play: |stage| {
            open(stage);
            let (_, refresh) = signed_in(stage);
            stage.world.advance(HOUR);
            stage.ok("handle", refreshing(&refresh));
            stage.world.advance(5_000);
            handle(refreshing(&refresh))
        },
    },
    Scenario {
        name: "handle_token_replayed",
        about: "A replaced token after the grace: the whole sign-in ends.",
        play: |stage| {
            open(stage);
            let (_, refresh) = signed_in(stage);
            stage.world.advance(HOUR);
            stage.ok("handle", refreshing(&refresh));
            stage.world.advance(MINUTE);
            handle(refreshing(&refresh))
        },
    },
    Scenario {
        name: "handle_token_commit_unknown",
        about: "The connection to the store is lost after the commit of a refresh: the record says what has become of it, and the pair is given.",
        play: |stage| {
            open(stage);
            let (_, refresh) = signed_in(stage);
            stage.world.advance(HOUR);
            stage.world.on_commit(1, CommitFault::Unknown(Lands::Now));
            handle(refreshing(&refresh))
        },
    },
    Scenario {
        name: "handle_token_principal_gone",
        about: "At a refresh the host says that the principal does not stand any more: the sign-in ends.",
        play: |stage| {
            open(stage);
            let (_, refresh) = signed_in(stage);
            stage.world.advance(HOUR);
            let alice = Principal::user("alice").expect("a principal");
            stage.world.identify_as(Whom::Principal(alice), IdentityReply::Rejected);
            handle(refreshing(&refresh))
        },
    },
    Scenario {
        name: "handle_revoke",
        about: "The client gives its refresh token back: the sign-in ends with it.",
        play: |stage| {
            open(stage);
            let (_, refresh) = signed_in(stage);
            handle(of_client("/revoke", &[("client_id", EDITOR), ("token", &refresh)]))
        },
    },
    Scenario {
        name: "handle_revoke_nothing",
        about: "A token that is none of ours: 200, and nothing has happened.",
        play: |stage| {
            open(stage);
            signed_in(stage);
            handle(of_client("/revoke", &[("client_id", EDITOR), ("token", "elsewhere")]))
        },
    },
    Scenario {
        name: "authenticate_gives_the_caller",
        about: "One read, and the caller.",
        play: |stage| {
            open(stage);
            let (access, _) = signed_in(stage);
            authenticate(&access, &["tools"])
        },
    },
    Scenario {
        name: "authenticate_without_a_token",
        about: "No credentials: 401 with the address of the metadata, and no effect.",
        play: |stage| {
            open(stage);
            let arguments = json!({ "tenant": "acme", "headers": [], "resource": MCP });
            ("authenticate", arguments)
        },
    },
    Scenario {
        name: "authenticate_token_of_nobody",
        about: "A token in our form that nobody was given.",
        play: |stage| {
            open(stage);
            authenticate(&format!("gwa_{}{}", "A".repeat(22), "A".repeat(43)), &[])
        },
    },
    Scenario {
        name: "authenticate_token_of_an_issuer",
        about: "A token that an upstream has issued is none of ours.",
        play: |stage| {
            open(stage);
            authenticate("canary-upstream-token", &[])
        },
    },
    Scenario {
        name: "authenticate_two_credentials",
        about: "Two Authorization headers: which one counts, nobody can say.",
        play: |stage| {
            open(stage);
            let (access, _) = signed_in(stage);
            let (name, mut arguments) = authenticate(&access, &[]);
            let header = arguments["headers"][0].clone();
            arguments["headers"] = json!([header, header]);
            (name, arguments)
        },
    },
    Scenario {
        name: "authenticate_for_another_endpoint",
        about: "A token for one endpoint of the gateway is no token for another.",
        play: |stage| {
            open(stage);
            let (access, _) = signed_in(stage);
            stage.configure(
                &json!({ "gateway": { "resources": [{ "path": "/mcp" }, { "path": "/other" }] } }),
            );
            let (name, mut arguments) = authenticate(&access, &[]);
            arguments["resource"] = json!("https://gw.good/other");
            (name, arguments)
        },
    },
    Scenario {
        name: "authenticate_expired",
        about: "An access token lives for an hour.",
        play: |stage| {
            open(stage);
            let (access, _) = signed_in(stage);
            stage.world.advance(2 * HOUR);
            authenticate(&access, &[])
        },
    },
    Scenario {
        name: "authenticate_insufficient_scope",
        about: "The request needs more than the client was allowed: 403, and what to ask for.",
        play: |stage| {
            open(stage);
            let (access, _) = signed_in(stage);
            authenticate(&access, &["admin"])
        },
    },
    Scenario {
        name: "authenticate_asks_the_host_again",
        about: "The host's last answer is older than five minutes: it is asked again, and its answer kept.",
        play: |stage| asked_again(stage, None),
    },
    Scenario {
        name: "authenticate_principal_gone",
        about: "It says that the principal does not stand any more: the sign-in ends, then 401.",
        play: |stage| asked_again(stage, Some(IdentityReply::Rejected)),
    },
    Scenario {
        name: "authenticate_identity_unavailable",
        about: "It cannot say: 503, and nothing ends.",
        play: |stage| asked_again(stage, Some(IdentityReply::Unavailable)),
    },
    Scenario {
        name: "authenticate_store_unavailable",
        about: "The store does not answer: 503.",
        play: |stage| {
            open(stage);
            let (access, _) = signed_in(stage);
            stage.world.on_read(1);
            authenticate(&access, &[])
        },
    },
    Scenario {
        name: "authenticate_after_revocation",
        about: "After its sign-in was ended by its owner.",
        play: |stage| {
            open(stage);
            let (access, _) = signed_in(stage);
            let mut page = stage.ok("list_sign_ins", json!({ "caller": caller("alice"), "limit": 10 }));
            let id = page["items"][0]["id"].take();
            stage.ok("revoke_sign_in", json!({ "caller": caller("alice"), "id": id }));
            authenticate(&access, &[])
        },
    },
    Scenario {
        name: "list_sign_ins_of_oneself",
        about: "The clients that are signed in for a person.",
        play: |stage| {
            open(stage);
            let request = redeeming(stage);
            tokens(&stage.ok("handle", request));
            ("list_sign_ins", json!({ "caller": caller("alice"), "limit": 10 }))
        },
    },
    Scenario {
        name: "list_sign_ins_of_a_client",
        about: "All that a client is signed in for; for administrators.",
        play: |stage| {
            sign_in(stage);
            let of = json!({ "client": EDITOR });
            ("list_sign_ins", json!({ "caller": admin(), "of": of, "after": null, "limit": 10 }))
        },
    },
    Scenario {
        name: "list_sign_ins_of_somebody_else",
        about: "Whose sign-ins these are is not for others.",
        play: |stage| {
            sign_in(stage);
            let of = json!({ "owner": { "kind": "user", "id": "alice" } });
            ("list_sign_ins", json!({ "caller": caller("bob"), "of": of, "limit": 10 }))
        },
    },
    Scenario {
        name: "revoke_sign_in_of_oneself",
        about: "The owner ends it.",
        play: |stage| {
            let id = sign_in(stage);
            ("revoke_sign_in", json!({ "caller": caller("alice"), "id": id }))
        },
    },
    Scenario {
        name: "revoke_sign_in_of_somebody_else",
        about: "It is as if there were none.",
        play: |stage| {
            let id = sign_in(stage);
            ("revoke_sign_in", json!({ "caller": caller("bob"), "id": id }))
        },
    },
];
