//! The world in which Grantway is tested: a simulated clock, a store, a network with an issuer and MCP servers in it, and
//! drivers that carry out the effects of operations there. Everything is synchronous and decided by one seed.
//!
//! ```
//! use grantway_testing::{Issuer, McpServer, Request, World};
//!
//! let mut world = World::new();
//! let issuer = Issuer::new("https://as.good");
//! let mcp = McpServer::new("https://mcp.good/mcp", &issuer);
//! world.host("https://as.good", issuer.clone());
//! world.host("https://mcp.good", mcp.clone());
//! assert_eq!(world.send(Request::get("https://mcp.good/mcp")).status, 401);
//! ```
//!
//! Servers are handles: a clone is the same server, so a test keeps one and the network has another.
//! A test double may panic, and does so when the engine breaks a contract of the effects.
#![forbid(unsafe_code)]

mod canary;
mod drive;
mod edits;
mod fault;
mod issuer;
mod mcp;
mod message;
mod network;
#[cfg(feature = "serve")]
pub mod serve;
mod store;
mod world;

pub use canary::contains_secret;
pub use drive::{Schedule, Stepper, Steps, Worker, drive, drive_or_crash, interleave, is_commit, posts_to};
pub use edits::Edits;
pub use fault::{CommitFault, Crashed, HttpFault, Lands};
pub use issuer::{
    AuthMethod, Behaviour, BodyForm, CallbackIss, Endpoint, Issuer, LiveToken, Refused, Rotation, WellKnown,
};
pub use mcp::{McpBehaviour, McpServer, MetadataPlace, rpc};
pub use message::{Parameters, Request, Response};
pub use network::{Exchange, Network, Server};
pub use store::{Row, Store, kind_of};
pub use world::World;
