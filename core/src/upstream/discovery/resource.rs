//! Where a server's resource metadata may be, and what it must say to be believed.

use std::collections::VecDeque;

use super::step::Asked;
use crate::error::{Code, Failure};
use crate::protocol::resource_metadata::{ResourceMetadata, well_known_urls};
use crate::protocol::url::{HttpUrl, PlainHttp};
use crate::store::records::DocumentSource;

/// One place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Candidate {
    pub(super) source: DocumentSource,
    pub(super) url: HttpUrl,
}

impl Candidate {
    pub(super) fn asked(&self) -> Asked {
        match self.source {
            DocumentSource::Challenge => Asked::ResourceMetadata,
            DocumentSource::Issuer => Asked::IssuerMetadata,
            DocumentSource::PathForm => Asked::ResourceMetadataPathForm,
            DocumentSource::RootForm => Asked::ResourceMetadataRootForm,
        }
    }
}

/// The candidates in their order: what a challenge named, the path form, and the root form only if no challenge named a URL.
///
/// # Errors
/// Our own well-known URLs are not acceptable, which a checked server URL excludes.
pub(super) fn candidates(
    server: &HttpUrl,
    named: Option<HttpUrl>,
    plain: PlainHttp,
) -> Result<VecDeque<Candidate>, Failure> {
    let forms = well_known_urls(server);
    let read = |text: &str| {
        HttpUrl::parse(text, plain).map_err(|invalid| Failure::new(Code::UrlRefused).because(invalid.0))
    };
    let path_form = Candidate { source: DocumentSource::PathForm, url: read(&forms.path_form)? };
    let root_form = match (&named, forms.root_form) {
        //= spec/mcp-2026-07-28.md#disc-protected-resource-metadata-discovery-requirements
        //# The root document MUST stay unasked once an earlier source has answered or a challenge has named a
        //# URL (PRM-10, U).
        (None, Some(url)) => Some(Candidate { source: DocumentSource::RootForm, url: read(&url)? }),
        _ => None,
    };
    let path_form =
        Some(path_form).filter(|form| named.as_ref().is_none_or(|named| named.as_str() != form.url.as_str()));
    let named = named.map(|url| Candidate { source: DocumentSource::Challenge, url });
    //= spec/mcp-2026-07-28.md#disc-protected-resource-metadata-discovery-requirements
    //# Protected resource metadata MUST be sought in this order: the challenge's URL, the well-known URL with
    //# the path inserted, the one at the root (PRM-09, U).
    //= spec/mcp-2026-07-28.md#disc-protected-resource-metadata-discovery-requirements
    //# When a challenge names `resource_metadata`, the engine MUST use that URL and not guess another
    //# (CH-04, U).
    Ok(named.into_iter().chain(path_form).chain(root_form).collect())
}

/// The URL that a challenge named, if it may be asked: on the server's own origin, or by waiver on another, but never
/// `http` for an `https` server.
///
/// # Errors
/// `peer_misbehaved.url_refused`.
pub(super) fn named_url(
    server: &HttpUrl,
    named: &str,
    foreign_is_waived: bool,
    plain: PlainHttp,
) -> Result<HttpUrl, Failure> {
    let refused = |reason| Failure::new(Code::UrlRefused).because(reason);
    let url = HttpUrl::parse(named, plain).map_err(|invalid| refused(invalid.0))?;
    let is_https = |url: &HttpUrl| url.as_str().starts_with("https:");
    // atk:HDR-03
    if is_https(server) && !is_https(&url) {
        return Err(refused("`resource_metadata` is not `https`, but the server is"));
    }
    if !url.same_origin(server) && !foreign_is_waived {
        return Err(refused("`resource_metadata` is on another origin than the server"));
    }
    Ok(url)
}

/// A document that was believed.
#[derive(Debug)]
pub(super) struct Believed {
    pub(super) metadata: ResourceMetadata,
    /// It describes the whole origin of a server that has a path.
    pub(super) parent: bool,
}

