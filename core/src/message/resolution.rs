//! Credentials, challenges and waits as JSON, and the outcomes made of them.

use serde::Serialize;

use super::outcome::{FailureForm, Message};
use super::value::Exposed;
use crate::challenge::{Challenge, ChallengeReason, Form, Placed, Rendered};
use crate::connector::Target;
use crate::moment::UnixMillis;
use crate::principal::{ConnectorId, Principal};
use crate::protocol::scopes::Scopes;
use crate::upstream::Observation;
use crate::upstream::preflight::Preflighted;
use crate::upstream::ready::{Attribution, Injected, Ready, Warning};
use crate::upstream::report_rejected::Rejection;
use crate::upstream::resolve::{Resolution, Transient};

impl Message for Preflighted {
    fn form(&self) -> impl Serialize {
        #[derive(Serialize)]
        struct PreflightForm<'a> {
            missing: Vec<ChallengeForm<'a>>,
            transient: Vec<LaterForm<'a>>,
            failed: Vec<FailedForm<'a>>,
        }
        #[derive(Serialize)]
        struct LaterForm<'a> {
            connector: &'a ConnectorId,
            transient: TransientForm<'a>,
        }
        #[derive(Serialize)]
        struct FailedForm<'a> {
            connector: &'a ConnectorId,
            failure: FailureForm<'a>,
        }
        let later = self
            .transient
            .iter()
            .map(|(connector, transient)| LaterForm { connector, transient: TransientForm::from(transient) });
        let failed = self
            .failed
            .iter()
            .map(|(connector, failure)| FailedForm { connector, failure: FailureForm::from(failure) });
        PreflightForm {
            missing: self.missing.iter().map(ChallengeForm::from).collect(),
            transient: later.collect(),
            failed: failed.collect(),
        }
    }
}

impl Message for Rejection {
    fn form(&self) -> impl Serialize {
        #[derive(Serialize)]
        #[serde(rename_all = "snake_case")]
        enum RejectionForm<'a> {
            Challenge(ChallengeForm<'a>),
            Nothing,
            Retry(ReadyForm<'a>),
            Transient(TransientForm<'a>),
        }
        match self {
            Self::Challenge(challenge) => RejectionForm::Challenge(ChallengeForm::from(&**challenge)),
            Self::Nothing => RejectionForm::Nothing,
            Self::Retry(ready) => RejectionForm::Retry(ReadyForm::from(&**ready)),
            Self::Transient(transient) => RejectionForm::Transient(TransientForm::from(transient)),
        }
    }
}

impl Message for Resolution {
    fn form(&self) -> impl Serialize {
        #[derive(Serialize)]
        #[serde(rename_all = "snake_case")]
        enum ResolutionForm<'a> {
            Challenge(ChallengeForm<'a>),
            Ready(ReadyForm<'a>),
            Transient(TransientForm<'a>),
        }
        match self {
            Self::Challenge(challenge) => ResolutionForm::Challenge(ChallengeForm::from(&**challenge)),
            Self::Ready(ready) => ResolutionForm::Ready(ReadyForm::from(&**ready)),
            Self::Transient(transient) => ResolutionForm::Transient(TransientForm::from(transient)),
        }
    }
}

/// A challenge, with all that hosts show of it written out.
#[derive(Serialize)]
struct ChallengeForm<'a> {
    id: Option<&'a str>,
    reason: &'static str,
    detail: Option<&'a str>,
    connector: &'a ConnectorId,
    owner: &'a Principal,
    scopes: &'a Scopes,
    url: Option<&'a str>,
    ticket: Option<&'a str>,
    expires_at: Option<UnixMillis>,
    text: String,
    http_409: String,
    url_elicitation: RenderedForm,
    input_required: RenderedForm,
    server_sent_event: String,
}

/// A challenge as MCP clients of one revision understand it: the `error` or the `result` of the answer, as JSON text.
#[derive(Serialize)]
struct RenderedForm {
    placed: Placed,
    json: String,
}

impl From<Rendered> for RenderedForm {
    fn from(rendered: Rendered) -> Self {
        Self { placed: rendered.placed, json: rendered.body }
    }
}

impl<'a> From<&'a Challenge> for ChallengeForm<'a> {
    fn from(challenge: &'a Challenge) -> Self {
        let Challenge { id, reason, connector, owner, scopes, url, ticket, expires_at } = challenge;
        let detail = match reason {
            ChallengeReason::Reconnect(why) => Some(*why),
            ChallengeReason::StoreSecret(name) => Some(name.as_str()),
            ChallengeReason::AskManager
            | ChallengeReason::Connect
            | ChallengeReason::StepUp
            | ChallengeReason::Suspended => None,
        };
        Self {
            id: id.as_deref(),
            reason: reason.as_str(),
            detail,
            connector,
            owner,
            scopes,
            url: url.as_deref(),
            ticket: ticket.as_deref(),
            expires_at: *expires_at,
            text: challenge.render(Form::Text).body,
            http_409: challenge.render(Form::Http409).body,
            url_elicitation: RenderedForm::from(challenge.render(Form::UrlElicitation)),
            input_required: RenderedForm::from(challenge.render(Form::InputRequired)),
            server_sent_event: challenge.render(Form::ServerSentEvent).body,
        }
    }
}

/// A credential: the values for one call, in the open.
#[derive(Serialize)]
struct ReadyForm<'a> {
    injections: Vec<InjectionForm<'a>>,
    attribution: &'a Attribution,
    generation: u64,
    pool_key: String,
    expires_at: Option<UnixMillis>,
    scopes: &'a Scopes,
    warnings: &'a [Warning],
    server_url: Option<&'a str>,
    audience: Option<&'a str>,
    needs_proof: bool,
}

#[derive(Serialize)]
struct InjectionForm<'a> {
    target: &'a Target,
    value: Exposed<'a>,
}

impl<'a> From<&'a Ready> for ReadyForm<'a> {
    fn from(ready: &'a Ready) -> Self {
        let injection = |injected: &'a Injected| InjectionForm {
            target: &injected.target,
            value: Exposed(&injected.value),
        };
        Self {
            injections: ready.injected.iter().map(injection).collect(),
            attribution: ready.attribution(),
            generation: ready.generation(),
            pool_key: ready.pool_key().to_owned(),
            expires_at: ready.expires_at(),
            scopes: ready.scopes(),
            warnings: ready.warnings(),
            server_url: ready.server_url.as_ref().map(|url| url.as_str()),
            audience: ready.audience.as_ref().map(|url| url.as_str()),
            // No grant is bound to a key yet.
            needs_proof: false,
        }
    }
}

#[derive(Serialize)]
struct TransientForm<'a> {
    retry_at: UnixMillis,
    failure: FailureForm<'a>,
    observed: Option<&'a Observation>,
}

impl<'a> From<&'a Transient> for TransientForm<'a> {
    fn from(transient: &'a Transient) -> Self {
        Self {
            retry_at: transient.retry_at,
            failure: FailureForm::from(&transient.failure),
            observed: transient.observed.as_ref(),
        }
    }
}
