//! What the gateway publishes about itself: the metadata of its MCP endpoints (RFC 9728), its own as authorization server (RFC 8414),
//! and the document of the client that it is towards upstream issuers (CIMD).
//!
//! Each follows from configuration and the path alone. No header is looked at, so that nobody poisons a cache with `Host`.

use std::collections::BTreeSet;

use serde::Serialize;

use super::config::GatewayConfig;
use super::handle::refuse;
use super::response::Response;
use super::route::Surface;
use super::site::{Site, config};
use crate::engine::Engine;
use crate::error::{Code, Failure};
use crate::operation::Context;
use crate::protocol::client_metadata::{ApplicationType, ClientMetadata};

/// How long anybody may keep a document: a change of configuration is seen within minutes.
const CACHE_CONTROL: &str = "public, max-age=300";

/// The scope that asks for refresh tokens, which no resource needs for its use.
const OFFLINE_ACCESS: &str = "offline_access";

/// The metadata of the MCP endpoint at `path` under the base URL.
pub(crate) fn resource(cx: &Context<'_>, site: &Site, path: &str) -> Response {
    told(cx, resource_document(cx.engine, site, path))
}

/// The metadata of the authorization server.
pub(crate) fn issuer(cx: &Context<'_>, site: &Site) -> Response {
    told(cx, config(cx.engine).map(|config| published(&IssuerDocument::new(config, site))))
}

/// The document of our own client, where this is the URL that it goes by upstream.
pub(crate) fn client(cx: &Context<'_>, site: &Site) -> Response {
    told(cx, client_document(cx.engine, site))
}

fn told(cx: &Context<'_>, document: Result<Response, Failure>) -> Response {
    // Clients in browsers ask in several places, and have to see where there is nothing.
    document.unwrap_or_else(|failure| refuse(cx, Surface::Api, failure).for_any_origin())
}

fn published(document: &impl Serialize) -> Response {
    // PRM-05, ASM-11
    Response::json(200, document).with("Cache-Control", CACHE_CONTROL).for_any_origin()
}

fn resource_document(engine: &Engine, site: &Site, path: &str) -> Result<Response, Failure> {
    #[derive(Serialize)]
    struct Document<'a> {
        resource: String,
        authorization_servers: [&'a str; 1],
        #[serde(skip_serializing_if = "Vec::is_empty")]
        scopes_supported: Vec<&'a str>,
        bearer_methods_supported: [&'static str; 1],
        #[serde(skip_serializing_if = "Option::is_none")]
        resource_name: Option<&'a str>,
    }
    // PRM-08
    let endpoint = config(engine)?.resources.iter().find(|endpoint| endpoint.path == path);
    let endpoint = endpoint.ok_or(Code::PageUnknown)?;
    Ok(published(&Document {
        // PRM-03
        resource: site.resource(endpoint),
        // PRM-01
        authorization_servers: [&site.issuer],
        // PRM-06
        scopes_supported: endpoint.scopes.iter().filter(|scope| *scope != OFFLINE_ACCESS).collect(),
        // PRM-07
        bearer_methods_supported: ["header"],
        resource_name: endpoint.name.as_deref(),
    }))
}

#[derive(Serialize)]
struct IssuerDocument<'a> {
    issuer: &'a str,
    authorization_endpoint: String,
    token_endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_endpoint: Option<String>,
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: &'static [&'static str],
    response_types_supported: [&'static str; 1],
    response_modes_supported: [&'static str; 1],
    grant_types_supported: [&'static str; 2],
    token_endpoint_auth_methods_supported: &'static [&'static str],
    code_challenge_methods_supported: [&'static str; 1],
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    scopes_supported: BTreeSet<&'a str>,
    authorization_response_iss_parameter_supported: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    client_id_metadata_document_supported: bool,
}

impl<'a> IssuerDocument<'a> {
    fn new(config: &'a GatewayConfig, site: &'a Site) -> Self {
        // ASM-15
        // None of them signs, so that there are no algorithms to state.
        let methods: &[&str] = if config.public_clients {
            &["none", "client_secret_post", "client_secret_basic"]
        } else {
            &["client_secret_post", "client_secret_basic"]
        };
        Self {
            // ASM-10
            issuer: &site.issuer,
            authorization_endpoint: site.url("/authorize"),
            token_endpoint: site.url("/token"),
            // ASM-17
            registration_endpoint: config.registration.then(|| site.url("/register")),
            revocation_endpoint: site.url("/revoke"),
            revocation_endpoint_auth_methods_supported: methods,
            response_types_supported: ["code"],
            response_modes_supported: ["query"],
            grant_types_supported: ["authorization_code", "refresh_token"],
            token_endpoint_auth_methods_supported: methods,
            // ASM-12
            code_challenge_methods_supported: ["S256"],
            scopes_supported: all_scopes(config).collect(),
            // ASM-14
            authorization_response_iss_parameter_supported: true,
            // ASM-13
            client_id_metadata_document_supported: config.client_documents,
        }
    }
}

/// The oauth scopes that a client may ask for at any of the endpoints.
pub(crate) fn all_scopes(config: &GatewayConfig) -> impl Iterator<Item = &str> {
    config.resources.iter().flat_map(|endpoint| endpoint.scopes.iter().chain(endpoint.more_scopes.iter()))
}

fn client_document(engine: &Engine, site: &Site) -> Result<Response, Failure> {
    let url = site.url("/client.json");
    // Another URL is the client id: a document here would be another client's, of the same name.
    if engine.config().client_metadata_url.as_ref() != Some(&url) {
        return Err(Code::PageUnknown.into());
    }
    let callback = site.url("/callback");
    let redirect_uris = [callback.as_str()];
    let name = &engine.config().client_name;
    // INVARIANT: the URL was checked when the engine was made.
    let document = ClientMetadata::new(&url, name, &redirect_uris, ApplicationType::Web)
        .map_err(|invalid| Failure::new(Code::Internal).because(invalid.0))?;
    Ok(published(&document))
}
