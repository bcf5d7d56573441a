//! The friendly object, in the simulated world.

mod cache;
mod file;
mod simulated;
mod tasks;
