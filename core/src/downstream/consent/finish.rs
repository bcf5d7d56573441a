//! The end of a consent session: one commit that consumes it, makes the staged grants the person's, and issues the code. There
//! is no code without the grants, and there are no grants without the code.

use sha2::{Digest as _, Sha256};

use super::super::authorization;
use super::super::authorize::slot_key;
use super::super::client::note_use;
use super::choose::free_slot;
use super::drop::Staging;
use crate::error::{Code, Failure};
use crate::moment::UnixMillis;
use crate::operation::{Context, OperationId, Precondition, Versioned, Write};
use crate::principal::Caller;
use crate::secret::Secret;
use crate::store::records::{
    ApprovalRecord, ClientRecord, CodeRecord, Connection, ConnectorRecord, ConsentRecord, ConsentStatus,
    KnownCaller, StagedRecord,
};
use crate::store::{Key, Stored, as_seen, delete, keep, lookup_hash, put_index};
use crate::upstream::{Decide, Decision, NewGrant, schedule};

/// Proof that what is about to be granted is what this person was shown and has approved. Nothing else makes one, and no code is
/// minted without.
#[derive(Debug)]
struct ConsentApproved(());

/// Consumes the session.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Finish {
    pub(crate) staging: Staging,
    /// As it was read.
    pub(crate) seen: Box<Stored<ConsentRecord>>,
    /// Who approves.
    pub(crate) caller: Caller,
    /// When the host answered for them.
    pub(crate) identified_at: UnixMillis,
    /// What the form says was shown.
    pub(crate) shown: String,
    /// The code to be.
    pub(crate) code: Secret,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub(crate) struct Finished {
    /// Where the client hears of it.
    pub(crate) redirect: Secret,
    /// Who has approved.
    pub(crate) owner: crate::principal::Principal,
    /// Upstreams that are the person's now.
    pub(crate) promoted: Vec<crate::principal::ConnectorId>,
    /// Upstreams whose connection had moved on; what was staged for them is revoked.
    pub(crate) dropped: Vec<crate::principal::ConnectorId>,
}

impl Finish {
    fn tenant(&self) -> &crate::principal::TenantId {
        &self.staging.site.tenant
    }

    fn consent_key(&self) -> Key {
        Key::consent(self.tenant(), &self.staging.consent.0)
    }

    fn client_key(&self) -> Key {
        Key::client(self.tenant(), &self.seen.record.request.client_id)
    }

    fn slot_key(&self) -> Key {
        let consent = &self.seen.record;
        slot_key(&self.staging.site, &consent.request.client_id, consent.slot)
    }

    fn approval_key(&self) -> Key {
        let client_id = &self.seen.record.request.client_id;
        Key::approval(self.tenant(), &self.caller.principal, client_id)
    }
}

impl Decide for Finish {
    type Output = Finished;

