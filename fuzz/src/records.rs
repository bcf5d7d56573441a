//! What the store gives back: keys, sealed values, and what stands under the seal.

use std::sync::Arc;

use grantway_core::downstream::config::{GatewayConfig, IdentityMode};
use grantway_core::engine::{Engine, EngineConfig};
use grantway_core::moment::{Moment, UnixMillis};
use grantway_core::operation::{Version, Versioned};
use grantway_core::store::seam::{open_record, opened_bytes, rewritten, seal_bytes};
use grantway_core::store::{KEY_MAX_BYTES, Key, Keyring, Kind, SealingKey};

use crate::input::Choices;

pub(crate) fn engine() -> Arc<Engine> {
    let key = SealingKey::new(1, std::array::from_fn(|at| at as u8));
    let ring = Keyring::new(key, std::array::from_fn(|at| 255 - at as u8)).expect("the keys are well formed");
    let mut gateway = GatewayConfig::new("/mcp");
    gateway.identity = vec![IdentityMode::User, IdentityMode::Key, IdentityMode::Session];
    let config = EngineConfig {
        base_url: Some("https://gw.good".into()),
        gateway: Some(gateway),
        ..EngineConfig::new("Fuzzed")
    };
    Engine::new(config, ring).expect("the configuration is well formed")
}

fn moment() -> Moment {
    Moment::new(UnixMillis(1_767_225_600_000), [7; 32])
}

const RECORDS: [Kind; 18] = [
    Kind::Connector,
    Kind::Connection,
    Kind::Secret,
    Kind::Flow,
    Kind::Registration,
    Kind::Metadata,
    Kind::Ticket,
    Kind::TicketOf,
    Kind::Throttle,
    Kind::Consent,
    Kind::Staged,
    Kind::Approval,
    Kind::Session,
    Kind::Client,
    Kind::Code,
    Kind::Family,
    Kind::Slot,
    Kind::Attempts,
];

fn key_of(kind: Kind) -> Key {
    Key::from_bytes([&[4][..], b"acme", &[kind as u8], &[1, b'x']].concat()).expect("it is short")
}

/// Bytes of a key.
///
/// # Panics
/// A law is broken.
pub fn key(data: &[u8]) {
    let Ok(key) = Key::from_bytes(data) else {
        assert!(data.is_empty() || data.len() > KEY_MAX_BYTES);
        return;
    };
    assert!(key.as_bytes() == data && key.starts_with(&key));
    if let Some(tenant) = key.tenant() {
        assert_eq!(tenant.len(), usize::from(data[0]));
    }
    // What a key is taken apart into makes that key and no other: no two keys name the same thing.
    for again in rewritten(&key) {
        assert_eq!(again, key);
    }
}

/// A sealed value, as somebody with access to the store could alter it: a byte for its kind, then the value.
///
/// # Panics
/// A law is broken.
pub fn sealed(data: &[u8]) {
    let mut choices = Choices::new(data);
    let kind = choices.one_of(&RECORDS);
    let (engine, key) = (engine(), key_of(kind));
    let value = choices.rest().to_vec();
    // Nobody without the key makes a value that opens, unless it is one of ours.
    let opened = opened_bytes(&engine, &key, &value);
    let stored = Versioned { value, version: Version(1) };
    let read = open_record(&engine, &key, &stored);
    assert!(opened.is_some() || read.is_err());
    if let Some((version, bytes)) = opened {
        assert_eq!(stored.value[1], version);
        assert_eq!(stored.value.len(), 6 + 24 + bytes.len() + 16);
        for other in RECORDS.into_iter().filter(|other| *other != kind) {
            assert!(opened_bytes(&engine, &key_of(other), &stored.value).is_none());
        }
        for at in [0, 1, 5, 6, 29, stored.value.len() - 1] {
            let mut altered = stored.value.clone();
            altered[at] ^= 1;
            assert!(opened_bytes(&engine, &key, &altered).is_none());
        }
    }
}

/// What stands under a seal: a byte for the kind, one for the version, the content.
///
/// # Panics
/// A law is broken.
pub fn record(data: &[u8]) {
    let mut choices = Choices::new(data);
    let kind = choices.one_of(&RECORDS);
    let version = choices.byte();
    let content = choices.rest();
    let (engine, key) = (engine(), key_of(kind));
    let value = seal_bytes(&engine, &moment(), &key, version, content);
    assert_eq!(opened_bytes(&engine, &key, &value), Some((version, content.to_vec())));
    let stored = Versioned { value, version: Version(1) };
    let record = match open_record(&engine, &key, &stored) {
        Ok(record) => record,
        // A refusal says nothing of what it refuses.
        Err(failure) => return assert!(failure.peer_text().is_none() && failure.slug() == "store.integrity"),
    };
    assert_eq!(version, 1, "no other version is written or read");
    let again = Versioned { value: record.seal(&engine, &moment()), version: Version(1) };
    let (_, written) = opened_bytes(&engine, &key, &again.value).expect("we have just sealed it");
    let read = open_record(&engine, &key, &again).expect("what is written can be read");
    assert_eq!(read, record);
    // There is one way to write a record.
    let last = opened_bytes(&engine, &key, &read.seal(&engine, &moment())).map(|(_, bytes)| bytes);
    assert_eq!(last, Some(written));
}
