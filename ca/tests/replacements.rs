//! A CA whose key others have gets another one: what the old one signed and will sign is refused, what the index knows goes
//! on under the new one, and no crash between two files leaves anything else. And what an index has lost is put out all the
//! same.
#![allow(clippy::unwrap_used)]

use crate::consortium::{CONSORTIUM, NOW, identity};
use ca::{
    CertificateFolder, KeyPair, Keyring, PassphraseSource,
    limits::DAY_MS,
    office::{
        error::FolderError, issuing::LeafOptions, publication::read_ocsp_answer, record::CertificateStatus,
        renewal::RenewalError, revocation::Selection,
    },
};
use ledger_classes::primitives::hash::Hash;
use ledger_classes::primitives::time::Time;
use ledger_classes::state::participant::{authority_compromise_message, authority_successor_message};
use pki::{
    KeyAlgorithm, KeyId, PathError, RevocationPolicy, RevocationReason, Serial, TrustStore, Usage, authority_facts,
    trust::{bundle::TrustBundle, files::read_certificates, revocation::RevocationError},
    verify_continuation, verify_revocation,
    x509::ocsp,
};
use std::{fs, path::Path};

const LATER: Time = NOW.plus_millis(20 * DAY_MS);

fn folder(dir: &Path) -> CertificateFolder {
    let folder = CertificateFolder::create(dir, CONSORTIUM, KeyAlgorithm::Ed25519, NOW).unwrap();
    folder.authorities().add_organization("north", KeyAlgorithm::P256, NOW).unwrap();
    folder.authorities().add_organization_root("south", KeyAlgorithm::Ed25519, NOW).unwrap();
    folder
}

fn issue(dir: &Path, folder: &CertificateFolder, name: &str, now: Time) -> Vec<Vec<u8>> {
    let who = identity(name);
    folder.issuing().issue_profile(&who, &LeafOptions::default(), &dir.join(who.name()), now).unwrap().path
}

fn verdict(trust: &TrustBundle, path: &[Vec<u8>]) -> Result<(), PathError> {
    let (anchors, issuing) = (trust.anchors.clone(), trust.issuing.clone());
    let store = TrustStore::new(CONSORTIUM, anchors, issuing, RevocationPolicy::default()).unwrap();
    for crl in &trust.crls {
        // As a peer does, which may have a list of a CA that it trusts no more.
        assert!(matches!(
            store.install_crl(crl),
            Ok(_) | Err(RevocationError::UnknownIssuer | RevocationError::Older { .. })
        ));
    }
    store.verify(path, LATER, Usage::ClientAuth).map(|_| ())
}

fn key_of(der: &[u8]) -> Hash {
    Hash(*KeyId::of_certificate(der).unwrap().as_bytes())
}

