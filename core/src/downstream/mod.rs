//! The downstream half: we are the authorization server and the protected resource. MCP clients sign in here, and every tool
//! call of theirs then carries its person's own upstream credential.
//!
//! A host mounts all of it with one handler, [`handle`], and asks [`authenticate`] about each request to its MCP endpoint. One file
//! per endpoint.

mod api;
pub mod authenticate;
mod authorization;
mod authorize;
pub(crate) mod browser;
mod callback;
pub(crate) mod client;
pub mod config;
mod connect;
mod connections;
pub(crate) mod consent;
pub(crate) mod credential;
pub(crate) mod family;
pub mod handle;
mod metadata;
pub mod pages;
pub(crate) mod parameters;
mod person;
mod register;
pub mod request;
pub mod response;
mod revoke;
mod route;
mod services;
pub mod sign_ins;
mod site;
mod token;
mod token_client;
mod visit;
mod who;
