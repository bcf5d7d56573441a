//! Drivers: one operation to its end, or several against each other.

use grantway_core::moment::{Moment, UnixMillis};
use grantway_core::operation::{Effect, Machine, Misuse, Operation, Outcome, Reply, Step};

use crate::fault::Crashed;
use crate::world::World;

/// What drivers drive: operations, and scripts in tests of the drivers.
pub trait Steps {
    /// What the operation is asked for.
    type Output;

    /// As [`Operation::step`].
    ///
    /// # Errors
    /// The reply does not answer the pending effect.
    fn step(&mut self, moment: &Moment, reply: Reply) -> Result<Step<Self::Output>, Misuse>;
}

impl<M: Machine> Steps for Operation<M> {
    type Output = M::Output;

    fn step(&mut self, moment: &Moment, reply: Reply) -> Result<Step<M::Output>, Misuse> {
        Operation::step(self, moment, reply)
    }
}

/// Drives an operation to its end.
///
/// # Panics
/// It crashes, or takes more than 200 steps.
pub fn drive<S: Steps>(world: &mut World, operation: S) -> Outcome<S::Output> {
    drive_or_crash(world, operation).expect("a crash was planned: use `drive_or_crash`")
}

/// Drives an operation to its end, or to the crash planned with [`World::crash_after`].
///
/// # Errors
/// It crashed.
///
/// # Panics
/// It takes more than 200 steps.
pub fn drive_or_crash<S: Steps>(world: &mut World, operation: S) -> Result<Outcome<S::Output>, Crashed> {
    let mut worker = Worker::new(operation);
    worker.run_until(world, |_| false);
    worker.outcome().ok_or(Crashed)
}

/// A worker process with one operation: it holds the pending effect or its reply, so that a test decides when either
/// takes place. Sleeps are never ended early by a watched key.
#[derive(Debug)]
pub struct Worker<S: Steps> {
    operation: Option<S>,
    hand: Hand,
    outcome: Option<Outcome<S::Output>>,
    steps: u32,
    ahead_ms: i64,
}

#[derive(Debug)]
enum Hand {
    Empty,
    /// Received at this time of the monotonic clock.
    Effect(Effect, u64),
    Reply(Reply),
}

impl<S: Steps> Worker<S> {
    /// A worker that has not begun.
    pub fn new(operation: S) -> Self {
        Self {
            operation: Some(operation),
            hand: Hand::Reply(Reply::Start),
            outcome: None,
            steps: 0,
            ahead_ms: 0,
        }
    }

    /// The same with a clock that is so many milliseconds ahead of the world's (or behind).
    #[must_use]
    pub fn with_clock_ahead(mut self, ms: i64) -> Self {
        self.ahead_ms = ms;
        self
    }

    /// The effect that waits to be carried out.
    pub fn pending(&self) -> Option<&Effect> {
        match &self.hand {
            Hand::Effect(effect, _) => Some(effect),
            Hand::Empty | Hand::Reply(_) => None,
        }
    }

    /// Goes on until such an effect waits to be carried out. `false`: the operation has ended before.
    ///
    /// # Panics
    /// More than 200 steps.
    pub fn run_until(&mut self, world: &mut World, stop: impl Fn(&Effect) -> bool) -> bool {
        while !self.is_done() {
            if self.pending().is_some_and(&stop) {
                return true;
            }
            self.half_step(world);
        }
        false
    }

    /// Goes on to the end.
    ///
    /// # Panics
    /// It crashes, or takes more than 200 steps.
    pub fn finish(mut self, world: &mut World) -> Outcome<S::Output> {
        self.run_until(world, |_| false);
        self.outcome().expect("the worker has crashed")
    }

    /// The outcome, once. `None`: not ended, crashed, or taken before.
    pub fn outcome(&mut self) -> Option<Outcome<S::Output>> {
        self.outcome.take()
    }

    /// The process dies: the operation is lost, what it holds is never carried out or heard of.
    pub fn crash(&mut self) {
        self.operation = None;
        self.hand = Hand::Empty;
    }

    /// Carries out the pending effect, if any, and keeps the reply.
    pub fn perform(&mut self, world: &mut World) {
        match std::mem::replace(&mut self.hand, Hand::Empty) {
            Hand::Effect(effect, since) => match world.perform(effect, world.elapsed_ms() - since) {
                Ok(reply) => self.hand = Hand::Reply(reply),
                Err(Crashed) => self.crash(),
            },
            other => self.hand = other,
        }
    }

