//! The flow's begin: who may, what the redirect says, what is written, and what ties it to where it began.

use grantway_core::connector::{CredentialScope, StaticRegistration};
use grantway_core::engine::Profile;
use grantway_core::event::What;
use grantway_core::principal::{Assurance, Caller, Principal, PrincipalId, Role, Team, TeamRole};
use grantway_core::secret::Secret;
use grantway_core::store::Kind;
use grantway_core::upstream::begin_connect::FlowBinding;
use grantway_core::upstream::disconnect::Disconnect;
use grantway_core::upstream::note::Note;
use grantway_core::upstream::suspend::Suspend;
use grantway_testing::{
    AuthMethod, CallbackIss, CommitFault, Lands, Worker, drive, drive_or_crash, is_commit,
};
use serde_json::json;

use crate::setting::{
    GATEWAY, ISSUER, LOOPBACK, SERVER, Setting, caller, cookie_pair, name, parameters, process,
};

//= spec/rfc7636.md#4-2
//= type=test
//# The request MUST say `code_challenge_method=S256`, the challenge being SHA-256 of the ASCII verifier in
//# base64url without padding (AZQ-03, U).
//= spec/oauth21.md#4-1-1
//= type=test
//# `state` and `scope` SHOULD NOT carry anything sensitive, and data in `state` MUST be protected against
//# change, which is why ours is random and no more (AZQ-14, U).
// F25, F26, F27
#[test]
fn the_authorization_url_says_all_that_the_issuer_must_know() {
    let mut setting = Setting::new();
    setting.mcp.behave(|mcp| mcp.scopes_supported = Some(vec!["read".into(), "write".into()]));
    let redirect = setting.begin().unwrap();
    let sent = parameters(&redirect.url);
    assert_eq!(sent.get("response_type"), Some("code"));
    assert_eq!(sent.get("redirect_uri"), Some("https://gw.good/callback"));
    assert_eq!(sent.get("scope"), Some("read write"));
    assert_eq!(sent.get("resource"), Some(SERVER));
    assert_eq!(sent.get("code_challenge_method"), Some("S256"));
    assert_eq!(sent.get("code_challenge").unwrap().len(), 43);
    let state = sent.get("state").unwrap();
    // atk:CSR-06: 256 bits behind the sealed tenant; short enough for every issuer.
    assert_eq!(state.rsplit('.').next().unwrap().len(), 43);
    assert!(state.len() < 128 && !state.contains("acme"), "{state}");
    assert_eq!(
        setting.engine.tenant_of_callback(&format!("/callback?code=c&state={state}")),
        Some(setting.alice.tenant.clone())
    );
    assert_eq!(redirect.expires_at, setting.world.now().plus(600_000));
    assert!(redirect.protected && redirect.notes.is_empty());
    let begun = What::FlowBegun { issuer: ISSUER.to_owned(), protected: true };
    assert!(setting.events.contains(&begun));
}

//= spec/rfc7636.md#4-1
//= type=test
//# The verifier MUST have 43 to 128 unreserved characters, be made from 32 random octets, and be new for
//# every pending flow, after an error too (AZQ-04, U).
//= spec/mcp-2026-07-28.md#sec-open-redirection
//= type=test
//# `state` SHOULD be random, used once and tied to user agent and pending flow, and where PKCE is missing it
//# MUST be (AZQ-05, U).
// atk:CSR-06
#[test]
fn nothing_random_is_used_twice() {
    let mut setting = Setting::new();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let redirect = setting.begin().unwrap();
        let sent = parameters(&redirect.url);
        assert!(seen.insert(sent.get("state").unwrap().to_owned()));
        assert!(seen.insert(sent.get("code_challenge").unwrap().to_owned()));
        assert!(seen.insert(redirect.cookie.unwrap().expose().to_owned()));
        assert!(seen.insert(redirect.flow));
    }
}

//= spec/oauth21.md#3-1
//= type=test
//# Endpoints MUST be absolute https URLs without fragment, and a query that the authorization endpoint
//# already has is kept (ASM-08, U).
// F35, F37
#[test]
fn what_the_endpoint_and_the_operator_say_stays_beside_our_own() {
    let mut setting =
        Setting::with(|_| {}, |mcp| mcp.authorize_params = vec![("audience".to_owned(), "a&b c".to_owned())]);
    let endpoint = "https://as.good/authorize?tenant=7&x=%41";
    setting.issuer_says("authorization_endpoint", endpoint);
    let url = setting.begin().unwrap().url;
    assert!(url.starts_with("https://as.good/authorize?tenant=7&x=%41&response_type=code&"), "{url}");
    assert!(url.contains("audience=a%26b%20c"));
}

