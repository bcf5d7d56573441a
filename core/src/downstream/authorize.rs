//! GET `/authorize`: a client asks for a token in somebody's name. It is looked at, a consent session is opened for it, and the
//! browser goes on to its page. Nobody is asked anything here, and no binding is made (atk:CON-03).
//!
//! ```text
//! start          -> FindingClient [Read]   after client id and redirect URI are there
//! FindingClient  -> Opening       [Read]   32 slots
//! Opening        -> 303 to /consent/{id}
//! ```

use super::authorization::{self, Refusal};
use super::browser::Browser;
use super::client::{Fetch, FindClient, FoundClient};
use super::handle::{Endpoint, frame};
use super::pages::{Link, MessagePage, Page};
use super::response::Response;
use super::site::{Site, config};
use super::visit::Visit;
use crate::error::{Code, Failure};
use crate::event::What;
use crate::limits::PENDING_CONSENTS_MAX;
use crate::operation::{Answer, Context, OperationId, Precondition, Progress, Versioned};
use crate::protocol::client_redirect::ClientRedirect;
use crate::secret::Secret;
use crate::store::records::{ClientRequest, ConsentHash, ConsentRecord, ConsentStatus, Digest, SlotRecord};
use crate::store::{Key, delete, lookup_hash, put_index};
use crate::upstream::{Decide, Decision, Transaction};

/// The endpoint under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Authorizing {
    visit: Box<Visit>,
    state: State,
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    /// For a client and the redirect URI that it names.
    FindingClient(String, String, Box<FindClient>),
    /// A session with this id in this browser.
    Opening(Secret, Browser, Box<Transaction<OpenConsent>>),
}

impl Authorizing {
    pub(crate) fn begin(cx: &mut Context<'_>, visit: Visit) -> Progress<Self, Response> {
        //= spec/oauth21.md#3-1
        //# The authorization endpoint MUST answer to GET, ignore parameters it does not know, and refuse one
        //# that is given twice (AS-02, S).
        let parameters = match visit.query() {
            Ok(parameters) => parameters,
            Err(failure) => return Progress::fail(failure),
        };
        //= spec/oauth21.md#4-1-2-1
        //# A missing or wrong client id or redirect URI MUST be told to the person, and never lead to a
        //# redirect (AS-04, S).
        let invalid = |why| Failure::new(Code::ClientRequestInvalid).because(why);
        let Some(client_id) = parameters.get("client_id") else {
            return Progress::fail(invalid("it names no client"));
        };
        // atk:RED-11: no default, however many redirect URIs the client has.
        let Some(redirect_uri) = parameters.get("redirect_uri") else {
            return Progress::fail(invalid("it names no redirect URI"));
        };
        let (client_id, redirect_uri) = (client_id.to_owned(), redirect_uri.to_owned());
        //= spec/cimd.md#6-6
        //# The fetch of a client's document SHOULD be limited in size, time and number, and wait until the
        //# person is known (REG-25, S).
        let step = FindClient::begin(cx, &visit.site.tenant, &client_id, Fetch::Never);
        Self::finding(cx, Box::new(visit), client_id, redirect_uri, step)
    }

    fn finding(
        cx: &mut Context<'_>,
        visit: Box<Visit>,
        client_id: String,
        redirect_uri: String,
        step: Progress<FindClient, FoundClient>,
    ) -> Progress<Self, Response> {
        let found = match step {
            Progress::Perform(find, effect) => {
                let state = State::FindingClient(client_id, redirect_uri, Box::new(find));
                return Progress::Perform(Self { visit, state }, effect);
            }
            Progress::Done(Ok(found)) => found,
            Progress::Done(Err(failure)) => return Progress::fail(failure),
        };
        match Self::look(cx, &visit, &client_id, &redirect_uri, &found) {
            Ok(Ok(request)) => Self::open(cx, visit, request),
            Ok(Err(response)) => Progress::done(response),
            Err(failure) => Progress::fail(failure),
        }
    }

