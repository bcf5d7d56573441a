//! Token requests and responses (RFC 6749 §4.1.3, §5, §6; RFC 8707 §2.2).

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::error_body::{ErrorBody, text_or_nothing};
use super::form::{self, Form};
use super::json::{self, optional_seconds, optional_text};
use super::redirect_uri::RedirectUri;
use super::scopes::{SCOPES_MAX, Scopes};
use super::{Invalid, retry_after};
use crate::error::PeerText;
use crate::secret::Secret;

/// The request that redeems an authorization code. Client authentication is added by
/// [`ClientAuth::apply`](super::client_auth::ClientAuth::apply).
///
/// Errors: an empty code or verifier.
pub fn authorization_code<'a>(
    code: &'a Secret,
    verifier: &'a Secret,
    redirect_uri: &'a RedirectUri,
    resource: Option<&'a str>,
) -> Result<Form<'a>, Invalid> {
    let mut form = Form::new();
    //= spec/oauth21.md#4-1-3
    //# The code grant MUST send `grant_type=authorization_code`, the code and the verifier of the pending
    //# flow (TOK-02, U).
    form.text("grant_type", "authorization_code")?;
    form.secret("code", code)?;
    form.secret("code_verifier", verifier)?;
    //= spec/oauth21.md#10-2
    //# The token request MAY repeat `redirect_uri`, exactly as the authorization request had it, because
    //# OAuth 2.0 servers demand it and 2.1 servers have to accept it (TOK-04, U).
    form.text("redirect_uri", redirect_uri.as_str())?;
    //= spec/mcp-2026-07-28.md#idx-resource-parameter-implementation
    //# The token request MUST carry the `resource` of the authorization request, as the same string
    //# (TOK-05, U).
    if let Some(resource) = resource {
        form.text("resource", resource)?;
    }
    Ok(form)
}

/// The request that redeems a refresh token. `scopes` are left out unless a dialect demands that the granted ones are
/// repeated.
///
/// Errors: an empty refresh token.
pub fn refresh<'a>(
    refresh_token: &'a Secret,
    resource: Option<&'a str>,
    scopes: Option<&Scopes>,
) -> Result<Form<'a>, Invalid> {
    let mut form = Form::new();
    form.text("grant_type", "refresh_token")?;
    form.secret("refresh_token", refresh_token)?;
    if let Some(resource) = resource {
        form.text("resource", resource)?;
    }
    if let Some(scopes) = scopes.filter(|scopes| !scopes.is_empty()) {
        form.text("scope", scopes.to_string())?;
    }
    Ok(form)
}

/// What became of a token request that was answered.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub enum TokenAnswer {
    /// Tokens. The code or refresh token is spent.
    Tokens(TokenResponse),
    /// A definite refusal; nothing was issued.
    Refused(TokenError),
    /// The issuer cannot answer now and says so; nothing was issued, `Retry-After` may say until when.
    Unavailable,
    /// The issuer may have issued tokens that we cannot see: a gateway without an answer, or a success that cannot be
    /// read. The code or refresh token may be spent.
    InDoubt(Invalid),
}

/// Reads the answer to a token request; redirects, which are never followed, are the caller's to notice.
///
/// Tolerated: any 2xx; JSON under whatever content type; a form body under a form or text content type; an `error`
/// inside a success; OAuth errors under any status.
pub fn read(status: u16, content_type: Option<&str>, body: &[u8]) -> TokenAnswer {
    match status {
        //= spec/derived.md#err-04
        //# On `server_error`, `temporarily_unavailable`, 5xx and 429 the engine MUST keep the grant and back
        //# off (ERR-04, U, derived).
        429 | 503 => TokenAnswer::Unavailable,
        502 | 504 => TokenAnswer::InDoubt(Invalid("a gateway had no answer from the token endpoint")),
        200..=299 => match Wire::read(content_type, body) {
            //= spec/derived.md#err-05
            //# Error text of a token endpoint MUST be treated as untrusted, and an OAuth error recognised
            //# also in a 200 or in a body that is not JSON (ERR-05, U, derived).
            Ok(Wire { error: Some(error), error_description, .. }) => refused(error, error_description),
            Ok(wire) => wire.tokens().map_or_else(TokenAnswer::InDoubt, TokenAnswer::Tokens),
            // atk:TOK-16
            Err(invalid) => TokenAnswer::InDoubt(invalid),
        },
        _ => match Wire::read(content_type, body) {
            Ok(Wire { error: Some(error), error_description, .. })
                // COMPAT: frameworks put the reason phrase of a crash into `error`; only a code of OAuth is an answer.
                if status < 500 || TokenErrorCode::from_name(&error).is_some() =>
            {
                refused(error, error_description)
            }
            // atk:TOK-16
            _ if status >= 500 => TokenAnswer::Unavailable,
            _ => TokenAnswer::Refused(TokenError { code: TokenErrorCode::Other, text: None }),
        },
    }
}

