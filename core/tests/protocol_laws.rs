//! Laws of the parsers: they end with a value or a reason on any input, and read what they print as the same.

use grantway_core::protocol::issuer_metadata::{self, IssuerMetadata};
use grantway_core::protocol::resource::covers;
use grantway_core::protocol::resource_metadata::{ResourceMetadata, well_known_urls};
use grantway_core::protocol::scopes::{SCOPES_MAX, Scopes};
use grantway_core::protocol::url::{HttpUrl, PlainHttp};
use grantway_core::protocol::www_authenticate::{self, BearerChallenge, Challenge};
use grantway_core::protocol::{client_metadata, json};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use url::form_urlencoded;

/// Text made of the pieces that a grammar is made of, so that random input gets past its first byte.
fn pieces(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    let piece =
        prop_oneof![4 => proptest::sample::select(pieces).prop_map(str::to_owned), 1 => any::<String>()];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn url_text() -> impl Strategy<Value = String> {
    pieces(&[
        "https://",
        "http://",
        "h.example",
        "127.0.0.1",
        "[::1]",
        ":8443",
        "/",
        "a",
        "..",
        "%2e",
        "%2F",
        "%",
        "?",
        "=",
        "&",
        "+",
        "'",
        "$(x)",
        "@",
        "\\",
        "#",
        ";",
        "|",
    ])
}

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}"
}

/// A challenge as a server means it: scheme, and either one token68 or parameters.
#[derive(Clone, Debug)]
enum Meant {
    Parameters(String, Vec<(String, String, bool)>),
    Token68(String, String),
}

fn meant() -> impl Strategy<Value = Meant> {
    let value = prop_oneof![
        (token(), any::<bool>()),
        ("[ -~\t\u{a0}-\u{17f}]{0,20}".prop_map(|value: String| value), Just(true)),
    ];
    let parameter = (token(), value).prop_map(|(name, (value, quoted))| (name, value, quoted));
    prop_oneof![
        (token(), vec(parameter, 0..5))
            .prop_map(|(scheme, parameters)| Meant::Parameters(scheme, parameters)),
        (token(), "[A-Za-z0-9._~+/-]{1,20}={0,2}")
            .prop_map(|(scheme, token68)| Meant::Token68(scheme, token68)),
    ]
}

/// Writes a challenge, with `blank` wherever the grammar allows blanks.
fn write(meant: &Meant, blank: &str) -> String {
    match meant {
        Meant::Token68(scheme, token68) => format!("{scheme} {blank}{token68}"),
        Meant::Parameters(scheme, parameters) => {
            let write_one = |(name, value, quoted): &(String, String, bool)| match quoted {
                false => format!("{name}{blank}={blank}{value}"),
                true => {
                    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
                    format!("{name}{blank}={blank}\"{escaped}\"")
                }
            };
            let list: Vec<_> = parameters.iter().map(write_one).collect();
            format!("{scheme} {blank}{}", list.join(&format!("{blank},{blank}")))
        }
    }
}

fn is_what_was_meant(challenge: &Challenge, meant: &Meant) -> bool {
    match meant {
        Meant::Token68(scheme, token68) => {
            challenge.scheme() == scheme
                && challenge.token68() == Some(token68)
                && challenge.parameters().count() == 0
        }
        Meant::Parameters(scheme, parameters) => {
            let expected =
                parameters.iter().map(|(name, value, _)| (name.to_ascii_lowercase(), value.clone()));
            let read = challenge.parameters().map(|(name, value)| (name.to_owned(), value.to_owned()));
            challenge.scheme() == scheme && challenge.token68().is_none() && read.eq(expected)
        }
    }
}

