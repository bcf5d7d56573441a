//! Effects as JSON: the one encoder, and with the outcomes the one place where secrets leave their types.

use serde::{Serialize, Serializer};

use super::value::{Base64, Exposed, INTEGER_MAX, write};
use crate::address::AddressPolicy;
use crate::operation::{Action, Effect, Header, HttpRequest, Precondition, Version, Whom, Write};
use crate::principal::{Principal, TenantId};
use crate::secret::SecretBytes;
use crate::store::Key;

/// An effect as JSON, for a host that reads text. It holds secrets: hand it on, do not keep it.
pub fn effect(effect: &Effect) -> SecretBytes {
    write(&Form::from(effect))
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Form<'a> {
    Commit {
        #[serde(serialize_with = "write_each")]
        writes: &'a [Write],
    },
    Http {
        method: &'static str,
        url: &'a str,
        #[serde(serialize_with = "write_headers")]
        headers: &'a [Header],
        body: &'a str,
        max_response_bytes: u32,
        timeout_ms: u64,
        start_within_ms: u64,
        address_policy: &'a AddressPolicy,
    },
    Identify {
        tenant: &'a TenantId,
        key: Option<Exposed<'a>>,
        principal: Option<&'a Principal>,
    },
    Read {
        keys: &'a [Key],
    },
    Scan {
        prefix: &'a Key,
        after: Option<&'a Key>,
        limit: u32,
    },
    Sleep {
        for_ms: u64,
        watch: Option<&'a Key>,
    },
}

impl<'a> From<&'a Effect> for Form<'a> {
    fn from(effect: &'a Effect) -> Self {
        match effect {
            Effect::Commit { writes } => Self::Commit { writes },
            Effect::Http(request) => {
                let HttpRequest {
                    method,
                    url,
                    headers,
                    body,
                    max_response_bytes,
                    timeout_ms,
                    start_within_ms,
                    address_policy,
                } = request;
                Self::Http {
                    method: method.as_str(),
                    url,
                    headers,
                    // INVARIANT: all that the engine sends is a form or JSON, hence text.
                    body: std::str::from_utf8(body.expose()).unwrap_or_default(),
                    max_response_bytes: *max_response_bytes,
                    timeout_ms: *timeout_ms,
                    start_within_ms: *start_within_ms,
                    address_policy,
                }
            }
            Effect::Identify { tenant, whom: Whom::Key(key) } => {
                Self::Identify { tenant, key: Some(Exposed(key)), principal: None }
            }
            Effect::Identify { tenant, whom: Whom::Principal(principal) } => {
                Self::Identify { tenant, key: None, principal: Some(principal) }
            }
            Effect::Read { keys } => Self::Read { keys },
            Effect::Scan { prefix, after, limit } => {
                Self::Scan { prefix, after: after.as_ref(), limit: *limit }
            }
            Effect::Sleep { for_ms, watch } => Self::Sleep { for_ms: *for_ms, watch: watch.as_ref() },
        }
    }
}

fn write_headers<S: Serializer>(headers: &[Header], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(headers.iter().map(|header| (&header.name, Exposed(&header.value))))
}

fn write_each<S: Serializer>(writes: &[Write], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(writes.iter().map(WriteForm::from))
}

/// A write, flat: what it takes to fill a statement of a database in.
#[derive(Serialize)]
struct WriteForm<'a> {
    key: &'a Key,
    precondition: &'static str,
    version: Option<Version>,
    action: &'static str,
    value: Option<Base64<'a>>,
    expires_at: Option<u64>,
}

