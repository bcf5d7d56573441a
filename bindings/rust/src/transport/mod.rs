//! Carrying out [`Effect::Http`](grantway_core::operation::Effect): the [`Transport`] trait, and [`Hyper`] behind it.

mod at_once;
mod connect;
mod hyper;
mod message;
mod resolve;
mod start;

use std::pin::Pin;

use grantway_core::operation::{HttpReply, HttpRequest};
pub use tokio_rustls::rustls;

pub use self::at_once::{AtOnce, PER_ISSUER};
pub use self::hyper::Hyper;
pub use self::resolve::Resolve;

/// What the methods of the traits here return, so that they can be used as `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Makes HTTP exchanges, each exactly as asked for.
///
/// An implementation follows no redirect, takes no proxy from the environment, keeps no cookies, decodes no content
/// coding and repeats nothing by itself. Which of the three replies it gives decides what the engine dares to do next:
///
/// - [`HttpReply::NotSent`] promises that no byte of the request has left and none will. A false promise redeems one
///   refresh token twice.
/// - [`HttpReply::UnknownOutcome`] is for everything that fails later. Said without need, it can cost a person the
///   connection.
/// - [`HttpReply::Response`] is a whole answer, whatever its status, or the allowed part of one that is too long.
///
/// The exchange ends when the future is dropped: what has not left by then never does.
pub trait Transport: Send + Sync {
    /// Makes one exchange. `start_within_ms` and `timeout_ms` are counted from this call, not from the first poll.
    fn exchange(&self, request: HttpRequest) -> BoxFuture<'_, HttpReply>;
}