proptest! {
    #[test]
    fn challenges_are_read_as_they_were_meant(
        meant in vec(meant(), 0..6), blank in "[ \t]{0,2}", split in any::<bool>(),
    ) {
        let written: Vec<_> = meant.iter().map(|meant| write(meant, &blank)).collect();
        let fields = if split { written } else { vec![written.join(&format!("{blank}, ,"))] };
        let challenges = www_authenticate::parse(fields.iter().map(String::as_str));
        prop_assert_eq!(challenges.len(), meant.len());
        for (challenge, meant) in challenges.iter().zip(&meant) {
            prop_assert!(is_what_was_meant(challenge, meant) && !challenge.is_malformed(), "{challenge:?} {meant:?}");
        }
        let printed: Vec<_> = challenges.iter().map(Challenge::to_string).collect();
        prop_assert_eq!(&www_authenticate::parse(printed.iter().map(String::as_str)), &challenges);
        prop_assert_eq!(&www_authenticate::parse([printed.join(", ").as_str()]), &challenges);
    }

    #[test]
    fn any_challenge_field_is_read_to_an_end_and_printed_safely(
        fields in vec(pieces(&[
            "Bearer", "DPoP", "Basic", " ", ",", "=", "\"", "\\", "scope", "error", "resource_metadata", "abc==",
            "https://h/x", "\t", "\r\n", "é",
        ]), 0..4),
    ) {
        // atk:HDR-02, atk:HDR-01
        let challenges = www_authenticate::parse(fields.iter().map(String::as_str));
        let _ = BearerChallenge::select(&challenges);
        for challenge in &challenges {
            let printed = challenge.to_string();
            prop_assert!(!printed.chars().any(|c| c.is_control() && c != '\t'), "{printed:?}");
            let again = www_authenticate::parse([printed.as_str()]);
            prop_assert!(
                again.len() == 1
                    && again[0].scheme() == challenge.scheme()
                    && again[0].token68() == challenge.token68()
                    && again[0].parameters().eq(challenge.parameters()),
                "{printed}"
            );
        }
    }

    #[test]
    fn a_url_is_refused_or_written_in_safe_bytes_that_mean_the_same(text in url_text()) {
        // atk:URL-01
        let Ok(url) = HttpUrl::parse(&text, PlainHttp::Loopback) else { return Ok(()) };
        prop_assert_eq!(url.received(), &text);
        prop_assert!(url.as_str().starts_with("https://") || url.as_str().starts_with("http://"));
        let behind_origin = url.as_str().strip_prefix(url.origin().as_str()).unwrap();
        prop_assert!(behind_origin.starts_with('/'));
        prop_assert!(behind_origin.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/?&=%@".contains(&byte)));
        let again = HttpUrl::parse(url.as_str(), PlainHttp::Loopback).unwrap();
        prop_assert_eq!(again.as_str(), url.as_str());
        prop_assert_eq!(again.origin(), url.origin());
        // Whoever reads the query as a form reads the same pairs.
        let query = text.split_once('?').map_or("", |(_, query)| query);
        let pairs = |query: &str| form_urlencoded::parse(query.as_bytes()).into_owned().collect::<Vec<_>>();
        prop_assert_eq!(pairs(query), pairs(url.query().unwrap_or_default()));
    }

    #[test]
    fn added_parameters_are_read_back_after_those_already_there(
        text in url_text(), added in vec((any::<String>(), any::<String>()), 0..4),
    ) {
        let Ok(url) = HttpUrl::parse(&text, PlainHttp::Loopback) else { return Ok(()) };
        let pairs: Vec<_> = added.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let opened = url.with_query_pairs(&pairs);
        prop_assert!(opened.starts_with(url.as_str()));
        let (_, query) = opened.split_once('?').unwrap_or((&opened, ""));
        let before = form_urlencoded::parse(url.query().unwrap_or_default().as_bytes()).into_owned();
        let all: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        prop_assert_eq!(all, before.chain(added).collect::<Vec<_>>());
    }

    #[test]
    fn a_resource_covers_nothing_outside_its_origin_and_path(resource in url_text(), url in url_text()) {
        // atk:AUD-06
        let read = |text: &str| HttpUrl::parse(text, PlainHttp::Loopback);
        let (Ok(resource), Ok(url)) = (read(&resource), read(&url)) else { return Ok(()) };
        if covers(&resource, &url) {
            prop_assert!(resource.origin() == url.origin());
            let base = resource.path().trim_end_matches('/');
            let below = url.path().strip_prefix(base);
            prop_assert!(below.is_some_and(|below| below.is_empty() || below.starts_with('/')));
            prop_assert!(!url.has_ambiguous_path());
        }
    }

    #[test]
    fn everything_fetched_for_a_server_or_issuer_is_on_its_own_origin(text in url_text()) {
        let Ok(url) = HttpUrl::parse(&text, PlainHttp::Loopback) else { return Ok(()) };
        let well_known = well_known_urls(&url);
        let mut texts = issuer_metadata::candidates(&url);
        texts.extend([well_known.path_form]);
        texts.extend(well_known.root_form);
        for text in texts {
            // A URL that is near the limit may be beyond it with its suffix, and is then not fetched.
            if let Ok(fetched) = HttpUrl::parse(&text, PlainHttp::Loopback) {
                prop_assert!(fetched.same_origin(&url));
                prop_assert_eq!(fetched.as_str(), &text);
            }
        }
    }

    #[test]
    fn scopes_are_printed_and_read_as_the_same(tokens in vec("[!#-\\[\\]-~]{1,8}", 0..SCOPES_MAX)) {
        let scopes = Scopes::from_tokens(tokens.clone()).unwrap();
        prop_assert_eq!(&Scopes::parse(&scopes.to_string()).unwrap(), &scopes);
        prop_assert_eq!(&Scopes::parse(&tokens.join(" ")).unwrap(), &scopes);
        let stored = serde_json::to_string(&scopes).unwrap();
        prop_assert_eq!(serde_json::from_str::<Scopes>(&stored).unwrap(), scopes);
    }

    #[test]
    fn union_and_difference_make_up_the_whole(a in vec("[a-f]{1}", 0..6), b in vec("[a-f]{1}", 0..6)) {
        let (a, b) = (Scopes::from_tokens(a).unwrap(), Scopes::from_tokens(b).unwrap());
        let all = a.union(&b).unwrap();
        prop_assert!(all.contains_all(&a) && all.contains_all(&b));
        prop_assert_eq!(&a.missing_from(&b).union(&b).unwrap(), &all);
        prop_assert_eq!(a.missing_from(&b).is_empty(), b.contains_all(&a));
    }

    #[test]
    fn any_text_is_a_scope_list_or_is_not(text: String) {
        if let Ok(scopes) = Scopes::parse(&text) {
            prop_assert!(scopes.iter().all(|token| text.split(' ').any(|other| other == token)));
        }
    }

    #[test]
    fn any_bytes_are_a_document_or_are_not(bytes in vec(any::<u8>(), 0..200)) {
        // atk:NET-10
        let _ = ResourceMetadata::parse(&bytes);
        let _ = IssuerMetadata::parse(&bytes);
    }

    #[test]
    fn any_json_is_a_document_or_is_not(text in pieces(&[
        "{", "}", "[", "]", ",", ":", "\"issuer\":", "\"resource\":", "\"a\"", "null", "true", "-1", "1e400", "\"\\ud800\"",
        "\"token_endpoint\":", "\"scopes_supported\":", " ",
    ])) {
        for text in [text.clone(), format!("{{{text}}}")] {
            let _ = ResourceMetadata::parse(text.as_bytes());
            // What is accepted is an object to any other reader too.
            if IssuerMetadata::parse(text.as_bytes()).is_ok() {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|value| value.is_object()));
            }
        }
    }

    #[test]
    fn members_are_read_whatever_stands_between_them(
        issuer in "[^\u{0}]{1,20}", others in btree_map("[x-z]{1,8}", any::<String>(), 0..5),
    ) {
        let mut members: Vec<_> = others.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        members.insert(members.len() / 2, ("issuer", &issuer));
        let write = |(name, value): &(&str, &str)| format!("{}:{}", serde_json::json!(name), serde_json::json!(value));
        let text = format!("{{{}}}", members.iter().map(write).collect::<Vec<_>>().join(","));
        prop_assert_eq!(IssuerMetadata::parse(text.as_bytes()).unwrap().issuer, issuer);
    }

    #[test]
    fn any_text_is_a_content_type_or_client_id_or_is_not(text: String, url in url_text()) {
        let _ = json::is_json_content_type(&text);
        if client_metadata::check_client_id_url(&url).is_ok() {
            prop_assert!(url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")));
            prop_assert!(!url.contains(['?', '#', '\\']) && !url.contains("/../"), "{url}");
        }
    }
}
