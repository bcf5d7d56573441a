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
    //= spec/rfc9728.md#3-2
    //# The document of a resource MUST be given with 200 as `application/json`, its lists as arrays and no
    //# empty one among them (PRM-05, R).
    //= spec/rfc8414.md#2
    //# The metadata MUST be given with 200 as `application/json` and hold the issuer, both endpoints and the
    //# response type `code` (ASM-11, S).
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
    //= spec/mcp-2026-07-28.md#disc-protected-resource-metadata-discovery-requirements
    //# A resource MUST let its document be found, by a challenge or at a well-known URL (PRM-02, R).
    //= spec/rfc9728.md#3-1
    //# Of several endpoints on a host each MUST have a document of its own, and one for the root describes
    //# the root alone (PRM-08, R).
    let endpoint = config(engine)?.resources.iter().find(|endpoint| endpoint.path == path);
    let endpoint = endpoint.ok_or(Code::PageUnknown)?;
    Ok(published(&Document {
        //= spec/rfc9728.md#2
        //# `resource` MUST be an absolute https URL without fragment, in the form in which it is asked for,
        //# with no slash added (PRM-03, R).
        resource: site.resource(endpoint),
        //= spec/rfc9728.md#2
        //# The document of a resource MUST name at least one issuer in `authorization_servers` (PRM-01, R).
        authorization_servers: [&site.issuer],
        //= spec/mcp-2026-07-28.md#idx-scope-selection-strategy
        //# `scopes_supported` of a resource SHOULD be what its basic use needs, never everything, never
        //# `offline_access` (PRM-06, R).
        scopes_supported: endpoint.scopes.iter().filter(|scope| *scope != OFFLINE_ACCESS).collect(),
        //= spec/rfc9728.md#2
        //# The document MAY say how a token is presented and what people call the resource (PRM-07, R).
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
        //= spec/rfc8414.md#2
        //# `grant_types_supported` and `token_endpoint_auth_methods_supported` SHOULD be stated, because
        //# silence means others than ours (ASM-15, S).
        //= spec/rfc8414.md#2
        //# Where `private_key_jwt` is offered its algorithms MUST be stated, `none` never among them
        //# (ASM-16, S).
        // None of them signs, so that there are no algorithms to state.
        let methods: &[&str] = if config.public_clients {
            &["none", "client_secret_post", "client_secret_basic"]
        } else {
            &["client_secret_post", "client_secret_basic"]
        };
        Self {
            //= spec/mcp-2026-07-28.md#idx-overview
            //# The authorization server MUST publish its metadata by RFC 8414 or by OpenID Connect Discovery
            //# (ASM-01, S).
            //= spec/rfc8414.md#2
            //# `issuer` MUST be an https URL without query and fragment, the one that resources name, with
            //# the metadata where its path is inserted (ASM-10, S).
            issuer: &site.issuer,
            authorization_endpoint: site.url("/authorize"),
            token_endpoint: site.url("/token"),
            //= spec/rfc8414.md#2
            //# A registration endpoint SHOULD be named only where clients may register, and the revocation
            //# endpoint with its methods (ASM-17, S).
            registration_endpoint: config.registration.then(|| site.url("/register")),
            revocation_endpoint: site.url("/revoke"),
            revocation_endpoint_auth_methods_supported: methods,
            response_types_supported: ["code"],
            response_modes_supported: ["query"],
            grant_types_supported: ["authorization_code", "refresh_token"],
            token_endpoint_auth_methods_supported: methods,
            //= spec/mcp-2026-07-28.md#sec-authorization-code-protection
            //# The metadata of our authorization server MUST list `S256` among its code challenge methods
            //# (ASM-12, S).
            code_challenge_methods_supported: ["S256"],
            scopes_supported: all_scopes(config).collect(),
            //= spec/rfc9207.md#2-3
            //# `authorization_response_iss_parameter_supported` MUST be true exactly if responses carry `iss`
            //# (ASM-14, S).
            authorization_response_iss_parameter_supported: true,
            //= spec/mcp-2026-07-28.md#reg-advertising-cimd-support
            //# Where a client's id may be the URL of its document, the metadata MUST say so (ASM-13, S).
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
