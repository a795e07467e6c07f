//! The behaviour of events and of signing in as `tests/features/*.feature` specifies it, tried on a running platform.
//!
//! One platform serves all scenarios; each has users of its own. Arguments that are no flags choose scenarios and
//! features by a part of their name, as for other tests.

mod steps;
mod world;

use cucumber::World as _;
use nokube_tests::platform::{Platform, repository_root};

use world::PlatformWorld;

/// Each has a request under way at most; the machine may have two cores.
const AT_ONCE: usize = 4;

#[tokio::main]
async fn main() {
    let names: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let is_wanted = move |feature: &str, scenario: &str| {
        let is_named = |name: &String| feature.contains(name) || scenario.contains(name);
        names.is_empty() || names.iter().any(is_named)
    };
    // Dropped, and with it the platform, also when a scenario fails: that panics.
    let platform = Platform::start();
    world::use_platform(&platform).await;
    PlatformWorld::cucumber()
        .with_default_cli()
        .max_concurrent_scenarios(AT_ONCE)
        .fail_on_skipped()
        .filter_run_and_exit(
            repository_root().join("tests/features"),
            move |feature, _, scenario| is_wanted(&feature.name, &scenario.name),
        )
        .await;
}
