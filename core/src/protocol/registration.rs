//! Dynamic client registration (RFC 7591).

use serde::{Deserialize, Serialize, Serializer};

use super::client_auth::AuthMethod;
use super::error_body::ErrorBody;
use super::json::{self, optional_seconds, optional_text};
use super::redirect_uri::{ApplicationType, RedirectUri};
use super::scopes::Scopes;
use super::token::{lenient_scopes, optional_secret};
use super::{Invalid, error_body};
use crate::error::PeerText;
use crate::limits::CLIENT_SECRET_MAX_BYTES;
use crate::moment::UnixMillis;
use crate::secret::Secret;

/// What we ask to be registered as: only metadata we can act on (RFC 7591 §2).
#[derive(Clone, Copy, Debug)]
pub struct RegistrationRequest<'a> {
    /// All redirect URIs that flows of this registration use; at least one.
    pub redirect_uris: &'a [RedirectUri],
    /// The name that people see at the issuer.
    pub client_name: &'a str,
    /// How we want to authenticate; the issuer may decide otherwise.
    pub auth_method: AuthMethod,
    /// Native or web, see [`RedirectUri::application_type`].
    pub application_type: ApplicationType,
    /// The oauth scopes to be registered for, where the issuer wants to know them.
    pub scopes: Option<&'a Scopes>,
    /// A page about this host.
    pub client_uri: Option<&'a str>,
}

impl RegistrationRequest<'_> {
    /// The JSON body of the request.
    pub fn to_body(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Wire<'a> {
            redirect_uris: &'a [RedirectUri],
            client_name: &'a str,
            grant_types: [&'static str; 2],
            response_types: [&'static str; 1],
            token_endpoint_auth_method: AuthMethod,
            application_type: ApplicationType,
            #[serde(skip_serializing_if = "Option::is_none", serialize_with = "spaced")]
            scope: Option<&'a Scopes>,
            #[serde(skip_serializing_if = "Option::is_none")]
            client_uri: Option<&'a str>,
        }
        let wire = Wire {
            redirect_uris: self.redirect_uris,
            client_name: self.client_name,
            //= spec/mcp-2026-07-28.md#idx-refresh-tokens
            //# A registration that wants refresh tokens SHOULD name `refresh_token` among its grant types
            //# (REG-12, U).
            grant_types: ["authorization_code", "refresh_token"],
            response_types: ["code"],
            token_endpoint_auth_method: self.auth_method,
            //= spec/mcp-2026-07-28.md#reg-application-type-and-redirect-uri-constraints
            //# A dynamic registration MUST state `application_type`, which SHOULD be `native` for desktop,
            //# command line and localhost and `web` for a remote browser application (REG-15, U).
            application_type: self.application_type,
            scope: self.scopes.filter(|scopes| !scopes.is_empty()),
            client_uri: self.client_uri,
        };
        // INVARIANT: text in a struct always serializes; an empty body would be refused by the issuer.
        serde_json::to_vec(&wire).unwrap_or_default()
    }
}

/// What the issuer registered. It may have replaced anything we asked for (RFC 7591 §3.2.1), so this counts and the
/// request does not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub struct RegistrationResponse {
    /// The client id, byte for byte.
    pub client_id: String,
    /// The client secret, if one was issued; there may be one although the method is `none`.
    pub client_secret: Option<Secret>,
    /// When the secret expires; absent if never.
    pub client_secret_expires_at: Option<UnixMillis>,
    /// The method the issuer decided on; absent if it does not say.
    pub auth_method: Option<AuthMethod>,
    /// The redirect URIs as the issuer repeats them; empty if it does not. For noting a difference, never for use.
    pub redirect_uris: Vec<String>,
    /// The grant types; empty if the issuer does not say.
    pub grant_types: Vec<String>,
    /// The oauth scopes; absent if the issuer does not say.
    pub scopes: Option<Scopes>,
    /// Where this registration is read and deleted (RFC 7592 §3).
    pub registration_client_uri: Option<String>,
    /// The token for that (RFC 7592 §3).
    pub registration_access_token: Option<Secret>,
}

