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

/// RFC 8259 §11.
pub(super) const JSON: &str = "application/json";
/// Bytes that a sender makes us reserve before they are there.
const RESERVE_BYTES_MAX: usize = 64 * 1024;

/// Which of these media types the body has, without parameters; else the refusal. Upper and lower case are the same
/// (RFC 9110 §8.3.1).
pub(super) fn media_type<'a>(request: &HttpRequest, types: &[&'a str]) -> Result<&'a str, ApiError> {
    let value = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    let known = types.iter().find(|known| known.eq_ignore_ascii_case(essence));
    known.copied().ok_or_else(|| ApiError::needing(types))
}

/// The whole body, of at most `bytes_max` bytes. A `Content-Length` above that is refused before anything is read,
/// and the connection is closed: nobody reads the rest.
pub(super) async fn read(
    request: &HttpRequest,
    mut payload: web::Payload,
    bytes_max: usize,
) -> Result<Bytes, ApiError> {
    let mut codings = request.headers().get_all(header::CONTENT_ENCODING);
    if !codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(ApiError::encoded());
    }
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
    media_type(request, &[JSON])?;
    let body = read(request, payload, bytes_max).await?;
    ledger_classes::json::from_slice(&body).map_err(|error| ApiError::new(Kind::Malformed, error.to_string()))
}
