//! What is shown.

use grantway_core::connector::InDoubt;
use serde_json::json;

use crate::coverage::Happening;
use crate::explore::{Counterexample, Report};
use crate::explored::Explored;
use crate::issuer::Kind;
use crate::order::Order;
use crate::property::{EFFECTS_MAX, Property};
use crate::replay::{Replay, Store};
use crate::scenario::{Budget, SCENARIOS, Scenario};
use crate::states::{self, Shrunk};

pub(crate) fn properties() {
    println!("properties, held in every state:");
    for property in Property::ALL {
        println!("  {:44} {:7} {}", property.name(), property.of(), property.about());
    }
    println!();
}

pub(crate) fn list() {
    properties();
    SCENARIOS.iter().for_each(print_bounds);
}

pub(crate) fn print_bounds(scenario: &Scenario) {
    println!("{}: {}", scenario.name, scenario.about);
    for (worker, orders) in scripts(scenario).iter().enumerate() {
        println!("  worker {worker}: {orders}");
    }
    println!("  issuers: {}", issuers(scenario));
    println!("  at most: {}", budget(&scenario.budget, scenario.pace.tick_ms()));
    println!("  must happen: {}", names(scenario.reaches));
}

fn scripts(scenario: &Scenario) -> Vec<String> {
    let clock = |worker: usize| match scenario.ahead_ms.get(worker) {
        Some(ahead) if *ahead > 0 => format!(" (clock {} s ahead)", ahead / 1000),
        _ => String::new(),
    };
    let orders = |script: &[Order]| script.iter().map(|order| order.name()).collect::<Vec<_>>().join(", ");
    let scripts = scenario.scripts.iter().enumerate();
    scripts.map(|(worker, script)| orders(script) + &clock(worker)).collect()
}

fn issuers(scenario: &Scenario) -> String {
    let variant = |(kind, in_doubt): &(Kind, InDoubt)| match in_doubt {
        InDoubt::Never => format!("{} (never retried)", kind.words()),
        InDoubt::RetryOnce => kind.words().to_owned(),
    };
    scenario.variants.iter().map(variant).collect::<Vec<_>>().join(", ")
}

fn names(happenings: &[Happening]) -> String {
    happenings.iter().map(|happening| happening.name()).collect::<Vec<_>>().join(", ")
}

pub(crate) fn budget(budget: &Budget, tick_ms: u64) -> String {
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
        .map(|(count, name)| format!("{} × {name}", faults.min(*count)))
        .collect();
    let faults = match faults {
        0 => "no faults".to_owned(),
        1 => format!("1 fault of {}", kinds.join(", ")),
        many => format!("{many} faults of {}", kinds.join(", ")),
    };
    let ticks = match ticks {
        0 => return faults,
        1 => "1 tick".to_owned(),
        many => format!("{many} ticks"),
    };
    format!("{faults}; {ticks} of {} s", tick_ms / 1000)
}

/// The properties and the scenarios as they stand in `spec/refresh.md`.
pub(crate) fn markdown() -> String {
    let mut text = "| property | attack | what holds in every state |\n|--|--|--|\n".to_owned();
    for property in Property::ALL {
        text += &format!("| `{}` | {} | {} |\n", property.name(), property.of(), property.about());
    }
    text += "\n| scenario | workers | issuers | at most | must happen | states |\n|--|--|--|--|--|--:|\n";
    for scenario in SCENARIOS {
        let states = states::pinned(scenario.name).map_or_else(|| "not pinned".to_owned(), |n| n.to_string());
        text += &format!(
            "| **{}** {} | {} | {} | {} | {} | {states} |\n",
            scenario.name,
            scenario.about,
            scripts(scenario).join("<br>"),
            issuers(scenario),
            budget(&scenario.budget, scenario.pace.tick_ms()),
            names(scenario.reaches),
        );
    }
    text
}

pub(crate) fn report(scenario: Explored, report: &Report, shrunk: Option<Shrunk>) {
    scenario.print_bounds();
    let effects: Vec<_> = report.most_effects.iter().map(|(name, most)| format!("{name} {most}")).collect();
    println!("  most effects of one operation (limit {EFFECTS_MAX}): {}", effects.join(", "));
    println!(
        "  {} unique states, {} transitions, depth {}, {:.1} s",
        report.states, report.transitions, report.depth, report.seconds
    );
    println!("  happened: {}", report.happened.join(", "));
    if report.cut_off {
        println!("  CUT OFF: not every state within these bounds was seen");
    }
    for broken in &report.broken {
        println!("  BROKEN: {}", broken.property);
        let played = scenario.replay(broken, Store::Memory);
        played.lines.iter().for_each(|line| println!("    {line}"));
    }
    if !report.missing.is_empty() {
        println!("  NEVER HAPPENED: {}", report.missing.join(", "));
    }
    match shrunk {
        Some(Shrunk::NotPinned) => {
            println!("  NOT PINNED: look at the number of states, then run with --pin")
        }
        Some(Shrunk::From(pinned)) => println!("  SHRUNK: {pinned} states were pinned"),
        None => {}
    }
    println!();
}

pub(crate) fn sum(reports: &[(Report, Option<Shrunk>)]) {
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

pub(crate) fn json(reports: &[(Report, Option<Shrunk>)]) {
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
    println!(
        "broken: {}",
        if played.broken.is_empty() { "nothing".to_owned() } else { played.broken.join(", ") }
    );
}

#[cfg(test)]
mod tests {
    /// What the specification says about the model is what the program says about itself.
    #[test]
    fn the_specification_has_the_tables_that_list_prints() {
        let spec = include_str!("../../../spec/refresh.md");
        for table in super::markdown().split("\n\n") {
            assert!(
                spec.contains(table.trim()),
                "put into spec/refresh.md what `list --markdown` prints:\n{table}"
            );
        }
    }
}
