//! Names that somebody else has chosen, made fit to show to a person who is about to decide something.

use std::fmt;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};
use serde::Serialize;
use unicode_security::confusable_detection::skeleton;
use unicode_security::restriction_level::{RestrictionLevel, RestrictionLevelDetection};
use unicode_segmentation::UnicodeSegmentation;

/// A name to be shown: cleaned, cut, and marked where it may pass for another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct DisplayName {
    text: String,
    suspicious: bool,
}

/// LIMIT: longer names say no more. Counted as people count, in grapheme clusters.
const GRAPHEMES_MAX: usize = 64;

/// LIMIT: as much is looked at; four code points for each cluster, more than any language needs for its names.
const CHARACTERS_MAX: usize = 4 * GRAPHEMES_MAX;

/// LIMIT: of marks in a row. Vietnamese and Hebrew need two or three; with more a letter reaches over the lines beside it.
const MARKS_MAX: usize = 3;

/// What stands for a name that has nothing to show.
const UNNAMED: &str = "a client without a name";

impl DisplayName {
    /// Cleans; never fails. What is dropped: controls, invisible and unassigned code points, what steers the direction of text, whatever is
    /// longer than 64 grapheme clusters. White space becomes single spaces. A name of which nothing is left is called so.
    pub fn new(text: &str) -> Self {
        // atk:CON-10
        let Cleaned { text, dropped } = Cleaned::of(text);
        if text.is_empty() {
            return Self { text: UNNAMED.to_owned(), suspicious: true };
        }
        let suspicious = dropped || misleads(&text);
        Self { text, suspicious }
    }

