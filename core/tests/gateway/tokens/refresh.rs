//! A refresh token for the next pair.

use grantway_core::downstream::sign_ins::Revoked;
use grantway_core::event::What;
use grantway_core::operation::{IdentityReply, Whom};
use grantway_core::principal::{Role, TeamRole};
use grantway_core::store::Kind;
use grantway_testing::{CommitFault, Lands, Schedule, Stepper, Worker, interleave};
use serde_json::json;

use super::setting::*;

fn invalid_grant() -> (u16, String) {
    is(400, "invalid_grant")
}

/// A sign-in, and its refresh token.
fn signed_in(gateway: &mut Gateway) -> (Tokens, String) {
    let tokens = gateway.sign_in(EDITOR);
    gateway.news();
    let refresh = tokens.refresh.clone().unwrap();
    (tokens, refresh)
}

fn next(gateway: &mut Gateway, token: &str) -> Tokens {
    tokens(&gateway.refresh(EDITOR, token))
}

fn asked(gateway: &Gateway) -> usize {
    gateway.world.trace().iter().filter(|line| line.contains("identify")).count()
}

//= spec/mcp-2026-07-28.md#sec-token-theft
//= type=test
//# The refresh token of a public client MUST be replaced at each use (REF-08, S).
//= spec/oauth21.md#4-3-3
//= type=test
//# A new refresh token MUST keep the scopes, be impossible to guess, and SHOULD end when nobody uses it
//# (REF-11, S).
#[test]
fn each_refresh_gives_another_pair_of_the_same_scopes() {
    let mut gateway = Gateway::new();
    let (first, refresh) = signed_in(&mut gateway);
    gateway.world.advance(HOUR);
    assert!(!gateway.opens(&first.access));
    let second = next(&mut gateway, &refresh);
    assert_ne!((&second.access, &second.refresh), (&first.access, &first.refresh));
    assert_eq!((second.expires_in, second.scope.as_deref()), (3600, Some("read tools")));
    assert!(gateway.opens(&second.access));
    assert_eq!(gateway.news(), [What::TokensRefreshed { client: EDITOR.to_owned() }]);
    let mut token = second.refresh.unwrap();
    for _ in 0..20 {
        gateway.world.advance(29 * DAY);
        token = next(&mut gateway, &token).refresh.unwrap();
    }
}

//= spec/oauth21.md#4-3-1
//= type=test
//# A refresh token that was used before MUST end its family with all tokens of it, as far back as sixteen
//# parents (REF-09, S).
// atk:TOK-03
#[test]
fn a_token_used_again_within_the_grace_gives_the_same_pair_and_afterwards_ends_everything() {
    let mut gateway = Gateway::new();
    let (_, refresh) = signed_in(&mut gateway);
    let pair = next(&mut gateway, &refresh);
    gateway.news();
    for after in [SECOND, 28 * SECOND] {
        gateway.world.advance(after);
        let again = next(&mut gateway, &refresh);
        assert_eq!((&again.access, &again.refresh), (&pair.access, &pair.refresh));
    }
    assert!(gateway.opens(&pair.access) && gateway.news().is_empty());
    gateway.world.advance(SECOND);
    assert_eq!(refusal(&gateway.refresh(EDITOR, &refresh)), invalid_grant());
    assert!(!gateway.opens(&pair.access));
    assert_eq!(refusal(&gateway.refresh(EDITOR, &pair.refresh.unwrap())), invalid_grant());
    let client = EDITOR.to_owned();
    let (seen, out) =
        (What::ReplaySeen { client: client.clone() }, What::SignedOut { client, reason: Revoked::Replayed });
    assert_eq!(gateway.news(), [seen, out]);
}

