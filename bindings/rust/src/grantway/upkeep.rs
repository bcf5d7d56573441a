//! What a host calls now and then, and what it calls when somebody leaves.

use grantway_core::error::Failure;
use grantway_core::principal::{Caller, TenantId};
use grantway_core::upstream::page::Cursor;
use grantway_core::upstream::purge::{Purge, Purgeable, Purged};
use grantway_core::upstream::refresh_due::{DueRefreshed, RefreshDue};
use grantway_core::upstream::sweep::{Sweep, Swept};

use super::Grantway;

impl Grantway {
    /// Refreshes grants of a tenant whose time has come, at most so many in one call. For grants that must stay alive though nobody
    /// uses them. `after` is `next` of the call before:
    ///
    /// ```
    /// # async fn keep_alive(gw: grantway::Grantway, tenant: grantway::TenantId) -> Result<(), grantway::Failure> {
    /// let mut after = None;
    /// loop {
    ///     after = gw.refresh_due(&tenant, 50, after).await?.next;
    ///     if after.is_none() {
    ///         break;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As of the engine's `refresh_due`.
    pub async fn refresh_due(
        &self,
        tenant: &TenantId,
        limit: u32,
        after: Option<Cursor>,
    ) -> Result<DueRefreshed, Failure> {
        self.run(self.engine.refresh_due(RefreshDue { tenant: tenant.clone(), limit, after })).await
    }

    /// Removes what has ended and finishes what a crash has left, at most so many entries in one call. `after` is `next` of the call
    /// before.
    ///
    /// # Errors
    /// As of the engine's `sweep`.
    pub async fn sweep(
        &self,
        tenant: &TenantId,
        limit: u32,
        after: Option<Cursor>,
    ) -> Result<Swept, Failure> {
        self.run(self.engine.sweep(Sweep { tenant: tenant.clone(), limit, after })).await
    }

    /// Removes the records of an owner, of a connector or of the caller's whole tenant, some at a time.
    ///
    /// # Errors
    /// As of the engine's `purge`.
    pub async fn purge(
        &self,
        caller: &Caller,
        what: Purgeable,
        after: Option<Cursor>,
    ) -> Result<Purged, Failure> {
        let arguments = Purge { caller: caller.clone(), what, after };
        self.run_changing(&caller.tenant, self.engine.purge(arguments)).await
    }
}
