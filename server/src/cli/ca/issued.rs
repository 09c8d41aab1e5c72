//! Certificates that were issued: listed, shown, revoked.

use super::directory::Directory;
use super::place::Place;
use crate::{
    cli::{
        failure::Failure,
        output::{Output, certificate_path, clean, pairs, part as part_text, until, when},
        session::{Global, Paging},
    },
    clock,
    limits::{DAY_MS, PAGE_DEFAULT},
    register::{IssuedSelection, issued_view, part, revoked_view},
    setup::config::Config,
};
use ca::office::{
    error::FolderError,
    folder::CertificateFolder,
    record::{CertificateRecord, CertificateStatus},
    revocation::Selection,
};
use clap::{Args, ValueEnum};
use client::api::{CertificateActView, IssuedView, RegisterPage, RevocationBody};
use ledger_classes::primitives::identity::Identity;
use pki::{RevocationReason, Serial};
use serde::Serialize;
use std::path::Path;

/// Statuses of certificates.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Status {
    /// Recorded before signing, never confirmed
    Intended,
    /// Neither revoked nor expired
    Valid,
    /// Its last second has passed
    Expired,
    /// Revoked
    Revoked,
}

impl From<Status> for CertificateStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Intended => Self::Intended,
            Status::Valid => Self::Valid,
            Status::Expired => Self::Expired,
            Status::Revoked => Self::Revoked,
        }
    }
}

/// A part of a folder's list, or what is said of a cursor that is none of it.
pub(super) fn cut<T, V: Serialize>(
    line: usize,
    all: &[T],
    paging: &Paging,
    name: impl Fn(&T) -> String,
    view: impl Fn(&T) -> V,
) -> Result<RegisterPage<V>, Failure> {
    let limit = paging.limit.map_or(PAGE_DEFAULT, |limit| limit as usize);
    let part = part(Some(line), all, (paging.after.as_deref(), limit), name, view);
    part.ok_or_else(|| Failure::usage("--after takes what the part before said"))
}

/// Prints a part of a folder's list as a table.
pub(super) fn show_part<V: Serialize>(
    output: Output,
    page: &RegisterPage<V>,
    titles: &[&str],
    row: impl Fn(&V) -> Vec<String>,
) -> Result<(), Failure> {
    output.show(page, |page| {
        let rows: Vec<Vec<String>> = page.items.iter().map(row).collect();
        let reflects = page.line.map_or_else(|| "now".into(), |line| format!("as of line {line} of the index"));
        part_text(titles, &rows, page.next.as_deref(), &reflects)
    })
}

/// List certificates
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  $ chancery ca list --dir peer-1 --json
  $ chancery ca list --status valid --expires-within 30 --profile profiles/boss")]
pub(super) struct List {
    /// Only certificates of this identity
    #[arg(long, value_name = "IDENTITY")]
    identity: Option<Identity>,
    /// Only certificates of this status
    #[arg(long, value_enum)]
    status: Option<Status>,
    /// Only valid certificates that expire within this many days
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(0..=36500))]
    expires_within: Option<u64>,
    #[command(flatten)]
    paging: Paging,
}

impl List {
    pub(super) fn run(self, directory: &Directory, global: &Global, output: Output) -> Result<(), Failure> {
        let status = self.status.map(CertificateStatus::from);
        let page = match directory.place(global)? {
            Place::Folder(folder) => {
                let now = clock::now();
                let expires_within_ms = self.expires_within.map(|days| days * DAY_MS);
                let filter = IssuedSelection { identity: self.identity, status, expires_within_ms };
                let records = folder.records()?;
                let certificates: Vec<&CertificateRecord> =
                    records.certificates().iter().filter(|record| filter.admits(record, now)).collect();
                let view = |record: &&CertificateRecord| issued_view(record, &[], now);
                cut(records.lines(), &certificates, &self.paging, |record| record.serial.to_string(), view)?
            }
            Place::Peer(peer) => {
                let identity = self.identity.as_ref().map(ToString::to_string);
                let filter = client::register::IssuedFilter {
                    identity: identity.as_deref(),
                    status: status.map(crate::register::status_word),
                    expires_within_days: self.expires_within,
                };
                peer.ask(async |connection| connection.issued(filter, self.paging.part()).await)?
            }
        };
        let now = clock::now();
        show_part(output, &page, &["serial", "identity", "status", "not after"], |record| {
            let identity = clean(&record.identity);
            vec![clean(&record.serial), identity, clean(&record.status), until(record.not_after, now)]
        })
    }
}

