//! What is asked for next, and what the people and processes around know: redirects, cookies, tickets.

use grantway_core::engine::Engine;
use serde_json::{Value, json};

use super::CANARY;
use super::host::Host;
use crate::input::{Choices, text};

#[derive(Default)]
pub(super) struct Scene {
    redirect: Option<Redirect>,
    ticket: Option<String>,
    cursor: Option<Value>,
    held_since: Option<Value>,
    connection: Option<String>,
    asked: u32,
}

struct Redirect {
    issuer: String,
    state: String,
    redirect_uri: String,
    cookie: Option<String>,
    process_secret: Option<String>,
    user: &'static str,
}

const USERS: [&str; 3] = ["alice", "alice", "mallory"];
const CONNECTORS: [&str; 4] = ["notes", "notes", "files", "none"];
const TENANTS: [&str; 8] = ["acme", "acme", "acme", "acme", "acme", "acme", "acme", "evil"];

fn admin(tenant: &str) -> Value {
    json!({ "tenant": tenant, "principal": { "kind": "user", "id": "root" }, "role": "admin" })
}

fn user(tenant: &str, id: &str) -> Value {
    json!({
        "tenant": tenant,
        "principal": { "kind": "user", "id": id },
        "teams": [{ "id": "red", "role": "manager" }],
    })
}

fn request(operation: &str, arguments: Value) -> Value {
    json!({ "operation": operation, "arguments": arguments })
}

/// Somebody of some tenant.
fn caller(choices: &mut Choices<'_>) -> Value {
    let (tenant, id) = (choices.one_of(&TENANTS), choices.one_of(&USERS));
    if choices.rarely(8) { admin(tenant) } else { user(tenant, id) }
}

fn owner(choices: &mut Choices<'_>) -> Value {
    match choices.below(8) {
        5 => json!({ "kind": "team", "id": "red" }),
        6 => json!({ "kind": "org", "id": "acme" }),
        7 => json!({ "kind": "user", "id": "alice" }),
        _ => Value::Null,
    }
}

impl Scene {
    /// The next operation; `None`: something happened around it instead.
    pub(super) fn next(&mut self, choices: &mut Choices<'_>, host: &mut Host) -> Option<Value> {
        self.asked += 1;
        Some(match choices.below(26) {
            0 | 1 => self.resolve(choices),
            2 => self.begin(choices),
            3 => self.complete(choices),
            4 | 5 => self.rejected(choices),
            6 => request("disconnect", self.place(choices)),
            7 => request(
                "refresh_due",
                json!({ "tenant": choices.one_of(&TENANTS), "limit": choices.byte(), "after": self.cursor }),
            ),
            8 => request(
                "sweep",
                json!({ "tenant": choices.one_of(&TENANTS), "limit": choices.byte(), "after": self.cursor }),
            ),
            9 | 10 => {
                host.jump(choices);
                return None;
            }
            11 => {
                host.damage(choices);
                return None;
            }
            12 => {
                host.store.remove_expired(host.now);
                return None;
            }
            13 => {
                let mut arguments = self.place(choices);
                arguments["held_since"] = self.held_since.clone().unwrap_or(json!(0));
                arguments["accept"] = json!(choices.rarely(2));
                request("confirm_account", arguments)
            }
            14 => self.import(choices),
            15 => {
                let what = match choices.below(3) {
                    0 => json!({ "connector": choices.one_of(&CONNECTORS) }),
                    1 => json!({ "owner": { "kind": "user", "id": "alice" } }),
                    _ => json!("tenant"),
                };
                let after = self.cursor.clone();
                request(
                    "purge",
                    json!({ "caller": admin(choices.one_of(&TENANTS)), "what": what, "after": after }),
                )
            }
            16 => {
                request("open_ticket", json!({ "caller": caller(choices), "ticket": self.ticket(choices) }))
            }
            17 => self.secret(choices),
            18 => Self::connector(choices),
            19 => {
                let name = choices.one_of(&CONNECTORS);
                request("delete_connector", json!({ "caller": admin(choices.one_of(&TENANTS)), "id": name }))
            }
            20 => {
                let mut arguments = self.place(choices);
                arguments["caller"] = admin("acme");
                arguments["owner"] = json!({ "kind": "user", "id": "alice" });
                request(choices.one_of(&["suspend", "restore"]), arguments)
            }
            21 => {
                request("preflight", json!({ "caller": caller(choices), "connectors": ["notes", "files"] }))
            }
            22 => request(
                "status_of",
                json!({ "caller": caller(choices), "connector": choices.one_of(&CONNECTORS) }),
            ),
            23 => {
                let list = choices.one_of(&["list_connections", "list_connectors", "list_secrets"]);
                let who = if choices.rarely(2) { admin("acme") } else { caller(choices) };
                request(list, json!({ "caller": who, "after": self.cursor, "limit": 1 + choices.below(100) }))
            }
            24 => request(
                "discover",
                json!({ "caller": admin("acme"), "connector": choices.one_of(&CONNECTORS) }),
            ),
            _ => self.resolve(choices),
        })
    }

