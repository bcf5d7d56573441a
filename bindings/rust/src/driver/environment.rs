//! Time and randomness, which the core takes as arguments.

use std::time::{SystemTime, UNIX_EPOCH};

use grantway_core::moment::{Moment, UnixMillis};

/// Where moments come from. Tests bring their own.
pub trait Environment: Send + Sync {
    /// The time, and 32 bytes that were never given before; all zeros if there is no randomness.
    fn moment(&self) -> Moment;
}

/// The wall clock and the random source of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Environment for System {
    fn moment(&self) -> Moment {
        // A clock before 1970 gives 1970.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        let mut entropy = [0; 32];
        if getrandom::fill(&mut entropy).is_err() {
            // INVARIANT: a failing source may have written a part; only all zeros are sure to be refused.
            entropy = [0; 32];
        }
        Moment::new(now, entropy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_the_time_of_day() {
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let now = u128::from(System.moment().now.0);
        let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        assert!(before <= now && now <= after);
    }
}
