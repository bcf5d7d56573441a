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
//! any                + found or wrong     -> AwaitSaved          [Commit] if something was learnt
//! AwaitSaved                              -> done
//! ```

mod fetch;
pub(crate) mod issuer;
mod probe;
mod resource;
mod step;

use std::collections::VecDeque;

use self::fetch::{Fetched, classify, fresh_until};
pub(crate) use self::issuer::IssuerFacts;
use self::resource::{Believed, Candidate};
pub use self::step::{Asked, DiscoveryStep, Found};
use super::note::Note;
use super::{Exchange, egress};
use crate::connector::{Connector, ResourceMode, Waivers};
use crate::error::{Code, Failure};
use crate::limits::{DISCOVERY_FETCHES_MAX, METADATA_MAX_BYTES};
use crate::moment::UnixMillis;
use crate::operation::{Answer, Context, Effect, HttpFault, HttpResponse, Precondition, Progress, Versioned};
use crate::principal::TenantId;
use crate::protocol::issuer_metadata;
use crate::protocol::scopes::Scopes;
use crate::protocol::url::HttpUrl;
use crate::protocol::www_authenticate::{self, BearerChallenge};
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
    AwaitSaved(Box<Result<Discovered, Failure>>),
}

/// The search for a usable issuer.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
struct Search {
    resource: Resource,
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
    Found(Box<Discovered>),
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
            (State::AwaitSaved(result), Answer::Commit(_)) => {
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
            Ok(Next::Found(discovered)) => Ok(*discovered),
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
        self.state = State::AwaitSaved(Box::new(result));
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
            // PRM-15, AZQ-06
            ResourceMode::Auto => said.map(str::to_owned),
            ResourceMode::Explicit(resource) => Some(resource.clone()),
            ResourceMode::Omit => None,
        }
    }

    fn server(&self, cx: &Context<'_>) -> Result<HttpUrl, Failure> {
        let url = self.inquiry.connector.server_url().unwrap_or_default();
        HttpUrl::parse(url, cx.engine.plain_http())
            .map_err(|invalid| Failure::new(Code::UrlRefused).because(invalid.0))
    }

    fn remember(&mut self, cx: &mut Context<'_>, found: &[Option<Versioned>]) -> Result<Next, Failure> {
        let server = self.server(cx)?;
        let key = Key::resource_metadata(&self.inquiry.tenant, server.received());
        let stored = cx.open::<Metadata>(&key, found.first().and_then(Option::as_ref))?;
        self.remembered = stored.map(|stored| stored.record);
        if self.inquiry.hint.resource_metadata.is_some() {
            return self.look_for_resource(cx, &server);
        }
        let effect = probe::probe(cx, &self.inquiry.connector, &server)?;
        self.fetches = self.fetches.saturating_add(1);
        Ok(Next::Wait(State::AwaitProbe, effect))
    }

    /// CH-01, CH-05: a challenge says where to look and what is wanted; without one the derived forms remain.
    fn heed_probe(
        &mut self,
        cx: &mut Context<'_>,
        answer: Result<HttpResponse, HttpFault>,
    ) -> Result<Next, Failure> {
        let server = self.server(cx)?;
        let found = match answer {
            Ok(response) if response.status == 401 => {
                self.heed_challenge(&response);
                Found::Present
            }
            Ok(response) => Found::Absent { status: response.status },
            Err(HttpFault::AddressRefused { .. }) => {
                let failure = Failure::new(Code::AddressRefused);
                self.note_step(Asked::Challenge, server.as_str(), Found::wrong(&failure));
                return Err(failure);
            }
            Err(_) => Found::Unavailable { status: None },
        };
        self.note_step(Asked::Challenge, server.as_str(), found);
        self.look_for_resource(cx, &server)
    }

    fn heed_challenge(&mut self, response: &HttpResponse) {
        let challenges = www_authenticate::parse(response.all("www-authenticate"));
        if challenges.iter().any(www_authenticate::Challenge::is_malformed) {
            self.note(Note::MalformedChallenge);
        }
        let Some(challenge) = BearerChallenge::select(&challenges) else { return };
        // T-04, atk:HDR-02
        if challenge.repeated_resource_metadata {
            self.note(Note::RepeatedResourceMetadata);
        }
        let hint = &mut self.inquiry.hint;
        hint.resource_metadata = challenge.resource_metadata;
        // CH-06: what the challenge at hand demanded comes before what this one demands.
        hint.scopes = hint.scopes.take().or(challenge.scope);
    }

    fn look_for_resource(&mut self, cx: &mut Context<'_>, server: &HttpUrl) -> Result<Next, Failure> {
        let plain = cx.engine.plain_http();
        let foreign_is_waived = self.inquiry.connector.waivers.danger_foreign_resource_metadata;
        let mut named = None;
        if let Some(text) = &self.inquiry.hint.resource_metadata {
            match resource::named_url(server, text, foreign_is_waived, plain) {
                Ok(url) => named = Some(url),
                Err(failure) => {
                    let step = DiscoveryStep::new(Asked::ResourceMetadata, text, Found::wrong(&failure));
                    self.steps.push(step);
                    return Err(failure);
                }
            }
        }
        if let Some((candidate, believed)) = self.cached_resource(cx, server, named.as_ref()) {
            self.note_step(candidate.asked(), candidate.url.as_str(), Found::Cached);
            return self.believe(cx, server, &candidate, believed);
        }
        let candidates = resource::candidates(server, named, plain)?;
        self.ask_resource(cx, candidates)
    }

    /// The remembered document, if it may still be used and stands up to the checks of this connector.
    fn cached_resource(
        &self,
        cx: &Context<'_>,
        server: &HttpUrl,
        named: Option<&HttpUrl>,
    ) -> Option<(Candidate, Believed)> {
        let cached = self.remembered.as_ref().filter(|cached| {
            !self.inquiry.fresh
                && is_fresh(cx, cached)
                && named.is_none_or(|named| named.received() == cached.url)
        })?;
        let plain = cx.engine.plain_http();
        let source = if named.is_some() { DocumentSource::Challenge } else { cached.source };
        let foreign_is_waived = self.inquiry.connector.waivers.danger_foreign_resource_metadata;
        let url = resource::named_url(server, &cached.url, foreign_is_waived, plain).ok()?;
        let believed = resource::check(server, source, cached.document.as_bytes()).ok()?;
        Some((Candidate { source, url }, believed))
    }

    fn ask_resource(
        &mut self,
        cx: &mut Context<'_>,
        mut candidates: VecDeque<Candidate>,
    ) -> Result<Next, Failure> {
        let Some(candidate) = candidates.pop_front() else { return self.no_resource_metadata(cx) };
        let effect = self.fetch(cx, candidate.asked(), &candidate.url)?;
        Ok(Next::Wait(State::AwaitResource(candidate, candidates), effect))
    }

    fn heed_resource(
        &mut self,
        cx: &mut Context<'_>,
        asked: Candidate,
        mut rest: VecDeque<Candidate>,
        answer: Result<HttpResponse, HttpFault>,
    ) -> Result<Next, Failure> {
        let found = match classify(answer, Code::ResourceMetadataInvalid) {
            Fetched::Absent(status) => Found::Absent { status },
            Fetched::Unavailable(status) => {
                self.unavailable = true;
                // atk:AUD-02: whether the path form is absent is not known, so the root form must not take its place.
                rest.retain(|candidate| candidate.source != DocumentSource::RootForm);
                Found::Unavailable { status }
            }
            Fetched::Document(response) => {
                let server = self.server(cx)?;
                match resource::check(&server, asked.source, response.body.expose()) {
                    Ok(believed) => {
                        self.note_step(asked.asked(), asked.url.as_str(), Found::Present);
                        let key = Key::resource_metadata(&self.inquiry.tenant, server.received());
                        self.learn(cx, key, asked.source, &asked.url, &response);
                        return self.believe(cx, &server, &asked, believed);
                    }
                    Err(failure) => return Err(self.wrong(asked.asked(), &asked.url, failure)),
                }
            }
            Fetched::Wrong(failure) => return Err(self.wrong(asked.asked(), &asked.url, failure)),
        };
        self.note_step(asked.asked(), asked.url.as_str(), found);
        self.ask_resource(cx, rest)
    }

    /// PRM-11: no candidate had a document.
    fn no_resource_metadata(&mut self, cx: &mut Context<'_>) -> Result<Next, Failure> {
        // atk:MIX-12
        if self.unavailable {
            return Err(Code::ServerUnavailable.into());
        }
        if self.remembered.is_some() {
            return Err(Code::DiscoveryDowngrade.into());
        }
        if !self.inquiry.connector.waivers.danger_legacy_discovery {
            return Err(Code::ResourceMetadataMissing.into());
        }
        self.note(Note::LegacyDiscovery);
        let server = self.server(cx)?;
        let resource = Resource {
            resource: self.sent(Some(server.received())),
            audience: server.received().to_owned(),
            parent: false,
            scopes: None,
        };
        Ok(self.search(resource, vec![server.origin().as_str().to_owned()], true))
    }

    fn believe(
        &mut self,
        cx: &Context<'_>,
        server: &HttpUrl,
        candidate: &Candidate,
        believed: Believed,
    ) -> Result<Next, Failure> {
        let Believed { metadata, parent } = believed;
        if parent && cx.engine.is_strict() {
            return Err(Code::ParentGrantRefused.into());
        }
        if parent {
            self.note(Note::ParentGrant);
        }
        if !candidate.url.same_origin(server) {
            self.note(Note::ForeignResourceMetadata);
        }
        let resource = Resource {
            resource: self.sent(Some(&metadata.resource)),
            audience: metadata.resource,
            parent,
            scopes: metadata.scopes_supported,
        };
        Ok(self.search(resource, metadata.authorization_servers, false))
    }

    fn search(&self, resource: Resource, named: Vec<String>, legacy: bool) -> Next {
        let Inquiry { tenant, connector, .. } = &self.inquiry;
        let issuers: VecDeque<_> =
            issuer::order(named, connector).into_iter().map(|issuer| (issuer, None)).collect();
        let keys = issuers.iter().map(|(issuer, _)| Key::issuer_metadata(tenant, issuer)).collect();
        let search = Search { resource, issuers, asked: String::new(), left: VecDeque::new(), legacy };
        Next::Wait(State::AwaitIssuerCache(Box::new(search)), Effect::Read { keys })
    }

    fn remember_issuers(
        &mut self,
        cx: &mut Context<'_>,
        mut search: Box<Search>,
        found: &[Option<Versioned>],
    ) -> Result<Next, Failure> {
        self.unavailable = false;
        for ((issuer, cached), found) in search.issuers.iter_mut().zip(found) {
            let key = Key::issuer_metadata(&self.inquiry.tenant, issuer);
            *cached = cx.open::<Metadata>(&key, found.as_ref())?.map(|stored| stored.record);
        }
        self.ask_issuer(cx, search)
    }

    /// The next place of this issuer, then the next issuer.
    fn ask_issuer(&mut self, cx: &mut Context<'_>, mut search: Box<Search>) -> Result<Next, Failure> {
        let plain = cx.engine.plain_http();
        loop {
            if let Some(url) = search.left.pop_front() {
                // atk:NET-12
                if self.fetches >= DISCOVERY_FETCHES_MAX {
                    return Err(self.no_issuer_metadata());
                }
                let effect = self.fetch(cx, Asked::IssuerMetadata, &url)?;
                return Ok(Next::Wait(State::AwaitIssuer(search, url), effect));
            }
            let Some((issuer, cached)) = search.issuers.pop_front() else {
                if search.legacy && !self.unavailable {
                    let facts = issuer::assumed(&self.server(cx)?.origin());
                    return Ok(self.found(search.resource, facts, Vec::new()));
                }
                return Err(self.no_issuer_metadata());
            };
            let waivers = &self.inquiry.connector.waivers;
            if let Some(cached) = cached.filter(|cached| is_fresh(cx, cached)) {
                // Checked anew at each use (atk:NET-15); one that this connector would refuse is asked for again.
                if let Ok((facts, notes)) = issuer::check(&issuer, cached.document.as_bytes(), waivers, plain)
                {
                    self.note_step(Asked::IssuerMetadata, &cached.url, Found::Cached);
                    return Ok(self.found(search.resource, facts, notes));
                }
            }
            let refused = |reason| Failure::new(Code::UrlRefused).because(reason);
            let places = HttpUrl::parse(&issuer, plain).and_then(|url| {
                // ASM-03, ASM-04
                issuer_metadata::candidates(&url).iter().map(|text| HttpUrl::parse(text, plain)).collect()
            });
            match places {
                Ok(places) => search.left = places,
                Err(invalid) => {
                    let failure = refused(invalid.0);
                    self.note_step(Asked::IssuerMetadata, &issuer, Found::wrong(&failure));
                    return Err(failure);
                }
            }
            search.asked = issuer;
        }
    }

    fn heed_issuer(
        &mut self,
        cx: &mut Context<'_>,
        search: Box<Search>,
        url: &HttpUrl,
        answer: Result<HttpResponse, HttpFault>,
    ) -> Result<Next, Failure> {
        let found = match classify(answer, Code::IssuerMetadataInvalid) {
            Fetched::Absent(status) => Found::Absent { status },
            Fetched::Unavailable(status) => {
                self.unavailable = true;
                Found::Unavailable { status }
            }
            Fetched::Document(response) => {
                let waivers = &self.inquiry.connector.waivers;
                let plain = cx.engine.plain_http();
                match issuer::check(&search.asked, response.body.expose(), waivers, plain) {
                    Ok((facts, notes)) => {
                        self.note_step(Asked::IssuerMetadata, url.as_str(), Found::Present);
                        let key = Key::issuer_metadata(&self.inquiry.tenant, &search.asked);
                        self.learn(cx, key, DocumentSource::Issuer, url, &response);
                        return Ok(self.found(search.resource, facts, notes));
                    }
                    Err(failure) => return Err(self.wrong(Asked::IssuerMetadata, url, failure)),
                }
            }
            Fetched::Wrong(failure) => return Err(self.wrong(Asked::IssuerMetadata, url, failure)),
        };
        self.note_step(Asked::IssuerMetadata, url.as_str(), found);
        self.ask_issuer(cx, search)
    }

    fn no_issuer_metadata(&self) -> Failure {
        if self.unavailable {
            return Code::IssuerUnavailable.into();
        }
        Failure::new(Code::IssuerMetadataInvalid).because("there is none at the issuer's well-known URLs")
    }

    fn found(&mut self, resource: Resource, issuer: IssuerFacts, notes: Vec<Note>) -> Next {
        notes.into_iter().for_each(|note| self.note(note));
        let Resource { resource, audience, parent, scopes } = resource;
        Next::Found(Box::new(Discovered {
            resource,
            audience,
            parent,
            issuer,
            resource_scopes: scopes,
            challenge_scopes: self.inquiry.hint.scopes.take(),
            notes: std::mem::take(&mut self.notes),
        }))
    }

    fn fetch(&mut self, cx: &Context<'_>, asked: Asked, url: &HttpUrl) -> Result<Effect, Failure> {
        self.fetches = self.fetches.saturating_add(1);
        let policy = egress(&self.inquiry.connector, cx.engine.plain_http(), url);
        Exchange::new(url, policy, METADATA_MAX_BYTES)
            .get(cx)
            .map_err(|failure| self.wrong(asked, url, failure))
    }

    fn learn(
        &mut self,
        cx: &Context<'_>,
        key: Key,
        source: DocumentSource,
        url: &HttpUrl,
        response: &HttpResponse,
    ) {
        // INVARIANT: the document was read, so it is UTF-8.
        let document = String::from_utf8_lossy(response.body.expose()).into_owned();
        let fresh_until = fresh_until(response, cx.now(), cx.engine.limits());
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

/// A clock that was set back makes a document of the future, which is not fresh.
fn is_fresh(cx: &Context<'_>, cached: &Metadata) -> bool {
    let latest: UnixMillis = cx.now().plus(cx.engine.limits().clock_skew_ms);
    cached.fetched_at <= latest && cx.now() < cached.fresh_until
}
