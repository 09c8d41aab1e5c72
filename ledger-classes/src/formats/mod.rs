//! What is hashed, signed, stored or sent: transactions, events, receipts, blocks, configurations, proofs.
//! Never here: what a transaction does.

pub mod blinding;
pub mod block;
pub mod config;
pub mod detail;
pub mod event;
pub mod outcome;
pub mod proof;
pub mod receipt;
pub mod rights;
pub mod transaction;
