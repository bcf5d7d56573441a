//! How our client comes to be known at an issuer.

use grantway_core::connector::StaticRegistration;
use grantway_core::event::What;
use grantway_core::principal::{Caller, Principal, Role};
use grantway_core::upstream::connectors::PutConnector;
use grantway_testing::{
    AuthMethod, Endpoint, Issuer, Response, Schedule, Worker, drive, interleave, posts_to,
};
use serde_json::json;

use crate::setting::{ISSUER, LOOPBACK, SERVER, Setting, caller, name, parameters, process};

const HOUR: u64 = 3_600_000;
const CIMD: &str = "https://gw.good/client.json";

fn client_id(url: &str) -> String {
    parameters(url).get("client_id").unwrap().to_owned()
}

fn with_static(setting: &mut Setting, issuer: Option<&str>, secret: Option<&str>) {
    let mut connector = grantway_core::connector::Connector::server(SERVER);
    connector.registration = Some(StaticRegistration {
        issuer: issuer.map(str::to_owned),
        client_id: "by-hand".to_owned(),
        auth_method: None,
    });
    setting.put_connector("mcp", connector, secret);
    let method = if secret.is_some() { AuthMethod::Basic } else { AuthMethod::None };
    setting.issuer.register_static("by-hand", secret, method, &["https://gw.good/callback"]);
}

//= spec/mcp-2026-07-28.md#idx-client-registration
//= type=test
//# A static, CIMD or dynamic registration MUST be in hand before authorization is asked for (REG-01, U).
//= spec/mcp-2026-07-28.md#reg-client-registration
//= type=test
//# The engine SHOULD prefer a static registration, then CIMD if the issuer advertises it, then dynamic
//# registration if there is an endpoint, and ask a person last (REG-02, U).
//= spec/mcp-2026-07-28.md#reg-advertising-cimd-support
//= type=test
//# A URL SHOULD serve as client id only where the issuer has said that it supports CIMD (REG-11, U).
#[test]
fn static_comes_before_a_document_before_dynamic_before_nothing() {
    let mut setting = Setting::with(|config| config.client_metadata_url = Some(CIMD.to_owned()), |_| {});
    setting.issuer.behave(|issuer| issuer.client_id_documents = true);
    let document = json!({ "client_id": CIMD, "redirect_uris": ["https://gw.good/callback"] });
    setting.issuer.publish_client(CIMD, document);
    with_static(&mut setting, Some(ISSUER), None);
    assert_eq!(client_id(&setting.begin().unwrap().url), "by-hand");
    setting.put("mcp", SERVER, |_| {});
    assert_eq!(client_id(&setting.begin().unwrap().url), CIMD);
    setting.connect();
    assert!(setting.issuer.registrations().is_empty());

    setting.issuer.behave(|issuer| issuer.client_id_documents = false);
    setting.world.advance(HOUR);
    assert!(client_id(&setting.begin().unwrap().url).starts_with("client-"));

    let mut setting = Setting::new();
    setting.issuer.behave(|issuer| issuer.dynamic_registration = false);
    assert_eq!(setting.begin_fails(), "config.registration_needed");
}

//= spec/mcp-2026-07-28.md#reg-authorization-server-binding
//= type=test
//# A CIMD URL MAY be used at a new issuer without registering again, while tokens stay behind (REG-07, U).
#[test]
fn a_document_goes_along_to_a_new_issuer_and_the_old_ones_tokens_do_not() {
    let mut setting = Setting::with(|config| config.client_metadata_url = Some(CIMD.to_owned()), |_| {});
    let next = Issuer::new("https://next.example");
    for issuer in [&setting.issuer, &next] {
        issuer.behave(|issuer| issuer.client_id_documents = true);
        issuer.publish_client(
            CIMD,
            json!({ "client_id": CIMD, "redirect_uris": ["https://gw.good/callback"] }),
        );
    }
    setting.connect();
    let old = [setting.issuer.live_refresh_tokens(), setting.issuer.live_access_tokens(setting.world.now())];
    setting.world.host("https://next.example", next.clone());
    setting.mcp.behave(|mcp| mcp.issuers = vec![next.clone()]);
    setting.world.advance(HOUR);
    let redirect = setting.begin().unwrap();
    assert_eq!((redirect.issuer.as_str(), client_id(&redirect.url).as_str()), ("https://next.example", CIMD));
    let callback = next.approve(&redirect.url);
    setting.complete(&redirect, &callback).unwrap();
    assert!(next.registrations().is_empty());
    assert_eq!(next.live_refresh_tokens().len(), 1);
    for token in old.iter().flatten() {
        assert!(!setting.world.network.who_was_told(token).contains("https://next.example"));
    }
}

