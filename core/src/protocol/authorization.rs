//! The authorization request and its response, the callback (RFC 6749 §4.1.1, §4.1.2; RFC 7636; RFC 8707; RFC 9207).

use std::borrow::Cow;
use std::fmt;

use super::error_body::ErrorBody;
use super::redirect_uri::RedirectUri;
use super::scopes::Scopes;
use super::url::HttpUrl;
use super::{Invalid, form, pkce};
use crate::error::PeerText;
use crate::secret::Secret;

/// What the browser is sent to the issuer with.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizationRequest<'a> {
    /// The issuer's authorization endpoint; a query it has is kept.
    pub endpoint: &'a HttpUrl,
    /// The client id, byte for byte as registered.
    pub client_id: &'a str,
    /// Where the answer goes, byte for byte as registered.
    pub redirect_uri: &'a RedirectUri,
    /// The state of the pending flow: random, carrying nothing.
    pub state: &'a Secret,
    /// The S256 challenge, see [`pkce::challenge`].
    pub code_challenge: &'a str,
    /// The resource, as received; absent only if a dialect says so.
    pub resource: Option<&'a str>,
    /// The oauth scopes; without any the parameter is left out.
    pub scopes: &'a Scopes,
    /// Whether consent must be asked for anew, as `offline_access` demands (OpenID Connect Core §11).
    pub prompt_consent: bool,
    /// Further parameters from configuration.
    pub extra: &'a [(String, String)],
}

impl AuthorizationRequest<'_> {
    /// The URL to open in the browser.
    ///
    /// Errors: the endpoint's own query or `extra` would repeat a parameter, or has a request object (RFC 9101 §5),
    /// which would overrule all others.
    pub fn url(&self) -> Result<String, Invalid> {
        let scope = self.scopes.to_string();
        let prompt = self.prompt();
        let mut pairs = Vec::with_capacity(OWN_PARAMETERS.saturating_add(self.extra.len()));
        //= spec/oauth21.md#4-1-1
        //# The request MUST carry `response_type=code`, `client_id` and always `redirect_uri`, added to
        //# whatever query the endpoint has (AZQ-01, U).
        //= spec/mcp-2026-07-28.md#sec-authorization-code-protection
        //# Every authorization request MUST carry a `code_challenge` (AZQ-02, U).
        pairs.extend([
            ("response_type", "code"),
            ("client_id", self.client_id),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("state", self.state.expose()),
            ("code_challenge", self.code_challenge),
            ("code_challenge_method", pkce::METHOD),
        ]);
        //= spec/mcp-2026-07-28.md#idx-resource-parameter-implementation
        //# Every authorization request MUST carry `resource`, whether or not the issuer understands it
        //# (AZQ-06, U).
        pairs.extend(self.resource.map(|resource| ("resource", resource)));
        pairs.extend((!scope.is_empty()).then_some(("scope", scope.as_str())));
        pairs.extend(prompt.as_deref().map(|prompt| ("prompt", prompt)));
        for (name, value) in self.extra.iter().filter(|(name, _)| name != "prompt") {
            if is_request_object(name) || pairs.iter().any(|(given, _)| given == name) {
                return Err(Invalid("an extra authorization parameter is there already"));
            }
            pairs.push((name, value));
        }
        for pair in form::pairs(self.endpoint.query().unwrap_or_default()) {
            let (name, _) = pair?;
            if is_request_object(&name) || pairs.iter().any(|(given, _)| *given == name) {
                return Err(Invalid("the authorization endpoint's query sets a parameter of the request"));
            }
        }
        Ok(self.endpoint.with_query_pairs(&pairs))
    }

    /// The configured `prompt` with `consent` added where it must be; `none` would contradict that and gives way.
    fn prompt(&self) -> Option<Cow<'_, str>> {
        let configured =
            self.extra.iter().find(|(name, _)| name == "prompt").map(|(_, value)| value.as_str());
        match configured {
            Some(prompt) if !self.prompt_consent || prompt.split(' ').any(|word| word == "consent") => {
                Some(Cow::Borrowed(prompt))
            }
            None | Some("" | "none") => self.prompt_consent.then_some(Cow::Borrowed("consent")),
            Some(prompt) => Some(Cow::Owned(format!("{prompt} consent"))),
        }
    }
}

