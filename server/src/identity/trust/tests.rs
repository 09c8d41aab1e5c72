//! Trust of a peer whose files change, expire and break.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::setup::{
    config::Limits,
    init::{InitOptions, init},
};
use ca::{
    Credentials,
    office::{issuing::LeafOptions, revocation::Selection},
};
use client::api::CaAnswer;
use ledger_classes::primitives::time::Time;
use pki::{KeyAlgorithm, RevocationReason, trust::revocation::RevocationError};
use std::{fs, time::SystemTime};

#[test]
fn a_revocation_in_the_folder_is_in_force_after_a_poll() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("peer");
    init(&InitOptions::new(&dir, "harbour.example", "north")).unwrap();
    let config = Config::load(&dir).unwrap();
    let trust = Trust::open(&dir, &config).unwrap();
    assert_eq!(trust.identity().organization(), "north");
    assert_eq!(trust.authorities_of("north").len(), 1);
    assert!(trust.authorities_of("south").is_empty());
    assert!(trust.crl("north").is_some() && trust.crl("root").is_some() && trust.crl("south").is_none());
    assert!(!trust.poll(), "nothing has changed");

    let admin = Credentials::load(&dir.join("profiles/admin")).unwrap();
    let judge = || trust.store().verify(&admin.path, clock::now(), Usage::ClientAuth);
    let identity = judge().unwrap().identity().clone();
    let generation = trust.generation();
    let folder = CertificateFolder::open(&dir).unwrap();
    folder.revocation().revoke(&Selection::Identity(identity), RevocationReason::KeyCompromise, clock::now()).unwrap();
    assert!(trust.poll());
    assert_ne!(trust.generation(), generation);
    assert!(matches!(judge(), Err(PathError::Revocation { .. })));
    assert!(!trust.poll());

    // A broken file changes nothing of what is in force.
    fs::write(dir.join("ca/crl/north.pem"), "damaged").unwrap();
    assert!(trust.poll());
    assert!(matches!(judge(), Err(PathError::Revocation { .. })));
}

/// The revoking list was in the folder and in memory alone: with a folder from a backup the next start took it back.
#[test]
fn a_folder_from_a_backup_takes_no_revocation_back_also_over_a_restart() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("peer");
    init(&InitOptions::new(&dir, "harbour.example", "north")).unwrap();
    let config = Config::load(&dir).unwrap();
    let folder = CertificateFolder::open(&dir).unwrap();
    let admin = Credentials::load(&dir.join("profiles/admin")).unwrap();
    let lists = || ["root", "north"].map(|name| dir.join("ca/crl").join(format!("{name}.pem")));
    let backup = lists().map(|path| fs::read(path).unwrap());
    let restore = || lists().iter().zip(&backup).for_each(|(path, list)| fs::write(path, list).unwrap());
    // While it runs, and while it does not.
    for running in [true, false] {
        let trust = Trust::open(&dir, &config).unwrap();
        let judge = |trust: &Trust| trust.store().verify(&admin.path, clock::now(), Usage::ClientAuth);
        if running {
            let identity = judge(&trust).unwrap().identity().clone();
            folder
                .revocation()
                .revoke(&Selection::Identity(identity), RevocationReason::KeyCompromise, clock::now())
                .unwrap();
            assert!(trust.poll());
        }
        assert!(matches!(judge(&trust), Err(PathError::Revocation { .. })), "running: {running}");
        restore();
        drop(trust);
        let trust = Trust::open(&dir, &config).unwrap();
        assert!(matches!(judge(&trust), Err(PathError::Revocation { .. })), "running: {running}");
    }
}

