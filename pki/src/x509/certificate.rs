//! What RFC 5280 asks of a single certificate, whatever profile it is of: the half of the rules that test suites of
//! the web's PKI can judge too. rustls-webpki leaves most of them out, because it serves what browsers meet.
//!
//! [`crate::x509::profile`] adds SPIFFE's rules and our own; [`crate::trust::validation`] what holds between certificates.

use crate::x509::{
    algorithms::{self, Algorithms, PROFILE_ALGORITHMS},
    general_names,
    identifiers::{KeyId, Serial, SerialError, sha256},
};
use ledger_classes::limits::CERTIFICATE_BYTES_MAX;
use ledger_classes::primitives::identity::ParseIdentityError;
use ledger_classes::primitives::time::Time;
use x509_parser::{
    certificate::X509Certificate,
    extensions::{BasicConstraints, ExtendedKeyUsage, KeyUsage, NameConstraints, ParsedExtension, X509Extension},
    oid_registry::{
        OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_CERTIFICATE_POLICIES, OID_X509_EXT_EXTENDED_KEY_USAGE,
        OID_X509_EXT_INHIBIT_ANY_POLICY, OID_X509_EXT_KEY_USAGE, OID_X509_EXT_NAME_CONSTRAINTS,
        OID_X509_EXT_POLICY_CONSTRAINTS, OID_X509_EXT_POLICY_MAPPINGS, OID_X509_EXT_SUBJECT_ALT_NAME,
    },
    prelude::FromDer as _,
    time::ASN1Time,
    x509::X509Version,
};