//= spec/mcp-2026-07-28.md#idx-scope-selection-strategy
//= type=test
//# The `scope` of a challenge MUST be taken as what the current operation needs, and the engine MUST NOT
//# expect of it any relation to `scopes_supported` (CH-06, U).
// conformance 6 to 8
#[test]
fn the_challenges_scopes_come_before_the_metadatas() {
    let scopes_of = |challenged: Option<&str>, listed: Option<&[&str]>| {
        let mut setting = Setting::new();
        setting.mcp.behave(|mcp| {
            mcp.challenged_scope = challenged.map(str::to_owned);
            mcp.scopes_supported = listed.map(|list| list.iter().map(|s| (*s).to_owned()).collect());
        });
        parameters(&setting.begin().unwrap().url).get("scope").map(str::to_owned)
    };
    assert_eq!(scopes_of(Some("mcp:basic"), Some(&["mcp:x"])).as_deref(), Some("mcp:basic"));
    assert_eq!(scopes_of(None, Some(&["mcp:write", "mcp:basic"])).as_deref(), Some("mcp:basic mcp:write"));
    assert_eq!(scopes_of(None, None), None);
}

// atk:TOK-10
#[test]
fn an_operators_limit_holds_against_a_greedy_server() {
    let limit = serde_json::from_value(json!(["read"])).unwrap();
    let mut setting = Setting::with(|_| {}, |mcp| mcp.scope_limit = Some(limit));
    setting.mcp.behave(|mcp| mcp.challenged_scope = Some("admin:* offline_access openid email read".into()));
    let redirect = setting.begin().unwrap();
    assert_eq!(parameters(&redirect.url).get("scope"), Some("read"));
    assert_eq!(redirect.notes, [Note::ScopesLimited]);
}

//= spec/mcp-2026-07-28.md#idx-refresh-tokens
//= type=test
//# `offline_access` MAY be asked for, and then with `prompt=consent`, where the issuer's own
//# `scopes_supported` lists it, and elsewhere MUST NOT be (AZQ-09, U).
// conformance 16 and 17
#[test]
fn a_refresh_token_is_asked_for_as_the_issuer_wants_it() {
    let mut setting = Setting::new();
    setting.mcp.behave(|mcp| mcp.scopes_supported = Some(vec!["read".into()]));
    setting
        .issuer
        .behave(|issuer| issuer.scopes_supported = Some(vec!["read".into(), "offline_access".into()]));
    let sent = parameters(&setting.begin().unwrap().url);
    assert_eq!((sent.get("scope"), sent.get("prompt")), (Some("offline_access read"), Some("consent")));

    let mut setting = Setting::new();
    setting.mcp.behave(|mcp| mcp.scopes_supported = Some(vec!["read".into(), "offline_access".into()]));
    let sent = parameters(&setting.begin().unwrap().url);
    assert_eq!((sent.get("scope"), sent.get("prompt")), (Some("read"), None));
}

// R32
#[test]
fn an_issuer_that_refuses_offline_access_is_asked_without_it_once() {
    let mut setting = Setting::new();
    setting.mcp.behave(|mcp| mcp.scopes_supported = Some(vec!["read".into()]));
    setting
        .issuer
        .behave(|issuer| issuer.scopes_supported = Some(vec!["read".into(), "offline_access".into()]));
    let redirect = setting.begin().unwrap();
    let callback = setting.issuer.fail(&redirect.url, "invalid_scope");
    assert_eq!(setting.complete(&redirect, &callback).unwrap_err().slug(), "peer_refused.scope");
    let redirect = setting.begin().unwrap();
    assert_eq!(parameters(&redirect.url).get("scope"), Some("read"));
    let callback = setting.issuer.approve(&redirect.url);
    setting.complete(&redirect, &callback).unwrap();
    let again = setting.begin().unwrap();
    assert_eq!(parameters(&again.url).get("scope"), Some("offline_access read"));
}

