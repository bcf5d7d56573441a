//! What the router makes of requests, as they are on the wire.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use grantway_testing::serve::Browser;

use crate::stand::Stand;

/// Sends bytes as they are; what comes back until the server closes the connection.
fn raw(stand: &Stand, request: &str) -> String {
    let mut stream = TcpStream::connect(stand.base.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // What is left unread of a request ends the connection with a reset, after the answer.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> &str {
    answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap_or("none")
}

const FORM: &str = "Host: h\r\nContent-Type: application/x-www-form-urlencoded\r\n";

#[test]
fn a_body_that_is_too_long_is_refused_and_not_read_on() {
    let stand = Stand::new();
    // Announced: it is not waited for.
    let announced = raw(&stand, &format!("POST /token HTTP/1.1\r\n{FORM}Content-Length: 65537\r\n\r\na=b"));
    assert_eq!(status(&announced), "413", "{announced}");
    assert!(announced.to_ascii_lowercase().contains("connection: close"), "{announced}");
    // Not announced: the end never comes, and is not waited for either.
    let chunk = format!("8000\r\n{}\r\n", "a".repeat(0x8000));
    let head = format!("POST /token HTTP/1.1\r\n{FORM}Transfer-Encoding: chunked\r\n\r\n");
    let chunked = raw(&stand, &format!("{head}{}", chunk.repeat(3)));
    assert_eq!(status(&chunked), "413", "{chunked}");
    // The longest that is taken.
    let body = format!("a={}", "b".repeat(64 * 1024 - 2));
    let longest = raw(
        &stand,
        &format!(
            "POST /token HTTP/1.1\r\n{FORM}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    assert_eq!(status(&longest), "400", "{longest}");
    assert!(longest.contains("\"error\""), "{longest}");
}

#[test]
fn the_answer_to_head_has_the_headers_of_get_and_no_body() {
    let stand = Stand::new();
    let ask = |method: &str| {
        let path = "/.well-known/oauth-authorization-server";
        raw(&stand, &format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"))
    };
    let (get, head) = (ask("GET"), ask("HEAD"));
    let length = |answer: &str| {
        let lines = answer.to_ascii_lowercase();
        let line = lines.lines().find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned));
        line.and_then(|line| line.parse::<usize>().ok())
    };
    let body = |answer: &str| answer.split_once("\r\n\r\n").unwrap().1.len();
    assert_eq!((status(&get), status(&head)), ("200", "200"));
    assert_eq!(length(&get), Some(body(&get)));
    assert_eq!((length(&head), body(&head)), (length(&get), 0));
}

#[test]
fn what_is_no_route_of_the_gateway_is_the_hosts() {
    let stand = Stand::new();
    let mut browser = Browser::default();
    let mut get = |path: &str| browser.send("GET", &stand.url(path), &[], "").unwrap();
    assert_eq!(get("/mine").body, "the host's own");
    for path in [
        "/",
        "/consent",
        "/authorize/",
        "/connectx",
        "/.well-known/oauth-protected-resource",
        "/consent/a/b/c",
    ] {
        let answer = get(path);
        assert_eq!((answer.status, answer.body.as_str()), (404, "the host's own 404"), "{path}");
    }
    // A path of the gateway's is answered by it, whatever the method.
    assert_eq!(get("/token").status, 405);
    assert_eq!(browser.send("PUT", &stand.url("/authorize"), &[], "").unwrap().status, 405);
    assert_eq!(browser.send("GET", &stand.url("/connect/unknown"), &[], "").unwrap().status, 403);
}

#[test]
fn a_page_keeps_the_headers_that_protect_it() {
    let stand = Stand::new();
    let page = Browser::default().send("GET", &stand.url("/connections"), &[], "").unwrap();
    assert_eq!(page.status, 403);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(page.header("x-frame-options"), Some("DENY"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("access-control-allow-origin"), None);
}

#[test]
fn a_connection_outlives_a_refused_request_whose_body_comes_late() {
    let stand = Stand::new();
    let mut stream = TcpStream::connect(stand.base.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // As many clients send it: the body after the headers, in a packet of its own. Then the next request on the same connection.
    for request in ["the first", "the next"] {
        stream.write_all(b"POST /mcp HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n").unwrap();
        std::thread::sleep(Duration::from_millis(50));
        stream.write_all(b"{}").unwrap_or_else(|error| panic!("{request}: {error}"));
        let mut answer = [0; 4096];
        let read = stream.read(&mut answer).unwrap();
        assert_eq!(status(&String::from_utf8_lossy(&answer[..read])), "401", "{request}");
    }
}

#[test]
fn a_body_without_an_end_does_not_keep_a_refused_request() {
    let stand = Stand::new();
    let chunk = format!("8000\r\n{}\r\n", "a".repeat(0x8000));
    let head = "POST /mcp HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = raw(&stand, &format!("{head}{}", chunk.repeat(3)));
    assert_eq!(status(&answer), "401", "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
}
