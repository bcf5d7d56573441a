//! The token endpoint (RFC 6749 §4.1.3, §6), revocation (RFC 7009), and what tokens are good for.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use grantway_core::moment::UnixMillis;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{BodyForm, OAuthError, Rotation, State};
use crate::message::{Parameters, Request, Response};

/// What an access token is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveToken {
    /// Who approved.
    pub user: String,
    /// To whom it was given.
    pub client_id: String,
    /// Its audience; `None` if the request named none.
    pub resource: Option<String>,
    /// Its scopes.
    pub scopes: Vec<String>,
}

/// All that came of one consent.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) user: String,
    pub(super) client_id: String,
    pub(super) resource: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) ended: bool,
    pub(super) revoked_for_reuse: bool,
}

#[derive(Debug)]
pub(super) struct AccessToken {
    family: usize,
    expires_at: UnixMillis,
    scopes: Vec<String>,
}

#[derive(Debug)]
pub(super) struct RefreshToken {
    pub(super) family: usize,
    pub(super) spent_at: Option<UnixMillis>,
}

impl State {
    pub(super) fn count_post(&mut self, request: &Request) {
        let form = request.form().unwrap_or_default();
        if form.get("grant_type") == Some("refresh_token") {
            let token = form.get("refresh_token").unwrap_or_default();
            *self.posts.entry(token.to_owned()).or_default() += 1;
        }
    }

    pub(super) fn token(&mut self, request: &Request, now: UnixMillis) -> Result<Response, OAuthError> {
        let answer = self.tokens(request, now);
        let body_form = self.behaviour.token_body;
        let response = match (answer, body_form) {
            (Ok(body), BodyForm::Form) => Response::form(200, &body),
            (Ok(body), BodyForm::Json | BodyForm::JsonErrorsIn200) => Response::json(200, &body),
            (Err(error), BodyForm::Json) => return Err(error),
            (Err(error), BodyForm::JsonErrorsIn200) => Response { status: 200, ..error.response() },
            (Err(error), BodyForm::Form) => Response::form(200, &error.response().value()),
        };
        Ok(response.delayed(self.behaviour.token_delay_ms))
    }

    fn tokens(&mut self, request: &Request, now: UnixMillis) -> Result<Value, OAuthError> {
        let form = request.form()?;
        let client_id = self.authenticate(request, &form)?;
        match form.need("grant_type")? {
            "authorization_code" => self.redeem_code(&form, &client_id, now),
            "refresh_token" => self.redeem_refresh_token(&form, &client_id, now),
            other => Err(OAuthError::new("unsupported_grant_type", format!("`{other}`"))),
        }
    }

