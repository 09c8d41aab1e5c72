//! Certificate requests and renewal, where the peer holds the authorities' folder.
//!
//! Anybody may ask; only administrators of the identity's organization see the queue and decide. A request's id is a
//! secret of whoever filed it: it shows what became of that request, and its certificate.

use super::answer::{in_json, made};
use super::parameters::Query;
use super::query::limit;
use super::{
    body,
    media::{json, json_with},
};
use crate::{
    api::context::PeerContext,
    clock,
    limits::{DAY_MS, REGISTRATION_BODY_BYTES_MAX, REGISTRATION_RETRY_MS},
    net::caller::Caller,
    problem::{ApiError, Kind},
    register::{part, request_view},
    setup::init::MAIN,
    telemetry::seldom::Seldom,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{Data, Path, Payload, block},
};
use ca::{
    Cause, CertificateFolder, EnrolmentToken, FiledRequest, Possession, RegistrationError, RequestId, RequestStatus,
    Terms,
};
use client::api::{ApprovalBody, CertificateRequestBody, CertificateView, RejectionBody, RenewalBody};
use ledger_classes::primitives::identity::{Identity, Role};
use pki::{CertificateRequest, KeyId, trust::files::certificates_pem};
use serde::Deserialize;
use std::sync::Arc;

/// The media type of a request (RFC 5967).
pub(super) const MEDIA_TYPE_REQUEST: &str = "application/pkcs10";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    status: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// Runs on the folder, on a thread that may wait for its lock and its disk.
pub(super) async fn with_folder<R: Send + 'static>(
    context: &PeerContext,
    caller: &Caller,
    work: impl FnOnce(&CertificateFolder) -> Result<R, ApiError> + Send + 'static,
) -> Result<R, ApiError> {
    let place = context.places.registrations.take(caller.who(), 1)?;
    let (trust, caller) = (Arc::clone(&context.trust), caller.clone());
    let done = block(move || {
        let _until_done = place;
        // Since the request began another process may have revoked the caller in this very folder.
        trust.poll();
        caller.check(&trust)?;
        let folder = trust.folder()?;
        let done = work(&folder.ok_or(Kind::NoAuthority)?);
        // Who is handed a path counts as having been offered the roots that the folder has by now: so they are offered
        // before the answer goes, and not when the files are looked at next.
        trust.poll();
        done
    });
    done.await.map_err(|error| {
        tracing::error!(%error, "work on the certificates folder panicked");
        ApiError::from(Kind::Broken)
    })?
}

pub(super) fn parse_identity(text: &str) -> Result<Identity, ApiError> {
    Identity::parse(text).map_err(|error| ApiError::new(Kind::RequestInvalid, error.to_string()))
}

/// An administrator, by a certificate that this peer accepts. Whether the folder's own CA issued it is asked of the
/// folder ([`Administrator::manages`]).
pub(super) struct Administrator {
    /// Who.
    pub(super) identity: Identity,
    issuer: KeyId,
    /// The certificate, DER.
    leaf: Vec<u8>,
}

impl Administrator {
    /// The caller as one. Whose certificate `main` has ended is none.
    pub(super) fn of(context: &PeerContext, caller: &Caller) -> Result<Self, ApiError> {
        if context.registry.by_name(MAIN).is_some_and(|main| caller.is_ended(&main.ended())) {
            return Err(ApiError::new(Kind::Forbidden, "the channel main has ended this certificate"));
        }
        let identity = caller.identity().ok_or(Kind::CertificateRequired)?.clone();
        let issuer = caller.issuer().ok_or(Kind::CertificateRequired)?;
        if identity.role() == Role::Admin {
            let leaf = caller.leaf().ok_or(Kind::CertificateRequired)?.to_vec();
            Ok(Self { identity, issuer, leaf })
        } else {
            Err(ApiError::new(Kind::Forbidden, "only administrators decide about certificates"))
        }
    }