//= spec/mcp-2026-07-28.md#sec-open-redirection
//= type=test
//# The redirect URI of a request MUST be one that was registered, be it dynamically, by CIMD or by hand
//# (REG-20, U).
#[test]
fn a_document_is_not_used_for_a_redirect_uri_that_it_does_not_list() {
    let mut setting = Setting::with(|config| config.client_metadata_url = Some(CIMD.to_owned()), |_| {});
    setting.issuer.behave(|issuer| {
        issuer.client_id_documents = true;
        issuer.advertises_iss = false;
    });
    assert!(client_id(&setting.begin().unwrap().url).starts_with("client-"));
    let redirect = setting.begin_with(|asked| asked.binding = process()).unwrap();
    assert!(client_id(&redirect.url).starts_with("client-"));

    let mut setting = Setting::with(
        |config| {
            config.base_url = None;
            config.client_metadata_url = Some(CIMD.to_owned());
        },
        |_| {},
    );
    setting.issuer.behave(|issuer| issuer.client_id_documents = true);
    let redirect = setting.begin_with(|asked| asked.binding = process()).unwrap();
    assert_eq!(client_id(&redirect.url), CIMD);
}

//= spec/rfc7591.md#3-1
//= type=test
//# The engine MUST register by a POST of JSON and SHOULD name only redirect URIs, grants, response types and
//# an authentication method it really uses (REG-14, U).
//= spec/mcp-2026-07-28.md#reg-application-type-and-redirect-uri-constraints
//= type=test
//# A dynamic registration MUST state `application_type`, which SHOULD be `native` for desktop, command line
//# and localhost and `web` for a remote browser application (REG-15, U).
#[test]
fn a_dynamic_registration_says_what_we_are_and_no_more() {
    let mut setting = Setting::new();
    setting.begin().unwrap();
    assert_eq!(
        setting.issuer.registrations(),
        [json!({
            "redirect_uris": ["https://gw.good/callback"],
            "client_name": "Gateway",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "client_secret_post",
            "application_type": "web",
        })]
    );
    let registered = What::Registered { issuer: ISSUER.to_owned() };
    assert!(setting.events.contains(&registered));
    setting.begin_with(|asked| asked.binding = process()).unwrap();
    let native = &setting.issuer.registrations()[1];
    assert_eq!(native["application_type"], "native");
    assert_eq!(native["redirect_uris"], json!([LOOPBACK]));
    assert_eq!(native["token_endpoint_auth_method"], "none");
}

//= spec/mcp-2026-07-28.md#reg-dynamic-client-registration
//= type=test
//# Dynamic registration MAY be supported, deprecated as it is (REG-13, U/S).
// F17, T-38
#[test]
fn one_registration_serves_all_owners_and_connectors_of_a_tenant() {
    let mut setting = Setting::new();
    setting.put("other", SERVER, |_| {});
    let first = client_id(&setting.begin().unwrap().url);
    setting.alice = caller("bob");
    assert_eq!(client_id(&setting.begin().unwrap().url), first);
    let redirect = setting.begin_with(|asked| asked.connector = name("other")).unwrap();
    assert_eq!(client_id(&redirect.url), first);
    assert_eq!(setting.issuer.registrations().len(), 1);
}

// atk:TEN-06
#[test]
fn a_registration_of_one_tenant_is_invisible_to_another() {
    let mut setting = Setting::new();
    let first = client_id(&setting.begin().unwrap().url);
    let admin =
        Caller { role: Role::Admin, ..Caller::new("globex", Principal::user("root").unwrap()).unwrap() };
    let operation = setting.engine.put_connector(PutConnector {
        caller: admin,
        id: name("mcp"),
        connector: grantway_core::connector::Connector::server(SERVER),
        client_secret: None,
        expected_revision: None,
        unverified: false,
    });
    setting.run(operation).unwrap();
    setting.alice = Caller::new("globex", setting.alice.principal.clone()).unwrap();
    assert_ne!(client_id(&setting.begin().unwrap().url), first);
    assert_eq!(setting.issuer.registrations().len(), 2);
}

