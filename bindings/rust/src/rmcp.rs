//! The credential of a caller in each call of an [`rmcp`](https://docs.rs/rmcp) client to an upstream.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use grantway::{Caller, Grantway};
//! # use grantway::rmcp::Authorized;
//! # use rmcp::transport::streamable_http_client::*;
//! # fn connect<C: StreamableHttpClient + Sync>(gw: &Arc<Grantway>, me: Caller, client: C) {
//! // `client` with `reqwest`: one built with `redirect(Policy::none())`, so that no redirect takes a credential along.
//! let client = Authorized::new(gw, me, "notion", client);
//! let config = StreamableHttpClientTransportConfig::with_uri("https://mcp.notion.com/mcp");
//! let transport = StreamableHttpClientTransport::with_client(client.clone(), config);
//! // … `().serve(transport).await`; where that or a later call fails, `client.challenge()` says whether a person is needed.
//! # }
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::BoxStream;
use grantway_core::challenge::Challenge;
use grantway_core::principal::Caller;
use grantway_core::secret::Secret;
use grantway_core::upstream::ready::Ready;
use http::header::{HeaderName, HeaderValue};
use rmcp::model::{ClientJsonRpcMessage, ClientRequest};
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use sse_stream::Sse;

use crate::{CallError, Grantway, Rejection, Resolution};

/// A client whose every call carries the caller's credential for one upstream: it is resolved for the call, and a call that is refused
/// is reported and, if the engine says so, made once more. An `auth_header` of the transport's configuration counts for nothing.
///
/// Where there is no credential the error is [`StreamableHttpError::Client`] with a [`CallError`] in it.
#[derive(Clone)]
pub struct Authorized<C> {
    gw: Arc<Grantway>,
    caller: Caller,
    connector: Arc<str>,
    client: C,
    challenge: Arc<Mutex<Option<Challenge>>>,
}

type Headers = HashMap<HeaderName, HeaderValue>;
type Failed<E> = StreamableHttpError<CallError<E>>;

impl<C: StreamableHttpClient + Sync> Authorized<C> {
    /// For calls of this caller to the upstream of this connector.
    pub fn new(gw: &Arc<Grantway>, caller: Caller, connector: &str, client: C) -> Self {
        let connector = Arc::from(connector);
        Self { gw: Arc::clone(gw), caller, connector, client, challenge: Arc::default() }
    }

