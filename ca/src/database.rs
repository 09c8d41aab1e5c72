//! What an authority did, as an append-only file of JSON lines: `index.jsonl`.
//!
//! A line is fsynced before the act that it announces: the intention to sign is recorded before anything is signed,
//! a revocation before the CRL that carries it, so that no certificate exists that the database does not know. One
//! process writes at a time (a lock file); readers need no lock, because a last line without its newline is not there
//! yet. Lines are never changed or removed.

pub use crate::event::Event;
use crate::{
    acts::{self, Cause, CertificateAct},
    enrolment::{Approval, CertificateRequestRecord, EnrolmentPolicy, Rejection, RequestId, TokenId, TokenRecord},
    identifiers::{RevocationReason, Serial},
    keys::PublicKey,
};
use ledger_classes::{identity::Identity, time::Time};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// The version that the first line names.
const FORMAT: u32 = 1;
const INDEX: &str = "index.jsonl";
const LOCK: &str = "lock";

/// Why the database cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The disk.
    #[error("certificate database {path}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A whole line is not an event, or contradicts what came before.
    #[error("certificate database {path}, line {line}: {reason}")]
    Corrupt {
        /// Which file.
        path: String,
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// An earlier append failed: the state on disk is not known. Open it again.
    #[error("an earlier write to the certificate database failed")]
    Broken,
}

/// When and why something was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Revocation {
    /// When.
    pub at: Time,
    /// Why.
    pub reason: RevocationReason,
}

/// What has become of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateStatus {
    /// Recorded before signing, never confirmed: it may exist, nobody was given it.
    Intended,
    /// Issued, not revoked, not expired.
    Valid,
    /// Its last second has passed.
    Expired,
    /// Revoked, whether or not it has expired since.
    Revoked,
}

/// A leaf certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CertificateRecord {
    /// The organization whose CA signed it.
    pub authority: String,
    /// Its serial.
    pub serial: Serial,
    /// Whose it is.
    pub identity: Identity,
    /// Its first second.
    pub not_before: Time,
    /// Its last second.
    pub not_after: Time,
    /// When its issuance was intended.
    pub intended: Time,
    /// SHA-256 of it, hex; `None` while it is only intended.
    pub fingerprint: Option<String>,
    /// SHA-256 of its SubjectPublicKeyInfo, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The request that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// The certificate that it continues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renews: Option<Serial>,
    /// Whether it was revoked.
    pub revoked: Option<Revocation>,
    /// What was done with it, by whom and why.
    pub acts: Vec<CertificateAct>,
}

impl CertificateRecord {
    /// What has become of it at `now`.
    pub fn status(&self, now: Time) -> CertificateStatus {
        if self.revoked.is_some() {
            CertificateStatus::Revoked
        } else if self.fingerprint.is_none() {
            CertificateStatus::Intended
        } else if self.not_after.plus_millis(999) < now {
            CertificateStatus::Expired
        } else {
            CertificateStatus::Valid
        }
    }
}

/// A CA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuthorityRecord {
    /// `root`, or the organization.
    pub name: String,
    /// Who signed its certificate.
    pub issuer: String,
    /// The serial of its certificate.
    pub serial: Serial,
    /// Its last second.
    pub not_after: Time,
    /// Certificates of the same name and key that came before it, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<AuthorityCertificate>,
    /// Certificates that were recorded before signing and never confirmed: they may exist, nobody was given them.
    #[serde(skip)]
    pub intended: Vec<AuthorityCertificate>,
    /// The number of its newest CRL; 0 before the first.
    pub crl_number: u64,
    /// When its next CRL is due.
    pub crl_next_update: Option<Time>,
    /// Whether it was revoked.
    pub revoked: Option<Revocation>,
}

impl AuthorityRecord {
    /// Every certificate that was handed out, the newest first.
    pub fn certificates(&self) -> impl Iterator<Item = AuthorityCertificate> {
        let (issuer, serial, not_after) = (self.issuer.clone(), self.serial.clone(), self.not_after);
        std::iter::once(AuthorityCertificate { issuer, serial, not_after }).chain(self.earlier.iter().rev().cloned())
    }
}

