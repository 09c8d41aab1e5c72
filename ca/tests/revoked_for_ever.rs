//! Who is revoked stays out: by the certificate before, by a list that was lost, from a folder that came back from a
//! backup.
#![allow(clippy::unwrap_used)]

use crate::consortium::{CONSORTIUM, Issuing, NOW, identity, root, trust_store};
use ca::{
    CertificateFolder, KeyPair, Possession, RenewalError, RevokedSerial,
    holder::request::make_request,
    limits::{DAY_MS, RENEWAL_GRACE_MS},
    office::{error::FolderError, issuing::LeafOptions, renewal::renewal_message, revocation::Selection},
};
use ledger_classes::primitives::time::Time;
use pki::{
    CertificateId, CertificateRequest, KeyAlgorithm, KeyId, LeafClaims, RevocationReason, Serial, TrustStore,
    limits::EARLIER_CRLS_MAX,
    trust::{
        bundle::TrustBundle,
        exchange::{Accepting, add_trust},
        revocation::{RevocationError, RevocationList},
    },
};
use std::{fs, path::Path};

const ALICE: &str = "north/client/alice";
const DAYS_10: u64 = 10 * DAY_MS;

fn folder(dir: &Path) -> CertificateFolder {
    let folder = CertificateFolder::create(dir, CONSORTIUM, KeyAlgorithm::Ed25519, NOW).unwrap();
    for organization in ["north", "south"] {
        folder.authorities().add_organization(organization, KeyAlgorithm::Ed25519, NOW).unwrap();
    }
    folder
}

fn key() -> KeyPair {
    KeyPair::generate(KeyAlgorithm::Ed25519).unwrap()
}

fn request(key: &KeyPair, name: &str) -> CertificateRequest {
    CertificateRequest::parse(make_request(key, &identity(name)).unwrap().as_bytes()).unwrap()
}

fn issue(folder: &CertificateFolder, key: &KeyPair, now: Time) -> Vec<u8> {
    let options = LeafOptions { lifetime_ms: DAYS_10, ..LeafOptions::default() };
    folder.issuing().issue(&identity(ALICE), key.public(), &options, now).unwrap().remove(0)
}

fn serial(leaf: &[u8]) -> Serial {
    LeafClaims::of_certificate(leaf).unwrap().serial().clone()
}

/// As over the API without a connection: the certificate may have expired.
fn renew(folder: &CertificateFolder, leaf: &[u8], old: &KeyPair, now: Time) -> Result<Vec<u8>, RenewalError> {
    let asked = request(&key(), ALICE);
    let signature = old.sign(&renewal_message(now, asked.der())).unwrap();
    let possession = Possession::Signature { at: now, signature: &signature };
    folder.renewal().renew(leaf, &asked, possession, now).map(|mut path| path.remove(0))
}

fn day(day: u64) -> Time {
    NOW.plus_millis(day * DAY_MS)
}

/// `ca revoke IDENTITY` passed over what had expired; within its grace the thief renewed that, and was back.
#[test]
fn who_is_revoked_does_not_come_back_with_the_certificate_before() {
    for reason in [RevocationReason::KeyCompromise, RevocationReason::CessationOfOperation] {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(dir.path());
        let (old, new) = (key(), key());
        let first = issue(&folder, &old, NOW);
        let renewed =
            folder.renewal().renew(&first, &request(&new, ALICE), Possession::Connection, day(8)).unwrap().remove(0);
        // The first one has expired, and its key is not the one that is in use.
        let revoked = folder.revocation().revoke(&Selection::Identity(identity(ALICE)), reason, day(12)).unwrap();
        let serials: Vec<Serial> = revoked.iter().map(|record| record.serial.clone()).collect();
        assert_eq!(serials, [serial(&first), serial(&renewed)]);
        let back = renew(&folder, &first, &old, day(12));
        assert!(matches!(back, Err(RenewalError::Revoked)), "{back:?}");
        // What can be renewed no more is left alone.
        let long_over = issue(&folder, &key(), day(13));
        let now = NOW.plus_millis(23 * DAY_MS + RENEWAL_GRACE_MS + DAY_MS);
        let current = issue(&folder, &key(), now);
        let revoked = folder.revocation().revoke(&Selection::Identity(identity(ALICE)), reason, now).unwrap();
        assert_eq!(revoked.iter().map(|record| record.serial.clone()).collect::<Vec<_>>(), [serial(&current)]);
        assert!(folder.records().unwrap().show(&serial(&long_over)).unwrap().0.revoked.is_none());
    }
}

