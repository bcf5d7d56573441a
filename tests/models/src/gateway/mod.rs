//! The second model: consent and downstream tokens. The real `handle`, `authenticate` and `resolve`, asked by two clients and two
//! people with two browsers, over one store and one upstream issuer. See `spec/gateway-model.md`.

mod answer;
mod ask;
mod case;
mod commits;
mod enabled;
mod explore;
mod happening;
mod known;
mod print;
mod property;
mod replay;
mod running;
mod scenario;
mod world;

pub(crate) use explore::explore;
pub(crate) use print::{list, markdown, print_bounds, properties};
pub(crate) use property::Property;
pub(crate) use replay::replay;
pub(crate) use scenario::{SCENARIOS, Scenario};
