//! A recorded operation that can be run again with nothing but the engine in it.
//!
//! The same arguments, moments and replies make an operation take the same steps, so the replies of one run serve all
//! others: neither the store nor the network is in what is measured. The kernel's clock and random source are, once for
//! each step, as a driver asks them.

use std::sync::Arc;
use std::time::Duration;

use grantway_core::engine::Engine;
use grantway_core::moment::{Moment, UnixMillis};
use grantway_core::operation::{
    Action, Effect, HttpReply, HttpResponse, Machine, Operation, ReadReply, Reply, Step, Versioned,
};
use grantway_core::store::{Key, Kind};

use crate::allocations;
use crate::floor::clock;
use crate::measure::in_batches;
use crate::memory::Memory;
use crate::records::Records;

/// An operation with its arguments, and everything it was told.
#[derive(Debug)]
pub(crate) struct Script<A, M: Machine> {
    engine: Arc<Engine>,
    arguments: A,
    begin: fn(&Arc<Engine>, A) -> Operation<M>,
    told: Vec<Told>,
    /// Steps at the beginning that are not measured.
    skipped: usize,
    /// With the step that opens it.
    opened: Vec<(usize, Key, Versioned)>,
    /// With the step that seals it.
    sealed: Vec<(usize, Key, Versioned)>,
}

#[derive(Debug)]
struct Told {
    now: UnixMillis,
    entropy: [u8; 32],
    reply: Reply,
}

impl<A: Clone, M: Machine> Script<A, M> {
    /// Runs the operation in a host and writes down what it is told.
    pub(crate) fn record(
        engine: &Arc<Engine>,
        memory: &mut Memory,
        arguments: A,
        begin: fn(&Arc<Engine>, A) -> Operation<M>,
    ) -> (Self, M::Output) {
        let mut script = Self {
            engine: Arc::clone(engine),
            arguments: arguments.clone(),
            begin,
            told: Vec::new(),
            skipped: 0,
            opened: Vec::new(),
            sealed: Vec::new(),
        };
        let mut operation = begin(engine, arguments);
        let mut reply = Reply::Start;
        loop {
            let mut entropy = [0; 32];
            getrandom::fill(&mut entropy).expect("the kernel has random numbers");
            let now = memory.now;
            script.told.push(Told { now, entropy, reply: again(&reply) });
            match operation.step(&Moment::new(now, entropy), reply).expect("the reply fits") {
                Step::Perform(effect) => reply = script.perform(memory, effect),
                Step::Done(outcome) => return (script, outcome.result.expect("the operation succeeds")),
            }
        }
    }

    /// The same, of which only the last steps are measured.
    pub(crate) fn last(mut self, steps: usize) -> Self {
        self.skipped = self.told.len() - steps;
        self
    }

    /// The same, knowing that the last record of a kind that is read is looked at for its version only.
    pub(crate) fn with_last_unopened(mut self, kind: Kind) -> Self {
        let is_of_kind = |(_, key, _): &(usize, Key, Versioned)| kind_of(key) == Some(kind as u8);
        let last = self.opened.iter().rposition(is_of_kind).expect("such a record is read");
        self.opened.remove(last);
        self
    }

    /// The records that the measured steps open and seal.
    pub(crate) fn records(&self) -> Records {
        let of = |list: &[(usize, Key, Versioned)]| {
            let measured = list.iter().filter(|(step, ..)| *step >= self.skipped);
            measured.map(|(_, key, value)| (key.clone(), value.clone())).collect()
        };
        Records {
            engine: Arc::clone(&self.engine),
            opened: of(&self.opened),
            sealed: of(&self.sealed),
            locators: 0,
        }
    }

    /// The CPU time of this many runs.
    pub(crate) fn run(&self, times: u64) -> Duration {
        in_batches(times, || self.prepare(), finish)
    }

    /// How often a run allocates.
    pub(crate) fn allocations(&self) -> u64 {
        let prepared = self.prepare();
        allocations::count(|| finish(prepared)).0
    }

    fn prepare(&self) -> (Operation<M>, Vec<Told>) {
        let mut operation = (self.begin)(&self.engine, self.arguments.clone());
        let (before, measured) = self.told.split_at(self.skipped);
        for told in before {
            let moment = Moment::new(told.now, told.entropy);
            let step = operation.step(&moment, again(&told.reply));
            assert!(matches!(step, Ok(Step::Perform(_))), "the operation ends early");
        }
        let told = measured.iter().map(|told| Told { reply: again(&told.reply), ..*told });
        (operation, told.collect())
    }

    fn perform(&mut self, memory: &mut Memory, effect: Effect) -> Reply {
        let next = self.told.len();
        if let Effect::Read { keys } = &effect {
            let found =
                keys.iter().filter_map(|key| Some((next, key.clone(), memory.rows.get(key)?.clone())));
            self.opened.extend(found);
        }
        let written: Vec<Key> = match &effect {
            Effect::Commit { writes } => writes
                .iter()
                .filter(|write| matches!(&write.action, Action::Put { value, .. } if !value.is_empty()))
                .map(|write| write.key.clone())
                .collect(),
            _ => Vec::new(),
        };
        let reply = memory.perform(effect);
        self.sealed.extend(written.into_iter().map(|key| {
            let row = memory.rows[&key].clone();
            (next - 1, key, row)
        }));
        reply
    }
}

fn finish<M: Machine>((mut operation, told): (Operation<M>, Vec<Told>)) -> M::Output {
    for told in told {
        let mut entropy = [0; 32];
        getrandom::fill(&mut entropy).expect("the kernel has random numbers");
        std::hint::black_box((clock(), entropy));
        let moment = Moment::new(told.now, told.entropy);
        match operation.step(&moment, told.reply).expect("the reply fits") {
            Step::Perform(effect) => drop(std::hint::black_box(effect)),
            Step::Done(outcome) => return outcome.result.expect("the operation succeeds"),
        }
    }
    panic!("the operation does not end as it did")
}

fn again(reply: &Reply) -> Reply {
    match reply {
        Reply::Start => Reply::Start,
        Reply::Commit(reply) => Reply::Commit(*reply),
        Reply::Http(HttpReply::Response(response)) => Reply::Http(HttpReply::Response(HttpResponse {
            status: response.status,
            headers: response.headers.clone(),
            body: response.body.clone(),
            truncated: response.truncated,
            peer: response.peer,
        })),
        Reply::Read(ReadReply::Found(records)) => Reply::Read(ReadReply::Found(records.clone())),
        other => panic!("no bench has {other:?}"),
    }
}

/// The byte behind the tenant.
fn kind_of(key: &Key) -> Option<u8> {
    key.as_bytes().get(key.tenant()?.len() + 1).copied()
}