#[test]
fn where_only_expired_certificates_are_left_these_are_revoked() {
    for over in [DAY_MS, RENEWAL_GRACE_MS + DAY_MS] {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(dir.path());
        let leaf = issue(&folder, &key(), NOW);
        let now = NOW.plus_millis(DAYS_10 + over);
        let by = Selection::Identity(identity(ALICE));
        let revoked = folder.revocation().revoke(&by, RevocationReason::Unspecified, now).unwrap();
        assert_eq!((revoked.len(), revoked[0].serial.clone()), (1, serial(&leaf)));
        let stranger = Selection::Identity(identity("north/client/nobody"));
        let unknown = folder.revocation().revoke(&stranger, RevocationReason::Unspecified, now);
        assert!(matches!(unknown, Err(FolderError::UnknownCertificate(_))), "{unknown:?}");
    }
}

#[test]
fn only_the_end_of_a_line_renews_and_none_whose_successor_is_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let keys = [key(), key(), key()];
    let first = issue(&folder, &keys[0], NOW);
    let by_connection = |leaf: &[u8], key: &KeyPair| {
        folder
            .renewal()
            .renew(leaf, &request(key, ALICE), Possession::Connection, day(1))
            .map(|mut path| path.remove(0))
    };
    // The answer was lost: the successor was never used.
    by_connection(&first, &keys[1]).unwrap();
    let second = by_connection(&first, &keys[1]).unwrap();
    let third = by_connection(&second, &keys[2]).unwrap();
    let again = by_connection(&first, &keys[1]);
    assert!(matches!(again, Err(RenewalError::Superseded)), "{again:?}");
    // One certificate is revoked, by its serial number: what it came of does not bring it back.
    folder.revocation().revoke(&Selection::Serial(serial(&third)), RevocationReason::Superseded, day(2)).unwrap();
    let before = by_connection(&second, &keys[2]);
    assert!(matches!(before, Err(RenewalError::LaterRevoked)), "{before:?}");
    // Another certificate of the same holder, on another machine, is its own line as long as it is valid.
    let beside = issue(&folder, &keys[0], day(2));
    let later = issue(&folder, &key(), day(3));
    folder.revocation().revoke(&Selection::Serial(serial(&later)), RevocationReason::KeyCompromise, day(4)).unwrap();
    assert!(by_connection(&beside, &keys[0]).is_ok());
    let expired = renew(&folder, &beside, &keys[0], day(13));
    assert!(matches!(expired, Err(RenewalError::LaterRevoked)), "{expired:?}");
}

/// An organization filed another's request, approved it, and revoked it as compromised: the other could not renew.
#[test]
fn what_one_organization_says_of_a_key_binds_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let keys = key();
    let leaf = issue(&folder, &keys, NOW);
    let copied = identity("south/client/x");
    folder.issuing().issue(&copied, keys.public(), &LeafOptions::default(), NOW).unwrap();
    folder.revocation().revoke(&Selection::Identity(copied), RevocationReason::KeyCompromise, NOW).unwrap();
    assert!(folder.records().unwrap().is_compromised("south", keys.public()));
    assert!(!folder.records().unwrap().is_compromised("north", keys.public()));
    assert!(folder.renewal().renew(&leaf, &request(&keys, ALICE), Possession::Connection, NOW).is_ok());
}

