//! Token revocation (RFC 7009).

use super::Invalid;
use super::error_body::ErrorBody;
use super::form::Form;
use crate::error::PeerText;
use crate::secret::Secret;

/// The request that revokes one token. Client authentication is added by
/// [`ClientAuth::apply`](super::client_auth::ClientAuth::apply).
///
/// Errors: an empty token.
pub fn request(token: &Secret, hint: TokenTypeHint) -> Result<Form<'_>, Invalid> {
    let mut form = Form::new();
    form.secret("token", token)?;
    form.text("token_type_hint", hint.as_str())?;
    Ok(form)
}

/// Which token it is (RFC 7009 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenTypeHint {
    /// An access token.
    AccessToken,
    /// A refresh token.
    RefreshToken,
}

impl TokenTypeHint {
    /// Its registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::RefreshToken => "refresh_token",
        }
    }
}

/// What became of the token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RevocationAnswer {
    /// It is gone, or the issuer has never known it.
    Gone,
    /// It still lives: the issuer cannot answer now. `Retry-After` may say until when.
    StillValid,
    /// The issuer does not revoke tokens of this type (RFC 7009 §2.2.1): it ends by itself.
    NotOffered,
    /// It still lives: the issuer refused the request, in these words. Asking again will hardly help.
    Refused(Option<PeerText>),
}

/// Reads the answer to a revocation request. No answer at all is the caller's to count as
/// [`RevocationAnswer::StillValid`].
pub fn read(status: u16, body: &[u8]) -> RevocationAnswer {
    match status {
        //= spec/rfc7009.md#2-2
        //# The engine MUST take 200 as gone, even for a token the issuer never knew, and 503 as still valid,
        //# to be tried again after `Retry-After` (REV-02, U).
        200..=299 => RevocationAnswer::Gone,
        429 | 500..=599 => RevocationAnswer::StillValid,
        _ => match ErrorBody::read(body) {
            // COMPAT: RFC 7009 §2.2 wants 200 for a token that is dead already; Google and others send an error.
            Some(error)
                if status == 400 && matches!(error.error.as_str(), "invalid_token" | "invalid_grant") =>
            {
                RevocationAnswer::Gone
            }
            Some(error) if status == 400 && error.error == "unsupported_token_type" => {
                RevocationAnswer::NotOffered
            }
            error => RevocationAnswer::Refused(error.map(|error| error.words())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_names_the_token_and_its_type() {
        let token = Secret::new("rt+1");
        let body =
            |hint| String::from_utf8(request(&token, hint).unwrap().into_body().expose().to_vec()).unwrap();
        assert_eq!(body(TokenTypeHint::RefreshToken), "token=rt%2B1&token_type_hint=refresh_token");
        assert_eq!(body(TokenTypeHint::AccessToken), "token=rt%2B1&token_type_hint=access_token");
        assert!(request(&Secret::new(""), TokenTypeHint::RefreshToken).is_err());
    }

    //= spec/rfc7009.md#2-2
    //= type=test
    //# The engine MUST take 200 as gone, even for a token the issuer never knew, and 503 as still valid, to
    //# be tried again after `Retry-After` (REV-02, U).
    #[test]
    fn a_token_is_gone_only_when_the_issuer_says_so() {
        for (status, body, gone) in [
            (200, "", true),
            (204, "", true),
            (200, "<html>", true),
            (400, r#"{"error":"invalid_token","error_description":"Token expired or revoked"}"#, true),
            (400, r#"{"error":"invalid_grant"}"#, true),
            (401, r#"{"error":"invalid_token"}"#, false),
            (400, r#"{"error":"unsupported_token_type"}"#, false),
            (302, "", false),
            (404, "not here", false),
            (503, r#"{"error":"invalid_token"}"#, false),
        ] {
            assert_eq!(read(status, body.as_bytes()) == RevocationAnswer::Gone, gone, "{status} {body}");
        }
    }

    #[test]
    fn an_issuer_that_cannot_answer_is_asked_again_and_a_refusal_is_told() {
        for status in [429, 500, 502, 503, 504, 599] {
            assert_eq!(read(status, b""), RevocationAnswer::StillValid, "{status}");
        }
        assert_eq!(
            read(401, br#"{"error":"invalid_client"}"#),
            RevocationAnswer::Refused(Some(PeerText::sanitize("invalid_client")))
        );
        assert_eq!(read(403, b"<html>"), RevocationAnswer::Refused(None));
    }
}
