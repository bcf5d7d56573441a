//! What may happen next.

use grantway_core::operation::Effect;
use grantway_core::store::{Key, Kind};

use super::world::{Busy, World};
use crate::rows::{Rows, is_private, kind_of};
use crate::world::{Action, FATES, Fate, post_of};

impl<R: Rows> World<R> {
    /// Everything that may happen next.
    pub(crate) fn enabled(&self, actions: &mut Vec<Action>) {
        for (worker, at) in self.workers.iter().enumerate() {
            match &at.busy {
                Some(busy) => self.enabled_for(worker, &busy.value, actions),
                None if self.may_begin(worker) => actions.push(Action::Run { worker }),
                None => {}
            }
        }
        actions.extend((0..self.late.len()).map(|late| Action::Land { late }));
        if self.left.ticks > 0 && self.has_work() && self.may_pass() {
            actions.push(Action::Tick);
        }
    }

    fn enabled_for(&self, worker: usize, busy: &Busy, actions: &mut Vec<Action>) {
        let left = &self.left;
        let is_commit = matches!(busy.effect, Effect::Commit { .. });
        let is_post = post_of(&busy.effect).is_some();
        let fates: &[Fate] = if is_commit || is_post { &FATES } else { &[Fate::Never] };
        if left.allows(left.crash) {
            actions.extend(fates.iter().map(|fate| Action::Crash { worker, fate: *fate }));
        }
        if is_commit && left.allows(left.unknown) {
            actions.extend(fates.iter().map(|fate| Action::Unknown { worker, fate: *fate }));
        }
        if is_post && left.allows(left.lost) {
            actions.extend(fates.iter().map(|fate| Action::Lost { worker, fate: *fate }));
        }
        actions.push(Action::Run { worker });
    }

    /// Whether a worker has a request to send, and knows all that it needs.
    fn may_begin(&self, worker: usize) -> bool {
        let next = self.case.scripts[worker].get(self.workers[worker].done);
        next.is_some_and(|ask| self.known.suffices(*ask))
    }

    fn has_work(&self) -> bool {
        (0..self.workers.len()).any(|worker| self.workers[worker].busy.is_some() || self.may_begin(worker))
    }

    /// A tick is longer than a commit or an exchange may take.
    fn may_pass(&self) -> bool {
        let waits = |busy: &Busy| matches!(busy.effect, Effect::Commit { .. } | Effect::Http(_));
        self.workers.iter().filter_map(|worker| worker.busy.as_ref()).all(|busy| !waits(&busy.value))
    }

    /// Whether nothing will happen any more.
    pub(super) fn is_quiet(&self) -> bool {
        !self.has_work() && self.late.is_empty()
    }
}

/// Effects that touch nothing which a decision of another request or a property looks at: they commute with everything, so
/// carrying them out at once loses no behaviour.
pub(super) fn is_unnoticed(effect: &Effect) -> bool {
    match effect {
        Effect::Commit { writes } => writes.iter().all(|write| is_private(&write.key)),
        Effect::Http(_) => post_of(effect).is_none(),
        Effect::Identify { .. } | Effect::Sleep { .. } => true,
        Effect::Read { keys } => keys.iter().all(|key| is_private(key) || is_settled(key)),
        Effect::Scan { .. } => panic!("no request of this model scans"),
    }
}

/// Records that stay as they are, but for when a client was used last; and slots, of which there are enough.
fn is_settled(key: &Key) -> bool {
    let settled = [Kind::Client, Kind::Connector, Kind::Slot];
    kind_of(key).is_some_and(|kind| settled.iter().any(|settled| *settled as u8 == kind))
}
