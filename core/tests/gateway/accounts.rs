//! The page of accounts, the link of a challenge, and the same as JSON.

use grantway_core::challenge::{Form, Placed, render_all};
use grantway_core::connector::{Connector, CredentialScope};
use grantway_core::downstream::pages::Page;
use grantway_core::downstream::request::Request;
use grantway_core::downstream::response::Response;
use grantway_core::event::What;
use grantway_core::secret::{Secret, SecretBytes};
use grantway_core::store::Kind;
use grantway_core::upstream::resolve::Resolution;
use grantway_testing::kind_of;
use serde_json::Value;

use super::browser::{Browser, GATEWAY, Gateway, authorize_target, html, slug, user};

fn challenge(gateway: &mut Gateway, id: &str, connector: &str) -> grantway_core::challenge::Challenge {
    match gateway.resolve(&user(id), connector) {
        Resolution::Challenge(challenge) => *challenge,
        other => panic!("{other:?}"),
    }
}

/// Through the issuer of an upstream and back.
fn through(gateway: &mut Gateway, browser: &mut Browser, away: &Response, connector: &str) -> Response {
    assert_eq!(away.status, 303, "{}", html(away));
    let issuer = if connector == "notes" { gateway.notes.clone() } else { gateway.files.clone() };
    let back = issuer.approve_as("somebody", away.header("location").unwrap());
    browser.open(gateway, &back)
}

#[test]
fn a_person_connects_and_disconnects_on_the_page_of_accounts() {
    let mut gateway = Gateway::new();
    let mut alice = Browser::of("alice");
    let page = alice.open(&mut gateway, "/connections");
    let away = alice.press(&mut gateway, &page, "/connect", &[("connector", "notes")]);
    let page = through(&mut gateway, &mut alice, &away, "notes");
    let Some(Page::Connections(model)) = &page.page else { panic!("{page:?}") };
    assert!(model.connections.iter().any(|it| it.connector == "notes" && it.state == "connected"));
    assert!(html(&page).contains("role=\"status\""), "it says that it has worked");
    assert!(gateway.is_connected(&user("alice"), "notes"));
    assert!(!gateway.is_connected(&user("bob"), "notes"));
    let back = alice.press(&mut gateway, &page, "/disconnect", &[("connector", "notes")]);
    assert_eq!(back.header("location"), Some("https://gw.good/connections?done=disconnected"));
    assert!(!gateway.is_connected(&user("alice"), "notes"));
    assert!(gateway.notes.live_refresh_tokens().is_empty());
}

#[test]
fn whoever_manages_a_shared_account_connects_it_there_and_nobody_else_is_offered_to() {
    let mut gateway = Gateway::new();
    let shared = Connector {
        sharing: true,
        precedence: vec![CredentialScope::Personal, CredentialScope::Org],
        ..Connector::server("https://notes.good/mcp")
    };
    gateway.put("notes", shared);
    let mut manager = Browser::of("mona");
    let who = manager.who.as_mut().unwrap();
    who.caller = who.caller.clone().with_role(grantway_core::principal::Role::Manager);
    let page = manager.open(&mut gateway, "/connections");
    let owned = [("connector", "notes"), ("owner_kind", "org"), ("owner", "acme")];
    let away = manager.press(&mut gateway, &page, "/connect", &owned);
    through(&mut gateway, &mut manager, &away, "notes");
    assert!(gateway.is_connected(&user("alice"), "notes"));
    let mut alice = Browser::of("alice");
    let page = alice.open(&mut gateway, "/connections");
    let Some(Page::Connections(model)) = &page.page else { panic!("{page:?}") };
    let org = model.connections.iter().find(|it| it.owner.is_some()).unwrap();
    assert!(!org.can_connect && !org.can_disconnect && org.state == "connected");
}

#[test]
fn a_client_that_is_signed_out_on_the_page_has_dead_tokens_at_once() {
    let mut gateway = Gateway::new();
    let client = gateway.register();
    let mut alice = Browser::of("alice");
    let services = alice.get(&mut gateway, &authorize_target(&client, ""));
    let consent = services.header("location").unwrap().to_owned();
    alice.open(&mut gateway, &consent);
    let approval = alice.open(&mut gateway, &format!("{consent}/approve"));
    let redirect = alice.approve(&mut gateway, &approval);
    let (_, tokens) = gateway.redeem(&client, &redirect);
    let refresh = tokens["refresh_token"].as_str().unwrap().to_owned();
    let page = alice.open(&mut gateway, "/connections");
    assert!(html(&page).contains("Good Client"));
    assert!(!html(&Browser::of("bob").open(&mut gateway, "/connections")).contains("Good Client"));
    let back = alice.press(&mut gateway, &page, "/revoke", &[]);
    assert_eq!(back.header("location"), Some("https://gw.good/connections?done=signed_out"));
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", client.as_str()),
        ("refresh_token", refresh.as_str()),
    ];
    assert_eq!(gateway.token(&fields).1["error"], "invalid_grant");
}

