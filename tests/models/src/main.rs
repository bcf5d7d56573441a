//! Model checking of the engine's real operations, stepped by stateright over one store and one issuer: `complete_connect`,
//! `resolve`, `report_rejected` and `disconnect` (`spec/refresh.md`), and the gateway's `handle` and `authenticate`
//! (`spec/gateway-model.md`).

mod case;
mod coverage;
mod explore;
mod explored;
mod gateway;
mod issuer;
mod journal;
mod order;
mod print;
mod property;
mod replay;
mod rows;
mod scenario;
mod sqlite;
mod states;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use explore::{Counterexample, Effort};
use explored::{Explored, property};
use replay::Store;

#[derive(Parser)]
#[command(about = "Explores what the engine's operations do when everything that may go wrong does")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Explores. Fails if a property breaks, something that must happen does not, a run was cut off, or fewer states are seen than
    /// are pinned.
    Run {
        /// Which scenarios; all if none is named.
        #[arg(long, value_parser = Explored::parse)]
        scenario: Vec<Explored>,
        /// Those of the quick set.
        #[arg(long)]
        quick: bool,
        #[arg(long)]
        json: bool,
        /// Pins the numbers of states.
        #[arg(long)]
        pin: bool,
        /// Cuts each scenario off after so many seconds.
        #[arg(long)]
        seconds: Option<u64>,
        #[arg(long, default_value_t = 2)]
        threads: usize,
    },
    /// Looks for a short way to break a property. Fails if there is none.
    Find {
        #[arg(long, value_parser = Explored::parse)]
        scenario: Explored,
        #[arg(long, value_parser = property)]
        property: &'static str,
        /// The file to write the way to.
        #[arg(long)]
        to: PathBuf,
        #[arg(long)]
        seconds: Option<u64>,
        /// With one the way is the shortest.
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
    /// Plays what `find` has found on a SQLite file. Fails if its property holds.
    Replay {
        #[arg(long)]
        trace: PathBuf,
        /// On a map in memory instead.
        #[arg(long)]
        memory: bool,
        /// Fails if any property breaks instead.
        #[arg(long)]
        clean: bool,
    },
    /// Names the properties.
    Properties {
        /// Those of the gateway.
        #[arg(long)]
        gateway: bool,
    },
    /// Shows the properties, and the scenarios with their bounds.
    List {
        /// Those of the gateway.
        #[arg(long)]
        gateway: bool,
        /// As tables for `spec/refresh.md`, or `spec/gateway-model.md`.
        #[arg(long)]
        markdown: bool,
    },
}

fn main() -> ExitCode {
    let ok = match Arguments::parse().task {
        Task::Run { scenario, quick, json, pin, seconds, threads } => {
            let effort = Effort { threads, limit: seconds.map(Duration::from_secs), find: None };
            let all = Explored::all().filter(|scenario| scenario.is_quick() || !quick).collect();
            run(&if scenario.is_empty() { all } else { scenario }, effort, json, pin)
        }
        Task::Find { scenario, property, to, seconds, threads } => {
            let effort = Effort { threads, limit: seconds.map(Duration::from_secs), find: Some(property) };
            find(scenario, property, &to, effort)
        }
        Task::Replay { trace, memory, clean } => {
            play(&trace, if memory { Store::Memory } else { Store::Sqlite }, clean)
        }
        Task::Properties { gateway } => {
            explored::properties(gateway).iter().for_each(|property| println!("{property}"));
            Ok(true)
        }
        Task::List { gateway, markdown } => {
            match (gateway, markdown) {
                (false, false) => print::list(),
                (false, true) => print!("{}", print::markdown()),
                (true, false) => gateway::list(),
                (true, true) => print!("{}", gateway::markdown()),
            }
            Ok(true)
        }
    };
    match ok {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::from(2)
        }
    }
}

fn run(scenarios: &[Explored], effort: Effort, json: bool, pin: bool) -> Result<bool, String> {
    if !json {
        print::properties();
        gateway::properties();
    }
    let mut reports = Vec::new();
    for scenario in scenarios.iter().copied() {
        let report = scenario.explore(effort);
        let shrunk = states::shrunk(&report).filter(|_| !pin);
        if !json {
            print::report(scenario, &report, shrunk);
        }
        reports.push((report, shrunk));
    }
    if pin {
        let whole = reports.iter().map(|(report, _)| report).filter(|report| report.is_good());
        states::pin(whole).map_err(|problem| problem.to_string())?;
    }
    if json {
        print::json(&reports);
    } else {
        print::sum(&reports);
    }
    Ok(reports.iter().all(|(report, shrunk)| report.is_good() && shrunk.is_none()))
}

fn find(scenario: Explored, property: &'static str, to: &PathBuf, effort: Effort) -> Result<bool, String> {
    let report = scenario.explore(effort);
    let found = report.broken.iter().find(|broken| broken.property == property);
    match found {
        Some(trace) => {
            let text = serde_json::to_string_pretty(trace).map_err(|problem| problem.to_string())?;
            std::fs::write(to, text).map_err(|problem| format!("{}: {problem}", to.display()))?;
            println!("{} states, {} actions", report.states, trace.actions.len());
        }
        None => println!(
            "{} holds in {} states{}",
            property,
            report.states,
            if report.cut_off { ", CUT OFF" } else { "" },
        ),
    }
    Ok(found.is_some())
}

fn play(from: &PathBuf, store: Store, clean: bool) -> Result<bool, String> {
    let unreadable = |problem: &dyn std::fmt::Display| format!("{}: {problem}", from.display());
    let text = std::fs::read_to_string(from).map_err(|problem| unreadable(&problem))?;
    let trace: Counterexample = serde_json::from_str(&text).map_err(|problem| unreadable(&problem))?;
    let played = Explored::parse(&trace.scenario)?.replay(&trace, store);
    print::replay_of(&trace, &played);
    let is_broken = played.broken.iter().any(|broken| *broken == trace.property);
    Ok(if clean { played.broken.is_empty() } else { is_broken })
}
