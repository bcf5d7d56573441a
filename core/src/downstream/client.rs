//! Who a client is: one that has registered itself, or one whose id is the URL of its metadata document (CIMD).
//!
//! A document is asked for when there is nothing fresh of it, and then not again for as long as the answer may be used, whatever the
//! answer was. What it said before stays with the client while it is refused, so that those who are signed in stay signed in.
//!
//! ```text
//! begin         -> AwaitRecord    [Read]
//! AwaitRecord   + fresh, or registered -> done
//! AwaitRecord   + stale document  -> AwaitDocument  [Http]
//! AwaitDocument + any answer      -> Keeping        [Read]
//! Keeping       + committed       -> done
//! ```

#[cfg(test)]
mod tests;

use super::config::GatewayConfig;
use super::pages::{ClientShown, DisplayName};
use super::register::slot_of;
use super::site::config;
use crate::address::AddressPolicy;
use crate::engine::Engine;
use crate::error::{Code, Failure, PeerText};
use crate::limits::{CLIENT_DOCUMENT_MAX_BYTES, Limits};
use crate::moment::UnixMillis;
use crate::operation::{
    Answer, Context, Effect, HttpFault, HttpResponse, OperationId, Precondition, Progress, Version,
    Versioned, Write,
};
use crate::principal::TenantId;
use crate::protocol::Invalid;
use crate::protocol::client_auth::AuthMethod;
use crate::protocol::client_document::{self, ClientDocument};
use crate::protocol::client_metadata::check_client_id_url;
use crate::protocol::client_redirect::ClientRedirect;
use crate::protocol::json::is_json_content_type;
use crate::protocol::url::{HttpUrl, PlainHttp};
use crate::store::records::{ClientRecord, ClientSource, Digest};
use crate::store::{Key, Stored, as_seen, delete, lookup_hash, put_index};
use crate::upstream::discovery::fetch::fresh_until;
use crate::upstream::{Decide, Decision, Exchange, Transaction};

/// Whether a document may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fetch {
    /// If there is nothing fresh of it. Only once a person is known: otherwise anybody could have anything asked for.
    IfStale,
    /// No: what there is of it is used, however old.
    Never,
}

/// A client, found.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) enum FoundClient {
    Known {
        record: Box<ClientRecord>,
    },
    /// Its document has never been read, and must not be read now.
    Unread,
}

/// A search for a client.
///
/// Failures: `client.unknown`, `client.document_refused`, those of the store.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct FindClient {
    asked: Asked,
    state: State,
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Asked {
    tenant: TenantId,
    client_id: String,
    fetch: Fetch,
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    /// With the version of what is there.
    AwaitDocument(Option<Version>),
    AwaitRecord,
    Keeping(Box<Transaction<Keep>>),
}

impl FindClient {
    pub(crate) fn begin(
        cx: &mut Context<'_>,
        tenant: &TenantId,
        client_id: &str,
        fetch: Fetch,
    ) -> Progress<Self, FoundClient> {
        if let Err(failure) = check_id(cx.engine, client_id) {
            return Progress::fail(failure);
        }
        let asked = Asked { tenant: tenant.clone(), client_id: client_id.to_owned(), fetch };
        let keys = vec![asked.key()];
        Progress::Perform(Self { asked, state: State::AwaitRecord }, Effect::Read { keys })
    }

    pub(crate) fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, FoundClient> {
        let asked = self.asked;
        match (self.state, answer) {
            (State::AwaitRecord, Answer::Read(Some(found))) => {
                match asked.look(cx, found.first().and_then(Option::as_ref)) {
                    Ok(Looked::Found(found)) => Progress::done(found),
                    Ok(Looked::Ask(version, effect)) => {
                        Progress::Perform(Self { asked, state: State::AwaitDocument(version) }, effect)
                    }
                    Err(failure) => Progress::fail(failure),
                }
            }
            (State::AwaitRecord, Answer::Read(None)) => Progress::fail(Code::StoreUnavailable),
            (State::AwaitDocument(seen), Answer::Http(answer)) => {
                let keep = Keep::new(cx, &asked, seen, answer);
                let step = Transaction::begin(cx, keep);
                Self::keeping(asked, step)
            }
            (State::Keeping(transaction), answer) => Self::keeping(asked, transaction.step(cx, answer)),
            _ => Progress::fail(Code::Internal),
        }
    }

