//! What Grantway does, step by step, on this machine. Every step is checked; the first that is not as it should be ends the demo with
//! exit code 1.

mod gateway;
mod say;
mod terminal;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::say::{Form, Story};

/// Walks through a part of Grantway by itself.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which part
    #[arg(value_enum)]
    part: Part,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
    /// Tell only how it ended
    #[arg(long)]
    quiet: bool,
    /// Where the database and its key are left
    #[arg(long, value_name = "DIR", default_value = "demo")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Part {
    /// The example host with its gateway, a browser and an MCP client
    Gateway,
    /// Two people and one protected MCP server, without pages
    Terminal,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let form = match (arguments.json, arguments.quiet) {
        (true, _) => Form::Json,
        (false, true) => Form::Quiet,
        (false, false) => Form::Text,
    };
    let mut story = Story::new(form);
    let result = match arguments.part {
        // It talks to a process of its own, and nothing else happens here meanwhile.
        Part::Gateway => tokio::task::block_in_place(|| gateway::tell(&mut story, &arguments.out)),
        Part::Terminal => terminal::tell(&mut story, &arguments.out).await,
    };
    story.end(&result);
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
