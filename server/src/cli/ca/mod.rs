//! `chancery ca`: the certificate authorities of a peer's directory. Works on files, without a peer; a running peer
//! watches them and knows of a new CRL within a second.

mod audit;
mod passphrase;
mod pkcs11;
mod registration;
mod renew;
mod rollover;
mod trust;

use super::failure::Failure;
use super::output::{Output, clean, note, pairs, table};
use super::session::Global;
pub(super) use crate::certificates::describe as in_full;
use crate::config::Config;
use crate::{clock, init, operator};
use ca::acts::CertificateAct;
use ca::database::{CertificateRecord, CertificateStatus};
use ca::folder::{CertificateFolder, FolderError, LeafOptions, Selection};
use ca::forecast::{Expiring, Expiry};
use ca::ocsp::{self, verify_answer};
use ca::{AlternativeName, Cause, KeyAlgorithm, Keyring, RevocationReason, Serial};
use clap::{Args, Subcommand, ValueEnum};
use ledger_classes::identity::{Identity, Role};
use ledger_classes::time::Time;
pub(super) use passphrase::PassphraseFile;
pub(super) use pkcs11::NewKey;
use serde_json::json;
use std::path::PathBuf;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Where the authorities are.
#[derive(Args, Debug)]
pub(super) struct Directory {
    /// Directory that `chancery init` made; it holds `ca/`
    #[arg(long, value_name = "DIR", env = "CHANCERY_DIR", default_value = ".", global = true)]
    dir: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseFile,
    #[command(flatten)]
    acting: Acting,
}

/// Who acts, and why: recorded with every act, and on `main`.
#[derive(Args, Debug)]
struct Acting {
    /// Who does this; the system's user and host if absent
    #[arg(long, alias = "as", value_name = "NAME", global = true, help_heading = "Recorded with the act")]
    by: Option<String>,
    /// Why, for people to read; at most 256 characters
    #[arg(long, value_name = "TEXT", global = true, help_heading = "Recorded with the act")]
    why: Option<String>,
}

impl Acting {
    fn who(&self) -> String {
        self.by.clone().unwrap_or_else(operator::name)
    }
}

impl Directory {
    /// Opens the authorities' folder. What needs a key asks for the passphrase then.
    fn open(&self) -> Result<CertificateFolder, Failure> {
        let folder = self.open_quietly()?;
        let plain = folder.plain_keys()?;
        if !plain.is_empty() {
            note(&format!("keys lie unencrypted ({}): `chancery ca passphrase` encrypts them", plain.join(", ")));
        }
        Ok(folder)
    }

    fn open_quietly(&self) -> Result<CertificateFolder, Failure> {
        let cause = Cause::new(&self.acting.who(), self.acting.why.as_deref());
        let cause = cause.map_err(|error| Failure::usage(error.to_string()))?;
        let keys = Keyring::new(self.passphrase.source(&self.dir));
        Ok(CertificateFolder::open(&self.dir)?.with_keys(keys).because(cause))
    }
}

#[derive(Args, Debug)]
pub(super) struct Ca {
    #[command(flatten)]
    directory: Directory,
    #[command(subcommand)]
    command: Command,
}

/// Key algorithms.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum Algorithm {
    /// Ed25519: browsers refuse such certificates
    Ed25519,
    /// ECDSA on P-256
    #[default]
    P256,
}

impl From<Algorithm> for KeyAlgorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Ed25519 => Self::Ed25519,
            Algorithm::P256 => Self::P256,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add an organization with its own issuing CA
    #[command(after_help = "\
Channels admit the organization by a configuration change (`chancery channel update`) or when they are created.

With a token, its CA's key is made there and cannot be taken out; the folder only says where it is.

Examples:
  $ chancery ca organization dealer --dir peer-1
  $ chancery ca organization broker --pkcs11-module /usr/lib/softhsm/libsofthsm2.so --pkcs11-token chancery --pkcs11-pin-file /run/secrets/pin --dir peer-1")]
    Organization {
        /// Name: a-z, 0-9 and hyphen
        name: String,
        /// Make its CA a root of its own instead of placing it under the consortium's root
        #[arg(long)]
        own_root: bool,
        #[command(flatten)]
        key: NewKey,
    },
    /// Issue a certificate with a new key into a new profile folder
    #[command(after_help = "\
