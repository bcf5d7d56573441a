//! The example host as a process.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::say::Deviation;

/// The host, until it is dropped.
pub(super) struct Host {
    child: Child,
    /// `http://127.0.0.1:PORT`
    pub(super) base: String,
    /// What it has printed.
    pub(super) printed: Vec<String>,
}

impl Host {
    /// Builds and starts it on a free port.
    pub(super) fn start(out: &Path) -> Result<Self, Deviation> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["run", "-q", "-p", "grantway", "--features", "axum", "--example", "gateway", "--"]);
        command.args(["--port", "0", "--out"]).arg(out).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let lines = child.stdout.take().map(|out| BufReader::new(Box::new(out) as Box<dyn Read>));
        let mut host = Self { child, base: String::new(), printed: Vec::new() };
        for line in lines.into_iter().flat_map(BufRead::lines) {
            let line = line?;
            let is_last = line.contains("Ctrl-C");
            host.printed.push(line);
            if is_last {
                break;
            }
        }
        let endpoint = host.printed.iter().find_map(|line| line.strip_prefix("MCP endpoint"));
        let base = endpoint.and_then(|line| line.trim().strip_suffix("/mcp"));
        host.base = base.ok_or_else(|| Deviation("the host does not say where it is".into()))?.to_owned();
        Ok(host)
    }

    /// As Ctrl-C does; whether it went well.
    pub(super) fn stop(mut self) -> Result<bool, Deviation> {
        Command::new("kill").args(["-INT", &self.child.id().to_string()]).status()?;
        Ok(self.child.wait()?.success())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