/// What a certificate does against its profile.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProfileError {
    /// Larger than [`CERTIFICATE_BYTES_MAX`].
    #[error("a certificate has at most {CERTIFICATE_BYTES_MAX} bytes")]
    Oversize,
    /// Not one DER certificate, or bytes follow it.
    #[error("not a DER certificate")]
    Malformed,
    /// RFC 5280 §4.1.2.1.
    #[error("not an X.509 version 3 certificate")]
    Version,
    /// RFC 5280 §4.1.2.2.
    #[error("the serial number is not acceptable")]
    Serial(#[source] SerialError),
    /// RFC 5280 §4.1.1.2: the two fields that name the signature algorithm differ.
    #[error("the two signature algorithm fields differ")]
    AlgorithmMismatch,
    /// Neither Ed25519, nor ECDSA with SHA-256 or SHA-384.
    #[error("the signature algorithm is not accepted")]
    SignatureAlgorithm,
    /// RFC 5280 §4.1.2.4 and §4.1.2.6.
    #[error("issuer or CA subject is empty")]
    EmptyName,
    /// RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime after; not before 1970.
    #[error("a validity date is not encoded as RFC 5280 wants it")]
    Date,
    /// RFC 5280 §4.1.2.8.
    #[error("issuer or subject unique identifiers are present")]
    UniqueIdentifier,
    /// RFC 5280 §4.2: an extension occurs twice.
    #[error("an extension is repeated")]
    RepeatedExtension,
    /// An extension's content cannot be decoded.
    #[error("an extension is malformed")]
    MalformedExtension,
    /// RFC 5280 §4.2: a critical extension that is not processed.
    #[error("a critical extension is not known here")]
    CriticalExtension,
    /// RFC 5280 §4.2.1.1: without a key identifier, or with half of issuer and serial.
    #[error("the authority key identifier is incomplete")]
    AuthorityKeyIdentifier,
    /// RFC 5280 §4.2.1.6: no names, or one that is not of its kind.
    #[error("an alternative name is malformed")]
    MalformedName,
    /// RFC 5280 §4.2.1.10: not critical, empty, malformed, or not a CA's.
    #[error("name constraints are a CA's, critical and well-formed")]
    NameConstraints,
    /// RFC 5280 §4.2.1.5, §4.2.1.11, §4.2.1.14: not critical, or not a CA's.
    #[error("policy constraints are a CA's and critical")]
    PolicyConstraints,
    /// Critical policies are not processed here.
    #[error("certificate policies are critical, and not processed here")]
    Policies,
    /// Neither Ed25519 nor P-256 in its one form.
    #[error("a leaf's key is ed25519 or p256")]
    LeafKey,
    /// RFC 5280 §4.2.1.9: a leaf says CA:TRUE or carries a path length.
    #[error("a CA certificate stands where a leaf belongs")]
    LeafIsAuthority,
    /// RFC 5280 §4.2.1.9: a CA without critical basicConstraints with CA:TRUE.
    #[error("a certificate of the path is not a CA's")]
    NotAuthority,
    /// X509-SVID §4.3: a leaf's key usage is critical, has digitalSignature, neither keyCertSign nor cRLSign.
    #[error("a leaf's key usage is critical, with digitalSignature and without keyCertSign and cRLSign")]
    LeafKeyUsage,
    /// RFC 5280 §4.2.1.3: a CA's key usage has keyCertSign.
    #[error("a CA's key usage has keyCertSign")]
    AuthorityKeyUsage,
    /// RFC 5280 §4.2.1.12: clientAuth, and serverAuth for peers only; nothing else.
    #[error("a leaf's extended key usage is clientAuth, and serverAuth for a peer")]
    ExtendedKeyUsage,
    /// RFC 5280 §4.2.1.6: no subject alternative name, or not critical beside an empty subject.
    #[error("the subject alternative name is missing")]
    NoAlternativeName,
    /// X509-SVID §2: exactly one URI.
    #[error("a certificate has exactly one URI, not {0}")]
    UriCount(usize),
    /// Host names and addresses are for peers; other kinds of names for nobody.
    #[error("an alternative name is not allowed here")]
    ForeignName,
    /// X509-SVID §2: the URI is no identity of ours.
    #[error("the URI is not an identity")]
    Identity(#[source] ParseIdentityError),
    /// SPIFFE X509-SVID §3.1: a CA's URI is `spiffe://<consortium>` without a path.
    #[error("a CA's URI reads spiffe://<consortium>")]
    AuthorityUri,
    /// docs/decisions/0002: a CA's subject has one organization or none.
    #[error("a CA's subject has at most one organization, 1 to 64 of a-z, 0-9 and hyphen")]
    AuthorityOrganization,
    /// RFC 5280 §4.2.1.2.
    #[error("a CA has a subject key identifier")]
    NoSubjectKeyIdentifier,
}

/// A parsed certificate that keeps the rules that hold for leaves and CAs alike.
#[derive(Debug)]
pub struct Certificate<'a> {
    x509: X509Certificate<'a>,
    serial: Serial,
}

impl<'a> Certificate<'a> {
    /// A certificate whose signature algorithm our profile accepts.
    pub fn parse(der: &'a [u8]) -> Result<Self, ProfileError> {
        Self::parse_under(der, PROFILE_ALGORITHMS)
    }