/// One certificate of a CA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuthorityCertificate {
    /// Who signed it.
    pub issuer: String,
    /// Its serial under that issuer.
    pub serial: Serial,
    /// Its last second.
    pub not_after: Time,
}

/// The state after all lines.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    consortium: String,
    authorities: BTreeMap<String, AuthorityRecord>,
    certificates: Vec<CertificateRecord>,
    by_serial: HashMap<Serial, usize>,
    requests: Vec<CertificateRequestRecord>,
    by_request: HashMap<RequestId, usize>,
    tokens: BTreeMap<TokenId, TokenRecord>,
    policy: EnrolmentPolicy,
}

impl Database {
    /// Writes the first line of a new database in `directory`, which has none.
    pub(crate) fn create(directory: &Path, consortium: &str, at: Time) -> Result<(), DatabaseError> {
        let path = directory.join(INDEX);
        let event = Event::Created { format: FORMAT, consortium: consortium.into(), at };
        let line = acts::line_of(&event, &Cause::default()).map_err(|error| file_error(&path, error.into()))?;
        crate::files::write_private(&path, &line).map_err(|source| file_error(&path, source))
    }

    /// Reads the database in `directory`.
    pub(crate) fn read(directory: &Path) -> Result<Self, DatabaseError> {
        let path = directory.join(INDEX);
        let bytes = index_bytes(directory)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |position| position + 1);
        let mut lines = bytes[..whole].split(|byte| *byte == b'\n').enumerate();
        let corrupt = |line: usize, reason: &str| DatabaseError::Corrupt {
            path: path.display().to_string(),
            line: line + 1,
            reason: reason.into(),
        };
        let first = lines.next().map(|(_, line)| serde_json::from_slice(line));
        let Some(Ok(Event::Created { format: FORMAT, consortium, .. })) = first else {
            return Err(corrupt(0, "not a certificate database of this version"));
        };
        let mut database = Self {
            path: path.clone(),
            consortium,
            authorities: BTreeMap::new(),
            certificates: Vec::new(),
            by_serial: HashMap::new(),
            requests: Vec::new(),
            by_request: HashMap::new(),
            tokens: BTreeMap::new(),
            policy: EnrolmentPolicy::default(),
        };
        for (index, line) in lines.filter(|(_, line)| !line.is_empty()) {
            let (event, cause) = acts::parse_line(line).map_err(|error| corrupt(index, &error.to_string()))?;
            database
                .apply(&event)
                .and_then(|()| database.note(&event, cause))
                .map_err(|reason| corrupt(index, reason))?;
        }
        Ok(database)
    }

    /// The trust domain.
    pub fn consortium(&self) -> &str {
        &self.consortium
    }

    /// All CAs by name.
    pub const fn authorities(&self) -> &BTreeMap<String, AuthorityRecord> {
        &self.authorities
    }

    /// All leaves, in the order in which they were intended.
    pub fn certificates(&self) -> &[CertificateRecord] {
        &self.certificates
    }

    /// One leaf.
    pub fn certificate(&self, serial: &Serial) -> Option<&CertificateRecord> {
        self.by_serial.get(serial).and_then(|index| self.certificates.get(*index))
    }

    /// All requests, in the order in which they were filed.
    pub fn requests(&self) -> &[CertificateRequestRecord] {
        &self.requests
    }

    /// One request.
    pub fn request(&self, id: &RequestId) -> Option<&CertificateRequestRecord> {
        self.by_request.get(id).and_then(|index| self.requests.get(*index))
    }

    /// All enrolment tokens, without their secrets.
    pub const fn tokens(&self) -> &BTreeMap<TokenId, TokenRecord> {
        &self.tokens
    }

    /// What requests need.
    pub const fn policy(&self) -> EnrolmentPolicy {
        self.policy
    }

    fn apply(&mut self, event: &Event) -> Result<(), &'static str> {
        match event.clone() {
            Event::Created { .. } => return Err("a second beginning"),
            Event::AuthorityAdded { name, issuer, serial, not_after, .. } => {
                let record = AuthorityRecord {
                    name: name.clone(),
                    issuer,
                    serial,
                    not_after,
                    earlier: Vec::new(),
                    intended: Vec::new(),
                    crl_number: 0,
                    crl_next_update: None,
                    revoked: None,
                };
                if self.authorities.insert(name, record).is_some() {
                    return Err("an authority is added twice");
                }
            }
            Event::AuthorityIntended { name, issuer, serial, not_after, .. } => {
                let authority = self.authorities.get_mut(&name).ok_or("an unknown authority")?;
                authority.intended.push(AuthorityCertificate { issuer, serial, not_after });
            }
            Event::AuthorityReissued { name, serial, .. } => {
                let authority = self.authorities.get_mut(&name).ok_or("an unknown authority")?;
                let intended = authority.intended.iter().position(|certificate| certificate.serial == serial);
                let newest = authority.intended.remove(intended.ok_or("a CA's certificate was not intended")?);
                let AuthorityRecord { issuer, serial, not_after, earlier, .. } = authority;
                earlier.push(AuthorityCertificate {
                    issuer: std::mem::replace(issuer, newest.issuer),
                    serial: std::mem::replace(serial, newest.serial),
                    not_after: std::mem::replace(not_after, newest.not_after),
                });
            }
            Event::AuthorityRevoked { name, reason, at } => {
                let authority = self.authorities.get_mut(&name).ok_or("an unknown authority")?;
                authority.revoked.get_or_insert(Revocation { at, reason });
            }
            Event::Intended { authority, serial, identity, not_before, not_after, key, request, renews, at } => {
                if !self.authorities.contains_key(&authority) {
                    return Err("an unknown authority");
                }
                if self.by_serial.insert(serial.clone(), self.certificates.len()).is_some() {
                    return Err("a serial is used twice");
                }
                let (fingerprint, revoked) = (None, None);
                self.certificates.push(CertificateRecord {
                    authority,
                    serial,
                    identity,
                    not_before,
                    not_after,
                    intended: at,
                    fingerprint,
                    key,
                    request,
                    renews,
                    revoked,
                    acts: Vec::new(),
                });
            }
            Event::Issued { serial, fingerprint, .. } => {
                let leaf = self.leaf(&serial)?;
                leaf.fingerprint = Some(fingerprint);
                if let Some(request) = leaf.request {
                    self.requested(&request)?.serial = Some(serial);
                }
            }
            Event::Revoked { serial, reason, at } => {
                self.leaf(&serial)?.revoked.get_or_insert(Revocation { at, reason });
            }
            Event::CrlIntended { authority, number, next_update, .. } => {
                let authority = self.authorities.get_mut(&authority).ok_or("an unknown authority")?;
                if number <= authority.crl_number {
                    return Err("a CRL number goes back");
                }
                authority.crl_number = number;
                authority.crl_next_update = Some(next_update);
            }
            Event::Requested { request, identity, public_key, requester, token, at } => {
                let spki = hex::decode(public_key).map_err(|_| "a key is not in hex")?;
                let public_key = PublicKey::from_spki(&spki).map_err(|_| "a key of an unknown form")?;
                let mut record = CertificateRequestRecord::new(request, identity, public_key, requester, at);
                if let Some(token) = token {
                    let known = self.tokens.get_mut(&token).ok_or("an unknown token")?;
                    if known.spent.replace(request).is_some() {
                        return Err("a token is spent twice");
                    }
                    record.token = Some(token);
                    record.terms = Some(known.terms.clone());
                }
                if self.by_request.insert(request, self.requests.len()).is_some() {
                    return Err("a request is filed twice");
                }
                self.requests.push(record);
            }
            Event::Approved { request, by, terms, at } => {
                let record = self.requested(&request)?;
                record.terms.get_or_insert(terms);
                record.approvals.push(Approval { by, at });
            }
            Event::Rejected { request, by, reason, at } => {
                self.requested(&request)?.rejected.get_or_insert(Rejection { by, reason, at });
            }
            Event::TokenAdded { token, hash, identity, terms, expires, .. } => {
                let mut bytes = [0; 32];
                hex::decode_to_slice(hash, &mut bytes).map_err(|_| "a token's hash is not one")?;
                let record = TokenRecord { id: token, hash: bytes, identity, terms, expires, spent: None };
                if self.tokens.insert(token, record).is_some() {
                    return Err("a token is added twice");
                }
            }
            Event::PolicySet { policy, .. } => self.policy = policy,
        }
        Ok(())
    }

    /// Keeps who did it and why, where it is shown.
    fn note(&mut self, event: &Event, cause: Cause) -> Result<(), &'static str> {
        if let Some((serial, act)) = acts::of_certificate(event, cause) {
            self.leaf(serial)?.acts.push(act);
        }
        Ok(())
    }

    fn requested(&mut self, id: &RequestId) -> Result<&mut CertificateRequestRecord, &'static str> {
        let index = self.by_request.get(id).ok_or("an unknown request")?;
        self.requests.get_mut(*index).ok_or("an unknown request")
    }

    fn leaf(&mut self, serial: &Serial) -> Result<&mut CertificateRecord, &'static str> {
        let index = self.by_serial.get(serial).ok_or("an unknown serial")?;
        self.certificates.get_mut(*index).ok_or("an unknown serial")
    }
}

