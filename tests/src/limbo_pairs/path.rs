//! Root, issuing CA and leaf, and what a case asks of them.

use super::draft::{Draft, crl_of, entry, pem};
use serde_json::{Value, json};

/// The leaf's serial.
pub(super) const LEAF: &[u8] = &[3, 1];

/// An entry of a CRL without extensions, of a year before the instant of the cases.
pub(super) fn revoked(serial: &[u8]) -> Vec<u8> {
    entry(serial, b"250101000000Z", &[])
}

/// Root, issuing CA, leaf; and, where a case is about revocation, the CRLs of both CAs.
pub(super) struct Path {
    pub(super) root: Draft,
    pub(super) issuing: Draft,
    pub(super) leaf: Draft,
    /// More anchors.
    pub(super) anchors: Vec<Draft>,
    /// More CAs of the heap.
    pub(super) more: Vec<Draft>,
    pub(super) root_crl: Option<Draft>,
    pub(super) issuing_crl: Option<Draft>,
    /// Entries of both lists.
    pub(super) revoked: Vec<Vec<u8>>,
    pub(super) root_revoked: Vec<Vec<u8>>,
    /// Whether the leaf is a client's.
    pub(super) client: bool,
    /// Names that the caller expects: kind and value.
    pub(super) asked: Vec<(&'static str, &'static str)>,
    /// Key usages and purposes that the caller wants.
    pub(super) key_usage: &'static [&'static str],
    pub(super) purposes: &'static [&'static str],
    pub(super) at: &'static str,
    pub(super) depth: Option<usize>,
}

impl Path {
    pub(super) fn good() -> Self {
        Self {
            root: Draft::authority("root", 1, "root", 1, None),
            issuing: Draft::authority("issuing", 2, "root", 1, Some(0)),
            leaf: Draft::leaf(),
            anchors: Vec::new(),
            more: Vec::new(),
            root_crl: None,
            issuing_crl: None,
            revoked: Vec::new(),
            root_revoked: Vec::new(),
            client: false,
            asked: vec![("DNS", "example.com")],
            key_usage: &[],
            purposes: &[],
            at: "2026-01-01T00:00:00+00:00",
            depth: None,
        }
    }

    /// Gives both CAs their lists; returns that of the issuing CA.
    pub(super) fn with_crls(&mut self) -> &mut Draft {
        self.root_crl = Some(crl_of("root", 1));
        self.issuing_crl.insert(crl_of("issuing", 2))
    }

    /// Puts a CA between the root and the issuing CA, which may follow it.
    pub(super) fn with_middle(&mut self) -> &mut Draft {
        self.issuing = Draft::authority("issuing", 2, "middle", 4, Some(0));
        self.more.insert(0, Draft::authority("middle", 4, "root", 1, None));
        &mut self.more[0]
    }

    /// A client's leaf with mail addresses, for purpose `emailProtection`.
    pub(super) fn for_mail(&mut self, names: &[Vec<u8>], asked: &'static str) {
        self.client = true;
        self.leaf.names(names);
        self.leaf.purposes(&[4]);
        self.purposes = &["emailProtection"];
        self.asked = vec![("RFC822", asked)];
    }

    pub(super) fn case(&self, id: &str, good: bool) -> Value {
        let certificate = |draft: &Draft| pem("CERTIFICATE", &draft.certificate());
        let each = |first: &Draft, more: &[Draft]| -> Vec<String> {
            std::iter::once(first).chain(more).map(certificate).collect()
        };
        let crl = |entries: &[Vec<u8>]| {
            let entries = entries.to_vec();
            move |draft: &Draft| pem("X509 CRL", &draft.crl(&entries))
        };
        let mut crls: Vec<String> = self.issuing_crl.iter().map(crl(&self.revoked)).collect();
        crls.extend(self.root_crl.iter().map(crl(&self.root_revoked)));
        let asked: Vec<Value> = self.asked.iter().map(|(kind, value)| json!({"kind": kind, "value": value})).collect();
        json!({
            "id": id,
            "conflicts_with": [],
            "features": if crls.is_empty() { vec![] } else { vec!["has-crl"] },
            "importance": "undetermined",
            "description": "",
            "validation_kind": if self.client { "CLIENT" } else { "SERVER" },
            "trusted_certs": each(&self.root, &self.anchors),
            "untrusted_intermediates": each(&self.issuing, &self.more),
            "peer_certificate": certificate(&self.leaf),
            "peer_certificate_key": null,
            "validation_time": self.at,
            "signature_algorithms": [],
            "key_usage": self.key_usage,
            "extended_key_usage": self.purposes,
            "expected_result": if good { "SUCCESS" } else { "FAILURE" },
            "expected_peer_name": asked.first().filter(|_| !self.client),
            "expected_peer_names": if self.client { asked.clone() } else { Vec::new() },
            "max_chain_depth": self.depth,
            "crls": crls,
        })
    }
}
