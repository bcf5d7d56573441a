//! Keeping a grant alive: over expiry, faults, crashes and any number of workers.

mod stage;

use grantway_core::challenge::ChallengeReason;
use grantway_core::connector::{Connector, Dialect, InDoubt};
use grantway_core::operation::NotSent;
use grantway_core::upstream::resolve::{Resolution, Resolve};
use grantway_testing::{
    CommitFault, Endpoint, HttpFault, Lands, Response, Rotation, Schedule, Worker, drive_or_crash,
    interleave, posts_to,
};
use stage::{SERVER, Stage, alice, config, notes, token};

const HOUR: u64 = 3_600_000;

fn expired() -> Stage {
    let mut stage = Stage::new();
    stage.connect(&alice());
    stage.world.advance(HOUR);
    stage
}

fn posts(stage: &Stage) -> Vec<u32> {
    stage.issuer.posts_per_refresh_token().into_values().collect()
}

/// Token requests begun, whether or not they arrived: the code's included.
fn begun(stage: &Stage) -> usize {
    stage.world.trace().iter().filter(|line| line.contains("https://as.good/token")).count()
}

fn reason(resolution: Resolution) -> ChallengeReason {
    match resolution {
        Resolution::Challenge(challenge) => challenge.reason,
        other => panic!("no challenge: {other:?}"),
    }
}

//= spec/oauth21.md#4-3-1
//= type=test
//# A refresh MUST go to the grant's own issuer only, as `grant_type=refresh_token` with the grant's own
//# client authentication (REF-01, U).
//= spec/oauth21.md#4-3-1
//= type=test
//# A refresh request MUST NOT ask for more oauth scopes than were granted (REF-03, U).
// atk:AUD-08
#[test]
fn an_expired_grant_is_refreshed_with_its_own_resource_and_without_scopes() {
    let mut stage = Stage::new();
    stage.mcp.behave(|b| b.scopes_supported = Some(vec!["read".to_owned()]));
    stage.connect(&alice());
    stage.world.advance(HOUR);
    let ready = stage.ready(&alice());
    assert_eq!((ready.generation(), ready.scopes().to_string()), (2, "read".to_owned()));
    assert!(stage.issuer.live_token(&token(&ready), stage.world.now()).is_some());
    let request = stage.world.network.seen("POST", "https://as.good/token").pop().unwrap().form().unwrap();
    assert_eq!(request.get("resource"), Some(SERVER));
    assert_eq!(request.get("scope"), None);
    assert_eq!(request.get("grant_type"), Some("refresh_token"));
}

//= spec/oauth21.md#4-3-2
//= type=test
//# A refresh token that is returned MUST replace the old one, which otherwise stays (REF-04, U).
#[test]
fn an_answer_without_a_refresh_token_leaves_the_old_one_in_place() {
    let mut stage = Stage::new();
    stage.issuer.behave(|b| b.rotation = Rotation::Never);
    stage.connect(&alice());
    for generation in 2..5 {
        stage.world.advance(HOUR);
        assert_eq!(stage.ready(&alice()).generation(), generation);
    }
    assert_eq!(posts(&stage), [3]);
}

#[test]
fn a_token_that_lives_is_used_as_it_is() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    stage.world.advance(HOUR - 120_000);
    assert_eq!(stage.ready(&alice()).generation(), 1);
    assert_eq!(posts(&stage), [0; 0]);
}

