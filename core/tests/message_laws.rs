//! Laws of the readers of messages, for whatever bytes a host hands in.

use grantway_core::message;
use proptest::prelude::*;

const ENGINE: &str = r#"{"client_name":"Tests","keyring":{"current":{"id":1,"key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"},
    "routing":"ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8"}}"#;
const BEGIN: &str = r#"{"operation":"complete_connect","arguments":{"callback_url":"canary-7c1d0e","cookies":"canary-7c1d0e",
    "caller":{"tenant":"acme","principal":{"kind":"user","id":"alice"},"teams":[{"id":"red","role":"member"}]}}}"#;
const REPLIES: [&str; 3] = [
    r#"{"http":{"response":{"status":200,"headers":[["A","canary-7c1d0e"]],"body":"canary-7c1d0e","truncated":true,"peer":"::1"}}}"#,
    r#"{"read":{"found":[null,{"value":"canary-7c1d0e","version":"18446744073709551615"}]}}"#,
    r#"{"scan":{"page":{"entries":[{"key":"YQ","value":"canary-7c1d0e","version":"7"}],"more":true}}}"#,
];

/// A message with a piece of it replaced.
fn damaged(message: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::sample::select(
            &["", "\"", "{", "}", "[", "]", ",", ":", "null", "-1", "1e400", "\\ud800", "\u{0}"][..]
        )
        .prop_map(|piece: &str| piece.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..4),
    ];
    (0..=message.len(), 0..12usize, piece).prop_map(move |(at, len, piece)| {
        let end = message.len().min(at + len);
        [&message.as_bytes()[..at], &piece, &message.as_bytes()[end..]].concat()
    })
}

fn any_damaged() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        damaged(REPLIES[0]),
        damaged(REPLIES[1]),
        damaged(REPLIES[2]),
        damaged(BEGIN),
        damaged(ENGINE),
        proptest::collection::vec(any::<u8>(), 0..64),
    ]
}

proptest! {
    // atk:IMP-09
    #[test]
    fn no_bytes_make_a_reader_panic_and_no_error_shows_a_value(bytes in any_damaged()) {
        let engine = message::engine(ENGINE.as_bytes()).unwrap();
        let errors = [
            message::reply(&bytes).err().map(|error| error.to_string()),
            message::begin(&engine, &bytes).err().map(|error| error.to_string()),
            message::engine(&bytes).err().map(|error| error.to_string()),
        ];
        for error in errors.into_iter().flatten() {
            // The name of an unknown member is shown, be it whatever was meant to be a value.
            let shown = error.strip_suffix("unknown member").is_some();
            prop_assert!(shown || !error.contains("canary-7c1d0e") && !error.contains("AAECAwQF"), "{error}");
            prop_assert!(!error.is_empty() && error.len() < 1_000, "{error}");
        }
    }
}