    /// The challenge that the newest call of this client or one of its clones has ended in, if it has. For what the client library does by
    /// itself, such as the first messages, and where it keeps the error to itself; see also [`challenge_of`].
    pub fn challenge(&self) -> Option<Challenge> {
        self.challenge.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn call<T, F>(
        &self,
        method: &str,
        url: &str,
        operation: &str,
        headers: Headers,
        send: impl Fn(Headers) -> F + Send,
    ) -> Result<T, Failed<C::Error>>
    where
        F: Future<Output = Result<T, StreamableHttpError<C::Error>>> + Send,
        T: Send,
    {
        let result = self.try_call(method, url, operation, headers, send).await;
        let challenge = match &result {
            Err(StreamableHttpError::Client(CallError::Challenge(challenge))) => {
                Some(challenge.as_ref().clone())
            }
            _ => None,
        };
        *self.challenge.lock().unwrap_or_else(PoisonError::into_inner) = challenge;
        result
    }

    async fn try_call<T, F>(
        &self,
        method: &str,
        url: &str,
        operation: &str,
        headers: Headers,
        send: impl Fn(Headers) -> F + Send,
    ) -> Result<T, Failed<C::Error>>
    where
        F: Future<Output = Result<T, StreamableHttpError<C::Error>>> + Send,
        T: Send,
    {
        let (gw, caller, connector) = (&self.gw, &self.caller, &*self.connector);
        let ready = match gw.resolve(caller, connector).await.map_err(|failure| client(failure.into()))? {
            Resolution::Ready(ready) => ready,
            Resolution::Challenge(challenge) => return Err(client(CallError::Challenge(challenge))),
            Resolution::Transient(transient) => {
                return Err(client(CallError::Transient(Box::new(transient))));
            }
        };
        let first = self.with_credential(&ready, method, url, headers.clone())?;
        let error = match send(first).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let Some(ready) = self.after(&ready, operation, &error).await? else { return Err(translated(error)) };
        let second = self.with_credential(&ready, method, url, headers)?;
        match send(second).await {
            Ok(answer) => Ok(answer),
            Err(error) => {
                // Refused again, it may be time for a person; it is not time for a third try.
                self.after(&ready, operation, &error).await?;
                Err(translated(error))
            }
        }
    }

    /// What to make the call with once more, if it was refused and that may help.
    async fn after(
        &self,
        used: &Ready,
        operation: &str,
        error: &StreamableHttpError<C::Error>,
    ) -> Result<Option<Arc<Ready>>, Failed<C::Error>> {
        let Some((status, said)) = refused(error) else { return Ok(None) };
        let said = said.map(|said| ("WWW-Authenticate".to_owned(), Secret::new(said)));
        let (caller, connector) = (&self.caller, &*self.connector);
        let rejection = self.gw.report_rejected(caller, connector, Some(used), operation, status, said).await;
        match rejection.map_err(|failure| client(failure.into()))? {
            Rejection::Retry(ready) => Ok(Some(ready)),
            Rejection::Nothing => Ok(None),
            Rejection::Challenge(challenge) => Err(client(CallError::Challenge(challenge))),
            Rejection::Transient(transient) => Err(client(CallError::Transient(Box::new(transient)))),
        }
    }

    /// The headers with those of a resolution, each in the place of one of its name.
    fn with_credential(
        &self,
        ready: &Ready,
        method: &str,
        url: &str,
        mut headers: Headers,
    ) -> Result<Headers, Failed<C::Error>> {
        let moment = self.gw.moment();
        let own = ready.headers(&moment, method, url).map_err(|failure| client(failure.into()))?;
        for (name, value) in own {
            // INVARIANT: names and values of injections are checked when a connector is put and a token is received.
            if let (Ok(name), Ok(mut value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value.expose()))
            {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        Ok(headers)
    }
}

impl<C: StreamableHttpClient + Sync> StreamableHttpClient for Authorized<C> {
    type Error = CallError<C::Error>;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        _: Option<String>,
        custom_headers: Headers,
    ) -> Result<StreamableHttpPostResponse, Failed<C::Error>> {
        let send = |headers| {
            self.client.post_message(Arc::clone(&uri), message.clone(), session_id.clone(), None, headers)
        };
        self.call("POST", &uri, &operation(&message), custom_headers, send).await
    }

    async fn post_message_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        _: Option<String>,
        custom_headers: Headers,
        max_sse_event_size: usize,
    ) -> Result<StreamableHttpPostResponse, Failed<C::Error>> {
        let send = |headers| {
            let (uri, message, session_id) = (Arc::clone(&uri), message.clone(), session_id.clone());
            let (client, size) = (&self.client, max_sse_event_size);
            client.post_message_with_max_sse_event_size(uri, message, session_id, None, headers, size)
        };
        self.call("POST", &uri, &operation(&message), custom_headers, send).await
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        _: Option<String>,
        custom_headers: Headers,
    ) -> Result<(), Failed<C::Error>> {
        let send =
            |headers| self.client.delete_session(Arc::clone(&uri), Arc::clone(&session_id), None, headers);
        self.call("DELETE", &uri, "delete session", custom_headers, send).await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        _: Option<String>,
        custom_headers: Headers,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Failed<C::Error>> {
        let send = |headers| {
            let (uri, session_id, last) = (Arc::clone(&uri), session_id.clone(), last_event_id.clone());
            self.client.get_stream(uri, session_id, last, None, headers)
        };
        self.call("GET", &uri, "listen", custom_headers, send).await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        _: Option<String>,
        custom_headers: Headers,
        max_sse_event_size: usize,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Failed<C::Error>> {
        let send = |headers| {
            let (uri, session_id, last) = (Arc::clone(&uri), session_id.clone(), last_event_id.clone());
            let (client, size) = (&self.client, max_sse_event_size);
            client.get_stream_with_max_sse_event_size(uri, session_id, last, None, headers, size)
        };
        self.call("GET", &uri, "listen", custom_headers, send).await
    }
}

/// The challenge in an error of the client library's, where the client below was a `C`.
pub fn challenge_of<'e, C: StreamableHttpClient>(error: &'e (dyn Error + 'static)) -> Option<&'e Challenge> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(StreamableHttpError::Client(CallError::Challenge(challenge))) =
            error.downcast_ref::<Failed<C::Error>>()
        {
            return Some(challenge);
        }
        at = error.source();
    }
    None
}

/// What the call is named for the count of step-ups.
fn operation(message: &ClientJsonRpcMessage) -> String {
    match message {
        ClientJsonRpcMessage::Request(request) => match &request.request {
            ClientRequest::CallToolRequest(call) => format!("tools/call {}", call.params.name),
            other => other.method().to_owned(),
        },
        _ => "notification".to_owned(),
    }
}

/// The status and the challenge, if the server has refused the credential.
fn refused<E: Error + Send + Sync + 'static>(error: &StreamableHttpError<E>) -> Option<(u16, Option<&str>)> {
    match error {
        StreamableHttpError::AuthRequired(said) => Some((401, Some(&said.www_authenticate_header))),
        StreamableHttpError::InsufficientScope(said) => Some((403, Some(&said.www_authenticate_header))),
        StreamableHttpError::HttpStatus(said) => {
            [401, 403].contains(&said.status).then_some((said.status, None))
        }
        // As rmcp's own clients say it where the server gives no challenge.
        StreamableHttpError::UnexpectedServerResponse(said) if said.starts_with("HTTP 401") => {
            Some((401, None))
        }
        StreamableHttpError::UnexpectedServerResponse(said) if said.starts_with("HTTP 403") => {
            Some((403, None))
        }
        _ => None,
    }
}

const fn client<E: Error + Send + Sync + 'static>(error: CallError<E>) -> Failed<E> {
    StreamableHttpError::Client(error)
}

