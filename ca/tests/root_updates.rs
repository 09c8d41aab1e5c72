//! Which roots come to be trusted: those that a link of a trusted root certifies, and nothing else that somebody sends.
#![allow(clippy::unwrap_used)]

use crate::consortium::{CONSORTIUM, Issuing, NOW, days, identity, root};
use ca::{Authority, KeyPair, Validity, limits::DAY_MS};
use ledger_classes::primitives::time::Time;
use pki::{
    KeyAlgorithm, PathError, RevocationPolicy, TrustStore, Usage,
    limits::{ANCHORS_MAX, ISSUING_PER_ORGANIZATION_MAX, OFFERED_MAX},
    trust::root_update::{AnchorUpdate, Held, RootUpdateError, is_link, update_anchors, verify_root_update},
    verify_path,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyUsagePurpose, SanType};

fn link(by: &Authority, to: &Authority, validity: Validity) -> Vec<u8> {
    by.certify_root(to.certificate(), validity, &Authority::draw_serial().unwrap()).unwrap()
}

/// A root that began on a day, of the ten days before now.
fn begun(day: u64, algorithm: KeyAlgorithm) -> Authority {
    let validity = Validity { not_before: Time::from_millis(NOW.millis() - (10 - day) * DAY_MS), ..days(3650) };
    Authority::new_root(CONSORTIUM, KeyPair::generate(algorithm).unwrap(), validity).unwrap()
}

/// A root whose maker keeps to no rule: name, consortium and key are what he wants.
fn params(name: &str, consortium: &str, organization: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    let date = |time: Time| time::OffsetDateTime::from_unix_timestamp((time.millis() / 1000).cast_signed()).unwrap();
    let begin =
        if name.ends_with("00000000") { days(1).not_before.millis() - DAY_MS } else { days(1).not_before.millis() };
    (params.not_before, params.not_after) = (date(Time::from_millis(begin)), date(days(3650).not_after));
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(name) = organization {
        params.distinguished_name.push(DnType::OrganizationName, name);
    }
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.subject_alt_names = vec![SanType::URI(format!("spiffe://{consortium}").try_into().unwrap())];
    params.use_authority_key_identifier_extension = true;
    params
}

fn self_signed(params: &CertificateParams, key: &KeyPair) -> Vec<u8> {
    let mut params = params.clone();
    params.use_authority_key_identifier_extension = false;
    params.self_signed(key).unwrap().der().to_vec()
}

/// The last octet of a certificate is its signature's.
fn spoiled(der: &[u8]) -> Vec<u8> {
    let (last, rest) = der.split_last().unwrap();
    [rest, &[last ^ 1]].concat()
}

