//! Pages: what they show, as plain data, and their HTML.
//!
//! A host may render the same models itself; the rules are in the status and headers of the response, which it keeps. It sends the same
//! forms to the same places, shows each name whose `suspicious` is set with a warning and each host whole, escapes everything, and loads
//! nothing that the `Content-Security-Policy` of the response does not allow. In messages a page is an object with one member,
//! whose name says which it is.

#[cfg(any(test, feature = "seam"))]
mod examples;
mod html;
mod name;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use self::html::policy;
pub use self::name::DisplayName;

use serde::{Serialize, Serializer};

/// What a page shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Page {
    /// Asks itself for the page again, so that cookies arrive that browsers keep back from navigations of other sites.
    Again(AgainPage),
    /// Asks whether a client may have what it asks for.
    Approve(Box<ApprovePage>),
    /// Asks whether one upstream is to be connected, in answer to the link of a challenge.
    Connect(Box<ConnectPage>),
    /// The person's connected accounts, and the clients signed in for them.
    Connections(Box<ConnectionsPage>),
    /// Asks who the person is.
    Identify(Box<IdentifyPage>),
    /// Says how something ended, or why it cannot go on.
    Message(Box<MessagePage>),
    /// Offers to connect the upstreams before the client is approved.
    Services(Box<ServicesPage>),
}

/// What every page shows: whose gateway it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Frame {
    /// The gateway's name.
    pub gateway: String,
}

/// Where the forms of a page go. All of them are POSTs with `form_token`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct FormTarget {
    /// The path that the names of actions are added to: `/consent/{id}` with `/approve`.
    pub path: String,
    /// Bound to the browser, the page and the person; every form carries it back.
    pub form_token: String,
}

/// A client, as far as it can be told. Everything but the hosts is what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ClientShown {
    /// The name it gives itself.
    pub name: DisplayName,
    /// The host of its metadata document, in ASCII; `None`: it registered itself.
    pub document_host: Option<String>,
    /// The host, or the scheme, at which it will get the answer, in ASCII.
    pub redirect_host: String,
    /// The whole of that address, as it was registered.
    pub redirect_uri: String,
    /// It answers on the person's own machine, where any program may listen.
    pub loopback: bool,
    /// It answers through a scheme that any program may claim.
    pub private_scheme: bool,
    /// The operator vouches for it.
    pub verified: bool,
}

/// Who the person is, as pages say it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct IdentityShown {
    /// The kind of principal: `user`, `key`, `session`.
    pub kind: &'static str,
    /// Its id.
    pub id: DisplayName,
}

/// Whose something is, where it is not the person's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct OwnerShown {
    /// As people read it.
    pub shown: IdentityShown,
    /// The id byte for byte, which forms send back as `owner`, with the kind as `owner_kind`. What is shown may be cleaned and cut.
    pub id: String,
}

/// Asks for the page again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct AgainPage {
    /// Whose gateway.
    pub frame: Frame,
    /// The path and query to ask for.
    pub target: String,
}

/// Asks who the person is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct IdentifyPage {
    /// Whose gateway.
    pub frame: Frame,
    /// Who wants to know. `None`: its document has not been read yet, which happens once the person is known.
    pub client: Option<ClientShown>,
    /// Host of the client's document or redirect, where there is no more to say yet.
    pub client_host: String,
    /// Actions: `/identify` with `mode` = `user`, `key` (and `key`) or `session`; `/deny`.
    pub form: FormTarget,
    /// Signing in with the host is offered.
    pub user: Option<UserOffer>,
    /// Entering an API key is offered.
    pub key: bool,
    /// Going on without an identity is offered.
    pub session: bool,
    /// What was wrong with the last attempt.
    pub problem: Option<Problem>,
}

/// What the host's own login offers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct UserOffer {
    /// Who is signed in. `None`: nobody.
    pub signed_in_as: Option<DisplayName>,
    /// Where to sign in, or to sign in as somebody else.
    pub sign_in_url: Option<String>,
}

/// What was wrong, for people.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Problem {
    /// The failure's slug.
    pub slug: &'static str,
    /// What happened, in a sentence without full stop.
    pub message: String,
    /// What to do.
    pub next: String,
}

/// Offers to connect upstreams.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ServicesPage {
    /// Whose gateway.
    pub frame: Frame,
    /// For whom: connecting an upstream here is done for this client.
    pub client: ClientShown,
    /// Who the person is.
    pub identity: IdentityShown,
    /// Actions: `/connect` and `/skip` with `connector`; `/change`; `/deny`.
    pub form: FormTarget,
    /// The upstreams.
    pub services: Vec<ServiceShown>,
    /// Where to go on to the approval: a link.
    pub continue_url: String,
    /// How the last attempt to connect ended.
    pub problem: Option<Problem>,
}

/// An upstream in a consent session.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ServiceShown {
    /// The connector's id.
    pub connector: String,
    /// What people call it.
    pub name: DisplayName,
    /// The host of the upstream, in ASCII.
    pub host: String,
    /// Where it stands.
    pub state: ServiceState,
    /// The account that is connected, as the issuer calls it.
    pub account: Option<DisplayName>,
    /// The oauth scopes that are granted, or that will be asked for as far as they are known.
    pub scopes: Vec<String>,
}

/// Where an upstream stands in a consent session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// Connected already.
    Connected,
    /// Connected in this session; it is the person's once the client is approved.
    Staged,
    /// Connected by somebody else for all who may use it.
    Shared,
    /// Not connected, and the person may connect it.
    Open,
    /// Not connected, and put off.
    Skipped,
    /// Connected once; it has to be connected again.
    Ended,
    /// Not usable, and nothing that the person can do here helps.
    Unavailable,
}

