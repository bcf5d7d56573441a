//! Stub.
use serde::{Deserialize, Serialize};
/// Stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// none
    None,
    /// basic
    ClientSecretBasic,
    /// post
    ClientSecretPost,
    /// jwt
    PrivateKeyJwt,
}
