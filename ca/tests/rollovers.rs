//! A root that is replaced: who is admitted at each step, who is waited for, what a crash leaves, and what OpenSSL
//! makes of the links.
#![allow(clippy::unwrap_used)]

use crate::consortium::{CONSORTIUM, NOW, identity, trust_store};
use ca::{
    CertificateFolder, Credentials, KeyPair, Keyring, PassphraseSource,
    limits::DAY_MS,
    office::{
        expiry::Expiring,
        issuing::LeafOptions,
        revocation::Selection,
        rollover::{RolloverError, RolloverStage, RolloverStatus},
    },
};
use ledger_classes::primitives::time::Time;
use pki::{
    KeyAlgorithm, PathError, RevocationReason, Usage,
    trust::{
        bundle::TrustBundle,
        files::{certificates_pem, read_certificates},
        root_update::{Held, is_link, update_anchors},
    },
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const fn day(days: u64) -> Time {
    NOW.plus_millis(days * DAY_MS)
}

fn folder(dir: &Path, algorithm: KeyAlgorithm) -> CertificateFolder {
    let folder = CertificateFolder::create(dir, CONSORTIUM, algorithm, NOW).unwrap();
    folder.authorities().add_organization("north", KeyAlgorithm::P256, NOW).unwrap();
    folder.authorities().add_organization("east", KeyAlgorithm::Ed25519, NOW).unwrap();
    folder.authorities().add_organization_root("south", KeyAlgorithm::Ed25519, NOW).unwrap();
    folder
}

fn issue(dir: &Path, folder: &CertificateFolder, name: &str, now: Time) -> Credentials {
    let who = identity(name);
    folder.issuing().issue_profile(&who, &LeafOptions::default(), &dir.join(who.name()), now).unwrap()
}

/// What a peer that has the folder says to a path.
fn verdict(trust: &TrustBundle, path: &[Vec<u8>], at: Time) -> Result<(), PathError> {
    let store = trust_store(trust);
    store.verify(path, at, Usage::ClientAuth).map(|_| ())
}

fn names(status: &RolloverStatus) -> Vec<&str> {
    status.waiting.iter().map(|record| record.identity.name()).collect()
}

/// A holder renews: a new path, and the anchors that the links allow.
fn renew(folder: &CertificateFolder, profile: &Path, now: Time) -> Credentials {
    folder.renewal().renew_credentials(profile, None, None, now).unwrap();
    let held = Credentials::load(profile).unwrap();
    let offered = folder.records().unwrap().trust().unwrap();
    let offered: Vec<Vec<u8>> = [offered.anchors, offered.issuing, offered.links].concat();
    let mine = Held { path: &held.path, anchors: &held.trust.anchors, issuing: None };
    let anchors = update_anchors(mine, &offered, CONSORTIUM, now).unwrap().anchors;
    fs::write(profile.join("ca.pem"), certificates_pem(&anchors)).unwrap();
    Credentials::load(profile).unwrap()
}

#[test]
fn nobody_is_refused_on_the_way_and_afterwards_the_old_root_vouches_for_nobody() {
    for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::P256] {
        let made = tempfile::tempdir().unwrap();
        let dir = made.path();
        let folder = folder(dir, algorithm);
        assert!(matches!(folder.rollover().switch(true, NOW), Err(RolloverError::NotStarted)));
        assert!(matches!(folder.rollover().retire(true, NOW), Err(RolloverError::NotStarted)));
        let who = ["north/client/ann", "east/client/eve", "south/client/sue"];
        let first: Vec<Credentials> = who.iter().map(|name| issue(dir, &folder, name, NOW)).collect();
        let old_root = folder.records().unwrap().authority_certificate("root").unwrap();

        // Everybody whom anybody serves is admitted by everybody at each step: `held` is what each one has.
        let everybody = |held: &[Credentials], at: Time| {
            for one in held {
                verdict(&folder.records().unwrap().trust().unwrap(), &one.path, at).unwrap();
                held.iter().for_each(|other| verdict_of(&other.trust, &one.path, at).unwrap());
            }
        };
        everybody(&first, day(1));
        let started = folder.rollover().start(algorithm, day(1)).unwrap();
        assert_eq!((started.stage, started.root.as_str()), (RolloverStage::Started, "root"));
        assert_eq!(started.beside.as_deref(), Some("root-2"));
        assert_eq!(names(&started), ["ann", "eve", "sue"]);
        assert_eq!(folder.rollover().start(algorithm, day(1)).unwrap(), started, "once more is the same");
        everybody(&first, day(1));
        assert!(
            folder.records().unwrap().due_crls(day(1)).is_empty(),
            "the new root's CRL lives as long as the old one's"
        );
        let zoe = issue(dir, &folder, "north/client/zoe", day(1));
        assert_eq!(zoe.trust.anchors.len(), 3, "who comes now trusts both");
        assert!(matches!(folder.rollover().retire(true, day(1)), Err(RolloverError::NotSwitched)));
        let Err(RolloverError::Waiting(waiting)) = folder.rollover().switch(false, day(1)) else { panic!() };
        assert_eq!(waiting, started.waiting);

        let second: Vec<Credentials> =
            ["ann", "eve", "sue"].iter().map(|name| renew(&folder, &dir.join(name), day(2))).collect();
        assert!(second.iter().all(|held| held.trust.anchors.len() == 3), "two roots and the south's own");
        assert_eq!(folder.records().unwrap().rollover_status(day(2)).waiting, []);
        everybody(&second, day(2));
        let switched = folder.rollover().switch(false, day(2)).unwrap();
        assert_eq!((switched.stage, switched.root.as_str()), (RolloverStage::Switched, "root-2"));
        assert_eq!(names(&switched), ["zoe", "ann", "eve"], "paths under the south's own root stay");
        assert!(matches!(folder.rollover().start(algorithm, day(2)), Err(RolloverError::UnderWay)));
        assert_eq!(folder.rollover().switch(false, day(2)).unwrap(), switched, "once more is the same");
        let ends = |what: fn(&Expiring) -> Option<String>| {
            let all = folder.records().unwrap().forecast(day(2), 30 * 365 * DAY_MS).into_iter();
            let mut names: Vec<String> = all.filter_map(|expiry| what(&expiry.what)).collect();
            names.sort_unstable();
            names
        };
        let named = |what: &Expiring| match what {
            Expiring::Authority { authority } => Some(authority.clone()),
            _ => None,
        };
        let earlier = |what: &Expiring| match what {
            Expiring::EarlierAuthority { authority, .. } => Some(authority.clone()),
            _ => None,
        };
        assert_eq!(ends(named), ["east", "north", "root", "root-2", "south"]);
        assert_eq!(ends(earlier), ["east", "north"]);
        let fresh = issue(dir, &folder, "east/client/kim", day(2));
        everybody(&[&second[..], &[zoe, fresh]].concat_owned(), day(2));

        let Err(RolloverError::Waiting(waiting)) = folder.rollover().retire(false, day(2)) else { panic!() };
        assert_eq!(waiting, switched.waiting);
        let third: Vec<Credentials> =
            ["ann", "eve", "zoe"].iter().map(|name| renew(&folder, &dir.join(name), day(3))).collect();
        let retired = folder.rollover().retire(false, day(3)).unwrap();
        assert_eq!((retired.stage, retired.root.as_str(), retired.waiting.len()), (RolloverStage::None, "root-2", 0));
        assert_eq!(folder.rollover().retire(false, day(3)).unwrap(), retired, "once more is the same");
        let trust = folder.records().unwrap().trust().unwrap();
        assert!(!trust.anchors.contains(&old_root) && folder.records().unwrap().trust().unwrap().links.is_empty());
        assert_eq!((trust.anchors.len(), trust.issuing.len(), trust.crls.len()), (2, 2, 4));
        third.iter().for_each(|held| verdict(&trust, &held.path, day(3)).unwrap());
        for held in &second[..2] {
            assert_eq!(verdict(&trust, &held.path, day(3)), Err(PathError::UnknownIssuer));
        }
        // What a holder has left of the old root goes with the next renewal.
        let last = renew(&folder, &dir.join("ann"), day(4));
        assert_eq!(last.trust.anchors.len(), 2);
        assert!(!last.trust.anchors.contains(&old_root));
        // And the next one.
        let again = folder.rollover().start(KeyAlgorithm::P256, day(5)).unwrap();
        assert_eq!(again.beside.as_deref(), Some("root-3"));
        folder.rollover().switch(true, day(5)).unwrap();
        let path = renew(&folder, &dir.join("ann"), day(5)).path;
        folder.rollover().retire(true, day(5)).unwrap();
        verdict(&folder.records().unwrap().trust().unwrap(), &path, day(5)).unwrap();
    }
}