const OWN_PARAMETERS: usize = 9;

/// Whether a parameter would overrule all others (RFC 9101 §5).
fn is_request_object(name: &str) -> bool {
    matches!(name, "request" | "request_uri")
}

/// LIMIT: twice the longest URL of design §8: some issuers pack claims into the code, and our own URL stands before it.
pub const CALLBACK_MAX_BYTES: usize = 8192;

/// A callback as the browser brought it, or a person pasted it.
///
/// What the issuer answered stays unread until its name has been checked: [`AuthorizationResponse::answer_of`] is the
/// only way to it.
pub struct AuthorizationResponse {
    path: Option<String>,
    state: Secret,
    iss: Option<String>,
    answer: Unread,
}

enum Unread {
    Code(Secret),
    Error(ErrorBody),
}

impl AuthorizationResponse {
    /// Reads a whole URL, a path with query, or a bare query; blanks around it and a fragment behind it are cut off.
    /// Each parameter is form-decoded once. Unknown parameters are ignored, an empty one counts as absent.
    ///
    /// Errors: no query, more than [`CALLBACK_MAX_BYTES`], a parameter twice, an empty `iss`, no `state`, and not
    /// exactly one of `code` and `error`.
    pub fn parse(callback: &str) -> Result<Self, Invalid> {
        let callback = callback.trim();
        if callback.len() > CALLBACK_MAX_BYTES {
            return Err(Invalid("the callback is longer than 8 KiB"));
        }
        let callback = callback.split('#').next().unwrap_or_default();
        let (target, query) = match callback.split_once('?') {
            Some((target, query)) if !target.contains('=') => (target, query),
            _ if callback.contains('=') => ("", callback),
            _ => return Err(Invalid("the callback has no query")),
        };

        // atk:MIX-02
        let (mut code, mut state, mut iss) = (None, None, None);
        let (mut error, mut description) = (None, None);
        for pair in form::pairs(query) {
            let (name, value) = pair?;
            let slot = match &*name {
                "code" => &mut code,
                "state" => &mut state,
                "iss" => &mut iss,
                "error" => &mut error,
                "error_description" => &mut description,
                //= spec/oauth21.md#3-2-3
                //# Metadata members and request or response parameters that are not known MUST be ignored
                //# (NET-10, U/S).
                _ => continue,
            };
            //= spec/oauth21.md#4-1-2
            //# A response MUST be refused when it repeats `code`, `state`, `iss` or `error` or has not
            //# exactly one of code and error, while unknown parameters are ignored (AZR-09, U).
            if slot.replace(value.into_owned()).is_some() {
                return Err(Invalid("the callback repeats a parameter"));
            }
        }
        // atk:MIX-02
        if iss.as_deref() == Some("") {
            return Err(Invalid("the callback has an empty `iss`"));
        }
        let present = |value: Option<String>| value.filter(|value| !value.is_empty());
        // atk:CSR-01
        let state = present(state).ok_or(Invalid("the callback has no `state`"))?;
        let answer = match (present(code), present(error)) {
            (Some(code), None) => Unread::Code(Secret::new(code)),
            (None, Some(error)) => Unread::Error(ErrorBody { error, description: present(description) }),
            (Some(_), Some(_)) => return Err(Invalid("the callback has both `code` and `error`")),
            (None, None) => return Err(Invalid("the callback has neither `code` nor `error`")),
        };
        let path = (!target.is_empty()).then(|| path_of(target).to_owned());
        Ok(Self { path, state: Secret::new(state), iss, answer })
    }

    /// The path on which the callback arrived, as written; absent for a bare query.
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// The state, by which the pending flow is found.
    pub fn state(&self) -> &Secret {
        &self.state
    }

