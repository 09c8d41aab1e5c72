//! Which certificate paths are admitted, and for which reason the others are not.
//! Good and bad come in pairs: every bad certificate is a good one but for the one change that its row names.
#![allow(clippy::unwrap_used)]

use crate::consortium::{CONSORTIUM, Issuing, NOW, date, days, identity, leaf_params, root};
use ca::{Authority, KeyPair, LeafRequest, Validity, authority::AuthorityError, limits::DAY_MS};
use ledger_classes::primitives::time::Time;
use pki::{
    AuthorityScope, KeyAlgorithm, PathError, Usage, path_fault, steady, verify_participant, verify_path,
    x509::certificate::ProfileError,
};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose as Eku,
    IsCa, Issuer, KeyIdMethod, KeyUsagePurpose as Ku, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;

const ALICE: &str = "spiffe://harbour.example/north/client/alice";

fn refused<T: std::fmt::Debug>(result: Result<T, PathError>) -> PathError {
    result.expect_err("must be refused")
}

fn profile(position: usize, source: ProfileError) -> PathError {
    PathError::Profile { position, source }
}

#[test]
fn good_paths_are_admitted_for_every_mix_of_algorithms() {
    let algorithms = [KeyAlgorithm::Ed25519, KeyAlgorithm::P256];
    for mix in 0..8 {
        let [of_root, of_ca, of_leaf] = [mix & 1, mix >> 1 & 1, mix >> 2].map(|index| algorithms[index]);
        let root = root(of_root);
        let north = Issuing::under(&root, "north", of_ca);
        for (name, usages) in [
            ("north/client/alice", &[Usage::ClientAuth, Usage::Participant][..]),
            ("north/peer/p1", &[Usage::ClientAuth, Usage::Participant, Usage::ServerAuth]),
        ] {
            let key = KeyPair::generate(of_leaf).unwrap();
            let leaf = north.leaf(&identity(name), &key);
            for usage in usages {
                let path = [&leaf, north.authority.certificate()];
                let verified = verify_path(&path, &[root.certificate()], None, NOW, *usage).unwrap();
                assert_eq!(*verified.identity(), identity(name));
                assert_eq!(verified.public_key(), key.public());
                assert_eq!(verified.issuer(), north.authority.key_id());
                assert_eq!((verified.not_before(), verified.not_after()), (days(90).not_before, days(90).not_after));
                assert_eq!(verified.serial().as_bytes().len(), 17);
            }
        }
    }
}

#[test]
fn the_root_may_be_sent_along_and_an_issuing_ca_may_be_an_anchor() {
    let root = root(KeyAlgorithm::Ed25519);
    let north = Issuing::under(&root, "north", KeyAlgorithm::Ed25519);
    let leaf = north.leaf(&identity("north/client/alice"), &KeyPair::generate(KeyAlgorithm::Ed25519).unwrap());
    let (ca, root) = (north.authority.certificate().to_vec(), root.certificate().to_vec());
    for (path, anchors, admitted) in [
        (vec![leaf.clone(), ca.clone(), root.clone()], vec![root.clone()], true),
        (vec![leaf.clone(), ca.clone(), root.clone()], vec![ca.clone()], true),
        (vec![leaf.clone(), ca.clone(), root.clone()], vec![ca.clone(), root.clone()], true),
        (vec![leaf.clone()], vec![root.clone(), ca.clone()], true),
        (vec![leaf.clone(), ca.clone()], vec![vec![0x30, 0], root.clone()], true),
        (vec![leaf.clone()], vec![root.clone()], false),
        (vec![leaf.clone(), root.clone(), ca.clone()], vec![root.clone()], false),
        (vec![leaf.clone(), ca.clone()], vec![], false),
    ] {
        let result = verify_participant(&path, &anchors, NOW);
        assert_eq!(result.is_ok(), admitted, "{result:?}");
    }
    assert_eq!(refused(verify_participant(&[], std::slice::from_ref(&root), NOW)), PathError::Empty);
    let long = vec![leaf; 6];
    assert_eq!(refused(verify_participant(&long, &[root], NOW)), PathError::Length);
}

