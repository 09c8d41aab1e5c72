//! Certificates from outside, in every place of a path. The corpus replays in `ca/tests/hostile_inputs.rs`.
#![no_main]

use ledger_classes::primitives::time::Time;
use libfuzzer_sys::fuzz_target;
use pki::{Usage, verify_path};

const ROOT: &[u8] = include_bytes!("../corpus/certificate/root");
const ISSUING: &[u8] = include_bytes!("../corpus/certificate/issuing");
const LEAF: &[u8] = include_bytes!("../corpus/certificate/leaf");

fuzz_target!(|octets: &[u8]| {
    let at = Time::from_millis(1_780_000_000_000);
    for (path, anchor) in [([octets, ISSUING], ROOT), ([LEAF, octets], ROOT), ([LEAF, ISSUING], octets)] {
        let _ = verify_path(&path, &[anchor], None, at, Usage::ClientAuth);
    }
    let _ = pki::AuthorityScope::of_certificate(octets);
});
