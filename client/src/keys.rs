//! Account keys: made from words, kept in a file that only its owner reads.
//!
//! 12 or 24 English words (BIP 39) give a seed; SLIP-0010 for Ed25519 derives the key of account `n` at
//! `m/44'/1128812099'/n'` (every step hardened; 1128812099 is ASCII `CHNC`, no registered coin's number), without
//! passphrase unless one is given. So any wallet library recovers a key from the words.
//!
//! The file holds the key as PKCS#8 version 1 (RFC 5958, RFC 8410) in PEM, the form that OpenSSL reads.
//! What must never happen here: an existing key file overwritten, a key file that others may read, a secret in an
//! error.

use base64::Engine as _;
use bip39::{Language, Mnemonic};
use ledger_classes::keys::SigningKey;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The first two steps of the derivation path; the third is the account's number.
pub const DERIVATION_PATH: [u32; 2] = [44, 1_128_812_099];

/// Bytes of a key's file.
const ACCOUNT_KEY_BYTES_MAX: u64 = 4096;

/// What precedes the 32-byte seed in a PKCS#8 version 1 Ed25519 key (RFC 8410 §7).
const PKCS8_PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// The words of a key. Wiped from memory on drop; shown once, to be written down.
pub struct Words(Mnemonic);

/// How many words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordCount {
    /// 128 bits.
    Twelve,
    /// 256 bits.
    TwentyFour,
}

/// Why words are not a key's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WordsError {
    /// Another number of words.
    #[error("{0} words: there are 12, 15, 18, 21 or 24")]
    Count(usize),
    /// Position of an unknown word; the word itself is secret.
    #[error("word {0} is not on the BIP 39 English list")]
    Unknown(usize),
    /// All words are known, but they do not belong together.
    #[error("the checksum of the words is wrong: a word is mistaken, missing or misplaced")]
    Checksum,
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Randomness,
    /// The account's number is 2^31 or above.
    #[error("an account's number is below 2^31")]
    Account,
}

impl Words {
    /// Fresh words from the system's randomness.
    pub fn generate(count: WordCount) -> Result<Self, WordsError> {
        let mut entropy = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(entropy.as_mut_slice()).map_err(|_| WordsError::Randomness)?;
        let bytes = match count {
            WordCount::Twelve => 16,
            WordCount::TwentyFour => 32,
        };
        Ok(Self(Mnemonic::from_entropy_in(Language::English, &entropy[..bytes]).expect("16 and 32 bytes are allowed")))
    }

    /// Reads words, in any case and with any white space between them.
    pub fn parse(text: &str) -> Result<Self, WordsError> {
        let text = Zeroizing::new(text.to_lowercase());
        Mnemonic::parse_in(Language::English, text.as_str()).map(Self).map_err(|error| match error {
            bip39::Error::BadWordCount(count) => WordsError::Count(count),
            bip39::Error::UnknownWord(index) => WordsError::Unknown(index + 1),
            _ => WordsError::Checksum,
        })
    }

    /// The words, separated by spaces.
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.words().collect::<Vec<_>>().join(" "))
    }

    /// The key of an account.
    pub fn key(&self, account: u32, passphrase: &str) -> Result<SigningKey, WordsError> {
        if account >= 1 << 31 {
            return Err(WordsError::Account);
        }
        let seed = Zeroizing::new(self.0.to_seed(passphrase));
        let [purpose, coin] = DERIVATION_PATH;
        let path = [purpose, coin, account];
        let key = Zeroizing::new(slip10_ed25519::derive_ed25519_private_key(seed.as_slice(), &path));
        Ok(SigningKey::from_seed(&key))
    }
}

/// What to do about a key that nobody has made.
fn unmade(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => " (`chancery key new` makes the profile's account key)",
        _ => "",
    }
}

/// Why a key file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum AccountKeyError {
    /// The file cannot be read.
    #[error("{} cannot be read{}", path.display(), unmade(source))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not one private key in PEM.
    #[error("{}, {reason}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        reason: pki::pem::PemError,
    },
    /// Not an Ed25519 key in PKCS#8.
    #[error("{} holds no Ed25519 key", path.display())]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// There is a file already: a key is never overwritten.
    #[error("{} exists already, and a key is never overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Writes a key to a new file that only its owner reads, and syncs it.
pub fn write_account_key(path: &Path, key: &SigningKey) -> Result<(), AccountKeyError> {
    let mut der = Zeroizing::new([0; 48]);
    der[..16].copy_from_slice(&PKCS8_PREFIX);
    der[16..].copy_from_slice(key.seed().as_slice());
    let text = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(der.as_slice()));
    let pem = Zeroizing::new(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", text.as_str()));
    files::create_private(path, pem.as_bytes()).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => AccountKeyError::Exists { path: path.into() },
        _ => AccountKeyError::Write { path: path.into(), source },
    })
}

