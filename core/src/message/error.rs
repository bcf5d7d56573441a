//! Messages that cannot be read.

use std::fmt;

use serde::Deserialize;
use serde_json::error::Category;

use crate::error::PeerText;

/// A message of the host's that cannot be read. Nothing has happened; the same place takes a right one.
///
/// It names the member and says what is wrong, never what its value is: that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageError {
    member: String,
    problem: String,
}

/// LIMIT: of the way to a member; the names of our own members are far shorter.
const MEMBER_MAX_BYTES: usize = 512;

impl MessageError {
    pub(super) fn new(member: impl Into<String>, problem: impl Into<String>) -> Self {
        let mut member = member.into();
        // LIMIT: the name of an unknown member is whatever stood there.
        if member.len() > MEMBER_MAX_BYTES {
            let cut = (0..=MEMBER_MAX_BYTES).rev().find(|at| member.is_char_boundary(*at)).unwrap_or(0);
            member.truncate(cut);
            member.push('…');
        }
        Self { member, problem: problem.into() }
    }

    /// The member, from the outside in: `arguments.caller.tenant`, `commit.writes[3].key`; empty for the message as a whole.
    pub fn member(&self) -> &str {
        &self.member
    }

    /// What is wrong with it: `missing`, `given twice`, `unknown member`, `expected …`, or what its type says.
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.member.is_empty() {
            f.write_str(&self.problem)
        } else {
            write!(f, "`{}`: {}", self.member, self.problem)
        }
    }
}

impl std::error::Error for MessageError {}

/// Reads JSON. `at` is where it stands in the message, for errors.
pub(super) fn read<'de, T: Deserialize<'de>>(at: &str, json: &'de [u8]) -> Result<T, MessageError> {
    // The way to a member costs time, and only errors need it.
    serde_json::from_slice(json)
        .map_err(|error| locate::<T>(at, json).unwrap_or_else(|| not_json(at, &error)))
}

fn not_json(at: &str, error: &serde_json::Error) -> MessageError {
    MessageError::new(at, format!("not JSON (line {}, column {})", error.line(), error.column()))
}

/// Reads the same once more, to find out where it went wrong. `None`: it is not JSON.
fn locate<'de, T: Deserialize<'de>>(at: &str, json: &'de [u8]) -> Option<MessageError> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let error = serde_path_to_error::deserialize::<_, T>(&mut reader).err()?;
    if error.inner().classify() != Category::Data {
        return None;
    }
    let way = error.path().to_string();
    let within = match (at, way.as_str()) {
        (at, "." | "") => at.to_owned(),
        ("", way) => way.to_owned(),
        (at, way) => format!("{at}.{way}"),
    };
    let text = error.inner().to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    Some(classify(&within, text))
}

/// Says in our words what the reader says in its own; what it shows of values is left out.
fn classify(within: &str, text: &str) -> MessageError {
    for (start, problem) in [
        ("missing field `", "missing"),
        ("duplicate field `", "given twice"),
        ("unknown field `", "unknown member"),
    ] {
        if let Some((name, _)) = text.strip_prefix(start).and_then(|rest| rest.split_once('`')) {
            return MessageError::new(member(within, PeerText::sanitize(name).as_str()), problem);
        }
    }
    let of_reader = ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant `"];
    let problem = if of_reader.iter().any(|start| text.starts_with(start)) {
        text.rsplit_once(", expected ").map_or("not acceptable".to_owned(), |(_, what)| expected(what))
    } else {
        // The types' own words: "`tenant` is `…`: must be 1 to 255 bytes long", or "not a cursor".
        text.split_once("`: ").map_or(text, |(_, problem)| problem).to_owned()
    };
    MessageError::new(within, problem)
}

/// The member `name` of what is at `within`; the way there may have been followed already.
fn member(within: &str, name: &str) -> String {
    match within.rsplit_once('.').map_or(("", within), |(holder, last)| (holder, last)) {
        ("", "") => name.to_owned(),
        (_, last) if last == name => within.to_owned(),
        _ => format!("{within}.{name}"),
    }
}

/// What the reader wanted, without its names of types.
fn expected(what: &str) -> String {
    let what = match what {
        "a sequence" => "a list",
        "u8" => "a whole number up to 255",
        "u16" => "a whole number up to 65535",
        "u32" => "a whole number up to 4294967295",
        "u64" => "a whole number",
        _ if what.contains("tuple of size 2") => "a list of two",
        _ if what.starts_with("enum ") || what.contains("variant") => "one of its forms",
        _ if what.starts_with("struct ") || what == "map" => "an object",
        _ => what,
    };
    format!("expected {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Outer {
        name: String,
        list: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        number: u8,
        kind: Kind,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Absent,
        Any,
    }

    fn problem(json: &str) -> String {
        read::<Outer>("", json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn an_error_names_the_member_and_says_what_is_wrong() {
        for (json, expected) in [
            (r#"{"list":[]}"#, "`name`: missing"),
            (r#"{"name":"a","list":[{"number":1}]}"#, "`list[0].kind`: missing"),
            (r#"{"name":"a","name":"b","list":[]}"#, "`name`: given twice"),
            (r#"{"name":"a","list":[],"x":1}"#, "`x`: unknown member"),
            (r#"{"name":"a","list":[{"number":1,"kind":"any"},{"num":1}]}"#, "`list[1].num`: unknown member"),
            (r#"{"name":3,"list":[]}"#, "`name`: expected a string"),
            (
                r#"{"name":"a","list":[{"number":300}]}"#,
                "`list[0].number`: expected a whole number up to 255",
            ),
            (r#"{"name":"a","list":[{"kind":"all"}]}"#, "`list[0].kind`: expected `absent` or `any`"),
            (r#"{"name":"a","list":[]}}"#, "not JSON (line 1, column 23)"),
            (r#"{"name":"a""#, "not JSON (line 1, column 11)"),
            ("", "not JSON (line 1, column 0)"),
        ] {
            assert_eq!(problem(json), expected, "{json}");
        }
    }

    #[test]
    fn an_error_never_shows_a_value() {
        for json in [
            r#"{"name":"a","list":"hunter2"}"#,
            r#"{"name":"a","list":"hunter2, expected hunter2"}"#,
            r#"{"name":"a","list":[{"kind":"hunter2"}]}"#,
            r#"{"name":"a","list":[{"kind":"hunter2`, expected "}]}"#,
            r#"{"name":"a","list":["hunter2"]}"#,
            r#"{"name":"a","list":[{"number":"hunter2"}]}"#,
        ] {
            assert!(!problem(json).contains("hunter2"), "{}", problem(json));
        }
    }

    #[test]
    fn an_error_says_where_a_part_of_a_message_stands() {
        let error = read::<Outer>("arguments", br#"{"name":"a","list":[{"number":-1}]}"#).unwrap_err();
        assert_eq!(error.member(), "arguments.list[0].number");
        let error = read::<Outer>("arguments", b"7").unwrap_err();
        assert_eq!(error.member(), "arguments");
    }
}
