//! Which of the connections a caller could use is the one for this call: the precedence list decides, and the answer says why.

use crate::connector::{Connector, CredentialScope};
use crate::limits::Limits;
use crate::moment::UnixMillis;
use crate::operation::Context;
use crate::principal::Principal;
use crate::store::Stored;
use crate::store::records::{Connection, ConnectorRecord};

/// An owner whose connection the caller could use, with what is stored of it.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Candidate {
    pub(crate) scope: CredentialScope,
    pub(crate) owner: Principal,
    pub(crate) stored: Option<Stored<Connection>>,
}

/// The choice.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) enum Choice {
    /// Nobody in the list is connected.
    Absent,
    /// The first one that counts is there and cannot be used.
    Broken(Candidate, Standing),
    /// This one; a refresh is due first.
    Refresh(Candidate),
    /// This one, as it is.
    Use(Candidate),
}

/// What a connection is good for at a given time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Standing {
    /// No grant: never connected, or disconnected.
    Absent,
    /// The grant cannot be used or refreshed any more.
    Ended(&'static str),
    /// It can be used once it is refreshed, or should be refreshed soon.
    Refreshable,
    /// Policy has withdrawn it.
    Suspended,
    /// It can be used.
    Usable,
}

impl Connection {
    /// What it is good for now.
    pub(crate) fn standing(&self, now: UnixMillis, limits: &Limits) -> Standing {
        if self.suspended.is_some() {
            return Standing::Suspended;
        }
        let Some(grant) = &self.grant else { return Standing::Absent };
        match (grant.is_usable(now), grant.condemned) {
            (true, Some(_)) => Standing::Usable,
            (false, Some(why)) => Standing::Ended(why.as_str()),
            (true, None) if grant.refresh_token.is_none() => Standing::Usable,
            (true, None) if !grant.is_due(self.id, now, limits) => Standing::Usable,
            (false, None) if grant.refresh_token.is_none() => Standing::Ended("expired"),
            (_, None) => Standing::Refreshable,
        }
    }
}

/// Goes through the candidates in their order. The policy is that of the connector that is called; the subject, if it is known, the
/// one they are connections to, as it is configured now.
pub(crate) fn choose(
    cx: &Context<'_>,
    policy: &Connector,
    subject: Option<&ConnectorRecord>,
    candidates: Vec<Candidate>,
) -> Choice {
    let standing = |connection: &Connection| {
        let standing = connection.standing(cx.now(), cx.engine.limits());
        let outdated =
            || subject.zip(connection.grant.as_ref()).and_then(|(now, grant)| grant.outdated(cx, now));
        match standing {
            Standing::Refreshable | Standing::Usable => outdated().map_or(standing, Standing::Ended),
            Standing::Absent | Standing::Ended(_) | Standing::Suspended => standing,
        }
    };
    let mut broken = None;
    for candidate in candidates {
        let standing = candidate.stored.as_ref().map_or(Standing::Absent, |stored| standing(&stored.record));
        match standing {
            Standing::Absent => {}
            Standing::Usable => return Choice::Use(candidate),
            Standing::Refreshable => return Choice::Refresh(candidate),
            Standing::Ended(_) | Standing::Suspended => {
                // F61: a broken personal credential is reported, not stepped over, unless the policy says so.
                if candidate.scope == CredentialScope::Personal && !policy.broken_personal_falls_back {
                    return Choice::Broken(candidate, standing);
                }
                broken.get_or_insert((candidate, standing));
            }
        }
    }
    broken.map_or(Choice::Absent, |(candidate, standing)| Choice::Broken(candidate, standing))
}
