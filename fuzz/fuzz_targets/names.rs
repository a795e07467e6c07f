//! What a person names, counts or points at.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nokube_domain::fuzzing::names(data));