#[test]
fn a_root_is_trusted_on_the_word_of_a_trusted_root_only() {
    for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::P256] {
        let (old, new, stranger) = (begun(1, algorithm), begun(5, KeyAlgorithm::P256), root(algorithm));
        let back = link(&new, &old, days(500));
        let good = link(&old, &new, days(500));
        let north = Issuing::under(&old, "north", KeyAlgorithm::Ed25519);
        let key = || KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();

        // A root of the old one's name and another key, and what it certifies.
        let (false_key, other_key) = (key(), key());
        let ours = params("harbour.example root CA 00000000", CONSORTIUM, None);
        let (true_root, false_root) = (self_signed(&ours, &other_key), self_signed(&ours, &false_key));
        let forged = |subject: &CertificateParams, of: &KeyPair| {
            subject.signed_by(of, &Issuer::from_params(&ours, &false_key)).unwrap().der().to_vec()
        };
        let next_key = key();
        let next = params("harbour.example root CA 11111111", CONSORTIUM, None);
        let (next_root, by_false) = (self_signed(&next, &next_key), forged(&next, &next_key));

        // What the trusted key itself would have to be tricked into.
        let elsewhere = params("elsewhere root CA", "elsewhere.example", None);
        let (their_root, to_them) = (self_signed(&elsewhere, &next_key), forged(&elsewhere, &next_key));
        let organization = params("north CA", CONSORTIUM, Some("north"));
        let (own_root, to_own) = (self_signed(&organization, &next_key), forged(&organization, &next_key));
        let other = params("harbour.example root CA 22222222", CONSORTIUM, None);
        let other_name = forged(&other, &next_key);
        let other_keyed = forged(&next, &other_key);

        let (old_der, new_der) = (old.certificate().to_vec(), new.certificate().to_vec());
        let short = link(&old, &new, days(5));
        let late = Validity { not_before: NOW.plus_millis(2 * DAY_MS), not_after: days(500).not_after };
        let future = link(&old, &new, late);
        let (bad_link, bad_root) = (spoiled(&good), spoiled(&new_der));
        let trusted = vec![old_der.clone()];
        let new_trusted = vec![new_der.clone()];
        let (false_trusted, true_trusted) = (vec![false_root], vec![true_root]);
        let stranger_trusted = vec![stranger.certificate().to_vec()];
        let issuing_trusted = vec![north.authority.certificate().to_vec()];
        let in_days = |days: u64| NOW.plus_millis(days * DAY_MS);
        use RootUpdateError as E;
        type Row<'a> = (&'a str, &'a [u8], &'a [u8], &'a [Vec<u8>], Time, Result<(), E>);
        let rows: Vec<Row<'_>> = vec![
            ("as it should be", &new_der, &good, &trusted, NOW, Ok(())),
            ("nobody is trusted", &new_der, &good, &[], NOW, Err(E::UnknownIssuer)),
            ("another is trusted", &new_der, &good, &stranger_trusted, NOW, Err(E::UnknownIssuer)),
            ("an issuing CA is trusted", &new_der, &good, &issuing_trusted, NOW, Err(E::UnknownIssuer)),
            ("only the link is trusted", &new_der, &good, std::slice::from_ref(&good), NOW, Err(E::UnknownIssuer)),
            ("the same name, another key", &next_root, &by_false, &true_trusted, NOW, Err(E::UnknownIssuer)),
            ("what the false root may say", &next_root, &by_false, &false_trusted, NOW, Ok(())),
            ("a spoiled signature of the link", &new_der, &bad_link, &trusted, NOW, Err(E::Signature)),
            ("a spoiled signature of the root", &bad_root, &good, &trusted, NOW, Err(E::Signature)),
            ("an old root by its successor", &old_der, &back, &new_trusted, NOW, Err(E::NotNewer)),
            ("another root", stranger.certificate(), &good, &trusted, NOW, Err(E::OtherRoot)),
            ("another name", &next_root, &other_name, &false_trusted, NOW, Err(E::OtherRoot)),
            ("another key", &next_root, &other_keyed, &false_trusted, NOW, Err(E::OtherRoot)),
            ("another consortium", &their_root, &to_them, &false_trusted, NOW, Err(E::Consortium)),
            ("an organization's root", &own_root, &to_own, &false_trusted, NOW, Err(E::NotRoot)),
            ("the root as its own link", &new_der, &new_der, &trusted, NOW, Err(E::NotLink)),
            ("the link as the root", &good, &good, &trusted, NOW, Err(E::NotRoot)),
            ("an issuing CA as the link", &new_der, north.authority.certificate(), &trusted, NOW, Err(E::NotLink)),
            ("an expired link", &new_der, &short, &trusted, in_days(6), Err(E::Expired)),
            ("the same link in time", &new_der, &short, &trusted, in_days(5), Ok(())),
            ("an expired trusted root", &new_der, &good, &trusted, in_days(4000), Err(E::Expired)),
            ("a link of the future", &new_der, &future, &trusted, NOW, Err(E::NotYetValid)),
            (
                "no certificate",
                &new_der,
                b"link",
                &trusted,
                NOW,
                Err(E::Link(pki::x509::certificate::ProfileError::Malformed)),
            ),
        ];
        for (what, root, link, anchors, at, verdict) in rows {
            assert_eq!(verify_root_update(root, link, anchors, CONSORTIUM, at), verdict, "{what}");
            let held = Held { path: &[], anchors, issuing: None };
            let updated = update_anchors(held, &[root.to_vec(), link.to_vec()], CONSORTIUM, at).unwrap();
            assert_eq!(updated.added, usize::from(verdict.is_ok()), "{what}");
        }
        let other = verify_root_update(&new_der, &good, &trusted, "elsewhere.example", NOW);
        assert_eq!(other, Err(E::Consortium));
    }
}

fn path_under(root: &Authority) -> Vec<Vec<u8>> {
    let north = Issuing::under(root, "north", KeyAlgorithm::Ed25519);
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    vec![north.leaf(&identity("north/client/ann"), &key).to_vec(), north.authority.certificate().to_vec()]
}

