//! The certificates directory: what an administrator does with it, and what OpenSSL and curl make of the result.
#![allow(clippy::unwrap_used)]

use crate::consortium::{CONSORTIUM, NOW, identity, trust_store};
use ca::{
    CertificateFolder, Credentials, KeyPair,
    limits::DAY_MS,
    office::{
        error::FolderError, expiry::Expiring, issuing::LeafOptions, record::CertificateStatus, revocation::Selection,
    },
};
use pki::{
    KeyAlgorithm, PathError, RevocationReason, Usage,
    trust::{
        bundle::TrustBundle,
        exchange::{Accepting, add_trust},
        revocation::RevocationStatusError,
    },
};
use std::path::Path;

fn folder(dir: &Path) -> CertificateFolder {
    let folder = CertificateFolder::create(dir, CONSORTIUM, KeyAlgorithm::Ed25519, NOW).unwrap();
    folder.authorities().add_organization("north", KeyAlgorithm::Ed25519, NOW).unwrap();
    folder.authorities().add_organization_root("south", KeyAlgorithm::P256, NOW).unwrap();
    folder
}

fn verdict(credentials: &Credentials, trust: &TrustBundle) -> Option<PathError> {
    let store = trust_store(trust);
    store.verify(&credentials.path, NOW, Usage::ClientAuth).err()
}

fn revoked(position: usize) -> Option<PathError> {
    Some(PathError::Revocation { position, source: RevocationStatusError::Revoked })
}

#[test]
fn profiles_are_issued_listed_and_revoked() {
    let dir = tempfile::tempdir().unwrap();
    folder(dir.path());
    let folder = CertificateFolder::open(dir.path()).unwrap();
    for (index, name) in ["north/client/alice", "south/client/bob"].into_iter().enumerate() {
        let into = dir.path().join(index.to_string());
        folder.issuing().issue_profile(&identity(name), &LeafOptions::default(), &into, NOW).unwrap();
        let loaded = Credentials::load(&into).unwrap();
        assert_eq!(verdict(&loaded, &loaded.trust), None, "{name}");
        assert_eq!(loaded.path.len(), 2 - index, "south is a root of its own");
        loaded.own_certificate().unwrap();
        let again = folder.issuing().issue_profile(&identity(name), &LeafOptions::default(), &into, NOW);
        assert!(matches!(again, Err(FolderError::Exists(_))));

        let record = folder
            .records()
            .unwrap()
            .certificates()
            .iter()
            .find(|record| record.identity == identity(name))
            .unwrap()
            .clone();
        assert_eq!(record.status(NOW), CertificateStatus::Valid);
        assert_eq!(folder.records().unwrap().show(&record.serial).unwrap().1, loaded.path);
        let selection = match index {
            0 => Selection::Serial(record.serial.clone()),
            _ => Selection::Identity(record.identity.clone()),
        };
        for _ in 0..2 {
            let records = folder.revocation().revoke(&selection, RevocationReason::KeyCompromise, NOW).unwrap();
            assert_eq!(records[0].status(NOW), CertificateStatus::Revoked);
        }
        assert_eq!(verdict(&loaded, &folder.records().unwrap().trust().unwrap()), revoked(0));
        assert_eq!(verdict(&loaded, &loaded.trust), None, "old CRLs do not know of it");
        let records = folder.records().unwrap();
        assert_eq!(records.authorities()[identity(name).organization()].crl_number, NOW.millis() / 1000 + 2);
    }
}

