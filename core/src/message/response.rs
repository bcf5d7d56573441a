//! Responses of the gateway as JSON.

use serde::{Serialize, Serializer};

use super::outcome::{FailureForm, Message};
use super::value::Exposed;
use crate::downstream::authenticate::{Authenticated, SignedInCaller};
use crate::downstream::pages::Page;
use crate::downstream::response::Response;
use crate::operation::Header;

impl Message for Response {
    fn form(&self) -> impl Serialize {
        ResponseForm::from(self)
    }
}

impl Message for Authenticated {
    fn form(&self) -> impl Serialize {
        #[derive(Serialize)]
        #[serde(rename_all = "snake_case")]
        enum AuthenticatedForm<'a> {
            Caller(&'a SignedInCaller),
            Refused(ResponseForm<'a>),
        }
        match self {
            Self::Caller(caller) => AuthenticatedForm::Caller(caller),
            Self::Refused(response) => AuthenticatedForm::Refused(ResponseForm::from(&**response)),
        }
    }
}

/// A response, whole: cookies, codes and tokens stand in the open.
#[derive(Serialize)]
struct ResponseForm<'a> {
    status: u16,
    #[serde(serialize_with = "pairs")]
    headers: &'a [Header],
    body: &'a str,
    page: Option<&'a Page>,
    failure: Option<FailureForm<'a>>,
}

impl<'a> From<&'a Response> for ResponseForm<'a> {
    fn from(response: &'a Response) -> Self {
        let Response { status, headers, body, page, failure } = response;
        Self {
            status: *status,
            headers,
            // INVARIANT: all that the gateway answers with is HTML or JSON, hence text.
            body: str::from_utf8(body.expose()).unwrap_or_default(),
            page: page.as_ref(),
            failure: failure.as_ref().map(FailureForm::from),
        }
    }
}

fn pairs<S: Serializer>(headers: &[Header], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(headers.iter().map(|header| (&header.name, Exposed(&header.value))))
}
