//! Running operations: carrying out effects, and stepping.

use std::sync::Arc;

use grantway_core::moment::Moment;
use grantway_core::operation::{CommitReply, Effect, HttpReply, NotSent, Reply};
use grantway_core::secret::Secret;
use grantway_core::upstream::Observation;

use super::{Busy, Kept, World, post_of};
use crate::case::entropy;
use crate::coverage::Happening;
use crate::issuer::Post;
use crate::order::{Running, Stepped};
use crate::property::{EFFECTS_MAX, Property};
use crate::rows::{Rows, is_private};

impl<R: Rows> World<R> {
    pub(super) fn run(&mut self, worker: usize) {
        match self.workers[worker].busy.take() {
            None => self.start(worker),
            Some(busy) => {
                let mut busy = Arc::unwrap_or_clone(busy.value);
                let (reply, current) = match busy.answer.take() {
                    Some(answer) => answer,
                    None => self.perform(worker, &mut busy),
                };
                self.go_on(worker, busy, reply, current);
            }
        }
    }

    /// A new operation, with its first effect: before that it has done nothing that anybody could notice.
    fn start(&mut self, worker: usize) {
        let order = self.order(worker);
        let observed = self.workers[worker]
            .observed
            .take()
            .map(|(seen, at)| Observation { for_ms: seen.for_ms + (self.ground.elapsed_ms - at), ..seen });
        self.journal.begin(worker, order);
        let mut running = order.start(&self.case, observed);
        let moment = self.moment(worker, &running);
        match running.step(&moment, Reply::Start).expect("an operation begins with `start`") {
            Stepped::Done(ending) => self.end(worker, &running, ending, None, false),
            Stepped::Perform(effect) => {
                let since = self.ground.elapsed_ms;
                let mut busy = Busy { running, effect, since, paused: false, answer: None, posted: false };
                let (reply, current) = self.perform(worker, &mut busy);
                self.go_on(worker, busy, reply, current);
            }
        }
    }

    /// Steps with a reply, up to the next effect that somebody else could notice.
    pub(super) fn go_on(
        &mut self,
        worker: usize,
        mut busy: Busy,
        mut reply: Reply,
        mut current: Option<Secret>,
    ) {
        loop {
            let moment = self.moment(worker, &busy.running);
            let repeated = reply.clone();
            match busy.running.step(&moment, reply).expect("the reply answers the effect") {
                Stepped::Done(ending) => {
                    assert_misuse(&mut busy.running, &moment, repeated);
                    return self.end(worker, &busy.running, ending, current, busy.posted);
                }
                Stepped::Perform(effect) => {
                    if !answers(&repeated, &effect) {
                        assert_misuse(&mut busy.running, &moment, repeated);
                    }
                    if busy.running.steps() > EFFECTS_MAX {
                        self.breaks(Property::EffectsAreBounded);
                    }
                    busy.effect = effect;
                    busy.since = self.ground.elapsed_ms;
                    busy.paused = false;
                    if !is_unnoticed(&busy.effect) {
                        self.workers[worker].busy = Some(Kept::new(busy));
                        return;
                    }
                    (reply, current) = self.perform(worker, &mut busy);
                }
            }
        }
    }

    pub(super) fn perform(&mut self, worker: usize, busy: &mut Busy) -> (Reply, Option<Secret>) {
        let reply = match &busy.effect {
            Effect::Http(request) if self.is_too_late(busy, request) => {
                Reply::Http(HttpReply::NotSent(NotSent::TooLate))
            }
            effect @ Effect::Sleep { .. } => {
                self.ground.elapsed_ms = self.ground.elapsed_ms.max(busy.since + self.sleep_ms(effect));
                Reply::Woke { after_ms: self.ground.elapsed_ms - busy.since }
            }
            effect => {
                self.note_post(effect);
                self.look_at_revocation(post_of(effect));
                busy.posted |= matches!(post_of(effect), Some(Post::Refresh(_)));
                self.ground.perform(effect)
            }
        };
        self.journal.performed(worker, &busy.effect, &reply);
        if let (Effect::Commit { writes }, Reply::Commit(CommitReply::Committed)) = (&busy.effect, &reply) {
            self.written(writes);
        }
        (reply, self.current_token())
    }

    fn note_post(&self, effect: &Effect) {
        let sends =
            self.connection.as_ref().and_then(|stored| stored.grant.as_ref()).map(|grant| grant.sends);
        if matches!(post_of(effect), Some(Post::Refresh(_))) && sends == Some(2) {
            self.case.coverage.note(Happening::SentAgain);
        }
    }

    fn moment(&self, worker: usize, running: &Running) -> Moment {
        let ahead = self.case.ahead_ms.get(worker).copied().unwrap_or(0);
        let entropy = entropy(worker, self.workers[worker].done, running.steps());
        Moment::new(self.ground.now().plus(ahead), entropy)
    }
}

/// Effects that touch nothing which a decision of another operation or a property looks at: they commute with everything,
/// so carrying them out at once loses no behaviour.
fn is_unnoticed(effect: &Effect) -> bool {
    match effect {
        Effect::Commit { writes } => writes.iter().all(|write| is_private(&write.key)),
        Effect::Http(_) => post_of(effect).is_none(),
        Effect::Read { keys } => keys.iter().all(is_private),
        Effect::Identify { .. } | Effect::Scan { .. } | Effect::Sleep { .. } => false,
    }
}

/// A repeated or late reply is misuse, and changes nothing.
fn assert_misuse(running: &mut Running, moment: &Moment, reply: Reply) {
    let before = running.clone();
    assert!(running.step(moment, reply).is_err(), "a repeated reply was taken");
    assert!(*running == before, "a refused reply changed the operation");
}

/// Whether a reply is of the kind that an effect asks for.
fn answers(reply: &Reply, effect: &Effect) -> bool {
    matches!(
        (reply, effect),
        (Reply::Commit(_), Effect::Commit { .. })
            | (Reply::Http(_), Effect::Http(_))
            | (Reply::Identity(_), Effect::Identify { .. })
            | (Reply::Read(_), Effect::Read { .. })
            | (Reply::Scan(_), Effect::Scan { .. })
            | (Reply::Woke { .. }, Effect::Sleep { .. })
    )
}
