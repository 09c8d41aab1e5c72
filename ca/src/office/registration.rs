//! From a request to a certificate: the queue, its approvals, and enrolment tokens.
//!
//! A request binds a key whose possession is proven to a wished identity. It becomes a certificate only by the
//! approvals that the policy asks for, or by a token that an administrator made for this identity. Each step is
//! recorded before it has an effect; a crash between approval and issuance is healed by the next try. What is to be seen of
//! all this is in [`crate::office::filed`].
//!
//! Whoever calls this decides who may: nothing here knows who an administrator is.

mod error;

use crate::{
    keys::error::KeyError,
    limits::{
        ALTERNATIVE_NAME_BYTES_MAX, ALTERNATIVE_NAMES_MAX, APPROVALS_MAX, CERTIFICATES_PER_IDENTITY_MAX,
        REQUEST_LIFETIME_MS, REQUESTS_OPEN_OF_ORGANIZATION_MAX, REQUESTS_OPEN_PER_REQUESTER_MAX, TOKEN_LIFETIME_MAX_MS,
        TOKENS_OPEN_MAX,
    },
    office::{
        database::Database,
        enrolment::{
            CertificateRequestRecord, EnrolmentPolicy, EnrolmentToken, RequestId, RequestStatus, Requester, Terms,
            TokenId, TokenRecord, TokenStanding, member_of,
        },
        error::FolderError,
        event::Event,
        filed::FiledRequest,
        folder::CertificateFolder,
        issuing::{IssuedFor, issue},
        key_compromise,
        locked_records::LockedRecords,
        record::CertificateStatus,
        records::Records,
    },
};
pub use error::RegistrationError;
use error::TEXT_CHARS_MAX;
use ledger_classes::primitives::identity::{Identity, Role};
use ledger_classes::primitives::time::Time;
use pki::x509::request::CertificateRequest;
use ring::rand::SystemRandom;

/// Files requests and decides them; makes and cancels tokens; sets the policy.
#[derive(Clone, Copy, Debug)]
pub struct Registration<'a> {
    pub(super) folder: &'a CertificateFolder,
}

