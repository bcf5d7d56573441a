//! Pages for whoever is in the browser: one machine that finds out who that is, before anything else.

use super::browser::{Browser, check_form};
use super::handle::{message_of, page_of};
use super::pages::{FormTarget, Link};
use super::parameters::Parameters;
use super::response::Response;
use super::site::config;
use super::visit::{Method, Visit};
use super::who::Who;
use crate::error::{Code, Failure};
use crate::operation::Context;
use crate::principal::{Caller, ConnectorId, Principal, PrincipalKind};

/// A request of a known person.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub(crate) struct Person {
    pub(crate) visit: Visit,
    pub(crate) caller: Caller,
    pub(crate) browser: Browser,
    pub(crate) form: Parameters,
}

impl Person {
    /// Who is here, and what they have sent. `page` is what the form belongs to.
    ///
    /// # Errors
    /// Nobody is signed in; or the form was not filled in on a page of ours, by this person, in this browser.
    pub(crate) fn of(cx: &mut Context<'_>, visit: Visit, who: &Who, page: &str) -> Result<Self, Failure> {
        let mut caller = who.anybody().cloned().ok_or(Code::SignInNeeded)?;
        let form = match visit.method {
            Method::Post => {
                let form = visit.form()?;
                let browser = Browser::known(cx, &visit);
                let check = |caller: &Caller| {
                    let token = form.get("form_token");
                    check_form(&visit, browser.as_ref(), page, Some(&caller.principal), token)
                };
                // The host's login and a session of ours may both be here; the form says to which of them it was shown.
                let session = who.session.as_ref().map(|(caller, _)| caller);
                match (check(&caller), session) {
                    (Ok(()), _) => {}
                    (Err(_), Some(other)) if check(other).is_ok() => caller = other.clone(),
                    (Err(failure), _) => return Err(failure),
                }
                form
            }
            Method::Get | Method::Options => visit.query()?,
        };
        cx.acts(&caller.principal);
        let browser = Browser::of(cx, &visit);
        Ok(Self { visit, caller, browser, form })
    }

    /// Where the forms of a page go.
    pub(crate) fn target(&self, path: &str, page: &str) -> FormTarget {
        let form_token = self.browser.form_token(page, Some(&self.caller.principal));
        FormTarget { path: self.visit.site.path(path), form_token }
    }

    /// The connector that the form names.
    pub(crate) fn connector(&self) -> Option<ConnectorId> {
        ConnectorId::new(self.form.get("connector")?).ok()
    }

    /// The owner that the form names; `None`: the person.
    ///
    /// # Errors
    /// It names none that can be.
    pub(crate) fn owner(&self) -> Result<Option<Principal>, Failure> {
        let Some(kind) = self.form.get("owner_kind") else { return Ok(None) };
        let kinds = [
            PrincipalKind::User,
            PrincipalKind::Team,
            PrincipalKind::Org,
            PrincipalKind::Agent,
            PrincipalKind::Key,
            PrincipalKind::Session,
        ];
        let kind = kinds.into_iter().find(|have| have.as_str() == kind);
        let id = self.form.get("owner").unwrap_or_default();
        let owner = kind.and_then(|kind| Principal::new(kind, id).ok());
        owner.map(Some).ok_or_else(|| Failure::new(Code::RequestMalformed).because("there is no such owner"))
    }
}

/// Asks to sign in, with a link where there is a page for it, and the way back.
pub(crate) fn sign_in(cx: &Context<'_>, visit: &Visit, failure: Failure) -> Response {
    let mut page = message_of(cx, &failure);
    let path = config(cx.engine).ok().and_then(|gateway| gateway.sign_in_path.as_deref());
    page.link = path.map(|path| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("return_to", visit.request.target.expose());
        let mark = if path.contains('?') { '&' } else { '?' };
        Link { label: "Sign in".to_owned(), url: format!("{path}{mark}{}", query.finish()) }
    });
    page_of(cx, failure, page)
}
