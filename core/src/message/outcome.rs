//! Outcomes as JSON: `{"ok":…,"events":[…]}` or `{"failure":{…},"events":[…]}`.

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::value::{Exposed, write};
use crate::challenge::{Challenge, ChallengeReason, Form};
use crate::connector::Target;
use crate::error::{ConfigError, Failure};
use crate::moment::UnixMillis;
use crate::operation::Outcome;
use crate::principal::{ConnectorId, Principal};
use crate::protocol::scopes::Scopes;
use crate::secret::SecretBytes;
use crate::upstream::Observation;
use crate::upstream::begin_connect::Redirect;
use crate::upstream::complete_connect::Connected;
use crate::upstream::confirm_account::AccountConfirmed;
use crate::upstream::connectors::ConnectorPut;
use crate::upstream::disconnect::Disconnected;
use crate::upstream::discover::{DiscoveryReport, Prospect};
use crate::upstream::discovery::DiscoveryStep;
use crate::upstream::import_grant::{GrantImported, Imported};
use crate::upstream::note::Note;
use crate::upstream::open_ticket::OpenedTicket;
use crate::upstream::page::Page;
use crate::upstream::ready::{Attribution, Injected, Ready, Warning};
use crate::upstream::refresh_due::DueRefreshed;
use crate::upstream::report_rejected::Rejection;
use crate::upstream::resolve::{Resolution, Transient};
use crate::upstream::secrets::SecretStored;
use crate::upstream::status::ConnectorStatus;
use crate::upstream::suspend::SuspensionSet;

/// What an operation is asked for, as it stands in messages.
pub(super) trait Message {
    fn form(&self) -> impl Serialize;
}

/// An outcome as JSON.
pub(super) fn outcome<T: Message>(outcome: &Outcome<T>) -> SecretBytes {
    write(&OutcomeForm(outcome))
}

struct OutcomeForm<'a, T>(&'a Outcome<T>);

impl<T: Message> Serialize for OutcomeForm<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut outcome = serializer.serialize_struct("outcome", 2)?;
        match &self.0.result {
            Ok(value) => outcome.serialize_field("ok", &value.form())?,
            Err(failure) => outcome.serialize_field("failure", &FailureForm::from(failure))?,
        }
        outcome.serialize_field("events", &self.0.events)?;
        outcome.end()
    }
}

#[derive(Serialize)]
struct FailureForm<'a> {
    slug: &'static str,
    fault: &'static str,
    retry: &'static str,
    retry_at: Option<UnixMillis>,
    message: &'static str,
    reason: Option<&'static str>,
    peer_text: Option<&'a str>,
    next: &'static str,
    evidence: Option<&'a str>,
}

impl<'a> From<&'a Failure> for FailureForm<'a> {
    fn from(failure: &'a Failure) -> Self {
        Self {
            slug: failure.slug(),
            fault: failure.fault().as_str(),
            retry: failure.retry().as_str(),
            retry_at: failure.retry_from(),
            message: failure.code().message(),
            reason: failure.reason(),
            peer_text: failure.peer_text(),
            next: failure.next_step(),
            evidence: failure.evidence(),
        }
    }
}

/// Results whose own form is that of messages.
macro_rules! as_they_are {
    ($($result:ty),+ $(,)?) => {
        $(impl Message for $result {
            fn form(&self) -> impl Serialize {
                self
            }
        })+
    };
}

as_they_are! { AccountConfirmed, Connected, ConnectorStatus, Disconnected, DueRefreshed, OpenedTicket, SuspensionSet }

impl<T: Serialize> Message for Page<T> {
    fn form(&self) -> impl Serialize {
        self
    }
}

/// Whether there was one, of what was deleted.
impl Message for bool {
    fn form(&self) -> impl Serialize {
        #[derive(Serialize)]
        struct Deleted {
            existed: bool,
        }
        Deleted { existed: *self }
    }
}

