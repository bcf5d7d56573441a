//! What may happen next.

use grantway_core::operation::{Effect, HttpRequest};

use super::action::{Action, FATES, Fate};
use super::{Busy, World};
use crate::rows::Rows;
use crate::scenario::Pace;

impl<R: Rows> World<R> {
    /// Everything that may happen next.
    pub(crate) fn enabled(&self, actions: &mut Vec<Action>) {
        for (worker, at) in self.workers.iter().enumerate() {
            match &at.busy {
                None if at.done < self.case.scripts[worker].len() => actions.push(Action::Run { worker }),
                None => {}
                Some(busy) => self.enabled_for(worker, &busy.value, actions),
            }
        }
        actions.extend((0..self.late.len()).map(|late| Action::Land { late }));
        if self.has_work() {
            if self.left.ticks > 0 && self.may_pass(self.case.pace.tick_ms(), None) {
                actions.push(Action::Tick);
            }
            if self.left.allows(self.left.clock_back) {
                actions.push(Action::ClockBack);
            }
        }
    }

    fn enabled_for(&self, worker: usize, busy: &Busy, actions: &mut Vec<Action>) {
        let left = &self.left;
        let mut faults = |count: u8, some: &mut dyn Iterator<Item = Action>| {
            if left.allows(count) {
                actions.extend(some);
            }
        };
        if busy.answer.is_some() {
            faults(left.crash, &mut std::iter::once(Action::Crash { worker, fate: Fate::Never }));
            actions.push(Action::Run { worker });
            return;
        }
        let fates = || FATES.into_iter();
        match &busy.effect {
            Effect::Commit { .. } => {
                faults(left.unknown, &mut fates().map(|fate| Action::Unknown { worker, fate }));
                faults(left.crash, &mut fates().map(|fate| Action::Crash { worker, fate }));
                faults(left.down, &mut std::iter::once(Action::Down { worker }));
            }
            Effect::Http(request) if !self.is_too_late(busy, request) => {
                faults(left.lost, &mut fates().map(|fate| Action::Lost { worker, fate }));
                faults(left.crash, &mut fates().map(|fate| Action::Crash { worker, fate }));
                faults(left.busy, &mut std::iter::once(Action::Busy { worker }));
                faults(left.not_sent, &mut std::iter::once(Action::NotSent { worker }));
            }
            Effect::Read { .. } => {
                faults(left.crash, &mut std::iter::once(Action::Crash { worker, fate: Fate::Never }));
                faults(left.down, &mut std::iter::once(Action::Down { worker }));
            }
            Effect::Http(_) | Effect::Identify { .. } | Effect::Scan { .. } | Effect::Sleep { .. } => {
                faults(left.crash, &mut std::iter::once(Action::Crash { worker, fate: Fate::Never }));
            }
        }
        if let effect @ Effect::Sleep { .. } = &busy.effect {
            let until = busy.since + self.sleep_ms(effect);
            let missing = until.saturating_sub(self.ground.elapsed_ms);
            if missing == 0 || self.may_pass(missing, Some(worker)) {
                actions.push(Action::Run { worker });
            }
            return;
        }
        if !busy.paused {
            let all = [false, true].map(|carried_out| Action::Pause { worker, carried_out });
            // To have read early and to go on late is to read late: what was read shows its age in the next commit.
            let some = if matches!(busy.effect, Effect::Read { .. }) { &all[..1] } else { &all };
            faults(left.pause, &mut some.iter().copied());
        }
        actions.push(Action::Run { worker });
    }

    /// Whether all workers but a sleeper can stand it that time passes before they go on.
    fn may_pass(&self, ms: u64, sleeper: Option<usize>) -> bool {
        self.workers.iter().enumerate().all(|(worker, at)| {
            at.busy.as_ref().is_none_or(|busy| {
                let busy = &busy.value;
                let age = self.ground.elapsed_ms + ms - busy.since;
                let allowed = self.sleep_ms(&busy.effect) + self.case.pace.effect_ms();
                Some(worker) == sleeper || busy.paused || age <= allowed
            })
        })
    }

    /// How long an effect asks to sleep.
    pub(super) fn sleep_ms(&self, effect: &Effect) -> u64 {
        match effect {
            // LIMIT: whoever finds the store down pauses for moments, against which even a lease is long.
            Effect::Sleep { watch: None, .. } if self.case.pace == Pace::Coarse => 0,
            Effect::Sleep { for_ms, .. } => *for_ms,
            _ => 0,
        }
    }

    pub(super) fn is_too_late(&self, busy: &Busy, request: &HttpRequest) -> bool {
        self.ground.elapsed_ms - busy.since > request.start_within_ms
    }

    pub(super) fn has_work(&self) -> bool {
        self.workers.iter().zip(&self.case.scripts).any(|(at, script)| at.done < script.len())
    }

    /// Whether nothing will happen any more.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.has_work() && self.late.is_empty()
    }
}
