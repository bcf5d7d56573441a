//! The same vectors without the engine's encoder and readers: typed arguments, typed replies, and outcomes by their own methods.

use std::sync::Arc;

use grantway_core::challenge::{Challenge, Form};
use grantway_core::downstream::authenticate::Authenticated;
use grantway_core::downstream::response::Response;
use grantway_core::downstream::sign_ins::SignInRevoked;
use grantway_core::engine::Engine;
use grantway_core::error::{ConfigError, Failure};
use grantway_core::message;
use grantway_core::moment::{Moment, UnixMillis};
use grantway_core::operation::{Machine, Operation, Outcome, Step};
use grantway_core::secret::Secret;
use grantway_core::upstream::begin_connect::Redirect;
use grantway_core::upstream::complete_connect::Connected;
use grantway_core::upstream::confirm_account::AccountConfirmed;
use grantway_core::upstream::connectors::ConnectorPut;
use grantway_core::upstream::disconnect::Disconnected;
use grantway_core::upstream::discover::DiscoveryReport;
use grantway_core::upstream::import_grant::GrantImported;
use grantway_core::upstream::open_ticket::OpenedTicket;
use grantway_core::upstream::page::Page;
use grantway_core::upstream::preflight::Preflighted;
use grantway_core::upstream::purge::Purged;
use grantway_core::upstream::ready::Ready;
use grantway_core::upstream::refresh_due::DueRefreshed;
use grantway_core::upstream::report_rejected::Rejection;
use grantway_core::upstream::resolve::{Resolution, Transient};
use grantway_core::upstream::secrets::SecretStored;
use grantway_core::upstream::status::ConnectorStatus;
use grantway_core::upstream::suspend::SuspensionSet;
use grantway_core::upstream::sweep::Swept;
use grantway_vectors::{Vector, effect_as_value, reply_from_value};
use serde::Serialize;
use serde_json::{Value, json};

/// Replays a vector.
pub(crate) fn replay(vector: &Vector) {
    let engine = message::engine(vector.engine.get().as_bytes()).unwrap();
    let mut begin = value(vector.begin.get());
    let (operation, arguments) = (begin["operation"].take(), begin["arguments"].take());
    macro_rules! run {
        ($($name:ident)+) => {
            match operation.as_str().unwrap() {
                $(stringify!($name) => run(vector, begin::$name(&engine, arguments)),)+
                other => panic!("no typed replay of `{other}`"),
            }
        };
    }
    run! {
        authenticate begin_connect complete_connect confirm_account delete_connector delete_secret disconnect discover handle
        import_grant list_connections list_connectors list_secrets list_sign_ins open_ticket preflight purge put_connector
        refresh_due report_rejected resolve restore revoke_sign_in status_of store_secret suspend sweep
    }
}

mod begin {
    //! Each operation by its own constructor; the argument's type says what the JSON must be.

    use super::{Arc, Engine, Operation, Value};

    macro_rules! begin {
        ($($name:ident -> $machine:ty;)+) => {
            $(pub(super) fn $name(engine: &Arc<Engine>, arguments: Value) -> Operation<$machine> {
                engine.$name(serde_json::from_value(arguments).unwrap())
            })+
        };
    }

    begin! {
        authenticate -> grantway_core::downstream::authenticate::Authenticating;
        begin_connect -> grantway_core::upstream::begin_connect::Beginning;
        complete_connect -> grantway_core::upstream::complete_connect::Completing;
        confirm_account -> grantway_core::upstream::confirm_account::ConfirmingAccount;
        delete_connector -> grantway_core::upstream::connectors::DeletingConnector;
        delete_secret -> grantway_core::upstream::secrets::DeletingSecret;
        disconnect -> grantway_core::upstream::disconnect::Disconnecting;
        discover -> grantway_core::upstream::discover::Discovering;
        handle -> grantway_core::downstream::handle::Handling;
        import_grant -> grantway_core::upstream::import_grant::ImportingGrant;
        list_connections -> grantway_core::upstream::status::ListingConnections;
        list_connectors -> grantway_core::upstream::connectors::ListingConnectors;
        list_secrets -> grantway_core::upstream::secrets::ListingSecrets;
        list_sign_ins -> grantway_core::downstream::sign_ins::ListingSignIns;
        open_ticket -> grantway_core::upstream::open_ticket::OpeningTicket;
        preflight -> grantway_core::upstream::preflight::Preflighting;
        purge -> grantway_core::upstream::purge::Purging;
        put_connector -> grantway_core::upstream::connectors::PuttingConnector;
        refresh_due -> grantway_core::upstream::refresh_due::RefreshingDue;
        report_rejected -> grantway_core::upstream::report_rejected::Reporting;
        resolve -> grantway_core::upstream::resolve::Resolving;
        restore -> grantway_core::upstream::suspend::Suspending;
        revoke_sign_in -> grantway_core::downstream::sign_ins::RevokingSignIn;
        status_of -> grantway_core::upstream::status::FindingStatus;
        store_secret -> grantway_core::upstream::secrets::StoringSecret;
        suspend -> grantway_core::upstream::suspend::Suspending;
        sweep -> grantway_core::upstream::sweep::Sweeping;
    }
}

