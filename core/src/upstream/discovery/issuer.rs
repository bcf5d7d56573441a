//! Which issuers are looked at, and what an issuer's metadata must say to be believed.

use crate::connector::{Connector, Upstream, Waivers};
use crate::error::{Code, Failure};
use crate::limits::ISSUERS_MAX;
use crate::protocol::issuer_metadata::{IssuerMetadata, Pkce, legacy_endpoints};
use crate::protocol::scopes::Scopes;
use crate::protocol::url::{HttpUrl, Origin, PlainHttp};
use crate::upstream::note::Note;

/// What is known of an issuer: its metadata, checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct IssuerFacts {
    /// Byte for byte as its metadata says.
    pub(crate) issuer: String,
    pub(crate) authorization_endpoint: String,
    pub(crate) token_endpoint: String,
    pub(crate) registration_endpoint: Option<String>,
    pub(crate) revocation_endpoint: Option<String>,
    /// It promises `iss` in the callback (RFC 9207 §3).
    pub(crate) promises_iss: bool,
    /// `None`: it does not say.
    pub(crate) auth_methods: Option<Vec<String>>,
    /// A URL of a client metadata document may be the client id.
    pub(crate) accepts_cimd: bool,
    pub(crate) scopes_supported: Option<Scopes>,
}

impl IssuerFacts {
    /// Whether it is sure that nobody but the operator registers our redirect URI there.
    pub(crate) fn registers_nobody(&self) -> bool {
        self.registration_endpoint.is_none() && !self.accepts_cimd
    }
}

/// The issuers to be looked at: each once, the one that a static registration belongs to first, the others as the server
/// lists them.
pub(super) fn order(mut named: Vec<String>, connector: &Connector) -> Vec<String> {
    let mut order = Vec::new();
    if let Some(pinned) = connector.registration.as_ref().and_then(|own| own.issuer.as_ref()) {
        let aliases = &connector.waivers.danger_trusted_issuers;
        let is_pinned = |name: &String| {
            name == pinned || aliases.iter().any(|(asked, answered)| asked == name && answered == pinned)
        };
        // T-42
        if let Some(at) = named.iter().position(is_pinned) {
            order.push(named.remove(at));
        }
    }
    //= spec/mcp-2026-07-28.md#disc-authorization-server-location
    //# Of several listed issuers the engine MUST choose one and keep the registrations and tokens of each
    //# apart (PRM-14, U).
    for name in named {
        // atk:NET-12
        if order.len() < ISSUERS_MAX && !order.contains(&name) {
            order.push(name);
        }
    }
    order
}

