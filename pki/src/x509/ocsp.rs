//! OCSP (RFC 6960) with answers that are signed beforehand, as RFC 5019 describes: whoever serves them holds no CA key,
//! and an answer costs a file's reading. The issuing CA signs by itself; there are no delegated responders.
//!
//! An answer is about one certificate and names it twice, under SHA-1 and under SHA-256, since requests come with
//! either (RFC 6960 §4.2.2.3 allows more answers than were asked for). A nonce is not echoed: what was signed
//! beforehand cannot know it, and a reader judges freshness by `thisUpdate` and `nextUpdate`.
//!
//! An answer is also evidence: it stays true that a certificate was revoked, however old the answer is.

use crate::x509::{
    algorithms::{PROFILE_ALGORITHMS, verify},
    certificate::{Certificate, ProfileError},
    identifiers::{CertificateId, RevocationReason, Serial, SerialError},
};
use ledger_classes::limits::OCSP_BYTES_MAX;
use ledger_classes::primitives::time::Time;
use ring::digest;
use time::OffsetDateTime;
use x509_parser::{
    asn1_rs::{Any, FromDer as _},
    x509::AlgorithmIdentifier,
};

/// Bytes of a request: one certificate, with room for extensions that are passed over.
pub const REQUEST_BYTES_MAX: usize = 4 * 1024;

/// `malformedRequest` (RFC 6960 §4.2.1), whole.
pub const MALFORMED_REQUEST: [u8; 5] = [0x30, 3, 0x0a, 1, 1];
/// `unauthorized`: there is no answer to this here (RFC 5019 §2.2.3).
pub const UNAUTHORIZED: [u8; 5] = [0x30, 3, 0x0a, 1, 6];

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const NULL: u8 = 0x05;
const OID: u8 = 0x06;
const ENUMERATED: u8 = 0x0a;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const CONTEXT: u8 = 0x80;
const EXPLICIT: u8 = 0xa0;

/// id-pkix-ocsp-basic, 1.3.6.1.5.5.7.48.1.1.
const BASIC: [u8; 9] = [0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
/// The hash algorithms by which requests name issuers: object identifier, and how to compute it.
const HASHES: [(&[u8], &digest::Algorithm); 2] = [
    (&[0x2b, 0x0e, 3, 2, 0x1a], &digest::SHA1_FOR_LEGACY_USE_ONLY),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1], &digest::SHA256),
];

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not revoked.
    Good,
    /// Revoked, for ever.
    Revoked {
        /// When.
        at: Time,
        /// Why.
        reason: RevocationReason,
    },
}

/// Why a request or an answer is not accepted.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum OcspError {
    /// Not the DER of RFC 6960, or longer than it may be.
    #[error("not one DER structure of RFC 6960")]
    Malformed,
    /// An answer without content, such as `tryLater`, or with a critical extension or an unknown status.
    #[error("the answer says nothing that counts")]
    Unsupported,
    /// RFC 5280 §4.1.2.2.
    #[error("the serial number")]
    Serial(#[from] SerialError),
    /// The CA that should have signed it is none.
    #[error("the answer's issuer is not acceptable")]
    Issuer(#[from] ProfileError),
    /// It is about a certificate of another CA, or about several.
    #[error("the answer is not about one certificate of this CA")]
    OtherIssuer,
    /// RFC 6960 §3.2: not signed by the CA itself.
    #[error("the answer's signature is wrong")]
    Signature,
}

/// How a request names a certificate (RFC 6960 §4.1.1 `CertID`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateQuery {
    hash: usize,
    name_hash: Vec<u8>,
    key_hash: Vec<u8>,
    serial: Serial,
}

impl CertificateQuery {
    /// The serial that is asked for.
    pub const fn serial(&self) -> &Serial {
        &self.serial
    }

    fn of(issuer: &Certificate<'_>, serial: &Serial, hash: usize) -> Self {
        let hashed = |bytes: &[u8]| digest::digest(HASHES[hash].1, bytes).as_ref().to_vec();
        Self {
            hash,
            name_hash: hashed(issuer.subject()),
            key_hash: hashed(&issuer.x509().public_key().subject_public_key.data),
            serial: serial.clone(),
        }
    }