    pub(super) fn put_connector(tenant: &str, name: &str) -> Value {
        let connector = match name {
            "files" => json!({
                "upstream": { "server": { "url": "https://mcp.good/files" } },
                "precedence": ["personal", "team", "org"],
                "sharing": true,
                "broken_personal_falls_back": true,
                "injections": [
                    { "target": { "header": "Authorization" }, "source": "connection", "prefix": "Bearer " },
                    { "target": { "header": "X-Key" }, "source": { "secret": { "name": "key", "of": "user" } } },
                ],
            }),
            _ => json!({ "upstream": { "server": { "url": "https://mcp.good/mcp" } } }),
        };
        request("put_connector", json!({ "caller": admin(tenant), "id": name, "connector": connector }))
    }

    /// A connector as it was, or one that differs in something that matters.
    fn connector(choices: &mut Choices<'_>) -> Value {
        let name = choices.one_of(&CONNECTORS);
        let mut put = Self::put_connector(choices.one_of(&TENANTS), name);
        let connector = &mut put["arguments"]["connector"];
        match choices.below(8) {
            0 => connector["upstream"]["server"]["url"] = json!("https://mcp.good/elsewhere"),
            1 => connector["upstream"]["server"]["url"] = json!("https://mcp.evil/mcp"),
            2 => connector["upstream"]["server"]["issuer"] = json!("https://as.evil"),
            3 => {
                connector["registration"] = json!({ "issuer": "https://as.good", "client_id": "c1" });
                put["arguments"]["client_secret"] = json!(format!("{CANARY}as.good-cs"));
            }
            4 => connector["dialect"] = json!({ "in_doubt": "never" }),
            5 => connector["upstream"] = json!({ "account": { "issuer": "https://as.good" } }),
            6 => connector["resource"] = json!("omit"),
            _ => {
                connector["waivers"] =
                    json!({ "danger_s256_unadvertised": true, "danger_legacy_discovery": true })
            }
        }
        put
    }

    fn place(&self, choices: &mut Choices<'_>) -> Value {
        let place = json!({
            "caller": caller(choices),
            "connector": choices.one_of(&CONNECTORS),
            "owner": owner(choices),
        });
        place
    }

    fn resolve(&self, choices: &mut Choices<'_>) -> Value {
        let observed = choices.rarely(4).then(|| {
            let version = u64::from(choices.byte()).to_string();
            json!({ "connection": self.connection(), "version": version, "for_ms": choices.one_of(&[0, 60_000, 180_000, u64::MAX]) })
        });
        request(
            "resolve",
            json!({
                "caller": caller(choices),
                "connector": choices.one_of(&CONNECTORS),
                "wait_ms": choices.one_of(&[10_000, 0, 50]),
                "observed": observed,
            }),
        )
    }

