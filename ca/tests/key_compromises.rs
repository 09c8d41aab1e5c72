//! A key that others have is revoked with all its certificates, gets no other, and renews nothing.
#![allow(clippy::unwrap_used)]

use crate::consortium::{CONSORTIUM, NOW, identity};
use ca::{
    CertificateFolder, KeyPair, Possession, RegistrationError, RenewalError, RequestStatus,
    holder::request::make_request,
    limits::DAY_MS,
    office::{error::FolderError, issuing::LeafOptions, record::CertificateStatus, revocation::Selection},
};
use pki::{
    CertificateRequest, KeyAlgorithm, LeafClaims, RevocationReason, Serial, trust::revocation::RevocationList,
    x509::ocsp,
};
use std::path::Path;

const ALICE: &str = "north/client/alice";
const REASON: RevocationReason = RevocationReason::KeyCompromise;

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

fn issue(folder: &CertificateFolder, name: &str, key: &KeyPair) -> (Vec<u8>, Serial) {
    let leaf = folder.issuing().issue(&identity(name), key.public(), &LeafOptions::default(), NOW).unwrap().remove(0);
    let serial = LeafClaims::of_certificate(&leaf).unwrap().serial().clone();
    (leaf, serial)
}

fn renew(folder: &CertificateFolder, leaf: &[u8], key: &KeyPair) -> Result<(Vec<u8>, Serial), RenewalError> {
    let leaf = folder.renewal().renew(leaf, &request(key, ALICE), Possession::Connection, NOW)?.remove(0);
    let serial = LeafClaims::of_certificate(&leaf).unwrap().serial().clone();
    Ok((leaf, serial))
}

fn revoked_of(folder: &CertificateFolder, name: &str) -> RevocationList {
    let crls = folder.records().unwrap().trust().unwrap().crls;
    let issuer = folder.records().unwrap().authority_certificate(name).unwrap();
    crls.iter().find_map(|crl| RevocationList::verify(crl, &issuer).ok()).unwrap()
}

/// The sibling of a certificate that was revoked for key compromise renewed itself to a new key.
#[test]
fn every_certificate_of_a_compromised_key_is_revoked_and_none_is_issued_or_renewed_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let stolen = key();
    let (_, named) = issue(&folder, ALICE, &stolen);
    let (sibling, sibling_serial) = issue(&folder, ALICE, &stolen);
    let (_, as_another) = issue(&folder, "north/client/alice-2", &stolen);
    let (_, of_another_ca) = issue(&folder, "south/client/alice", &stolen);
    let (_, of_another_key) = issue(&folder, ALICE, &key());
    let waiting =
        folder.registration().file_request(&request(&stolen, "north/client/alice-3"), None, "x", NOW).unwrap();

    let revoked = folder.revocation().revoke(&Selection::Serial(named.clone()), REASON, NOW).unwrap();
    let serials: Vec<&Serial> = revoked.iter().map(|record| &record.serial).collect();
    assert_eq!(serials, [&named, &sibling_serial, &as_another], "all are told of, in the order of issue");
    let (crl, issuer) =
        (revoked_of(&folder, "north"), folder.records().unwrap().authority_certificate("north").unwrap());
    assert_eq!(crl.len(), 3);
    for serial in serials {
        assert!(crl.contains(serial));
        let answer = folder.records().unwrap().ocsp_answer(serial).unwrap();
        let said = ocsp::verify_answer(&answer, &issuer, serial).unwrap().status;
        assert_eq!(said, ocsp::Status::Revoked { at: NOW, reason: REASON });
        let acts = folder.records().unwrap().show(serial).unwrap().0.acts;
        assert!(acts.iter().any(|act| act.act == "revoked"), "each has its own line");
    }
    // Another CA decides about its own; another key is another's matter.
    assert!(revoked_of(&folder, "south").is_empty() && !crl.contains(&of_another_key));
    assert_eq!(folder.records().unwrap().show(&of_another_ca).unwrap().0.status(NOW), CertificateStatus::Valid);

    assert!(matches!(renew(&folder, &sibling, &key()), Err(RenewalError::Revoked)));
    let compromised =
        |error: RegistrationError| matches!(error, RegistrationError::Folder(FolderError::CompromisedKey));
    let again = request(&stolen, "north/client/eve");
    assert!(compromised(folder.registration().file_request(&again, None, "x", NOW).unwrap_err()));
    assert!(compromised(folder.registration().approve(&waiting.record.id, "boss", None, NOW).unwrap_err()));
    let token = folder
        .registration()
        .add_token(&identity("north/client/eve"), None, Default::default(), DAY_MS, NOW)
        .unwrap()
        .0;
    assert!(compromised(folder.registration().enrol(&again, None, &token, "x", NOW).unwrap_err()));
    let direct = folder.issuing().issue(&identity(ALICE), stolen.public(), &LeafOptions::default(), NOW);
    assert!(matches!(direct, Err(FolderError::CompromisedKey)), "{direct:?}");
    // What north says of the key binds south in nothing: it revokes for itself.
    let other = folder.records().unwrap().show(&of_another_ca).unwrap().1.remove(0);
    let asked = request(&key(), "south/client/alice");
    let renewed = folder.renewal().renew(&other, &asked, Possession::Connection, NOW);
    assert!(renewed.is_ok(), "{renewed:?}");
    // Nobody else is kept out.
    assert_eq!(
        folder.registration().file_request(&request(&key(), ALICE), None, "x", NOW).unwrap().status,
        RequestStatus::Requested
    );
}

