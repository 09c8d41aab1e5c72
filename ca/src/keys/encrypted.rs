//! Private keys under a passphrase: `ENCRYPTED PRIVATE KEY` (RFC 7468 §11, RFC 5958 §3), PBES2 (RFC 8018 §6.2) with
//! scrypt (RFC 7914) and AES-256-CBC, as OpenSSL reads and writes them.
//!
//! What a file asks for is bounded before any work is done for it. AES-CBC has no check of its own: a wrong passphrase
//! shows in the padding or in what comes out, which is no key.

use crate::{
    keys::{
        error::{KeyError, OpenError},
        pair::KeyPair,
    },
    limits::{PASSPHRASE_BYTES_MAX, PBKDF2_ROUNDS_MAX, SCRYPT_COST, SCRYPT_MEMORY_MAX, SCRYPT_WORK_MAX},
};
use pkcs8::{
    EncryptedPrivateKeyInfoRef,
    der::{Encode as _, asn1::OctetStringRef},
    pkcs5::{
        EncryptionScheme,
        pbes2::{Kdf, Parameters},
        scrypt,
    },
};
use pki::pem;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::fmt;
use zeroize::Zeroizing;

/// The label of the PEM block (RFC 7468 §11).
const PEM_LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// What opens keys: one line of text. Wiped when it is dropped, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

impl Passphrase {
    /// 256 random bits in hex.
    pub fn generate() -> Result<Self, KeyError> {
        let mut octets = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(octets.as_mut()).map_err(|_| KeyError::Random)?;
        Ok(Self(Zeroizing::new(hex::encode(octets).into_bytes())))
    }

    /// From the text of a file or a line that was typed: without the end of the line, which editors add. `None` if
    /// nothing is left, if it is longer than [`PASSPHRASE_BYTES_MAX`], or if there is another line, which OpenSSL
    /// would not read either.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let line = text.strip_suffix(b"\n").unwrap_or(text);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let one = !line.is_empty()
            && line.len() <= PASSPHRASE_BYTES_MAX
            && !line.iter().any(|octet| b"\r\n\0".contains(octet));
        one.then(|| Self(Zeroizing::new(line.to_vec())))
    }

    /// Its octets.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text of its file.
    pub(crate) fn to_text(&self) -> Zeroizing<Vec<u8>> {
        let mut text = Zeroizing::new(Vec::with_capacity(self.0.len() + 1));
        text.extend_from_slice(&self.0);
        text.push(b'\n');
        text
    }
}

/// Whether a key file's text is an encrypted key.
pub fn is_encrypted(text: &str) -> bool {
    text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
}

/// The key's file under a passphrase.
pub(crate) fn seal(key: &KeyPair, passphrase: &Passphrase) -> Result<String, KeyError> {
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    let random = SystemRandom::new();
    random.fill(&mut salt).and_then(|()| random.fill(&mut iv)).map_err(|_| KeyError::Random)?;
    let rejected = |error: &dyn fmt::Display| KeyError::Rejected(error.to_string());
    let (log_n, r, p) = SCRYPT_COST;
    let cost = scrypt::Params::new(log_n, r, p).map_err(|error| rejected(&error))?;
    let parameters = Parameters::generate_scrypt_aes256cbc(cost, &salt, iv).map_err(|error| rejected(&error))?;
    let data = parameters.encrypt(&*passphrase.0, key.pkcs8()).map_err(|error| rejected(&error))?;
    let encrypted_data = OctetStringRef::new(&data).map_err(|error| rejected(&error))?;
    let sealed = EncryptedPrivateKeyInfoRef { encryption_algorithm: parameters.into(), encrypted_data };
    let der = sealed.to_der().map_err(|error| rejected(&error))?;
    Ok(pem::write(PEM_LABEL, &der))
}

/// The key of a file.
pub fn open(text: &str, passphrase: &Passphrase) -> Result<KeyPair, OpenError> {
    let der = pem::read_one(text.as_bytes(), pem::ENCRYPTED_KEY).map_err(|_| OpenError::Form)?;
    let sealed = EncryptedPrivateKeyInfoRef::try_from(der.as_slice()).map_err(|_| OpenError::Form)?;
    let EncryptionScheme::Pbes2(parameters) = &sealed.encryption_algorithm else { return Err(OpenError::Scheme) };
    check_cost(&parameters.kdf)?;
    let octets = parameters.decrypt(&*passphrase.0, sealed.encrypted_data.as_bytes()).map(Zeroizing::new);
    let octets = octets.map_err(|error| match error {
        pkcs8::pkcs5::Error::DecryptFailed => OpenError::Passphrase,
        _ => OpenError::Scheme,
    })?;
    KeyPair::from_pkcs8(&octets).map_err(|_| OpenError::Passphrase)
}

