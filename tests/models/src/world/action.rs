//! What may happen.

use serde::{Deserialize, Serialize};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// The issuer answers 503.
    Busy { worker: usize },
    /// All wall clocks are set back.
    ClockBack,
    /// The worker's process dies; its effect is carried out or not, or later.
    Crash { worker: usize, fate: Fate },
    /// The store cannot be used: nothing was read or written.
    Down { worker: usize },
    /// Something delayed arrives.
    Land { late: usize },
    /// The answer to a POST is lost.
    Lost { worker: usize, fate: Fate },
    /// The request could not be sent.
    NotSent { worker: usize },
    /// The worker's process stands still, before its effect is carried out or before it sees the answer; time may pass meanwhile.
    Pause { worker: usize, carried_out: bool },
    /// The worker's effect is carried out and its operation takes a step, or its next operation begins.
    Run { worker: usize },
    /// Time passes.
    Tick,
    /// The answer to a commit is lost.
    Unknown { worker: usize, fate: Fate },
}

/// What becomes of an effect whose answer nobody sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fate {
    Done,
    Late,
    Never,
}

pub(crate) const FATES: [Fate; 3] = [Fate::Done, Fate::Late, Fate::Never];
