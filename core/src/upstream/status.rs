//! Status: where a connection stands, derived in one place from its record, its connector and the time. Nothing of it is stored.

mod list;
mod of;
mod overview;
mod rows;

use serde::Serialize;

use super::Place;
use super::choose::Standing;
use super::ready::Warning;
use super::resolve::warnings;
use crate::connector::CredentialScope;
use crate::error::Code;
use crate::moment::UnixMillis;
use crate::operation::{Context, OperationId};
use crate::policy::{check_assurance, may_manage, may_withdraw, owners};
use crate::principal::{Caller, ConnectorId, Principal};
use crate::protocol::resource::covers;
use crate::protocol::scopes::Scopes;
use crate::protocol::url::HttpUrl;
use crate::store::records::{Connection, ConnectorRecord, Flow, FlowStatus, Grant};

pub use self::list::{ListConnections, Listed, ListingConnections};
pub use self::of::{ConnectorStatus, FindingStatus, StatusOf};
pub(crate) use self::overview::{Overviewing, Seen, wants_connection};

/// Where a connection stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It can be used, or will be refreshed when it is used next.
    Connected,
    /// The person is on the way through consent.
    Connecting,
    /// There is no grant, and nobody is about to get one.
    Disconnected,
    /// The last attempt to connect, or to refresh a token that has ended, failed.
    Error {
        /// The failure's slug.
        code: String,
    },
    /// The token has ended, and there is nothing to refresh it with.
    Expired,
    /// The grant cannot be refreshed, or not be used, any more: the person has to connect again.
    NeedsReauth {
        /// Why.
        reason: &'static str,
    },
    /// It can be used, but more was asked for than was granted.
    NeedsScope {
        /// What is missing.
        missing: Scopes,
    },
    /// Policy has withdrawn the right to use it; connecting again does not help.
    Suspended,
}

impl Status {
    /// As one of the four that user interfaces know: `connected`, `disconnected`, `expired`, `error`.
    pub const fn coarse(&self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Connecting | Self::Disconnected => "disconnected",
            Self::Expired | Self::NeedsReauth { .. } => "expired",
            Self::Error { .. } | Self::NeedsScope { .. } | Self::Suspended => "error",
        }
    }

    /// What is wrong, in one word: a slug or a reason.
    fn error(&self) -> Option<String> {
        match self {
            Self::Connected | Self::Connecting | Self::Disconnected => None,
            Self::Error { code } => Some(code.clone()),
            Self::Expired => Some("expired".to_owned()),
            Self::NeedsReauth { reason } => Some((*reason).to_owned()),
            Self::NeedsScope { .. } => Some("needs_scope".to_owned()),
            Self::Suspended => Some("suspended".to_owned()),
        }
    }
}

/// The status block of user interfaces. Its URLs carry no right: the pages behind them know who is signed in, and a GET of them
/// changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct PerUserAuth {
    /// One of four: `connected`, `disconnected`, `expired`, `error`.
    pub status: &'static str,
    /// The same in full.
    pub state: Status,
    /// Where the caller can connect, if it may and that would help.
    pub connect_url: Option<String>,
    /// Where the caller can disconnect, if it may and there is something to disconnect.
    pub disconnect_url: Option<String>,
    /// The oauth scopes granted.
    pub scopes: Scopes,
    /// When the access token ends, if the issuer said so.
    pub expires_at: Option<UnixMillis>,
    /// What is wrong, in one word.
    pub error: Option<String>,
}

impl PerUserAuth {
    fn bare(state: Status) -> Self {
        Self {
            status: state.coarse(),
            connect_url: None,
            disconnect_url: None,
            scopes: Scopes::default(),
            expires_at: None,
            error: state.error(),
            state,
        }
    }
}

/// Everything there is to say of one connection. There is no secret in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ConnectionStatus {
    /// To which upstream.
    pub connector: ConnectorId,
    /// Whose connection.
    pub owner: Principal,
    /// The class of owner that the caller may use it as; `None`: the caller may see and manage it, not use it.
    pub scope: Option<&'static str>,
    /// The connection; `None`: there was never one.
    pub connection: Option<OperationId>,
    /// Where it stands.
    pub per_user_auth: PerUserAuth,
    /// What people call the account. Untrusted text of the issuer.
    pub account: Option<String>,
    /// Another account that waits to be confirmed.
    pub held: Option<HeldAccount>,
    /// Who connected it last.
    pub connected_by: Option<Principal>,
    /// When.
    pub connected_at: Option<UnixMillis>,
    /// The issuer of its grant.
    pub issuer: Option<String>,
    /// What the standard profile accepts and reports of its grant.
    pub warnings: Vec<Warning>,
    /// The checks that its grant was obtained without.
    pub waivers: Vec<&'static str>,
    /// A token nobody here has seen, or that could not be revoked, may live on upstream: only the person can end it there.
    pub doubt: bool,
    /// How many tokens wait to be revoked upstream.
    pub unrevoked: usize,
}

