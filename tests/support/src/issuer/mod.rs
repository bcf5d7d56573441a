//! A scriptable authorization server. By default it does everything right; [`Behaviour`] says what it does otherwise, and a
//! scripted answer says what it does once.

mod authorize;
mod behaviour;
mod clients;
mod metadata;
mod tokens;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grantway_core::moment::UnixMillis;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

pub use authorize::Refused;
pub use behaviour::{AuthMethod, Behaviour, BodyForm, CallbackIss, Endpoint, Rotation, WellKnown};
pub use tokens::LiveToken;

use crate::message::{Parameters, Request, Response};
use crate::network::Server;
use authorize::{Code, Decision};
use clients::Client;
use tokens::{AccessToken, Family, RefreshToken};

/// A handle on one authorization server; clones are the same server.
#[derive(Clone, Debug)]
pub struct Issuer(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    issuer: String,
    salt: String,
    behaviour: Behaviour,
    serial: u32,
    scripted: Vec<Scripted>,
    clients: BTreeMap<String, Client>,
    /// Client id metadata documents by their URL, as if fetched.
    documents: BTreeMap<String, Value>,
    registrations: Vec<Value>,
    authorizations: Vec<Parameters>,
    codes: BTreeMap<String, Code>,
    families: Vec<Family>,
    access_tokens: BTreeMap<String, AccessToken>,
    refresh_tokens: BTreeMap<String, RefreshToken>,
    posts: BTreeMap<String, u32>,
    revoked: Vec<String>,
}

/// An answer that stands in for the server's own.
#[derive(Debug)]
struct Scripted {
    endpoint: Endpoint,
    left: u32,
    processed: bool,
    response: Response,
}

impl Issuer {
    /// A server with this issuer string, which must be a URL; it may have a path.
    ///
    /// # Panics
    /// It is no URL.
    pub fn new(issuer: &str) -> Self {
        Self::salted(issuer, "")
    }

    /// As [`Issuer::new`], with values unlike those of another server of this name, such as an earlier process.
    ///
    /// # Panics
    /// It is no URL.
    pub fn salted(issuer: &str, salt: &str) -> Self {
        assert!(Url::parse(issuer).is_ok(), "`{issuer}` is no URL");
        Self(Arc::new(Mutex::new(State {
            issuer: issuer.to_owned(),
            salt: salt.to_owned(),
            behaviour: Behaviour::default(),
            serial: 0,
            scripted: Vec::new(),
            clients: BTreeMap::new(),
            documents: BTreeMap::new(),
            registrations: Vec::new(),
            authorizations: Vec::new(),
            codes: BTreeMap::new(),
            families: Vec::new(),
            access_tokens: BTreeMap::new(),
            refresh_tokens: BTreeMap::new(),
            posts: BTreeMap::new(),
            revoked: Vec::new(),
        })))
    }

