//! What the command says: results on standard output, progress and errors on standard error, or JSON.

use std::io::{IsTerminal as _, Write as _};

use grantway::config::ConfigFileError;
use grantway::grantway_core::error::{Code, Fault, Retry};
use grantway::grantway_core::upstream::resolve::Transient;
use grantway::{CallError, Challenge, ChallengeReason, ConfigError, Failure};
use serde::Serialize;
use serde_json::json;

use crate::text;

/// How the process ends. The help says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Peer = 1,
    Usage = 2,
    PersonNeeded = 3,
    Machine = 4,
}

/// What went wrong, with the next step.
#[derive(Debug)]
pub(crate) struct Problem {
    slug: &'static str,
    fault: Fault,
    retry: Retry,
    /// Of a challenge: why a person is needed.
    reason: Option<&'static str>,
    message: String,
    pub(crate) next: String,
    evidence: Option<String>,
    pub(crate) exit: Exit,
}

impl Problem {
    /// The command line is wrong.
    pub(crate) fn usage(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new("command.usage", Exit::Usage, message, next)
    }

    /// Something on this machine has to be mended.
    pub(crate) fn machine(slug: &'static str, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(slug, Exit::Machine, message, next)
    }

    /// The server did not do as it should.
    pub(crate) fn peer(slug: &'static str, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(slug, Exit::Peer, message, next)
    }

    /// A person has to do something.
    pub(crate) fn person(slug: &'static str, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(slug, Exit::PersonNeeded, message, next)
    }

    fn new(slug: &'static str, exit: Exit, message: impl Into<String>, next: impl Into<String>) -> Self {
        let (fault, retry) = match exit {
            Exit::Peer => (Fault::Peer, Retry::Later),
            Exit::Usage | Exit::PersonNeeded => (Fault::User, Retry::AfterAction),
            Exit::Done | Exit::Machine => (Fault::Config, Retry::AfterAction),
        };
        let (message, next) = (message.into(), next.into());
        Self { slug, fault, retry, reason: None, message, next, evidence: None, exit }
    }

    /// A person has to connect the server of this name.
    pub(crate) fn challenge(challenge: &Challenge, server: &str) -> Self {
        // Only the reference says which scopes the call has stopped at.
        let because = match (&challenge.reason, &challenge.ticket) {
            (ChallengeReason::StepUp, Some(ticket)) => format!(" --because {ticket}"),
            _ => String::new(),
        };
        let next = format!("run `grantway connect {server}{because}`");
        let problem = Self::person("user.authorization_needed", challenge.text(), next);
        Self { reason: Some(challenge.reason.as_str()), ..problem }
    }

    /// Nobody has to do anything, but wait.
    pub(crate) fn transient(transient: Transient) -> Self {
        transient.failure.into()
    }

    /// A call that has no response; `send` says what to make of the transport's error.
    pub(crate) fn call<E>(error: CallError<E>, server: &str, send: impl FnOnce(E) -> Self) -> Self {
        match error {
            CallError::Challenge(challenge) => Self::challenge(&challenge, server),
            CallError::Failure(failure) => failure.into(),
            CallError::Send(error) => send(error),
            CallError::Transient(transient) => Self::transient(*transient),
            _ => Failure::new(Code::Internal).into(),
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let mut message = failure.code().message().to_owned();
        if let Some(reason) = failure.reason() {
            message.push_str(": ");
            message.push_str(reason);
        }
        if let Some(said) = failure.peer_text() {
            message.push_str(&format!(": the server says `{said}`"));
        }
        Self {
            slug: failure.slug(),
            fault: failure.fault(),
            retry: failure.retry(),
            reason: None,
            message,
            next: match failure.code() {
                Code::ResourceMetadataMissing => {
                    "check the URL: is an MCP server there, and does it ask for authorization?".to_owned()
                }
                _ => failure.next_step().to_owned(),
            },
            evidence: failure.evidence().map(str::to_owned),
            exit: match failure.fault() {
                Fault::Peer | Fault::Network => Exit::Peer,
                // Here nobody but the server can say who its issuer is.
                Fault::Config if failure.code() == Code::ResourceMetadataMissing => Exit::Peer,
                Fault::User => Exit::PersonNeeded,
                Fault::Config | Fault::Store | Fault::Engine => Exit::Machine,
            },
        }
    }
}

/// What is configured here comes from the command line.
impl From<ConfigError> for Problem {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string(), "correct it; `grantway connect --help` says what can be given")
    }
}

impl From<ConfigFileError> for Problem {
    fn from(error: ConfigFileError) -> Self {
        Self::usage(error.to_string(), "correct it; `grantway connect --help` says what can be given")
    }
}

/// Where it is said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) json: bool,
    /// What was given of `--home` and `--as`, to be repeated in each command that is suggested: pasted without, it would be about
    /// another person or another directory.
    pub(crate) given: &'static str,
}

impl Report {
    /// The result: as JSON, or as lines for a person.
    pub(crate) fn result(self, value: &impl Serialize, human: impl FnOnce() -> String) {
        if self.json {
            self.out(&text::json(value));
        } else {
            self.out(&human());
        }
    }

    /// What the person has to do now, for the command to go on.
    pub(crate) fn ask_to_open(self, url: &str) {
        if self.json {
            self.out(&text::json(&json!({ "open": url })));
        } else {
            self.err(&format!("Open this URL in a browser:\n\n  {url}\n\nIf the browser cannot come back by itself, paste the URL of the page it ends on here."));
        }
    }

    /// Something to know while waiting; on a terminal only.
    pub(crate) fn progress(self, what: &str) {
        if std::io::stderr().is_terminal() {
            self.err(what);
        }
    }

    /// What went wrong.
    pub(crate) fn problem(self, problem: &Problem) {
        if self.json {
            let Problem { slug, fault, retry, reason, message, next, evidence, exit: _ } = problem;
            let (fault, retry, next) = (fault.as_str(), retry.as_str(), self.suggesting(next));
            let mut error = json!({
                "slug": slug, "fault": fault, "retry": retry, "message": message, "next": next,
            });
            for (name, value) in [("reason", *reason), ("evidence", evidence.as_deref())] {
                if let Some(value) = value {
                    error[name] = value.into();
                }
            }
            self.out(&text::json(&json!({ "error": error })));
        } else {
            let Problem { slug, message, next, .. } = problem;
            let (message, next) = (text::line(message), text::line(&self.suggesting(next)));
            self.err(&format!("grantway: {message} ({slug})\n  next: {next}"));
        }
    }

    /// The text, its commands with what was given.
    pub(crate) fn suggesting(self, text: &str) -> String {
        let commands = ["connect", "disconnect", "tools"];
        commands.iter().fold(text.to_owned(), |text, command| {
            text.replace(&format!("grantway {command} "), &format!("grantway{} {command} ", self.given))
        })
    }

    /// Nothing can be done about an output that is closed.
    fn out(self, line: &str) {
        let _ = writeln!(std::io::stdout().lock(), "{}", line.trim_end());
    }

    fn err(self, line: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
}
