//! Enrollment over Secure Transport (RFC 7030): the same registration as [`super::registration`], as device managers
//! and other people's clients speak it. Certificates travel as PKCS#7 in base64.

use super::{
    answer::made,
    body,
    registration::{MEDIA_TYPE_REQUEST, succeed, with_folder},
};
use crate::{
    api::context::PeerContext,
    clock,
    limits::REGISTRATION_RETRY_MS,
    net::caller::Caller,
    problem::{ApiError, Kind},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{Data, Payload},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ca::{EnrolmentToken, RegistrationError};
use ledger_classes::primitives::identity::Identity;
use pki::{CertificateRequest, x509::pkcs7::certs_only};

/// RFC 7030 §4.1.3.
const CERTIFICATES: &str = "application/pkcs7-mime";
/// RFC 7030 §4.2.3.
const CERTIFICATE: &str = "application/pkcs7-mime; smime-type=certs-only";

async fn pkcs7(
    context: &PeerContext,
    caller: &Caller,
    media_type: &'static str,
    certificates: Vec<Vec<u8>>,
) -> Result<HttpResponse, ApiError> {
    let mut response = HttpResponse::Ok();
    response.content_type(media_type).insert_header(("Content-Transfer-Encoding", "base64"));
    made(context, caller, response, move |out| out.text(&in_lines(&certs_only(&certificates)))).await
}

/// Base64 in lines of at most 76 characters (RFC 2045 §6.8).
fn in_lines(bytes: &[u8]) -> String {
    // So many octets make a line.
    bytes.chunks(57).flat_map(|line| [STANDARD.encode(line), "\r\n".to_owned()]).collect()
}

/// All CA certificates that this peer trusts, and the links between roots (RFC 7030 §4.1.3).
pub(super) async fn certificates(context: Data<PeerContext>, caller: Caller) -> Result<HttpResponse, ApiError> {
    with_folder(&context, &caller, |_| Ok(())).await?;
    let bundle = context.trust.bundle();
    let all = [bundle.anchors.as_slice(), &bundle.issuing, &bundle.links].concat();
    pkcs7(&context, &caller, CERTIFICATES, all).await
}

/// With a token the certificate, without one a place in the queue.
pub(super) async fn enrol(
    context: Data<PeerContext>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    context.accepting()?;
    let bearer = match request.headers().get(header::AUTHORIZATION) {
        None => None,
        Some(value) => match value.to_str().ok().and_then(basic) {
            Some(bearer) => Some(bearer),
            None => return Ok(challenge(&RegistrationError::UnknownToken.into())),
        },
    };
    let asked = read(&request, payload).await?;
    let by = caller.who().name().to_owned();
    let with_token = bearer.is_some();
    let done = with_folder(&context, &caller, move |folder| {
        let now = clock::now();
        Ok(match &bearer {
            Some((identity, token)) => folder.registration().enrol(&asked, Some(identity), token, &by, now)?,
            None => folder.registration().file_request(&asked, None, &by, now)?,
        })
    });
    let registration = match done.await {
        Err(refusal) if with_token && refusal.name() == Kind::TokenRefused.name() => return Ok(challenge(&refusal)),
        done => done?,
    };
    match registration.path.as_deref() {
        // RFC 7030 §4.2.3: only the certificate that was issued.
        Some([leaf, ..]) => pkcs7(&context, &caller, CERTIFICATE, vec![leaf.clone()]).await,
        _ => {
            let retry = (header::RETRY_AFTER, (REGISTRATION_RETRY_MS / 1000).to_string());
            Ok(HttpResponse::build(StatusCode::ACCEPTED).insert_header(retry).finish())
        }
    }
}

/// The successor of the connection's certificate (RFC 7030 §4.2.2).
pub(super) async fn reenrol(
    context: Data<PeerContext>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    context.accepting()?;
    let leaf = caller.leaf().ok_or(Kind::CertificateRequired)?.to_vec();
    let asked = read(&request, payload).await?;
    let path = succeed(&context, &caller, leaf, asked).await?;
    pkcs7(&context, &caller, CERTIFICATE, path.into_iter().take(1).collect()).await
}

async fn read(request: &HttpRequest, payload: Payload) -> Result<CertificateRequest, ApiError> {
    body::media_type(request, &[MEDIA_TYPE_REQUEST])?;
    let bytes = body::read(request, payload, pki::limits::REQUEST_TEXT_BYTES_MAX).await?;
    Ok(CertificateRequest::parse(&bytes)?)
}

/// A refusal that asks for HTTP Basic (RFC 7030 §3.2.3).
fn challenge(refusal: &ApiError) -> HttpResponse {
    let mut response = refusal.response();
    let basic = header::HeaderValue::from_static("Basic realm=\"chancery\", charset=\"UTF-8\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
    response
}

/// User and password of HTTP Basic (RFC 7617). An identity has a colon and a token none, so the last one divides;
/// `spiffe://` may be left out for tools that take no colon in a user's name.
fn basic(value: &str) -> Option<(Identity, EnrolmentToken)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = zeroize::Zeroizing::new(String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?);
    let (user, password) = text.rsplit_once(':')?;
    let user = if user.starts_with("spiffe://") { user.to_owned() } else { format!("spiffe://{user}") };
    Some((Identity::parse(&user).ok()?, password.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_colon_divides_identity_and_token() {
        let token = format!("{}.{}", "ab".repeat(8), "cd".repeat(32));
        for (user, found) in [
            ("spiffe://c.example/north/client/a", true),
            ("c.example/north/client/a", true),
            ("north/client/a", false),
            ("", false),
        ] {
            let value = format!("Basic {}", STANDARD.encode(format!("{user}:{token}")));
            assert_eq!(basic(&value).is_some(), found, "{user}");
        }
        assert!(basic("Bearer x").is_none() && basic("Basic !").is_none() && basic("Basic").is_none());
    }

    #[test]
    fn base64_has_lines() {
        for length in [1, 56, 57, 58, 114, 1000] {
            let bytes = vec![0x30; length];
            let text = in_lines(&bytes);
            assert!(text.ends_with("\r\n") && text.lines().all(|line| (1..=76).contains(&line.len())));
            assert_eq!(text.lines().count(), length.div_ceil(57));
            assert_eq!(text.replace("\r\n", ""), STANDARD.encode(bytes));
        }
    }
}