    /// Changes how it behaves from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.state().behaviour);
    }

    /// The issuer string.
    pub fn url(&self) -> String {
        self.state().issuer.clone()
    }

    /// The URL of an endpoint; for metadata, of the first well-known form it serves.
    pub fn endpoint(&self, endpoint: Endpoint) -> String {
        self.state().endpoint(endpoint)
    }

    /// The next `times` requests to an endpoint are answered with this and not processed.
    pub fn answer_instead(&self, endpoint: Endpoint, times: u32, response: Response) {
        self.script(endpoint, times, false, response);
    }

    /// The next `times` requests to an endpoint are processed, and then answered with this.
    pub fn answer_after_processing(&self, endpoint: Endpoint, times: u32, response: Response) {
        self.script(endpoint, times, true, response);
    }

    /// A client that an operator registered by hand. Without redirect URIs in the list, none is acceptable.
    pub fn register_static(
        &self,
        client_id: &str,
        secret: Option<&str>,
        method: AuthMethod,
        redirect_uris: &[&str],
    ) {
        let redirect_uris = redirect_uris.iter().map(|uri| (*uri).to_owned()).collect();
        let client = Client { secret: secret.map(str::to_owned), method, redirect_uris };
        self.state().clients.insert(client_id.to_owned(), client);
    }

    /// Makes a client id metadata document known at its URL, as if the server could fetch it there.
    pub fn publish_client(&self, url: &str, document: Value) {
        self.state().documents.insert(url.to_owned(), document);
    }

    /// Forgets all clients; what they hold fails with `invalid_client` from now on.
    pub fn forget_clients(&self) {
        self.state().clients.clear();
    }

    /// What a user's browser does with an authorization URL when `alice` approves: the callback URL.
    ///
    /// # Panics
    /// The server refuses the request, see [`Issuer::authorize`].
    pub fn approve(&self, url: &str) -> String {
        self.approve_as("alice", url)
    }

    /// As [`Issuer::approve`], as another user.
    ///
    /// # Panics
    /// The server refuses the request.
    pub fn approve_as(&self, user: &str, url: &str) -> String {
        self.authorize(user, url).unwrap_or_else(|refused| panic!("{}: `{url}`", refused.0))
    }

    /// As [`Issuer::approve_as`], for requests that may be refused.
    ///
    /// # Errors
    /// The request is not acceptable; a browser would show an error page, and nothing goes to the client.
    pub fn authorize(&self, user: &str, url: &str) -> Result<String, Refused> {
        self.state().authorize(url, &Decision::Approve(user.to_owned()))
    }

    /// What the browser does when the user denies: the callback URL with `access_denied`.
    ///
    /// # Panics
    /// The server refuses the request.
    pub fn deny(&self, url: &str) -> String {
        self.fail(url, "access_denied")
    }

    /// The callback URL with an error of the server's.
    ///
    /// # Panics
    /// The server refuses the request.
    pub fn fail(&self, url: &str, error: &str) -> String {
        let decision = Decision::Fail(error.to_owned());
        self.state().authorize(url, &decision).unwrap_or_else(|refused| panic!("{}: `{url}`", refused.0))
    }

    /// The bodies of all dynamic registrations, in order.
    pub fn registrations(&self) -> Vec<Value> {
        self.state().registrations.clone()
    }

    /// The parameters of all authorization requests that were acceptable, in order.
    pub fn authorizations(&self) -> Vec<Parameters> {
        self.state().authorizations.clone()
    }

    /// How often each refresh token was posted to the token endpoint, whatever came of it.
    pub fn posts_per_refresh_token(&self) -> BTreeMap<String, u32> {
        self.state().posts.clone()
    }

    /// How many families were revoked because a spent refresh token or a spent code came again.
    pub fn families_revoked(&self) -> usize {
        self.state().families.iter().filter(|family| family.revoked_for_reuse).count()
    }

    /// The tokens that clients revoked, in order.
    pub fn revocations(&self) -> Vec<String> {
        self.state().revoked.clone()
    }

    /// Whose access token it is, if it is good now.
    pub fn live_token(&self, access_token: &str, now: UnixMillis) -> Option<LiveToken> {
        self.state().live_token(access_token, now)
    }

    /// All access tokens that are good now.
    pub fn live_access_tokens(&self, now: UnixMillis) -> Vec<String> {
        let state = self.state();
        state.access_tokens.keys().filter(|token| state.live_token(token, now).is_some()).cloned().collect()
    }

    /// All refresh tokens that a client could redeem.
    pub fn live_refresh_tokens(&self) -> Vec<String> {
        let state = self.state();
        let live = |token: &&RefreshToken| token.spent_at.is_none() && !state.families[token.family].ended;
        state.refresh_tokens.iter().filter(|(_, token)| live(token)).map(|(text, _)| text.clone()).collect()
    }

    /// Ends all access tokens, not the refresh tokens.
    pub fn end_access_tokens(&self) {
        self.state().access_tokens.clear();
    }

    /// Ends everything a user has granted, as on the server's account page.
    pub fn end_grants_of(&self, user: &str) {
        let mut state = self.state();
        state.families.iter_mut().filter(|family| family.user == user).for_each(|family| family.ended = true);
    }

    fn script(&self, endpoint: Endpoint, left: u32, processed: bool, response: Response) {
        self.state().scripted.push(Scripted { endpoint, left, processed, response });
    }

    /// A panic of a test while the lock is held leaves the state as good as it was.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server for Issuer {
    fn handle(&mut self, request: &Request, now: UnixMillis) -> Response {
        self.state().handle(request, now)
    }
}

