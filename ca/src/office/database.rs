//! What an authority did, as an append-only file of JSON lines: `index.jsonl`.
//!
//! A line is fsynced before the act that it announces: the intention to sign is recorded before anything is signed,
//! a revocation before the CRL that carries it, so that no certificate exists that the database does not know. One
//! process writes at a time (a lock file); readers need no lock, because a last line without its newline is not there
//! yet. Lines are never changed or removed.

use crate::office::{
    cause::Cause,
    enrolment::{
        Approval, CertificateRequestRecord, EnrolmentPolicy, Rejection, RequestId, TokenId, TokenRecord, TokenStanding,
    },
    event::{self, Event},
    record::{
        AuthorityCertificate, AuthorityRecord, CertificateRecord, LostCertificate, ROOT, RevocationRecord,
        RolloverRecord,
    },
};
use ledger_classes::primitives::identity::Identity;
use ledger_classes::primitives::time::Time;
use pki::x509::{
    identifiers::{KeyId, RevocationReason, Serial},
    public_key::PublicKey,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    io,
    path::{Path, PathBuf},
};

/// The version that the first line names.
pub(super) const FORMAT: u32 = 1;
/// The name of the file.
pub(crate) const INDEX: &str = "index.jsonl";

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

impl DatabaseError {
    /// What the disk says of a file.
    pub(crate) fn of_file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.display().to_string(), source }
    }
}

/// The state after all lines. What is asked for by strangers is found without looking at everything.
#[derive(Clone, Debug)]
pub struct Database {
    pub(super) path: PathBuf,
    consortium: String,
    authorities: BTreeMap<String, AuthorityRecord>,
    /// The consortium's roots, oldest first, the retired ones among them.
    roots: Vec<String>,
    rollover: Option<RolloverRecord>,
    /// Keys of roots and of CAs that are trusted no more, since others took their places.
    retired: Vec<KeyId>,
    certificates: Vec<CertificateRecord>,
    by_serial: HashMap<Serial, usize>,
    by_key: HashMap<String, Vec<usize>>,
    by_identity: HashMap<Identity, Vec<usize>>,
    /// The certificates that continue one.
    by_renewed: HashMap<Serial, Vec<usize>>,
    /// Keys of which a CA knows that others have them.
    compromised: HashSet<(String, String)>,
    /// The last line that revoked a certificate of an identity, but for one that another superseded: what it decided
    /// before counts no more.
    revoked: HashMap<String, usize>,
    requests: Vec<CertificateRequestRecord>,
    by_request: HashMap<RequestId, usize>,
    /// The newest request of a key for an identity.
    by_asked: HashMap<(Identity, String), usize>,
    /// Requests of which nothing has come yet.
    undecided: BTreeSet<usize>,
    tokens: BTreeMap<TokenId, TokenRecord>,
    policy: EnrolmentPolicy,
    /// What was revoked by its number alone.
    lost: Vec<LostCertificate>,
    pub(super) lines: usize,
}

impl Database {
    /// The state before the first line.
    pub(crate) fn empty(path: &Path) -> Self {
        Self {
            path: path.into(),
            consortium: String::new(),
            authorities: BTreeMap::new(),
            roots: vec![ROOT.into()],
            rollover: None,
            retired: Vec::new(),
            certificates: Vec::new(),
            by_serial: HashMap::new(),
            by_key: HashMap::new(),
            by_identity: HashMap::new(),
            by_renewed: HashMap::new(),
            compromised: HashSet::new(),
            revoked: HashMap::new(),
            requests: Vec::new(),
            by_request: HashMap::new(),
            by_asked: HashMap::new(),
            undecided: BTreeSet::new(),
            tokens: BTreeMap::new(),
            policy: EnrolmentPolicy::default(),
            lost: Vec::new(),
            lines: 0,
        }
    }

