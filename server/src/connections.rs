//! The listener: TCP, TLS, time limits ([`crate::pace`]), HTTP ([`crate::wire`]).

use crate::{
    api, config::Limits, context::PeerContext, descriptors, limits::CONNECTIONS_LOOK, metrics::PeerMetrics,
    pace::Paced, tls::Connection, wire::speak,
};
use actix_http::{HttpMessage as _, Request};
use actix_server::{GracefulShutdownSignal, Server, ServerBuilder};
use actix_service::{IntoServiceFactory as _, Service, ServiceFactory, ServiceFactoryExt as _, fn_factory, map_config};
use actix_tls::accept::{
    TlsError, max_concurrent_tls_connect,
    rustls_0_23::{Acceptor, AcceptorService},
};
use actix_web::{
    App, HttpResponse,
    body::MessageBody,
    dev::{AppConfig, ServiceResponse},
    middleware::from_fn,
    rt::net::TcpStream,
    web,
};
use futures_util::{FutureExt as _, future::LocalBoxFuture};
use rustls::ServerConfig;
use std::{
    convert::Infallible,
    io,
    net::TcpListener,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

/// Serves HTTPS on a bound socket with so many threads. [`Places::keep`] is to run beside it.
pub(crate) fn serve(
    socket: TcpListener,
    tls: ServerConfig,
    context: &web::Data<PeerContext>,
    threads: usize,
) -> io::Result<(Server, Arc<Places>)> {
    let limits = context.limits.clone();
    let each = descriptors::connections(limits.connections_max, context.registry.list().len()).div_ceil(threads);
    // Handshakes at a time: those that do not go on must not keep others from theirs.
    max_concurrent_tls_connect(each);
    let builder = ServerBuilder::new()
        .workers(threads)
        .max_concurrent_connections(each)
        .shutdown_timeout(limits.drain_seconds)
        .disable_signals();
    let drains = builder.graceful_shutdown_signal();
    let places = Places::new(each * threads);
    let (context, kept) = (context.clone(), Arc::clone(&places));
    let factory = move || {
        let (context, drains, places) = (context.clone(), drains.clone(), Arc::clone(&places));
        let head = Duration::from_millis(context.limits.header_timeout_ms);
        let app = App::new().app_data(context.clone()).wrap(from_fn(api::observe)).configure(api::configure);
        let app = app.into_factory().map_err(|error: actix_web::Error| error.error_response());
        let app = map_config(app, |()| AppConfig::default());
        let mut acceptor = Acceptor::new(tls.clone());
        acceptor.set_handshake_timeout(head);
        fn_factory(move || {
            let (app, acceptor) = (app.new_service(()), ServiceFactory::<TcpStream>::new_service(&acceptor, ()));
            let (context, drains, places) = (context.clone(), drains.clone(), Arc::clone(&places));
            async move {
                let (acceptor, app) = (acceptor.await?, Rc::new(app.await?));
                Ok::<_, ()>(Listening { acceptor, app, context, drains, places })
            }
        })
    };
    Ok((builder.listen("https", socket, factory)?.run(), kept))
}

/// What becomes of a TCP connection.
struct Listening<A> {
    acceptor: AcceptorService,
    app: Rc<A>,
    context: web::Data<PeerContext>,
    drains: GracefulShutdownSignal,
    places: Arc<Places>,
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
        ready!(Service::<TcpStream>::poll_ready(&self.acceptor, cx)).map_err(drop)?;
        self.app.poll_ready(cx).map_err(drop)
    }

    fn call(&self, tcp: TcpStream) -> Self::Future {
        let place = self.places.take();
        prepare(&tcp, &self.context.limits);
        let address = tcp.peer_addr().ok();
        let handshake = self.acceptor.call(tcp);
        let (app, context, drains) = (Rc::clone(&self.app), self.context.clone(), self.drains.clone());
        let from = address.map_or_else(|| "?".to_owned(), |address| address.to_string());
        async move {
            let _place = place;
            // Whoever fails here learns it from TLS.
            let secure = handshake.await.map_err(|error| refused(&from, &context.metrics, error))?;
            let stream = Paced::new(secure, &context.limits);
            let guard = context.metrics.connected();
            let connection = Rc::new(Connection::new(&stream, &context.trust, guard));
            let ended = speak(stream, app, drains, move |request| {
                request.head_mut().peer_addr = address;
                request.extensions_mut().insert(Rc::clone(&connection));
            });
            ended.await.map_err(|error| tracing::info!(from, %error, "a connection was closed"))
        }
        .boxed_local()
    }
}

/// Says why there is no connection. Whoever goes away in the middle, as those do who only try a port, was not refused.
fn refused(from: &str, metrics: &PeerMetrics, error: TlsError<io::Error, Infallible>) {
    match error {
        TlsError::Tls(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            tracing::debug!(from, "a handshake was not ended");
        }
        TlsError::Tls(error) => {
            metrics.handshake_refused();
            tracing::info!(from, %error, "a handshake was refused");
        }
        TlsError::Timeout => {
            metrics.handshake_refused();
            tracing::info!(from, "a handshake took too long");
        }
        TlsError::Service(never) => match never {},
    }
}

/// A connection that is gone already cannot be set up, and needs not be.
fn prepare(tcp: &TcpStream, limits: &Limits) {
    let _ = tcp.set_nodelay(true);
    // Who takes nothing of what is sent, or is not there any more: only the system knows how much was taken.
    #[cfg(target_os = "linux")]
    let _ = rustix::net::sockopt::set_tcp_user_timeout(tcp, u32::try_from(limits.write_timeout_ms).unwrap_or(u32::MAX));
}

/// How many connections there are, handshakes with them, and how many there may be. Says once that all are taken, and
/// once that they are free again: those who wait are not seen, and with each that goes another one comes.
pub(crate) struct Places {
    most: usize,
    taken: AtomicUsize,
    /// The highest number since the last look.
    peak: AtomicUsize,
    full: AtomicBool,
}

impl Places {
    fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: AtomicUsize::new(0), peak: AtomicUsize::new(0), full: AtomicBool::new(false) })
    }

    fn take(self: &Arc<Self>) -> Place {
        let taken = self.taken.fetch_add(1, Ordering::AcqRel) + 1;
        self.peak.fetch_max(taken, Ordering::AcqRel);
        if taken >= self.most && !self.full.swap(true, Ordering::AcqRel) {
            tracing::warn!(connections = self.most, "all connections are taken; others wait");
        }
        Place(Arc::clone(self))
    }

    /// Looks whether after a time in which all were taken they were not for a while.
    pub(crate) async fn keep(self: Arc<Self>) -> Infallible {
        let mut looks = tokio::time::interval(CONNECTIONS_LOOK);
        loop {
            looks.tick().await;
            let peak = self.peak.swap(self.taken.load(Ordering::Acquire), Ordering::AcqRel);
            if peak < self.most && self.full.swap(false, Ordering::AcqRel) {
                tracing::info!(connections = self.most, "connections are free again");
            }
        }
    }
}

/// One of the connections that there may be.
struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}
