//! The scene: one SQLite file, one issuer in this process, and an engine that every process builds alike.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use grantway::driver::{Host, drive};
use grantway::store::Sqlite;
use grantway::transport::Hyper;
use grantway_core::address::AddressPolicy;
use grantway_core::connector::Connector;
use grantway_core::engine::{Engine, EngineConfig};
use grantway_core::principal::{Caller, ConnectorId, Principal, Role};
use grantway_core::secret::Secret;
use grantway_core::store::{Keyring, SealingKey};
use grantway_core::upstream::begin_connect::{BeginConnect, FlowBinding};
use grantway_core::upstream::complete_connect::CompleteConnect;
use grantway_core::upstream::connectors::PutConnector;
use grantway_core::upstream::status::{Status, StatusOf};
use grantway_testing::serve::Serving;
use grantway_testing::{Issuer, Rotation};

pub(crate) const ACCOUNT: &str = "account";

/// Everything that the processes share, seen from the one that directs them.
pub(crate) struct Scene {
    pub(crate) issuer: Issuer,
    pub(crate) folder: tempfile::TempDir,
    engine: Arc<Engine>,
    host: Host,
    _serving: Serving,
}

/// The engine of every process. Its times are short, so that a killed process is taken over within seconds, and keep the shipped
/// inequality: a lease outlasts one commit, one exchange and all saves.
pub(crate) fn engine() -> Result<Arc<Engine>, String> {
    let mut config = EngineConfig::new("Grantway stampede");
    config.danger_loopback_http = true;
    config.limits.store_timeout_ms = 700;
    config.limits.http_timeout_ms = 700;
    config.limits.lease_ms = 6_000;
    config.limits.clock_skew_ms = 200;
    let keyring = Keyring::new(
        SealingKey::new(1, std::array::from_fn(|at| at as u8)),
        std::array::from_fn(|at| 255 - at as u8),
    );
    Engine::new(config, keyring.map_err(|e| e.to_string())?).map_err(|e| e.to_string())
}

pub(crate) fn host(database: &Path) -> Result<Host, String> {
    let store = Sqlite::open(database).map_err(|e| e.to_string())?;
    let transport = Hyper::new().map_err(|e| e.to_string())?;
    Ok(Host::new(Arc::new(store), Arc::new(transport)))
}

pub(crate) fn user(number: usize) -> Result<Caller, String> {
    let principal = Principal::user(format!("user-{number}")).map_err(|e| e.to_string())?;
    Caller::new("acme", principal).map_err(|e| e.to_string())
}

pub(crate) fn account() -> Result<ConnectorId, String> {
    ConnectorId::new(ACCOUNT).map_err(|e| e.to_string())
}

impl Scene {
    /// A new file, a new issuer, and the connector in place.
    pub(crate) fn open() -> Result<Self, String> {
        let (issuer, serving) = Serving::issuer().map_err(|e| e.to_string())?;
        issuer.behave(|behaviour| {
            behaviour.rotation = Rotation::RevokeOnReuse;
            behaviour.access_token_ms = 2_000;
            // Long enough that a kill can come between the request and the save.
            behaviour.token_delay_ms = 20;
            behaviour.requires_resource = false;
        });
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let host = host(&folder.path().join("grantway.db"))?;
        Ok(Self { issuer, folder, engine: engine()?, host, _serving: serving })
    }

    /// A person connects, or connects again.
    pub(crate) async fn connect(&mut self, number: usize) -> Result<(), String> {
        let root = user(usize::MAX)?.with_role(Role::Admin);
        let connector =
            Connector { address_policy: AddressPolicy::Loopback, ..Connector::account(self.issuer.url()) };
        let put = PutConnector {
            caller: root,
            id: account()?,
            connector,
            client_secret: None,
            expected_revision: None,
            unverified: false,
        };
        drive(self.engine.put_connector(put), &self.host).await.result.map_err(|e| e.to_string())?;
        let caller = user(number)?;
        let begin = BeginConnect {
            binding: FlowBinding::Process { redirect_uri: "http://127.0.0.1:9/callback".to_owned() },
            ..BeginConnect::new(caller.clone(), account()?)
        };
        let redirect =
            drive(self.engine.begin_connect(begin), &self.host).await.result.map_err(|e| e.to_string())?;
        let callback = self.issuer.approve_as(caller.principal.id(), &redirect.url);
        let complete = CompleteConnect {
            caller: Some(caller),
            callback_url: Secret::new(callback),
            cookies: None,
            process_secret: redirect.process_secret,
        };
        drive(self.engine.complete_connect(complete), &self.host).await.result.map_err(|e| e.to_string())?;
        Ok(())
    }

    async fn status(&self, number: usize) -> Result<Status, String> {
        let arguments = StatusOf { caller: user(number)?, connector: account()? };
        let status =
            drive(self.engine.status_of(arguments), &self.host).await.result.map_err(|e| e.to_string())?;
        Ok(status.per_user_auth.state)
    }

    /// Whether only the person can bring this grant back.
    pub(crate) async fn needs_a_person(&self, number: usize) -> Result<bool, String> {
        Ok(matches!(
            self.status(number).await?,
            Status::NeedsReauth { .. } | Status::Disconnected | Status::Expired
        ))
    }

    /// The checker: reads every user's record through the engine.
    pub(crate) async fn users_by_status(
        &self,
        users: usize,
    ) -> Result<BTreeMap<&'static str, usize>, String> {
        let mut counts = BTreeMap::new();
        for number in 0..users {
            *counts.entry(self.status(number).await?.coarse()).or_default() += 1;
        }
        Ok(counts)
    }
}
