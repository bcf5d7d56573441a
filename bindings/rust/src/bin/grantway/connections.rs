//! `status`, `list`, `disconnect`.

use std::time::Duration;

use grantway::grantway_core::upstream::disconnect::{Disconnected, Revocation};
use grantway::grantway_core::upstream::status::{ConnectorStatus, Status};
use grantway::{Failure, Grantway};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::report::{Exit, Problem, Report};
use crate::servers::{Desk, Server};
use crate::text;

pub(crate) async fn status(desk: &Desk, server: Option<&str>, report: Report) -> Result<(), Problem> {
    let servers = match server {
        Some(name) => vec![desk.find(name).ok_or_else(|| desk.unknown(name))?],
        None => desk.servers.iter().collect(),
    };
    let mut found = Vec::new();
    for server in servers {
        let gw = desk.grantway_for(server)?;
        found.push((server, gw.status(&desk.caller, &server.name).await?, gw));
    }
    let rows: Vec<Value> = found.iter().map(|(server, status, _)| row(server, status)).collect();
    report.result(&json!({ "user": desk.user(), "servers": rows }), || {
        let shown: Vec<String> =
            found.iter().map(|(server, status, gw)| shown(server, status, gw, report)).collect();
        if shown.is_empty() { report.suggesting(NOTHING_KNOWN) } else { shown.join("\n") }
    });
    Ok(())
}

fn row(server: &Server, status: &ConnectorStatus) -> Value {
    json!({ "server": server.name, "url": server.url, "status": status })
}

fn shown(server: &Server, status: &ConnectorStatus, gw: &Grantway, report: Report) -> String {
    let mut lines =
        format!("{} ({})\n  state: {}\n", server.name, server.url, state(&status.per_user_auth.state));
    let mut say = |what: &str, value: String| {
        if !value.is_empty() {
            lines.push_str(&format!("  {what}: {}\n", text::line(&value)));
        }
    };
    for connection in &status.connections {
        say("account", connection.account.clone().unwrap_or_default());
        say("issuer", connection.issuer.clone().unwrap_or_default());
        say("scopes", connection.per_user_auth.scopes.to_string());
        if let Some(end) = connection.per_user_auth.expires_at {
            say("token ends", text::from_now(gw.moment().now, end));
        }
        say("checks waived", connection.waivers.join(", "));
        if connection.doubt {
            say("doubt", "a token may live on at the issuer; only you can end it there".to_owned());
        }
        if connection.unrevoked > 0 {
            say("not yet revoked", connection.unrevoked.to_string());
        }
    }
    let unrevoked = status.connections.iter().any(|connection| connection.unrevoked > 0);
    if let Some(next) = next(&status.per_user_auth.state, unrevoked, server) {
        say("next", report.suggesting(&next));
    }
    lines
}

fn state(state: &Status) -> String {
    match state {
        Status::Connected => "connected".to_owned(),
        Status::Connecting => "connecting".to_owned(),
        Status::Disconnected => "disconnected".to_owned(),
        Status::Error { code } => format!("error ({code})"),
        Status::Expired => "expired".to_owned(),
        Status::NeedsReauth { reason } => format!("needs_reauth ({reason})"),
        Status::NeedsScope { missing } => format!("needs_scope ({missing})"),
        Status::Suspended => "suspended".to_owned(),
    }
}

fn next(state: &Status, unrevoked: bool, server: &Server) -> Option<String> {
    let connect = || format!("grantway connect {}", server.name);
    match state {
        Status::Disconnected if unrevoked => Some(format!("grantway disconnect {}", server.name)),
        Status::Connected => None,
        Status::Suspended => Some("ask who has suspended it".to_owned()),
        _ => Some(connect()),
    }
}

pub(crate) async fn list(desk: &Desk, report: Report) -> Result<(), Problem> {
    let mut rows = Vec::new();
    for server in &desk.servers {
        let gw = desk.grantway_for(server)?;
        let status = gw.status(&desk.caller, &server.name).await?;
        let account = status.connections.iter().find_map(|connection| connection.account.clone());
        rows.push((server, status.per_user_auth, account));
    }
    let servers: Vec<Value> = rows
        .iter()
        .map(|(server, auth, account)| {
            json!({
                "server": server.name,
                "url": server.url,
                "status": auth.status,
                "state": auth.state,
                "account": account,
            })
        })
        .collect();
    report.result(&json!({ "user": desk.user(), "servers": servers }), || {
        let width =
            |of: fn(&Server) -> &str| rows.iter().map(|(server, ..)| of(server).len()).max().unwrap_or(0);
        let (names, urls) = (width(|server| &server.name), width(|server| &server.url));
        let lines = rows.iter().map(|(server, auth, account)| {
            let account = text::line(account.as_deref().unwrap_or_default());
            let line = format!("{:names$}  {:urls$}  {:12}  {account}", server.name, server.url, auth.status);
            line.trim_end().to_owned()
        });
        let lines: Vec<_> = lines.collect();
        if lines.is_empty() { report.suggesting(NOTHING_KNOWN) } else { lines.join("\n") }
    });
    Ok(())
}

const NOTHING_KNOWN: &str = "No server is known yet.\nNext: grantway connect URL";

pub(crate) async fn disconnect(desk: &Desk, server: &str, report: Report) -> Result<Exit, Problem> {
    let server = desk.find(server).ok_or_else(|| desk.unknown(server))?;
    let gw = desk.grantway_for(server)?;
    let ended = gw.disconnect(&desk.caller, &server.name, None).await?;
    let swept: Result<Result<_, Failure>, _> =
        timeout(Duration::from_secs(5), gw.sweep(&desk.caller.tenant, 5, None)).await;
    if !matches!(swept, Ok(Ok(_))) {
        report.progress("What earlier attempts have left is swept up next time.");
    }
    let result = json!({
        "server": server.name,
        "user": desk.user(),
        "was_connected": ended.was_connected,
        "revocation": ended.revocation,
        "doubt": ended.doubt,
    });
    report.result(&result, || report.suggesting(&said(server, &ended)));
    Ok(if ended.revocation == Revocation::Pending { Exit::Peer } else { Exit::Done })
}

fn said(server: &Server, ended: &Disconnected) -> String {
    let mut lines = if ended.was_connected {
        format!("Disconnected {}.\n", server.name)
    } else {
        format!("{} was not connected.\n", server.name)
    };
    lines.push_str(match ended.revocation {
        Revocation::Complete => "  Its tokens are revoked at the issuer.\n",
        Revocation::NotOffered => {
            "  The issuer revokes no tokens: they live there until they end by themselves.\n"
        }
        Revocation::Nothing => "",
        Revocation::Pending => {
            return lines
                + &format!(
                    "  The issuer could not be asked to revoke its tokens.\nNext: grantway disconnect {}\n",
                    server.name
                );
        }
    });
    if ended.doubt {
        lines.push_str("  An answer was under way: a token may live on at the issuer. Look there.\n");
    }
    lines
}
