//! The transport against scripted servers on loopback.

mod addresses;
mod bodies;
mod environment;
mod proxy;
mod sending;
mod tls;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use grantway::transport::{BoxFuture, Hyper, Resolve, Transport};
use grantway_core::address::AddressPolicy;
use grantway_core::operation::{Header, HttpReply, HttpRequest, HttpResponse, Method};
use grantway_core::secret::{Secret, SecretBytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A request with ample limits, loopback allowed.
pub(crate) fn get(url: impl Into<String>) -> HttpRequest {
    HttpRequest {
        method: Method::Get,
        url: url.into(),
        headers: Vec::new(),
        body: SecretBytes::default(),
        max_response_bytes: 64 * 1024,
        timeout_ms: 20_000,
        start_within_ms: 20_000,
        address_policy: AddressPolicy::Loopback,
    }
}

pub(crate) fn post(url: impl Into<String>, headers: &[(&str, &str)], body: Vec<u8>) -> HttpRequest {
    let header = |(name, value): &(&str, &str)| Header { name: (*name).into(), value: Secret::new(*value) };
    HttpRequest {
        method: Method::Post,
        headers: headers.iter().map(header).collect(),
        body: SecretBytes::new(body),
        ..get(url)
    }
}

pub(crate) async fn exchange(request: HttpRequest) -> HttpReply {
    Hyper::new().unwrap().exchange(request).await
}

pub(crate) fn response(reply: HttpReply) -> HttpResponse {
    match reply {
        HttpReply::Response(response) => response,
        other => panic!("no response: {other:?}"),
    }
}

/// A server on loopback that plays the same script on every connection.
pub(crate) struct Server {
    pub(crate) port: u16,
    connections: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) async fn start<F>(script: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(script(tcp));
            }
        });
        Self { port, connections }
    }

    /// A server that reads a request and answers with these bytes.
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        Self::start(move |mut tcp| {
            let answer = Arc::clone(&answer);
            async move {
                read_request(&mut tcp).await;
                tcp.write_all(&answer).await.unwrap();
            }
        })
        .await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Reads up to the end of the headers and the body they announce; less, if the peer closes.
pub(crate) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut seen = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        seen.push(byte);
        if seen.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let head = String::from_utf8(seen).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    head + &String::from_utf8(body).unwrap()
}

/// Reads until the peer closes or resets.
pub(crate) async fn read_rest(stream: &mut (impl AsyncRead + Unpin)) -> (Vec<u8>, io::Result<usize>) {
    let mut seen = Vec::new();
    let end = stream.read_to_end(&mut seen).await;
    (seen, end)
}

pub(crate) async fn write(stream: &mut (impl AsyncWrite + Unpin), text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

/// A resolver that gives these answers, one after the other, the last for ever; `None`: no such name.
pub(crate) struct Names {
    answers: Vec<Option<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Names {
    pub(crate) fn new(answers: &[&[&str]]) -> Self {
        let parse = |answer: &&[&str]| Some(answer.iter().map(|text| text.parse().unwrap()).collect());
        Self { answers: answers.iter().map(parse).collect(), asked: AtomicUsize::new(0) }
    }

    pub(crate) fn unknown() -> Self {
        Self { answers: vec![None], asked: AtomicUsize::new(0) }
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers.get(asked).or(self.answers.last()).cloned().flatten();
        Box::pin(async move { answer.ok_or_else(|| io::ErrorKind::NotFound.into()) })
    }
}

/// A resolver that never answers.
pub(crate) struct Silence;

impl Resolve for Silence {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(std::future::pending())
    }
}
