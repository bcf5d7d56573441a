//! Discovery: how a server wants to be authorized, from its challenge to checked metadata of one issuer.
//!
//! ```text
//! begin              + issuer configured  -> AwaitIssuerCache    [Read]
//! begin              + ask the server     -> AwaitResourceCache  [Read]
//! AwaitResourceCache + no URL at hand     -> AwaitProbe          [Http]
//! AwaitResourceCache, AwaitProbe          -> AwaitResource       [Http]   unless a fresh document is remembered
//! AwaitResource      + absent             -> AwaitResource       [Http]   the next candidate
//! AwaitResource      + document           -> AwaitIssuerCache    [Read]
//! AwaitIssuerCache                        -> AwaitIssuer         [Http]   unless a fresh document is remembered
//! AwaitIssuer        + absent             -> AwaitIssuer         [Http]   the next candidate, the next issuer
//! any                + found or wrong     -> Saving          [Commit] if something was learnt
//! Saving                              -> done
//! ```

mod ask_issuer;
mod ask_server;
pub(crate) mod fetch;
mod issuer;
mod probe;
mod resource;
mod step;

use std::collections::VecDeque;

use self::fetch::fresh_until;
pub(crate) use self::issuer::IssuerFacts;
use self::resource::Candidate;
pub use self::step::{Asked, DiscoveryStep, Found};
use super::note::Note;
use super::{Exchange, egress};
use crate::connector::{Connector, ResourceMode, Waivers};
use crate::error::{Code, Failure};
use crate::limits::METADATA_MAX_BYTES;
use crate::moment::UnixMillis;
use crate::operation::{Answer, Context, Effect, HttpResponse, Precondition, Progress};
use crate::principal::TenantId;
use crate::protocol::scopes::Scopes;
use crate::protocol::url::HttpUrl;
use crate::store::Key;
use crate::store::records::{DocumentSource, Metadata};

/// What is to be found out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub(crate) struct Inquiry {
    pub(crate) tenant: TenantId,
    pub(crate) connector: Connector,
    /// What a challenge of the server has said. A URL in it is asked whatever is remembered.
    pub(crate) hint: Hint,
    /// Asks the server anew, whatever is remembered of it.
    pub(crate) fresh: bool,
}

/// What a challenge says that matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Hint {
    pub(crate) resource_metadata: Option<String>,
    pub(crate) scopes: Option<Scopes>,
}

/// What was found, and how. A discovery that failed is a finding too.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub(crate) struct Finding {
    pub(crate) steps: Vec<DiscoveryStep>,
    pub(crate) result: Result<Discovered, Failure>,
}

/// All that a flow needs to know of server and issuer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Discovered {
    /// To be sent as `resource`, verbatim; `None`: not at all.
    pub(crate) resource: Option<String>,
    /// The URL whose origin and path a token is good for; for an account its issuer.
    pub(crate) audience: String,
    /// The audience is the whole origin of a server that has a path.
    pub(crate) parent: bool,
    pub(crate) issuer: IssuerFacts,
    /// All issuers that the server names, or that were configured.
    pub(crate) named: Vec<String>,
    /// What the server's metadata says that basic use needs.
    pub(crate) resource_scopes: Option<Scopes>,
    /// What the challenge demands.
    pub(crate) challenge_scopes: Option<Scopes>,
    pub(crate) notes: Vec<Note>,
}

/// A discovery under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Discovery {
    inquiry: Inquiry,
    /// What is remembered of the server; that there is something says that it once published metadata.
    remembered: Option<Metadata>,
    /// Some candidate gave no definite answer.
    unavailable: bool,
    fetches: u8,
    steps: Vec<DiscoveryStep>,
    notes: Vec<Note>,
    learnt: Vec<(Key, Metadata)>,
    state: State,
}

#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
enum State {
    AwaitIssuer(Box<Search>, HttpUrl),
    AwaitIssuerCache(Box<Search>),
    AwaitProbe,
    /// The answer of the first, with those that follow it.
    AwaitResource(Candidate, VecDeque<Candidate>),
    AwaitResourceCache,
    Saving(Box<Result<Discovered, Failure>>),
}

/// The search for a usable issuer.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Search {
    resource: Resource,
    named: Vec<String>,
    /// Still to be looked at, each with what is remembered of it.
    issuers: VecDeque<(String, Option<Metadata>)>,
    /// The one that is looked at, and where its metadata may still be.
    asked: String,
    left: VecDeque<HttpUrl>,
    /// By the rules of MCP 2025-03-26, which know an issuer without metadata.
    legacy: bool,
}

/// What the server's half of the discovery came to.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Resource {
    resource: Option<String>,
    audience: String,
    parent: bool,
    scopes: Option<Scopes>,
}

/// What follows an answer.
enum Next {
    Found(Discovered),
    Wait(State, Effect),
}

impl Discovery {
    pub(crate) fn begin(cx: &mut Context<'_>, mut inquiry: Inquiry) -> Progress<Self, Finding> {
        if cx.engine.is_strict() {
            // The profile knows no waivers: what they would let pass is refused below.
            inquiry.connector.waivers = Waivers::default();
        }
        inquiry.fresh |= inquiry.hint.resource_metadata.is_some();
        let mut discovery = Self {
            inquiry,
            remembered: None,
            unavailable: false,
            fetches: 0,
            steps: Vec::new(),
            notes: Vec::new(),
            learnt: Vec::new(),
            state: State::AwaitResourceCache,
        };
        let next = discovery.look_around();
        discovery.follow(cx, next)
    }

