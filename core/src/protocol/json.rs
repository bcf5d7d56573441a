//! The JSON of a peer, read strictly: one object, one reading, nothing behind it (RFC 8259).
//!
//! Wire structs derive `Deserialize`, which refuses a repeated known member and ignores unknown ones; maps would keep
//! the last of several, so no wire form is read into one. `Option<Vec<String>>` already reads `null` as absent; the
//! functions here are for the members that need more, named in `#[serde(default, deserialize_with = "…")]`.

use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::Invalid;

/// LIMIT: objects and arrays within each other. Metadata and token responses in the field need 4.
pub const JSON_MAX_DEPTH: usize = 16;

/// Reads one object. Refuses a byte order mark, other encodings than UTF-8, nesting deeper than [`JSON_MAX_DEPTH`],
/// trailing bytes, another top level than an object, and repeated members that `T` knows.
pub fn from_slice<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Invalid> {
    // atk:NET-10
    let text = std::str::from_utf8(bytes).map_err(|_| Invalid("the body is not UTF-8"))?;
    if text.starts_with('\u{feff}') {
        return Err(Invalid("the body begins with a byte order mark"));
    }
    // Derived structs would read an array as their members in order.
    if !text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
        return Err(Invalid("the body is not a JSON object"));
    }
    check_depth(bytes)?;
    //= spec/oauth21.md#3-2-3
    //# Metadata members and request or response parameters that are not known MUST be ignored (NET-10, U/S).
    serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => Invalid("a JSON member is missing, repeated or of the wrong type"),
        Category::Eof | Category::Io | Category::Syntax => Invalid("the body is not well-formed JSON"),
    })
}

/// An optional text, where `null` and `""` mean that it is absent.
pub fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()))
}

/// A list of texts, where `null` means that it is empty.
pub fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default())
}

/// A statement that is false unless made; `null` does not make it.
pub fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<bool>::deserialize(deserializer)?.unwrap_or(false))
}

/// Seconds such as `expires_in`: an integer, or a string of one. Negative is 0, more than `u64::MAX` is `u64::MAX`,
/// anything else (a fraction, an exponent, another type) is absent; no value makes the whole message invalid.
pub fn optional_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    // COMPAT: read as raw text, because a number beyond the range of a float fails in the parser, not in a visitor.
    let raw = <&RawValue>::deserialize(deserializer)?.get();
    let text = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).unwrap_or(raw);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    // atk:TOK-12
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    Ok(Some(if negative { 0 } else { digits.parse().unwrap_or(u64::MAX) }))
}

/// Whether a `Content-Type` is `application/json` or `application/*+json`; its parameters are ignored.
pub fn is_json_content_type(value: &str) -> bool {
    let essence = value.split(';').next().unwrap_or_default().trim_matches([' ', '\t']);
    let Some((kind, subtype)) = essence.split_once('/') else { return false };
    let name = match subtype.rsplit_once('+') {
        Some((name, suffix)) if suffix.eq_ignore_ascii_case("json") => name,
        _ if subtype.eq_ignore_ascii_case("json") => subtype,
        _ => return false,
    };
    // A comma or blank would mean several fields folded into one.
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
    kind.eq_ignore_ascii_case("application") && !name.is_empty() && name.bytes().all(fits)
}

