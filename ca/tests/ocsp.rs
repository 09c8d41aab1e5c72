//! OCSP answers as OpenSSL reads them, and as evidence of a revocation.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use crate::consortium::{CONSORTIUM, identity};
use ca::{
    Authority, CertificateFolder, KeyPair, Validity,
    office::{error::FolderError, issuing::LeafOptions, revocation::Selection},
};
use ledger_classes::limits::OCSP_BYTES_MAX;
use ledger_classes::primitives::time::Time;
use pki::{
    CertificateId, KeyAlgorithm, PathError, RevocationReason, Serial,
    trust::participant::{EvidenceError, verify_evidence, verify_revocation},
    x509::ocsp::{OcspError, Status, answers, parse_request, request, verify_answer},
};
use std::{fs, path::Path, process::Command, time::SystemTime};

/// OpenSSL compares with its own clock.
fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Time::from_millis(u64::try_from(since.as_millis()).unwrap())
}

fn issue(folder: &CertificateFolder, name: &str) -> (Serial, Vec<Vec<u8>>) {
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let path = folder.issuing().issue(&identity(name), key.public(), &LeafOptions::default(), now()).unwrap();
    (folder.records().unwrap().certificates().last().unwrap().serial.clone(), path)
}

/// What `openssl ocsp` makes of the answer in the folder. The whole chain is given as trusted.
fn openssl(dir: &Path, organization: &str, serial: &Serial, digest: &str) -> String {
    let ca = dir.join("ca");
    let trusted = dir.join("trusted.pem");
    let pem = |name: &str| fs::read_to_string(ca.join(format!("{name}.pem"))).unwrap();
    fs::write(&trusted, pem("root") + &pem(organization)).unwrap();
    let output = Command::new("openssl")
        .args(["ocsp", "-no_nonce", digest, "-issuer"])
        .arg(ca.join(format!("{organization}.pem")))
        .arg("-cert")
        .arg(ca.join(format!("issued/{serial}.pem")))
        .arg("-respin")
        .arg(ca.join(format!("ocsp/{serial}.der")))
        .arg("-CAfile")
        .arg(trusted)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn openssl_reads_good_and_revoked_under_both_algorithms_and_hashes() {
    for (algorithm, own_root) in
        [(KeyAlgorithm::Ed25519, false), (KeyAlgorithm::P256, false), (KeyAlgorithm::P256, true)]
    {
        let dir = tempfile::tempdir().unwrap();
        let folder = CertificateFolder::create(dir.path(), CONSORTIUM, algorithm, now()).unwrap();
        if own_root {
            folder.authorities().add_organization_root("north", algorithm, now()).unwrap();
        } else {
            folder.authorities().add_organization("north", algorithm, now()).unwrap();
        }
        let (alice, _) = issue(&folder, "north/client/alice");
        let (bob, _) = issue(&folder, "north/client/bob");
        for digest in ["-sha1", "-sha256"] {
            let text = openssl(dir.path(), "north", &alice, digest);
            assert!(text.contains("Response verify OK") && text.contains(": good"), "{algorithm} {digest}: {text}");
        }
        folder.revocation().revoke(&Selection::Serial(alice.clone()), RevocationReason::KeyCompromise, now()).unwrap();
        for digest in ["-sha1", "-sha256"] {
            let text = openssl(dir.path(), "north", &alice, digest);
            assert!(text.contains("Response verify OK") && text.contains(": revoked"), "{algorithm} {digest}: {text}");
            assert!(text.contains("Reason: keyCompromise"), "{text}");
        }
        // An answer about somebody else is no answer.
        fs::copy(dir.path().join(format!("ca/ocsp/{bob}.der")), dir.path().join(format!("ca/ocsp/{alice}.der")))
            .unwrap();
        let text = openssl(dir.path(), "north", &alice, "-sha256");
        assert!(!text.contains(": good"), "{text}");
        // Signing again heals it.
        folder.publication().reissue_crl("north", now()).unwrap();
        assert!(openssl(dir.path(), "north", &alice, "-sha256").contains(": revoked"));
        assert!(openssl(dir.path(), "north", &bob, "-sha256").contains(": good"));
    }
}

#[test]
fn openssl_asks_with_or_without_nonce() {
    let dir = tempfile::tempdir().unwrap();
    let folder = CertificateFolder::create(dir.path(), CONSORTIUM, KeyAlgorithm::Ed25519, now()).unwrap();
    folder.authorities().add_organization("north", KeyAlgorithm::P256, now()).unwrap();
    folder.authorities().add_organization("south", KeyAlgorithm::P256, now()).unwrap();
    let (alice, _) = issue(&folder, "north/client/alice");
    let answer = folder.records().unwrap().ocsp_answer(&alice).unwrap();
    for (organization, digest, nonce, ours) in [
        ("north", "-sha1", "-nonce", true),
        ("north", "-sha256", "-no_nonce", true),
        ("north", "-sha512", "-no_nonce", false),
        ("south", "-sha256", "-no_nonce", false),
    ] {
        let request = dir.path().join("request.der");
        let made = Command::new("openssl")
            .args(["ocsp", digest, nonce, "-issuer"])
            .arg(dir.path().join(format!("ca/{organization}.pem")))
            .arg("-serial")
            .arg(format!("0x{alice}"))
            .arg("-reqout")
            .arg(&request)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let query = parse_request(&fs::read(&request).unwrap()).unwrap();
        let answered = query.is_some_and(|query| *query.serial() == alice && answers(&answer, &query));
        assert_eq!(answered, ours, "{organization} {digest} {nonce}");
    }
    assert!(matches!(
        folder.records().unwrap().ocsp_answer(&"0102".parse().unwrap()),
        Err(FolderError::UnknownCertificate(_))
    ));
}

#[test]
fn evidence_convinces_only_of_a_revocation_by_the_issuer() {
    let dir = tempfile::tempdir().unwrap();
    let folder = CertificateFolder::create(dir.path(), CONSORTIUM, KeyAlgorithm::Ed25519, now()).unwrap();
    folder.authorities().add_organization("north", KeyAlgorithm::Ed25519, now()).unwrap();
    folder.authorities().add_organization_root("south", KeyAlgorithm::P256, now()).unwrap();
    let trust = folder.records().unwrap().trust().unwrap();
    for organization in ["north", "south"] {
        let (serial, path) = issue(&folder, &format!("{organization}/client/alice"));
        let (other, other_path) = issue(&folder, &format!("{organization}/client/bob"));
        let good = folder.records().unwrap().ocsp_answer(&serial).unwrap();
        assert!(folder.records().unwrap().revoked(now()).iter().all(|record| record.serial != serial));
        folder.revocation().revoke(&Selection::Serial(serial.clone()), RevocationReason::Superseded, now()).unwrap();
        let record =
            folder.records().unwrap().revoked(now()).into_iter().find(|record| record.serial == serial).unwrap();
        let found = folder.records().unwrap().evidence(&record).unwrap().unwrap();
        assert_eq!(found.path, path);
        // The roots of a channel are the consortium's, or the organization's CA itself.
        let issuing: Vec<Vec<u8>> = trust.issuing.iter().chain(&trust.anchors).cloned().collect();
        let judge = |path: &[Vec<u8>], evidence: &[u8], roots: &[Vec<u8>]| {
            verify_revocation(path, evidence, roots, now()).map(|revoked| revoked.certificate.serial().clone())
        };
        for roots in [&trust.anchors, &issuing] {
            assert_eq!(judge(&path, &found.answer, roots), Ok(serial.clone()), "{organization}");
            assert_eq!(judge(&path, &good, roots), Err(EvidenceError::Good));
            // Revoked is for ever: a year later the answer has long expired.
            let later = now().plus_millis(300 * 86_400_000);
            assert!(verify_revocation(&path, &found.answer, roots, later).is_ok());
            assert_eq!(judge(&other_path, &found.answer, roots), Err(OcspError::OtherIssuer.into()));
            assert_eq!(judge(&path, &[], roots), Err(OcspError::Malformed.into()));
        }
        assert_eq!(judge(&path, &found.answer, &[]), Err(PathError::UnknownIssuer.into()));
        let answer = verify_answer(
            &folder.records().unwrap().ocsp_answer(&other).unwrap(),
            issuing_of(&issuing, organization),
            &other,
        );
        assert_eq!(answer.unwrap().status, Status::Good);
    }
}

/// What goes to channels: no leaf, and so no name. The answer tells the certificate.
#[test]
fn evidence_without_the_leaf_tells_certificate_and_reason_under_each_listed_ca() {
    let dir = tempfile::tempdir().unwrap();
    let folder = CertificateFolder::create(dir.path(), CONSORTIUM, KeyAlgorithm::P256, now()).unwrap();
    folder.authorities().add_organization("north", KeyAlgorithm::Ed25519, now()).unwrap();
    folder.authorities().add_organization("south", KeyAlgorithm::P256, now()).unwrap();
    let trust = folder.records().unwrap().trust().unwrap();
    let (serial, path) = issue(&folder, "north/client/alice");
    let good = folder.records().unwrap().ocsp_answer(&serial).unwrap();
    folder.revocation().revoke(&Selection::Serial(serial.clone()), RevocationReason::KeyCompromise, now()).unwrap();
    let answer = folder.records().unwrap().ocsp_answer(&serial).unwrap();
    let (north, south) = (issuing_of(&trust.issuing, "north"), issuing_of(&trust.issuing, "south"));
    let root = trust.anchors[0].as_slice();
    assert_eq!(path[1], north);
    let judge = |path: &[&[u8]], answer: &[u8], roots: &[&[u8]]| {
        let proven = verify_evidence(path, answer, roots)?;
        Ok::<_, EvidenceError>((proven.certificate.serial, proven.organization, proven.reason))
    };
    let proven = Ok((serial.clone(), Some("north".to_owned()), RevocationReason::KeyCompromise));
    for (path, roots) in [
        (&[][..], &[north][..]),
        (&[], &[south, north]),
        (&[north], &[north]),
        (&[north], &[root]),
        (&[north, root], &[south, root]),
    ] {
        assert_eq!(judge(path, &answer, roots), proven, "{} {}", path.len(), roots.len());
        assert_eq!(judge(path, &good, roots), Err(EvidenceError::Good));
    }
    let other = || Err(OcspError::OtherIssuer.into());
    let unknown = || Err(PathError::UnknownIssuer.into());
    for (path, answer, roots, refused) in [
        (&[][..], &answer[..], &[][..], unknown()),
        (&[], &answer, &[south], other()),
        (&[], &answer, &[root], other()),
        (&[south], &answer, &[root], other()),
        (&[north], &answer, &[south], unknown()),
        (&[north, south], &answer, &[root], unknown()),
        (&[north, north, north, north, north], &answer, &[root], Err(PathError::Length.into())),
        (&[], b"answer", &[north], Err(OcspError::Malformed.into())),
    ] {
        assert_eq!(judge(path, answer, roots), refused, "{} {}", path.len(), roots.len());
    }
    let leaf = path[0].as_slice();
    assert!(matches!(judge(&[leaf], &answer, &[north]), Err(EvidenceError::Path(PathError::Profile { .. }))));
    let mut forged = answer.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(judge(&[], &forged, &[north]), Err(OcspError::Signature.into()));

    // A CA above says it of a CA below.
    folder.revocation().revoke_organization("south", RevocationReason::CaCompromise, now()).unwrap();
    let record = folder.records().unwrap().authorities()["south"].clone();
    let answer = folder.records().unwrap().ocsp_answer(&record.serial).unwrap();
    let proven = Ok((record.serial, None, RevocationReason::CaCompromise));
    assert_eq!(judge(&[], &answer, &[root]), proven);
    assert_eq!(judge(&[root], &answer, &[root, north]), proven);
    assert_eq!(judge(&[], &answer, &[north]), other());
}

fn issuing_of<'a>(all: &'a [Vec<u8>], organization: &str) -> &'a [u8] {
    let wanted = Some(organization.to_owned());
    all.iter().find(|der| pki::AuthorityScope::of_certificate(der).unwrap().organization == wanted).unwrap()
}

