//! Which roots come to be trusted: those that a link of a trusted root certifies, and nothing else that somebody sends.
#![allow(clippy::unwrap_used)]

mod consortium;

use ca::{
    Authority, KeyAlgorithm, KeyPair, PathError, RevocationPolicy, TrustStore, Usage, Validity,
    limits::DAY_MS,
    root_update::{RootUpdateError, is_link, update_anchors, verify_root_update},
    verify_path,
};
use consortium::{CONSORTIUM, Issuing, NOW, days, identity, root};
use ledger_classes::time::Time;
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
            ("no certificate", &new_der, b"link", &trusted, NOW, Err(E::Link(ca::profile::ProfileError::Malformed))),
        ];
        for (what, root, link, anchors, at, verdict) in rows {
            assert_eq!(verify_root_update(root, link, anchors, CONSORTIUM, at), verdict, "{what}");
            let updated = update_anchors(anchors, &[root.to_vec(), link.to_vec()], CONSORTIUM, at);
            assert_eq!(updated.added, usize::from(verdict.is_ok()), "{what}");
        }
        let other = verify_root_update(&new_der, &good, &trusted, "elsewhere.example", NOW);
        assert_eq!(other, Err(E::Consortium));
    }
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
    let update = |trusted: &[&Vec<u8>], offered: &[&Vec<u8>]| {
        let owned = |ders: &[&Vec<u8>]| ders.iter().map(|der| (*der).clone()).collect::<Vec<_>>();
        let updated = update_anchors(&owned(trusted), &owned(offered), CONSORTIUM, NOW);
        (updated.anchors, updated.added, updated.removed)
    };
    let south = own.certificate().to_vec();
    let [a, b, c, d] = &ders[..] else { panic!() };
    let [ab, bc, _] = &links[..] else { panic!() };
    for (trusted, offered, then, added, removed) in [
        (vec![a], vec![a, b, ab], vec![a, b], 1, 0),
        (vec![a], vec![a, b], vec![a], 0, 0),
        (vec![a], vec![b, ab], vec![b], 1, 1),
        (vec![a], vec![a, b, c, bc, ab], vec![a, b, c], 2, 0),
        (vec![a, &south], vec![c, b, ab, bc], vec![&south, b, c], 2, 1),
        (vec![a, b, &south], vec![b], vec![b, &south], 0, 1),
        // A peer that has not heard of the new root takes it from nobody.
        (vec![a, b], vec![a], vec![a, b], 0, 0),
        // Nothing that is trusted is listed: whoever this is, he is not believed.
        (vec![a, &south], vec![d], vec![a, &south], 0, 0),
        (vec![a, b], vec![], vec![a, b], 0, 0),
        // A certificate that a trusted key has made of itself, and one of a stranger's.
        (vec![a, &south], vec![a, &south, &again], vec![a, &south, &again], 1, 0),
        (vec![a], vec![a, &south, &again], vec![a], 0, 0),
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
