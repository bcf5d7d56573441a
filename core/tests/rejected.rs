//! What follows when a resource refuses a call.

mod stage;

use grantway_core::challenge::{Challenge, ChallengeReason};
use grantway_core::connector::Connector;
use grantway_core::protocol::scopes::Scopes;
use grantway_core::upstream::begin_connect::BeginConnect;
use grantway_core::upstream::report_rejected::{Rejection, ReportRejected};
use grantway_core::upstream::resolve::Resolution;
use grantway_testing::{Issuer, Worker};
use stage::{SERVER, Stage, alice, config, notes, token, user};

const INSUFFICIENT: &str = "Bearer error=\"insufficient_scope\", scope=\"write\"";

fn retry(rejection: Rejection) -> u64 {
    match rejection {
        Rejection::Retry(ready) => ready.generation(),
        other => panic!("no retry: {other:?}"),
    }
}

fn challenge(rejection: Rejection) -> Box<Challenge> {
    match rejection {
        Rejection::Challenge(challenge) => challenge,
        other => panic!("no challenge: {other:?}"),
    }
}

/// Connects as the challenge's link says.
fn connect_because(stage: &mut Stage, challenge: &Challenge) {
    let begin = BeginConnect { because: challenge.ticket.clone(), ..BeginConnect::new(alice(), notes()) };
    let operation = stage.engine.begin_connect(begin);
    let redirect = stage.drive(operation).result.unwrap();
    let url = stage.issuer.approve_as("alice", &redirect.url);
    let arguments = stage.callback(&alice(), &redirect, &url);
    stage.complete(arguments).result.unwrap();
}

//= spec/oauth21.md#5-3-2
//= type=test
//# After a 401 to a request with a token the engine SHOULD read the challenge anew and refresh or authorize
//# again, a bounded number of times (USE-04, U).
// F87
#[test]
fn a_rejected_token_is_refreshed_once_and_the_call_made_again() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    assert_eq!(retry(stage.rejected(&alice(), 1)), 2);
    assert_eq!(stage.issuer.posts_per_refresh_token().len(), 1);
}

//= spec/derived.md#ref-06
//= type=test
//# One lease holder at a time MUST refresh a grant, over tasks and processes, and who loses the lease reads
//# again before calling the grant dead (REF-06, U, derived).
// P17
#[test]
fn a_generation_that_somebody_has_replaced_is_not_refreshed_again() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    assert_eq!(retry(stage.rejected(&alice(), 1)), 2);
    assert_eq!(retry(stage.rejected(&alice(), 1)), 2);
    assert_eq!(stage.issuer.posts_per_refresh_token().values().sum::<u32>(), 1);
}

//= spec/oauth21.md#5-3-2
//= type=test
//# After a 401 to a request with a token the engine SHOULD read the challenge anew and refresh or authorize
//# again, a bounded number of times (USE-04, U).
// L5
#[test]
fn a_fresh_token_that_is_rejected_at_once_is_not_refreshed_but_asks_a_person() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    assert_eq!(retry(stage.rejected(&alice(), 1)), 2);
    let challenge = challenge(stage.rejected(&alice(), 2));
    assert_eq!(challenge.reason, ChallengeReason::Reconnect("rejected"));
    assert!(matches!(stage.resolve(&alice()), Resolution::Challenge(_)));
    assert_eq!(stage.issuer.posts_per_refresh_token().values().sum::<u32>(), 1);
}

#[test]
fn a_token_rejected_long_after_its_refresh_is_refreshed_again() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    assert_eq!(retry(stage.rejected(&alice(), 1)), 2);
    stage.world.advance(31_000);
    assert_eq!(retry(stage.rejected(&alice(), 2)), 3);
}

//= spec/mcp-2026-07-28.md#disc-protected-resource-metadata-discovery-requirements
//= type=test
//# The engine MUST read `WWW-Authenticate` and respond to a 401 on any request, not the first alone
//# (CH-01, U).
#[test]
fn a_call_without_a_credential_leads_to_a_challenge_that_knows_what_the_server_said() {
    let mut stage = Stage::new();
    let rejection = stage.rejected_with(&alice(), 0, 401, "Bearer scope=\"read write\"").unwrap();
    let challenge = challenge(rejection);
    assert_eq!(challenge.reason, ChallengeReason::Connect);
    assert_eq!(challenge.scopes.to_string(), "read write");
    connect_because(&mut stage, &challenge);
    assert_eq!(stage.issuer.authorizations().pop().unwrap().get("scope"), Some("read write"));
}

