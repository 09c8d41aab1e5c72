//! A CRL is verified and indexed once, when it is installed: no handshake pays for its size. The path library would
//! verify the whole list again at each handshake (measured: 7.6 ms for 100,000 entries).
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use crate::consortium::{CONSORTIUM, Issuing, NOW, identity, root};
use ca::{KeyPair, RevokedSerial, limits::DAY_MS};
use pki::{
    KeyAlgorithm, PathError, RevocationPolicy, RevocationReason, TrustStore, Usage,
    trust::revocation::RevocationStatusError,
};
use std::time::{Duration, Instant};

const ENTRIES: u32 = 100_000;
/// What 100,000 entries may cost a handshake over none.
const EXTRA_MAX: Duration = Duration::from_micros(200);

/// The best of several rounds, so that other work on the machine does not decide.
fn cost(trust: &TrustStore, path: &[Vec<u8>]) -> Duration {
    let round = || {
        let started = Instant::now();
        for _ in 0..10 {
            trust.verify(path, NOW, Usage::ClientAuth).unwrap();
        }
        started.elapsed() / 10
    };
    (0..20).map(|_| round()).min().unwrap()
}

#[test]
fn a_list_of_a_hundred_thousand_entries_costs_a_handshake_nothing() {
    let root = root(KeyAlgorithm::Ed25519);
    let north = Issuing::under(&root, "north", KeyAlgorithm::Ed25519);
    let der = |authority: &ca::Authority| authority.certificate().to_vec();
    let store = || {
        let (anchors, issuing) = (vec![der(&root)], vec![der(&north.authority)]);
        let trust = TrustStore::new(CONSORTIUM, anchors, issuing, RevocationPolicy::default()).unwrap();
        trust.install_crl(&root.issue_crl(&[], 1, NOW, NOW.plus_millis(DAY_MS)).unwrap()).unwrap();
        trust
    };
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let path = vec![north.leaf(&identity("north/client/alice"), &key), der(&north.authority)];
    let gone = vec![north.leaf(&identity("north/client/gone"), &key), der(&north.authority)];

    let empty = store();
    let list = north.authority.issue_crl(&[], 1, NOW, NOW.plus_millis(DAY_MS)).unwrap();
    empty.install_crl(&list).unwrap();
    let serial = empty.verify(&gone, NOW, Usage::ClientAuth).unwrap().serial().clone();

    let entry = |serial| RevokedSerial { serial, at: NOW, reason: RevocationReason::Superseded };
    let mut revoked: Vec<RevokedSerial> =
        (1..ENTRIES).map(|number| entry(format!("7f{number:08x}").parse().unwrap())).collect();
    revoked.push(entry(serial));
    let list = north.authority.issue_crl(&revoked, 2, NOW, NOW.plus_millis(DAY_MS)).unwrap();
    let full = store();
    let started = Instant::now();
    let change = full.install_crl(&list).unwrap().unwrap();
    let installed = started.elapsed();
    assert_eq!(change.revoked.len(), ENTRIES as usize);

    let (without, with) = (cost(&empty, &path), cost(&full, &path));
    println!(
        "{} bytes installed in {installed:?}; a path costs {without:?} with an empty list, {with:?} with {ENTRIES}",
        list.len()
    );
    assert!(with.saturating_sub(without) < EXTRA_MAX, "{without:?} without, {with:?} with");
    let refused = full.verify(&gone, NOW, Usage::ClientAuth);
    assert_eq!(refused, Err(PathError::Revocation { position: 0, source: RevocationStatusError::Revoked }));
}
