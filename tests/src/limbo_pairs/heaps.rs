//! Heaps of CAs in which a path must be found, or none.

use super::{
    Row,
    draft::{Draft, UNKNOWN, dns, excluded, permitted, tlv},
};

pub(super) const ROWS: &[Row] = &[
    ("heap::cycle-of-two", false, |p| {
        p.issuing = Draft::authority("issuing", 2, "other", 4, None);
        p.more.push(Draft::authority("other", 4, "issuing", 2, None));
    }),
    ("heap::cycle-of-two-at-any-depth", false, |p| {
        p.issuing = Draft::authority("issuing", 2, "other", 4, None);
        p.more.push(Draft::authority("other", 4, "issuing", 2, None));
        p.depth = Some(255);
    }),
    ("heap::cycle-of-one-name", false, |p| {
        p.issuing = Draft::authority("issuing", 2, "issuing", 4, None);
        p.more.push(Draft::authority("issuing", 4, "issuing", 2, None));
    }),
    // CVE-2024-0567: the root and two others certify each other.
    ("heap::roots-that-certify-each-other", true, |p| {
        let roots = [("root", 1), ("second", 4), ("third", 5)];
        for (subject, key) in roots {
            for (issuer, signer) in roots.into_iter().filter(|(issuer, _)| *issuer != subject) {
                p.more.push(Draft::authority(subject, key, issuer, signer, None));
            }
        }
    }),
    ("heap::expired-certificate-of-the-root", true, |p| {
        let mut crossed = Draft::authority("root", 1, "second", 5, None);
        crossed.dates = [tlv(0x17, b"240101000000Z"), tlv(0x17, b"250101000000Z")];
        p.more.push(crossed);
        p.anchors.push(Draft::authority("second", 5, "second", 5, None));
    }),
    ("heap::forty-cas-of-the-name-and-none-of-the-key", false, |p| {
        p.issuing = Draft::authority("issuing", 60, "root", 1, Some(0));
        p.more = (20..60).map(|key| Draft::authority("issuing", key, "root", 1, Some(0))).collect();
    }),
    ("heap::thirty-cas-of-the-name-and-the-last-of-the-key", true, |p| {
        p.more = (20..50).map(|key| Draft::authority("issuing", key, "root", 1, Some(0))).collect();
        let last = p.more.len() - 1;
        std::mem::swap(&mut p.issuing, &mut p.more[last]);
    }),
    ("heap::stranger-with-unknown-critical-extension", true, |p| {
        let mut stranger = Draft::authority("stranger", 8, "root", 1, None);
        stranger.add(UNKNOWN, true, vec![5, 0]);
        p.more.push(stranger);
    }),
    ("heap::anchor-with-unknown-critical-extension-for-nobody", true, |p| {
        let mut stranger = Draft::authority("stranger", 8, "stranger", 8, None);
        stranger.add(UNKNOWN, true, vec![5, 0]);
        p.anchors.insert(0, stranger);
    }),
    ("heap::garbage-among-the-anchors", true, |p| {
        let mut garbage = Draft::authority("garbage", 8, "garbage", 8, None);
        garbage.serial = vec![0];
        garbage.version = None;
        p.anchors.push(garbage);
    }),
    // Of two CAs with one name and key the first leads to nobody's root.
    ("heap::constrained-twin", true, |p| {
        let mut twin = Draft::authority("issuing", 2, "gone", 9, Some(0));
        twin.names(&[dns("forbidden.example.com")]);
        p.with_middle().constrain(&[permitted(&[dns("example.com")]), excluded(&[dns("forbidden.example.com")])]);
        p.more.insert(0, twin);
    }),
    // One twin has a name that its CA may not vouch for, the other leads to a second root.
    ("heap::constrained-twin-under-another-root", true, |p| {
        p.with_middle().constrain(&[excluded(&[dns("forbidden.example.com")])]);
        p.issuing.names(&[dns("forbidden.example.com")]);
        p.more.push(Draft::authority("issuing", 2, "second", 5, Some(0)));
        p.anchors.push(Draft::authority("second", 5, "second", 5, None));
    }),
];
