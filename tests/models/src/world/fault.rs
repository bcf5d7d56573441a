//! What goes wrong.

use std::sync::Arc;

use grantway_core::operation::{CommitReply, Effect, Reply};

use super::action::Fate;
use super::{Busy, Kept, Late, World, post_of};
use crate::issuer::Post;
use crate::rows::Rows;

impl<R: Rows> World<R> {
    /// The answer is lost, whatever becomes of the effect.
    pub(super) fn lose(&mut self, worker: usize, fate: Fate, reply: Reply) {
        let mut busy = self.take(worker);
        self.journal.lost(worker, &busy.effect, fate);
        if let (Some(post), Fate::Never) = (post_of(&busy.effect), fate) {
            // It has left, and got nowhere.
            self.ground.issuer.begin_post(post);
        }
        self.leave(&busy.effect, fate);
        if let Some(Post::Refresh(_)) = post_of(&busy.effect) {
            busy.posted = true;
            self.ghost.answer_lost = true;
            self.ghost.lease_lost = true;
        }
        let current = self.current_token();
        self.go_on(worker, busy, reply, current);
    }

    /// Nothing was done, and the operation hears so.
    pub(super) fn refuse(&mut self, worker: usize, reply: Reply) {
        let busy = self.take(worker);
        self.journal.performed(worker, &busy.effect, &reply);
        let current = self.current_token();
        self.go_on(worker, busy, reply, current);
    }

    pub(super) fn pause(&mut self, worker: usize, carried_out: bool) {
        self.left.spend(|left| &mut left.pause);
        let mut busy = self.take(worker);
        busy.paused = true;
        if carried_out {
            let answer = self.perform(worker, &mut busy);
            busy.answer = Some(answer);
        }
        self.journal.note(|| format!("worker {worker} stands still"));
        self.ghost.answer_lost |= busy.posted;
        self.ghost.lease_lost = true;
        self.workers[worker].busy = Some(Kept::new(busy));
        self.excuse_slow_commits();
    }

    /// LIMIT: a worker that stood still over its commit of a lease, and whose clock was set back meanwhile, cannot know how old the
    /// lease is.
    pub(super) fn excuse_slow_commits(&mut self) {
        let stands = |busy: &Busy| busy.paused && matches!(busy.effect, Effect::Commit { .. });
        let any =
            self.workers.iter().filter_map(|worker| worker.busy.as_ref()).any(|busy| stands(&busy.value));
        self.ghost.answer_lost |= any && self.ground.set_back_ms > 0;
    }

    pub(super) fn crash(&mut self, worker: usize, fate: Fate) {
        self.left.spend(|left| &mut left.crash);
        let busy = self.take(worker);
        let may_be_sent = matches!(post_of(&busy.effect), Some(Post::Refresh(_))) && fate != Fate::Never;
        if busy.answer.is_none() {
            self.journal.lost(worker, &busy.effect, fate);
            self.leave(&busy.effect, fate);
        }
        self.journal.note(|| format!("worker {worker} dies"));
        self.ghost.answer_lost |= busy.posted || may_be_sent;
        self.ghost.lease_lost = true;
        self.workers[worker].done += 1;
        self.workers[worker].observed = None;
    }

    /// What becomes of an effect that nobody waits for.
    fn leave(&mut self, effect: &Effect, fate: Fate) {
        let post = post_of(effect);
        match (effect, fate) {
            (_, Fate::Never) => {}
            (Effect::Commit { writes }, Fate::Late) => self.late.push(Late::Commit(writes.clone())),
            (_, Fate::Late) => {
                post.iter().for_each(|post| self.ground.issuer.begin_post(*post));
                self.late.extend(post.map(Late::Post));
            }
            (effect, Fate::Done) => {
                self.look_at_revocation(post);
                let reply = self.ground.perform(effect);
                if let (Effect::Commit { writes }, Reply::Commit(CommitReply::Committed)) = (effect, reply) {
                    self.written(writes);
                }
            }
        }
    }

    pub(super) fn land(&mut self, at: usize) {
        match self.late.remove(at) {
            Late::Commit(writes) => {
                let reply = self.ground.rows.commit(&writes);
                self.journal.note(|| format!("the delayed commit arrives: {reply:?}"));
                if reply == CommitReply::Committed {
                    self.written(&writes);
                }
            }
            Late::Post(post) => {
                self.look_at_revocation(Some(post));
                let answer = self.ground.issuer.answer(post, self.ground.elapsed_ms);
                self.journal
                    .note(|| format!("the delayed request arrives: {}: {}", post.words(), answer.status));
            }
        }
    }

    fn take(&mut self, worker: usize) -> Busy {
        Arc::unwrap_or_clone(self.workers[worker].busy.take().expect("a busy worker").value)
    }
}
