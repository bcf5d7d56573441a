//! What the peers of every bench say: one MCP server and one issuer, with documents of the size that real ones have.

use std::fmt::Write as _;

pub(crate) const SERVER: &str = "https://mcp.example.com/mcp";
pub(crate) const RESOURCE_METADATA: &str = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp";
pub(crate) const ISSUER: &str = "https://auth.example.com";
pub(crate) const ISSUER_METADATA: &str = "https://auth.example.com/.well-known/oauth-authorization-server";
pub(crate) const AUTHORIZE: &str = "https://auth.example.com/oauth/authorize";
pub(crate) const TOKEN: &str = "https://auth.example.com/oauth/token";
pub(crate) const REGISTER: &str = "https://auth.example.com/oauth/register";
pub(crate) const BASE_URL: &str = "https://gateway.example.net";
pub(crate) const REDIRECT_URI: &str = "https://gateway.example.net/callback";
pub(crate) const CLIENT_ID: &str = "b3f1c7de-0a52-4e7a-9d43-6f1f3d1b7c11";
pub(crate) const CLIENT_NAME: &str = "Example gateway";
pub(crate) const SCOPES: &str = "files:read files:write profile";
/// The code of every callback.
pub(crate) const CODE: &str = "SplxlOBeZQQYbYS6WxSbIA2kq0vG7tUJmR8nXw";

/// The `WWW-Authenticate` of a 401.
pub(crate) const CHALLENGE: &str = "Bearer realm=\"OAuth\", \
    resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource/mcp\", \
    scope=\"files:read files:write profile\", error=\"invalid_token\", \
    error_description=\"Missing or invalid access token\"";

/// RFC 9728, 0.4 KB.
pub(crate) const RESOURCE_DOCUMENT: &str = r#"{"resource":"https://mcp.example.com/mcp","authorization_servers":["https://auth.example.com"],"scopes_supported":["files:read","files:write","profile"],"bearer_methods_supported":["header"],"resource_name":"Example files","resource_documentation":"https://docs.example.com/mcp","resource_policy_uri":"https://example.com/policy","resource_tos_uri":"https://example.com/terms"}"#;

/// RFC 8414, 1.5 KB.
pub(crate) const ISSUER_DOCUMENT: &str = r#"{"issuer":"https://auth.example.com","authorization_endpoint":"https://auth.example.com/oauth/authorize","token_endpoint":"https://auth.example.com/oauth/token","registration_endpoint":"https://auth.example.com/oauth/register","revocation_endpoint":"https://auth.example.com/oauth/revoke","introspection_endpoint":"https://auth.example.com/oauth/introspect","jwks_uri":"https://auth.example.com/.well-known/jwks.json","scopes_supported":["files:read","files:write","profile","admin:read","admin:write"],"response_types_supported":["code"],"response_modes_supported":["query","form_post"],"grant_types_supported":["authorization_code","refresh_token","client_credentials"],"token_endpoint_auth_methods_supported":["none","client_secret_basic","client_secret_post"],"revocation_endpoint_auth_methods_supported":["none","client_secret_basic"],"introspection_endpoint_auth_methods_supported":["client_secret_basic"],"code_challenge_methods_supported":["S256"],"authorization_response_iss_parameter_supported":true,"client_id_metadata_document_supported":false,"service_documentation":"https://docs.example.com/oauth","ui_locales_supported":["en","de","fr","es","ja","pt-BR"],"op_policy_uri":"https://example.com/policy","op_tos_uri":"https://example.com/terms","subject_types_supported":["public"],"id_token_signing_alg_values_supported":["RS256","ES256"],"claims_supported":["sub","iss","aud","exp","iat"],"request_uri_parameter_supported":false}"#;

/// RFC 7591, 0.4 KB.
pub(crate) const REGISTRATION_DOCUMENT: &str = r#"{"client_id":"b3f1c7de-0a52-4e7a-9d43-6f1f3d1b7c11","client_id_issued_at":1767225600,"client_name":"Example gateway","redirect_uris":["https://gateway.example.net/callback"],"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"token_endpoint_auth_method":"none","application_type":"web","registration_client_uri":"https://auth.example.com/oauth/register/b3f1c7de-0a52-4e7a-9d43-6f1f3d1b7c11"}"#;

/// A token response of 1.5 KB; responses with different numbers hold different tokens.
pub(crate) fn token_response(number: u64) -> String {
    let mut body = String::with_capacity(1600);
    let claims = "eyJpc3MiOiJodHRwczovL2F1dGguZXhhbXBsZS5jb20iLCJzdWIiOiJ1c2VyIn0".repeat(18);
    let _ = write!(
        body,
        r#"{{"access_token":"eyJhbGciOiJFUzI1NiJ9.{claims}.{number:032x}","token_type":"Bearer","expires_in":3600,"refresh_token":"rt_{}{number:032x}","scope":"{SCOPES}"}}"#,
        "q7Yc".repeat(16),
    );
    body
}
