//! The world: workers that run real operations over one store and one issuer, and everything that may go wrong.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use grantway_core::connector::InDoubt;
use grantway_core::event::What;
use grantway_core::model::{Inspection, inspect};
use grantway_core::moment::Moment;
use grantway_core::operation::{
    CommitReply, Effect, HttpReply, HttpRequest, NotSent, ReadReply, Reply, Write,
};
use grantway_core::secret::Secret;
use grantway_core::upstream::Observation;
use serde::{Deserialize, Serialize};

use crate::case::{Case, Ground, entropy};
use crate::coverage::Happening;
use crate::issuer::{Post, Token, response};
use crate::journal::Journal;
use crate::order::{Ended, Ending, Order, Running, Stepped};
use crate::property::{Broken, EFFECTS_MAX, Property};
use crate::rows::{Rows, digest, is_connection, is_private};
use crate::scenario::{Budget, Pace};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The issuer answers 503.
    Busy { worker: usize },
    /// All wall clocks are set back.
    ClockBack,
    /// The worker's process dies; its effect is carried out or not, or later.
    Crash { worker: usize, fate: Fate },
    /// The store cannot be used: nothing was read or written.
    Down { worker: usize },
    /// Something delayed arrives.
    Land { late: usize },
    /// The answer to a POST is lost.
    Lost { worker: usize, fate: Fate },
    /// The request could not be sent.
    NotSent { worker: usize },
    /// The worker's process stands still, before its effect is carried out or before it sees the answer; time may pass meanwhile.
    Pause { worker: usize, carried_out: bool },
    /// The worker's effect is carried out and its operation takes a step, or its next operation begins.
    Run { worker: usize },
    /// Time passes.
    Tick,
    /// The answer to a commit is lost.
    Unknown { worker: usize, fate: Fate },
}

/// What becomes of an effect whose answer nobody sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    Done,
    Late,
    Never,
}

const FATES: [Fate; 3] = [Fate::Done, Fate::Late, Fate::Never];

/// A state.
#[derive(Clone, Debug)]
pub struct World<R> {
    pub case: Arc<Case>,
    pub ground: Ground<R>,
    /// The connection's record as it was last written.
    pub connection: Option<Arc<Inspection>>,
    workers: Vec<Worker>,
    late: Vec<Late>,
    left: Budget,
    ghost: Ghost,
    /// Kept in replays only.
    pub journal: Journal,
}

#[derive(Clone, Debug, Hash)]
struct Worker {
    /// Orders that have ended.
    done: usize,
    busy: Option<Kept<Busy>>,
    /// What the last `transient` outcome saw of a lease, and when.
    observed: Option<(Observation, u64)>,
}

/// A value that is shared and hashed once.
#[derive(Clone, Debug)]
struct Kept<T> {
    value: Arc<T>,
    digest: u64,
}

/// An operation that waits for the answer to an effect.
#[derive(Clone, Debug, Hash)]
struct Busy {
    running: Running,
    effect: Effect,
    /// When it was asked for.
    since: u64,
    paused: bool,
    /// An answer that the worker has not seen yet, with the access token stored when it was given.
    answer: Option<(Reply, Option<Secret>)>,
    /// Whether it has begun to send the refresh token.
    posted: bool,
}

#[derive(Clone, Debug, Hash)]
enum Late {
    Commit(Vec<Write>),
    Post(Post),
}

/// What no record says and the properties need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Ghost {
    /// An answer to a refresh was lost, or came to a process that had died or stood still.
    answer_lost: bool,
    /// A worker that may have held a lease died or stood still, or an answer was lost.
    lease_lost: bool,
    /// A disconnect has ended, and no flow was begun after it.
    disconnected: bool,
    /// Flows whose callback was refused because it came too late, a bit for each.
    expired: u8,
    broken: Broken,
}

impl<R: Rows> World<R> {
    pub fn new(case: Arc<Case>, ground: Ground<R>) -> Self {
        let worker = Worker { done: 0, busy: None, observed: None };
        let mut world = Self {
            workers: case.scripts.iter().map(|_| worker.clone()).collect(),
            left: case.budget,
            case,
            ground,
            connection: None,
            late: Vec::new(),
            ghost: Ghost::default(),
            journal: Journal::default(),
        };
        world.connection = world.stored_connection();
        // Clocks that differ by more than the allowance are a fault.
        let allowance = world.case.engine.config().limits.clock_skew_ms;
        let apart = world.case.ahead_ms.iter().any(|ahead| *ahead > allowance);
        world.ghost.answer_lost = apart;
        world.ghost.lease_lost = apart;
        world
    }

    /// Whether a property has held so far.
    pub fn holds(&self, property: Property) -> bool {
        !self.ghost.broken.has(property)
    }

