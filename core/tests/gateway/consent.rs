//! From a client's request to a code: who the person is, what they connect, what they approve.

use grantway_core::downstream::request::Request;
use grantway_core::event::What;
use grantway_core::store::Kind;
use grantway_testing::kind_of;

use super::browser::{
    Browser, GATEWAY, Gateway, REDIRECT, authorize_target, form, html, parameter, slug, user,
};

fn rows(gateway: &Gateway, kind: Kind) -> usize {
    gateway.world.store.rows().keys().filter(|key| kind_of(key) == Some(kind as u8)).count()
}

//= spec/derived.md#con-20
//= type=test
//# Each upstream MUST have a consent step and a pending flow of its own, and connecting only some of them is
//# a valid end (CON-20, B, derived).
#[test]
fn a_person_connects_an_upstream_approves_the_client_and_the_client_gets_tokens() {
    let mut gateway = Gateway::new();
    let client = gateway.register();
    let mut alice = Browser::of("alice");

    let services = alice.open(&mut gateway, &authorize_target(&client, ""));
    assert_eq!(services.status, 200);
    assert!(html(&services).contains("Good Client"));
    assert!(!gateway.is_connected(&user("alice"), "notes"));

    let services = alice.connect(&mut gateway, &services, "notes", "alice@notes");
    // Staged: nobody resolves to it yet.
    assert_eq!(rows(&gateway, Kind::Staged), 1);
    assert!(!gateway.is_connected(&user("alice"), "notes"));
    let services = alice.press(&mut gateway, &services, "/skip", &[("connector", "files")]);
    assert_eq!(services.status, 303);

    let consent = services.header("location").unwrap().to_owned();
    let approval = alice.open(&mut gateway, &format!("{consent}/approve"));
    assert!(html(&approval).contains("127.0.0.1"), "{}", html(&approval));
    let redirect = alice.approve(&mut gateway, &approval);
    assert!(redirect.starts_with(REDIRECT));
    assert_eq!(parameter(&redirect, "state").as_deref(), Some("xyz"));
    assert_eq!(parameter(&redirect, "iss").as_deref(), Some(GATEWAY));
    assert!(gateway.is_connected(&user("alice"), "notes"));
    assert!(!gateway.is_connected(&user("alice"), "files"));
    assert_eq!(rows(&gateway, Kind::Staged), 0);
    assert_eq!(rows(&gateway, Kind::Slot), 0, "its place among the pending is free again");

    let (status, tokens) = gateway.redeem(&client, &redirect);
    assert_eq!(status, 200, "{tokens}");
    assert_eq!(tokens["token_type"], "Bearer");
    assert!(tokens["access_token"].as_str().unwrap().starts_with("gwa_"));
    assert!(tokens["refresh_token"].as_str().unwrap().starts_with("gwr_"));
    for what in ["ConsentBegun", "IdentityChosen", "Staged", "Approved", "Promoted", "SignedIn"] {
        assert!(gateway.events.iter().any(|event| format!("{event:?}").starts_with(what)), "{what}");
    }
    assert!(!gateway.events.iter().any(|event| matches!(event, What::ReplaySeen { .. })));
}

/// Alice at the approval page of a client, with nothing connected.
fn at_approval(
    gateway: &mut Gateway,
    alice: &mut Browser,
    client: &str,
) -> (String, grantway_core::downstream::response::Response) {
    let begun = alice.get(gateway, &authorize_target(client, ""));
    let consent = begun.header("location").unwrap().to_owned();
    let services = alice.follow(gateway, begun);
    assert_eq!(services.status, 200, "{}", html(&services));
    let approval = alice.open(gateway, &format!("{consent}/approve"));
    (consent, approval)
}

