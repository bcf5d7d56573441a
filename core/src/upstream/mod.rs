//! The upstream half: we are the OAuth client. One file per operation, and the machines several of them share.

mod request;
mod transaction;

pub(crate) use request::{Exchange, egress};
pub(crate) use transaction::{Decide, Decision, Transaction};
