//! HTTP effects: which address policy a URL gets, which headers every request carries.

use crate::address::AddressPolicy;
use crate::connector::{Connector, Upstream};
use crate::error::{Code, Failure};
use crate::operation::{Context, Effect, Header, HttpRequest, Method};
use crate::protocol::client_auth::ClientAuth;
use crate::protocol::form::{self, Form};
use crate::protocol::url::{HttpUrl, PlainHttp};
use crate::secret::SecretBytes;
use crate::store::records::Client;

/// The policy for a URL that a connector's discovery has found: the connector's own on its own host, else `public`.
///
/// A server that may live in a private network thereby opens that network to nobody it names (atk:NET-01).
pub(crate) fn egress(connector: &Connector, plain: PlainHttp, url: &HttpUrl) -> AddressPolicy {
    // Whose host it is makes no difference then.
    if connector.address_policy == AddressPolicy::Public {
        return AddressPolicy::Public;
    }
    let own = |text: &str| HttpUrl::parse(text, plain).is_ok_and(|own| own.host() == url.host());
    let pinned = connector.waivers.danger_endpoint_origins.iter().any(|origin| own(origin));
    let named = match &connector.upstream {
        Upstream::Account { issuer } => own(issuer),
        Upstream::Server { url, issuer } => own(url) || issuer.as_deref().is_some_and(own),
    };
    if named || pinned { connector.address_policy.clone() } else { AddressPolicy::Public }
}

/// One exchange to be built: a URL under a policy.
pub(crate) struct Exchange<'a> {
    url: &'a HttpUrl,
    policy: AddressPolicy,
    headers: Vec<Header>,
    max_response_bytes: u32,
    start_within_ms: Option<u64>,
}

impl<'a> Exchange<'a> {
    pub(crate) fn new(url: &'a HttpUrl, policy: AddressPolicy, max_response_bytes: u32) -> Self {
        let headers = vec![
            Header::new("Accept", "application/json"),
            // atk:NET-11
            Header::new("Accept-Encoding", "identity"),
        ];
        Self { url, policy, headers, max_response_bytes, start_within_ms: None }
    }

    pub(crate) fn header(mut self, header: Header) -> Self {
        self.headers.retain(|have| !have.name.eq_ignore_ascii_case(&header.name));
        self.headers.push(header);
        self
    }

    pub(crate) fn start_within(mut self, ms: u64) -> Self {
        self.start_within_ms = Some(ms);
        self
    }

    /// # Errors
    /// The host is an address that the policy forbids, before anybody resolves anything.
    pub(crate) fn get(self, cx: &Context<'_>) -> Result<Effect, Failure> {
        self.build(cx, Method::Get, SecretBytes::default())
    }

    /// # Errors
    /// As for [`Exchange::get`].
    pub(crate) fn post(
        self,
        cx: &Context<'_>,
        content_type: &str,
        body: SecretBytes,
    ) -> Result<Effect, Failure> {
        self.header(Header::new("Content-Type", content_type)).build(cx, Method::Post, body)
    }

    /// A form to an issuer, with our client's authentication.
    ///
    /// # Errors
    /// As for [`Exchange::get`]; or the registration lacks what its authentication method needs.
    pub(crate) fn post_form<'f>(
        self,
        cx: &Context<'_>,
        mut form: Form<'f>,
        client: &'f Client,
    ) -> Result<Effect, Failure> {
        let auth = ClientAuth {
            client_id: &client.id,
            method: client.method,
            secret: client.secret.as_ref(),
            assertion: None,
        };
        let header =
            auth.apply(&mut form).map_err(|invalid| Failure::new(Code::ClientRefused).because(invalid.0))?;
        let exchange = match header {
            Some(value) => self.header(Header { name: "Authorization".to_owned(), value }),
            None => self,
        };
        //= spec/oauth21.md#3-2-2
        //# A token request MUST be a POST with a form-encoded UTF-8 body and put nothing of it in the URL
        //# (TOK-01, U).
        exchange.post(cx, form::CONTENT_TYPE, form.into_body())
    }

    fn build(self, cx: &Context<'_>, method: Method, body: SecretBytes) -> Result<Effect, Failure> {
        //= spec/mcp-best-practices.md#server-side-request-forgery-ssrf
        //# On a server, every URL that came from a peer MUST be treated as a way to internal hosts:
        //# `resource_metadata`, the issuers and each endpoint of theirs (NET-02, U).
        // atk:NET-01
        if !self.policy.permits_host(&self.url.host()) {
            return Err(Failure::new(Code::AddressRefused));
        }
        let timeout_ms = cx.engine.limits().http_timeout_ms;
        Ok(Effect::Http(HttpRequest {
            method,
            url: self.url.as_str().to_owned(),
            headers: self.headers,
            body,
            max_response_bytes: self.max_response_bytes,
            timeout_ms,
            start_within_ms: self.start_within_ms.unwrap_or(timeout_ms),
            address_policy: self.policy,
        }))
    }
}