    fn rejected(&self, choices: &mut Choices<'_>) -> Value {
        let field = match choices.below(6) {
            0 => "Bearer error=\"invalid_token\"".to_owned(),
            1 => "Bearer error=\"insufficient_scope\", scope=\"admin write\"".to_owned(),
            2 => "Bearer resource_metadata=\"https://mcp.good/.well-known/oauth-protected-resource/mcp\""
                .to_owned(),
            3 => "Bearer scope=\"x\", resource_metadata=\"https://as.evil/prm\"".to_owned(),
            _ => text(choices.bytes(60)),
        };
        request(
            "report_rejected",
            json!({
                "caller": caller(choices),
                "connector": choices.one_of(&CONNECTORS),
                "connection": choices.rarely(2).then(|| self.connection()),
            "generation": choices.one_of(&[1, 0, 2, 3, u64::MAX]),
                "operation": "tools/call",
                "status": choices.one_of(&[401, 403, 401, 500, 0]),
                "headers": [["WWW-Authenticate", field]],
                "wait_ms": choices.one_of(&[10_000, 0]),
            }),
        )
    }

    /// The connection that was last heard of, or another.
    fn connection(&self) -> String {
        self.connection.clone().unwrap_or_else(|| "0f".repeat(16))
    }

    fn ticket(&self, choices: &mut Choices<'_>) -> Option<String> {
        match choices.below(4) {
            0 | 1 => self.ticket.clone(),
            2 => Some(text(choices.bytes(60))),
            _ => None,
        }
    }

    pub(super) fn begin(&mut self, choices: &mut Choices<'_>) -> Value {
        let tenant = choices.one_of(&TENANTS);
        let binding = match choices.below(6) {
            4 => json!({ "paste": { "redirect_uri": "http://127.0.0.1:8400/callback" } }),
            5 => json!({ "process": { "redirect_uri": "http://127.0.0.1:8400/callback" } }),
            _ => json!("browser"),
        };
        let because = if choices.rarely(4) { self.ticket(choices) } else { None };
        let return_to = choices.rarely(8).then(|| text(choices.bytes(20)));
        request(
            "begin_connect",
            json!({
                "caller": user(tenant, choices.one_of(&USERS)),
                "connector": choices.one_of(&CONNECTORS),
                "owner": owner(choices),
                "binding": binding,
                "because": because,
                "return_to": return_to,
                "new_registration": choices.rarely(8),
            }),
        )
    }

    /// What comes back from the issuer, by whoever brings it.
    pub(super) fn complete(&mut self, choices: &mut Choices<'_>) -> Value {
        let Some(redirect) = &self.redirect else {
            let url = text(choices.bytes(100));
            return request("complete_connect", json!({ "caller": caller(choices), "callback_url": url }));
        };
        let code = format!("{CANARY}code-{}", self.asked);
        let answer = match choices.below(10) {
            5 => "error=access_denied&error_description=no".to_owned(),
            6 => format!("code={code}&code=x"),
            7 => text(choices.bytes(40)),
            _ => format!("code={code}"),
        };
        let iss = match choices.below(8) {
            6 => "&iss=https%3A%2F%2Fas.evil".to_owned(),
            7 => String::new(),
            _ => format!("&iss={}", redirect.issuer.replace(':', "%3A").replace('/', "%2F")),
        };
        let mut state = redirect.state.clone();
        if choices.rarely(8) {
            state.truncate(choices.below(100));
        }
        let url = format!("{}?{answer}&state={state}{iss}", redirect.redirect_uri);
        let who = if choices.rarely(8) { caller(choices) } else { user("acme", redirect.user) };
        let who = if choices.rarely(16) { Value::Null } else { who };
        let cookies = if choices.rarely(16) { None } else { redirect.cookie.clone() };
        request(
            "complete_connect",
            json!({
                "caller": who,
                "callback_url": url,
                "cookies": cookies,
                "process_secret": redirect.process_secret,
            }),
        )
    }

