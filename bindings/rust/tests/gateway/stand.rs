//! A host on a free port: its own login, the gateway's router, an endpoint behind the layer that says who called. And a client.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::{Query, Request};
use axum::response::AppendHeaders;
use axum::routing::{any, get};
use axum::{Extension, Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use grantway::axum::AuthenticateLayer;
use grantway::driver::{Host, Identified, Identity};
use grantway::grantway_core::address::AddressPolicy;
use grantway::grantway_core::downstream::authenticate::SignedInCaller;
use grantway::grantway_core::downstream::config::GatewayConfig;
use grantway::grantway_core::downstream::request::SignedIn;
use grantway::grantway_core::moment::UnixMillis;
use grantway::grantway_core::principal::Role;
use grantway::grantway_core::store::{Keyring, SealingKey};
use grantway::store::Memory;
use grantway::transport::{BoxFuture, Hyper};
use grantway::{Caller, Connector, Engine, EngineConfig, Grantway, Principal, Secret, TenantId};
use grantway_testing::serve::{Answer, Browser, Serving, now};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

pub(crate) const REDIRECT: &str = "http://127.0.0.1:9/callback";
/// The verifier of RFC 7636, appendix B, and its challenge.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Whom the host knows, and what it was asked.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) keys: Mutex<HashMap<String, Caller>>,
    pub(crate) principals: Mutex<HashMap<String, Identified>>,
}

impl Identity for Known {
    fn by_key<'a>(&'a self, tenant: &'a TenantId, key: &'a Secret) -> BoxFuture<'a, Identified> {
        assert_eq!(tenant.as_str(), "acme");
        let caller = self.keys.lock().unwrap().get(key.expose()).cloned();
        Box::pin(async { caller.map_or(Identified::Rejected, Identified::Caller) })
    }

    fn by_principal<'a>(&'a self, _: &'a TenantId, who: &'a Principal) -> BoxFuture<'a, Identified> {
        let known = self.principals.lock().unwrap().get(who.id()).cloned();
        Box::pin(async { known.unwrap_or(Identified::Unavailable) })
    }
}

pub(crate) struct Stand {
    pub(crate) gw: Arc<Grantway>,
    pub(crate) base: String,
    pub(crate) known: Arc<Known>,
    /// How often the endpoint behind the layer was reached.
    pub(crate) reached: Arc<AtomicUsize>,
    pub(crate) runtime: Runtime,
    _upstream: [Serving; 2],
}

impl Stand {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut EngineConfig)) -> Self {
        let runtime = Runtime::new().unwrap();
        let _inside = runtime.enter();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let mut config = EngineConfig::new("test");
        config.base_url = Some(base.clone());
        config.danger_loopback_http = true;
        config.gateway = Some(GatewayConfig::new("/mcp"));
        change(&mut config);
        let bytes = |seed: u8| std::array::from_fn(|at| (at as u8).wrapping_mul(7).wrapping_add(seed));
        let keyring = Keyring::new(SealingKey::new(1, bytes(1)), bytes(2)).unwrap();
        let known = Arc::<Known>::default();
        let host = Host::new(Arc::new(Memory::default()), Arc::new(Hyper::new().unwrap()))
            .with_identity(known.clone());
        let gw = Arc::new(Grantway::new(Engine::new(config, keyring).unwrap(), host));

        let (issuer, serving_issuer) = Serving::issuer().unwrap();
        let (mcp, serving_mcp) = Serving::mcp(&issuer).unwrap();
        let mut connector = Connector::server(mcp.url());
        connector.address_policy = AddressPolicy::Loopback;
        let root = user("root").with_role(Role::Admin);
        runtime.block_on(gw.put_connector(&root, "notes", connector, None)).unwrap();

        let reached = Arc::<AtomicUsize>::default();
        let app = app(&gw, &reached);
        runtime.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { gw, base, known, reached, runtime, _upstream: [serving_issuer, serving_mcp] }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// A browser in which the host's own login knows somebody.
    pub(crate) fn browser_of(&self, user: &str) -> Browser {
        let mut browser = Browser::default();
        browser.open(&self.url(&format!("/login?as={user}")), "").unwrap();
        browser
    }

    /// A client that has registered itself.
    pub(crate) fn client(&self) -> Client {
        let body = json!({ "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none", "client_name": "C", "grant_types": ["authorization_code", "refresh_token"] });
        let headers = [("Content-Type", "application/json")];
        let answer =
            Browser::default().send("POST", &self.url("/register"), &headers, &body.to_string()).unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
        Client { base: self.base.clone(), id: answer.json()["client_id"].as_str().unwrap().to_owned() }
    }

