//! Why a key cannot be made, read, opened or used; and those of its parts that say it: the encrypted file, the passphrase,
//! the token.

use pki::{
    pem::PemError,
    x509::public_key::{KeyAlgorithm, KeyAlgorithmError},
};
use std::{io, path::PathBuf};

/// Why a key cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system's random source failed.
    #[error("the system's random source failed")]
    Random,
    /// Neither Ed25519 nor P-256.
    #[error(transparent)]
    Algorithm(#[from] KeyAlgorithmError),
    /// Not a PKCS#8 private key.
    #[error("the private key's PEM")]
    Pem(#[from] PemError),
    /// Not a private key that is not encrypted.
    #[error("not an unencrypted PKCS#8 private key")]
    Form,
    /// A PKCS#8 key under a password: not read here.
    #[error("the private key is encrypted")]
    Encrypted,
    /// The library refused the key or the signature.
    #[error("the private key cannot be used: {0}")]
    Rejected(String),
    /// An encrypted key of a CA does not open.
    #[error("key file {}{}", path.display(), if from.is_empty() { String::new() } else { format!(", with {from}") })]
    Locked {
        /// Which.
        path: PathBuf,
        /// Where the passphrase came from, if it is the passphrase.
        from: String,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// There is no passphrase for the CAs' keys.
    #[error("the passphrase of the CAs' keys")]
    Passphrase(#[from] PassphraseError),
    /// The token.
    #[error("the key in a token")]
    Token(#[from] TokenError),
    /// The file cannot be read or written.
    #[error("key file {path}")]
    File {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl KeyError {
    /// Whether the key is there, and an operator can make it usable: by a passphrase, by what its token lacks, or by the
    /// mode of its file.
    pub fn is_locked(&self) -> bool {
        match self {
            Self::Locked { .. } | Self::Passphrase(_) | Self::Token(_) => true,
            Self::File { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            _ => false,
        }
    }
}

/// Why a key does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not PEM, or not the DER of an encrypted key.
    #[error("not an encrypted PKCS#8 private key in PEM")]
    Form,
    /// Another scheme.
    #[error("encrypted by something else than PBES2 with scrypt or PBKDF2-HMAC-SHA-2, and AES")]
    Scheme,
    /// More memory or time than a file may ask for.
    #[error("to open it would take more memory or time than a key file may ask for")]
    Cost,
    /// Not its passphrase; or a damaged file, which looks the same.
    #[error("the passphrase is wrong, or the file is damaged")]
    Passphrase,
}

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// No file, and nobody to ask.
    #[error(
        "there is none in {}: put it there, or name its file by --passphrase-file or \
         CHANCERY_AUTHORITY_PASSPHRASE_FILE (authority_passphrase_file in a peer's chancery.toml)",
        file.display()
    )]
    Missing {
        /// Where it was looked for.
        file: PathBuf,
    },
    /// Not one line.
    #[error("{from}: a passphrase is one line of at most 1024 octets")]
    Form {
        /// Who supplied the passphrase.
        from: String,
    },
    /// It opens no other key of the folder.
    #[error("that of {from} does not open {}, and a folder has one for all its keys", key.display())]
    Other {
        /// Who supplied the passphrase.
        from: String,
        /// A key of the same folder.
        key: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("{}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody typed it.
    #[error("it cannot be asked for")]
    Typed(#[source] io::Error),
}

/// Why a token does not sign.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// No such library, or it is no PKCS#11 module.
    #[error("the module {} cannot be loaded: {what}", module.display())]
    Module {
        /// Which.
        module: PathBuf,
        /// Why.
        what: String,
    },
    /// No token has the label, or several have.
    #[error("{count} tokens are called {label:?}; there are: {there}")]
    Token {
        /// What was looked for.
        label: String,
        /// How many have it.
        count: usize,
        /// The labels of all tokens.
        there: String,
    },
    /// The PIN cannot be read.
    #[error("the PIN file {}", file.display())]
    PinFile {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The token does not take the PIN.
    #[error("the token refuses the PIN of {} ({what}); the same PIN is not tried again", file.display())]
    Pin {
        /// Whose.
        file: PathBuf,
        /// What the token says.
        what: String,
    },
    /// The token has no such key.
    #[error("the token {token:?} has no key with the id {id} (label {label:?})")]
    NoKey {
        /// Whose.
        token: String,
        /// What it was called.
        label: String,
        /// Its id, hex.
        id: String,
    },
    /// The token makes no such keys.
    #[error("the token {token:?} makes no {algorithm} keys")]
    Algorithm {
        /// Whose.
        token: String,
        /// Which.
        algorithm: KeyAlgorithm,
    },
    /// The token made a key that it would give out.
    #[error("the token does not keep the key to itself")]
    Exposed,
    /// What the token returned is no signature of the key, or no public key.
    #[error("what the token returns is not a {0}")]
    Answer(&'static str),
    /// The description of the key.
    #[error("{} does not describe a key in a token: {what}", file.display())]
    Description {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Anything else that the module says.
    #[error("{0}")]
    Refused(String),
}