/// Reads an issuer's metadata and checks it against the name it was asked for.
///
/// # Errors
/// `peer_misbehaved`: `issuer_metadata_invalid`, `issuer_mismatch`, `pkce_not_advertised`, `endpoint_origin_mismatch`,
/// `url_refused`; `config.pushed_authorization_required`.
pub(super) fn check(
    asked: &str,
    document: &[u8],
    waivers: &Waivers,
    plain: PlainHttp,
) -> Result<(IssuerFacts, Vec<Note>), Failure> {
    let invalid = |reason| Failure::new(Code::IssuerMetadataInvalid).because(reason);
    let metadata = IssuerMetadata::parse(document).map_err(|error| invalid(error.0))?;
    let mut notes = Vec::new();
    //= spec/rfc8414.md#3-3
    //# The engine MUST refuse metadata whose `issuer` is not exactly the issuer asked for, and then use
    //# nothing in it, the registration endpoint included (ASM-06, U).
    // atk:MIX-09
    if metadata.issuer != asked {
        let is_waived = |(from, to): &(String, String)| from == asked && *to == metadata.issuer;
        if !waivers.danger_trusted_issuers.iter().any(is_waived) {
            return Err(Code::IssuerMismatch.into());
        }
        notes.push(Note::IssuerAlias);
    }
    //= spec/mcp-2026-07-28.md#sec-authorization-code-protection
    //# The engine MUST refuse an issuer whose metadata, of either kind, lacks
    //# `code_challenge_methods_supported` or `S256` in it (ASM-07, U).
    // atk:COD-07
    match metadata.s256() {
        Pkce::Advertised => {}
        Pkce::Absent if waivers.danger_s256_unadvertised => notes.push(Note::S256Unadvertised),
        Pkce::Absent | Pkce::WithoutS256 => return Err(Code::PkceNotAdvertised.into()),
    }
    let has_code = |types: &Vec<String>| types.iter().any(|kind| kind == "code");
    if !metadata.response_types_supported.as_ref().is_none_or(has_code) {
        return Err(invalid("`response_types_supported` does not list `code`"));
    }
    let issuer = HttpUrl::parse(&metadata.issuer, plain)
        .map_err(|error| Failure::new(Code::UrlRefused).because(error.0))?;
    let mut endpoint =
        |text: Option<String>| text.map(|text| origin_checked(text, &issuer, waivers, plain, &mut notes));
    let authorization_endpoint = endpoint(metadata.authorization_endpoint);
    let token_endpoint = endpoint(metadata.token_endpoint);
    let registration_endpoint = endpoint(metadata.registration_endpoint).transpose()?;
    let revocation_endpoint = endpoint(metadata.revocation_endpoint).transpose()?;
    let facts = IssuerFacts {
        authorization_endpoint: authorization_endpoint
            .ok_or_else(|| invalid("`authorization_endpoint` is missing"))??,
        token_endpoint: token_endpoint.ok_or_else(|| invalid("`token_endpoint` is missing"))??,
        registration_endpoint,
        revocation_endpoint,
        promises_iss: metadata.authorization_response_iss_parameter_supported,
        auth_methods: metadata.token_endpoint_auth_methods_supported,
        accepts_cimd: metadata.client_id_metadata_document_supported,
        scopes_supported: metadata.scopes_supported,
        issuer: metadata.issuer,
    };
    //= spec/derived.md#azq-15
    //# An issuer with `require_pushed_authorization_requests` MUST be served by a pushed request or refused
    //# with a clear failure (AZQ-15, U, derived).
    if metadata.require_pushed_authorization_requests {
        return Err(Code::PushedAuthorizationRequired.into());
    }
    notes.dedup();
    Ok((facts, notes))
}

/// An endpoint as received, if it stands where the issuer does, or on a pinned origin.
fn origin_checked(
    text: String,
    issuer: &HttpUrl,
    waivers: &Waivers,
    plain: PlainHttp,
    notes: &mut Vec<Note>,
) -> Result<String, Failure> {
    //= spec/oauth21.md#3-1
    //# Endpoints MUST be absolute https URLs without fragment, and a query that the authorization endpoint
    //# already has is kept (ASM-08, U).
    //= spec/mcp-best-practices.md#oauth-authorization-url-validation
    //# An authorization URL MUST be https, or http to loopback, by an allow-list that leaves out
    //# `javascript:`, `data:`, `file:` and `vbscript:` (NET-05, U).
    // atk:URL-02, atk:URL-04
    let url =
        HttpUrl::parse(&text, plain).map_err(|error| Failure::new(Code::UrlRefused).because(error.0))?;
    // atk:MIX-04
    if !url.same_origin(issuer) {
        let is_pinned =
            |origin: &String| HttpUrl::parse(origin, plain).is_ok_and(|pin| pin.same_origin(&url));
        if !waivers.danger_endpoint_origins.iter().any(is_pinned) {
            return Err(Code::EndpointOriginMismatch.into());
        }
        notes.push(Note::ForeignEndpointOrigin);
    }
    Ok(text)
}

/// What is assumed of a server of MCP 2025-03-26 that publishes nothing at all.
pub(super) fn assumed(origin: &Origin) -> IssuerFacts {
    //= spec/mcp-2025-03-26.md#fallbacks-for-servers-without-metadata-discovery
    //# For 2025-03-26 servers, and by opt-in only, the engine MAY look for metadata at the server's origin
    //# and fall back to `/authorize`, `/token` and `/register` there (ASM-09, U).
    let endpoints = legacy_endpoints(origin);
    IssuerFacts {
        issuer: origin.as_str().to_owned(),
        authorization_endpoint: endpoints.authorization,
        token_endpoint: endpoints.token,
        registration_endpoint: Some(endpoints.registration),
        revocation_endpoint: None,
        promises_iss: false,
        auth_methods: None,
        accepts_cimd: false,
        scopes_supported: None,
    }
}

