//! From a server's URL to the metadata of one issuer.

use grantway_core::connector::{Connector, ResourceMode};
use grantway_core::engine::Profile;
use grantway_core::upstream::note::Note;
use grantway_testing::{MetadataPlace, Response, WellKnown};
use serde_json::json;

use crate::setting::{ISSUER, SERVER, Setting, parameters};

const PROBE: &str = "https://mcp.good/mcp";
const PATH_FORM: &str = "https://mcp.good/.well-known/oauth-protected-resource/mcp";
const ROOT_FORM: &str = "https://mcp.good/.well-known/oauth-protected-resource";
const ISSUER_METADATA: &str = "https://as.good/.well-known/oauth-authorization-server";

#[test]
fn a_challenge_names_the_metadata_and_nothing_else_is_guessed() {
    let mut setting = Setting::new();
    let redirect = setting.begin().unwrap();
    assert_eq!(setting.asked_urls(), [PROBE, PATH_FORM, ISSUER_METADATA, "https://as.good/register"]);
    assert!(redirect.url.starts_with("https://as.good/authorize?"));
    assert_eq!(parameters(&redirect.url).get("resource"), Some(SERVER));
    assert_eq!((redirect.issuer.as_str(), redirect.parent), (ISSUER, false));
    assert_eq!(redirect.notes, []);
}

#[test]
fn the_probe_is_a_request_as_any_client_makes_it_but_without_a_credential() {
    let mut setting = Setting::new();
    setting.begin().unwrap();
    let probes = setting.world.network.seen("POST", SERVER);
    let [probe] = probes.as_slice() else { panic!("{probes:?}") };
    assert_eq!(probe.one("authorization"), None);
    assert_eq!(probe.one("accept"), Some("application/json, text/event-stream"));
    assert_eq!(probe.one("content-type"), Some("application/json"));
    let body = probe.json();
    assert_eq!(body["method"], "initialize");
    assert_eq!(body["params"]["protocolVersion"], "2025-11-25");
    assert_eq!(body["params"]["clientInfo"]["name"], "Gateway");
    assert_eq!(body["params"]["capabilities"], json!({}));
}

//= spec/mcp-2026-07-28.md#disc-protected-resource-metadata-discovery-requirements
//= type=test
//# Where no `resource_metadata` is given, the engine MUST probe the well-known URLs (CH-05, U).
#[test]
fn without_a_named_url_the_path_form_comes_before_the_root_form() {
    let mut setting = Setting::new();
    setting.mcp.behave(|mcp| mcp.challenged_metadata = None);
    assert!(!setting.begin().unwrap().parent);
    assert_eq!(setting.asked_urls()[..3], [PROBE, PATH_FORM, ISSUER_METADATA]);
}

fn with_root_form_alone(setting: &Setting) {
    setting.mcp.behave(|mcp| {
        mcp.challenged_metadata = None;
        mcp.metadata_at = vec![MetadataPlace::Root];
        mcp.metadata_edits.set("resource", "https://mcp.good");
    });
}

// atk:AUD-02
#[test]
fn the_root_form_gives_a_parent_grant_and_says_so() {
    let mut setting = Setting::new();
    with_root_form_alone(&setting);
    let redirect = setting.begin().unwrap();
    assert_eq!(setting.asked_urls()[..4], [PROBE, PATH_FORM, ROOT_FORM, ISSUER_METADATA]);
    assert!(redirect.parent && redirect.notes.contains(&Note::ParentGrant));
    assert_eq!(parameters(&redirect.url).get("resource"), Some("https://mcp.good"));
}

// atk:AUD-02
#[test]
fn the_profile_strict_refuses_a_parent_grant() {
    let mut setting = Setting::with(|config| config.profile = Profile::Strict, |_| {});
    with_root_form_alone(&setting);
    assert_eq!(setting.begin_fails(), "config.parent_grant_refused");
    assert!(setting.issuer.registrations().is_empty());
}

// atk:AUD-02
#[test]
fn the_root_form_does_not_stand_in_for_a_path_form_in_trouble() {
    let mut setting = Setting::new();
    with_root_form_alone(&setting);
    setting.world.host("https://mcp.good", {
        move |request: &grantway_testing::Request, _| match request.url.as_str() {
            PATH_FORM => Response::new(503),
            _ => Response::new(404),
        }
    });
    assert_eq!(setting.begin_fails(), "network.server_unavailable");
    assert_eq!(setting.asked_urls(), [PROBE, PATH_FORM]);
}