#[test]
fn a_revoked_organization_issues_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let alice = folder
        .issuing()
        .issue_profile(&identity("north/client/alice"), &LeafOptions::default(), &dir.path().join("a"), NOW)
        .unwrap();
    folder.revocation().revoke_organization("north", RevocationReason::CaCompromise, NOW).unwrap();
    assert_eq!(verdict(&alice, &folder.records().unwrap().trust().unwrap()), revoked(1));
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let again = folder.issuing().issue(&identity("north/client/bob"), key.public(), &LeafOptions::default(), NOW);
    assert!(matches!(again, Err(FolderError::AuthorityRevoked(_))));
    assert!(
        folder.revocation().revoke_organization("south", RevocationReason::CaCompromise, NOW).is_err(),
        "its own root"
    );
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let options = LeafOptions::default();
    let unknown = folder.issuing().issue(&identity("west/client/a"), key.public(), &options, NOW);
    assert!(matches!(unknown, Err(FolderError::UnknownAuthority(_))));
    let elsewhere = "spiffe://evil.example/north/client/a".parse().unwrap();
    assert!(matches!(folder.issuing().issue(&elsewhere, key.public(), &options, NOW), Err(FolderError::Authority(_))));
    for (name, exists) in [("root", false), ("north", true)] {
        let error = folder.authorities().add_organization(name, KeyAlgorithm::Ed25519, NOW).unwrap_err();
        assert!(matches!((exists, error), (false, FolderError::ReservedName) | (true, FolderError::Exists(_))));
    }
    assert!(matches!(
        CertificateFolder::create(dir.path(), CONSORTIUM, KeyAlgorithm::Ed25519, NOW),
        Err(FolderError::Exists(_))
    ));
    let nobody = Selection::Identity(identity("north/client/nobody"));
    let result = folder.revocation().revoke(&nobody, RevocationReason::Unspecified, NOW);
    assert!(matches!(result, Err(FolderError::UnknownCertificate(_))));
}

/// An intention without a certificate may still stand for one that was signed just before a crash.
#[test]
fn a_certificate_that_was_only_intended_is_listed_and_can_be_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let issued = dir.path().join("ca/issued");
    std::fs::remove_dir(&issued).unwrap();
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    folder.issuing().issue(&identity("north/client/a"), key.public(), &LeafOptions::default(), NOW).unwrap_err();
    let record = folder.records().unwrap().certificates()[0].clone();
    assert_eq!(record.status(NOW), CertificateStatus::Intended);
    let selection = Selection::Identity(record.identity);
    let records = folder.revocation().revoke(&selection, RevocationReason::Unspecified, NOW).unwrap();
    assert_eq!(records[0].status(NOW), CertificateStatus::Revoked);
}

#[test]
fn writers_in_parallel_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    folder(dir.path());
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let path = dir.path();
            scope.spawn(move || {
                let folder = CertificateFolder::open(path).unwrap();
                for number in 0..8 {
                    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
                    let name = identity(&format!("north/client/w{worker}-{number}"));
                    folder.issuing().issue(&name, key.public(), &LeafOptions::default(), NOW).unwrap();
                    folder.revocation().revoke(&Selection::Identity(name), RevocationReason::Superseded, NOW).unwrap();
                }
            });
        }
    });
    let folder = CertificateFolder::open(dir.path()).unwrap();
    assert_eq!(folder.records().unwrap().certificates().len(), 32);
    let store = trust_store(&folder.records().unwrap().trust().unwrap());
    let largest = store.revocation().current().lists().map(|list| (list.len(), list.number())).max();
    assert_eq!(largest, Some((32, u128::from(NOW.millis() / 1000) + 32)));
}

#[test]
fn the_forecast_names_what_ends_first() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let options = LeafOptions { lifetime_ms: 9 * DAY_MS, ..LeafOptions::default() };
    folder.issuing().issue(&identity("north/client/a"), key.public(), &options, NOW).unwrap();
    assert_eq!(folder.records().unwrap().forecast(NOW, 8 * DAY_MS), []);
    let soon = folder.records().unwrap().forecast(NOW, 31 * DAY_MS);
    assert_eq!(soon.len(), 3);
    assert!(matches!(&soon[0].what, Expiring::Certificate { identity, .. } if identity.name() == "a"));
    assert!(matches!(&soon[1].what, Expiring::Crl { authority } if authority == "north"));
    assert!(matches!(&soon[2].what, Expiring::Crl { authority } if authority == "south"));
    folder.publication().reissue_crl("north", NOW.plus_millis(5 * DAY_MS)).unwrap();
    assert_eq!(folder.records().unwrap().forecast(NOW, 31 * DAY_MS).len(), 2);
    assert_eq!(folder.records().unwrap().forecast(NOW, 30 * 365 * DAY_MS).len(), 7);
}