/// What somebody without CRLs says, as a client of a peer does.
fn verdict_of(trust: &TrustBundle, path: &[Vec<u8>], at: Time) -> Result<(), PathError> {
    pki::verify_path(path, &trust.anchors, None, at, Usage::ClientAuth).map(|_| ())
}

trait ConcatOwned {
    fn concat_owned(&self) -> Vec<Credentials>;
}

impl ConcatOwned for [&[Credentials]; 2] {
    fn concat_owned(&self) -> Vec<Credentials> {
        let copy = |held: &Credentials| Credentials {
            path: held.path.clone(),
            key: KeyPair::from_pkcs8(held.key.pkcs8()).unwrap(),
            trust: held.trust.clone(),
        };
        self.iter().flat_map(|part| part.iter().map(copy)).collect()
    }
}

#[test]
fn a_ca_that_is_revoked_on_the_way_is_revoked_under_both_roots() {
    let made = tempfile::tempdir().unwrap();
    let dir = made.path();
    let folder = folder(dir, KeyAlgorithm::Ed25519);
    let old = issue(dir, &folder, "north/client/ann", NOW);
    folder.rollover().start(KeyAlgorithm::Ed25519, day(1)).unwrap();
    folder.rollover().switch(true, day(1)).unwrap();
    let new = issue(dir, &folder, "north/client/bob", day(1));
    folder.revocation().revoke_organization("north", RevocationReason::CaCompromise, day(2)).unwrap();
    for path in [&old.path, &new.path] {
        let refused = verdict(&folder.records().unwrap().trust().unwrap(), path, day(2));
        assert!(matches!(refused, Err(PathError::Revocation { position: 1, .. })), "{refused:?}");
    }
    let eve = issue(dir, &folder, "east/client/eve", day(2));
    let who = Selection::Identity(identity("east/client/eve"));
    folder.revocation().revoke(&who, RevocationReason::Superseded, day(2)).unwrap();
    assert!(matches!(
        verdict(&folder.records().unwrap().trust().unwrap(), &eve.path, day(2)),
        Err(PathError::Revocation { .. })
    ));
    folder.rollover().retire(true, day(2)).unwrap();
    for name in ["root-2", "east"] {
        folder.publication().reissue_crl(name, day(3)).unwrap();
    }
    assert!(folder.records().unwrap().trust().unwrap().issuing.len() == 2, "north's newest and east's");
}