#[test]
fn a_replaced_ca_is_out_with_all_that_it_issued_and_the_index_goes_on_under_the_new_one() {
    for name in ["north", "south"] {
        let dir = tempfile::tempdir().unwrap();
        let (dir, folder) = (dir.path(), folder(dir.path()));
        let client = format!("{name}/client/alice");
        let alice = issue(dir, &folder, &client, NOW);
        let bob = issue(dir, &folder, &format!("{name}/client/bob"), NOW);
        folder
            .revocation()
            .revoke(&Selection::Identity(identity(&format!("{name}/client/bob"))), RevocationReason::Superseded, NOW)
            .unwrap();
        let (held, old) = (
            folder.records().unwrap().trust().unwrap(),
            read_certificates(&dir.join(format!("ca/{name}.pem"))).unwrap(),
        );
        let own_root = name == "south";

        let replaced = folder.authorities().replace(name, KeyAlgorithm::P256, LATER).unwrap();
        assert_eq!(replaced.unsaid, None);
        assert_eq!((replaced.authority.name.as_str(), replaced.authority.organization()), (name, name));
        let new = read_certificates(&dir.join(format!("ca/{name}.pem"))).unwrap();
        assert_ne!(key_of(&new[0]), key_of(&old[0]));
        // The old key says of itself that others have it, on any channel that lists it, and of no other.
        let said = folder.records().unwrap().compromised().unwrap();
        assert_eq!((said.len(), said[0].organization.as_str(), said[0].has_key_of(&old[0])), (1, name, true));
        let message = authority_compromise_message(&key_of(&old[0]));
        let says =
            |certificate: &[u8], message: &[u8]| verify_continuation(certificate, &[&old[0]], message, &said[0].proof);
        says(&said[0].certificate, &message).unwrap();
        assert!(says(&new[0], &message).is_err());
        assert!(says(&old[0], &authority_compromise_message(&key_of(&new[0]))).is_err());
        // It names the new one as its successor, by that certificate, and says nothing else with these words.
        let named = said[0].succession.clone().unwrap();
        assert_eq!(named.certificate, new[0]);
        let names = |message: &[u8]| verify_continuation(&old[0], &[&old[0]], message, &named.proof);
        names(&authority_successor_message(&key_of(&old[0]), &new[0])).unwrap();
        // The new key agrees, by the same words.
        let agrees = |certificate: &[u8], message: &[u8]| {
            verify_continuation(certificate, &[certificate], message, &named.possession)
        };
        agrees(&new[0], &authority_successor_message(&key_of(&old[0]), &new[0])).unwrap();
        assert!(agrees(&new[0], &authority_successor_message(&key_of(&new[0]), &new[0])).is_err());
        assert!(agrees(&old[0], &authority_successor_message(&key_of(&old[0]), &new[0])).is_err());
        assert!(names(&authority_successor_message(&key_of(&old[0]), &old[0])).is_err());
        assert!(
            names(&message).is_err() && says(&old[0], &authority_successor_message(&key_of(&old[0]), &new[0])).is_err()
        );
        let facts = authority_facts(&named.certificate).unwrap();
        assert_eq!((facts.consortium.as_str(), facts.organization.as_deref()), (CONSORTIUM, Some(name)));
        assert!(facts.not_before <= LATER && LATER < facts.not_after);

        // Who trusts the folder trusts the old one no more; who knows the old one hears of it from its root.
        let trust = folder.records().unwrap().trust().unwrap();
        let listed = |trust: &TrustBundle, der: &Vec<u8>| trust.anchors.contains(der) || trust.issuing.contains(der);
        assert!(listed(&trust, &new[0]) && !listed(&trust, &old[0]));
        assert_eq!(folder.records().unwrap().bundle(&[]).unwrap().anchors.len(), 2, "the root and south");
        let mut both = trust.clone();
        both.extend(held.clone());
        both.remove_roots(folder.records().unwrap().retired());
        both.crls = trust.crls.clone();
        verdict(&both, &alice).unwrap_err();
        // Elsewhere the root's list says so; a root of its own is taken away.
        let mut elsewhere = held.clone();
        elsewhere.crls.extend(trust.crls.clone());
        let refused = verdict(&elsewhere, &alice).err();
        assert_eq!(matches!(refused, Some(PathError::Revocation { position: 1, .. })), !own_root, "{refused:?}");
        let successors = folder.records().unwrap().replaced().unwrap();
        assert!(successors.len() == 1 && successors[0].organization == name && said[0].key == successors[0].before);

        // What the index knows is renewed with the folder, and by nobody else; what was revoked stays so.
        let record = |name: &str| {
            folder.records().unwrap().certificates().iter().rfind(|it| it.identity == identity(name)).unwrap().clone()
        };
        assert_eq!(record(&client).status(LATER), CertificateStatus::Revoked);
        assert!(
            folder.records().unwrap().has_lost_its_authority(&alice[0])
                && !folder.records().unwrap().has_lost_its_authority(&bob[0])
        );
        let key = KeyPair::load(&dir.join("alice/key.pem")).unwrap();
        let request = pki::CertificateRequest::parse(
            ca::holder::request::make_request(&key, &identity(&client)).unwrap().as_bytes(),
        )
        .unwrap();
        let online = folder.renewal().renew(&alice[0], &request, ca::Possession::Connection, LATER);
        assert!(matches!(online, Err(RenewalError::Revoked)), "{online:?}");
        let renewed = folder.renewal().renew_credentials(&dir.join("alice"), None, None, LATER).unwrap();
        verdict(&folder.records().unwrap().trust().unwrap(), &renewed).unwrap();
        assert_eq!(record(&client).status(LATER), CertificateStatus::Valid);
        assert!(!folder.records().unwrap().has_lost_its_authority(&renewed[0]));
        assert!(matches!(
            folder.renewal().renew_credentials(&dir.join("bob"), None, None, LATER),
            Err(RenewalError::Revoked)
        ));

        // The new one issues, revokes and goes on; the old one is asked for nothing any more.
        let carol = issue(dir, &folder, &format!("{name}/client/carol"), LATER);
        verdict(&folder.records().unwrap().trust().unwrap(), &carol).unwrap();
        folder
            .revocation()
            .revoke(
                &Selection::Identity(identity(&format!("{name}/client/carol"))),
                RevocationReason::Superseded,
                LATER,
            )
            .unwrap();
        assert!(matches!(
            verdict(&folder.records().unwrap().trust().unwrap(), &carol),
            Err(PathError::Revocation { position: 0, .. })
        ));
        assert_eq!(
            (
                folder.records().unwrap().lacking_crls(),
                folder.records().unwrap().due_crls(LATER).contains(&format!("{name}.1"))
            ),
            (vec![], false)
        );
        assert!(
            folder
                .records()
                .unwrap()
                .forecast(LATER, u64::MAX)
                .iter()
                .all(|expiry| !expiry.what.to_string().contains(".1"))
        );
        folder.authorities().reissue(name, LATER).unwrap();
        // Another folder that opens it finds the same, with the keys of both; and a second theft is no other.
        let again = CertificateFolder::open(dir).unwrap();
        assert_eq!(again.records().unwrap().compromised().unwrap(), said);
        again.authorities().replace(name, KeyAlgorithm::Ed25519, LATER.plus_millis(DAY_MS)).unwrap();
        // Each names the next: the first still the certificate that it knew, of a CA that has another since.
        let both = again.records().unwrap().compromised().unwrap();
        let newest = read_certificates(&dir.join(format!("ca/{name}.pem"))).unwrap();
        let named: Vec<_> = both.iter().map(|said| said.succession.clone().unwrap().certificate).collect();
        assert_eq!(named, [new[0].clone(), newest[0].clone()]);
        assert!(both[0].succession == said[0].succession && both[1].has_key_of(&new[0]));
        let next = PassphraseSource::file(dir.join("next"));
        next.make().unwrap();
        let changed = again.key_files().change_passphrase(&next).unwrap();
        assert!(changed.iter().filter(|key| key.starts_with(name)).count() == 3, "{changed:?}");
        let moved = CertificateFolder::open(dir).unwrap().with_keys(Keyring::new(next));
        issue(dir, &moved, &format!("{name}/client/dave"), LATER);
    }
}

