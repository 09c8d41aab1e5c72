//! A peer's directory and what is read of it: made, configured, backed up and made again.

pub mod backup;
pub mod config;
pub mod init;
pub mod operator;
