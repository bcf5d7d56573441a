//! A store, a clock and an issuer's answers for tests of operations on records: everything in one map, stepped by hand.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::connector::Connector;
use crate::engine::{Engine, EngineConfig};
use crate::error::Failure;
use crate::event::{Event, What};
use crate::moment::{Moment, UnixMillis};
use crate::operation::{
    Action, CommitReply, Effect, HttpReply, HttpRequest, HttpResponse, IdentityReply, Machine, Operation,
    OperationId, Peer, Precondition, ReadReply, Reply, ScanReply, Step, Version, Versioned, Write,
};
use crate::principal::{Caller, ConnectorId, Principal};
use crate::protocol::client_auth::AuthMethod;
use crate::protocol::scopes::Scopes;
use crate::secret::{Secret, SecretBytes};
use crate::store::records::{Client, ConnectorRecord, Grant, RegistrationSource, Terms};
use crate::store::{Key, Keyring, Record, SealingKey};
use crate::upstream::Place;

/// 2026-01-01T00:00:00Z.
pub(crate) const NOW: UnixMillis = UnixMillis(1_767_225_600_000);

/// How the next commit goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is written, and nobody knows.
    UnknownLost,
    /// Everything is written, and nobody knows.
    UnknownWritten,
    /// Nothing is written.
    Conflict,
}

pub(crate) struct Desk {
    pub(crate) engine: Arc<Engine>,
    pub(crate) now: UnixMillis,
    pub(crate) events: Vec<Event>,
    /// What the next commits come to; none: they succeed if their preconditions hold.
    pub(crate) faults: VecDeque<Fault>,
    /// Statuses that the next HTTP exchanges are answered with; none: no answer.
    pub(crate) answers: VecDeque<u16>,
    /// Whole answers for the next HTTP exchanges, before those statuses.
    pub(crate) replies: VecDeque<HttpReply>,
    pub(crate) requests: Vec<HttpRequest>,
    /// What the host says of anybody.
    pub(crate) identity: IdentityReply,
    rows: BTreeMap<Key, Versioned>,
    version: u64,
    steps: u64,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with(EngineConfig {
            base_url: Some("https://gateway.example/mcp".to_owned()),
            ..EngineConfig::new("Tests")
        })
    }

    pub(crate) fn with(config: EngineConfig) -> Self {
        let bytes = |seed: u8| std::array::from_fn(|at| (at as u8).wrapping_mul(7).wrapping_add(seed));
        let keyring = Keyring::new(SealingKey::new(1, bytes(1)), bytes(2)).unwrap();
        Self {
            engine: Engine::new(config, keyring).unwrap(),
            now: NOW,
            events: Vec::new(),
            faults: VecDeque::new(),
            answers: VecDeque::new(),
            replies: VecDeque::new(),
            requests: Vec::new(),
            identity: IdentityReply::Unavailable,
            rows: BTreeMap::new(),
            version: 0,
            steps: 0,
        }
    }

    /// Carries out all the operation asks for.
    pub(crate) fn run<M: Machine>(&mut self, mut operation: Operation<M>) -> Result<M::Output, Failure> {
        let mut reply = Reply::Start;
        for _ in 0..10_000 {
            let moment = self.moment();
            match operation.step(&moment, reply).unwrap() {
                Step::Perform(effect) => reply = self.perform(effect),
                Step::Done(outcome) => {
                    self.events.extend(outcome.events);
                    return outcome.result;
                }
            }
        }
        panic!("the operation does not end");
    }

    /// The events since the last call.
    pub(crate) fn news(&mut self) -> Vec<What> {
        std::mem::take(&mut self.events).into_iter().map(|event| event.what).collect()
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
    }

    pub(crate) fn put<T: Record>(&mut self, key: &Key, record: &T) {
        self.put_version(key, T::VERSION, record);
    }

    /// As `put`, sealed as of some version.
    pub(crate) fn put_version<T: Record>(&mut self, key: &Key, version: u8, record: &T) {
        let plain = json!({ "by": OperationId([9; 16]), "record": record }).to_string();
        let entropy = self.moment().entropy;
        let sealed = self.engine.keyring().seal(&entropy, key, version, |it| it.push(plain.as_bytes()));
        self.put_raw(key, sealed);
    }

    pub(crate) fn put_raw(&mut self, key: &Key, value: Vec<u8>) {
        self.version += 1;
        self.rows.insert(key.clone(), Versioned { value, version: Version(self.version) });
    }

    pub(crate) fn get<T: Record>(&self, key: &Key) -> Option<T> {
        let (version, plain) = self.engine.keyring().open(key, &self.rows.get(key)?.value).unwrap();
        assert_eq!(version, T::VERSION);
        let mut value: Value = serde_json::from_slice(&plain).unwrap();
        Some(serde_json::from_value(value["record"].take()).unwrap())
    }

    pub(crate) fn has(&self, key: &Key) -> bool {
        self.rows.contains_key(key)
    }

    /// All keys under a prefix.
    pub(crate) fn keys(&self, prefix: &Key) -> Vec<Key> {
        self.rows.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// Every row, for comparing states.
    pub(crate) fn rows(&self) -> &BTreeMap<Key, Versioned> {
        &self.rows
    }

    pub(crate) fn moment(&mut self) -> Moment {
        self.steps += 1;
        let steps = self.steps.to_be_bytes();
        Moment::new(self.now, std::array::from_fn(|at| steps[at % 8] ^ at as u8 ^ 0x5a))
    }

    pub(crate) fn perform(&mut self, effect: Effect) -> Reply {
        match effect {
            Effect::Commit { writes } => Reply::Commit(self.commit(writes)),
            Effect::Http(request) => {
                self.requests.push(request);
                if let Some(reply) = self.replies.pop_front() {
                    return Reply::Http(reply);
                }
                Reply::Http(self.answers.pop_front().map_or(HttpReply::UnknownOutcome, |status| {
                    HttpReply::Response(HttpResponse {
                        status,
                        headers: Vec::new(),
                        body: SecretBytes::default(),
                        truncated: false,
                        peer: Peer::Address(IpAddr::V4(Ipv4Addr::new(93, 184, 216, 34))),
                    })
                }))
            }
            Effect::Identify { .. } => Reply::Identity(self.identity.clone()),
            Effect::Read { keys } => {
                assert!(keys.len() <= 1000, "a read of {} keys", keys.len());
                Reply::Read(ReadReply::Found(keys.iter().map(|key| self.rows.get(key).cloned()).collect()))
            }
            Effect::Scan { prefix, after, limit } => {
                let mut entries: Vec<_> = self
                    .rows
                    .iter()
                    .filter(|(key, _)| {
                        key.starts_with(&prefix) && after.as_ref().is_none_or(|after| *key > after)
                    })
                    .take(limit as usize + 1)
                    .map(|(key, row)| (key.clone(), row.clone()))
                    .collect();
                let more = entries.len() > limit as usize;
                entries.truncate(limit as usize);
                Reply::Scan(ScanReply::Page { entries, more })
            }
            Effect::Sleep { for_ms, .. } => {
                self.pass(for_ms);
                Reply::Woke { after_ms: for_ms }
            }
        }
    }

    fn commit(&mut self, writes: Vec<Write>) -> CommitReply {
        assert!(writes.len() <= 100, "a commit of {} writes", writes.len());
        let keys: std::collections::BTreeSet<_> = writes.iter().map(|write| &write.key).collect();
        assert_eq!(keys.len(), writes.len(), "a key stands twice in a commit");
        let fault = self.faults.pop_front();
        match fault {
            Some(Fault::Conflict) => return CommitReply::Conflict,
            Some(Fault::UnknownLost) => return CommitReply::Unknown,
            Some(Fault::UnknownWritten) | None => {}
        }
        let holds = writes.iter().all(|write| match (write.precondition, self.rows.get(&write.key)) {
            (Precondition::Any, _) | (Precondition::Absent, None) => true,
            (Precondition::Version(version), Some(row)) => row.version == version,
            _ => false,
        });
        if !holds {
            return CommitReply::Conflict;
        }
        for write in writes {
            match write.action {
                Action::Delete => drop(self.rows.remove(&write.key)),
                Action::Keep => {}
                Action::Put { value, .. } => self.put_raw(&write.key, value),
            }
        }
        if fault.is_some() { CommitReply::Unknown } else { CommitReply::Committed }
    }
}