//= spec/oauth21.md#4-3-1
//= type=test
//# A refresh token that was used before MUST end its family with all tokens of it, as far back as sixteen
//# parents (REF-09, S).
// atk:TOK-03
#[test]
fn a_grandparent_ends_everything_at_once_up_to_the_sixteenth() {
    for (generations, is_known) in [(2, true), (16, true), (17, false)] {
        let mut gateway = Gateway::new();
        let (_, oldest) = signed_in(&mut gateway);
        let mut last = next(&mut gateway, &oldest);
        for _ in 1..generations {
            let token = last.refresh.clone().unwrap();
            last = next(&mut gateway, &token);
        }
        assert_eq!(refusal(&gateway.refresh(EDITOR, &oldest)), invalid_grant());
        assert_eq!(gateway.opens(&last.access), !is_known, "{generations}");
    }
}

//= spec/oauth21.md#4-3-1
//= type=test
//# A refresh token MUST be good for its own client only, authenticated or named, and while the authorization
//# stands, of which the host is asked (REF-10, S).
// atk:TOK-07, atk:TOK-03
#[test]
fn another_client_gets_nothing_and_changes_nothing() {
    let mut gateway = Gateway::new();
    let (_, refresh) = signed_in(&mut gateway);
    let pair = next(&mut gateway, &refresh);
    let before = gateway.world.store.rows().clone();
    for thief in [PUBLIC, "https://evil.example/client.json"] {
        for token in [&refresh, pair.refresh.as_ref().unwrap()] {
            assert_eq!(refusal(&gateway.refresh(thief, token)), invalid_grant());
        }
    }
    // One that was never given, of the right family, is no more than a guess.
    let guess = format!("{}{}", &refresh[..26], &pair.access[26..]);
    assert_eq!(refusal(&gateway.refresh(EDITOR, &guess)), invalid_grant());
    assert_eq!(*gateway.world.store.rows(), before);
    next(&mut gateway, &pair.refresh.unwrap());
}

//= spec/oauth21.md#4-3-1
//= type=test
//# A refresh token MUST be good for its own client only, authenticated or named, and while the authorization
//# stands, of which the host is asked (REF-10, S).
#[test]
fn a_confidential_client_proves_itself_at_each_refresh() {
    let mut gateway = Gateway::new();
    let code = gateway.code_for(CONFIDENTIAL);
    let secret = [("client_secret", CLIENT_SECRET)];
    let token = tokens(&gateway.redeem(CONFIDENTIAL, &code, &secret)).refresh.unwrap();
    let before = gateway.world.store.rows().clone();
    assert_eq!(refusal(&gateway.refresh(CONFIDENTIAL, &token)), is(400, "invalid_client"));
    let wrong = Gateway::refresh_request(CONFIDENTIAL, &token, &[("client_secret", "guess")]);
    assert_eq!(refusal(&gateway.send(wrong)), is(400, "invalid_client"));
    assert_eq!(*gateway.world.store.rows(), before);
    tokens(&gateway.send(Gateway::refresh_request(CONFIDENTIAL, &token, &secret)));
}

//= spec/oauth21.md#4-3-1
//= type=test
//# A refresh token MUST be good for its own client only, authenticated or named, and while the authorization
//# stands, of which the host is asked (REF-10, S).
#[test]
fn the_host_is_asked_whether_the_principal_still_stands_unless_it_has_just_said_so() {
    let mut gateway = Gateway::new();
    let (_, refresh) = signed_in(&mut gateway);
    let refresh = next(&mut gateway, &refresh).refresh.unwrap();
    assert_eq!(asked(&gateway), 0);
    gateway.world.advance(5 * MINUTE);
    gateway.world.know(alice().with_role(Role::Manager).with_team("red", TeamRole::Member).unwrap());
    let pair = next(&mut gateway, &refresh);
    assert_eq!(asked(&gateway), 1);
    let caller = gateway.authenticate(&pair.access, MCP, "").unwrap().caller;
    assert_eq!((caller.role, caller.teams.len()), (Role::Manager, 1));
    assert_eq!(asked(&gateway), 1);
}

