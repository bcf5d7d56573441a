//! One request and its response on an open connection.

use bytes::Bytes;
use grantway_core::operation::{HttpRequest, HttpResponse, Peer};
use grantway_core::secret::SecretBytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use url::{Position, Url};

/// LIMIT: about what all response headers together may take, and what is read ahead of a body (atk:NET-09). hyper may
/// overshoot by one read.
const BUFFER_BYTES: usize = 64 * 1024;

/// The request as HTTP/1.1 wants it, or `None` if a header cannot be sent.
pub(super) fn encode(request: &HttpRequest, url: &Url) -> Option<Request<Full<Bytes>>> {
    let mut message = Request::builder()
        .method(request.method.as_str())
        .uri(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(CONNECTION, "close")
        .body(Full::new(Bytes::copy_from_slice(request.body.expose())))
        .ok()?;
    for header in &request.headers {
        let name = HeaderName::try_from(&header.name).ok()?;
        let mut value = HeaderValue::try_from(header.value.expose()).ok()?;
        value.set_sensitive(true);
        message.headers_mut().append(name, value);
    }
    Some(message)
}

/// Sends the request and reads the response, at most `max_bytes` of its body.
pub(super) async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    message: Request<Full<Bytes>>,
    max_bytes: usize,
    peer: Peer,
) -> hyper::Result<HttpResponse> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER_BYTES);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let response = sender.send_request(message).await?;
        receive(response, max_bytes, peer).await
    };
    // INVARIANT: the connection is polled here and nowhere else, so that it ends with this future.
    tokio::pin!(connection, exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // It has ended first; what it read is still to be had, as is the reason.
        _ = &mut connection => exchange.await,
    }
}

async fn receive(response: Response<Incoming>, max_bytes: usize, peer: Peer) -> hyper::Result<HttpResponse> {
    let (head, mut incoming) = response.into_parts();
    let mut body = Vec::new();
    let mut truncated = false;
    while let Some(frame) = incoming.frame().await.transpose()? {
        // Trailers are dropped: nothing in OAuth travels in them.
        let Ok(data) = frame.into_data() else { continue };
        let room = max_bytes.saturating_sub(body.len());
        body.extend(data.iter().take(room));
        // atk:NET-09
        if data.len() > room {
            truncated = true;
            break;
        }
    }
    Ok(HttpResponse {
        status: head.status.as_u16(),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: SecretBytes::new(body),
        truncated,
        peer,
    })
}

/// COMPAT: what is not UTF-8 becomes U+FFFD, so that a header which cannot be read is still seen to be there.
fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
