//! The loopback address at which the browser comes back (RFC 8252 §7.3): listened at only while a flow lasts.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use grantway::Secret;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, LOCATION, REFERRER_POLICY,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::{Host, Url};

use crate::report::Problem;

/// The port that is tried first, so that an issuer meets the same redirect URI again. No other service is known to use it.
const PORT: u16 = 48741;

/// LIMIT: longer than the exchange and the commits that an answer waits for.
const ANSWER_WITHIN: Duration = Duration::from_secs(40);

/// Sockets that are bound. Nothing is accepted yet.
pub(crate) struct Listener {
    sockets: Vec<TcpListener>,
    redirect_uri: String,
    path: String,
    authority: String,
}

/// The browser has come back.
pub(crate) struct Arrival {
    /// The whole URL. It holds the code.
    pub(crate) url: Secret,
    /// What the browser is to show.
    pub(crate) answer: oneshot::Sender<Page>,
}

/// What the browser shows in the end, at a URL of its own without the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Connected,
    Ignored,
    NotConnected,
}

impl Listener {
    /// Binds this URL's port, or the usual one, or a free one. By IPv4, or where that is missing by IPv6.
    pub(crate) async fn bind(redirect_uri: Option<&str>) -> Result<Self, Problem> {
        match redirect_uri {
            Some(uri) => Self::bind_to(uri).await,
            None => Self::bind_anywhere().await.map_err(|error| {
                let message = format!("no loopback port can be listened at: {error}");
                Problem::machine("command.no_loopback", message, "check this machine's network")
            }),
        }
    }

    async fn bind_anywhere() -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        //= spec/rfc8252.md#7-3
        //# A loopback redirect SHOULD name an IP literal and a port chosen for the flow, with a listener on
        //# loopback only, IPv4 or IPv6, that lives no longer than the flow (AZQ-12, U).
        for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            for port in [PORT, 0] {
                match TcpListener::bind((ip, port)).await {
                    Ok(socket) => {
                        let authority = socket.local_addr()?.to_string();
                        return Ok(Self {
                            sockets: vec![socket],
                            redirect_uri: format!("http://{authority}/callback"),
                            path: "/callback".to_owned(),
                            authority,
                        });
                    }
                    Err(error) => last = error,
                }
            }
        }
        Err(last)
    }

    async fn bind_to(text: &str) -> Result<Self, Problem> {
        let refused = || {
            let message = format!("`{text}` is not a loopback URL with a port");
            Problem::usage(message, "give one such as `http://127.0.0.1:8765/callback`")
        };
        let url = Url::parse(text).map_err(|_| refused())?;
        let port = url.port().filter(|_| url.scheme() == "http").ok_or_else(refused)?;
        let ips = match url.host() {
            Some(Host::Ipv4(ip)) if ip.is_loopback() => vec![IpAddr::V4(ip)],
            Some(Host::Ipv6(ip)) if ip.is_loopback() => vec![IpAddr::V6(ip)],
            Some(Host::Domain("localhost")) => {
                vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
            }
            _ => return Err(refused()),
        };
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err(refused());
        }
        let mut sockets = Vec::new();
        let mut last = None;
        for ip in ips {
            match TcpListener::bind(SocketAddr::new(ip, port)).await {
                Ok(socket) => sockets.push(socket),
                Err(error) => last = Some(error),
            }
        }
        // Of `localhost`, one of its addresses is enough where the machine has only one; a port in use is in use.
        match last {
            Some(error) if sockets.is_empty() || error.kind() == io::ErrorKind::AddrInUse => {
                let message = format!("`{text}` cannot be listened at: {error}");
                Err(Problem::machine("command.port_taken", message, "end the program that uses the port"))
            }
            _ => Ok(Self {
                sockets,
                redirect_uri: text.to_owned(),
                path: url.path().to_owned(),
                authority: format!("{}:{port}", url.host_str().unwrap_or_default()),
            }),
        }
    }

    /// The URL that the issuer is to send the browser to.
    pub(crate) fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Accepts browsers until the result is dropped.
    pub(crate) fn serve(self) -> (Serving, mpsc::Receiver<Arrival>) {
        let (arrivals, arrived) = mpsc::channel(8);
        let shown = Arc::new(Notify::new());
        let site = Arc::new(Site { path: self.path, authority: self.authority, arrivals });
        let mut tasks = JoinSet::new();
        for socket in self.sockets {
            tasks.spawn(accept(socket, Arc::clone(&site), Arc::clone(&shown)));
        }
        (Serving { _tasks: tasks, shown }, arrived)
    }
}

