//! An upstream: an MCP server with an issuer of its own, at which everybody has an account that is named after them and it.

use std::io;

use grantway::grantway_core::moment::UnixMillis;
use grantway_testing::serve::{Listener, Serving};
use grantway_testing::{Issuer, McpServer, Request, Response, Server};
use serde_json::{Value, json};

use crate::login::USER;

/// Until it is dropped.
pub(crate) struct Upstream {
    pub(crate) mcp: McpServer,
    issuer: Issuer,
    _serving: [Serving; 2],
}

impl Upstream {
    pub(crate) fn start(name: &'static str, asks: bool) -> io::Result<Self> {
        let listener = Listener::bind()?;
        let issuer = Issuer::salted(listener.url(), name);
        issuer.behave(|issuer| issuer.id_tokens = true);
        let front = Front { issuer: issuer.clone(), name, asks };
        let issuing = listener.serve(vec![Box::new(front)]);
        let (mcp, serving) = Serving::mcp(&issuer)?;
        Ok(Self { mcp, issuer, _serving: [issuing, serving] })
    }

    pub(crate) fn facts(&self) -> Value {
        json!({ "issuer": self.issuer.url(), "mcp": self.mcp.url() })
    }
}

/// What stands before the issuer: its login, and its page.
struct Front {
    issuer: Issuer,
    name: &'static str,
    asks: bool,
}

impl Server for Front {
    fn handle(&mut self, request: &Request, now: UnixMillis) -> Response {
        if request.path() != "/authorize" {
            return self.issuer.handle(request, now);
        }
        // The stand's cookie comes along, for a browser's cookies are a host's, whatever the port.
        let user = request.one("cookie").into_iter().flat_map(|all| all.split("; ")).find_map(|pair| {
            pair.split_once('=').filter(|(name, _)| *name == USER).map(|(_, value)| value.to_owned())
        });
        let account = format!("{}-at-{}", user.as_deref().unwrap_or("somebody"), self.name);
        match request.method.as_str() {
            "GET" if self.asks => Response::html(200, self.page(&account)),
            "POST" => self.issuer.handle(request, now),
            _ => {
                // As if the person had pressed Allow at once.
                let form = [("user", account.as_str())];
                self.issuer.handle(&Request::post_form(&request.url, &form), now)
            }
        }
    }
}

impl Front {
    /// The form goes back to the same URL, query included.
    fn page(&self, account: &str) -> String {
        let name = self.name;
        format!(
            "<!doctype html><html lang=en><title>{name}</title><h1>{name}</h1>\
            <p>A gateway wants to use your account <b>{account}</b>.</p><form method=post>\
            <input type=hidden name=user value={account}><button>Allow</button> <button name=deny value=1>Deny</button></form></html>"
        )
    }
}
