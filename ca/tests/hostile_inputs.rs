//! What strangers send: every bad path and list is refused by name, and no octets whatever make a decoder panic.
//!
//! Mutations are drawn from a seed that is printed with every failure; `CHANCERY_SEED` takes it back.
#![allow(clippy::unwrap_used)]

use crate::consortium::{Issuing, NOW, identity, root};
use ca::{Authority, KeyPair, limits::DAY_MS};
use pki::{
    AuthorityScope, KeyAlgorithm, PathError, PublicKey, RevocationStore, Serial, Usage,
    limits::CRL_BYTES_MAX,
    trust::{
        bundle::TrustBundle,
        revocation::{RevocationError, RevocationList},
        validation::{PathOrder, PathRules, Purpose, validate_path},
    },
    verify_path,
    x509::{algorithms::PROFILE_ALGORITHMS, certificate::ProfileError},
};
use std::{fs, path::Path};

const ALICE: &str = "spiffe://harbour.example/north/client/alice";

/// A good path and list, and a CA of the same name but with another key.
struct Good {
    root: Authority,
    north: Issuing,
    leaf: Vec<u8>,
    crl: Vec<u8>,
}

impl Good {
    fn new(algorithm: KeyAlgorithm) -> Self {
        let root = root(algorithm);
        let north = Issuing::under(&root, "north", algorithm);
        let leaf = north.leaf(&identity("north/client/alice"), &KeyPair::generate(algorithm).unwrap());
        let crl = north.authority.issue_crl(&[], 5, NOW, NOW.plus_millis(DAY_MS)).unwrap();
        Self { root, north, leaf, crl }
    }

    fn verdict<P: AsRef<[u8]>>(&self, path: &[P]) -> Option<PathError> {
        verify_path(path, &[self.root.certificate()], None, NOW, Usage::ClientAuth).err()
    }

    fn list(&self, crl: &[u8]) -> Result<RevocationList, RevocationError> {
        RevocationList::verify(crl, self.north.authority.certificate())
    }
}

#[test]
fn hostile_paths_are_refused_by_name() {
    let good = Good::new(KeyAlgorithm::P256);
    let (leaf, ca) = (good.leaf.clone(), good.north.authority.certificate().to_vec());
    let key = KeyPair::generate(KeyAlgorithm::P256).unwrap();
    let malformed = |position| PathError::Profile { position, source: ProfileError::Malformed };
    let changed = |change: fn(&mut rcgen::CertificateParams)| good.north.changed_leaf(ALICE, &key, change);
    let profile = |source| PathError::Profile { position: 0, source };
    let uri = |text: &str| rcgen::SanType::URI(text.try_into().unwrap());
    let two = good.north.changed_leaf(ALICE, &key, |p| p.subject_alt_names.push(uri(ALICE)));
    let trailing = [&leaf[..], &[0]].concat();
    let indefinite = [&[0x30, 0x80][..], &leaf[4..], &[0, 0]].concat();
    for (name, path, expected) in [
        ("nothing", vec![], PathError::Empty),
        ("an empty certificate", vec![vec![]], malformed(0)),
        ("a hundred certificates", vec![leaf.clone(); 100], PathError::Length),
        ("half a leaf", vec![leaf[..leaf.len() / 2].to_vec(), ca.clone()], malformed(0)),
        ("a leaf with an octet more", vec![trailing, ca.clone()], malformed(0)),
        ("a leaf of indefinite length", vec![indefinite, ca.clone()], malformed(0)),
        ("an oversized leaf", vec![vec![0x30; 9000], ca.clone()], profile(ProfileError::Oversize)),
        ("garbage", vec![b"GET / HTTP/1.1\r\n\r\n".to_vec(), ca.clone()], malformed(0)),
        ("no alternative name", vec![changed(|p| p.subject_alt_names.clear()), ca.clone()], {
            profile(ProfileError::NoAlternativeName)
        }),
        ("two URIs", vec![two, ca.clone()], profile(ProfileError::UriCount(2))),
        (
            "the wrong key usage",
            vec![changed(|p| p.key_usages = vec![rcgen::KeyUsagePurpose::KeyEncipherment]), ca.clone()],
            profile(ProfileError::LeafKeyUsage),
        ),
        ("a CA as a leaf", vec![ca.clone()], profile(ProfileError::LeafIsAuthority)),
        ("the leaf as its own CA", vec![leaf.clone(), leaf.clone()], PathError::UnknownIssuer),
        ("a CA that is garbage", vec![leaf.clone(), vec![0x30, 0]], malformed(1)),
        ("half a CA", vec![leaf.clone(), ca[..ca.len() - 1].to_vec()], malformed(1)),
    ] {
        assert_eq!(good.verdict(&path), Some(expected), "{name}");
    }
    assert_eq!(good.verdict(&[leaf, ca]), None);
}