fn update(path: &[Vec<u8>], anchors: &[Vec<u8>], issuing: &[Vec<u8>], offered: &[Vec<u8>]) -> AnchorUpdate {
    update_anchors(Held { path, anchors, issuing: Some(issuing) }, offered, CONSORTIUM, NOW).unwrap()
}

#[test]
fn a_root_that_somebody_needs_is_not_taken_away_by_a_peer_that_does_not_list_it() {
    let (old, new) = (begun(1, KeyAlgorithm::Ed25519), begun(5, KeyAlgorithm::P256));
    let (a, b, ab) = (old.certificate().to_vec(), new.certificate().to_vec(), link(&old, &new, days(300)));
    let (by_old, by_new) = (path_under(&old), path_under(&new));
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let east = |root: &Authority, days| root.certify_intermediate("east", key.public(), days).unwrap();
    let (east_old, east_new) = (east(&old, days(900)), east(&new, days(1000)));
    let ended = Validity { not_before: days(1).not_before, not_after: Time::from_millis(NOW.millis() - 1000) };
    let east_ended = east(&old, ended);
    let (both, one) = (vec![a.clone(), b.clone()], vec![b.clone()]);

    // The attack: the new root and its link, without the root that everybody still uses.
    let first = update(&by_old, std::slice::from_ref(&a), std::slice::from_ref(&east_old), &[b.clone(), ab.clone()]);
    assert_eq!(
        (first.anchors, first.issuing, first.added, first.removed),
        (both.clone(), vec![east_old.clone()], 1, 0)
    );
    for (what, path, issuing, offered, anchors, left) in [
        ("the own path", &by_old, vec![], vec![&b], &both, vec![]),
        ("no path", &vec![], vec![], vec![&b], &both, vec![]),
        ("a CA", &by_new, vec![&east_old], vec![&b], &both, vec![&east_old]),
        ("none", &by_new, vec![&east_new], vec![&b], &one, vec![&east_new]),
        ("the CA has another", &by_new, vec![&east_old, &east_new], vec![&b], &one, vec![&east_new]),
        ("it is offered", &by_new, vec![&east_old], vec![&b, &east_new], &one, vec![&east_new]),
        ("it has ended", &by_new, vec![&east_ended], vec![&b], &one, vec![]),
        ("it is listed", &by_new, vec![&east_new], vec![&a, &b], &both, vec![&east_new]),
    ] {
        let owned = |ders: Vec<&Vec<u8>>| ders.into_iter().cloned().collect::<Vec<_>>();
        let updated = update(path, &both, &owned(issuing), &owned(offered));
        assert_eq!((&updated.anchors, updated.issuing), (anchors, owned(left)), "{what}");
        assert_eq!(updated.removed, 2 - anchors.len(), "{what}");
    }
}