/// As `crl.pem -> ..data/crl.pem` of a mounted secret, of which `..data` is swapped.
#[test]
fn a_revocation_that_comes_by_a_swapped_directory_is_in_force_after_a_poll() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("peer");
    init(&InitOptions::new(&dir, "harbour.example", "north")).unwrap();
    let folder = CertificateFolder::open(&dir).unwrap();
    let (own, config) = (dir.join("peer"), Config::load(&dir).unwrap());
    let config = Config { authority_dir: parent.path().join("none"), ..config };
    let mount = |version: &str| {
        let next = own.join(version);
        fs::create_dir(&next).unwrap();
        let crl = |name: &str| fs::read_to_string(dir.join(format!("ca/crl/{name}.pem"))).unwrap();
        fs::write(next.join("crl.pem"), crl("root") + &crl("north")).unwrap();
        std::os::unix::fs::symlink(version, own.join("..new")).unwrap();
        fs::rename(own.join("..new"), own.join("..data")).unwrap();
    };
    mount("..1");
    fs::remove_file(own.join("crl.pem")).unwrap();
    std::os::unix::fs::symlink("..data/crl.pem", own.join("crl.pem")).unwrap();
    let trust = Trust::open(&dir, &config).unwrap();
    let admin = Credentials::load(&dir.join("profiles/admin")).unwrap();
    let judge = || trust.store().verify(&admin.path, clock::now(), Usage::ClientAuth);
    let identity = judge().unwrap().identity().clone();
    folder.revocation().revoke(&Selection::Identity(identity), RevocationReason::KeyCompromise, clock::now()).unwrap();
    trust.poll();
    assert!(judge().is_ok(), "it is not mounted yet");
    mount("..2");
    assert!(trust.poll());
    assert!(matches!(judge(), Err(PathError::Revocation { .. })));
}

/// Of two changes within a step of the file system's clock the second left no trace.
#[test]
fn a_file_that_changed_a_moment_ago_is_read_once_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("crl.pem");
    fs::write(&path, "one").unwrap();
    let stamp = Stamp::of(&path).unwrap();
    let now = clock::now();
    assert!(stamp.is_fresh(now) && !stamp.is_fresh(now.plus_millis(2_000)));
    assert!(fresh(&[(path, stamp)]));
}

/// A read that failed once, as for want of a file descriptor, left the old CRLs in force until the next change.
#[test]
fn what_could_not_be_read_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("peer");
    init(&InitOptions::new(&dir, "harbour.example", "north")).unwrap();
    let trust = Trust::open(&dir, &Config::load(&dir).unwrap()).unwrap();
    let admin = Credentials::load(&dir.join("profiles/admin")).unwrap();
    let judge = || trust.store().verify(&admin.path, clock::now(), Usage::ClientAuth);
    let identity = judge().unwrap().identity().clone();
    let folder = CertificateFolder::open(&dir).unwrap();
    folder.revocation().revoke(&Selection::Identity(identity), RevocationReason::KeyCompromise, clock::now()).unwrap();

    // The same file to all appearances, once unreadable.
    let path = dir.join("ca/crl/north.pem");
    let crl = fs::read(&path).unwrap();
    let appear = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    };
    appear(&vec![b'-'; crl.len()]);
    assert!(trust.poll());
    assert!(!trust.poll(), "nothing new");
    assert!(judge().is_ok());
    appear(&crl);
    assert!(trust.poll());
    assert!(matches!(judge(), Err(PathError::Revocation { .. })));
    assert!(!trust.poll());
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The peer refused to start with an expired certificate, and one organization's damaged or expired files kept it from
/// loading those of all.
#[test]
fn what_has_expired_or_is_damaged_concerns_its_own_organization_only() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path();
    let ago = |days: u64| Time::from_millis(clock::now().millis() - days * DAY_MS);
    let folder = CertificateFolder::create(dir, "harbour.example", KeyAlgorithm::Ed25519, ago(400)).unwrap();
    folder.authorities().add_organization("north", KeyAlgorithm::P256, ago(400)).unwrap();
    folder.authorities().add_organization_root("south", KeyAlgorithm::Ed25519, ago(400)).unwrap();
    folder.authorities().add_organization_root("east", KeyAlgorithm::Ed25519, ago(4000)).unwrap();
    let peer = Identity::parse("spiffe://harbour.example/north/peer/p1").unwrap();
    let options = LeafOptions { lifetime_ms: 90 * DAY_MS, ..LeafOptions::default() };
    let old = folder.issuing().issue_profile(&peer, &options, &dir.join("peer"), ago(400)).unwrap();
    let admin = Identity::parse("spiffe://harbour.example/north/admin/ann").unwrap();
    folder.issuing().issue_profile(&admin, &options, &dir.join("ann"), clock::now()).unwrap();
    // This peer has no authorities' folder: only what was once given to it, all of it out of date.
    let alone = Config { authority_dir: "elsewhere".into(), ..Config::default() };
    let trust = Trust::open(dir, &alone).unwrap();
    assert_eq!((trust.identity(), trust.standing()), (peer.clone(), Err(PathError::Expired)));
    assert_eq!(trust.bundle().anchors.len(), 3, "the expired root is only one of them");

    // New certificates and lists come as files, while east's stay out of date and south's are damaged.
    for name in ["root", "north"] {
        folder.publication().reissue_crl(name, clock::now()).unwrap();
    }
    let path = folder.issuing().issue(&peer, old.key.public(), &options, clock::now()).unwrap();
    folder.records().unwrap().trust().unwrap().save(&dir.join("peer")).unwrap();
    Credentials::replace(&dir.join("peer"), &path, None).unwrap();
    assert!(trust.poll());
    assert_eq!(trust.standing(), Ok(()));
    for file in ["ca/south.pem", "ca/crl/south.pem"] {
        fs::write(dir.join(file), "damaged").unwrap();
    }
    for name in ["ca.pem", "crl.pem"] {
        let file = dir.join("peer").join(name);
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, &text[..text.len() - 20]).unwrap();
        assert!(trust.poll());
        assert_eq!((trust.standing(), trust.bundle().anchors.len()), (Ok(()), 3), "what was in force stays");
        let both = Trust::open(dir, &Config::default()).unwrap();
        assert_eq!((both.standing(), both.bundle().anchors.len()), (Ok(()), 2), "{name}: all but south");
    }

    // A certificate that nobody would accept does not replace a good one; nor does the peer start as somebody else.
    Credentials::replace(&dir.join("peer"), &old.path, None).unwrap();
    assert!(trust.poll());
    assert_eq!(trust.standing(), Ok(()));
    let config = Config { certificate_dir: "ann".into(), ..Config::default() };
    assert!(matches!(Trust::open(dir, &config), Err(IdentityError::NotPeer(_))));
}

