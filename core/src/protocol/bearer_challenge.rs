//! The challenges that we send: `WWW-Authenticate: Bearer …` (RFC 6750 §3, RFC 9728 §5.1).

use std::fmt::Write as _;

use super::Invalid;
use super::scopes::Scopes;

/// What is wrong with a request for the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BearerError {
    /// The request cannot be read, or brings more than one credential.
    InvalidRequest,
    /// The token is expired, revoked, of another resource, or none of ours.
    InvalidToken,
    /// The token is good, and not for this.
    InsufficientScope,
}

impl BearerError {
    /// Its registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
        }
    }

    /// The status it goes with.
    pub const fn status(self) -> u16 {
        //= spec/mcp-2026-07-28.md#idx-error-handling
        //# A request MUST be answered with 400 when it is malformed, with 401 when it lacks a valid token,
        //# and with 403 when the token lacks oauth scopes (USE-09, R).
        match self {
            Self::InvalidRequest => 400,
            Self::InvalidToken => 401,
            Self::InsufficientScope => 403,
        }
    }
}

/// Writes a challenge. `error` is what is wrong, in words of ours; none where no credentials came. `offline_access` is left out of the
/// scopes: it is no matter of the resource.
///
/// # Errors
/// A value has a character that the header may not have.
pub fn write(
    resource_metadata: &str,
    scopes: &Scopes,
    error: Option<(BearerError, &str)>,
) -> Result<String, Invalid> {
    let mut challenge = String::from("Bearer ");
    if let Some((error, description)) = error {
        //= spec/oauth21.md#5-3-1
        //# A challenge SHOULD say no `error` where no credentials came, and `invalid_token` where a token was
        //# bad (CH-12, R).
        quoted(&mut challenge, "error", error.as_str())?;
        quoted(&mut challenge, "error_description", description)?;
    }
    //= spec/mcp-2026-07-28.md#idx-refresh-tokens
    //# A challenge SHOULD NOT ask for `offline_access` (CH-14, R).
    let asked: Vec<&str> = scopes.iter().filter(|scope| *scope != "offline_access").collect();
    if !asked.is_empty() {
        quoted(&mut challenge, "scope", &asked.join(" "))?;
    }
    //= spec/oauth21.md#5-3-1
    //# Every 401 MUST carry a challenge with a scheme and at least one parameter, and ours always names
    //# `resource_metadata` (CH-10, R).
    quoted(&mut challenge, "resource_metadata", resource_metadata)?;
    Ok(challenge)
}

/// One more parameter. Each is written in one place above, so none stands twice.
fn quoted(challenge: &mut String, name: &str, value: &str) -> Result<(), Invalid> {
    //= spec/oauth21.md#5-3-1
    //# A parameter MUST NOT stand twice in a challenge, nor hold other characters than %x20-21, %x23-5B and
    //# %x5D-7E (CH-13, R).
    // atk:HDR-01
    if !value.bytes().all(|byte| matches!(byte, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
        return Err(Invalid("a value has a character that a challenge may not have"));
    }
    let comma = if challenge.ends_with('"') { ", " } else { "" };
    // INVARIANT: writing to a string cannot fail.
    let _ = write!(challenge, "{comma}{name}=\"{value}\"");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::www_authenticate::{BearerChallenge, parse};
    use super::*;

    const METADATA: &str = "https://gw.good/.well-known/oauth-protected-resource/mcp";

    fn scopes(text: &str) -> Scopes {
        Scopes::parse(text).unwrap()
    }

    //= spec/oauth21.md#5-3-1
    //= type=test
    //# Every 401 MUST carry a challenge with a scheme and at least one parameter, and ours always names
    //# `resource_metadata` (CH-10, R).
    //= spec/mcp-2026-07-28.md#idx-scope-selection-strategy
    //= type=test
    //# The oauth scopes that are needed SHOULD stand in the challenge of a 401 (CH-11, R).
    //= spec/oauth21.md#5-3-1
    //= type=test
    //# A challenge SHOULD say no `error` where no credentials came, and `invalid_token` where a token was bad
    //# (CH-12, R).
    #[test]
    fn without_credentials_there_is_no_error_and_always_the_metadata() {
        assert_eq!(
            write(METADATA, &scopes("read"), None).unwrap(),
            format!("Bearer scope=\"read\", resource_metadata=\"{METADATA}\"")
        );
        assert_eq!(
            write(METADATA, &Scopes::default(), None).unwrap(),
            format!("Bearer resource_metadata=\"{METADATA}\"")
        );
        let bad = write(METADATA, &scopes("read"), Some((BearerError::InvalidToken, "ended"))).unwrap();
        assert!(bad.starts_with("Bearer error=\"invalid_token\", error_description=\"ended\", scope="));
    }

    //= spec/mcp-2026-07-28.md#idx-refresh-tokens
    //= type=test
    //# A challenge SHOULD NOT ask for `offline_access` (CH-14, R).
    #[test]
    fn offline_access_is_never_asked_for() {
        let challenge = write(METADATA, &scopes("offline_access"), None).unwrap();
        assert!(!challenge.contains("scope"), "{challenge}");
        let challenge = write(METADATA, &scopes("offline_access read"), None).unwrap();
        assert!(challenge.contains("scope=\"read\""), "{challenge}");
    }

    //= spec/oauth21.md#5-3-1
    //= type=test
    //# A parameter MUST NOT stand twice in a challenge, nor hold other characters than %x20-21, %x23-5B and
    //# %x5D-7E (CH-13, R).
    // atk:HDR-01
    #[test]
    fn a_value_that_could_break_the_header_is_refused() {
        for wrong in ["a\r\nSet-Cookie: x", "a\n", "a\0", "a\"b", "a\\b", "é", "\u{10a}", "\t"] {
            assert!(write(wrong, &Scopes::default(), None).is_err(), "{wrong:?}");
            let error = Some((BearerError::InvalidToken, wrong));
            assert!(write(METADATA, &Scopes::default(), error).is_err(), "{wrong:?}");
        }
    }

    //= spec/oauth21.md#5-3-1
    //= type=test
    //# A parameter MUST NOT stand twice in a challenge, nor hold other characters than %x20-21, %x23-5B and
    //# %x5D-7E (CH-13, R).
    #[test]
    fn our_own_reader_finds_what_was_written_each_once() {
        let error = Some((BearerError::InsufficientScope, "more is needed"));
        let text = write(METADATA, &scopes("b a"), error).unwrap();
        let challenges = parse([text.as_str()]);
        let read = BearerChallenge::select(&challenges).unwrap();
        assert_eq!(read.resource_metadata.as_deref(), Some(METADATA));
        assert_eq!((read.scope, read.error.as_deref()), (Some(scopes("a b")), Some("insufficient_scope")));
        let names: Vec<_> = challenges[0].parameters().map(|(name, _)| name).collect();
        assert_eq!(names, ["error", "error_description", "scope", "resource_metadata"]);
        assert!(!challenges[0].is_malformed());
    }

    //= spec/mcp-2026-07-28.md#idx-error-handling
    //= type=test
    //# A request MUST be answered with 400 when it is malformed, with 401 when it lacks a valid token, and
    //# with 403 when the token lacks oauth scopes (USE-09, R).
    #[test]
    fn each_error_has_its_status() {
        let all = [BearerError::InvalidRequest, BearerError::InvalidToken, BearerError::InsufficientScope];
        assert_eq!(all.map(BearerError::status), [400, 401, 403]);
    }
}
