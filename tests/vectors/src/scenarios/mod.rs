//! What is recorded: every operation, and the failures that a host meets.

mod admin;
mod begin;
mod callback;
mod end;
mod gateway;
mod refresh;
mod rejected;
mod resolve;
mod secrets;

use serde_json::Value;

use crate::stage::Stage;
use crate::vector::Vector;

/// How one vector is made.
#[derive(Debug)]
pub struct Scenario {
    /// Its name: the operation first.
    pub name: &'static str,
    /// What it shows, for whoever implements the other side.
    pub about: &'static str,
    play: fn(&mut Stage) -> (&'static str, Value),
}

impl Scenario {
    /// Plays what comes before, and records the operation.
    pub fn record(&self) -> Vector {
        let mut stage = Stage::new(self.name);
        let request = (self.play)(&mut stage);
        stage.record(self.about, request)
    }
}

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Scenario> + Clone {
    [
        admin::SCENARIOS,
        begin::SCENARIOS,
        callback::SCENARIOS,
        end::SCENARIOS,
        refresh::SCENARIOS,
        rejected::SCENARIOS,
        resolve::SCENARIOS,
        secrets::SCENARIOS,
    ]
    .into_iter()
    .chain(gateway::SCENARIOS)
    .flatten()
}

const HOUR: u64 = 3_600_000;
const MINUTE: u64 = 60_000;
