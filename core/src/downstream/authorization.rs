//! What a client asks for at `/authorize`, and how it is answered at its redirect URI (OAuth 2.1 §4.1; RFC 8707; RFC 9207).

use super::config::GatewayConfig;
use super::parameters::Parameters;
use super::site::Site;
use crate::protocol::scopes::Scopes;
use crate::secret::Secret;
use crate::store::records::ClientRequest;

/// LIMIT: a state is given back in a URL.
const STATE_MAX_BYTES: usize = 2048;

/// Why a request cannot be granted, as the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Refusal {
    AccessDenied,
    ConsentRequired,
    InvalidRequest(&'static str),
    InvalidScope,
    InvalidTarget,
    UnsupportedResponseType,
}

impl Refusal {
    pub(crate) const fn error(self) -> &'static str {
        match self {
            Self::AccessDenied => "access_denied",
            Self::ConsentRequired => "consent_required",
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::UnsupportedResponseType => "unsupported_response_type",
        }
    }

    /// For whoever makes the client. Text of ours.
    pub(crate) const fn description(self) -> &'static str {
        match self {
            Self::AccessDenied => "the person has declined",
            Self::ConsentRequired => "the person has to be asked, and `prompt=none` forbids it",
            Self::InvalidRequest(why) => why,
            Self::InvalidScope => "none of the scopes asked for exists here",
            Self::InvalidTarget => {
                "the resource is none of this gateway's, or none is named and there are several"
            }
            Self::UnsupportedResponseType => "the response type is not `code`",
        }
    }
}

