//! A code for tokens.

use grantway_core::event::What;
use grantway_core::protocol::scopes::Scopes;
use grantway_core::secret::{Secret, SecretBytes};
use grantway_core::store::Kind;
use grantway_testing::{CommitFault, Lands, Schedule, Stepper, Worker, contains_secret, interleave};
use serde_json::json;

use super::setting::*;

fn invalid_grant() -> (u16, String) {
    is(400, "invalid_grant")
}

fn families(gateway: &Gateway) -> usize {
    gateway.world.store.rows_of(Kind::Family).len()
}

//= spec/oauth21.md#4-1-2
//= type=test
//# A code MUST be bound to its client, challenge, redirect URI and resource, and end within ten minutes, ours
//# after one (TOK-13, S).
//= spec/oauth21.md#3-2-3
//= type=test
//# Tokens MUST be given as 200 and JSON under `no-store`, with `access_token`, `token_type`, `expires_in` and
//# the scopes that they have (TOK-18, S).
//= spec/oauth21.md#3-2-3
//= type=test
//# Refresh tokens MUST be given by policy to clients registered for them only, for the scopes and the
//# resource that the user consented to (TOK-23, S).
#[test]
fn a_code_buys_the_tokens_of_its_sign_in() {
    let mut gateway = Gateway::new();
    let tokens = gateway.sign_in(EDITOR);
    assert_eq!((tokens.expires_in, tokens.scope.as_deref()), (3600, Some("read tools")));
    let caller = gateway.authenticate(&tokens.access, MCP, "read tools").unwrap();
    assert_eq!((caller.caller, caller.client_id.as_str()), (alice(), EDITOR));
    assert_eq!(caller.expires_at, gateway.world.now().plus(HOUR));
    assert_eq!(caller.scopes, Scopes::parse("read tools").unwrap());
    let event = gateway.events.remove(0);
    assert_eq!((event.actor, event.owner), (Some(alice().principal), Some(alice().principal)));
    assert_eq!(event.what, What::SignedIn { client: EDITOR.to_owned(), scopes: caller.scopes });
    // The store knows none of them.
    for secret in [&tokens.access, tokens.refresh.as_ref().unwrap()] {
        assert!(
            !gateway.world.store.leaks(secret)
                && !contains_secret(format!("{:?}", gateway.world).as_bytes(), secret)
        );
    }
}

//= spec/oauth21.md#3-2-3
//= type=test
//# Refresh tokens MUST be given by policy to clients registered for them only, for the scopes and the
//# resource that the user consented to (TOK-23, S).
#[test]
fn a_client_that_has_not_asked_for_refresh_tokens_gets_none() {
    let mut gateway = Gateway::new();
    assert_eq!(gateway.sign_in(BRIEF).refresh, None);
    assert!(gateway.sign_in(PUBLIC).refresh.is_some());
    let refresh = gateway.sign_in(EDITOR).refresh.unwrap();
    assert_eq!(refusal(&gateway.refresh(BRIEF, &refresh)), is(400, "unauthorized_client"));
}

//= spec/oauth21.md#10-2
//= type=test
//# A `redirect_uri` in the token request MUST be accepted and be that of the authorization request
//# (TOK-16, S).
#[test]
fn what_was_right_at_the_authorization_request_may_be_left_out() {
    let mut gateway = Gateway::new();
    let code = gateway.code_for(EDITOR);
    let request = post(
        "/token",
        &[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("client_id", EDITOR),
            ("code_verifier", VERIFIER),
        ],
    );
    assert!(tokens(&gateway.send(request)).refresh.is_some());
}

//= spec/oauth21.md#4-1-2
//= type=test
//# A code MUST be bound to its client, challenge, redirect URI and resource, and end within ten minutes, ours
//# after one (TOK-13, S).
// atk:COD-04, atk:COD-01
#[test]
fn a_code_is_good_for_its_own_client_only_and_stays_so_after_a_thief_has_tried() {
    let mut gateway = Gateway::new();
    let code = gateway.code_for(EDITOR);
    let before = gateway.get(&Gateway::code_key(&code));
    for thief in [PUBLIC, "https://evil.example/client.json"] {
        for _ in 0..10 {
            assert_eq!(refusal(&gateway.redeem(thief, &code, &[])), invalid_grant());
        }
    }
    assert_eq!(gateway.get(&Gateway::code_key(&code)), before);
    tokens(&gateway.redeem(EDITOR, &code, &[]));
}

