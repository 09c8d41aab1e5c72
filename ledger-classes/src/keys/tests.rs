//! Forms of keys and signatures, refusals at registration, and single against batch on edge cases.
#![allow(clippy::unwrap_used)]

use super::batch::{CACHED_KEYS_MAX, Cost, run, run_groups};
use super::*;
use crate::primitives::codec::{decode, encode};
use curve25519_dalek::{
    constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION},
    edwards::EdwardsPoint,
    scalar::Scalar,
};
use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

/// The order of the prime-order group of edwards25519, little-endian.
pub(super) const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

pub(super) fn p256() -> (PublicKey, EcdsaKeyPair, SystemRandom) {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
    (PublicKey::new(Scheme::EcdsaP256, pair.public_key().as_ref()).unwrap(), pair, random)
}

/// All encodings of the eight points of small order: eight canonical ones and six that are not (ZIP 215).
pub(super) fn small_order_encodings() -> Vec<[u8; 32]> {
    let canonical = EIGHT_TORSION.iter().map(|point| point.compress().0);
    // y + p where that fits 255 bits (y = 0 or 1), each sign; and the canonical y = 1, y = -1 with the sign bit,
    // where x = 0 has no sign.
    let mut others = Vec::new();
    for low in [0xedu8, 0xee] {
        for high in [0x7fu8, 0xff] {
            let mut bytes = [0xff; 32];
            bytes[0] = low;
            bytes[31] = high;
            others.push(bytes);
        }
    }
    for point in [EIGHT_TORSION[0], EIGHT_TORSION[4]] {
        let mut bytes = point.compress().0;
        bytes[31] |= 0x80;
        others.push(bytes);
    }
    canonical.chain(others).collect()
}

/// Signs as a signer does who chose its key as `[a]B + torsion` and its nonce point as `[r]B + torsion`.
pub(super) fn sign_with_torsion(
    a: u64,
    r: u64,
    key_torsion: usize,
    nonce_torsion: usize,
    message: &[u8],
) -> (PublicKey, Signature) {
    use sha2::{Digest as _, Sha512};
    let (a, r) = (Scalar::from(a), Scalar::from(r));
    let encode = |secret: Scalar, torsion: usize| -> [u8; 32] {
        let point: EdwardsPoint = ED25519_BASEPOINT_POINT * secret + EIGHT_TORSION[torsion];
        point.compress().0
    };
    let (key, nonce) = (encode(a, key_torsion), encode(r, nonce_torsion));
    let digest: [u8; 64] = Sha512::new().chain_update(nonce).chain_update(key).chain_update(message).finalize().into();
    let s = r + Scalar::from_bytes_mod_order_wide(&digest) * a;
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&nonce);
    signature[32..].copy_from_slice(s.as_bytes());
    (PublicKey::ed25519(key), Signature(signature))
}

#[test]
fn a_key_has_one_binary_form_and_one_text() {
    let ed25519 = SigningKey::from_seed(&[7; 32]).public();
    let (p256, ..) = p256();
    for (key, scheme_byte) in [(ed25519, 1), (p256, 2)] {
        let bytes = encode(&key);
        assert_eq!((bytes[0], &bytes[1..]), (scheme_byte, key.bytes()));
        assert_eq!(decode::<PublicKey>(&bytes, 66), Ok(key));
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(crate::primitives::json::from_str::<PublicKey>(&serde_json::to_string(&key).unwrap()).unwrap(), key);
        assert_eq!(PublicKey::new(key.scheme(), key.bytes()), Ok(key));
        assert_eq!(key.check_registrable(), Ok(()));
    }
    assert!(ed25519 < p256, "keys sort by scheme first");
}

#[test]
fn an_address_is_twenty_bytes_of_the_tagged_hash_of_scheme_and_key() {
    use sha2::{Digest as _, Sha256};
    let key = SigningKey::from_seed(&[7; 32]).public();
    let hash = Sha256::new().chain_update(b"chancery/address/1\0\x01").chain_update(key.bytes()).finalize();
    let text = format!("0x{}", hex::encode(&hash[..20]));
    assert_eq!(text.parse(), Ok(key.address()));
    assert_eq!(key.address().to_string().to_lowercase(), text);
    assert_eq!(decode::<Address>(&encode(&key.address()), 20), Ok(key.address()));
}

