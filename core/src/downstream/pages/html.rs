//! The HTML of the pages: the models through templates, which escape everything but our own style.
//!
//! Templates stand in `core/templates`; they hold no decision but what is shown where, and no text of a model as anything but text.

use askama::Template;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::{
    AgainPage, ApprovePage, ConnectPage, ConnectionsPage, IdentifyPage, MessagePage, Page, ServicesPage,
    words,
};

/// The one style of all pages, the same for every gateway, so that its hash can stand in the policy.
pub(super) const STYLE: &str = include_str!("../../../templates/style.css");

macro_rules! views {
    ($($view:ident($model:ident) = $path:literal;)*) => {$(
        #[derive(Template)]
        #[template(path = $path, whitespace = "minimize")]
        struct $view<'a> {
            page: &'a $model,
        }
    )*};
}

views! {
    Again(AgainPage) = "again.html";
    Approve(ApprovePage) = "approve.html";
    Connect(ConnectPage) = "connect.html";
    Connections(ConnectionsPage) = "connections.html";
    Identify(IdentifyPage) = "identify.html";
    Message(MessagePage) = "message.html";
    Services(ServicesPage) = "services.html";
}

impl Page {
    /// The page as HTML, whole and by itself: it loads nothing, and runs no script. What the approval page says of a client stands in
    /// `approve.html`.
    pub fn html(&self) -> String {
        //= spec/mcp-best-practices.md#consent-ui-requirements
        //# The consent page MUST name the client, the oauth scopes asked for upstream and the registered
        //# redirect URI, take its answer with protection against CSRF, and refuse to be framed (CON-03, B/S).
        //= spec/mcp-2026-07-28.md#sec-localhost-redirect-uri-risks
        //# The approval page MUST show plainly the host that the client is answered at, and SHOULD warn where
        //# that is the person's own machine and name the host of the client's document (CON-04, S).
        // atk:CON-12
        let html = match self {
            Self::Again(page) => Again { page }.render(),
            Self::Approve(page) => Approve { page }.render(),
            Self::Connect(page) => Connect { page }.render(),
            Self::Connections(page) => Connections { page }.render(),
            Self::Identify(page) => Identify { page }.render(),
            Self::Message(page) => Message { page }.render(),
            Self::Services(page) => Services { page }.render(),
        };
        // INVARIANT: writing to a string cannot fail, and no template calls what can.
        html.unwrap_or_default()
    }
}

/// The content security policy of every page: nothing is loaded, run or framed; the one style is known by its hash.
///
/// There is no `form-action` on purpose. Browsers apply it to the redirects that follow a POST as well, and ours lead to the client and to
/// issuers, whose addresses no fixed list can name. What it would keep out, a form that somebody else put into the page, escaping keeps out.
pub(crate) fn policy() -> String {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; frame-ancestors 'none'")
}
