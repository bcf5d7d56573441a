//! Names that somebody else has chosen, made fit to show to a person who is about to decide something.

use std::fmt;

/// A name to be shown: cleaned, cut, and marked where it may pass for another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DisplayName {
    text: String,
    suspicious: bool,
}

/// LIMIT: longer names say no more.
const CHARACTERS_MAX: usize = 64;

impl DisplayName {
    /// Cleans; never fails.
    pub fn new(text: &str) -> Self {
        let text: String = text.chars().filter(|c| !c.is_control()).take(CHARACTERS_MAX).collect();
        Self { suspicious: !text.is_ascii(), text }
    }

    /// The text to show.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether something was taken out of it, or its letters may be taken for others.
    pub fn is_suspicious(&self) -> bool {
        self.suspicious
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
