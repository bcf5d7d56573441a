//! The world: workers that run real requests over one store and one upstream issuer, and everything that may go wrong.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use grantway_core::event::What;
use grantway_core::model::{Sight, look};
use grantway_core::moment::Moment;
use grantway_core::operation::{CommitReply, Effect, HttpReply, IdentityReply, Reply, Whom, Write};
use grantway_core::store::Key;

use super::ask::{Ask, Person};
use super::case::{Case, NOBODY, TICK_MS, principal};
use super::enabled::is_unnoticed;
use super::happening::Happening;
use super::known::{Known, Seen};
use super::property::{Broken, Property};
use super::running::{Answered, Running, Stepped};
use crate::case::{Ground, entropy};
use crate::issuer::Post;
use crate::journal::{Journal, effect_words, reply_words};
use crate::rows::{Rows, digest};
use crate::scenario::Budget;
use crate::world::{Action, Fate, Kept, post_of};

/// A state.
#[derive(Clone, Debug)]
pub(crate) struct World<R> {
    pub(crate) case: Arc<Case>,
    pub(crate) ground: Ground<R>,
    pub(super) workers: Vec<Worker>,
    pub(super) late: Vec<Late>,
    pub(super) left: Budget,
    pub(super) known: Known,
    pub(super) ghost: Ghost,
    /// What the rows hold.
    pub(super) sights: Arc<BTreeMap<Key, Sight>>,
    /// Kept in replays only.
    pub(crate) journal: Journal,
}

#[derive(Clone, Debug, Hash)]
pub(super) struct Worker {
    /// Requests that have ended.
    pub(super) done: usize,
    pub(super) busy: Option<Kept<Busy>>,
}

/// A request that waits for the answer to an effect.
#[derive(Clone, Debug, Hash)]
pub(super) struct Busy {
    pub(super) asked: Asked,
    running: Running,
    pub(super) effect: Effect,
}

/// A request, with the page that it was sent from.
#[derive(Clone, Debug, Hash)]
pub(super) struct Asked {
    pub(super) ask: Ask,
    pub(super) page: Option<Arc<Seen>>,
    /// When it asked for its effect.
    pub(super) since: u64,
}

#[derive(Clone, Debug, Hash)]
pub(super) enum Late {
    Commit(Asked, Vec<Write>),
    Post(Post),
}

/// What no record says and the properties need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Ghost {
    /// What was shown to whoever approved, by consent session.
    pub(super) approved: BTreeMap<usize, Arc<Seen>>,
    /// Who has agreed to the upstream's codes, in their order.
    pub(super) agreed: Vec<Person>,
    /// Families that each code has brought.
    pub(super) families: BTreeMap<usize, u8>,
    /// Upstream codes whose grants an approval has made somebody's, a bit for each.
    pub(super) promoted: u8,
    /// Upstream codes that were there when their owner disconnected, a bit for each.
    pub(super) void: u8,
    /// When a refresh token was replaced last.
    pub(super) rotated_at: Option<u64>,
    /// Refresh tokens that were given for one, by digests.
    pub(super) successors: BTreeMap<u64, u64>,
    pub(super) broken: Broken,
}

impl<R: Rows> World<R> {
    pub(super) fn new(case: Arc<Case>, ground: Ground<R>) -> Self {
        Self {
            workers: case.scripts.iter().map(|_| Worker { done: 0, busy: None }).collect(),
            left: case.budget,
            case,
            ground,
            late: Vec::new(),
            known: Known::default(),
            ghost: Ghost::default(),
            sights: Arc::default(),
            journal: Journal::default(),
        }
    }

    /// Whether a property has held so far.
    pub(crate) fn holds(&self, property: Property) -> bool {
        !self.ghost.broken.has(property)
    }

    /// Plays a request of the prelude from beginning to end.
    pub(super) fn play(&mut self, ask: Ask, number: usize) {
        assert!(self.known.suffices(ask), "the prelude asks for what nobody knows: {}", ask.words());
        let mut busy = self.begin(ask, |steps| entropy(NOBODY, number, steps));
        while let Some(mut at) = busy.take() {
            let reply = self.perform(&at.asked, &at.effect);
            busy = self.step(&mut at, reply, |steps| entropy(NOBODY, number, steps)).then_some(at);
        }
    }

