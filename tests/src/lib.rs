//! What crosses rooms: programs and fixtures for tests of the whole.

pub mod conformance;
pub mod decoders;
pub mod limbo_pairs;
