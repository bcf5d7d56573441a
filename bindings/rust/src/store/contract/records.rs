//! S1 to S7: what a commit does and what a read shows.

use grantway_core::operation::{CommitReply, Precondition, Version, Write};
use grantway_core::store::{KEY_MAX_BYTES, Key};

use super::super::{COMMIT_MAX_WRITES, Store, VALUE_MAX_BYTES};
use super::{commit, conflict, delete, get, keep, key, key_of, list, put, read, value, version};

/// S1: bytes come back as they were put, in values and in keys.
pub async fn values_and_keys_come_back_as_they_were<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let all_bytes: Vec<u8> = (0..=u8::MAX).collect();
    let values = [
        Vec::new(),
        all_bytes.clone(),
        b"\xC3\x28\0\r\n".to_vec(),
        all_bytes.iter().copied().cycle().take(VALUE_MAX_BYTES).collect(),
    ];
    for bytes in values {
        commit(&store, vec![put(&key("value"), Precondition::Any, bytes.clone())]).await;
        assert!(value(&store, &key("value")).await.as_ref() == Some(&bytes), "{} bytes differ", bytes.len());
    }

    let longest = vec![0xAB; KEY_MAX_BYTES - 2];
    let tails: [&[u8]; 16] = [
        b"",
        b"\0",
        b"\0\0",
        b"\xFF",
        b"\xFF\xFF",
        b"{}",
        b"{t}",
        b"\r\n",
        b"%",
        b"%00",
        b"_",
        b"'\"`",
        b"\\",
        b"\xC3\x28",
        b"A",
        &longest,
    ];
    let mut keys: Vec<Key> = tails.iter().map(key).collect();
    commit(&store, keys.iter().map(|key| put(key, Precondition::Any, key.as_bytes())).collect()).await;
    // A is not a, nor any other byte another.
    assert_eq!(get(&store, &key("a")).await, None);
    for (key, record) in keys.iter().zip(read(&store, &keys).await) {
        assert_eq!(record.map(|record| record.value).as_deref(), Some(key.as_bytes()), "{key:?}");
    }
    keys.push(key("value"));
    keys.sort();
    let listed: Vec<Key> = list(&store, &key("")).await.into_iter().map(|(key, _)| key).collect();
    assert_eq!(listed, keys);

    for tenant in ["{a}", "}{", "a:b", "\0", "é"] {
        let key = key_of(tenant, "x");
        commit(&store, vec![put(&key, Precondition::Absent, tenant)]).await;
        assert_eq!(value(&store, &key).await.as_deref(), Some(tenant.as_bytes()));
    }
}

/// S2: `absent` holds once, and a refused put leaves what is there.
pub async fn absent_holds_only_for_what_is_missing<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let a = key("a");
    commit(&store, vec![put(&a, Precondition::Absent, "first")]).await;
    let before = get(&store, &a).await;
    conflict(&store, vec![put(&a, Precondition::Absent, "second")]).await;
    assert_eq!(get(&store, &a).await, before);
    commit(&store, vec![delete(&a, Precondition::Any)]).await;
    commit(&store, vec![put(&a, Precondition::Absent, "third")]).await;
    assert_eq!(value(&store, &a).await.as_deref(), Some(b"third".as_slice()));
}

/// S2: `any` holds on missing and on existing records, for put and for delete.
pub async fn any_always_holds<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let a = key("a");
    commit(&store, vec![delete(&a, Precondition::Any)]).await;
    assert_eq!(get(&store, &a).await, None);
    commit(&store, vec![put(&a, Precondition::Any, "first")]).await;
    let first = version(&store, &a).await;
    commit(&store, vec![put(&a, Precondition::Any, "second")]).await;
    assert_eq!(value(&store, &a).await.as_deref(), Some(b"second".as_slice()));
    assert_ne!(version(&store, &a).await, first);
    commit(&store, vec![delete(&a, Precondition::Any)]).await;
    assert_eq!(get(&store, &a).await, None);
}

