//! The host in which scripts are recorded: a network that is a function, a store that is a map.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use grantway_core::moment::UnixMillis;
use grantway_core::operation::{
    Action, CommitReply, Effect, HttpReply, HttpRequest, HttpResponse, Peer, Precondition, ReadReply, Reply,
    Version, Versioned, Write,
};
use grantway_core::secret::SecretBytes;
use grantway_core::store::Key;

use crate::wire;

/// A host, whose clock stands still unless it is set.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    /// The records.
    pub(crate) rows: HashMap<Key, Versioned>,
    /// The clock.
    pub(crate) now: UnixMillis,
    last_version: u64,
    issued: u64,
}

impl Default for Memory {
    fn default() -> Self {
        // 2026-01-01.
        Self { rows: HashMap::new(), now: UnixMillis(1_767_225_600_000), last_version: 0, issued: 0 }
    }
}

impl Memory {
    /// Carries out an effect.
    pub(crate) fn perform(&mut self, effect: Effect) -> Reply {
        match effect {
            Effect::Commit { writes } => Reply::Commit(self.commit(writes)),
            Effect::Http(request) => Reply::Http(HttpReply::Response(self.answer(&request))),
            Effect::Read { keys } => {
                Reply::Read(ReadReply::Found(keys.iter().map(|key| self.rows.get(key).cloned()).collect()))
            }
            other @ (Effect::Identify { .. } | Effect::Scan { .. } | Effect::Sleep { .. }) => {
                panic!("no bench has {other:?}")
            }
        }
    }

    fn commit(&mut self, writes: Vec<Write>) -> CommitReply {
        let holds = |write: &Write| {
            let have = self.rows.get(&write.key).map(|row| row.version);
            match write.precondition {
                Precondition::Absent => have.is_none(),
                Precondition::Any => true,
                Precondition::Version(version) => have == Some(version),
            }
        };
        if !writes.iter().all(holds) {
            return CommitReply::Conflict;
        }
        for Write { key, action, .. } in writes {
            match action {
                Action::Delete => drop(self.rows.remove(&key)),
                Action::Keep => {}
                Action::Put { value, .. } => {
                    self.last_version += 1;
                    self.rows.insert(key, Versioned { value, version: Version(self.last_version) });
                }
            }
        }
        CommitReply::Committed
    }

    fn answer(&mut self, request: &HttpRequest) -> HttpResponse {
        match request.url.as_str() {
            wire::SERVER => {
                let challenge = ("www-authenticate".to_owned(), wire::CHALLENGE.to_owned());
                HttpResponse { headers: vec![challenge], ..response(401, "") }
            }
            wire::RESOURCE_METADATA => response(200, wire::RESOURCE_DOCUMENT),
            wire::ISSUER_METADATA => response(200, wire::ISSUER_DOCUMENT),
            wire::REGISTER => response(201, wire::REGISTRATION_DOCUMENT),
            wire::TOKEN => {
                self.issued += 1;
                response(200, wire::token_response(self.issued))
            }
            other => panic!("nobody is at `{other}`"),
        }
    }
}

fn response(status: u16, body: impl Into<String>) -> HttpResponse {
    HttpResponse {
        status,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: SecretBytes::new(body.into().into_bytes()),
        truncated: false,
        peer: Peer::Address(IpAddr::V4(Ipv4Addr::new(93, 184, 216, 34))),
    }
}
