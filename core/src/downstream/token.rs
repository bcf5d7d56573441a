//! `POST /token`: a code or a refresh token for new tokens (OAuth 2.1 §3.2).

mod redeem;
mod rotate;

use redeem::Redeeming;
use rotate::Rotating;
use serde::Serialize;

use super::handle::Endpoint;
use super::response::Response;
use super::token_client::Sender;
use super::visit::Visit;
use crate::moment::UnixMillis;
use crate::operation::{Answer, Context, Progress};
use crate::protocol::scopes::Scopes;
use crate::protocol::token_request::TokenRequest;
use crate::secret::Secret;

/// A token request under way.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) enum Token {
    Code(Box<Redeeming>),
    Refresh(Box<Rotating>),
}

impl Token {
    pub(crate) fn begin(cx: &mut Context<'_>, visit: &Visit) -> Progress<Self, Response> {
        let (sender, body) = match Sender::of(cx, visit) {
            Ok(read) => read,
            Err(response) => return Progress::done(*response),
        };
        match TokenRequest::read(&body) {
            Err(refusal) => Progress::done(sender.refused(cx, refusal)),
            Ok(TokenRequest::Code(request)) => {
                let step = Redeeming::begin(cx, sender, request);
                step.embed(|machine| Self::Code(Box::new(machine)), Progress::Done)
            }
            Ok(TokenRequest::Refresh(request)) => {
                let step = Rotating::begin(cx, sender, request);
                step.embed(|machine| Self::Refresh(Box::new(machine)), Progress::Done)
            }
        }
    }
}

impl Endpoint for Token {
    fn step(self, cx: &mut Context<'_>, answer: Answer) -> Progress<Self, Response> {
        match self {
            Self::Code(machine) => {
                machine.step(cx, answer).embed(|machine| Self::Code(Box::new(machine)), Progress::Done)
            }
            Self::Refresh(machine) => {
                machine.step(cx, answer).embed(|machine| Self::Refresh(Box::new(machine)), Progress::Done)
            }
        }
    }
}

/// Tokens that a commit has made good.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub(crate) struct Issued {
    access: Secret,
    expires_at: UnixMillis,
    refresh: Option<Secret>,
    scopes: Scopes,
}

impl Issued {
    //= spec/oauth21.md#3-2-3
    //# Tokens MUST be given as 200 and JSON under `no-store`, with `access_token`, `token_type`, `expires_in`
    //# and the scopes that they have (TOK-18, S).
    fn response(&self, now: UnixMillis) -> Response {
        #[derive(Serialize)]
        struct TokenResponse<'a> {
            access_token: &'a str,
            token_type: &'static str,
            expires_in: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            refresh_token: Option<&'a str>,
            #[serde(skip_serializing_if = "String::is_empty")]
            scope: String,
        }
        let body = TokenResponse {
            //= spec/mcp-2026-07-28.md#sec-access-token-privilege-restriction
            //# What a client gets MUST be a token of ours with us as its audience, and the upstream's token
            //# stays inside (CON-12, B).
            access_token: self.access.expose(),
            token_type: "Bearer",
            expires_in: now.until(self.expires_at) / 1000,
            refresh_token: self.refresh.as_ref().map(Secret::expose),
            scope: self.scopes.to_string(),
        };
        Response::json(200, &body).never_stored().for_any_origin()
    }
}
