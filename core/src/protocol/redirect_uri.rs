//! Our redirect URIs and callback paths.

use std::fmt;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::Invalid;

/// A redirect URI of ours, kept byte for byte: `https` anywhere, or `http` on a loopback host (RFC 8252 §7.3), with a
/// path, without userinfo or fragment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RedirectUri(String);

/// LIMIT: as every URL (design §8).
const MAX_BYTES: usize = 4096;

impl RedirectUri {
    /// Checks the text. Scheme and loopback host must be in lower case, so that equal means equal byte for byte.
    pub fn new(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        if text.len() > MAX_BYTES {
            return Err(Invalid("a redirect URI is longer than 4096 bytes"));
        }
        if !text.bytes().all(is_uri_byte) {
            return Err(Invalid("a redirect URI has a fragment or a character that URIs do not have"));
        }
        let (scheme, authority, path) = split(&text)
            .ok_or(Invalid("a redirect URI needs a scheme, a host and a path, which may be a slash"))?;
        if authority.contains('@') {
            return Err(Invalid("a redirect URI has userinfo"));
        }
        // NET-01
        if scheme != "https" && !(scheme == "http" && is_loopback(authority)) {
            return Err(Invalid("a redirect URI is neither https nor http on a loopback host"));
        }
        if path.is_empty() || Url::parse(&text).is_err() {
            return Err(Invalid("a redirect URI is not a valid URL"));
        }
        Ok(Self(text))
    }

    /// The text as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it leads to this machine: the host is `127.0.0.1`, `[::1]` or `localhost`.
    pub fn is_loopback(&self) -> bool {
        split(&self.0).is_some_and(|(_, authority, _)| is_loopback(authority))
    }

    /// The path as written, without the query. Callbacks are compared with it.
    pub fn path(&self) -> &str {
        split(&self.0).map_or("", |(_, _, path)| path)
    }

    /// What a client with this redirect URI registers as.
    pub fn application_type(&self) -> ApplicationType {
        // REG-15
        if self.is_loopback() { ApplicationType::Native } else { ApplicationType::Web }
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
    let mut path = String::from("/callback");
    if !sends_iss {
        path.push('/');
        for byte in Sha256::digest(issuer).iter().take(8) {
            // INVARIANT: writing to a String cannot fail.
            let _ = write!(path, "{byte:02x}");
        }
    }
    path
}

/// Scheme, authority and path (up to the query), as written.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let (hierarchy, _) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = hierarchy.split_at(hierarchy.find('/')?);
    (!authority.is_empty()).then_some((scheme, authority, path))
}

/// The three names of RFC 8252 §7.3 and §8.3 as text; other spellings of the same address are not taken.
fn is_loopback(authority: &str) -> bool {
    ["127.0.0.1", "[::1]", "localhost"]
        .iter()
        .any(|host| authority.strip_prefix(host).is_some_and(|port| port.is_empty() || port.starts_with(':')))
}

/// The characters of RFC 3986 §2 without `#`, so that the text as kept is the text as parsed.
fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_and_loopback_http_are_kept_byte_for_byte() {
        for (text, loopback, path) in [
            ("https://gw.example/callback", false, "/callback"),
            ("https://gw.example:443/Callback/?a=/b", false, "/Callback/"),
            ("https://GW.example/%7Ea", false, "/%7Ea"),
            ("http://127.0.0.1:33418/cb", true, "/cb"),
            ("http://127.0.0.1/", true, "/"),
            ("http://[::1]:8/cb", true, "/cb"),
            ("http://localhost:3000/cb", true, "/cb"),
            ("https://localhost/cb", true, "/cb"),
            ("https://localhost.example/cb", false, "/cb"),
        ] {
            let uri = RedirectUri::new(text).unwrap();
            assert_eq!((uri.as_str(), uri.is_loopback(), uri.path()), (text, loopback, path));
        }
    }

    // NET-01
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
            "javascript://gw.example/%0aalert(1)",
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "https://gw.éxample/cb",
        ] {
            assert!(RedirectUri::new(text).is_err(), "{text:?}");
        }
        assert!(RedirectUri::new(format!("https://gw.example/{}", "a".repeat(MAX_BYTES))).is_err());
    }

    // REG-15
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
