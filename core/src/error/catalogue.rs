//! The one catalogue of failures, for all languages: slug, fault, whether a retry helps, source, message, next step.
//!
//! Slugs are never renamed or reused. The test at the end keeps them unique and well-formed;
//! `tests/catalogue.rs` demands an example of each.

use super::{Fault, Retry};

macro_rules! catalogue {
    ($($(#[$doc:meta])* $name:ident = $slug:literal, $fault:ident, $retry:ident, $source:literal, $message:literal, $next:literal;)+) => {
        /// Every failure the engine can end in. The variant's documentation is its source.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = concat!("`", $slug, "` (", $source, "): ", $message, ". Next: ", $next, ".")] $name,)+
        }

        impl Code {
            /// All of them, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The slug: `group.name`.
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug,)+ }
            }

            /// Whose fault it is.
            pub const fn fault(self) -> Fault {
                match self { $(Self::$name => Fault::$fault,)+ }
            }

            /// Whether asking again can help.
            pub const fn retry(self) -> Retry {
                match self { $(Self::$name => Retry::$retry,)+ }
            }

            /// The standard, clause or design section it rests on.
            pub const fn source(self) -> &'static str {
                match self { $(Self::$name => $source,)+ }
            }

            /// What went wrong, one line, lower case.
            pub const fn message(self) -> &'static str {
                match self { $(Self::$name => $message,)+ }
            }

            /// What to do next.
            pub const fn next_step(self) -> &'static str {
                match self { $(Self::$name => $next,)+ }
            }
        }
    };
}

