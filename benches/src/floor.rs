//! The floor: the least Rust that does each operation. It validates next to nothing, keeps everything in maps in memory,
//! and seals nothing; nobody should ship it.
//!
//! One 64-byte random read, SHA-256, base64url, percent-encoding into a reused buffer, borrowed JSON, one allocation for
//! each stored credential, one hash lookup, one clock read.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::wire;

/// Milliseconds since 1970.
pub(crate) fn clock() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() * 1000 + u64::from(since.subsec_millis()))
}

/// All its state.
#[derive(Debug, Default)]
pub(crate) struct Floor {
    text: String,
    body: Vec<u8>,
    flows: HashMap<[u8; 43], Box<Flow>>,
    credentials: HashMap<String, Credential>,
}

#[derive(Debug)]
struct Flow {
    verifier: [u8; 43],
    created_at: u64,
}

#[derive(Debug)]
struct Credential {
    /// `Bearer`, the access token and the refresh token in one allocation.
    text: Box<str>,
    header_len: usize,
    expires_at: u64,
}

impl Credential {
    fn header(&self) -> &str {
        &self.text[..self.header_len]
    }

    fn refresh_token(&self) -> &str {
        &self.text[self.header_len..]
    }
}

#[derive(Deserialize)]
struct Challenged<'a> {
    #[serde(borrow)]
    authorization_servers: Vec<&'a str>,
}

#[derive(Deserialize)]
struct IssuerDocument<'a> {
    issuer: &'a str,
    authorization_endpoint: &'a str,
    token_endpoint: &'a str,
    registration_endpoint: &'a str,
}

#[derive(Serialize)]
struct Registration<'a> {
    client_name: &'a str,
    redirect_uris: [&'a str; 1],
    grant_types: [&'a str; 2],
    response_types: [&'a str; 1],
    token_endpoint_auth_method: &'a str,
}

#[derive(Deserialize)]
struct Registered<'a> {
    client_id: &'a str,
}

#[derive(Deserialize)]
struct Tokens<'a> {
    access_token: &'a str,
    refresh_token: &'a str,
    expires_in: u64,
}

impl Floor {
    /// A: PKCE, state, URL, and the flow by its state.
    pub(crate) fn begin(&mut self, authorize: &str, client_id: &str) -> &str {
        let mut random = [0; 64];
        getrandom::fill(&mut random).expect("the kernel has random numbers");
        let (state, verifier) = (encoded(&random[..32]), encoded(&random[32..]));
        let challenge = encoded(&Sha256::digest(verifier));
        self.text.clear();
        self.text.push_str(authorize);
        for (name, value) in [
            ("?response_type=", "code"),
            ("&client_id=", client_id),
            ("&redirect_uri=", wire::REDIRECT_URI),
            ("&state=", text(&state)),
            ("&code_challenge=", text(&challenge)),
            ("&code_challenge_method=", "S256"),
            ("&resource=", wire::SERVER),
            ("&scope=", wire::SCOPES),
        ] {
            self.text.push_str(name);
            self.text.extend(utf8_percent_encode(value, UNSAFE));
        }
        self.flows.insert(state, Box::new(Flow { verifier, created_at: clock() }));
        &self.text
    }

    /// B: a token response to a stored credential.
    pub(crate) fn store(&mut self, user: &str, response: &str) {
        let tokens: Tokens<'_> = serde_json::from_str(response).expect("it is a token response");
        let (access, refresh) = (tokens.access_token, tokens.refresh_token);
        let mut text = String::with_capacity("Bearer ".len() + access.len() + refresh.len());
        text.push_str("Bearer ");
        text.push_str(access);
        let header_len = text.len();
        text.push_str(refresh);
        let expires_at = clock() + tokens.expires_in * 1000;
        let credential = Credential { text: text.into_boxed_str(), header_len, expires_at };
        match self.credentials.get_mut(user) {
            Some(before) => *before = credential,
            None => drop(self.credentials.insert(user.to_owned(), credential)),
        }
    }

