//! Sealing: an AEAD over each record, bound to its key, kind and version, under a ring of keys that can be turned.
//!
//! Envelope: `format 1`, `record version 1`, `key id 4 (big endian)`, `nonce 24`, ciphertext and tag.
//! Format 1 is XChaCha20-Poly1305. The associated data is the head of the envelope and the full store key, so a row copied to
//! another user's key does not open. The nonce is derived from entropy, store key, head and plaintext: entropy that
//! repeats gives no repeated nonce over other content. Sealing does not stop someone who can write the store from putting an older row back.

use std::{fmt, io};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, AeadInOut, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use super::Key;
use crate::moment::Entropy;

const FORMAT_XCHACHA20_POLY1305: u8 = 1;
const HEAD: usize = 6;
const NONCE: usize = 24;

/// A key for sealing: an id that is never used again, and 32 random bytes.
#[derive(Clone)]
pub struct SealingKey {
    id: u32,
    bytes: Zeroizing<[u8; 32]>,
}

impl SealingKey {
    /// The bytes come from a cryptographic random source and are kept outside the store.
    pub fn new(id: u32, bytes: [u8; 32]) -> Self {
        Self { id, bytes: Zeroizing::new(bytes) }
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.bytes).into())
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey {{ id: {} }}", self.id)
    }
}

/// The current sealing key, older ones that still open, and the routing key.
///
/// Turning the ring: add a key as current and keep the old one as older; records are sealed anew whenever they are written.
/// The routing key seals the tenant's name into states and tickets; keep it until the longest flow has ended.
#[derive(Clone, Debug)]
pub struct Keyring {
    current: SealingKey,
    older: Vec<SealingKey>,
    routing: SealingKey,
}

/// A keyring that would not protect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyringError {
    /// Two keys have the same id.
    DuplicateId(u32),
    /// All 32 bytes of a key are equal: not random.
    NotRandom(u32),
    /// Two keys have the same bytes.
    DuplicateKey(u32),
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateId(id) => write!(f, "two sealing keys have the id `{id}`"),
            Self::NotRandom(id) => write!(f, "the bytes of sealing key `{id}` are all equal"),
            Self::DuplicateKey(id) => write!(f, "the bytes of sealing key `{id}` are those of another key"),
        }
    }
}

impl std::error::Error for KeyringError {}

impl Keyring {
    /// A ring with one current key and a routing key.
    ///
    /// # Errors
    /// Keys that are not random, or the same twice (IMP-16).
    pub fn new(current: SealingKey, routing: [u8; 32]) -> Result<Self, KeyringError> {
        let ring = Self { current, older: Vec::new(), routing: SealingKey::new(ROUTING_ID, routing) };
        ring.check(&[&ring.current, &ring.routing])?;
        Ok(ring)
    }

    /// The same ring with one more key that opens records but seals none.
    ///
    /// # Errors
    /// As for [`Keyring::new`].
    pub fn with_older(mut self, key: SealingKey) -> Result<Self, KeyringError> {
        self.older.push(key);
        let all: Vec<_> = [&self.current, &self.routing].into_iter().chain(&self.older).collect();
        self.check(&all)?;
        Ok(self)
    }

    fn check(&self, keys: &[&SealingKey]) -> Result<(), KeyringError> {
        for (at, key) in keys.iter().enumerate() {
            // atk:IMP-16
            if key.bytes.iter().all(|byte| Some(byte) == key.bytes.first()) {
                return Err(KeyringError::NotRandom(key.id));
            }
            for earlier in keys.iter().take(at) {
                if earlier.id == key.id {
                    return Err(KeyringError::DuplicateId(key.id));
                }
                if earlier.bytes == key.bytes {
                    return Err(KeyringError::DuplicateKey(key.id));
                }
            }
        }
        Ok(())
    }

    /// Seals what is written into the plaintext, for one store key.
    pub(crate) fn seal(
        &self,
        entropy: &Entropy,
        key: &Key,
        version: u8,
        write: impl FnOnce(&mut Plaintext),
    ) -> Vec<u8> {
        //= spec/mcp-2026-07-28.md#sec-token-theft
        //# Tokens MUST be stored securely, and no token, code, secret or assertion stands in a URL, a log or
        //# a referrer (NET-07, all).
        //= spec/mcp-2026-07-28.md#idx-refresh-tokens
        //# A refresh token MUST be readable neither on the wire nor in the store (REF-05, U).
        seal_with(&self.current, entropy, key.as_bytes(), version, write)
    }

