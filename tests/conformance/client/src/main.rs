//! The client that the official suite drives: MCP over plain HTTP, on both wires, with authorization by Grantway.
//!
//! It takes no decision of the protocol: what a server answers is reported to the engine, and what the engine says is done.

use std::{env, error::Error, process::ExitCode, sync::Arc};

use grantway::driver::{Host, drive};
use grantway::{store::Memory, transport::Hyper};
use grantway_core::engine::{Engine, EngineConfig};
use grantway_core::store::{Keyring, SealingKey};
use grantway_core::upstream::connectors::ConnectorPut;
use grantway_core::upstream::ready::Ready;
use grantway_core::upstream::report_rejected::Rejection;
use grantway_core::upstream::resolve::Resolution;
use reqwest::redirect::Policy;
use serde_json::{Value, from_str, from_value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Err(error) = run().await else { return ExitCode::SUCCESS };
    println!("refused: {error}");
    ExitCode::FAILURE
}

async fn run() -> Result<()> {
    let mut config = EngineConfig::new("Grantway");
    config.client_metadata_url = Some("https://conformance-test.local/client-metadata.json".to_owned());
    config.danger_loopback_http = true;
    // The records end with the process: any keys do.
    let (sealing, routing) = (*b"the key that seals all records. ", *b"the key that finds the tenants. ");
    let engine = Engine::new(config, Keyring::new(SealingKey::new(1, sealing), routing)?)?;
    let host = Host::new(Arc::new(Memory::new()), Arc::new(Hyper::new()?));
    let http = reqwest::Client::builder().redirect(Policy::none()).no_proxy().build()?;
    let url = env::args().next_back().ok_or("the server's URL is missing")?;
    let wire = env::var("MCP_CONFORMANCE_PROTOCOL_VERSION")?;
    let context: Value = from_str(&env::var("MCP_CONFORMANCE_CONTEXT").unwrap_or("{}".to_owned()))?;
    let registration = |id| json!({ "client_id": id, "issuer": context["issuer"] });
    let connector = json!({ "upstream": { "server": { "url": url } }, "address_policy": "loopback",
        "registration": context.get("client_id").map(registration),
        "waivers": { "danger_legacy_discovery": wire == "2025-03-26" } });
    let secret = &context["client_secret"];
    let put = arguments(json!({ "id": "mcp", "connector": connector, "client_secret": secret }))?;
    if let ConnectorPut::Refused(error) = drive(engine.put_connector(put), &host).await.result? {
        return Err(error.into());
    }
    let mut client = Client { engine, host, http, url, wire, ready: None };
    if client.wire.as_str() < "2026-07-28" {
        let hello = json!({ "protocolVersion": client.wire, "capabilities": {},
            "clientInfo": { "name": "grantway", "version": "0" } });
        client.call("initialize", hello).await?;
    }
    let meta = json!({ "io.modelcontextprotocol/protocolVersion": client.wire,
        "io.modelcontextprotocol/clientCapabilities": {} });
    client.call("tools/list", json!({ "_meta": meta })).await?;
    client.call("tools/call", json!({ "name": "test-tool", "arguments": {}, "_meta": meta })).await
}

struct Client {
    engine: Arc<Engine>,
    host: Host,
    http: reqwest::Client,
    url: String,
    wire: String,
    ready: Option<Box<Ready>>,
}

impl Client {
    async fn call(&mut self, method: &str, params: Value) -> Result<()> {
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        loop {
            let mut request = self.http.post(&self.url).json(&message).header("Mcp-Method", method);
            request = request.header("Mcp-Name", params["name"].as_str().unwrap_or_default());
            request = request.header("MCP-Protocol-Version", &self.wire);
            request = request.header("Accept", "application/json, text/event-stream");
            for (name, value) in self.ready.iter().flat_map(|ready| ready.own_headers()) {
                request = request.header(name, value.expose());
            }
            let response = request.send().await?;
            let used = self.ready.as_ref().map(|ready| ready.attribution());
            let headers = response.headers().get_all("WWW-Authenticate").iter();
            let headers = headers.filter_map(|value| Some(("WWW-Authenticate", value.to_str().ok()?)));
            let report = json!({ "connector": "mcp", "connection": used.and_then(|used| used.connection),
                "generation": used.map_or(0, |used| used.generation), "operation": method,
                "status": response.status().as_u16(), "headers": Vec::from_iter(headers) });
            match drive(self.engine.report_rejected(arguments(report)?), &self.host).await.result? {
                Rejection::Challenge(challenge) => self.connect(challenge.ticket).await?,
                Rejection::Nothing => return Ok(response.error_for_status().map(drop)?),
                Rejection::Retry(ready) => self.ready = Some(ready),
                Rejection::Transient(transient) => return Err(transient.failure.into()),
            }
        }
    }

    /// Lets the issuer, which approves at once, send the browser back to an address where nobody needs to listen.
    async fn connect(&mut self, because: Option<String>) -> Result<()> {
        let binding = json!({ "process": { "redirect_uri": "http://127.0.0.1:49152/callback" } });
        let begin = arguments(json!({ "connector": "mcp", "because": because, "binding": binding }))?;
        let redirect = drive(self.engine.begin_connect(begin), &self.host).await.result?;
        let answer = self.http.get(&redirect.url).send().await?;
        let location = answer.headers().get("Location").ok_or("the issuer does not redirect")?.to_str()?;
        let secret = redirect.process_secret.as_ref().map(|secret| secret.expose());
        let complete = arguments(json!({ "callback_url": location, "process_secret": secret }))?;
        drive(self.engine.complete_connect(complete), &self.host).await.result?;
        match drive(self.engine.resolve(arguments(json!({ "connector": "mcp" }))?), &self.host).await.result?
        {
            Resolution::Challenge(challenge) => return Err(challenge.text().into()),
            Resolution::Ready(ready) => self.ready = Some(ready),
            Resolution::Transient(transient) => return Err(transient.failure.into()),
        }
        Ok(())
    }
}

/// The arguments of an operation, from their JSON form.
fn arguments<T: serde::de::DeserializeOwned>(mut members: Value) -> Result<T> {
    let alice = json!({ "kind": "user", "id": "alice" });
    members["caller"] = json!({ "tenant": "acme", "principal": alice, "role": "admin" });
    Ok(from_value(members)?)
}
