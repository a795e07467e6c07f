//! Requests to the platform's API.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nokube_guest::fuzzing::requests(data));
