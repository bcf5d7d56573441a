//! Who plays: an issuer and a protected MCP server on loopback, and a browser that does what it is told.

use grantway::grantway_core::address::AddressPolicy;
use grantway::grantway_core::operation::Method;
use grantway::grantway_core::operation::{Header, HttpReply, HttpRequest, HttpResponse};
use grantway::grantway_core::secret::SecretBytes;
use grantway::transport::{Hyper, Transport};
use grantway::{CallError, Caller, Grantway, Secret};
use grantway_testing::serve::Serving;
use grantway_testing::{Issuer, McpServer};
use http::{Request, Response};
use serde_json::{Value, json};

use crate::say::Deviation;

/// The servers, until they are dropped.
pub(crate) struct Cast {
    pub(crate) issuer: Issuer,
    pub(crate) mcp: McpServer,
    pub(crate) transport: Hyper,
    _serving: [Serving; 2],
}

impl Cast {
    /// Access tokens live two seconds, so that nobody has to wait long for one to end.
    pub(crate) fn new() -> Result<Self, Deviation> {
        let (issuer, serving_issuer) = Serving::issuer()?;
        issuer.behave(|issuer| {
            issuer.access_token_ms = 2_000;
            issuer.id_tokens = true;
        });
        let (mcp, serving_mcp) = Serving::mcp(&issuer)?;
        Ok(Self { issuer, mcp, transport: Hyper::new()?, _serving: [serving_issuer, serving_mcp] })
    }

    /// What the browser does with an authorization URL: it looks at the page, fills in who it is, approves, and is sent back.
    /// The URL it is sent back to.
    pub(crate) async fn approve(&self, user: &str, url: &str) -> Result<String, Deviation> {
        let page = self.exchange(Method::Get, url, Vec::new(), Vec::new()).await?;
        if !String::from_utf8_lossy(page.body.expose()).contains("Allow") {
            return Err(Deviation(format!(
                "the issuer shows no page to approve on, but status {}",
                page.status
            )));
        }
        let form = vec![("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned())];
        let sent = self.exchange(Method::Post, url, form, format!("user={user}").into_bytes()).await?;
        let location = sent.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("location"));
        location.map(|(_, url)| url.clone()).ok_or_else(|| Deviation("the browser was not sent back".into()))
    }

    /// Asks the MCP server who calls, as the caller.
    pub(crate) async fn whoami(
        &self,
        gw: &Grantway,
        caller: &Caller,
        connector: &str,
    ) -> Result<String, CallError<Deviation>> {
        let call =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "whoami" } });
        let request = Request::post(self.mcp.url())
            .header("Content-Type", "application/json")
            .body(call.to_string().into_bytes())
            .map_err(|error| CallError::Send(error.into()))?;
        let response = gw
            .send(caller, connector, "tools/call whoami", request, async |request| self.call(request).await)
            .await?;
        let body: Value =
            serde_json::from_slice(response.body()).map_err(|error| CallError::Send(error.into()))?;
        match body["result"]["content"][0]["text"].as_str() {
            Some(user) => Ok(user.to_owned()),
            None => Err(CallError::Send(Deviation(format!("`whoami` answers {body}")))),
        }
    }

    /// The status of a call with a token that somebody has kept.
    pub(crate) async fn status_with(&self, token: &str) -> Result<u16, Deviation> {
        let headers = vec![("Authorization".to_owned(), format!("Bearer {token}"))];
        let body = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.to_vec();
        Ok(self.exchange(Method::Post, &self.mcp.url(), headers, body).await?.status)
    }

    async fn call(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, Deviation> {
        let (head, body) = request.into_parts();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let answer = self.exchange(Method::Post, &head.uri.to_string(), headers, body).await?;
        let response = answer
            .headers
            .iter()
            .fold(Response::builder().status(answer.status), |response, (name, value)| {
                response.header(name, value)
            });
        Ok(response.body(answer.body.expose().to_vec())?)
    }

    async fn exchange(
        &self,
        method: Method,
        url: &str,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Result<HttpResponse, Deviation> {
        let header = |(name, value): (String, String)| Header { name, value: Secret::new(value) };
        let request = HttpRequest {
            method,
            url: url.to_owned(),
            headers: headers.into_iter().map(header).collect(),
            body: SecretBytes::new(body),
            max_response_bytes: 64 * 1024,
            timeout_ms: 10_000,
            start_within_ms: 10_000,
            address_policy: AddressPolicy::Loopback,
        };
        match self.transport.exchange(request).await {
            HttpReply::Response(response) => Ok(response),
            other => Err(Deviation(format!("`{url}` does not answer: {other:?}"))),
        }
    }
}
