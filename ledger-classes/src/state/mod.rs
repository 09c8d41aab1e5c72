//! The state as a map of keys to records: its views, its keys, its tree, lists over it.
//! Never here: who may change what.

pub mod keyspace;
pub mod listing;
pub mod participant;
pub mod record;
pub mod tree;
pub mod view;