/// The crash came between the index and the list: "revoked" was in force nowhere, for ten days.
#[test]
fn a_list_that_lacks_what_was_revoked_is_due_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    issue(&folder, &key(), NOW);
    assert!(folder.records().unwrap().due_crls(NOW).is_empty() && folder.records().unwrap().lacking_crls().is_empty());
    let (index, list) = (dir.path().join("ca/index.jsonl"), dir.path().join("ca/crl/north.pem"));
    let before = fs::read(&list).unwrap();
    folder.revocation().revoke(&Selection::Identity(identity(ALICE)), RevocationReason::KeyCompromise, NOW).unwrap();
    let whole = fs::read_to_string(&index).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    assert!(lines[lines.len() - 2].contains("\"revoked\"") && lines[lines.len() - 1].contains("crl-intended"));
    for left in [lines.len() - 1, lines.len()] {
        fs::write(&index, lines[..left].join("\n") + "\n").unwrap();
        fs::write(&list, &before).unwrap();
        let folder = CertificateFolder::open(dir.path()).unwrap();
        assert_eq!(folder.records().unwrap().due_crls(NOW), ["north"], "{left} lines");
        assert_eq!(folder.records().unwrap().lacking_crls(), ["north"]);
        folder.publication().reissue_crl("north", NOW).unwrap();
        assert!(folder.records().unwrap().due_crls(NOW).is_empty());
        let issuer = folder.records().unwrap().authority_certificate("north").unwrap();
        let lists = folder.records().unwrap().bundle(&["north".into()]).unwrap().crls;
        let held = lists.iter().find_map(|crl| RevocationList::verify(crl, &issuer).ok()).unwrap();
        assert_eq!(held.len(), 1);
    }
    fs::remove_file(&list).unwrap();
    assert_eq!(folder.records().unwrap().due_crls(NOW), ["north"]);
}

/// The number went back with the folder, and what was revoked from then on was passed over in silence.
#[test]
fn a_folder_from_a_backup_is_heard_and_takes_no_revocation_back() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let names: Vec<_> = ["a", "b"].map(|name| identity(&format!("north/client/{name}"))).into();
    for name in &names {
        folder.issuing().issue(name, key().public(), &LeafOptions::default(), NOW).unwrap();
    }
    let store = trust_store(&folder.records().unwrap().trust().unwrap());
    let issuer = KeyId::of_certificate(&folder.records().unwrap().authority_certificate("north").unwrap()).unwrap();
    let revoked = || store.revocation().current().list(&issuer).unwrap().len();
    let learn = |folder: &CertificateFolder| {
        let crls = folder.records().unwrap().bundle(&["north".into()]).unwrap().crls;
        crls.iter().filter_map(|crl| store.install_crl(crl).ok().flatten()).count()
    };
    let index = dir.path().join("ca/index.jsonl");
    let backup = fs::read(&index).unwrap();
    for _ in 0..5 {
        folder
            .revocation()
            .revoke(&Selection::Identity(names[0].clone()), RevocationReason::KeyCompromise, day(1))
            .unwrap();
    }
    assert_eq!((learn(&folder), revoked()), (1, 1));
    fs::write(&index, backup).unwrap();
    let restored = CertificateFolder::open(dir.path()).unwrap();
    restored
        .revocation()
        .revoke(&Selection::Identity(names[1].clone()), RevocationReason::KeyCompromise, day(2))
        .unwrap();
    assert_eq!((learn(&restored), revoked()), (1, 2), "the new list is the newer one, and the old one counts");
    assert!(restored.records().unwrap().authorities().values().all(|record| record.crl_number >= NOW.millis() / 1000));
}