#[test]
fn malformed_keys_are_refused() {
    let (p256, ..) = p256();
    let length = |scheme, bytes| Err(KeyError::Length { scheme, bytes });
    let mut hybrid = p256.bytes().to_vec();
    hybrid[0] = 6;
    for (scheme, bytes, refused) in [
        (Scheme::Ed25519, &[0u8; 31][..], length(Scheme::Ed25519, 31)),
        (Scheme::Ed25519, &[0; 33], length(Scheme::Ed25519, 33)),
        (Scheme::EcdsaP256, &[2; 33], length(Scheme::EcdsaP256, 33)),
        (Scheme::EcdsaP256, &hybrid, Err(KeyError::Uncompressed)),
    ] {
        assert_eq!(PublicKey::new(scheme, bytes), refused);
    }
    for text in ["", "ed25519", "ed25519:", "ed25519:00", "Ed25519:00", "rsa:00", &p256.to_string().to_uppercase()] {
        assert!(text.parse::<PublicKey>().is_err(), "{text}");
    }
    for scheme_byte in [0u8, 3, 255] {
        let mut bytes = vec![scheme_byte];
        bytes.extend([0; 32]);
        assert!(decode::<PublicKey>(&bytes, 66).is_err());
        assert!(decode::<Scheme>(&[scheme_byte], 1).is_err());
    }
    let mut bytes = vec![2u8];
    bytes.extend_from_slice(&hybrid);
    assert!(decode::<PublicKey>(&bytes, 66).is_err());
}

#[test]
fn both_sec1_forms_become_one_key() {
    let (key, ..) = p256();
    let mut compressed = vec![2 + (key.bytes()[64] & 1)];
    compressed.extend_from_slice(&key.bytes()[1..33]);
    assert_eq!(PublicKey::p256_from_sec1(&compressed), Ok(key));
    assert_eq!(PublicKey::p256_from_sec1(key.bytes()), Ok(key));
    let mut off_curve = key.bytes().to_vec();
    off_curve[64] ^= 1;
    for bytes in [&off_curve[..], &[0], &[], &compressed[..32]] {
        assert_eq!(PublicKey::p256_from_sec1(bytes), Err(KeyError::NotOnCurve));
    }
    let key = PublicKey::new(Scheme::EcdsaP256, &off_curve).unwrap();
    assert_eq!(key.check_registrable(), Err(WeakKeyError::NotOnCurve));
}

#[test]
fn weak_keys_are_not_registered() {
    let refusal = |bytes| PublicKey::ed25519(bytes).check_registrable();
    for (row, bytes) in small_order_encodings().into_iter().enumerate() {
        let expected = if row < 8 { WeakKeyError::SmallOrder } else { WeakKeyError::NonCanonical };
        assert_eq!(refusal(bytes), Err(expected), "{}", hex::encode(bytes));
    }
    for torsion in 1..8 {
        let (key, _) = sign_with_torsion(5, 7, torsion, 0, b"");
        assert_eq!(key.check_registrable(), Err(WeakKeyError::Torsion));
    }
    // y = 2 is no point; y = p + 3 is a second encoding of y = 3.
    let mut bytes = [0; 32];
    bytes[0] = 2;
    assert_eq!(refusal(bytes), Err(WeakKeyError::NotOnCurve));
    let mut bytes = [0xff; 32];
    (bytes[0], bytes[31]) = (0xf0, 0x7f);
    assert_eq!(refusal(bytes), Err(WeakKeyError::NonCanonical));
}

#[test]
fn signatures_verify_and_no_other_does() {
    let ours = SigningKey::from_seed(&[1; 32]);
    let (p256_key, pair, random) = p256();
    let p256_signature = Signature::new(pair.sign(&random, b"message").unwrap().as_ref()).unwrap();
    for (key, signature) in [(ours.public(), ours.sign(b"message")), (p256_key, p256_signature)] {
        assert!(verify(&key, b"message", &signature));
        assert!(!verify(&key, b"massage", &signature));
        assert!(!verify(&SigningKey::from_seed(&[2; 32]).public(), b"message", &signature));
        for bit in 0..512 {
            let mut other = signature;
            other.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify(&key, b"message", &other), "{} bit {bit}", key.scheme());
        }
        assert_eq!(signature.to_string().parse(), Ok(signature));
        assert_eq!(decode::<Signature>(&encode(&signature), 64), Ok(signature));
    }
    assert_eq!(Signature::new(&[0; 63]), Err(SignatureError::Length(63)));
}

#[test]
fn a_secret_key_is_not_printed() {
    let key = SigningKey::from_seed(&[0xab; 32]);
    assert_eq!(*key.seed(), [0xab; 32]);
    assert!(!format!("{key:?}").contains("abab") && !format!("{key:?}").contains("171"));
}

