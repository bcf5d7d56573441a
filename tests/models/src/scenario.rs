//! The scenarios: who does what, what may go wrong, and how often.

use grantway_core::connector::InDoubt;
use serde::Serialize;

use crate::coverage::Happening;
use crate::issuer::Kind;
use crate::order::Order;

/// A bounded exploration: one initial state for each variant.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Done before the exploration begins.
    pub(crate) prelude: &'static [Prelude],
    /// A script for each worker.
    pub(crate) scripts: &'static [&'static [Order]],
    /// How far the workers' clocks are ahead.
    pub(crate) ahead_ms: &'static [u64],
    pub(crate) pace: Pace,
    pub(crate) variants: &'static [(Kind, InDoubt)],
    pub(crate) budget: Budget,
    /// What must happen somewhere.
    pub(crate) reaches: &'static [Happening],
    /// Whether it is part of the quick set.
    pub(crate) quick: bool,
}

/// A step of the setup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prelude {
    /// A flow, up to the code.
    Begin,
    /// The flow begun last, completed.
    Complete,
    /// The flow begun last, until its code was redeemed; then the process dies.
    CompleteUntilRedeemed,
    /// A resolution by a clock that is ahead, until it holds the lease; then the process dies.
    LeaseAndDie { ahead_ms: u64 },
    /// Time, in milliseconds.
    Pass(u64),
}

/// How long a tick is, against what an effect may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pace {
    /// Longer than a lease with its allowance. Only a worker that stands still, sleeps or has nothing to do lets it pass.
    Coarse,
    /// The store's and the transport's timeout: an effect may span one.
    Fine,
}

impl Pace {
    pub(crate) const fn tick_ms(self) -> u64 {
        match self {
            Self::Coarse => 20_000,
            Self::Fine => 1_000,
        }
    }

    pub(crate) const fn effect_ms(self) -> u64 {
        match self {
            Self::Coarse => 0,
            Self::Fine => 1_000,
        }
    }
}

/// How often what may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct Budget {
    /// Faults of all kinds together.
    pub(crate) faults: u8,
    pub(crate) busy: u8,
    pub(crate) clock_back: u8,
    pub(crate) crash: u8,
    pub(crate) down: u8,
    pub(crate) lost: u8,
    pub(crate) not_sent: u8,
    pub(crate) pause: u8,
    pub(crate) ticks: u8,
    pub(crate) unknown: u8,
}

impl Budget {
    pub(crate) const NONE: Self = Self {
        faults: 0,
        busy: 0,
        clock_back: 0,
        crash: 0,
        down: 0,
        lost: 0,
        not_sent: 0,
        pause: 0,
        ticks: 0,
        unknown: 0,
    };

    /// Whether one more fault may happen of a kind that so many are left of.
    pub(crate) const fn allows(&self, count: u8) -> bool {
        self.faults > 0 && count > 0
    }

    pub(crate) fn spend(&mut self, of: impl FnOnce(&mut Self) -> &mut u8) {
        self.faults -= 1;
        *of(self) -= 1;
    }
}

use Happening::{
    Adopted, Connected, Disconnected, InDoubt as Doubted, Parked, Refreshed, Revoked, SentAgain,
};
use Order::{Begin, Complete, Disconnect, Report, Resolve};

const ALL_KINDS: &[(Kind, InDoubt)] = &[
    (Kind::RevokesOnReuse, InDoubt::RetryOnce),
    (Kind::Grace, InDoubt::RetryOnce),
    (Kind::NoRotation, InDoubt::RetryOnce),
    (Kind::RotatesOnly, InDoubt::RetryOnce),
];
const STRICT: &[(Kind, InDoubt)] = &[(Kind::RevokesOnReuse, InDoubt::RetryOnce)];
const ALL_BUT_LENIENT: &[(Kind, InDoubt)] = &[
    (Kind::RevokesOnReuse, InDoubt::RetryOnce),
    (Kind::Grace, InDoubt::RetryOnce),
    (Kind::NoRotation, InDoubt::RetryOnce),
];
const STRICT_AND_LENIENT: &[(Kind, InDoubt)] =
    &[(Kind::RevokesOnReuse, InDoubt::RetryOnce), (Kind::RotatesOnly, InDoubt::RetryOnce)];
const NEVER: &[(Kind, InDoubt)] = &[(Kind::RevokesOnReuse, InDoubt::Never)];