/// A verified member of tenant `acme`.
pub(crate) fn caller(user: &str) -> Caller {
    Caller::new("acme", Principal::user(user).unwrap()).unwrap()
}

pub(crate) fn connector_id(id: &str) -> ConnectorId {
    ConnectorId::new(id).unwrap()
}

/// The place of a user's connection in tenant `acme`.
pub(crate) fn place(user: &str, connector: &str) -> Place {
    let Caller { tenant, principal, .. } = caller(user);
    Place { tenant, owner: principal, connector: connector_id(connector) }
}

pub(crate) fn server(url: &str) -> ConnectorRecord {
    ConnectorRecord { connector: Connector::server(url), client_secret: None, revision: 1, unverified: false }
}

/// A grant for `https://mcp.example/` with tokens that name `tag`; it ends an hour after [`NOW`].
pub(crate) fn grant(tag: &str) -> Grant {
    Grant {
        access_token: Secret::new(format!("canary-access-{tag}")),
        refresh_token: Some(Secret::new(format!("canary-refresh-{tag}"))),
        obtained_at: NOW,
        expires_at: Some(NOW.plus(3_600_000)),
        terms: Terms {
            issuer: "https://as.example".to_owned(),
            token_endpoint: "https://as.example/token".to_owned(),
            revocation_endpoint: Some("https://as.example/revoke".to_owned()),
            client: Client {
                id: "client-1".to_owned(),
                method: AuthMethod::ClientSecretBasic,
                secret: Some(Secret::new("canary-client-secret")),
                source: RegistrationSource::Dynamic,
                redirect_uri: "https://gateway.example/mcp/callback".to_owned(),
            },
            resource: Some("https://mcp.example/".to_owned()),
            audience: "https://mcp.example/".to_owned(),
            parent: false,
            protected: true,
            dialect: Default::default(),
            waivers: Default::default(),
            address_policy: Default::default(),
            revocation_policy: Default::default(),
            connector_revision: 1,
        },
        scopes: Scopes::parse("files:read").unwrap(),
        family: 1,
        sends: 0,
        lease: None,
        backoff: None,
        condemned: None,
        rejected_at: None,
    }
}