    /// Takes up whole lines that follow those of which this is the state.
    pub(crate) fn extend(&mut self, lines: &[u8]) -> Result<(), DatabaseError> {
        let corrupt = |line: usize, reason: &str| DatabaseError::Corrupt {
            path: self.path.display().to_string(),
            line: line + 1,
            reason: reason.into(),
        };
        let mut lines = lines.split_inclusive(|byte| *byte == b'\n');
        if self.lines == 0 {
            let first = lines.next().map(ledger_classes::primitives::json::from_slice);
            let Some(Ok(Event::Created { format: FORMAT, consortium, .. })) = first else {
                return Err(corrupt(0, "not a certificate database of this version"));
            };
            (self.consortium, self.lines) = (consortium, 1);
        }
        for line in lines {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            if !line.is_empty() {
                let taken = event::parse_line(line).map_err(|error| error.to_string()).and_then(|(event, cause)| {
                    self.apply(&event).and_then(|()| self.note(&event, cause)).map_err(str::to_owned)
                });
                taken.map_err(|reason| DatabaseError::Corrupt {
                    path: self.path.display().to_string(),
                    line: self.lines + 1,
                    reason,
                })?;
            }
            self.lines += 1;
        }
        Ok(())
    }

    /// The trust domain.
    pub fn consortium(&self) -> &str {
        &self.consortium
    }

    /// All CAs by name.
    pub const fn authorities(&self) -> &BTreeMap<String, AuthorityRecord> {
        &self.authorities
    }

    /// Whether it is a root of the consortium.
    pub(crate) fn is_root(&self, name: &str) -> bool {
        self.roots.iter().any(|root| root == name)
    }

    /// The root that certifies.
    pub(crate) fn root(&self) -> &str {
        match &self.rollover {
            Some(RolloverRecord { old, switched: None, .. }) => old,
            _ => self.roots.last().map_or(ROOT, String::as_str),
        }
    }

    /// The replacement of the root that is under way.
    pub(crate) const fn rollover(&self) -> Option<&RolloverRecord> {
        self.rollover.as_ref()
    }

    /// The keys of the roots and CAs that are trusted no more, since others took their places.
    pub fn retired(&self) -> &[KeyId] {
        &self.retired
    }

    /// Whether it is a root that was replaced.
    pub(crate) fn is_retired(&self, name: &str) -> bool {
        self.authorities.get(name).is_some_and(|authority| authority.retired.is_some())
    }

    /// All leaves, in the order in which they were intended.
    pub fn certificates(&self) -> &[CertificateRecord] {
        &self.certificates
    }

    /// One leaf.
    pub fn certificate(&self, serial: &Serial) -> Option<&CertificateRecord> {
        self.by_serial.get(serial).and_then(|index| self.certificates.get(*index))
    }

