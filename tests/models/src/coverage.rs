//! What happened somewhere in an exploration. Kept beside the states, which it must not multiply.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::order::Order;

/// Something that a scenario must reach, else it shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happening {
    Adopted,
    Connected,
    Disconnected,
    InDoubt,
    Parked,
    Refreshed,
    Revoked,
    SentAgain,
}

impl Happening {
    pub(crate) const ALL: [Self; 8] = [
        Self::Adopted,
        Self::Connected,
        Self::Disconnected,
        Self::InDoubt,
        Self::Parked,
        Self::Refreshed,
        Self::Revoked,
        Self::SentAgain,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Adopted => "adopted",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::InDoubt => "in_doubt",
            Self::Parked => "parked",
            Self::Refreshed => "refreshed",
            Self::Revoked => "revoked",
            Self::SentAgain => "sent_again",
        }
    }
}

/// Counters.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    happenings: [AtomicU64; Happening::ALL.len()],
    longest: [AtomicU32; Order::KINDS],
}

impl Coverage {
    pub(crate) fn note(&self, happening: Happening) {
        self.happenings[happening as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn has(&self, happening: Happening) -> bool {
        self.happenings[happening as usize].load(Ordering::Relaxed) > 0
    }

    pub(crate) fn note_effects(&self, order: Order, effects: u32) {
        self.longest[order.kind()].fetch_max(effects, Ordering::Relaxed);
    }

    /// The most effects one operation of a kind has asked for.
    pub(crate) fn most_effects(&self, kind: usize) -> u32 {
        self.longest[kind].load(Ordering::Relaxed)
    }
}