fn run<M: Machine>(vector: &Vector, mut operation: Operation<M>)
where
    M::Output: Says,
{
    for (at, step) in vector.steps.iter().enumerate() {
        let place = format!("{}, step {at}", vector.name);
        let reply = reply_from_value(&value(step.reply.get()));
        match operation.step(&step.moment.moment(), reply) {
            Ok(Step::Perform(effect)) => {
                let expected = value(step.effect.as_ref().unwrap().get());
                assert_eq!(effect_as_value(&effect), expected, "{place}");
            }
            Ok(Step::Done(outcome)) => {
                let expected = value(step.outcome.as_ref().unwrap().get());
                assert_eq!(outcome_as_value(&outcome, &expected["ok"]), expected, "{place}");
            }
            Err(misuse) => assert_eq!(Some(misuse.to_string()), step.misuse, "{place}"),
        }
    }
}

fn outcome_as_value<T: Says>(outcome: &Outcome<T>, recorded: &Value) -> Value {
    match &outcome.result {
        Ok(result) => json!({ "ok": result.says(recorded), "events": outcome.events }),
        Err(failure) => json!({ "failure": of_failure(failure), "events": outcome.events }),
    }
}

/// What a result says by its public members and methods. What is recorded is at hand for what can only be asked.
trait Says {
    fn says(&self, recorded: &Value) -> Value;
}

macro_rules! as_they_are {
    ($($result:ty),+ $(,)?) => {
        $(impl Says for $result {
            fn says(&self, _: &Value) -> Value {
                json!(self)
            }
        })+
    };
}

as_they_are! {
    AccountConfirmed, Connected, ConnectorStatus, Disconnected, DueRefreshed, OpenedTicket, Purged, SignInRevoked,
    SuspensionSet, Swept,
}

impl<T: Serialize> Says for Page<T> {
    fn says(&self, _: &Value) -> Value {
        json!({ "items": self.items, "next": self.next })
    }
}

impl Says for Response {
    fn says(&self, _: &Value) -> Value {
        of_response(self)
    }
}

impl Says for Authenticated {
    fn says(&self, _: &Value) -> Value {
        match self {
            Self::Caller(caller) => json!({ "caller": caller }),
            Self::Refused(response) => json!({ "refused": of_response(response) }),
        }
    }
}

impl Says for bool {
    fn says(&self, _: &Value) -> Value {
        json!({ "existed": self })
    }
}

impl Says for ConnectorPut {
    fn says(&self, _: &Value) -> Value {
        match self {
            Self::Kept { revision } => json!({ "kept": { "revision": revision } }),
            Self::Refused(error) => json!({ "refused": of_refusal(error) }),
            Self::Stored { revision } => json!({ "stored": { "revision": revision } }),
            Self::Unchanged { revision } => json!({ "unchanged": { "revision": revision } }),
        }
    }
}

impl Says for DiscoveryReport {
    fn says(&self, _: &Value) -> Value {
        let (prospect, failure) = match &self.result {
            Ok(prospect) => (json!(prospect), Value::Null),
            Err(failure) => (Value::Null, of_failure(failure)),
        };
        json!({ "steps": self.steps, "prospect": prospect, "failure": failure, "waivers": self.waivers })
    }
}

impl Says for GrantImported {
    fn says(&self, _: &Value) -> Value {
        match self {
            Self::Imported(imported) => json!({ "imported": imported }),
            Self::Refused(error) => json!({ "refused": of_refusal(error) }),
        }
    }
}

impl Says for Preflighted {
    fn says(&self, _: &Value) -> Value {
        let later = self.transient.iter();
        let later =
            later.map(|(of, transient)| json!({ "connector": of, "transient": of_transient(transient) }));
        let failed = self.failed.iter();
        let failed = failed.map(|(of, failure)| json!({ "connector": of, "failure": of_failure(failure) }));
        json!({
            "missing": self.missing.iter().map(of_challenge).collect::<Vec<_>>(),
            "transient": later.collect::<Vec<_>>(),
            "failed": failed.collect::<Vec<_>>(),
        })
    }
}

impl Says for Redirect {
    fn says(&self, _: &Value) -> Value {
        json!({
            "url": self.url,
            "cookie": self.cookie.as_ref().map(|cookie| cookie.expose()),
            "process_secret": self.process_secret.as_ref().map(|secret| secret.expose()),
            "flow": self.flow,
            "expires_at": self.expires_at,
            "issuer": self.issuer,
            "protected": self.protected,
            "parent": self.parent,
            "notes": self.notes,
        })
    }
}

