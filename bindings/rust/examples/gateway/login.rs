//! The login that a host has already; here one chooses who one is. It tells Grantway who is in a browser, and who still stands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Form, Query, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use grantway::driver::{Identified, Identity};
use grantway::grantway_core::downstream::request::SignedIn;
use grantway::grantway_core::moment::UnixMillis;
use grantway::transport::BoxFuture;
use grantway::{Caller, Principal, Secret, TenantId};
use http::header::{COOKIE, ORIGIN, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

const USERS: [&str; 2] = ["alice", "bob"];

/// Who is signed in, by the value of their cookie.
pub(crate) struct Login {
    origin: String,
    sessions: Mutex<HashMap<String, SignedIn>>,
}

impl Login {
    pub(crate) fn new(origin: &str) -> Self {
        Self { origin: origin.to_owned(), sessions: Mutex::default() }
    }

    /// Whom the login knows in the browser that sent this request.
    pub(crate) fn of(&self, parts: &http::request::Parts) -> Option<SignedIn> {
        let cookies = parts.headers.get(COOKIE)?.to_str().ok()?;
        let session = cookies.split("; ").find_map(|pair| pair.strip_prefix("session="))?;
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).get(session).cloned()
    }
}

/// Whom the host knows, as often as the engine asks: a user who is taken from the list loses access within five minutes.
impl Identity for Login {
    fn by_key<'a>(&'a self, _: &'a TenantId, _: &'a Secret) -> BoxFuture<'a, Identified> {
        Box::pin(async { Identified::Rejected })
    }

    fn by_principal<'a>(&'a self, tenant: &'a TenantId, who: &'a Principal) -> BoxFuture<'a, Identified> {
        let caller = Caller::new(tenant.as_str(), who.clone()).ok().filter(|_| USERS.contains(&who.id()));
        Box::pin(async { caller.map_or(Identified::Rejected, Identified::Caller) })
    }
}

pub(crate) fn routes(login: Arc<Login>) -> Router {
    Router::new().route("/login", get(page).post(sign_in)).with_state(login)
}

#[derive(Deserialize)]
struct Asked {
    return_to: Option<String>,
}

async fn page(Query(asked): Query<Asked>) -> Html<String> {
    let return_to = asked.return_to.as_deref().filter(|path| is_own(path)).unwrap_or("/connections");
    let return_to = return_to.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let buttons = USERS.map(|user| format!("<button name=user value={user}>I am {user}</button> ")).concat();
    Html(format!(
        "<!doctype html><html lang=en><title>Sign in</title><h1>Who are you?</h1><form method=post>\
        <input type=hidden name=return_to value=\"{return_to}\">{buttons}</form></html>"
    ))
}

#[derive(Deserialize)]
struct Chosen {
    user: String,
    return_to: String,
}

async fn sign_in(
    State(login): State<Arc<Login>>,
    headers: HeaderMap,
    Form(chosen): Form<Chosen>,
) -> Response {
    // Nobody is signed in by a form of another site.
    let is_ours = headers.get(ORIGIN).is_none_or(|origin| origin.as_bytes() == login.origin.as_bytes());
    let caller = Principal::user(&chosen.user).and_then(|user| Caller::new(crate::TENANT, user));
    let (true, true, Ok(caller)) = (is_ours, USERS.contains(&chosen.user.as_str()), caller) else {
        return StatusCode::FORBIDDEN.into_response();
    };
    let mut random = [0; 16];
    if getrandom::fill(&mut random).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let session: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let cookie = format!("session={session}; Path=/; HttpOnly; SameSite=Lax");
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let auth_time = u64::try_from(since).ok().map(UnixMillis);
    let signed_in = SignedIn { caller, auth_time, acr: None };
    login.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(session, signed_in);
    let to = if is_own(&chosen.return_to) { &chosen.return_to } else { "/connections" };
    ([(SET_COOKIE, cookie)], Redirect::to(to)).into_response()
}

/// A path of this site, and not the name of another after two slashes.
fn is_own(path: &str) -> bool {
    path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\r', '\n', '\t'])
}
