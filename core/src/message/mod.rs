//! The one JSON form of what passes between the engine and its host, for hosts in other languages.
//!
//! ```text
//! engine    = message::engine(config)                        // once
//! operation = message::begin(&engine, request)               // {"operation":"resolve","arguments":{…}}
//! loop {
//!     match operation.step(&moment, message::reply(reply)?)? {
//!         AnyStep::Perform(effect) => reply = host.perform(message::effect(&effect)),
//!         AnyStep::Done(outcome)   => break outcome,         // {"ok":…,"events":[…]} or {"failure":{…},"events":[…]}
//!     }
//! }
//! ```
//!
//! What a resolution is good for is asked of [`headers`], for each request anew.
//!
//! Shapes, units and examples stand in `spec/messages.md`, the JSON Schema beside it. What the engine writes has every member
//! every time, `null` where there is nothing. What it reads may leave out what has a default; an unknown or repeated member is
//! refused. Keys and values of records are base64url without padding (RFC 4648 §5), times are UNIX milliseconds.

mod begin;
mod config;
mod effect;
mod error;
mod headers;
mod outcome;
mod reply;
mod resolution;
mod response;
mod value;

pub use begin::{AnyOperation, AnyStep, OPERATIONS, begin};
pub use config::{EngineError, engine};
pub use effect::effect;
pub use error::MessageError;
pub use headers::headers;
pub use reply::reply;