//= spec/derived.md#ref-06
//= type=test
//# One lease holder at a time MUST refresh a grant, over tasks and processes, and who loses the lease reads
//# again before calling the grant dead (REF-06, U, derived).
// atk:TOK-01
#[test]
fn a_hundred_callers_in_any_order_send_one_refresh_token_once() {
    let mut stage = expired();
    let mut workers: Vec<_> =
        (0..100).map(|_| Worker::new(stage.engine.resolve(Resolve::new(alice(), notes())))).collect();
    let mut steppers: Vec<&mut dyn grantway_testing::Stepper> =
        workers.iter_mut().map(|worker| worker as &mut dyn grantway_testing::Stepper).collect();
    interleave(&mut stage.world, &mut steppers, Schedule::Random);
    for worker in &mut workers {
        match worker.outcome().unwrap().result.unwrap() {
            Resolution::Ready(ready) => assert_eq!(ready.generation(), 2),
            // Its wait was over before the simulated clock let the holder finish; nothing was sent.
            Resolution::Transient(transient) => {
                assert_eq!(transient.failure.slug(), "network.refresh_under_way")
            }
            Resolution::Challenge(challenge) => panic!("{challenge:?}"),
        }
    }
    assert_eq!(posts(&stage), [1]);
    assert_eq!(stage.issuer.families_revoked(), 0);
}

//= spec/derived.md#ref-07
//= type=test
//# `invalid_grant` MUST end the named generation and ask for authorization again, whereas a network error or
//# a 5xx keeps the tokens and backs off (REF-07, U, derived).
// atk:TOK-16
#[test]
fn invalid_grant_ends_the_grant_and_asks_once() {
    let mut stage = expired();
    stage.issuer.end_grants_of("alice");
    assert_eq!(reason(stage.resolve(&alice())), ChallengeReason::Reconnect("invalid_grant"));
    assert_eq!(reason(stage.resolve(&alice())), ChallengeReason::Reconnect("invalid_grant"));
    assert_eq!(posts(&stage), [1]);
}

//= spec/derived.md#err-04
//= type=test
//# On `server_error`, `temporarily_unavailable`, 5xx and 429 the engine MUST keep the grant and back off
//# (ERR-04, U, derived).
//= spec/derived.md#ref-07
//= type=test
//# `invalid_grant` MUST end the named generation and ask for authorization again, whereas a network error or
//# a 5xx keeps the tokens and backs off (REF-07, U, derived).
// atk:TOK-06, atk:TOK-16
#[test]
fn an_issuer_that_says_later_is_left_alone_until_then() {
    for status in [429, 500, 503] {
        let mut stage = expired();
        stage.issuer.answer_instead(Endpoint::Token, 1, Response::new(status).header("Retry-After", "120"));
        let Resolution::Transient(transient) = stage.resolve(&alice()) else { panic!("{status}") };
        assert_eq!(transient.failure.slug(), "network.issuer_unavailable");
        assert_eq!(transient.retry_at, stage.world.now().plus(120_000));
        stage.world.advance(60_000);
        assert!(matches!(stage.resolve(&alice()), Resolution::Transient(_)));
        assert_eq!(stage.world.network.seen("POST", "https://as.good/token").len(), 2, "{status}");
        stage.world.advance(60_001);
        assert_eq!(stage.ready(&alice()).generation(), 2);
    }
}

// atk:TOK-06
#[test]
fn the_brake_of_one_grant_holds_for_all_of_its_issuer() {
    let mut stage = Stage::new();
    let bob = stage::user("bob");
    stage.connect(&alice());
    stage.connect(&bob);
    stage.world.advance(HOUR);
    stage.issuer.answer_instead(Endpoint::Token, 1, Response::new(503).header("Retry-After", "60"));
    assert!(matches!(stage.resolve(&alice()), Resolution::Transient(_)));
    let before = stage.world.network.seen("POST", "https://as.good/token").len();
    assert!(matches!(stage.resolve(&bob), Resolution::Transient(_)));
    assert_eq!(stage.world.network.seen("POST", "https://as.good/token").len(), before);
}

#[test]
fn a_request_that_was_not_sent_costs_nothing() {
    let mut stage = expired();
    for _ in 0..5 {
        stage.world.on_http("/token", 1, HttpFault::NotSent(NotSent::Unreachable));
        assert!(matches!(stage.resolve(&alice()), Resolution::Transient(_)));
        stage.world.advance(HOUR);
    }
    assert_eq!(stage.ready(&alice()).generation(), 2);
    assert_eq!(posts(&stage), [1]);
}

