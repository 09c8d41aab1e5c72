//! Certificate requests from strangers. The corpus replays in `ca/tests/registrations.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pki::CertificateRequest;

fuzz_target!(|octets: &[u8]| {
    if let Ok(request) = CertificateRequest::parse(octets) {
        // What was accepted is the same request in its own DER.
        assert_eq!(CertificateRequest::parse(request.der()).as_ref(), Ok(&request));
    }
});
