//! CA certificates and CRLs, for everybody: they are what others are judged by.

use super::service::{accepts, json};
use crate::{context::PeerContext, problem::ApiError, problem::Kind};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Path},
};
use ca::{AuthorityScope, credentials::certificates_pem, credentials::crl_pem};
use serde::Serialize;

/// RFC 8555 §9.1.
const MEDIA_TYPE_PEM_CHAIN: &str = "application/pem-certificate-chain";
/// What many tools call any PEM.
const MEDIA_TYPE_PEM: &str = "application/x-pem-file";
/// RFC 2585 §4.2.
const MEDIA_TYPE_CRL: &str = "application/pkix-crl";

/// A CA certificate.
#[derive(Serialize)]
struct AuthorityView {
    /// Whose; absent for the consortium's root.
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<String>,
    /// Whether it is trusted by itself.
    anchor: bool,
    /// The certificate.
    pem: String,
}

/// PEM, anchors first; as JSON for those who ask for that.
pub(super) async fn certificates(context: Data<PeerContext>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let bundle = context.trust.bundle();
    if accepts(&request, "application/json") && !accepts(&request, MEDIA_TYPE_PEM) {
        let view = |der: &Vec<u8>, anchor| AuthorityView {
            organization: AuthorityScope::of_certificate(der).ok().and_then(|scope| scope.organization),
            anchor,
            pem: certificates_pem(std::slice::from_ref(der)),
        };
        let anchors = bundle.anchors.iter().map(|der| view(der, true));
        let all = anchors.chain(bundle.issuing.iter().map(|der| view(der, false)));
        return json(&all.collect::<Vec<_>>());
    }
    let pem = certificates_pem(&bundle.anchors) + &certificates_pem(&bundle.issuing);
    Ok(HttpResponse::Ok().content_type(MEDIA_TYPE_PEM_CHAIN).body(pem))
}

/// DER (RFC 5280 §5); PEM for those who ask for that.
pub(super) async fn crl(
    context: Data<PeerContext>,
    path: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let der = context.trust.crl(&path).ok_or(Kind::AuthorityUnknown)?;
    if accepts(&request, MEDIA_TYPE_PEM) {
        return Ok(HttpResponse::Ok().content_type(MEDIA_TYPE_PEM).body(crl_pem(&der)));
    }
    Ok(HttpResponse::Ok().content_type(MEDIA_TYPE_CRL).body(der))
}
