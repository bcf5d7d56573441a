//! Calls of an `rmcp` client.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use futures_util::stream::BoxStream;
use grantway::rmcp::{Authorized, challenge_of};
use grantway::{CallError, Caller, Grantway};
use grantway_testing::{Request, Response};
use http::{HeaderName, HeaderValue};
use rmcp::ServiceExt;
use rmcp::model::{CallToolRequestParams, ClientJsonRpcMessage};
use rmcp::service::ServiceError;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::*;
use sse_stream::Sse;

use crate::simulated::{CONNECTOR, Simulated, bob};

/// A client in the simulated world, which keeps the `Authorization` headers that it has sent.
#[derive(Clone)]
struct Wire {
    world: Simulated,
    sent: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Wire {
    fn new(world: &Simulated) -> Self {
        Self { world: world.clone(), sent: Arc::default() }
    }

    fn sent(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }

    fn exchange(
        &self,
        request: Request,
        auth_header: Option<String>,
        headers: &HashMap<HeaderName, HeaderValue>,
    ) -> Result<Response, StreamableHttpError<Infallible>> {
        let mut request = headers
            .iter()
            .fold(request, |request, (name, value)| request.header(name.as_str(), value.to_str().unwrap()));
        if let Some(token) = auth_header {
            request = request.header("authorization", &format!("Bearer {token}"));
        }
        let of = |(name, value): &(String, String)| {
            name.eq_ignore_ascii_case("authorization").then(|| value.clone())
        };
        self.sent.lock().unwrap().push(request.headers.iter().filter_map(of).collect());
        let response = self.world.world.lock().unwrap().send(request);
        let said = response.one("www-authenticate").unwrap_or_default().to_owned();
        match response.status {
            401 => Err(StreamableHttpError::AuthRequired(AuthRequiredError::new(said))),
            403 => Err(StreamableHttpError::InsufficientScope(InsufficientScopeError::new(said, None))),
            405 => Err(StreamableHttpError::ServerDoesNotSupportSse),
            _ => Ok(response),
        }
    }
}

type Headers = HashMap<HeaderName, HeaderValue>;

impl StreamableHttpClient for Wire {
    type Error = Infallible;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        _: Option<Arc<str>>,
        auth_header: Option<String>,
        headers: Headers,
    ) -> Result<StreamableHttpPostResponse, StreamableHttpError<Infallible>> {
        let request = Request::post_json(&uri, &serde_json::to_value(&message).unwrap());
        let response = self.exchange(request, auth_header, &headers)?;
        if response.status == 202 {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        Ok(StreamableHttpPostResponse::Json(serde_json::from_slice(&response.body)?, None))
    }

    async fn delete_session(
        &self,
        _: Arc<str>,
        _: Arc<str>,
        _: Option<String>,
        _: Headers,
    ) -> Result<(), StreamableHttpError<Infallible>> {
        Ok(())
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        _: Option<Arc<str>>,
        _: Option<String>,
        auth_header: Option<String>,
        headers: Headers,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, StreamableHttpError<Infallible>> {
        self.exchange(Request::get(&uri), auth_header, &headers)?;
        Err(StreamableHttpError::ServerDoesNotSupportSse)
    }
}

fn client(
    gw: &Arc<Grantway>,
    caller: Caller,
    wire: &Wire,
) -> (Authorized<Wire>, StreamableHttpClientTransport<Authorized<Wire>>) {
    let client = Authorized::new(gw, caller, CONNECTOR, wire.clone());
    // An `auth_header` of the configuration would go beside the caller's own.
    let config = StreamableHttpClientTransportConfig::with_uri(wire.world.mcp.url()).auth_header("stray");
    (client.clone(), StreamableHttpClientTransport::with_client(client, config))
}

fn whoami() -> CallToolRequestParams {
    CallToolRequestParams::new("whoami")
}

fn text(result: &impl serde::Serialize) -> String {
    serde_json::to_value(result).unwrap()["content"][0]["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_call_of_the_client_carries_the_callers_credential_and_no_other() {
    let (world, gw, alice) = Simulated::connected().await;
    let gw = Arc::new(gw);
    let wire = Wire::new(&world);
    let (client, transport) = client(&gw, alice, &wire);
    let service = ().serve(transport).await.unwrap();
    assert_eq!(text(&service.call_tool(whoami()).await.unwrap()), "alice");
    let sent = wire.sent();
    assert!(sent.len() >= 3, "{sent:?}");
    assert!(sent.iter().all(|headers| headers.len() == 1 && !headers[0].contains("stray")), "{sent:?}");
    assert!(client.challenge().is_none());
}

#[tokio::test]
async fn a_refused_call_is_reported_and_made_once_more() {
    let (world, gw, alice) = Simulated::connected().await;
    let gw = Arc::new(gw);
    let wire = Wire::new(&world);
    let (_, transport) = client(&gw, alice, &wire);
    let service = ().serve(transport).await.unwrap();
    service.call_tool(whoami()).await.unwrap();
    wire.sent();
    world.issuer.end_access_tokens();
    assert_eq!(text(&service.call_tool(whoami()).await.unwrap()), "alice");
    let sent = wire.sent();
    assert!(sent.len() == 2 && sent[0] != sent[1], "{sent:?}");
}

#[tokio::test]
async fn a_challenge_comes_out_with_its_type() {
    let (world, gw, alice) = Simulated::connected().await;
    let gw = Arc::new(gw);
    let wire = Wire::new(&world);

    let (asked, transport) = client(&gw, bob(), &wire);
    assert!(().serve(transport).await.is_err());
    assert_eq!(asked.challenge().unwrap().owner, bob().principal);
    assert!(wire.sent().is_empty(), "without a credential nothing is sent");

    let (asked, transport) = client(&gw, alice.clone(), &wire);
    let service = ().serve(transport).await.unwrap();
    gw.disconnect(&alice, CONNECTOR, None).await.unwrap();
    let ServiceError::TransportSend(error) = service.call_tool(whoami()).await.unwrap_err() else {
        panic!("another error")
    };
    let challenge = challenge_of::<Wire>(&error).expect("a challenge");
    assert_eq!((challenge.owner.clone(), challenge.url.is_some()), (alice.principal, true));
    assert_eq!(asked.challenge().as_ref(), Some(challenge));
    // Typed as the client library's error, where one makes calls without its service.
    let direct: StreamableHttpError<CallError<Infallible>> = asked
        .get_stream(world.mcp.url().into(), None, None, None, HashMap::new())
        .await
        .map(drop)
        .unwrap_err();
    assert!(challenge_of::<Wire>(&direct).is_some());
}