/// ZIP 215: any encoding of R and A, cofactored equation, s below the order. These cases divide libraries.
#[test]
fn zip_215_accepts_small_order_and_non_canonical_points_but_no_large_s() {
    let encodings = small_order_encodings();
    for key in &encodings {
        for nonce in &encodings {
            let mut signature = Signature([0; 64]);
            signature.0[..32].copy_from_slice(nonce);
            assert!(verify(&PublicKey::ed25519(*key), b"any", &signature));
            signature.0[32..].copy_from_slice(&ORDER);
            assert!(!verify(&PublicKey::ed25519(*key), b"any", &signature), "s = order");
        }
    }
    for (key_torsion, nonce_torsion) in (0..8).flat_map(|key| (0..8).map(move |nonce| (key, nonce))) {
        let (key, signature) = sign_with_torsion(11, 13, key_torsion, nonce_torsion, b"mixed order");
        assert!(verify(&key, b"mixed order", &signature), "torsion {key_torsion} {nonce_torsion}");
    }
}

/// s and s + order are the same scalar: accepting both would make Ed25519 malleable (RFC 8032 §5.1.7).
#[test]
fn s_beyond_the_order_is_refused() {
    let key = SigningKey::from_seed(&[3; 32]);
    let mut signature = key.sign(b"m");
    let mut carry = 0;
    for (byte, order) in signature.0[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    assert!(!verify(&key.public(), b"m", &signature));
    let item = SignatureItem { key: &key.public(), message: b"m", signature: &signature };
    assert_eq!(verify_batch(&[item; 3], [0; 32], &mut KeyCache::default()), [false; 3]);
}

/// [`verify_batch`], with what it cost.
fn counted(items: &[SignatureItem<'_>], seed: [u8; 32], keys: &mut KeyCache) -> (Vec<bool>, Cost) {
    let work = run(items, (0..items.len()).collect(), items.len(), seed, keys);
    (work.valid, work.cost)
}

#[test]
fn one_bad_signature_rejects_itself_only_and_its_cost_is_told() {
    let cases: Vec<_> = (0..1500u64)
        .map(|number| {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&number.to_le_bytes());
            let key = SigningKey::from_seed(&seed);
            (key.public(), number.to_le_bytes(), key.sign(&number.to_le_bytes()))
        })
        .collect();
    let items = |cases: &[(PublicKey, [u8; 8], Signature)]| -> Vec<bool> {
        let items: Vec<_> =
            cases.iter().map(|(key, message, signature)| SignatureItem { key, message, signature }).collect();
        let (valid, cost) = counted(&items, [9; 32], &mut KeyCache::default());
        let bad = valid.iter().filter(|valid| !**valid).count();
        match bad {
            0 => assert_eq!((cost.batches, cost.checks), (1500_usize.div_ceil(BATCH_ITEMS_MAX), 1500)),
            _ => assert!(cost.checks >= 1500 + 1024 && cost.batches > 2),
        }
        valid
    };
    assert_eq!(items(&cases), vec![true; 1500]);
    for place in [0, 31, 32, 700, 1023] {
        let mut cases = cases.clone();
        cases[place].2.0[40] ^= 1;
        let expected: Vec<_> = (0..1500).map(|other| other != place).collect();
        assert_eq!(items(&cases), expected, "bad at {place}");
    }
}

#[test]
fn a_cache_that_remembers_knows_valid_signatures_again_and_no_others() {
    let (key, other) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
    let (public, other) = (key.public(), other.public());
    let (right, mut wrong) = (key.sign(b"m"), key.sign(b"m"));
    wrong.0[40] ^= 1;
    let item = |key, message, signature| SignatureItem { key, message, signature };
    let items = [
        item(&public, b"m".as_slice(), &right),
        item(&public, b"m", &wrong),
        item(&public, b"n", &right),
        item(&other, b"m", &right),
    ];
    let mut keys = KeyCache::remembering();
    for checks in [8, 3 + 3, 3 + 3] {
        let (valid, cost) = counted(&items, [0; 32], &mut keys);
        assert_eq!((valid, cost.checks), (vec![true, false, false, false], checks));
    }
    assert_eq!(counted(&items[..1], [0; 32], &mut keys).1.checks, 0);
    assert_eq!(counted(&items[..1], [0; 32], &mut KeyCache::default()).1.checks, 1);
}

/// 32 wrong P-256 signatures in each transaction kept a channel busy for 16 s.
#[test]
fn a_group_costs_no_more_checks_once_a_wrong_signature_is_found() {
    let (p256, pair, random) = p256();
    let right = Signature(pair.sign(&random, b"m").unwrap().as_ref().try_into().unwrap());
    let wrong = Signature([1; 64]);
    for (group, checks, found) in
        [(vec![false; 32], 1, Some(0)), (vec![true, false, false, false], 2, Some(1)), (vec![true; 32], 32, None)]
    {
        let items = |group: &[bool]| -> Vec<SignatureItem<'_>> {
            let signature = |right_one: &bool| if *right_one { &right } else { &wrong };
            group.iter().map(|one| SignatureItem { key: &p256, message: b"m", signature: signature(one) }).collect()
        };
        let (groups, mut keys) = ([items(&group), items(&[true])], KeyCache::default());
        let work = run_groups(&groups, [9; 32], &mut keys);
        assert_eq!((work.cost.checks, work.wrong), (checks + 1, vec![found, None]), "{group:?}");
    }
    // In a batch that fails all are looked at together, and then not one by one.
    let key = SigningKey::from_seed(&[7; 32]);
    let (public, good) = (key.public(), key.sign(b"m"));
    let item = |signature| SignatureItem { key: &public, message: b"m", signature };
    let (groups, mut keys) = (vec![vec![item(&wrong); 31]; 32], KeyCache::default());
    let work = run_groups(&groups, [9; 32], &mut keys);
    assert_eq!(work.wrong, [Some(0); 32]);
    assert!(work.cost.checks <= 3 * 31 * 32, "{:?}", work.cost);
    assert_eq!(verify_groups(&[vec![item(&good); 31]], [9; 32], &mut KeyCache::default()), [None]);
}

