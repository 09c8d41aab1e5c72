//! What somebody decided who was revoked since counts no more: tokens, approvals, requests.
#![allow(clippy::unwrap_used)]

use crate::consortium::{CONSORTIUM, NOW, identity};
use ca::{
    CertificateFolder, EnrolmentToken, KeyPair, RegistrationError, RequestStatus, Terms,
    holder::request::make_request,
    limits::{DAY_MS, REQUESTS_OPEN_MAX, TOKENS_OPEN_MAX},
    office::{
        audit_trail::read_index,
        enrolment::{EnrolmentPolicy, TokenStanding},
        issuing::LeafOptions,
        revocation::Selection,
    },
};
use pki::{CertificateRequest, KeyAlgorithm, RevocationReason};
use std::path::Path;

const ALICE: &str = "north/client/alice";
const BOSS: &str = "north/admin/boss";

fn folder(dir: &Path) -> CertificateFolder {
    let folder = CertificateFolder::create(dir, CONSORTIUM, KeyAlgorithm::Ed25519, NOW).unwrap();
    for organization in ["north", "south"] {
        folder.authorities().add_organization(organization, KeyAlgorithm::Ed25519, NOW).unwrap();
    }
    issue(&folder, BOSS);
    folder
}

fn issue(folder: &CertificateFolder, name: &str) {
    folder.issuing().issue(&identity(name), key().public(), &LeafOptions::default(), NOW).unwrap();
}

fn revoke(folder: &CertificateFolder, name: &str, reason: RevocationReason) {
    folder.revocation().revoke(&Selection::Identity(identity(name)), reason, NOW).unwrap();
}

fn key() -> KeyPair {
    KeyPair::generate(KeyAlgorithm::Ed25519).unwrap()
}

fn request(name: &str) -> CertificateRequest {
    CertificateRequest::parse(make_request(&key(), &identity(name)).unwrap().as_bytes()).unwrap()
}

fn token(folder: &CertificateFolder, by: Option<&str>) -> EnrolmentToken {
    let by = by.map(identity);
    folder.registration().add_token(&identity(ALICE), by.as_ref(), Terms::default(), DAY_MS, NOW).unwrap().0
}

fn enrol(folder: &CertificateFolder, token: &EnrolmentToken) -> Result<RequestStatus, RegistrationError> {
    folder.registration().enrol(&request(ALICE), None, token, "192.0.2.1", NOW).map(|done| done.status)
}

fn is_void(enrolled: Result<RequestStatus, RegistrationError>) -> bool {
    matches!(enrolled, Err(RegistrationError::VoidToken(_)))
}

/// A revoked administrator's token enrolled an administrator, from an anonymous connection.
#[test]
fn a_token_ends_with_who_made_it_with_whom_it_is_for_and_with_the_policy() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let (by_boss, by_folder) = (token(&folder, Some(BOSS)), token(&folder, None));
    revoke(&folder, BOSS, RevocationReason::Superseded);
    assert_eq!(enrol(&folder, &token(&folder, Some(BOSS))).unwrap(), RequestStatus::Issued, "another one has come");
    revoke(&folder, BOSS, RevocationReason::CessationOfOperation);
    assert_eq!(
        folder.records().unwrap().show(&folder.records().unwrap().certificates()[0].serial).unwrap().0.identity,
        identity(BOSS)
    );
    // For another reason it is revoked already; somebody who is revoked is, for whatever reason the index says first.
    issue(&folder, BOSS);
    revoke(&folder, BOSS, RevocationReason::CessationOfOperation);
    assert!(is_void(enrol(&folder, &by_boss)));
    assert_eq!(enrol(&folder, &by_folder).unwrap(), RequestStatus::Issued);

    // Whom it was for was revoked; one that is made afterwards is a decision.
    let before = token(&folder, None);
    revoke(&folder, ALICE, RevocationReason::KeyCompromise);
    assert!(is_void(enrol(&folder, &before)));
    assert_eq!(enrol(&folder, &token(&folder, None)).unwrap(), RequestStatus::Issued);

    // One administrator decides where two are asked for.
    issue(&folder, BOSS);
    let (alone, by_folder) = (token(&folder, Some(BOSS)), token(&folder, None));
    folder.registration().set_policy(EnrolmentPolicy { approvals: 2 }, NOW).unwrap();
    assert!(is_void(enrol(&folder, &alone)));
    assert_eq!(enrol(&folder, &by_folder).unwrap(), RequestStatus::Issued);
    // What a folder that is opened anew reads is the same.
    let again = CertificateFolder::open(dir.path()).unwrap();
    assert_eq!(again.records().unwrap().token_standings(NOW), folder.records().unwrap().token_standings(NOW));
    let standings: Vec<TokenStanding> =
        again.records().unwrap().token_standings(NOW).iter().map(|(_, standing)| *standing).collect();
    use TokenStanding::{Spent, Void};
    assert_eq!(standings, [Void, Spent, Spent, Void, Spent, Void, Spent]);
}

