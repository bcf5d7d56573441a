//! `/consent/{id}`: the way of one browser from a client's request to a code, `identify → connect → approve → issued`. Each step
//! is a page; each form on it is a POST that ends in a redirect back here, so that reloading and going back do no harm.
//!
//! ```text
//! start          -> Recognizing   [Read, Identify]  who is in this browser
//! Recognizing    -> AwaitConsent  [Read]
//! AwaitConsent   -> 303 to the client               it has ended here, and not long ago
//!                -> Expiring      [Read]            its time is over
//!                -> AwaitKey      [Identify]        POST identify with a key
//!                -> Turning       [Read]            POST identify, change, deny
//!                -> identify page                   nobody has said who they are, or somebody else is in the browser now
//!                -> FindingClient [Read, Http]      all else
//! AwaitKey       -> Turning, or Counting [Read] and the identify page
//! FindingClient  -> Checking      [Read]            the client's document was read for the first time
//!                -> Listing       [Scan, Read]      GET: the services page
//!                -> AwaitStaged   [Read]            GET approve: the approve page
//!                -> Beginning     [Read, Http]      POST connect: 303 to the upstream's issuer
//!                -> Skipping      [Read]            POST skip
//!                -> Finishing     [Read]            POST approve: 303 to the client
//! ```

mod check;
pub(crate) mod choose;
pub(crate) mod drop;
mod finish;
mod keys;
mod show;

use self::check::{Check, Expire, Skip};
use self::choose::{TakeTurn, Turn, Turned};
use self::drop::Staging;
use self::finish::{Finish, Finished};
use self::keys::CountWrong;
pub(crate) use self::show::{identity, shown_principal};
use super::browser::{Browser, check_form};
use super::client::{Fetch, FindClient, FoundClient};
use super::credential::new_code;
use super::handle::Endpoint;
use super::pages::ServiceShown;
use super::parameters::Parameters;
use super::response::Response;
use super::services::Listing;
use super::site::config;
use super::visit::{Method, Visit};
use super::who::{Recognizing, Who, completed, new_session};
use crate::cookie::Cookie;
use crate::error::{Code, Failure};
use crate::event::What;
use crate::limits::WRONG_KEYS_MAX;
use crate::operation::{Answer, Context, Effect, IdentityReply, Machine, Progress, Versioned, Whom};
use crate::principal::{Assurance, Caller, ConnectorId, Principal, PrincipalKind};
use crate::secret::Secret;
use crate::store::records::{
    AttemptsRecord, ClientRecord, ConsentHash, ConsentRecord, ConsentStatus, Identity, IdentityMode,
    StagedRecord,
};
use crate::store::{Key, Stored, lookup_hash};
use crate::upstream::Transaction;
use crate::upstream::begin_connect::{BeginConnect, Beginning, Redirect};

/// The endpoint under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Consenting {
    desk: Box<Desk>,
    state: State,
}

/// What is known of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
struct Desk {
    visit: Visit,
    id: String,
    hash: ConsentHash,
    act: Act,
    form: Parameters,
    browser: Option<Browser>,
    who: Who,
}

/// What the request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Act {
    Approve,
    Change,
    Connect,
    Deny,
    Identify,
    ShowApproval,
    ShowServices,
    Skip,
}

impl Act {
    fn of(method: Method, action: Option<&str>) -> Option<Self> {
        Some(match (method, action) {
            (Method::Get, None) => Self::ShowServices,
            (Method::Get, Some("approve")) => Self::ShowApproval,
            (Method::Post, Some("approve")) => Self::Approve,
            (Method::Post, Some("change")) => Self::Change,
            (Method::Post, Some("connect")) => Self::Connect,
            (Method::Post, Some("deny")) => Self::Deny,
            (Method::Post, Some("identify")) => Self::Identify,
            (Method::Post, Some("skip")) => Self::Skip,
            _ => return None,
        })
    }

