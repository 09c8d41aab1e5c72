//! What is revoked: CRLs are checked and indexed once, then asked by hash; the path library would verify the whole
//! list again at each handshake (measured: 7.6 ms for 100,000 entries).
//!
//! A list's number never goes back, a serial once revoked under an issuer stays revoked, and whoever holds a
//! connection or a subscription is told of a revocation before `install` returns.
//!
//! What any good list names is revoked, also if the list comes after a newer one that does not name it: a CA whose folder
//! came back from a backup, or one that drops expired certificates (RFC 5280 §3.3), takes no revocation back. Lists that
//! name what no newer one does are kept beside the newest, and go with it to disk and to other peers.

use crate::{
    limits::{BACKDATE_MS, CRL_BYTES_MAX, EARLIER_CRL_BYTES_MAX, EARLIER_CRLS_MAX},
    x509::{
        algorithms::{self, Algorithms, PROFILE_ALGORITHMS},
        certificate::{Certificate, ProfileError, is_date, time_of},
        identifiers::{CertificateId, KeyId, Serial, SerialError, sha256},
    },
};
use arc_swap::ArcSwap;
use ledger_classes::primitives::time::Time;
use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use x509_parser::{
    extensions::ParsedExtension,
    oid_registry::{OID_X509_EXT_DELTA_CRL_INDICATOR, OID_X509_EXT_ISSUER_DISTRIBUTION_POINT},
    prelude::FromDer as _,
    revocation_list::CertificateRevocationList,
    x509::ReasonCode,
};

/// Why a CRL is not accepted.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum RevocationError {
    /// Larger than [`CRL_BYTES_MAX`].
    #[error("a CRL has at most {CRL_BYTES_MAX} bytes")]
    Oversize,
    /// Not one DER CRL of version 2 (RFC 5280 §5.1).
    #[error("not a DER CRL of version 2")]
    Malformed,
    /// No CA that we know has this name.
    #[error("the CRL's issuer is not known")]
    UnknownIssuer,
    /// The CA that should have signed it is no CA.
    #[error("the CRL's issuer is not acceptable")]
    Issuer(#[source] ProfileError),
    /// RFC 5280 §6.3.3 (f): the issuer has no cRLSign.
    #[error("the CRL's issuer may not sign CRLs")]
    IssuerNotCrlSigner,
    /// RFC 5280 §6.3.3 (g): not signed by the issuer, or by an algorithm that is not accepted.
    #[error("the CRL's signature is wrong")]
    Signature,
    /// RFC 5280 §5.2.1: the authority key identifier names another key.
    #[error("the CRL names another key of its issuer")]
    KeyIdentifier,
    /// RFC 5280 §5.2.3: no number, or more than 16 octets.
    #[error("the CRL has no acceptable number")]
    Number,
    /// RFC 5280 §5.1.2.5: `nextUpdate` is missing or not after `thisUpdate`.
    #[error("the CRL has no acceptable next update")]
    Dates,
    /// RFC 5280 §5.2: critical extensions that are not processed: deltas, partitions, indirect lists.
    #[error("the CRL is a delta, partial or indirect list, or has an unknown critical extension")]
    Unsupported,
    /// RFC 5280 §5.1.2.6: an entry's serial.
    #[error("an entry's serial number is not acceptable")]
    Serial(#[source] SerialError),
    /// A serial that is listed twice.
    #[error("the CRL lists a certificate twice")]
    RepeatedEntry,
    /// RFC 5280 §5.2: an extension that occurs twice.
    #[error("an extension of the CRL is repeated")]
    RepeatedExtension,
    /// A newer list of this issuer is installed (RFC 5280 §5.2.3), and this one revokes nothing else.
    #[error("CRL number {offered} is older than {installed}")]
    Older {
        /// The number of the refused list.
        offered: u128,
        /// The number of the installed one.
        installed: u128,
    },
    /// Two different lists with one number: the issuer broke RFC 5280 §5.2.3, or its key is in two hands.
    #[error("another CRL with number {0} is installed")]
    Conflict(u128),
}

impl RevocationError {
    /// Whether the list is good, and all that it revokes is revoked already.
    pub const fn is_needless(&self) -> bool {
        matches!(self, Self::Older { .. } | Self::Conflict(_))
    }
}

/// Why a certificate is not known to be good.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum RevocationStatusError {
    /// It is on its issuer's list.
    #[error("is revoked")]
    Revoked,
    /// Its issuer's list is not here.
    #[error("has an issuer whose CRL is missing")]
    Missing,
    /// Its issuer's list is of the future: it says nothing about this instant.
    #[error("has an issuer whose CRL is not yet in force")]
    NotYetValid,
    /// Its issuer's list should have been replaced by now.
    #[error("has an issuer whose CRL has expired")]
    Expired,
}

