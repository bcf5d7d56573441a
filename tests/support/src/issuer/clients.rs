//! Clients: dynamic registration (RFC 7591), and authentication at the token endpoint (RFC 6749 §2.3).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::{AuthMethod, OAuthError, State};
use crate::message::{Parameters, Request, Response};

#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) secret: Option<String>,
    pub(super) method: AuthMethod,
    pub(super) redirect_uris: Vec<String>,
}

impl Client {
    /// Equal to a registered one; on a loopback address the port may differ (RFC 8252 §7.3).
    pub(super) fn may_redirect_to(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|registered| {
            registered == uri
                || without_loopback_port(registered).is_some_and(|r| Some(r) == without_loopback_port(uri))
        })
    }
}

fn without_loopback_port(uri: &str) -> Option<String> {
    let mut url = url::Url::parse(uri).ok()?;
    let loopback = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    (url.scheme() == "http" && loopback).then_some(())?;
    url.set_port(None).ok()?;
    Some(url.into())
}

impl State {
    pub(super) fn register(&mut self, request: &Request) -> Response {
        let asked = request.json();
        self.registrations.push(asked.clone());
        match self.registered(&asked) {
            Ok(answer) => Response::json(201, &self.behaviour.registration_edits.apply(answer)),
            Err(error) => error.response(),
        }
    }

    fn registered(&mut self, asked: &Value) -> Result<Value, OAuthError> {
        let redirect_uris = strings(&asked["redirect_uris"])
            .filter(|uris| !uris.is_empty())
            .ok_or_else(|| OAuthError::new("invalid_redirect_uri", "no `redirect_uris`"))?;
        let metadata = |text| OAuthError::new("invalid_client_metadata", text);
        let grants = strings(&asked["grant_types"]).unwrap_or_else(|| vec!["authorization_code".into()]);
        if !grants.iter().any(|grant| grant == "authorization_code") {
            return Err(metadata("`grant_types` without `authorization_code`"));
        }
        if strings(&asked["response_types"]).is_some_and(|types| types != ["code"]) {
            return Err(metadata("`response_types` are not `code`"));
        }
        let offered = &self.behaviour.auth_methods;
        let wanted = asked["token_endpoint_auth_method"].as_str().unwrap_or("client_secret_basic");
        let method = offered.iter().copied().find(|method| method.as_str() == wanted);
        let method = method.or(offered.first().copied()).ok_or_else(|| metadata("no method is offered"))?;
        let client_id = self.mint("client");
        let with_secret = method != AuthMethod::None || self.behaviour.secret_for_public_clients;
        let secret = with_secret.then(|| self.mint("client-secret"));

        let mut answer = asked.clone();
        answer["client_id"] = json!(client_id);
        answer["redirect_uris"] = json!(redirect_uris);
        answer["grant_types"] = json!(grants);
        answer["token_endpoint_auth_method"] = json!(method.as_str());
        if let Some(secret) = &secret {
            answer["client_secret"] = json!(secret);
            answer["client_secret_expires_at"] = json!(0);
        }
        self.clients.insert(client_id, Client { secret, method, redirect_uris });
        Ok(answer)
    }

    /// The client of this id: registered, or described by the document at that URL.
    pub(super) fn client(&self, client_id: &str) -> Result<Client, String> {
        if let Some(client) = self.clients.get(client_id) {
            return Ok(client.clone());
        }
        if !self.behaviour.client_id_documents || !client_id.starts_with("https://") {
            return Err(format!("client `{client_id}` is unknown"));
        }
        let document = self.documents.get(client_id).ok_or(format!("no document at `{client_id}`"))?;
        if document["client_id"].as_str() != Some(client_id) {
            return Err(format!("the document at `{client_id}` is about {}", document["client_id"]));
        }
        let redirect_uris = strings(&document["redirect_uris"]).unwrap_or_default();
        Ok(Client { secret: None, method: AuthMethod::None, redirect_uris })
    }

    /// The id of the client that sends this form, authenticated as registered and in no other way.
    pub(super) fn authenticate(&self, request: &Request, form: &Parameters) -> Result<String, OAuthError> {
        let basic = request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let (used, client_id, secret) = if basic {
            let (id, secret) = basic_credentials(request)
                .ok_or_else(|| OAuthError::invalid_client("the `Authorization` header is no Basic"))?;
            if form.get("client_secret").is_some() || form.get("client_id").is_some_and(|other| other != id) {
                return Err(OAuthError::new("invalid_request", "two ways of authentication"));
            }
            (AuthMethod::Basic, id, Some(secret))
        } else {
            let id = form.need("client_id").map_err(OAuthError::invalid_client)?.to_owned();
            let secret = form.get("client_secret").map(str::to_owned);
            (if secret.is_some() { AuthMethod::Post } else { AuthMethod::None }, id, secret)
        };
        let client = self.client(&client_id).map_err(OAuthError::invalid_client)?;
        if used != client.method {
            let text = format!("registered for `{}`, used `{}`", client.method.as_str(), used.as_str());
            return Err(OAuthError::invalid_client(text));
        }
        if used != AuthMethod::None && secret != client.secret {
            return Err(OAuthError::invalid_client("wrong secret"));
        }
        Ok(client_id)
    }
}

/// Id and secret, each form-encoded before they were joined (RFC 6749 §2.3.1).
fn basic_credentials(request: &Request) -> Option<(String, String)> {
    let encoded = request.one("authorization")?.strip_prefix("Basic ")?;
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decode =
        |part: &str| form_urlencoded::parse(part.as_bytes()).next().map(|(text, _)| text.into_owned());
    Some((decode(id)?, decode(secret).unwrap_or_default()))
}

fn strings(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}