/// Show one certificate and its path
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  $ chancery ca show 01a2b3c4d5 --dir peer-1
  $ chancery ca show 01a2b3c4d5 --profile profiles/boss")]
pub(super) struct Show {
    /// Serial number, hex
    serial: Serial,
}

impl Show {
    pub(super) fn run(self, directory: &Directory, global: &Global, output: Output) -> Result<(), Failure> {
        let shown = match directory.place(global)? {
            Place::Folder(folder) => {
                let (record, path) = folder.records()?.show(&self.serial)?;
                issued_view(&record, &path, clock::now())
            }
            Place::Peer(peer) => {
                let serial = self.serial.to_string();
                peer.ask(async |connection| connection.issued_certificate(&serial).await)?
            }
        };
        output.show(&shown, |shown| {
            let facts = pairs(&[
                ("identity", clean(&shown.identity)),
                ("serial", clean(&shown.serial)),
                ("authority", clean(&shown.authority)),
                ("status", clean(&shown.status)),
                ("not before", when(shown.not_before)),
                ("not after", until(shown.not_after, clock::now())),
                ("sha-256", shown.fingerprint.as_deref().map_or_else(|| "-".into(), clean)),
                ("acts", shown.acts.iter().map(act).collect::<Vec<_>>().join("; ")),
            ]);
            facts + &shown.certificate.as_deref().map(certificate_path).unwrap_or_default()
        })
    }
}

/// An act in one line.
fn act(act: &CertificateActView) -> String {
    let by = act.who.as_deref().map(|who| format!(" by {}", clean(who))).unwrap_or_default();
    let why = act.why.as_deref().map(|why| format!(" ({})", clean(why))).unwrap_or_default();
    format!("{} {}{by}{why}", clean(&act.act), when(act.at))
}

/// Revoke certificates and publish the CRL
#[derive(Args, Debug)]
#[command(after_help = "\
With --reason key-compromise every certificate of that key under the same CA is revoked, none is issued for it again, and
what was renewed by it is listed: --renewals revokes that too.

Running peers that watch the folder refuse the certificate within a second, and end its participant records on every
channel that they hold.

A folder that came back from a backup has lost what was issued since: --of names the CA whose certificate with that number
is revoked although the index does not know it.

Examples:
  $ chancery ca revoke spiffe://harbour.example/bank/client/alice --reason key-compromise --dir peer-1
  $ chancery ca revoke 7a01a2b3c4d5 --of bank --why 'issued after the backup' --dir peer-1
  $ chancery ca revoke 01a2b3c4d5 --reason cessation-of-operation --why 'left the bank' --profile profiles/boss")]
pub(super) struct Revoke {
    /// Serial number in hex, or an identity: then every certificate of it
    which: String,
    /// unspecified, key-compromise, ca-compromise, affiliation-changed, superseded, cessation-of-operation or
    /// privilege-withdrawn
    #[arg(long, default_value = "unspecified")]
    reason: RevocationReason,
    /// With key-compromise: also what came of renewals by the compromised key, and so on from there
    #[arg(long)]
    renewals: bool,
    /// Revoke a serial number that the index does not have, as after a folder came back from a backup: the organization whose
    /// CA issued it
    #[arg(long, value_name = "ORGANIZATION", conflicts_with = "renewals")]
    of: Option<String>,
}

/// What may be in the hands of whoever had the key.
fn told_of_renewals(renewed: &[IssuedView], which: &str) -> String {
    if renewed.is_empty() {
        return String::new();
    }
    let line = |record: &IssuedView| {
        let (serial, identity) = (clean(&record.serial), clean(&record.identity));
        let renews = record.renews.as_deref().map_or_else(String::new, |from| format!(", from {}", clean(from)));
        format!("renewed {serial} {identity} on {}{renews}\n", when(record.not_before))
    };
    let lines: String = renewed.iter().map(line).collect();
    format!(
        "{lines}Whoever had the key may have renewed it to these, which are still valid. To revoke them too:\n  \
         chancery ca revoke {} --reason key-compromise --renewals\n",
        clean(which)
    )
}

