//! The upstream half: we are the OAuth client. One file per operation, and the machines several of them share.

mod drain;
mod place;
mod refresh;
mod request;
mod transaction;

pub(crate) use place::Place;
pub(crate) use request::{Exchange, egress};
pub(crate) use transaction::{Decide, Decision, Transaction};