    /// A certificate that one of the algorithms signs.
    pub fn parse_under(der: &'a [u8], algorithms: &Algorithms) -> Result<Self, ProfileError> {
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(ProfileError::Oversize);
        }
        let Ok(([], x509)) = X509Certificate::from_der(der) else { return Err(ProfileError::Malformed) };
        // RFC 5280 §4.1.2.1.
        if x509.version() != X509Version::V3 {
            return Err(ProfileError::Version);
        }
        let serial = Serial::from_der_content(x509.raw_serial()).map_err(ProfileError::Serial)?;
        // RFC 5280 §4.1.1.2: both algorithm fields are the same.
        if x509.signature_algorithm != x509.signature {
            return Err(ProfileError::AlgorithmMismatch);
        }
        // RFC 5280 §4.1.2.4: the issuer is not empty.
        if x509.issuer().iter().next().is_none() {
            return Err(ProfileError::EmptyName);
        }
        if ![x509.validity().not_before, x509.validity().not_after].into_iter().all(is_date)
            || !has_plain_dates(&x509, der)
        {
            return Err(ProfileError::Date);
        }
        // RFC 5280 §4.1.2.8.
        if x509.issuer_uid.is_some() || x509.subject_uid.is_some() {
            return Err(ProfileError::UniqueIdentifier);
        }
        for (index, extension) in x509.extensions().iter().enumerate() {
            // RFC 5280 §4.2.
            if x509.extensions().iter().skip(index + 1).any(|other| other.oid == extension.oid) {
                return Err(ProfileError::RepeatedExtension);
            }
            check_extension(extension)?;
        }
        let certificate = Self { x509, serial };
        certificate.check_names()?;
        if !algorithms::signs(algorithms, &certificate.x509.signature_algorithm) {
            return Err(ProfileError::SignatureAlgorithm);
        }
        Ok(certificate)
    }

    /// RFC 5280 §4.1.2.6 and §4.2.1.6: who has no subject has critical alternative names.
    fn check_names(&self) -> Result<(), ProfileError> {
        let critical = self.x509.subject_alternative_name().ok().flatten().map(|found| found.critical);
        if !self.has_subject() && critical != Some(true) {
            return Err(ProfileError::NoAlternativeName);
        }
        Ok(())
    }

    /// What RFC 5280 asks of a CA.
    pub fn check_ca(&self) -> Result<(), ProfileError> {
        // RFC 5280 §4.2.1.9: present, critical, CA:TRUE.
        let constraints = self.x509.basic_constraints().ok().flatten().ok_or(ProfileError::NotAuthority)?;
        if !constraints.critical || !constraints.value.ca {
            return Err(ProfileError::NotAuthority);
        }
        // RFC 5280 §4.2.1.3, §6.1.4 (n).
        if self.key_usage().is_some_and(|(_, usage)| !usage.key_cert_sign()) {
            return Err(ProfileError::AuthorityKeyUsage);
        }
        // RFC 5280 §4.2.1.2.
        if self.subject_key_identifier().is_none() {
            return Err(ProfileError::NoSubjectKeyIdentifier);
        }
        // RFC 5280 §4.1.2.6: a CA's subject is not empty.
        if !self.has_subject() {
            return Err(ProfileError::EmptyName);
        }
        // RFC 5280 §4.2.1.10.
        let constrained = |extension: &X509Extension<'_>| extension.oid == OID_X509_EXT_NAME_CONSTRAINTS;
        if self.x509.extensions().iter().any(|extension| constrained(extension) && !extension.critical) {
            return Err(ProfileError::NameConstraints);
        }
        Ok(())
    }

    /// What RFC 5280 asks of the certificate at the end of a path, with the rule that it is no CA's.
    pub fn check_end_entity(&self, algorithms: &Algorithms) -> Result<(), ProfileError> {
        let constraints = self.x509.basic_constraints().ok().flatten().map(|found| found.value);
        // docs/formats/certificates.md: RFC 5280 §4.2.1.9 would let a CA stand here.
        if constraints.is_some_and(|constraints| constraints.ca || constraints.path_len_constraint.is_some()) {
            return Err(ProfileError::LeafIsAuthority);
        }
        // RFC 5280 §4.2.1.9: without cA no keyCertSign.
        if self.key_usage().is_some_and(|(_, usage)| usage.key_cert_sign()) {
            return Err(ProfileError::LeafKeyUsage);
        }
        // RFC 5280 §4.2.1.10, §4.2.1.5, §4.2.1.11: only in CA certificates.
        for extension in self.x509.extensions() {
            if extension.oid == OID_X509_EXT_NAME_CONSTRAINTS {
                return Err(ProfileError::NameConstraints);
            }
            if extension.oid == OID_X509_EXT_POLICY_MAPPINGS {
                return Err(ProfileError::PolicyConstraints);
            }
        }
        if !algorithms::knows_key(algorithms, self.x509.public_key()) {
            return Err(ProfileError::LeafKey);
        }
        Ok(())
    }

    /// Whether its subject says anything.
    pub fn has_subject(&self) -> bool {
        self.x509.subject().iter().next().is_some()
    }

    /// RFC 5280 §3.2: issuer and subject are the same.
    pub fn is_self_issued(&self) -> bool {
        self.issuer() == self.subject()
    }

    /// Its key usages, and whether they are critical.
    pub fn key_usage(&self) -> Option<(bool, &KeyUsage)> {
        self.x509.key_usage().ok().flatten().map(|found| (found.critical, found.value))
    }

    /// Its extended key usages.
    pub fn extended_key_usage(&self) -> Option<&ExtendedKeyUsage<'_>> {
        self.x509.extended_key_usage().ok().flatten().map(|found| found.value)
    }

    /// The serial number.
    pub const fn serial(&self) -> &Serial {
        &self.serial
    }

    /// The first second of its validity.
    pub fn not_before(&self) -> Time {
        time_of(self.x509.validity().not_before)
    }

    /// The last second of its validity.
    pub fn not_after(&self) -> Time {
        time_of(self.x509.validity().not_after)
    }

    /// The subject, DER.
    pub fn subject(&self) -> &[u8] {
        self.x509.subject().as_raw()
    }

    /// The issuer, DER.
    pub fn issuer(&self) -> &[u8] {
        self.x509.issuer().as_raw()
    }

    /// The SubjectPublicKeyInfo, DER.
    pub fn spki(&self) -> &[u8] {
        self.x509.public_key().raw
    }

    /// The identifier of its key.
    pub fn key_id(&self) -> KeyId {
        KeyId::of_spki(self.spki())
    }

    /// SHA-256 of the whole certificate.
    pub fn fingerprint(&self) -> [u8; 32] {
        sha256(self.x509.as_raw())
    }

    /// As it was parsed.
    pub const fn x509(&self) -> &X509Certificate<'a> {
        &self.x509
    }

    /// How many CAs may be below this one; `None` if it does not say.
    pub fn path_length_max(&self) -> Option<u32> {
        self.x509.basic_constraints().ok().flatten().and_then(|found| found.value.path_len_constraint)
    }

    /// What it calls its own key (RFC 5280 §4.2.1.2).
    pub fn subject_key_identifier(&self) -> Option<&[u8]> {
        self.x509.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0),
            _ => None,
        })
    }

    /// What it calls its issuer's key (RFC 5280 §4.2.1.1).
    pub fn authority_key_identifier(&self) -> Option<&[u8]> {
        self.x509.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(identifier) => identifier.key_identifier.as_ref().map(|id| id.0),
            _ => None,
        })
    }

    /// Whether its key may sign CRLs.
    pub fn may_sign_crls(&self) -> bool {
        // RFC 5280 §6.3.3 (f): if there is a key usage.
        self.key_usage().is_none_or(|(_, usage)| usage.crl_sign())
    }
}