/// The tokens of a success (RFC 6749 §5.1), each checked so that it can stand in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub struct TokenResponse {
    /// The access token: 1 byte to 16 KiB of visible ASCII.
    pub access_token: Secret,
    /// The refresh token, of the same form; absent if none was given, or if it is the access token over again.
    pub refresh_token: Option<Secret>,
    /// The type the issuer gave.
    pub token_type: TokenType,
    /// Seconds the access token lives, unclamped; absent if unknown.
    pub expires_in: Option<u64>,
    /// The oauth scopes granted; absent if the issuer does not say, which means those asked for.
    pub scopes: Option<Scopes>,
    /// The id_token, unverified and unchecked, for [`id_token::read`](super::id_token::read).
    pub id_token: Option<Secret>,
}

/// The `token_type` of a response; names are compared without case (RFC 6749 §5.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TokenType {
    /// The response has none.
    Absent,
    /// `Bearer`
    Bearer,
    /// Another one, which only a dialect can make usable.
    Other(PeerText),
}

/// A refusal (RFC 6749 §5.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenError {
    /// The reason.
    pub code: TokenErrorCode,
    /// The issuer's words; absent if the answer was no OAuth error at all, such as a firewall's page.
    pub text: Option<PeerText>,
}

/// The errors of RFC 6749 §5.2 and RFC 8707 §2. Those that mean "later" are [`TokenAnswer::Unavailable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenErrorCode {
    /// `invalid_client`: the registration is not accepted; says nothing about the grant.
    InvalidClient,
    /// `invalid_grant`: this code or refresh token is dead.
    InvalidGrant,
    /// `invalid_request`
    InvalidRequest,
    /// `invalid_scope`
    InvalidScope,
    /// `invalid_target`: the issuer does not know the resource.
    InvalidTarget,
    /// `unauthorized_client`
    UnauthorizedClient,
    /// `unsupported_grant_type`
    UnsupportedGrantType,
    /// Anything else, or nothing readable.
    Other,
}

impl TokenErrorCode {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "invalid_client" => Self::InvalidClient,
            "invalid_grant" => Self::InvalidGrant,
            "invalid_request" => Self::InvalidRequest,
            "invalid_scope" => Self::InvalidScope,
            "invalid_target" => Self::InvalidTarget,
            "unauthorized_client" => Self::UnauthorizedClient,
            "unsupported_grant_type" => Self::UnsupportedGrantType,
            _ => return None,
        })
    }
}

/// LIMIT: the longest token (design §8); signed tokens with many claims reach 8 KiB, and servers cap headers at 16.
pub const TOKEN_MAX_BYTES: usize = 16_384;

/// The members of an answer that we know, from JSON or a form.
#[derive(Default, Deserialize)]
struct Wire {
    #[serde(default, deserialize_with = "optional_secret")]
    access_token: Option<Secret>,
    #[serde(default, deserialize_with = "optional_secret")]
    refresh_token: Option<Secret>,
    #[serde(default, deserialize_with = "optional_text")]
    token_type: Option<String>,
    #[serde(default, deserialize_with = "optional_seconds")]
    expires_in: Option<u64>,
    #[serde(default, deserialize_with = "text_or_list")]
    scope: Option<Scopes>,
    #[serde(default, deserialize_with = "optional_secret")]
    id_token: Option<Secret>,
    #[serde(default, deserialize_with = "text_or_nothing")]
    error: Option<String>,
    #[serde(default, deserialize_with = "text_or_nothing")]
    error_description: Option<String>,
}

impl Wire {
    fn read(content_type: Option<&str>, body: &[u8]) -> Result<Self, Invalid> {
        let text = body.trim_ascii();
        if text.starts_with(b"{") || !content_type.is_some_and(may_be_form) {
            return json::from_slice(body);
        }
        // An encoded form holds neither blanks nor angle brackets, a page of HTML does.
        match str::from_utf8(text) {
            Ok(text) if text.bytes().all(|b| b.is_ascii_graphic() && b != b'<') => Self::from_form(text),
            _ => Err(Invalid("the token response is neither JSON nor a form")),
        }
    }

