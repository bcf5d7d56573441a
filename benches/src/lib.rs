//! What Grantway's operations cost: ratios to the least Rust that does the same, in the same run.
//!
//! `cargo bench -p grantway-benches` prints the table, `-- --json` the same as JSON. With any other argument criterion takes
//! over: `-- E/whole` measures that part with its statistics, and compares it with the last time.

mod allocations;
mod floor;
mod measure;
mod memory;
mod messages;
pub mod operations;
mod ours;
mod records;
mod script;
pub mod table;
mod wire;

#[cfg(test)]
mod tests;
