//! CA certificates and CRLs, for everybody: they are what others are judged by.

use super::answer::{Pieces, in_json, made};
use super::body::{self, JSON};
use super::parameters::Query;
use super::service::{json, negotiated, preferred};
use crate::{
    certificates::describe,
    context::PeerContext,
    limits::{ANSWER_BODY_BYTES_MAX, CRL_BODY_BYTES_MAX, RETRY_AFTER_MS},
    problem::{ApiError, Kind},
    tls::Caller,
    trust::{AnswerError, LearnError, OcspReply},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{self, Data, Path, Payload},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ca::{
    AuthorityScope,
    credentials::{certificates_pem, crl_pem},
    revocation::RevocationError,
};
use client::api::{AnswerTaken, AuthorityView, CaAnswer, CrlTaken};
use serde::Deserialize;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

/// RFC 8555 §9.1.
const MEDIA_TYPE_PEM_CHAIN: &str = "application/pem-certificate-chain";
/// What many tools call any PEM.
const MEDIA_TYPE_PEM: &str = "application/x-pem-file";
/// RFC 2585 §4.2.
const MEDIA_TYPE_CRL: &str = "application/pkix-crl";
/// RFC 6960 appendix C.
const MEDIA_TYPE_OCSP_REQUEST: &str = "application/ocsp-request";
/// RFC 6960 appendix C.
const MEDIA_TYPE_OCSP_RESPONSE: &str = "application/ocsp-response";
/// How long a cache may keep an OCSP answer, seconds: a revocation must not stay unseen for longer, although the
/// signed answer itself holds for weeks.
const OCSP_CACHE_SECONDS: u32 = 60;

/// PEM, anchors first; as JSON for those who ask for that. Links are in the JSON form only: PEM becomes somebody's
/// `ca.pem`, and other people's path builders walk in circles where a root and its link are both anchors.
pub(super) async fn certificates(
    context: Data<PeerContext>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let bundle = context.trust.bundle();
    let media_type = preferred(&request, &[MEDIA_TYPE_PEM_CHAIN, MEDIA_TYPE_PEM, JSON]);
    if media_type == JSON {
        let view = |der: &Vec<u8>, anchor, link| AuthorityView {
            organization: AuthorityScope::of_certificate(der).ok().and_then(|scope| scope.organization),
            anchor,
            link,
            pem: certificates_pem(std::slice::from_ref(der)),
        };
        let anchors = bundle.anchors.iter().map(|der| view(der, true, false));
        let issuing = bundle.issuing.iter().map(|der| view(der, false, false));
        let all = anchors.chain(issuing).chain(bundle.links.iter().map(|der| view(der, false, true)));
        let all = all.collect::<Vec<_>>();
        return made(&context, &caller, in_json(), move |out| out.json(&all)).await;
    }
    let pem = move |out: &mut Pieces| {
        out.text(&certificates_pem(&bundle.anchors))?;
        out.text(&certificates_pem(&bundle.issuing))
    };
    made(&context, &caller, negotiated(media_type), pem).await
}

/// DER (RFC 5280 §5); PEM for those who ask for that.
pub(super) async fn crl(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let der = context.trust.crl(&path).ok_or(Kind::AuthorityUnknown)?;
    let media_type = preferred(&request, &[MEDIA_TYPE_CRL, MEDIA_TYPE_PEM]);
    let crl = move |out: &mut Pieces| match media_type == MEDIA_TYPE_PEM {
        true => out.text(&crl_pem(&der)),
        false => out.bytes(der.into()),
    };
    made(&context, &caller, negotiated(media_type), crl).await
}

/// What is asked of all CRLs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CrlsQuery {
    /// The set that the caller has.
    unless: Option<String>,
}

/// All CRLs in force, PEM; nothing for who has them all.
pub(super) async fn crls(context: Data<PeerContext>, query: Query<CrlsQuery>) -> Result<HttpResponse, ApiError> {
    query.unless.as_deref().map(super::query::hash).transpose()?;
    let set = context.trust.crl_set();
    if query.unless.as_ref() == Some(&set.tag) {
        return Ok(HttpResponse::NoContent().finish());
    }
    Ok(HttpResponse::Ok().content_type(MEDIA_TYPE_PEM).body(set.pem.clone()))
}

/// A member of an organization sends a CRL; ends when it is dropped, also with a request that is given up.
#[derive(Debug)]
struct Sending {
    senders: Arc<Mutex<HashSet<String>>>,
    organization: String,
}

impl Sending {
    /// `None` while another member of the organization sends one.
    fn begin(senders: &Arc<Mutex<HashSet<String>>>, organization: String) -> Option<Self> {
        let new = senders.lock().unwrap_or_else(PoisonError::into_inner).insert(organization.clone());
        new.then(|| Self { senders: Arc::clone(senders), organization })
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.organization);
    }
}

