//! The client metadata document (CIMD): what an issuer reads at the URL that is our client id.

use serde::Serialize;

use super::Invalid;
use super::url::{HttpUrl, PlainHttp};

/// What kind of application a client is (OpenID Connect Dynamic Client Registration §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ApplicationType {
    /// On the person's own machine: desktop, command line, loopback redirects.
    Native,
    /// A site that the person's browser visits.
    Web,
}

/// Our document. It describes a public client; there is no member for a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientMetadata<'a> {
    client_id: &'a str,
    client_name: &'a str,
    redirect_uris: &'a [&'a str],
    grant_types: [&'static str; 2],
    response_types: [&'static str; 1],
    token_endpoint_auth_method: &'static str,
    application_type: ApplicationType,
}

impl<'a> ClientMetadata<'a> {
    /// A document for the client id, which is exactly the URL that it is served at. The URL is checked
    /// ([`check_client_id_url`]).
    pub fn new(
        client_id: &'a str,
        client_name: &'a str,
        redirect_uris: &'a [&'a str],
        application_type: ApplicationType,
    ) -> Result<Self, Invalid> {
        check_client_id_url(client_id)?;
        Ok(Self {
            client_id,
            client_name,
            redirect_uris,
            grant_types: ["authorization_code", "refresh_token"],
            response_types: ["code"],
            //= spec/cimd.md#4-1
            //# Our CIMD document MUST state its own URL as `client_id`, with `client_name` and
            //# `redirect_uris`, and hold no secret and no shared-secret method (REG-09, U).
            token_endpoint_auth_method: "none",
            application_type,
        })
    }

    /// The document, `application/json`.
    pub fn to_json(&self) -> String {
        // INVARIANT: texts and arrays of texts are always serializable, so there is no error to report.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Whether a URL may be a client id: `https`, with a path, and without dot segments, fragment, user information or
/// query. A port is allowed.
pub fn check_client_id_url(text: &str) -> Result<(), Invalid> {
    //= spec/cimd.md#3
    //# A CIMD URL MUST be https with a path and without dot segments, fragment or userinfo, and SHOULD NOT
    //# have a query, while a port is allowed (REG-08, U).
    // atk:NET-07
    let url = HttpUrl::parse(text, PlainHttp::Never)?;
    if matches!(url.received_path(), "" | "/") {
        return Err(Invalid("the client id has no path"));
    }
    if url.has_ambiguous_path() {
        return Err(Invalid("the client id has dot segments or encoded slashes in its path"));
    }
    if url.query().is_some() {
        return Err(Invalid("the client id has a query"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/cimd.md#4-1
    //= type=test
    //# Our CIMD document MUST state its own URL as `client_id`, with `client_name` and `redirect_uris`, and
    //# hold no secret and no shared-secret method (REG-09, U).
    #[test]
    fn the_document_names_a_public_client_by_its_own_url() {
        let redirects = ["https://gw.example/callback", "http://127.0.0.1/callback"];
        let url = "https://gw.example:8443/client.json";
        let document = ClientMetadata::new(url, "Grant \"way\"", &redirects, ApplicationType::Web).unwrap();
        assert_eq!(
            document.to_json(),
            "{\"client_id\":\"https://gw.example:8443/client.json\",\"client_name\":\"Grant \\\"way\\\"\",\
             \"redirect_uris\":[\"https://gw.example/callback\",\"http://127.0.0.1/callback\"],\
             \"grant_types\":[\"authorization_code\",\"refresh_token\"],\"response_types\":[\"code\"],\
             \"token_endpoint_auth_method\":\"none\",\"application_type\":\"web\"}"
        );
    }

    //= spec/cimd.md#3
    //= type=test
    //# A CIMD URL MUST be https with a path and without dot segments, fragment or userinfo, and SHOULD NOT
    //# have a query, while a port is allowed (REG-08, U).
    #[test]
    fn a_url_that_no_issuer_would_accept_is_no_client_id() {
        // atk:NET-07
        for text in [
            "https://h",
            "https://h/",
            "http://h/client.json",
            "http://localhost/client.json",
            "https://h/client.json#x",
            "https://h/client.json?x",
            "https://h/client.json?",
            "https://u@h/client.json",
            "https://h/a/../client.json",
            "https://h/./client.json",
            "https://h/%2e%2e/client.json",
            "h/client.json",
        ] {
            assert!(check_client_id_url(text).is_err(), "{text}");
            assert!(ClientMetadata::new(text, "n", &[], ApplicationType::Native).is_err(), "{text}");
        }
        assert_eq!(check_client_id_url("https://h:8443/a/client.json"), Ok(()));
    }
}
