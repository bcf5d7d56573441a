//! Connecting and disconnecting, and what pages show.

use grantway_core::error::Failure;
use grantway_core::moment::UnixMillis;
use grantway_core::principal::{Caller, Principal};
use grantway_core::secret::Secret;
use grantway_core::upstream::begin_connect::{BeginConnect, Redirect};
use grantway_core::upstream::complete_connect::{CompleteConnect, Connected};
use grantway_core::upstream::confirm_account::{AccountConfirmed, ConfirmAccount};
use grantway_core::upstream::disconnect::{Disconnect, Disconnected};
use grantway_core::upstream::open_ticket::{OpenTicket, OpenedTicket};
use grantway_core::upstream::page::{Cursor, PAGE_MAX, Page};
use grantway_core::upstream::status::{ConnectionStatus, ConnectorStatus, ListConnections, Listed, StatusOf};

use super::{Grantway, connector_id};

impl Grantway {
    /// Begins to connect the caller's own account in the browser that sent this request, whose `Cookie` header is `cookies`. Only
    /// in answer to a deliberate act, such as the POST of a form: the redirect goes out as 303 with its cookie.
    ///
    /// # Errors
    /// As of the engine's `begin_connect`.
    pub async fn begin_connect(
        &self,
        caller: &Caller,
        connector: &str,
        cookies: Option<&str>,
    ) -> Result<Redirect, Failure> {
        let cookies = cookies.map(Secret::new);
        let arguments = BeginConnect::new(caller.clone(), connector_id(connector)?);
        self.begin_connect_with(BeginConnect { cookies, ..arguments }).await
    }

    /// As [`Grantway::begin_connect`], with everything that can be said: another owner, a challenge's ticket, another binding.
    ///
    /// # Errors
    /// As of the engine's `begin_connect`.
    pub async fn begin_connect_with(&self, arguments: BeginConnect) -> Result<Redirect, Failure> {
        self.run(self.engine.begin_connect(arguments)).await
    }

    /// What a connect link stands for. Opening it changes nothing.
    ///
    /// # Errors
    /// As of the engine's `open_ticket`.
    pub async fn open_ticket(&self, caller: &Caller, ticket: &str) -> Result<OpenedTicket, Failure> {
        let arguments = OpenTicket { caller: caller.clone(), ticket: ticket.to_owned() };
        self.run(self.engine.open_ticket(arguments)).await
    }

    /// Finishes to connect with the URL, whole or from its path on, at which the browser came back, its `Cookie` header, and who
    /// is signed in there.
    ///
    /// # Errors
    /// As of the engine's `complete_connect`.
    pub async fn complete_connect(
        &self,
        caller: Option<&Caller>,
        callback_url: &str,
        cookies: Option<&str>,
    ) -> Result<Connected, Failure> {
        self.complete_connect_with(CompleteConnect {
            caller: caller.cloned(),
            callback_url: Secret::new(callback_url),
            cookies: cookies.map(Secret::new),
            process_secret: None,
        })
        .await
    }

    /// As [`Grantway::complete_connect`], for flows with another binding.
    ///
    /// # Errors
    /// As of the engine's `complete_connect`.
    pub async fn complete_connect_with(&self, arguments: CompleteConnect) -> Result<Connected, Failure> {
        // Whose flow it is, the engine says; nothing of another tenant can be changed by it.
        let tenant = self.engine.tenant_of_callback(arguments.callback_url.expose());
        let operation = self.engine.complete_connect(arguments);
        match tenant {
            Some(tenant) => self.run_changing(&tenant, operation).await,
            None => self.run(operation).await,
        }
    }

    /// Takes an account that a reconnect brought in the place of another (`held_since` is in the status), or sends it back.
    ///
    /// # Errors
    /// As of the engine's `confirm_account`.
    pub async fn confirm_account(
        &self,
        caller: &Caller,
        connector: &str,
        held_since: UnixMillis,
        accept: bool,
    ) -> Result<AccountConfirmed, Failure> {
        let (caller, connector) = (caller.clone(), connector_id(connector)?);
        self.confirm_account_with(ConfirmAccount { caller, owner: None, connector, held_since, accept }).await
    }

    /// As [`Grantway::confirm_account`], also for other owners.
    ///
    /// # Errors
    /// As of the engine's `confirm_account`.
    pub async fn confirm_account_with(&self, arguments: ConfirmAccount) -> Result<AccountConfirmed, Failure> {
        let tenant = arguments.caller.tenant.clone();
        self.run_changing(&tenant, self.engine.confirm_account(arguments)).await
    }

    /// Empties a connection and revokes its tokens. `owner`: whose; `None`: the caller's own.
    ///
    /// # Errors
    /// As of the engine's `disconnect`.
    pub async fn disconnect(
        &self,
        caller: &Caller,
        connector: &str,
        owner: Option<&Principal>,
    ) -> Result<Disconnected, Failure> {
        let arguments =
            Disconnect { caller: caller.clone(), connector: connector_id(connector)?, owner: owner.cloned() };
        self.run_changing(&caller.tenant, self.engine.disconnect(arguments)).await
    }

    /// Where the caller stands with a connector.
    ///
    /// # Errors
    /// As of the engine's `status_of`.
    pub async fn status(&self, caller: &Caller, connector: &str) -> Result<ConnectorStatus, Failure> {
        let arguments = StatusOf { caller: caller.clone(), connector: connector_id(connector)? };
        self.run(self.engine.status_of(arguments)).await
    }

    /// The connections of an owner, or to an upstream, a page at a time. `None`: the caller's own.
    ///
    /// # Errors
    /// As of the engine's `list_connections`.
    pub async fn list_connections(
        &self,
        caller: &Caller,
        of: Option<Listed>,
        after: Option<Cursor>,
    ) -> Result<Page<ConnectionStatus>, Failure> {
        let arguments = ListConnections { caller: caller.clone(), of, after, limit: PAGE_MAX };
        self.run(self.engine.list_connections(arguments)).await
    }
}
