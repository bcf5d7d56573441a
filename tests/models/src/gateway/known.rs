//! What clients and people have come to know: the answers they got.

use std::collections::BTreeMap;
use std::sync::Arc;

use grantway_core::downstream::pages::{ApprovePage, Page};
use grantway_core::downstream::response::Response;
use grantway_core::secret::Secret;
use serde_json::Value;

use super::ask::{Ask, Browser, Client, Seat};
use super::case::BASE;

/// All of it, by the numbers that requests name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Known {
    jars: [BTreeMap<String, Secret>; 2],
    pub(crate) consents: BTreeMap<usize, Arc<Opened>>,
    pub(crate) pages: BTreeMap<usize, Arc<Seen>>,
    pub(crate) callbacks: BTreeMap<usize, Secret>,
    pub(crate) codes: BTreeMap<usize, Secret>,
    pub(crate) tokens: BTreeMap<usize, Tokens>,
}

/// A consent session, known by its link.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Opened {
    pub(crate) id: String,
    /// Where it began.
    pub(crate) browser: Browser,
    pub(crate) client: Client,
}

/// A page that asked for an approval.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    pub(crate) consent: usize,
    pub(crate) seat: Seat,
    pub(crate) redirect_uri: String,
    pub(crate) resource: String,
    pub(crate) staged: Vec<String>,
    pub(crate) shown: String,
    pub(crate) form_token: String,
}

/// A pair of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tokens {
    pub(crate) access: Secret,
    pub(crate) refresh: Secret,
}

impl Known {
    /// Whether all that a request needs is there.
    pub(crate) fn suffices(&self, ask: Ask) -> bool {
        match ask {
            Ask::Approve { page, .. } | Ask::Forge { page, .. } => self.pages.contains_key(&page),
            Ask::Authorize { .. } | Ask::Disconnect { .. } | Ask::Resolve { .. } => true,
            Ask::Call { tokens, .. } | Ask::Refresh { tokens, .. } | Ask::Revoke { tokens, .. } => {
                self.tokens.contains_key(&tokens)
            }
            Ask::Callback { flow, .. } => self.callbacks.contains_key(&flow),
            Ask::Change { consent, .. }
            | Ask::Connect { consent, .. }
            | Ask::Deny { consent, .. }
            | Ask::Identify { consent, .. }
            | Ask::Show { consent, .. } => self.consents.contains_key(&consent),
            Ask::Redeem { code, .. } => self.codes.contains_key(&code),
        }
    }

    /// The `Cookie` header of a browser.
    pub(crate) fn cookies(&self, browser: Browser) -> Option<Secret> {
        let jar = &self.jars[browser as usize];
        let pairs: Vec<_> = jar.iter().map(|(name, value)| format!("{name}={}", value.expose())).collect();
        (!pairs.is_empty()).then(|| Secret::new(pairs.join("; ")))
    }

    /// The cookie that pages and forms are bound to.
    pub(crate) fn page_cookie(&self, browser: Browser) -> Option<&Secret> {
        self.jars[browser as usize].get("__Host-grantway-page")
    }

    pub(crate) fn keep_cookies(&mut self, browser: Browser, response: &Response) {
        for header in response.headers.iter().filter(|header| header.name == "Set-Cookie") {
            let pair = header.value.expose().split(';').next().and_then(|pair| pair.split_once('='));
            let (name, value) = pair.expect("a cookie has a name");
            self.jars[browser as usize].insert(name.to_owned(), Secret::new(value));
        }
    }

    /// The consent session whose page it is.
    pub(crate) fn consent_of(&self, ask: Ask) -> Option<usize> {
        match ask {
            Ask::Approve { page, .. } | Ask::Forge { page, .. } => Some(self.pages.get(&page)?.consent),
            Ask::Change { consent, .. }
            | Ask::Connect { consent, .. }
            | Ask::Deny { consent, .. }
            | Ask::Identify { consent, .. }
            | Ask::Show { consent, .. } => Some(consent),
            _ => None,
        }
    }
}

impl Seen {
    pub(crate) fn of(consent: usize, seat: Seat, page: &ApprovePage) -> Self {
        Self {
            consent,
            seat,
            redirect_uri: page.client.redirect_uri.clone(),
            resource: page.resource.clone(),
            staged: page.staged.iter().map(|service| service.connector.clone()).collect(),
            shown: page.shown.clone(),
            form_token: page.form.form_token.clone(),
        }
    }
}

/// The page that asks for an approval, if a response is one.
pub(crate) fn approval(response: &Response) -> Option<&ApprovePage> {
    match &response.page {
        Some(Page::Approve(page)) => Some(page),
        _ => None,
    }
}

/// The id of the consent session that a response leads to.
pub(crate) fn opened(response: &Response) -> Option<&str> {
    response.header("location")?.strip_prefix(BASE)?.strip_prefix("/consent/")
}

/// The code that a response leads away with, and where to.
pub(crate) fn code(response: &Response) -> Option<(Secret, String)> {
    let (base, query) = response.header("location")?.split_once('?')?;
    let code = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "code")?.1;
    Some((Secret::new(code), base.to_owned()))
}

/// The tokens that a response gives.
pub(crate) fn tokens(response: &Response) -> Option<Tokens> {
    let body: Value = serde_json::from_slice(response.body.expose()).ok()?;
    let text = |name: &str| body[name].as_str().map(Secret::new);
    Some(Tokens { access: text("access_token")?, refresh: text("refresh_token")? })
}
