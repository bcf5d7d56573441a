//! The engine's configuration from JSON.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::error::{MessageError, read};
use super::value::Object;
use crate::downstream::config::GatewayConfig;
use crate::engine::{Engine, EngineConfig, Profile};
use crate::error::ConfigError;
use crate::limits::Limits;
use crate::secret::Secret;
use crate::store::{Keyring, KeyringError, SealingKey};

/// Why there is no engine. Says nothing of keys but their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineError {
    /// A field is not acceptable.
    Config(ConfigError),
    /// A key is not.
    Keyring(KeyringError),
    /// The message cannot be read.
    Message(MessageError),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Keyring(error) => write!(f, "`keyring`: {error}"),
            Self::Message(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for EngineError {}

impl From<ConfigError> for EngineError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<KeyringError> for EngineError {
    fn from(error: KeyringError) -> Self {
        Self::Keyring(error)
    }
}

impl From<MessageError> for EngineError {
    fn from(error: MessageError) -> Self {
        Self::Message(error)
    }
}

/// An engine from its configuration and keys as JSON.
///
/// # Errors
/// The first field that is missing, unknown, given twice, or not acceptable.
pub fn engine(json: &[u8]) -> Result<Arc<Engine>, EngineError> {
    let Object(EngineForm {
        base_url,
        client_name,
        client_metadata_url,
        danger_loopback_http,
        egress_enforced,
        gateway,
        profile,
        limits,
        keyring: Object(keyring),
    }) = read("", json)?;
    let config = EngineConfig {
        base_url,
        client_name,
        client_metadata_url,
        danger_loopback_http,
        egress_enforced,
        gateway: gateway.map(|Object(gateway)| gateway),
        profile,
        limits: limits.map(|Object(limits)| limits).unwrap_or_default(),
    };
    Ok(Engine::new(config, keyring.read()?)?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EngineForm {
    #[serde(default)]
    base_url: Option<String>,
    client_name: String,
    #[serde(default)]
    client_metadata_url: Option<String>,
    #[serde(default)]
    danger_loopback_http: bool,
    #[serde(default)]
    egress_enforced: bool,
    #[serde(default)]
    gateway: Option<Object<GatewayConfig>>,
    #[serde(default)]
    profile: Profile,
    #[serde(default)]
    limits: Option<Object<Limits>>,
    keyring: Object<KeyringForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyringForm {
    current: Object<KeyForm>,
    #[serde(default)]
    older: Vec<Object<KeyForm>>,
    routing: Secret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyForm {
    id: u32,
    key: Secret,
}

impl KeyringForm {
    fn read(&self) -> Result<Keyring, EngineError> {
        let ring = Keyring::new(
            self.current.0.read("keyring.current.key")?,
            *bytes("keyring.routing", &self.routing)?,
        )?;
        self.older.iter().enumerate().try_fold(ring, |ring, (at, key)| {
            Ok(ring.with_older(key.0.read(&format!("keyring.older[{at}].key"))?)?)
        })
    }
}

impl KeyForm {
    fn read(&self, member: &str) -> Result<SealingKey, MessageError> {
        Ok(SealingKey::new(self.id, *bytes(member, &self.key)?))
    }
}

fn bytes(member: &str, text: &Secret) -> Result<Zeroizing<[u8; 32]>, MessageError> {
    let mut key = Zeroizing::new([0; 32]);
    match URL_SAFE_NO_PAD.decode_slice(text.expose(), key.as_mut_slice()) {
        Ok(32) => Ok(key),
        Ok(_) | Err(_) => Err(MessageError::new(member, "expected 32 bytes as base64url without padding")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 32 bytes: 0, 1, 2, …
    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    /// 32 bytes: 32, 33, 34, …
    const ROUTING: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8";

    fn config(members: &str) -> String {
        format!(
            r#"{{"client_name":"Tests","keyring":{{"current":{{"id":1,"key":"{KEY}"}},"routing":"{ROUTING}"}}{members}}}"#
        )
    }

    fn refused(json: &str) -> String {
        engine(json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let engine = engine(config("").as_bytes()).unwrap();
        let config = engine.config();
        assert_eq!(config.client_name, "Tests");
        assert_eq!((config.base_url.as_ref(), config.profile), (None, Profile::Standard));
        assert_eq!(config.limits, Limits::default());
    }

    #[test]
    fn every_member_is_read() {
        let members = r#","base_url":"https://gateway.example","client_metadata_url":"https://gateway.example/client.json",
            "danger_loopback_http":true,"egress_enforced":true,"profile":"strict","limits":{"poll_ms":7}"#;
        let engine = engine(config(members).as_bytes()).unwrap();
        let config = engine.config();
        assert_eq!(config.base_url.as_deref(), Some("https://gateway.example"));
        assert_eq!(config.client_metadata_url.as_deref(), Some("https://gateway.example/client.json"));
        assert!(config.danger_loopback_http && config.egress_enforced);
        assert_eq!(config.profile, Profile::Strict);
        assert_eq!(config.limits, Limits { poll_ms: 7, ..Limits::default() });
    }

    #[test]
    fn a_refusal_names_the_field() {
        for (json, expected) in [
            ("{}".to_owned(), "`client_name`: missing"),
            (config(r#","base_uri":"x""#), "`base_uri`: unknown member"),
            (config(r#","base_url":"http://x""#), "`base_url` is `http://x`: the URL is not `https`"),
            (config(r#","profile":"lax""#), "`profile`: expected `standard` or `strict`"),
            (config(r#","limits":{"lease":1}"#), "`limits.lease`: unknown member"),
            (
                config(r#","limits":{"lease_ms":1}"#),
                "`lease_ms` is `1`: must be longer than one commit, one exchange and all saves together",
            ),
        ] {
            assert_eq!(refused(&json), expected, "{json}");
        }
    }

    // atk:IMP-16
    #[test]
    fn keys_that_would_not_protect_are_refused_and_not_shown() {
        let older = |key: &str| {
            config("").replace(r#""routing""#, &format!(r#""older":[{{"id":2,"key":"{key}"}}],"routing""#))
        };
        assert!(engine(older("QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8").as_bytes()).is_ok());
        assert_eq!(refused(&older(KEY)), "`keyring`: the bytes of sealing key `2` are those of another key");
        for text in ["", &KEY[1..], &format!("{KEY}="), &format!("{KEY}AA"), "Not/Base64"] {
            let error = refused(&older(text));
            assert_eq!(error, "`keyring.older[0].key`: expected 32 bytes as base64url without padding");
        }
    }
}