impl KeyId {
    /// The identifier of the key in a certificate; `None` if it is none that we accept.
    pub fn of_certificate(der: &[u8]) -> Option<Self> {
        Certificate::parse(der).ok().map(|certificate| certificate.key_id())
    }
}

/// What holds for an extension wherever it stands (RFC 5280 §4.2).
fn check_extension(extension: &X509Extension<'_>) -> Result<(), ProfileError> {
    match extension.parsed_extension() {
        ParsedExtension::ParseError { .. } => return Err(ProfileError::MalformedExtension),
        // RFC 5280 §4.2.1.1: always with the key identifier; issuer and serial together or not at all.
        ParsedExtension::AuthorityKeyIdentifier(identifier) => {
            let halves = (identifier.authority_cert_issuer.is_some(), identifier.authority_cert_serial.is_some());
            if identifier.key_identifier.is_none() || halves.0 != halves.1 {
                return Err(ProfileError::AuthorityKeyIdentifier);
            }
        }
        // RFC 5280 §4.2.1.3: at least one bit.
        ParsedExtension::KeyUsage(usage) if usage.flags == 0 => return Err(ProfileError::MalformedExtension),
        // RFC 5280 §4.2.1.9: a path length is a CA's.
        ParsedExtension::BasicConstraints(BasicConstraints { ca: false, path_len_constraint: Some(_) }) => {
            return Err(ProfileError::LeafIsAuthority);
        }
        // RFC 5280 §4.2.1.6.
        ParsedExtension::SubjectAlternativeName(names)
            if names.general_names.is_empty() || !names.general_names.iter().all(general_names::is_well_formed) =>
        {
            return Err(ProfileError::MalformedName);
        }
        // RFC 5280 §4.2.1.10: never empty.
        ParsedExtension::NameConstraints(NameConstraints { permitted_subtrees, excluded_subtrees }) => {
            let mut bases = permitted_subtrees.iter().chain(excluded_subtrees).flatten().map(|subtree| &subtree.base);
            let empty = permitted_subtrees.is_none() && excluded_subtrees.is_none();
            if empty || !bases.all(general_names::is_constraint) {
                return Err(ProfileError::NameConstraints);
            }
        }
        _ => {}
    }
    let oid = &extension.oid;
    // RFC 5280 §4.2.1.11 and §4.2.1.14: always critical. Policies are not processed here (docs/conformance.md), so
    // critical ones are refused.
    let policy = [OID_X509_EXT_POLICY_CONSTRAINTS, OID_X509_EXT_INHIBIT_ANY_POLICY].contains(oid);
    if policy && !extension.critical {
        return Err(ProfileError::PolicyConstraints);
    }
    let policy = policy || [OID_X509_EXT_POLICY_MAPPINGS, OID_X509_EXT_CERTIFICATE_POLICIES].contains(oid);
    if policy && extension.critical {
        return Err(ProfileError::Policies);
    }
    let processed = [
        OID_X509_EXT_BASIC_CONSTRAINTS,
        OID_X509_EXT_EXTENDED_KEY_USAGE,
        OID_X509_EXT_KEY_USAGE,
        OID_X509_EXT_NAME_CONSTRAINTS,
        OID_X509_EXT_SUBJECT_ALT_NAME,
    ];
    // Identifiers of keys and access to information are never critical (§4.2.1.1, §4.2.1.2, §4.2.2), so they are
    // refused here like what is not known.
    if extension.critical && !processed.contains(oid) {
        return Err(ProfileError::CriticalExtension);
    }
    Ok(())
}