    /// Steps the operation with the reply that is kept, if any.
    ///
    /// # Panics
    /// More than 200 steps, or the operation takes a right reply for a wrong one.
    pub fn deliver(&mut self, world: &mut World) {
        let Some(operation) = &mut self.operation else { return };
        match std::mem::replace(&mut self.hand, Hand::Empty) {
            Hand::Reply(reply) => {
                self.steps += 1;
                assert!(self.steps <= STEPS_MAX, "the operation does not end");
                let now = UnixMillis(world.now().0.saturating_add_signed(self.ahead_ms));
                match operation.step(&world.moment_at(now), reply).expect("a right reply") {
                    Step::Perform(effect) => self.hand = Hand::Effect(effect, world.elapsed_ms()),
                    Step::Done(outcome) => {
                        self.operation = None;
                        self.outcome = Some(outcome);
                    }
                }
            }
            other => self.hand = other,
        }
    }
}

/// A worker whatever its operation, for [`interleave`].
pub trait Stepper {
    /// Whether the operation has ended or crashed.
    fn is_done(&self) -> bool;

    /// Carries out the pending effect and steps to the next.
    fn advance(&mut self, world: &mut World);

    /// Either carries out the pending effect, or steps with its reply.
    fn half_step(&mut self, world: &mut World);

    /// If it sleeps: until when, by [`World::elapsed_ms`].
    fn sleeps_until(&self) -> Option<u64>;
}

impl<S: Steps> Stepper for Worker<S> {
    fn is_done(&self) -> bool {
        self.operation.is_none()
    }

    fn advance(&mut self, world: &mut World) {
        self.perform(world);
        self.deliver(world);
    }

    fn half_step(&mut self, world: &mut World) {
        match self.hand {
            Hand::Effect(..) => self.perform(world),
            Hand::Reply(_) => self.deliver(world),
            Hand::Empty => {}
        }
    }

    fn sleeps_until(&self) -> Option<u64> {
        match &self.hand {
            Hand::Effect(Effect::Sleep { for_ms, .. }, since) => Some(since.saturating_add(*for_ms)),
            _ => None,
        }
    }
}

/// Who is next.
#[derive(Clone, Copy, Debug)]
pub enum Schedule<'a> {
    /// The workers by their place, a whole step each: who sleeps and is named wakes, and that time passes for all.
    /// Afterwards, and for workers that have ended, the first that is awake.
    Listed(&'a [usize]),
    /// Drawn from the world's seed, in half steps, among those awake.
    Random,
}

/// Runs workers against each other until all have ended. When all sleep, time moves to the first that wakes.
///
/// # Panics
/// One of them takes more than 200 steps, or a place in the list is no worker's.
pub fn interleave(world: &mut World, workers: &mut [&mut dyn Stepper], schedule: Schedule<'_>) {
    let mut list = match schedule {
        Schedule::Listed(list) => list.iter().copied(),
        Schedule::Random => [].iter().copied(),
    };
    loop {
        if let Some(place) = list.next() {
            workers[place].advance(world);
            continue;
        }
        let unfinished: Vec<usize> = (0..workers.len()).filter(|at| !workers[*at].is_done()).collect();
        let wakes = |at: &usize| workers[*at].sleeps_until().unwrap_or(0).max(world.elapsed_ms());
        let Some(earliest) = unfinished.iter().map(wakes).min() else { return };
        let ready: Vec<usize> = unfinished.into_iter().filter(|at| wakes(at) == earliest).collect();
        world.advance(earliest - world.elapsed_ms());
        match schedule {
            Schedule::Listed(_) => workers[ready[0]].advance(world),
            Schedule::Random => workers[ready[world.below(ready.len())]].half_step(world),
        }
    }
}

/// Whether the effect is a POST to a URL that contains `url_part`, for [`Worker::run_until`].
pub fn posts_to(url_part: &str) -> impl Fn(&Effect) -> bool {
    move |effect| matches!(effect, Effect::Http(r) if r.method.as_str() == "POST" && r.url.contains(url_part))
}

/// Whether the effect is a commit, for [`Worker::run_until`].
pub fn is_commit(effect: &Effect) -> bool {
    matches!(effect, Effect::Commit { .. })
}