//= spec/oauth21.md#4-3-1
//= type=test
//# A refresh token MUST be good for its own client only, authenticated or named, and while the authorization
//# stands, of which the host is asked (REF-10, S).
#[test]
fn who_does_not_stand_any_more_is_signed_out_and_who_cannot_be_asked_about_is_not() {
    let mut gateway = Gateway::new();
    let (first, refresh) = signed_in(&mut gateway);
    gateway.world.advance(5 * MINUTE);
    let whom = Whom::Principal(alice().principal);
    gateway.world.identify_as(whom.clone(), IdentityReply::Unavailable);
    let before = gateway.world.store.rows().clone();
    let response = gateway.refresh(EDITOR, &refresh);
    assert_eq!(refusal(&response), is(503, "temporarily_unavailable"));
    assert!(response.header("Retry-After").is_some());
    assert_eq!(*gateway.world.store.rows(), before);
    gateway.world.identify_as(whom, IdentityReply::Rejected);
    assert_eq!(refusal(&gateway.refresh(EDITOR, &refresh)), invalid_grant());
    let reason = Revoked::PrincipalGone;
    assert_eq!(gateway.news(), [What::SignedOut { client: EDITOR.to_owned(), reason }]);
    gateway.world.know(alice());
    assert!(!gateway.opens(&first.access));
    assert_eq!(refusal(&gateway.refresh(EDITOR, &refresh)), invalid_grant());
}

#[test]
fn nobody_is_asked_about_a_session_and_its_tokens_end_with_it() {
    let mut gateway = Gateway::new();
    let code = gateway.code_for(EDITOR);
    gateway.edit(&Gateway::code_key(&code), |code| {
        code["caller"]["principal"] = json!({ "kind": "session", "id": "s-1" });
        code["caller"]["assurance"] = json!("ephemeral");
    });
    let mut last = tokens(&gateway.redeem(EDITOR, &code, &[]));
    for _ in 0..23 {
        gateway.world.advance(HOUR);
        last = next(&mut gateway, &last.refresh.unwrap());
    }
    assert_eq!(asked(&gateway), 0);
    gateway.world.advance(HOUR);
    assert!(!gateway.opens(&last.access));
    assert_eq!(refusal(&gateway.refresh(EDITOR, &last.refresh.unwrap())), invalid_grant());
}

//= spec/rfc8707.md#2-2
//= type=test
//# A `resource` at the token endpoint MUST be the one that was authorized, to which the token is restricted,
//# or be refused as `invalid_target` (TOK-19, S).
// atk:AUD-05, atk:AUD-08
#[test]
fn no_refresh_widens_scopes_or_moves_to_another_resource() {
    let mut gateway = Gateway::new();
    let (_, refresh) = signed_in(&mut gateway);
    let before = gateway.world.store.rows().clone();
    for (more, error) in [
        (("scope", "read tools admin"), "invalid_scope"),
        (("scope", "Read"), "invalid_scope"),
        (("scope", "a\"b"), "invalid_scope"),
        (("resource", OTHER_MCP), "invalid_target"),
        (("resource", "https://gw.good/mcp/"), "invalid_target"),
    ] {
        let response = gateway.send(Gateway::refresh_request(EDITOR, &refresh, &[more]));
        assert_eq!(refusal(&response), is(400, error), "{more:?}");
    }
    assert_eq!(*gateway.world.store.rows(), before);
    let narrower = [("scope", "read"), ("resource", MCP)];
    let pair = tokens(&gateway.send(Gateway::refresh_request(EDITOR, &refresh, &narrower)));
    // The response says what the tokens really have.
    assert_eq!(pair.scope.as_deref(), Some("read tools"));
    // Within the grace it is no different.
    let response = gateway.send(Gateway::refresh_request(EDITOR, &refresh, &[("scope", "admin")]));
    assert_eq!(refusal(&response), is(400, "invalid_scope"));
    assert!(gateway.opens(&pair.access));
}

//= spec/oauth21.md#4-3-3
//= type=test
//# A new refresh token MUST keep the scopes, be impossible to guess, and SHOULD end when nobody uses it
//# (REF-11, S).
// atk:TOK-13
#[test]
fn a_refresh_token_that_nobody_uses_for_thirty_days_is_gone_for_good() {
    let mut gateway = Gateway::new();
    let (tokens, refresh) = signed_in(&mut gateway);
    let start = gateway.world.now();
    gateway.world.advance(30 * DAY);
    assert_eq!(refusal(&gateway.refresh(EDITOR, &refresh)), invalid_grant());
    gateway.world.set_clock(start);
    assert_eq!(refusal(&gateway.refresh(EDITOR, &refresh)), invalid_grant());
    assert!(!gateway.opens(&tokens.access));
    for kind in [Kind::Family, Kind::ByClient, Kind::ByPrincipal] {
        assert!(gateway.world.store.rows_of(kind).is_empty(), "{kind:?}");
    }
}