/// S3: `version(n)` holds for the current version only; a put changes it, a keep does not.
pub async fn version_holds_only_for_the_current_one<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let (a, missing) = (key("a"), key("missing"));
    let is = Precondition::Version;
    commit(&store, vec![put(&a, Precondition::Absent, "1")]).await;
    let first = version(&store, &a).await;
    commit(&store, vec![put(&a, is(first), "2")]).await;
    let second = version(&store, &a).await;
    assert_ne!(second, first);
    commit(&store, vec![keep(&a, second)]).await;
    assert_eq!(version(&store, &a).await, second);

    let wrong = [first, Version(second.0 + 1), Version(second.0 + 1_000_000), Version(0), Version(u64::MAX)];
    for version in wrong {
        for write in [put(&a, is(version), "3"), delete(&a, is(version)), keep(&a, version)] {
            conflict(&store, vec![write]).await;
        }
    }
    for write in [put(&missing, is(second), "3"), delete(&missing, is(second)), keep(&missing, second)] {
        conflict(&store, vec![write]).await;
    }
    assert_eq!(version(&store, &a).await, second);
    assert_eq!(get(&store, &missing).await, None);
    commit(&store, vec![delete(&a, is(second))]).await;
    assert_eq!(get(&store, &a).await, None);
}

/// S4: a version is never given to a key a second time, not even after deletion.
pub async fn a_version_never_comes_back<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let a = key("a");
    let mut seen = Vec::new();
    for _ in 0..10 {
        for _ in 0..2 {
            commit(&store, vec![put(&a, Precondition::Any, "same")]).await;
            seen.push(version(&store, &a).await);
        }
        commit(&store, vec![delete(&a, Precondition::Any)]).await;
    }
    commit(&store, vec![put(&a, Precondition::Absent, "same")]).await;
    for old in &seen {
        conflict(&store, vec![put(&a, Precondition::Version(*old), "other")]).await;
    }
    seen.push(version(&store, &a).await);
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

/// S5: where one precondition fails nothing has changed, versions included; where none does all has.
pub async fn a_commit_is_all_or_nothing<S: Store>(open: impl AsyncFn() -> S) {
    for size in [5, COMMIT_MAX_WRITES] {
        let store = open().await;
        let keys: Vec<Key> = (0..size).map(|n| key(format!("{n:03}"))).collect();
        let existing = keys.iter().enumerate().filter(|(n, _)| !is_missing(*n)).map(|(_, key)| key);
        commit(&store, existing.map(|key| put(key, Precondition::Absent, "old")).collect()).await;
        let before = list(&store, &key("")).await;

        for failing in [0, 1, 2, 3, size / 2, size - 1] {
            let mut writes = mixed(&store, &keys).await;
            // No record has this version, so it fails for what is missing as well.
            writes[failing].precondition = Precondition::Version(Version(u64::MAX - 1));
            conflict(&store, writes).await;
            assert_eq!(list(&store, &key("")).await, before, "write {failing} of {size} fails");
        }

        commit(&store, mixed(&store, &keys).await).await;
        for (n, record) in read(&store, &keys).await.into_iter().enumerate() {
            let old = before.iter().find(|(key, _)| *key == keys[n]).map(|(_, record)| record.clone());
            match n % 5 {
                2 => assert_eq!(record, old),
                3 => assert_eq!(record, None),
                _ => {
                    let record = record.expect("put");
                    assert_eq!(record.value, b"new");
                    assert_ne!(Some(record.version), old.map(|old| old.version));
                }
            }
        }
    }
}

