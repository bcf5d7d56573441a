//! Requests to the host's MCP endpoint.

use grantway_core::downstream::authenticate::{Authenticate, Authenticated};
use grantway_core::downstream::response::Response;
use grantway_core::downstream::sign_ins::Revoked;
use grantway_core::event::What;
use grantway_core::operation::{IdentityReply, Whom};
use grantway_core::principal::{Role, TenantId};
use grantway_core::protocol::scopes::Scopes;
use grantway_core::protocol::www_authenticate::{BearerChallenge, parse};
use grantway_testing::{CommitFault, Lands};
use serde_json::json;

use super::setting::*;

const METADATA: &str = "https://gw.good/.well-known/oauth-protected-resource/mcp";

/// The one challenge of a response.
fn challenge(response: &Response) -> BearerChallenge {
    assert_eq!(response.header("Cache-Control"), Some("no-store"));
    let challenges = parse(response.header("WWW-Authenticate"));
    assert_eq!(challenges.len(), 1);
    let read = BearerChallenge::select(&challenges).unwrap();
    assert_eq!(read.resource_metadata.as_deref(), Some(METADATA));
    read
}

fn scopes(text: &str) -> Option<Scopes> {
    Some(Scopes::parse(text).unwrap())
}

fn ask(gateway: &mut Gateway, headers: &[(&str, &str)]) -> Response {
    let operation = gateway.asking(headers, MCP, "");
    match gateway.run(operation) {
        Authenticated::Refused(response) => *response,
        Authenticated::Caller(caller) => panic!("{caller:?}"),
    }
}

fn is_invalid_token(response: &Response) -> bool {
    response.status == 401 && challenge(response).error.as_deref() == Some("invalid_token")
}

//= spec/mcp-2026-07-28.md#idx-token-handling
//= type=test
//# A request without a token, or whose token is not valid or has ended, MUST be answered with 401 (CH-09, R).
//= spec/oauth21.md#5-3-1
//= type=test
//# Every 401 MUST carry a challenge with a scheme and at least one parameter, and ours always names
//# `resource_metadata` (CH-10, R).
//= spec/mcp-2026-07-28.md#idx-scope-selection-strategy
//= type=test
//# The oauth scopes that are needed SHOULD stand in the challenge of a 401 (CH-11, R).
//= spec/oauth21.md#5-3-1
//= type=test
//# A challenge SHOULD say no `error` where no credentials came, and `invalid_token` where a token was bad
//# (CH-12, R).
//= spec/mcp-2026-07-28.md#idx-refresh-tokens
//= type=test
//# A challenge SHOULD NOT ask for `offline_access` (CH-14, R).
//= spec/mcp-2026-07-28.md#idx-error-handling
//= type=test
//# A request MUST be answered with 400 when it is malformed, with 401 when it lacks a valid token, and with
//# 403 when the token lacks oauth scopes (USE-09, R).
#[test]
fn without_credentials_the_challenge_says_where_to_ask_and_for_what_and_no_error() {
    let mut gateway = Gateway::new();
    for headers in [
        vec![],
        vec![("Authorization", "Basic YTpi")],
        vec![("Cookie", "a=b"), ("X-Authorization", "Bearer x")],
    ] {
        let response = ask(&mut gateway, &headers);
        let read = challenge(&response);
        assert_eq!((response.status, read.error, read.scope), (401, None, scopes("tools")), "{headers:?}");
    }
    assert!(gateway.world.trace().is_empty());
}

//= spec/oauth21.md#5-1-1
//= type=test
//# The resource MUST take a token from the `Authorization` header, its scheme in any case, and look for none
//# in a query (USE-05, R).
//= spec/mcp-best-practices.md#state-handle-hijacking
//= type=test
//# Every inbound request MUST be verified for itself, and a handle of state authenticates nobody (USE-12, R).
#[test]
fn a_good_token_is_one_read() {
    let mut gateway = Gateway::new();
    let tokens = gateway.sign_in(EDITOR);
    let before = gateway.world.trace().len();
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let operation = gateway.asking(&[("AUTHORIZATION", &format!("{scheme} {}", tokens.access))], MCP, "");
        assert!(matches!(gateway.run(operation), Authenticated::Caller(_)));
    }
    assert_eq!(gateway.world.trace().len(), before + 3);
    assert!(gateway.world.trace()[before..].iter().all(|line| line.contains("read [Family]")));
}