Example:
  $ chancery ca issue bank client alice --out profiles/alice --dir peer-1")]
    Issue {
        /// Organization whose CA signs
        organization: String,
        /// peer, admin, client or auditor
        role: Role,
        /// Name within organization and role
        name: String,
        /// Profile folder to make
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// Peer that the profile talks to; if absent, where this directory's peer listens
        #[arg(long, value_name = "URL")]
        at: Option<String>,
        /// Algorithm of the new key
        #[arg(long, value_enum, default_value_t)]
        algorithm: Algorithm,
        /// Days until it expires; at most the CA's own
        #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=3650))]
        days: u64,
        /// Host name or address, for peers; may be repeated
        #[arg(long, value_name = "NAME")]
        host: Vec<AlternativeName>,
    },
    /// List certificates
    #[command(after_help = "\
Examples:
  $ chancery ca list --dir peer-1 --json
  $ chancery ca list --status valid --expires-within 30 --dir peer-1")]
    List {
        /// Only certificates of this identity
        #[arg(long, value_name = "IDENTITY")]
        identity: Option<Identity>,
        /// Only certificates of this status
        #[arg(long, value_enum)]
        status: Option<Status>,
        /// Only valid certificates that expire within this many days
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(0..=36500))]
        expires_within: Option<u64>,
    },
    /// Show one certificate and its path
    #[command(after_help = "Example:\n  $ chancery ca show 01a2b3c4d5 --dir peer-1")]
    Show {
        /// Serial number, hex
        serial: Serial,
    },
    /// Revoke certificates and publish the CRL
    #[command(after_help = "\
Running peers that watch this directory refuse the certificate within a second, and end its participant records on
every channel that they hold.

Example:
  $ chancery ca revoke spiffe://harbour.example/bank/client/alice --reason key-compromise --dir peer-1")]
    Revoke {
        /// Serial number in hex, or an identity: then every certificate of it
        which: String,
        /// unspecified, key-compromise, ca-compromise, affiliation-changed, superseded, cessation-of-operation or
        /// privilege-withdrawn
        #[arg(long, default_value = "unspecified")]
        reason: RevocationReason,
    },
    /// Sign CRLs again under their next numbers, and the OCSP answers with them
    #[command(after_help = "Example:\n  $ chancery ca crl bank --dir peer-1")]
    Crl {
        /// Authority: an organization, or `root`; all if absent
        authority: Option<String>,
    },
    /// Sign the OCSP answers of an authority again, with its CRL; or show the answer about one certificate
    #[command(after_help = "\
Answers are signed when a certificate is issued or revoked and with each CRL, and hold as long as that. The peer serves
them at /v1/ca/ocsp without any key.

Examples:
  $ chancery ca ocsp bank --dir peer-1
  $ chancery ca ocsp --serial 01a2b3c4d5 --dir peer-1")]
    Ocsp {
        /// Authority: an organization, or `root`; all if absent
        #[arg(conflicts_with = "serial")]
        authority: Option<String>,
        /// Show the newest answer about this certificate instead
        #[arg(long)]
        serial: Option<Serial>,
    },
    /// What expires when: certificates, CAs and CRLs
    #[command(after_help = "Example:\n  $ chancery ca forecast --days 30 --dir peer-1")]
    Forecast {
        /// Look this many days ahead
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=36500))]
        days: u64,
    },
    Request(registration::Request),
    Requests(registration::Requests),
    Approve(registration::Approve),
    Reject(registration::Reject),
    Token(registration::Token),
    Policy(registration::Policy),
    Renew(renew::Renew),
    Audit(audit::Audit),
    Passphrase(passphrase::ChangePassphrase),
    Reissue(rollover::Reissue),
    Rollover(rollover::Rollover),
    Init(trust::Init),
    Bundle(trust::Bundle),
    Trust(trust::Trust),
}

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

impl From<FolderError> for Failure {
    fn from(error: FolderError) -> Self {
        Self::refused(in_full(&error))
    }
}

impl From<init::InitError> for Failure {
    fn from(error: init::InitError) -> Self {
        Self::refused(in_full(&error))
    }
}

