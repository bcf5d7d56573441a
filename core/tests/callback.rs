//! The callback: who may finish a flow, where, how often, and in whose name.

mod stage;

use grantway_core::error::Failure;
use grantway_core::principal::Principal;
use grantway_core::secret::Secret;
use grantway_core::upstream::begin_connect::{BeginConnect, FlowBinding};
use grantway_core::upstream::complete_connect::CompleteConnect;
use grantway_core::upstream::resolve::Resolution;
use grantway_testing::{
    CallbackIss, CommitFault, Endpoint, HttpFault, Issuer, Lands, Response, Worker, drive_or_crash, posts_to,
};
use stage::{SERVER, Stage, alice, notes, token, user};

const MINUTE: u64 = 60_000;

/// A flow of Alice's that is approved, and what her browser brings back.
fn approved(stage: &mut Stage) -> CompleteConnect {
    let redirect = stage.begin(&alice());
    let url = stage.issuer.approve_as("alice", &redirect.url);
    stage.callback(&alice(), &redirect, &url)
}

fn refused(stage: &mut Stage, arguments: CompleteConnect) -> Failure {
    stage.complete(arguments).result.unwrap_err()
}

/// Nothing was sent to the token endpoint, and the genuine callback still succeeds (P27).
fn is_harmless(stage: &mut Stage, genuine: CompleteConnect) {
    assert_eq!(stage.issuer.live_refresh_tokens(), [""; 0]);
    assert!(stage.world.network.seen("POST", "https://as.good/token").is_empty());
    stage.complete(genuine).result.unwrap();
}

fn with_query(arguments: &CompleteConnect, change: impl Fn(&str) -> String) -> CompleteConnect {
    CompleteConnect {
        callback_url: Secret::new(change(arguments.callback_url.expose())),
        ..arguments.clone()
    }
}

#[test]
fn an_approved_flow_connects_and_the_token_is_the_persons_own() {
    let mut stage = Stage::new();
    let connected = stage.connect(&alice());
    assert_eq!((connected.owner, connected.generation), (alice().principal, 1));
    let ready = stage.ready(&alice());
    let live = stage.issuer.live_token(&token(&ready), stage.world.now()).unwrap();
    assert_eq!(live.user, "alice");
    assert_eq!(ready.attribution().owner, alice().principal);
}

//= spec/rfc9207.md#2-4
//= type=test
//# When the issuer advertises `iss` and a response carries one, the engine MUST compare it with the issuer of
//# the pending flow and refuse the response if they differ (AZR-02, U).
//= spec/mcp-2026-07-28.md#idx-authorization-response-validation
//= type=test
//# The check of `iss` MUST be over before the code is sent anywhere (AZR-07, U).
// atk:MIX-01, atk:MIX-03
#[test]
fn a_callback_in_another_issuers_name_is_refused_byte_for_byte() {
    for iss in [
        "https://evil.example",
        "https://as.good/",
        "HTTPS://AS.GOOD",
        "https://as.good:443",
        "https://as.good/%2e",
        "https%3A%2F%2Fas.good",
    ] {
        let mut stage = Stage::new();
        let genuine = approved(&mut stage);
        let encoded: String = form_urlencoded::byte_serialize(iss.as_bytes()).collect();
        let forged =
            with_query(&genuine, |url| url.replace("iss=https%3A%2F%2Fas.good", &format!("iss={encoded}")));
        assert_ne!(forged.callback_url.expose(), genuine.callback_url.expose());
        assert_eq!(refused(&mut stage, forged).slug(), "peer_misbehaved.callback_issuer_mismatch", "{iss}");
        is_harmless(&mut stage, genuine);
    }
}

//= spec/rfc9207.md#2-4
//= type=test
//# When the issuer advertises `iss` and a response carries none, the engine MUST refuse the response
//# (AZR-03, U).
// atk:MIX-02
#[test]
fn an_issuer_that_promised_its_name_must_send_it() {
    let mut stage = Stage::new();
    stage.issuer.behave(|b| b.callback_iss = CallbackIss::Absent);
    let forged = approved(&mut stage);
    assert_eq!(refused(&mut stage, forged).slug(), "peer_misbehaved.callback_issuer_missing");
    assert!(stage.world.network.seen("POST", "https://as.good/token").is_empty());
}

