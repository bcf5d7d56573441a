//! `list_sign_ins` and `revoke_sign_in`: the MCP clients that are signed in for a person, or the people that a client is signed in
//! for, and how that ends.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::family::{self, SignedOut};
use crate::engine::Engine;
use crate::error::{Code, Failure};
use crate::event::What;
use crate::hex;
use crate::moment::UnixMillis;
use crate::operation::{
    Answer, Context, Effect, Machine, Operation, OperationId, Progress, Versioned, machine,
};
use crate::policy::{has_role, may_withdraw};
use crate::principal::{Caller, Principal, Role};
use crate::protocol::scopes::Scopes;
use crate::store::Key;
pub use crate::store::records::Revoked;
use crate::store::records::{FamilyId, FamilyRecord};
use crate::upstream::page::{self, Cursor, Page, scan};
use crate::upstream::single::{Act, News, Single, Told, single};
use crate::upstream::{Decide, Decision};

/// Names one sign-in of one client. It is no secret and gives nobody anything. 32 hexadecimal digits in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignInId(pub(crate) FamilyId);

/// Lists sign-ins.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListSignIns {
    /// Who asks.
    pub caller: Caller,
    /// Which ones. Default: the caller's own.
    #[serde(default)]
    pub of: Option<SignInsOf>,
    /// Where the page before ended. `None`: the first page.
    #[serde(default)]
    pub after: Option<Cursor>,
    /// The length of the page, 1 to 100.
    pub limit: u32,
}

/// Which sign-ins are listed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignInsOf {
    /// All of this client. For administrators.
    Client(String),
    /// All of this principal. For itself, and administrators.
    Owner(Principal),
}

/// A client that is signed in for somebody.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct SignIn {
    /// Which sign-in it is.
    pub id: SignInId,
    /// Which client.
    pub client_id: String,
    /// For whom.
    pub owner: Principal,
    /// The endpoint that its tokens are for.
    pub resource: String,
    /// What it was allowed.
    pub scopes: Scopes,
    /// When the person signed it in.
    pub created_at: UnixMillis,
    /// When it last got tokens.
    pub refreshed_at: UnixMillis,
    /// When it ends, if nothing more is heard of the client.
    pub expires_at: UnixMillis,
}

/// Ends a sign-in. For its owner and administrators.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeSignIn {
    /// Who asks.
    pub caller: Caller,
    /// Which sign-in.
    pub id: SignInId,
}

/// What the end of a sign-in came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SignInRevoked {
    /// Its tokens are dead from now on.
    Revoked,
    /// There is no such sign-in, not any more, or it is somebody else's.
    Unknown,
}

impl SignInId {
    /// From its 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        hex::read(text).map(|id| Self(FamilyId(id)))
    }
}

impl std::fmt::Display for SignInId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        hex::with_text(&self.0.0, |text| f.write_str(text))
    }
}

impl Engine {
    /// Lists the clients that are signed in.
    ///
    /// Failures: `user.not_allowed`, those of the store.
    pub fn list_sign_ins(self: &Arc<Self>, arguments: ListSignIns) -> Operation<ListingSignIns> {
        let actor = Some(arguments.caller.principal.clone());
        Operation::new(Arc::clone(self), actor, ListingSignIns(State::Fresh(Box::new(arguments))))
    }

    /// Ends a sign-in: its access tokens are dead at once, in every process.
    ///
    /// Failures: those of the store.
    pub fn revoke_sign_in(self: &Arc<Self>, arguments: RevokeSignIn) -> Operation<RevokingSignIn> {
        let actor = Some(arguments.caller.principal.clone());
        Operation::new(Arc::clone(self), actor, RevokingSignIn::within(arguments))
    }
}

/// A `list_sign_ins` under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct ListingSignIns(State);

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    /// What the index has named.
    AwaitFamilies(Vec<(FamilyId, Key)>, Option<Cursor>),
    /// With the prefix that is scanned.
    AwaitPage(Caller, Key),
    Fresh(Box<ListSignIns>),
}

impl ListingSignIns {
    /// The same as a part of another machine.
    pub(crate) fn within(arguments: ListSignIns) -> Self {
        Self(State::Fresh(Box::new(arguments)))
    }
}

impl RevokingSignIn {
    /// The same as a part of another machine.
    pub(crate) fn within(arguments: RevokeSignIn) -> Self {
        let RevokeSignIn { caller, id } = arguments;
        Self(Single::new(TakeAway { caller, id }))
    }
}

impl machine::Sealed for ListingSignIns {}

impl Machine for ListingSignIns {
    type Output = Page<SignIn>;

