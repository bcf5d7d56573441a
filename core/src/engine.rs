//! The engine: configuration, keys, and one constructor for each operation.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::downstream::config::GatewayConfig;
use crate::error::ConfigError;
use crate::limits::Limits;
use crate::principal::TenantId;
use crate::protocol::url::{HttpUrl, PlainHttp};
use crate::store::Keyring;

/// How the engine treats what it cannot defend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Follows the specification and reports what it cannot defend.
    #[default]
    Standard,
    /// Refuses issuers that a mix-up could confuse, grants for a whole origin, and waivers.
    Strict,
}

/// What the host configures once.
#[derive(Debug)]
pub struct EngineConfig {
    /// The host's own public URL, under which `/connect/{ticket}`, `/callback` and `/callback/{any}` stand: each issuer that does not
    /// name itself has a callback path of its own. Never taken from a request. `{tenant}` in it stands for the tenant's id, so that each
    /// has an issuer and pages of its own. `None`: a process without pages of its own, whose challenges carry no URL and whose flows
    /// use a loopback redirect.
    pub base_url: Option<String>,
    /// Shown to people when the client registers itself.
    pub client_name: String,
    /// The URL of our client id metadata document (`https`), which must list `{base_url}/callback`; without a base URL,
    /// `/callback` on `http://127.0.0.1`, `http://[::1]` and `http://localhost`, where any port goes. `None`: no CIMD.
    pub client_metadata_url: Option<String>,
    /// Development: plain `http` on loopback hosts is acceptable.
    pub danger_loopback_http: bool,
    /// The host's transport, or the proxy it goes through, enforces address policies itself.
    pub egress_enforced: bool,
    /// The gateway: what MCP clients sign in at. `None`: there is none, and `handle` answers 404.
    pub gateway: Option<GatewayConfig>,
    /// What cannot be defended.
    pub profile: Profile,
    /// The numbers.
    pub limits: Limits,
}

impl EngineConfig {
    /// All defaults: no pages, no CIMD, `https` only, profile `standard`.
    pub fn new(client_name: impl Into<String>) -> Self {
        Self {
            base_url: None,
            client_name: client_name.into(),
            client_metadata_url: None,
            danger_loopback_http: false,
            egress_enforced: false,
            gateway: None,
            profile: Profile::default(),
            limits: Limits::default(),
        }
    }
}

/// The engine. It holds no state of any request; one serves all tenants and threads.
pub struct Engine {
    config: EngineConfig,
    keyring: Keyring,
}

impl Engine {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first field that is not acceptable.
    pub fn new(config: EngineConfig, keyring: Keyring) -> Result<Arc<Self>, ConfigError> {
        let plain = if config.danger_loopback_http { PlainHttp::Loopback } else { PlainHttp::Never };
        if let Some(base) = &config.base_url {
            let sample = base.replace(TENANT_PLACE, "tenant");
            let url = HttpUrl::parse(&sample, plain)
                .map_err(|invalid| ConfigError::new("base_url", base, invalid.0))?;
            if url.query().is_some() || base.ends_with('/') {
                return Err(ConfigError::new("base_url", base, "must have no query and no slash at the end"));
            }
        }
        if let Some(url) = &config.client_metadata_url {
            crate::protocol::client_metadata::check_client_id_url(url)
                .map_err(|invalid| ConfigError::new("client_metadata_url", url, invalid.0))?;
        }
        if let Some(gateway) = &config.gateway {
            if config.base_url.is_none() {
                return Err(ConfigError::new("gateway", "", "there is no gateway without a base URL"));
            }
            gateway.check()?;
        }
        let limits = &config.limits;
        // The border of `spec/refresh.md`, with the read that precedes each save.
        let needed =
            limits.store_timeout_ms.saturating_add(limits.http_timeout_ms).saturating_add(save_time(limits));
        if limits.lease_ms <= needed {
            return Err(ConfigError::new(
                "lease_ms",
                &limits.lease_ms.to_string(),
                "must be longer than one commit, one exchange and all saves together",
            ));
        }
        Ok(Arc::new(Self { config, keyring }))
    }

    /// The configuration.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// The base URL of a tenant's own pages. `None`: there is none, or the tenant's id cannot stand in it.
    pub fn base_url(&self, tenant: &TenantId) -> Option<Cow<'_, str>> {
        let base = self.config.base_url.as_deref()?;
        if !base.contains(TENANT_PLACE) {
            return Some(Cow::Borrowed(base));
        }
        let base = base.replace(TENANT_PLACE, &utf8_percent_encode(tenant.as_str(), RESERVED).to_string());
        // Written as every URL library would write it, for it is compared byte for byte: no capital in a host name, no dot segment.
        let url = HttpUrl::parse(&base, self.plain_http()).ok()?;
        let normal = url.as_str().strip_suffix('/').unwrap_or(url.as_str());
        (normal == base).then_some(Cow::Owned(base))
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.config.limits
    }

    pub(crate) fn plain_http(&self) -> PlainHttp {
        if self.config.danger_loopback_http { PlainHttp::Loopback } else { PlainHttp::Never }
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.config.profile == Profile::Strict
    }
}

/// Stands in a base URL for the tenant's id.
const TENANT_PLACE: &str = "{tenant}";
/// All but the unreserved characters (RFC 3986 §2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What saving new tokens may take: a read and a commit, once and for each further try.
pub(crate) fn save_time(limits: &Limits) -> u64 {
    limits.store_timeout_ms.saturating_mul(2 * (crate::limits::SAVE_RETRIES + 1))
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("config", &self.config).finish_non_exhaustive()
    }
}
