//! Certificates and CRLs octet by octet, before they are signed.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ledger_classes::keys::SigningKey;

/// Octets with their tag and length (X.690 §8.1).
pub(super) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
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

pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

/// An object identifier by its content octets.
const CE: [u8; 2] = [0x55, 0x1d];
pub(super) const ED25519: &[u8] = &[6, 3, 0x2b, 0x65, 0x70];
/// ::1.
pub(super) const LOOPBACK: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
pub(super) const UNKNOWN: &[u8] = &[0x2b, 6, 1, 4, 1, 0x83, 0xb3, 0x3a, 0x82, 0x1a, 1];
pub(super) const AIA: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];

/// The last octet of the identifiers of RFC 5280's extensions.
pub(super) mod id {
    pub(in super::super) const SKI: u8 = 14;
    pub(in super::super) const KEY_USAGE: u8 = 15;
    pub(in super::super) const SAN: u8 = 17;
    pub(in super::super) const BASIC: u8 = 19;
    pub(in super::super) const CRL_NUMBER: u8 = 20;
    pub(in super::super) const DELTA: u8 = 27;
    pub(in super::super) const ISSUING_POINT: u8 = 28;
    pub(in super::super) const NAME_CONSTRAINTS: u8 = 30;
    pub(in super::super) const POLICIES: u8 = 32;
    pub(in super::super) const AKI: u8 = 35;
    pub(in super::super) const POLICY_CONSTRAINTS: u8 = 36;
    pub(in super::super) const EKU: u8 = 37;
    pub(in super::super) const INHIBIT_ANY: u8 = 54;
}

pub(super) fn name(common: &str) -> Vec<u8> {
    let attribute = sequence(&[&[6, 3, 0x55, 4, 3], &tlv(0x0c, common.as_bytes())]);
    sequence(&[&tlv(0x31, &attribute)])
}

fn public(seed: u8) -> Vec<u8> {
    SigningKey::from_seed(&[seed; 32]).public().bytes().to_vec()
}

pub(super) fn key_identifier(seed: u8) -> Vec<u8> {
    public(seed)[..20].to_vec()
}

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let (text, mut body) = (STANDARD.encode(der), String::new());
    for (place, letter) in text.chars().enumerate() {
        if place > 0 && place % 64 == 0 {
            body.push('\n');
        }
        body.push(letter);
    }
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

pub(super) fn dns(name: &str) -> Vec<u8> {
    tlv(0x82, name.as_bytes())
}

pub(super) fn address(octets: &[u8]) -> Vec<u8> {
    tlv(0x87, octets)
}

pub(super) fn mail(name: &str) -> Vec<u8> {
    tlv(0x81, name.as_bytes())
}

/// A directoryName with one common name.
pub(super) fn directory(common: &str) -> Vec<u8> {
    tlv(0xa4, &name(common))
}

/// An otherName of a kind that nobody knows.
pub(super) fn other_name() -> Vec<u8> {
    tlv(0xa0, &[tlv(6, UNKNOWN), tlv(0xa0, &[5, 0])].concat())
}

/// Names that a CA may, or may not, vouch for.
pub(super) fn permitted(bases: &[Vec<u8>]) -> Vec<u8> {
    subtrees(0xa0, bases)
}

pub(super) fn excluded(bases: &[Vec<u8>]) -> Vec<u8> {
    subtrees(0xa1, bases)
}

fn subtrees(tag: u8, bases: &[Vec<u8>]) -> Vec<u8> {
    tlv(tag, &bases.iter().flat_map(|base| sequence(&[base])).collect::<Vec<u8>>())
}

/// An entry of a CRL: serial, date, and extensions if there are any.
pub(super) fn entry(serial: &[u8], date: &[u8], extension: &[u8]) -> Vec<u8> {
    let extensions = if extension.is_empty() { Vec::new() } else { sequence(&[extension]) };
    sequence(&[&tlv(2, serial), &tlv(0x17, date), &extensions])
}

/// An extension that nobody knows, as it stands in a list of extensions.
pub(super) fn unknown_extension(critical: bool) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    sequence(&[&tlv(6, UNKNOWN), critical, &tlv(4, &[5, 0])])
}

pub(super) struct Extension {
    oid: Vec<u8>,
    critical: bool,
    value: Vec<u8>,
}

