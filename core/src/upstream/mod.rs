//! The upstream half: we are the OAuth client. One file per operation, and the machines several of them share.

mod choose;
mod drain;
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