/// Reads everything but the client's id and redirect URI, which are checked before anything is answered there.
pub(crate) fn read(
    site: &Site,
    config: &GatewayConfig,
    parameters: &Parameters,
    client_id: &str,
    redirect_uri: &str,
) -> Result<ClientRequest, Refusal> {
    //= spec/oauth21.md#4-1-2-1
    //# Errors that a redirect may carry MUST be told by one, with the request's `state`: `invalid_request`,
    //# `unsupported_response_type`, `invalid_scope`, `invalid_target`, `access_denied` (AS-10, S).
    if parameters.get("response_type") != Some("code") {
        return Err(match parameters.get("response_type") {
            None => Refusal::InvalidRequest("there is no `response_type`"),
            Some(_) => Refusal::UnsupportedResponseType,
        });
    }
    if parameters.get("request").is_some() || parameters.get("request_uri").is_some() {
        return Err(Refusal::InvalidRequest("request objects are not supported"));
    }
    if parameters.get("response_mode").is_some_and(|mode| mode != "query") {
        return Err(Refusal::InvalidRequest("the response mode is not `query`"));
    }
    let state = parameters.get("state");
    if state.is_some_and(|state| state.len() > STATE_MAX_BYTES) {
        return Err(Refusal::InvalidRequest("the state is too long"));
    }
    //= spec/oauth21.md#4-1-1
    //# A `code_challenge` MUST be there, of method `S256`, and any other method be refused with
    //# `invalid_request` (AS-06, S).
    // atk:COD-05, atk:COD-06: no default, which would be `plain`.
    let challenge = parameters.get("code_challenge").unwrap_or_default();
    if !is_challenge(challenge) {
        return Err(Refusal::InvalidRequest("there is no `code_challenge` of 43 base64url characters"));
    }
    if parameters.get("code_challenge_method") != Some("S256") {
        return Err(Refusal::InvalidRequest("the `code_challenge_method` is not `S256`"));
    }
    if parameters.get("prompt").is_some_and(|prompt| prompt.split(' ').any(|word| word == "none")) {
        return Err(Refusal::ConsentRequired);
    }
    //= spec/rfc8707.md#2
    //# `resource` MUST be looked at where a client sends it: one that is no resource of ours is answered with
    //# `invalid_target`, and without it there has to be a rule, ours being the only endpoint there is (AS-11, S).
    let endpoint = match (parameters.get("resource"), config.resources.as_slice()) {
        (Some(resource), _) => site.endpoint(config, resource),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let endpoint = endpoint.ok_or(Refusal::InvalidTarget)?;
    let asked =
        Scopes::parse(parameters.get("scope").unwrap_or_default()).map_err(|_| Refusal::InvalidScope)?;
    let known = endpoint.scopes.union(&endpoint.more_scopes).map_err(|_| Refusal::InvalidScope)?;
    // What nobody here knows is left out, as `offline_access` is, which clients ask for on their own account; all of it is refused.
    let scopes = Scopes::acceptable(asked.iter().filter(|scope| known.contains(scope)).map(str::to_owned));
    if scopes.is_empty() && !known.is_empty() && asked.iter().any(|scope| scope != "offline_access") {
        return Err(Refusal::InvalidScope);
    }
    // Nothing that means something here was asked for: what basic use needs.
    let scopes = if scopes.is_empty() { endpoint.scopes.clone() } else { scopes };
    Ok(ClientRequest {
        client_id: client_id.to_owned(),
        redirect_uri: redirect_uri.to_owned(),
        checked: false,
        state: state.map(str::to_owned),
        code_challenge: challenge.to_owned(),
        scopes,
        resource: site.resource(endpoint),
    })
}

fn is_challenge(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// The redirect that grants.
pub(crate) fn granted(site: &Site, request: &ClientRequest, code: &Secret) -> Secret {
    answer(site, &request.redirect_uri, request.state.as_deref(), &[("code", code.expose())])
}

/// The redirect that refuses.
pub(crate) fn refused(site: &Site, redirect_uri: &str, state: Option<&str>, refusal: Refusal) -> Secret {
    let pairs = [("error", refusal.error()), ("error_description", refusal.description())];
    answer(site, redirect_uri, state, &pairs)
}

fn answer(site: &Site, redirect_uri: &str, state: Option<&str>, pairs: &[(&str, &str)]) -> Secret {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs);
    //= spec/oauth21.md#4-1-2
    //# The response MUST hold `code` once and the request's `state` once, unchanged (AS-08, S).
    // atk:RED-08: encoded once, so that nothing in it ends the value.
    if let Some(state) = state {
        query.append_pair("state", state);
    }
    //= spec/rfc9207.md#2
    //# `iss` SHOULD stand in every response, errors included, and be the issuer of the metadata (AS-09, S).
    query.append_pair("iss", &site.issuer);
    //= spec/oauth21.md#2-3
    //# A redirect URI MUST have no fragment and keep its query, and `state`, like all input, is untrusted
    //# (AS-15, S).
    // Its own query is kept; the rules for redirect URIs leave no fragment in it.
    let mark = if redirect_uri.contains('?') { '&' } else { '?' };
    Secret::new(format!("{redirect_uri}{mark}{}", query.finish()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::{Engine, EngineConfig};
    use crate::principal::TenantId;
    use crate::store::{Keyring, SealingKey};

    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn setting() -> (Site, GatewayConfig) {
        let bytes = |seed: u8| std::array::from_fn(|at| (at as u8).wrapping_mul(7).wrapping_add(seed));
        let mut gateway = GatewayConfig::new("/mcp");
        if let Some(only) = gateway.resources.first_mut() {
            only.scopes = Scopes::parse("tools:read").unwrap();
            only.more_scopes = Scopes::parse("tools:write").unwrap();
        }
        let config = EngineConfig {
            base_url: Some("https://gw.example".to_owned()),
            gateway: Some(gateway.clone()),
            ..EngineConfig::new("t")
        };
        let keyring = Keyring::new(SealingKey::new(1, bytes(1)), bytes(2)).unwrap();
        let engine: Arc<Engine> = Engine::new(config, keyring).unwrap();
        (Site::of(&engine, &TenantId::new("acme").unwrap()).unwrap(), gateway)
    }

    fn read_query(query: &str) -> Result<ClientRequest, Refusal> {
        let (site, config) = setting();
        read(&site, &config, &Parameters::read(query).unwrap(), "c", "https://c.example/cb")
    }

    fn good() -> String {
        format!("response_type=code&code_challenge={CHALLENGE}&code_challenge_method=S256&state=s%26t")
    }

    #[test]
    fn a_request_is_read_with_its_only_resource_and_its_basic_scopes() {
        let request = read_query(&good()).unwrap();
        assert_eq!(request.resource, "https://gw.example/mcp");
        assert_eq!(request.scopes.to_string(), "tools:read");
        assert_eq!(request.state.as_deref(), Some("s&t"));
        let more = read_query(&format!("{}&scope=tools:write+offline_access+nope", good())).unwrap();
        assert_eq!(more.scopes.to_string(), "tools:write");
    }

    //= spec/oauth21.md#4-1-1
    //= type=test
    //# A `code_challenge` MUST be there, of method `S256`, and any other method be refused with
    //# `invalid_request` (AS-06, S).
    // atk:COD-05, atk:COD-06
    #[test]
    fn nothing_but_s256_with_a_whole_challenge_is_accepted() {
        for query in [
            "response_type=code".to_owned(),
            "response_type=code&code_challenge=&code_challenge_method=S256".to_owned(),
            format!("response_type=code&code_challenge={}&code_challenge_method=S256", &CHALLENGE[1..]),
            format!("response_type=code&code_challenge={CHALLENGE}x&code_challenge_method=S256"),
            format!("response_type=code&code_challenge={CHALLENGE}"),
            format!("response_type=code&code_challenge={CHALLENGE}&code_challenge_method=plain"),
            format!("response_type=code&code_challenge={CHALLENGE}&code_challenge_method=s256"),
            format!("response_type=code&code_challenge={CHALLENGE}&code_challenge_method=S512"),
            format!("response_type=code&code_challenge={CHALLENGE}&code_challenge_method=S256+"),
        ] {
            assert_eq!(read_query(&query).unwrap_err().error(), "invalid_request", "{query}");
        }
    }

    //= spec/rfc8707.md#2
    //= type=test
    //# `resource` MUST be looked at where a client sends it: one that is no resource of ours is answered with
    //# `invalid_target`, and without it there has to be a rule, ours being the only endpoint there is (AS-11, S).
    #[test]
    fn a_resource_is_one_of_ours_byte_for_byte() {
        assert!(read_query(&format!("{}&resource=https://gw.example/mcp", good())).is_ok());
        for resource in [
            "https://gw.example/mcp/",
            "https://gw.example",
            "https://GW.example/mcp",
            "https://evil.example/mcp",
            "https://gw.example/mcp?x",
            "mcp",
        ] {
            let query = format!("{}&resource={resource}", good());
            assert_eq!(read_query(&query), Err(Refusal::InvalidTarget), "{resource}");
        }
    }

    //= spec/oauth21.md#4-1-2-1
    //= type=test
    //# Errors that a redirect may carry MUST be told by one, with the request's `state`: `invalid_request`,
    //# `unsupported_response_type`, `invalid_scope`, `invalid_target`, `access_denied` (AS-10, S).
    #[test]
    fn what_cannot_be_granted_is_refused_by_name() {
        for (added, error) in [
            ("&response_mode=fragment", "invalid_request"),
            ("&request=x", "invalid_request"),
            ("&request_uri=https://evil.example", "invalid_request"),
            ("&prompt=none", "consent_required"),
            ("&scope=nope", "invalid_scope"),
            ("&scope=a%22b", "invalid_scope"),
        ] {
            assert_eq!(read_query(&format!("{}{added}", good())).unwrap_err().error(), error, "{added}");
        }
        let token = read_query(&good().replace("=code&", "=token&")).unwrap_err();
        assert_eq!(token.error(), "unsupported_response_type");
    }

    //= spec/oauth21.md#4-1-2
    //= type=test
    //# The response MUST hold `code` once and the request's `state` once, unchanged (AS-08, S).
    //= spec/rfc9207.md#2
    //= type=test
    //# `iss` SHOULD stand in every response, errors included, and be the issuer of the metadata (AS-09, S).
    //= spec/oauth21.md#2-3
    //= type=test
    //# A redirect URI MUST have no fragment and keep its query, and `state`, like all input, is untrusted
    //# (AS-15, S).
    // atk:RED-08
    #[test]
    fn an_answer_holds_each_value_once_whatever_the_state_says() {
        let (site, _) = setting();
        let mut request = read_query(&good()).unwrap();
        request.state = Some("x&code=evil#\r\nLocation: y".to_owned());
        for base in ["https://c.example/cb", "https://c.example/cb?keep=1", "com.example.app:/cb"] {
            request.redirect_uri = base.to_owned();
            let granted = granted(&site, &request, &Secret::new("gwc_1"));
            let refused = refused(&site, base, request.state.as_deref(), Refusal::AccessDenied);
            for (url, name) in [(granted, "code"), (refused, "error")] {
                let url = url.expose();
                assert!(url.starts_with(base) && !url.contains(['#', '\r', '\n']), "{url}");
                let (_, query) = url.split_once('?').unwrap();
                let read = Parameters::read(query).unwrap();
                assert!(read.get(name).is_some(), "{url}");
                assert_eq!(read.get("state"), request.state.as_deref());
                assert_eq!(read.get("iss"), Some("https://gw.example"));
                assert_eq!(read.get("keep").is_some(), base.contains("keep"));
            }
        }
    }
}