//= spec/mcp-2026-07-28.md#disc-authorization-server-metadata-discovery
//= type=test
//# For an issuer with a path the engine MUST try RFC 8414 with the path inserted, OpenID Connect with the
//# path inserted, then OpenID Connect behind the path, and never the document at the root of the host
//# (ASM-03, U).
//= spec/mcp-2026-07-28.md#disc-protected-resource-metadata-discovery-requirements
//= type=test
//# When a challenge names `resource_metadata`, the engine MUST use that URL and not guess another (CH-04, U).
#[test]
fn metadata_may_stand_wherever_the_challenge_says() {
    let mut setting = Setting::at("https://as.good/tenant1", SERVER, |_| {}, |_| {});
    let place = MetadataPlace::At("/custom/metadata/location.json".to_owned());
    setting.mcp.behave(|mcp| {
        mcp.metadata_at = vec![place.clone()];
        mcp.challenged_metadata = Some(place);
    });
    setting.issuer.behave(|issuer| issuer.metadata_at = vec![WellKnown::OpenIdAppended]);
    assert!(!setting.begin().unwrap().parent);
    assert_eq!(
        setting.asked_urls()[1..5],
        [
            "https://mcp.good/custom/metadata/location.json",
            "https://as.good/.well-known/oauth-authorization-server/tenant1",
            "https://as.good/.well-known/openid-configuration/tenant1",
            "https://as.good/tenant1/.well-known/openid-configuration",
        ]
    );
}

//= spec/mcp-2026-07-28.md#disc-protected-resource-metadata-discovery-requirements
//= type=test
//# The root document MUST stay unasked once an earlier source has answered or a challenge has named a URL
//# (PRM-10, U).
#[test]
fn a_named_url_that_is_absent_leaves_the_path_form_but_never_the_root_form() {
    let mut setting = Setting::new();
    setting.mcp.behave(|mcp| {
        mcp.challenged_metadata = Some(MetadataPlace::At("/gone.json".to_owned()));
        mcp.metadata_at = vec![MetadataPlace::Root];
        mcp.metadata_edits.set("resource", "https://mcp.good");
    });
    assert_eq!(setting.begin_fails(), "config.resource_metadata_missing");
    assert_eq!(setting.asked_urls(), [PROBE, "https://mcp.good/gone.json", PATH_FORM]);
    setting.mcp.behave(|mcp| {
        mcp.metadata_at = vec![MetadataPlace::Path];
        mcp.metadata_edits.clear();
    });
    assert!(!setting.begin().unwrap().parent);
}

//= spec/mcp-2026-07-28.md#idx-overview
//= type=test
//# The engine MUST understand RFC 8414 and OpenID Connect Discovery documents alike (ASM-02, U).
#[test]
fn an_issuer_without_path_has_two_places() {
    let mut setting = Setting::new();
    setting.issuer.behave(|issuer| issuer.metadata_at = vec![WellKnown::OpenIdInserted]);
    setting.begin().unwrap();
    let places = [ISSUER_METADATA, "https://as.good/.well-known/openid-configuration"];
    assert_eq!(setting.asked_urls()[2..4], places);
}

// T-04, atk:HDR-02
#[test]
fn a_repeated_parameter_is_ignored_noted_and_the_derived_forms_are_asked() {
    let mut setting = Setting::new();
    let challenge = r#"Bearer resource_metadata="https://mcp.good/gone", scope="s", resource_metadata="https://mcp.good/x""#;
    setting.mcp.behave(|mcp| mcp.www_authenticate = Some(vec![challenge.to_owned()]));
    let redirect = setting.begin().unwrap();
    assert_eq!(setting.asked_urls()[1], PATH_FORM);
    assert_eq!(redirect.notes, [Note::RepeatedResourceMetadata]);
    assert_eq!(parameters(&redirect.url).get("scope"), Some("s"));
}

#[test]
fn a_challenge_that_cannot_be_read_to_its_end_is_noted() {
    let mut setting = Setting::new();
    let challenge = r#"Bearer scope="s", error_description="no end"#;
    setting.mcp.behave(|mcp| mcp.www_authenticate = Some(vec![challenge.to_owned()]));
    assert_eq!(setting.begin().unwrap().notes, [Note::MalformedChallenge]);
}

//= spec/mcp-2026-07-28.md#disc-protected-resource-metadata-discovery-requirements
//= type=test
//# Where no `resource_metadata` is given, the engine MUST probe the well-known URLs (CH-05, U).
// A server may let the first request pass.
#[test]
fn a_server_that_does_not_challenge_the_probe_is_found_by_the_derived_forms() {
    for answer in
        [Response::json(200, &json!({})), Response::new(405), Response::new(500), Response::new(403)]
    {
        let mut setting = Setting::new();
        setting.mcp.answer_instead(1, answer);
        assert!(!setting.begin().unwrap().parent);
        assert_eq!(setting.asked_urls()[1], PATH_FORM);
    }
}