const NOW: Time = Time::from_millis(1_800_000_000_000);

fn authority(algorithm: KeyAlgorithm) -> Authority {
    let validity = Validity::starting(NOW, 1_000_000_000);
    Authority::new_organization_root("harbour.example", "north", KeyPair::generate(algorithm).unwrap(), validity)
        .unwrap()
}

#[test]
fn an_answer_says_what_was_signed_and_nothing_else() {
    for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::P256] {
        let (north, other) = (authority(algorithm), authority(algorithm));
        for (serial, status) in [
            ("01", Status::Good),
            ("80ff", Status::Revoked { at: NOW, reason: RevocationReason::Unspecified }),
            ("7f", Status::Revoked { at: NOW, reason: RevocationReason::PrivilegeWithdrawn }),
        ] {
            let serial: Serial = serial.parse().unwrap();
            let next = NOW.plus_millis(5_000);
            let der = north.answer_ocsp(&serial, status, NOW, next).unwrap();
            assert!(der.len() < OCSP_BYTES_MAX);
            let answer = verify_answer(&der, north.certificate(), &serial).unwrap();
            assert_eq!((answer.status, answer.this_update, answer.next_update), (status, NOW, Some(next)));
            assert_eq!(answer.id, CertificateId { issuer: north.key_id(), serial: serial.clone() });

            let asked = request(north.certificate(), &serial).unwrap();
            let query = parse_request(&asked).unwrap().unwrap();
            assert_eq!(query.serial(), &serial);
            assert!(answers(&der, &query));
            let others = parse_request(&request(other.certificate(), &serial).unwrap()).unwrap().unwrap();
            assert!(!answers(&der, &others), "of another CA with the same serial");

            assert_eq!(verify_answer(&der, other.certificate(), &serial), Err(OcspError::OtherIssuer));
            assert_eq!(verify_answer(&der, north.certificate(), &"02".parse().unwrap()), Err(OcspError::OtherIssuer));
            // Any flipped bit: refused for one reason or another, never another verdict.
            for place in 0..der.len() {
                for bit in [1, 0x80] {
                    let mut bad = der.clone();
                    bad[place] ^= bit;
                    if let Ok(found) = verify_answer(&bad, north.certificate(), &serial) {
                        panic!("octet {place} may change: {found:?}");
                    }
                }
                assert!(verify_answer(&der[..place], north.certificate(), &serial).is_err());
            }
        }
    }
}

#[test]
fn requests_are_of_one_certificate() {
    let north = authority(KeyAlgorithm::Ed25519);
    let asked = request(north.certificate(), &"0102".parse().unwrap()).unwrap();
    assert!(parse_request(&asked).unwrap().is_some());
    for place in 0..asked.len() {
        assert!(parse_request(&asked[..place]).is_err());
    }
    let single = &asked[6..];
    let sequence = |content: &[u8]| {
        let length = u8::try_from(content.len()).unwrap();
        let header = if length < 0x80 { vec![0x30, length] } else { vec![0x30, 0x81, length] };
        [header, content.to_vec()].concat()
    };
    let two = sequence(&sequence(&sequence(&[single, single].concat())));
    assert_eq!(parse_request(&two), Ok(None));
    assert_eq!(parse_request(&[0x30; 5000]), Err(OcspError::Malformed));
    assert_eq!(parse_request(&[]), Err(OcspError::Malformed));
}
