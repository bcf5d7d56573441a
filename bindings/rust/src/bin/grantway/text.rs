//! Text of servers, made fit for a terminal.

use std::fmt::Write as _;

use grantway::grantway_core::moment::UnixMillis;

/// On one line: whatever could move the cursor, change colours or reverse the order of reading is shown as its number.
pub(crate) fn line(text: &str) -> String {
    escape(text, is_visible)
}

/// As [`line`], with line ends and tabs left in.
pub(crate) fn lines(text: &str) -> String {
    escape(text, |c| is_visible(c) || c == '\n' || c == '\t')
}

/// JSON in which no such character stands raw. In JSON they occur in strings only.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    // INVARIANT: results are trees with texts as keys, so that they can be written.
    let text = serde_json::to_string(value).unwrap_or_default();
    let mut units = [0; 2];
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if is_visible(c) {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                // INVARIANT: writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
        out
    })
}

/// When something is, as people say it.
pub(crate) fn from_now(now: UnixMillis, at: UnixMillis) -> String {
    let span = |ms: u64| match ms / 1_000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    };
    if now < at { format!("in {}", span(now.until(at))) } else { format!("{} ago", span(at.until(now))) }
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if keep(c) {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
        out
    })
}

fn is_visible(c: char) -> bool {
    let reorders =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let hides = matches!(
        c,
        '\u{ad}' | '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{2060}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
    );
    !c.is_control() && !reorders && !hides
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "\u{1b}[2J\u{9b}31m\u{7}a\u{202e}b\u{e0041}\r\n\tc";

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(line(HOSTILE), r"\u{1b}[2J\u{9b}31m\u{7}a\u{202e}b\u{e0041}\u{d}\u{a}\u{9}c");
        assert_eq!(lines(HOSTILE), "\\u{1b}[2J\\u{9b}31m\\u{7}a\\u{202e}b\\u{e0041}\\u{d}\n\tc");
        assert_eq!(line("Grüße, 日本 🦀"), "Grüße, 日本 🦀");
    }

    #[test]
    fn times_are_told_from_now() {
        let now = UnixMillis(1_000_000_000);
        assert_eq!(from_now(now, now.plus(119_999)), "in 119 s");
        assert_eq!(from_now(now, now.plus(3_600_000)), "in 60 min");
        assert_eq!(from_now(now, now.minus(86_400_000)), "24 h ago");
        assert_eq!(from_now(now, now.plus(30 * 86_400_000)), "in 30 days");
    }

    #[test]
    fn json_says_the_same_without_raw_control_characters() {
        let text = json(&HOSTILE);
        assert!(text.chars().all(is_visible), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), HOSTILE);
    }
}
