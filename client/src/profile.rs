//! A profile: the folder that says who somebody is and which peer it talks to.
//!
//! ```text
//! ca.pem         certificates that vouch for the peer
//! cert.pem       the own certificate, then its intermediates   (both or neither: a reader of public channels
//! key.pem        its private key                                needs none)
//! account.key    the key that signs transactions, see `keys`
//! profile.toml   peer = "https://127.0.0.1:7100"
//!                consortium = "harbour.example"
//!                account_key = "account.key"     # relative to the folder; this is the default
//! ```

use crate::{
    certificate::{Credential, CredentialError, certificates, is_encrypted},
    keys::{AccountKeyError, read_account_key},
};
use files::KEY_FILE_BYTES_MAX;
use ledger_classes::keys::SigningKey;
use ledger_classes::primitives::json::Strict;
pub use reqwest::Url;
use rustls::pki_types::CertificateDer;
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Bytes of any file of a profile: certificates and keys are far smaller, and a device or a log given by mistake
/// must not fill the memory.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// An opened profile.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The folder.
    pub directory: PathBuf,
    /// The peer's address, `https`.
    pub peer: Url,
    /// The trust domain.
    pub consortium: String,
    /// File of the account key.
    pub account_key: PathBuf,
    /// Who vouches for peers.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Who the holder is; without one only public channels answer.
    pub credential: Option<Credential>,
}

/// Why a folder is not a profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is larger than any of its kind.
    #[error("{} is larger than {FILE_BYTES_MAX} bytes", path.display())]
    Oversize {
        /// The file.
        path: PathBuf,
    },
    /// `profile.toml` is not one.
    #[error("{}: {why}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Only one of `cert.pem` and `key.pem` is there.
    #[error("{} is missing: a profile has both cert.pem and key.pem, or neither", path.display())]
    Half {
        /// The missing file.
        path: PathBuf,
    },
    /// A certificate or key file is not one.
    #[error("{}", path.display())]
    Credential {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: CredentialError,
    },
    /// The certificate belongs to another consortium than the profile names.
    #[error("the certificate's identity {identity} is of another consortium than {consortium}")]
    OtherConsortium {
        /// What the certificate says.
        identity: String,
        /// What the profile says.
        consortium: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    peer: String,
    consortium: String,
    #[serde(default = "account_key_default")]
    account_key: PathBuf,
}

fn account_key_default() -> PathBuf {
    "account.key".into()
}

/// Why a text is no peer's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerAddressError {
    /// No URL, or another scheme, or without a host.
    #[error("a peer's address reads https://host:port, not {0:?}")]
    Form(String),
    /// A path, a query, a fragment or a user.
    #[error("a peer's address ends after the port: {0:?}")]
    More(String),
}

/// Parses a peer's address: `https://host:port`, nothing behind it.
///
/// # Errors
/// It is something else.
pub fn parse_peer(text: &str) -> Result<Url, PeerAddressError> {
    let form = || PeerAddressError::Form(text.to_owned());
    let url = Url::parse(text).map_err(|_| form())?;
    if url.scheme() != "https" || url.host_str().is_none() {
        return Err(form());
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(PeerAddressError::More(text.to_owned()));
    }
    Ok(url)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, ProfileError> {
    use io::Read as _;
    let fail = |source| ProfileError::Read { path: path.into(), source };
    let file = std::fs::File::open(path).map_err(fail)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(ProfileError::Oversize { path: path.into() });
    }
    Ok(bytes)
}

