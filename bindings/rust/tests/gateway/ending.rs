//! Whom the host does not know any more has no access.

use grantway::driver::Identified;
use grantway_testing::serve::Answer;

use crate::stand::{Stand, bearer, user};

/// A sign-in of alice's for which the host is asked at each request, and what a request is answered when the host says this.
fn asked(answers: impl FnOnce(&dyn Fn(Identified) -> Answer)) {
    let stand = Stand::with(|config| config.limits.identity_max_age_ms = 0);
    let (_, tokens) = stand.signed_in(&mut stand.browser_of("alice"));
    answers(&|said| {
        stand.known.principals.lock().unwrap().insert("alice".to_owned(), said);
        stand.call(Some(&bearer(&tokens)))
    });
}

#[test]
fn an_answer_that_cannot_be_given_is_neither_a_rejection_nor_its_contrary() {
    asked(|answer| {
        let down = answer(Identified::Unavailable);
        assert_eq!((down.status, down.header("retry-after").is_some()), (503, true));
        assert_eq!(answer(Identified::Caller(user("alice"))).status, 200);
        // About somebody else than was asked.
        assert_ne!(answer(Identified::Caller(user("bob"))).status, 200);
    });
}

#[test]
fn whom_the_host_rejects_is_out_for_good() {
    asked(|answer| {
        assert_eq!(answer(Identified::Rejected).status, 401);
        assert_eq!(answer(Identified::Caller(user("alice"))).status, 401);
    });
}
