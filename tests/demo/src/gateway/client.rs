//! An MCP client, as one on a person's own machine is: it registers itself, signs in by a browser, and keeps its tokens.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use grantway_testing::serve::{Answer, Browser};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::say::Deviation;

/// Where a browser is sent back to. Nobody listens there: the demo looks at the address alone.
pub(super) const REDIRECT: &str = "http://127.0.0.1:8976/callback";

pub(super) struct Client {
    http: Browser,
    endpoint: String,
    /// The metadata of the gateway's issuer.
    issuer: Value,
    pub(super) id: String,
    verifier: String,
    pub(super) access: String,
    pub(super) refresh: String,
}

/// How a client speaks, and what it can do.
#[derive(Clone, Copy)]
pub(super) enum Speaks {
    /// 2025-06-18: it cannot be asked anything.
    Old,
    /// 2025-11-25, with elicitation by URL.
    Elicitation,
    /// 2026-07-28, with elicitation by URL.
    InputRequired,
}

impl Client {
    /// From the 401 of the endpoint on: whose metadata, which issuer, where to register.
    pub(super) fn register(endpoint: &str, challenge: &str) -> Result<Self, Deviation> {
        let mut http = Browser::default();
        let metadata = challenge.split("resource_metadata=\"").nth(1).and_then(|rest| rest.split('"').next());
        let metadata = metadata.ok_or_else(|| Deviation(format!("no metadata in `{challenge}`")))?;
        let resource = http.send("GET", metadata, &[], "")?.json();
        if resource["resource"] != endpoint {
            return Err(Deviation(format!("these are the metadata of another resource: {resource}")));
        }
        let issuer = text(&resource["authorization_servers"][0])?;
        let document = format!("{issuer}/.well-known/oauth-authorization-server");
        let issuer = http.send("GET", &document, &[], "")?.json();
        let asked = json!({
            "client_name": "Demo client",
            "redirect_uris": [REDIRECT],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "none",
        });
        let json_type = [("Content-Type", "application/json")];
        let registered =
            http.send("POST", &text(&issuer["registration_endpoint"])?, &json_type, &asked.to_string())?;
        let id = text(&registered.json()["client_id"])
            .map_err(|_| Deviation(format!("it cannot register: {}", registered.body)))?;
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| Deviation(error.to_string()))?;
        let verifier = BASE64_URL_SAFE_NO_PAD.encode(random);
        let (access, refresh) = Default::default();
        Ok(Self { http, endpoint: endpoint.to_owned(), issuer, id, verifier, access, refresh })
    }

    /// The address that it opens in the person's browser.
    pub(super) fn authorization_url(&self) -> Result<String, Deviation> {
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&self.verifier));
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", &self.id),
                ("redirect_uri", REDIRECT),
                ("state", "demo-state"),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
                ("resource", &self.endpoint),
            ])
            .finish();
        Ok(format!("{}?{query}", text(&self.issuer["authorization_endpoint"])?))
    }

    /// What it does where the browser came back.
    pub(super) fn redeem(&mut self, back: &Answer) -> Result<(), Deviation> {
        let named = back.query("iss");
        if back.query("state").as_deref() != Some("demo-state")
            || named != self.issuer["issuer"].as_str().map(str::to_owned)
        {
            return Err(Deviation(format!("the browser comes back from somebody else: {}", back.url)));
        }
        let code = back.query("code").ok_or_else(|| Deviation(format!("no code in {}", back.url)))?;
        let verifier = self.verifier.clone();
        let answer = self.token(&[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", &verifier),
        ])?;
        self.keep(&answer)
    }

    /// Renews its tokens; those it had.
    pub(super) fn renew(&mut self) -> Result<(String, String), Deviation> {
        let before = (self.access.clone(), self.refresh.clone());
        let answer = self.token(&[("grant_type", "refresh_token"), ("refresh_token", &before.1)])?;
        self.keep(&answer)?;
        Ok(before)
    }

    /// What the token endpoint answers to this client.
    pub(super) fn token(&mut self, fields: &[(&str, &str)]) -> Result<Answer, Deviation> {
        self.post("token_endpoint", fields)
    }

    /// Gives its sign-in back.
    pub(super) fn revoke(&mut self) -> Result<Answer, Deviation> {
        let token = self.refresh.clone();
        self.post("revocation_endpoint", &[("token", &token)])
    }

    fn post(&mut self, endpoint: &str, fields: &[(&str, &str)]) -> Result<Answer, Deviation> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields).extend_pairs([("client_id", &self.id), ("resource", &self.endpoint)]);
        let form_type = [("Content-Type", "application/x-www-form-urlencoded")];
        Ok(self.http.send("POST", &text(&self.issuer[endpoint])?, &form_type, &form.finish())?)
    }

    fn keep(&mut self, answer: &Answer) -> Result<(), Deviation> {
        let json = answer.json();
        let token =
            |name: &str| text(&json[name]).map_err(|_| Deviation(format!("no tokens: {}", answer.body)));
        self.access = token("access_token")?;
        self.refresh = token("refresh_token")?;
        Ok(())
    }

    /// Calls a tool. The whole JSON-RPC answer.
    pub(super) fn call(&mut self, tool: &str, speaks: Speaks) -> Result<Value, Deviation> {
        let authorization = format!("Bearer {}", self.access);
        let version = match speaks {
            Speaks::Old => "2025-06-18",
            Speaks::Elicitation => "2025-11-25",
            Speaks::InputRequired => "2026-07-28",
        };
        let capabilities = match speaks {
            Speaks::Old => json!({}),
            Speaks::Elicitation | Speaks::InputRequired => json!({ "elicitation": { "url": {} } }),
        };
        let mut headers = vec![
            ("Authorization", authorization.as_str()),
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
        ];
        let mut params = json!({ "name": tool, "arguments": {} });
        let session;
        if matches!(speaks, Speaks::InputRequired) {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": version,
                "io.modelcontextprotocol/clientCapabilities": capabilities,
            });
            headers.extend([("Mcp-Method", "tools/call"), ("Mcp-Name", tool)]);
        } else {
            let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
                "protocolVersion": version,
                "capabilities": capabilities,
                "clientInfo": { "name": "demo", "version": "1" },
            } });
            let hello = self.http.send("POST", &self.endpoint, &headers, &hello.to_string())?;
            session = hello.header("mcp-session-id").unwrap_or_default().to_owned();
            headers.push(("Mcp-Session-Id", &session));
        }
        headers.push(("MCP-Protocol-Version", version));
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let answer = self.http.send("POST", &self.endpoint, &headers, &call.to_string())?;
        if answer.status != 200 {
            return Err(Deviation(format!("`{tool}` is answered with status {}", answer.status)));
        }
        Ok(answer.json())
    }

    /// The text that a tool answers with.
    pub(super) fn said(&mut self, tool: &str) -> Result<String, Deviation> {
        let answer = self.call(tool, Speaks::Old)?;
        text(&answer["result"]["content"][0]["text"])
            .map_err(|_| Deviation(format!("`{tool}` answers {answer}")))
    }
}

fn text(value: &Value) -> Result<String, Deviation> {
    value.as_str().map(str::to_owned).ok_or_else(|| Deviation(format!("{value} is no text")))
}
