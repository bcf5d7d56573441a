//! Servers and issuers that lie: each is refused before anybody is sent anywhere, and before the victim is asked anything.

use std::net::{IpAddr, Ipv4Addr};

use grantway_core::operation::Peer;
use grantway_testing::{Endpoint, HttpFault, Issuer, MetadataPlace, Request, Response};
use serde_json::{Value, json};

use crate::setting::{SERVER, Setting};

const EVIL: &str = "https://evil.example";

//= spec/rfc9728.md#3-3
//= type=test
//# After such a mismatch the engine MUST stop before it registers or asks for authorization (PRM-13, U).
// atk:AUD-01
#[test]
fn metadata_about_another_resource_stops_everything() {
    for resource in
        [json!("https://evil.example/mcp"), json!(null), json!([SERVER]), json!("https://mcp.good")]
    {
        let mut setting = Setting::new();
        setting.server_says("resource", resource.clone());
        let slug = setting.begin_fails();
        let expected = if resource.is_string() { "resource_mismatch" } else { "resource_metadata_invalid" };
        assert_eq!(slug, format!("peer_misbehaved.{expected}"), "{resource}");
        assert_eq!(setting.seen_by("https://as.good"), 0);
    }
}

//= spec/rfc8414.md#3-3
//= type=test
//# The engine MUST refuse metadata whose `issuer` is not exactly the issuer asked for, and then use nothing
//# in it, the registration endpoint included (ASM-06, U).
// atk:MIX-09
#[test]
fn metadata_of_another_issuer_stops_everything_at_each_place() {
    use grantway_testing::WellKnown::{OAuth, OpenIdAppended, OpenIdInserted};
    for place in [OAuth, OpenIdInserted, OpenIdAppended] {
        for issuer in ["https://attacker.example", "https://as.good", "https://as.good/t/"] {
            let mut setting = Setting::at("https://as.good/t", SERVER, |_| {}, |_| {});
            let second = Issuer::new("https://as.second");
            setting.world.host("https://as.second", second.clone());
            setting.mcp.behave(|mcp| mcp.issuers.push(second.clone()));
            setting.issuer.behave(|server| {
                server.metadata_at = vec![place, OpenIdAppended];
                server.metadata_edits.set("issuer", issuer);
            });
            assert_eq!(setting.begin_fails(), "peer_misbehaved.issuer_mismatch", "{place:?} {issuer}");
            // Nothing else is tried after a lie: no further place, no other issuer, no registration.
            let asked = setting.asked_urls();
            assert!(asked.last().unwrap().contains("well-known"), "{asked:?}");
            assert!(second.registrations().is_empty() && setting.issuer.registrations().is_empty());
        }
    }
}

// atk:MIX-04
#[test]
fn an_endpoint_at_the_honest_issuer_is_refused_before_the_redirect() {
    for member in ["authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint"]
    {
        let mut setting = Setting::new();
        setting.issuer_says(member, "https://as.honest/x");
        assert_eq!(setting.begin_fails(), "peer_misbehaved.endpoint_origin_mismatch", "{member}");
        assert!(setting.issuer.registrations().is_empty());
    }
}

//= spec/mcp-2026-07-28.md#sec-authorization-code-protection
//= type=test
//# The engine MUST refuse an issuer whose metadata, of either kind, lacks `code_challenge_methods_supported`
//# or `S256` in it (ASM-07, U).
// atk:COD-07
#[test]
fn nobody_is_sent_to_an_issuer_without_s256() {
    for methods in [Value::Null, json!([]), json!(["plain"])] {
        let mut setting = Setting::new();
        setting.issuer_says("code_challenge_methods_supported", methods);
        assert_eq!(setting.begin_fails(), "peer_misbehaved.pkce_not_advertised");
    }
}

