//! The store contract, kept by the stores of this crate.

mod memory {
    grantway::store_contract!(async || grantway::store::Memory::new());
}

mod sqlite {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use grantway::store::Sqlite;

    grantway::store_contract!(files());

    /// Opens one new file after the other.
    fn files() -> impl AsyncFn() -> Sqlite {
        let directory = tempfile::tempdir().unwrap();
        let count = AtomicUsize::new(0);
        async move || {
            let name = format!("{}.db", count.fetch_add(1, Ordering::Relaxed));
            Sqlite::open(directory.path().join(name)).unwrap()
        }
    }
}