// atk:TOK-05
#[test]
fn a_lost_answer_is_asked_for_once_more_at_once() {
    let mut stage = expired();
    stage.world.on_http("/token", 1, HttpFault::Lost { processed: false });
    let before = stage.world.elapsed_ms();
    assert_eq!(stage.ready(&alice()).generation(), 2);
    assert!(stage.world.elapsed_ms() - before <= 20_000 + 1_000, "the timeout, and no pause after it");
    assert_eq!(posts(&stage), [1]);
}

//= spec/mcp-2026-07-28.md#idx-step-up-authorization-flow
//= type=test
//# Every loop SHOULD be bounded: discovery, 401, 403, nonce and refresh (ERR-01, U).
// atk:TOK-05
#[test]
fn an_answer_lost_twice_is_in_doubt_and_never_asked_for_again() {
    let mut stage = expired();
    stage.world.on_http("/token", 1, HttpFault::Lost { processed: false });
    stage.world.on_http("/token", 2, HttpFault::Lost { processed: false });
    assert_eq!(reason(stage.resolve(&alice())), ChallengeReason::Reconnect("in_doubt"));
    stage.world.advance(HOUR);
    assert_eq!(reason(stage.resolve(&alice())), ChallengeReason::Reconnect("in_doubt"));
    assert_eq!(begun(&stage), 3, "the code and two refreshes");
}

#[test]
fn a_dialect_can_forbid_the_second_try() {
    let connector = Connector { dialect: Dialect { in_doubt: InDoubt::Never }, ..Connector::server(SERVER) };
    let mut stage = Stage::with(config(), connector);
    stage.connect(&alice());
    stage.world.advance(HOUR);
    stage.world.on_http("/token", 1, HttpFault::Lost { processed: false });
    assert_eq!(reason(stage.resolve(&alice())), ChallengeReason::Reconnect("in_doubt"));
    assert_eq!(begun(&stage), 2);
}

// atk:TOK-05
#[test]
fn a_crash_after_any_effect_of_a_refresh_leaves_a_grant_that_goes_on_or_asks() {
    for effect in 1..=7 {
        for rotation in
            [Rotation::RevokeOnReuse, Rotation::Grace(30_000), Rotation::Never, Rotation::WithoutRevocation]
        {
            let mut stage = Stage::new();
            stage.issuer.behave(|b| b.rotation = rotation);
            stage.connect(&alice());
            stage.world.advance(HOUR);
            stage.world.crash_after(effect);
            let first = stage.engine.resolve(Resolve::new(alice(), notes()));
            if drive_or_crash(&mut stage.world, first).is_ok() {
                assert!(effect > 5, "a refresh has at least five effects");
                continue;
            }
            // Longer than lease and skew: whoever comes now may take over.
            stage.world.advance(300_000);
            match stage.resolve(&alice()) {
                Resolution::Ready(ready) => {
                    assert!(stage.issuer.live_token(&token(&ready), stage.world.now()).is_some());
                }
                Resolution::Challenge(_) => assert!(rotation != Rotation::Never, "{effect} {rotation:?}"),
                Resolution::Transient(transient) => panic!("{transient:?}"),
            }
            // A token that does not rotate is sent for each refresh anew.
            let most = if rotation == Rotation::Never { 3 } else { 2 };
            assert!(posts(&stage).iter().all(|n| *n <= most), "{effect} {rotation:?}");
        }
    }
}