    /// Opens a record: its version and plaintext. `None`: altered, moved, cut, or sealed under a key that is not in the ring.
    pub(crate) fn open(&self, key: &Key, envelope: &[u8]) -> Option<(u8, Zeroizing<Vec<u8>>)> {
        open_with(|id| self.find(id), key.as_bytes(), envelope)
    }

    fn find(&self, id: u32) -> Option<&SealingKey> {
        std::iter::once(&self.current).chain(&self.older).find(|key| key.id == id)
    }

    /// A text that carries the tenant's name, sealed for one purpose (`state`, `ticket`).
    pub(crate) fn locate(&self, entropy: &Entropy, purpose: &str, tenant: &str) -> String {
        let write = |plaintext: &mut Plaintext| plaintext.push(tenant.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(seal_with(&self.routing, entropy, purpose.as_bytes(), 0, write))
    }

    /// The tenant's name in a text made by [`Keyring::locate`] for the same purpose.
    pub(crate) fn located(&self, purpose: &str, text: &str) -> Option<String> {
        let envelope = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let routing = |id| Some(&self.routing).filter(|key| key.id == id);
        let (_, plaintext) = open_with(routing, purpose.as_bytes(), &envelope)?;
        String::from_utf8(plaintext.to_vec()).ok()
    }
}

/// The routing key's id in envelopes. Sealing keys live in the same number space, so a ring refuses it for them.
const ROUTING_ID: u32 = u32::MAX;

/// What is to be sealed, in the buffer in which it will be: it is encrypted where it stands, so that no copy of a token stays
/// behind in freed memory. For the same reason a buffer that is outgrown, or dropped, is wiped.
pub(crate) struct Plaintext(Vec<u8>);

impl Plaintext {
    /// Appends bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let len = self.0.len().saturating_add(bytes.len());
        if len > self.0.capacity() {
            let mut larger = Vec::with_capacity(len.saturating_mul(2));
            larger.extend_from_slice(&self.0);
            drop(Self(std::mem::replace(&mut self.0, larger)));
        }
        self.0.extend_from_slice(bytes);
    }
}