/// What was verified is remembered as long as this says: an answer that differed would part the peers of a channel.
#[test]
fn an_answer_is_the_same_as_long_as_nothing_begins_or_ends() {
    let root = root(KeyAlgorithm::P256);
    let north = Issuing::under(&root, "north", KeyAlgorithm::P256);
    let leaf = north.leaf(&identity("north/client/alice"), &KeyPair::generate(KeyAlgorithm::P256).unwrap());
    let (ca, root) = (north.authority.certificate().to_vec(), root.certificate().to_vec());
    let path = [leaf.clone(), ca.clone()];
    let mut ranges = Vec::new();
    // A century, in steps of 20 days, and closely around each change.
    let mut times: Vec<Time> =
        (0..1800).map(|step| NOW.minus_millis(20 * DAY_MS).plus_millis(step * 20 * DAY_MS)).collect();
    for time in times.clone() {
        let range = steady([&leaf[..], &ca, &root], time);
        assert!(range.contains(&time));
        assert_eq!(steady([&leaf[..], &ca, &root, &[0x30, 0]], time), time..time.plus_millis(1), "who can tell");
        if !ranges.contains(&range) {
            times.extend([range.start, range.end].into_iter().flat_map(|change| {
                [change, change.minus_millis(1), change.minus_millis(1000), change.plus_millis(999)]
            }));
            ranges.push(range);
        }
    }
    times.sort_unstable();
    let (mut before, mut outcomes) = (None, 0);
    for time in times {
        let range = steady([&leaf[..], &ca, &root], time);
        let answer = verify_participant(&path, std::slice::from_ref(&root), time);
        if let Some((last, known)) = before.replace((range.clone(), answer.clone())) {
            assert!(last != range || known == answer, "{time}: {known:?} and {answer:?}");
            outcomes += usize::from(known != answer);
        }
    }
    assert!(ranges.len() >= 4 && outcomes >= 2, "{ranges:?}, {outcomes}");
}

/// A certificate that we cannot read and the path library can: whoever posted such a path before and after its end was
/// told two faults, of which a channel remembered the first and each replay found the second.
#[test]
fn an_answer_about_a_certificate_that_cannot_be_read_is_not_remembered() {
    let root = root(KeyAlgorithm::P256);
    let north = Issuing::under(&root, "north", KeyAlgorithm::P256);
    // Made by anybody, with keys of their own: nobody accepted it.
    let ends = NOW.plus_millis(60_000);
    let own_key = rcgen::KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "nobody");
    params.serial_number = Some(SerialNumber::from(vec![0]));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date(NOW.minus_millis(DAY_MS));
    params.not_after = date(ends);
    let between = params.self_signed(&own_key).unwrap().der().to_vec();
    let issuer = Issuer::from_ca_cert_der(&CertificateDer::from(between.clone()), &own_key).unwrap();
    let leaf = leaf_params(ALICE).signed_by(&rcgen::KeyPair::generate().unwrap(), &issuer).unwrap().der().to_vec();
    let path = [leaf, between];
    let roots = [north.authority.certificate().to_vec(), root.certificate().to_vec()];
    let late = ends.plus_millis(5_000);
    assert_ne!(
        refused(verify_participant(&path, &roots, NOW)),
        refused(verify_participant(&path, &roots, late)),
        "the library looks at the dates of what we cannot read"
    );
    let (given, known): ([&[u8]; 2], [&[u8]; 2]) = ([&path[0], &path[1]], [&roots[0], &roots[1]]);
    let told = |at| path_fault(&given, &known, at);
    assert_eq!(told(NOW), told(late), "which fault is told does not follow the library");
    assert!(!steady(path.iter().chain(&roots).map(Vec::as_slice), NOW).contains(&late));
}

type Change = Box<dyn FnOnce(&mut CertificateParams)>;

fn uris(uris: &[&str]) -> Change {
    let names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
    Box::new(move |params| params.subject_alt_names = names)
}

fn add_name(name: SanType) -> Change {
    Box::new(move |params| params.subject_alt_names.push(name))
}

fn key_usage(usages: &[Ku]) -> Change {
    let usages = usages.to_vec();
    Box::new(move |params| params.key_usages = usages)
}

fn purposes(purposes: &[Eku]) -> Change {
    let purposes = purposes.to_vec();
    Box::new(move |params| params.extended_key_usages = purposes)
}

