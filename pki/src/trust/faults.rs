//! What the ledger is told when certificates are refused: numbers of its own, never words. Which number a refusal has is
//! part of the path rules' version, as its verdict is.

use crate::{
    trust::{continuation::ContinuationError, participant::EvidenceError, validation::PathError},
    x509::{certificate::ProfileError, ocsp::OcspError},
};
use ledger_classes::formats::detail::{PathFault, PathRefusal};

impl From<&ProfileError> for PathFault {
    fn from(error: &ProfileError) -> Self {
        use ProfileError as E;
        match error {
            E::Oversize => Self::Oversize,
            E::Malformed => Self::Malformed,
            E::Version => Self::Version,
            E::Serial(_) => Self::Serial,
            E::AlgorithmMismatch => Self::AlgorithmMismatch,
            E::SignatureAlgorithm => Self::SignatureAlgorithm,
            E::EmptyName => Self::EmptyName,
            E::Date => Self::Date,
            E::UniqueIdentifier => Self::UniqueIdentifier,
            E::RepeatedExtension => Self::RepeatedExtension,
            E::MalformedExtension => Self::MalformedExtension,
            E::CriticalExtension => Self::CriticalExtension,
            E::AuthorityKeyIdentifier => Self::AuthorityKeyIdentifier,
            E::MalformedName => Self::MalformedName,
            E::NameConstraints => Self::NameConstraints,
            E::PolicyConstraints => Self::PolicyConstraints,
            E::Policies => Self::Policies,
            E::LeafKey => Self::LeafKey,
            E::LeafIsAuthority => Self::LeafIsAuthority,
            E::NotAuthority => Self::NotAuthority,
            E::LeafKeyUsage => Self::LeafKeyUsage,
            E::AuthorityKeyUsage => Self::AuthorityKeyUsage,
            E::ExtendedKeyUsage => Self::ExtendedKeyUsage,
            E::NoAlternativeName => Self::NoAlternativeName,
            E::UriCount(_) => Self::UriCount,
            E::ForeignName => Self::ForeignName,
            E::Identity(_) => Self::Identity,
            E::AuthorityUri => Self::AuthorityUri,
            E::AuthorityOrganization => Self::AuthorityOrganization,
            E::NoSubjectKeyIdentifier => Self::NoSubjectKeyIdentifier,
        }
    }
}

impl From<&PathError> for PathRefusal {
    fn from(error: &PathError) -> Self {
        use PathError as E;
        let fault = match error {
            E::Profile { position, source } => return Self::at(source.into(), *position),
            E::PathLength { position } => return Self::at(PathFault::PathLength, *position),
            E::KeyIdentifier { position } => return Self::at(PathFault::KeyIdentifier, *position),
            E::Revocation { position, .. } => return Self::at(PathFault::Revocation, *position),
            E::Empty => PathFault::Empty,
            E::Length => PathFault::Length,
            E::UnknownIssuer => PathFault::UnknownIssuer,
            E::Anchor(_) => PathFault::Anchor,
            E::Algorithm => PathFault::Algorithm,
            E::Signature => PathFault::Signature,
            E::Expired => PathFault::Expired,
            E::NotYetValid => PathFault::NotYetValid,
            E::Order => PathFault::Order,
            E::NameConstraint => PathFault::NameConstraint,
            E::Other(_) => PathFault::NotAcceptable,
            E::Consortium => PathFault::Consortium,
            E::Organization => PathFault::Organization,
            E::Link => PathFault::Link,
            E::Usage | E::NotPeer => PathFault::Usage,
        };
        fault.into()
    }
}

impl From<&OcspError> for PathFault {
    fn from(error: &OcspError) -> Self {
        match error {
            OcspError::Malformed => Self::AnswerMalformed,
            OcspError::Unsupported => Self::AnswerUnsupported,
            OcspError::Serial(_) => Self::AnswerSerial,
            OcspError::Issuer(_) => Self::AnswerIssuer,
            OcspError::OtherIssuer => Self::AnswerOtherIssuer,
            OcspError::Signature => Self::AnswerSignature,
        }
    }
}

impl From<&EvidenceError> for PathRefusal {
    fn from(error: &EvidenceError) -> Self {
        match error {
            EvidenceError::Path(error) => error.into(),
            EvidenceError::Answer(error) => PathFault::from(error).into(),
            EvidenceError::Good => PathFault::AnswerGood.into(),
        }
    }
}

impl From<&ContinuationError> for PathRefusal {
    fn from(error: &ContinuationError) -> Self {
        let fault = match error {
            ContinuationError::Profile(error) => error.into(),
            ContinuationError::Unknown => PathFault::NoListedKey,
            ContinuationError::Different => PathFault::SaysOther,
            ContinuationError::Proof => PathFault::Proof,
        };
        fault.into()
    }
}
