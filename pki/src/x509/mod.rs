//! Single certificates, requests and OCSP answers: bytes become values or errors. Whom to believe is [`crate::trust`]'s.

pub mod algorithms;
pub mod certificate;
pub mod described;
mod general_names;
pub mod identifiers;
pub mod leaf;
pub mod ocsp;
pub mod pkcs7;
pub mod profile;
pub mod public_key;
pub mod request;