impl Ca {
    /// Runs the command.
    pub(super) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let dir = self.directory.dir.as_path();
        let now = clock::now();
        let open = || self.directory.open();
        match self.command {
            Command::Organization { name, own_root, key } => {
                let (folder, key) = (open()?, key.place()?);
                let made = if own_root {
                    folder.add_organization_root(&name, key, now)?
                } else {
                    folder.add_organization(&name, key, now)?
                };
                output.show(&made, |made| {
                    format!("{} has its CA (serial {}), valid until {}\n", made.name, made.serial, made.not_after)
                })
            }
            Command::Issue { organization, role, name, out, at, algorithm, days, host } => {
                let folder = open()?;
                let identity = Identity::new(folder.consortium(), &organization, role, &name)
                    .map_err(|error| Failure::usage(error.to_string()))?;
                let lifetime_ms = days * DAY_MS;
                let options = LeafOptions { algorithm: algorithm.into(), alternative_names: host, lifetime_ms };
                folder.issue_profile(&identity, &options, &out, now)?;
                let at = match at {
                    Some(at) => at,
                    None => {
                        let config = Config::load(dir);
                        format!("https://{}", config.map_err(|error| Failure::usage(in_full(&error)))?.listen)
                    }
                };
                init::write_profile(&out, &at, folder.consortium())?;
                let issued = folder.list()?.into_iter().rfind(|record| record.identity == identity);
                let issued = issued.ok_or_else(|| Failure::refused("the new certificate is not in the database"))?;
                output.show(&json!({ "profile": out, "certificate": issued }), |_| {
                    format!("{identity}\nserial {}\nprofile {}\n", issued.serial, out.display())
                })
            }
            Command::List { identity, status, expires_within } => {
                let folder = open()?;
                let mut records = folder.list()?;
                records.retain(|record| {
                    let of = record.status(now);
                    let ends =
                        |days| of == CertificateStatus::Valid && record.not_after <= now.plus_millis(days * DAY_MS);
                    identity.as_ref().is_none_or(|identity| *identity == record.identity)
                        && status.is_none_or(|status| of == status.into())
                        && expires_within.is_none_or(ends)
                });
                output.show(&records, |records| certificates(records, now))
            }
            Command::Show { serial } => {
                let folder = open()?;
                let (record, path) = folder.show(&serial)?;
                let path: Vec<String> = path.iter().map(hex::encode).collect();
                output.show(&json!({ "certificate": record, "status": record.status(now), "path": path }), |_| {
                    pairs(&[
                        ("identity", record.identity.to_string()),
                        ("serial", record.serial.to_string()),
                        ("authority", record.authority.clone()),
                        ("status", format!("{:?}", record.status(now)).to_lowercase()),
                        ("not before", record.not_before.to_string()),
                        ("not after", record.not_after.to_string()),
                        ("sha-256", record.fingerprint.clone().unwrap_or_else(|| "-".into())),
                        ("acts", record.acts.iter().map(act).collect::<Vec<_>>().join("; ")),
                    ])
                })
            }
            Command::Revoke { which, reason } => {
                let folder = open()?;
                let selection = if which.starts_with("spiffe://") {
                    Selection::Identity(which.parse().map_err(|error| Failure::usage(format!("{error}")))?)
                } else {
                    Selection::Serial(which.parse().map_err(|error| Failure::usage(format!("{error}")))?)
                };
                let revoked = folder.revoke(&selection, reason, now)?;
                output.show(&revoked, |revoked| {
                    let line = |record: &CertificateRecord| format!("revoked {} {}\n", record.serial, record.identity);
                    revoked.iter().map(line).collect()
                })
            }
            Command::Ocsp { serial: Some(serial), .. } => show_answer(&open()?, &serial, output),
            Command::Crl { authority } | Command::Ocsp { authority, serial: None } => {
                let folder = open()?;
                let names = match authority {
                    Some(name) => vec![name],
                    None => {
                        let in_use = folder.authorities()?.into_iter().filter(|authority| authority.retired.is_none());
                        in_use.map(|authority| authority.name).collect()
                    }
                };
                for name in &names {
                    folder.reissue_crl(name, now)?;
                }
                output.show(&names, |names| format!("signed the CRL and the OCSP answers of {}\n", names.join(", ")))
            }
            Command::Forecast { days } => {
                let folder = open()?;
                let expiries = folder.forecast(now, days * DAY_MS)?;
                output.show(&expiries, |expiries| forecast(expiries, days, now))
            }
            Command::Request(command) => command.run(&self.directory, output),
            Command::Requests(command) => command.run(&self.directory, output),
            Command::Approve(command) => command.run(&self.directory, output),
            Command::Reject(command) => command.run(&self.directory, output),
            Command::Token(command) => command.run(&self.directory, output),
            Command::Policy(command) => command.run(&self.directory, output),
            Command::Audit(command) => command.run(&self.directory, global, output),
            Command::Renew(command) => command.run(&self.directory, global, output),
            Command::Passphrase(command) => command.run(&self.directory, output),
            Command::Init(command) => command.run(dir, &self.directory.passphrase, output),
            Command::Bundle(command) => command.run(&self.directory, output),
            Command::Trust(command) => command.run(dir, output),
            Command::Reissue(command) => command.run(&self.directory, output),
            Command::Rollover(command) => command.run(&self.directory, output),
        }
    }
}

