//! The caller of a request, once `service.rs` has judged it: who it is, and whether that is still so.

use crate::{
    api::context::PeerContext,
    net::{caller::Caller, places::Who},
    problem::{ApiError, Kind},
};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, dev::Payload, web};
use std::future::{Ready, ready};

/// Whose places a request takes.
pub(super) fn who(request: &HttpRequest) -> Who {
    request.extensions().get::<Caller>().map_or_else(Who::default, |caller| caller.who().clone())
}

/// The caller that [`super::observe`] has judged.
impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = request.extensions().get::<Self>().cloned();
        ready(caller.ok_or_else(|| Kind::Broken.into()))
    }
}

/// Judges the caller of a request again, for who has waited since it began: whoever is revoked meanwhile does nothing more.
/// What reads a body asks this itself, so that no handler has a body of somebody who is out.
pub(super) fn still_good(request: &HttpRequest) -> Result<(), ApiError> {
    let context = request.app_data::<web::Data<PeerContext>>().ok_or(Kind::Broken)?;
    let caller = request.extensions().get::<Caller>().cloned().ok_or(Kind::Broken)?;
    caller.check(&context.trust)
}
