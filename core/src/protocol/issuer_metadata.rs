//! Authorization server metadata (RFC 8414) and OpenID Connect discovery documents: one form, several places.

use serde::Deserialize;

use super::scopes::Scopes;
use super::url::{HttpUrl, Origin};
use super::{Invalid, json, scopes};

/// Where the metadata of an issuer may be, in the order MCP prescribes. Texts to fetch.
///
/// None for an issuer with a query: RFC 8414 §2 does not allow one.
pub fn candidates(issuer: &HttpUrl) -> Vec<String> {
    if issuer.query().is_some() {
        return Vec::new();
    }
    let origin = issuer.origin();
    //= spec/rfc8414.md#3-1
    //# To build a well-known URL, and for nothing else, the engine MUST drop a terminating slash of the
    //# issuer (ASM-05, U).
    let path = issuer.path().trim_end_matches('/');
    //= spec/mcp-2026-07-28.md#disc-authorization-server-metadata-discovery
    //# For an issuer without a path the engine MUST try the RFC 8414 document, then the OpenID Connect one
    //# (ASM-04, U).
    let mut urls = vec![
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
        format!("{origin}/.well-known/openid-configuration{path}"),
    ];
    //= spec/mcp-2026-07-28.md#disc-authorization-server-metadata-discovery
    //# For an issuer with a path the engine MUST try RFC 8414 with the path inserted, OpenID Connect with the
    //# path inserted, then OpenID Connect behind the path, and never the document at the root of the host
    //# (ASM-03, U).
    // Without a path both OpenID forms are the same.
    if !path.is_empty() {
        urls.push(format!("{origin}{path}/.well-known/openid-configuration"));
    }
    urls
}

/// The endpoints of a server without any metadata, by the rules of MCP 2025-03-26.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyEndpoints {
    /// Where the browser is sent.
    pub authorization: String,
    /// Where tokens are requested.
    pub token: String,
    /// Where a client registers.
    pub registration: String,
}

/// The endpoints assumed at an origin. Only by the operator's waiver.
pub fn legacy_endpoints(origin: &Origin) -> LegacyEndpoints {
    LegacyEndpoints {
        authorization: format!("{origin}/authorize"),
        token: format!("{origin}/token"),
        registration: format!("{origin}/register"),
    }
}

/// What an issuer's metadata says about PKCE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pkce {
    /// `code_challenge_methods_supported` is absent.
    Absent,
    /// It lists `S256`.
    Advertised,
    /// It is a list without `S256`.
    WithoutS256,
}

/// What an issuer publishes about itself. Texts are as received; whether a URL is acceptable is the caller's question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct IssuerMetadata {
    /// The issuer that the document describes.
    #[serde(default)]
    pub issuer: String,
    /// Where the browser is sent.
    #[serde(default, deserialize_with = "json::optional_text")]
    pub authorization_endpoint: Option<String>,
    /// Where tokens are requested.
    #[serde(default, deserialize_with = "json::optional_text")]
    pub token_endpoint: Option<String>,
    /// Where a client registers (RFC 7591).
    #[serde(default, deserialize_with = "json::optional_text")]
    pub registration_endpoint: Option<String>,
    /// Where tokens are revoked (RFC 7009).
    #[serde(default, deserialize_with = "json::optional_text")]
    pub revocation_endpoint: Option<String>,
    /// Where the issuer's keys are.
    #[serde(default, deserialize_with = "json::optional_text")]
    pub jwks_uri: Option<String>,
    /// The PKCE methods; see [`IssuerMetadata::s256`].
    pub code_challenge_methods_supported: Option<Vec<String>>,
    /// The oauth scopes. What is not a scope was dropped.
    #[serde(default, deserialize_with = "scopes::optional_advertised")]
    pub scopes_supported: Option<Scopes>,
    /// The response types.
    pub response_types_supported: Option<Vec<String>>,
    /// The grant types; absent means `authorization_code` and `implicit`.
    pub grant_types_supported: Option<Vec<String>>,
    /// How clients authenticate at the token endpoint; absent means `client_secret_basic`.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// How clients authenticate at the revocation endpoint; absent means `client_secret_basic`.
    pub revocation_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Whether the issuer promises `iss` in the authorization response (RFC 9207 §3).
    #[serde(default, deserialize_with = "json::flag")]
    pub authorization_response_iss_parameter_supported: bool,
    /// Whether a URL of a metadata document may be the client id.
    #[serde(default, deserialize_with = "json::flag")]
    pub client_id_metadata_document_supported: bool,
    /// Whether authorization requests must be pushed (RFC 9126 §5).
    #[serde(default, deserialize_with = "json::flag")]
    pub require_pushed_authorization_requests: bool,
}

impl IssuerMetadata {
    /// Reads a document of either kind. Refused if `issuer` is missing; unknown members are ignored.
    pub fn parse(bytes: &[u8]) -> Result<Self, Invalid> {
        //= spec/mcp-2026-07-28.md#idx-overview
        //# The engine MUST understand RFC 8414 and OpenID Connect Discovery documents alike (ASM-02, U).
        let metadata: Self = json::from_slice(bytes)?;
        // An absent issuer is identical to none.
        if metadata.issuer.is_empty() {
            return Err(Invalid("`issuer` is missing"));
        }
        Ok(metadata)
    }