impl Message for ConnectorPut {
    fn form(&self) -> impl Serialize {
        #[derive(Serialize)]
        #[serde(rename_all = "snake_case")]
        enum PutForm<'a> {
            Kept { revision: u64 },
            Refused(RefusalForm<'a>),
            Stored { revision: u64 },
            Unchanged { revision: u64 },
        }
        match self {
            Self::Kept { revision } => PutForm::Kept { revision: *revision },
            Self::Refused(error) => PutForm::Refused(RefusalForm(error)),
            Self::Stored { revision } => PutForm::Stored { revision: *revision },
            Self::Unchanged { revision } => PutForm::Unchanged { revision: *revision },
        }
    }
}

impl Message for DiscoveryReport {
    fn form(&self) -> impl Serialize {
        #[derive(Serialize)]
        struct ReportForm<'a> {
            steps: &'a [DiscoveryStep],
            prospect: Option<&'a Prospect>,
            failure: Option<FailureForm<'a>>,
            waivers: &'a [&'static str],
        }
        ReportForm {
            steps: &self.steps,
            prospect: self.result.as_ref().ok(),
            failure: self.result.as_ref().err().map(FailureForm::from),
            waivers: &self.waivers,
        }
    }
}

impl Message for GrantImported {
    fn form(&self) -> impl Serialize {
        #[derive(Serialize)]
        #[serde(rename_all = "snake_case")]
        enum ImportForm<'a> {
            Imported(&'a Imported),
            Refused(RefusalForm<'a>),
        }
        match self {
            Self::Imported(imported) => ImportForm::Imported(imported),
            Self::Refused(error) => ImportForm::Refused(RefusalForm(error)),
        }
    }
}

impl Message for Redirect {
    fn form(&self) -> impl Serialize {
        #[derive(Serialize)]
        struct RedirectForm<'a> {
            url: &'a str,
            cookie: Option<Exposed<'a>>,
            process_secret: Option<Exposed<'a>>,
            flow: &'a str,
            expires_at: UnixMillis,
            issuer: &'a str,
            protected: bool,
            parent: bool,
            notes: &'a [Note],
        }
        let Self { url, cookie, process_secret, flow, expires_at, issuer, protected, parent, notes } = self;
        RedirectForm {
            url,
            cookie: cookie.as_ref().map(Exposed),
            process_secret: process_secret.as_ref().map(Exposed),
            flow,
            expires_at: *expires_at,
            issuer,
            protected: *protected,
            parent: *parent,
            notes,
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

impl Message for SecretStored {
    fn form(&self) -> impl Serialize {
        #[derive(Serialize)]
        #[serde(rename_all = "snake_case")]
        enum StoredForm<'a> {
            Refused(RefusalForm<'a>),
            Stored,
        }
        match self {
            Self::Refused(error) => StoredForm::Refused(RefusalForm(error)),
            Self::Stored => StoredForm::Stored,
        }
    }
}

/// Refused configuration; the message shows the value.
struct RefusalForm<'a>(&'a ConfigError);

impl Serialize for RefusalForm<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut refusal = serializer.serialize_struct("refusal", 3)?;
        refusal.serialize_field("field", self.0.field())?;
        refusal.serialize_field("problem", self.0.problem())?;
        refusal.serialize_field("message", &format_args!("{}", self.0))?;
        refusal.end()
    }
}

/// A challenge, with all that hosts show of it written out.
#[derive(Serialize)]
struct ChallengeForm<'a> {
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
}

impl<'a> From<&'a Challenge> for ChallengeForm<'a> {
    fn from(challenge: &'a Challenge) -> Self {
        let Challenge { reason, connector, owner, scopes, url, ticket, expires_at } = challenge;
        let detail = match reason {
            ChallengeReason::Reconnect(why) => Some(*why),
            ChallengeReason::StoreSecret(name) => Some(name.as_str()),
            ChallengeReason::AskManager
            | ChallengeReason::Connect
            | ChallengeReason::StepUp
            | ChallengeReason::Suspended => None,
        };
        Self {
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
            pool_key: ready.pool_key(),
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
