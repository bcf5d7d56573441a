//! Finding a secret where it must not be, in the forms in which secrets leak.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Whether `haystack` holds `secret`: as it is, percent-encoded, in hex, or within base64 (RFC 4648 §4 and §5) at any offset.
///
/// # Panics
/// If the secret is shorter than 8 bytes: such a search would find accidents.
pub fn contains_secret(haystack: &[u8], secret: &str) -> bool {
    assert!(secret.len() >= 8, "`{secret}` is too short for a canary");
    let contains = |needle: &[u8]| haystack.windows(needle.len()).any(|window| window == needle);
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    contains(secret.as_bytes())
        || contains(utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string().as_bytes())
        || contains(form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>().as_bytes())
        || contains(hex.as_bytes())
        || (0..3).flat_map(|offset| base64_cores(secret, offset)).any(|core| contains(core.as_bytes()))
}

/// The characters of base64 that depend on the secret alone when `offset` other bytes stand before it.
fn base64_cores(secret: &str, offset: usize) -> [String; 2] {
    let skip = (3 - offset) % 3;
    let inner = &secret.as_bytes()[skip..];
    let inner = &inner[..inner.len() / 3 * 3];
    [BASE64_STANDARD_NO_PAD.encode(inner), BASE64_URL_SAFE_NO_PAD.encode(inner)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_form_and_offset() {
        let secret = "rt-0001-c0ffee/+?";
        for form in [
            format!("x{secret}y"),
            format!("x{}y", utf8_percent_encode(secret, NON_ALPHANUMERIC)),
            secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
            BASE64_STANDARD_NO_PAD.encode(format!("{secret}:y")),
            BASE64_URL_SAFE_NO_PAD.encode(format!("a{secret}")),
            BASE64_STANDARD_NO_PAD.encode(format!("ab{secret}yz")),
        ] {
            assert!(contains_secret(form.as_bytes(), secret), "{form}");
        }
        assert!(!contains_secret(b"rt-0002-c0ffee/+? and more text without it", secret));
    }
}