//= spec/mcp-2026-07-28.md#sec-open-redirection
//= type=test
//# The redirect URI of a request MUST be one that was registered, be it dynamically, by CIMD or by hand
//# (REG-20, U).
// R15
#[test]
fn another_redirect_uri_is_another_registration() {
    let mut setting = Setting::new();
    setting.begin_with(|asked| asked.binding = process()).unwrap();
    let redirect_uri = "http://127.0.0.1:50000/callback".to_owned();
    setting
        .begin_with(|asked| {
            asked.binding = grantway_core::upstream::begin_connect::FlowBinding::Paste { redirect_uri };
        })
        .unwrap();
    assert_eq!(setting.issuer.registrations().len(), 2);
}

//= spec/mcp-2026-07-28.md#reg-authorization-server-binding
//= type=test
//# Static credentials whose issuer is no longer the resource's SHOULD lead to an error, not to an attempt
//# (REG-06, U).
// atk:MIX-05
#[test]
fn a_static_registration_is_used_at_its_own_issuer_alone() {
    let mut setting = Setting::new();
    with_static(&mut setting, Some("https://as.other"), Some("canary-secret-by-hand"));
    assert_eq!(setting.begin_fails(), "config.registration_issuer_mismatch");
    with_static(&mut setting, Some("https://as.good/"), Some("canary-secret-by-hand"));
    assert_eq!(setting.begin_fails(), "config.registration_issuer_mismatch");
}

//= spec/mcp-2026-07-28.md#reg-pre-registration
//= type=test
//# Static credentials from an operator SHOULD be supported (REG-03, U).
// atk:MIX-05
#[test]
fn a_static_registration_without_an_issuer_belongs_to_the_first_for_good() {
    let mut setting = Setting::new();
    with_static(&mut setting, None, Some("canary-secret-by-hand"));
    setting.connect();
    assert!(setting.world.network.who_was_told("canary-secret-by-hand").contains(ISSUER));
    let evil = Issuer::new("https://evil.example");
    evil.register_static("by-hand", None, AuthMethod::Basic, &["https://gw.good/callback"]);
    setting.world.host("https://evil.example", evil.clone());
    setting.mcp.behave(|mcp| mcp.issuers = vec![evil.clone()]);
    setting.world.advance(HOUR);
    assert_eq!(setting.begin_fails(), "config.registration_issuer_mismatch");
    assert_eq!(setting.world.network.who_was_told("canary-secret-by-hand").len(), 1);
    assert_eq!(setting.world.network.seen("POST", "https://evil.example").len(), 0);
    // The administrator moves the client knowingly.
    with_static(&mut setting, Some("https://evil.example"), Some("canary-secret-by-hand"));
    assert_eq!(setting.begin().unwrap().issuer, "https://evil.example");
}

#[test]
fn a_static_registration_that_cannot_authenticate_there_is_named() {
    let mut setting = Setting::new();
    with_static(&mut setting, Some(ISSUER), Some("canary-secret-by-hand"));
    setting.issuer.behave(|issuer| {
        issuer.metadata_edits.set("token_endpoint_auth_methods_supported", json!(["private_key_jwt"]));
    });
    let failure = setting.begin().unwrap_err();
    assert_eq!(failure.slug(), "config.registration_needed");
    assert!(failure.reason().is_some());
}

//= spec/rfc7591.md#3-2-1
//= type=test
//# What the registration response says MUST replace what was asked for: authentication method, redirect URIs,
//# oauth scopes and grants are the issuer's to change (REG-17, U).
// T-09
#[test]
fn the_method_that_the_issuer_returns_is_used() {
    for (offered, returned) in [
        (AuthMethod::Basic, json!("client_secret_basic")),
        (AuthMethod::Post, json!("client_secret_post")),
        (AuthMethod::None, json!("none")),
        (AuthMethod::Basic, json!(null)),
        (AuthMethod::Post, json!("")),
    ] {
        let mut setting = Setting::new();
        setting.issuer.behave(|issuer| {
            issuer.auth_methods = vec![offered];
            issuer.registration_edits.set("token_endpoint_auth_method", returned);
        });
        // The issuer takes no other method than the one it registered.
        setting.connect();
    }
    let mut setting = Setting::new();
    setting.issuer.behave(|issuer| {
        issuer.auth_methods = vec![AuthMethod::None];
        issuer.secret_for_public_clients = true;
    });
    setting.connect();
}

