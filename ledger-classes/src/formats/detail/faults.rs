//! What is wrong with keys and certificates: closed enumerations, so that no library's words reach a receipt.

use super::{Argument, Value, numbered};
use crate::keys::WeakKeyError;
use crate::primitives::codec::{Decode, Encode};
use std::fmt;

numbered! {
    /// Why a key may not be registered.
    KeyFault {
        NotOnCurve = 1, "not-on-curve", "not a point of the curve";
        NonCanonical = 2, "non-canonical", "not the canonical encoding of its point";
        SmallOrder = 3, "small-order", "a point of small order";
        Torsion = 4, "torsion", "a point outside the prime-order group";
    }
}

impl From<WeakKeyError> for KeyFault {
    fn from(error: WeakKeyError) -> Self {
        match error {
            WeakKeyError::NotOnCurve => Self::NotOnCurve,
            WeakKeyError::NonCanonical => Self::NonCanonical,
            WeakKeyError::SmallOrder => Self::SmallOrder,
            WeakKeyError::Torsion => Self::Torsion,
        }
    }
}

numbered! {
    /// What [`crate::state::participant::CertificatePaths`] refuses with. 1 to 49 the path, 50 to 99 a certificate's
    /// profile, 100 to 119 an OCSP answer, 120 to 139 what a CA's key says, 140 to 159 what the channel says, 160 on
    /// the rules themselves.
    PathFault {
        Empty = 1, "empty", "the certificate path is empty";
        Length = 2, "length", "the path has too many certificates";
        UnknownIssuer = 3, "unknown-issuer", "the path leads to no accepted CA";
        Anchor = 4, "anchor", "the path leads only to a CA that is not acceptable";
        Algorithm = 5, "algorithm", "a signature of the path is of a kind that is not accepted";
        Signature = 6, "signature", "a signature of the path is wrong";
        Expired = 7, "expired", "a certificate of the path has expired";
        NotYetValid = 8, "not-yet-valid", "a certificate of the path is not yet valid";
        PathLength = 9, "path-length", "the path is longer than this CA allows";
        KeyIdentifier = 10, "key-identifier", "it names another key of its issuer";
        Order = 11, "order", "the path is not in order";
        NameConstraint = 12, "name-constraint", "a CA of the path may not vouch for this name";
        NotAcceptable = 13, "not-acceptable", "the path is not acceptable";
        Consortium = 14, "consortium", "it is of another consortium";
        Organization = 15, "organization", "it is of another organization";
        Link = 16, "link", "a root that another one certified is no part of a path";
        Usage = 17, "usage", "the certificate is not for this use";
        Revocation = 18, "revocation", "what CRLs say of it";
        Oversize = 50, "oversize", "a certificate is too large";
        Malformed = 51, "malformed", "not a DER certificate";
        Version = 52, "version", "not an X.509 version 3 certificate";
        Serial = 53, "serial", "the serial number is not acceptable";
        AlgorithmMismatch = 54, "algorithm-mismatch", "the two signature algorithm fields differ";
        SignatureAlgorithm = 55, "signature-algorithm", "the signature algorithm is not accepted";
        EmptyName = 56, "empty-name", "issuer or CA subject is empty";
        Date = 57, "date", "a validity date is not encoded as RFC 5280 wants it";
        UniqueIdentifier = 58, "unique-identifier", "issuer or subject unique identifiers are present";
        RepeatedExtension = 59, "repeated-extension", "an extension is repeated";
        MalformedExtension = 60, "malformed-extension", "an extension is malformed";
        CriticalExtension = 61, "critical-extension", "a critical extension is not known here";
        AuthorityKeyIdentifier = 62, "authority-key-identifier", "the authority key identifier is incomplete";
        MalformedName = 63, "malformed-name", "an alternative name is malformed";
        NameConstraints = 64, "name-constraints", "name constraints are a CA's, critical and well-formed";
        PolicyConstraints = 65, "policy-constraints", "policy constraints are a CA's and critical";
        Policies = 66, "policies", "certificate policies are critical, and not processed here";
        LeafKey = 67, "leaf-key", "a leaf's key is ed25519 or p256";
        LeafIsAuthority = 68, "leaf-is-authority", "a CA certificate stands where a leaf belongs";
        NotAuthority = 69, "not-authority", "a certificate of the path is not a CA's";
        LeafKeyUsage = 70, "leaf-key-usage", "a leaf's key usage is critical, with digitalSignature and without keyCertSign and cRLSign";
        AuthorityKeyUsage = 71, "authority-key-usage", "a CA's key usage has keyCertSign";
        ExtendedKeyUsage = 72, "extended-key-usage", "a leaf's extended key usage is clientAuth, and serverAuth for a peer";
        NoAlternativeName = 73, "no-alternative-name", "the subject alternative name is missing";
        UriCount = 74, "uri-count", "a certificate has exactly one URI";
        ForeignName = 75, "foreign-name", "an alternative name is not allowed here";
        Identity = 76, "identity", "the URI is not an identity: spiffe://<consortium>/<organization>/<role>/<name>";
        AuthorityUri = 77, "authority-uri", "a CA's URI reads spiffe://<consortium>";
        AuthorityOrganization = 78, "authority-organization", "a CA's subject has at most one organization, 1 to 64 of a-z, 0-9 and hyphen";
        NoSubjectKeyIdentifier = 79, "no-subject-key-identifier", "a CA has a subject key identifier";
        AnswerMalformed = 100, "answer-malformed", "the OCSP answer is not one DER structure of RFC 6960";
        AnswerUnsupported = 101, "answer-unsupported", "the OCSP answer says nothing that counts";
        AnswerSerial = 102, "answer-serial", "the serial number in the OCSP answer is not acceptable";
        AnswerIssuer = 103, "answer-issuer", "the OCSP answer's issuer is not acceptable";
        AnswerOtherIssuer = 104, "answer-other-issuer", "the OCSP answer is not about one certificate of this CA";
        AnswerSignature = 105, "answer-signature", "the OCSP answer's signature is wrong";
        AnswerGood = 106, "answer-good", "the OCSP answer says that the certificate is good";
        NoListedKey = 120, "no-listed-key", "no listed CA certificate has this key";
        SaysOther = 121, "says-other", "the certificate says more or less than the listed one with its key";
        Proof = 122, "proof", "the CA's key did not sign what it should have";
        NoAuthority = 123, "no-authority", "this is no CA certificate of our profile";
        NoMember = 140, "no-member", "the organization is not a member of this channel";
        NoMembersKey = 141, "no-members-key", "no member has a CA of this key here";
        NotListed = 142, "not-listed", "no such CA certificate is listed";
        NotValidNow = 143, "not-valid-now", "the certificate is not valid at block time";
        SameKey = 144, "same-key", "it has the key that others have";
        KeySpent = 145, "key-spent", "its key took a place here before, or was struck: list another one";
        NotOfThatOrganization = 146, "not-of-that-organization", "it is no CA of the organization whose CA ends";
        NumberTaken = 147, "number-taken", "its CA has issued another certificate under this number";
        NoIdentity = 148, "no-identity", "the path's leaf is no certificate of an identity";
        KeyDidNotSign = 149, "key-did-not-sign", "the certificate's key did not sign channel and address";
        NoCertificates = 160, "no-certificates", "this build accepts no certificates";
    }
}