impl ConnectionStatus {
    /// Whether there is more to say than that somebody was connected once.
    fn says_something(&self) -> bool {
        self.per_user_auth.state != Status::Disconnected
            || self.doubt
            || self.unrevoked > 0
            || self.held.is_some()
    }
}

/// An account that a reconnect has brought in the place of another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct HeldAccount {
    /// What people call it. Untrusted text of the issuer.
    pub account: Option<String>,
    /// Since when; `confirm_account` names it by this.
    pub held_since: UnixMillis,
}

/// What a status is derived from.
struct View<'a> {
    caller: &'a Caller,
    place: &'a Place,
    scope: Option<&'a CredentialScope>,
    connection: Option<&'a Connection>,
    connector: Option<&'a ConnectorRecord>,
    /// The newest flow, where there is no grant.
    flow: Option<&'a Flow>,
}

impl View<'_> {
    fn shown(&self, cx: &Context<'_>) -> ConnectionStatus {
        let status = status(cx, self);
        let (connection, Place { owner, connector, .. }) = (self.connection, self.place);
        let grant = connection.and_then(|connection| connection.grant.as_deref());
        let label = |account: &crate::protocol::id_token::Account| account.label.clone();
        ConnectionStatus {
            connector: connector.clone(),
            owner: owner.clone(),
            scope: self.scope.map(CredentialScope::as_str),
            connection: connection.map(|connection| connection.id),
            per_user_auth: PerUserAuth {
                status: status.coarse(),
                connect_url: self.connect_url(cx, &status),
                disconnect_url: self.disconnect_url(cx),
                scopes: grant.map(|grant| grant.scopes.clone()).unwrap_or_default(),
                expires_at: grant.and_then(|grant| grant.expires_at),
                error: status.error(),
                state: status,
            },
            account: connection.and_then(|connection| connection.account.as_ref()).and_then(label),
            held: connection.and_then(|connection| connection.awaiting.as_ref()).map(|held| HeldAccount {
                account: held.account.as_ref().and_then(label),
                held_since: held.grant.obtained_at,
            }),
            connected_by: connection.and_then(|connection| connection.connected_by.clone()),
            connected_at: connection.and_then(|connection| connection.connected_at),
            issuer: grant.map(|grant| grant.terms.issuer.clone()),
            warnings: grant.map(warnings).unwrap_or_default(),
            waivers: grant.map(|grant| grant.terms.waivers.names()).unwrap_or_default(),
            doubt: connection.is_some_and(|connection| connection.doubt),
            unrevoked: connection.map_or(0, |connection| connection.outbox.len()),
        }
    }

    fn connect_url(&self, cx: &Context<'_>, status: &Status) -> Option<String> {
        // As `begin_connect` sees it: nobody is led to a page that refuses.
        let may_begin = |record: &ConnectorRecord| {
            let config = &record.connector;
            let is_used = owners(self.caller, config).iter().any(|(_, owner)| *owner == self.place.owner);
            is_used && check_assurance(self.caller, config).is_ok()
        };
        let helps = *status != Status::Suspended && self.connector.is_some_and(may_begin);
        (helps && may_manage(self.caller, &self.place.owner)).then(|| self.page(cx, "connect"))?
    }

    fn disconnect_url(&self, cx: &Context<'_>) -> Option<String> {
        let connected = self.connection.is_some_and(|connection| connection.grant.is_some());
        (connected && may_withdraw(self.caller, &self.place.owner)).then(|| self.page(cx, "connections"))?
    }

    /// A page of our own, asked about this connection.
    fn page(&self, cx: &Context<'_>, page: &str) -> Option<String> {
        let Place { tenant, owner, connector } = self.place;
        let base = cx.engine.base_url(tenant)?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("connector", connector.as_str());
        if *owner != self.caller.principal {
            query.append_pair("owner_kind", owner.kind().as_str()).append_pair("owner", owner.id());
        }
        Some(format!("{base}/{page}?{}", query.finish()))
    }
}

