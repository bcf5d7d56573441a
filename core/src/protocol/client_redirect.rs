//! The redirect URIs of clients that sign in at the gateway: which are acceptable, and when two are the same (RFC 8252 §7).
//!
//! One that is acceptable has one reading: it is written exactly as a URL library writes it, so that what was compared is what the
//! browser goes to.

use url::{Host, Position, Url};

use super::Invalid;
use super::form::pairs;
use super::url::URL_MAX_BYTES;

/// A redirect URI of a client, kept byte for byte: `https`, `http` on a loopback host, or a private-use scheme.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientRedirect {
    /// Its text is the one that was given.
    url: Url,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Https,
    /// `http` on 127.0.0.1, `[::1]` or `localhost`, where any port goes.
    LoopbackHttp,
    Private,
}

/// The hosts of loopback redirects, each in the one spelling that counts. They are not the same host (T-18).
const LOOPBACK_HOSTS: [&str; 3] = ["127.0.0.1", "[::1]", "localhost"];

/// What browsers themselves act on. Nobody's list makes a client's redirect of these.
const NEVER: [&str; 14] = [
    "about",
    "blob",
    "data",
    "file",
    "filesystem",
    "ftp",
    "intent",
    "javascript",
    "mailto",
    "tel",
    "vbscript",
    "view-source",
    "ws",
    "wss",
];

/// The parameters that an answer adds.
const OURS: [&str; 4] = ["code", "error", "iss", "state"];

impl ClientRedirect {
    /// Reads a redirect URI. `allowed` holds those with a private-use scheme without a dot that the operator accepts, each byte for
    /// byte.
    ///
    /// # Errors
    /// It is relative, ambiguous, overlong, without a path, with user information or a fragment, has a scheme that is not acceptable, or
    /// a query that holds a parameter of an answer.
    pub fn parse(text: &str, allowed: &[String]) -> Result<Self, Invalid> {
        if text.len() > URL_MAX_BYTES {
            return Err(Invalid("the redirect URI is too long"));
        }
        //= spec/oauth21.md#8-4-3
        //# A client's redirect URI MUST be https, loopback http or of a private-use scheme, with a path and
        //# without fragment, and a scheme without a dot SHOULD be refused (REG-32, S).
        // A fragment's `#` is not among them (atk:RED-06, atk:RED-07).
        if !text.bytes().all(is_uri_byte) || !has_whole_escapes(text) {
            return Err(Invalid("the redirect URI holds something that URIs do not have"));
        }
        let url = Url::parse(text).map_err(|_| Invalid("the redirect URI cannot be read"))?;
        // atk:RED-04, atk:RED-07: no capital in a host, no other spelling of an address, no dot segment, no missing path.
        if url.as_str() != text {
            return Err(Invalid("the redirect URI is not written in normal form, with a path"));
        }
        // atk:RED-03
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Invalid("the redirect URI has user information"));
        }
        // atk:RED-05
        if url.port() == Some(0) {
            return Err(Invalid("the redirect URI has no port that anybody listens on"));
        }
        let kind = match url.scheme() {
            "https" if has_sound_host(&url) => Kind::Https,
            "https" => return Err(Invalid("the redirect URI's host is not a name or address")),
            "http" if url.host_str().is_some_and(|host| LOOPBACK_HOSTS.contains(&host)) => Kind::LoopbackHttp,
            "http" => return Err(Invalid("an `http` redirect URI must be on a loopback host")),
            scheme => {
                let listed = allowed.iter().any(|uri| uri == text);
                check_private(scheme, &url, listed)?;
                Kind::Private
            }
        };
        // atk:RED-08
        for pair in pairs(url.query().unwrap_or_default()) {
            if OURS.contains(&&*pair?.0) {
                return Err(Invalid("the redirect URI's query holds a parameter of an answer"));
            }
        }
        Ok(Self { url, kind })
    }

    /// The text as given.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// Whether a request that names `requested` names this registered one: byte for byte, but for the port where `http` leads to a
    /// loopback host, which a program is given when it starts to listen (RFC 8252 §7.3).
    pub fn matches(&self, requested: &Self) -> bool {
        //= spec/oauth21.md#4-1-1
        //# A redirect URI MUST be compared with the registered ones as an exact text, of which only the port
        //# of a loopback URI may differ (AS-05, S).
        // atk:RED-02, atk:RED-05, atk:RED-12
        if self.url == requested.url {
            return true;
        }
        let loopback = self.kind == Kind::LoopbackHttp && requested.kind == Kind::LoopbackHttp;
        loopback
            && self.url.host_str() == requested.url.host_str()
            && self.url[Position::BeforePath..] == requested.url[Position::BeforePath..]
    }

    /// Where the answer goes, for people: the host in ASCII, as in `xn--bcher-kva.example`; or the scheme with its colon, as in
    /// `com.example.app:`.
    pub fn host_shown(&self) -> String {
        match (self.kind, self.url.host_str()) {
            (Kind::Https | Kind::LoopbackHttp, Some(host)) => host.to_owned(),
            _ => format!("{}:", self.url.scheme()),
        }
    }

    /// Whether it leads to the person's own machine, where any program may listen.
    pub fn is_loopback(&self) -> bool {
        self.kind != Kind::Private
            && match self.url.host() {
                Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
                Some(Host::Ipv4(ip)) => ip.is_loopback(),
                Some(Host::Ipv6(ip)) => ip.is_loopback(),
                None => false,
            }
    }

    /// Whether it has a private-use scheme, which any program may claim.
    pub fn is_private(&self) -> bool {
        self.kind == Kind::Private
    }
}

