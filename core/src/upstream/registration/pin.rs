//! A static registration that names no issuer belongs to the one it was first used at, and to that alone from then on.

use super::Wanted;
use crate::error::Code;
use crate::operation::{Context, OperationId, Versioned};
use crate::store::records::{Client, Registration};
use crate::store::{Key, as_seen};
use crate::upstream::{Decide, Decision};

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Pin {
    key: Key,
    client: Client,
    registration: Registration,
}

impl Pin {
    pub(super) fn new(cx: &Context<'_>, wanted: &Wanted, client: Client) -> Self {
        let registration = Registration {
            issuer: wanted.issuer.issuer.clone(),
            // The secret stands in the connector's record.
            client: Client { secret: None, ..client.clone() },
            redirect_uris: Vec::new(),
            expires_at: None,
            stale: false,
            registered_at: cx.now(),
            renewed_at: None,
            management_url: None,
            management_token: None,
        };
        Self { key: Key::static_registration(&wanted.tenant, &wanted.connector_id), client, registration }
    }
}

impl Decide for Pin {
    type Output = Client;

    fn keys(&self) -> Vec<Key> {
        vec![self.key.clone()]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Client> {
        let stored = match cx.open::<Registration>(&self.key, found.first().and_then(Option::as_ref)) {
            Ok(stored) => stored,
            Err(failure) => return Decision::fail(failure),
        };
        // Another client id is another registration, which an administrator has put in its place.
        if let Some(stored) = stored.as_ref().filter(|stored| stored.record.client.id == self.client.id) {
            // atk:MIX-05
            if stored.record.issuer != self.registration.issuer {
                return Decision::fail(Code::RegistrationIssuerMismatch);
            }
            return Decision::done(self.client.clone());
        }
        let write = cx.put(&self.key, as_seen(stored.as_ref()), &self.registration, id, None);
        Decision::Commit(vec![write], self.client.clone())
    }
}
