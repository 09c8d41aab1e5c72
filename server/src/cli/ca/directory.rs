//! The authorities' folder on this machine: where it is, who acts on it, and how it is opened.

use super::{in_full, passphrase::PassphraseFile};
use crate::{
    cli::{failure::Failure, output::note},
    setup::{backup::incarnation_file, config::Config, operator},
};
use ca::{
    Cause, Keyring,
    office::{database::DatabaseError, error::FolderError, folder::CertificateFolder},
};
use channel_actors::peer::fence;
use clap::Args;
use std::path::{Path, PathBuf};

/// Where the authorities are.
#[derive(Args, Debug)]
pub(super) struct Directory {
    /// Directory that `chancery init` made; it holds `ca/`. Without it the profile's peer is asked, where that is possible
    #[arg(long, value_name = "DIR", env = "CHANCERY_DIR", global = true)]
    pub(super) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) passphrase: PassphraseFile,
    #[command(flatten)]
    pub(super) acting: Acting,
}

/// Who acts, and why: recorded with every act, and on `main`.
#[derive(Args, Debug)]
pub(super) struct Acting {
    /// Who does this; the system's user and host if absent. Over HTTPS it is the certificate that says who
    #[arg(long, alias = "as", value_name = "NAME", global = true, help_heading = "Recorded with the act")]
    pub(super) by: Option<String>,
    /// Why, for people to read; at most 256 characters
    #[arg(long, value_name = "TEXT", global = true, help_heading = "Recorded with the act")]
    pub(super) why: Option<String>,
}

impl Acting {
    pub(super) fn who(&self) -> String {
        self.by.clone().unwrap_or_else(operator::name)
    }
}

impl Directory {
    /// The directory, for what only its owner may do.
    pub(super) fn path(&self) -> Result<&Path, Failure> {
        let missing = || {
            Failure::usage(
                "this works on the authorities' folder itself: give --dir DIR, or set CHANCERY_DIR, where that is",
            )
        };
        self.dir.as_deref().ok_or_else(missing)
    }

    /// Opens the authorities' folder. What needs a key asks for the passphrase then.
    pub(super) fn open(&self) -> Result<CertificateFolder, Failure> {
        let folder = self.open_quietly()?;
        let plain = folder.key_files().plain()?;
        if !plain.is_empty() {
            note(&format!("keys lie unencrypted ({}): `chancery ca passphrase` encrypts them", plain.join(", ")));
        }
        for name in folder.records()?.lacking_crls() {
            note(&format!("the CRL of {name} lacks what was revoked: `chancery ca crl {name}` signs it again"));
        }
        Ok(folder)
    }

    pub(super) fn open_quietly(&self) -> Result<CertificateFolder, Failure> {
        let cause = Cause::new(&self.acting.who(), self.acting.why.as_deref());
        let cause = cause.map_err(|error| Failure::usage(error.to_string()))?;
        let dir = self.path()?;
        let keys = Keyring::new(self.passphrase.source(dir));
        Ok(open_folder(dir)?.with_keys(keys).because(cause))
    }
}

/// Opens the authorities' folder; read-only if its fence is another peer's or unreadable. A folder that no peer has served has
/// no fence.
pub(in crate::cli) fn open_folder(dir: &Path) -> Result<CertificateFolder, FolderError> {
    let fenced = match Config::load(dir) {
        Err(error) => Some(format!("nothing tells where its peer is: {}", in_full(&error))),
        Ok(config) => {
            let seal_key = dir.join(&config.seal_key);
            let entry =
                fence::Entry { incarnation: incarnation_file(&seal_key), authorities: dir.join("ca"), moved: false };
            entry.look(&dir.join(&config.data_dir), &seal_key).unwrap_or_else(|error| Some(error.to_string()))
        }
    };
    Ok(CertificateFolder::open(dir)?.behind(fenced))
}

impl From<FolderError> for Failure {
    fn from(error: FolderError) -> Self {
        match &error {
            FolderError::Database(database) => folder_failure(database, &error),
            FolderError::UnknownAuthority(name) => Self::refused(format!(
                "{}: those of an organization that it is to vouch for are made by `chancery ca organization {name}`",
                in_full(&error)
            )),
            _ => Self::refused(in_full(&error)),
        }
    }
}

/// A directory that is no peer's is a mistake of who named it; a folder that is damaged is no.
pub(super) fn folder_failure(error: &DatabaseError, whole: &dyn std::error::Error) -> Failure {
    match error {
        DatabaseError::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Failure::usage(format!("no authorities' folder is there: {}", in_full(whole)))
        }
        _ => Failure::refused(in_full(whole)),
    }
}
