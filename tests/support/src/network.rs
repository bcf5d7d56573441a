//! The network: hosts by origin, what they are connected to, and a log of all that was sent.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use grantway_core::moment::UnixMillis;
use grantway_core::operation::{HttpReply, HttpRequest, HttpResponse, NotSent, Peer};
use grantway_core::secret::SecretBytes;

use crate::canary::contains_secret;
use crate::fault::HttpFault;
use crate::message::{Request, Response};

/// Something that answers requests. Closures are servers too.
pub trait Server: Send {
    /// Answers one request at the host's time.
    fn handle(&mut self, request: &Request, now: UnixMillis) -> Response;
}

impl<F: FnMut(&Request, UnixMillis) -> Response + Send> Server for F {
    fn handle(&mut self, request: &Request, now: UnixMillis) -> Response {
        self(request, now)
    }
}

/// One exchange in which the server saw a request.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// When the request was sent.
    pub at: UnixMillis,
    /// What was sent.
    pub request: Request,
    /// The status of the answer, whether or not it reached the client.
    pub status: u16,
}

/// All hosts, and a transport to them as the effect `Http` wants it.
#[derive(Default)]
pub struct Network {
    hosts: BTreeMap<String, Host>,
    exchanges: Vec<Exchange>,
}

struct Host {
    servers: Vec<Box<dyn Server>>,
    peer: Peer,
    rebound: Option<Peer>,
}

impl Network {
    /// Puts a server at an origin. If several share one, the first that does not answer 404 answers.
    ///
    /// The address is loopback for loopback names and addresses, itself for other addresses, and a public one else.
    pub fn host(&mut self, origin: &str, server: impl Server + 'static) {
        let peer = Peer::Address(address_of(origin));
        let host = self.hosts.entry(origin.to_owned()).or_insert_with(|| Host {
            servers: Vec::new(),
            peer,
            rebound: None,
        });
        host.servers.push(Box::new(server));
    }

    /// Takes the servers of an origin off the network.
    pub fn unplug(&mut self, origin: &str) {
        self.hosts.remove(origin);
    }

    /// Sets what the name of an origin leads to. The transport checks it before anything is sent.
    ///
    /// # Panics
    /// There is no such origin.
    pub fn set_peer(&mut self, origin: &str, peer: Peer) {
        self.host_mut(origin).peer = peer;
    }

    /// The name leads here only after the transport's check: what a careless transport falls for.
    ///
    /// # Panics
    /// There is no such origin.
    pub fn rebind(&mut self, origin: &str, peer: Peer) {
        self.host_mut(origin).rebound = Some(peer);
    }

    /// What servers have seen, in order.
    pub fn exchanges(&self) -> &[Exchange] {
        &self.exchanges
    }

    /// What servers have seen with this method and this beginning of the URL.
    pub fn seen(&self, method: &str, url_prefix: &str) -> Vec<&Request> {
        let requests = self.exchanges.iter().map(|exchange| &exchange.request);
        requests.filter(|r| r.method == method && r.url.starts_with(url_prefix)).collect()
    }

    /// The origins to which the secret was sent in any form, see [`contains_secret`].
    pub fn who_was_told(&self, secret: &str) -> BTreeSet<String> {
        let requests = self.exchanges.iter().map(|exchange| &exchange.request);
        requests.filter(|r| contains_secret(&r.bytes(), secret)).map(Request::origin).collect()
    }

    /// Forgets what servers have seen.
    pub fn clear_log(&mut self) {
        self.exchanges.clear();
    }

    /// An exchange outside the engine, such as the host's own call of a tool. 502 from an origin that is not there.
    pub(crate) fn send(&mut self, request: Request, now: UnixMillis) -> Response {
        let mut response = Response::new(502);
        for server in self.hosts.get_mut(&request.origin()).into_iter().flat_map(|host| &mut host.servers) {
            response = server.handle(&request, now);
            if response.status != 404 {
                break;
            }
        }
        self.exchanges.push(Exchange { at: now, request, status: response.status });
        response
    }

