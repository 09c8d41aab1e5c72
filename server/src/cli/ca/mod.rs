//! `chancery ca`: certificate authorities. With `--dir` the commands work on the authorities' folder of a peer's directory,
//! without a peer; a running peer watches it and knows of a new CRL within a second. Without it, what an administrator of
//! one organization may do is asked of the profile's peer, over HTTPS ([`place`]).

mod algorithm;
mod audit;
mod change_passphrase;
mod directory;
mod issued;
mod passphrase;
mod pkcs11;
mod place;
mod publish;
mod registration;
mod renew;
mod replace;
mod revoke_organization;
mod rollover;
mod trust;

use super::failure::Failure;
use super::output::{Output, pairs, table, until, when};
use super::session::Global;
use crate::{
    clock,
    limits::DAY_MS,
    register::issued_view,
    setup::{config::Config, init},
};
use algorithm::Algorithm;
use ca::office::{
    expiry::{Expiring, Expiry},
    folder::CertificateFolder,
    issuing::LeafOptions,
};
use clap::{Args, Subcommand};
use directory::Directory;
pub(super) use directory::open_folder;
pub(super) use ledger_classes::primitives::causes::in_one_line as in_full;
use ledger_classes::primitives::identity::{Identity, Role};
use ledger_classes::primitives::time::Time;
pub(super) use passphrase::PassphraseFile;
pub(super) use pkcs11::NewKey;
use pki::{
    AlternativeName, Serial,
    x509::ocsp::{self, verify_answer},
};
use serde_json::json;
use std::path::PathBuf;

/// What certificates are issued, revoked, asked for and granted with
#[derive(Args, Debug)]
#[command(after_help = "\
With --dir, or CHANCERY_DIR, a command works on the authorities' folder on this machine. Without it, administrators of an
organization list, show, approve, reject and revoke its certificates and make enrolment tokens over HTTPS, with a peer
that has the folder (--profile); who acts is recorded from the certificate.

Examples:
  $ chancery ca requests --profile profiles/boss
  $ chancery ca approve 00112233445566778899aabbccddeeff --why 'called back' --profile profiles/boss
  $ chancery ca revoke spiffe://harbour.example/bank/client/alice --reason key-compromise --profile profiles/boss
  $ chancery ca organization dealer --dir peer-1
  $ chancery ca forecast --days 30 --dir peer-1")]
pub(super) struct Ca {
    #[command(flatten)]
    directory: Directory,
    #[command(subcommand)]
    command: Command,
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
        /// Although the peer trusts another CA of this organization, made elsewhere
        #[arg(long)]
        beside: bool,
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
    List(issued::List),
    Show(issued::Show),
    Revoke(issued::Revoke),
    Publish(publish::Publish),
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
    Passphrase(change_passphrase::ChangePassphrase),
    Reissue(rollover::Reissue),
    Replace(replace::Replace),
    RevokeOrganization(revoke_organization::RevokeOrganization),
    Rollover(rollover::Rollover),
    Init(trust::Init),
    Bundle(trust::Bundle),
    Trust(trust::Trust),
}

impl From<init::InitError> for Failure {
    fn from(error: init::InitError) -> Self {
        Self::refused(in_full(&error))
    }
}

