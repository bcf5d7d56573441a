//! `tools`, `call`, `token`: using a connection.

use std::io::Read as _;

use grantway::grantway_core::moment::UnixMillis;
use grantway::{Grantway, Resolution};
use serde_json::{Value, json};

use crate::mcp::Mcp;
use crate::report::{Exit, Problem, Report};
use crate::servers::{Desk, Server};
use crate::text;

pub(crate) async fn tools(desk: &Desk, server: Option<&str>, report: Report) -> Result<(), Problem> {
    let server = desk.choose(server)?;
    let gw = desk.grantway_for(server)?;
    let tools = Mcp::open(desk, &gw, server).await?.tools().await?;
    report.result(&json!({ "server": server.name, "user": desk.user(), "tools": tools }), || {
        let shown = tools.iter().map(|tool| {
            let name = text::line(tool["name"].as_str().unwrap_or("?"));
            let about =
                tool["description"].as_str().and_then(|about| about.lines().next()).unwrap_or_default();
            format!("{name}  {}", text::line(about)).trim_end().to_owned()
        });
        shown.collect::<Vec<_>>().join("\n")
    });
    Ok(())
}

pub(crate) async fn call(
    desk: &Desk,
    tool: &str,
    arguments: Option<&str>,
    server: Option<&str>,
    report: Report,
) -> Result<Exit, Problem> {
    let arguments = read_arguments(arguments)?;
    let server = desk.choose(server)?;
    let gw = desk.grantway_for(server)?;
    let result = Mcp::open(desk, &gw, server).await?.call(tool, &arguments).await?;
    let failed = result["isError"] == true;
    report.result(
        &json!({ "server": server.name, "user": desk.user(), "tool": tool, "result": result }),
        || content(&result),
    );
    Ok(if failed { Exit::Peer } else { Exit::Done })
}

fn read_arguments(arguments: Option<&str>) -> Result<Value, Problem> {
    let refused = |why: &str| {
        let next = "give a JSON object such as '{\"query\": \"x\"}', or `-` to read one from standard input";
        Problem::usage(format!("the arguments {why}"), next)
    };
    let mut text = String::new();
    let text = match arguments {
        None => return Ok(json!({})),
        Some("-") => {
            std::io::stdin().read_to_string(&mut text).map_err(|_| refused("cannot be read"))?;
            text.as_str()
        }
        Some(text) => text,
    };
    match serde_json::from_str(text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err(refused("are not a JSON object")),
        Err(error) => Err(refused(&format!("are not JSON: {error}"))),
    }
}

/// What a person sees of a result: its texts, and that there is more.
fn content(result: &Value) -> String {
    let parts = result["content"].as_array().into_iter().flatten().map(|part| match part["text"].as_str() {
        Some(text) => text::lines(text),
        None => {
            let kind = text::line(part["type"].as_str().unwrap_or("something"));
            format!("[{kind}; --json shows it]")
        }
    });
    let parts: Vec<_> = parts.collect();
    if parts.is_empty() { text::json(result) } else { parts.join("\n") }
}

pub(crate) async fn token(
    desk: &Desk,
    server: Option<&str>,
    show: bool,
    report: Report,
) -> Result<(), Problem> {
    let server = desk.choose(server)?;
    let gw = desk.grantway_for(server)?;
    let ready = match gw.resolve(&desk.caller, &server.name).await? {
        Resolution::Ready(ready) => ready,
        Resolution::Challenge(challenge) => return Err(Problem::challenge(&challenge, &server.name)),
        Resolution::Transient(transient) => return Err(Problem::transient(transient)),
    };
    let mut result = json!({
        "server": server.name,
        "user": desk.user(),
        "attribution": ready.attribution(),
        "generation": ready.generation(),
        "scopes": ready.scopes(),
        "expires_at": ready.expires_at(),
        "warnings": ready.warnings(),
    });
    if show {
        let headers = ready.own_headers().map(|(name, value)| (name.to_owned(), Value::from(value.expose())));
        result["headers"] = Value::Object(headers.collect());
    }
    report.result(&result, || {
        let mut lines = about(&gw, server, &ready.scopes().to_string(), ready.expires_at());
        if show {
            for (name, value) in ready.own_headers() {
                lines.push_str(&format!("{name}: {}\n", value.expose()));
            }
        } else {
            lines.push_str("The token is there. --show prints it; whoever sees it can act as you.");
        }
        lines
    });
    Ok(())
}

fn about(gw: &Grantway, server: &Server, scopes: &str, expires_at: Option<UnixMillis>) -> String {
    let mut lines = format!("{} ({})\n", server.name, server.url);
    if !scopes.is_empty() {
        lines.push_str(&format!("  scopes: {scopes}\n"));
    }
    if let Some(end) = expires_at {
        lines.push_str(&format!("  ends: {}\n", text::from_now(gw.moment().now, end)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_an_object() {
        assert_eq!(read_arguments(None).unwrap(), json!({}));
        assert_eq!(read_arguments(Some("{\"a\":1}")).unwrap(), json!({ "a": 1 }));
        for text in ["", "[]", "1", "{", "{}x"] {
            assert!(read_arguments(Some(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn a_result_is_shown_without_what_a_terminal_obeys() {
        let result = json!({ "content": [
            { "type": "text", "text": "a\u{1b}[31m\nb" },
            { "type": "image\u{7}", "data": "…" },
        ] });
        assert_eq!(content(&result), "a\\u{1b}[31m\nb\n[image\\u{7}; --json shows it]");
        assert_eq!(
            content(&json!({ "structuredContent": { "a": "\u{9b}" } })),
            r#"{"structuredContent":{"a":"\u009b"}}"#
        );
    }
}