/// Certificates in PEM.
fn certificates_text(path: &[Vec<u8>]) -> String {
    ca::credentials::certificates_pem(path)
}

/// An act in one line.
fn act(act: &CertificateAct) -> String {
    let by = act.cause.who().map(|who| format!(" by {}", clean(who))).unwrap_or_default();
    let why = act.cause.why().map(|why| format!(" ({})", clean(why))).unwrap_or_default();
    format!("{} {}{by}{why}", act.act, act.at)
}

fn show_answer(folder: &CertificateFolder, serial: &Serial, output: Output) -> Result<(), Failure> {
    let der = folder.ocsp_answer(serial)?;
    let (record, _) = folder.show(serial)?;
    let issuer = folder.authority_certificate(&record.authority)?;
    let answer = verify_answer(&der, &issuer, serial).map_err(|error| Failure::refused(in_full(&error)))?;
    let (status, at, reason) = match answer.status {
        ocsp::Status::Good => ("good", None, None),
        ocsp::Status::Revoked { at, reason } => ("revoked", Some(at), Some(reason)),
    };
    let view = json!({
        "serial": serial,
        "identity": record.identity,
        "status": status,
        "revoked_at": at,
        "reason": reason,
        "this_update": answer.this_update,
        "next_update": answer.next_update,
        "der": hex::encode(&der),
    });
    output.show(&view, |_| {
        let next_update = answer.next_update.map_or_else(|| "-".into(), |at| at.to_string());
        pairs(&[
            ("identity", record.identity.to_string()),
            ("serial", serial.to_string()),
            ("status", status.into()),
            ("reason", reason.map_or_else(|| "-".into(), |reason| reason.to_string())),
            ("this update", answer.this_update.to_string()),
            ("next update", next_update),
        ])
    })
}

fn certificates(records: &[CertificateRecord], now: Time) -> String {
    let rows: Vec<Vec<String>> = records
        .iter()
        .map(|record| {
            let status = format!("{:?}", record.status(now)).to_lowercase();
            let (serial, identity) = (record.serial.to_string(), record.identity.to_string());
            vec![serial, identity, status, record.not_after.to_string()]
        })
        .collect();
    table(&["serial", "identity", "status", "not after"], &rows)
}

fn forecast(expiries: &[Expiry], days: u64, now: Time) -> String {
    if expiries.is_empty() {
        return format!("nothing expires within {days} days\n");
    }
    let rows: Vec<Vec<String>> = expiries
        .iter()
        .map(|expiry| {
            let left = match expiry.at.millis().checked_sub(now.millis()) {
                Some(left) => format!("{} days", left / DAY_MS),
                None => "expired".into(),
            };
            let what = match &expiry.what {
                Expiring::Crl { authority } => format!("CRL of {authority}"),
                Expiring::Authority { authority } => format!("CA of {authority}"),
                Expiring::EarlierAuthority { authority, .. } => format!("CA of {authority}, an earlier certificate"),
                Expiring::Certificate { identity, .. } => identity.to_string(),
            };
            vec![expiry.at.to_string(), left, what]
        })
        .collect();
    table(&["when", "left", "what"], &rows)
}
