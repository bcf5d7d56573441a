//! Pages of a listing, and the cursor that leads from one to the next.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::operation::{Effect, Versioned};
use crate::store::Key;

/// LIMIT: the longest page; a store reads as much at once.
pub const PAGE_MAX: u32 = 100;

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "model", derive(Hash))]
pub struct Page<T> {
    /// What is on it; it may be empty although another page follows.
    pub items: Vec<T>,
    /// Leads to the next page; `None`: this was the last.
    pub next: Option<Cursor>,
}

/// Where a page ended. Opaque; good for the same listing only.
///
/// It is the end of a store key, put behind the prefix of the listing it is given to: what a foreign or altered cursor shows is
/// never more than that listing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor(Vec<u8>);

impl Cursor {
    /// The cursor that goes on after `key`, a key under `prefix`.
    pub(crate) fn after(prefix: &Key, key: &Key) -> Self {
        Self(key.as_bytes().get(prefix.as_bytes().len()..).unwrap_or_default().to_vec())
    }

    /// The key to go on after.
    pub(crate) fn under(&self, prefix: &Key) -> Option<Key> {
        Key::from_bytes([prefix.as_bytes(), self.0.as_slice()].concat()).ok()
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        BASE64_URL_SAFE_NO_PAD.encode(cursor.0)
    }
}

impl TryFrom<String> for Cursor {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        BASE64_URL_SAFE_NO_PAD.decode(text).map(Self).map_err(|_| "not a cursor")
    }
}

impl<T> Page<T> {
    /// The page that a scan under `prefix` has brought; `read` makes an item of an entry, or leaves it out.
    pub(crate) fn of(
        prefix: &Key,
        entries: &[(Key, Versioned)],
        more: bool,
        mut read: impl FnMut(&Key, &Versioned) -> Result<Option<T>, Failure>,
    ) -> Result<Self, Failure> {
        let items =
            entries.iter().filter_map(|(key, raw)| read(key, raw).transpose()).collect::<Result<_, _>>()?;
        Ok(Self { items, next: next(prefix, entries, more) })
    }
}

/// Where a scan under `prefix` goes on.
pub(crate) fn next(prefix: &Key, entries: &[(Key, Versioned)], more: bool) -> Option<Cursor> {
    entries.last().filter(|_| more).map(|(key, _)| Cursor::after(prefix, key))
}

/// The scan of one page.
pub(crate) fn scan(prefix: &Key, after: Option<&Cursor>, limit: u32) -> Effect {
    Effect::Scan {
        prefix: prefix.clone(),
        after: after.and_then(|cursor| cursor.under(prefix)),
        limit: limit.clamp(1, PAGE_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::{ConnectorId, TenantId};

    #[test]
    fn a_cursor_of_another_listing_stays_within_the_listing_it_is_given_to() {
        let (acme, other) = (TenantId::new("acme").unwrap(), TenantId::new("other").unwrap());
        let key = Key::connector(&other, &ConnectorId::new("secret").unwrap());
        let text = String::from(Cursor::after(&Key::connectors(&other), &key));
        let cursor = Cursor::try_from(text).unwrap();
        let prefix = Key::connectors(&acme);
        let after = cursor.under(&prefix).unwrap();
        assert!(after.starts_with(&prefix) && !after.starts_with(&Key::connectors(&other)));
        assert_eq!(cursor.under(&Key::connectors(&other)), Some(key));
    }

    #[test]
    fn a_page_has_at_least_one_entry_and_at_most_a_hundred() {
        let prefix = Key::connectors(&TenantId::new("acme").unwrap());
        for (asked, given) in [(0, 1), (7, 7), (u32::MAX, PAGE_MAX)] {
            let Effect::Scan { limit, .. } = scan(&prefix, None, asked) else { panic!("not a scan") };
            assert_eq!(limit, given);
        }
    }
}
