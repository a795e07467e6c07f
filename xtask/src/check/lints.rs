//! clippy, with every warning an error.

use std::process::Command;

use crate::layout::Layout;
use crate::report::{note, timed};
use crate::toolchain::{TARGET, Toolchain};
use crate::{build, process, test};

/// Everything that runs natively, tests included.
pub(super) fn native(layout: &Layout) -> anyhow::Result<()> {
    timed("lints", || {
        let mut command = process::cargo(&layout.root);
        command.args([
            "clippy",
            "--quiet",
            "--locked",
            "--release",
            "--all-targets",
        ]);
        build::select_natives(&mut command);
        process::run(deny_warnings(&mut command))
    })
}

/// Guests: natively with their tests, and for WebAssembly when its toolchain has clippy (Debian's has none).
pub(super) fn guests(layout: &Layout, toolchain: &Toolchain) -> anyhow::Result<()> {
    timed("lints of guests, with their tests", || {
        let mut command = process::cargo(&layout.root);
        command.args([
            "clippy",
            "--quiet",
            "--locked",
            "--release",
            "--all-targets",
        ]);
        build::select_guests(&mut command);
        process::run(deny_warnings(&mut command))
    })?;
    if toolchain.program("cargo-clippy").is_err() {
        note("not run: lints of guests for WebAssembly, since this toolchain has no clippy");
        return Ok(());
    }
    timed("lints of guests, for WebAssembly", || {
        let mut command = toolchain.command("cargo")?;
        command
            .current_dir(&layout.root)
            .args([
                "clippy",
                "--quiet",
                "--locked",
                "--profile",
                "guest",
                "--target",
                TARGET,
                "--target-dir",
            ])
            .arg(layout.guest_target());
        build::select_guests(&mut command);
        process::run(deny_warnings(&mut command))?;
        for folder in test::standalone_guests(layout)? {
            let mut command = toolchain.command("cargo")?;
            command
                .current_dir(folder)
                .args([
                    "clippy",
                    "--quiet",
                    "--locked",
                    "--release",
                    "--target",
                    TARGET,
                    "--target-dir",
                ])
                .arg(layout.standalone_target());
            process::run(deny_warnings(&mut command))?;
        }
        Ok(())
    })
}

fn deny_warnings(command: &mut Command) -> &mut Command {
    command.args(["--", "--deny", "warnings"])
}
