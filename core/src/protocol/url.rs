//! URLs fit to be fetched or opened in a browser. Every URL that a peer names becomes one of these first.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::{Host, Position, Url};

use super::Invalid;

/// LIMIT: the longest URL, as received and as written out (design §8).
pub const URL_MAX_BYTES: usize = 4096;

/// Where `http` is accepted besides `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainHttp {
    /// For loopback hosts: `localhost`, 127.0.0.0/8, `[::1]`. An explicit choice, for development.
    Loopback,
    /// Nowhere.
    Never,
}

/// An absolute `https` URL (or loopback `http`, where opted in) without user information and fragment.
///
/// It is kept twice: as received, byte for byte, for comparing and sending; and written anew, for fetching
/// and opening. The second form holds only letters, digits and `-._~:/?&=%@`, brackets round an IPv6 host apart, so
/// that no shell, log or header reads more into it than a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    received: String,
    url: Url,
}

impl HttpUrl {
    /// Reads a URL; relative, overlong, ambiguous and foreign-scheme ones are refused.
    pub fn parse(text: &str, plain: PlainHttp) -> Result<Self, Invalid> {
        if text.len() > URL_MAX_BYTES {
            return Err(Invalid("the URL is too long"));
        }
        check_received(text)?;
        let mut url = Url::parse(text).map_err(|_| Invalid("the URL cannot be read"))?;
        check_host(&url)?;
        //= spec/oauth21.md#1-5
        //# Every OAuth URL MUST be https, but for loopback redirect URIs and, where development is switched
        //# on, loopback hosts (NET-01, all).
        // atk:URL-02, atk:URL-04
        match (url.scheme(), plain) {
            ("https", _) => {}
            ("http", PlainHttp::Loopback) if is_loopback(&url) => {}
            _ => return Err(Invalid("the URL is not `https`")),
        }
        //= spec/mcp-best-practices.md#oauth-authorization-url-validation
        //# A URL MUST NOT be opened through a shell, and one that came from a server MUST be parsed and
        //# checked first (NET-06, U).
        // atk:URL-01
        if let Some(safe) = safe_form(&url) {
            url = Url::parse(&safe).map_err(|_| Invalid("the URL cannot be read"))?;
        }
        if url.as_str().len() > URL_MAX_BYTES {
            return Err(Invalid("the URL is too long"));
        }
        //= spec/rfc8414.md#4
        //# Issuers, client ids, resources, redirect URIs and states MUST be compared code point by code point
        //# as received, a parsed copy serving only to build URLs (NET-09, all).
        Ok(Self { received: text.to_owned(), url })
    }

    /// The text as received, byte for byte.
    pub fn received(&self) -> &str {
        &self.received
    }

    /// The text to fetch or to open.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> Origin {
        Origin(self.url[..Position::BeforePath].to_owned())
    }

    /// Whether both have the same scheme, host and port.
    pub fn same_origin(&self, other: &Self) -> bool {
        self.url[..Position::BeforePath] == other.url[..Position::BeforePath]
    }

    /// The host, an address in whatever spelling already being one.
    pub fn host(&self) -> Host<&str> {
        // INVARIANT: `parse` demands a host; an empty name, were it ever given, is permitted by no address policy.
        self.url.host().unwrap_or(Host::Domain(""))
    }

    /// The path: it begins with `/` and holds no dot segments.
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// The path as received, empty if there is none.
    pub fn received_path(&self) -> &str {
        let after_scheme = self.received.split_once("://").map_or("", |(_, rest)| rest);
        let before_query = after_scheme.split('?').next().unwrap_or_default();
        before_query.find('/').and_then(|start| before_query.get(start..)).unwrap_or_default()
    }

    /// Whether the received path holds what servers resolve in different ways: `.` and `..` segments, slashes and
    /// backslashes within a segment, encoded once or more often.
    pub fn has_ambiguous_path(&self) -> bool {
        self.received_path().split('/').any(|segment| {
            let decoded: Vec<u8> = percent_decode_str(segment).collect();
            // COMPAT: servlet containers cut a segment at its semicolon before they resolve dots.
            let name = decoded.split(|byte| *byte == b';').next().unwrap_or_default();
            matches!(name, b"." | b"..") || decoded.iter().any(|byte| matches!(byte, b'/' | b'\\' | b'%'))
        })
    }

    /// The query without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.url.query()
    }

    /// The text to open, with these parameters after those it already has.
    pub fn with_query_pairs(&self, pairs: &[(&str, &str)]) -> String {
        // Room for values of which every third byte is escaped: grown once at most.
        let room: usize =
            pairs.iter().map(|(name, value)| name.len().saturating_add(value.len().saturating_mul(2))).sum();
        let mut text = String::with_capacity(self.as_str().len().saturating_add(room));
        text.push_str(self.as_str());
        // What stands there stays.
        let mut separator = match self.query() {
            None => "?",
            Some("") => "",
            Some(query) if query.ends_with('&') => "",
            Some(_) => "&",
        };
        for (name, value) in pairs {
            text.push_str(separator);
            text.extend(utf8_percent_encode(name, RESERVED));
            text.push('=');
            text.extend(utf8_percent_encode(value, RESERVED));
            separator = "&";
        }
        text
    }
}