#[test]
fn a_cancelled_token_enrols_nobody_and_there_is_an_end_to_open_ones() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let first = token(&folder, None);
    for _ in 1..TOKENS_OPEN_MAX {
        token(&folder, None);
    }
    let one_more = || folder.registration().add_token(&identity(ALICE), None, Terms::default(), DAY_MS, NOW);
    assert!(matches!(one_more(), Err(RegistrationError::TooManyTokens)));
    let south = folder.registration().add_token(&identity("south/client/x"), None, Terms::default(), DAY_MS, NOW);
    assert!(south.is_ok(), "another organization has its own");
    for _ in 0..2 {
        assert_eq!(folder.registration().cancel_token(&first.id(), NOW).unwrap().1, TokenStanding::Cancelled);
    }
    assert!(is_void(enrol(&folder, &first)));
    let spent = one_more().unwrap().0;
    assert_eq!(enrol(&folder, &spent).unwrap(), RequestStatus::Issued);
    assert!(matches!(folder.registration().cancel_token(&spent.id(), NOW), Err(RegistrationError::SpentToken)));
    let unknown = "0123456789abcdef".parse().unwrap();
    assert!(matches!(folder.registration().cancel_token(&unknown, NOW), Err(RegistrationError::NoToken(_))));
}

#[test]
fn a_revoked_approvers_yes_and_a_revoked_holders_request_count_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    folder.registration().set_policy(EnrolmentPolicy { approvals: 2 }, NOW).unwrap();
    let (boss, chief, third) = (identity(BOSS).to_string(), "north/admin/chief", "north/admin/third");
    let filed = folder.registration().file_request(&request(ALICE), None, "192.0.2.1", NOW).unwrap().record.id;
    let long = Terms { lifetime_ms: 3_000 * DAY_MS, ..Terms::default() };
    let once = folder.registration().approve(&filed, &boss, Some(&long), NOW).unwrap();
    assert_eq!((once.record.approvals.len(), once.record.terms.as_ref()), (1, Some(&long)));
    revoke(&folder, BOSS, RevocationReason::PrivilegeWithdrawn);
    let none = folder.records().unwrap().filed_request(&filed, NOW).unwrap();
    assert_eq!((none.record.approvals.len(), none.record.terms), (0, None), "nor do the terms that it fixed");
    let second = folder.registration().approve(&filed, &identity(chief).to_string(), None, NOW).unwrap();
    assert_eq!(second.status, RequestStatus::Requested);
    let done = folder.registration().approve(&filed, &identity(third).to_string(), None, NOW).unwrap();
    assert_eq!((done.status, done.record.terms), (RequestStatus::Issued, Some(Terms::default())));

    // Another of hers waits when she is revoked: it is not what brings her back.
    let waiting = folder.registration().file_request(&request(ALICE), None, "192.0.2.1", NOW).unwrap().record.id;
    folder.registration().approve(&waiting, &identity(chief).to_string(), None, NOW).unwrap();
    revoke(&folder, ALICE, RevocationReason::KeyCompromise);
    assert_eq!(folder.records().unwrap().filed_request(&waiting, NOW).unwrap().status, RequestStatus::Lapsed);
    let late = folder.registration().approve(&waiting, &identity(third).to_string(), None, NOW);
    assert!(matches!(late, Err(RegistrationError::Decided(RequestStatus::Lapsed))), "{late:?}");
    assert_eq!(
        folder.registration().file_request(&request(ALICE), None, "x", NOW).unwrap().status,
        RequestStatus::Requested
    );
}

/// Requests for one organization closed the queue of another, whose administrators saw none of them.
#[test]
fn each_organization_has_its_own_queue() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let file = |number: usize, organization: &str| {
        let asked = request(&format!("{organization}/client/x-{number}"));
        let by = identity(&format!("south/admin/a-{}", number / 8)).to_string();
        folder.registration().file_request(&asked, None, &by, NOW).map(|_| ())
    };
    (0..REQUESTS_OPEN_MAX).for_each(|number| file(number, "south").unwrap());
    let full = file(REQUESTS_OPEN_MAX, "south").unwrap_err();
    assert!(matches!(full, RegistrationError::QueueFull | RegistrationError::StrangersFull), "{full}");
    assert!(file(REQUESTS_OPEN_MAX, "north").is_ok());
}

/// They passed, and each try with the token recorded an intention and failed.
#[test]
fn host_names_that_no_certificate_takes_are_refused_before_anything_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let label = "a".repeat(60);
    let host = |length: usize| [&label[..]; 4].join(".")[..length].parse().unwrap();
    let peer = identity("north/peer/p");
    let of = |length: usize| Terms { alternative_names: vec![host(length); 32], ..Terms::default() };
    let lines = read_index(&dir.path().join("ca")).unwrap();
    let refused = folder.registration().add_token(&peer, None, of(240), DAY_MS, NOW);
    assert!(matches!(refused, Err(RegistrationError::LongTerms)), "{refused:?}");
    assert_eq!(format!("{:?}", read_index(&dir.path().join("ca")).unwrap()), format!("{lines:?}"));
    let (token, _) = folder.registration().add_token(&peer, None, of(128), DAY_MS, NOW).unwrap();
    let enrolled = folder.registration().enrol(&request("north/peer/p"), None, &token, "x", NOW).unwrap();
    assert_eq!(enrolled.status, RequestStatus::Issued, "what is not refused is issued");
}
