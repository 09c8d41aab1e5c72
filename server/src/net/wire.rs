//! HTTP/1.1 on a connection: hyper reads and writes it, an actix-web application answers. actix-http's own dispatcher
//! takes an `Upgrade` header for an upgrade, sends chunks to HTTP/1.0 and `100 Continue` before anybody looked at a
//! request, and answers pipelined requests by what the last one asks for (decision 0018).
//!
//! What hyper leaves to us of RFC 9112 is in [`check`]. A connection is closed for writing first, and what still comes
//! is read for a moment (§9.6): else the answer could be lost with it. It is not decrypted, and read at a pace that is one
//! for all of a thread: bodies that were refused take no processor from others.

use crate::{
    clock,
    limits::{HEAD_BYTES_MAX, HEADER_LINES_MAX, LINGER, LINGER_BYTES, LINGER_PAUSE},
    net::{caller::Tls, deadlines::Paced},
    problem::{ApiError, Kind, MEDIA_TYPE},
};
use actix_http::{BoxedPayloadStream, ConnectionType, Payload, Request, error::PayloadError};
use actix_server::GracefulShutdownSignal;
use actix_service::Service;
use actix_web::{
    HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    dev::ServiceResponse,
    http as actix,
    web::Bytes,
};
use futures_util::{Stream, future::LocalBoxFuture};
use hyper::{
    Response, StatusCode, Version,
    body::{Body, Frame, Incoming, SizeHint},
    header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING},
    http::{request, uri::Authority},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep_until},
};

/// Speaks HTTP on a connection until it ends. `prepare` puts into each request what is known of the connection.
pub(crate) async fn speak<IO, S, B>(
    stream: Paced<IO>,
    application: Rc<S>,
    drains: GracefulShutdownSignal,
    prepare: impl Fn(&mut Request) + 'static,
) -> hyper::Result<()>
where
    IO: AsyncRead + AsyncWrite + Below + Unpin + 'static,
    S: Service<Request, Response = ServiceResponse<B>, Error = HttpResponse> + 'static,
    B: MessageBody + 'static,
{
    let prepare = Rc::new(prepare);
    let service = service_fn(move |request| -> LocalBoxFuture<'static, io::Result<Answer>> {
        let (application, prepare) = (Rc::clone(&application), Rc::clone(&prepare));
        Box::pin(async move { Ok(answer(request, &*application, &*prepare).await) })
    });
    let mut builder = http1::Builder::new();
    builder.max_headers(HEADER_LINES_MAX).max_header_size(HEAD_BYTES_MAX).max_buf_size(HEAD_BYTES_MAX);
    // What is written is queued and not copied: a buffer for it would grow with the largest piece, and stay.
    builder.writev(true);
    let mut connection = builder.serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => ended,
        () = drains.notified() => {
            Pin::new(&mut connection).graceful_shutdown();
            poll_fn(|cx| connection.poll_without_shutdown(cx)).await
        }
    };
    let stream = connection.into_parts().io.into_inner();
    let late = stream.head_is_late();
    close(stream.into_inner(), late).await;
    ended
}

thread_local! {
    /// Where bytes are read that nobody wants.
    static UNWANTED: RefCell<Vec<u8>> = RefCell::new(vec![0; LINGER_BYTES]);
    /// When the next of them may be read.
    static NEXT: Cell<Instant> = Cell::new(Instant::now());
}

/// A stream above a TCP connection.
pub(crate) trait Below {
    /// The connection.
    fn below(&self) -> &TcpStream;
}

impl Below for TcpStream {
    fn below(&self) -> &TcpStream {
        self
    }
}

