//! Requests to our token and revocation endpoints (RFC 6749 §4.1.3 and §6, RFC 7009 §2.1), and how the client authenticates in them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::form::decoded;
use super::pkce;
use super::scopes::Scopes;
use crate::downstream::parameters::Parameters;
use crate::secret::Secret;

/// An error code of the token endpoint (RFC 6749 §5.2, RFC 8707 §2, RFC 7009 §2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TokenError {
    InvalidClient,
    InvalidGrant,
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    UnauthorizedClient,
    UnsupportedGrantType,
    UnsupportedTokenType,
}

impl TokenError {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedTokenType => "unsupported_token_type",
        }
    }
}

/// A request refused in the words of the protocol. The description is text of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Refusal {
    pub(crate) error: TokenError,
    pub(crate) description: &'static str,
}

impl Refusal {
    pub(crate) const fn new(error: TokenError, description: &'static str) -> Self {
        Self { error, description }
    }

    const fn malformed(description: &'static str) -> Self {
        Self::new(TokenError::InvalidRequest, description)
    }
}

/// What a client asks of the token endpoint.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) enum TokenRequest {
    Code(CodeRequest),
    Refresh(RefreshRequest),
}

/// `grant_type=authorization_code`.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct CodeRequest {
    pub(crate) code: Secret,
    pub(crate) redirect_uri: Option<String>,
    pub(crate) resource: Option<String>,
    /// INVARIANT: of the form of a verifier.
    pub(crate) verifier: Secret,
}

/// `grant_type=refresh_token`.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct RefreshRequest {
    pub(crate) token: Secret,
    pub(crate) resource: Option<String>,
    pub(crate) scopes: Option<Scopes>,
}

impl TokenRequest {
    /// # Errors
    /// The refusal to answer with.
    pub(crate) fn read(body: &Parameters) -> Result<Self, Refusal> {
        let resource = body.get("resource").map(str::to_owned);
        match body.get("grant_type") {
            None => Err(Refusal::malformed("`grant_type` is missing")),
            Some("authorization_code") => {
                let code = needed(body, "code", "`code` is missing")?;
                //= spec/oauth21.md#4-1-3
                //# The verifier MUST be there, as every code has a challenge, be of its form, and lead to the
                //# challenge (TOK-15, S).
                // atk:COD-05
                let verifier = needed(body, "code_verifier", "`code_verifier` is missing")?;
                // atk:COD-11: looked at before anything is hashed or read.
                if !pkce::is_verifier(verifier.expose()) {
                    return Err(Refusal::malformed("`code_verifier` is not 43 to 128 unreserved characters"));
                }
                let redirect_uri = body.get("redirect_uri").map(str::to_owned);
                Ok(Self::Code(CodeRequest { code, redirect_uri, resource, verifier }))
            }
            Some("refresh_token") => {
                let token = needed(body, "refresh_token", "`refresh_token` is missing")?;
                let scopes = body.get("scope").map(Scopes::parse).transpose().map_err(|_| {
                    Refusal::new(TokenError::InvalidScope, "`scope` is not a list of oauth scopes")
                })?;
                Ok(Self::Refresh(RefreshRequest { token, resource, scopes }))
            }
            //= spec/oauth21.md#10
            //# The implicit and the password grant MUST NOT be supported (TOK-22, S).
            Some(_) => Err(Refusal::new(
                TokenError::UnsupportedGrantType,
                "`grant_type` is neither `authorization_code` nor `refresh_token`",
            )),
        }
    }
}

/// The token that a client wants to be revoked. Its type is plain from the token itself, so the hint is not looked at.
///
/// # Errors
/// There is none.
pub(crate) fn revoked_token(body: &Parameters) -> Result<Secret, Refusal> {
    needed(body, "token", "`token` is missing")
}

fn needed(body: &Parameters, name: &str, missing: &'static str) -> Result<Secret, Refusal> {
    body.secret(name).cloned().ok_or(Refusal::malformed(missing))
}

/// What belongs into the body only.
const IN_THE_BODY: [&str; 12] = [
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code",
    "code_verifier",
    "grant_type",
    "redirect_uri",
    "refresh_token",
    "resource",
    "scope",
    "token",
];

/// Checks that nothing of a request stands in the query.
///
/// # Errors
/// Something does.
pub(crate) fn check_query(query: &Parameters) -> Result<(), Refusal> {
    // atk:COD-12
    if IN_THE_BODY.iter().any(|name| query.get(name).is_some()) {
        return Err(Refusal::malformed("a parameter stands in the query, not in the body"));
    }
    Ok(())
}

/// Who a client says it is, and how it would prove that.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Credentials {
    pub(crate) client_id: String,
    /// Its secret; `None`: it only names itself.
    pub(crate) secret: Option<Secret>,
}