#[test]
fn hostile_lists_are_refused_by_name() {
    let good = Good::new(KeyAlgorithm::Ed25519);
    let other = Good::new(KeyAlgorithm::Ed25519);
    let signed_by_another = {
        // The name of the one CA over the key of the other.
        let mut der = other.crl.clone();
        let (ours, theirs) = (good.crl.clone(), &mut der);
        let signature = theirs.split_off(theirs.len() - 64);
        [&ours[..ours.len() - 64], &signature[..]].concat()
    };
    for (name, crl, expected) in [
        ("nothing", vec![], RevocationError::Malformed),
        ("garbage", b"not a list".to_vec(), RevocationError::Malformed),
        ("half a list", good.crl[..good.crl.len() / 2].to_vec(), RevocationError::Malformed),
        ("an octet more", [&good.crl[..], &[0]].concat(), RevocationError::Malformed),
        ("a certificate", good.leaf.clone(), RevocationError::Malformed),
        ("too large", vec![0x30; CRL_BYTES_MAX + 1], RevocationError::Oversize),
        ("another CA's", other.crl.clone(), RevocationError::UnknownIssuer),
        ("another key's signature", signed_by_another, RevocationError::Signature),
    ] {
        assert_eq!(good.list(&crl).err(), Some(expected), "{name}");
    }
    let store = RevocationStore::default();
    store.install(good.list(&good.crl).unwrap()).unwrap();
    let older = good.north.authority.issue_crl(&[], 4, NOW, NOW.plus_millis(DAY_MS)).unwrap();
    let refused = store.install(good.list(&older).unwrap());
    assert_eq!(refused, Err(RevocationError::Older { offered: 4, installed: 5 }));
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused() {
    for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::P256] {
        let good = Good::new(algorithm);
        let ca = good.north.authority.certificate();
        for position in 0..good.leaf.len() {
            let mut leaf = good.leaf.clone();
            leaf[position] ^= 1 << (position % 8);
            assert!(good.verdict(&[&leaf[..], ca]).is_some(), "{algorithm:?} leaf, octet {position}");
            assert!(good.verdict(&[&good.leaf[..position], ca]).is_some(), "{algorithm:?} leaf, cut at {position}");
        }
        for position in 0..ca.len() {
            let mut changed = ca.to_vec();
            changed[position] ^= 1 << (position % 8);
            assert!(good.verdict(&[&good.leaf, &changed]).is_some(), "{algorithm:?} CA, octet {position}");
        }
        for position in 0..good.crl.len() {
            let mut crl = good.crl.clone();
            crl[position] ^= 1 << (position % 8);
            assert!(good.list(&crl).is_err(), "{algorithm:?} CRL, octet {position}");
            assert!(good.list(&good.crl[..position]).is_err(), "{algorithm:?} CRL, cut at {position}");
        }
    }
}

/// xorshift64*: enough for mutations.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % below.max(1)
    }

    /// Flips, cuts, doubles, moves and overwrites: lengths and tags above all.
    fn mutate(&mut self, octets: &[u8]) -> Vec<u8> {
        const SPICE: [u8; 12] = [0, 1, 2, 3, 4, 6, 0x30, 0x31, 0x80, 0x84, 0xa3, 0xff];
        let mut octets = octets.to_vec();
        for _ in 0..=self.roll(4) {
            if octets.is_empty() {
                octets.push(0x30);
            }
            let (at, to) = (self.roll(octets.len()), self.roll(octets.len()));
            match self.roll(6) {
                0 => octets[at] ^= 1 << self.roll(8),
                1 => octets[at] = SPICE[self.roll(SPICE.len())],
                2 => octets.truncate(at),
                3 => octets.insert(at, SPICE[self.roll(SPICE.len())]),
                4 => {
                    let part = octets[at.min(to)..at.max(to)].to_vec();
                    octets.splice(at..at, part);
                }
                _ => drop(octets.drain(at.min(to)..at.max(to))),
            }
        }
        octets
    }
}

