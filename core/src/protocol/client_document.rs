//! The metadata document of a client that signs in here (CIMD), read at the URL that is its client id.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Invalid;
use super::client_redirect::ClientRedirect;
use super::client_registration::{acceptable, check_types, cleaned};
use super::json::{self, list, optional_text};

/// What the document says, as far as anything here acts on it. It describes a client without a secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientDocument {
    /// The name it gives itself, without control characters, cut.
    pub name: String,
    /// The acceptable ones of its redirect URIs, each once, in its order; at least one.
    pub redirect_uris: Vec<ClientRedirect>,
    /// Whether it wants refresh tokens.
    pub refreshes: bool,
}

impl ClientDocument {
    /// Reads the document that was found at `url`. Unknown members are ignored, and no URL in it is ever asked; `allowed` is as for
    /// [`ClientRedirect::parse`].
    ///
    /// # Errors
    /// Not a JSON object of the right types, another `client_id` than the URL, a secret or a method that is built on one, no name, no
    /// acceptable redirect URI.
    pub fn parse(body: &[u8], url: &str, allowed: &[String]) -> Result<Self, Invalid> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(default, deserialize_with = "optional_text")]
            client_id: Option<String>,
            #[serde(default, deserialize_with = "optional_text")]
            client_name: Option<String>,
            #[serde(default, deserialize_with = "list")]
            redirect_uris: Vec<String>,
            #[serde(default, deserialize_with = "optional_text")]
            token_endpoint_auth_method: Option<String>,
            grant_types: Option<Vec<String>>,
            response_types: Option<Vec<String>>,
            client_secret: Option<IgnoredAny>,
            client_secret_expires_at: Option<IgnoredAny>,
        }
        let wire: Wire = json::from_slice(body).map_err(|_| MALFORMED)?;
        //= spec/cimd.md#4-1
        //# A client's document MUST be a JSON object with the required members, its own URL as `client_id`
        //# and no shared secret (REG-22, S).
        // atk:NET-07
        if wire.client_id.as_deref() != Some(url) {
            return Err(OTHER_CLIENT);
        }
        if wire.client_secret.is_some() || wire.client_secret_expires_at.is_some() {
            return Err(SHARED_SECRET);
        }
        match wire.token_endpoint_auth_method.as_deref() {
            // There is no shared secret, and so no other method is left.
            None | Some("none") => {}
            // Taking a client that signs for one that does not would let anybody speak for it.
            Some(_) => return Err(SHARED_SECRET),
        }
        let refreshes = check_types(wire.grant_types.as_deref(), wire.response_types.as_deref())
            .map_err(|_| OTHER_TYPES)?;
        let name = wire.client_name.as_deref().and_then(cleaned).ok_or(NO_NAME)?;
        let redirect_uris = acceptable(&wire.redirect_uris, allowed).map_err(|_| NO_REDIRECT)?;
        Ok(Self { name, redirect_uris, refreshes })
    }
}

const MALFORMED: Invalid = Invalid("the document is not a JSON object of the right types");
const OTHER_CLIENT: Invalid = Invalid("the document's `client_id` is not its URL");
const SHARED_SECRET: Invalid = Invalid("the document names another authentication method than `none`");
const OTHER_TYPES: Invalid = Invalid("the document does not list `authorization_code` and `code`");
const NO_NAME: Invalid = Invalid("the document has no `client_name`");
const NO_REDIRECT: Invalid = Invalid("the document has no acceptable redirect URI");

