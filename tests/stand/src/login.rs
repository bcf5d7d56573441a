//! The stand's own login: a form that believes everything. Whoever is named there stands, but for `gone`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Form, Query, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use grantway::driver::{Identified, Identity};
use grantway::grantway_core::downstream::request::SignedIn;
use grantway::grantway_core::principal::PrincipalKind;
use grantway::transport::BoxFuture;
use grantway::{Caller, Principal, Secret, TenantId};
use grantway_testing::serve::now;
use http::header::{COOKIE, ORIGIN, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

/// The cookie of a session.
const SESSION: &str = "stand_session";
/// A cookie with the plain name, which the upstreams on other ports of this host get as well: they approve as that user.
pub(crate) const USER: &str = "stand_user";
/// API keys begin so; the rest is the name of the key's holder.
const KEY: &str = "stand-key-";

pub(crate) struct Login {
    origin: String,
    sessions: Mutex<HashMap<String, SignedIn>>,
}

impl Login {
    pub(crate) fn new(origin: &str) -> Self {
        Self { origin: origin.to_owned(), sessions: Mutex::default() }
    }

    /// Whom the login knows in the browser that sent these headers.
    pub(crate) fn of(&self, headers: &HeaderMap) -> Option<SignedIn> {
        let session = cookie(headers, SESSION)?;
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).get(session).cloned()
    }
}

/// The value of a cookie.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split("; "))
        .find_map(|pair| pair.split_once('=').filter(|(have, _)| *have == name).map(|(_, value)| value))
}

impl Identity for Login {
    fn by_key<'a>(&'a self, tenant: &'a TenantId, key: &'a Secret) -> BoxFuture<'a, Identified> {
        let holder = key.expose().strip_prefix(KEY).map(|id| Principal::new(PrincipalKind::Key, id));
        Box::pin(std::future::ready(match holder {
            Some(Ok(holder)) => standing(tenant, &holder),
            _ => Identified::Rejected,
        }))
    }

    fn by_principal<'a>(&'a self, tenant: &'a TenantId, who: &'a Principal) -> BoxFuture<'a, Identified> {
        Box::pin(std::future::ready(standing(tenant, who)))
    }
}

fn standing(tenant: &TenantId, who: &Principal) -> Identified {
    let caller = Caller::new(tenant.as_str(), who.clone()).ok().filter(|_| who.id() != "gone");
    caller.map_or(Identified::Rejected, Identified::Caller)
}

pub(crate) fn routes(login: Arc<Login>) -> Router {
    Router::new().route("/login", get(page).post(sign_in)).with_state(login)
}

#[derive(Deserialize)]
struct Asked {
    return_to: Option<String>,
}

async fn page(Query(asked): Query<Asked>) -> Html<String> {
    let return_to = asked.return_to.as_deref().filter(|path| is_own(path)).unwrap_or(HOME);
    let return_to = return_to.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    Html(format!(
        "<!doctype html><html lang=en><title>Stand</title><h1>Sign in to the stand</h1><form method=post action=/login>\
        <input type=hidden name=return_to value=\"{return_to}\"><label>User <input name=user value=alice></label> \
        <button>Sign in</button></form></html>"
    ))
}

#[derive(Deserialize)]
struct Chosen {
    user: String,
    return_to: Option<String>,
}

async fn sign_in(
    State(login): State<Arc<Login>>,
    headers: HeaderMap,
    Form(chosen): Form<Chosen>,
) -> Response {
    // Nobody is signed in by a form of another site.
    let is_ours = headers.get(ORIGIN).is_none_or(|origin| origin.as_bytes() == login.origin.as_bytes());
    let is_name = chosen.user.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let caller = Principal::user(&chosen.user).and_then(|user| Caller::new(crate::TENANT, user));
    let (true, true, Ok(caller)) = (is_ours, is_name, caller) else {
        return StatusCode::FORBIDDEN.into_response();
    };
    let Some(session) = crate::mcp::random() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let cookies = [
        (SET_COOKIE, format!("{SESSION}={session}; Path=/; HttpOnly; SameSite=Lax")),
        (SET_COOKIE, format!("{USER}={}; Path=/; HttpOnly; SameSite=Lax", chosen.user)),
    ];
    let signed_in = SignedIn { caller, auth_time: Some(now()), acr: None };
    login.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(session, signed_in);
    let to = chosen.return_to.as_deref().filter(|path| is_own(path)).unwrap_or(HOME);
    (axum::response::AppendHeaders(cookies), Redirect::to(to)).into_response()
}

const HOME: &str = "/connections";

/// A path of this site, and not the name of another after two slashes.
fn is_own(path: &str) -> bool {
    path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\r', '\n', '\t'])
}
