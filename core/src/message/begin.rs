//! Operations by name: the table of all of them, and one type for whichever it is.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{MessageError, read};
use super::outcome::{Message, outcome};
use super::value::Object;
use crate::downstream::authenticate::Authenticate;
use crate::downstream::handle::Handle;
use crate::downstream::sign_ins::{ListSignIns, RevokeSignIn};
use crate::engine::Engine;
use crate::moment::Moment;
use crate::operation::{Effect, Machine, Misuse, Operation, Reply, Step};
use crate::secret::SecretBytes;
use crate::upstream::begin_connect::BeginConnect;
use crate::upstream::complete_connect::CompleteConnect;
use crate::upstream::confirm_account::ConfirmAccount;
use crate::upstream::connectors::{DeleteConnector, ListConnectors, PutConnector};
use crate::upstream::disconnect::Disconnect;
use crate::upstream::discover::Discover;
use crate::upstream::import_grant::ImportGrant;
use crate::upstream::open_ticket::OpenTicket;
use crate::upstream::preflight::Preflight;
use crate::upstream::purge::Purge;
use crate::upstream::refresh_due::RefreshDue;
use crate::upstream::report_rejected::ReportRejected;
use crate::upstream::resolve::Resolve;
use crate::upstream::secrets::{DeleteSecret, ListSecrets, StoreSecret};
use crate::upstream::status::{ListConnections, StatusOf};
use crate::upstream::suspend::{Restore, Suspend};
use crate::upstream::sweep::Sweep;

macro_rules! operations {
    ($($name:ident($arguments:ty),)+) => {
        /// The names of all operations, sorted.
        pub const OPERATIONS: &[&str] = &[$(stringify!($name),)+];

        fn create(
            engine: &Arc<Engine>,
            name: &str,
            arguments: &RawValue,
        ) -> Result<AnyOperation, MessageError> {
            let json = arguments.get().as_bytes();
            match name {
                $(stringify!($name) => Ok(AnyOperation {
                    name: stringify!($name),
                    operation: Box::new(engine.$name(read::<Object<$arguments>>("arguments", json)?.0)),
                }),)+
                _ => Err(MessageError::new("operation", "there is no such operation")),
            }
        }
    };
}

operations! {
    authenticate(Authenticate),
    begin_connect(BeginConnect),
    complete_connect(CompleteConnect),
    confirm_account(ConfirmAccount),
    delete_connector(DeleteConnector),
    delete_secret(DeleteSecret),
    disconnect(Disconnect),
    discover(Discover),
    handle(Handle),
    import_grant(ImportGrant),
    list_connections(ListConnections),
    list_connectors(ListConnectors),
    list_secrets(ListSecrets),
    list_sign_ins(ListSignIns),
    open_ticket(OpenTicket),
    preflight(Preflight),
    purge(Purge),
    put_connector(PutConnector),
    refresh_due(RefreshDue),
    report_rejected(ReportRejected),
    resolve(Resolve),
    restore(Restore),
    revoke_sign_in(RevokeSignIn),
    status_of(StatusOf),
    store_secret(StoreSecret),
    suspend(Suspend),
    sweep(Sweep),
}

/// Begins the operation that a request names: `{"operation":"resolve","arguments":{…}}`. Nothing has happened yet.
///
/// # Errors
/// The member that is missing, unknown, given twice or not of its form.
pub fn begin(engine: &Arc<Engine>, request: &[u8]) -> Result<AnyOperation, MessageError> {
    let Object(request) = read::<Object<Request<'_>>>("", request)?;
    create(engine, &request.operation, request.arguments)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request<'a> {
    operation: String,
    #[serde(borrow)]
    arguments: &'a RawValue,
}

/// An operation, whichever it is. Its outcome is JSON.
pub struct AnyOperation {
    name: &'static str,
    operation: Box<dyn Steps + Send>,
}

/// What a step of any operation comes to.
#[derive(Debug)]
pub enum AnyStep {
    /// Carry this out and call `step` with the reply.
    Perform(Effect),
    /// The operation has ended. The outcome as JSON, which may hold secrets.
    Done(SecretBytes),
}

