//! The certificate authority of a consortium: issuing, path verification, revocation and the TLS that rests on them.
//!
//! Rooms: [`authority`] signs, and nothing else can use a CA key (a [`signer`]); [`path`] holds the one function that
//! admits a certificate path, [`validation`] the RFC 5280 half of it; [`revocation`] keeps what CRLs say, [`ocsp`] signs
//! and checks single answers; [`trust`] joins the two for live connections, from [`trust_files`]; [`tls`] hangs them into
//! rustls; [`request`] reads certificate requests, [`registration`] queues and decides them, [`renewal`] continues an
//! identity, [`reissue`] a CA and [`continuation`] its place on channels, [`replacement`] its key; [`lost`] puts out what
//! the index has lost; [`rollover`] replaces a root, and [`root_update`] says who follows; [`pem`] reads all PEM there is;
//! [`database`] and [`folder`] are the administrator's directory on disk, [`acts`] what was done there, by whom and why.
//!
//! Nothing here reads a clock: "now" is an argument, so that a replay years later gives the same verdict.

pub mod acts;
pub mod algorithms;
pub mod authority;
mod certificate;
pub mod certs_only;
pub mod continuation;
pub mod credentials;
pub mod database;
pub mod described;
pub mod encrypted;
pub mod enrolment;
mod event;
pub mod evidence;
pub mod exchange;
mod faults;
pub mod features;
pub mod folder;
pub mod forecast;
pub mod holder;
pub mod identifiers;
mod key_compromise;
pub mod keyring;
pub mod keys;
mod known;
pub mod leaf;
pub mod limits;
pub mod lost;
mod names;
pub mod ocsp;
pub mod participant;
pub mod passphrase;
pub mod path;
pub mod pem;
pub mod pkcs11;
pub mod profile;
mod publication;
mod record;
pub mod registration;
pub mod reissue;
pub mod renewal;
pub mod replacement;
pub mod request;
pub mod revocation;
pub mod rollover;
pub mod root_update;
pub mod signer;
pub mod tls;
pub mod trust;
pub mod trust_files;
pub mod validation;

pub use acts::Cause;
pub use authority::{Authority, LeafRequest, RevokedSerial, Validity};
pub use continuation::{authority_facts, verify_continuation};
pub use credentials::Credentials;
pub use described::DescribedAuthority;
pub use enrolment::{CertificateRequestRecord, EnrolmentToken, RequestId, RequestStatus, Requester, Terms, TokenId};
pub use folder::CertificateFolder;
pub use identifiers::{AlternativeName, CertificateId, KeyId, RevocationReason, Serial};
pub use key_compromise::Revoked;
pub use keyring::{KeyPlace, Keyring};
pub use keys::{KeyAlgorithm, KeyPair, PublicKey};
pub use leaf::LeafClaims;
pub use participant::{
    ProvenRevocation, RevokedParticipant, claimed_organization, steady, verify_evidence, verify_participant,
    verify_revocation,
};
pub use passphrase::PassphraseSource;
pub use path::{PathError, Usage, VerifiedCertificate, verify_path};
pub use profile::AuthorityScope;
pub use registration::{Register, Registration, RegistrationError};
pub use renewal::{Possession, RenewalError};
pub use replacement::{CompromisedAuthority, Succession, Successor};
pub use request::CertificateRequest;
pub use revocation::{RevocationPolicy, RevocationStore};
pub use signer::Signer;
pub use trust::TrustStore;
pub use trust_files::{TrustFile, TrustPart};