    /// What it says about PKCE with S256.
    pub fn s256(&self) -> Pkce {
        // atk:COD-07
        match &self.code_challenge_methods_supported {
            None => Pkce::Absent,
            Some(methods) if methods.iter().any(|method| method == "S256") => Pkce::Advertised,
            Some(_) => Pkce::WithoutS256,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::url::PlainHttp;
    use super::*;

    fn url(text: &str) -> HttpUrl {
        HttpUrl::parse(text, PlainHttp::Never).unwrap()
    }

    //= spec/mcp-2026-07-28.md#disc-authorization-server-metadata-discovery
    //= type=test
    //# For an issuer with a path the engine MUST try RFC 8414 with the path inserted, OpenID Connect with the
    //# path inserted, then OpenID Connect behind the path, and never the document at the root of the host
    //# (ASM-03, U).
    //= spec/rfc8414.md#3-1
    //= type=test
    //# To build a well-known URL, and for nothing else, the engine MUST drop a terminating slash of the
    //# issuer (ASM-05, U).
    #[test]
    fn an_issuer_with_a_path_has_three_candidates_and_never_the_root_document() {
        for issuer in ["https://h/t/1", "https://H:443/t/1/"] {
            assert_eq!(
                candidates(&url(issuer)),
                [
                    "https://h/.well-known/oauth-authorization-server/t/1",
                    "https://h/.well-known/openid-configuration/t/1",
                    "https://h/t/1/.well-known/openid-configuration",
                ],
                "{issuer}"
            );
        }
    }

    //= spec/mcp-2026-07-28.md#disc-authorization-server-metadata-discovery
    //= type=test
    //# For an issuer without a path the engine MUST try the RFC 8414 document, then the OpenID Connect one
    //# (ASM-04, U).
    #[test]
    fn an_issuer_without_path_has_two_candidates() {
        for issuer in ["https://h:8443", "https://h:8443/"] {
            assert_eq!(
                candidates(&url(issuer)),
                [
                    "https://h:8443/.well-known/oauth-authorization-server",
                    "https://h:8443/.well-known/openid-configuration",
                ],
                "{issuer}"
            );
        }
        assert!(candidates(&url("https://h/t?p=1")).is_empty());
    }

    #[test]
    fn legacy_endpoints_stand_at_the_origin() {
        let endpoints = legacy_endpoints(&url("https://h:8443/mcp/x").origin());
        assert_eq!(endpoints.authorization, "https://h:8443/authorize");
        assert_eq!(endpoints.token, "https://h:8443/token");
        assert_eq!(endpoints.registration, "https://h:8443/register");
    }

    #[test]
    fn a_document_is_read_as_received() {
        let text = r#"{"issuer":"HTTPS://As/","authorization_endpoint":"https://as/a?x=1","token_endpoint":"https://as/t",
            "registration_endpoint":"","revocation_endpoint":null,"scopes_supported":["openid","a b"],
            "code_challenge_methods_supported":["plain","S256"],"token_endpoint_auth_methods_supported":null,
            "authorization_response_iss_parameter_supported":true,"client_id_metadata_document_supported":null,
            "userinfo_endpoint":7}"#;
        let expected = IssuerMetadata {
            issuer: "HTTPS://As/".into(),
            authorization_endpoint: Some("https://as/a?x=1".into()),
            token_endpoint: Some("https://as/t".into()),
            scopes_supported: Some(Scopes::parse("openid").unwrap()),
            code_challenge_methods_supported: Some(vec!["plain".into(), "S256".into()]),
            authorization_response_iss_parameter_supported: true,
            ..IssuerMetadata::default()
        };
        assert_eq!(IssuerMetadata::parse(text.as_bytes()), Ok(expected));
    }

    #[test]
    fn a_document_without_issuer_or_with_a_wrong_type_is_refused() {
        // atk:NET-10
        for text in [
            "{}",
            r#"{"issuer":""}"#,
            r#"{"issuer":["https://as"]}"#,
            r#"{"issuer":"a","issuer":"b"}"#,
            r#"{"issuer":"a","token_endpoint":"b","token_endpoint":"c"}"#,
            r#"{"issuer":"a","token_endpoint":{}}"#,
            r#"{"issuer":"a","code_challenge_methods_supported":"S256"}"#,
            r#"{"issuer":"a","authorization_response_iss_parameter_supported":"true"}"#,
        ] {
            assert!(IssuerMetadata::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn s256_is_advertised_only_by_its_exact_name() {
        // atk:COD-07
        for (methods, expected) in [
            ("null", Pkce::Absent),
            ("[]", Pkce::WithoutS256),
            (r#"["plain"]"#, Pkce::WithoutS256),
            (r#"["s256"]"#, Pkce::WithoutS256),
            (r#"["plain","S256"]"#, Pkce::Advertised),
        ] {
            let text = format!(r#"{{"issuer":"a","code_challenge_methods_supported":{methods}}}"#);
            assert_eq!(IssuerMetadata::parse(text.as_bytes()).unwrap().s256(), expected, "{methods}");
        }
        assert_eq!(IssuerMetadata::parse(br#"{"issuer":"a"}"#).unwrap().s256(), Pkce::Absent);
    }
}
