//! What seals may be signed with, on the cases that divide libraries.
#![allow(clippy::unwrap_used)]

use super::tests::{ORDER, p256, sign_with_torsion, small_order_encodings};
use super::*;
use crate::primitives::hash::parse_hex;

/// The twelve cases of <https://github.com/novifinancial/ed25519-speccheck> ("Taming the Many EdDSAs", table 5): message,
/// key, signature, and whether ZIP 215 takes it. Libraries part on them;
/// a seal takes none: each has a point that is not canonical or not of the group of prime order, or an s above the order.
const SPECCHECK: [(&str, &str, &str, bool); 12] = [
    // 0: A and R of small order, s = 0.
    (
        "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a0000000000000000000000000000000000000000000000000000000000000000",
        true,
    ),
    // 1: A of small order, R mixed.
    (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        true,
    ),
    // 2: A mixed, R of small order.
    (
        "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
        true,
    ),
    // 3: A and R mixed; the cofactorless equation holds, too.
    (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009",
        true,
    ),
    // 4: A and R mixed; only the cofactored equation holds.
    (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed5125ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
        true,
    ),
    // 5: only the cofactored equation holds, and not if 8h is reduced first.
    (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405",
        true,
    ),
    // 6: s above the order.
    (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
        false,
    ),
    // 7: s far above the order.
    (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa19427e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22",
        false,
    ),
    // 8: R not canonical, reduced in the hash.
    (
        "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff03be9678ac102edcd92b0210bb34d7428d12ffc5df5f37e359941266a4e35f0f",
        false,
    ),
    // 9: R not canonical, not reduced in the hash.
    (
        "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffca8c5b64cd208982aa38d4936621a4775aa233aa0505711d8fdcfdaa943d4908",
        true,
    ),
    // 10: A not canonical, and of small order.
    (
        "e96b7021eb39c1a163b6da4e3093dcd3f21387da4cc4572be588fafae23c155b",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        true,
    ),
    // 11: as 10; the other way to hash A makes the difference.
    (
        "39a591f5321bbe07fd5a23dc2f39d025d74526615746727ceefd6e82ae65c06f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
        true,
    ),
];

#[test]
fn no_case_that_divides_libraries_is_a_seal() {
    for (number, (message, key, signature, zip_215)) in SPECCHECK.iter().enumerate() {
        let message: [u8; 32] = parse_hex(message).unwrap();
        let key = PublicKey::ed25519(parse_hex(key).unwrap());
        let signature: Signature = signature.parse().unwrap();
        assert_eq!(verify(&key, &message, &signature), *zip_215, "case {number} under ZIP 215");
        assert_eq!(verify_strict(&key, &message, &signature), Err(StrictError::Form), "case {number}");
    }
}

/// Each alone: key and R in every encoding of small order, and torsion in key or R.
#[test]
fn torsion_in_a_key_or_in_r_is_no_seal() {
    let good = SigningKey::from_seed(&[3; 32]);
    for encoding in small_order_encodings() {
        let (key, mut signature) = (PublicKey::ed25519(encoding), good.sign(b"m"));
        assert_eq!(verify_strict(&key, b"m", &signature), Err(StrictError::Form));
        signature.0[..32].copy_from_slice(&encoding);
        assert_eq!(verify_strict(&good.public(), b"m", &signature), Err(StrictError::Form));
    }
    for (key_torsion, nonce_torsion) in (0..8).flat_map(|key| (0..8).map(move |nonce| (key, nonce))) {
        let (key, signature) = sign_with_torsion(11, 13, key_torsion, nonce_torsion, b"mixed order");
        let expected = match (key_torsion, nonce_torsion) {
            (0, 0) => Ok(()),
            // The key is good, and the equation holds with the cofactor only.
            (0, _) => Err(StrictError::Wrong),
            _ => Err(StrictError::Form),
        };
        assert_eq!(verify_strict(&key, b"mixed order", &signature), expected, "torsion {key_torsion} {nonce_torsion}");
    }
}

