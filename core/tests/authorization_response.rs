//! The callback: one reading, and nothing of it believed before its issuer is known.

use grantway_core::error::PeerText;
use grantway_core::protocol::authorization::{
    AuthorizationAnswer, AuthorizationError, AuthorizationErrorCode, AuthorizationResponse,
    CALLBACK_MAX_BYTES, WrongIssuer,
};
use grantway_core::secret::Secret;

const ISSUER: &str = "https://as.good";

fn parse(callback: &str) -> AuthorizationResponse {
    AuthorizationResponse::parse(callback).unwrap_or_else(|invalid| panic!("{callback}: {invalid}"))
}

fn code(text: &str) -> Result<AuthorizationAnswer, WrongIssuer> {
    Ok(AuthorizationAnswer::Code(Secret::new(text)))
}

#[test]
fn a_url_a_path_and_a_bare_query_are_all_callbacks() {
    for (callback, path) in [
        ("https://gw.example/callback?code=c&state=s", Some("/callback")),
        ("https://gw.example/callback/0011?code=c&state=s#_=_", Some("/callback/0011")),
        ("http://[::1]:8/cb?x=/y&code=c&state=s", Some("/cb")),
        ("localhost:8/cb?code=c&state=s", Some("/cb")),
        ("https://gw.example?code=c&state=s", Some("/")),
        ("/callback?code=c&state=s", Some("/callback")),
        ("?code=c&state=s", None),
        ("code=c&state=s", None),
        ("state=s&code=c&next=/a?b", None),
        (" \r\n/cb?code=c&state=s\t\n", Some("/cb")),
    ] {
        let response = parse(callback);
        assert_eq!(response.path(), path, "{callback}");
        assert_eq!(response.state(), &Secret::new("s"), "{callback}");
        assert_eq!(response.answer_of(ISSUER, false), code("c"), "{callback}");
    }
}

//= spec/oauth21.md#4-1-2
//= type=test
//# A response MUST be refused when it repeats `code`, `state`, `iss` or `error` or has not exactly one of
//# code and error, while unknown parameters are ignored (AZR-09, U).
// atk:MIX-02, atk:CSR-01
#[test]
fn an_ambiguous_or_incomplete_callback_is_refused() {
    for callback in [
        "",
        "https://gw.example/callback",
        "https://gw.example/callback#code=c&state=s",
        "/callback?",
        "code",
        "code=c",
        "code=c&state=",
        "state=s",
        "state=s&code=",
        "state=s&error=",
        "state=s&code=c&error=access_denied",
        "state=s&state=s&code=c",
        "state=&state=s&code=c",
        "state=s&code=c&code=d",
        "state=s&code=c&%63ode=c",
        "state=s&code=c&code=",
        "state=s&error=a&error=b",
        "state=s&error=a&error_description=b&error_description=c",
        "state=s&code=c&iss=https://as.good&iss=https://as.good",
        "state=s&code=c&iss=",
        "state=s&code=c&iss",
        "state=s&code=%ff",
    ] {
        assert!(AuthorizationResponse::parse(callback).is_err(), "{callback:?}");
    }
}

//= spec/oauth21.md#3-2-3
//= type=test
//# Metadata members and request or response parameters that are not known MUST be ignored (NET-10, U/S).
#[test]
fn unknown_parameters_are_ignored_even_when_repeated() {
    let response = parse("code=c&state=s&session_state=1&session_state=2&error=&hd=x");
    assert_eq!(response.answer_of(ISSUER, false), code("c"));
}

//= spec/mcp-2026-07-28.md#idx-authorization-response-validation
//= type=test
//# `iss` is form-decoded once and compared as a plain string: the engine MUST NOT normalise either side in
//# any way (AZR-06, U).
#[test]
fn values_are_form_decoded_once() {
    let response = parse("code=a+b%2Bc%2520&state=s%3D%26&iss=https%3A%2F%2Fas.good");
    assert_eq!(response.state(), &Secret::new("s=&"));
    assert_eq!(response.answer_of(ISSUER, true), code("a b+c%20"));
}

