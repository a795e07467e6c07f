//! Manifests and names of images.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nokube_artifact::fuzzing::manifests(data));
