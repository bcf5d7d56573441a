//! Token requests as sent, and every kind of answer that live issuers give.

use grantway_core::error::PeerText;
use grantway_core::protocol::Invalid;
use grantway_core::protocol::form::Form;
use grantway_core::protocol::redirect_uri::RedirectUri;
use grantway_core::protocol::scopes::Scopes;
use grantway_core::protocol::token::{
    self, TOKEN_MAX_BYTES, TokenAnswer, TokenError, TokenErrorCode, TokenResponse, TokenType,
};
use grantway_core::secret::Secret;

const JSON: Option<&str> = Some("application/json; charset=utf-8");
const FORM: Option<&str> = Some("application/x-www-form-urlencoded; charset=utf-8");

fn bare(access_token: &str) -> TokenResponse {
    TokenResponse {
        access_token: Secret::new(access_token),
        refresh_token: None,
        token_type: TokenType::Absent,
        expires_in: None,
        scopes: None,
        id_token: None,
    }
}

fn tokens(content_type: Option<&str>, body: &str) -> TokenResponse {
    match token::read(200, content_type, body.as_bytes()) {
        TokenAnswer::Tokens(tokens) => tokens,
        other => panic!("{body}: {other:?}"),
    }
}

fn refusal(code: TokenErrorCode, words: &str) -> TokenAnswer {
    TokenAnswer::Refused(TokenError { code, text: Some(PeerText::sanitize(words)) })
}

fn is_in_doubt(answer: &TokenAnswer) -> bool {
    matches!(answer, TokenAnswer::InDoubt(_))
}

fn body(form: Result<Form<'_>, Invalid>) -> String {
    String::from_utf8(form.unwrap().into_body().expose().to_vec()).unwrap()
}

//= spec/oauth21.md#4-1-3
//= type=test
//# The code grant MUST send `grant_type=authorization_code`, the code and the verifier of the pending flow
//# (TOK-02, U).
#[test]
fn a_code_is_redeemed_with_verifier_redirect_uri_and_resource() {
    let (code, verifier) = (Secret::new("c+/1"), Secret::new("v"));
    let uri = RedirectUri::new("http://127.0.0.1:1/cb").unwrap();
    assert_eq!(
        body(token::authorization_code(&code, &verifier, &uri, Some("https://mcp.example/mcp"))),
        "grant_type=authorization_code&code=c%2B%2F1&code_verifier=v\
         &redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fcb&resource=https%3A%2F%2Fmcp.example%2Fmcp"
    );
    assert!(!body(token::authorization_code(&code, &verifier, &uri, None)).contains("resource"));
    assert!(token::authorization_code(&Secret::new(""), &verifier, &uri, None).is_err());
}

#[test]
fn a_refresh_names_the_resource_and_scopes_only_on_demand() {
    let refresh_token = Secret::new("r1");
    let scopes = Scopes::parse("b a").unwrap();
    let plain = "grant_type=refresh_token&refresh_token=r1";
    assert_eq!(body(token::refresh(&refresh_token, None, None)), plain);
    assert_eq!(body(token::refresh(&refresh_token, None, Some(&Scopes::default()))), plain);
    assert_eq!(
        body(token::refresh(&refresh_token, Some("https://m/"), Some(&scopes))),
        format!("{plain}&resource=https%3A%2F%2Fm%2F&scope=a+b")
    );
}

#[test]
fn a_full_response_is_read() {
    let text = r#"{"access_token":"at","token_type":"bEARER","expires_in":3600,"refresh_token":"rt",
        "scope":"b a","id_token":"a.b.c","ext_expires_in":5250,"extra":{"deep":[1,2]}}"#;
    let expected = TokenResponse {
        refresh_token: Some(Secret::new("rt")),
        token_type: TokenType::Bearer,
        expires_in: Some(3600),
        scopes: Some(Scopes::parse("a b").unwrap()),
        id_token: Some(Secret::new("a.b.c")),
        ..bare("at")
    };
    assert_eq!(tokens(JSON, text), expected);
    for content_type in [None, Some("text/html"), Some("text/plain"), FORM, Some("application/problem+json")]
    {
        assert_eq!(tokens(content_type, text), expected, "{content_type:?}");
    }
}

