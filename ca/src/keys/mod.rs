//! Private keys: of leaves and of CAs, in memory, in files, encrypted, in tokens.

pub mod encrypted;
pub mod error;
pub mod keyring;
pub mod pair;
pub mod passphrase;
pub mod pkcs11;
pub mod signer;
