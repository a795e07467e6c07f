//! Locked applications.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nokube_spinapp::fuzzing::locked_apps(data));
