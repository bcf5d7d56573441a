//! Per-user OAuth to MCP servers: the Grantway engine with transport and stores.
#![deny(unsafe_code)]

pub mod config;
pub mod driver;
pub mod store;
pub mod transport;