fn extension(oid: &'static [u64], critical: bool, content: &'static [u8]) -> Change {
    Box::new(move |params| {
        let mut extension = CustomExtension::from_oid_content(oid, content.to_vec());
        extension.set_criticality(critical);
        params.custom_extensions.push(extension);
    })
}

#[test]
fn leaves_that_break_their_profile_are_refused() {
    let root = root(KeyAlgorithm::Ed25519);
    let north = Issuing::under(&root, "north", KeyAlgorithm::Ed25519);
    let key = KeyPair::generate(KeyAlgorithm::P256).unwrap();
    let leaf = |error| profile(0, error);
    let rows: Vec<(&str, Change, Option<PathError>)> = vec![
        ("no change", Box::new(|_| {}), None),
        ("expired", Box::new(|p| p.not_after = date(NOW) - time::Duration::seconds(1)), Some(PathError::Expired)),
        ("ends this second", Box::new(|p| p.not_after = date(NOW)), None),
        ("not yet valid", Box::new(|p| p.not_before = date(NOW.plus_millis(1000))), Some(PathError::NotYetValid)),
        ("no URI", Box::new(|p| p.subject_alt_names.clear()), Some(leaf(ProfileError::NoAlternativeName))),
        (
            "two URIs",
            uris(&[ALICE, "spiffe://harbour.example/north/admin/root"]),
            Some(leaf(ProfileError::UriCount(2))),
        ),
        (
            "a host name only",
            Box::new(|p| p.subject_alt_names = vec![SanType::DnsName("a".try_into().unwrap())]),
            Some(leaf(ProfileError::UriCount(0))),
        ),
        (
            "a client with a host name",
            add_name(SanType::DnsName("localhost".try_into().unwrap())),
            Some(leaf(ProfileError::ForeignName)),
        ),
        (
            "a mail address",
            add_name(SanType::Rfc822Name("a@b.example".try_into().unwrap())),
            Some(leaf(ProfileError::ForeignName)),
        ),
        (
            "another scheme",
            uris(&["https://harbour.example/north/client/alice"]),
            Some(leaf(ProfileError::Identity(ledger_classes::primitives::identity::ParseIdentityError::Form))),
        ),
        (
            "an unknown role",
            uris(&["spiffe://harbour.example/north/god/alice"]),
            Some(leaf(ProfileError::Identity(ledger_classes::primitives::identity::ParseIdentityError::Role))),
        ),
        ("another organization", uris(&["spiffe://harbour.example/south/client/alice"]), Some(PathError::Organization)),
        ("another consortium", uris(&["spiffe://evil.example/north/client/alice"]), Some(PathError::Consortium)),
        (
            "a CA",
            Box::new(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            Some(leaf(ProfileError::LeafIsAuthority)),
        ),
        ("no basic constraints", Box::new(|p| p.is_ca = IsCa::NoCa), None),
        ("no key usage", key_usage(&[]), Some(leaf(ProfileError::LeafKeyUsage))),
        ("key agreement only", key_usage(&[Ku::KeyAgreement]), Some(leaf(ProfileError::LeafKeyUsage))),
        (
            "may sign certificates",
            key_usage(&[Ku::DigitalSignature, Ku::KeyCertSign]),
            Some(leaf(ProfileError::LeafKeyUsage)),
        ),
        ("may sign CRLs", key_usage(&[Ku::DigitalSignature, Ku::CrlSign]), Some(leaf(ProfileError::LeafKeyUsage))),
        ("no purpose", purposes(&[]), Some(leaf(ProfileError::ExtendedKeyUsage))),
        ("any purpose", purposes(&[Eku::ClientAuth, Eku::Any]), Some(leaf(ProfileError::ExtendedKeyUsage))),
        ("signs code", purposes(&[Eku::ClientAuth, Eku::CodeSigning]), Some(leaf(ProfileError::ExtendedKeyUsage))),
        (
            "a client that serves",
            purposes(&[Eku::ClientAuth, Eku::ServerAuth]),
            Some(leaf(ProfileError::ExtendedKeyUsage)),
        ),
        (
            "serial zero",
            Box::new(|p| p.serial_number = Some(SerialNumber::from_slice(&[0]))),
            Some(leaf(ProfileError::Serial(pki::x509::identifiers::SerialError))),
        ),
        (
            "serial of 21 octets",
            Box::new(|p| p.serial_number = Some(SerialNumber::from_slice(&[1; 21]))),
            Some(leaf(ProfileError::Serial(pki::x509::identifiers::SerialError))),
        ),
        (
            "no authority key identifier",
            Box::new(|p| p.use_authority_key_identifier_extension = false),
            Some(PathError::KeyIdentifier { position: 0 }),
        ),
        ("unknown extension", extension(&[1, 3, 6, 1, 4, 1, 99999, 1], false, &[5, 0]), None),
        (
            "unknown critical extension",
            extension(&[1, 3, 6, 1, 4, 1, 99999, 1], true, &[5, 0]),
            Some(leaf(ProfileError::CriticalExtension)),
        ),
        (
            "key usage twice",
            extension(&[2, 5, 29, 15], true, &[3, 2, 7, 0x80]),
            Some(leaf(ProfileError::RepeatedExtension)),
        ),
        (
            "policy constraints",
            extension(&[2, 5, 29, 36], true, &[0x30, 3, 0x80, 1, 0]),
            Some(leaf(ProfileError::Policies)),
        ),
        (
            "huge",
            Box::new(|p| {
                p.custom_extensions.push(CustomExtension::from_oid_content(
                    &[1, 3, 6, 1, 4, 1, 99999, 1],
                    [&[4, 0x82, 0x20, 0][..], &[0; 8192]].concat(),
                ))
            }),
            Some(leaf(ProfileError::Oversize)),
        ),
        ("empty subject, name not critical", Box::new(|p| p.distinguished_name = DistinguishedName::new()), None),
    ];
    for (name, change, expected) in rows {
        let leaf = north.changed_leaf(ALICE, &key, change);
        let path = [leaf, north.authority.certificate().to_vec()];
        let result = verify_participant(&path, &[root.certificate().to_vec()], NOW);
        assert_eq!(result.err(), expected, "{name}");
    }
}

#[test]
fn leaves_are_used_for_what_they_are_for() {
    let root = root(KeyAlgorithm::Ed25519);
    let north = Issuing::under(&root, "north", KeyAlgorithm::Ed25519);
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let peer = "spiffe://harbour.example/north/peer/p1";
    for (uri, eku, usage, expected) in [
        (ALICE, vec![Eku::ClientAuth], Usage::ServerAuth, Some(PathError::NotPeer)),
        (peer, vec![Eku::ClientAuth], Usage::ServerAuth, Some(PathError::Usage)),
        (peer, vec![Eku::ServerAuth], Usage::ServerAuth, None),
        (peer, vec![Eku::ServerAuth], Usage::ClientAuth, Some(PathError::Usage)),
        (peer, vec![Eku::ServerAuth], Usage::Participant, Some(PathError::Usage)),
        (peer, vec![Eku::ClientAuth, Eku::ServerAuth], Usage::Participant, None),
    ] {
        let leaf = north.changed_leaf(uri, &key, |params| params.extended_key_usages = eku.clone());
        let path = [&leaf, north.authority.certificate()];
        let result = verify_path(&path, &[root.certificate()], None, NOW, usage);
        assert_eq!(result.err(), expected, "{uri} {eku:?} {usage:?}");
    }
}

/// A CA like an organization's, but for one change, certified by `root`.
fn changed_authority(
    root: &Issuing,
    change: impl FnOnce(&mut CertificateParams),
) -> (Vec<u8>, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let mut params = leaf_params("spiffe://harbour.example");
    params.distinguished_name.push(DnType::CommonName, "north CA");
    params.distinguished_name.push(DnType::OrganizationName, "north");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![Ku::KeyCertSign, Ku::CrlSign];
    params.extended_key_usages = Vec::new();
    change(&mut params);
    let der = params.signed_by(&key, &root.issuer).unwrap().der().to_vec();
    let issuer = Issuer::from_ca_cert_der(&CertificateDer::from(der.as_slice()), key).unwrap();
    (der, issuer)
}

fn root_with_key() -> Issuing {
    let made = root(KeyAlgorithm::Ed25519);
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let mut params = leaf_params("spiffe://harbour.example");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![Ku::KeyCertSign, Ku::CrlSign];
    params.extended_key_usages = Vec::new();
    (params.not_before, params.not_after) = (date(made.validity().not_before), date(made.validity().not_after));
    let der = params.self_signed(&key).unwrap().der().to_vec();
    Issuing::of(&der, key)
}

#[test]
fn authorities_that_break_their_profile_vouch_for_nobody() {
    let root = root_with_key();
    let rows: Vec<(&str, Change, Option<PathError>)> = vec![
        ("no change", Box::new(|_| {}), None),
        ("not a CA", Box::new(|p| p.is_ca = IsCa::ExplicitNoCa), Some(PathError::Other("EndEntityUsedAsCa".into()))),
        ("no keyCertSign", key_usage(&[Ku::CrlSign]), Some(profile(1, ProfileError::AuthorityKeyUsage))),
        ("no key usage", key_usage(&[]), Some(profile(1, ProfileError::AuthorityKeyUsage))),
        ("no URI", Box::new(|p| p.subject_alt_names.clear()), Some(profile(1, ProfileError::NoAlternativeName))),
        ("a URI with a path", uris(&["spiffe://harbour.example/north"]), Some(profile(1, ProfileError::AuthorityUri))),
        ("another consortium", uris(&["spiffe://evil.example"]), Some(PathError::Consortium)),
        (
            "a host name",
            add_name(SanType::DnsName("a.example".try_into().unwrap())),
            Some(profile(1, ProfileError::ForeignName)),
        ),
        (
            "another organization",
            Box::new(|p| p.distinguished_name.push(DnType::OrganizationName, "south")),
            Some(PathError::Organization),
        ),
        (
            "no organization",
            Box::new(|p| {
                p.distinguished_name = DistinguishedName::new();
                p.distinguished_name.push(DnType::CommonName, "any");
            }),
            Some(PathError::Organization),
        ),
        ("for servers only", purposes(&[Eku::ServerAuth]), Some(PathError::Usage)),
        (
            "another key's identifier",
            Box::new(|p| p.key_identifier_method = KeyIdMethod::PreSpecified(vec![9; 20])),
            None,
        ),
        ("expired", Box::new(|p| p.not_after = date(NOW) - time::Duration::seconds(1)), Some(PathError::Expired)),
    ];
    for (name, change, expected) in rows {
        let (der, issuer) = changed_authority(&root, change);
        let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
        let leaf = leaf_params(ALICE).signed_by(&key, &issuer).unwrap().der().to_vec();
        let result = verify_participant(&[leaf, der], &[root.authority.certificate().to_vec()], NOW);
        assert_eq!(result.err(), expected, "{name}");
    }
}

#[test]
fn an_authority_key_identifier_of_another_key_is_refused() {
    let root = root_with_key();
    let (der, _) = changed_authority(&root, |_| {});
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let mut params = leaf_params(ALICE);
    params.use_authority_key_identifier_extension = false;
    // [0] IMPLICIT key identifier of 20 octets.
    let content = [&[0x30, 22, 0x80, 20][..], &[7; 20]].concat();
    params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 35], content));
    let north = Issuing::under(&root.authority, "north", KeyAlgorithm::Ed25519);
    let leaf = params.signed_by(&key, &north.issuer).unwrap().der().to_vec();
    let anchors = [root.authority.certificate().to_vec()];
    let path = [leaf, north.authority.certificate().to_vec()];
    assert_eq!(refused(verify_participant(&path, &anchors, NOW)), PathError::KeyIdentifier { position: 0 });
    assert!(AuthorityScope::of_certificate(&der).is_ok());
}

