//! The gateway, as clients, browsers and whoever else come to it: single requests, and sequences of them.

use std::sync::LazyLock;

use grantway_core::message::{self, AnyStep};
use grantway_core::operation::{Misuse, Reply};
use grantway_core::protocol::client_document::ClientDocument;
use grantway_core::protocol::client_redirect::ClientRedirect;
use grantway_core::protocol::client_registration::ClientRegistration;
use grantway_testing::Store;
use serde_json::{Value, json};

use crate::input::{Choices, lines, text};
use crate::steps::{CANARY, ENGINE, Host, STEPS_MAX, misuse_changes_nothing};

const GATEWAY: &str = "https://gw.good";
const REDIRECT: &str = "http://127.0.0.1:5000/cb";
/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A registered redirect URI, and others on further lines.
///
/// # Panics
/// A law is broken.
pub fn client_redirect(data: &[u8]) {
    let lines = lines(data);
    let allowed = ["cursor://anysphere.cursor-mcp/oauth/callback".to_owned()];
    let Ok(registered) = ClientRedirect::parse(&lines[0], &allowed) else { return };
    assert_eq!(registered.as_str(), lines[0]);
    assert!(registered.matches(&registered) && !registered.host_shown().is_empty());
    assert!(registered.host_shown().bytes().all(|byte| byte.is_ascii_graphic()));
    let scheme = lines[0].split(':').next().unwrap_or_default();
    assert!(!["javascript", "data", "file", "blob", "vbscript"].contains(&scheme), "{scheme}");
    assert!(!lines[0].contains(['#', '\\', '"', '<', '>', '\r', ' ']), "{:?}", lines[0]);
    for requested in lines.iter().skip(1) {
        let Ok(requested) = ClientRedirect::parse(requested, &allowed) else { continue };
        let same = registered.matches(&requested);
        assert_eq!(same, requested.matches(&registered));
        let ours = |it: &ClientRedirect| it.as_str().starts_with("http://");
        assert!(!same || registered == requested || (ours(&registered) && ours(&requested)));
        assert!(!same || registered.host_shown() == requested.host_shown());
    }
}

/// What a client says of itself when it registers.
///
/// # Panics
/// A law is broken.
pub fn client_registration(data: &[u8]) {
    match ClientRegistration::parse(data, &[]) {
        Ok(read) => {
            assert!(!read.redirect_uris.is_empty());
            for uri in &read.redirect_uris {
                assert_eq!(ClientRedirect::parse(uri.as_str(), &[]).as_ref(), Ok(uri));
            }
        }
        Err(refusal) => {
            assert!(["invalid_redirect_uri", "invalid_client_metadata"].contains(&refusal.error()));
            // RFC 6749 §5.2.
            let plain = |byte| matches!(byte, b' '..=b'!' | b'#'..=b'[' | b']'..=b'~');
            assert!(refusal.description().bytes().all(plain));
        }
    }
}

/// A client's metadata document: its URL in the first line, then the body.
///
/// # Panics
/// A law is broken.
pub fn client_document(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let url = text(&data[..at]);
    let body = data.get(at + 1..).unwrap_or_default();
    let Ok(read) = ClientDocument::parse(body, &url, &[]) else { return };
    assert!(!read.redirect_uris.is_empty());
    let value: Value = serde_json::from_slice(body).expect("a document is JSON");
    assert_eq!(value["client_id"], url.as_str());
    assert!(value.get("client_secret").is_none());
    assert!(ClientDocument::parse(body, &format!("{url}x"), &[]).is_err());
}

/// The query of an authorization request, behind the id of a client and its redirect URI.
///
/// # Panics
/// A law is broken.
pub fn authorize(data: &[u8]) {
    let query = text(data);
    for client in ["https%3A%2F%2Fc.good%2Fclient.json", SNAPSHOT.client.as_str()] {
        let uri = "http%3A%2F%2F127.0.0.1%3A5000%2Fcb";
        let target = format!("/authorize?client_id={client}&redirect_uri={uri}&{query}");
        let mut gate = Gate::new(&SNAPSHOT.empty);
        let response = gate.handle(&mut Choices::new(&[]), &get(&target, None), false);
        match response["status"].as_u64() {
            // Opened, and nobody was sent anywhere else.
            Some(303) => {
                let location = header(&response, "Location").expect("a place");
                assert!(location.starts_with("https://gw.good/consent/"), "{location}");
                assert!(query.contains("S256"), "{query}");
            }
            Some(400) => assert_eq!(header(&response, "Location"), None),
            other => panic!("{other:?}: {target}"),
        }
    }
}

