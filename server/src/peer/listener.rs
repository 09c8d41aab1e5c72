//! The listener: TCP, TLS ([`crate::net::handshakes`]), places ([`crate::net::places`]), time limits
//! ([`crate::net::deadlines`]), HTTP ([`crate::net::wire`]).
//!
//! Handshakes are done on threads that give way: whoever comes must not delay those who are in.

use crate::{
    api::{self, context::PeerContext},
    limits::{HANDSHAKES_NICE, SEND_BUFFER_BYTES, TLS_BUFFER_BYTES},
    net::{
        caller::{Caller, Connection, LiveCertificate, Tls, certificate},
        deadlines::Paced,
        wire::speak,
    },
    setup::config::Limits,
    telemetry::{metrics::PeerMetrics, seldom::Seldom},
};
use actix_http::{HttpMessage as _, Request};
use actix_server::{GracefulShutdownSignal, Server, ServerBuilder};
use actix_service::{
    IntoServiceFactory as _, Service, ServiceFactory as _, ServiceFactoryExt as _, fn_factory, map_config,
};
use actix_web::{
    App, HttpResponse,
    body::MessageBody,
    dev::{AppConfig, ServiceResponse},
    middleware::from_fn,
    rt::net::TcpStream,
    web,
};
use channel_actors::runtime::tasks::Aside;
use futures_util::{FutureExt as _, future::LocalBoxFuture};
use rustls::ServerConfig;
use std::{
    io,
    net::TcpListener,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// What connections cause to be written.
static LINES: Seldom = Seldom::new();

/// Serves HTTPS on a bound socket with so many threads, each of which takes `spare` sockets beyond its part of all places.
pub(crate) fn serve(
    socket: TcpListener,
    tls: ServerConfig,
    context: &web::Data<PeerContext>,
    threads: usize,
    spare: usize,
) -> io::Result<Server> {
    let limits = context.limits.clone();
    let each = (context.places.connections.total() + context.handshakes.most()).div_ceil(threads) + spare;
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let aside = context.tasks.aside("handshake", threads, HANDSHAKES_NICE)?;
    let builder = ServerBuilder::new()
        .workers(threads)
        .max_concurrent_connections(each)
        .shutdown_timeout(limits.drain_seconds)
        .disable_signals();
    let drains = builder.graceful_shutdown_signal();
    let context = context.clone();
    let factory = move || {
        let (context, drains) = (context.clone(), drains.clone());
        let (acceptor, aside) = (acceptor.clone(), aside.clone());
        let app = App::new().app_data(context.clone()).wrap(from_fn(api::observe)).configure(api::configure);
        let app = app.into_factory().map_err(|error: actix_web::Error| error.error_response());
        let app = map_config(app, |()| AppConfig::default());
        fn_factory(move || {
            let (app, acceptor, aside) = (app.new_service(()), acceptor.clone(), aside.clone());
            let (context, drains) = (context.clone(), drains.clone());
            async move { Ok::<_, ()>(Listening { acceptor, aside, app: Rc::new(app.await?), context, drains }) }
        })
    };
    Ok(builder.listen("https", socket, factory)?.run())
}

/// What becomes of a TCP connection.
struct Listening<A> {
    acceptor: TlsAcceptor,
    aside: Aside,
    app: Rc<A>,
    context: web::Data<PeerContext>,
    drains: GracefulShutdownSignal,
}

impl<A, B> Service<TcpStream> for Listening<A>
where
    A: Service<Request, Response = ServiceResponse<B>, Error = HttpResponse> + 'static,
    B: MessageBody + 'static,
{
    type Response = ();
    type Error = ();
    type Future = LocalBoxFuture<'static, Result<(), ()>>;

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.app.poll_ready(cx).map_err(drop)
    }

    fn call(&self, tcp: TcpStream) -> Self::Future {
        prepare(&tcp, &self.context.limits);
        let address = tcp.peer_addr().ok();
        let mut waiting = self.context.handshakes.come(address);
        let head = Duration::from_millis(self.context.limits.header_timeout_ms);
        let (stays, goes) = oneshot::channel::<()>();
        let mut handshake = self.handshake(tcp, goes).boxed_local();
        let (app, context, drains) = (Rc::clone(&self.app), self.context.clone(), self.drains.clone());
        let from = address.map_or_else(|| "?".to_owned(), |address| address.to_string());
        async move {
            let in_time = tokio::time::timeout(head, async {
                tokio::select! {
                    done = &mut handshake => done,
                    () = waiting.goes() => None,
                }
            });
            let (secure, certificate) = match in_time.await {
                // Whoever fails here learns it from TLS.
                Ok(Some(done)) => done.map_err(|error| refused(&from, &context.metrics, &error))?,
                ended => {
                    match ended {
                        Ok(_) => tracing::debug!(from, "a handshake gave way to others"),
                        Err(_) => late(&from, &context.metrics),
                    }
                    // Its socket is open until the thread that has it lets it go: it counts until then.
                    drop(stays);
                    handshake.await;
                    return Err(());
                }
            };
            let stream = Paced::new(secure, &context.limits);
            // One whose certificate is no longer good is told so by its first answer.
            let caller = Caller::judge(certificate.clone(), address.map(|address| address.ip()), &context.trust)
                .unwrap_or_default();
            let who = context.who(&caller, address);
            let (place, refusal) = match context.places.connections.take(&who, 1) {
                Ok(place) => (Some(place), None),
                Err(full) => (None, Some(full.into())),
            };
            let guard = context.metrics.connected();
            let pace = stream.pace();
            let connection = Rc::new(Connection::new(certificate, &stream, guard, who, refusal));
            // In a box: what is moved from one future into another has a place in each of them.
            let speaks = Box::pin(speak(stream, app, drains, move |request| {
                request.head_mut().peer_addr = address;
                request.extensions_mut().insert(Rc::clone(&connection));
            }));
            let ended = match &place {
                Some(_) => {
                    drop(waiting);
                    speaks.await
                }
                // It has one answer, in the time for a head, and its place among the handshakes until then.
                None => {
                    let answered = async {
                        tokio::select! {
                            ended = speaks => ended,
                            () = waiting.goes() => Ok(()),
                        }
                    };
                    tokio::time::timeout(head, answered).await.unwrap_or(Ok(()))
                }
            };
            drop(place);
            if let Some(cut) = pace.cut() {
                context.metrics.answer_cut(cut);
                tracing::debug!(from, why = cut.word(), "an answer was cut off: its reader was too slow");
            }
            ended.map_err(|error| {
                LINES.say(|left_out| tracing::info!(from, %error, left_out, "a connection was closed"));
            })
        }
        .boxed_local()
    }
}

