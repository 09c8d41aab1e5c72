//! The listener for those who watch over the peer. Plain HTTP on an address of its own: it must not be reachable for
//! those whom the API keeps apart, since channel names are labels here.

use crate::context::PeerContext;
use actix_web::{
    App, HttpResponse, HttpServer,
    dev::{Server, ServerHandle},
    web,
};
use std::{
    net::TcpListener,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// The content type of the exposition (OpenMetrics 1.0).
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the listener answers from.
struct Watched {
    context: web::Data<PeerContext>,
    data_dir: PathBuf,
}

/// The listener while it runs.
pub(crate) struct Monitor(Arc<Mutex<Option<ServerHandle>>>);

impl Monitor {
    /// Starts it on a bound socket.
    pub(crate) fn start(socket: TcpListener, context: &web::Data<PeerContext>, data_dir: PathBuf) -> Self {
        let watched = web::Data::new(Watched { context: context.clone(), data_dir });
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
    let server = HttpServer::new(move || App::new().app_data(watched.clone()).route("/metrics", web::get().to(expose)));
    Ok(server.workers(1).disable_signals().shutdown_timeout(1).listen(socket)?.run())
}

async fn expose(watched: web::Data<Watched>) -> HttpResponse {
    let text = watched.context.metrics.expose(&watched.context, &watched.data_dir);
    HttpResponse::Ok().content_type(MEDIA_TYPE).body(text)
}
