//! `participant.admit` from a profile's certificate: binds an address to the certificate's identity on a channel.

use crate::certificate::{Credential, CredentialError, SignError};
use ledger_classes::action::Action;
use ledger_classes::action::channel::Admit;
use ledger_classes::keys::Address;
use ledger_classes::limits::{CERTIFICATE_BYTES_MAX, CERTIFICATE_PATH_MAX};
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::state::participant::possession_message;

/// Why no admission can be made of a credential.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// The certificate path does not parse.
    #[error("the certificate path is damaged")]
    Path(#[source] CredentialError),
    /// The path is longer or larger than a transaction may carry.
    #[error("a path has at most {CERTIFICATE_PATH_MAX} certificates of {CERTIFICATE_BYTES_MAX} bytes")]
    Oversize,
    /// The key does not sign.
    #[error("no proof of possession")]
    Possession(#[source] SignError),
}

/// The action that binds `address` to the credential's identity on `channel`. Anybody may post it; the certificate's
/// key says that its holder wants it, on this channel and for this address only.
pub fn admission(credential: &Credential, channel: Hash, address: Address) -> Result<Action, AdmitError> {
    let path = credential.path_without_root().map_err(AdmitError::Path)?;
    if path.len() > CERTIFICATE_PATH_MAX || path.iter().any(|der| der.len() > CERTIFICATE_BYTES_MAX) {
        return Err(AdmitError::Oversize);
    }
    let possession = credential.sign(&possession_message(&channel, &address)).map_err(AdmitError::Possession)?;
    let path = path.into_iter().map(|der| HexBytes(der.to_vec())).collect();
    Ok(Action::ParticipantAdmit(Admit { address, path, possession }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ledger_classes::keys::{PublicKey, Scheme, verify};
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData as _, SanType};

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    /// PEM of leaf, issuing CA and root, and the leaf's key.
    fn path(algorithm: &'static rcgen::SignatureAlgorithm) -> (String, KeyPair) {
        let authority = |name| {
            let mut params = params(name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            (params, KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap())
        };
        let ((root, root_key), (issuing, issuing_key)) = (authority("root"), authority("issuing"));
        let root_pem = root.self_signed(&root_key).unwrap().pem();
        let root = Issuer::new(root, root_key);
        let issuing_pem = issuing.signed_by(&issuing_key, &root).unwrap().pem();
        let issuing = Issuer::new(issuing, issuing_key);
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut leaf = params("leaf");
        leaf.subject_alt_names = vec![SanType::URI("spiffe://harbour/bank/client/alice".try_into().unwrap())];
        leaf.serial_number = Some(vec![0x91, 2, 3].into());
        let leaf_pem = leaf.signed_by(&key, &issuing).unwrap().pem();
        (format!("{leaf_pem}{issuing_pem}{root_pem}"), key)
    }

    #[test]
    fn both_kinds_of_certificate_keys_prove_possession_in_the_ledgers_form() {
        for (algorithm, scheme) in
            [(&rcgen::PKCS_ED25519, Scheme::Ed25519), (&rcgen::PKCS_ECDSA_P256_SHA256, Scheme::EcdsaP256)]
        {
            let (pem, key) = path(algorithm);
            let credential = Credential::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
            assert_eq!(credential.leaf().serial, [0x91, 2, 3]);
            let (channel, address) = (Hash([3; 32]), Address([4; 20]));
            let Action::ParticipantAdmit(admit) = admission(&credential, channel, address).unwrap() else {
                panic!("another action");
            };
            assert_eq!(admit.path.len(), 2, "leaf and issuing CA, without the root");
            let public = PublicKey::new(scheme, key.der_bytes()).unwrap();
            assert!(verify(&public, &possession_message(&channel, &address), &admit.possession));
            assert!(!verify(&public, &possession_message(&Hash([5; 32]), &address), &admit.possession));
        }
    }

    #[test]
    fn keys_that_the_ledger_does_not_take_are_refused() {
        let (pem, key) = path(&rcgen::PKCS_ECDSA_P384_SHA384);
        let error = Credential::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap_err();
        assert!(matches!(error, CredentialError::KeyKind), "{error}");
    }
}