    /// The text to show.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether something was taken out of it, or its letters may be taken for others.
    pub fn is_suspicious(&self) -> bool {
        self.suspicious
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

struct Cleaned {
    text: String,
    dropped: bool,
}

impl Cleaned {
    /// Cleaned twice: what is left may stand beside other letters than before, and form new ones with them.
    fn of(raw: &str) -> Self {
        let first = Self::once(raw);
        let second = Self::once(&first.text);
        Self { text: second.text, dropped: first.dropped || second.dropped }
    }

    fn once(raw: &str) -> Self {
        let mut dropped = raw.chars().nth(CHARACTERS_MAX).is_some();
        let mut kept = String::new();
        let mut marks = 0_usize;
        let composed: String = raw.chars().take(CHARACTERS_MAX).collect();
        for letter in ComposingNormalizerBorrowed::new_nfc().normalize(&composed).chars() {
            let fate = fate(letter);
            marks = if fate == Fate::Mark { marks.saturating_add(1) } else { 0 };
            match fate {
                Fate::Kept => kept.push(letter),
                Fate::Mark if marks <= MARKS_MAX && !kept.is_empty() => kept.push(letter),
                Fate::Space => kept.push(' '),
                Fate::Break => {
                    kept.push(' ');
                    dropped = true;
                }
                Fate::Styled => {}
                Fate::Mark | Fate::Dropped => dropped = true,
            }
        }
        let text = kept.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        let mut clusters = text.graphemes(true);
        let head: String = clusters.by_ref().take(GRAPHEMES_MAX.saturating_sub(1)).collect();
        if clusters.clone().nth(1).is_none() {
            return Self { text, dropped };
        }
        Self { text: format!("{}…", head.trim_end()), dropped: true }
    }
}

/// What becomes of a code point.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    /// It stands over or under the letter before it.
    Mark,
    Space,
    /// A space where it was more, such as a line of its own.
    Break,
    /// Left out without a word: it asks for an emoji in colour or in black.
    Styled,
    Dropped,
}

fn fate(letter: char) -> Fate {
    use GeneralCategory as Is;
    match CodePointMapData::<GeneralCategory>::new().get(letter) {
        Is::SpaceSeparator => Fate::Space,
        Is::LineSeparator | Is::ParagraphSeparator => Fate::Break,
        Is::Control if letter.is_whitespace() => Fate::Break,
        // Directions of text, joiners and tags are all of the format characters.
        Is::Control | Is::Format | Is::PrivateUse | Is::Surrogate | Is::Unassigned => Fate::Dropped,
        _ if matches!(letter, '\u{fe0e}' | '\u{fe0f}') => Fate::Styled,
        // Letters that show nothing, such as the fillers of Hangul; and the braille pattern without a dot.
        _ if letter == '\u{2800}'
            || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(letter) =>
        {
            Fate::Dropped
        }
        Is::NonspacingMark | Is::EnclosingMark => Fate::Mark,
        _ => Fate::Kept,
    }
}

/// Whether the letters of a cleaned name may be taken for others (UTS 39): they are of several scripts, other than Latin beside Chinese,
/// Japanese or Korean; they are of a kind that names are not written in, such as mathematical ones; or all of them look like ASCII.
fn misleads(text: &str) -> bool {
    let letters: String = text.chars().filter(|letter| letter.is_alphabetic()).collect();
    if letters.is_ascii() {
        return false;
    }
    letters.as_str().detect_restriction_level() > RestrictionLevel::HighlyRestrictive
        || skeleton(&letters).all(|letter| letter.is_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> (String, bool) {
        let name = DisplayName::new(text);
        (name.as_str().to_owned(), name.is_suspicious())
    }

    #[test]
    fn names_in_one_script_stay_as_they_are() {
        for name in [
            "Claude Code",
            "Anna’s client – 2.0 (beta)",
            "anna@acme.example",
            "Łódź Café",
            "Кот и пёс",
            "Ελληνικά",
            "कोड सहायक",
            "עוזר קוד",
            "مساعد",
            "コード補助",
            "Claude 助手",
            "코드 도우미",
            "Tôi là khách hàng Việt",
            "Rocket 🚀",
        ] {
            assert_eq!(shown(name), (name.to_owned(), false));
        }
    }

    // atk:CON-10
    #[test]
    fn names_that_may_pass_for_others_are_marked() {
        for name in [
            "\u{421}laude",                                           // Cyrillic among Latin
            "Claud\u{435} Code",                                      // one Cyrillic letter within
            "\u{3bf}penai",                                           // Greek among Latin
            "\u{430}\u{440}\u{440}\u{4cf}\u{435}",                    // wholly Cyrillic, read as `apple`
            "\u{1d402}\u{1d425}\u{1d41a}\u{1d42e}\u{1d41d}\u{1d41e}", // mathematical letters
            "\u{ff23}\u{ff4c}\u{ff41}\u{ff55}\u{ff44}\u{ff45}",       // full width
        ] {
            assert_eq!(shown(name), (name.to_owned(), true));
        }
    }

    // atk:CON-10
    #[test]
    fn what_cannot_be_seen_or_steers_the_text_is_dropped_and_marked() {
        for (raw, clean) in [
            ("Claude\u{202e}moc.live", "Claudemoc.live"),
            ("Claude\u{2066}x\u{2069}", "Claudex"),
            ("Cur\u{200b}sor", "Cursor"),
            ("Cur\u{ad}sor", "Cursor"),
            ("Cursor\u{0}\u{8}\u{9b}", "Cursor"),
            ("Cursor\u{e000}\u{10fffd}", "Cursor"),
            ("Cursor\u{e0041}\u{fff9}", "Cursor"),
            ("Cursor\u{378}\u{ffff}", "Cursor"),
            ("\u{3164}\u{2800}Cursor\u{115f}", "Cursor"),
            ("Cursor\nVerified by Google", "Cursor Verified by Google"),
            ("Cursor\u{2028}\u{2029}\u{85}Verified", "Cursor Verified"),
            ("Z\u{300}\u{301}\u{302}\u{303}\u{304}", "Z\u{300}\u{301}\u{302}"),
            ("\u{301}x", "x"),
            ("u\u{3347a}\u{300}", "ù"),
        ] {
            assert_eq!(shown(raw), (clean.to_owned(), true), "{raw:?}");
        }
    }

    #[test]
    fn white_space_is_single_spaces_and_accents_are_composed() {
        assert_eq!(shown("  Claude \u{a0}\u{3000}  Code "), ("Claude Code".to_owned(), false));
        assert_eq!(shown("Cafe\u{301}"), ("Café".to_owned(), false));
        assert_eq!(shown("I \u{2764}\u{fe0f} code"), ("I \u{2764} code".to_owned(), false));
    }

    #[test]
    fn a_name_of_which_nothing_is_left_is_said_to_be_none() {
        for raw in ["", "   ", "\u{200b}\u{202e}", "\u{3164}", "\n", "\u{301}"] {
            assert_eq!(shown(raw), ("a client without a name".to_owned(), true), "{raw:?}");
        }
    }

    // atk:CON-10
    #[test]
    fn long_names_are_cut_after_whole_letters_and_marked() {
        let fits = "e\u{323}\u{302}".repeat(GRAPHEMES_MAX);
        assert_eq!(shown(&fits), ("\u{1ec7}".repeat(GRAPHEMES_MAX), false));
        let (cut, suspicious) = shown(&"नि".repeat(GRAPHEMES_MAX + 1));
        assert_eq!(cut, "नि".repeat(GRAPHEMES_MAX - 1) + "…");
        assert!(suspicious);
        let (cut, suspicious) = shown(&"x".repeat(10_000));
        assert_eq!((cut.chars().count(), suspicious), (GRAPHEMES_MAX, true));
        let (cut, suspicious) = shown(&(" ".repeat(10_000) + "Verified"));
        assert_eq!((cut.as_str(), suspicious), (UNNAMED, true));
    }

    // atk:CON-10
    #[test]
    fn no_text_is_shown_that_cleaning_would_change_again() {
        use proptest::prelude::*;
        proptest!(|(raw in ".{0,300}")| {
            let name = DisplayName::new(&raw);
            prop_assert!(name.as_str().graphemes(true).count() <= GRAPHEMES_MAX);
            prop_assert!(!name.as_str().chars().any(|letter| letter.is_control()));
            let again = DisplayName::new(name.as_str());
            prop_assert_eq!(again.as_str(), name.as_str());
        });
    }
}
