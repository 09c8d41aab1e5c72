//! Requests, tokens, approvals and renewals in a folder.
#![allow(clippy::unwrap_used)]

use crate::consortium::{CONSORTIUM, NOW, identity, trust_store};
use ca::{
    CertificateFolder, Credentials, KeyPair, Possession, RegistrationError, RenewalError, RequestStatus, Terms,
    holder::request::make_request,
    limits::{
        CERTIFICATES_PER_IDENTITY_MAX, DAY_MS, RENEWAL_GRACE_MS, RENEWAL_SKEW_MS, REQUEST_LIFETIME_MS,
        REQUESTS_KEPT_FOR_ADMINISTRATORS, REQUESTS_OPEN_MAX, REQUESTS_OPEN_OF_ORGANIZATION_MAX,
        REQUESTS_OPEN_OF_STRANGERS_MAX, REQUESTS_OPEN_PER_REQUESTER_MAX, STRANGERS_REQUEST_LIFETIME_MS,
    },
    office::{
        enrolment::EnrolmentPolicy, error::FolderError, issuing::LeafOptions, renewal::renewal_message,
        revocation::Selection,
    },
};
use ledger_classes::primitives::time::Time;
use pki::{CertificateRequest, KeyAlgorithm, RevocationReason, Usage};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyUsagePurpose, SanType};
use std::path::Path;

const ALICE: &str = "north/client/alice";
type Made = Result<ca::FiledRequest, RegistrationError>;

fn folder(dir: &Path) -> CertificateFolder {
    let folder = CertificateFolder::create(dir, CONSORTIUM, KeyAlgorithm::Ed25519, NOW).unwrap();
    folder.authorities().add_organization("north", KeyAlgorithm::Ed25519, NOW).unwrap();
    folder
}

fn key() -> KeyPair {
    KeyPair::generate(KeyAlgorithm::Ed25519).unwrap()
}

fn request(key: &KeyPair, name: &str) -> CertificateRequest {
    CertificateRequest::parse(make_request(key, &identity(name)).unwrap().as_bytes()).unwrap()
}

/// Verifies a path under everything that the folder knows, and says whose it is.
fn holder(folder: &CertificateFolder, path: &[Vec<u8>], at: Time) -> String {
    let store = trust_store(&folder.records().unwrap().trust().unwrap());
    let verified = store.verify(path, at, Usage::ClientAuth).unwrap();
    verified.identity().to_string()
}

fn later(millis: u64) -> Time {
    NOW.plus_millis(millis)
}

#[test]
fn an_approved_request_becomes_a_certificate_of_the_profile_and_nothing_that_it_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let key = KeyPair::generate(KeyAlgorithm::P256).unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let uri = identity(ALICE).to_string();
    params.subject_alt_names =
        vec![SanType::URI(uri.as_str().try_into().unwrap()), SanType::DnsName("peer.example".try_into().unwrap())];
    let hostile = CertificateRequest::parse(params.serialize_request(&key).unwrap().der()).unwrap();

    let filed = folder.registration().file_request(&hostile, None, "192.0.2.1", NOW).unwrap();
    assert_eq!((filed.status, filed.path.is_none()), (RequestStatus::Requested, true));
    let again = folder.registration().file_request(&hostile, None, "192.0.2.2", NOW).unwrap();
    assert_eq!(again.record.id, filed.record.id, "the same key for the same identity is the same request");
    let issued = folder.registration().approve(&filed.record.id, "boss", None, NOW).unwrap();
    assert_eq!(issued.status, RequestStatus::Issued);
    let path = issued.path.unwrap();
    // `verify` refuses CA rights, other usages and host names of a client; the identity is the requested one.
    assert_eq!(holder(&folder, &path, NOW), uri);
    let collected = folder.registration().file_request(&hostile, None, "192.0.2.1", NOW).unwrap();
    assert_eq!(collected.path, Some(path), "asking again collects the certificate");
    assert_eq!(folder.records().unwrap().certificates().len(), 1);
    let decided = folder.registration().reject(&filed.record.id, "boss", "late", NOW);
    assert!(matches!(decided, Err(RegistrationError::Decided(RequestStatus::Issued))));
}