impl Ca {
    /// Runs the command.
    pub(super) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let now = clock::now();
        let open = || self.directory.open();
        match self.command {
            Command::Organization { name, own_root, beside, key } => {
                let (folder, key) = (open()?, key.place()?);
                let own = folder.records()?.authorities().contains_key(&name);
                if !beside && !own {
                    trust::refuse_a_second(self.directory.path()?, &name)?;
                }
                let made = if own_root {
                    folder.authorities().add_organization_root(&name, key, now)?
                } else {
                    folder.authorities().add_organization(&name, key, now)?
                };
                output.show(&made, |made| {
                    format!("{} has its CA (serial {}), valid until {}\n", made.name, made.serial, when(made.not_after))
                })
            }
            Command::Issue { organization, role, name, out, at, algorithm, days, host } => {
                let folder = open()?;
                let identity = Identity::new(folder.consortium(), &organization, role, &name)
                    .map_err(|error| Failure::usage(error.to_string()))?;
                let (at, peer) = match at {
                    Some(at) => (at, None),
                    None => {
                        let dir = self.directory.path()?;
                        let config = Config::load(dir).map_err(|error| Failure::usage(in_full(&error)))?;
                        let listen = config.listen;
                        // Nobody dials the address that stands for all, and no certificate names it.
                        if listen.ip().is_unspecified() && role != Role::Peer {
                            return Err(Failure::usage(format!(
                                "this peer listens on every address ({listen}): say under which name members reach it, \
                                 --at https://NAME:{}",
                                listen.port()
                            )));
                        }
                        (format!("https://{listen}"), init::own_identity(&dir.join(&config.certificate_dir)))
                    }
                };
                let lifetime_ms = days * DAY_MS;
                let options = LeafOptions { algorithm: algorithm.into(), alternative_names: host, lifetime_ms };
                folder.issuing().issue_profile(&identity, &options, &out, now)?;
                init::write_profile(&out, &at, folder.consortium(), peer.as_ref())?;
                let records = folder.records()?;
                let issued = records.certificates().iter().rfind(|record| record.identity == identity);
                let issued = issued.ok_or_else(|| Failure::refused("the new certificate is not in the database"))?;
                let issued = issued_view(issued, &[], now);
                // The folder knows of its own CAs; a peer of others is not among them.
                let authority = records.authorities().get(&organization);
                let stranger = match authority.is_some_and(|authority| authority.issuer == organization) {
                    true if role != Role::Peer => format!(
                        "\nIts CA is a root of its own: for a peer under another CA the profile needs that one. Get the file \
                         that `chancery ca bundle` writes there, and: chancery ca trust add FILE --root --into {}\n",
                        out.display()
                    ),
                    _ => String::new(),
                };
                output.show(&json!({ "profile": out, "certificate": issued }), |_| {
                    format!("{identity}\nserial {}\nprofile {}\n{stranger}", issued.serial, out.display())
                })
            }
            Command::List(command) => command.run(&self.directory, global, output),
            Command::Show(command) => command.run(&self.directory, global, output),
            Command::Revoke(command) => command.run(&self.directory, global, output),
            Command::Publish(command) => command.run(&self.directory, global, output),
            Command::Ocsp { serial: Some(serial), .. } => show_answer(&open()?, &serial, output),
            Command::Crl { authority } | Command::Ocsp { authority, serial: None } => {
                let folder = open()?;
                let names = match authority {
                    Some(name) => vec![name],
                    None => {
                        let records = folder.records()?;
                        let in_use = records.authorities().values().filter(|authority| authority.retired.is_none());
                        in_use.map(|authority| authority.name.clone()).collect()
                    }
                };
                for name in &names {
                    folder.publication().reissue_crl(name, now)?;
                }
                output.show(&names, |names| format!("signed the CRL and the OCSP answers of {}\n", names.join(", ")))
            }
            Command::Forecast { days } => {
                let folder = open()?;
                let expiries = folder.records()?.forecast(now, days * DAY_MS);
                output.show(&expiries, |expiries| forecast(expiries, days, now))
            }
            Command::Request(command) => command.run(&self.directory, global, output),
            Command::Requests(command) => command.run(&self.directory, global, output),
            Command::Approve(command) => command.run(&self.directory, global, output),
            Command::Reject(command) => command.run(&self.directory, global, output),
            Command::Token(command) => command.run(&self.directory, global, output),
            Command::Policy(command) => command.run(&self.directory, output),
            Command::Audit(command) => command.run(&self.directory, global, output),
            Command::Renew(command) => command.run(&self.directory, global, output),
            Command::Passphrase(command) => command.run(&self.directory, output),
            Command::Init(command) => command.run(self.directory.path()?, &self.directory.passphrase, output),
            Command::Bundle(command) => command.run(&self.directory, output),
            Command::Trust(command) => command.run(&self.directory, output),
            Command::Reissue(command) => command.run(&self.directory, output),
            Command::Replace(command) => command.run(&self.directory, output),
            Command::RevokeOrganization(command) => command.run(&self.directory, output),
            Command::Rollover(command) => command.run(&self.directory, output),
        }
    }
}

fn show_answer(folder: &CertificateFolder, serial: &Serial, output: Output) -> Result<(), Failure> {
    let records = folder.records()?;
    let der = records.ocsp_answer(serial)?;
    let (record, _) = records.show(serial)?;
    let issuer = records.authority_certificate(&record.authority)?;
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
        let next_update = answer.next_update.map_or_else(|| "-".into(), when);
        pairs(&[
            ("identity", record.identity.to_string()),
            ("serial", serial.to_string()),
            ("status", status.into()),
            ("reason", reason.map_or_else(|| "-".into(), |reason| reason.to_string())),
            ("this update", when(answer.this_update)),
            ("next update", next_update),
        ])
    })
}

fn forecast(expiries: &[Expiry], days: u64, now: Time) -> String {
    if expiries.is_empty() {
        return format!("nothing expires within {days} days\n");
    }
    let rows: Vec<Vec<String>> = expiries
        .iter()
        .map(|expiry| {
            let what = match &expiry.what {
                Expiring::Crl { authority } => format!("CRL of {authority}"),
                Expiring::Authority { authority } => format!("CA of {authority}"),
                Expiring::EarlierAuthority { authority, .. } => format!("CA of {authority}, an earlier certificate"),
                Expiring::Certificate { identity, .. } => identity.to_string(),
            };
            vec![until(expiry.at, now), what]
        })
        .collect();
    table(&["when", "what"], &rows)
}