/// Every file of a folder.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => drop(all.insert(path.clone(), fs::read(&path).unwrap())),
        }
    }
    all
}

fn restore(dir: &Path, all: &BTreeMap<PathBuf, Vec<u8>>) {
    fs::remove_dir_all(dir).unwrap();
    for (path, bytes) in all {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        ::files::write_private(path, bytes).unwrap();
    }
}

/// The folder as `kill -9` leaves it: so many lines of the index and, of the files that the step wrote, those that the
/// lines before had announced; with and without what the last line announces.
fn interrupted(
    before: &BTreeMap<PathBuf, Vec<u8>>,
    after: &BTreeMap<PathBuf, Vec<u8>>,
) -> Vec<BTreeMap<PathBuf, Vec<u8>>> {
    let is_index = |path: &Path| path.ends_with("index.jsonl");
    let index = before.keys().find(|path| is_index(path)).unwrap().clone();
    let (old, new) = (&before[&index], &after[&index]);
    let mut cuts: Vec<usize> = (old.len()..=new.len()).filter(|at| new[..*at].ends_with(b"\n")).collect();
    // A torn line as well.
    cuts.push(old.len() + 7);
    let changed: Vec<&PathBuf> =
        after.keys().filter(|path| !is_index(path) && before.get(*path) != after.get(*path)).collect();
    let mut states = Vec::new();
    for cut in cuts {
        for written in [0, changed.len() / 2, changed.len()] {
            // In any order: the new files first, then those that are replaced.
            for reversed in [false, true] {
                let mut state = before.clone();
                state.insert(index.clone(), new[..cut].to_vec());
                let mut order = changed.clone();
                order.sort_by_key(|path| (before.contains_key(*path), (*path).clone()));
                if reversed {
                    order.reverse();
                }
                order.iter().take(written).for_each(|path| drop(state.insert((*path).clone(), after[*path].clone())));
                // What the index says was signed is on disk: files are fsynced before the line that confirms them.
                let confirmed = String::from_utf8_lossy(&new[old.len()..cut]).into_owned();
                let missing = |path: &&&PathBuf| {
                    let stem = path.file_stem().unwrap().to_string_lossy();
                    let reissued = |line: &str| line.contains("authority-reissued") && line.contains(&*stem);
                    let started = |line: &str| line.contains("rollover-started") && line.contains(&*stem);
                    confirmed.lines().any(|line| reissued(line) || started(line))
                        && !path.to_string_lossy().contains("/crl/")
                };
                changed
                    .iter()
                    .filter(missing)
                    .for_each(|path| drop(state.insert((*path).clone(), after[*path].clone())));
                states.push(state);
            }
        }
    }
    states
}

