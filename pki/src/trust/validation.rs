//! Path validation by RFC 5280 §6.1, for whatever profile: the core of [`crate::verify_path`], and what the
//! conformance suites judge (docs/conformance.md). There is no second one.
//!
//! rustls-webpki finds paths and checks signatures, dates and name constraints. Every path that it finds is judged
//! here before it counts, so that a path that breaks a rule does not hide another that keeps all of them.
//! Nothing here reads a clock or a store.

use crate::{
    trust::revocation::{RevocationPolicy, RevocationSet, RevocationStatusError},
    x509::{
        algorithms::Algorithms,
        certificate::{Certificate, ProfileError},
        identifiers::{AlternativeName, CertificateId, KeyId},
    },
};
use ledger_classes::limits::CERTIFICATE_PATH_MAX;
use ledger_classes::primitives::time::Time;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::{cell::RefCell, time::Duration};
use webpki::{
    EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter, KeyUsage, VerifiedPath, anchor_from_trusted_cert,
};
use x509_parser::{
    asn1_rs::{Any, FromDer as _, Sequence},
    extensions::{GeneralName, NameConstraints, ParsedExtension},
};

/// Why a path is not admitted. `position` counts from the leaf, which is 0; the anchor is the last.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PathError {
    /// No certificate at all.
    #[error("the certificate path is empty")]
    Empty,
    /// More than [`CERTIFICATE_PATH_MAX`] certificates.
    #[error("a path has at most {CERTIFICATE_PATH_MAX} certificates")]
    Length,
    /// A certificate breaks its profile.
    #[error("certificate {position} of the path is not acceptable")]
    Profile {
        /// Which.
        position: usize,
        /// How.
        #[source]
        source: ProfileError,
    },
    /// No anchor vouches for it (RFC 5280 §6.1).
    #[error("the path leads to no accepted CA")]
    UnknownIssuer,
    /// The path leads only to anchors that are no acceptable CAs.
    #[error("the path leads only to a CA that is not acceptable")]
    Anchor(#[source] ProfileError),
    /// A signature is made with an algorithm, or under a kind of key, that is not accepted.
    #[error("a signature of the path is of a kind that is not accepted")]
    Algorithm,
    /// A signature is wrong (RFC 5280 §6.1.3 (a)(1)).
    #[error("a signature of the path is wrong")]
    Signature,
    /// After `not_after` of any certificate of the path, the anchor included (RFC 5280 §4.1.2.5).
    #[error("a certificate of the path has expired")]
    Expired,
    /// Before `not_before` of any certificate of the path.
    #[error("a certificate of the path is not yet valid")]
    NotYetValid,
    /// More CAs below a CA than it allows (RFC 5280 §4.2.1.9).
    #[error("the path is longer than CA {position} allows")]
    PathLength {
        /// Which CA.
        position: usize,
    },
    /// Authority and subject key identifiers differ (RFC 5280 §4.2.1.1).
    #[error("certificate {position} names another key of its issuer")]
    KeyIdentifier {
        /// Which.
        position: usize,
    },
    /// The certificates are not in order, each certifying the one before it (RFC 8446 §4.4.2).
    #[error("the path is not in order")]
    Order,
    /// A name constraint of a CA forbids a name (RFC 5280 §4.2.1.10).
    #[error("a CA of the path may not vouch for this name")]
    NameConstraint,
    /// Any other verdict of the path library.
    #[error("the path is not acceptable: {0}")]
    Other(String),
    /// The leaf has another trust domain than a CA of its path (X509-SVID §5.2).
    #[error("the identity belongs to another consortium than its CA")]
    Consortium,
    /// A CA vouches for an identity of another organization, or the consortium's root for a leaf.
    #[error("the identity belongs to another organization than its CA")]
    Organization,
    /// A consortium's root that another root certified stands in the path (docs/decisions/0009).
    #[error("a root that another one certified is no part of a path")]
    Link,
    /// RFC 5280 §4.2.1.12: the extended key usage is not for this.
    #[error("the certificate is not for this use")]
    Usage,
    /// A TLS server that is not a peer.
    #[error("only a peer answers connections")]
    NotPeer,
    /// Revoked, or nobody knows (RFC 5280 §6.3).
    #[error("certificate {position} of the path")]
    Revocation {
        /// Which.
        position: usize,
        /// What the CRLs say.
        #[source]
        source: RevocationStatusError,
    },
}

/// What a leaf, and every CA of its path that names purposes, must be good for (RFC 5280 §4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Anything: purposes are not looked at.
    Any,
    /// id-kp-clientAuth.
    ClientAuth,
    /// id-kp-serverAuth.
    ServerAuth,
    /// Another, by the content octets of its object identifier.
    Other(&'static [u8]),
}

