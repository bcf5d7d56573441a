//! Clients sign in, by each way that people can say who they are.

use grantway::grantway_core::downstream::config::IdentityMode;
use grantway::grantway_core::downstream::sign_ins::SignInRevoked;
use grantway::grantway_core::principal::PrincipalKind;
use grantway::{Caller, Principal, Resolution};
use grantway_testing::serve::Browser;

use crate::stand::{REDIRECT, Stand, bearer, made_up, user};

//= spec/mcp-2026-07-28.md#idx-token-handling
//= type=test
//# No other token than one of the gateway's own MUST be accepted, and none is passed on (USE-08, R).
#[test]
fn a_client_calls_as_its_person_and_its_token_stays_at_the_door() {
    let stand = Stand::new();
    let (client, tokens) = stand.signed_in(&mut stand.browser_of("alice"));
    let answer = stand.call(Some(&bearer(&tokens)));
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = answer.json();
    assert_eq!(seen["caller"]["principal"]["id"], "alice");
    assert_eq!(seen["who"]["caller"], seen["caller"]);
    assert_eq!(seen["who"]["client_id"], client.id.as_str());
    let headers: Vec<_> = seen["headers"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert!(headers.contains(&"x-mine") && !headers.contains(&"authorization"), "{headers:?}");
    let token = tokens["access_token"].as_str().unwrap();
    assert!(!answer.body.contains(token), "the token got through");
    assert_eq!(stand.reached(), 1);
}

#[test]
fn a_request_without_a_good_token_ends_at_the_layer() {
    let stand = Stand::new();
    let (_, tokens) = stand.signed_in(&mut stand.browser_of("alice"));
    let refresh = format!("Bearer {}", tokens["refresh_token"].as_str().unwrap());
    let made_up = format!("Bearer {}", made_up());
    for authorization in [None, Some("Bearer stray"), Some("Basic YTpi"), Some(&refresh), Some(&made_up)] {
        let answer = stand.call(authorization);
        assert_eq!(answer.status, 401, "{authorization:?}");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.contains("/.well-known/oauth-protected-resource/mcp"), "{challenge}");
    }
    // A token in another place is none.
    let url = stand.url(&format!("/mcp?access_token={}", tokens["access_token"].as_str().unwrap()));
    assert_eq!(Browser::default().send("POST", &url, &[], "").unwrap().status, 401);
    assert_eq!(stand.reached(), 0);
}

#[test]
fn a_key_is_whose_the_host_says() {
    let stand = Stand::with(|config| {
        config.gateway.as_mut().unwrap().identity = vec![IdentityMode::Key];
    });
    let robot = Caller::new("acme", Principal::new(PrincipalKind::Key, "robot").unwrap()).unwrap();
    stand.known.keys.lock().unwrap().insert("sk-good".to_owned(), robot);
    let client = stand.client();
    let mut browser = Browser::default();
    let page = browser.open(&client.authorization_url(), REDIRECT).unwrap();
    let again = browser.press(&page, "Continue with this key", &[("key", "sk-wrong")], REDIRECT).unwrap();
    assert!(again.link("Continue to approval").is_none(), "{}", again.text());
    assert!(!again.body.contains("sk-wrong"));
    let page = browser.press(&again, "Continue with this key", &[("key", "sk-good")], REDIRECT).unwrap();
    let tokens = client.redeem(&client.approve(&mut browser, &page));
    let seen = stand.call(Some(&bearer(&tokens))).json();
    assert_eq!(seen["caller"]["principal"]["kind"], "key");
    assert_eq!(seen["caller"]["principal"]["id"], "robot");
}

#[test]
fn what_is_connected_on_the_way_is_used_and_what_a_page_disconnects_is_not_used_from_a_cache() {
    let stand = Stand::new();
    let mut browser = stand.browser_of("alice");
    let client = stand.client();
    let page = browser.open(&client.authorization_url(), REDIRECT).unwrap();
    let page = browser.press(&page, "Connect", &[("connector", "notes")], REDIRECT).unwrap();
    let page = browser.press(&page, "Allow", &[("user", "alice")], REDIRECT).unwrap();
    let resolved = || stand.runtime.block_on(stand.gw.resolve(&user("alice"), "notes")).unwrap();
    assert!(matches!(resolved(), Resolution::Challenge(_)), "a staged grant is used");
    client.redeem(&client.approve(&mut browser, &page));
    assert!(matches!(resolved(), Resolution::Ready(_)));
    let page = browser.open(&stand.url("/connections"), "").unwrap();
    browser.press(&page, "Disconnect", &[("connector", "notes")], "").unwrap();
    assert!(matches!(resolved(), Resolution::Challenge(_)), "a kept resolution has outlived the connection");
}

#[test]
fn sign_ins_are_listed_and_end_at_once() {
    let stand = Stand::new();
    let (client, tokens) = stand.signed_in(&mut stand.browser_of("alice"));
    let alice = user("alice");
    let listed = stand.runtime.block_on(stand.gw.list_sign_ins(&alice, None, None)).unwrap();
    let [sign_in] = listed.items.as_slice() else { panic!("{listed:?}") };
    assert_eq!((sign_in.client_id.as_str(), &sign_in.owner), (client.id.as_str(), &alice.principal));
    let revoke =
        |caller: &Caller| stand.runtime.block_on(stand.gw.revoke_sign_in(caller, sign_in.id)).unwrap();
    assert_eq!(revoke(&user("bob")), SignInRevoked::Unknown);
    assert_eq!(stand.call(Some(&bearer(&tokens))).status, 200);
    assert_eq!(revoke(&alice), SignInRevoked::Revoked);
    assert_eq!(stand.call(Some(&bearer(&tokens))).status, 401);
}