#[test]
fn a_step_that_was_interrupted_ends_as_if_it_had_not_been() {
    let made = tempfile::tempdir().unwrap();
    let dir = made.path().join("there");
    fs::create_dir(&dir).unwrap();
    let whole = folder(&dir, KeyAlgorithm::Ed25519);
    let ann = issue(made.path(), &whole, "north/client/ann", NOW);
    let ca = dir.join("ca");
    // One keyring: to open a key takes its time, on purpose.
    let keys = Keyring::new(PassphraseSource::usual(&dir));
    type Step<'s> = &'s dyn Fn(&CertificateFolder) -> Result<RolloverStatus, RolloverError>;
    let steps: [Step<'_>; 2] = [&|folder| folder.rollover().start(KeyAlgorithm::Ed25519, day(1)), &|folder| {
        folder.rollover().switch(true, day(1))
    }];
    for (number, step) in steps.iter().enumerate() {
        let before = files(&ca);
        let done = step(&whole).unwrap();
        let after = files(&ca);
        let states = interrupted(&before, &after);
        assert!(states.len() > 20, "{}", states.len());
        for state in states {
            restore(&ca, &state);
            let folder = CertificateFolder::open(&dir).unwrap().with_keys(keys.clone());
            let again = step(&folder).unwrap();
            assert_eq!((again.stage, &again.root, &again.beside), (done.stage, &done.root, &done.beside));
            let trust = folder.records().unwrap().trust().unwrap();
            assert_eq!(trust.anchors.len(), 3);
            assert_eq!(folder.records().unwrap().trust().unwrap().links.len(), 2);
            verdict(&trust, &ann.path, day(1)).unwrap();
            let path =
                folder.issuing().issue(&identity("north/client/x"), ann.key.public(), &LeafOptions::default(), day(1));
            verdict(&trust, &path.unwrap(), day(1)).unwrap();
            for record in folder.records().unwrap().authorities().values() {
                let under = if number == 1 && ["north", "east"].contains(&record.name.as_str()) {
                    "root-2"
                } else {
                    &record.issuer
                };
                assert_eq!(record.issuer, under, "{}", record.name);
                let shown = read_certificates(&ca.join(format!("{}.pem", record.name))).unwrap();
                assert_eq!(ca_serial(&shown[0]), record.serial.to_string());
            }
        }
        restore(&ca, &after);
    }
}

