//! Both halves together: a gateway whose upstream is another gateway.
#![allow(clippy::disallowed_types, reason = "the test's network shares the inner gateway with the test")]

use std::sync::{Arc, Mutex, MutexGuard};

use grantway_core::connector::Connector;
use grantway_core::downstream::authenticate::{Authenticate, Authenticated};
use grantway_core::downstream::request::Request;
use grantway_core::moment::UnixMillis;
use grantway_core::principal::ConnectorId;
use grantway_core::protocol::scopes::Scopes;
use grantway_core::secret::{Secret, SecretBytes};
use grantway_core::upstream::disconnect::{Disconnect, Revocation};
use grantway_core::upstream::report_rejected::{Rejection, ReportRejected};
use grantway_core::upstream::resolve::Resolution;
use grantway_testing::{Request as Sent, Response as Answer, drive};
use serde_json::json;

use super::browser::{Browser, Gateway, html, user};

const INNER: &str = "https://inner.good";

/// The inner gateway as the outer one meets it: on the network.
#[derive(Clone)]
struct Inner(Arc<Mutex<Gateway>>);

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Gateway> {
        self.0.lock().unwrap()
    }

    /// Its MCP endpoint: says who is calling.
    fn call(&self, headers: Vec<(String, Secret)>) -> Answer {
        let mut gateway = self.lock();
        let arguments = Authenticate {
            tenant: gateway.tenant.clone(),
            headers,
            resource: format!("{INNER}/mcp"),
            scopes: Scopes::default(),
        };
        let operation = gateway.engine.authenticate(arguments);
        match drive(&mut gateway.world, operation).result.unwrap() {
            Authenticated::Caller(caller) => {
                Answer::json(200, &json!({ "caller": caller.caller.principal.id() }))
            }
            Authenticated::Refused(response) => answer(&response),
        }
    }

    fn serve(&self, sent: &Sent, now: UnixMillis) -> Answer {
        self.lock().world.set_clock(now);
        let headers: Vec<(String, Secret)> =
            sent.headers.iter().map(|(name, value)| (name.clone(), Secret::new(value.as_str()))).collect();
        if sent.path() == "/mcp" {
            return self.call(headers);
        }
        let target = Secret::new(sent.url.strip_prefix(INNER).unwrap());
        let (method, body) = (sent.method.clone(), SecretBytes::new(sent.body.clone()));
        let response = self.lock().handle(Request { method, target, headers, body }, None);
        answer(&response)
    }
}

fn answer(response: &grantway_core::downstream::response::Response) -> Answer {
    let mut answer = Answer::new(response.status);
    for header in &response.headers {
        answer = answer.header(&header.name, header.value.expose());
    }
    answer.body = response.body.expose().to_vec();
    answer
}

fn token(resolution: Resolution) -> (u64, String) {
    let Resolution::Ready(ready) = resolution else { panic!("{resolution:?}") };
    let (_, value) = ready.own_headers().next().unwrap();
    (ready.generation(), value.expose().to_owned())
}

