//! Stub.
use serde::{Deserialize, Serialize};
/// Stub.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Account {
    /// s
    pub subject: String,
    /// l
    pub label: Option<String>,
}
