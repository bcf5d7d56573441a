//! Protected resource metadata (RFC 9728): where a server names its issuers.

use serde::Deserialize;

use super::scopes::Scopes;
use super::url::HttpUrl;
use super::{Invalid, json, scopes};

/// Where the metadata of a server may be, besides where a challenge says. Texts to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WellKnownUrls {
    /// For the server's own URL: the suffix between host and path (RFC 9728 §3.1).
    pub path_form: String,
    /// For the bare origin; `None` where that is the path form already.
    pub root_form: Option<String>,
}

/// The well-known URLs of a server.
pub fn well_known_urls(server: &HttpUrl) -> WellKnownUrls {
    let root_form = format!("{}/.well-known/oauth-protected-resource", server.origin());
    // Only the slash right after the host goes.
    let path = if server.path() == "/" { "" } else { server.path() };
    let query = server.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path_form = format!("{root_form}{path}{query}");
    WellKnownUrls { root_form: (path_form != root_form).then_some(root_form), path_form }
}

/// What a server publishes about itself. Texts are as received; whether they are acceptable is the caller's question.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ResourceMetadata {
    /// The resource that the document describes.
    #[serde(default)]
    pub resource: String,
    /// The issuers, in the server's order; empty if it names none.
    #[serde(default, deserialize_with = "json::list")]
    pub authorization_servers: Vec<String>,
    /// The oauth scopes that basic use needs. What is not a scope was dropped.
    #[serde(default, deserialize_with = "scopes::optional_advertised")]
    pub scopes_supported: Option<Scopes>,
}

impl ResourceMetadata {
    /// Reads a document. Refused if `resource` is missing or not a text; unknown members are ignored.
    pub fn parse(bytes: &[u8]) -> Result<Self, Invalid> {
        let metadata: Self = json::from_slice(bytes)?;
        // atk:AUD-01
        if metadata.resource.is_empty() {
            return Err(Invalid("`resource` is missing"));
        }
        Ok(metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::super::url::PlainHttp;
    use super::*;

    fn forms(server: &str) -> (String, Option<String>) {
        let urls = well_known_urls(&HttpUrl::parse(server, PlainHttp::Never).unwrap());
        (urls.path_form, urls.root_form)
    }

    #[test]
    fn the_suffix_stands_between_host_and_path() {
        let root = "https://h/.well-known/oauth-protected-resource";
        for (server, behind_root) in [
            ("https://h/mcp", "/mcp"),
            ("https://h/mcp/", "/mcp/"),
            ("https://H:443/a/mcp?x=1", "/a/mcp?x=1"),
            ("https://h?x=1", "?x=1"),
            ("https://h/?x=1", "?x=1"),
        ] {
            assert_eq!(forms(server), (format!("{root}{behind_root}"), Some(root.to_owned())), "{server}");
        }
        assert_eq!(forms("https://h/"), (root.to_owned(), None));
        assert_eq!(forms("https://h"), (root.to_owned(), None));
        assert_eq!(forms("https://h:8443").0, "https://h:8443/.well-known/oauth-protected-resource");
    }

    #[test]
    fn texts_are_kept_as_received_and_unknown_members_ignored() {
        let text = r#"{"resource":"HTTPS://H:443/mcp","authorization_servers":["https://as/","https://b"],
            "scopes_supported":["b","a","not a scope"],"jwks_uri":7,"x":{"resource":"y"}}"#;
        let metadata = ResourceMetadata::parse(text.as_bytes()).unwrap();
        assert_eq!(metadata.resource, "HTTPS://H:443/mcp");
        assert_eq!(metadata.authorization_servers, ["https://as/", "https://b"]);
        assert_eq!(metadata.scopes_supported, Some(Scopes::parse("a b").unwrap()));
    }

    #[test]
    fn optional_members_may_be_absent_or_null() {
        let expected = ResourceMetadata {
            resource: "r".into(),
            authorization_servers: Vec::new(),
            scopes_supported: None,
        };
        for rest in ["", r#","authorization_servers":null,"scopes_supported":null"#] {
            let text = format!(r#"{{"resource":"r"{rest}}}"#);
            assert_eq!(ResourceMetadata::parse(text.as_bytes()).as_ref(), Ok(&expected));
        }
    }

    #[test]
    fn a_resource_that_is_missing_or_no_text_is_refused() {
        // atk:AUD-01
        for text in [
            "{}",
            r#"{"resource":""}"#,
            r#"{"resource":null}"#,
            r#"{"resource":["https://h/mcp"]}"#,
            r#"{"resource":7}"#,
            r#"{"resource":"a","resource":"a"}"#,
            r#"{"resource":"a","authorization_servers":"https://as"}"#,
            r#"{"resource":"a","authorization_servers":[{"issuer":"https://as"}]}"#,
            "<html></html>",
        ] {
            assert!(ResourceMetadata::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(ResourceMetadata::parse(b"{}"), Err(Invalid("`resource` is missing")));
    }
}
