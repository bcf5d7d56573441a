//! The stampede: sixteen processes resolve the same expired grants on one SQLite file, round after round, against an issuer that
//! rotates refresh tokens and revokes a whole family when one is used again; then the same while processes are killed.
//!
//! What counts is the issuer's own log: POSTs per refresh token, and families revoked. At the end a checker reads every record
//! through the engine and prints the users by status.

mod herd;
mod scene;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

use crate::herd::Herd;
use crate::scene::Scene;

#[derive(Parser)]
#[command(about = "Sixteen processes, one file, one refresh token each: counted by the issuer")]
struct Arguments {
    /// Rounds of each part: without and with kills.
    #[arg(long, default_value_t = 200)]
    rounds: u32,
    /// Processes.
    #[arg(long, default_value_t = 16)]
    workers: usize,
    /// Grants that they all resolve.
    #[arg(long, default_value_t = 4)]
    users: usize,
    /// Processes killed in each round of the second part.
    #[arg(long, default_value_t = 4)]
    kills: usize,
    /// Seeds the choice of whom to kill, and when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// One of the processes: resolves every user for each line on standard input.
    #[command(hide = true)]
    Worker { database: PathBuf, issuer: String, users: usize },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let Ok(runtime) = runtime else { return ExitCode::FAILURE };
    match arguments.part {
        Some(Part::Worker { database, issuer, users }) => {
            runtime.block_on(herd::work(&database, &issuer, users));
            ExitCode::SUCCESS
        }
        None => match run(&runtime, &arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => {
                eprintln!("stampede: {problem}");
                ExitCode::FAILURE
            }
        },
    }
}

fn run(runtime: &tokio::runtime::Runtime, arguments: &Arguments) -> Result<(), String> {
    println!(
        "{} processes, {} users, {} rounds each, access tokens of 2 s, seed {}",
        arguments.workers, arguments.users, arguments.rounds, arguments.seed
    );
    let without = part(runtime, arguments, false)?;
    let with = part(runtime, arguments, true)?;
    println!("\n{without}; {with}");
    Ok(())
}

/// One part: rounds without or with kills, then the counts, and what they come to in a line.
fn part(runtime: &tokio::runtime::Runtime, arguments: &Arguments, kills: bool) -> Result<String, String> {
    let begun = Instant::now();
    let mut scene = Scene::open()?;
    for user in 0..arguments.users {
        runtime.block_on(scene.connect(user))?;
    }
    let mut herd = Herd::start(&scene, arguments.workers, arguments.users, arguments.seed)?;
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    let mut reconnects = 0;
    for round in 1..=arguments.rounds {
        // All tokens are over; their refresh is due in every process at once.
        std::thread::sleep(Duration::from_millis(2_050));
        for outcome in herd.round(if kills { arguments.kills } else { 0 })? {
            *outcomes.entry(outcome).or_default() += 1;
        }
        // A person whose grant ended connects again, so that the next round has all of them.
        for user in 0..arguments.users {
            if runtime.block_on(scene.needs_a_person(user))? {
                runtime.block_on(scene.connect(user))?;
                reconnects += 1;
            }
        }
        if round % 20 == 0 {
            eprintln!("  round {round} of {}, {} kills", arguments.rounds, herd.kills());
        }
    }
    let killed = herd.kills();
    herd.end();
    let posts = scene.issuer.posts_per_refresh_token();
    let revoked = scene.issuer.families_revoked();
    let most = posts.values().copied().max().unwrap_or(0);
    let twice = posts.values().filter(|n| **n > 1).count();
    println!("\n{}", if kills { "with kill -9 at random moments" } else { "without faults" });
    println!("  resolutions by outcome        {outcomes:?}");
    println!("  processes killed              {killed}");
    println!("  refresh tokens the issuer saw {}", posts.len());
    println!("  POSTs per refresh token       {most} at most, {twice} more than once");
    println!("  families revoked              {revoked}");
    println!("  people who connected again    {reconnects}");
    println!(
        "  users by status               {:?}",
        runtime.block_on(scene.users_by_status(arguments.users))?
    );
    println!("  seconds                       {:.0}", begun.elapsed().as_secs_f64());
    let allowed = if kills { 2 } else { 1 };
    if most > allowed {
        return Err(format!("a refresh token was sent {most} times"));
    }
    if revoked as u64 > killed {
        return Err(format!("{revoked} families revoked by {killed} kills"));
    }
    if !kills && (reconnects > 0 || outcomes.keys().any(|outcome| outcome != "ready")) {
        return Err("without faults every resolution must be ready".to_owned());
    }
    if posts.len() < arguments.rounds as usize * arguments.users / 2 {
        return Err("hardly anything was refreshed: the rounds prove nothing".to_owned());
    }
    Ok(format!(
        "rounds {}, kills {killed}: POSTs per refresh token {most} at most, families revoked {revoked}",
        arguments.rounds
    ))
}