    /// Whether the folder's CA of the administrator's organization issued the certificate. A second CA of the same name
    /// under another trusted root decides nothing here: to its administrators there is nothing.
    pub(super) fn manages(&self, folder: &CertificateFolder) -> Result<bool, ApiError> {
        // The index holds every certificate of its CAs: one that it has not is somebody's who has the CA's key.
        let records = folder.records()?;
        Ok(records.speaks_for(self.identity.organization(), &self.issuer)? && records.has_issued(&self.leaf))
    }

    /// Whether an identity is of the organization that this administrator decides for.
    pub(super) fn of_own(&self, identity: &Identity) -> bool {
        identity.organization() == self.identity.organization() && identity.consortium() == self.identity.consortium()
    }

    /// Who acts, and why.
    pub(super) fn because(&self, why: Option<&str>) -> Result<Cause, ApiError> {
        let cause = Cause::new(&self.identity.to_string(), why);
        cause.map_err(|error| ApiError::new(Kind::RequestInvalid, error.to_string()))
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
            let bytes = body::read(&request, payload, pki::limits::REQUEST_TEXT_BYTES_MAX).await?;
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
    let requester = caller.who().name().to_owned();
    let registration = with_folder(&context, &caller, move |folder| {
        let (request, identity, token) = &asked;
        let now = clock::now();
        Ok(match token {
            Some(token) => folder.registration().enrol(request, identity.as_ref(), token, &requester, now)?,
            None => folder.registration().file_request(request, identity.as_ref(), &requester, now)?,
        })
    });
    let registration = registration.await?;
    let record = &registration.record;
    // Anybody may post the same one again and again.
    static LINES: Seldom = Seldom::new();
    LINES.say(|left_out| {
        let (identity, status) = (&record.identity, registration.status);
        tracing::info!(request = %record.id, %identity, %status, left_out, "certificate request");
    });
    answer(&registration)
}

/// 201 with the certificate, or 202 with a hint when to ask again.
fn answer(registration: &FiledRequest) -> Result<HttpResponse, ApiError> {
    let issued = registration.status == RequestStatus::Issued;
    let status = if issued { StatusCode::CREATED } else { StatusCode::ACCEPTED };
    let mut response = json_with(status, &request_view(registration, false))?;
    if !issued {
        let seconds = header::HeaderValue::from(REGISTRATION_RETRY_MS / 1000);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    Ok(response)
}

/// Statuses, separated by commas.
fn statuses(text: &str) -> Result<Vec<RequestStatus>, ApiError> {
    let status = |word: &str| {
        let all = RequestStatus::ALL.iter().find(|status| status.to_string() == word).copied();
        all.ok_or_else(|| ApiError::new(Kind::InvalidParameter, format!("status: {word:?} is none of a request")))
    };
    text.split(',').map(status).collect()
}

/// Requests for the administrator's organization, oldest first.
pub(super) async fn list(
    context: Data<PeerContext>,
    caller: Caller,
    query: Query<ListQuery>,
) -> Result<HttpResponse, ApiError> {
    let admin = Administrator::of(&context, &caller)?;
    let ListQuery { status, after, limit: asked } = query.into_inner();
    let (wanted, limit) = (status.as_deref().map(statuses).transpose()?, limit(asked)?);
    let page = with_folder(&context, &caller, move |folder| {
        if !admin.manages(folder)? {
            return Err(Kind::NoAuthority.into());
        }
        let mut requests = folder.records()?.filed_requests(clock::now());
        requests.retain(|registration| {
            let asked = wanted.as_ref().is_none_or(|wanted| wanted.contains(&registration.status));
            admin.of_own(&registration.record.identity) && asked
        });
        let name = |registration: &FiledRequest| registration.record.id.to_string();
        let view = |registration: &FiledRequest| request_view(registration, true);
        part(None, &requests, (after.as_deref(), limit), name, view).ok_or_else(no_cursor)
    });
    let page = page.await?;
    made(&context, &caller, in_json(), move |out| out.json(&page)).await
}

/// What a page said in `next` names an item of the list.
pub(super) fn no_cursor() -> ApiError {
    ApiError::new(Kind::InvalidParameter, "after: what the page before said in next")
}

pub(super) async fn show(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
) -> Result<HttpResponse, ApiError> {
    let id = parse_id(&path)?;
    let admin = Administrator::of(&context, &caller).ok();
    let shown = with_folder(&context, &caller, move |folder| {
        let registration = folder.records()?.filed_request(&id, clock::now())?;
        let own = match &admin {
            Some(admin) => admin.of_own(&registration.record.identity) && admin.manages(folder)?,
            None => false,
        };
        Ok(request_view(&registration, own))
    });
    json(&shown.await?)
}

/// Lets an administrator of the request's organization decide; to others the request does not exist.
async fn decide(
    context: &PeerContext,
    caller: &Caller,
    path: &str,
    why: Option<&str>,
    decision: impl FnOnce(&CertificateFolder, &RequestId, &str) -> Result<FiledRequest, RegistrationError> + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    let admin = Administrator::of(context, caller)?;
    context.accepting()?;
    let id = parse_id(path)?;
    let (by, cause) = (admin.identity.to_string(), admin.because(why)?);
    let registration = with_folder(context, caller, move |folder| {
        let known = folder.records()?.filed_request(&id, clock::now())?;
        if !admin.of_own(&known.record.identity) || !admin.manages(folder)? {
            return Err(RegistrationError::Unknown(id).into());
        }
        Ok(decision(&folder.because(cause), &id, &admin.identity.to_string())?)
    });
    let registration = registration.await?;
    tracing::info!(request = %id, by, status = %registration.status, "certificate request decided");
    json(&request_view(&registration, true))
}

/// What a certificate is issued with, if anything of it was said.
pub(super) fn terms(hosts: &[String], days: Option<u64>) -> Result<Option<Terms>, ApiError> {
    if hosts.is_empty() && days.is_none() {
        return Ok(None);
    }
    let mut terms = Terms::default();
    for host in hosts {
        let name = host.parse().map_err(|error| ApiError::new(Kind::RequestInvalid, format!("{error}")))?;
        terms.alternative_names.push(name);
    }
    if let Some(days) = days {
        terms.lifetime_ms = days.saturating_mul(DAY_MS);
    }
    Ok(Some(terms))
}

pub(super) async fn approve(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let body: ApprovalBody = body::read_json(&request, payload, REGISTRATION_BODY_BYTES_MAX).await?;
    let given = terms(&body.hosts, body.days)?;
    let approve = move |folder: &CertificateFolder, id: &RequestId, by: &str| {
        folder.registration().approve(id, by, given.as_ref(), clock::now())
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
    let reject = move |folder: &CertificateFolder, id: &RequestId, by: &str| {
        folder.registration().reject(id, by, &body.reason, clock::now())
    };
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
        (Some(leaf), ..) => succeed(&context, &caller, leaf, asked).await?,
        (None, Some(current), Some(at), Some(signature)) => {
            let malformed = |error| ApiError::new(Kind::Malformed, format!("the current certificate: {error}"));
            let path = pki::pem::read_some(current.as_bytes(), pki::pem::CERTIFICATE).map_err(malformed)?;
            let current = path.into_iter().next().ok_or(Kind::Malformed)?;
            with_folder(&context, &caller, move |folder| {
                let possession = Possession::Signature { at, signature: &signature.0 };
                Ok(folder.renewal().renew(&current, &asked, possession, clock::now())?)
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
    caller: &Caller,
    leaf: Vec<u8>,
    asked: CertificateRequest,
) -> Result<Vec<Vec<u8>>, ApiError> {
    let renew = move |folder: &CertificateFolder| {
        Ok(folder.renewal().renew(&leaf, &asked, Possession::Connection, clock::now())?)
    };
    with_folder(context, caller, renew).await
}
