//! Whether the properties hold of what is stored: at each commit, and in each state.

use std::collections::BTreeMap;
use std::sync::Arc;

use grantway_core::model::{
    CodeSight, ConsentSight, FamilySight, Inspection, Sight, connection_key, consent_key, staged_key, token,
};
use grantway_core::operation::Write;
use grantway_core::secret::Secret;
use grantway_core::store::Key;

use super::ask::{Ask, Person};
use super::case::{Case, principal};
use super::happening::Happening;
use super::property::Property;
use super::world::{Asked, World};
use crate::issuer::Token;
use crate::rows::Rows;

type Sights = BTreeMap<Key, Sight>;

impl<R: Rows> World<R> {
    /// Looks at a commit that was applied: the records before, and `self.sights` after it.
    pub(super) fn judge_commit(&mut self, asked: &Asked, before: &Sights, writes: &[Write]) {
        let after = Arc::clone(&self.sights);
        let mints = writes.iter().any(|write| {
            matches!((before.get(&write.key), after.get(&write.key)), (None, Some(Sight::Code(_))))
        });
        for Write { key, .. } in writes {
            match (before.get(key), after.get(key)) {
                (None, Some(Sight::Code(code))) => self.minted(asked, code, before, &after),
                (Some(Sight::Consent(old)), Some(Sight::Consent(new))) => self.turned(old, new, mints),
                (old @ (None | Some(Sight::Family(_))), Some(Sight::Family(new))) => {
                    let old = match old {
                        Some(Sight::Family(old)) => Some(old),
                        _ => None,
                    };
                    self.given(asked, old, new);
                }
                (old @ (None | Some(Sight::Connection(_))), Some(Sight::Connection(new))) => {
                    let old = match old {
                        Some(Sight::Connection(old)) => Some(old.as_ref()),
                        _ => None,
                    };
                    self.connected(key, old, new, mints);
                }
                (Some(Sight::Staged(_)), None) if !mints => self.case.coverage.note(Happening::Dropped),
                _ => {}
            }
        }
    }

    /// A code was minted.
    fn minted(&mut self, asked: &Asked, code: &CodeSight, before: &Sights, after: &Sights) {
        let (Ask::Approve { seat, .. }, Some(page)) = (asked.ask, &asked.page) else {
            self.breaks(Property::ApprovedInPerson);
            return;
        };
        let opened = Arc::clone(&self.known.consents[&page.consent]);
        let key = consent_key(&self.case.tenant, &opened.id);
        let (Some(Sight::Consent(old)), Some(Sight::Consent(new))) = (before.get(&key), after.get(&key))
        else {
            self.breaks(Property::GrantsAndCodeAreOne);
            return;
        };
        let person = principal(seat.person);
        let is_theirs = code.person == person && old.person.as_ref() == Some(&person);
        if !is_theirs || opened.browser != seat.browser {
            self.breaks(Property::ApprovedInPerson);
        }
        let staged: Vec<_> = old.staged.iter().map(|connector| connector.as_str().to_owned()).collect();
        let shown = page.redirect_uri == code.redirect_uri
            && page.resource == code.resource
            && page.staged == staged
            && code.client == self.case.client_id(opened.client);
        if !shown || page.seat != seat {
            self.breaks(Property::ApprovedAsShown);
        }
        if !old.open || new.open || self.ghost.approved.contains_key(&page.consent) {
            self.breaks(Property::OneEndOfASession);
        }
        for connector in &old.staged {
            let key = staged_key(&self.case.tenant, &opened.id, connector);
            let Some(Sight::Staged(staged)) = before.get(&key) else { continue };
            let place = connection_key(&self.case.tenant, &person, connector);
            let stands = match after.get(&place) {
                Some(Sight::Connection(connection)) => holds(connection, &staged.access_token),
                _ => false,
            };
            if after.contains_key(&key) || !stands {
                self.breaks(Property::GrantsAndCodeAreOne);
            }
            if let Some(number) = self.code_of(&staged.access_token) {
                self.ghost.promoted |= 1 << number;
            }
        }
        self.ghost.approved.insert(page.consent, Arc::clone(page));
    }

    /// A consent session was written.
    fn turned(&mut self, old: &ConsentSight, new: &ConsentSight, mints: bool) {
        if !old.open && (new.open || old != new || mints) {
            self.breaks(Property::OneEndOfASession);
        }
    }

