//! The authorization endpoint: the user's decision and the callback URL (RFC 6749 §4.1.1, RFC 7636, RFC 8707, RFC 9207).

use std::fmt::Write as _;

use url::Url;

use super::{CallbackIss, Endpoint, State};
use crate::message::{Parameters, Request, Response};

/// The authorization request is not acceptable; the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub String);

impl From<String> for Refused {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Code {
    pub(super) user: String,
    pub(super) client_id: String,
    pub(super) redirect_uri: String,
    pub(super) challenge: String,
    pub(super) resource: Option<String>,
    pub(super) scopes: Vec<String>,
    /// The family it was redeemed for.
    pub(super) family: Option<usize>,
}

pub(super) enum Decision {
    Approve(String),
    Fail(String),
}

impl State {
    /// The callback URL to which the browser is sent.
    pub(super) fn authorize(&mut self, url: &str, decision: &Decision) -> Result<String, Refused> {
        let endpoint = self.endpoint(Endpoint::Authorize);
        let (at, query) = url.split_once('?').unwrap_or((url, ""));
        if at != endpoint {
            return Err(Refused(format!("`{at}` is not the authorization endpoint")));
        }
        let asked = Parameters::parse(query.as_bytes())?;
        let redirect_uri = asked.need("redirect_uri")?.to_owned();
        let code = self.check(&asked, &redirect_uri)?;
        let state = asked.get("state").map(str::to_owned);
        self.authorizations.push(asked);

        let mut answer = Vec::new();
        match decision {
            Decision::Approve(user) => {
                let text = self.mint("code");
                self.codes.insert(text.clone(), Code { user: user.clone(), ..code });
                answer.push(("code", text));
            }
            Decision::Fail(error) => answer.push(("error", error.clone())),
        }
        answer.extend(state.map(|state| ("state", state)));
        match &self.behaviour.callback_iss {
            CallbackIss::Own => answer.push(("iss", self.issuer.clone())),
            CallbackIss::Other(text) => answer.push(("iss", text.clone())),
            CallbackIss::Absent => {}
        }
        let mut callback = Url::parse(&redirect_uri).map_err(|error| error.to_string())?;
        callback.query_pairs_mut().extend_pairs(answer);
        Ok(callback.into())
    }

    /// What a code for this request would be good for; its user is not known yet.
    fn check(&self, asked: &Parameters, redirect_uri: &str) -> Result<Code, Refused> {
        let client_id = asked.need("client_id")?;
        if !self.client(client_id)?.may_redirect_to(redirect_uri) {
            return Err(Refused(format!("`{redirect_uri}` is not registered")));
        }
        if asked.need("response_type")? != "code" {
            return Err(Refused("`response_type` is not `code`".into()));
        }
        if asked.need("code_challenge_method")? != "S256" {
            return Err(Refused("`code_challenge_method` is not `S256`".into()));
        }
        let challenge = asked.need("code_challenge")?;
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if challenge.len() != 43 || !challenge.bytes().all(unreserved) {
            return Err(Refused(format!("`{challenge}` is no S256 challenge")));
        }
        let resource = asked.get("resource");
        if resource.is_none() && self.behaviour.requires_resource {
            return Err(Refused("no `resource`".into()));
        }
        if resource.is_some_and(|r| Url::parse(r).is_err() || r.contains('#')) {
            return Err(Refused("`resource` is not an absolute URI without fragment".into()));
        }
        let asked_scopes =
            asked.get("scope").unwrap_or_default().split(' ').filter(|scope| !scope.is_empty());
        let grantable = |scope: &&str| {
            self.behaviour.grantable_scopes.as_ref().is_none_or(|all| all.iter().any(|one| one == scope))
        };
        Ok(Code {
            user: String::new(),
            client_id: client_id.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            challenge: challenge.to_owned(),
            resource: resource.map(str::to_owned),
            scopes: asked_scopes.filter(grantable).map(str::to_owned).collect(),
            family: None,
        })
    }

    /// The endpoint as a browser sees it: it approves at once as who is signed in, or asks by a page.
    pub(super) fn authorize_in_browser(&mut self, request: &Request) -> Response {
        let form = if request.method == "POST" { request.form() } else { Ok(Parameters::default()) };
        let decision = match (form, &self.behaviour.signed_in) {
            (Err(reason), _) => return error_page(&reason),
            (Ok(form), _) if form.get("deny").is_some() => Decision::Fail("access_denied".into()),
            (Ok(form), None) => match form.need("user") {
                Ok(user) => Decision::Approve(user.to_owned()),
                Err(_) => return Response::html(200, PAGE.replace("NAME", &escaped(&self.behaviour.name))),
            },
            (Ok(_), Some(user)) => Decision::Approve(user.clone()),
        };
        match self.authorize(&request.url, &decision) {
            Ok(callback) => Response::redirect(if request.method == "POST" { 303 } else { 302 }, &callback),
            Err(Refused(reason)) => error_page(&reason),
        }
    }
}

fn error_page(reason: &str) -> Response {
    Response::html(400, format!("<!doctype html><title>Refused</title><p>{}", escaped(reason)))
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut page, character| {
        let _ = match character {
            '<' | '>' | '&' | '"' | '\'' => write!(page, "&#{};", u32::from(character)),
            other => write!(page, "{other}"),
        };
        page
    })
}

/// The form goes back to the same URL, query included. `NAME` is the issuer's.
const PAGE: &str = "<!doctype html><html lang=en><meta name=viewport content='width=device-width'><title>NAME</title>\
    <style>body{font:1.05rem/1.6 system-ui;max-width:26rem;margin:12vh auto;padding:0 1rem}\
    input,button{font:inherit;padding:.35rem .9rem;margin:.2rem .3rem .2rem 0}</style>\
    <h1>NAME</h1><p>A gateway wants to use your account here.</p><form method=post>\
    <p><label>Your account <input name=user value=alice autofocus></label></p>\
    <button>Allow</button><button name=deny value=1>Deny</button></form></html>";