mod binding {
    use super::*;

    // atk:CSR-07, F30
    #[test]
    fn a_browser_gets_one_cookie_and_keeps_it() {
        let mut setting = Setting::new();
        let cookie = setting.begin().unwrap().cookie.unwrap();
        let (pair, attributes) = cookie.expose().split_once(';').unwrap();
        assert!(pair.starts_with("__Host-grantway="));
        for attribute in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
            assert!(attributes.split("; ").any(|have| have.trim() == attribute), "{attributes}");
        }
        assert!(!attributes.contains("Domain"));
        let sent_back = Some(Secret::new(format!("session=x; {pair}")));
        let again = setting.begin_with(|asked| asked.cookies = sent_back).unwrap();
        assert_eq!(again.cookie, None);
    }

    // atk:CSR-07, F36
    #[test]
    fn ten_flows_of_ten_connectors_all_complete_in_one_browser() {
        let mut setting = Setting::new();
        let mut cookie = None;
        let mut redirects = Vec::new();
        for n in 0..10 {
            let id = format!("mcp{n}");
            setting.put(&id, SERVER, |_| {});
            let redirect = setting
                .begin_with(|asked| {
                    asked.connector = name(&id);
                    asked.cookies = cookie.as_ref().map(cookie_pair);
                })
                .unwrap();
            cookie = redirect.cookie.clone().or(cookie);
            redirects.push(redirect);
        }
        for mut redirect in redirects {
            let callback = setting.issuer.approve(&redirect.url);
            redirect.cookie = cookie.clone();
            setting.complete(&redirect, &callback).unwrap();
        }
    }

    // atk:CSR-02
    #[test]
    fn another_browsers_cookie_does_not_complete_the_flow() {
        let mut setting = Setting::new();
        let mut redirect = setting.begin().unwrap();
        let other = setting.begin_with(|asked| asked.caller = caller("mallory")).unwrap();
        let callback = setting.issuer.approve(&redirect.url);
        let own = std::mem::replace(&mut redirect.cookie, other.cookie);
        assert_eq!(setting.complete(&redirect, &callback).unwrap_err().slug(), "user.binding_mismatch");
        redirect.cookie = own;
        setting.complete(&redirect, &callback).unwrap();
    }

    // atk:CSR-02, F30
    #[test]
    fn a_process_completes_its_own_flow_and_no_other_process_does() {
        let mut setting = Setting::new();
        let mut redirect = setting.begin_with(|asked| asked.binding = process()).unwrap();
        assert_eq!(redirect.cookie, None);
        assert_eq!(parameters(&redirect.url).get("redirect_uri"), Some(LOOPBACK));
        let callback = setting.issuer.approve(&redirect.url);
        let own = redirect.process_secret.replace(Secret::new("A".repeat(43)));
        assert_eq!(setting.complete(&redirect, &callback).unwrap_err().slug(), "user.binding_mismatch");
        redirect.process_secret = None;
        assert_eq!(setting.complete(&redirect, &callback).unwrap_err().slug(), "user.binding_mismatch");
        redirect.process_secret = own;
        setting.complete(&redirect, &callback).unwrap();
    }

    // atk:CSR-02, F40
    #[test]
    fn a_pasted_callback_is_taken_from_the_person_who_began() {
        let mut setting = Setting::new();
        let binding = FlowBinding::Paste { redirect_uri: LOOPBACK.to_owned() };
        let redirect = setting.begin_with(|asked| asked.binding = binding).unwrap();
        assert_eq!((&redirect.cookie, &redirect.process_secret), (&None, &None));
        let callback = setting.issuer.approve(&redirect.url);
        let alice = std::mem::replace(&mut setting.alice, caller("mallory"));
        assert_eq!(setting.complete(&redirect, &callback).unwrap_err().slug(), "user.principal_mismatch");
        setting.alice = alice;
        setting.complete(&redirect, &callback).unwrap();
    }

    #[test]
    fn a_flow_without_a_usable_redirect_uri_is_not_begun() {
        let mut setting = Setting::with(|config| config.base_url = None, |_| {});
        assert_eq!(setting.begin_fails(), "config.redirect_uri_unusable");
        for redirect_uri in ["https://gw.good/callback", "http://10.0.0.1/cb", "myapp://cb", ""] {
            let redirect_uri = redirect_uri.to_owned();
            let failure = setting
                .begin_with(|asked| asked.binding = FlowBinding::Process { redirect_uri })
                .unwrap_err();
            assert_eq!(failure.slug(), "config.redirect_uri_unusable");
        }
        assert_eq!(setting.asked_urls(), Vec::<String>::new());
    }

    #[test]
    fn development_on_plain_http_has_a_cookie_that_browsers_keep() {
        let mut setting = Setting::at(
            "http://localhost:2",
            "http://localhost:3/mcp",
            |config| {
                config.base_url = Some("http://localhost:1".to_owned());
                config.danger_loopback_http = true;
            },
            |mcp| mcp.address_policy = grantway_core::address::AddressPolicy::Loopback,
        );
        let redirect = setting.begin().unwrap();
        let cookie = redirect.cookie.as_ref().unwrap().expose();
        assert!(!cookie.contains("__Host-") && !cookie.contains("Secure"), "{cookie}");
        let callback = setting.issuer.approve(&redirect.url);
        setting.complete(&redirect, &callback).unwrap();
    }
}

