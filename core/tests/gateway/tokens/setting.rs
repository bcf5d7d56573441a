//! A gateway with two endpoints, and clients, codes and people put into it by hand: keys and hashes as `spec/records.md` says.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use grantway_core::downstream::authenticate::{Authenticate, Authenticated, Authenticating, SignedInCaller};
use grantway_core::downstream::config::GatewayConfig;
use grantway_core::downstream::handle::{Handle, Handling};
use grantway_core::downstream::request::Request;
use grantway_core::downstream::response::Response;
use grantway_core::engine::{Engine, EngineConfig};
use grantway_core::event::{Event, What};
use grantway_core::operation::{Machine, Operation};
use grantway_core::principal::{Caller, Principal, TenantId};
use grantway_core::protocol::scopes::Scopes;
use grantway_core::secret::{Secret, SecretBytes};
use grantway_core::store::seam::{opened_bytes, seal_bytes};
use grantway_core::store::{Key, Keyring, Kind, SealingKey};
use grantway_testing::{World, drive};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(crate) const SECOND: u64 = 1000;
pub(crate) const MINUTE: u64 = 60 * SECOND;
pub(crate) const HOUR: u64 = 60 * MINUTE;
pub(crate) const DAY: u64 = 24 * HOUR;

pub(crate) const MCP: &str = "https://gw.good/mcp";
pub(crate) const OTHER_MCP: &str = "https://gw.good/other";
/// A client with a metadata document.
pub(crate) const EDITOR: &str = "https://editor.example/client.json";
/// A registered client without a secret, one with, and one without refresh tokens.
pub(crate) const PUBLIC: &str = "public-client";
pub(crate) const CONFIDENTIAL: &str = "confidential-client";
pub(crate) const BRIEF: &str = "brief-client";
pub(crate) const CLIENT_SECRET: &str = "canary-client-secret";
pub(crate) const REDIRECT_URI: &str = "http://127.0.0.1:5000/callback";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) struct Gateway {
    pub(crate) world: World,
    pub(crate) engine: Arc<Engine>,
    pub(crate) events: Vec<Event>,
    codes: u8,
}

/// What a client has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: Option<String>,
    pub(crate) expires_in: u64,
    pub(crate) scope: Option<String>,
}

pub(crate) fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

pub(crate) fn alice() -> Caller {
    Caller::new("acme", Principal::user("alice").unwrap()).unwrap()
}

pub(crate) fn key(kind: Kind, parts: &[&[u8]]) -> Key {
    let mut bytes = [&[4], b"acme".as_slice(), &[kind as u8]].concat();
    for part in parts {
        bytes.push(u8::try_from(part.len()).unwrap());
        bytes.extend_from_slice(part);
    }
    Key::from_bytes(bytes).unwrap()
}

