//! A new grant takes its place in a connection: at the end of a flow, or of the consent session that the flow belonged to.

use crate::moment::UnixMillis;
use crate::principal::Principal;
use crate::protocol::id_token::Account;
use crate::protocol::scopes::Scopes;
use crate::store::records::{Awaiting, Connection, Grant};

/// A grant of a new consent, with what else the consent has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub(crate) struct NewGrant {
    /// As it will stand in the connection, but for its family.
    pub(crate) grant: Grant,
    pub(crate) account: Option<Account>,
    /// The scopes that the flow requested.
    pub(crate) requested: Scopes,
    /// Who went through the flow.
    pub(crate) by: Principal,
}

impl NewGrant {
    /// Whether a reconnect has arrived as somebody else.
    fn is_another_account(&self, connection: &Connection) -> bool {
        let (Some(before), Some(now)) = (&connection.account, &self.account) else { return false };
        let same_issuer =
            connection.grant.as_ref().is_none_or(|grant| grant.terms.issuer == self.grant.terms.issuer);
        same_issuer && before.subject != now.subject
    }
}

impl Connection {
    /// Makes the grant the connection's, whose earlier one goes to the outbox; one of another account waits for the owner's word.
    pub(crate) fn adopt(&mut self, new: NewGrant, now: UnixMillis) {
        if new.is_another_account(self) {
            if let Some(earlier) = self.awaiting.take() {
                self.park(earlier.grant.parked());
            }
            let NewGrant { grant, account, requested, by } = new;
            self.awaiting = Some(Box::new(Awaiting { grant, account, requested, by }));
            return;
        }
        let NewGrant { mut grant, account, requested, by } = new;
        self.retire_grant();
        self.generation = self.generation.saturating_add(1);
        grant.family = self.generation;
        self.grant = Some(Box::new(grant));
        self.account = account.or_else(|| self.account.take());
        self.connected_by = Some(by);
        self.connected_at = Some(now);
        self.requested = requested;
        self.last_failure = None;
        self.purged_until = None;
    }
}
