//! Issuing a challenge: a ticket that lives as long as it should, and no second one while the first is young.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::{Decide, Decision, Transaction};
use crate::challenge::{Challenge, ChallengeReason};
use crate::event::What;
use crate::moment::UnixMillis;
use crate::operation::{Answer, Context, OperationId, Precondition, Progress, Versioned};
use crate::principal::{ConnectorId, Principal, TenantId};
use crate::protocol::scopes::Scopes;
use crate::secret::Secret;
use crate::store::records::{Ticket, TicketOf, TicketReason};
use crate::store::{Key, lookup_hash, put_index};

/// What a challenge is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub(crate) struct Need {
    pub(crate) tenant: TenantId,
    /// The principal that alone may open the link.
    pub(crate) principal: Principal,
    pub(crate) connector: ConnectorId,
    pub(crate) owner: Principal,
    pub(crate) reason: ChallengeReason,
    pub(crate) scopes: Scopes,
    /// What the resource's own challenge said: where its metadata is, and which scopes it wants.
    pub(crate) resource_metadata: Option<String>,
}

impl Need {
    /// What a ticket can be for; `None` where connecting does not help.
    fn ticket_reason(&self) -> Option<TicketReason> {
        match self.reason {
            ChallengeReason::Connect => Some(TicketReason::Connect),
            ChallengeReason::Reconnect(_) => Some(TicketReason::Reconnect),
            ChallengeReason::StepUp => Some(TicketReason::StepUp),
            ChallengeReason::AskManager | ChallengeReason::StoreSecret(_) | ChallengeReason::Suspended => {
                None
            }
        }
    }

    /// Under which live tickets are found again: all that a ticket stands for.
    fn purpose(&self, reason: TicketReason) -> String {
        let metadata = self.resource_metadata.as_deref().unwrap_or_default();
        let owner = format!("{}/{}", self.owner.kind().as_str(), self.owner.id());
        let reason = match reason {
            TicketReason::Connect => "connect",
            TicketReason::Reconnect => "reconnect",
            TicketReason::StepUp => "step_up",
        };
        format!("{reason}\n{owner}\n{}\n{metadata}", self.scopes)
    }

    fn challenge(self, cx: &Context<'_>, ticket: Option<(String, UnixMillis)>) -> Challenge {
        let base = cx.engine.base_url(&self.tenant);
        let url = ticket.as_ref().and_then(|(ticket, _)| Some(format!("{}/connect/{ticket}", base?)));
        let expires_at = ticket.as_ref().map(|(_, at)| *at);
        let id = ticket.as_ref().map(|(ticket, _)| challenge_id(ticket));
        Challenge {
            id,
            reason: self.reason,
            connector: self.connector,
            owner: self.owner,
            scopes: self.scopes,
            url,
            ticket: ticket.map(|(ticket, _)| ticket),
            expires_at,
        }
    }
}

/// A challenge being issued.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Issue {
    need: Need,
    transaction: Box<Transaction<IssueTicket>>,
}

impl Issue {
    pub(crate) fn begin(cx: &mut Context<'_>, need: Need) -> Progress<Self, Challenge> {
        let reason = need.reason.as_str().to_owned();
        cx.emit(&need.tenant, Some(&need.owner), Some(&need.connector), What::ChallengeIssued { reason });
        let Some(reason) = need.ticket_reason() else { return Progress::done(need.challenge(cx, None)) };
        let locator = cx.engine.keyring().locate(&cx.moment.entropy, "ticket", need.tenant.as_str());
        let random = cx.moment.entropy.token("ticket/random");
        let ticket = Secret::new(format!("{locator}.{}", random.expose()));
        let step = Transaction::begin(cx, IssueTicket { need: need.clone(), reason, ticket });
        Self::follow(cx, need, step)
    }

    pub(crate) fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Challenge> {
        let step = self.transaction.step(cx, answer);
        Self::follow(cx, self.need, step)
    }