/// Reads a document and checks that it is about what its URL stands for.
///
/// # Errors
/// `peer_misbehaved.resource_metadata_invalid`, `peer_misbehaved.resource_mismatch`.
pub(super) fn check(server: &HttpUrl, source: DocumentSource, document: &[u8]) -> Result<Believed, Failure> {
    let invalid = |reason| Failure::new(Code::ResourceMetadataInvalid).because(reason);
    let metadata = ResourceMetadata::parse(document).map_err(|error| invalid(error.0))?;
    let origin = server.origin();
    let is_bare = server.path() == "/" && server.query().is_none();
    let is_origin = metadata.resource == origin.as_str();
    //= spec/rfc9728.md#3-3
    //# The engine MUST refuse a document whose `resource` is not exactly what its URL stands for: the
    //# requested URL when a challenge named it, the server URL for the path form, the bare origin for the
    //# root form (PRM-12, U).
    // atk:AUD-01, atk:AUD-02
    let (stands, parent) = match source {
        DocumentSource::RootForm => (is_origin, !is_bare),
        // COMPAT: `https://h/` and `https://h` have one well-known URL, so a document there may name either.
        _ => (metadata.resource == server.received() || (is_bare && is_origin), false),
    };
    //= spec/rfc9728.md#3-3
    //# After such a mismatch the engine MUST stop before it registers or asks for authorization (PRM-13, U).
    if !stands {
        return Err(Code::ResourceMismatch.into());
    }
    if metadata.authorization_servers.is_empty() {
        return Err(invalid("`authorization_servers` names no issuer"));
    }
    Ok(Believed { metadata, parent })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> HttpUrl {
        HttpUrl::parse(text, PlainHttp::Loopback).unwrap()
    }

    fn order(server: &str, named: Option<&str>) -> Vec<(Asked, String)> {
        candidates(&url(server), named.map(url), PlainHttp::Loopback)
            .unwrap()
            .into_iter()
            .map(|candidate| (candidate.asked(), candidate.url.as_str().to_owned()))
            .collect()
    }

    //= spec/mcp-2026-07-28.md#disc-protected-resource-metadata-discovery-requirements
    //= type=test
    //# Protected resource metadata MUST be sought in this order: the challenge's URL, the well-known URL with
    //# the path inserted, the one at the root (PRM-09, U).
    //= spec/mcp-2026-07-28.md#disc-protected-resource-metadata-discovery-requirements
    //= type=test
    //# The root document MUST stay unasked once an earlier source has answered or a challenge has named a URL
    //# (PRM-10, U).
    #[test]
    fn the_root_form_is_a_candidate_only_if_no_challenge_named_a_url() {
        let well_known = "https://h.example/.well-known/oauth-protected-resource";
        let path_form = format!("{well_known}/a/mcp");
        assert_eq!(
            order("https://h.example/a/mcp", None),
            [
                (Asked::ResourceMetadataPathForm, path_form.clone()),
                (Asked::ResourceMetadataRootForm, well_known.to_owned())
            ]
        );
        assert_eq!(
            order("https://h.example/a/mcp", Some("https://h.example/custom.json")),
            [
                (Asked::ResourceMetadata, "https://h.example/custom.json".to_owned()),
                (Asked::ResourceMetadataPathForm, path_form.clone())
            ]
        );
        assert_eq!(
            order("https://h.example/a/mcp", Some(&path_form)),
            [(Asked::ResourceMetadata, path_form.clone())]
        );
        assert_eq!(
            order("https://h.example", None),
            [(Asked::ResourceMetadataPathForm, well_known.to_owned())]
        );
    }

    // atk:HDR-03
    #[test]
    fn a_challenge_names_a_place_on_the_servers_own_origin() {
        let named = |server: &str, named: &str, waived| {
            named_url(&url(server), named, waived, PlainHttp::Loopback).map_err(|failure| failure.slug())
        };
        let refused = Err("peer_misbehaved.url_refused");
        assert!(named("https://h.example/mcp", "https://h.example/prm", false).is_ok());
        for text in [
            "https://evil.example/prm",
            "https://h.example:8443/prm",
            "http://h.example/prm",
            "http://localhost/prm",
            "/prm",
            "javascript:alert(1)",
            "https://h.example@evil.example/prm",
        ] {
            assert_eq!(named("https://h.example/mcp", text, false), refused, "{text}");
        }
        assert!(named("https://h.example/mcp", "https://other.example/prm", true).is_ok());
        assert_eq!(named("https://h.example/mcp", "http://localhost/prm", true), refused);
        assert!(named("http://localhost:1/mcp", "http://localhost:1/prm", false).is_ok());
    }

    fn checked(server: &str, source: DocumentSource, resource: &str) -> Result<bool, &'static str> {
        let document = format!(r#"{{"resource":{resource},"authorization_servers":["https://as.example"]}}"#);
        check(&url(server), source, document.as_bytes())
            .map(|believed| believed.parent)
            .map_err(|failure| failure.slug())
    }

    //= spec/rfc9728.md#3-3
    //= type=test
    //# The engine MUST refuse a document whose `resource` is not exactly what its URL stands for: the
    //# requested URL when a challenge named it, the server URL for the path form, the bare origin for the
    //# root form (PRM-12, U).
    // atk:AUD-01, atk:AUD-02
    #[test]
    fn a_document_describes_exactly_what_its_url_stands_for() {
        let server = "https://host.example/alice/mcp";
        let mismatch = Err("peer_misbehaved.resource_mismatch");
        let invalid = Err("peer_misbehaved.resource_metadata_invalid");
        for source in [DocumentSource::Challenge, DocumentSource::PathForm] {
            assert_eq!(checked(server, source, r#""https://host.example/alice/mcp""#), Ok(false));
            for resource in [
                "https://evil.example/mcp",
                "https://host.example",
                "https://host.example/",
                "https://host.example/alice",
                "https://host.example/alice/mcp/",
                "https://host.example/alice/mcp%2f..",
                "https://host.example/ALICE/mcp",
                "https://HOST.example/alice/mcp",
                "https://host.example:443/alice/mcp",
                "https://host.example/alice/mcp?tenant=b",
                "https://host.example/alice/mcp#f",
            ] {
                assert_eq!(checked(server, source, &format!("\"{resource}\"")), mismatch, "{resource}");
            }
            for resource in ["null", "\"\"", "7", r#"["https://host.example/alice/mcp"]"#] {
                assert_eq!(checked(server, source, resource), invalid, "{resource}");
            }
        }
        assert_eq!(checked(server, DocumentSource::RootForm, r#""https://host.example""#), Ok(true));
        for resource in ["https://host.example/", "https://host.example/alice/mcp", "https://evil.example"] {
            let resource = format!("\"{resource}\"");
            assert_eq!(checked(server, DocumentSource::RootForm, &resource), mismatch, "{resource}");
        }
    }

    #[test]
    fn a_server_without_a_path_may_be_named_as_its_origin() {
        let path_form = DocumentSource::PathForm;
        assert_eq!(checked("https://h.example/", path_form, r#""https://h.example""#), Ok(false));
        assert_eq!(checked("https://h.example/", path_form, r#""https://h.example/""#), Ok(false));
        assert_eq!(checked("https://h.example", path_form, r#""https://h.example""#), Ok(false));
        let mismatch = Err("peer_misbehaved.resource_mismatch");
        assert_eq!(checked("https://h.example", path_form, r#""https://h.example/""#), mismatch);
        assert_eq!(checked("https://h.example/?x", path_form, r#""https://h.example""#), mismatch);
    }

    #[test]
    fn a_document_without_an_issuer_is_not_usable() {
        let document = br#"{"resource":"https://h.example/mcp","authorization_servers":[]}"#;
        let failure = check(&url("https://h.example/mcp"), DocumentSource::PathForm, document).unwrap_err();
        assert_eq!(failure.slug(), "peer_misbehaved.resource_metadata_invalid");
    }
}
