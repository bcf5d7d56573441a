//! The scenarios: who asks for what, what may go wrong, and how often.

use super::ask::Ask::{
    self, Approve, Authorize, Call, Callback, Change, Connect, Deny, Forge, Identify, Redeem, Refresh,
    Resolve, Revoke, Show,
};
use super::ask::Client::{Honest, Hostile};
use super::ask::{ALICE, Client, INTRUDER, MALLORY, Person, Seat};
use super::happening::Happening as Is;
use crate::scenario::Budget;

/// A bounded exploration.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Done before the exploration begins.
    pub(crate) prelude: &'static [Ask],
    /// A script for each worker.
    pub(crate) scripts: &'static [&'static [Ask]],
    pub(crate) budget: Budget,
    /// What must happen somewhere.
    pub(crate) reaches: &'static [Is],
    /// Whether it is part of the quick set.
    pub(crate) quick: bool,
}

const PLAIN: Scenario = Scenario {
    name: "",
    about: "",
    prelude: &[],
    scripts: &[],
    budget: Budget::NONE,
    reaches: &[],
    quick: true,
};

const fn open(seat: Seat, client: Client, consent: usize) -> Ask {
    Authorize { seat, client, to: client, consent }
}

const fn connect(seat: Seat, consent: usize, flow: usize) -> Ask {
    Connect { seat, consent, flow, agrees: seat.person }
}

const fn redeem(client: Client, code: usize, tokens: usize) -> Ask {
    Redeem { client, code, proof: true, tokens }
}

const fn call(tokens: usize) -> Ask {
    Call { tokens, endpoint: 0 }
}

const fn show(seat: Seat, consent: usize, page: usize) -> Ask {
    Show { seat, consent, page }
}

const OPEN: Ask = open(ALICE, Honest, 0);
const IDENTIFY: Ask = Identify { seat: ALICE, consent: 0 };
const SHOW: Ask = show(ALICE, 0, 0);
const APPROVE: Ask = Approve { seat: ALICE, page: 0 };
const CALLBACK: Ask = Callback { seat: ALICE, flow: 0 };
const REFRESH: Ask = Refresh { client: Honest, tokens: 0, into: 1 };
const RESOLVE: Ask = Resolve { person: Person::Alice };

/// A code that waits to be redeemed.
const CODE: &[Ask] = &[OPEN, IDENTIFY, SHOW, APPROVE];
/// A client that is signed in.
const SIGNED_IN: &[Ask] = &[OPEN, IDENTIFY, SHOW, APPROVE, redeem(Honest, 0, 0)];

/// Crash and unknown commit: each once.
const ONCE_EACH: Budget = Budget { faults: 2, crash: 1, unknown: 1, ..Budget::NONE };
/// One of them.
const ONE: Budget = Budget { faults: 1, ..ONCE_EACH };
/// One of them, or a lost answer of the upstream's issuer.
const ONE_OF_ALL: Budget = Budget { lost: 1, ..ONE };

pub(crate) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "G-code",
    about: "the same code redeemed twice at once",
    prelude: CODE,
    scripts: &[&[redeem(Honest, 0, 0), call(0)], &[redeem(Honest, 0, 1), call(1)]],
    budget: ONCE_EACH,
    reaches: &[Is::SignedIn, Is::Replayed, Is::Accepted, Is::Rejected],
    ..PLAIN
}];