// atk:TOK-05
#[test]
fn tokens_whose_save_meets_conflict_or_unknown_are_kept_and_saved() {
    let faults = [
        CommitFault::Conflict,
        CommitFault::Unavailable,
        CommitFault::Unknown(Lands::Now),
        CommitFault::Unknown(Lands::Never),
        CommitFault::Unknown(Lands::After(1)),
        CommitFault::Unknown(Lands::After(2)),
    ];
    for fault in faults {
        let mut stage = expired();
        // The first commit takes the lease, the second saves.
        stage.world.on_commit(2, fault);
        let ready = stage.ready(&alice());
        assert!(ready.generation() >= 2, "{fault:?}");
        assert!(stage.issuer.live_token(&token(&ready), stage.world.now()).is_some(), "{fault:?}");
        assert_eq!(posts(&stage), [1], "{fault:?}");
    }
}

// P17
#[test]
fn nothing_is_sent_on_a_lease_whose_commit_is_unknown_until_it_is_known() {
    for lands in [Lands::Now, Lands::Never, Lands::After(1), Lands::After(2), Lands::After(3)] {
        let mut stage = expired();
        stage.world.on_commit(1, CommitFault::Unknown(lands));
        assert_eq!(stage.ready(&alice()).generation(), 2, "{lands:?}");
        assert_eq!(posts(&stage), [1], "{lands:?}");
    }
}

// P17
#[test]
fn a_lease_that_was_slow_to_commit_sends_nothing() {
    let mut stage = expired();
    stage.world.on_commit(1, CommitFault::Slow(20_000));
    let Resolution::Transient(transient) = stage.resolve(&alice()) else { panic!() };
    assert_eq!(transient.failure.slug(), "store.unavailable");
    assert_eq!(posts(&stage), [0; 0]);
    assert_eq!(stage.ready(&alice()).generation(), 2);
}

// P19, atk:TOK-08
#[test]
fn a_disconnect_between_request_and_answer_wins_and_the_late_token_is_revoked() {
    let mut stage = expired();
    let mut refreshing = Worker::new(stage.engine.resolve(Resolve::new(alice(), notes())));
    assert!(refreshing.run_until(&mut stage.world, posts_to("/token")));
    refreshing.perform(&mut stage.world);
    let disconnected = stage.disconnect(&alice());
    assert!(disconnected.was_connected && disconnected.doubt);
    refreshing.deliver(&mut stage.world);
    let outcome = refreshing.finish(&mut stage.world).result.unwrap();
    assert_eq!(reason(outcome), ChallengeReason::Connect);
    assert_eq!(stage.issuer.live_refresh_tokens(), [""; 0]);
    assert_eq!(stage.issuer.live_access_tokens(stage.world.now()), [""; 0]);
}

// atk:TOK-05
#[test]
fn a_reconnect_between_request_and_answer_keeps_the_new_consent_and_revokes_the_late_token() {
    let mut stage = expired();
    let mut refreshing = Worker::new(stage.engine.resolve(Resolve::new(alice(), notes())));
    assert!(refreshing.run_until(&mut stage.world, posts_to("/token")));
    refreshing.perform(&mut stage.world);
    let late = stage.issuer.live_refresh_tokens().pop().unwrap();
    stage.connect(&alice());
    refreshing.deliver(&mut stage.world);
    let Resolution::Ready(ready) = refreshing.finish(&mut stage.world).result.unwrap() else { panic!() };
    assert_eq!(token(&ready), token(&stage.ready(&alice())));
    assert_eq!(stage.issuer.live_refresh_tokens().len(), 1);
    // An issuer may also have ended it with the grant that was replaced; it is not left to that.
    assert!(stage.issuer.revocations().contains(&late));
}

// P17, P26
#[test]
fn a_lease_from_the_far_future_ends_by_being_watched() {
    let mut stage = expired();
    let ahead = Worker::new(stage.engine.resolve(Resolve::new(alice(), notes())));
    let mut ahead = ahead.with_clock_ahead(30 * 24 * 3_600_000);
    assert!(ahead.run_until(&mut stage.world, posts_to("/token")));
    ahead.crash();
    let mut observed = None;
    for _ in 0..10 {
        let resolve = Resolve { observed, ..Resolve::new(alice(), notes()) };
        let operation = stage.engine.resolve(resolve);
        match stage.drive(operation).result.unwrap() {
            Resolution::Ready(ready) => {
                assert_eq!(ready.generation(), 2);
                return;
            }
            Resolution::Transient(transient) => observed = transient.observed,
            Resolution::Challenge(challenge) => panic!("{challenge:?}"),
        }
    }
    panic!("the lease never ended");
}

