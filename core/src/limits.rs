//! The numbers, each with its reason. All can be configured; these are the defaults.

use serde::Deserialize;

/// Time limits and counts of the engine, in milliseconds where not said otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// One HTTP exchange. Default 20 s: slow issuers answer in ten.
    pub http_timeout_ms: u64,
    /// What a store call may take. Default 5 s; the lease is computed from it.
    pub store_timeout_ms: u64,
    /// The right to redeem a refresh token. Default 60 s: longer than lease commit, POST and saves together.
    pub lease_ms: u64,
    /// How far clocks of hosts may differ. Default 2 min.
    pub clock_skew_ms: u64,
    /// Refresh so long before the end. Default 60 s, and at most a quarter of the lifetime.
    pub refresh_margin_ms: u64,
    /// The first poll of a lease that another worker holds. Default 50 ms, doubling.
    pub poll_ms: u64,
    /// The longest poll. Default 1 s.
    pub poll_max_ms: u64,
    /// How old a cached resolution may be before its versions are read again. Default 5 s.
    pub cache_max_age_ms: u64,
    /// First back-off after an answer that says "later". Default 1 s, doubling.
    pub backoff_ms: u64,
    /// The longest back-off. Default 5 min.
    pub backoff_max_ms: u64,
    /// Step-ups per (resource, operation) and window. Default 2: with the first request three in all.
    pub step_ups: u8,
    /// That window. Default 1 h.
    pub step_up_window_ms: u64,
    /// A generation that a 401 brought about and that is rejected again so soon is not refreshed. Default 30 s.
    pub rejected_again_ms: u64,
    /// An authorization attempt. Default 10 min.
    pub flow_ms: u64,
    /// A connect link. Default 15 min.
    pub ticket_ms: u64,
    /// The longest use of a cached document. Default 24 h.
    pub metadata_max_age_ms: u64,
    /// The use of a document whose answer does not say. Default 5 min.
    pub metadata_default_age_ms: u64,
    /// The longest grant lifetime believed. Default 30 days.
    pub grant_max_ms: u64,
    /// New registrations at an issuer that forgot us. Default one an hour.
    pub registration_renewal_ms: u64,
    /// A purged connection's tombstone. Default 1 h, longer than any operation.
    pub tombstone_ms: u64,
    /// A consent session of the gateway, from the client's request to its code. Default 30 min.
    pub consent_ms: u64,
    /// A session that the gateway has minted or for which a key was shown. Default 24 h.
    pub session_ms: u64,
    /// An authorization code of the gateway. Default 60 s (RFC 6749 §4.1.2 allows ten minutes).
    pub code_ms: u64,
    /// For so long the browser that has approved is given its redirect again. Default 60 s.
    pub issued_again_ms: u64,
    /// An access token of the gateway. Default 1 h.
    pub access_token_ms: u64,
    /// A refresh token of the gateway that nobody uses. Default 30 days.
    pub refresh_idle_ms: u64,
    /// For so long a client that refreshes twice with one token is given the same pair. Default 30 s.
    pub refresh_grace_ms: u64,
    /// After so long the host is asked again whether a principal still stands. Default 5 min.
    pub identity_max_age_ms: u64,
    /// A registered client that has never finished a sign-in. Default 24 h.
    pub unused_client_ms: u64,
    /// A registered client that nobody signs in with any more. Default 90 days.
    pub idle_client_ms: u64,
    /// Ten wrong keys within this time pause a browser for as long. Default 10 min.
    pub wrong_keys_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const SECOND: u64 = 1_000;
        const MINUTE: u64 = 60 * SECOND;
        const HOUR: u64 = 60 * MINUTE;
        Self {
            http_timeout_ms: 20 * SECOND,
            store_timeout_ms: 5 * SECOND,
            lease_ms: 60 * SECOND,
            clock_skew_ms: 2 * MINUTE,
            refresh_margin_ms: 60 * SECOND,
            poll_ms: 50,
            poll_max_ms: SECOND,
            cache_max_age_ms: 5 * SECOND,
            backoff_ms: SECOND,
            backoff_max_ms: 5 * MINUTE,
            step_ups: 2,
            step_up_window_ms: HOUR,
            rejected_again_ms: 30 * SECOND,
            flow_ms: 10 * MINUTE,
            ticket_ms: 15 * MINUTE,
            metadata_max_age_ms: 24 * HOUR,
            metadata_default_age_ms: 5 * MINUTE,
            grant_max_ms: 30 * 24 * HOUR,
            registration_renewal_ms: HOUR,
            tombstone_ms: HOUR,
            consent_ms: 30 * MINUTE,
            session_ms: 24 * HOUR,
            code_ms: 60 * SECOND,
            issued_again_ms: 60 * SECOND,
            access_token_ms: HOUR,
            refresh_idle_ms: 30 * 24 * HOUR,
            refresh_grace_ms: 30 * SECOND,
            identity_max_age_ms: 5 * MINUTE,
            unused_client_ms: 24 * HOUR,
            idle_client_ms: 90 * 24 * HOUR,
            wrong_keys_ms: 10 * MINUTE,
        }
    }
}

