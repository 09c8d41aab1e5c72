//! Which CRLs are accepted, what they revoke, and who is told.
#![allow(clippy::unwrap_used)]

use crate::consortium::{CONSORTIUM, Issuing, NOW, date, identity, leaf_params, root};
use ca::{KeyPair, RevokedSerial, limits::DAY_MS};
use ledger_classes::primitives::time::Time;
use pki::{
    CertificateId, KeyAlgorithm, PathError, RevocationPolicy, RevocationReason, Serial, TrustStore, Usage,
    trust::{
        revocation::{RevocationError, RevocationList, RevocationStatusError},
        store::TrustError,
    },
    verify_path,
};
use rcgen::{
    BasicConstraints, CertificateRevocationListParams, CrlDistributionPoint, CrlIssuingDistributionPoint, IsCa,
    KeyIdMethod, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use std::cell::Cell;
use std::sync::mpsc::{Receiver, Sender, channel};

fn serial(text: &str) -> Serial {
    text.parse().unwrap()
}

fn entry(serial: &Serial) -> RevokedSerial {
    RevokedSerial { serial: serial.clone(), at: NOW, reason: RevocationReason::KeyCompromise }
}

/// A consortium with its root, one organization, one leaf and a trust store that has the CRL of the root.
struct Scene {
    root: ca::Authority,
    north: Issuing,
    path: [Vec<u8>; 2],
    id: CertificateId,
    trust: TrustStore,
}

impl Scene {
    fn new(policy: RevocationPolicy) -> Self {
        let root = root(KeyAlgorithm::P256);
        let north = Issuing::under(&root, "north", KeyAlgorithm::Ed25519);
        let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
        let path = [north.leaf(&identity("north/client/alice"), &key), north.authority.certificate().to_vec()];
        let anchors = vec![root.certificate().to_vec()];
        let id = verify_path(&path, &anchors, None, NOW, Usage::ClientAuth).unwrap().id().clone();
        let trust = TrustStore::new(CONSORTIUM, anchors, vec![path[1].clone()], policy).unwrap();
        let scene = Self { root, north, path, id, trust };
        scene.trust.install_crl(&scene.root.issue_crl(&[], 1, NOW, NOW.plus_millis(99 * DAY_MS)).unwrap()).unwrap();
        scene
    }

    fn crl(&self, number: u64, revoked: &[&Serial]) -> Vec<u8> {
        let revoked: Vec<RevokedSerial> = revoked.iter().map(|serial| entry(serial)).collect();
        self.north.authority.issue_crl(&revoked, number, NOW, NOW.plus_millis(DAY_MS)).unwrap()
    }

    fn verdict(&self, at: Time) -> Option<PathError> {
        self.trust.verify(&self.path, at, Usage::ClientAuth).err()
    }
}

fn refusal(position: usize, source: RevocationStatusError) -> Option<PathError> {
    Some(PathError::Revocation { position, source })
}

#[test]
fn a_revoked_certificate_is_out_at_once() {
    let scene = Scene::new(RevocationPolicy::default());
    assert_eq!(scene.verdict(NOW), refusal(0, RevocationStatusError::Missing));

    let generation = scene.trust.revocation().generation();
    scene.trust.install_crl(&scene.crl(1, &[&serial("05")])).unwrap();
    assert_eq!(scene.verdict(NOW), None);
    assert_eq!(scene.trust.revocation().generation(), generation + 1);

    let crl = scene.crl(2, &[&serial("05"), &scene.id.serial]);
    let change = scene.trust.install_crl(&crl).unwrap().expect("a new list");
    assert_eq!(change.revoked, std::slice::from_ref(&scene.id), "what was revoked before is not told again");
    assert!(scene.trust.revocation().is_revoked(&scene.id));
    assert_eq!(scene.verdict(NOW), refusal(0, RevocationStatusError::Revoked));
    assert_eq!(scene.trust.install_crl(&crl).unwrap(), None, "the same list again changes nothing");
}

/// A list of 16 MB took seconds, and every other CA's list waited behind it.
#[test]
fn lists_of_different_cas_do_not_wait_for_each_other() {
    thread_local! {
        /// Set on the thread that takes long: where it says that it has begun, and hears that it may end.
        static SLOW: Cell<Option<(Sender<()>, Receiver<()>)>> = const { Cell::new(None) };
    }
    // A list is compared with the clock while it is installed.
    fn clock() -> Time {
        if let Some((begun, ended)) = SLOW.take() {
            begun.send(()).unwrap();
            // Until the other CA's list is in force; nobody waits for ever.
            ended.recv_timeout(std::time::Duration::from_secs(20)).expect("the other list waited for this one");
        }
        NOW
    }
    let scene = Scene::new(RevocationPolicy::default());
    let scene = Scene { trust: scene.trust.with_clock(clock), ..scene };
    let (begun, begins) = channel();
    let (ends, ended) = channel();
    let crl = scene.crl(1, &[&scene.id.serial]);
    let of_root = [entry(&serial("05"))];
    let of_root = scene.root.issue_crl(&of_root, 2, NOW, NOW.plus_millis(99 * DAY_MS)).unwrap();
    std::thread::scope(|scope| {
        let (trust, crl) = (&scene.trust, &crl);
        let slow = scope.spawn(move || {
            SLOW.set(Some((begun, ended)));
            trust.install_crl(crl).unwrap()
        });
        begins.recv().unwrap();
        assert!(scene.trust.install_crl(&of_root).unwrap().is_some());
        ends.send(()).unwrap();
        assert!(slow.join().unwrap().is_some());
    });
    let current = scene.trust.revocation().current();
    assert_eq!(current.lists().map(|list| list.len()).collect::<Vec<_>>(), [1, 1], "neither lost the other's");
}

#[test]
fn revoked_is_for_ever() {
    let scene = Scene::new(RevocationPolicy::default());
    scene.trust.install_crl(&scene.crl(1, &[&scene.id.serial])).unwrap();
    scene.trust.install_crl(&scene.crl(2, &[])).unwrap();
    assert_eq!(scene.verdict(NOW), refusal(0, RevocationStatusError::Revoked));
}

#[test]
fn a_list_number_never_goes_back() {
    let scene = Scene::new(RevocationPolicy::default());
    scene.trust.install_crl(&scene.crl(7, &[])).unwrap();
    assert_eq!(scene.trust.install_crl(&scene.crl(6, &[])), Err(RevocationError::Older { offered: 6, installed: 7 }));
    let later = scene.root.issue_crl(&[], 1, NOW, NOW.plus_millis(2 * DAY_MS)).unwrap();
    assert_eq!(scene.trust.install_crl(&later), Err(RevocationError::Conflict(1)));
    assert_eq!(scene.verdict(NOW), None);
    // What an older one revokes is revoked all the same.
    let change = scene.trust.install_crl(&scene.crl(6, &[&scene.id.serial])).unwrap().expect("news");
    assert_eq!(change.revoked, std::slice::from_ref(&scene.id));
    assert_eq!(scene.verdict(NOW), refusal(0, RevocationStatusError::Revoked));
    let number = scene.trust.revocation().current().list(&scene.id.issuer).map(|list| list.number());
    assert_eq!(number, Some(7));
}

#[test]
fn missing_and_expired_lists_refuse_unless_the_policy_says_otherwise() {
    let after = NOW.plus_millis(DAY_MS + 1);
    for (accept_missing, accept_expired, missing, expired) in [
        (false, false, Some(RevocationStatusError::Missing), Some(RevocationStatusError::Expired)),
        (true, false, None, Some(RevocationStatusError::Expired)),
        (false, true, Some(RevocationStatusError::Missing), None),
        (true, true, None, None),
    ] {
        let scene = Scene::new(RevocationPolicy { accept_missing, accept_expired });
        assert_eq!(scene.verdict(NOW), missing.and_then(|source| refusal(0, source)));
        scene.trust.install_crl(&scene.crl(1, &[])).unwrap();
        assert_eq!(scene.verdict(NOW.plus_millis(DAY_MS)), None, "good through its last instant");
        assert_eq!(scene.verdict(after), expired.and_then(|source| refusal(0, source)));
        scene.trust.install_crl(&scene.crl(2, &[&scene.id.serial])).unwrap();
        assert_eq!(scene.verdict(after), refusal(0, RevocationStatusError::Revoked), "revoked, however old the list");
    }
}

#[test]
fn a_revoked_issuing_ca_takes_its_leaves_with_it() {
    let scene = Scene::new(RevocationPolicy::default());
    scene.trust.install_crl(&scene.crl(1, &[])).unwrap();
    let revoked = [entry(scene.north.authority.serial())];
    scene.trust.install_crl(&scene.root.issue_crl(&revoked, 2, NOW, NOW.plus_millis(DAY_MS)).unwrap()).unwrap();
    assert_eq!(scene.verdict(NOW), refusal(1, RevocationStatusError::Revoked));
}

#[test]
fn lists_that_the_issuer_did_not_sign_as_it_should_are_refused() {
    let scene = Scene::new(RevocationPolicy::default());
    let south = Issuing::under(&scene.root, "south", KeyAlgorithm::Ed25519);
    let south_crl = south.authority.issue_crl(&[], 1, NOW, NOW.plus_millis(DAY_MS)).unwrap();
    assert_eq!(scene.trust.install_crl(&south_crl), Err(RevocationError::UnknownIssuer));
    // South under north's name.
    let params = |number: u64| CertificateRevocationListParams {
        this_update: date(NOW),
        next_update: date(NOW.plus_millis(DAY_MS)),
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let north = scene.north.authority.certificate();
    let forger = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let forger = rcgen::Issuer::from_ca_cert_der(&north.into(), forger).unwrap();
    let forged = params(1).signed_by(&forger).unwrap();
    assert_eq!(scene.trust.install_crl(forged.der()), Err(RevocationError::Signature));

    let mut changed = scene.crl(1, &[]);
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(scene.trust.install_crl(&changed), Err(RevocationError::Signature));
    changed.push(0);
    assert_eq!(scene.trust.install_crl(&changed), Err(RevocationError::Malformed));
    assert_eq!(scene.trust.install_crl(&[]), Err(RevocationError::Malformed));

    let issuer = &scene.north.issuer;
    let other_key =
        CertificateRevocationListParams { key_identifier_method: KeyIdMethod::PreSpecified(vec![7; 20]), ..params(1) };
    let verify = |params: CertificateRevocationListParams| {
        RevocationList::verify(params.signed_by(issuer).unwrap().der(), north).err()
    };
    assert_eq!(verify(params(1)), None);
    assert_eq!(verify(other_key), Some(RevocationError::KeyIdentifier));
    let distribution_point = CrlDistributionPoint { uris: vec!["http://a.example".into()] };
    let partial = Some(CrlIssuingDistributionPoint { distribution_point, scope: None });
    let partial = CertificateRevocationListParams { issuing_distribution_point: partial, ..params(1) };
    assert_eq!(verify(partial), Some(RevocationError::Unsupported));
    let removed = |reason_code| RevokedCertParams {
        serial_number: SerialNumber::from_slice(&[5]),
        revocation_time: date(NOW),
        reason_code: Some(reason_code),
        invalidity_date: None,
    };
    for (reason, expected) in [
        (rcgen::RevocationReason::CertificateHold, None),
        (rcgen::RevocationReason::RemoveFromCrl, Some(RevocationError::Unsupported)),
    ] {
        let list = CertificateRevocationListParams { revoked_certs: vec![removed(reason)], ..params(1) };
        assert_eq!(verify(list), expected);
    }
    let long = CertificateRevocationListParams { crl_number: SerialNumber::from_slice(&[1; 17]), ..params(1) };
    assert_eq!(verify(long), Some(RevocationError::Number));
}

#[test]
fn a_ca_without_crl_sign_signs_no_list() {
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let mut params = leaf_params("spiffe://harbour.example");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = Vec::new();
    let good = params.self_signed(&key).unwrap();
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let bad = params.self_signed(&key).unwrap();
    let ca = Issuing::of(good.der(), key);
    let crl = ca.authority.issue_crl(&[], 1, NOW, NOW.plus_millis(DAY_MS)).unwrap();
    assert!(RevocationList::verify(&crl, good.der()).is_ok());
    assert_eq!(RevocationList::verify(&crl, bad.der()).err(), Some(RevocationError::IssuerNotCrlSigner));
}

#[test]
fn a_trust_store_takes_only_cas_of_its_consortium() {
    let ours = root(KeyAlgorithm::Ed25519);
    let theirs =
        ca::Authority::new_root("evil.example", KeyPair::generate(KeyAlgorithm::Ed25519).unwrap(), ours.validity())
            .unwrap();
    let other = root(KeyAlgorithm::Ed25519);
    let stranger = Issuing::under(&other, "north", KeyAlgorithm::Ed25519);
    let der = |authority: &ca::Authority| authority.certificate().to_vec();
    let open = |anchors, issuing| TrustStore::new(CONSORTIUM, anchors, issuing, RevocationPolicy::default()).err();
    assert_eq!(open(vec![der(&ours)], vec![]), None);
    let consortium = "evil.example".to_owned();
    assert_eq!(open(vec![der(&ours), der(&theirs)], vec![]), Some(TrustError::Consortium { position: 1, consortium }));
    assert_eq!(open(vec![der(&ours)], vec![der(&stranger.authority)]), Some(TrustError::UnknownIssuer { position: 1 }));
    let leaf = stranger.leaf(&identity("north/client/a"), &KeyPair::generate(KeyAlgorithm::Ed25519).unwrap());
    assert!(matches!(open(vec![leaf], vec![]), Some(TrustError::Profile { position: 0, .. })));
}

/// A list that was signed 26 hours ahead was in force at once, and said nothing about the present: its organization was
/// locked out, and whoever would have brought the next list, too.
#[test]
fn a_list_of_the_future_revokes_and_locks_nobody_out() {
    let hours = |hours: u64| NOW.plus_millis(hours * 3_600_000);
    for clocked in [true, false] {
        let scene = Scene::new(RevocationPolicy::default());
        let anchors = vec![scene.root.certificate().to_vec()];
        let trust =
            TrustStore::new(CONSORTIUM, anchors, vec![scene.path[1].clone()], RevocationPolicy::default()).unwrap();
        let trust = if clocked { trust.with_clock(|| NOW) } else { trust };
        let of = |number, from: Time, revoked: &[&Serial]| {
            let revoked: Vec<RevokedSerial> = revoked.iter().map(|serial| entry(serial)).collect();
            scene.north.authority.issue_crl(&revoked, number, from, from.plus_millis(30 * DAY_MS)).unwrap()
        };
        let other = serial("0102030405060708");
        let (present, future) = (of(1, NOW, &[]), of(2, hours(26), &[&other]));
        trust.install_crl(&scene.root.issue_crl(&[], 1, NOW, NOW.plus_millis(99 * DAY_MS)).unwrap()).unwrap();
        assert_eq!(trust.install_crl(&present).unwrap().unwrap().early, None);
        let change = trust.install_crl(&future).unwrap().unwrap();
        assert_eq!((change.early.is_some(), change.revoked.len()), (clocked, 1));
        let verdict = |at| trust.verify(&scene.path, at, Usage::ClientAuth).err();
        let lockout = if clocked { None } else { refusal(0, RevocationStatusError::NotYetValid) };
        assert_eq!(verdict(NOW), lockout);
        assert_eq!(verdict(hours(27)), None);
        let id = CertificateId { serial: other.clone(), ..scene.id.clone() };
        assert!(trust.revocation().is_revoked(&id), "what it names is revoked at once");
        if clocked {
            // Both are kept, and handed on.
            assert_eq!(trust.revocation().current().ders().filter(|der| *der == present || *der == future).count(), 2);
        }
        // The next one of the present, with a higher number, ends it.
        trust.install_crl(&of(3, NOW, &[&other])).unwrap().unwrap();
        assert_eq!(verdict(NOW), None);
        assert_eq!(trust.revocation().current().ders().count(), 2, "the root's and the newest");
    }
}
