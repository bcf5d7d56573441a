//! The Grantway engine: per-user OAuth to MCP servers, without I/O.
//!
//! Everything the engine does is an [`operation`]: a value that asks for one effect at a time (an HTTP exchange, a
//! read or a commit of records, a sleep) and is stepped with the reply. Time and randomness are arguments.
#![forbid(unsafe_code)]
// atk:IMP-09: nothing that a peer, a store or a host hands in can make the engine panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

pub mod address;
pub mod challenge;
pub mod connector;
mod cookie;
pub mod downstream;
pub mod engine;
pub mod error;
pub mod event;
mod hex;
pub mod limits;
pub mod message;
#[cfg(feature = "model")]
pub mod model;
pub mod moment;
pub mod operation;
mod policy;
pub mod principal;
pub mod protocol;
pub mod secret;
pub mod store;
pub mod upstream;