#[test]
fn two_approvers_are_two_persons_who_mean_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    folder.registration().set_policy(EnrolmentPolicy { approvals: 2 }, NOW).unwrap();
    assert!(matches!(
        folder.registration().set_policy(EnrolmentPolicy { approvals: 0 }, NOW),
        Err(RegistrationError::Policy)
    ));
    let id = folder.registration().file_request(&request(&key(), ALICE), None, "x", NOW).unwrap().record.id;
    let short = Terms { lifetime_ms: DAY_MS, ..Terms::default() };
    let approve = |by: &str, terms: Option<&Terms>| folder.registration().approve(&id, by, terms, NOW);
    assert!(matches!(approve(&identity(ALICE).to_string(), None), Err(RegistrationError::OwnRequest)));
    assert_eq!(approve("ann", Some(&short)).unwrap().status, RequestStatus::Requested);
    assert!(matches!(approve("ann", None), Err(RegistrationError::ApprovedAlready(_))));
    assert!(matches!(approve("bob", Some(&Terms::default())), Err(RegistrationError::OtherTerms)));
    assert_eq!(folder.records().unwrap().certificates().len(), 0, "nothing is intended before the second yes");
    assert_eq!(approve("bob", None).unwrap().status, RequestStatus::Issued);
    let record = folder.records().unwrap().certificates()[0].clone();
    assert_eq!((record.request, record.not_after), (Some(id), later(DAY_MS)));
}

#[test]
fn a_rejection_is_for_good_and_silence_lapses() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let (rejected, silent) = (key(), key());
    let id = folder.registration().file_request(&request(&rejected, ALICE), None, "x", NOW).unwrap().record.id;
    folder.registration().reject(&id, "boss", "unknown to us", NOW).unwrap();
    assert!(matches!(folder.registration().approve(&id, "boss", None, NOW), Err(RegistrationError::Decided(_))));
    let again: Made = folder.registration().file_request(&request(&rejected, ALICE), None, "x", NOW);
    assert!(matches!(again, Err(RegistrationError::Rejected(reason)) if reason == "unknown to us"));
    let id = folder.registration().file_request(&request(&silent, ALICE), None, "x", NOW).unwrap().record.id;
    let late = later(REQUEST_LIFETIME_MS + 1);
    let decided = folder.registration().approve(&id, "boss", None, late);
    assert!(matches!(decided, Err(RegistrationError::Decided(RequestStatus::Lapsed))));
    assert_ne!(folder.registration().file_request(&request(&silent, ALICE), None, "x", late).unwrap().record.id, id);
}

#[test]
fn the_queue_is_bounded_and_takes_only_what_can_be_issued() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let file =
        |key: &KeyPair, name: &str, by: &str| folder.registration().file_request(&request(key, name), None, by, NOW);
    for _ in 0..REQUESTS_OPEN_PER_REQUESTER_MAX {
        file(&key(), ALICE, "192.0.2.1").unwrap();
    }
    let full = file(&key(), ALICE, "192.0.2.1").unwrap_err();
    assert!(matches!(full, RegistrationError::TooManyRequests { .. }), "{full}");
    // Who is refused is told how to get out.
    let told = full.to_string();
    assert!(
        ["192.0.2.1 has 8", "chancery ca requests", "30 days", "chancery ca token"]
            .iter()
            .all(|way| told.contains(way)),
        "{told}"
    );
    file(&key(), ALICE, "192.0.2.2").unwrap();
    assert!(matches!(file(&key(), "south/client/bob", "x"), Err(RegistrationError::NoAuthority(_))));
    let key = key();
    let nameless = CertificateParams::default().serialize_request(&key).unwrap();
    let nameless = CertificateRequest::parse(nameless.der()).unwrap();
    assert!(matches!(
        folder.registration().file_request(&nameless, None, "x", NOW),
        Err(RegistrationError::NoIdentity)
    ));
    folder.registration().file_request(&nameless, Some(&identity(ALICE)), "x", NOW).unwrap();
    let (asked, bound) = (request(&key, "north/admin/boss"), identity(ALICE));
    let mismatch = folder.registration().file_request(&asked, Some(&bound), "x", NOW);
    assert!(matches!(mismatch, Err(RegistrationError::OtherIdentity { .. })));
}

