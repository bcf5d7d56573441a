//! A browser and an MCP client at the gateway: cookies kept, forms filled in, codes taken.

use grantway_core::principal::Caller;
use grantway_testing::Response;
use serde_json::{Value, json};

use crate::stage::{Stage, caller};

/// What tokens are for.
pub(super) const MCP: &str = "https://gw.good/mcp";
/// A client with a metadata document.
pub(super) const EDITOR: &str = "https://editor.example/client.json";
/// Where clients get their answer.
pub(super) const REDIRECT_URI: &str = "https://editor.example/callback";
/// The verifier and challenge of RFC 7636, appendix B.
pub(super) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A gateway with one endpoint, a client with a document, and Alice known to the host, also by a key.
pub(super) fn open(stage: &mut Stage) {
    stage.configure(&json!({ "gateway": {
        "resources": [{ "path": "/mcp", "name": "Tools", "scopes": ["tools"], "more_scopes": ["admin"] }],
        "identity": ["user", "key", "session"],
        "sign_in_path": "/login",
        "verified_client_hosts": ["editor.example"],
    } }));
    let document = json!({
        "client_id": EDITOR,
        "client_name": "Editor",
        "redirect_uris": [REDIRECT_URI],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
    });
    stage.world.host("https://editor.example", move |_: &_, _| Response::json(200, &document));
    let alice: Caller = serde_json::from_value(caller("alice")).expect("a caller");
    stage.world.know(alice.clone());
    stage.world.know_key("canary-api-key", alice);
}

/// The arguments of a GET by nobody.
pub(super) fn get(target: &str) -> Value {
    json!({ "tenant": "acme", "request": { "method": "GET", "target": target } })
}

/// The arguments of a POST by a program.
pub(super) fn post(target: &str, content_type: &str, body: &str) -> Value {
    json!({ "tenant": "acme", "request": {
        "method": "POST",
        "target": target,
        "headers": [["Content-Type", content_type]],
        "body": body,
    } })
}

/// A form of these pairs.
pub(super) fn form(pairs: &[(&str, &str)]) -> String {
    let mut form = String::new();
    for (name, value) in pairs {
        let value: String = value
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            })
            .collect();
        form = format!("{form}{}{name}={value}", if form.is_empty() { "" } else { "&" });
    }
    form
}

/// The arguments of a client's POST to the token or the revocation endpoint.
pub(super) fn of_client(target: &str, pairs: &[(&str, &str)]) -> Value {
    post(target, "application/x-www-form-urlencoded", &form(pairs))
}

