//! The tokens of one sign-in: how they are given, how long they live, and how they all end at once.

use super::credential::{TokenKind, new_token, same, token_hash};
use crate::error::Code;
use crate::event::What;
use crate::limits::{ACCESS_TOKENS_MAX, Limits, PARENTS_MAX};
use crate::moment::{Entropy, UnixMillis};
use crate::operation::{Context, OperationId, Precondition, Versioned, Write};
use crate::principal::{Caller, Principal, PrincipalKind, TenantId};
use crate::secret::Secret;
use crate::store::records::{
    AccessToken, Digest, FamilyId, FamilyRecord, KnownCaller, Pair, RefreshToken, Revoked,
};
use crate::store::{Key, Stored, delete, put_index};
use crate::upstream::{Decide, Decision};

/// A pair of tokens that nobody has been given yet. Drawn before the transaction that makes them good, so that each of its tries
/// would write the same.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Drawn {
    pub(crate) access: Secret,
    pub(crate) refresh: Secret,
}

impl Drawn {
    pub(crate) fn new(entropy: &Entropy, family: FamilyId) -> Self {
        Self {
            access: new_token(entropy, "token/access", TokenKind::Access, family),
            refresh: new_token(entropy, "token/refresh", TokenKind::Refresh, family),
        }
    }
}

impl FamilyRecord {
    /// Makes a pair good: the access token beside those that still live, the refresh token in the place of the one before.
    pub(crate) fn give(&mut self, now: UnixMillis, limits: &Limits, pair: &Drawn, refreshes: bool) {
        let end = self.ends_by(limits);
        let until = |ms| now.plus(ms).min(end);
        self.access.retain(|token| now < token.expires_at);
        //= spec/mcp-2026-07-28.md#sec-token-theft
        //# Access tokens SHOULD be short-lived, and codes and tokens MUST be impossible to guess (TOK-20, S).
        self.access.push(AccessToken {
            hash: token_hash(TokenKind::Access, pair.access.expose()),
            created_at: now,
            expires_at: until(limits.access_token_ms),
        });
        let surplus = self.access.len().saturating_sub(ACCESS_TOKENS_MAX);
        self.access.drain(..surplus);
        if !refreshes {
            return;
        }
        if let Some(parent) = self.refresh.take() {
            self.parents.insert(0, parent.hash);
            self.parents.truncate(PARENTS_MAX);
            self.newest = Some(Pair {
                access: pair.access.clone(),
                refresh: pair.refresh.clone(),
                created_at: now,
                until: now.plus(limits.refresh_grace_ms),
            });
        }
        //= spec/oauth21.md#4-3-3
        //# A new refresh token MUST keep the scopes, be impossible to guess, and SHOULD end when nobody uses
        //# it (REF-11, S).
        self.refresh = Some(RefreshToken {
            hash: token_hash(TokenKind::Refresh, pair.refresh.expose()),
            created_at: now,
            expires_at: until(limits.refresh_idle_ms),
        });
    }

    /// The access token of this hash, if it is good.
    pub(crate) fn access_token(
        &self,
        now: UnixMillis,
        limits: &Limits,
        hash: &Digest,
    ) -> Option<&AccessToken> {
        let token = self.access.iter().find(|token| same(&token.hash, hash))?;
        // One from a time to come was given under a clock that has been set back since.
        let began = token.created_at <= now.plus(limits.clock_skew_ms);
        (self.revoked.is_none() && began && now < token.expires_at).then_some(token)
    }

    /// Whether a refresh token of this hash was ever given, as far as is remembered.
    pub(crate) fn knows_refresh(&self, hash: &Digest) -> bool {
        let current = self.refresh.iter().map(|token| &token.hash);
        current.chain(&self.parents).any(|known| same(known, hash))
    }

    /// Whether the host has to be asked whether the principal still stands. A session is nobody that the host knows.
    pub(crate) fn must_ask(&self, now: UnixMillis, limits: &Limits) -> bool {
        let at = self.identified_at;
        // P26: an answer from a time to come is no answer.
        let is_recent = at <= now.plus(limits.clock_skew_ms) && at.until(now) < limits.identity_max_age_ms;
        self.caller.principal.kind() != PrincipalKind::Session && !is_recent
    }