//= spec/mcp-2026-07-28.md#idx-authorization-response-validation
//= type=test
//# An `iss` that the issuer does not advertise MUST be compared all the same (AZR-04, U).
// atk:MIX-01
#[test]
fn a_name_that_nobody_promised_is_compared_all_the_same() {
    let mut stage = Stage::new();
    stage.issuer.behave(|b| {
        b.advertises_iss = false;
        b.callback_iss = CallbackIss::Other("https://evil.example".to_owned());
    });
    let forged = approved(&mut stage);
    assert_eq!(refused(&mut stage, forged).slug(), "peer_misbehaved.callback_issuer_mismatch");
}

//= spec/mcp-2026-07-28.md#idx-authorization-response-validation
//= type=test
//# A response without `iss` from an issuer that does not advertise it MUST be let through (AZR-05, U).
#[test]
fn an_issuer_that_promised_nothing_and_sends_nothing_is_believed_on_its_own_path() {
    let mut stage = Stage::new();
    stage.issuer.behave(|b| {
        b.advertises_iss = false;
        b.callback_iss = CallbackIss::Absent;
    });
    let genuine = approved(&mut stage);
    let path = genuine.callback_url.expose().split('?').next().unwrap().to_owned();
    assert!(
        path.starts_with("https://gw.good/callback/") && path.len() == "https://gw.good/callback/".len() + 16
    );
    // atk:MIX-01, atk:MIX-07, atk:MIX-08
    let elsewhere =
        with_query(&genuine, |url| url.replace(&path, "https://gw.good/callback/0123456789abcdef"));
    assert_eq!(refused(&mut stage, elsewhere).slug(), "user.context_mismatch");
    let without = with_query(&genuine, |url| url.split_once('?').unwrap().1.to_owned());
    assert_eq!(
        refused(&mut stage, without).slug(),
        "user.context_mismatch",
        "a query alone says nothing of the path"
    );
    is_harmless(&mut stage, genuine);
}

//= spec/rfc9207.md#2-4
//= type=test
//# From an error response whose `iss` fails the check, the engine MUST NOT follow or pass on any error member
//# (AZR-08, U).
// atk:MIX-10, atk:CSR-08
#[test]
fn an_error_in_another_issuers_name_is_neither_acted_on_nor_shown() {
    let mut stage = Stage::new();
    let genuine = approved(&mut stage);
    let forged = with_query(&genuine, |url| {
        let (base, query) = url.split_once('?').unwrap();
        let state = query.split('&').find(|pair| pair.starts_with("state=")).unwrap();
        format!(
            "{base}?error=access_denied&error_description=call+0800-PHISH&error_uri=https://evil&{state}\
             &iss=https%3A%2F%2Fevil.example"
        )
    });
    let outcome = stage.complete(forged);
    let failure = outcome.result.unwrap_err();
    assert_eq!(failure.slug(), "peer_misbehaved.callback_issuer_mismatch");
    assert!(!format!("{failure} {failure:?} {:?}", outcome.events).contains("PHISH"));
    is_harmless(&mut stage, genuine);
}

//= spec/mcp-2026-07-28.md#sec-open-redirection
//= type=test
//# A response whose `state` is not that of a pending flow SHOULD be discarded (AZR-01, U).
// atk:CSR-01, atk:MIX-02, atk:COD-12
#[test]
fn a_callback_that_is_not_whole_or_names_no_flow_of_ours_changes_nothing() {
    let mut stage = Stage::new();
    let genuine = approved(&mut stage);
    let url = genuine.callback_url.expose().to_owned();
    let state = url.split(['?', '&']).find(|pair| pair.starts_with("state=")).unwrap().to_owned();
    let cases = [
        (url.replace(&state, ""), "user.callback_malformed"),
        (url.replace(&state, "state="), "user.callback_malformed"),
        (url.replace(&state, "state=unknown"), "user.flow_unknown"),
        (url.replace(&state, &state[..state.len() - 1]), "user.flow_unknown"),
        (url.replace(&state, &state.to_uppercase().replace("STATE", "state")), "user.flow_unknown"),
        (url.replace(&state, &format!("state={}", "a".repeat(4096))), "user.flow_unknown"),
        (format!("{url}&{state}"), "user.callback_malformed"),
        (format!("{url}&iss=https%3A%2F%2Fas.good"), "user.callback_malformed"),
        (format!("{url}&code=other"), "user.callback_malformed"),
        (format!("{url}&error=access_denied"), "user.callback_malformed"),
        (url.replace("iss=https%3A%2F%2Fas.good", "iss="), "user.callback_malformed"),
    ];
    for (forged, slug) in cases {
        let forged = CompleteConnect { callback_url: Secret::new(forged), ..genuine.clone() };
        assert_eq!(refused(&mut stage, forged.clone()).slug(), slug, "{}", forged.callback_url.expose());
    }
    is_harmless(&mut stage, genuine);
}

