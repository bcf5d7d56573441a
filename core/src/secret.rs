//! Values that must never be printed: tokens, verifiers, client secrets, binding secrets.

use std::fmt;

use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret text: redacted in `Debug`, compared in constant time, wiped when dropped.
///
/// It has no `Display` and no `Serialize`: only records ([`crate::store`]) and the effect encoder write it out.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of the text. The caller's other copies, if any, are not wiped.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself. Every call is a place a reviewer looks at.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        //= spec/mcp-2026-07-28.md#sec-token-theft
        //# Tokens MUST be stored securely, and no token, code, secret or assertion stands in a URL, a log or
        //# a referrer (NET-07, all).
        f.write_str("Secret(…)")
    }
}

/// Bytes that may hold secrets: request and response bodies, opened records. Redacted and wiped like [`Secret`].
#[derive(Clone, Default)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes ownership of the bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.0.len())
    }
}

#[cfg(feature = "model")]
mod model {
    //! The model checker tells states apart by hash.

    use std::hash::{Hash, Hasher};

    impl Hash for super::Secret {
        fn hash<H: Hasher>(&self, hasher: &mut H) {
            self.expose().hash(hasher);
        }
    }

    impl Hash for super::SecretBytes {
        fn hash<H: Hasher>(&self, hasher: &mut H) {
            self.expose().hash(hasher);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // atk:IMP-02
    #[test]
    fn debug_shows_no_byte_of_a_secret() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
        assert_eq!(format!("{:?}", SecretBytes::new(b"hunter2".to_vec())), "SecretBytes(7 bytes)");
    }

    #[test]
    fn equality_is_about_the_text() {
        assert_eq!(Secret::new("a"), Secret::new("a"));
        assert_ne!(Secret::new("a"), Secret::new("b"));
        assert_ne!(Secret::new("a"), Secret::new("aa"));
    }
}
