//! Our redirect URIs and callback paths.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Invalid;
use super::url::{HttpUrl, PlainHttp};
use crate::hex;

/// A redirect URI of ours, kept byte for byte: `https` anywhere, or `http` on a loopback host (RFC 8252 §7.3), with a
/// path, without userinfo or fragment.
///
/// It must be written in normal form (lower case scheme and host, no default port, no dot segments, nothing that needs
/// encoding), so that issuers that normalize and issuers that do not read the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RedirectUri(String);

impl RedirectUri {
    /// Checks the text.
    pub fn new(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        //= spec/oauth21.md#8-4-3
        //= type=exception
        //= reason=Stricter than the text: a redirect URI with a private-use scheme is refused.
        //# A redirect URI with a private-use scheme MUST be a reversed domain name followed by a single slash
        //# (AZQ-13, U).
        let url = HttpUrl::parse(&text, PlainHttp::Loopback)?;
        if url.as_str() != text {
            return Err(Invalid("the redirect URI is not written in normal form, with a path"));
        }
        let uri = Self(text);
        if uri.0.starts_with("http:") && !uri.is_loopback() {
            return Err(Invalid("an `http` redirect URI must be on `127.0.0.1`, `[::1]` or `localhost`"));
        }
        Ok(uri)
    }

    /// The text as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it leads to this machine: the host is `127.0.0.1`, `[::1]` or `localhost`.
    pub fn is_loopback(&self) -> bool {
        let (authority, _) = self.authority_and_path();
        ["127.0.0.1", "[::1]", "localhost"].iter().any(|host| {
            authority.strip_prefix(host).is_some_and(|port| port.is_empty() || port.starts_with(':'))
        })
    }

    /// The path, without the query. Callbacks are compared with it.
    pub fn path(&self) -> &str {
        self.authority_and_path().1
    }

    /// What a client with this redirect URI registers as.
    pub fn application_type(&self) -> ApplicationType {
        if self.is_loopback() { ApplicationType::Native } else { ApplicationType::Web }
    }

    fn authority_and_path(&self) -> (&str, &str) {
        // INVARIANT: the normal form has `://`, and a path that begins with `/`.
        let hierarchy = self.0.split('?').next().unwrap_or_default();
        let rest = hierarchy.split_once("://").map_or("", |(_, rest)| rest);
        rest.split_at(rest.find('/').unwrap_or(rest.len()))
    }
}

impl TryFrom<String> for RedirectUri {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::new(text)
    }
}

impl From<RedirectUri> for String {
    fn from(uri: RedirectUri) -> Self {
        uri.0
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The `application_type` of a registration (MCP 2026-07-28 client registration; OpenID Connect Registration §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationType {
    /// On the user's own machine, with a loopback redirect.
    Native,
    /// On a server, with an https redirect.
    Web,
}

/// The callback path for one issuer: `/callback` if it names itself in callbacks, else a path of its own (design §4),
/// so that a callback that arrives on another issuer's path is seen.
pub fn callback_path(issuer: &str, sends_iss: bool) -> String {
    // atk:MIX-01
    if sends_iss {
        return "/callback".to_owned();
    }
    hex::with_text(Sha256::digest(issuer).get(..8).unwrap_or_default(), |digits| {
        format!("/callback/{digits}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::url::URL_MAX_BYTES;

    #[test]
    fn https_and_loopback_http_are_kept_byte_for_byte() {
        for (text, loopback, path) in [
            ("https://gw.example/callback", false, "/callback"),
            ("https://gw.example:8443/Callback/?a=/b", false, "/Callback/"),
            ("https://gw.example/%7Ea", false, "/%7Ea"),
            ("http://127.0.0.1:33418/cb", true, "/cb"),
            ("http://127.0.0.1/", true, "/"),
            ("http://[::1]:8/cb", true, "/cb"),
            ("http://localhost:3000/cb", true, "/cb"),
            ("https://localhost/cb", true, "/cb"),
            ("https://localhost.example/cb", false, "/cb"),
            ("https://127.0.0.1.example/cb", false, "/cb"),
        ] {
            let uri = RedirectUri::new(text).unwrap();
            assert_eq!((uri.as_str(), uri.is_loopback(), uri.path()), (text, loopback, path));
        }
    }

    //= spec/oauth21.md#1-5
    //= type=test
    //# Every OAuth URL MUST be https, but for loopback redirect URIs and, where development is switched on,
    //# loopback hosts (NET-01, all).
    #[test]
    fn other_redirect_uris_are_refused() {
        for text in [
            "",
            "/callback",
            "https://",
            "https:///callback",
            "https://gw.example",
            "https://gw.example?x=/",
            "http://gw.example/callback",
            "http://127.0.0.1.evil.example/cb",
            "http://localhostevil/cb",
            "http://127.1/cb",
            "http://127.9.9.9/cb",
            "http://0x7f.0.0.1/cb",
            "http://127.0.0.1:1@evil.example/cb",
            "https://user@gw.example/cb",
            "https://gw.example/cb#x",
            "https://gw.example/cb#",
            "https://gw.example\\@evil.example/cb",
            "https://gw.example/c b",
            "https://gw.example/cb\r\nx: y",
            " https://gw.example/cb",
            "https://gw.example:99999/cb",
            "HTTPS://gw.example/cb",
            "https://GW.example/cb",
            "https://gw.example:443/cb",
            "https://gw.example/a/../cb",
            "https://gw.example/cb?a=$(b)",
            "javascript://gw.example/%0aalert(1)",
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "https://gw.éxample/cb",
        ] {
            assert!(RedirectUri::new(text).is_err(), "{text:?}");
        }
        assert!(RedirectUri::new(format!("https://gw.example/{}", "a".repeat(URL_MAX_BYTES))).is_err());
    }

    #[test]
    fn the_application_type_follows_the_host() {
        let kind = |text: &str| RedirectUri::new(text).unwrap().application_type();
        assert_eq!(kind("http://127.0.0.1:1/cb"), ApplicationType::Native);
        assert_eq!(kind("https://gw.example/cb"), ApplicationType::Web);
    }

    // atk:MIX-01
    #[test]
    fn an_issuer_that_does_not_name_itself_has_a_callback_path_of_its_own() {
        assert_eq!(callback_path("https://as.good", true), "/callback");
        assert_eq!(callback_path("abc", false), "/callback/ba7816bf8f01cfea");
        assert_ne!(callback_path("https://as.good", false), callback_path("https://as.good/", false));
    }

    #[test]
    fn records_hold_the_text_and_are_checked_when_read() {
        let uri = RedirectUri::new("http://127.0.0.1:1/cb").unwrap();
        let json = serde_json::to_string(&uri).unwrap();
        assert_eq!(json, "\"http://127.0.0.1:1/cb\"");
        assert_eq!(serde_json::from_str::<RedirectUri>(&json).unwrap(), uri);
        assert!(serde_json::from_str::<RedirectUri>("\"http://evil.example/cb\"").is_err());
    }
}
