//! The exploration, by stateright.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use stateright::{Checker, HasDiscoveries, Model, Property as Condition};

use crate::case::set_up;
use crate::coverage::Happening;
use crate::order::Order;
use crate::property::Property;
use crate::rows::Memory;
use crate::scenario::Scenario;
use crate::world::{Action, World};

/// A scenario as stateright sees it.
struct Exploration {
    scenario: &'static Scenario,
    starts: Vec<World<Memory>>,
}

impl Model for Exploration {
    type State = World<Memory>;
    type Action = Action;

    fn init_states(&self) -> Vec<Self::State> {
        self.starts.clone()
    }

    fn actions(&self, state: &Self::State, actions: &mut Vec<Action>) {
        state.enabled(actions);
    }

    fn next_state(&self, state: &Self::State, action: Action) -> Option<Self::State> {
        let mut next = state.clone();
        next.act(action);
        Some(next)
    }

    fn properties(&self) -> Vec<Condition<Self>> {
        let mut conditions = always();
        conditions.extend(sometimes().into_iter().filter(|condition| {
            self.scenario.reaches.iter().any(|happening| happening.name() == condition.name)
        }));
        conditions
    }
}

macro_rules! always {
    ($($property:ident),+ $(,)?) => {
        fn always() -> Vec<Condition<Exploration>> {
            vec![$(Condition::always(Property::$property.name(), |_, world: &World<Memory>| world.holds(Property::$property))),+]
        }
    };
}

always! {
    CodeRedeemedAtMostOnce, DisconnectWins, EffectsAreBounded, ExpiredStaysExpired, GenerationStrictlyRises,
    NobodyIsLoggedOutWithoutFaults, NoSilentLoss, NoStoredTokenIsRevoked, NoTokenBeforeItIsDurable, NoTokenIsForgotten,
    RefreshTokenSentAtMostTwice, RefreshTokenSentOnceWithoutFaults,
}

macro_rules! sometimes {
    ($($happening:ident),+ $(,)?) => {
        /// Read from the counters, which the step before has moved.
        fn sometimes() -> Vec<Condition<Exploration>> {
            vec![$(Condition::sometimes(Happening::$happening.name(), |exploration: &Exploration, _| {
                exploration.has(Happening::$happening)
            })),+]
        }
    };
}

sometimes! { Adopted, Connected, Disconnected, InDoubt, Parked, Refreshed, Revoked, SentAgain }

impl Exploration {
    fn new(scenario: &'static Scenario) -> Self {
        let start = |(number, variant)| {
            let (case, ground) = set_up(scenario, number, variant, Memory::default());
            World::new(Arc::new(case), ground)
        };
        Self { scenario, starts: scenario.variants.iter().copied().enumerate().map(start).collect() }
    }

    fn has(&self, happening: Happening) -> bool {
        self.starts.iter().any(|world| world.case.coverage.has(happening))
    }
}

/// What an exploration came to.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) scenario: &'static str,
    pub(crate) states: usize,
    pub(crate) transitions: usize,
    pub(crate) depth: usize,
    pub(crate) seconds: f64,
    /// The time was over before every state was seen.
    pub(crate) cut_off: bool,
    /// Properties that do not hold, each with the way to a state that shows it.
    pub(crate) broken: Vec<Counterexample>,
    /// What happened somewhere.
    pub(crate) happened: Vec<&'static str>,
    /// What should have happened somewhere and did not.
    pub(crate) missing: Vec<&'static str>,
    /// The most effects of one operation, by its name.
    pub(crate) most_effects: Vec<(&'static str, u32)>,
}