impl State {
    fn handle(&mut self, request: &Request, now: UnixMillis) -> Response {
        let Some(endpoint) = self.route(request) else { return Response::new(404) };
        if endpoint == Endpoint::Token {
            self.count_post(request);
        }
        let scripted =
            self.scripted.iter_mut().find(|scripted| scripted.endpoint == endpoint && scripted.left > 0);
        let instead = scripted.map(|scripted| {
            scripted.left -= 1;
            (scripted.processed, scripted.response.clone())
        });
        match instead {
            Some((false, response)) => response,
            Some((true, response)) => {
                self.process(endpoint, request, now);
                response
            }
            None => self.process(endpoint, request, now),
        }
    }

    fn process(&mut self, endpoint: Endpoint, request: &Request, now: UnixMillis) -> Response {
        match endpoint {
            Endpoint::Metadata => self.metadata(request),
            Endpoint::Register => self.register(request),
            Endpoint::Authorize => self.authorize_in_browser(request),
            Endpoint::Token => self.token(request, now).unwrap_or_else(OAuthError::response),
            Endpoint::Revoke => self.revoke(request).unwrap_or_else(OAuthError::response),
        }
    }

    fn route(&self, request: &Request) -> Option<Endpoint> {
        let (path, get) = (request.path(), request.method == "GET");
        let at = |endpoint: Endpoint| self.endpoint_path(endpoint) == path;
        match () {
            () if get && self.metadata_paths().contains(&path) => Some(Endpoint::Metadata),
            () if !get && at(Endpoint::Register) && self.behaviour.dynamic_registration => {
                Some(Endpoint::Register)
            }
            () if at(Endpoint::Authorize) => Some(Endpoint::Authorize),
            () if !get && at(Endpoint::Token) => Some(Endpoint::Token),
            () if !get && at(Endpoint::Revoke) && self.behaviour.revocation => Some(Endpoint::Revoke),
            () => None,
        }
    }

    fn endpoint(&self, endpoint: Endpoint) -> String {
        format!("{}{}", self.origin(), self.endpoint_path(endpoint))
    }

    fn endpoint_path(&self, endpoint: Endpoint) -> String {
        let base = self.path();
        match endpoint {
            Endpoint::Metadata => self.metadata_paths().into_iter().next().unwrap_or_default(),
            Endpoint::Register => format!("{base}/register"),
            Endpoint::Authorize => format!("{base}/authorize"),
            Endpoint::Token => format!("{base}/token"),
            Endpoint::Revoke => format!("{base}/revoke"),
        }
    }

    fn origin(&self) -> String {
        Url::parse(&self.issuer).expect("checked by `new`").origin().ascii_serialization()
    }

    /// The path of the issuer without a slash at its end.
    fn path(&self) -> String {
        Url::parse(&self.issuer).expect("checked by `new`").path().trim_end_matches('/').to_owned()
    }

    /// A value that occurs nowhere else, long enough to be a canary: all servers and values differ.
    fn mint(&mut self, kind: &str) -> String {
        self.serial += 1;
        let hash = Sha256::digest(format!("{} {} {kind} {}", self.issuer, self.salt, self.serial));
        let text: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        format!("{kind}-{:04}-{text}", self.serial)
    }
}

/// An error response of the token, registration or revocation endpoint (RFC 6749 §5.2).
#[derive(Debug)]
struct OAuthError {
    status: u16,
    error: &'static str,
    description: String,
}

impl OAuthError {
    fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self { status: 400, error, description: description.into() }
    }

    fn invalid_client(description: impl Into<String>) -> Self {
        Self { status: 401, ..Self::new("invalid_client", description) }
    }

    fn response(self) -> Response {
        let body = json!({ "error": self.error, "error_description": self.description });
        let response = Response::json(self.status, &body);
        if self.status == 401 {
            response.header("WWW-Authenticate", "Basic realm=\"issuer\"")
        } else {
            response
        }
    }
}

impl From<String> for OAuthError {
    fn from(description: String) -> Self {
        Self::new("invalid_request", description)
    }
}
