//! Runtime configurations, dotenv files, templates, patterns of hosts and routes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nokube_spinapp::fuzzing::configurations(data));
