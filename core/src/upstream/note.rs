//! What was tolerated on the way to an issuer, or cannot be defended: said in outcomes and reports.

use serde::Serialize;

/// Something an operator should know of a discovery or a flow that went on all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Note {
    /// By a waiver: an endpoint stands on a pinned origin that is not the issuer's.
    ForeignEndpointOrigin,
    /// By a waiver: the resource metadata came from another origin than the server's.
    ForeignResourceMetadata,
    /// By a waiver: the metadata names another issuer than the one it was asked for.
    IssuerAlias,
    /// By a waiver: discovery by the rules of MCP 2025-03-26.
    LegacyDiscovery,
    /// A part of the server's challenge could not be read and was dropped.
    MalformedChallenge,
    /// The issuer cannot be told from others in a callback.
    MixUpUnprotected,
    /// The resource metadata describes the whole origin, and so does a grant.
    ParentGrant,
    /// The challenge names its resource metadata more than once; none was taken.
    RepeatedResourceMetadata,
    /// By a waiver: the issuer does not advertise PKCE with S256.
    S256Unadvertised,
    /// The server wants oauth scopes beyond the connector's limit; they are not asked for.
    ScopesLimited,
}

impl Note {
    /// One sentence for a person, without its full stop.
    pub const fn message(self) -> &'static str {
        match self {
            Self::ForeignEndpointOrigin => {
                "an endpoint stands on a pinned origin that is not the issuer's own"
            }
            Self::ForeignResourceMetadata => {
                "the resource metadata comes from another origin than the server's"
            }
            Self::IssuerAlias => {
                "the metadata names another issuer than the one it was asked for, as was waived"
            }
            Self::LegacyDiscovery => {
                "the server publishes no resource metadata; the rules of MCP 2025-03-26 were used"
            }
            Self::MalformedChallenge => "a part of the server's challenge could not be read",
            Self::MixUpUnprotected => "the issuer cannot be told from others in a callback",
            Self::ParentGrant => {
                "the resource metadata describes the server's whole origin, and so does a grant"
            }
            Self::RepeatedResourceMetadata => {
                "the challenge names its resource metadata more than once, so the well-known URLs were asked"
            }
            Self::S256Unadvertised => "the issuer does not advertise PKCE with S256, as was waived",
            Self::ScopesLimited => {
                "the server wants more oauth scopes than the connector's limit lets be asked for"
            }
        }
    }
}
