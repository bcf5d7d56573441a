//! `/connections`: a person's connected accounts, and the clients that are signed in for them.
//!
//! ```text
//! start       -> Recognizing   [Read, Identify]
//! Recognizing -> sign-in page                       nobody is here
//!             -> Overviewing   [Scan, Read]         GET: the connections, then
//!                Listing       [Scan, Read]         the sign-ins, then
//!                AwaitClients  [Read]               their clients: the page
//!             -> Disconnecting [Read, Http]         POST disconnect: 303
//!             -> SigningOut    [Read]               POST revoke: 303
//!             -> Confirming    [Read]               POST confirm: 303
//!             -> Beginning     [Read, Http]         POST connect: 303 to the issuer
//! ```

use super::consent::{identity, shown_principal};
use super::handle::{Endpoint, frame};
use super::pages::{ConnectionShown, ConnectionsPage, DisplayName, Notice, OwnerShown, Page, SignedInClient};
use super::person::{Person, sign_in};
use super::response::Response;
use super::services::host;
use super::sign_ins::{
    ListSignIns, ListingSignIns, RevokeSignIn, RevokingSignIn, SignIn, SignInId, SignInRevoked,
};
use super::site::config;
use super::visit::{Method, Visit};
use super::who::{Recognizing, Who};
use crate::error::{Code, Failure};
use crate::moment::UnixMillis;
use crate::operation::{Answer, Context, Effect, Machine, Progress, Versioned};
use crate::store::Key;
use crate::store::records::ClientRecord;
use crate::upstream::begin_connect::{BeginConnect, Beginning, Redirect};
use crate::upstream::confirm_account::{AccountConfirmed, ConfirmAccount, ConfirmingAccount};
use crate::upstream::disconnect::{Disconnect, Disconnected, Disconnecting};
use crate::upstream::page::{PAGE_MAX, Page as Listed};
use crate::upstream::status::{Overviewing, Seen, Status};

/// What the forms of the page belong to.
const PAGE: &str = "connections";

/// The endpoint under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Managing {
    act: Act,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Act {
    Confirm,
    Connect,
    Disconnect,
    Revoke,
    Show,
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    AwaitClients(Box<Person>, Vec<Seen>, Vec<SignIn>),
    Beginning(Box<Beginning>),
    Confirming(Box<Person>, Box<ConfirmingAccount>),
    Disconnecting(Box<Person>, Box<Disconnecting>),
    Listing(Box<Person>, Vec<Seen>, Box<ListingSignIns>),
    Overviewing(Box<Person>, Box<Overviewing>),
    Recognizing(Box<Visit>, Box<Recognizing>),
    SigningOut(Box<Person>, Box<RevokingSignIn>),
}

impl Managing {
    pub(crate) fn begin(
        cx: &mut Context<'_>,
        visit: Visit,
        action: Option<&str>,
    ) -> Progress<Self, Response> {
        let act = match (visit.method, action) {
            (Method::Get, None) => Act::Show,
            (Method::Post, Some("confirm")) => Act::Confirm,
            (Method::Post, Some("connect")) => Act::Connect,
            (Method::Post, Some("disconnect")) => Act::Disconnect,
            (Method::Post, Some("revoke")) => Act::Revoke,
            _ => return Progress::fail(Code::PageUnknown),
        };
        let step = Recognizing::begin(cx, &visit);
        Self::recognizing(cx, act, Box::new(visit), step)
    }

    fn recognizing(
        cx: &mut Context<'_>,
        act: Act,
        visit: Box<Visit>,
        step: Progress<Recognizing, Who>,
    ) -> Progress<Self, Response> {
        let who = match step {
            Progress::Perform(recognizing, effect) => {
                let state = State::Recognizing(visit, Box::new(recognizing));
                return Progress::Perform(Self { act, state }, effect);
            }
            Progress::Done(Err(failure)) => return Progress::fail(failure),
            Progress::Done(Ok(who)) => who,
        };
        let person = match Person::of(cx, (*visit).clone(), &who, PAGE) {
            Ok(person) => Box::new(person),
            Err(failure) if failure.code() == Code::SignInNeeded => {
                return Progress::done(sign_in(cx, &visit, failure));
            }
            Err(failure) => return Progress::fail(failure),
        };
        match Self::act(cx, act, person) {
            Ok(step) => step,
            Err(failure) => Progress::fail(failure),
        }
    }