/// A CA whose key is gone, such as in a token that was stolen, is replaced as well; only its own word is missing.
#[test]
fn a_ca_whose_key_is_gone_is_replaced_and_says_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let alice = issue(dir.path(), &folder, "north/client/alice", NOW);
    let held = folder.records().unwrap().trust().unwrap();
    fs::remove_file(dir.path().join("ca/north.key")).unwrap();
    let folder = CertificateFolder::open(dir.path()).unwrap();
    let replaced = folder.authorities().replace("north", KeyAlgorithm::Ed25519, LATER).unwrap();
    assert!(replaced.unsaid.unwrap().contains("north.key"));
    assert_eq!(folder.records().unwrap().compromised().unwrap(), []);
    // Nor does a key say that one takes its place which is out as well and has named nobody.
    for (lost, successor) in [(false, true), (true, false)] {
        let dir = tempfile::tempdir().unwrap();
        let folder = self::folder(dir.path());
        folder.authorities().replace("north", KeyAlgorithm::P256, LATER).unwrap();
        if lost {
            fs::remove_file(dir.path().join("ca/north.2.key")).unwrap();
        }
        let folder = CertificateFolder::open(dir.path()).unwrap();
        folder.authorities().replace("north", KeyAlgorithm::P256, LATER).unwrap();
        let said = folder.records().unwrap().compromised().unwrap();
        assert_eq!((said.len(), said[0].succession.is_some()), (if lost { 1 } else { 2 }, successor));
    }
    let mut both = folder.records().unwrap().trust().unwrap();
    both.extend(held);
    assert!(matches!(verdict(&both, &alice), Err(PathError::Revocation { position: 1, .. })));
    for name in ["root", "west", "north.1"] {
        assert!(folder.authorities().replace(name, KeyAlgorithm::Ed25519, LATER).is_err(), "{name}");
    }
}