/// 256 requests of strangers in 0.7 s closed the queue to members for 30 days.
#[test]
fn strangers_do_not_close_the_queue_to_members_nor_members_to_administrators() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let file = |by: &str, now| folder.registration().file_request(&request(&key(), ALICE), None, by, now);
    let fill = |by: &dyn Fn(usize) -> String, now| {
        let filed = (0..REQUESTS_OPEN_MAX).map(|number| file(&by(number / REQUESTS_OPEN_PER_REQUESTER_MAX), now));
        let mut filed = filed.skip_while(Result::is_ok);
        filed.next().unwrap().unwrap_err().to_string()
    };
    let waiting = |now| {
        let requests = folder.records().unwrap().filed_requests(now);
        requests.iter().filter(|request| request.status == RequestStatus::Requested).count()
    };
    let told = fill(&|number| format!("192.0.2.{number}"), NOW);
    assert!(told.contains("callers without a certificate") && told.contains("3 days"), "{told}");
    assert_eq!(waiting(NOW), REQUESTS_OPEN_OF_STRANGERS_MAX);
    // An organization gives as many certificates as it likes, and so do administrators of another one.
    let told = fill(&|number| identity(&format!("east/client/c{number}")).to_string(), NOW);
    assert!(told.contains("64 requests of members of one organization wait"), "{told}");
    assert_eq!(waiting(NOW), REQUESTS_OPEN_OF_STRANGERS_MAX + REQUESTS_OPEN_OF_ORGANIZATION_MAX);
    let refused = file(&identity("east/admin/eve").to_string(), NOW).unwrap_err().to_string();
    assert!(refused.contains("of one organization"), "{refused}");
    let told = fill(&|number| identity(&format!("o{}/client/c{number}", number / 8)).to_string(), NOW);
    assert!(told.contains("256 requests for the organization wait"), "{told}");
    assert_eq!(waiting(NOW), REQUESTS_OPEN_MAX - REQUESTS_KEPT_FOR_ADMINISTRATORS);
    file(&identity("north/admin/boss").to_string(), NOW).unwrap();
    file("folder", NOW).unwrap();
    // Over the weekend, what strangers filed has lapsed; what members filed waits.
    let monday = later(STRANGERS_REQUEST_LIFETIME_MS + 1);
    assert_eq!(
        waiting(monday),
        REQUESTS_OPEN_MAX - REQUESTS_KEPT_FOR_ADMINISTRATORS + 2 - REQUESTS_OPEN_OF_STRANGERS_MAX
    );
    file("192.0.2.1", monday).unwrap();
}

#[test]
fn a_strangers_request_that_an_administrator_has_approved_waits_as_long_as_others() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    folder.registration().set_policy(EnrolmentPolicy { approvals: 2 }, NOW).unwrap();
    let id = folder.registration().file_request(&request(&key(), ALICE), None, "192.0.2.1", NOW).unwrap().record.id;
    folder.registration().approve(&id, "ann", None, NOW).unwrap();
    let issued = folder.registration().approve(&id, "bob", None, later(REQUEST_LIFETIME_MS)).unwrap();
    assert_eq!(issued.status, RequestStatus::Issued);
}

