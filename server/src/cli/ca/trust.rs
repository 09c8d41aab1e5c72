//! Organizations whose CA is elsewhere: what is carried from one to another, and what is done with it there.

use super::{NewKey, PassphraseFile, directory::Directory, in_full};
use crate::{
    cli::{
        failure::Failure,
        output::{Output, clean, table},
    },
    clock,
    limits::TRUST_FILE_BYTES_MAX,
    setup::{config::Config, operator},
};
use ca::{CertificateFolder, Keyring, office::record::ROOT};
use clap::{Args, Subcommand};
use pki::{
    AuthorityScope, KeyId,
    trust::{
        bundle::TrustBundle,
        exchange::{Accepting, ExchangeError, TrustAdded, TrustedAuthority, add_trust, keys_beginning, remove_trust},
        files::read_certificates,
    },
};
use serde_json::json;
use std::path::{Path, PathBuf};

impl From<ExchangeError> for Failure {
    fn from(error: ExchangeError) -> Self {
        match error {
            error @ (ExchangeError::Files(_)
            | ExchangeError::Form(_)
            | ExchangeError::Short(_)
            | ExchangeError::Ambiguous(..)
            | ExchangeError::Empty) => Self::usage(in_full(&error)),
            error => Self::refused(in_full(&error)),
        }
    }
}

/// Make the CA of an organization that has no peer, in a folder of its own
#[derive(Args, Debug)]
#[command(after_help = "\
The CA is a root that vouches for its organization only. Its certificates and CRL go to the others' peers in one file
(`chancery ca bundle`, `chancery ca trust add`).

Example:
  $ chancery ca init --consortium harbour.example --org carrier --dir carrier")]
pub(super) struct Init {
    /// Trust domain, the same as that of the others
    #[arg(long, value_name = "NAME")]
    consortium: String,
    /// Name of the organization
    #[arg(long, value_name = "NAME")]
    org: String,
    #[command(flatten)]
    key: NewKey,
}

/// A folder of the same consortium with no organization yet, as one has it who was interrupted.
fn begun(dir: &Path, consortium: &str) -> Result<Option<CertificateFolder>, Failure> {
    if !dir.join("ca").join("index.jsonl").exists() {
        return Ok(None);
    }
    let folder = super::open_folder(dir)?;
    let records = folder.records()?;
    let alone = records.authorities().keys().all(|name| name == ROOT) && records.certificates().is_empty();
    Ok((alone && folder.consortium() == consortium).then_some(folder))
}

impl Init {
    pub(super) fn run(self, dir: &Path, passphrase: &PassphraseFile, output: Output) -> Result<(), Failure> {
        files::private_folder(dir).map_err(|error| Failure::file(dir, &error))?;
        let source = passphrase.source(dir);
        if passphrase.passphrase_file.is_none() && !source.file.exists() {
            source.make().map_err(|error| Failure::refused(in_full(&error)))?;
        }
        let (keys, cause, now) = (Keyring::new(source.clone()), operator::cause("chancery ca init"), clock::now());
        let place = self.key.place()?;
        let folder = match begun(dir, &self.consortium)? {
            Some(folder) => folder.with_keys(keys).because(cause),
            None => CertificateFolder::create_with(dir, &self.consortium, place.clone(), keys, cause, now)?,
        };
        let made = folder.authorities().add_organization_root(&self.org, place, now)?;
        output.show(&made, |made| {
            format!(
                "{} has its CA in {} (serial {}), valid until {}\nkeep {} apart from copies of it\n",
                made.name,
                dir.join("ca").display(),
                made.serial,
                made.not_after,
                source.file.display()
            )
        })
    }
}

/// Put CAs and their CRLs into one file, for those who are to trust them
#[derive(Args, Debug)]
#[command(after_help = "\
Send the file; what it says is public. Send it again after each `chancery ca crl`, unless the peers fetch CRLs from each
other (`crl_peers`). Tell the key of each CA on another way.

Example:
  $ chancery ca bundle carrier --out carrier.pem --dir carrier")]