/// A token request: a value of `Authorization` in the first line (empty: none), then the body.
///
/// # Panics
/// A law is broken.
pub fn token_request(data: &[u8]) {
    let written = text(data);
    let (authorization, body) = written.split_once('\n').unwrap_or(("", &written));
    for path in ["/token", "/revoke"] {
        let mut headers = vec![json!(["Content-Type", "application/x-www-form-urlencoded"])];
        headers.extend((!authorization.is_empty()).then(|| json!(["Authorization", authorization])));
        let request = json!({ "method": "POST", "target": path, "headers": headers, "body": body });
        let mut gate = Gate::new(&SNAPSHOT.signed_in);
        let response = gate.handle(&mut Choices::new(&[]), &request, false);
        let status = response["status"].as_u64();
        assert!([Some(200), Some(400), Some(401)].contains(&status), "{status:?}");
        assert_eq!(header(&response, "Cache-Control").as_deref(), Some("no-store"));
        let answer = response["body"].as_str().unwrap_or_default();
        if path == "/token" {
            let answer: Value = serde_json::from_str(answer).expect("an answer is JSON");
            // Nothing but the code and the refresh token of the snapshot buys anything.
            let knows = body.contains(&SNAPSHOT.code) || body.contains(&SNAPSHOT.refresh);
            assert!(status != Some(200) || knows, "{answer}");
            assert_eq!(answer.get("error").is_some(), status != Some(200));
        }
    }
}

/// Values of `Authorization`, a line each, at the MCP endpoint.
///
/// # Panics
/// A law is broken.
pub fn bearer(data: &[u8]) {
    let values = lines(data);
    let headers: Vec<_> = values.iter().map(|value| json!(["Authorization", value])).collect();
    let arguments = json!({ "tenant": "acme", "headers": headers, "resource": "https://gw.good/mcp" });
    let request = json!({ "operation": "authenticate", "arguments": arguments });
    let mut gate = Gate::new(&SNAPSHOT.signed_in);
    let outcome = gate.run(&mut Choices::new(&[]), &request, false);
    match outcome["ok"].get("caller") {
        // The one token there is, in the one header there is.
        Some(caller) => {
            assert_eq!(caller["caller"]["principal"]["id"], "alice");
            assert!(values.len() == 1 && values[0].ends_with(&SNAPSHOT.access));
        }
        None => {
            let status = outcome["ok"]["refused"]["status"].as_u64();
            assert!([Some(400), Some(401)].contains(&status), "{status:?}");
        }
    }
}

/// A sequence of requests to the gateway.
///
/// # Panics
/// A law is broken.
pub fn gateway(data: &[u8]) {
    let run = |misuse| {
        let mut choices = Choices::new(data);
        let start = choices.one_of(&[&SNAPSHOT.signed_in, &SNAPSHOT.asked, &SNAPSHOT.empty]);
        let mut gate = Gate::new(start);
        for _ in 0..12 {
            if choices.is_empty() {
                break;
            }
            gate.next(&mut choices, misuse);
        }
        for row in gate.host.store.rows().values() {
            let holds = |text: &str| row.value.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!holds(CANARY) && gate.tokens.iter().all(|token| !holds(token)));
        }
        gate.said
    };
    let (plain, misused) = (run(false), run(true));
    assert_eq!(plain.len(), misused.len());
    for (once, again) in plain.iter().zip(&misused) {
        assert_eq!(String::from_utf8_lossy(once), String::from_utf8_lossy(again));
    }
}

/// A gateway at some point of an honest sign-in.
#[derive(Clone)]
struct Point {
    store: Store,
    cookies: Vec<(String, String)>,
    page: Value,
    upstream: Option<String>,
}