impl RegistrationResponse {
    /// Reads the body of a 200 or 201. `null` and `""` count as absent, unknown members are ignored.
    ///
    /// Errors: not a JSON object, no usable `client_id`, or an authentication method that we cannot carry out.
    pub fn parse(body: &[u8]) -> Result<Self, Invalid> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(default, deserialize_with = "optional_text")]
            client_id: Option<String>,
            #[serde(default, deserialize_with = "optional_secret")]
            client_secret: Option<Secret>,
            #[serde(default, deserialize_with = "optional_seconds")]
            client_secret_expires_at: Option<u64>,
            #[serde(default, deserialize_with = "optional_text")]
            token_endpoint_auth_method: Option<String>,
            redirect_uris: Option<Vec<String>>,
            grant_types: Option<Vec<String>>,
            #[serde(default, deserialize_with = "error_body::text_or_nothing")]
            scope: Option<String>,
            #[serde(default, deserialize_with = "optional_text")]
            registration_client_uri: Option<String>,
            #[serde(default, deserialize_with = "optional_secret")]
            registration_access_token: Option<Secret>,
        }
        let wire: Wire = json::from_slice(body)?;

        let client_id = wire.client_id.ok_or(Invalid("the registration has no `client_id`"))?;
        if client_id.len() > CLIENT_ID_MAX_BYTES || !client_id.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return Err(Invalid("the `client_id` is too long or has characters that client ids do not have"));
        }
        if wire.client_secret.as_ref().is_some_and(|secret| secret.expose().len() > CLIENT_SECRET_MAX_BYTES) {
            return Err(Invalid("the `client_secret` is longer than 4096 bytes"));
        }
        let auth_method = match wire.token_endpoint_auth_method {
            Some(name) => Some(
                AuthMethod::from_name(&name)
                    .ok_or(Invalid("the registration names an authentication method we do not have"))?,
            ),
            None => None,
        };
        let expires_at = wire.client_secret_expires_at.filter(|seconds| *seconds > 0);
        Ok(Self {
            client_id,
            client_secret: wire.client_secret,
            client_secret_expires_at: expires_at.map(|seconds| UnixMillis(seconds.saturating_mul(1000))),
            auth_method,
            redirect_uris: wire.redirect_uris.unwrap_or_default(),
            grant_types: wire.grant_types.unwrap_or_default(),
            scopes: wire.scope.as_deref().and_then(lenient_scopes),
            registration_client_uri: wire.registration_client_uri,
            registration_access_token: wire.registration_access_token,
        })
    }
}

/// LIMIT: a client id may be a URL (design §8), and some issuers pack a signed document into it.
const CLIENT_ID_MAX_BYTES: usize = 4096;

/// Why the issuer refused to register us (RFC 7591 §3.2.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegistrationError {
    /// The reason.
    pub code: RegistrationErrorCode,
    /// The issuer's words, if it spoke OAuth at all.
    pub text: Option<PeerText>,
}

impl RegistrationError {
    /// Reads the body of an answer that is no success. A body that cannot be read is a refusal as well.
    pub fn read(body: &[u8]) -> Self {
        let Some(error) = ErrorBody::read(body) else {
            return Self { code: RegistrationErrorCode::Other, text: None };
        };
        let code = match error.error.as_str() {
            "invalid_redirect_uri" => RegistrationErrorCode::InvalidRedirectUri,
            "invalid_client_metadata" => RegistrationErrorCode::InvalidClientMetadata,
            _ => RegistrationErrorCode::Other,
        };
        //= spec/mcp-2026-07-28.md#reg-application-type-and-redirect-uri-constraints
        //# A registration error SHOULD reach user or developer in readable form (ERR-07, U).
        Self { code, text: Some(error.words()) }
    }
}

/// The errors of RFC 7591 §3.2.2 that tell us something; those about software statements, which we never send, do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegistrationErrorCode {
    /// `invalid_client_metadata`
    InvalidClientMetadata,
    /// `invalid_redirect_uri`
    InvalidRedirectUri,
    /// Anything else, or nothing readable.
    Other,
}

