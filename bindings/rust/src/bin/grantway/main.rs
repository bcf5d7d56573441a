//! The `grantway` command: connect your own account at an MCP server, and call its tools with it.
//!
//! Records and their key stand in one directory that nobody else can read. `--help` says all there is to say.
#![deny(unsafe_code)]

mod args;
mod browser;
mod callback;
mod calls;
mod connect;
mod connections;
mod flow;
mod home;
mod mcp;
mod report;
mod servers;
mod text;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use self::args::{Arguments, Command};
use self::report::{Exit, Problem, Report};
use self::servers::Desk;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let report = Report { json: arguments.common.json, given: arguments.common.given().leak() };
    let exit = match start(arguments, report) {
        Ok(exit) => exit,
        Err(problem) => {
            report.problem(&problem);
            problem.exit
        }
    };
    ExitCode::from(exit as u8)
}

/// What is no command line, or asks for help.
fn refuse(error: &clap::Error) -> ExitCode {
    let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if !is_help && std::env::args_os().any(|argument| argument == "--json") {
        let message = error.to_string();
        // Up to the usage: what is wrong, and of which arguments.
        let said: Vec<_> = message.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
        let said = said.join(" ");
        let said = said.trim_start_matches("error: ");
        Report { json: true, given: "" }
            .problem(&Problem::usage(said, "`grantway --help` says what can be given"));
    } else {
        // Nothing can be done about an output that is closed.
        let _ = error.print();
    }
    ExitCode::from(if is_help { Exit::Done } else { Exit::Usage } as u8)
}

fn start(arguments: Arguments, report: Report) -> Result<Exit, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        let message = format!("this process cannot do input and output: {error}");
        Problem::machine("command.no_runtime", message, "check this process's limits")
    })?;
    runtime.block_on(run(arguments, report))
}

async fn run(Arguments { common, command }: Arguments, report: Report) -> Result<Exit, Problem> {
    let desk = Desk::open(&common).await?;
    match command {
        Command::Call { tool, arguments, server } => {
            return calls::call(&desk, &tool, arguments.as_deref(), server.as_deref(), report).await;
        }
        Command::Connect(arguments) => connect::run(&desk, &arguments, report).await?,
        Command::Disconnect { server } => return connections::disconnect(&desk, &server, report).await,
        Command::List => connections::list(&desk, report).await?,
        Command::Status { server } => connections::status(&desk, server.as_deref(), report).await?,
        Command::Token { server, show } => calls::token(&desk, server.as_deref(), show, report).await?,
        Command::Tools { server } => calls::tools(&desk, server.as_deref(), report).await?,
    }
    Ok(Exit::Done)
}