    fn import(&self, choices: &mut Choices<'_>) -> Value {
        let mut arguments = self.place(choices);
        if choices.rarely(2) {
            arguments["caller"] = admin("acme");
        }
        for (name, value) in [
            ("access_token", json!(format!("{CANARY}as.good-at-import"))),
            ("refresh_token", json!(format!("{CANARY}as.good-rt-import"))),
            ("expires_at", json!(choices.one_of(&[0, 1_767_229_200_000, u64::MAX]))),
            ("scopes", json!(["read"])),
            ("issuer", json!("https://as.good")),
            ("token_endpoint", json!("https://as.good/token")),
            ("revocation_endpoint", json!("https://as.good/revoke")),
            ("client_id", json!("c1")),
            ("auth_method", json!(choices.one_of(&["none", "client_secret_post"]))),
            ("client_secret", json!(format!("{CANARY}as.good-cs"))),
            (
                "resource",
                json!(choices.one_of(&[
                    "https://mcp.good/mcp",
                    "https://mcp.good/files",
                    "https://mcp.evil"
                ])),
            ),
        ] {
            arguments[name] = value;
        }
        request("import_grant", arguments)
    }

    fn secret(&self, choices: &mut Choices<'_>) -> Value {
        let caller = caller(choices);
        if choices.rarely(4) {
            return request("delete_secret", json!({ "caller": caller, "name": "key" }));
        }
        let value = format!("{CANARY}key{}", text(choices.bytes(8)));
        request("store_secret", json!({ "caller": caller, "name": "key", "value": value }))
    }

    /// The tenant whose records an operation may touch.
    pub(super) fn tenant_of(&self, engine: &Engine, request: &Value) -> String {
        let arguments = &request["arguments"];
        let named = arguments["caller"]["tenant"].as_str().or(arguments["tenant"].as_str());
        let located = || {
            let url = arguments["callback_url"].as_str().unwrap_or_default();
            engine.tenant_of_callback(url).map_or_else(String::new, |tenant| tenant.as_str().to_owned())
        };
        named.map_or_else(located, str::to_owned)
    }

    /// Looks at an outcome: what is in it that the next operations need, and nothing that must not be.
    pub(super) fn ended(&mut self, request: &Value, outcome: &[u8]) {
        let mut outcome: Value = serde_json::from_slice(outcome).expect("an outcome is JSON");
        let ok = outcome["ok"].clone();
        if let Some(url) = ok["url"].as_str().filter(|_| request["operation"] == "begin_connect") {
            let (_, query) = url.split_once('?').expect("an authorization URL has a query");
            let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            let sent = |name: &str| {
                pairs
                    .iter()
                    .find(|(sent, _)| sent == name)
                    .map_or_else(String::new, |(_, value)| value.clone())
            };
            let id = request["arguments"]["caller"]["principal"]["id"].as_str();
            let text = |name: &str| ok[name].as_str().map(str::to_owned);
            self.redirect = Some(Redirect {
                issuer: text("issuer").unwrap_or_default(),
                state: sent("state"),
                redirect_uri: sent("redirect_uri"),
                cookie: text("cookie").map(|cookie| cookie.split(';').next().unwrap_or_default().to_owned()),
                process_secret: text("process_secret"),
                user: USERS.into_iter().find(|user| Some(*user) == id).unwrap_or("alice"),
            });
        }
        if let Some(ticket) = ok.pointer("/challenge/ticket").and_then(Value::as_str) {
            self.ticket = Some(ticket.to_owned());
        }
        for kind in ["ready", "retry"] {
            let connection = ok.pointer(&format!("/{kind}/attribution/connection")).and_then(Value::as_str);
            self.connection = connection.map(str::to_owned).or(self.connection.take());
        }
        self.cursor = ok.get("next").filter(|next| next.is_string()).cloned();
        if let Some(since) = ok.get("held_since").filter(|since| since.is_u64()) {
            self.held_since = Some(since.clone());
        }
        // A credential is where it belongs.
        for kind in ["ready", "retry"] {
            let credential =
                outcome.pointer_mut(&format!("/ok/{kind}/injections")).and_then(Value::as_array_mut);
            for injection in credential.into_iter().flatten() {
                injection["value"] = Value::Null;
            }
        }
        let shown = outcome.to_string();
        assert!(!shown.contains(CANARY), "{shown}");
    }
}
