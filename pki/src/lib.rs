//! Certificates as those see them who check them: what one says, which paths count, what is revoked, whom to trust.
//! No private key is known here, and nothing is issued: that is the room `ca`.
//!
//! [`x509`] reads and describes single things: a certificate, a request, a CRL's neighbour the OCSP answer, names and
//! keys. [`trust`] judges them together: [`trust::path`] holds the one function that admits a certificate path,
//! [`trust::validation`] the RFC 5280 half of it; [`trust::revocation`] keeps what CRLs say; [`trust::store`] joins both
//! for live connections, from [`trust::files`]; [`trust::tls`] hangs them into rustls; [`trust::root_update`] says who
//! follows a root. [`pem`] reads all PEM there is.
//!
//! Nothing here reads a clock: "now" is an argument, so that a replay years later gives the same verdict.

pub mod limits;
pub mod pem;
pub mod trust;
pub mod x509;

pub use trust::{
    bundle::TrustBundle,
    continuation::{authority_facts, verify_continuation},
    diagnosis::path_fault,
    files::{TrustFile, TrustPart},
    participant::{
        ProvenRevocation, RevokedParticipant, claimed_organization, steady, verify_evidence, verify_participant,
        verify_revocation,
    },
    path::{Usage, VerifiedCertificate, verify_path},
    revocation::{RevocationPolicy, RevocationStore},
    store::TrustStore,
    validation::PathError,
};
pub use x509::{
    described::DescribedAuthority,
    identifiers::{AlternativeName, CertificateId, KeyId, RevocationReason, Serial},
    leaf::LeafClaims,
    profile::AuthorityScope,
    public_key::{KeyAlgorithm, PublicKey},
    request::CertificateRequest,
};
