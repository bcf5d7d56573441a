//! The authorization request, and the callback that answers it.

use grantway_core::protocol::authorization::{
    AuthorizationAnswer, AuthorizationRequest, AuthorizationResponse, CALLBACK_MAX_BYTES, WrongIssuer,
};
use grantway_core::protocol::form::{self, Form};
use grantway_core::protocol::redirect_uri::RedirectUri;
use grantway_core::protocol::scopes::Scopes;
use grantway_core::protocol::url::{HttpUrl, PlainHttp};
use grantway_core::secret::Secret;

use crate::input::{Choices, lines, text};

const ISSUER: &str = "https://as.good";

/// A callback URL.
///
/// # Panics
/// A law is broken.
pub fn callback(data: &[u8]) {
    let written = text(data);
    let Ok(response) = AuthorizationResponse::parse(&written) else { return };
    assert!(written.trim().len() <= CALLBACK_MAX_BYTES && !response.state().is_empty());
    let shown = format!("{response:?}");
    let path = response.path().map(str::to_owned);
    assert!(path.as_deref().is_none_or(|path| path.starts_with('/')));
    assert_eq!(shown, format!("AuthorizationResponse {{ path: {path:?}, .. }}"));

    let state = response.state().clone();
    // Read again, as answers consume what they answer.
    let again = || AuthorizationResponse::parse(&written).expect("the same text reads the same");
    let promised = response.answer_of(ISSUER, true);
    match (&promised, again().answer_of(ISSUER, false)) {
        (Err(WrongIssuer::Mismatch), lenient) => assert_eq!(lenient, Err(WrongIssuer::Mismatch)),
        (Err(WrongIssuer::Missing), lenient) => assert!(lenient.is_ok()),
        (Ok(answer), lenient) => {
            assert_eq!(lenient.as_ref(), Ok(answer));
            // An answer that names this issuer is no other's.
            assert_eq!(again().answer_of("https://as.other", false), Err(WrongIssuer::Mismatch));
        }
    }
    if let Ok(AuthorizationAnswer::Refused(error)) = &promised {
        assert!(error.text.as_str().bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'`'));
    }
    if let Ok(AuthorizationAnswer::Code(code)) = promised {
        let mut form = Form::new();
        for (name, value) in [("iss", ISSUER), ("state", state.expose()), ("code", code.expose())] {
            form.text(name, value).expect("each name comes once");
        }
        let query = form.into_body();
        let query = std::str::from_utf8(query.expose()).expect("a form is ASCII");
        for written in
            [query.to_owned(), format!("?{query}#x"), format!("https://gw.good/callback?{query}&y=1")]
        {
            if written.len() <= CALLBACK_MAX_BYTES {
                let read = AuthorizationResponse::parse(&written).expect("it is whole");
                assert_eq!(*read.state(), state);
                assert_eq!(read.answer_of(ISSUER, true), Ok(AuthorizationAnswer::Code(code.clone())));
            }
        }
        let twice = format!("{query}&code=x");
        assert!(AuthorizationResponse::parse(&twice).is_err());
    }
}

/// An authorization request: a byte of choices, then endpoint, client id, redirect URI, resource, scopes and extra parameters, a
/// line each.
///
/// # Panics
/// A law is broken.
pub fn authorization_request(data: &[u8]) {
    let mut choices = Choices::new(data);
    let prompt_consent = choices.rarely(2);
    let lines = lines(choices.rest());
    let line = |at: usize| lines.get(at).map_or("", String::as_str);
    let Ok(endpoint) = HttpUrl::parse(line(0), PlainHttp::Loopback) else { return };
    let Ok(redirect_uri) = RedirectUri::new(line(2)) else { return };
    let Ok(scopes) = Scopes::parse(line(4)) else { return };
    let extra: Vec<_> = lines
        .iter()
        .skip(5)
        .map(|line| {
            line.split_once('=').map_or((line.clone(), String::new()), |(n, v)| (n.to_owned(), v.to_owned()))
        })
        .collect();
    let state = Secret::new("the-state");
    let request = AuthorizationRequest {
        endpoint: &endpoint,
        client_id: line(1),
        redirect_uri: &redirect_uri,
        state: &state,
        code_challenge: "the-challenge",
        resource: Some(line(3)).filter(|resource| !resource.is_empty()),
        scopes: &scopes,
        prompt_consent,
        extra: &extra,
    };
    let Ok(opened) = request.url() else { return };
    assert!(opened.starts_with(endpoint.as_str()));
    let query = opened.split_once('?').map_or("", |(_, query)| query);
    let sent: Vec<_> = form::pairs(query).map(|pair| pair.expect("what we write is UTF-8")).collect();
    let sends = |name: &str| {
        let mut values = sent.iter().filter(|(sent, _)| sent == name).map(|(_, value)| value.to_string());
        let first = values.next();
        // What we leave out the endpoint's own query may have, even twice.
        let is_ours = match name {
            "resource" => request.resource.is_some(),
            "scope" => !request.scopes.is_empty(),
            "prompt" => request.prompt_consent,
            _ => true,
        };
        assert!(!is_ours || values.next().is_none(), "`{name}` is sent twice: {opened}");
        first
    };
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", line(1)),
        ("redirect_uri", redirect_uri.as_str()),
        ("state", state.expose()),
        ("code_challenge", "the-challenge"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(sends(name).as_deref(), Some(value), "{opened}");
    }
    // The endpoint's own query (RFC 6749 §3.1) and configuration may add what we leave out, and change nothing that we send.
    let own = endpoint.as_str().split_once('?').map_or("", |(_, query)| query);
    let own: Vec<_> = form::pairs(own).filter_map(Result::ok).collect();
    let added = |name: &str| {
        let own = own.iter().find(|(own, _)| own == name).map(|(_, value)| value.to_string());
        own.or_else(|| extra.iter().find(|(extra, _)| extra == name).map(|(_, value)| value.clone()))
    };
    assert_eq!(sends("resource"), request.resource.map(str::to_owned).or_else(|| added("resource")));
    let asked = Some(scopes.to_string()).filter(|scope| !scope.is_empty());
    assert_eq!(sends("scope"), asked.or_else(|| added("scope")));
    assert!(sends("request").is_none() && sends("request_uri").is_none(), "{opened}");
    let prompt = sends("prompt");
    assert!(!prompt_consent || prompt.is_some_and(|prompt| prompt.split(' ').any(|word| word == "consent")));
}
