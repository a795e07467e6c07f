//! Archives of OCI layouts.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nokube_artifact::fuzzing::layouts(data));
