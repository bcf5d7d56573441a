//! What is shown.

use super::ask::Ask;
use super::case::TICK_MS;
use super::property::Property;
use super::scenario::{SCENARIOS, Scenario};
use crate::print;
use crate::states;

pub(crate) fn properties() {
    println!("properties of the gateway, held in every state:");
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
    println!("  before: {}", words(scenario.prelude, "; "));
    for (worker, script) in scenario.scripts.iter().enumerate() {
        println!("  worker {worker}: {}", words(script, "; "));
    }
    println!("  at most: {}", bounds(scenario));
    println!("  must happen: {}", reaches(scenario));
}

fn words(asks: &[Ask], between: &str) -> String {
    asks.iter().map(|ask| ask.words()).collect::<Vec<_>>().join(between)
}

fn bounds(scenario: &Scenario) -> String {
    print::budget(&scenario.budget, TICK_MS)
}

fn reaches(scenario: &Scenario) -> String {
    scenario.reaches.iter().map(|happening| happening.name()).collect::<Vec<_>>().join(", ")
}

/// The properties and the scenarios as they stand in `spec/gateway-model.md`.
pub(crate) fn markdown() -> String {
    let mut text = "| property | attack | what holds in every state |\n|--|--|--|\n".to_owned();
    for property in Property::ALL {
        text += &format!("| `{}` | {} | {} |\n", property.name(), property.of(), property.about());
    }
    text += "\n| scenario | before | workers | at most | must happen | states |\n|--|--|--|--|--|--:|\n";
    for scenario in SCENARIOS {
        let states = states::pinned(scenario.name).map_or_else(|| "not pinned".to_owned(), |n| n.to_string());
        let scripts: Vec<_> =
            scenario.scripts.iter().map(|script| format!("– {}", words(script, "; "))).collect();
        text += &format!(
            "| **{}** {} | {} | {} | {} | {} | {states} |\n",
            scenario.name,
            scenario.about,
            words(scenario.prelude, "; "),
            scripts.join("<br>"),
            bounds(scenario),
            reaches(scenario),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    /// What the specification says about the model is what the program says about itself.
    #[test]
    fn the_specification_has_the_tables_that_list_prints() {
        let spec = include_str!("../../../../spec/gateway-model.md");
        for table in super::markdown().split("\n\n") {
            assert!(
                spec.contains(table.trim()),
                "put into spec/gateway-model.md what `list --gateway --markdown` prints:\n{table}"
            );
        }
    }
}
