//! Documents of clients, against a desk.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};

use super::*;
use crate::downstream::config::GatewayConfig;
use crate::engine::EngineConfig;
use crate::limits::UNUSED_CLIENTS_MAX;
use crate::operation::{self, HttpReply, Machine, NotSent, Operation, Peer, Reply, machine};
use crate::secret::SecretBytes;
use crate::store::Kind;
use crate::upstream::testing::{Desk, Fault, NOW};

const URL: &str = "https://c.good/client.json";
const MINUTE: u64 = 60_000;

/// A search as an operation of its own.
struct Finding(Step);

enum Step {
    Begin(TenantId, String, Fetch),
    Under(Box<FindClient>),
}

impl machine::Sealed for Finding {}

impl Machine for Finding {
    type Output = FoundClient;

    #[allow(private_interfaces)]
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, FoundClient> {
        let step = match self.0 {
            Step::Begin(tenant, id, fetch) => FindClient::begin(cx, &tenant, &id, fetch),
            Step::Under(find) => find.step(cx, answer),
        };
        step.embed(|find| Self(Step::Under(Box::new(find))), Progress::Done)
    }
}

struct Note(Key);

impl Decide for Note {
    type Output = usize;

    fn keys(&self) -> Vec<Key> {
        vec![self.0.clone()]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<usize> {
        let stored = cx.open::<ClientRecord>(&self.0, found[0].as_ref()).unwrap().unwrap();
        let writes = note_use(cx, &tenant(), &stored, id);
        let count = writes.len();
        if count == 0 { Decision::done(0) } else { Decision::Commit(writes, count) }
    }
}

/// The noting of a use as an operation of its own.
struct NoteUse(Key, Option<Transaction<Note>>);

impl machine::Sealed for NoteUse {}

impl Machine for NoteUse {
    type Output = usize;

    #[allow(private_interfaces)]
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, usize> {
        let Self(key, transaction) = self;
        let step = match transaction {
            None => Transaction::begin(cx, Note(key.clone())),
            Some(transaction) => transaction.step(cx, answer),
        };
        step.embed(|transaction| Self(key, Some(transaction)), Progress::Done)
    }
}

fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn desk_with(change: impl FnOnce(&mut EngineConfig)) -> Desk {
    let mut config = EngineConfig {
        base_url: Some("https://gw.good".to_owned()),
        gateway: Some(GatewayConfig::new("/mcp")),
        ..EngineConfig::new("Tests")
    };
    change(&mut config);
    Desk::with(config)
}

fn desk() -> Desk {
    desk_with(|_| {})
}

fn find(desk: &mut Desk, id: &str, fetch: Fetch) -> Result<FoundClient, Failure> {
    let begin = Finding(Step::Begin(tenant(), id.to_owned(), fetch));
    let engine = desk.engine.clone();
    desk.run(Operation::new(engine, None, begin))
}

fn known(desk: &mut Desk, fetch: Fetch) -> ClientRecord {
    match find(desk, URL, fetch) {
        Ok(FoundClient::Known { record, .. }) => *record,
        other => panic!("{other:?}"),
    }
}

fn reason(desk: &mut Desk, id: &str, fetch: Fetch) -> &'static str {
    let failure = find(desk, id, fetch).expect_err(id);
    assert_eq!(failure.slug(), "client.document_refused", "{id}");
    failure.reason().unwrap()
}

fn document(redirect_uri: &str) -> Value {
    json!({ "client_id": URL, "client_name": "Good", "redirect_uris": [redirect_uri] })
}

fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> HttpReply {
    HttpReply::Response(HttpResponse {
        status,
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: SecretBytes::new(body.into()),
        truncated: false,
        peer: Peer::Address(IpAddr::V4(Ipv4Addr::new(93, 184, 216, 34))),
    })
}

fn good(redirect_uri: &str, cache_control: &str) -> HttpReply {
    let headers = [("Content-Type", "application/json"), ("Cache-Control", cache_control)];
    answer(200, &headers, document(redirect_uri).to_string())
}

