//! `discover`: what `doctor` prints.

use grantway_core::engine::Profile;
use grantway_core::upstream::discover::RegistrationSource;
use grantway_core::upstream::discovery::{Asked, Found};
use grantway_core::upstream::note::Note;
use grantway_testing::{Endpoint, MetadataPlace, Response};

use crate::setting::{ISSUER, SERVER, Setting};

fn steps(setting: &mut Setting) -> Vec<(Asked, Found)> {
    setting.discover().steps.into_iter().map(|step| (step.asked, step.found)).collect()
}

#[test]
fn a_report_names_each_url_and_what_came_of_it() {
    let mut setting = Setting::new();
    setting.mcp.behave(|mcp| {
        mcp.challenged_metadata = None;
        mcp.metadata_at = vec![MetadataPlace::Root];
        mcp.metadata_edits.set("resource", "https://mcp.good");
    });
    let report = setting.discover();
    let urls: Vec<_> = report.steps.iter().map(|step| step.url.as_str()).collect();
    assert_eq!(
        urls,
        [
            SERVER,
            "https://mcp.good/.well-known/oauth-protected-resource/mcp",
            "https://mcp.good/.well-known/oauth-protected-resource",
            "https://as.good/.well-known/oauth-authorization-server",
        ]
    );
    assert_eq!(
        steps(&mut setting),
        [
            (Asked::Challenge, Found::Present),
            (Asked::ResourceMetadataPathForm, Found::Absent { status: 404 }),
            (Asked::ResourceMetadataRootForm, Found::Present),
            (Asked::IssuerMetadata, Found::Cached),
        ]
    );
    let prospect = report.result.unwrap();
    assert_eq!((prospect.issuer.as_str(), prospect.parent, prospect.protected), (ISSUER, true, true));
    assert_eq!(prospect.resource.as_deref(), Some("https://mcp.good"));
    assert_eq!(prospect.registration, Some(RegistrationSource::Dynamic));
    assert_eq!(prospect.notes, [Note::ParentGrant]);
    assert!(setting.issuer.registrations().is_empty());
}

#[test]
fn a_discovery_that_fails_is_a_report_too() {
    let mut setting = Setting::new();
    setting.issuer.answer_instead(Endpoint::Metadata, 1, Response::new(502));
    let report = setting.discover();
    assert_eq!(report.result.unwrap_err().slug(), "network.issuer_unavailable");
    let found: Vec<_> = report.steps.into_iter().skip(2).map(|step| step.found).collect();
    assert_eq!(found, [Found::Unavailable { status: Some(502) }, Found::Absent { status: 404 }]);

    setting.server_says("resource", "https://evil.example/mcp");
    let report = setting.discover();
    let slug = "peer_misbehaved.resource_mismatch";
    assert_eq!(report.steps.last().unwrap().found, Found::Wrong { slug, reason: None });
    assert_eq!(report.result.unwrap_err().slug(), slug);
}

#[test]
fn a_url_that_was_refused_is_shown_harmless() {
    let mut setting = Setting::new();
    let named = MetadataPlace::At(format!("https://evil.example/`{}", "x".repeat(500)));
    setting.mcp.behave(|mcp| mcp.challenged_metadata = Some(named));
    let report = setting.discover();
    let step = report.steps.last().unwrap();
    assert!(step.url.starts_with("https://evil.example/'xxx") && step.url.len() == 200, "{}", step.url);
    assert_eq!(report.result.unwrap_err().slug(), "peer_misbehaved.url_refused");
}

#[test]
fn the_server_is_asked_anew_whatever_is_remembered() {
    let mut setting = Setting::new();
    setting.begin().unwrap();
    setting.mcp.behave(|mcp| mcp.scopes_supported = Some(vec!["new".to_owned()]));
    let prospect = setting.discover().result.unwrap();
    assert_eq!(prospect.resource_scopes.unwrap().to_string(), "new");
}

#[test]
fn waivers_and_protection_are_reported() {
    let mut setting = Setting::with(|_| {}, |mcp| mcp.waivers.danger_s256_unadvertised = true);
    setting.issuer.behave(|issuer| issuer.advertises_iss = false);
    let report = setting.discover();
    assert_eq!(report.waivers, ["danger_s256_unadvertised"]);
    let prospect = report.result.unwrap();
    assert!(!prospect.protected);
    assert_eq!(prospect.notes, [Note::MixUpUnprotected]);
}

#[test]
fn an_unknown_connector_is_the_only_thing_a_report_fails_for() {
    let mut setting = Setting::with(|config| config.profile = Profile::Strict, |_| {});
    setting.world.network.unplug("https://mcp.good");
    let report = setting.discover();
    assert_eq!(report.result.unwrap_err().slug(), "network.server_unavailable");
    let operation = setting.engine.discover(grantway_core::upstream::discover::Discover {
        caller: setting.alice.clone(),
        connector: crate::setting::name("nobody"),
    });
    assert_eq!(setting.run(operation).unwrap_err().slug(), "config.connector_unknown");
}
