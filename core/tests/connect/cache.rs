//! What is remembered of servers and issuers, and what never is.

use grantway_core::store::Kind;
use grantway_core::upstream::note::Note;
use grantway_testing::{CommitFault, Endpoint, Issuer, Lands, MetadataPlace, Response};
use serde_json::json;

use crate::setting::{ISSUER, SERVER, Setting, name, parameters, silent_about_caching};

const PATH_FORM: &str = "https://mcp.good/.well-known/oauth-protected-resource/mcp";
const ISSUER_METADATA: &str = "https://as.good/.well-known/oauth-authorization-server";

fn documents_asked(setting: &mut Setting) -> Vec<String> {
    setting.asked_urls().into_iter().filter(|url| url.contains("well-known")).collect()
}

#[test]
fn documents_are_asked_for_once_while_they_are_fresh() {
    let mut setting = Setting::new();
    setting.begin().unwrap();
    assert_eq!(documents_asked(&mut setting), [PATH_FORM, ISSUER_METADATA]);
    setting.begin().unwrap();
    // The challenge is asked for each time: it says what is wanted now.
    assert_eq!(setting.asked_urls(), [SERVER]);
    setting.world.advance(5 * 60_000);
    setting.begin().unwrap();
    assert_eq!(documents_asked(&mut setting), [PATH_FORM, ISSUER_METADATA]);
}

// What may not be kept is not kept, but for the memory that there was something.
#[test]
fn documents_that_may_not_be_kept_are_asked_for_each_time() {
    let mut setting = Setting::new();
    for origin in ["https://as.good", "https://mcp.good"] {
        setting.world.network.unplug(origin);
    }
    setting.world.host("https://as.good", setting.issuer.clone());
    setting.world.host("https://mcp.good", setting.mcp.clone());
    setting.begin().unwrap();
    assert_eq!(setting.world.store.rows_of(Kind::Metadata).len(), 1);
    let rows: Vec<_> =
        setting.world.store.rows_of(Kind::Metadata).into_iter().map(|(_, row)| row.clone()).collect();
    setting.asked_urls();
    setting.begin().unwrap();
    assert_eq!(documents_asked(&mut setting), [PATH_FORM, ISSUER_METADATA]);
    assert_eq!(setting.world.store.rows_of(Kind::Metadata)[0].1, &rows[0]);
}

#[test]
fn a_clock_set_back_does_not_make_old_documents_fresh() {
    let mut setting = Setting::new();
    let start = setting.world.now();
    setting.begin().unwrap();
    setting.asked_urls();
    setting.world.set_clock(start.minus(3_600_000));
    setting.begin().unwrap();
    assert_eq!(documents_asked(&mut setting), [PATH_FORM, ISSUER_METADATA]);
}

// atk:NET-15
#[test]
fn no_promise_of_a_server_makes_a_document_last_longer_than_a_day() {
    let mut setting = Setting::new();
    let document = json!({ "resource": SERVER, "authorization_servers": [ISSUER] });
    let mut answer = Response::json(200, &document);
    answer.headers.retain(|(name, _)| name != "Cache-Control");
    let answer = answer.header("Cache-Control", "max-age=999999999");
    setting.world.network.unplug("https://mcp.good");
    setting.world.host("https://mcp.good", move |request: &grantway_testing::Request, _| {
        if request.url == PATH_FORM { answer.clone() } else { Response::new(401) }
    });
    setting.begin().unwrap();
    setting.asked_urls();
    setting.world.advance(24 * 3_600_000 - 1);
    setting.begin().unwrap();
    assert!(!documents_asked(&mut setting).contains(&PATH_FORM.to_owned()));
    setting.world.advance(1);
    setting.begin().unwrap();
    assert!(documents_asked(&mut setting).contains(&PATH_FORM.to_owned()));
}

// atk:NET-15
#[test]
fn an_error_is_never_remembered() {
    let mut setting = Setting::new();
    setting.issuer.answer_instead(Endpoint::Metadata, 1, Response::new(503));
    assert_eq!(setting.begin_fails(), "network.issuer_unavailable");
    setting.issuer_says("issuer", "https://evil.example");
    assert_eq!(setting.begin_fails(), "peer_misbehaved.issuer_mismatch");
    setting.issuer.behave(|issuer| issuer.metadata_edits.clear());
    setting.begin().unwrap();
}

