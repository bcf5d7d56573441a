//! The upstream half: we are the OAuth client. One file per operation, and the machines several of them share.

mod adopt;
pub mod begin_connect;
mod binding;
pub mod cache;
mod callback_uri;
mod choose;
pub mod complete_connect;
pub mod confirm_account;
pub mod connectors;
pub mod disconnect;
pub mod discover;
pub mod discovery;
pub(crate) mod drain;
pub mod import_grant;
pub mod note;
pub mod open_ticket;
pub mod page;
mod pick;
mod place;
pub mod preflight;
pub mod purge;
pub mod ready;
mod refresh;
pub mod refresh_due;
mod registration;
pub mod report_rejected;
mod request;
pub mod resolve;
pub mod secrets;
pub(crate) mod single;
mod stale;
pub mod status;
pub mod suspend;
pub mod sweep;
#[cfg(test)]
pub(crate) mod testing;
mod ticket;
mod transaction;

pub(crate) use adopt::NewGrant;
pub(crate) use choose::{Candidate, Choice, Standing, choose};
pub(crate) use place::Place;
pub use refresh::Observation;
pub(crate) use refresh::save::schedule;
pub(crate) use request::{Exchange, egress};
pub(crate) use transaction::{Decide, Decision, Transaction};
