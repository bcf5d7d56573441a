//! The `Retry-After` header field (RFC 9110 §10.2.3).

use crate::moment::UnixMillis;

/// From when on the peer wants to be asked again; absent if the value says nothing usable.
///
/// `value` is a number of seconds or an HTTP date. A time that has passed
/// is `now`, one more than a day ahead is a day ahead.
pub fn read(value: &str, now: UnixMillis) -> Option<UnixMillis> {
    let value = value.trim_matches([' ', '\t']);
    let seconds_ahead = match seconds(value) {
        Some(seconds) => seconds,
        None => now.until(UnixMillis(date(value)?.saturating_mul(1000))) / 1000,
    };
    Some(now.plus(seconds_ahead.min(MAX_SECONDS).saturating_mul(1000)))
}

/// LIMIT: a day. A longer pause would outlast whatever the peer meant, and could be an attempt to lock users out.
const MAX_SECONDS: u64 = 86_400;

/// A number written in digits alone; one beyond `u64` is the largest.
pub(super) fn seconds(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

/// Seconds since 1970 of an HTTP date (RFC 9110 §5.6.7).
fn date(text: &str) -> Option<u64> {
    let at = httpdate::parse_http_date(text).ok()?;
    at.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1994-11-06T08:49:37Z.
    const EXAMPLE: UnixMillis = UnixMillis(784_111_777_000);

    #[test]
    fn seconds_count_from_now_and_are_clamped_to_a_day() {
        let now = UnixMillis(1_000);
        assert_eq!(read("0", now), Some(now));
        assert_eq!(read(" 120\t", now), Some(UnixMillis(121_000)));
        for far in ["86401", "18446744073709551615", "99999999999999999999999"] {
            assert_eq!(read(far, now), Some(UnixMillis(86_401_000)), "{far}");
        }
        assert_eq!(read("60", UnixMillis(u64::MAX)), Some(UnixMillis(u64::MAX)));
    }

    #[test]
    fn a_date_is_a_point_in_time() {
        let text = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(read(text, EXAMPLE.minus(5_000)), Some(EXAMPLE));
        assert_eq!(read(text, EXAMPLE.plus(5_000)), Some(EXAMPLE.plus(5_000)));
        assert_eq!(read(text, UnixMillis(0)), Some(UnixMillis(86_400_000)));
        assert_eq!(read("Fri, 31 Dec 9999 23:59:59 GMT", EXAMPLE), Some(EXAMPLE.plus(86_400_000)));
    }

    #[test]
    fn anything_else_says_nothing() {
        for text in [
            "",
            "-1",
            "+1",
            "1.5",
            "1 2",
            "soon",
            "١٢",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Wed, 31 Dec 1969 23:59:59 GMT",
        ] {
            assert_eq!(read(text, EXAMPLE), None, "{text:?}");
        }
    }
}
