//! Whom the host does not know any more has no access.

use grantway::driver::Identified;

use crate::stand::{Stand, bearer, user};

#[test]
fn the_host_is_asked_again_and_its_answer_counts() {
    let stand = Stand::with(|config| config.limits.identity_max_age_ms = 0);
    let (_, tokens) = stand.signed_in(&mut stand.browser_of("alice"));
    let answers = |said: Identified| {
        stand.known.principals.lock().unwrap().insert("alice".to_owned(), said);
        stand.call(Some(&bearer(&tokens)))
    };
    assert_eq!(answers(Identified::Caller(user("alice"))).status, 200);
    let down = answers(Identified::Unavailable);
    assert_eq!((down.status, down.header("retry-after").is_some()), (503, true));
    // Another principal than the one asked about is no answer.
    assert_ne!(answers(Identified::Caller(user("bob"))).status, 200);
    let stand = Stand::with(|config| config.limits.identity_max_age_ms = 0);
    let (_, tokens) = stand.signed_in(&mut stand.browser_of("alice"));
    let answers = |said: Identified| {
        stand.known.principals.lock().unwrap().insert("alice".to_owned(), said);
        stand.call(Some(&bearer(&tokens)))
    };
    assert_eq!(answers(Identified::Rejected).status, 401);
    // Said once, it stays so.
    assert_eq!(answers(Identified::Caller(user("alice"))).status, 401);
}