impl AnyOperation {
    /// Its name, as in the request.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// As [`Operation::step`].
    ///
    /// # Errors
    /// [`Misuse`] only; it changes nothing, and a right reply may follow.
    pub fn step(&mut self, moment: &Moment, reply: Reply) -> Result<AnyStep, Misuse> {
        self.operation.step(moment, reply)
    }
}

impl fmt::Debug for AnyOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyOperation").field("name", &self.name).finish_non_exhaustive()
    }
}

/// An operation whose type is forgotten.
trait Steps {
    fn step(&mut self, moment: &Moment, reply: Reply) -> Result<AnyStep, Misuse>;
}

impl<M> Steps for Operation<M>
where
    M: Machine,
    M::Output: Message,
{
    fn step(&mut self, moment: &Moment, reply: Reply) -> Result<AnyStep, Misuse> {
        Ok(match Operation::step(self, moment, reply)? {
            Step::Perform(effect) => AnyStep::Perform(effect),
            Step::Done(ended) => AnyStep::Done(outcome(&ended)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::UnixMillis;
    use crate::operation::CommitReply;

    const RESOLVE: &str = r#"{"operation":"resolve","arguments":{"connector":"files",
        "caller":{"tenant":"acme","principal":{"kind":"user","id":"alice"}}}}"#;

    fn engine() -> Arc<Engine> {
        let keyring = r#"{"current":{"id":1,"key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"},"routing":"ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8"}"#;
        crate::message::engine(format!(r#"{{"client_name":"Tests","keyring":{keyring}}}"#).as_bytes())
            .unwrap()
    }

    fn refused(request: &str) -> String {
        begin(&engine(), request.as_bytes()).unwrap_err().to_string()
    }

    fn moment(seed: u8) -> Moment {
        Moment::new(UnixMillis(1), [seed; 32])
    }

    #[test]
    fn an_operation_begins_by_its_name() {
        let mut operation = begin(&engine(), RESOLVE.as_bytes()).unwrap();
        assert_eq!(operation.name(), "resolve");
        let step = operation.step(&moment(7), Reply::Start).unwrap();
        assert!(matches!(step, AnyStep::Perform(Effect::Read { .. })), "{step:?}");
    }

    #[test]
    fn names_are_sorted_and_each_has_an_operation() {
        assert!(OPERATIONS.is_sorted());
        for name in OPERATIONS {
            let error = refused(&format!(r#"{{"operation":"{name}","arguments":{{"x":1}}}}"#));
            assert!(error.starts_with("`arguments.x`: unknown member"), "{name}: {error}");
        }
    }

    #[test]
    fn what_is_not_a_request_is_refused_by_member() {
        for (request, expected) in [
            ("", "not JSON (line 1, column 0)"),
            ("[]", "expected an object"),
            (r#"{"arguments":{}}"#, "`operation`: missing"),
            (r#"{"operation":"resolve"}"#, "`arguments`: missing"),
            (r#"{"operation":"resolve","arguments":{},"x":{}}"#, "`x`: unknown member"),
            (r#"{"operation":"resolve","operation":"sweep","arguments":{}}"#, "`operation`: given twice"),
            (r#"{"operation":"resolv","arguments":{}}"#, "`operation`: there is no such operation"),
            (r#"{"operation":"resolve","arguments":[]}"#, "`arguments`: expected an object"),
            (r#"{"operation":"resolve","arguments":{}}"#, "`arguments.caller`: missing"),
            (
                r#"{"operation":"refresh_due","arguments":{"tenant":""}}"#,
                "`arguments.tenant`: must be 1 to 255 bytes long",
            ),
        ] {
            assert_eq!(refused(request), expected, "{request}");
        }
        let request = RESOLVE.replace("user", "robot");
        assert!(
            refused(&request)
                .starts_with("`arguments.caller.principal.kind`: expected one of `user`, `team`")
        );
    }

    #[test]
    fn misuse_changes_nothing() {
        let mut operation = begin(&engine(), RESOLVE.as_bytes()).unwrap();
        assert!(operation.step(&moment(0), Reply::Start).is_err());
        assert!(operation.step(&moment(7), Reply::Commit(CommitReply::Committed)).is_err());
        assert!(operation.step(&moment(7), Reply::Start).is_ok());
    }

    #[test]
    fn operations_move_between_threads() {
        fn can_move<T: Send>() {}
        can_move::<AnyOperation>();
    }
}