//= spec/oauth21.md#10-2
//= type=test
//# A `redirect_uri` in the token request MUST be accepted and be that of the authorization request
//# (TOK-16, S).
// atk:COD-08
#[test]
fn another_redirect_uri_is_refused_byte_for_byte_and_changes_nothing() {
    let mut gateway = Gateway::new();
    let code = gateway.code_for(EDITOR);
    for other in [
        "http://127.0.0.1:5000/callback/",
        "http://127.0.0.1:05000/callback",
        "HTTP://127.0.0.1:5000/callback",
    ] {
        assert_eq!(
            refusal(&gateway.redeem(EDITOR, &code, &[("redirect_uri", other)])),
            invalid_grant(),
            "{other}"
        );
    }
    tokens(&gateway.redeem(EDITOR, &code, &[]));
}

//= spec/rfc8707.md#2-2
//= type=test
//# A `resource` at the token endpoint MUST be the one that was authorized, to which the token is restricted,
//# or be refused as `invalid_target` (TOK-19, S).
// atk:AUD-05
#[test]
fn another_resource_than_the_codes_is_an_invalid_target_and_changes_nothing() {
    let mut gateway = Gateway::new();
    let code = gateway.code_for(EDITOR);
    for other in [OTHER_MCP, "https://gw.good/mcp/", "https://evil.example/mcp"] {
        let response = gateway.redeem(EDITOR, &code, &[("resource", other)]);
        assert_eq!(refusal(&response), is(400, "invalid_target"), "{other}");
    }
    tokens(&gateway.redeem(EDITOR, &code, &[]));
}

//= spec/oauth21.md#4-1-3
//= type=test
//# The verifier MUST be there, as every code has a challenge, be of its form, and lead to the challenge
//# (TOK-15, S).
// atk:COD-05, atk:COD-11
#[test]
fn without_a_verifier_of_the_right_form_nothing_is_even_read() {
    let mut gateway = Gateway::new();
    let code = gateway.code_for(EDITOR);
    let effects = gateway.world.trace().len();
    for verifier in ["", &"a".repeat(42), &"a".repeat(129), &format!("{}é", "a".repeat(60))] {
        let response = gateway.redeem(EDITOR, &code, &[("code_verifier", verifier)]);
        assert_eq!(refusal(&response), is(400, "invalid_request"));
    }
    assert_eq!(gateway.world.trace().len(), effects);
}

//= spec/oauth21.md#4-1-3
//= type=test
//# The verifier MUST be there, as every code has a challenge, be of its form, and lead to the challenge
//# (TOK-15, S).
// atk:COD-10
#[test]
fn a_code_survives_four_wrong_verifiers_and_not_five() {
    for (wrong, survives) in [(4, true), (5, false)] {
        let mut gateway = Gateway::new();
        let code = gateway.code_for(EDITOR);
        for number in 0..wrong {
            let verifier = format!("{number}{}", &VERIFIER[1..]);
            let response = gateway.redeem(EDITOR, &code, &[("code_verifier", &verifier)]);
            assert_eq!(refusal(&response), invalid_grant());
        }
        assert_eq!(gateway.redeem(EDITOR, &code, &[]).status == 200, survives);
    }
}

//= spec/oauth21.md#4-1-2
//= type=test
//# A code MUST be bound to its client, challenge, redirect URI and resource, and end within ten minutes, ours
//# after one (TOK-13, S).
// atk:COD-13, atk:TOK-13
#[test]
fn a_code_that_was_ever_seen_expired_is_gone_whatever_the_clock_says_later() {
    for (after, is_good) in [(59 * SECOND, true), (MINUTE, false), (DAY, false)] {
        let mut gateway = Gateway::new();
        let code = gateway.code_for(EDITOR);
        let start = gateway.world.now();
        gateway.world.set_clock(start.plus(after));
        assert_eq!(gateway.redeem(EDITOR, &code, &[]).status == 200, is_good);
        gateway.world.set_clock(start);
        if !is_good {
            assert_eq!(refusal(&gateway.redeem(EDITOR, &code, &[])), invalid_grant());
        }
    }
    // From a time to come: the clock was set back further than clocks may differ.
    let mut gateway = Gateway::new();
    let code = gateway.code_for(EDITOR);
    let start = gateway.world.now();
    gateway.world.set_clock(start.minus(HOUR));
    assert_eq!(refusal(&gateway.redeem(EDITOR, &code, &[])), invalid_grant());
    gateway.world.set_clock(start);
    assert_eq!(refusal(&gateway.redeem(EDITOR, &code, &[])), invalid_grant());
}

