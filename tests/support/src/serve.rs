//! The same servers over real loopback HTTP, in real time.
//!
//! A server's URL holds its port, so the port is bound first: [`Listener::bind`], then [`Listener::url`] for the issuer
//! string or the resource, then [`Listener::serve`]. [`Browser`] is who visits them.

mod browser;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use self::browser::{Answer, Browser};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use grantway_core::moment::UnixMillis;
use tokio::sync::oneshot;

use crate::issuer::Issuer;
use crate::mcp::McpServer;
use crate::message::{Request, Response};
use crate::network::Server;

/// A port on 127.0.0.1 that is bound and not served yet.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    url: String,
}

impl Listener {
    /// Binds a free port.
    ///
    /// # Errors
    /// The system gives none.
    pub fn bind() -> io::Result<Self> {
        Self::bind_to(0)
    }

    /// Binds this port, as a server that comes back does.
    ///
    /// # Errors
    /// It is taken.
    pub fn bind_to(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        listener.set_nonblocking(true)?;
        let url = format!("http://{}", listener.local_addr()?);
        Ok(Self { listener, url })
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Serves until the result is dropped. Of several servers the first that does not answer 404 answers.
    ///
    /// # Panics
    /// The system gives no thread.
    pub fn serve(self, servers: Vec<Box<dyn Server>>) -> Serving {
        let (stop, stopped) = oneshot::channel();
        let (url, listener) = (self.url.clone(), self.listener);
        let thread = std::thread::spawn(move || run(listener, self.url, servers, stopped));
        Serving { url, stop: Some(stop), thread: Some(thread) }
    }
}

/// Servers at work on a thread of their own. Dropping it closes the port and all connections.
#[derive(Debug)]
pub struct Serving {
    url: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// An issuer on a port of its own.
    ///
    /// # Errors
    /// The system gives no port.
    pub fn issuer() -> io::Result<(Issuer, Self)> {
        let listener = Listener::bind()?;
        let issuer = Issuer::salted(listener.url(), &now().0.to_string());
        let serving = listener.serve(vec![Box::new(issuer.clone())]);
        Ok((issuer, serving))
    }

    /// An MCP server at `/mcp` on a port of its own.
    ///
    /// # Errors
    /// The system gives no port.
    pub fn mcp(issuer: &Issuer) -> io::Result<(McpServer, Self)> {
        let listener = Listener::bind()?;
        let mcp = McpServer::new(&format!("{}/mcp", listener.url()), issuer);
        let serving = listener.serve(vec![Box::new(mcp.clone())]);
        Ok((mcp, serving))
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The wall clock, for questions such as [`Issuer::live_token`] in real time.
pub fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn run(listener: TcpListener, url: String, servers: Vec<Box<dyn Server>>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let servers = Arc::new(Mutex::new(servers));
    let answer = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let url = format!("{url}{uri}");
        let servers = Arc::clone(&servers);
        async move {
            let headers = headers.iter().map(|(name, value)| {
                (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            });
            let request =
                Request { method: method.to_string(), url, headers: headers.collect(), body: body.to_vec() };
            let response =
                first_answer(&mut servers.lock().unwrap_or_else(PoisonError::into_inner), &request);
            tokio::time::sleep(Duration::from_millis(response.delay_ms)).await;
            on_the_wire(response)
        }
    };
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a bound listener");
        // Not gracefully: clients keep connections open, and a test that ends must not wait for them.
        tokio::select! {
            result = axum::serve(listener, Router::new().fallback(answer)) => result.expect("a server"),
            _ = stopped => {}
        }
    });
}

fn first_answer(servers: &mut [Box<dyn Server>], request: &Request) -> Response {
    let mut response = Response::new(404);
    for server in servers {
        response = server.handle(request, now());
        if response.status != 404 {
            break;
        }
    }
    response
}

fn on_the_wire(response: Response) -> axum::http::Response<Body> {
    let mut wire = axum::http::Response::new(Body::from(response.body));
    *wire.status_mut() = StatusCode::from_u16(response.status).expect("a status");
    for (name, value) in &response.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        wire.headers_mut().append(name, HeaderValue::from_str(value).expect("a header value"));
    }
    wire
}