mod protection {
    use super::*;

    fn by_hand(setting: &mut Setting) {
        let mut connector = grantway_core::connector::Connector::server(SERVER);
        connector.registration = Some(StaticRegistration {
            issuer: Some(ISSUER.to_owned()),
            client_id: "by-hand".to_owned(),
            auth_method: None,
        });
        setting.put_connector("mcp", connector, None);
    }

    // atk:MIX-01, F24
    #[test]
    fn an_issuer_that_is_silent_gets_a_callback_path_of_its_own() {
        let mut setting = Setting::new();
        setting.issuer.behave(|issuer| {
            issuer.advertises_iss = false;
            issuer.callback_iss = CallbackIss::Absent;
        });
        let redirect = setting.begin().unwrap();
        let uri = parameters(&redirect.url).get("redirect_uri").unwrap().to_owned();
        assert!(uri.starts_with("https://gw.good/callback/") && uri.len() == GATEWAY.len() + 26, "{uri}");
        assert_eq!(
            (redirect.protected, redirect.notes.as_slice()),
            (false, [Note::MixUpUnprotected].as_slice())
        );
        let begun = What::FlowBegun { issuer: ISSUER.to_owned(), protected: false };
        assert!(setting.events.contains(&begun));
        let callback = setting.issuer.approve(&redirect.url);
        setting.complete(&redirect, &callback).unwrap();
    }

    // atk:MIX-01
    #[test]
    fn the_profile_strict_sends_nobody_to_an_issuer_that_could_be_confused() {
        let mut setting = Setting::with(|config| config.profile = Profile::Strict, |_| {});
        setting.issuer.behave(|issuer| issuer.advertises_iss = false);
        assert_eq!(setting.begin_fails(), "config.mix_up_unprotected");
        assert_eq!(setting.world.store.rows_of(Kind::Flow).len(), 0);
        setting.issuer.behave(|issuer| issuer.advertises_iss = true);
        setting.world.advance(300_000);
        assert!(setting.begin().unwrap().protected);
    }

    // atk:MIX-01
    #[test]
    fn a_silent_issuer_is_protected_if_only_the_operator_can_have_registered_us() {
        for (registers, documents, protected) in
            [(false, false, true), (true, false, false), (false, true, false)]
        {
            let mut setting = Setting::with(|config| config.profile = Profile::Strict, |_| {});
            by_hand(&mut setting);
            setting.issuer.behave(|issuer| {
                issuer.advertises_iss = false;
                issuer.dynamic_registration = registers;
                issuer.client_id_documents = documents;
            });
            let result = setting.begin().map(|redirect| redirect.protected);
            assert_eq!(result.is_ok_and(|protected| protected), protected);
            // A port of the person's own machine is nobody's path.
            let process = setting.begin_with(|asked| asked.binding = process());
            assert_eq!(process.unwrap_err().slug(), "config.mix_up_unprotected");
        }
    }