/// The same error of a client with another type of errors.
fn translated<E: Error + Send + Sync + 'static>(error: StreamableHttpError<E>) -> Failed<E> {
    use StreamableHttpError as Of;
    match error {
        Of::AuthRequired(it) => Of::AuthRequired(it),
        Of::Client(it) => Of::Client(CallError::Send(it)),
        Of::ControlRequestTimeout => Of::ControlRequestTimeout,
        Of::Deserialize(it) => Of::Deserialize(it),
        Of::HttpStatus(it) => Of::HttpStatus(it),
        Of::InsufficientScope(it) => Of::InsufficientScope(it),
        Of::Io(it) => Of::Io(it),
        Of::MissingSessionIdInResponse => Of::MissingSessionIdInResponse,
        Of::ReinitializationFailed(it) => Of::ReinitializationFailed(it),
        Of::ReservedHeaderConflict(it) => Of::ReservedHeaderConflict(it),
        Of::ResponseBodyTooLarge { max_size } => Of::ResponseBodyTooLarge { max_size },
        Of::ServerDoesNotSupportDeleteSession => Of::ServerDoesNotSupportDeleteSession,
        Of::ServerDoesNotSupportSse => Of::ServerDoesNotSupportSse,
        Of::SessionExpired => Of::SessionExpired,
        Of::SessionRecoveryTimeout => Of::SessionRecoveryTimeout,
        Of::Sse(it) => Of::Sse(it),
        Of::TokioJoinError(it) => Of::TokioJoinError(it),
        Of::TransportChannelClosed => Of::TransportChannelClosed,
        Of::UnexpectedContentType(it) => Of::UnexpectedContentType(it),
        Of::UnexpectedEndOfStream => Of::UnexpectedEndOfStream,
        Of::UnexpectedServerResponse(it) => Of::UnexpectedServerResponse(it),
        other => Of::UnexpectedServerResponse(other.to_string().into()),
    }
}

impl<C> fmt::Debug for Authorized<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorized")
            .field("caller", &self.caller)
            .field("connector", &self.connector)
            .finish_non_exhaustive()
    }
}
