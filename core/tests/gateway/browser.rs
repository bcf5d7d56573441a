//! A gateway with two upstreams, and browsers that people sit at: cookies, forms, redirects, as far as these tests need them.

use std::collections::BTreeMap;
use std::sync::Arc;

use grantway_core::connector::Connector;
use grantway_core::downstream::config::GatewayConfig;
use grantway_core::downstream::handle::Handle;
use grantway_core::downstream::request::{Request, SignedIn};
use grantway_core::downstream::response::Response;
use grantway_core::engine::{Engine, EngineConfig};
use grantway_core::event::What;
use grantway_core::operation::{Effect, Reply, Step};
use grantway_core::principal::{Caller, ConnectorId, Principal, Role, TenantId};
use grantway_core::protocol::scopes::Scopes;
use grantway_core::secret::{Secret, SecretBytes};
use grantway_core::store::{Keyring, SealingKey};
use grantway_core::upstream::connectors::PutConnector;
use grantway_core::upstream::resolve::{Resolution, Resolve};
use grantway_testing::{Issuer, McpServer, World, drive};
use scraper::{Html, Selector};
use serde_json::{Value, json};

pub(crate) const GATEWAY: &str = "https://gw.good";
pub(crate) const REDIRECT: &str = "http://127.0.0.1:50001/cb";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) struct Gateway {
    pub(crate) base: String,
    pub(crate) world: World,
    pub(crate) engine: Arc<Engine>,
    pub(crate) notes: Issuer,
    pub(crate) files: Issuer,
    pub(crate) tenant: TenantId,
    pub(crate) events: Vec<What>,
}

pub(crate) fn user(id: &str) -> Caller {
    Caller::new("acme", Principal::user(id).unwrap()).unwrap()
}

impl Gateway {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        Self::at(GATEWAY, change)
    }

    pub(crate) fn at(base: &str, change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let mut gateway = GatewayConfig::new("/mcp");
        gateway.sign_in_path = Some("/login".to_owned());
        gateway.resources[0].scopes = Scopes::parse("tools").unwrap();
        change(&mut gateway);
        let config = EngineConfig {
            base_url: Some(base.to_owned()),
            gateway: Some(gateway),
            ..EngineConfig::new("Gateway")
        };
        let bytes = |seed: u8| std::array::from_fn(|at| (at as u8).wrapping_mul(7).wrapping_add(seed));
        let keyring = Keyring::new(SealingKey::new(1, bytes(1)), bytes(2)).unwrap();
        let mut world = World::new();
        let upstream = |world: &mut World, name: &str| {
            let issuer = Issuer::new(&format!("https://as.{name}.good"));
            let mcp = McpServer::new(&format!("https://{name}.good/mcp"), &issuer);
            world.host(&format!("https://as.{name}.good"), issuer.clone());
            world.host(&format!("https://{name}.good"), mcp);
            issuer
        };
        let (notes, files) = (upstream(&mut world, "notes"), upstream(&mut world, "files"));
        let engine = Engine::new(config, keyring).unwrap();
        let tenant = TenantId::new("acme").unwrap();
        let mut this =
            Self { base: base.to_owned(), world, engine, notes, files, tenant, events: Vec::new() };
        this.put("notes", Connector::server("https://notes.good/mcp"));
        this.put("files", Connector::server("https://files.good/mcp"));
        this
    }

    pub(crate) fn put(&mut self, id: &str, connector: Connector) {
        let put = PutConnector {
            caller: user("root").with_role(Role::Admin),
            id: ConnectorId::new(id).unwrap(),
            connector,
            client_secret: None,
            expected_revision: None,
            unverified: false,
        };
        let operation = self.engine.put_connector(put);
        drive(&mut self.world, operation).result.unwrap();
    }

    pub(crate) fn handle(&mut self, request: Request, signed_in: Option<SignedIn>) -> Response {
        let tenant = self.tenant.clone();
        let operation = self.engine.handle(Handle { tenant, request, signed_in });
        let outcome = drive(&mut self.world, operation);
        self.events.extend(outcome.events.into_iter().map(|event| event.what));
        outcome.result.unwrap()
    }

    /// A public client with a loopback redirect URI: its id.
    pub(crate) fn register(&mut self) -> String {
        self.register_as(&json!({
            "client_name": "Good Client",
            "redirect_uris": ["http://127.0.0.1/cb"],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
        }))
    }

    pub(crate) fn register_as(&mut self, request: &Value) -> String {
        let headers = vec![("Content-Type".to_owned(), Secret::new("application/json"))];
        let body = SecretBytes::new(request.to_string().into_bytes());
        let request = Request { method: "POST".to_owned(), headers, body, ..Request::get("/register") };
        let response = self.handle(request, None);
        assert_eq!(response.status, 201, "{response:?}");
        let answer: Value = serde_json::from_slice(response.body.expose()).unwrap();
        answer["client_id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn token(&mut self, fields: &[(&str, &str)]) -> (u16, Value) {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let headers = vec![("Content-Type".to_owned(), Secret::new("application/x-www-form-urlencoded"))];
        let body = SecretBytes::new(form.finish().into_bytes());
        let request = Request { method: "POST".to_owned(), headers, body, ..Request::get("/token") };
        let response = self.handle(request, None);
        (response.status, serde_json::from_slice(response.body.expose()).unwrap())
    }

    /// Redeems the code of a redirect.
    pub(crate) fn redeem(&mut self, client_id: &str, redirect: &str) -> (u16, Value) {
        let code = parameter(redirect, "code").expect("a code");
        self.token(&[
            ("grant_type", "authorization_code"),
            ("client_id", client_id),
            ("redirect_uri", REDIRECT),
            ("code", &code),
            ("code_verifier", VERIFIER),
        ])
    }

    pub(crate) fn resolve(&mut self, caller: &Caller, connector: &str) -> Resolution {
        let connector = ConnectorId::new(connector).unwrap();
        let operation = self.engine.resolve(Resolve::new(caller.clone(), connector));
        drive(&mut self.world, operation).result.unwrap()
    }

    pub(crate) fn is_connected(&mut self, caller: &Caller, connector: &str) -> bool {
        matches!(self.resolve(caller, connector), Resolution::Ready(_))
    }
}