//= spec/mcp-2026-07-28.md#idx-error-handling
//= type=test
//# A request MUST be answered with 400 when it is malformed, with 401 when it lacks a valid token, and with
//# 403 when the token lacks oauth scopes (USE-09, R).
// atk:HDR-05
#[test]
fn two_credentials_or_odd_ones_are_refused_though_one_of_them_is_good() {
    let mut gateway = Gateway::new();
    let token = gateway.sign_in(EDITOR).access;
    let good = format!("Bearer {token}");
    for headers in [
        vec![("Authorization", good.as_str()), ("authorization", good.as_str())],
        vec![("Authorization", good.as_str()), ("Authorization", "Basic YTpi")],
        vec![("Authorization", &format!("{good}, {good}"))],
        vec![("Authorization", &format!("Bearer  {token}"))],
        vec![("Authorization", &format!("{good} "))],
        vec![("Authorization", &format!("{good}\r\nX: y"))],
        vec![("Authorization", "Bearer")],
    ] {
        let response = ask(&mut gateway, &headers);
        let read = challenge(&response);
        assert_eq!((response.status, read.error.as_deref()), (400, Some("invalid_request")), "{headers:?}");
    }
    // Joined the other way round it is no `Bearer` header at all.
    let joined = format!("Basic YTpi, {good}");
    assert_eq!(ask(&mut gateway, &[("Authorization", &joined)]).status, 401);
}

//= spec/mcp-2026-07-28.md#idx-token-handling
//= type=test
//# A request without a token, or whose token is not valid or has ended, MUST be answered with 401 (CH-09, R).
//= spec/mcp-2026-07-28.md#idx-token-handling
//= type=test
//# End, resource and oauth scopes of a token MUST be checked before anything of the request is processed
//# (USE-06, R).
//= spec/mcp-2026-07-28.md#idx-token-handling
//= type=test
//# No other token than one of the gateway's own MUST be accepted, and none is passed on (USE-08, R).
// atk:COD-09
#[test]
fn whatever_is_no_living_access_token_of_ours_is_an_invalid_token() {
    let mut gateway = Gateway::new();
    let tokens = gateway.sign_in(EDITOR);
    let (code, refresh) = (gateway.code_for(EDITOR), tokens.refresh.unwrap());
    let guess = format!("{}{}", &tokens.access[..26], &refresh[26..]);
    let no_family = format!("gwa_{}{}", "A".repeat(22), &tokens.access[26..]);
    for token in [&refresh, &code, &guess, &no_family, "x", "eyJhbGciOiJub25lIn0.e30.", "xoxb-upstream"] {
        assert!(is_invalid_token(&gateway.authenticate(token, MCP, "").unwrap_err()), "{token}");
    }
    assert!(gateway.opens(&tokens.access));
    gateway.world.advance(HOUR);
    assert!(is_invalid_token(&gateway.authenticate(&tokens.access, MCP, "").unwrap_err()));
}

//= spec/mcp-2026-07-28.md#idx-token-handling
//= type=test
//# A token MUST be refused unless it was issued for this very resource (USE-07, R).
// atk:AUD-04
#[test]
fn a_token_of_another_endpoint_is_refused_and_no_variant_of_the_address_helps() {
    let mut gateway = Gateway::new();
    let token = gateway.sign_in(EDITOR).access;
    let response = gateway.authenticate(&token, OTHER_MCP, "").unwrap_err();
    assert_eq!(response.status, 401);
    for resource in
        ["https://gw.good/mcp/", "https://gw.good", "https://gw.good/MCP", "https://evil.example/mcp", ""]
    {
        let response = gateway.authenticate(&token, resource, "").unwrap_err();
        assert_eq!(response.failure.unwrap().slug(), "config.gateway_missing", "{resource}");
    }
    for resource in ["https://gw.good/mcp/", "https://gw.good/m", ""] {
        gateway.edit(&family_key(&token), |family| family["resource"] = json!(resource));
        assert!(is_invalid_token(&gateway.authenticate(&token, MCP, "").unwrap_err()), "{resource}");
    }
}

