//! What strangers ask for: a key that they possess, and a name; nothing else of a request is read.
#![allow(clippy::unwrap_used)]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ca::{KeyPair, holder::request::make_request};
use ledger_classes::keys::WeakKeyError;
use ledger_classes::primitives::identity::Identity;
use pki::{
    CertificateRequest, KeyAlgorithm,
    limits::{REQUEST_BYTES_MAX, REQUEST_TEXT_BYTES_MAX},
    pem::{self, PemError, PemReason},
    x509::request::RequestError,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyUsagePurpose, SanType};

const PEM_LABEL: &str = "CERTIFICATE REQUEST";

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
