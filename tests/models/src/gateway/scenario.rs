//! The scenarios: who asks for what, what may go wrong, and how often.

use super::ask::Ask::{
    self, Approve, Authorize, Call, Callback, Change, Connect, Deny, Disconnect, Forge, Identify, Redeem,
    Refresh, Resolve, Revoke, Show,
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

/// A page of a session that waits for the approval, and a second one of the same.
const TWO_TABS: &[Ask] = &[OPEN, IDENTIFY, SHOW, show(ALICE, 0, 1)];
/// The same with a flow that waits for its callback: the page shows nothing staged.
const CONNECTING: &[Ask] = &[OPEN, IDENTIFY, SHOW, connect(ALICE, 0, 0)];
/// The same, called back: a grant is staged.
const STAGED: &[Ask] = &[OPEN, IDENTIFY, connect(ALICE, 0, 0), CALLBACK, SHOW];
/// Mallory has a session for the hostile client and has begun to connect there; the link to the issuer is Alice's to follow.
const FORWARDED: &[Ask] = &[
    open(MALLORY, Hostile, 1),
    Identify { seat: MALLORY, consent: 1 },
    Connect { seat: MALLORY, consent: 1, flow: 1, agrees: Person::Alice },
    OPEN,
    IDENTIFY,
    SHOW,
];
/// Sessions of two clients in one browser.
const TWO_CLIENTS: &[Ask] =
    &[OPEN, IDENTIFY, SHOW, open(ALICE, Hostile, 1), Identify { seat: ALICE, consent: 1 }, show(ALICE, 1, 1)];

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "G-code",
        about: "the same code redeemed twice at once",
        prelude: CODE,
        scripts: &[&[redeem(Honest, 0, 0), call(0)], &[redeem(Honest, 0, 1), call(1)]],
        budget: ONCE_EACH,
        reaches: &[Is::SignedIn, Is::Replayed, Is::Accepted, Is::Rejected],
        ..PLAIN
    },
    Scenario {
        name: "G-code-late",
        about: "a code redeemed three times, while the tokens are refreshed",
        prelude: CODE,
        scripts: &[
            &[redeem(Honest, 0, 0), REFRESH, call(1)],
            &[redeem(Honest, 0, 2)],
            &[redeem(Honest, 0, 3)],
        ],
        budget: Budget { ticks: 1, ..ONE },
        reaches: &[Is::SignedIn, Is::Refreshed, Is::Replayed, Is::Accepted, Is::Rejected],
        quick: false,
    },
    Scenario {
        name: "G-code-others",
        about: "a code in the hands of another client, and of one without the verifier",
        prelude: CODE,
        scripts: &[
            &[redeem(Honest, 0, 0), call(0)],
            &[redeem(Hostile, 0, 1)],
            &[Redeem { client: Honest, code: 0, proof: false, tokens: 2 }],
        ],
        budget: ONCE_EACH,
        reaches: &[Is::SignedIn, Is::Accepted, Is::Refused],
        ..PLAIN
    },
    Scenario {
        name: "G-refresh",
        about: "two refreshes of one token at once, and after the grace",
        prelude: SIGNED_IN,
        scripts: &[&[REFRESH, call(1)], &[Refresh { client: Honest, tokens: 0, into: 2 }, call(2)]],
        budget: Budget { ticks: 1, ..ONCE_EACH },
        reaches: &[Is::Refreshed, Is::Given, Is::Replayed, Is::Accepted, Is::Rejected],
        ..PLAIN
    },
    Scenario {
        name: "G-replay",
        about: "a chain of refreshes, against somebody who has stolen its first token",
        prelude: SIGNED_IN,
        scripts: &[
            &[REFRESH, Refresh { client: Honest, tokens: 1, into: 2 }, call(2)],
            &[
                Refresh { client: Hostile, tokens: 0, into: 3 },
                Refresh { client: Honest, tokens: 0, into: 4 },
                call(4),
            ],
        ],
        budget: Budget { ticks: 1, ..ONCE_EACH },
        reaches: &[Is::Refreshed, Is::Given, Is::Replayed, Is::Refused, Is::Accepted, Is::Rejected],
        ..PLAIN
    },
    Scenario {
        name: "G-revoke",
        about: "a refresh against a revocation, by its client and by another, and calls at two endpoints",
        prelude: SIGNED_IN,
        scripts: &[
            &[REFRESH, call(1)],
            &[Revoke { client: Hostile, tokens: 0 }, Revoke { client: Honest, tokens: 0 }, call(0)],
            &[Call { tokens: 0, endpoint: 1 }],
        ],
        budget: ONCE_EACH,
        reaches: &[Is::Refreshed, Is::Returned, Is::Accepted, Is::Rejected],
        ..PLAIN
    },
    Scenario {
        name: "G-asked",
        about: "calls and a refresh for which the host is asked again who it is, against a revocation",
        prelude: SIGNED_IN,
        scripts: &[
            &[REFRESH, call(1)],
            &[call(0), call(0)],
            &[Revoke { client: Honest, tokens: 0 }, call(0)],
        ],
        budget: Budget { ticks: 1, ..ONE },
        reaches: &[Is::Refreshed, Is::Returned, Is::Accepted, Is::Rejected],
        ..PLAIN
    },
    Scenario {
        name: "G-tabs",
        about: "one approval in two tabs, and a refusal in a third",
        prelude: TWO_TABS,
        scripts: &[
            &[APPROVE, redeem(Honest, 0, 0)],
            &[Approve { seat: ALICE, page: 1 }],
            &[Deny { seat: ALICE, consent: 0 }],
        ],
        budget: ONCE_EACH,
        reaches: &[Is::Approved, Is::Denied, Is::Stale, Is::Reissued, Is::SignedIn],
        ..PLAIN
    },
    Scenario {
        name: "G-stale",
        about: "a page approved while an upstream comes to be connected, and its credential is asked for",
        prelude: CONNECTING,
        scripts: &[
            &[APPROVE],
            &[CALLBACK, show(ALICE, 0, 1), Approve { seat: ALICE, page: 1 }],
            &[RESOLVE, RESOLVE],
        ],
        budget: ONE,
        reaches: &[Is::Approved, Is::Staged, Is::Stale, Is::Promoted, Is::Ready],
        ..PLAIN
    },
    Scenario {
        name: "G-again",
        about: "an upstream connected twice in one session, while it is approved",
        prelude: &[OPEN, IDENTIFY, connect(ALICE, 0, 0), CALLBACK, SHOW, connect(ALICE, 0, 1)],
        scripts: &[&[APPROVE, RESOLVE], &[Callback { seat: ALICE, flow: 1 }]],
        budget: ONE_OF_ALL,
        reaches: &[Is::Approved, Is::Staged, Is::Promoted, Is::Ready],
        ..PLAIN
    },
    Scenario {
        name: "G-owner",
        about: "somebody else in the browser, while an upstream is connected and approved",
        prelude: CONNECTING,
        scripts: &[
            &[CALLBACK, show(ALICE, 0, 1), Approve { seat: ALICE, page: 1 }],
            &[
                Identify { seat: INTRUDER, consent: 0 },
                show(INTRUDER, 0, 2),
                Approve { seat: INTRUDER, page: 2 },
            ],
        ],
        budget: ONCE_EACH,
        reaches: &[Is::Approved, Is::Staged, Is::Dropped, Is::Promoted],
        ..PLAIN
    },
    Scenario {
        name: "G-change",
        about: "a staged grant, approved, and let go by a change of the person",
        prelude: STAGED,
        scripts: &[
            &[APPROVE, RESOLVE],
            &[Change { seat: ALICE, consent: 0 }, Identify { seat: INTRUDER, consent: 0 }],
            &[Approve { seat: INTRUDER, page: 0 }, Resolve { person: Person::Mallory }],
        ],
        budget: ONCE_EACH,
        reaches: &[Is::Approved, Is::Dropped, Is::Promoted, Is::Ready],
        ..PLAIN
    },
    Scenario {
        name: "G-off",
        about: "a disconnect, while an upstream is connected and approved",
        prelude: CONNECTING,
        scripts: &[
            &[CALLBACK, show(ALICE, 0, 1), Approve { seat: ALICE, page: 1 }, RESOLVE],
            &[Disconnect { person: Person::Alice }],
        ],
        budget: ONE_OF_ALL,
        reaches: &[Is::Approved, Is::Staged, Is::Promoted, Is::Disconnected, Is::Ready],
        ..PLAIN
    },
    Scenario {
        name: "G-back",
        about: "a callback twice, and in another browser",
        prelude: &[open(MALLORY, Hostile, 1), OPEN, IDENTIFY, connect(ALICE, 0, 0)],
        scripts: &[
            &[CALLBACK, SHOW, APPROVE, RESOLVE],
            &[CALLBACK],
            &[Callback { seat: MALLORY, flow: 0 }, Callback { seat: INTRUDER, flow: 0 }],
        ],
        budget: Budget { faults: 1, lost: 1, ..Budget::NONE },
        reaches: &[Is::Approved, Is::Staged, Is::Promoted, Is::Misdirected, Is::Ready],
        ..PLAIN
    },
    Scenario {
        name: "G-links",
        about: "links passed on: to the upstream's issuer to Alice, of her session to Mallory",
        prelude: FORWARDED,
        scripts: &[
            &[Callback { seat: ALICE, flow: 1 }, Callback { seat: INTRUDER, flow: 1 }],
            &[APPROVE, Resolve { person: Person::Mallory }],
            &[
                Identify { seat: MALLORY, consent: 0 },
                show(MALLORY, 0, 2),
                Approve { seat: MALLORY, page: 0 },
            ],
            &[show(MALLORY, 1, 1), Approve { seat: MALLORY, page: 1 }],
        ],
        budget: ONCE_EACH,
        reaches: &[Is::Approved, Is::Misdirected, Is::Unknown],
        ..PLAIN
    },
    Scenario {
        name: "G-clients",
        about: "two clients in one browser, and a form that another site sends",
        prelude: TWO_CLIENTS,
        scripts: &[
            &[APPROVE, redeem(Hostile, 0, 0)],
            &[Forge { seat: ALICE, page: 1 }, redeem(Hostile, 1, 1)],
            &[Deny { seat: ALICE, consent: 1 }],
        ],
        budget: ONCE_EACH,
        reaches: &[Is::Approved, Is::Denied, Is::FormRefused, Is::Refused],
        ..PLAIN
    },
    Scenario {
        name: "G-redirect",
        about: "a link that names the client, and another's redirect URI",
        prelude: &[],
        scripts: &[
            &[
                Authorize { seat: ALICE, client: Honest, to: Hostile, consent: 1 },
                Identify { seat: ALICE, consent: 1 },
                show(ALICE, 1, 1),
                Approve { seat: ALICE, page: 1 },
            ],
            CODE,
        ],
        budget: ONE,
        reaches: &[Is::Approved],
        ..PLAIN
    },
    Scenario {
        name: "G-way",
        about: "the whole way, and whatever may go wrong at any place of it",
        prelude: &[],
        scripts: &[
            &[
                OPEN,
                IDENTIFY,
                connect(ALICE, 0, 0),
                CALLBACK,
                SHOW,
                APPROVE,
                show(ALICE, 0, 1),
                Approve { seat: ALICE, page: 1 },
                redeem(Honest, 0, 0),
                REFRESH,
                call(1),
            ],
            &[RESOLVE, RESOLVE],
        ],
        budget: Budget { faults: 3, crash: 1, lost: 1, unknown: 1, ..Budget::NONE },
        reaches: &[
            Is::Staged,
            Is::Approved,
            Is::Promoted,
            Is::Reissued,
            Is::SignedIn,
            Is::Refreshed,
            Is::Accepted,
            Is::Ready,
        ],
        ..PLAIN
    },
];