/// Listening. Dropping it closes the port and all connections.
pub(crate) struct Serving {
    _tasks: JoinSet<()>,
    shown: Arc<Notify>,
}

impl Serving {
    /// Gives a browser that was sent to a page the time to fetch it.
    pub(crate) async fn let_page_be_fetched(self) {
        let _ = timeout(Duration::from_secs(2), self.shown.notified()).await;
    }
}

struct Site {
    path: String,
    authority: String,
    arrivals: mpsc::Sender<Arrival>,
}

async fn accept(socket: TcpListener, site: Arc<Site>, shown: Arc<Notify>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = socket.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        // LIMIT: one browser has one tab there; a program that opens more is kept waiting for nothing.
        if connections.len() >= 16 {
            continue;
        }
        let (site, shown) = (Arc::clone(&site), Arc::clone(&shown));
        connections.spawn(async move {
            let ended = AtomicBool::new(false);
            let service = service_fn(async |request| {
                let (response, is_end) = site.answer(request).await;
                ended.fetch_or(is_end, Ordering::Relaxed);
                Ok::<_, Infallible>(response)
            });
            let mut builder = http1::Builder::new();
            builder.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            if ended.load(Ordering::Relaxed) {
                shown.notify_one();
            }
        });
    }
}

impl Site {
    /// The response, and whether it is the last page of the flow.
    async fn answer(&self, request: Request<Incoming>) -> (Response<Full<Bytes>>, bool) {
        // A page of another site, whose name was made to lead here, names itself.
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if !host.eq_ignore_ascii_case(&self.authority) {
            return (plain(StatusCode::MISDIRECTED_REQUEST), false);
        }
        if request.method() != Method::GET {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET"));
            return (response, false);
        }
        if let Some(page) = Page::ALL.into_iter().find(|page| page.path() == request.uri().path()) {
            return (page.response(), page != Page::Ignored);
        }
        if request.uri().path() != self.path {
            return (plain(StatusCode::NOT_FOUND), false);
        }
        let (answer, answered) = oneshot::channel();
        let url = Secret::new(format!("http://{}{}", self.authority, request.uri()));
        let page = match self.arrivals.try_send(Arrival { url, answer }) {
            Ok(()) => timeout(ANSWER_WITHIN, answered).await.ok().and_then(Result::ok),
            Err(_) => None,
        };
        //= spec/oauth21.md#2-3-6
        //# The callback page SHOULD hold no third-party script and lead on to a clean URL, and MUST NOT
        //# redirect to a place the request names (AZR-12, U).
        // atk:CSR-10: away from the URL with the code, before anything can be shown or remembered.
        let mut response = plain(StatusCode::SEE_OTHER);
        let location = hyper::header::HeaderValue::from_static(page.unwrap_or(Page::NotConnected).path());
        response.headers_mut().insert(LOCATION, location);
        (response, false)
    }
}

impl Page {
    const ALL: [Self; 3] = [Self::Connected, Self::Ignored, Self::NotConnected];

    const fn path(self) -> &'static str {
        match self {
            Self::Connected => "/connected",
            Self::Ignored => "/ignored",
            Self::NotConnected => "/not-connected",
        }
    }

    fn response(self) -> Response<Full<Bytes>> {
        let (title, text) = match self {
            Self::Connected => ("Connected", "You can close this page and go back to the terminal."),
            Self::Ignored => (
                "Not what was waited for",
                "This page was opened by something else than the sign-in under way, which still waits.",
            ),
            Self::NotConnected => ("Not connected", "The terminal says why, and what to do next."),
        };
        let body = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
             <h1>{title}</h1>\n<p>{text}</p>\n</html>\n"
        );
        let mut response = plain(StatusCode::OK);
        let html = hyper::header::HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, html);
        *response.body_mut() = Full::new(Bytes::from(body));
        response
    }
}

/// Without a body. Nothing is stored, nothing is referred to, nothing can be run or framed.
fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let response = Response::builder()
        .status(status)
        .header(CACHE_CONTROL, "no-store")
        .header(REFERRER_POLICY, "no-referrer")
        .header(CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; form-action 'none'")
        .header("X-Content-Type-Options", "nosniff")
        .body(Full::default());
    // INVARIANT: all of it is static and well-formed.
    response.unwrap_or_default()
}
