//! Calls with a credential, through whatever HTTP client the host has.

use std::sync::Arc;

use grantway_core::challenge::Challenge;
use grantway_core::error::Failure;
use grantway_core::principal::Caller;
use grantway_core::secret::Secret;
use grantway_core::upstream::ready::Ready;
use grantway_core::upstream::resolve::Transient;
use http::header::{HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};

use super::{Grantway, Rejection, Resolution};

/// Why a call has no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError<E> {
    /// A person is needed.
    #[error("{}", .0.text())]
    Challenge(Box<Challenge>),
    /// The credential cannot be had, or is not for this request.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The HTTP client failed.
    #[error(transparent)]
    Send(E),
    /// The credential cannot be had just now; nobody has to do anything.
    #[error("{}", .0.failure)]
    Transient(Box<Transient>),
}

impl Grantway {
    /// Makes a call to an upstream with the caller's credential: resolves, sets the headers, and hands the request to `send`; on
    /// 401 and 403 reports the rejection and, if the engine says so, makes the call once more.
    ///
    /// `operation` names the call for the count of step-ups (`tools/call search`). The client behind `send` must not follow
    /// redirects, because it would take the credential along. The future is good for `tokio::spawn` if the closure hands out one that
    /// borrows nothing:
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use grantway::{Caller, Grantway};
    /// # #[derive(Clone)] struct Client;
    /// # impl Client {
    /// #     async fn execute(&self, _: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, std::io::Error> { Err(std::io::Error::other("not connected")) }
    /// # }
    /// # fn start(gw: Arc<Grantway>, client: Client, me: Caller, request: http::Request<Vec<u8>>) {
    /// tokio::spawn(async move {
    ///     let send = move |request: http::Request<Vec<u8>>| {
    ///         let client = client.clone();
    ///         // With `reqwest`: `client.execute(request.try_into()?).await.map(http::Response::from)`, and a client that is built
    ///         // with `redirect(Policy::none())`.
    ///         async move { client.execute(request).await }
    ///     };
    ///     gw.send(&me, "notion", "tools/list", request, send).await.map(drop)
    /// });
    /// # }
    /// ```
    ///
    /// # Errors
    /// There is no credential, it is not for this URL, or `send` fails.
    pub async fn send<B: Clone, R, E>(
        &self,
        caller: &Caller,
        connector: &str,
        operation: &str,
        request: Request<B>,
        send: impl AsyncFn(Request<B>) -> Result<Response<R>, E>,
    ) -> Result<Response<R>, CallError<E>> {
        let ready = match self.resolve(caller, connector).await? {
            Resolution::Ready(ready) => ready,
            Resolution::Challenge(challenge) => return Err(CallError::Challenge(challenge)),
            Resolution::Transient(transient) => return Err(CallError::Transient(Box::new(transient))),
        };
        let first = self.with_headers(&ready, request.clone())?;
        let response = send(first).await.map_err(CallError::Send)?;
        let Some(ready) = self.after(caller, connector, operation, &ready, &response).await? else {
            return Ok(response);
        };
        let second = self.with_headers(&ready, request)?;
        let response = send(second).await.map_err(CallError::Send)?;
        // Refused again, it may be time for a person; it is not time for a third try.
        self.after(caller, connector, operation, &ready, &response).await?;
        Ok(response)
    }

    /// What to make the call with once more, if it was refused and that may help.
    async fn after<R, E>(
        &self,
        caller: &Caller,
        connector: &str,
        operation: &str,
        used: &Ready,
        response: &Response<R>,
    ) -> Result<Option<Arc<Ready>>, CallError<E>> {
        let status = response.status();
        if status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN {
            return Ok(None);
        }
        let said = response.headers().get_all(http::header::WWW_AUTHENTICATE).iter().map(|value| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            ("WWW-Authenticate".to_owned(), Secret::new(value))
        });
        let said = said.collect::<Vec<_>>();
        let rejection =
            self.report_rejected(caller, connector, Some(used), operation, status.as_u16(), said).await?;
        match rejection {
            Rejection::Retry(ready) => Ok(Some(ready)),
            Rejection::Nothing => Ok(None),
            Rejection::Challenge(challenge) => Err(CallError::Challenge(challenge)),
            Rejection::Transient(transient) => Err(CallError::Transient(Box::new(transient))),
        }
    }

    /// The request with the headers of a resolution, each in the place of one of its name.
    fn with_headers<B, E>(&self, ready: &Ready, mut request: Request<B>) -> Result<Request<B>, CallError<E>> {
        let (method, url) = (request.method().clone(), request.uri().to_string());
        for (name, value) in ready.headers(&self.moment(), method.as_str(), &url)? {
            // INVARIANT: names and values of injections are checked when a connector is put and a token is received.
            let (Ok(name), Ok(mut value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value.expose()))
            else {
                let code = grantway_core::error::Code::Internal;
                return Err(Failure::new(code).because("an injected header cannot be sent").into());
            };
            value.set_sensitive(true);
            request.headers_mut().insert(name, value);
        }
        Ok(request)
    }
}