/// What to do where lists are missing or old. The default refuses both: who hides a CRL must gain nothing by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RevocationPolicy {
    /// Accept certificates whose issuer's CRL is missing.
    pub accept_missing: bool,
    /// Accept certificates that are not on their issuer's expired CRL.
    pub accept_expired: bool,
}

/// A verified CRL, indexed.
#[derive(Clone, Debug)]
pub struct RevocationList {
    issuer: KeyId,
    number: u128,
    this_update: Time,
    next_update: Time,
    revoked: Arc<HashSet<Serial>>,
    der: Arc<[u8]>,
    /// SHA-256 of it: it may be long, and is compared often.
    digest: [u8; 32],
    /// Lists that name what neither this one nor one before them names, the newest first; they have none themselves.
    earlier: Vec<Arc<Self>>,
    /// How many certificates only those name.
    only_earlier: usize,
}

impl RevocationList {
    /// Parses a CRL and verifies it under the CA that should have signed it. The caller vouches for that CA.
    /// An expired list is accepted: what it revokes stays revoked.
    pub fn verify(der: &[u8], issuer: &[u8]) -> Result<Self, RevocationError> {
        if der.len() > CRL_BYTES_MAX {
            return Err(RevocationError::Oversize);
        }
        let issuer = Certificate::parse(issuer).map_err(RevocationError::Issuer)?;
        issuer.check_authority().map_err(RevocationError::Issuer)?;
        Self::parse(der, &issuer, PROFILE_ALGORITHMS)
    }

