//! Where a new CA's key is made: here, or in a token.

use super::algorithm::Algorithm;
use crate::cli::failure::Failure;
use ca::{KeyPlace, keys::pkcs11::Token};
use clap::Args;
use std::path::PathBuf;

/// The key of a new CA.
#[derive(Args, Debug)]
pub(in crate::cli) struct NewKey {
    /// Algorithm of the new keys
    #[arg(long, value_enum, default_value_t)]
    algorithm: Algorithm,
    /// Make the key in a token, by this PKCS#11 module
    #[arg(long, value_name = "LIBRARY", requires_all = ["pkcs11_token", "pkcs11_pin_file"])]
    pkcs11_module: Option<PathBuf>,
    /// Label of the token
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module")]
    pkcs11_token: Option<String>,
    /// File with the PIN of the token's user
    #[arg(long, value_name = "FILE", requires = "pkcs11_module")]
    pkcs11_pin_file: Option<PathBuf>,
}

impl NewKey {
    /// Where the key is made. Files are named from the root, because others read the names from elsewhere.
    pub(in crate::cli) fn place(self) -> Result<KeyPlace, Failure> {
        match (self.pkcs11_module, self.pkcs11_token, self.pkcs11_pin_file) {
            (Some(module), Some(label), Some(pin_file)) => {
                let absolute = |file: PathBuf| std::path::absolute(&file).map_err(|error| Failure::file(&file, &error));
                // A bare name is one that the system looks for among its libraries.
                let bare = module.components().count() == 1;
                let module = if bare { module } else { absolute(module)? };
                let token = Token { module, label, pin_file: absolute(pin_file)? };
                Ok(KeyPlace::Token(token, self.algorithm.into()))
            }
            _ => Ok(KeyPlace::File(self.algorithm.into())),
        }
    }
}
