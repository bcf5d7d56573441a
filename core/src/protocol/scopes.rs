//! Oauth scopes: the `scope` values of requests, challenges and token responses (RFC 6749 §3.3).

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Invalid;

/// LIMIT: how many scopes one set holds (design §8).
pub const SCOPES_MAX: usize = 100;

/// LIMIT: how long one scope may be, in bytes (design §8).
pub const SCOPE_MAX_BYTES: usize = 200;

/// A set of scope tokens. Tokens are case-sensitive; their order means nothing, so they are kept sorted: equal sets
/// are equal values and print the same.
///
/// INVARIANT: at most [`SCOPES_MAX`] tokens, each of 1 to [`SCOPE_MAX_BYTES`] bytes of %x21 / %x23-5B / %x5D-7E.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Scopes(BTreeSet<String>);

impl Scopes {
    /// Reads the value of a `scope` parameter: tokens separated by spaces; none at all is the empty set.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Self::from_tokens(text.split(' ').filter(|token| !token.is_empty()))
    }

    /// A set of these tokens; a repeated one counts once.
    pub fn from_tokens<T: Into<String>>(tokens: impl IntoIterator<Item = T>) -> Result<Self, Invalid> {
        let mut scopes = BTreeSet::new();
        for token in tokens {
            let token = token.into();
            check_token(&token)?;
            scopes.insert(token);
            if scopes.len() > SCOPES_MAX {
                return Err(Invalid("there are too many oauth scopes"));
            }
        }
        Ok(Self(scopes))
    }

    /// The acceptable ones of these tokens, up to [`SCOPES_MAX`]: for lists that only advertise.
    pub fn acceptable(tokens: impl IntoIterator<Item = String>) -> Self {
        Self(tokens.into_iter().filter(|token| check_token(token).is_ok()).take(SCOPES_MAX).collect())
    }

    /// The scopes of both; refused if they are more than [`SCOPES_MAX`].
    pub fn union(&self, other: &Self) -> Result<Self, Invalid> {
        Self::from_tokens(self.0.union(&other.0).cloned())
    }

    /// Whether every scope of `other` is in this set.
    pub fn contains_all(&self, other: &Self) -> bool {
        self.0.is_superset(&other.0)
    }

    /// Whether this one scope is in the set.
    pub fn contains(&self, token: &str) -> bool {
        self.0.contains(token)
    }

    /// The scopes of this set that `other` lacks.
    #[must_use]
    pub fn missing_from(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }

    /// The tokens, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The value of a `scope` parameter.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, token) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(token)?;
        }
        Ok(())
    }
}

impl TryFrom<Vec<String>> for Scopes {
    type Error = Invalid;

    fn try_from(tokens: Vec<String>) -> Result<Self, Invalid> {
        Self::from_tokens(tokens)
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

/// An optional list that only advertises scopes, read as by [`Scopes::acceptable`]; `null` is absent.
pub fn optional_advertised<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Scopes>, D::Error> {
    Ok(Option::<Vec<String>>::deserialize(deserializer)?.map(Scopes::acceptable))
}

fn check_token(token: &str) -> Result<(), Invalid> {
    if token.is_empty() || token.len() > SCOPE_MAX_BYTES {
        return Err(Invalid("an oauth scope is empty or too long"));
    }
    if !token.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
        return Err(Invalid("an oauth scope holds a character that RFC 6749 does not allow"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(text: &str) -> Scopes {
        Scopes::parse(text).unwrap()
    }

    #[test]
    fn order_and_repetition_do_not_matter_but_case_does() {
        assert_eq!(scopes("b a b"), scopes("a  b "));
        assert_eq!(scopes("b a").to_string(), "a b");
        assert_ne!(scopes("a"), scopes("A"));
        assert!(scopes("").is_empty());
    }

    #[test]
    fn only_the_characters_of_the_standard_are_accepted() {
        for text in ["a\"b", "a\\b", "a\tb", "a\nb", "é", "\u{7f}"] {
            assert!(Scopes::parse(text).is_err(), "{text:?}");
        }
        assert!(Scopes::parse("https://api.example/x.read!#[]~ files:read,write").is_ok());
        assert!(Scopes::from_tokens(["a b"]).is_err());
        assert!(Scopes::from_tokens([""]).is_err());
    }

    #[test]
    fn number_and_length_are_limited_even_for_a_union() {
        let many = |prefix: &str, count: usize| {
            Scopes::from_tokens((0..count).map(|number| format!("{prefix}{number}")))
        };
        assert!(many("a", SCOPES_MAX).is_ok());
        assert!(many("a", SCOPES_MAX + 1).is_err());
        assert!(many("a", 60).unwrap().union(&many("b", 60).unwrap()).is_err());
        assert!(Scopes::parse(&"x".repeat(SCOPE_MAX_BYTES)).is_ok());
        assert!(Scopes::parse(&"x".repeat(SCOPE_MAX_BYTES + 1)).is_err());
    }

    #[test]
    fn sets_are_joined_and_compared() {
        assert_eq!(scopes("a b").union(&scopes("b c")).unwrap(), scopes("a b c"));
        assert!(scopes("a b").contains_all(&scopes("b")));
        assert!(scopes("a").contains_all(&scopes("")));
        assert!(!scopes("a").contains_all(&scopes("a b")));
        assert_eq!(scopes("a b c").missing_from(&scopes("b")), scopes("a c"));
        assert!(scopes("a b").contains("a") && !scopes("ab").contains("a"));
    }

    #[test]
    fn an_advertised_list_loses_what_is_not_a_scope() {
        let advertised = ["b", "a b", "", "a"].map(String::from);
        assert_eq!(Scopes::acceptable(advertised), scopes("a b"));
        let many = Scopes::acceptable((0..=SCOPES_MAX).map(|number| format!("s{number}")));
        assert_eq!(many.iter().count(), SCOPES_MAX);
    }

    #[test]
    fn records_hold_an_array_that_is_checked_when_read() {
        let set = scopes("b a");
        assert_eq!(serde_json::to_string(&set).unwrap(), r#"["a","b"]"#);
        assert_eq!(serde_json::from_str::<Scopes>(r#"["b","a"]"#).unwrap(), set);
        for text in [r#"["a b"]"#, r#"[""]"#, r#""a""#, "[1]"] {
            assert!(serde_json::from_str::<Scopes>(text).is_err(), "{text}");
        }
    }
}