//= spec/oauth21.md#2-3-4
//= type=test
//# A pending flow MUST be finished by the user agent that began it, once, and before it expires (AZR-10, U).
//= spec/mcp-2026-07-28.md#sec-open-redirection
//= type=test
//# `state` SHOULD be random, used once and tied to user agent and pending flow, and where PKCE is missing it
//# MUST be (AZQ-05, U).
// atk:CSR-02
#[test]
fn a_callback_in_another_browser_is_refused() {
    let mut stage = Stage::new();
    let genuine = approved(&mut stage);
    let other = stage.begin(&user("mallory"));
    let cookie = other.cookie.unwrap().expose().split(';').next().unwrap().to_owned();
    for cookies in
        [None, Some(Secret::new(cookie)), Some(Secret::new("__Host-grantway=")), Some(Secret::new("x=y"))]
    {
        let stolen = CompleteConnect { cookies, ..genuine.clone() };
        assert_eq!(refused(&mut stage, stolen).slug(), "user.binding_mismatch");
    }
    is_harmless(&mut stage, genuine);
}

// atk:CSR-03
#[test]
fn a_flow_that_mallory_began_never_connects_what_alice_approved() {
    let mut stage = Stage::new();
    let mallory = user("mallory");
    let redirect = stage.begin(&mallory);
    let url = stage.issuer.approve_as("alice", &redirect.url);
    let arguments = stage.callback(&alice(), &redirect, &url);
    assert_eq!(refused(&mut stage, arguments.clone()).slug(), "user.principal_mismatch");
    let nobody = CompleteConnect { caller: None, ..arguments };
    assert_eq!(refused(&mut stage, nobody).slug(), "user.principal_mismatch");
    assert!(stage.world.network.seen("POST", "https://as.good/token").is_empty());
}

#[test]
fn a_caller_of_another_tenant_finds_no_flow() {
    let mut stage = Stage::new();
    let genuine = approved(&mut stage);
    let foreign = grantway_core::principal::Caller::new("globex", Principal::user("alice").unwrap()).unwrap();
    let forged = CompleteConnect { caller: Some(foreign), ..genuine.clone() };
    assert_eq!(refused(&mut stage, forged).slug(), "user.flow_unknown");
    is_harmless(&mut stage, genuine);
}

// atk:CSR-02
#[test]
fn a_process_flow_ends_in_the_process_that_began_it() {
    let mut stage = Stage::new();
    let binding = FlowBinding::Process { redirect_uri: "http://127.0.0.1:7777/callback".to_owned() };
    let begin = BeginConnect { binding, ..BeginConnect::new(alice(), notes()) };
    let operation = stage.engine.begin_connect(begin);
    let redirect = stage.drive(operation).result.unwrap();
    assert!(redirect.cookie.is_none());
    let url = stage.issuer.approve_as("alice", &redirect.url);
    let genuine = CompleteConnect {
        process_secret: redirect.process_secret.clone(),
        ..stage.callback(&alice(), &redirect, &url)
    };
    for process_secret in [None, Some(Secret::new("")), Some(Secret::new("guess"))] {
        let forged = CompleteConnect { process_secret, ..genuine.clone() };
        assert_eq!(refused(&mut stage, forged).slug(), "user.binding_mismatch");
    }
    is_harmless(&mut stage, genuine);
}