/// A flow that waits for its callback.
const BEGUN: &[Prelude] = &[Prelude::Begin];
/// The same, half a minute before it ends.
const ENDING: &[Prelude] = &[Prelude::Begin, Prelude::Pass(570_000)];
/// A connection with a token that can be used.
const CONNECTED: &[Prelude] = &[Prelude::Begin, Prelude::Complete];
/// A connection whose access token has ended.
const ENDED: &[Prelude] = &[Prelude::Begin, Prelude::Complete, Prelude::Pass(61_000)];
/// The same, and a second flow that waits for its callback.
const RECONNECTING: &[Prelude] = &[Prelude::Begin, Prelude::Complete, Prelude::Pass(61_000), Prelude::Begin];
/// A flow whose worker died with the tokens in its hands, and a second one.
const ABANDONED: &[Prelude] = &[Prelude::Begin, Prelude::CompleteUntilRedeemed, Prelude::Begin];

/// A connection whose access token has ended, and a lease that a dead worker wrote by a clock far ahead.
const LEASED_FAR: &[Prelude] =
    &[Prelude::Begin, Prelude::Complete, Prelude::Pass(61_000), Prelude::LeaseAndDie { ahead_ms: 3_600_000 }];

/// Crash, lost answer, unknown commit: each once.
const ONCE_EACH: Budget = Budget { faults: 3, crash: 1, lost: 1, unknown: 1, ticks: 1, ..Budget::NONE };
/// Every kind of fault, two in all.
const ANY_TWO: Budget = Budget {
    faults: 2,
    busy: 1,
    clock_back: 0,
    crash: 2,
    down: 1,
    lost: 2,
    not_sent: 2,
    pause: 2,
    ticks: 1,
    unknown: 2,
};
/// Every kind of fault, one in all.
const ANY_ONE: Budget = Budget { faults: 1, ..ANY_TWO };

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "CC",
        about: "the same callback twice",
        prelude: BEGUN,
        scripts: &[&[Complete(0)], &[Complete(0)]],
        variants: ALL_KINDS,
        budget: ONCE_EACH,
        reaches: &[Connected],
        quick: true,
        ..PLAIN
    },
    Scenario {
        name: "CC-any",
        about: "the same callback twice, every kind of fault",
        prelude: BEGUN,
        scripts: &[&[Complete(0)], &[Complete(0)]],
        budget: ANY_TWO,
        reaches: &[Connected],
        ..PLAIN
    },
    Scenario {
        name: "CB",
        about: "a callback while another flow is begun",
        prelude: BEGUN,
        scripts: &[&[Complete(0)], &[Begin]],
        budget: ONCE_EACH,
        reaches: &[Connected],
        quick: true,
        ..PLAIN
    },
    Scenario {
        name: "CJ",
        about: "a callback, and a 401 to a call with the token it brought",
        prelude: BEGUN,
        scripts: &[&[Complete(0)], &[Report(1)]],
        budget: ONCE_EACH,
        reaches: &[Connected, Refreshed],
        quick: true,
        ..PLAIN
    },
    Scenario {
        name: "CE",
        about: "a callback that comes too late, twice, and a clock set back",
        prelude: ENDING,
        scripts: &[&[Complete(0)], &[Complete(0)]],
        budget: Budget { faults: 2, clock_back: 1, crash: 1, unknown: 1, ticks: 2, ..Budget::NONE },
        reaches: &[Connected],
        quick: true,
        ..PLAIN
    },
    Scenario {
        name: "CD",
        about: "a callback against a disconnect",
        prelude: BEGUN,
        scripts: &[&[Complete(0)], &[Disconnect]],
        variants: STRICT_AND_LENIENT,
        budget: ONCE_EACH,
        reaches: &[Connected, Disconnected, Parked, Revoked],
        quick: true,
        ..PLAIN
    },
    Scenario {
        name: "CX",
        about: "a second flow after one whose worker died, and a disconnect",
        prelude: ABANDONED,
        scripts: &[&[Complete(1)], &[Disconnect]],
        variants: STRICT_AND_LENIENT,
        budget: ANY_ONE,
        reaches: &[Connected, Disconnected],
        ..PLAIN
    },
    Scenario {
        name: "RR",
        about: "two resolutions of an ended access token",
        prelude: ENDED,
        scripts: &[&[Resolve], &[Resolve]],
        variants: ALL_KINDS,
        budget: ONCE_EACH,
        reaches: &[Refreshed, Adopted, SentAgain],
        quick: true,
        ..PLAIN
    },
    Scenario {
        name: "RR-any",
        about: "two resolutions of an ended access token, every kind of fault",
        prelude: ENDED,
        scripts: &[&[Resolve], &[Resolve]],
        variants: ALL_BUT_LENIENT,
        budget: ANY_TWO,
        reaches: &[Refreshed, Adopted, SentAgain],
        ..PLAIN
    },
    Scenario {
        name: "RR-never",
        about: "two resolutions where no refresh token may be sent twice",
        prelude: ENDED,
        scripts: &[&[Resolve], &[Resolve]],
        variants: NEVER,
        budget: ANY_TWO,
        reaches: &[Refreshed, Adopted, Doubted],
        quick: true,
        ..PLAIN
    },
    Scenario {
        name: "RR-thrice",
        about: "a resolution after the other, and workers that die",
        prelude: ENDED,
        scripts: &[&[Resolve, Resolve], &[Resolve]],
        budget: Budget { faults: 3, crash: 3, ticks: 3, ..Budget::NONE },
        reaches: &[Refreshed, SentAgain, Doubted],
        quick: true,
        ..PLAIN
    },
    Scenario {
        name: "RR-fine",
        about: "two resolutions, every effect as slow as it may be, clocks that differ",
        prelude: ENDED,
        scripts: &[&[Resolve], &[Resolve]],
        ahead_ms: &[0, 1_000],
        pace: Pace::Fine,
        budget: Budget { faults: 1, busy: 1, down: 1, not_sent: 1, unknown: 1, ticks: 12, ..Budget::NONE },
        reaches: &[Refreshed, Adopted],
        ..PLAIN
    },
    Scenario {
        name: "RR-wait",
        about: "two resolutions, one of which waits as long as it may",
        prelude: ENDED,
        scripts: &[&[Resolve], &[Resolve]],
        pace: Pace::Fine,
        budget: Budget { ticks: 3, ..Budget::NONE },
        reaches: &[Refreshed, Adopted],
        quick: true,
        ..PLAIN
    },
    Scenario {
        name: "RR-ahead",
        about: "two resolutions, one by a clock that is far ahead",
        prelude: ENDED,
        scripts: &[&[Resolve], &[Resolve]],
        ahead_ms: &[600_000, 0],
        budget: Budget { faults: 2, crash: 1, lost: 1, pause: 1, ticks: 1, ..Budget::NONE },
        reaches: &[Refreshed, Adopted, SentAgain],
        quick: true,
        ..PLAIN
    },
    Scenario {
        name: "RR-far",
        about: "two resolutions after a worker died whose clock was far ahead: nobody's clock frees its lease",
        prelude: LEASED_FAR,
        scripts: &[&[Resolve], &[Resolve]],
        budget: Budget { faults: 1, crash: 1, unknown: 1, ticks: 1, ..Budget::NONE },
        reaches: &[Refreshed, Adopted, SentAgain],
        quick: true,
        ..PLAIN
    },
    Scenario {
        name: "RR-back",
        about: "two resolutions, and clocks that are set back",
        prelude: ENDED,
        scripts: &[&[Resolve], &[Resolve]],
        budget: Budget { faults: 3, clock_back: 1, crash: 1, lost: 1, pause: 1, ticks: 2, ..Budget::NONE },
        reaches: &[Refreshed, Adopted, SentAgain],
        quick: true,
        ..PLAIN
    },
    Scenario {
        name: "RD",
        about: "a resolution against a disconnect",
        prelude: ENDED,
        scripts: &[&[Resolve], &[Disconnect]],
        variants: STRICT_AND_LENIENT,
        budget: Budget { faults: 2, ..ONCE_EACH },
        reaches: &[Refreshed, Disconnected, Parked, Revoked],
        ..PLAIN
    },
    Scenario {
        name: "JJ",
        about: "two reports of a 401 and a resolution",
        prelude: CONNECTED,
        scripts: &[&[Report(1)], &[Report(1), Resolve]],
        budget: ONCE_EACH,
        reaches: &[Refreshed, Adopted, SentAgain],
        ..PLAIN
    },
    Scenario {
        name: "CRD",
        about: "a reconnect and a resolution against a resolution and a disconnect",
        prelude: RECONNECTING,
        scripts: &[&[Complete(1), Resolve], &[Resolve, Disconnect]],
        budget: ANY_ONE,
        reaches: &[Connected, Refreshed, Adopted, Disconnected, Parked, Revoked],
        ..PLAIN
    },
    Scenario {
        name: "RCD",
        about: "a resolution against a reconnect and then a disconnect",
        prelude: RECONNECTING,
        scripts: &[&[Resolve], &[Complete(1), Disconnect]],
        budget: Budget { ticks: 1, ..Budget::NONE },
        reaches: &[Connected, Refreshed, Disconnected, Parked, Revoked],
        quick: true,
        ..PLAIN
    },
    Scenario {
        name: "RRR",
        about: "three resolutions of an ended access token",
        prelude: ENDED,
        scripts: &[&[Resolve], &[Resolve], &[Resolve]],
        budget: Budget { faults: 2, crash: 1, unknown: 1, ticks: 1, ..Budget::NONE },
        reaches: &[Refreshed, Adopted, SentAgain],
        ..PLAIN
    },
];

/// What most scenarios have in common.
const PLAIN: Scenario = Scenario {
    name: "",
    about: "",
    prelude: &[],
    scripts: &[],
    ahead_ms: &[],
    pace: Pace::Coarse,
    variants: STRICT,
    budget: Budget::NONE,
    reaches: &[],
    quick: false,
};
