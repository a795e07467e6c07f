//! `cargo xtask image`: the platform as one Spin artifact in a registry, which a cluster pulls.

use crate::layout::Layout;
use crate::report::timed;
use crate::{build, process, toolchain};

/// Builds what goes into it, then has `nokube` pack and push it. Registry credentials are `NOKUBE_REGISTRY_USERNAME` and
/// `NOKUBE_REGISTRY_PASSWORD`.
pub(crate) fn run(layout: &Layout, push: &str, plain_http: bool) -> anyhow::Result<()> {
    let toolchain = toolchain::prepare(layout)?;
    build::guests(layout, &toolchain)?;
    build::native(layout)?;
    // The commit's time, so that the same commit has the same digest.
    let time = process::read(
        process::command("git")
            .current_dir(&layout.root)
            .args(["log", "-1", "--date=iso-strict-local", "--format=%cd"])
            .env("TZ", "UTC"),
    )?;
    timed("packing and pushing the platform", || {
        process::run(
            process::command(layout.program("nokube"))
                .current_dir(&layout.root)
                .args(["pack", "--created", &time, "--push", push])
                .args(plain_http.then_some("--plain-http")),
        )
    })
}