//= spec/mcp-2026-07-28.md#reg-application-type-and-redirect-uri-constraints
//= type=test
//# A registration refused over its redirect URIs MUST be provided for: it SHOULD end in a meaningful error
//# and MAY be tried again with another type or other URIs (REG-16, U).
//= spec/mcp-2026-07-28.md#reg-application-type-and-redirect-uri-constraints
//= type=test
//# A registration error SHOULD reach user or developer in readable form (ERR-07, U).
// F15
#[test]
fn a_refusal_is_readable() {
    for (answer, reason, text) in [
        (
            Response::json(
                400,
                &json!({ "error": "invalid_redirect_uri", "error_description": "no `http`\r\n" }),
            ),
            Some("it does not accept the redirect URI"),
            Some("invalid_redirect_uri: no 'http'??"),
        ),
        (
            Response::json(400, &json!({ "error": "invalid_client_metadata" })),
            Some("it does not accept the client metadata"),
            Some("invalid_client_metadata"),
        ),
        (Response::new(403).header("Content-Type", "text/plain").body("Forbidden"), None, None),
        (Response::new(404), None, None),
    ] {
        let mut setting = Setting::new();
        setting.issuer.answer_instead(Endpoint::Register, 1, answer);
        let failure = setting.begin().unwrap_err();
        assert_eq!(failure.slug(), "peer_refused.registration");
        assert_eq!((failure.reason(), failure.peer_text()), (reason, text));
    }
}

#[test]
fn a_success_that_is_none_is_the_peers_fault() {
    for body in [
        json!({}),
        json!({ "client_id": "" }),
        json!({ "client_id": "x", "token_endpoint_auth_method": "tls_client_auth" }),
    ] {
        let mut setting = Setting::new();
        setting.issuer.answer_instead(Endpoint::Register, 1, Response::json(201, &body));
        assert_eq!(setting.begin_fails(), "peer_misbehaved.registration_invalid", "{body}");
    }
}

#[test]
fn an_issuer_that_cannot_answer_now_is_asked_again_later() {
    let mut setting = Setting::new();
    let later = Response::new(429).header("Retry-After", "120");
    setting.issuer.answer_instead(Endpoint::Register, 1, later);
    let failure = setting.begin().unwrap_err();
    assert_eq!(failure.slug(), "network.issuer_unavailable");
    assert_eq!(failure.retry_from(), Some(setting.world.now().plus(120_000)));
    setting.begin().unwrap();
}

//= spec/rfc7591.md#3-2-1
//= type=test
//# A client secret MUST be used no longer than its `client_secret_expires_at`, where 0 means for ever, and a
//# new registration follows (REG-19, U).
#[test]
fn an_expired_registration_is_made_anew() {
    let mut setting = Setting::new();
    let end = setting.world.now().0 / 1000 + 3600;
    setting.registration_says("client_secret_expires_at", end);
    let first = client_id(&setting.begin().unwrap().url);
    setting.issuer.behave(|issuer| issuer.registration_edits.clear());
    setting.world.advance(HOUR - 1_000);
    assert_eq!(client_id(&setting.begin().unwrap().url), first);
    setting.world.advance(1_000);
    let second = client_id(&setting.begin().unwrap().url);
    assert_ne!(first, second);
    assert_eq!(client_id(&setting.begin().unwrap().url), second);
}

/// The issuer forgets the client while the person is there.
fn connect_with_a_forgotten_client(setting: &mut Setting) {
    let redirect = setting.begin().unwrap();
    let callback = setting.issuer.approve(&redirect.url);
    setting.issuer.forget_clients();
    assert_eq!(setting.complete(&redirect, &callback).unwrap_err().slug(), "peer_refused.client");
}

