//! Uploaded sources.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nokube_runner::fuzzing::source_archives(data));
