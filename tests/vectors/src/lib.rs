//! Vectors: operations recorded in the simulated world, one JSON file each, which every language replays.
//!
//! A vector holds the engine's configuration, the request, and for each step the moment, the reply handed in, and what came
//! out: an effect, at last the outcome. Nothing in it is left to chance, so recording anew makes no difference.
#![forbid(unsafe_code)]

mod scenarios;
mod stage;
mod typed;
mod vector;

pub use scenarios::{Scenario, all};
pub use stage::Stage;
pub use typed::{effect_as_value, reply_as_value, reply_from_value};
pub use vector::{MomentOf, StepOf, Vector, directory, stored};
