//! Which endpoint a path belongs to.

use super::site::{Site, config};
use crate::engine::Engine;
use crate::error::Failure;
use crate::principal::TenantId;

/// An endpoint of the gateway, with what its path says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    Api(&'a str),
    Authorize,
    Callback,
    ClientDocument,
    Connect(Option<&'a str>),
    /// With the action, `/connect`, if there is one.
    Connections(Option<&'a str>),
    Consent {
        id: &'a str,
        action: Option<&'a str>,
    },
    IssuerMetadata,
    Register,
    /// Of the endpoint at this path under the base URL.
    ResourceMetadata(&'a str),
    Revoke,
    Token,
}

/// Under the base URL. The patterns of [`Engine::gateway_routes`]; what they match and [`Route::of`] does not know is answered with 404.
const PATTERNS: [&str; 14] = [
    "/api/{*rest}",
    "/authorize",
    "/callback",
    "/callback/{any}",
    "/client.json",
    "/connect",
    "/connect/{ticket}",
    "/connections",
    "/connections/{action}",
    "/consent/{id}",
    "/consent/{id}/{action}",
    "/register",
    "/revoke",
    "/token",
];

impl Engine {
    /// Every path that [`Engine::handle`] answers at in a tenant's gateway, for a host that mounts it beside routes of its own: whole paths
    /// from the root of the origin on, in which `{name}` stands for one segment and `{*rest}` for all that are left.
    ///
    /// # Errors
    /// `config.gateway_missing`: there is none for this tenant.
    pub fn gateway_routes(&self, tenant: &TenantId) -> Result<Vec<String>, Failure> {
        let site = Site::of(self, tenant)?;
        let well_known = |name: &str, path: &str| format!("/.well-known/{name}{}{path}", site.prefix());
        let resources = config(self)?.resources.iter();
        let resources = resources.map(|resource| well_known("oauth-protected-resource", &resource.path));
        let own = PATTERNS.iter().map(|pattern| site.path(pattern));
        let issuer = well_known("oauth-authorization-server", "");
        Ok(std::iter::once(issuer).chain(resources).chain(own).collect())
    }
}

impl<'a> Route<'a> {
    /// The endpoint at a path of our origin.
    pub(crate) fn of(site: &Site, path: &'a str) -> Option<Self> {
        let prefix = site.prefix();
        if let Some(rest) = path.strip_prefix("/.well-known/") {
            //= spec/rfc9728.md#3-1
            //# The document of a resource MUST stand at the well-known suffix between host and path, a slash right
            //# after the host removed (PRM-04, R).
            if let Some(rest) = rest.strip_prefix("oauth-protected-resource") {
                let resource = rest.strip_prefix(prefix)?;
                return Some(Self::ResourceMetadata(resource));
            }
            let rest = rest.strip_prefix("oauth-authorization-server")?;
            return (rest == prefix).then_some(Self::IssuerMetadata);
        }
        let own = path.strip_prefix(prefix)?.strip_prefix('/')?;
        let (head, tail) = own.split_once('/').map_or((own, None), |(head, tail)| (head, Some(tail)));
        Some(match (head, tail) {
            ("authorize", None) => Self::Authorize,
            ("client.json", None) => Self::ClientDocument,
            ("register", None) => Self::Register,
            ("revoke", None) => Self::Revoke,
            ("token", None) => Self::Token,
            ("api", Some(rest)) => Self::Api(rest),
            ("callback", _) => Self::Callback,
            ("connect", ticket) if ticket.is_none_or(is_one_segment) => Self::Connect(ticket),
            ("connections", action) if action.is_none_or(is_one_segment) => Self::Connections(action),
            ("consent", Some(rest)) => {
                let (id, action) =
                    rest.split_once('/').map_or((rest, None), |(id, action)| (id, Some(action)));
                if id.is_empty() || !action.is_none_or(is_one_segment) {
                    return None;
                }
                Self::Consent { id, action }
            }
            _ => return None,
        })
    }

    /// Whether scripts of other sites may use it: no cookie counts there.
    pub(crate) const fn is_for_scripts(self) -> bool {
        matches!(
            self,
            Self::ClientDocument
                | Self::IssuerMetadata
                | Self::Register
                | Self::ResourceMetadata(_)
                | Self::Revoke
                | Self::Token
        )
    }

    /// What it answers with when something goes wrong.
    pub(crate) const fn surface(self) -> Surface {
        match self {
            Self::Register | Self::Token | Self::Revoke => Surface::Protocol,
            Self::Api(_) | Self::ClientDocument | Self::IssuerMetadata | Self::ResourceMetadata(_) => {
                Surface::Api
            }
            Self::Authorize
            | Self::Callback
            | Self::Connect(_)
            | Self::Connections(_)
            | Self::Consent { .. } => Surface::Page,
        }
    }
}

fn is_one_segment(text: &str) -> bool {
    !text.is_empty() && !text.contains('/')
}

/// For whom an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Surface {
    /// A program of the host's: slugs as JSON.
    Api,
    /// A person.
    Page,
    /// A client: OAuth errors as JSON.
    Protocol,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::downstream::config::GatewayConfig;
    use crate::engine::{Engine, EngineConfig};
    use crate::principal::TenantId;
    use crate::store::{Keyring, SealingKey};

    fn site(base: &str) -> Site {
        Site::of(&engine(base), &TenantId::new("acme").unwrap()).unwrap()
    }

    fn engine(base: &str) -> Arc<Engine> {
        let bytes = |seed: u8| std::array::from_fn(|at| (at as u8).wrapping_mul(7).wrapping_add(seed));
        let config = EngineConfig {
            base_url: Some(base.to_owned()),
            gateway: Some(GatewayConfig::new("/mcp")),
            ..EngineConfig::new("t")
        };
        let keyring = Keyring::new(SealingKey::new(1, bytes(1)), bytes(2)).unwrap();
        Engine::new(config, keyring).unwrap()
    }

    #[test]
    fn the_patterns_lead_to_every_endpoint_and_nowhere_else() {
        let tenant = TenantId::new("acme").unwrap();
        let base = "https://gw.example/t/{tenant}";
        let patterns = engine(base).gateway_routes(&tenant).unwrap();
        let site = site(base);
        for pattern in &patterns {
            let path = pattern.replace("{*rest}", "a/b").replace(['{', '}'], "");
            assert!(Route::of(&site, &path).is_some(), "{pattern}");
        }
        let mut kinds = Vec::new();
        for route in patterns.iter().filter_map(|pattern| Route::of(&site, pattern)) {
            let kind = std::mem::discriminant(&route);
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        assert_eq!(kinds.len(), 12, "an endpoint has no pattern");
        assert!(patterns.contains(&"/.well-known/oauth-protected-resource/t/acme/mcp".to_owned()));
    }

    #[test]
    fn paths_lead_to_endpoints_under_the_base_url_only() {
        let site = site("https://gw.example/t/{tenant}");
        assert_eq!((site.origin(), site.prefix()), ("https://gw.example", "/t/acme"));
        for (path, route) in [
            ("/t/acme/authorize", Some(Route::Authorize)),
            ("/t/acme/token", Some(Route::Token)),
            ("/t/acme/callback/0123", Some(Route::Callback)),
            ("/t/acme/consent/x", Some(Route::Consent { id: "x", action: None })),
            ("/t/acme/consent/x/approve", Some(Route::Consent { id: "x", action: Some("approve") })),
            ("/t/acme/connect", Some(Route::Connect(None))),
            ("/t/acme/connect/t", Some(Route::Connect(Some("t")))),
            ("/t/acme/api/status/x", Some(Route::Api("status/x"))),
            ("/.well-known/oauth-authorization-server/t/acme", Some(Route::IssuerMetadata)),
            ("/.well-known/oauth-protected-resource/t/acme/mcp", Some(Route::ResourceMetadata("/mcp"))),
            ("/.well-known/oauth-authorization-server", None),
            ("/.well-known/oauth-authorization-server/t/other", None),
            ("/.well-known/oauth-protected-resource/mcp", None),
            ("/t/other/authorize", None),
            ("/authorize", None),
            ("/t/acmeauthorize", None),
            ("/t/acme/authorize/", None),
            ("/t/acme/consent/", None),
            ("/t/acme/consent/x/y/z", None),
            ("/t/acme/connect/", None),
        ] {
            assert_eq!(Route::of(&site, path), route, "{path}");
        }
    }
}
