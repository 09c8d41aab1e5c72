//! Certificate requests (PKCS#10, RFC 2986): bytes from outside become a [`CertificateRequest`] or an error, in one
//! step. What comes out is a key that its holder has proven to possess, and the name that was asked for.
//!
//! Everything else that a request asks for (CA rights, key usages, host names, a subject) is not even read: a
//! certificate is made from the profile and from what an administrator decides.

use crate::{
    identifiers::sha256,
    keys::{KeyAlgorithm, PublicKey},
    limits::{REQUEST_BYTES_MAX, REQUEST_TEXT_BYTES_MAX},
    pem::{self, PemError},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ledger_classes::{
    identity::{Identity, ParseIdentityError},
    keys::{PublicKey as LedgerKey, Scheme, WeakKeyError},
};
use x509_parser::{
    certification_request::X509CertificationRequest,
    extensions::{GeneralName, ParsedExtension},
    oid_registry::{OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ED25519},
    prelude::FromDer as _,
    x509::X509Version,
};

/// The label of a request in PEM (RFC 7468 §7).
const PEM_LABEL: &str = "CERTIFICATE REQUEST";

/// Why bytes are not a request that can be considered.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum RequestError {
    /// Larger than [`REQUEST_BYTES_MAX`].
    #[error("a certificate request has at most {REQUEST_BYTES_MAX} bytes")]
    Oversize,
    /// Neither DER, nor PEM, nor base64 of DER; or bytes follow it.
    #[error("not a PKCS#10 certificate request")]
    Malformed,
    /// PEM that is not one request.
    #[error("a certificate request in PEM")]
    Pem(#[from] PemError),
    /// Neither Ed25519 nor P-256 in its one form.
    #[error("a request's key is ed25519 or p256 (uncompressed, named curve)")]
    Key,
    /// A key that must not be registered.
    #[error("the key is weak")]
    WeakKey(#[source] WeakKeyError),
    /// Signed with an algorithm that is not the key's.
    #[error("a request is signed with Ed25519, or ECDSA with SHA-256")]
    SignatureAlgorithm,
    /// RFC 2986 §4.2: the signature is not the key's.
    #[error("the request is not signed by its key: possession is not proven")]
    Possession,
    /// More than one URI.
    #[error("a request has at most one URI")]
    Uris,
    /// A URI that is no identity of ours.
    #[error("the URI is not an identity")]
    Identity(#[source] ParseIdentityError),
}

/// A request whose sender possesses its key: only [`CertificateRequest::parse`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    public_key: PublicKey,
    identity: Option<Identity>,
    der: Vec<u8>,
}

impl CertificateRequest {
    /// Parses DER, PEM, or base64 of DER (RFC 7030 §4.2.1), and checks the proof of possession.
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        if bytes.len() > REQUEST_TEXT_BYTES_MAX {
            return Err(RequestError::Oversize);
        }
        let der = if bytes.first() == Some(&0x30) { bytes.to_vec() } else { from_text(bytes)? };
        if der.len() > REQUEST_BYTES_MAX {
            return Err(RequestError::Oversize);
        }
        let (public_key, identity) = read(&der)?;
        Ok(Self { public_key, identity, der })
    }

    /// The key that its sender possesses.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The identity that is asked for. A wish, not a fact.
    pub const fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// As it was signed.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the request.
    pub fn fingerprint(&self) -> [u8; 32] {
        sha256(&self.der)
    }
}

fn from_text(bytes: &[u8]) -> Result<Vec<u8>, RequestError> {
    let text = std::str::from_utf8(bytes).map_err(|_| RequestError::Malformed)?;
    if text.contains("-----BEGIN") {
        return Ok(pem::read_one(bytes, pem::REQUEST)?.to_vec());
    }
    let compact: String = text.split_ascii_whitespace().collect();
    let der = STANDARD.decode(compact).map_err(|_| RequestError::Malformed)?;
    if der.is_empty() { Err(RequestError::Malformed) } else { Ok(der) }
}

fn read(der: &[u8]) -> Result<(PublicKey, Option<Identity>), RequestError> {
    let Ok(([], request)) = X509CertificationRequest::from_der(der) else { return Err(RequestError::Malformed) };
    let info = &request.certification_request_info;
    // RFC 2986 §4.1: version 1 is written as 0.
    if info.version != X509Version::V1 {
        return Err(RequestError::Malformed);
    }
    let public_key = PublicKey::from_spki(info.subject_pki.raw).map_err(|_| RequestError::Key)?;
    check_strength(&public_key)?;
    let algorithm = &request.signature_algorithm;
    // RFC 8410 §3 and RFC 5758 §3.2: no parameters.
    let expected = match public_key.algorithm() {
        KeyAlgorithm::Ed25519 => OID_SIG_ED25519,
        KeyAlgorithm::P256 => OID_SIG_ECDSA_WITH_SHA256,
    };
    if algorithm.algorithm != expected || algorithm.parameters.is_some() {
        return Err(RequestError::SignatureAlgorithm);
    }
    let signature = &request.signature_value;
    if signature.unused_bits != 0 || !public_key.verifies(info.raw, &signature.data) {
        return Err(RequestError::Possession);
    }
    let mut uris = Vec::new();
    for extension in request.requested_extensions().into_iter().flatten() {
        if let ParsedExtension::SubjectAlternativeName(names) = extension {
            uris.extend(names.general_names.iter().filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            }));
        }
    }
    let identity = match uris[..] {
        [] => None,
        [uri] => Some(Identity::parse(uri).map_err(RequestError::Identity)?),
        _ => return Err(RequestError::Uris),
    };
    Ok((public_key, identity))
}

