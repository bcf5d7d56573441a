//! What a host calls now and then, and what it calls when somebody leaves.

use grantway_core::error::Failure;
use grantway_core::principal::{Caller, TenantId};
use grantway_core::upstream::page::Cursor;
use grantway_core::upstream::purge::{Purge, Purgeable, Purged};
use grantway_core::upstream::refresh_due::{DueRefreshed, RefreshDue};
use grantway_core::upstream::sweep::{Sweep, Swept};

use super::Grantway;

impl Grantway {
    /// Refreshes grants of a tenant whose time has come, at most so many. For grants that must stay alive though nobody uses them.
    ///
    /// # Errors
    /// As of the engine's `refresh_due`.
    pub async fn refresh_due(&self, tenant: &TenantId, limit: u32) -> Result<DueRefreshed, Failure> {
        self.run(self.engine.refresh_due(RefreshDue { tenant: tenant.clone(), limit })).await
    }

    /// Removes what has ended and finishes what a crash has left, at most so many entries.
    ///
    /// # Errors
    /// As of the engine's `sweep`.
    pub async fn sweep(&self, tenant: &TenantId, limit: u32) -> Result<Swept, Failure> {
        self.run(self.engine.sweep(Sweep { tenant: tenant.clone(), limit })).await
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