    // The profile knows no waivers, even where one was set before it was chosen.
    #[test]
    fn the_profile_strict_lets_no_waiver_count() {
        let mut setting = Setting::with(|_| {}, |mcp| mcp.waivers.danger_s256_unadvertised = true);
        setting.issuer_omits("code_challenge_methods_supported");
        setting.begin().unwrap();
        let mut config = grantway_core::engine::EngineConfig::new("Gateway");
        config.base_url = Some(GATEWAY.to_owned());
        config.profile = Profile::Strict;
        setting.engine = grantway_core::engine::Engine::new(config, crate::setting::keyring()).unwrap();
        assert_eq!(setting.begin_fails(), "peer_misbehaved.pkce_not_advertised");
    }

    // atk:MIX-07
    #[test]
    fn connectors_may_have_callback_paths_of_their_own() {
        let mut setting = Setting::with(|_| {}, |mcp| mcp.own_callback_path = true);
        setting.put("other", SERVER, |mcp| mcp.own_callback_path = true);
        let uri = |url: &str| parameters(url).get("redirect_uri").unwrap().to_owned();
        let first = setting.begin().unwrap();
        let second = setting.begin_with(|asked| asked.connector = name("other")).unwrap();
        assert_ne!(uri(&first.url), uri(&second.url));
        assert_eq!(setting.issuer.registrations().len(), 2);
        // The callback of one on the path of the other.
        let callback = setting.issuer.approve(&first.url);
        let moved = callback.replace(&uri(&first.url), &uri(&second.url));
        assert_eq!(setting.complete(&first, &moved).unwrap_err().slug(), "user.context_mismatch");
        setting.complete(&first, &callback).unwrap();
    }
}

mod rights {
    use super::*;

    fn shared(setting: &mut Setting) {
        setting.put("mcp", SERVER, |mcp| {
            mcp.sharing = true;
            mcp.precedence = vec![
                CredentialScope::Personal,
                CredentialScope::Team,
                CredentialScope::Org,
                CredentialScope::Agent(PrincipalId::new("bot").unwrap()),
            ];
        });
    }

    fn slug(setting: &mut Setting, owner: Principal, by: Caller) -> Option<&'static str> {
        let result = setting.begin_with(|asked| {
            asked.caller = by;
            asked.owner = Some(owner);
        });
        result.err().map(|failure| failure.slug())
    }

    // F64, F65, F109
    #[test]
    fn everybody_connects_their_own_and_managers_what_they_manage() {
        let mut setting = Setting::new();
        shared(&mut setting);
        let member = caller("alice");
        let teams = |role| vec![Team { id: PrincipalId::new("blue").unwrap(), role }];
        let team_member = Caller { teams: teams(TeamRole::Member), ..member.clone() };
        let team_manager = Caller { teams: teams(TeamRole::Manager), ..member.clone() };
        let manager = Caller { role: Role::Manager, ..member.clone() };
        let admin = Caller { role: Role::Admin, ..member.clone() };
        let blue = Principal::team("blue").unwrap();
        let org = Principal::org(&member.tenant);
        let bot = Principal::agent("bot").unwrap();
        let refused = Some("user.not_allowed");
        for (by, owner, expected) in [
            (&member, member.principal.clone(), None),
            (&member, caller("bob").principal, refused),
            (&admin, caller("bob").principal, refused),
            (&member, blue.clone(), refused),
            (&team_member, blue.clone(), refused),
            (&team_manager, blue.clone(), None),
            (&manager, blue, refused),
            (&member, org.clone(), refused),
            (&manager, org.clone(), None),
            (&manager, Principal::new(org.kind(), "globex").unwrap(), refused),
            (&manager, bot.clone(), None),
            (&manager, Principal::agent("other").unwrap(), refused),
            (&team_manager, bot, refused),
        ] {
            assert_eq!(slug(&mut setting, owner.clone(), by.clone()), expected, "{owner:?} by {by:?}");
        }
    }

    // F59, F60
    #[test]
    fn an_account_that_no_call_would_use_is_not_connected() {
        let mut setting = Setting::new();
        let manager = Caller { role: Role::Manager, ..caller("alice") };
        let org = Principal::org(&manager.tenant);
        assert_eq!(slug(&mut setting, org.clone(), manager.clone()), Some("user.not_allowed"));
        setting.put("mcp", SERVER, |mcp| {
            mcp.sharing = true;
            mcp.precedence = vec![CredentialScope::Org];
        });
        assert_eq!(slug(&mut setting, org, manager.clone()), None);
        assert_eq!(slug(&mut setting, manager.principal.clone(), manager), Some("user.not_allowed"));
    }

    // F54, F55
    #[test]
    fn who_is_not_known_well_enough_connects_nothing() {
        let mut setting = Setting::with(|_| {}, |mcp| mcp.minimum_assurance = Assurance::Verified);
        let with = |assurance| Caller { assurance, ..caller("alice") };
        let own = |by: &Caller| by.principal.clone();
        let possession = with(Assurance::Possession);
        assert_eq!(
            slug(&mut setting, own(&possession), possession.clone()),
            Some("config.assurance_too_low")
        );
        setting.put("mcp", SERVER, |_| {});
        assert_eq!(slug(&mut setting, own(&possession), possession), None);
        let asserted = with(Assurance::Asserted);
        assert_eq!(slug(&mut setting, own(&asserted), asserted), Some("user.not_allowed"));
    }

    // atk:TEN-05
    #[test]
    fn nothing_is_asked_of_anybody_for_who_may_not() {
        let mut setting = Setting::new();
        setting.asked_urls();
        let rows = setting.world.store.rows().clone();
        slug(&mut setting, caller("bob").principal, caller("alice"));
        let unknown = setting.begin_with(|asked| asked.connector = name("none")).unwrap_err();
        assert_eq!(unknown.slug(), "config.connector_unknown");
        assert_eq!(setting.asked_urls(), Vec::<String>::new());
        assert_eq!(setting.world.store.rows(), &rows);
    }

    // F76, F112
    #[test]
    fn a_suspended_connection_is_not_connected_again() {
        let mut setting = Setting::new();
        setting.connect();
        let operation = setting.engine.suspend(Suspend {
            caller: Caller { role: Role::Admin, ..caller("admin") },
            owner: setting.alice.principal.clone(),
            connector: name("mcp"),
        });
        setting.run(operation).unwrap();
        assert_eq!(setting.begin_fails(), "user.not_allowed");
    }
}

