//! Per-user OAuth to MCP servers: the Grantway engine with transport and stores.
//!
//! [`Grantway`] is the one object a host needs. What it hands out and takes comes from [`grantway_core`], which is
//! re-exported; [`driver`], [`transport`] and [`store`] are the parts it is made of, for hosts that bring their own.
//!
//! ```no_run
//! use grantway::store::Sqlite;
//! use grantway::{Caller, Form, Grantway, Principal, Resolution};
//!
//! # async fn call(url: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let gw = Grantway::open("grantway.toml", Sqlite::open("grantway.db")?)?;
//! let me = Caller::new("acme", Principal::user("u-42")?)?;
//! match gw.resolve(&me, "notion").await? {
//!     Resolution::Ready(ready) => {
//!         for (name, value) in ready.headers(&gw.moment(), "POST", url)? {
//!             println!("{name} goes into the call, for {:?}: {value:?}", ready.attribution().owner);
//!         }
//!     }
//!     Resolution::Challenge(challenge) => println!("{}", challenge.render(Form::Text).body),
//!     Resolution::Transient(transient) => println!("not now: {}", transient.failure),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # A gateway
//!
//! A host whose configuration has `[gateway]` lets MCP clients sign in: [`Grantway::handle`] answers for every page and endpoint of it, the
//! routes below among them, and [`Grantway::authenticate`] says who sends a request to the host's MCP endpoint. Who people are, it asks the
//! host's [`driver::Identity`], given by [`driver::Host::with_identity`]; without one, sign-ins end in `unavailable` after five minutes.
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `axum` | `Grantway::router` with all routes, and `axum::AuthenticateLayer` for the MCP endpoint |
//! | `rmcp` | `rmcp::Authorized`: the credential of a caller in each call of an `rmcp` client to an upstream |
//!
//! `examples/gateway` is a whole host.
//!
//! # A host's own routes
//!
//! For hosts that have no gateway and show pages of their own:
//!
//! | route, under the base URL | what it does |
//! | --- | --- |
//! | `GET /connect/{ticket}` | Shows what [`Grantway::open_ticket`] says the link is for, with a form that posts back. It changes nothing. |
//! | `POST /connect/{ticket}` | [`Grantway::begin_connect_with`], `because` the ticket. Answers 303 to the redirect's `url`, with its `cookie` as `Set-Cookie`, `Cache-Control: no-store` and `Referrer-Policy: no-referrer`. |
//! | `GET /callback` and `GET /callback/{any}` | [`Grantway::complete_connect`] with path and query as they came and the raw `Cookie` header. The second form is for issuers that do not name themselves in the callback; both have to be there. |
//!
//! The caller is whom the host has signed in, at each of them; a callback without a login says "sign in, connect again". A
//! [`Failure`] names its fault: `peer` and `network` are 502, `user` is 409 or 403, `config`, `store` and `engine` are 500; a
//! transient outcome is 503 with `Retry-After`. A connection whose outcome `awaits_confirmation` is confirmed by
//! [`Grantway::confirm_account`]. In the background, for each tenant, [`Grantway::refresh_due`] every minute or so and
//! [`Grantway::sweep`] every few minutes.
#![deny(unsafe_code)]

#[cfg(feature = "axum")]
pub mod axum;
pub mod config;
pub mod driver;
mod grantway;
#[cfg(feature = "rmcp")]
pub mod rmcp;
pub mod store;
pub mod transport;

pub use grantway_core;
pub use grantway_core::challenge::{Challenge, ChallengeReason, Form};
pub use grantway_core::connector::Connector;
pub use grantway_core::engine::{Engine, EngineConfig};
pub use grantway_core::error::{ConfigError, Failure};
pub use grantway_core::event::Event;
pub use grantway_core::moment::Moment;
pub use grantway_core::principal::{Caller, Principal, TenantId};
pub use grantway_core::secret::Secret;
pub use grantway_core::upstream::page::Cursor;
pub use grantway_core::upstream::ready::Ready;

pub use crate::grantway::{CallError, Grantway, Rejection, Resolution};

/// What the README shows of Rust compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
