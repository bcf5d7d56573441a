//! A host with a gateway: people sign in here, connect their accounts at "notes" and "files", and let MCP clients act for them. Each
//! tool call then carries the person's own upstream credential.
//!
//! `main.rs` is what a host has to write; `login.rs` stands in for the login that it has already, `mcp.rs` is its MCP endpoint,
//! `upstreams.rs` are two services on this machine to try it with. Run it with `make demo`.

mod login;
mod mcp;
mod upstreams;

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Html;
use axum::routing::{get, post};
use clap::Parser;
use grantway::axum::AuthenticateLayer;
use grantway::driver::Host;
use grantway::grantway_core::address::AddressPolicy;
use grantway::grantway_core::downstream::config::GatewayConfig;
use grantway::grantway_core::principal::Role;
use grantway::grantway_core::store::{Keyring, SealingKey};
use grantway::store::Sqlite;
use grantway::transport::{AtOnce, Hyper};
use grantway::{Caller, Connector, Engine, EngineConfig, Grantway, Principal, TenantId};

use crate::login::Login;
use crate::upstreams::Upstream;

const TENANT: &str = "local";

/// A gateway on this machine, with two services to connect.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; 0: on any free port
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Where the database is kept; it is begun anew
    #[arg(long, value_name = "DIR", default_value = "demo")]
    out: PathBuf,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port)).await?;
    let base = format!("http://{}", listener.local_addr()?);
    let tenant = TenantId::new(TENANT)?;

    // 1. Grantway: a configuration, keys, a store, a transport, and who people are.
    let login = Arc::new(Login::new(&base));
    let transport = Arc::new(AtOnce::new(Hyper::new()?));
    let host = Host::new(Arc::new(database(&arguments.out)?), transport).with_identity(login.clone());
    let gw = Grantway::new(Engine::new(configuration(&base), keys()?)?, host);
    let gw = Arc::new(gw.on_events(|event| tracing::info!(?event.what, "event")));

    // 2. The upstreams that people can connect. A real one is its URL, such as `https://mcp.notion.com/mcp`, and nothing else.
    let upstreams = [
        Upstream::start("Notes", "{user}'s notes: milk, call Ada, the plan for Tuesday")?,
        Upstream::start("Files", "{user}'s files: budget.ods, photo-of-{user}.png")?,
    ];
    let operator = Caller::new(TENANT, Principal::user("operator")?)?.with_role(Role::Admin);
    for (id, upstream) in ["notes", "files"].into_iter().zip(&upstreams) {
        let mut connector = Connector::server(upstream.url());
        connector.address_policy = AddressPolicy::Loopback;
        gw.put_connector(&operator, id, connector, None).await?;
    }

    // 3. The routes: the gateway's, the host's own login and home page, and the MCP endpoint behind the layer.
    let who = {
        let login = login.clone();
        move |parts: &http::request::Parts| std::future::ready(login.of(parts))
    };
    let tools = Arc::new(mcp::Tools::new(gw.clone(), upstreams.each_ref().map(Upstream::url))?);
    let endpoint = post(mcp::answer).with_state(tools).layer(AuthenticateLayer::new(&gw, &tenant, "/mcp")?);
    let app: Router = gw
        .router(&tenant, who)?
        .merge(login::routes(login))
        .route("/mcp", endpoint)
        .route("/", get(|| async { Html(HOME) }));

    // 4. What has to be done now and then.
    tokio::spawn(upkeep(gw, tenant));

    println!("Connected accounts   {base}/connections");
    println!("MCP endpoint         {base}/mcp");
    println!("Claude Code          claude mcp add --transport http grantway-demo {base}/mcp");
    println!("Sign in as alice or bob; Ctrl-C ends it.");
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or(()) };
    tokio::select! {
        served = axum::serve(listener, app) => served?,
        () = stop => {}
    }
    Ok(())
}

fn configuration(base: &str) -> EngineConfig {
    let mut gateway = GatewayConfig::new("/mcp");
    gateway.sign_in_path = Some("/login".to_owned());
    gateway.name = Some("Grantway demo".to_owned());
    EngineConfig {
        base_url: Some(base.to_owned()),
        // For a demo on this machine. A host has `https://…` as its base URL and leaves this out.
        danger_loopback_http: true,
        gateway: Some(gateway),
        ..EngineConfig::new("Grantway demo")
    }
}

/// A file, anew each time: the demo's upstreams forget everything too. A host keeps it.
fn database(directory: &PathBuf) -> Result<Sqlite, Box<dyn Error>> {
    std::fs::create_dir_all(directory)?;
    for name in ["gateway.db", "gateway.db-shm", "gateway.db-wal"] {
        match std::fs::remove_file(directory.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(Sqlite::open(directory.join("gateway.db"))?)
}

/// A host keeps its keys apart from its store; `Grantway::open("grantway.toml", store)` reads configuration and keys.
fn keys() -> Result<Keyring, Box<dyn Error>> {
    let (mut sealing, mut routing) = ([0; 32], [0; 32]);
    getrandom::fill(&mut sealing)?;
    getrandom::fill(&mut routing)?;
    Ok(Keyring::new(SealingKey::new(1, sealing), routing)?)
}

async fn upkeep(gw: Arc<Grantway>, tenant: TenantId) {
    loop {
        tokio::time::sleep(Duration::from_secs(60)).await;
        if let Err(failure) = gw.refresh_due(&tenant, 50, None).await {
            tracing::warn!(%failure, "refresh_due");
        }
        if let Err(failure) = gw.sweep(&tenant, 100, None).await {
            tracing::warn!(%failure, "sweep");
        }
    }
}

const HOME: &str = "<!doctype html><html lang=en><title>Grantway demo</title><h1>Grantway demo</h1>\
    <ul><li><a href=/connections>Connected accounts</a><li><a href=/login>Sign in as somebody else</a></ul></html>";
