//! Two people, one protected MCP server: the upstream half, as a host without pages uses it.

mod cast;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use grantway::driver::Host;
use grantway::grantway_core::address::AddressPolicy;
use grantway::grantway_core::principal::Role;
use grantway::grantway_core::store::{Keyring, SealingKey};
use grantway::grantway_core::upstream::connectors::ConnectorPut;
use grantway::grantway_core::upstream::disconnect::Revocation;
use grantway::store::Sqlite;
use grantway::transport::AtOnce;
use grantway::{
    CallError, Caller, Connector, Engine, EngineConfig, Form as Rendering, Grantway, Principal, Resolution,
};
use grantway_testing::serve::now;

use self::cast::Cast;
use crate::say::{Deviation, Story};

const CONNECTOR: &str = "demo";

pub(crate) async fn tell(story: &mut Story, out: &Path) -> Result<(), Deviation> {
    let cast = Cast::new()?;
    let heard = Arc::new(Mutex::new(Vec::new()));
    story.step("A protected MCP server and its issuer start on this machine");
    story.see(format!("MCP server  {}", cast.mcp.url()));
    story.see(format!("issuer      {}", cast.issuer.url()));
    let gw = open(out, Arc::clone(&heard))?;
    add_connector(&gw, &cast).await?;
    story
        .see(format!("The host knows the server as the connector `{CONNECTOR}`, and nothing else about it."));

    let (alice, bob) = (person("alice")?, person("bob")?);
    not_connected(story, &gw, &alice).await?;
    connect(story, &gw, &cast, &alice).await?;
    connect(story, &gw, &cast, &bob).await?;
    call(story, &gw, &cast, &[&alice, &bob]).await?;
    refresh(story, &gw, &cast, &alice).await?;
    disconnect(story, &gw, &cast, &alice, &bob).await?;
    look(story, &gw, &cast, out, &heard).await
}

