//! Model checking of the engine's real operations: `complete_connect`, `resolve`, `report_rejected` and `disconnect`, stepped by
//! stateright over one store and one issuer. See `spec/refresh.md`.

mod case;
mod coverage;
mod explore;
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

use std::process::ExitCode;
use std::time::Duration;

use explore::{Counterexample, Effort, explore};
use property::Property;
use replay::{Store, replay};
use scenario::{SCENARIOS, Scenario};

const USAGE: &str = "\
grantway-models run [--scenario NAME]... [--quick] [--json] [--seconds N] [--threads N] [--pin]
    explores; fails if a property is broken, something that must happen does not, or there are fewer states than pinned
grantway-models find --scenario NAME --property NAME --to FILE [--seconds N]
    looks for the shortest trace that breaks a property, and fails if there is none
grantway-models replay --trace FILE [--memory] [--clean]
    plays a trace on a SQLite file; fails if its property holds, or with --clean if any is broken
grantway-models list | properties
    what there is to explore, and to break
";

fn main() -> ExitCode {
    let mut arguments = Arguments(std::env::args().skip(1).collect());
    let result = match arguments.word().as_deref() {
        Some("run") => run(arguments),
        Some("find") => find(arguments),
        Some("replay") => play(arguments),
        Some("properties") => {
            Property::ALL.iter().for_each(|property| println!("{}", property.name()));
            Ok(true)
        }
        Some("list") => {
            print::list();
            Ok(true)
        }
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(complaint) => {
            eprintln!("{complaint}");
            ExitCode::from(2)
        }
    }
}

fn run(mut arguments: Arguments) -> Result<bool, String> {
    let (quick, json, pin) = (arguments.flag("--quick"), arguments.flag("--json"), arguments.flag("--pin"));
    let effort = effort(&mut arguments)?;
    let mut chosen = Vec::new();
    while let Some(name) = arguments.value("--scenario")? {
        chosen.push(scenario(&name)?);
    }
    arguments.end()?;
    if chosen.is_empty() {
        chosen = SCENARIOS.iter().filter(|scenario| scenario.quick || !quick).collect();
    }
    if !json {
        print::properties();
    }
    let mut reports = Vec::new();
    for scenario in chosen {
        let report = explore(scenario, effort);
        let shrunk = states::has_shrunk(&report);
        if !json {
            print::report(scenario, &report, shrunk);
        }
        reports.push((report, shrunk));
    }
    if pin {
        states::pin(reports.iter().map(|(report, _)| report)).map_err(|error| error.to_string())?;
    }
    let ok = reports.iter().all(|(report, shrunk)| report.is_good() && (pin || shrunk.is_none()));
    if json {
        print::json(&reports);
    } else {
        print::sum(&reports);
    }
    Ok(ok)
}

fn find(mut arguments: Arguments) -> Result<bool, String> {
    let scenario = scenario(&arguments.value("--scenario")?.ok_or(USAGE)?)?;
    let property = arguments.value("--property")?.ok_or(USAGE)?;
    let wanted = Property::parse(&property).ok_or_else(|| format!("no such property: {property}"))?;
    let to = arguments.value("--to")?.ok_or(USAGE)?;
    let effort = Effort { find: Some(wanted), ..effort(&mut arguments)? };
    arguments.end()?;
    let report = explore(scenario, effort);
    let found = report.broken.iter().find(|broken| broken.property == property);
    match found {
        Some(trace) => {
            let text = serde_json::to_string_pretty(trace).map_err(|error| error.to_string())?;
            std::fs::write(&to, text).map_err(|error| format!("{to}: {error}"))?;
            println!("{} states, {} actions", report.states, trace.actions.len());
        }
        None => println!(
            "{property} holds in {} states{}; broken: {:?}",
            report.states,
            if report.cut_off { ", CUT OFF" } else { "" },
            report.broken.iter().map(|broken| &broken.property).collect::<Vec<_>>(),
        ),
    }
    Ok(found.is_some())
}

fn play(mut arguments: Arguments) -> Result<bool, String> {
    let from = arguments.value("--trace")?.ok_or(USAGE)?;
    let store = if arguments.flag("--memory") { Store::Memory } else { Store::Sqlite };
    let clean = arguments.flag("--clean");
    arguments.end()?;
    let text = std::fs::read_to_string(&from).map_err(|error| format!("{from}: {error}"))?;
    let trace: Counterexample = serde_json::from_str(&text).map_err(|error| format!("{from}: {error}"))?;
    let played = replay(scenario(&trace.scenario)?, &trace, store);
    print::replay_of(&trace, &played);
    let broken = |property: &str| played.broken.iter().any(|broken| broken.name() == property);
    Ok(if clean { played.broken.is_empty() } else { broken(&trace.property) })
}

fn effort(arguments: &mut Arguments) -> Result<Effort, String> {
    let number = |text: Option<String>| text.map(|text| text.parse::<u64>().map_err(|_| USAGE)).transpose();
    let limit = number(arguments.value("--seconds")?)?.map(Duration::from_secs);
    let threads = number(arguments.value("--threads")?)?.unwrap_or(2) as usize;
    Ok(Effort { threads, limit, find: None })
}

fn scenario(name: &str) -> Result<&'static Scenario, String> {
    SCENARIOS.iter().find(|scenario| scenario.name == name).ok_or_else(|| format!("no such scenario: {name}"))
}

struct Arguments(Vec<String>);

impl Arguments {
    fn word(&mut self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }

    fn flag(&mut self, name: &str) -> bool {
        let at = self.0.iter().position(|have| have == name);
        at.map(|at| self.0.remove(at)).is_some()
    }

    fn value(&mut self, name: &str) -> Result<Option<String>, String> {
        let Some(at) = self.0.iter().position(|have| have == name) else { return Ok(None) };
        if at + 1 >= self.0.len() {
            return Err(USAGE.to_owned());
        }
        self.0.remove(at);
        Ok(Some(self.0.remove(at)))
    }

    fn end(&self) -> Result<(), String> {
        if self.0.is_empty() { Ok(()) } else { Err(USAGE.to_owned()) }
    }
}