/// Whatever comes, each decoder gives an answer.
fn decode(octets: &[u8], good: &Good, dir: &Path) {
    let ca = good.north.authority.certificate();
    let _ = good.verdict(&[octets, ca]);
    let _ = good.verdict(&[&good.leaf[..], octets]);
    let _ = verify_path(&[&good.leaf[..], ca], &[octets], None, NOW, Usage::ClientAuth);
    let _ = AuthorityScope::of_certificate(octets);
    let _ = good.list(octets);
    let _ = RevocationList::verify(&good.crl, octets);
    let _ = PublicKey::from_spki(octets);
    let _ = KeyPair::from_pkcs8(octets);
    let _ = Serial::from_der_content(octets);
    let rules = PathRules {
        algorithms: PROFILE_ALGORITHMS,
        purpose: Purpose::Any,
        order: PathOrder::Any,
        intermediates_max: 6,
        at: NOW,
    };
    let _ = validate_path(octets, &[ca, octets], &[octets, good.root.certificate()], &rules, None);
    let scan = pki::pem::scan(octets);
    if scan.damage.is_none() {
        let lines = octets.split(|octet| matches!(octet, b'\n' | b'\r'));
        let begins = lines.filter(|line| line.windows(11).any(|part| part == b"-----BEGIN ")).count();
        assert_eq!(scan.objects.len(), begins, "an object is lost in silence");
    }
    if let Ok(text) = std::str::from_utf8(octets) {
        let _ = KeyPair::from_pem(text);
        for file in ["ca.pem", "issuing.pem", "crl.pem"] {
            fs::write(dir.join(file), text).unwrap();
        }
        let _ = TrustBundle::load(dir);
    }
}

#[test]
fn no_mutation_makes_a_decoder_panic() {
    let seed = std::env::var("CHANCERY_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x5eed_u64);
    let dir = tempfile::tempdir().unwrap();
    for (index, algorithm) in [KeyAlgorithm::Ed25519, KeyAlgorithm::P256].into_iter().enumerate() {
        let good = Good::new(algorithm);
        let key = KeyPair::generate(algorithm).unwrap();
        let corpus: [Vec<u8>; 6] = [
            good.leaf.clone(),
            good.north.authority.certificate().to_vec(),
            good.crl.clone(),
            key.public().spki(),
            key.to_pem().as_bytes().to_vec(),
            pki::trust::files::certificates_pem(&[good.leaf.clone(), good.root.certificate().to_vec()]).into_bytes(),
        ];
        let mut dice = Dice(seed.wrapping_add(index as u64).max(1));
        for round in 0..1500 {
            let octets = dice.mutate(&corpus[round % corpus.len()]);
            let answered =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| decode(&octets, &good, dir.path())));
            assert!(answered.is_ok(), "CHANCERY_SEED={seed} {algorithm:?} round {round}: {}", hex::encode(octets));
        }
    }
}

#[test]
fn the_corpus_of_the_fuzz_targets_makes_no_decoder_panic() {
    let good = Good::new(KeyAlgorithm::Ed25519);
    let dir = tempfile::tempdir().unwrap();
    let mut files = 0;
    for target in ["certificate", "revocation_list", "pem"] {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
        for file in fs::read_dir(corpus).unwrap() {
            decode(&fs::read(file.unwrap().path()).unwrap(), &good, dir.path());
            files += 1;
        }
    }
    assert!(files > 25, "{files} files");
}

#[test]
fn a_list_has_one_form_only() {
    // The parser took a frame that is not marked as constructed (0x10 for 0x30), which no signature covers.
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let list = |name: &str| {
        let [crl, issuer] = [format!("revocation_list/{name}"), "certificate/issuing".into()];
        let [crl, issuer] = [crl, issuer].map(|file| fs::read(corpus.join(file)).unwrap());
        RevocationList::verify_under(&crl, &issuer, PROFILE_ALGORITHMS).map(|list| list.number())
    };
    assert_eq!(list("crl-good"), Ok(7));
    assert_eq!(list("frame-not-constructed"), Err(RevocationError::Malformed));
}