    #[allow(private_interfaces)]
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Page<SignIn>> {
        match (self.0, answer) {
            (State::Fresh(arguments), Answer::Start) => Self::begin(*arguments),
            (State::AwaitPage(caller, prefix), Answer::Scan(Some((entries, more)))) => {
                let next = page::next(&prefix, &entries, more);
                let families: Option<Vec<_>> = entries
                    .iter()
                    .map(|(entry, _)| {
                        let family = entry.family_target()?;
                        Some((FamilyId(family), Key::family(&caller.tenant, &family)))
                    })
                    .collect();
                let Some(families) = families else { return Progress::fail(Code::StoreIntegrity) };
                if families.is_empty() {
                    return Progress::done(Page { items: Vec::new(), next });
                }
                let keys = families.iter().map(|(_, key)| key.clone()).collect();
                Progress::Perform(Self(State::AwaitFamilies(families, next)), Effect::Read { keys })
            }
            (State::AwaitFamilies(families, next), Answer::Read(Some(found))) => {
                let rows = families.iter().zip(&found);
                let items: Result<Vec<_>, Failure> = rows
                    .filter_map(|((id, key), raw)| {
                        cx.open::<FamilyRecord>(key, raw.as_ref())
                            .map(|stored| stored.and_then(|stored| shown(cx, *id, stored.record)))
                            .transpose()
                    })
                    .collect();
                match items {
                    Ok(items) => Progress::done(Page { items, next }),
                    Err(failure) => Progress::fail(failure),
                }
            }
            (State::AwaitPage(..), Answer::Scan(None)) | (State::AwaitFamilies(..), Answer::Read(None)) => {
                Progress::fail(Code::StoreUnavailable)
            }
            _ => Progress::fail(Code::Internal),
        }
    }
}

impl ListingSignIns {
    fn begin(arguments: ListSignIns) -> Progress<Self, Page<SignIn>> {
        let ListSignIns { caller, of, after, limit } = arguments;
        // atk:TEN-05, atk:TEN-09: refused before any record is read.
        let (may, prefix) = match of.unwrap_or_else(|| SignInsOf::Owner(caller.principal.clone())) {
            SignInsOf::Client(client) => {
                (has_role(&caller, Role::Admin), Key::all_by_client(&caller.tenant, &client))
            }
            SignInsOf::Owner(owner) => {
                (may_end(&caller, &owner), Key::all_by_principal(&caller.tenant, &owner))
            }
        };
        if !may {
            return Progress::fail(Code::NotAllowed);
        }
        let effect = scan(&prefix, after.as_ref(), limit);
        Progress::Perform(Self(State::AwaitPage(caller, prefix)), effect)
    }
}

/// Whether the caller may see and end the sign-ins of this principal: only it itself, and administrators.
fn may_end(caller: &Caller, owner: &Principal) -> bool {
    let is_own = *owner == caller.principal;
    (is_own && may_withdraw(caller, owner)) || has_role(caller, Role::Admin)
}

/// A sign-in as it is shown; `None`: it has ended, and whoever sweeps removes what names it.
fn shown(cx: &Context<'_>, id: FamilyId, family: FamilyRecord) -> Option<SignIn> {
    let expires_at = family.ends_at();
    if family.revoked.is_some() || expires_at <= cx.now() {
        return None;
    }
    let given = family.access.iter().map(|token| token.created_at);
    let refreshed_at = given.chain(family.refresh.map(|token| token.created_at)).max();
    Some(SignIn {
        id: SignInId(id),
        refreshed_at: refreshed_at.unwrap_or(family.created_at),
        client_id: family.client_id,
        owner: family.caller.principal,
        resource: family.resource,
        scopes: family.scopes,
        created_at: family.created_at,
        expires_at,
    })
}

single! {
    /// A sign-in being ended.
    RevokingSignIn(TakeAway) -> SignInRevoked
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct TakeAway {
    caller: Caller,
    id: SignInId,
}

impl Act for TakeAway {
    type Answer = SignInRevoked;

    /// Whose it is stands in the record.
    fn admit(&self, _: &Context<'_>) -> Result<Option<SignInRevoked>, Failure> {
        Ok(None)
    }
}

impl Decide for TakeAway {
    type Output = Told<SignInRevoked>;

    fn keys(&self) -> Vec<Key> {
        vec![Key::family(&self.caller.tenant, &self.id.0.0)]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Told<SignInRevoked>> {
        let [found] = found else { return Decision::fail(Code::Internal) };
        let (tenant, family) = (&self.caller.tenant, self.id.0);
        match cx.open::<FamilyRecord>(&Key::family(tenant, &family.0), found.as_ref()) {
            // atk:TEN-05: another's is answered as one that is not there.
            Ok(Some(before))
                if before.record.revoked.is_none()
                    && may_end(&self.caller, &before.record.caller.principal) =>
            {
                let writes = family::end(cx, id, tenant, family, &before, Revoked::ByOwner);
                let SignedOut { principal, client, reason } = SignedOut::of(&before.record, Revoked::ByOwner);
                let news = News {
                    tenant: tenant.clone(),
                    owner: Some(principal),
                    connector: None,
                    what: What::SignedOut { client, reason },
                };
                Decision::Commit(writes, Told::new(SignInRevoked::Revoked, news))
            }
            Ok(_) => Decision::done(Told::nothing_new(SignInRevoked::Unknown)),
            Err(failure) => Decision::fail(failure),
        }
    }
}
