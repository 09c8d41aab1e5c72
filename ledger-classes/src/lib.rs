//! The deterministic core of the ledger: types, hashing, signatures, Merkle trees, policies, the four classes
//! and the execution of a block.
//!
//! Absent on purpose: I/O, clocks, randomness, threads, unordered iteration. The same blocks give the same
//! receipts and roots in any build.

pub mod action;
pub mod amount;
pub mod blinding;
pub mod block;
pub mod causes;
pub mod chain;
pub mod codec;
pub mod config;
pub mod detail;
pub mod event;
pub mod execution;
pub mod hash;
pub mod identity;
pub mod json;
pub mod keys;
pub mod keyspace;
pub mod limits;
pub mod listing;
pub mod merkle;
pub mod outcome;
pub mod participant;
pub mod proof;
pub mod receipt;
pub mod record;
pub mod rights;
pub mod rules;
pub mod state;
pub mod state_tree;
pub mod time;
pub mod transaction;
pub mod words;