//= spec/rfc9728.md#5-2
//= type=test
//# On a new challenge with `resource_metadata` for a resource already known, the engine SHOULD fetch the
//# document again, check it and use what it says now (CH-07, U).
// T-06
#[test]
fn another_url_in_the_challenge_is_asked_whatever_is_remembered() {
    let mut setting = Setting::new();
    setting.begin().unwrap();
    let other = Issuer::new("https://as.next");
    setting.world.host("https://as.next", other.clone());
    let place = MetadataPlace::At("/next.json".to_owned());
    setting.mcp.behave(|mcp| {
        mcp.issuers = vec![other.clone()];
        mcp.metadata_at = vec![place.clone()];
        mcp.challenged_metadata = Some(place);
    });
    assert_eq!(setting.begin().unwrap().issuer, "https://as.next");
}

// atk:NET-15
#[test]
fn a_document_that_was_let_pass_by_one_connectors_waiver_serves_no_other() {
    let mut setting = Setting::with(|_| {}, |mcp| mcp.waivers.danger_s256_unadvertised = true);
    setting.issuer_omits("code_challenge_methods_supported");
    assert_eq!(setting.begin().unwrap().notes, [Note::S256Unadvertised]);
    setting.put("strict", SERVER, |_| {});
    let failure = setting.begin_with(|asked| asked.connector = name("strict")).unwrap_err();
    assert_eq!(failure.slug(), "peer_misbehaved.pkce_not_advertised");
}

#[test]
fn a_document_of_a_foreign_origin_serves_no_connector_without_that_waiver() {
    let mut setting = Setting::with(|_| {}, |mcp| mcp.waivers.danger_foreign_resource_metadata = true);
    let document =
        json!({ "resource": SERVER, "authorization_servers": [ISSUER], "scopes_supported": ["foreign"] });
    let cdn = move |_: &grantway_testing::Request, _| Response::json(200, &document);
    setting.world.host("https://cdn.example", silent_about_caching(cdn));
    let named = MetadataPlace::At("https://cdn.example/.well-known/prm".to_owned());
    setting.mcp.behave(|mcp| mcp.challenged_metadata = Some(named));
    assert_eq!(setting.begin().unwrap().notes, [Note::ForeignResourceMetadata]);
    setting.mcp.behave(|mcp| mcp.challenged_metadata = None);
    setting.put("strict", SERVER, |_| {});
    let redirect = setting.begin_with(|asked| asked.connector = name("strict")).unwrap();
    assert_eq!(parameters(&redirect.url).get("scope"), None);
    assert_eq!(redirect.notes, []);
}

#[test]
fn a_remembered_document_that_an_operator_has_mended_is_asked_for_again() {
    let mut setting = Setting::with(|_| {}, |mcp| mcp.waivers.danger_s256_unadvertised = true);
    setting.issuer_omits("code_challenge_methods_supported");
    setting.begin().unwrap();
    setting.issuer.behave(|issuer| issuer.metadata_edits.clear());
    setting.put("mcp", SERVER, |_| {});
    setting.begin().unwrap();
}

#[test]
fn tenants_remember_apart() {
    let mut setting = Setting::new();
    setting.begin().unwrap();
    setting.asked_urls();
    setting.alice = grantway_core::principal::Caller::new("globex", setting.alice.principal.clone()).unwrap();
    assert_eq!(setting.begin_fails(), "config.connector_unknown");
    assert_eq!(setting.asked_urls(), Vec::<String>::new());
}

#[test]
fn a_store_that_does_not_remember_delays_nobody() {
    for fault in
        [CommitFault::Unavailable, CommitFault::Unknown(Lands::Never), CommitFault::Unknown(Lands::Now)]
    {
        let mut setting = Setting::new();
        setting.world.on_commit(1, fault);
        setting.begin().unwrap();
    }
}
