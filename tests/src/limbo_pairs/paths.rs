//! Signatures, dates, path lengths, and what the caller wishes.

use super::{
    Row,
    draft::{Draft, LOOPBACK, address, dns, id, mail, name, tlv},
};

pub(super) const ROWS: &[Row] = &[
    ("path::plain", true, |_| {}),
    ("path::bad-leaf-signature", false, |p| p.leaf.spoil = true),
    ("path::bad-ca-signature", false, |p| p.issuing.spoil = true),
    ("path::unknown-root", false, |p| p.root = Draft::authority("other", 9, "other", 9, None)),
    ("path::same-name-other-key", false, |p| p.root = Draft::authority("root", 9, "root", 9, None)),
    ("path::expired-leaf", false, |p| p.leaf.dates[1] = tlv(0x17, b"251231235959Z")),
    ("path::ends-this-second", true, |p| p.leaf.dates[1] = tlv(0x17, b"260101000000Z")),
    ("path::begins-this-second", true, |p| p.leaf.dates[0] = tlv(0x17, b"260101000000Z")),
    ("path::not-yet-valid-leaf", false, |p| p.leaf.dates[0] = tlv(0x17, b"260101000001Z")),
    ("path::expired-ca", false, |p| p.issuing.dates[1] = tlv(0x17, b"251231235959Z")),
    ("path::expired-root", false, |p| p.root.dates[1] = tlv(0x17, b"251231235959Z")),
    ("path::wrong-name", false, |p| p.asked = vec![("DNS", "other.example.com")]),
    ("path::depth-1", true, |p| p.depth = Some(1)),
    ("path::depth-0", false, |p| p.depth = Some(0)),
    ("path::heap-with-strangers", true, |p| {
        p.more.push(Draft::authority("stranger", 8, "root", 1, None));
        p.more.push(Draft::authority("issuing", 7, "stranger", 8, None));
    }),
    ("path::good-twin-of-an-expired-ca", true, |p| {
        p.more.push(Draft::authority("issuing", 2, "root", 1, Some(0)));
        p.issuing.dates[1] = tlv(0x17, b"251231235959Z");
    }),
    ("path::good-twin-of-a-ca-without-key-identifier", true, |p| {
        p.more.push(Draft::authority("issuing", 2, "root", 1, Some(0)));
        p.issuing.remove(id::SKI);
    }),
    ("path-length::root-0", false, |p| p.root = Draft::authority("root", 1, "root", 1, Some(0))),
    ("path-length::root-1", true, |p| p.root = Draft::authority("root", 1, "root", 1, Some(1))),
    ("path-length::ca-0-above-ca", false, |p| {
        p.more.push(Draft::authority("issuing", 2, "middle", 4, Some(0)));
        p.issuing = Draft::authority("middle", 4, "root", 1, Some(0));
    }),
    ("path-length::ca-1-above-ca", true, |p| {
        p.more.push(Draft::authority("issuing", 2, "middle", 4, Some(5)));
        p.issuing = Draft::authority("middle", 4, "root", 1, Some(1));
    }),
    ("path::depth-1-of-two", false, |p| {
        p.with_middle();
        p.depth = Some(1);
    }),
    ("path::depth-2-of-two", true, |p| {
        p.with_middle();
        p.depth = Some(2);
    }),
    ("path::depth-0-of-none", true, |p| {
        p.leaf = Draft::leaf_of("root", 1);
        p.depth = Some(0);
    }),
    ("path::issuing-ca-as-anchor", true, |p| std::mem::swap(&mut p.root, &mut p.issuing)),
    ("path::root-only-in-the-heap", false, |p| {
        let other = Draft::authority("other", 9, "other", 9, None);
        p.more.push(std::mem::replace(&mut p.root, other));
    }),
    // RFC 5280 §4.1.2.5 counts whole seconds, the last one included.
    ("path::not-yet-valid-by-a-millisecond", false, |p| {
        p.leaf.dates[0] = tlv(0x17, b"260101000001Z");
        p.at = "2026-01-01T00:00:00.999+00:00";
    }),
    ("path::within-its-last-second", true, |p| {
        p.leaf.dates[1] = tlv(0x17, b"260101000000Z");
        p.at = "2026-01-01T00:00:00.005+00:00";
    }),
    ("path::all-begin-this-second", true, |p| {
        for draft in [&mut p.root, &mut p.issuing, &mut p.leaf] {
            draft.dates[0] = tlv(0x17, b"260101000000Z");
        }
    }),
    ("path-length::second-of-three", false, |p| {
        p.more.push(Draft::authority("first", 4, "root", 1, Some(1)));
        p.more.push(Draft::authority("second", 5, "first", 4, Some(0)));
        p.issuing = Draft::authority("issuing", 2, "second", 5, Some(0));
    }),
    ("path-length::ca-2", true, |p| p.issuing = Draft::authority("issuing", 2, "root", 1, Some(2))),
    // RFC 5280 §4.2.1.9 would not count the CA that certified itself anew.
    ("path-length::self-issued", true, |p| {
        p.more.push(Draft::authority("middle", 4, "root", 1, Some(1)));
        p.more.push(Draft::authority("middle", 5, "middle", 4, Some(1)));
        p.issuing = Draft::authority("issuing", 2, "middle", 5, Some(0));
    }),
    ("wish::key-usage", true, |p| p.key_usage = &["digitalSignature"]),
    ("wish::other-key-usage", false, |p| p.key_usage = &["digitalSignature", "keyAgreement"]),
    ("wish::purpose", true, |p| p.purposes = &["serverAuth"]),
    ("wish::other-purpose", false, |p| p.purposes = &["codeSigning"]),
    ("wish::two-purposes", true, |p| {
        p.leaf.purposes(&[1, 2]);
        p.purposes = &["serverAuth", "clientAuth"];
    }),
    ("wish::one-purpose-of-two", false, |p| p.purposes = &["serverAuth", "clientAuth"]),
    ("wish::client", true, |p| {
        p.client = true;
        p.leaf.purposes(&[2]);
    }),
    ("wish::client-with-a-servers-certificate", false, |p| p.client = true),
    ("wish::one-name-of-two", true, |p| {
        p.leaf.names(&[dns("other.example.com"), dns("example.com")]);
    }),
    ("wish::two-names-and-one-is-missing", false, |p| {
        p.client = true;
        p.leaf.purposes(&[2]);
        p.asked = vec![("DNS", "example.com"), ("DNS", "other.example.com")];
    }),
    ("wish::address", true, |p| {
        p.leaf.names(&[address(&[192, 0, 2, 1])]);
        p.asked = vec![("IP", "192.0.2.1")];
    }),
    ("wish::other-address", false, |p| {
        p.leaf.names(&[address(&[192, 0, 2, 1])]);
        p.asked = vec![("IP", "192.0.2.2")];
    }),
    ("wish::long-address", true, |p| {
        p.leaf.names(&[address(LOOPBACK)]);
        p.asked = vec![("IP", "::1")];
    }),
    ("wish::mailbox", true, |p| p.for_mail(&[mail("b@example.com"), mail("a@example.com")], "a@EXAMPLE.com")),
    ("wish::other-mailbox", false, |p| p.for_mail(&[mail("a@example.com")], "A@example.com")),
    ("wish::mailbox-elsewhere", false, |p| p.for_mail(&[mail("a@example.com")], "a@example.org")),
    ("wish::mailbox-without-mail-names", false, |p| p.for_mail(&[dns("example.com")], "a@example.com")),
    ("wish::mailbox-only-in-common-name", false, |p| {
        p.for_mail(&[], "a@example.com");
        p.leaf.subject = name("a@example.com");
        p.leaf.remove(id::SAN);
    }),
    ("wish::mail-without-its-purpose", false, |p| {
        p.for_mail(&[mail("a@example.com")], "a@example.com");
        p.leaf.purposes(&[2]);
    }),
];
