//! Who people are, which the core asks the host.

use grantway_core::principal::{Caller, Principal, TenantId};
use grantway_core::secret::Secret;

use crate::transport::BoxFuture;

/// The host's own knowledge of who people are: its users, its API keys.
///
/// The engine asks when a key is typed into a page, and, once a sign-in is older than `identity_max_age_ms` (default 5 min), whether its
/// principal still stands; so a disabled user or a lost team ends access within that time. An answer may take 10 s.
///
/// ```
/// use grantway::driver::{Identified, Identity};
/// use grantway::transport::BoxFuture;
/// use grantway::{Caller, Principal, Secret, TenantId};
///
/// struct Users;
///
/// impl Identity for Users {
///     fn by_key<'a>(&'a self, _: &'a TenantId, _: &'a Secret) -> BoxFuture<'a, Identified> {
///         Box::pin(async { Identified::Rejected }) // This host gives out no keys.
///     }
///
///     fn by_principal<'a>(&'a self, tenant: &'a TenantId, who: &'a Principal) -> BoxFuture<'a, Identified> {
///         Box::pin(async move {
///             match (who.id(), Caller::new(tenant.as_str(), who.clone())) {
///                 ("alice" | "bob", Ok(caller)) => Identified::Caller(caller),
///                 _ => Identified::Rejected,
///             }
///         })
///     }
/// }
/// ```
pub trait Identity: Send + Sync {
    /// The holder of this API key, as a person has typed it. To be compared in constant time, or looked up by its hash.
    fn by_key<'a>(&'a self, tenant: &'a TenantId, key: &'a Secret) -> BoxFuture<'a, Identified>;

    /// Whether somebody who was identified before still stands, and with which teams and role. The caller is of that principal.
    fn by_principal<'a>(
        &'a self,
        tenant: &'a TenantId,
        principal: &'a Principal,
    ) -> BoxFuture<'a, Identified>;
}

/// Who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identified {
    /// This caller, of the tenant asked about.
    Caller(Caller),
    /// Nobody: no such key, or the principal is gone or disabled. It ends their sign-ins.
    Rejected,
    /// It cannot be said at the moment. Never taken for a rejection, nor for its contrary.
    Unavailable,
}
