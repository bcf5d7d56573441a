//! Which addresses are connected to.

use grantway::transport::{Hyper, Transport};
use grantway_core::address::{AddressPolicy, Cidr};
use grantway_core::operation::{HttpReply, NotSent};

use super::{Names, Server, get, response};

async fn assert_refused(transport: &Hyper, url: &str, policy: AddressPolicy) {
    let mut request = get(url);
    request.address_policy = policy;
    let reply = transport.exchange(request).await;
    assert!(matches!(reply, HttpReply::NotSent(NotSent::AddressRefused)), "{url}: {reply:?}");
}

async fn server() -> Server {
    Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await
}

#[tokio::test]
async fn loopback_is_refused_under_public_in_every_spelling() {
    // atk:NET-01, atk:NET-02, atk:NET-03
    let server = server().await;
    let transport = Hyper::new().unwrap();
    for scheme in ["http", "https"] {
        for host in ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.0.0.1."] {
            let url = format!("{scheme}://{host}:{}/", server.port);
            assert_refused(&transport, &url, AddressPolicy::Public).await;
        }
        for host in ["[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[::]"] {
            let url = format!("{scheme}://{host}:{}/", server.port);
            assert_refused(&transport, &url, AddressPolicy::Public).await;
        }
    }
    assert_eq!(server.connections(), 0);
}

//= spec/mcp-best-practices.md#server-side-request-forgery-ssrf
//= type=test
//# Private and reserved ranges, in any spelling, SHOULD be refused on the resolved address, and the address
//# checked be the one connected to (NET-03, U).
#[tokio::test]
async fn a_name_that_leads_to_a_forbidden_address_is_refused() {
    // atk:NET-04
    let server = server().await;
    let url = format!("https://rebound.example:{}/", server.port);
    for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0"] {
        let transport = Hyper::new().unwrap().with_resolver(Names::new(&[&[address]]));
        assert_refused(&transport, &url, AddressPolicy::Public).await;
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn the_resolver_of_the_system_is_not_trusted_either() {
    let server = server().await;
    let url = format!("https://localhost:{}/", server.port);
    assert_refused(&Hyper::new().unwrap(), &url, AddressPolicy::Public).await;
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_name_is_looked_up_and_checked_for_every_exchange() {
    // atk:NET-04
    let server = server().await;
    let names = Names::new(&[&["127.0.0.1"], &["169.254.169.254"]]);
    let transport = Hyper::new().unwrap().with_resolver(names);
    let url = format!("http://rebound.example:{}/", server.port);
    assert_eq!(response(transport.exchange(get(&*url)).await).status, 200);
    assert_refused(&transport, &url, AddressPolicy::Loopback).await;
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn of_several_addresses_only_the_permitted_ones_are_used() {
    let server = server().await;
    let names = Names::new(&[&["169.254.169.254", "10.0.0.1", "127.0.0.1", "fe80::1"]]);
    let transport = Hyper::new().unwrap().with_resolver(names);
    let url = format!("http://mixed.example:{}/", server.port);
    assert_eq!(response(transport.exchange(get(url)).await).status, 200);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn an_address_that_does_not_answer_leaves_the_others_their_turn() {
    let server = server().await;
    // Only the second has a listener.
    let transport = Hyper::new().unwrap().with_resolver(Names::new(&[&["127.0.0.2", "127.0.0.1"]]));
    let url = format!("http://several.example:{}/", server.port);
    assert_eq!(response(transport.exchange(get(url)).await).status, 200);
}

#[tokio::test]
async fn plain_http_reaches_loopback_only() {
    let policy = || AddressPolicy::Allow(vec![Cidr::parse("10.0.0.0/8").unwrap()]);
    assert_refused(&Hyper::new().unwrap(), "http://10.0.0.1/", policy()).await;
    assert_refused(&Hyper::new().unwrap(), "http://93.184.215.14/", AddressPolicy::Public).await;
    let transport = Hyper::new().unwrap().with_resolver(Names::new(&[&["10.0.0.1", "93.184.215.14"]]));
    assert_refused(&transport, "http://plain.example/", policy()).await;
}