//= spec/mcp-best-practices.md#oauth-state-parameter-validation
//= type=test
//# At the upstream's callback a `state` that is missing or not this browser's MUST be refused, and each
//# counts once and for about ten minutes (CON-08, B).
//= spec/oauth21.md#2-3-4
//= type=test
//# A pending flow MUST be finished by the user agent that began it, once, and before it expires (AZR-10, U).
// atk:CSR-05, P7
#[test]
fn a_callback_is_good_once_whatever_became_of_it() {
    let mut stage = Stage::new();
    let genuine = approved(&mut stage);
    stage.complete(genuine.clone()).result.unwrap();
    assert_eq!(refused(&mut stage, genuine).slug(), "user.flow_used");

    let mut stage = Stage::new();
    let genuine = approved(&mut stage);
    stage.issuer.answer_instead(Endpoint::Token, 1, Response::new(500));
    assert_eq!(refused(&mut stage, genuine.clone()).slug(), "network.issuer_unavailable");
    assert_eq!(refused(&mut stage, genuine).slug(), "user.flow_used");
    assert_eq!(stage.world.network.seen("POST", "https://as.good/token").len(), 1);
}

// atk:CSR-05, P7
#[test]
fn two_callbacks_at_once_send_the_code_once() {
    let mut stage = Stage::new();
    let genuine = approved(&mut stage);
    let mut first = Worker::new(stage.engine.complete_connect(genuine.clone()));
    let second = Worker::new(stage.engine.complete_connect(genuine));
    assert!(first.run_until(&mut stage.world, posts_to("/token")));
    assert_eq!(second.finish(&mut stage.world).result.unwrap_err().slug(), "user.flow_used");
    first.finish(&mut stage.world).result.unwrap();
    assert_eq!(stage.world.network.seen("POST", "https://as.good/token").len(), 1);
}

// P7, P24
#[test]
fn a_crash_after_any_effect_sends_the_code_at_most_once_and_says_what_cannot_be_known() {
    for effect in 1..=8 {
        let mut stage = Stage::new();
        let genuine = approved(&mut stage);
        stage.world.crash_after(effect);
        let first = stage.engine.complete_connect(genuine.clone());
        if drive_or_crash(&mut stage.world, first).is_ok() {
            assert!(effect > 6, "a callback has at least six effects");
            continue;
        }
        let _ = stage.complete(genuine);
        assert!(stage.world.network.seen("POST", "https://as.good/token").len() <= 1, "{effect}");
        let lost = !stage.issuer.live_refresh_tokens().is_empty()
            && !matches!(stage.resolve(&alice()), Resolution::Ready(_));
        let disconnected = stage.disconnect(&alice());
        assert!(
            !lost || disconnected.doubt,
            "{effect}: a token nobody has seen is not passed over in silence"
        );
    }
}

// P7
#[test]
fn a_claim_whose_commit_is_unknown_goes_on_only_if_it_is_its_own() {
    for lands in [Lands::Now, Lands::Never, Lands::After(1), Lands::After(2)] {
        for commit in [1, 2] {
            let mut stage = Stage::new();
            let genuine = approved(&mut stage);
            stage.world.on_commit(commit, CommitFault::Unknown(lands));
            stage.complete(genuine).result.unwrap();
            assert_eq!(
                stage.world.network.seen("POST", "https://as.good/token").len(),
                1,
                "{lands:?} {commit}"
            );
            stage.ready(&alice());
        }
    }
}

//= spec/oauth21.md#2-3-4
//= type=test
//# A pending flow MUST be finished by the user agent that began it, once, and before it expires (AZR-10, U).
// P8, P26, atk:TOK-13
#[test]
fn a_flow_that_was_seen_expired_stays_expired_when_the_clock_goes_back() {
    let mut stage = Stage::new();
    let genuine = approved(&mut stage);
    let began = stage.world.now();
    stage.world.advance(10 * MINUTE);
    assert_eq!(refused(&mut stage, genuine.clone()).slug(), "user.flow_expired");
    stage.world.set_clock(began);
    assert_eq!(refused(&mut stage, genuine).slug(), "user.flow_expired");
}

// P8, atk:TOK-13
#[test]
fn a_flow_from_the_future_is_not_good() {
    let mut stage = Stage::new();
    let genuine = approved(&mut stage);
    let began = stage.world.now();
    stage.world.set_clock(began.minus(3 * MINUTE));
    assert_eq!(refused(&mut stage, genuine).slug(), "user.flow_expired");
}

#[test]
fn the_newest_flow_wins_and_a_disconnect_supersedes_all() {
    let mut stage = Stage::new();
    let older = approved(&mut stage);
    let newer = approved(&mut stage);
    assert_eq!(refused(&mut stage, older).slug(), "user.flow_superseded");
    stage.disconnect(&alice());
    assert_eq!(refused(&mut stage, newer).slug(), "user.flow_superseded");
    assert!(stage.world.network.seen("POST", "https://as.good/token").is_empty());
}

