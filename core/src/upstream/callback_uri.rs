//! Where the browser comes back to: one path of ours for issuers that name themselves there, a path of its own for each
//! of the others.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::discovery::IssuerFacts;
use crate::connector::Connector;
use crate::engine::Engine;
use crate::error::{Code, Failure};
use crate::hex;
use crate::principal::{ConnectorId, TenantId};
use crate::protocol::redirect_uri::{RedirectUri, callback_path};

/// The redirect URI of a flow that ends on the host's own pages.
///
/// # Errors
/// `config.redirect_uri_unusable`: the engine has no base URL, or it is not written in normal form.
pub(crate) fn callback_uri(
    engine: &Engine,
    tenant: &TenantId,
    connector_id: &ConnectorId,
    connector: &Connector,
    issuer: &IssuerFacts,
) -> Result<RedirectUri, Failure> {
    let base = base_url(engine, tenant)?;
    // atk:MIX-01, atk:MIX-07
    let path = if connector.own_callback_path {
        own_path(tenant, connector_id, &issuer.issuer)
    } else {
        callback_path(&issuer.issuer, issuer.promises_iss)
    };
    RedirectUri::new(format!("{base}{path}")).map_err(|invalid| unusable(invalid.0))
}

/// The base URL of the tenant.
///
/// # Errors
/// `config.redirect_uri_unusable`: the engine has none.
pub(crate) fn base_url<'e>(engine: &'e Engine, tenant: &TenantId) -> Result<Cow<'e, str>, Failure> {
    let base = engine.base_url(tenant);
    base.ok_or_else(|| {
        unusable("the engine has no base URL for the tenant, so a browser cannot come back to it")
    })
}

/// A redirect URI that a process gave, which must lead to this machine.
///
/// # Errors
/// `config.redirect_uri_unusable`.
pub(crate) fn loopback_uri(text: &str) -> Result<RedirectUri, Failure> {
    let uri = RedirectUri::new(text).map_err(|invalid| unusable(invalid.0))?;
    //= spec/rfc8252.md#7-3
    //# A loopback redirect SHOULD name an IP literal and a port chosen for the flow, with a listener on
    //# loopback only, IPv4 or IPv6, that lives no longer than the flow (AZQ-12, U).
    if !uri.is_loopback() {
        return Err(unusable("it does not lead to `127.0.0.1`, `[::1]` or `localhost`"));
    }
    Ok(uri)
}

/// Whether nothing but this issuer's callbacks arrive at the path.
pub(crate) fn serves_one_issuer(
    uri: &RedirectUri,
    tenant: &TenantId,
    connector_id: &ConnectorId,
    issuer: &IssuerFacts,
) -> bool {
    let path = uri.path();
    path.ends_with(&callback_path(&issuer.issuer, false))
        || path.ends_with(&own_path(tenant, connector_id, &issuer.issuer))
}

/// A path that belongs to one connector and issuer: 16 hexadecimal digits over all that name them.
fn own_path(tenant: &TenantId, connector: &ConnectorId, issuer: &str) -> String {
    let mut digest = Sha256::new();
    for part in [tenant.as_str(), connector.as_str(), issuer] {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    hex::with_text(digest.finalize().get(..8).unwrap_or_default(), |digits| format!("/callback/{digits}"))
}

fn unusable(reason: &'static str) -> Failure {
    Failure::new(Code::RedirectUriUnusable).because(reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EngineConfig;
    use crate::protocol::issuer_metadata::legacy_endpoints;
    use crate::protocol::url::{HttpUrl, PlainHttp};
    use crate::store::{Keyring, SealingKey};

    fn uri(issuer: &str, promises_iss: bool, tenant: &str, connector_id: &str, own: bool) -> RedirectUri {
        let bytes = |seed: u8| std::array::from_fn(|at| (at as u8).wrapping_mul(7).wrapping_add(seed));
        let config =
            EngineConfig { base_url: Some("https://gw.example/x".to_owned()), ..EngineConfig::new("t") };
        let engine =
            Engine::new(config, Keyring::new(SealingKey::new(1, bytes(1)), bytes(2)).unwrap()).unwrap();
        let connector = Connector { own_callback_path: own, ..Connector::server("https://h.example/mcp") };
        let (tenant, connector_id) =
            (TenantId::new(tenant).unwrap(), ConnectorId::new(connector_id).unwrap());
        let facts = facts(issuer, promises_iss);
        let uri = callback_uri(&engine, &tenant, &connector_id, &connector, &facts).unwrap();
        assert_eq!(serves_one_issuer(&uri, &tenant, &connector_id, &facts), own || !promises_iss);
        uri
    }

    fn facts(issuer: &str, promises_iss: bool) -> IssuerFacts {
        let endpoints = legacy_endpoints(&HttpUrl::parse(issuer, PlainHttp::Never).unwrap().origin());
        IssuerFacts {
            issuer: issuer.to_owned(),
            authorization_endpoint: endpoints.authorization,
            token_endpoint: endpoints.token,
            registration_endpoint: None,
            revocation_endpoint: None,
            promises_iss,
            auth_methods: None,
            accepts_cimd: false,
            scopes_supported: None,
        }
    }

    // atk:MIX-01
    #[test]
    fn an_issuer_that_does_not_name_itself_has_a_path_of_its_own() {
        let silent = uri("https://a.example", false, "t", "c", false);
        assert_eq!(uri("https://a.example", true, "t", "c", false).as_str(), "https://gw.example/x/callback");
        assert!(silent.as_str().starts_with("https://gw.example/x/callback/"));
        assert_eq!(silent.path().len(), "/x/callback/".len() + 16);
        assert_ne!(silent, uri("https://b.example", false, "t", "c", false));
        assert_eq!(silent, uri("https://a.example", false, "u", "d", false));
    }

    // atk:MIX-07
    #[test]
    fn a_connector_may_have_a_path_of_its_own() {
        let own = uri("https://a.example", true, "t", "c", true);
        for other in [
            uri("https://b.example", true, "t", "c", true),
            uri("https://a.example", true, "u", "c", true),
            uri("https://a.example", true, "t", "d", true),
            uri("https://a.example", true, "tc", "c", true),
        ] {
            assert_ne!(own, other);
        }
        assert_eq!(own, uri("https://a.example", false, "t", "c", true));
    }

    //= spec/rfc8252.md#7-3
    //= type=test
    //# A loopback redirect SHOULD name an IP literal and a port chosen for the flow, with a listener on
    //# loopback only, IPv4 or IPv6, that lives no longer than the flow (AZQ-12, U).
    #[test]
    fn a_process_comes_back_to_its_own_machine_only() {
        for text in ["http://127.0.0.1:5000/cb", "http://[::1]:1/", "http://localhost:8/callback"] {
            assert!(loopback_uri(text).is_ok(), "{text}");
        }
        for text in
            ["https://gw.example/callback", "http://10.0.0.1/cb", "myapp:/cb", "", "http://127.0.0.1#x"]
        {
            assert_eq!(loopback_uri(text).unwrap_err().slug(), "config.redirect_uri_unusable", "{text}");
        }
    }
}
