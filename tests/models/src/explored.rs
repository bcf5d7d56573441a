//! Either of the two models.

use crate::explore::{Counterexample, Effort, Report, explore};
use crate::gateway;
use crate::print;
use crate::property::Property;
use crate::replay::{Replay, Store, replay};
use crate::scenario::{SCENARIOS, Scenario};

/// A scenario of either.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Explored {
    Gateway(&'static gateway::Scenario),
    Upstream(&'static Scenario),
}

impl Explored {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let gateway = gateway::SCENARIOS.iter().map(Self::Gateway);
        SCENARIOS.iter().map(Self::Upstream).chain(gateway)
    }

    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        Self::all().find(|scenario| scenario.name() == name).ok_or_else(|| "no such scenario".to_owned())
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Gateway(scenario) => scenario.name,
            Self::Upstream(scenario) => scenario.name,
        }
    }

    pub(crate) const fn is_quick(self) -> bool {
        match self {
            Self::Gateway(scenario) => scenario.quick,
            Self::Upstream(scenario) => scenario.quick,
        }
    }

    pub(crate) fn explore(self, effort: Effort) -> Report {
        match self {
            Self::Gateway(scenario) => gateway::explore(scenario, effort),
            Self::Upstream(scenario) => explore(scenario, effort),
        }
    }

    pub(crate) fn replay(self, trace: &Counterexample, store: Store) -> Replay {
        match self {
            Self::Gateway(scenario) => gateway::replay(scenario, trace, store),
            Self::Upstream(scenario) => replay(scenario, trace, store),
        }
    }

    pub(crate) fn print_bounds(self) {
        match self {
            Self::Gateway(scenario) => gateway::print_bounds(scenario),
            Self::Upstream(scenario) => print::print_bounds(scenario),
        }
    }
}

/// The names of one model's properties.
pub(crate) fn properties(of_gateway: bool) -> Vec<&'static str> {
    if of_gateway {
        gateway::Property::ALL.iter().map(|property| property.name()).collect()
    } else {
        Property::ALL.iter().map(|property| property.name()).collect()
    }
}

/// A property of either, by its name.
pub(crate) fn property(name: &str) -> Result<&'static str, String> {
    let all = [false, true].into_iter().flat_map(properties);
    all.into_iter().find(|property| *property == name).ok_or_else(|| "no such property".to_owned())
}