// P19, atk:TOK-08
#[test]
fn a_disconnect_while_the_code_is_redeemed_wins_and_the_token_is_revoked() {
    let mut stage = Stage::new();
    let genuine = approved(&mut stage);
    let mut completing = Worker::new(stage.engine.complete_connect(genuine));
    assert!(completing.run_until(&mut stage.world, posts_to("/token")));
    completing.perform(&mut stage.world);
    assert!(stage.disconnect(&alice()).doubt);
    completing.deliver(&mut stage.world);
    assert_eq!(completing.finish(&mut stage.world).result.unwrap_err().slug(), "user.flow_superseded");
    assert_eq!(stage.issuer.live_refresh_tokens(), [""; 0]);
    assert!(matches!(stage.resolve(&alice()), Resolution::Challenge(_)));
}

// F34
#[test]
fn a_refusal_of_the_issuer_ends_the_flow_in_its_own_words() {
    let mut stage = Stage::new();
    let redirect = stage.begin(&alice());
    let url = stage.issuer.deny(&redirect.url);
    let arguments = stage.callback(&alice(), &redirect, &url);
    let failure = refused(&mut stage, arguments.clone());
    assert_eq!(failure.slug(), "user.access_denied");
    assert_eq!(refused(&mut stage, arguments).slug(), "user.flow_used");
}