/// Whatever else lies in the peer's own folder: a root that the authorities have retired is no anchor. Connections that
/// were opened before go on.
#[test]
fn a_retired_root_is_no_anchor_wherever_it_lies() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("peer");
    init(&InitOptions::new(&dir, "harbour.example", "north")).unwrap();
    let trust = Trust::open(&dir, &Config::load(&dir).unwrap()).unwrap();
    let admin = Credentials::load(&dir.join("profiles/admin")).unwrap();
    let (own, now) = (dir.join("peer"), clock::now());
    let before = TrustBundle::load(&own).unwrap();
    let folder = CertificateFolder::open(&dir).unwrap();
    let roots = |trust: &Trust| trust.bundle().anchors.len();
    folder.rollover().start(KeyAlgorithm::P256, now).unwrap();
    assert!(trust.poll());
    assert_eq!((roots(&trust), trust.bundle().links.len()), (2, 2));
    let names: Vec<String> = trust.crl_updates().into_keys().collect();
    assert_eq!(names[..2], ["north", "root"]);
    assert!(names[2].starts_with("root-") && names.iter().all(|name| trust.crl(name).is_some()));

    folder.rollover().switch(true, now).unwrap();
    assert!(
        folder.handout().bring_up_to_date(&own, now).unwrap() && !folder.handout().bring_up_to_date(&own, now).unwrap()
    );
    let fingerprint = *trust.own_certificate().fingerprint();
    assert!(trust.poll());
    assert_eq!(*trust.own_certificate().fingerprint(), fingerprint, "another path for the same certificate");
    assert_eq!(trust.own_path.load().path, read_certificates(&own.join("cert.pem")).unwrap());
    assert_eq!(trust.authorities_of("north").len(), 1, "channels are told of the newest certificate");
    trust.store().verify(&admin.path, now, Usage::ClientAuth).unwrap();

    folder.rollover().retire(true, now).unwrap();
    before.save(&own).unwrap();
    assert!(trust.poll());
    assert_eq!((roots(&trust), trust.bundle().links.len()), (1, 0));
    assert_eq!(trust.store().verify(&admin.path, now, Usage::ClientAuth), Err(PathError::UnknownIssuer));
    trust.store().verify_again(&admin.path, now, Usage::ClientAuth).unwrap();
    // Brought up to date, the peer's own folder alone has forgotten the root too.
    assert!(folder.handout().bring_up_to_date(&own, now).unwrap());
    let left = TrustBundle::load(&own).unwrap();
    assert_eq!((left.anchors.len(), left.issuing.len()), (1, 1));
    assert!(!left.anchors.contains(&before.anchors[0]));
}