/// The serial as OpenSSL would print it, from the certificate's own bytes: 17 octets at a fixed place.
fn ca_serial(der: &[u8]) -> String {
    let start = der.windows(7).position(|window| window == [0xa0, 3, 2, 1, 2, 2, 17]).unwrap() + 7;
    hex::encode(&der[start..start + 17])
}

#[test]
fn openssl_verifies_the_links_and_both_paths() {
    let made = tempfile::tempdir().unwrap();
    let dir = made.path();
    let folder = folder(dir, KeyAlgorithm::Ed25519);
    issue(dir, &folder, "north/client/ann", NOW);
    let file = |name: &str, ders: &[Vec<u8>]| {
        fs::write(dir.join(name), certificates_pem(ders)).unwrap();
        name.to_owned()
    };
    file("issuing-old.pem", &[folder.records().unwrap().authority_certificate("north").unwrap()]);
    folder.rollover().start(KeyAlgorithm::Ed25519, day(1)).unwrap();
    folder.rollover().switch(true, day(1)).unwrap();
    file("issuing-new.pem", &[folder.records().unwrap().authority_certificate("north").unwrap()]);
    let links = folder.records().unwrap().trust().unwrap().links;
    assert!(links.iter().all(|link| is_link(link)) && links.len() == 2);
    file("new-with-old.pem", &links[..1]);
    file("old-with-new.pem", &links[1..]);
    issue(dir, &folder, "north/client/bob", day(1));
    for name in ["ann", "bob"] {
        file(&format!("{name}.pem"), &read_certificates(&dir.join(name).join("cert.pem")).unwrap()[..1]);
    }
    let verify = |anchor: &str, untrusted: Option<&str>, target: &str| {
        let mut command = Command::new("openssl");
        let at = (day(1).millis() / 1000).to_string();
        command.args(["verify", "-x509_strict", "-attime", &at, "-CAfile"]).arg(dir.join("ca").join(anchor));
        untrusted.map(|name| command.arg("-untrusted").arg(dir.join(name)));
        let output = command.arg(dir.join(target)).output().ok()?;
        Some((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    for (anchor, untrusted, target, good) in [
        ("root.pem", Some("issuing-old.pem"), "ann.pem", true),
        ("root-2.pem", Some("issuing-new.pem"), "ann.pem", true),
        ("root.pem", Some("issuing-old.pem"), "bob.pem", true),
        ("root-2.pem", Some("issuing-new.pem"), "bob.pem", true),
        ("root.pem", Some("issuing-new.pem"), "bob.pem", false),
        ("root-2.pem", Some("issuing-old.pem"), "ann.pem", false),
        ("root.pem", None, "new-with-old.pem", true),
        ("root-2.pem", None, "old-with-new.pem", true),
        ("root.pem", None, "old-with-new.pem", false),
        ("root.pem", Some("new-with-old.pem"), "issuing-new.pem", true),
        ("root-2.pem", Some("old-with-new.pem"), "issuing-old.pem", true),
    ] {
        let Some((verified, why)) = verify(anchor, untrusted, target) else { return };
        assert_eq!(verified, good, "{target} under {anchor} through {untrusted:?}: {why}");
    }
    // A leaf is one certificate too far: the links introduce roots and carry no paths.
    let both = [&links[..1], &[folder.records().unwrap().authority_certificate("north").unwrap()]].concat();
    file("through.pem", &both);
    let Some((verified, why)) = verify("root.pem", Some("through.pem"), "bob.pem") else { return };
    assert!(!verified && why.contains("path length constraint exceeded"), "{why}");
    let leaf = read_certificates(&dir.join("bob.pem")).unwrap();
    let path = [leaf, vec![both[1].clone(), both[0].clone()]].concat();
    let old = folder.records().unwrap().authority_certificate("root").unwrap();
    let refused = pki::verify_path(&path, &[old, both[0].clone()], None, day(1), Usage::ClientAuth);
    assert!(refused.is_err(), "a link is neither part of a path nor an anchor");
}
