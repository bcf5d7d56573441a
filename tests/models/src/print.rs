//! What is shown.

use serde_json::json;

use crate::explore::{Counterexample, Report};
use crate::property::{EFFECTS_MAX, Property};
use crate::replay::{Replay, Store, replay};
use crate::scenario::{Budget, Pace, SCENARIOS, Scenario};

pub(crate) fn properties() {
    println!("properties, held in every state:");
    for property in Property::ALL {
        println!("  {:44} {:7} {}", property.name(), property.of(), property.about());
    }
    println!();
}

pub(crate) fn list() {
    properties();
    for scenario in SCENARIOS {
        print_bounds(scenario);
    }
}

fn print_bounds(scenario: &Scenario) {
    println!("{}: {}", scenario.name, scenario.about);
    for (worker, script) in scenario.scripts.iter().enumerate() {
        let orders: Vec<_> = script.iter().map(|order| order.name()).collect();
        println!("  worker {worker}: {}", orders.join(", "));
    }
    let variants: Vec<_> =
        scenario.variants.iter().map(|(kind, in_doubt)| format!("{kind:?}/{in_doubt:?}")).collect();
    println!("  issuers: {}", variants.join(", "));
    println!("  at most: {}", budget(&scenario.budget, scenario.pace));
}

fn budget(budget: &Budget, pace: Pace) -> String {
    let Budget { faults, busy, clock_back, crash, down, lost, not_sent, pause, ticks, unknown } = *budget;
    let kinds = [
        (crash, "crash"),
        (lost, "lost answer"),
        (unknown, "unknown commit"),
        (busy, "503"),
        (not_sent, "request not sent"),
        (down, "store down"),
        (pause, "standstill"),
        (clock_back, "clock set back"),
    ];
    let kinds: Vec<_> = kinds
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} × {name}"))
        .collect();
    let kinds = if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") };
    format!("{faults} faults of {kinds}; {ticks} ticks of {} s", pace.tick_ms() / 1000)
}

pub(crate) fn report(scenario: &Scenario, report: &Report, shrunk: Option<usize>) {
    print_bounds(scenario);
    let effects: Vec<_> = report.most_effects.iter().map(|(name, most)| format!("{name} {most}")).collect();
    println!("  most effects of one operation (limit {EFFECTS_MAX}): {}", effects.join(", "));
    println!(
        "  {} unique states, {} transitions, depth {}, {:.1} s",
        report.states, report.transitions, report.depth, report.seconds
    );
    if report.cut_off {
        println!("  CUT OFF: not every state within these bounds was seen");
    }
    for broken in &report.broken {
        println!("  BROKEN: {}", broken.property);
        let played = replay(scenario, broken, Store::Memory);
        played.lines.iter().for_each(|line| println!("    {line}"));
    }
    if !report.missing.is_empty() {
        println!("  NEVER HAPPENED: {}", report.missing.join(", "));
    }
    match shrunk {
        Some(usize::MAX) => println!("  NOT PINNED: look at the number of states, then run with --pin"),
        Some(pinned) => println!("  SHRUNK: {pinned} states were pinned"),
        None => {}
    }
    println!();
}

pub(crate) fn sum(reports: &[(Report, Option<usize>)]) {
    let states: usize = reports.iter().map(|(report, _)| report.states).sum();
    let seconds: f64 = reports.iter().map(|(report, _)| report.seconds).sum();
    let bad = reports.iter().filter(|(report, shrunk)| !report.is_good() || shrunk.is_some()).count();
    let cut = reports.iter().filter(|(report, _)| report.cut_off).count();
    let held = if bad == 0 { "all properties held".to_owned() } else { format!("{bad} scenarios FAILED") };
    let cut = if cut == 0 { "none cut off".to_owned() } else { format!("{cut} CUT OFF") };
    println!(
        "{} scenarios, {states} unique states, {seconds:.0} s, {cut}: {held} (exhaustive up to hash collision)",
        reports.len(),
    );
}

pub(crate) fn json(reports: &[(Report, Option<usize>)]) {
    let reports: Vec<_> = reports
        .iter()
        .map(|(report, shrunk)| json!({ "report": report, "good": report.is_good(), "shrunk": shrunk.is_some() }))
        .collect();
    println!("{}", json!(reports));
}

pub(crate) fn replay_of(trace: &Counterexample, played: &Replay) {
    println!("{} in {}, variant {}:", trace.property, trace.scenario, trace.variant);
    played.lines.iter().for_each(|line| println!("  {line}"));
    if played.left_out > 0 {
        println!("  {} actions were not possible", played.left_out);
    }
    let broken: Vec<_> = played.broken.iter().map(|broken| broken.name()).collect();
    println!("broken: {}", if broken.is_empty() { "nothing".to_owned() } else { broken.join(", ") });
}