    /// From the content of a `CertID`. `None` for a hash algorithm that nobody here uses.
    fn parse(content: &[u8]) -> Result<Option<Self>, OcspError> {
        let (algorithm, _, rest) = take(content, SEQUENCE)?;
        let (oid, _, parameters) = take(algorithm, OID)?;
        if !parameters.is_empty() && !matches!(take(parameters, NULL)?, ([], _, [])) {
            return Err(OcspError::Malformed);
        }
        let (name_hash, _, rest) = take(rest, OCTET_STRING)?;
        let (key_hash, _, rest) = take(rest, OCTET_STRING)?;
        let (serial, _, rest) = take(rest, INTEGER)?;
        if !rest.is_empty() {
            return Err(OcspError::Malformed);
        }
        let Some(hash) = HASHES.iter().position(|(known, _)| *known == oid) else { return Ok(None) };
        let serial = Serial::from_der_content(serial)?;
        Ok(Some(Self { hash, name_hash: name_hash.to_vec(), key_hash: key_hash.to_vec(), serial }))
    }

    fn encode(&self) -> Vec<u8> {
        let algorithm = element(SEQUENCE, &[&element(OID, &[HASHES[self.hash].0]), &element(NULL, &[])]);
        let (name, key) = (element(OCTET_STRING, &[&self.name_hash]), element(OCTET_STRING, &[&self.key_hash]));
        element(SEQUENCE, &[&algorithm, &name, &key, &integer(&self.serial)])
    }
}

/// The one certificate that a request asks for. A request for several gets no answer here (RFC 5019 §2.1.1).
/// The requestor's name, signature and extensions, a nonce among them, are passed over.
pub fn parse_request(der: &[u8]) -> Result<Option<CertificateQuery>, OcspError> {
    if der.len() > REQUEST_BYTES_MAX {
        return Err(OcspError::Malformed);
    }
    let (request, _, []) = take(der, SEQUENCE)? else { return Err(OcspError::Malformed) };
    let (mut rest, ..) = take(request, SEQUENCE)?;
    for optional in [EXPLICIT, EXPLICIT | 1] {
        if rest.first() == Some(&optional) {
            (_, _, rest) = take(rest, optional)?;
        }
    }
    let (list, ..) = take(rest, SEQUENCE)?;
    let (single, _, more) = take(list, SEQUENCE)?;
    let (certificate, ..) = take(single, SEQUENCE)?;
    if more.is_empty() { CertificateQuery::parse(certificate) } else { Ok(None) }
}

/// The request for one certificate, named by SHA-256: what `parse_request` reads.
pub fn request(issuer: &[u8], serial: &Serial) -> Result<Vec<u8>, OcspError> {
    let query = CertificateQuery::of(&Certificate::parse(issuer)?, serial, 1).encode();
    Ok(element(SEQUENCE, &[&element(SEQUENCE, &[&element(SEQUENCE, &[&element(SEQUENCE, &[&query])])])]))
}

/// What a CA signs (RFC 6960 §4.2.1 `ResponseData`).
pub fn response_data(
    issuer: &[u8],
    serial: &Serial,
    status: Status,
    this_update: Time,
    next_update: Time,
) -> Result<Vec<u8>, OcspError> {
    let issuer = Certificate::parse(issuer)?;
    let status = match status {
        Status::Good => element(CONTEXT, &[]),
        Status::Revoked { at, reason } => {
            let reason = match reason_number(reason) {
                // RFC 5280 §5.3.1: unspecified is expressed by leaving the reason out.
                0 => Vec::new(),
                number => element(EXPLICIT, &[&element(ENUMERATED, &[&[number]])]),
            };
            element(EXPLICIT | 1, &[&time_element(at), &reason])
        }
    };
    let dates = [time_element(this_update), element(EXPLICIT, &[&time_element(next_update)])].concat();
    let single = |hash| {
        let query = CertificateQuery::of(&issuer, serial, hash).encode();
        element(SEQUENCE, &[&query, &status, &dates])
    };
    // RFC 6960 §4.2.1: the responder by the SHA-1 of its key.
    let key_hash = CertificateQuery::of(&issuer, serial, 0).key_hash;
    let responder = element(EXPLICIT | 2, &[&element(OCTET_STRING, &[&key_hash])]);
    let answers = element(SEQUENCE, &[&single(0), &single(1)]);
    Ok(element(SEQUENCE, &[&responder, &time_element(this_update), &answers]))
}