impl<'a> From<&'a Write> for WriteForm<'a> {
    fn from(write: &'a Write) -> Self {
        let (precondition, version) = match write.precondition {
            Precondition::Absent => ("absent", None),
            Precondition::Any => ("any", None),
            Precondition::Version(version) => ("version", Some(version)),
        };
        let (action, value, expires_at) = match &write.action {
            Action::Delete => ("delete", None, None),
            Action::Keep => ("keep", None, None),
            // The time is advice, so an end beyond all numbers may as well be the last of them.
            Action::Put { value, expires_at } => {
                ("put", Some(Base64(value)), expires_at.map(|at| at.min(INTEGER_MAX)))
            }
        };
        Self { key: &write.key, precondition, version, action, value, expires_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Method;
    use crate::secret::Secret;

    fn key(bytes: &[u8]) -> Key {
        Key::from_bytes(bytes).unwrap()
    }

    fn text(of: &Effect) -> String {
        String::from_utf8(effect(of).expose().to_vec()).unwrap()
    }

    #[test]
    fn a_request_is_written_whole_with_its_secrets() {
        let request = HttpRequest {
            method: Method::Post,
            url: "https://as.example/token".into(),
            headers: vec![Header { name: "Authorization".into(), value: Secret::new("Basic Y2FuYXJ5") }],
            body: SecretBytes::new(b"refresh_token=a%22b\"".to_vec()),
            max_response_bytes: 65_536,
            timeout_ms: 20_000,
            start_within_ms: 900,
            address_policy: AddressPolicy::Allow(vec!["10.0.0.0/8".to_owned().try_into().unwrap()]),
        };
        assert_eq!(
            text(&Effect::Http(request)),
            concat!(
                r#"{"http":{"method":"POST","url":"https://as.example/token","headers":[["Authorization","Basic Y2FuYXJ5"]],"#,
                r#""body":"refresh_token=a%22b\"","max_response_bytes":65536,"timeout_ms":20000,"start_within_ms":900,"#,
                r#""address_policy":{"allow":["10.0.0.0/8"]}}}"#
            )
        );
    }

    #[test]
    fn a_write_is_flat_and_says_what_it_does_not_have() {
        let write = |precondition, action| Write { key: key(&[1, 255]), precondition, action };
        let writes = vec![
            write(Precondition::Absent, Action::Put { value: vec![0xfb, 0xff], expires_at: Some(u64::MAX) }),
            write(Precondition::Any, Action::Put { value: Vec::new(), expires_at: None }),
            write(Precondition::Version(Version(u64::MAX)), Action::Keep),
            write(Precondition::Any, Action::Delete),
        ];
        assert_eq!(
            text(&Effect::Commit { writes }),
            concat!(
                r#"{"commit":{"writes":["#,
                r#"{"key":"Af8","precondition":"absent","version":null,"action":"put","value":"-_8","expires_at":9007199254740991},"#,
                r#"{"key":"Af8","precondition":"any","version":null,"action":"put","value":"","expires_at":null},"#,
                r#"{"key":"Af8","precondition":"version","version":"18446744073709551615","action":"keep","value":null,"expires_at":null},"#,
                r#"{"key":"Af8","precondition":"any","version":null,"action":"delete","value":null,"expires_at":null}]}}"#
            )
        );
    }

    #[test]
    fn whoever_is_to_be_identified_is_named_by_key_or_as_a_principal() {
        let tenant = TenantId::new("acme").unwrap();
        let by_key = Effect::Identify { tenant: tenant.clone(), whom: Whom::Key(Secret::new("canary")) };
        assert_eq!(text(&by_key), r#"{"identify":{"tenant":"acme","key":"canary","principal":null}}"#);
        assert!(!format!("{by_key:?}").contains("canary"));
        let whom = Whom::Principal(Principal::user("alice").unwrap());
        assert_eq!(
            text(&Effect::Identify { tenant, whom }),
            r#"{"identify":{"tenant":"acme","key":null,"principal":{"kind":"user","id":"alice"}}}"#
        );
    }

    #[test]
    fn reads_scans_and_sleeps_are_written_with_all_members() {
        for (effect, expected) in [
            (Effect::Read { keys: vec![key(b"a"), key(b"b")] }, r#"{"read":{"keys":["YQ","Yg"]}}"#),
            (
                Effect::Scan { prefix: key(b"a"), after: None, limit: 20 },
                r#"{"scan":{"prefix":"YQ","after":null,"limit":20}}"#,
            ),
            (Effect::Sleep { for_ms: 50, watch: Some(key(b"a")) }, r#"{"sleep":{"for_ms":50,"watch":"YQ"}}"#),
        ] {
            assert_eq!(text(&effect), expected);
        }
    }
}