//= spec/derived.md#err-02
//= type=test
//# `invalid_client` at the token endpoint MUST make the issuer's registration stale and lead to one new
//# dynamic registration at most, else to a report (ERR-02, U, derived).
// F19
#[test]
fn a_client_that_the_issuer_forgot_is_registered_anew_at_the_next_connect() {
    let mut stage = expired();
    stage.issuer.forget_clients();
    assert_eq!(reason(stage.resolve(&alice())), ChallengeReason::Reconnect("client_refused"));
    let before = stage.issuer.registrations().len();
    stage.connect(&alice());
    assert_eq!(stage.issuer.registrations().len(), before + 1);
    assert_eq!(stage.ready(&alice()).generation(), 2);
}

// atk:TOK-13
#[test]
fn a_clock_that_jumps_ahead_and_back_costs_a_refresh_and_no_grant() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    let now = stage.world.now();
    stage.world.set_clock(now.plus(80 * 365 * 24 * HOUR));
    assert_eq!(stage.ready(&alice()).generation(), 2);
    stage.world.set_clock(now);
    let ready = stage.ready(&alice());
    assert!(ready.generation() >= 2);
    stage.world.advance(2 * HOUR);
    let ready = stage.ready(&alice());
    assert!(stage.issuer.live_token(&token(&ready), stage.world.now()).is_some());
}

// atk:TOK-12
#[test]
fn a_token_that_is_said_to_last_for_ever_is_refreshed_after_thirty_days() {
    const DAY: u64 = 24 * HOUR;
    for seconds in [2_592_001, u64::from(u32::MAX), 1 << 63, u64::MAX] {
        let mut stage = Stage::new();
        stage.issuer.behave(|b| {
            b.token_edits.set("expires_in", seconds);
        });
        stage.connect(&alice());
        let ends = stage.world.now().plus(30 * DAY);
        assert_eq!(stage.ready(&alice()).expires_at(), Some(ends), "{seconds}");
        stage.world.set_clock(ends);
        assert_eq!(stage.ready(&alice()).generation(), 2, "{seconds}");
    }
}

// P19
#[test]
fn a_token_that_an_issuer_gives_at_every_consent_is_not_revoked_while_it_is_in_use() {
    let mut stage = Stage::new();
    stage.issuer.behave(|b| {
        b.token_edits.set("refresh_token", "the-same-for-ever");
    });
    stage.connect(&alice());
    stage.connect(&alice());
    assert!(!stage.issuer.revocations().contains(&"the-same-for-ever".to_owned()));
    stage.ready(&alice());
}

// P19
#[test]
fn a_late_answer_revokes_no_token_that_a_new_consent_has_brought_again() {
    let mut stage = expired();
    let held = stage.issuer.live_refresh_tokens().pop().unwrap();
    stage.issuer.behave(|b| b.rotation = Rotation::Never);
    let mut refreshing = Worker::new(stage.engine.resolve(Resolve::new(alice(), notes())));
    assert!(refreshing.run_until(&mut stage.world, posts_to("/token")));
    refreshing.perform(&mut stage.world);
    stage.issuer.behave(|b| {
        b.token_edits.set("refresh_token", held.as_str());
    });
    stage.connect(&alice());
    refreshing.deliver(&mut stage.world);
    refreshing.finish(&mut stage.world).result.unwrap();
    assert!(!stage.issuer.revocations().contains(&held), "the new consent's refresh token");
}