impl io::Write for Plaintext {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Plaintext {
    /// What lies behind the end was never written to.
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

/// A connection with a grant fits; a buffer that is larger than needed gives the rest back.
const ENVELOPE_MOSTLY: usize = 4096;

fn seal_with(
    with: &SealingKey,
    entropy: &Entropy,
    place: &[u8],
    version: u8,
    write: impl FnOnce(&mut Plaintext),
) -> Vec<u8> {
    let mut buffer = Plaintext(Vec::with_capacity(ENVELOPE_MOSTLY));
    buffer.push(&[FORMAT_XCHACHA20_POLY1305, version]);
    buffer.push(&with.id.to_be_bytes());
    let aad = [buffer.0.as_slice(), place].concat();
    buffer.push(&[0; NONCE]);
    write(&mut buffer);
    let Some((head, plaintext)) = buffer.0.split_at_mut_checked(HEAD + NONCE) else { return Vec::new() };
    // atk:IMP-05: the nonce depends on everything sealed.
    let digest = Sha256::new_with_prefix(&aad).chain_update(&*plaintext).finalize();
    let seed = entropy.bytes_for(&[b"seal/nonce", &digest]);
    let nonce: [u8; NONCE] = std::array::from_fn(|at| seed.get(at).copied().unwrap_or_default());
    head.iter_mut().skip(HEAD).zip(nonce).for_each(|(place, byte)| *place = byte);
    // INVARIANT: encryption fails only beyond 256 GiB, where it leaves the plaintext as it is; a record is at most 256 KiB.
    let sealed = with.cipher().encrypt_inout_detached(&XNonce::from(nonce), &aad, plaintext.into());
    let Ok(tag) = sealed else { return Vec::new() };
    buffer.push(&tag);
    let mut envelope = std::mem::take(&mut buffer.0);
    envelope.shrink_to_fit();
    envelope
}

fn open_with<'k>(
    find: impl FnOnce(u32) -> Option<&'k SealingKey>,
    place: &[u8],
    envelope: &[u8],
) -> Option<(u8, Zeroizing<Vec<u8>>)> {
    let (head, rest) = envelope.split_at_checked(HEAD)?;
    let (nonce, sealed) = rest.split_at_checked(NONCE)?;
    let [FORMAT_XCHACHA20_POLY1305, version, id @ ..] = head else { return None };
    let key = find(u32::from_be_bytes(<[u8; 4]>::try_from(id).ok()?))?;
    let nonce = XNonce::from(<[u8; NONCE]>::try_from(nonce).ok()?);
    let aad = [head, place].concat();
    let plaintext = key.cipher().decrypt(&nonce, Payload { msg: sealed, aad: &aad }).ok()?;
    Some((*version, Zeroizing::new(plaintext)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::{Moment, UnixMillis};

    fn ring(id: u32, seed: u8) -> Keyring {
        let bytes: [u8; 32] = std::array::from_fn(|at| seed.wrapping_add(at as u8));
        Keyring::new(SealingKey::new(id, bytes), std::array::from_fn(|at| 200u8.wrapping_sub(at as u8)))
            .unwrap()
    }

    fn entropy(seed: u8) -> Entropy {
        Moment::new(UnixMillis(0), [seed; 32]).entropy
    }

    fn key(text: &str) -> Key {
        Key::from_bytes(text).unwrap()
    }

    // atk:IMP-12
    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let envelope = ring(1, 1).seal(&entropy(9), &key("a"), 3, |it| it.push(b"hello"));
        assert_eq!(&*ring(1, 1).open(&key("a"), &envelope).unwrap().1, b"hello");
        for at in 0..envelope.len() {
            for bit in 0..8 {
                let mut bent = envelope.clone();
                bent[at] ^= 1 << bit;
                assert!(ring(1, 1).open(&key("a"), &bent).is_none(), "byte {at} bit {bit}");
            }
            assert!(ring(1, 1).open(&key("a"), &envelope[..at]).is_none());
        }
    }

    #[test]
    fn what_is_written_piece_by_piece_and_outgrows_the_buffer_is_sealed_whole() {
        let envelope =
            ring(1, 1).seal(&entropy(9), &key("a"), 3, |it| (0..3_000).for_each(|_| it.push(b"token")));
        assert_eq!(*ring(1, 1).open(&key("a"), &envelope).unwrap().1, b"token".repeat(3_000));
        assert_eq!(envelope.len(), envelope.capacity());
    }

    // atk:TEN-11
    #[test]
    fn a_row_moved_to_another_key_does_not_open() {
        let envelope = ring(1, 1).seal(&entropy(9), &key("alice"), 1, |it| it.push(b"token"));
        assert!(ring(1, 1).open(&key("mallory"), &envelope).is_none());
    }

    #[test]
    fn an_older_key_opens_and_the_current_one_seals() {
        let old = ring(1, 1).seal(&entropy(9), &key("a"), 1, |it| it.push(b"token"));
        let turned =
            ring(2, 50).with_older(SealingKey::new(1, std::array::from_fn(|at| 1 + at as u8))).unwrap();
        assert!(turned.open(&key("a"), &old).is_some());
        let new = turned.seal(&entropy(9), &key("a"), 1, |it| it.push(b"token"));
        assert_eq!(new[2..6], [0, 0, 0, 2]);
        assert!(ring(1, 1).open(&key("a"), &new).is_none());
    }

    // atk:IMP-05
    #[test]
    fn repeated_entropy_repeats_no_nonce_over_other_content() {
        let nonce = |at: &str, text: &[u8]| {
            ring(1, 1).seal(&entropy(9), &key(at), 1, |it| it.push(text))[HEAD..HEAD + NONCE].to_vec()
        };
        assert_ne!(nonce("a", b"x"), nonce("a", b"y"));
        assert_ne!(nonce("a", b"x"), nonce("b", b"x"));
    }

    // atk:IMP-16
    #[test]
    fn a_ring_of_weak_or_repeated_keys_is_refused() {
        let good: [u8; 32] = std::array::from_fn(|at| at as u8);
        let other: [u8; 32] = std::array::from_fn(|at| at as u8 ^ 0x55);
        assert_eq!(Keyring::new(SealingKey::new(1, [0; 32]), good).unwrap_err(), KeyringError::NotRandom(1));
        assert!(Keyring::new(SealingKey::new(1, good), good).is_err());
        let ring = Keyring::new(SealingKey::new(1, good), other).unwrap();
        let third: [u8; 32] = std::array::from_fn(|at| at as u8 ^ 0x33);
        assert_eq!(ring.with_older(SealingKey::new(1, third)).unwrap_err(), KeyringError::DuplicateId(1));
    }

    #[test]
    fn a_locator_opens_for_its_purpose_only() {
        let text = ring(1, 1).locate(&entropy(9), "state", "acme");
        assert_eq!(ring(7, 90).located("state", &text).as_deref(), Some("acme"));
        assert_eq!(ring(1, 1).located("ticket", &text), None);
    }
}