    fn act(cx: &mut Context<'_>, act: Act, person: Box<Person>) -> Result<Progress<Self, Response>, Failure> {
        if act == Act::Show {
            let step = Overviewing::begin(person.caller.clone());
            return Ok(Self::overviewing(cx, act, person, step));
        }
        let caller = person.caller.clone();
        if act == Act::Revoke {
            let id = person.form.get("family").and_then(SignInId::parse).ok_or(Code::RequestMalformed)?;
            let step = RevokingSignIn::within(RevokeSignIn { caller, id }).step(cx, Answer::Start);
            return Ok(Self::signing_out(act, person, step));
        }
        let owner = person.owner()?;
        let connector = person.connector().ok_or(Code::ConnectorUnknown)?;
        Ok(match act {
            Act::Revoke | Act::Show => return Err(Code::Internal.into()),
            Act::Connect => {
                let mut arguments = BeginConnect::new(caller, connector);
                arguments.owner = owner;
                arguments.cookies = person.visit.cookies();
                let step = Beginning::within(arguments, None).step(cx, Answer::Start);
                Self::beginning(act, step)
            }
            Act::Disconnect => {
                let step =
                    Disconnecting::within(Disconnect { caller, connector, owner }).step(cx, Answer::Start);
                Self::disconnecting(act, person, step)
            }
            Act::Confirm => {
                let held_since = person.form.get("held_since").and_then(|text| text.parse().ok());
                let held_since = UnixMillis(held_since.ok_or(Code::RequestMalformed)?);
                let accept = person.form.get("accept") == Some("true");
                let arguments = ConfirmAccount { caller, owner, connector, held_since, accept };
                let step = ConfirmingAccount::within(arguments).step(cx, Answer::Start);
                Self::confirming(act, person, step)
            }
        })
    }