#[test]
fn what_a_peer_signs_is_a_seal_and_no_other_bit_of_it_is() {
    let key = SigningKey::from_seed(&[3; 32]);
    let signature = key.sign(b"m");
    assert_eq!(verify_strict(&key.public(), b"m", &signature), Ok(()));
    assert_eq!(verify_strict(&key.public(), b"n", &signature), Err(StrictError::Wrong));
    for bit in 0..512 {
        let mut other = signature;
        other.0[bit / 8] ^= 1 << (bit % 8);
        assert!(verify_strict(&key.public(), b"m", &other).is_err(), "bit {bit}");
    }
    // s and s + order are one scalar.
    let mut large = signature;
    let mut carry = 0;
    for (byte, order) in large.0[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    assert_eq!(verify_strict(&key.public(), b"m", &large), Err(StrictError::Form));
}

/// Also where nothing but a transaction's rules were held against a signature before.
#[test]
fn what_is_known_of_keys_and_signatures_changes_no_verdict() {
    for mut keys in [KeyCache::default(), KeyCache::remembering()] {
        let good = SigningKey::from_seed(&[3; 32]);
        for _ in 0..2 {
            let signature = good.sign(b"m");
            for message in [b"m", b"n"] {
                let alone = verify_strict(&good.public(), message, &signature);
                assert_eq!(keys.verify_strict(&good.public(), message, &signature), alone);
            }
            for (message, key, signature, zip_215) in &SPECCHECK {
                let message: [u8; 32] = parse_hex(message).unwrap();
                let (key, signature) =
                    (PublicKey::ed25519(parse_hex(key).unwrap()), signature.parse::<Signature>().unwrap());
                let item = SignatureItem { key: &key, message: &message, signature: &signature };
                assert_eq!(verify_batch(&[item], [1; 32], &mut keys), [*zip_215]);
                assert_eq!(keys.verify_strict(&key, &message, &signature), Err(StrictError::Form));
            }
        }
    }
}

/// The order of P-256's group less a number, both big-endian.
fn negated(number: &[u8]) -> [u8; 32] {
    let order: [u8; 32] = parse_hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    let (mut negated, mut borrow) = ([0; 32], 0);
    for place in (0..32).rev() {
        let difference = i16::from(order[place]) - i16::from(number[place]) - borrow;
        (negated[place], borrow) = (difference.rem_euclid(256) as u8, i16::from(difference < 0));
    }
    negated
}

/// ECDSA has two signatures for each: a seal is the one with the smaller s.
#[test]
fn of_the_two_forms_of_a_p256_signature_one_is_a_seal() {
    let (key, pair, random) = p256();
    for number in 0..16u8 {
        let signed = Signature::new(pair.sign(&random, &[number]).unwrap().as_ref()).unwrap();
        let mut other = signed;
        other.0[32..].copy_from_slice(&negated(&signed.0[32..]));
        assert!([signed, other].iter().all(|one| verify(&key, &[number], one)), "a transaction may have either");
        let (low, high) = if signed.0[32..] < other.0[32..] { (signed, other) } else { (other, signed) };
        assert_eq!(verify_strict(&key, &[number], &low), Ok(()));
        assert_eq!(verify_strict(&key, &[number], &high), Err(StrictError::Form));
        assert_eq!(verify_strict(&key, b"another", &low), Err(StrictError::Wrong));
    }
    assert_eq!(verify_strict(&key, b"m", &Signature([0; 64])), Err(StrictError::Wrong), "r and s are not zero");
}

/// Lines in the form that `conformance sig --seal` reads, each with its verdict as `ok`: a file for other languages.
fn vectors() -> String {
    let mut lines = String::new();
    let mut line = |id: String, key: &PublicKey, message: &[u8], signature: &Signature| {
        let ok = verify_strict(key, message, signature).is_ok();
        let (scheme, bytes) = (key.scheme().to_string(), hex::encode(key.bytes()));
        let (message, signature) = (hex::encode(message), signature.to_string());
        lines.push_str(&format!(
            "{{\"id\":\"{id}\",\"ok\":{ok},\"scheme\":\"{scheme}\",\"key\":\"{bytes}\",\"message\":\"{message}\",\
             \"signature\":\"{signature}\"}}\n"
        ));
    };
    for (number, (message, key, signature, _)) in SPECCHECK.iter().enumerate() {
        let (key, message) = (PublicKey::ed25519(parse_hex(key).unwrap()), parse_hex::<32>(message).unwrap());
        line(format!("ed25519-speccheck {number}"), &key, &message, &signature.parse().unwrap());
    }
    let good = SigningKey::from_seed(&[3; 32]);
    let signature = good.sign(b"seal");
    line("good".into(), &good.public(), b"seal", &signature);
    line("another message".into(), &good.public(), b"leal", &signature);
    for (number, encoding) in small_order_encodings().into_iter().enumerate() {
        let mut other = signature;
        other.0[..32].copy_from_slice(&encoding);
        line(format!("R of small order {number}"), &good.public(), b"seal", &other);
        line(format!("key of small order {number}"), &PublicKey::ed25519(encoding), b"seal", &signature);
    }
    for (key_torsion, nonce_torsion) in [(0, 0), (0, 1), (0, 4), (1, 0), (4, 0), (4, 4), (1, 7)] {
        let (key, signature) = sign_with_torsion(11, 13, key_torsion, nonce_torsion, b"seal");
        line(format!("torsion {key_torsion} in the key, {nonce_torsion} in R"), &key, b"seal", &signature);
    }
    // RFC 6979 A.2.5, SHA-256, "sample": its s is the larger one.
    let coordinates = "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
                       7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
    let key = PublicKey::new(Scheme::EcdsaP256, &hex::decode(format!("04{coordinates}")).unwrap()).unwrap();
    let high: Signature = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
                           f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
        .parse()
        .unwrap();
    let mut low = high;
    low.0[32..].copy_from_slice(&negated(&high.0[32..]));
    line("P-256, the larger s".into(), &key, b"sample", &high);
    line("P-256, the smaller s".into(), &key, b"sample", &low);
    line("P-256, another message".into(), &key, b"simple", &low);
    line("P-256, zeros".into(), &key, b"sample", &Signature([0; 64]));
    lines
}

#[test]
fn the_vectors_of_seals_are_those_of_the_file() {
    let made = vectors();
    assert_eq!(made.matches("\"ok\":true").count(), 3, "good, torsion-free, the smaller s");
    assert!(made == include_str!("../../../docs/formats/seals.jsonl"), "docs/formats/seals.jsonl should read:\n{made}");
}
