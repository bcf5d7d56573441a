//! The transport on hyper and rustls.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use grantway_core::error::ConfigError;
use grantway_core::operation::{HttpReply, HttpRequest, HttpResponse, NotSent};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::ring;
use url::Url;

use super::connect::Proxy;
use super::message::{encode, talk};
use super::resolve::System;
use super::start::{Gate, Start};
use super::{BoxFuture, Resolve, Transport};

/// Exchanges over HTTP/1.1, with TLS by rustls, each on a connection of its own.
///
/// What the replies of [`Transport`] rest on:
///
/// - The first write of the request passes a gate. It opens only before `start_within_ms` is over, and that it has
///   opened is what tells `UnknownOutcome` from `NotSent`. Looking up the name, connecting, a proxy and the TLS
///   handshake come before it.
/// - A connection is never used twice: a server that closes an idle connection just as a refresh token is sent on it
///   would leave in doubt what need not be. TLS sessions are resumed, which saves most of the cost.
/// - The address policy is applied to every address a name leads to; only permitted ones are connected to, and the
///   address connected to is checked again. Plain `http` reaches loopback addresses only.
#[derive(Clone)]
pub struct Hyper {
    pub(super) proxy: Option<Proxy>,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) tls: TlsConnector,
}

impl Hyper {
    /// The operating system's resolver and trusted roots; no proxy.
    ///
    /// # Errors
    /// The machine has no trusted roots.
    pub fn new() -> Result<Self, ConfigError> {
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|tls| tls.with_platform_verifier())
            .map_err(|_| {
                ConfigError::new("tls", "system", "this machine has no trusted root certificates")
            })?;
        Ok(Self::with_tls(tls.with_no_client_auth()))
    }

    /// As [`Hyper::new`], with roots, client certificates or cryptography of the host's choice.
    pub fn with_tls(mut tls: ClientConfig) -> Self {
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { proxy: None, resolver: Arc::new(System), tls: TlsConnector::from(Arc::new(tls)) }
    }

    /// Looks names up elsewhere.
    #[must_use]
    pub fn with_resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// Makes all `https` exchanges through an HTTP proxy: `http://host:port`, with `user:password@` where it wants them.
    ///
    /// The proxy looks the names up, so that only URLs which name an address can be checked here. Every response says
    /// `Peer::ViaProxy`; the engine refuses it unless its configuration says `egress_enforced`.
    ///
    /// # Errors
    /// The URL is not such a URL.
    pub fn with_proxy(mut self, url: &str) -> Result<Self, ConfigError> {
        self.proxy = Some(Proxy::parse(url)?);
        Ok(self)
    }

    async fn attempt(&self, request: &HttpRequest, start: &Start) -> Result<HttpResponse, NotSent> {
        let url = Url::parse(&request.url).map_err(|_| NotSent::Unreachable)?;
        let message = encode(request, &url).ok_or(NotSent::Unreachable)?;
        let within = start.left();
        let connected = timeout(within, self.connect(&url, &request.address_policy, within)).await;
        let (stream, peer) = connected.map_err(|_| NotSent::TooLate)??;
        let max_bytes = request.max_response_bytes as usize;
        let answer = talk(Gate::new(stream, start), message, max_bytes, peer).await;
        // Whether anything was sent is for `start` to say.
        answer.map_err(|_| NotSent::Unreachable)
    }
}

impl Transport for Hyper {
    fn exchange(&self, request: HttpRequest) -> BoxFuture<'_, HttpReply> {
        let start = Start::within(Duration::from_millis(request.start_within_ms));
        Box::pin(async move {
            let whole = Duration::from_millis(request.timeout_ms).saturating_sub(start.elapsed());
            // INVARIANT: the attempt owns its connection and has ended, by itself or by being dropped, before `start`
            // is asked: what has not begun by then never will.
            let ended = timeout(whole, self.attempt(&request, &start)).await;
            match ended {
                Ok(Ok(response)) => HttpReply::Response(response),
                _ if start.has_begun() => HttpReply::UnknownOutcome,
                Ok(Err(NotSent::AddressRefused)) => HttpReply::NotSent(NotSent::AddressRefused),
                _ if start.is_over() => HttpReply::NotSent(NotSent::TooLate),
                Ok(Err(_)) | Err(_) => HttpReply::NotSent(NotSent::Unreachable),
            }
        })
    }
}

impl fmt::Debug for Hyper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hyper").field("proxied", &self.proxy.is_some()).finish_non_exhaustive()
    }
}
