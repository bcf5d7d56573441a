//! URLs, and what is made of them.

use std::net::IpAddr;

use form_urlencoded::parse as form_pairs;
use grantway_core::address::AddressPolicy;
use grantway_core::protocol::issuer_metadata;
use grantway_core::protocol::redirect_uri::RedirectUri;
use grantway_core::protocol::resource::covers;
use grantway_core::protocol::resource_metadata::well_known_urls;
use grantway_core::protocol::url::{HttpUrl, PlainHttp, URL_MAX_BYTES};

use crate::input::{lines, text};

/// A URL, and on further lines names and values to be added to its query.
///
/// # Panics
/// A law is broken.
pub fn url(data: &[u8]) {
    let lines = lines(data);
    let Ok(url) = HttpUrl::parse(&lines[0], PlainHttp::Loopback) else { return };
    assert_eq!(url.received(), lines[0]);
    assert!(url.as_str().len() <= URL_MAX_BYTES);
    match HttpUrl::parse(&lines[0], PlainHttp::Never) {
        Ok(same) => assert!(same == url && url.as_str().starts_with("https://")),
        Err(_) => assert!(url.as_str().starts_with("http://")),
    }
    let behind = url.as_str().strip_prefix(url.origin().as_str()).expect("a URL begins with its origin");
    assert!(behind.starts_with('/') && behind.bytes().all(is_harmless), "{behind}");
    let again = HttpUrl::parse(url.as_str(), PlainHttp::Loopback).expect("what is written can be read");
    assert!(again.as_str() == url.as_str() && again.same_origin(&url));

    let well_known = well_known_urls(&url);
    let fetched = issuer_metadata::candidates(&url)
        .into_iter()
        .chain([well_known.path_form])
        .chain(well_known.root_form)
        .filter_map(|text| HttpUrl::parse(&text, PlainHttp::Loopback).ok());
    for fetched in fetched {
        assert!(fetched.same_origin(&url));
    }

    let added: Vec<_> = lines[1..].iter().map(|line| line.split_once('=').unwrap_or((line, ""))).collect();
    let opened = url.with_query_pairs(&added);
    assert!(
        opened.starts_with(url.as_str()) && opened[url.origin().as_str().len()..].bytes().all(is_harmless)
    );
    let query = opened.split_once('?').map_or("", |(_, query)| query);
    let before = form_pairs(url.query().unwrap_or_default().as_bytes()).into_owned();
    let expected = before.chain(added.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    assert!(form_pairs(query.as_bytes()).into_owned().eq(expected), "{opened}");
}

fn is_harmless(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?&=%@".contains(&byte)
}

/// Two URLs, a line each: a resource and where a request goes.
///
/// # Panics
/// A law is broken.
pub fn resource(data: &[u8]) {
    let lines = lines(data);
    let read = |text: &str| HttpUrl::parse(text, PlainHttp::Loopback);
    let (Ok(resource), Some(Ok(url))) = (read(&lines[0]), lines.get(1).map(|line| read(line))) else {
        return;
    };
    if !resource.has_ambiguous_path() {
        assert!(covers(&resource, &resource));
    }
    if covers(&resource, &url) {
        assert!(resource.same_origin(&url) && !url.has_ambiguous_path());
        let below = url.path().strip_prefix(resource.path().trim_end_matches('/')).expect("below");
        assert!(below.is_empty() || below.starts_with('/'));
        // What lies below is covered too, and the way back is not, unless it is the same path.
        assert!(!covers(&url, &resource) || url.path() == resource.path());
    }
}

/// A redirect URI.
///
/// # Panics
/// A law is broken.
pub fn redirect_uri(data: &[u8]) {
    let text = text(data);
    let Ok(uri) = RedirectUri::new(text.as_str()) else { return };
    assert_eq!(uri.as_str(), text);
    let url = HttpUrl::parse(&text, PlainHttp::Loopback).expect("a redirect URI is a URL");
    assert!(url.as_str() == text && url.path() == uri.path());
    // Everything our own reader of URLs takes for this machine is judged so by its address, too.
    let host = url.host().to_string();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    assert_eq!(uri.is_loopback(), host == "localhost" || host == "127.0.0.1" || host == "[::1]");
    assert!(!uri.is_loopback() || address.is_err() || !AddressPolicy::Public.permits_host(&url.host()));
    assert!(text.starts_with("https://") || uri.is_loopback());
    let stored = serde_json::to_string(&uri).expect("a redirect URI is a text");
    assert_eq!(serde_json::from_str::<RedirectUri>(&stored).expect("it is what was written"), uri);
}
