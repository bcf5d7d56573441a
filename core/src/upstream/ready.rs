//! What a resolution hands out: values for one call, and whose they are.

use serde::Serialize;

use crate::connector::Target;
use crate::error::{Code, Failure};
use crate::moment::{Moment, UnixMillis};
use crate::operation::{OperationId, Version};
use crate::principal::{ConnectorId, Principal, TenantId};
use crate::protocol::resource;
use crate::protocol::scopes::Scopes;
use crate::protocol::url::{HttpUrl, PlainHttp};
use crate::secret::Secret;
use crate::store::Key;

/// A credential for calls to one upstream, for one caller.
///
/// Ask it for the headers of each request anew, redirects included: it refuses URLs its grant is not for.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Clone, Hash))]
pub struct Ready {
    pub(crate) tenant: TenantId,
    pub(crate) injected: Vec<Injected>,
    pub(crate) attribution: Attribution,
    pub(crate) server_url: Option<HttpUrl>,
    pub(crate) audience: Option<HttpUrl>,
    pub(crate) loopback_http: bool,
    pub(crate) expires_at: Option<UnixMillis>,
    /// When a refresh is due.
    pub(crate) due_at: Option<UnixMillis>,
    pub(crate) scopes: Scopes,
    pub(crate) pool_key: String,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) resolved_at: UnixMillis,
    /// The records it rests on, with their versions.
    pub(crate) seen: Vec<(Key, Option<Version>)>,
    /// Whether those versions are what it was made from; not so right after a refresh.
    pub(crate) renewable: bool,
}

/// One value for a call.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Clone, Hash))]
pub(crate) struct Injected {
    pub(crate) target: Target,
    pub(crate) value: Secret,
}

/// Who acts with whose credential, and why: for audit logs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Attribution {
    /// The caller's principal.
    pub actor: Principal,
    /// Whose credential it is.
    pub owner: Principal,
    /// Which entry of the precedence list matched: `personal`, `team`, `org`, `agent`.
    pub scope: &'static str,
    /// Whether the owner is not the caller.
    pub shared: bool,
    /// The upstream.
    pub connector: ConnectorId,
    /// The account whose connection it is, where the upstream draws on one and has none of its own.
    pub account: Option<ConnectorId>,
    /// The connection; `None` if the call needs none. To be named in `report_rejected`.
    pub connection: Option<OperationId>,
    /// Of which generation its tokens are; 0 without a connection.
    pub generation: u64,
}

/// What the standard profile accepts and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// The issuer cannot be told from others in a callback.
    MixUpUnprotected,
    /// The grant is good for the whole origin.
    ParentGrant,
    /// The operator has switched checks off.
    Waived,
}

impl Ready {
    /// The headers for one request: names and values, borrowed. The method is that of the request, as it is sent: `GET`, `POST`,
    /// `DELETE`.
    ///
    /// # Errors
    /// `config.url_not_covered`: the URL is outside the connector's own server URL, or outside the grant's audience
    /// (same origin, path equal or below), or not acceptable at all.
    pub fn headers(
        &self,
        moment: &Moment,
        method: &str,
        url: &str,
    ) -> Result<impl Iterator<Item = (&str, &Secret)>, Failure> {
        // Bearer values depend on neither; a proof bound to a key, which differs for every request, does.
        let _ = (moment, method);
        //= spec/mcp-2026-07-28.md#idx-token-handling
        //# A server MUST NOT be sent any token but one of its own issuer for its own resource, not even by
        //# way of a redirect to another origin (USE-03, U).
        // atk:AUD-06
        if !self.covers(url)? {
            return Err(Failure::new(Code::UrlNotCovered));
        }
        Ok(self.injected_headers())
    }

    /// The headers for a request to the connector's own URL; empty for an account, which has none.
    pub fn own_headers(&self) -> impl Iterator<Item = (&str, &Secret)> {
        let any = self.server_url.is_some();
        self.injected_headers().filter(move |_| any)
    }

    fn covers(&self, url: &str) -> Result<bool, Failure> {
        let Some(server) = &self.server_url else { return Ok(false) };
        // The connector's own URL is the one mostly asked for; `into_ready` has seen that the audience covers it.
        if server.received() == url {
            return Ok(true);
        }
        let plain = if self.loopback_http { PlainHttp::Loopback } else { PlainHttp::Never };
        covers(server, self.audience.as_ref(), plain, url)
    }

    /// In the header, once, and nowhere else.
    fn injected_headers(&self) -> impl Iterator<Item = (&str, &Secret)> {
        //= spec/mcp-2026-07-28.md#idx-token-requirements
        //# Every HTTP request to the MCP server MUST carry the token as `Authorization: Bearer` (USE-01, U).
        //= spec/mcp-2026-07-28.md#idx-token-requirements
        //# A token MUST NOT stand in a query, nor be sent by two methods at once (USE-02, U).
        self.injected.iter().filter_map(|injected| match &injected.target {
            Target::Header(name) => Some((name.as_str(), &injected.value)),
            Target::Env(_) => None,
        })
    }

    /// The environment variables for one process.
    pub fn env(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.injected.iter().filter_map(|injected| match &injected.target {
            Target::Env(name) => Some((name.as_str(), &injected.value)),
            Target::Header(_) => None,
        })
    }

    /// Who acts with whose credential.
    pub fn attribution(&self) -> &Attribution {
        &self.attribution
    }

    /// The generation, to be named in `report_rejected`.
    pub fn generation(&self) -> u64 {
        self.attribution.generation
    }

    /// A key for pools of upstream sessions: those of another owner or generation are never shared.
    pub fn pool_key(&self) -> &str {
        &self.pool_key
    }

    /// When the credential ends, if that is known.
    pub fn expires_at(&self) -> Option<UnixMillis> {
        self.expires_at
    }

    /// The granted scopes.
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// What the profile `standard` accepts and reports.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

/// Whether a request to this URL stays within the connector's server and the grant's audience.
///
/// # Errors
/// `config.url_not_covered`: it is not acceptable as a URL.
pub(crate) fn covers(
    server: &HttpUrl,
    audience: Option<&HttpUrl>,
    plain: PlainHttp,
    url: &str,
) -> Result<bool, Failure> {
    let url =
        HttpUrl::parse(url, plain).map_err(|invalid| Failure::new(Code::UrlNotCovered).because(invalid.0))?;
    Ok(audience.is_none_or(|audience| resource::covers(audience, &url)) && resource::covers(server, &url))
}