/// The database with the right to write: one process, one at a time.
#[derive(Debug)]
pub(crate) struct LockedDatabase {
    database: Database,
    index: File,
    broken: bool,
    /// Who does what is appended, and why.
    cause: Cause,
    /// Released by the system when it is closed, also by `kill -9`.
    _lock: File,
}

impl LockedDatabase {
    /// Waits for the lock, reads, and cuts off a line that a crash left without its end.
    pub(crate) fn open(directory: &Path, cause: Cause) -> Result<Self, DatabaseError> {
        let path = directory.join(LOCK);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = lock.and_then(|file| file.lock().map(|()| file)).map_err(|source| file_error(&path, source))?;
        let database = Database::read(directory)?;
        let index = OpenOptions::new().append(true).open(&database.path);
        let index = index.and_then(|file| {
            let bytes = std::fs::read(&database.path)?;
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |position| position + 1);
            if whole < bytes.len() {
                file.set_len(u64::try_from(whole).unwrap_or(u64::MAX))?;
                file.sync_all()?;
            }
            Ok(file)
        });
        let index = index.map_err(|source| file_error(&database.path, source))?;
        Ok(Self { database, index, broken: false, cause, _lock: lock })
    }

    /// Says who acts, and why, unless the caller has said it.
    pub(crate) fn cause(&mut self, who: &str, why: Option<&str>) {
        self.cause.fill(who, why);
    }

    /// Makes an event durable, then part of the state.
    pub(crate) fn append(&mut self, event: &Event) -> Result<(), DatabaseError> {
        if self.broken {
            return Err(DatabaseError::Broken);
        }
        self.broken = true;
        let path = self.database.path.clone();
        let file = |source| file_error(&path, source);
        let noted =
            |database: &mut Database| database.apply(event).and_then(|()| database.note(event, self.cause.clone()));
        noted(&mut self.database).map_err(|reason| DatabaseError::Corrupt {
            path: path.display().to_string(),
            line: 0,
            reason: reason.into(),
        })?;
        let line = acts::line_of(event, &self.cause).map_err(|error| file(error.into()))?;
        self.index.write_all(&line).and_then(|()| self.index.sync_data()).map_err(file)?;
        self.broken = false;
        Ok(())
    }
}

