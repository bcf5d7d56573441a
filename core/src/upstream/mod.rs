//! The upstream half: we are the OAuth client. One file per operation, and the machines several of them share.

pub mod begin_connect;
mod binding;
mod callback_uri;
mod choose;
pub mod complete_connect;
pub mod disconnect;
pub mod discover;
pub mod discovery;
mod drain;
pub mod note;
pub mod open_ticket;
mod pick;
mod place;
pub mod ready;
mod refresh;
pub mod refresh_due;
mod registration;
mod request;
pub mod resolve;
mod stale;
mod ticket;
mod transaction;

pub(crate) use place::Place;
pub(crate) use request::{Exchange, egress};
pub(crate) use transaction::{Decide, Decision, Transaction};
