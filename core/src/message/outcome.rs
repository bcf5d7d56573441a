//! Outcomes as JSON: `{"ok":…,"events":[…]}` or `{"failure":{…},"events":[…]}`.

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::value::{Exposed, write};
use crate::downstream::sign_ins::SignInRevoked;
use crate::error::{ConfigError, Failure};
use crate::moment::UnixMillis;
use crate::operation::Outcome;
use crate::secret::SecretBytes;
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
use crate::upstream::purge::Purged;
use crate::upstream::refresh_due::DueRefreshed;
use crate::upstream::secrets::SecretStored;
use crate::upstream::status::ConnectorStatus;
use crate::upstream::suspend::SuspensionSet;
use crate::upstream::sweep::Swept;

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
pub(super) struct FailureForm<'a> {
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

as_they_are! {
    AccountConfirmed, Connected, ConnectorStatus, Disconnected, DueRefreshed, OpenedTicket, Purged, SignInRevoked,
    SuspensionSet, Swept,
}

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
