//! Consent sessions, callbacks, connect links, and the page of connected accounts.

use serde_json::{Value, json};

use super::browser::{
    Browser, approving, connecting, consenting, filled_in, identified, open, place, signed_in,
};
use super::handle;
use crate::scenarios::{MINUTE, Scenario};
use crate::stage::{Stage, caller};

fn identify(stage: &mut Stage, pairs: &[(&str, &str)]) -> Value {
    open(stage);
    let (mut browser, path) = consenting(stage, "alice");
    filled_in(stage, &mut browser, (&path, "/identify"), pairs)
}

/// The link of a challenge for Alice.
fn link(stage: &mut Stage) -> String {
    open(stage);
    let challenge = stage.ok("resolve", json!({ "caller": caller("alice"), "connector": "notes" }));
    let url = challenge["challenge"]["url"].as_str().unwrap_or_default();
    url.trim_start_matches("https://gw.good").to_owned()
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "handle_consent_by_login",
        about: "The person goes on as whom the host's login knows.",
        play: |stage| handle(identify(stage, &[("mode", "user")])),
    },
    Scenario {
        name: "handle_consent_login_incomplete",
        about: "The host's login is not complete, the second factor is missing: nothing is chosen, and the page says so.",
        play: |stage| {
            let mut arguments = identify(stage, &[("mode", "user")]);
            arguments["signed_in"]["auth_time"] = Value::Null;
            handle(arguments)
        },
    },
    Scenario {
        name: "handle_consent_by_key",
        about: "An API key: the host is asked whose it is, and a session of its principal begins in this browser.",
        play: |stage| handle(identify(stage, &[("mode", "key"), ("key", "canary-api-key")])),
    },
    Scenario {
        name: "handle_consent_wrong_key",
        about: "A key that is nobody's is counted against this browser.",
        play: |stage| handle(identify(stage, &[("mode", "key"), ("key", "canary-wrong-key")])),
    },
    Scenario {
        name: "handle_consent_key_unavailable",
        about: "The host cannot say whose a key is: 503, and nothing is counted.",
        play: |stage| {
            use grantway_core::operation::{IdentityReply, Whom};
            let arguments = identify(stage, &[("mode", "key"), ("key", "canary-api-key")]);
            let whom = Whom::Key(grantway_core::secret::Secret::new("canary-api-key"));
            stage.world.identify_as(whom, IdentityReply::Unavailable);
            handle(arguments)
        },
    },
    Scenario {
        name: "handle_consent_by_session",
        about: "Without an identity: the engine mints a session principal, and the host is asked nothing.",
        play: |stage| handle(identify(stage, &[("mode", "session")])),
    },
    Scenario {
        name: "handle_consent_in_another_browser",
        about: "The session's address in another browser, signed in or not: as if there were none.",
        play: |stage| {
            open(stage);
            let (_, path) = consenting(stage, "alice");
            handle(Browser::of("alice").visit(&path))
        },
    },
    Scenario {
        name: "handle_consent_form_of_another_site",
        about: "A form that another site has sent.",
        play: |stage| {
            let mut arguments = identify(stage, &[("mode", "user")]);
            arguments["request"]["headers"][2][1] = json!("https://evil.example");
            handle(arguments)
        },
    },
    Scenario {
        name: "handle_consent_form_token_missing",
        about: "A form without its token.",
        play: |stage| {
            open(stage);
            let (browser, path) = consenting(stage, "alice");
            handle(browser.submit(&format!("{path}/identify"), &[("mode", "user")]))
        },
    },
    Scenario {
        name: "handle_consent_shows_services",
        about: "Once the person is known: the client's document is read, then its upstreams are offered.",
        play: |stage| {
            open(stage);
            let (browser, path) = identified(stage);
            handle(browser.visit(&path))
        },
    },
    Scenario {
        name: "handle_consent_connects",
        about: "An upstream is to be connected within the session: on to its issuer, with the cookie of the flow.",
        play: |stage| {
            open(stage);
            let (mut browser, path) = identified(stage);
            handle(filled_in(stage, &mut browser, (&path, "/connect"), &[("connector", "notes")]))
        },
    },
    Scenario {
        name: "handle_callback_asks_again",
        about: "A callback without a login: the page asks for itself once more from our own site, so that the login's cookie arrives. No effect.",
        play: |stage| {
            open(stage);
            let (_, _, mut arguments) = connecting(stage);
            arguments["signed_in"] = Value::Null;
            handle(arguments)
        },
    },
    Scenario {
        name: "handle_callback_stages",
        about: "The callback of a flow within a consent session: the code is redeemed, the grant staged, and nobody has it yet.",
        play: |stage| {
            open(stage);
            let (_, _, arguments) = connecting(stage);
            handle(arguments)
        },
    },
    Scenario {
        name: "handle_callback_of_somebody_else",
        about: "Another user is signed in where the callback arrives: nothing changes.",
        play: |stage| {
            open(stage);
            let (_, _, mut arguments) = connecting(stage);
            arguments["signed_in"]["caller"] = caller("bob");
            handle(arguments)
        },
    },
    Scenario {
        name: "handle_consent_shows_approval",
        about: "All that an approval grants, on one page; `shown` names it.",
        play: |stage| {
            open(stage);
            let (mut browser, path, callback) = connecting(stage);
            browser.go(stage, callback);
            handle(browser.visit(&format!("{path}/approve")))
        },
    },
    Scenario {
        name: "handle_consent_approved",
        about: "One commit: the session is used up, the staged grant is the person's, the code is issued. Then back to the client.",
        play: |stage| {
            open(stage);
            handle(approving(stage))
        },
    },
    Scenario {
        name: "handle_consent_approved_twice",
        about: "The same form again: the same redirect, and nothing new.",
        play: |stage| {
            open(stage);
            let arguments = approving(stage);
            stage.ok("handle", arguments.clone());
            handle(arguments)
        },
    },
    Scenario {
        name: "handle_consent_stale",
        about: "What is approved is not what was shown.",
        play: |stage| {
            open(stage);
            let mut arguments = approving(stage);
            let body = arguments["request"]["body"].as_str().unwrap_or_default().replace("shown=", "shown=0");
            arguments["request"]["body"] = json!(body);
            handle(arguments)
        },
    },
    Scenario {
        name: "handle_consent_commit_unknown",
        about: "The connection to the store is lost after the commit of an approval: the record says what has become of it.",
        play: |stage| {
            use grantway_testing::{CommitFault, Lands};
            open(stage);
            let arguments = approving(stage);
            stage.world.on_commit(1, CommitFault::Unknown(Lands::Now));
            handle(arguments)
        },
    },
    Scenario {
        name: "handle_consent_denied",
        about: "The person declines: what was staged is put by to be revoked, the client hears `access_denied`.",
        play: |stage| {
            open(stage);
            let (mut browser, path, callback) = connecting(stage);
            browser.go(stage, callback);
            handle(filled_in(stage, &mut browser, (&path, "/deny"), &[]))
        },
    },
    Scenario {
        name: "handle_consent_expired",
        about: "Nobody has gone on for half an hour.",
        play: |stage| {
            open(stage);
            let (browser, path) = consenting(stage, "alice");
            stage.world.advance(31 * MINUTE);
            handle(browser.visit(&path))
        },
    },
    Scenario {
        name: "handle_connect_link",
        about: "The link of a challenge: a page that asks. Opening it consumes and begins nothing.",
        play: |stage| {
            let link = link(stage);
            handle(Browser::of("alice").visit(&link))
        },
    },
    Scenario {
        name: "handle_connect_link_of_somebody_else",
        about: "The same link in the hands of another user.",
        play: |stage| {
            let link = link(stage);
            handle(Browser::of("bob").visit(&link))
        },
    },
    Scenario {
        name: "handle_connect_link_used",
        about: "The form on that page: on to the issuer.",
        play: |stage| {
            let link = link(stage);
            let mut browser = Browser::of("alice");
            handle(filled_in(stage, &mut browser, (&link, ""), &[("connector", "notes")]))
        },
    },
    Scenario {
        name: "handle_connections",
        about: "The person's connected accounts.",
        play: |stage| {
            open(stage);
            signed_in(stage);
            handle(Browser::of("alice").visit("/connections"))
        },
    },
    Scenario {
        name: "handle_connections_disconnects",
        about: "An account is disconnected from that page: emptied by one commit, then revoked.",
        play: |stage| {
            open(stage);
            signed_in(stage);
            let mut browser = Browser::of("alice");
            let page = ("/connections", "/disconnect");
            handle(filled_in(stage, &mut browser, page, &[("connector", "notes")]))
        },
    },
    Scenario {
        name: "handle_connections_of_nobody",
        about: "Nobody is signed in: the page says where to sign in.",
        play: |stage| {
            open(stage);
            handle(Browser::default().visit("/connections"))
        },
    },
    Scenario {
        name: "handle_connected_from_the_link",
        about: "The callback of a flow that a connect link began: on to an address of ours without code and state.",
        play: |stage| {
            let link = link(stage);
            let mut browser = Browser::of("alice");
            let form = filled_in(stage, &mut browser, (&link, ""), &[("connector", "notes")]);
            let response = browser.go(stage, form);
            let url = stage.issuer.approve_as("alice", &place(&response));
            handle(browser.visit(url.trim_start_matches("https://gw.good")))
        },
    },
];
