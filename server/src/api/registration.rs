//! Certificate requests and renewal, where the peer holds the authorities' folder.
//!
//! Anybody may ask; only administrators of the identity's organization see the queue and decide. A request's id is a
//! secret of whoever filed it: it shows what became of that request, and its certificate.

use super::parameters::Query;
use super::{body, service::json, service::json_with};
use crate::{
    clock,
    context::PeerContext,
    limits::{DAY_MS, PAGE_MAX, REGISTRATION_BODY_BYTES_MAX, REGISTRATION_RETRY_MS, RETRY_AFTER_MS},
    problem::{ApiError, Kind},
    tls::Caller,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{Data, Path, Payload, block},
};
use ca::{
    Cause, CertificateFolder, CertificateRequest, EnrolmentToken, Possession, Registration, RegistrationError,
    RequestId, RequestStatus, Terms, credentials::certificates_pem,
};
use client::api::{
    ApprovalBody, CertificateRequestBody, CertificateRequestView, CertificateView, RejectionBody, RenewalBody,
};
use ledger_classes::identity::{Identity, Role};
use serde::Deserialize;
use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

/// The media type of a request (RFC 5967).
pub(super) const MEDIA_TYPE_REQUEST: &str = "application/pkcs10";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    status: Option<RequestStatus>,
}

/// Runs on the folder, on a thread that may wait for its lock and its disk.
pub(super) async fn with_folder<R: Send + 'static>(
    context: &PeerContext,
    work: impl FnOnce(&CertificateFolder) -> Result<R, ApiError> + Send + 'static,
) -> Result<R, ApiError> {
    let busy = |_| ApiError::from(Kind::RequestsFull).retry_after_ms(RETRY_AFTER_MS);
    let permit = Arc::clone(&context.registrations).try_acquire_owned().map_err(busy)?;
    let trust = Arc::clone(&context.trust);
    let done = block(move || {
        let _permit = permit;
        let folder = trust.folder().map_err(RegistrationError::Folder)?;
        work(&folder.ok_or(Kind::NoAuthority)?)
    });
    done.await.map_err(|error| {
        tracing::error!(%error, "work on the certificates folder panicked");
        ApiError::from(Kind::Broken)
    })?
}

/// Who files a request: an identity, or an address for those who have none yet.
pub(super) fn requester(caller: &Caller, request: &HttpRequest) -> String {
    match caller.identity() {
        Some(identity) => identity.to_string(),
        None => request.peer_addr().map_or_else(|| "unknown".into(), |address| place(address.ip())),
    }
}

/// An IPv4 address; of an IPv6 one the first 64 bits, because whoever has one has all of these (RFC 6177 §2).
fn place(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let prefix = u128::from(address) >> 64 << 64;
            format!("{}/64", Ipv6Addr::from(prefix))
        }
    }
}

fn view(registration: &Registration, in_full: bool) -> CertificateRequestView {
    let record = &registration.record;
    let approvals = record.approvals.iter().map(|approval| approval.by.clone());
    CertificateRequestView {
        id: record.id.to_string(),
        status: registration.status.to_string(),
        identity: record.identity.to_string(),
        key: record.key.clone(),
        requested: record.requested,
        requester: in_full.then(|| record.requester.clone()),
        approvals: if in_full { approvals.collect() } else { Vec::new() },
        approvals_needed: registration.approvals_needed,
        reason: record.rejected.as_ref().map(|rejected| rejected.reason.clone()),
        certificate: registration.path.as_deref().map(certificates_pem),
    }
}

fn parse_identity(text: &str) -> Result<Identity, ApiError> {
    Identity::parse(text).map_err(|error| ApiError::new(Kind::RequestInvalid, error.to_string()))
}

fn administrator(caller: &Caller) -> Result<Identity, ApiError> {
    let identity = caller.identity().ok_or(Kind::CertificateRequired)?;
    if identity.role() == Role::Admin {
        Ok(identity.clone())
    } else {
        Err(ApiError::new(Kind::Forbidden, "only administrators decide about certificate requests"))
    }
}

fn parse_id(path: &str) -> Result<RequestId, ApiError> {
    path.parse().map_err(|_| Kind::RequestUnknown.into())
}

pub(super) async fn file(
    context: Data<PeerContext>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    context.accepting()?;
    let asked = match body::media_type(&request, &[body::JSON, MEDIA_TYPE_REQUEST])? {
        MEDIA_TYPE_REQUEST => {
            let bytes = body::read(&request, payload, ca::limits::REQUEST_TEXT_BYTES_MAX).await?;
            (CertificateRequest::parse(&bytes)?, None, None)
        }
        _ => {
            let body: CertificateRequestBody = body::read_json(&request, payload, REGISTRATION_BODY_BYTES_MAX).await?;
            let identity = body.identity.as_deref().map(parse_identity).transpose()?;
            let token = body.token.as_deref().map(str::parse::<EnrolmentToken>).transpose();
            let token = token.map_err(|_| RegistrationError::UnknownToken)?;
            (CertificateRequest::parse(body.request.as_bytes())?, identity, token)
        }
    };
    let requester = requester(&caller, &request);
    let registration = with_folder(&context, move |folder| {
        let (request, identity, token) = &asked;
        let now = clock::now();
        Ok(match token {
            Some(token) => folder.enrol(request, identity.as_ref(), token, &requester, now)?,
            None => folder.file_request(request, identity.as_ref(), &requester, now)?,
        })
    });
    let registration = registration.await?;
    let record = &registration.record;
    tracing::info!(request = %record.id, identity = %record.identity, status = %registration.status, "certificate request");
    answer(&registration)
}