#[test]
fn a_token_enrols_one_key_for_one_identity_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    // A token stands for its approvals, whatever the policy.
    folder.registration().set_policy(EnrolmentPolicy { approvals: 2 }, NOW).unwrap();
    let (token, expires) =
        folder.registration().add_token(&identity(ALICE), None, Terms::default(), DAY_MS, NOW).unwrap();
    assert_eq!(expires, later(DAY_MS));
    let key = key();
    let enrol =
        |request: &CertificateRequest, token: &_, at| folder.registration().enrol(request, None, token, "x", at);
    let wrong = format!("{}.{}", token.id(), "00".repeat(32)).parse().unwrap();
    assert!(matches!(enrol(&request(&key, ALICE), &wrong, NOW), Err(RegistrationError::UnknownToken)));
    let other = enrol(&request(&key, "north/admin/boss"), &token, NOW);
    assert!(matches!(other, Err(RegistrationError::OtherIdentity { .. })));
    let late = enrol(&request(&key, ALICE), &token, later(DAY_MS + 1));
    assert!(matches!(late, Err(RegistrationError::ExpiredToken)));
    let issued = enrol(&request(&key, ALICE), &token, NOW).unwrap();
    assert_eq!(holder(&folder, &issued.path.unwrap(), NOW), identity(ALICE).to_string());
    for request in [request(&key, ALICE), request(&self::key(), ALICE)] {
        assert!(matches!(enrol(&request, &token, NOW), Err(RegistrationError::SpentToken)), "a replay");
    }
    assert_eq!(folder.records().unwrap().certificates().len(), 1);
    let index = std::fs::read_to_string(dir.path().join("ca/index.jsonl")).unwrap();
    assert!(!index.contains(token.reveal().split_once('.').unwrap().1), "the secret is not kept");
    let names = Terms { alternative_names: vec!["peer.example".parse().unwrap()], ..Terms::default() };
    let refused = folder.registration().add_token(&identity(ALICE), None, names, DAY_MS, NOW);
    assert!(matches!(refused, Err(RegistrationError::Terms)), "host names are for peers");
}

#[test]
fn renewal_keeps_the_identity_and_both_certificates_work() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let into = dir.path().join("peer");
    let peer = identity("north/peer/p");
    let alternative_names = vec!["127.0.0.1".parse().unwrap(), "peer.example".parse().unwrap()];
    let options = LeafOptions { alternative_names, lifetime_ms: 40 * DAY_MS, ..LeafOptions::default() };
    let old = folder.issuing().issue_profile(&peer, &options, &into, NOW).unwrap();
    let at = later(30 * DAY_MS);
    for (round, new_key) in [None, Some(KeyAlgorithm::P256)].into_iter().enumerate() {
        let path = folder.renewal().renew_credentials(&into, new_key, None, at).unwrap();
        let loaded = Credentials::load(&into).unwrap();
        assert_eq!(loaded.path, path);
        loaded.own_certificate().unwrap();
        assert_eq!(loaded.key.public() == old.key.public(), new_key.is_none());
        folder.publication().reissue_crl("north", at).unwrap();
        for path in [&old.path, &path] {
            assert_eq!(holder(&folder, path, at), peer.to_string());
        }
        let record = folder.records().unwrap().certificates()[round + 1].clone();
        assert_eq!(record.not_after, at.plus_millis(40 * DAY_MS));
        assert!(record.renews.is_some());
        let text = String::from_utf8_lossy(&path[0]).into_owned();
        assert!(text.contains("peer.example"), "host names are kept");
    }
    assert!(!into.join("cert.pem.next").exists());
}

