//! The folder of somebody who has a certificate: path, key, and whom its holder trusts.

pub mod credentials;
pub mod own_certificate;
pub mod request;
