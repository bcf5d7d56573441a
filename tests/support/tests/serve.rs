//! The same issuer and MCP server over real loopback HTTP.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use grantway_testing::serve::{Listener, Serving, now};
use grantway_testing::{AuthMethod, Endpoint, Issuer, McpServer, Request, Response, rpc};
use serde_json::json;

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// One request on a connection of its own.
fn send(request: &Request) -> std::io::Result<Response> {
    let at = request.url.strip_prefix("http://").unwrap();
    let (host, path) = at.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host)?;
    write!(stream, "{} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n", request.method)?;
    write!(stream, "Content-Length: {}\r\n", request.body.len())?;
    for (name, value) in &request.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(&request.body)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(ErrorKind::UnexpectedEof)?;
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let response = Response::new(status).body(body);
    Ok(lines
        .filter_map(|line| line.split_once(": "))
        .fold(response, |r, (name, value)| r.header(name, value)))
}

fn authorize_url(issuer: &Issuer, mcp: &McpServer) -> String {
    let resource = mcp.url();
    let parameters = [
        ("response_type", "code"),
        ("client_id", "ours"),
        ("redirect_uri", "http://127.0.0.1:1/callback"),
        ("state", "s"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("resource", &resource),
    ];
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    format!("{}?{query}", issuer.endpoint(Endpoint::Authorize))
}

fn pair() -> (Issuer, Serving, McpServer, Serving) {
    let (issuer, serving_issuer) = Serving::issuer().unwrap();
    let (mcp, serving_mcp) = Serving::mcp(&issuer).unwrap();
    issuer.register_static("ours", None, AuthMethod::None, &["http://127.0.0.1/callback"]);
    (issuer, serving_issuer, mcp, serving_mcp)
}

#[test]
fn a_user_signs_in_by_the_page_and_calls_a_tool() {
    let (issuer, _issuer, mcp, _mcp) = pair();
    let url = authorize_url(&issuer, &mcp);
    let page = send(&Request::get(&url)).unwrap();
    assert_eq!(page.status, 200);
    let answer = send(&Request::post_form(&url, &[("user", "bob")])).unwrap();
    assert_eq!(answer.status, 303);
    let callback = answer.one("location").unwrap();
    assert!(callback.starts_with("http://127.0.0.1:1/callback?code="), "{callback}");
    let code = callback.split_once("code=").unwrap().1.split_once('&').unwrap().0;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("client_id", "ours"),
        ("redirect_uri", "http://127.0.0.1:1/callback"),
        ("code_verifier", VERIFIER),
        ("resource", &mcp.url()),
    ];
    let tokens = send(&Request::post_form(&issuer.endpoint(Endpoint::Token), &form)).unwrap().value();
    let token = tokens["access_token"].as_str().unwrap();
    assert_eq!(issuer.live_token(token, now()).unwrap().user, "bob");
    let call = Request::post_json(&mcp.url(), &rpc("tools/call", json!({ "name": "whoami" })));
    let said = send(&call.header("Authorization", &format!("Bearer {token}"))).unwrap().value();
    assert_eq!(said["result"]["content"][0]["text"], "bob");
}

#[test]
fn who_is_signed_in_approves_at_once() {
    let (issuer, _issuer, mcp, _mcp) = pair();
    issuer.behave(|b| b.signed_in = Some("alice".into()));
    let answer = send(&Request::get(&authorize_url(&issuer, &mcp))).unwrap();
    assert_eq!(answer.status, 302);
    assert!(answer.one("location").unwrap().contains("&state=s&iss=http%3A%2F%2F127.0.0.1"));
    let bad = authorize_url(&issuer, &mcp).replace("client_id=ours", "client_id=%3Cb%3E");
    let refused = send(&Request::get(&bad)).unwrap();
    assert_eq!((refused.status, refused.one("location")), (400, None));
    assert!(refused.body.ends_with(b"client `&#60;b&#62;` is unknown"));
}

#[test]
fn the_user_may_deny_on_the_page() {
    let (issuer, _issuer, mcp, _mcp) = pair();
    let url = authorize_url(&issuer, &mcp);
    let answer = send(&Request::post_form(&url, &[("user", "bob"), ("deny", "1")])).unwrap();
    assert!(answer.one("location").unwrap().contains("error=access_denied"));
}

#[test]
fn a_dropped_server_is_gone_and_its_port_can_be_bound_again() {
    let (issuer, serving) = Serving::issuer().unwrap();
    let metadata = Request::get(&issuer.endpoint(Endpoint::Metadata));
    assert_eq!(send(&metadata).unwrap().value()["issuer"], serving.url());
    let port = serving.url().rsplit_once(':').unwrap().1.parse().unwrap();
    drop(serving);
    assert!(send(&metadata).is_err());
    let _again = Listener::bind_to(port).unwrap().serve(vec![Box::new(issuer)]);
    assert_eq!(send(&metadata).unwrap().status, 200);
}

#[test]
fn a_slow_answer_holds_up_no_other() {
    let listener = Listener::bind().unwrap();
    let (slow, fast) = (format!("{}/slow", listener.url()), format!("{}/fast", listener.url()));
    let server =
        |request: &Request, _| Response::new(204).delayed(if request.path() == "/slow" { 60_000 } else { 0 });
    let serving = listener.serve(vec![Box::new(server)]);
    let start = Instant::now();
    let waiting = std::thread::spawn(move || send(&Request::get(&slow)).is_err());
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(send(&Request::get(&fast)).unwrap().status, 204);
    drop(serving);
    assert!(waiting.join().unwrap(), "a dropped server answered");
    assert!(start.elapsed() < Duration::from_secs(30));
}
