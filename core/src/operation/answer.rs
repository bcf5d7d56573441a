//! Replies, checked against the effect they answer: the one place where misuse is found and where a response from a
//! forbidden address is dropped, so that no machine has to think of either.

use super::Misuse;
use super::effect::{Effect, Whom};
use super::reply::{
    CommitReply, HttpReply, HttpResponse, IdentityReply, NotSent, Peer, ReadReply, Reply, ScanReply,
    Versioned,
};
use crate::address::AddressPolicy;
use crate::engine::EngineConfig;
use crate::principal::{Principal, TenantId};
use crate::store::Key;

/// A reply as machines see it.
pub(crate) enum Answer {
    Start,
    Commit(CommitReply),
    Http(Result<HttpResponse, HttpFault>),
    Identity(IdentityReply),
    /// `None`: the store is unavailable.
    Read(Option<Vec<Option<Versioned>>>),
    /// `None`: the store is unavailable.
    Scan(Option<(Vec<(Key, Versioned)>, bool)>),
    Woke {
        after_ms: u64,
    },
}

/// Why there is no response to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpFault {
    /// The name leads to a forbidden address: nothing was sent, or the response was dropped unread.
    AddressRefused { sent: bool },
    /// Surely nothing was sent.
    NotSent,
    /// The body was longer than the limit.
    TooLarge,
    /// The body came encoded though `identity` was asked for.
    Encoded,
    /// Something may have been sent; no answer.
    Unknown,
}

/// What the pending effect wants to hear.
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) enum Pending {
    Start,
    Commit,
    Http { policy: AddressPolicy, max_bytes: u32, egress_enforced: bool },
    Identify { tenant: TenantId, principal: Option<Principal> },
    Read { count: usize },
    Scan { prefix: Key, after: Option<Key>, limit: u32 },
    Sleep,
}

impl Pending {
    pub(crate) fn of(effect: &Effect, config: &EngineConfig) -> Self {
        match effect {
            Effect::Commit { .. } => Self::Commit,
            Effect::Http(request) => Self::Http {
                policy: request.address_policy.clone(),
                max_bytes: request.max_response_bytes,
                egress_enforced: config.egress_enforced,
            },
            Effect::Identify { tenant, whom } => Self::Identify {
                tenant: tenant.clone(),
                principal: match whom {
                    Whom::Key(_) => None,
                    Whom::Principal(principal) => Some(principal.clone()),
                },
            },
            Effect::Read { keys } => Self::Read { count: keys.len() },
            Effect::Scan { prefix, after, limit } => {
                Self::Scan { prefix: prefix.clone(), after: after.clone(), limit: *limit }
            }
            Effect::Sleep { .. } => Self::Sleep,
        }
    }

    /// The reply as an answer, or `Misuse` if it answers something else.
    pub(crate) fn accept(&self, reply: Reply) -> Result<Answer, Misuse> {
        match (self, reply) {
            (Self::Start, Reply::Start) => Ok(Answer::Start),
            (Self::Commit, Reply::Commit(reply)) => Ok(Answer::Commit(reply)),
            (Self::Http { policy, max_bytes, egress_enforced }, Reply::Http(reply)) => {
                Ok(Answer::Http(receive(reply, policy, *max_bytes, *egress_enforced)))
            }
            // A caller of another tenant, or another one than was asked about, is no answer (atk:TEN-02).
            (Self::Identify { tenant, principal }, Reply::Identity(IdentityReply::Caller(caller)))
                if caller.tenant == *tenant
                    && principal.as_ref().is_none_or(|asked| *asked == caller.principal) =>
            {
                Ok(Answer::Identity(IdentityReply::Caller(caller)))
            }
            (
                Self::Identify { .. },
                Reply::Identity(reply @ (IdentityReply::Rejected | IdentityReply::Unavailable)),
            ) => Ok(Answer::Identity(reply)),
            (Self::Read { .. }, Reply::Read(ReadReply::Unavailable)) => Ok(Answer::Read(None)),
            (Self::Read { count }, Reply::Read(ReadReply::Found(records))) if records.len() == *count => {
                Ok(Answer::Read(Some(records)))
            }
            (Self::Scan { .. }, Reply::Scan(ScanReply::Unavailable)) => Ok(Answer::Scan(None)),
            (Self::Scan { prefix, after, limit }, Reply::Scan(ScanReply::Page { entries, more }))
                if is_page(&entries, prefix, after.as_ref(), *limit) =>
            {
                Ok(Answer::Scan(Some((entries, more))))
            }
            (Self::Sleep, Reply::Woke { after_ms }) => Ok(Answer::Woke { after_ms }),
            _ => Err(Misuse::UnexpectedReply { expected: self.wants() }),
        }
    }

    const fn wants(&self) -> &'static str {
        match self {
            Self::Start => "`start`",
            Self::Commit => "a reply to `commit`",
            Self::Http { .. } => "a reply to `http`",
            Self::Identify { .. } => "`identity`: a caller of the tenant, the principal asked about",
            Self::Read { .. } => "a reply to `read` with one entry for each key",
            Self::Scan { .. } => {
                "a reply to `scan`: keys of the prefix in ascending order, at most the limit"
            }
            Self::Sleep => "`woke`",
        }
    }
}

fn is_page(entries: &[(Key, Versioned)], prefix: &Key, after: Option<&Key>, limit: u32) -> bool {
    let in_order = entries.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if a < b));
    let in_range =
        entries.iter().all(|(key, _)| key.starts_with(prefix) && after.is_none_or(|after| key > after));
    in_order && in_range && entries.len() <= limit as usize
}

fn receive(
    reply: HttpReply,
    policy: &AddressPolicy,
    max_bytes: u32,
    egress_enforced: bool,
) -> Result<HttpResponse, HttpFault> {
    let response = match reply {
        HttpReply::NotSent(NotSent::AddressRefused) => return Err(HttpFault::AddressRefused { sent: false }),
        HttpReply::NotSent(NotSent::Unreachable | NotSent::TooLate) => return Err(HttpFault::NotSent),
        HttpReply::UnknownOutcome => return Err(HttpFault::Unknown),
        HttpReply::Response(response) => response,
    };
    // atk:NET-04: what came from a forbidden address is dropped before anything reads it.
    let allowed = match response.peer {
        Peer::Address(address) => policy.permits(address),
        Peer::ViaProxy => egress_enforced,
    };
    if !allowed {
        return Err(HttpFault::AddressRefused { sent: true });
    }
    if response.truncated || response.body.expose().len() > max_bytes as usize {
        return Err(HttpFault::TooLarge);
    }
    // atk:NET-11
    if response.all("content-encoding").any(|coding| !coding.trim().eq_ignore_ascii_case("identity")) {
        return Err(HttpFault::Encoded);
    }
    Ok(response)
}
