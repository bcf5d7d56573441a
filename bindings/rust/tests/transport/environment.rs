//! What the environment does not change.

use std::process::Command;

use tokio::net::TcpListener;

use super::{Server, exchange, get, response};

const CHILD: &str = "GRANTWAY_TEST_CHILD";

#[test]
fn a_proxy_in_the_environment_is_ignored() {
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "environment::an_exchange_with_a_loopback_server_succeeds"]).env(CHILD, "1");
    for name in ["http_proxy", "https_proxy", "all_proxy"] {
        child.env(name, &url).env(name.to_uppercase(), &url);
    }
    let output = child.env_remove("no_proxy").env_remove("NO_PROXY").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert!(proxy.accept().is_err(), "the proxy was asked");
}

/// Plain, and over TLS as far as its first record: both reach the server itself.
#[tokio::test]
async fn an_exchange_with_a_loopback_server_succeeds() {
    let server = Server::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(response(exchange(get(server.url())).await).status, 204);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let (reply, accepted) = tokio::join!(exchange(get(url)), async { listener.accept().await.map(drop) });
    assert!(matches!(reply, grantway_core::operation::HttpReply::NotSent(_)), "{reply:?}");
    accepted.unwrap();
}
