//! The rules for a single certificate.

use super::{
    Row,
    draft::{AIA, Draft, ED25519, UNKNOWN, directory, dns, id, key_identifier, sequence, tlv},
};

pub(super) const ROWS: &[Row] = &[
    ("version::v1-with-extensions", false, |p| p.leaf.version = None),
    ("version::v2", false, |p| p.leaf.version = Some(1)),
    ("version::v1-root", false, |p| {
        p.root.version = None;
        p.root.extensions.clear();
    }),
    ("serial::twenty-octets", true, |p| p.leaf.serial = vec![0x7f; 20]),
    ("serial::twenty-one-octets", false, |p| p.leaf.serial = vec![0x7f; 21]),
    ("serial::zero", false, |p| p.leaf.serial = vec![0]),
    ("serial::negative", false, |p| p.leaf.serial = vec![0x80]),
    ("serial::not-minimal", false, |p| p.leaf.serial = vec![0, 1]),
    ("serial::zero-in-ca", false, |p| p.issuing.serial = vec![0]),
    ("serial::zero-in-root", false, |p| p.root.serial = vec![0]),
    ("algorithm::inner-differs", false, |p| p.leaf.inner = sequence(&[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]])),
    ("algorithm::inner-with-null", false, |p| p.leaf.inner = sequence(&[ED25519, &[5, 0]])),
    ("algorithm::both-with-null", false, |p| {
        p.leaf.inner = sequence(&[ED25519, &[5, 0]]);
        p.leaf.outer = p.leaf.inner.clone();
    }),
    ("algorithm::differs-in-root", false, |p| {
        p.root.outer = sequence(&[&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]]);
    }),
    ("key::short", false, |p| p.leaf.spki = sequence(&[&sequence(&[ED25519]), &tlv(3, &[0; 32])])),
    ("key::x25519", false, |p| {
        p.leaf.spki = sequence(&[&sequence(&[&[6, 3, 0x2b, 0x65, 0x6e]]), &tlv(3, &[&[0][..], &[9; 32]].concat())]);
    }),
    ("key::p192", false, |p| {
        let curve = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1];
        let algorithm = sequence(&[&[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1], &curve]);
        p.leaf.spki = sequence(&[&algorithm, &tlv(3, &[&[0, 4][..], &[1; 48]].concat())]);
    }),
    ("name::empty-issuer", false, |p| p.leaf.issuer = sequence(&[])),
    ("name::empty-ca-subject", false, |p| {
        p.issuing.subject = sequence(&[]);
        p.leaf.issuer = sequence(&[]);
    }),
    ("name::empty-root-subject", false, |p| {
        p.root.subject = sequence(&[]);
        p.root.issuer = sequence(&[]);
        p.issuing.issuer = sequence(&[]);
    }),
    ("name::empty-subject-critical-san", true, |p| {
        p.leaf.subject = sequence(&[]);
        p.leaf.mark(id::SAN, true);
    }),
    ("name::empty-subject-san-not-critical", false, |p| p.leaf.subject = sequence(&[])),
    ("name::empty-subject-no-san", false, |p| {
        p.leaf.subject = sequence(&[]);
        p.leaf.remove(id::SAN);
    }),
    ("name::unique-identifier", false, |p| p.leaf.unique = true),
    ("date::generalized-before-2050", false, |p| p.leaf.dates[1] = tlv(0x18, b"20340101000000Z")),
    ("date::generalized-after-2050", true, |p| p.leaf.dates[1] = tlv(0x18, b"20510101000000Z")),
    ("date::no-seconds", false, |p| p.leaf.dates[1] = tlv(0x17, b"3401010000Z")),
    ("date::fraction", false, |p| p.leaf.dates[1] = tlv(0x18, b"20510101000000.5Z")),
    ("date::offset", false, |p| p.leaf.dates[1] = tlv(0x17, b"340101000000+0000")),
    ("date::no-seconds-in-root", false, |p| p.root.dates[1] = tlv(0x17, b"3401010000Z")),
    ("date::fraction-in-root", false, |p| p.root.dates[1] = tlv(0x18, b"20510101000000.5Z")),
    ("date::generalized-before-2050-in-root", false, |p| p.root.dates[1] = tlv(0x18, b"20340101000000Z")),
    ("aki::leaf-without", false, |p| p.leaf.remove(id::AKI)),
    ("aki::ca-without", false, |p| p.issuing.remove(id::AKI)),
    ("aki::root-with-its-own", true, |p| {
        p.root.set(id::AKI, false, sequence(&[&tlv(0x80, &key_identifier(1))]));
    }),
    ("aki::root-with-anothers", false, |p| {
        p.root.set(id::AKI, false, sequence(&[&tlv(0x80, &key_identifier(9))]));
    }),
    ("aki::cross-signed-anchor-without", false, |p| {
        p.root = {
            let mut anchor = Draft::authority("root", 1, "above", 9, None);
            anchor.remove(id::AKI);
            anchor
        }
    }),
    ("aki::critical", false, |p| p.leaf.mark(id::AKI, true)),
    ("aki::critical-in-root", false, |p| {
        p.root.set(id::AKI, true, sequence(&[&tlv(0x80, &key_identifier(1))]));
    }),
    ("aki::without-key-identifier", false, |p| p.leaf.set(id::AKI, false, sequence(&[]))),
    ("aki::serial-without-issuer", false, |p| {
        p.leaf.set(id::AKI, false, sequence(&[&tlv(0x80, &key_identifier(2)), &tlv(0x82, &[1])]));
    }),
    ("aki::another-key", false, |p| {
        p.leaf.set(id::AKI, false, sequence(&[&tlv(0x80, &key_identifier(9))]));
    }),
    ("ski::critical", false, |p| p.leaf.mark(id::SKI, true)),
    ("ski::critical-in-root", false, |p| p.root.mark(id::SKI, true)),
    ("ski::ca-without", false, |p| p.issuing.remove(id::SKI)),
    ("ski::root-without", false, |p| p.root.remove(id::SKI)),
    ("ski::leaf-without", true, |p| p.leaf.remove(id::SKI)),
    ("basic::ca-without", false, |p| p.issuing.remove(id::BASIC)),
    ("basic::ca-false", false, |p| p.issuing.set(id::BASIC, true, sequence(&[]))),
    ("basic::ca-not-critical", false, |p| p.issuing.mark(id::BASIC, false)),
    ("basic::root-without", false, |p| p.root.remove(id::BASIC)),
    ("basic::root-not-critical", false, |p| p.root.mark(id::BASIC, false)),
    ("basic::leaf-ca-false", true, |p| p.leaf.set(id::BASIC, true, sequence(&[]))),
    ("basic::leaf-path-length-without-ca", false, |p| p.leaf.set(id::BASIC, true, sequence(&[&[2, 1, 0]]))),
    ("basic::negative-path-length", false, |p| {
        p.issuing.set(id::BASIC, true, sequence(&[&[1, 1, 0xff], &[2, 1, 0xff]]));
    }),
    ("basic::boolean-not-der", false, |p| p.issuing.set(id::BASIC, true, sequence(&[&[1, 1, 1]]))),
    ("usage::ca-without-keycertsign", false, |p| p.issuing.set(id::KEY_USAGE, true, vec![3, 2, 1, 2])),
    ("usage::root-without-keycertsign", false, |p| p.root.set(id::KEY_USAGE, true, vec![3, 2, 1, 2])),
    ("usage::leaf-with-keycertsign", false, |p| p.leaf.set(id::KEY_USAGE, true, vec![3, 2, 2, 0x84])),
    ("usage::leaf-without", true, |p| p.leaf.remove(id::KEY_USAGE)),
    ("usage::no-bit", false, |p| p.leaf.set(id::KEY_USAGE, true, vec![3, 1, 0])),
    ("purpose::none", true, |p| p.leaf.remove(id::EKU)),
    ("purpose::client-only", false, |p| {
        p.leaf.purposes(&[2]);
    }),
    ("purpose::any-only", false, |p| p.leaf.set(id::EKU, false, sequence(&[&[6, 4, 0x55, 0x1d, 0x25, 0]]))),
    ("purpose::empty", false, |p| p.leaf.set(id::EKU, false, sequence(&[]))),
    ("purpose::ca-for-clients-only", false, |p| {
        p.issuing.purposes(&[2]);
    }),
    ("extension::repeated", false, |p| {
        p.leaf.add(&[0x55, 0x1d, id::SAN], false, sequence(&[&dns("example.com")]));
    }),
    ("extension::repeated-unknown", false, |p| {
        p.leaf.add(UNKNOWN, false, vec![5, 0]);
        p.leaf.add(UNKNOWN, false, vec![5, 0]);
    }),
    ("extension::unknown", true, |p| p.leaf.add(UNKNOWN, false, vec![5, 0])),
    ("extension::unknown-critical", false, |p| p.leaf.add(UNKNOWN, true, vec![5, 0])),
    ("extension::unknown-critical-in-ca", false, |p| p.issuing.add(UNKNOWN, true, vec![5, 0])),
    ("extension::unknown-critical-in-root", false, |p| p.root.add(UNKNOWN, true, vec![5, 0])),
    ("extension::access", true, |p| {
        let method = [6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 2];
        p.leaf.add(AIA, false, sequence(&[&sequence(&[&method, &tlv(0x86, b"http://example.com/")])]));
    }),
    ("extension::access-critical", false, |p| {
        let method = [6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 2];
        p.leaf.add(AIA, true, sequence(&[&sequence(&[&method, &tlv(0x86, b"http://example.com/")])]));
    }),
    ("extension::access-malformed", false, |p| p.leaf.add(AIA, false, b"malformed".to_vec())),
    ("key::empty-in-a-ca", false, |p| p.issuing.spki = sequence(&[&sequence(&[ED25519]), &tlv(3, &[0])])),
    ("key::explicit-curve-in-a-ca", false, |p| {
        let curve = sequence(&[&[2, 1, 1], &sequence(&[&[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 1, 1], &[2, 1, 23]])]);
        let algorithm = sequence(&[&[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1], &curve]);
        p.issuing.spki = sequence(&[&algorithm, &tlv(3, &[&[0, 4][..], &[1; 64]].concat())]);
    }),
    ("key::dsa", false, |p| {
        let algorithm = sequence(&[&[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1]]);
        p.leaf.spki = sequence(&[&algorithm, &tlv(3, &[0, 2, 1, 9])]);
    }),
    ("algorithm::ml-dsa", false, |p| {
        p.leaf.inner = sequence(&[&[6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 17]]);
        p.leaf.outer = p.leaf.inner.clone();
    }),
    ("aki::root-without-key-identifier", false, |p| p.root.set(id::AKI, false, sequence(&[]))),
    ("aki::root-with-issuer-alone", false, |p| {
        let issuer = tlv(0xa1, &directory("root"));
        p.root.set(id::AKI, false, sequence(&[&tlv(0x80, &key_identifier(1)), &issuer]));
    }),
    ("aki::root-with-serial-alone", false, |p| {
        p.root.set(id::AKI, false, sequence(&[&tlv(0x80, &key_identifier(1)), &tlv(0x82, &[1])]));
    }),
    ("aki::root-with-all-fields", true, |p| {
        let issuer = tlv(0xa1, &directory("root"));
        p.root.set(id::AKI, false, sequence(&[&tlv(0x80, &key_identifier(1)), &issuer, &tlv(0x82, &[1, 1])]));
    }),
    ("basic::ca-missing-from-the-heap", false, |p| p.issuing = Draft::authority("other", 8, "root", 1, None)),
    ("basic::leaf-without", true, |p| p.leaf.remove(id::BASIC)),
    ("usage::no-bit-in-root", false, |p| p.root.set(id::KEY_USAGE, false, vec![3, 1, 0])),
    ("usage::not-critical", true, |p| {
        p.root.mark(id::KEY_USAGE, false);
        p.issuing.mark(id::KEY_USAGE, false);
        p.leaf.mark(id::KEY_USAGE, false);
    }),
    ("purpose::critical", true, |p| p.leaf.mark(id::EKU, true)),
    ("purpose::unknown-only", false, |p| p.leaf.set(id::EKU, false, sequence(&[&tlv(6, UNKNOWN)]))),
    ("purpose::of-root", true, |p| p.root.purposes(&[1])),
    ("policy::not-critical", true, |p| {
        p.leaf.set(id::POLICIES, false, sequence(&[&sequence(&[&[6, 4, 0x55, 0x1d, 0x20, 0]])]));
    }),
    ("policy::constraints-not-critical", false, |p| {
        p.issuing.set(id::POLICY_CONSTRAINTS, false, sequence(&[&tlv(0x80, &[3])]));
    }),
    ("policy::inhibit-any-not-critical", false, |p| p.issuing.set(id::INHIBIT_ANY, false, vec![2, 1, 3])),
];
