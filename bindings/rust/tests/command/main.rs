//! The command itself: the real program, a served issuer and MCP server, a home of its own, and a browser that the test plays.
#![cfg(unix)]

mod calling;
mod connecting;
mod ending;
mod hostile;
mod keeping;
mod readme;
mod stand;