/// Reads a key file, which others must not be able to read ([`files::read_secret`]).
pub fn read_account_key(path: &Path) -> Result<SigningKey, AccountKeyError> {
    let pem = files::read_secret(path, ACCOUNT_KEY_BYTES_MAX);
    let pem = pem.map_err(|source| AccountKeyError::Read { path: path.into(), source })?;
    let form = || AccountKeyError::Form { path: path.into() };
    let der = pki::pem::read_one(&pem, pki::pem::PRIVATE_KEY)
        .map_err(|reason| AccountKeyError::Pem { path: path.into(), reason })?;
    let seed = der.strip_prefix(&PKCS8_PREFIX).and_then(|seed| <&[u8; 32]>::try_from(seed).ok());
    seed.map(SigningKey::from_seed).ok_or_else(form)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Vectors of BIP 39's reference implementation (github.com/trezor/python-mnemonic, vectors.json; passphrase
    /// TREZOR): entropy, words, first bytes of the seed.
    const BIP39: [(&str, &str, &str); 3] = [
        (
            "00000000000000000000000000000000",
            "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about",
            "c55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e9efa3708e53495531f09a6987599d18264c1e1c92f2cf141630c7a3c4ab7c81b2f001698e7463b04",
        ),
        (
            "7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f",
            "legal winner thank year wave sausage worth useful legal winner thank yellow",
            "2e8905819b8723fe2c1d161860e5ee1830318dbf49a83bd451cfb8440c28bd6fa457fe1296106559a3c80937a1c1069be3a3a5bd381ee6260e8d9739fce1f607",
        ),
        (
            "0000000000000000000000000000000000000000000000000000000000000000",
            "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
             abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art",
            "bda85446c68413707090a52022edd26a1c9462295029f2e60cd7c4f2bbd3097170af7a4d73245cafa9c3cca8d561a7c3de6f5d4a10be8ed2a5e608d68f92fcc8",
        ),
    ];

    #[test]
    fn words_give_the_seeds_of_the_bip_39_vectors() {
        for (entropy, text, seed) in BIP39 {
            let words = Words::parse(&format!("  {}\n", text.to_uppercase())).unwrap();
            assert_eq!(hex::encode(words.0.to_entropy()), entropy);
            assert_eq!(hex::encode(words.0.to_seed("TREZOR")), seed);
            assert_eq!(*words.text(), Words::parse(text).unwrap().text().as_str());
        }
    }

    #[test]
    fn derivation_follows_the_slip_0010_vectors() {
        // SLIP-0010, test vectors for ed25519: seed, path, private key.
        let (one, two) = (
            "000102030405060708090a0b0c0d0e0f",
            "fffcf9f6f3f0edeae7e4e1dedbd8d5d2cfccc9c6c3c0bdbab7b4b1aeaba8a5a29f9c999693908d8a8784817e7b7875726f6c696663605d5a5754514e4b484542",
        );
        for (seed, path, key) in [
            (one, &[][..], "2b4be7f19ee27bbf30c667b642d5f4aa69fd169872f8fc3059c08ebae2eb19e7"),
            (one, &[0], "68e0fe46dfb67e368c75379acec591dad19df3cde26e63b93a8e704f1dade7a3"),
            (one, &[0, 1, 2, 2, 1_000_000_000], "8f94d394a8e8fd6b1bc2f3f49f5c47e385281d5c17e65324b0f62483e37e8793"),
            (two, &[0, 2_147_483_647], "ea4f5bfe8694d8bb74b7b59404632fd5968b774ed545e810de9c32a4fb4192f4"),
        ] {
            let derived = slip10_ed25519::derive_ed25519_private_key(&hex::decode(seed).unwrap(), path);
            assert_eq!(hex::encode(derived), key, "{path:?}");
        }
    }

    #[test]
    fn words_recover_their_key_for_each_account() {
        let words = Words::generate(WordCount::TwentyFour).unwrap();
        let again = Words::parse(&words.text()).unwrap();
        assert_eq!(words.key(0, "").unwrap().public(), again.key(0, "").unwrap().public());
        assert_ne!(words.key(0, "").unwrap().public(), words.key(1, "").unwrap().public());
        assert_ne!(words.key(0, "").unwrap().public(), words.key(0, "x").unwrap().public());
        assert_eq!(words.key(1 << 31, "").unwrap_err(), WordsError::Account);
        assert_eq!(Words::generate(WordCount::Twelve).unwrap().0.word_count(), 12);
    }

    #[test]
    fn wrong_words_say_what_is_wrong_without_repeating_them() {
        for (text, error) in [
            ("", WordsError::Count(0)),
            ("abandon abandon", WordsError::Count(2)),
            (&"abandon ".repeat(12), WordsError::Checksum),
            (&format!("{}secretly", "abandon ".repeat(11)), WordsError::Unknown(12)),
        ] {
            assert_eq!(Words::parse(text).err(), Some(error), "{text}");
        }
    }

    #[test]
    fn a_key_file_is_private_and_never_overwritten() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("account.key");
        let key = SigningKey::from_seed(&[7; 32]);
        write_account_key(&path, &key).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_account_key(&path).unwrap().public(), key.public());
        assert!(matches!(write_account_key(&path, &key), Err(AccountKeyError::Exists { .. })));

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let AccountKeyError::Read { source, .. } = read_account_key(&path).unwrap_err() else { panic!("it was read") };
        assert_eq!(source.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn other_keys_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("account.key");
        let p256 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
        for text in ["", "0707", p256.as_str()] {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            assert!(
                matches!(read_account_key(&path), Err(AccountKeyError::Form { .. } | AccountKeyError::Pem { .. })),
                "{text}"
            );
        }
    }
}
