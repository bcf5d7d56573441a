//! `connect`: the person signs in at the server's issuer, in a browser.

use std::time::Duration;

use grantway::grantway_core::address::{AddressPolicy, Cidr};
use grantway::grantway_core::connector::StaticRegistration;
use grantway::grantway_core::error::Code;
use grantway::grantway_core::principal::ConnectorId;
use grantway::grantway_core::protocol::scopes::Scopes;
use grantway::grantway_core::upstream::begin_connect::{BeginConnect, FlowBinding, Redirect};
use grantway::grantway_core::upstream::complete_connect::Connected;
use grantway::{Connector, Failure, Grantway};
use serde_json::json;
use tokio::time::timeout;
use url::Url;

use crate::args::Connect;
use crate::callback::Listener;
use crate::flow::Flow;
use crate::report::{Problem, Report};
use crate::servers::{Desk, Server};
use crate::text;

pub(crate) async fn run(desk: &Desk, arguments: &Connect, report: Report) -> Result<(), Problem> {
    let (server, is_new) = meant(desk, arguments)?;
    let gw = desk.grantway_for(&server)?;
    let client_secret = match &arguments.client_secret {
        Some(reference) => Some(grantway::config::read_secret("--client-secret", reference)?),
        None => None,
    };
    if is_new
        || desk.find(&server.name).is_none_or(|known| known.connector != server.connector)
        || client_secret.is_some()
    {
        server.put(&gw, &desk.admin(), client_secret).await?;
    }

    let listener = Listener::bind(arguments.redirect_uri.as_deref()).await?;
    report.progress(&format!("Asking {} how it wants to be authorized …", server.url));
    let begun = begin(desk, &gw, &server, listener.redirect_uri(), arguments.because.clone()).await;
    if is_new && begun.is_err() {
        // A mistyped URL is not to be remembered.
        gw.delete_connector(&desk.admin(), &server.name).await?;
    }
    let redirect = begun?;
    for note in &redirect.notes {
        report.progress(&format!("Note: {}.", note.message()));
    }

    let outcome = Flow { desk, gw: &gw, server: &server, redirect: &redirect, report }
        .wait(listener, arguments.no_browser)
        .await;
    // What earlier attempts have left, within reason: the rest has time until the next.
    let _ = timeout(Duration::from_secs(5), gw.sweep(&desk.caller.tenant, 5, None)).await;
    let connected = confirm(desk, &gw, &server, outcome?, arguments.take_account).await?;
    say(desk, &server, &redirect, &connected, report);
    Ok(())
}

/// The server that is meant, as the command line wants it to be, and whether it is new.
fn meant(desk: &Desk, arguments: &Connect) -> Result<(Server, bool), Problem> {
    let (mut server, is_new) = match desk.find(&arguments.server) {
        Some(known) => (known.clone(), false),
        None => {
            let url = Url::parse(&arguments.server).ok().filter(|_| arguments.server.contains("://"));
            let url = url.ok_or_else(|| desk.unknown(&arguments.server))?;
            let name = arguments.name.clone().unwrap_or_else(|| desk.name_for(&url));
            if desk.find(&name).is_some() {
                let message = format!("`{name}` is the name of another server");
                return Err(Problem::usage(message, "give another one with --name"));
            }
            let connector = Connector::server(&arguments.server);
            (Server { name, url: arguments.server.clone(), connector }, true)
        }
    };
    if let Some(name) = arguments.name.as_ref().filter(|name| **name != server.name) {
        let message = format!("the server is known as `{}`, not as `{name}`", server.name);
        return Err(Problem::usage(message, "leave --name out"));
    }
    let connector = &mut server.connector;
    if let Some(scopes) = &arguments.scopes {
        let parsed = Scopes::parse(scopes).map_err(|invalid| {
            Problem::usage(format!("`--scopes` is `{scopes}`: {}", invalid.0), "separate scopes by blanks")
        })?;
        connector.scopes = Some(parsed);
    }
    if let Some(client_id) = &arguments.client_id {
        connector.registration =
            Some(StaticRegistration { issuer: None, client_id: client_id.clone(), auth_method: None });
    }
    if arguments.allow_loopback {
        connector.address_policy = AddressPolicy::Loopback;
    }
    if server.url.starts_with("http:") && connector.address_policy != AddressPolicy::Loopback {
        let message = format!("`{}` is plain http", server.url);
        return Err(Problem::usage(message, "use https; for a server on this machine, add --allow-loopback"));
    }
    if !arguments.allow_private.is_empty() {
        let networks = arguments.allow_private.iter().map(|network| Cidr::parse(network));
        connector.address_policy = AddressPolicy::Allow(networks.collect::<Result<_, _>>()?);
    }
    Ok((server, is_new))
}