/// One case for each kind of signature that could make a batch and a single verification disagree.
fn edge_case(kind: u8, number: u64) -> (PublicKey, Vec<u8>, Signature) {
    let message = number.to_le_bytes().to_vec();
    let mut seed = [kind; 32];
    seed[..8].copy_from_slice(&(number % 5).to_le_bytes());
    let signer = SigningKey::from_seed(&seed);
    let (mut key, mut signature) = (signer.public(), signer.sign(&message));
    let encodings = small_order_encodings();
    let pick = |shift: u64| encodings[((number >> shift) % 14) as usize];
    match kind % 12 {
        0 | 1 => {}
        2 => signature.0[(number % 64) as usize] ^= 1 << (number % 8),
        3 => key = SigningKey::from_seed(&[0xfe; 32]).public(),
        4 => signature.0[32..].copy_from_slice(&ORDER),
        5 => signature.0[63] |= 0xe0,
        6 => signature.0[..32].copy_from_slice(&pick(3)),
        7 => key = PublicKey::ed25519(pick(5)),
        8 => {
            key = PublicKey::ed25519(pick(1));
            signature.0 = [0; 64];
            signature.0[..32].copy_from_slice(&pick(7));
        }
        9 => {
            let (torsion, nonce) = ((number % 8) as usize, (number / 8 % 8) as usize);
            (key, signature) = sign_with_torsion(number | 1, number ^ 0x5555, torsion, nonce, &message);
        }
        10 => {
            let mut bytes = [0; 32];
            bytes[0] = (number % 32) as u8; // some of these are points, some are not
            key = PublicKey::ed25519(bytes);
        }
        _ => {
            let mut bytes = [0x55; 65];
            bytes[0] = 4;
            key = PublicKey::new(Scheme::EcdsaP256, &bytes).unwrap();
        }
    }
    (key, message, signature)
}

