//! Which signatures count, and the one place that verifies those which rustls-webpki does not (CRLs).
//!
//! An algorithm is accepted only in its exact DER form: RFC 8410 §3 and RFC 5758 §3.2 leave parameters out, and a
//! list of algorithms is always an argument, so that test suites can be judged under algorithms that our profile
//! does not have.

use rustls::pki_types::SignatureVerificationAlgorithm;
use webpki::ring;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

/// Signature algorithms, as rustls-webpki takes them.
pub type Algorithms = [&'static dyn SignatureVerificationAlgorithm];

/// Ed25519, P-256 with SHA-256, and P-384 with SHA-384 for CAs: our profile.
pub static PROFILE_ALGORITHMS: &Algorithms = &[ring::ED25519, ring::ECDSA_P256_SHA256, ring::ECDSA_P384_SHA384];

/// The content octets of an AlgorithmIdentifier, where they have one of the forms that algorithms have: an object
/// identifier, then nothing, NULL or another object identifier (RFC 5480 §2.1.1). Anything else (explicit curves,
/// RSA-PSS) is `None`: no algorithm here has it.
fn content(identifier: &AlgorithmIdentifier<'_>) -> Option<Vec<u8>> {
    let oid = identifier.algorithm.as_bytes();
    let mut octets = vec![6, u8::try_from(oid.len()).ok().filter(|length| *length < 0x80)?];
    octets.extend_from_slice(oid);
    if let Some(parameters) = &identifier.parameters {
        let tag = u8::try_from(parameters.tag().0).ok().filter(|tag| [5, 6].contains(tag))?;
        octets.push(tag);
        octets.push(u8::try_from(parameters.data.len()).ok().filter(|length| *length < 0x80)?);
        octets.extend_from_slice(parameters.data);
    }
    Some(octets)
}

/// Whether one of the algorithms makes such signatures.
pub(crate) fn signs(algorithms: &Algorithms, identifier: &AlgorithmIdentifier<'_>) -> bool {
    content(identifier).is_some_and(|octets| algorithms.iter().any(|a| a.signature_alg_id().as_ref() == octets))
}

/// Whether a key belongs to one of the algorithms and has the length that its kind has.
pub(crate) fn knows_key(algorithms: &Algorithms, key: &SubjectPublicKeyInfo<'_>) -> bool {
    let Some(octets) = content(&key.algorithm) else { return false };
    let known = algorithms.iter().find(|algorithm| algorithm.public_key_alg_id().as_ref() == octets);
    let bits = &key.subject_public_key;
    known.is_some_and(|algorithm| {
        let id = algorithm.public_key_alg_id();
        bits.unused_bits == 0
            && match bits.data.as_ref() {
                // SEC 1 §2.3.3: uncompressed points; RFC 8032 §5.1.5. RSA moduli are measured at verification.
                point if id == ring::ECDSA_P256_SHA256.public_key_alg_id() => point.len() == 65 && point[0] == 4,
                point if id == ring::ECDSA_P384_SHA384.public_key_alg_id() => point.len() == 97 && point[0] == 4,
                point if id == ring::ED25519.public_key_alg_id() => point.len() == 32,
                other => !other.is_empty(),
            }
    })
}

/// Verifies a signature under the first algorithm that fits both the key and the identifier.
pub(crate) fn verify(
    algorithms: &Algorithms,
    key: &SubjectPublicKeyInfo<'_>,
    identifier: &AlgorithmIdentifier<'_>,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let (Some(of_key), Some(of_signature)) = (content(&key.algorithm), content(identifier)) else { return false };
    algorithms
        .iter()
        .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == of_key)
        .filter(|algorithm| algorithm.signature_alg_id().as_ref() == of_signature)
        .any(|algorithm| algorithm.verify_signature(&key.subject_public_key.data, message, signature).is_ok())
}

/// RSA with SHA-2, from 2,048 bits. No profile of ours has it: NIST's test suite is written in it.
pub static RSA_ALGORITHMS: &Algorithms =
    &[ring::RSA_PKCS1_2048_8192_SHA256, ring::RSA_PKCS1_2048_8192_SHA384, ring::RSA_PKCS1_2048_8192_SHA512];
