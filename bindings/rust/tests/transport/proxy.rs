//! Exchanges through a configured proxy.

use grantway::transport::{Hyper, Transport};
use grantway_core::address::AddressPolicy;
use grantway_core::operation::{HttpReply, NotSent, Peer};
use tokio::sync::mpsc;

use super::tls::Identity;
use super::{Server, get, read_request, response, write};

/// A proxy that behaves, and is the server behind it as well.
async fn proxy(identity: &Identity) -> (Server, mpsc::UnboundedReceiver<String>) {
    let acceptor = identity.acceptor.clone();
    let (seen, requests) = mpsc::unbounded_channel();
    let server = Server::start(move |mut tcp| {
        let (acceptor, seen) = (acceptor.clone(), seen.clone());
        async move {
            seen.send(read_request(&mut tcp).await).unwrap();
            write(&mut tcp, "HTTP/1.1 200 Connected\r\n\r\n").await;
            let mut tls = acceptor.accept(tcp).await.unwrap();
            seen.send(read_request(&mut tls).await).unwrap();
            write(&mut tls, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    })
    .await;
    (server, requests)
}

#[tokio::test]
async fn a_configured_proxy_is_given_the_name_and_nothing_else() {
    let identity = Identity::new("issuer.example");
    let (server, mut requests) = proxy(&identity).await;
    let transport =
        identity.trusting().with_proxy(&format!("http://me:p%40ss@127.0.0.1:{}", server.port)).unwrap();
    let mut request = get("https://issuer.example/token");
    request.address_policy = AddressPolicy::Public;
    assert_eq!(response(transport.exchange(request).await).peer, Peer::ViaProxy);
    assert_eq!(
        requests.recv().await.unwrap(),
        "CONNECT issuer.example:443 HTTP/1.1\r\nHost: issuer.example:443\r\n\
         Proxy-Authorization: Basic bWU6cEBzcw==\r\n\r\n"
    );
    assert_eq!(
        requests.recv().await.unwrap(),
        "GET /token HTTP/1.1\r\nhost: issuer.example\r\nconnection: close\r\n\r\n"
    );
}

#[tokio::test]
async fn a_forbidden_address_is_not_asked_of_a_proxy() {
    let server = Server::answering("HTTP/1.1 200 Connected\r\n\r\n").await;
    let transport = Hyper::new().unwrap().with_proxy(&server.url()).unwrap();
    for host in ["169.254.169.254", "127.0.0.1", "[::ffff:10.0.0.1]"] {
        let mut request = get(format!("https://{host}/"));
        request.address_policy = AddressPolicy::Public;
        let reply = transport.exchange(request).await;
        assert!(matches!(reply, HttpReply::NotSent(NotSent::AddressRefused)), "{host}: {reply:?}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_proxy_that_refuses_has_sent_nothing() {
    for answer in
        ["HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "HTTP/1.1 502 Bad Gateway\r\n\r\n", ""]
    {
        let server = Server::answering(answer).await;
        let transport = Hyper::new().unwrap().with_proxy(&server.url()).unwrap();
        let reply = transport.exchange(get("https://issuer.example/")).await;
        assert!(matches!(reply, HttpReply::NotSent(NotSent::Unreachable)), "{answer}: {reply:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_hangs_is_too_late() {
    let server = Server::start(|mut tcp| async move {
        read_request(&mut tcp).await;
        std::future::pending().await
    })
    .await;
    let transport = Hyper::new().unwrap().with_proxy(&server.url()).unwrap();
    let mut request = get("https://issuer.example/");
    request.start_within_ms = 200;
    let reply = transport.exchange(request).await;
    assert!(matches!(reply, HttpReply::NotSent(NotSent::TooLate)), "{reply:?}");
}

#[tokio::test]
async fn plain_http_on_this_machine_goes_past_the_proxy() {
    let proxy = Server::answering("HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let transport = Hyper::new().unwrap().with_proxy(&proxy.url()).unwrap();
    assert_eq!(response(transport.exchange(get(server.url())).await).status, 200);
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn a_refused_proxy_is_named_without_its_password() {
    for url in ["socks5://me:hunter2@h:1", "https://me:hunter2@h:1", "me:hunter2@h:1", "http://:hunter2@"] {
        let error = Hyper::new().unwrap().with_proxy(url).unwrap_err();
        assert_eq!(error.field(), "proxy");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}: {error:?}");
    }
    let transport = Hyper::new().unwrap().with_proxy("http://me:hunter2@127.0.0.1:1").unwrap();
    assert!(!format!("{transport:?}").contains("hunter2"));
    let reply = transport.exchange(get("https://issuer.example/")).await;
    assert!(!format!("{reply:?}").contains("hunter2"));
}
