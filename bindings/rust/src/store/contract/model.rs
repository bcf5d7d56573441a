//! S19: the memory store as a model of any other.

use grantway_core::operation::{Precondition, Version, Versioned, Write};
use grantway_core::store::Key;

use super::super::{Memory, Store};
use super::{Random, delete, keep, key, list, page, put, read};

/// S19: random operations have the same answers as from the memory store; versions may differ, what they mean may not.
pub async fn random_operations_answer_as_in_memory<S: Store>(open: impl AsyncFn() -> S) {
    let mut world = World {
        random: Random::new(),
        keys: TAILS.iter().map(key).collect(),
        versions: Vec::new(),
        model: Memory::new(),
        store: open().await,
    };
    for _ in 0..1_000 {
        match world.random.below(4) {
            0 => world.read().await,
            1 => world.scan().await,
            _ => world.commit().await,
        }
    }
    let (model, store) = (list(&world.model, &key("")).await, list(&world.store, &key("")).await);
    assert!(model.into_iter().map(without_version).eq(store.into_iter().map(without_version)));
}

const TAILS: [&[u8]; 10] = [b"", b"\0", b"a", b"a\0", b"aa", b"ab", b"\x7F", b"\x80", b"\xFF", b"\xFF\xFF"];

struct World<S> {
    random: Random,
    keys: Vec<Key>,
    /// Every version ever seen, in the model and in the store.
    versions: Vec<(Key, [Version; 2])>,
    model: Memory,
    store: S,
}

impl<S: Store> World<S> {
    async fn read(&mut self) {
        let count = self.random.below(6);
        let keys: Vec<Key> = (0..count).map(|_| self.random.choose(&self.keys).clone()).collect();
        let (model, store) = (read(&self.model, &keys).await, read(&self.store, &keys).await);
        let value = |record: Option<Versioned>| record.map(|record| record.value);
        assert!(model.into_iter().map(value).eq(store.into_iter().map(value)), "read of {keys:?}");
    }

    async fn scan(&mut self) {
        let prefix = self.random.choose(&self.keys).clone();
        let after = (self.random.below(2) == 0).then(|| self.random.choose(&self.keys).clone());
        let limit = 1 + u32::try_from(self.random.below(6)).expect("small");
        let (model, more) = page(&self.model, &prefix, after.as_ref(), limit).await;
        let (store, may_have_more) = page(&self.store, &prefix, after.as_ref(), limit).await;
        assert!(
            model.into_iter().map(without_version).eq(store.into_iter().map(without_version)),
            "scan of {prefix:?} after {after:?}, at most {limit}"
        );
        assert!(may_have_more || !more, "scan of {prefix:?} after {after:?}, at most {limit}");
    }

    async fn commit(&mut self) {
        let count = self.random.below(4);
        let mut keys = self.keys.clone();
        let keys: Vec<Key> = (0..count).map(|_| keys.swap_remove(self.random.below(keys.len()))).collect();
        let (mut to_model, mut to_store) = (Vec::new(), Vec::new());
        for key in &keys {
            let [model, store] = self.write(key).await;
            to_model.push(model);
            to_store.push(store);
        }
        let order = format!("{to_store:?}");
        assert_eq!(self.store.commit(to_store).await, self.model.commit(to_model).await, "{order}");
        let (model, store) = (read(&self.model, &keys).await, read(&self.store, &keys).await);
        for (key, records) in keys.into_iter().zip(model.into_iter().zip(store)) {
            if let (Some(model), Some(store)) = records {
                self.versions.push((key, [model.version, store.version]));
            }
        }
    }

    /// A random write, for the model and for the store.
    async fn write(&mut self, key: &Key) -> [Write; 2] {
        let version = self.version(key).await;
        let value = self.random.next().to_be_bytes();
        let [precondition, action] = [self.random.below(5), self.random.below(4)];
        version.map(|version| {
            let precondition = match precondition {
                0 => Precondition::Absent,
                1 => Precondition::Any,
                _ => Precondition::Version(version),
            };
            match (action, precondition) {
                (0, Precondition::Any | Precondition::Version(_)) => delete(key, precondition),
                (1, Precondition::Version(_)) => keep(key, version),
                _ => put(key, precondition, value),
            }
        })
    }

    /// Most often the current version, else one of the past or one that never was.
    async fn version(&mut self, key: &Key) -> [Version; 2] {
        let keys = std::slice::from_ref(key);
        let current = (read(&self.model, keys).await.remove(0), read(&self.store, keys).await.remove(0));
        match (self.random.below(8), current) {
            (0, _) => [Version(u64::MAX); 2],
            (2.., (Some(model), Some(store))) => [model.version, store.version],
            _ => {
                let past: Vec<_> = self.versions.iter().filter(|(of, _)| of == key).collect();
                if past.is_empty() { [Version(0); 2] } else { self.random.choose(&past).1 }
            }
        }
    }
}

fn without_version((key, record): (Key, Versioned)) -> (Key, Vec<u8>) {
    (key, record.value)
}