/// What a question about certificates is refused with: why, and of which certificate of the path, where that can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PathRefusal {
    /// Why.
    pub fault: PathFault,
    /// Which certificate: 0 is the first of the path, the leaf if it has one.
    pub certificate: Option<u8>,
}

impl PathRefusal {
    /// Of a certificate of the path.
    pub fn at(fault: PathFault, position: usize) -> Self {
        Self { fault, certificate: u8::try_from(position).ok() }
    }
}

impl From<PathFault> for PathRefusal {
    fn from(fault: PathFault) -> Self {
        Self { fault, certificate: None }
    }
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

impl fmt::Display for PathRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.certificate {
            Some(position) => write!(f, "certificate {position} of the path: {}", self.fault),
            None => self.fault.fmt(f),
        }
    }
}

impl Argument for PathRefusal {
    const KIND: &'static str = "PathRefusal";
    const CLOSED: bool = true;

    fn value(&self) -> Value {
        self.fault.value()
    }

    fn put(&self, name: &'static str, out: &mut Vec<(&'static str, Value)>) {
        out.push((name, self.value()));
        if let Some(position) = self.certificate {
            out.push(("certificate", Value::Number(position.into())));
        }
    }

    #[cfg(test)]
    fn example() -> Self {
        Self { fault: PathFault::example(), certificate: Some(u8::MAX) }
    }
}
