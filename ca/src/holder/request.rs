//! The request by which a holder asks for a certificate.

use crate::keys::pair::KeyPair;
use ledger_classes::primitives::identity::Identity;
use pki::pem;

/// The label of a request in PEM (RFC 7468 §7).
const PEM_LABEL: &str = "CERTIFICATE REQUEST";

/// A request for `identity`, signed by `key`: the least that a CA of ours needs.
pub fn make_request(key: &KeyPair, identity: &Identity) -> Result<String, rcgen::Error> {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.subject_alt_names = vec![rcgen::SanType::URI(identity.to_string().try_into()?)];
    Ok(pem::write(PEM_LABEL, params.serialize_request(key)?.der()))
}
