//! What token and revocation endpoints answer.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use grantway_core::error::PeerText;
use grantway_core::protocol::form::{self, Form};
use grantway_core::protocol::id_token;
use grantway_core::protocol::revocation::{self, RevocationAnswer};
use grantway_core::protocol::scopes::Scopes;
use grantway_core::protocol::token::{self, TOKEN_MAX_BYTES, TokenAnswer, TokenResponse, TokenType};
use grantway_core::secret::Secret;
use serde_json::Value;

use crate::documents::as_value;
use crate::input::{Choices, lines, looks_the_same, text};

const STATUSES: [u16; 12] = [200, 201, 204, 302, 400, 401, 404, 429, 500, 502, 503, 599];
const CONTENT_TYPES: [Option<&str>; 5] = [
    None,
    Some("application/json"),
    Some(form::CONTENT_TYPE),
    Some("text/plain; charset=utf-8"),
    Some("text/html"),
];

fn fit_to_show(text: &PeerText) -> bool {
    text.as_str().bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'`')
}

/// The answer of a token endpoint: a byte for the status, one for the content type, the body.
///
/// # Panics
/// A law is broken.
pub fn token(data: &[u8]) {
    let mut choices = Choices::new(data);
    let status = choices.one_of(&STATUSES);
    let content_type = choices.one_of(&CONTENT_TYPES);
    let answer = token::read(status, content_type, choices.rest());
    match &answer {
        TokenAnswer::Tokens(tokens) => {
            assert!((200..300).contains(&status));
            check_tokens(tokens);
        }
        TokenAnswer::Refused(error) => {
            assert!(error.text.as_ref().is_none_or(fit_to_show) && ![429, 502, 503].contains(&status));
        }
        TokenAnswer::Unavailable => assert!(status == 429 || status >= 500),
        TokenAnswer::InDoubt(_) => assert!((200..300).contains(&status) || status == 502),
    }
}

fn check_tokens(tokens: &TokenResponse) {
    let all = [Some(&tokens.access_token), tokens.refresh_token.as_ref()];
    for token in all.into_iter().flatten() {
        assert!((1..=TOKEN_MAX_BYTES).contains(&token.expose().len()));
        assert!(token.expose().bytes().all(|byte| byte.is_ascii_graphic()));
    }
    assert_ne!(tokens.refresh_token.as_ref(), Some(&tokens.access_token));
    let anew = |secret: &Option<Secret>| secret.as_ref().map(|_| Secret::new("another"));
    let other = TokenResponse {
        access_token: Secret::new("another"),
        refresh_token: anew(&tokens.refresh_token),
        id_token: anew(&tokens.id_token),
        ..tokens.clone()
    };
    looks_the_same(tokens, &other);

    // Written in either form, it is read back the same.
    let token_type = match &tokens.token_type {
        TokenType::Absent => None,
        TokenType::Bearer => Some("bearer".to_owned()),
        TokenType::Other(name) => Some(name.as_str().to_owned()),
    };
    let members = [
        ("access_token", Some(tokens.access_token.expose().to_owned())),
        ("refresh_token", tokens.refresh_token.as_ref().map(|token| token.expose().to_owned())),
        ("id_token", tokens.id_token.as_ref().map(|token| token.expose().to_owned())),
        ("token_type", token_type),
        ("expires_in", tokens.expires_in.map(|seconds| seconds.to_string())),
        ("scope", tokens.scopes.as_ref().map(Scopes::to_string)),
    ];
    let (mut form, mut object) = (Form::new(), serde_json::Map::new());
    for (name, value) in &members {
        if let Some(value) = value {
            form.text(name, value.as_str()).expect("each name comes once");
            object.insert((*name).to_owned(), Value::from(value.as_str()));
        }
    }
    let json = Value::from(object).to_string();
    let expected = TokenAnswer::Tokens(tokens.clone());
    assert_eq!(token::read(200, CONTENT_TYPES[1], json.as_bytes()), expected);
    assert_eq!(token::read(200, CONTENT_TYPES[2], form.into_body().expose()), expected);
}

/// The answer of a revocation endpoint: a byte for the status, the body.
///
/// # Panics
/// A law is broken.
pub fn revocation(data: &[u8]) {
    let mut choices = Choices::new(data);
    let status = choices.one_of(&STATUSES);
    match revocation::read(status, choices.rest()) {
        RevocationAnswer::Gone => assert!((200..300).contains(&status) || status == 400),
        RevocationAnswer::StillValid => assert!(status == 429 || status >= 500),
        RevocationAnswer::NotOffered => assert_eq!(status, 400),
        RevocationAnswer::Refused(said) => assert!(said.as_ref().is_none_or(fit_to_show)),
    }
}

/// An id_token: as a whole, and as the payload of one.
///
/// # Panics
/// A law is broken.
pub fn id_token(data: &[u8]) {
    const ISSUER: &str = "https://as.good";
    const CLIENT: &str = "c1";
    let whole = Secret::new(text(data));
    let around = Secret::new(format!("e30.{}.x", BASE64_URL_SAFE_NO_PAD.encode(data)));
    for token in [whole, around] {
        let Ok(account) = id_token::read(&token, ISSUER, CLIENT) else { continue };
        assert!((1..=255).contains(&account.subject.len()));
        if let Some(label) = &account.label {
            assert!((1..=200).contains(&label.chars().count()) && !label.chars().any(char::is_control));
        }
        let payload = token.expose().split('.').nth(1).expect("three parts");
        let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).expect("it is base64url");
        let Some(value) = as_value(&payload) else { continue };
        assert_eq!(value["iss"], ISSUER);
        assert_eq!(value["sub"], account.subject.as_str());
        assert!(
            value["aud"] == CLIENT || value["aud"].as_array().is_some_and(|all| all.contains(&CLIENT.into()))
        );
        assert!(id_token::read(&token, "https://as.other", CLIENT).is_err());
        assert!(id_token::read(&token, ISSUER, "c2").is_err() || value["aud"].is_array());
    }
}

/// A form: as text to read, and its lines as names and values to write.
///
/// # Panics
/// A law is broken.
pub fn form(data: &[u8]) {
    let written = text(data);
    let read: Result<Vec<_>, _> = form::pairs(&written).collect();
    if let Ok(read) = &read {
        // Whoever reads forms leniently reads the same where we read anything.
        let theirs = form_urlencoded::parse(written.as_bytes());
        assert!(read.iter().cloned().eq(theirs), "{written}");
    }
    let lines = lines(data);
    let mut form = Form::new();
    let mut expected: Vec<(&str, &str)> = Vec::new();
    for line in &lines {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let is_new = expected.iter().all(|(earlier, _)| *earlier != name);
        assert_eq!(form.text(name, value).is_ok(), is_new);
        if is_new {
            expected.push((name, value));
        }
    }
    let body = form.into_body();
    let body = std::str::from_utf8(body.expose()).expect("a form is ASCII");
    assert!(body.bytes().all(|byte| byte.is_ascii_graphic()));
    let pairs: Vec<_> = form::pairs(body).map(|pair| pair.expect("it is UTF-8")).collect();
    assert!(pairs.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).eq(expected));
}