//= spec/mcp-2026-07-28.md#disc-authorization-server-location
//= type=test
//# Tokens MUST be stored apart by issuer, and within it by registration, resource and owner (TOK-12, U).
//= spec/mcp-2026-07-28.md#idx-token-handling
//= type=test
//# A server MUST NOT be sent any token but one of its own issuer for its own resource, not even by way of a
//# redirect to another origin (USE-03, U).
// F139, atk:MIX-05
#[test]
fn a_server_that_names_another_issuer_gets_nothing_of_the_old_one() {
    let mut stage = Stage::new();
    stage.issuer.behave(|b| b.refresh_tokens = false);
    stage.connect(&alice());
    let secret = token(&stage.ready(&alice()));
    let client = stage.issuer.authorizations().pop().unwrap().get("client_id").unwrap().to_owned();
    let other = Issuer::new("https://other.example");
    stage.world.host("https://other.example", other.clone());
    stage.mcp.behave(|b| b.issuers = vec![other.clone()]);
    let challenge = challenge(stage.rejected(&alice(), 1));
    assert_eq!(challenge.reason, ChallengeReason::Reconnect("issuer_changed"));
    let begin = BeginConnect { because: challenge.ticket, ..BeginConnect::new(alice(), notes()) };
    let operation = stage.engine.begin_connect(begin);
    let redirect = stage.drive(operation).result.unwrap();
    assert_eq!(redirect.issuer, "https://other.example");
    let url = other.approve_as("alice", &redirect.url);
    let arguments = stage.callback(&alice(), &redirect, &url);
    stage.complete(arguments).result.unwrap();
    for secret in [&secret, &client] {
        assert!(!stage.world.network.who_was_told(secret).contains("https://other.example"));
    }
}

//= spec/mcp-2026-07-28.md#idx-step-up-authorization-flow
//= type=test
//# Acting for a user, the engine SHOULD attempt a step-up when oauth scopes are insufficient, and without a
//# user it MAY do so or give up (STEP-03, U).
//= spec/mcp-2026-07-28.md#idx-step-up-authorization-flow
//= type=test
//# A step-up SHOULD ask for what was requested before together with what the challenge names (STEP-04, U).
//= spec/oauth21.md#7-5-2
//= type=test
//# A step-up MUST be a pending flow of its own, with fresh verifier and state and its own recorded issuer
//# (STEP-06, U).
// T-12
#[test]
fn a_step_up_asks_for_what_was_asked_before_and_what_is_wanted_now() {
    let mut stage = Stage::new();
    stage.mcp.behave(|b| {
        b.challenged_scope = Some("basic".to_owned());
        b.scopes_supported = Some(vec!["profile".to_owned()]);
    });
    let first = challenge(stage.rejected_with(&alice(), 0, 401, "Bearer scope=\"basic\"").unwrap());
    connect_because(&mut stage, &first);
    let step_up = challenge(stage.rejected_with(&alice(), 1, 403, INSUFFICIENT).unwrap());
    assert_eq!(step_up.reason, ChallengeReason::StepUp);
    connect_because(&mut stage, &step_up);
    let asked = stage.issuer.authorizations();
    assert_eq!(asked[1].get("scope"), Some("basic write"));
    assert_ne!(asked[0].get("state"), asked[1].get("state"));
    assert_ne!(asked[0].get("code_challenge"), asked[1].get("code_challenge"));
    assert!(stage.issuer.posts_per_refresh_token().is_empty(), "a step-up is never a refresh");
}

//= spec/mcp-2026-07-28.md#idx-step-up-authorization-flow
//= type=test
//# A request that lacks oauth scopes SHOULD be tried again a few times and then fail for good, after three
//# authorization requests at most (STEP-07, U).
//= spec/mcp-2026-07-28.md#idx-step-up-authorization-flow
//= type=test
//# Attempts SHOULD be counted per resource and operation, and oauth scopes that the user refused be
//# remembered (STEP-08, U).
// atk:TOK-09
#[test]
fn a_server_that_is_never_content_is_given_up_after_two_step_ups_an_hour() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    for generation in 1..=2 {
        let scope = format!("Bearer error=\"insufficient_scope\", scope=\"more-{generation}\"");
        let step_up = challenge(stage.rejected_with(&alice(), generation, 403, &scope).unwrap());
        connect_because(&mut stage, &step_up);
    }
    let failure = stage.rejected_with(&alice(), 3, 403, INSUFFICIENT).unwrap_err();
    assert_eq!(failure.slug(), "user.scope_denied");
    assert!(failure.retry_from().unwrap() > stage.world.now());
    stage.world.advance(3_600_000);
    let generation = stage.ready(&alice()).generation();
    challenge(stage.rejected_with(&alice(), generation, 403, INSUFFICIENT).unwrap());
}

