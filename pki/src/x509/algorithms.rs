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
    fitting(algorithms, key, identifier)
        .any(|algorithm| algorithm.verify_signature(&key.subject_public_key.data, message, signature).is_ok())
}

/// Whether keys of this kind make such signatures.
pub(crate) fn fits(
    algorithms: &Algorithms,
    key: &SubjectPublicKeyInfo<'_>,
    identifier: &AlgorithmIdentifier<'_>,
) -> bool {
    fitting(algorithms, key, identifier).next().is_some()
}

fn fitting<'a>(
    algorithms: &'a Algorithms,
    key: &SubjectPublicKeyInfo<'_>,
    identifier: &AlgorithmIdentifier<'_>,
) -> impl Iterator<Item = &'a &'static dyn SignatureVerificationAlgorithm> {
    let both = content(&key.algorithm).zip(content(identifier));
    algorithms.iter().filter(move |algorithm| {
        both.as_ref().is_some_and(|(of_key, of_signature)| {
            algorithm.public_key_alg_id().as_ref() == of_key && algorithm.signature_alg_id().as_ref() == of_signature
        })
    })
}

/// Verifies a signature of a key that has one way to sign in `algorithms`.
pub(crate) fn verify_by(
    algorithms: &Algorithms,
    key: &SubjectPublicKeyInfo<'_>,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let Some(of_key) = content(&key.algorithm) else { return false };
    let mut fitting = algorithms.iter().filter(|algorithm| algorithm.public_key_alg_id().as_ref() == of_key);
    fitting.any(|algorithm| algorithm.verify_signature(&key.subject_public_key.data, message, signature).is_ok())
}

/// Whether octets are exactly the DER SEQUENCE of what is signed, the identifier and the signature. The parser takes
/// other forms of the frame (a SEQUENCE that is not marked as constructed), and no signature covers it: without this
/// one list could be passed round in several forms.
pub(crate) fn is_frame(octets: &[u8], signed: &[u8], identifier: &AlgorithmIdentifier<'_>, signature: &[u8]) -> bool {
    let Some(content) = content(identifier) else { return false };
    let mut tail = header(0x30, content.len());
    tail.extend(content);
    tail.extend(header(3, signature.len() + 1));
    tail.push(0);
    tail.extend_from_slice(signature);
    let parts = octets.strip_suffix(&tail[..]).and_then(|front| front.strip_suffix(signed));
    parts.is_some_and(|head| head == header(0x30, signed.len() + tail.len()))
}

/// A tag and a length in its one form (X.690 §10.1).
fn header(tag: u8, length: usize) -> Vec<u8> {
    let octets = length.to_be_bytes();
    let start = octets.iter().position(|octet| *octet != 0).unwrap_or(octets.len() - 1);
    let octets = octets.get(start..).unwrap_or_default();
    let long = u8::try_from(octets.len()).unwrap_or(0) | 0x80;
    let marker: &[u8] = if length < 0x80 { &[] } else { &[long] };
    [&[tag][..], marker, octets].concat()
}
