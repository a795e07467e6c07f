//! `spin.toml`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nokube_spinapp::fuzzing::manifests(data));