/// RFC 5280 §4.1.2.5 and §5.1.2.4: UTCTime through 2049, GeneralizedTime after. Nothing before 1970 exists here.
pub(crate) fn is_date(date: ASN1Time) -> bool {
    date.timestamp() >= 0 && date.is_generalizedtime() == (date.to_datetime().year() >= 2050)
}

/// RFC 5280 §4.1.2.5.1 and §4.1.2.5.2: seconds, no fractions of them, and Z. The parser takes more forms than that, and
/// rustls-webpki does not look at the dates of anchors. The validity stands behind the issuer.
fn has_plain_dates(x509: &X509Certificate<'_>, der: &[u8]) -> bool {
    let issuer = x509.issuer().as_raw().as_ptr_range();
    let start = (issuer.end as usize).saturating_sub(der.as_ptr() as usize);
    let Some([0x30, _, dates @ ..]) = der.get(start..) else { return false };
    let plain = |octets: &[u8]| match octets {
        [0x17, 13, rest @ ..] => ends_plainly(rest, 12).then_some(15),
        [0x18, 15, rest @ ..] => ends_plainly(rest, 14).then_some(17),
        _ => None,
    };
    plain(dates).and_then(|length| dates.get(length..)).and_then(plain).is_some()
}

/// So many digits, then Z.
fn ends_plainly(octets: &[u8], digits: usize) -> bool {
    octets.get(..digits).is_some_and(|octets| octets.iter().all(u8::is_ascii_digit))
        && octets.get(digits) == Some(&b'Z')
}

/// The instant of an ASN.1 time; before 1970 becomes 1970.
pub(crate) fn time_of(time: ASN1Time) -> Time {
    Time::from_millis(u64::try_from(time.timestamp()).unwrap_or(0).saturating_mul(1000))
}
