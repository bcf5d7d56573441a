//! Effects and replies between their types and JSON, written a second time and apart from the engine's own encoder and reader:
//! the recorder writes replies with it, and the replay in typed values compares with it.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use grantway_core::address::AddressPolicy;
use grantway_core::operation::{
    Action, CommitReply, Effect, HttpReply, HttpResponse, IdentityReply, NotSent, Peer, Precondition,
    ReadReply, Reply, ScanReply, Version, Versioned, Whom, Write,
};
use grantway_core::secret::SecretBytes;
use grantway_core::store::Key;
use serde_json::{Value, json};

/// An effect as it should stand in a message.
pub fn effect_as_value(effect: &Effect) -> Value {
    match effect {
        Effect::Commit { writes } => {
            json!({ "commit": { "writes": writes.iter().map(write).collect::<Vec<_>>() } })
        }
        Effect::Http(request) => {
            let headers = request.headers.iter().map(|header| json!([header.name, header.value.expose()]));
            json!({ "http": {
                "method": request.method.as_str(),
                "url": request.url,
                "headers": headers.collect::<Vec<_>>(),
                "body": std::str::from_utf8(request.body.expose()).expect("the engine sends text"),
                "max_response_bytes": request.max_response_bytes,
                "timeout_ms": request.timeout_ms,
                "start_within_ms": request.start_within_ms,
                "address_policy": match &request.address_policy {
                    AddressPolicy::Allow(networks) => {
                        json!({ "allow": networks.iter().map(ToString::to_string).collect::<Vec<_>>() })
                    }
                    AddressPolicy::Loopback => json!("loopback"),
                    AddressPolicy::Public => json!("public"),
                },
            } })
        }
        Effect::Identify { tenant, whom } => {
            let (key, principal) = match whom {
                Whom::Key(key) => (Some(key.expose()), None),
                Whom::Principal(principal) => (None, Some(principal)),
            };
            json!({ "identify": { "tenant": tenant, "key": key, "principal": principal } })
        }
        Effect::Read { keys } => json!({ "read": { "keys": keys.iter().map(key).collect::<Vec<_>>() } }),
        Effect::Scan { prefix, after, limit } => {
            json!({ "scan": { "prefix": key(prefix), "after": after.as_ref().map(key), "limit": limit } })
        }
        Effect::Sleep { for_ms, watch } => {
            json!({ "sleep": { "for_ms": for_ms, "watch": watch.as_ref().map(key) } })
        }
    }
}

fn write(write: &Write) -> Value {
    let (precondition, version) = match write.precondition {
        Precondition::Absent => ("absent", None),
        Precondition::Any => ("any", None),
        Precondition::Version(version) => ("version", Some(version.0.to_string())),
    };
    let (action, value, expires_at) = match &write.action {
        Action::Delete => ("delete", None, None),
        Action::Keep => ("keep", None, None),
        Action::Put { value, expires_at } => ("put", Some(encode(value)), *expires_at),
    };
    json!({
        "key": key(&write.key),
        "precondition": precondition,
        "version": version,
        "action": action,
        "value": value,
        "expires_at": expires_at,
    })
}

/// A reply as a host may write it.
pub fn reply_as_value(reply: &Reply) -> Value {
    match reply {
        Reply::Start => json!("start"),
        Reply::Commit(reply) => json!({ "commit": match reply {
            CommitReply::Committed => "committed",
            CommitReply::Conflict => "conflict",
            CommitReply::Unavailable => "unavailable",
            CommitReply::Unknown => "unknown",
        } }),
        Reply::Http(HttpReply::NotSent(why)) => json!({ "http": { "not_sent": match why {
            NotSent::AddressRefused => "address_refused",
            NotSent::TooLate => "too_late",
            NotSent::Unreachable => "unreachable",
        } } }),
        Reply::Http(HttpReply::Response(response)) => {
            let body = response.body.expose();
            let (name, body) = match std::str::from_utf8(body) {
                Ok(text) => ("body", text.to_owned()),
                Err(_) => ("body_base64", encode(body)),
            };
            json!({ "http": { "response": {
                "status": response.status,
                "headers": response.headers,
                name: body,
                "truncated": response.truncated,
                "peer": match response.peer {
                    Peer::Address(address) => address.to_string(),
                    Peer::ViaProxy => "via_proxy".to_owned(),
                },
            } } })
        }
        Reply::Http(HttpReply::UnknownOutcome) => json!({ "http": "unknown_outcome" }),
        Reply::Identity(IdentityReply::Caller(caller)) => json!({ "identity": { "caller": caller } }),
        Reply::Identity(IdentityReply::Rejected) => json!({ "identity": "rejected" }),
        Reply::Identity(IdentityReply::Unavailable) => json!({ "identity": "unavailable" }),
        Reply::Read(ReadReply::Found(records)) => {
            let record = |found: &Option<Versioned>| found.as_ref().map_or(Value::Null, record);
            json!({ "read": { "found": records.iter().map(record).collect::<Vec<_>>() } })
        }
        Reply::Read(ReadReply::Unavailable) => json!({ "read": "unavailable" }),
        Reply::Scan(ScanReply::Page { entries, more }) => {
            let entry = |(of, found): &(Key, Versioned)| {
                let mut entry = record(found);
                entry["key"] = json!(key(of));
                entry
            };
            json!({ "scan": { "page": { "entries": entries.iter().map(entry).collect::<Vec<_>>(), "more": more } } })
        }
        Reply::Scan(ScanReply::Unavailable) => json!({ "scan": "unavailable" }),
        Reply::Woke { after_ms } => json!({ "woke": { "after_ms": after_ms } }),
    }
}

