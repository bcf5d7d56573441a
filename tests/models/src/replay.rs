//! Playing a trace again, on the map in memory or on a real SQLite file.

use std::sync::Arc;

use crate::case::set_up;
use crate::explore::Counterexample;
use crate::property::Property;
use crate::rows::{Memory, Rows};
use crate::scenario::Scenario;
use crate::sqlite::File;
use crate::world::{Action, World};

/// Which store a trace is played on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Memory,
    Sqlite,
}

/// What a replay came to.
#[derive(Debug)]
pub(crate) struct Replay {
    /// What happened, in words.
    pub(crate) lines: Vec<String>,
    /// Actions that could not happen and were left out.
    pub(crate) left_out: usize,
    pub(crate) broken: Vec<&'static str>,
}

/// Plays a trace. Where the code differs from that which gave the trace, an action may not be possible: it is left out. After
/// the last action everything still under way runs to its end, without further faults.
pub(crate) fn replay(scenario: &Scenario, trace: &Counterexample, store: Store) -> Replay {
    match store {
        Store::Memory => play(scenario, trace, Memory::default()),
        Store::Sqlite => play(scenario, trace, File::new().expect("a temporary SQLite file")),
    }
}

fn play<R: Rows>(scenario: &Scenario, trace: &Counterexample, rows: R) -> Replay {
    let (case, ground) = set_up(scenario, trace.variant, scenario.variants[trace.variant], rows);
    let mut world = World::new(Arc::new(case), ground);
    world.journal.listen();
    let mut left_out = 0;
    for action in &trace.actions {
        if enabled(&world).contains(action) {
            world.act(*action);
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        run_out(&mut world);
    }
    let broken =
        Property::ALL.into_iter().filter(|property| !world.holds(*property)).map(Property::name).collect();
    Replay { lines: world.journal.take(), left_out, broken }
}

fn enabled<R: Rows>(world: &World<R>) -> Vec<Action> {
    let mut actions = Vec::new();
    world.enabled(&mut actions);
    actions
}

fn run_out<R: Rows>(world: &mut World<R>) {
    while let Some(action) =
        enabled(world).into_iter().find(|action| matches!(action, Action::Land { .. } | Action::Run { .. }))
    {
        world.act(action);
    }
}