impl Credentials {
    /// Reads them from the `Authorization` headers and the body.
    ///
    /// # Errors
    /// There are none, more than one, or they cannot be read.
    pub(crate) fn read<'a>(
        authorization: impl IntoIterator<Item = &'a Secret>,
        body: &Parameters,
    ) -> Result<Self, Refusal> {
        let mut headers = authorization.into_iter();
        let (header, further) = (headers.next(), headers.next());
        let has_assertion =
            body.get("client_assertion").is_some() || body.get("client_assertion_type").is_some();
        let methods =
            [header.is_some(), further.is_some(), body.get("client_secret").is_some(), has_assertion];
        //= spec/oauth21.md#2-4
        //# A confidential client MUST be authenticated, and so is any client that presents credentials, by
        //# one method in a request, a secret in the body or in the header; brute force is resisted
        //# (TOK-17, S).
        // atk:HDR-05
        if methods.into_iter().filter(|used| *used).count() > 1 {
            return Err(Refusal::malformed("the client authenticates in two ways at once"));
        }
        if has_assertion {
            return Err(Refusal::new(
                TokenError::InvalidClient,
                "client assertions are not supported; use `client_secret_post` or `client_secret_basic`",
            ));
        }
        let named = body.get("client_id");
        let Some(header) = header else {
            let client_id = named.ok_or(Refusal::malformed("`client_id` is missing"))?.to_owned();
            return Ok(Self { client_id, secret: body.secret("client_secret").cloned() });
        };
        let (client_id, secret) = basic(header.expose()).ok_or(Refusal::new(
            TokenError::InvalidClient,
            "the `Authorization` header holds no `Basic` credentials that can be read",
        ))?;
        // COMPAT: clients of several libraries repeat the id in the body; another one would be a second client.
        if named.is_some_and(|named| named != client_id) {
            return Err(Refusal::malformed(
                "`client_id` and the `Authorization` header name different clients",
            ));
        }
        Ok(Self { client_id, secret: Some(secret) })
    }
}

/// Id and secret of a `Basic` header (RFC 7617 §2), each form-decoded once (RFC 6749 §2.3.1).
fn basic(header: &str) -> Option<(String, Secret)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = Zeroizing::new(BASE64_STANDARD.decode(encoded).ok()?);
    let (id, secret) = str::from_utf8(&pair).ok()?.split_once(':')?;
    // atk:HDR-06
    let (id, secret) = (decoded(id).ok()?, decoded(secret).ok()?);
    (!id.is_empty()).then(|| (id.into_owned(), Secret::new(secret.into_owned())))
}

#[cfg(test)]
mod tests {
    use super::super::client_auth::{AuthMethod, ClientAuth};
    use super::super::form::Form;
    use super::*;

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    fn parameters(text: &str) -> Parameters {
        Parameters::read(text).unwrap()
    }

    fn refused(body: &str) -> TokenError {
        TokenRequest::read(&parameters(body)).unwrap_err().error
    }

    fn credentials(headers: &[&str], body: &str) -> Result<(String, Option<String>), TokenError> {
        let headers: Vec<Secret> = headers.iter().map(|value| Secret::new(*value)).collect();
        Credentials::read(&headers, &parameters(body))
            .map(|read| (read.client_id, read.secret.map(|secret| secret.expose().to_owned())))
            .map_err(|refusal| refusal.error)
    }

    fn known(id: &str, secret: Option<&str>) -> Result<(String, Option<String>), TokenError> {
        Ok((id.to_owned(), secret.map(str::to_owned)))
    }

    //= spec/oauth21.md#10
    //= type=test
    //# The implicit and the password grant MUST NOT be supported (TOK-22, S).
    #[test]
    fn there_are_two_grants_and_neither_password_nor_implicit_is_one() {
        assert_eq!(refused("code=x"), TokenError::InvalidRequest);
        for other in
            ["password", "implicit", "client_credentials", "Authorization_Code", "authorization_code+"]
        {
            assert_eq!(
                refused(&format!("grant_type={other}&code=c&username=u&password=p&code_verifier={VERIFIER}")),
                TokenError::UnsupportedGrantType,
                "{other}"
            );
        }
    }

    //= spec/oauth21.md#4-1-3
    //= type=test
    //# The verifier MUST be there, as every code has a challenge, be of its form, and lead to the challenge
    //# (TOK-15, S).
    // atk:COD-05, atk:COD-11
    #[test]
    fn a_verifier_that_is_not_there_or_not_of_its_form_is_refused_before_anything_is_hashed() {
        let with = |verifier: &str| format!("grant_type=authorization_code&code=c&code_verifier={verifier}");
        assert_eq!(refused("grant_type=authorization_code&code=c"), TokenError::InvalidRequest);
        for wrong in [
            "".to_owned(),
            "a".repeat(42),
            "a".repeat(129),
            "a".repeat(1 << 20),
            format!("{}%00", "a".repeat(50)),
            format!("{}%2B", "a".repeat(50)),
            format!("{}%C3%A9", "a".repeat(50)),
        ] {
            assert_eq!(refused(&with(&wrong)), TokenError::InvalidRequest);
        }
        assert!(Parameters::read(&with(&format!("{}%C0%80", "a".repeat(50)))).is_err());
        assert!(TokenRequest::read(&parameters(&with(VERIFIER))).is_ok());
    }