// atk:HDR-03
#[test]
fn a_challenge_that_names_a_foreign_origin_is_not_followed() {
    for named in ["https://evil.example/prm", "http://mcp.good/prm", "https://mcp.good:8443/prm"] {
        let mut setting = Setting::new();
        setting.mcp.behave(|mcp| mcp.challenged_metadata = Some(MetadataPlace::At(named.to_owned())));
        assert_eq!(setting.begin_fails(), "peer_misbehaved.url_refused", "{named}");
        assert_eq!(setting.asked_urls(), [SERVER]);
    }
}

fn redirects() -> impl Iterator<Item = Response> {
    [301, 302, 303, 307, 308].into_iter().map(|status| Response::redirect(status, "http://169.254.169.254/"))
}

//= spec/mcp-best-practices.md#server-side-request-forgery-ssrf
//= type=test
//# Redirects SHOULD NOT be followed on their own, since every hop would need the whole check (NET-04, U).
// atk:NET-05
#[test]
fn no_redirect_is_followed() {
    for redirect in redirects() {
        let mut setting = Setting::new();
        setting.issuer.answer_instead(Endpoint::Metadata, 1, redirect.clone());
        assert_eq!(setting.begin_fails(), "peer_misbehaved.redirected");
        setting.issuer.answer_instead(Endpoint::Register, 1, redirect.clone());
        assert_eq!(setting.begin_fails(), "peer_misbehaved.redirected");
        let mut setting = Setting::new();
        setting.world.network.unplug("https://mcp.good");
        setting.world.host("https://mcp.good", move |_: &Request, _| redirect.clone());
        assert_eq!(setting.begin_fails(), "peer_misbehaved.redirected");
    }
}

