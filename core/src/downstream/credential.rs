//! Codes and tokens of the gateway. Each kind has a prefix of its own, and its own word in the hash that it is known by, so that none
//! can stand where another belongs.
//!
//! ```text
//! code           gwc_ random(43)
//! access token   gwa_ family(22) random(43)
//! refresh token  gwr_ family(22) random(43)
//! ```
//!
//! The random part is 256 bits as base64url, the family its id as base64url. There is no tenant in them: a request comes to one
//! tenant's gateway, and nothing of another tenant's is ever looked at.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::moment::Entropy;
use crate::secret::Secret;
use crate::store::lookup_hash;
use crate::store::records::{Digest, FamilyId};

const CODE: &str = "gwc_";
const ACCESS: &str = "gwa_";
const REFRESH: &str = "gwr_";

/// 256 bits as base64url.
const RANDOM_LEN: usize = 43;
/// 128 bits as base64url.
const FAMILY_LEN: usize = 22;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TokenKind {
    Access,
    Refresh,
}

impl TokenKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Access => ACCESS,
            Self::Refresh => REFRESH,
        }
    }

    const fn hashed_as(self) -> &'static str {
        match self {
            Self::Access => "access_token",
            Self::Refresh => "refresh_token",
        }
    }
}

/// A new authorization code.
pub(crate) fn new_code(entropy: &Entropy, label: &str) -> Secret {
    //= spec/mcp-2026-07-28.md#sec-token-theft
    //# Access tokens SHOULD be short-lived, and codes and tokens MUST be impossible to guess (TOK-20, S).
    joined([CODE, "", entropy.token(label).expose()])
}

/// A new token of a family.
pub(crate) fn new_token(entropy: &Entropy, label: &str, kind: TokenKind, family: FamilyId) -> Secret {
    let family = BASE64_URL_SAFE_NO_PAD.encode(family.0);
    joined([kind.prefix(), &family, entropy.token(label).expose()])
}

fn joined(parts: [&str; 3]) -> Secret {
    // INVARIANT: the buffer gets its final size at once; growing would leave unwiped copies behind.
    let mut text = String::with_capacity(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| text.push_str(part));
    Secret::new(text)
}

/// What a code is known by; `None`: it is no code.
pub(crate) fn code_hash(code: &str) -> Option<Digest> {
    let random = code.strip_prefix(CODE)?;
    is_random(random).then(|| Digest(lookup_hash("code", code)))
}

/// A token as somebody has shown it: well-formed, and no more than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Presented {
    pub(crate) kind: TokenKind,
    pub(crate) family: FamilyId,
    pub(crate) hash: Digest,
}

impl Presented {
    /// `None`: it is no token of ours.
    pub(crate) fn read(token: &str) -> Option<Self> {
        //= spec/oauth21.md#5-2
        //# Tokens MAY be self-contained or looked up: ours are opaque and looked up in our own store, so that
        //# nothing of them is parsed or trusted before (USE-11, R).
        // atk:COD-09
        let kind = [TokenKind::Access, TokenKind::Refresh]
            .into_iter()
            .find(|kind| token.starts_with(kind.prefix()))?;
        let rest = token.strip_prefix(kind.prefix())?;
        let (family, random) = rest.split_at_checked(FAMILY_LEN)?;
        let family = BASE64_URL_SAFE_NO_PAD.decode(family).ok()?;
        let family = FamilyId(<[u8; 16]>::try_from(family).ok()?);
        is_random(random).then(|| Self { kind, family, hash: token_hash(kind, token) })
    }

    /// As [`Presented::read`], for one kind only.
    pub(crate) fn read_as(kind: TokenKind, token: &str) -> Option<Self> {
        Self::read(token).filter(|presented| presented.kind == kind)
    }
}

/// What a token is known by.
pub(crate) fn token_hash(kind: TokenKind, token: &str) -> Digest {
    Digest(lookup_hash(kind.hashed_as(), token))
}

/// Whether two hashes are the same, in constant time.
pub(crate) fn same(one: &Digest, other: &Digest) -> bool {
    // atk:IMP-01
    one.0.ct_eq(&other.0).into()
}

fn is_random(text: &str) -> bool {
    text.len() == RANDOM_LEN && BASE64_URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::{Moment, UnixMillis};

    fn family() -> FamilyId {
        FamilyId(std::array::from_fn(|at| at as u8))
    }

    fn moment() -> Moment {
        Moment::new(UnixMillis(1), [7; 32])
    }

    //= spec/mcp-2026-07-28.md#sec-token-theft
    //= type=test
    //# Access tokens SHOULD be short-lived, and codes and tokens MUST be impossible to guess (TOK-20, S).
    #[test]
    fn codes_and_tokens_have_their_form_and_256_random_bits() {
        let entropy = moment().entropy;
        let code = new_code(&entropy, "test/code");
        assert_eq!((code.expose().len(), &code.expose()[..4]), (47, "gwc_"));
        for (kind, prefix) in [(TokenKind::Access, "gwa_"), (TokenKind::Refresh, "gwr_")] {
            let token = new_token(&entropy, "test/token", kind, family());
            assert_eq!((token.expose().len(), &token.expose()[..4]), (69, prefix));
            let presented = Presented::read(token.expose()).unwrap();
            assert_eq!((presented.kind, presented.family), (kind, family()));
            assert_eq!(presented.hash, token_hash(kind, token.expose()));
        }
        let other = Moment::new(UnixMillis(1), [8; 32]).entropy;
        assert_ne!(code, new_code(&other, "test/code"));
    }

    // atk:COD-09
    #[test]
    fn none_of_them_is_read_as_another() {
        let entropy = moment().entropy;
        let code = new_code(&entropy, "x");
        let access = new_token(&entropy, "x", TokenKind::Access, family());
        let refresh = new_token(&entropy, "x", TokenKind::Refresh, family());
        assert!(code_hash(code.expose()).is_some() && Presented::read(code.expose()).is_none());
        for (token, kind) in [(&access, TokenKind::Access), (&refresh, TokenKind::Refresh)] {
            assert!(code_hash(token.expose()).is_none());
            for asked in [TokenKind::Access, TokenKind::Refresh] {
                assert_eq!(Presented::read_as(asked, token.expose()).is_some(), asked == kind);
            }
        }
        // The same random part under another prefix has another hash, even if the prefix were not looked at.
        assert_ne!(token_hash(TokenKind::Access, "t"), token_hash(TokenKind::Refresh, "t"));
    }

    //= spec/oauth21.md#5-2
    //= type=test
    //# Tokens MAY be self-contained or looked up: ours are opaque and looked up in our own store, so that
    //# nothing of them is parsed or trusted before (USE-11, R).
    #[test]
    fn whatever_is_not_exactly_of_the_form_is_no_token() {
        let token = new_token(&moment().entropy, "x", TokenKind::Access, family());
        let token = token.expose();
        let last = token.len() - 1;
        let odd_family = format!("gwa_{}B{}", &token[4..25], &token[26..]);
        for wrong in [
            "",
            "gwa_",
            &token[..last],
            &format!("{token}A"),
            &format!(" {token}"),
            &token.to_uppercase(),
            &format!("{}=", &token[..last]),
            &format!("{}+", &token[..last]),
            &format!("{}é", &token[..last - 1]),
            // A last character with bits that mean nothing would be a second spelling of the same bytes.
            &format!("{}_", &token[..last]),
            &odd_family,
        ] {
            assert!(Presented::read(wrong).is_none(), "{wrong}");
        }
        assert!(code_hash("gwc_short").is_none());
    }
}