impl ExtendedKeyUsageValidator for Purpose {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        match self {
            Self::Any => Ok(()),
            Self::ClientAuth => KeyUsage::client_auth().validate(purposes),
            Self::ServerAuth => KeyUsage::server_auth().validate(purposes),
            Self::Other(oid) => KeyUsage::required_if_present(oid).validate(purposes),
        }
    }
}

/// How intermediates are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathOrder {
    /// Each certifies the one before it (RFC 8446 §4.4.2); anything else is refused.
    Strict,
    /// A heap in which a path may be found.
    Any,
}

/// What a validation is held to.
#[derive(Clone, Copy)]
pub struct PathRules<'r> {
    /// Signatures that count.
    pub algorithms: &'r Algorithms,
    /// What for.
    pub purpose: Purpose,
    /// How intermediates are given.
    pub order: PathOrder,
    /// Certificates between leaf and anchor; at most 6, the limit of rustls-webpki.
    pub intermediates_max: usize,
    /// The instant.
    pub at: Time,
}

/// A path that keeps every rule: leaf first, the anchor last.
#[derive(Debug)]
pub struct ValidatedPath<'a> {
    pub(crate) certificates: Vec<Certificate<'a>>,
}

impl ValidatedPath<'_> {
    /// Certificates, leaf and anchor included.
    pub fn len(&self) -> usize {
        self.certificates.len()
    }

    /// Never: a path has its leaf.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// What revocation lists call the certificates below the anchor, leaf first.
    pub fn ids(&self) -> Vec<CertificateId> {
        let issuers = self.certificates.iter().skip(1).map(Certificate::key_id);
        let pairs = self.certificates.iter().zip(issuers);
        pairs.map(|(certificate, issuer)| CertificateId { issuer, serial: certificate.serial().clone() }).collect()
    }

    /// Whether the leaf's key usage, if it has one, has all the bits of `flags` (RFC 5280 §4.2.1.3, bit 0 lowest).
    pub fn allows(&self, flags: u16) -> bool {
        let usage = self.certificates.first().and_then(Certificate::key_usage);
        usage.is_none_or(|(_, usage)| usage.flags & flags == flags)
    }

    /// Who certified the leaf.
    pub fn issuer(&self) -> Option<KeyId> {
        self.certificates.get(1).map(Certificate::key_id)
    }
}

/// Validates a leaf through intermediates up to one of the anchors. With `revocation`, every certificate below the
/// anchor must be known to be good (RFC 5280 §6.3).
pub fn validate_path<'a>(
    leaf: &'a [u8],
    intermediates: &[&'a [u8]],
    anchors: &[&'a [u8]],
    rules: &PathRules<'_>,
    revocation: Option<(&RevocationSet, RevocationPolicy)>,
) -> Result<ValidatedPath<'a>, PathError> {
    let profile = |position| move |source| PathError::Profile { position, source };
    let end = read(leaf, rules.algorithms).map_err(profile(0))?;
    end.check_end_entity(rules.algorithms).map_err(profile(0))?;

    // Anchors that are no CAs vouch for nobody; they must not keep others from being found.
    let mut refused = None;
    let mut acceptable = Vec::new();
    for der in anchors {
        match check_anchor(der, rules.algorithms) {
            Ok(()) => acceptable.push(*der),
            Err(error) => refused = Some(error),
        }
    }
    match build(leaf, intermediates, &acceptable, rules) {
        Ok(certificates) => {
            let path = ValidatedPath { certificates };
            if let Some((set, policy)) = revocation {
                for (position, id) in path.ids().iter().enumerate() {
                    set.status(id, rules.at, policy).map_err(|source| PathError::Revocation { position, source })?;
                }
            }
            Ok(path)
        }
        // Only an anchor that is not acceptable would have vouched, as far as one can tell.
        Err(PathError::UnknownIssuer) if refused.is_some() => {
            Err(refused.map_or(PathError::UnknownIssuer, PathError::Anchor))
        }
        // A certificate that cannot be read says more than that nobody issued the one below it.
        Err(error @ (PathError::UnknownIssuer | PathError::Other(_))) if rules.order == PathOrder::Strict => {
            let unreadable = intermediates.iter().enumerate().find_map(|(index, der)| {
                let source = read(der, rules.algorithms).err()?;
                Some(PathError::Profile { position: index + 1, source })
            });
            Err(unreadable.unwrap_or(error))
        }
        Err(error) => Err(error),
    }
}

