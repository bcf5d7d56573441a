//! From a URL to an open connection: names, address policy, proxy, TLS. Nothing of the request moves here.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use grantway_core::address::AddressPolicy;
use grantway_core::error::ConfigError;
use grantway_core::operation::{NotSent, Peer};
use hyper::Uri;
use hyper::header::HeaderValue;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tower::{BoxError, ServiceExt as _};
use url::{Host, Position, Url};

use super::Hyper;

/// An open connection, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// An HTTP proxy that tunnels by CONNECT.
#[derive(Clone)]
pub(super) struct Proxy {
    url: Url,
    authorization: Option<HeaderValue>,
}

impl Proxy {
    /// `http://host:port`, with user and password where the proxy wants them.
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        // The text itself may hold a password, so that it is not shown.
        let refused = |problem| ConfigError::new("proxy", "…", problem);
        let mut url = Url::parse(text).map_err(|_| refused("must be a URL"))?;
        if url.scheme() != "http" || url.host().is_none() {
            return Err(refused("must be `http://host:port`"));
        }
        let authorization = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => Some(basic(user, password.unwrap_or_default())),
        };
        let authorization = authorization.transpose().map_err(|_| refused("has an unusable password"))?;
        let bare = url.set_password(None).and_then(|()| url.set_username(""));
        bare.map_err(|()| refused("must be `http://host:port`"))?;
        Ok(Self { url, authorization })
    }
}

fn basic(user: &str, password: &str) -> Result<HeaderValue, hyper::header::InvalidHeaderValue> {
    let mut pair: Vec<u8> = percent_decode_str(user).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(password));
    HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(pair)))
}

impl Hyper {
    /// Opens a connection to the URL's host, over TLS for `https`.
    pub(super) async fn connect(
        &self,
        url: &Url,
        policy: &AddressPolicy,
        within: Duration,
    ) -> Result<(Box<dyn Stream>, Peer), NotSent> {
        let host = url.host().ok_or(NotSent::Unreachable)?;
        match (url.scheme(), &self.proxy) {
            // Plain `http` is for this machine only, and no proxy stands before that.
            ("http", _) => {
                let permits = |address: IpAddr| is_loopback(address) && policy.permits(address);
                let (tcp, address) = self.dial(url, &host, within, permits).await?;
                Ok((Box::new(tcp), Peer::Address(address)))
            }
            ("https", None) => {
                let permits = |address| policy.permits(address);
                let (tcp, address) = self.dial(url, &host, within, permits).await?;
                Ok((self.encrypt(tcp, &host).await?, Peer::Address(address)))
            }
            ("https", Some(proxy)) => {
                if literal(&host).is_some_and(|address| !policy.permits(address)) {
                    return Err(NotSent::AddressRefused);
                }
                let tcp = self.tunnel(proxy, url, within).await?;
                Ok((self.encrypt(tcp, &host).await?, Peer::ViaProxy))
            }
            _ => Err(NotSent::Unreachable),
        }
    }

    /// Connects to one of the host's addresses, of those that are permitted.
    async fn dial(
        &self,
        url: &Url,
        host: &Host<&str>,
        within: Duration,
        permits: impl Fn(IpAddr) -> bool,
    ) -> Result<(TcpStream, IpAddr), NotSent> {
        let mut addresses = self.addresses(host).await?;
        //= spec/mcp-best-practices.md#server-side-request-forgery-ssrf
        //# Private and reserved ranges, in any spelling, SHOULD be refused on the resolved address, and the
        //# address checked be the one connected to (NET-03, U).
        // atk:NET-01, atk:NET-03, atk:NET-04: what is checked is what is connected to.
        addresses.retain(|address| permits(*address));
        if addresses.is_empty() {
            return Err(NotSent::AddressRefused);
        }
        let tcp = connector(addresses, within).oneshot(origin(url)?).await;
        let tcp = tcp.map_err(|_| NotSent::Unreachable)?.into_inner();
        abandon_on_close(&tcp)?;
        let address = tcp.peer_addr().map_err(|_| NotSent::Unreachable)?.ip();
        if permits(address) { Ok((tcp, address)) } else { Err(NotSent::AddressRefused) }
    }

    /// Has the proxy connect to the host, which it looks up itself.
    async fn tunnel(&self, proxy: &Proxy, url: &Url, within: Duration) -> Result<TcpStream, NotSent> {
        let host = proxy.url.host().ok_or(NotSent::Unreachable)?;
        let connector = connector(self.addresses(&host).await?, within);
        let mut tunnel = Tunnel::new(origin(&proxy.url)?, connector);
        if let Some(authorization) = &proxy.authorization {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        let tcp = tunnel.oneshot(origin(url)?).await.map_err(|_| NotSent::Unreachable)?.into_inner();
        abandon_on_close(&tcp)?;
        Ok(tcp)
    }

    /// The addresses of a host, at least one.
    async fn addresses(&self, host: &Host<&str>) -> Result<Vec<IpAddr>, NotSent> {
        let found = match literal(host) {
            Some(address) => vec![address],
            None => self.resolver.resolve(&host.to_string()).await.unwrap_or_default(),
        };
        if found.is_empty() { Err(NotSent::Unreachable) } else { Ok(found) }
    }

    async fn encrypt(&self, tcp: TcpStream, host: &Host<&str>) -> Result<Box<dyn Stream>, NotSent> {
        let name = match literal(host) {
            Some(address) => ServerName::from(address),
            None => ServerName::try_from(host.to_string()).map_err(|_| NotSent::Unreachable)?,
        };
        //= spec/oauth21.md#7-1-3-2
        //# TLS certificate chains MUST be validated, and a bearer token travels over TLS only (NET-08, U).
        let encrypted = self.tls.connect(name, tcp).await.map_err(|_| NotSent::Unreachable)?;
        Ok(Box::new(encrypted))
    }
}

/// Connects to these addresses and no others, whatever name it is given: both families side by side (RFC 8305), and none
/// so long that the others get no turn.
fn connector(
    addresses: Vec<IpAddr>,
    within: Duration,
) -> impl tower::Service<Uri, Response = TokioIo<TcpStream>, Error: Into<BoxError>, Future: Send> + Clone {
    let addresses: Vec<_> = addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect();
    let known = tower::service_fn(move |_| {
        let addresses = addresses.clone().into_iter();
        async move { Ok::<_, Infallible>(addresses) }
    });
    let mut connector = HttpConnector::new_with_resolver(known);
    connector.enforce_http(false);
    connector.set_connect_timeout(Some(within));
    connector
}

/// Scheme, host and port of a URL.
fn origin(url: &Url) -> Result<Uri, NotSent> {
    let text = format!("{}/", &url[..Position::BeforePath]);
    text.parse().map_err(|_| NotSent::Unreachable)
}

fn literal(host: &Host<&str>) -> Option<IpAddr> {
    match host {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(IpAddr::V4(*address)),
        Host::Ipv6(address) => Some(IpAddr::V6(*address)),
    }
}

/// Has the kernel throw away, when the connection is closed, what it has not sent yet: else a token that nobody waits for
/// any more might arrive long after it was sent a second time.
fn abandon_on_close(tcp: &TcpStream) -> Result<(), NotSent> {
    tcp.set_zero_linger().map_err(|_| NotSent::Unreachable)
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
