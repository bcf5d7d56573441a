//! Replies from JSON, read strictly.

use std::net::IpAddr;

use serde::Deserialize;

use super::error::{MessageError, read};
use super::value::{Bytes, Object, Text, Value};
use crate::operation::{
    CommitReply, HttpReply, HttpResponse, IdentityReply, NotSent, Peer, ReadReply, Reply, ScanReply, Version,
    Versioned,
};
use crate::principal::Caller;
use crate::store::Key;

/// A reply from JSON. Nothing at all is [`Reply::Start`], for the first step of an operation.
///
/// Whether it answers the pending effect is looked at by the step.
///
/// # Errors
/// The member that is missing, unknown, given twice or not of its form.
pub fn reply(json: &[u8]) -> Result<Reply, MessageError> {
    if json.is_empty() {
        return Ok(Reply::Start);
    }
    Ok(match read::<Form>("", json)? {
        Form::Commit(reply) => Reply::Commit(match reply {
            CommitForm::Committed => CommitReply::Committed,
            CommitForm::Conflict => CommitReply::Conflict,
            CommitForm::Unavailable => CommitReply::Unavailable,
            CommitForm::Unknown => CommitReply::Unknown,
        }),
        Form::Http(HttpForm::NotSent(why)) => Reply::Http(HttpReply::NotSent(match why {
            NotSentForm::AddressRefused => NotSent::AddressRefused,
            NotSentForm::TooLate => NotSent::TooLate,
            NotSentForm::Unreachable => NotSent::Unreachable,
        })),
        Form::Http(HttpForm::Response(Object(response))) => {
            Reply::Http(HttpReply::Response(response.read()?))
        }
        Form::Http(HttpForm::UnknownOutcome) => Reply::Http(HttpReply::UnknownOutcome),
        Form::Identity(reply) => Reply::Identity(match reply {
            IdentityForm::Caller(Object(caller)) => IdentityReply::Caller(Box::new(caller)),
            IdentityForm::Rejected => IdentityReply::Rejected,
            IdentityForm::Unavailable => IdentityReply::Unavailable,
        }),
        Form::Read(ReadForm::Found(records)) => {
            let found = records.into_iter().map(|record| record.map(|Object(record)| record.read()));
            Reply::Read(ReadReply::Found(found.collect()))
        }
        Form::Read(ReadForm::Unavailable) => Reply::Read(ReadReply::Unavailable),
        Form::Scan(ScanForm::Page(Object(PageForm { entries, more }))) => {
            let entries = entries.into_iter().map(|Object(entry)| entry.read()).collect();
            Reply::Scan(ScanReply::Page { entries, more })
        }
        Form::Scan(ScanForm::Unavailable) => Reply::Scan(ScanReply::Unavailable),
        Form::Start => Reply::Start,
        Form::Woke(Object(WokeForm { after_ms })) => Reply::Woke { after_ms },
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Form {
    Commit(CommitForm),
    Http(HttpForm),
    Identity(IdentityForm),
    Read(ReadForm),
    Scan(ScanForm),
    Start,
    Woke(Object<WokeForm>),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum IdentityForm {
    Caller(Object<Caller>),
    Rejected,
    Unavailable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WokeForm {
    after_ms: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum CommitForm {
    Committed,
    Conflict,
    Unavailable,
    Unknown,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum HttpForm {
    NotSent(NotSentForm),
    Response(Object<ResponseForm>),
    UnknownOutcome,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum NotSentForm {
    AddressRefused,
    TooLate,
    Unreachable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponseForm {
    status: u16,
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: Option<Text>,
    #[serde(default)]
    body_base64: Option<Bytes>,
    #[serde(default)]
    truncated: bool,
    peer: String,
}

impl ResponseForm {
    fn read(self) -> Result<HttpResponse, MessageError> {
        let body = match (self.body, self.body_base64) {
            (Some(Text(body)), None) | (None, Some(Bytes(body))) => body,
            (None, None) => {
                return Err(MessageError::new("http.response.body", "missing, and so is `body_base64`"));
            }
            (Some(_), Some(_)) => {
                return Err(MessageError::new("http.response.body", "given beside `body_base64`"));
            }
        };
        let peer = match self.peer.as_str() {
            "via_proxy" => Peer::ViaProxy,
            address => Peer::Address(address.parse::<IpAddr>().map_err(|_| {
                MessageError::new("http.response.peer", "expected an IP address or `via_proxy`")
            })?),
        };
        Ok(HttpResponse { status: self.status, headers: self.headers, body, truncated: self.truncated, peer })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReadForm {
    Found(Vec<Option<Object<RecordForm>>>),
    Unavailable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordForm {
    value: Value,
    version: Version,
}

impl RecordForm {
    fn read(self) -> Versioned {
        Versioned { value: self.value.0, version: self.version }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ScanForm {
    Page(Object<PageForm>),
    Unavailable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageForm {
    entries: Vec<Object<EntryForm>>,
    more: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryForm {
    key: Key,
    value: Value,
    version: Version,
}

impl EntryForm {
    fn read(self) -> (Key, Versioned) {
        (self.key, Versioned { value: self.value.0, version: self.version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Reply {
        reply(json.as_bytes()).unwrap()
    }

    fn refused(json: &str) -> String {
        reply(json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn nothing_is_the_reply_to_nothing() {
        assert!(matches!(read(""), Reply::Start));
        assert!(matches!(read(r#""start""#), Reply::Start));
    }

    #[test]
    fn a_response_is_read_with_a_body_of_text_or_of_any_bytes() {
        for (body, expected) in [
            (r#""body":"{\"a\":\"\u00e9\"}""#, "{\"a\":\"é\"}".as_bytes()),
            (r#""body_base64":"AP-_""#, &[0, 255, 191]),
        ] {
            let json = format!(
                r#"{{"http":{{"response":{{"status":200,"headers":[["A","b"],["a","c"]],{body},"peer":"2001:db8::1"}}}}}}"#
            );
            let Reply::Http(HttpReply::Response(response)) = read(&json) else { panic!("{json}") };
            assert_eq!(response.body.expose(), expected);
            assert_eq!((response.status, response.truncated), (200, false));
            assert_eq!(response.all("a").collect::<Vec<_>>(), ["b", "c"]);
            assert_eq!(response.peer, Peer::Address("2001:db8::1".parse().unwrap()));
        }
        let json = r#"{"http":{"response":{"status":200,"headers":[],"body":"","truncated":true,"peer":"via_proxy"}}}"#;
        let Reply::Http(HttpReply::Response(response)) = read(json) else { panic!("{json}") };
        assert!(response.truncated && response.peer == Peer::ViaProxy);
    }

    #[test]
    fn every_other_reply_is_read() {
        for (json, expected) in [
            (r#"{"commit":"committed"}"#, "Commit(Committed)"),
            (r#"{"commit":"conflict"}"#, "Commit(Conflict)"),
            (r#"{"commit":"unavailable"}"#, "Commit(Unavailable)"),
            (r#"{"commit":"unknown"}"#, "Commit(Unknown)"),
            (r#"{"http":{"not_sent":"address_refused"}}"#, "Http(NotSent(AddressRefused))"),
            (r#"{"http":{"not_sent":"too_late"}}"#, "Http(NotSent(TooLate))"),
            (r#"{"http":{"not_sent":"unreachable"}}"#, "Http(NotSent(Unreachable))"),
            (r#"{"http":"unknown_outcome"}"#, "Http(UnknownOutcome)"),
            (r#"{"identity":"rejected"}"#, "Identity(Rejected)"),
            (r#"{"identity":"unavailable"}"#, "Identity(Unavailable)"),
            (r#"{"read":"unavailable"}"#, "Read(Unavailable)"),
            (
                r#"{"read":{"found":[null,{"value":"_w","version":"18446744073709551615"}]}}"#,
                "Read(Found([None, Some(Versioned { value: [255], version: Version(18446744073709551615) })]))",
            ),
            (r#"{"scan":"unavailable"}"#, "Scan(Unavailable)"),
            (
                r#"{"scan":{"page":{"entries":[{"key":"YQ","value":"","version":"7"}],"more":true}}}"#,
                "Scan(Page { entries: [(Key(a), Versioned { value: [], version: Version(7) })], more: true })",
            ),
            (r#"{"woke":{"after_ms":50}}"#, "Woke { after_ms: 50 }"),
        ] {
            assert_eq!(format!("{:?}", read(json)), expected, "{json}");
        }
    }

    #[test]
    fn what_is_not_exactly_a_reply_is_refused_by_member() {
        let response = |members: &str| format!(r#"{{"http":{{"response":{{{members}}}}}}}"#);
        let found = |record: &str| format!(r#"{{"read":{{"found":[{record}]}}}}"#);
        for (json, expected) in [
            ("{}".to_owned(), "not JSON (line 1, column 2)"),
            (r#"{"commit":"committed"} "x""#.to_owned(), "not JSON (line 1, column 24)"),
            (r#"{"commit":"committed","commit":"unknown"}"#.to_owned(), "not JSON (line 1, column 21)"),
            (
                r#"{"commit":"done"}"#.to_owned(),
                "`commit`: expected one of `committed`, `conflict`, `unavailable`, `unknown`",
            ),
            (
                r#"{"identify":{}}"#.to_owned(),
                "expected one of `commit`, `http`, `identity`, `read`, `scan`, `start`, `woke`",
            ),
            (r#"{"woke":{"after_ms":-1}}"#.to_owned(), "`woke.after_ms`: expected a whole number"),
            (r#"{"woke":{"after_ms":1,"early":true}}"#.to_owned(), "`woke.early`: unknown member"),
            (response(r#""status":200"#), "`http.response.headers`: missing"),
            (response(r#""status":200,"status":401"#), "`http.response.status`: given twice"),
            (
                response(r#""status":200,"headers":[],"peer":"1.1.1.1""#),
                "`http.response.body`: missing, and so is `body_base64`",
            ),
            (
                response(r#""status":200,"headers":[],"peer":"1.1.1.1","body":"","body_base64":"""#),
                "`http.response.body`: given beside `body_base64`",
            ),
            (
                response(r#""status":200,"headers":[],"peer":"host.example","body":"""#),
                "`http.response.peer`: expected an IP address or `via_proxy`",
            ),
            (
                response(r#""status":200,"headers":[["a"]]"#),
                "`http.response.headers[0]`: expected a list of two",
            ),
            (response(r#""status":70000"#), "`http.response.status`: expected a whole number up to 65535"),
            (found(r#"["_w","7"]"#), "`read.found[0]`: expected an object"),
            (found(r#"{"value":"_w"}"#), "`read.found[0].version`: missing"),
            (found(r#"{"value":"_w","version":7}"#), "`read.found[0].version`: expected a string"),
            (
                found(r#"{"value":"_w","version":"07"}"#),
                "`read.found[0].version`: not a decimal number below 2^64",
            ),
            (
                found(r#"{"value":"_w","version":"18446744073709551616"}"#),
                "`read.found[0].version`: not a decimal number below 2^64",
            ),
            (
                found(r#"{"value":"_x","version":"7"}"#),
                "`read.found[0].value`: not base64url without padding",
            ),
            (
                found(r#"{"value":"/w","version":"7"}"#),
                "`read.found[0].value`: not base64url without padding",
            ),
            (
                found(r#"{"value":"_w==","version":"7"}"#),
                "`read.found[0].value`: not base64url without padding",
            ),
            (
                r#"{"scan":{"page":{"entries":[{"key":"","value":"","version":"7"}],"more":true}}}"#
                    .to_owned(),
                "`scan.page.entries[0].key`: a key has 1 to 1024 bytes",
            ),
        ] {
            assert_eq!(refused(&json), expected, "{json}");
        }
    }
}