impl std::ops::Deref for LockedDatabase {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

/// The whole index in a folder `<dir>/ca/`, perhaps with a line that has no end yet.
pub(crate) fn index_bytes(directory: &Path) -> Result<Vec<u8>, DatabaseError> {
    let path = directory.join(INDEX);
    std::fs::read(&path).map_err(|source| file_error(&path, source))
}

fn file_error(path: &Path, source: io::Error) -> DatabaseError {
    DatabaseError::File { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn added() -> Event {
        let (name, issuer) = ("north".to_owned(), "root".to_owned());
        Event::AuthorityAdded { name, issuer, serial: "01".parse().unwrap(), not_after: at(9), at: at(1) }
    }

    fn intended(serial: &str) -> Event {
        Event::Intended {
            authority: "north".into(),
            serial: serial.parse().unwrap(),
            identity: Identity::parse("spiffe://c/north/client/a").unwrap(),
            not_before: at(1_000),
            not_after: at(2_000),
            key: None,
            request: None,
            renews: None,
            at: at(1),
        }
    }

    #[test]
    fn what_was_appended_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        Database::create(dir.path(), "c", at(0)).unwrap();
        let mut open = LockedDatabase::open(dir.path(), Cause::default()).unwrap();
        let serial: Serial = "07".parse().unwrap();
        open.append(&added()).unwrap();
        open.append(&intended("07")).unwrap();
        let status = |now| Database::read(dir.path()).unwrap().certificate(&serial).unwrap().status(at(now));
        assert_eq!(status(1_500), CertificateStatus::Intended);
        open.append(&Event::Issued { serial: serial.clone(), fingerprint: "aa".into(), at: at(2) }).unwrap();
        assert_eq!((status(2_999), status(3_000)), (CertificateStatus::Valid, CertificateStatus::Expired));
        let reason = RevocationReason::KeyCompromise;
        open.append(&Event::Revoked { serial: serial.clone(), reason, at: at(3) }).unwrap();
        assert_eq!(status(3_000), CertificateStatus::Revoked);
    }

    #[test]
    fn a_line_without_its_end_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        Database::create(dir.path(), "c", at(0)).unwrap();
        LockedDatabase::open(dir.path(), Cause::default()).unwrap().append(&added()).unwrap();
        let path = dir.path().join(INDEX);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"event\":\"inten").unwrap();
        assert_eq!(Database::read(dir.path()).unwrap().certificates().len(), 0);
        LockedDatabase::open(dir.path(), Cause::default()).unwrap().append(&intended("07")).unwrap();
        assert_eq!(Database::read(dir.path()).unwrap().certificates().len(), 1);
    }

    #[test]
    fn contradictions_are_refused() {
        let crl = |number| Event::CrlIntended { authority: "north".into(), number, next_update: at(9), at: at(1) };
        for (events, reason) in [
            (vec![added()], "an authority is added twice"),
            (vec![intended("07"), intended("07")], "a serial is used twice"),
            (vec![crl(2), crl(2)], "a CRL number goes back"),
            (
                vec![Event::Issued { serial: "08".parse().unwrap(), fingerprint: String::new(), at: at(1) }],
                "an unknown serial",
            ),
        ] {
            let dir = tempfile::tempdir().unwrap();
            Database::create(dir.path(), "c", at(0)).unwrap();
            let mut open = LockedDatabase::open(dir.path(), Cause::default()).unwrap();
            open.append(&added()).unwrap();
            let results: Vec<_> = events.iter().map(|event| open.append(event)).collect();
            let error = results.last().unwrap().as_ref().unwrap_err();
            assert!(error.to_string().ends_with(reason), "{error}");
            assert!(matches!(open.append(&crl(9)), Err(DatabaseError::Broken)), "nothing is written after that");
            drop(open);
            assert_eq!(Database::read(dir.path()).unwrap().authorities().len(), 1);
        }
    }

    #[test]
    fn a_second_writer_waits() {
        let dir = tempfile::tempdir().unwrap();
        Database::create(dir.path(), "c", at(0)).unwrap();
        let held = LockedDatabase::open(dir.path(), Cause::default()).unwrap();
        let second = OpenOptions::new().write(true).open(dir.path().join(LOCK)).unwrap();
        assert!(second.try_lock().is_err());
        drop(held);
        assert!(second.try_lock().is_ok());
    }
}
