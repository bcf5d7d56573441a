//! The form of the file.

use std::collections::BTreeMap;

use grantway_core::connector::Connector;
use grantway_core::downstream::config::GatewayConfig;
use grantway_core::engine::{EngineConfig, Profile};
use grantway_core::limits::Limits;
use grantway_core::principal::{ConnectorId, TenantId};
use grantway_core::store::{Keyring, SealingKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::reference::Surroundings;
use super::{ConfigFileError, Configuration, Seed};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    base_url: Option<String>,
    client_name: String,
    client_metadata_url: Option<String>,
    #[serde(default)]
    danger_loopback_http: bool,
    #[serde(default)]
    egress_enforced: bool,
    #[serde(default)]
    profile: ProfileName,
    gateway: Option<Table>,
    keys: Keys,
    #[serde(default)]
    limits: LimitsFile,
    #[serde(default)]
    tenants: BTreeMap<TenantId, Tenant>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ProfileName {
    #[default]
    Standard,
    Strict,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    routing: String,
    sealing: Vec<Sealing>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealing {
    id: u32,
    key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tenant {
    /// Each a [`Connector`], and beside it `client_secret`.
    #[serde(default)]
    connectors: BTreeMap<ConnectorId, Table>,
}

macro_rules! limits {
    ($($name:ident)+) => {
        #[derive(Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        struct LimitsFile { $($name: Option<toml::Value>,)+ }

        impl LimitsFile {
            /// The defaults, but for what the file says. A limit that is missing here does not compile.
            fn read(self) -> Result<Limits, ConfigFileError> {
                let Limits { $($name),+ } = Limits::default();
                Ok(Limits { $($name: match self.$name {
                    Some(value) => deserialize(concat!("limits.", stringify!($name)), value)?,
                    None => $name,
                }),+ })
            }
        }
    };
}

limits! {
    http_timeout_ms store_timeout_ms lease_ms clock_skew_ms refresh_margin_ms poll_ms poll_max_ms cache_max_age_ms
    backoff_ms backoff_max_ms step_ups step_up_window_ms rejected_again_ms flow_ms ticket_ms metadata_max_age_ms
    metadata_default_age_ms grant_max_ms registration_renewal_ms tombstone_ms consent_ms session_ms code_ms
    issued_again_ms access_token_ms refresh_idle_ms refresh_grace_ms identity_max_age_ms unused_client_ms
    idle_client_ms wrong_keys_ms
}

pub(super) fn parse(text: &str, surroundings: &Surroundings<'_>) -> Result<Configuration, ConfigFileError> {
    let table: Table = text.parse().map_err(|error| syntax(text, &error))?;
    let file: File = deserialize("", Value::Table(table))?;
    let limits = file.limits.read()?;
    let gateway =
        file.gateway.map(|table| deserialize::<GatewayConfig>("gateway", Value::Table(table))).transpose()?;
    let mut seeds = Vec::new();
    for (tenant, Tenant { connectors }) in file.tenants {
        for (id, table) in connectors {
            seeds.push(seed(tenant.clone(), id, table, surroundings)?);
        }
    }
    let engine = EngineConfig {
        base_url: file.base_url,
        client_name: file.client_name,
        client_metadata_url: file.client_metadata_url,
        danger_loopback_http: file.danger_loopback_http,
        egress_enforced: file.egress_enforced,
        gateway,
        profile: match file.profile {
            ProfileName::Standard => Profile::Standard,
            ProfileName::Strict => Profile::Strict,
        },
        limits,
    };
    Ok(Configuration { engine, keyring: keyring(&file.keys, surroundings)?, seeds })
}

fn keyring(keys: &Keys, surroundings: &Surroundings<'_>) -> Result<Keyring, ConfigFileError> {
    let routing = surroundings.key("keys.routing", &keys.routing)?;
    let mut sealing = Vec::new();
    for (at, Sealing { id, key }) in keys.sealing.iter().enumerate() {
        let bytes = surroundings.key(&format!("keys.sealing[{at}].key"), key)?;
        sealing.push(SealingKey::new(*id, bytes));
    }
    let mut sealing = sealing.into_iter();
    let current = sealing.next().ok_or_else(|| ConfigFileError::Malformed {
        field: "keys.sealing".to_owned(),
        problem: "is `[]`: must name at least one key".to_owned(),
    })?;
    let ring = Keyring::new(current, routing)?;
    Ok(sealing.try_fold(ring, Keyring::with_older)?)
}

fn seed(
    tenant: TenantId,
    id: ConnectorId,
    mut table: Table,
    surroundings: &Surroundings<'_>,
) -> Result<Seed, ConfigFileError> {
    let field = format!("tenants.{tenant}.connectors.{id}");
    let client_secret = match table.remove("client_secret") {
        None => None,
        Some(reference) => {
            let field = format!("{field}.client_secret");
            // Not by `deserialize`: what it would quote may be a secret.
            let reference = reference.as_str().unwrap_or_default();
            Some(surroundings.secret(&field, reference)?)
        }
    };
    let connector: Connector = deserialize(&field, Value::Table(table))?;
    Ok(Seed { tenant, id, connector, client_secret })
}

fn deserialize<T: DeserializeOwned>(field: &str, value: Value) -> Result<T, ConfigFileError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let inner = error.path().to_string();
        let parts = [field, inner.trim_matches('.')];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        ConfigFileError::Malformed { field: parts.join("."), problem: error.inner().message().to_owned() }
    })
}

/// Without the line itself, in which a secret may stand.
fn syntax(text: &str, error: &toml::de::Error) -> ConfigFileError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    ConfigFileError::Syntax { line: before.matches('\n').count() + 1, problem: error.message().to_owned() }
}
