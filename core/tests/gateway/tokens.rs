//! Codes, tokens, and the requests that bring them.

mod bearer;
mod code;
mod confusion;
mod refresh;
mod revoke;
mod setting;
mod sign_ins;
