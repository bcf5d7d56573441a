//! From names to addresses.

use std::io;
use std::net::IpAddr;

use super::BoxFuture;

/// Looks up names. What it answers is not trusted: the address policy is applied afterwards.
pub trait Resolve: Send + Sync {
    /// All addresses of a name, the preferred ones first.
    ///
    /// # Errors
    /// The name does not exist or cannot be looked up; either way nothing is sent.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The resolver of the operating system.
pub(super) struct System;

impl Resolve for System {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}