#[test]
fn one_gateway_connects_to_another_refreshes_there_and_is_signed_out() {
    let inner = Inner(Arc::new(Mutex::new(Gateway::at(INNER, |_| {}))));
    inner.lock().world.know(user("alice-inside"));
    let mut outer = Gateway::new();
    let served = inner.clone();
    outer.world.host(INNER, move |sent: &Sent, now: UnixMillis| served.serve(sent, now));
    outer.put("inner", Connector::server(format!("{INNER}/mcp")));

    // One person, two names: at the outer gateway, and inside.
    let (mut alice, mut inside) = (Browser::of("alice"), Browser::of("alice-inside"));
    let page = alice.open(&mut outer, "/connections");
    let away = alice.press(&mut outer, &page, "/connect", &[("connector", "inner")]);
    let authorize = away.header("location").unwrap_or_else(|| panic!("{}", html(&away))).to_owned();
    assert!(authorize.starts_with(&format!("{INNER}/authorize?")), "{authorize}");
    let back = {
        let gateway = &mut inner.lock();
        let begun = inside.get(gateway, &authorize);
        let consent = begun.header("location").unwrap_or_else(|| panic!("{}", html(&begun))).to_owned();
        inside.open(gateway, &consent);
        let approval = inside.open(gateway, &format!("{consent}/approve"));
        assert!(html(&approval).contains("gw.good"), "the page says where the answer goes");
        inside.approve(gateway, &approval)
    };
    let landed = alice.open(&mut outer, &back);
    assert!(html(&landed).contains("role=\"status\""), "{}", html(&landed));

    // What the outer gateway hands to a call is the inner gateway's token, and that knows whom it is for.
    let (first, bearer) = token(outer.resolve(&user("alice"), "inner"));
    assert!(bearer.starts_with("Bearer gwa_"));
    let call = |bearer: &str| inner.call(vec![("Authorization".to_owned(), Secret::new(bearer))]);
    assert_eq!(call(&bearer).body, br#"{"caller":"alice-inside"}"#);

    // An hour later it is refreshed, by rotation.
    outer.world.advance(3_600_000);
    let (second, renewed) = token(outer.resolve(&user("alice"), "inner"));
    assert_eq!((first, second), (1, 2));
    assert_ne!(bearer, renewed);
    assert_eq!((call(&bearer).status, call(&renewed).status), (401, 200));

    // Signed out inside, the outer gateway learns it at its next call, and asks its own person.
    let page = inside.open(&mut inner.lock(), "/connections");
    inside.press(&mut inner.lock(), &page, "/revoke", &[]);
    let refused = call(&renewed);
    assert_eq!(refused.status, 401);
    let arguments = ReportRejected {
        caller: user("alice"),
        connector: ConnectorId::new("inner").unwrap(),
        connection: None,
        generation: second,
        operation: "tools/call".to_owned(),
        status: refused.status,
        headers: refused
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), Secret::new(value.as_str())))
            .collect(),
        wait_ms: 10_000,
    };
    let operation = outer.engine.report_rejected(arguments);
    let rejection = drive(&mut outer.world, operation).result.unwrap();
    assert!(matches!(rejection, Rejection::Challenge(_)), "{rejection:?}");
    assert!(!outer.is_connected(&user("alice"), "inner"));
}

#[test]
fn a_disconnect_outside_ends_the_sign_in_inside() {
    let inner = Inner(Arc::new(Mutex::new(Gateway::at(INNER, |_| {}))));
    inner.lock().world.know(user("alice-inside"));
    let mut outer = Gateway::new();
    let served = inner.clone();
    outer.world.host(INNER, move |sent: &Sent, now: UnixMillis| served.serve(sent, now));
    outer.put("inner", Connector::server(format!("{INNER}/mcp")));
    let (mut alice, mut inside) = (Browser::of("alice"), Browser::of("alice-inside"));
    let page = alice.open(&mut outer, "/connections");
    let away = alice.press(&mut outer, &page, "/connect", &[("connector", "inner")]);
    let back = {
        let gateway = &mut inner.lock();
        let begun = inside.get(gateway, away.header("location").unwrap());
        let consent = begun.header("location").unwrap().to_owned();
        inside.open(gateway, &consent);
        let approval = inside.open(gateway, &format!("{consent}/approve"));
        inside.approve(gateway, &approval)
    };
    alice.open(&mut outer, &back);
    let (_, bearer) = token(outer.resolve(&user("alice"), "inner"));
    let connector = ConnectorId::new("inner").unwrap();
    let operation = outer.engine.disconnect(Disconnect { caller: user("alice"), connector, owner: None });
    let disconnected = drive(&mut outer.world, operation).result.unwrap();
    assert_eq!(disconnected.revocation, Revocation::Complete);
    assert_eq!(inner.call(vec![("Authorization".to_owned(), Secret::new(bearer))]).status, 401);
}