struct Snapshot {
    client: String,
    code: String,
    access: String,
    refresh: String,
    /// A client is registered.
    empty: Point,
    /// Alice stands before the page that asks for her approval, `notes` connected.
    asked: Point,
    /// The client has its tokens.
    signed_in: Point,
}

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
    let honest = || Choices::new(&[]);
    let nothing = Point { store: Store::default(), cookies: Vec::new(), page: Value::Null, upstream: None };
    let mut gate = Gate::new(&nothing);
    let put = crate::steps::put_connector("acme", "notes");
    gate.run(&mut honest(), &put, false);
    let register = json!({ "redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"] });
    let request = json!({ "method": "POST", "target": "/register",
        "headers": [["Content-Type", "application/json"]], "body": register.to_string() });
    let response = gate.handle(&mut honest(), &request, false);
    let client = body(&response)["client_id"].as_str().expect("it is registered").to_owned();
    let empty = gate.point();
    gate.client.clone_from(&client);
    let target = authorization_target(&client);
    gate.browse(&mut honest(), &target, false);
    gate.act(&mut honest(), "/identify", &[("mode", "user")], false);
    gate.act(&mut honest(), "/connect", &[("connector", "notes")], false);
    gate.call_back(&mut honest(), false);
    let page = gate.page["form"]["path"].as_str().expect("a consent session").to_owned();
    gate.browse(&mut honest(), &format!("{page}/approve"), false);
    let asked = gate.point();
    gate.act(&mut honest(), "/approve", &[], false);
    let code = gate.code.clone().expect("a code");
    gate.redeem(&mut honest(), false);
    let tokens = |prefix: &str| {
        let token = gate.tokens.iter().find(|token| token.starts_with(prefix));
        token.expect("a token").clone()
    };
    let (access, refresh) = (tokens("gwa_"), tokens("gwr_"));
    Snapshot { client, code, access, refresh, empty, asked, signed_in: gate.point() }
});

fn authorization_target(client: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("response_type", "code")
        .append_pair("client_id", client)
        .append_pair("redirect_uri", REDIRECT)
        .append_pair("state", "xyz")
        .append_pair("code_challenge", CHALLENGE)
        .append_pair("code_challenge_method", "S256")
        .finish();
    format!("/authorize?{query}")
}

fn get(target: &str, cookies: Option<&str>) -> Value {
    let headers: Vec<_> = cookies.map(|cookies| json!(["Cookie", cookies])).into_iter().collect();
    json!({ "method": "GET", "target": target, "headers": headers })
}

fn header(response: &Value, name: &str) -> Option<String> {
    let headers = response["headers"].as_array()?;
    headers.iter().find(|pair| pair[0] == name)?[1].as_str().map(str::to_owned)
}

fn body(response: &Value) -> Value {
    serde_json::from_str(response["body"].as_str().unwrap_or_default()).unwrap_or_default()
}

fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// A gateway, a browser in which Alice is signed in, and a client.
struct Gate {
    host: Host,
    said: Vec<Vec<u8>>,
    client: String,
    cookies: Vec<(String, String)>,
    /// What the page that the browser is on shows.
    page: Value,
    /// The issuer's page that it was sent to.
    upstream: Option<String>,
    code: Option<String>,
    tokens: Vec<String>,
}

impl Gate {
    fn new(point: &Point) -> Self {
        let Point { store, cookies, page, upstream } = point.clone();
        let host = Host::new(store);
        // Not yet there while the snapshot is being made.
        let client = String::new();
        Self { host, said: Vec::new(), client, cookies, page, upstream, code: None, tokens: Vec::new() }
    }

    fn point(&self) -> Point {
        Point {
            store: self.host.store.clone(),
            cookies: self.cookies.clone(),
            page: self.page.clone(),
            upstream: self.upstream.clone(),
        }
    }

