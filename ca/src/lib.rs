//! The certificate authority of a consortium: keys, issuing, registration, revocation, and the folder of it all.
//! What certificates say, and who believes them, is the room `pki`.
//!
//! [`keys`] makes and opens private keys, in files and in tokens. [`authority`] signs as a CA, and nothing else can.
//! [`office`] is the administrator's directory: [`office::folder`] opens it, [`office::records`] is what is to be read
//! there, and each service changes it by rules of its own: [`office::registration`] queues and decides requests,
//! [`office::issuing`] signs leaves, [`office::renewal`] continues an identity, [`office::reissue`] a CA and
//! [`office::authority_renewal`] its place on channels, [`office::replacement`] its key; [`office::revocation`] puts out;
//! [`office::rollover`] replaces a root; [`office::publication`] signs CRLs and answers; [`office::audit_trail`] says by
//! whom and why. [`holder`] is the folder of somebody who has a certificate.
//!
//! Nothing here reads a clock: "now" is an argument.

pub mod authority;
pub mod holder;
pub mod keys;
pub mod limits;
pub mod office;

pub use authority::{Authority, LeafRequest, RevokedSerial, Validity};
pub use holder::credentials::Credentials;
pub use keys::{
    keyring::{KeyPlace, Keyring},
    pair::KeyPair,
    passphrase::PassphraseSource,
    signer::Signer,
};
pub use office::{
    cause::Cause,
    enrolment::{CertificateRequestRecord, EnrolmentToken, RequestId, RequestStatus, Requester, Terms, TokenId},
    error::FolderError,
    filed::FiledRequest,
    folder::CertificateFolder,
    key_compromise::Revoked,
    records::Records,
    registration::RegistrationError,
    renewal::{Possession, RenewalError},
    replacement::{CompromisedAuthority, Succession, Successor},
};
