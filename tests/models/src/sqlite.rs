//! The real SQLite store, for replays.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use grantway::store::{Sqlite, Store};
use grantway_core::operation::{CommitReply, ReadReply, Versioned, Write};
use grantway_core::store::Key;

use crate::rows::Rows;

/// Rows in a file of their own.
#[derive(Debug)]
pub(crate) struct File {
    store: Sqlite,
    _directory: tempfile::TempDir,
}

impl File {
    /// A new database in a temporary directory, removed with it.
    pub(crate) fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let directory = tempfile::tempdir()?;
        let store = Sqlite::open(directory.path().join("model.db"))?;
        Ok(Self { store, _directory: directory })
    }
}

impl Rows for File {
    fn read(&self, keys: &[Key]) -> Vec<Option<Versioned>> {
        match block_on(self.store.read(keys)) {
            ReadReply::Found(found) => found,
            ReadReply::Unavailable => panic!("the SQLite store is unavailable"),
        }
    }

    fn commit(&mut self, writes: &[Write]) -> CommitReply {
        let reply = block_on(self.store.commit(writes.to_vec()));
        assert!(
            matches!(reply, CommitReply::Committed | CommitReply::Conflict),
            "the SQLite store answered {reply:?}"
        );
        reply
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