    /// Notes what the host has answered. How sure it is of the principal never rises above what the person has proved at the sign-in.
    pub(crate) fn confirm(&mut self, caller: Caller, now: UnixMillis) {
        let assurance = caller.assurance.min(self.caller.assurance);
        self.caller = KnownCaller { assurance, ..KnownCaller::from(caller) };
        self.identified_at = now;
        if self.newest.as_ref().is_some_and(|pair| pair.until <= now) {
            self.newest = None;
        }
    }

    /// From when on nobody can do anything with it.
    pub(crate) fn ends_at(&self) -> UnixMillis {
        let access = self.access.iter().map(|token| token.expires_at);
        let refresh = self.refresh.iter().map(|token| token.expires_at);
        access.chain(refresh).max().unwrap_or(self.created_at)
    }

    /// No token lives longer than the session that it stands for.
    fn ends_by(&self, limits: &Limits) -> UnixMillis {
        match self.caller.principal.kind() {
            PrincipalKind::Session => self.created_at.plus(limits.session_ms),
            _ => UnixMillis(u64::MAX),
        }
    }
}

/// Writes a new family, where lists and the sweep find it.
pub(crate) fn begin(
    cx: &Context<'_>,
    by: OperationId,
    tenant: &TenantId,
    id: FamilyId,
    family: &FamilyRecord,
) -> Vec<Write> {
    let key = Key::family(tenant, &id.0);
    let ends_at = family.ends_at();
    vec![
        cx.put(&key, Precondition::Absent, family, by, Some(ends_at)),
        put_index(Key::by_client(tenant, &family.client_id, &id.0), None),
        put_index(Key::by_principal(tenant, &family.caller.principal, &id.0), None),
        put_index(Key::expiry(tenant, ends_at, &key), None),
    ]
}

/// Writes what a family has become. The first write is the record's.
pub(crate) fn change(
    cx: &Context<'_>,
    by: OperationId,
    tenant: &TenantId,
    id: FamilyId,
    before: &Stored<FamilyRecord>,
    after: &FamilyRecord,
) -> Vec<Write> {
    let key = Key::family(tenant, &id.0);
    let mut writes = vec![cx.put(&key, before.unchanged(), after, by, Some(after.ends_at()))];
    move_entry(&mut writes, tenant, &key, before.record.ends_at(), after.ends_at());
    writes
}

/// Writes the end of a family: all its tokens are dead, and it stands in no list.
pub(crate) fn end(
    cx: &Context<'_>,
    by: OperationId,
    tenant: &TenantId,
    id: FamilyId,
    before: &Stored<FamilyRecord>,
    reason: Revoked,
) -> Vec<Write> {
    let key = Key::family(tenant, &id.0);
    let gone_at = cx.now().plus(cx.engine.limits().tombstone_ms);
    let dead = FamilyRecord {
        access: Vec::new(),
        refresh: None,
        parents: Vec::new(),
        newest: None,
        revoked: Some(reason),
        ..before.record.clone()
    };
    let mut writes = vec![cx.put(&key, before.unchanged(), &dead, by, Some(gone_at))];
    writes.extend(unlist(tenant, id, &before.record));
    move_entry(&mut writes, tenant, &key, before.record.ends_at(), gone_at);
    writes
}

/// Removes a family that has ended by itself.
pub(crate) fn remove(tenant: &TenantId, id: FamilyId, before: &Stored<FamilyRecord>) -> Vec<Write> {
    let key = Key::family(tenant, &id.0);
    let entry = Key::expiry(tenant, before.record.ends_at(), &key);
    let mut writes = vec![delete(key, before.unchanged()), delete(entry, Precondition::Any)];
    writes.extend(unlist(tenant, id, &before.record));
    writes
}

