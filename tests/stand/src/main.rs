//! A host with a gateway, a login and two upstreams, on loopback, for tests that come from outside: the official suite, the official
//! SDKs, a real browser. It prints one line of JSON that says where everything is, and runs until its standard input closes.

mod login;
mod mcp;
mod upstream;

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get};
use clap::Parser;
use grantway::axum::AuthenticateLayer;
use grantway::driver::Host;
use grantway::grantway_core::address::AddressPolicy;
use grantway::grantway_core::downstream::config::{GatewayConfig, IdentityMode};
use grantway::grantway_core::principal::Role;
use grantway::grantway_core::store::{Keyring, SealingKey};
use grantway::store::{Memory, Sqlite, Store};
use grantway::transport::{AtOnce, Hyper};
use grantway::{Caller, Connector, Engine, EngineConfig, Grantway, Principal, TenantId};
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use crate::login::Login;
use crate::mcp::Tools;
use crate::upstream::Upstream;

pub(crate) const TENANT: &str = "stand";
const CONNECTORS: [&str; 2] = ["notes", "files"];

/// A host with a gateway and two upstreams, for tests
#[derive(Parser)]
struct Arguments {
    /// Where to listen; 0: on any free port
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// How people may say who they are: user, key, session
    #[arg(long, value_delimiter = ',', default_value = "user")]
    identity: Vec<String>,
    /// Serve clients with a secret alone: neither public ones nor those with a metadata document
    #[arg(long)]
    confidential: bool,
    /// How long access tokens of the gateway live; default: the engine's
    #[arg(long, value_name = "N")]
    access_token_seconds: Option<u64>,
    /// Upstreams ask by a page with Allow and Deny, instead of approving at once
    #[arg(long)]
    ask: bool,
    /// Keep the records in this SQLite file, instead of in memory
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port)).await?;
    let base = format!("http://{}", listener.local_addr()?);
    let tenant = TenantId::new(TENANT)?;
    let login = Arc::new(Login::new(&base));

    let store: Arc<dyn Store> = match &arguments.database {
        Some(file) => Arc::new(Sqlite::open(file)?),
        None => Arc::new(Memory::new()),
    };
    let host = Host::new(store, Arc::new(AtOnce::new(Hyper::new()?))).with_identity(login.clone());
    let gw = Arc::new(Grantway::new(Engine::new(configuration(&base, &arguments)?, keys()?)?, host));

    let upstreams = CONNECTORS.map(|name| Upstream::start(name, arguments.ask));
    let [notes, files] = upstreams;
    let (notes, files) = (notes?, files?);
    let operator = Caller::new(TENANT, Principal::user("operator")?)?.with_role(Role::Admin);
    for (id, upstream) in CONNECTORS.into_iter().zip([&notes, &files]) {
        let mut connector = Connector::server(upstream.mcp.url());
        connector.address_policy = AddressPolicy::Loopback;
        gw.put_connector(&operator, id, connector, None).await?;
    }

    let who = {
        let login = login.clone();
        move |parts: &http::request::Parts| std::future::ready(login.of(&parts.headers))
    };
    let tools = Arc::new(Tools::new(gw.clone(), [notes.mcp.url(), files.mcp.url()])?);
    let endpoint = any(mcp::answer).with_state(tools.clone());
    let app: Router = gw
        .router(&tenant, who)?
        .merge(login::routes(login))
        .route("/mcp", endpoint.layer(AuthenticateLayer::new(&gw, &tenant, "/mcp")?))
        .route("/stand/calls", get(mcp::calls).with_state(tools));

    println!(
        "{}",
        json!({
            "base": base,
            "issuer": base,
            "mcp": format!("{base}/mcp"),
            "login": format!("{base}/login"),
            "connections": format!("{base}/connections"),
            "register": format!("{base}/register"),
            "calls": format!("{base}/stand/calls"),
            "upstreams": { "notes": notes.facts(), "files": files.facts() },
        })
    );
    tokio::select! {
        served = axum::serve(listener, app) => served?,
        () = input_closed() => {}
    }
    Ok(())
}

fn configuration(base: &str, arguments: &Arguments) -> Result<EngineConfig, Box<dyn Error>> {
    let mut gateway = GatewayConfig::new("/mcp");
    gateway.sign_in_path = Some("/login".to_owned());
    gateway.identity = arguments.identity.iter().map(|mode| identity(mode)).collect::<Result<_, _>>()?;
    gateway.public_clients = !arguments.confidential;
    gateway.client_documents = !arguments.confidential;
    let mut config = EngineConfig::new("Stand");
    config.base_url = Some(base.to_owned());
    config.danger_loopback_http = true;
    config.gateway = Some(gateway);
    if let Some(seconds) = arguments.access_token_seconds {
        config.limits.access_token_ms = seconds.saturating_mul(1000);
    }
    Ok(config)
}

fn identity(mode: &str) -> Result<IdentityMode, String> {
    match mode {
        "key" => Ok(IdentityMode::Key),
        "session" => Ok(IdentityMode::Session),
        "user" => Ok(IdentityMode::User),
        other => Err(format!("`{other}` is no way to say who one is: user, key, session")),
    }
}

fn keys() -> Result<Keyring, Box<dyn Error>> {
    let (mut sealing, mut routing) = ([0; 32], [0; 32]);
    getrandom::fill(&mut sealing)?;
    getrandom::fill(&mut routing)?;
    Ok(Keyring::new(SealingKey::new(1, sealing), routing)?)
}

/// Whoever started the stand is gone.
async fn input_closed() {
    let mut input = tokio::io::stdin();
    let mut buffer = [0; 256];
    while input.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}
