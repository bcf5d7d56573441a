//! Keeping a new registration: for all owners of the tenant, and only if nobody else was faster.

use super::is_active;
use crate::operation::{Context, OperationId, Version, Versioned};
use crate::store::records::{Client, Registration};
use crate::store::{Key, as_seen};
use crate::upstream::{Decide, Decision};

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Keep {
    pub(super) key: Key,
    /// The record that the new one takes the place of.
    pub(super) replaces: Option<Version>,
    pub(super) registration: Registration,
}

/// The client to use.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Kept {
    pub(super) client: Client,
    /// Whether it is the one just registered.
    pub(super) ours: bool,
}

impl Decide for Keep {
    type Output = Kept;

    fn keys(&self) -> Vec<Key> {
        vec![self.key.clone()]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Kept> {
        let stored = match cx.open::<Registration>(&self.key, found.first().and_then(Option::as_ref)) {
            Ok(stored) => stored,
            Err(failure) => return Decision::fail(failure),
        };
        if let Some(stored) = &stored {
            // Another worker was faster: all use the one that is stored, and ours is left unused at the issuer.
            if Some(stored.version) != self.replaces && is_active(&stored.record, cx.now()) {
                return Decision::done(Kept { client: stored.record.client.clone(), ours: false });
            }
        }
        let write = cx.put(&self.key, as_seen(stored.as_ref()), &self.registration, id, None);
        Decision::Commit(vec![write], Kept { client: self.registration.client.clone(), ours: true })
    }
}
