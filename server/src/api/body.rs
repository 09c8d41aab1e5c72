//! Reading a request's body without ever holding more of it than allowed.

use super::judged::{still_good, who};
use crate::{
    api::context::PeerContext,
    limits::STRANGER_BODY_BYTES_MAX,
    net::places::Place,
    net::standing::Standing,
    problem::{ApiError, Kind},
};
use actix_web::{
    HttpMessage as _, HttpRequest,
    http::header,
    web::{self, Bytes, BytesMut},
};
use futures_util::StreamExt as _;
use std::{ops::Deref, time::Duration};

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

/// Refuses a body in a content coding.
pub(super) fn uncoded(request: &HttpRequest) -> Result<(), ApiError> {
    let mut codings = request.headers().get_all(header::CONTENT_ENCODING);
    match codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        true => Ok(()),
        false => Err(ApiError::encoded()),
    }
}

/// A body with the memory that it has: what is made of it may be as large, so it is kept until that is done.
#[derive(Debug)]
pub(super) struct Body {
    bytes: Bytes,
    place: Place,
}

impl Body {
    /// The bytes, and what they and that which is made of them may take.
    pub(super) fn into_parts(self) -> (Bytes, Place) {
        (self.bytes, self.place)
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The whole body, of at most `bytes_max` bytes; of a caller without a certificate fewer. A `Content-Length` above that
/// is refused before anything is read, as is one for which the caller has no memory left, and the connection is closed:
/// nobody reads the rest. A body may take long to come: who was revoked meanwhile is refused, so that everything that is
/// done by a body is done for somebody who is judged after it.
pub(super) async fn read(request: &HttpRequest, mut payload: web::Payload, bytes_max: usize) -> Result<Body, ApiError> {
    let who = who(request);
    let bytes_max = match who.standing {
        Standing::Anonymous => bytes_max.min(STRANGER_BODY_BYTES_MAX),
        Standing::Member | Standing::Administrator => bytes_max,
    };
    uncoded(request)?;
    let oversize = || ApiError::new(Kind::Oversize, format!("a body has at most {bytes_max} bytes here")).closing();
    let announced = match request.headers().get(header::CONTENT_LENGTH) {
        None => 0,
        // Digits that do not fit a number are a length above every limit.
        Some(value) => value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(oversize)?,
    };
    if announced > bytes_max {
        return Err(oversize());
    }
    let context = request.app_data::<web::Data<PeerContext>>().ok_or(Kind::Broken)?;
    let full = |full| ApiError::from(full).closing();
    let mut place = context.places.bodies.take(&who, announced).map_err(full)?;
    let arrives = async {
        let mut body = BytesMut::with_capacity(announced.min(RESERVE_BYTES_MAX));
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|error| ApiError::new(Kind::Malformed, error.to_string()).closing())?;
            if body.len() + chunk.len() > bytes_max {
                return Err(oversize());
            }
            let unannounced = (body.len() + chunk.len()).saturating_sub(place.count());
            if unannounced > 0 {
                place.grow(unannounced).map_err(full)?;
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Body { bytes: body.freeze(), place })
    };
    let late = |_| ApiError::from(Kind::RequestTimeout).closing();
    let limit = Duration::from_millis(context.limits.body_timeout_ms);
    let body = tokio::time::timeout(limit, arrives).await.map_err(late)??;
    still_good(request)?;
    Ok(body)
}

/// A JSON body.
pub(super) async fn read_json<T: serde::de::DeserializeOwned>(
    request: &HttpRequest,
    payload: web::Payload,
    bytes_max: usize,
) -> Result<T, ApiError> {
    media_type(request, &[JSON])?;
    let (bytes, place) = read(request, payload, bytes_max).await?.into_parts();
    // What was made of it is there until the request is done.
    request.extensions_mut().insert(UntilDone(place));
    parse(&bytes)
}

/// What a body may take, for as long as its request.
struct UntilDone(#[expect(dead_code, reason = "it is given back when it is dropped")] Place);

/// What a body in JSON says.
pub(super) fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    ledger_classes::primitives::json::from_slice(body)
        .map_err(|error| ApiError::new(Kind::Malformed, error.to_string()))
}
