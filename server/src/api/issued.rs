//! An organization's certificates, for its own administrators: what was issued, revocation, enrolment tokens. Where the
//! peer holds the authorities' folder. To everybody else, administrators of other organizations too, there is nothing.

use super::answer::{in_json, made};
use super::parameters::Query;
use super::query::limit;
use super::registration::{Administrator, no_cursor, parse_identity, terms, with_folder};
use super::{
    body,
    media::{json, json_with},
};
use crate::{
    api::context::PeerContext,
    clock,
    limits::{DAY_MS, REGISTRATION_BODY_BYTES_MAX},
    net::caller::Caller,
    problem::{ApiError, Kind},
    register::{IssuedSelection, issued_view, part, revoked_view, status_word, token_view},
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Path, Payload},
};
use ca::{
    RegistrationError, TokenId,
    office::{
        error::FolderError,
        record::{CertificateRecord, CertificateStatus},
        revocation::Selection,
    },
};
use client::api::{CancelBody, RevocationBody, TokenBody, TokenView};
use ledger_classes::primitives::identity::Identity;
use pki::{RevocationReason, Serial};
use serde::Deserialize;
use std::sync::Arc;

/// Hours for which a token is good, unless something else is said.
const TOKEN_HOURS: u64 = 24;

/// Which certificates.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuedQuery {
    identity: Option<String>,
    status: Option<String>,
    expires_within_days: Option<u64>,
    after: Option<String>,
    limit: Option<usize>,
}

/// A hundred years.
const EXPIRES_WITHIN_DAYS_MAX: u64 = 36_500;

fn status(word: &str) -> Result<CertificateStatus, ApiError> {
    use CertificateStatus as S;
    let all = [S::Intended, S::Valid, S::Expired, S::Revoked];
    let found = all.into_iter().find(|status| status_word(*status) == word);
    found.ok_or_else(|| ApiError::new(Kind::InvalidParameter, "status: valid, expired, revoked or intended"))
}

fn identity_of(text: &str) -> Result<Identity, ApiError> {
    Identity::parse(text).map_err(|error| ApiError::new(Kind::InvalidParameter, format!("identity: {error}")))
}

/// Certificates of the administrator's organization, in the order in which they were issued.
pub(super) async fn list(
    context: Data<PeerContext>,
    caller: Caller,
    query: Query<IssuedQuery>,
) -> Result<HttpResponse, ApiError> {
    let admin = Administrator::of(&context, &caller)?;
    let IssuedQuery { identity, status: word, expires_within_days: days, after, limit: asked } = query.into_inner();
    if days.is_some_and(|days| days > EXPIRES_WITHIN_DAYS_MAX) {
        let what = format!("expires_within_days: 0 to {EXPIRES_WITHIN_DAYS_MAX}");
        return Err(ApiError::new(Kind::InvalidParameter, what));
    }
    let filter = IssuedSelection {
        identity: identity.as_deref().map(identity_of).transpose()?,
        status: word.as_deref().map(status).transpose()?,
        expires_within_ms: days.map(|days| days.saturating_mul(DAY_MS)),
    };
    let limit = limit(asked)?;
    let page = with_folder(&context, &caller, move |folder| {
        if !admin.manages(folder)? {
            return Err(Kind::NoAuthority.into());
        }
        let now = clock::now();
        let records = folder.records()?;
        let wanted = |record: &&CertificateRecord| admin.of_own(&record.identity) && filter.admits(record, now);
        let certificates: Vec<&CertificateRecord> = records.certificates().iter().filter(wanted).collect();
        let name = |record: &&CertificateRecord| record.serial.to_string();
        let view = |record: &&CertificateRecord| issued_view(record, &[], now);
        part(None, &certificates, (after.as_deref(), limit), name, view).ok_or_else(no_cursor)
    });
    let page = page.await?;
    made(&context, &caller, in_json(), move |out| out.json(&page)).await
}

pub(super) async fn show(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
) -> Result<HttpResponse, ApiError> {
    let admin = Administrator::of(&context, &caller)?;
    let serial: Serial = path.parse().map_err(|_| Kind::CertificateUnknown)?;
    let shown = with_folder(&context, &caller, move |folder| {
        let (record, path) = folder.records()?.show(&serial)?;
        if !admin.of_own(&record.identity) || !admin.manages(folder)? {
            return Err(unknown(&serial.to_string()));
        }
        Ok(issued_view(&record, &path, clock::now()))
    });
    json(&shown.await?)
}

/// As the folder itself says of what it has not.
fn unknown(which: &str) -> ApiError {
    RegistrationError::Folder(FolderError::UnknownCertificate(which.into())).into()
}

