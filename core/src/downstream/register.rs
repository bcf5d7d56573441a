//! `POST /register`: a client registers itself (RFC 7591).
//!
//! Anybody may, so that what a registration costs is bounded: each takes one of a number of slots for as long as it is kept without being
//! used. A registration looks at a handful of slots, beginning at one that chance decides, and takes the first that is free. When all of
//! those are taken it is answered "too many", while every client there is stays as it is. So nobody counts clients, no two
//! registrations meet but by accident, and an attacker who has filled nearly all slots meets the same refusal as everybody else.
//! Limits by address are the host's.
//!
//! ```text
//! begin    -> Admitting      [Read]     slots
//! Admitting + committed -> done         client, slot and index entry in one commit
//! ```

use super::config::GatewayConfig;
use super::handle::{Endpoint, ProtocolError};
use super::metadata::all_scopes;
use super::response::Response;
use super::site::config;
use super::visit::Visit;
use crate::error::{Code, Failure};
use crate::event::What;
use crate::limits::UNUSED_CLIENTS_MAX;
use crate::operation::{Answer, Context, OperationId, Precondition, Progress, Versioned};
use crate::principal::TenantId;
use crate::protocol::client_auth::AuthMethod;
use crate::protocol::client_registration::{
    ClientRegistration, RegisteredClient, RegistrationRefusal, grant_types,
};
use crate::protocol::json::is_json_content_type;
use crate::protocol::scopes::Scopes;
use crate::secret::Secret;
use crate::store::records::{ClientRecord, ClientSource, Digest, SlotRecord};
use crate::store::{Key, as_seen, lookup_hash, put_index};
use crate::upstream::{Decide, Decision, Transaction};

/// A registration under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Register {
    tenant: TenantId,
    secret: Option<Secret>,
    scopes: Scopes,
    admitting: Box<Transaction<Admit>>,
}

impl Register {
    pub(crate) fn begin(cx: &mut Context<'_>, visit: Visit) -> Progress<Self, Response> {
        let config = match config(cx.engine) {
            Ok(config) if config.registration => config,
            Ok(_) => return Progress::fail(Code::PageUnknown),
            Err(failure) => return Progress::fail(failure),
        };
        let wanted = match read(config, &visit) {
            Ok(wanted) => wanted,
            Err(refusal) => return Progress::done(refused(refusal)),
        };
        let known = |scope: &&str| all_scopes(config).any(|known| known == *scope);
        // atk:CON-17
        let scopes = Scopes::acceptable(wanted.scopes.iter().filter(known).map(str::to_owned));
        let entropy = &cx.moment.entropy;
        let secret = (wanted.method != AuthMethod::None)
            .then(|| Secret::new(format!("gws_{}", entropy.token("register/client_secret").expose())));
        let admit = Admit::new(cx, visit.site.tenant.clone(), wanted, secret.as_ref());
        let step = Transaction::begin(cx, admit);
        Self::follow(cx, visit.site.tenant, secret, scopes, step)
    }

    fn follow(
        cx: &mut Context<'_>,
        tenant: TenantId,
        secret: Option<Secret>,
        scopes: Scopes,
        step: Progress<Transaction<Admit>, Box<ClientRecord>>,
    ) -> Progress<Self, Response> {
        match step {
            Progress::Perform(admitting, effect) => {
                Progress::Perform(Self { tenant, secret, scopes, admitting: Box::new(admitting) }, effect)
            }
            Progress::Done(Ok(client)) => {
                let what = What::ClientRegistered { client_id: client.client_id.clone() };
                cx.emit(&tenant, None, None, what);
                Progress::done(answer(&client, secret.as_ref(), &scopes))
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
        }
    }
}

impl Endpoint for Register {
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Response> {
        let Self { tenant, secret, scopes, admitting } = self;
        let step = admitting.step(cx, answer);
        Self::follow(cx, tenant, secret, scopes, step)
    }
}

fn read(config: &GatewayConfig, visit: &Visit) -> Result<ClientRegistration, RegistrationRefusal> {
    //= spec/mcp-2026-07-28.md#reg-dynamic-client-registration
    //# Dynamic registration MAY be supported, deprecated as it is (REG-13, U/S).
    if !visit.request.header("content-type").is_some_and(is_json_content_type) {
        return Err(RegistrationRefusal::ClientMetadata("the body is not application/json"));
    }
    // atk:NET-08: the URLs in it are read by nobody.
    let body = visit.request.body.expose();
    let wanted = ClientRegistration::parse(body, &config.private_redirect_uris)?;
    if wanted.method == AuthMethod::None && !config.public_clients {
        return Err(RegistrationRefusal::ClientMetadata("clients without a secret are not served"));
    }
    Ok(wanted)
}

fn refused(refusal: RegistrationRefusal) -> Response {
    //= spec/rfc7591.md#3-2-2
    //# A registration that is refused MUST be answered with 400 and what is wrong: redirect URIs, metadata,
    //# or the software statement (REG-31, S).
    let error = ProtocolError { error: refusal.error(), error_description: refusal.description() };
    let mut response = Response::json(400, &error).never_stored().for_any_origin();
    response.failure = Some(Failure::new(Code::ClientRequestInvalid).because(refusal.description()));
    response
}

fn answer(client: &ClientRecord, secret: Option<&Secret>, scopes: &Scopes) -> Response {
    //= spec/rfc7591.md#3-2-1
    //# A registration MUST be answered with 201, never to be stored, with the client id, all that was
    //# registered, and beside a secret when it ends (REG-30, S).
    let answer = RegisteredClient {
        client_id: &client.client_id,
        client_id_issued_at: client.created_at.0 / 1_000,
        client_secret: secret,
        client_secret_expires_at: secret.map(|_| 0),
        client_name: client.name.as_deref(),
        redirect_uris: &client.redirect_uris,
        grant_types: grant_types(client.refreshes),
        response_types: ["code"],
        token_endpoint_auth_method: client.method,
        scope: (!scopes.is_empty()).then(|| scopes.to_string()),
    };
    Response::json(201, &answer).never_stored().for_any_origin()
}

/// LIMIT: slots that one registration looks at. While half of all are free, one in 65 536 registrations finds none.
const WINDOW: u16 = 16;

/// The number of slots.
const SLOTS: u16 = UNUSED_CLIENTS_MAX as u16;

/// Beginning of an id given here. A document's begins with `https://`.
const ID_PREFIX: &str = "gwd_";

/// Puts a new client in place.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Admit {
    tenant: TenantId,
    /// The first slot looked at.
    first: u16,
    /// What follows the slot in the id.
    token: String,
    /// Its id is known once it has a slot.
    record: ClientRecord,
}