/// The whole answer. `algorithm` is the DER of the signature's AlgorithmIdentifier.
pub fn response(data: &[u8], algorithm: &[u8], signature: &[u8]) -> Vec<u8> {
    let basic = element(SEQUENCE, &[data, algorithm, &element(BIT_STRING, &[&[0], signature])]);
    let bytes = element(SEQUENCE, &[&element(OID, &[&BASIC]), &element(OCTET_STRING, &[&basic])]);
    element(SEQUENCE, &[&element(ENUMERATED, &[&[0]]), &element(EXPLICIT, &[&bytes])])
}

/// One of the certificates that an answer speaks of.
struct SingleResponse {
    query: CertificateQuery,
    status: Status,
    this_update: Time,
    next_update: Option<Time>,
}

/// An answer's parts, of which nothing is verified.
struct Parts<'a> {
    data: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
    singles: Vec<SingleResponse>,
}

fn parts(der: &[u8]) -> Result<Parts<'_>, OcspError> {
    if der.len() > OCSP_BYTES_MAX {
        return Err(OcspError::Malformed);
    }
    let (response, _, []) = take(der, SEQUENCE)? else { return Err(OcspError::Malformed) };
    let (status, _, rest) = take(response, ENUMERATED)?;
    if status != [0] {
        return Err(OcspError::Unsupported);
    }
    let (bytes, _, []) = take(rest, EXPLICIT)? else { return Err(OcspError::Malformed) };
    let (bytes, _, []) = take(bytes, SEQUENCE)? else { return Err(OcspError::Malformed) };
    let (kind, _, rest) = take(bytes, OID)?;
    if kind != BASIC {
        return Err(OcspError::Unsupported);
    }
    let (basic, _, []) = take(rest, OCTET_STRING)? else { return Err(OcspError::Malformed) };
    let (basic, _, []) = take(basic, SEQUENCE)? else { return Err(OcspError::Malformed) };
    let (content, data, rest) = take(basic, SEQUENCE)?;
    let (identifier, algorithm, rest) = take(rest, SEQUENCE)?;
    // The parser of algorithms does not look at a tag's class.
    take(identifier, OID)?;
    // What may follow are certificates of delegated responders, of which we know none.
    let ([0, signature @ ..], ..) = take(rest, BIT_STRING)? else { return Err(OcspError::Malformed) };

    let mut rest = content;
    if rest.first() == Some(&EXPLICIT) {
        (_, _, rest) = take(rest, EXPLICIT)?;
    }
    // The responder is named by key or by name; the signature tells who it is.
    let responder = *rest.first().ok_or(OcspError::Malformed)?;
    if ![EXPLICIT | 1, EXPLICIT | 2].contains(&responder) {
        return Err(OcspError::Malformed);
    }
    (_, _, rest) = take(rest, responder)?;
    (_, _, rest) = take(rest, GENERALIZED_TIME)?;
    let (mut list, _, extensions) = take(rest, SEQUENCE)?;
    if !extensions.is_empty() {
        return Err(OcspError::Unsupported);
    }
    let mut singles = Vec::new();
    while !list.is_empty() {
        let (one, _, rest) = take(list, SEQUENCE)?;
        list = rest;
        singles.extend(single(one)?);
    }
    Ok(Parts { data, algorithm, signature, singles })
}