#[test]
fn a_foreign_ca_and_a_changed_byte_are_refused() {
    let (ours, theirs) = (root(KeyAlgorithm::Ed25519), root(KeyAlgorithm::Ed25519));
    let north = Issuing::under(&ours, "north", KeyAlgorithm::Ed25519);
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let leaf = north.leaf(&identity("north/client/alice"), &key);
    let ca = north.authority.certificate().to_vec();
    let foreign = [theirs.certificate().to_vec()];
    assert_eq!(refused(verify_participant(&[leaf.clone(), ca.clone()], &foreign, NOW)), PathError::UnknownIssuer);
    let mut forged = leaf;
    *forged.last_mut().unwrap() ^= 1;
    let anchors = [ours.certificate().to_vec()];
    assert_eq!(refused(verify_participant(&[forged.clone(), ca.clone()], &anchors, NOW)), PathError::Signature);
    forged.push(0);
    assert_eq!(refused(verify_participant(&[forged, ca], &anchors, NOW)), profile(0, ProfileError::Malformed));
}

#[test]
fn an_organization_never_vouches_for_another() {
    let root = root_with_key();
    let north = Issuing::under(&root.authority, "north", KeyAlgorithm::Ed25519);
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let anchors = [root.authority.certificate().to_vec()];

    // At the authority.
    for (name, consortium) in [("south/client/mallory", CONSORTIUM), ("north/client/alice", "evil.example")] {
        let foreign =
            ledger_classes::primitives::identity::Identity::parse(&format!("spiffe://{consortium}/{name}")).unwrap();
        let request =
            LeafRequest { identity: &foreign, public_key: key.public(), alternative_names: &[], validity: days(9) };
        let issue = |authority: &Authority| authority.issue_leaf(&request, Authority::draw_serial().unwrap());
        let result = issue(&north.authority);
        assert!(matches!(result, Err(AuthorityError::ForeignIdentity { .. })), "{result:?}");
        assert!(matches!(issue(&root.authority), Err(AuthorityError::NotIssuing)));
    }
    assert!(matches!(
        north.authority.issue_intermediate("south", KeyPair::generate(KeyAlgorithm::Ed25519).unwrap(), days(9)),
        Err(AuthorityError::NotRoot)
    ));

    // On the path, when the key signs what the authority would not: a CA of its own below the issuing CA,
    let (sub, sub_issuer) = changed_authority(&north, |params| {
        params.distinguished_name.push(DnType::OrganizationName, "south");
    });
    let mallory = "spiffe://harbour.example/south/client/mallory";
    let leaf = leaf_params(mallory).signed_by(&key, &sub_issuer).unwrap().der().to_vec();
    let path = [leaf.clone(), sub.clone(), north.authority.certificate().to_vec()];
    assert_eq!(refused(verify_participant(&path, &anchors, NOW)), PathError::Other("PathLenConstraintViolated".into()));
    // or below an organization's own root that allows itself any length,
    let own_key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let mut params = leaf_params("spiffe://harbour.example");
    params.distinguished_name.push(DnType::OrganizationName, "north");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![Ku::KeyCertSign, Ku::CrlSign];
    params.extended_key_usages = Vec::new();
    let own = Issuing::of(params.self_signed(&own_key).unwrap().der(), own_key);
    let (sub, sub_issuer) = changed_authority(&own, |params| {
        params.distinguished_name.push(DnType::OrganizationName, "south");
    });
    let leaf = leaf_params(mallory).signed_by(&key, &sub_issuer).unwrap().der().to_vec();
    let own_anchor = [own.authority.certificate().to_vec()];
    assert_eq!(refused(verify_participant(&[leaf, sub], &own_anchor, NOW)), PathError::Organization);
    // or a leaf directly under the consortium's root.
    let leaf = root.changed_leaf(mallory, &key, |_| {});
    assert_eq!(refused(verify_participant(&[leaf], &anchors, NOW)), PathError::Organization);
}

