//! The loop that carries an operation to its outcome.

mod environment;
mod identity;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use environment::{Environment, System};
use grantway_core::error::{Code, Failure};
use grantway_core::limits::Limits;
use grantway_core::moment::Moment;
use grantway_core::operation::{
    Action, CommitReply, Effect, IdentityReply, Machine, Misuse, Operation, Outcome, ReadReply, Reply,
    ScanReply, Step, Whom, Write,
};
use grantway_core::principal::TenantId;
use grantway_core::store::Key;
pub use identity::{Identified, Identity};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep, timeout};

use crate::store::Store;
use crate::transport::Transport;

/// LIMIT: commits a sleeper may fall behind by; it may then miss the one it waits for and sleeps its time out.
const COMMITS_REMEMBERED: usize = 64;

/// Carries an operation to its outcome: one effect at a time, each as asked for.
///
/// Dropping the future drops the operation. No record is lost by that; a later operation goes on from what was committed.
pub async fn drive<M: Machine>(mut operation: Operation<M>, host: &Host) -> Outcome<M::Output> {
    let mut reply = Reply::Start;
    loop {
        let step = operation.step(&host.moment(), reply);
        match step {
            Ok(Step::Perform(effect)) => reply = host.perform(effect).await,
            Ok(Step::Done(outcome)) => return outcome,
            Err(misuse) => {
                let failure = Failure::new(Code::Internal).because(reason(misuse));
                return Outcome { result: Err(failure), events: operation.abandon() };
            }
        }
    }
}

fn reason(misuse: Misuse) -> &'static str {
    match misuse {
        Misuse::NoEntropy => "the random source has failed",
        // Replies of the right kind are made below, so that a store has given the wrong number or order of records.
        Misuse::UnexpectedReply { .. } => "the store gave other records than it was asked for",
        _ => "the driver took a step too many",
    }
}

/// LIMIT: how long an [`Identity`] may take; later than that nobody waits for its answer, which is `unavailable` then.
const IDENTITY_TIMEOUT: Duration = Duration::from_secs(10);

/// What operations may use: a store, a transport, time and randomness, and who people are. One for each process and store.
pub struct Host {
    store: Arc<dyn Store>,
    transport: Arc<dyn Transport>,
    environment: Arc<dyn Environment>,
    identity: Option<Arc<dyn Identity>>,
    commits: broadcast::Sender<Key>,
    store_timeout: Duration,
}

impl Host {
    /// A host with the clock and the random source of the operating system.
    pub fn new(store: Arc<dyn Store>, transport: Arc<dyn Transport>) -> Self {
        let (commits, _) = broadcast::channel(COMMITS_REMEMBERED);
        let store_timeout = Duration::from_millis(Limits::default().store_timeout_ms);
        Self { store, transport, environment: Arc::new(System), identity: None, commits, store_timeout }
    }

    /// The same host with another time for store calls: that of the engine's `store_timeout_ms`. Default 5 s. A commit without an
    /// answer by then is `unknown`.
    #[must_use]
    pub fn with_store_timeout(mut self, store_timeout: Duration) -> Self {
        self.store_timeout = store_timeout;
        self
    }

    /// The same host with another clock and random source.
    #[must_use]
    pub fn with_environment(mut self, environment: Arc<dyn Environment>) -> Self {
        self.environment = environment;
        self
    }

    /// The same host with somebody who knows who people are, as a gateway needs it. Without, whoever has to be identified waits: the answer
    /// is `unavailable`, after five minutes of a sign-in for every request.
    #[must_use]
    pub fn with_identity(mut self, identity: Arc<dyn Identity>) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The time, and fresh entropy.
    pub fn moment(&self) -> Moment {
        self.environment.moment()
    }

    /// Carries out one effect, for those who step an operation themselves.
    pub async fn perform(&self, effect: Effect) -> Reply {
        match effect {
            Effect::Commit { writes } => Reply::Commit(self.commit(writes).await),
            Effect::Http(request) => Reply::Http(self.transport.exchange(request).await),
            Effect::Identify { tenant, whom } => Reply::Identity(self.identify(&tenant, &whom).await),
            Effect::Read { keys } => {
                let read = timeout(self.store_timeout, self.store.read(&keys)).await;
                Reply::Read(read.unwrap_or(ReadReply::Unavailable))
            }
            Effect::Scan { prefix, after, limit } => {
                let scan = timeout(self.store_timeout, self.store.scan(&prefix, after.as_ref(), limit)).await;
                Reply::Scan(scan.unwrap_or(ScanReply::Unavailable))
            }
            Effect::Sleep { for_ms, watch } => {
                let begun = Instant::now();
                let time = sleep(Duration::from_millis(for_ms));
                match watch {
                    None => time.await,
                    Some(key) => tokio::select! {
                        () = time => {}
                        () = self.committed(&key) => {}
                    },
                }
                Reply::Woke { after_ms: millis(begun.elapsed()) }
            }
        }
    }

