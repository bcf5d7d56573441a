//! The issuer's half of a discovery: the first of those named whose metadata is there, and stands up to the checks.

use std::collections::VecDeque;

use super::fetch::{Fetched, classify};
use super::issuer::{self, IssuerFacts};
use super::step::{Asked, Found};
use super::{Discovered, Discovery, Inquiry, Next, Resource, Search, State, is_fresh};
use crate::error::{Code, Failure};
use crate::limits::DISCOVERY_FETCHES_MAX;
use crate::operation::{Context, Effect, HttpFault, HttpResponse, Versioned};
use crate::protocol::issuer_metadata;
use crate::protocol::url::HttpUrl;
use crate::store::Key;
use crate::store::records::{DocumentSource, Metadata};
use crate::upstream::note::Note;

impl Discovery {
    pub(super) fn search(&self, resource: Resource, named: Vec<String>, legacy: bool) -> Next {
        let Inquiry { tenant, connector, .. } = &self.inquiry;
        let issuers: VecDeque<_> =
            issuer::order(named.clone(), connector).into_iter().map(|issuer| (issuer, None)).collect();
        let keys = issuers.iter().map(|(issuer, _)| Key::issuer_metadata(tenant, issuer)).collect();
        let search = Search { resource, named, issuers, asked: String::new(), left: VecDeque::new(), legacy };
        Next::Wait(State::AwaitIssuerCache(Box::new(search)), Effect::Read { keys })
    }

    pub(super) fn remember_issuers(
        &mut self,
        cx: &mut Context<'_>,
        mut search: Box<Search>,
        found: &[Option<Versioned>],
    ) -> Result<Next, Failure> {
        self.unavailable = false;
        for ((issuer, cached), found) in search.issuers.iter_mut().zip(found) {
            let key = Key::issuer_metadata(&self.inquiry.tenant, issuer);
            // What cannot be read is asked for anew.
            *cached = cx.open::<Metadata>(&key, found.as_ref()).ok().flatten().map(|stored| stored.record);
        }
        self.ask_issuer(cx, search)
    }

    /// The next place of this issuer, then the next issuer.
    fn ask_issuer(&mut self, cx: &mut Context<'_>, mut search: Box<Search>) -> Result<Next, Failure> {
        let plain = cx.engine.plain_http();
        loop {
            if let Some(url) = search.left.pop_front() {
                //= spec/mcp-2026-07-28.md#idx-step-up-authorization-flow
                //# Every loop SHOULD be bounded: discovery, 401, 403, nonce and refresh (ERR-01, U).
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
                    return Ok(self.found(*search, facts, Vec::new()));
                }
                return Err(self.no_issuer_metadata());
            };
            let waivers = &self.inquiry.connector.waivers;
            if let Some(cached) = cached.filter(|cached| is_fresh(cx, cached)) {
                // Checked anew at each use (atk:NET-15); one that this connector would refuse is asked for again.
                if let Ok((facts, notes)) = issuer::check(&issuer, cached.document.as_bytes(), waivers, plain)
                {
                    self.note_step(Asked::IssuerMetadata, &cached.url, Found::Cached);
                    return Ok(self.found(*search, facts, notes));
                }
            }
            let refused = |reason| Failure::new(Code::UrlRefused).because(reason);
            let places = HttpUrl::parse(&issuer, plain).and_then(|url| {
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

    pub(super) fn heed_issuer(
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
                        return Ok(self.found(*search, facts, notes));
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

    fn found(&mut self, search: Search, issuer: IssuerFacts, notes: Vec<Note>) -> Next {
        notes.into_iter().for_each(|note| self.note(note));
        let Resource { resource, audience, parent, scopes } = search.resource;
        Next::Found(Discovered {
            resource,
            audience,
            parent,
            issuer,
            named: search.named,
            resource_scopes: scopes,
            challenge_scopes: self.inquiry.hint.scopes.take(),
            notes: std::mem::take(&mut self.notes),
        })
    }
}