/// LIMIT: the longest operations take about a fifth of this.
const STEPS_MAX: u32 = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use grantway_core::operation::{
        Action, CommitReply, Header, HttpReply, HttpRequest, Method, NotSent, Precondition, Write,
    };
    use grantway_core::secret::{Secret, SecretBytes};
    use grantway_core::store::Key;

    /// Asks for its effects one by one; the output is what came back and when.
    struct Script {
        effects: Vec<Effect>,
        log: Vec<(u64, String)>,
    }

    impl Steps for Script {
        type Output = Vec<(u64, String)>;

        fn step(&mut self, moment: &Moment, reply: Reply) -> Result<Step<Self::Output>, Misuse> {
            self.log.push((moment.now.0, format!("{reply:?}")));
            if self.effects.is_empty() {
                let result = Ok(std::mem::take(&mut self.log));
                return Ok(Step::Done(Outcome { result, events: Vec::new() }));
            }
            Ok(Step::Perform(self.effects.remove(0)))
        }
    }

    fn script(effects: Vec<Effect>) -> Script {
        Script { effects, log: Vec::new() }
    }

    fn put(value: u8) -> Effect {
        let key = Key::from_bytes([1, b't', 2, 1]).unwrap();
        let action = Action::Put { value: vec![value], expires_at: None };
        Effect::Commit { writes: vec![Write { key, precondition: Precondition::Any, action }] }
    }

    fn sleep(for_ms: u64) -> Effect {
        Effect::Sleep { for_ms, watch: None }
    }

    fn post(start_within_ms: u64) -> Effect {
        Effect::Http(HttpRequest {
            method: Method::Post,
            url: "https://a.example/token".into(),
            headers: vec![Header { name: "Accept-Encoding".into(), value: Secret::new("identity") }],
            body: SecretBytes::default(),
            max_response_bytes: 10,
            timeout_ms: 10,
            start_within_ms,
            address_policy: grantway_core::address::AddressPolicy::Public,
        })
    }

    fn stored(world: &World) -> u8 {
        world.store.rows().values().next().unwrap().value[0]
    }

    #[test]
    fn sleep_moves_the_clock_and_nothing_else_does() {
        let mut world = World::new();
        let start = world.now().0;
        let log = drive(&mut world, script(vec![put(1), sleep(500), put(2)])).result.unwrap();
        let times: Vec<_> = log.iter().map(|(at, _)| at - start).collect();
        assert_eq!(times, [0, 0, 500, 500]);
        assert_eq!(log[3].1, format!("{:?}", Reply::Commit(CommitReply::Committed)));
    }

    #[test]
    fn a_crash_at_each_effect_keeps_what_was_carried_out() {
        let mut reached = Vec::new();
        for nth in 1.. {
            let mut world = World::new();
            world.crash_after(nth);
            let end = drive_or_crash(&mut world, script(vec![put(1), put(2), put(3)]));
            reached.push(stored(&world));
            if end.is_ok() {
                break;
            }
        }
        assert_eq!(reached, [1, 2, 3, 3]);
    }

    #[test]
    #[should_panic(expected = "does not end")]
    fn an_operation_without_end_is_found() {
        struct Endless;
        impl Steps for Endless {
            type Output = ();
            fn step(&mut self, _: &Moment, _: Reply) -> Result<Step<()>, Misuse> {
                Ok(Step::Perform(sleep(1)))
            }
        }
        drive(&mut World::new(), Endless);
    }

    #[test]
    fn a_list_decides_the_order_of_effects() {
        for (list, last) in [([0, 0, 1, 1], 2), ([1, 1, 0, 0], 1)] {
            let mut world = World::new();
            let (mut a, mut b) = (Worker::new(script(vec![put(1)])), Worker::new(script(vec![put(2)])));
            interleave(&mut world, &mut [&mut a, &mut b], Schedule::Listed(&list));
            assert_eq!(stored(&world), last);
            assert!(a.outcome().is_some() && b.outcome().is_some());
        }
    }

    #[test]
    fn who_sleeps_lets_the_others_go_first() {
        let mut world = World::new();
        let mut sleeper = Worker::new(script(vec![sleep(50), put(1)]));
        let mut other = Worker::new(script(vec![put(2), sleep(20), put(3)]));
        interleave(&mut world, &mut [&mut sleeper, &mut other], Schedule::Random);
        assert_eq!((stored(&world), world.elapsed_ms()), (1, 50));
    }

    #[test]
    fn random_schedules_differ_by_seed_and_only_by_seed() {
        let run = |seed| {
            let mut world = World::seeded(seed);
            let (mut a, mut b) = (Worker::new(script(vec![put(1)])), Worker::new(script(vec![put(2)])));
            interleave(&mut world, &mut [&mut a, &mut b], Schedule::Random);
            stored(&world)
        };
        assert_eq!(run(5), run(5));
        let all: std::collections::BTreeSet<_> = (0..20).map(run).collect();
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn a_worker_frozen_before_sending_is_too_late() {
        let mut world = World::new();
        let mut worker = Worker::new(script(vec![post(100)]));
        assert!(worker.run_until(&mut world, posts_to("/token")));
        world.advance(101);
        let log = worker.finish(&mut world).result.unwrap();
        assert_eq!(log[1].1, format!("{:?}", Reply::Http(HttpReply::NotSent(NotSent::TooLate))));
    }

    #[test]
    fn a_reply_may_be_held_and_clocks_may_differ() {
        let mut world = World::new();
        let start = world.now().0;
        let mut worker = Worker::new(script(vec![put(1)])).with_clock_ahead(-1_000);
        assert!(worker.run_until(&mut world, is_commit));
        worker.perform(&mut world);
        world.advance(7_000);
        worker.deliver(&mut world);
        let times: Vec<_> = worker.outcome().unwrap().result.unwrap().iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [start - 1_000, start + 6_000]);
    }
}
