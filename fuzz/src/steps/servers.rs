//! Every server there is: any host is an MCP server and an issuer, and honest until its answer is spoilt.

use std::net::{IpAddr, Ipv4Addr};

use grantway_core::operation::{HttpRequest, Peer};
use serde_json::{Value, json};

use super::CANARY;
use crate::input::Choices;

/// The issuers that metadata, callbacks and imports speak of.
pub(super) const ISSUERS: [&str; 2] = ["as.good", "as.evil"];

pub(super) const STATUSES: [u16; 14] = [200, 201, 204, 301, 302, 304, 400, 401, 403, 404, 429, 500, 502, 503];

pub(super) const ODD_HEADERS: [(&str, &str); 10] = [
    ("Content-Encoding", "gzip"),
    ("Retry-After", "18446744073709551615"),
    ("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"),
    ("Cache-Control", "no-store"),
    ("Cache-Control", "max-age=18446744073709551616"),
    ("Content-Type", "application/x-www-form-urlencoded"),
    ("WWW-Authenticate", "Bearer resource_metadata=\"https://as.evil/.well-known/oauth-protected-resource\""),
    ("WWW-Authenticate", "Bearer scope=\"a b c\", error=insufficient_scope, DPoP algs=x"),
    ("WWW-Authenticate", "Bearer a=\"\\"),
    ("Location", "https://as.evil/token"),
];

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) body: Vec<u8>,
    pub(super) truncated: bool,
    pub(super) peer: Peer,
}

/// The host of an absolute URL.
pub(super) fn host_of(url: &str) -> &str {
    let behind = url.split_once("://").map_or(url, |(_, behind)| behind);
    behind.split(['/', '?', ':']).next().unwrap_or_default()
}

/// What an honest server says. Whatever it gives out names it, so that a token shows where it comes from.
pub(super) fn answer(request: &HttpRequest, issued: u32) -> Answer {
    let host = host_of(&request.url);
    let path = request.url.split_once(host).map_or("", |(_, path)| path);
    let path = path.split('?').next().unwrap_or_default();
    let origin = format!("https://{host}");
    let secret = |kind: &str| format!("{CANARY}{host}-{kind}-{issued}");
    let (status, body) = if let Some(server) = path.strip_prefix("/.well-known/oauth-protected-resource") {
        (
            200,
            json!({
                "resource": format!("{origin}{server}"),
                "authorization_servers": ["https://as.good"],
                "scopes_supported": ["read", "write"],
            }),
        )
    } else if path.starts_with("/.well-known/") {
        (
            200,
            json!({
                "issuer": origin,
                "authorization_endpoint": format!("{origin}/authorize"),
                "token_endpoint": format!("{origin}/token"),
                "registration_endpoint": format!("{origin}/register"),
                "revocation_endpoint": format!("{origin}/revoke"),
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none", "client_secret_post"],
                "revocation_endpoint_auth_methods_supported": ["none", "client_secret_post"],
                "authorization_response_iss_parameter_supported": true,
            }),
        )
    } else {
        match path {
            "/register" => (
                201,
                json!({
                    "client_id": format!("client-{issued}"),
                    "client_secret": secret("cs"),
                    "client_secret_expires_at": 0,
                    "token_endpoint_auth_method": "client_secret_post",
                    "registration_access_token": secret("rat"),
                }),
            ),
            "/token" => (
                200,
                json!({
                    "access_token": secret("at"),
                    "refresh_token": secret("rt"),
                    "token_type": "Bearer",
                    "expires_in": 3600,
                    "scope": "read write",
                }),
            ),
            "/revoke" => (200, json!({})),
            _ => (401, json!({ "error": "invalid_token" })),
        }
    };
    let mut headers = vec![("Content-Type", "application/json")];
    if status == 401 {
        headers.push(("WWW-Authenticate", "Bearer realm=\"x\", scope=\"read\""));
    }
    let peer = Peer::Address(IpAddr::V4(Ipv4Addr::new(93, 184, 216, 34)));
    Answer { status, headers, body: body.to_string().into_bytes(), truncated: false, peer }
}

impl Answer {
    pub(super) fn cut(&mut self, at: u8) {
        let len = self.body.len() * usize::from(at) / 256;
        self.body.truncate(len);
    }

    pub(super) fn alter(&mut self, at: u8, byte: u8) {
        let at = self.body.len() * usize::from(at) / 256;
        if let Some(place) = self.body.get_mut(at) {
            *place = byte;
        }
    }

    /// Other members, one to four. None of them holds a secret, so none is shown that should not be.
    pub(super) fn edit(&mut self, choices: &mut Choices<'_>) {
        let Ok(mut body) = serde_json::from_slice::<Value>(&self.body) else { return };
        for _ in 0..=choices.below(4) {
            let (name, value) = choices.one_of(&EDITS);
            body[name] = serde_json::from_str(value).unwrap_or(Value::Null);
        }
        self.body = body.to_string().into_bytes();
        if body.get("error").is_some() {
            self.status = choices.one_of(&[self.status, 400, 401, 403, 503]);
        }
    }
}

const EDITS: [(&str, &str); 44] = [
    ("access_token", "null"),
    ("access_token", "\"\""),
    ("access_token", "\"a b\""),
    ("authorization_endpoint", "\"https://as.evil/authorize\""),
    ("authorization_endpoint", "\"javascript:alert(1)\""),
    ("authorization_response_iss_parameter_supported", "false"),
    ("authorization_servers", "[\"https://as.evil\"]"),
    ("authorization_servers", "[\"https://as.evil\",\"https://as.good\",\"https://x\",\"https://y\"]"),
    ("authorization_servers", "[]"),
    ("client_id", "\"\""),
    ("client_id", "\"a\\u0000b\""),
    ("client_secret", "null"),
    ("client_secret_expires_at", "1"),
    ("client_secret_expires_at", "18446744073709551615"),
    ("code_challenge_methods_supported", "[\"plain\"]"),
    ("code_challenge_methods_supported", "null"),
    ("error", "\"access_denied\""),
    ("error", "\"invalid_client\""),
    ("error", "\"invalid_grant\""),
    ("error", "\"invalid_scope\""),
    ("error", "\"invalid_target\""),
    ("error", "\"temporarily_unavailable\""),
    ("error", "\"unsupported_token_type\""),
    ("error_description", "\"`\\u001b[31m<b>\""),
    ("expires_in", "-1"),
    ("expires_in", "0"),
    ("expires_in", "1"),
    ("expires_in", "18446744073709551615"),
    ("expires_in", "null"),
    ("id_token", "\"e30.e30.e30\""),
    // {"iss":"https://as.good","sub":"alice","aud":"client-8001"} and others.
    (
        "id_token",
        "\"e30.eyJpc3MiOiJodHRwczovL2FzLmdvb2QiLCJzdWIiOiJib2IiLCJhdWQiOlsiY2xpZW50LTEiLCJjMSJdfQ.x\"",
    ),
    ("issuer", "\"https://as.evil\""),
    ("issuer", "\"https://as.good/\""),
    ("refresh_token", "null"),
    ("registration_endpoint", "null"),
    ("resource", "\"https://mcp.evil/mcp\""),
    ("resource", "\"https://mcp.good\""),
    ("revocation_endpoint", "\"https://as.evil/revoke\""),
    ("revocation_endpoint", "null"),
    ("scope", "\"read\""),
    ("scope", "[\"read\",\"\\u0000\"]"),
    ("token_endpoint", "\"https://as.evil/token\""),
    ("token_endpoint_auth_methods_supported", "[\"private_key_jwt\"]"),
    ("token_type", "\"MAC\""),
];