#[test]
fn any_2xx_is_a_success() {
    let body = br#"{"access_token":"at"}"#;
    for status in [200, 201, 202, 299] {
        assert_eq!(token::read(status, JSON, body), TokenAnswer::Tokens(bare("at")), "{status}");
    }
}

//= spec/derived.md#err-05
//= type=test
//# Error text of a token endpoint MUST be treated as untrusted, and an OAuth error recognised also in a 200
//# or in a body that is not JSON (ERR-05, U, derived).
#[test]
fn a_form_body_is_read_as_the_json_would_be() {
    let github = "access_token=ghu_2&expires_in=28800&refresh_token=ghr_2&refresh_token_expires_in=15897600\
                  &scope=&token_type=bearer";
    let expected = TokenResponse {
        refresh_token: Some(Secret::new("ghr_2")),
        token_type: TokenType::Bearer,
        expires_in: Some(28_800),
        ..bare("ghu_2")
    };
    assert_eq!(tokens(FORM, github), expected);
    assert_eq!(tokens(Some("text/plain"), &format!("{github}\n")), expected);
    assert_eq!(tokens(FORM, "access_token=a%2Bb&scope=x+y").access_token, Secret::new("a+b"));
    assert_eq!(tokens(FORM, "access_token=a&scope=x+y").scopes, Some(Scopes::parse("x y").unwrap()));
    assert_eq!(
        token::read(400, FORM, b"error=invalid_grant&error_description=gone+now"),
        refusal(TokenErrorCode::InvalidGrant, "invalid_grant: gone now")
    );
}

#[test]
fn a_page_or_an_ambiguous_form_is_no_form() {
    for (content_type, body) in [
        (Some("text/html"), "<a href=\"?x&access_token=at&y\">"),
        (Some("text/plain"), "hello &access_token=at"),
        (FORM, "access_token=a&access_token=b"),
        (FORM, "access_token=a&%61ccess_token=b"),
        (FORM, "access_token=%ff"),
        (FORM, "access_token="),
        (FORM, ""),
        (JSON, "access_token=at"),
        (None, "access_token=at"),
        (Some("application/x-www-form-urlencodedx"), "access_token=at"),
    ] {
        assert!(is_in_doubt(&token::read(200, content_type, body.as_bytes())), "{content_type:?} {body}");
    }
}