/// Revokes certificates of the administrator's organization: in force on this peer before the answer.
pub(super) async fn revoke(
    context: Data<PeerContext>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let admin = Administrator::of(&context, &caller)?;
    context.accepting()?;
    let body: RevocationBody = body::read_json(&request, payload, REGISTRATION_BODY_BYTES_MAX).await?;
    let invalid = |error: &dyn std::fmt::Display| ApiError::new(Kind::RequestInvalid, error.to_string());
    let (selection, which) = match (body.serial, body.identity) {
        (Some(serial), None) => (Selection::Serial(serial.parse().map_err(|error| invalid(&error))?), serial),
        (None, Some(identity)) => (Selection::Identity(parse_identity(&identity)?), identity),
        _ => return Err(invalid(&"one of serial and identity is needed")),
    };
    let reason: RevocationReason = match body.reason.as_deref() {
        Some(word) => word.parse().map_err(|error| invalid(&error))?,
        None => RevocationReason::Unspecified,
    };
    let (by, cause) = (admin.identity.to_string(), admin.because(body.why.as_deref())?);
    let trust = Arc::clone(&context.trust);
    let revoked = with_folder(&context, &caller, move |folder| {
        let identity = match &selection {
            Selection::Identity(identity) => identity.clone(),
            Selection::Serial(serial) => folder.records()?.show(serial)?.0.identity,
        };
        if !admin.of_own(&identity) || !admin.manages(folder)? {
            return Err(unknown(&which));
        }
        let now = clock::now();
        let revoked = folder.because(cause).revocation().revoke_with(&selection, reason, body.renewals, now)?;
        trust.poll();
        Ok(revoked_view(&revoked, now))
    });
    let revoked = revoked.await?;
    tracing::info!(by, certificates = revoked.revoked.len(), "certificates revoked over the API");
    made(&context, &caller, in_json(), move |out| out.json(&revoked)).await
}

/// What of a list is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokensQuery {
    after: Option<String>,
    limit: Option<usize>,
}

/// Tokens for identities of the administrator's organization, without their secrets.
pub(super) async fn tokens(
    context: Data<PeerContext>,
    caller: Caller,
    query: Query<TokensQuery>,
) -> Result<HttpResponse, ApiError> {
    let admin = Administrator::of(&context, &caller)?;
    let TokensQuery { after, limit: asked } = query.into_inner();
    let limit = limit(asked)?;
    let page = with_folder(&context, &caller, move |folder| {
        if !admin.manages(folder)? {
            return Err(Kind::NoAuthority.into());
        }
        let mut tokens = folder.records()?.token_standings(clock::now());
        tokens.retain(|(token, _)| admin.of_own(&token.identity));
        part(None, &tokens, (after.as_deref(), limit), |(token, _)| token.id.to_string(), token_view)
            .ok_or_else(no_cursor)
    });
    let page = page.await?;
    made(&context, &caller, in_json(), move |out| out.json(&page)).await
}

/// Makes a token of the administrator's organization good for nothing.
pub(super) async fn cancel_token(
    context: Data<PeerContext>,
    caller: Caller,
    path: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let admin = Administrator::of(&context, &caller)?;
    context.accepting()?;
    let body: CancelBody = body::read_json(&request, payload, REGISTRATION_BODY_BYTES_MAX).await?;
    let id: TokenId = path.parse().map_err(|_| Kind::TokenUnknown)?;
    let cause = admin.because(body.why.as_deref())?;
    let cancelled = with_folder(&context, &caller, move |folder| {
        let records = folder.records()?;
        let token = records.tokens().get(&id).filter(|token| admin.of_own(&token.identity));
        if token.is_none() || !admin.manages(folder)? {
            return Err(RegistrationError::NoToken(id).into());
        }
        Ok(token_view(&folder.because(cause).registration().cancel_token(&id, clock::now())?))
    });
    json(&cancelled.await?)
}

/// Makes a one-time token for an identity of the administrator's organization.
pub(super) async fn token(
    context: Data<PeerContext>,
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let admin = Administrator::of(&context, &caller)?;
    context.accepting()?;
    let body: TokenBody = body::read_json(&request, payload, REGISTRATION_BODY_BYTES_MAX).await?;
    let identity = parse_identity(&body.identity)?;
    let terms = terms(&body.hosts, body.days)?.unwrap_or_default();
    let lifetime_ms = body.hours.unwrap_or(TOKEN_HOURS).saturating_mul(3_600_000);
    let (by, cause) = (admin.identity.to_string(), admin.because(body.why.as_deref())?);
    let made = with_folder(&context, &caller, move |folder| {
        if !admin.of_own(&identity) || !admin.manages(folder)? {
            return Err(RegistrationError::NoAuthority(Box::new(identity)).into());
        }
        let (folder, by) = (folder.because(cause), Some(&admin.identity));
        let (token, expires) = folder.registration().add_token(&identity, by, terms, lifetime_ms, clock::now())?;
        Ok(TokenView { token: token.reveal().to_string(), identity: identity.to_string(), expires })
    });
    let made = made.await?;
    tracing::info!(by, identity = made.identity, "an enrolment token was made over the API");
    json_with(StatusCode::CREATED, &made)
}