#[test]
fn whoever_declines_tells_the_client_so_and_nothing_is_granted() {
    let mut gateway = Gateway::new();
    let client = gateway.register();
    let mut alice = Browser::of("alice");
    let services = alice.open(&mut gateway, &authorize_target(&client, ""));
    let services = alice.connect(&mut gateway, &services, "notes", "alice@notes");
    let answer = alice.press(&mut gateway, &services, "/deny", &[]);
    let redirect = answer.header("location").unwrap();
    assert_eq!(parameter(redirect, "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(redirect, "state").as_deref(), Some("xyz"));
    assert_eq!(parameter(redirect, "iss").as_deref(), Some(GATEWAY));
    assert!(!gateway.is_connected(&user("alice"), "notes"));
    assert_eq!((rows(&gateway, Kind::Staged), rows(&gateway, Kind::Code)), (0, 0));
    // What was staged waits to be revoked, and the sweep sends it.
    gateway.world.advance(3_600_000);
    let tenant = gateway.tenant.clone();
    let sweep =
        gateway.engine.sweep(grantway_core::upstream::sweep::Sweep { tenant, limit: 50, after: None });
    grantway_testing::drive(&mut gateway.world, sweep).result.unwrap();
    assert!(gateway.notes.live_refresh_tokens().is_empty(), "{:?}", gateway.notes.live_refresh_tokens());
}

//= spec/mcp-best-practices.md#per-client-consent-storage
//= type=test
//# Which clients a person has approved MUST be kept for each person, safely, and be looked at before anything
//# goes on (CON-02, B).
// atk:CON-05
#[test]
fn what_has_changed_since_it_was_shown_is_shown_again_before_it_is_granted() {
    let mut gateway = Gateway::new();
    let client = gateway.register();
    let mut alice = Browser::of("alice");
    let (consent, approval) = at_approval(&mut gateway, &mut alice, &client);
    // In another tab she connects something.
    let services = alice.open(&mut gateway, &consent);
    alice.connect(&mut gateway, &services, "notes", "alice@notes");
    let answer = alice.press(&mut gateway, &approval, "/approve", &[]);
    assert_eq!(answer.header("location"), Some(format!("{consent}/approve").as_str()));
    assert_eq!(slug(&answer), "user.consent_stale");
    assert_eq!(rows(&gateway, Kind::Code), 0);
    let again = alice.follow(&mut gateway, answer);
    let redirect = alice.approve(&mut gateway, &again);
    assert!(parameter(&redirect, "code").is_some());
    // A form that says it was shown something else grants nothing.
    let (_, approval) = at_approval(&mut gateway, &mut alice, &client);
    let (path, mut fields) = form(&approval, "/approve", &[]);
    for (_, value) in fields.iter_mut().filter(|(name, _)| name == "shown") {
        "0".repeat(64).clone_into(value);
    }
    let forged = alice.post(&mut gateway, &path, &fields, &[]);
    assert_eq!(slug(&forged), "user.consent_stale");
}

//= spec/derived.md#err-08
//= type=test
//# Error bodies MUST say nothing about other users, upstream tokens or internal URLs (ERR-08, S/R, derived).
// atk:CON-13, atk:CON-08, atk:TEN-05
#[test]
fn a_consent_session_is_one_browsers_own_and_given_again_to_that_one_alone() {
    let mut gateway = Gateway::new();
    let client = gateway.register();
    let (mut alice, mut mallory) = (Browser::of("alice"), Browser::of("mallory"));
    let (consent, approval) = at_approval(&mut gateway, &mut alice, &client);
    // A browser of its own, and even one in which the same person is signed in.
    mallory.get(&mut gateway, &authorize_target(&client, ""));
    let mut other = Browser::of("alice");
    other.get(&mut gateway, &authorize_target(&client, ""));
    let random = format!("{GATEWAY}/consent/{}", "A".repeat(43));
    for browser in [&mut mallory, &mut other, &mut Browser::of("alice")] {
        for target in [consent.clone(), format!("{consent}/approve")] {
            let (theirs, unknown) = (browser.get(&mut gateway, &target), browser.get(&mut gateway, &random));
            assert_eq!((theirs.status, slug(&theirs)), (404, "user.consent_unknown"));
            let evidence = |page: &grantway_core::downstream::response::Response| {
                let failure = page.failure.as_ref().unwrap();
                html(page).replace(failure.evidence().unwrap(), "")
            };
            assert_eq!(evidence(&theirs), evidence(&unknown));
        }
        let (path, fields) = form(&approval, "/approve", &[]);
        let stolen = browser.post(&mut gateway, &path, &fields, &[]);
        assert_eq!(slug(&stolen), "user.consent_unknown");
    }
    let first = alice.approve(&mut gateway, &approval);
    let again = alice.approve(&mut gateway, &approval);
    assert_eq!(first, again, "a click too many is given the same redirect");
    assert_eq!(slug(&mallory.get(&mut gateway, &consent)), "user.consent_unknown");
    gateway.world.advance(61_000);
    assert_eq!(slug(&alice.get(&mut gateway, &consent)), "user.consent_expired");
}

// P26
#[test]
fn a_session_whose_time_is_over_stays_over_though_the_clock_is_set_back() {
    let mut gateway = Gateway::new();
    let client = gateway.register();
    let mut alice = Browser::of("alice");
    let (consent, _) = at_approval(&mut gateway, &mut alice, &client);
    let before = gateway.world.now();
    gateway.world.advance(30 * 60_000);
    for _ in 0..2 {
        assert_eq!(slug(&alice.get(&mut gateway, &consent)), "user.consent_expired");
        gateway.world.set_clock(before);
    }
}

#[test]
fn an_approval_of_whoever_has_become_somebody_else_meanwhile_grants_nothing() {
    use grantway_core::downstream::config::IdentityMode;
    let mut gateway =
        Gateway::with(|config| config.identity = vec![IdentityMode::User, IdentityMode::Session]);
    let client = gateway.register();
    let mut alice = Browser::of("alice");
    let page = alice.open(&mut gateway, &authorize_target(&client, ""));
    let back = alice.press(&mut gateway, &page, "/identify", &[("mode", "user")]);
    let consent = back.header("location").unwrap().to_owned();
    let approval = alice.open(&mut gateway, &format!("{consent}/approve"));
    let services = alice.open(&mut gateway, &consent);
    // The approval is on its way, up to its last read, when the other tab changes who she is.
    let (path, fields) = form(&approval, "/approve", &[]);
    let mut other = alice.clone();
    let answer = alice.post_beside(&mut gateway, &path, &fields, |gateway| {
        let back = other.press(gateway, &services, "/change", &[]);
        let page = other.follow(gateway, back);
        other.press(gateway, &page, "/identify", &[("mode", "session")]);
    });
    assert_eq!(slug(&answer), "user.consent_stale");
    assert_eq!(rows(&gateway, Kind::Code), 0);
}

//= spec/mcp-best-practices.md#consent-ui-requirements
//= type=test
//# The consent page MUST name the client, the oauth scopes asked for upstream and the registered redirect
//# URI, take its answer with protection against CSRF, and refuse to be framed (CON-03, B/S).
//= spec/derived.md#con-09
//= type=test
//# The browser at the upstream's callback MUST be the one in which the step was approved, and the protection
//# of forms be bound to the browser, not to the session alone (CON-09, B, derived).
// atk:CON-04
#[test]
fn a_form_counts_only_from_its_own_page_browser_and_person() {
    let mut gateway = Gateway::new();
    let client = gateway.register();
    let mut alice = Browser::of("alice");
    let (_, approval) = at_approval(&mut gateway, &mut alice, &client);
    let (path, fields) = form(&approval, "/approve", &[]);
    let refused = |gateway: &mut Gateway,
                   browser: &mut Browser,
                   fields: &[(String, String)],
                   added: &[(&str, &str)]| {
        let answer = browser.post(gateway, &path, fields, added);
        assert_eq!((answer.status, slug(&answer)), (403, "user.form_refused"), "{added:?}");
    };
    for added in [
        [("Origin", "null")],
        [("Origin", "https://evil.example")],
        [("Origin", "https://gw.good.evil.example")],
        [("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-site")],
        [("Sec-Fetch-Site", "none")],
    ] {
        refused(&mut gateway, &mut alice, &fields, &added);
    }
    for token in ["", "0000"] {
        let mut fields = fields.clone();
        fields.iter_mut().filter(|(name, _)| name == "form_token").for_each(|(_, it)| token.clone_into(it));
        refused(&mut gateway, &mut alice, &fields, &[]);
    }
    // Somebody else has signed in in the same browser since.
    let mut bob = Browser { who: Browser::of("bob").who, ..alice.clone() };
    refused(&mut gateway, &mut bob, &fields, &[]);
    assert_eq!(rows(&gateway, Kind::Code), 0);
    let answer = alice.post(&mut gateway, &path, &fields, &[]);
    assert!(parameter(answer.header("location").unwrap(), "code").is_some());
}

//= spec/oauth21.md#3-1
//= type=test
//# The person MUST be authenticated before anything is granted in their name (AS-03, S).
// atk:CON-14
#[test]
fn half_a_sign_in_approves_nothing() {
    let mut gateway = Gateway::new();
    let client = gateway.register();
    let mut alice = Browser::of("alice");
    let (consent, approval) = at_approval(&mut gateway, &mut alice, &client);
    let (path, fields) = form(&approval, "/approve", &[]);
    alice.who.as_mut().unwrap().auth_time = None;
    let answer = alice.post(&mut gateway, &path, &fields, &[]);
    assert_eq!((answer.status, slug(&answer)), (403, "user.form_refused"));
    assert_eq!(rows(&gateway, Kind::Code), 0);
    // It is nobody's anywhere else either.
    for target in ["/connections", "/connect?connector=notes", "/api/connections"] {
        let answer = alice.get(&mut gateway, target);
        assert_eq!((answer.status, slug(&answer)), (403, "user.sign_in_needed"), "{target}");
    }
    // Nor does it choose an identity.
    let mut half = Browser::of("alice");
    half.who.as_mut().unwrap().auth_time = None;
    let page = half.open(&mut gateway, &authorize_target(&client, ""));
    assert!(page.page.is_some_and(|page| format!("{page:?}").starts_with("Identify")));
    let _ = consent;
}

//= spec/mcp-2026-07-28.md#sec-confused-deputy-problem
//= type=test
//# With a static registration upstream, each client MUST have the person's consent before anything goes to
//# the upstream (CON-01, B).
//= spec/mcp-best-practices.md#oauth-state-parameter-validation
//= type=test
//# The upstream's `state` MUST be random, be stored only once the person has pressed the button, and its
//# cookie be set right before the redirect, never earlier (CON-07, B).
// atk:CON-03, atk:CON-01
#[test]
fn no_page_makes_a_binding_and_nothing_goes_upstream_before_a_button_is_pressed() {
    let mut gateway = Gateway::new();
    let client = gateway.register();
    let mut alice = Browser::of("alice");
    let sent = gateway.world.network.seen("GET", "https://notes.good").len();
    let (_, _) = at_approval(&mut gateway, &mut alice, &client);
    assert!(!alice.cookies.contains_key("__Host-grantway"), "{:?}", alice.cookies.keys());
    assert_eq!(gateway.world.network.seen("GET", "https://notes.good").len(), sent);
    assert_eq!(rows(&gateway, Kind::Flow), 0);
    let services = alice.open(&mut gateway, &authorize_target(&client, ""));
    alice.press(&mut gateway, &services, "/connect", &[("connector", "notes")]);
    assert!(alice.cookies.contains_key("__Host-grantway"));
}

//= spec/mcp-best-practices.md#oauth-state-parameter-validation
//= type=test
//# At the upstream's callback a `state` that is missing or not this browser's MUST be refused, and each
//# counts once and for about ten minutes (CON-08, B).
//= spec/derived.md#con-09
//= type=test
//# The browser at the upstream's callback MUST be the one in which the step was approved, and the protection
//# of forms be bound to the browser, not to the session alone (CON-09, B, derived).
// atk:CON-02, atk:CSR-02, atk:CSR-03
#[test]
fn the_upstreams_answer_counts_in_the_browser_that_went_there() {
    let mut gateway = Gateway::new();
    let client = gateway.register();
    let (mut alice, mut mallory) = (Browser::of("alice"), Browser::of("mallory"));
    let services = mallory.open(&mut gateway, &authorize_target(&client, ""));
    let away = mallory.press(&mut gateway, &services, "/connect", &[("connector", "notes")]);
    // Mallory forwards the upstream's page to Alice, whose account there approves.
    let back = gateway.notes.approve_as("alice@notes", away.header("location").unwrap());
    alice.open(&mut gateway, &authorize_target(&client, ""));
    let answer = alice.open(&mut gateway, &back);
    assert_eq!((answer.status, slug(&answer)), (403, "user.binding_mismatch"));
    assert!(gateway.events.iter().any(|what| matches!(what, What::CallbackMisdirected { .. })));
    // And with Mallory's cookie, but Alice's login, it is not Mallory's either.
    let mut mixed = Browser { who: alice.who.clone(), ..mallory.clone() };
    let answer = mixed.open(&mut gateway, &back);
    assert_eq!((answer.status, slug(&answer)), (403, "user.principal_mismatch"));
    assert_eq!(rows(&gateway, Kind::Staged), 0);
    assert!(gateway.notes.live_refresh_tokens().is_empty());
}

// F44
#[test]
fn another_identity_lets_go_of_what_was_staged_for_the_one_before() {
    let mut gateway = Gateway::with(|config| {
        use grantway_core::downstream::config::IdentityMode;
        config.identity = vec![IdentityMode::User, IdentityMode::Session];
    });
    let client = gateway.register();
    let mut alice = Browser::of("alice");
    let page = alice.open(&mut gateway, &authorize_target(&client, ""));
    let back = alice.press(&mut gateway, &page, "/identify", &[("mode", "user")]);
    let services = alice.follow(&mut gateway, back);
    let services = alice.connect(&mut gateway, &services, "notes", "alice@notes");
    assert_eq!(rows(&gateway, Kind::Staged), 1);
    let back = alice.press(&mut gateway, &services, "/change", &[]);
    let page = alice.follow(&mut gateway, back);
    assert_eq!(rows(&gateway, Kind::Staged), 0);
    let back = alice.press(&mut gateway, &page, "/identify", &[("mode", "session")]);
    assert!(alice.cookies.contains_key("__Host-grantway-session"));
    let services = alice.follow(&mut gateway, back);
    let back = alice.press(&mut gateway, &services, "/change", &[]);
    assert!(!alice.cookies.contains_key("__Host-grantway-session"), "whoever comes next is not that one");
    let page = alice.follow(&mut gateway, back);
    let back = alice.press(&mut gateway, &page, "/identify", &[("mode", "session")]);
    let services = alice.follow(&mut gateway, back);
    assert!(!html(&services).contains("alice@notes"));
    let consent = services.header("location").map(str::to_owned);
    assert_eq!(consent, None);
    assert!(!gateway.is_connected(&user("alice"), "notes"));
}

//= spec/oauth21.md#3-1
//= type=test
//# The authorization endpoint MUST answer to GET, ignore parameters it does not know, and refuse one that is
//# given twice (AS-02, S).
// atk:CON-07
//= spec/oauth21.md#3-2-3
//= type=test
//# Metadata members and request or response parameters that are not known MUST be ignored (NET-10, U/S).
#[test]
fn nobody_is_whom_a_form_a_query_or_a_header_names() {
    let mut gateway = Gateway::with(|config| {
        use grantway_core::downstream::config::IdentityMode;
        config.identity = vec![IdentityMode::User, IdentityMode::Key, IdentityMode::Session];
    });
    let client = gateway.register();
    let mut nobody = Browser::default();
    let target = authorize_target(&client, "&user_id=alice&principal=alice&login_hint=alice");
    let page = nobody.open(&mut gateway, &target);
    let (path, fields) = form(&page, "/identify", &[("mode", "session")]);
    for (name, value) in [("mode", "user"), ("user_id", "alice"), ("principal", "alice"), ("key", "alice")] {
        let mut fields = fields.clone();
        fields.retain(|(have, _)| have != name);
        fields.push((name.to_owned(), value.to_owned()));
        let added = [("X-Forwarded-User", "alice"), ("X-User-Id", "alice")];
        let answer = nobody.post(&mut gateway, &path, &fields, &added);
        let page = nobody.follow(&mut gateway, answer);
        assert!(!html(&page).contains("alice"), "{name}: {}", html(&page));
    }
    assert!(!gateway.is_connected(&user("alice"), "notes"));
}

// atk:CON-07
#[test]
fn ten_wrong_keys_pause_the_browser_and_the_right_one_is_heard_again_later() {
    let mut gateway = Gateway::with(|config| {
        config.identity = vec![grantway_core::downstream::config::IdentityMode::Key];
    });
    let client = gateway.register();
    let holder =
        grantway_core::principal::Principal::new(grantway_core::principal::PrincipalKind::Key, "k-1")
            .unwrap();
    let holder = grantway_core::principal::Caller::new("acme", holder).unwrap();
    gateway.world.know_key("right", holder);
    let mut browser = Browser::default();
    let page = browser.open(&mut gateway, &authorize_target(&client, ""));
    for at in 1..=10 {
        let answer = browser.press(&mut gateway, &page, "/identify", &[("key", "wrong")]);
        let expected = if at == 10 { "user.key_paused" } else { "user.key_refused" };
        assert_eq!(slug(&answer), expected, "{at}");
    }
    let answer = browser.press(&mut gateway, &page, "/identify", &[("key", "right")]);
    assert_eq!((answer.status, slug(&answer)), (429, "user.key_paused"));
    gateway.world.advance(10 * 60_000);
    let answer = browser.press(&mut gateway, &page, "/identify", &[("key", "right")]);
    assert_eq!(answer.status, 303, "{}", html(&answer));
    let services = browser.follow(&mut gateway, answer);
    assert!(html(&services).contains("k-1"));
}

//= spec/oauth21.md#3-1
//= type=test
//# The authorization endpoint MUST answer to GET, ignore parameters it does not know, and refuse one that is
//# given twice (AS-02, S).
//= spec/oauth21.md#4-1-2-1
//= type=test
//# A missing or wrong client id or redirect URI MUST be told to the person, and never lead to a redirect
//# (AS-04, S).
//= spec/mcp-2026-07-28.md#sec-open-redirection
//= type=test
//# The browser MUST be sent on by itself to trusted redirect URIs only, on refusals and errors too
//# (AS-14, S).
// atk:CON-18, atk:RED-01, atk:RED-11
#[test]
fn errors_lead_to_a_page_and_never_by_themselves_to_an_address_that_anybody_could_register() {
    let mut gateway = Gateway::new();
    let client = gateway.register();
    let mut alice = Browser::of("alice");
    let good = authorize_target(&client, "");
    for (from, to) in [
        ("response_type=code", "response_type=token"),
        ("code_challenge_method=S256", "code_challenge_method=plain"),
        ("&state=xyz", "&state=xyz&scope=nope"),
        ("&state=xyz", "&state=xyz&resource=https%3A%2F%2Fevil.example"),
        ("&state=xyz", "&state=xyz&prompt=none"),
        ("&state=xyz", "&state=xyz&state=abc"),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good);
        for target in [bad.clone(), bad.replace("127.0.0.1%3A50001%2Fcb", "evil.example%2Fcb")] {
            let answer = alice.get(&mut gateway, &target);
            assert_eq!((answer.status, answer.header("location")), (400, None), "{target}");
            assert!(!html(&answer).contains("evil.example"), "{target}");
        }
    }
    for target in [
        good.replace("127.0.0.1%3A50001%2Fcb", "evil.example%2Fcb"),
        good.replace("127.0.0.1%3A50001%2Fcb", "127.0.0.1%3A50001%2Fother"),
        good.replace(&client, "gwd_unknown"),
        good.replace("&redirect_uri=", "&x="),
        good.replace("&client_id=", "&x="),
    ] {
        let answer = alice.get(&mut gateway, &target);
        assert_eq!((answer.status, answer.header("location")), (400, None), "{target}");
        assert_eq!(rows(&gateway, Kind::Consent), 0);
    }
}

// atk:NET-13
#[test]
fn a_client_has_so_many_sessions_that_nobody_stands_behind_and_the_oldest_gives_way() {
    let mut gateway = Gateway::new();
    let client = gateway.register();
    let (mut alice, mut bob) = (Browser::of("alice"), Browser::of("bob"));
    let begun = bob.get(&mut gateway, &authorize_target(&client, ""));
    let of_bob = begun.header("location").unwrap().to_owned();
    bob.open(&mut gateway, &of_bob);
    let (_, approval) = at_approval(&mut gateway, &mut alice, &client);
    let redirect = alice.approve(&mut gateway, &approval);
    for _ in 0..40 {
        gateway.world.advance(1_000);
        let answer = Browser::default().get(&mut gateway, &authorize_target(&client, ""));
        assert_eq!(answer.status, 303);
    }
    assert_eq!(rows(&gateway, Kind::Consent), 34, "32 that wait, bob's, and the one that was approved");
    assert_eq!(bob.open(&mut gateway, &of_bob).status, 200, "who has said who he is does not give way");
    assert_eq!(gateway.redeem(&client, &redirect).0, 200);
}

//= spec/oauth21.md#7-5-4
//= type=test
//# After a POST the browser MUST be sent on with 303, never with 307, which would repeat the form elsewhere
//# (AS-13, S).
// atk:CON-16, atk:CSR-10
#[test]
fn every_redirect_is_a_303_and_every_answer_is_kept_by_nobody() {
    let mut gateway = Gateway::new();
    let client = gateway.register();
    let mut alice = Browser::of("alice");
    let begun = alice.get(&mut gateway, &authorize_target(&client, ""));
    let services = alice.follow(&mut gateway, begun);
    let away = alice.press(&mut gateway, &services, "/connect", &[("connector", "notes")]);
    let back = gateway.notes.approve_as("a", away.header("location").unwrap());
    let landed = alice.get(&mut gateway, &back);
    let location = landed.header("location").unwrap().to_owned();
    assert!(!location.contains("code=") && !location.contains("state="), "{location}");
    for answer in [&away, &landed] {
        assert_eq!(answer.status, 303);
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[test]
fn a_login_that_is_not_sent_with_another_sites_navigation_arrives_at_the_second_try() {
    let mut gateway = Gateway::new();
    let client = gateway.register();
    let mut alice = Browser::of("alice");
    let services = alice.open(&mut gateway, &authorize_target(&client, ""));
    let away = alice.press(&mut gateway, &services, "/connect", &[("connector", "notes")]);
    let back = gateway.notes.approve_as("a", away.header("location").unwrap());
    let who = alice.who.take();
    let again = alice.get(&mut gateway, &back);
    let Some(grantway_core::downstream::pages::Page::Again(page)) = &again.page else { panic!("{again:?}") };
    assert_eq!(again.header("referrer-policy"), Some("no-referrer"));
    // Nobody is signed in then either: it says so, and the flow is as it was.
    let target = page.target.clone();
    let answer = alice.get(&mut gateway, &target);
    assert_eq!((answer.status, slug(&answer)), (403, "user.sign_in_needed"));
    alice.who = who;
    let landed = alice.open(&mut gateway, &target);
    assert_eq!(landed.status, 200);
    assert_eq!(rows(&gateway, Kind::Staged), 1);
}

#[test]
fn a_disconnect_during_the_session_is_not_undone_by_its_end() {
    let mut gateway = Gateway::new();
    let client = gateway.register();
    let mut alice = Browser::of("alice");
    let services = alice.open(&mut gateway, &authorize_target(&client, ""));
    let services = alice.connect(&mut gateway, &services, "notes", "alice@notes");
    let page = alice.open(&mut gateway, "/connections");
    assert_eq!(page.status, 200);
    let disconnect = grantway_core::upstream::disconnect::Disconnect {
        caller: user("alice"),
        connector: grantway_core::principal::ConnectorId::new("notes").unwrap(),
        owner: None,
    };
    let operation = gateway.engine.disconnect(disconnect);
    grantway_testing::drive(&mut gateway.world, operation).result.unwrap();
    let (path, _) = form(&services, "/deny", &[]);
    let consent = path.trim_end_matches("/deny").to_owned();
    let approval = alice.open(&mut gateway, &format!("{consent}/approve"));
    let redirect = alice.approve(&mut gateway, &approval);
    assert!(parameter(&redirect, "code").is_some(), "the client is approved all the same");
    assert!(!gateway.is_connected(&user("alice"), "notes"));
}

// atk:NET-14, atk:CON-09
#[test]
fn no_header_says_where_the_gateway_is_or_who_somebody_is() {
    let mut gateway = Gateway::new();
    let mut request = Request::get("/.well-known/oauth-authorization-server");
    let plain = gateway.handle(request.clone(), None);
    for name in
        ["Host", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Forwarded-User", "X_Forwarded_User"]
    {
        request.headers.push((name.to_owned(), "evil.example".into_secret()));
    }
    let forged = gateway.handle(request, None);
    assert_eq!(plain.body.expose(), forged.body.expose());
    let mut page = Request::get("/connections");
    page.headers.push(("X-Forwarded-User".to_owned(), "alice".into_secret()));
    assert_eq!(slug(&gateway.handle(page, None)), "user.sign_in_needed");
}

trait IntoSecret {
    fn into_secret(self) -> grantway_core::secret::Secret;
}

impl IntoSecret for &str {
    fn into_secret(self) -> grantway_core::secret::Secret {
        grantway_core::secret::Secret::new(self)
    }
}
