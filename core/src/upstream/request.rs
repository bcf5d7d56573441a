//! HTTP effects: which address policy a URL gets, which headers every request carries.

use crate::address::AddressPolicy;
use crate::connector::{Connector, Upstream};
use crate::error::{Code, Failure};
use crate::operation::{Context, Effect, Header, HttpRequest, Method};
use crate::protocol::url::HttpUrl;
use crate::secret::SecretBytes;

/// The policy for a URL that a connector's discovery has found: the connector's own on its own host, else `public`.
///
/// A server that may live in a private network thereby opens that network to nobody it names (atk:NET-01).
pub(crate) fn egress(
    connector: &Connector,
    plain: crate::protocol::url::PlainHttp,
    url: &HttpUrl,
) -> AddressPolicy {
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

    fn build(self, cx: &Context<'_>, method: Method, body: SecretBytes) -> Result<Effect, Failure> {
        // NET-02, atk:NET-01
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
