//! What certificates and CRLs may use under RFC 5280 that our profile leaves out by rule (docs/conformance.md).
//! Nothing is admitted or refused by this: it names the rule by which something was refused, for the suites that
//! tell "refused" from "not supported".

use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, NameConstraints, ParsedExtension},
    oid_registry::{
        OID_X509_EXT_DELTA_CRL_INDICATOR, OID_X509_EXT_INHIBIT_ANY_POLICY, OID_X509_EXT_ISSUER_DISTRIBUTION_POINT,
        OID_X509_EXT_POLICY_CONSTRAINTS,
    },
    prelude::FromDer as _,
    revocation_list::CertificateRevocationList,
};

/// A feature of RFC 5280 that our profile does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsupported {
    /// Keys and signatures of RSA, with SHA-2.
    Rsa,
    /// Sound algorithms of no use here: P-521, SHA-512 under ECDSA, Ed448, ML-DSA.
    OtherAlgorithm,
    /// Critical policies, policy constraints, inhibited policies.
    Policies,
    /// Name constraints on directory names, mail addresses and URIs.
    ConstraintKind,
    /// A CA that certified itself anew: it counts towards path lengths and name constraints here.
    SelfIssued,
    /// A CA at the end of the path.
    AuthorityAtEnd,
    /// Delta, partitioned and indirect CRLs.
    PartialCrl,
}

impl Unsupported {
    /// The rule by which such things are refused.
    pub(super) const fn rule(self) -> &'static str {
        match self {
            Self::Rsa => "RSA is not in our profile",
            Self::OtherAlgorithm => "the algorithm is not in our profile",
            Self::Policies => "certificate policies are not processed; critical ones are refused",
            Self::ConstraintKind => "a CA that is constrained in directory names, mail addresses or URIs is refused",
            Self::SelfIssued => "a self-issued CA counts like any other towards path length and name constraints",
            Self::AuthorityAtEnd => "a CA certificate is not accepted at the end of a path",
            Self::PartialCrl => "delta, partitioned and indirect CRLs are refused",
        }
    }
}

/// Which of them a certificate uses. Bytes that are no certificate use none.
pub(super) fn of_certificate(der: &[u8]) -> Vec<Unsupported> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Vec::new() };
    let algorithms = [
        certificate.signature_algorithm.algorithm.to_id_string(),
        certificate.public_key().algorithm.algorithm.to_id_string(),
        certificate
            .public_key()
            .algorithm
            .parameters
            .as_ref()
            .and_then(|parameters| parameters.as_oid().ok().map(|curve| curve.to_id_string()))
            .unwrap_or_default(),
    ];
    let any = |known: &[&str]| algorithms.iter().any(|algorithm| known.contains(&algorithm.as_str()));
    let mut found = Vec::new();
    // MD5, SHA-1, DSA and P-192 are no features that one could support.
    let weak = ["1.2.840.113549.1.1.4", "1.2.840.113549.1.1.5", "1.2.840.10040.4.1", "1.2.840.10045.3.1.1"];
    if !any(&weak) && !any(&["1.2.840.10040.4.3", "2.16.840.1.101.3.4.3.2"]) {
        let rsa = ["1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10", "1.2.840.113549.1.1.11", "1.2.840.113549.1.1.12"];
        if any(&rsa) || any(&["1.2.840.113549.1.1.13"]) {
            found.push(Unsupported::Rsa);
        }
        let other = ["1.3.132.0.35", "1.2.840.10045.4.3.4", "1.3.101.113"];
        let ml_dsa = ["2.16.840.1.101.3.4.3.17", "2.16.840.1.101.3.4.3.18", "2.16.840.1.101.3.4.3.19"];
        if any(&other) || any(&ml_dsa) {
            found.push(Unsupported::OtherAlgorithm);
        }
    }
    for extension in certificate.extensions() {
        let policies = [OID_X509_EXT_POLICY_CONSTRAINTS, OID_X509_EXT_INHIBIT_ANY_POLICY].contains(&extension.oid);
        match extension.parsed_extension() {
            ParsedExtension::CertificatePolicies(_) | ParsedExtension::PolicyMappings(_) if extension.critical => {
                found.push(Unsupported::Policies);
            }
            _ if policies && extension.critical => found.push(Unsupported::Policies),
            ParsedExtension::NameConstraints(constraints) if constrains_other_kinds(constraints) => {
                found.push(Unsupported::ConstraintKind);
            }
            ParsedExtension::BasicConstraints(constraints) if constraints.ca => {
                found.push(Unsupported::AuthorityAtEnd);
                if certificate.subject().as_raw() == certificate.issuer().as_raw() {
                    found.push(Unsupported::SelfIssued);
                }
            }
            _ => {}
        }
    }
    found
}

/// Whether a CRL is a delta or a part of a list.
pub(super) fn is_partial_crl(der: &[u8]) -> bool {
    let Ok((_, list)) = CertificateRevocationList::from_der(der) else { return false };
    let partial = [OID_X509_EXT_DELTA_CRL_INDICATOR, OID_X509_EXT_ISSUER_DISTRIBUTION_POINT];
    list.extensions().iter().any(|extension| partial.contains(&extension.oid))
}

fn constrains_other_kinds(constraints: &NameConstraints<'_>) -> bool {
    let mut bases = constraints.permitted_subtrees.iter().chain(&constraints.excluded_subtrees).flatten();
    bases.any(|subtree| {
        matches!(subtree.base, GeneralName::DirectoryName(_) | GeneralName::RFC822Name(_) | GeneralName::URI(_))
    })
}
