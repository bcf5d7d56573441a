//! The budget of step-ups: per resource and operation, in the connection's record, so that no loop outlives a process.

use sha2::{Digest, Sha256};

use crate::error::Code;
use crate::hex;
use crate::moment::UnixMillis;
use crate::operation::{Context, OperationId, Versioned};
use crate::protocol::scopes::Scopes;
use crate::store::Key;
use crate::store::records::{Connection, StepUp};
use crate::upstream::place::Place;
use crate::upstream::{Decide, Decision};

/// LIMIT: operations of one connection that are counted at a time; the oldest gives way.
const SUBJECTS_MAX: usize = 32;

/// What step-ups are counted for.
pub(super) fn subject(resource: &str, operation: &str) -> String {
    //= spec/mcp-2026-07-28.md#idx-step-up-authorization-flow
    //# Attempts SHOULD be counted per resource and operation, and oauth scopes that the user refused be
    //# remembered (STEP-08, U).
    let digest = Sha256::new().chain_update(resource).chain_update([0]).chain_update(operation).finalize();
    hex::with_text(digest.get(..8).unwrap_or_default(), str::to_owned)
}

/// Counts one step-up, if the budget allows it.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct CountStepUp {
    pub(super) place: Place,
    pub(super) subject: String,
    pub(super) wanted: Scopes,
}

/// Whether another step-up may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Counted {
    Allowed,
    Exhausted { until: UnixMillis },
}

impl Decide for CountStepUp {
    type Output = Counted;

    fn keys(&self) -> Vec<Key> {
        vec![self.place.key()]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Counted> {
        let [connection] = found else { return Decision::fail(Code::Internal) };
        let key = self.place.key();
        let stored = match cx.open::<Connection>(&key, connection.as_ref()) {
            Ok(Some(stored)) => stored,
            Ok(None) => return Decision::done(Counted::Allowed),
            Err(failure) => return Decision::fail(failure),
        };
        let precondition = stored.unchanged();
        let mut connection = stored.record;
        let (now, limits) = (cx.now(), cx.engine.limits());
        let end = |since: UnixMillis| since.plus(limits.step_up_window_ms);
        // P26: one from the future was written by a clock that has jumped.
        connection
            .step_ups
            .retain(|step_up| now < end(step_up.since) && step_up.since <= now.plus(limits.clock_skew_ms));
        match connection.step_ups.iter_mut().find(|step_up| step_up.subject == self.subject) {
            //= spec/mcp-2026-07-28.md#idx-step-up-authorization-flow
            //# A request that lacks oauth scopes SHOULD be tried again a few times and then fail for good,
            //# after three authorization requests at most (STEP-07, U).
            // atk:TOK-09
            Some(step_up) if step_up.count >= limits.step_ups => {
                return Decision::done(Counted::Exhausted { until: end(step_up.since) });
            }
            Some(step_up) => step_up.count = step_up.count.saturating_add(1),
            None => {
                if connection.step_ups.len() >= SUBJECTS_MAX {
                    connection.step_ups.remove(0);
                }
                connection.step_ups.push(StepUp { subject: self.subject.clone(), since: now, count: 1 });
            }
        }
        connection.wanted.clone_from(&self.wanted);
        Decision::Commit(vec![cx.put(&key, precondition, &connection, id, None)], Counted::Allowed)
    }
}