pub(super) struct Bundle {
    /// Organizations whose CAs go into it, with the roots above them; all if absent
    organizations: Vec<String>,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Bundle {
    pub(super) fn run(self, directory: &Directory, output: Output) -> Result<(), Failure> {
        let folder = directory.open()?;
        let bundle = folder.records()?.bundle(&self.organizations)?;
        let held = bundle.describe(folder.consortium())?;
        files::write_public(&self.out, bundle.to_text().as_bytes())
            .map_err(|error| Failure::file(&self.out, &error))?;
        output.show(&json!({ "file": self.out, "authorities": held, "crls": bundle.crls.len() }), |_| shown(&held))
    }
}

/// Whom a peer or a profile trusts
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  $ chancery ca trust list --dir peer-1
  $ chancery ca trust add carrier.pem --dir peer-1
  $ chancery ca trust remove 3b0c44298fc1 --dir peer-1")]
pub(super) struct Trust {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trust the CAs in a file that another organization made, or take its newer CRLs
    #[command(after_help = "\
All of it is checked before anything changes: whose each CA is, who signed it, that its CRL is in force. Before that,
compare the keys that `chancery ca trust show` tells with what the organization says on another way. A running peer takes the CAs and CRLs into force within a second; channels
admit the organization by `chancery channel create` or `channel update`.

Examples:
  $ chancery ca trust add carrier.pem --dir peer-1
  $ chancery ca trust add harbour.pem --root --into profiles/carl")]
    Add {
        /// File that `chancery ca bundle` wrote, or a directory with ca/
        source: PathBuf,
        /// Folder that is to trust them; if absent the peer's own
        #[arg(long, value_name = "FOLDER")]
        into: Option<PathBuf>,
        /// Also a consortium's root, which may certify CAs of every organization
        #[arg(long)]
        root: bool,
        /// Also a CA of an organization of which another one is trusted
        #[arg(long)]
        beside: bool,
    },
    /// Trust a CA no longer
    #[command(after_help = "\
Names the CA by its key, or the first 8 digits of it or more (`chancery ca trust list`). A running peer refuses its
certificates within a second; channels that list the CA go on admitting its members until their configuration changes.

Example:
  $ chancery ca trust remove 3b0c44298fc1 --dir peer-1")]
    Remove {
        /// SHA-256 of the CA's key in hex, or its beginning
        key: String,
        /// Folder that trusts it; if absent the peer's own
        #[arg(long, value_name = "FOLDER")]
        into: Option<PathBuf>,
    },
    /// Show what a file holds, and change nothing: the keys to compare before `trust add`
    #[command(after_help = "Example:\n  $ chancery ca trust show carrier.pem")]
    Show {
        /// File that `chancery ca bundle` wrote, or a directory with ca/
        source: PathBuf,
    },
    /// List the CAs that are trusted, and how long their CRLs hold
    #[command(after_help = "Example:\n  $ chancery ca trust list --dir peer-1")]
    List {
        /// Folder that trusts them; if absent the peer's own
        #[arg(long, value_name = "FOLDER")]
        into: Option<PathBuf>,
    },
}

impl Trust {
    pub(super) fn run(self, directory: &Directory, output: Output) -> Result<(), Failure> {
        let folder = |into: Option<PathBuf>| match into {
            Some(folder) => Ok(folder),
            None => {
                let dir = directory.path()?;
                let config = Config::load(dir).map_err(|error| Failure::usage(in_full(&error)))?;
                let own = dir.join(config.certificate_dir);
                if !own.is_dir() {
                    return Err(Failure::usage(format!(
                        "{} is no peer's directory, since it has no {}: who else is to trust them? Name the profile's \
                         folder, --into PROFILE",
                        dir.display(),
                        own.display()
                    )));
                }
                Ok::<_, Failure>(own)
            }
        };
        match self.command {
            Command::Add { source, into, root, beside } => {
                let into = folder(into)?;
                let brought = brought(&source)?;
                let consortium = consortium(&into)?;
                let accepting = Accepting { roots: root, beside };
                let added = add_trust(&into, &consortium, brought, accepting, clock::now())?;
                output.show(&added, |TrustAdded { authorities, crls }| {
                    let none = authorities.is_empty() && *crls == 0;
                    let what =
                        if none { "nothing new".to_owned() } else { format!("CRLs that were not known: {crls}") };
                    if authorities.is_empty() { format!("{what}\n") } else { format!("{}{what}\n", shown(authorities)) }
                })
            }
            Command::Remove { key, into } => {
                if into.is_none() && directory.path()?.join("ca").join("index.jsonl").exists() {
                    let own = directory.open_quietly()?.records()?.trust()?;
                    if !keys_beginning(&own, &key)?.is_empty() {
                        return Err(ExchangeError::Own(key).into());
                    }
                }
                let into = folder(into)?;
                let removed = remove_trust(&into, &consortium(&into)?, &key)?;
                output.show(&removed, |removed| format!("trusted no more:\n{}", shown(removed)))
            }
            Command::Show { source } => {
                let brought = brought(&source)?;
                let first = brought.anchors.iter().chain(&brought.issuing).next().map_or(&[][..], Vec::as_slice);
                let scope = AuthorityScope::of_certificate(first).map_err(|error| Failure::usage(in_full(&error)))?;
                output.show(&brought.describe(&scope.consortium)?, |held| shown(held))
            }
            Command::List { into } => {
                let into = folder(into)?;
                let bundle = TrustBundle::load(&into).map_err(ExchangeError::from)?;
                output.show(&bundle.describe(&consortium(&into)?)?, |held| shown(held))
            }
        }
    }
}

/// What those do who trust a CA that is a root of its own.
pub(super) fn told_of_new_root(organization: &str) -> String {
    format!(
        "It is a root of its own: whoever trusts it takes the file that `chancery ca bundle {organization}` writes \
         (`chancery ca trust add FILE --beside`), and takes the old one away (`chancery ca trust remove KEY`)\n"
    )
}

/// Two CAs of one name are two organizations for everybody who does not look at keys: the second is made on purpose only.
pub(super) fn refuse_a_second(dir: &Path, organization: &str) -> Result<(), Failure> {
    let config = Config::load(dir).map_err(|error| Failure::usage(in_full(&error)))?;
    // A folder without a peer trusts nobody else.
    let Ok(held) = TrustBundle::load(&dir.join(config.certificate_dir)) else { return Ok(()) };
    let of_it = |der: &&Vec<u8>| {
        AuthorityScope::of_certificate(der).is_ok_and(|scope| scope.organization.as_deref() == Some(organization))
    };
    let known = held.anchors.iter().chain(&held.issuing).find(of_it).and_then(|der| KeyId::of_certificate(der));
    match known {
        None => Ok(()),
        Some(key) => Err(Failure::refused(format!(
            "this peer trusts a CA of {organization} already, with key {key}: say --beside if both are its own, or \
             take that one away first (`chancery ca trust remove`)"
        ))),
    }
}

/// What is brought: of a folder the organizations, and the roots that they need.
fn brought(source: &Path) -> Result<TrustBundle, Failure> {
    if !source.is_dir() {
        let text = files::read_text(source, TRUST_FILE_BYTES_MAX).map_err(|error| Failure::file(source, &error))?;
        return Ok(TrustBundle::of_text(&text)?);
    }
    let records = CertificateFolder::open(source)?.records()?;
    let names: Vec<String> = records.authorities().keys().filter(|name| *name != ROOT).cloned().collect();
    Ok(records.bundle(&names)?)
}

/// The trust domain of a folder with a certificate, else of the CAs that it trusts.
fn consortium(folder: &Path) -> Result<String, Failure> {
    if let Some(der) = read_certificates(&folder.join("cert.pem")).ok().and_then(|path| path.into_iter().next()) {
        let claims = pki::LeafClaims::of_certificate(&der);
        return Ok(claims.map_err(|error| Failure::usage(error.to_string()))?.identity().consortium().to_owned());
    }
    let anchors = read_certificates(&folder.join("ca.pem")).map_err(ExchangeError::from)?;
    let scope = AuthorityScope::of_certificate(anchors.first().map_or(&[], Vec::as_slice));
    Ok(scope.map_err(|error| Failure::usage(error.to_string()))?.consortium)
}

fn shown(authorities: &[TrustedAuthority]) -> String {
    let row = |one: &TrustedAuthority| {
        vec![
            one.organization.as_deref().map_or_else(|| "(consortium)".into(), clean),
            if one.root { "root".into() } else { "issuing".into() },
            one.not_after.to_string(),
            one.crl_until.map_or_else(|| "no CRL".into(), |until| until.to_string()),
            one.key.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = authorities.iter().map(row).collect();
    table(&["organization", "kind", "until", "crl until", "key"], &rows)
}
