//! Time and randomness, both arguments: the engine has no clock and no random source.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// A point in time: milliseconds since 1970-01-01T00:00:00Z, by the host's wall clock, which may jump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The point `ms` milliseconds later; at the end of time it stays there.
    #[must_use]
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// The point `ms` milliseconds earlier, not before 1970.
    #[must_use]
    pub const fn minus(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }

    /// Milliseconds from `self` to `later`, or 0 if `later` is not later.
    pub const fn until(self, later: Self) -> u64 {
        later.0.saturating_sub(self.0)
    }

    /// Whole minutes since 1970, for index keys.
    pub const fn minute(self) -> u64 {
        self.0 / 60_000
    }
}

/// What every step is given: the host's time, and 32 fresh bytes from a cryptographic random source.
///
/// Entropy is never reused between steps. All zeros, the mark of a source that failed, are refused as
/// [`Misuse::NoEntropy`](crate::operation::Misuse).
#[derive(Debug)]
pub struct Moment {
    /// The host's wall clock.
    pub now: UnixMillis,
    /// 32 bytes, fresh for this step.
    pub entropy: Entropy,
}

impl Moment {
    /// A moment from the host's clock and 32 fresh random bytes.
    pub fn new(now: UnixMillis, entropy: [u8; 32]) -> Self {
        Self { now, entropy: Entropy(Zeroizing::new(entropy)) }
    }
}

/// 32 random bytes from which every random value of a step is derived, each under its own label,
/// so that a public value (a state, a nonce) and a secret one (a verifier) never share bytes.
pub struct Entropy(Zeroizing<[u8; 32]>);

impl Entropy {
    /// Whether the bytes are all zero, which no working source gives.
    pub(crate) fn is_missing(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }

    /// 32 bytes for one purpose: HKDF-Expand (RFC 5869 §2.3) with SHA-256, the label as info.
    pub(crate) fn bytes(&self, label: &str) -> Zeroizing<[u8; 32]> {
        self.bytes_for(&[label.as_bytes()])
    }

    /// As [`Entropy::bytes`], the info being all parts one after the other; the first is the label.
    pub(crate) fn bytes_for(&self, info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        let mut out = Zeroizing::new([0u8; 32]);
        // INVARIANT: both lengths are constants within the bounds of RFC 5869, so neither call can fail;
        // should that ever change, the zeros are refused by whoever compares them.
        if let Ok(hkdf) = Hkdf::<Sha256>::from_prk(self.0.as_slice()) {
            let _ = hkdf.expand_multi_info(info, out.as_mut_slice());
        }
        out
    }

    /// 43 base64url characters (256 bits) for one purpose.
    pub(crate) fn token(&self, label: &str) -> Secret {
        Secret::new(BASE64_URL_SAFE_NO_PAD.encode(self.bytes(label).as_slice()))
    }

    /// 128 bits for one purpose, for identifiers that are unique but not secret.
    pub(crate) fn id(&self, label: &str) -> [u8; 16] {
        let bytes = self.bytes(label);
        std::array::from_fn(|at| bytes.get(at).copied().unwrap_or_default())
    }

    /// A number below `bound` (0 for a bound of 0), for jitter only: the modulo bias does not matter there.
    pub(crate) fn below(&self, label: &str, bound: u64) -> u64 {
        let number = u128::from_be_bytes(self.id(label));
        number.checked_rem(u128::from(bound)).and_then(|rest| u64::try_from(rest).ok()).unwrap_or(0)
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_give_unrelated_values() {
        let moment = Moment::new(UnixMillis(1), [7; 32]);
        assert_ne!(moment.entropy.bytes("a"), moment.entropy.bytes("b"));
        assert_eq!(moment.entropy.bytes("a"), moment.entropy.bytes("a"));
        assert_ne!(*moment.entropy.bytes("a"), [0; 32]);
    }

    #[test]
    fn tokens_are_43_unreserved_characters() {
        let token = Moment::new(UnixMillis(1), [7; 32]).entropy.token("verifier");
        assert_eq!(token.expose().len(), 43);
        assert!(token.expose().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    }

    #[test]
    fn time_saturates_at_both_ends() {
        assert_eq!(UnixMillis(5).minus(6), UnixMillis(0));
        assert_eq!(UnixMillis(u64::MAX).plus(1), UnixMillis(u64::MAX));
        assert_eq!(UnixMillis(9).until(UnixMillis(4)), 0);
    }
}