    fn keeping(
        asked: Asked,
        step: Progress<Transaction<Keep>, Box<ClientRecord>>,
    ) -> Progress<Self, FoundClient> {
        step.embed(
            |transaction| Self { asked, state: State::Keeping(Box::new(transaction)) },
            |kept| match kept {
                //= spec/cimd.md#4-3
                //# When a client's document cannot be had, the person SHOULD be told, and nothing be sent to
                //# a redirect URI (REG-26, S).
                // A failure becomes a page; a redirect URI that was not checked is not answered.
                Ok(record) if record.refused.is_some() => Progress::fail(refusal(&record)),
                Ok(record) => Progress::done(FoundClient::Known { record }),
                Err(failure) => Progress::fail(failure),
            },
        )
    }
}

/// Whether a client id is the URL of a document.
fn is_document(client_id: &str) -> bool {
    client_id.starts_with("https://")
}

/// # Errors
/// No client has this id, whatever the store says.
fn check_id(engine: &Engine, client_id: &str) -> Result<(), Failure> {
    if !is_document(client_id) {
        return Ok(());
    }
    if !config(engine)?.client_documents {
        return Err(Code::ClientUnknown.into());
    }
    let refused = |invalid: Invalid| Failure::new(Code::ClientDocumentRefused).because(invalid.0);
    // atk:NET-07
    check_client_id_url(client_id).map_err(refused)?;
    let url = HttpUrl::parse(client_id, PlainHttp::Never).map_err(refused)?;
    //= spec/cimd.md#server-side-request-forgery
    //# A client's document MUST NOT be fetched from a special-use address, nor any URL in it that leads to
    //# one (REG-24, S).
    if !policy(engine).permits_host(&url.host()) {
        return Err(refused(ADDRESS));
    }
    Ok(())
}

fn policy(engine: &Engine) -> AddressPolicy {
    if engine.config().danger_loopback_http { AddressPolicy::Loopback } else { AddressPolicy::Public }
}

enum Looked {
    Found(FoundClient),
    /// With the version of what is there.
    Ask(Option<Version>, Effect),
}

impl Asked {
    fn key(&self) -> Key {
        Key::client(&self.tenant, &self.client_id)
    }

    fn look(&self, cx: &Context<'_>, found: Option<&Versioned>) -> Result<Looked, Failure> {
        let stored = cx.open::<ClientRecord>(&self.key(), found)?;
        let version = stored.as_ref().map(|stored| stored.version);
        let known = |stored: Stored<ClientRecord>| {
            let record = Box::new(stored.record);
            Ok(Looked::Found(FoundClient::Known { record }))
        };
        if !is_document(&self.client_id) {
            let public_clients = config(cx.engine)?.public_clients;
            let stored = stored.filter(|stored| {
                let client = &stored.record;
                //= spec/rfc7591.md#5
                //# What a client says of itself MUST be taken as its own word, and open registration SHOULD
                //# be limited in number and time (REG-33, S).
                let lives = cx.now() < client.fresh_until;
                lives && (public_clients || client.method != AuthMethod::None)
            });
            return known(stored.ok_or(Code::ClientUnknown)?);
        }
        match (stored, self.fetch) {
            //= spec/cimd.md#4-4
            //# A client's document SHOULD be kept for as long as its headers say, within a day, and one that
            //# is refused MUST NOT be kept in place of it (REG-23, S).
            (Some(stored), _) if is_fresh(cx, &stored.record) && stored.record.refused.is_none() => {
                known(stored)
            }
            (Some(stored), Fetch::Never) if !stored.record.redirect_uris.is_empty() => known(stored),
            // atk:NET-07
            (Some(stored), _) if is_fresh(cx, &stored.record) => Err(refusal(&stored.record)),
            (_, Fetch::Never) => Ok(Looked::Found(FoundClient::Unread)),
            (_, Fetch::IfStale) => Ok(Looked::Ask(version, ask(cx, &self.client_id)?)),
        }
    }
}