#[test]
fn who_has_stepped_up_meanwhile_tries_again_with_the_new_token() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    let step_up = challenge(stage.rejected_with(&alice(), 1, 403, INSUFFICIENT).unwrap());
    connect_because(&mut stage, &step_up);
    assert_eq!(retry(stage.rejected_with(&alice(), 1, 403, INSUFFICIENT).unwrap()), 2);
}

// atk:TOK-10, P20
#[test]
fn scopes_beyond_the_connectors_limit_are_not_asked_for() {
    let limit = Some(Scopes::parse("read write").unwrap());
    let mut stage = Stage::with(config(), Connector { scope_limit: limit, ..Connector::server(SERVER) });
    stage.connect(&alice());
    let greedy = "Bearer error=\"insufficient_scope\", scope=\"write admin:* offline_access\"";
    let failure = stage.rejected_with(&alice(), 1, 403, greedy).unwrap_err();
    assert_eq!(failure.slug(), "user.scope_denied");
}

//= spec/derived.md#step-09
//= type=test
//# A 403 without `insufficient_scope` MUST NOT start a step-up (STEP-09, U, derived).
//= spec/derived.md#err-06
//= type=test
//# A 400 with JSON-RPC code `-32020` or `-32022` and a 403 for `Origin` MUST be reported as protocol errors,
//# not as authorization ones (ERR-06, U, derived).
// T-13, atk:HDR-04
#[test]
fn other_answers_are_not_about_authorization() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    for (status, field) in [
        (403, "Bearer realm=\"x\""),
        (403, "Bearer x_error=\"insufficient_scope\""),
        (407, "Bearer error=\"invalid_token\""),
        (200, "Bearer error=\"invalid_token\""),
        (400, "Bearer error=\"invalid_token\""),
    ] {
        let rejection = stage.rejected_with(&alice(), 1, status, field).unwrap();
        assert!(matches!(rejection, Rejection::Nothing), "{status} {field}");
    }
    assert_eq!(stage.ready(&alice()).generation(), 1);
}

#[test]
fn a_late_report_about_one_connection_condemns_no_other() {
    let mut stage = Stage::new();
    let bob = user("bob");
    stage.connect(&alice());
    stage.connect(&bob);
    let others = stage.ready(&bob).attribution().connection;
    let report = |stage: &mut Stage, connection| {
        let operation = stage.engine.report_rejected(ReportRejected {
            caller: alice(),
            connector: notes(),
            connection,
            generation: 7,
            operation: "tools/call".to_owned(),
            status: 401,
            headers: Vec::new(),
            wait_ms: 0,
        });
        stage.drive(operation).result.unwrap()
    };
    assert_eq!(retry(report(&mut stage, others)), 1);
    assert!(stage.issuer.posts_per_refresh_token().is_empty());
    let own = stage.ready(&alice()).attribution().connection;
    assert_eq!(retry(report(&mut stage, own)), 2);
}

// P17
#[test]
fn two_reports_of_one_rejection_send_the_refresh_token_once() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    let report = |stage: &Stage| {
        Worker::new(stage.engine.report_rejected(ReportRejected {
            caller: alice(),
            connector: notes(),
            connection: None,
            generation: 1,
            operation: "tools/call".to_owned(),
            status: 401,
            headers: Vec::new(),
            wait_ms: 10_000,
        }))
    };
    let (mut first, mut second) = (report(&stage), report(&stage));
    let mut steppers: [&mut dyn grantway_testing::Stepper; 2] = [&mut first, &mut second];
    grantway_testing::interleave(&mut stage.world, &mut steppers, grantway_testing::Schedule::Random);
    assert_eq!(retry(first.outcome().unwrap().result.unwrap()), 2);
    assert_eq!(retry(second.outcome().unwrap().result.unwrap()), 2);
    assert_eq!(stage.issuer.posts_per_refresh_token().values().sum::<u32>(), 1);
}

// L5
#[test]
fn a_token_that_was_revoked_upstream_is_not_handed_out_again() {
    let mut stage = Stage::new();
    stage.connect(&alice());
    stage.issuer.end_grants_of("alice");
    let challenge = challenge(stage.rejected(&alice(), 1));
    assert!(matches!(challenge.reason, ChallengeReason::Reconnect(_)));
    assert!(matches!(stage.resolve(&alice()), Resolution::Challenge(_)), "though its hour is not over");
}