/// The folder as `kill -9` leaves it after each thing that a replacement writes. Before the line that decides nothing has
/// happened; after it the old CA is out, and what is missing is signed again by itself.
#[test]
fn a_replacement_that_was_interrupted_has_happened_or_not() {
    let made = tempfile::tempdir().unwrap();
    let whole = folder(made.path());
    let alice = issue(made.path(), &whole, "north/client/alice", NOW);
    let before = read_tree(&made.path().join("ca"));
    whole.authorities().replace("north", KeyAlgorithm::P256, LATER).unwrap();
    let after = read_tree(&made.path().join("ca"));
    let new_ca = read_certificates(&made.path().join("ca/north.pem")).unwrap().remove(0);
    let index = "index.jsonl".to_owned();
    let (old, new) = (&before[&index], &after[&index]);
    // Written before the deciding line, in this order; and after it.
    let serials = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    let first = |name: &String| name.starts_with("authorities/") || name == "north.2.key";
    let changed: Vec<&String> =
        after.keys().filter(|name| **name != index && before.get(*name) != after.get(*name)).collect();
    let (ahead, behind): (Vec<&String>, Vec<&String>) = changed.iter().partition(|name| first(name));
    assert_eq!(ahead.len(), 3, "{ahead:?}");
    assert!(
        behind.iter().any(|name| *name == "north.pem") && behind.iter().any(|name| *name == "crl/root.pem"),
        "{behind:?}"
    );
    // In the order in which they are written.
    let rank = |name: &&String| match name.as_str() {
        "north.pem" => 0,
        "crl/north.pem" => 1,
        "crl/root.pem" => 3,
        _ => 2,
    };
    let mut behind = behind;
    behind.sort_by_key(rank);
    let lines: Vec<usize> = (old.len()..=new.len()).filter(|at| new[..*at].ends_with(b"\n")).collect();
    let decided = lines.iter().position(|at| serials(&new[..*at]).contains("authority-replaced")).unwrap();
    let passphrase = fs::read(made.path().join("authority.passphrase")).unwrap();
    for (place, cut) in lines.iter().enumerate() {
        let happened = place >= decided;
        let written = if happened { behind.len() } else { ahead.len() };
        // What comes before a line is on disk with it.
        let least = match place.checked_sub(decided) {
            None | Some(0) => 0,
            Some(1) => 1,
            Some(_) => behind.len() - 1,
        };
        for part in least..=written {
            let dir = tempfile::tempdir().unwrap();
            let mut state = before.clone();
            state.insert(index.clone(), new[..*cut].to_vec());
            let ahead_written = if happened { ahead.len() } else { part };
            let behind_written = if happened { part } else { 0 };
            for name in ahead.iter().take(ahead_written).chain(behind.iter().take(behind_written)) {
                state.insert((*name).clone(), after[*name].clone());
            }
            write_tree(&dir.path().join("ca"), &state);
            files::write_private(&dir.path().join("authority.passphrase"), &passphrase).unwrap();
            let folder = CertificateFolder::open(dir.path()).unwrap();
            let what = format!("line {place} of {decided}, {part} files");
            // What the peer does each minute.
            for name in folder.records().unwrap().due_crls(LATER) {
                folder.publication().reissue_crl(&name, LATER).unwrap();
            }
            assert_eq!(folder.records().unwrap().lacking_crls(), Vec::<String>::new(), "{what}");
            let trust = folder.records().unwrap().trust().unwrap();
            assert_eq!(verdict(&trust, &alice).is_err(), happened, "{what}");
            let said = folder.records().unwrap().compromised().unwrap();
            assert_eq!(said.len(), usize::from(happened), "{what}");
            assert!(said.iter().all(|it| it.succession.as_ref().is_some_and(|it| it.certificate == new_ca)), "{what}");
            let bob = issue(dir.path(), &folder, "north/client/bob", LATER);
            verdict(&folder.records().unwrap().trust().unwrap(), &bob).unwrap();
            let shown = read_certificates(&dir.path().join("ca/north.pem")).unwrap();
            assert_eq!(shown[0], bob[1], "{what}: what people look at is who issues");
            // The root says so of the old certificate, for those who know it.
            let revoked = folder.records().unwrap().revoked_authorities(LATER).unwrap();
            assert!(revoked.len() == usize::from(happened) && revoked.iter().all(|one| one.answer.is_some()), "{what}");
            // Done, or done again.
            folder.authorities().replace("north", KeyAlgorithm::P256, LATER).unwrap();
            assert!(verdict(&folder.records().unwrap().trust().unwrap(), &bob).is_err(), "{what}");
        }
    }
}