impl Says for Rejection {
    fn says(&self, recorded: &Value) -> Value {
        match self {
            Self::Challenge(challenge) => json!({ "challenge": of_challenge(challenge) }),
            Self::Nothing => json!("nothing"),
            Self::Retry(ready) => json!({ "retry": of_ready(ready, &recorded["retry"]) }),
            Self::Transient(transient) => json!({ "transient": of_transient(transient) }),
        }
    }
}

impl Says for Resolution {
    fn says(&self, recorded: &Value) -> Value {
        match self {
            Self::Challenge(challenge) => json!({ "challenge": of_challenge(challenge) }),
            Self::Ready(ready) => json!({ "ready": of_ready(ready, &recorded["ready"]) }),
            Self::Transient(transient) => json!({ "transient": of_transient(transient) }),
        }
    }
}

impl Says for SecretStored {
    fn says(&self, _: &Value) -> Value {
        match self {
            Self::Refused(error) => json!({ "refused": of_refusal(error) }),
            Self::Stored => json!("stored"),
        }
    }
}

fn of_response(response: &Response) -> Value {
    let headers = response.headers.iter().map(|header| json!([header.name, header.value.expose()]));
    json!({
        "status": response.status,
        "headers": headers.collect::<Vec<_>>(),
        "body": str::from_utf8(response.body.expose()).unwrap(),
        "page": response.page,
        "failure": response.failure.as_ref().map(of_failure),
    })
}

fn of_failure(failure: &Failure) -> Value {
    json!({
        "slug": failure.slug(),
        "fault": failure.fault().as_str(),
        "retry": failure.retry().as_str(),
        "retry_at": failure.retry_from(),
        "message": failure.code().message(),
        "reason": failure.reason(),
        "peer_text": failure.peer_text(),
        "next": failure.next_step(),
        "evidence": failure.evidence(),
    })
}

fn of_refusal(error: &ConfigError) -> Value {
    json!({ "field": error.field(), "problem": error.problem(), "message": error.to_string() })
}

fn of_transient(transient: &Transient) -> Value {
    let observed = transient
        .observed
        .map(|seen| json!({ "connection": seen.connection, "version": seen.version.0.to_string(), "for_ms": seen.for_ms }));
    json!({ "retry_at": transient.retry_at, "failure": of_failure(&transient.failure), "observed": observed })
}

fn of_challenge(challenge: &Challenge) -> Value {
    let http_409 = challenge.render(Form::Http409).body;
    let mut said = value(&http_409);
    let rendered = |form| {
        let rendered = challenge.render(form);
        json!({ "placed": rendered.placed, "json": rendered.body })
    };
    json!({
        "id": challenge.id,
        "reason": challenge.reason.as_str(),
        "detail": said["detail"].take(),
        "connector": challenge.connector,
        "owner": challenge.owner,
        "scopes": challenge.scopes,
        "url": challenge.url,
        "ticket": challenge.ticket,
        "expires_at": challenge.expires_at,
        "text": challenge.text(),
        "http_409": http_409,
        "url_elicitation": rendered(Form::UrlElicitation),
        "input_required": rendered(Form::InputRequired),
        "server_sent_event": challenge.render(Form::ServerSentEvent).body,
    })
}

fn of_ready(ready: &Ready, recorded: &Value) -> Value {
    let header = |(name, value): (&str, &Secret)| (json!({ "header": name }), value.expose().to_owned());
    let env = |(name, value): (&str, &Secret)| (json!({ "env": name }), value.expose().to_owned());
    let moment = Moment::new(UnixMillis(0), [1; 32]);
    let covers = |url: &str| ready.headers(&moment, "POST", url).is_ok();
    // A resolution names neither URL; it says which ones it is for.
    let server = recorded["server_url"].as_str().unwrap();
    assert!(covers(server) && covers(&format!("{server}/below")) && !covers("https://elsewhere.example/mcp"));
    let audience = recorded["audience"].as_str();
    assert!(audience.is_none_or(covers));
    let mut injections: Vec<_> = ready.own_headers().map(header).chain(ready.env().map(env)).collect();
    let place = |target: &Value| {
        recorded["injections"].as_array().unwrap().iter().position(|i| i["target"] == *target)
    };
    injections.sort_by_key(|(target, _)| place(target));
    let injection = |(target, value)| json!({ "target": target, "value": value });
    json!({
        "injections": injections.into_iter().map(injection).collect::<Vec<_>>(),
        "attribution": ready.attribution(),
        "generation": ready.generation(),
        "pool_key": ready.pool_key(),
        "expires_at": ready.expires_at(),
        "scopes": ready.scopes(),
        "warnings": ready.warnings(),
        "server_url": server,
        "audience": audience,
        "needs_proof": false,
    })
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}