/// Lists that came at the same time were written in any order: an older set could stay on disk, or half of one.
#[test]
fn of_lists_that_are_learned_at_once_the_newest_is_kept() {
    let parent = tempfile::tempdir().unwrap();
    let (dir, alone) = (parent.path().join("peer"), Config { authority_dir: "elsewhere".into(), ..Config::default() });
    init(&InitOptions::new(&dir, "harbour.example", "north")).unwrap();
    let trust = Trust::open(&dir, &alone).unwrap();
    let folder = CertificateFolder::open(&dir).unwrap();
    let lists: Vec<Vec<u8>> = (0..24)
        .map(|_| {
            folder.publication().reissue_crl("north", clock::now()).unwrap();
            pki::trust::files::crls_of(&fs::read_to_string(dir.join("ca/crl/north.pem")).unwrap()).unwrap().remove(0)
        })
        .collect();
    for together in lists.chunks(4) {
        std::thread::scope(|scope| {
            for list in together {
                scope.spawn(|| match trust.learn(list) {
                    Ok(_) | Err(LearnError::Refused(RevocationError::Older { .. })) => {}
                    Err(error) => panic!("{error}"),
                });
            }
        });
        let (kept, ours) = (TrustBundle::load(&dir.join("peer")).unwrap().crls, trust.crls());
        assert!(ours.contains(together.last().unwrap()));
        assert_eq!(kept, ours);
        // What is handed out is the same set.
        let set = trust.crl_set();
        assert_eq!(set.tag, client::crl::set_tag(&ours));
        let pem: Vec<u8> = set.crls.iter().flat_map(|crl| crl.pem.clone()).collect();
        assert_eq!(pki::trust::files::crls_of(std::str::from_utf8(&pem).unwrap()).unwrap(), ours);
    }
}

/// The next list did not name it, and the next start forgot it: who was refused came in.
#[test]
fn what_a_newer_list_leaves_out_is_revoked_also_after_a_restart() {
    let parent = tempfile::tempdir().unwrap();
    let (dir, alone) = (parent.path().join("peer"), Config { authority_dir: "elsewhere".into(), ..Config::default() });
    init(&InitOptions::new(&dir, "harbour.example", "north")).unwrap();
    let index = dir.join("ca/index.jsonl");
    let before = fs::read(&index).unwrap();
    let list =
        || pki::trust::files::crls_of(&fs::read_to_string(dir.join("ca/crl/north.pem")).unwrap()).unwrap().remove(0);
    let admin = Selection::Identity("spiffe://harbour.example/north/admin/admin".parse().unwrap());
    let folder = CertificateFolder::open(&dir).unwrap();
    folder.revocation().revoke(&admin, RevocationReason::KeyCompromise, clock::now()).unwrap();
    let names_it = list();
    fs::write(&index, before).unwrap();
    let restored = CertificateFolder::open(&dir).unwrap();
    restored.publication().reissue_crl("north", clock::now().plus_millis(100_000)).unwrap();
    let newer = list();

    let revoked = |trust: &Trust| trust.store().revocation().current().lists().map(|list| list.len()).sum::<usize>();
    let trust = Trust::open(&dir, &alone).unwrap();
    trust.learn(&names_it).unwrap().unwrap();
    trust.learn(&newer).unwrap().unwrap();
    assert!(trust.is_newest(&newer) && !trust.is_newest(&names_it));
    assert!(trust.crls().contains(&names_it), "other peers are given it, too");
    assert_eq!(revoked(&trust), 1);
    drop(trust);
    assert_eq!(revoked(&Trust::open(&dir, &alone).unwrap()), 1);
}