/// Everything that [`ClientDocument::parse`] can say, for those who keep it.
pub(crate) const REASONS: [Invalid; 6] =
    [MALFORMED, OTHER_CLIENT, SHARED_SECRET, OTHER_TYPES, NO_NAME, NO_REDIRECT];

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const URL: &str = "https://c.good/client.json";

    fn parse(change: impl FnOnce(&mut Value)) -> Result<ClientDocument, Invalid> {
        let mut document = json!({
            "client_id": URL,
            "client_name": "Good",
            "redirect_uris": ["http://localhost/callback", "https://c.good/cb"],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "logo_uri": "http://169.254.169.254/",
            "jwks_uri": "http://127.0.0.1/",
        });
        change(&mut document);
        ClientDocument::parse(document.to_string().as_bytes(), URL, &[])
    }

    //= spec/cimd.md#4-1
    //= type=test
    //# A client's document MUST be a JSON object with the required members, its own URL as `client_id` and no
    //# shared secret (REG-22, S).
    #[test]
    fn a_document_is_read_and_unknown_members_are_ignored() {
        let document = parse(|_| {}).unwrap();
        let uris: Vec<_> = document.redirect_uris.iter().map(ClientRedirect::as_str).collect();
        assert_eq!(uris, ["http://localhost/callback", "https://c.good/cb"]);
        assert_eq!((document.name.as_str(), document.refreshes), ("Good", true));
        let bare = parse(|it| {
            for member in ["grant_types", "response_types", "token_endpoint_auth_method"] {
                it.as_object_mut().unwrap().remove(member);
            }
            it["redirect_uris"] = json!(["cursor://x/cb", "https://c.good/cb"]);
        })
        .unwrap();
        assert_eq!((bare.redirect_uris.len(), bare.refreshes), (1, false));
    }

    //= spec/cimd.md#4-1
    //= type=test
    //# A client's document MUST be a JSON object with the required members, its own URL as `client_id` and no
    //# shared secret (REG-22, S).
    // atk:NET-07
    #[test]
    fn a_document_that_is_not_the_clients_own_or_shares_a_secret_is_refused() {
        for (member, value, expected) in [
            ("client_id", json!("https://c.good/client.json/"), OTHER_CLIENT),
            ("client_id", json!("https://C.good/client.json"), OTHER_CLIENT),
            ("client_id", json!("https://c.good:443/client.json"), OTHER_CLIENT),
            ("client_id", json!("https://evil.example/client.json"), OTHER_CLIENT),
            ("client_id", json!(""), OTHER_CLIENT),
            ("client_id", Value::Null, OTHER_CLIENT),
            ("client_id", json!([URL]), MALFORMED),
            ("client_secret", json!("s"), SHARED_SECRET),
            ("client_secret", json!(7), SHARED_SECRET),
            ("client_secret_expires_at", json!(0), SHARED_SECRET),
            ("token_endpoint_auth_method", json!("client_secret_post"), SHARED_SECRET),
            ("token_endpoint_auth_method", json!("client_secret_basic"), SHARED_SECRET),
            ("token_endpoint_auth_method", json!("client_secret_jwt"), SHARED_SECRET),
            ("token_endpoint_auth_method", json!("private_key_jwt"), SHARED_SECRET),
            ("grant_types", json!(["client_credentials"]), OTHER_TYPES),
            ("response_types", json!(["token"]), OTHER_TYPES),
            ("client_name", Value::Null, NO_NAME),
            ("client_name", json!(" \n"), NO_NAME),
            ("client_name", json!(["a"]), MALFORMED),
            ("redirect_uris", json!([]), NO_REDIRECT),
            ("redirect_uris", json!(["http://evil.example/cb", "javascript:alert(1)"]), NO_REDIRECT),
            ("redirect_uris", json!("https://c.good/cb"), MALFORMED),
        ] {
            let told = value.to_string();
            assert_eq!(parse(|it| it[member] = value), Err(expected), "{member}: {told}");
            assert!(REASONS.contains(&expected));
        }
        assert_eq!(ClientDocument::parse(b"<html>", URL, &[]), Err(MALFORMED));
        let twice = format!(r#"{{"client_id":"{URL}","client_id":"{URL}"}}"#);
        assert_eq!(ClientDocument::parse(twice.as_bytes(), URL, &[]), Err(MALFORMED));
    }
}