    /// Lets something happen that is enabled.
    pub(crate) fn act(&mut self, action: Action) {
        match action {
            Action::Run { worker } => self.run(worker),
            Action::Tick => {
                self.left.ticks -= 1;
                self.ground.elapsed_ms += TICK_MS;
                self.journal.note(|| format!("{} s pass", TICK_MS / 1000));
            }
            Action::Land { late } => self.land(late),
            Action::Crash { worker, fate } => {
                self.left.spend(|left| &mut left.crash);
                let busy = self.take(worker);
                self.leave(&busy, fate);
                self.journal.note(|| format!("worker {worker} dies"));
                self.workers[worker].done += 1;
            }
            Action::Unknown { worker, fate } => {
                self.left.spend(|left| &mut left.unknown);
                self.lose(worker, fate, Reply::Commit(CommitReply::Unknown));
            }
            Action::Lost { worker, fate } => {
                self.left.spend(|left| &mut left.lost);
                self.lose(worker, fate, Reply::Http(HttpReply::UnknownOutcome));
            }
            Action::Busy { .. }
            | Action::ClockBack
            | Action::Down { .. }
            | Action::NotSent { .. }
            | Action::Pause { .. } => unreachable!("never enabled here"),
        }
        self.judge();
    }

    fn run(&mut self, worker: usize) {
        let done = self.workers[worker].done;
        if self.workers[worker].busy.is_some() {
            let mut busy = self.take(worker);
            let reply = self.perform(&busy.asked, &busy.effect);
            self.go_on(worker, &mut busy, reply);
            return;
        }
        let ask = self.case.scripts[worker][done];
        match self.begin(ask, |steps| entropy(worker, done, steps)) {
            None => self.workers[worker].done += 1,
            // With its first effect: before that it has done nothing that anybody could notice.
            Some(mut busy) => {
                let reply = self.perform(&busy.asked, &busy.effect);
                self.go_on(worker, &mut busy, reply);
            }
        }
    }

    /// Steps with a reply, up to the next effect that somebody else could notice.
    fn go_on(&mut self, worker: usize, busy: &mut Busy, mut reply: Reply) {
        let done = self.workers[worker].done;
        while self.step(busy, reply, |steps| entropy(worker, done, steps)) {
            if !is_unnoticed(&busy.effect) {
                self.workers[worker].busy = Some(Kept::new(busy.clone()));
                return;
            }
            reply = self.perform(&busy.asked, &busy.effect);
        }
        self.workers[worker].done += 1;
    }

    /// `None`: it has ended without any effect.
    fn begin(&mut self, ask: Ask, entropy: impl Fn(u32) -> [u8; 32]) -> Option<Busy> {
        self.journal.note(|| format!("{} …", ask.words()));
        let page = match ask {
            Ask::Approve { page, .. } | Ask::Forge { page, .. } => self.known.pages.get(&page).cloned(),
            _ => None,
        };
        let asked = Asked { ask, page, since: self.ground.elapsed_ms };
        let mut running = Running::new(&self.case, &self.known, ask);
        let moment = Moment::new(self.ground.now(), entropy(running.steps()));
        match running.step(&moment, Reply::Start).expect("an operation begins with `start`") {
            Stepped::Perform(effect) => Some(Busy { asked, running, effect }),
            Stepped::Done(answered, events) => {
                self.ended(&asked, running.steps(), answered, &events);
                None
            }
        }
    }

    /// One step with a reply: whether another effect is asked for.
    fn step(&mut self, busy: &mut Busy, reply: Reply, entropy: impl Fn(u32) -> [u8; 32]) -> bool {
        let moment = Moment::new(self.ground.now(), entropy(busy.running.steps()));
        match busy.running.step(&moment, reply).expect("the reply answers the effect") {
            Stepped::Perform(effect) => {
                busy.effect = effect;
                busy.asked.since = self.ground.elapsed_ms;
                true
            }
            Stepped::Done(answered, events) => {
                self.ended(&busy.asked, busy.running.steps(), answered, &events);
                false
            }
        }
    }

