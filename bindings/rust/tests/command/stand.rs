//! What the tests of the command stand on.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use grantway_testing::serve::{Listener, Serving};
use grantway_testing::{Issuer, McpServer, Request, Response, Server as _};
use serde_json::Value;
use tempfile::TempDir;

/// An issuer and its MCP server on loopback, and a home.
pub(crate) struct Stand {
    pub(crate) issuer: Issuer,
    pub(crate) mcp: McpServer,
    directory: TempDir,
    servings: Vec<Serving>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Stand {
    pub(crate) fn new() -> Self {
        let (issuer, serving_issuer) = Serving::issuer().unwrap();
        let listener = Listener::bind().unwrap();
        let mcp = McpServer::new(&format!("{}/mcp", listener.url()), &issuer);
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (log, mut server) = (Arc::clone(&requests), mcp.clone());
        let serving_mcp = listener.serve(vec![Box::new(move |request: &Request, now| {
            log.lock().unwrap().push(request.clone());
            server.handle(request, now)
        })]);
        let directory = tempfile::tempdir().unwrap();
        // The browser: it notes its arguments, each on a line, and leaves the rest to the test.
        let script = "#!/bin/sh\nfor a in \"$@\"; do printf '%s\\n' \"$a\"; done > \"$0.$$\"\nmv \"$0.$$\" \"$0.opened\"\n";
        let browser = directory.path().join("browser");
        fs::write(&browser, script).unwrap();
        fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).unwrap();
        Self { issuer, mcp, directory, servings: vec![serving_issuer, serving_mcp], requests }
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// The messages that the MCP server has seen since the last question.
    pub(crate) fn messages(&self) -> Vec<Request> {
        let mut requests = std::mem::take(&mut *self.requests.lock().unwrap());
        requests.retain(|request| request.method == "POST");
        requests
    }

    /// Takes both servers off the network.
    pub(crate) fn unplug(&mut self) {
        self.servings.clear();
    }

    /// The command, as this person.
    pub(crate) fn command(&self, user: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grantway"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("GRANTWAY_HOME", self.home())
            .env("BROWSER", self.directory.path().join("browser"))
            .args(["--as", user])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, user: &str, arguments: &[&str]) -> Ended {
        Ended::of(self.command(user, arguments).spawn().unwrap())
    }

    /// Runs it with `--json` to its end; its only line of output.
    pub(crate) fn json(&self, user: &str, arguments: &[&str]) -> (i32, Value) {
        let ended = self.run(user, &[&["--json"], arguments].concat());
        assert_eq!(ended.out.lines().count(), 1, "{ended:?}");
        (ended.code, ended.json())
    }

    /// Begins to connect; the browser is open when this returns.
    pub(crate) fn begin(&self, user: &str, arguments: &[&str]) -> Connecting {
        self.try_begin(user, arguments).unwrap_or_else(|ended| panic!("no browser was opened: {ended:?}"))
    }

    /// As [`Stand::begin`], or how the command ended before it opened the browser.
    pub(crate) fn try_begin(&self, user: &str, arguments: &[&str]) -> Result<Connecting, Ended> {
        let opened = self.directory.path().join("browser.opened");
        let _ = fs::remove_file(&opened);
        let child = self.command(user, &[&["--json", "connect"], arguments].concat()).spawn().unwrap();
        let mut connecting = Connecting { child: Some(child), arguments: Vec::new() };
        let begun = Instant::now();
        while !opened.exists() {
            if !connecting.is_waiting() {
                return Err(connecting.end());
            }
            assert!(begun.elapsed() < PATIENCE, "no browser was opened");
            std::thread::sleep(Duration::from_millis(5));
        }
        connecting.arguments = fs::read_to_string(&opened).unwrap().lines().map(str::to_owned).collect();
        Ok(connecting)
    }

    /// Connects the development server for this person, who signs in under the same name.
    pub(crate) fn connect(&self, user: &str) -> Value {
        let connecting = self.begin(user, &[&self.mcp.url(), "--allow-loopback"]);
        let callback = self.issuer.approve_as(user, connecting.url());
        assert_eq!(come_back(&callback).status, 303);
        let ended = connecting.end();
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.json()
    }
}

/// Longer than anything takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// `connect`, waiting for the browser. Killed when dropped.
pub(crate) struct Connecting {
    child: Option<Child>,
    /// What the browser was started with.
    pub(crate) arguments: Vec<String>,
}

impl Connecting {
    pub(crate) fn url(&self) -> &str {
        &self.arguments[0]
    }

    pub(crate) fn redirect_uri(&self) -> String {
        let url = url::Url::parse(self.url()).unwrap();
        url.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1.into_owned()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn is_waiting(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    pub(crate) fn end(mut self) -> Ended {
        Ended::of(self.child.take().unwrap())
    }

    pub(crate) fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A command that was given a URL to open on its output, and is given lines on its input.
pub(crate) struct Pasting {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Pasting {
    pub(crate) fn begin(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    pub(crate) fn paste(&mut self, text: &str) {
        writeln!(self.input, "{text}").unwrap();
    }

    pub(crate) fn end(mut self) -> i32 {
        let code = self.child.wait().unwrap().code().unwrap();
        drop(self.input);
        code
    }
}

#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    fn of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Its only line of output.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Gets a page as a browser does, without following where it leads.
pub(crate) fn get(url: &str) -> Response {
    let authority = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    exchange("GET", url, authority)
}

/// What a browser does with a callback URL: it gets it, and then the page that it leads to. The first answer.
pub(crate) fn come_back(url: &str) -> Response {
    let response = get(url);
    if let Some(page) = response.one("location") {
        let origin = url::Url::parse(url).unwrap().origin().ascii_serialization();
        assert_eq!(get(&format!("{origin}{page}")).status, 200);
    }
    response
}

/// One request on a connection of its own.
pub(crate) fn exchange(method: &str, url: &str, host: &str) -> Response {
    try_exchange(method, url, host).unwrap_or_else(|error| panic!("{method} {url}: {error}"))
}

pub(crate) fn try_exchange(method: &str, url: &str, host: &str) -> std::io::Result<Response> {
    let at = url.strip_prefix("http://").unwrap();
    let (authority, path) = at.split_once('/').unwrap();
    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let response = Response::new(status).body(body);
    Ok(lines
        .filter_map(|line| line.split_once(": "))
        .fold(response, |r, (name, value)| r.header(name, value)))
}
