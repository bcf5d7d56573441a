//! The friendly object, in the simulated world.

mod cache;
mod file;
#[cfg(feature = "rmcp")]
mod rmcp;
mod send;
mod simulated;
mod tasks;