/// LIMIT: metadata documents in the provider corpus are under 10 KiB.
pub(crate) const METADATA_MAX_BYTES: u32 = 64 * 1024;
/// LIMIT: room for an access token, a refresh token and an id_token of 16 KiB each.
pub(crate) const TOKEN_RESPONSE_MAX_BYTES: u32 = 64 * 1024;
/// LIMIT: an error page is read for its status only.
pub(crate) const PROBE_MAX_BYTES: u32 = 64 * 1024;
/// LIMIT: how often a decision is taken anew because its records had changed. Ten writers of one record get through.
pub(crate) const COMMIT_TRIES: u8 = 10;
/// LIMIT: saves of new tokens after the first, each with its read: what the lease has room for.
pub(crate) const SAVE_RETRIES: u64 = 2;
/// LIMIT: tokens that wait for revocation in one connection.
pub(crate) const OUTBOX_MAX: usize = 16;
/// LIMIT: of these with their clients, so that a record of 256 KiB has room for two of the largest grants beside them.
pub(crate) const OUTBOX_MAX_BYTES: usize = 64 * 1024;
/// LIMIT: of a client secret, which stands beside every token that waits for revocation.
pub(crate) const CLIENT_SECRET_MAX_BYTES: usize = 4096;
/// LIMIT: a parked token is tried five times, then reported and let go (atk L4).
pub(crate) const REVOCATION_TRIES: u8 = 5;
/// LIMIT: a refresh token is sent twice at the very most (P17).
pub(crate) const SENDS_MAX: u8 = 2;
/// LIMIT: staged grants of one consent session: its last commit has six writes for each, and a hundred are the most.
pub(crate) const STAGED_MAX: usize = 15;
/// LIMIT: consent sessions of one client that nobody has approved yet; the oldest gives way (atk:NET-13).
pub(crate) const PENDING_CONSENTS_MAX: usize = 32;
/// LIMIT: parents of a refresh token that are known again when they are replayed.
pub(crate) const PARENTS_MAX: usize = 16;
/// LIMIT: access tokens of one family that live at once; the oldest gives way.
pub(crate) const ACCESS_TOKENS_MAX: usize = 8;
/// LIMIT: wrong verifiers for one code (atk:COD-10).
pub(crate) const CODE_FAILURES_MAX: u8 = 5;
/// LIMIT: wrong keys of one browser within `wrong_keys_ms` (atk:CON-07).
pub(crate) const WRONG_KEYS_MAX: u8 = 10;
/// LIMIT: registered clients of one tenant that have never been used (atk:CON-17).
pub(crate) const UNUSED_CLIENTS_MAX: usize = 500;
/// LIMIT: a client id metadata document (draft-ietf-oauth-client-id-metadata-document §6.6 recommends 5 KB).
pub(crate) const CLIENT_DOCUMENT_MAX_BYTES: u32 = 5 * 1024;
/// LIMIT: the body of a request to the gateway.
pub const REQUEST_MAX_BYTES: usize = 64 * 1024;
/// LIMIT: redirect URIs of one client.
pub(crate) const REDIRECT_URIS_MAX: usize = 16;
/// LIMIT: issuers of one resource that are looked at (atk:NET-12).
pub(crate) const ISSUERS_MAX: usize = 3;
/// LIMIT: all fetches of one discovery (atk:NET-12).
pub(crate) const DISCOVERY_FETCHES_MAX: u8 = 8;
