//! Replies: what the host answers to an effect.

use std::fmt;
use std::net::IpAddr;

use super::effect::Version;
use crate::principal::Caller;
use crate::secret::SecretBytes;
use crate::store::Key;

/// The host's answer to the pending effect. The first step of an operation takes [`Reply::Start`].
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub enum Reply {
    /// Nothing was asked yet.
    Start,
    /// To [`Effect::Commit`](super::Effect::Commit).
    Commit(CommitReply),
    /// To [`Effect::Http`](super::Effect::Http).
    Http(HttpReply),
    /// To [`Effect::Identify`](super::Effect::Identify).
    Identity(IdentityReply),
    /// To [`Effect::Read`](super::Effect::Read).
    Read(ReadReply),
    /// To [`Effect::Scan`](super::Effect::Scan).
    Scan(ScanReply),
    /// To [`Effect::Sleep`](super::Effect::Sleep).
    Woke {
        /// How long it was, in milliseconds of a monotonic clock. The engine counts by it how long a lease was watched.
        after_ms: u64,
    },
}

/// How a commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommitReply {
    /// Every write is durable.
    Committed,
    /// A precondition did not hold; nothing was written.
    Conflict,
    /// Surely nothing was written, and the store cannot be used at the moment.
    Unavailable,
    /// The connection was lost after sending: it may have been written, now or later.
    Unknown,
}

/// How an HTTP exchange ended.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub enum HttpReply {
    /// Surely no byte of the request has left: refused, no such name, address policy, or too late to start.
    NotSent(NotSent),
    /// A whole answer, or as much of it as was allowed.
    Response(HttpResponse),
    /// Something may have been sent, and no whole answer came.
    UnknownOutcome,
}

/// Why nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotSent {
    /// The name leads only to addresses the policy forbids.
    AddressRefused,
    /// No connection, no such name, no TLS session.
    Unreachable,
    /// `start_within_ms` was over.
    TooLate,
}

/// A response, redirects included. Its `Debug` form names its headers and shows no value.
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// The headers in order, repeated ones included. Names in any case.
    pub headers: Vec<(String, String)>,
    /// The body, at most `max_response_bytes`.
    pub body: SecretBytes,
    /// Whether the body was longer than allowed and is cut.
    pub truncated: bool,
    /// To whom the transport was connected.
    pub peer: Peer,
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("HttpResponse")
            .field("status", &self.status)
            .field("headers", &headers)
            .field("truncated", &self.truncated)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl HttpResponse {
    /// The first value of a header, by its lower-case name.
    pub(crate) fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// All values of a header, by its lower-case name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(have, _)| have.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// To whom a transport was connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// The address really connected to.
    Address(IpAddr),
    /// A proxy stood between; accepted only where the host declared that the proxy enforces the address policy.
    ViaProxy,
}

/// Who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub enum IdentityReply {
    /// This caller of the tenant asked about; for a principal asked about, that principal.
    Caller(Box<Caller>),
    /// Nobody: no such key, or the principal is gone or disabled.
    Rejected,
    /// It cannot be said at the moment. Never taken for a rejection, nor for its contrary.
    Unavailable,
}

/// The records asked for, seen in one state.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub enum ReadReply {
    /// One entry for each key, in the order of the question.
    Found(Vec<Option<Versioned>>),
    /// The store cannot be used at the moment.
    Unavailable,
}

/// A stored value with its version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Versioned {
    /// The bytes as they were put.
    pub value: Vec<u8>,
    /// The store's version of them.
    pub version: Version,
}

/// A page of records.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub enum ScanReply {
    /// The page, ascending by the bytes of the key.
    Page {
        /// The records.
        entries: Vec<(Key, Versioned)>,
        /// Whether records may follow after the last entry.
        more: bool,
    },
    /// The store cannot be used at the moment.
    Unavailable,
}