/// The issuer that configuration names, for connectors that do not ask their server.
pub(super) fn configured(connector: &Connector) -> Option<&String> {
    match &connector.upstream {
        Upstream::Account { issuer } => Some(issuer),
        Upstream::Server { issuer, .. } => issuer.as_ref(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::connector::StaticRegistration;

    const ISSUER: &str = "https://as.example/tenant";

    fn document() -> Value {
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://as.example/authorize?x=1",
            "token_endpoint": "https://as.example/token",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["plain", "S256"],
        })
    }

    fn with(member: &str, value: Value) -> Value {
        let mut document = document();
        document[member] = value;
        document
    }

    fn checked(document: &Value, waivers: &Waivers) -> Result<(IssuerFacts, Vec<Note>), &'static str> {
        check(ISSUER, document.to_string().as_bytes(), waivers, PlainHttp::Never)
            .map_err(|failure| failure.slug())
    }

    #[test]
    fn an_honest_document_is_believed() {
        let (facts, notes) = checked(&document(), &Waivers::default()).unwrap();
        assert_eq!(facts.issuer, ISSUER);
        assert_eq!(facts.authorization_endpoint, "https://as.example/authorize?x=1");
        assert!(facts.registers_nobody() && !facts.promises_iss && notes.is_empty());
    }

    //= spec/rfc8414.md#3-3
    //= type=test
    //# The engine MUST refuse metadata whose `issuer` is not exactly the issuer asked for, and then use
    //# nothing in it, the registration endpoint included (ASM-06, U).
    // atk:MIX-09
    #[test]
    fn the_issuer_is_byte_for_byte_what_was_asked() {
        let none = Waivers::default();
        for issuer in [
            "https://as.good",
            "https://as.example",
            "https://as.example/tenant/",
            "https://AS.example/tenant",
            "https://as.example:443/tenant",
            "https://as.example/%74enant",
        ] {
            assert_eq!(
                checked(&with("issuer", json!(issuer)), &none),
                Err("peer_misbehaved.issuer_mismatch"),
                "{issuer}"
            );
        }
        for issuer in [json!(null), json!(""), json!([ISSUER]), json!(7)] {
            let result = checked(&with("issuer", issuer.clone()), &none);
            assert_eq!(result, Err("peer_misbehaved.issuer_metadata_invalid"), "{issuer}");
        }
    }

    #[test]
    fn only_the_exact_pair_of_a_waiver_lets_another_issuer_answer() {
        let pair = |asked: &str, answered: &str| Waivers {
            danger_trusted_issuers: vec![(asked.to_owned(), answered.to_owned())],
            danger_endpoint_origins: vec!["https://as.example".to_owned()],
            ..Waivers::default()
        };
        let other = with("issuer", json!("https://www.example"));
        let (facts, notes) = checked(&other, &pair(ISSUER, "https://www.example")).unwrap();
        assert_eq!(facts.issuer, "https://www.example");
        assert_eq!(notes, [Note::IssuerAlias, Note::ForeignEndpointOrigin]);
        for waivers in
            [pair("https://x.example", "https://www.example"), pair(ISSUER, "https://www.example/")]
        {
            assert_eq!(checked(&other, &waivers), Err("peer_misbehaved.issuer_mismatch"));
        }
    }

    //= spec/mcp-2026-07-28.md#sec-authorization-code-protection
    //= type=test
    //# The engine MUST refuse an issuer whose metadata, of either kind, lacks
    //# `code_challenge_methods_supported` or `S256` in it (ASM-07, U).
    // atk:COD-07
    #[test]
    fn without_s256_nothing_goes_on() {
        let refused = Err("peer_misbehaved.pkce_not_advertised");
        let waived = Waivers { danger_s256_unadvertised: true, ..Waivers::default() };
        let absent = with("code_challenge_methods_supported", Value::Null);
        assert_eq!(checked(&absent, &Waivers::default()), refused);
        assert_eq!(checked(&absent, &waived).unwrap().1, [Note::S256Unadvertised]);
        for list in [json!([]), json!(["plain"]), json!(["s256"])] {
            let document = with("code_challenge_methods_supported", list.clone());
            assert_eq!(checked(&document, &Waivers::default()), refused, "{list}");
            assert_eq!(checked(&document, &waived), refused, "{list}");
        }
    }

    const ENDPOINTS: [&str; 4] =
        ["authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint"];

    // atk:MIX-04
    #[test]
    fn endpoints_stand_on_the_issuers_origin_or_a_pinned_one() {
        let pinned = Waivers {
            danger_endpoint_origins: vec!["https://oauth2.example".to_owned()],
            ..Waivers::default()
        };
        for member in ENDPOINTS {
            let document = with(member, json!("https://oauth2.example/x"));
            assert_eq!(
                checked(&document, &Waivers::default()),
                Err("peer_misbehaved.endpoint_origin_mismatch"),
                "{member}"
            );
            assert_eq!(checked(&document, &pinned).unwrap().1, [Note::ForeignEndpointOrigin], "{member}");
            for elsewhere in ["https://oauth2.example:8443/x", "https://evil.example/x"] {
                let document = with(member, json!(elsewhere));
                assert!(checked(&document, &pinned).is_err(), "{member} {elsewhere}");
            }
        }
    }

    //= spec/oauth21.md#3-1
    //= type=test
    //# Endpoints MUST be absolute https URLs without fragment, and a query that the authorization endpoint
    //# already has is kept (ASM-08, U).
    // atk:URL-02, atk:URL-03, atk:URL-04
    #[test]
    fn endpoints_are_absolute_https_urls_without_fragment() {
        for member in ENDPOINTS {
            for text in [
                "http://as.example/x",
                "/authorize",
                "https://as.example/x#f",
                "https://user@as.example/x",
                "javascript:alert(1)",
                "ms-msdt:/id",
                "--upload-pack=evil",
            ] {
                let result = checked(&with(member, json!(text)), &Waivers::default());
                assert_eq!(result, Err("peer_misbehaved.url_refused"), "{member} {text}");
            }
        }
    }

    #[test]
    fn a_document_that_we_cannot_act_on_is_refused() {
        let invalid = Err("peer_misbehaved.issuer_metadata_invalid");
        let none = Waivers::default();
        assert_eq!(checked(&with("authorization_endpoint", Value::Null), &none), invalid);
        assert_eq!(checked(&with("token_endpoint", json!("")), &none), invalid);
        assert_eq!(checked(&with("response_types_supported", json!(["token"])), &none), invalid);
        assert!(checked(&with("response_types_supported", Value::Null), &none).is_ok());
        assert_eq!(
            checked(&with("require_pushed_authorization_requests", json!(true)), &none),
            Err("config.pushed_authorization_required")
        );
    }

    // T-42, atk:NET-12
    #[test]
    fn at_most_three_issuers_are_looked_at_and_the_pinned_one_first() {
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut connector = Connector::server("https://h.example/mcp");
        let many = named(&["a", "b", "a", "c", "d", "e"]);
        assert_eq!(order(many.clone(), &connector), named(&["a", "b", "c"]));
        let registration = |issuer: &str| {
            Some(StaticRegistration {
                issuer: Some(issuer.to_owned()),
                client_id: "id".to_owned(),
                auth_method: None,
            })
        };
        connector.registration = registration("e");
        assert_eq!(order(many.clone(), &connector), named(&["e", "a", "b"]));
        connector.registration = registration("x");
        assert_eq!(order(many.clone(), &connector), named(&["a", "b", "c"]));
        connector.waivers.danger_trusted_issuers = vec![("d".to_owned(), "x".to_owned())];
        assert_eq!(order(many, &connector), named(&["d", "a", "b"]));
    }
}
