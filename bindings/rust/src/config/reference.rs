//! References to secrets: `env:NAME` and `file:PATH`.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use grantway_core::secret::Secret;
use zeroize::Zeroizing;

use super::ConfigFileError;

/// What references refer to.
pub(super) struct Surroundings<'a> {
    /// Where relative paths begin.
    pub(super) directory: &'a Path,
    /// The environment.
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Surroundings<'_> {
    /// The secret behind a reference. What stands in `reference` may be a secret written there by mistake, and is not shown
    /// unless it has the form of one.
    pub(super) fn secret(&self, field: &str, reference: &str) -> Result<Secret, ConfigFileError> {
        let malformed = |problem: String| ConfigFileError::Malformed { field: field.to_owned(), problem };
        let text = if let Some(name) = reference.strip_prefix("env:") {
            (self.variable)(name)
                .ok_or_else(|| malformed(format!("the environment variable `{name}` is not set")))?
        } else if let Some(path) = reference.strip_prefix("file:") {
            let path = self.directory.join(path);
            fs::read_to_string(&path).map_err(|error| ConfigFileError::Unreadable { path, error })?
        } else {
            return Err(malformed(
                "must be `env:NAME` or `file:PATH`; secrets do not stand in this file".into(),
            ));
        };
        let text = Zeroizing::new(text);
        let secret = Secret::new(text.trim_end_matches(['\r', '\n']));
        if secret.is_empty() { Err(malformed(format!("`{reference}` is empty"))) } else { Ok(secret) }
    }

    /// The key behind a reference.
    pub(super) fn key(&self, field: &str, reference: &str) -> Result<[u8; 32], ConfigFileError> {
        let text = self.secret(field, reference)?;
        let bytes =
            BASE64_URL_SAFE_NO_PAD.decode(text.expose().trim().trim_end_matches('=')).map(Zeroizing::new);
        bytes.ok().and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok()).ok_or_else(|| {
            ConfigFileError::Malformed {
                field: field.to_owned(),
                problem: format!("`{reference}` does not hold 32 bytes in base64url"),
            }
        })
    }
}