/// Kept by serial and in one folder, an answer of one CA could have stood for another's, or taken its room.
#[test]
fn answers_are_known_by_their_certificates_and_each_organization_has_its_room() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("peer");
    init(&InitOptions::new(&dir, "harbour.example", "north")).unwrap();
    let folder = CertificateFolder::open(&dir).unwrap();
    folder.authorities().add_organization("south", KeyAlgorithm::P256, clock::now()).unwrap();
    let config = Config::load(&dir).unwrap();
    let trust = Trust::open(&dir, &config).unwrap();
    let answer = |organization: &str, name: &str| {
        let identity: Identity = format!("spiffe://harbour.example/{organization}/client/{name}").parse().unwrap();
        let out = parent.path().join(name);
        folder.issuing().issue_profile(&identity, &LeafOptions::default(), &out, clock::now()).unwrap();
        let good = folder
            .records()
            .unwrap()
            .certificates()
            .iter()
            .rfind(|record| record.identity == identity)
            .unwrap()
            .clone();
        let says_good = folder.records().unwrap().ocsp_answer(&good.serial).unwrap();
        let revoked = folder
            .revocation()
            .revoke(&Selection::Identity(identity), RevocationReason::KeyCompromise, clock::now())
            .unwrap();
        let evidence = folder.records().unwrap().evidence(&revoked[0]).unwrap().unwrap();
        let path: Vec<HexBytes> = evidence.path.into_iter().map(HexBytes).collect();
        let of = |evidence| CaAnswer { path: path.clone(), evidence: HexBytes(evidence) };
        (of(evidence.answer), of(says_good))
    };
    let (ann, good) = answer("north", "ann");
    let (bea, _) = answer("south", "bea");
    assert!(matches!(trust.bring(&good), Err(AnswerError::Evidence(_))));
    let crossed = CaAnswer { evidence: bea.evidence.clone(), ..ann.clone() };
    assert!(matches!(trust.bring(&crossed), Err(AnswerError::Evidence(_))));
    let generation = trust.generation();
    // Whoever is revoked brings it first, with a stranger's CA behind its own certificate.
    let stranger = HexBytes(folder.records().unwrap().authority_certificate("south").unwrap());
    let path = [&ann.path[..1], &[stranger], &ann.path[1..]].concat();
    assert!(matches!(trust.bring(&CaAnswer { path, ..ann.clone() }), Err(AnswerError::Evidence(_))));
    assert!(trust.answers().iter().next().is_none(), "the empty list is known from here on");
    assert!(trust.bring(&ann).unwrap());
    assert!(!trust.bring(&ann).unwrap(), "known");
    let north = KeyId::of_certificate(&folder.records().unwrap().authority_certificate("north").unwrap()).unwrap();
    let answers = trust.answers();
    let of_ann = answers.iter().next().unwrap();
    assert_eq!(of_ann.id.issuer, north);
    assert!(trust.store().revocation().is_revoked(&of_ann.id));
    assert_eq!(trust.generation(), generation + 1);
    let kept = dir.join("peer/answers/north").join(format!("{}.json", Hash::plain(&[&ann.path[0].0])));
    assert!(kept.exists());

    // What nobody vouches for is not kept: paths of 117 KiB were, ten thousand of them.
    let (dan, _) = answer("north", "dan");
    let padded = CaAnswer { path: [&dan.path[..], &[HexBytes(vec![7; 58_000])]].concat(), ..dan.clone() };
    assert!(trust.bring(&padded).unwrap());
    let file = dir.join("peer/answers/north").join(format!("{}.json", Hash::plain(&[&dan.path[0].0])));
    assert!(fs::metadata(&file).unwrap().len() < 8 * 1024);
    let again = Trust::open(&dir, &config).unwrap();
    let read = again.answers();
    let of_dan = read.iter().find(|answer| answer.identity.name() == "dan").unwrap();
    assert_eq!(of_dan.evidence.path, dan.path.iter().map(|der| der.0.clone()).collect::<Vec<_>>());

    // One organization's room is full, and a file is damaged.
    fs::write(dir.join("peer/answers/north/1.json"), "damaged").unwrap();
    let one = of_dan.bytes();
    // Signatures are a few bytes longer or shorter: half of an answer more than six.
    let limits = Limits { memory_bytes_max: 32 * (6 * one + one / 2), ..config.limits };
    let trust = Trust::open(&dir, &Config { limits, ..config }).unwrap();
    let names = |trust: &Trust| -> Vec<String> {
        let mut names: Vec<_> = trust.answers().iter().map(|answer| answer.identity.name().to_owned()).collect();
        names.sort();
        names
    };
    let (cid, _) = answer("north", "cid");
    assert!(trust.bring(&cid).unwrap(), "half of the room");
    let (eve, _) = answer("north", "eve");
    assert!(matches!(trust.bring(&eve), Err(AnswerError::Full(3))));
    assert!(trust.bring(&bea).unwrap(), "another organization has its own");
    assert_eq!(names(&trust), ["ann", "bea", "cid", "dan"]);
    assert_eq!(names(&Trust::open(&dir, &Config::load(&dir).unwrap()).unwrap()), names(&trust));
    // Who is known already is answered, whatever room there is.
    assert!(!trust.bring(&cid).unwrap());
}