/// What the ledger would not register is not certified either: points of small order, second encodings.
fn check_strength(key: &PublicKey) -> Result<(), RequestError> {
    let scheme = Scheme::from_byte(key.algorithm().scheme()).ok_or(RequestError::Key)?;
    let bytes = match key.algorithm() {
        KeyAlgorithm::Ed25519 => LedgerKey::new(scheme, key.as_bytes()),
        KeyAlgorithm::P256 => LedgerKey::p256_from_sec1(key.as_bytes()),
    };
    bytes.map_err(|_| RequestError::Key)?.check_registrable().map_err(RequestError::WeakKey)
}

/// A request for `identity`, signed by `key`: the least that a CA of ours needs.
pub fn make_request(key: &crate::keys::KeyPair, identity: &Identity) -> Result<String, rcgen::Error> {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.subject_alt_names = vec![rcgen::SanType::URI(identity.to_string().try_into()?)];
    Ok(pem::write(PEM_LABEL, params.serialize_request(key)?.der()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::keys::KeyPair;
    use crate::pem::PemReason;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyUsagePurpose, SanType};

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    fn signed(key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        change(&mut params);
        params.serialize_request(key).unwrap().der().to_vec()
    }

    #[test]
    fn key_and_name_are_read_in_every_form_and_nothing_else() {
        for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::P256] {
            let key = KeyPair::generate(algorithm).unwrap();
            let der = signed(&key, |params| {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
                let host = SanType::DnsName("root.example".try_into().unwrap());
                params.subject_alt_names = vec![uri("spiffe://c/north/client/a"), host];
            });
            let base64 = STANDARD.encode(&der);
            for form in [der.clone(), pem::write(PEM_LABEL, &der).into_bytes(), base64.into_bytes()] {
                let request = CertificateRequest::parse(&form).unwrap();
                assert_eq!(request.public_key(), key.public());
                assert_eq!(request.identity().unwrap().to_string(), "spiffe://c/north/client/a");
                assert_eq!(request.der(), der);
            }
        }
        let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
        let identity = Identity::parse("spiffe://c/north/peer/p").unwrap();
        let made = make_request(&key, &identity).unwrap();
        assert_eq!(CertificateRequest::parse(made.as_bytes()).unwrap().identity(), Some(&identity));
        assert_eq!(CertificateRequest::parse(&signed(&key, |_| {})).unwrap().identity(), None);
    }

    #[test]
    fn hostile_requests_are_refused_by_name() {
        let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
        let good = signed(&key, |params| params.subject_alt_names = vec![uri("spiffe://c/north/client/a")]);
        // Somebody else's key in a request that one has signed oneself.
        let stolen = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
        let position = good.windows(32).position(|window| window == key.public().as_bytes()).unwrap();
        let mut forged = good.clone();
        forged[position..position + 32].copy_from_slice(stolen.public().as_bytes());
        // Under the neutral element as key, many signatures verify.
        let mut small = good.clone();
        small[position..position + 32].copy_from_slice(&[&[1][..], &[0; 31]].concat());
        let mut renamed = good.clone();
        let name = renamed.windows(5).position(|window| window == b"north").unwrap();
        renamed[name..name + 5].copy_from_slice(b"south");
        let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let p384 = CertificateParams::default().serialize_request(&p384).unwrap().der().to_vec();
        let uris = |uris: &[&str]| {
            let uris = uris.iter().map(|text| uri(text)).collect();
            signed(&key, |params| params.subject_alt_names = uris)
        };
        let trailing = [&good[..], &[0]].concat();
        for (bytes, expected) in [
            (forged, RequestError::Possession),
            (renamed, RequestError::Possession),
            (small, RequestError::WeakKey(WeakKeyError::SmallOrder)),
            (p384, RequestError::Key),
            (uris(&["spiffe://c/north/client/a", "spiffe://c/north/client/b"]), RequestError::Uris),
            (trailing, RequestError::Malformed),
            (vec![0x30; REQUEST_BYTES_MAX + 1], RequestError::Oversize),
            (vec![b'A'; REQUEST_TEXT_BYTES_MAX + 1], RequestError::Oversize),
            (Vec::new(), RequestError::Malformed),
            (
                b"-----BEGIN CERTIFICATE-----".to_vec(),
                PemError { line: 1, reason: PemReason::NoEnd("CERTIFICATE".into()) }.into(),
            ),
        ] {
            assert_eq!(CertificateRequest::parse(&bytes), Err(expected));
        }
        let other = CertificateRequest::parse(&uris(&["https://example.org/"]));
        assert!(matches!(other, Err(RequestError::Identity(_))));
        for length in 0..good.len() {
            assert!(CertificateRequest::parse(&good[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn no_flipped_bit_is_accepted_with_another_meaning() {
        let key = KeyPair::generate(KeyAlgorithm::P256).unwrap();
        let good = signed(&key, |params| params.subject_alt_names = vec![uri("spiffe://c/north/client/a")]);
        for position in 0..good.len() * 8 {
            let mut flipped = good.clone();
            flipped[position / 8] ^= 1 << (position % 8);
            // The tag of the signature's algorithm is outside what is signed, and says nothing.
            if let Ok(request) = CertificateRequest::parse(&flipped) {
                let same = request.public_key() == key.public();
                assert!(same && request.identity().unwrap().name() == "a", "bit {position}");
            }
        }
    }
}
