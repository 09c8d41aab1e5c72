//! The deterministic core of the ledger: types, hashing, signatures, Merkle trees, policies, the four classes
//! and the execution of a block.
//!
//! Absent on purpose: I/O, clocks, randomness, threads, unordered iteration. The same blocks give the same
//! receipts and roots in any build.

pub mod action;
pub mod chain;
pub mod execution;
pub mod formats;
pub mod keys;
pub mod limits;
pub mod merkle;
pub mod primitives;
pub mod rules;
pub mod state;