//= spec/oauth21.md#4-1-3
//= type=test
//# A code MUST be good once: a second valid request is denied and the tokens of the first are revoked, while
//# an invalid one revokes nothing (TOK-14, S).
// atk:COD-02
#[test]
fn a_second_valid_use_ends_what_the_first_has_brought_and_an_invalid_one_does_not() {
    let mut gateway = Gateway::new();
    let code = gateway.code_for(EDITOR);
    let first = tokens(&gateway.redeem(EDITOR, &code, &[]));
    gateway.news();
    let wrong = format!("X{}", &VERIFIER[1..]);
    for instead in [
        [("code_verifier", wrong.as_str())],
        [("client_id", PUBLIC)],
        [("redirect_uri", "http://127.0.0.1:5001/callback")],
        [("resource", OTHER_MCP)],
    ] {
        assert_eq!(gateway.redeem(EDITOR, &code, &instead).status, 400);
        assert!(gateway.opens(&first.access), "{instead:?}");
    }
    assert!(gateway.news().is_empty());
    // Later than the code's own time, too.
    gateway.world.advance(10 * MINUTE);
    assert_eq!(refusal(&gateway.redeem(EDITOR, &code, &[])), invalid_grant());
    assert!(!gateway.opens(&first.access));
    assert_eq!(refusal(&gateway.refresh(EDITOR, &first.refresh.unwrap())), invalid_grant());
    let told = gateway.news();
    assert!(matches!(told.as_slice(), [What::ReplaySeen { .. }, What::SignedOut { .. }]), "{told:?}");
}

//= spec/oauth21.md#4-1-3
//= type=test
//# A code MUST be good once: a second valid request is denied and the tokens of the first are revoked, while
//# an invalid one revokes nothing (TOK-14, S).
// atk:COD-03
#[test]
fn however_many_come_at_once_one_code_buys_one_family() {
    for seed in 1..=40 {
        let mut gateway = Gateway::new();
        gateway.world = grantway_testing::World::seeded(seed);
        let code = gateway.code_for(EDITOR);
        let mut workers: Vec<_> = (0..4)
            .map(|_| Worker::new(gateway.operation(Gateway::code_request(EDITOR, &code, &[]))))
            .collect();
        let mut steppers: Vec<&mut dyn Stepper> =
            workers.iter_mut().map(|worker| worker as &mut dyn Stepper).collect();
        interleave(&mut gateway.world, &mut steppers, Schedule::Random);
        let responses: Vec<_> = workers.iter_mut().map(|w| w.outcome().unwrap().result.unwrap()).collect();
        assert_eq!(responses.iter().filter(|response| response.status == 200).count(), 1, "seed {seed}");
        assert_eq!(families(&gateway), 1, "seed {seed}");
    }
}

// atk:COD-03
#[test]
fn a_store_that_does_not_say_whether_it_wrote_gives_one_family_or_none() {
    for fault in [
        CommitFault::Unknown(Lands::Now),
        CommitFault::Unknown(Lands::Never),
        CommitFault::Unknown(Lands::After(1)),
        CommitFault::Conflict,
    ] {
        let mut gateway = Gateway::new();
        let code = gateway.code_for(EDITOR);
        gateway.world.on_commit(1, fault);
        let tokens = tokens(&gateway.redeem(EDITOR, &code, &[]));
        assert_eq!(families(&gateway), 1);
        assert!(gateway.opens(&tokens.access));
    }
    let mut gateway = Gateway::new();
    let code = gateway.code_for(EDITOR);
    gateway.world.on_commit(1, CommitFault::Unavailable);
    assert_eq!(refusal(&gateway.redeem(EDITOR, &code, &[])), is(503, "temporarily_unavailable"));
    assert_eq!(families(&gateway), 0);
    tokens(&gateway.redeem(EDITOR, &code, &[]));
}

