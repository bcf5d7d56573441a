//! The one request without a credential that makes a server say how it wants to be authorized.

use serde::Serialize;

use crate::connector::Connector;
use crate::error::Failure;
use crate::limits::PROBE_MAX_BYTES;
use crate::operation::{Context, Effect, Header};
use crate::protocol::url::HttpUrl;
use crate::secret::SecretBytes;
use crate::upstream::{Exchange, egress};

#[derive(Serialize)]
struct Request<'a> {
    jsonrpc: &'static str,
    id: u32,
    method: &'static str,
    params: Parameters<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Parameters<'a> {
    protocol_version: &'static str,
    capabilities: Nothing,
    client_info: ClientInfo<'a>,
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct ClientInfo<'a> {
    name: &'a str,
    version: &'static str,
}

/// COMPAT: any request may be challenged first, and servers of every revision know this one.
const PROTOCOL_VERSION: &str = "2025-11-25";

/// An `initialize` without a credential.
///
/// # Errors
/// The connector's address policy forbids the server's host.
pub(super) fn probe(cx: &Context<'_>, connector: &Connector, server: &HttpUrl) -> Result<Effect, Failure> {
    let request = Request {
        jsonrpc: "2.0",
        id: 1,
        method: "initialize",
        params: Parameters {
            protocol_version: PROTOCOL_VERSION,
            capabilities: Nothing {},
            client_info: ClientInfo {
                name: &cx.engine.config().client_name,
                version: env!("CARGO_PKG_VERSION"),
            },
        },
    };
    // INVARIANT: texts in structs; writing them as JSON cannot fail.
    let body = SecretBytes::new(serde_json::to_vec(&request).unwrap_or_default());
    Exchange::new(server, egress(connector, cx.engine.plain_http(), server), PROBE_MAX_BYTES)
        .header(Header::new("Accept", "application/json, text/event-stream"))
        .post(cx, "application/json", body)
}