impl Report {
    pub(crate) fn new(
        scenario: &'static str,
        looked: Looked,
        happened: Vec<&'static str>,
        missing: Vec<&'static str>,
        most_effects: Vec<(&'static str, u32)>,
    ) -> Self {
        let Looked { states, transitions, depth, seconds, cut_off, broken } = looked;
        Self {
            scenario,
            states,
            transitions,
            depth,
            seconds,
            cut_off,
            broken,
            happened,
            missing,
            most_effects,
        }
    }

    /// Whether it shows what it is meant to show.
    pub(crate) fn is_good(&self) -> bool {
        self.broken.is_empty() && self.missing.is_empty() && !self.cut_off
    }
}

/// The way from an initial state to one that breaks a property.
#[derive(Clone, Debug, Serialize, serde::Deserialize)]
pub(crate) struct Counterexample {
    pub(crate) scenario: String,
    pub(crate) property: String,
    /// The variant's number.
    pub(crate) variant: usize,
    pub(crate) actions: Vec<Action>,
}

/// How to explore.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) threads: usize,
    pub(crate) limit: Option<Duration>,
    /// Only until this property is broken, and breadth first, which gives short traces.
    pub(crate) find: Option<&'static str>,
}

/// What was seen of a model.
pub(crate) struct Looked {
    states: usize,
    transitions: usize,
    depth: usize,
    seconds: f64,
    cut_off: bool,
    broken: Vec<Counterexample>,
}

/// Explores a model. `variant` is the number of the initial state that a state comes from.
pub(crate) fn look<M>(
    model: M,
    scenario: &str,
    properties: &[&'static str],
    effort: Effort,
    variant: impl Fn(&M::State) -> usize,
) -> Looked
where
    M: Model<Action = Action> + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync,
{
    let began = Instant::now();
    let finish = match effort.find {
        Some(property) => HasDiscoveries::AnyOf([property].into()),
        None => HasDiscoveries::AnyFailures,
    };
    let mut builder = model.checker().threads(effort.threads).finish_when(finish);
    if let Some(limit) = effort.limit {
        builder = builder.timeout(limit);
    }
    if effort.find.is_some() {
        looked(scenario, properties, effort, began, builder.spawn_bfs().join(), variant)
    } else {
        looked(scenario, properties, effort, began, builder.spawn_dfs().join(), variant)
    }
}

fn looked<M>(
    scenario: &str,
    properties: &[&'static str],
    effort: Effort,
    began: Instant,
    checker: impl Checker<M>,
    variant: impl Fn(&M::State) -> usize,
) -> Looked
where
    M: Model<Action = Action>,
    M::State: Clone + Debug + Hash + PartialEq,
{
    let seconds = began.elapsed();
    let discoveries = checker.discoveries();
    let broken = properties.iter().filter_map(|property| {
        let path = discoveries.get(property)?.clone();
        let variant = variant(path.last_state());
        let actions = path.into_actions();
        Some(Counterexample {
            scenario: scenario.to_owned(),
            property: (*property).to_owned(),
            variant,
            actions,
        })
    });
    Looked {
        states: checker.unique_state_count(),
        transitions: checker.state_count(),
        depth: checker.max_depth(),
        seconds: seconds.as_secs_f64(),
        cut_off: effort.limit.is_some_and(|limit| seconds >= limit),
        broken: broken.collect(),
    }
}

pub(crate) fn explore(scenario: &'static Scenario, effort: Effort) -> Report {
    let exploration = Exploration::new(scenario);
    let starts = exploration.starts.clone();
    let properties = Property::ALL.map(Property::name);
    let looked = look(exploration, scenario.name, &properties, effort, |world| world.case.number);
    let has = |happening| starts.iter().any(|world| world.case.coverage.has(happening));
    let names = |of: &[Happening], happened: bool| {
        of.iter().filter(|happening| has(**happening) == happened).map(|happening| happening.name()).collect()
    };
    let most = |kind| {
        let counts = starts.iter().map(|world| world.case.coverage.most_effects(kind));
        (Order::NAMES[kind], counts.max().unwrap_or(0))
    };
    Report::new(
        scenario.name,
        looked,
        names(&Happening::ALL, true),
        names(scenario.reaches, false),
        (0..Order::KINDS).map(most).filter(|(_, effects)| *effects > 0).collect(),
    )
}
