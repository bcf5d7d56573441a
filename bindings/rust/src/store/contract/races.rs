//! S7, S12 to S14 and S17: many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use grantway_core::operation::{CommitReply, Precondition};
use grantway_core::store::Key;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};

use super::super::Store;
use super::{Random, THREADS, commit, get, key, number, put, read, value};

/// LIMIT: the engine's default `store_timeout_ms`; its leases are computed from it.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// S7: a read of a pair that is always written together never sees one half old and one new.
pub async fn a_read_sees_one_state<S: Store>(open: impl AsyncFn() -> S) {
    let store = Arc::new(open().await);
    let pair = [key("a"), key("b")];
    put_pair(&*store, &pair, 0).await;
    let written = Arc::new(AtomicI64::new(0));
    let mut readers = JoinSet::new();
    for _ in 0..THREADS / 2 {
        let (store, written, pair) = (Arc::clone(&store), Arc::clone(&written), pair.clone());
        readers.spawn(async move {
            let mut seen = 0;
            // Both sides do enough to meet, whichever is the faster one.
            while seen < 100 || written.load(Ordering::Relaxed) < 100 {
                let records = read(&*store, &pair).await;
                assert_eq!(number(&records[0]), number(&records[1]), "a read sees a mix");
                seen += 1;
                yield_now().await;
            }
        });
    }
    let mut n = 0;
    while !readers.is_empty() {
        n += 1;
        put_pair(&*store, &pair, n).await;
        written.store(n, Ordering::Relaxed);
        while let Some(reader) = readers.try_join_next() {
            reader.expect("every reader ends well");
        }
    }
}

/// S12: of many that put one missing record, exactly one is told so.
pub async fn absent_has_one_winner<S: Store>(open: impl AsyncFn() -> S) {
    let store = Arc::new(open().await);
    let mut racers = JoinSet::new();
    for racer in 0..THREADS {
        let store = Arc::clone(&store);
        racers.spawn(async move {
            let mut won = Vec::new();
            for n in 0..100 {
                let write = put(&key(n.to_string()), Precondition::Absent, racer.to_string());
                match store.commit(vec![write]).await {
                    CommitReply::Committed => won.push((n, racer)),
                    CommitReply::Conflict => {}
                    reply => panic!("{reply:?} without a fault"),
                }
            }
            won
        });
    }
    let mut won = racers.join_all().await.concat();
    won.sort_unstable();
    assert!(won.iter().map(|(n, _)| *n).eq(0..100), "each key is won exactly once: {won:?}");
    for (n, racer) in won {
        assert_eq!(value(&*store, &key(n.to_string())).await, Some(racer.to_string().into_bytes()));
    }
}

/// S13: a counter raised by read and `version(n)` ends at the number of commits that were confirmed.
pub async fn a_counter_loses_no_update<S: Store>(open: impl AsyncFn() -> S) {
    let store = Arc::new(open().await);
    let counter = key("counter");
    commit(&*store, vec![put(&counter, Precondition::Absent, "0")]).await;
    let mut raisers = JoinSet::new();
    for _ in 0..THREADS {
        let (store, counter) = (Arc::clone(&store), counter.clone());
        raisers.spawn(async move {
            let mut committed = 0;
            for _ in 0..50 {
                let seen = get(&*store, &counter).await;
                // However fast the store, the others have their turn now.
                yield_now().await;
                let next = (number(&seen) + 1).to_string();
                let precondition = Precondition::Version(seen.expect("never deleted").version);
                match store.commit(vec![put(&counter, precondition, next)]).await {
                    CommitReply::Committed => committed += 1,
                    CommitReply::Conflict => {}
                    reply => panic!("{reply:?} without a fault"),
                }
            }
            committed
        });
    }
    let committed: i64 = raisers.join_all().await.into_iter().sum();
    assert!(committed > 0);
    assert_eq!(number(&get(&*store, &counter).await), committed);
}

/// S14: transfers between two records, named in both orders, keep their sum in every read and do not lock each other out.
pub async fn a_pair_keeps_its_sum<S: Store>(open: impl AsyncFn() -> S) {
    const SUM: i64 = 1_000;
    let store = Arc::new(open().await);
    let pair = [key("a"), key("b")];
    put_pair(&*store, &pair, SUM / 2).await;
    let mut transfers = JoinSet::new();
    for task in 0..THREADS {
        let (store, pair) = (Arc::clone(&store), pair.clone());
        transfers.spawn(async move {
            let mut done = 0;
            for amount in 0..30 {
                let seen = read(&*store, &pair).await;
                yield_now().await;
                let [a, b] = [number(&seen[0]), number(&seen[1])];
                assert_eq!(a + b, SUM);
                let version = |n: usize| Precondition::Version(seen[n].as_ref().expect("there").version);
                let mut writes = vec![
                    put(&pair[0], version(0), (a - amount).to_string()),
                    put(&pair[1], version(1), (b + amount).to_string()),
                ];
                if task % 2 == 0 {
                    writes.reverse();
                }
                match timeout(STORE_TIMEOUT, store.commit(writes)).await.expect("a commit ends in time") {
                    CommitReply::Committed => done += 1,
                    CommitReply::Conflict => {}
                    reply => panic!("{reply:?} without a fault"),
                }
            }
            done
        });
    }
    assert!(transfers.join_all().await.into_iter().sum::<i32>() > 0);
    let seen = read(&*store, &pair).await;
    assert_eq!(number(&seen[0]) + number(&seen[1]), SUM);
}

/// S17: however many write one record, each has its answer in time.
pub async fn many_writers_of_one_record_end_in_time<S: Store>(open: impl AsyncFn() -> S) {
    let store = Arc::new(open().await);
    let one = key("one");
    let mut writers = JoinSet::new();
    for n in 0..64 {
        let (store, one) = (Arc::clone(&store), one.clone());
        writers.spawn(async move {
            let mut writes = vec![put(&one, Precondition::Any, n.to_string())];
            writes.push(put(&key(format!("other {n}")), Precondition::Absent, vec![0; 64 * 1024]));
            timeout(STORE_TIMEOUT, store.commit(writes)).await.expect("a commit ends in time")
        });
    }
    let replies = writers.join_all().await;
    assert!(!replies.contains(&CommitReply::Conflict), "`any` and `absent` held: {replies:?}");
    commit(&*store, vec![put(&one, Precondition::Any, "last")]).await;
}

/// S17: a commit whose future is dropped has happened whole or not at all, and holds nobody up.
pub async fn a_dropped_commit_leaves_nothing_half_done<S: Store>(open: impl AsyncFn() -> S) {
    let store = Arc::new(open().await);
    let pair = [key("a"), key("b")];
    put_pair(&*store, &pair, 0).await;
    let mut random = Random::new();
    for n in 1..=100 {
        let task = tokio::spawn({
            let (store, pair) = (Arc::clone(&store), pair.clone());
            async move { put_pair(&*store, &pair, n).await }
        });
        sleep(Duration::from_micros(random.next() % 2_000)).await;
        task.abort();
        let records = timeout(STORE_TIMEOUT, read(&*store, &pair)).await.expect("a read ends in time");
        assert_eq!(number(&records[0]), number(&records[1]));
    }
    timeout(STORE_TIMEOUT, put_pair(&*store, &pair, -1)).await.expect("nothing is locked");
    assert_eq!(number(&get(&*store, &pair[1]).await), -1);
}

async fn put_pair(store: &impl Store, pair: &[Key; 2], n: i64) {
    let writes = pair.iter().map(|key| put(key, Precondition::Any, n.to_string()));
    commit(store, writes.collect()).await;
}