/// In each five: put what is missing, put what is there, keep, delete, put what is missing.
async fn mixed(store: &impl Store, keys: &[Key]) -> Vec<Write> {
    let records = read(store, keys).await;
    let write = |(n, key): (usize, &Key)| match (n % 5, &records[n]) {
        (2, Some(record)) => keep(key, record.version),
        (3, Some(record)) => delete(key, Precondition::Version(record.version)),
        (_, Some(record)) => put(key, Precondition::Version(record.version), "new"),
        (_, None) => put(key, Precondition::Absent, "new"),
    };
    keys.iter().enumerate().map(write).collect()
}

const fn is_missing(n: usize) -> bool {
    matches!(n % 5, 0 | 4)
}

/// S6: the same commit does the same in any order.
pub async fn the_order_of_writes_does_not_matter<S: Store>(open: impl AsyncFn() -> S) {
    let keys = [key("a"), key("b"), key("c")];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let store = open().await;
        assert_eq!(store.commit(Vec::new()).await, CommitReply::Committed, "an empty commit succeeds");
        commit(&store, vec![put(&keys[1], Precondition::Absent, "old")]).await;
        let seen = version(&store, &keys[1]).await;
        let write = |n: usize| match n {
            0 => put(&keys[0], Precondition::Absent, "new"),
            1 => delete(&keys[1], Precondition::Version(seen)),
            _ => put(&keys[2], Precondition::Any, "new"),
        };
        commit(&store, order.into_iter().map(write).collect()).await;
        let there: Vec<bool> = read(&store, &keys).await.iter().map(Option::is_some).collect();
        assert_eq!(there, [true, false, true]);
    }
}

/// S6: what [`check`](crate::store::check) refuses is answered `Unavailable`, and nothing is written.
pub async fn a_malformed_commit_writes_nothing<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let (a, b) = (key("a"), key("b"));
    commit(&store, vec![put(&a, Precondition::Absent, "old")]).await;
    let before = list(&store, &key("")).await;
    let unconditional_keep = Write { precondition: Precondition::Any, ..keep(&a, Version(1)) };
    let malformed = [
        vec![
            put(&b, Precondition::Any, "1"),
            put(&a, Precondition::Any, "1"),
            put(&a, Precondition::Any, "2"),
        ],
        vec![put(&a, Precondition::Any, "1"), delete(&a, Precondition::Any)],
        vec![put(&b, Precondition::Any, "1"), put(&key_of("u", "a"), Precondition::Any, "1")],
        vec![put(&b, Precondition::Any, "1"), unconditional_keep],
        vec![put(&a, Precondition::Any, "1"), delete(&b, Precondition::Absent)],
        vec![put(&b, Precondition::Any, vec![0; VALUE_MAX_BYTES + 1])],
        (0..=COMMIT_MAX_WRITES).map(|n| put(&key(n.to_string()), Precondition::Any, "1")).collect(),
    ];
    for writes in malformed {
        assert_eq!(store.commit(writes).await, CommitReply::Unavailable);
        assert_eq!(list(&store, &key("")).await, before);
        assert_eq!(list(&store, &key_of("u", "")).await, []);
    }
}

/// S7: a read has one entry for each key, in the order of the question, for what is absent and what is asked twice too.
pub async fn a_read_answers_in_the_order_of_the_question<S: Store>(open: impl AsyncFn() -> S) {
    let store = open().await;
    let (a, b, missing) = (key("a"), key("b"), key("missing"));
    commit(&store, vec![put(&a, Precondition::Any, "a"), put(&b, Precondition::Any, "b")]).await;
    let question = [&b, &missing, &a, &b, &missing, &b].map(Key::clone);
    let values: Vec<_> =
        read(&store, &question).await.into_iter().map(|record| record.map(|record| record.value)).collect();
    let (a, b) = (Some(b"a".to_vec()), Some(b"b".to_vec()));
    assert_eq!(values, [b.clone(), None, a, b.clone(), None, b]);
    assert_eq!(read(&store, &[]).await, []);

    let many: Vec<Key> = (0..300).map(|n| key(format!("many {n}"))).collect();
    assert_eq!(read(&store, &many).await, vec![None; 300]);
}
