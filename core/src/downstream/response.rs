//! A response of the gateway, for the host to send as it is.

use serde::Serialize;

use super::pages::Page;
use crate::engine::Engine;
use crate::error::Failure;
use crate::operation::Header;
use crate::secret::SecretBytes;

/// An HTTP response. The host sends it as it stands and adds nothing that weakens it, such as CORS headers for pages.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Clone, Hash))]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// All headers but `Content-Length`.
    pub headers: Vec<Header>,
    /// The body. It may hold tokens.
    pub body: SecretBytes,
    /// What the page shows, for a host that renders pages itself; it keeps status and headers. `None`: it is no page.
    pub page: Option<Page>,
    /// What went wrong, for logs; the person or the client is told as much as they should know.
    pub failure: Option<Failure>,
}

impl Response {
    /// Without body.
    pub(crate) fn empty(status: u16) -> Self {
        let body = SecretBytes::default();
        Self { status, headers: Vec::new(), body, page: None, failure: None }
    }

    /// A JSON document.
    pub(crate) fn json(status: u16, document: &impl Serialize) -> Self {
        // INVARIANT: documents are plain structs with text keys; writing them as JSON cannot fail.
        let body = SecretBytes::new(serde_json::to_vec(document).unwrap_or_default());
        let mut response = Self::empty(status).with("Content-Type", "application/json");
        response.body = body;
        response
    }

    /// On to another place, by GET.
    pub(crate) fn see_other(url: &str) -> Self {
        //= spec/oauth21.md#7-5-4
        //# After a POST the browser MUST be sent on with 303, never with 307, which would repeat the form
        //# elsewhere (AS-13, S).
        // atk:CON-16
        Self::empty(303).with("Location", url).with("Referrer-Policy", "no-referrer").never_stored()
    }

    /// With one more header. Values come from our own texts and from URLs that were written by a URL library.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push(Header::new(name, value));
        self
    }

    /// With another value of a header.
    #[must_use]
    pub(crate) fn instead(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|have| !have.name.eq_ignore_ascii_case(name));
        self.with(name, value)
    }

    /// With one more header, if there is one.
    #[must_use]
    pub(crate) fn with_cookie(mut self, cookie: Option<crate::secret::Secret>) -> Self {
        self.headers.extend(cookie.map(|value| Header { name: "Set-Cookie".to_owned(), value }));
        self
    }

    /// No cache keeps it.
    #[must_use]
    pub(crate) fn never_stored(self) -> Self {
        self.with("Cache-Control", "no-store")
    }

    /// Scripts of any site may read it (Fetch §3.2). For documents and endpoints that look at no cookie.
    #[must_use]
    pub(crate) fn for_any_origin(self) -> Self {
        //= spec/oauth21.md#3-1
        //# CORS MUST NOT be allowed at the authorization endpoint, and metadata, token, registration and
        //# revocation endpoints allow it for clients in browsers (ASM-18, S).
        self.with("Access-Control-Allow-Origin", "*")
    }

    /// The first value of a header, for tests and embedded endpoints.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|have| have.name.eq_ignore_ascii_case(name)).map(|have| have.value.expose())
    }
}

impl Response {
    /// A page: rendered, never stored, never framed, with nothing from elsewhere.
    pub(crate) fn page(engine: &Engine, status: u16, page: Page) -> Self {
        //= spec/oauth21.md#7-10
        //# Login, consent and error pages MUST refuse to stand in another page, by CSP `frame-ancestors` and
        //# by `X-Frame-Options` (AS-12, S).
        // atk:CON-11
        let mut response = Self::empty(status)
            .with("Content-Type", "text/html; charset=utf-8")
            .never_stored()
            .with("Content-Security-Policy", super::pages::policy())
            // For browsers older than `frame-ancestors`.
            .with("X-Frame-Options", "DENY")
            .with("X-Content-Type-Options", "nosniff")
            // Not `no-referrer`, under which browsers send `Origin: null` with the forms of the page itself (Fetch §3.2).
            .with("Referrer-Policy", "same-origin")
            .with("Cross-Origin-Opener-Policy", "same-origin");
        if engine.config().base_url.as_deref().is_some_and(|base| base.starts_with("https://")) {
            response = response.with("Strict-Transport-Security", "max-age=31536000");
        }
        response.body = SecretBytes::new(page.html().into_bytes());
        response.page = Some(page);
        response
    }
}