#[test]
fn a_certificate_that_was_revoked_for_another_reason_still_tells_that_its_key_is_compromised() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let stolen = key();
    let (_, first) = issue(&folder, ALICE, &stolen);
    let (_, second) = issue(&folder, ALICE, &stolen);
    let by = Selection::Serial(first.clone());
    folder.revocation().revoke(&by, RevocationReason::Superseded, NOW).unwrap();
    let later = NOW.plus_millis(DAY_MS);
    assert_eq!(
        folder.records().unwrap().show(&second).unwrap().0.status(later),
        CertificateStatus::Valid,
        "a serial is a serial"
    );
    let revoked = folder.revocation().revoke(&by, REASON, later).unwrap();
    assert_eq!(revoked.iter().map(|record| &record.serial).collect::<Vec<_>>(), [&first, &second]);
    let first = folder.records().unwrap().show(&first).unwrap().0.revoked.unwrap();
    assert_eq!((first.at, first.reason), (NOW, REASON), "revoked since then, and why is known better");
    // What a folder that is opened anew reads is the same.
    let opened = CertificateFolder::open(dir.path()).unwrap();
    assert!(opened.records().unwrap().is_compromised("north", stolen.public()));
    assert_eq!(opened.records().unwrap().certificates(), folder.records().unwrap().certificates());
}

#[test]
fn what_a_compromised_key_was_renewed_to_is_told_of_and_revoked_with_it_if_asked() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let (a, b, c) = (key(), key(), key());
    let (first, serial_a) = issue(&folder, ALICE, &a);
    let (second, serial_b) = renew(&folder, &first, &b).unwrap();
    let (_, serial_c) = renew(&folder, &second, &c).unwrap();
    let by = Selection::Serial(serial_a.clone());
    let serials = |all: &[ca::office::record::CertificateRecord]| -> Vec<Serial> {
        all.iter().map(|record| record.serial.clone()).collect()
    };

    let only = folder.revocation().revoke_with(&by, REASON, false, NOW).unwrap();
    assert_eq!(serials(&only.certificates), std::slice::from_ref(&serial_a));
    assert_eq!(serials(&only.renewed), [serial_b.clone(), serial_c.clone()], "since it was renewed, step by step");
    let all = folder.revocation().revoke_with(&by, REASON, true, NOW).unwrap();
    assert_eq!(serials(&all.certificates), [serial_a, serial_b.clone(), serial_c.clone()]);
    assert!(all.renewed.is_empty());
    for key in [&a, &b, &c] {
        assert!(folder.records().unwrap().is_compromised("north", key.public()));
    }
    // The other way round: what a compromised key came of is not its doing.
    let (first, _) = issue(&folder, "north/client/bob", &key());
    let asked = key();
    let second =
        folder.renewal().renew(&first, &request(&asked, "north/client/bob"), Possession::Connection, NOW).unwrap();
    let second = LeafClaims::of_certificate(&second[0]).unwrap().serial().clone();
    let revoked = folder.revocation().revoke_with(&Selection::Serial(second), REASON, true, NOW).unwrap();
    assert_eq!((revoked.certificates.len(), revoked.renewed.len()), (1, 0));
}

/// `GET /v1/ca/requests/{id}` parsed the whole index for whoever asked: 3 ms at 311 lines, and so on.
#[test]
fn to_ask_for_one_request_costs_the_same_in_a_long_index() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let filed = folder.registration().file_request(&request(&key(), ALICE), None, "x", NOW).unwrap();
    let index = dir.path().join("ca/index.jsonl");
    let line = std::fs::read_to_string(&index).unwrap().lines().last().unwrap().to_owned();
    let id = filed.record.id.to_string();
    let many: String = (0..10_000)
        .map(|n| line.replace(&id, &format!("{n:032x}")).replace("alice", &format!("a-{n}")) + "\n")
        .collect();
    let whole = std::fs::read_to_string(&index).unwrap() + &many;
    std::fs::write(&index, whole).unwrap();
    // A folder that was not read yet reads all of it, once. From then on nothing is read for a question: it is answered
    // also where the lines cannot be read any more.
    let start = std::time::Instant::now();
    let fresh = CertificateFolder::open(dir.path()).unwrap();
    let whole = start.elapsed();
    assert_eq!(fresh.records().unwrap().filed_requests(NOW).len(), 10_001);
    let start = std::time::Instant::now();
    const ASKED: u32 = 1_000;
    for _ in 0..ASKED {
        assert_eq!(
            fresh.records().unwrap().filed_request(&filed.record.id, NOW).unwrap().status,
            RequestStatus::Requested
        );
    }
    let each = start.elapsed() / ASKED;
    println!("a question in an index of 10,000 requests takes {each:?}, to read all of it {whole:?}");
    // Parsing these lines takes hundreds of milliseconds in this profile, and tens in the other.
    assert!(each < std::time::Duration::from_millis(2), "{each:?}");
}
