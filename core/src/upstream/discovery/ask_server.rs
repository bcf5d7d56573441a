//! The server's half of a discovery: its challenge, and its resource metadata.

use std::collections::VecDeque;

use super::fetch::{Fetched, classify};
use super::resource::{self, Believed, Candidate};
use super::step::{Asked, DiscoveryStep, Found};
use super::{Discovery, Next, Resource, State, is_fresh, probe};
use crate::error::{Code, Failure};
use crate::operation::{Context, HttpFault, HttpResponse, Versioned};
use crate::protocol::url::HttpUrl;
use crate::protocol::www_authenticate::{self, BearerChallenge};
use crate::store::Key;
use crate::store::records::{DocumentSource, Metadata};
use crate::upstream::note::Note;

impl Discovery {
    pub(super) fn server(&self, cx: &Context<'_>) -> Result<HttpUrl, Failure> {
        let url = self.inquiry.connector.server_url().unwrap_or_default();
        HttpUrl::parse(url, cx.engine.plain_http())
            .map_err(|invalid| Failure::new(Code::UrlRefused).because(invalid.0))
    }

    pub(super) fn remember(
        &mut self,
        cx: &mut Context<'_>,
        found: &[Option<Versioned>],
    ) -> Result<Next, Failure> {
        let server = self.server(cx)?;
        let key = Key::resource_metadata(&self.inquiry.tenant, server.received());
        let stored = cx.open::<Metadata>(&key, found.first().and_then(Option::as_ref));
        // What cannot be read is asked for anew; that there was something stays known (atk:MIX-12).
        self.remembered = stored.map_or_else(|_| Some(Metadata::spent()), |stored| Some(stored?.record));
        if self.inquiry.hint.resource_metadata.is_some() {
            return self.look_for_resource(cx, &server);
        }
        let effect = probe::probe(cx, &self.inquiry.connector, &server)?;
        self.fetches = self.fetches.saturating_add(1);
        Ok(Next::Wait(State::AwaitProbe, effect))
    }

    /// A challenge says where to look and what is wanted; without one the derived forms remain.
    pub(super) fn heed_probe(
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
        //= spec/mcp-2026-07-28.md#disc-protected-resource-metadata-discovery-requirements
        //# Where no `resource_metadata` is given, the engine MUST probe the well-known URLs (CH-05, U).
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
        // What the challenge at hand demanded comes before what this one demands.
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

    pub(super) fn heed_resource(
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

    /// No candidate had a document.
    fn no_resource_metadata(&mut self, cx: &mut Context<'_>) -> Result<Next, Failure> {
        // atk:MIX-12
        if self.unavailable {
            return Err(Code::ServerUnavailable.into());
        }
        if self.remembered.is_some() {
            return Err(Code::DiscoveryDowngrade.into());
        }
        //= spec/mcp-2026-07-28.md#disc-sequence-diagram
        //# When no source has a document, the engine MUST give up or use what was configured beforehand
        //# (PRM-11, U).
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
}