/// A file that may be missing.
fn if_there<T>(read: Result<T, ProfileError>) -> Result<Option<T>, ProfileError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(ProfileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, ProfileError> {
    let read = files::read_secret(path, KEY_FILE_BYTES_MAX);
    read.map_err(|source| ProfileError::Read { path: path.into(), source })
}

impl Profile {
    /// Reads a profile's folder. The account key is read when something is signed: [`Profile::read_account_key`].
    pub fn open(directory: &Path) -> Result<Self, ProfileError> {
        Self::open_with(directory, |_, _| Err(CredentialError::Encrypted))
    }

    /// The same; `unlock` is given the path and the text of `key.pem` if that is encrypted, and gives the key in PEM.
    pub fn open_with(
        directory: &Path,
        unlock: impl FnOnce(&Path, &[u8]) -> Result<Zeroizing<Vec<u8>>, CredentialError>,
    ) -> Result<Self, ProfileError> {
        let path = directory.join("profile.toml");
        let settings = |why: String| ProfileError::Settings { path: path.clone(), why };
        let bytes = read(&path)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| settings("not UTF-8".into()))?;
        let parsed = toml::Deserializer::parse(text).and_then(|settings| Settings::deserialize(Strict(settings)));
        let Settings { peer, consortium, account_key } =
            parsed.map_err(|error| settings(error.to_string().trim_end().to_owned()))?;
        let peer = parse_peer(&peer).map_err(|error| settings(error.to_string()))?;

        let ca = directory.join("ca.pem");
        let authorities =
            certificates(&read(&ca)?).map_err(|source| ProfileError::Credential { path: ca.clone(), source })?;
        let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
        let credential = match (if_there(read(&certificate))?, if_there(read_key(&key))?) {
            (None, None) => None,
            (None, Some(_)) => return Err(ProfileError::Half { path: certificate }),
            (Some(_), None) => return Err(ProfileError::Half { path: key }),
            (Some(certificate_pem), Some(mut key_pem)) => {
                if is_encrypted(&key_pem) {
                    let opened = unlock(&key, &key_pem);
                    key_pem = opened.map_err(|source| ProfileError::Credential { path: key.clone(), source })?;
                }
                Some(Credential::from_pem(&certificate_pem, &key_pem).map_err(|source| match source {
                    CredentialError::Key(_) | CredentialError::KeyKind => {
                        ProfileError::Credential { path: key, source }
                    }
                    source => ProfileError::Credential { path: certificate, source },
                })?)
            }
        };
        if let Some(credential) = &credential
            && credential.leaf().identity.consortium() != consortium
        {
            let identity = credential.leaf().identity.to_string();
            return Err(ProfileError::OtherConsortium { identity, consortium });
        }
        Ok(Self {
            directory: directory.into(),
            peer,
            consortium,
            account_key: directory.join(account_key),
            authorities,
            credential,
        })
    }

    /// Reads the account key.
    pub fn read_account_key(&self) -> Result<SigningKey, AccountKeyError> {
        read_account_key(&self.account_key)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::error::Error as _;

    fn authority(name: &str) -> (String, String) {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![rcgen::SanType::URI(name.try_into().unwrap())];
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn folder(contents: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        contents
            .iter()
            .for_each(|(name, text)| files::write_private(&folder.path().join(name), text.as_bytes()).unwrap());
        folder
    }

    const SETTINGS: &str = "peer = \"https://127.0.0.1:7100\"\nconsortium = \"harbour\"\n";

    #[test]
    fn a_complete_folder_opens() {
        let (pem, key) = authority("spiffe://harbour/bank/client/alice");
        let folder = folder(&[("profile.toml", SETTINGS), ("ca.pem", &pem), ("cert.pem", &pem), ("key.pem", &key)]);
        let profile = Profile::open(folder.path()).unwrap();
        assert_eq!(profile.peer.as_str(), "https://127.0.0.1:7100/");
        assert_eq!(profile.account_key, folder.path().join("account.key"));
        assert_eq!(profile.credential.unwrap().leaf().identity.name(), "alice");
    }

    #[test]
    fn a_reader_of_public_channels_needs_no_certificate() {
        let (pem, _) = authority("spiffe://harbour/bank/client/alice");
        let folder = folder(&[("profile.toml", SETTINGS), ("ca.pem", &pem)]);
        assert!(Profile::open(folder.path()).unwrap().credential.is_none());
    }

    #[test]
    fn each_defect_is_named() {
        let (pem, key) = authority("spiffe://harbour/bank/client/alice");
        let (stranger, stranger_key) = authority("spiffe://other/bank/client/alice");
        let (website, website_key) = authority("https://example.org/");
        let settings = |text: &'static str| vec![("profile.toml", text), ("ca.pem", pem.as_str())];
        let files = |certificate, key| {
            vec![("profile.toml", SETTINGS), ("ca.pem", pem.as_str()), ("cert.pem", certificate), ("key.pem", key)]
        };
        for (files, part) in [
            (vec![("ca.pem", pem.as_str())], "profile.toml cannot be read"),
            (settings("consortium = \"harbour\""), "missing field `peer`"),
            (settings("peer = \"https://a\"\nconsortium = \"h\"\nport = 1"), "unknown field `port`"),
            (settings("peer = \"http://a\"\nconsortium = \"h\""), "reads https://host:port"),
            (settings("peer = \"https://a/v1\"\nconsortium = \"h\""), "ends after the port"),
            (settings("peer = \"nowhere\"\nconsortium = \"h\""), "reads https://host:port"),
            (vec![("profile.toml", SETTINGS)], "ca.pem cannot be read"),
            (vec![("profile.toml", SETTINGS), ("ca.pem", "text")], "ca.pem: line 1: no CERTIFICATE in PEM"),
            (vec![("profile.toml", SETTINGS), ("ca.pem", &pem), ("cert.pem", &pem)], "key.pem is missing"),
            (vec![("profile.toml", SETTINGS), ("ca.pem", &pem), ("key.pem", &key)], "cert.pem is missing"),
            (files(&pem, "text"), "key.pem: line 1: no PRIVATE KEY in PEM"),
            (files("text", &key), "cert.pem: line 1: no CERTIFICATE in PEM"),
            (files(&website, &website_key), "carries no identity"),
            (files(&stranger, &stranger_key), "another consortium than harbour"),
        ] {
            let folder = folder(&files);
            let error = Profile::open(folder.path()).unwrap_err();
            let cause = error.source().map_or(String::new(), |source| format!(": {source}"));
            assert!(format!("{error}{cause}").contains(part), "{error}{cause} should say {part}");
        }
    }
}