impl<A> Listening<A> {
    /// The handshake, and what is to be known of the certificate that it shows; nothing if it has to go before. Then the
    /// socket is closed.
    fn handshake(
        &self,
        tcp: TcpStream,
        goes: oneshot::Receiver<()>,
    ) -> impl Future<Output = Option<io::Result<(Tls, Option<Arc<LiveCertificate>>)>>> + use<A> {
        let (acceptor, aside, trust) = (self.acceptor.clone(), self.aside.clone(), Arc::clone(&self.context.trust));
        async move {
            let work = async move {
                let accepted = acceptor.accept_with(tcp, |session| session.set_buffer_limit(Some(TLS_BUFFER_BYTES)));
                let secure = Box::new(accepted.await?);
                let certificate = certificate(&secure, &trust);
                Ok((secure, certificate))
            };
            // Nothing is ever sent: the sender goes.
            aside.run_until(work, async { drop(goes.await) }).await
        }
    }
}

/// Says why there is no connection. Whoever goes away in the middle, as those do who only try a port, was not refused.
fn refused(from: &str, metrics: &PeerMetrics, error: &io::Error) {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        tracing::debug!(from, "a handshake was not ended");
        return;
    }
    metrics.handshake_refused();
    LINES.say(|left_out| tracing::info!(from, %error, left_out, "a handshake was refused"));
}

/// Says that a handshake was not done in time.
fn late(from: &str, metrics: &PeerMetrics) {
    metrics.handshake_refused();
    LINES.say(|left_out| tracing::info!(from, left_out, "a handshake took too long"));
}

/// A connection that is gone already cannot be set up, and needs not be.
fn prepare(tcp: &TcpStream, limits: &Limits) {
    let _ = tcp.set_nodelay(true);
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(tcp, SEND_BUFFER_BYTES);
    // Who takes nothing of what is sent, or is not there any more: only the system knows how much was taken.
    #[cfg(target_os = "linux")]
    let _ = rustix::net::sockopt::set_tcp_user_timeout(tcp, u32::try_from(limits.write_timeout_ms).unwrap_or(u32::MAX));
}