// atk:MIX-02
#[test]
fn the_issuer_is_compared_whenever_it_is_named_and_missed_where_it_was_promised() {
    for (callback, sends_iss, expected) in [
        ("code=c&state=s&iss=https://as.good", true, code("c")),
        ("code=c&state=s&iss=https://evil.example", true, Err(WrongIssuer::Mismatch)),
        ("code=c&state=s", true, Err(WrongIssuer::Missing)),
        ("code=c&state=s&iss=https://as.good", false, code("c")),
        ("code=c&state=s&iss=https://evil.example", false, Err(WrongIssuer::Mismatch)),
        ("code=c&state=s", false, code("c")),
    ] {
        assert_eq!(parse(callback).answer_of(ISSUER, sends_iss), expected, "{callback} {sends_iss}");
    }
}

//= spec/mcp-2026-07-28.md#idx-authorization-response-validation
//= type=test
//# `iss` is form-decoded once and compared as a plain string: the engine MUST NOT normalise either side in
//# any way (AZR-06, U).
// atk:MIX-03
#[test]
fn an_issuer_that_is_equal_only_after_normalization_is_another_one() {
    for iss in [
        "https://as.good/",
        "HTTPS://AS.GOOD",
        "https://as.good:443",
        "https://as.good/%2e",
        "https%253A%252F%252Fas.good",
        "https://as.good%20",
        "https://as.good%00",
        "+https://as.good",
    ] {
        let response = parse(&format!("code=c&state=s&iss={iss}"));
        assert_eq!(response.answer_of(ISSUER, false), Err(WrongIssuer::Mismatch), "{iss}");
    }
}

// atk:MIX-10
#[test]
fn an_error_of_a_wrong_issuer_is_neither_acted_on_nor_shown() {
    let callback = "error=access_denied&error_description=call+0800-PHISH&error_uri=https://evil.example\
                    &state=s&iss=https://evil.example";
    let response = parse(callback);
    let shown = format!("{response:?}");
    assert!(!shown.contains("PHISH") && !shown.contains("denied") && !shown.contains("evil"), "{shown}");
    assert_eq!(response.answer_of(ISSUER, false), Err(WrongIssuer::Mismatch));
}

#[test]
fn debug_shows_neither_code_nor_state() {
    let shown = format!("{:?}", parse("/callback?code=canary1&state=canary2&iss=canary3"));
    assert!(shown.contains("/callback") && !shown.contains("canary"), "{shown}");
}

#[test]
fn an_error_of_the_right_issuer_has_a_code_and_sanitized_words() {
    for (query, expected, words) in [
        ("error=access_denied", AuthorizationErrorCode::AccessDenied, "access_denied"),
        ("error=invalid_target", AuthorizationErrorCode::InvalidTarget, "invalid_target"),
        ("error=login_required", AuthorizationErrorCode::Other, "login_required"),
        (
            "error=invalid_scope&error_description=no%0d%0aSet-Cookie:+`x`",
            AuthorizationErrorCode::InvalidScope,
            "invalid_scope: no??Set-Cookie: 'x'",
        ),
    ] {
        let answer = parse(&format!("{query}&state=s")).answer_of(ISSUER, false);
        let error = AuthorizationError { code: expected, text: PeerText::sanitize(words) };
        assert_eq!(answer, Ok(AuthorizationAnswer::Refused(error)), "{query}");
    }
}

// atk:CSR-01
#[test]
fn a_state_of_4_kib_is_read_and_more_than_the_limit_is_not() {
    let state = "s".repeat(4096);
    assert_eq!(parse(&format!("code=c&state={state}")).state(), &Secret::new(state));
    let filler = "x".repeat(CALLBACK_MAX_BYTES - "code=c&state=".len());
    assert!(AuthorizationResponse::parse(&format!("code=c&state={filler}")).is_ok());
    assert!(AuthorizationResponse::parse(&format!("code=c&state={filler}x")).is_err());
}
