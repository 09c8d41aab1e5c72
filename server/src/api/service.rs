//! How requests reach their handlers: registration of the routes, judgement of the caller before anything else, and
//! what every answer carries.

use super::routes::{Method, ROUTES};
use crate::{
    context::PeerContext,
    pace::AnswerBody,
    problem::{ApiError, Kind},
    tls::{Caller, Connection},
};
use actix_web::{
    Error, FromRequest, HttpMessage, HttpRequest, HttpResponse, Resource,
    body::MessageBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::{
        ConnectionType, StatusCode,
        header::{self, HeaderValue},
    },
    middleware::Next,
    web,
};
use std::{
    future::{Ready, ready},
    time::Instant,
};

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
        let handler = (route.handler)().method(match route.method {
            Method::Get => actix_web::http::Method::GET,
            Method::Post => actix_web::http::Method::POST,
        });
        let known = resources.iter().position(|(path, ..)| *path == route.path);
        let new = || (route.path, web::resource(route.path).app_data(Matched(route.path)), Vec::new());
        let (path, resource, mut methods) = known.map_or_else(new, |known| resources.remove(known));
        methods.push(route.method.text());
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

/// Judges the caller, then lets the request through, then counts it. A connection whose certificate is no longer good
/// is answered once and closed.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<AnswerBody>, Error> {
    let began = Instant::now();
    let answering = request.request().conn_data::<Connection>().map(Connection::answer);
    let method = request.method().clone();
    let context = request.app_data::<web::Data<PeerContext>>().cloned();
    let judged = match &context {
        Some(context) => caller_of(request.request(), context),
        None => Err(Kind::Broken.into()),
    };
    let mut response = match judged {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.call(request).await?.map_into_boxed_body()
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
    Ok(response.map_body(|_, body| AnswerBody::new(body, answering)))
}

fn caller_of(request: &HttpRequest, context: &PeerContext) -> Result<Caller, ApiError> {
    let certificate = request.conn_data::<Connection>().and_then(Connection::certificate);
    Caller::judge(certificate, &context.trust)
}

/// The caller that [`observe`] has judged.
impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = request.extensions().get::<Self>().cloned();
        ready(caller.ok_or_else(|| Kind::Broken.into()))
    }
}

/// An answer in JSON.
pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<HttpResponse, ApiError> {
    json_with(StatusCode::OK, value)
}

/// An answer in JSON with another status.
pub(super) fn json_with<T: serde::Serialize>(status: StatusCode, value: &T) -> Result<HttpResponse, ApiError> {
    let bytes = serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an answer has no JSON form");
        ApiError::from(Kind::Broken)
    })?;
    Ok(HttpResponse::build(status).content_type("application/json").body(bytes))
}

/// Whether the caller asks for this media type by name. A wildcard is not a request for it.
pub(super) fn accepts(request: &HttpRequest, media_type: &str) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|part| part.split(';').next().is_some_and(|part| part.trim() == media_type))
}
