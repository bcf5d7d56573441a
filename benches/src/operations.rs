//! What is measured, and at which target.

use std::collections::HashMap;
use std::time::Duration;

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use grantway_core::limits::Limits;
use grantway_core::moment::{Moment, UnixMillis};
use grantway_core::protocol::scopes::Scopes;
use grantway_core::store::Key;
use grantway_core::store::seam::seal_bytes;
use grantway_core::upstream::cache::{CachedResolution, Freshness};

use crate::allocations;
use crate::floor::{Floor, Peers, clock};
use crate::measure::in_a_row;
use crate::messages;
use crate::ours::{Ours, callback};
use crate::records::Records;
use crate::wire;

/// The CPU time of so many runs.
pub type Part = Box<dyn FnMut(u64) -> Duration>;

/// One row of the table.
pub struct Row {
    /// A to E as in the targets, or what it is.
    pub name: &'static str,
    /// What it covers.
    pub about: &'static str,
    /// The ratio to reach; `None`: there is none.
    pub target: Option<f64>,
    /// The least Rust that does it.
    pub floor: Part,
    /// Its messages alone.
    pub messages: Option<Part>,
    /// All of it: operation, records, seals.
    pub whole: Part,
    /// Its records: their JSON and their seals.
    pub records: Option<Part>,
    /// Their seals alone.
    pub seals: Option<Part>,
    /// How often the whole allocates.
    pub allocations: u64,
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Row").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All rows, in the order of the targets.
///
/// # Panics
/// An operation does not succeed: the benches themselves are wrong.
pub fn rows() -> Vec<Row> {
    let mut ours = Ours::new();
    // The first user finds nothing; the others find the metadata and the registration of the first.
    let (discovering, redirect) = ours.begin(ALICE);
    let completing = ours.complete(ALICE, &redirect);
    let (beginning, redirect) = ours.begin("bob");
    let storing = ours.complete("bob", &redirect);
    let (_, ready) = ours.resolve("bob");
    let kept = CachedResolution::new(*ready);
    let (_, ready) = ours.resolve(ALICE);
    let renewing = ours.renew(CachedResolution::new(*ready));
    ours.pass_an_hour();
    let (refreshing, _) = ours.resolve(ALICE);

    vec![
        begin_row(beginning.last(3)),
        store_row(storing.last(3)),
        connect_row(discovering, completing),
        cached_row(kept),
        renew_row(renewing),
        refresh_row(refreshing),
        seal_row(),
    ]
}

const ALICE: &str = "alice";

const PEERS: Peers<'_> = Peers {
    challenge: wire::CHALLENGE,
    resource: wire::RESOURCE_DOCUMENT,
    issuer: wire::ISSUER_DOCUMENT,
    registration: wire::REGISTRATION_DOCUMENT,
};

fn begin_row(script: crate::ours::Begin) -> Row {
    let mut floor = Floor::default();
    let scopes = Scopes::parse(wire::SCOPES).expect("they are scopes");
    Row {
        name: "A",
        about: "begin: PKCE, state, URL, flow; issuer and client are known",
        target: Some(2.0),
        floor: Box::new(move |times| {
            floor.clear_flows();
            in_a_row(times, || {
                std::hint::black_box(floor.begin(wire::AUTHORIZE, wire::CLIENT_ID));
            })
        }),
        messages: Some(Box::new(move |times| {
            in_a_row(times, || messages::begin(wire::AUTHORIZE, wire::CLIENT_ID, &scopes))
        })),
        ..of(script.records().with_locators(1), script.allocations(), move |times| script.run(times))
    }
}

fn store_row(script: crate::ours::Complete) -> Row {
    let mut floor = Floor::default();
    let body = wire::token_response(1);
    let same = body.clone();
    Row {
        name: "B",
        about: "a token response of 1.4 KB to stored tokens",
        target: Some(2.4),
        floor: Box::new(move |times| in_a_row(times, || floor.store(ALICE, std::hint::black_box(&body)))),
        messages: Some(Box::new(move |times| {
            in_a_row(times, || messages::tokens(std::hint::black_box(&same)))
        })),
        ..of(script.records(), script.allocations(), move |times| script.run(times))
    }
}

fn connect_row(begin: crate::ours::Begin, complete: crate::ours::Complete) -> Row {
    let mut floor = Floor::default();
    let body = wire::token_response(1);
    let same = body.clone();
    let records = begin.records().and(complete.records()).with_locators(2);
    let allocations = begin.allocations() + complete.allocations();
    Row {
        name: "C",
        about: "full connect: challenge, metadata, registration, redirect, callback, tokens",
        target: Some(2.7),
        floor: Box::new(move |times| {
            // What the browser does in between is nobody's work here.
            let mut callbacks = Vec::new();
            let first = in_a_row(times, || {
                callbacks.push(floor.discover(std::hint::black_box(&PEERS)).to_owned());
            });
            let callbacks: Vec<_> = callbacks.iter().map(|url| callback(url)).collect();
            let mut callbacks = callbacks.iter();
            let second = in_a_row(times, || {
                floor.complete(ALICE, callbacks.next().expect("one for each"), std::hint::black_box(&body));
            });
            first + second
        }),
        messages: Some(Box::new(move |times| {
            let mut begun = Vec::new();
            let first = in_a_row(times, || begun.push(messages::discover(std::hint::black_box(&PEERS))));
            let callbacks: Vec<_> = begun.iter().map(|begun| callback(&begun.url)).collect();
            let mut both = begun.iter().zip(&callbacks);
            let second = in_a_row(times, || {
                let (begun, callback) = both.next().expect("one for each");
                messages::complete(begun, callback, std::hint::black_box(&same))
            });
            first + second
        })),
        ..of(records, allocations, move |times| begin.run(times) + complete.run(times))
    }
}

