//! The gateway: MCP clients sign in here.

use grantway_core::downstream::authenticate::{Authenticate, Authenticated};
use grantway_core::downstream::handle::Handle;
use grantway_core::downstream::response::Response;
use grantway_core::downstream::sign_ins::{
    ListSignIns, RevokeSignIn, SignIn, SignInId, SignInRevoked, SignInsOf,
};
use grantway_core::error::Failure;
use grantway_core::principal::Caller;
use grantway_core::upstream::page::{Cursor, PAGE_MAX, Page};

use super::Grantway;

impl Grantway {
    /// Answers a request to the gateway, whatever came: what went wrong stands in the response, for logs. The response is to be sent as it
    /// stands; of one to HEAD, without its body.
    ///
    /// With the feature `axum`, `Grantway::router` does this.
    ///
    /// # Errors
    /// The engine could not be asked: the connectors of the configuration file cannot be put, or the random source has failed.
    pub async fn handle(&self, arguments: Handle) -> Result<Response, Failure> {
        let tenant = arguments.tenant.clone();
        // A callback, the end of a consent session, a disconnection, a confirmed account: what changes something is asked for by POST,
        // or comes back from an issuer. The others leave the kept resolutions alone.
        let path = arguments.request.target.expose().split('?').next().unwrap_or_default();
        let changes = match arguments.request.method.as_str() {
            "POST" => ["/consent/", "/connections/", "/api/"].iter().any(|part| path.contains(part)),
            _ => path.contains("/callback"),
        };
        let operation = self.engine.handle(arguments);
        if changes { self.run_changing(&tenant, operation).await } else { self.run(operation).await }
    }

    /// Who sends a request to an MCP endpoint of the host, or the response to send instead. Nothing is kept of it: it is one read.
    ///
    /// The request must not go on to any upstream with its `Authorization` header. With the feature `axum`,
    /// `AuthenticateLayer` sees to that.
    ///
    /// # Errors
    /// As of [`Grantway::handle`].
    pub async fn authenticate(&self, arguments: Authenticate) -> Result<Authenticated, Failure> {
        self.run(self.engine.authenticate(arguments)).await
    }

    /// The MCP clients that are signed in, a page at a time. `None`: for the caller.
    ///
    /// # Errors
    /// As of the engine's `list_sign_ins`.
    pub async fn list_sign_ins(
        &self,
        caller: &Caller,
        of: Option<SignInsOf>,
        after: Option<Cursor>,
    ) -> Result<Page<SignIn>, Failure> {
        let arguments = ListSignIns { caller: caller.clone(), of, after, limit: PAGE_MAX };
        self.run(self.engine.list_sign_ins(arguments)).await
    }

    /// Signs a client out: its tokens are dead at once, in every process.
    ///
    /// # Errors
    /// As of the engine's `revoke_sign_in`.
    pub async fn revoke_sign_in(&self, caller: &Caller, id: SignInId) -> Result<SignInRevoked, Failure> {
        let arguments = RevokeSignIn { caller: caller.clone(), id };
        self.run(self.engine.revoke_sign_in(arguments)).await
    }
}
