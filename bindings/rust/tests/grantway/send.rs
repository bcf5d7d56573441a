//! Calls through the host's own HTTP client.

use std::cell::RefCell;
use std::convert::Infallible;

use grantway::{CallError, Caller, Grantway};
use grantway_testing::{Request as Sent, Response as Answer, rpc};
use http::{Request, Response};
use serde_json::{Value, json};

use crate::simulated::{CONNECTOR, Simulated, bob};

/// Calls a tool through a client that keeps what it sent.
async fn call(
    world: &Simulated,
    gw: &Grantway,
    caller: &Caller,
    tool: &str,
    url: &str,
) -> (Result<Response<Value>, CallError<Infallible>>, Vec<Sent>) {
    let body = rpc("tools/call", json!({ "name": tool }));
    let request = Request::post(url).header("Authorization", "Bearer stray").body(body).unwrap();
    let sent = RefCell::new(Vec::new());
    let client = async |request: Request<Value>| {
        let message =
            request.headers().iter().fold(
                Sent::post_json(&request.uri().to_string(), request.body()),
                |message, (name, value)| message.header(name.as_str(), value.to_str().unwrap()),
            );
        sent.borrow_mut().push(message.clone());
        let Answer { status, headers, body, .. } = world.world.lock().unwrap().send(message);
        let answer = headers
            .iter()
            .fold(Response::builder().status(status), |answer, (name, value)| answer.header(name, value));
        Ok::<_, Infallible>(answer.body(serde_json::from_slice(&body).unwrap_or_default()).unwrap())
    };
    let response = gw.send(caller, CONNECTOR, &format!("tools/call {tool}"), request, client).await;
    (response, sent.into_inner())
}

fn user(response: &Response<Value>) -> &str {
    response.body()["result"]["content"][0]["text"].as_str().unwrap()
}

//= spec/mcp-2026-07-28.md#idx-token-requirements
//= type=test
//# Every HTTP request to the MCP server MUST carry the token as `Authorization: Bearer` (USE-01, U).
//= spec/mcp-2026-07-28.md#idx-token-requirements
//= type=test
//# A token MUST NOT stand in a query, nor be sent by two methods at once (USE-02, U).
#[tokio::test]
async fn a_call_carries_the_callers_credential_and_no_other() {
    let (world, gw, alice) = Simulated::connected().await;
    let (response, sent) = call(&world, &gw, &alice, "whoami", &world.mcp.url()).await;
    assert_eq!(user(&response.unwrap()), "alice");
    assert_eq!(sent.len(), 1);
    assert!(!format!("{sent:?}").contains("stray"));
}

#[tokio::test]
async fn a_call_with_a_token_that_has_ended_is_made_once_more() {
    let (world, gw, alice) = Simulated::connected().await;
    world.issuer.end_access_tokens();
    let (response, sent) = call(&world, &gw, &alice, "whoami", &world.mcp.url()).await;
    assert_eq!((user(&response.unwrap()), sent.len()), ("alice", 2));
}

#[tokio::test]
async fn a_server_that_refuses_whatever_it_is_given_is_asked_twice_and_no_more() {
    let (world, gw, alice) = Simulated::connected().await;
    world.mcp.answer_instead(9, Answer::new(401).header("WWW-Authenticate", "Bearer"));
    let (response, sent) = call(&world, &gw, &alice, "whoami", &world.mcp.url()).await;
    assert!(matches!(response, Err(CallError::Challenge(_))), "{response:?}");
    assert_eq!(sent.len(), 2);
}

// atk:AUD-06
#[tokio::test]
async fn no_credential_goes_to_another_url_than_the_connectors() {
    let (world, gw, alice) = Simulated::connected().await;
    for url in ["https://mcp.good/other", "https://evil.example/mcp", "https://mcp.good:444/mcp"] {
        let (response, sent) = call(&world, &gw, &alice, "whoami", url).await;
        let Err(CallError::Failure(failure)) = response else { panic!("{response:?}") };
        assert_eq!((failure.slug(), sent.len()), ("config.url_not_covered", 0), "{url}");
    }
}

#[tokio::test]
async fn without_a_connection_nothing_is_sent() {
    let (world, gw, _) = Simulated::connected().await;
    let (response, sent) = call(&world, &gw, &bob(), "whoami", &world.mcp.url()).await;
    assert!(matches!(response, Err(CallError::Challenge(_))) && sent.is_empty());
}

#[tokio::test]
async fn a_refusal_that_is_not_about_authorization_is_handed_on() {
    let (world, gw, alice) = Simulated::connected().await;
    world.mcp.answer_instead(1, Answer::new(403));
    let (response, sent) = call(&world, &gw, &alice, "whoami", &world.mcp.url()).await;
    assert_eq!((response.unwrap().status().as_u16(), sent.len()), (403, 1));
}

#[tokio::test]
async fn a_call_that_needs_more_scopes_is_a_challenge() {
    let (world, gw, alice) = Simulated::connected().await;
    world.mcp.behave(|mcp| drop(mcp.tool_scopes.insert("write".into(), vec!["files:write".into()])));
    let (response, sent) = call(&world, &gw, &alice, "write", &world.mcp.url()).await;
    let Err(CallError::Challenge(challenge)) = response else { panic!("{response:?}") };
    assert_eq!((challenge.scopes.to_string().as_str(), sent.len()), ("files:write", 1));
}