/// The one place where a status is derived.
fn status(cx: &Context<'_>, view: &View<'_>) -> Status {
    let (now, limits) = (cx.now(), cx.engine.limits());
    let Some(connection) = view.connection else { return Status::Disconnected };
    if connection.suspended.is_some() {
        return Status::Suspended;
    }
    let Some(grant) = &connection.grant else {
        if view.flow.is_some_and(|flow| flow.is_under_way(connection, now, limits.clock_skew_ms)) {
            return Status::Connecting;
        }
        return connection.last_failure.clone().map_or(Status::Disconnected, |code| Status::Error { code });
    };
    if let Some(reason) = view.connector.and_then(|connector| grant.outdated(cx, connector)) {
        return Status::NeedsReauth { reason };
    }
    match connection.standing(now, limits) {
        Standing::Absent => return Status::Disconnected,
        Standing::Suspended => return Status::Suspended,
        Standing::Ended("expired") => return Status::Expired,
        Standing::Ended(reason) => return Status::NeedsReauth { reason },
        Standing::Refreshable if !grant.is_usable(now) && grant.backoff.is_some() => {
            let code = || Code::IssuerUnavailable.slug().to_owned();
            return Status::Error { code: connection.last_failure.clone().unwrap_or_else(code) };
        }
        Standing::Refreshable | Standing::Usable => {}
    }
    // It works until its token ends; who is told now can connect again before that.
    if let Some(why) = grant.condemned {
        return Status::NeedsReauth { reason: why.as_str() };
    }
    let missing = connection.missing(grant, view.connector, now, limits.step_up_window_ms);
    if missing.is_empty() { Status::Connected } else { Status::NeedsScope { missing } }
}

impl Flow {
    /// Whether a person may still be on the way through consent.
    fn is_under_way(&self, connection: &Connection, now: UnixMillis, clock_skew_ms: u64) -> bool {
        let open = matches!(self.status, FlowStatus::Created | FlowStatus::Claimed(_));
        let in_time = self.created_at <= now.plus(clock_skew_ms) && now < self.expires_at;
        open && in_time && self.epoch == connection.epoch
    }
}

impl Connection {
    /// What was asked for since the consent and never requested in one: by the resource within the window of step-ups, or by the
    /// connector as it is now. What the person was asked for and did not grant is not missing: asking again would not help.
    fn missing(
        &self,
        grant: &Grant,
        connector: Option<&ConnectorRecord>,
        now: UnixMillis,
        window_ms: u64,
    ) -> Scopes {
        let steps_up = self.step_ups.iter().any(|step_up| now < step_up.since.plus(window_ms));
        let by_resource = steps_up.then_some(&self.wanted);
        let by_connector = connector
            .filter(|connector| connector.revision != grant.terms.connector_revision)
            .and_then(|connector| connector.connector.scopes.as_ref());
        let missing = |wanted: Option<&Scopes>| {
            let wanted = wanted.cloned().unwrap_or_default();
            wanted.missing_from(&self.requested).missing_from(&grant.scopes)
        };
        let (by_resource, by_connector) = (missing(by_resource), missing(by_connector));
        // Too many for one request: those of the resource are what a call stopped at.
        by_resource.union(&by_connector).unwrap_or(by_resource)
    }
}

impl Grant {
    /// Why the connector, changed since the consent, has no use for this grant any more; `None`: it still fits (F116).
    pub(crate) fn outdated(&self, cx: &Context<'_>, record: &ConnectorRecord) -> Option<&'static str> {
        let (terms, connector) = (&self.terms, &record.connector);
        let plain = cx.engine.plain_http();
        let is_covered = |server: &str| {
            if terms.audience == server {
                return true;
            }
            let parsed = (HttpUrl::parse(&terms.audience, plain), HttpUrl::parse(server, plain));
            matches!(parsed, (Ok(audience), Ok(server)) if covers(&audience, &server))
        };
        if connector.server_url().is_some_and(|server| !is_covered(server)) {
            return Some("resource_changed");
        }
        // atk:MIX-05
        let is_issuer = |configured: &str| {
            let aliases = &terms.waivers.danger_trusted_issuers;
            configured == terms.issuer
                || aliases.iter().any(|(asked, answered)| asked == configured && *answered == terms.issuer)
        };
        connector.demanded_issuer().is_some_and(|issuer| !is_issuer(issuer)).then_some("issuer_changed")
    }
}

#[cfg(test)]
mod tests;