    fn from_form(text: &str) -> Result<Self, Invalid> {
        fn put<T>(slot: &mut Option<T>, value: T) -> Result<(), Invalid> {
            match slot.replace(value) {
                None => Ok(()),
                Some(_) => Err(Invalid("the token response repeats a parameter")),
            }
        }
        let mut wire = Self::default();
        let mut expires_in = None;
        let mut scope = None;
        for pair in form::pairs(text) {
            let (name, value) = pair?;
            if value.is_empty() {
                continue;
            }
            match &*name {
                "access_token" => put(&mut wire.access_token, Secret::new(value))?,
                "refresh_token" => put(&mut wire.refresh_token, Secret::new(value))?,
                "token_type" => put(&mut wire.token_type, value.into_owned())?,
                "expires_in" => put(&mut expires_in, value)?,
                "scope" => put(&mut scope, value)?,
                "id_token" => put(&mut wire.id_token, Secret::new(value))?,
                "error" => put(&mut wire.error, value.into_owned())?,
                "error_description" => put(&mut wire.error_description, value.into_owned())?,
                _ => {}
            }
        }
        wire.expires_in = expires_in.and_then(|digits| retry_after::seconds(&digits));
        wire.scope = scope.and_then(|text| lenient_scopes(&text));
        Ok(wire)
    }

    fn tokens(self) -> Result<TokenResponse, Invalid> {
        let access_token = usable(self.access_token)?.ok_or(Invalid("the answer has no access token"))?;
        // atk:NET-16
        let refresh_token = usable(self.refresh_token)?.filter(|token| *token != access_token);
        // atk:TOK-11
        let token_type = match self.token_type {
            None => TokenType::Absent,
            Some(name) if name.eq_ignore_ascii_case("bearer") => TokenType::Bearer,
            Some(name) => TokenType::Other(PeerText::sanitize(&name)),
        };
        Ok(TokenResponse {
            access_token,
            refresh_token,
            token_type,
            expires_in: self.expires_in,
            scopes: self.scope,
            id_token: self.id_token,
        })
    }
}

fn refused(error: String, description: Option<String>) -> TokenAnswer {
    if matches!(error.as_str(), "server_error" | "temporarily_unavailable" | "slow_down") {
        return TokenAnswer::Unavailable;
    }
    let code = TokenErrorCode::from_name(&error).unwrap_or(TokenErrorCode::Other);
    TokenAnswer::Refused(TokenError { code, text: Some(ErrorBody { error, description }.words()) })
}

/// COMPAT: wider than the `b64token` of RFC 6750 §2.1, because live tokens hold `!` and `|`; still nothing that could
/// end a header value.
fn usable(token: Option<Secret>) -> Result<Option<Secret>, Invalid> {
    // atk:HDR-01, atk:NET-16
    let Some(token) = token else { return Ok(None) };
    if token.expose().len() > TOKEN_MAX_BYTES {
        return Err(Invalid("a token is longer than 16 KiB"));
    }
    // Without an early exit the compiler checks many bytes at a time.
    if !token.expose().bytes().fold(true, |fits, b| fits & b.is_ascii_graphic()) {
        return Err(Invalid("a token has characters that cannot stand in a header"));
    }
    Ok(Some(token))
}

fn may_be_form(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim_matches([' ', '\t']);
    essence.eq_ignore_ascii_case(form::CONTENT_TYPE)
        || essence.get(..5).is_some_and(|kind| kind.eq_ignore_ascii_case("text/"))
}

/// As [`optional_text`], for a secret.
pub(super) fn optional_secret<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Secret>, D::Error> {
    Ok(optional_text(deserializer)?.map(Secret::new))
}

/// The scopes of a text, absent if there are none. What is no scope, or one too many, is left out: the grant then
/// counts as having less, and tokens already issued are not lost over it.
pub(super) fn lenient_scopes(text: &str) -> Option<Scopes> {
    let scopes = Scopes::parse(text).or_else(|_| {
        let tokens = text.split(' ').filter(|token| Scopes::from_tokens([*token]).is_ok());
        Scopes::from_tokens(tokens.take(SCOPES_MAX))
    });
    scopes.ok().filter(|scopes| !scopes.is_empty())
}

/// The `scope` of a response: a text, a list of texts, `null`, or empty.
fn text_or_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Scopes>, D::Error> {
    struct TextOrList;

    impl<'de> Visitor<'de> for TextOrList {
        type Value = Option<Scopes>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("oauth scopes")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(lenient_scopes(text))
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut text = String::new();
            while let Some(token) = list.next_element::<String>()? {
                text.push_str(&token);
                text.push(' ');
            }
            Ok(lenient_scopes(&text))
        }
    }

    deserializer.deserialize_any(TextOrList)
}
