//! Revocation lists from outside. The corpus replays in `ca/tests/hostile_inputs.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pki::{trust::revocation::RevocationList, x509::algorithms::PROFILE_ALGORITHMS};

const ISSUING: &[u8] = include_bytes!("../corpus/certificate/issuing");

fuzz_target!(|octets: &[u8]| {
    let _ = RevocationList::verify_under(octets, ISSUING, PROFILE_ALGORITHMS);
});
