//! The gateway, against the simulated world: what MCP clients and browsers bring to it, and what it answers.

mod accounts;
mod both;
mod browser;
mod clients;
mod consent;
mod tokens;
mod upstream_leg;
