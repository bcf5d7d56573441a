//! Small notes in a consent session: that its redirect URI is the client's, that an upstream is put off.

use crate::error::Code;
use crate::operation::{Context, OperationId, Versioned};
use crate::principal::ConnectorId;
use crate::secret::Secret;
use crate::store::Key;
use crate::store::records::{ConsentRecord, ConsentStatus};
use crate::upstream::{Decide, Decision};

/// LIMIT: upstreams that are put off; more than a page shows.
const SKIPPED_MAX: usize = 50;

/// Notes that the redirect URI stands in the client's document.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Check {
    pub(super) key: Key,
}

impl Decide for Check {
    type Output = ();

    fn keys(&self) -> Vec<Key> {
        vec![self.key.clone()]
    }

    fn decide(&mut self, cx: &mut Context<'_>, id: OperationId, found: &[Option<Versioned>]) -> Decision<()> {
        change(cx, id, &self.key, found, |consent| consent.request.checked = true)
    }
}

/// Ends a session whose time is over.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Expire {
    pub(super) key: Key,
}

impl Decide for Expire {
    type Output = ();

    fn keys(&self) -> Vec<Key> {
        vec![self.key.clone()]
    }

    fn decide(&mut self, cx: &mut Context<'_>, id: OperationId, found: &[Option<Versioned>]) -> Decision<()> {
        let stored = match cx.open::<ConsentRecord>(&self.key, found.first().and_then(Option::as_ref)) {
            Ok(Some(stored)) if stored.record.status == ConsentStatus::Open => stored,
            Ok(_) => return Decision::done(()),
            Err(failure) => return Decision::fail(failure),
        };
        let precondition = stored.unchanged();
        let mut consent = stored.record;
        let (redirect, until) = (Secret::new(""), consent.created_at);
        consent.status = ConsentStatus::Ended { redirect, until };
        let write = cx.put(&self.key, precondition, &consent, id, Some(consent.expires_at));
        Decision::Commit(vec![write], ())
    }
}

/// Puts an upstream off.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Skip {
    pub(super) key: Key,
    pub(super) connector: ConnectorId,
}

impl Decide for Skip {
    type Output = ();

    fn keys(&self) -> Vec<Key> {
        vec![self.key.clone()]
    }

    fn decide(&mut self, cx: &mut Context<'_>, id: OperationId, found: &[Option<Versioned>]) -> Decision<()> {
        change(cx, id, &self.key, found, |consent| {
            if !consent.skipped.contains(&self.connector) && consent.skipped.len() < SKIPPED_MAX {
                consent.skipped.push(self.connector.clone());
            }
        })
    }
}

fn change(
    cx: &Context<'_>,
    id: OperationId,
    key: &Key,
    found: &[Option<Versioned>],
    change: impl FnOnce(&mut ConsentRecord),
) -> Decision<()> {
    let stored = match cx.open::<ConsentRecord>(key, found.first().and_then(Option::as_ref)) {
        Ok(Some(stored)) if stored.record.is_open(cx) => stored,
        Ok(_) => return Decision::fail(Code::ConsentExpired),
        Err(failure) => return Decision::fail(failure),
    };
    let precondition = stored.unchanged();
    let mut consent = stored.record;
    change(&mut consent);
    let write = cx.put(key, precondition, &consent, id, Some(consent.expires_at));
    Decision::Commit(vec![write], ())
}
