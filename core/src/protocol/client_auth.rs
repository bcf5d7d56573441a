//! How a client authenticates at the token and revocation endpoints (RFC 6749 §2.3, RFC 7591 §2).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use form_urlencoded::byte_serialize;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Invalid;
use super::form::Form;
use crate::secret::Secret;

/// A `token_endpoint_auth_method` that we can carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// `none`: a public client, which only names itself.
    None,
    /// `client_secret_basic`: id and secret in the `Authorization` header.
    ClientSecretBasic,
    /// `client_secret_post`: id and secret in the body.
    ClientSecretPost,
    /// `private_key_jwt`: a signed assertion in the body (RFC 7523 §2.2).
    PrivateKeyJwt,
}

impl AuthMethod {
    /// Its registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }

    /// The method of that name, if it is one of ours.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::ClientSecretBasic, Self::ClientSecretPost, Self::PrivateKeyJwt]
            .into_iter()
            .find(|method| method.as_str() == name)
    }
}

/// A client at one issuer, ready to authenticate one request.
#[derive(Clone, Copy, Debug)]
pub struct ClientAuth<'a> {
    /// The client id, byte for byte as registered.
    pub client_id: &'a str,
    /// The method of the registration.
    pub method: AuthMethod,
    /// The client secret, if one was issued.
    pub secret: Option<&'a Secret>,
    /// A client assertion signed for this request, for [`AuthMethod::PrivateKeyJwt`] only.
    pub assertion: Option<&'a Secret>,
}

impl<'a> ClientAuth<'a> {
    /// Adds this client to a request: parameters to the form, and the value of the `Authorization` header if the
    /// method needs one.
    ///
    /// Errors: the method needs a secret or an assertion that is not there, or the form names a client already. The
    /// form may then be half-filled and is of no further use.
    pub fn apply(&self, form: &mut Form<'a>) -> Result<Option<Secret>, Invalid> {
        //= spec/oauth21.md#2-4
        //# The engine MUST authenticate by the one method that was registered or returned and that the issuer
        //# still lists, never by two at once (TOK-06, U).
        // One match, so one method in each request.
        match self.method {
            AuthMethod::None => {
                //= spec/oauth21.md#4-1-3
                //# Where it does not authenticate, the engine MUST name itself by `client_id` in the body
                //# (TOK-03, U).
                // A secret that came along unasked stays here.
                form.text("client_id", self.client_id)?;
                Ok(None)
            }
            AuthMethod::ClientSecretBasic => {
                // COMPAT: no `client_id` in the body; some servers take it for a second method.
                if form.has("client_id") {
                    return Err(Invalid("the form names a client beside the authorization header"));
                }
                Ok(Some(basic(self.client_id, self.needed_secret()?)))
            }
            AuthMethod::ClientSecretPost => {
                form.text("client_id", self.client_id)?;
                //= spec/oauth21.md#2-4-1
                //# `client_secret_post` MUST put id and secret in the body, and `none` sends no secret even
                //# when one was issued (TOK-08, U).
                form.secret("client_secret", self.needed_secret()?)?;
                Ok(None)
            }
            AuthMethod::PrivateKeyJwt => {
                let assertion =
                    self.assertion.ok_or(Invalid("`private_key_jwt` needs a client assertion"))?;
                form.text("client_id", self.client_id)?;
                form.text("client_assertion_type", JWT_BEARER)?;
                form.secret("client_assertion", assertion)?;
                Ok(None)
            }
        }
    }

    fn needed_secret(&self) -> Result<&'a Secret, Invalid> {
        self.secret
            .filter(|secret| !secret.is_empty())
            .ok_or(Invalid("the authentication method needs a client secret"))
    }
}

/// Which method to use at an issuer.
///
/// `returned` is what the registration response (or the static configuration) says, `has_secret` whether a secret came
/// with it, `supported` the issuer's `token_endpoint_auth_methods_supported`; an empty list counts as none. The
/// returned method counts first; `client_secret_basic` is never used where the list leaves it out; without a secret
/// only the methods that need none are left. Nothing is returned if no method suits both sides.
pub fn choose(
    returned: Option<AuthMethod>,
    has_secret: bool,
    supported: Option<&[String]>,
) -> Option<AuthMethod> {
    let list = supported.filter(|list| !list.is_empty());
    let listed =
        |method: AuthMethod| list.is_some_and(|list| list.iter().any(|name| name == method.as_str()));
    let basic_is_excluded = list.is_some() && !listed(AuthMethod::ClientSecretBasic);
    match returned {
        Some(method @ (AuthMethod::None | AuthMethod::PrivateKeyJwt)) => Some(method),
        Some(AuthMethod::ClientSecretPost) if has_secret => Some(AuthMethod::ClientSecretPost),
        Some(AuthMethod::ClientSecretBasic) if has_secret && !basic_is_excluded => {
            Some(AuthMethod::ClientSecretBasic)
        }
        // COMPAT: an issuer that gave no secret expects none, whatever method it names.
        _ if !has_secret => Some(AuthMethod::None),
        //= spec/rfc7591.md#2
        //# When a registration response brings a secret but names no authentication method, the engine MUST
        //# take `client_secret_basic` unless the issuer lists its methods without it (REG-18, U).
        _ if !basic_is_excluded => Some(AuthMethod::ClientSecretBasic),
        _ => [AuthMethod::ClientSecretPost, AuthMethod::None].into_iter().find(|method| listed(*method)),
    }
}