//= spec/rfc6749.md#7-1
//= type=test
//# `token_type` MUST be compared without regard to case, and a token of an unknown type is not used
//# (TOK-09, U).
//= spec/derived.md#err-03
//= type=test
//# Of token errors, `invalid_grant` for a code MUST lead to a new start, `invalid_target` to a stop,
//# `invalid_scope` to a report without asking for less, and none to another grant type (ERR-03, U, derived).
// atk:TOK-11, atk:NET-16
#[test]
fn what_is_no_token_response_connects_nothing() {
    let json = |body: &str| Response::new(200).header("Content-Type", "application/json").body(body);
    let cases = [
        (json(r#"{"error":"invalid_grant"}"#), "peer_refused.code"),
        (Response::new(400).body(r#"{"error":"invalid_grant"}"#), "peer_refused.code"),
        (Response::new(401).body(r#"{"error":"invalid_client"}"#), "peer_refused.client"),
        (Response::new(400).body(r#"{"error":"invalid_target"}"#), "peer_refused.resource"),
        (Response::new(400).body(r#"{"error":"invalid_scope"}"#), "peer_refused.scope"),
        (Response::new(503), "network.issuer_unavailable"),
        (Response::html(200, "<html>hello</html>"), "peer_misbehaved.token_response_invalid"),
        (json("{}"), "peer_misbehaved.token_response_invalid"),
        (json(r#"{"access_token":["a"],"token_type":"Bearer"}"#), "peer_misbehaved.token_response_invalid"),
        (
            json(r#"{"access_token":"a\r\nHost: evil","token_type":"Bearer"}"#),
            "peer_misbehaved.token_response_invalid",
        ),
        (
            json(r#"{"access_token":"a","access_token":"b","token_type":"Bearer"}"#),
            "peer_misbehaved.token_response_invalid",
        ),
        (json(r#"{"access_token":"a","token_type":"mac"}"#), "peer_misbehaved.token_type_unsupported"),
        (json(r#"{"access_token":"a","token_type":"DPoP"}"#), "peer_misbehaved.token_type_unsupported"),
        (json(r#"{"access_token":"a","token_type":"N_A"}"#), "peer_misbehaved.token_type_unsupported"),
        (json(&"x".repeat(70_000)), "peer_misbehaved.response_too_large"),
        (Response::redirect(302, "https://evil.example/token"), "peer_misbehaved.redirected"),
    ];
    for (response, slug) in cases {
        let mut stage = Stage::new();
        let genuine = approved(&mut stage);
        stage.issuer.answer_instead(Endpoint::Token, 1, response);
        assert_eq!(refused(&mut stage, genuine).slug(), slug);
        assert!(matches!(stage.resolve(&alice()), Resolution::Challenge(_)), "{slug}");
    }
}

#[test]
fn a_code_whose_answer_is_lost_is_not_sent_again_and_leaves_a_doubt() {
    let mut stage = Stage::new();
    let genuine = approved(&mut stage);
    stage.world.on_http("/token", 1, HttpFault::Lost { processed: true });
    assert_eq!(refused(&mut stage, genuine.clone()).slug(), "network.outcome_unknown");
    assert_eq!(refused(&mut stage, genuine).slug(), "user.flow_used");
    assert!(stage.disconnect(&alice()).doubt);
}

//= spec/mcp-2026-07-28.md#idx-authorization-response-validation
//= type=test
//# The validated issuer MUST stand in the pending flow, beside verifier and state, before the user is sent
//# off (AZQ-10, U).
//= spec/oauth21.md#7-14
//= type=test
//# The code MUST go to the token endpoint of the pending flow's issuer and nowhere else (AZR-11, U).
// atk:MIX-06, P3
#[test]
fn what_the_server_says_meanwhile_does_not_move_a_flow() {
    let mut stage = Stage::new();
    let genuine = approved(&mut stage);
    let evil = Issuer::new("https://evil.example");
    stage.world.host("https://evil.example", evil.clone());
    stage.mcp.behave(|b| b.issuers = vec![evil.clone()]);
    stage.begin(&user("bob"));
    stage.complete(genuine).result.unwrap();
    assert!(stage.world.network.seen("POST", "https://evil.example/token").is_empty());
    assert_eq!(evil.posts_per_refresh_token().len(), 0);
}

//= spec/oauth21.md#3-2-2
//= type=test
//# A token request MUST be a POST with a form-encoded UTF-8 body and put nothing of it in the URL
//# (TOK-01, U).
//= spec/oauth21.md#10-2
//= type=test
//# The token request MAY repeat `redirect_uri`, exactly as the authorization request had it, because OAuth
//# 2.0 servers demand it and 2.1 servers have to accept it (TOK-04, U).
#[test]
fn the_token_request_says_what_the_authorization_request_said() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    let asked = stage.issuer.authorizations().pop().unwrap();
    let sent = stage.world.network.seen("POST", "https://as.good/token").pop().unwrap().form().unwrap();
    assert_eq!(sent.get("redirect_uri"), asked.get("redirect_uri"));
    assert_eq!(sent.get("resource"), asked.get("resource"));
    assert_eq!(sent.get("resource"), Some(SERVER));
    assert_eq!(sent.get("grant_type"), Some("authorization_code"));
    assert!(sent.get("code_verifier").is_some() && sent.get("code").is_some());
}

// atk:TEN-08
#[test]
fn a_reconnect_as_another_account_waits_for_the_owner() {
    let mut stage = Stage::new();
    stage.issuer.behave(|b| b.id_tokens = true);
    stage.connect(&alice());
    let before = token(&stage.ready(&alice()));
    let redirect = stage.begin(&alice());
    let url = stage.issuer.approve_as("mallory", &redirect.url);
    let arguments = stage.callback(&alice(), &redirect, &url);
    let connected = stage.complete(arguments).result.unwrap();
    assert!(connected.awaits_confirmation);
    assert_eq!(token(&stage.ready(&alice())), before);
}

// F108, atk:TOK-05
#[test]
fn a_reconnect_keeps_the_connection_and_revokes_what_it_replaces() {
    let mut stage = Stage::new();
    let first = stage.connect(&alice());
    let second = stage.connect(&alice());
    assert_eq!((first.connection, first.generation + 1), (second.connection, second.generation));
    assert_eq!(stage.issuer.live_refresh_tokens().len(), 1);
}

//= spec/oauth21.md#3-2-3
//= type=test
//# The `scope` of a response MUST be taken as what was granted, and its absence as a grant of all that was
//# asked for (TOK-10, U).
// F39, atk:TOK-15
#[test]
fn what_was_granted_is_recorded_and_what_is_missing_is_said() {
    let mut stage = Stage::new();
    stage.mcp.behave(|b| b.scopes_supported = Some(vec!["read".to_owned(), "write".to_owned()]));
    stage.issuer.behave(|b| b.grantable_scopes = Some(vec!["read".to_owned()]));
    let connected = stage.connect(&alice());
    assert_eq!(connected.scopes.to_string(), "read");
    assert_eq!(connected.missing.to_string(), "write");
}
