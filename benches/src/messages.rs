//! The messages alone: everything the floor does, by the engine's own parsers and writers with all they check, but
//! without operations, records or seals. The share of an operation that a client in memory would have, too.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use grantway_core::protocol::authorization::{
    AuthorizationAnswer, AuthorizationRequest, AuthorizationResponse,
};
use grantway_core::protocol::client_auth::{AuthMethod, ClientAuth};
use grantway_core::protocol::issuer_metadata::{self, IssuerMetadata};
use grantway_core::protocol::pkce;
use grantway_core::protocol::redirect_uri::RedirectUri;
use grantway_core::protocol::registration::{RegistrationRequest, RegistrationResponse};
use grantway_core::protocol::resource_metadata::ResourceMetadata;
use grantway_core::protocol::scopes::Scopes;
use grantway_core::protocol::token::{self, TokenAnswer, TokenResponse};
use grantway_core::protocol::url::{HttpUrl, PlainHttp};
use grantway_core::protocol::www_authenticate::{self, BearerChallenge};
use grantway_core::secret::{Secret, SecretBytes};

use crate::floor::Peers;
use crate::wire;

/// A begun flow: the URL to open, and what is kept for the callback.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) url: String,
    pub(crate) verifier: Secret,
    redirect_uri: RedirectUri,
    client_id: String,
}

/// A.
pub(crate) fn begin(authorize: &str, client_id: &str, scopes: &Scopes) -> Begun {
    let mut random = [0; 64];
    getrandom::fill(&mut random).expect("the kernel has random numbers");
    let state = Secret::new(BASE64_URL_SAFE_NO_PAD.encode(&random[..32]));
    let verifier = Secret::new(BASE64_URL_SAFE_NO_PAD.encode(&random[32..]));
    let redirect_uri = RedirectUri::new(wire::REDIRECT_URI).expect("it is acceptable");
    let url = AuthorizationRequest {
        endpoint: &url(authorize),
        client_id,
        redirect_uri: &redirect_uri,
        state: &state,
        code_challenge: &pkce::challenge(&verifier),
        resource: Some(wire::SERVER),
        scopes,
        prompt_consent: false,
        extra: &[],
    }
    .url()
    .expect("the endpoint has no query");
    std::hint::black_box(crate::floor::clock());
    Begun { url, verifier, redirect_uri, client_id: client_id.to_owned() }
}

/// B.
pub(crate) fn tokens(body: &str) -> TokenResponse {
    std::hint::black_box(crate::floor::clock());
    match token::read(200, Some("application/json"), body.as_bytes()) {
        TokenAnswer::Tokens(tokens) => tokens,
        other => panic!("no tokens: {other:?}"),
    }
}

/// C up to the redirect.
pub(crate) fn discover(peers: &Peers<'_>) -> Begun {
    let challenge = BearerChallenge::select(&www_authenticate::parse([peers.challenge])).expect("it is one");
    std::hint::black_box(url(&challenge.resource_metadata.expect("it names its metadata")));
    let resource = ResourceMetadata::parse(peers.resource.as_bytes()).expect("it is resource metadata");
    let issuer = url(&resource.authorization_servers[0]);
    std::hint::black_box(issuer_metadata::candidates(&issuer));
    let metadata = IssuerMetadata::parse(peers.issuer.as_bytes()).expect("it is issuer metadata");
    assert!(metadata.issuer == issuer.received(), "the issuer is another");
    let redirect_uri = RedirectUri::new(wire::REDIRECT_URI).expect("it is acceptable");
    let request = RegistrationRequest {
        redirect_uris: std::slice::from_ref(&redirect_uri),
        client_name: wire::CLIENT_NAME,
        auth_method: AuthMethod::None,
        application_type: redirect_uri.application_type(),
        scopes: None,
        client_uri: None,
    };
    std::hint::black_box(request.to_body());
    let registered =
        RegistrationResponse::parse(peers.registration.as_bytes()).expect("it is a registration");
    let authorize = metadata.authorization_endpoint.expect("there is one");
    begin(&authorize, &registered.client_id, &challenge.scope.unwrap_or_default())
}

/// C from the callback on.
pub(crate) fn complete(begun: &Begun, callback: &str, body: &str) -> TokenResponse {
    let response = AuthorizationResponse::parse(callback).expect("it is a callback");
    let code = match response.answer_of(wire::ISSUER, true).expect("it is of the issuer") {
        AuthorizationAnswer::Code(code) => code,
        AuthorizationAnswer::Refused(error) => panic!("{error:?}"),
    };
    let mut form = token::authorization_code(&code, &begun.verifier, &begun.redirect_uri, Some(wire::SERVER))
        .expect("nothing is empty");
    public_client(&begun.client_id).apply(&mut form).expect("a public client has all it needs");
    std::hint::black_box((url(wire::TOKEN), form.into_body()));
    tokens(body)
}

/// E.
pub(crate) fn refresh(refresh_token: &Secret, body: &str) -> TokenResponse {
    let mut form = token::refresh(refresh_token, Some(wire::SERVER), None).expect("nothing is empty");
    public_client(wire::CLIENT_ID).apply(&mut form).expect("a public client has all it needs");
    let body_sent: SecretBytes = form.into_body();
    std::hint::black_box((url(wire::TOKEN), body_sent));
    tokens(body)
}

fn public_client(client_id: &str) -> ClientAuth<'_> {
    ClientAuth { client_id, method: AuthMethod::None, secret: None, assertion: None }
}

fn url(text: &str) -> HttpUrl {
    HttpUrl::parse(text, PlainHttp::Never).expect("it is acceptable")
}