    fn next(&mut self, choices: &mut Choices<'_>, misuse: bool) {
        if self.client.is_empty() {
            self.client.clone_from(&SNAPSHOT.client);
            self.tokens = vec![SNAPSHOT.access.clone(), SNAPSHOT.refresh.clone()];
            self.code = Some(SNAPSHOT.code.clone());
        }
        match choices.below(16) {
            0 => {
                let mut target = authorization_target(&self.client);
                if choices.rarely(2) {
                    target.push('&');
                    target.push_str(&text(choices.bytes(60)));
                }
                self.browse(choices, &target, misuse);
            }
            1 => {
                let path = self.page["form"]["path"].as_str().unwrap_or("/connections").to_owned();
                let action = choices.one_of(&["", "/approve"]);
                self.browse(choices, &format!("{path}{action}"), misuse);
            }
            2 | 3 => {
                let action = choices.one_of(&[
                    "/approve",
                    "/identify",
                    "/connect",
                    "/skip",
                    "/deny",
                    "/change",
                    "/disconnect",
                    "/revoke",
                    "",
                ]);
                let own = text(choices.bytes(20));
                let mode = choices.one_of(&["user", "session", "key", "none"]);
                let pairs = [("connector", "notes"), ("mode", mode), ("key", "x"), ("owner", own.as_str())];
                self.act(choices, action, &pairs, misuse);
            }
            4 => self.call_back(choices, misuse),
            5 => self.redeem(choices, misuse),
            6 | 7 => {
                let token = self.token(choices);
                let pairs =
                    [("grant_type", "refresh_token"), ("client_id", &self.client), ("refresh_token", &token)];
                self.post(choices, "/token", &form(&pairs), misuse);
            }
            8 => {
                let token = self.token(choices);
                let pairs = [("client_id", self.client.as_str()), ("token", &token)];
                self.post(choices, "/revoke", &form(&pairs), misuse);
            }
            9 | 10 => {
                let headers = json!([["Authorization", format!("Bearer {}", self.token(choices))]]);
                let arguments =
                    json!({ "tenant": "acme", "headers": headers, "resource": "https://gw.good/mcp" });
                self.run(choices, &json!({ "operation": "authenticate", "arguments": arguments }), misuse);
            }
            11 => self.host.jump(choices),
            12 => self.host.damage(choices),
            13 => {
                let arguments = json!({ "tenant": "acme", "limit": 20 });
                self.run(choices, &json!({ "operation": "sweep", "arguments": arguments }), misuse);
            }
            14 => self.browse(choices, "/connections", misuse),
            _ => {
                let target = text(choices.bytes(80));
                let body = text(choices.bytes(80));
                let method = choices.one_of(&["GET", "POST", "OPTIONS", "HEAD", "PUT"]);
                let headers = json!([
                    ["Cookie", self.cookie()],
                    ["Content-Type", "application/x-www-form-urlencoded"],
                    [text(choices.bytes(10)), text(choices.bytes(40))],
                ]);
                let request = json!({ "method": method, "target": target, "headers": headers, "body": body });
                self.handle(choices, &request, misuse);
            }
        }
    }

    fn token(&self, choices: &mut Choices<'_>) -> String {
        let newest = self.tokens.len().saturating_sub(1);
        let at = newest.saturating_sub(choices.below(6));
        let mut token = self.tokens.get(at).cloned().unwrap_or_default();
        if choices.rarely(8) {
            token.truncate(choices.below(80));
            token.push_str(&text(choices.bytes(50)));
        }
        token
    }

