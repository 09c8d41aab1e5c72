//! How requests reach their handlers: registration of the routes, judgement of the caller before anything else, and
//! what every answer carries.

use super::{judged::still_good, media::EVENT_STREAM, route::Method, routes::ROUTES};
use crate::{
    api::context::PeerContext,
    net::{
        caller::{Caller, Connection},
        deadlines::AnswerBody,
        places::Who,
    },
    problem::{ApiError, Kind},
};
use actix_web::{
    Error, HttpMessage, HttpRequest, Resource,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    guard,
    http::{
        ConnectionType, Method as HttpMethod,
        header::{self, HeaderValue},
    },
    middleware::Next,
    web,
};
use client::api::{MEDIA_TYPE_LINES, MEDIA_TYPE_SUBMISSIONS};
use std::{rc::Rc, time::Instant};

/// Answers that last as long as their readers want.
const LASTING: [&str; 3] = [EVENT_STREAM, MEDIA_TYPE_LINES, MEDIA_TYPE_SUBMISSIONS];

/// The path of the route that a request has reached: to ask the library for it is to search all routes again.
struct Matched(&'static str);

/// Registers every route of the table.
pub fn configure(services: &mut web::ServiceConfig) {
    services
        .app_data(web::PathConfig::default().error_handler(|_, _| ApiError::from(Kind::RouteUnknown).into()))
        .default_service(web::to(|| async { ApiError::from(Kind::RouteUnknown).response() }));
    // A request is held against one path after the other: what is asked most comes first in the table.
    let mut resources: Vec<(&str, Resource, Vec<&str>)> = Vec::new();
    for route in ROUTES {
        let handler = (route.handler)();
        // RFC 9110 §9.1: HEAD wherever GET is. The answer's body stays here: see `wire`.
        let (handler, allowed) = match route.method {
            Method::Get => (handler.guard(guard::Any(guard::Get()).or(guard::Head())), "GET, HEAD"),
            Method::Post => (handler.guard(guard::Post()), "POST"),
        };
        let known = resources.iter().position(|(path, ..)| *path == route.path);
        let new = || (route.path, web::resource(pattern(route.path)).app_data(Matched(route.path)), Vec::new());
        let (path, resource, mut methods) = known.map_or_else(new, |known| resources.remove(known));
        methods.push(allowed);
        let place = known.unwrap_or(resources.len());
        resources.insert(place, (path, resource.route(handler), methods));
    }
    for (_, resource, methods) in resources {
        let allowed = methods.join(", ");
        let refuse = move || {
            let refusal = ApiError::from(Kind::MethodNotAllowed).allowing(allowed.clone());
            async move { refusal.response() }
        };
        services.service(resource.default_service(web::to(refuse)));
    }
}

/// The pattern of a path. A request in base64 may hold slashes, which not every client encodes (RFC 6960 appendix A.1).
fn pattern(path: &str) -> String {
    path.replace("{request}", "{request:.*}")
}

/// Judges the caller, then lets the request through, then counts it. A connection whose certificate is no longer good
/// is answered once and closed.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<AnswerBody>, Error> {
    let began = Instant::now();
    let answering = connection(&request).map(|connection| connection.answer());
    let method = request.method().clone();
    let context = request.app_data::<web::Data<PeerContext>>().cloned();
    let judged = match &context {
        Some(context) => match connection(&request).and_then(|connection| connection.refusal().cloned()) {
            Some(refusal) => Err(refusal.closing()),
            None => caller_of(request.request(), context),
        },
        None => Err(Kind::Broken.into()),
    };
    let mut response = match judged {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            let response = next.call(request).await?.map_into_boxed_body();
            // What was done is told; what was only read is not, to who has no right to it any more.
            let reads = matches!(method, HttpMethod::GET | HttpMethod::HEAD);
            match still_good(response.request()) {
                Err(refusal) if reads => response.into_response(refusal.response()),
                _ => response,
            }
        }
        Err(refusal) => request.into_response(refusal.response()),
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Some(context) = context {
        let route = response.request().app_data::<Matched>().map_or("unknown", |matched| matched.0);
        let status = response.status().as_u16();
        context.metrics.answered(method.as_str(), route, status, began.elapsed());
        if *context.draining.borrow() {
            // No further request on this connection: the client finds another peer.
            response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        }
        tracing::debug!(%method, route, status, micros = began.elapsed().as_micros(), "answered");
    }
    if let Some(answering) = &answering
        && response.headers().get(header::CONTENT_TYPE).is_some_and(|media| LASTING.iter().any(|lasts| media == lasts))
    {
        answering.lasts();
    }
    Ok(response.map_body(|_, body| AnswerBody::new(body, answering)))
}

/// What the listener has put into the request.
fn connection(request: &impl HttpMessage) -> Option<Rc<Connection>> {
    request.extensions().get::<Rc<Connection>>().cloned()
}

fn caller_of(request: &HttpRequest, context: &PeerContext) -> Result<Caller, ApiError> {
    let connection = connection(request);
    let certificate = connection.as_ref().and_then(|connection| connection.certificate());
    let caller = Caller::judge(certificate, request.peer_addr().map(|address| address.ip()), &context.trust)?;
    Ok(caller.counted_as(connection.map_or_else(Who::default, |connection| connection.who().clone())))
}
