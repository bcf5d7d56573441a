//! Everything up to the redirect, against the simulated world: discovery, registration, tickets, the flow's begin.

mod begin;
mod cache;
mod discovery;
mod doctor;
mod hostile;
mod registration;
mod setting;
mod tickets;
