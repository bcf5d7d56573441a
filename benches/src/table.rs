//! The figures of one run, and how they are shown.

use std::fmt;

use serde::Serialize;

use crate::measure::median;
use crate::operations::{Part, Row};

/// All figures.
#[derive(Debug, Serialize)]
pub struct Table {
    /// How often each part was measured; every figure is a median.
    pub rounds: usize,
    /// The rows.
    pub rows: Vec<Figures>,
}

/// One row: CPU microseconds of one thread, and ratios to the floor of the same round.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// See [`Row::name`].
    pub name: &'static str,
    /// See [`Row::about`].
    pub about: &'static str,
    /// The floor.
    pub floor_us: f64,
    /// The messages alone.
    pub messages_us: Option<f64>,
    /// Their ratio.
    pub messages_ratio: Option<f64>,
    /// The operation: the whole without its records.
    pub operation_us: f64,
    /// Its ratio.
    pub operation_ratio: f64,
    /// The target of that ratio.
    pub target: Option<f64>,
    /// The JSON of its records.
    pub json_us: Option<f64>,
    /// The seals of its records.
    pub seals_us: Option<f64>,
    /// Everything.
    pub whole_us: f64,
    /// Allocations of everything.
    pub allocations: u64,
}

impl Table {
    /// Measures all parts of each row in turn, round by round.
    pub fn measure(rows: Vec<Row>, rounds: usize) -> Self {
        Self { rounds, rows: rows.into_iter().map(|row| Figures::measure(row, rounds)).collect() }
    }
}

impl Figures {
    fn measure(mut row: Row, rounds: usize) -> Self {
        let mut floor = Gauge::new(&mut row.floor);
        let mut whole = Gauge::new(&mut row.whole);
        let mut messages = row.messages.as_mut().map(Gauge::new);
        let mut records = row.records.as_mut().map(Gauge::new);
        let mut seals = row.seals.as_mut().map(Gauge::new);
        for _ in 0..rounds {
            floor.take();
            whole.take();
            [&mut messages, &mut records, &mut seals].into_iter().flatten().for_each(Gauge::take);
        }
        let against_floor =
            |values: &[f64]| median(values.iter().zip(&floor.us).map(|(us, floor)| us / floor).collect());
        let difference = |from: &[f64], part: &Option<Gauge<'_>>| -> Vec<f64> {
            match part {
                Some(part) => from.iter().zip(&part.us).map(|(all, part)| all - part).collect(),
                None => from.to_vec(),
            }
        };
        let operation = difference(&whole.us, &records);
        Self {
            name: row.name,
            about: row.about,
            floor_us: median(floor.us.clone()),
            messages_us: messages.as_ref().map(|part| median(part.us.clone())),
            messages_ratio: messages.as_ref().map(|part| against_floor(&part.us)),
            operation_ratio: against_floor(&operation),
            operation_us: median(operation),
            target: row.target,
            json_us: records.as_ref().map(|part| median(difference(&part.us, &seals))),
            seals_us: seals.as_ref().map(|part| median(part.us.clone())),
            whole_us: median(whole.us.clone()),
            allocations: row.allocations,
        }
    }
}

/// One part with what it was found to take, in microseconds a run.
struct Gauge<'a> {
    part: &'a mut Part,
    times: u64,
    us: Vec<f64>,
}

impl<'a> Gauge<'a> {
    /// Warms up, and finds how many runs fill a round.
    fn new(part: &'a mut Part) -> Self {
        let mut times = 16;
        while part(times).as_micros() < ROUND_US {
            times *= 2;
        }
        Self { part, times, us: Vec::new() }
    }

    fn take(&mut self) {
        let spent = (self.part)(self.times);
        self.us.push(spent.as_secs_f64() * 1e6 / self.times as f64);
    }
}

/// Long enough for the clock of a thread, short enough that floor and operation meet the same machine.
const ROUND_US: u128 = 10_000;

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "CPU time of one thread in µs, medians of {} rounds; × is the ratio to the floor of the same round",
            self.rounds
        )?;
        writeln!(f)?;
        writeln!(
            f,
            "{:5} {:>8} {:>10} {:>6} {:>10} {:>6} {:>7} {:>9} {:>7} {:>9} {:>12}",
            "",
            "floor",
            "messages",
            "×",
            "operation",
            "×",
            "target",
            "+ json",
            "+ seal",
            "= whole",
            "allocations"
        )?;
        for row in &self.rows {
            writeln!(
                f,
                "{:5} {:>8.3} {:>10} {:>6} {:>10.3} {:>6.1} {:>7} {:>9} {:>7} {:>9.2} {:>12}",
                row.name,
                row.floor_us,
                shown(row.messages_us, 3),
                shown(row.messages_ratio, 1),
                row.operation_us,
                row.operation_ratio,
                shown(row.target, 1),
                shown(row.json_us, 1),
                shown(row.seals_us, 1),
                row.whole_us,
                row.allocations
            )?;
        }
        writeln!(f)?;
        for row in &self.rows {
            writeln!(f, "{:5} {}", row.name, row.about)?;
        }
        f.write_str(NOTES)
    }
}

fn shown(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

const NOTES: &str = "
floor      the least Rust that does it, in memory, checking next to nothing
messages   the same with the engine's parsers and writers, without operations, records and seals
operation  the whole without its records: steps, messages, checks, and the kernel's clock and random source for each step
json, seal the records that the operation opens and seals, done again by themselves: their JSON, their cipher
whole      what a step by step run costs; store and network answer from memory and are not in it
";