    /// As [`RevocationList::verify`], under the one of several CAs that has signed it: a list is parsed once, however many
    /// CAs there are.
    pub fn verify_by_any<'a>(der: &[u8], authorities: impl Iterator<Item = &'a [u8]>) -> Result<Self, RevocationError> {
        let list = read(der)?;
        let mut refused = RevocationError::UnknownIssuer;
        for authority in authorities {
            let Ok(issuer) = Certificate::parse(authority) else { continue };
            if issuer.subject() != list.issuer().as_raw() {
                continue;
            }
            let acceptable = issuer.check_authority().map_err(RevocationError::Issuer);
            match acceptable.and_then(|_| Self::of(der, &list, &issuer, PROFILE_ALGORITHMS)) {
                Ok(list) => return Ok(list),
                // Another CA of the same name may have signed it: remember the reason and look on.
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// As [`RevocationList::verify`], but for CAs of any profile: RFC 5280's rules alone.
    pub fn verify_under(der: &[u8], issuer: &[u8], algorithms: &Algorithms) -> Result<Self, RevocationError> {
        let issuer = Certificate::parse_under(issuer, algorithms).map_err(RevocationError::Issuer)?;
        issuer.check_ca().map_err(RevocationError::Issuer)?;
        Self::parse(der, &issuer, algorithms)
    }

    fn parse(der: &[u8], issuer: &Certificate<'_>, algorithms: &Algorithms) -> Result<Self, RevocationError> {
        Self::of(der, &read(der)?, issuer, algorithms)
    }

    fn of(
        der: &[u8],
        list: &CertificateRevocationList<'_>,
        issuer: &Certificate<'_>,
        algorithms: &Algorithms,
    ) -> Result<Self, RevocationError> {
        if list.issuer().as_raw() != issuer.subject() {
            return Err(RevocationError::UnknownIssuer);
        }
        if !issuer.may_sign_crls() {
            return Err(RevocationError::IssuerNotCrlSigner);
        }
        // RFC 5280 §5.1.1.2: both algorithm fields are the same.
        let (identifier, signature) = (&list.signature_algorithm, &list.signature_value);
        let signed = *identifier == list.tbs_cert_list.signature
            && signature.unused_bits == 0
            && algorithms::verify(
                algorithms,
                issuer.x509().public_key(),
                identifier,
                list.tbs_cert_list.as_ref(),
                &signature.data,
            );
        if !signed {
            return Err(RevocationError::Signature);
        }
        if !algorithms::is_frame(der, list.tbs_cert_list.as_ref(), identifier, &signature.data) {
            return Err(RevocationError::Malformed);
        }
        let number = check_extensions(list, issuer)?;
        // RFC 5280 §5.1.2.4 and §5.1.2.5.
        if !std::iter::once(list.last_update()).chain(list.next_update()).all(is_date) {
            return Err(RevocationError::Dates);
        }
        let this_update = time_of(list.last_update());
        let next_update = list.next_update().map(time_of).ok_or(RevocationError::Dates)?;
        if next_update <= this_update {
            return Err(RevocationError::Dates);
        }
        let mut revoked = HashSet::new();
        for entry in list.iter_revoked_certificates() {
            // RFC 5280 §5.3: a critical entry extension is that of an indirect list (§5.3.3) or unknown; removal is
            // for deltas (§5.3.1).
            let removed = entry.reason_code().is_some_and(|(_, code)| code == ReasonCode::RemoveFromCRL);
            if removed || entry.extensions().iter().any(|extension| extension.critical) {
                return Err(RevocationError::Unsupported);
            }
            let serial = Serial::from_der_content(entry.raw_serial()).map_err(RevocationError::Serial)?;
            // RFC 5280 §5.1.2.6 lists each certificate once; a CA that does not is not to be believed.
            if !revoked.insert(serial) {
                return Err(RevocationError::RepeatedEntry);
            }
        }
        Ok(Self {
            issuer: issuer.key_id(),
            number,
            this_update,
            next_update,
            revoked: Arc::new(revoked),
            der: der.into(),
            digest: sha256(der),
            earlier: Vec::new(),
            only_earlier: 0,
        })
    }

    /// The key that signed it.
    pub const fn issuer(&self) -> KeyId {
        self.issuer
    }

    /// Its number (RFC 5280 §5.2.3).
    pub const fn number(&self) -> u128 {
        self.number
    }

    /// When it was made.
    pub const fn this_update(&self) -> Time {
        self.this_update
    }

    /// When the next one is due. After that it is expired.
    pub const fn next_update(&self) -> Time {
        self.next_update
    }

    /// How many certificates it revokes, with the earlier lists that are kept beside it.
    pub fn len(&self) -> usize {
        self.revoked.len() + self.only_earlier
    }

    /// Whether it revokes none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it revokes this serial, or an earlier list did.
    pub fn contains(&self, serial: &Serial) -> bool {
        self.revoked.contains(serial) || self.earlier.iter().any(|list| list.revoked.contains(serial))
    }

    /// It and the earlier lists that name what it does not, the newest first.
    pub fn with_earlier(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.earlier.iter().map(AsRef::as_ref))
    }

    /// Whether its time has come: the CA's clock may be ahead of ours by as much as certificates are dated back.
    fn has_begun(&self, at: Time) -> bool {
        self.this_update <= at.plus_millis(BACKDATE_MS)
    }

    /// The list whose dates count at an instant: the newest of which the time has come. What is named by one of the future
    /// is revoked, but a CA whose clock was wrong once locks nobody out, itself included.
    fn in_force(&self, at: Time) -> Option<&Self> {
        self.with_earlier().find(|list| list.has_begun(at))
    }

    /// The newest of some lists of one issuer, with those beside it that name what no newer one does, and the one that is in
    /// force at `now` if that is another. Whoever has seen the same lists keeps the same ones, in whatever order they came.
    fn newest_of(mut lists: Vec<Arc<Self>>, now: Time) -> Option<Self> {
        lists.sort_by_cached_key(|list| std::cmp::Reverse((list.number, list.digest)));
        let mut lists = lists.into_iter();
        let mut newest = Self::clone(lists.next()?.as_ref());
        (newest.earlier, newest.only_earlier) = (Vec::new(), 0);
        let (mut bytes, mut begun) = (0, newest.has_begun(now));
        for list in lists {
            let stands_in = !begun && list.has_begun(now);
            begun |= stands_in;
            let news = list.revoked.iter().filter(|serial| !newest.contains(serial)).count();
            if news == 0 && !stands_in {
                continue;
            }
            bytes += list.der.len();
            let no_room = newest.earlier.len() >= EARLIER_CRLS_MAX || bytes > EARLIER_CRL_BYTES_MAX;
            if no_room && !stands_in {
                if begun {
                    break;
                }
                continue;
            }
            newest.only_earlier += news;
            newest.earlier.push(Arc::new(Self { earlier: Vec::new(), only_earlier: 0, ..Self::clone(&list) }));
        }
        Some(newest)
    }

    /// SHA-256 of [`Self::der`].
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The list as it came, for peers and for `GET /v1/ca/…`.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

/// Parses a list; nothing is verified.
fn read(der: &[u8]) -> Result<CertificateRevocationList<'_>, RevocationError> {
    if der.len() > CRL_BYTES_MAX {
        return Err(RevocationError::Oversize);
    }
    let Ok(([], list)) = CertificateRevocationList::from_der(der) else {
        return Err(RevocationError::Malformed);
    };
    // RFC 5280 §5.1.2.1: version 2 is written as 1.
    if list.version().map(|version| version.0) != Some(1) {
        return Err(RevocationError::Malformed);
    }
    Ok(list)
}

/// The name of the CA that a CRL says is its own, DER; nothing is verified.
pub fn issuer_name(der: &[u8]) -> Option<Vec<u8>> {
    CertificateRevocationList::from_der(der).ok().map(|(_, list)| list.issuer().as_raw().to_vec())
}

/// The number and the serials of a CRL of one's own, DER; nothing is verified.
pub fn contents(der: &[u8]) -> Option<(u128, HashSet<Serial>)> {
    let (_, list) = CertificateRevocationList::from_der(der).ok()?;
    let number = list.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::CRLNumber(value) => u128::try_from(value).ok(),
        _ => None,
    })?;
    let serials = list.iter_revoked_certificates().map(|entry| Serial::from_der_content(entry.raw_serial()).ok());
    Some((number, serials.collect::<Option<_>>()?))
}

