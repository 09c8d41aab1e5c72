//! A CA's next certificate under the same key: what was signed before and after holds under both, for us and for
//! OpenSSL, and no crash between two files leaves anything else.
#![allow(clippy::unwrap_used)]

use crate::consortium::{CONSORTIUM, NOW, identity, trust_store};
use ca::{
    CertificateFolder,
    limits::DAY_MS,
    office::{
        error::FolderError, issuing::LeafOptions, record::AuthorityRecord, reissue::newest, revocation::Selection,
    },
};
use pki::{
    KeyAlgorithm, PathError, RevocationReason, Usage,
    trust::files::{certificates_pem, read_certificates},
    verify_participant, verify_revocation,
};
use std::{fs, path::Path, process::Command};

const LATER: ledger_classes::primitives::time::Time = NOW.plus_millis(20 * DAY_MS);

fn folder(dir: &Path) -> CertificateFolder {
    let folder = CertificateFolder::create(dir, CONSORTIUM, KeyAlgorithm::Ed25519, NOW).unwrap();
    folder.authorities().add_organization("north", KeyAlgorithm::P256, NOW).unwrap();
    folder.authorities().add_organization_root("south", KeyAlgorithm::Ed25519, NOW).unwrap();
    folder
}

fn issue(
    dir: &Path,
    folder: &CertificateFolder,
    name: &str,
    now: ledger_classes::primitives::time::Time,
) -> Vec<Vec<u8>> {
    let who = identity(name);
    folder.issuing().issue_profile(&who, &LeafOptions::default(), &dir.join(who.name()), now).unwrap().path
}

fn verdict(folder: &CertificateFolder, path: &[Vec<u8>]) -> Result<(), PathError> {
    let store = trust_store(&folder.records().unwrap().trust().unwrap());
    store.verify(path, LATER, Usage::ClientAuth).map(|_| ())
}

fn record(folder: &CertificateFolder, name: &str) -> AuthorityRecord {
    folder.records().unwrap().authorities()[name].clone()
}

#[test]
fn paths_hold_under_the_old_and_the_new_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let folder = folder(dir);
    let alice = issue(dir, &folder, "north/client/alice", NOW);
    let bob = issue(dir, &folder, "south/client/bob", NOW);
    let before = folder.records().unwrap().trust().unwrap();
    for name in ["north", "south"] {
        let old = record(&folder, name);
        let new = folder.authorities().reissue(name, LATER).unwrap();
        assert_eq!(new, record(&folder, name));
        assert!(new.serial != old.serial && new.not_after == old.not_after.plus_millis(20 * DAY_MS));
        assert_eq!((new.earlier.len(), &new.earlier[0].serial), (1, &old.serial));
    }
    let trust = folder.records().unwrap().trust().unwrap();
    assert_eq!((trust.anchors.len(), trust.issuing.len()), (3, 2));
    let all: Vec<Vec<u8>> = trust.anchors.iter().chain(&trust.issuing).cloned().collect();
    let newest = newest(all);
    assert_eq!(newest.len(), 3, "one for each name and key");

    // Who was there before, who came after, and each with the CA certificate of the other.
    let carol = issue(dir, &folder, "north/client/carol", LATER);
    let dave = issue(dir, &folder, "south/client/dave", LATER);
    assert!(carol[1] != alice[1] && newest.contains(&carol[1]) && before.issuing.contains(&alice[1]));
    for path in [&alice, &carol, &bob, &dave, &vec![alice[0].clone(), carol[1].clone()]] {
        verdict(&folder, path).unwrap();
    }
    // A channel may list either certificate as the one that vouches for its organization.
    for (path, issuing) in [(&alice, [&alice[1], &carol[1]]), (&carol, [&alice[1], &carol[1]])] {
        issuing.iter().for_each(|one| drop(verify_participant(path, &[(*one).clone()], LATER).unwrap()));
    }
    for path in [&bob, &dave] {
        for anchor in trust.anchors.iter().filter(|der| verify_participant(path, &[(*der).clone()], LATER).is_ok()) {
            assert!(before.anchors.contains(anchor) || newest.contains(anchor));
        }
        assert_eq!(
            trust.anchors.iter().filter(|der| verify_participant(path, &[(*der).clone()], LATER).is_ok()).count(),
            2
        );
    }

    // One CRL and one OCSP answer count under both.
    for (name, path) in [("north/client/alice", &alice), ("south/client/bob", &bob)] {
        let revoked = folder
            .revocation()
            .revoke(&Selection::Identity(identity(name)), RevocationReason::Superseded, LATER)
            .unwrap();
        let other = [&[path[0].clone()], &path[1..].iter().map(|_| carol[1].clone()).collect::<Vec<_>>()[..]].concat();
        for path in [path, &other] {
            assert!(matches!(verdict(&folder, path), Err(PathError::Revocation { position: 0, .. })));
        }
        let evidence = folder.records().unwrap().evidence(&revoked[0]).unwrap().unwrap();
        let vouching = trust.anchors.iter().chain(&trust.issuing);
        let proven = |anchor: &&Vec<u8>| {
            verify_revocation(&evidence.path, &evidence.answer, &[(*anchor).clone()], LATER).is_ok()
        };
        // The root too, where the path goes up to it.
        assert_eq!(vouching.filter(proven).count(), 1 + path.len());
    }
    // The whole CA: no path of it is left.
    folder.revocation().revoke_organization("north", RevocationReason::CaCompromise, LATER).unwrap();
    for path in [&carol, &vec![carol[0].clone(), alice[1].clone()]] {
        assert!(matches!(verdict(&folder, path), Err(PathError::Revocation { position: 1, .. })));
    }
    assert!(matches!(folder.authorities().reissue("north", LATER), Err(FolderError::AuthorityRevoked(_))));
    assert!(matches!(folder.authorities().reissue("root", LATER), Err(FolderError::RootReissue)));
    assert!(matches!(folder.authorities().reissue("west", LATER), Err(FolderError::UnknownAuthority(_))));
}