/// The characters of RFC 3986 §2 but for `#`.
fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte)
}

fn has_whole_escapes(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .all(|after| matches!(after.as_bytes(), [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()))
}

/// The parser lets `$(calc)` pass as a name, and a name with a dot at its end, which is another origin on the same host.
fn has_sound_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        Some(Host::Domain(name)) => {
            let sound = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
            sound && !name.is_empty() && !name.ends_with('.')
        }
        None => false,
    }
}

fn check_private(scheme: &str, url: &Url, listed: bool) -> Result<(), Invalid> {
    // atk:RED-06
    if NEVER.contains(&scheme) {
        return Err(Invalid("the redirect URI's scheme is one that browsers act on themselves"));
    }
    if !listed && !is_reversed_domain(scheme) {
        return Err(Invalid("the redirect URI's scheme is no reversed domain name, and not on the list"));
    }
    // Not `app:callback`, which has no path, and nothing to tell it from an order to the program.
    if !url[Position::AfterScheme..].starts_with(":/") {
        return Err(Invalid("a redirect URI with a private-use scheme needs a slash after it"));
    }
    Ok(())
}

/// `com.example.app`: a scheme that its owner can be told from (RFC 8252 §7.1).
fn is_reversed_domain(scheme: &str) -> bool {
    let Some((top, rest)) = scheme.split_once('.') else { return false };
    // COMPAT: not `x-apple.systempreferences`, which begins with no top-level domain.
    top.len() >= 2
        && top.bytes().all(|byte| byte.is_ascii_lowercase())
        && rest.split('.').all(|label| {
            let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            inner && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ClientRedirect, Invalid> {
        ClientRedirect::parse(text, &[])
    }

    fn matches(registered: &str, requested: &str) -> bool {
        let registered = parse(registered).unwrap();
        parse(requested).is_ok_and(|requested| registered.matches(&requested))
    }

    //= spec/oauth21.md#8-4-3
    //= type=test
    //# A client's redirect URI MUST be https, loopback http or of a private-use scheme, with a path and
    //# without fragment, and a scheme without a dot SHOULD be refused (REG-32, S).
    #[test]
    fn https_loopback_http_and_reversed_domains_are_kept_byte_for_byte() {
        for (text, shown, loopback, private) in [
            ("https://c.good/cb", "c.good", false, false),
            ("https://c.good:8443/cb?a=b&c=d", "c.good", false, false),
            ("https://c.good/cb;x=1,2/!$'()*+", "c.good", false, false),
            ("https://xn--bcher-kva.example/cb", "xn--bcher-kva.example", false, false),
            ("https://10.0.0.1/cb", "10.0.0.1", false, false),
            ("https://localhost/cb", "localhost", true, false),
            ("https://a.localhost:1/cb", "a.localhost", true, false),
            ("https://127.9.9.9/cb", "127.9.9.9", true, false),
            ("http://127.0.0.1:33418/cb", "127.0.0.1", true, false),
            ("http://[::1]:8/cb", "[::1]", true, false),
            ("http://localhost/", "localhost", true, false),
            ("com.example.app:/cb", "com.example.app:", false, true),
            ("com.example.app://cb", "com.example.app:", false, true),
            ("com.example.my-app2:/a/b?c=d", "com.example.my-app2:", false, true),
            ("com.example.app://localhost/cb", "com.example.app:", false, true),
        ] {
            let redirect = parse(text).unwrap_or_else(|invalid| panic!("{text}: {invalid}"));
            assert_eq!(redirect.as_str(), text);
            assert_eq!(redirect.host_shown(), shown, "{text}");
            assert_eq!((redirect.is_loopback(), redirect.is_private()), (loopback, private), "{text}");
            assert!(redirect.matches(&redirect));
        }
    }

    // atk:RED-02
    #[test]
    fn nothing_but_the_registered_text_matches() {
        for requested in [
            "https://c.good/cb/../evil",
            "https://c.good/cb/..;/x",
            "https://c.good/cb/%2e%2e/x",
            "https://c.good/cb/%252e%252e/x",
            "https://c.good/cb?x",
            "https://c.good/cb?",
            "https://c.good/cb#",
            "https://c.good/cb#x",
            "https://c.good/cb/",
            "https://c.good/CB",
            "https://c.good/cb%00",
            "https://c.good/c",
            "https://c.good/",
            "https://c.good",
            "https://c.good:8443/cb",
            "https://c.good:443/cb",
            "https://*.good/cb",
            "http://c.good/cb",
            "",
        ] {
            assert!(!matches("https://c.good/cb", requested), "{requested}");
        }
        assert!(matches("https://c.good/cb", "https://c.good/cb"));
    }

    // atk:RED-03
    #[test]
    fn user_information_is_refused() {
        for text in [
            "https://c.good@evil.example/",
            "https://c.good%2f@evil.example/",
            "http://127.0.0.1:3000@evil.example/cb",
            "http://localhost:8090%25@evil.example/cb",
            "http://user@localhost/cb",
            "https://c.good:x@evil.example/",
            "https://:x@evil.example/",
            "https://@evil.example/",
            "com.example.app://user@host/cb",
        ] {
            assert!(parse(text).is_err(), "{text}");
            assert!(ClientRedirect::parse(text, &[text.to_owned()]).is_err(), "{text}");
        }
    }

    // atk:RED-04
    #[test]
    fn a_host_has_one_spelling() {
        for text in [
            "https://c.good./cb",
            "https://C.GOOD/cb",
            "https://c。good/cb",
            "https://c.good\u{ad}/cb",
            "https://bücher.example/cb",
            "https://①②⑦.⓪.⓪.①/cb",
            "https://0x7f.1/cb",
            "https://2130706433/cb",
            "https://[0:0::1]/cb",
            "https://c.good.evil.example$(x)/cb",
            "https://c%2egood/cb",
            "HTTPS://c.good/cb",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        for requested in
            ["https://c.good.evil.example/cb", "https://xn--c-good.example/cb", "https://xn--cgood-x/cb"]
        {
            assert!(!matches("https://c.good/cb", requested), "{requested}");
        }
    }

    //= spec/oauth21.md#4-1-1
    //= type=test
    //# A redirect URI MUST be compared with the registered ones as an exact text, of which only the port of a
    //# loopback URI may differ (AS-05, S).
    // atk:RED-05
    #[test]
    fn of_a_loopback_redirect_the_port_may_vary_and_nothing_else() {
        for host in LOOPBACK_HOSTS {
            let registered = format!("http://{host}/cb?a=b");
            for requested in [":50001", ":1", ":65535", ""] {
                let requested = format!("http://{host}{requested}/cb?a=b");
                assert!(matches(&registered, &requested), "{requested}");
                assert!(matches(&requested, &registered), "{requested}");
            }
            for other in LOOPBACK_HOSTS.into_iter().filter(|other| *other != host) {
                assert!(!matches(&registered, &format!("http://{other}/cb?a=b")));
            }
        }
        for requested in [
            "http://localhost:1/cb",
            "http://127.0.0.2/cb",
            "http://127.1/cb",
            "http://127.1:50001/cb",
            "http://[::1]/cb",
            "http://[::ffff:127.0.0.1]/cb",
            "http://0/cb",
            "http://2130706433/cb",
            "http://0x7f.0.0.1/cb",
            "http://127.0.0.1./cb",
            "http://127.0.0.1.evil.example/cb",
            "http://localhost.evil.example/cb",
            "https://127.0.0.1/cb",
            "https://127.0.0.1:50001/cb",
            "http://127.0.0.1:50001/other",
            "http://127.0.0.1:50001/cb/",
            "http://127.0.0.1:50001/cb?x=y",
            "http://127.0.0.1:50001/",
            "http://127.0.0.1:0/cb",
            "http://127.0.0.1:65536/cb",
            "http://127.0.0.1:/cb",
            "http://127.0.0.1:080/cb",
            "http://127.0.0.1:+80/cb",
            "http://127.0.0.1:80\t80/cb",
            "http://127.0.0.1:-1/cb",
        ] {
            assert!(!matches("http://127.0.0.1/cb", requested), "{requested:?}");
        }
        assert!(!matches("https://localhost:1/cb", "https://localhost:2/cb"));
        assert!(!matches("com.example.app://localhost:1/cb", "com.example.app://localhost:2/cb"));
        assert!(parse("http://10.0.0.1/cb").is_err() && parse("http://c.good/cb").is_err());
    }

    // atk:RED-06
    #[test]
    fn schemes_that_browsers_act_on_are_refused_whatever_the_list_says() {
        for text in [
            "javascript:alert(1)",
            "javascript://c.good/%0aalert(1)",
            "JaVaScRiPt:alert(1)",
            " java\nscript:alert(1)",
            "java\tscript:alert(1)",
            "\0javascript:alert(1)",
            "data:text/html,x",
            "data:/x",
            "vbscript:x",
            "blob:https://c.good/x",
            "file:///etc/passwd",
            "filesystem:https://c.good/x",
            "about:blank",
            "view-source:https://c.good/",
            "intent://c.good/x",
            "mailto:/x",
            "ws://c.good/",
            "wss://c.good/",
            "ftp://c.good/",
            "http://c.good/cb",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
            assert!(ClientRedirect::parse(text, &[text.to_owned()]).is_err(), "{text:?}");
        }
    }

    //= spec/oauth21.md#8-4-3
    //= type=test
    //# A client's redirect URI MUST be https, loopback http or of a private-use scheme, with a path and
    //# without fragment, and a scheme without a dot SHOULD be refused (REG-32, S).
    // atk:RED-06, atk:RED-09
    #[test]
    fn a_scheme_without_a_dot_needs_the_operators_word_for_that_very_uri() {
        const CURSOR: &str = "cursor://anysphere.cursor-mcp/oauth/callback";
        let allowed = [CURSOR.to_owned()];
        assert!(parse(CURSOR).is_err());
        let redirect = ClientRedirect::parse(CURSOR, &allowed).unwrap();
        assert!(redirect.is_private() && !redirect.is_loopback());
        assert_eq!(redirect.host_shown(), "cursor:");
        for text in [
            "cursor://anysphere.cursor-mcp/oauth/callback/",
            "cursor://anysphere.cursor-mcp/oauth/callback?x",
            "cursor://anysphere.cursor-mcp/oauth",
            "cursor://other/oauth/callback",
            "CURSOR://anysphere.cursor-mcp/oauth/callback",
            "vscode://anysphere.cursor-mcp/oauth/callback",
            "ms-msdt:/x",
            "x-apple.systempreferences:/x",
            ".com.example:/x",
            "com..example:/x",
            "com.:/x",
            "com.-x:/x",
            "com.example+x:/x",
            "com.example.app:cb",
            "com.example.app:",
            "com.example.app",
        ] {
            assert!(ClientRedirect::parse(text, &allowed).is_err(), "{text}");
        }
    }

    // atk:RED-07
    #[test]
    fn what_parsers_read_differently_is_refused() {
        for text in [
            "https://c.good\\@evil.example",
            "https://c.good\\@evil.example/",
            "https:/evil.example/",
            "https:///evil.example/",
            "https:evil.example/cb",
            "http:evil.example/cb",
            "http:/127.0.0.1/cb",
            "//evil.example/",
            "/cb",
            "cb",
            "",
            "https://",
            "https://c.good\tevil.example/",
            " https://c.good/cb",
            "https://c.good/cb ",
            "https://c.good/cb\r\nx: y",
            "https://c.good/a b",
            "https://c.good/\"><script>",
            "https://c.good/cb?a=`b`",
            "https://c.good/cb?a={b}|^",
            "https://c.good/%",
            "https://c.good/%zz",
            "https://c.good/é",
            "https://c.good?x",
            "https://c.good/a/../cb",
            "https://c.good/./cb",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse(&format!("https://c.good/{}", "a".repeat(URL_MAX_BYTES))).is_err());
    }

    // atk:RED-08
    #[test]
    fn a_query_holds_no_parameter_of_an_answer() {
        for name in ["code", "state", "iss", "error", "c%6Fde", "%63ode"] {
            for text in [
                format!("https://c.good/cb?{name}=x"),
                format!("https://c.good/cb?a=b&{name}"),
                format!("http://127.0.0.1/cb?{name}="),
                format!("com.example.app:/cb?{name}=x"),
            ] {
                assert!(parse(&text).is_err(), "{text}");
            }
        }
        assert!(parse("https://c.good/cb?codec=x&is=code").is_ok());
        assert!(parse("https://c.good/cb?a=%ff").is_err());
    }

    // atk:RED-12
    #[test]
    fn nothing_is_compared_without_case_or_decoded() {
        for requested in
            ["https://c.good/CB", "https://c.good/%63b", "https://c.good/c%62", "https://C.good/cb"]
        {
            assert!(!matches("https://c.good/cb", requested), "{requested}");
        }
        assert!(!matches("https://c.good/%7e", "https://c.good/~"));
        assert!(!matches("https://c.good/%7e", "https://c.good/%7E"));
    }
}
