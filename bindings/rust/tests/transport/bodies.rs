//! What is received, and how much of it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use grantway_core::operation::{HttpReply, Peer};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::{SECOND, Server, exchange, get, read_request, response, write};

//= spec/mcp-best-practices.md#server-side-request-forgery-ssrf
//= type=test
//# Redirects SHOULD NOT be followed on their own, since every hop would need the whole check (NET-04, U).
#[tokio::test]
async fn a_redirect_is_the_answer() {
    // atk:NET-05
    for status in [301, 302, 303, 307, 308] {
        let target = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let server = Server::answering(format!(
            "HTTP/1.1 {status} Elsewhere\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
            target.url()
        ))
        .await;
        let response = response(exchange(get(server.url())).await);
        assert_eq!(response.status, status);
        assert_eq!(response.headers[0], ("location".to_owned(), target.url()));
        assert_eq!((server.connections(), target.connections()), (1, 0));
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_while_it_streams() {
    // atk:NET-09
    let (seen, mut ends) = mpsc::unbounded_channel();
    let server = Server::start(move |mut tcp| {
        let seen = seen.clone();
        async move {
            read_request(&mut tcp).await;
            write(&mut tcp, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            let mut written = 0_usize;
            while tcp.write_all(format!("400\r\n{}\r\n", "x".repeat(1024)).as_bytes()).await.is_ok() {
                written += 1024;
            }
            seen.send(written).unwrap();
        }
    })
    .await;
    let mut request = get(server.url());
    request.max_response_bytes = 10_000;
    let response = response(exchange(request).await);
    assert!(response.truncated);
    assert_eq!(response.body.expose(), [b'x'; 10_000]);
    timeout(10 * SECOND, ends.recv()).await.expect("the connection is closed, the rest unread");
}

// atk:NET-09
#[tokio::test]
async fn a_body_is_cut_exactly_beyond_the_limit() {
    for (length, truncated) in [(9, false), (10, false), (11, true)] {
        let body = "y".repeat(length);
        let server =
            Server::answering(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")).await;
        let mut request = get(server.url());
        request.max_response_bytes = 10;
        let response = response(exchange(request).await);
        assert_eq!(response.truncated, truncated);
        assert_eq!(response.body.expose().len(), length.min(10));
    }
}

#[tokio::test]
async fn a_slow_body_leaves_the_outcome_unknown_at_the_deadline() {
    // atk:NET-09
    let server = Server::start(|mut tcp| async move {
        read_request(&mut tcp).await;
        write(&mut tcp, "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
        while tcp.write_all(b"z").await.is_ok() {
            sleep(SECOND / 20).await;
        }
    })
    .await;
    let begun = Instant::now();
    let mut request = get(server.url());
    request.timeout_ms = 2_000;
    let reply = exchange(request).await;
    assert!(matches!(reply, HttpReply::UnknownOutcome), "{reply:?}");
    assert!(begun.elapsed() < 10 * SECOND);
}

#[tokio::test]
async fn half_a_response_leaves_the_outcome_unknown() {
    for half in [
        "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"access_token\"",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\ncontent-",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        let server = Server::answering(half).await;
        let reply = exchange(get(server.url())).await;
        assert!(matches!(reply, HttpReply::UnknownOutcome), "{half}: {reply:?}");
    }
}

#[tokio::test]
async fn headers_beyond_the_limit_leave_the_outcome_unknown() {
    // atk:NET-09
    for (length, read) in [(60 * 1024, true), (200 * 1024, false)] {
        let long = "a".repeat(length);
        let server =
            Server::answering(format!("HTTP/1.1 200 OK\r\na: {long}\r\ncontent-length: 0\r\n\r\n")).await;
        let reply = exchange(get(server.url())).await;
        assert_eq!(matches!(reply, HttpReply::Response(_)), read);
        assert_eq!(matches!(reply, HttpReply::UnknownOutcome), !read);
    }
}

#[tokio::test]
async fn an_encoded_body_is_not_decoded() {
    // atk:NET-11
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0, 0x43, 0xbf, 0xa6, 0xa3, 2, 0, 0, 0];
    let mut answer = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 22\r\n\r\n".to_vec();
    answer.extend(gzip);
    let server = Server::answering(answer).await;
    let response = response(exchange(get(server.url())).await);
    assert_eq!(response.body.expose(), gzip);
    assert!(response.headers.contains(&("content-encoding".to_owned(), "gzip".to_owned())));
}

#[tokio::test]
async fn repeated_headers_are_kept_and_unreadable_ones_are_still_there() {
    let mut answer = b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic\r\nx: caf".to_vec();
    answer.push(0xe9);
    answer.extend(b"\r\nwww-authenticate: Bearer\r\ncontent-length: 0\r\n\r\n");
    let server = Server::answering(answer).await;
    let response = response(exchange(get(server.url())).await);
    assert_eq!(response.status, 401);
    let values = |name| {
        let named = response.headers.iter().filter(move |(have, _)| have == name);
        named.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(values("www-authenticate"), ["Basic", "Bearer"]);
    assert_eq!(values("x"), ["caf\u{fffd}"]);
}

#[tokio::test]
async fn a_response_names_the_address_it_came_from() {
    let server = Server::answering("HTTP/1.0 200 OK\r\n\r\nuntil the end").await;
    let response = response(exchange(get(server.url())).await);
    assert_eq!(response.peer, Peer::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    assert_eq!(response.body.expose(), b"until the end");
}