fn single(content: &[u8]) -> Result<Option<SingleResponse>, OcspError> {
    let (query, _, rest) = take(content, SEQUENCE)?;
    let tag = *rest.first().ok_or(OcspError::Malformed)?;
    let (body, _, rest) = take(rest, tag)?;
    let status = match tag {
        CONTEXT if body.is_empty() => Status::Good,
        0xa1 => {
            let (at, _, reason) = take(body, GENERALIZED_TIME)?;
            let reason = match reason {
                [] => RevocationReason::Unspecified,
                reason => {
                    let (reason, _, []) = take(reason, EXPLICIT)? else { return Err(OcspError::Malformed) };
                    let ([number], _, []) = take(reason, ENUMERATED)? else { return Err(OcspError::Malformed) };
                    reason_of(*number).ok_or(OcspError::Unsupported)?
                }
            };
            Status::Revoked { at: time_of(at)?, reason }
        }
        _ => return Err(OcspError::Unsupported),
    };
    let (this_update, _, rest) = take(rest, GENERALIZED_TIME)?;
    let mut rest = rest;
    let mut next_update = None;
    if rest.first() == Some(&EXPLICIT) {
        let (next, _, after) = take(rest, EXPLICIT)?;
        let (next, _, []) = take(next, GENERALIZED_TIME)? else { return Err(OcspError::Malformed) };
        (next_update, rest) = (Some(time_of(next)?), after);
    }
    if !rest.is_empty() {
        return Err(OcspError::Unsupported);
    }
    let this_update = time_of(this_update)?;
    Ok(CertificateQuery::parse(query)?.map(|query| SingleResponse { query, status, this_update, next_update }))
}

/// Whether an answer is about what was asked. Its signature is the reader's matter.
pub fn answers(der: &[u8], query: &CertificateQuery) -> bool {
    parts(der).is_ok_and(|parts| parts.singles.iter().any(|single| single.query == *query))
}

/// What a verified answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedAnswer {
    /// About which certificate.
    pub id: CertificateId,
    /// What.
    pub status: Status,
    /// When it was said.
    pub this_update: Time,
    /// Until when it may be believed; what is revoked stays so.
    pub next_update: Option<Time>,
}

/// Verifies an answer under the CA that should have signed it, whose certificate the caller vouches for.
/// Dates are the caller's matter. A pure function: the ledger takes its verdict into blocks.
pub fn verify_answer(der: &[u8], issuer: &[u8], serial: &Serial) -> Result<VerifiedAnswer, OcspError> {
    verified(der, issuer, |singles| singles.into_iter().find(|single| single.query.serial == *serial))
}

/// As [`verify_answer`], of whichever certificate the answer is about: all that it says of this CA's is of one.
pub fn read_answer(der: &[u8], issuer: &[u8]) -> Result<VerifiedAnswer, OcspError> {
    verified(der, issuer, |singles| {
        let said = |single: &SingleResponse| (single.query.serial.clone(), single.status);
        let one = singles.windows(2).all(|pair| pair.first().map(said) == pair.last().map(said));
        singles.into_iter().next().filter(|_| one)
    })
}

/// Whether bytes have the form of an answer: what has not costs nobody a look at any CA.
pub(crate) fn check_form(der: &[u8]) -> Result<(), OcspError> {
    parts(der).map(|_| ())
}

/// Verifies an answer, of which `choose` takes one of those about certificates of this CA.
fn verified(
    der: &[u8],
    issuer: &[u8],
    choose: impl FnOnce(Vec<SingleResponse>) -> Option<SingleResponse>,
) -> Result<VerifiedAnswer, OcspError> {
    let issuer = Certificate::parse(issuer)?;
    issuer.check_authority()?;
    let Parts { data, algorithm, signature, mut singles } = parts(der)?;
    singles.retain(|single| {
        let CertificateQuery { hash, serial, .. } = &single.query;
        single.query == CertificateQuery::of(&issuer, serial, *hash)
    });
    let SingleResponse { query, status, this_update, next_update } = choose(singles).ok_or(OcspError::OtherIssuer)?;
    let Ok(([], algorithm)) = AlgorithmIdentifier::from_der(algorithm) else {
        return Err(OcspError::Malformed);
    };
    if !verify(PROFILE_ALGORITHMS, issuer.x509().public_key(), &algorithm, data, signature) {
        return Err(OcspError::Signature);
    }
    let id = CertificateId { issuer: issuer.key_id(), serial: query.serial };
    Ok(VerifiedAnswer { id, status, this_update, next_update })
}