/// The `client_assertion_type` of RFC 7523 §2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// `Basic` credentials: id and secret form-urlencoded each for itself, then Base64 (RFC 6749 §2.3.1).
fn basic(client_id: &str, secret: &Secret) -> Secret {
    //= spec/rfc6749.md#2-3-1
    //# For `client_secret_basic` the engine MUST form-encode id and secret each by itself before it joins
    //# them for Base64 (TOK-07, U).
    // atk:HDR-06
    let pieces = || {
        byte_serialize(client_id.as_bytes()).chain([":"]).chain(byte_serialize(secret.expose().as_bytes()))
    };
    // INVARIANT: both buffers get their final size at once; growing would leave unwiped copies behind.
    let mut pair = Zeroizing::new(String::with_capacity(pieces().map(str::len).sum()));
    pieces().for_each(|piece| pair.push_str(piece));
    let mut value =
        String::with_capacity(pair.len().div_ceil(3).saturating_mul(4).saturating_add("Basic ".len()));
    value.push_str("Basic ");
    BASE64_STANDARD.encode_string(pair.as_bytes(), &mut value);
    Secret::new(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use AuthMethod::{ClientSecretBasic, ClientSecretPost, PrivateKeyJwt};

    fn applied(auth: &ClientAuth<'_>) -> (String, Option<Secret>) {
        let mut form = Form::new();
        let header = auth.apply(&mut form).unwrap();
        (String::from_utf8(form.into_body().expose().to_vec()).unwrap(), header)
    }

    fn auth<'a>(method: AuthMethod, secret: Option<&'a Secret>) -> ClientAuth<'a> {
        ClientAuth { client_id: "c:1", method, secret, assertion: None }
    }

    //= spec/oauth21.md#4-1-3
    //= type=test
    //# Where it does not authenticate, the engine MUST name itself by `client_id` in the body (TOK-03, U).
    //= spec/oauth21.md#2-4-1
    //= type=test
    //# `client_secret_post` MUST put id and secret in the body, and `none` sends no secret even when one was
    //# issued (TOK-08, U).
    #[test]
    fn a_public_client_names_itself_and_never_sends_a_secret() {
        let secret = Secret::new("s");
        assert_eq!(applied(&auth(AuthMethod::None, Some(&secret))), ("client_id=c%3A1".to_owned(), None));
    }

    //= spec/rfc6749.md#2-3-1
    //= type=test
    //# For `client_secret_basic` the engine MUST form-encode id and secret each by itself before it joins
    //# them for Base64 (TOK-07, U).
    // atk:HDR-06
    #[test]
    fn basic_encodes_id_and_secret_each_for_itself_and_leaves_the_body_alone() {
        for (id, secret, pair) in [
            ("client", "secret", "client:secret"),
            ("c:1", "a:b%c+d e", "c%3A1:a%3Ab%25c%2Bd+e"),
            ("é", "пароль", "%C3%A9:%D0%BF%D0%B0%D1%80%D0%BE%D0%BB%D1%8C"),
        ] {
            let secret = Secret::new(secret);
            let auth = ClientAuth {
                client_id: id,
                method: ClientSecretBasic,
                secret: Some(&secret),
                assertion: None,
            };
            let (body, header) = applied(&auth);
            let header = header.unwrap();
            let encoded = header.expose().strip_prefix("Basic ").unwrap();
            assert_eq!(BASE64_STANDARD.decode(encoded).unwrap(), pair.as_bytes());
            assert_eq!(body, "");
        }
    }

    //= spec/oauth21.md#2-4-1
    //= type=test
    //# `client_secret_post` MUST put id and secret in the body, and `none` sends no secret even when one was
    //# issued (TOK-08, U).
    #[test]
    fn post_puts_both_into_the_body_and_nothing_into_the_header() {
        let secret = Secret::new("s&");
        let (body, header) = applied(&auth(ClientSecretPost, Some(&secret)));
        assert_eq!((body.as_str(), header), ("client_id=c%3A1&client_secret=s%26", None));
    }

    #[test]
    fn private_key_jwt_sends_the_assertion_it_was_given() {
        let (secret, assertion) = (Secret::new("s"), Secret::new("a.b.c"));
        let mut auth = auth(PrivateKeyJwt, Some(&secret));
        auth.assertion = Some(&assertion);
        assert_eq!(
            applied(&auth).0,
            "client_id=c%3A1&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3A\
             client-assertion-type%3Ajwt-bearer&client_assertion=a.b.c"
        );
    }

    #[test]
    fn a_method_without_what_it_needs_is_refused() {
        let empty = Secret::new("");
        for method in [ClientSecretBasic, ClientSecretPost, PrivateKeyJwt] {
            assert!(auth(method, None).apply(&mut Form::new()).is_err(), "{method:?}");
            assert!(auth(method, Some(&empty)).apply(&mut Form::new()).is_err(), "{method:?}");
        }
    }

    //= spec/oauth21.md#2-4
    //= type=test
    //# The engine MUST authenticate by the one method that was registered or returned and that the issuer
    //# still lists, never by two at once (TOK-06, U).
    #[test]
    fn a_request_never_carries_two_methods() {
        let secret = Secret::new("s");
        for method in [AuthMethod::None, ClientSecretBasic, ClientSecretPost] {
            let mut form = Form::new();
            form.text("client_id", "other").unwrap();
            assert!(auth(method, Some(&secret)).apply(&mut form).is_err(), "{method:?}");
        }
    }

    //= spec/oauth21.md#2-4
    //= type=test
    //# The engine MUST authenticate by the one method that was registered or returned and that the issuer
    //# still lists, never by two at once (TOK-06, U).
    //= spec/rfc7591.md#2
    //= type=test
    //# When a registration response brings a secret but names no authentication method, the engine MUST take
    //# `client_secret_basic` unless the issuer lists its methods without it (REG-18, U).
    #[test]
    fn the_returned_method_counts_and_basic_is_never_used_against_the_list() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (both, post, basic) = (
            list(&["client_secret_basic", "client_secret_post"]),
            list(&["client_secret_post"]),
            list(&["client_secret_basic"]),
        );
        let (none, jwt, empty) = (list(&["none"]), list(&["private_key_jwt"]), list(&[]));
        for (returned, has_secret, supported, expected) in [
            // The issuer says which.
            (Some(ClientSecretPost), true, Some(&basic), Some(ClientSecretPost)),
            (Some(ClientSecretPost), true, Some(&none), Some(ClientSecretPost)),
            (Some(ClientSecretBasic), true, None, Some(ClientSecretBasic)),
            (Some(ClientSecretBasic), true, Some(&both), Some(ClientSecretBasic)),
            (Some(AuthMethod::None), true, Some(&both), Some(AuthMethod::None)),
            (Some(PrivateKeyJwt), false, None, Some(PrivateKeyJwt)),
            // The issuer says basic, its own list does not.
            (Some(ClientSecretBasic), true, Some(&post), Some(ClientSecretPost)),
            (Some(ClientSecretBasic), true, Some(&none), Some(AuthMethod::None)),
            // The issuer does not say.
            (None, true, None, Some(ClientSecretBasic)),
            (None, true, Some(&empty), Some(ClientSecretBasic)),
            (None, true, Some(&both), Some(ClientSecretBasic)),
            (None, true, Some(&post), Some(ClientSecretPost)),
            (None, true, Some(&none), Some(AuthMethod::None)),
            (None, true, Some(&jwt), None),
            // No secret was issued.
            (None, false, None, Some(AuthMethod::None)),
            (None, false, Some(&basic), Some(AuthMethod::None)),
            (Some(ClientSecretBasic), false, None, Some(AuthMethod::None)),
            (Some(ClientSecretPost), false, Some(&post), Some(AuthMethod::None)),
        ] {
            assert_eq!(
                choose(returned, has_secret, supported.map(Vec::as_slice)),
                expected,
                "{returned:?}, secret {has_secret}, {supported:?}"
            );
        }
    }

    #[test]
    fn names_are_the_registered_ones_in_text_and_in_records() {
        for method in [AuthMethod::None, ClientSecretBasic, ClientSecretPost, PrivateKeyJwt] {
            assert_eq!(AuthMethod::from_name(method.as_str()), Some(method));
            assert_eq!(serde_json::to_string(&method).unwrap(), format!("\"{}\"", method.as_str()));
        }
        assert_eq!(AuthMethod::from_name("tls_client_auth"), None);
    }
}