    fn redeem_code(
        &mut self,
        form: &Parameters,
        client_id: &str,
        now: UnixMillis,
    ) -> Result<Value, OAuthError> {
        let invalid = |text: &str| OAuthError::new("invalid_grant", text);
        let text = form.need("code")?;
        let code = self.codes.get(text).cloned().ok_or_else(|| invalid("unknown code"))?;
        if let Some(family) = code.family {
            self.end_for_reuse(family);
            return Err(invalid("the code was redeemed before"));
        }
        let verifier = form.need("code_verifier")?;
        if code.client_id != client_id {
            return Err(invalid("the code is another client's"));
        }
        if form.need("redirect_uri")? != code.redirect_uri {
            return Err(invalid("another `redirect_uri`"));
        }
        if BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) != code.challenge {
            return Err(invalid("the verifier does not fit the challenge"));
        }
        self.check_resource(form, code.resource.as_deref())?;
        let family = self.families.len();
        self.families.push(Family {
            user: code.user,
            client_id: code.client_id,
            resource: code.resource,
            scopes: code.scopes,
            ended: false,
            revoked_for_reuse: false,
        });
        if let Some(code) = self.codes.get_mut(text) {
            code.family = Some(family);
        }
        let scopes = self.families[family].scopes.clone();
        Ok(self.give(family, scopes, self.behaviour.refresh_tokens, now))
    }

    fn redeem_refresh_token(
        &mut self,
        form: &Parameters,
        client_id: &str,
        now: UnixMillis,
    ) -> Result<Value, OAuthError> {
        let invalid = |text: &str| OAuthError::new("invalid_grant", text);
        let text = form.need("refresh_token")?;
        let token = self.refresh_tokens.get(text).ok_or_else(|| invalid("unknown refresh token"))?;
        let (family, spent_at) = (token.family, token.spent_at);
        if self.families[family].client_id != client_id {
            return Err(invalid("the refresh token is another client's"));
        }
        if self.families[family].ended {
            return Err(invalid("the grant has ended"));
        }
        match (spent_at, self.behaviour.rotation) {
            (None, _) | (Some(_), Rotation::Never) => {}
            (Some(at), Rotation::Grace(ms)) if at.until(now) < ms => {}
            (Some(_), Rotation::WithoutRevocation) => return Err(invalid("the refresh token is spent")),
            (Some(_), Rotation::Grace(_) | Rotation::RevokeOnReuse) => {
                self.end_for_reuse(family);
                return Err(invalid("the refresh token is spent; the grant has ended"));
            }
        }
        self.check_resource(form, self.families[family].resource.clone().as_deref())?;
        let scopes = self.narrowed(form, family)?;
        let rotates = self.behaviour.rotation != Rotation::Never;
        if let Some(token) = self.refresh_tokens.get_mut(text).filter(|_| rotates) {
            token.spent_at.get_or_insert(now);
        }
        Ok(self.give(family, scopes, rotates, now))
    }

    fn check_resource(&self, form: &Parameters, granted: Option<&str>) -> Result<(), OAuthError> {
        match form.get("resource") {
            Some(resource) if Some(resource) == granted => Ok(()),
            None if !self.behaviour.requires_resource => Ok(()),
            other => Err(OAuthError::new("invalid_target", format!("granted {granted:?}, asked {other:?}"))),
        }
    }

    /// The scopes a refresh asks for: at most those granted (RFC 6749 §6).
    fn narrowed(&self, form: &Parameters, family: usize) -> Result<Vec<String>, OAuthError> {
        let granted = &self.families[family].scopes;
        let Some(asked) = form.get("scope") else { return Ok(granted.clone()) };
        let asked: Vec<String> = asked.split(' ').map(str::to_owned).collect();
        if asked.iter().all(|scope| granted.contains(scope)) {
            Ok(asked)
        } else {
            Err(OAuthError::new("invalid_scope", "more than was granted"))
        }
    }

    fn give(&mut self, family: usize, scopes: Vec<String>, with_refresh: bool, now: UnixMillis) -> Value {
        let access = self.mint("access");
        let lifetime_ms = self.behaviour.access_token_ms;
        let mut body = json!({
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": lifetime_ms / 1000,
            "scope": scopes.join(" "),
        });
        if with_refresh {
            let refresh = self.mint("refresh");
            body["refresh_token"] = json!(refresh);
            self.refresh_tokens.insert(refresh, RefreshToken { family, spent_at: None });
        }
        if self.behaviour.id_tokens {
            body["id_token"] = json!(self.id_token(family, now));
        }
        self.access_tokens.insert(access, AccessToken { family, expires_at: now.plus(lifetime_ms), scopes });
        self.behaviour.token_edits.apply(body)
    }

    /// Its signature fits no key: clients that had it from the token endpoint read it without one.
    fn id_token(&self, family: usize, now: UnixMillis) -> String {
        let family = &self.families[family];
        let claims = self.behaviour.id_token_edits.apply(json!({
            "iss": self.issuer,
            "aud": family.client_id,
            "sub": format!("sub-of-{}", family.user),
            "email": format!("{}@example.com", family.user),
            "iat": now.0 / 1000,
            "exp": now.0 / 1000 + 600,
        }));
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": "1" });
        format!("{}.{}.{}", part(&header), part(&claims), BASE64_URL_SAFE_NO_PAD.encode("no signature"))
    }

    fn end_for_reuse(&mut self, family: usize) {
        let family = &mut self.families[family];
        family.revoked_for_reuse |= !family.ended;
        family.ended = true;
    }

    /// A refresh token takes its whole family with it (RFC 7009 §2.1); what is unknown is revoked already (§2.2).
    pub(super) fn revoke(&mut self, request: &Request) -> Result<Response, OAuthError> {
        let form = request.form()?;
        let client_id = self.authenticate(request, &form)?;
        let text = form.need("token")?.to_owned();
        let refresh = self.refresh_tokens.get(&text).map(|token| token.family);
        let access = self.access_tokens.get(&text).map(|token| token.family);
        if let Some(family) = refresh.or(access) {
            if self.families[family].client_id != client_id {
                return Err(OAuthError::new("invalid_grant", "the token is another client's"));
            }
            if refresh.is_some() {
                self.families[family].ended = true;
            }
            self.access_tokens.remove(&text);
        }
        self.revoked.push(text);
        Ok(Response::new(200))
    }

    pub(super) fn live_token(&self, access_token: &str, now: UnixMillis) -> Option<LiveToken> {
        let token = self.access_tokens.get(access_token).filter(|token| now < token.expires_at)?;
        let family = self.families.get(token.family).filter(|family| !family.ended)?;
        Some(LiveToken {
            user: family.user.clone(),
            client_id: family.client_id.clone(),
            resource: family.resource.clone(),
            scopes: token.scopes.clone(),
        })
    }
}