    #[test]
    fn what_a_grant_needs_must_be_there_and_the_scope_be_one() {
        assert_eq!(
            refused(&format!("grant_type=authorization_code&code=&code_verifier={VERIFIER}")),
            TokenError::InvalidRequest
        );
        assert_eq!(refused("grant_type=refresh_token"), TokenError::InvalidRequest);
        assert_eq!(refused("grant_type=refresh_token&refresh_token=r&scope=a%22"), TokenError::InvalidScope);
        assert!(revoked_token(&parameters("token_type_hint=access_token")).is_err());
    }

    // atk:COD-12
    #[test]
    fn nothing_of_a_request_may_stand_in_the_query() {
        for name in IN_THE_BODY {
            assert!(check_query(&parameters(&format!("{name}=x"))).is_err(), "{name}");
        }
        assert!(check_query(&parameters("%63lient_id=x")).is_err());
        assert!(check_query(&parameters("utm=1&code=")).is_ok());
    }

    //= spec/oauth21.md#2-4
    //= type=test
    //# A confidential client MUST be authenticated, and so is any client that presents credentials, by one
    //# method in a request, a secret in the body or in the header; brute force is resisted (TOK-17, S).
    #[test]
    fn a_client_names_itself_or_brings_a_secret_in_one_of_two_ways() {
        // `a:b` and `c d`.
        let header = "bAsIc YSUzQWI6YytkOiUyNTQx";
        assert_eq!(credentials(&[], "client_id=a"), known("a", None));
        assert_eq!(credentials(&[], "client_id=a&client_secret=s"), known("a", Some("s")));
        assert_eq!(credentials(&[], "client_id=a&client_secret="), known("a", None));
        assert_eq!(credentials(&[header], ""), known("a:b", Some("c d:%41")));
        assert_eq!(credentials(&[header], "client_id=a%3Ab"), known("a:b", Some("c d:%41")));
        assert_eq!(credentials(&[], "client_secret=s"), Err(TokenError::InvalidRequest));
    }

    //= spec/oauth21.md#2-4
    //= type=test
    //# A confidential client MUST be authenticated, and so is any client that presents credentials, by one
    //# method in a request, a secret in the body or in the header; brute force is resisted (TOK-17, S).
    // atk:HDR-05
    #[test]
    fn two_ways_at_once_are_refused_and_so_are_two_clients() {
        let header = "Basic YTpi";
        for (headers, body) in [
            (vec![header, header], ""),
            (vec![header], "client_id=a&client_secret=b"),
            (vec![header], "client_assertion=x"),
            (vec![], "client_id=a&client_secret=b&client_assertion=x"),
            (vec![header], "client_id=other"),
        ] {
            assert_eq!(credentials(&headers, body), Err(TokenError::InvalidRequest), "{headers:?} {body}");
        }
    }

    //= spec/oauth21.md#2-4
    //= type=test
    //# A confidential client MUST be authenticated, and so is any client that presents credentials, by one
    //# method in a request, a secret in the body or in the header; brute force is resisted (TOK-17, S).
    #[test]
    fn credentials_that_cannot_be_read_are_no_client() {
        for header in [
            "Basic",
            "Basic ",
            "Basic  YTpi",
            "Basic YTp",
            "Basic YQ==",
            "Basic OmI=",
            "Basic //8=",
            "Bearer YTpi",
        ] {
            assert_eq!(credentials(&[header], ""), Err(TokenError::InvalidClient), "{header}");
        }
        assert_eq!(
            credentials(&[], "client_id=a&client_assertion=x&client_assertion_type=y"),
            Err(TokenError::InvalidClient)
        );
    }

    // atk:HDR-06
    #[test]
    fn what_our_own_client_writes_is_read_back_as_it_was() {
        for (id, secret) in [("client", "secret"), ("c:1", "a:b%c+d e%2541"), ("é", "пароль")] {
            let secret_value = Secret::new(secret);
            for method in [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost] {
                let auth = ClientAuth { client_id: id, method, secret: Some(&secret_value), assertion: None };
                let mut form = Form::new();
                let header = auth.apply(&mut form).unwrap();
                let body = String::from_utf8(form.into_body().expose().to_vec()).unwrap();
                let read = Credentials::read(header.as_ref(), &parameters(&body)).unwrap();
                assert_eq!((read.client_id.as_str(), read.secret.unwrap().expose()), (id, secret));
            }
        }
    }
}