/// A certificate or CRL before it is signed.
pub(super) struct Draft {
    pub(super) version: Option<u8>,
    pub(super) serial: Vec<u8>,
    pub(super) inner: Vec<u8>,
    pub(super) outer: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) dates: [Vec<u8>; 2],
    pub(super) subject: Vec<u8>,
    pub(super) spki: Vec<u8>,
    pub(super) unique: bool,
    pub(super) extensions: Vec<Extension>,
    pub(super) signer: u8,
    pub(super) spoil: bool,
}

impl Draft {
    pub(super) fn new(common: &str, key: u8, issuer: &str, signer: u8) -> Self {
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

    pub(super) fn authority(common: &str, key: u8, issuer: &str, signer: u8, path_length: Option<u8>) -> Self {
        let mut draft = Self::new(common, key, issuer, signer);
        let length = path_length.map(|length| tlv(2, &[length])).unwrap_or_default();
        draft.set(id::BASIC, true, sequence(&[&[1, 1, 0xff], &length]));
        // keyCertSign and cRLSign.
        draft.set(id::KEY_USAGE, true, vec![3, 2, 1, 6]);
        draft
    }

    pub(super) fn leaf() -> Self {
        Self::leaf_of("issuing", 2)
    }

    pub(super) fn leaf_of(issuer: &str, signer: u8) -> Self {
        let mut draft = Self::new("leaf", 3, issuer, signer);
        draft.set(id::KEY_USAGE, true, vec![3, 2, 7, 0x80]);
        draft.purposes(&[1]);
        draft.names(&[dns("example.com")]);
        draft
    }

    /// Adds or replaces an extension of id-ce.
    pub(super) fn set(&mut self, last: u8, critical: bool, value: Vec<u8>) {
        self.remove(last);
        self.extensions.push(Extension { oid: [&CE[..], &[last]].concat(), critical, value });
    }

    pub(super) fn add(&mut self, oid: &[u8], critical: bool, value: Vec<u8>) {
        self.extensions.push(Extension { oid: oid.to_vec(), critical, value });
    }

    pub(super) fn remove(&mut self, last: u8) {
        self.extensions.retain(|extension| extension.oid != [&CE[..], &[last]].concat());
    }

    /// Sets the alternative names.
    pub(super) fn names(&mut self, names: &[Vec<u8>]) {
        self.set(id::SAN, false, sequence(&[&names.concat()]));
    }

    /// Sets critical name constraints, of one or two lists of subtrees.
    pub(super) fn constrain(&mut self, lists: &[Vec<u8>]) {
        self.set(id::NAME_CONSTRAINTS, true, sequence(&[&lists.concat()]));
    }

    /// Sets the purposes id-kp 1 (servers), 2 (clients), 4 (mail) and so on.
    pub(super) fn purposes(&mut self, last: &[u8]) {
        let each = last.iter().flat_map(|last| [6, 8, 0x2b, 6, 1, 5, 5, 7, 3, *last]).collect::<Vec<u8>>();
        self.set(id::EKU, false, sequence(&[&each]));
    }

    /// Makes an extension critical or not.
    pub(super) fn mark(&mut self, last: u8, critical: bool) {
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
        let mut signature = SigningKey::from_seed(&[self.signer; 32]).sign(body).0.to_vec();
        if self.spoil {
            signature[40] ^= 1;
        }
        sequence(&[body, &self.outer, &tlv(3, &[&[0][..], &signature].concat())])
    }

    pub(super) fn certificate(&self) -> Vec<u8> {
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

    /// As a CRL: entries are what it revokes, dates are thisUpdate and nextUpdate.
    pub(super) fn crl(&self, entries: &[Vec<u8>]) -> Vec<u8> {
        let entries = if entries.is_empty() { Vec::new() } else { tlv(0x30, &entries.concat()) };
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

pub(super) fn crl_of(issuer: &str, signer: u8) -> Draft {
    let mut draft = Draft::new("unused", 99, issuer, signer);
    draft.remove(id::SKI);
    draft.dates = [tlv(0x17, b"250101000000Z"), tlv(0x17, b"270101000000Z")];
    draft.set(id::CRL_NUMBER, false, vec![2, 1, 7]);
    draft
}