#[test]
fn an_anchor_is_judged_like_any_other_ca() {
    let root = root_with_key();
    // An issuing CA as anchor does not get a longer path by being one,
    let (below, issuer) = {
        let north = Issuing::under(&root.authority, "north", KeyAlgorithm::Ed25519);
        let (sub, issuer) = changed_authority(&north, |_| {});
        ((sub, north.authority.certificate().to_vec()), issuer)
    };
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let leaf = leaf_params(ALICE).signed_by(&key, &issuer).unwrap().der().to_vec();
    let (sub, north) = below;
    assert_eq!(refused(verify_participant(&[leaf, sub], &[north], NOW)), PathError::PathLength { position: 2 });
    // and an anchor vouches for nobody before and after its time, though its leaf still holds.
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let mut params = leaf_params("spiffe://harbour.example");
    params.distinguished_name.push(DnType::OrganizationName, "north");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![Ku::KeyCertSign, Ku::CrlSign];
    params.extended_key_usages = Vec::new();
    (params.not_before, params.not_after) = (date(NOW), date(NOW.plus_millis(10_000)));
    let own = Issuing::of(params.self_signed(&key).unwrap().der(), key);
    let leaf = own.changed_leaf(ALICE, &KeyPair::generate(KeyAlgorithm::P256).unwrap(), |_| {});
    let anchors = [own.authority.certificate().to_vec()];
    for (at, expected) in [
        (Time::from_millis(NOW.millis() - 1), Some(PathError::NotYetValid)),
        (NOW, None),
        (NOW.plus_millis(10_999), None),
        (NOW.plus_millis(11_000), Some(PathError::Expired)),
    ] {
        assert_eq!(verify_participant(std::slice::from_ref(&leaf), &anchors, at).err(), expected, "{at}");
    }
}