    /// Everything that may happen next.
    pub fn enabled(&self, actions: &mut Vec<Action>) {
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
            Effect::Http(_) | Effect::Scan { .. } | Effect::Sleep { .. } => {
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
    fn sleep_ms(&self, effect: &Effect) -> u64 {
        match effect {
            // LIMIT: whoever finds the store down pauses for moments, against which even a lease is long.
            Effect::Sleep { watch: None, .. } if self.case.pace == Pace::Coarse => 0,
            Effect::Sleep { for_ms, .. } => *for_ms,
            _ => 0,
        }
    }

    fn is_too_late(&self, busy: &Busy, request: &HttpRequest) -> bool {
        self.ground.elapsed_ms - busy.since > request.start_within_ms
    }

    fn has_work(&self) -> bool {
        self.workers.iter().zip(&self.case.scripts).any(|(at, script)| at.done < script.len())
    }

    /// Whether nothing will happen any more.
    pub fn is_quiet(&self) -> bool {
        !self.has_work() && self.late.is_empty()
    }

    /// Lets something happen that is enabled.
    pub fn act(&mut self, action: Action) {
        match action {
            Action::Run { worker } => self.run(worker),
            Action::Tick => {
                self.left.ticks -= 1;
                self.ground.elapsed_ms += self.case.pace.tick_ms();
                self.journal.note(|| format!("{} s pass", self.case.pace.tick_ms() / 1000));
            }
            Action::ClockBack => {
                self.left.spend(|left| &mut left.clock_back);
                self.ground.set_back_ms += 2 * self.case.pace.tick_ms();
                self.excuse_slow_commits();
                self.journal.note(|| "all wall clocks are set back".to_owned());
            }
            Action::Land { late } => self.land(late),
            Action::Pause { worker, carried_out } => self.pause(worker, carried_out),
            Action::Crash { worker, fate } => self.crash(worker, fate),
            Action::Unknown { worker, fate } => {
                self.left.spend(|left| &mut left.unknown);
                self.lose(worker, fate, Reply::Commit(CommitReply::Unknown));
            }
            Action::Lost { worker, fate } => {
                self.left.spend(|left| &mut left.lost);
                self.lose(worker, fate, Reply::Http(HttpReply::UnknownOutcome));
            }
            Action::Busy { worker } => {
                self.left.spend(|left| &mut left.busy);
                let reply = Reply::Http(HttpReply::Response(response(503, String::new())));
                self.refuse(worker, reply);
            }
            Action::NotSent { worker } => {
                self.left.spend(|left| &mut left.not_sent);
                self.refuse(worker, Reply::Http(HttpReply::NotSent(NotSent::Unreachable)));
            }
            Action::Down { worker } => {
                self.left.spend(|left| &mut left.down);
                let reply = match self.busy(worker).effect {
                    Effect::Commit { .. } => Reply::Commit(CommitReply::Unavailable),
                    _ => Reply::Read(ReadReply::Unavailable),
                };
                self.refuse(worker, reply);
            }
        }
        self.judge();
    }

    fn run(&mut self, worker: usize) {
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
    fn go_on(&mut self, worker: usize, mut busy: Busy, mut reply: Reply, mut current: Option<Secret>) {
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

    fn perform(&mut self, worker: usize, busy: &mut Busy) -> (Reply, Option<Secret>) {
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

    /// Whether a revocation that arrives ends what is stored.
    fn look_at_revocation(&mut self, post: Option<Post>) {
        let Some(Post::Revoke(token)) = post else { return };
        let stored = self.connection.as_ref().and_then(|stored| stored.grant.as_ref());
        let stored = stored.and_then(|grant| self.ground.issuer.family(number(grant.refresh_token.as_ref())));
        if stored.is_some() && stored == self.ground.issuer.ended_by_revoking(token) {
            self.breaks(Property::NoStoredTokenIsRevoked);
        }
    }

    /// The answer is lost, whatever becomes of the effect.
    fn lose(&mut self, worker: usize, fate: Fate, reply: Reply) {
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
    fn refuse(&mut self, worker: usize, reply: Reply) {
        let busy = self.take(worker);
        self.journal.performed(worker, &busy.effect, &reply);
        let current = self.current_token();
        self.go_on(worker, busy, reply, current);
    }

    fn pause(&mut self, worker: usize, carried_out: bool) {
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
    fn excuse_slow_commits(&mut self) {
        let stands = |busy: &Busy| busy.paused && matches!(busy.effect, Effect::Commit { .. });
        let any = self.workers.iter().filter_map(|worker| worker.busy.as_ref()).any(|busy| stands(&busy.value));
        self.ghost.answer_lost |= any && self.ground.set_back_ms > 0;
    }

    fn crash(&mut self, worker: usize, fate: Fate) {
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

    fn land(&mut self, at: usize) {
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

    fn end(
        &mut self,
        worker: usize,
        running: &Running,
        ending: Ending,
        current: Option<Secret>,
        posted: bool,
    ) {
        let order = self.order(worker);
        let Ending { result, events } = ending;
        self.journal.ended(worker, order, &result);
        let coverage = &self.case.coverage;
        coverage.note_effects(order, running.steps() - 1);
        for what in &events {
            match what {
                What::Connected { .. } => coverage.note(Happening::Connected),
                What::Disconnected { .. } => coverage.note(Happening::Disconnected),
                What::ReauthNeeded { reason } if reason == "in_doubt" => coverage.note(Happening::InDoubt),
                What::Refreshed { .. } => coverage.note(Happening::Refreshed),
                What::Revoked => coverage.note(Happening::Revoked),
                _ => {}
            }
        }
        let refreshed = events.iter().any(|what| matches!(what, What::Refreshed { .. }));
        match result {
            Ended::Ready(token, _) => {
                // More than the one read that finds a token which may be used.
                if !refreshed && (posted || running.steps() > 2) {
                    coverage.note(Happening::Adopted);
                }
                if current != Some(token) {
                    self.breaks(Property::NoTokenBeforeItIsDurable);
                }
            }
            Ended::Disconnected => self.ghost.disconnected = true,
            Ended::Begun => self.ghost.disconnected = false,
            Ended::Failed("user.flow_expired") => {
                if let Order::Complete(flow) = order {
                    self.ghost.expired |= 1 << flow;
                }
            }
            Ended::Transient(observed) => {
                self.workers[worker].observed = observed.map(|seen| (seen, self.ground.elapsed_ms));
            }
            // It could not see what became of its lease.
            Ended::Failed(slug) => self.ghost.lease_lost |= slug.starts_with("store."),
            Ended::Challenge | Ended::Connected | Ended::Nothing => {}
        }
        self.workers[worker].done += 1;
    }

    /// Looks at the connection after a commit that was applied.
    fn written(&mut self, writes: &[Write]) {
        if !writes.iter().any(|write| is_connection(&write.key)) {
            return;
        }
        let before = std::mem::replace(&mut self.connection, None);
        let after = self.stored_connection();
        self.connection.clone_from(&after);
        let (Some(before), Some(after)) = (before, after) else { return };
        self.journal.connection(&after);
        if after.outbox.len() > before.outbox.len() && after.grant == before.grant {
            self.case.coverage.note(Happening::Parked);
        }
        let token = |of: &Inspection| of.grant.as_ref().map(|grant| grant.access_token.clone());
        let is_new = after.grant.is_some() && token(&before) != token(&after);
        if after.generation < before.generation || (is_new && after.generation == before.generation) {
            self.breaks(Property::GenerationStrictlyRises);
        }
        if let (Some(old), Some(new)) = (&before.grant, &after.grant) {
            let family = old.family == new.family && before.epoch == after.epoch;
            if family && number(new.refresh_token.as_ref()) < number(old.refresh_token.as_ref()) {
                self.breaks(Property::GenerationStrictlyRises);
            }
        }
        if self.ghost.disconnected && before.grant.is_none() && after.grant.is_some() {
            self.breaks(Property::DisconnectWins);
        }
        if let Some(grant) = &after.grant {
            let refresh_token = number(grant.refresh_token.as_ref());
            if after.generation > before.generation {
                self.ground.issuer.settle(refresh_token);
            }
            let newly = before.grant.as_ref().is_none_or(|old| old.condemned.is_none());
            let by_refresh = matches!(grant.condemned, Some("in_doubt" | "invalid_grant" | "client_refused"));
            if newly && by_refresh && self.ground.issuer.is_live(refresh_token) && !self.ghost.lease_lost {
                self.breaks(Property::NobodyIsLoggedOutWithoutFaults);
            }
        }
    }

    /// What can be told from a state alone.
    fn judge(&mut self) {
        let issuer = &self.ground.issuer;
        let codes = issuer.most_posts_of_a_code();
        let sends = issuer.most_posts_of_a_refresh_token();
        let once = self.case.in_doubt == InDoubt::Never || !self.ghost.answer_lost;
        let broken = [
            (codes > 1, Property::CodeRedeemedAtMostOnce),
            (sends > 2, Property::RefreshTokenSentAtMostTwice),
            (sends > 1 && once, Property::RefreshTokenSentOnceWithoutFaults),
            (self.ghost.expired & issuer.posted_codes() != 0, Property::ExpiredStaysExpired),
            (self.is_quiet() && self.forgets_a_token(), Property::NoTokenIsForgotten),
            (self.is_quiet() && self.loses_in_silence(), Property::NoSilentLoss),
        ];
        broken.into_iter().filter(|(broken, _)| *broken).for_each(|(_, property)| self.breaks(property));
    }

    /// Whether a family lives upstream that nothing here would ever end and nothing speaks of.
    fn forgets_a_token(&self) -> bool {
        let Some(connection) = &self.connection else {
            return self.ground.issuer.live_families().count() > 0;
        };
        let grant = connection.grant.as_ref();
        if connection.doubt || connection.redeeming || grant.is_some_and(|grant| grant.sends > 0) {
            return false;
        }
        let stored = grant.and_then(|grant| grant.refresh_token.as_ref());
        let known: Vec<_> = connection
            .outbox
            .iter()
            .chain(stored)
            .filter_map(|token| self.ground.issuer.ended_by_revoking(Token::parse(token.expose())?))
            .collect();
        self.ground.issuer.live_families().any(|family| !known.contains(&family))
    }

    /// Whether the stored refresh token was used and the record does not show it.
    fn loses_in_silence(&self) -> bool {
        let grant = self.connection.as_ref().and_then(|connection| connection.grant.as_ref());
        grant.is_some_and(|grant| {
            let spent = self.ground.issuer.is_spent(number(grant.refresh_token.as_ref()));
            spent && grant.sends == 0 && grant.condemned.is_none()
        })
    }

    fn breaks(&mut self, property: Property) {
        if self.holds(property) {
            self.journal.note(|| format!("BROKEN: {}", property.name()));
        }
        self.ghost.broken.add(property);
    }

    fn stored_connection(&self) -> Option<Arc<Inspection>> {
        let key = self.ground.connection.as_ref()?;
        let found = self.ground.rows.read(std::slice::from_ref(key)).pop()??;
        let Case { engine, caller, connector, .. } = &*self.case;
        inspect(engine, &caller.tenant, &caller.principal, connector, &found.value).map(Arc::new)
    }

    fn current_token(&self) -> Option<Secret> {
        Some(self.connection.as_ref()?.grant.as_ref()?.access_token.clone())
    }

    fn order(&self, worker: usize) -> Order {
        self.case.scripts[worker][self.workers[worker].done]
    }

    fn moment(&self, worker: usize, running: &Running) -> Moment {
        let ahead = self.case.ahead_ms.get(worker).copied().unwrap_or(0);
        let entropy = entropy(worker, self.workers[worker].done, running.steps());
        Moment::new(self.ground.now().plus(ahead), entropy)
    }

    fn busy(&self, worker: usize) -> &Busy {
        &self.workers[worker].busy.as_ref().expect("a busy worker").value
    }

    fn take(&mut self, worker: usize) -> Busy {
        Arc::unwrap_or_clone(self.workers[worker].busy.take().expect("a busy worker").value)
    }
}

/// Effects that touch nothing which a decision of another operation or a property looks at: they commute with everything,
/// so carrying them out at once loses no behaviour.
fn is_unnoticed(effect: &Effect) -> bool {
    match effect {
        Effect::Commit { writes } => writes.iter().all(|write| is_private(&write.key)),
        Effect::Http(_) => post_of(effect).is_none(),
        Effect::Read { keys } => keys.iter().all(is_private),
        Effect::Scan { .. } | Effect::Sleep { .. } => false,
    }
}

fn post_of(effect: &Effect) -> Option<Post> {
    match effect {
        Effect::Http(request) => Post::parse(request),
        _ => None,
    }
}

fn number(token: Option<&Secret>) -> u8 {
    match token.and_then(|token| Token::parse(token.expose())) {
        Some(Token::Access(number) | Token::Refresh(number)) => number,
        None => 0,
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
            | (Reply::Read(_), Effect::Read { .. })
            | (Reply::Scan(_), Effect::Scan { .. })
            | (Reply::Woke { .. }, Effect::Sleep { .. })
    )
}

impl<T: Hash> Kept<T> {
    fn new(value: T) -> Self {
        Self { digest: digest(&value), value: Arc::new(value) }
    }
}

impl<T> Hash for Kept<T> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.digest.hash(hasher);
    }
}

impl<R: Hash> Hash for World<R> {
    /// Without the connection, which is in the rows, and the journal.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.case.number, &self.ground, &self.workers, &self.late, &self.left, &self.ghost).hash(hasher);
    }
}

impl<R: Hash> PartialEq for World<R> {
    fn eq(&self, other: &Self) -> bool {
        digest(self) == digest(other)
    }
}
