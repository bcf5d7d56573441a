//! The JSON that passes between the engine and hosts in other languages.

use std::sync::Arc;

use grantway_core::engine::Engine;
use grantway_core::message::{self, AnyStep, EngineError, MessageError};
use grantway_core::moment::{Moment, UnixMillis};
use grantway_core::operation::Reply;

use crate::records::engine;

/// Stands in seeds where a host would put a secret.
const CANARY: &str = "canary-7c1d0e";

/// An error names the member and quotes nothing but names.
fn quotes_no_value(error: &MessageError) {
    let shown = error.to_string();
    assert!(!shown.is_empty() && shown.len() < 2_000, "{shown}");
    // The name of an unknown member is shown, be it whatever was meant to be a value.
    assert!(error.problem() == "unknown member" || !shown.contains(CANARY), "{shown}");
}

/// A reply.
///
/// # Panics
/// A law is broken.
pub fn message_reply(data: &[u8]) {
    match message::reply(data) {
        Ok(reply) => assert!(!format!("{reply:?}").contains(CANARY) || !holds_secret(&reply)),
        Err(error) => quotes_no_value(&error),
    }
}

/// Only bodies are kept from view; headers and keys are not secret in a reply.
fn holds_secret(reply: &Reply) -> bool {
    use grantway_core::operation::{HttpReply, HttpResponse};
    match reply {
        Reply::Http(HttpReply::Response(HttpResponse { headers, .. })) => {
            headers.iter().all(|(name, value)| !name.contains(CANARY) && !value.contains(CANARY))
        }
        _ => false,
    }
}

/// A request to begin an operation.
///
/// # Panics
/// A law is broken.
pub fn message_begin(data: &[u8]) {
    let engine = engine();
    let mut operation = match message::begin(&engine, data) {
        Ok(operation) => operation,
        Err(error) => return quotes_no_value(&error),
    };
    assert!(message::OPERATIONS.contains(&operation.name()));
    assert!(!format!("{operation:?}").contains(CANARY));
    let moment = Moment::new(UnixMillis(1_767_225_600_000), [7; 32]);
    match operation.step(&moment, Reply::Start).expect("it begins with `start`") {
        AnyStep::Perform(effect) => {
            let written = message::effect(&effect);
            serde_json::from_slice::<serde_json::Value>(written.expose()).expect("an effect is JSON");
        }
        AnyStep::Done(outcome) => {
            serde_json::from_slice::<serde_json::Value>(outcome.expose()).expect("an outcome is JSON");
        }
    }
}

/// The configuration of an engine.
///
/// # Panics
/// A law is broken.
pub fn message_engine(data: &[u8]) {
    match message::engine(data) {
        Ok(engine) => is_sound(&engine),
        Err(error) => {
            let shown = error.to_string();
            assert!(!shown.is_empty() && shown.len() < 8_000, "{shown}");
            // The keys of the seeds. A wrong value of another member is shown, and the name of an unknown one, be they whatever was
            // meant to be a key.
            let quoted = ["AAECAwQF", "ICEiIyQl"].iter().any(|key| shown.contains(key));
            let may_quote = match &error {
                EngineError::Config(_) => true,
                EngineError::Message(error) => error.problem() == "unknown member",
                _ => false,
            };
            assert!(!quoted || may_quote, "{shown}");
        }
    }
}

fn is_sound(engine: &Arc<Engine>) {
    let limits = &engine.config().limits;
    assert!(limits.lease_ms > limits.http_timeout_ms && limits.lease_ms > limits.store_timeout_ms);
    // The configuration, whatever stands in it, and nothing of the keys.
    assert_eq!(format!("{engine:?}"), format!("Engine {{ config: {:?}, .. }}", engine.config()));
}

/// A request for the headers of one call.
///
/// # Panics
/// A law is broken.
pub fn message_headers(data: &[u8]) {
    let moment = Moment::new(UnixMillis(1_767_225_600_000), [7; 32]);
    match message::headers(&engine(), &moment, data) {
        Ok(answer) => {
            let answer: serde_json::Value =
                serde_json::from_slice(answer.expose()).expect("an answer is JSON");
            assert!(answer.get("ok").is_some() != answer.get("failure").is_some());
            assert!(!answer["failure"].to_string().contains(CANARY));
        }
        Err(error) => quotes_no_value(&error),
    }
}
