//! The addresses of one tenant's gateway. They follow from configuration alone; no header of a request is looked at.

use crate::downstream::config::{GatewayConfig, ResourceConfig};
use crate::engine::Engine;
use crate::error::{Code, Failure};
use crate::principal::TenantId;

/// Where a tenant's gateway stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Site {
    pub(crate) tenant: TenantId,
    /// The base URL, which is the issuer.
    pub(crate) issuer: String,
    /// Of it, scheme, host and port.
    origin_len: usize,
}

impl Site {
    /// # Errors
    /// `config.gateway_missing`: there is none for this tenant.
    pub(crate) fn of(engine: &Engine, tenant: &TenantId) -> Result<Self, Failure> {
        config(engine)?;
        let issuer = engine.base_url(tenant).ok_or(Code::GatewayMissing)?.into_owned();
        // INVARIANT: a base URL has a scheme and a host, and no slash at its end.
        let authority = issuer.find("://").map_or(0, |at| at.saturating_add(3));
        let rest = issuer.get(authority..).unwrap_or_default();
        let origin_len = authority.saturating_add(rest.find('/').unwrap_or(rest.len()));
        Ok(Self { tenant: tenant.clone(), issuer, origin_len })
    }

    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> &str {
        self.issuer.get(..self.origin_len).unwrap_or_default()
    }

    /// The path of the base URL: empty, or `/x` without a slash at its end.
    pub(crate) fn prefix(&self) -> &str {
        self.issuer.get(self.origin_len..).unwrap_or_default()
    }

    /// A page of ours. `path` begins with a slash.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    /// A path of ours as browsers ask for it.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix())
    }

    /// The resource of an MCP endpoint.
    pub(crate) fn resource(&self, resource: &ResourceConfig) -> String {
        self.url(&resource.path)
    }

    /// Where the metadata of an MCP endpoint stands (RFC 9728 §3.1).
    pub(crate) fn resource_metadata(&self, resource: &ResourceConfig) -> String {
        let (origin, prefix) = (self.origin(), self.prefix());
        format!("{origin}/.well-known/oauth-protected-resource{prefix}{}", resource.path)
    }

    /// The endpoint that a resource names, byte for byte.
    pub(crate) fn endpoint<'c>(
        &self,
        config: &'c GatewayConfig,
        resource: &str,
    ) -> Option<&'c ResourceConfig> {
        let path = resource.strip_prefix(&self.issuer)?;
        config.resources.iter().find(|endpoint| endpoint.path == path)
    }
}

/// What the host has configured.
///
/// # Errors
/// `config.gateway_missing`.
pub(crate) fn config(engine: &Engine) -> Result<&GatewayConfig, Failure> {
    engine.config().gateway.as_ref().ok_or_else(|| Code::GatewayMissing.into())
}
