//! The listener for those who watch over the peer. Plain HTTP on an address of its own: it must not be reachable for
//! those whom the API keeps apart, since channel names are labels here.

use crate::{
    api::context::PeerContext,
    limits::MONITOR_CONNECTIONS_MAX,
    net::{deadlines::Paced, wire::speak},
    problem::{ApiError, Kind},
};
use actix_http::{HttpMessage as _, Request};
use actix_server::{Server, ServerBuilder, ServerHandle};
use actix_service::{
    IntoServiceFactory as _, ServiceFactory as _, ServiceFactoryExt as _, fn_factory, fn_service, map_config,
};
use actix_web::{
    App, HttpRequest, HttpResponse,
    dev::AppConfig,
    guard,
    http::{StatusCode, header},
    rt::net::TcpStream,
    web,
};
use ledger_classes::primitives::causes::in_one_line;
use std::{
    net::{IpAddr, TcpListener},
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};

/// The content type of the exposition (OpenMetrics 1.0).
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Of the answers to `/healthz` and `/readyz`.
const TEXT: &str = "text/plain; charset=utf-8";

/// What the listener answers from.
struct Watched {
    context: web::Data<PeerContext>,
    names: Vec<String>,
}

/// The listener while it runs.
pub(crate) struct Monitor(Arc<Mutex<Option<ServerHandle>>>);

impl Monitor {
    /// Starts it on a bound socket.
    pub(crate) fn start(socket: TcpListener, context: &web::Data<PeerContext>, names: Vec<String>) -> Self {
        let watched = web::Data::new(Watched { context: context.clone(), names });
        let current = Arc::new(Mutex::new(None));
        let handle = Arc::clone(&current);
        context.tasks.start("monitor", move || {
            let server = socket.try_clone().and_then(|socket| serve(socket, watched.clone()));
            let handle = Arc::clone(&handle);
            async move {
                // It begins anew as after a panic.
                let server = server.unwrap_or_else(|error| panic!("the listener for metrics: {error}"));
                *handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(server.handle());
                server.await.unwrap_or_else(|error| panic!("the listener for metrics: {error}"));
            }
        });
        Self(current)
    }

    /// Stops it at once.
    pub(crate) async fn stop(self) {
        let handle = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle {
            handle.stop(false).await;
        }
    }
}

fn serve(socket: TcpListener, watched: web::Data<Watched>) -> std::io::Result<Server> {
    let builder = ServerBuilder::new()
        .workers(1)
        .max_concurrent_connections(MONITOR_CONNECTIONS_MAX)
        .disable_signals()
        .shutdown_timeout(1);
    let drains = builder.graceful_shutdown_signal();
    let factory = move || {
        let (drains, limits) = (drains.clone(), watched.context.limits.clone());
        let app = App::new().app_data(watched.clone()).configure(configure);
        let app = app.into_factory().map_err(|error: actix_web::Error| error.error_response());
        let app = map_config(app, |()| AppConfig::default());
        fn_factory(move || {
            let (app, drains, limits) = (app.new_service(()), drains.clone(), limits.clone());
            async move {
                let app = Rc::new(app.await?);
                Ok::<_, ()>(fn_service(move |tcp: TcpStream| {
                    let (stream, app, drains) = (Paced::new(tcp, &limits), Rc::clone(&app), drains.clone());
                    let pace = stream.pace();
                    // While it is answered no head is late; behind it the connection is idle.
                    let prepare = move |request: &mut Request| {
                        request.extensions_mut().insert(pace.answer());
                    };
                    async move { speak(stream, app, drains, prepare).await.map_err(drop) }
                }))
            }
        })
    };
    Ok(builder.listen("monitor", socket, factory)?.run())
}

/// GET and HEAD of what is here, and a named refusal for the rest.
fn configure(services: &mut web::ServiceConfig) {
    let refuse = || async { ApiError::from(Kind::MethodNotAllowed).allowing("GET, HEAD").response() };
    let get = |path, answer: fn(&Watched) -> HttpResponse| {
        let reads = guard::Any(guard::Get()).or(guard::Head());
        let answer = move |watched: web::Data<Watched>, request: HttpRequest| async move {
            let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
            match host.is_none_or(|host| is_asked_by(host, &watched.names)) {
                true => answer(&watched),
                false => HttpResponse::build(StatusCode::MISDIRECTED_REQUEST).content_type(TEXT).body(
                    "this listener is asked by an address, by localhost, or by a name in metrics.names of chancery.toml\n",
                ),
            }
        };
        web::resource(path).route(web::route().guard(reads).to(answer)).default_service(web::to(refuse))
    };
    services
        .service(get("/metrics", expose))
        .service(get("/healthz", health))
        .service(get("/readyz", readiness))
        .default_service(web::to(|| async { ApiError::from(Kind::RouteUnknown).response() }));
}

/// Whether this is whom a request means. The name of a page whose owner lets it lead to this address would have a browser
/// read here for that page; an address cannot be made to lead elsewhere.
fn is_asked_by(host: &str, names: &[String]) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let name = name.trim_end_matches('.');
    address.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn expose(watched: &Watched) -> HttpResponse {
    let text = watched.context.metrics.expose(&watched.context);
    HttpResponse::Ok().content_type(MEDIA_TYPE).body(text)
}

/// Whether it is of use to let the process live: everything that it does in the background goes on.
fn health(watched: &Watched) -> HttpResponse {
    verdict(watched.context.tasks.failure().into_iter().collect())
}

/// Whether requests should come here: it takes connections, and those who connect accept its certificate. A channel that
/// has halted, or a disk that is full, is no reason to take the others away.
fn readiness(watched: &Watched) -> HttpResponse {
    let context = &watched.context;
    let mut reasons: Vec<String> = context.tasks.failure().into_iter().collect();
    if *context.draining.borrow() {
        reasons.push("the peer is shutting down".into());
    }
    if let Err(why) = context.trust.standing() {
        reasons.push(format!("the peer's own certificate is not accepted: {}", in_one_line(&why)));
    }
    verdict(reasons)
}

/// 200, or 503 with a line for each reason.
fn verdict(reasons: Vec<String>) -> HttpResponse {
    match reasons.is_empty() {
        true => HttpResponse::Ok().content_type(TEXT).body("ok\n"),
        false => HttpResponse::ServiceUnavailable().content_type(TEXT).body(reasons.join("\n") + "\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page by the name of evil.example, which leads to this address, read the names of hidden channels.
    #[test]
    fn a_strangers_name_does_not_lead_here() {
        let names = ["peer-1.monitoring".to_owned()];
        for (host, is_meant) in [
            ("127.0.0.1:7101", true),
            ("10.0.0.7", true),
            ("[::1]:7101", true),
            ("[fd00::1]", true),
            ("localhost:7101", true),
            ("LOCALHOST.", true),
            ("peer-1.monitoring:7101", true),
            ("Peer-1.Monitoring", true),
            ("evil.example", false),
            ("evil.example:7101", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("peer-1", false),
            ("", false),
        ] {
            assert_eq!(is_asked_by(host, &names), is_meant, "{host}");
        }
    }
}
