//! The certificates of an organization, over HTTPS: what its administrators do from their own machines, with a peer
//! that has the authorities' folder.

use crate::api::{
    ApprovalBody, CancelBody, CertificateRequestBody, CertificateRequestView, IssuedView, RegisterPage, RejectionBody,
    RevocationBody, RevokedView, TokenBody, TokenRecordView, TokenView,
};
use crate::connection::{Ask, Connection, JSON, RequestError};
use crate::query::Paging;
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Which of the certificates that were issued.
#[derive(Clone, Copy, Debug, Default)]
pub struct IssuedFilter<'a> {
    /// Of this identity.
    pub identity: Option<&'a str>,
    /// Of this status.
    pub status: Option<&'a str>,
    /// Valid ones that expire within so many days.
    pub expires_within_days: Option<u64>,
}

impl Connection {
    /// Posts JSON. What was done is not done again where the answer is lost: who asks sees what became of it.
    async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &[&str], body: &B) -> Result<T, RequestError> {
        let url = self.url(path, &[])?;
        let body = serde_json::to_vec(body).map_err(|error| RequestError::Answer(error.to_string()))?;
        let body = Some((JSON, body.into()));
        self.ask(Ask { method: Method::POST, url, accept: JSON, body, again: false }).await?.json()
    }

    /// Files a certificate request, or has it answered at once with a token.
    pub async fn file_request(&self, body: &CertificateRequestBody) -> Result<CertificateRequestView, RequestError> {
        self.post(&["ca", "requests"], body).await
    }

    /// Certificate requests for the caller's organization, oldest first; of some statuses, separated by commas, or all.
    pub async fn certificate_requests(
        &self,
        status: Option<&str>,
        paging: Paging<'_>,
    ) -> Result<RegisterPage<CertificateRequestView>, RequestError> {
        let query: Vec<_> = status.iter().map(|status| ("status", *status)).collect();
        self.part(&["ca", "requests"], &query, paging).await
    }

    /// One certificate request.
    pub async fn certificate_request(&self, id: &str) -> Result<CertificateRequestView, RequestError> {
        self.get(&["ca", "requests", id], &[]).await
    }

    /// An administrator's yes.
    pub async fn approve_request(&self, id: &str, body: &ApprovalBody) -> Result<CertificateRequestView, RequestError> {
        self.post(&["ca", "requests", id, "approve"], body).await
    }

    /// An administrator's no.
    pub async fn reject_request(&self, id: &str, body: &RejectionBody) -> Result<CertificateRequestView, RequestError> {
        self.post(&["ca", "requests", id, "reject"], body).await
    }

    /// Certificates of the caller's organization, in the order in which they were issued.
    pub async fn issued(
        &self,
        filter: IssuedFilter<'_>,
        paging: Paging<'_>,
    ) -> Result<RegisterPage<IssuedView>, RequestError> {
        let days = filter.expires_within_days.map(|days| days.to_string());
        let fields =
            [("identity", filter.identity), ("status", filter.status), ("expires_within_days", days.as_deref())];
        let query: Vec<_> = fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        self.part(&["ca", "issued"], &query, paging).await
    }

    /// One of them, with its path.
    pub async fn issued_certificate(&self, serial: &str) -> Result<IssuedView, RequestError> {
        self.get(&["ca", "issued", serial], &[]).await
    }

    /// Revokes certificates of the caller's organization.
    pub async fn revoke(&self, body: &RevocationBody) -> Result<RevokedView, RequestError> {
        self.post(&["ca", "revocations"], body).await
    }

    /// Enrolment tokens for the caller's organization, in the order in which they were made.
    pub async fn enrolment_tokens(&self, paging: Paging<'_>) -> Result<RegisterPage<TokenRecordView>, RequestError> {
        self.part(&["ca", "tokens"], &[], paging).await
    }

    /// Makes one of them good for nothing.
    pub async fn cancel_token(&self, id: &str, body: &CancelBody) -> Result<TokenRecordView, RequestError> {
        self.post(&["ca", "tokens", id, "cancel"], body).await
    }

    /// Makes a one-time enrolment token for an identity of the caller's organization.
    pub async fn enrolment_token(&self, body: &TokenBody) -> Result<TokenView, RequestError> {
        self.post(&["ca", "tokens"], body).await
    }
}