    /// Client and redirect URI first; whatever else is wrong may then be told to the client.
    fn look(
        cx: &Context<'_>,
        visit: &Visit,
        client_id: &str,
        redirect_uri: &str,
        found: &FoundClient,
    ) -> Result<Result<ClientRequest, Response>, Failure> {
        let gateway = config(cx.engine)?;
        let known = match found {
            FoundClient::Known { record, .. } => Some(record),
            FoundClient::Unread => None,
        };
        // atk:RED-01, atk:CON-18
        if known.is_some_and(|client| !client.accepts(gateway, redirect_uri)) {
            return Err(Code::ClientRedirectRefused.into());
        }
        // Nor is anything kept that could be no client's.
        if ClientRedirect::parse(redirect_uri, &gateway.private_redirect_uris).is_err() {
            return Err(Code::ClientRedirectRefused.into());
        }
        let parameters = visit.query()?;
        match authorization::read(&visit.site, gateway, &parameters, client_id, redirect_uri) {
            Ok(request) => Ok(Ok(ClientRequest { checked: known.is_some(), ..request })),
            Err(refusal) => {
                let state = parameters.get("state");
                let to = authorization::refused(&visit.site, redirect_uri, state, refusal);
                let response = match known {
                    Some(client) if client.is_verified(gateway) => Response::see_other(to.expose()),
                    //= spec/mcp-2026-07-28.md#sec-open-redirection
                    //# The browser MUST be sent on by itself to trusted redirect URIs only, on refusals and
                    //# errors too (AS-14, S).
                    // atk:CON-18: anybody can register; whoever is sent on by a page of ours has chosen to go.
                    Some(_) => refusal_page(cx, refusal, Some(&to)),
                    None => refusal_page(cx, refusal, None),
                };
                Ok(Err(response))
            }
        }
    }

    fn open(cx: &mut Context<'_>, visit: Box<Visit>, request: ClientRequest) -> Progress<Self, Response> {
        //= spec/derived.md#con-10
        //# A remembered consent MUST NOT let a client through without a prompt, for many installations share
        //# its id (CON-10, B, derived).
        let id = cx.moment.entropy.token("consent/id");
        let hash = ConsentHash(lookup_hash("consent", id.expose()));
        let browser = Browser::of(cx, &visit);
        let consent = ConsentRecord {
            status: ConsentStatus::Open,
            created_at: cx.now(),
            expires_at: cx.now().plus(cx.engine.limits().consent_ms),
            request,
            browser: browser.digest(hash),
            identity: None,
            skipped: Vec::new(),
            staged: Vec::new(),
            slot: 0,
        };
        // Where several begin at once, each looks for a free slot at another place.
        let slots = u64::try_from(PENDING_CONSENTS_MAX).unwrap_or(1);
        let first = u16::try_from(cx.moment.entropy.below("consent/slot", slots)).unwrap_or(0);
        let step = Transaction::begin(cx, OpenConsent { site: visit.site.clone(), hash, consent, first });
        Self::opening(cx, visit, id, browser, step)
    }

