//! Revocation lists.

use super::{
    Row,
    draft::{Draft, ED25519, UNKNOWN, crl_of, entry, id, name, sequence, tlv, unknown_extension},
    path::{LEAF, Path, revoked},
};

/// The issuing CA's list is one for a part of its certificates.
fn part(path: &mut Path, content: &[u8]) {
    path.with_crls().set(id::ISSUING_POINT, true, sequence(&[content]));
}

/// A distribution point by its URI (RFC 5280 §5.2.5).
fn point(uri: &[u8]) -> Vec<u8> {
    tlv(0xa0, &tlv(0xa0, &tlv(0x86, uri)))
}

pub(super) const ROWS: &[Row] = &[
    ("crl::good", true, |p| {
        p.with_crls();
    }),
    ("crl::revokes-another", true, |p| {
        p.with_crls();
        p.revoked = vec![revoked(&[77])];
    }),
    ("crl::revokes-the-leaf", false, |p| {
        p.with_crls();
        p.revoked = vec![revoked(LEAF)];
    }),
    ("crl::missing-for-the-leaf", false, |p| {
        p.with_crls();
        p.issuing_crl = None;
    }),
    ("crl::missing-for-the-ca", false, |p| {
        p.with_crls();
        p.root_crl = None;
    }),
    ("crl::bad-signature", false, |p| p.with_crls().spoil = true),
    ("crl::of-another-key", false, |p| p.with_crls().signer = 1),
    ("crl::of-another-name", false, |p| p.with_crls().issuer = name("other")),
    ("crl::expired", false, |p| p.with_crls().dates[1] = tlv(0x17, b"251231235959Z")),
    ("crl::of-the-future", false, |p| p.with_crls().dates[0] = tlv(0x17, b"260102000000Z")),
    ("crl::without-next-update", false, |p| p.with_crls().dates[1] = Vec::new()),
    ("crl::generalized-before-2050", false, |p| p.with_crls().dates[0] = tlv(0x18, b"20250101000000Z")),
    ("crl::without-number", false, |p| p.with_crls().remove(id::CRL_NUMBER)),
    ("crl::number-critical", false, |p| p.with_crls().mark(id::CRL_NUMBER, true)),
    ("crl::without-aki", false, |p| p.with_crls().remove(id::AKI)),
    ("crl::v1", false, |p| p.with_crls().version = None),
    ("crl::unknown-extension", true, |p| p.with_crls().add(UNKNOWN, false, vec![5, 0])),
    ("crl::unknown-critical-extension", false, |p| p.with_crls().add(UNKNOWN, true, vec![5, 0])),
    ("crl::repeated-entry", false, |p| {
        p.with_crls();
        p.revoked = vec![revoked(&[77]), revoked(&[77])];
    }),
    ("crl::algorithm-differs", false, |p| p.with_crls().inner = sequence(&[ED25519, &[5, 0]])),
    ("crl::issuer-without-crlsign", false, |p| {
        p.issuing.set(id::KEY_USAGE, true, vec![3, 2, 2, 4]);
        p.with_crls();
    }),
    ("crl::issuer-without-key-usage", true, |p| {
        p.issuing.remove(id::KEY_USAGE);
        p.with_crls();
    }),
    ("crl::revokes-the-ca", false, |p| {
        p.with_crls();
        p.root_revoked = vec![revoked(&[2, 1])];
    }),
    ("crl::same-serial-of-another-issuer", true, |p| {
        p.with_crls();
        p.root_revoked = vec![revoked(LEAF)];
    }),
    ("crl::revokes-in-the-future", false, |p| {
        p.with_crls();
        p.revoked = vec![entry(LEAF, b"260601000000Z", &[])];
    }),
    ("crl::revokes-before-the-leaf-began", false, |p| {
        p.with_crls();
        p.revoked = vec![entry(LEAF, b"230101000000Z", &[])];
    }),
    ("crl::ended-before-the-leaf-began", false, |p| {
        p.with_crls().dates = [tlv(0x17, b"250101000000Z"), tlv(0x17, b"250601000000Z")];
        p.leaf.dates[0] = tlv(0x17, b"251201000000Z");
    }),
    ("crl::entry-with-unknown-critical-extension", false, |p| {
        p.with_crls();
        p.revoked = vec![entry(LEAF, b"250101000000Z", &unknown_extension(true))];
    }),
    ("crl::another-entry-with-unknown-critical-extension", false, |p| {
        p.with_crls();
        p.revoked = vec![entry(&[77], b"250101000000Z", &unknown_extension(true))];
    }),
    ("crl::entry-with-unknown-extension", false, |p| {
        p.with_crls();
        p.revoked = vec![entry(LEAF, b"250101000000Z", &unknown_extension(false))];
    }),
    ("crl::another-entry-with-unknown-extension", true, |p| {
        p.with_crls();
        p.revoked = vec![entry(&[77], b"250101000000Z", &unknown_extension(false))];
    }),
    ("crl::of-another-anchor-in-the-issuers-name", false, |p| {
        p.anchors.push(Draft::authority("second", 5, "second", 5, None));
        p.with_crls().signer = 5;
    }),
    // Lists for a part of the certificates are refused by rule (RFC 5280 §5.2.4, §5.2.5).
    ("crl::delta", false, |p| p.with_crls().set(id::DELTA, true, vec![2, 1, 1])),
    ("crl::of-a-distribution-point", false, |p| part(p, &point(b"http://example.com/part.crl"))),
    ("crl::of-a-distribution-point-not-critical", false, |p| {
        p.with_crls().set(id::ISSUING_POINT, false, sequence(&[&point(b"http://example.com/part.crl")]));
    }),
    ("crl::of-a-relative-point", false, |p| part(p, &tlv(0xa0, &tlv(0xa1, &name("part")[2..])))),
    ("crl::of-leaves-for-a-ca", false, |p| {
        p.with_crls();
        let list = p.root_crl.get_or_insert_with(|| crl_of("root", 1));
        list.set(id::ISSUING_POINT, true, sequence(&[&tlv(0x81, &[0xff])]));
    }),
    ("crl::of-cas", false, |p| part(p, &tlv(0x82, &[0xff]))),
    ("crl::of-some-reasons", false, |p| part(p, &tlv(0x83, &[6, 0x40]))),
    ("crl::indirect", false, |p| part(p, &tlv(0x84, &[0xff]))),
    ("crl::of-attributes", false, |p| part(p, &tlv(0x85, &[0xff]))),
];
