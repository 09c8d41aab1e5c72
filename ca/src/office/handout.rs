//! What the holder of a certificate should have beside it: the newest path, the anchors, the CAs and CRLs of the
//! authorities' folder. Where both are on one machine, files are compared and replaced; there is no new certificate.
//! Elsewhere a peer offers CA certificates, and what proves itself is taken.

use crate::{
    holder::credentials::{Credentials, CredentialsError},
    office::{
        database::Database,
        error::FolderError,
        event::Event,
        folder::CertificateFolder,
        record::{CertificateRecord, CertificateStatus},
        records::Records,
        reissue::is_superseded,
        renewal::RenewalError,
    },
};
use ledger_classes::primitives::time::Time;
use pki::{
    trust::{
        bundle::TrustBundle,
        files::{TrustPart, read_certificates},
        revocation::issuer_name,
        root_update::{AnchorUpdate, Held, is_link, update_anchors},
    },
    x509::{certificate::Certificate, identifiers::sha256},
};
use std::path::Path;

/// Gives holders on this machine what has changed.
#[derive(Clone, Copy, Debug)]
pub struct Handout<'a> {
    pub(super) folder: &'a CertificateFolder,
}

impl Handout<'_> {
    /// Brings a profile's or peer's folder up to date, if its certificate was issued here: the path for its leaf, and
    /// whom it trusts. Records that this was handed out, once. Returns whether any file was replaced.
    pub fn bring_up_to_date(&self, folder: &Path, now: Time) -> Result<bool, RenewalError> {
        let path = read_certificates(&folder.join("cert.pem"))?;
        let leaf = path.first().ok_or(RenewalError::Foreign)?;
        let records = self.folder.records()?;
        let Some(record) = issued(&records, leaf) else { return Ok(false) };
        let newest = records.newest_path(&record, leaf)?;
        let mut changed = false;
        if path != newest {
            Credentials::replace(folder, &newest, None)?;
            changed = true;
        }
        // Not before: signing takes its time.
        let _held = pki::trust::exchange::hold(folder)?;
        // What is damaged is left alone: it is reported where it is used.
        let Ok(held) = TrustBundle::load(folder) else { return Ok(changed) };
        changed |= bring_trust_up_to_date(&self.folder.records()?, folder, &held)?;
        if is_behind(&records, &record) && record.status(now) == CertificateStatus::Valid {
            let mut records = self.folder.lock()?;
            records.cause(&record.identity.to_string(), Some("the path or the anchors have changed"));
            if issued(&records, leaf).is_some_and(|record| is_behind(&records, &record)) {
                records.append(&Event::PathHandedOut { serial: record.serial, at: now }).map_err(FolderError::from)?;
            }
        }
        Ok(changed)
    }
}

/// The anchors of a folder that are in no way the authorities' stay; retired roots go.
fn bring_trust_up_to_date(records: &Records, folder: &Path, held: &TrustBundle) -> Result<bool, RenewalError> {
    let ours = records.trust()?;
    let mut next = held.clone();
    let crls = std::mem::take(&mut next.crls);
    next.remove_roots(records.retired());
    next.links.clear();
    let mut cas = ours.clone();
    cas.crls.clear();
    next.extend(cas);
    // CRLs come on other ways too: they are a reason to write only if there are CAs that nobody had.
    if (&next.anchors, &next.issuing, &next.links) == (&held.anchors, &held.issuing, &held.links) {
        return Ok(false);
    }
    let replaced: Vec<_> = ours.crls.iter().filter_map(|crl| issuer_name(crl)).collect();
    let others = crls.into_iter().filter(|crl| issuer_name(crl).is_none_or(|name| !replaced.contains(&name)));
    next.crls = others.chain(ours.crls).collect();
    next.save(folder)?;
    Ok(true)
}

/// What a folder became when it was offered CA certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Roots that are anchors now.
    pub added: usize,
    /// Roots that are anchors no more.
    pub removed: usize,
    /// Whether the folder's own path has a newer one: its certificate should be renewed, whatever its age.
    pub outdated: bool,
}

/// Takes the CA certificates that a peer offers into the folder of somebody who does not have the authorities', as far
/// as they are proven ([`update_anchors`]). Issuing CAs and links are written for those who keep them: peers.
pub fn take_offered(
    folder: &Path,
    offered: &[Vec<u8>],
    consortium: &str,
    now: Time,
) -> Result<Taken, CredentialsError> {
    let path = read_certificates(&folder.join("cert.pem"))?;
    let held = TrustBundle::load(folder)?;
    let keeps_issuing = folder.join("issuing.pem").exists();
    let issuing = keeps_issuing.then_some(held.issuing.as_slice());
    let mine = Held { path: &path, anchors: &held.anchors, issuing };
    let AnchorUpdate { anchors, issuing, added, removed } = update_anchors(mine, offered, consortium, now)?;
    let outdated = path.get(1).is_some_and(|issuing| is_superseded(issuing, offered));
    let mut next = TrustBundle { anchors, links: Vec::new(), ..held.clone() };
    if keeps_issuing {
        next.issuing = issuing;
        next.add(TrustPart::Links, offered.iter().filter(|der| is_link(der)).cloned().collect());
    }
    if next != held {
        next.save(folder)?;
    }
    Ok(Taken { added, removed, outdated })
}

/// The record of a leaf that was issued here. The whole certificate is compared: another CA's may have the same serial.
fn issued(database: &Database, leaf: &[u8]) -> Option<CertificateRecord> {
    let parsed = Certificate::parse(leaf).ok()?;
    let fingerprint = hex::encode(sha256(leaf));
    let record = database.certificate(parsed.serial());
    record.filter(|record| record.fingerprint.as_ref() == Some(&fingerprint)).cloned()
}

/// Whether the folder has something for the holder that it has not recorded as handed out.
fn is_behind(database: &Database, record: &CertificateRecord) -> bool {
    let newest = database.authorities().get(&record.authority).map(|authority| &authority.serial);
    let started = database.rollover().is_some_and(|rollover| record.handed_out < rollover.started);
    newest != Some(&record.issuing) || started
}