//= spec/rfc6749.md#7-1
//= type=test
//# `token_type` MUST be compared without regard to case, and a token of an unknown type is not used
//# (TOK-09, U).
// atk:TOK-11
#[test]
fn token_types_are_compared_without_case_and_unknown_ones_told() {
    let kind =
        |value: &str| tokens(JSON, &format!(r#"{{"access_token":"at","token_type":{value}}}"#)).token_type;
    for bearer in [r#""Bearer""#, r#""bearer""#, r#""BEARER""#] {
        assert_eq!(kind(bearer), TokenType::Bearer);
    }
    for absent in ["null", r#""""#] {
        assert_eq!(kind(absent), TokenType::Absent);
    }
    for other in ["mac", "N_A", "DPoP", "Bearer ", "User Access Token"] {
        assert_eq!(kind(&format!("\"{other}\"")), TokenType::Other(PeerText::sanitize(other)));
    }
}

//= spec/oauth21.md#3-2-3
//= type=test
//# The engine MUST NOT count on `expires_in`, on a refresh token, or on the size or form of a token
//# (TOK-11, U).
// atk:TOK-12
#[test]
fn no_expires_in_makes_an_answer_unreadable() {
    for (value, seconds) in [
        ("0", Some(0)),
        ("-1", Some(0)),
        ("\"3600\"", Some(3600)),
        ("\"3600abc\"", None),
        ("3600.5", None),
        ("1e400", None),
        ("18446744073709551616", Some(u64::MAX)),
        ("null", None),
        ("[]", None),
    ] {
        let body = format!(r#"{{"access_token":"at","expires_in":{value}}}"#);
        assert_eq!(tokens(JSON, &body).expires_in, seconds, "{value}");
    }
    for (value, seconds) in
        [("28800", Some(28_800)), ("abc", None), ("-1", None), ("99999999999999999999", Some(u64::MAX))]
    {
        assert_eq!(
            tokens(FORM, &format!("access_token=at&expires_in={value}")).expires_in,
            seconds,
            "{value}"
        );
    }
}

//= spec/oauth21.md#3-2-3
//= type=test
//# The `scope` of a response MUST be taken as what was granted, and its absence as a grant of all that was
//# asked for (TOK-10, U).
#[test]
fn scopes_come_as_text_list_or_not_at_all() {
    let scopes = |value: &str| tokens(JSON, &format!(r#"{{"access_token":"at","scope":{value}}}"#)).scopes;
    for absent in ["null", "\"\"", "\" \"", "[]", "[\"\"]"] {
        assert_eq!(scopes(absent), None, "{absent}");
    }
    for both in [r#""a b""#, r#"["b","a"]"#, r#"["a b"]"#] {
        assert_eq!(scopes(both), Some(Scopes::parse("a b").unwrap()), "{both}");
    }
}

#[test]
fn what_is_no_scope_is_left_out_and_costs_no_token() {
    let many = (0..200).map(|n| format!("s{n}")).collect::<Vec<_>>().join(" ");
    let body = format!(r#"{{"access_token":"at","scope":"{many}"}}"#);
    assert_eq!(tokens(JSON, &body).scopes.unwrap().iter().count(), 100);
    let odd = tokens(JSON, r#"{"access_token":"at","scope":"a \"b\" é c"}"#);
    assert_eq!(odd.scopes, Some(Scopes::parse("a c").unwrap()));
}

// atk:NET-16, atk:HDR-01
#[test]
fn a_token_that_cannot_stand_in_a_header_is_never_used() {
    let long = "x".repeat(TOKEN_MAX_BYTES + 1);
    let bad = [" a", "a b", "a\\t", "a\\n", "a\\r\\nHost: evil", "\\u0000", "\\u007f", "\\u010a", "é", &long];
    for bad in bad {
        for body in [
            format!(r#"{{"access_token":"{bad}"}}"#),
            format!(r#"{{"access_token":"at","refresh_token":"{bad}"}}"#),
        ] {
            assert!(is_in_doubt(&token::read(200, JSON, body.as_bytes())), "{body}");
        }
    }
    for body in [
        r#"{"access_token":""}"#,
        r#"{"access_token":null}"#,
        r#"{"access_token":["at"]}"#,
        r#"{"access_token":7}"#,
        r#"{"access_token":"a","access_token":"b"}"#,
        r#"{"refresh_token":"rt"}"#,
    ] {
        assert!(is_in_doubt(&token::read(200, JSON, body.as_bytes())), "{body}");
    }
    let longest = "x".repeat(TOKEN_MAX_BYTES);
    assert_eq!(tokens(JSON, &format!(r#"{{"access_token":"{longest}"}}"#)), bare(&longest));
}

//= spec/oauth21.md#3-2-3
//= type=test
//# The engine MUST NOT count on `expires_in`, on a refresh token, or on the size or form of a token
//# (TOK-11, U).
#[test]
fn live_tokens_beyond_b64token_are_used() {
    let salesforce = "00D5g!AQ8AQ.x|y_z~";
    assert_eq!(tokens(JSON, &format!(r#"{{"access_token":"{salesforce}"}}"#)), bare(salesforce));
}

// atk:NET-16
#[test]
fn a_refresh_token_that_is_the_access_token_is_none() {
    assert_eq!(tokens(JSON, r#"{"access_token":"at","refresh_token":"at"}"#), bare("at"));
    assert_eq!(tokens(JSON, r#"{"access_token":"at","refresh_token":""}"#), bare("at"));
}

// atk:NET-16
#[test]
fn ten_thousand_unknown_members_are_ignored() {
    let members: String = (0..10_000).map(|n| format!(r#""m{n}":{n},"#)).collect();
    assert_eq!(tokens(JSON, &format!(r#"{{{members}"access_token":"at"}}"#)), bare("at"));
}

//= spec/derived.md#err-05
//= type=test
//# Error text of a token endpoint MUST be treated as untrusted, and an OAuth error recognised also in a 200
//# or in a body that is not JSON (ERR-05, U, derived).
#[test]
fn errors_are_read_under_any_status() {
    for (status, body, expected) in [
        (400, r#"{"error":"invalid_grant"}"#, refusal(TokenErrorCode::InvalidGrant, "invalid_grant")),
        (401, r#"{"error":"invalid_client"}"#, refusal(TokenErrorCode::InvalidClient, "invalid_client")),
        (
            400,
            r#"{"error":"invalid_target","error_description":"AADSTS9010010: no"}"#,
            refusal(TokenErrorCode::InvalidTarget, "invalid_target: AADSTS9010010: no"),
        ),
        (400, r#"{"error":"invalid_scope"}"#, refusal(TokenErrorCode::InvalidScope, "invalid_scope")),
        (500, r#"{"error":"invalid_grant"}"#, refusal(TokenErrorCode::InvalidGrant, "invalid_grant")),
        (
            200,
            r#"{"error":"bad_verification_code","error_description":"expired."}"#,
            refusal(TokenErrorCode::Other, "bad_verification_code: expired."),
        ),
        (200, r#"{"ok":false,"error":"invalid_code"}"#, refusal(TokenErrorCode::Other, "invalid_code")),
        (
            200,
            r#"{"access_token":"at","error":"invalid_grant"}"#,
            refusal(TokenErrorCode::InvalidGrant, "invalid_grant"),
        ),
        (
            400,
            r#"{"error":"invalid_grant","error_description":{"x":1}}"#,
            refusal(TokenErrorCode::InvalidGrant, "invalid_grant"),
        ),
    ] {
        assert_eq!(token::read(status, JSON, body.as_bytes()), expected, "{status} {body}");
    }
    assert_eq!(tokens(JSON, r#"{"access_token":"at","error":null}"#), bare("at"));
}

// atk:TOK-16
#[test]
fn an_issuer_that_cannot_answer_costs_nothing() {
    for (status, body) in [
        (429, ""),
        (503, "<html>"),
        (503, r#"{"error":"invalid_grant"}"#),
        (500, ""),
        (500, r#"{"status":500,"error":"Internal Server Error"}"#),
        (520, "<html>"),
        (400, r#"{"error":"temporarily_unavailable"}"#),
        (400, r#"{"error":"server_error"}"#),
        (200, r#"{"error":"slow_down"}"#),
    ] {
        assert_eq!(token::read(status, JSON, body.as_bytes()), TokenAnswer::Unavailable, "{status} {body}");
    }
}

// atk:TOK-16
#[test]
fn an_answer_that_may_hide_tokens_leaves_doubt() {
    for (status, body) in [
        (502, ""),
        (504, "<html>"),
        (200, ""),
        (204, ""),
        (200, "<html>ok</html>"),
        (200, "{}"),
        (200, r#"{"ok":false}"#),
        (200, "{\"access_token\":\"a"),
    ] {
        assert!(is_in_doubt(&token::read(status, Some("text/html"), body.as_bytes())), "{status} {body}");
    }
}

#[test]
fn a_refusal_that_is_no_oauth_error_has_no_words() {
    let wordless = TokenAnswer::Refused(TokenError { code: TokenErrorCode::Other, text: None });
    for (status, body) in [
        (403, "<html>Request blocked</html>"),
        (404, ""),
        (400, r#"{"status":"BAD_REFRESH_TOKEN","message":"missing or invalid refresh token"}"#),
        (400, r#"{"error":{"code":7}}"#),
        (302, ""),
        (100, ""),
    ] {
        assert_eq!(token::read(status, JSON, body.as_bytes()), wordless, "{status} {body}");
    }
}

#[test]
fn debug_of_an_answer_shows_no_token() {
    let body = r#"{"access_token":"canary1","refresh_token":"canary2","id_token":"canary3"}"#;
    let shown = format!("{:?}", token::read(200, JSON, body.as_bytes()));
    assert!(!shown.contains("canary"), "{shown}");
}
