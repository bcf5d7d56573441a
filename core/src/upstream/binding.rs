//! Binding: what proves that start and callback are the same browser, process or person. Fixed when a flow begins.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::cookie::Cookie;
use crate::engine::Engine;
use crate::secret::Secret;
use crate::store::records::{Binding, FlowHash};

/// What a callback brings along.
pub(crate) struct Presented<'a> {
    /// The raw `Cookie` header.
    pub(crate) cookies: Option<&'a Secret>,
    /// The secret of the process that listens.
    pub(crate) process_secret: Option<&'a Secret>,
}

impl Binding {
    /// For the browser that holds this secret.
    pub(crate) fn browser(secret: &Secret, flow: FlowHash) -> Self {
        Self::Browser(digest("browser", secret.expose(), flow))
    }

    /// For the process that holds this secret.
    pub(crate) fn process(secret: &Secret, flow: FlowHash) -> Self {
        Self::Process(digest("process", secret.expose(), flow))
    }

    /// Whether the callback came to where the flow began. Who the caller is, is compared apart, for every kind.
    pub(crate) fn holds(&self, engine: &Engine, flow: FlowHash, presented: &Presented<'_>) -> bool {
        match self {
            Self::Browser(expected) => Cookie::Binding
                .values(engine, presented.cookies)
                .any(|secret| digest("browser", secret, flow).ct_eq(expected).into()),
            Self::Paste => true,
            Self::Process(expected) => presented
                .process_secret
                .is_some_and(|secret| digest("process", secret.expose(), flow).ct_eq(expected).into()),
        }
    }
}

fn digest(kind: &str, secret: &str, flow: FlowHash) -> [u8; 32] {
    Sha256::new()
        .chain_update(kind)
        .chain_update([0])
        .chain_update(flow.0)
        .chain_update(secret)
        .finalize()
        .into()
}
