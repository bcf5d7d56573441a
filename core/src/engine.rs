//! The engine: configuration, keys, and one constructor for each operation.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use crate::error::ConfigError;
use crate::limits::Limits;
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
    /// name itself has a callback path of its own. Never taken from a request. `None`: a process
    /// without pages of its own, whose challenges carry no URL and whose flows use a loopback redirect.
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
            let url = HttpUrl::parse(base, plain)
                .map_err(|invalid| ConfigError::new("base_url", base, invalid.0))?;
            if url.query().is_some() || base.ends_with('/') {
                return Err(ConfigError::new("base_url", base, "must have no query and no slash at the end"));
            }
        }
        if let Some(url) = &config.client_metadata_url {
            crate::protocol::client_metadata::check_client_id_url(url)
                .map_err(|invalid| ConfigError::new("client_metadata_url", url, invalid.0))?;
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

/// What saving new tokens may take: a read and a commit, once and for each further try.
pub(crate) fn save_time(limits: &Limits) -> u64 {
    limits.store_timeout_ms.saturating_mul(2 * (crate::limits::SAVE_RETRIES + 1))
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("config", &self.config).finish_non_exhaustive()
    }
}