/// A document's record is fresh only if a clock that has jumped did not write it.
fn is_fresh(cx: &Context<'_>, client: &ClientRecord) -> bool {
    let longest = cx.engine.limits().metadata_max_age_ms.saturating_add(cx.engine.limits().clock_skew_ms);
    cx.now() < client.fresh_until && client.fresh_until <= cx.now().plus(longest)
}

fn ask(cx: &Context<'_>, url: &str) -> Result<Effect, Failure> {
    let refused = |invalid: Invalid| Failure::new(Code::ClientDocumentRefused).because(invalid.0);
    let url = HttpUrl::parse(url, PlainHttp::Never).map_err(refused)?;
    //= spec/cimd.md#6-6
    //# The fetch of a client's document SHOULD be limited in size, time and number, and wait until the person
    //# is known (REG-25, S).
    Exchange::new(&url, policy(cx.engine), CLIENT_DOCUMENT_MAX_BYTES).get(cx)
}

/// LIMIT: a document is used for at least a minute whatever its server says, so that one sign-in reads it once.
const DOCUMENT_MIN_AGE_MS: u64 = 60_000;

/// What an answer to the question for a document comes to.
fn heed(
    cx: &Context<'_>,
    url: &str,
    answer: Result<HttpResponse, HttpFault>,
) -> Result<(ClientDocument, UnixMillis), Invalid> {
    let response = answer.map_err(|fault| match fault {
        HttpFault::AddressRefused { .. } => ADDRESS,
        // atk:NET-09
        HttpFault::TooLarge => TOO_LONG,
        HttpFault::Encoded => ENCODED,
        HttpFault::NotSent | HttpFault::Unknown => NO_ANSWER,
    })?;
    //= spec/cimd.md#4
    //# For an id that is a URL the authorization server SHOULD fetch the document by GET and MUST take
    //# nothing but a 200 of JSON for it, following no redirect (REG-21, S).
    // A redirect is an answer other than 200.
    if response.status != 200 {
        return Err(STATUS);
    }
    if !response.header("content-type").is_some_and(is_json_content_type) {
        return Err(NOT_JSON);
    }
    let allowed = cx.engine.config().gateway.as_ref().map_or(&[][..], |it| &it.private_redirect_uris);
    let document = ClientDocument::parse(response.body.expose(), url, allowed)?;
    // atk:NET-15
    let until = fresh_until(&response, cx.now(), cx.engine.limits());
    Ok((document, until.max(cx.now().plus(DOCUMENT_MIN_AGE_MS))))
}

const ADDRESS: Invalid = Invalid("the document's address is not a public one");
const TOO_LONG: Invalid = Invalid("the document is longer than 5 KiB");
const ENCODED: Invalid = Invalid("the document came encoded though that was not accepted");
const NO_ANSWER: Invalid = Invalid("nobody answers at the document's address");
const STATUS: Invalid = Invalid("the document is not there: the answer is not 200");
const NOT_JSON: Invalid = Invalid("the document does not call itself JSON");

/// Why the record says that the document was refused, in the words of then.
fn refusal(client: &ClientRecord) -> Failure {
    let reasons = [ADDRESS, TOO_LONG, ENCODED, NO_ANSWER, STATUS, NOT_JSON];
    let mut reasons = reasons.iter().chain(&client_document::REASONS);
    let reason = reasons.find(|reason| client.refused.as_deref() == Some(reason.0));
    let failure = Failure::new(Code::ClientDocumentRefused).retry_at(client.fresh_until);
    reason.map_or(failure.clone(), |reason| failure.because(reason.0))
}