pub(crate) fn hash(kind: &str, value: &str) -> [u8; 32] {
    let length = [u8::try_from(kind.len()).unwrap()];
    Sha256::new().chain_update(length).chain_update(kind).chain_update(value).finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The key of the family that a token names.
pub(crate) fn family_key(token: &str) -> Key {
    key(Kind::Family, &[&BASE64_URL_SAFE_NO_PAD.decode(&token[4..26]).unwrap()])
}

/// A form body of these pairs.
pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

pub(crate) fn basic(id: &str, secret: &str) -> (String, Secret) {
    (
        "Authorization".to_owned(),
        Secret::new(format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}")))),
    )
}

/// A request with a form.
pub(crate) fn post(path: &str, pairs: &[(&str, &str)]) -> Request {
    Request {
        method: "POST".to_owned(),
        target: Secret::new(path),
        headers: vec![(
            "Content-Type".to_owned(),
            Secret::new("application/x-www-form-urlencoded; charset=utf-8"),
        )],
        body: SecretBytes::new(form(pairs).into_bytes()),
    }
}

pub(crate) fn json_of(response: &Response) -> Value {
    serde_json::from_slice(response.body.expose()).unwrap()
}

/// Status and error code of a refusal.
pub(crate) fn refusal(response: &Response) -> (u16, String) {
    assert_eq!(response.header("Cache-Control"), Some("no-store"));
    assert_eq!(response.header("Access-Control-Allow-Origin"), Some("*"));
    (response.status, json_of(response)["error"].as_str().unwrap().to_owned())
}

pub(crate) fn is(status: u16, error: &str) -> (u16, String) {
    (status, error.to_owned())
}

impl Gateway {
    pub(crate) fn new() -> Self {
        let mut gateway = GatewayConfig::new("/mcp");
        gateway.resources[0].scopes = Scopes::parse("tools offline_access").unwrap();
        let mut other = gateway.resources[0].clone();
        other.path = "/other".to_owned();
        gateway.resources.push(other);
        let config = EngineConfig {
            base_url: Some("https://gw.good".to_owned()),
            gateway: Some(gateway),
            ..EngineConfig::new("Grantway tests")
        };
        let sealing = SealingKey::new(1, std::array::from_fn(|at| at as u8));
        let keyring = Keyring::new(sealing, std::array::from_fn(|at| 255 - at as u8)).unwrap();
        let engine = Engine::new(config, keyring).unwrap();
        let mut world = World::new();
        world.know(alice());
        let mut gateway = Self { world, engine, events: Vec::new(), codes: 0 };
        gateway.put_client(PUBLIC, "none", true);
        gateway.put_client(CONFIDENTIAL, "client_secret_post", true);
        gateway.put_client(BRIEF, "none", false);
        gateway
    }

    fn put_client(&mut self, id: &str, method: &str, refreshes: bool) {
        let secret = (method != "none").then(|| hex(&hash("client_secret", CLIENT_SECRET)));
        let now = self.world.now().0;
        let record = json!({
            "client_id": id, "source": "dynamic", "name": null, "redirect_uris": [REDIRECT_URI],
            "method": method, "secret": secret, "refreshes": refreshes, "version": hex(&[0; 32]),
            "created_at": now, "fresh_until": now + 90 * DAY, "used": true, "refused": null,
        });
        self.put(&key(Kind::Client, &[&Sha256::digest(id)]), &record);
    }

    /// Seals and stores a record as the engine would.
    pub(crate) fn put(&mut self, key: &Key, record: &Value) {
        let plain = json!({ "by": hex(&[9; 16]), "record": record }).to_string();
        let moment = self.world.moment();
        let sealed = seal_bytes(&self.engine, &moment, key, 1, plain.as_bytes());
        self.world.store.overwrite(key, sealed);
    }

    /// A record's content.
    pub(crate) fn get(&self, key: &Key) -> Option<Value> {
        let row = self.world.store.rows().get(key)?;
        let (_, plain) = opened_bytes(&self.engine, key, &row.value).unwrap();
        Some(serde_json::from_slice::<Value>(&plain).unwrap()["record"].take())
    }

    /// Changes a record.
    pub(crate) fn edit(&mut self, key: &Key, edit: impl FnOnce(&mut Value)) {
        let mut record = self.get(key).unwrap();
        edit(&mut record);
        self.put(key, &record);
    }

    pub(crate) fn code_key(code: &str) -> Key {
        key(Kind::Code, &[&hash("code", code)])
    }

    /// A code as the consent of Alice gives it.
    pub(crate) fn code_for(&mut self, client: &str) -> String {
        self.codes += 1;
        let code = format!("gwc_{}", BASE64_URL_SAFE_NO_PAD.encode([self.codes; 32]));
        let now = self.world.now().0;
        let record = json!({
            "client_id": client, "redirect_uri": REDIRECT_URI, "code_challenge": CHALLENGE,
            "scopes": ["read", "tools"], "resource": MCP,
            "caller": { "principal": { "kind": "user", "id": "alice" }, "assurance": "verified", "teams": [], "role": "member" },
            "identified_at": now, "created_at": now, "expires_at": now + MINUTE, "failures": 0, "redeemed": null,
        });
        self.put(&Self::code_key(&code), &record);
        code
    }

    pub(crate) fn run<M: Machine>(&mut self, operation: Operation<M>) -> M::Output {
        let outcome = drive(&mut self.world, operation);
        self.events.extend(outcome.events);
        outcome.result.unwrap()
    }

    /// What has happened since the last call.
    pub(crate) fn news(&mut self) -> Vec<What> {
        std::mem::take(&mut self.events).into_iter().map(|event| event.what).collect()
    }

    pub(crate) fn operation(&self, request: Request) -> Operation<Handling> {
        self.engine.handle(Handle { tenant: acme(), request, signed_in: None })
    }

    pub(crate) fn send(&mut self, request: Request) -> Response {
        let operation = self.operation(request);
        self.run(operation)
    }

    /// A code request with everything right, and these pairs instead (an empty value: left out).
    pub(crate) fn code_request(client: &str, code: &str, instead: &[(&str, &str)]) -> Request {
        let right = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("client_id", client),
            ("redirect_uri", REDIRECT_URI),
            ("code_verifier", VERIFIER),
            ("resource", MCP),
        ];
        let kept = right.into_iter().filter(|(name, _)| instead.iter().all(|(other, _)| name != other));
        let pairs: Vec<_> = kept.chain(instead.iter().copied()).collect();
        post("/token", &pairs)
    }

    pub(crate) fn redeem(&mut self, client: &str, code: &str, instead: &[(&str, &str)]) -> Response {
        self.send(Self::code_request(client, code, instead))
    }

    pub(crate) fn refresh_request(client: &str, token: &str, more: &[(&str, &str)]) -> Request {
        let pairs = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", client)];
        post("/token", &[pairs.as_slice(), more].concat())
    }

    pub(crate) fn refresh(&mut self, client: &str, token: &str) -> Response {
        self.send(Self::refresh_request(client, token, &[]))
    }

    pub(crate) fn sign_in(&mut self, client: &str) -> Tokens {
        let code = self.code_for(client);
        tokens(&self.redeem(client, &code, &[]))
    }

    pub(crate) fn asking(
        &self,
        headers: &[(&str, &str)],
        resource: &str,
        scopes: &str,
    ) -> Operation<Authenticating> {
        self.engine.authenticate(Authenticate {
            tenant: acme(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect(),
            resource: resource.to_owned(),
            scopes: Scopes::parse(scopes).unwrap(),
        })
    }

    pub(crate) fn authenticate(
        &mut self,
        token: &str,
        resource: &str,
        scopes: &str,
    ) -> Result<SignedInCaller, Box<Response>> {
        let operation = self.asking(&[("authorization", &format!("Bearer {token}"))], resource, scopes);
        match self.run(operation) {
            Authenticated::Caller(caller) => Ok(*caller),
            Authenticated::Refused(response) => Err(response),
        }
    }

    /// Whether a token opens the door now.
    pub(crate) fn opens(&mut self, token: &str) -> bool {
        self.authenticate(token, MCP, "").is_ok()
    }
}

/// The tokens of a response.
pub(crate) fn tokens(response: &Response) -> Tokens {
    let body = json_of(response);
    assert_eq!(response.status, 200, "{body}");
    assert_eq!(response.header("Cache-Control"), Some("no-store"));
    assert_eq!(response.header("Content-Type"), Some("application/json"));
    assert_eq!(response.header("Access-Control-Allow-Origin"), Some("*"));
    assert_eq!(body["token_type"], "Bearer");
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    Tokens {
        access: text("access_token").unwrap(),
        refresh: text("refresh_token"),
        expires_in: body["expires_in"].as_u64().unwrap(),
        scope: text("scope"),
    }
}
