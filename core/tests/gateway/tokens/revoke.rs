//! Tokens that clients give back.

use grantway_core::downstream::response::Response;
use grantway_core::downstream::sign_ins::Revoked;
use grantway_core::event::What;
use grantway_core::store::Kind;

use super::setting::*;

fn revoke(gateway: &mut Gateway, client: &str, token: &str, more: &[(&str, &str)]) -> Response {
    let pairs = [[("token", token), ("client_id", client)].as_slice(), more].concat();
    gateway.send(post("/revoke", &pairs))
}

//= spec/rfc7009.md#2-1
//= type=test
//# The revocation of either token SHOULD end the access tokens and the refresh token of its sign-in, at once
//# (REV-05, S).
#[test]
fn whichever_token_is_given_back_the_whole_sign_in_ends_at_once() {
    for hint in [None, Some("access_token"), Some("refresh_token"), Some("saml2")] {
        for gives_refresh in [true, false] {
            let mut gateway = Gateway::new();
            let tokens = gateway.sign_in(EDITOR);
            gateway.news();
            let refresh = tokens.refresh.unwrap();
            let token = if gives_refresh { &refresh } else { &tokens.access };
            let hint: Vec<_> = hint.map(|hint| ("token_type_hint", hint)).into_iter().collect();
            let response = revoke(&mut gateway, EDITOR, token, &hint);
            assert_eq!((response.status, response.body.expose().len()), (200, 0));
            assert!(!gateway.opens(&tokens.access));
            assert_eq!(refusal(&gateway.refresh(EDITOR, &refresh)), is(400, "invalid_grant"));
            let event = gateway.events.remove(0);
            assert_eq!((event.actor, event.owner), (Some(alice().principal), Some(alice().principal)));
            let reason = Revoked::ByClient;
            assert_eq!(event.what, What::SignedOut { client: EDITOR.to_owned(), reason });
            for kind in [Kind::ByClient, Kind::ByPrincipal] {
                assert!(gateway.world.store.rows_of(kind).is_empty(), "{kind:?}");
            }
        }
    }
}

#[test]
fn a_refresh_token_that_has_a_successor_is_as_good_for_giving_back() {
    let mut gateway = Gateway::new();
    let old = gateway.sign_in(EDITOR).refresh.unwrap();
    let pair = tokens(&gateway.refresh(EDITOR, &old));
    assert_eq!(revoke(&mut gateway, EDITOR, &old, &[]).status, 200);
    assert!(!gateway.opens(&pair.access));
}

//= spec/rfc7009.md#2-2
//= type=test
//# A token that is unknown or has ended MUST be answered with 200, whatever the hint says, and one of a type
//# that is not revoked with `unsupported_token_type` (REV-04, S).
#[test]
fn a_token_that_is_not_known_or_not_good_any_more_is_as_good_as_revoked() {
    let mut gateway = Gateway::new();
    let tokens = gateway.sign_in(EDITOR);
    let refresh = tokens.refresh.unwrap();
    let before = gateway.world.store.rows().clone();
    let unknown = format!("{}{}", &refresh[..26], &tokens.access[26..]);
    for token in ["x", "gwa_", &unknown, "eyJhbGciOiJub25lIn0.e30."] {
        assert_eq!(revoke(&mut gateway, EDITOR, token, &[]).status, 200, "{token}");
    }
    gateway.world.advance(HOUR);
    assert_eq!(revoke(&mut gateway, EDITOR, &tokens.access, &[]).status, 200);
    assert_eq!(*gateway.world.store.rows(), before);
    assert_eq!(revoke(&mut gateway, EDITOR, &refresh, &[]).status, 200);
    assert_eq!(revoke(&mut gateway, EDITOR, &refresh, &[]).status, 200);
}

//= spec/rfc7009.md#2-1
//= type=test
//# Who revokes MUST be authenticated and be the client that the token was given to (REV-03, S).
#[test]
fn nobody_revokes_for_another_client_or_without_being_one() {
    let mut gateway = Gateway::new();
    let tokens = gateway.sign_in(EDITOR);
    let refresh = tokens.refresh.unwrap();
    let before = gateway.world.store.rows().clone();
    for token in [&tokens.access, &refresh] {
        assert_eq!(refusal(&revoke(&mut gateway, PUBLIC, token, &[])), is(400, "invalid_grant"));
        assert_eq!(refusal(&revoke(&mut gateway, "nobody", token, &[])), is(400, "invalid_client"));
        assert_eq!(refusal(&revoke(&mut gateway, CONFIDENTIAL, token, &[])), is(400, "invalid_client"));
        let request = post("/revoke", &[("token", token)]);
        assert_eq!(refusal(&gateway.send(request)), is(400, "invalid_request"));
    }
    let mut request = post("/revoke", &[("token", &refresh)]);
    request.headers.push(basic(CONFIDENTIAL, "wrong"));
    let response = gateway.send(request);
    assert_eq!(refusal(&response), is(401, "invalid_client"));
    assert!(response.header("WWW-Authenticate").is_some());
    assert_eq!(*gateway.world.store.rows(), before);
    assert!(gateway.opens(&tokens.access));
}

//= spec/rfc7009.md#2-2
//= type=test
//# A token that is unknown or has ended MUST be answered with 200, whatever the hint says, and one of a type
//# that is not revoked with `unsupported_token_type` (REV-04, S).
#[test]
fn a_code_is_of_no_type_that_is_revoked() {
    let mut gateway = Gateway::new();
    let code = gateway.code_for(EDITOR);
    let response = revoke(&mut gateway, EDITOR, &code, &[]);
    assert_eq!(refusal(&response), is(400, "unsupported_token_type"));
    assert_eq!(refusal(&revoke(&mut gateway, EDITOR, "", &[])), is(400, "invalid_request"));
}

#[test]
fn a_store_that_is_away_is_said_so_and_the_token_lives() {
    let mut gateway = Gateway::new();
    let tokens = gateway.sign_in(EDITOR);
    gateway.world.on_read(1);
    let response = revoke(&mut gateway, EDITOR, &tokens.access, &[]);
    assert_eq!(refusal(&response), is(503, "temporarily_unavailable"));
    assert!(gateway.opens(&tokens.access));
}