impl Admit {
    fn new(cx: &Context<'_>, tenant: TenantId, wanted: ClientRegistration, secret: Option<&Secret>) -> Self {
        let now = cx.now();
        let redirect_uris = wanted.redirect_uris.iter().map(|uri| uri.as_str().to_owned()).collect();
        //= spec/oauth21.md#8-1
        //# The type of a client MUST be recorded, and a secret that stands in a program on people's own
        //# machines proves nothing (REG-34, S).
        let record = ClientRecord {
            client_id: String::new(),
            source: ClientSource::Dynamic,
            name: wanted.name,
            redirect_uris,
            method: wanted.method,
            secret: secret.map(|secret| Digest(lookup_hash("client_secret", secret.expose()))),
            refreshes: wanted.refreshes,
            version: Digest([0; 32]),
            created_at: now,
            //= spec/rfc7591.md#5
            //# What a client says of itself MUST be taken as its own word, and open registration SHOULD be
            //# limited in number and time (REG-33, S).
            fresh_until: now.plus(cx.engine.limits().unused_client_ms),
            used: false,
            refused: None,
        };
        let entropy = &cx.moment.entropy;
        Self {
            tenant,
            first: u16::try_from(entropy.below("register/slot", u64::from(SLOTS))).unwrap_or_default(),
            token: entropy.token("register/client_id").expose().to_owned(),
            record: ClientRecord { version: record.statement(), ..record },
        }
    }

    fn slots(&self) -> impl Iterator<Item = u16> {
        let first = self.first;
        (0..WINDOW).map(move |at| first.wrapping_add(at).checked_rem(SLOTS).unwrap_or_default())
    }
}

impl Decide for Admit {
    type Output = Box<ClientRecord>;

    fn keys(&self) -> Vec<Key> {
        self.slots().map(|slot| slot_key(&self.tenant, slot)).collect()
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Box<ClientRecord>> {
        for (slot, found) in self.slots().zip(found) {
            let key = slot_key(&self.tenant, slot);
            let held = match cx.open::<SlotRecord>(&key, found.as_ref()) {
                Ok(held) => held,
                Err(failure) => return Decision::fail(failure),
            };
            if held.as_ref().is_some_and(|held| is_held(cx, &held.record)) {
                continue;
            }
            //= spec/cimd.md#supporting-both
            //# An id that the authorization server gives SHOULD NOT begin with `https://` (REG-28, S).
            // 256 random bits, after the slot that it gives back when it is used.
            //= spec/oauth21.md#7-4
            //# A client SHOULD NOT be able to choose an id that can pass for a person's (AS-16, S).
            let client_id = format!("{ID_PREFIX}{slot:03x}{}", self.token);
            let client = ClientRecord { client_id, ..self.record.clone() };
            let holder = SlotRecord {
                holder: Digest(lookup_hash("client_id", &client.client_id)),
                created_at: client.created_at,
                expires_at: client.fresh_until,
            };
            let end = client.fresh_until;
            let client_key = Key::client(&self.tenant, &client.client_id);
            let writes = vec![
                cx.put(&client_key, Precondition::Absent, &client, id, Some(end)),
                cx.put(&key, as_seen(held.as_ref()), &holder, id, Some(end)),
                put_index(Key::expiry(&self.tenant, end, &client_key), None),
            ];
            return Decision::Commit(writes, Box::new(client));
        }
        //= spec/rfc7591.md#5
        //# What a client says of itself MUST be taken as its own word, and open registration SHOULD be
        //# limited in number and time (REG-33, S).
        // atk:CON-17
        Decision::fail(Code::ClientLimit)
    }
}

/// A time that is still to come was written by a clock that has jumped.
fn is_held(cx: &Context<'_>, slot: &SlotRecord) -> bool {
    let latest = cx.now().plus(cx.engine.limits().clock_skew_ms);
    slot.created_at <= latest && cx.now() < slot.expires_at
}

fn slot_key(tenant: &TenantId, slot: u16) -> Key {
    Key::slot(tenant, "unused clients", slot)
}

/// The slot that a registered client holds until it is used.
pub(crate) fn slot_of(tenant: &TenantId, client_id: &str) -> Option<Key> {
    let number = client_id.strip_prefix(ID_PREFIX)?.get(..3)?;
    u16::from_str_radix(number, 16).ok().filter(|slot| *slot < SLOTS).map(|slot| slot_key(tenant, slot))
}