fn check_cost(kdf: &Kdf) -> Result<(), OpenError> {
    let within = match kdf {
        Kdf::Pbkdf2(parameters) => (1..=PBKDF2_ROUNDS_MAX).contains(&parameters.iteration_count),
        Kdf::Scrypt(parameters) => {
            // RFC 7914 §2: N is a power of two above 1; the library counts on that.
            let (n, r, p) =
                (parameters.cost_parameter, parameters.block_size.into(), parameters.parallelization.into());
            let memory = n.saturating_mul(r).saturating_mul(128);
            let work = n.saturating_mul(r).saturating_mul(p);
            let formed = n > 1 && n.is_power_of_two() && r > 0 && p > 0;
            formed && memory <= SCRYPT_MEMORY_MAX && work <= SCRYPT_WORK_MAX
        }
        _ => return Err(OpenError::Scheme),
    };
    if within { Ok(()) } else { Err(OpenError::Cost) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use pkcs8::pkcs5::pbes2::{EncryptionScheme as Cipher, ScryptParams};
    use pki::KeyAlgorithm;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_key_comes_back_under_its_passphrase_only() {
        for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::P256] {
            let key = KeyPair::generate(algorithm).unwrap();
            let file = seal(&key, &passphrase("correct")).unwrap();
            assert!(is_encrypted(&file));
            assert_eq!(open(&file, &passphrase("correct\r\n")).unwrap().pkcs8(), key.pkcs8());
            for wrong in ["correct ", "Correct", "x"] {
                assert_eq!(open(&file, &passphrase(wrong)).unwrap_err(), OpenError::Passphrase);
            }
            assert_ne!(seal(&key, &passphrase("correct")).unwrap(), file, "salt and vector are fresh");
        }
    }

    #[test]
    fn a_passphrase_is_one_line() {
        for refused in ["", "\n", "\r\n", "a\nb", "a\n\n", "a\0b", &"x".repeat(PASSPHRASE_BYTES_MAX + 1)] {
            assert!(Passphrase::parse(refused.as_bytes()).is_none(), "{refused:?}");
        }
        let made = Passphrase::generate().unwrap();
        assert_eq!(made.to_text().len(), 65);
        assert_eq!(*Passphrase::parse(&made.to_text()).unwrap().0, *made.0);
        assert!(!format!("{made:?}").contains(std::str::from_utf8(&made.0).unwrap()));
    }

    /// A file that asks for `kdf`. Nothing of it opens, which must be found out without the work.
    fn asking(kdf: impl Into<Kdf>) -> String {
        let parameters = Parameters { kdf: kdf.into(), encryption: Cipher::Aes256Cbc { iv: [0; 16] } };
        let encrypted_data = OctetStringRef::new(&[0; 64]).unwrap();
        let sealed = EncryptedPrivateKeyInfoRef { encryption_algorithm: parameters.into(), encrypted_data };
        pem::write(PEM_LABEL, &sealed.to_der().unwrap())
    }

    #[test]
    fn a_file_cannot_ask_for_more_than_the_bounds() {
        let scrypt = |cost_parameter, block_size, parallelization| ScryptParams {
            salt: [7; 16].as_slice().try_into().unwrap(),
            cost_parameter,
            block_size,
            parallelization,
            key_length: None,
        };
        for (n, r, p) in [
            (1 << 63, u16::MAX, u16::MAX),
            (1 << 30, 8, 1),
            (1 << 31, u16::MAX, u16::MAX),
            (1 << 18, 8, 1),
            (1 << 14, 8, u16::MAX),
            (2, u16::MAX, u16::MAX),
            // What the library would panic over, or cannot be.
            (0, 8, 1),
            (1, 8, 1),
            (3 << 10, 8, 1),
            (1 << 14, 0, 1),
            (1 << 14, 8, 0),
        ] {
            let opened = open(&asking(scrypt(n, r, p)), &passphrase("x"));
            assert_eq!(opened.unwrap_err(), OpenError::Cost, "{n} {r} {p}");
        }
        assert_eq!(open(&asking(scrypt(2, 1, 1)), &passphrase("x")).unwrap_err(), OpenError::Passphrase);
        let rounds = |rounds| pkcs8::pkcs5::pbes2::Pbkdf2Params::hmac_sha256(rounds, &[7; 16]).unwrap();
        for count in [0, PBKDF2_ROUNDS_MAX + 1] {
            assert_eq!(open(&asking(rounds(count)), &passphrase("x")).unwrap_err(), OpenError::Cost, "{count}");
        }
        assert_eq!(open(&asking(rounds(1)), &passphrase("x")).unwrap_err(), OpenError::Passphrase);
    }

    #[test]
    fn what_is_no_encrypted_key_is_refused() {
        let good = seal(&KeyPair::generate(KeyAlgorithm::Ed25519).unwrap(), &passphrase("x")).unwrap();
        let damaged = |from: &str, to: &str| good.replacen(from, to, 1);
        for text in [
            "",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----",
            &damaged("=", ""),
            &damaged("-----END", "-----ENDE"),
            &good[..200],
        ] {
            assert_eq!(open(text, &passphrase("x")).unwrap_err(), OpenError::Form, "{text}");
        }
        assert_eq!(open(&pem::write(PEM_LABEL, &[0x30, 0]), &passphrase("x")).unwrap_err(), OpenError::Form);
    }
}