    const fn is_shown(self) -> bool {
        matches!(self, Self::ShowApproval | Self::ShowServices)
    }
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    AwaitConsent,
    AwaitKey(Box<Stored<ConsentRecord>>),
    /// Staged grants, for the page that shows them.
    AwaitStaged(Box<Standing>),
    Beginning(Box<Beginning>),
    Checking(Box<Standing>, Box<Transaction<Check>>),
    Counting(Box<Stored<ConsentRecord>>, Box<Transaction<CountWrong>>),
    Expiring(Box<Transaction<Expire>>),
    FindingClient(Box<Stored<ConsentRecord>>, Caller, Box<FindClient>),
    Finishing(Box<Transaction<Finish>>),
    Listing(Box<Standing>, Box<Listing>),
    Recognizing(Box<Recognizing>),
    Skipping(Box<Transaction<Skip>>),
    /// With the session cookie to be set, and who the person says they are.
    Turning(Option<Secret>, Option<Identity>, Box<Transaction<TakeTurn>>),
}

/// A consent session with its client and the person in it.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Standing {
    stored: Stored<ConsentRecord>,
    client: ClientRecord,
    caller: Caller,
}

impl Consenting {
    pub(crate) fn begin(
        cx: &mut Context<'_>,
        visit: Visit,
        id: &str,
        action: Option<&str>,
    ) -> Progress<Self, Response> {
        let Some(act) = Act::of(visit.method, action) else { return Progress::fail(Code::PageUnknown) };
        let form = if act.is_shown() { Ok(Parameters::default()) } else { visit.form() };
        let form = match form {
            Ok(form) => form,
            Err(failure) => return Progress::fail(failure),
        };
        let browser = Browser::known(cx, &visit);
        let hash = ConsentHash(lookup_hash("consent", id));
        let step = Recognizing::begin(cx, &visit);
        let desk = Desk { visit, id: id.to_owned(), hash, act, form, browser, who: Who::default() };
        Self::recognizing(cx, Box::new(desk), step)
    }

