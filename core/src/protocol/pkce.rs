//! Proof Key for Code Exchange (RFC 7636) with the method `S256`; there is no other.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::secret::Secret;

/// The `code_challenge_method` of every request.
pub const METHOD: &str = "S256";

/// The `code_challenge` of a verifier: base64url, without padding, of SHA-256 over its text (RFC 7636 §4.2).
pub fn challenge(verifier: &Secret) -> String {
    //= spec/rfc7636.md#4-2
    //# The request MUST say `code_challenge_method=S256`, the challenge being SHA-256 of the ASCII verifier
    //# in base64url without padding (AZQ-03, U).
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose()))
}

/// Whether a text is a verifier: 43 to 128 unreserved characters (RFC 7636 §4.1).
pub fn is_verifier(text: &str) -> bool {
    matches!(text.len(), 43..=128)
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::{Moment, UnixMillis};

    //= spec/rfc7636.md#4-2
    //= type=test
    //# The request MUST say `code_challenge_method=S256`, the challenge being SHA-256 of the ASCII verifier
    //# in base64url without padding (AZQ-03, U).
    #[test]
    fn the_challenge_is_that_of_rfc_7636_appendix_b() {
        let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(challenge(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    //= spec/rfc7636.md#4-1
    //= type=test
    //# The verifier MUST have 43 to 128 unreserved characters, be made from 32 random octets, and be new for
    //# every pending flow, after an error too (AZQ-04, U).
    #[test]
    fn the_tokens_we_derive_are_verifiers() {
        let token = Moment::new(UnixMillis(1), [7; 32]).entropy.token("verifier");
        assert!(is_verifier(token.expose()));
    }

    #[test]
    fn a_verifier_has_43_to_128_unreserved_characters() {
        assert!(!is_verifier(&"a".repeat(42)));
        assert!(is_verifier(&"a".repeat(43)));
        assert!(is_verifier(&"~".repeat(128)));
        assert!(!is_verifier(&"a".repeat(129)));
        for wrong in ['+', '/', '=', ' ', '\n', '\0', 'é'] {
            assert!(!is_verifier(&format!("{}{wrong}", "a".repeat(60))), "{wrong:?}");
        }
    }
}