//= spec/mcp-2026-07-28.md#elic-phishing
//= type=test
//# Whoever opens the URL of an elicitation MUST be the one who caused it, whatever is done to the URL
//# (CON-17, B).
// atk:CSR-04
#[test]
fn the_link_of_a_challenge_is_its_principals_own_and_opening_it_begins_nothing() {
    let mut gateway = Gateway::new();
    let challenge = challenge(&mut gateway, "alice", "notes");
    let url = challenge.url.clone().unwrap();
    let (mut alice, mut mallory) = (Browser::of("alice"), Browser::of("mallory"));
    let nobody = Browser::default().get(&mut gateway, &url);
    assert_eq!((nobody.status, slug(&nobody)), (403, "user.sign_in_needed"));
    assert!(html(&nobody).contains("/login?return_to=%2Fconnect%2F"));
    assert_eq!(slug(&mallory.get(&mut gateway, &url)), "user.ticket_unknown");
    let page = alice.get(&mut gateway, &url);
    assert_eq!((page.status, page.header("location")), (200, None));
    assert!(!alice.cookies.contains_key("__Host-grantway"));
    let flows = |gateway: &Gateway| {
        gateway.world.store.rows().keys().filter(|key| kind_of(key) == Some(Kind::Flow as u8)).count()
    };
    assert_eq!(flows(&gateway), 0);
    let again = alice.get(&mut gateway, &url);
    let away = alice.press(&mut gateway, &again, url.strip_prefix(GATEWAY).unwrap(), &[]);
    let landed = through(&mut gateway, &mut alice, &away, "notes");
    assert_eq!(landed.status, 200);
    assert!(gateway.is_connected(&user("alice"), "notes"));
    // A run that waits for this challenge hears of it.
    let id = challenge.id.unwrap();
    let answered = gateway
        .events
        .iter()
        .any(|what| matches!(what, What::Connected { challenge: Some(it), .. } if *it == id));
    assert!(answered, "{:?}", gateway.events);
    assert_eq!(slug(&alice.get(&mut gateway, &url)), "user.ticket_unknown", "it is used up");
}

#[test]
fn a_link_without_ticket_asks_the_same_of_whoever_is_signed_in() {
    let mut gateway = Gateway::new();
    let mut alice = Browser::of("alice");
    let page = alice.get(&mut gateway, "/connect?connector=notes");
    let away = alice.press(&mut gateway, &page, "/connect", &[("connector", "notes")]);
    through(&mut gateway, &mut alice, &away, "notes");
    assert!(gateway.is_connected(&user("alice"), "notes"));
    assert_eq!(slug(&alice.get(&mut gateway, "/connect?connector=nope")), "config.connector_unknown");
}