// atk:TEN-02
#[test]
fn a_token_means_nothing_to_another_tenant() {
    let mut gateway = Gateway::new();
    let token = gateway.sign_in(EDITOR).access;
    let operation = gateway.engine.authenticate(Authenticate {
        tenant: TenantId::new("other").unwrap(),
        headers: vec![(
            "Authorization".to_owned(),
            grantway_core::secret::Secret::new(format!("Bearer {token}")),
        )],
        resource: MCP.to_owned(),
        scopes: Scopes::default(),
    });
    assert!(matches!(gateway.run(operation), Authenticated::Refused(response) if response.status == 401));
}

//= spec/mcp-2026-07-28.md#idx-runtime-insufficient-scope-errors
//= type=test
//# A token that lacks oauth scopes SHOULD be answered with 403 and a challenge of `insufficient_scope`,
//# `scope` and `resource_metadata` (STEP-01, R).
//= spec/mcp-2026-07-28.md#idx-server-scope-management
//= type=test
//# All oauth scopes of the operation SHOULD stand in one challenge, whether granted or not (STEP-02, R).
//= spec/mcp-best-practices.md#scope-minimization
//= type=test
//# Grants smaller than what was asked for MAY be tolerated, and growth of oauth scopes SHOULD be logged with
//# an id that connects the entries (STEP-10, S/R).
//= spec/mcp-2026-07-28.md#idx-error-handling
//= type=test
//# A request MUST be answered with 400 when it is malformed, with 401 when it lacks a valid token, and with
//# 403 when the token lacks oauth scopes (USE-09, R).
#[test]
fn a_token_that_lacks_scopes_is_told_all_that_the_request_needs() {
    let mut gateway = Gateway::new();
    let token = gateway.sign_in(EDITOR).access;
    gateway.news();
    assert!(gateway.authenticate(&token, MCP, "read tools").is_ok());
    for needed in ["read write admin", "Read", "rea"] {
        let response = gateway.authenticate(&token, MCP, needed).unwrap_err();
        let read = challenge(&response);
        assert_eq!(response.status, 403);
        assert_eq!((read.error.as_deref(), read.scope), (Some("insufficient_scope"), scopes(needed)));
    }
    assert_eq!(gateway.news()[0], What::ChallengeIssued { reason: "insufficient_scope".to_owned() });
    // Whoever has no token yet is asked for all of it at once.
    let operation = gateway.asking(&[], MCP, "write");
    let Authenticated::Refused(response) = gateway.run(operation) else { panic!() };
    assert_eq!(challenge(&response).scope, scopes("tools write"));
}

//= spec/mcp-2026-07-28.md#idx-token-handling
//= type=test
//# End, resource and oauth scopes of a token MUST be checked before anything of the request is processed
//# (USE-06, R).
//= spec/oauth21.md#4-3-1
//= type=test
//# A refresh token MUST be good for its own client only, authenticated or named, and while the authorization
//# stands, of which the host is asked (REF-10, S).
#[test]
fn every_five_minutes_the_host_says_whether_the_principal_still_stands() {
    let mut gateway = Gateway::new();
    let token = gateway.sign_in(EDITOR).access;
    gateway.news();
    gateway.world.advance(5 * MINUTE);
    gateway.world.know(alice().with_role(Role::Admin));
    let asked =
        |gateway: &Gateway| gateway.world.trace().iter().filter(|line| line.contains("identify")).count();
    for _ in 0..3 {
        assert_eq!(gateway.authenticate(&token, MCP, "").unwrap().caller.role, Role::Admin);
        assert_eq!(asked(&gateway), 1);
    }
    gateway.world.advance(5 * MINUTE);
    gateway.world.identify_as(Whom::Principal(alice().principal), IdentityReply::Rejected);
    assert!(is_invalid_token(&gateway.authenticate(&token, MCP, "").unwrap_err()));
    let reason = Revoked::PrincipalGone;
    assert_eq!(gateway.news(), [What::SignedOut { client: EDITOR.to_owned(), reason }]);
    // Coming back does not bring the tokens back.
    gateway.world.know(alice());
    assert!(is_invalid_token(&gateway.authenticate(&token, MCP, "").unwrap_err()));
}