// F38
#[test]
fn the_page_to_return_to_comes_back_and_is_the_hosts_own() {
    let mut setting = Setting::new();
    let redirect = setting.begin_with(|asked| asked.return_to = Some("/settings?tab=2".into())).unwrap();
    let callback = setting.issuer.approve(&redirect.url);
    let connected = setting.complete(&redirect, &callback).unwrap();
    assert_eq!(connected.return_to.as_deref(), Some("/settings?tab=2"));
    for page in ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"] {
        let failure = setting.begin_with(|asked| asked.return_to = Some(page.to_owned())).unwrap_err();
        assert_eq!(failure.slug(), "user.return_to_refused", "{page}");
    }
}

// F36, R42
#[test]
fn the_newest_flow_wins_and_a_disconnect_supersedes_it() {
    let mut setting = Setting::new();
    let older = setting.begin().unwrap();
    let newer = setting.begin().unwrap();
    let callback = setting.issuer.approve(&older.url);
    assert_eq!(setting.complete(&older, &callback).unwrap_err().slug(), "user.flow_superseded");
    let callback = setting.issuer.approve(&newer.url);
    let connected = setting.complete(&newer, &callback).unwrap();

    let pending = setting.begin().unwrap();
    let callback = setting.issuer.approve(&pending.url);
    let operation = setting.engine.disconnect(Disconnect {
        caller: setting.alice.clone(),
        connector: name("mcp"),
        owner: None,
    });
    setting.run(operation).unwrap();
    assert_eq!(setting.complete(&pending, &callback).unwrap_err().slug(), "user.flow_superseded");
    // F108: the connection stays the same over all that.
    assert_eq!(setting.connect().connection, connected.connection);
}

// F114, F115
#[test]
fn each_flow_is_found_by_its_end_and_the_connection_by_its_connector() {
    let mut setting = Setting::new();
    for flows in 1..=3 {
        setting.begin().unwrap();
        assert_eq!(setting.world.store.rows_of(Kind::Flow).len(), flows);
        assert_eq!(setting.world.store.rows_of(Kind::Expiry).len(), flows);
        assert_eq!(setting.world.store.rows_of(Kind::Connection).len(), 1);
        assert_eq!(setting.world.store.rows_of(Kind::ByConnector).len(), 1);
    }
}