/// The folder as `kill -9` leaves it after each thing that a reissue writes.
#[test]
fn a_reissue_that_was_interrupted_is_done_again() {
    let made = tempfile::tempdir().unwrap();
    let whole = folder(made.path());
    let alice = issue(made.path(), &whole, "north/client/alice", NOW);
    let index = fs::read_to_string(made.path().join("ca/index.jsonl")).unwrap();
    let files = ["ca/north.pem", "ca/crl/root.pem"].map(|name| made.path().join(name));
    let before = files.clone().map(|file| fs::read(file).unwrap());
    let new = whole.authorities().reissue("north", LATER).unwrap();
    let lines: Vec<String> = fs::read_to_string(made.path().join("ca/index.jsonl")).unwrap()[index.len()..]
        .lines()
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(lines.len(), 2, "the intention and the act");
    let kept = made.path().join("ca/authorities").join(format!("{}.pem", new.serial));
    let newest = read_certificates(&kept).unwrap();
    for (written, certificate) in [(1, false), (1, true), (2, true)] {
        fs::write(made.path().join("ca/index.jsonl"), index.clone() + &lines[..written].concat()).unwrap();
        files.iter().zip(&before).for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
        match certificate {
            true => fs::write(&kept, certificates_pem(&newest)).unwrap(),
            false => fs::remove_file(&kept).unwrap(),
        }
        let folder = CertificateFolder::open(made.path()).unwrap();
        verdict(&folder, &alice).unwrap();
        let bob = folder.issuing().issue(
            &identity("north/client/b"),
            alice_key(made.path()).public(),
            &LeafOptions::default(),
            LATER,
        );
        assert_eq!(bob.unwrap()[1] == newest[0], written == 2, "the index decides");
        let again = folder.authorities().reissue("north", LATER).unwrap();
        assert_eq!(again.earlier.len(), written);
        let now = read_certificates(&made.path().join("ca/north.pem")).unwrap();
        assert_eq!(now, [folder.records().unwrap().authority_certificate("north").unwrap()]);
        verdict(&folder, &[alice[0].clone(), now[0].clone()]).unwrap();
        // A certificate that may exist is revoked with the others.
        folder.revocation().revoke_organization("north", RevocationReason::CaCompromise, LATER).unwrap();
        let path = [alice[0].clone(), newest[0].clone()];
        assert!(matches!(verdict(&folder, &path), Err(PathError::Revocation { position: 1, .. })));
    }
}

fn alice_key(dir: &Path) -> ca::KeyPair {
    ca::KeyPair::load(&dir.join("alice/key.pem")).unwrap()
}

#[test]
fn openssl_verifies_a_leaf_through_either_certificate() {
    let made = tempfile::tempdir().unwrap();
    let dir = made.path();
    let folder = folder(dir);
    issue(dir, &folder, "north/client/alice", NOW);
    folder.authorities().reissue("north", LATER).unwrap();
    issue(dir, &folder, "north/client/carol", LATER);
    let mut through = 0;
    for entry in fs::read_dir(dir.join("ca/authorities")).unwrap() {
        for who in ["alice", "carol"] {
            let output = Command::new("openssl")
                .args(["verify", "-x509_strict", "-attime", &(LATER.millis() / 1000).to_string(), "-CAfile"])
                .args([&dir.join("ca/root.pem"), Path::new("-untrusted"), &entry.as_ref().unwrap().path()])
                .arg(dir.join(who).join("cert.pem"))
                .output();
            let Ok(output) = output else { return };
            assert!(output.status.success(), "{who}: {}", String::from_utf8_lossy(&output.stderr));
            through += 1;
        }
    }
    assert_eq!(through, 4);
}