/// One pass over the bytes, without recursion. Whether brackets match is left to the parser.
fn check_depth(bytes: &[u8]) -> Result<(), Invalid> {
    // Most messages have fewer brackets in all; counting them is many times faster than following texts.
    let count =
        |part: &[u8]| part.iter().fold(0u8, |sum, b| sum.wrapping_add(u8::from(matches!(b, b'{' | b'['))));
    if bytes.chunks(255).map(|part| usize::from(count(part))).sum::<usize>() <= JSON_MAX_DEPTH {
        return Ok(());
    }
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            // Outside a text it is an error anyway.
            b'\\' => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth = depth.saturating_add(1);
                if depth > JSON_MAX_DEPTH {
                    return Err(Invalid("the JSON is nested too deeply"));
                }
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    struct Message {
        issuer: Option<String>,
        #[serde(default, deserialize_with = "optional_text")]
        name: Option<String>,
        #[serde(default, deserialize_with = "optional_seconds")]
        expires_in: Option<u64>,
        list: Option<Vec<String>>,
        #[serde(default, deserialize_with = "flag")]
        flag: bool,
    }

    fn read(text: &str) -> Result<Message, Invalid> {
        from_slice(text.as_bytes())
    }

    //= spec/oauth21.md#3-2-3
    //= type=test
    //# Metadata members and request or response parameters that are not known MUST be ignored (NET-10, U/S).
    #[test]
    fn unknown_members_are_ignored_and_null_is_absent() {
        let text =
            r#" {"issuer":"i","x":[{"y":1e400}],"list":null,"flag":null,"name":null,"expires_in":null} "#;
        assert_eq!(read(text), Ok(Message { issuer: Some("i".into()), ..Message::default() }));
    }

    #[test]
    fn an_ambiguous_or_malformed_body_is_refused() {
        // atk:NET-10
        for text in [
            "",
            "null",
            r#"["i"]"#,
            r#"["i","n",1,["a"],true]"#,
            r#""i""#,
            r#"{"issuer":"a","issuer":"b"}"#,
            r#"{"issuer":"a","issu\u0065r":"b"}"#,
            r#"{"issuer":"a"}{"#,
            r#"{"issuer":"a"} x"#,
            r#"{"issuer":"a",}"#,
            r#"{"issuer":NaN}"#,
            r#"{"issuer":1e400}"#,
            r#"{"issuer":"\ud800"}"#,
            "{\"issuer\":\"a\nb\"}",
            "{'issuer':'a'}",
            r#"{"issuer":["a"]}"#,
            "\u{feff}{}",
            "\u{c}{}",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(from_slice::<Message>(b"{\"issuer\":\"\xff\"}").is_err());
        let utf16: Vec<u8> = r#"{"issuer":"a"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(from_slice::<Message>(&utf16).is_err());
    }

    #[test]
    fn nesting_is_limited_and_brackets_in_text_do_not_count() {
        // atk:NET-10
        let nested = |depth: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert!(read(&nested(JSON_MAX_DEPTH - 1)).is_ok());
        assert_eq!(read(&nested(JSON_MAX_DEPTH)), Err(Invalid("the JSON is nested too deeply")));
        assert!(read(&nested(100_000)).is_err());
        let closed_in_text = format!(r#"{{"x":{}1{}}}"#, r#"["]]",["#.repeat(20), "]]".repeat(20));
        assert_eq!(read(&closed_in_text), Err(Invalid("the JSON is nested too deeply")));
        assert!(read(&format!(r#"{{"issuer":"\"{}\\"}}"#, "[{".repeat(100))).is_ok());
        assert!(read(&format!(r#"{{"a":1,"x":[{}1]}}"#, "[],{},".repeat(100))).is_ok());
    }

    #[test]
    fn empty_text_is_absent() {
        assert_eq!(read(r#"{"name":""}"#).unwrap().name, None);
        assert_eq!(read(r#"{"name":"n"}"#).unwrap().name.as_deref(), Some("n"));
        assert!(read(r#"{"name":7}"#).is_err());
    }

    #[test]
    fn lists_hold_text_only_and_flags_are_booleans() {
        let message = read(r#"{"list":["a"],"flag":true}"#).unwrap();
        assert_eq!((message.list, message.flag), (Some(vec!["a".to_owned()]), true));
        for text in [r#"{"list":["a",1]}"#, r#"{"list":"a"}"#, r#"{"list":[null]}"#, r#"{"flag":"true"}"#] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn any_expires_in_is_read_clamped_or_dropped_but_never_an_error() {
        // atk:TOK-12
        for (value, seconds) in [
            ("3600", Some(3600)),
            ("\"3600\"", Some(3600)),
            ("0", Some(0)),
            ("-1", Some(0)),
            ("\"-1\"", Some(0)),
            ("2147483648", Some(1 << 31)),
            ("9223372036854775808", Some(1 << 63)),
            ("18446744073709551616", Some(u64::MAX)),
            ("-18446744073709551616", Some(0)),
            ("\"abc\"", None),
            ("\"3600abc\"", None),
            ("\"\"", None),
            ("\"-\"", None),
            ("\" 3600\"", None),
            ("3600.5", None),
            ("1e400", None),
            ("1e3", None),
            ("null", None),
            ("true", None),
            ("[]", None),
            ("{\"a\":1}", None),
            ("\"\\ud800\"", None),
        ] {
            assert_eq!(read(&format!("{{\"expires_in\":{value}}}")).unwrap().expires_in, seconds, "{value}");
        }
        assert_eq!(read("{}").unwrap().expires_in, None);
    }

    #[test]
    fn json_content_types_are_told_from_others() {
        for value in [
            "application/json",
            "Application/JSON;charset=utf-8",
            "application/json ; x=\"a,b\"",
            "application/problem+json",
            "application/oauth-authz-req+json",
        ] {
            assert!(is_json_content_type(value), "{value}");
        }
        for value in [
            "",
            "json",
            "text/html",
            "text/json",
            "application/jsonp",
            "application/x+xml",
            "application/+json",
            "application/json, text/html",
            "text/html, application/x+json",
            "application/x y+json",
            "application/x-www-form-urlencoded",
        ] {
            assert!(!is_json_content_type(value), "{value}");
        }
    }
}