/// Scheme, host and port of an [`HttpUrl`], as `https://host` or `https://host:port`; equal if the texts are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(String);

impl Origin {
    /// The text, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What RFC 3986 §2.3 does not call unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What is written as %XX in paths and queries. A percent sign begins such a triplet already.
const UNSAFE: &AsciiSet =
    &RESERVED.remove(b':').remove(b'/').remove(b'?').remove(b'&').remove(b'=').remove(b'%').remove(b'@');

/// Refuses what URL parsers are known to read differently, before ours repairs it.
fn check_received(text: &str) -> Result<(), Invalid> {
    // atk:HDR-01, atk:URL-03
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Err(Invalid("the URL holds a character that URLs do not have"));
    }
    //= spec/rfc8707.md#2
    //# `resource` MUST be an absolute URI without fragment and SHOULD be the most specific one of the server,
    //# with no slash added and upper-case scheme and host accepted as input (AZQ-07, U).
    if text.contains('#') {
        return Err(Invalid("the URL has a fragment"));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(Invalid("the URL is not absolute"));
    };
    if !scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(Invalid("the URL is not `https`"));
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.is_empty() {
        return Err(Invalid("the URL has no host"));
    }
    if authority.contains('@') {
        return Err(Invalid("the URL has user information"));
    }
    if authority.contains('%') {
        return Err(Invalid("the URL's host is not a name or address"));
    }
    let mut after_percent = rest.split('%').skip(1).map(str::as_bytes);
    if !after_percent
        .all(|after| matches!(after, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()))
    {
        return Err(Invalid("the URL has a percent sign without two hexadecimal digits"));
    }
    Ok(())
}

