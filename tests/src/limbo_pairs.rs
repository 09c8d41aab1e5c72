//! Certificate paths in x509-limbo's format, in good and bad pairs: every bad path is a good one but for the one
//! change that its id names. Written octet by octet, because no certificate library writes what must be refused.
//!
//! The keys come from fixed seeds and Ed25519 signs without chance, so that the same document comes out each time.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ledger_classes::keys::SigningKey;
use serde_json::{Value, json};

/// Octets with their tag and length (X.690 §8.1).
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut octets = vec![tag];
    match length {
        0..=0x7f => octets.push(length as u8),
        0x80..=0xff => octets.extend([0x81, length as u8]),
        _ => octets.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    octets.extend_from_slice(content);
    octets
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

/// An object identifier by its content octets.
const CE: [u8; 2] = [0x55, 0x1d];
const ED25519: &[u8] = &[6, 3, 0x2b, 0x65, 0x70];
const UNKNOWN: &[u8] = &[0x2b, 6, 1, 4, 1, 0x83, 0xb3, 0x3a, 0x82, 0x1a, 1];
const AIA: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];

/// The last octet of the identifiers of RFC 5280's extensions.
mod id {
    pub(super) const SKI: u8 = 14;
    pub(super) const KEY_USAGE: u8 = 15;
    pub(super) const SAN: u8 = 17;
    pub(super) const BASIC: u8 = 19;
    pub(super) const CRL_NUMBER: u8 = 20;
    pub(super) const NAME_CONSTRAINTS: u8 = 30;
    pub(super) const POLICIES: u8 = 32;
    pub(super) const AKI: u8 = 35;
    pub(super) const POLICY_CONSTRAINTS: u8 = 36;
    pub(super) const EKU: u8 = 37;
    pub(super) const INHIBIT_ANY: u8 = 54;
}

fn name(common: &str) -> Vec<u8> {
    let attribute = sequence(&[&[6, 3, 0x55, 4, 3], &tlv(0x0c, common.as_bytes())]);
    sequence(&[&tlv(0x31, &attribute)])
}

fn public(seed: u8) -> Vec<u8> {
    SigningKey::from_seed([seed; 32]).public().bytes().to_vec()
}

