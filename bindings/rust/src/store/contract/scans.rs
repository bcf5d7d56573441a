//! S8, S9 and S11: what a scan finds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use grantway_core::operation::{Precondition, Versioned};
use grantway_core::store::Key;
use tokio::task::yield_now;

use super::super::Store;
use super::{Random, commit, delete, key, key_of, list, list_by, page, put};

/// S8: a scan is in the order of bytes, whole, and within its prefix, whatever the limit.
pub async fn a_scan_goes_by_bytes<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let tails: [&[u8]; 12] =
        [b"", b"\0", b"\0\0", b"\0\x01", b"A", b"a", b"a\0", b"aa", b"\x7F", b"\x80", b"\xFF", b"\xFF\xFF"];
    let keys: Vec<Key> = tails.iter().map(key).collect();
    // Put backwards, so that the order found is not the order put.
    for key in keys.iter().rev() {
        commit(&store, vec![put(key, Precondition::Absent, key.as_bytes())]).await;
    }
    for limit in 1..=13 {
        assert_eq!(names(list_by(&store, &key(""), limit).await), keys, "in pages of {limit}");
    }
    assert_eq!(names(list(&store, &key("a")).await), [key("a"), key("a\0"), key("aa")]);
    assert_eq!(names(list(&store, &key(b"\xFF")).await), [key(b"\xFF"), key(b"\xFF\xFF")]);
    assert_eq!(list(&store, &key("none")).await, []);
    for (found, record) in list(&store, &key("")).await {
        assert_eq!(found.as_bytes(), record.value);
    }

    // A prefix of 0xFF bytes has no successor.
    let last = |tail: &[u8]| Key::from_bytes([&[0xFF; 256], tail].concat()).expect("under 1 KiB");
    let keys = [last(b""), last(b"\0"), last(b"\xFF"), last(&[0xFF; 768])];
    commit(&store, keys.iter().map(|key| put(key, Precondition::Any, "")).collect()).await;
    assert_eq!(names(list_by(&store, &last(b""), 1).await), keys);
    assert_eq!(names(list_by(&store, &last(b"\xFF"), 1).await), keys[2..]);
}

/// S8: a page ends exactly at its limit; a cursor may name what is deleted, and stand before or behind the prefix.
pub async fn a_scan_takes_any_cursor<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let keys: Vec<Key> = (0..6).map(|n| key(format!("b{n}"))).collect();
    let around = [key("a"), key("c")];
    let all = keys.iter().chain(&around);
    commit(&store, all.map(|key| put(key, Precondition::Absent, "")).collect()).await;

    let prefix = key("b");
    let (first, more) = page(&store, &prefix, None, 3).await;
    assert_eq!((names(first), more), (keys[..3].to_vec(), true));
    let (second, more) = page(&store, &prefix, Some(&keys[2]), 3).await;
    assert_eq!(names(second), keys[3..]);
    if more {
        assert_eq!(page(&store, &prefix, Some(&keys[5]), 3).await, (vec![], false));
    }
    let (rest, more) = page(&store, &prefix, Some(&keys[1]), 3).await;
    assert_eq!((names(rest), more), (keys[2..5].to_vec(), true));

    commit(&store, vec![delete(&keys[2], Precondition::Any)]).await;
    assert_eq!(names(page(&store, &prefix, Some(&keys[2]), 10).await.0), keys[3..]);
    assert_eq!(names(page(&store, &prefix, Some(&key("b2\0")), 10).await.0), keys[3..]);
    let five: Vec<Key> = keys.iter().filter(|key| **key != keys[2]).cloned().collect();
    for before in [key(""), key("a"), prefix.clone()] {
        assert_eq!(names(page(&store, &prefix, Some(&before), 10).await.0), five);
    }
    for behind in [keys[5].clone(), key("bz"), key("c"), key(b"\xFF")] {
        assert_eq!(page(&store, &prefix, Some(&behind), 10).await, (vec![], false));
    }
}

/// S9: records that come and go during a scan do not move the others.
pub async fn a_scan_finds_what_stays_exactly_once<S: Store>(open: impl AsyncFn() -> S) {
    let store = Arc::new(open().await);
    let stays: Vec<Key> = (0..90).step_by(3).map(|n| key(format!("{n:02}"))).collect();
    commit(&*store, stays.iter().map(|key| put(key, Precondition::Absent, "0")).collect()).await;

    let (done, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let writer = tokio::spawn({
        let (store, stays) = (Arc::clone(&store), stays.clone());
        let (done, rounds) = (Arc::clone(&done), Arc::clone(&rounds));
        async move {
            let mut random = Random::new();
            while !done.load(Ordering::Relaxed) {
                let comes = key(format!("{:02}", random.below(30) * 3 + 1));
                let goes = key(format!("{:02}", random.below(30) * 3 + 2));
                let moved = put(random.choose(&stays), Precondition::Any, "1");
                commit(&*store, vec![put(&comes, Precondition::Any, ""), moved]).await;
                commit(&*store, vec![put(&goes, Precondition::Any, ""), delete(&comes, Precondition::Any)])
                    .await;
                let both = [delete(&comes, Precondition::Any), delete(&goes, Precondition::Any)];
                commit(&*store, both.into()).await;
                rounds.fetch_add(1, Ordering::Relaxed);
                // Where no commit waits for anything, this is where the task ends if the test fails.
                yield_now().await;
            }
        }
    });
    let mut scans = 0;
    // Both sides do enough to meet, whichever is the faster one.
    while scans < 20 || rounds.load(Ordering::Relaxed) < 20 && !writer.is_finished() {
        scans += 1;
        let mut found = names(list_by(&*store, &key(""), 4).await);
        assert!(found.is_sorted_by(|a, b| a < b), "a key was found twice, or out of order");
        found.retain(|key| stays.contains(key));
        assert_eq!(found, stays);
    }
    done.store(true, Ordering::Relaxed);
    writer.await.expect("the writer ends well");
}

/// S11: the prefix of one tenant finds nothing of another whose name begins alike.
pub async fn tenants_are_apart<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let longest = "a".repeat(255);
    let tenants = ["a", "a\0b", "a\0", "aa", "A", "b", "é", "\0", longest.as_str()];
    for tenant in tenants {
        for tail in ["", "x", "a"] {
            commit(&store, vec![put(&key_of(tenant, tail), Precondition::Absent, tenant)]).await;
        }
    }
    for tenant in tenants {
        let found = list(&store, &key_of(tenant, "")).await;
        assert_eq!(found.len(), 3, "{tenant:?}");
        assert!(found.iter().all(|(_, record)| record.value == tenant.as_bytes()), "{tenant:?}");
    }
}

fn names(entries: Vec<(Key, Versioned)>) -> Vec<Key> {
    entries.into_iter().map(|(key, _)| key).collect()
}