/// Asks whether a client may have what it asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ApprovePage {
    /// Whose gateway.
    pub frame: Frame,
    /// Who asks.
    pub client: ClientShown,
    /// As whom the client will act.
    pub identity: IdentityShown,
    /// Actions: `/approve` with `shown`; `/deny`.
    pub form: FormTarget,
    /// What is shown, as one number: it comes back with `/approve`, which refuses what was not shown.
    pub shown: String,
    /// The MCP endpoint that the token will be good for.
    pub resource: String,
    /// Its name.
    pub resource_name: Option<String>,
    /// The oauth scopes asked for.
    pub scopes: Vec<String>,
    /// Upstreams that are the person's from then on.
    pub staged: Vec<ServiceShown>,
    /// Where to go back to the upstreams: a link.
    pub back_url: String,
    /// What has changed since it was shown last.
    pub problem: Option<Problem>,
}

/// Asks whether one upstream is to be connected.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ConnectPage {
    /// Whose gateway.
    pub frame: Frame,
    /// Who the person is.
    pub identity: IdentityShown,
    /// Actions: the path itself, with `connector` and, for others, `owner_kind` and `owner`.
    pub form: FormTarget,
    /// The upstream.
    pub service: ServiceShown,
    /// Why: the reason of the challenge (`connect`, `reconnect`, `step_up`).
    pub reason: &'static str,
    /// For whom, where it is not for the person.
    pub owner: Option<OwnerShown>,
}

/// The person's connected accounts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ConnectionsPage {
    /// Whose gateway.
    pub frame: Frame,
    /// Who the person is.
    pub identity: IdentityShown,
    /// Actions: `/connect`, `/disconnect` and `/confirm` with `connector` and, for others, `owner_kind` and `owner`; `/confirm` also with
    /// `held_since` and `accept` (`true` or `false`); `/revoke` with `family`.
    pub form: FormTarget,
    /// Their own connections, and those they manage.
    pub connections: Vec<ConnectionShown>,
    /// The clients that are signed in for them.
    pub clients: Vec<SignedInClient>,
    /// How the last action ended.
    pub notice: Option<Notice>,
}

/// A connection on that page.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ConnectionShown {
    /// The connector's id.
    pub connector: String,
    /// What people call it.
    pub name: DisplayName,
    /// The host of the upstream.
    pub host: String,
    /// Whose it is, where it is not the person's own.
    pub owner: Option<OwnerShown>,
    /// One of `connected`, `connecting`, `disconnected`, `expired`, `needs_reauth`, `needs_scope`, `suspended`, `error`.
    pub state: &'static str,
    /// More about the state: a reason or a slug.
    pub detail: Option<String>,
    /// The account, as the issuer calls it.
    pub account: Option<DisplayName>,
    /// Another account that waits to be confirmed, and since when (UNIX milliseconds).
    #[serde(serialize_with = "held")]
    pub held: Option<(Option<DisplayName>, u64)>,
    /// The oauth scopes granted.
    pub scopes: Vec<String>,
    /// When the access token ends, in UNIX milliseconds.
    pub expires_at: Option<u64>,
    /// Who connected it, and when (UNIX milliseconds).
    #[serde(serialize_with = "connected")]
    pub connected: Option<(IdentityShown, u64)>,
    /// Connecting, or connecting again, is offered.
    pub can_connect: bool,
    /// Disconnecting is offered.
    pub can_disconnect: bool,
    /// A token that nobody here has seen may live on upstream.
    pub doubt: bool,
}

/// A client that is signed in for the person.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct SignedInClient {
    /// Its tokens.
    pub family: String,
    /// The name it gives itself.
    pub name: DisplayName,
    /// The host of its metadata document, if it has one.
    pub document_host: Option<String>,
    /// The MCP endpoint that its token is good for.
    pub resource: String,
    /// Since when, in UNIX milliseconds.
    pub since: u64,
}

/// How something ended, in a line on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// An account was connected.
    Connected,
    /// An account was disconnected.
    Disconnected,
    /// A client was signed out.
    SignedOut,
}

/// Says how something ended, or why it cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct MessagePage {
    /// Whose gateway.
    pub frame: Frame,
    /// A short title.
    pub title: &'static str,
    /// What happened.
    pub message: String,
    /// What to do.
    pub next: Option<String>,
    /// The failure's slug, if it is one.
    pub slug: Option<&'static str>,
    /// For the host's logs.
    pub evidence: Option<String>,
    /// Where to go on.
    pub link: Option<Link>,
}

/// A link. Its address is a path of ours, or a checked `https` URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Link {
    /// What it says.
    pub label: String,
    /// Where it leads.
    pub url: String,
}

/// By name in messages, as all members are.
fn held<S: Serializer>(held: &Option<(Option<DisplayName>, u64)>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Held<'a> {
        account: Option<&'a DisplayName>,
        held_since: u64,
    }
    let held = held.as_ref();
    held.map(|(account, held_since)| Held { account: account.as_ref(), held_since: *held_since })
        .serialize(serializer)
}

/// As above.
fn connected<S: Serializer>(
    connected: &Option<(IdentityShown, u64)>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Connected<'a> {
        by: &'a IdentityShown,
        at: u64,
    }
    connected.as_ref().map(|(by, at)| Connected { by, at: *at }).serialize(serializer)
}
