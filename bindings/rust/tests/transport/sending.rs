//! What is sent, and whether it was.

use std::sync::Arc;
use std::time::Instant;

use grantway::transport::{Hyper, Transport};
use grantway_core::operation::{HttpReply, NotSent};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::{Names, SECOND, Server, Silence, exchange, get, post, read_request, read_rest, response, write};

#[tokio::test]
async fn a_request_arrives_as_it_was_written_and_nothing_is_added() {
    let (seen, mut requests) = mpsc::unbounded_channel();
    let server = Server::start(move |mut tcp| {
        let seen = seen.clone();
        async move {
            seen.send(read_request(&mut tcp).await).unwrap();
            write(&mut tcp, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    })
    .await;
    let url = format!("{}token?a=%2F&b", server.url());
    let headers = [("authorization", "Basic eDp5"), ("x-twice", "1"), ("x-twice", "2")];
    response(exchange(post(url, &headers, b"grant_type=x".to_vec())).await);
    let expected = format!(
        "POST /token?a=%2F&b HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\n\
         authorization: Basic eDp5\r\nx-twice: 1\r\nx-twice: 2\r\ncontent-length: 12\r\n\r\ngrant_type=x",
        server.port
    );
    assert_eq!(requests.recv().await.unwrap(), expected);
}

#[tokio::test]
async fn exchanges_share_neither_connections_nor_cookies() {
    let (seen, mut requests) = mpsc::unbounded_channel();
    let server = Server::start(move |mut tcp| {
        let seen = seen.clone();
        async move {
            seen.send(read_request(&mut tcp).await).unwrap();
            write(&mut tcp, "HTTP/1.1 200 OK\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n").await;
            sleep(SECOND).await;
        }
    })
    .await;
    let transport = Hyper::new().unwrap();
    for _ in 0..2 {
        response(transport.exchange(get(server.url())).await);
        assert!(!requests.recv().await.unwrap().contains("cookie"));
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_refused_connection_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let reply = exchange(get(format!("http://127.0.0.1:{port}/"))).await;
    assert!(matches!(reply, HttpReply::NotSent(NotSent::Unreachable)), "{reply:?}");
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_not_sent() {
    for names in [Names::unknown(), Names::new(&[&[]])] {
        let transport = Hyper::new().unwrap().with_resolver(names);
        let reply = transport.exchange(get("https://nowhere.example/")).await;
        assert!(matches!(reply, HttpReply::NotSent(NotSent::Unreachable)), "{reply:?}");
    }
}

#[tokio::test]
async fn a_header_or_a_url_that_cannot_be_sent_is_not_sent() {
    let server = Server::answering("HTTP/1.1 200 OK\r\n\r\n").await;
    for request in [
        post(server.url(), &[("a", "b\r\nc: d")], Vec::new()),
        post(server.url(), &[("a b", "c")], Vec::new()),
        get("not a url"),
        get(server.url().replace("http:", "ftp:")),
    ] {
        let reply = exchange(request).await;
        assert!(matches!(reply, HttpReply::NotSent(NotSent::Unreachable)), "{reply:?}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_connection_closed_after_the_request_leaves_the_outcome_unknown() {
    let server = Server::start(|mut tcp| async move {
        read_request(&mut tcp).await;
    })
    .await;
    let reply = exchange(post(server.url(), &[], b"code=x".to_vec())).await;
    assert!(matches!(reply, HttpReply::UnknownOutcome), "{reply:?}");
    assert_eq!(server.connections(), 1, "nothing is repeated");
}

#[tokio::test]
async fn a_response_that_does_not_come_leaves_the_outcome_unknown_at_the_deadline() {
    let server = Server::start(|mut tcp| async move {
        read_request(&mut tcp).await;
        std::future::pending().await
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
async fn a_name_looked_up_too_slowly_is_too_late() {
    let begun = Instant::now();
    let transport = Hyper::new().unwrap().with_resolver(Silence);
    let mut request = get("https://slow.example/");
    request.start_within_ms = 100;
    let reply = transport.exchange(request).await;
    assert!(matches!(reply, HttpReply::NotSent(NotSent::TooLate)), "{reply:?}");
    assert!(begun.elapsed() < 10 * SECOND);
}

#[tokio::test]
async fn the_time_to_start_counts_from_the_call() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let mut request = get(server.url());
    request.start_within_ms = 100;
    let transport = Hyper::new().unwrap();
    let exchange = transport.exchange(request);
    sleep(SECOND / 5).await;
    let reply = exchange.await;
    assert!(matches!(reply, HttpReply::NotSent(NotSent::TooLate)), "{reply:?}");
}

#[tokio::test]
async fn a_handshake_that_hangs_is_too_late_and_nothing_of_the_request_has_left() {
    let begun = Instant::now();
    let (seen, mut bytes) = mpsc::unbounded_channel();
    let server = Server::start(move |mut tcp| {
        let seen = seen.clone();
        async move { seen.send(read_rest(&mut tcp).await.0).unwrap() }
    })
    .await;
    let mut request = get(server.url().replace("http:", "https:"));
    request.start_within_ms = 2_000;
    let reply = exchange(request).await;
    assert!(matches!(reply, HttpReply::NotSent(NotSent::TooLate)), "{reply:?}");
    assert!(begun.elapsed() < 10 * SECOND);
    let bytes = bytes.recv().await.unwrap();
    // One TLS record, a handshake, and nothing after it.
    assert_eq!(bytes.first(), Some(&22));
    assert_eq!(bytes.len(), 5 + usize::from(u16::from_be_bytes([bytes[3], bytes[4]])));
}

#[tokio::test]
async fn a_deadline_before_the_first_byte_is_not_sent() {
    let transport = Hyper::new().unwrap().with_resolver(Silence);
    let mut request = get("https://slow.example/");
    request.timeout_ms = 100;
    let reply = transport.exchange(request).await;
    assert!(matches!(reply, HttpReply::NotSent(NotSent::Unreachable)), "{reply:?}");
}

#[tokio::test]
async fn no_time_to_start_sends_nothing() {
    let (seen, mut bytes) = mpsc::unbounded_channel();
    let server = Server::start(move |mut tcp| {
        let seen = seen.clone();
        async move { seen.send(read_rest(&mut tcp).await.0).unwrap() }
    })
    .await;
    let mut request = get(server.url());
    request.start_within_ms = 0;
    let reply = exchange(request).await;
    assert!(matches!(reply, HttpReply::NotSent(NotSent::TooLate)), "{reply:?}");
    // It may have come to a connection, never to a byte.
    if let Ok(bytes) = timeout(SECOND, bytes.recv()).await {
        assert_eq!(bytes.unwrap(), b"");
    }
}

#[tokio::test]
async fn a_request_that_began_in_time_may_take_longer() {
    let server = Server::start(|mut tcp| async move {
        read_request(&mut tcp).await;
        sleep(3 * SECOND).await;
        write(&mut tcp, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    let mut request = get(server.url());
    request.start_within_ms = 2_000;
    assert_eq!(response(exchange(request).await).status, 200);
}

#[tokio::test]
async fn what_has_not_left_by_the_deadline_never_does() {
    let (seen, mut ends) = mpsc::unbounded_channel();
    let late = Arc::new(tokio::sync::Notify::new());
    let reader = Arc::clone(&late);
    let server = Server::start(move |mut tcp| {
        let (seen, reader) = (seen.clone(), Arc::clone(&reader));
        async move {
            reader.notified().await;
            seen.send(read_rest(&mut tcp).await).unwrap();
        }
    })
    .await;
    // More than the buffers of both kernels take.
    let length = 64 * 1024 * 1024;
    let mut request = post(server.url(), &[], vec![b'x'; length]);
    request.timeout_ms = 5_000;
    let reply = exchange(request).await;
    assert!(matches!(reply, HttpReply::UnknownOutcome), "{reply:?}");
    late.notify_one();
    let (bytes, end) = ends.recv().await.unwrap();
    assert!(bytes.len() < length);
    assert!(end.is_err(), "the connection was reset, not ended in good order");
}

#[tokio::test]
async fn a_dropped_exchange_closes_its_connection() {
    let (seen, mut ends) = mpsc::unbounded_channel();
    let server = Server::start(move |mut tcp| {
        let seen = seen.clone();
        async move {
            read_request(&mut tcp).await;
            seen.send("read").unwrap();
            assert!(!matches!(tcp.read(&mut [0; 16]).await, Ok(1..)));
            seen.send("closed").unwrap();
        }
    })
    .await;
    let url = server.url();
    let exchange = tokio::spawn(async move { exchange(get(url)).await });
    assert_eq!(ends.recv().await, Some("read"));
    exchange.abort();
    assert_eq!(timeout(10 * SECOND, ends.recv()).await.unwrap(), Some("closed"));
}