    pub(crate) fn step(mut self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Finding> {
        let state = std::mem::replace(&mut self.state, State::AwaitResourceCache);
        let next = match (state, answer) {
            (State::AwaitResourceCache, Answer::Read(Some(found))) => self.remember(cx, &found),
            (State::AwaitProbe, Answer::Http(answer)) => self.heed_probe(cx, answer),
            (State::AwaitResource(asked, rest), Answer::Http(answer)) => {
                self.heed_resource(cx, asked, rest, answer)
            }
            (State::AwaitIssuerCache(search), Answer::Read(Some(found))) => {
                self.remember_issuers(cx, search, &found)
            }
            (State::AwaitIssuer(search, url), Answer::Http(answer)) => {
                self.heed_issuer(cx, search, &url, answer)
            }
            (State::AwaitResourceCache | State::AwaitIssuerCache(_), Answer::Read(None)) => {
                Err(Code::StoreUnavailable.into())
            }
            // However it ended: what was not saved is asked for again.
            (State::Saving(result), Answer::Commit(_)) => {
                return Progress::done(Finding { steps: self.steps, result: *result });
            }
            _ => return Progress::fail(Code::Internal),
        };
        self.follow(cx, next)
    }

    fn follow(mut self, cx: &mut Context<'_>, next: Result<Next, Failure>) -> Progress<Self, Finding> {
        let result = match next {
            Ok(Next::Wait(state, effect)) => {
                self.state = state;
                return Progress::Perform(self, effect);
            }
            Ok(Next::Found(discovered)) => Ok(discovered),
            Err(failure) => Err(failure),
        };
        if self.learnt.is_empty() {
            return Progress::done(Finding { steps: self.steps, result });
        }
        let writes = std::mem::take(&mut self.learnt)
            .into_iter()
            .map(|(key, metadata)| {
                // atk:MIX-12: that a server has once published metadata is remembered for good.
                let end = (metadata.source == DocumentSource::Issuer).then_some(metadata.fresh_until);
                cx.put(&key, Precondition::Any, &metadata, cx.operation, end)
            })
            .collect();
        self.state = State::Saving(Box::new(result));
        Progress::Perform(self, Effect::Commit { writes })
    }

    /// Whom to ask first: nobody but the issuer where configuration names it.
    fn look_around(&mut self) -> Result<Next, Failure> {
        let Inquiry { tenant, connector, .. } = &self.inquiry;
        let server = connector.server_url();
        if let Some(issuer) = issuer::configured(connector).cloned() {
            let resource = Resource {
                resource: self.sent(server),
                audience: server.unwrap_or(&issuer).to_owned(),
                parent: false,
                scopes: None,
            };
            return Ok(self.search(resource, vec![issuer], false));
        }
        let key = Key::resource_metadata(tenant, server.unwrap_or_default());
        Ok(Next::Wait(State::AwaitResourceCache, Effect::Read { keys: vec![key] }))
    }

    /// What to send as `resource`, if the metadata, or the connector in its place, says this.
    fn sent(&self, said: Option<&str>) -> Option<String> {
        match &self.inquiry.connector.resource {
            //= spec/mcp-2026-07-28.md#idx-resource-parameter-implementation
            //# The `resource` string of the metadata MUST be kept as received for every later `resource`
            //# parameter (PRM-15, U).
            ResourceMode::Auto => said.map(str::to_owned),
            ResourceMode::Explicit(resource) => Some(resource.clone()),
            ResourceMode::Omit => None,
        }
    }

    fn fetch(&mut self, cx: &Context<'_>, asked: Asked, url: &HttpUrl) -> Result<Effect, Failure> {
        self.fetches = self.fetches.saturating_add(1);
        let policy = egress(&self.inquiry.connector, cx.engine.plain_http(), url);
        Exchange::new(url, policy, METADATA_MAX_BYTES)
            .get(cx)
            .map_err(|failure| self.wrong(asked, url, failure))
    }

    /// Notes a document to be saved. One that may not be kept is saved only where its being there must be remembered.
    fn learn(
        &mut self,
        cx: &Context<'_>,
        key: Key,
        source: DocumentSource,
        url: &HttpUrl,
        response: &HttpResponse,
    ) {
        let fresh_until = fresh_until(response, cx.now(), cx.engine.limits());
        let is_spent = |known: &Metadata| known.fresh_until <= cx.now();
        let adds_nothing = source == DocumentSource::Issuer || self.remembered.as_ref().is_some_and(is_spent);
        if fresh_until <= cx.now() && adds_nothing {
            return;
        }
        // INVARIANT: the document was read, so it is UTF-8.
        let document = String::from_utf8_lossy(response.body.expose()).into_owned();
        let url = url.received().to_owned();
        self.learnt.push((key, Metadata { url, source, document, fetched_at: cx.now(), fresh_until }));
    }

    fn wrong(&mut self, asked: Asked, url: &HttpUrl, failure: Failure) -> Failure {
        self.note_step(asked, url.as_str(), Found::wrong(&failure));
        failure
    }

    fn note_step(&mut self, asked: Asked, url: &str, found: Found) {
        self.steps.push(DiscoveryStep::new(asked, url, found));
    }

    fn note(&mut self, note: Note) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

impl Metadata {
    /// A document that is good for nothing any more.
    fn spent() -> Self {
        let (url, document, never) = (String::new(), String::new(), UnixMillis(0));
        Self { url, source: DocumentSource::PathForm, document, fetched_at: never, fresh_until: never }
    }
}

/// A clock that was set back makes a document of the future, which is not fresh.
fn is_fresh(cx: &Context<'_>, cached: &Metadata) -> bool {
    let latest = cx.now().plus(cx.engine.limits().clock_skew_ms);
    cached.fetched_at <= latest && cx.now() < cached.fresh_until
}
