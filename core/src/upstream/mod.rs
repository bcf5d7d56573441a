//! The upstream half: we are the OAuth client. One file per operation, and the machines several of them share.

mod choose;
pub mod discovery;
mod drain;
pub mod note;
mod pick;
mod place;
pub mod ready;
mod refresh;
mod request;
pub mod resolve;
mod ticket;
mod transaction;

pub(crate) use place::Place;
pub(crate) use request::{Exchange, egress};
pub(crate) use transaction::{Decide, Decision, Transaction};