/// Lines of before a successor was named go on saying what they said.
#[test]
fn an_index_whose_keys_have_named_no_successor_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    folder.authorities().replace("north", KeyAlgorithm::Ed25519, LATER).unwrap();
    let said = folder.records().unwrap().compromised().unwrap();
    let index = dir.path().join("ca/index.jsonl");
    let lines = fs::read_to_string(&index).unwrap();
    let without = |lines: &str, field: &str| {
        let (before, rest) = lines.split_once(&format!(",\"{field}\":\"")).unwrap();
        format!("{before}{}", rest.split_once('"').unwrap().1)
    };
    // Nor do those of before the successor's own key signed name it.
    let unsigned = without(&lines, "possession");
    for older in [&unsigned, &without(&unsigned, "successor")] {
        fs::write(&index, older).unwrap();
        let folder = CertificateFolder::open(dir.path()).unwrap();
        let older = folder.records().unwrap().compromised().unwrap();
        assert_eq!((older.len(), &older[0].proof, &older[0].succession), (1, &said[0].proof, &None));
        assert_eq!(older[0].to_action().successor, None);
    }
    let named = said[0].to_action().successor.unwrap();
    assert_eq!(named.possession.0, said[0].succession.clone().unwrap().possession);
}

/// The page said that a number is revoked that the index has lost, and the command knew no such certificate.
#[test]
fn a_number_that_the_index_lost_is_revoked_with_its_crl_and_answer_and_a_word_for_channels() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let index = dir.path().join("ca/index.jsonl");
    let backup = fs::read(&index).unwrap();
    let alice = issue(dir.path(), &folder, "north/client/alice", NOW);
    let serial = folder.records().unwrap().certificates()[0].serial.clone();
    fs::write(&index, backup).unwrap();
    let folder = CertificateFolder::open(dir.path()).unwrap();
    assert!(verdict(&folder.records().unwrap().trust().unwrap(), &alice).is_ok());
    let by_number = folder.revocation().revoke(&Selection::Serial(serial.clone()), RevocationReason::Superseded, LATER);
    assert!(matches!(by_number, Err(FolderError::UnknownCertificate(_))), "{by_number:?}");
    for again in [false, true] {
        let lost = folder.revocation().revoke_lost("north", &serial, RevocationReason::KeyCompromise, LATER).unwrap();
        assert_eq!((lost.authority.as_str(), lost.revoked.at), ("north", LATER), "{again}");
        assert_eq!(folder.records().unwrap().lost_evidence(LATER).unwrap().len(), 1);
    }
    assert!(matches!(
        verdict(&folder.records().unwrap().trust().unwrap(), &alice),
        Err(PathError::Revocation { position: 0, .. })
    ));
    let ends = folder.records().unwrap().lost_evidence(LATER).unwrap();
    let answer = ends[0].answer.clone().unwrap();
    let proven = verify_revocation(&[alice[0].clone()], &answer, &[alice[1].clone()], LATER).unwrap();
    assert_eq!(proven.certificate.identity(), &identity("north/client/alice"));
    // The next lists and answers have it too, and so has another that opens the folder.
    fs::remove_file(dir.path().join(format!("ca/ocsp/{serial}.der"))).unwrap();
    assert_eq!(folder.records().unwrap().lost_evidence(LATER).unwrap()[0].answer, None, "until it is signed again");
    let folder = CertificateFolder::open(dir.path()).unwrap();
    folder.publication().reissue_crl("north", LATER.plus_millis(DAY_MS)).unwrap();
    assert!(matches!(
        verdict(&folder.records().unwrap().trust().unwrap(), &alice),
        Err(PathError::Revocation { position: 0, .. })
    ));
    let answer = read_ocsp_answer(&dir.path().join("ca"), &serial).unwrap();
    assert_ne!(ocsp::verify_answer(&answer, &alice[1], &serial).unwrap().status, ocsp::Status::Good);
    // A list that a crash kept back is missed.
    let list = fs::read(dir.path().join("ca/crl/north.pem")).unwrap();
    let other: Serial = "0102030405".parse().unwrap();
    folder.revocation().revoke_lost("north", &other, RevocationReason::Superseded, LATER.plus_millis(DAY_MS)).unwrap();
    fs::write(dir.path().join("ca/crl/north.pem"), list).unwrap();
    assert_eq!(folder.records().unwrap().lacking_crls(), ["north"]);
    // It ends with its CA.
    assert_eq!(folder.records().unwrap().lost_evidence(NOW.plus_millis(4000 * DAY_MS)).unwrap(), []);
}

