//! The pages of a consent session: what each shows, from its records.

use super::super::handle::frame;
use super::super::pages::{
    ApprovePage, ClientShown, DisplayName, FormTarget, IdentifyPage, IdentityShown, MessagePage, Page,
    Problem, ServiceShown, ServiceState, ServicesPage, UserOffer,
};
use super::super::response::Response;
use super::super::services::in_session;
use super::super::site::config;
use super::finish::shown;
use super::{Desk, Standing};
use crate::error::Failure;
use crate::operation::Context;
use crate::principal::{Caller, Principal};
use crate::protocol::url::{HttpUrl, PlainHttp};
use crate::store::records::{ConsentRecord, IdentityMode, StagedRecord};

impl Desk {
    fn target(&self, person: Option<&Principal>) -> FormTarget {
        FormTarget {
            path: self.visit.site.path(&format!("/consent/{}", self.id)),
            form_token: self.browser.as_ref().map(|it| it.form_token(&self.id, person)).unwrap_or_default(),
        }
    }

    /// Asks who the person is.
    pub(super) fn identify_page(
        &self,
        cx: &Context<'_>,
        consent: &ConsentRecord,
        failure: Option<&Failure>,
    ) -> Response {
        let gateway = match config(cx.engine) {
            Ok(gateway) => gateway,
            Err(_) => return Response::empty(404),
        };
        let user = gateway.offers(IdentityMode::User).then(|| UserOffer {
            signed_in_as: self.who.host.as_ref().map(|host| DisplayName::new(host.caller.principal.id())),
            sign_in_url: gateway.sign_in_path.as_deref().map(|path| self.sign_in_url(path)),
        });
        let page = IdentifyPage {
            frame: frame(cx.engine),
            client: None,
            client_host: host_of(&consent.request.client_id)
                .or_else(|| host_of(&consent.request.redirect_uri))
                .unwrap_or_else(|| scheme_of(&consent.request.redirect_uri)),
            form: self.target(self.person(consent).as_ref()),
            user,
            key: gateway.offers(IdentityMode::Key),
            session: gateway.offers(IdentityMode::Session),
            problem: failure.map(problem),
        };
        let status = failure.map_or(200, |failure| match failure.code() {
            crate::error::Code::KeyPaused => 429,
            _ => 403,
        });
        let mut response = Response::page(cx.engine, status, Page::Identify(Box::new(page)));
        response.failure = failure.cloned();
        response
    }

    fn sign_in_url(&self, path: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("return_to", &self.visit.site.path(&format!("/consent/{}", self.id)));
        let mark = if path.contains('?') { '&' } else { '?' };
        format!("{path}{mark}{}", query.finish())
    }

    /// Offers to connect the upstreams.
    pub(super) fn services_page(
        &self,
        cx: &Context<'_>,
        standing: &Standing,
        mut services: Vec<ServiceShown>,
    ) -> Response {
        in_session(&standing.stored.record, &mut services);
        let page = ServicesPage {
            frame: frame(cx.engine),
            client: standing.client(cx),
            identity: identity(&standing.caller),
            form: self.target(Some(&standing.caller.principal)),
            services,
            continue_url: self.visit.site.path(&format!("/consent/{}/approve", self.id)),
            problem: None,
        };
        Response::page(cx.engine, 200, Page::Services(Box::new(page)))
    }

    /// Asks whether the client may have what it asks for.
    pub(super) fn approve_page(
        &self,
        cx: &Context<'_>,
        standing: &Standing,
        staged: &[StagedRecord],
    ) -> Response {
        let consent = &standing.stored.record;
        let request = &consent.request;
        let endpoint = config(cx.engine).ok().and_then(|it| self.visit.site.endpoint(it, &request.resource));
        let staged: Vec<&StagedRecord> = staged.iter().collect();
        let page = ApprovePage {
            frame: frame(cx.engine),
            client: standing.client(cx),
            identity: identity(&standing.caller),
            form: self.target(Some(&standing.caller.principal)),
            shown: shown(consent, &standing.client, &standing.caller, &staged),
            resource: request.resource.clone(),
            resource_name: endpoint.and_then(|endpoint| endpoint.name.clone()),
            scopes: request.scopes.iter().map(str::to_owned).collect(),
            staged: consent
                .staged
                .iter()
                .zip(&staged)
                .map(|(connector, staged)| ServiceShown {
                    connector: connector.as_str().to_owned(),
                    name: DisplayName::new(connector.as_str()),
                    host: host_of(&staged.grant.terms.audience).unwrap_or_default(),
                    state: ServiceState::Staged,
                    account: account(staged),
                    scopes: staged.grant.scopes.iter().map(str::to_owned).collect(),
                })
                .collect(),
            back_url: self.visit.site.path(&format!("/consent/{}", self.id)),
            problem: None,
        };
        Response::page(cx.engine, 200, Page::Approve(Box::new(page)))
    }
}

impl Standing {
    fn client(&self, cx: &Context<'_>) -> ClientShown {
        let redirect_uri = &self.stored.record.request.redirect_uri;
        // INVARIANT: without a gateway nobody comes here.
        match config(cx.engine) {
            Ok(gateway) => self.client.shown(gateway, redirect_uri),
            Err(_) => ClientShown {
                name: DisplayName::new(""),
                document_host: None,
                redirect_uri: String::new(),
                redirect_host: String::new(),
                loopback: false,
                private_scheme: false,
                verified: false,
            },
        }
    }
}

/// The page after a person has declined, where the client has no address that is known to be its own.
pub(super) fn declined(cx: &Context<'_>) -> Response {
    let page = MessagePage {
        frame: frame(cx.engine),
        title: "Declined",
        message: "nothing was granted".to_owned(),
        next: Some("you can close this page".to_owned()),
        slug: None,
        evidence: None,
        link: None,
    };
    Response::page(cx.engine, 200, Page::Message(Box::new(page)))
}

fn account(staged: &StagedRecord) -> Option<DisplayName> {
    staged.account.as_ref()?.label.as_deref().map(DisplayName::new)
}

/// Who somebody is, as pages say it.
pub(crate) fn identity(caller: &Caller) -> IdentityShown {
    shown_principal(&caller.principal)
}

/// The same of any principal.
pub(crate) fn shown_principal(principal: &Principal) -> IdentityShown {
    IdentityShown { kind: principal.kind().as_str(), id: DisplayName::new(principal.id()) }
}

/// What is wrong, as pages say it.
pub(super) fn problem(failure: &Failure) -> Problem {
    let code = failure.code();
    let message = match failure.reason() {
        Some(reason) => format!("{}: {reason}", code.message()),
        None => code.message().to_owned(),
    };
    Problem { slug: failure.slug(), message, next: failure.next_step().to_owned() }
}

/// The host of a URL, in ASCII.
fn host_of(text: &str) -> Option<String> {
    HttpUrl::parse(text, PlainHttp::Loopback).ok().map(|url| url.host().to_string())
}

fn scheme_of(text: &str) -> String {
    text.split(':').next().unwrap_or_default().to_owned()
}