/// The extensions of a list (RFC 5280 §5.2); returns its number.
fn check_extensions(list: &CertificateRevocationList<'_>, issuer: &Certificate<'_>) -> Result<u128, RevocationError> {
    let (mut number, mut identified) = (None, false);
    for (index, extension) in list.extensions().iter().enumerate() {
        if list.extensions().iter().skip(index + 1).any(|other| other.oid == extension.oid) {
            return Err(RevocationError::RepeatedExtension);
        }
        match extension.parsed_extension() {
            ParsedExtension::ParseError { .. } => return Err(RevocationError::Malformed),
            ParsedExtension::AuthorityKeyIdentifier(identifier) => {
                let named = identifier.key_identifier.as_ref().map(|identifier| identifier.0);
                if named.is_none() || named != issuer.subject_key_identifier() {
                    return Err(RevocationError::KeyIdentifier);
                }
                identified = true;
            }
            ParsedExtension::CRLNumber(value) => {
                let octets = value.to_bytes_be();
                let mut padded = [0; 16];
                let start = padded.len().checked_sub(octets.len()).ok_or(RevocationError::Number)?;
                padded[start..].copy_from_slice(&octets);
                // RFC 5280 §5.2.3: never critical.
                if extension.critical {
                    return Err(RevocationError::Number);
                }
                number = Some(u128::from_be_bytes(padded));
            }
            _ => {}
        }
        // A delta or a part is not taken for the whole, also where it is not marked as critical, against RFC 5280
        // §5.2.4 and §5.2.5. No extension that is processed here may be critical (§5.2.1, §5.2.3).
        let partial = [OID_X509_EXT_DELTA_CRL_INDICATOR, OID_X509_EXT_ISSUER_DISTRIBUTION_POINT];
        if partial.contains(&extension.oid) || extension.critical {
            return Err(RevocationError::Unsupported);
        }
    }
    // RFC 5280 §5.2.1: every list has it.
    if !identified {
        return Err(RevocationError::KeyIdentifier);
    }
    number.ok_or(RevocationError::Number)
}

/// What is revoked at one moment: by the lists of all issuers, and by answers about single certificates (RFC 6960), which
/// may come before the list does. Never changed, only replaced.
#[derive(Clone, Debug, Default)]
pub struct RevocationSet {
    lists: BTreeMap<KeyId, Arc<RevocationList>>,
    answered: Arc<HashSet<CertificateId>>,
}

impl RevocationSet {
    /// Whether a certificate is known to be good at an instant.
    pub fn status(&self, id: &CertificateId, at: Time, policy: RevocationPolicy) -> Result<(), RevocationStatusError> {
        if self.is_revoked(id) {
            return Err(RevocationStatusError::Revoked);
        }
        match self.lists.get(&id.issuer) {
            None if policy.accept_missing => Ok(()),
            None => Err(RevocationStatusError::Missing),
            Some(list) => match list.in_force(at) {
                None => Err(RevocationStatusError::NotYetValid),
                Some(list) if list.next_update < at && !policy.accept_expired => Err(RevocationStatusError::Expired),
                Some(_) => Ok(()),
            },
        }
    }

    /// Whether a list or an answer revokes a certificate. Missing and expired lists are [`Self::status`]'s question.
    pub fn is_revoked(&self, id: &CertificateId) -> bool {
        self.answered.contains(id) || self.lists.get(&id.issuer).is_some_and(|list| list.contains(&id.serial))
    }

