//! One-time addresses of the blob store.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nokube_keys::fuzzing::tickets(data));
