//! Refusals.

use cucumber::then;

use crate::world::PlatformWorld;

#[then(expr = "the request is refused with {int}")]
async fn refused(world: &mut PlatformWorld, status: u16) {
    world.answer().problem(status);
}

/// All of them, in this order, separated by spaces.
#[then(expr = "the faults are {string}")]
async fn faults(world: &mut PlatformWorld, expected: String) {
    let problem = world.answer().json();
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    let pointers: Vec<&str> = errors
        .iter()
        .filter_map(|fault| fault["pointer"].as_str())
        .collect();
    assert_eq!(pointers.join(" "), expected);
}