    /// The list of one issuer.
    pub fn list(&self, issuer: &KeyId) -> Option<&Arc<RevocationList>> {
        self.lists.get(issuer)
    }

    /// Every list that revokes what no newer one of its issuer does, the newest of all issuers first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<RevocationList>> {
        self.lists.values().chain(self.lists.values().flat_map(|list| &list.earlier))
    }

    /// The same, DER.
    pub fn ders(&self) -> impl Iterator<Item = &[u8]> {
        self.all().map(|list| list.der())
    }

    /// The newest list of each issuer, in the order of their key identifiers.
    pub fn lists(&self) -> impl Iterator<Item = &Arc<RevocationList>> {
        self.lists.values()
    }
}

/// What a newly installed list changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationChange {
    /// Counts installed lists, from 1.
    pub generation: u64,
    /// Certificates that were not revoked before: close what hangs on them.
    pub revoked: Vec<CertificateId>,
    /// When the list says that it was made, if that is in the future: its dates do not count until then.
    pub early: Option<Time>,
}

/// The revocation set in force: read without locks, replaced whole.
#[derive(Default)]
pub struct RevocationStore {
    set: ArcSwap<RevocationSet>,
    generation: AtomicU64,
    /// One for each issuer: a long list of one does not keep the lists of others waiting.
    installing: Mutex<BTreeMap<KeyId, Arc<Mutex<()>>>>,
    clock: Option<fn() -> Time>,
}

impl fmt::Debug for RevocationStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationStore").field("generation", &self.generation()).finish_non_exhaustive()
    }
}

impl RevocationStore {
    /// A store that tells lists of the future by this clock; without one all are of the past.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> Time) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// The lists in force.
    pub fn current(&self) -> Arc<RevocationSet> {
        self.set.load_full()
    }

    /// How many lists were installed so far: whoever polls compares this before anything else.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// [`RevocationSet::is_revoked`] of the set in force.
    pub fn is_revoked(&self, id: &CertificateId) -> bool {
        self.set.load().is_revoked(id)
    }

    /// Takes into force which certificates their CAs' answers revoke, in place of those that were told before. Whoever
    /// calls has verified the answers, and tells those who hang on these certificates.
    pub fn answered(&self, certificates: impl IntoIterator<Item = CertificateId>) {
        let answered: Arc<HashSet<_>> = Arc::new(certificates.into_iter().collect());
        self.set.rcu(|set| RevocationSet { answered: Arc::clone(&answered), ..RevocationSet::clone(set) });
    }

    /// Puts a verified list in force. `None` if it is in force already. What one that is not newer revokes is revoked;
    /// it is refused if that is nothing new.
    pub fn install(&self, list: RevocationList) -> Result<Option<RevocationChange>, RevocationError> {
        let issuer = list.issuer;
        let turn = {
            let mut issuers = self.installing.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(issuers.entry(issuer).or_default())
        };
        let _one_at_a_time = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let installed = self.set.load().lists.get(&issuer).cloned();
        let mut lists = Vec::new();
        if let Some(installed) = &installed
            && installed.with_earlier().any(|known| known.digest == list.digest)
        {
            return Ok(None);
        }
        let is_new = |serial: &&Serial| installed.as_ref().is_none_or(|installed| !installed.contains(serial));
        let mut revoked: Vec<Serial> = list.revoked.iter().filter(is_new).cloned().collect();
        if let Some(installed) = &installed {
            if revoked.is_empty() && list.number == installed.number {
                return Err(RevocationError::Conflict(list.number));
            }
            lists.push(Arc::clone(installed));
            lists.extend(installed.earlier.iter().cloned());
        }
        revoked.sort_unstable();
        let now = self.clock.map_or(Time::from_millis(u64::MAX), |clock| clock());
        let early = (!list.has_begun(now)).then_some(list.this_update);
        let (offered, digest) = (list.number, list.digest);
        lists.push(Arc::new(list));
        if let Some(newest) = RevocationList::newest_of(lists, now) {
            if !newest.with_earlier().any(|kept| kept.digest == digest) {
                return Err(RevocationError::Older { offered, installed: newest.number });
            }
            let newest = Arc::new(newest);
            self.set.rcu(|set| {
                let mut set = RevocationSet::clone(set);
                set.lists.insert(issuer, Arc::clone(&newest));
                set
            });
        }
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        let revoked = revoked.into_iter().map(|serial| CertificateId { issuer, serial }).collect();
        Ok(Some(RevocationChange { generation, revoked, early }))
    }
}
