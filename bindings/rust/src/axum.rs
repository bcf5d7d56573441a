//! The gateway in an axum host: [`Grantway::router`] has its pages and endpoints, [`AuthenticateLayer`] stands before the host's own
//! MCP endpoint.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use axum::{Extension, Router, routing::post};
//! # use grantway::axum::AuthenticateLayer;
//! # use grantway::grantway_core::downstream::request::SignedIn;
//! # use grantway::{Caller, Failure, Grantway, TenantId};
//! # async fn session(cookies: Option<http::HeaderValue>) -> Option<SignedIn> { None }
//! fn app(gw: Arc<Grantway>, tenant: TenantId) -> Result<Router, Failure> {
//!     let mcp = post(|Extension(caller): Extension<Caller>| async move { format!("You are {}.", caller.principal.id()) });
//!     let gateway = gw.router(&tenant, |parts| session(parts.headers.get("cookie").cloned()))?;
//!     Ok(gateway.route("/mcp", mcp.layer(AuthenticateLayer::new(&gw, &tenant, "/mcp")?)))
//! }
//! ```
//!
//! A layer that writes access logs should not write queries of `/callback`, in which codes stand; one that adds headers should add none
//! that allow other origins to read pages.

use std::convert::Infallible;
use std::future::Future;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::OriginalUri;
use axum::response::IntoResponse;
use axum::routing::any;
use axum::{BoxError, Router};
use grantway_core::downstream::authenticate::{Authenticate, Authenticated};
use grantway_core::downstream::handle::Handle;
use grantway_core::downstream::request::{Request, SignedIn};
use grantway_core::downstream::response::Response;
use grantway_core::error::{Code, Failure};
use grantway_core::limits::REQUEST_MAX_BYTES;
use grantway_core::principal::TenantId;
use grantway_core::protocol::scopes::Scopes;
use grantway_core::secret::{Secret, SecretBytes};
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tower::{Layer, Service};

use crate::Grantway;
use crate::transport::BoxFuture;

impl Grantway {
    /// The routes of a tenant's gateway, at their whole paths: to be merged at the root of the host's own router, not nested. What is no
    /// route of the gateway is the host's.
    ///
    /// `who` says whom the host's login knows where a request came from, and when the login was completed; `None`: nobody. It is asked
    /// for each request to these routes, those of programs included.
    ///
    /// Requests longer than 64 KiB are answered with 413 and not read on. A page's response has an `Arc<Page>` among its extensions, for
    /// hosts that render pages themselves, and one that is a refusal has the [`Failure`], for logs.
    ///
    /// # Errors
    /// `config.gateway_missing`: no gateway is configured, or the tenant's id cannot stand in the base URL.
    pub fn router<S, F, W>(self: &Arc<Self>, tenant: &TenantId, who: F) -> Result<Router<S>, Failure>
    where
        S: Clone + Send + Sync + 'static,
        F: Fn(&Parts) -> W + Clone + Send + Sync + 'static,
        W: Future<Output = Option<SignedIn>> + Send + 'static,
    {
        let routes = self.engine().gateway_routes(tenant)?;
        let (gw, tenant) = (Arc::clone(self), tenant.clone());
        let handler = any(move |request: axum::extract::Request| {
            let (gw, tenant, who) = (Arc::clone(&gw), tenant.clone(), who.clone());
            async move { answer(&gw, tenant, who, request).await }
        });
        Ok(routes.iter().fold(Router::new(), |router, route| router.route(route, handler.clone())))
    }
}

async fn answer<F, W>(
    gw: &Grantway,
    tenant: TenantId,
    who: F,
    request: axum::extract::Request,
) -> axum::response::Response
where
    F: Fn(&Parts) -> W,
    W: Future<Output = Option<SignedIn>>,
{
    let (parts, body) = request.into_parts();
    let body = match read(body).await {
        Ok(body) => body,
        Err(status) => {
            // What is left of the body is not waited for.
            return (status, [(CONNECTION, "close")]).into_response();
        }
    };
    let signed_in = who(&parts).await;
    // As it came, whatever the host's router has made of it.
    let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri);
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let request = Request {
        method: parts.method.as_str().to_owned(),
        target: Secret::new(target),
        headers: all(&parts.headers).collect(),
        body: SecretBytes::new(body.to_vec()),
    };
    match gw.handle(Handle { tenant, request, signed_in }).await {
        Ok(response) => on_the_wire(response, parts.method == Method::HEAD),
        Err(failure) => broken(failure),
    }
}

/// The body, if it is not too long.
async fn read(body: Body) -> Result<Bytes, StatusCode> {
    let too_long = u64::try_from(REQUEST_MAX_BYTES).is_ok_and(|most| body.size_hint().lower() > most);
    if too_long {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    match Limited::new(body, REQUEST_MAX_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => Err(StatusCode::BAD_REQUEST),
    }
}

fn all(headers: &HeaderMap) -> impl Iterator<Item = (String, Secret)> {
    // What is not UTF-8 is no cookie, token or origin of ours, and stays none by this.
    headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), Secret::new(String::from_utf8_lossy(value.as_bytes())))
    })
}