    fn cookie(&self) -> String {
        let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    /// A navigation, and on to wherever the gateway sends the browser within itself.
    fn browse(&mut self, choices: &mut Choices<'_>, target: &str, misuse: bool) {
        let mut target = target.to_owned();
        for _ in 0..6 {
            let response = self.handle(choices, &get(&target, Some(&self.cookie())), misuse);
            match header(&response, "Location").and_then(|to| to.strip_prefix(GATEWAY).map(str::to_owned)) {
                Some(on) => target = on,
                None => return,
            }
        }
    }

    /// A form of the page that the browser is on.
    fn act(&mut self, choices: &mut Choices<'_>, action: &str, with: &[(&str, &str)], misuse: bool) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (path, token) = (text(&self.page["form"]["path"]), text(&self.page["form"]["form_token"]));
        let shown = text(&self.page["shown"]);
        let mut pairs = with.to_vec();
        pairs.extend([("form_token", token.as_str()), ("shown", shown.as_str())]);
        let request = json!({
            "method": "POST",
            "target": format!("{path}{action}"),
            "headers": [["Cookie", self.cookie()], ["Content-Type", "application/x-www-form-urlencoded"], ["Origin", GATEWAY]],
            "body": form(&pairs),
        });
        let response = self.handle(choices, &request, misuse);
        if let Some(on) =
            header(&response, "Location").and_then(|to| to.strip_prefix(GATEWAY).map(str::to_owned))
        {
            self.browse(choices, &on, misuse);
        }
    }

    fn call_back(&mut self, choices: &mut Choices<'_>, misuse: bool) {
        let Some(url) = self.upstream.take() else { return };
        let sent = |name: &str| {
            let query = url.split_once('?').map_or("", |(_, query)| query);
            let found = form_urlencoded::parse(query.as_bytes()).find(|(sent, _)| sent == name);
            found.map(|(_, value)| value.into_owned()).unwrap_or_default()
        };
        let code = format!("{CANARY}code-1");
        let pairs = [("code", code.as_str()), ("state", &sent("state")), ("iss", "https://as.good")];
        let to = sent("redirect_uri");
        let path = to.strip_prefix(GATEWAY).unwrap_or("/callback");
        self.browse(choices, &format!("{path}?{}", form(&pairs)), misuse);
    }

    fn redeem(&mut self, choices: &mut Choices<'_>, misuse: bool) {
        let Some(code) = self.code.clone() else { return };
        let verifier = if choices.rarely(8) { CHALLENGE } else { VERIFIER };
        let pairs = [
            ("grant_type", "authorization_code"),
            ("client_id", &self.client),
            ("redirect_uri", REDIRECT),
            ("code", &code),
            ("code_verifier", verifier),
        ];
        let body = form(&pairs);
        self.post(choices, "/token", &body, misuse);
    }

    fn post(&mut self, choices: &mut Choices<'_>, target: &str, body: &str, misuse: bool) {
        let headers = json!([["Content-Type", "application/x-www-form-urlencoded"]]);
        let request = json!({ "method": "POST", "target": target, "headers": headers, "body": body });
        self.handle(choices, &request, misuse);
    }

    /// A request to the gateway, from Alice's browser.
    fn handle(&mut self, choices: &mut Choices<'_>, request: &Value, misuse: bool) -> Value {
        let caller = json!({ "tenant": "acme", "principal": { "kind": "user", "id": "alice" } });
        let signed_in = json!({ "caller": caller, "auth_time": 1 });
        let arguments = json!({ "tenant": "acme", "request": request, "signed_in": signed_in });
        let mut outcome =
            self.run(choices, &json!({ "operation": "handle", "arguments": arguments }), misuse);
        let response = outcome["ok"].take();
        self.learn(&response);
        response
    }

    /// What a response says, and what none may say.
    fn learn(&mut self, response: &Value) {
        let headers = response["headers"].as_array().expect("it always comes to a response");
        for pair in headers {
            let (name, value) = (pair[0].as_str().unwrap_or_default(), pair[1].as_str().unwrap_or_default());
            assert!(!format!("{name}{value}").contains(['\r', '\n', '\0']), "{name}: {value}");
            if name == "Set-Cookie" {
                let (name, value) =
                    value.split(';').next().and_then(|it| it.split_once('=')).expect("a cookie");
                self.cookies.retain(|(have, _)| have != name);
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        let status = response["status"].as_u64().unwrap_or_default();
        let location = header(response, "Location");
        assert_eq!(location.is_some(), status == 303, "{status}");
        if let Some(location) = &location {
            let places = [GATEWAY, "https://as.good/authorize?", "https://as.evil/authorize?", REDIRECT];
            assert!(places.iter().any(|place| location.starts_with(place)), "{location}");
            let code = |it: &str| {
                it.split(['?', '&']).find_map(|pair| pair.strip_prefix("code=").map(str::to_owned))
            };
            if location.starts_with(REDIRECT) {
                self.code = code(location).or(self.code.take());
            } else if !location.starts_with(GATEWAY) {
                self.upstream = Some(location.clone());
            }
        }
        if let Some(page) = response["page"].as_object().and_then(|page| page.values().next()) {
            let policy = header(response, "Content-Security-Policy").expect("a page has a policy");
            assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
            if page.get("form").is_some() {
                self.page = page.clone();
            }
        }
        let answer = body(response);
        for name in ["access_token", "refresh_token"] {
            self.tokens.extend(answer[name].as_str().map(str::to_owned));
        }
    }

    /// One operation to its end.
    fn run(&mut self, choices: &mut Choices<'_>, request: &Value, misuse: bool) -> Value {
        let written = request.to_string();
        let mut operation = match message::begin(&ENGINE, written.as_bytes()) {
            Ok(operation) => operation,
            Err(error) => panic!("{error}: {written}"),
        };
        let mut reply = Reply::Start;
        for step in 0..STEPS_MAX {
            let moment = self.host.moment(choices);
            if misuse {
                misuse_changes_nothing(&mut operation, &moment, &reply, step);
            }
            match operation.step(&moment, reply).expect("a right reply") {
                AnyStep::Perform(effect) => {
                    self.host.check(&effect, "acme");
                    self.said.push(message::effect(&effect).expose().to_vec());
                    reply = self.host.perform(effect, choices);
                }
                AnyStep::Done(outcome) => {
                    let outcome = outcome.expose().to_vec();
                    let read: Value = serde_json::from_slice(&outcome).expect("an outcome is JSON");
                    // No token of an upstream comes out here, whoever asks.
                    assert!(!read.to_string().contains(CANARY), "{read}");
                    self.said.push(outcome);
                    assert_eq!(operation.step(&moment, Reply::Start).err(), Some(Misuse::Ended));
                    return read;
                }
            }
        }
        panic!("the operation does not end: {written}");
    }
}