#[test]
fn a_path_that_is_not_in_order_is_refused() {
    let root = root(KeyAlgorithm::Ed25519);
    let [north, south] = ["north", "south"].map(|name| Issuing::under(&root, name, KeyAlgorithm::Ed25519));
    let leaf = north.leaf(&identity("north/client/alice"), &KeyPair::generate(KeyAlgorithm::Ed25519).unwrap());
    let [north, south] = [north, south].map(|issuing| issuing.authority.certificate().to_vec());
    let anchors = [root.certificate().to_vec()];
    assert_eq!(refused(verify_participant(&[leaf.clone(), south, north.clone()], &anchors, NOW)), PathError::Order);
    assert!(verify_participant(&[leaf, north], &anchors, NOW).is_ok());
}

#[test]
fn the_authority_refuses_what_it_must_not_sign() {
    let root = root(KeyAlgorithm::P256);
    let north = Issuing::under(&root, "north", KeyAlgorithm::P256).authority;
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let names = ["localhost".parse().unwrap()];
    let alice = identity("north/client/alice");
    let ask = |alternative_names, validity| {
        let request = LeafRequest { identity: &alice, public_key: key.public(), alternative_names, validity };
        north.issue_leaf(&request, Authority::draw_serial().unwrap())
    };
    assert!(ask(&[], days(9)).is_ok());
    assert!(matches!(ask(&names, days(9)), Err(AuthorityError::AlternativeNames)));
    assert!(matches!(ask(&[], days(2000)), Err(AuthorityError::Validity)), "beyond the CA");
    assert!(matches!(ask(&[], Validity { not_before: NOW, not_after: NOW }), Err(AuthorityError::Validity)));
    let other = KeyPair::generate(KeyAlgorithm::P256).unwrap();
    assert!(matches!(Authority::load(north.certificate(), other), Err(AuthorityError::KeyMismatch)));
    for name in ["", "Upper", "a/b"] {
        let key = || KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
        assert!(Authority::new_root(name, key(), days(9)).is_err(), "{name}");
        assert!(root.issue_intermediate(name, key(), days(9)).is_err(), "{name}");
    }
}

