//! Effects: what an operation asks the host to do, one at a time.

use crate::address::AddressPolicy;
use crate::principal::{Principal, TenantId};
use crate::secret::{Secret, SecretBytes};
use crate::store::Key;

/// An order to the host. The host carries it out and hands the matching [`Reply`](super::Reply) to the next step.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub enum Effect {
    /// Put several records in place, or none: all or nothing.
    ///
    /// At most 100 writes, all of one tenant, each key at most once. A false `committed` loses a rotated refresh token;
    /// a false `conflict` redeems one twice: answer `unknown` when in doubt.
    Commit {
        /// The writes, in no particular order.
        writes: Vec<Write>,
    },
    /// One HTTP exchange.
    Http(HttpRequest),
    /// Say who somebody is, as the host knows it now.
    Identify {
        /// In which tenant.
        tenant: TenantId,
        /// Who is asked about.
        whom: Whom,
    },
    /// Several records, seen in one state.
    Read {
        /// The keys asked for; the answer has one entry for each, in this order.
        keys: Vec<Key>,
    },
    /// An ordered page of records.
    Scan {
        /// Only keys that begin with this one; never empty.
        prefix: Key,
        /// Only keys after this one.
        after: Option<Key>,
        /// At most so many.
        limit: u32,
    },
    /// Wait, then answer [`Reply::Woke`](super::Reply::Woke).
    Sleep {
        /// For how long, in milliseconds.
        for_ms: u64,
        /// A key whose commit by the host's own process may end the sleep early. Never needed for correctness.
        watch: Option<Key>,
    },
}

/// Whom an identification is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub enum Whom {
    /// The holder of this API key, as a person has typed it.
    Key(Secret),
    /// Somebody who was identified before: whether they still stand, and with which teams and role.
    Principal(Principal),
}

/// The methods the engine uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Reads a document.
    Get,
    /// Sends a form or a JSON body.
    Post,
}

impl Method {
    /// `GET` or `POST`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// One request header. The value may be a secret and is always shown redacted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub struct Header {
    /// The name, as the host is to send it.
    pub name: String,
    /// The value: visible ASCII and inner blanks, never CR, LF or NUL.
    pub value: Secret,
}

impl Header {
    pub(crate) fn new(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: Secret::new(value) }
    }
}

/// One HTTP exchange, to be made as written.
///
/// Redirects are never followed: a 3xx is the answer. The transport checks the address policy after name resolution, on the
/// address it really uses, and adds nothing but what HTTP itself needs. `Accept-Encoding: identity` is among the headers.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// An absolute `https` URL, or `http` on a loopback host in development. ASCII.
    pub url: String,
    /// All headers but `Host` and `Content-Length`.
    pub headers: Vec<Header>,
    /// The body; empty for GET.
    pub body: SecretBytes,
    /// Stop reading after so many bytes and answer with `truncated`.
    pub max_response_bytes: u32,
    /// The whole exchange may take so long, in milliseconds.
    pub timeout_ms: u64,
    /// Counted by a monotonic clock from receipt of this effect: if the first byte is not out by then, answer `not_sent`.
    pub start_within_ms: u64,
    /// Which addresses may be connected to.
    pub address_policy: AddressPolicy,
}

/// One write of a commit.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Clone, Hash))]
pub struct Write {
    /// The record.
    pub key: Key,
    /// What must be true of it for anything in the commit to happen.
    pub precondition: Precondition,
    /// What happens to it.
    pub action: Action,
}

/// What must be true of a record before a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precondition {
    /// There is no such record. It does not protect against deletion and re-creation; tombstones do.
    Absent,
    /// Nothing is asked.
    Any,
    /// The record is there with this version.
    Version(Version),
}

/// What a commit does to a record.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Clone, Hash))]
pub enum Action {
    /// Remove it.
    Delete,
    /// Leave it as it is; only with [`Precondition::Version`].
    Keep,
    /// Write it.
    Put {
        /// The bytes: sealed, or empty for an index record.
        value: Vec<u8>,
        /// From this time on (UNIX milliseconds) a store may delete the record; advice, safety never depends on it.
        expires_at: Option<u64>,
    },
}

/// A store's version of one record. It never repeats for a key, not even after deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);