fn key_identifier(seed: u8) -> Vec<u8> {
    public(seed)[..20].to_vec()
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn dns(name: &str) -> Vec<u8> {
    tlv(0x82, name.as_bytes())
}

/// A nameConstraints value: `tag` is 0xa0 for permitted, 0xa1 for excluded names.
fn constraints(tag: u8, base: &[u8]) -> Vec<u8> {
    sequence(&[&tlv(tag, &sequence(&[base]))])
}

struct Extension {
    oid: Vec<u8>,
    critical: bool,
    value: Vec<u8>,
}

/// A certificate or CRL before it is signed.
struct Draft {
    version: Option<u8>,
    serial: Vec<u8>,
    inner: Vec<u8>,
    outer: Vec<u8>,
    issuer: Vec<u8>,
    dates: [Vec<u8>; 2],
    subject: Vec<u8>,
    spki: Vec<u8>,
    unique: bool,
    extensions: Vec<Extension>,
    signer: u8,
    spoil: bool,
}

impl Draft {
    fn new(common: &str, key: u8, issuer: &str, signer: u8) -> Self {
        let spki = sequence(&[&sequence(&[ED25519]), &tlv(3, &[&[0][..], &public(key)].concat())]);
        let mut draft = Self {
            version: Some(2),
            serial: vec![key, 1],
            inner: sequence(&[ED25519]),
            outer: sequence(&[ED25519]),
            issuer: name(issuer),
            dates: [tlv(0x17, b"240101000000Z"), tlv(0x17, b"340101000000Z")],
            subject: name(common),
            spki,
            unique: false,
            extensions: Vec::new(),
            signer,
            spoil: false,
        };
        draft.set(id::SKI, false, tlv(4, &key_identifier(key)));
        if key != signer {
            draft.set(id::AKI, false, sequence(&[&tlv(0x80, &key_identifier(signer))]));
        }
        draft
    }

    fn authority(common: &str, key: u8, issuer: &str, signer: u8, path_length: Option<u8>) -> Self {
        let mut draft = Self::new(common, key, issuer, signer);
        let length = path_length.map(|length| tlv(2, &[length])).unwrap_or_default();
        draft.set(id::BASIC, true, sequence(&[&[1, 1, 0xff], &length]));
        // keyCertSign and cRLSign.
        draft.set(id::KEY_USAGE, true, vec![3, 2, 1, 6]);
        draft
    }

    fn leaf() -> Self {
        let mut draft = Self::new("leaf", 3, "issuing", 2);
        draft.set(id::KEY_USAGE, true, vec![3, 2, 7, 0x80]);
        draft.set(id::EKU, false, sequence(&[&[6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1]]));
        draft.set(id::SAN, false, sequence(&[&dns("example.com")]));
        draft
    }

    /// Adds or replaces an extension of id-ce.
    fn set(&mut self, last: u8, critical: bool, value: Vec<u8>) {
        self.remove(last);
        self.extensions.push(Extension { oid: [&CE[..], &[last]].concat(), critical, value });
    }

    fn add(&mut self, oid: &[u8], critical: bool, value: Vec<u8>) {
        self.extensions.push(Extension { oid: oid.to_vec(), critical, value });
    }

    fn remove(&mut self, last: u8) {
        self.extensions.retain(|extension| extension.oid != [&CE[..], &[last]].concat());
    }

    /// Makes an extension critical or not.
    fn mark(&mut self, last: u8, critical: bool) {
        for extension in &mut self.extensions {
            if extension.oid == [&CE[..], &[last]].concat() {
                extension.critical = critical;
            }
        }
    }

    fn extensions(&self, tag: u8) -> Vec<u8> {
        let each = self.extensions.iter().map(|extension| {
            let critical: &[u8] = if extension.critical { &[1, 1, 0xff] } else { &[] };
            sequence(&[&tlv(6, &extension.oid), critical, &tlv(4, &extension.value)])
        });
        let all: Vec<u8> = each.flatten().collect();
        if self.extensions.is_empty() { Vec::new() } else { tlv(tag, &tlv(0x30, &all)) }
    }

    fn sign(&self, body: &[u8]) -> Vec<u8> {
        let mut signature = SigningKey::from_seed([self.signer; 32]).sign(body).0.to_vec();
        if self.spoil {
            signature[40] ^= 1;
        }
        sequence(&[body, &self.outer, &tlv(3, &[&[0][..], &signature].concat())])
    }

    fn certificate(&self) -> Vec<u8> {
        let version = self.version.map(|version| tlv(0xa0, &tlv(2, &[version]))).unwrap_or_default();
        let unique = if self.unique { tlv(0x81, &[0, 1]) } else { Vec::new() };
        let body = sequence(&[
            &version,
            &tlv(2, &self.serial),
            &self.inner,
            &self.issuer,
            &sequence(&[&self.dates[0], &self.dates[1]]),
            &self.subject,
            &self.spki,
            &unique,
            &self.extensions(0xa3),
        ]);
        self.sign(&body)
    }

    /// As a CRL: serials are those that it revokes, dates are thisUpdate and nextUpdate.
    fn crl(&self, revoked: &[&[u8]]) -> Vec<u8> {
        let entries: Vec<u8> =
            revoked.iter().flat_map(|serial| sequence(&[&tlv(2, serial), &tlv(0x17, b"250101000000Z")])).collect();
        let entries = if revoked.is_empty() { Vec::new() } else { tlv(0x30, &entries) };
        let version = self.version.map(|_| vec![2, 1, 1]).unwrap_or_default();
        let body = sequence(&[
            &version,
            &self.inner,
            &self.issuer,
            &self.dates[0],
            &self.dates[1],
            &entries,
            &self.extensions(0xa0),
        ]);
        self.sign(&body)
    }
}

fn crl_of(issuer: &str, signer: u8) -> Draft {
    let mut draft = Draft::new("unused", 99, issuer, signer);
    draft.remove(id::SKI);
    draft.dates = [tlv(0x17, b"250101000000Z"), tlv(0x17, b"270101000000Z")];
    draft.set(id::CRL_NUMBER, false, vec![2, 1, 7]);
    draft
}

/// Root, issuing CA, leaf; and, where a case is about revocation, the CRLs of both CAs.
struct Path {
    root: Draft,
    issuing: Draft,
    leaf: Draft,
    /// More CAs of the heap.
    more: Vec<Draft>,
    root_crl: Option<Draft>,
    issuing_crl: Option<Draft>,
    revoked: Vec<Vec<u8>>,
    peer_name: &'static str,
    depth: Option<usize>,
}

impl Path {
    fn good() -> Self {
        Self {
            root: Draft::authority("root", 1, "root", 1, None),
            issuing: Draft::authority("issuing", 2, "root", 1, Some(0)),
            leaf: Draft::leaf(),
            more: Vec::new(),
            root_crl: None,
            issuing_crl: None,
            revoked: Vec::new(),
            peer_name: "example.com",
            depth: None,
        }
    }

    fn with_crls(&mut self) -> &mut Draft {
        self.root_crl = Some(crl_of("root", 1));
        self.issuing_crl.insert(crl_of("issuing", 2))
    }

    fn case(&self, id: &str, good: bool) -> Value {
        let certificate = |draft: &Draft| pem("CERTIFICATE", &draft.certificate());
        let mut intermediates = vec![certificate(&self.issuing)];
        intermediates.extend(self.more.iter().map(certificate));
        let revoked: Vec<&[u8]> = self.revoked.iter().map(Vec::as_slice).collect();
        let mut crls: Vec<String> = self.issuing_crl.iter().map(|crl| pem("X509 CRL", &crl.crl(&revoked))).collect();
        crls.extend(self.root_crl.iter().map(|crl| pem("X509 CRL", &crl.crl(&[]))));
        json!({
            "id": id,
            "description": "",
            "validation_kind": "SERVER",
            "trusted_certs": [certificate(&self.root)],
            "untrusted_intermediates": intermediates,
            "peer_certificate": certificate(&self.leaf),
            "validation_time": "2026-01-01T00:00:00+00:00",
            "signature_algorithms": [],
            "key_usage": [],
            "extended_key_usage": [],
            "expected_result": if good { "SUCCESS" } else { "FAILURE" },
            "expected_peer_name": {"kind": "DNS", "value": self.peer_name},
            "expected_peer_names": [],
            "max_chain_depth": self.depth,
            "crls": crls,
        })
    }
}

type Change = fn(&mut Path);

/// Id, whether the path is good, and what is done to the good path.
const ROWS: &[(&str, bool, Change)] = &[
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
    ("path::wrong-name", false, |p| p.peer_name = "other.example.com"),
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
    ("usage::ca-without-keycertsign", false, |p| p.issuing.set(id::KEY_USAGE, true, vec![3, 2, 1, 2])),
    ("usage::root-without-keycertsign", false, |p| p.root.set(id::KEY_USAGE, true, vec![3, 2, 1, 2])),
    ("usage::leaf-with-keycertsign", false, |p| p.leaf.set(id::KEY_USAGE, true, vec![3, 2, 2, 0x84])),
    ("usage::leaf-without", true, |p| p.leaf.remove(id::KEY_USAGE)),
    ("usage::no-bit", false, |p| p.leaf.set(id::KEY_USAGE, true, vec![3, 1, 0])),
    ("purpose::none", true, |p| p.leaf.remove(id::EKU)),
    ("purpose::client-only", false, |p| {
        p.leaf.set(id::EKU, false, sequence(&[&[6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2]]));
    }),
    ("purpose::any-only", false, |p| p.leaf.set(id::EKU, false, sequence(&[&[6, 4, 0x55, 0x1d, 0x25, 0]]))),
    ("purpose::empty", false, |p| p.leaf.set(id::EKU, false, sequence(&[]))),
    ("purpose::ca-for-clients-only", false, |p| {
        p.issuing.set(id::EKU, false, sequence(&[&[6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2]]));
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
    ("san::malformed", false, |p| p.leaf.set(id::SAN, false, b"example.com".to_vec())),
    ("san::empty", false, |p| p.leaf.set(id::SAN, false, sequence(&[]))),
    ("san::leading-period", false, |p| {
        p.leaf.set(id::SAN, false, sequence(&[&dns(".example.com"), &dns("example.com")]));
    }),
    ("san::nul", false, |p| p.leaf.set(id::SAN, false, sequence(&[&dns("example.com\0.evil"), &dns("example.com")]))),
    ("san::blank", false, |p| p.leaf.set(id::SAN, false, sequence(&[&dns(" "), &dns("example.com")]))),
    ("san::wildcard", true, |p| {
        p.leaf.set(id::SAN, false, sequence(&[&dns("*.example.com")]));
        p.peer_name = "a.example.com";
    }),
    ("san::wildcard-across-labels", false, |p| {
        p.leaf.set(id::SAN, false, sequence(&[&dns("*.example.com")]));
        p.peer_name = "a.b.example.com";
    }),
    ("san::wildcard-inside", false, |p| {
        p.leaf.set(id::SAN, false, sequence(&[&dns("a.*.com")]));
        p.peer_name = "a.example.com";
    }),
    ("san::address-of-five-octets", false, |p| {
        p.leaf.set(id::SAN, false, sequence(&[&tlv(0x87, &[1; 5]), &dns("example.com")]));
    }),
    ("san::mail-with-two-ats", false, |p| {
        p.leaf.set(id::SAN, false, sequence(&[&tlv(0x81, b"a@b@example.com"), &dns("example.com")]));
    }),
    ("san::relative-uri", false, |p| {
        p.leaf.set(id::SAN, false, sequence(&[&tlv(0x86, b"/example"), &dns("example.com")]));
    }),
    ("san::only-in-common-name", false, |p| {
        p.leaf.subject = name("example.com");
        p.leaf.remove(id::SAN);
    }),
    ("constraints::permitted", true, |p| p.issuing.set(id::NAME_CONSTRAINTS, true, constraints(0xa0, &dns("com")))),
    ("constraints::not-permitted", false, |p| {
        p.issuing.set(id::NAME_CONSTRAINTS, true, constraints(0xa0, &dns("example.net")));
    }),
    ("constraints::not-permitted-by-root", false, |p| {
        p.root.set(id::NAME_CONSTRAINTS, true, constraints(0xa0, &dns("example.net")));
    }),
    ("constraints::excluded", false, |p| {
        p.issuing.set(id::NAME_CONSTRAINTS, true, constraints(0xa1, &dns("example.com")));
    }),
    ("constraints::excluded-other", true, |p| {
        p.issuing.set(id::NAME_CONSTRAINTS, true, constraints(0xa1, &dns("example.net")));
    }),
    // CVE-2025-61727: a wildcard stands for names that the constraint forbids.
    ("constraints::excluded-under-a-wildcard", false, |p| {
        p.issuing.set(id::NAME_CONSTRAINTS, true, constraints(0xa1, &dns("bar.example.com")));
        p.leaf.set(id::SAN, false, sequence(&[&dns("*.example.com")]));
        p.peer_name = "bar.example.com";
    }),
    ("constraints::excluded-under-a-wildcard-and-another-name-asked-for", false, |p| {
        p.issuing.set(id::NAME_CONSTRAINTS, true, constraints(0xa1, &dns("bar.example.com")));
        p.leaf.set(id::SAN, false, sequence(&[&dns("*.example.com")]));
        p.peer_name = "foo.example.com";
    }),
    ("constraints::permitted-under-a-wildcard", false, |p| {
        p.issuing.set(id::NAME_CONSTRAINTS, true, constraints(0xa0, &dns("foo.example.com")));
        p.leaf.set(id::SAN, false, sequence(&[&dns("*.example.com")]));
        p.peer_name = "foo.example.com";
    }),
    ("constraints::not-critical", false, |p| {
        p.issuing.set(id::NAME_CONSTRAINTS, false, constraints(0xa0, &dns("example.com")));
    }),
    ("constraints::not-critical-in-root", false, |p| {
        p.root.set(id::NAME_CONSTRAINTS, false, constraints(0xa0, &dns("example.com")));
    }),
    ("constraints::in-leaf", false, |p| {
        p.leaf.set(id::NAME_CONSTRAINTS, true, constraints(0xa0, &dns("example.com")));
    }),
    ("constraints::in-leaf-not-critical", false, |p| {
        p.leaf.set(id::NAME_CONSTRAINTS, false, constraints(0xa0, &dns("example.com")));
    }),
    ("constraints::empty", false, |p| p.issuing.set(id::NAME_CONSTRAINTS, true, sequence(&[]))),
    ("constraints::leading-period", false, |p| {
        p.issuing.set(id::NAME_CONSTRAINTS, true, constraints(0xa0, &dns(".com")));
    }),
    ("constraints::wildcard", false, |p| {
        p.issuing.set(id::NAME_CONSTRAINTS, true, constraints(0xa0, &dns("*.com")));
    }),
    ("constraints::address-without-mask", false, |p| {
        p.issuing.set(id::NAME_CONSTRAINTS, true, constraints(0xa1, &tlv(0x87, &[1; 4])));
    }),
    ("constraints::mail-with-two-ats", false, |p| {
        p.root.set(id::NAME_CONSTRAINTS, true, constraints(0xa1, &tlv(0x81, b"a@b@example.com")));
    }),
    ("constraints::minimum", false, |p| {
        let subtree = sequence(&[&dns("com"), &tlv(0x80, &[1])]);
        p.issuing.set(id::NAME_CONSTRAINTS, true, sequence(&[&tlv(0xa0, &subtree)]));
    }),
    ("policy::not-critical", true, |p| {
        p.leaf.set(id::POLICIES, false, sequence(&[&sequence(&[&[6, 4, 0x55, 0x1d, 0x20, 0]])]));
    }),
    ("policy::constraints-not-critical", false, |p| {
        p.issuing.set(id::POLICY_CONSTRAINTS, false, sequence(&[&tlv(0x80, &[3])]));
    }),
    ("policy::inhibit-any-not-critical", false, |p| p.issuing.set(id::INHIBIT_ANY, false, vec![2, 1, 3])),
    ("crl::good", true, |p| {
        p.with_crls();
    }),
    ("crl::revokes-another", true, |p| {
        p.with_crls();
        p.revoked = vec![vec![77]];
    }),
    ("crl::revokes-the-leaf", false, |p| {
        p.with_crls();
        p.revoked = vec![vec![3, 1]];
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
        p.revoked = vec![vec![77], vec![77]];
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
];

/// The document.
pub fn document() -> Value {
    let cases = ROWS.iter().map(|(id, good, change)| {
        let mut path = Path::good();
        change(&mut path);
        path.case(&format!("chancery::{id}"), *good)
    });
    json!({"version": 1, "testcases": cases.collect::<Vec<Value>>()})
}