//= spec/mcp-2026-07-28.md#disc-sequence-diagram
//= type=test
//# When no source has a document, the engine MUST give up or use what was configured beforehand (PRM-11, U).
#[test]
fn a_server_without_metadata_is_refused_unless_its_issuer_is_configured() {
    let mut setting = Setting::new();
    setting.mcp.behave(|mcp| mcp.metadata_at.clear());
    assert_eq!(setting.begin_fails(), "config.resource_metadata_missing");
    setting.asked_urls();
    let connector = Connector::server(SERVER);
    let upstream = serde_json::from_value(json!({ "server": { "url": SERVER, "issuer": ISSUER } })).unwrap();
    setting.put_connector("mcp", Connector { upstream, ..connector }, None);
    let redirect = setting.begin().unwrap();
    assert_eq!(setting.asked_urls(), [ISSUER_METADATA, "https://as.good/register"]);
    assert_eq!(parameters(&redirect.url).get("resource"), Some(SERVER));
}

#[test]
fn an_account_asks_its_issuer_alone_and_names_no_resource() {
    let mut setting = Setting::new();
    setting.issuer.behave(|issuer| issuer.requires_resource = false);
    setting.put_connector("mcp", Connector::account(ISSUER), None);
    let redirect = setting.begin().unwrap();
    assert_eq!(setting.asked_urls(), [ISSUER_METADATA, "https://as.good/register"]);
    assert_eq!(parameters(&redirect.url).get("resource"), None);
}

#[test]
fn the_resource_parameter_is_as_the_connector_says() {
    let explicit = "https://mcp.good/v2";
    for (mode, sent) in
        [(ResourceMode::Explicit(explicit.to_owned()), Some(explicit)), (ResourceMode::Omit, None)]
    {
        let mut setting = Setting::with(|_| {}, |connector| connector.resource = mode);
        let redirect = setting.begin().unwrap();
        assert_eq!(parameters(&redirect.url).get("resource"), sent);
    }
}

//= spec/rfc8414.md#4
//= type=test
//# Issuers, client ids, resources, redirect URIs and states MUST be compared code point by code point as
//# received, a parsed copy serving only to build URLs (NET-09, all).
//= spec/mcp-2026-07-28.md#idx-resource-parameter-implementation
//= type=test
//# The `resource` string of the metadata MUST be kept as received for every later `resource` parameter
//# (PRM-15, U).
// T-01, R37: the text as configured is what is compared and sent, whatever a parser makes of it.
#[test]
fn a_server_url_is_compared_and_sent_byte_for_byte() {
    let server = "https://MCP.good:443/mcp";
    let mut setting = Setting::new();
    setting.put("mcp", server, |_| {});
    setting.mcp.behave(|mcp| {
        mcp.challenged_metadata = None;
        mcp.metadata_edits.set("resource", server);
    });
    let redirect = setting.begin().unwrap();
    assert_eq!(parameters(&redirect.url).get("resource"), Some(server));
}

//= spec/mcp-2026-07-28.md#disc-authorization-server-location
//= type=test
//# Of several listed issuers the engine MUST choose one and keep the registrations and tokens of each apart
//# (PRM-14, U).
// T-42
#[test]
fn the_first_issuer_with_metadata_is_taken() {
    let first = grantway_testing::Issuer::new("https://as.first");
    for (answer, taken) in [
        (Response::new(404), "https://as.good"),
        (Response::new(503), "https://as.good"),
        (Response::html(200, "<html>"), "https://as.good"),
    ] {
        let mut setting = Setting::new();
        setting.world.host("https://as.first", first.clone());
        setting.mcp.behave(|mcp| mcp.issuers.insert(0, first.clone()));
        first.answer_instead(grantway_testing::Endpoint::Metadata, 1, answer);
        assert_eq!(setting.begin().unwrap().issuer, taken);
        assert!(first.registrations().is_empty());
    }
    let mut setting = Setting::new();
    setting.world.host("https://as.first", first.clone());
    setting.mcp.behave(|mcp| mcp.issuers.insert(0, first.clone()));
    assert_eq!(setting.begin().unwrap().issuer, "https://as.first");
}

#[test]
fn an_issuer_without_metadata_is_the_peers_fault_and_one_in_trouble_the_networks() {
    let mut setting = Setting::new();
    setting.issuer.behave(|issuer| issuer.metadata_at.clear());
    assert_eq!(setting.begin_fails(), "peer_misbehaved.issuer_metadata_invalid");
    setting.world.network.unplug("https://as.good");
    assert_eq!(setting.begin_fails(), "network.issuer_unavailable");
}