    fn overviewing(
        cx: &mut Context<'_>,
        act: Act,
        person: Box<Person>,
        step: Progress<Overviewing, Vec<Seen>>,
    ) -> Progress<Self, Response> {
        match step {
            Progress::Perform(overviewing, effect) => {
                let state = State::Overviewing(person, Box::new(overviewing));
                Progress::Perform(Self { act, state }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(seen)) => {
                let caller = person.caller.clone();
                let arguments = ListSignIns { caller, of: None, after: None, limit: PAGE_MAX };
                let step = ListingSignIns::within(arguments).step(cx, Answer::Start);
                Self::listing(cx, act, person, seen, step)
            }
        }
    }

    fn listing(
        cx: &Context<'_>,
        act: Act,
        person: Box<Person>,
        seen: Vec<Seen>,
        step: Progress<ListingSignIns, Listed<SignIn>>,
    ) -> Progress<Self, Response> {
        let sign_ins = match step {
            Progress::Perform(listing, effect) => {
                let state = State::Listing(person, seen, Box::new(listing));
                return Progress::Perform(Self { act, state }, effect);
            }
            Progress::Done(Err(failure)) => return Progress::fail(failure),
            Progress::Done(Ok(page)) => page.items,
        };
        if sign_ins.is_empty() {
            return Progress::done(page(cx, &person, &seen, Vec::new()));
        }
        let tenant = &person.caller.tenant;
        let keys = sign_ins.iter().map(|sign_in| Key::client(tenant, &sign_in.client_id)).collect();
        Progress::Perform(
            Self { act, state: State::AwaitClients(person, seen, sign_ins) },
            Effect::Read { keys },
        )
    }

    fn signing_out(
        act: Act,
        person: Box<Person>,
        step: Progress<RevokingSignIn, SignInRevoked>,
    ) -> Progress<Self, Response> {
        match step {
            Progress::Perform(signing_out, effect) => {
                let state = State::SigningOut(person, Box::new(signing_out));
                Progress::Perform(Self { act, state }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(_)) => Progress::done(back(&person, Some(Notice::SignedOut))),
        }
    }

    fn beginning(act: Act, step: Progress<Beginning, Redirect>) -> Progress<Self, Response> {
        match step {
            Progress::Perform(beginning, effect) => {
                Progress::Perform(Self { act, state: State::Beginning(Box::new(beginning)) }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(redirect)) => {
                Progress::done(Response::see_other(&redirect.url).with_cookie(redirect.cookie))
            }
        }
    }

    fn disconnecting(
        act: Act,
        person: Box<Person>,
        step: Progress<Disconnecting, Disconnected>,
    ) -> Progress<Self, Response> {
        match step {
            Progress::Perform(disconnecting, effect) => {
                let state = State::Disconnecting(person, Box::new(disconnecting));
                Progress::Perform(Self { act, state }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(_)) => Progress::done(back(&person, Some(Notice::Disconnected))),
        }
    }

    fn confirming(
        act: Act,
        person: Box<Person>,
        step: Progress<ConfirmingAccount, AccountConfirmed>,
    ) -> Progress<Self, Response> {
        match step {
            Progress::Perform(confirming, effect) => {
                let state = State::Confirming(person, Box::new(confirming));
                Progress::Perform(Self { act, state }, effect)
            }
            Progress::Done(Err(failure)) => Progress::fail(failure),
            Progress::Done(Ok(_)) => Progress::done(back(&person, None)),
        }
    }
}

impl Endpoint for Managing {
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Response> {
        let Self { act, state } = self;
        match state {
            State::Beginning(beginning) => {
                let step = beginning.step(cx, answer);
                Self::beginning(act, step)
            }
            State::Confirming(person, confirming) => {
                let step = confirming.step(cx, answer);
                Self::confirming(act, person, step)
            }
            State::Disconnecting(person, disconnecting) => {
                let step = disconnecting.step(cx, answer);
                Self::disconnecting(act, person, step)
            }
            State::Overviewing(person, overviewing) => {
                let step = overviewing.step(cx, answer);
                Self::overviewing(cx, act, person, step)
            }
            State::AwaitClients(person, seen, sign_ins) => {
                let Answer::Read(Some(found)) = answer else { return Progress::fail(Code::StoreUnavailable) };
                let clients =
                    sign_ins.iter().zip(&found).map(|(it, raw)| signed_in(cx, &person, it, raw.as_ref()));
                let clients = clients.collect();
                Progress::done(page(cx, &person, &seen, clients))
            }
            State::Listing(person, seen, listing) => {
                let step = listing.step(cx, answer);
                Self::listing(cx, act, person, seen, step)
            }
            State::SigningOut(person, signing_out) => {
                let step = signing_out.step(cx, answer);
                Self::signing_out(act, person, step)
            }
            State::Recognizing(visit, recognizing) => {
                let step = recognizing.step(cx, answer);
                Self::recognizing(cx, act, visit, step)
            }
        }
    }
}

/// A client that is signed in, with what its record says of it.
fn signed_in(cx: &Context<'_>, person: &Person, sign_in: &SignIn, raw: Option<&Versioned>) -> SignedInClient {
    let key = Key::client(&person.caller.tenant, &sign_in.client_id);
    let client = cx.open::<ClientRecord>(&key, raw).ok().flatten().map(|stored| stored.record);
    let shown = client.zip(config(cx.engine).ok()).map(|(client, gateway)| client.shown(gateway, ""));
    SignedInClient {
        family: sign_in.id.to_string(),
        document_host: shown.as_ref().and_then(|shown| shown.document_host.clone()),
        name: shown
            .map_or_else(|| DisplayName::new("A client that is not registered any more"), |it| it.name),
        resource: sign_in.resource.clone(),
        since: sign_in.created_at.0,
    }
}

fn notice_name(notice: Notice) -> &'static str {
    match notice {
        Notice::Connected => "connected",
        Notice::Disconnected => "disconnected",
        Notice::SignedOut => "signed_out",
    }
}

fn back(person: &Person, notice: Option<Notice>) -> Response {
    let path = match notice {
        Some(notice) => format!("/connections?done={}", notice_name(notice)),
        None => "/connections".to_owned(),
    };
    Response::see_other(&person.visit.site.url(&path))
}

fn page(cx: &Context<'_>, person: &Person, seen: &[Seen], clients: Vec<SignedInClient>) -> Response {
    let done = person.form.get("done");
    let notices = [Notice::Connected, Notice::Disconnected, Notice::SignedOut];
    let page = ConnectionsPage {
        frame: frame(cx.engine),
        identity: identity(&person.caller),
        form: person.target("/connections", PAGE),
        connections: seen.iter().map(|seen| shown(person, seen)).collect(),
        clients,
        notice: notices.into_iter().find(|notice| done == Some(notice_name(*notice))),
    };
    Response::page(cx.engine, 200, Page::Connections(Box::new(page))).with_cookie(person.browser.cookie(cx))
}

fn shown(person: &Person, seen: &Seen) -> ConnectionShown {
    let status = &seen.status;
    let auth = &status.per_user_auth;
    let (state, detail) = match &auth.state {
        Status::Connected => ("connected", None),
        Status::Connecting => ("connecting", None),
        Status::Disconnected => ("disconnected", None),
        Status::Error { code } => ("error", Some(code.clone())),
        Status::Expired => ("expired", None),
        Status::NeedsReauth { reason } => ("needs_reauth", Some((*reason).to_owned())),
        Status::NeedsScope { missing } => ("needs_scope", Some(missing.to_string())),
        Status::Suspended => ("suspended", None),
    };
    let connected = status.connected_by.as_ref().zip(status.connected_at);
    ConnectionShown {
        connector: status.connector.as_str().to_owned(),
        name: DisplayName::new(status.connector.as_str()),
        host: host(&seen.connector),
        owner: (status.owner != person.caller.principal)
            .then(|| OwnerShown { shown: shown_principal(&status.owner), id: status.owner.id().to_owned() }),
        state,
        detail,
        account: status.account.as_deref().map(DisplayName::new),
        held: status
            .held
            .as_ref()
            .map(|held| (held.account.as_deref().map(DisplayName::new), held.held_since.0)),
        scopes: auth.scopes.iter().map(str::to_owned).collect(),
        expires_at: auth.expires_at.map(|at| at.0),
        connected: connected.map(|(by, at)| (shown_principal(by), at.0)),
        can_connect: auth.connect_url.is_some(),
        can_disconnect: auth.disconnect_url.is_some(),
        doubt: status.doubt,
    }
}
