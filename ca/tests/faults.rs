//! Which fault the ledger is told of a path that has several: the first by the path rules' own order, whatever a library for
//! paths finds first.
#![allow(clippy::unwrap_used)]

use crate::consortium::{Issuing, NOW, date, leaf_params, root};
use ca::{KeyPair, limits::DAY_MS};
use ledger_classes::formats::detail::{PathFault, PathRefusal};
use pki::{KeyAlgorithm, path_fault, verify_participant};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose as Eku,
    GeneralSubtree, IsCa, Issuer, KeyUsagePurpose as Ku, NameConstraints, SanType,
};
use rustls::pki_types::CertificateDer;

/// A good path before it is signed: a leaf below an organization's CA below a root.
struct Plan {
    leaf: CertificateParams,
    authority: CertificateParams,
    root: CertificateParams,
    /// The last byte of the CA's signature is another one.
    forged: bool,
    /// The channel lists the root.
    listed: bool,
}

impl Plan {
    fn good() -> Self {
        let authority = |name: &str, below| {
            let mut params = leaf_params("spiffe://harbour.example");
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
            params.key_usages = vec![Ku::KeyCertSign, Ku::CrlSign];
            params.extended_key_usages = Vec::new();
            params
        };
        let mut issuing = authority("north CA", 0);
        issuing.distinguished_name.push(DnType::OrganizationName, "north");
        let leaf = leaf_params("spiffe://harbour.example/north/client/alice");
        Self { leaf, authority: issuing, root: authority("root", 1), forged: false, listed: true }
    }

    /// The path, and the roots.
    fn sign(self) -> ([Vec<u8>; 2], Vec<Vec<u8>>) {
        let keys = [(); 3].map(|()| KeyPair::generate(KeyAlgorithm::Ed25519).unwrap());
        let issuer = |der: &[u8], key: &KeyPair| {
            let copy = KeyPair::from_pkcs8(key.pkcs8()).unwrap();
            Issuer::from_ca_cert_der(&CertificateDer::from(der), copy).unwrap()
        };
        let root = self.root.self_signed(&keys[0]).unwrap().der().to_vec();
        let issued = self.authority.signed_by(&keys[1], &issuer(&root, &keys[0])).unwrap();
        let mut authority = issued.der().to_vec();
        let leaf = self.leaf.signed_by(&keys[2], &issuer(&authority, &keys[1])).unwrap().der().to_vec();
        *authority.last_mut().unwrap() ^= u8::from(self.forged);
        ([leaf, authority], if self.listed { vec![root] } else { Vec::new() })
    }
}

fn another_key(params: &mut CertificateParams) {
    params.use_authority_key_identifier_extension = false;
    // [0] IMPLICIT key identifier of 20 octets.
    let content = [&[0x30, 22, 0x80, 20][..], &[7; 20]].concat();
    params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 35], content));
}

fn uri(params: &mut CertificateParams, uri: &str) {
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
}

