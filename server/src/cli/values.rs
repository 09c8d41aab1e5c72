//! What options and arguments are read from, where a type of its own does not read itself: the errors are told beside the
//! option, in one line.

use ledger_classes::formats::rights::ParseRightError;
use ledger_classes::keys::ParseAddressError;
use ledger_classes::primitives::amount::ParseDecimalError;
use ledger_classes::primitives::identity::ParseIdentityError;

/// Why the value of an option is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum ValueError {
    #[error("a grant reads WHOM=RIGHTS")]
    Grant,
    #[error("{0}: {1}")]
    Identity(String, ParseIdentityError),
    #[error("{0:?} is neither an organization nor a spiffe:// identity")]
    Whom(String),
    #[error(transparent)]
    Right(#[from] ParseRightError),
    #[error("a share reads ADDRESS=AMOUNT")]
    Share,
    #[error(transparent)]
    Address(#[from] ParseAddressError),
    #[error(transparent)]
    Amount(#[from] ParseDecimalError),
    #[error("{0:?} is not a serial number in hex")]
    SerialForm(String),
    #[error("a serial number has 1 to 20 bytes")]
    SerialLength,
    #[error("it reads now, or is a height")]
    Until,
    #[error(transparent)]
    Word(#[from] serde_json::Error),
}

/// Parses a word of the JSON API, such as `majority`.
pub(super) fn word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, ValueError> {
    Ok(ledger_classes::primitives::json::from_value(text.into())?)
}
