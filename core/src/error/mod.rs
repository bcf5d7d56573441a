//! The three kinds of error: [`Misuse`](crate::operation::Misuse) (the host called us wrongly, nothing changed),
//! [`Failure`] (a typed outcome) and [`ConfigError`] (refused configuration).

mod catalogue;

use std::fmt;

pub use catalogue::Code;

use crate::moment::UnixMillis;

/// Who can mend a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The server broke its protocol, or refused us.
    Peer,
    /// The person, or the code acting for the person.
    User,
    /// Whoever configured the connector or the engine.
    Config,
    /// Nobody could be reached.
    Network,
    /// The host's store.
    Store,
    /// Grantway itself: a bug, please report it.
    Engine,
}

impl Fault {
    /// Its name in messages: `peer`, `user`, `config`, `network`, `store`, `engine`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::User => "user",
            Self::Config => "config",
            Self::Network => "network",
            Self::Store => "store",
            Self::Engine => "engine",
        }
    }
}

/// Whether asking again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same request gives the same answer until somebody changes something.
    Never,
    /// A person has to do something first: connect again, sign in, choose.
    AfterAction,
    /// The same request may succeed later by itself.
    Later,
}

impl Retry {
    /// Its name in messages: `never`, `after_action`, `later`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::AfterAction => "after_action",
            Self::Later => "later",
        }
    }
}

/// A typed outcome: what went wrong, whose fault it is, whether a retry can help, what to do next.
///
/// Displays as `slug: message`, with the static reason and the peer's own words (sanitized) where there are any.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "model", derive(Hash))]
pub struct Failure {
    code: Code,
    reason: Option<&'static str>,
    peer_text: Option<PeerText>,
    retry_at: Option<UnixMillis>,
    evidence: Option<String>,
}

impl Failure {
    /// A failure with nothing but its code.
    pub const fn new(code: Code) -> Self {
        Self { code, reason: None, peer_text: None, retry_at: None, evidence: None }
    }

    /// The same failure with a reason of ours: static text, never a peer's.
    #[must_use]
    pub const fn because(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// The same failure with what the peer said; only after the peer's identity was checked.
    #[must_use]
    pub fn quoting(mut self, text: PeerText) -> Self {
        self.peer_text = Some(text);
        self
    }

    /// The same failure with the time from which a retry makes sense.
    #[must_use]
    pub const fn retry_at(mut self, at: UnixMillis) -> Self {
        self.retry_at = Some(at);
        self
    }

    pub(crate) fn with_evidence(mut self, operation: String) -> Self {
        self.evidence.get_or_insert(operation);
        self
    }

    /// Which failure of the catalogue it is.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The slug, the same in every language: `peer_misbehaved.callback_issuer_mismatch`.
    pub const fn slug(&self) -> &'static str {
        self.code.slug()
    }

    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        self.code.fault()
    }

    /// Whether asking again can help.
    pub const fn retry(&self) -> Retry {
        self.code.retry()
    }

    /// From when on, if known.
    pub const fn retry_from(&self) -> Option<UnixMillis> {
        self.retry_at
    }

    /// What to do next, for the person who reads the error.
    pub const fn next_step(&self) -> &'static str {
        self.code.next_step()
    }

    /// The precise reason, where there is one: static text of ours.
    pub const fn reason(&self) -> Option<&'static str> {
        self.reason
    }

    /// The peer's own words, sanitized and cut; untrusted, for people only.
    pub fn peer_text(&self) -> Option<&str> {
        self.peer_text.as_ref().map(|text| text.0.as_str())
    }

    /// An id that names the operation in the host's logs; it says nothing by itself.
    pub fn evidence(&self) -> Option<&str> {
        self.evidence.as_deref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.slug(), self.code.message())?;
        if let Some(reason) = self.reason {
            write!(f, ": {reason}")?;
        }
        if let Some(text) = &self.peer_text {
            write!(f, ": the server says `{}`", text.0)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

/// Text of a peer made fit to show: printable ASCII, at most 200 characters, backticks replaced. Still untrusted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerText(String);

/// LIMIT: long enough for an `error` and its description, short enough for one log line.
const PEER_TEXT_MAX: usize = 200;

impl PeerText {
    /// Sanitizes; never fails. Everything outside %x20-7E becomes `?`, a backtick becomes `'`.
    pub fn sanitize(text: &str) -> Self {
        let clean = |c: char| match c {
            '`' => '\'',
            ' '..='~' => c,
            _ => '?',
        };
        Self(text.chars().take(PEER_TEXT_MAX).map(clean).collect())
    }

    /// The sanitized text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Refused configuration: names the field and the value, and says what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConfigError {
    field: &'static str,
    value: PeerText,
    problem: &'static str,
}

impl ConfigError {
    /// `field` as written in configuration; `value` is cut and sanitized, and must not be a secret.
    pub fn new(field: &'static str, value: &str, problem: &'static str) -> Self {
        Self { field, value: PeerText::sanitize(value), problem }
    }

    /// The field as written in configuration.
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// What is wrong with the value.
    pub fn problem(&self) -> &'static str {
        self.problem
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is `{}`: {}", self.field, self.value.0, self.problem)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_text_is_printable_short_and_cannot_close_the_quotes() {
        let text = PeerText::sanitize(&format!("a\r\n`b`\u{202e}é{}", "x".repeat(500)));
        assert!(text.as_str().starts_with("a??'b'??x"));
        assert_eq!(text.as_str().len(), PEER_TEXT_MAX);
    }

    #[test]
    fn a_failure_reads_as_one_line() {
        let failure =
            Failure::new(Code::RegistrationRefused).quoting(PeerText::sanitize("invalid_redirect_uri"));
        assert_eq!(
            failure.to_string(),
            "peer_refused.registration: the issuer refused to register this client: \
             the server says `invalid_redirect_uri`"
        );
    }
}
