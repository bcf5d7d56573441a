//! An MCP client signs in at Grantway's own gateway, and the person connects their account at the server in the same consent session:
//! both halves, with an issuer between them that others wrote.

use std::collections::BTreeMap;

use grantway::driver::drive;
use grantway_core::downstream::authenticate::{Authenticate, Authenticated};
use grantway_core::downstream::handle::Handle;
use grantway_core::downstream::request::{Request, SignedIn};
use grantway_core::downstream::response::Response;
use grantway_core::moment::UnixMillis;
use grantway_core::principal::Caller;
use grantway_core::protocol::scopes::Scopes;
use grantway_core::secret::{Secret, SecretBytes};
use serde_json::{Value, json};

use crate::Result;
use crate::browser::Browser;
use crate::user::{BASE_URL, Gateway, caller};

const REDIRECT: &str = "http://127.0.0.1:50001/cb";
// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A person's browser at the gateway, which is asked in this process.
pub(crate) struct AtGateway<'a> {
    gateway: &'a Gateway,
    signed_in: SignedIn,
    cookies: BTreeMap<String, String>,
}

/// What a client got.
pub(crate) struct Tokens {
    pub(crate) client_id: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl<'a> AtGateway<'a> {
    pub(crate) fn new(gateway: &'a Gateway, name: &str) -> Result<Self> {
        let signed_in = SignedIn { caller: caller(name)?, auth_time: Some(UnixMillis(1)), acr: None };
        Ok(Self { gateway, signed_in, cookies: BTreeMap::new() })
    }

    async fn ask(
        &mut self,
        method: &str,
        target: &str,
        content_type: &str,
        body: String,
    ) -> Result<Response> {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let headers = vec![
            ("Content-Type".to_owned(), Secret::new(content_type)),
            ("Origin".to_owned(), Secret::new(BASE_URL)),
            ("Cookie".to_owned(), Secret::new(cookies.join("; "))),
        ];
        let target = target.strip_prefix(BASE_URL).unwrap_or(target);
        let body = SecretBytes::new(body.into_bytes());
        let request = Request { method: method.to_owned(), headers, body, ..Request::get(target) };
        let tenant = self.signed_in.caller.tenant.clone();
        let handle = Handle { tenant, request, signed_in: Some(self.signed_in.clone()) };
        let response = drive(self.gateway.engine.handle(handle), &self.gateway.host).await.result?;
        for cookie in response.headers.iter().filter(|header| header.name == "Set-Cookie") {
            let pair = cookie.value.expose().split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').ok_or("a cookie without value")?;
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        Ok(response)
    }

    async fn get(&mut self, target: &str) -> Result<Response> {
        self.ask("GET", target, "", String::new()).await
    }

    async fn post(&mut self, target: &str, fields: &[(&str, &str)]) -> Result<Response> {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.ask("POST", target, "application/x-www-form-urlencoded", form).await
    }

    /// Registers a client, and goes with it through the pages: connects the upstream, approves. What the client then gets.
    pub(crate) async fn sign_in(&mut self, upstream: &Browser) -> Result<Tokens> {
        let registration = json!({
            "client_name": "Interop client",
            "redirect_uris": [REDIRECT],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
        });
        let response = self.ask("POST", "/register", "application/json", registration.to_string()).await?;
        let client_id = text(&body(&response)?, "client_id")?;
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", client_id.as_str()),
                ("redirect_uri", REDIRECT),
                ("state", "s"),
                ("code_challenge", CHALLENGE),
                ("code_challenge_method", "S256"),
            ])
            .finish();
        let consent = location(&self.get(&format!("/authorize?{query}")).await?)?;
        // Who is signed in is who she is; then the services.
        self.get(&consent).await?;
        let services = self.get(&consent).await?;
        let token = hidden(&services, "form_token")?;
        let fields = [("form_token", token.as_str()), ("connector", "mcp")];
        let away = location(&self.post(&format!("{consent}/connect"), &fields).await?)?;
        let back = upstream.approve(&away, &format!("{BASE_URL}/callback")).await?;
        location(&self.get(&back).await?)?;
        let approval = self.get(&format!("{consent}/approve")).await?;
        let (token, shown) = (hidden(&approval, "form_token")?, hidden(&approval, "shown")?);
        let fields = [("form_token", token.as_str()), ("shown", shown.as_str())];
        let redirect = location(&self.post(&format!("{consent}/approve"), &fields).await?)?;
        let (_, query) = redirect.split_once('?').ok_or("the redirect has no query")?;
        let code = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "code");
        let (_, code) = code.ok_or_else(|| format!("no code in {redirect}"))?;
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", client_id.as_str()),
            ("redirect_uri", REDIRECT),
            ("code", &code),
            ("code_verifier", VERIFIER),
        ];
        let answer = body(&self.post("/token", &fields).await?)?;
        let (access, refresh) = (text(&answer, "access_token")?, text(&answer, "refresh_token")?);
        Ok(Tokens { client_id, access, refresh })
    }

    pub(crate) async fn refresh(&mut self, tokens: &Tokens) -> Result<Tokens> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", tokens.client_id.as_str()),
            ("refresh_token", tokens.refresh.as_str()),
        ];
        let answer = body(&self.post("/token", &fields).await?)?;
        let (access, refresh) = (text(&answer, "access_token")?, text(&answer, "refresh_token")?);
        Ok(Tokens { client_id: tokens.client_id.clone(), access, refresh })
    }
}

/// For whom the gateway's MCP endpoint takes a token; `None`: it refuses it.
pub(crate) async fn caller_of(gateway: &Gateway, access_token: &str) -> Result<Option<Caller>> {
    let arguments = Authenticate {
        tenant: caller("anybody")?.tenant,
        headers: vec![("Authorization".to_owned(), Secret::new(format!("Bearer {access_token}")))],
        resource: format!("{BASE_URL}/mcp"),
        scopes: Scopes::default(),
    };
    match drive(gateway.engine.authenticate(arguments), &gateway.host).await.result? {
        Authenticated::Caller(signed_in) => Ok(Some(signed_in.caller)),
        Authenticated::Refused(_) => Ok(None),
    }
}

fn page(response: &Response) -> String {
    String::from_utf8_lossy(response.body.expose()).into_owned()
}

fn location(response: &Response) -> Result<String> {
    let location = response.header("location").map(str::to_owned);
    location.ok_or_else(|| format!("no redirect ({}): {}", response.status, page(response)).into())
}

fn body(response: &Response) -> Result<Value> {
    Ok(serde_json::from_slice(response.body.expose())?)
}

fn text(answer: &Value, name: &str) -> Result<String> {
    Ok(answer[name].as_str().ok_or_else(|| format!("no `{name}` in {answer}"))?.to_owned())
}

/// The value of a hidden field of the first form that has it.
fn hidden(response: &Response, name: &str) -> Result<String> {
    let page = page(response);
    let start = format!("name=\"{name}\" value=\"");
    let value = page.split_once(&start).and_then(|(_, rest)| rest.split_once('"'));
    Ok(value.ok_or_else(|| format!("no field `{name}` on the page: {page}"))?.0.to_owned())
}