// F19, R16
#[test]
fn a_client_that_the_issuer_forgot_is_registered_anew_at_the_next_attempt() {
    let mut setting = Setting::new();
    connect_with_a_forgotten_client(&mut setting);
    setting.connect();
    assert_eq!(setting.issuer.registrations().len(), 2);
}

//= spec/derived.md#err-02
//= type=test
//# `invalid_client` at the token endpoint MUST make the issuer's registration stale and lead to one new
//# dynamic registration at most, else to a report (ERR-02, U, derived).
// atk:TOK-14
#[test]
fn an_issuer_that_forgets_for_ever_gets_one_renewal_an_hour() {
    let mut setting = Setting::new();
    connect_with_a_forgotten_client(&mut setting);
    connect_with_a_forgotten_client(&mut setting);
    let renewed_at = setting.world.now();
    for _ in 0..5 {
        let failure = setting.begin().unwrap_err();
        assert_eq!(failure.slug(), "peer_refused.client");
        assert_eq!(failure.retry_from(), Some(renewed_at.plus(HOUR)));
    }
    assert_eq!(setting.issuer.registrations().len(), 2);
    setting.world.advance(HOUR);
    connect_with_a_forgotten_client(&mut setting);
    assert_eq!(setting.begin_fails(), "peer_refused.client");
    assert_eq!(setting.issuer.registrations().len(), 3);
}

#[test]
fn a_new_registration_may_be_asked_for_once_an_hour() {
    let mut setting = Setting::new();
    let first = client_id(&setting.begin().unwrap().url);
    let second = client_id(&setting.begin_with(|asked| asked.new_registration = true).unwrap().url);
    assert_ne!(first, second);
    assert_eq!(client_id(&setting.begin().unwrap().url), second);
    let failure = setting.begin_with(|asked| asked.new_registration = true).unwrap_err();
    assert_eq!(failure.slug(), "peer_refused.client");
}

// R9
#[test]
fn two_who_register_at_once_use_the_same_registration() {
    let mut setting = Setting::new();
    let mut workers: Vec<_> = ["alice", "bob"]
        .map(|user| {
            let mut asked = setting.asked();
            asked.caller = caller(user);
            Worker::new(setting.engine.begin_connect(asked))
        })
        .into();
    for worker in &mut workers {
        assert!(worker.run_until(&mut setting.world, posts_to("/register")));
    }
    let ids: Vec<_> = workers
        .into_iter()
        .map(|worker| client_id(&worker.finish(&mut setting.world).result.unwrap().url))
        .collect();
    assert_eq!(setting.issuer.registrations().len(), 2);
    assert_eq!(ids[0], ids[1]);
    assert_eq!(client_id(&setting.begin().unwrap().url), ids[0]);
}

#[test]
fn whatever_the_order_of_steps_all_use_what_is_stored() {
    for seed in 0..40 {
        let mut setting = Setting::seeded(seed);
        let asked = |user: &str| {
            let mut asked = setting.asked();
            asked.caller = caller(user);
            setting.engine.begin_connect(asked)
        };
        let (mut a, mut b) = (Worker::new(asked("alice")), Worker::new(asked("bob")));
        interleave(&mut setting.world, &mut [&mut a, &mut b], Schedule::Random);
        let ids = [a, b].map(|mut worker| client_id(&worker.outcome().unwrap().result.unwrap().url));
        assert_eq!(ids[0], ids[1], "seed {seed}");
    }
}

#[test]
fn no_secret_of_a_registration_lies_open_in_the_store() {
    let mut setting = Setting::new();
    setting.issuer.behave(|issuer| {
        issuer.auth_methods = vec![AuthMethod::Basic];
        issuer.registration_edits.set("client_secret", "canary-registered-secret");
        issuer.registration_edits.set("registration_access_token", "canary-management-token");
    });
    let operation = setting.engine.begin_connect(setting.asked());
    let outcome = drive(&mut setting.world, operation);
    for canary in ["canary-registered-secret", "canary-management-token"] {
        assert!(!setting.world.store.leaks(canary));
        assert!(!format!("{outcome:?}").contains(canary));
        assert_eq!(setting.world.network.who_was_told(canary).len(), 0);
    }
}