    fn follow(
        cx: &Context<'_>,
        need: Need,
        step: Progress<Transaction<IssueTicket>, (Secret, UnixMillis)>,
    ) -> Progress<Self, Challenge> {
        match step {
            Progress::Perform(transaction, effect) => {
                Progress::Perform(Self { need, transaction: Box::new(transaction) }, effect)
            }
            Progress::Done(Ok((ticket, at))) => {
                Progress::done(need.challenge(cx, Some((ticket.expose().to_owned(), at))))
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
        }
    }
}

/// Names the challenge that a ticket stands for, without giving the ticket away.
pub(crate) fn challenge_id(ticket: &str) -> String {
    let hash = lookup_hash("challenge", ticket);
    BASE64_URL_SAFE_NO_PAD.encode(hash.get(..16).unwrap_or_default())
}

/// The hash under which a ticket is found.
pub(crate) fn ticket_key(tenant: &TenantId, ticket: &str) -> Key {
    Key::ticket(tenant, &lookup_hash("ticket", ticket))
}

/// The key under which a ticket's twin stands: the live ticket of what it is for.
pub(crate) fn ticket_of_key(tenant: &TenantId, ticket: &Ticket) -> Key {
    let need = Need {
        tenant: tenant.clone(),
        principal: ticket.principal.clone(),
        connector: ticket.connector.clone(),
        owner: ticket.owner.clone(),
        reason: ChallengeReason::Connect,
        scopes: ticket.scopes.clone().unwrap_or_default(),
        resource_metadata: ticket.resource_metadata.clone(),
    };
    Key::ticket_of(tenant, &need.principal, &need.connector, &need.purpose(ticket.reason))
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct IssueTicket {
    need: Need,
    reason: TicketReason,
    /// Drawn once, used if there is no live one.
    ticket: Secret,
}

impl Decide for IssueTicket {
    type Output = (Secret, UnixMillis);

    fn keys(&self) -> Vec<Key> {
        let need = &self.need;
        vec![Key::ticket_of(&need.tenant, &need.principal, &need.connector, &need.purpose(self.reason))]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<(Secret, UnixMillis)> {
        let need = &self.need;
        let twin_key =
            Key::ticket_of(&need.tenant, &need.principal, &need.connector, &need.purpose(self.reason));
        let found = found.first().and_then(Option::as_ref);
        // One that cannot be read is replaced: it only spares a ticket.
        let twin = cx.open::<TicketOf>(&twin_key, found).ok().flatten();
        let as_twin = found.map_or(Precondition::Absent, |raw| Precondition::Version(raw.version));
        let (now, limits) = (cx.now(), cx.engine.limits());
        if let Some(twin) = &twin {
            // Used again until half its life; one from the future was written by a clock that has jumped.
            let half = twin.record.created_at.plus(limits.ticket_ms / 2);
            if twin.record.created_at <= now.plus(limits.clock_skew_ms) && now < half {
                return Decision::done((twin.record.ticket.clone(), twin.record.expires_at));
            }
        }
        let expires_at = now.plus(limits.ticket_ms);
        let record = TicketOf { ticket: self.ticket.clone(), created_at: now, expires_at };
        let key = ticket_key(&need.tenant, self.ticket.expose());
        let ticket = Ticket {
            principal: need.principal.clone(),
            connector: need.connector.clone(),
            owner: need.owner.clone(),
            reason: self.reason,
            created_at: now,
            expires_at,
            resource_metadata: need.resource_metadata.clone(),
            scopes: Some(need.scopes.clone()).filter(|scopes| !scopes.is_empty()),
        };
        let writes = vec![
            cx.put(&twin_key, as_twin, &record, id, Some(expires_at)),
            cx.put(&key, Precondition::Absent, &ticket, id, Some(expires_at)),
            put_index(Key::expiry(&need.tenant, expires_at, &key), None),
            put_index(Key::expiry(&need.tenant, expires_at, &twin_key), None),
        ];
        Decision::Commit(writes, (self.ticket.clone(), expires_at))
    }
}
