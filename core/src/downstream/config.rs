//! What a host configures of its gateway.

use serde::Deserialize;

use crate::error::ConfigError;
use crate::protocol::client_redirect::ClientRedirect;
use crate::protocol::scopes::Scopes;
use crate::protocol::url::is_own_path;
pub use crate::store::records::IdentityMode;

/// The gateway: what MCP clients sign in at. Addresses follow from the engine's `base_url`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// The MCP endpoints that tokens are issued for; at least one. A client that names none gets a token for the only one there is.
    pub resources: Vec<ResourceConfig>,
    /// How people may say who they are. Default: by the host's own login.
    #[serde(default = "by_login")]
    pub identity: Vec<IdentityMode>,
    /// Where the host signs people in: a path of its own site, to which `return_to` is added. Default: the pages say to sign in and come
    /// back, without a link.
    #[serde(default)]
    pub sign_in_path: Option<String>,
    /// Whether clients may register themselves (RFC 7591). Default: yes.
    #[serde(default = "yes")]
    pub registration: bool,
    /// Whether a client's id may be the URL of its metadata document. Default: yes.
    #[serde(default = "yes")]
    pub client_documents: bool,
    /// Whether clients without a secret are served, as every client on a person's own machine is. Default: yes.
    #[serde(default = "yes")]
    pub public_clients: bool,
    /// Redirect URIs with a private-use scheme without a dot that are acceptable, each byte for byte, such as
    /// `cursor://anysphere.cursor-mcp/oauth/callback`. Default: none.
    #[serde(default)]
    pub private_redirect_uris: Vec<String>,
    /// Hosts whose client metadata documents the operator vouches for, such as `claude.ai`: no warning stands beside their names. Default:
    /// none.
    #[serde(default)]
    pub verified_client_hosts: Vec<String>,
    /// The name that pages call the gateway by. Default: the engine's `client_name`.
    #[serde(default)]
    pub name: Option<String>,
}

/// An MCP endpoint of the host.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceConfig {
    /// Its path under the base URL: `/mcp`. The resource is the base URL and this, and nothing else.
    pub path: String,
    /// Shown to people.
    #[serde(default)]
    pub name: Option<String>,
    /// The oauth scopes that basic use needs, which a challenge asks for. Default: none.
    #[serde(default)]
    pub scopes: Scopes,
    /// Further scopes a client may ask for. Default: none.
    #[serde(default)]
    pub more_scopes: Scopes,
}

fn by_login() -> Vec<IdentityMode> {
    vec![IdentityMode::User]
}

const fn yes() -> bool {
    true
}

impl GatewayConfig {
    /// One endpoint, all defaults.
    pub fn new(path: impl Into<String>) -> Self {
        let resource = ResourceConfig {
            path: path.into(),
            name: None,
            scopes: Scopes::default(),
            more_scopes: Scopes::default(),
        };
        Self {
            resources: vec![resource],
            identity: by_login(),
            sign_in_path: None,
            registration: true,
            client_documents: true,
            public_clients: true,
            private_redirect_uris: Vec::new(),
            verified_client_hosts: Vec::new(),
            name: None,
        }
    }

    /// # Errors
    /// The first field that is not acceptable.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.resources.is_empty() {
            return Err(ConfigError::new("gateway.resources", "", "must name at least one endpoint"));
        }
        for (at, resource) in self.resources.iter().enumerate() {
            if !is_own_path(&resource.path) || resource.path.len() < 2 || resource.path.contains('?') {
                return Err(ConfigError::new(
                    "gateway.resources.path",
                    &resource.path,
                    "must be a path of the gateway's own site, such as `/mcp`",
                ));
            }
            if self.resources.iter().take(at).any(|earlier| earlier.path == resource.path) {
                return Err(ConfigError::new("gateway.resources.path", &resource.path, "is named twice"));
            }
        }
        if self.identity.is_empty() {
            return Err(ConfigError::new("gateway.identity", "", "must name at least one way"));
        }
        if let Some(path) = self.sign_in_path.as_deref().filter(|path| !is_own_path(path)) {
            return Err(ConfigError::new(
                "gateway.sign_in_path",
                path,
                "must be a path of the gateway's own site, such as `/login`",
            ));
        }
        for uri in &self.private_redirect_uris {
            let redirect = ClientRedirect::parse(uri, &self.private_redirect_uris);
            if !redirect.is_ok_and(|redirect| redirect.is_private()) {
                return Err(ConfigError::new(
                    "gateway.private_redirect_uris",
                    uri,
                    "must be a whole redirect URI with a private-use scheme, such as `app://host/callback`",
                ));
            }
        }
        if !self.public_clients && self.client_documents {
            return Err(ConfigError::new(
                "gateway.client_documents",
                "true",
                "clients with a metadata document have no secret, and clients without one are not served",
            ));
        }
        Ok(())
    }

    /// Whether people may say so who they are.
    pub(crate) fn offers(&self, mode: IdentityMode) -> bool {
        self.identity.contains(&mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // atk:RED-06
    #[test]
    fn the_list_of_private_redirect_uris_holds_nothing_else() {
        let check = |uri: &str| {
            let config =
                GatewayConfig { private_redirect_uris: vec![uri.to_owned()], ..GatewayConfig::new("/mcp") };
            config.check().map_err(|error| error.field())
        };
        assert_eq!(check("cursor://anysphere.cursor-mcp/oauth/callback"), Ok(()));
        for uri in ["https://c.good/cb", "http://localhost/cb", "javascript:alert(1)", "cursor", ""] {
            assert_eq!(check(uri), Err("gateway.private_redirect_uris"), "{uri}");
        }
    }
}
