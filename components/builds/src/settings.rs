//! The component's variables.

use nokube_domain::Timestamp;
pub(crate) use nokube_guest::GitRules;
use nokube_guest::{Ctx, Error};

/// The prefix of image names when the operator sets none.
const DEFAULT_REGISTRY: &str = "registry.localhost/nokube";

/// `registry`: what image names start with.
pub(crate) fn registry(cx: &Ctx) -> String {
    cx.variable("registry")
        .unwrap_or_else(|| DEFAULT_REGISTRY.to_owned())
}

/// `keep_builds`: how many ended builds of a service are kept beside those that revisions were made of.
pub(crate) fn keep_builds(cx: &Ctx) -> Result<u64, Error> {
    Ok(cx.number_variable("keep_builds", 50)?.max(1))
}

/// `keep_sources_hours`: an uploaded source may be built again this long after its last build ended.
/// Builds that ended before the time that this returns are too old for that.
pub(crate) fn sources_end_before(cx: &Ctx) -> Result<Timestamp, Error> {
    // 100 years, so that no sum overflows.
    let hours = cx.number_variable("keep_sources_hours", 24)?.min(876_000);
    let millis = i64::try_from(hours * 3_600_000).unwrap_or(i64::MAX);
    Ok(cx.now().plus_millis(-millis))
}