/// A certificate that keeps the rules for a single one, and those on its names that need more than a parser.
pub(crate) fn read<'a>(der: &'a [u8], algorithms: &Algorithms) -> Result<Certificate<'a>, ProfileError> {
    let certificate = Certificate::parse_under(der, algorithms)?;
    // RFC 5280 §4.2.1.6: host names have the preferred syntax of RFC 1034 §3.5 and RFC 1123 §2.1, which has no
    // underscores, no hyphens at the ends of labels and no addresses. rustls-webpki takes all of these.
    let hosts = alternative_names(&certificate).iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.strip_prefix("*.").unwrap_or(name).to_ascii_lowercase()),
        _ => None,
    });
    for host in hosts {
        if !matches!(host.parse(), Ok(AlternativeName::Dns(_))) {
            return Err(ProfileError::MalformedName);
        }
    }
    for extension in certificate.x509().extensions() {
        if let ParsedExtension::NameConstraints(constraints) = extension.parsed_extension() {
            check_constraints(extension.value, constraints)?;
        }
    }
    Ok(certificate)
}

/// RFC 5280 §4.2.1.10: no list of subtrees is empty, and the mask of an address is one of RFC 4632 §3.1.
fn check_constraints(octets: &[u8], constraints: &NameConstraints<'_>) -> Result<(), ProfileError> {
    // The parser takes a list that it cannot read, an empty one too, for one that is not there; rustls-webpki takes
    // an empty one for no constraint.
    let (_, value) = Sequence::from_der(octets).map_err(|_| ProfileError::NameConstraints)?;
    let (mut rest, mut lists) = (value.content.as_ref(), 0);
    while !rest.is_empty() {
        (rest, _) = Any::from_der(rest).map_err(|_| ProfileError::NameConstraints)?;
        lists += 1;
    }
    let read = [&constraints.permitted_subtrees, &constraints.excluded_subtrees];
    if lists != read.iter().filter(|subtrees| subtrees.is_some()).count() {
        return Err(ProfileError::NameConstraints);
    }
    for subtree in read.into_iter().flatten().flatten() {
        if let GeneralName::IPAddress(octets) = subtree.base {
            // rustls-webpki looks at a mask only where it meets an address.
            let mut mask = [0; 16];
            for (bits, octet) in mask.iter_mut().zip(octets.iter().skip(octets.len() / 2)) {
                *bits = *octet;
            }
            let mask = u128::from_be_bytes(mask);
            if mask.leading_ones() != mask.count_ones() {
                return Err(ProfileError::NameConstraints);
            }
        }
    }
    Ok(())
}

fn check_anchor(der: &[u8], algorithms: &Algorithms) -> Result<(), ProfileError> {
    let certificate = read(der, algorithms)?;
    certificate.check_ca()?;
    anchor_from_trusted_cert(&CertificateDer::from(der)).map_err(|_| ProfileError::Malformed)?;
    Ok(())
}

/// Path building and signatures (RFC 5280 §6.1) by rustls-webpki, with our judgement of every path that it finds.
fn build<'a>(
    leaf: &'a [u8],
    intermediates: &[&'a [u8]],
    anchors: &[&'a [u8]],
    rules: &PathRules<'_>,
) -> Result<Vec<Certificate<'a>>, PathError> {
    let anchor_ders: Vec<CertificateDer<'a>> = anchors.iter().map(|der| CertificateDer::from(*der)).collect();
    let trusted = anchor_ders.iter().map(anchor_from_trusted_cert).collect::<Result<Vec<_>, _>>().map_err(translate)?;
    let leaf_der = CertificateDer::from(leaf);
    let end = EndEntityCert::try_from(&leaf_der).map_err(translate)?;
    let given: Vec<CertificateDer<'a>> = intermediates.iter().map(|der| CertificateDer::from(*der)).collect();
    // Whole seconds, as certificates count: not_after holds to the end of its second.
    let time = UnixTime::since_unix_epoch(Duration::from_secs(rules.at.millis() / 1000));

    // The last path that was found, or why the first was refused.
    let found: RefCell<Option<Vec<Certificate<'a>>>> = RefCell::new(None);
    let refusal: RefCell<Option<PathError>> = RefCell::new(None);
    let judge = |path: &VerifiedPath<'_>| {
        let position = |used: &CertificateDer<'_>| intermediates.iter().position(|given| *given == used.as_ref());
        let used: Option<Vec<usize>> = path.intermediate_certificates().map(|c| position(&c.der())).collect();
        let anchor = trusted.iter().position(|anchor| std::ptr::eq(anchor, path.anchor()));
        let (Some(used), Some(anchor)) = (used, anchor) else { return Err(Error::UnknownIssuer) };
        let chain = std::iter::once(leaf)
            .chain(used.iter().filter_map(|index| intermediates.get(*index).copied()))
            .chain(anchors.get(anchor).copied());
        match judge_path(chain, &used, rules) {
            Ok(certificates) => {
                *found.borrow_mut() = Some(certificates);
                Ok(())
            }
            Err(error) => {
                refusal.borrow_mut().get_or_insert(error);
                Err(Error::UnknownIssuer)
            }
        }
    };
    let verified = end.verify_for_usage(rules.algorithms, &trusted, &given, time, rules.purpose, None, Some(&judge));
    match verified {
        Ok(_) => found.take().ok_or(PathError::UnknownIssuer),
        // A path that the library would have taken says more than what it found next.
        Err(error) => Err(refusal.take().unwrap_or_else(|| translate(error))),
    }
}