#[test]
fn an_expired_certificate_is_renewed_by_its_key_within_the_grace_and_never_when_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let (old_key, new_key) = (key(), key());
    let options = LeafOptions { lifetime_ms: DAY_MS, ..LeafOptions::default() };
    let leaf = folder.issuing().issue(&identity(ALICE), old_key.public(), &options, NOW).unwrap().remove(0);
    let renew = |request: &CertificateRequest, signer: &KeyPair, signed: Time, now: Time| {
        let signature = signer.sign(&renewal_message(signed, request.der())).unwrap();
        folder.renewal().renew(&leaf, request, Possession::Signature { at: signed, signature: &signature }, now)
    };
    let wanted = request(&new_key, ALICE);
    let at = later(2 * DAY_MS);
    let stale = Time::from_millis(at.millis() - RENEWAL_SKEW_MS - 1);
    for (request, signer, signed, now, works) in [
        (&wanted, &old_key, at, at, true),
        (&wanted, &new_key, at, at, false),
        (&wanted, &old_key, stale, at, false),
        (&request(&new_key, "north/admin/boss"), &old_key, at, at, false),
    ] {
        let renewed = renew(request, signer, signed, now);
        assert_eq!(renewed.is_ok(), works, "{renewed:?}");
        if let Ok(path) = renewed {
            assert_eq!(holder(&folder, &path, now), identity(ALICE).to_string());
        }
    }
    let end = later(DAY_MS + RENEWAL_GRACE_MS);
    assert!(renew(&wanted, &old_key, end, end).is_ok());
    let late = end.plus_millis(1_000);
    assert!(matches!(renew(&wanted, &old_key, late, late), Err(RenewalError::Expired(_))));

    let selection = Selection::Serial(folder.records().unwrap().certificates()[0].serial.clone());
    folder.revocation().revoke(&selection, RevocationReason::KeyCompromise, at).unwrap();
    assert!(matches!(renew(&wanted, &old_key, at, at), Err(RenewalError::Revoked)));
    // The key is known to others: no new certificate for it either.
    let reused = folder.registration().file_request(&request(&old_key, ALICE), None, "x", at);
    assert!(matches!(reused, Err(RegistrationError::Folder(FolderError::CompromisedKey))));
    let elsewhere = tempfile::tempdir().unwrap();
    let foreign = self::folder(elsewhere.path()).renewal().renew(&leaf, &wanted, Possession::Connection, at);
    assert!(matches!(foreign, Err(RenewalError::Foreign)));
}

#[test]
fn renewals_do_not_pile_up() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let into = dir.path().join("alice");
    folder.issuing().issue_profile(&identity(ALICE), &LeafOptions::default(), &into, NOW).unwrap();
    for _ in 1..CERTIFICATES_PER_IDENTITY_MAX {
        folder.renewal().renew_credentials(&into, None, None, NOW).unwrap();
    }
    let refused = folder.renewal().renew_credentials(&into, None, None, NOW);
    let too_many = RegistrationError::TooManyCertificates(Box::new(identity(ALICE)));
    assert_eq!(refused.unwrap_err().to_string(), too_many.to_string());
}

#[test]
fn an_interrupted_change_of_key_is_completed_or_undone() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let into = dir.path().join("alice");
    folder.issuing().issue_profile(&identity(ALICE), &LeafOptions::default(), &into, NOW).unwrap();
    let new = key();
    let path = folder.issuing().issue(&identity(ALICE), new.public(), &LeafOptions::default(), NOW).unwrap();
    let next = into.join("cert.pem.next");
    let lay = || std::fs::write(&next, pki::trust::files::certificates_pem(&path)).unwrap();
    lay();
    Credentials::complete_replacement(&into).unwrap();
    assert!(!next.exists(), "the key is still the old one: the old path stays");
    Credentials::load(&into).unwrap().own_certificate().unwrap();
    lay();
    new.save(&into.join("key.pem")).unwrap();
    Credentials::complete_replacement(&into).unwrap();
    assert_eq!(Credentials::load(&into).unwrap().path, path);
}

#[test]
fn a_request_that_a_crash_left_approved_is_issued_by_the_next_try() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    folder.registration().set_policy(EnrolmentPolicy { approvals: 2 }, NOW).unwrap();
    let wanted = request(&key(), ALICE);
    let id = folder.registration().file_request(&wanted, None, "x", NOW).unwrap().record.id;
    folder.registration().approve(&id, "ann", None, NOW).unwrap();
    // As if the process had died between the last approval and the signature.
    folder.registration().set_policy(EnrolmentPolicy { approvals: 1 }, NOW).unwrap();
    assert_eq!(folder.records().unwrap().filed_request(&id, NOW).unwrap().status, RequestStatus::Approved);
    assert_eq!(folder.registration().file_request(&wanted, None, "x", NOW).unwrap().status, RequestStatus::Issued);
}

#[test]
fn the_corpus_of_requests_is_judged_by_its_names() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/certificate_request");
    let mut files = 0;
    for file in std::fs::read_dir(corpus).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        let parsed = CertificateRequest::parse(&std::fs::read(file.path()).unwrap());
        assert_eq!(parsed.is_ok(), name.starts_with("good-"), "{name}: {parsed:?}");
        files += 1;
    }
    assert!(files >= 11, "{files} files");
}
