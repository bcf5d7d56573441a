//! The Grantway engine: per-user OAuth to MCP servers, without I/O.
//!
//! Everything the engine does is an [`operation`]: a value that asks for one effect at a time (an HTTP exchange, a
//! read or a commit of records, a sleep) and is stepped with the reply. Time and randomness are arguments.
#![forbid(unsafe_code)]

pub mod address;
pub mod error;
pub mod moment;
pub mod principal;
pub mod protocol;
pub mod secret;