    /// The answer, if it is one of `issuer`, the issuer that the pending flow was sent to. `sends_iss` is whether the
    /// metadata recorded in the flow promises `iss` (RFC 9207 §2.4). To be asked for only after the flow was found by
    /// its state, and binding, principal and path were checked.
    ///
    /// Errors: the callback names another issuer, or none where one was promised. What it says is then dropped unread.
    pub fn answer_of(self, issuer: &str, sends_iss: bool) -> Result<AuthorizationAnswer, WrongIssuer> {
        //= spec/mcp-2026-07-28.md#idx-authorization-response-validation
        //# `iss` is form-decoded once and compared as a plain string: the engine MUST NOT normalise either
        //# side in any way (AZR-06, U).
        // atk:MIX-03, atk:MIX-10
        match self.iss.as_deref() {
            //= spec/rfc9207.md#2-4
            //# When the issuer advertises `iss` and a response carries one, the engine MUST compare it with
            //# the issuer of the pending flow and refuse the response if they differ (AZR-02, U).
            //= spec/mcp-2026-07-28.md#idx-authorization-response-validation
            //# An `iss` that the issuer does not advertise MUST be compared all the same (AZR-04, U).
            Some(iss) if iss != issuer => return Err(WrongIssuer::Mismatch),
            //= spec/rfc9207.md#2-4
            //# When the issuer advertises `iss` and a response carries none, the engine MUST refuse the
            //# response (AZR-03, U).
            None if sends_iss => return Err(WrongIssuer::Missing),
            //= spec/mcp-2026-07-28.md#idx-authorization-response-validation
            //# A response without `iss` from an issuer that does not advertise it MUST be let through
            //# (AZR-05, U).
            Some(_) | None => {}
        }
        //= spec/rfc9207.md#2-4
        //# From an error response whose `iss` fails the check, the engine MUST NOT follow or pass on any
        //# error member (AZR-08, U).
        Ok(match self.answer {
            Unread::Code(code) => AuthorizationAnswer::Code(code),
            Unread::Error(error) => AuthorizationAnswer::Refused(AuthorizationError {
                code: AuthorizationErrorCode::from_name(&error.error),
                text: error.words(),
            }),
        })
    }
}

impl fmt::Debug for AuthorizationResponse {
    /// Nothing that the callback says: who sent it is not known yet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationResponse").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Why the answer of a callback may not be read (RFC 9207 §2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WrongIssuer {
    /// The callback names another issuer.
    Mismatch,
    /// The callback names none, though its issuer promised to.
    Missing,
}

/// What the issuer answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub enum AuthorizationAnswer {
    /// A code, for the token endpoint of this issuer and no other.
    Code(Secret),
    /// A refusal.
    Refused(AuthorizationError),
}

/// A refusal (RFC 6749 §4.1.2.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AuthorizationError {
    /// The reason.
    pub code: AuthorizationErrorCode,
    /// The issuer's words.
    pub text: PeerText,
}

/// The errors of RFC 6749 §4.1.2.1 and RFC 8707 §2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthorizationErrorCode {
    /// `access_denied`: the person, or the issuer for the person, said no.
    AccessDenied,
    /// `invalid_request`
    InvalidRequest,
    /// `invalid_scope`
    InvalidScope,
    /// `invalid_target`: the issuer does not know the resource.
    InvalidTarget,
    /// `server_error`
    ServerError,
    /// `temporarily_unavailable`
    TemporarilyUnavailable,
    /// `unauthorized_client`
    UnauthorizedClient,
    /// `unsupported_response_type`
    UnsupportedResponseType,
    /// Anything else.
    Other,
}

impl AuthorizationErrorCode {
    fn from_name(name: &str) -> Self {
        match name {
            "access_denied" => Self::AccessDenied,
            "invalid_request" => Self::InvalidRequest,
            "invalid_scope" => Self::InvalidScope,
            "invalid_target" => Self::InvalidTarget,
            "server_error" => Self::ServerError,
            "temporarily_unavailable" => Self::TemporarilyUnavailable,
            "unauthorized_client" => Self::UnauthorizedClient,
            "unsupported_response_type" => Self::UnsupportedResponseType,
            _ => Self::Other,
        }
    }
}

/// The path of `/path`, `scheme://host/path` or `host/path`, as written.
fn path_of(target: &str) -> &str {
    let after_scheme = target.split_once("://").map_or(target, |(_, rest)| rest);
    after_scheme.find('/').map_or("/", |at| after_scheme.split_at(at).1)
}