//= spec/mcp-2026-07-28.md#sec-token-theft
//= type=test
//# The refresh token of a public client MUST be replaced at each use (REF-08, S).
// atk:TOK-02
#[test]
fn refreshes_at_once_lead_to_one_successor() {
    for seed in 1..=40 {
        let mut gateway = Gateway::new();
        gateway.world = grantway_testing::World::seeded(seed);
        gateway.world.know(alice());
        let (_, refresh) = signed_in(&mut gateway);
        gateway.world.advance(HOUR);
        let mut workers: Vec<_> = (0..4)
            .map(|_| Worker::new(gateway.operation(Gateway::refresh_request(EDITOR, &refresh, &[]))))
            .collect();
        let mut steppers: Vec<&mut dyn Stepper> =
            workers.iter_mut().map(|worker| worker as &mut dyn Stepper).collect();
        interleave(&mut gateway.world, &mut steppers, Schedule::Random);
        let pairs: Vec<_> =
            workers.iter_mut().map(|worker| tokens(&worker.outcome().unwrap().result.unwrap())).collect();
        assert!(pairs.windows(2).all(|two| two[0].refresh == two[1].refresh), "seed {seed}");
        assert!(gateway.opens(&pairs[0].access));
        next(&mut gateway, pairs[0].refresh.as_ref().unwrap());
    }
}

// atk:TOK-04
#[test]
fn whatever_the_store_says_of_a_commit_the_old_token_never_starts_a_second_line() {
    for fault in [
        CommitFault::Unknown(Lands::Now),
        CommitFault::Unknown(Lands::Never),
        CommitFault::Unknown(Lands::After(1)),
        CommitFault::Conflict,
        CommitFault::Unavailable,
    ] {
        let mut gateway = Gateway::new();
        let (_, refresh) = signed_in(&mut gateway);
        gateway.world.on_commit(1, fault);
        let first = gateway.refresh(EDITOR, &refresh);
        let pair = next(&mut gateway, &refresh);
        if first.status == 200 {
            let first = tokens(&first);
            assert_eq!((first.access, first.refresh), (pair.access.clone(), pair.refresh.clone()));
        }
        gateway.world.advance(31 * SECOND);
        assert_eq!(refusal(&gateway.refresh(EDITOR, &refresh)), invalid_grant());
        assert!(!gateway.opens(&pair.access));
    }
}

// atk:TOK-04
#[test]
fn a_process_that_dies_at_any_step_leaves_one_line() {
    for step in 1..=3 {
        let mut gateway = Gateway::new();
        let (_, refresh) = signed_in(&mut gateway);
        gateway.world.crash_after(step);
        let operation = gateway.operation(Gateway::refresh_request(EDITOR, &refresh, &[]));
        let _ = grantway_testing::drive_or_crash(&mut gateway.world, operation);
        let pair = next(&mut gateway, &refresh);
        let after = next(&mut gateway, &pair.refresh.unwrap());
        assert_eq!(refusal(&gateway.refresh(EDITOR, &refresh)), invalid_grant());
        assert!(!gateway.opens(&after.access), "step {step}");
    }
}

#[test]
fn the_store_finds_a_family_in_the_sweep_by_one_entry_however_often_it_is_refreshed() {
    let mut gateway = Gateway::new();
    let (_, mut refresh) = signed_in(&mut gateway);
    let before = gateway.world.store.rows_of(Kind::Expiry).len();
    for _ in 0..5 {
        gateway.world.advance(HOUR);
        refresh = next(&mut gateway, &refresh).refresh.unwrap();
    }
    assert_eq!(gateway.world.store.rows_of(Kind::Expiry).len(), before);
}
