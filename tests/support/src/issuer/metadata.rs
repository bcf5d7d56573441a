//! Authorization server metadata (RFC 8414, OpenID Connect Discovery).

use serde_json::{Value, json};

use super::{AuthMethod, Endpoint, State, WellKnown};
use crate::message::{Request, Response};

impl State {
    pub(super) fn metadata_paths(&self) -> Vec<String> {
        let path = self.path();
        let place = |form: &WellKnown| match form {
            WellKnown::OAuth => format!("/.well-known/oauth-authorization-server{path}"),
            WellKnown::OpenIdInserted => format!("/.well-known/openid-configuration{path}"),
            WellKnown::OpenIdAppended => format!("{path}/.well-known/openid-configuration"),
        };
        self.behaviour.metadata_at.iter().map(place).collect()
    }

    pub(super) fn metadata(&self, request: &Request) -> Response {
        let behaviour = &self.behaviour;
        let methods: Vec<_> = behaviour.auth_methods.iter().copied().map(AuthMethod::as_str).collect();
        let mut document = json!({
            "issuer": self.issuer,
            "authorization_endpoint": self.endpoint(Endpoint::Authorize),
            "token_endpoint": self.endpoint(Endpoint::Token),
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": methods,
        });
        let mut say = |member: &str, value: Value| document[member] = value;
        if behaviour.dynamic_registration {
            say("registration_endpoint", json!(self.endpoint(Endpoint::Register)));
        }
        if behaviour.revocation {
            say("revocation_endpoint", json!(self.endpoint(Endpoint::Revoke)));
            say("revocation_endpoint_auth_methods_supported", json!(methods));
        }
        if let Some(scopes) = &behaviour.scopes_supported {
            say("scopes_supported", json!(scopes));
        }
        if behaviour.advertises_iss {
            say("authorization_response_iss_parameter_supported", json!(true));
        }
        if behaviour.client_id_documents {
            say("client_id_metadata_document_supported", json!(true));
        }
        if request.path().contains("openid-configuration") {
            say("jwks_uri", json!(format!("{}{}/jwks", self.origin(), self.path())));
            say("subject_types_supported", json!(["public"]));
            say("id_token_signing_alg_values_supported", json!(["RS256"]));
        }
        Response::json(200, &behaviour.metadata_edits.apply(document))
    }
}
