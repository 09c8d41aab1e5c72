//! What has become of requests and tokens, and whether somebody is the office's: for whoever asks. What is decided about
//! them is in [`crate::office::registration`].

use crate::office::{
    database::Database,
    enrolment::{CertificateRequestRecord, RequestId, RequestStatus, TokenRecord, TokenStanding},
    error::FolderError,
    records::Records,
    registration::RegistrationError,
};
use ledger_classes::primitives::time::Time;
use pki::x509::identifiers::{KeyId, sha256};

/// A request and what has become of it.
#[derive(Clone, Debug)]
pub struct FiledRequest {
    /// The request.
    pub record: CertificateRequestRecord,
    /// What has become of it.
    pub status: RequestStatus,
    /// Approvals that the policy asks for.
    pub approvals_needed: u32,
    /// The certificate path, leaf first, once it is issued.
    pub path: Option<Vec<Vec<u8>>>,
}

impl FiledRequest {
    /// Without its certificate.
    fn of(database: &Database, record: &CertificateRequestRecord, now: Time) -> Self {
        let policy = database.policy();
        let record = database.counted(record);
        let status = record.status(policy, now);
        Self { record, status, approvals_needed: policy.approvals, path: None }
    }
}

impl Database {
    /// All requests, oldest first, without their certificates.
    pub fn filed_requests(&self, now: Time) -> Vec<FiledRequest> {
        self.requests().iter().map(|record| FiledRequest::of(self, record, now)).collect()
    }

    /// All enrolment tokens without their secrets, in the order in which they were made.
    pub fn token_standings(&self, now: Time) -> Vec<(TokenRecord, TokenStanding)> {
        let mut tokens: Vec<_> = self.tokens().values().cloned().collect();
        tokens.sort_by_key(|token| token.line);
        tokens.into_iter().map(|token| (token.clone(), self.standing(&token, now))).collect()
    }

    /// Whether a certificate, DER, is one that the index has.
    pub fn has_issued(&self, leaf: &[u8]) -> bool {
        let serial = pki::LeafClaims::of_certificate(leaf).map(|claims| claims.serial().clone());
        let fingerprint = Some(hex::encode(sha256(leaf)));
        serial.is_ok_and(|serial| self.certificate(&serial).is_some_and(|record| record.fingerprint == fingerprint))
    }
}

impl Records {
    /// One request, with its certificate once there is one.
    pub fn filed_request(&self, id: &RequestId, now: Time) -> Result<FiledRequest, RegistrationError> {
        let record = self.request(id).ok_or(RegistrationError::Unknown(*id))?;
        let path = match &record.serial {
            Some(serial) => {
                let unknown = || FolderError::UnknownCertificate(serial.to_string());
                let issued = self.certificate(serial).ok_or_else(unknown)?;
                Some(self.issued_path(issued).map_err(FolderError::from)?)
            }
            None => None,
        };
        Ok(FiledRequest { path, ..FiledRequest::of(self, record, now) })
    }

    /// Whether the CA that this folder has for an organization is the one with this key: an administrator who decides
    /// about the organization's certificates over a connection holds a certificate of that very CA, and not of another
    /// one that is trusted under the same name.
    pub fn speaks_for(&self, organization: &str, issuer: &KeyId) -> Result<bool, FolderError> {
        match self.authorities().get(organization) {
            Some(authority) if authority.revoked.is_none() => {
                Ok(KeyId::of_certificate(&self.newest_of(authority)?).as_ref() == Some(issuer))
            }
            _ => Ok(false),
        }
    }
}