/// The parser lets `$(calc)` pass as a name.
fn check_host(url: &Url) -> Result<(), Invalid> {
    match url.host() {
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => Ok(()),
        Some(Host::Domain(name))
            if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) =>
        {
            Ok(())
        }
        Some(Host::Domain(_)) => Err(Invalid("the URL's host is not a name or address")),
        None => Err(Invalid("the URL has no host")),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// The whole URL with everything unsafe in path and query percent-encoded, if it has anything unsafe.
fn safe_form(url: &Url) -> Option<String> {
    if let Cow::Borrowed(_) = Cow::from(utf8_percent_encode(&url[Position::BeforePath..], UNSAFE)) {
        return None;
    }
    let mut safe = url[..Position::BeforePath].to_owned();
    safe.extend(utf8_percent_encode(url.path(), UNSAFE));
    for (index, part) in url.query().into_iter().flat_map(|query| query.split('+')).enumerate() {
        // COMPAT: in a query a plus sign is a blank (RFC 6749 §3.1: form encoding); %2B would be a plus sign.
        safe.push_str(if index == 0 { "?" } else { "%20" });
        safe.extend(utf8_percent_encode(part, UNSAFE));
    }
    Some(safe)
}

/// Whether a text is a path of the host's own site, read so by every browser (F38).
pub(crate) fn is_own_path(text: &str) -> bool {
    let url = HttpUrl::parse(&format!("https://site.invalid{text}"), PlainHttp::Never);
    // `//evil` would be another site's URL.
    text.starts_with('/') && !text.starts_with("//") && url.is_ok_and(|url| !url.has_ambiguous_path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn https(text: &str) -> Result<HttpUrl, Invalid> {
        HttpUrl::parse(text, PlainHttp::Never)
    }

    //= spec/rfc8414.md#4
    //= type=test
    //# Issuers, client ids, resources, redirect URIs and states MUST be compared code point by code point as
    //# received, a parsed copy serving only to build URLs (NET-09, all).
    #[test]
    fn the_received_text_is_kept_beside_the_written_one() {
        for (received, written) in [
            ("https://h.example", "https://h.example/"),
            ("HTTPS://H.Example:443/A/../b", "https://h.example/b"),
            ("https://h.example:8443/mcp?x=1", "https://h.example:8443/mcp?x=1"),
            ("https://[2001:DB8::1]/@scope/mcp", "https://[2001:db8::1]/@scope/mcp"),
        ] {
            let url = https(received).unwrap();
            assert_eq!((url.received(), url.as_str()), (received, written));
        }
    }

    //= spec/oauth21.md#1-5
    //= type=test
    //# Every OAuth URL MUST be https, but for loopback redirect URIs and, where development is switched on,
    //# loopback hosts (NET-01, all).
    #[test]
    fn only_https_is_accepted_and_loopback_http_by_choice() {
        // atk:URL-02, atk:URL-04
        for text in
            ["http://localhost:1/a", "http://127.0.0.1", "http://127.9.9.9:80/", "http://[::1]:8080/x"]
        {
            assert!(https(text).is_err(), "{text}");
            assert!(HttpUrl::parse(text, PlainHttp::Loopback).is_ok(), "{text}");
        }
        for text in [
            "http://as.good/authorize",
            "http://localhost.evil.example/",
            "http://10.0.0.1/",
            "http://[::ffff:127.0.0.1]/",
            "http://0.0.0.0/",
            "javascript:alert(1)",
            "JaVaScRiPt://h/%0aalert(1)",
            "data:text/html,x",
            "vbscript:x",
            "blob:https://h/x",
            "file:///etc/passwd",
            "about:blank",
            "view-source:https://h/",
            "intent://h/",
            "ms-msdt://h/",
            "ftp://h/",
            "wss://h/",
        ] {
            assert!(HttpUrl::parse(text, PlainHttp::Loopback).is_err(), "{text}");
        }
    }

    //= spec/rfc8707.md#2
    //= type=test
    //# `resource` MUST be an absolute URI without fragment and SHOULD be the most specific one of the server,
    //# with no slash added and upper-case scheme and host accepted as input (AZQ-07, U).
    #[test]
    fn what_parsers_read_differently_is_refused() {
        // atk:URL-01, atk:URL-03, atk:HDR-01
        for text in [
            "",
            "h.example",
            "//h.example/",
            "/path",
            "https:",
            "https:/evil",
            "https:/evil?://h",
            "https:///evil",
            "https:evil",
            "https://?x",
            "https://c.good\\@evil",
            "https://c.good\\evil",
            "https://c.good\tevil",
            " https://h/",
            "https://h/ ",
            "https://h/a b",
            "https://h/\r\nx: y",
            "https://h/\u{0}",
            "https://h/\u{7f}",
            "https://h/é",
            "https://h/#",
            "https://h/#f",
            "https://user@h/",
            "https://@h/",
            "https://user$(id)r:p@127.0.0.1:9003/authorize",
            "https://h$(calc).example/",
            "https://h;x/",
            "https://h%2eexample/",
            "https://[fe80::1%25eth0]/",
            "https://h/%",
            "https://h/%4",
            "https://h/%zz",
            "https://h/%COMSPEC%",
            "https://h:99999/",
            "--upload-pack=evil",
            "-oProxyCommand=https://h/",
        ] {
            assert!(HttpUrl::parse(text, PlainHttp::Loopback).is_err(), "{text:?}");
        }
    }

    //= spec/mcp-best-practices.md#oauth-authorization-url-validation
    //= type=test
    //# A URL MUST NOT be opened through a shell, and one that came from a server MUST be parsed and checked
    //# first (NET-06, U).
    #[test]
    fn nothing_that_a_shell_reads_remains_in_the_written_form() {
        // atk:URL-01
        let url = https("https://h/$(calc.exe)`x`;'*!,|\"<>{}^~+[]?a=$(x)&b='`|;+^\"<>*!,()[]").unwrap();
        assert_eq!(
            url.as_str(),
            "https://h/%24%28calc.exe%29%60x%60%3B%27%2A%21%2C%7C%22%3C%3E%7B%7D%5E~%2B%5B%5D\
             ?a=%24%28x%29&b=%27%60%7C%3B%20%5E%22%3C%3E%2A%21%2C%28%29%5B%5D"
        );
        assert_eq!(https(url.as_str()).unwrap().as_str(), url.as_str());
    }

    #[test]
    fn length_is_limited_before_and_after_encoding() {
        let of_length = |length: usize, filler: &str| format!("https://h/{}", filler.repeat(length - 10));
        assert!(https(&of_length(URL_MAX_BYTES, "x")).is_ok());
        assert!(https(&of_length(URL_MAX_BYTES + 1, "x")).is_err());
        assert!(https(&of_length(URL_MAX_BYTES, "'")).is_err());
        assert!(https(&format!("https://h/{}", "a/../".repeat(1000))).is_err());
    }

    #[test]
    fn origins_are_equal_if_scheme_host_and_port_are() {
        let origin = |text: &str| HttpUrl::parse(text, PlainHttp::Loopback).unwrap().origin();
        assert_eq!(origin("https://H.example:443/a?b"), origin("https://h.example"));
        assert_eq!(origin("https://h.example:8443/a").as_str(), "https://h.example:8443");
        assert_eq!(origin("http://[::1]:3000/a").to_string(), "http://[::1]:3000");
        assert_ne!(origin("https://h.example"), origin("https://h.example:8443"));
        assert_ne!(origin("https://h.example"), origin("https://www.h.example"));
        assert_ne!(origin("https://localhost"), origin("http://localhost"));
        assert!(https("https://h/a").unwrap().same_origin(&https("https://h:443/b").unwrap()));
        assert!(!https("https://h/a").unwrap().same_origin(&https("https://h.x/a").unwrap()));
    }

    #[test]
    fn parameters_are_added_after_those_already_there() {
        let pairs = [("scope", "a b&c=+"), ("state", "é~*")];
        let added = "scope=a%20b%26c%3D%2B&state=%C3%A9~%2A";
        for (text, before) in [
            ("https://h/a", "https://h/a?"),
            ("https://h/a?", "https://h/a?"),
            ("https://h/a?x=%41", "https://h/a?x=%41&"),
            ("https://h/a?x=1&", "https://h/a?x=1&"),
        ] {
            assert_eq!(https(text).unwrap().with_query_pairs(&pairs), format!("{before}{added}"));
        }
        assert_eq!(https("https://h/a?x=1").unwrap().with_query_pairs(&[]), "https://h/a?x=1");
    }

    #[test]
    fn a_path_that_servers_resolve_differently_is_noticed() {
        // atk:AUD-02, atk:AUD-06
        for path in [
            "/.",
            "/..",
            "/a/../b",
            "/a/./b",
            "/a/%2e%2e/b",
            "/a/.%2E",
            "/a%2fb",
            "/a%2Fb",
            "/a%5Cb",
            "/a/..;/b",
            "/a/..%3bx/b",
            "/a/%252e%252e/b",
            "/a%252fb",
            "/a/..?x",
        ] {
            assert!(https(&format!("https://h{path}")).unwrap().has_ambiguous_path(), "{path}");
        }
        for path in
            ["", "/", "/a/b/", "/a//b", "/a.b", "/...", "/.well-known/x", "/%41", "/a?x=../b", "?/../x"]
        {
            assert!(!https(&format!("https://h{path}")).unwrap().has_ambiguous_path(), "{path}");
        }
        assert_eq!(https("https://H/A/../b?c/d").unwrap().received_path(), "/A/../b");
        assert_eq!(https("https://h?c/d").unwrap().received_path(), "");
    }

    #[test]
    fn an_address_in_disguise_is_an_address() {
        // atk:NET-02
        for text in ["https://0251.0376.0251.0376/", "https://0xa9fea9fe/", "https://2852039166/"] {
            assert_eq!(
                https(text).unwrap().host(),
                Host::<&str>::Ipv4([169, 254, 169, 254].into()),
                "{text}"
            );
        }
    }
}