#[cfg(unix)]
#[test]
fn private_keys_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let into = dir.path().join("alice");
    folder.issuing().issue_profile(&identity("north/client/alice"), &LeafOptions::default(), &into, NOW).unwrap();
    for path in ["authority.passphrase", "ca/root.key", "ca/north.key", "ca/south.key", "alice/key.pem"] {
        let mode = std::fs::metadata(dir.path().join(path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{path}");
    }
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        3,
        "no draft is left beside ca, alice and the passphrase"
    );
}

/// Of two who read whom a folder trusts and then wrote it, one wrote what the other had added away.
#[test]
fn writers_of_one_folders_trust_lose_nothing_of_each_other() {
    let home = tempfile::tempdir().unwrap();
    let trusting = home.path().join("trusting");
    std::fs::create_dir(home.path().join("first")).unwrap();
    let first = folder(&home.path().join("first"));
    first.issuing().issue_profile(&identity("north/client/alice"), &LeafOptions::default(), &trusting, NOW).unwrap();
    let organizations: Vec<String> = (0..8).map(|number| format!("org-{number}")).collect();
    let bundles: Vec<TrustBundle> = organizations
        .iter()
        .map(|name| {
            let dir = home.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            let folder = CertificateFolder::create(&dir, CONSORTIUM, KeyAlgorithm::Ed25519, NOW).unwrap();
            folder.authorities().add_organization_root(name, KeyAlgorithm::Ed25519, NOW).unwrap();
            folder.records().unwrap().bundle(&[]).unwrap()
        })
        .collect();
    let start = std::sync::Barrier::new(bundles.len());
    std::thread::scope(|scope| {
        for bundle in bundles {
            let (start, trusting) = (&start, &trusting);
            scope.spawn(move || {
                start.wait();
                add_trust(trusting, CONSORTIUM, bundle, Accepting::default(), NOW).unwrap();
            });
        }
    });
    let held = TrustBundle::load(&trusting).unwrap().describe(CONSORTIUM).unwrap();
    let trusted = |name: &String| held.iter().any(|one| one.organization.as_ref() == Some(name));
    assert!(organizations.iter().all(trusted), "{held:?}");
}

/// A CA gave any organization's peer the name of another's, and whoever dialled it reached either.
#[test]
fn a_host_name_of_another_organizations_peer_is_refused_while_that_is_good() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let hosts = |names: &[&str]| LeafOptions {
        alternative_names: names.iter().map(|name| name.parse().unwrap()).collect(),
        ..LeafOptions::default()
    };
    let issue = |who: &str, names: &[&str]| {
        let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
        folder.issuing().issue(&identity(who), key.public(), &hosts(names), NOW)
    };
    issue("north/peer/p1", &["localhost", "127.0.0.1", "::1", "p.example", "192.0.2.7"]).unwrap();
    for name in ["p.example", "192.0.2.7"] {
        let refused = issue("south/peer/p1", &["localhost", "other.example", name]);
        let Err(FolderError::HostTaken(taken, by)) = refused else { panic!("{name} {refused:?}") };
        assert_eq!((taken.to_string().as_str(), *by), (name, identity("north/peer/p1")));
    }
    // Its own organization moves it, what names any machine is everybody's, and others have other names.
    issue("north/peer/p2", &["p.example"]).unwrap();
    issue("south/peer/p1", &["localhost", "127.0.0.1", "::1", "q.example"]).unwrap();
    for peer in ["north/peer/p1", "north/peer/p2"] {
        folder
            .revocation()
            .revoke(&Selection::Identity(identity(peer)), RevocationReason::CessationOfOperation, NOW)
            .unwrap();
    }
    issue("south/peer/p2", &["p.example"]).unwrap();
}