//= spec/cimd.md#4
//= type=test
//# For an id that is a URL the authorization server SHOULD fetch the document by GET and MUST take nothing
//# but a 200 of JSON for it, following no redirect (REG-21, S).
//= spec/cimd.md#6-6
//= type=test
//# The fetch of a client's document SHOULD be limited in size, time and number, and wait until the person is
//# known (REG-25, S).
#[test]
fn a_document_is_read_once_and_then_known() {
    let mut desk = desk();
    desk.replies.push_back(good("https://c.good/cb", "max-age=600"));
    assert!(matches!(find(&mut desk, URL, Fetch::Never), Ok(FoundClient::Unread)));
    assert!(desk.requests.is_empty());
    let client = known(&mut desk, Fetch::IfStale);
    assert_eq!((client.client_id.as_str(), client.source), (URL, ClientSource::Document));
    assert_eq!((client.name.as_deref(), client.method), (Some("Good"), AuthMethod::None));
    assert_eq!((client.secret, client.fresh_until), (None, NOW.plus(10 * MINUTE)));
    let request = &desk.requests[0];
    assert_eq!((request.method.as_str(), request.url.as_str()), ("GET", URL));
    assert_eq!((request.max_response_bytes, &request.address_policy), (5120, &AddressPolicy::Public));
    for fetch in [Fetch::Never, Fetch::IfStale] {
        assert_eq!(known(&mut desk, fetch), client);
    }
    assert_eq!(desk.requests.len(), 1);
    assert!(desk.has(&Key::expiry(&tenant(), client.ends_at(desk.engine.limits()), &key())));
}

fn key() -> Key {
    Key::client(&tenant(), URL)
}

//= spec/cimd.md#4-4
//= type=test
//# A client's document SHOULD be kept for as long as its headers say, within a day, and one that is refused
//# MUST NOT be kept in place of it (REG-23, S).
// atk:NET-15
#[test]
fn a_document_is_asked_for_again_when_its_time_is_over_and_that_is_within_a_day() {
    for (cache_control, lasts) in [
        ("max-age=600", 10 * MINUTE),
        ("max-age=999999999", 24 * 60 * MINUTE),
        ("no-store", MINUTE),
        ("max-age=0", MINUTE),
        ("public", 5 * MINUTE),
    ] {
        let mut desk = desk();
        desk.replies.push_back(good("https://c.good/cb", cache_control));
        let first = known(&mut desk, Fetch::IfStale);
        desk.pass(lasts - 1);
        assert_eq!(known(&mut desk, Fetch::IfStale), first, "{cache_control}");
        desk.pass(1);
        assert_eq!(known(&mut desk, Fetch::Never), first, "{cache_control}");
        assert_eq!(desk.requests.len(), 1, "{cache_control}");
        desk.replies.push_back(good("https://c.good/other", "max-age=600"));
        let second = known(&mut desk, Fetch::IfStale);
        assert_eq!(second.redirect_uris, ["https://c.good/other"], "{cache_control}");
        assert_eq!(desk.requests.len(), 2, "{cache_control}");
        //= spec/cimd.md#changes-in-client-metadata
        //= type=test
        //# A client's logo SHOULD come from our own origin or not be shown, and a change of its name or
        //# redirect URIs needs consent anew (REG-27, S).
        // atk:RED-10
        assert_ne!(first.version, second.version);
        assert_eq!(first.created_at, second.created_at);
    }
}

#[test]
fn a_record_that_a_jumped_clock_has_written_is_not_fresh() {
    let mut desk = desk();
    desk.pass(48 * 60 * MINUTE);
    desk.replies.push_back(good("https://c.good/cb", "max-age=600"));
    known(&mut desk, Fetch::IfStale);
    desk.now = NOW;
    desk.replies.push_back(good("https://c.good/cb", "max-age=600"));
    assert_eq!(known(&mut desk, Fetch::IfStale).fresh_until, NOW.plus(10 * MINUTE));
    assert_eq!(desk.requests.len(), 2);
}

