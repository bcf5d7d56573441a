//! What may go wrong with an effect, and when it shall.

use grantway_core::operation::NotSent;

/// What goes wrong with a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// Nothing is written, as if another writer had been first.
    Conflict,
    /// It takes so long, in milliseconds, and succeeds or conflicts as it would.
    Slow(u64),
    /// Nothing is written; the store is away.
    Unavailable,
    /// The answer is lost.
    Unknown(Lands),
}

/// Whether a commit whose answer is lost takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lands {
    /// After so many further effects, of whichever worker, if its preconditions hold then.
    After(u32),
    /// Never.
    Never,
    /// At once.
    Now,
}

/// What goes wrong with an HTTP exchange. A slow or a wrong answer is the server's matter, not a fault of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpFault {
    /// The request arrives or not, and no answer comes.
    Lost {
        /// Whether the server sees the request.
        processed: bool,
    },
    /// No byte leaves.
    NotSent(NotSent),
}

/// The process died here: the effect was carried out, its reply is lost with the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crashed;

/// Faults that wait for their effect.
#[derive(Debug)]
pub(crate) struct Plan<F>(Vec<Planned<F>>);

#[derive(Debug)]
struct Planned<F> {
    url_part: String,
    left: u32,
    fault: F,
}

impl<F: Copy> Plan<F> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn add(&mut self, url_part: &str, nth: u32, fault: F) {
        assert!(nth > 0, "effects are counted from 1");
        self.0.push(Planned { url_part: url_part.to_owned(), left: nth, fault });
    }

    /// Counts an effect, and takes the fault that has waited for it.
    pub(crate) fn next(&mut self, url: &str) -> Option<F> {
        for planned in self.0.iter_mut().filter(|planned| url.contains(&planned.url_part)) {
            planned.left = planned.left.saturating_sub(1);
        }
        let hit = self.0.iter().position(|planned| planned.left == 0 && url.contains(&planned.url_part))?;
        Some(self.0.remove(hit).fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_meets_the_nth_matching_effect_once() {
        let mut plan = Plan::new();
        plan.add("/token", 2, 'x');
        let seen: Vec<_> = ["/token", "/revoke", "/token", "/token"].map(|url| plan.next(url)).into();
        assert_eq!(seen, [None, None, Some('x'), None]);
    }
}
