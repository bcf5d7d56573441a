//! The share of an operation that is its records: what it opens and seals, opened and sealed again by themselves.

use std::sync::Arc;
use std::time::Duration;

use grantway_core::engine::Engine;
use grantway_core::moment::{Moment, UnixMillis};
use grantway_core::operation::Versioned;
use grantway_core::store::Key;
use grantway_core::store::seam::{AnyRecord, open_record, opened_bytes, seal_bytes};

use crate::measure::in_batches;

/// Records as they lie in a store.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    pub(crate) engine: Arc<Engine>,
    /// Those an operation opens; one that it opens twice stands here twice.
    pub(crate) opened: Vec<(Key, Versioned)>,
    /// Those it seals.
    pub(crate) sealed: Vec<(Key, Versioned)>,
    /// How often the tenant's name is sealed into a state, or read from one.
    pub(crate) locators: usize,
}

impl Records {
    /// The same and those of another operation.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.opened.extend(other.opened);
        self.sealed.extend(other.sealed);
        self.locators += other.locators;
        self
    }

    pub(crate) fn with_locators(self, locators: usize) -> Self {
        Self { locators, ..self }
    }

    /// The CPU time of the seals alone: the cipher, and the nonce it needs.
    pub(crate) fn seals(&self, times: u64) -> Duration {
        let engine = &self.engine;
        let plain = |(key, row): &(Key, Versioned)| {
            let (version, bytes) = opened_bytes(engine, key, &row.value).expect("it opens");
            (key.clone(), version, bytes)
        };
        let plain: Vec<_> = self.sealed.iter().map(plain).collect();
        let prepare = || (self.opened.clone(), plain.clone());
        in_batches(times, prepare, |(opened, plain)| {
            for (key, row) in &opened {
                std::hint::black_box(opened_bytes(engine, key, &row.value));
            }
            for (key, version, bytes) in &plain {
                std::hint::black_box(seal_bytes(engine, &moment(), key, *version, bytes));
            }
            self.locate();
        })
    }

    /// The CPU time of all of it: seals, and the JSON in them.
    pub(crate) fn all(&self, times: u64) -> Duration {
        let engine = &self.engine;
        let open = |(key, row): &(Key, Versioned)| open_record(engine, key, row).expect("it is a record");
        let prepare = || (self.opened.clone(), self.sealed.iter().map(open).collect::<Vec<AnyRecord>>());
        in_batches(times, prepare, |(opened, sealed)| {
            for record in &opened {
                std::hint::black_box(open(record));
            }
            for record in &sealed {
                std::hint::black_box(record.seal(engine, &moment()));
            }
            self.locate();
        })
    }

    fn locate(&self) {
        let purpose = Key::from_bytes("state").expect("it is a key");
        for _ in 0..self.locators {
            std::hint::black_box(seal_bytes(&self.engine, &moment(), &purpose, 0, b"acme"));
        }
    }
}

fn moment() -> Moment {
    Moment::new(UnixMillis(1), std::hint::black_box([7; 32]))
}