#[test]
fn a_ca_may_have_a_p384_key_and_a_leaf_may_not() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let mut params = leaf_params("spiffe://harbour.example");
    params.distinguished_name.push(DnType::OrganizationName, "north");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![Ku::KeyCertSign, Ku::CrlSign];
    params.extended_key_usages = Vec::new();
    let anchors = [params.self_signed(&key).unwrap().der().to_vec()];
    let issuer = Issuer::new(params, key);
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let p256 = KeyPair::generate(KeyAlgorithm::P256).unwrap();
    let good = leaf_params(ALICE).signed_by(&p256, &issuer).unwrap().der().to_vec();
    let bad = leaf_params(ALICE).signed_by(&p384, &issuer).unwrap().der().to_vec();
    assert_eq!(verify_participant(&[good], &anchors, NOW).err(), None);
    assert_eq!(refused(verify_participant(&[bad], &anchors, NOW)), profile(0, ProfileError::LeafKey));
}

#[test]
fn dates_beyond_2049_are_written_as_generalized_time() {
    let far = Validity::starting(NOW, 40 * 365 * DAY_MS);
    let ca =
        Authority::new_organization_root(CONSORTIUM, "north", KeyPair::generate(KeyAlgorithm::Ed25519).unwrap(), far)
            .unwrap();
    let key = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let alice = identity("north/client/alice");
    let request = LeafRequest { identity: &alice, public_key: key.public(), alternative_names: &[], validity: far };
    let path = [ca.issue_leaf(&request, Authority::draw_serial().unwrap()).unwrap()];
    let verified = verify_participant(&path, &[ca.certificate().to_vec()], far.not_after).unwrap();
    assert_eq!(verified.not_after(), far.not_after);
}