fn on_the_wire(response: Response, is_head: bool) -> axum::response::Response {
    let Response { status, headers, body, page, failure } = response;
    let length = body.expose().len();
    let body = if is_head { Body::empty() } else { Body::from(body.expose().to_vec()) };
    let mut wire = http::Response::new(body);
    // INVARIANT: the engine's statuses, header names and values are well-formed.
    *wire.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for header in headers {
        let name = HeaderName::try_from(header.name);
        if let (Ok(name), Ok(mut value)) = (name, HeaderValue::try_from(header.value.expose())) {
            value.set_sensitive(true);
            wire.headers_mut().append(name, value);
        }
    }
    if is_head {
        wire.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    if let Some(page) = page {
        wire.extensions_mut().insert(Arc::new(page));
    }
    if let Some(failure) = failure {
        tracing::info!(
            slug = failure.slug(),
            reason = failure.reason(),
            evidence = failure.evidence(),
            "refused"
        );
        wire.extensions_mut().insert(failure);
    }
    wire
}

/// The engine could not even be asked.
fn broken(failure: Failure) -> axum::response::Response {
    tracing::error!(slug = failure.slug(), reason = failure.reason(), "the gateway cannot answer");
    let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
    response.extensions_mut().insert(failure);
    response
}

/// Lets only requests through whose token is one of the gateway's, for this endpoint. For them
/// [`SignedInCaller`](grantway_core::downstream::authenticate::SignedInCaller) and [`Caller`](crate::Caller) are among the request's
/// extensions, and the `Authorization` header is gone, so that nothing behind this layer can pass the token on. All others are answered
/// here, with the challenge that leads clients to the gateway's sign-in.
///
/// A layer for CORS goes around this one: a browser's preflight brings no token.
#[derive(Clone, Debug)]
pub struct AuthenticateLayer {
    gw: Arc<Grantway>,
    tenant: TenantId,
    resource: Arc<str>,
    scopes: Scopes,
}

impl AuthenticateLayer {
    /// For the endpoint at this path under the base URL, one of `gateway.resources`: `/mcp`.
    ///
    /// # Errors
    /// `config.gateway_missing`: no gateway is configured for this tenant, or none with that endpoint.
    pub fn new(gw: &Arc<Grantway>, tenant: &TenantId, path: &str) -> Result<Self, Failure> {
        let engine = gw.engine();
        let gateway = engine.config().gateway.as_ref();
        let is_there = gateway.is_some_and(|gateway| gateway.resources.iter().any(|it| it.path == path));
        let base = engine.base_url(tenant).filter(|_| is_there);
        let base = base
            .ok_or_else(|| Failure::new(Code::GatewayMissing).because("it has no endpoint at that path"))?;
        let resource = Arc::from(format!("{base}{path}"));
        Ok(Self { gw: Arc::clone(gw), tenant: tenant.clone(), resource, scopes: Scopes::default() })
    }

    /// The same, for requests that need these oauth scopes, all of them.
    #[must_use]
    pub fn with_scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = scopes;
        self
    }
}

impl<S> Layer<S> for AuthenticateLayer {
    type Service = AuthenticateService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthenticateService { layer: self.clone(), inner }
    }
}

/// What [`AuthenticateLayer`] makes of a service.
#[derive(Clone, Debug)]
pub struct AuthenticateService<S> {
    layer: AuthenticateLayer,
    inner: S,
}

impl<S, B> Service<http::Request<B>> for AuthenticateService<S>
where
    S: Service<http::Request<B>, Error = Infallible> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = axum::response::Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        let layer = self.layer.clone();
        // The one that was found ready takes the request; its clone may not be.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let headers = all(request.headers()).filter(|(name, _)| name == AUTHORIZATION.as_str()).collect();
            let AuthenticateLayer { gw, tenant, resource, scopes } = layer;
            let asked = Authenticate { tenant, headers, resource: resource.as_ref().to_owned(), scopes };
            match gw.authenticate(asked).await {
                Ok(Authenticated::Caller(who)) => {
                    //= spec/mcp-2026-07-28.md#idx-token-handling
                    //# No other token than one of the gateway's own MUST be accepted, and none is passed on (USE-08, R).
                    request.headers_mut().remove(AUTHORIZATION);
                    request.extensions_mut().insert(who.caller.clone());
                    request.extensions_mut().insert(*who);
                    inner.call(request).await.map(IntoResponse::into_response)
                }
                Ok(Authenticated::Refused(response)) => {
                    let response = on_the_wire(*response, request.method() == Method::HEAD);
                    Ok(after(request.into_body(), response).await)
                }
                Err(failure) => Ok(after(request.into_body(), broken(failure)).await),
            }
        })
    }
}

/// The response to a request whose body nobody wants. Were it left unread, the connection would end without a word behind the response,
/// and the request that the client sends on it next would be lost.
async fn after<B>(body: B, mut response: axum::response::Response) -> axum::response::Response
where
    B: HttpBody,
    B::Error: Into<BoxError>,
{
    let mut body = pin!(Limited::new(body, REQUEST_MAX_BYTES));
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            break;
        }
    }
    response
}