    fn recognizing(
        cx: &Context<'_>,
        mut desk: Box<Desk>,
        step: Progress<Recognizing, Who>,
    ) -> Progress<Self, Response> {
        match step {
            Progress::Perform(recognizing, effect) => {
                Progress::Perform(Self { desk, state: State::Recognizing(Box::new(recognizing)) }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(who)) => {
                desk.who = who;
                let tenant = &desk.visit.site.tenant;
                let mut keys = vec![Key::consent(tenant, &desk.hash.0)];
                keys.extend(desk.browser.iter().map(|it| Key::attempts(tenant, &it.attempts())));
                let _ = cx;
                Progress::Perform(Self { desk, state: State::AwaitConsent }, Effect::Read { keys })
            }
        }
    }

    /// Whose session it is, and whether it goes on.
    fn look(cx: &mut Context<'_>, desk: Box<Desk>, found: &[Option<Versioned>]) -> Progress<Self, Response> {
        let key = Key::consent(&desk.visit.site.tenant, &desk.hash.0);
        let stored = match cx.open::<ConsentRecord>(&key, found.first().and_then(Option::as_ref)) {
            Ok(stored) => stored,
            Err(failure) => return Progress::fail(failure),
        };
        // atk:TEN-05, atk:CON-08: in another browser it is as if there were none.
        let stored = stored.filter(|stored| {
            desk.browser.as_ref().is_some_and(|browser| browser.digest(desk.hash) == stored.record.browser)
        });
        let Some(stored) = stored else { return Progress::fail(Code::ConsentUnknown) };
        if let ConsentStatus::Ended { redirect, until } = &stored.record.status {
            // atk:CON-13: given again to the browser that approved, for a while: a reload, a click too many.
            return if cx.now() < *until && !redirect.is_empty() {
                Progress::done(Response::see_other(redirect.expose()))
            } else {
                Progress::fail(Code::ConsentExpired)
            };
        }
        if !stored.record.is_open(cx) {
            // P26: committed before it is said, so that a clock set back cannot revive it. What is staged is the sweep's.
            let step = Transaction::begin(cx, Expire { key });
            return Self::expiring(desk, step);
        }
        if !desk.act.is_shown() {
            let person = desk.person(&stored.record);
            let checked = check_form(
                &desk.visit,
                desk.browser.as_ref(),
                &desk.id,
                person.as_ref(),
                desk.form.get("form_token"),
            );
            if let Err(failure) = checked {
                return Progress::fail(failure);
            }
        }
        let paused = match desk.is_paused(cx, found.get(1).and_then(Option::as_ref)) {
            Ok(paused) => paused,
            Err(failure) => return Progress::fail(failure),
        };
        match desk.act {
            Act::Identify => Self::identify(cx, desk, stored, paused),
            Act::Change => {
                // Whoever sits down at this browser next is not the one before.
                let mode = stored.record.identity.as_ref().map(|identity| identity.mode);
                let has_session = matches!(mode, Some(IdentityMode::Key | IdentityMode::Session));
                let forgotten = has_session.then(|| Cookie::Session.forget(cx.engine));
                Self::turn(cx, desk, stored, Turn::Forget, forgotten)
            }
            Act::Deny => Self::turn(cx, desk, stored, Turn::Deny, None),
            _ => Self::go_on(cx, desk, stored),
        }
    }

    fn expiring(desk: Box<Desk>, step: Progress<Transaction<Expire>, ()>) -> Progress<Self, Response> {
        match step {
            Progress::Perform(transaction, effect) => {
                Progress::Perform(Self { desk, state: State::Expiring(Box::new(transaction)) }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(())) => Progress::fail(Code::ConsentExpired),
        }
    }

    /// The person says who they are: by what the host's login knows, by a key, or not at all. Nothing that a form says is taken for an
    /// identity (atk:CON-07).
    fn identify(
        cx: &mut Context<'_>,
        desk: Box<Desk>,
        stored: Stored<ConsentRecord>,
        paused: bool,
    ) -> Progress<Self, Response> {
        let gateway = match config(cx.engine) {
            Ok(gateway) => gateway,
            Err(failure) => return Progress::fail(failure),
        };
        match desk.form.get("mode") {
            Some("user") if gateway.offers(IdentityMode::User) => match completed(&desk.who) {
                Ok(host) => {
                    let identity = Identity {
                        mode: IdentityMode::User,
                        principal: host.caller.principal.clone(),
                        auth_time: host.auth_time,
                    };
                    Self::turn(cx, desk, stored, Turn::Choose(identity, None), None)
                }
                Err(failure) => Progress::done(desk.identify_page(cx, &stored.record, Some(&failure))),
            },
            Some("session") if gateway.offers(IdentityMode::Session) => {
                let id = crate::hex::with_text(&cx.moment.entropy.id("consent/session"), str::to_owned);
                let Ok(principal) = Principal::new(PrincipalKind::Session, id) else {
                    return Progress::fail(Code::Internal);
                };
                let caller = Caller {
                    tenant: desk.visit.site.tenant.clone(),
                    principal,
                    assurance: Assurance::Ephemeral,
                    teams: Vec::new(),
                    role: crate::principal::Role::Member,
                };
                Self::start_session(cx, desk, stored, IdentityMode::Session, caller)
            }
            Some("key") if gateway.offers(IdentityMode::Key) => {
                if paused {
                    let failure = Failure::new(Code::KeyPaused);
                    return Progress::done(desk.identify_page(cx, &stored.record, Some(&failure)));
                }
                let Some(key) = desk.form.secret("key").cloned() else {
                    let failure = Failure::new(Code::KeyRefused).because("there is none");
                    return Progress::done(desk.identify_page(cx, &stored.record, Some(&failure)));
                };
                let tenant = desk.visit.site.tenant.clone();
                let effect = Effect::Identify { tenant, whom: Whom::Key(key) };
                Progress::Perform(Self { desk, state: State::AwaitKey(Box::new(stored)) }, effect)
            }
            _ => Progress::fail(
                Failure::new(Code::RequestMalformed).because("there is no such way to sign in"),
            ),
        }
    }

    fn key_answered(
        cx: &mut Context<'_>,
        desk: Box<Desk>,
        stored: Stored<ConsentRecord>,
        reply: IdentityReply,
    ) -> Progress<Self, Response> {
        match reply {
            IdentityReply::Caller(mut caller) => {
                // Who holds a key holds a key, however sure the host is of its owner; and no key is a session of ours.
                caller.assurance = caller.assurance.min(Assurance::Possession);
                if !matches!(
                    caller.principal.kind(),
                    PrincipalKind::Key | PrincipalKind::User | PrincipalKind::Agent
                ) {
                    return Progress::fail(Code::KeyRefused);
                }
                Self::start_session(cx, desk, stored, IdentityMode::Key, *caller)
            }
            IdentityReply::Rejected => {
                cx.emit(&desk.visit.site.tenant, None, None, What::KeyRefused);
                let subject = desk.browser.as_ref().map_or([0; 32], Browser::attempts);
                let key = Key::attempts(&desk.visit.site.tenant, &subject);
                let step = Transaction::begin(cx, CountWrong { key, tenant: desk.visit.site.tenant.clone() });
                Self::counting(cx, desk, stored, step)
            }
            IdentityReply::Unavailable => Progress::fail(Code::IdentityUnavailable),
        }
    }

    fn counting(
        cx: &Context<'_>,
        desk: Box<Desk>,
        stored: Stored<ConsentRecord>,
        step: Progress<Transaction<CountWrong>, u8>,
    ) -> Progress<Self, Response> {
        match step {
            Progress::Perform(transaction, effect) => {
                let state = State::Counting(Box::new(stored), Box::new(transaction));
                Progress::Perform(Self { desk, state }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(count)) => {
                let code = if count >= WRONG_KEYS_MAX { Code::KeyPaused } else { Code::KeyRefused };
                Progress::done(desk.identify_page(cx, &stored.record, Some(&Failure::new(code))))
            }
        }
    }

    fn start_session(
        cx: &mut Context<'_>,
        desk: Box<Desk>,
        stored: Stored<ConsentRecord>,
        mode: IdentityMode,
        caller: Caller,
    ) -> Progress<Self, Response> {
        let identity = Identity { mode, principal: caller.principal.clone(), auth_time: Some(cx.now()) };
        // A new one each time: nobody chooses another's session (CSR-03).
        let (secret, hash, session) = new_session(cx, caller);
        let cookie = Cookie::Session.set(cx.engine, &secret);
        Self::turn(cx, desk, stored, Turn::Choose(identity, Some((hash, Box::new(session)))), Some(cookie))
    }

    fn turn(
        cx: &mut Context<'_>,
        desk: Box<Desk>,
        stored: Stored<ConsentRecord>,
        turn: Turn,
        cookie: Option<Secret>,
    ) -> Progress<Self, Response> {
        let staging = desk.staging(&stored.record);
        let identity = match &turn {
            Turn::Choose(identity, _) => Some(identity.clone()),
            Turn::Deny | Turn::Forget => None,
        };
        let step = Transaction::begin(cx, TakeTurn { staging, seen: Box::new(stored), turn });
        Self::turning(cx, desk, cookie, identity, step)
    }

    fn turning(
        cx: &mut Context<'_>,
        desk: Box<Desk>,
        cookie: Option<Secret>,
        identity: Option<Identity>,
        step: Progress<Transaction<TakeTurn>, Turned>,
    ) -> Progress<Self, Response> {
        let turned = match step {
            Progress::Perform(transaction, effect) => {
                let state = State::Turning(cookie, identity, Box::new(transaction));
                return Progress::Perform(Self { desk, state }, effect);
            }
            Progress::Done(Err(failure)) => return Progress::fail(failure),
            Progress::Done(Ok(turned)) => turned,
        };
        match turned {
            Turned::GoOn => {
                if let Some(identity) = identity {
                    cx.acts(&identity.principal);
                    let mode = identity.mode.as_str().to_owned();
                    let owner = Some(&identity.principal);
                    cx.emit(&desk.visit.site.tenant, owner, None, What::IdentityChosen { mode });
                }
                Progress::done(desk.back().with_cookie(cookie))
            }
            Turned::Denied(redirect) => {
                cx.emit(&desk.visit.site.tenant, None, None, What::ConsentDenied);
                Progress::done(if redirect.is_empty() {
                    show::declined(cx)
                } else {
                    Response::see_other(redirect.expose())
                })
            }
        }
    }

    /// Everything that needs to know who the person is.
    fn go_on(
        cx: &mut Context<'_>,
        desk: Box<Desk>,
        stored: Stored<ConsentRecord>,
    ) -> Progress<Self, Response> {
        let identity = stored.record.identity.as_ref();
        let Some(caller) = identity.and_then(|identity| desk.who.as_chosen(identity)).cloned() else {
            if let Some(identity) = desk.only_identity(cx, &stored.record) {
                return Self::turn(cx, desk, stored, Turn::Choose(identity, None), None);
            }
            let failure = identity.is_some().then(|| {
                Failure::new(Code::SignInNeeded)
                    .because("whoever began is not signed in in this browser any more")
            });
            return Progress::done(desk.identify_page(cx, &stored.record, failure.as_ref()));
        };
        cx.acts(&caller.principal);
        //= spec/cimd.md#4
        //# For an id that is a URL the authorization server SHOULD fetch the document by GET and MUST take
        //# nothing but a 200 of JSON for it, following no redirect (REG-21, S).
        let client_id = stored.record.request.client_id.clone();
        let step = FindClient::begin(cx, &desk.visit.site.tenant, &client_id, Fetch::IfStale);
        Self::finding(cx, desk, stored, caller, step)
    }

    fn finding(
        cx: &mut Context<'_>,
        desk: Box<Desk>,
        stored: Stored<ConsentRecord>,
        caller: Caller,
        step: Progress<FindClient, FoundClient>,
    ) -> Progress<Self, Response> {
        let client = match step {
            Progress::Perform(find, effect) => {
                let state = State::FindingClient(Box::new(stored), caller, Box::new(find));
                return Progress::Perform(Self { desk, state }, effect);
            }
            Progress::Done(Err(failure)) => return Progress::fail(failure),
            Progress::Done(Ok(FoundClient::Unread)) => return Progress::fail(Code::ClientDocumentRefused),
            Progress::Done(Ok(FoundClient::Known { record, .. })) => record,
        };
        let gateway = match config(cx.engine) {
            Ok(gateway) => gateway,
            Err(failure) => return Progress::fail(failure),
        };
        //= spec/mcp-best-practices.md#redirect-uri-validation
        //# The redirect URI of a request MUST be one of the client's, exactly, and one that has changed without a new
        //# registration be refused (CON-06, B).
        // atk:RED-10: looked at again at every step, for a document may change meanwhile.
        if !client.accepts(gateway, &stored.record.request.redirect_uri) {
            return Progress::fail(Code::ClientRedirectRefused);
        }
        let standing = Box::new(Standing { client: *client, caller, stored });
        if !standing.stored.record.request.checked {
            let key = Key::consent(&desk.visit.site.tenant, &desk.hash.0);
            let step = Transaction::begin(cx, Check { key });
            return Self::checking(cx, desk, standing, step);
        }
        Self::act(cx, desk, standing)
    }

    fn checking(
        cx: &mut Context<'_>,
        desk: Box<Desk>,
        mut standing: Box<Standing>,
        step: Progress<Transaction<Check>, ()>,
    ) -> Progress<Self, Response> {
        match step {
            Progress::Perform(transaction, effect) => {
                let state = State::Checking(standing, Box::new(transaction));
                Progress::Perform(Self { desk, state }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(())) => {
                standing.stored.record.request.checked = true;
                Self::act(cx, desk, standing)
            }
        }
    }

    fn act(cx: &mut Context<'_>, desk: Box<Desk>, standing: Box<Standing>) -> Progress<Self, Response> {
        match desk.act {
            Act::ShowServices => {
                let step = Listing::begin(standing.caller.clone());
                Self::listing(cx, desk, standing, step)
            }
            Act::ShowApproval => {
                let staging = desk.staging(&standing.stored.record);
                let keys: Vec<Key> = staging.connectors.iter().map(|it| staging.staged_key(it)).collect();
                if keys.is_empty() {
                    return Progress::done(desk.approve_page(cx, &standing, &[]));
                }
                Progress::Perform(Self { desk, state: State::AwaitStaged(standing) }, Effect::Read { keys })
            }
            Act::Approve => Self::approve(cx, desk, *standing),
            Act::Connect => Self::connect(cx, desk, &standing),
            Act::Skip => {
                let Some(connector) = desk.connector() else { return Progress::fail(Code::ConnectorUnknown) };
                let key = Key::consent(&desk.visit.site.tenant, &desk.hash.0);
                let step = Transaction::begin(cx, Skip { key, connector });
                Self::skipping(desk, step)
            }
            Act::Change | Act::Deny | Act::Identify => Progress::fail(Code::Internal),
        }
    }

    fn listing(
        cx: &Context<'_>,
        desk: Box<Desk>,
        standing: Box<Standing>,
        step: Progress<Listing, Vec<ServiceShown>>,
    ) -> Progress<Self, Response> {
        match step {
            Progress::Perform(listing, effect) => {
                let state = State::Listing(standing, Box::new(listing));
                Progress::Perform(Self { desk, state }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(services)) => {
                // With nothing to connect, the question is the approval alone.
                let response = if services.is_empty() {
                    desk.on_to_approval()
                } else {
                    desk.services_page(cx, &standing, services)
                };
                Progress::done(response)
            }
        }
    }

    fn staged_read(
        cx: &Context<'_>,
        desk: &Desk,
        standing: &Standing,
        found: &[Option<Versioned>],
    ) -> Progress<Self, Response> {
        let staging = desk.staging(&standing.stored.record);
        let mut staged = Vec::new();
        for (connector, raw) in staging.connectors.iter().zip(found) {
            match cx.open::<StagedRecord>(&staging.staged_key(connector), raw.as_ref()) {
                Ok(Some(stored)) => staged.push(stored.record),
                Ok(None) => return Progress::fail(Code::ConsentStale),
                Err(failure) => return Progress::fail(failure),
            }
        }
        Progress::done(desk.approve_page(cx, standing, &staged))
    }

    /// Sends the browser to the upstream's issuer. The page that the form was on named the client, and the person has pressed the
    /// button there for this upstream: that is their consent to this client's having it connected (CON-01).
    fn connect(cx: &mut Context<'_>, desk: Box<Desk>, standing: &Standing) -> Progress<Self, Response> {
        //= spec/mcp-2026-07-28.md#sec-confused-deputy-problem
        //# With a static registration upstream, each client MUST have the person's consent before anything goes to the
        //# upstream (CON-01, B).
        //= spec/mcp-best-practices.md#oauth-state-parameter-validation
        //# The upstream's `state` MUST be random, be stored only once the person has pressed the button, and
        //# its cookie be set right before the redirect, never earlier (CON-07, B).
        //= spec/mcp-best-practices.md#confused-deputy-problem
        //# The upstream leg MUST keep every rule for clients, with a pending flow for each upstream
        //# (CON-11, B).
        // atk:CON-01, atk:CON-03: the binding cookie is set by this response alone.
        let Some(connector) = desk.connector() else { return Progress::fail(Code::ConnectorUnknown) };
        let mut arguments = BeginConnect::new(standing.caller.clone(), connector);
        arguments.cookies = desk.visit.cookies();
        arguments.return_to = Some(desk.visit.site.path(&format!("/consent/{}", desk.id)));
        let step = Beginning::within(arguments, Some(desk.hash)).step(cx, Answer::Start);
        Self::beginning(desk, step)
    }

    fn beginning(desk: Box<Desk>, step: Progress<Beginning, Redirect>) -> Progress<Self, Response> {
        match step {
            Progress::Perform(beginning, effect) => {
                Progress::Perform(Self { desk, state: State::Beginning(Box::new(beginning)) }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(redirect)) => {
                //= spec/mcp-2026-07-28.md#elic-url-mode-for-oauth
                //# Upstream credentials MUST NOT pass through the MCP client, and the person authorizes us at
                //# the upstream directly (CON-13, B).
                Progress::done(Response::see_other(&redirect.url).with_cookie(redirect.cookie))
            }
        }
    }

    fn skipping(desk: Box<Desk>, step: Progress<Transaction<Skip>, ()>) -> Progress<Self, Response> {
        match step {
            Progress::Perform(transaction, effect) => {
                Progress::Perform(Self { desk, state: State::Skipping(Box::new(transaction)) }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(())) => Progress::done(desk.back()),
        }
    }

    fn approve(cx: &mut Context<'_>, desk: Box<Desk>, standing: Standing) -> Progress<Self, Response> {
        let Standing { stored, caller, .. } = standing;
        let Some(identity) = stored.record.identity.clone() else {
            return Progress::fail(Code::SignInNeeded);
        };
        //= spec/oauth21.md#3-1
        //# The person MUST be authenticated before anything is granted in their name (AS-03, S).
        if identity.mode == IdentityMode::User
            && let Err(failure) = completed(&desk.who)
        {
            return Progress::fail(failure);
        }
        let code = new_code(&cx.moment.entropy, "consent/code");
        let step = Transaction::begin(
            cx,
            Finish {
                staging: desk.staging(&stored.record),
                identified_at: desk.who.identified_at(identity.mode, cx.now()),
                seen: Box::new(stored),
                caller,
                shown: desk.form.get("shown").unwrap_or_default().to_owned(),
                code,
            },
        );
        Self::finishing(cx, desk, step)
    }

    fn finishing(
        cx: &mut Context<'_>,
        desk: Box<Desk>,
        step: Progress<Transaction<Finish>, Finished>,
    ) -> Progress<Self, Response> {
        match step {
            Progress::Perform(transaction, effect) => {
                let state = State::Finishing(Box::new(transaction));
                Progress::Perform(Self { desk, state }, effect)
            }
            // What has changed is shown again, to be decided on again.
            Progress::Done(Err(failure)) if failure.code() == Code::ConsentStale => {
                let mut response = desk.on_to_approval();
                response.failure = Some(failure);
                Progress::done(response)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(finished)) => {
                let tenant = &desk.visit.site.tenant;
                let owner = finished.owner.clone();
                cx.emit(tenant, Some(&owner), None, What::Approved);
                for connector in &finished.promoted {
                    cx.emit(tenant, Some(&owner), Some(connector), What::Promoted);
                }
                Progress::done(Response::see_other(finished.redirect.expose()))
            }
        }
    }
}

impl Endpoint for Consenting {
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Response> {
        let Self { desk, state } = self;
        match (state, answer) {
            (State::AwaitConsent, Answer::Read(Some(found))) => Self::look(cx, desk, &found),
            (State::AwaitStaged(standing), Answer::Read(Some(found))) => {
                Self::staged_read(cx, &desk, &standing, &found)
            }
            (State::AwaitConsent | State::AwaitStaged(_), Answer::Read(None)) => {
                Progress::fail(Code::StoreUnavailable)
            }
            (State::AwaitKey(stored), Answer::Identity(reply)) => {
                Self::key_answered(cx, desk, *stored, reply)
            }
            (State::Beginning(beginning), answer) => {
                let step = beginning.step(cx, answer);
                Self::beginning(desk, step)
            }
            (State::Checking(standing, transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::checking(cx, desk, standing, step)
            }
            (State::Counting(stored, transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::counting(cx, desk, *stored, step)
            }
            (State::Expiring(transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::expiring(desk, step)
            }
            (State::FindingClient(stored, caller, find), answer) => {
                let step = find.step(cx, answer);
                Self::finding(cx, desk, *stored, caller, step)
            }
            (State::Finishing(transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::finishing(cx, desk, step)
            }
            (State::Listing(standing, listing), answer) => {
                let step = listing.step(cx, answer);
                Self::listing(cx, desk, standing, step)
            }
            (State::Recognizing(recognizing), answer) => {
                let step = recognizing.step(cx, answer);
                Self::recognizing(cx, desk, step)
            }
            (State::Skipping(transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::skipping(desk, step)
            }
            (State::Turning(cookie, identity, transaction), answer) => {
                let step = transaction.step(cx, answer);
                Self::turning(cx, desk, cookie, identity, step)
            }
            _ => Progress::fail(Code::Internal),
        }
    }
}

impl Desk {
    /// To whom the forms of the page were shown.
    fn person(&self, consent: &ConsentRecord) -> Option<Principal> {
        let chosen = consent.identity.as_ref().and_then(|identity| self.who.as_chosen(identity));
        chosen.or_else(|| self.who.anybody()).map(|caller| caller.principal.clone())
    }

    fn staging(&self, consent: &ConsentRecord) -> Staging {
        let owner = consent.identity.as_ref().map(|identity| identity.principal.clone());
        // Without an identity nothing was ever staged.
        let owner = owner.unwrap_or_else(|| Principal::org(&self.visit.site.tenant));
        let connectors = consent.staged.clone();
        Staging { site: self.visit.site.clone(), consent: self.hash, owner, connectors }
    }

    fn connector(&self) -> Option<ConnectorId> {
        ConnectorId::new(self.form.get("connector")?).ok()
    }

    /// Where there is only one way to say who one is, and the host has said it, nobody is asked.
    fn only_identity(&self, cx: &Context<'_>, consent: &ConsentRecord) -> Option<Identity> {
        let gateway = config(cx.engine).ok()?;
        let only_login = gateway.identity.iter().all(|mode| *mode == IdentityMode::User);
        let host = completed(&self.who).ok()?;
        (only_login && consent.identity.is_none() && self.act.is_shown()).then(|| Identity {
            mode: IdentityMode::User,
            principal: host.caller.principal.clone(),
            auth_time: host.auth_time,
        })
    }

    fn is_paused(&self, cx: &Context<'_>, raw: Option<&Versioned>) -> Result<bool, Failure> {
        let Some(browser) = &self.browser else { return Ok(false) };
        let key = Key::attempts(&self.visit.site.tenant, &browser.attempts());
        let attempts = cx.open::<AttemptsRecord>(&key, raw)?;
        Ok(attempts.is_some_and(|stored| stored.record.count_now(cx) >= WRONG_KEYS_MAX))
    }

    /// Back to the page that shows where things stand.
    fn back(&self) -> Response {
        Response::see_other(&self.visit.site.url(&format!("/consent/{}", self.id)))
    }

    fn on_to_approval(&self) -> Response {
        Response::see_other(&self.visit.site.url(&format!("/consent/{}/approve", self.id)))
    }
}
