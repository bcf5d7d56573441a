//! Saying who one is, or that one is somebody else: a change of owner lets go what was staged for the one before.

use super::super::authorization;
use super::super::authorization::Refusal;
use super::super::authorize::slot_key;
use super::drop::Staging;
use crate::error::Code;
use crate::operation::{Context, OperationId, Precondition, Versioned};
use crate::secret::Secret;
use crate::store::records::ConsentRecord;
use crate::store::records::{ConsentStatus, Digest, Identity, SessionRecord, SlotRecord};
use crate::store::{Key, Stored, delete, put_index};
use crate::upstream::{Decide, Decision};

/// What becomes of a consent session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub(crate) enum Turn {
    /// The person is this one, with a session of ours where the host's login does not know them.
    Choose(Identity, Option<(Digest, Box<SessionRecord>)>),
    /// The person has declined.
    Deny,
    /// The person wants to be somebody else.
    Forget,
}

/// Writes it.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct TakeTurn {
    pub(crate) staging: Staging,
    /// As it was read; whoever has changed it since has seen something else.
    pub(crate) seen: Box<Stored<ConsentRecord>>,
    pub(crate) turn: Turn,
}

/// What has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub(crate) enum Turned {
    GoOn,
    /// The client is told at this address; empty if it has none that is known to be its own.
    Denied(Secret),
}

impl TakeTurn {
    fn consent_key(&self) -> Key {
        Key::consent(&self.staging.site.tenant, &self.staging.consent.0)
    }

    fn slot_key(&self) -> Key {
        let consent = &self.seen.record;
        slot_key(&self.staging.site, &consent.request.client_id, consent.slot)
    }
}

impl Decide for TakeTurn {
    type Output = Turned;

    fn keys(&self) -> Vec<Key> {
        let mut keys = vec![self.consent_key(), self.slot_key()];
        keys.extend(self.staging.keys());
        keys
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Turned> {
        let [consent, slot, staged @ ..] = found else { return Decision::fail(Code::Internal) };
        let key = self.consent_key();
        let stored = match cx.open::<ConsentRecord>(&key, consent.as_ref()) {
            Ok(Some(stored)) => stored,
            Ok(None) => return Decision::fail(Code::ConsentUnknown),
            Err(failure) => return Decision::fail(failure),
        };
        if stored.record.staged != self.seen.record.staged || !stored.record.is_open(cx) {
            return Decision::fail(Code::ConsentStale);
        }
        let precondition = stored.unchanged();
        let mut consent = stored.record;
        let before = consent.identity.as_ref().map(|identity| &identity.principal);
        let stays = matches!(&self.turn, Turn::Choose(identity, _) if before == Some(&identity.principal));
        let mut rest = Vec::new();
        if !stays {
            //= spec/derived.md#con-20
            //# Each upstream MUST have a consent step and a pending flow of its own, and connecting only some of them
            //# is a valid end (CON-20, B, derived).
            // F44
            match self.staging.drop_all(cx, id, staged) {
                Ok(writes) => rest = writes,
                Err(failure) => return Decision::fail(failure),
            }
            consent.staged.clear();
            consent.skipped.clear();
        }
        let tenant = &self.staging.site.tenant;
        let mut turned = Turned::GoOn;
        match &self.turn {
            Turn::Choose(identity, session) => {
                consent.identity = Some(identity.clone());
                // Somebody stands behind it now, and nobody's request takes its place any more.
                rest.extend(free_slot(cx, &self.slot_key(), slot.as_ref(), self.staging.consent.0));
                if let Some((hash, session)) = session {
                    let key = Key::session(tenant, &hash.0);
                    let end = session.expires_at;
                    rest.push(cx.put(&key, Precondition::Absent, &**session, id, Some(end)));
                    rest.push(put_index(Key::expiry(tenant, end, &key), None));
                }
            }
            Turn::Forget => consent.identity = None,
            Turn::Deny => {
                let request = &consent.request;
                let state = request.state.as_deref();
                // A redirect URI that nobody has checked leads nowhere.
                let redirect = if request.checked {
                    authorization::refused(
                        &self.staging.site,
                        &request.redirect_uri,
                        state,
                        Refusal::AccessDenied,
                    )
                } else {
                    Secret::new("")
                };
                let until = cx.now().plus(cx.engine.limits().issued_again_ms);
                consent.status = ConsentStatus::Ended { redirect: redirect.clone(), until };
                rest.extend(free_slot(cx, &self.slot_key(), slot.as_ref(), self.staging.consent.0));
                turned = Turned::Denied(redirect);
            }
        }
        let mut writes = vec![cx.put(&key, precondition, &consent, id, Some(consent.expires_at))];
        writes.extend(rest);
        Decision::Commit(writes, turned)
    }
}

/// The end of a slot, if this consent session is still the one that holds it.
pub(crate) fn free_slot(
    cx: &Context<'_>,
    key: &Key,
    slot: Option<&Versioned>,
    holder: [u8; 32],
) -> Option<crate::operation::Write> {
    let held = cx.open::<SlotRecord>(key, slot).ok().flatten()?;
    (held.record.holder == Digest(holder)).then(|| delete(key.clone(), held.unchanged()))
}
