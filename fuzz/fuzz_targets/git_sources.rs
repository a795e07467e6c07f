//! Addresses of repositories, names of branches, network addresses.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nokube_domain::fuzzing::git_sources(data));
