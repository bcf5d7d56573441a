//! Wire forms: each is parsed and written by one file. No policy, no state.

pub mod authorization;
pub mod bearer_challenge;
pub mod client_auth;
pub mod client_document;
pub mod client_metadata;
pub mod client_redirect;
pub mod client_registration;
mod error_body;
pub mod form;
pub mod id_token;
pub mod issuer_metadata;
pub mod json;
pub mod pkce;
pub mod redirect_uri;
pub mod registration;
pub mod resource;
pub mod resource_metadata;
pub mod retry_after;
pub mod revocation;
pub mod scopes;
pub mod token;
pub(crate) mod token_request;
pub mod url;
pub mod www_authenticate;

/// Why a message of a peer is not acceptable: static text of ours, never the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Invalid(pub &'static str);

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Invalid {}