/// A database and its key, new, as the `grantway` command keeps them.
fn open(out: &Path, heard: Arc<Mutex<Vec<String>>>) -> Result<Grantway, Deviation> {
    fs::create_dir_all(out)?;
    for name in ["grantway.db", "grantway.db-shm", "grantway.db-wal", "grantway.key"] {
        match fs::remove_file(out.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    let mut keys = [0; 64];
    getrandom::fill(&mut keys).map_err(|error| Deviation(error.to_string()))?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    writeln!(options.open(out.join("grantway.key"))?, "{}", BASE64_URL_SAFE_NO_PAD.encode(keys))?;
    let half = |at: usize| std::array::from_fn(|byte| keys[at + byte]);
    let keyring = Keyring::new(SealingKey::new(1, half(0)), half(32))?;

    let mut config = EngineConfig::new("Grantway demo");
    config.base_url = Some("http://127.0.0.1:8080".to_owned());
    config.danger_loopback_http = true;
    let store = Arc::new(Sqlite::open(out.join("grantway.db"))?);
    let host = Host::new(store, Arc::new(AtOnce::new(grantway::transport::Hyper::new()?)));
    let gw = Grantway::new(Engine::new(config, keyring)?, host);
    Ok(gw.on_events(move |event| {
        if let Ok(mut heard) = heard.lock() {
            let what = serde_json::to_value(&event.what).unwrap_or_default();
            let name = what.as_str().map(str::to_owned);
            let name = name.or_else(|| what.as_object()?.keys().next().cloned()).unwrap_or_default();
            let who = event.actor.as_ref().map_or("-", |actor| actor.id());
            heard.push(format!("{who}: {name}"));
        }
    }))
}

fn person(name: &str) -> Result<Caller, Deviation> {
    Ok(Caller::new("local", Principal::user(name)?)?)
}

async fn add_connector(gw: &Grantway, cast: &Cast) -> Result<(), Deviation> {
    let operator = person("operator")?.with_role(Role::Admin);
    let mut connector = Connector::server(cast.mcp.url());
    connector.address_policy = AddressPolicy::Loopback;
    match gw.put_connector(&operator, CONNECTOR, connector, None).await? {
        ConnectorPut::Stored { .. } => Ok(()),
        other => Err(Deviation(format!("the connector was not stored: {other:?}"))),
    }
}

async fn not_connected(story: &mut Story, gw: &Grantway, alice: &Caller) -> Result<(), Deviation> {
    story.step("alice wants to call a tool and is not connected: the host gets a challenge to show");
    match gw.resolve(alice, CONNECTOR).await? {
        Resolution::Challenge(challenge) => {
            story.see(challenge.render(Rendering::Text).body);
            story.check(
                challenge.url.is_some(),
                "the challenge names a page of the host, with a ticket for alice alone",
            )
        }
        other => Err(Deviation(format!("there is a credential before anybody has connected: {other:?}"))),
    }
}

async fn connect(story: &mut Story, gw: &Grantway, cast: &Cast, caller: &Caller) -> Result<(), Deviation> {
    let user = caller.principal.id().to_owned();
    story.step(&format!("{user} connects an account in a browser"));
    let redirect = gw.begin_connect(caller, CONNECTOR, None).await?;
    let asked = redirect.url.split('?').next().unwrap_or_default();
    story.see(format!("The browser is sent to {asked}, where {user} signs in and approves."));
    let callback = cast.approve(&user, &redirect.url).await?;
    let cookie = redirect.cookie.as_ref().and_then(|cookie| cookie.expose().split(';').next());
    let cookie = cookie.ok_or_else(|| Deviation("the flow is not bound to the browser".into()))?;

    let stranger = gw.complete_connect(Some(caller), &callback, None).await;
    let is_refused = stranger.err().is_some_and(|failure| failure.slug() == "user.binding_mismatch");
    story.check(is_refused, "the callback from another browser is refused, and changes nothing")?;
    let connected = gw.complete_connect(Some(caller), &callback, Some(cookie)).await?;
    story.see(format!("Connected: account {}.", connected.account.as_deref().unwrap_or("unknown")));
    let again = gw.complete_connect(Some(caller), &callback, Some(cookie)).await;
    let is_refused = again.err().is_some_and(|failure| failure.slug() == "user.flow_used");
    story.check(is_refused, "the same callback a second time is refused")?;
    let clients = cast.issuer.registrations().len();
    story.check(clients == 1, "the host has registered itself at the issuer once")
}

async fn call(story: &mut Story, gw: &Grantway, cast: &Cast, callers: &[&Caller]) -> Result<(), Deviation> {
    story.step("alice and bob call the tool `whoami`, each with their own credential");
    for caller in callers {
        let user = caller.principal.id();
        let answer = cast.whoami(gw, caller, CONNECTOR).await.map_err(told)?;
        story.check(answer == user, format!("the server knows {user} as `{answer}`"))?;
    }
    Ok(())
}

async fn refresh(story: &mut Story, gw: &Grantway, cast: &Cast, alice: &Caller) -> Result<(), Deviation> {
    story.step("alice's access token ends; ten calls at once need a new one");
    let before = ready(gw, alice).await?;
    story.see(format!("Now: generation {}. Waiting two seconds …", before.0));
    let posts = || cast.issuer.posts_per_refresh_token().values().sum::<u32>();
    let posts_before = posts();
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    // From now on tokens live long, so that however slow this machine is, one refresh is enough.
    cast.issuer.behave(|issuer| issuer.access_token_ms = 3_600_000);
    story.check(cast.status_with(&before.1).await? == 401, "the server refuses the old token")?;
    let calls = (0..10).map(|_| cast.whoami(gw, alice, CONNECTOR));
    for answer in join_all(calls).await {
        if answer.map_err(told)? != "alice" {
            return Err(Deviation("a call was made as somebody else".into()));
        }
    }
    let after = ready(gw, alice).await?;
    story.check(after.0 == before.0 + 1, format!("all ten went through; now: generation {}", after.0))?;
    story.check(posts() == posts_before + 1, "the issuer has seen one refresh, not ten")?;
    story.check(cast.issuer.families_revoked() == 0, "no refresh token was sent twice")
}

async fn disconnect(
    story: &mut Story,
    gw: &Grantway,
    cast: &Cast,
    alice: &Caller,
    bob: &Caller,
) -> Result<(), Deviation> {
    story.step("alice disconnects");
    let (_, token) = ready(gw, alice).await?;
    let ended = gw.disconnect(alice, CONNECTOR, None).await?;
    story.check(ended.revocation == Revocation::Complete, "her tokens are revoked at the issuer")?;
    story.check(cast.issuer.revocations().contains(&token), "her access token is among the revoked")?;
    story.check(cast.issuer.live_token(&token, now()).is_none(), "the issuer knows it no more")?;
    story.check(cast.status_with(&token).await? == 401, "the server refuses who has kept a copy")?;
    let refused = cast.whoami(gw, alice, CONNECTOR).await;
    story.check(matches!(refused, Err(CallError::Challenge(_))), "her next call is a challenge again")?;
    let answer = cast.whoami(gw, bob, CONNECTOR).await.map_err(told)?;
    story.check(answer == "bob", "bob, whose token has ended meanwhile too, goes on as `bob`")
}

async fn look(
    story: &mut Story,
    gw: &Grantway,
    cast: &Cast,
    out: &Path,
    heard: &Mutex<Vec<String>>,
) -> Result<(), Deviation> {
    story.step("What is left to look at");
    let tokens = [cast.issuer.live_access_tokens(now()), cast.issuer.live_refresh_tokens()].concat();
    let mut bytes = Vec::new();
    for name in ["grantway.db", "grantway.db-wal"] {
        bytes.extend(fs::read(out.join(name)).unwrap_or_default());
    }
    let shows = |token: &String| bytes.windows(token.len()).any(|window| window == token.as_bytes());
    story.check(!tokens.is_empty() && !tokens.iter().any(shows), "no token can be read in the database")?;
    for user in ["alice", "bob"] {
        let status = gw.status(&person(user)?, CONNECTOR).await?;
        story.see(format!("{user}: {}", status.per_user_auth.status));
    }
    let heard = heard.lock().map(|heard| heard.clone()).unwrap_or_default();
    story.see(format!(
        "{} events were told, the last ones: {}",
        heard.len(),
        heard[heard.len().saturating_sub(4)..].join(", ")
    ));
    let file = out.join("grantway.db");
    story.see(format!("The database: {}", file.display()));
    story.see(format!(
        "  sqlite3 {} 'SELECT hex(substr(key, 1, 12)), version, length(value) FROM grantway_record'",
        file.display()
    ));
    story.see("The same connections, seen by the command:".to_owned());
    story.see(format!(
        "  cargo run -q -p grantway --features command -- --home {} --as bob status",
        out.display()
    ));
    Ok(())
}

/// The generation and the token that a call would carry.
async fn ready(gw: &Grantway, caller: &Caller) -> Result<(u64, String), Deviation> {
    match gw.resolve(caller, CONNECTOR).await? {
        Resolution::Ready(ready) => {
            let value = ready.own_headers().next().map(|(_, value)| value.expose().to_owned());
            let token = value.as_deref().and_then(|value| value.strip_prefix("Bearer "));
            Ok((ready.generation(), token.unwrap_or_default().to_owned()))
        }
        other => Err(Deviation(format!("there is no credential: {other:?}"))),
    }
}

fn told(error: CallError<Deviation>) -> Deviation {
    match error {
        CallError::Send(deviation) => deviation,
        CallError::Failure(failure) => failure.into(),
        CallError::Challenge(challenge) => Deviation(challenge.text()),
        other => Deviation(format!("{other:?}")),
    }
}
