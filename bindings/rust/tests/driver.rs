//! Real operations, driven over real parts.

use std::sync::Arc;

use grantway::driver::{Environment, Host, drive};
use grantway::store::{Memory, Store, StoreFuture};
use grantway::transport::Hyper;
use grantway_core::address::AddressPolicy;
use grantway_core::connector::Connector;
use grantway_core::engine::{Engine, EngineConfig};
use grantway_core::moment::{Moment, UnixMillis};
use grantway_core::operation::{CommitReply, Effect, ReadReply, Reply, ScanReply, Write};
use grantway_core::principal::{Caller, ConnectorId, Principal, Role};
use grantway_core::store::{Key, Keyring, SealingKey};
use grantway_core::upstream::connectors::{ConnectorPut, PutConnector};
use grantway_core::upstream::discover::Discover;
use tokio::net::TcpListener;

/// Bytes that look random enough for a key.
fn bytes(step: u8) -> [u8; 32] {
    std::array::from_fn(|at| (at as u8).wrapping_mul(step))
}

fn engine() -> Arc<Engine> {
    let config = EngineConfig { danger_loopback_http: true, ..EngineConfig::new("Grantway tests") };
    let keyring = Keyring::new(SealingKey::new(1, bytes(7)), bytes(8)).unwrap();
    Engine::new(config, keyring).unwrap()
}

fn admin() -> Caller {
    Caller::new("acme", Principal::user("root").unwrap()).unwrap().with_role(Role::Admin)
}

fn notes() -> ConnectorId {
    ConnectorId::new("notes").unwrap()
}

fn put(server: &str) -> PutConnector {
    let connector = Connector { address_policy: AddressPolicy::Loopback, ..Connector::server(server) };
    PutConnector {
        caller: admin(),
        id: notes(),
        connector,
        client_secret: None,
        expected_revision: None,
        unverified: false,
    }
}

fn host(store: Arc<dyn Store>) -> Host {
    Host::new(store, Arc::new(Hyper::new().unwrap()))
}

#[tokio::test]
async fn an_operation_is_carried_through_reads_commits_and_exchanges() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}/mcp", listener.local_addr().unwrap());
    let host = Arc::new(host(Arc::new(Memory::default())));
    let engine = engine();
    let outcome = drive(engine.put_connector(put(&server)), &host).await;
    assert!(matches!(outcome.result.unwrap(), ConnectorPut::Stored { .. }));
    assert_eq!(outcome.events.len(), 1);
    drop(listener);
    let operation = engine.discover(Discover { caller: admin(), connector: notes() });
    // Spawned, as a server would: what `drive` returns may move between threads.
    let report = tokio::spawn(async move { drive(operation, &host).await }).await.unwrap().result.unwrap();
    assert_eq!(report.steps[0].url, server);
    assert_eq!(report.result.unwrap_err().slug(), "network.server_unavailable");
}

/// A machine whose random source has failed.
struct NoEntropy;

impl Environment for NoEntropy {
    fn moment(&self) -> Moment {
        Moment::new(UnixMillis(1), [0; 32])
    }
}

#[tokio::test]
async fn without_randomness_nothing_is_done() {
    let store = Arc::new(Memory::default());
    let host = host(Arc::clone(&store) as Arc<dyn Store>).with_environment(Arc::new(NoEntropy));
    let failure =
        drive(engine().put_connector(put("https://mcp.example/mcp")), &host).await.result.unwrap_err();
    assert_eq!((failure.slug(), failure.reason()), ("engine.internal", Some("the random source has failed")));
    let prefix = Key::from_bytes([4]).unwrap();
    let scan = host.perform(Effect::Scan { prefix, after: None, limit: 1 }).await;
    assert!(matches!(scan, Reply::Scan(ScanReply::Page { entries, .. }) if entries.is_empty()));
}

/// A store that answers with fewer records than it was asked for.
struct Forgetful;

impl Store for Forgetful {
    fn read<'a>(&'a self, _: &'a [Key]) -> StoreFuture<'a, ReadReply> {
        Box::pin(async { ReadReply::Found(Vec::new()) })
    }

    fn scan<'a>(&'a self, _: &'a Key, _: Option<&'a Key>, _: u32) -> StoreFuture<'a, ScanReply> {
        Box::pin(async { ScanReply::Unavailable })
    }

    fn commit(&self, _: Vec<Write>) -> StoreFuture<'_, CommitReply> {
        Box::pin(async { CommitReply::Unavailable })
    }
}

#[tokio::test]
async fn a_store_that_answers_in_the_wrong_form_ends_the_operation_with_a_failure() {
    let host = host(Arc::new(Forgetful));
    let failure =
        drive(engine().put_connector(put("https://mcp.example/mcp")), &host).await.result.unwrap_err();
    assert_eq!(failure.slug(), "engine.internal");
    assert_eq!(failure.reason(), Some("the store gave other records than it was asked for"));
}

/// A store that never answers.
struct Hanging;

impl Store for Hanging {
    fn read<'a>(&'a self, _: &'a [Key]) -> StoreFuture<'a, ReadReply> {
        Box::pin(std::future::pending())
    }

    fn scan<'a>(&'a self, _: &'a Key, _: Option<&'a Key>, _: u32) -> StoreFuture<'a, ScanReply> {
        Box::pin(std::future::pending())
    }

    fn commit(&self, _: Vec<Write>) -> StoreFuture<'_, CommitReply> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_is_unavailable_and_its_commit_unknown() {
    let host = host(Arc::new(Hanging));
    let key = Key::from_bytes([4]).unwrap();
    let read = host.perform(Effect::Read { keys: vec![key.clone()] }).await;
    assert!(matches!(read, Reply::Read(ReadReply::Unavailable)), "{read:?}");
    let scan = host.perform(Effect::Scan { prefix: key, after: None, limit: 1 }).await;
    assert!(matches!(scan, Reply::Scan(ScanReply::Unavailable)), "{scan:?}");
    let commit = host.perform(Effect::Commit { writes: Vec::new() }).await;
    assert!(matches!(commit, Reply::Commit(CommitReply::Unknown)), "{commit:?}");
}