    fn ended(&mut self, asked: &Asked, steps: u32, answered: Answered, events: &[What]) {
        self.case.coverage.note_effects(asked.ask, steps - 1);
        for what in events {
            self.case.coverage.note(match what {
                What::Approved => Happening::Approved,
                What::Disconnected { .. } => Happening::Disconnected,
                What::ConsentDenied => Happening::Denied,
                What::Promoted => Happening::Promoted,
                What::ReplaySeen { .. } => Happening::Replayed,
                What::SignedIn { .. } => Happening::SignedIn,
                What::Staged => Happening::Staged,
                What::TokensRefreshed { .. } => Happening::Refreshed,
                _ => continue,
            });
        }
        self.answered(asked, answered);
    }

    /// Carries out an effect, and looks at what it has changed.
    fn perform(&mut self, asked: &Asked, effect: &Effect) -> Reply {
        let reply = match effect {
            Effect::Identify { whom: Whom::Principal(whom), .. } => {
                let person = Person::ALL.into_iter().find(|person| principal(*person) == *whom);
                let caller = person.map(|person| Box::new(self.case.caller(person)));
                Reply::Identity(caller.map_or(IdentityReply::Rejected, IdentityReply::Caller))
            }
            effect => self.ground.perform(effect),
        };
        self.journal.note(|| format!("    {}: {}", effect_words(effect), reply_words(&reply)));
        if let (Effect::Commit { writes }, Reply::Commit(CommitReply::Committed)) = (effect, &reply) {
            self.committed(asked, writes);
        }
        reply
    }

    fn committed(&mut self, asked: &Asked, writes: &[Write]) {
        let before = Arc::clone(&self.sights);
        let after = Arc::make_mut(&mut self.sights);
        for write in writes {
            match &write.action {
                grantway_core::operation::Action::Delete => drop(after.remove(&write.key)),
                grantway_core::operation::Action::Keep => {}
                grantway_core::operation::Action::Put { value, .. } => {
                    if let Some(sight) = look(&self.case.engine, &write.key, value) {
                        after.insert(write.key.clone(), sight);
                    }
                }
            }
        }
        self.judge_commit(asked, &before, writes);
    }

    /// The answer is lost, whatever becomes of the effect.
    fn lose(&mut self, worker: usize, fate: Fate, reply: Reply) {
        let mut busy = self.take(worker);
        self.leave(&busy, fate);
        self.go_on(worker, &mut busy, reply);
    }

    /// What becomes of an effect that nobody waits for.
    fn leave(&mut self, busy: &Busy, fate: Fate) {
        self.journal.note(|| {
            format!("{}: {} is lost ({fate:?})", busy.asked.ask.words(), effect_words(&busy.effect))
        });
        match (&busy.effect, fate) {
            (_, Fate::Never) => {}
            (Effect::Commit { writes }, Fate::Late) => {
                self.late.push(Late::Commit(busy.asked.clone(), writes.clone()));
            }
            (effect, Fate::Late) => self.late.extend(post_of(effect).map(Late::Post)),
            (effect, Fate::Done) => drop(self.perform(&busy.asked, effect)),
        }
    }

    fn land(&mut self, at: usize) {
        match self.late.remove(at) {
            Late::Commit(asked, writes) => {
                self.journal.note(|| "the delayed commit arrives".to_owned());
                self.perform(&asked, &Effect::Commit { writes });
            }
            Late::Post(post) => {
                self.journal.note(|| format!("the delayed request arrives: {}", post.words()));
                self.ground.issuer.answer(post, self.ground.elapsed_ms);
            }
        }
    }

    fn take(&mut self, worker: usize) -> Busy {
        Arc::unwrap_or_clone(self.workers[worker].busy.take().expect("a busy worker").value)
    }

    pub(super) fn breaks(&mut self, property: Property) {
        if self.holds(property) {
            self.journal.note(|| format!("BROKEN: {}", property.name()));
        }
        self.ghost.broken.add(property);
    }
}

impl<R: Hash> Hash for World<R> {
    /// Without what is in the rows, and the journal.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (&self.ground, &self.workers, &self.late, &self.left, &self.known, &self.ghost).hash(hasher);
    }
}

impl<R: Hash> PartialEq for World<R> {
    fn eq(&self, other: &Self) -> bool {
        digest(self) == digest(other)
    }
}