/// A list that lacks what an earlier one revoked replaced it on disk, and the next start forgot the revocation.
#[test]
fn what_a_newer_list_leaves_out_is_kept_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = root(KeyAlgorithm::Ed25519);
    let north = Issuing::under(&root, "north", KeyAlgorithm::Ed25519);
    let (anchors, issuing) = (vec![root.certificate().to_vec()], vec![north.authority.certificate().to_vec()]);
    let bundle = TrustBundle { anchors, issuing, ..TrustBundle::default() };
    let issuer = KeyId::of_certificate(&bundle.issuing[0]).unwrap();
    let named = |name: u8| -> Serial { format!("{name:02x}").parse().unwrap() };
    let listed = |names: &[u8], number: u64| {
        let reason = RevocationReason::KeyCompromise;
        let entries = names.iter().map(|name| RevokedSerial { serial: named(*name), at: NOW, reason });
        let entries: Vec<RevokedSerial> = entries.collect();
        north.authority.issue_crl(&entries, number, NOW, NOW.plus_millis(30 * DAY_MS)).unwrap()
    };
    let open = |crls: &[Vec<u8>]| trust_store(&TrustBundle { crls: crls.to_vec(), ..bundle.clone() });
    let is_revoked =
        |store: &TrustStore, name: u8| store.revocation().is_revoked(&CertificateId { issuer, serial: named(name) });
    let kept = |store: &TrustStore| store.revocation().current().ders().map(<[u8]>::to_vec).collect::<Vec<_>>();

    let store = open(&[]);
    assert!(store.install_crl(&listed(&[1, 2], 5000)).unwrap().is_some());
    assert!(store.install_crl(&listed(&[2, 3], 5001)).unwrap().is_some());
    assert_eq!(kept(&store).len(), 2);
    // Older ones that are brought later count as well, and only for what is news.
    let change = store.install_crl(&listed(&[3, 4], 4000)).unwrap().unwrap();
    assert_eq!(change.revoked.len(), 1);
    let refused = store.install_crl(&listed(&[1, 4], 3000));
    assert_eq!(refused, Err(RevocationError::Older { offered: 3000, installed: 5001 }));
    // After a restart all of it is in force, in whatever order the lists are read.
    let mut lists = kept(&store);
    for _ in 0..lists.len() {
        lists.rotate_left(1);
        let again = open(&lists);
        assert!((1..=4).all(|name| is_revoked(&again, name)));
        let (mut one, mut other) = (kept(&again), kept(&store));
        one.sort();
        other.sort();
        assert_eq!(one, other, "whoever has seen the same lists keeps the same ones");
    }
    // Another list with the same number, and those before it are read after it.
    let change = store.install_crl(&listed(&[5], 5001)).unwrap().unwrap();
    assert_eq!(change.revoked.len(), 1);
    let again = open(&kept(&store).into_iter().rev().collect::<Vec<_>>());
    assert!((1..=5).all(|name| is_revoked(&again, name)));
    // A list that names all of it is enough again.
    store.install_crl(&listed(&[1, 2, 3, 4, 5], 6000)).unwrap();
    assert_eq!(kept(&store).len(), 1);
    // And there is an end to it.
    for number in 0..2 * EARLIER_CRLS_MAX {
        let name = u8::try_from(10 + number).unwrap();
        store.install_crl(&listed(&[name], 7000 + number as u64)).unwrap();
    }
    assert_eq!(kept(&store).len(), EARLIER_CRLS_MAX + 1);
    // What one takes from another's file is kept the same way.
    let into = dir.path().join("into");
    fs::create_dir(&into).unwrap();
    TrustBundle { crls: vec![listed(&[1], 5000)], ..bundle.clone() }.save(&into).unwrap();
    let brought = TrustBundle { crls: vec![listed(&[2], 5001)], ..bundle.clone() };
    add_trust(&into, CONSORTIUM, brought, Accepting::default(), NOW).unwrap();
    let again = open(&TrustBundle::load(&into).unwrap().crls);
    assert!(is_revoked(&again, 1) && is_revoked(&again, 2));
}

/// After `ca reissue` the file that others were given held no CA of the organization.
#[test]
fn what_is_handed_to_others_holds_the_ca_also_after_it_was_certified_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let names = ["north".to_owned()];
    assert_eq!(folder.records().unwrap().bundle(&names).unwrap().issuing.len(), 1);
    folder.authorities().reissue("north", day(5)).unwrap();
    let bundle = folder.records().unwrap().bundle(&names).unwrap();
    assert_eq!((bundle.anchors.len(), bundle.issuing.len(), bundle.crls.len()), (1, 2, 2));
    assert_eq!(
        bundle.issuing[0],
        folder.records().unwrap().authority_certificate("north").unwrap(),
        "the newest first"
    );
}