impl Below for Tls {
    fn below(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// RFC 9112 §9.6: closes for writing, reads on until the other end closes, too, but for a moment only.
async fn close(mut stream: impl AsyncWrite + Below + Unpin, late: bool) {
    let closing = async {
        if late {
            stream.write_all(&too_late()).await?;
        }
        stream.shutdown().await?;
        loop {
            stream.below().readable().await?;
            let turn = NEXT.get().max(Instant::now());
            NEXT.set(turn + LINGER_PAUSE);
            sleep_until(turn).await;
            match UNWANTED.with_borrow_mut(|unwanted| stream.below().try_read(unwanted)) {
                Ok(0) => return Ok::<_, io::Error>(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    };
    // Who does not close, either, is left.
    let _ = tokio::time::timeout(LINGER, closing).await;
}

/// The answer to a head that did not come in time (RFC 9110 §15.5.9): there is no request that hyper would answer.
fn too_late() -> Vec<u8> {
    let problem = serde_json::to_string(&ApiError::from(Kind::RequestTimeout).problem()).unwrap_or_default();
    let now = actix::header::HttpDate::from(SystemTime::UNIX_EPOCH + Duration::from_millis(clock::now().millis()));
    let length = problem.len();
    format!(
        "HTTP/1.1 408 Request Timeout\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {length}\r\n\
         connection: close\r\ndate: {now}\r\n\r\n{problem}"
    )
    .into_bytes()
}

/// What no application needs to see. The connection is closed after it.
fn check(version: Version, headers: &HeaderMap) -> Result<(), ApiError> {
    // RFC 9112 §3.2: exactly one host; in HTTP/1.0 there may be none.
    let is_host = |host: &HeaderValue| {
        let authority = Authority::try_from(host.as_bytes());
        host.is_empty() || authority.is_ok_and(|authority| !authority.as_str().contains('@'))
    };
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version < Version::HTTP_11 => {}
        (Some(host), None) if is_host(host) => {}
        _ => return Err(ApiError::new(Kind::Malformed, "one Host header that names a host is needed").closing()),
    }
    // RFC 9112 §6.1.
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(ApiError::from(Kind::TransferCodingUnknown).closing()),
    }
}

async fn answer<S, B>(request: hyper::Request<Incoming>, application: &S, prepare: &impl Fn(&mut Request)) -> Answer
where
    S: Service<Request, Response = ServiceResponse<B>, Error = HttpResponse>,
    B: MessageBody + 'static,
{
    let (head, body) = request.into_parts();
    let unread = Rc::new(Cell::new(!body.is_end_stream()));
    let unreadable = || ApiError::new(Kind::Malformed, "the request line has no target that can be read").closing();
    let translated = check(head.version, &head.headers).and_then(|()| translate(&head).ok_or_else(unreadable));
    let response = match translated {
        Err(refusal) => refusal.response(),
        Ok(translated) => {
            let payload: Payload<BoxedPayloadStream> = if unread.get() {
                Payload::Stream { payload: Box::pin(Arriving { body, unread: Rc::clone(&unread) }) }
            } else {
                Payload::None
            };
            let (mut request, _) = translated.replace_payload(payload);
            prepare(&mut request);
            match application.call(request).await {
                Ok(answer) => answer.into_parts().1.map_into_boxed_body(),
                Err(refusal) => refusal,
            }
        }
    };
    let (head, body) = response.into_parts();
    let mut answer = Response::new(Outgoing(body));
    *answer.status_mut() = StatusCode::from_u16(head.status().as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in head.headers() {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            answer.headers_mut().append(name, value);
        }
    }
    // Where a body was not read to its end nobody finds the next request.
    if unread.get() || head.head().connection_type() == ConnectionType::Close {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

type Answer = Response<Outgoing>;

/// A head as actix-web wants it; nothing if its libraries do not agree on what a URI is.
fn translate(head: &request::Parts) -> Option<Request> {
    let mut request = Request::new();
    let translated = request.head_mut();
    translated.method = actix::Method::from_bytes(head.method.as_str().as_bytes()).ok()?;
    translated.uri = match head.uri.path_and_query() {
        Some(target) if head.uri.authority().is_none() => target.as_str().parse().ok()?,
        _ => head.uri.to_string().parse().ok()?,
    };
    translated.version = match head.version {
        Version::HTTP_10 => actix::Version::HTTP_10,
        _ => actix::Version::HTTP_11,
    };
    for (name, value) in &head.headers {
        let name = actix::header::HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        translated.headers_mut().append(name, actix::header::HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    Some(request)
}

/// A request's body.
struct Arriving {
    body: Incoming,
    /// Whether some of it is still to come.
    unread: Rc<Cell<bool>>,
}

impl Stream for Arriving {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => {
                    self.unread.set(false);
                    return Poll::Ready(None);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(PayloadError::Io(io::Error::other(error))))),
                Some(Ok(frame)) => {
                    if self.body.is_end_stream() {
                        self.unread.set(false);
                    }
                    // Trailer fields say nothing here (RFC 9110 §6.5.1).
                    if let Ok(bytes) = frame.into_data() {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
            }
        }
    }
}

/// A body that goes out.
struct Outgoing(BoxBody);

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = ready!(Pin::new(&mut self.0).poll_next(cx));
        Poll::Ready(piece.map(|piece| match piece {
            Ok(bytes) => Ok(Frame::data(bytes)),
            Err(error) => Err(io::Error::other(error.to_string())),
        }))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0.size(), BodySize::None | BodySize::Sized(0))
    }

    fn size_hint(&self) -> SizeHint {
        match self.0.size() {
            BodySize::None => SizeHint::with_exact(0),
            BodySize::Sized(bytes) => SizeHint::with_exact(bytes),
            BodySize::Stream => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::{io::AsyncReadExt as _, net::TcpListener};

    /// Bodies of 8 MiB that were refused were read, and decrypted, as fast as they came: two dozen who sent such bodies took
    /// most of a processor from everybody else.
    #[actix_web::test]
    async fn what_nobody_wants_is_read_at_one_pace_for_all_connections_of_a_thread() {
        const BYTES: usize = 16 * LINGER_BYTES;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let start = Instant::now();
        let connection = async || {
            let sends = async {
                let mut client = TcpStream::connect(address).await.unwrap();
                client.write_all(&vec![0; BYTES]).await.unwrap();
                client.shutdown().await.unwrap();
                // Nothing is written to it, and it is closed.
                assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
            };
            let closes = async { close(listener.accept().await.unwrap().0, false).await };
            tokio::join!(sends, closes);
        };
        tokio::join!(connection(), connection(), connection());
        let (reads, took) = (3 * BYTES / LINGER_BYTES, start.elapsed());
        assert!(took >= LINGER_PAUSE * (reads - 1) as u32, "{took:?} for {reads} reads");
    }
}