// atk:NET-09, atk:NET-10, atk:NET-11
#[test]
fn bombs_and_ambiguous_documents_are_refused() {
    let json = |body: String| Response::new(200).header("Content-Type", "application/json").body(body);
    let invalid = "peer_misbehaved.issuer_metadata_invalid";
    for (answer, expected) in [
        (json("x".repeat(64 * 1024 + 1)), "peer_misbehaved.response_too_large"),
        (json(format!(r#"{{"issuer":{}"#, "[".repeat(1_000))), invalid),
        (json(r#"{"issuer":"https://as.good","issuer":"https://evil.example"}"#.to_owned()), invalid),
        (json("\u{feff}{}".to_owned()), invalid),
        (json("[]".to_owned()), invalid),
        (json("<html>".to_owned()), invalid),
        (json("{}".to_owned()).header("Content-Encoding", "gzip"), invalid),
    ] {
        let mut setting = Setting::new();
        setting.issuer.answer_instead(Endpoint::Metadata, 1, answer);
        assert_eq!(setting.begin_fails(), expected);
    }
}

// atk:NET-11
#[test]
fn an_encoded_document_is_not_read_however_good_it_is() {
    let document = json!({
        "issuer": "https://as.good",
        "authorization_endpoint": "https://as.good/authorize",
        "token_endpoint": "https://as.good/token",
        "registration_endpoint": "https://as.good/register",
        "code_challenge_methods_supported": ["S256"],
    });
    for (coding, refused) in [("identity", false), ("gzip", true), ("identity, br", true)] {
        let mut setting = Setting::new();
        let answer = Response::json(200, &document).header("Content-Encoding", coding);
        setting.issuer.answer_instead(Endpoint::Metadata, 1, answer);
        match setting.begin() {
            Ok(redirect) => assert!(!refused, "{coding}: {}", redirect.url),
            Err(failure) => {
                assert!(refused, "{coding}: {failure}");
                assert_eq!(failure.slug(), "peer_misbehaved.issuer_metadata_invalid");
            }
        }
    }
}

//= spec/mcp-2026-07-28.md#idx-step-up-authorization-flow
//= type=test
//# Every loop SHOULD be bounded: discovery, 401, 403, nonce and refresh (ERR-01, U).
// atk:NET-12
#[test]
fn ten_thousand_issuers_cost_at_most_eight_requests() {
    let mut setting = Setting::new();
    let many: Vec<_> = (0..900).map(|n| format!("https://slow{n}.example/t")).collect();
    for origin in many.iter().take(4) {
        setting.world.host(origin.trim_end_matches("/t"), |_: &Request, _: _| Response::new(404));
    }
    setting.server_says("authorization_servers", json!(many));
    assert_eq!(setting.begin_fails(), "peer_misbehaved.issuer_metadata_invalid");
    let asked = setting.asked_urls();
    assert_eq!(asked.len(), 8, "{asked:?}");
    assert!(asked.iter().all(|url| !url.contains("slow3")));
}

//= spec/mcp-best-practices.md#server-side-request-forgery-ssrf
//= type=test
//# On a server, every URL that came from a peer MUST be treated as a way to internal hosts:
//# `resource_metadata`, the issuers and each endpoint of theirs (NET-02, U).
// atk:NET-01, atk:NET-02, atk:NET-03
#[test]
fn nothing_is_sent_to_private_addresses_that_metadata_name() {
    for target in [
        "https://10.0.0.1",
        "https://172.16.0.1",
        "https://192.168.0.1",
        "https://127.0.0.1",
        "https://169.254.169.254",
        "https://100.64.0.1",
        "https://2852039166",
        "https://0251.0376.0251.0376",
        "https://[::1]",
        "https://[::ffff:169.254.169.254]",
        "https://[fd00::1]",
        "https://metadata.google.internal",
        "https://localhost",
    ] {
        let mut setting = Setting::new();
        setting.server_says("authorization_servers", json!([target]));
        assert_eq!(setting.begin_fails(), "peer_misbehaved.address_refused", "{target}");
        assert_eq!(setting.asked_urls().len(), 2, "{target}");
    }
}

// atk:NET-01
#[test]
fn a_private_network_is_open_for_the_connectors_own_host_alone() {
    let policy = serde_json::from_value(json!({ "allow": ["10.0.0.0/8"] })).unwrap();
    let mut setting =
        Setting::at("https://10.0.0.2", "https://10.0.0.1/mcp", |_| {}, |c| c.address_policy = policy);
    assert_eq!(setting.begin_fails(), "peer_misbehaved.address_refused");
    assert_eq!(setting.seen_by("https://10.0.0.1"), 2);
    assert_eq!(setting.seen_by("https://10.0.0.2"), 0);
}

// atk:NET-04
#[test]
fn an_answer_from_an_address_that_a_name_was_rebound_to_is_dropped() {
    let loopback = Peer::Address(IpAddr::V4(Ipv4Addr::LOCALHOST));
    for origin in ["https://mcp.good", "https://as.good"] {
        for peer in [loopback, Peer::ViaProxy] {
            let mut setting = Setting::new();
            setting.world.network.rebind(origin, peer);
            assert_eq!(setting.begin_fails(), "peer_misbehaved.address_refused", "{origin}");
            setting.world.network.set_peer(origin, peer);
            assert_eq!(setting.begin_fails(), "peer_misbehaved.address_refused", "{origin}");
        }
    }
}

//= spec/mcp-best-practices.md#oauth-authorization-url-validation
//= type=test
//# An authorization URL MUST be https, or http to loopback, by an allow-list that leaves out `javascript:`,
//# `data:`, `file:` and `vbscript:` (NET-05, U).
// atk:URL-01, atk:URL-02, atk:URL-03, atk:URL-04
#[test]
fn a_browser_is_only_ever_given_a_url_that_nothing_else_is_read_into() {
    for endpoint in [
        "http://as.good/authorize",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "ms-msdt:/id",
        "--upload-pack=evil",
        "https://user$(id)r:p@as.good/authorize",
        "https://as.good/authorize#x",
    ] {
        let mut setting = Setting::new();
        setting.issuer_says("authorization_endpoint", endpoint);
        assert_eq!(setting.begin_fails(), "peer_misbehaved.url_refused", "{endpoint}");
    }
    let endpoint = "https://as.good/authorize/$(calc.exe)`x`;&'*!,|^%25COMSPEC%25?a=$(x)&b=';|`";
    let mut setting = Setting::new();
    setting.issuer_says("authorization_endpoint", endpoint);
    let url = setting.begin().unwrap().url;
    assert!(url.starts_with("https://as.good/authorize/%24%28calc.exe%29"), "{url}");
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?&=%@".contains(&byte);
    assert!(url.bytes().all(is_plain), "{url}");
}

//= spec/oauth21.md#3-1
//= type=test
//# A parameter MUST NOT be sent or accepted twice, `resource` excepted, and an empty value counts as absent
//# (NET-11, U/S).
#[test]
fn an_endpoint_whose_query_sets_our_parameters_is_refused() {
    for query in ["redirect_uri=https://evil.example", "state=x", "request_uri=urn:x", "resource=x&a=b"] {
        let mut setting = Setting::new();
        let endpoint = format!("https://as.good/authorize?{query}");
        setting.issuer_says("authorization_endpoint", endpoint);
        assert_eq!(setting.begin_fails(), "peer_misbehaved.url_refused", "{query}");
    }
}

//= spec/derived.md#azq-15
//= type=test
//# An issuer with `require_pushed_authorization_requests` MUST be served by a pushed request or refused with
//# a clear failure (AZQ-15, U, derived).
#[test]
fn an_issuer_that_wants_pushed_requests_is_named_as_such() {
    let mut setting = Setting::new();
    setting.issuer_says("require_pushed_authorization_requests", true);
    assert_eq!(setting.begin_fails(), "config.pushed_authorization_required");
}

//= spec/mcp-2026-07-28.md#disc-authorization-server-location
//= type=test
//# Of several listed issuers the engine MUST choose one and keep the registrations and tokens of each apart
//# (PRM-14, U).
//= spec/mcp-2026-07-28.md#reg-authorization-server-binding
//= type=test
//# A registration MUST be stored under the issuer that gave it (REG-04, U).
//= spec/mcp-2026-07-28.md#reg-authorization-server-binding
//= type=test
//# When a resource moves to another issuer, the engine MUST NOT take the old credentials along and MUST
//# register anew (REG-05, U).
// atk:MIX-05
#[test]
fn nothing_registered_at_one_issuer_is_shown_to_another() {
    let mut setting = Setting::new();
    setting.connect();
    let evil = Issuer::new(EVIL);
    setting.world.host(EVIL, evil.clone());
    setting.mcp.behave(|mcp| mcp.issuers = vec![evil.clone()]);
    setting.world.advance(3_600_000);
    let redirect = setting.begin().unwrap();
    assert_eq!(redirect.issuer, EVIL);
    for secret in setting.issuer.live_refresh_tokens() {
        assert!(!setting.world.network.who_was_told(&secret).contains(EVIL));
    }
    let client = evil.registrations().len();
    assert_eq!((client, setting.issuer.registrations().len()), (1, 1));
    assert!(!redirect.url.contains(&setting.issuer.authorizations()[0].get("client_id").unwrap().to_owned()));
}

//= spec/derived.md#net-13
//= type=test
//# Status and body of a failed fetch MUST NOT be handed on to the MCP server (NET-13, U, derived).
// What a server answers stays between us and that server.
#[test]
fn a_failure_repeats_nothing_of_a_document() {
    let mut setting = Setting::new();
    setting.issuer_says("issuer", "https://phish.example/call-me");
    let failure = setting.begin().unwrap_err();
    assert!(!format!("{failure} {failure:?}").contains("phish"));
}

#[test]
fn a_lost_answer_is_the_networks_fault_wherever_it_is_lost() {
    for (part, expected) in [
        ("protected-resource", "network.server_unavailable"),
        ("authorization-server", "network.issuer_unavailable"),
        ("/register", "network.issuer_unavailable"),
    ] {
        let mut setting = Setting::new();
        setting.world.on_http(part, 1, HttpFault::Lost { processed: true });
        assert_eq!(setting.begin_fails(), expected);
        setting.begin().unwrap();
    }
}
