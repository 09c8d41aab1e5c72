//! CA certificates and CRLs, for everybody: they are what others are judged by.

use super::answer::{Pieces, in_json, made, shared};
use super::body::{self, JSON};
use super::judged::still_good;
use super::media::{json, negotiated, preferred};
use super::parameters::Query;
use crate::{
    api::{
        context::PeerContext,
        turns::{Turn, Turns},
    },
    identity::trust::{AnswerError, LearnError, OcspReply},
    limits::{ANSWER_BODY_BYTES_MAX, CRL_BODY_BYTES_MAX, RETRY_AFTER_MS, SHORT_CRL_BYTES_MAX},
    net::caller::Caller,
    problem::{ApiError, Kind},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{self, Data, Path, Payload},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use client::api::{AnswerTaken, AuthorityView, CaAnswer, CrlTaken};
use ledger_classes::primitives::causes::in_one_line;
use ledger_classes::primitives::identity::Identity;
use pki::{
    AuthorityScope,
    trust::{files::certificates_pem, revocation::RevocationError},
};
use serde::Deserialize;
use std::{borrow::Cow, sync::Arc};

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
    let crl = context.trust.crl(&path).ok_or(Kind::AuthorityUnknown)?;
    let media_type = preferred(&request, &[MEDIA_TYPE_CRL, MEDIA_TYPE_PEM]);
    let bytes = if media_type == MEDIA_TYPE_CRL { crl.der } else { crl.pem };
    let (trust, digest) = (Arc::clone(&context.trust), crl.digest);
    let kept = move || trust.crl_set().find(&digest).is_some();
    Ok(shared(&context, &caller, negotiated(media_type), vec![bytes], kept))
}

/// What is asked of all CRLs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CrlsQuery {
    /// The set that the caller has.
    unless: Option<String>,
}

/// All CRLs in force, PEM; nothing for who has them all.
pub(super) async fn crls(
    context: Data<PeerContext>,
    caller: Caller,
    query: Query<CrlsQuery>,
) -> Result<HttpResponse, ApiError> {
    query.unless.as_deref().map(super::query::hash).transpose()?;
    let set = context.trust.crl_set();
    if query.unless.as_ref() == Some(&set.tag) {
        return Ok(HttpResponse::NoContent().finish());
    }
    let mut response = HttpResponse::Ok();
    response.content_type(MEDIA_TYPE_PEM);
    let (trust, parts) = (Arc::clone(&context.trust), set.crls.iter().map(|crl| crl.pem.clone()).collect());
    let tag = set.tag.clone();
    Ok(shared(&context, &caller, response, parts, move || trust.crl_set().tag == tag))
}

/// Waits for the turn of who has brought something, all of which is here; who was revoked meanwhile has none.
async fn turn(turns: &Arc<Turns>, identity: &Identity, request: &HttpRequest) -> Result<Turn, ApiError> {
    let busy = || ApiError::from(Kind::RequestsFull).retry_after_ms(RETRY_AFTER_MS);
    let turn = turns.take(identity).await.ok_or_else(busy)?;
    still_good(request)?;
    Ok(turn)
}

/// Takes a CRL that a member brings. Who it is matters only for the work that a stranger could cause: the signature
/// over millions of bytes is verified here.
pub(super) async fn offer(
    context: Data<PeerContext>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let identity = caller.identity().ok_or(Kind::CertificateRequired)?;
    let pem = body::media_type(&request, &[MEDIA_TYPE_CRL, MEDIA_TYPE_PEM])? == MEDIA_TYPE_PEM;
    let body = body::read(&request, payload, CRL_BODY_BYTES_MAX).await?;
    // A list that is in force needs no turn: it is compared, and nothing is verified.
    if !pem && context.trust.is_in_force(&body) {
        let older = !context.trust.is_newest(&body);
        return json(&CrlTaken { new: false, revoked: 0, older });
    }
    // One at a time: the signature over millions of bytes is verified here.
    let short = body.len() <= SHORT_CRL_BYTES_MAX;
    let turn = turn(if short { &context.crls } else { &context.long_crls }, identity, &request).await?;
    let trust = Arc::clone(&context.trust);
    let learned = web::block(move || {
        let _until_done = turn;
        let der = if pem {
            let malformed = |error| ApiError::new(Kind::Malformed, format!("one CRL is needed: {error}"));
            Cow::Owned(pki::pem::read_one(&body, pki::pem::CRL).map_err(malformed)?.to_vec())
        } else {
            Cow::Borrowed(&*body)
        };
        let learned = trust.learn(&der).map(|change| (change, !trust.is_newest(&der)));
        learned.map_err(|error| match error {
            LearnError::Refused(RevocationError::Older { .. }) => ApiError::new(Kind::CrlOlder, in_one_line(&error)),
            LearnError::Refused(_) => ApiError::new(Kind::CrlRefused, in_one_line(&error)),
            LearnError::Kept(_) => {
                tracing::error!(error = in_one_line(&error), "a CRL cannot be kept");
                Kind::Broken.into()
            }
        })
    });
    let change = learned.await.map_err(|_| super::reading::unavailable("the peer is busy"))??;
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
    let identity = caller.identity().ok_or(Kind::CertificateRequired)?;
    let answer: CaAnswer = body::read_json(&request, payload, ANSWER_BODY_BYTES_MAX).await?;
    let turn = turn(&context.crls, identity, &request).await?;
    let trust = Arc::clone(&context.trust);
    let taken = web::block(move || {
        let _until_done = turn;
        trust.bring(&answer).map_err(|error| match error {
            AnswerError::Full(_) => ApiError::new(Kind::RequestsFull, error.to_string()),
            AnswerError::Disk(_) => {
                tracing::error!(error = in_one_line(&error), "a CA's answer cannot be kept");
                Kind::Broken.into()
            }
            _ => ApiError::new(Kind::AnswerRefused, in_one_line(&error)),
        })
    });
    let new = taken.await.map_err(|_| super::reading::unavailable("the peer is busy"))??;
    context.trust.until_noted().await;
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
    let asked = body::read(&request, payload, pki::x509::ocsp::REQUEST_BYTES_MAX).await?;
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
    let reply = reply.map_err(|_| super::reading::unavailable("the peer is busy"))?;
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
