//! A server of somebody else's, started as a process: the issuer's address, what it has seen, and how to make it fail.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::Result;

/// Ends with this value; and by itself when this process ends, because its standard input does then.
pub(crate) struct Server {
    places: Places,
    http: reqwest::Client,
    _process: Child,
}

#[derive(Deserialize)]
struct Places {
    admin: String,
    issuer: String,
    mcp: String,
}

/// One exchange at the issuer's token, registration or revocation endpoint.
#[derive(Debug, Deserialize)]
pub(crate) struct Exchange {
    pub(crate) path: String,
    pub(crate) request: Value,
    pub(crate) response: Value,
    pub(crate) status: u16,
}

impl Exchange {
    /// A parameter of the request; empty if it is not there.
    pub(crate) fn sent(&self, name: &str) -> &str {
        self.request[name].as_str().unwrap_or_default()
    }

    /// A member of the answer; empty if it is not there.
    pub(crate) fn given(&self, name: &str) -> &str {
        self.response[name].as_str().unwrap_or_default()
    }

    /// The client that the request names.
    pub(crate) fn client(&self) -> String {
        self.sent("client_id").to_owned()
    }
}

impl Server {
    /// Starts a script that says where it listens on the first line of its standard output. What else it says goes to `notes`.
    pub(crate) async fn start(
        program: &str,
        script: &Path,
        token_lifetime: Duration,
        notes: &Path,
    ) -> Result<Self> {
        let mut process = Command::new(program)
            .arg(script)
            .arg(token_lifetime.as_secs().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(notes)?)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("`{program}` does not start: {error}"))?;
        let mut output = BufReader::new(process.stdout.take().ok_or("the server has no output")?);
        let mut line = String::new();
        output.read_line(&mut line).await?;
        // A server that cannot write any more would end.
        tokio::spawn(async move { tokio::io::copy(&mut output, &mut tokio::io::sink()).await });
        let places = serde_json::from_str(&line).map_err(|_| {
            format!("`{program} {}` does not say where it listens; see {}", script.display(), notes.display())
        })?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { places, http, _process: process })
    }

    pub(crate) fn mcp(&self) -> &str {
        &self.places.mcp
    }

    /// What the issuer's endpoints were sent and have answered, in order.
    pub(crate) async fn log(&self) -> Result<Vec<Exchange>> {
        let answer = self.http.get(format!("{}/log", self.places.admin)).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// `forget-clients`: the issuer forgets who has registered. `refuse-tokens`: the MCP server refuses the tokens so far.
    pub(crate) async fn order(&self, order: &str) -> Result<()> {
        let answer = self.http.post(format!("{}/{order}", self.places.admin)).send().await?;
        answer.error_for_status()?;
        Ok(())
    }

    /// Redeems a refresh token behind Grantway's back, as the newest client. The error code of the issuer's answer.
    pub(crate) async fn redeem(&self, log: &[Exchange], refresh_token: &str) -> Result<String> {
        let registration =
            log.iter().rfind(|exchange| exchange.path == "/register").ok_or("no registration")?;
        let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
        let credentials = ["client_id", "client_secret"].map(|name| (name, registration.given(name)));
        form.extend(credentials.into_iter().filter(|(_, value)| !value.is_empty()));
        let endpoint = format!("{}/token", self.places.issuer.trim_end_matches('/'));
        let answer: Value = self.http.post(endpoint).form(&form).send().await?.json().await?;
        Ok(answer["error"].as_str().unwrap_or("no error").to_owned())
    }
}
