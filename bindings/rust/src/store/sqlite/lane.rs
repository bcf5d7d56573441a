//! Threads that own a connection each and take jobs in turn, so that no transaction ever waits for a task to be polled.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

/// LIMIT: waiting in the queue and for the lock of another process takes no longer than this together, which leaves a second
/// of the engine's `store_timeout_ms` for the work itself.
pub(super) const PATIENCE: Duration = Duration::from_secs(4);

/// A queue of jobs and the connections that work on it. Dropped, it closes them once the queue is empty.
pub(super) struct Lane {
    jobs: Sender<Job>,
}

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Why a job has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undone {
    /// It was never begun.
    NotBegun,
    /// It may have been begun, and its thread is gone.
    Lost,
}

impl Lane {
    pub(super) fn start(name: &str, connections: Vec<Connection>) -> io::Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for mut connection in connections {
            let queue = Arc::clone(&queue);
            let work = move || {
                while let Some(job) = next(&queue) {
                    job(&mut connection);
                }
            };
            thread::Builder::new().name(name.to_owned()).spawn(work)?;
        }
        Ok(Self { jobs })
    }

    /// Runs `job` on one of the connections. If the future is dropped before the job's turn, the job is skipped.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> T + Send + 'static,
    ) -> Result<T, Undone> {
        let (answer, result) = oneshot::channel();
        let asked = Instant::now();
        let job = move |connection: &mut Connection| {
            if answer.is_closed() {
                return;
            }
            let left = PATIENCE.checked_sub(asked.elapsed());
            let ready = left.is_some_and(|left| connection.busy_timeout(left).is_ok());
            // A listener who has gone meanwhile does not matter: the job is whole.
            let _ = answer.send(if ready { Ok(job(connection)) } else { Err(Undone::NotBegun) });
        };
        self.jobs.send(Box::new(job)).map_err(|_| Undone::NotBegun)?;
        result.await.unwrap_or(Err(Undone::Lost))
    }
}

fn next(queue: &Mutex<Receiver<Job>>) -> Option<Job> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane() -> Lane {
        Lane::start("test", vec![Connection::open_in_memory().unwrap()]).unwrap()
    }

    #[tokio::test]
    async fn jobs_are_done_in_turn() {
        let lane = lane();
        let jobs = (0..10).map(|n| lane.run(move |_| n));
        for (n, job) in jobs.enumerate() {
            assert_eq!(job.await, Ok(n));
        }
    }

    #[tokio::test]
    async fn a_job_whose_thread_is_gone_is_lost_and_later_ones_are_not_begun() {
        let lane = lane();
        assert_eq!(lane.run(|_| -> () { panic!("as a bug in a driver may") }).await, Err(Undone::Lost));
        while lane.run(|_| ()).await == Err(Undone::Lost) {}
        assert_eq!(lane.run(|_| ()).await, Err(Undone::NotBegun));
    }

    #[tokio::test]
    async fn a_job_nobody_waits_for_any_more_is_skipped() {
        let lane = lane();
        let (open, gate) = channel::<()>();
        let held = lane.run(move |_| gate.recv().is_ok());
        let (begun, was_begun) = channel();
        let dropped = lane.run(move |_| begun.send(()));
        let both = async { tokio::join!(held, dropped) };
        tokio::time::timeout(Duration::from_millis(50), both)
            .await
            .expect_err("the first job holds the lane");
        open.send(()).unwrap();
        assert_eq!(lane.run(|_| ()).await, Ok(()));
        was_begun.recv().expect_err("the second job was dropped before its turn");
    }
}
