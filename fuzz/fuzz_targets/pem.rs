//! PEM and keys from outside. The corpus replays in `ca/tests/hostile_inputs.rs`.
#![no_main]

use ca::KeyPair;
use libfuzzer_sys::fuzz_target;
use pki::PublicKey;

fuzz_target!(|octets: &[u8]| {
    if let Ok(text) = std::str::from_utf8(octets) {
        let _ = KeyPair::from_pem(text);
    }
    let scan = pki::pem::scan(octets);
    if scan.damage.is_none() {
        let begins = octets.split(|octet| matches!(octet, b'\n' | b'\r'));
        let begins = begins.filter(|line| line.windows(11).any(|part| part == b"-----BEGIN "));
        assert_eq!(scan.objects.len(), begins.count(), "an object is lost in silence");
    }
    let _ = KeyPair::from_pkcs8(octets);
    let _ = PublicKey::from_spki(octets);
});
