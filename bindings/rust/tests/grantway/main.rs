//! The friendly object, in the simulated world.

mod cache;
mod file;
mod send;
mod simulated;
mod tasks;
