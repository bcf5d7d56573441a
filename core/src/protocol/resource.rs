//! The canonical resource: the URI sent as `resource` and expected as audience (RFC 8707 §2).
//!
//! Whether a text may be one (absolute, `https`, no fragment) is what [`HttpUrl::parse`] checks; the text sent and
//! compared is always [`HttpUrl::received`].

use super::url::HttpUrl;

/// Whether a grant for `resource` may be used for a request to `url`: same origin, and the path equal or below.
///
/// A resource with a query covers the same query only. A URL, or resource, whose path servers resolve in different
/// ways is never covered.
pub fn covers(resource: &HttpUrl, url: &HttpUrl) -> bool {
    // atk:AUD-02, atk:AUD-06
    if !resource.same_origin(url) || resource.has_ambiguous_path() || url.has_ambiguous_path() {
        return false;
    }
    if resource.query().is_some() && resource.query() != url.query() {
        return false;
    }
    match url.path().strip_prefix(resource.path()) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || resource.path().ends_with('/'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::url::PlainHttp;
    use super::*;

    fn is_covered(resource: &str, url: &str) -> bool {
        let read = |text| HttpUrl::parse(text, PlainHttp::Loopback).unwrap();
        covers(&read(resource), &read(url))
    }

    #[test]
    fn the_same_path_and_those_below_are_covered() {
        for (resource, url) in [
            ("https://h/mcp", "https://h/mcp"),
            ("https://h/mcp", "HTTPS://H:443/mcp?session=1"),
            ("https://h/mcp", "https://h/mcp/"),
            ("https://h/mcp", "https://h/mcp/a/b"),
            ("https://h/mcp/", "https://h/mcp/a"),
            ("https://h", "https://h/"),
            ("https://h", "https://h/any/path"),
            ("https://h/mcp?tenant=a", "https://h/mcp?tenant=a"),
            ("http://127.0.0.1:3000/mcp", "http://127.0.0.1:3000/mcp"),
        ] {
            assert!(is_covered(resource, url), "{resource} {url}");
        }
    }

    #[test]
    fn other_origins_siblings_and_parents_are_not_covered() {
        // atk:AUD-02, atk:AUD-06
        for (resource, url) in [
            ("https://h/mcp", "https://evil/mcp"),
            ("https://h/mcp", "https://h:8443/mcp"),
            ("https://h/mcp", "https://h.evil/mcp"),
            ("https://localhost/mcp", "http://localhost/mcp"),
            ("https://h/mcp", "https://h/"),
            ("https://h/mcp", "https://h/mcp2"),
            ("https://h/mcp", "https://h/MCP"),
            ("https://h/mcp", "https://h/mc%70"),
            ("https://h/mcp", "https://h//mcp"),
            ("https://h/mcp/", "https://h/mcp"),
            ("https://h/alice/mcp", "https://h/mallory/mcp"),
            ("https://h/alice/mcp", "https://h/alice"),
            ("https://h/mcp?tenant=a", "https://h/mcp?tenant=b"),
            ("https://h/mcp?tenant=a", "https://h/mcp"),
        ] {
            assert!(!is_covered(resource, url), "{resource} {url}");
        }
    }

    #[test]
    fn dot_segments_and_encoded_slashes_are_never_covered() {
        // atk:AUD-02, atk:AUD-06
        for url in [
            "https://h/alice/mcp/../../mallory",
            "https://h/alice/mcp/..",
            "https://h/alice/mcp/.",
            "https://h/alice/./mcp",
            "https://h/mallory/../alice/mcp",
            "https://h/alice/mcp/%2e%2e/x",
            "https://h/alice/mcp/%2E./x",
            "https://h/alice/mcp/%2f..",
            "https://h/alice/mcp/..%2fx",
            "https://h/alice/mcp/..%5Cx",
            "https://h/alice/mcp/..;/x",
            "https://h/alice/mcp/%252e%252e/x",
        ] {
            assert!(!is_covered("https://h/alice/mcp", url), "{url}");
        }
        assert!(!is_covered("https://h/x/../mcp", "https://h/mcp"));
    }
}
