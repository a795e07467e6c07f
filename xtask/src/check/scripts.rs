//! shellcheck, where it is installed (a Debian package): the scripts of the checkout.

use crate::layout::Layout;
use crate::process::{self, find_program};
use crate::report::{note, timed};

/// Checks every tracked file that says of itself that a shell runs it.
pub(super) fn run(layout: &Layout) -> anyhow::Result<()> {
    let Some(program) = find_program("shellcheck") else {
        note(
            "not checked: scripts, since shellcheck is not installed (the Debian package shellcheck)",
        );
        return Ok(());
    };
    timed("scripts", || {
        let list = process::read(process::command("git").current_dir(&layout.root).args([
            "grep",
            "--untracked",
            "--name-only",
            "-z",
            "--extended-regexp",
            "^#!(/usr/bin/env bash|/bin/(ba)?sh)$",
        ]))?;
        let mut command = process::command(program);
        command
            .current_dir(&layout.root)
            .args(["--severity=style", "--external-sources", "--"]);
        process::run(command.args(list.split('\0').filter(|path| !path.is_empty())))
    })
}
