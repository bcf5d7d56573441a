//! Which browser a request comes from, and whether a form was filled in there.

use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use super::visit::Visit;
use crate::cookie::Cookie;
use crate::error::{Code, Failure};
use crate::hex;
use crate::operation::Context;
use crate::principal::Principal;
use crate::secret::Secret;
use crate::store::records::{ConsentHash, Digest};

/// The browser of a request, by its page cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub(crate) struct Browser {
    secret: Secret,
    /// The cookie is new, and the response has to set it.
    is_new: bool,
}

impl Browser {
    /// The browser that this request comes from; one without cookie gets one.
    pub(crate) fn of(cx: &Context<'_>, visit: &Visit) -> Self {
        match Self::known(cx, visit) {
            Some(browser) => browser,
            None => Self { secret: cx.moment.entropy.token("browser/page"), is_new: true },
        }
    }

    /// The same; `None`: it has no cookie of ours.
    pub(crate) fn known(cx: &Context<'_>, visit: &Visit) -> Option<Self> {
        let secret = Cookie::Page.value(cx.engine, visit.cookies().as_ref())?;
        Some(Self { secret, is_new: false })
    }

    /// The one with this cookie.
    #[cfg(feature = "model")]
    pub(crate) fn with(secret: Secret) -> Self {
        Self { secret, is_new: false }
    }

    /// The `Set-Cookie` that a response has to carry.
    pub(crate) fn cookie(&self, cx: &Context<'_>) -> Option<Secret> {
        self.is_new.then(|| Cookie::Page.set(cx.engine, &self.secret))
    }

    /// What a consent session keeps of it.
    pub(crate) fn digest(&self, consent: ConsentHash) -> Digest {
        Digest(self.derived(&[b"consent", &consent.0]))
    }

    /// Under which its wrong keys are counted.
    pub(crate) fn attempts(&self) -> [u8; 32] {
        self.derived(&[b"attempts"])
    }

    /// What the forms of a page carry: bound to browser, page and person. Stable, so that a page shown twice breaks no form of the
    /// first (T-23).
    pub(crate) fn form_token(&self, page: &str, person: Option<&Principal>) -> String {
        let (kind, id) = person.map_or(("", ""), |person| (person.kind().as_str(), person.id()));
        let page_hash = Sha256::digest(page);
        let digest = self.derived(&[b"form", &page_hash, kind.as_bytes(), &[0], id.as_bytes()]);
        hex::with_text(&digest, str::to_owned)
    }

    fn derived(&self, info: &[&[u8]]) -> [u8; 32] {
        let mut out = [0; 32];
        // INVARIANT: 32 bytes are within the bounds of RFC 5869; were they not, the zeros would equal no other's zeros of use.
        let _ = Hkdf::<Sha256>::new(None, self.secret.expose().as_bytes()).expand_multi_info(info, &mut out);
        out
    }
}

/// Refuses a form that was not filled in on the page it belongs to, in the browser that was shown it, by the person it was shown to.
///
/// # Errors
/// `user.form_refused`.
pub(crate) fn check_form(
    visit: &Visit,
    browser: Option<&Browser>,
    page: &str,
    person: Option<&Principal>,
    form_token: Option<&str>,
) -> Result<(), Failure> {
    let refused = |reason| Failure::new(Code::FormRefused).because(reason);
    //= spec/mcp-best-practices.md#consent-ui-requirements
    //# The consent page MUST name the client, the oauth scopes asked for upstream and the registered redirect
    //# URI, take its answer with protection against CSRF, and refuse to be framed (CON-03, B/S).
    check_origin(visit)?;
    let browser = browser.ok_or_else(|| refused("the browser sent no cookie"))?;
    let expected = browser.form_token(page, person);
    let given = form_token.unwrap_or_default();
    if !bool::from(expected.as_bytes().ct_eq(given.as_bytes())) {
        return Err(refused("it is not the form of this browser, page and person"));
    }
    Ok(())
}

/// Refuses what a browser says comes from another site.
///
/// # Errors
/// `user.form_refused`.
pub(crate) fn check_origin(visit: &Visit) -> Result<(), Failure> {
    let refused = |reason| Failure::new(Code::FormRefused).because(reason);
    // atk:CON-04
    if visit.request.all("origin").any(|origin| origin.expose() != visit.site.origin()) {
        return Err(refused("it comes from another site"));
    }
    if visit.request.all("sec-fetch-site").any(|site| site.expose() != "same-origin") {
        return Err(refused("it comes from another site"));
    }
    Ok(())
}