    /// Carries out the effect; the second value is how long it took.
    pub(crate) fn exchange(
        &mut self,
        order: &HttpRequest,
        now: UnixMillis,
        fault: Option<HttpFault>,
    ) -> (HttpReply, u64) {
        check_contract(order);
        let request = Request::from(order);
        let peer = match (fault, self.hosts.get(&request.origin())) {
            (Some(HttpFault::NotSent(why)), _) => return (HttpReply::NotSent(why), 0),
            (Some(HttpFault::Lost { processed: false }), _) => {
                return (HttpReply::UnknownOutcome, order.timeout_ms);
            }
            (_, None) => return (HttpReply::NotSent(NotSent::Unreachable), 0),
            (_, Some(host)) => match host.peer {
                Peer::Address(address) if !order.address_policy.permits(address) => {
                    return (HttpReply::NotSent(NotSent::AddressRefused), 0);
                }
                peer => host.rebound.unwrap_or(peer),
            },
        };
        let response = self.send(request, now);
        if fault.is_some() || response.delay_ms >= order.timeout_ms {
            return (HttpReply::UnknownOutcome, order.timeout_ms);
        }
        let delay_ms = response.delay_ms;
        (HttpReply::Response(receive(response, order.max_response_bytes, peer)), delay_ms)
    }

    fn host_mut(&mut self, origin: &str) -> &mut Host {
        self.hosts.get_mut(origin).unwrap_or_else(|| panic!("nothing at `{origin}`"))
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("hosts", &self.hosts.keys()).finish_non_exhaustive()
    }
}

fn receive(mut response: Response, max_bytes: u32, peer: Peer) -> HttpResponse {
    let truncated = response.body.len() > max_bytes as usize;
    response.body.truncate(max_bytes as usize);
    let body = SecretBytes::new(response.body);
    HttpResponse { status: response.status, headers: response.headers, body, truncated, peer }
}

/// What every request of the engine must be like.
fn check_contract(order: &HttpRequest) {
    let url =
        url::Url::parse(&order.url).unwrap_or_else(|error| panic!("contract: `{}`: {error}", order.url));
    assert!(url.scheme() == "https" || url.scheme() == "http", "contract: `{url}` is not of the web");
    assert!(url.fragment().is_none() && order.url.is_ascii(), "contract: `{}` cannot be sent", order.url);
    assert!(url.username().is_empty() && url.password().is_none(), "contract: `{url}` has userinfo");
    assert!(order.max_response_bytes > 0 && order.timeout_ms > 0, "contract: no room or no time");
    assert!(order.method.as_str() != "GET" || order.body.expose().is_empty(), "contract: a GET with a body");
    let has = |name: &str| order.headers.iter().any(|header| header.name.eq_ignore_ascii_case(name));
    assert!(!has("host") && !has("content-length"), "contract: a header that belongs to the transport");
    let identity = order
        .headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("accept-encoding"))
        .all(|h| h.value.expose() == "identity");
    assert!(has("accept-encoding") && identity, "contract: `Accept-Encoding: identity` is missing");
    for header in &order.headers {
        let value = header.value.expose();
        let sound = value.bytes().all(|byte| matches!(byte, b' '..=b'~')) && value == value.trim();
        assert!(sound, "contract: the value of `{}` cannot be sent", header.name);
    }
}