#[test]
fn what_is_known_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    issue(dir.path(), &folder, "north/client/alice", NOW);
    let known = folder.records().unwrap().certificates()[0].serial.clone();
    let lost = |organization: &str, serial: &Serial| {
        folder.revocation().revoke_lost(organization, serial, RevocationReason::Superseded, LATER)
    };
    for organization in ["north", "south"] {
        assert!(matches!(lost(organization, &known), Err(FolderError::KnownCertificate(..))), "{organization}");
    }
    let of_ca = folder.records().unwrap().authorities()["north"].clone().serial;
    assert!(matches!(lost("north", &of_ca), Err(FolderError::KnownCertificate(..))), "a CA's own");
    for organization in ["root", "west"] {
        let refused = lost(organization, &"01".parse().unwrap());
        assert!(matches!(refused, Err(FolderError::UnknownAuthority(_))), "{organization}");
    }
}

type Tree = std::collections::BTreeMap<String, Vec<u8>>;

fn read_tree(root: &Path) -> Tree {
    fn walk(root: &Path, at: &Path, found: &mut Tree) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(root, &path, found),
                false => {
                    let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                    found.insert(name, fs::read(&path).unwrap());
                }
            }
        }
    }
    let mut found = Tree::new();
    walk(root, root, &mut found);
    found
}

fn write_tree(root: &Path, tree: &Tree) {
    for (name, bytes) in tree {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        files::write_private(&path, bytes).unwrap();
    }
}
