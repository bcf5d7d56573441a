//! The Grantway engine: per-user OAuth to MCP servers, without I/O.
//!
//! Everything the engine does is an [`operation`]: a value that asks for one effect at a time (an HTTP exchange, a
//! read or a commit of records, a sleep) and is stepped with the reply. Time and randomness are arguments.
#![forbid(unsafe_code)]

pub mod address;
pub mod challenge;
pub mod connector;
pub mod engine;
pub mod error;
pub mod event;
pub mod limits;
pub mod moment;
pub mod operation;
pub(crate) mod policy;
pub mod principal;
pub mod protocol;
pub mod secret;
pub mod store;
pub mod upstream;