/// The address that a client sends the browser to.
pub(crate) fn authorize_target(client_id: &str, added: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("response_type", "code")
        .append_pair("client_id", client_id)
        .append_pair("redirect_uri", REDIRECT)
        .append_pair("state", "xyz")
        .append_pair("code_challenge", CHALLENGE)
        .append_pair("code_challenge_method", "S256");
    format!("/authorize?{}{added}", query.finish())
}

/// A parameter in the query of a URL.
pub(crate) fn parameter(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    form_urlencoded::parse(query.as_bytes())
        .find(|(have, _)| have == name)
        .map(|(_, value)| value.into_owned())
}

pub(crate) fn html(response: &Response) -> String {
    String::from_utf8(response.body.expose().to_vec()).unwrap()
}

pub(crate) fn slug(response: &Response) -> &'static str {
    response.failure.as_ref().map_or("", |failure| failure.slug())
}

/// A person's browser.
#[derive(Clone, Default)]
pub(crate) struct Browser {
    pub(crate) cookies: BTreeMap<String, String>,
    /// Whom the host's login knows in it.
    pub(crate) who: Option<SignedIn>,
}

impl Browser {
    pub(crate) fn of(id: &str) -> Self {
        let caller = user(id);
        let auth_time = Some(grantway_core::moment::UnixMillis(1));
        Self { cookies: BTreeMap::new(), who: Some(SignedIn { caller, auth_time, acr: None }) }
    }

    fn headers(&self) -> Vec<(String, Secret)> {
        if self.cookies.is_empty() {
            return Vec::new();
        }
        let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        vec![("Cookie".to_owned(), Secret::new(pairs.join("; ")))]
    }