fn unlist(tenant: &TenantId, id: FamilyId, family: &FamilyRecord) -> [Write; 2] {
    [
        delete(Key::by_client(tenant, &family.client_id, &id.0), Precondition::Any),
        delete(Key::by_principal(tenant, &family.caller.principal, &id.0), Precondition::Any),
    ]
}

fn move_entry(writes: &mut Vec<Write>, tenant: &TenantId, key: &Key, from: UnixMillis, to: UnixMillis) {
    let old = Key::expiry(tenant, from, key);
    let new = Key::expiry(tenant, to, key);
    if old != new {
        writes.push(delete(old, Precondition::Any));
        writes.push(put_index(new, None));
    }
}

/// Ends a family, whatever has become of it meanwhile.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct End {
    pub(crate) tenant: TenantId,
    pub(crate) family: FamilyId,
    pub(crate) reason: Revoked,
}

/// Whose sign-in has ended, and with which client.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct SignedOut {
    pub(crate) principal: Principal,
    pub(crate) client: String,
    pub(crate) reason: Revoked,
}

impl SignedOut {
    pub(crate) fn of(family: &FamilyRecord, reason: Revoked) -> Self {
        Self { principal: family.caller.principal.clone(), client: family.client_id.clone(), reason }
    }

    /// Notes it.
    pub(crate) fn tell(self, cx: &mut Context<'_>, tenant: &TenantId) {
        let Self { principal, client, reason } = self;
        if reason == Revoked::Replayed {
            cx.emit(tenant, Some(&principal), None, What::ReplaySeen { client: client.clone() });
        }
        let what = What::SignedOut { client, reason };
        match reason {
            Revoked::ByClient => cx.emit_as(tenant, &principal, what),
            Revoked::ByOwner | Revoked::PrincipalGone | Revoked::Replayed => {
                cx.emit(tenant, Some(&principal), None, what);
            }
        }
    }
}

impl Decide for End {
    /// `None`: there was nothing left to end.
    type Output = Option<SignedOut>;