    /// C, up to the redirect: challenge, resource metadata, issuer metadata, registration, and A.
    pub(crate) fn discover(&mut self, peers: &Peers<'_>) -> &str {
        let (_, rest) =
            peers.challenge.split_once("resource_metadata=\"").expect("the challenge names a URL");
        let (url, _) = rest.split_once('"').expect("the value ends");
        std::hint::black_box(url);
        let resource: Challenged<'_> = serde_json::from_str(peers.resource).expect("it is resource metadata");
        self.text.clear();
        self.text.push_str(resource.authorization_servers[0]);
        self.text.push_str("/.well-known/oauth-authorization-server");
        std::hint::black_box(&self.text);
        let issuer: IssuerDocument<'_> = serde_json::from_str(peers.issuer).expect("it is issuer metadata");
        assert!(issuer.issuer == resource.authorization_servers[0], "the issuer is another");
        self.body.clear();
        let request = Registration {
            client_name: wire::CLIENT_NAME,
            redirect_uris: [wire::REDIRECT_URI],
            grant_types: ["authorization_code", "refresh_token"],
            response_types: ["code"],
            token_endpoint_auth_method: "none",
        };
        serde_json::to_writer(&mut self.body, &request).expect("texts can be written");
        std::hint::black_box((issuer.registration_endpoint, issuer.token_endpoint, &self.body));
        let registered: Registered<'_> =
            serde_json::from_str(peers.registration).expect("it is a registration");
        self.begin(issuer.authorization_endpoint, registered.client_id)
    }

    /// C, from the callback on: find the flow, ask for tokens, and B.
    pub(crate) fn complete(&mut self, user: &str, callback: &str, tokens: &str) {
        let (_, query) = callback.split_once('?').expect("the callback has a query");
        let (mut code, mut state, mut iss) = (None, None, None);
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "code" => code = Some(percent_decode_str(value).decode_utf8().expect("it is UTF-8")),
                "state" => state = value.as_bytes().try_into().ok(),
                "iss" => iss = Some(percent_decode_str(value).decode_utf8().expect("it is UTF-8")),
                _ => {}
            }
        }
        let flow = state.and_then(|state: [u8; 43]| self.flows.remove(&state)).expect("the state is known");
        assert!(iss.is_some_and(|iss| iss == wire::ISSUER), "the issuer is another");
        assert!(clock() < flow.created_at + 600_000, "the flow has ended");
        self.form(&[
            ("grant_type=", "authorization_code"),
            ("&code=", &code.expect("there is a code")),
            ("&code_verifier=", text(&flow.verifier)),
            ("&redirect_uri=", wire::REDIRECT_URI),
            ("&resource=", wire::SERVER),
            ("&client_id=", wire::CLIENT_ID),
        ]);
        self.store(user, tokens);
    }

    /// D: the header for a call.
    pub(crate) fn resolve(&self, user: &str) -> Option<&str> {
        let credential = self.credentials.get(user)?;
        (clock() < credential.expires_at).then(|| credential.header())
    }

    /// E: refresh, which ends as B.
    pub(crate) fn refresh(&mut self, user: &str, response: &str) {
        let mut form = std::mem::take(&mut self.text);
        form.clear();
        let refresh_token = self.credentials.get(user).expect("the user is connected").refresh_token();
        write_form(
            &mut form,
            &[
                ("grant_type=", "refresh_token"),
                ("&refresh_token=", refresh_token),
                ("&resource=", wire::SERVER),
                ("&client_id=", wire::CLIENT_ID),
            ],
        );
        std::hint::black_box(&form);
        self.text = form;
        self.store(user, response);
    }

    /// Forgets the flows, so that a bench does not grow.
    pub(crate) fn clear_flows(&mut self) {
        self.flows.clear();
    }

    fn form(&mut self, pairs: &[(&str, &str)]) {
        self.text.clear();
        write_form(&mut self.text, pairs);
        std::hint::black_box(&self.text);
    }
}

/// What the network says to one full connect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peers<'a> {
    /// The `WWW-Authenticate` of the server's 401.
    pub(crate) challenge: &'a str,
    /// Its metadata.
    pub(crate) resource: &'a str,
    /// The issuer's.
    pub(crate) issuer: &'a str,
    /// The issuer's answer to a registration.
    pub(crate) registration: &'a str,
}

const UNSAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn write_form(form: &mut String, pairs: &[(&str, &str)]) {
    for (name, value) in pairs {
        form.push_str(name);
        form.extend(utf8_percent_encode(value, UNSAFE));
    }
}

fn encoded(bytes: &[u8]) -> [u8; 43] {
    let mut out = [0; 43];
    BASE64_URL_SAFE_NO_PAD.encode_slice(bytes, &mut out).expect("32 bytes are 43 characters");
    out
}

fn text(encoded: &[u8; 43]) -> &str {
    str::from_utf8(encoded).expect("base64 is ASCII")
}
