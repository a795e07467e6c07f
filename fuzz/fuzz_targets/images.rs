//! Images of Spin applications, to be unpacked.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nokube_artifact::fuzzing::images(data));