    fn keep(&mut self, response: &Response) {
        for header in response.headers.iter().filter(|it| it.name.eq_ignore_ascii_case("set-cookie")) {
            let value = header.value.expose();
            assert!(value.starts_with("__Host-grantway"), "{value}");
            assert!(value.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{value}");
            let is_gone = value.contains("; Max-Age=0;");
            let (name, value) = value.split(';').next().unwrap().split_once('=').unwrap();
            if is_gone {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    pub(crate) fn get(&mut self, gateway: &mut Gateway, target: &str) -> Response {
        let target = target.strip_prefix(gateway.base.as_str()).unwrap_or(target);
        let request = Request { headers: self.headers(), ..Request::get(target) };
        let response = gateway.handle(request, self.who.clone());
        self.keep(&response);
        response
    }

    /// Goes where redirects lead, as long as that is the gateway.
    pub(crate) fn open(&mut self, gateway: &mut Gateway, target: &str) -> Response {
        let response = self.get(gateway, target);
        self.follow(gateway, response)
    }

    pub(crate) fn follow(&mut self, gateway: &mut Gateway, mut response: Response) -> Response {
        for _ in 0..10 {
            let location = response.header("location").map(str::to_owned);
            match location.filter(|location| location.starts_with(&gateway.base)) {
                Some(location) => response = self.get(gateway, &location),
                None => return response,
            }
        }
        panic!("the gateway redirects without end");
    }

    pub(crate) fn post(
        &mut self,
        gateway: &mut Gateway,
        path: &str,
        fields: &[(String, String)],
        added: &[(&str, &str)],
    ) -> Response {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let mut headers = self.headers();
        for (name, value) in [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Origin", gateway.base.as_str()),
            ("Sec-Fetch-Site", "same-origin"),
        ] {
            let value = added.iter().find(|(have, _)| *have == name).map_or(value, |(_, value)| *value);
            headers.push((name.to_owned(), Secret::new(value)));
        }
        let body = SecretBytes::new(form.finish().into_bytes());
        let request = Request { method: "POST".to_owned(), headers, body, ..Request::get(path) };
        let response = gateway.handle(request, self.who.clone());
        self.keep(&response);
        response
    }

    /// As `post`, and before the first commit is looked for again something else happens: just before the last read.
    pub(crate) fn post_beside(
        &mut self,
        gateway: &mut Gateway,
        path: &str,
        fields: &[(String, String)],
        meanwhile: impl FnOnce(&mut Gateway),
    ) -> Response {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let mut headers = self.headers();
        for (name, value) in [("Content-Type", "application/x-www-form-urlencoded"), ("Origin", GATEWAY)] {
            headers.push((name.to_owned(), Secret::new(value)));
        }
        let body = SecretBytes::new(form.finish().into_bytes());
        let request = Request { method: "POST".to_owned(), headers, body, ..Request::get(path) };
        let (tenant, signed_in) = (gateway.tenant.clone(), self.who.clone());
        let mut operation = gateway.engine.handle(Handle { tenant, request, signed_in });
        let (mut reply, mut meanwhile) = (Reply::Start, Some(meanwhile));
        loop {
            let moment = gateway.world.moment();
            match operation.step(&moment, reply).unwrap() {
                Step::Done(outcome) => {
                    gateway.events.extend(outcome.events.into_iter().map(|event| event.what));
                    let response = outcome.result.unwrap();
                    self.keep(&response);
                    return response;
                }
                Step::Perform(effect) => {
                    // The last read is that of everything the commit is about.
                    if matches!(&effect, Effect::Read { keys } if keys.len() > 2)
                        && let Some(meanwhile) = meanwhile.take()
                    {
                        meanwhile(gateway);
                    }
                    reply = gateway.world.perform(effect, 0).unwrap();
                }
            }
        }
    }

    /// Presses the button of the form whose action ends so, and whose hidden fields hold `with`.
    pub(crate) fn press(
        &mut self,
        gateway: &mut Gateway,
        page: &Response,
        action: &str,
        with: &[(&str, &str)],
    ) -> Response {
        let (path, fields) = form(page, action, with);
        self.post(gateway, &path, &fields, &[])
    }

    /// Connects an upstream on the services page: through its issuer and back; the page after it.
    pub(crate) fn connect(
        &mut self,
        gateway: &mut Gateway,
        page: &Response,
        connector: &str,
        as_user: &str,
    ) -> Response {
        let away = self.press(gateway, page, "/connect", &[("connector", connector)]);
        assert_eq!(away.status, 303, "{}", html(&away));
        let issuer = if connector == "notes" { gateway.notes.clone() } else { gateway.files.clone() };
        let back = issuer.approve_as(as_user, away.header("location").unwrap());
        self.open(gateway, &back)
    }

    /// Presses Approve: the address of the client that it leads to.
    pub(crate) fn approve(&mut self, gateway: &mut Gateway, page: &Response) -> String {
        let answer = self.press(gateway, page, "/approve", &[]);
        assert_eq!(answer.status, 303, "{}", html(&answer));
        answer.header("location").unwrap().to_owned()
    }
}

/// A form of a page, with its hidden fields and those given.
pub(crate) fn form(page: &Response, action: &str, with: &[(&str, &str)]) -> (String, Vec<(String, String)>) {
    let document = Html::parse_document(&html(page));
    let select = |text: &str| Selector::parse(text).unwrap();
    for form in document.select(&select("form[method=post]")) {
        let path = form.value().attr("action").unwrap_or_default();
        if !path.ends_with(action) {
            continue;
        }
        let mut fields: Vec<(String, String)> = form
            .select(&select("input[name], button[name]"))
            .map(|field| {
                let attribute = |name| field.value().attr(name).unwrap_or_default().to_owned();
                (attribute("name"), attribute("value"))
            })
            .collect();
        let hidden = |name: &str, value: &str| {
            fields
                .iter()
                .any(|(have, have_value)| have == name && (have_value == value || have_value.is_empty()))
        };
        if !with.iter().all(|(name, value)| hidden(name, value)) {
            continue;
        }
        for (name, value) in with {
            fields
                .iter_mut()
                .filter(|(have, _)| have == name)
                .for_each(|(_, have)| (*value).clone_into(have));
        }
        return (path.to_owned(), fields);
    }
    panic!("no form {action} with {with:?} on the page:\n{}", html(page));
}
