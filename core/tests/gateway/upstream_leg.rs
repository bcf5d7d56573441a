//! The two legs of a consent session and what may pass between them: the upstream's rules are kept, and its secrets stay inside.
#![allow(clippy::disallowed_types, reason = "a test's server shares its document with the test")]

use std::sync::{Arc, Mutex};

use grantway_core::downstream::pages::Page;
use grantway_core::store::Kind;
use grantway_testing::Response as Answer;
use serde_json::{Value, json};

use super::browser::{
    Browser, CHALLENGE, GATEWAY, Gateway, REDIRECT, authorize_target, html, parameter, slug, user,
};

const DOCUMENT: &str = "https://c.good/client.json";

/// A client with a document, whose redirect URIs can be changed.
fn with_document(gateway: &mut Gateway) -> Arc<Mutex<Vec<&'static str>>> {
    let uris = Arc::new(Mutex::new(vec!["http://127.0.0.1/cb"]));
    let listed = Arc::clone(&uris);
    gateway.world.host("https://c.good", move |_: &_, _| {
        let uris = listed.lock().unwrap();
        let document = json!({ "client_id": DOCUMENT, "client_name": "Documented", "redirect_uris": *uris });
        Answer::json(200, &document)
    });
    uris
}

//= spec/mcp-best-practices.md#confused-deputy-problem
//= type=test
//# The upstream leg MUST keep every rule for clients, with a pending flow for each upstream (CON-11, B).
//= spec/derived.md#con-20
//= type=test
//# Each upstream MUST have a consent step and a pending flow of its own, and connecting only some of them is
//# a valid end (CON-20, B, derived).
#[test]
fn each_upstream_is_asked_by_a_flow_of_its_own_with_all_that_a_flow_needs() {
    let mut gateway = Gateway::new();
    let client = gateway.register();
    let mut alice = Browser::of("alice");
    let services = alice.open(&mut gateway, &authorize_target(&client, ""));
    let mut seen = Vec::new();
    for connector in ["notes", "files"] {
        let away = alice.press(&mut gateway, &services, "/connect", &[("connector", connector)]);
        let url = away.header("location").unwrap().to_owned();
        assert!(url.starts_with(&format!("https://as.{connector}.good/authorize?")), "{url}");
        assert_eq!(parameter(&url, "code_challenge_method").as_deref(), Some("S256"));
        assert_eq!(parameter(&url, "resource"), Some(format!("https://{connector}.good/mcp")));
        assert!(parameter(&url, "redirect_uri").unwrap().starts_with(&format!("{GATEWAY}/callback")));
        for name in ["state", "code_challenge"] {
            let value = parameter(&url, name).unwrap();
            assert!(value.len() >= 43 && !seen.contains(&value), "{name}");
            seen.push(value);
        }
        // Nothing of the client's own request goes along.
        assert!(!url.contains("xyz") && !url.contains(CHALLENGE) && !url.contains(&client), "{url}");
    }
    let flows = gateway.world.store.rows_of(Kind::Flow).len();
    assert_eq!(flows, 2);
}

//= spec/mcp-2026-07-28.md#sec-access-token-privilege-restriction
//= type=test
//# What a client gets MUST be a token of ours with us as its audience, and the upstream's token stays inside
//# (CON-12, B).
//= spec/mcp-2026-07-28.md#elic-url-mode-for-oauth
//= type=test
//# Upstream credentials MUST NOT pass through the MCP client, and the person authorizes us at the upstream
//# directly (CON-13, B).
//= spec/oauth21.md#4-1-2
//= type=test
//# The challenge of a code MUST stay where nobody can read it out (AS-07, S).
//= spec/mcp-best-practices.md#per-client-consent-storage
//= type=test
//# Which clients a person has approved MUST be kept for each person, safely, and be looked at before anything
//# goes on (CON-02, B).
#[test]
fn nothing_of_the_upstream_reaches_the_client_and_nothing_of_the_challenge_anybody() {
    let mut gateway = Gateway::new();
    let client = gateway.register();
    let mut alice = Browser::of("alice");
    let begun = alice.get(&mut gateway, &authorize_target(&client, ""));
    let consent = begun.header("location").unwrap().to_owned();
    let services = alice.follow(&mut gateway, begun);
    let connected = alice.connect(&mut gateway, &services, "notes", "alice@notes");
    let approval = alice.open(&mut gateway, &format!("{consent}/approve"));
    assert_eq!(gateway.world.store.rows_of(Kind::Approval).len(), 0);
    let redirect = alice.approve(&mut gateway, &approval);
    let (status, tokens) = gateway.redeem(&client, &redirect);
    assert_eq!(status, 200);
    // What the client holds is ours, and good for nobody else.
    for name in ["access_token", "refresh_token"] {
        assert!(tokens[name].as_str().unwrap().starts_with("gw"));
    }
    let grantway_core::upstream::resolve::Resolution::Ready(ready) = gateway.resolve(&user("alice"), "notes")
    else {
        panic!()
    };
    let (_, upstream) = ready.own_headers().next().unwrap();
    let upstream = upstream.expose().trim_start_matches("Bearer ").to_owned();
    let refresh = gateway.notes.live_refresh_tokens();
    let shown = [&services, &connected, &approval].map(html).join("\n");
    let told = format!("{shown}\n{redirect}\n{tokens}");
    assert!(!told.contains(&upstream) && refresh.iter().all(|token| !told.contains(token.as_str())));
    assert!(gateway.world.network.who_was_told(tokens["access_token"].as_str().unwrap()).is_empty());
    // The challenge of the client's code stands in no page, no URL, no cookie, and in the store only under seal.
    let cookies: Vec<_> = alice.cookies.values().cloned().collect();
    for place in [shown, redirect, cookies.join(";")] {
        assert!(!place.contains(CHALLENGE));
    }
    assert!(!gateway.world.store.leaks(CHALLENGE));
    // Whom she has approved is kept for her, and for nobody else.
    assert_eq!(gateway.world.store.rows_of(Kind::Approval).len(), 1);
}