impl Registration<'_> {
    /// Files a request, which then waits for approval. The same key for the same identity is the same request: asking
    /// again says what has become of it. `requester` is who asks: an identity or an address.
    pub fn file_request(
        &self,
        request: &CertificateRequest,
        identity: Option<&Identity>,
        requester: &str,
        now: Time,
    ) -> Result<FiledRequest, RegistrationError> {
        let identity = resolve(request, identity)?;
        let requester = text(requester)?;
        // Whoever asks again is answered from the index: nothing is locked, and nothing is done again.
        if let Some(known) = known(&self.folder.records()?, request, identity, now)? {
            return Ok(known);
        }
        let mut records = self.folder.lock()?;
        records.cause(&identity.to_string(), None);
        check_authority(&records, identity)?;
        if let Some(known) = records.asked(identity, request.public_key()) {
            let (id, policy) = (known.id, records.policy());
            match (records.counted(known).status(policy, now), &known.rejected) {
                (RequestStatus::Rejected, Some(rejected)) => {
                    return Err(RegistrationError::Rejected(rejected.reason.clone()));
                }
                (RequestStatus::Issued, _) if !is_valid(&records, known, now) => {}
                (RequestStatus::Lapsed, _) => {}
                _ => return complete(&mut records, id, now),
            }
        }
        key_compromise::check(&records, identity.organization(), request.public_key())?;
        let policy = records.policy();
        // Each organization has its own queue: nobody closes another's, whose administrators would not see why.
        let open = |record: &&CertificateRequestRecord| {
            record.identity.organization() == identity.organization()
                && records.counted(record).status(policy, now) == RequestStatus::Requested
        };
        // Those that lapsed, whoever filed them, were filed before all others.
        let alive = records.undecided().take_while(|record| now <= record.requested.plus_millis(REQUEST_LIFETIME_MS));
        let open: Vec<&CertificateRequestRecord> = alive.filter(open).collect();
        let of_requester = open.iter().filter(|record| record.requester == requester).count();
        if of_requester >= REQUESTS_OPEN_PER_REQUESTER_MAX {
            return Err(RegistrationError::TooManyRequests { requester });
        }
        let kind = Requester::at(identity.organization(), &requester);
        if open.iter().filter(|record| record.filed_by() == kind).count() >= kind.of_kind() {
            return Err(RegistrationError::StrangersFull);
        }
        let organization = member_of(&requester).filter(|_| kind == Requester::Member);
        let of_organization = |record: &&&CertificateRequestRecord| member_of(&record.requester) == organization;
        if organization.is_some() && open.iter().filter(of_organization).count() >= REQUESTS_OPEN_OF_ORGANIZATION_MAX {
            return Err(RegistrationError::OrganizationFull);
        }
        if open.len() >= kind.queue() {
            return Err(RegistrationError::QueueFull);
        }
        let id = append_request(&mut records, request, identity, requester, None, now)?;
        complete(&mut records, id, now)
    }

    /// Issues at once to the bearer of a token that was made for this identity. The line that files the request spends
    /// the token: whatever happens next, it approves no other key.
    pub fn enrol(
        &self,
        request: &CertificateRequest,
        identity: Option<&Identity>,
        token: &EnrolmentToken,
        requester: &str,
        now: Time,
    ) -> Result<FiledRequest, RegistrationError> {
        let requester = text(requester)?;
        let mut records = self.folder.lock()?;
        let record = records.tokens().get(&token.id()).filter(|record| token.is_of(record)).cloned();
        let record = record.ok_or(RegistrationError::UnknownToken)?;
        // Not the requester: the act goes onto a ledger, where an address would stay for ever.
        records.cause(&record.identity.to_string(), Some(&format!("enrolment token {}", record.id)));
        if record.cancelled.is_some() {
            return Err(RegistrationError::VoidToken("it was cancelled"));
        }
        if let Some(why) = records.void(&record) {
            return Err(RegistrationError::VoidToken(why));
        }
        if let Some(spent) = record.spent {
            // The crash came between the two: the same key gets its certificate, nobody else does.
            let same = records.request(&spent).is_some_and(|known| {
                known.serial.is_none() && known.rejected.is_none() && known.public_key == *request.public_key()
            });
            return if same { complete(&mut records, spent, now) } else { Err(RegistrationError::SpentToken) };
        }
        if record.expires < now {
            return Err(RegistrationError::ExpiredToken);
        }
        for asked in request.identity().into_iter().chain(identity) {
            if *asked != record.identity {
                let (asked, bound) = (Box::new(asked.clone()), Box::new(record.identity));
                return Err(RegistrationError::OtherIdentity { asked, bound });
            }
        }
        check_authority(&records, &record.identity)?;
        key_compromise::check(&records, record.identity.organization(), request.public_key())?;
        check_count(&records, &record.identity, now)?;
        let id = append_request(&mut records, request, &record.identity, requester, Some(&record), now)?;
        complete(&mut records, id, now)
    }

    /// An administrator's yes. The first one fixes the terms; later ones say the same, or nothing. With the last one
    /// that the policy asks for, the certificate is issued.
    pub fn approve(
        &self,
        id: &RequestId,
        by: &str,
        terms: Option<&Terms>,
        now: Time,
    ) -> Result<FiledRequest, RegistrationError> {
        let by = text(by)?;
        let mut records = self.folder.lock()?;
        records.cause(&by, None);
        let policy = records.policy();
        let record = records.request(id).map(|record| records.counted(record));
        let record = record.ok_or(RegistrationError::Unknown(*id))?;
        match record.status(policy, now) {
            RequestStatus::Requested => {}
            // Granted before a crash, or by a policy that has been relaxed since.
            RequestStatus::Approved => return complete(&mut records, *id, now),
            decided => return Err(RegistrationError::Decided(decided)),
        }
        if by == record.identity.to_string() {
            return Err(RegistrationError::OwnRequest);
        }
        if record.approvals.iter().any(|approval| approval.by == by) {
            return Err(RegistrationError::ApprovedAlready(by));
        }
        if let (Some(terms), Some(fixed)) = (terms, &record.terms)
            && terms != fixed
        {
            return Err(RegistrationError::OtherTerms);
        }
        let terms = record.terms.as_ref().or(terms).cloned().unwrap_or_default();
        check_terms(&record.identity, &terms)?;
        key_compromise::check(&records, record.identity.organization(), &record.public_key)?;
        check_count(&records, &record.identity, now)?;
        check_authority(&records, &record.identity)?;
        records.append(&Event::Approved { request: *id, by, terms, at: now })?;
        complete(&mut records, *id, now)
    }

    /// An administrator's no, for good.
    pub fn reject(&self, id: &RequestId, by: &str, reason: &str, now: Time) -> Result<FiledRequest, RegistrationError> {
        let (by, reason) = (text(by)?, text(reason)?);
        let mut records = self.folder.lock()?;
        records.cause(&by, Some(&reason));
        let record = records.request(id).ok_or(RegistrationError::Unknown(*id))?;
        match records.counted(record).status(records.policy(), now) {
            RequestStatus::Requested | RequestStatus::Approved => {}
            decided => return Err(RegistrationError::Decided(decided)),
        }
        records.append(&Event::Rejected { request: *id, by, reason, at: now })?;
        records.filed_request(id, now)
    }

    /// Makes a token that approves one request for `identity` until `now + lifetime_ms`. Whoever has the folder may
    /// do everything; an administrator who has not, `by`, decides alone only where the policy lets one decide, and never
    /// about the own certificate.
    pub fn add_token(
        &self,
        identity: &Identity,
        by: Option<&Identity>,
        terms: Terms,
        lifetime_ms: u64,
        now: Time,
    ) -> Result<(EnrolmentToken, Time), RegistrationError> {
        if lifetime_ms > TOKEN_LIFETIME_MAX_MS {
            return Err(RegistrationError::TokenLifetime);
        }
        check_terms(identity, &terms)?;
        let mut records = self.folder.lock()?;
        if by == Some(identity) {
            return Err(RegistrationError::OwnRequest);
        }
        let needed = records.policy().approvals;
        if by.is_some() && needed > 1 {
            return Err(RegistrationError::AloneForSeveral(needed));
        }
        check_authority(&records, identity)?;
        let of_organization = |token: &&TokenRecord| token.identity.organization() == identity.organization();
        let open = |token: &&TokenRecord| records.standing(token, now) == TokenStanding::Open;
        if records.tokens().values().filter(of_organization).filter(open).count() >= TOKENS_OPEN_MAX {
            return Err(RegistrationError::TooManyTokens);
        }
        let token = EnrolmentToken::random(&SystemRandom::new()).map_err(|_| no_random())?;
        let expires = now.plus_millis(lifetime_ms);
        records.append(&Event::TokenAdded {
            token: token.id(),
            hash: hex::encode(token.hash()),
            identity: identity.clone(),
            terms,
            expires,
            by: by.cloned(),
            at: now,
        })?;
        Ok((token, expires))
    }

    /// Makes a token good for nothing; again changes nothing.
    pub fn cancel_token(&self, id: &TokenId, now: Time) -> Result<(TokenRecord, TokenStanding), RegistrationError> {
        let mut records = self.folder.lock()?;
        let record = records.tokens().get(id).cloned().ok_or(RegistrationError::NoToken(*id))?;
        if record.spent.is_some() {
            return Err(RegistrationError::SpentToken);
        }
        if record.cancelled.is_none() {
            records.append(&Event::TokenCancelled { token: *id, at: now })?;
        }
        let record = records.tokens().get(id).cloned().unwrap_or(record);
        let standing = records.standing(&record, now);
        Ok((record, standing))
    }

    /// Changes what requests need, the waiting ones included.
    pub fn set_policy(&self, policy: EnrolmentPolicy, now: Time) -> Result<(), RegistrationError> {
        if !(1..=APPROVALS_MAX).contains(&policy.approvals) {
            return Err(RegistrationError::Policy);
        }
        Ok(self.folder.lock()?.append(&Event::PolicySet { policy, at: now })?)
    }
}