/// Keeps what was learnt of a document.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Keep {
    tenant: TenantId,
    key: Key,
    /// The version of what was there when the document was asked for.
    seen: Option<Version>,
    /// What there is to say of the client if it was not known.
    learnt: ClientRecord,
}

impl Keep {
    fn new(
        cx: &Context<'_>,
        asked: &Asked,
        seen: Option<Version>,
        answer: Result<HttpResponse, HttpFault>,
    ) -> Self {
        let now = cx.now();
        let mut learnt = ClientRecord {
            client_id: asked.client_id.clone(),
            source: ClientSource::Document,
            name: None,
            redirect_uris: Vec::new(),
            method: AuthMethod::None,
            secret: None,
            refreshes: false,
            version: Digest([0; 32]),
            created_at: now,
            fresh_until: now.plus(cx.engine.limits().metadata_default_age_ms),
            used: false,
            refused: None,
        };
        match heed(cx, &asked.client_id, answer) {
            Ok((document, until)) => {
                learnt.name = Some(document.name);
                learnt.redirect_uris =
                    document.redirect_uris.iter().map(|uri| uri.as_str().to_owned()).collect();
                learnt.refreshes = document.refreshes;
                learnt.fresh_until = until;
            }
            Err(reason) => learnt.refused = Some(reason.0.to_owned()),
        }
        //= spec/cimd.md#changes-in-client-metadata
        //# A client's logo SHOULD come from our own origin or not be shown, and a change of its name or
        //# redirect URIs needs consent anew (REG-27, S).
        learnt.version = learnt.statement();
        Self { tenant: asked.tenant.clone(), key: asked.key(), seen, learnt }
    }
}

impl Decide for Keep {
    type Output = Box<ClientRecord>;

    fn keys(&self) -> Vec<Key> {
        vec![self.key.clone()]
    }

    fn decide(
        &mut self,
        cx: &mut Context<'_>,
        id: OperationId,
        found: &[Option<Versioned>],
    ) -> Decision<Box<ClientRecord>> {
        let stored = match cx.open::<ClientRecord>(&self.key, found.first().and_then(Option::as_ref)) {
            Ok(stored) => stored,
            Err(failure) => return Decision::fail(failure),
        };
        let mut record = self.learnt.clone();
        if let Some(before) = &stored {
            // Somebody else has asked meanwhile: one answer is as good as the other.
            if Some(before.version) != self.seen && is_fresh(cx, &before.record) {
                return Decision::done(Box::new(before.record.clone()));
            }
            if record.refused.is_some() {
                let ClientRecord { fresh_until, refused, .. } = record;
                record = ClientRecord { fresh_until, refused, ..before.record.clone() };
            }
            record.used = before.record.used;
            record.created_at = before.record.created_at;
        }
        let writes = place(cx, &self.tenant, as_seen(stored.as_ref()), &record, id);
        Decision::Commit(writes, Box::new(record))
    }
}

/// The writes that put a client in place and bring it before a sweep when its time is over.
fn place(
    cx: &Context<'_>,
    tenant: &TenantId,
    precondition: Precondition,
    record: &ClientRecord,
    id: OperationId,
) -> Vec<Write> {
    let key = Key::client(tenant, &record.client_id);
    let end = record.ends_at(cx.engine.limits());
    let entry = put_index(Key::expiry(tenant, end, &key), None);
    vec![cx.put(&key, precondition, record, id, Some(end)), entry]
}

