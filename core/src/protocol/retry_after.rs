//! The `Retry-After` header field (RFC 9110 §10.2.3).

use crate::moment::UnixMillis;

/// From when on the peer wants to be asked again; absent if the value says nothing usable.
///
/// `value` is a number of seconds or an IMF-fixdate; the two obsolete date forms are not read. A time that has passed
/// is `now`, one more than a day ahead is a day ahead.
pub fn read(value: &str, now: UnixMillis) -> Option<UnixMillis> {
    let value = value.trim_matches([' ', '\t']);
    let seconds_ahead = match seconds(value) {
        Some(seconds) => seconds,
        None => now.until(UnixMillis(imf_fixdate(value)?.saturating_mul(1000))) / 1000,
    };
    Some(now.plus(seconds_ahead.min(MAX_SECONDS) * 1000))
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

/// Seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT`, exactly in this form (RFC 9110 §5.6.7).
/// The name of the day is not compared with the date.
fn imf_fixdate(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

    let mut parts = text.split(' ');
    let mut next = || parts.next();
    let day_name = next()?.strip_suffix(',')?;
    let day = number(next()?, 2)?;
    let month_name = next()?;
    let year = number(next()?, 4)?;
    let mut clock = next()?.split(':');
    let (hour, minute, second) =
        (number(clock.next()?, 2)?, number(clock.next()?, 2)?, number(clock.next()?, 2)?);
    let is_complete = next()? == "GMT" && next().is_none() && clock.next().is_none();

    let month = MONTHS.iter().zip(1..).find(|(name, _)| **name == month_name).map(|(_, month)| month)?;
    let is_sound = DAYS.contains(&day_name)
        && (1..=days_in(year, month)).contains(&day)
        && year >= 1970
        && hour < 24
        && minute < 60
        && second <= 60;
    (is_complete && is_sound)
        .then(|| days_before(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn number(digits: &str, width: usize) -> Option<u64> {
    seconds(digits).filter(|_| digits.len() == width)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date that is not earlier.
fn days_before(year: u64, month: u64, day: u64) -> u64 {
    let leap_days_until = |year: u64| year / 4 - year / 100 + year / 400;
    let years = (year - 1970) * 365 + leap_days_until(year - 1) - leap_days_until(1969);
    years + (1..month).map(|month| days_in(year, month)).sum::<u64>() + day - 1
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
        assert_eq!(read("Fri, 31 Dec 9999 23:59:60 GMT", EXAMPLE), Some(EXAMPLE.plus(86_400_000)));
    }

    #[test]
    fn dates_around_leap_days_are_exact() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
            ("Mon, 01 Mar 2100 00:00:00 GMT", 4_107_542_400),
            ("Fri, 31 Jul 2026 12:30:45 GMT", 1_785_501_045),
        ] {
            assert_eq!(imf_fixdate(text), Some(seconds), "{text}");
        }
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
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Day, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Wed, 31 Nov 1994 08:49:37 GMT",
            "Thu, 29 Feb 2100 00:00:00 GMT",
            "Wed, 31 Dec 1969 23:59:59 GMT",
        ] {
            // The trailing blank of one entry would be trimmed as optional white space of the field.
            assert_eq!(imf_fixdate(text).or(seconds(text)), None, "{text:?}");
        }
    }
}