mod legacy {
    use super::*;

    fn legacy(server: &str) -> Setting {
        let setting =
            Setting::at("https://mcp.good", server, |_| {}, |mcp| mcp.waivers.danger_legacy_discovery = true);
        setting.mcp.behave(|mcp| {
            mcp.metadata_at.clear();
            mcp.challenged_metadata = None;
        });
        setting
    }

    #[test]
    fn by_waiver_the_metadata_of_the_servers_origin_is_used() {
        let mut setting = legacy(SERVER);
        let redirect = setting.begin().unwrap();
        assert_eq!(
            setting.asked_urls()[1..4],
            [PATH_FORM, ROOT_FORM, "https://mcp.good/.well-known/oauth-authorization-server"]
        );
        assert!(redirect.url.starts_with("https://mcp.good/authorize?"));
        assert_eq!(redirect.notes, [Note::LegacyDiscovery]);
        assert_eq!(parameters(&redirect.url).get("resource"), Some(SERVER));
    }

    //= spec/mcp-2025-03-26.md#fallbacks-for-servers-without-metadata-discovery
    //= type=test
    //# For 2025-03-26 servers, and by opt-in only, the engine MAY look for metadata at the server's origin
    //# and fall back to `/authorize`, `/token` and `/register` there (ASM-09, U).
    #[test]
    fn by_waiver_a_server_without_any_metadata_has_its_endpoints_at_the_origin() {
        let mut setting = legacy(SERVER);
        setting.issuer.behave(|issuer| issuer.metadata_at.clear());
        let redirect = setting.begin().unwrap();
        assert!(redirect.url.starts_with("https://mcp.good/authorize?"));
        assert_eq!(parameters(&redirect.url).get("code_challenge_method"), Some("S256"));
        assert_eq!(redirect.notes, [Note::LegacyDiscovery, Note::MixUpUnprotected]);
        assert!(!redirect.protected);
    }

    //= spec/mcp-2025-03-26.md#fallbacks-for-servers-without-metadata-discovery
    //= type=test
    //# For 2025-03-26 servers, and by opt-in only, the engine MAY look for metadata at the server's origin
    //# and fall back to `/authorize`, `/token` and `/register` there (ASM-09, U).
    // atk:MIX-12
    #[test]
    fn without_the_waiver_nothing_is_guessed() {
        let mut setting = legacy(SERVER);
        setting.put("mcp", SERVER, |_| {});
        assert_eq!(setting.begin_fails(), "config.resource_metadata_missing");
        assert_eq!(setting.asked_urls(), [PROBE, PATH_FORM, ROOT_FORM]);
    }

    // atk:MIX-12
    #[test]
    fn a_server_in_trouble_is_not_a_server_of_old() {
        for status in [429, 500, 502, 503, 504] {
            let mut setting = legacy(SERVER);
            setting.world.network.unplug("https://mcp.good");
            setting
                .world
                .host("https://mcp.good", move |_: &grantway_testing::Request, _| Response::new(status));
            assert_eq!(setting.begin_fails(), "network.server_unavailable", "{status}");
            assert_eq!(setting.world.network.seen("POST", "https://mcp.good/register").len(), 0);
        }
        let mut setting = legacy(SERVER);
        setting.world.network.unplug("https://mcp.good");
        assert_eq!(setting.begin_fails(), "network.server_unavailable");
    }

    // atk:MIX-12
    #[test]
    fn an_origin_whose_metadata_cannot_be_had_is_not_one_without() {
        let mut setting = legacy(SERVER);
        let down = Response::new(503);
        setting.issuer.answer_instead(grantway_testing::Endpoint::Metadata, 1, down);
        assert_eq!(setting.begin_fails(), "network.issuer_unavailable");
    }

    // atk:MIX-12
    #[test]
    fn who_once_published_metadata_is_never_asked_by_the_old_rules() {
        let mut setting = legacy(SERVER);
        setting.mcp.behave(|mcp| mcp.metadata_at = vec![MetadataPlace::Path]);
        setting.begin().unwrap();
        setting.mcp.behave(|mcp| mcp.metadata_at.clear());
        // A year later still.
        setting.world.advance(365 * 24 * 3_600_000);
        let now = setting.world.now();
        setting.world.store.remove_expired(now);
        assert_eq!(setting.begin_fails(), "peer_misbehaved.discovery_downgrade");
        assert!(setting.issuer.registrations().len() <= 1);
    }
}
