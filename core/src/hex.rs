//! Hexadecimal text, lower case, for ids and hashes of at most 32 bytes.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

/// Hands on the text of some bytes, two digits for each.
pub(crate) fn with_text<T>(bytes: &[u8], then: impl FnOnce(&str) -> T) -> T {
    let mut text = [0; 2 * BYTES_MAX];
    let (pairs, _) = text.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(byte & 0xf)];
    }
    // INVARIANT: digits are ASCII, and nothing longer than `BYTES_MAX` is ever written.
    let text = text.get(..bytes.len().saturating_mul(2)).and_then(|text| str::from_utf8(text).ok());
    then(text.unwrap_or_default())
}

/// Reads exactly `N` bytes. Upper case is refused, so that equal values have one text.
pub(crate) fn read<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    if pairs.len() != N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = value(*high)? << 4 | value(*low)?;
    }
    Some(bytes)
}

/// For `#[serde(with = …)]`.
pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    with_text(bytes, |text| serializer.serialize_str(text))
}

/// For `#[serde(with = …)]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
    deserializer: D,
) -> Result<[u8; N], D::Error> {
    struct Digits<const N: usize>;

    impl<const N: usize> Visitor<'_> for Digits<N> {
        type Value = [u8; N];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{N} bytes in hexadecimal digits")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<[u8; N], E> {
            read(text).ok_or_else(|| E::custom("not as many hexadecimal digits as expected"))
        }
    }

    deserializer.deserialize_str(Digits)
}

/// LIMIT: SHA-256, the longest value written so.
const BYTES_MAX: usize = 32;

const fn digit(value: u8) -> u8 {
    match value {
        0..=9 => value.wrapping_add(b'0'),
        _ => value.wrapping_sub(10).wrapping_add(b'a'),
    }
}

const fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(digit.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_read_back_from_its_two_digits() {
        for byte in 0..=u8::MAX {
            let text = with_text(&[byte], str::to_owned);
            assert_eq!(text, format!("{byte:02x}"));
            assert_eq!(read(&text), Some([byte]));
        }
        assert_eq!(with_text(&[0xab; 32], str::to_owned), "ab".repeat(32));
    }

    #[test]
    fn a_value_has_one_text_only() {
        for text in ["", "a", "abc", "AB", "+1", " 1", "0x", "é", "abcd"] {
            assert_eq!(read::<1>(text), None, "{text}");
        }
    }
}