catalogue! {
    // The peer broke its protocol.
    AddressRefused = "peer_misbehaved.address_refused", Peer, Never, "RFC 9728 §7.7",
        "the server's name leads to an address that the connector's address policy forbids",
        "check the server's URL; an administrator can allow a private network for this connector";
    CallbackIssuerMismatch = "peer_misbehaved.callback_issuer_mismatch", Peer, AfterAction, "RFC 9207 §2.4",
        "the callback names another issuer than the one this flow was sent to",
        "connect again; if it happens again, report the server";
    CallbackIssuerMissing = "peer_misbehaved.callback_issuer_missing", Peer, AfterAction, "RFC 9207 §2.4",
        "the issuer promised to name itself in the callback and did not",
        "connect again; if it happens again, report the server";
    DiscoveryDowngrade = "peer_misbehaved.discovery_downgrade", Peer, Never, "MCP 2025-03-26 fallbacks",
        "a server that once published resource metadata no longer does",
        "ask the server's operator; an administrator can remove the connector and add it anew";
    EndpointOriginMismatch = "peer_misbehaved.endpoint_origin_mismatch", Peer, Never, "RFC 9700 §4.4",
        "the issuer's metadata names an endpoint on another origin than the issuer's own",
        "an administrator can pin that origin for this issuer after checking it";
    IssuerMetadataInvalid = "peer_misbehaved.issuer_metadata_invalid", Peer, Never, "RFC 8414 §3.2",
        "the issuer's metadata is not usable", "report it to the issuer's operator";
    IssuerMismatch = "peer_misbehaved.issuer_mismatch", Peer, Never, "RFC 8414 §3.3",
        "the metadata names another issuer than the one it was asked for", "report it to the server's operator";
    PkceNotAdvertised = "peer_misbehaved.pkce_not_advertised", Peer, Never, "MCP 2026-07-28 security considerations",
        "the issuer does not advertise PKCE with S256",
        "an administrator can waive the advertisement for this connector after checking the issuer";
    Redirected = "peer_misbehaved.redirected", Peer, Never, "MCP security best practices, SSRF",
        "the server answered with a redirect, which is never followed", "configure the URL it redirects to";
    RegistrationInvalid = "peer_misbehaved.registration_invalid", Peer, Never, "RFC 7591 §3.2.1",
        "the issuer's answer to the registration is not usable",
        "report it to the issuer's operator, or configure a static registration";
    ResourceMetadataInvalid = "peer_misbehaved.resource_metadata_invalid", Peer, Never, "RFC 9728 §3.2",
        "the server's resource metadata is not usable", "report it to the server's operator";
    ResourceMismatch = "peer_misbehaved.resource_mismatch", Peer, Never, "RFC 9728 §3.3",
        "the resource metadata describes another resource than the one asked for",
        "check the server's URL for a missing or extra slash or path";
    ResponseTooLarge = "peer_misbehaved.response_too_large", Peer, Never, "design §8",
        "the server's answer is larger than the limit", "report it to the server's operator";
    TokenResponseInvalid = "peer_misbehaved.token_response_invalid", Peer, AfterAction, "RFC 6749 §5.1",
        "the issuer's token response is not usable", "connect again; if it happens again, report the issuer";
    TokenTypeUnsupported = "peer_misbehaved.token_type_unsupported", Peer, Never, "RFC 6749 §7.1",
        "the issuer gave a token of a type that was not asked for", "report it to the issuer's operator";
    UrlRefused = "peer_misbehaved.url_refused", Peer, Never, "MCP security best practices, URL validation",
        "the server named a URL that is not acceptable", "report it to the server's operator";

    // The peer said no.
    AuthorizationRefused = "peer_refused.authorization", Peer, AfterAction, "RFC 6749 §4.1.2.1",
        "the issuer refused the authorization request", "connect again, or ask the issuer's operator";
    ClientRefused = "peer_refused.client", Peer, AfterAction, "RFC 6749 §5.2",
        "the issuer no longer accepts this client", "connect again: a new registration is made where that is possible";
    CodeRefused = "peer_refused.code", Peer, AfterAction, "RFC 6749 §5.2",
        "the issuer refused the authorization code", "connect again";
    RegistrationRefused = "peer_refused.registration", Peer, Never, "RFC 7591 §3.2.2",
        "the issuer refused to register this client",
        "read the server's reason; an administrator can configure a static registration";
    ResourceRefused = "peer_refused.resource", Peer, Never, "RFC 8707 §2",
        "the issuer does not know the resource", "an administrator can change the connector's `resource` setting";
    ScopeRefused = "peer_refused.scope", Peer, Never, "RFC 6749 §5.2",
        "the issuer refused the requested scopes", "an administrator can change the connector's scopes";
    TokenRefused = "peer_refused.token", Peer, AfterAction, "RFC 6749 §5.2",
        "the issuer refused the token request", "connect again, or ask the issuer's operator";

    // The person, or the browser in front of the person.
    AccessDenied = "user.access_denied", User, AfterAction, "RFC 6749 §4.1.2.1",
        "the person declined, or the issuer denied access", "connect again and approve";
    BindingMismatch = "user.binding_mismatch", User, AfterAction, "RFC 9700 §4.7",
        "the callback did not come to the browser or process that began the flow",
        "connect again in one browser";
    CallbackMalformed = "user.callback_malformed", User, AfterAction, "RFC 6749 §3.1",
        "the callback URL is not usable", "connect again; when pasting, paste the whole URL";
    ContextMismatch = "user.context_mismatch", User, AfterAction, "RFC 9700 §4.4.2",
        "the callback arrived on another issuer's path", "connect again; if it happens again, report the server";
    FlowExpired = "user.flow_expired", User, AfterAction, "design §4", "the authorization took too long",
        "connect again";
    FlowSuperseded = "user.flow_superseded", User, AfterAction, "design §4",
        "a newer connection attempt or a disconnect has replaced this one", "finish the newer one, or connect again";
    FlowUnknown = "user.flow_unknown", User, AfterAction, "RFC 9700 §4.7",
        "no such authorization was begun here", "connect again";
    FlowUsed = "user.flow_used", User, AfterAction, "RFC 9700 §4.7",
        "this callback was already used", "look at the connection's status; connect again if it is not connected";
    NotAllowed = "user.not_allowed", User, Never, "design §1", "the caller may not do this",
        "ask a manager of the team or an administrator of the tenant";
    PrincipalMismatch = "user.principal_mismatch", User, AfterAction, "draft-ietf-oauth-security-topics-update",
        "somebody else began this flow", "sign in as the person who began it, or connect again";
    ReturnToRefused = "user.return_to_refused", User, Never, "RFC 9700 §4.11",
        "the page to return to is not one of the host's own",
        "pass a path of the host's own site, beginning with one slash";
    ScopeDenied = "user.scope_denied", User, Later, "MCP 2026-07-28 step-up authorization",
        "the server keeps asking for more scopes than were granted", "ask the server's operator which scopes it needs";
    TicketUnknown = "user.ticket_unknown", User, AfterAction, "design §1",
        "the link is not valid any more, or is not the caller's", "ask for the tool again to get a new link";

    // Configuration.
    AssuranceTooLow = "config.assurance_too_low", Config, Never, "design §1",
        "the connector demands a better verified caller", "sign in instead of using a key or a session";
    ConnectorExists = "config.connector_exists", Config, Never, "design §4",
        "the connector was changed in the meantime", "read it again and repeat the change";
    ConnectorUnknown = "config.connector_unknown", Config, Never, "design §1", "there is no such connector",
        "check its name, or ask an administrator to add it";
    MixUpUnprotected = "config.mix_up_unprotected", Config, Never, "RFC 9700 §4.4",
        "the profile `strict` refuses an issuer that cannot be told from others in a callback",
        "ask the issuer's operator for RFC 9207, or use a static registration";
    ParentGrantRefused = "config.parent_grant_refused", Config, Never, "RFC 9728 §3.3",
        "the profile `strict` refuses a grant for the whole origin",
        "ask the server's operator for resource metadata at the server's own path";
    PushedAuthorizationRequired = "config.pushed_authorization_required", Config, Never, "RFC 9126 §5",
        "the issuer demands pushed authorization requests, which are not supported yet", "use another issuer or wait for support";
    RedirectUriUnusable = "config.redirect_uri_unusable", Config, Never, "RFC 8252 §7.3",
        "the flow has no redirect URI that can be used",
        "configure `base_url`, or listen on `127.0.0.1` and pass that URL";
    RegistrationNeeded = "config.registration_needed", Config, Never, "MCP 2026-07-28 client registration",
        "the issuer offers no registration that this client can use",
        "an administrator registers a client at the issuer and configures its id";
    RegistrationIssuerMismatch = "config.registration_issuer_mismatch", Config, Never, "MCP 2026-07-28 authorization server binding",
        "the configured registration belongs to another issuer than the server now names",
        "an administrator checks the change and configures a registration at the new issuer";
    ResourceMetadataMissing = "config.resource_metadata_missing", Config, Never, "RFC 9728 §3.1",
        "the server publishes no resource metadata and names no issuer",
        "check the server's URL; an administrator can configure the issuer";
    SecretMissing = "config.secret_missing", Config, AfterAction, "design §1",
        "a secret that the connector injects is not stored", "store the secret";
    SourceMissing = "config.source_missing", Config, AfterAction, "design §1",
        "an account that the connector draws on is not connected", "connect the account";
    UrlNotCovered = "config.url_not_covered", Config, Never, "RFC 9700 §4.9",
        "the request goes outside the resource that the grant is for", "send the request to the connector's own URL";

    // The gateway: what clients and people bring to it.
    ClientDocumentRefused = "client.document_refused", Peer, Later, "draft-ietf-oauth-client-id-metadata-document §4.1",
        "the client's metadata document cannot be used",
        "tell whoever makes the client; the document is read again later";
    ClientLimit = "client.too_many", Peer, Later, "RFC 7591 §5",
        "too many clients have registered and were never used", "try again later";
    ClientRedirectRefused = "client.redirect_uri_refused", Peer, Never, "OAuth 2.1 §4.1.2.1",
        "the redirect URI is not one of the client's",
        "begin again from the client; if this happens again, the client has to register anew";
    ClientRequestInvalid = "client.request_invalid", Peer, Never, "OAuth 2.1 §4.1.2.1",
        "the client has sent a request that cannot be answered", "begin again from the client";
    ClientUnknown = "client.unknown", Peer, AfterAction, "OAuth 2.1 §4.1.2.1",
        "the client is not registered here, or is not any more", "sign out of the gateway in the client, and connect again";
    ConsentExpired = "user.consent_expired", User, AfterAction, "design §8",
        "the sign-in took too long", "begin again from the client";
    ConsentStale = "user.consent_stale", User, AfterAction, "design §5",
        "what was shown has changed since", "look at it again, then decide";
    ConsentUnknown = "user.consent_unknown", User, AfterAction, "design §5",
        "there is no such sign-in, or not in this browser", "begin again from the client";
    FormRefused = "user.form_refused", User, AfterAction, "RFC 9700 §4.7",
        "the form does not come from a page that this browser was shown", "go back to the page, reload it, and try again";
    GatewayMissing = "config.gateway_missing", Config, Never, "design §5", "there is no gateway here",
        "configure `gateway` and `base_url`";
    IdentityUnavailable = "network.identity_unavailable", Network, Later, "design §2",
        "it cannot be said at the moment who this is", "try again shortly";
    KeyPaused = "user.key_paused", User, Later, "design §5",
        "too many keys were wrong", "wait, then try again with the right key";
    KeyRefused = "user.key_refused", User, AfterAction, "design §5",
        "the key is nobody's", "check the key and enter it again";
    MethodRefused = "user.method_refused", User, Never, "RFC 9110 §15.5.6",
        "this address does not answer to this method", "follow the links of the pages";
    PageUnknown = "user.page_unknown", User, Never, "RFC 9110 §15.5.5", "there is no such page",
        "check the address";
    RequestMalformed = "user.request_malformed", User, Never, "RFC 9110 §15.5.1", "the request cannot be read",
        "follow the links of the pages";
    SignInNeeded = "user.sign_in_needed", User, AfterAction, "OAuth 2.1 §3.1",
        "nobody is signed in, or the sign-in is not complete", "sign in, then try again";

    // Network and store.
    IssuerUnavailable = "network.issuer_unavailable", Network, Later, "RFC 9110 §15.6",
        "the issuer cannot answer at the moment", "try again later";
    LeaseHeld = "network.refresh_under_way", Network, Later, "design §4",
        "another worker is refreshing this grant", "try again shortly";
    OutcomeUnknown = "network.outcome_unknown", Network, AfterAction, "design §4",
        "the issuer may have received the request, but no answer arrived", "connect again";
    ServerUnavailable = "network.server_unavailable", Network, Later, "RFC 9110 §15.6",
        "the server cannot be reached or cannot answer at the moment", "try again later";
    StoreContention = "store.contention", Store, Later, "design §2",
        "other writers kept changing the same records", "try again";
    StoreIntegrity = "store.integrity", Store, Never, "design §3",
        "a record does not open: it was altered, moved, or sealed under a key that is not in the keyring",
        "check the keyring; restore the record, or purge it and connect again";
    StoreUnavailable = "store.unavailable", Store, Later, "design §2",
        "the store does not answer", "check the store; nothing was lost, try again";
    StoreUnknown = "store.outcome_unknown", Store, Later, "design §2",
        "the store did not say whether it has written", "look at the status, then try again";

    // Ourselves.
    Internal = "engine.internal", Engine, Never, "design §2", "the engine reached a state it should not reach",
        "report it with the evidence id";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn slugs_are_unique_and_every_entry_says_what_to_do() {
        let slugs: BTreeSet<_> = Code::ALL.iter().map(|code| code.slug()).collect();
        assert_eq!(slugs.len(), Code::ALL.len());
        for code in Code::ALL {
            let (group, name) = code.slug().split_once('.').unwrap();
            assert!(!group.is_empty() && !name.is_empty());
            assert!(
                code.slug().bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'.'),
                "{code:?}"
            );
            assert!(!code.next_step().is_empty() && !code.message().ends_with('.'), "{code:?}");
        }
    }
}
