//! Whether the properties hold.

use grantway_core::connector::InDoubt;
use grantway_core::event::What;
use grantway_core::model::Inspection;
use grantway_core::operation::Write;
use grantway_core::secret::Secret;

use super::World;
use crate::coverage::Happening;
use crate::issuer::{Post, Token};
use crate::order::{Ended, Ending, Order, Running};
use crate::property::Property;
use crate::rows::{Rows, is_connection};

impl<R: Rows> World<R> {
    pub(super) fn end(
        &mut self,
        worker: usize,
        running: &Running,
        ending: Ending,
        current: Option<Secret>,
        posted: bool,
    ) {
        let order = self.order(worker);
        let Ending { result, events } = ending;
        self.journal.ended(worker, order, &result);
        let coverage = &self.case.coverage;
        coverage.note_effects(order, running.steps() - 1);
        for what in &events {
            match what {
                What::Connected { .. } => coverage.note(Happening::Connected),
                What::Disconnected { .. } => coverage.note(Happening::Disconnected),
                What::ReauthNeeded { reason } if reason == "in_doubt" => coverage.note(Happening::InDoubt),
                What::Refreshed { .. } => coverage.note(Happening::Refreshed),
                What::Revoked => coverage.note(Happening::Revoked),
                _ => {}
            }
        }
        let refreshed = events.iter().any(|what| matches!(what, What::Refreshed { .. }));
        match result {
            Ended::Ready(token, _) => {
                // More than the one read that finds a token which may be used.
                if !refreshed && (posted || running.steps() > 2) {
                    coverage.note(Happening::Adopted);
                }
                if current != Some(token) {
                    self.breaks(Property::NoTokenBeforeItIsDurable);
                }
            }
            Ended::Disconnected => self.ghost.disconnected = true,
            Ended::Begun => self.ghost.disconnected = false,
            Ended::Failed("user.flow_expired") => {
                if let Order::Complete(flow) = order {
                    self.ghost.expired |= 1 << flow;
                }
            }
            Ended::Transient(observed) => {
                self.workers[worker].observed = observed.map(|seen| (seen, self.ground.elapsed_ms));
            }
            // It could not see what became of its lease.
            Ended::Failed(slug) => self.ghost.lease_lost |= slug.starts_with("store."),
            Ended::Challenge | Ended::Connected | Ended::Nothing => {}
        }
        self.workers[worker].done += 1;
    }

    /// Looks at the connection after a commit that was applied.
    pub(super) fn written(&mut self, writes: &[Write]) {
        if !writes.iter().any(|write| is_connection(&write.key)) {
            return;
        }
        let before = self.connection.take();
        let after = self.stored_connection();
        self.connection.clone_from(&after);
        let (Some(before), Some(after)) = (before, after) else { return };
        self.journal.connection(&after);
        if after.outbox.len() > before.outbox.len() && after.grant == before.grant {
            self.case.coverage.note(Happening::Parked);
        }
        let token = |of: &Inspection| of.grant.as_ref().map(|grant| grant.access_token.clone());
        let is_new = after.grant.is_some() && token(&before) != token(&after);
        if after.generation < before.generation || (is_new && after.generation == before.generation) {
            self.breaks(Property::GenerationStrictlyRises);
        }
        if let (Some(old), Some(new)) = (&before.grant, &after.grant) {
            let family = old.family == new.family && before.epoch == after.epoch;
            let is_older = number(new.refresh_token.as_ref()) < number(old.refresh_token.as_ref())
                || number(Some(&new.access_token)) < number(Some(&old.access_token));
            if family && is_older {
                self.breaks(Property::GenerationStrictlyRises);
            }
        }
        if self.ghost.disconnected && before.grant.is_none() && after.grant.is_some() {
            self.breaks(Property::DisconnectWins);
        }
        if let Some(grant) = &after.grant {
            let refresh_token = number(grant.refresh_token.as_ref());
            if after.generation > before.generation {
                self.ground.issuer.settle(refresh_token);
            }
            let newly = before.grant.as_ref().is_none_or(|old| old.condemned.is_none());
            let by_refresh = matches!(grant.condemned, Some("in_doubt" | "invalid_grant" | "client_refused"));
            if newly && by_refresh && self.ground.issuer.is_live(refresh_token) && !self.ghost.lease_lost {
                self.breaks(Property::NobodyIsLoggedOutWithoutFaults);
            }
        }
    }

    /// What can be told from a state alone.
    pub(super) fn judge(&mut self) {
        let issuer = &self.ground.issuer;
        let codes = issuer.most_posts_of_a_code();
        let sends = issuer.most_posts_of_a_refresh_token();
        let once = self.case.in_doubt == InDoubt::Never || !self.ghost.answer_lost;
        let broken = [
            (codes > 1, Property::CodeRedeemedAtMostOnce),
            (sends > 2, Property::RefreshTokenSentAtMostTwice),
            (sends > 1 && once, Property::RefreshTokenSentOnceWithoutFaults),
            (self.ghost.expired & issuer.posted_codes() != 0, Property::ExpiredStaysExpired),
            (self.is_quiet() && self.forgets_a_token(), Property::NoTokenIsForgotten),
            (self.is_quiet() && self.loses_in_silence(), Property::NoSilentLoss),
        ];
        broken.into_iter().filter(|(broken, _)| *broken).for_each(|(_, property)| self.breaks(property));
    }

    /// Whether a revocation that arrives ends what is stored.
    pub(super) fn look_at_revocation(&mut self, post: Option<Post>) {
        let Some(Post::Revoke(token)) = post else { return };
        let stored = self.connection.as_ref().and_then(|stored| stored.grant.as_ref());
        let stored = stored.and_then(|grant| self.ground.issuer.family(number(grant.refresh_token.as_ref())));
        if stored.is_some() && stored == self.ground.issuer.ended_by_revoking(token) {
            self.breaks(Property::NoStoredTokenIsRevoked);
        }
    }

    /// Whether a family lives upstream that nothing here would ever end and nothing speaks of.
    fn forgets_a_token(&self) -> bool {
        let Some(connection) = &self.connection else {
            return self.ground.issuer.live_families().count() > 0;
        };
        let grant = connection.grant.as_ref();
        if connection.doubt || connection.redeeming || grant.is_some_and(|grant| grant.sends > 0) {
            return false;
        }
        let stored = grant.and_then(|grant| grant.refresh_token.as_ref());
        let known: Vec<_> = connection
            .outbox
            .iter()
            .chain(stored)
            .filter_map(|token| self.ground.issuer.ended_by_revoking(Token::parse(token.expose())?))
            .collect();
        self.ground.issuer.live_families().any(|family| !known.contains(&family))
    }

    /// Whether the stored refresh token was used and the record does not show it.
    fn loses_in_silence(&self) -> bool {
        let grant = self.connection.as_ref().and_then(|connection| connection.grant.as_ref());
        grant.is_some_and(|grant| {
            let spent = self.ground.issuer.is_spent(number(grant.refresh_token.as_ref()));
            spent && grant.sends == 0 && grant.condemned.is_none()
        })
    }

    pub(super) fn breaks(&mut self, property: Property) {
        if self.holds(property) {
            self.journal.note(|| format!("BROKEN: {}", property.name()));
        }
        self.ghost.broken.add(property);
    }
}

fn number(token: Option<&Secret>) -> u8 {
    match token.and_then(|token| Token::parse(token.expose())) {
        Some(Token::Access(number) | Token::Refresh(number)) => number,
        None => 0,
    }
}
