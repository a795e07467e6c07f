//! The host of a request, which decides whose application answers. The front is part of a program, not of a library: its
//! file is compiled into this one.
#![no_main]

use host_name::{is_of_a_tenant, normalized};

#[path = "../../crates/cli/src/platform/front/host_name.rs"]
mod host_name;

#[path = "../../crates/cli/src/platform/front/host_name/fuzzing.rs"]
mod fuzzing;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::hosts(data));