    /// The leaves at these places, in the order in which they were intended.
    fn at<'a>(&'a self, places: Option<&'a Vec<usize>>) -> impl Iterator<Item = &'a CertificateRecord> + 'a {
        places.into_iter().flatten().filter_map(|place| self.certificates.get(*place))
    }

    /// The leaves with a key: the hash of its SubjectPublicKeyInfo, hex.
    pub fn of_key(&self, key: &str) -> impl Iterator<Item = &CertificateRecord> {
        self.at(self.by_key.get(key))
    }

    /// The leaves of an identity.
    pub fn of_identity(&self, identity: &Identity) -> impl Iterator<Item = &CertificateRecord> {
        self.at(self.by_identity.get(identity))
    }

    /// The leaves that continue one.
    pub fn renewals_of(&self, serial: &Serial) -> impl Iterator<Item = &CertificateRecord> {
        self.at(self.by_renewed.get(serial))
    }

    /// Whether an organization's CA has revoked a key as compromised.
    pub fn is_compromised(&self, authority: &str, key: &PublicKey) -> bool {
        self.compromised.contains(&(authority.to_owned(), KeyId::of_spki(&key.spki()).to_string()))
    }

    /// Whether an identity was revoked after a line of the index.
    fn is_revoked_since(&self, identity: &str, line: usize) -> bool {
        self.revoked.get(identity).is_some_and(|revoked| *revoked > line)
    }

    /// Why a token is good no more, though nobody used or cancelled it: it says what somebody has decided who may not, or
    /// for whom.
    pub(crate) fn void(&self, token: &TokenRecord) -> Option<&'static str> {
        let since = |identity: &Identity| self.is_revoked_since(&identity.to_string(), token.line);
        if since(&token.identity) {
            Some("whom it is for was revoked since it was made")
        } else if token.by.as_ref().is_some_and(since) {
            Some("who made it was revoked since")
        } else if token.by.is_some() && self.policy.approvals > 1 {
            Some("the policy asks for several approvals now, and it is one")
        } else {
            None
        }
    }

    /// What a token is good for.
    pub(crate) fn standing(&self, token: &TokenRecord, now: Time) -> TokenStanding {
        if token.spent.is_some() {
            TokenStanding::Spent
        } else if token.cancelled.is_some() {
            TokenStanding::Cancelled
        } else if token.expires < now {
            TokenStanding::Expired
        } else if self.void(token).is_some() {
            TokenStanding::Void
        } else {
            TokenStanding::Open
        }
    }

    /// A request with what counts of its approvals: those of approvers who were not revoked since, and the terms of the
    /// first of them.
    pub(crate) fn counted(&self, record: &CertificateRequestRecord) -> CertificateRequestRecord {
        let mut counted = record.clone();
        if record.serial.is_some() || record.rejected.is_some() {
            return counted;
        }
        counted.approvals.retain(|approval| !self.is_revoked_since(&approval.by, approval.line));
        let token = record.token.and_then(|token| self.tokens.get(&token));
        if token.is_none() {
            counted.terms = counted.approvals.first().map(|approval| approval.terms.clone());
        }
        counted.void = self.is_revoked_since(&record.identity.to_string(), record.line)
            || token.is_some_and(|token| self.void(token).is_some());
        counted
    }

    /// Lines of the index that the state is of.
    pub const fn lines(&self) -> usize {
        self.lines
    }

    /// All requests, in the order in which they were filed.
    pub fn requests(&self) -> &[CertificateRequestRecord] {
        &self.requests
    }

    /// One request.
    pub fn request(&self, id: &RequestId) -> Option<&CertificateRequestRecord> {
        self.by_request.get(id).and_then(|index| self.requests.get(*index))
    }

    /// The newest request of a key for an identity.
    pub(crate) fn asked(&self, identity: &Identity, key: &PublicKey) -> Option<&CertificateRequestRecord> {
        let key = KeyId::of_spki(&key.spki()).to_string();
        self.by_asked.get(&(identity.clone(), key)).and_then(|place| self.requests.get(*place))
    }

    /// Requests of which nothing has come yet, the newest first. The lapsed ones are among them, at the end: they were
    /// filed first.
    pub(crate) fn undecided(&self) -> impl Iterator<Item = &CertificateRequestRecord> {
        self.undecided.iter().rev().filter_map(|place| self.requests.get(*place))
    }

    /// All enrolment tokens, without their secrets.
    pub const fn tokens(&self) -> &BTreeMap<TokenId, TokenRecord> {
        &self.tokens
    }

    /// What was revoked by its number alone, since the index has lost it.
    pub fn lost(&self) -> &[LostCertificate] {
        &self.lost
    }

    /// What requests need.
    pub const fn policy(&self) -> EnrolmentPolicy {
        self.policy
    }

    pub(super) fn apply(&mut self, event: &Event) -> Result<(), &'static str> {
        match event.clone() {
            Event::Created { .. } => return Err("a second beginning"),
            Event::AuthorityAdded { name, issuer, serial, not_after, .. } => {
                self.add(AuthorityCertificate { issuer, serial, not_after }, name)?;
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
                let revoked = *authority.revoked.get_or_insert(RevocationRecord { at, reason });
                let issued = self.certificates.iter_mut().filter(|record| record.authority == name);
                issued.for_each(|record| record.authority_revoked = Some(revoked));
            }
            replaced @ Event::AuthorityReplaced { .. } => self.replace_authority(replaced)?,
            Event::LostRevoked { authority, serial, reason, at } => {
                if !self.authorities.contains_key(&authority) {
                    return Err("an unknown authority");
                }
                self.lost.push(LostCertificate { authority, serial, revoked: RevocationRecord { at, reason } });
            }
            Event::Intended { authority, serial, identity, not_before, not_after, key, request, renews, at } => {
                let issuing = self.authorities.get(&authority).ok_or("an unknown authority")?.serial.clone();
                if self.by_serial.insert(serial.clone(), self.certificates.len()).is_some() {
                    return Err("a serial is used twice");
                }
                let (fingerprint, revoked, authority_revoked) = (None, None, None);
                let place = self.certificates.len();
                self.by_identity.entry(identity.clone()).or_default().push(place);
                if let Some(key) = &key {
                    self.by_key.entry(key.clone()).or_default().push(place);
                }
                if let Some(renewed) = &renews {
                    self.by_renewed.entry(renewed.clone()).or_default().push(place);
                }
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
                    issuing,
                    handed_out: at,
                    revoked,
                    authority_revoked,
                    acts: Vec::new(),
                });
            }
            Event::RolloverStarted { root, serial, not_after, at } => {
                let (old, issuer) = (self.root().to_owned(), root.clone());
                if self.rollover.is_some() {
                    return Err("a second rollover beside the first");
                }
                self.add(AuthorityCertificate { issuer, serial, not_after }, root.clone())?;
                self.roots.push(root.clone());
                self.rollover = Some(RolloverRecord { old, new: root, started: at, switched: None });
            }
            Event::RolloverSwitched { root, at } => {
                let rollover = self.rollover.as_mut().filter(|rollover| rollover.new == root);
                rollover.ok_or("a switch to a root that is not the new one")?.switched.get_or_insert(at);
            }
            Event::RootRetired { root, key, at } => {
                let key = key.parse().map_err(|_| "a key's hash is not one")?;
                let switched = |rollover: &RolloverRecord| rollover.old == root && rollover.switched.is_some();
                self.rollover.take_if(|rollover| switched(rollover)).ok_or("a root retires that is not replaced")?;
                self.authorities.get_mut(&root).ok_or("an unknown authority")?.retired = Some(at);
                self.retired.push(key);
            }
            Event::PathHandedOut { serial, at } => {
                let of = self.leaf(&serial)?.authority.clone();
                let issuing = self.authorities.get(&of).ok_or("an unknown authority")?.serial.clone();
                let leaf = self.leaf(&serial)?;
                (leaf.issuing, leaf.handed_out) = (issuing, at);
            }
            Event::Issued { serial, fingerprint, .. } => {
                let leaf = self.leaf(&serial)?;
                leaf.fingerprint = Some(fingerprint);
                if let Some(request) = leaf.request {
                    self.requested(&request)?.serial = Some(serial);
                    self.decided(&request);
                }
            }
            Event::Revoked { serial, reason, at } => {
                let line = self.lines;
                let leaf = self.leaf(&serial)?;
                let identity = leaf.identity.to_string();
                let revoked = leaf.revoked.get_or_insert(RevocationRecord { at, reason });
                // What was revoked for another reason stays revoked since then; that others have its key is news.
                if reason == RevocationReason::KeyCompromise {
                    revoked.reason = reason;
                    let organization = leaf.identity.organization().to_owned();
                    let key = leaf.key.clone().map(|key| (organization, key));
                    self.compromised.extend(key);
                }
                if reason != RevocationReason::Superseded {
                    self.revoked.insert(identity, line);
                }
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
                record.line = self.lines;
                if let Some(token) = token {
                    let known = self.tokens.get_mut(&token).ok_or("an unknown token")?;
                    if known.spent.replace(request).is_some() {
                        return Err("a token is spent twice");
                    }
                    record.token = Some(token);
                    record.terms = Some(known.terms.clone());
                }
                let place = self.requests.len();
                if self.by_request.insert(request, place).is_some() {
                    return Err("a request is filed twice");
                }
                self.by_asked.insert((record.identity.clone(), record.key.clone()), place);
                self.undecided.insert(place);
                self.requests.push(record);
            }
            Event::Approved { request, by, terms, at } => {
                let line = self.lines;
                let index = self.by_request.get(&request).ok_or("an unknown request")?;
                let record = self.requests.get_mut(*index).ok_or("an unknown request")?;
                // What an approver said who was revoked since is gone, with the terms that it fixed.
                let counts = |approval: &Approval| {
                    self.revoked.get(&approval.by).is_none_or(|revoked| *revoked <= approval.line)
                };
                record.approvals.retain(counts);
                if record.token.is_none() && record.approvals.is_empty() {
                    record.terms = Some(terms.clone());
                }
                record.approvals.push(Approval { by, at, terms, line });
            }
            Event::Rejected { request, by, reason, at } => {
                self.requested(&request)?.rejected.get_or_insert(Rejection { by, reason, at });
                self.decided(&request);
            }
            Event::TokenAdded { token, hash, identity, terms, expires, by, at } => {
                let mut bytes = [0; 32];
                hex::decode_to_slice(hash, &mut bytes).map_err(|_| "a token's hash is not one")?;
                let (made, line) = (at, self.lines);
                let (spent, cancelled) = (None, None);
                let record =
                    TokenRecord { id: token, hash: bytes, identity, terms, expires, spent, by, made, cancelled, line };
                if self.tokens.insert(token, record).is_some() {
                    return Err("a token is added twice");
                }
            }
            Event::TokenCancelled { token, at } => {
                self.tokens.get_mut(&token).ok_or("an unknown token")?.cancelled.get_or_insert(at);
            }
            Event::PolicySet { policy, .. } => self.policy = policy,
        }
        Ok(())
    }

    /// Keeps who did it and why, where it is shown.
    pub(super) fn note(&mut self, event: &Event, cause: Cause) -> Result<(), &'static str> {
        if let Some((serial, act)) = event::of_certificate(event, cause) {
            self.leaf(serial)?.acts.push(act);
        }
        Ok(())
    }

    fn add(&mut self, certificate: AuthorityCertificate, name: String) -> Result<(), &'static str> {
        let AuthorityCertificate { issuer, serial, not_after } = certificate;
        let record = AuthorityRecord {
            name: name.clone(),
            keys: None,
            issuer,
            serial,
            not_after,
            earlier: Vec::new(),
            intended: Vec::new(),
            crl_number: 0,
            crl_next_update: None,
            revoked: None,
            retired: None,
            compromise: None,
            succession: None,
        };
        self.authorities.insert(name, record).map_or(Ok(()), |_| Err("an authority is added twice"))
    }

    fn requested(&mut self, id: &RequestId) -> Result<&mut CertificateRequestRecord, &'static str> {
        let index = self.by_request.get(id).ok_or("an unknown request")?;
        self.requests.get_mut(*index).ok_or("an unknown request")
    }

    /// Something has come of a request.
    fn decided(&mut self, id: &RequestId) {
        if let Some(place) = self.by_request.get(id) {
            self.undecided.remove(place);
        }
    }

    fn leaf(&mut self, serial: &Serial) -> Result<&mut CertificateRecord, &'static str> {
        let index = self.by_serial.get(serial).ok_or("an unknown serial")?;
        self.certificates.get_mut(*index).ok_or("an unknown serial")
    }
}

mod replaced;
#[cfg(test)]
mod tests;
