//! The steps of a discovery, as a report shows them.

use serde::Serialize;

use crate::error::{Failure, PeerText};

/// One URL that was asked, or one document that was at hand.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct DiscoveryStep {
    /// What for.
    pub asked: Asked,
    /// Where; printable ASCII, cut if it is not acceptable as a URL.
    pub url: String,
    /// What it came to.
    pub found: Found,
}

/// What a URL was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// The server's challenge: one request without a credential.
    Challenge,
    /// An issuer's metadata.
    IssuerMetadata,
    /// Resource metadata, at the URL that a challenge named.
    ResourceMetadata,
    /// Resource metadata, at the well-known URL of the server's own URL.
    ResourceMetadataPathForm,
    /// Resource metadata, at the well-known URL of the server's origin.
    ResourceMetadataRootForm,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// Nothing is there: the next place was asked.
    Absent {
        /// The status of the answer.
        status: u16,
    },
    /// A document fetched before, still fresh and acceptable.
    Cached,
    /// A challenge, or an acceptable document.
    Present,
    /// Not to be had now: the next place was asked, but absence is not proved.
    Unavailable {
        /// The status of the answer; `None` if there was none.
        status: Option<u16>,
    },
    /// Not acceptable: the discovery stopped.
    Wrong {
        /// The failure's slug.
        slug: &'static str,
        /// Its reason.
        reason: Option<&'static str>,
    },
}

impl DiscoveryStep {
    pub(super) fn new(asked: Asked, url: &str, found: Found) -> Self {
        // A URL that was refused is the peer's text.
        Self { asked, url: PeerText::sanitize(url).as_str().to_owned(), found }
    }
}

impl Found {
    pub(super) fn wrong(failure: &Failure) -> Self {
        Self::Wrong { slug: failure.slug(), reason: failure.reason() }
    }
}