//= spec/cimd.md#server-side-request-forgery
//= type=test
//# A client's document MUST NOT be fetched from a special-use address, nor any URL in it that leads to one
//# (REG-24, S).
// atk:NET-07
#[test]
fn a_url_that_no_client_may_have_is_never_asked() {
    let mut desk = desk();
    for id in [
        "https://127.0.0.1/x",
        "https://127.1/x",
        "https://[::1]/x",
        "https://localhost/x",
        "https://x.localhost/x",
        "https://10.0.0.1/x",
        "https://169.254.169.254/latest",
        "https://metadata.google.internal/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://c.good",
        "https://c.good/",
        "https://c.good/x#f",
        "https://c.good/x#",
        "https://c.good/x?q",
        "https://u@c.good/x",
        "https://u:p@c.good/x",
        "https://c.good/a/../x",
        "https://c.good/./x",
        "https://c.good/%2e%2e/x",
        "https://c.good/a%2fx",
        "https://c.good\\x",
        "https:///x",
    ] {
        for fetch in [Fetch::Never, Fetch::IfStale] {
            reason(&mut desk, id, fetch);
        }
    }
    for id in ["", "http://c.good/client.json", "HTTPS://c.good/client.json", "gwd_000", "x", "\u{0}"] {
        assert_eq!(find(&mut desk, id, Fetch::IfStale).unwrap_err().slug(), "client.unknown", "{id}");
    }
    assert!(desk.requests.is_empty() && desk.rows().is_empty());
}

