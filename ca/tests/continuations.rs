//! A CA's next certificate on a channel that lists the one before: the key's consent, and nothing but other dates.
#![allow(clippy::unwrap_used)]

use crate::consortium::{CONSORTIUM, NOW, identity};
use ca::{Authority, CertificateFolder, KeyPair, Signer, Validity, limits::DAY_MS, office::issuing::LeafOptions};
use ledger_classes::primitives::hash::{Hash, HexBytes};
use ledger_classes::state::participant::authority_message;
use pki::{
    KeyAlgorithm,
    trust::continuation::{ContinuationError, verify_continuation},
    verify_participant,
};
use std::sync::Arc;

const CHANNEL: Hash = Hash([7; 32]);

#[test]
fn a_reissued_ca_goes_on_and_its_new_leaves_are_admitted() {
    for (own_root, algorithm) in [(false, KeyAlgorithm::P256), (true, KeyAlgorithm::Ed25519)] {
        let dir = tempfile::tempdir().unwrap();
        let folder = CertificateFolder::create(dir.path(), CONSORTIUM, KeyAlgorithm::P256, NOW).unwrap();
        let made = if own_root {
            folder.authorities().add_organization_root("north", algorithm, NOW).unwrap()
        } else {
            folder.authorities().add_organization("north", algorithm, NOW).unwrap()
        };
        let old = folder.records().unwrap().authority_certificate("north").unwrap();
        let late = made.not_after.plus_millis(DAY_MS);
        let renewed = folder.authorities().reissue("north", late).unwrap();
        let listed = [HexBytes(old.clone())];
        let (new, proof) = folder.authorities().consent("north", &CHANNEL, 7, &listed).unwrap();
        let message = authority_message(&CHANNEL, 7, &listed, &new);
        let next = verify_continuation(&new, &[b"damaged", &old], &message, &proof).unwrap();
        assert_eq!((next.replaces, next.listed_not_after), (1, made.not_after));
        assert_eq!((next.serial.as_slice(), next.not_after), (renewed.serial.as_bytes(), renewed.not_after));
        // Of two with the key the one that ends last.
        assert_eq!(verify_continuation(&new, &[&new, &old], &message, &proof).unwrap().replaces, 0);

        let who = identity("north/client/alice");
        let alice =
            folder.issuing().issue_profile(&who, &LeafOptions::default(), &dir.path().join("alice"), late).unwrap();
        assert!(verify_participant(&alice.path, &[old], late).is_err());
        assert_eq!(verify_participant(&alice.path, &[new], late).unwrap().identity(), &who);
    }
}

#[test]
fn another_key_another_name_or_another_channel_is_no_continuation() {
    let key: Arc<dyn Signer> = KeyPair::generate(KeyAlgorithm::P256).unwrap().into();
    let other: Arc<dyn Signer> = KeyPair::generate(KeyAlgorithm::P256).unwrap().into();
    let validity = Validity::starting(NOW, 1000 * DAY_MS);
    let make = |organization: &str, key: &Arc<dyn Signer>| {
        Authority::new_organization_root(CONSORTIUM, organization, Arc::clone(key), validity).unwrap()
    };
    let listed = make("north", &key);
    let verify = |next: &Authority, message: &[u8], proof: &[u8]| {
        verify_continuation(next.certificate(), &[listed.certificate()], message, proof).map(|next| next.replaces)
    };
    let judge = |next: &Authority| {
        verify(next, &authority_message(&CHANNEL, 7, &[], next.certificate()), &next.consent(&CHANNEL, 7, &[]).unwrap())
    };
    assert_eq!(judge(&make("north", &key)), Ok(0));
    assert_eq!(judge(&make("north", &other)), Err(ContinuationError::Unknown));
    assert_eq!(judge(&make("south", &key)), Err(ContinuationError::Different));
    let root = Authority::new_root(CONSORTIUM, Arc::clone(&key), validity).unwrap();
    assert_eq!(judge(&root), Err(ContinuationError::Different));

    let next = make("north", &key);
    let message = authority_message(&CHANNEL, 7, &[], next.certificate());
    // Given for another list: it may not be brought again once members have decided otherwise.
    let another_list = next.consent(&CHANNEL, 7, &[HexBytes(listed.certificate().to_vec())]).unwrap();
    for proof in [
        next.consent(&Hash([8; 32]), 7, &[]).unwrap(),
        another_list,
        next.consent(&CHANNEL, 8, &[]).unwrap(),
        listed.consent(&CHANNEL, 7, &[]).unwrap(),
        vec![0; 70],
        Vec::new(),
    ] {
        assert_eq!(verify(&next, &message, &proof), Err(ContinuationError::Proof));
    }
    // The key that signs is the CA's, and no other that it certifies or that resembles it.
    let forged = make("north", &other).consent(&CHANNEL, 7, &[]).unwrap();
    assert_eq!(verify(&next, &message, &forged), Err(ContinuationError::Proof));
    let leaf = verify_continuation(b"no certificate", &[listed.certificate()], &message, &forged);
    assert!(matches!(leaf, Err(ContinuationError::Profile(_))));
}
