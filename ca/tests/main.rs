//! All tests of this room from outside, as one program: each program of its own would be linked again with every library.

mod consortium;

mod continuations;
mod faults;
mod folders;
mod foreign_verifiers;
mod handshakes;
mod hostile_inputs;
mod key_compromises;
mod large_lists;
mod ocsp;
mod passphrases;
mod paths;
mod registrations;
mod reissues;
mod replacements;
mod requests;
mod revocations;
mod revoked_for_ever;
mod rollovers;
mod root_updates;
mod void_decisions;
