//! Connectors, secrets, suspensions, imports.

use grantway_core::connector::Connector;
use grantway_core::error::Failure;
use grantway_core::principal::{Caller, Principal};
use grantway_core::secret::Secret;
use grantway_core::upstream::connectors::{
    ConnectorPut, DeleteConnector, ListConnectors, ListedConnector, PutConnector,
};
use grantway_core::upstream::discover::{Discover, DiscoveryReport};
use grantway_core::upstream::import_grant::{GrantImported, ImportGrant};
use grantway_core::upstream::page::{Cursor, PAGE_MAX, Page};
use grantway_core::upstream::secrets::{DeleteSecret, ListSecrets, ListedSecret, SecretStored, StoreSecret};
use grantway_core::upstream::suspend::{Restore, Suspend, SuspensionSet};

use super::{Grantway, connector_id};

impl Grantway {
    /// Adds or changes a connector. What its static registration's secret was, it stays, as long as upstream, issuer and client do.
    ///
    /// # Errors
    /// As of the engine's `put_connector`.
    pub async fn put_connector(
        &self,
        caller: &Caller,
        connector: &str,
        configuration: Connector,
        client_secret: Option<Secret>,
    ) -> Result<ConnectorPut, Failure> {
        self.put_connector_with(PutConnector {
            caller: caller.clone(),
            id: connector_id(connector)?,
            connector: configuration,
            client_secret,
            expected_revision: None,
            unverified: false,
        })
        .await
    }

    /// As [`Grantway::put_connector`], with the revision that is to be replaced.
    ///
    /// # Errors
    /// As of the engine's `put_connector`.
    pub async fn put_connector_with(&self, arguments: PutConnector) -> Result<ConnectorPut, Failure> {
        let tenant = arguments.caller.tenant.clone();
        self.run_changing(&tenant, self.engine.put_connector(arguments)).await
    }

    /// Removes a connector; whether there was one.
    ///
    /// # Errors
    /// As of the engine's `delete_connector`.
    pub async fn delete_connector(&self, caller: &Caller, connector: &str) -> Result<bool, Failure> {
        let (caller, id) = (caller.clone(), connector_id(connector)?);
        let tenant = caller.tenant.clone();
        let arguments = DeleteConnector { caller, id, expected_revision: None };
        self.run_changing(&tenant, self.engine.delete_connector(arguments)).await
    }

    /// The tenant's connectors, a page at a time.
    ///
    /// # Errors
    /// As of the engine's `list_connectors`.
    pub async fn list_connectors(
        &self,
        caller: &Caller,
        after: Option<Cursor>,
    ) -> Result<Page<ListedConnector>, Failure> {
        let arguments = ListConnectors { caller: caller.clone(), after, limit: PAGE_MAX };
        self.run(self.engine.list_connectors(arguments)).await
    }

    /// How a connector's server wants to be authorized, step by step. It begins nothing.
    ///
    /// # Errors
    /// As of the engine's `discover`.
    pub async fn discover(&self, caller: &Caller, connector: &str) -> Result<DiscoveryReport, Failure> {
        let arguments = Discover { caller: caller.clone(), connector: connector_id(connector)? };
        self.run(self.engine.discover(arguments)).await
    }

    /// Stores a secret that connectors inject by its name. `owner`: whose; `None`: the caller's own.
    ///
    /// # Errors
    /// As of the engine's `store_secret`.
    pub async fn store_secret(
        &self,
        caller: &Caller,
        name: &str,
        value: Secret,
        owner: Option<&Principal>,
    ) -> Result<SecretStored, Failure> {
        let arguments =
            StoreSecret { caller: caller.clone(), owner: owner.cloned(), name: name.to_owned(), value };
        self.run_changing(&caller.tenant, self.engine.store_secret(arguments)).await
    }

    /// Removes a secret; whether there was one. `owner`: whose; `None`: the caller's own.
    ///
    /// # Errors
    /// As of the engine's `delete_secret`.
    pub async fn delete_secret(
        &self,
        caller: &Caller,
        name: &str,
        owner: Option<&Principal>,
    ) -> Result<bool, Failure> {
        let arguments = DeleteSecret { caller: caller.clone(), owner: owner.cloned(), name: name.to_owned() };
        self.run_changing(&caller.tenant, self.engine.delete_secret(arguments)).await
    }

    /// The names of an owner's secrets, a page at a time. `owner`: whose; `None`: the caller's own.
    ///
    /// # Errors
    /// As of the engine's `list_secrets`.
    pub async fn list_secrets(
        &self,
        caller: &Caller,
        owner: Option<&Principal>,
        after: Option<Cursor>,
    ) -> Result<Page<ListedSecret>, Failure> {
        let arguments = ListSecrets { caller: caller.clone(), owner: owner.cloned(), after, limit: PAGE_MAX };
        self.run(self.engine.list_secrets(arguments)).await
    }

    /// Withdraws the right to use a connection; its credential stays.
    ///
    /// # Errors
    /// As of the engine's `suspend`.
    pub async fn suspend(
        &self,
        caller: &Caller,
        connector: &str,
        owner: &Principal,
    ) -> Result<SuspensionSet, Failure> {
        let (connector, owner) = (connector_id(connector)?, owner.clone());
        let arguments = Suspend { caller: caller.clone(), owner, connector };
        self.run_changing(&caller.tenant, self.engine.suspend(arguments)).await
    }

    /// Gives the right to use a connection back.
    ///
    /// # Errors
    /// As of the engine's `restore`.
    pub async fn restore(
        &self,
        caller: &Caller,
        connector: &str,
        owner: &Principal,
    ) -> Result<SuspensionSet, Failure> {
        let (connector, owner) = (connector_id(connector)?, owner.clone());
        let arguments = Restore { caller: caller.clone(), owner, connector };
        self.run_changing(&caller.tenant, self.engine.restore(arguments)).await
    }

    /// Brings in tokens that were obtained elsewhere.
    ///
    /// # Errors
    /// As of the engine's `import_grant`.
    pub async fn import_grant(&self, arguments: ImportGrant) -> Result<GrantImported, Failure> {
        let tenant = arguments.caller.tenant.clone();
        self.run_changing(&tenant, self.engine.import_grant(arguments)).await
    }
}