    /// A family of tokens was written.
    fn given(&mut self, asked: &Asked, old: Option<&FamilySight>, new: &FamilySight) {
        let client = match asked.ask {
            Ask::Redeem { client, .. } | Ask::Refresh { client, .. } | Ask::Revoke { client, .. } => {
                Some(client)
            }
            _ => None,
        };
        let is_its_client = client.is_some_and(|client| self.case.client_id(client) == new.client);
        let proved = is_its_client && !matches!(asked.ask, Ask::Redeem { proof: false, .. });
        let Some(old) = old else {
            let Ask::Redeem { code, .. } = asked.ask else { return self.breaks(Property::CodeIsItsClients) };
            let page = self.ghost.approved.get(&code);
            let is_the_codes = page.is_some_and(|page| {
                let client = self.case.client_id(self.known.consents[&page.consent].client);
                new.person == principal(page.seat.person)
                    && new.resource == page.resource
                    && new.client == client
            });
            if !proved || !is_the_codes {
                self.breaks(Property::CodeIsItsClients);
            }
            let families = self.ghost.families.entry(code).or_default();
            *families += 1;
            if *families > 1 {
                self.breaks(Property::CodeBuysOneFamily);
            }
            return;
        };
        if new.dead && !old.dead {
            let revokes = matches!(asked.ask, Ask::Revoke { .. });
            self.case.coverage.note(if revokes { Happening::Returned } else { Happening::Replayed });
            if !proved {
                self.breaks(Property::OnlyItsClientEndsASignIn);
            }
            if let Ask::Refresh { tokens, .. } = asked.ask {
                let presented = token(&self.case.tenant, self.known.tokens[&tokens].refresh.expose());
                if presented.is_some_and(|presented| self.is_in_grace(old, &presented.hash)) {
                    self.breaks(Property::GraceKeepsTheSignIn);
                }
            }
        }
        if new.refresh != old.refresh && !new.dead {
            let follows = new.parents.first() == old.refresh.as_ref();
            if !follows || old.dead || !proved {
                self.breaks(Property::OneChainOfRefreshTokens);
            }
            self.ghost.rotated_at = Some(asked.since);
        }
    }

    /// A connection was written.
    fn connected(&mut self, key: &Key, old: Option<&Inspection>, new: &Inspection, mints: bool) {
        if old.is_some_and(|old| old.epoch < new.epoch) {
            for (number, person) in self.ghost.agreed.iter().enumerate() {
                let place = connection_key(&self.case.tenant, &principal(*person), &self.case.connector);
                self.ghost.void |= u8::from(place == *key) << number;
            }
        }
        let access = |of: &Inspection| of.grant.as_ref().map(|grant| grant.access_token.clone());
        let Some(now) = access(new).filter(|now| old.and_then(access).as_ref() != Some(now)) else { return };
        if self.code_of(&now).is_some_and(|number| self.ghost.void & (1 << number) != 0) {
            self.breaks(Property::DisconnectBeatsApproval);
        }
        // Every grant of this model is got in a consent session.
        if !mints {
            self.breaks(Property::GrantsAndCodeAreOne);
        }
        if !self.owner_agreed(&now, |case, person| {
            connection_key(&case.tenant, &principal(person), &case.connector) == *key
        }) {
            self.breaks(Property::NoGrantBecomesAnothers);
        }
    }

    /// Whether it was the owner who agreed to this upstream token at the issuer.
    fn owner_agreed(&self, token: &Secret, owns: impl Fn(&Case, Person) -> bool) -> bool {
        let agreed = self.code_of(token).and_then(|number| self.ghost.agreed.get(number));
        agreed.is_some_and(|person| owns(&self.case, *person))
    }

    /// The upstream code that brought a token, from 0.
    pub(super) fn code_of(&self, token: &Secret) -> Option<usize> {
        self.ground.issuer.code_of(Token::parse(token.expose())?)
    }

    /// What can be told from a state alone.
    pub(super) fn judge(&mut self) {
        let sights = Arc::clone(&self.sights);
        let opened: Vec<_> = self.known.consents.values().cloned().collect();
        for opened in opened {
            let tenant = &self.case.tenant;
            let key = staged_key(tenant, &opened.id, &self.case.connector);
            let Some(Sight::Staged(staged)) = sights.get(&key) else { continue };
            let person = match sights.get(&consent_key(tenant, &opened.id)) {
                Some(Sight::Consent(consent)) => consent.person.as_ref(),
                _ => None,
            };
            let owns = |_: &Case, person| principal(person) == staged.owner;
            if person != Some(&staged.owner) || !self.owner_agreed(&staged.access_token, owns) {
                self.breaks(Property::NoGrantBecomesAnothers);
            }
        }
        if self.is_quiet() && self.forgets_a_token() {
            self.breaks(Property::NoUpstreamTokenIsForgotten);
        }
    }

    /// Whether a family lives upstream that nothing here would ever end and nothing speaks of.
    fn forgets_a_token(&self) -> bool {
        let mut known: Vec<&Secret> = Vec::new();
        for sight in self.sights.values() {
            match sight {
                Sight::Connection(connection) if connection.doubt || connection.redeeming => return false,
                Sight::Connection(connection) => {
                    known.extend(&connection.outbox);
                    known.extend(connection.grant.iter().filter_map(|grant| grant.refresh_token.as_ref()));
                }
                Sight::Staged(staged) => known.extend(&staged.refresh_token),
                Sight::Code(_) | Sight::Consent(_) | Sight::Family(_) => {}
            }
        }
        let ended: Vec<_> = known
            .iter()
            .filter_map(|token| self.ground.issuer.ended_by_revoking(Token::parse(token.expose())?))
            .collect();
        self.ground.issuer.live_families().any(|family| !ended.contains(&family))
    }
}

/// Whether a connection has this access token, in use or to be revoked.
fn holds(connection: &Inspection, access_token: &Secret) -> bool {
    let is_used = connection.grant.as_ref().is_some_and(|grant| grant.access_token == *access_token);
    is_used || connection.outbox.contains(access_token)
}