/// Whether an answer says that a key is compromised; nothing of it is verified.
pub fn says_compromised(der: &[u8]) -> bool {
    let compromised = |single: &SingleResponse| {
        matches!(single.status, Status::Revoked { reason: RevocationReason::KeyCompromise, .. })
    };
    parts(der).is_ok_and(|parts| parts.singles.iter().any(compromised))
}

/// An element's content, the element, and what follows it.
type Taken<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// One DER element of a given tag: its content, itself whole, and what follows. Lengths are checked by the parser:
/// definite, minimal, within the input.
fn take(input: &[u8], tag: u8) -> Result<Taken<'_>, OcspError> {
    if input.first() != Some(&tag) {
        return Err(OcspError::Malformed);
    }
    let (rest, any) = Any::from_der(input).map_err(|_| OcspError::Malformed)?;
    let whole = input.len() - rest.len();
    let content = whole - any.data.len();
    Ok((&input[content..whole], &input[..whole], rest))
}

/// One DER element (X.690 §8.1).
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut bytes = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => bytes.push(short),
        _ => {
            let octets = length.to_be_bytes();
            let octets = &octets[octets.iter().take_while(|octet| **octet == 0).count()..];
            bytes.push(0x80 | u8::try_from(octets.len()).expect("a length has at most 8 octets"));
            bytes.extend_from_slice(octets);
        }
    }
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

fn integer(serial: &Serial) -> Vec<u8> {
    let magnitude = serial.as_bytes();
    let sign: &[u8] = if magnitude.first().is_some_and(|octet| *octet >= 0x80) { &[0] } else { &[] };
    element(INTEGER, &[sign, magnitude])
}

/// `YYYYMMDDHHMMSSZ` (RFC 5280 §4.1.2.5.2).
fn time_element(time: Time) -> Vec<u8> {
    let seconds = i64::try_from(time.millis() / 1000).unwrap_or(i64::MAX);
    let at = OffsetDateTime::from_unix_timestamp(seconds).expect("a Time lies before the year 10000");
    let (month, day) = (u8::from(at.month()), at.day());
    let text = format!("{:04}{month:02}{day:02}{:02}{:02}{:02}Z", at.year(), at.hour(), at.minute(), at.second());
    element(GENERALIZED_TIME, &[text.as_bytes()])
}

fn time_of(content: &[u8]) -> Result<Time, OcspError> {
    let text = std::str::from_utf8(content).map_err(|_| OcspError::Malformed)?;
    let digits = text.strip_suffix('Z').filter(|digits| digits.len() == 14).ok_or(OcspError::Malformed)?;
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(OcspError::Malformed);
    }
    let number = |from: usize, to: usize| digits[from..to].parse::<u16>().map_err(|_| OcspError::Malformed);
    let small = |from: usize| u8::try_from(number(from, from + 2)?).map_err(|_| OcspError::Malformed);
    let month = time::Month::try_from(small(4)?).map_err(|_| OcspError::Malformed)?;
    let date = time::Date::from_calendar_date(i32::from(number(0, 4)?), month, small(6)?);
    let clock = time::Time::from_hms(small(8)?, small(10)?, small(12)?);
    let (Ok(date), Ok(clock)) = (date, clock) else { return Err(OcspError::Malformed) };
    let seconds = date.with_time(clock).assume_utc().unix_timestamp();
    let seconds = u64::try_from(seconds).map_err(|_| OcspError::Malformed)?;
    Ok(Time::from_millis(seconds * 1000))
}

/// RFC 5280 §5.3.1.
const REASONS: [(RevocationReason, u8); 7] = [
    (RevocationReason::Unspecified, 0),
    (RevocationReason::KeyCompromise, 1),
    (RevocationReason::CaCompromise, 2),
    (RevocationReason::AffiliationChanged, 3),
    (RevocationReason::Superseded, 4),
    (RevocationReason::CessationOfOperation, 5),
    (RevocationReason::PrivilegeWithdrawn, 9),
];

fn reason_number(reason: RevocationReason) -> u8 {
    REASONS.iter().find(|(known, _)| *known == reason).map_or(0, |(_, number)| *number)
}

fn reason_of(number: u8) -> Option<RevocationReason> {
    REASONS.iter().find(|(_, known)| *known == number).map(|(reason, _)| *reason)
}
