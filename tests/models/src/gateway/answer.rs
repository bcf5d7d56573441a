//! Whether the properties hold of what is answered, and what whoever asked comes to know by it.

use std::sync::Arc;

use grantway_core::downstream::authenticate::SignedInCaller;
use grantway_core::downstream::response::Response;
use grantway_core::model::{FamilySight, Sight, code_key, token};
use grantway_core::secret::Secret;

use super::ask::{Ask, Client, ENDPOINTS, Person};
use super::case::{BASE, Case, principal};
use super::happening::Happening;
use super::known::{Opened, Seen, Tokens, approval, code, opened, tokens};
use super::property::Property;
use super::running::Answered;
use super::world::{Asked, World};
use crate::issuer::ISSUER;
use crate::rows::{Rows, digest};

impl<R: Rows> World<R> {
    pub(super) fn answered(&mut self, asked: &Asked, answered: Answered) {
        match answered {
            Answered::Admitted(caller) => self.admitted(asked.ask, &caller),
            Answered::Refused => {
                self.case.coverage.note(Happening::Rejected);
                self.journal.note(|| format!("{}: refused", asked.ask.words()));
            }
            Answered::Disconnected => self.journal.note(|| format!("{}: done", asked.ask.words())),
            Answered::NotReady => self.journal.note(|| format!("{}: not connected", asked.ask.words())),
            Answered::Ready(token) => self.resolved(asked.ask, &token),
            Answered::Response(response) => {
                let failure = response.failure.as_ref().map_or("", |failure| failure.slug());
                self.journal.note(|| format!("{}: {} {failure}", asked.ask.words(), response.status));
                self.responded(asked, &response, failure);
            }
        }
    }

    fn responded(&mut self, asked: &Asked, response: &Response, failure: &str) {
        let coverage = &self.case.coverage;
        match failure {
            "user.form_refused" => coverage.note(Happening::FormRefused),
            "user.consent_stale" => coverage.note(Happening::Stale),
            "user.consent_unknown" => coverage.note(Happening::Unknown),
            _ if matches!(asked.ask, Ask::Callback { .. }) && !failure.is_empty() => {
                coverage.note(Happening::Misdirected);
            }
            _ => {}
        }
        if let Some(seat) = asked.ask.seat() {
            self.known.keep_cookies(seat.browser, response);
            self.leads_away(asked.ask, response);
        }
        match asked.ask {
            Ask::Authorize { seat, client, consent, .. } => {
                if let Some(id) = opened(response) {
                    let opened = Opened { id: id.to_owned(), browser: seat.browser, client };
                    self.known.consents.insert(consent, Arc::new(opened));
                }
            }
            Ask::Show { seat, consent, page } => {
                if let Some(shown) = approval(response) {
                    self.known.pages.insert(page, Arc::new(Seen::of(consent, seat, shown)));
                }
            }
            Ask::Connect { flow, agrees, .. } => self.went_upstream(flow, agrees, response),
            Ask::Redeem { client, code, proof, tokens: number } => match tokens(response) {
                Some(tokens) => self.given_tokens(number, tokens),
                None => self.redeemed_in_vain(client, code, proof, response.status),
            },
            Ask::Refresh { client, tokens: number, into } => {
                self.refreshed(client, number, into, response);
            }
            Ask::Revoke { client, tokens: number } => {
                let token = self.known.tokens[&number].refresh.clone();
                let is_its =
                    self.family_of(&token).is_some_and(|it| it.client == self.case.client_id(client));
                if response.status == 200 && is_its && self.lives(&token) {
                    self.breaks(Property::ReplayEndsTheSignIn);
                }
            }
            Ask::Approve { .. }
            | Ask::Call { .. }
            | Ask::Callback { .. }
            | Ask::Change { .. }
            | Ask::Deny { .. }
            | Ask::Disconnect { .. }
            | Ask::Forge { .. }
            | Ask::Identify { .. }
            | Ask::Resolve { .. } => {}
        }
    }

    /// A browser may be sent to a client with a code.
    fn leads_away(&mut self, ask: Ask, response: &Response) {
        let Some((code, to)) = code(response) else { return };
        let (Some(consent), Some(seat)) = (self.known.consent_of(ask), ask.seat()) else {
            return self.breaks(Property::CodeGoesWhereShown);
        };
        let client = self.known.consents[&consent].client;
        let is_shown = self.ghost.approved.get(&consent).is_some_and(|page| {
            page.redirect_uri == to && page.seat.browser == seat.browser && client.redirect_uri() == to
        });
        if !is_shown {
            self.breaks(Property::CodeGoesWhereShown);
        }
        let key = code_key(&self.case.tenant, code.expose());
        if !key.is_some_and(|key| self.sights.contains_key(&key)) {
            self.breaks(Property::NoAnswerBeforeItIsDurable);
        }
        if self.known.codes.get(&consent) == Some(&code) {
            self.case.coverage.note(Happening::Reissued);
        }
        self.known.codes.insert(consent, code);
    }