//= spec/derived.md#con-10
//= type=test
//# A remembered consent MUST NOT let a client through without a prompt, for many installations share its id
//# (CON-10, B, derived).
// atk:CON-06
#[test]
fn a_client_that_was_approved_before_is_asked_about_again() {
    let mut gateway = Gateway::new();
    let client = gateway.register();
    let mut alice = Browser::of("alice");
    for _ in 0..2 {
        let begun = alice.get(&mut gateway, &authorize_target(&client, ""));
        let consent = begun.header("location").unwrap().to_owned();
        assert!(consent.starts_with(&format!("{GATEWAY}/consent/")), "{consent}");
        let services = alice.follow(&mut gateway, begun);
        assert!(matches!(services.page, Some(Page::Services(_))));
        let approval = alice.open(&mut gateway, &format!("{consent}/approve"));
        assert!(matches!(approval.page, Some(Page::Approve(_))));
        assert!(alice.approve(&mut gateway, &approval).starts_with(REDIRECT));
    }
}

//= spec/mcp-best-practices.md#redirect-uri-validation
//= type=test
//# The redirect URI of a request MUST be one of the client's, exactly, and one that has changed without a new
//# registration be refused (CON-06, B).
// atk:RED-10
#[test]
fn a_redirect_uri_that_the_document_does_not_list_any_more_gets_no_code() {
    let mut gateway = Gateway::new();
    let uris = with_document(&mut gateway);
    let mut alice = Browser::of("alice");
    let begun = alice.get(&mut gateway, &authorize_target(DOCUMENT, ""));
    let consent = begun.header("location").unwrap().to_owned();
    alice.follow(&mut gateway, begun);
    let approval = alice.open(&mut gateway, &format!("{consent}/approve"));
    assert_eq!(approval.status, 200);
    // A day later the document names another place: whoever sits there now is not whom she was shown.
    *uris.lock().unwrap() = vec!["http://127.0.0.1/other"];
    gateway.world.advance(20 * 60_000);
    let answer = alice.press(&mut gateway, &approval, "/approve", &[]);
    assert_eq!((answer.status, slug(&answer)), (400, "client.redirect_uri_refused"));
    assert_eq!(answer.header("location"), None);
    assert_eq!(gateway.world.store.rows_of(Kind::Code).len(), 0);
    // Nor one that it never listed, when it is read for the first time.
    let mut gateway = Gateway::new();
    *with_document(&mut gateway).lock().unwrap() = vec!["https://c.good/cb"];
    let answer = alice.open(&mut gateway, &authorize_target(DOCUMENT, ""));
    assert_eq!((answer.status, slug(&answer)), (400, "client.redirect_uri_refused"));
    assert!(!html(&answer).contains(REDIRECT));
}

//= spec/mcp-2026-07-28.md#elic-url-mode-for-oauth
//= type=test
//# URL elicitation MUST NOT be used to authorize access to the gateway itself (CON-14, B).
#[test]
fn whoever_needs_a_token_of_ours_is_sent_to_authorization_and_not_elicited() {
    use grantway_core::downstream::authenticate::{Authenticate, Authenticated};
    let mut gateway = Gateway::new();
    let operation = gateway.engine.authenticate(Authenticate {
        tenant: gateway.tenant.clone(),
        headers: Vec::new(),
        resource: format!("{GATEWAY}/mcp"),
        scopes: grantway_core::protocol::scopes::Scopes::default(),
    });
    let answer = grantway_testing::drive(&mut gateway.world, operation).result.unwrap();
    let Authenticated::Refused(response) = answer else { panic!("{answer:?}") };
    assert_eq!(response.status, 401);
    assert!(response.header("www-authenticate").unwrap().starts_with("Bearer "));
    let body = html(&response);
    assert!(!body.contains("elicitation") && !body.contains("input_required") && !body.contains("-32042"));
}

//= spec/mcp-2026-07-28.md#idx-overview
//= type=test
//# The authorization server MUST follow OAuth 2.1 for confidential and for public clients, at https endpoints
//# (AS-01, S).
#[test]
fn clients_with_and_without_a_secret_are_served_and_each_by_its_own_method() {
    for method in ["none", "client_secret_post"] {
        let mut gateway = Gateway::new();
        let client = gateway.register_as(&json!({
            "client_name": "Client",
            "redirect_uris": ["http://127.0.0.1/cb"],
            "token_endpoint_auth_method": method,
        }));
        let mut alice = Browser::of("alice");
        let begun = alice.get(&mut gateway, &authorize_target(&client, ""));
        let consent = begun.header("location").unwrap().to_owned();
        alice.follow(&mut gateway, begun);
        let approval = alice.open(&mut gateway, &format!("{consent}/approve"));
        let redirect = alice.approve(&mut gateway, &approval);
        let (status, tokens) = gateway.redeem(&client, &redirect);
        let expected = if method == "none" { (200, Value::Null) } else { (400, json!("invalid_client")) };
        assert_eq!((status, tokens["error"].clone()), expected, "{method}");
    }
}
