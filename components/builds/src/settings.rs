//! The component's variables.

use nokube_guest::Ctx;
pub(crate) use nokube_guest::GitRules;

/// The prefix of image names when the operator sets none.
const DEFAULT_REGISTRY: &str = "registry.localhost/nokube";

/// `registry`: what image names start with.
pub(crate) fn registry(cx: &Ctx) -> String {
    cx.variable("registry")
        .unwrap_or_else(|| DEFAULT_REGISTRY.to_owned())
}