/// What the index says of this very request, if that is all that there is to say: it waits, or its certificate is good.
fn known(
    records: &Records,
    request: &CertificateRequest,
    identity: &Identity,
    now: Time,
) -> Result<Option<FiledRequest>, RegistrationError> {
    check_authority(records, identity)?;
    let Some(known) = records.asked(identity, request.public_key()) else { return Ok(None) };
    match records.counted(known).status(records.policy(), now) {
        RequestStatus::Rejected => {
            let reason = known.rejected.as_ref().map(|rejected| rejected.reason.clone()).unwrap_or_default();
            Err(RegistrationError::Rejected(reason))
        }
        RequestStatus::Issued if !is_valid(records, known, now) => Ok(None),
        RequestStatus::Issued | RequestStatus::Requested => records.filed_request(&known.id, now).map(Some),
        RequestStatus::Lapsed | RequestStatus::Approved => Ok(None),
    }
}

/// The line that files a request, and spends its token.
fn append_request(
    records: &mut LockedRecords,
    request: &CertificateRequest,
    identity: &Identity,
    requester: String,
    token: Option<&TokenRecord>,
    now: Time,
) -> Result<RequestId, RegistrationError> {
    let id = RequestId::random(&SystemRandom::new()).map_err(|_| no_random())?;
    records.append(&Event::Requested {
        request: id,
        identity: identity.clone(),
        public_key: hex::encode(request.public_key().spki()),
        requester,
        token: token.map(|token| token.id),
        at: now,
    })?;
    Ok(id)
}

