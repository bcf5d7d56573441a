//! The exploration, by stateright.

use std::sync::Arc;

use stateright::{Model, Property as Condition};

use super::case::{Case, set_up};
use super::happening::Happening;
use super::property::{Property, each_property};
use super::scenario::Scenario;
use super::world::World;
use crate::explore::{Effort, Report, look};
use crate::rows::Memory;
use crate::world::Action;

/// A scenario as stateright sees it.
struct Exploration {
    start: World<Memory>,
    /// What is looked for: where it is broken, nothing further is.
    sought: Option<Property>,
}

macro_rules! always {
    ($($property:ident),+) => {
        fn always() -> Vec<Condition<Exploration>> {
            vec![$(Condition::always(Property::$property.name(), |_, world: &World<Memory>| world.holds(Property::$property))),+]
        }
    };
}

each_property! { always }

impl Model for Exploration {
    type State = World<Memory>;
    type Action = Action;

    fn init_states(&self) -> Vec<Self::State> {
        vec![self.start.clone()]
    }

    fn actions(&self, state: &Self::State, actions: &mut Vec<Action>) {
        if self.sought.is_none_or(|sought| state.holds(sought)) {
            state.enabled(actions);
        }
    }

    fn next_state(&self, state: &Self::State, action: Action) -> Option<Self::State> {
        let mut next = state.clone();
        next.act(action);
        Some(next)
    }

    fn properties(&self) -> Vec<Condition<Self>> {
        always()
    }
}

pub(crate) fn explore(scenario: &'static Scenario, effort: Effort) -> Report {
    let start = set_up(scenario, Memory::default());
    let case: Arc<Case> = Arc::clone(&start.case);
    // What the prelude does shows nothing.
    case.coverage.forget();
    let properties: Vec<_> = Property::ALL.iter().map(|property| property.name()).collect();
    let sought = Property::ALL.iter().copied().find(|property| Some(property.name()) == effort.find);
    let looked = look(Exploration { start, sought }, scenario.name, &properties, effort, |_| 0);
    let names = |of: &[Happening], happened: bool| {
        of.iter().filter(|it| case.coverage.has(**it) == happened).map(|it| it.name()).collect()
    };
    let (happened, missing) = (names(Happening::ALL, true), names(scenario.reaches, false));
    Report::new(scenario.name, looked, happened, missing, case.coverage.most_effects())
}
