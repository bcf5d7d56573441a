//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};

/// Connect your own account at an MCP server, and call its tools with it.
#[derive(Debug, Parser)]
#[command(name = "grantway", version, arg_required_else_help = true, after_long_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Exit codes, as the help shows them. `report::Exit` has the same.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the server, its issuer or the network failed, or the tool reported an error
  2  the command line is wrong
  3  a person is needed: connect, connect again, or approve
  4  this machine: files, keys, configuration

With --json every result, an error too, is one JSON object on a line of standard output. An error is
{\"error\": {\"slug\", \"fault\", \"retry\", \"message\", \"next\"}}. `connect --json --no-browser` first writes
{\"open\": URL}.";

#[derive(Args, Debug)]
pub(crate) struct Common {
    /// Where the connections and their key are kept [default: grantway in the user's data directory]
    #[arg(long, global = true, value_name = "DIR", env = "GRANTWAY_HOME")]
    pub(crate) home: Option<OsString>,
    /// Act as this person [default: the name of the user of this machine]
    #[arg(long = "as", global = true, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Write results as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Common {
    /// Where connections are kept, if it is said.
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        self.home.as_ref().filter(|home| !home.is_empty()).map(PathBuf::from)
    }

    /// The arguments that every further command needs as well; the environment stays as it is.
    pub(crate) fn given(&self) -> String {
        let from_environment = std::env::var_os("GRANTWAY_HOME") == self.home;
        let home = self.directory().filter(|_| !from_environment).map(|home| home.display().to_string());
        let options = [("--home", home), ("--as", self.user.clone())];
        let given =
            options.into_iter().filter_map(|(name, value)| Some(format!(" {name} {}", quoted(&value?))));
        given.collect()
    }
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let is_plain = |sign: char| sign.is_ascii_alphanumeric() || "/._-@:+,".contains(sign);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Connect an account: sign in at the server's issuer in the browser
    Connect(Connect),
    /// List the tools of a server
    Tools {
        /// The server's name or URL; may be left out if there is only one
        server: Option<String>,
    },
    /// Call a tool
    Call {
        /// The tool's name
        tool: String,
        /// Its arguments as a JSON object; `-`: from standard input
        #[arg(value_name = "JSON")]
        arguments: Option<String>,
        /// The server's name or URL; may be left out if there is only one
        #[arg(long)]
        server: Option<String>,
    },
    /// Show what a call would carry; the token itself only with --show
    Token {
        /// The server's name or URL; may be left out if there is only one
        server: Option<String>,
        /// Print the token. Whoever sees it can act as you
        #[arg(long)]
        show: bool,
    },
    /// Show where the connections stand
    Status {
        /// The server's name or URL [default: all]
        server: Option<String>,
    },
    /// List the servers
    List,
    /// Disconnect: revoke the tokens at the issuer and forget them
    Disconnect {
        /// The server's name or URL
        server: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Connect {
    /// The server's URL, or the name of one that is known
    pub(crate) server: String,
    /// How the server is to be called [default: made from the URL]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The oauth scopes to ask for where the server's challenge names none, separated by blanks
    #[arg(long)]
    pub(crate) scopes: Option<String>,
    /// The id of a client that was registered at the issuer by hand
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) client_id: Option<String>,
    /// Where that client's secret is: `env:NAME` or `file:PATH`
    #[arg(long, value_name = "REFERENCE", requires = "client_id")]
    pub(crate) client_secret: Option<String>,
    /// The loopback URL at which the browser comes back, as registered by hand [default: port 48741 of 127.0.0.1, or a free one]
    #[arg(long, value_name = "URL")]
    pub(crate) redirect_uri: Option<String>,
    /// For development: the server is on this machine, over plain http
    #[arg(long)]
    pub(crate) allow_loopback: bool,
    /// The server is in this private network, such as `10.0.0.0/8`; may be repeated
    #[arg(long, value_name = "NETWORK", conflicts_with = "allow_loopback")]
    pub(crate) allow_private: Vec<String>,
    /// Approve what a call was refused for: the reference that `call` has named
    #[arg(long, value_name = "REFERENCE")]
    pub(crate) because: Option<String>,
    /// Take the account signed in with, though another one was connected before
    #[arg(long)]
    pub(crate) take_account: bool,
    /// Print the URL instead of opening it; the callback URL can be pasted
    #[arg(long)]
    pub(crate) no_browser: bool,
}
