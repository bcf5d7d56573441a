//! Whom the transport believes.

use std::sync::Arc;

use grantway::transport::rustls::pki_types::PrivateKeyDer;
use grantway::transport::rustls::{ClientConfig, RootCertStore, ServerConfig};
use grantway::transport::{Hyper, Transport};
use grantway_core::operation::{HttpReply, NotSent};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Names, Server, get, read_request, response, write};

/// A certificate that stands for itself, in both roles.
pub(crate) struct Identity {
    pub(crate) acceptor: TlsAcceptor,
    client: ClientConfig,
}

impl Identity {
    pub(crate) fn new(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut server = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { acceptor: TlsAcceptor::from(Arc::new(server)), client }
    }

    /// A transport that trusts this certificate only, and to which every name is this machine.
    pub(crate) fn trusting(&self) -> Hyper {
        Hyper::with_tls(self.client.clone()).with_resolver(Names::new(&[&["127.0.0.1"]]))
    }
}

/// A server that says what came of each handshake, and plays the script on those that succeed.
async fn server<F>(
    identity: &Identity,
    script: impl Fn(TlsStream<TcpStream>) -> F + Copy + Send + 'static,
) -> (Server, mpsc::UnboundedReceiver<bool>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let acceptor = identity.acceptor.clone();
    let (seen, handshakes) = mpsc::unbounded_channel();
    let server = Server::start(move |tcp| {
        let (acceptor, seen) = (acceptor.clone(), seen.clone());
        async move {
            let tls = acceptor.accept(tcp).await;
            let _ = seen.send(tls.is_ok());
            if let Ok(tls) = tls {
                script(tls).await;
            }
        }
    })
    .await;
    (server, handshakes)
}

async fn answer(mut tls: TlsStream<TcpStream>) {
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    read_request(&mut tls).await;
    write(&mut tls, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let _ = tls.shutdown().await;
}

#[tokio::test]
async fn a_trusted_certificate_with_the_right_name_is_accepted() {
    let identity = Identity::new("issuer.example");
    let (server, _) = server(&identity, answer).await;
    let url = format!("https://issuer.example:{}/", server.port);
    assert_eq!(response(identity.trusting().exchange(get(url)).await).body.expose(), b"ok");
}

//= spec/oauth21.md#7-1-3-2
//= type=test
//# TLS certificate chains MUST be validated, and a bearer token travels over TLS only (NET-08, U).
#[tokio::test]
async fn a_self_signed_certificate_is_refused_and_nothing_is_sent() {
    let identity = Identity::new("issuer.example");
    let (server, mut handshakes) = server(&identity, answer).await;
    let transport = Hyper::new().unwrap().with_resolver(Names::new(&[&["127.0.0.1"]]));
    let reply = transport.exchange(get(format!("https://issuer.example:{}/", server.port))).await;
    assert!(matches!(reply, HttpReply::NotSent(NotSent::Unreachable)), "{reply:?}");
    assert_eq!(handshakes.recv().await, Some(false));
}

//= spec/oauth21.md#7-1-3-2
//= type=test
//# TLS certificate chains MUST be validated, and a bearer token travels over TLS only (NET-08, U).
#[tokio::test]
async fn a_certificate_for_another_name_is_refused_and_nothing_is_sent() {
    let identity = Identity::new("issuer.example");
    let (server, mut handshakes) = server(&identity, answer).await;
    for host in ["other.example", "127.0.0.1"] {
        let reply = identity.trusting().exchange(get(format!("https://{host}:{}/", server.port))).await;
        assert!(matches!(reply, HttpReply::NotSent(NotSent::Unreachable)), "{reply:?}");
        assert_eq!(handshakes.recv().await, Some(false));
    }
}

#[tokio::test]
async fn an_address_can_be_what_a_certificate_names() {
    let identity = Identity::new("127.0.0.1");
    let (server, _) = server(&identity, answer).await;
    let url = format!("https://127.0.0.1:{}/", server.port);
    assert_eq!(response(identity.trusting().exchange(get(url)).await).status, 200);
}

#[tokio::test]
async fn a_response_cut_off_without_the_end_of_tls_leaves_the_outcome_unknown() {
    let identity = Identity::new("issuer.example");
    let (server, _) = server(&identity, |mut tls| async move {
        read_request(&mut tls).await;
        write(&mut tls, "HTTP/1.1 200 OK\r\n\r\n{\"access_token\":\"a").await;
        // Dropped, not shut down: anybody on the path could do that.
    })
    .await;
    let reply = identity.trusting().exchange(get(format!("https://issuer.example:{}/", server.port))).await;
    assert!(matches!(reply, HttpReply::UnknownOutcome), "{reply:?}");
}