#[test]
fn what_a_peer_offers_cannot_grow_without_end() {
    let old = begun(1, KeyAlgorithm::Ed25519);
    let a = old.certificate().to_vec();
    let trusted = vec![a.clone()];
    let held = Held { path: &[], anchors: &trusted, issuing: None };
    assert_eq!(update_anchors(held, &vec![a.clone(); OFFERED_MAX + 1], CONSORTIUM, NOW), Err(RootUpdateError::Many));
    assert!(update_anchors(held, &vec![a.clone(); OFFERED_MAX], CONSORTIUM, NOW).is_ok());

    // Roots.
    let next: Vec<Authority> = (0..ANCHORS_MAX + 4).map(|_| begun(5, KeyAlgorithm::Ed25519)).collect();
    let offered =
        next.iter().flat_map(|root| [root.certificate().to_vec(), link(&old, root, days(9))]).collect::<Vec<_>>();
    let updated = update(&[], &trusted, &[], &offered);
    assert_eq!((updated.anchors.len(), updated.added), (ANCHORS_MAX, ANCHORS_MAX - 1));

    // Certificates of one anchor: the last one that ends later, and none that allows more than it did.
    let key = KeyPair::generate(KeyAlgorithm::P256).unwrap();
    let mut own = params("south CA", CONSORTIUM, Some("south"));
    own.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let ends = |params: &CertificateParams, day: i64| {
        let mut params = params.clone();
        params.not_after = time::OffsetDateTime::from_unix_timestamp((NOW.millis() / 1000).cast_signed()).unwrap()
            + time::Duration::days(day);
        self_signed(&params, &key)
    };
    let south = vec![ends(&own, 100)];
    let offered: Vec<Vec<u8>> = (50..200).map(|day| ends(&own, day)).collect();
    let updated = update(&[], &south, &[], &offered);
    assert_eq!((updated.anchors, updated.added, updated.removed), (vec![offered[149].clone()], 1, 0));
    let mut wide = own.clone();
    wide.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    let mut foreign = own.clone();
    foreign.subject_alt_names = vec![SanType::URI("spiffe://elsewhere.example".try_into().unwrap())];
    for other in [&wide, &foreign] {
        assert_eq!(update(&[], &south, &[], &[ends(other, 300)]).anchors, south);
    }

    // Issuing CAs: of one organization, and certificates of one of them.
    let north = |key: &KeyPair, validity| old.certify_intermediate("north", key.public(), validity).unwrap();
    let keys: Vec<KeyPair> = (0..20).map(|_| KeyPair::generate(KeyAlgorithm::Ed25519).unwrap()).collect();
    let offered: Vec<Vec<u8>> = keys.iter().map(|key| north(key, days(100))).collect();
    let updated = update(&[], &trusted, &[], &offered);
    assert_eq!(updated.issuing, offered[..ISSUING_PER_ORGANIZATION_MAX]);
    let again: Vec<Vec<u8>> = [99, 103, 102].map(|day| north(&keys[0], days(day))).to_vec();
    let updated = update(&[], &trusted, &updated.issuing, &again);
    let mut then = offered[..ISSUING_PER_ORGANIZATION_MAX].to_vec();
    then[0].clone_from(&again[1]);
    assert_eq!(updated.issuing, then);

    // An organization's own root has no CAs below it.
    let below = params("south CA below", CONSORTIUM, Some("south"));
    let below = below.signed_by(&keys[0], &Issuer::from_params(&own, &key)).unwrap().der().to_vec();
    assert!(update(&[], &south, &[], std::slice::from_ref(&below)).issuing.is_empty());
    let store = |anchor| TrustStore::new(CONSORTIUM, vec![anchor], vec![below.clone()], RevocationPolicy::default());
    assert!(matches!(store(south[0].clone()), Err(pki::trust::store::TrustError::UnknownIssuer { position: 1 })));
    assert!(store(ends(&wide, 100)).is_ok(), "by another than its path length nothing is wrong with it");
}

#[test]
fn anchors_follow_what_a_peer_offers_only_as_far_as_it_is_proven() {
    let roots: Vec<Authority> = (0..4).map(|day| begun(day, KeyAlgorithm::Ed25519)).collect();
    let ders: Vec<Vec<u8>> = roots.iter().map(|root| root.certificate().to_vec()).collect();
    let links: Vec<Vec<u8>> = roots.windows(2).map(|pair| link(&pair[0], &pair[1], days(300))).collect();
    let own =
        Authority::new_organization_root(CONSORTIUM, "south", KeyPair::generate(KeyAlgorithm::P256).unwrap(), days(9));
    let own = own.unwrap();
    let again = own.certify_again(own.certificate(), days(99), &Authority::draw_serial().unwrap()).unwrap();
    let path = path_under(&roots[1]);
    let update = |trusted: &[&Vec<u8>], offered: &[&Vec<u8>]| {
        let owned = |ders: &[&Vec<u8>]| ders.iter().map(|der| (*der).clone()).collect::<Vec<_>>();
        let held = Held { path: &path, anchors: &owned(trusted), issuing: None };
        let updated = update_anchors(held, &owned(offered), CONSORTIUM, NOW).unwrap();
        (updated.anchors, updated.added, updated.removed)
    };
    let south = own.certificate().to_vec();
    let [a, b, c, d] = &ders[..] else { panic!() };
    let [ab, bc, _] = &links[..] else { panic!() };
    for (trusted, offered, then, added, removed) in [
        (vec![a], vec![a, b, ab], vec![a, b], 1, 0),
        (vec![a], vec![a, b], vec![a], 0, 0),
        // Never less and more at once.
        (vec![a], vec![b, ab], vec![a, b], 1, 0),
        (vec![a], vec![a, b, c, bc, ab], vec![a, b, c], 2, 0),
        (vec![a, &south], vec![c, b, ab, bc], vec![a, &south, b, c], 2, 0),
        (vec![a, b, &south], vec![b], vec![b, &south], 0, 1),
        // A peer that has not heard of the new root takes it from nobody.
        (vec![a, b], vec![a], vec![a, b], 0, 0),
        // Nothing that is trusted is listed: whoever this is, he is not believed.
        (vec![a, &south], vec![d], vec![a, &south], 0, 0),
        (vec![a, b], vec![], vec![a, b], 0, 0),
        // A certificate that a trusted key has made of itself, and one of a stranger's.
        (vec![a, &south], vec![a, &south, &again], vec![a, &again], 1, 0),
        (vec![a, &again], vec![a, &south], vec![a, &again], 0, 0),
        (vec![a], vec![a, &south, &again], vec![a], 0, 0),
        // The holder's path is under the second root: a peer that lists the third only takes away the first.
        (vec![a, b, c], vec![c], vec![b, c], 0, 1),
    ] {
        let then: Vec<Vec<u8>> = then.into_iter().cloned().collect();
        assert_eq!(update(&trusted, &offered), (then, added, removed));
    }
}

