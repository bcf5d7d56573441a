//! Grantway against authorization servers that others wrote: `grantway-interop NODE PYTHON`, started by `run.py`.

mod browser;
mod gateway;
mod journey;
mod server;
mod user;

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use self::journey::{Journey, Tools};
use self::server::Server;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Short enough to wait for its end. FastMCP cuts the end to whole seconds, and revokes the refresh token of whoever shows an
/// expired access token; Grantway refreshes when a quarter is left, so a quarter has to be a second.
const TOKEN_LIFETIME: Duration = Duration::from_secs(4);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let [node, python] = &env::args().skip(1).collect::<Vec<_>>()[..] else {
        eprintln!("usage: grantway-interop NODE PYTHON; `run.py` knows where they are");
        return ExitCode::FAILURE;
    };
    let ended = tokio::join!(
        meet("oidc-provider", node, "oidc-provider/server.mjs", Tools { knows_names: true, write: true }),
        meet("fastmcp", python, "fastmcp/server.py", Tools { knows_names: false, write: false }),
    );
    match ended {
        (Ok(first), Ok(second)) => {
            println!("\n{} steps with 2 servers passed", first + second);
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}

/// Runs the journey with one server, and says how it went. The number of its steps.
async fn meet(name: &'static str, program: &str, script: &str, tools: Tools) -> std::result::Result<u32, ()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let notes = here.join("../../target/interop").join(format!("{name}.log"));
    let server = match Server::start(program, &here.join(script), TOKEN_LIFETIME, &notes).await {
        Ok(server) => server,
        Err(error) => {
            println!("FAILED {name:14} {error}");
            return Err(());
        }
    };
    let mut steps = 0;
    let journey = Journey::new(&server, tools, TOKEN_LIFETIME);
    let ended = journey.travel(|step| {
        steps += 1;
        println!("ok     {name:14} {step}");
    });
    if let Err(error) = ended.await {
        println!("FAILED {name:14} after {steps} steps: {error}");
        for exchange in server.log().await.unwrap_or_default() {
            println!(
                "  {:9} {} {} -> {}",
                exchange.path, exchange.status, exchange.request, exchange.response
            );
        }
        return Err(());
    }
    Ok(steps)
}