    /// The browser goes to the upstream's issuer, where somebody agrees.
    fn went_upstream(&mut self, flow: usize, agrees: Person, response: &Response) {
        let Some(url) = response.header("location").filter(|url| url.starts_with(ISSUER)) else { return };
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let parameter = |name: &str| {
            let value = form_urlencoded::parse(query.as_bytes()).find(|(have, _)| have == name);
            value.expect("a parameter of every authorization request").1.into_owned()
        };
        let code = self.ground.issuer.authorize();
        self.ghost.agreed.push(agrees);
        let answer = form_urlencoded::Serializer::new(String::new())
            .append_pair("code", &format!("c{code}"))
            .append_pair("state", &parameter("state"))
            .append_pair("iss", ISSUER)
            .finish();
        let redirect_uri = parameter("redirect_uri");
        let path = redirect_uri.strip_prefix(BASE).expect("a callback of ours");
        self.known.callbacks.insert(flow, Secret::new(format!("{path}?{answer}")));
    }

    fn given_tokens(&mut self, number: usize, tokens: Tokens) {
        if !self.is_stored(&tokens.access) || !self.is_stored(&tokens.refresh) {
            self.breaks(Property::NoAnswerBeforeItIsDurable);
        }
        self.known.tokens.insert(number, tokens);
    }

    fn redeemed_in_vain(&mut self, client: Client, code: usize, proof: bool, status: u16) {
        if status != 400 {
            return;
        }
        let its_client = self.known.consents[&code].client;
        if client != its_client || !proof {
            return self.case.coverage.note(Happening::Refused);
        }
        let key = code_key(&self.case.tenant, self.known.codes[&code].expose());
        let family = match key.and_then(|key| self.sights.get(&key)) {
            Some(Sight::Code(code)) => code.family.as_ref(),
            _ => None,
        };
        let lives = |family| matches!(self.sights.get(family), Some(Sight::Family(family)) if !family.dead);
        // A code that was good once: whoever shows it again has heard that it is not, so its tokens are dead.
        if family.is_some_and(lives) {
            self.breaks(Property::ReplayEndsTheSignIn);
        }
    }

    fn refreshed(&mut self, client: Client, number: usize, into: usize, response: &Response) {
        let presented = self.known.tokens[&number].refresh.clone();
        if let Some(tokens) = tokens(response) {
            let (from, to) = (digest(&presented), digest(&tokens.refresh));
            match self.ghost.successors.insert(from, to) {
                None => {}
                Some(before) if before == to => self.case.coverage.note(Happening::Given),
                Some(_) => self.breaks(Property::OneChainOfRefreshTokens),
            }
            return self.given_tokens(into, tokens);
        }
        if response.status != 400 {
            return;
        }
        let Some(family) = self.family_of(&presented) else { return };
        if family.client != self.case.client_id(client) {
            return self.case.coverage.note(Happening::Refused);
        }
        if self.lives(&presented) {
            self.breaks(Property::ReplayEndsTheSignIn);
        }
    }

    /// Whether a refresh token is the parent of the current one, and the grace still lasts.
    pub(super) fn is_in_grace(&self, family: &FamilySight, hash: &[u8; 32]) -> bool {
        let age = self.ghost.rotated_at.map(|at| self.ground.elapsed_ms - at);
        family.parents.first() == Some(hash) && age.is_some_and(|age| age < Case::grace_ms())
    }

    fn admitted(&mut self, ask: Ask, caller: &SignedInCaller) {
        self.case.coverage.note(Happening::Accepted);
        self.journal.note(|| format!("{}: {}", ask.words(), caller.caller.principal.id()));
        let Ask::Call { tokens, endpoint } = ask else { return };
        let access = self.known.tokens[&tokens].access.clone();
        let is_good = token(&self.case.tenant, access.expose()).is_some_and(|token| {
            matches!(self.sights.get(&token.family), Some(Sight::Family(family)) if !family.dead
                && family.access.contains(&token.hash)
                && family.resource == format!("{BASE}{}", ENDPOINTS[endpoint])
                && family.person == caller.caller.principal
                && family.client == caller.client_id)
        });
        if !is_good {
            self.breaks(Property::TokenLivesWithItsFamily);
        }
    }

    fn resolved(&mut self, ask: Ask, token: &Secret) {
        self.case.coverage.note(Happening::Ready);
        self.journal.note(|| format!("{}: {}", ask.words(), token.expose()));
        let Ask::Resolve { person } = ask else { return };
        let code = self.code_of(token);
        if code.is_none_or(|code| self.ghost.promoted & (1 << code) == 0) {
            self.breaks(Property::StagedResolvesToNothing);
        }
        let agreed = code.and_then(|code| self.ghost.agreed.get(code));
        if agreed.map(|agreed| principal(*agreed)) != Some(principal(person)) {
            self.breaks(Property::NoGrantBecomesAnothers);
        }
    }

    fn family_of(&self, text: &Secret) -> Option<&FamilySight> {
        match self.sights.get(&token(&self.case.tenant, text.expose())?.family) {
            Some(Sight::Family(family)) => Some(family),
            _ => None,
        }
    }

    fn lives(&self, text: &Secret) -> bool {
        self.family_of(text).is_some_and(|family| !family.dead)
    }

    /// Whether a token is known to its family, or the family has died since.
    fn is_stored(&self, text: &Secret) -> bool {
        let Some(token) = token(&self.case.tenant, text.expose()) else { return false };
        self.family_of(text).is_some_and(|family| {
            let refresh = family.refresh.iter().chain(&family.parents);
            family.dead || family.access.iter().chain(refresh).any(|hash| *hash == token.hash)
        })
    }
}
