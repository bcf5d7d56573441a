//! Runs the benches; see the library's documentation.

use std::time::Duration;

use cpu_time::ThreadTime;
use criterion::Criterion;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use grantway_benches::operations::{Part, Row, rows};
use grantway_benches::table::Table;

/// At least five, by the method; more, because a loaded machine disturbs some.
const ROUNDS: usize = 11;

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.as_slice() {
        [] => print!("{}", Table::measure(rows(), ROUNDS)),
        [json] if json == "--json" => {
            let table = Table::measure(rows(), ROUNDS);
            println!("{}", serde_json::to_string_pretty(&table).expect("figures can be written"));
        }
        _ => with_criterion(),
    }
}

fn with_criterion() {
    let mut criterion = Criterion::default().with_measurement(ThreadCpu(WallTime)).configure_from_args();
    for Row { name, floor, messages, whole, records, seals, .. } in rows() {
        let mut group = criterion.benchmark_group(name);
        let mut add = |part: &str, mut run: Part| {
            group.bench_function(part, |bencher| bencher.iter_custom(&mut run));
        };
        add("floor", floor);
        add("whole", whole);
        for (part, run) in [("messages", messages), ("records", records), ("seals", seals)] {
            if let Some(run) = run {
                add(part, run);
            }
        }
        group.finish();
    }
    criterion.final_summary();
}

/// CPU time of this thread, shown as criterion shows other times.
struct ThreadCpu(WallTime);

impl Measurement for ThreadCpu {
    type Intermediate = ThreadTime;
    type Value = Duration;

    fn start(&self) -> ThreadTime {
        ThreadTime::now()
    }

    fn end(&self, start: ThreadTime) -> Duration {
        start.elapsed()
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_secs_f64() * 1e9
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self.0.formatter()
    }
}