fn address_of(origin: &str) -> IpAddr {
    let parsed = url::Url::parse(origin).unwrap_or_else(|error| panic!("`{origin}` is no origin: {error}"));
    assert!(parsed.origin().ascii_serialization() == origin, "`{origin}` is no origin");
    match parsed.host() {
        Some(url::Host::Ipv4(address)) => address.into(),
        Some(url::Host::Ipv6(address)) => address.into(),
        Some(url::Host::Domain(name)) if name == "localhost" || name.ends_with(".localhost") => {
            Ipv4Addr::LOCALHOST.into()
        }
        // A public address: those for documentation are refused by the address policy.
        _ => Ipv4Addr::new(93, 184, 216, 34).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grantway_core::address::AddressPolicy;
    use grantway_core::operation::{Header, Method};
    use grantway_core::secret::Secret;

    fn order(url: &str) -> HttpRequest {
        HttpRequest {
            method: Method::Get,
            url: url.into(),
            headers: vec![Header { name: "Accept-Encoding".into(), value: Secret::new("identity") }],
            body: SecretBytes::default(),
            max_response_bytes: 4,
            timeout_ms: 100,
            start_within_ms: 100,
            address_policy: AddressPolicy::Public,
        }
    }

    fn network() -> Network {
        let mut network = Network::default();
        network.host("https://a.example", |_: &Request, _: UnixMillis| Response::html(200, "hello"));
        network
    }

    fn exchange(network: &mut Network, url: &str, fault: Option<HttpFault>) -> HttpReply {
        network.exchange(&order(url), UnixMillis(1), fault).0
    }

    #[test]
    fn nothing_is_sent_to_unknown_hosts_and_forbidden_addresses() {
        let mut network = network();
        network.host("http://127.0.0.1:8080", |_: &Request, _: UnixMillis| Response::new(200));
        let unknown = exchange(&mut network, "https://b.example/", None);
        assert!(matches!(unknown, HttpReply::NotSent(NotSent::Unreachable)));
        let loopback = exchange(&mut network, "http://127.0.0.1:8080/", None);
        assert!(matches!(loopback, HttpReply::NotSent(NotSent::AddressRefused)));
        assert!(network.exchanges().is_empty());
    }

    #[test]
    fn a_rebound_name_passes_the_transport_and_shows_the_true_peer() {
        let mut network = network();
        let inside = Peer::Address(Ipv4Addr::LOCALHOST.into());
        network.rebind("https://a.example", inside);
        let reply = exchange(&mut network, "https://a.example/", None);
        assert!(matches!(reply, HttpReply::Response(response) if response.peer == inside));
    }

    #[test]
    fn a_lost_exchange_may_or_may_not_be_seen_by_the_server() {
        let mut network = network();
        for (processed, seen) in [(false, 0), (true, 1)] {
            let reply = exchange(&mut network, "https://a.example/", Some(HttpFault::Lost { processed }));
            assert!(matches!(reply, HttpReply::UnknownOutcome));
            assert_eq!(network.exchanges().len(), seen);
        }
    }

    #[test]
    fn an_answer_after_the_timeout_is_an_unknown_outcome() {
        let mut network = Network::default();
        network.host("https://a.example", |_: &Request, _: UnixMillis| Response::new(200).delayed(100));
        let (reply, took) = network.exchange(&order("https://a.example/"), UnixMillis(1), None);
        assert!(matches!(reply, HttpReply::UnknownOutcome));
        assert_eq!((took, network.exchanges().len()), (100, 1));
    }

    #[test]
    fn the_first_server_that_knows_the_path_answers() {
        let mut network = Network::default();
        network.host("https://a.example", |_: &Request, _: UnixMillis| Response::new(404));
        network.host("https://a.example", |_: &Request, _: UnixMillis| Response::new(204));
        assert_eq!(network.send(Request::get("https://a.example/x"), UnixMillis(1)).status, 204);
    }

    #[test]
    fn a_secret_that_was_sent_is_found() {
        let mut network = network();
        let request = Request::post_form("https://a.example/x", &[("token", "a secret/1")]);
        network.send(request, UnixMillis(1));
        assert_eq!(network.who_was_told("a secret/1"), ["https://a.example".to_owned()].into());
        assert!(network.who_was_told("a secret/2").is_empty());
        assert_eq!(network.seen("POST", "https://a.example/x").len(), 1);
    }

    #[test]
    fn a_long_body_is_cut_and_said_to_be() {
        let reply = exchange(&mut network(), "https://a.example/x", None);
        let HttpReply::Response(response) = reply else { panic!("{reply:?}") };
        assert!(response.truncated);
        assert_eq!(response.body.expose(), b"hell");
    }
}