fn cached_row(kept: CachedResolution) -> Row {
    let mut floor = Floor::default();
    floor.store(ALICE, &wire::token_response(1));
    // As the driver's map: by whom and for what.
    let made_at = 1_767_225_600_000;
    let cache = HashMap::from([(ALICE.to_owned(), kept)]);
    let limits = Limits::default();
    let began = clock();
    let resolve = move || {
        let now = UnixMillis(made_at + (clock() - began) % 1_000);
        let cached = cache.get(std::hint::black_box(ALICE)).expect("it is kept");
        assert!(cached.freshness(now, &limits) == Freshness::Fresh, "it is fresh");
        let (name, value) = cached.ready().own_headers().next().expect("there is a header");
        std::hint::black_box((name.len(), value.expose().len()));
    };
    Row {
        name: "D",
        about: "resolve from the cache: freshness and header of a kept resolution",
        target: Some(2.3),
        floor: Box::new(move |times| {
            in_a_row(times, || {
                std::hint::black_box(floor.resolve(std::hint::black_box(ALICE)));
            })
        }),
        messages: None,
        allocations: allocations::count(&resolve).0,
        whole: Box::new(move |times| in_a_row(times, &resolve)),
        records: None,
        seals: None,
    }
}

fn renew_row(script: crate::ours::Renew) -> Row {
    let mut floor = Floor::default();
    floor.store(ALICE, &wire::token_response(1));
    let versions = HashMap::from([("connector".to_owned(), 1u64), ("connection".to_owned(), 2)]);
    Row {
        name: "D'",
        about: "the one read of versions that renews a kept resolution",
        target: None,
        floor: Box::new(move |times| {
            in_a_row(times, || {
                let known = std::hint::black_box([("connector", 1), ("connection", 2)]);
                let same = known.iter().all(|(name, version)| versions.get(*name) == Some(version));
                std::hint::black_box((same, floor.resolve(std::hint::black_box(ALICE))));
            })
        }),
        messages: None,
        allocations: script.allocations(),
        whole: Box::new(move |times| script.run(times)),
        records: None,
        seals: None,
    }
}

fn refresh_row(script: crate::ours::Refresh) -> Row {
    let mut floor = Floor::default();
    let body = wire::token_response(1);
    let same = body.clone();
    floor.store(ALICE, &body);
    let refresh_token = messages::tokens(&body).refresh_token.expect("there is one");
    Row {
        name: "E",
        about: "refresh: resolve of an ended token, with lease, request and saved answer",
        target: Some(2.6),
        floor: Box::new(move |times| in_a_row(times, || floor.refresh(ALICE, std::hint::black_box(&body)))),
        messages: Some(Box::new(move |times| {
            in_a_row(times, || messages::refresh(&refresh_token, std::hint::black_box(&same)))
        })),
        ..of(script.records(), script.allocations(), move |times| script.run(times))
    }
}

fn seal_row() -> Row {
    let ours = Ours::new();
    let key =
        Key::from_bytes("a key of the usual length, which is about that of this text").expect("it is a key");
    let bytes = vec![b'x'; 1024];
    let cipher = XChaCha20Poly1305::new(&[7; 32].into());
    let mut buffer = bytes.clone();
    let nonce = XNonce::from([9; 24]);
    let seal = move || {
        let moment = Moment::new(UnixMillis(1), std::hint::black_box([7; 32]));
        seal_bytes(ours.engine(), &moment, &key, 1, &bytes)
    };
    Row {
        name: "seal",
        about: "one record of 1 KB; floor: XChaCha20-Poly1305 alone, in place, its nonce given",
        target: None,
        floor: Box::new(move |times| {
            in_a_row(times, || {
                let sealed = cipher.encrypt_inout_detached(&nonce, b"aad", buffer.as_mut_slice().into());
                std::hint::black_box(sealed.expect("1 KB is not too long"))
            })
        }),
        messages: None,
        allocations: allocations::count(&seal).0,
        whole: Box::new(move |times| in_a_row(times, &seal)),
        records: None,
        seals: None,
    }
}

/// The parts that every operation with records has.
fn of(records: Records, allocations: u64, whole: impl FnMut(u64) -> Duration + 'static) -> Row {
    let seals = records.clone();
    Row {
        name: "",
        about: "",
        target: None,
        floor: Box::new(|_| Duration::ZERO),
        messages: None,
        whole: Box::new(whole),
        records: Some(Box::new(move |times| records.all(times))),
        seals: Some(Box::new(move |times| seals.seals(times))),
        allocations,
    }
}