    fn keys(&self) -> Vec<Key> {
        let mut keys = vec![self.consent_key(), self.client_key(), self.slot_key(), self.approval_key()];
        for connector in &self.staging.connectors {
            let place = self.staging.place(connector);
            keys.extend([
                self.staging.staged_key(connector),
                place.key(),
                Key::connector(&place.tenant, &place.connector),
            ]);
        }
        keys
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Finished> {
        match self.commit(cx, id, found) {
            Ok((writes, finished)) => Decision::Commit(writes, finished),
            Err(failure) => Decision::fail(failure),
        }
    }
}

impl Finish {
    fn commit(
        &self,
        cx: &Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Result<(Vec<Write>, Finished), Failure> {
        let [consent, client, slot, approval, rest @ ..] = found else { return Err(Code::Internal.into()) };
        let stored =
            cx.open::<ConsentRecord>(&self.consent_key(), consent.as_ref())?.ok_or(Code::ConsentUnknown)?;
        // atk:CON-13: once. The other one has the redirect.
        // Nor once the person has become somebody else in another tab.
        let identity = stored.record.identity.as_ref().map(|identity| &identity.principal);
        let is_theirs = identity == Some(&self.caller.principal);
        let is_same = stored.record.staged == self.seen.record.staged;
        if !stored.record.is_open(cx) || !is_theirs || !is_same {
            return Err(Code::ConsentStale.into());
        }
        let client =
            cx.open::<ClientRecord>(&self.client_key(), client.as_ref())?.ok_or(Code::ClientUnknown)?;
        let staged = self.staged(cx, rest)?;
        let shown: Vec<&StagedRecord> = staged.iter().map(|it| &it.stored.record).collect();
        let approved = self.approve(&stored.record, &client.record, &shown)?;

        let as_consent = stored.unchanged();
        let mut consent = stored.record;
        let redirect = authorization::granted(&self.staging.site, &consent.request, &self.code);
        let until = cx.now().plus(cx.engine.limits().issued_again_ms);
        consent.status = ConsentStatus::Ended { redirect: redirect.clone(), until };
        let mut writes =
            vec![cx.put(&self.consent_key(), as_consent, &consent, id, Some(consent.expires_at))];
        writes.extend(self.code(cx, id, &approved, &consent));
        writes.extend(free_slot(cx, &self.slot_key(), slot.as_ref(), self.staging.consent.0));
        writes.extend(self.client(cx, id, &client));
        writes.push(self.approval(cx, id, &consent, &client.record, approval.as_ref())?);
        let mut finished = Finished {
            redirect,
            owner: self.caller.principal.clone(),
            promoted: Vec::new(),
            dropped: Vec::new(),
        };
        for it in staged {
            let connector = it.place.connector.clone();
            let promoted = it.promote(cx, id, &mut writes);
            if promoted { &mut finished.promoted } else { &mut finished.dropped }.push(connector);
        }
        Ok((writes, finished))
    }

    /// # Errors
    /// `user.consent_stale`: something of it was not shown.
    fn approve(
        &self,
        consent: &ConsentRecord,
        client: &ClientRecord,
        staged: &[&StagedRecord],
    ) -> Result<ConsentApproved, Failure> {
        //= spec/mcp-best-practices.md#per-client-consent-storage
        //# Which clients a person has approved MUST be kept for each person, safely, and be looked at before
        //# anything goes on (CON-02, B).
        // atk:CON-05
        if shown(consent, client, &self.caller, staged) != self.shown {
            return Err(Code::ConsentStale.into());
        }
        Ok(ConsentApproved(()))
    }

    fn code(
        &self,
        cx: &Context<'_>,
        id: OperationId,
        _: &ConsentApproved,
        consent: &ConsentRecord,
    ) -> [Write; 2] {
        let request = &consent.request;
        let end = cx.now().plus(cx.engine.limits().code_ms);
        //= spec/oauth21.md#4-1-2
        //# A code MUST be bound to its client, challenge, redirect URI and resource, and end within ten
        //# minutes, ours after one (TOK-13, S).
        //= spec/oauth21.md#4-1-2
        //# The challenge of a code MUST stay where nobody can read it out (AS-07, S).
        let record = CodeRecord {
            client_id: request.client_id.clone(),
            redirect_uri: request.redirect_uri.clone(),
            code_challenge: request.code_challenge.clone(),
            scopes: request.scopes.clone(),
            resource: request.resource.clone(),
            caller: KnownCaller::from(self.caller.clone()),
            identified_at: self.identified_at,
            created_at: cx.now(),
            expires_at: end,
            failures: 0,
            redeemed: None,
        };
        let key = Key::code(self.tenant(), &lookup_hash("code", self.code.expose()));
        let gone_at = end.plus(cx.engine.limits().tombstone_ms);
        [
            cx.put(&key, Precondition::Absent, &record, id, Some(gone_at)),
            put_index(Key::expiry(self.tenant(), gone_at, &key), None),
        ]
    }

    /// A client that somebody uses is kept; whether or not that is to be written now, it is as it was shown.
    fn client(&self, cx: &Context<'_>, id: OperationId, client: &Stored<ClientRecord>) -> Vec<Write> {
        let noted = note_use(cx, self.tenant(), client, id);
        if noted.is_empty() { vec![keep(self.client_key(), client.version)] } else { noted }
    }

    fn approval(
        &self,
        cx: &Context<'_>,
        id: OperationId,
        consent: &ConsentRecord,
        client: &ClientRecord,
        before: Option<&Versioned>,
    ) -> Result<Write, Failure> {
        let key = self.approval_key();
        let before = cx.open::<ApprovalRecord>(&key, before)?;
        let request = &consent.request;
        let approval = ApprovalRecord {
            client_id: request.client_id.clone(),
            redirect_uri: request.redirect_uri.clone(),
            scopes: request.scopes.clone(),
            resource: request.resource.clone(),
            version: client.version,
            at: cx.now(),
        };
        Ok(cx.put(&key, as_seen(before.as_ref()), &approval, id, None))
    }

    fn staged(&self, cx: &Context<'_>, rest: &[Option<Versioned>]) -> Result<Vec<Promotion>, Failure> {
        let mut staged = Vec::new();
        for (connector, three) in self.staging.connectors.iter().zip(rest.chunks(3)) {
            let [grant, connection, config] = three else { return Err(Code::Internal.into()) };
            let place = self.staging.place(connector);
            let key = self.staging.staged_key(connector);
            let stored = cx.open::<StagedRecord>(&key, grant.as_ref())?.ok_or(Code::ConsentStale)?;
            let config_key = Key::connector(&place.tenant, &place.connector);
            staged.push(Promotion {
                stored,
                key,
                connection: cx.open::<Connection>(&place.key(), connection.as_ref())?,
                connector: cx.open::<ConnectorRecord>(&config_key, config.as_ref())?,
                config_key,
                place,
            });
        }
        Ok(staged)
    }
}

/// A staged grant about to become the person's.
struct Promotion {
    stored: Stored<StagedRecord>,
    key: Key,
    connection: Option<Stored<Connection>>,
    connector: Option<Stored<ConnectorRecord>>,
    config_key: Key,
    place: crate::upstream::Place,
}

impl Promotion {
    /// Whether it has. If the connection was disconnected or connected anew since, it stays as it is, and the staged tokens go.
    fn promote(self, cx: &Context<'_>, id: OperationId, writes: &mut Vec<Write>) -> bool {
        let Self { stored, key, connection, connector, config_key, place } = self;
        let as_connection = as_seen(connection.as_ref());
        let gone = delete(key, stored.unchanged());
        let staged = stored.record;
        let was_there = connection.is_some();
        let mut connection = connection.map_or_else(|| Connection::new(staged.connection), |it| it.record);
        let family = connection.grant.as_ref().map(|grant| grant.family);
        let unmoved = was_there && connection.epoch == staged.epoch && family == staged.family;
        let stands = unmoved && connector.is_some();
        if stands {
            let StagedRecord { grant, account, requested, by, .. } = staged;
            connection.adopt(NewGrant { grant, account, requested, by }, cx.now());
        } else {
            connection.park(staged.grant.parked());
        }
        let index = schedule(cx, &place, &mut connection);
        writes.push(cx.put(&place.key(), as_connection, &connection, id, None));
        writes.push(gone);
        writes.extend(index);
        writes.extend(connector.filter(|_| stands).map(|connector| keep(config_key, connector.version)));
        stands
    }
}

/// What a person is shown before they approve, as one number: all that the approval grants.
pub(crate) fn shown(
    consent: &ConsentRecord,
    client: &ClientRecord,
    caller: &Caller,
    staged: &[&StagedRecord],
) -> String {
    let request = &consent.request;
    let mut digest = Sha256::new();
    let mut add = |part: &[u8]| {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    };
    add(request.client_id.as_bytes());
    add(&client.version.0);
    add(request.redirect_uri.as_bytes());
    add(request.scopes.to_string().as_bytes());
    add(request.resource.as_bytes());
    add(caller.principal.kind().as_str().as_bytes());
    add(caller.principal.id().as_bytes());
    for (connector, staged) in consent.staged.iter().zip(staged) {
        add(connector.as_str().as_bytes());
        add(staged.grant.scopes.to_string().as_bytes());
        let subject = staged.account.as_ref().map_or("", |account| account.subject.as_str());
        add(subject.as_bytes());
    }
    crate::hex::with_text(&digest.finalize(), str::to_owned)
}