/// The writes that note that somebody has approved a client, or signs in with it again: it is kept for longer, and no longer counts among
/// those that nobody uses. None if that was noted within the last day.
pub(crate) fn note_use(
    cx: &Context<'_>,
    tenant: &TenantId,
    stored: &Stored<ClientRecord>,
    id: OperationId,
) -> Vec<Write> {
    const DAY_MS: u64 = 24 * 3_600_000;
    let limits = cx.engine.limits();
    let mut record = stored.record.clone();
    record.used = true;
    if record.source == ClientSource::Dynamic {
        record.fresh_until = cx.now().plus(limits.idle_client_ms);
    }
    let before = &stored.record;
    if before.used && record.ends_at(limits) <= before.ends_at(limits).plus(DAY_MS) {
        return Vec::new();
    }
    let mut writes = place(cx, tenant, stored.unchanged(), &record, id);
    // Its own: while it lives and is not used, nobody else has been given its slot.
    let slot = slot_of(tenant, &record.client_id).filter(|_| !before.used);
    writes.extend(slot.map(|slot| delete(slot, Precondition::Any)));
    writes
}

impl ClientRecord {
    /// From when on a sweep may remove it. A document is forgotten later than it is asked for again, for what it said before.
    pub(crate) fn ends_at(&self, limits: &Limits) -> UnixMillis {
        match self.source {
            ClientSource::Dynamic => self.fresh_until,
            ClientSource::Document if self.used => self.fresh_until.plus(limits.idle_client_ms),
            ClientSource::Document => self.fresh_until.plus(limits.consent_ms),
        }
    }

    /// What the client says of itself, as one number: another number needs another consent.
    pub(crate) fn statement(&self) -> Digest {
        let said = (&self.name, &self.redirect_uris, self.method, self.refreshes);
        // INVARIANT: texts and lists of texts are always serializable.
        Digest(lookup_hash("client_statement", &serde_json::to_string(&said).unwrap_or_default()))
    }

    /// Whether the client's answers may go there: one of its redirect URIs, which the operator still accepts.
    pub(crate) fn accepts(&self, config: &GatewayConfig, redirect_uri: &str) -> bool {
        let allowed = &config.private_redirect_uris;
        // atk:RED-01
        ClientRedirect::parse(redirect_uri, allowed).is_ok_and(|requested| {
            let mut registered =
                self.redirect_uris.iter().filter_map(|uri| ClientRedirect::parse(uri, allowed).ok());
            registered.any(|registered| registered.matches(&requested))
        })
    }

    /// Whether the operator vouches for the host of its document. Of one that registered itself nobody can say who it is.
    pub(crate) fn is_verified(&self, config: &GatewayConfig) -> bool {
        //= spec/mcp-2026-07-28.md#sec-trust-policies
        //# An operator MAY say which hosts of client documents are trusted (REG-29, S).
        self.document_authority().is_some_and(|authority| config.verified_client_hosts.contains(&authority))
    }

    /// The client as pages show it, with where its answer will go.
    pub(crate) fn shown(&self, config: &GatewayConfig, redirect_uri: &str) -> ClientShown {
        let redirect = ClientRedirect::parse(redirect_uri, &config.private_redirect_uris);
        let redirect = redirect.as_ref();
        let as_text = || PeerText::sanitize(redirect_uri).as_str().to_owned();
        ClientShown {
            name: DisplayName::new(self.name.as_deref().unwrap_or("A client without a name")),
            document_host: self.document_authority(),
            redirect_uri: redirect_uri.to_owned(),
            redirect_host: redirect.map_or_else(|_| as_text(), ClientRedirect::host_shown),
            loopback: redirect.is_ok_and(ClientRedirect::is_loopback),
            private_scheme: redirect.is_ok_and(ClientRedirect::is_private),
            verified: self.is_verified(config),
        }
    }

    /// Host of the document in ASCII, and its port if it is not that of `https`.
    fn document_authority(&self) -> Option<String> {
        if self.source != ClientSource::Document {
            return None;
        }
        let origin = HttpUrl::parse(&self.client_id, PlainHttp::Never).ok()?.origin();
        origin.as_str().strip_prefix("https://").map(str::to_owned)
    }
}