/// Takes a CRL that a member brings. Who it is matters only for the work that a stranger could cause: the signature
/// over millions of bytes is verified here.
pub(super) async fn offer(
    context: Data<PeerContext>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let organization = caller.identity().ok_or(Kind::CertificateRequired)?.organization().to_owned();
    let pem = body::media_type(&request, &[MEDIA_TYPE_CRL, MEDIA_TYPE_PEM])? == MEDIA_TYPE_PEM;
    let busy = || ApiError::from(Kind::RequestsFull).retry_after_ms(RETRY_AFTER_MS);
    let sending = Sending::begin(&context.crl_senders, organization).ok_or_else(|| busy().closing())?;
    let body = body::read(&request, payload, CRL_BODY_BYTES_MAX).await?;
    // One at a time: see above. Not before all of it is here: who sends slowly must not keep the others out.
    let permit = Arc::clone(&context.crls).try_acquire_owned().map_err(|_| busy())?;
    let trust = Arc::clone(&context.trust);
    let learned = web::block(move || {
        let _until_done = (permit, sending);
        let der = if pem {
            let malformed = |error| ApiError::new(Kind::Malformed, format!("one CRL is needed: {error}"));
            ca::pem::read_one(&body, ca::pem::CRL).map_err(malformed)?.to_vec()
        } else {
            body.to_vec()
        };
        let learned = trust.learn(&der).map(|change| (change, !trust.is_newest(&der)));
        learned.map_err(|error| match error {
            LearnError::Refused(RevocationError::Older { .. }) => ApiError::new(Kind::CrlOlder, describe(&error)),
            LearnError::Refused(_) => ApiError::new(Kind::CrlRefused, describe(&error)),
            LearnError::Kept(_) => {
                tracing::error!(error = describe(&error), "a CRL cannot be kept");
                Kind::Broken.into()
            }
        })
    });
    let change = learned.await.map_err(|_| super::query::unavailable("the peer is busy"))??;
    let (change, older) = change;
    json(&CrlTaken { new: change.is_some(), revoked: change.map_or(0, |change| change.revoked.len()), older })
}

/// Takes a CA's answer that a certificate is revoked. Who brings it does not matter, as with a CRL.
pub(super) async fn bring_answer(
    context: Data<PeerContext>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    caller.identity().ok_or(Kind::CertificateRequired)?;
    let answer: CaAnswer = body::read_json(&request, payload, ANSWER_BODY_BYTES_MAX).await?;
    let busy = || ApiError::from(Kind::RequestsFull).retry_after_ms(RETRY_AFTER_MS);
    let permit = Arc::clone(&context.crls).try_acquire_owned().map_err(|_| busy())?;
    let trust = Arc::clone(&context.trust);
    let taken = web::block(move || {
        let _until_done = permit;
        trust.bring(&answer).map_err(|error| match error {
            AnswerError::Full => ApiError::new(Kind::RequestsFull, error.to_string()),
            AnswerError::Disk(_) => {
                tracing::error!(error = describe(&error), "a CA's answer cannot be kept");
                Kind::Broken.into()
            }
            _ => ApiError::new(Kind::AnswerRefused, describe(&error)),
        })
    });
    let new = taken.await.map_err(|_| super::query::unavailable("the peer is busy"))??;
    context.trust.until_spread().await;
    json(&AnswerTaken { new })
}

/// OCSP over POST (RFC 6960 appendix A.1).
pub(super) async fn ocsp(
    context: Data<PeerContext>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    body::media_type(&request, &[MEDIA_TYPE_OCSP_REQUEST])?;
    let asked = body::read(&request, payload, ca::ocsp::REQUEST_BYTES_MAX).await?;
    answer(&context, &caller, asked.to_vec(), false).await
}

/// OCSP over GET (RFC 6960 appendix A.1, RFC 5019 §5): the request in base64, percent-encoded.
pub(super) async fn ocsp_by_get(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
) -> Result<HttpResponse, ApiError> {
    // What is no base64 is no request either: the protocol has its own answer to that.
    answer(&context, &caller, STANDARD.decode(path.as_bytes()).unwrap_or_default(), true).await
}

async fn answer(
    context: &Data<PeerContext>,
    caller: &Caller,
    asked: Vec<u8>,
    cacheable: bool,
) -> Result<HttpResponse, ApiError> {
    let place = context.places.ocsp.take(caller.who(), 1)?;
    let trust = context.trust.clone();
    let reply = web::block(move || {
        let _until_done = place;
        trust.ocsp(&asked)
    });
    let reply = reply.await;
    let reply = reply.map_err(|_| super::query::unavailable("the peer is busy"))?;
    let mut response = HttpResponse::Ok();
    response.content_type(MEDIA_TYPE_OCSP_RESPONSE);
    Ok(match reply {
        OcspReply::Answer(der) => {
            let control = if cacheable {
                format!("max-age={OCSP_CACHE_SECONDS}, public, no-transform, must-revalidate")
            } else {
                "no-store".into()
            };
            response.insert_header((header::CACHE_CONTROL, control)).body(der)
        }
        OcspReply::Error(der) => response.insert_header((header::CACHE_CONTROL, "no-store")).body(der),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Every connection of every member could have held a whole list in memory at once.
    #[test]
    fn an_organization_sends_one_crl_at_a_time_and_keeps_out_no_other() {
        let senders = Arc::default();
        let first = Sending::begin(&senders, "bank".into()).unwrap();
        assert!(Sending::begin(&senders, "bank".into()).is_none());
        let other = Sending::begin(&senders, "dealer".into()).unwrap();
        drop(first);
        let again = Sending::begin(&senders, "bank".into()).unwrap();
        drop((again, other));
        assert!(senders.lock().unwrap().is_empty());
    }
}
