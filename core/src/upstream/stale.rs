//! Marking a registration stale: the issuer said that it does not know our client.

use crate::operation::{Context, OperationId, Versioned, Write};
use crate::principal::TenantId;
use crate::store::Key;
use crate::store::records::{Client, Registration};

/// The record of the registration that a grant or flow used.
pub(crate) fn registration_key(tenant: &TenantId, issuer: &str, client: &Client) -> Key {
    Key::registration(tenant, issuer, &client.redirect_uri)
}

/// The write that marks it, unless it was replaced or marked already. The grants made with it stay as they are.
pub(crate) fn mark_stale(
    cx: &Context<'_>,
    key: &Key,
    client: &Client,
    id: OperationId,
    found: Option<&Versioned>,
) -> Option<Write> {
    let stored = cx.open::<Registration>(key, found).ok()??;
    let precondition = stored.unchanged();
    let mut registration = stored.record;
    if registration.stale || registration.client.id != client.id {
        return None;
    }
    registration.stale = true;
    Some(cx.put(key, precondition, &registration, id, None))
}