    fn keys(&self) -> Vec<Key> {
        vec![Key::family(&self.tenant, &self.family.0)]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Self::Output> {
        let [found] = found else { return Decision::fail(Code::Internal) };
        match cx.open::<FamilyRecord>(&Key::family(&self.tenant, &self.family.0), found.as_ref()) {
            Ok(Some(before)) if before.record.revoked.is_none() => {
                let writes = end(cx, id, &self.tenant, self.family, &before, self.reason);
                Decision::Commit(writes, Some(SignedOut::of(&before.record, self.reason)))
            }
            Ok(_) => Decision::done(None),
            Err(failure) => Decision::fail(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Moment;
    use crate::principal::Assurance;
    use crate::protocol::scopes::Scopes;
    use crate::upstream::testing::{NOW, caller};

    const FAMILY: FamilyId = FamilyId([1; 16]);

    fn drawn(seed: u8) -> Drawn {
        Drawn::new(&Moment::new(NOW, [seed; 32]).entropy, FAMILY)
    }

    fn family(caller: Caller) -> FamilyRecord {
        FamilyRecord {
            client_id: "c".to_owned(),
            caller: caller.into(),
            identified_at: NOW,
            scopes: Scopes::default(),
            resource: "https://gw.good/mcp".to_owned(),
            created_at: NOW,
            access: Vec::new(),
            refresh: None,
            parents: Vec::new(),
            newest: None,
            revoked: None,
        }
    }

    fn session() -> Caller {
        let principal = Principal::new(PrincipalKind::Session, "s").unwrap();
        Caller::new("acme", principal).unwrap().with_assurance(Assurance::Ephemeral)
    }

    #[test]
    fn few_access_tokens_and_few_parents_are_kept_and_the_oldest_go() {
        let (mut family, limits) = (family(caller("alice")), Limits::default());
        for seed in 1..=30 {
            family.give(NOW.plus(u64::from(seed)), &limits, &drawn(seed), true);
        }
        assert_eq!((family.access.len(), family.parents.len()), (ACCESS_TOKENS_MAX, PARENTS_MAX));
        let hash = |seed| token_hash(TokenKind::Access, drawn(seed).access.expose());
        assert_eq!((family.access[0].hash, family.access[7].hash), (hash(23), hash(30)));
        let parent = |seed| token_hash(TokenKind::Refresh, drawn(seed).refresh.expose());
        assert_eq!((family.parents[0], family.parents[15]), (parent(29), parent(14)));
        family.give(NOW.plus(limits.access_token_ms + 1000), &limits, &drawn(31), true);
        assert_eq!(family.access.len(), 1, "those that have ended are gone");
    }

    //= spec/mcp-2026-07-28.md#sec-token-theft
    //= type=test
    //# Access tokens SHOULD be short-lived, and codes and tokens MUST be impossible to guess (TOK-20, S).
    // atk:TOK-13
    #[test]
    fn an_access_token_is_good_from_its_time_to_its_end() {
        let (mut family, limits) = (family(caller("alice")), Limits::default());
        family.give(NOW, &limits, &drawn(1), false);
        assert!(family.refresh.is_none() && family.newest.is_none());
        let hash = family.access[0].hash;
        let good = |family: &FamilyRecord, now| family.access_token(now, &limits, &hash).is_some();
        assert!(good(&family, NOW) && good(&family, NOW.minus(limits.clock_skew_ms)));
        assert!(good(&family, NOW.plus(3_599_999)) && !good(&family, NOW.plus(3_600_000)));
        assert!(!good(&family, NOW.minus(limits.clock_skew_ms + 1)));
        family.revoked = Some(Revoked::ByOwner);
        assert!(!good(&family, NOW));
    }

    #[test]
    fn no_token_outlives_the_session_it_stands_for() {
        let limits = Limits::default();
        let mut family = family(session());
        family.give(NOW.plus(limits.session_ms - 1000), &limits, &drawn(1), true);
        assert_eq!(family.ends_at(), NOW.plus(limits.session_ms));
        assert_eq!(family.access[0].expires_at, NOW.plus(limits.session_ms));
    }

    #[test]
    fn the_host_is_asked_when_its_answer_is_old_or_from_a_time_to_come_and_never_about_a_session() {
        let limits = Limits::default();
        let (person, visitor) = (family(caller("alice")), family(session()));
        for (now, asked) in [
            (NOW, false),
            (NOW.plus(limits.identity_max_age_ms - 1), false),
            (NOW.plus(limits.identity_max_age_ms), true),
            (NOW.minus(limits.clock_skew_ms), false),
            (NOW.minus(limits.clock_skew_ms + 1), true),
        ] {
            assert_eq!(person.must_ask(now, &limits), asked, "{now:?}");
            assert!(!visitor.must_ask(now, &limits));
        }
    }

    #[test]
    fn an_answer_of_the_host_changes_teams_and_role_and_never_raises_the_assurance() {
        use crate::principal::Role;
        let mut family = family(caller("alice").with_assurance(Assurance::Possession));
        family.confirm(caller("alice").with_role(Role::Admin), NOW.plus(1));
        assert_eq!((family.caller.role, family.caller.assurance), (Role::Admin, Assurance::Possession));
        family.confirm(caller("alice").with_assurance(Assurance::Asserted), NOW.plus(2));
        assert_eq!((family.caller.role, family.caller.assurance), (Role::Member, Assurance::Asserted));
        assert_eq!(family.identified_at, NOW.plus(2));
    }

    #[test]
    fn a_pair_to_be_given_again_is_forgotten_when_its_time_is_over() {
        let (mut family, limits) = (family(caller("alice")), Limits::default());
        family.give(NOW, &limits, &drawn(1), true);
        family.give(NOW, &limits, &drawn(2), true);
        family.confirm(caller("alice"), NOW.plus(limits.refresh_grace_ms - 1));
        assert!(family.newest.is_some());
        family.confirm(caller("alice"), NOW.plus(limits.refresh_grace_ms));
        assert!(family.newest.is_none());
    }
}
