//! Alternative names and name constraints.

use super::{
    Row,
    draft::{Draft, LOOPBACK, address, directory, dns, excluded, id, mail, name, other_name, permitted, sequence, tlv},
    path::Path,
};

const LETTERS: &[u8; 26] = b"abcdefghijklmnopqrstuvwxyz";

type Subtrees = dyn Fn(&[Vec<u8>]) -> Vec<u8>;

/// A leaf of 192.0.2.1 under a CA with a constraint on addresses.
fn in_net(path: &mut Path, subtrees: &Subtrees, base: &[u8]) {
    path.issuing.constrain(&[subtrees(&[address(base)])]);
    path.leaf.names(&[address(&[192, 0, 2, 1])]);
    path.asked = vec![("IP", "192.0.2.1")];
}

/// A leaf of ::1 under a root with a constraint on it and a mask.
fn loopback(path: &mut Path, subtrees: &Subtrees, mask: &[u8]) {
    path.root.constrain(&[subtrees(&[address(&[LOOPBACK, mask].concat())])]);
    path.leaf.names(&[address(LOOPBACK)]);
    path.asked = vec![("IP", "::1")];
}

pub(super) const ROWS: &[Row] = &[
    ("san::malformed", false, |p| p.leaf.set(id::SAN, false, b"example.com".to_vec())),
    ("san::empty", false, |p| p.leaf.set(id::SAN, false, sequence(&[]))),
    ("san::leading-period", false, |p| {
        p.leaf.names(&[dns(".example.com"), dns("example.com")]);
    }),
    ("san::nul", false, |p| p.leaf.names(&[dns("example.com\0.evil"), dns("example.com")])),
    ("san::blank", false, |p| p.leaf.names(&[dns(" "), dns("example.com")])),
    ("san::wildcard", true, |p| {
        p.leaf.names(&[dns("*.example.com")]);
        p.asked = vec![("DNS", "a.example.com")];
    }),
    ("san::wildcard-across-labels", false, |p| {
        p.leaf.names(&[dns("*.example.com")]);
        p.asked = vec![("DNS", "a.b.example.com")];
    }),
    ("san::wildcard-inside", false, |p| {
        p.leaf.names(&[dns("a.*.com")]);
        p.asked = vec![("DNS", "a.example.com")];
    }),
    ("san::address-of-five-octets", false, |p| {
        p.leaf.names(&[address(&[1; 5]), dns("example.com")]);
    }),
    ("san::mail-with-two-ats", false, |p| {
        p.leaf.names(&[mail("a@b@example.com"), dns("example.com")]);
    }),
    ("san::relative-uri", false, |p| {
        p.leaf.names(&[tlv(0x86, b"/example"), dns("example.com")]);
    }),
    ("san::only-in-common-name", false, |p| {
        p.leaf.subject = name("example.com");
        p.leaf.remove(id::SAN);
    }),
    ("san::several", true, |p| p.leaf.names(&[dns("example.com"), dns("xn--bcher-kva.example"), address(&[1; 4])])),
    ("san::capitals", true, |p| p.leaf.names(&[dns("Example.COM")])),
    ("san::critical-beside-a-subject", true, |p| p.leaf.mark(id::SAN, true)),
    ("san::underscore", false, |p| p.leaf.names(&[dns("a_b.example.com"), dns("example.com")])),
    ("san::underscore-asked-for", false, |p| {
        p.leaf.names(&[dns("a_b.example.com")]);
        p.asked = vec![("DNS", "a_b.example.com")];
    }),
    ("san::underscore-in-ca", false, |p| p.issuing.names(&[dns("a_b.example.com")])),
    ("san::address-as-host-name", false, |p| p.leaf.names(&[dns("192.0.2.1"), dns("example.com")])),
    ("san::address-as-host-name-asked-for", false, |p| {
        p.leaf.names(&[dns("192.0.2.1")]);
        p.asked = vec![("IP", "192.0.2.1")];
    }),
    ("san::hyphen-first", false, |p| p.leaf.names(&[dns("-a.example.com"), dns("example.com")])),
    ("san::hyphen-last", false, |p| p.leaf.names(&[dns("a-.example.com"), dns("example.com")])),
    ("san::not-ascii", false, |p| p.leaf.names(&[dns("b\u{fc}cher.example.com"), dns("example.com")])),
    ("san::bare-wildcard", false, |p| p.leaf.names(&[dns("*"), dns("example.com")])),
    ("san::wildcard-in-a-label", false, |p| {
        p.leaf.names(&[dns("ba*.example.com")]);
        p.asked = vec![("DNS", "baz.example.com")];
    }),
    ("san::wildcard-in-an-encoded-label", false, |p| {
        p.leaf.names(&[dns("xn--*-kva.example.com")]);
        p.asked = vec![("DNS", "xn--bcher-kva.example.com")];
    }),
    ("san::name-above", false, |p| p.leaf.names(&[dns("www.example.com")])),
    ("constraints::permitted", true, |p| p.issuing.constrain(&[permitted(&[dns("com")])])),
    ("constraints::not-permitted", false, |p| {
        p.issuing.constrain(&[permitted(&[dns("example.net")])]);
    }),
    ("constraints::not-permitted-by-root", false, |p| {
        p.root.constrain(&[permitted(&[dns("example.net")])]);
    }),
    ("constraints::excluded", false, |p| {
        p.issuing.constrain(&[excluded(&[dns("example.com")])]);
    }),
    ("constraints::excluded-other", true, |p| {
        p.issuing.constrain(&[excluded(&[dns("example.net")])]);
    }),
    // CVE-2025-61727: a wildcard stands for names that the constraint forbids.
    ("constraints::excluded-under-a-wildcard", false, |p| {
        p.issuing.constrain(&[excluded(&[dns("bar.example.com")])]);
        p.leaf.names(&[dns("*.example.com")]);
        p.asked = vec![("DNS", "bar.example.com")];
    }),
    ("constraints::excluded-under-a-wildcard-and-another-name-asked-for", false, |p| {
        p.issuing.constrain(&[excluded(&[dns("bar.example.com")])]);
        p.leaf.names(&[dns("*.example.com")]);
        p.asked = vec![("DNS", "foo.example.com")];
    }),
    ("constraints::permitted-under-a-wildcard", false, |p| {
        p.issuing.constrain(&[permitted(&[dns("foo.example.com")])]);
        p.leaf.names(&[dns("*.example.com")]);
        p.asked = vec![("DNS", "foo.example.com")];
    }),
    ("constraints::not-critical", false, |p| {
        p.issuing.set(id::NAME_CONSTRAINTS, false, sequence(&[&permitted(&[dns("example.com")])]));
    }),
    ("constraints::not-critical-in-root", false, |p| {
        p.root.set(id::NAME_CONSTRAINTS, false, sequence(&[&permitted(&[dns("example.com")])]));
    }),
    ("constraints::in-leaf", false, |p| {
        p.leaf.constrain(&[permitted(&[dns("example.com")])]);
    }),
    ("constraints::in-leaf-not-critical", false, |p| {
        p.leaf.set(id::NAME_CONSTRAINTS, false, sequence(&[&permitted(&[dns("example.com")])]));
    }),
    ("constraints::empty", false, |p| p.issuing.set(id::NAME_CONSTRAINTS, true, sequence(&[]))),
    ("constraints::leading-period", false, |p| {
        p.issuing.constrain(&[permitted(&[dns(".com")])]);
    }),
    ("constraints::wildcard", false, |p| {
        p.issuing.constrain(&[permitted(&[dns("*.com")])]);
    }),
    ("constraints::address-without-mask", false, |p| {
        p.issuing.constrain(&[excluded(&[address(&[1; 4])])]);
    }),
    ("constraints::mail-with-two-ats", false, |p| {
        p.root.constrain(&[excluded(&[mail("a@b@example.com")])]);
    }),
    ("constraints::minimum", false, |p| {
        let subtree = sequence(&[&dns("com"), &tlv(0x80, &[1])]);
        p.issuing.set(id::NAME_CONSTRAINTS, true, sequence(&[&tlv(0xa0, &subtree)]));
    }),
    ("constraints::permitted-deeper", true, |p| {
        p.root.constrain(&[permitted(&[dns("example.com")])]);
        p.leaf.names(&[dns("a.b.example.com")]);
        p.asked = vec![("DNS", "a.b.example.com")];
    }),
    ("constraints::permitted-end-of-a-label", false, |p| {
        p.root.constrain(&[permitted(&[dns("example.com")])]);
        p.leaf.names(&[dns("not-example.com")]);
        p.asked = vec![("DNS", "not-example.com")];
    }),
    ("constraints::wildcard-within", true, |p| {
        p.issuing.constrain(&[permitted(&[dns("example.com")])]);
        p.leaf.names(&[dns("*.example.com")]);
        p.asked = vec![("DNS", "a.example.com")];
    }),
    ("constraints::excluded-second-name", false, |p| {
        p.root.constrain(&[excluded(&[dns("other.example.com")])]);
        p.leaf.names(&[dns("example.com"), dns("other.example.com")]);
    }),
    ("constraints::permitted-and-excluded", false, |p| {
        p.root.constrain(&[permitted(&[dns("example.com")]), excluded(&[dns("example.com")])]);
    }),
    ("constraints::address-permitted", true, |p| in_net(p, &permitted, &[192, 0, 2, 0, 255, 255, 255, 0])),
    ("constraints::address-not-permitted", false, |p| in_net(p, &permitted, &[192, 0, 3, 0, 255, 255, 255, 0])),
    ("constraints::address-excluded", false, |p| in_net(p, &excluded, &[192, 0, 2, 0, 255, 255, 255, 0])),
    ("constraints::address-without-mask-permitted", false, |p| in_net(p, &permitted, &[192, 0, 2, 1])),
    ("constraints::address-with-holes-in-its-mask", false, |p| {
        in_net(p, &permitted, &[192, 0, 0, 1, 255, 255, 0, 255]);
    }),
    ("constraints::holes-in-a-mask-and-no-address", false, |p| {
        p.issuing.constrain(&[excluded(&[address(&[192, 0, 0, 1, 255, 255, 0, 255])])]);
    }),
    ("constraints::long-address-permitted", true, |p| loopback(p, &permitted, &[0xff; 16])),
    ("constraints::long-address-excluded", false, |p| loopback(p, &excluded, &[0xff; 16])),
    ("constraints::long-address-without-mask", false, |p| loopback(p, &permitted, &[])),
    ("constraints::other-kind-permitted", true, |p| {
        p.root.constrain(&[permitted(&[address(&[192, 0, 2, 0, 255, 255, 255, 0])])]);
    }),
    ("constraints::other-kind-excluded", true, |p| {
        p.root.constrain(&[excluded(&[address(&[192, 0, 2, 0, 255, 255, 255, 0])])]);
    }),
    ("constraints::self-issued-leaf", false, |p| {
        p.root.constrain(&[permitted(&[dns("example.com")])]);
        p.leaf.subject = name("issuing");
        p.leaf.names(&[dns("not-example.com")]);
        p.asked = vec![("DNS", "not-example.com")];
    }),
    // RFC 5280 §4.2.1.10 would not hold the CA that certified itself anew to it.
    ("constraints::self-issued-ca", true, |p| {
        p.root.constrain(&[permitted(&[dns("example.com")])]);
        p.issuing = Draft::authority("root", 2, "root", 1, Some(0));
        p.issuing.names(&[dns("not-example.com")]);
        p.leaf.issuer = name("root");
    }),
    ("constraints::ca-name-excluded-by-ca", false, |p| {
        p.with_middle().constrain(&[permitted(&[dns("example.com")]), excluded(&[dns("forbidden.example.com")])]);
        p.issuing.names(&[dns("forbidden.example.com")]);
    }),
    ("constraints::ca-name-excluded-by-root", false, |p| {
        p.with_middle();
        p.root.constrain(&[permitted(&[dns("example.com")]), excluded(&[dns("forbidden.example.com")])]);
        p.issuing.names(&[dns("forbidden.example.com")]);
    }),
    ("constraints::narrowed", false, |p| {
        p.with_middle().constrain(&[permitted(&[dns("example.com"), dns("example.net")])]);
        p.issuing.constrain(&[permitted(&[dns("example.net")])]);
    }),
    ("constraints::widened", false, |p| {
        p.with_middle().constrain(&[permitted(&[dns("example.net")])]);
        p.issuing.constrain(&[permitted(&[dns("example.com"), dns("example.net")])]);
    }),
    ("constraints::malformed-name-within", false, |p| {
        p.issuing.constrain(&[permitted(&[dns("example.com")])]);
        p.leaf.names(&[dns(".example.com"), dns("example.com")]);
    }),
    ("constraints::net-as-address-within", false, |p| {
        in_net(p, &permitted, &[192, 0, 2, 0, 255, 255, 255, 0]);
        p.leaf.names(&[address(&[192, 0, 2, 0, 255, 255, 255, 0]), address(&[192, 0, 2, 1])]);
    }),
    ("constraints::malformed-mailbox-within", false, |p| {
        p.issuing.constrain(&[permitted(&[mail("example.com")])]);
        p.for_mail(&[mail("a@example.com"), mail("a@b@example.com")], "a@example.com");
    }),
    ("constraints::malformed-mailbox-in-root", false, |p| {
        p.root.constrain(&[permitted(&[mail("a@b@example.com")])]);
        p.for_mail(&[mail("a@example.com")], "a@example.com");
    }),
    ("constraints::other-name-excluded", false, |p| {
        p.issuing.constrain(&[permitted(&[dns("example.com")]), excluded(&[other_name()])]);
        p.leaf.names(&[dns("example.com"), other_name()]);
    }),
    ("constraints::other-name-excluded-and-absent", true, |p| {
        p.issuing.constrain(&[permitted(&[dns("example.com")]), excluded(&[other_name()])]);
    }),
    ("constraints::nothing-permitted-something-excluded", false, |p| {
        p.issuing.constrain(&[permitted(&[]), excluded(&[dns("example.net")])]);
    }),
    ("constraints::something-permitted-nothing-excluded", false, |p| {
        p.issuing.constrain(&[permitted(&[dns("example.com")]), excluded(&[])]);
    }),
    ("constraints::nothing-excluded-in-root", false, |p| {
        p.root.constrain(&[permitted(&[dns("example.com")]), excluded(&[])]);
    }),
    ("constraints::two-empty-lists", false, |p| p.issuing.constrain(&[permitted(&[]), excluded(&[])])),
    ("constraints::lists-in-the-wrong-order", false, |p| {
        p.issuing.constrain(&[excluded(&[dns("example.net")]), permitted(&[dns("example.com")])]);
    }),
    ("constraints::second-subtree-unreadable", false, |p| {
        p.issuing.constrain(&[permitted(&[dns("example.com")]), tlv(0xa1, &[0x30, 2, 0x82, 9])]);
    }),
    // Within the library's own limit of comparisons, and within ours for certificates.
    ("constraints::too-many-comparisons", false, |p| {
        let label = |number: usize| dns(&format!("{}{}", LETTERS[number / 26] as char, LETTERS[number % 26] as char));
        p.issuing.constrain(&[excluded(&(0..600).map(label).collect::<Vec<_>>())]);
        let mut names = vec![dns("example.com")];
        names.extend((0..600).map(|number| dns(&format!("{}0{}", LETTERS[number / 26] as char, number % 26))));
        p.leaf.names(&names);
    }),
    // Directory names and mail addresses are not compared: their CAs are refused by rule, also where RFC 5280
    // would let them pass.
    ("constraints::directory-permitted", true, |p| {
        p.root.constrain(&[permitted(&[directory("leaf")])]);
        p.leaf.names(&[directory("leaf"), dns("example.com")]);
    }),
    ("constraints::directory-not-permitted", false, |p| p.root.constrain(&[permitted(&[directory("other")])])),
    ("constraints::directory-excluded", false, |p| p.root.constrain(&[excluded(&[directory("leaf")])])),
    ("constraints::directory-of-subject-not-permitted", false, |p| {
        p.root.constrain(&[permitted(&[directory("other")])]);
        p.leaf.names(&[directory("other"), dns("example.com")]);
    }),
    ("constraints::directory-of-subject-excluded", false, |p| {
        p.root.constrain(&[excluded(&[directory("leaf")])]);
        p.leaf.names(&[directory("other"), dns("example.com")]);
    }),
    ("constraints::mailbox-permitted", true, |p| {
        p.issuing.constrain(&[permitted(&[mail("a@example.com")])]);
        p.for_mail(&[mail("a@example.com")], "a@example.com");
    }),
    ("constraints::mail-host-permitted", true, |p| {
        p.issuing.constrain(&[permitted(&[mail("example.com")])]);
        p.for_mail(&[mail("a@example.com")], "a@example.com");
    }),
];
