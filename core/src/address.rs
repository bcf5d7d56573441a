//! Which addresses may be connected to.
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
/// Stub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressPolicy {
    /// Public.
    #[default]
    Public,
    /// Public and loopback.
    Loopback,
    /// Public and these.
    Allow(Vec<String>),
}
impl AddressPolicy {
    /// Stub.
    pub fn permits_host(&self, _host: &url::Host<&str>) -> bool {
        true
    }
    /// Stub.
    pub fn permits(&self, ip: IpAddr) -> bool {
        !ip.is_loopback() || *self == Self::Loopback
    }
}