    fn opening(
        cx: &mut Context<'_>,
        visit: Box<Visit>,
        id: Secret,
        browser: Browser,
        step: Progress<Transaction<OpenConsent>, ()>,
    ) -> Progress<Self, Response> {
        match step {
            Progress::Perform(transaction, effect) => {
                let state = State::Opening(id, browser, Box::new(transaction));
                Progress::Perform(Self { visit, state }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(())) => {
                cx.emit(&visit.site.tenant, None, None, What::ConsentBegun);
                let page = visit.site.url(&format!("/consent/{}", id.expose()));
                Progress::done(Response::see_other(&page).with_cookie(browser.cookie(cx)))
            }
        }
    }
}

impl Endpoint for Authorizing {
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Response> {
        let Self { visit, state } = self;
        match state {
            State::FindingClient(client_id, redirect_uri, find) => {
                let step = find.step(cx, answer);
                Self::finding(cx, visit, client_id, redirect_uri, step)
            }
            State::Opening(id, browser, transaction) => {
                let step = transaction.step(cx, answer);
                Self::opening(cx, visit, id, browser, step)
            }
        }
    }
}

/// Says what is wrong with a request, with a link to where the client wants to hear it.
pub(crate) fn refusal_page(cx: &Context<'_>, refusal: Refusal, to: Option<&Secret>) -> Response {
    let page = MessagePage {
        frame: frame(cx.engine),
        title: "This cannot go on",
        message: format!("the client has sent a request that cannot be answered: {}", refusal.description()),
        next: Some("begin again from the client".to_owned()),
        slug: Some(Code::ClientRequestInvalid.slug()),
        evidence: Some(cx.operation.to_string()),
        link: to.map(|to| Link { label: "Back to the client".to_owned(), url: to.expose().to_owned() }),
    };
    let mut response = Response::page(cx.engine, 400, Page::Message(Box::new(page)));
    response.failure = Some(Failure::new(Code::ClientRequestInvalid).because(refusal.description()));
    response
}

/// Puts a consent session in place, and into one of its client's slots.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct OpenConsent {
    site: Site,
    hash: ConsentHash,
    consent: ConsentRecord,
    /// Where the search for a slot begins.
    first: u16,
}

/// The slot of a client's pending consent sessions.
pub(crate) fn slot_key(site: &Site, client_id: &str, number: u16) -> Key {
    Key::slot(&site.tenant, &format!("consent:{client_id}"), number)
}

impl Decide for OpenConsent {
    type Output = ();

    fn keys(&self) -> Vec<Key> {
        let slots = 0..u16::try_from(PENDING_CONSENTS_MAX).unwrap_or(u16::MAX);
        slots.map(|number| slot_key(&self.site, &self.consent.request.client_id, number)).collect()
    }

    fn decide(&mut self, cx: &mut Context<'_>, id: OperationId, found: &[Option<Versioned>]) -> Decision<()> {
        let tenant = self.site.tenant.clone();
        // atk:NET-13: a free slot, or the one whose session has waited longest. An approved one has left its slot.
        let slots = (0u16..).zip(self.keys().into_iter().zip(found)).map(|(number, (key, raw))| {
            // One that does not open is as good as free.
            let held = cx.open::<SlotRecord>(&key, raw.as_ref()).ok().flatten().map(|stored| stored.record);
            let rank = match &held {
                Some(slot) if cx.now() < slot.expires_at => slot.created_at.0.saturating_add(1),
                Some(_) | None => 0,
            };
            (rank, number, held.map(|slot| slot.holder))
        });
        let Some((_, number, holder)) =
            slots.min_by_key(|(rank, number, _)| (*rank, number.wrapping_sub(self.first)))
        else {
            return Decision::fail(Code::Internal);
        };
        self.consent.slot = number;
        let consent_key = Key::consent(&tenant, &self.hash.0);
        let end = self.consent.expires_at;
        let slot_key = slot_key(&self.site, &self.consent.request.client_id, number);
        let slot = SlotRecord { holder: Digest(self.hash.0), created_at: cx.now(), expires_at: end };
        let raw = found.get(usize::from(number)).and_then(Option::as_ref);
        let as_slot = raw.map_or(Precondition::Absent, |raw| Precondition::Version(raw.version));
        let mut writes = vec![
            cx.put(&consent_key, Precondition::Absent, &self.consent, id, Some(end)),
            cx.put(&slot_key, as_slot, &slot, id, Some(end)),
            put_index(Key::expiry(&tenant, end, &consent_key), None),
            put_index(Key::expiry(&tenant, end, &slot_key), None),
        ];
        if let Some(Digest(displaced)) = holder {
            writes.push(delete(Key::consent(&tenant, &displaced), Precondition::Any));
        }
        Decision::Commit(writes, ())
    }
}