/// What sends a browser to the gateway: the usual request, with these parameters instead or besides.
pub(super) fn authorize(client_id: &str, instead: &[(&str, &str)]) -> String {
    let usual = [
        ("response_type", "code"),
        ("client_id", client_id),
        ("redirect_uri", REDIRECT_URI),
        ("scope", "tools"),
        ("state", "client-state"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("resource", MCP),
    ];
    let changed = |name: &str| instead.iter().any(|(have, _)| *have == name);
    let mut pairs: Vec<_> = usual.into_iter().filter(|(name, _)| !changed(name)).collect();
    pairs.extend(instead.iter().filter(|(_, value)| !value.is_empty()));
    format!("/authorize?{}", form(&pairs))
}

/// A browser, and who is signed in there.
#[derive(Debug, Default)]
pub(super) struct Browser {
    cookies: Vec<(String, String)>,
    user: Option<&'static str>,
}

impl Browser {
    /// Of somebody whom the host's login knows.
    pub(super) fn of(user: &'static str) -> Self {
        Self { cookies: Vec::new(), user: Some(user) }
    }

    /// The arguments of a navigation.
    pub(super) fn visit(&self, target: &str) -> Value {
        self.with_us(json!({ "method": "GET", "target": target, "headers": self.headers() }))
    }

    /// The arguments of a form of ours, sent from the page it stands on.
    pub(super) fn submit(&self, target: &str, pairs: &[(&str, &str)]) -> Value {
        let mut headers = self.headers();
        headers.push(["Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned()]);
        headers.push(["Origin".to_owned(), "https://gw.good".to_owned()]);
        headers.push(["Sec-Fetch-Site".to_owned(), "same-origin".to_owned()]);
        self.with_us(json!({ "method": "POST", "target": target, "headers": headers, "body": form(pairs) }))
    }

    /// Does it, and keeps the cookies.
    pub(super) fn go(&mut self, stage: &mut Stage, arguments: Value) -> Value {
        let response = stage.ok("handle", arguments);
        for header in response["headers"].as_array().into_iter().flatten() {
            if header[0] == "Set-Cookie" {
                let cookie = header[1].as_str().and_then(|set| set.split(';').next()).unwrap_or_default();
                let (name, value) = cookie.split_once('=').unwrap_or_default();
                self.cookies.retain(|(have, _)| have != name);
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        response
    }

    fn headers(&self) -> Vec<[String; 2]> {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if cookies.is_empty() { Vec::new() } else { vec![["Cookie".to_owned(), cookies.join("; ")]] }
    }

    fn with_us(&self, request: Value) -> Value {
        let mut arguments = json!({ "tenant": "acme", "request": request });
        if let Some(user) = self.user {
            arguments["signed_in"] =
                json!({ "caller": caller(user), "auth_time": 1_767_225_500_000_u64, "acr": "mfa" });
        }
        arguments
    }
}

/// A header of a response.
///
/// # Panics
/// There is none.
pub(super) fn header(response: &Value, name: &str) -> String {
    let headers = response["headers"].as_array().expect("headers");
    let found = headers.iter().find(|header| header[0] == name);
    found.and_then(|header| header[1].as_str()).unwrap_or_else(|| panic!("{name}: {response}")).to_owned()
}

/// Where a response leads, without the origin.
pub(super) fn place(response: &Value) -> String {
    header(response, "Location").trim_start_matches("https://gw.good").to_owned()
}

/// A browser in a consent session, and the session's path.
pub(super) fn consenting(stage: &mut Stage, user: &'static str) -> (Browser, String) {
    let mut browser = Browser::of(user);
    let request = browser.visit(&authorize(EDITOR, &[]));
    let response = browser.go(stage, request);
    (browser, place(&response))
}

/// The arguments of a form on the page that stands there.
pub(super) fn filled_in(
    stage: &mut Stage,
    browser: &mut Browser,
    (page, action): (&str, &str),
    pairs: &[(&str, &str)],
) -> Value {
    let request = browser.visit(page);
    let response = browser.go(stage, request);
    let page = response["page"].as_object().and_then(|page| page.values().next()).expect("a page");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let (path, token) = (text(&page["form"]["path"]), text(&page["form"]["form_token"]));
    let mut pairs = pairs.to_vec();
    pairs.push(("form_token", &token));
    let shown = page["shown"].as_str();
    pairs.extend(shown.map(|shown| ("shown", shown)));
    browser.submit(&format!("{path}{action}"), &pairs)
}

/// A browser in which Alice has said who she is.
pub(super) fn identified(stage: &mut Stage) -> (Browser, String) {
    let (mut browser, path) = consenting(stage, "alice");
    let form = filled_in(stage, &mut browser, (&path, "/identify"), &[("mode", "user")]);
    browser.go(stage, form);
    (browser, path)
}

/// Alice has connected `notes` in her consent session: what her browser brings to the callback.
pub(super) fn connecting(stage: &mut Stage) -> (Browser, String, Value) {
    let (mut browser, path) = identified(stage);
    let form = filled_in(stage, &mut browser, (&path, "/connect"), &[("connector", "notes")]);
    let response = browser.go(stage, form);
    let url = stage.issuer.approve_as("alice", &header(&response, "Location"));
    let request = browser.visit(url.trim_start_matches("https://gw.good"));
    (browser, path, request)
}

/// The arguments of Alice's approval, `notes` connected.
pub(super) fn approving(stage: &mut Stage) -> Value {
    let (mut browser, path, callback) = connecting(stage);
    browser.go(stage, callback);
    let approval = format!("{path}/approve");
    filled_in(stage, &mut browser, (&approval, "/approve"), &[])
}

/// The arguments of the client's token request, after that.
pub(super) fn redeeming(stage: &mut Stage) -> Value {
    let approval = approving(stage);
    let response = stage.ok("handle", approval);
    let redirect = header(&response, "Location");
    let code = redirect.split(['?', '&']).find_map(|pair| pair.strip_prefix("code=")).expect("a code");
    of_client(
        "/token",
        &[
            ("grant_type", "authorization_code"),
            ("client_id", EDITOR),
            ("redirect_uri", REDIRECT_URI),
            ("code", code),
            ("code_verifier", VERIFIER),
            ("resource", MCP),
        ],
    )
}

/// What the client is given: its access and its refresh token.
pub(super) fn signed_in(stage: &mut Stage) -> (String, String) {
    let request = redeeming(stage);
    tokens(&stage.ok("handle", request))
}

/// The tokens in a response.
pub(super) fn tokens(response: &Value) -> (String, String) {
    let body: Value = serde_json::from_str(response["body"].as_str().expect("a body")).expect("JSON");
    let token = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("{name}: {body}")).to_owned();
    (token("access_token"), token("refresh_token"))
}

/// The arguments of a refresh.
pub(super) fn refreshing(refresh_token: &str) -> Value {
    let pairs = [("grant_type", "refresh_token"), ("client_id", EDITOR), ("refresh_token", refresh_token)];
    of_client("/token", &pairs)
}
