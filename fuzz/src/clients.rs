//! Our client: its registration, its document, and how it authenticates.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use grantway_core::protocol::client_auth::{self, AuthMethod, ClientAuth};
use grantway_core::protocol::client_metadata::{self, ApplicationType, ClientMetadata};
use grantway_core::protocol::form::{self, Form};
use grantway_core::protocol::registration::{RegistrationError, RegistrationResponse};
use grantway_core::protocol::url::{HttpUrl, PlainHttp};
use grantway_core::secret::Secret;
use serde_json::{Value, json};

use crate::documents::as_value;
use crate::input::{Choices, lines, looks_the_same, text};

/// The answer of a registration endpoint.
///
/// # Panics
/// A law is broken.
pub fn registration(data: &[u8]) {
    if let Some(said) = RegistrationError::read(data).text {
        assert!(said.as_str().bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'`'));
    }
    let Ok(read) = RegistrationResponse::parse(data) else { return };
    if let Some(value) = as_value(data) {
        assert_eq!(value["client_id"], read.client_id.as_str());
    }
    assert!(
        (1..=4096).contains(&read.client_id.len())
            && read.client_id.bytes().all(|b| matches!(b, b' '..=b'~'))
    );
    let other = RegistrationResponse {
        client_secret: read.client_secret.as_ref().map(|_| Secret::new("another")),
        registration_access_token: read.registration_access_token.as_ref().map(|_| Secret::new("another")),
        ..read.clone()
    };
    looks_the_same(&read, &other);
    let mut written = json!({
        "client_id": read.client_id,
        "client_secret": read.client_secret.as_ref().map(Secret::expose),
        "client_secret_expires_at": read.client_secret_expires_at.map(|at| at.0.div_ceil(1000)),
        "token_endpoint_auth_method": read.auth_method.map(AuthMethod::as_str),
        "redirect_uris": read.redirect_uris,
        "grant_types": read.grant_types,
        "scope": read.scopes.as_ref().map(ToString::to_string),
        "registration_client_uri": read.registration_client_uri,
        "registration_access_token": read.registration_access_token.as_ref().map(Secret::expose),
    });
    written["unknown"] = Value::from("ignored");
    assert_eq!(RegistrationResponse::parse(written.to_string().as_bytes()), Ok(read));
}

/// A client id, a client name and redirect URIs, a line each.
///
/// # Panics
/// A law is broken.
pub fn client_metadata(data: &[u8]) {
    let lines = lines(data);
    let (id, name) = (lines[0].as_str(), lines.get(1).map_or("", String::as_str));
    let uris: Vec<_> = lines.iter().skip(2).map(String::as_str).collect();
    let document = ClientMetadata::new(id, name, &uris, ApplicationType::Web);
    assert_eq!(document.is_ok(), client_metadata::check_client_id_url(id).is_ok());
    let Ok(document) = document else { return };
    let url = HttpUrl::parse(id, PlainHttp::Never).expect("a client id is a URL");
    assert!(url.query().is_none() && !url.has_ambiguous_path() && url.path() != "/");
    let value: Value = serde_json::from_str(&document.to_json()).expect("a document is JSON");
    assert_eq!(value["client_id"], id);
    assert_eq!(value["client_name"], name);
    assert_eq!(value["redirect_uris"], json!(uris));
    assert!(value.get("client_secret").is_none());
}

/// How a client authenticates: a byte for each choice, then id and secret, a line each.
///
/// # Panics
/// A law is broken.
pub fn client_auth(data: &[u8]) {
    const METHODS: [AuthMethod; 4] = [
        AuthMethod::None,
        AuthMethod::ClientSecretBasic,
        AuthMethod::ClientSecretPost,
        AuthMethod::PrivateKeyJwt,
    ];
    let mut choices = Choices::new(data);
    let method = choices.one_of(&METHODS);
    let (returned, has_secret) = (choices.rarely(2).then_some(method), choices.rarely(2));
    let listed = choices.byte();
    let supported: Vec<_> = (0..5)
        .filter(|bit| listed >> bit & 1 == 1)
        .map(|at| METHODS.get(at).map_or("tls_client_auth", |method| method.as_str()).to_owned())
        .collect();
    if let Some(chosen) = client_auth::choose(returned, has_secret, Some(&supported)) {
        let needs_secret = matches!(chosen, AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost);
        assert!(has_secret || !needs_secret);
        let excluded = !supported.is_empty() && !supported.contains(&"client_secret_basic".to_owned());
        assert!(!(excluded && chosen == AuthMethod::ClientSecretBasic));
    }
    assert_eq!(AuthMethod::from_name(method.as_str()), Some(method));

    let rest = text(choices.rest());
    let (id, secret) = rest.split_once('\n').unwrap_or((&rest, ""));
    let secret = Secret::new(secret);
    let auth = ClientAuth { client_id: id, method, secret: Some(&secret), assertion: Some(&secret) };
    let mut form = Form::new();
    let Ok(header) = auth.apply(&mut form) else {
        assert!(secret.is_empty() && method != AuthMethod::None);
        return;
    };
    let body = form.into_body();
    let body = std::str::from_utf8(body.expose()).expect("a form is ASCII");
    let sent: Vec<_> = form::pairs(body).map(|pair| pair.expect("it is UTF-8")).collect();
    let sends = |name: &str| sent.iter().find(|(sent, _)| sent == name).map(|(_, value)| value.as_ref());
    match header {
        Some(header) => {
            assert!(method == AuthMethod::ClientSecretBasic && body.is_empty());
            let credentials = header.expose().strip_prefix("Basic ").expect("the scheme");
            let pair =
                String::from_utf8(BASE64_STANDARD.decode(credentials).expect("it is Base64")).expect("ASCII");
            let (sent_id, sent_secret) = pair.split_once(':').expect("a colon between them");
            let read = |part: &str| {
                let part = format!("x={part}");
                form::pairs(&part).next().expect("one pair").expect("it is UTF-8").1.into_owned()
            };
            assert_eq!((read(sent_id).as_str(), read(sent_secret).as_str()), (id, secret.expose()));
        }
        None => {
            assert_eq!(sends("client_id"), Some(id));
            let shows = [sends("client_secret"), sends("client_assertion")];
            assert_eq!(shows[0].is_some(), method == AuthMethod::ClientSecretPost);
            assert_eq!(shows[1].is_some(), method == AuthMethod::PrivateKeyJwt);
            assert!(shows.iter().flatten().all(|shown| *shown == secret.expose()));
        }
    }
}