/// The rules for a whole path, leaf first, that rustls-webpki leaves to us. `used` are the places of the
/// intermediates among those that were given.
fn judge_path<'a>(
    chain: impl Iterator<Item = &'a [u8]>,
    used: &[usize],
    rules: &PathRules<'_>,
) -> Result<Vec<Certificate<'a>>, PathError> {
    if rules.order == PathOrder::Strict && used.iter().enumerate().any(|(place, index)| place != *index) {
        return Err(PathError::Order);
    }
    if used.len() > rules.intermediates_max {
        return Err(PathError::Length);
    }
    let mut certificates = Vec::with_capacity(used.len() + 2);
    for (position, der) in chain.enumerate() {
        let profile = |source| PathError::Profile { position, source };
        let certificate = read(der, rules.algorithms).map_err(profile)?;
        if position > 0 {
            certificate.check_ca().map_err(profile)?;
        }
        certificates.push(certificate);
    }
    check_links(&certificates, rules.at)?;
    Ok(certificates)
}

/// What holds between neighbours of the path, leaf first.
pub(crate) fn check_links(chain: &[Certificate<'_>], at: Time) -> Result<(), PathError> {
    let second = at.millis() / 1000;
    for (position, certificate) in chain.iter().enumerate() {
        // The library does not look at the anchor's dates (RFC 5280 §6.1.1 (d)); an expired root vouches for nobody.
        if second > certificate.not_after().millis() / 1000 {
            return Err(PathError::Expired);
        }
        if second < certificate.not_before().millis() / 1000 {
            return Err(PathError::NotYetValid);
        }
        // RFC 5280 §4.2.1.9: CAs between this one and the leaf. The library does not look at the anchor's limit.
        let below = u32::try_from(position).unwrap_or(u32::MAX).saturating_sub(1);
        if position > 0 && certificate.path_length_max().is_some_and(|max| below > max) {
            return Err(PathError::PathLength { position });
        }
        // RFC 5280 §4.2.1.1: present in everything but self-signed certificates, and the issuer's.
        let named = certificate.authority_key_identifier();
        let expected = match chain.get(position + 1) {
            Some(issuer) => issuer.subject_key_identifier(),
            None if certificate.is_self_issued() && named.is_none() => None,
            None if certificate.is_self_issued() => certificate.subject_key_identifier(),
            // An anchor that somebody else certified.
            None => named,
        };
        let last = position + 1 == chain.len();
        if (named.is_none() && !(last && certificate.is_self_issued())) || named != expected {
            return Err(PathError::KeyIdentifier { position });
        }
    }
    Ok(())
}

/// The names of a subjectAltName; none if there is no such extension.
fn alternative_names<'c, 'a>(certificate: &'c Certificate<'a>) -> &'c [GeneralName<'a>] {
    let extension = certificate.x509().subject_alternative_name().ok().flatten();
    extension.map_or(&[], |extension| &extension.value.general_names)
}

/// Whether a CA may vouch for some names only (RFC 5280 §4.2.1.10).
pub(crate) fn has_name_constraints(certificate: &Certificate<'_>) -> bool {
    let mut extensions = certificate.x509().extensions().iter();
    extensions.any(|extension| matches!(extension.parsed_extension(), ParsedExtension::NameConstraints(_)))
}

fn translate(error: Error) -> PathError {
    match error {
        Error::UnknownIssuer => PathError::UnknownIssuer,
        Error::CertExpired { .. } => PathError::Expired,
        Error::CertNotValidYet { .. } => PathError::NotYetValid,
        Error::InvalidSignatureForPublicKey => PathError::Signature,
        Error::NameConstraintViolation => PathError::NameConstraint,
        Error::RequiredEkuNotFoundContext(_) => PathError::Usage,
        Error::UnsupportedSignatureAlgorithmContext(_) | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            PathError::Algorithm
        }
        other => PathError::Other(other.to_string()),
    }
}
