//! What happened somewhere in an exploration. Kept beside the states, which it must not multiply.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::ask::Ask;

macro_rules! happenings {
    ($($happening:ident $name:literal,)+) => {
        /// Something that a scenario must reach, else it shows nothing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Happening {
            $($happening,)+
        }

        impl Happening {
            pub(crate) const ALL: &[Self] = &[$(Self::$happening,)+];

            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$happening => $name,)+
                }
            }
        }
    };
}

happenings! {
    Accepted "call_accepted",
    Rejected "call_rejected",
    Approved "approved",
    Denied "denied",
    Disconnected "disconnected",
    Dropped "dropped",
    FormRefused "form_refused",
    Given "given_again",
    Misdirected "callback_refused",
    Promoted "promoted",
    Ready "resolved",
    Refreshed "refreshed",
    Refused "refused",
    Reissued "redirect_again",
    Replayed "replayed",
    Returned "given_back",
    SignedIn "signed_in",
    Staged "staged",
    Stale "stale",
    Unknown "session_hidden",
}

/// Counters.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    happenings: [AtomicU64; Happening::ALL.len()],
    longest: [AtomicU32; Ask::NAMES.len()],
}

impl Coverage {
    pub(crate) fn note(&self, happening: Happening) {
        self.happenings[happening as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn has(&self, happening: Happening) -> bool {
        self.happenings[happening as usize].load(Ordering::Relaxed) > 0
    }

    pub(crate) fn note_effects(&self, ask: Ask, effects: u32) {
        self.longest[ask.kind()].fetch_max(effects, Ordering::Relaxed);
    }

    pub(crate) fn forget(&self) {
        self.happenings.iter().for_each(|counter| counter.store(0, Ordering::Relaxed));
        self.longest.iter().for_each(|counter| counter.store(0, Ordering::Relaxed));
    }

    /// The most effects of one request, by what it asks for.
    pub(crate) fn most_effects(&self) -> Vec<(&'static str, u32)> {
        let all = Ask::NAMES.iter().zip(&self.longest);
        all.map(|(name, most)| (*name, most.load(Ordering::Relaxed))).filter(|(_, most)| *most > 0).collect()
    }
}
