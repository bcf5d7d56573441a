//! CPU time of this thread.

use std::time::Duration;

use cpu_time::ThreadTime;

/// Enough that reading the thread's clock does not count, few enough that what is prepared stays in the cache.
const BATCH: u64 = 8;

/// The CPU time of this many runs, each on something that was prepared and is not measured; nor is the dropping of results.
pub(crate) fn in_batches<T, U>(times: u64, prepare: impl Fn() -> T, mut run: impl FnMut(T) -> U) -> Duration {
    let mut spent = Duration::ZERO;
    let mut left = times;
    while left > 0 {
        let batch = left.min(BATCH);
        left -= batch;
        let prepared: Vec<T> = (0..batch).map(|_| prepare()).collect();
        let mut results = Vec::with_capacity(prepared.len());
        let start = ThreadTime::now();
        for one in prepared {
            results.push(run(one));
        }
        spent += start.elapsed();
    }
    spent
}

/// The CPU time of this many runs.
pub(crate) fn in_a_row<T>(times: u64, mut run: impl FnMut() -> T) -> Duration {
    let start = ThreadTime::now();
    for _ in 0..times {
        std::hint::black_box(run());
    }
    start.elapsed()
}

/// The middle one.
///
/// # Panics
/// There is none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