    /// A client that is signed in for a person, who has connected nothing: its tokens.
    pub(crate) fn signed_in(&self, browser: &mut Browser) -> (Client, Value) {
        let client = self.client();
        let services = browser.open(&client.authorization_url(), REDIRECT).unwrap();
        let back = client.approve(browser, &services);
        let tokens = client.redeem(&back);
        (client, tokens)
    }

    /// The endpoint behind the layer, with this `Authorization`.
    pub(crate) fn call(&self, authorization: Option<&str>) -> Answer {
        let mut headers = vec![("X-Mine", "1")];
        headers.extend(authorization.map(|value| ("Authorization", value)));
        Browser::default().send("POST", &self.url("/mcp"), &headers, "{}").unwrap()
    }

    pub(crate) fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }
}

fn app(gw: &Arc<Grantway>, reached: &Arc<AtomicUsize>) -> Router {
    let tenant = TenantId::new("acme").unwrap();
    let counted = reached.clone();
    // All that the endpoint can know of the request.
    let endpoint = any(move |request: Request| {
        counted.fetch_add(1, Ordering::SeqCst);
        let who = request.extensions().get::<SignedInCaller>().cloned();
        let caller = request.extensions().get::<Caller>().cloned();
        let headers: Vec<_> = request.headers().keys().map(|name| name.to_string()).collect();
        let seen = format!("{:?}", request.headers());
        async move { Json(json!({ "who": who, "caller": caller, "headers": headers, "seen": seen })) }
    });
    let who = |parts: &http::request::Parts| {
        let cookies = parts.headers.get("cookie").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let name = cookies.split("; ").find_map(|pair| pair.strip_prefix("login=")).map(str::to_owned);
        let signed_in = name.map(|name| SignedIn {
            caller: user(&name),
            auth_time: Some(UnixMillis(now().0 - 1_000)),
            acr: None,
        });
        // A login that has to look somewhere.
        async move {
            tokio::task::yield_now().await;
            signed_in
        }
    };
    let login = get(|Query(asked): Query<HashMap<String, String>>| async move {
        AppendHeaders([("Set-Cookie", format!("login={}; Path=/; HttpOnly", asked["as"]))])
    });
    gw.router(&tenant, who)
        .unwrap()
        .route("/login", login)
        .route("/mcp", endpoint.layer(AuthenticateLayer::new(gw, &tenant, "/mcp").unwrap()))
        .route("/mine", get(|Extension(text): Extension<&'static str>| async move { text }))
        .layer(Extension("the host's own"))
        .fallback(|| async { (http::StatusCode::NOT_FOUND, "the host's own 404") })
}

pub(crate) fn user(name: &str) -> Caller {
    Caller::new("acme", Principal::user(name).unwrap()).unwrap()
}

pub(crate) struct Client {
    base: String,
    pub(crate) id: String,
}

impl Client {
    pub(crate) fn authorization_url(&self) -> String {
        let query = [
            ("response_type", "code"),
            ("client_id", self.id.as_str()),
            ("redirect_uri", REDIRECT),
            ("state", "s"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("resource", &format!("{}/mcp", self.base)),
        ];
        url::Url::parse_with_params(&format!("{}/authorize", self.base), query).unwrap().into()
    }

    /// From the page with the services to where the browser is sent back.
    pub(crate) fn approve(&self, browser: &mut Browser, services: &Answer) -> Answer {
        let next = services.link("Continue to approval").unwrap_or_else(|| panic!("{}", services.text()));
        let page = browser.open(next.as_str(), REDIRECT).unwrap();
        browser.press(&page, "Approve", &[], REDIRECT).unwrap()
    }

    /// The tokens for the code that the browser brought.
    pub(crate) fn redeem(&self, back: &Answer) -> Value {
        let code = back.query("code").unwrap_or_else(|| panic!("{} {}", back.url, back.text()));
        let answer = self.post(
            "/token",
            &[
                ("grant_type", "authorization_code"),
                ("code", &code),
                ("redirect_uri", REDIRECT),
                ("code_verifier", VERIFIER),
            ],
        );
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    pub(crate) fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let fields = fields.iter().copied().chain([("client_id", self.id.as_str())]);
        let body = url::Url::parse_with_params("http://x/", fields).unwrap();
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let url = format!("{}{path}", self.base);
        Browser::default().send("POST", &url, &headers, body.query().unwrap()).unwrap()
    }
}

pub(crate) fn bearer(tokens: &Value) -> String {
    format!("Bearer {}", tokens["access_token"].as_str().unwrap())
}

/// A token of the right form that nobody gave.
pub(crate) fn made_up() -> String {
    format!("gwa_{}{}", BASE64_URL_SAFE_NO_PAD.encode([7; 16]), BASE64_URL_SAFE_NO_PAD.encode([9; 32]))
}