/// A link introduces a root; it is neither part of a path nor an anchor, and does not keep a good path from being found.
#[test]
fn no_path_leads_through_a_link() {
    let (old, new) = (root(KeyAlgorithm::Ed25519), root(KeyAlgorithm::Ed25519));
    let north = Issuing::under(&new, "north", KeyAlgorithm::Ed25519);
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let leaf = north.leaf(&identity("north/client/ann"), &key);
    let issuing = north.authority.certificate().to_vec();
    let link = link(&old, &new, days(300));
    assert!(is_link(&link) && ![old.certificate(), &issuing, &leaf].into_iter().any(is_link));
    // One with the path length that a root has, as a careless root would make it.
    let (careless_key, new_key) =
        (KeyPair::generate(KeyAlgorithm::Ed25519).unwrap(), KeyPair::generate(KeyAlgorithm::P256).unwrap());
    let mut careless = params("harbour.example root CA 00000000", CONSORTIUM, None);
    careless.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let careless_root = self_signed(&careless, &careless_key);
    let next = params("harbour.example root CA 11111111", CONSORTIUM, None);
    let wide = next.signed_by(&new_key, &Issuer::from_params(&careless, &careless_key)).unwrap().der().to_vec();
    let next_root =
        Authority::load(&self_signed(&next, &new_key), KeyPair::from_pkcs8(new_key.pkcs8()).unwrap()).unwrap();
    let west = Issuing::under(&next_root, "west", KeyAlgorithm::Ed25519);
    let wide_leaf = west.leaf(&identity("west/client/bob"), &key);
    let west = west.authority.certificate().to_vec();
    let judge =
        |path: &[&[u8]], anchors: &[&[u8]]| verify_path(path, anchors, None, NOW, Usage::ClientAuth).map(|_| ());
    let (old, new, next_root) = (old.certificate(), new.certificate(), next_root.certificate());
    for (what, path, anchors, verdict) in [
        ("plain", vec![&leaf[..], &issuing], vec![new], Ok(())),
        ("through", vec![&leaf, &issuing, &link], vec![old], Err(PathError::Other("PathLenConstraintViolated".into()))),
        ("to it", vec![&leaf, &issuing], vec![&link[..]], Err(PathError::UnknownIssuer)),
        ("beside the root", vec![&leaf, &issuing], vec![&link[..], new], Ok(())),
        ("sent beside the root", vec![&leaf, &issuing, &link], vec![old, new], Ok(())),
        ("wide, plain", vec![&wide_leaf, &west], vec![next_root], Ok(())),
        ("wide, through", vec![&wide_leaf, &west, &wide], vec![&careless_root[..]], Err(PathError::Link)),
        ("wide, to it", vec![&wide_leaf, &west], vec![&wide[..]], Err(PathError::UnknownIssuer)),
    ] {
        assert_eq!(judge(&path, &anchors), verdict, "{what}");
    }
    let store = TrustStore::new(CONSORTIUM, vec![link, new.to_vec()], Vec::new(), RevocationPolicy::default()).unwrap();
    assert!(
        store
            .verify(&[&leaf[..], &issuing], NOW, Usage::ClientAuth)
            .is_err_and(|error| { matches!(error, PathError::Revocation { .. }) })
    );
}
