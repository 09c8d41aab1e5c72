//! Which files a peer consists of, and where they are in a peer's directory that is made from a backup: where they were,
//! if that is in the peer's directory, else in the usual place, so that what is restored lies together and touches
//! nothing else.

use super::error::{BackupError, file_error};
use crate::{
    control::Places,
    setup::config::{Config, FILE},
};
use ca::CertificateFolder;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

/// A file to keep.
pub(super) struct Item {
    /// Where it is.
    pub(super) from: PathBuf,
    /// Where it belongs in a peer's directory.
    pub(super) path: String,
}

/// The files of a peer.
pub(super) struct Items {
    pub(super) items: Vec<Item>,
    /// Keys of the configuration that must name another place than in its file, and which.
    pub(super) relocated: BTreeMap<String, String>,
    /// What was left out.
    pub(super) left_out: Vec<PathBuf>,
}

impl Places {
    /// Where the configuration of a peer says that its files are.
    pub(crate) fn of(dir: &Path, config: &Config) -> Self {
        Self {
            data_dir: dir.join(&config.data_dir),
            certificate_dir: dir.join(&config.certificate_dir),
            authority_dir: dir.join(&config.authority_dir),
            authority_passphrase_file: dir.join(&config.authority_passphrase_file),
            seal_key: dir.join(&config.seal_key),
            genesis: dir.join(&config.genesis),
        }
    }
}

/// The path of a place within a directory, if it is there.
fn inside(dir: &Path, place: &Path) -> Option<PathBuf> {
    let path = place.strip_prefix(dir).ok()?;
    let plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    plain.then(|| path.components().filter(|part| matches!(part, Component::Normal(_))).collect())
}

/// What the folder of the authorities has that others must wait for, if there is one and it can be held: a certificate that
/// is issued meanwhile is wholly in the backup, or not at all.
pub(super) fn hold_authorities(places: &Places) -> Option<impl Sized + use<>> {
    CertificateFolder::open(&places.authority_dir).ok()?.hold().ok()
}

/// Lists the files of a peer.
pub(super) fn items(dir: &Path, places: &Places, with_passphrase: bool) -> Result<Items, BackupError> {
    let dir = std::path::absolute(dir).map_err(file_error(dir))?;
    let usual = Config::default();
    let place = |place: &Path, usual: &Path| inside(&dir, place).unwrap_or_else(|| usual.to_owned());
    let certificates = place(&places.certificate_dir, &usual.certificate_dir);
    let authorities = place(&places.authority_dir, Path::new(""));
    let seal_key = place(&places.seal_key, &usual.seal_key);
    let genesis = place(&places.genesis, &usual.genesis);
    let passphrase = place(&places.authority_passphrase_file, &usual.authority_passphrase_file);

    let mut found = Found::default();
    found.file(&dir.join(FILE), Path::new(FILE));
    found.file(&places.genesis, &genesis);
    found.folder(&places.certificate_dir, &certificates)?;
    found.file(&places.seal_key, &seal_key);
    found.folder(&places.authority_dir.join("ca"), &authorities.join("ca"))?;
    found.folder(&dir.join("profiles"), Path::new("profiles"))?;
    let mut left_out = Vec::new();
    match places.authority_passphrase_file.exists() {
        true if with_passphrase => found.file(&places.authority_passphrase_file, &passphrase),
        true => left_out.push(places.authority_passphrase_file.clone()),
        false => {}
    }
    // A passphrase that was left out is where it was.
    let passphrase = match with_passphrase || inside(&dir, &places.authority_passphrase_file).is_some() {
        true => passphrase,
        false => places.authority_passphrase_file.clone(),
    };
    let wanted = [
        ("data_dir", place(&places.data_dir, &usual.data_dir)),
        ("certificate_dir", certificates),
        ("authority_dir", authorities),
        ("seal_key", seal_key),
        ("genesis", genesis),
        ("authority_passphrase_file", passphrase),
    ];
    let text = fs::read_to_string(dir.join(FILE)).unwrap_or_default();
    let said = Config::parse(&text, |_| None)?;
    let said = toml::Table::try_from(said).unwrap_or_default();
    let mut relocated = BTreeMap::new();
    for (key, path) in wanted {
        let said = said.get(key).and_then(toml::Value::as_str).unwrap_or_default();
        if inside(&dir, &dir.join(said)).unwrap_or_else(|| said.into()) != path {
            let path = if path.as_os_str().is_empty() { ".".into() } else { path };
            relocated.insert(key.to_owned(), text_of(&path)?);
        }
    }
    Ok(Items { items: found.items, relocated, left_out })
}

fn text_of(path: &Path) -> Result<String, BackupError> {
    let unsuitable = || BackupError::Unsuitable { path: path.into(), what: "its name is not UTF-8".into() };
    path.to_str().map(str::to_owned).ok_or_else(unsuitable)
}

#[derive(Default)]
struct Found {
    items: Vec<Item>,
    paths: BTreeSet<String>,
}

impl Found {
    /// A file, if it is there and was not found before.
    fn file(&mut self, from: &Path, path: &Path) {
        let Some(path) = path.to_str().map(str::to_owned) else { return };
        if from.is_file() && self.paths.insert(path.clone()) {
            self.items.push(Item { from: from.into(), path });
        }
    }

    /// All files of a folder and of those below, but for hidden ones, which are being written, and locks. Links are
    /// followed: secret stores show files through them.
    fn folder(&mut self, from: &Path, path: &Path) -> Result<(), BackupError> {
        let entries = match fs::read_dir(from) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(file_error(from))?,
        };
        let names = entries.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<BTreeSet<_>>>();
        for name in names.map_err(file_error(from))? {
            let text = text_of(Path::new(&name))?;
            if text.starts_with('.') || text == "lock" {
                continue;
            }
            let (from, path) = (from.join(&name), path.join(&name));
            match from.is_dir() {
                true => self.folder(&from, &path)?,
                false => self.file(&from, &path),
            }
        }
        Ok(())
    }
}