//= spec/cimd.md#4
//= type=test
//# For an id that is a URL the authorization server SHOULD fetch the document by GET and MUST take nothing
//# but a 200 of JSON for it, following no redirect (REG-21, S).
//= spec/cimd.md#4-1
//= type=test
//# A client's document MUST be a JSON object with the required members, its own URL as `client_id` and no
//# shared secret (REG-22, S).
//= spec/cimd.md#server-side-request-forgery
//= type=test
//# A client's document MUST NOT be fetched from a special-use address, nor any URL in it that leads to one
//# (REG-24, S).
//= spec/cimd.md#4-3
//= type=test
//# When a client's document cannot be had, the person SHOULD be told, and nothing be sent to a redirect URI
//# (REG-26, S).
// atk:NET-07
#[test]
fn what_cannot_be_used_is_refused_and_not_asked_for_again_at_once() {
    let json = [("Content-Type", "application/json")];
    let ok = || document("https://c.good/cb").to_string();
    let inside = |mut reply: HttpReply| {
        if let HttpReply::Response(response) = &mut reply {
            response.peer = Peer::Address(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
        }
        reply
    };
    let other = json!({ "client_id": "https://evil.example/x", "client_name": "x",
        "redirect_uris": ["https://c.good/cb"] });
    let cut = {
        let mut reply = answer(200, &json, ok());
        if let HttpReply::Response(response) = &mut reply {
            response.truncated = true;
        }
        reply
    };
    for (reply, expected) in [
        (answer(301, &[("Location", "https://c.good/other")], ""), STATUS),
        (answer(404, &json, ok()), STATUS),
        (answer(201, &json, ok()), STATUS),
        (answer(503, &json, ok()), STATUS),
        (answer(200, &[("Content-Type", "text/html")], ok()), NOT_JSON),
        (answer(200, &[], ok()), NOT_JSON),
        (answer(200, &json, "<html>"), client_document::REASONS[0]),
        (answer(200, &json, other.to_string()), client_document::REASONS[1]),
        (answer(200, &json, vec![b' '; 5121]), TOO_LONG),
        (cut, TOO_LONG),
        (answer(200, &[("Content-Encoding", "gzip")], ok()), ENCODED),
        (inside(answer(200, &json, ok())), ADDRESS),
        (HttpReply::NotSent(NotSent::AddressRefused), ADDRESS),
        (HttpReply::NotSent(NotSent::Unreachable), NO_ANSWER),
        (HttpReply::UnknownOutcome, NO_ANSWER),
    ] {
        let mut desk = desk();
        desk.replies.push_back(reply);
        assert_eq!(reason(&mut desk, URL, Fetch::IfStale), expected.0);
        desk.pass(5 * MINUTE - 1);
        for fetch in [Fetch::IfStale, Fetch::Never] {
            assert_eq!(reason(&mut desk, URL, fetch), expected.0);
        }
        assert_eq!(desk.requests.len(), 1, "{expected}");
        desk.pass(1);
        assert!(matches!(find(&mut desk, URL, Fetch::Never), Ok(FoundClient::Unread)));
        desk.replies.push_back(answer(200, &[("Content-Type", "application/ld+json")], ok()));
        assert_eq!(known(&mut desk, Fetch::IfStale).refused, None);
    }
}

//= spec/cimd.md#4-4
//= type=test
//# A client's document SHOULD be kept for as long as its headers say, within a day, and one that is refused
//# MUST NOT be kept in place of it (REG-23, S).
#[test]
fn a_refused_document_takes_nothing_from_what_was_known_before() {
    let mut desk = desk();
    desk.replies.push_back(good("https://c.good/cb", "max-age=600"));
    let before = known(&mut desk, Fetch::IfStale);
    desk.pass(10 * MINUTE);
    desk.replies.push_back(HttpReply::UnknownOutcome);
    assert_eq!(reason(&mut desk, URL, Fetch::IfStale), NO_ANSWER.0);
    let during = known(&mut desk, Fetch::Never);
    assert_eq!((&during.redirect_uris, during.version), (&before.redirect_uris, before.version));
    assert_eq!(reason(&mut desk, URL, Fetch::IfStale), NO_ANSWER.0);
    desk.pass(5 * MINUTE);
    desk.replies.push_back(good("https://c.good/cb", "max-age=600"));
    assert_eq!(known(&mut desk, Fetch::IfStale).version, before.version);
    assert_eq!(desk.requests.len(), 3);
}

#[test]
fn of_two_that_ask_at_once_the_second_uses_what_the_first_has_kept() {
    let mut desk = desk();
    let begin = Finding(Step::Begin(tenant(), URL.to_owned(), Fetch::IfStale));
    let mut slow = Operation::new(desk.engine.clone(), None, begin);
    let mut reply = Reply::Start;
    while desk.requests.is_empty() {
        let moment = desk.moment();
        let Ok(operation::Step::Perform(effect)) = slow.step(&moment, reply) else { panic!() };
        desk.replies.push_back(good("https://c.good/slow", "max-age=600"));
        reply = desk.perform(effect);
    }
    desk.replies.clear();
    desk.replies.push_back(good("https://c.good/quick", "max-age=600"));
    let quick = known(&mut desk, Fetch::IfStale);
    let rows = desk.rows().clone();
    let found = loop {
        let moment = desk.moment();
        match slow.step(&moment, reply).unwrap() {
            operation::Step::Perform(effect) => reply = desk.perform(effect),
            operation::Step::Done(outcome) => break outcome.result,
        }
    };
    assert!(matches!(found, Ok(FoundClient::Known { record, .. }) if *record == quick));
    assert_eq!(*desk.rows(), rows);
}

#[test]
fn nothing_is_lost_when_the_store_does_not_say_what_it_did() {
    for fault in [Fault::Conflict, Fault::UnknownLost, Fault::UnknownWritten] {
        let mut desk = desk();
        desk.faults.push_back(fault);
        desk.replies.push_back(good("https://c.good/cb", "max-age=600"));
        let client = known(&mut desk, Fetch::IfStale);
        assert_eq!(known(&mut desk, Fetch::IfStale), client, "{fault:?}");
        assert_eq!(desk.requests.len(), 1, "{fault:?}");
    }
}

#[test]
fn a_gateway_without_documents_asks_for_none_and_development_reaches_its_own_machine() {
    let mut off = desk_with(|config| config.gateway.as_mut().unwrap().client_documents = false);
    assert_eq!(find(&mut off, URL, Fetch::IfStale).unwrap_err().slug(), "client.unknown");
    let mut development = desk_with(|config| config.danger_loopback_http = true);
    let reply = find(&mut development, "https://localhost:8443/client.json", Fetch::IfStale);
    assert_eq!(reply.unwrap_err().reason(), Some(NO_ANSWER.0));
    assert_eq!(development.requests[0].address_policy, AddressPolicy::Loopback);
    let inside = "https://10.0.0.1/client.json";
    assert_eq!(reason(&mut development, inside, Fetch::IfStale), ADDRESS.0);
}

fn note(desk: &mut Desk, key: &Key) -> usize {
    let engine = desk.engine.clone();
    desk.run(Operation::new(engine, None, NoteUse(key.clone(), None))).unwrap()
}

#[test]
fn a_document_that_somebody_has_approved_is_remembered_for_longer_over_every_reading() {
    let mut desk = desk();
    let limits = desk.engine.limits().clone();
    desk.replies.push_back(good("https://c.good/cb", "max-age=600"));
    let unused = known(&mut desk, Fetch::IfStale);
    assert_eq!(unused.ends_at(&limits), unused.fresh_until.plus(limits.consent_ms));
    assert_eq!((note(&mut desk, &key()), note(&mut desk, &key())), (2, 0));
    for reply in [good("https://c.good/cb", "max-age=600"), HttpReply::UnknownOutcome] {
        desk.pass(10 * MINUTE);
        desk.replies.push_back(reply);
        let _ = find(&mut desk, URL, Fetch::IfStale);
        let client: ClientRecord = desk.get(&key()).unwrap();
        assert!(client.used && client.fresh_until > desk.now);
        assert_eq!(client.ends_at(&limits), client.fresh_until.plus(limits.idle_client_ms));
        assert!(desk.has(&Key::expiry(&tenant(), client.ends_at(&limits), &key())));
    }
}

fn registered(used: bool) -> ClientRecord {
    let slot = slot_of(&tenant(), "gwd_00fabc").unwrap();
    assert!(slot.is(Kind::Slot));
    ClientRecord {
        client_id: "gwd_00fabc".to_owned(),
        source: ClientSource::Dynamic,
        name: None,
        redirect_uris: vec!["http://127.0.0.1/cb".to_owned(), "https://c.good/cb".to_owned()],
        method: AuthMethod::None,
        secret: None,
        refreshes: true,
        version: Digest([1; 32]),
        created_at: NOW,
        fresh_until: NOW.plus(24 * 60 * MINUTE),
        used,
        refused: None,
    }
}

//= spec/rfc7591.md#5
//= type=test
//# What a client says of itself MUST be taken as its own word, and open registration SHOULD be limited in
//# number and time (REG-33, S).
#[test]
fn a_registered_client_is_known_until_its_time_is_over() {
    let mut desk = desk();
    let key = Key::client(&tenant(), "gwd_00fabc");
    desk.put(&key, &registered(false));
    desk.pass(24 * 60 * MINUTE - 1);
    let found = find(&mut desk, "gwd_00fabc", Fetch::Never).unwrap();
    assert!(matches!(found, FoundClient::Known { .. }));
    desk.pass(1);
    assert_eq!(find(&mut desk, "gwd_00fabc", Fetch::IfStale).unwrap_err().slug(), "client.unknown");
    assert!(desk.requests.is_empty());

    let mut confidential = desk_with(|config| {
        let gateway = config.gateway.as_mut().unwrap();
        (gateway.public_clients, gateway.client_documents) = (false, false);
    });
    confidential.put(&key, &registered(false));
    assert_eq!(find(&mut confidential, "gwd_00fabc", Fetch::Never).unwrap_err().slug(), "client.unknown");
}

//= spec/rfc7591.md#5
//= type=test
//# What a client says of itself MUST be taken as its own word, and open registration SHOULD be limited in
//# number and time (REG-33, S).
#[test]
fn a_client_that_is_used_is_kept_and_gives_its_slot_back() {
    let mut desk = desk();
    let key = Key::client(&tenant(), "gwd_00fabc");
    desk.put(&key, &registered(false));
    let slot = slot_of(&tenant(), "gwd_00fabc").unwrap();
    desk.put_raw(&slot, Vec::new());
    assert_eq!(note(&mut desk, &key), 3);
    let client: ClientRecord = desk.get(&key).unwrap();
    let idle = desk.engine.limits().idle_client_ms;
    assert!(client.used && client.fresh_until == NOW.plus(idle) && !desk.has(&slot));
    assert!(desk.has(&Key::expiry(&tenant(), NOW.plus(idle), &key)));
    assert_eq!(note(&mut desk, &key), 0);
    desk.pass(25 * 60 * MINUTE);
    desk.put_raw(&slot, Vec::new());
    assert_eq!(note(&mut desk, &key), 2);
    // Somebody else's by now.
    assert!(desk.has(&slot));
    assert_eq!(desk.get::<ClientRecord>(&key).unwrap().fresh_until, desk.now.plus(idle));
    for id in ["gwd_", "gwd_xyzabc", "gwd_1f4abc", URL, "gwd_0é"] {
        assert_eq!(slot_of(&tenant(), id), None, "{id}");
    }
    assert!(slot_of(&tenant(), &format!("gwd_{:03x}", UNUSED_CLIENTS_MAX - 1)).is_some());
}

//= spec/oauth21.md#4-1-1
//= type=test
//# A redirect URI MUST be compared with the registered ones as an exact text, of which only the port of a
//# loopback URI may differ (AS-05, S).
// atk:RED-01, atk:RED-05
#[test]
fn a_client_is_answered_at_its_own_redirect_uris_only() {
    let mut config = GatewayConfig::new("/mcp");
    let mut client = registered(true);
    for (uri, expected) in [
        ("https://c.good/cb", true),
        ("http://127.0.0.1:50001/cb", true),
        ("http://127.0.0.1/cb", true),
        ("http://localhost:50001/cb", false),
        ("https://c.good/cb2", false),
        ("https://c.good:1/cb", false),
        ("https://evil.example/cb", false),
        ("javascript:alert(1)", false),
        ("", false),
    ] {
        assert_eq!(client.accepts(&config, uri), expected, "{uri}");
    }
    // What the operator has taken off the list is not accepted any more, whatever was registered.
    client.redirect_uris.push("cursor://x/cb".to_owned());
    assert!(!client.accepts(&config, "cursor://x/cb"));
    config.private_redirect_uris.push("cursor://x/cb".to_owned());
    assert!(client.accepts(&config, "cursor://x/cb"));
}

//= spec/mcp-2026-07-28.md#sec-trust-policies
//= type=test
//# An operator MAY say which hosts of client documents are trusted (REG-29, S).
// atk:RED-09, atk:CON-10
#[test]
fn pages_are_told_where_the_answer_goes_and_who_vouches() {
    let config =
        GatewayConfig { verified_client_hosts: vec!["c.good".to_owned()], ..GatewayConfig::new("/mcp") };
    let dynamic = ClientRecord { name: Some("c.good".to_owned()), ..registered(true) };
    let shown = dynamic.shown(&config, "http://127.0.0.1:5/cb");
    assert_eq!(
        (shown.redirect_host.as_str(), shown.loopback, shown.private_scheme),
        ("127.0.0.1", true, false)
    );
    assert_eq!((shown.document_host, shown.verified), (None, false));
    assert!(!registered(true).shown(&config, "").name.as_str().is_empty());
    let by = |id: &str| ClientRecord {
        client_id: id.to_owned(),
        source: ClientSource::Document,
        ..registered(true)
    };
    let shown = by(URL).shown(&config, "com.example.app:/cb");
    assert_eq!((shown.redirect_host.as_str(), shown.private_scheme), ("com.example.app:", true));
    assert_eq!((shown.document_host.as_deref(), shown.verified), (Some("c.good"), true));
    for id in [
        "https://c.good:8443/x",
        "https://x.c.good/x",
        "https://c.good.evil.example/x",
        "https://evil.example/c.good",
    ] {
        assert!(!by(id).is_verified(&config), "{id}");
    }
    let unicode = by("https://xn--bcher-kva.example/x").shown(&config, "https://xn--bcher-kva.example/cb");
    assert_eq!(unicode.document_host.as_deref(), Some("xn--bcher-kva.example"));
}