//= spec/mcp-2026-07-28.md#elic-url-elicitation-required
//= type=test
//# The form of a challenge MUST follow the client's revision: -32042 with an `elicitationId` for 2025-11-25,
//# `input_required` with a `requestState` for 2026-07-28 (CON-19, B).
//= spec/mcp-2026-07-28.md#elic-safe-url-handling
//= type=test
//# The URL of an elicitation MUST hold no personal data and no credential, and MUST NOT be
//# authenticated beforehand (CON-16, B).
#[test]
fn a_challenge_is_written_as_each_revision_of_mcp_reads_it() {
    let mut gateway = Gateway::new();
    let (notes, files) =
        (challenge(&mut gateway, "alice", "notes"), challenge(&mut gateway, "alice", "files"));
    let both = [notes.clone(), files.clone()];
    let read = |form| {
        let rendered = render_all(&both, form);
        (rendered.placed, serde_json::from_str::<Value>(&rendered.body).unwrap())
    };
    let (placed, error) = read(Form::UrlElicitation);
    assert_eq!((placed, &error["code"]), (Placed::Error, &Value::from(-32042)));
    let elicitations = error["data"]["elicitations"].as_array().unwrap();
    assert_eq!(elicitations.len(), 2);
    assert_eq!(elicitations[0]["mode"], "url");
    assert_eq!(elicitations[0]["url"].as_str(), notes.url.as_deref());
    assert_eq!(elicitations[0]["elicitationId"].as_str(), notes.id.as_deref());
    assert!(!notes.url.as_deref().unwrap().contains("alice"));
    assert!(!notes.url.as_deref().unwrap().contains(notes.id.as_deref().unwrap()));
    let (placed, result) = read(Form::InputRequired);
    assert_eq!((placed, &result["resultType"]), (Placed::Result, &Value::from("input_required")));
    let request = &result["inputRequests"]["files"];
    assert_eq!(request["method"], "elicitation/create");
    assert_eq!(request["params"]["mode"], "url");
    assert_eq!(request["params"].get("elicitationId"), None);
    let state = result["requestState"].as_str().unwrap();
    assert_eq!(state, format!("{}.{}", notes.id.as_deref().unwrap(), files.id.as_deref().unwrap()));
    let event = render_all(&both, Form::ServerSentEvent);
    assert!(event.body.starts_with("event: authorization_needed\ndata: {") && event.body.ends_with("\n\n"));
    assert_eq!(event.body.lines().count(), 3);
    let text = render_all(&both, Form::Text).body;
    assert!(text.contains(notes.url.as_deref().unwrap()) && text.contains(files.url.as_deref().unwrap()));
    // Without a page there is nothing to elicit: it is said in words.
    let bare = grantway_core::challenge::Challenge { url: None, ..notes };
    for form in [Form::UrlElicitation, Form::InputRequired] {
        let rendered = bare.render(form);
        let result: Value = serde_json::from_str(&rendered.body).unwrap();
        assert_eq!((rendered.placed, &result["isError"]), (Placed::Result, &Value::from(true)));
    }
}

fn api(
    gateway: &mut Gateway,
    browser: &Browser,
    method: &str,
    path: &str,
    body: &str,
    origin: &str,
) -> (u16, Value) {
    let mut headers = vec![("Content-Type".to_owned(), Secret::new("application/json"))];
    headers.push(("Origin".to_owned(), Secret::new(origin)));
    let body = SecretBytes::new(body.as_bytes().to_vec());
    let request = Request { method: method.to_owned(), headers, body, ..Request::get(path) };
    let response = gateway.handle(request, browser.who.clone());
    assert_eq!(response.header("access-control-allow-origin"), None);
    (response.status, serde_json::from_slice(response.body.expose()).unwrap())
}

#[test]
fn the_same_is_to_be_had_as_json_from_our_own_origin() {
    let mut gateway = Gateway::new();
    let mut alice = Browser::of("alice");
    let (status, list) = api(&mut gateway, &alice, "GET", "/api/connections", "", GATEWAY);
    assert_eq!((status, list["connections"].as_array().unwrap().len()), (200, 2));
    assert_eq!(list["connections"][0]["per_user_auth"]["status"], "disconnected");
    let (status, begun) = api(&mut gateway, &alice, "POST", "/api/connections/notes/connect", "{}", GATEWAY);
    assert_eq!(status, 200);
    assert!(begun["url"].as_str().unwrap().starts_with("https://as.notes.good/"), "{begun}");
    let page = alice.open(&mut gateway, "/connections");
    let away = alice.press(&mut gateway, &page, "/connect", &[("connector", "notes")]);
    through(&mut gateway, &mut alice, &away, "notes");
    let (_, one) = api(&mut gateway, &alice, "GET", "/api/connections/notes", "", GATEWAY);
    assert_eq!(one["per_user_auth"]["state"], "connected");
    for (path, body, origin, error) in [
        ("/api/connections/notes/disconnect", "{}", "https://evil.example", "user.form_refused"),
        ("/api/connections/notes/disconnect", "x=1", GATEWAY, "user.request_malformed"),
        ("/api/connections/nope/disconnect", "{}", GATEWAY, "config.connector_unknown"),
        ("/api/nothing", "{}", GATEWAY, "user.page_unknown"),
    ] {
        assert_eq!(
            api(&mut gateway, &alice, "POST", path, body, origin).1["error"],
            error,
            "{path} {origin}"
        );
    }
    let nobody = api(&mut gateway, &Browser::default(), "GET", "/api/connections", "", GATEWAY);
    assert_eq!((nobody.0, &nobody.1["error"]), (403, &Value::from("user.sign_in_needed")));
    let (status, ended) =
        api(&mut gateway, &alice, "POST", "/api/connections/notes/disconnect", "{}", GATEWAY);
    assert_eq!((status, &ended["was_connected"]), (200, &Value::from(true)));
}
