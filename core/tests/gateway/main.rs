//! The gateway as browsers and MCP clients see it, against the simulated world.

mod clients;
