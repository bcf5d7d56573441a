//! S10: records that may be deleted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use grantway_core::operation::{CommitReply, Precondition};
use grantway_core::store::Key;

use super::super::Store;
use super::{commit, get, key, list, put, put_until};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// S10: nothing is deleted until an hour after its `expires_at`, nor ever without one.
pub async fn expired_records_stay_for_an_hour<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let records = [
        (key("never"), None),
        (key("far away"), Some(u64::MAX)),
        (key("soon"), Some(now() + 1)),
        (key("past"), Some(before_now(MINUTE))),
        (key("long past"), Some(before_now(HOUR - MINUTE))),
    ];
    for (key, expires_at) in &records {
        commit(&store, vec![put_until(key, Precondition::Absent, "", *expires_at)]).await;
    }
    let others = put_some(&store).await;
    for (key, _) in &records {
        assert!(get(&store, key).await.is_some(), "{key:?} is gone");
        assert_eq!(
            store.commit(vec![put(key, Precondition::Absent, "")]).await,
            CommitReply::Conflict,
            "{key:?}"
        );
    }
    assert_eq!(list(&store, &key("")).await.len(), records.len() + others);
}

/// S10: whether an expired record is there, read, scan and `absent` agree.
pub async fn what_is_gone_is_gone_for_every_verb<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let expired: Vec<Key> = (0..20).map(|n| key(format!("expired {n}"))).collect();
    for key in &expired {
        let write = put_until(key, Precondition::Absent, "old", Some(before_now(24 * HOUR)));
        commit(&store, vec![write]).await;
    }
    put_some(&store).await;
    for key in &expired {
        let is_read = get(&store, key).await.is_some();
        let is_listed = list(&store, key).await.iter().any(|(found, _)| found == key);
        assert_eq!(is_read, is_listed, "{key:?}");
        let reply = store.commit(vec![put(key, Precondition::Absent, "new")]).await;
        assert_eq!(reply == CommitReply::Conflict, is_read, "{key:?}");
    }
}

/// S10: a record that was put again without `expires_at` stays.
pub async fn a_put_without_expiry_takes_the_earlier_one_away<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let (any, by_version) = (key("any"), key("by version"));
    // In a second and a half they may be deleted.
    let expires_at = before_now(HOUR) + 1_500;
    for key in [&any, &by_version] {
        commit(&store, vec![put_until(key, Precondition::Absent, "old", Some(expires_at))]).await;
    }
    let seen = get(&store, &by_version).await.expect("too early to be deleted").version;
    let again =
        vec![put(&any, Precondition::Any, "new"), put(&by_version, Precondition::Version(seen), "new")];
    commit(&store, again).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    put_some(&store).await;
    for key in [any, by_version] {
        assert!(get(&store, &key).await.is_some_and(|record| record.value == b"new"), "{key:?}");
    }
}

/// Commits that a store may take as an occasion to delete.
async fn put_some(store: &impl Store) -> usize {
    for n in 0..5 {
        commit(store, vec![put(&key(format!("other {n}")), Precondition::Any, "")]).await;
    }
    5
}

fn now() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970"))
}

fn before_now(age: Duration) -> u64 {
    now() - millis(age)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("in this age")
}
