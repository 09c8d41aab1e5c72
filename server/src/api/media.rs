//! In which form an answer goes out: JSON, or the media type that the caller prefers.

use crate::problem::{ApiError, Kind};
use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{
        StatusCode,
        header::{self, Accept, Header as _, Quality},
    },
};

/// What subscriptions are answered in.
pub(super) const EVENT_STREAM: &str = "text/event-stream";

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

/// Which of these media types the caller prefers (RFC 9110 §12.5.1): by weight, then by who is named more closely, then
/// by our order. The first one if none is acceptable: an answer of another type says more than a refusal.
pub(super) fn preferred<'a>(request: &HttpRequest, offers: &[&'a str]) -> &'a str {
    let accepted = Accept::parse(request).map(|accept| accept.0).unwrap_or_default();
    let rank = |offer: &str| {
        let (kind, subtype) = offer.split_once('/').unwrap_or_default();
        let closest = accepted.iter().filter_map(|range| {
            let closeness = match (range.item.type_().as_str(), range.item.subtype().as_str()) {
                ("*", "*") => 0,
                (of, "*") if of == kind => 1,
                (of, sort) if (of, sort) == (kind, subtype) => 2,
                _ => return None,
            };
            Some((closeness, range.quality))
        });
        closest.max_by_key(|(closeness, _)| *closeness).map(|(closeness, quality)| (quality, closeness))
    };
    let mut best = (offers[0], None);
    for offer in offers {
        let ranked = rank(offer).filter(|(quality, _)| *quality > Quality::ZERO);
        if ranked > best.1 {
            best = (offer, ranked);
        }
    }
    best.0
}

/// An answer that depends on `Accept`.
pub(super) fn negotiated(media_type: &str) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.content_type(media_type).insert_header((header::VARY, "accept"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn the_heaviest_type_is_preferred_and_a_wildcard_is_no_wish() {
        for (accept, expected) in [
            ("", "a/json"),
            ("*/*", "a/json"),
            ("a/*", "a/json"),
            ("a/b", "a/b"),
            ("A/B", "a/b"),
            ("a/b, */*", "a/b"),
            ("a/json, a/b", "a/json"),
            ("a/json;q=0.5, a/b", "a/b"),
            ("a/json, a/b;q=0.9", "a/json"),
            ("a/b;q=0.1, a/json;q=0.05", "a/b"),
            ("a/json;q=0, */*", "a/b"),
            ("a/json;q=0, a/b;q=0", "a/json"),
            ("text/html", "a/json"),
            ("a/b; x=1", "a/b"),
            ("nonsense", "a/json"),
        ] {
            let request = TestRequest::get().insert_header((header::ACCEPT, accept)).to_http_request();
            assert_eq!(preferred(&request, &["a/json", "a/b"]), expected, "{accept}");
        }
    }
}
