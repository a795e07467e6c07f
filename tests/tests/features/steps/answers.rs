//! Refusals.

use cucumber::then;

use crate::world::PlatformWorld;

#[then(expr = "the request is refused with {int}")]
async fn refused(world: &mut PlatformWorld, status: u16) {
    world.answer().problem(status);
}

#[then("I am told when to try again")]
async fn told_when(world: &mut PlatformWorld) {
    let after = world.answer().headers["retry-after"].to_str();
    let seconds: u32 = after.expect("ASCII").parse().expect("a number");
    assert!((1..=30).contains(&seconds), "{seconds}");
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
