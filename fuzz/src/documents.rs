//! Metadata documents, and the JSON all messages of peers are read from.

use std::collections::BTreeMap;

use grantway_core::protocol::issuer_metadata::{IssuerMetadata, Pkce};
use grantway_core::protocol::json::{self, JSON_MAX_DEPTH};
use grantway_core::protocol::resource_metadata::ResourceMetadata;
use grantway_core::protocol::scopes::Scopes;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::input::text;

/// Another reader's view of a body that ours takes for an object. `None`: a member that ours has no use for holds a number or half a
/// character that this one has no type for.
pub(crate) fn as_value(body: &[u8]) -> Option<Value> {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => {
            assert!(value.is_object());
            Some(value)
        }
        Err(error) => {
            let said = error.to_string();
            let no_type = ["number out of range", "surrogate", "unexpected end of hex escape"];
            assert!(no_type.iter().any(|reason| said.contains(reason)), "what is accepted is JSON: {said}");
            None
        }
    }
}

/// Whether a member is this text; an absent one is absent, null or empty.
fn is_text(value: &Value, name: &str, read: Option<&str>) -> bool {
    match (&value[name], read) {
        (Value::String(text), Some(read)) => text == read,
        (Value::String(text), None) => text.is_empty(),
        (Value::Null, None) => true,
        _ => false,
    }
}

fn is_list(value: &Value, name: &str, read: Option<&[String]>) -> bool {
    match (&value[name], read) {
        (Value::Array(list), Some(read)) => {
            list.iter().map(Value::as_str).eq(read.iter().map(|t| Some(t.as_str())))
        }
        (Value::Null, None) => true,
        _ => false,
    }
}

/// What is taken from an advertised list stands in it.
fn is_within(value: &Value, name: &str, read: Option<&Scopes>) -> bool {
    match (&value[name], read) {
        (Value::Array(list), Some(read)) => {
            read.iter().all(|token| list.iter().any(|v| v.as_str() == Some(token)))
        }
        (Value::Null, None) => true,
        _ => false,
    }
}

/// A protected resource's metadata.
///
/// # Panics
/// A law is broken.
pub fn resource_metadata(data: &[u8]) {
    let Ok(read) = ResourceMetadata::parse(data) else { return };
    let Some(value) = as_value(data) else { return };
    assert!(!read.resource.is_empty() && is_text(&value, "resource", Some(&read.resource)));
    assert!(
        is_list(&value, "authorization_servers", Some(&read.authorization_servers))
            || value["authorization_servers"].is_null() && read.authorization_servers.is_empty()
    );
    assert!(is_within(&value, "scopes_supported", read.scopes_supported.as_ref()));
    let written = json!({
        "resource": read.resource,
        "authorization_servers": read.authorization_servers,
        "scopes_supported": read.scopes_supported,
    });
    assert_eq!(ResourceMetadata::parse(written.to_string().as_bytes()), Ok(read));
}

/// An issuer's metadata.
///
/// # Panics
/// A law is broken.
pub fn issuer_metadata(data: &[u8]) {
    let Ok(read) = IssuerMetadata::parse(data) else { return };
    let Some(value) = as_value(data) else { return };
    assert!(!read.issuer.is_empty() && is_text(&value, "issuer", Some(&read.issuer)));
    for (name, member) in [
        ("authorization_endpoint", &read.authorization_endpoint),
        ("token_endpoint", &read.token_endpoint),
        ("registration_endpoint", &read.registration_endpoint),
        ("revocation_endpoint", &read.revocation_endpoint),
        ("jwks_uri", &read.jwks_uri),
    ] {
        assert!(is_text(&value, name, member.as_deref()), "{name}");
    }
    for (name, member) in [
        ("code_challenge_methods_supported", &read.code_challenge_methods_supported),
        ("response_types_supported", &read.response_types_supported),
        ("grant_types_supported", &read.grant_types_supported),
        ("token_endpoint_auth_methods_supported", &read.token_endpoint_auth_methods_supported),
        ("revocation_endpoint_auth_methods_supported", &read.revocation_endpoint_auth_methods_supported),
    ] {
        assert!(is_list(&value, name, member.as_deref()), "{name}");
    }
    for (name, member) in [
        (
            "authorization_response_iss_parameter_supported",
            read.authorization_response_iss_parameter_supported,
        ),
        ("client_id_metadata_document_supported", read.client_id_metadata_document_supported),
        ("require_pushed_authorization_requests", read.require_pushed_authorization_requests),
    ] {
        assert_eq!(value[name] == Value::Bool(true), member, "{name}");
    }
    assert!(is_within(&value, "scopes_supported", read.scopes_supported.as_ref()));
    let lists_s256 = value["code_challenge_methods_supported"].to_string().contains("\"S256\"");
    assert_eq!(read.s256() == Pkce::Advertised, lists_s256);
}

/// JSON as such, and as a content type.
///
/// # Panics
/// A law is broken.
pub fn json(data: &[u8]) {
    let written = text(data);
    if json::is_json_content_type(&written) {
        let essence = written.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        assert!(essence.starts_with("application/") && essence.ends_with("json") && !essence.contains(','));
    }
    // What must be read is not refused for its depth alone, and nothing deeper gets through.
    match json::from_slice::<BTreeMap<String, &RawValue>>(data) {
        Ok(_) => assert!(as_value(data).is_none_or(|value| depth(&value) <= JSON_MAX_DEPTH)),
        Err(invalid) => {
            let value = serde_json::from_slice::<Value>(data).ok();
            let deep = value.as_ref().is_some_and(|value| depth(value) > JSON_MAX_DEPTH);
            let is_object = value.as_ref().is_some_and(Value::is_object);
            assert!(!is_object || deep, "{invalid} {written}");
        }
    }
}

/// Objects and arrays within each other. The parser that made the value has a limit of its own.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