/// 201 with the certificate, or 202 with a hint when to ask again.
fn answer(registration: &Registration) -> Result<HttpResponse, ApiError> {
    let issued = registration.status == RequestStatus::Issued;
    let status = if issued { StatusCode::CREATED } else { StatusCode::ACCEPTED };
    let mut response = json_with(status, &view(registration, false))?;
    if !issued {
        let seconds = header::HeaderValue::from(REGISTRATION_RETRY_MS / 1000);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    Ok(response)
}

/// The newest requests for the administrator's organization, oldest first.
pub(super) async fn list(
    context: Data<PeerContext>,
    caller: Caller,
    query: Query<ListQuery>,
) -> Result<HttpResponse, ApiError> {
    let admin = administrator(&caller)?;
    let all = with_folder(&context, |folder| Ok(folder.requests(clock::now())?)).await?;
    let wanted = all.iter().filter(|registration| {
        let own = registration.record.identity.organization() == admin.organization();
        own && query.status.is_none_or(|status| status == registration.status)
    });
    let views: Vec<CertificateRequestView> = wanted.map(|registration| view(registration, true)).collect();
    json(&&views[views.len().saturating_sub(PAGE_MAX)..])
}

pub(super) async fn show(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
) -> Result<HttpResponse, ApiError> {
    let id = parse_id(&path)?;
    let registration = with_folder(&context, move |folder| Ok(folder.request(&id, clock::now())?)).await?;
    let admin = administrator(&caller).ok();
    let own = admin.is_some_and(|admin| admin.organization() == registration.record.identity.organization());
    json(&view(&registration, own))
}

/// Lets an administrator of the request's organization decide; to others the request does not exist.
async fn decide(
    context: &PeerContext,
    caller: &Caller,
    path: &str,
    why: Option<&str>,
    decision: impl FnOnce(&CertificateFolder, &RequestId, &str) -> Result<Registration, RegistrationError> + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    let admin = administrator(caller)?;
    context.accepting()?;
    let id = parse_id(path)?;
    let by = admin.to_string();
    let cause = Cause::new(&by, why).map_err(|error| ApiError::new(Kind::RequestInvalid, error.to_string()))?;
    let registration = with_folder(context, move |folder| {
        let known = folder.request(&id, clock::now())?;
        if known.record.identity.organization() != admin.organization() {
            return Err(Kind::RequestUnknown.into());
        }
        Ok(decision(&folder.because(cause), &id, &admin.to_string())?)
    });
    let registration = registration.await?;
    tracing::info!(request = %id, by, status = %registration.status, "certificate request decided");
    json(&view(&registration, true))
}

pub(super) async fn approve(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let body: ApprovalBody = body::read_json(&request, payload, REGISTRATION_BODY_BYTES_MAX).await?;
    let mut terms = Terms::default();
    for host in &body.hosts {
        let name = host.parse().map_err(|error| ApiError::new(Kind::RequestInvalid, format!("{error}")))?;
        terms.alternative_names.push(name);
    }
    if let Some(days) = body.days {
        terms.lifetime_ms = days.saturating_mul(DAY_MS);
    }
    let given = (!body.hosts.is_empty() || body.days.is_some()).then_some(terms);
    let approve = move |folder: &CertificateFolder, id: &RequestId, by: &str| {
        folder.approve(id, by, given.as_ref(), clock::now())
    };
    decide(&context, &caller, &path, body.why.as_deref(), approve).await
}

pub(super) async fn reject(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let body: RejectionBody = body::read_json(&request, payload, REGISTRATION_BODY_BYTES_MAX).await?;
    let reject =
        move |folder: &CertificateFolder, id: &RequestId, by: &str| folder.reject(id, by, &body.reason, clock::now());
    decide(&context, &caller, &path, body.why.as_deref(), reject).await
}

pub(super) async fn renew(
    context: Data<PeerContext>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    context.accepting()?;
    let body: RenewalBody = body::read_json(&request, payload, REGISTRATION_BODY_BYTES_MAX).await?;
    let asked = CertificateRequest::parse(body.request.as_bytes())?;
    let leaf = caller.leaf().map(<[u8]>::to_vec);
    let path = match (leaf, body.certificate, body.at, body.signature) {
        (Some(leaf), ..) => succeed(&context, leaf, asked).await?,
        (None, Some(current), Some(at), Some(signature)) => {
            let malformed = |error| ApiError::new(Kind::Malformed, format!("the current certificate: {error}"));
            let path = ca::pem::read_some(current.as_bytes(), ca::pem::CERTIFICATE).map_err(malformed)?;
            let current = path.into_iter().next().ok_or(Kind::Malformed)?;
            with_folder(&context, move |folder| {
                let possession = Possession::Signature { at, signature: &signature.0 };
                Ok(folder.renew(&current, &asked, possession, clock::now())?)
            })
            .await?
        }
        _ => return Err(Kind::CertificateRequired.into()),
    };
    json_with(StatusCode::CREATED, &CertificateView { certificate: certificates_pem(&path) })
}

/// Renews the certificate that the connection has shown.
pub(super) async fn succeed(
    context: &PeerContext,
    leaf: Vec<u8>,
    asked: CertificateRequest,
) -> Result<Vec<Vec<u8>>, ApiError> {
    with_folder(context, move |folder| Ok(folder.renew(&leaf, &asked, Possession::Connection, clock::now())?)).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn who_has_a_network_is_one_caller() {
        for (address, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(place(address.parse().unwrap()), expected);
        }
    }
}
