//! See `tests/src/decoders.rs`; the corpus replays in `tests/tests/decoders.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tests::decoders::ordering_message(bytes));