/// The equation of a batch is our own: it must say what `ed25519-zebra` says, with keys that are cached and keys that
/// are not. A longer run: `CHANCERY_CASES=1000000 cargo test --release -p ledger-classes agree_with_the_library`.
#[test]
fn batches_agree_with_the_library_on_random_and_edge_cases() {
    use ed25519_zebra::batch::Verifier;
    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng as _, SeedableRng as _};
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    let (cases, seed) = (number("CHANCERY_CASES").unwrap_or(3_000), number("CHANCERY_SEED").unwrap_or(1));
    let mut random = ChaCha20Rng::seed_from_u64(seed);
    let mut cache = KeyCache::default();
    let (mut done, mut accepted, mut refused) = (0, 0, 0);
    while done < cases {
        // Mostly good ones and those of torsion points, so that a batch often is good as a whole.
        let kinds: &[u8] = if random.next_u32() % 2 == 0 { &[0, 1, 8, 9] } else { &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10] };
        let small = 2 + random.next_u32() as usize % 12;
        // As large as those of a busy peer: another algorithm sums many points.
        let large = kinds.len() == 4 && random.next_u32() % 16 == 0;
        let size = if large { 100 + random.next_u32() as usize % (2 * BATCH_ITEMS_MAX) } else { small };
        let batch: Vec<_> = (0..size)
            .map(|_| edge_case(kinds[random.next_u32() as usize % kinds.len()], random.next_u64() % 100_000))
            .collect();
        let mut library = Verifier::new();
        for (key, message, signature) in &batch {
            let KeyBytes::Ed25519(key) = key.0 else { unreachable!("kinds above are Ed25519") };
            library.queue((key.into(), ed25519_zebra::Signature::from_bytes(&signature.0), message));
        }
        let whole = library.verify(&mut random).is_ok();
        let items: Vec<_> =
            batch.iter().map(|(key, message, signature)| SignatureItem { key, message, signature }).collect();
        let (valid, cost) = counted(&items, std::array::from_fn(|_| random.next_u32() as u8), &mut cache);
        let single: Vec<_> = batch.iter().map(|(key, message, signature)| verify(key, message, signature)).collect();
        assert_eq!(valid, single, "CHANCERY_SEED={seed}, after {done} cases");
        for (item, single) in items.iter().zip(&single).take(small) {
            let alone = verify_batch(std::slice::from_ref(item), [0; 32], &mut cache);
            assert_eq!(alone, [*single], "CHANCERY_SEED={seed}, alone, after {done} cases");
        }
        // One equation was enough exactly where it was enough for the library.
        assert_eq!(cost.checks == valid.len(), whole, "CHANCERY_SEED={seed}, after {done} cases");
        done += small as u64;
        *(if whole { &mut accepted } else { &mut refused }) += 1;
    }
    assert!(accepted > cases / 60 && refused > cases / 60, "{accepted} batches accepted, {refused} refused");
    println!("{done} signatures in {accepted} good and {refused} bad batches");
}

#[test]
fn a_cache_of_keys_is_bounded_and_keeps_who_is_in_use() {
    let mut cache = KeyCache::default();
    let key = |number: u32| {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&number.to_le_bytes());
        let point = ED25519_BASEPOINT_POINT * Scalar::from_bytes_mod_order(seed);
        point.compress().0
    };
    let busy = key(1);
    let known = cache.point(&busy).unwrap();
    for number in 2..40_000 {
        assert!(cache.point(&key(number)).is_some());
        if number % 1000 == 0 {
            assert_eq!(cache.point(&busy), Some(known));
        }
    }
    assert!(cache.holds(&busy) && !cache.holds(&key(2)));
    assert!(cache.len() <= 2 * CACHED_KEYS_MAX);
    // What is no point is not kept.
    let before = cache.len();
    let mut none = [0; 32];
    none[0] = 2;
    assert_eq!((cache.point(&none), cache.len()), (None, before));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn single_and_batch_agree_whatever_the_neighbours(
        cases in proptest::collection::vec((any::<u8>(), any::<u64>()), 0..120),
        seed in any::<[u8; 32]>(),
        rotation in any::<usize>(),
    ) {
        let mut cases: Vec<_> = cases.into_iter().map(|(kind, number)| edge_case(kind, number)).collect();
        if !cases.is_empty() {
            let rotation = rotation % cases.len();
            cases.rotate_left(rotation);
        }
        let items: Vec<_> =
            cases.iter().map(|(key, message, signature)| SignatureItem { key, message, signature }).collect();
        let single: Vec<_> = cases.iter().map(|(key, message, signature)| verify(key, message, signature)).collect();
        prop_assert_eq!(verify_batch(&items, seed, &mut KeyCache::default()), single);
    }

    #[test]
    fn a_group_is_good_if_all_of_it_is_and_what_is_named_is_wrong(
        cases in proptest::collection::vec(proptest::collection::vec((any::<u8>(), any::<u64>()), 0..40), 0..6),
        seed in any::<[u8; 32]>(),
    ) {
        let cases: Vec<Vec<_>> = cases
            .into_iter()
            .map(|group| group.into_iter().map(|(kind, number)| edge_case(kind, number)).collect())
            .collect();
        let items: Vec<Vec<_>> = cases
            .iter()
            .map(|group| group.iter().map(|(key, message, signature)| SignatureItem { key, message, signature }).collect())
            .collect();
        let wrong = verify_groups(&items, seed, &mut KeyCache::default());
        prop_assert_eq!(wrong.len(), cases.len());
        for (group, wrong) in cases.iter().zip(wrong) {
            let valid: Vec<bool> = group.iter().map(|(key, message, signature)| verify(key, message, signature)).collect();
            match wrong {
                Some(place) => prop_assert!(!valid[place]),
                None => prop_assert!(valid.iter().all(|valid| *valid)),
            }
        }
    }

    #[test]
    fn no_der_input_panics(der in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = Signature::from_ecdsa_der(&der);
    }
}