/// Whether a peer is there, which watches the folder.
pub(super) fn has_peer(dir: &Path) -> bool {
    Config::load(dir).is_ok_and(|config| dir.join(config.certificate_dir).is_dir())
}

/// What is said of a certificate that was not issued here: who has issued it, if nobody here could.
fn elsewhere(folder: &CertificateFolder, selection: &Selection, error: FolderError) -> Failure {
    let Selection::Identity(identity) = selection else {
        return Failure::refused(format!(
            "{error}: if the folder came back from a backup and the certificate is of the time since, `--of \
             ORGANIZATION` revokes the number all the same"
        ));
    };
    let organization = identity.organization();
    match folder.records() {
        Ok(records) if !records.authorities().contains_key(organization) => Failure::refused(format!(
            "{error}: the CA of {organization} is not in this folder; {organization} revokes what it has issued \
             (`chancery ca revoke` there, then `chancery ca publish`)"
        )),
        _ => error.into(),
    }
}

impl Revoke {
    pub(super) fn run(self, directory: &Directory, global: &Global, output: Output) -> Result<(), Failure> {
        let usage = |error: &dyn std::fmt::Display| Failure::usage(error.to_string());
        let selection = if self.which.starts_with("spiffe://") {
            Selection::Identity(self.which.parse().map_err(|error| usage(&error))?)
        } else {
            let neither = |_| {
                let what = format!("{:?} is neither a serial number in hex nor an identity, spiffe://…", self.which);
                Failure::usage(what)
            };
            Selection::Serial(self.which.parse().map_err(neither)?)
        };
        if let Some(organization) = &self.of {
            let Selection::Serial(serial) = &selection else {
                return Err(Failure::usage("--of is for a serial number: an identity says whose it is"));
            };
            return self.revoke_lost(directory, organization, serial, output);
        }
        let mut untold = None;
        let revoked = match directory.place(global)? {
            Place::Folder(folder) => {
                let now = clock::now();
                let revoked = match folder.revocation().revoke_with(&selection, self.reason, self.renewals, now) {
                    Err(error @ FolderError::UnknownCertificate(_)) => {
                        return Err(elsewhere(&folder, &selection, error));
                    }
                    revoked => revoked?,
                };
                untold = directory.path().ok().filter(|dir| !has_peer(dir)).map(|dir| {
                    format!(
                        "Peers do not know yet: chancery ca publish --dir {} --profile ADMINISTRATOR\n",
                        dir.display()
                    )
                });
                revoked_view(&revoked, now)
            }
            Place::Peer(peer) => {
                let (serial, identity) = match &selection {
                    Selection::Serial(serial) => (Some(serial.to_string()), None),
                    Selection::Identity(identity) => (None, Some(identity.to_string())),
                };
                let (reason, why) = (Some(self.reason.to_string()), directory.acting.why.clone());
                let body = RevocationBody { serial, identity, reason, why, renewals: self.renewals };
                peer.ask(async |connection| connection.revoke(&body).await)?
            }
        };
        output.show(&revoked, |revoked| {
            let line = |record: &IssuedView| format!("revoked {} {}\n", clean(&record.serial), clean(&record.identity));
            let lines = revoked.revoked.iter().map(line).collect::<String>();
            lines + &told_of_renewals(&revoked.renewed, &self.which) + untold.as_deref().unwrap_or_default()
        })
    }
}

impl Revoke {
    /// By its number alone: the index knows nothing of it.
    fn revoke_lost(
        &self,
        directory: &Directory,
        organization: &str,
        serial: &Serial,
        output: Output,
    ) -> Result<(), Failure> {
        directory.path()?;
        let lost = directory.open()?.revocation().revoke_lost(organization, serial, self.reason, clock::now())?;
        crate::cli::output::note(&format!(
            "the index does not know {serial}: whose certificate it is, or whether the CA of {organization} ever issued one \
             of this number, nobody can say here. Whoever has it is refused. Other certificates of its key or its holder \
             are not known either: revoke each of them"
        ));
        output.show(&lost, |lost| format!("revoked {} of the CA of {}\n", lost.serial, lost.authority))
    }
}