fn spaced<S: Serializer>(scopes: &Option<&Scopes>, serializer: S) -> Result<S::Ok, S::Error> {
    match scopes {
        Some(scopes) => serializer.collect_str(scopes),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RegistrationResponse, Invalid> {
        RegistrationResponse::parse(text.as_bytes())
    }

    //= spec/mcp-2026-07-28.md#idx-refresh-tokens
    //= type=test
    //# A registration that wants refresh tokens SHOULD name `refresh_token` among its grant types
    //# (REG-12, U).
    #[test]
    fn the_request_says_what_we_can_do_and_no_more() {
        let uris = [RedirectUri::new("http://127.0.0.1:33418/callback").unwrap()];
        let scopes = Scopes::parse("b a").unwrap();
        let request = RegistrationRequest {
            redirect_uris: &uris,
            client_name: "Grantway \"dev\"",
            auth_method: AuthMethod::None,
            application_type: uris[0].application_type(),
            scopes: Some(&scopes),
            client_uri: None,
        };
        assert_eq!(
            String::from_utf8(request.to_body()).unwrap(),
            r#"{"redirect_uris":["http://127.0.0.1:33418/callback"],"client_name":"Grantway \"dev\"","#
                .to_owned()
                + r#""grant_types":["authorization_code","refresh_token"],"response_types":["code"],"#
                + r#""token_endpoint_auth_method":"none","application_type":"native","scope":"a b"}"#
        );
        let none = Scopes::default();
        let bare = RegistrationRequest { scopes: Some(&none), ..request };
        assert!(!String::from_utf8(bare.to_body()).unwrap().contains("scope"));
    }

    #[test]
    fn a_full_response_is_read() {
        let response = parse(
            r#"{"client_id":"c 1","client_secret":"s","client_secret_expires_at":1700000000,
                "token_endpoint_auth_method":"client_secret_post","redirect_uris":["https://a/cb"],
                "grant_types":["authorization_code"],"scope":"b a","client_name":"x","contacts":null,
                "registration_client_uri":"https://as/r/1","registration_access_token":"rat"}"#,
        )
        .unwrap();
        let expected = RegistrationResponse {
            client_id: "c 1".to_owned(),
            client_secret: Some(Secret::new("s")),
            client_secret_expires_at: Some(UnixMillis(1_700_000_000_000)),
            auth_method: Some(AuthMethod::ClientSecretPost),
            redirect_uris: vec!["https://a/cb".to_owned()],
            grant_types: vec!["authorization_code".to_owned()],
            scopes: Some(Scopes::parse("a b").unwrap()),
            registration_client_uri: Some("https://as/r/1".to_owned()),
            registration_access_token: Some(Secret::new("rat")),
        };
        assert_eq!(response, expected);
    }

    #[test]
    fn null_and_empty_members_are_absent() {
        let bare = parse(r#"{"client_id":"c"}"#).unwrap();
        let odd = r#"{"client_id":"c","client_secret":"","client_secret_expires_at":null,"client_uri":"",
            "token_endpoint_auth_method":"","redirect_uris":null,"grant_types":null,"scope":"",
            "registration_client_uri":null,"registration_access_token":""}"#;
        assert_eq!(parse(odd).unwrap(), bare);
        assert_eq!((bare.client_secret, bare.auth_method, bare.scopes), (None, None, None));
    }

    //= spec/rfc7591.md#3-2-1
    //= type=test
    //# A client secret MUST be used no longer than its `client_secret_expires_at`, where 0 means for ever,
    //# and a new registration follows (REG-19, U).
    #[test]
    fn a_secret_that_expires_at_0_never_expires() {
        let expiry = |value: &str| {
            parse(&format!(r#"{{"client_id":"c","client_secret_expires_at":{value}}}"#))
                .unwrap()
                .client_secret_expires_at
        };
        assert_eq!(expiry("0"), None);
        assert_eq!(expiry("1"), Some(UnixMillis(1000)));
        assert_eq!(expiry("18446744073709551615"), Some(UnixMillis(u64::MAX)));
    }

    #[test]
    fn a_secret_beside_the_method_none_is_kept() {
        let response =
            parse(r#"{"client_id":"c","client_secret":"s","token_endpoint_auth_method":"none"}"#).unwrap();
        assert_eq!(
            (response.auth_method, response.client_secret),
            (Some(AuthMethod::None), Some(Secret::new("s")))
        );
    }

    #[test]
    fn an_unusable_response_is_refused() {
        let long = format!(r#"{{"client_id":"{}"}}"#, "c".repeat(CLIENT_ID_MAX_BYTES + 1));
        for text in [
            "",
            "Forbidden",
            "[]",
            "{}",
            r#"{"client_id":""}"#,
            r#"{"client_id":null}"#,
            r#"{"client_id":7}"#,
            r#"{"client_id":"a\nb"}"#,
            r#"{"client_id":"é"}"#,
            r#"{"client_id":"a","client_id":"b"}"#,
            r#"{"client_id":"a","token_endpoint_auth_method":"tls_client_auth"}"#,
            long.as_str(),
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_refusal_keeps_the_words_of_the_issuer_and_never_fails() {
        let read = |body: &str| {
            let error = RegistrationError::read(body.as_bytes());
            (error.code, error.text.map(|text| text.as_str().to_owned()))
        };
        assert_eq!(
            read(r#"{"error":"invalid_redirect_uri","error_description":"no loopback"}"#),
            (RegistrationErrorCode::InvalidRedirectUri, Some("invalid_redirect_uri: no loopback".to_owned()))
        );
        assert_eq!(
            read(r#"{"error":"insufficient_scope"}"#),
            (RegistrationErrorCode::Other, Some("insufficient_scope".to_owned()))
        );
        assert_eq!(read("Forbidden"), (RegistrationErrorCode::Other, None));
    }
}