    async fn identify(&self, tenant: &TenantId, whom: &Whom) -> IdentityReply {
        let Some(identity) = &self.identity else { return IdentityReply::Unavailable };
        let asked = match whom {
            Whom::Key(key) => identity.by_key(tenant, key),
            Whom::Principal(principal) => identity.by_principal(tenant, principal),
        };
        match timeout(IDENTITY_TIMEOUT, asked).await {
            Ok(Identified::Caller(caller)) => IdentityReply::Caller(Box::new(caller)),
            Ok(Identified::Rejected) => IdentityReply::Rejected,
            Ok(Identified::Unavailable) | Err(_) => IdentityReply::Unavailable,
        }
    }

    async fn commit(&self, writes: Vec<Write>) -> CommitReply {
        let changed = writes.iter().filter(|write| !matches!(write.action, Action::Keep));
        let changed: Vec<Key> = changed.map(|write| write.key.clone()).collect();
        // Leases are computed from the store's time: later than that nobody waits for its answer.
        let commit = timeout(self.store_timeout, self.store.commit(writes)).await;
        let reply = commit.unwrap_or(CommitReply::Unknown);
        if reply == CommitReply::Committed {
            for key in changed {
                // An error says that nobody sleeps.
                let _ = self.commits.send(key);
            }
        }
        reply
    }

    /// Waits until this host has committed a change of the record.
    async fn committed(&self, watched: &Key) {
        let mut commits = self.commits.subscribe();
        loop {
            match commits.recv().await {
                Ok(key) if key == *watched => return,
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use grantway_core::operation::{HttpReply, HttpRequest, NotSent, Precondition};

    use super::*;
    use crate::store::Memory;
    use crate::transport::BoxFuture;

    struct Nowhere;

    impl Transport for Nowhere {
        fn exchange(&self, _: HttpRequest) -> BoxFuture<'_, HttpReply> {
            Box::pin(async { HttpReply::NotSent(NotSent::Unreachable) })
        }
    }

    fn host() -> Host {
        Host::new(Arc::new(Memory::default()), Arc::new(Nowhere))
    }

    fn key(name: &str) -> Key {
        Key::from_bytes(format!("\u{1}t{name}")).unwrap()
    }

    async fn put(host: &Host, name: &str, precondition: Precondition) -> CommitReply {
        let action = Action::Put { value: Vec::new(), expires_at: None };
        let writes = vec![Write { key: key(name), precondition, action }];
        match host.perform(Effect::Commit { writes }).await {
            Reply::Commit(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleep_takes_its_time() {
        let slept = host().perform(Effect::Sleep { for_ms: 700, watch: None }).await;
        assert!(matches!(slept, Reply::Woke { after_ms: 700..720 }), "{slept:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_of_the_watched_key_ends_the_sleep() {
        let host = host();
        let begun = Instant::now();
        let slept = host.perform(Effect::Sleep { for_ms: 60_000, watch: Some(key("a")) });
        let committed = async { put(&host, "a", Precondition::Any).await };
        let (slept, committed) = tokio::join!(slept, committed);
        assert!(matches!(slept, Reply::Woke { after_ms: ..60_000 }), "{slept:?}");
        assert_eq!(committed, CommitReply::Committed);
        assert!(begun.elapsed() < Duration::from_millis(60_000));
    }

    #[tokio::test(start_paused = true)]
    async fn other_commits_and_conflicts_leave_a_sleeper_asleep() {
        let host = host();
        assert_eq!(put(&host, "a", Precondition::Any).await, CommitReply::Committed);
        let slept = host.perform(Effect::Sleep { for_ms: 60_000, watch: Some(key("a")) });
        let noise = async {
            for _ in 0..2 * COMMITS_REMEMBERED {
                put(&host, "b", Precondition::Any).await;
            }
            assert_eq!(put(&host, "a", Precondition::Absent).await, CommitReply::Conflict);
            std::future::pending::<()>().await;
        };
        let quiet = timeout(Duration::from_millis(59_000), async {
            tokio::select! { _ = slept => {}, () = noise => {} }
        });
        assert!(quiet.await.is_err());
    }
}
