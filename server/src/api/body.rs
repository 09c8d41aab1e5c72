//! Reading a request's body without ever holding more of it than allowed.

use crate::{
    context::PeerContext,
    problem::{ApiError, Kind},
};
use actix_web::{
    HttpRequest,
    http::header,
    web::{self, Bytes, BytesMut},
};
use futures_util::StreamExt as _;
use std::time::Duration;

/// Bytes that a sender makes us reserve before they are there.
const RESERVE_BYTES_MAX: usize = 64 * 1024;

/// The media type of the body, without parameters.
pub(super) fn media_type(request: &HttpRequest) -> Option<&str> {
    let value = request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim())
}

/// The whole body, of at most `bytes_max` bytes. A `Content-Length` above that is refused before anything is read,
/// and the connection is closed: nobody reads the rest.
pub(super) async fn read(
    request: &HttpRequest,
    mut payload: web::Payload,
    bytes_max: usize,
) -> Result<Bytes, ApiError> {
    let oversize = || ApiError::new(Kind::Oversize, format!("a body has at most {bytes_max} bytes")).closing();
    let announced = match request.headers().get(header::CONTENT_LENGTH) {
        None => 0,
        // Digits that do not fit a number are a length above every limit.
        Some(value) => value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(oversize)?,
    };
    if announced > bytes_max {
        return Err(oversize());
    }
    let arrives = async {
        let mut body = BytesMut::with_capacity(announced.min(RESERVE_BYTES_MAX));
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|error| ApiError::new(Kind::Malformed, error.to_string()).closing())?;
            if body.len() + chunk.len() > bytes_max {
                return Err(oversize());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    let late = |_| ApiError::from(Kind::RequestTimeout).closing();
    let context = request.app_data::<web::Data<PeerContext>>().ok_or(Kind::Broken)?;
    let limit = Duration::from_millis(context.limits.body_timeout_ms);
    tokio::time::timeout(limit, arrives).await.map_err(late)?
}

/// A JSON body.
pub(super) async fn read_json<T: serde::de::DeserializeOwned>(
    request: &HttpRequest,
    payload: web::Payload,
    bytes_max: usize,
) -> Result<T, ApiError> {
    if media_type(request) != Some("application/json") {
        return Err(ApiError::new(Kind::UnsupportedMediaType, "application/json is needed").closing());
    }
    let body = read(request, payload, bytes_max).await?;
    ledger_classes::json::from_slice(&body).map_err(|error| ApiError::new(Kind::Malformed, error.to_string()))
}
