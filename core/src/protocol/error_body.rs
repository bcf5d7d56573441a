//! What registration, token and revocation endpoints say when they refuse (RFC 6749 §5.2, RFC 7591 §3.2.2).

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::json;
use crate::error::PeerText;

/// `error` and `error_description` of a peer, not yet fit to be shown.
#[derive(Debug)]
pub(super) struct ErrorBody {
    pub(super) error: String,
    pub(super) description: Option<String>,
}

impl ErrorBody {
    /// Reads a JSON body. Absent if it is none, or has no `error` of text.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(default, deserialize_with = "text_or_nothing")]
            error: Option<String>,
            #[serde(default, deserialize_with = "text_or_nothing")]
            error_description: Option<String>,
        }
        let wire: Wire = json::from_slice(body).ok()?;
        Some(Self { error: wire.error?, description: wire.error_description })
    }

    /// Both texts as one, sanitized: `error`, or `error: description`.
    pub(super) fn words(&self) -> PeerText {
        match &self.description {
            Some(description) => PeerText::sanitize(&format!("{}: {description}", self.error)),
            None => PeerText::sanitize(&self.error),
        }
    }
}

/// A text; anything else, and the empty text, is absent. An odd description must not hide the error beside it.
pub(super) fn text_or_nothing<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).ok().filter(|text: &String| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(body: &str) -> Option<String> {
        ErrorBody::read(body.as_bytes()).map(|error| error.words().as_str().to_owned())
    }

    #[test]
    fn error_and_description_become_one_sanitized_line() {
        assert_eq!(words(r#"{"error":"invalid_grant"}"#).as_deref(), Some("invalid_grant"));
        assert_eq!(
            words(r#"{"error":"e","error_description":"a\r\nb\u001b[1m`"}"#).as_deref(),
            Some("e: a??b?[1m'")
        );
    }

    #[test]
    fn an_odd_description_does_not_hide_the_error() {
        for odd in ["7", "null", "\"\"", "[\"x\"]", "{\"a\":1}", "1e400", "\"\\ud800\""] {
            let body = format!(r#"{{"error":"invalid_grant","error_description":{odd}}}"#);
            assert_eq!(words(&body).as_deref(), Some("invalid_grant"), "{odd}");
        }
    }

    #[test]
    fn a_body_without_an_error_says_nothing() {
        for body in ["", "Forbidden", "<html>", "{}", r#"{"error":null}"#, r#"{"error":{"code":1}}"#, "[1]"] {
            assert_eq!(words(body), None, "{body}");
        }
    }
}
