//! A person who uses an MCP server through Grantway.

use std::sync::Arc;

use grantway::driver::{Environment, Host, System, drive};
use grantway::store::Memory;
use grantway::transport::Hyper;
use grantway_core::address::AddressPolicy;
use grantway_core::challenge::Challenge;
use grantway_core::connector::Connector;
use grantway_core::downstream::config::GatewayConfig;
use grantway_core::engine::{Engine, EngineConfig};
use grantway_core::principal::{Caller, ConnectorId, Principal, Role};
use grantway_core::secret::Secret;
use grantway_core::store::{Keyring, SealingKey};
use grantway_core::upstream::begin_connect::{BeginConnect, FlowBinding, Redirect};
use grantway_core::upstream::complete_connect::{CompleteConnect, Connected};
use grantway_core::upstream::connectors::{ConnectorPut, PutConnector};
use grantway_core::upstream::disconnect::{Disconnect, Disconnected};
use grantway_core::upstream::ready::Ready;
use grantway_core::upstream::report_rejected::{Rejection, ReportRejected};
use grantway_core::upstream::resolve::{Resolution, Resolve};
use reqwest::Response;
use serde_json::{Value, json};

use crate::Result;
use crate::browser::Browser;

/// Nobody listens there: the browser hands the URL over.
const REDIRECT_URI: &str = "http://127.0.0.1:49152/callback";

/// Nobody listens there either: its pages are asked for in this process.
pub(crate) const BASE_URL: &str = "http://127.0.0.1:49153";

/// A process with Grantway in it, and one connector.
pub(crate) struct Gateway {
    pub(crate) engine: Arc<Engine>,
    pub(crate) host: Host,
    connector: ConnectorId,
    url: String,
    http: reqwest::Client,
}

impl Gateway {
    pub(crate) async fn to(url: &str) -> Result<Self> {
        let mut config = EngineConfig::new("Grantway interop");
        config.danger_loopback_http = true;
        config.base_url = Some(BASE_URL.to_owned());
        config.gateway = Some(GatewayConfig::new("/mcp"));
        // The records end with the process: any keys do.
        let (sealing, routing) = (*b"the key that seals all records. ", *b"the key that finds the tenants. ");
        let engine = Engine::new(config, Keyring::new(SealingKey::new(1, sealing), routing)?)?;
        let host = Host::new(Arc::new(Memory::new()), Arc::new(Hyper::new()?));
        let connector = ConnectorId::new("mcp")?;
        let put = PutConnector {
            caller: caller("operator")?.with_role(Role::Admin),
            id: connector.clone(),
            connector: Connector { address_policy: AddressPolicy::Loopback, ..Connector::server(url) },
            client_secret: None,
            expected_revision: None,
            unverified: false,
        };
        if let ConnectorPut::Refused(error) = drive(engine.put_connector(put), &host).await.result? {
            return Err(error.into());
        }
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { engine, host, connector, url: url.to_owned(), http })
    }

    pub(crate) fn user(&self, name: &'static str) -> Result<User<'_>> {
        Ok(User { gateway: self, caller: caller(name)?, browser: Browser::of(name)? })
    }
}

pub(crate) fn caller(name: &str) -> Result<Caller> {
    Ok(Caller::new("acme", Principal::user(name)?)?)
}

pub(crate) struct User<'a> {
    gateway: &'a Gateway,
    caller: Caller,
    pub(crate) browser: Browser,
}

/// What a call came to.
pub(crate) enum Called {
    Answered(String),
    Challenged(Box<Challenge>),
}

impl User<'_> {
    pub(crate) async fn resolve(&self) -> Result<Resolution> {
        let resolve = Resolve::new(self.caller.clone(), self.gateway.connector.clone());
        Ok(drive(self.gateway.engine.resolve(resolve), &self.gateway.host).await.result?)
    }

    /// The credential, where nothing is missing.
    pub(crate) async fn ready(&self) -> Result<Box<Ready>> {
        match self.resolve().await? {
            Resolution::Challenge(challenge) => Err(challenge.text().into()),
            Resolution::Ready(ready) => Ok(ready),
            Resolution::Transient(transient) => Err(transient.failure.into()),
        }
    }

    /// Calls a tool as hosts do: refused calls are reported, and made once more if the engine says so.
    pub(crate) async fn call(&self, tool: &str, mut ready: Option<Box<Ready>>) -> Result<Called> {
        let gateway = self.gateway;
        loop {
            let response = self.post(tool, ready.as_deref()).await?;
            let challenges = response.headers().get_all("WWW-Authenticate").iter();
            let challenges = challenges.filter_map(|value| value.to_str().ok());
            let report = ReportRejected {
                caller: self.caller.clone(),
                connector: gateway.connector.clone(),
                connection: ready.as_ref().and_then(|ready| ready.attribution().connection),
                generation: ready.as_ref().map_or(0, |ready| ready.generation()),
                operation: format!("tools/call {tool}"),
                status: response.status().as_u16(),
                headers: challenges.map(|text| ("WWW-Authenticate".to_owned(), Secret::new(text))).collect(),
                wait_ms: 10_000,
            };
            match drive(gateway.engine.report_rejected(report), &gateway.host).await.result? {
                Rejection::Challenge(challenge) => return Ok(Called::Challenged(challenge)),
                Rejection::Nothing => {
                    let answer: Value = response.error_for_status()?.json().await?;
                    let text = answer["result"]["content"][0]["text"].as_str();
                    return Ok(Called::Answered(
                        text.ok_or_else(|| format!("no tool result: {answer}"))?.to_owned(),
                    ));
                }
                Rejection::Retry(newer) => ready = Some(newer),
                Rejection::Transient(transient) => return Err(transient.failure.into()),
            }
        }
    }

    async fn post(&self, tool: &str, ready: Option<&Ready>) -> Result<Response> {
        let url = &self.gateway.url;
        let params = json!({ "name": tool, "arguments": {} });
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let mut request = self.gateway.http.post(url).json(&message);
        request = request.header("Accept", "application/json, text/event-stream");
        if let Some(ready) = ready {
            for (name, value) in ready.headers(&System.moment(), "POST", url)? {
                request = request.header(name, value.expose());
            }
        }
        Ok(request.send().await?)
    }

    /// Follows a challenge's link to the end.
    pub(crate) async fn connect(&self, because: &Challenge) -> Result<Connected> {
        let gateway = self.gateway;
        let begin = BeginConnect {
            because: because.ticket.clone(),
            binding: FlowBinding::Process { redirect_uri: REDIRECT_URI.to_owned() },
            ..BeginConnect::new(self.caller.clone(), gateway.connector.clone())
        };
        let Redirect { url, process_secret, .. } =
            drive(gateway.engine.begin_connect(begin), &gateway.host).await.result?;
        let callback_url = Secret::new(self.browser.approve(&url, REDIRECT_URI).await?);
        let caller = Some(self.caller.clone());
        let complete = CompleteConnect { caller, callback_url, cookies: None, process_secret };
        Ok(drive(gateway.engine.complete_connect(complete), &gateway.host).await.result?)
    }

    pub(crate) async fn disconnect(&self) -> Result<Disconnected> {
        let (caller, connector) = (self.caller.clone(), self.gateway.connector.clone());
        let disconnect = Disconnect { caller, connector, owner: None };
        Ok(drive(self.gateway.engine.disconnect(disconnect), &self.gateway.host).await.result?)
    }
}
