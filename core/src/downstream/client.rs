use crate::downstream::config::GatewayConfig;
use crate::operation::{Answer, Context, Progress};
use crate::principal::TenantId;
use crate::store::records::ClientRecord;
pub(crate) enum Fetch {
    Never,
    IfStale,
}
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct FindClient;
pub(crate) enum FoundClient {
    Known(Box<ClientRecord>),
    Unread,
}
impl FindClient {
    pub(crate) fn begin(_: &mut Context<'_>, _: &TenantId, _: &str, _: Fetch) -> Progress<Self, FoundClient> {
        Progress::fail(crate::error::Code::Internal)
    }
    pub(crate) fn step(self, _: &mut Context<'_>, _: Answer) -> Progress<Self, FoundClient> {
        Progress::fail(crate::error::Code::Internal)
    }
}
impl ClientRecord {
    pub(crate) fn accepts(&self, _: &GatewayConfig, _: &str) -> bool {
        false
    }
    pub(crate) fn is_verified(&self, _: &GatewayConfig) -> bool {
        false
    }
    pub(crate) fn shown(&self, _: &GatewayConfig, _: &str) -> super::pages::ClientShown {
        unimplemented!()
    }
}