//= spec/oauth21.md#2-4
//= type=test
//# A confidential client MUST be authenticated, and so is any client that presents credentials, by one method
//# in a request, a secret in the body or in the header; brute force is resisted (TOK-17, S).
//= spec/oauth21.md#3-2-4
//= type=test
//# An error of the token endpoint MUST be one of the registered codes as 400 and JSON, or 401 with
//# `WWW-Authenticate: Basic` where a client that tried the header is not authenticated (TOK-21, S).
#[test]
fn a_confidential_client_authenticates_in_one_way_or_is_refused() {
    let mut gateway = Gateway::new();
    let code = gateway.code_for(CONFIDENTIAL);
    let request = |pairs: &[(&str, &str)], headers: Vec<(String, Secret)>| {
        let mut request = Gateway::code_request(CONFIDENTIAL, &code, pairs);
        request.headers.extend(headers);
        request
    };
    for (pairs, headers, expected) in [
        (vec![], vec![], is(400, "invalid_client")),
        (vec![("client_secret", "wrong")], vec![], is(400, "invalid_client")),
        (vec![], vec![basic(CONFIDENTIAL, "wrong")], is(401, "invalid_client")),
        (vec![], vec![basic("nobody", CLIENT_SECRET)], is(400, "invalid_request")),
        (vec![("client_id", "")], vec![basic("nobody", CLIENT_SECRET)], is(401, "invalid_client")),
        (
            vec![("client_secret", CLIENT_SECRET)],
            vec![basic(CONFIDENTIAL, CLIENT_SECRET)],
            is(400, "invalid_request"),
        ),
        (vec![("client_id", "nobody")], vec![], is(400, "invalid_client")),
        (vec![("client_id", "")], vec![], is(400, "invalid_request")),
    ] {
        let response = gateway.send(request(&pairs, headers));
        assert_eq!(refusal(&response), expected, "{pairs:?}");
        let challenge = response.header("WWW-Authenticate");
        assert_eq!(challenge.is_some_and(|value| value.starts_with("Basic realm=")), expected.0 == 401);
    }
    tokens(&gateway.send(request(&[("client_id", "")], vec![basic(CONFIDENTIAL, CLIENT_SECRET)])));
    let code = gateway.code_for(CONFIDENTIAL);
    tokens(&gateway.redeem(CONFIDENTIAL, &code, &[("client_secret", CLIENT_SECRET)]));
    let code = gateway.code_for(PUBLIC);
    let response = gateway.redeem(PUBLIC, &code, &[("client_secret", "anything")]);
    assert_eq!(refusal(&response), is(400, "invalid_client"));
}

//= spec/oauth21.md#3-2-4
//= type=test
//# An error of the token endpoint MUST be one of the registered codes as 400 and JSON, or 401 with
//# `WWW-Authenticate: Basic` where a client that tried the header is not authenticated (TOK-21, S).
//= spec/oauth21.md#10
//= type=test
//# The implicit and the password grant MUST NOT be supported (TOK-22, S).
#[test]
fn other_grants_are_not_supported() {
    let mut gateway = Gateway::new();
    for grant in ["password", "implicit", "client_credentials"] {
        let request = post("/token", &[("grant_type", grant), ("client_id", EDITOR)]);
        assert_eq!(refusal(&gateway.send(request)), is(400, "unsupported_grant_type"));
    }
    let request = post("/token", &[("client_id", EDITOR)]);
    assert_eq!(refusal(&gateway.send(request)), is(400, "invalid_request"));
}

// atk:COD-12, atk:HDR-07
#[test]
fn parameters_come_once_in_a_form_body_and_nowhere_else() {
    let mut gateway = Gateway::new();
    let code = gateway.code_for(EDITOR);
    let right = Gateway::code_request(EDITOR, &code, &[]);
    let body = String::from_utf8(right.body.expose().to_vec()).unwrap();
    for name in ["grant_type", "code", "client_id", "redirect_uri", "code_verifier", "resource"] {
        let encoded = format!("%{:02x}{}", name.as_bytes()[0], &name[1..]);
        for again in [format!("{body}&{name}=x"), format!("{body}&{encoded}=x"), format!("{name}=&{body}")] {
            let mut request = right.clone();
            request.body = SecretBytes::new(again.into_bytes());
            assert_eq!(refusal(&gateway.send(request)), is(400, "invalid_request"), "{name}");
        }
        let mut split = right.clone();
        split.target = Secret::new(format!("/token?{name}=x"));
        assert_eq!(refusal(&gateway.send(split)), is(400, "invalid_request"), "{name}");
    }
    let json = json!({ "grant_type": "authorization_code", "code": code }).to_string();
    for (media_type, body) in [
        ("application/json", json.as_str()),
        ("text/plain", &body),
        ("multipart/form-data; boundary=x", &body),
        ("application/x-www-form-urlencodedx", &body),
        ("", &body),
    ] {
        let mut request = right.clone();
        request.headers[0].1 = Secret::new(media_type);
        request.body = SecretBytes::new(body.as_bytes().to_vec());
        assert_eq!(refusal(&gateway.send(request)), is(400, "invalid_request"), "{media_type}");
    }
    let mut get = right.clone();
    get.method = "GET".to_owned();
    assert_eq!(gateway.send(get).status, 405);
    tokens(&gateway.send(right));
}