// F28
#[test]
fn a_late_callback_hears_that_it_is_late() {
    let mut setting = Setting::new();
    let redirect = setting.begin().unwrap();
    let callback = setting.issuer.approve(&redirect.url);
    setting.world.advance(600_000);
    let now = setting.world.now();
    setting.world.store.remove_expired(now);
    assert_eq!(setting.complete(&redirect, &callback).unwrap_err().slug(), "user.flow_expired");
}

#[test]
fn the_redirect_is_given_only_after_the_flow_is_stored() {
    let mut completed = 0;
    for nth in 1..20 {
        let mut setting = Setting::new();
        let operation = setting.engine.begin_connect(setting.asked());
        setting.world.crash_after(nth);
        match drive_or_crash(&mut setting.world, operation) {
            Ok(outcome) => {
                assert_eq!(setting.world.store.rows_of(Kind::Flow).len(), 1);
                outcome.result.unwrap();
                completed += 1;
            }
            // Whatever was left behind hinders nobody.
            Err(_) => drop(setting.connect()),
        }
    }
    assert!(completed > 0);
}

#[test]
fn a_commit_of_unknown_fate_begins_one_flow_whatever_became_of_it() {
    for lands in [Lands::Now, Lands::Never, Lands::After(1), Lands::After(2)] {
        let mut setting = Setting::new();
        setting.begin().unwrap();
        let mut worker = Worker::new(setting.engine.begin_connect(setting.asked()));
        assert!(worker.run_until(&mut setting.world, is_commit));
        setting.world.on_commit(1, CommitFault::Unknown(lands));
        let redirect = worker.finish(&mut setting.world).result.unwrap();
        assert_eq!(setting.world.store.rows_of(Kind::Flow).len(), 2, "{lands:?}");
        let callback = setting.issuer.approve(&redirect.url);
        setting.complete(&redirect, &callback).unwrap();
    }
}

#[test]
fn a_connector_changed_meanwhile_is_not_used_as_it_was() {
    let mut setting = Setting::new();
    setting.begin().unwrap();
    let mut worker = Worker::new(setting.engine.begin_connect(setting.asked()));
    assert!(worker.run_until(&mut setting.world, is_commit));
    setting.put("mcp", SERVER, |mcp| mcp.own_callback_path = true);
    assert_eq!(worker.finish(&mut setting.world).result.unwrap_err().slug(), "store.contention");
    assert_eq!(setting.world.store.rows_of(Kind::Flow).len(), 1);
}

#[test]
fn a_store_that_is_away_is_said_to_be_away() {
    for nth in 1..=4 {
        let mut setting = Setting::new();
        setting.world.on_read(nth);
        let failure = setting.begin().map(|redirect| redirect.flow).unwrap_err();
        assert_eq!(failure.slug(), "store.unavailable", "read {nth}");
    }
}

// IMP-02, F29, F119: verifier, state and browser secret are shown by nothing and lie open nowhere.
#[test]
fn nothing_secret_is_printed_or_lies_open() {
    let mut setting = Setting::new();
    let cookies = Secret::new("session=canary-host-session");
    let mut asked = setting.asked();
    asked.cookies = Some(cookies);
    assert!(!format!("{asked:?}").contains("canary-host-session"));
    let operation = setting.engine.begin_connect(asked);
    let outcome = drive(&mut setting.world, operation);
    let printed = format!("{outcome:?}");
    let redirect = outcome.result.unwrap();
    let state = parameters(&redirect.url).get("state").unwrap().to_owned();
    let secret = cookie_pair(redirect.cookie.as_ref().unwrap());
    let secret = secret.expose().split_once('=').unwrap().1.to_owned();
    for canary in [state.as_str(), secret.as_str(), "canary-host-session"] {
        assert!(!printed.contains(canary), "{printed}");
        assert!(!setting.world.store.leaks(canary));
    }
    let callback = setting.issuer.approve(&redirect.url);
    setting.complete(&redirect, &callback).unwrap();
    assert_eq!(setting.world.network.who_was_told(&secret).len(), 0);
}

#[test]
fn an_issuer_with_all_methods_and_forms_connects() {
    for method in [AuthMethod::None, AuthMethod::Basic, AuthMethod::Post] {
        let mut setting = Setting::new();
        setting.issuer.behave(|issuer| issuer.auth_methods = vec![method]);
        let connected = setting.connect();
        assert_eq!(connected.generation, 1);
    }
}