// atk:HDR-08
#[test]
fn nothing_that_goes_wrong_lets_anybody_in() {
    let fails = |prepare: &dyn Fn(&mut Gateway)| {
        let mut gateway = Gateway::new();
        let token = gateway.sign_in(EDITOR).access;
        gateway.world.advance(5 * MINUTE);
        prepare(&mut gateway);
        let before = gateway.world.store.rows().clone();
        let response = gateway.authenticate(&token, MCP, "").unwrap_err();
        assert_eq!(*gateway.world.store.rows(), before);
        response.status
    };
    let whom = || Whom::Principal(alice().principal);
    assert_eq!(fails(&|gateway| gateway.world.on_read(1)), 503);
    assert_eq!(fails(&|gateway| gateway.world.on_read(2)), 503);
    assert_eq!(fails(&|gateway| gateway.world.on_commit(1, CommitFault::Unavailable)), 503);
    assert_eq!(fails(&|gateway| gateway.world.identify_as(whom(), IdentityReply::Unavailable)), 503);
    // A rejection that cannot be committed is not said, and lets nobody in either.
    assert_eq!(
        fails(&|gateway| {
            gateway.world.identify_as(whom(), IdentityReply::Rejected);
            gateway.world.on_commit(1, CommitFault::Unavailable);
        }),
        503
    );
    // A record that does not open.
    let mut gateway = Gateway::new();
    let token = gateway.sign_in(EDITOR).access;
    gateway.world.store.overwrite(&family_key(&token), vec![1; 80]);
    assert_eq!(gateway.authenticate(&token, MCP, "").unwrap_err().status, 500);
    assert_eq!(gateway.refresh(EDITOR, &token.replace("gwa_", "gwr_")).status, 500);
}

#[test]
fn a_note_that_another_request_has_made_already_is_as_good_as_ones_own() {
    for fault in [CommitFault::Conflict, CommitFault::Unknown(Lands::Now), CommitFault::Unknown(Lands::Never)]
    {
        let mut gateway = Gateway::new();
        let token = gateway.sign_in(EDITOR).access;
        gateway.world.advance(5 * MINUTE);
        gateway.world.on_commit(1, fault);
        assert!(gateway.opens(&token));
    }
}

//= spec/mcp-2026-07-28.md#idx-token-handling
//= type=test
//# End, resource and oauth scopes of a token MUST be checked before anything of the request is processed
//# (USE-06, R).
#[test]
fn who_is_signed_out_while_the_host_is_asked_does_not_get_in() {
    use grantway_core::operation::Effect;
    use grantway_testing::Worker;
    let mut gateway = Gateway::new();
    let token = gateway.sign_in(EDITOR).access;
    gateway.world.advance(5 * MINUTE);
    let asking = gateway.asking(&[("Authorization", &format!("Bearer {token}"))], MCP, "");
    let mut worker = Worker::new(asking);
    assert!(worker.run_until(&mut gateway.world, |effect| matches!(effect, Effect::Identify { .. })));
    assert_eq!(gateway.send(post("/revoke", &[("token", &token), ("client_id", EDITOR)])).status, 200);
    let before = gateway.world.store.rows().clone();
    let outcome = worker.finish(&mut gateway.world);
    assert_eq!(*gateway.world.store.rows(), before);
    assert!(matches!(outcome.result.unwrap(), Authenticated::Refused(response) if response.status == 401));
}