async fn begin(
    desk: &Desk,
    gw: &Grantway,
    server: &Server,
    redirect_uri: &str,
    because: Option<String>,
) -> Result<Redirect, Problem> {
    let id = ConnectorId::new(server.name.as_str())?;
    // The process that begins is the one that listens, and the one that pasted URLs are given to.
    let binding = FlowBinding::Process { redirect_uri: redirect_uri.to_owned() };
    let arguments = BeginConnect { binding, because, ..BeginConnect::new(desk.caller.clone(), id) };
    gw.begin_connect_with(arguments).await.map_err(|failure| with_hint(failure, server))
}

/// The next step that helps on a command line, where the catalogue's is for administrators.
fn with_hint(failure: Failure, server: &Server) -> Problem {
    let code = failure.code();
    let mut problem = Problem::from(failure);
    let is_local = Url::parse(&server.url).ok().and_then(|url| {
        Some(match url.host()? {
            url::Host::Domain(name) => name == "localhost",
            url::Host::Ipv4(ip) => ip.is_loopback(),
            url::Host::Ipv6(ip) => ip.is_loopback(),
        })
    });
    match code {
        Code::AddressRefused if is_local == Some(true) => {
            problem.next = "for a server of your own on this machine, add --allow-loopback".to_owned();
        }
        Code::AddressRefused => {
            problem.next =
                "if the server is in a private network of yours, add --allow-private with it".to_owned();
        }
        Code::RegistrationNeeded | Code::RegistrationRefused => {
            problem.next =
                "register a client at the issuer by hand, then add --client-id and --client-secret"
                    .to_owned();
        }
        _ => {}
    }
    problem
}

/// Decides on another account than the one connected before.
async fn confirm(
    desk: &Desk,
    gw: &Grantway,
    server: &Server,
    connected: Connected,
    take: bool,
) -> Result<Connected, Problem> {
    if !connected.awaits_confirmation {
        return Ok(connected);
    }
    let status = gw.status(&desk.caller, &server.name).await?;
    let held = status.connections.iter().find_map(|connection| connection.held.as_ref());
    if let Some(held) = held {
        gw.confirm_account(&desk.caller, &server.name, held.held_since, take).await?;
    }
    if take {
        return Ok(connected);
    }
    let account = connected.account.as_deref().unwrap_or("another account");
    let before = status.connections.iter().find_map(|connection| connection.account.as_deref());
    let message = format!(
        "you have signed in as `{}`, but `{}` is connected; nothing was changed",
        text::line(account),
        text::line(before.unwrap_or("another account")),
    );
    let next = "sign in with that account, or add --take-account to change accounts";
    Err(Problem::person("command.other_account", message, next))
}

fn say(desk: &Desk, server: &Server, redirect: &Redirect, connected: &Connected, report: Report) {
    let Server { name, url, .. } = server;
    let result = json!({
        "server": name,
        "url": url,
        "user": desk.user(),
        "issuer": redirect.issuer,
        "account": connected.account,
        "generation": connected.generation,
        "scopes": connected.scopes,
        "missing": connected.missing,
        "warnings": connected.warnings,
        "notes": redirect.notes,
    });
    report.result(&result, || {
        let mut lines = format!("Connected {name} ({url}) for {}.\n", desk.user());
        if let Some(account) = &connected.account {
            lines.push_str(&format!("  account: {}\n", text::line(account)));
        }
        for (what, scopes) in [("scopes", &connected.scopes), ("not granted", &connected.missing)] {
            if !scopes.is_empty() {
                lines.push_str(&format!("  {what}: {scopes}\n"));
            }
        }
        lines.push_str(&report.suggesting(&format!("Next: grantway tools {name}")));
        lines
    });
}
