//! Each thing in the place of each other.

use grantway_core::secret::Secret;

use super::setting::*;

// atk:COD-09
#[test]
fn of_seven_kinds_only_the_right_one_is_accepted_in_each_place() {
    let mut gateway = Gateway::new();
    let (for_use, for_refresh, for_revoke) =
        (gateway.sign_in(PUBLIC), gateway.sign_in(PUBLIC), gateway.sign_in(PUBLIC));
    let code = gateway.code_for(PUBLIC);
    let others = [
        // A state, a consent session's id, a client secret, an id_token.
        "bG9jYXRvcg.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        CLIENT_SECRET,
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2ln",
    ];
    let refresh = for_refresh.refresh.clone().unwrap();
    let all: Vec<&str> = [for_use.access.as_str(), &refresh, &code].into_iter().chain(others).collect();
    let before = gateway.world.store.rows().clone();
    for (at, value) in all.iter().enumerate() {
        if at != 0 {
            assert!(!gateway.opens(value), "{value} as access token");
        }
        if at != 1 {
            assert_eq!(refusal(&gateway.refresh(PUBLIC, value)), is(400, "invalid_grant"), "{value}");
        }
        if at != 2 {
            assert_eq!(refusal(&gateway.redeem(PUBLIC, value, &[])), is(400, "invalid_grant"), "{value}");
        }
        if value != &CLIENT_SECRET {
            let mut request = Gateway::refresh_request(CONFIDENTIAL, &refresh, &[("client_secret", value)]);
            assert_eq!(refusal(&gateway.send(request.clone())), is(400, "invalid_client"), "{value}");
            request.headers.push(("Authorization".to_owned(), Secret::new(format!("Bearer {value}"))));
            assert_eq!(gateway.send(request).status, 400, "{value}");
        }
    }
    // The random part of one under the prefix of another.
    let dressed = |prefix: &str, value: &str| format!("{prefix}{}", &value[4..]);
    assert!(!gateway.opens(&dressed("gwa_", &refresh)));
    assert_eq!(
        refusal(&gateway.refresh(PUBLIC, &dressed("gwr_", &for_use.access))),
        is(400, "invalid_grant")
    );
    assert_eq!(*gateway.world.store.rows(), before);
    // The diagonal.
    assert!(gateway.opens(&for_use.access));
    tokens(&gateway.refresh(PUBLIC, &refresh));
    tokens(&gateway.redeem(PUBLIC, &code, &[]));
    let give_back = [("token", for_revoke.access.as_str()), ("client_id", PUBLIC)];
    assert_eq!(gateway.send(post("/revoke", &give_back)).status, 200);
}