/// Issues if everything that is needed is there.
fn complete(records: &mut LockedRecords, id: RequestId, now: Time) -> Result<FiledRequest, RegistrationError> {
    let record = records.request(&id).map(|record| records.counted(record));
    let record = record.ok_or(RegistrationError::Unknown(id))?;
    if record.status(records.policy(), now) == RequestStatus::Approved {
        key_compromise::check(records, record.identity.organization(), &record.public_key)?;
        check_count(records, &record.identity, now)?;
        let purpose = IssuedFor { request: Some(id), renews: None };
        let terms = record.terms.unwrap_or_default();
        issue(records, &record.identity, &record.public_key, terms, purpose, now)?;
    }
    records.filed_request(&id, now)
}

/// Refuses identities for which nobody here can issue.
fn check_authority(database: &Database, identity: &Identity) -> Result<(), RegistrationError> {
    let authority = database.authorities().get(identity.organization());
    let can_issue = authority.is_some_and(|authority| authority.revoked.is_none());
    if can_issue && identity.consortium() == database.consortium() {
        Ok(())
    } else {
        Err(RegistrationError::NoAuthority(Box::new(identity.clone())))
    }
}

/// The one identity that the request and its sender agree on.
fn resolve<'a>(
    request: &'a CertificateRequest,
    identity: Option<&'a Identity>,
) -> Result<&'a Identity, RegistrationError> {
    match (request.identity(), identity) {
        (Some(asked), Some(bound)) if asked != bound => {
            Err(RegistrationError::OtherIdentity { asked: Box::new(asked.clone()), bound: Box::new(bound.clone()) })
        }
        (asked, bound) => bound.or(asked).ok_or(RegistrationError::NoIdentity),
    }
}

fn is_valid(database: &Database, record: &CertificateRequestRecord, now: Time) -> bool {
    let certificate = record.serial.as_ref().and_then(|serial| database.certificate(serial));
    certificate.is_some_and(|certificate| certificate.status(now) == CertificateStatus::Valid)
}

/// Refuses more certificates of one identity than anybody needs at a time.
pub(crate) fn check_count(database: &Database, identity: &Identity, now: Time) -> Result<(), RegistrationError> {
    let valid = database.of_identity(identity).filter(|record| record.status(now) == CertificateStatus::Valid).count();
    if valid < CERTIFICATES_PER_IDENTITY_MAX {
        Ok(())
    } else {
        Err(RegistrationError::TooManyCertificates(Box::new(identity.clone())))
    }
}

fn check_terms(identity: &Identity, terms: &Terms) -> Result<(), RegistrationError> {
    let names = terms.alternative_names.len();
    let bytes: usize = terms.alternative_names.iter().map(|name| name.to_string().len()).sum();
    if bytes > ALTERNATIVE_NAME_BYTES_MAX {
        return Err(RegistrationError::LongTerms);
    }
    let fits = names <= ALTERNATIVE_NAMES_MAX && (names == 0 || identity.role() == Role::Peer);
    if fits && terms.in_range() { Ok(()) } else { Err(RegistrationError::Terms) }
}

fn text(text: &str) -> Result<String, RegistrationError> {
    let fits = (1..=TEXT_CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err(RegistrationError::Text) }
}

fn no_random() -> RegistrationError {
    RegistrationError::Folder(FolderError::Key(KeyError::Random))
}