fn record(found: &Versioned) -> Value {
    json!({ "value": encode(&found.value), "version": found.version.0.to_string() })
}

/// The typed reply that a recorded one stands for.
///
/// # Panics
/// It is none.
pub fn reply_from_value(reply: &Value) -> Reply {
    if reply == "start" {
        return Reply::Start;
    }
    let (kind, said) = reply.as_object().and_then(|reply| reply.iter().next()).expect("one member");
    match kind.as_str() {
        "commit" => Reply::Commit(match said.as_str() {
            Some("committed") => CommitReply::Committed,
            Some("conflict") => CommitReply::Conflict,
            Some("unavailable") => CommitReply::Unavailable,
            _ => CommitReply::Unknown,
        }),
        "http" if said == "unknown_outcome" => Reply::Http(HttpReply::UnknownOutcome),
        "http" if said.get("not_sent").is_some() => {
            Reply::Http(HttpReply::NotSent(match said["not_sent"].as_str() {
                Some("address_refused") => NotSent::AddressRefused,
                Some("too_late") => NotSent::TooLate,
                _ => NotSent::Unreachable,
            }))
        }
        "http" => Reply::Http(HttpReply::Response(response(&said["response"]))),
        "identity" if said == "rejected" => Reply::Identity(IdentityReply::Rejected),
        "identity" if said == "unavailable" => Reply::Identity(IdentityReply::Unavailable),
        "identity" => {
            let caller = serde_json::from_value(said["caller"].clone()).expect("a caller");
            Reply::Identity(IdentityReply::Caller(Box::new(caller)))
        }
        "read" if said == "unavailable" => Reply::Read(ReadReply::Unavailable),
        "read" => {
            let found = |record: &Value| (!record.is_null()).then(|| versioned(record));
            Reply::Read(ReadReply::Found(list(&said["found"]).iter().map(found).collect()))
        }
        "scan" if said == "unavailable" => Reply::Scan(ScanReply::Unavailable),
        "scan" => {
            let entry =
                |entry: &Value| (Key::from_bytes(decode(&entry["key"])).expect("a key"), versioned(entry));
            let page = &said["page"];
            let entries = list(&page["entries"]).iter().map(entry).collect();
            Reply::Scan(ScanReply::Page { entries, more: page["more"] == true })
        }
        "woke" => Reply::Woke { after_ms: said["after_ms"].as_u64().expect("a number") },
        other => panic!("`{other}` is no reply"),
    }
}

fn response(said: &Value) -> HttpResponse {
    let body = said["body"].as_str().map(|text| text.as_bytes().to_vec());
    let header = |pair: &Value| (text(&pair[0]).to_owned(), text(&pair[1]).to_owned());
    HttpResponse {
        status: said["status"].as_u64().and_then(|status| status.try_into().ok()).expect("a status"),
        headers: list(&said["headers"]).iter().map(header).collect(),
        body: SecretBytes::new(body.unwrap_or_else(|| decode(&said["body_base64"]))),
        truncated: said["truncated"] == true,
        peer: match text(&said["peer"]) {
            "via_proxy" => Peer::ViaProxy,
            address => Peer::Address(address.parse().expect("an address")),
        },
    }
}

fn versioned(record: &Value) -> Versioned {
    let version = Version(text(&record["version"]).parse().expect("a number"));
    Versioned { value: decode(&record["value"]), version }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn key(key: &Key) -> String {
    encode(key.as_bytes())
}

fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(value: &Value) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(text(value)).expect("base64url")
}