type Row = (&'static str, PathRefusal, fn(&mut Plan));

/// Every fault that can be had beside others, in the order of the rules.
fn rows() -> Vec<Row> {
    use PathFault as F;
    let at = PathRefusal::at;
    vec![
        ("a leaf for mail", at(F::ExtendedKeyUsage, 0), |plan| {
            plan.leaf.extended_key_usages.push(Eku::EmailProtection)
        }),
        ("a leaf for servers", F::Usage.into(), |plan| {
            uri(&mut plan.leaf, "spiffe://harbour.example/north/peer/alice");
            plan.leaf.extended_key_usages = vec![Eku::ServerAuth];
        }),
        ("a CA that signs lists only", at(F::AuthorityKeyUsage, 1), |plan| {
            plan.authority.key_usages = vec![Ku::CrlSign]
        }),
        ("no root", F::UnknownIssuer.into(), |plan| plan.listed = false),
        ("an expired leaf", F::Expired.into(), |plan| plan.leaf.not_after = date(NOW.minus_millis(1_000))),
        ("another key's identifier", at(F::KeyIdentifier, 0), |plan| another_key(&mut plan.leaf)),
        ("a CA of tomorrow", F::NotYetValid.into(), |plan| {
            plan.authority.not_before = date(NOW.plus_millis(DAY_MS));
        }),
        ("a root without CAs below", at(F::PathLength, 2), |plan| {
            plan.root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        }),
        ("a forged CA", at(F::Signature, 1), |plan| plan.forged = true),
        ("a CA for servers", F::Usage.into(), |plan| plan.authority.extended_key_usages = vec![Eku::ServerAuth]),
        ("another consortium", F::Consortium.into(), |plan| uri(&mut plan.authority, "spiffe://evil.example")),
        ("another organization", F::Organization.into(), |plan| {
            plan.authority.distinguished_name.push(DnType::OrganizationName, "south");
        }),
        ("a CA for another name", F::NameConstraint.into(), |plan| {
            let mut name = DistinguishedName::new();
            name.push(DnType::CommonName, "somebody else");
            plan.authority.name_constraints = Some(NameConstraints {
                permitted_subtrees: vec![GeneralSubtree::DirectoryName(name)],
                excluded_subtrees: Vec::new(),
            });
        }),
    ]
}

fn slices(list: &[Vec<u8>]) -> Vec<&[u8]> {
    list.iter().map(Vec::as_slice).collect()
}

/// The path library found a wrong signature before a date, and so would hash another fault than its next release.
#[test]
fn of_two_faults_the_first_by_our_own_order_is_told() {
    let (rows, mut library) = (rows(), 0);
    let stranger = root(KeyAlgorithm::P256).certificate().to_vec();
    for (first, (name, expected, _)) in rows.iter().enumerate() {
        for (other, _, _) in &rows[first..] {
            let mut plan = Plan::good();
            // The later one first, since some set what others add to.
            rows.iter()
                .rev()
                .filter(|(row, ..)| row == name || row == other)
                .for_each(|(_, _, spoil)| spoil(&mut plan));
            let (path, mut roots) = plan.sign();
            let refused = verify_participant(&path, &roots, NOW).expect_err("it has a fault");
            assert_eq!(path_fault(&slices(&path), &slices(&roots), NOW), *expected, "{name} and {other}: {refused:?}");
            library += usize::from(PathRefusal::from(&refused) != *expected);
            // What else is listed, and in which order, changes nothing.
            roots.insert(0, stranger.clone());
            roots.push(vec![0x30, 0]);
            assert_eq!(path_fault(&slices(&path), &slices(&roots), NOW), *expected, "{name} and {other}");
        }
    }
    assert!(library > 10, "the library's order is another one: {library}");
    let (path, roots) = Plan::good().sign();
    assert!(verify_participant(&path, &roots, NOW).is_ok());
    // What a root says of purposes binds nobody.
    let mut plan = Plan::good();
    plan.root.extended_key_usages = vec![Eku::ServerAuth];
    let (path, roots) = plan.sign();
    assert!(verify_participant(&path, &roots, NOW).is_ok());
}

#[test]
fn a_path_that_leads_nowhere_is_told_why() {
    let of = |path: &[Vec<u8>], roots: &[Vec<u8>]| {
        assert!(verify_participant(path, roots, NOW).is_err());
        path_fault(&slices(path), &slices(roots), NOW)
    };
    let ([leaf, authority], roots) = Plan::good().sign();
    assert_eq!(of(&[], &roots), PathFault::Empty.into());
    assert_eq!(of(&vec![leaf.clone(); 6], &roots), PathFault::Length.into());
    let root = root(KeyAlgorithm::Ed25519);
    let south = Issuing::under(&root, "south", KeyAlgorithm::Ed25519).authority.certificate().to_vec();
    assert_eq!(of(&[leaf.clone(), south.clone(), authority.clone()], &roots), PathFault::Order.into());
    assert_eq!(of(&[leaf.clone(), south], &roots), PathFault::UnknownIssuer.into());
    assert_eq!(of(&[leaf.clone(), vec![0x30, 0]], &roots), PathRefusal::at(PathFault::Malformed, 1));
    assert_eq!(of(&[leaf, authority], &[root.certificate().to_vec()]), PathFault::UnknownIssuer.into());
    // A root that may not certify is listed all the same.
    let mut plan = Plan::good();
    plan.root.key_usages = vec![Ku::CrlSign];
    let (path, roots) = plan.sign();
    assert_eq!(of(&path, &roots), PathFault::Anchor.into());
    // One of two roots of one name has the key that the CA names, whichever is listed first.
    let ([leaf, authority], mut roots) = Plan::good().sign();
    let (_, others) = Plan::good().sign();
    roots.extend(others);
    let mut forged = authority;
    *forged.last_mut().unwrap() ^= 1;
    for roots in [roots.clone(), roots.into_iter().rev().collect()] {
        assert_eq!(of(&[leaf.clone(), forged.clone()], &roots), PathRefusal::at(PathFault::Signature, 1));
    }
}
