//! The headers of one request, from a resolution as JSON: where a credential may go is decided here, not in a binding.

use serde::{Deserialize, Serialize};

use super::error::{MessageError, read};
use super::outcome::FailureForm;
use super::value::{Exposed, Object, write};
use crate::connector::Target;
use crate::engine::Engine;
use crate::error::{Code, Failure};
use crate::moment::Moment;
use crate::protocol::url::HttpUrl;
use crate::secret::{Secret, SecretBytes};
use crate::upstream::ready::covers;

/// What to set on one request: `{"resolution":…,"method":"POST","url":"…"}`, with what a resolution's `ready` (or a rejection's
/// `retry`) was, as it came. The answer is `{"ok":[["Authorization","Bearer …"]]}`, or `{"failure":…}` with
/// `config.url_not_covered` for a URL that the credential is not for. Ask anew for each request, redirects included.
///
/// `moment` and `method` are there for proofs bound to a key, which differ for every request.
///
/// # Errors
/// The member that is missing, unknown, given twice or not of its form.
pub fn headers(engine: &Engine, moment: &Moment, json: &[u8]) -> Result<SecretBytes, MessageError> {
    let Object(Request { resolution: Object(resolution), method, url }) = read("", json)?;
    // Bearer values depend on neither.
    let _ = (moment, method);
    let url_of = |member, text: &str| {
        HttpUrl::parse(text, engine.plain_http()).map_err(|invalid| MessageError::new(member, invalid.0))
    };
    let server = resolution.server_url.map(|text| url_of("resolution.server_url", &text)).transpose()?;
    let audience = resolution.audience.map(|text| url_of("resolution.audience", &text)).transpose()?;
    // USE-03, atk:AUD-06
    let covered = match &server {
        Some(server) => covers(server, audience.as_ref(), engine.plain_http(), &url),
        None => Ok(false),
    };
    Ok(match covered {
        Ok(true) => {
            let headers =
                resolution.injections.iter().filter_map(|Object(injection)| match &injection.target {
                    Target::Header(name) => Some((name.as_str(), Exposed(&injection.value))),
                    Target::Env(_) => None,
                });
            write(&Answer::Ok(headers.collect()))
        }
        Ok(false) => write(&Answer::Failure(FailureForm::from(&Failure::new(Code::UrlNotCovered)))),
        Err(failure) => write(&Answer::Failure(FailureForm::from(&failure))),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    resolution: Object<ResolutionForm>,
    method: String,
    url: String,
}

/// What of a resolution matters here; the rest is as it came.
#[derive(Deserialize)]
struct ResolutionForm {
    injections: Vec<Object<InjectionForm>>,
    server_url: Option<String>,
    audience: Option<String>,
}

#[derive(Deserialize)]
struct InjectionForm {
    target: Target,
    value: Secret,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer<'a> {
    Ok(Vec<(&'a str, Exposed<'a>)>),
    Failure(FailureForm<'a>),
}
