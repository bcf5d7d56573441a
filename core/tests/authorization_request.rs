//! The URL that the browser is sent to the issuer with.

use grantway_core::protocol::authorization::AuthorizationRequest;
use grantway_core::protocol::redirect_uri::RedirectUri;
use grantway_core::protocol::scopes::Scopes;
use grantway_core::protocol::url::{HttpUrl, PlainHttp};
use grantway_core::protocol::{Invalid, form};
use grantway_core::secret::Secret;

/// What differs between the requests of these tests.
struct Case<'a> {
    endpoint: &'a str,
    resource: Option<&'a str>,
    scopes: &'a str,
    prompt_consent: bool,
    extra: &'a [(&'a str, &'a str)],
}

const PLAIN: Case<'_> = Case {
    endpoint: "https://as.good/authorize",
    resource: Some("https://mcp.example/mcp"),
    scopes: "b a",
    prompt_consent: false,
    extra: &[],
};

impl Case<'_> {
    fn url(&self) -> Result<String, Invalid> {
        let extra: Vec<_> = self.extra.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        AuthorizationRequest {
            endpoint: &HttpUrl::parse(self.endpoint, PlainHttp::Never).unwrap(),
            client_id: "https://gw.example/client.json",
            redirect_uri: &RedirectUri::new("http://127.0.0.1:33418/callback").unwrap(),
            state: &Secret::new("st"),
            code_challenge: "ch",
            resource: self.resource,
            scopes: &Scopes::parse(self.scopes).unwrap(),
            prompt_consent: self.prompt_consent,
            extra: &extra,
        }
        .url()
    }

    fn value(&self, wanted: &str) -> Option<String> {
        let url = self.url().unwrap();
        let (_, query) = url.split_once('?').unwrap();
        let mut pairs = form::pairs(query).map(Result::unwrap);
        pairs.find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
    }
}

//= spec/oauth21.md#4-1-1
//= type=test
//# The request MUST carry `response_type=code`, `client_id` and always `redirect_uri`, added to whatever
//# query the endpoint has (AZQ-01, U).
//= spec/mcp-2026-07-28.md#sec-authorization-code-protection
//= type=test
//# Every authorization request MUST carry a `code_challenge` (AZQ-02, U).
#[test]
fn the_request_carries_everything_that_the_flow_rests_on() {
    assert_eq!(
        PLAIN.url().unwrap(),
        "https://as.good/authorize?response_type=code&client_id=https%3A%2F%2Fgw.example%2Fclient.json\
         &redirect_uri=http%3A%2F%2F127.0.0.1%3A33418%2Fcallback&state=st&code_challenge=ch\
         &code_challenge_method=S256&resource=https%3A%2F%2Fmcp.example%2Fmcp&scope=a%20b"
    );
}

//= spec/mcp-2026-07-28.md#idx-scope-selection-strategy
//= type=test
//# The oauth scopes asked for SHOULD be those of the challenge, else all of the resource's
//# `scopes_supported`, else the parameter is left out (AZQ-08, U).
#[test]
fn without_scopes_or_resource_the_parameter_is_left_out() {
    let case = Case { scopes: "", resource: None, ..PLAIN };
    assert_eq!((case.value("scope"), case.value("resource"), case.value("prompt")), (None, None, None));
}

//= spec/oauth21.md#4-1-1
//= type=test
//# The request MUST carry `response_type=code`, `client_id` and always `redirect_uri`, added to whatever
//# query the endpoint has (AZQ-01, U).
#[test]
fn a_query_of_the_endpoint_is_kept() {
    let case = Case { endpoint: "https://as.good/authorize?p=B2C_1%20x&flag", ..PLAIN };
    let url = case.url().unwrap();
    assert!(url.starts_with("https://as.good/authorize?p=B2C_1%20x&flag&response_type=code&"), "{url}");
}

#[test]
fn an_endpoint_that_sets_a_parameter_of_ours_is_refused() {
    for query in ["client_id=evil", "%63lient_id=evil", "state=", "scope=admin", "request_uri=urn:x", "a=%ff"]
    {
        let endpoint = format!("https://as.good/authorize?{query}");
        assert!(Case { endpoint: &endpoint, ..PLAIN }.url().is_err(), "{query}");
    }
}

#[test]
fn extras_are_added_and_may_not_replace_a_parameter_of_ours() {
    let case = Case { extra: &[("access_type", "offline"), ("audience", "api.example")], ..PLAIN };
    assert_eq!(case.value("access_type").as_deref(), Some("offline"));
    assert_eq!(case.value("audience").as_deref(), Some("api.example"));
    for name in [
        "response_type",
        "client_id",
        "redirect_uri",
        "state",
        "code_challenge",
        "code_challenge_method",
        "resource",
        "scope",
        "request",
        "request_uri",
    ] {
        assert!(Case { extra: &[(name, "x")], ..PLAIN }.url().is_err(), "{name}");
    }
    assert!(Case { extra: &[("a", "1"), ("a", "2")], ..PLAIN }.url().is_err());
    let endpoint = "https://as.good/authorize?a=1";
    assert!(Case { endpoint, extra: &[("a", "2")], ..PLAIN }.url().is_err());
}

#[test]
fn consent_is_asked_for_beside_whatever_prompt_is_configured() {
    for (prompt_consent, configured, expected) in [
        (false, None, None),
        (true, None, Some("consent")),
        (false, Some("login"), Some("login")),
        (true, Some("login"), Some("login consent")),
        (true, Some("consent"), Some("consent")),
        (true, Some("select_account consent"), Some("select_account consent")),
        (true, Some("none"), Some("consent")),
        (true, Some(""), Some("consent")),
        (false, Some("none"), Some("none")),
    ] {
        let extra: Vec<_> = configured.map(|prompt| ("prompt", prompt)).into_iter().collect();
        let case = Case { prompt_consent, extra: &extra, ..PLAIN };
        assert_eq!(case.value("prompt").as_deref(), expected, "{prompt_consent} {configured:?}");
    }
}

// atk:URL-01
#[test]
fn nothing_in_the_url_means_anything_to_a_shell() {
    let case = Case {
        endpoint: "https://as.good/$(calc.exe)?a=`id`",
        extra: &[("x$(id)", "&calc|^'\";*!"), ("login_hint", "a+b c%")],
        ..PLAIN
    };
    let url = case.url().unwrap();
    assert!(url.bytes().all(|b| b.is_ascii_alphanumeric() || b":/?&=%.-_~".contains(&b)), "{url}");
    assert_eq!(case.value("login_hint").as_deref(), Some("a+b c%"));
    assert_eq!(case.value("x$(id)").as_deref(), Some("&calc|^'\";*!"));
}
