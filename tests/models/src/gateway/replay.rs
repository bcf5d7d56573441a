//! Playing a trace again, on the map in memory or on a real SQLite file.

use super::case::set_up;
use super::property::Property;
use super::scenario::Scenario;
use super::world::World;
use crate::explore::Counterexample;
use crate::replay::{Replay, Store};
use crate::rows::{Memory, Rows};
use crate::sqlite::File;
use crate::world::Action;

/// As [`crate::replay::replay`].
pub(crate) fn replay(scenario: &Scenario, trace: &Counterexample, store: Store) -> Replay {
    match store {
        Store::Memory => play(scenario, trace, Memory::default()),
        Store::Sqlite => play(scenario, trace, File::new().expect("a temporary SQLite file")),
    }
}

fn play<R: Rows>(scenario: &Scenario, trace: &Counterexample, rows: R) -> Replay {
    let mut world = set_up(scenario, rows);
    world.journal.listen();
    let mut left_out = 0;
    for action in &trace.actions {
        if enabled(&world).contains(action) {
            world.act(*action);
        } else {
            left_out += 1;
        }
    }
    while left_out > 0
        && let Some(action) = enabled(&world)
            .into_iter()
            .find(|action| matches!(action, Action::Land { .. } | Action::Run { .. }))
    {
        world.act(action);
    }
    let broken =
        Property::ALL.iter().filter(|property| !world.holds(**property)).map(|it| it.name()).collect();
    Replay { lines: world.journal.take(), left_out, broken }
}

fn enabled<R: Rows>(world: &World<R>) -> Vec<Action> {
    let mut actions = Vec::new();
    world.enabled(&mut actions);
    actions
}
