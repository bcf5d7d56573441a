//! The first connectors, from a configuration file.

use std::sync::Arc;

use grantway_core::engine::Engine;
use grantway_core::error::{ConfigError, Failure};
use grantway_core::moment::{Moment, UnixMillis};
use grantway_core::operation::{Reply, Step};
use grantway_core::principal::{Caller, Principal, PrincipalKind, Role};
use grantway_core::upstream::connectors::{ConnectorPut, PutConnector};

use super::Grantway;
use crate::config::Seed;

/// Checks what can be checked without a store: the first step of an operation that is then dropped.
pub(crate) fn check_seeds(engine: &Arc<Engine>, seeds: &[Seed]) -> Result<(), ConfigError> {
    for seed in seeds {
        // Nothing of this moment is used.
        let moment = Moment::new(UnixMillis(1), [1; 32]);
        let step = engine.put_connector(put(seed)?).step(&moment, Reply::Start);
        if let Ok(Step::Done(outcome)) = step
            && let Ok(ConnectorPut::Refused(error)) = outcome.result
        {
            return Err(error);
        }
    }
    Ok(())
}

fn put(seed: &Seed) -> Result<PutConnector, ConfigError> {
    // Nobody in particular: the file says so.
    let file = Principal::new(PrincipalKind::Agent, "configuration")?;
    Ok(PutConnector {
        caller: Caller::new(seed.tenant.as_str(), file)?.with_role(Role::Admin),
        id: seed.id.clone(),
        connector: seed.connector.clone(),
        client_secret: seed.client_secret.clone(),
        expected_revision: None,
        unverified: true,
    })
}

impl Grantway {
    /// Puts the first connectors, once. While that fails, every operation fails with the same reason.
    pub(super) async fn seed(&self) -> Result<(), Failure> {
        if self.seeds.is_empty() {
            return Ok(());
        }
        let put_all = || async {
            for seed in &self.seeds {
                // `check_seeds` has seen that it is acceptable.
                let Ok(arguments) = put(seed) else { continue };
                self.spawn(self.engine.put_connector(arguments), None).await?;
            }
            Ok(())
        };
        self.seeded.get_or_try_init(put_all).await.copied()
    }
}
